/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * silence_tell.c: silence as a tick sees it: its figures, its incident, and its story, which waits for a look from outside.
 */
#include <stdio.h>
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"

#define TELL_US (15 * PM_SECOND)    /* the story waits so long for a look from outside */
#define CHANGE_US (600 * PM_SECOND) /* so near to its beginning a change may be behind it */
#define DAY_US (86400 * PM_SECOND)
#define TIMED_OUT 408u

/* ---- figures ---- */

static void add_client(pm_silence_figures *to, uint32_t tag)
{
    for (uint32_t i = 0; i < PM_SILENCE_CLIENTS && tag != 0 && to->client[i] != tag; i++) {
        if (to->client[i] == 0) {
            to->client[i] = tag;
            return;
        }
    }
}

static void take_people(const pm_tick *t, pm_silence_figures *to)
{
    const pm_figures *all = &t->figures[PM_SCOPE_SERVER];

    for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
        add_client(to, all->ok_clients[i]);
    }
    for (uint32_t b = 0; b < PM_CLIENT_BUCKETS; b++) {
        if (all->errors_by_client[b] != 0) {
            add_client(to, all->failing_client[b]);
        }
    }
}

static void sum_doors(const pm_live *live, uint64_t *accepted, uint64_t *brought)
{
    *accepted = *brought = 0;
    for (uint32_t s = 0; s < live->geo.vhost_stripes; s++) {
        const pm_door_count *door = pm_live_doors(live, s);

        for (uint32_t d = 0; d < PM_DOORS; d++) {
            *brought += atomic_load_explicit(&door[d].brought, memory_order_relaxed);
            *accepted += atomic_load_explicit(&door[d].accepted, memory_order_relaxed);
        }
    }
}

static uint32_t grown(uint64_t *last, uint64_t now)
{
    uint64_t by = now > *last ? now - *last : 0;

    *last = now;
    return by < UINT32_MAX ? (uint32_t)by : UINT32_MAX;
}

static void take_figures(pm_fold *f, const pm_tick *t, const pm_row *row, pm_silence_figures *to)
{
    pm_quiet *q = &f->state->quiet;
    uint64_t accepted, brought;

    to->at_us = t->now_us;
    to->span_us = t->span_us;
    take_people(t, to);
    sum_doors(f->live, &accepted, &brought);
    to->accepted = grown(&q->accepted, accepted);
    to->brought = grown(&q->brought, brought);
    if (q->silence.quiet_us == 0 || row->in_flight < q->in_flight) {
        q->in_flight = row->in_flight;
    }
    to->arrived = row->in_flight > q->in_flight;
    if (q->silence.quiet_us == 0) {
        q->usual_us = 0;
    }
    else if (q->usual_us == 0 && q->silence.quiet_us > 5 * PM_SECOND) {
        q->usual_us = t->now_us;
        q->day = pm_silence_usual(f, t->now_us, DAY_US);
        q->week = pm_silence_usual(f, t->now_us, 7 * DAY_US);
    }
    to->day = q->usual_us != 0 ? q->day : -1;
    to->week = q->usual_us != 0 ? q->week : -1;
}

/** One that is answered so proves nothing: the client got no answer that it could use. */
static int is_unfit(uint32_t status)
{
    return status >= 400 && status < 500 && pm_outcome_of(status) == PM_PROVES_NOTHING;
}

/** Requests that came in the silence all the same. A client that is met in one tick may be counted in the next: what such
 *  two bring tells of nobody for sure. */
static void count_requests(pm_quiet *q, const pm_tick *t, int began, int people)
{
    int doubt = began || people || q->asked;

    if (q->silence.quiet_us == 0 || began) {
        q->others = q->unfit = 0;
        q->unfit_status = q->unfit_mixed = q->hardly = 0;
    }
    q->asked = (uint32_t)people;
    if (q->silence.quiet_us == 0) {
        return;
    }
    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        uint64_t n = t->delta.status[i];

        if (n == 0 || i + 100 == TIMED_OUT) { /* it may have brought no request */
            continue;
        }
        if (is_unfit(i + 100)) {
            q->unfit += n;
            q->unfit_mixed |= q->unfit_status != 0 && q->unfit_status != i + 100;
            q->unfit_status = i + 100;
        }
        else if (doubt || pm_outcome_of(i + 100) == PM_PROVES_NOTHING) {
            q->hardly = 1;
        }
        else {
            q->others += n;
        }
    }
}

/* ---- its story ---- */

#define WORDS 640

/** Was this loaded so near to the silence's beginning that it may be behind it? */
static int is_near(uint64_t loaded_us, uint64_t began_us)
{
    return loaded_us != 0 && loaded_us + CHANGE_US >= began_us && loaded_us <= began_us + CHANGE_US;
}

