/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * json_incident.c: an incident in the capture document.
 */
#include <apr_strings.h>

#include "encode.h"
#include "pm_estimates.h"
#include "pm_story.h"
#include "pm_time.h"

/* A share of nothing is unknown; more than all is the rounding of estimates. */
static void ratio_member(pm_json *j, const char *key, double part, double whole)
{
    if (whole > 0) {
        double ratio = part / whole;

        pm_json_put_double(j, key, ratio < 0 ? 0 : ratio > 1 ? 1 : ratio);
    }
    else {
        pm_json_put_null(j, key);
    }
}

static void gauge_member(pm_json *j, const char *key, uint32_t value)
{
    if (value == PM_UNKNOWN) {
        pm_json_put_null(j, key);
    }
    else {
        pm_json_put_uint(j, key, value);
    }
}

static void quantiles(pm_json *j, const char *key, const pm_quantiles *q)
{
    pm_json_put_object(j, key);
    if (q->count) {
        pm_json_put_seconds(j, "p50", q->p50_us);
        pm_json_put_seconds(j, "p90", q->p90_us);
        pm_json_put_seconds(j, "p99", q->p99_us);
    }
    else {
        pm_json_put_null(j, "p50");
        pm_json_put_null(j, "p90");
        pm_json_put_null(j, "p99");
    }
    pm_json_object_end(j);
}

static void clients(pm_json *j, const pm_incident *i)
{
    double total = i->clients, affected = i->error_clients;
    pm_estimates error;

    if (!i->clients_known) {
        pm_json_put_null(j, "clients");
        return;
    }
    pm_json_put_object(j, "clients");
    pm_json_put_uint(j, "total", (uint64_t)(total + 0.5));
    pm_json_put_uint(j, "affected", (uint64_t)(affected + 0.5));
    ratio_member(j, "affected_ratio", affected, total);
    pm_json_put_object(j, "error");
    pm_clients_estimates(i, &error);
    pm_json_put_double(j, "total", error.total);
    pm_json_put_double(j, "affected", error.affected);
    pm_json_put_double(j, "affected_ratio", error.affected_ratio);
    pm_json_object_end(j);
    pm_json_object_end(j);
}

static void unserved(pm_json *j, const pm_incident *i)
{
    if (!i->unserved_us) {
        pm_json_put_null(j, "unserved");
        return;
    }
    pm_json_put_object(j, "unserved");
    pm_json_put_seconds(j, "seconds", i->unserved_us);
    if (i->before_us) {
        pm_json_put_uint(j, "expected_requests", i->expected_requests);
        pm_json_put_double(j, "error", i->expected_error);
    }
    else {
        pm_json_put_null(j, "expected_requests");
        pm_json_put_null(j, "error");
    }
    pm_json_object_end(j);
}

/* A figure, null when it is negative: not counted. */
static void known_member(pm_json *j, const char *key, double value)
{
    if (value < 0) {
        pm_json_put_null(j, key);
    }
    else {
        pm_json_put_double(j, key, value);
    }
}

static void usual(pm_json *j, const char *key, const pm_usual *u)
{
    if (!u->us) {
        pm_json_put_null(j, key);
        return;
    }
    pm_json_put_object(j, key);
    pm_json_put_seconds(j, "history", u->us);
    pm_json_put_double(j, "requests_per_second", u->requests_per_second);
    pm_json_put_double(j, "error_ratio", u->error_ratio);
    known_member(j, "clients_per_minute", u->clients_per_minute);
    pm_json_object_end(j);
}

static void before(pm_json *j, const pm_incident *i)
{
    if (!i->before_us) {
        pm_json_put_null(j, "before");
        return;
    }
    pm_json_put_object(j, "before");
    pm_json_put_seconds(j, "history", i->before_us);
    pm_json_put_double(j, "requests_per_second", i->before_requests_per_second);
    pm_json_put_double(j, "error_ratio", i->before_error_ratio);
    known_member(j, "clients_per_minute", i->clients_known ? i->before_clients_per_minute : -1);
    usual(j, "day", &i->day);
    usual(j, "week", &i->week);
    pm_json_object_end(j);
}

