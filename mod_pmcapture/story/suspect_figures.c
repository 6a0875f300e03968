/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * suspect_figures.c: candidates that are figures (pm_story.h): a backend, a client, traffic, a line of the error log.
 */
#include "suspects.h"

#include <string.h>

#include <apr_strings.h>

static void add_figure(apr_array_header_t *found, int weight, const char *summary)
{
    APR_ARRAY_PUSH(found, pm_candidate) =
        (pm_candidate){weight * 1000, {.summary = summary, .statement = summary}};
}

static const char *how_it_failed(const pm_telling *t, const pm_tally *b)
{
    const char *how = "";

    for (uint32_t f = PM_FAILURE_REFUSED; f < PM_FAILURES; f++) {
        uint64_t count = pm_failure_count(b, f);

        if (count) {
            how = apr_psprintf(t->pool, "%s%s%" APR_UINT64_T_FMT " %s", how, *how ? ", " : ": ",
                               count, pm_failure_phrase(f));
        }
    }
    return how;
}

size_t pm_samples_to(const pm_telling *t, const char **backend)
{
    size_t best = 0;

    for (size_t a = 0; a < t->c->sample_count; a++) {
        size_t same = 0;

        for (size_t b = 0; b < t->c->sample_count; b++) {
            same += !strcmp(t->c->samples[a].backend, t->c->samples[b].backend);
        }
        if (t->c->samples[a].backend[0] && same > best) {
            best = same;
            *backend = t->c->samples[a].backend;
        }
    }
    return best;
}

/* At least half of the failures, and three, went to one backend. */
static void backend_figure(pm_telling *t, apr_array_header_t *found)
{
    const pm_tally *b = &t->i->by_backend[0];
    uint64_t part = b->errors, whole = t->i->errors;
    const char *name = b->key;
    char percent[PM_STORY_PERCENT];

    if (!part) {
        part = pm_samples_to(t, &name);
        whole = t->c->sample_count;
    }
    if (part < 3 || part * 2 < whole) {
        return;
    }
    if (part > whole) {
        whole = part;
    }
    add_figure(found, (int)(60 + 25 * part / whole),
               apr_psprintf(t->pool,
                            "%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT
                            " failing requests%s (%s) %s backend %s%s",
                            part, whole, b->errors ? "" : " kept as samples",
                            pm_story_percent(part, whole, percent),
                            b->not_tried ? "were for" : "had gone to", name,
                            b->errors ? how_it_failed(t, b) : ""));
}

double pm_served_seconds(const pm_telling *t)
{
    uint64_t us = t->until_us - t->i->onset_us;

    us -= t->i->unserved_us < us ? t->i->unserved_us : us;
    return us > PM_SECOND ? (double)us / (double)PM_SECOND : 1;
}

static const char *usual_text(const pm_telling *t, const pm_usual *u, const char *ago)
{
    char rate[PM_STORY_RATE];

    return u->us ? apr_psprintf(t->pool, ", %s at that time the %s before",
                                pm_story_rate(u->requests_per_second, rate), ago)
                 : "";
}

/* A monitor that asks more often when it sees errors adds to them: told from a tenth of the traffic on. */
static const char *monitoring_text(const pm_telling *t)
{
    uint64_t part = t->i->monitoring_requests, whole = t->i->counted_requests;
    char percent[PM_STORY_PERCENT];

    return part && part >= whole / 10
               ? apr_psprintf(t->pool, "; health checks and the like made %s of it",
                              pm_story_percent(part, whole, percent))
               : "";
}

const char *pm_rates_text(const pm_telling *t, double during)
{
    char span[PM_TIME_SIZE], now[PM_STORY_RATE], was[PM_STORY_RATE];

    return apr_psprintf(
        t->pool, "%s requests a second during the incident%s, %s in the %s before it%s%s%s",
        pm_story_rate(during, now), t->i->vhost[0] ? " on the whole server" : "",
        pm_story_rate(t->i->before_requests_per_second, was), pm_time_span(t->i->before_us, span),
        usual_text(t, &t->i->day, "day"), usual_text(t, &t->i->week, "week"), monitoring_text(t));
}

