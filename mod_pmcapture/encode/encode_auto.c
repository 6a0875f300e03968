/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_auto.c: "Key: value" lines, for the scripts that read mod_status's ?auto.
 *
 * Keys are ASCII without spaces and keep their meaning; an unknown value has no line. Times are RFC 3339 UTC,
 * durations seconds, ratios 0 to 1. With an incident asked for, its lines follow the server's.
 */
#include "encode.h"

#include <apr_strings.h>

#include "pm_hist.h"
#include "pm_story.h"
#include "pm_time.h"

static void text(pm_out *o, const char *key, const char *value)
{
    if (value && *value) {
        pm_out_format(o, "%s: ", key);
        pm_out_text(o, NULL, value);
        pm_out_raw(o, "\n");
    }
}

static void count(pm_out *o, const char *key, uint64_t value)
{
    pm_out_format(o, "%s: %" APR_UINT64_T_FMT "\n", key, value);
}

static void seconds(pm_out *o, const char *key, uint64_t us)
{
    pm_out_format(o, "%s: ", key);
    pm_out_seconds(o, us);
    pm_out_raw(o, "\n");
}

static void moment(pm_out *o, const char *key, uint64_t us)
{
    if (us) {
        pm_out_format(o, "%s: ", key);
        pm_out_time(o, us);
        pm_out_raw(o, "\n");
    }
}

/* Its time, "KeyType" and "KeyText"; no line when there is none on record. */
static void event(pm_out *o, const char *key, const pm_event *e)
{
    char name[32];

    if (e) {
        moment(o, key, e->at_us);
        apr_snprintf(name, sizeof(name), "%sType", key);
        text(o, name, pm_event_name(e->type));
        apr_snprintf(name, sizeof(name), "%sText", key);
        text(o, name, e->text);
    }
}

/** The figures of facts.c; what is unknown has no line. */
static void figures(pm_out *o, const pm_model *m)
{
    for (int n = 0; n < PM_FIGURES; n++) {
        const char *key = pm_figures[n].line;
        pm_cell cell = pm_figure_cell(&pm_figures[n], m);

        if (key == NULL || cell.kind == PM_CELL_NULL) {
            continue;
        }
        switch (cell.kind) {
        case PM_CELL_TEXT:
            text(o, key, cell.text);
            break;
        case PM_CELL_TIME:
            moment(o, key, cell.value);
            break;
        case PM_CELL_SECONDS:
            seconds(o, key, cell.value);
            break;
        default:
            count(o, key, cell.value);
        }
    }
}

static void server(pm_out *o, const pm_model *m)
{
    figures(o, m);
    event(o, "LastChange", m->last_change);
    event(o, "LastCrash", m->last_crash);
    for (size_t n = 0; n < m->notice_count; n++) {
        text(o, "Notice", m->notices[n]);
    }
}

static void traffic(pm_out *o, const pm_model *m)
{
    pm_recent recent = pm_recent_figures(m);

    if (recent.span_us) {
        double span = (double)recent.span_us / (double)PM_SECOND;

        pm_out_format(o, "RequestsPerSec: %.3f\n", (double)recent.requests / span);
        pm_out_format(o, "ErrorsPerSec: %.3f\n", (double)recent.errors / span);
    }
    if (recent.requests) {
        pm_out_format(o, "ErrorRatio: %.6f\n", (double)recent.errors / (double)recent.requests);
    }
    if (pm_hist_total(m->totals.hist)) {
        seconds(o, "LatencyP50", pm_hist_quantile(m->totals.hist, 0.5));
        seconds(o, "LatencyP90", pm_hist_quantile(m->totals.hist, 0.9));
        seconds(o, "LatencyP99", pm_hist_quantile(m->totals.hist, 0.99));
        seconds(o, "LatencyMax", m->totals.max_us);
    }
}

static void incidents(pm_out *o, const pm_model *m)
{
    uint64_t open = 0;

    for (size_t n = 0; n < m->case_count; n++) {
        open += m->cases[n].incident->open != 0;
    }
    count(o, "OpenIncidents", open);
    if (m->case_count) {
        const pm_incident *last = m->cases[m->case_count - 1].incident;

        count(o, "LastIncidentId", last->id);
        moment(o, "LastIncidentOnset", last->onset_us);
        moment(o, "LastIncidentEnd", last->open ? 0 : last->end_us);
    }
}

static void incident(pm_out *o, const pm_model *m, const pm_case *c)
{
    const pm_incident *i = c->incident;
    char headline[PM_STORY_HEADLINE], quiet[PM_STORY_QUIET];
    const pm_kind_fact *kind;

    count(o, "IncidentId", i->id);
    text(o, "IncidentState", i->open ? "open" : "closed");
    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        text(o, "IncidentKind", kind->name);
    }
    text(o, "IncidentVhost", i->vhost);
    text(o, "IncidentSummary", pm_story_headline(m, i, headline));
    moment(o, "IncidentOnset", i->onset_us);
    moment(o, "IncidentDetected", i->detected_us);
    moment(o, "IncidentEnd", i->open ? 0 : i->end_us);
    if (pm_story_quiet(m, i, quiet) != 0) {
        text(o, "IncidentQuiet", quiet);
    }
    seconds(o, "IncidentDuration", pm_story_until(m, i) - i->onset_us);
    count(o, "IncidentRequests", i->requests);
    count(o, "IncidentErrors", i->errors);
    count(o, "IncidentSlow", i->slow);
    for (size_t n = 0; n < c->cause_count; n++) {
        text(o, "IncidentCause", c->causes[n].summary);
    }
}

apr_status_t pm_encode_auto(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx)
{
    pm_out o;

    pm_out_begin(&o, sink, ctx);
    server(&o, m);
    traffic(&o, m);
    incidents(&o, m);
    for (size_t n = 0; q->incident && n < m->case_count; n++) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            incident(&o, m, &m->cases[n]);
        }
    }
    return pm_out_end(&o);
}