static void bounds(pm_json *j, const pm_incident *i)
{
    pm_bounds b = pm_requests_bounds(i);

    pm_json_put_object(j, "requests_bounds");
    pm_json_put_uint(j, "least", b.least);
    if (b.most == UINT64_MAX) {
        pm_json_put_null(j, "most");
    }
    else {
        pm_json_put_uint(j, "most", b.most);
    }
    pm_json_object_end(j);
}

/** From sets of clients: a few are exact, of many the share is within some five points. */
static void served(pm_json *j, const pm_incident *i)
{
    if (i->served_all < 0.5) {
        pm_json_put_null(j, "served");
        return;
    }
    pm_json_put_object(j, "served");
    pm_json_put_uint(j, "clients", (uint64_t)(i->served_all + 0.5));
    pm_json_put_uint(j, "served", (uint64_t)(i->served + 0.5));
    ratio_member(j, "ratio", i->served, i->served_all);
    if (i->served_usual >= 0) {
        ratio_member(j, "usual", i->served_usual, 1);
    }
    else {
        pm_json_put_null(j, "usual");
    }
    pm_json_object_end(j);
}

static void figures(pm_json *j, const pm_incident *i)
{
    pm_json_put_uint(j, "requests", i->requests);
    bounds(j, i);
    pm_json_put_uint(j, "errors", i->errors);
    ratio_member(j, "error_ratio", (double)i->errors, (double)i->requests);
    pm_json_put_uint(j, "slow", i->slow);
    pm_json_put_text(j, "verb", pm_story_verb(i->kinds));
    served(j, i);
    pm_json_put_object(j, "status");
    for (int n = 0; n < PM_INCIDENT_STATUSES && i->status_code[n]; n++) {
        char code[16];

        apr_snprintf(code, sizeof(code), "%u", i->status_code[n]);
        pm_json_put_uint(j, code, i->status_count[n]);
    }
    pm_json_object_end(j);
    unserved(j, i);
    pm_json_put_object(j, "peak");
    pm_json_put_time(j, "at", i->peak_at_us);
    pm_json_put_double(j, "errors_per_second", i->peak_errors_per_second);
    ratio_member(j, "error_ratio", i->peak_ratio, 1);
    pm_json_object_end(j);
    clients(j, i);
    pm_json_put_object(j, "latency");
    quantiles(j, "before", &i->before);
    quantiles(j, "during", &i->during);
    pm_json_object_end(j);
    before(j, i);
}

enum dimension { VHOST, PLAIN, BACKEND, ERROR_LOG };

static void tally(pm_json *j, const pm_tally *t, enum dimension dimension)
{
    pm_json_object(j);
    pm_json_put_text(j, "key", t->key);
    if (dimension == ERROR_LOG) {
        pm_json_put_uint(j, "count", t->errors);
        pm_json_put_time(j, "first_seen", t->first_seen_us);
        pm_json_put_text(j, "sample", t->defined);
        pm_json_object_end(j);
        return;
    }
    if (dimension == VHOST) {
        pm_json_put_text(j, "defined", t->defined);
    }
    if (t->requests == UINT64_MAX) {
        pm_json_put_null(j, "requests");
    }
    else {
        pm_json_put_uint(j, "requests", t->requests);
    }
    pm_json_put_uint(j, "errors", t->errors);
    ratio_member(j, "error_ratio", (double)t->counted_errors, (double)t->counted_requests);
    if (dimension == BACKEND) {
        pm_json_put_object(j, "failure");
        for (uint32_t f = PM_FAILURE_REFUSED; f < PM_FAILURES; f++) {
            pm_json_put_uint(j, pm_failure_key(f), pm_failure_count(t, f));
        }
        pm_json_object_end(j);
    }
    pm_json_object_end(j);
}

static void tallies(pm_json *j, const char *key, const pm_tally *t, enum dimension dimension)
{
    pm_json_put_array(j, key);
    for (int n = 0; n < PM_TALLIES && t[n].errors; n++) {
        tally(j, &t[n], dimension);
    }
    pm_json_array_end(j);
}

static void count(pm_json *j, const pm_count *c)
{
    pm_json_put_text(j, "key", c->key);
    if (c->requests == UINT64_MAX) {
        pm_json_put_null(j, "requests");
    }
    else {
        pm_json_put_uint(j, "requests", c->requests);
    }
    pm_json_put_uint(j, "errors", c->errors);
}

