/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_json.c: the capture document, "schema": "pmcapture.v1".
 *
 * The one way out for structured data: the handler and pmdump both end here. An unknown value is null;
 * but for `generated`, nothing depends on when the document is asked for while the server runs.
 */
#include "encode.h"

#include <string.h>

#include "pm_hist.h"

/* ---- capture, server, totals ---- */

/** The figures of a section (facts.c), in the object that is begun. */
static void section(pm_json *j, const pm_model *m, const char *name)
{
    for (int n = 0; n < PM_FIGURES; n++) {
        if (pm_figures[n].key && !strcmp(pm_figures[n].section, name)) {
            pm_json_key(j, pm_figures[n].key);
            pm_json_cell(j, pm_figure_cell(&pm_figures[n], m));
        }
    }
}

static void section_member(pm_json *j, const pm_model *m, const char *name)
{
    pm_json_put_object(j, name);
    section(j, m, name);
    pm_json_object_end(j);
}

static void capture(pm_json *j, const pm_model *m)
{
    pm_json_put_object(j, "capture");
    section(j, m, "capture");
    pm_json_put_array(j, "notices");
    for (size_t n = 0; n < m->notice_count; n++) {
        pm_json_string(j, m->notices[n]);
    }
    pm_json_array_end(j);
    pm_json_object_end(j);
}

static void status_counts(pm_json *j, const pm_totals *totals)
{
    pm_json_put_object(j, "status");
    for (int s = 0; s < PM_STATUS_SLOTS; s++) {
        char code[PM_STATUS_NAME];

        if (totals->status[s]) {
            pm_json_put_uint(j, pm_status_name(s, code), totals->status[s]);
        }
    }
    pm_json_object_end(j);
}

static void total_latency(pm_json *j, const pm_totals *totals)
{
    static const struct {
        const char *key;
        double q;
    } quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};
    int known = pm_hist_total(totals->hist) > 0;

    pm_json_put_object(j, "latency");
    for (int n = 0; n < 3; n++) {
        if (known) {
            pm_json_put_seconds(j, quantiles[n].key,
                                pm_hist_quantile(totals->hist, quantiles[n].q));
        }
        else {
            pm_json_put_null(j, quantiles[n].key);
        }
    }
    if (known) {
        pm_json_put_seconds(j, "max", totals->max_us);
    }
    else {
        pm_json_put_null(j, "max");
    }
    pm_json_object_end(j);
}

static void totals(pm_json *j, const pm_model *m)
{
    pm_json_put_object(j, "totals");
    section(j, m, "totals");
    status_counts(j, &m->totals);
    total_latency(j, &m->totals);
    pm_json_object_end(j);
    section_member(j, m, "workers");
    section_member(j, m, "in_flight");
}

/* ---- events ---- */

static void event_member(pm_json *j, const char *key, const pm_event *e)
{
    pm_json_key(j, key);
    if (e) {
        pm_json_event(j, e);
    }
    else {
        pm_json_null(j);
    }
}

static void events(pm_json *j, const pm_model *m, const pm_query *q)
{
    pm_window window = pm_query_window(m, q);

    pm_json_put_array(j, "events");
    for (size_t n = 0; n < m->event_count; n++) {
        if (pm_window_has(window, m->events[n].at_us)) {
            pm_json_event(j, &m->events[n]);
        }
    }
    pm_json_array_end(j);
}

static void incidents(pm_json *j, const pm_model *m, const pm_query *q)
{
    int summary = q->view == PM_VIEW_SUMMARY;

    pm_json_put_array(j, "incidents");
    for (size_t n = 0; n < m->case_count; n++) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            pm_json_incident(j, m, &m->cases[n], !summary,
                             !summary || q->incident || m->cases[n].incident->open);
        }
    }
    pm_json_array_end(j);
}

/* ---- series ---- */

static void series(pm_json *j, const pm_model *m, const pm_query *q)
{
    pm_window window = pm_query_window(m, q);

    pm_json_put_object(j, "series");
    pm_json_put_seconds(j, "resolution", m->resolution_us);
    pm_json_put_array(j, "columns");
    for (int c = 0; c < PM_COLUMNS; c++) {
        pm_json_string(j, pm_columns[c].name);
    }
    pm_json_array_end(j);
    pm_json_put_array(j, "rows");
    for (size_t n = 0; n < m->row_count; n++) {
        if (!pm_window_has(window, m->rows[n].at_us)) {
            continue;
        }
        pm_json_array(j);
        for (int c = 0; c < PM_COLUMNS; c++) {
            pm_json_cell(j, pm_column_cell(c, &m->rows[n]));
        }
        pm_json_array_end(j);
    }
    pm_json_array_end(j);
    pm_json_object_end(j);
}

apr_status_t pm_encode_json(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx)
{
    pm_json j;

    pm_json_begin(&j, sink, ctx);
    pm_json_object(&j);
    pm_json_put_text(&j, "schema", "pmcapture.v1");
    section(&j, m, "");
    capture(&j, m);
    section_member(&j, m, "server");
    if (q->view & PM_VIEW_TOTALS) {
        totals(&j, m);
        event_member(&j, "last_change", m->last_change);
        event_member(&j, "last_crash", m->last_crash);
    }
    if (q->view & PM_VIEW_INCIDENTS) {
        incidents(&j, m, q);
    }
    if (q->view & PM_VIEW_EVENTS) {
        events(&j, m, q);
    }
    if (q->view & PM_VIEW_SERIES) {
        series(&j, m, q);
    }
    pm_json_object_end(&j);
    return pm_json_end(&j);
}
