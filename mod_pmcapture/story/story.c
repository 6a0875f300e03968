/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * story.c: an incident told in order of time: its sentence, what changed, its timeline (pm_story.h).
 */
#include "story.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "pm_estimates.h"

#define CHANGES_MAX 100     /* of one incident: the nearest */
#define OTHER_EVENTS_MAX 40 /* on one timeline: error log lines and the like */
#define STEPS_MAX 30        /* lines of figures on one timeline */
#define NEAR_US (120 * PM_SECOND)

/* ---- the incident's sentence ---- */

uint64_t pm_story_until(const pm_model *m, const pm_incident *i)
{
    uint64_t until = i->end_us;

    if (i->open) {
        until = m->state == PM_STATE_DOWN || !m->server.heartbeat_us ? m->generated_us
                                                                     : m->server.heartbeat_us;
    }
    return until > i->onset_us ? until : i->onset_us;
}

/* Append to out[PM_STORY_HEADLINE]; what does not fit is cut. */
static void add(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *out, const char *format, ...)
{
    size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    apr_vsnprintf(out + used, PM_STORY_HEADLINE - used, format, args);
    va_end(args);
}

static void add_share(char *out, uint64_t part, const pm_incident *i, const char *what)
{
    char words[PM_ESTIMATE_WORDS];

    if (i->requests) {
        add(out, "%s %s", pm_requests_words(i, part, words), what);
    }
    else {
        add(out, "No request was completed");
    }
}

static void add_unserved(char *out, const pm_incident *i)
{
    char span[PM_TIME_SIZE];

    add(out,
        i->open && i->down_since_us ? "Nobody has been served for %s" : "Nobody was served for %s",
        pm_time_span(i->unserved_us, span));
    if (i->before_us) {
        add(out, ", in which about %" APR_UINT64_T_FMT " (\302\261 %.0f) requests were expected",
            i->expected_requests, i->expected_error);
    }
}

const char *pm_story_verb(uint32_t kinds)
{
    int fails = (kinds & ~(uint32_t)(PM_KIND_UNSERVED | PM_KIND_SLOW)) != 0;

    switch (kinds & PM_KIND_UNSERVED) {
    case PM_KIND_REFUSED:
        return fails ? "failed or were refused" : "were refused";
    case PM_KIND_REDIRECTS:
        return fails ? "failed or were redirected" : "were redirected";
    case PM_KIND_UNSERVED:
        return fails ? "failed, were refused or redirected" : "were refused or redirected";
    default:
        return "failed";
    }
}

/** "; 0 of 9 clients got what they asked for, usually 98 % do": of many their share alone. */
static void add_served(char *out, const pm_incident *i)
{
    char percent[PM_STORY_PERCENT];

    if (i->served_all < 0.5) {
        return;
    }
    if (i->served_all < PM_SKETCH_EXACT) {
        add(out, "; %.0f of %.0f clients got what they asked for", i->served, i->served_all);
    }
    else {
        add(out, "; about %s of the clients got what they asked for",
            pm_story_percent((uint64_t)(i->served * 100 / i->served_all + 0.5), 100, percent));
    }
    if (i->served_usual >= 0) {
        add(out, ", usually %.0f %% do", i->served_usual * 100);
    }
}

const char *pm_story_title(const pm_incident *i, char out[PM_STORY_HEADLINE])
{
    const pm_kind_fact *kind;

    out[0] = '\0';
    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        add(out, "%s", n == 0 ? "" : pm_kind_at(i->kinds, n + 1) == NULL ? " and " : ", ");
        if (kind == pm_kind_fact_of(PM_KIND_NUMBER_ERRORS) && i->status_code[0]) {
            add(out, "%u ", i->status_code[0]);
        }
        add(out, "%s", kind->words);
    }
    if (i->vhost[0]) {
        add(out, " on %s", i->vhost);
    }
    else if (!(i->kinds & PM_KIND_STATES)) {
        add(out, " on the whole server");
    }
    if (out[0] >= 'a' && out[0] <= 'z') {
        out[0] += 'A' - 'a';
    }
    return out;
}

