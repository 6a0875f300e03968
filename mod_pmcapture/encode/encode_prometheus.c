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

const char *pm_metric_type(const char *name)
{
    size_t len = strlen(name), end = strlen("_total");

    return len > end && !strcmp(name + len - end, "_total") ? "counter" : "gauge";
}

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

/* A point in time as seconds since 1970; unknown has no sample. */
static void moment(prom *p, uint64_t us)
{
    if (us) {
        name_and_label(p, NULL, NULL);
        pm_out_seconds(&p->out, us);
        pm_out_raw(&p->out, "\n");
    }
}

static void requests(prom *p, const pm_model *m)
{
    const pm_totals *totals = &m->totals;

    for (int s = 0; s < PM_STATUS_SLOTS; s++) {
        char code[PM_STATUS_NAME];

        if (totals->status[s]) {
            sample(p, "code", pm_status_name(s, code), totals->status[s]);
        }
    }
}

/* Buckets end at powers of two of a microsecond, where the recorder's own buckets end, so the counts
 * are exact. The sum is made of bucket middles: durations are not added up one by one. */
static void durations(prom *p, const pm_model *m)
{
    const pm_totals *totals = &m->totals;
    uint64_t below = 0, sum_us = 0;

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

static void errors(prom *p, const pm_model *m)
{
    for (size_t n = 0; n < m->vhost_count; n++) {
        sample(p, "vhost", m->vhosts[n].key, m->vhosts[n].errors);
    }
}

static void incident_open(prom *p, const pm_model *m)
{
    uint64_t open = 0;

    for (size_t n = 0; n < m->case_count; n++) {
        open |= m->cases[n].incident->open != 0;
    }
    sample(p, NULL, NULL, open);
}

static void incidents(prom *p, const pm_model *m)
{
    for (uint32_t n = 0; n < PM_KINDS; n++) {
        sample(p, "kind", pm_kind_fact_of(n)->name, m->incidents_by_kind[n]);
    }
}

static void last_load(prom *p, const pm_model *m)
{
    moment(p, m->server.reload_us ? m->server.reload_us : m->server.config_loaded_us);
}

static void last_change(prom *p, const pm_model *m)
{
    moment(p, m->last_change ? m->last_change->at_us : 0);
}

const pm_metric pm_metrics[PM_METRICS] = {
    {"requests_total", "counter", "code", requests,
     "Requests completed, by status code, since the capture file was made."},
    {"errors_total", "counter", "vhost", errors,
     "Requests answered with a 5xx status, by virtual host, since the server started; a reload for "
     "which its memory was "
     "too small counts anew."},
    {"request_duration_seconds", "histogram", NULL, durations,
     "Time from arrival to completion. The sum is estimated: each duration from 64 us to 134 s "
     "within 6.25 percent."},
    {"incident_open", "gauge", NULL, incident_open, "Whether an incident is open: 0 or 1."},
    {"incidents_total", "counter", "kind", incidents,
     "Incidents opened, by kind, since the capture file was made; one of several kinds counts "
     "under each."},
    {"config_last_reload_timestamp_seconds", "gauge", NULL, last_load,
     "When the running configuration was loaded, in seconds since 1970."},
    {"last_change_timestamp_seconds", "gauge", NULL, last_change,
     "When something last changed: what runs, a file that it needs, whether it serves."},
};

/** The figures of facts.c that are metrics; samples of one family stand together there. */
static void figures(prom *p, const pm_model *m)
{
    for (int n = 0; n < PM_FIGURES; n++) {
        const pm_figure *f = &pm_figures[n];
        pm_cell cell = pm_figure_cell(f, m);

        if (!f->metric) {
            continue;
        }
        if (!p->name || strcmp(p->name, f->metric)) {
            family(p, f->metric, pm_metric_type(f->metric), f->meaning);
        }
        if (cell.kind == PM_CELL_TIME) {
            moment(p, cell.value);
        }
        else if (cell.kind != PM_CELL_NULL) {
            sample(p, f->label, f->label_value, cell.value);
        }
    }
}

apr_status_t pm_encode_prometheus(const pm_model *m, const pm_query *q, int openmetrics,
                                  pm_sink sink, void *ctx)
{
    prom p = {.openmetrics = openmetrics};

    (void)q; /* counters have no bounds in time */
    pm_out_begin(&p.out, sink, ctx);
    for (int n = 0; n < PM_METRICS; n++) {
        family(&p, pm_metrics[n].name, pm_metrics[n].type, pm_metrics[n].meaning);
        pm_metrics[n].samples(&p, m);
    }
    figures(&p, m);
    if (openmetrics) {
        pm_out_raw(&p.out, "# EOF\n");
    }
    return pm_out_end(&p.out);
}