static int expects_anew(const pm_outside_listener *l, uint64_t began_us)
{
    return l->seen.reach == PM_REACH_PROXY && l->proxy_since != 0 && is_near(l->proxy_us, began_us);
}

static int is_new(const pm_outside *o, const pm_outside_listener *l, uint64_t began_us)
{
    return l->since != 0 && l->since == o->changed && is_near(o->changed_us, began_us);
}

/** What is bad before what is good, what expects a header anew or is new before what answers as ever. */
static int worth(const pm_outside *o, const pm_outside_listener *l, uint64_t began_us)
{
    return !pm_reach_is_good(l->seen.reach) ? 3
           : expects_anew(l, began_us)      ? 2
           : is_new(o, l, began_us)         ? 1
                                            : 0;
}

/** What a look that began after the silence says of it, in so many words; 0: none did yet. `nobody`, or hardly anybody: no
 *  request came; NULL: some did. */
static int outside_words(const pm_outside *o, uint64_t began_us, const char *nobody,
                         char out[WORDS], const char **how)
{
    char name[PM_LISTENER_NAME], place[PM_KEY + 64], span[PM_TIME_SIZE];
    const pm_outside_listener *show = NULL;
    int gone;

    for (uint32_t i = 0; i < o->count; i++) {
        const pm_outside_listener *l = &o->listener[i];

        if (l->seen.at_us <= began_us || l->seen.reach == PM_REACH_UNKNOWN ||
            !pm_outside_concerns(l)) {
            continue;
        }
        if (show == NULL || worth(o, l, began_us) > worth(o, show, began_us)) {
            show = l;
        }
    }
    if (show == NULL) {
        return 0;
    }
    pm_listener_name(&show->listener, name);
    *how = pm_reach_key(show->seen.reach);
    gone = is_near(o->changed_us, began_us) && o->gone[0] != '\0';
    if (expects_anew(show, began_us)) {
        snprintf(out, WORDS, "%s closes each connection: a PROXY header is expected%s", name,
                 pm_outside_proxy_place(o, show, place));
    }
    else if (!pm_reach_is_good(show->seen.reach)) {
        snprintf(out, WORDS, "%s %s%s", name, pm_reach_phrase(show->seen.reach),
                 pm_outside_place(show, place));
    }
    else if (gone && is_new(o, show, began_us)) {
        snprintf(out, WORDS, "httpd listens on %s%s%s, and no more on %s", name,
                 o->count == 1 ? " only" : "", pm_outside_place(show, place), o->gone);
    }
    else if (gone) {
        snprintf(out, WORDS, "httpd listens no more on %s", o->gone);
    }
    else {
        snprintf(out, WORDS, "%s answers its own machine%s in %s%s%s%s", name,
                 show->seen.reach == PM_REACH_PROXY ? " behind a PROXY header" : "",
                 pm_time_span(show->seen.took_us, span),
                 nobody != NULL ? ": what is in front of it is broken, or " : "",
                 nobody != NULL ? nobody : "", nobody != NULL ? " comes" : "");
    }
    return 1;
}

/** Requests a second before the silence. */
static double usual_rate(const pm_ledger *s, uint64_t began_us)
{
    uint64_t requests = 0, us = 0;

    for (uint32_t i = 0; i < PM_SECONDS_KEPT; i++) {
        const pm_row *row = &s->seconds[i].row;

        if (row->span_us != 0 && row->at_us < began_us) {
            requests += row->requests;
            us += row->span_us;
        }
    }
    for (uint32_t i = 0; us < 60 * PM_SECOND && i < PM_MINUTES_KEPT; i++) {
        requests += s->minutes[i].row.requests;
        us += s->minutes[i].row.span_us;
    }
    return us > 0 ? (double)requests * 1e6 / (double)us : 0;
}

/** "No request for 35 s where about 700 were usual", and what came instead. */
static void begin_words(const pm_quiet *q, uint64_t quiet_us, double expected, char out[WORDS])
{
    char span[PM_TIME_SIZE], checks[64] = "";
    const char *no = q->hardly ? "Hardly a" : "No";

    pm_time_span(quiet_us, span);
    if (q->others != 0) {
        snprintf(checks, sizeof(checks), "%llu of health checkers or httpd's own",
                 (unsigned long long)q->others);
    }
    if (q->unfit == 0) {
        snprintf(out, WORDS, "%s request%s%s for %s where about %.0f were usual", no,
                 checks[0] != '\0' ? " but " : "", checks, span, expected);
        return;
    }
    snprintf(out, WORDS,
             "%s client was served for %s where about %.0f requests were usual: %llu came that got "
             "%u%s%s%s",
             no, span, expected, (unsigned long long)q->unfit, q->unfit_status,
             q->unfit_mixed ? " or the like" : "", checks[0] != '\0' ? ", and " : "", checks);
}