const char *pm_story_headline(const pm_model *m, const pm_incident *i, char out[PM_STORY_HEADLINE])
{
    char span[PM_TIME_SIZE], words[PM_ESTIMATE_WORDS];

    out[0] = '\0';
    if (i->kinds & PM_KIND_OUTAGE) {
        add_unserved(out, i);
    }
    if (i->kinds & PM_KIND_UNREACHABLE) {
        /* of the whole server it may be one address of several */
        add(out, "%s%s", out[0] ? "; " : "",
            !i->vhost[0] ? "a look from outside failed" : "not reachable from outside");
        out[0] = (char)toupper((unsigned char)out[0]);
    }
    if (i->errors || (i->kinds & (PM_KIND_ERRORS | PM_KIND_UNSERVED))) {
        add(out, "%s", out[0] ? "; " : "");
        add_share(out, i->errors, i, pm_story_verb(i->kinds));
        if (i->status_code[0]) {
            add(out, "%s with %u", i->status_code[1] ? ", most" : "", i->status_code[0]);
        }
    }
    if (i->kinds & PM_KIND_SLOW) {
        add(out, "%s", out[0] ? "; " : "");
        add_share(out, i->slow, i, "were slow");
    }
    if (i->vhost[0]) {
        add(out, " on %s", i->vhost);
    }
    if (i->kinds & ~PM_KIND_OUTAGE) {
        add(out, i->open ? " in %s so far" : " in %s",
            pm_time_span(pm_story_until(m, i) - i->onset_us, span));
    }
    if (i->kinds & PM_KIND_UNSERVED) {
        add_served(out, i);
    }
    else if (pm_clients_words(i, words)[0] != '\0') {
        add(out, "; %s met an error", words);
    }
    return out;
}

/* ---- what changed ---- */

static int note_of_this(const pm_telling *t, const pm_event *e)
{
    uint64_t id;

    return e->type == PM_EV_NOTE && pm_event_count(e, "incident", &id) && id == t->i->id;
}

/* From an hour before the onset to the end; a file that went missing, however far back: it hurts only at the
 * next start. A person's note to this incident, whenever it was written. */
static int belongs(const pm_telling *t, const pm_event *e)
{
    if (!pm_event_has(e, PM_IS_STORY)) {
        return 0;
    }
    if (note_of_this(t, e)) {
        return 1;
    }
    if (e->at_us > t->until_us) {
        return 0;
    }
    return e->at_us >= pm_story_back(t->i->onset_us, PM_HOUR_US) ||
           (e->type == PM_EV_DEPENDENCY_MISSING && pm_story_still_missing(t->m, e, t->i->onset_us));
}

typedef struct near_event {
    uint64_t distance;
    const pm_event *event;
} near_event;

static int by_distance(const void *a, const void *b)
{
    const near_event *x = a, *y = b;

    if (x->distance != y->distance) {
        return x->distance < y->distance ? -1 : 1;
    }
    return x->event->seq < y->event->seq ? -1 : 1;
}

static void tell_changes(pm_telling *t)
{
    apr_array_header_t *near = apr_array_make(t->pool, 16, sizeof(near_event));
    size_t count;

    for (size_t n = 0; n < t->m->event_count; n++) {
        const pm_event *e = &t->m->events[n];

        if (belongs(t, e)) {
            APR_ARRAY_PUSH(near, near_event) = (near_event){
                e->at_us > t->i->onset_us ? e->at_us - t->i->onset_us : t->i->onset_us - e->at_us,
                e};
        }
    }
    if (near->nelts) {
        qsort(near->elts, (size_t)near->nelts, sizeof(near_event), by_distance);
    }
    count = near->nelts < CHANGES_MAX ? (size_t)near->nelts : CHANGES_MAX;
    t->c->changes = apr_palloc(t->pool, (count + 1) * sizeof(*t->c->changes));
    for (size_t n = 0; n < count; n++) {
        t->c->changes[n] = APR_ARRAY_IDX(near, n, near_event).event;
    }
    t->c->change_count = count;
}

/* ---- the timeline ---- */

static void moment(apr_array_header_t *line, uint64_t at_us, const char *kind, const char *text)
{
    APR_ARRAY_PUSH(line, pm_moment) = (pm_moment){at_us, kind, text};
}

/* The kept request that arrived at the onset, or NULL. */
static const pm_sample *first_sample(const pm_telling *t)
{
    for (size_t n = 0; n < t->c->sample_count; n++) {
        const pm_sample *s = &t->c->samples[n];

        if (s->at_us / 1000 == t->i->onset_us / 1000) {
            return s;
        }
    }
    return NULL;
}

static const char *first_text(uint32_t kinds)
{
    return kinds & PM_KIND_ERRORS      ? "The first request that failed arrived"
           : kinds & PM_KIND_REFUSED   ? "The first request that was refused arrived"
           : kinds & PM_KIND_REDIRECTS ? "The first request that was sent round arrived"
                                       : "The first slow request arrived";
}