static void methods(pm_json *j, const pm_incident *i)
{
    pm_json_put_array(j, "method");
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

    pm_json_put_array(j, "client");
    for (int n = 0; n < lines; n++) {
        pm_json_object(j);
        count(j, &alike[n].sum);
        pm_json_put_uint(j, "clients", alike[n].clients);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

/* Who asked, counted since the incident was detected. */
static void traffic(pm_json *j, const pm_incident *i)
{
    if (!i->counted_requests) {
        pm_json_put_null(j, "traffic");
        return;
    }
    pm_json_put_object(j, "traffic");
    pm_json_put_uint(j, "requests", i->counted_requests);
    pm_json_put_uint(j, "monitoring", i->monitoring_requests);
    ratio_member(j, "monitoring_ratio", (double)i->monitoring_requests,
                 (double)i->counted_requests);
    if (i->busiest.requests) {
        pm_json_put_object(j, "busiest_client");
        pm_json_put_text(j, "key", i->busiest.key);
        pm_json_put_uint(j, "requests", i->busiest.requests);
        pm_json_put_uint(j, "errors", i->busiest.errors);
        ratio_member(j, "ratio", (double)i->busiest.requests, (double)i->counted_requests);
        pm_json_object_end(j);
    }
    else {
        pm_json_put_null(j, "busiest_client");
    }
    pm_json_object_end(j);
}

static void breakdown(pm_json *j, const pm_incident *i)
{
    pm_json_put_object(j, "breakdown");
    tallies(j, "vhost", i->by_vhost, VHOST);
    tallies(j, "route", i->by_route, PLAIN);
    tallies(j, "host", i->by_host, PLAIN);
    tallies(j, "backend", i->by_backend, BACKEND);
    tallies(j, "error_log", i->by_error_log, ERROR_LOG);
    methods(j, i);
    clients_alike(j, i);
    pm_json_put_text(j, "basis", PM_BREAKDOWN_BASIS);
    pm_json_object_end(j);
    traffic(j, i);
}

static void samples(pm_json *j, const pm_case *c)
{
    pm_json_put_array(j, "samples");
    for (size_t n = 0; n < c->sample_count; n++) {
        const pm_sample *s = &c->samples[n];

        pm_json_object(j);
        pm_json_put_time(j, "at", s->at_us);
        gauge_member(j, "status", s->status ? s->status : PM_UNKNOWN);
        pm_json_put_text(j, "method", s->method);
        pm_json_put_text(j, "uri", s->uri);
        pm_json_put_text(j, "host", s->host);
        pm_json_put_text(j, "vhost", s->vhost);
        pm_json_put_text(j, "backend", s->backend);
        pm_json_put_text(j, "client", s->client);
        pm_json_put_seconds(j, "latency", s->latency_us);
        pm_json_put_text(j, "request_id", s->request_id);
        if (s->flags & PM_SAMPLE_MAYBE_ABORTED) {
            pm_json_put_null(j, "aborted");
        }
        else {
            pm_json_put_bool(j, "aborted", (s->flags & PM_SAMPLE_ABORTED) != 0);
        }
        pm_json_put_bool(j, "slow", (s->flags & PM_SAMPLE_SLOW) != 0);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void causes(pm_json *j, const pm_case *c)
{
    pm_json_put_array(j, "causes");
    for (size_t n = 0; n < c->cause_count; n++) {
        const pm_cause *cause = &c->causes[n];

        pm_json_object(j);
        pm_json_put_uint(j, "rank", cause->rank);
        pm_json_put_text(j, "kind", cause->kind);
        pm_json_put_text(j, "summary", cause->summary);
        pm_json_put_text(j, "statement", cause->statement);
        pm_json_put_text(j, "nearness", cause->nearness);
        pm_json_put_array(j, "evidence");
        for (size_t e = 0; e < cause->evidence_count; e++) {
            pm_json_uint(j, cause->evidence[e]);
        }
        pm_json_array_end(j);
        pm_json_put_time(j, "at", cause->at_us);
        if (cause->at_us) {
            pm_json_put_double(j, "seconds_before_onset",
                               (double)cause->before_onset_us / (double)PM_SECOND);
        }
        else {
            pm_json_put_null(j, "seconds_before_onset");
        }
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void hypotheses(pm_json *j, const char *key, const pm_cleared *list, size_t count)
{
    pm_json_put_array(j, key);
    for (size_t n = 0; n < count; n++) {
        pm_json_object(j);
        pm_json_put_text(j, "hypothesis", list[n].hypothesis);
        pm_json_put_text(j, "summary", list[n].summary);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void story(pm_json *j, const pm_case *c)
{
    pm_json_put_array(j, "changes");
    for (size_t n = 0; n < c->change_count; n++) {
        pm_json_event(j, c->changes[n]);
    }
    pm_json_array_end(j);
    causes(j, c);
    hypotheses(j, "ruled_out", c->cleared, c->cleared_count);
    hypotheses(j, "not_watched", c->unwatched, c->unwatched_count);
    pm_json_put_array(j, "timeline");
    for (size_t n = 0; n < c->timeline_count; n++) {
        pm_json_object(j);
        pm_json_put_time(j, "at", c->timeline[n].at_us);
        pm_json_put_text(j, "kind", c->timeline[n].kind);
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

    pm_json_put_object(j, "words");
    pm_json_put_text(j, "title", pm_story_title(i, text));
    pm_json_put_text(j, "duration", pm_time_span(pm_story_until(m, i) - i->onset_us, text));
    pm_json_put_text(j, "requests", pm_requests_count(i, text));
    pm_json_put_text(j, "failed_share", i->requests ? pm_requests_share(i, i->errors, text) : NULL);
    pm_json_object_end(j);
}

static void impact_row(void *ctx, const pm_impact *row)
{
    pm_json *j = ctx;

    pm_json_object(j);
    pm_json_put_text(j, "what", row->what);
    pm_json_put_text(j, "figure", row->figure);
    pm_json_put_time(j, "at", row->at_us);
    pm_json_put_text(j, "field", row->field);
    pm_json_object_end(j);
}

/* Only while it is open and nothing fails. */
static void quiet(pm_json *j, const pm_model *m, const pm_incident *i)
{
    char words[PM_STORY_QUIET];
    uint64_t us = pm_story_quiet(m, i, words);

    if (us == 0) {
        pm_json_put_null(j, "quiet");
        return;
    }
    pm_json_put_object(j, "quiet");
    pm_json_put_seconds(j, "seconds", us);
    pm_json_put_time(j, "since", i->end_us);
    pm_json_put_uint(j, "closes_after", i->clear_s);
    pm_json_put_text(j, "summary", words);
    pm_json_object_end(j);
}

void pm_json_incident(pm_json *j, const pm_model *m, const pm_case *c, int with_samples, int whole)
{
    const pm_incident *i = c->incident;
    char headline[PM_STORY_HEADLINE];
    const pm_kind_fact *kind;

    pm_json_object(j);
    pm_json_put_uint(j, "id", i->id);
    pm_json_put_text(j, "state", i->open ? "open" : "closed");
    pm_json_put_array(j, "kinds");
    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        pm_json_string(j, kind->name);
    }
    pm_json_array_end(j);
    pm_json_put_object(j, "scope");
    pm_json_put_text(j, "vhost", i->vhost);
    pm_json_object_end(j);
    pm_json_put_text(j, "summary", pm_story_headline(m, i, headline));
    pm_json_put_time(j, "onset", i->onset_us);
    pm_json_put_time(j, "detected", i->detected_us);
    pm_json_put_time(j, "end", i->open ? 0 : i->end_us);
    pm_json_put_time(j, "closed", i->closed_us);
    pm_json_put_seconds(j, "duration", pm_story_until(m, i) - i->onset_us);
    quiet(j, m, i);
    words(j, m, i);
    figures(j, i);
    if (whole && !c->figures_only) {
        pm_json_put_array(j, "impact");
        pm_story_impact(m, c, impact_row, j);
        pm_json_array_end(j);
        breakdown(j, i);
        story(j, c);
    }
    if (with_samples) {
        samples(j, c);
    }
    pm_json_object_end(j);
}
