/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_prometheus.c: metrics, Prometheus text format 0.0.4 or OpenMetrics 1.0.
 *
 * The two differ in a counter's family name (OpenMetrics leaves "_total" to the sample) and in the end
 * mark. A gauge that nobody could read has no sample: a made-up number would be worse than none.
 */
#include "encode.h"

#include <string.h>

#include "pm_hist.h"
#include "pm_text.h"
#include "pm_time.h"

typedef struct prom {
    pm_out out;
    int openmetrics;
    const char *name; /* of the family being written, "_total" included */
} prom;

static void family(prom *p, const char *name, const char *type, const char *help)
{
    int len = (int)strlen(name);

    if (p->openmetrics && !strcmp(type, "counter")) {
        len -= (int)strlen("_total");
    }
    p->name = name;
    pm_out_format(&p->out, "# HELP pmcapture_%.*s %s\n", len, name, help);
    pm_out_format(&p->out, "# TYPE pmcapture_%.*s %s\n", len, name, type);
}

static void name_and_label(prom *p, const char *label, const char *value)
{
    pm_out_format(&p->out, "pmcapture_%s", p->name);
    if (label) {
        pm_out_format(&p->out, "{%s=\"", label);
        pm_out_text(&p->out, pm_text_label, value);
        pm_out_raw(&p->out, "\"}");
    }
    pm_out_raw(&p->out, " ");
}

static void sample(prom *p, const char *label, const char *label_value, uint64_t value)
{
    name_and_label(p, label, label_value);
    pm_out_format(&p->out, "%" APR_UINT64_T_FMT "\n", value);
}

static void single(prom *p, const char *name, const char *type, const char *help, uint64_t value)
{
    family(p, name, type, help);
    sample(p, NULL, NULL, value);
}

/* A point in time as seconds since 1970; unknown has no sample. */
static void moment(prom *p, const char *name, const char *help, uint64_t us)
{
    family(p, name, "gauge", help);
    if (us) {
        name_and_label(p, NULL, NULL);
        pm_out_seconds(&p->out, us);
        pm_out_raw(&p->out, "\n");
    }
}

static void requests(prom *p, const pm_totals *totals)
{
    family(p, "requests_total", "counter",
           "Requests completed, by status code, since the capture file was made.");
    for (int s = 0; s < PM_STATUS_SLOTS; s++) {
        char code[PM_STATUS_NAME];

        if (totals->status[s]) {
            sample(p, "code", pm_status_name(s, code), totals->status[s]);
        }
    }
}

/* Buckets end at powers of two of a microsecond, where the recorder's own buckets end, so the counts
 * are exact. The sum is made of bucket middles: durations are not added up one by one. */
static void durations(prom *p, const pm_totals *totals)
{
    uint64_t below = 0, sum_us = 0;

    family(
        p, "request_duration_seconds", "histogram",
        "Time from arrival to completion. The sum is estimated: each duration from 64 us to 134 s "
        "within 6.25 percent.");
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        uint64_t upper = pm_hist_upper(b);

        below += totals->hist[b];
        sum_us += totals->hist[b] * (b < PM_HIST_BUCKETS - 1 ? pm_hist_middle(b) : PM_HIST_MAX_US);
        if (upper != UINT64_MAX && !(upper & (upper - 1)) && upper > PM_HIST_MIN_US) {
            pm_out_format(&p->out, "pmcapture_%s_bucket{le=\"", p->name);
            pm_out_seconds(&p->out, upper);
            pm_out_format(&p->out, "\"} %" APR_UINT64_T_FMT "\n", below);
        }
    }
    pm_out_format(&p->out, "pmcapture_%s_bucket{le=\"+Inf\"} %" APR_UINT64_T_FMT "\n", p->name,
                  below);
    pm_out_format(&p->out, "pmcapture_%s_sum ", p->name);
    pm_out_seconds(&p->out, sum_us);
    pm_out_format(&p->out, "\npmcapture_%s_count %" APR_UINT64_T_FMT "\n", p->name, below);
}

static void incidents(prom *p, const pm_model *m)
{
    static const uint32_t kinds[] = {PM_KIND_ERRORS, PM_KIND_SLOW, PM_KIND_DOWN};
    uint64_t open = 0;

    for (size_t n = 0; n < m->case_count; n++) {
        open |= m->cases[n].incident->open != 0;
    }
    single(p, "incident_open", "gauge", "Whether an incident is open: 0 or 1.", open);
    family(
        p, "incidents_total", "counter",
        "Incidents opened, by kind, since the capture file was made; one of several kinds counts "
        "under each.");
    for (int k = 0; k < 3; k++) {
        sample(p, "kind", pm_kind_name(kinds[k], 0), m->incidents_by_kind[k]);
    }
}

static void gauge(prom *p, const char *label, const char *label_value, uint32_t value)
{
    if (value != PM_UNKNOWN) {
        sample(p, label, label_value, value);
    }
}

static void server(prom *p, const pm_server *s)
{
    single(p, "config_generation", "gauge", "Generation of the running configuration.",
           s->generation);
    moment(p, "config_last_reload_timestamp_seconds",
           "When the running configuration was loaded, in seconds since 1970.",
           s->reload_us ? s->reload_us : s->config_loaded_us);
    single(p, "config_failures_total", "counter",
           "Configurations that were refused, or with which a start or a reload failed, since the "
           "capture "
           "file was made.",
           s->config_failures);
    single(p, "child_crashes_total", "counter",
           "Child processes that died unasked, since the capture file was made.", s->crashes);
    family(p, "workers", "gauge", "Worker slots, by state.");
    gauge(p, "state", "busy", s->busy);
    gauge(p, "state", "idle", s->idle);
    family(p, "requests_in_flight", "gauge", "Requests being served.");
    gauge(p, NULL, NULL, s->in_flight);
    single(p, "dependency_missing", "gauge", "Files that the server needs and that are missing.",
           s->dependency_missing);
    moment(p, "start_time_seconds", "When the server started, in seconds since 1970.",
           s->started_us);
    single(p, "capture_write_failures_total", "counter", "Failed writes to the capture file.",
           s->write_failures);
}

apr_status_t pm_encode_prometheus(const pm_model *m, const pm_query *q, int openmetrics,
                                  pm_sink sink, void *ctx)
{
    prom p = {.openmetrics = openmetrics};

    (void)q; /* counters have no bounds in time */
    pm_out_begin(&p.out, sink, ctx);
    requests(&p, &m->totals);
    family(
        &p, "errors_total", "counter",
        "Requests answered with a 5xx status, by virtual host, since the server started; a reload "
        "for which its memory was too small counts anew.");
    for (size_t n = 0; n < m->vhost_count; n++) {
        sample(&p, "vhost", m->vhosts[n].key, m->vhosts[n].errors);
    }
    durations(&p, &m->totals);
    single(&p, "response_bytes_total", "counter",
           "Bytes of response bodies that were sent, since the capture file was made.",
           m->totals.bytes);
    incidents(&p, m);
    server(&p, &m->server);
    moment(&p, "last_change_timestamp_seconds",
           "When something last changed: what runs, a file that it needs, whether it serves.",
           m->last_change ? m->last_change->at_us : 0);
    if (openmetrics) {
        pm_out_raw(&p.out, "# EOF\n");
    }
    return pm_out_end(&p.out);
}