static void say_silence(pm_fold *f, const pm_silence_verdict *v, const char *how, const char *words)
{
    const pm_quiet *q = &f->state->quiet;
    double expected = usual_rate(f->state, v->began_us) * (double)v->quiet_us / 1e6;
    char bare[96] = "", begin[WORDS];
    pm_draft d;

    begin_words(q, v->quiet_us, expected, begin);
    if (v->bare != 0) {
        snprintf(bare, sizeof(bare), ", and %u connections that brought none", v->bare);
    }
    pm_draft_begin(&d, PM_EV_TRAFFIC_SILENCE, v->began_us);
    pm_draft_seconds(&d, "seconds", v->quiet_us / 1000 * 1000);
    pm_draft_count(&d, "expected", (uint64_t)(expected + 0.5));
    pm_draft_count(&d, "requests", q->unfit + q->others);
    pm_draft_count(&d, "connections", v->bare);
    pm_draft_text(&d, "probe", how);
    pm_draft_flag(&d, "resolved", 0);
    pm_fold_event(f,
                  pm_draft_end(&d, "%s%s%s%s", begin, bare, words[0] != '\0' ? "; " : "", words));
}

static void say_over(pm_fold *f, const pm_tick *t, uint64_t began_us, uint64_t until_us)
{
    const pm_quiet *q = &f->state->quiet;
    uint64_t us = until_us > began_us ? until_us - began_us : 0;
    char span[PM_TIME_SIZE];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_TRAFFIC_SILENCE, t->now_us);
    if (us != 0) {
        pm_draft_seconds(&d, "seconds", us / 1000 * 1000);
        pm_time_span(us, span);
    }
    pm_draft_flag(&d, "resolved", 1);
    d.event.severity = PM_INFO;
    if (us == 0) { /* another process saw it begin */
        pm_draft_end(&d, "Clients ask again");
    }
    else if (q->unfit != 0) {
        pm_draft_end(&d, "Clients get other answers than %u%s again, after %s", q->unfit_status,
                     q->unfit_mixed ? " and the like" : "", span);
    }
    else {
        pm_draft_end(&d, "Clients ask again, after %s of silence", span);
    }
    pm_fold_event(f, &d.event);
}

static void tell(pm_fold *f, const pm_silence_verdict *v)
{
    pm_quiet *q = &f->state->quiet;
    const char *nobody = q->unfit != 0 || q->others != 0 ? NULL
                         : q->hardly                     ? "hardly anybody"
                                                         : "nobody";
    char words[WORDS] = "";
    const char *how = NULL;

    if (!q->told && (f->outside == NULL || f->outside->mode == PM_PROBE_OFF ||
                     outside_words(f->outside, v->began_us, nobody, words, &how) ||
                     v->quiet_us > q->held_us + TELL_US)) {
        q->told = 1;
        say_silence(f, v, how, words);
    }
}

/* ---- the step ---- */

static int is_suspicious(pm_fold *f, const pm_silence_verdict *v)
{
    int failing = 0;

    for (uint32_t i = 0; i < f->outside->count; i++) {
        failing |= f->outside->listener[i].bad != 0 || f->outside->listener[i].told;
    }
    return v->holds || v->likely || failing || f->state->exhausted_ticks >= 3 ||
           pm_incident_any_open(f);
}

void pm_silence_tick(pm_fold *f, const pm_tick *t, const pm_row *row)
{
    pm_quiet *q = &f->state->quiet;
    pm_silence_figures figures = {.at_us = 0};
    pm_silence_verdict v;
    int held = q->silence.holds != 0, asked = q->silence.quiet_us == 0;
    uint64_t began = q->silence.began_us;

    take_figures(f, t, row, &figures);
    pm_silence_step(&q->silence, &figures, &v);
    if (!held || v.holds) {
        count_requests(q, t, asked, figures.client[0] != 0);
    }
    if (f->outside != NULL) {
        f->outside->wanted = (uint32_t)is_suspicious(f, &v);
    }
    if (v.holds) {
        pm_condition silence = {PM_KIND_SILENCE, PM_SCOPE_SERVER, v.began_us, v.until_us, 1};

        q->held_us = held ? q->held_us : v.quiet_us;
        q->told = held ? q->told : 0;
        pm_incident_state(f, &silence);
        tell(f, &v);
    }
    else if (held || (v.again && pm_incident_in_state(f, PM_KIND_SILENCE, PM_SCOPE_SERVER))) {
        pm_condition silence = {PM_KIND_SILENCE, PM_SCOPE_SERVER, v.until_us, v.until_us, 0};

        pm_incident_state(f, &silence);
        say_over(f, t, held ? began : v.until_us, v.until_us);
    }
}
