/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_json.c: the capture document, "schema": "pmcapture.v1".
 *
 * The one way out for structured data: the handler and pmdump both end here. An unknown value is null;
 * but for `generated`, nothing depends on when the document is asked for while the server runs.
 */
#include "encode.h"

#include <string.h>

#include <apr_strings.h>

#include "pm_estimates.h"
#include "pm_hist.h"
#include "pm_story.h"
#include "pm_time.h"

/* ---- one member each ---- */

static void uint_member(pm_json *j, const char *key, uint64_t value)
{
    pm_json_key(j, key);
    pm_json_uint(j, value);
}

static void gauge_member(pm_json *j, const char *key, uint32_t value)
{
    pm_json_key(j, key);
    if (value == PM_UNKNOWN) {
        pm_json_null(j);
    }
    else {
        pm_json_uint(j, value);
    }
}

static void double_member(pm_json *j, const char *key, double value)
{
    pm_json_key(j, key);
    pm_json_double(j, value);
}

static void bool_member(pm_json *j, const char *key, int value)
{
    pm_json_key(j, key);
    pm_json_bool(j, value);
}

static void null_member(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_null(j);
}

static void seconds_member(pm_json *j, const char *key, uint64_t us)
{
    pm_json_key(j, key);
    pm_json_seconds(j, us);
}

static void time_member(pm_json *j, const char *key, uint64_t us)
{
    pm_json_key(j, key);
    pm_json_time(j, us);
}

/* A text that is not known is empty in the records. */
static void text_member(pm_json *j, const char *key, const char *text)
{
    pm_json_key(j, key);
    pm_json_string(j, text && *text ? text : NULL);
}

/* A share of nothing is unknown; more than all is the rounding of estimates. */
static void ratio_member(pm_json *j, const char *key, double part, double whole)
{
    if (whole > 0) {
        double ratio = part / whole;

        double_member(j, key, ratio < 0 ? 0 : ratio > 1 ? 1 : ratio);
    }
    else {
        null_member(j, key);
    }
}

static void object_member(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_object(j);
}

static void array_member(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_array(j);
}

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
    object_member(j, name);
    section(j, m, name);
    pm_json_object_end(j);
}

static void capture(pm_json *j, const pm_model *m)
{
    object_member(j, "capture");
    section(j, m, "capture");
    array_member(j, "notices");
    for (size_t n = 0; n < m->notice_count; n++) {
        pm_json_string(j, m->notices[n]);
    }
    pm_json_array_end(j);
    pm_json_object_end(j);
}