static const char *onset_text(const pm_telling *t)
{
    const pm_sample *s = first_sample(t);
    uint32_t kinds = t->i->kinds;

    if (s) {
        int slow = (s->flags & PM_SAMPLE_SLOW) != 0;

        return apr_psprintf(t->pool, "%s: %s %s%s%s%s%s",
                            slow ? "The first slow request arrived" : first_text(kinds), s->method,
                            s->host, s->uri,
                            s->status ? apr_psprintf(t->pool, ", answered %u", s->status) : "",
                            s->backend[0] ? ", backend " : "", s->backend);
    }
    if (!(kinds & ~PM_KIND_STATES)) {
        return kinds & PM_KIND_UNREACHABLE ? "A look from outside failed from then on"
               : kinds & PM_KIND_SILENCE   ? "The last client; nobody was served after it"
               : kinds & PM_KIND_DOWN      ? "Last alive; nobody was served after it"
                                           : "Stopped in order; nobody was served after it";
    }
    if (!(kinds & PM_KIND_STATES)) {
        return first_text(kinds);
    }
    return "It began";
}

static const char *peak_text(const pm_telling *t)
{
    char percent[PM_STORY_PERCENT], rate[PM_STORY_RATE];

    return apr_psprintf(t->pool, "Peak: %s %s a second, %s of the requests %s",
                        pm_story_rate(t->i->peak_errors_per_second, rate),
                        t->i->kinds & PM_KIND_UNSERVED ? "such answers" : "errors",
                        pm_story_percent((uint64_t)(t->i->peak_ratio * 1000 + 0.5), 1000, percent),
                        pm_story_verb(t->i->kinds));
}

static const char *last_text(uint32_t kinds)
{
    return (kinds & PM_KIND_UNSERVED) && !(kinds & PM_KIND_ERRORS)
               ? "Clients were served again after this"
               : "The last request that failed was answered";
}

static void tell_milestones(pm_telling *t, apr_array_header_t *line)
{
    const pm_incident *i = t->i;
    char span[PM_TIME_SIZE], headline[PM_STORY_HEADLINE];

    moment(line, i->onset_us, "onset", onset_text(t));
    if (i->detected_us) {
        uint64_t late = i->detected_us > i->onset_us ? i->detected_us - i->onset_us : 0;

        moment(line, i->detected_us, "detected",
               apr_psprintf(t->pool, "Recognised as an incident, %s after its onset%s",
                            pm_time_span(late, span),
                            i->sequential ? " (few requests: by their sequence)" : ""));
    }
    if (i->peak_at_us && i->errors) {
        moment(line, i->peak_at_us, "peak", peak_text(t));
    }
    pm_story_headline(t->m, i, headline);
    if (i->open) {
        moment(line, t->until_us, "open", apr_psprintf(t->pool, "Still open: %s", headline));
        return;
    }
    moment(line, t->until_us, "end",
           apr_psprintf(t->pool, "%s: %s",
                        i->kinds & ~(uint32_t)PM_KIND_STATES ? last_text(i->kinds) : "Served again",
                        headline));
    if (i->closed_us > t->until_us && (i->kinds & ~(uint32_t)PM_KIND_STATES)) {
        moment(
            line, i->closed_us, "recovered",
            apr_psprintf(t->pool, "Closed: %s for %s",
                         i->kinds & PM_KIND_UNSERVED ? "clients were served" : "nothing had failed",
                         pm_time_span(i->closed_us - t->until_us, span)));
    }
}

static void tell_events(pm_telling *t, apr_array_header_t *line)
{
    pm_slice s = pm_story_events(t, pm_story_back(t->i->onset_us, NEAR_US), t->until_us);
    int signs = 0;
    uint64_t cut_at = 0;

    for (size_t n = 0; n < t->c->change_count; n++) {
        const pm_event *e = t->c->changes[n];
        moment(line, e->at_us, pm_event_name(e->type), e->text);
    }
    for (size_t n = s.first; n < s.last; n++) {
        const pm_event *e = &t->m->events[n];

        if (!pm_event_has(e, PM_IS_SIGN)) {
            continue;
        }
        if (++signs <= OTHER_EVENTS_MAX) {
            moment(line, e->at_us, pm_event_name(e->type), e->text);
        }
        else if (!cut_at) {
            cut_at = e->at_us;
        }
    }
    if (cut_at) {
        moment(line, cut_at, "more",
               apr_psprintf(t->pool, "%d further events like these, not listed here",
                            signs - OTHER_EVENTS_MAX));
    }
}

/* Seconds are dropped with age, but for two minutes around the onset and the end. */
static int was_kept(const pm_telling *t, uint64_t at_us)
{
    const pm_incident *i = t->i;

    return at_us >= t->m->oldest_second_us ||
           (at_us >= pm_story_back(i->onset_us, NEAR_US) &&
            at_us + 2 * PM_SECOND < i->onset_us + NEAR_US) ||
           (!i->open && at_us >= pm_story_back(i->end_us, NEAR_US) &&
            at_us + 2 * PM_SECOND < i->end_us + NEAR_US);
}

