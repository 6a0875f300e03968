/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * estimates.c: bounds of what could be counted by the second only, as figures and in words.
 */
#include <string.h>

#include <apr_strings.h>

#include "pm_estimates.h"
#include "pm_story.h"

#define NARROW 0.01 /* bounds that are closer together are one figure to people: "about" */

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* ---- requests ---- */

pm_bounds pm_requests_bounds(const pm_incident *in)
{
    uint64_t fewer = in->requests_fewer < in->requests ? in->requests_fewer : in->requests;
    pm_bounds b = {in->requests - fewer, UINT64_MAX};

    if (in->requests_more != UINT32_MAX && in->requests <= UINT64_MAX - 1 - in->requests_more) {
        b.most = in->requests + in->requests_more;
    }
    return b;
}

/* ---- clients ---- */

/** The extremes without the sketch's error. */
static void extremes(const pm_incident *in, double *least, double *most)
{
    *least = *most = in->clients;
    if (in->clients_most != 0) {
        *least = smaller(in->clients, larger(in->clients_least, in->error_clients));
        *most = larger(in->clients, in->clients_most);
    }
}

void pm_clients_estimates(const pm_incident *in, pm_estimates *out)
{
    double least, most, hit = in->error_clients, hit_most = hit + in->affected_more, share;

    extremes(in, &least, &most);
    out->total = larger(in->clients - (least - pm_sketch_error(least)),
                        most + pm_sketch_error(most) - in->clients);
    out->affected = larger(pm_sketch_error(hit), hit_most + pm_sketch_error(hit_most) - hit);
    out->affected_ratio = 0;
    if (hit > 0 && in->clients > 0) {
        share = hit / in->clients;
        out->affected_ratio =
            larger(share - hit / most + pm_sketch_share_error(hit, most),
                   smaller(hit_most / least, 1) - share + pm_sketch_share_error(hit, least));
        out->affected_ratio = smaller(out->affected_ratio, 1);
    }
}

pm_bounds pm_clients_bounds(const pm_incident *in)
{
    double least, most;

    extremes(in, &least, &most);
    least -= pm_sketch_error(least);
    most += pm_sketch_error(most);
    return (pm_bounds){(uint64_t)(larger(least, 0) + 0.5), (uint64_t)(most + 0.5)};
}

/* ---- words ---- */

static int is_narrow(pm_bounds b)
{
    return (double)(b.most - b.least) <= NARROW * (double)b.most;
}

/** "75 %", "50 to 75 %": of the bounds. */
static void share(char *out, uint64_t part, pm_bounds of)
{
    char low[PM_STORY_PERCENT], high[PM_STORY_PERCENT];

    pm_story_percent(part, of.most > part ? of.most : part, low);
    pm_story_percent(part, of.least > part ? of.least : part, high);
    if (strcmp(low, high) == 0) {
        apr_snprintf(out, PM_ESTIMATE_WORDS, "%s", low);
    }
    else {
        low[strlen(low) - 2] = '\0'; /* one sign for both */
        apr_snprintf(out, PM_ESTIMATE_WORDS, "%s to %s", low, high);
    }
}

/** The bounds, but where they are so close together that one figure tells as much. */
static pm_bounds told(const pm_incident *in)
{
    pm_bounds of = pm_requests_bounds(in);

    return of.most != UINT64_MAX && is_narrow(of) ? (pm_bounds){in->requests, in->requests} : of;
}

const char *pm_requests_count(const pm_incident *in, char out[PM_ESTIMATE_WORDS])
{
    pm_bounds real = pm_requests_bounds(in), of = told(in);

    if (of.most == UINT64_MAX) {
        apr_snprintf(out, PM_ESTIMATE_WORDS, "at least %" APR_UINT64_T_FMT, of.least);
    }
    else if (of.most == of.least) {
        apr_snprintf(out, PM_ESTIMATE_WORDS, "%s%" APR_UINT64_T_FMT,
                     real.most == real.least ? "" : "about ", of.most);
    }
    else {
        apr_snprintf(out, PM_ESTIMATE_WORDS, "%" APR_UINT64_T_FMT " to %" APR_UINT64_T_FMT,
                     of.least, of.most);
    }
    return out;
}

const char *pm_requests_share(const pm_incident *in, uint64_t part, char out[PM_ESTIMATE_WORDS])
{
    pm_bounds of = told(in);
    char percent[PM_STORY_PERCENT];

    if (of.most != UINT64_MAX) {
        share(out, part, of);
        return out;
    }
    apr_snprintf(out, PM_ESTIMATE_WORDS, "at most %s",
                 pm_story_percent(part, of.least > part ? of.least : part, percent));
    return out;
}

const char *pm_requests_words(const pm_incident *in, uint64_t part, char out[PM_ESTIMATE_WORDS])
{
    char of[PM_ESTIMATE_WORDS], percent[PM_ESTIMATE_WORDS];
    int known = pm_requests_bounds(in).most != UINT64_MAX;

    apr_snprintf(out, PM_ESTIMATE_WORDS, "%" APR_UINT64_T_FMT " of %s requests%s%s%s", part,
                 pm_requests_count(in, of), known ? " (" : "",
                 known ? pm_requests_share(in, part, percent) : "", known ? ")" : "");
    return out;
}

const char *pm_clients_words(const pm_incident *in, char out[PM_ESTIMATE_WORDS])
{
    uint64_t hit = (uint64_t)(in->error_clients + 0.5), all = (uint64_t)(in->clients + 0.5);
    char percent[PM_ESTIMATE_WORDS];
    double least, most;
    pm_estimates error;
    pm_bounds of;

    out[0] = '\0';
    if (!in->clients_known || hit == 0) {
        return out;
    }
    pm_clients_estimates(in, &error);
    extremes(in, &least, &most);
    of = (pm_bounds){(uint64_t)(least + 0.5), (uint64_t)(most + 0.5)};
    all = all < hit ? hit : all;
    if (is_narrow(of) || of.most <= of.least) {
        of = (pm_bounds){all, all};
        apr_snprintf(out, PM_ESTIMATE_WORDS,
                     "%s%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT " clients",
                     error.total < 0.5 ? "" : "about ", hit, all);
    }
    else {
        apr_snprintf(out, PM_ESTIMATE_WORDS,
                     "about %" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT " to %" APR_UINT64_T_FMT
                     " clients",
                     hit, of.least, of.most);
    }
    share(percent, hit, of);
    apr_snprintf(out + strlen(out), PM_ESTIMATE_WORDS - strlen(out), " (%s)", percent);
    return out;
}