static void status_counts(pm_json *j, const pm_totals *totals)
{
    object_member(j, "status");
    for (int s = 0; s < PM_STATUS_SLOTS; s++) {
        char code[PM_STATUS_NAME];

        if (totals->status[s]) {
            uint_member(j, pm_status_name(s, code), totals->status[s]);
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

    object_member(j, "latency");
    for (int n = 0; n < 3; n++) {
        if (known) {
            seconds_member(j, quantiles[n].key, pm_hist_quantile(totals->hist, quantiles[n].q));
        }
        else {
            null_member(j, quantiles[n].key);
        }
    }
    if (known) {
        seconds_member(j, "max", totals->max_us);
    }
    else {
        null_member(j, "max");
    }
    pm_json_object_end(j);
}

static void totals(pm_json *j, const pm_model *m)
{
    object_member(j, "totals");
    section(j, m, "totals");
    status_counts(j, &m->totals);
    total_latency(j, &m->totals);
    pm_json_object_end(j);
    section_member(j, m, "workers");
    section_member(j, m, "in_flight");
}

/* ---- events ---- */

void pm_json_event_members(pm_json *j, const pm_event *e)
{
    uint_member(j, "seq", e->seq);
    time_member(j, "at", e->at_us);
    text_member(j, "type", pm_event_name(e->type));
    text_member(j, "severity", pm_severity_name(e->severity));
    pm_json_key(j, "text");
    pm_json_string(j, e->text);
    pm_json_key(j, "data");
    if (e->data && e->data_len && e->data[0] == '{' && pm_json_valid(e->data, e->data_len)) {
        pm_json_raw(j, e->data, e->data_len);
    }
    else {
        pm_json_object(j);
        bool_member(j, "damaged", 1);
        pm_json_object_end(j);
    }
}

static void event(pm_json *j, const pm_event *e)
{
    pm_json_object(j);
    pm_json_event_members(j, e);
    pm_json_object_end(j);
}

static void event_member(pm_json *j, const char *key, const pm_event *e)
{
    pm_json_key(j, key);
    if (e) {
        event(j, e);
    }
    else {
        pm_json_null(j);
    }
}

static void events(pm_json *j, const pm_model *m, const pm_query *q)
{
    pm_window window = pm_query_window(m, q);

    array_member(j, "events");
    for (size_t n = 0; n < m->event_count; n++) {
        if (pm_window_has(window, m->events[n].at_us)) {
            event(j, &m->events[n]);
        }
    }
    pm_json_array_end(j);
}

/* ---- incidents ---- */

static void quantiles(pm_json *j, const char *key, const pm_quantiles *q)
{
    object_member(j, key);
    if (q->count) {
        seconds_member(j, "p50", q->p50_us);
        seconds_member(j, "p90", q->p90_us);
        seconds_member(j, "p99", q->p99_us);
    }
    else {
        null_member(j, "p50");
        null_member(j, "p90");
        null_member(j, "p99");
    }
    pm_json_object_end(j);
}

static void clients(pm_json *j, const pm_incident *i)
{
    double total = i->clients, affected = i->error_clients;
    pm_estimates error;

    if (!i->clients_known) {
        null_member(j, "clients");
        return;
    }
    object_member(j, "clients");
    uint_member(j, "total", (uint64_t)(total + 0.5));
    uint_member(j, "affected", (uint64_t)(affected + 0.5));
    ratio_member(j, "affected_ratio", affected, total);
    object_member(j, "error");
    pm_clients_estimates(i, &error);
    double_member(j, "total", error.total);
    double_member(j, "affected", error.affected);
    double_member(j, "affected_ratio", error.affected_ratio);
    pm_json_object_end(j);
    pm_json_object_end(j);
}

static void unserved(pm_json *j, const pm_incident *i)
{
    if (!i->unserved_us) {
        null_member(j, "unserved");
        return;
    }
    object_member(j, "unserved");
    seconds_member(j, "seconds", i->unserved_us);
    if (i->before_us) {
        uint_member(j, "expected_requests", i->expected_requests);
        double_member(j, "error", i->expected_error);
    }
    else {
        null_member(j, "expected_requests");
        null_member(j, "error");
    }
    pm_json_object_end(j);
}

/* A figure, null when it is negative: not counted. */
static void known_member(pm_json *j, const char *key, double value)
{
    if (value < 0) {
        null_member(j, key);
    }
    else {
        double_member(j, key, value);
    }
}

static void usual(pm_json *j, const char *key, const pm_usual *u)
{
    if (!u->us) {
        null_member(j, key);
        return;
    }
    object_member(j, key);
    seconds_member(j, "history", u->us);
    double_member(j, "requests_per_second", u->requests_per_second);
    double_member(j, "error_ratio", u->error_ratio);
    known_member(j, "clients_per_minute", u->clients_per_minute);
    pm_json_object_end(j);
}

static void before(pm_json *j, const pm_incident *i)
{
    if (!i->before_us) {
        null_member(j, "before");
        return;
    }
    object_member(j, "before");
    seconds_member(j, "history", i->before_us);
    double_member(j, "requests_per_second", i->before_requests_per_second);
    double_member(j, "error_ratio", i->before_error_ratio);
    known_member(j, "clients_per_minute", i->clients_known ? i->before_clients_per_minute : -1);
    usual(j, "day", &i->day);
    usual(j, "week", &i->week);
    pm_json_object_end(j);
}

static void bounds(pm_json *j, const pm_incident *i)
{
    pm_bounds b = pm_requests_bounds(i);

    object_member(j, "requests_bounds");
    uint_member(j, "least", b.least);
    if (b.most == UINT64_MAX) {
        null_member(j, "most");
    }
    else {
        uint_member(j, "most", b.most);
    }
    pm_json_object_end(j);
}

/** From sets of clients: a few are exact, of many the share is within some five points. */
static void served(pm_json *j, const pm_incident *i)
{
    pm_json_key(j, "served");
    if (i->served_all < 0.5) {
        pm_json_null(j);
        return;
    }
    pm_json_object(j);
    uint_member(j, "clients", (uint64_t)(i->served_all + 0.5));
    uint_member(j, "served", (uint64_t)(i->served + 0.5));
    ratio_member(j, "ratio", i->served, i->served_all);
    if (i->served_usual >= 0) {
        ratio_member(j, "usual", i->served_usual, 1);
    }
    else {
        pm_json_key(j, "usual");
        pm_json_null(j);
    }
    pm_json_object_end(j);
}

static void figures(pm_json *j, const pm_incident *i)
{
    uint_member(j, "requests", i->requests);
    bounds(j, i);
    uint_member(j, "errors", i->errors);
    ratio_member(j, "error_ratio", (double)i->errors, (double)i->requests);
    uint_member(j, "slow", i->slow);
    text_member(j, "verb", pm_story_verb(i->kinds));
    served(j, i);
    object_member(j, "status");
    for (int n = 0; n < PM_INCIDENT_STATUSES && i->status_code[n]; n++) {
        char code[16];

        apr_snprintf(code, sizeof(code), "%u", i->status_code[n]);
        uint_member(j, code, i->status_count[n]);
    }
    pm_json_object_end(j);
    unserved(j, i);
    object_member(j, "peak");
    time_member(j, "at", i->peak_at_us);
    double_member(j, "errors_per_second", i->peak_errors_per_second);
    ratio_member(j, "error_ratio", i->peak_ratio, 1);
    pm_json_object_end(j);
    clients(j, i);
    object_member(j, "latency");
    quantiles(j, "before", &i->before);
    quantiles(j, "during", &i->during);
    pm_json_object_end(j);
    before(j, i);
}

enum dimension { VHOST, PLAIN, BACKEND, ERROR_LOG };

static void tally(pm_json *j, const pm_tally *t, enum dimension dimension)
{
    pm_json_object(j);
    text_member(j, "key", t->key);
    if (dimension == ERROR_LOG) {
        uint_member(j, "count", t->errors);
        time_member(j, "first_seen", t->first_seen_us);
        text_member(j, "sample", t->defined);
        pm_json_object_end(j);
        return;
    }
    if (dimension == VHOST) {
        text_member(j, "defined", t->defined);
    }
    if (t->requests == UINT64_MAX) {
        null_member(j, "requests");
    }
    else {
        uint_member(j, "requests", t->requests);
    }
    uint_member(j, "errors", t->errors);
    ratio_member(j, "error_ratio", (double)t->counted_errors, (double)t->counted_requests);
    if (dimension == BACKEND) {
        object_member(j, "failure");
        for (uint32_t f = PM_FAILURE_REFUSED; f < PM_FAILURES; f++) {
            uint_member(j, pm_failure_key(f), pm_failure_count(t, f));
        }
        pm_json_object_end(j);
    }
    pm_json_object_end(j);
}

static void tallies(pm_json *j, const char *key, const pm_tally *t, enum dimension dimension)
{
    array_member(j, key);
    for (int n = 0; n < PM_TALLIES && t[n].errors; n++) {
        tally(j, &t[n], dimension);
    }
    pm_json_array_end(j);
}

static void count(pm_json *j, const pm_count *c)
{
    text_member(j, "key", c->key);
    if (c->requests == UINT64_MAX) {
        null_member(j, "requests");
    }
    else {
        uint_member(j, "requests", c->requests);
    }
    uint_member(j, "errors", c->errors);
}

static void methods(pm_json *j, const pm_incident *i)
{
    array_member(j, "method");
    for (int n = 0; n < PM_COUNTS && i->by_method[n].errors; n++) {
        pm_json_object(j);
        count(j, &i->by_method[n]);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void clients_alike(pm_json *j, const pm_incident *i)
{
    pm_alike alike[PM_COUNTS];
    int lines = pm_clients_alike(i, alike);

    array_member(j, "client");
    for (int n = 0; n < lines; n++) {
        pm_json_object(j);
        count(j, &alike[n].sum);
        uint_member(j, "clients", alike[n].clients);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

/* Who asked, counted since the incident was detected. */
static void traffic(pm_json *j, const pm_incident *i)
{
    if (!i->counted_requests) {
        null_member(j, "traffic");
        return;
    }
    object_member(j, "traffic");
    uint_member(j, "requests", i->counted_requests);
    uint_member(j, "monitoring", i->monitoring_requests);
    ratio_member(j, "monitoring_ratio", (double)i->monitoring_requests,
                 (double)i->counted_requests);
    if (i->busiest.requests) {
        object_member(j, "busiest_client");
        text_member(j, "key", i->busiest.key);
        uint_member(j, "requests", i->busiest.requests);
        uint_member(j, "errors", i->busiest.errors);
        ratio_member(j, "ratio", (double)i->busiest.requests, (double)i->counted_requests);
        pm_json_object_end(j);
    }
    else {
        null_member(j, "busiest_client");
    }
    pm_json_object_end(j);
}

static void breakdown(pm_json *j, const pm_incident *i)
{
    object_member(j, "breakdown");
    tallies(j, "vhost", i->by_vhost, VHOST);
    tallies(j, "route", i->by_route, PLAIN);
    tallies(j, "host", i->by_host, PLAIN);
    tallies(j, "backend", i->by_backend, BACKEND);
    tallies(j, "error_log", i->by_error_log, ERROR_LOG);
    methods(j, i);
    clients_alike(j, i);
    text_member(j, "basis", PM_BREAKDOWN_BASIS);
    pm_json_object_end(j);
    traffic(j, i);
}

static void samples(pm_json *j, const pm_case *c)
{
    array_member(j, "samples");
    for (size_t n = 0; n < c->sample_count; n++) {
        const pm_sample *s = &c->samples[n];

        pm_json_object(j);
        time_member(j, "at", s->at_us);
        gauge_member(j, "status", s->status ? s->status : PM_UNKNOWN);
        text_member(j, "method", s->method);
        text_member(j, "uri", s->uri);
        text_member(j, "host", s->host);
        text_member(j, "vhost", s->vhost);
        text_member(j, "backend", s->backend);
        text_member(j, "client", s->client);
        seconds_member(j, "latency", s->latency_us);
        text_member(j, "request_id", s->request_id);
        if (s->flags & PM_SAMPLE_MAYBE_ABORTED) {
            null_member(j, "aborted");
        }
        else {
            bool_member(j, "aborted", (s->flags & PM_SAMPLE_ABORTED) != 0);
        }
        bool_member(j, "slow", (s->flags & PM_SAMPLE_SLOW) != 0);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void causes(pm_json *j, const pm_case *c)
{
    array_member(j, "causes");
    for (size_t n = 0; n < c->cause_count; n++) {
        const pm_cause *cause = &c->causes[n];

        pm_json_object(j);
        uint_member(j, "rank", cause->rank);
        text_member(j, "kind", cause->kind);
        text_member(j, "summary", cause->summary);
        text_member(j, "statement", cause->statement);
        text_member(j, "nearness", cause->nearness);
        array_member(j, "evidence");
        for (size_t e = 0; e < cause->evidence_count; e++) {
            pm_json_uint(j, cause->evidence[e]);
        }
        pm_json_array_end(j);
        time_member(j, "at", cause->at_us);
        if (cause->at_us) {
            double_member(j, "seconds_before_onset",
                          (double)cause->before_onset_us / (double)PM_SECOND);
        }
        else {
            null_member(j, "seconds_before_onset");
        }
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void hypotheses(pm_json *j, const char *key, const pm_cleared *list, size_t count)
{
    array_member(j, key);
    for (size_t n = 0; n < count; n++) {
        pm_json_object(j);
        text_member(j, "hypothesis", list[n].hypothesis);
        text_member(j, "summary", list[n].summary);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void story(pm_json *j, const pm_case *c)
{
    array_member(j, "changes");
    for (size_t n = 0; n < c->change_count; n++) {
        event(j, c->changes[n]);
    }
    pm_json_array_end(j);
    causes(j, c);
    hypotheses(j, "ruled_out", c->cleared, c->cleared_count);
    hypotheses(j, "not_watched", c->unwatched, c->unwatched_count);
    array_member(j, "timeline");
    for (size_t n = 0; n < c->timeline_count; n++) {
        pm_json_object(j);
        time_member(j, "at", c->timeline[n].at_us);
        text_member(j, "kind", c->timeline[n].kind);
        pm_json_key(j, "text");
        pm_json_string(j, c->timeline[n].text);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

/* For who lays it out: nobody has to word a figure again. */
static void words(pm_json *j, const pm_model *m, const pm_incident *i)
{
    char text[PM_STORY_HEADLINE];

    object_member(j, "words");
    text_member(j, "title", pm_story_title(i, text));
    text_member(j, "duration", pm_time_span(pm_story_until(m, i) - i->onset_us, text));
    text_member(j, "requests", pm_requests_count(i, text));
    text_member(j, "failed_share", i->requests ? pm_requests_share(i, i->errors, text) : NULL);
    pm_json_object_end(j);
}

static void impact_row(void *ctx, const pm_impact *row)
{
    pm_json *j = ctx;

    pm_json_object(j);
    text_member(j, "what", row->what);
    text_member(j, "figure", row->figure);
    time_member(j, "at", row->at_us);
    text_member(j, "field", row->field);
    pm_json_object_end(j);
}

/* Only while it is open and nothing fails. */
static void quiet(pm_json *j, const pm_model *m, const pm_incident *i)
{
    char words[PM_STORY_QUIET];
    uint64_t us = pm_story_quiet(m, i, words);

    if (us == 0) {
        null_member(j, "quiet");
        return;
    }
    object_member(j, "quiet");
    seconds_member(j, "seconds", us);
    time_member(j, "since", i->end_us);
    uint_member(j, "closes_after", i->clear_s);
    text_member(j, "summary", words);
    pm_json_object_end(j);
}

static void incident(pm_json *j, const pm_model *m, const pm_case *c, int with_samples, int whole)
{
    const pm_incident *i = c->incident;
    char headline[PM_STORY_HEADLINE];
    const pm_kind_fact *kind;

    pm_json_object(j);
    uint_member(j, "id", i->id);
    text_member(j, "state", i->open ? "open" : "closed");
    array_member(j, "kinds");
    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        pm_json_string(j, kind->name);
    }
    pm_json_array_end(j);
    object_member(j, "scope");
    text_member(j, "vhost", i->vhost);
    pm_json_object_end(j);
    text_member(j, "summary", pm_story_headline(m, i, headline));
    time_member(j, "onset", i->onset_us);
    time_member(j, "detected", i->detected_us);
    time_member(j, "end", i->open ? 0 : i->end_us);
    time_member(j, "closed", i->closed_us);
    seconds_member(j, "duration", pm_story_until(m, i) - i->onset_us);
    quiet(j, m, i);
    words(j, m, i);
    figures(j, i);
    if (whole && !c->figures_only) {
        array_member(j, "impact");
        pm_story_impact(m, i, impact_row, j);
        pm_json_array_end(j);
        breakdown(j, i);
        story(j, c);
    }
    if (with_samples) {
        samples(j, c);
    }
    pm_json_object_end(j);
}

static void incidents(pm_json *j, const pm_model *m, const pm_query *q)
{
    int summary = q->view == PM_VIEW_SUMMARY;

    array_member(j, "incidents");
    for (size_t n = 0; n < m->case_count; n++) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            incident(j, m, &m->cases[n], !summary,
                     !summary || q->incident || m->cases[n].incident->open);
        }
    }
    pm_json_array_end(j);
}

/* ---- series ---- */

static void series(pm_json *j, const pm_model *m, const pm_query *q)
{
    pm_window window = pm_query_window(m, q);

    object_member(j, "series");
    seconds_member(j, "resolution", m->resolution_us);
    array_member(j, "columns");
    for (int c = 0; c < PM_COLUMNS; c++) {
        pm_json_string(j, pm_columns[c].name);
    }
    pm_json_array_end(j);
    array_member(j, "rows");
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
    text_member(&j, "schema", "pmcapture.v1");
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