double pm_row_rate(const pm_telling *t, uint64_t from, uint64_t until)
{
    uint64_t requests = 0, span = 0;
    pm_slice s = pm_story_rows(t, from, until);

    for (size_t n = s.first; n < s.last; n++) {
        requests += t->m->rows[n].requests;
        span += t->m->rows[n].span_us;
    }
    return span ? (double)requests * (double)PM_SECOND / (double)span : 0;
}

/* What was usual is known of the whole server, so that is what it is compared with. */
double pm_rate_during(const pm_telling *t)
{
    return t->i->vhost[0] ? pm_row_rate(t, t->i->onset_us, t->until_us)
                          : (double)t->i->requests / pm_served_seconds(t);
}

static void traffic_figure(pm_telling *t, apr_array_header_t *found)
{
    double during = pm_rate_during(t);

    /* Who is refused or sent round asks again: that surge is the incident's own doing. */
    if ((t->i->kinds & PM_KIND_UNSERVED) == 0 && t->i->before_us >= PM_LEAST_HISTORY_US &&
        t->i->before_requests_per_second > 0 && pm_served_seconds(t) >= 5 &&
        during >= 2 * t->i->before_requests_per_second) {
        add_figure(found, 55, pm_rates_text(t, during));
    }
}

static void client_figure(pm_telling *t, apr_array_header_t *found)
{
    const pm_incident *i = t->i;
    int named = i->by_client[0].errors && i->by_client[0].key[0];

    if (i->clients_known && i->errors >= 5 && i->error_clients > 0.5 && i->error_clients < 1.5 &&
        i->clients >= 4) {
        add_figure(found, 58,
                   apr_psprintf(t->pool,
                                "One client alone%s%s%s met all %" APR_UINT64_T_FMT
                                " errors; about %.0f others met none",
                                named ? " (" : "", named ? i->by_client[0].key : "",
                                named ? ")" : "", i->errors, i->clients - 1));
    }
}

#define NEW_LINE "Error log line that was new to this run and to earlier incidents"

/* A line of the error log that neither this run nor an incident on record had seen before. */
static void signature_figure(pm_telling *t, apr_array_header_t *found)
{
    for (int n = 0; n < PM_TALLIES && t->i->by_error_log[n].errors; n++) {
        const pm_tally *line = &t->i->by_error_log[n];
        const char *near, *times;

        if (line->errors < 3 || line->first_seen_us > t->until_us ||
            line->first_seen_us < pm_story_back(t->i->onset_us, PM_MINUTE_US)) {
            continue;
        }
        near = pm_story_nearness(t, line->first_seen_us);
        times =
            apr_psprintf(t->pool, "%" APR_UINT64_T_FMT " times since: %s", line->errors, line->key);
        APR_ARRAY_PUSH(found, pm_candidate) = (pm_candidate){
            48000,
            {.summary = apr_psprintf(t->pool, "%s %s, %s", NEW_LINE, near, times),
             .statement = apr_psprintf(t->pool, "%s, %s", NEW_LINE, times),
             .nearness = near,
             .at_us = line->first_seen_us,
             .before_onset_us = (int64_t)t->i->onset_us - (int64_t)line->first_seen_us}};
        return;
    }
}

static const struct {
    const char *kind;
    void (*find)(pm_telling *, apr_array_header_t *);
} figure_rules[] = {
    {"backend", backend_figure},
    {"client", client_figure},
    {"traffic", traffic_figure},
    {"signature", signature_figure},
};
#define FIGURE_RULES (sizeof(figure_rules) / sizeof(figure_rules[0]))

const char *pm_story_figure_kind(size_t n)
{
    return n < FIGURE_RULES ? figure_rules[n].kind : NULL;
}

void pm_add_figures(pm_telling *t, apr_array_header_t *found)
{
    for (size_t n = 0; n < FIGURE_RULES; n++) {
        int first = found->nelts;

        figure_rules[n].find(t, found);
        for (int k = first; k < found->nelts; k++) {
            APR_ARRAY_IDX(found, k, pm_candidate).cause.kind = figure_rules[n].kind;
        }
    }
}
