/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * impact.c: an incident's figures as the rows of its impact: what, the figure in words, the field that it is of.
 */
#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "pm_estimates.h"
#include "pm_story.h"
#include "pm_time.h"

/** A row in the making. */
typedef struct rows {
    pm_impact_row put;
    void *ctx;
    char figure[256];
} rows;

static void add(rows *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(rows *r, const char *format, ...)
{
    size_t used = strlen(r->figure);
    va_list args;

    va_start(args, format);
    apr_vsnprintf(r->figure + used, sizeof(r->figure) - used, format, args);
    va_end(args);
}

static void row_at(rows *r, const char *what, const char *field, uint64_t at_us)
{
    r->put(r->ctx, &(pm_impact){what, r->figure, field, at_us});
    r->figure[0] = '\0';
}

static void row(rows *r, const char *what, const char *field)
{
    row_at(r, what, field, 0);
}

static void add_count(rows *r, double value, double error)
{
    add(r, "%.0f", value);
    if (error >= 0.5) {
        add(r, " \302\261 %.0f", error);
    }
}

static void add_share(rows *r, uint64_t part, uint64_t whole)
{
    char percent[PM_STORY_PERCENT];

    if (whole) {
        add(r, " (%s)", pm_story_percent(part < whole ? part : whole, whole, percent));
    }
}

/** What its errors are. */
static const char *not_served_text(uint32_t kinds)
{
    if ((kinds & PM_KIND_UNSERVED) == 0) {
        return "Failed (5xx)";
    }
    return (kinds & ~(uint32_t)(PM_KIND_REFUSED | PM_KIND_SLOW)) == 0     ? "Refused (4xx)"
           : (kinds & ~(uint32_t)(PM_KIND_REDIRECTS | PM_KIND_SLOW)) == 0 ? "Redirected (3xx)"
                                                                          : "Not served";
}

static void requests(rows *r, const pm_incident *i)
{
    char words[PM_ESTIMATE_WORDS];

    add(r, "%s", pm_requests_count(i, words));
    row(r, "Requests answered", "requests, requests_bounds");
    add(r, "%" APR_UINT64_T_FMT, i->errors);
    if (i->requests) {
        add(r, " (%s)", pm_requests_share(i, i->errors, words));
    }
    row(r, not_served_text(i->kinds), "errors, error_ratio");
    for (int n = 0; n < PM_INCIDENT_STATUSES && i->status_code[n]; n++) {
        add(r, "%s%u: %" APR_UINT64_T_FMT, n ? ", " : "", i->status_code[n], i->status_count[n]);
    }
    add(r, "%s", i->status_code[0] ? "" : "none");
    row(r, "By status", "status");
    add(r, "%" APR_UINT64_T_FMT, i->slow);
    row(r, "Slow", "slow");
}

static void unserved(rows *r, const pm_incident *i)
{
    char span[PM_TIME_SIZE];

    if (!i->unserved_us) {
        return;
    }
    add(r, "%s", pm_time_span(i->unserved_us, span));
    row(r, "Nobody served", "unserved.seconds");
    if (i->before_us) {
        add_count(r, (double)i->expected_requests, i->expected_error);
    }
    else {
        add(r, "unknown");
    }
    row(r, "Requests not served (estimate)", "unserved.expected_requests, unserved.error");
}

static void clients(rows *r, const pm_incident *i)
{
    pm_estimates error;

    if (!i->clients_known) {
        add(r, "not counted");
        row(r, "Clients", "clients");
        return;
    }
    pm_clients_estimates(i, &error);
    add_count(r, i->clients, error.total);
    row(r, "Clients (estimate)", "clients.total");
    add_count(r, i->error_clients, error.affected);
    add_share(r, (uint64_t)(i->error_clients + 0.5), (uint64_t)(i->clients + 0.5));
    if (error.affected_ratio >= 0.0005 && i->clients > 0) {
        add(r, " \302\261 %.1f points", 100 * error.affected_ratio);
    }
    row(r,
        i->kinds & PM_KIND_UNSERVED ? "Clients that met such an answer (estimate)"
                                    : "Clients that met an error (estimate)",
        "clients.affected, clients.affected_ratio");
}

static void served(rows *r, const pm_incident *i)
{
    char percent[PM_STORY_PERCENT];

    if (i->served_all < 0.5 || (i->kinds & PM_KIND_UNSERVED) == 0) {
        return;
    }
    add(r, "%s", pm_story_percent((uint64_t)(i->served * 100 / i->served_all + 0.5), 100, percent));
    if (i->served_usual >= 0) {
        add(r, ", usually %.0f %%", i->served_usual * 100);
    }
    row(r, "Clients served (estimate)", "served.ratio, served.usual");
}

static void peak(rows *r, const pm_incident *i)
{
    char rate[PM_STORY_RATE];

    if (i->peak_errors_per_second <= 0) {
        add(r, "none");
        row(r, "Peak", "peak");
        return;
    }
    add(r, "%s %s a second", pm_story_rate(i->peak_errors_per_second, rate),
        i->kinds & PM_KIND_UNSERVED ? "such answers" : "errors");
    add_share(r, (uint64_t)(i->peak_ratio * 1000 + 0.5), 1000);
    row_at(r, "Peak", "peak", i->peak_at_us);
}

static void latency(rows *r, const char *what, const char *field, const pm_quantiles *q)
{
    char a[PM_STORY_LATENCY], b[PM_STORY_LATENCY], c[PM_STORY_LATENCY];

    if (q->count) {
        add(r, "p50 %s, p90 %s, p99 %s", pm_story_latency(q->p50_us, a),
            pm_story_latency(q->p90_us, b), pm_story_latency(q->p99_us, c));
    }
    else {
        add(r, "unknown");
    }
    row(r, what, field);
}

static void usual(rows *r, const char *what, const char *field, const pm_usual *u)
{
    char rate[PM_STORY_RATE], percent[PM_STORY_PERCENT], span[PM_TIME_SIZE];

    if (u->us) {
        add(r, "%s requests a second, %s failed, over %s of record",
            pm_story_rate(u->requests_per_second, rate),
            pm_story_percent((uint64_t)(u->error_ratio * 1e6 + 0.5), 1000000, percent),
            pm_time_span(u->us, span));
        row(r, what, field);
    }
}

/** Who asked, counted since the detection. */
static void traffic(rows *r, const pm_incident *i)
{
    uint64_t all = i->counted_requests;

    if (!all) {
        return;
    }
    if (i->busiest.requests) {
        add(r, "%s: %" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT " requests since it was noticed",
            i->busiest.key[0] ? i->busiest.key : "unknown", i->busiest.requests, all);
        add_share(r, i->busiest.requests, all);
        row(r, "Busiest client", "traffic.busiest_client");
    }
    add(r, "%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT " requests since it was noticed",
        i->monitoring_requests, all);
    add_share(r, i->monitoring_requests, all);
    row(r, "Health checks and the like", "traffic.monitoring");
}

void pm_story_impact(const pm_model *m, const pm_case *c, pm_impact_row put, void *ctx)
{
    const pm_incident *i = c->incident;
    rows r = {.put = put, .ctx = ctx};
    char span[PM_TIME_SIZE];
    const pm_usual before = {i->before_us, i->before_requests_per_second, i->before_error_ratio, 0};

    add(&r, i->open ? "%s so far" : "%s", pm_time_span(pm_story_until(m, i) - i->onset_us, span));
    row(&r, "Duration", "duration");
    row_at(&r, "Began", "onset", i->onset_us);
    add(&r, "%s", i->open ? "still open" : "");
    row_at(&r, "Ended", "end", i->open ? 0 : i->end_us);
    add(&r, "%s", i->detected_us ? "" : "unknown");
    row_at(&r, "Noticed", "detected", i->detected_us);
    requests(&r, i);
    unserved(&r, i);
    clients(&r, i);
    served(&r, i);
    peak(&r, i);
    latency(&r, "Latency before", "latency.before", &i->before);
    latency(&r, "Latency during", "latency.during", &i->during);
    usual(&r, "Usual before it", "before", &before);
    usual(&r, "Usual at that time the day before", "before.day", &i->day);
    usual(&r, "Usual at that time the week before", "before.week", &i->week);
    if (!c->figures_only) {
        traffic(&r, i);
    }
}