static void gap(pm_telling *t, apr_array_header_t *line, uint64_t from_us, uint64_t until_us)
{
    char span[PM_TIME_SIZE];

    moment(line, from_us, "gap",
           apr_psprintf(t->pool,
                        was_kept(t, from_us) ? "Nothing on record for %s"
                                             : "The detail of the next %s is no longer kept",
                        pm_time_span(until_us - from_us, span)));
}

static void tell_gaps(pm_telling *t, apr_array_header_t *line)
{
    const pm_model *m = t->m;
    uint64_t until = t->i->closed_us > t->until_us ? t->i->closed_us : t->until_us;
    pm_slice s = pm_story_rows(t, pm_story_back(t->i->onset_us, NEAR_US), until);
    char span[PM_TIME_SIZE];

    /* the row before the first may be where a gap begins */
    for (size_t n = s.first ? s.first - 1 : 0; n < s.last; n++) {
        const pm_row *row = &m->rows[n];
        uint64_t covered = row->span_us > m->resolution_us ? row->span_us : m->resolution_us;
        uint64_t next = n + 1 < m->row_count ? row[1].at_us : t->until_us;

        if (row->span_us >= 5 * m->resolution_us) {
            moment(line, row->at_us, "gap",
                   apr_psprintf(t->pool, "One figure covers %s: no detail within",
                                pm_time_span(row->span_us, span)));
        }
        if (next >= row->at_us + covered + m->resolution_us) {
            gap(t, line, row->at_us + covered, next);
        }
    }
}

static const char *step_text(const pm_telling *t, uint64_t from_us, uint64_t until_us)
{
    uint64_t requests = 0, errors = 0, slowest = 0;
    pm_slice s = pm_story_rows(t, from_us, until_us);
    char span[PM_TIME_SIZE], latency[PM_STORY_LATENCY], percent[PM_STORY_PERCENT];

    for (size_t n = s.first; n < s.last; n++) {
        const pm_row *row = &t->m->rows[n];

        requests += row->requests;
        errors += row->errors;
        slowest = row->max_us > slowest ? row->max_us : slowest;
    }
    if (!requests) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "Next %s%s: %" APR_UINT64_T_FMT " requests, %" APR_UINT64_T_FMT " failed (%s), slowest %s",
        pm_time_span(until_us - from_us, span), t->i->vhost[0] ? ", whole server" : "", requests,
        errors, pm_story_percent(errors, requests, percent), pm_story_latency(slowest, latency));
}

/* Figures of each minute, or of longer steps when the incident is long. */
static void tell_steps(pm_telling *t, apr_array_header_t *line)
{
    uint64_t minute = 60 * PM_SECOND;
    uint64_t length = t->until_us - t->i->onset_us;
    uint64_t step = (length / STEPS_MAX / minute + 1) * minute;

    for (uint64_t n = 0; length > minute && n * step < length; n++) {
        uint64_t at = t->i->onset_us + n * step;
        uint64_t until = (n + 1) * step < length ? at + step : t->until_us;
        const char *text = step_text(t, at, until);

        if (text) {
            moment(line, at, "minute", text);
        }
    }
}

/* At the same moment the onset comes first, the end last. */
static int order_of(const pm_moment *x)
{
    if (!strcmp(x->kind, "onset")) {
        return 0;
    }
    return !strcmp(x->kind, "end") || !strcmp(x->kind, "open") ? 2 : 1;
}

static int by_time(const void *a, const void *b)
{
    const pm_moment *x = a, *y = b;

    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return order_of(x) - order_of(y);
}

static void tell_timeline(pm_telling *t)
{
    apr_array_header_t *line = apr_array_make(t->pool, 32, sizeof(pm_moment));

    tell_milestones(t, line);
    tell_events(t, line);
    tell_gaps(t, line);
    tell_steps(t, line);
    qsort(line->elts, (size_t)line->nelts, sizeof(pm_moment), by_time);
    t->c->timeline = (const pm_moment *)line->elts;
    t->c->timeline_count = (size_t)line->nelts;
}

void pm_story_tell(pm_model *m, pm_case *c, apr_pool_t *pool)
{
    pm_telling t = {m, c->incident, c, pool, pm_story_until(m, c->incident)};

    tell_changes(&t);
    tell_timeline(&t);
    pm_tell_causes(&t);
    pm_tell_cleared(&t);
}
