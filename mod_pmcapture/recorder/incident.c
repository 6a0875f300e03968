/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * incident.c: the life of an incident: opened by a verdict, moved on by failures, closed by quiet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "incident_private.h"
#include "pm_estimates.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define LOOP 3 /* redirects that a client gets, on average, when they lead nowhere */

static const pm_burst_rule *burst_of(const pm_fold *f, uint32_t scope)
{
    return scope == PM_SCOPE_SERVER ? &f->burst : &f->vhost_burst[scope - 1];
}

static const pm_served_rule *served_of(const pm_fold *f, uint32_t scope)
{
    return scope == PM_SCOPE_SERVER ? &f->served : &f->vhost_served[scope - 1];
}

static const pm_slow_rule *slow_of(const pm_fold *f, uint32_t scope)
{
    return scope == PM_SCOPE_SERVER ? &f->slow : &f->vhost_slow[scope - 1];
}

/** An unused slot, or that of a closed incident that only waits for its last rows to be pinned. */
static pm_open *free_slot(pm_ledger *s)
{
    pm_open *closed = NULL;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (!s->open[i].used) {
            return &s->open[i];
        }
        if (!s->open[i].incident.open) {
            closed = &s->open[i];
        }
    }
    return closed;
}

void pm_incident_say_open(pm_fold *f, const pm_incident *in, uint64_t at)
{
    char when[PM_TIME_SIZE], kinds[PM_KIND_WORDS];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_INCIDENT_OPEN, at);
    pm_draft_count(&d, "incident", in->id);
    pm_fold_event(f, pm_draft_end(&d, "Incident %llu opened: %s%s%s since %s",
                                  (unsigned long long)in->id, pm_kind_words(in->kinds, kinds),
                                  in->vhost[0] ? " on " : "", in->vhost,
                                  pm_time_format(in->onset_us, when)));
}

/** Another kind holds: counted once for each incident, for good. */
void pm_incident_add_kinds(pm_fold *f, pm_incident *in, uint32_t kinds)
{
    for (uint32_t n = 0; n < PM_KINDS; n++) {
        f->state->checkpoint.incidents_by_kind[n] += (kinds & ~in->kinds) >> n & 1;
    }
    in->kinds |= kinds;
}

pm_open *pm_incident_begin(pm_fold *f, uint32_t scope, uint32_t kinds, uint64_t onset, uint64_t now)
{
    pm_ledger *s = f->state;
    pm_open *o = free_slot(s);

    if (o == NULL) {
        return NULL; /* PM_INCIDENTS_OPEN are open: what fails besides shows in the rows */
    }
    memset(o, 0, sizeof(*o));
    o->used = 1;
    o->scope = scope;
    o->incident.id = s->checkpoint.next_incident++;
    o->incident.open = 1;
    pm_incident_add_kinds(f, &o->incident, kinds);
    o->incident.onset_us = onset;
    o->incident.detected_us = now;
    o->incident.end_us = onset;
    o->incident.generation = f->server.generation;
    o->incident.first_event = s->checkpoint.last_event;
    pm_text_clean(o->incident.vhost, sizeof(o->incident.vhost), pm_scope_name(f, scope), PM_KEY);
    return o;
}

/** The server's rule holds, and a virtual host's opened with it: the same incident, seen wider. */
static pm_open *widen(pm_fold *f, pm_tick *t, uint32_t kinds, uint64_t onset)
{
    pm_ledger *s = f->state;
    pm_open *first = NULL;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (is_open(o) && o->scope != PM_SCOPE_SERVER &&
            o->incident.detected_us + f->burst.window * PM_SECOND >= t->now_us &&
            (first == NULL || o->incident.onset_us < first->incident.onset_us)) {
            first = o;
        }
    }
    if (first == NULL) {
        return NULL;
    }
    first->scope = PM_SCOPE_SERVER;
    first->incident.vhost[0] = '\0';
    pm_incident_add_kinds(f, &first->incident, kinds);
    if (onset < first->incident.onset_us) {
        first->incident.onset_us = onset;
    }
    pm_window_look_back(f, t, first);
    return first;
}

/* ---- moving on ---- */

static uint64_t pending_failures(const pm_open *o)
{
    uint64_t sum = 0;

    for (uint32_t slot = 0; slot < PM_ECODES; slot++) {
        sum += o->pending_code[slot];
    }
    return sum;
}

/** More failures than were normal before? A site that always fails a little would never be well again
 *  otherwise. Without failures before, each one counts. Four standard deviations of a Poisson count. */
static int fails_again(const pm_open *o, const pm_figures *fig)
{
    double normal = o->incident.before_us >= 60 * PM_SECOND ? o->incident.before_error_ratio : 0;
    double errors = (double)(pending_failures(o) + fig->errors);
    double expected = normal * (double)(o->pending_requests + fig->requests);
    double excess = errors - 1 - expected;

    if (fig->errors == 0 || (o->incident.kinds & ~(uint32_t)PM_KIND_UNSERVED) == 0) {
        return 0;
    }
    return expected == 0 || (excess > 0 && excess * excess > 16 * expected);
}

/** Not further apart than the time to clear? An incident may also lie in the future: then the clock was set back since. */
int pm_incident_touches(const pm_fold *f, const pm_incident *in, uint64_t from_us, uint64_t to_us)
{
    uint64_t clear_us = f->burst.clear * PM_SECOND;

    return from_us < in->end_us + clear_us && in->onset_us < to_us + clear_us;
}

/** A state was over, and something failed before the time to clear was over: still the same incident. */
static int lingers(const pm_fold *f, const pm_open *o, uint64_t at)
{
    return o->used && !o->incident.open && (o->incident.kinds & PM_KIND_STATES) &&
           o->scope == PM_SCOPE_SERVER && pm_incident_touches(f, &o->incident, at, at);
}

void pm_incident_reopen(pm_fold *f, pm_open *o, uint32_t kinds, uint64_t at)
{
    o->incident.open = 1;
    o->incident.closed_us = 0;
    pm_incident_add_kinds(f, &o->incident, kinds);
    pm_incident_say_open(f, &o->incident, at);
}

static int reopen_state(pm_fold *f, pm_tick *t, uint32_t scope, uint32_t kinds, uint64_t onset)
{
    pm_ledger *s = f->state;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (lingers(f, o, onset)) {
            pm_incident_reopen(f, o, kinds, t->now_us);
            o->incident.end_us = later(o->incident.end_us, s->scope[scope].last_error_us);
            if (kinds & PM_KIND_SLOW) {
                o->incident.end_us = later(o->incident.end_us, s->scope[scope].last_slow_us);
            }
            if (kinds & PM_KIND_UNSERVED) {
                o->incident.end_us = later(o->incident.end_us, s->scope[scope].last_unserved_us);
            }
            pm_window_extend(f, t, o);
            pm_sample_offer(f, o, 0);
            return 1;
        }
    }
    return 0;
}

static void open_from_verdict(pm_fold *f, pm_tick *t, uint32_t scope, uint32_t kinds,
                              uint64_t onset)
{
    pm_open *o;

    if (reopen_state(f, t, scope, kinds, onset)) {
        return;
    }
    o = pm_incident_begin(f, scope, kinds, onset, t->now_us);
    if (o == NULL) {
        return;
    }
    o->incident.sequential = t->verdicts[scope].sequential;
    pm_window_look_back(f, t, o);
    pm_sample_offer(f, o, 0);
    pm_incident_say_open(f, &o->incident, t->now_us);
}

static int step_slow(const pm_open *o, const pm_figures *fig, const pm_verdict *verdict)
{
    return (o->incident.kinds & PM_KIND_SLOW) &&
           (fig->slow_in_flight > 0 || (verdict->slow_hold && fig->slow > 0));
}

/** Of those who came since its end, this second's included, is about the usual share served? A run that has just begun does
 *  not know what is usual, and a rule forgets it: the incident remembers. */
static int are_served(const pm_open *o, const pm_figures *fig)
{
    double usual = o->incident.served_usual > 0 ? o->incident.served_usual : 1, all, served;
    pm_client_set met[PM_OUTCOMES];

    memcpy(met, o->since_end, sizeof(met));
    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&met[i], &fig->met[i]);
    }
    pm_served_count(met, &all, &served);
    return all > 0.5 && 2 * served >= all * usual;
}

/** Refusals alone are nothing: too few clients are served, now or until this second. */
static int step_unserved(const pm_open *o, const pm_figures *fig, const pm_served_verdict *served)
{
    return (o->incident.kinds & PM_KIND_UNSERVED) && fig->last_unserved_us != 0 &&
           ((served->holds | served->held) != 0 || !are_served(o, fig));
}

static void step_open(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_figures *fig = &t->figures[o->scope];
    const pm_verdict *verdict = &t->verdicts[o->scope];
    int failed = fails_again(o, fig), slow = step_slow(o, fig, verdict);
    int unserved = step_unserved(o, fig, &t->served[o->scope]);

    pm_window_wait(f, t, o);
    if (failed) {
        o->incident.end_us = later(o->incident.end_us, fig->last_error_us);
    }
    if (slow) {
        o->incident.end_us =
            later(o->incident.end_us, fig->slow_in_flight ? t->now_us : fig->last_slow_us);
    }
    if (unserved) {
        o->incident.end_us = later(o->incident.end_us, fig->last_unserved_us);
    }
    if (failed || slow || unserved) {
        pm_window_extend(f, t, o);
    }
    pm_sample_offer(f, o, t->sample_from);
}

void pm_incident_close(pm_fold *f, pm_incident *in, uint64_t at_us)
{
    char span[PM_TIME_SIZE], words[PM_ESTIMATE_WORDS], kinds[PM_KIND_WORDS];
    pm_draft d;

    in->open = 0;
    in->closed_us = at_us;
    pm_draft_begin(&d, PM_EV_INCIDENT_CLOSE, at_us);
    pm_draft_count(&d, "incident", in->id);
    if ((in->kinds & ~(uint32_t)PM_KIND_STATES) == 0) {
        int outage = (in->kinds & PM_KIND_OUTAGE) != 0;

        pm_fold_event(
            f,
            pm_draft_end(&d, "Incident %llu closed: %s for %s", (unsigned long long)in->id,
                         outage ? "nobody was served" : "unreachable",
                         pm_time_span(outage ? in->unserved_us : in->end_us - in->onset_us, span)));
        return;
    }
    pm_fold_event(f,
                  pm_draft_end(&d, "Incident %llu closed: %s for %s%s%s, %s %s",
                               (unsigned long long)in->id, pm_kind_words(in->kinds, kinds),
                               pm_time_span(in->end_us - in->onset_us, span),
                               in->vhost[0] ? " on " : "", in->vhost,
                               pm_requests_words(in, in->errors, words), pm_story_verb(in->kinds)));
}

/** For how long all must be well: by the rules of the kinds that it is of. */
static uint64_t clear_of(const pm_fold *f, const pm_open *o)
{
    uint64_t clear = 0;

    if ((o->incident.kinds & PM_KIND_SLOW) != 0) {
        clear = slow_of(f, o->scope)->clear;
    }
    if ((o->incident.kinds & PM_KIND_UNSERVED) != 0) {
        clear = later(clear, served_of(f, o->scope)->clear);
    }
    if ((o->incident.kinds & ~(uint32_t)(PM_KIND_SLOW | PM_KIND_UNSERVED)) != 0) {
        clear = later(clear, burst_of(f, o->scope)->clear);
    }
    return clear;
}

/** What it was opened by is told, and opens no other. The whole server's has told of all virtual hosts. */
static void forget_told(pm_fold *f, uint32_t scope)
{
    for (uint32_t i = 0; i < f->state->scopes; i++) {
        if (i == scope || scope == PM_SCOPE_SERVER) {
            pm_detect_told(&f->state->scope[i].detect);
        }
    }
}

/** Nobody who came since its end shows that clients are served again. */
static int still_unserved(const pm_tick *t, const pm_open *o)
{
    static const pm_figures nothing;

    return (o->incident.kinds & PM_KIND_UNSERVED) &&
           (t->served[o->scope].holds != 0 || !are_served(o, &nothing));
}

static void close_if_quiet(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_verdict *verdict = &t->verdicts[o->scope];
    pm_incident *in = &o->incident;

    if ((in->kinds & ~(uint32_t)PM_KIND_STATES) ==
        0) { /* over; what fails soon after opens it again */
        pm_incident_close(f, in, t->now_us);
        return;
    }
    if ((verdict->errors_hold && !verdict->sequential) || verdict->slow_hold || o->succeeded == 0 ||
        still_unserved(t, o) || t->now_us < in->end_us + clear_of(f, o) * PM_SECOND) {
        return;
    }
    forget_told(f, o->scope);
    pm_incident_close(f, in, t->now_us);
}

/** What came since its end: readers say when nothing fails any more. */
static void tell_quiet(const pm_fold *f, pm_open *o)
{
    pm_incident *in = &o->incident;
    uint64_t bad = o->carried_since_end;

    if ((in->kinds & PM_KIND_SLOW) != 0) {
        bad += o->pending_slow;
    }
    if ((in->kinds & ~(uint32_t)PM_KIND_SLOW) != 0) {
        bad += o->pending_errors;
    }
    in->clear_s = (uint32_t)clear_of(f, o);
    in->since_end = (uint32_t)at_most(bad, UINT32_MAX);
    in->served_since_end = (uint32_t)at_most(o->succeeded, UINT32_MAX);
}

static void refresh(pm_fold *f, pm_tick *t, pm_open *o)
{
    pm_sample_vhosts(f, o);
    pm_heavy_fill(f, t, o);
    pm_window_refresh(f, o);
    tell_quiet(f, o);
    o->incident.last_event = f->state->checkpoint.last_event;
}

/* ---- the step ---- */

/** A redirect that leads somewhere is followed once, wherever that is; one that does not, again and again. */
static int is_loop(const pm_fold *f, const pm_tick *t, uint32_t scope)
{
    const pm_served_verdict *v = &t->served[scope];

    /* While nobody comes the rule goes on holding, of nobody: that is no loop. */
    return v->unserved > 0 && pm_detect_unserved(&f->state->scope[scope].detect, v->since_us,
                                                 1u << PM_REDIRECTED) >= LOOP * v->unserved;
}

static uint32_t kinds_of(const pm_fold *f, const pm_tick *t, uint32_t scope)
{
    const pm_verdict *v = &t->verdicts[scope];
    uint32_t served = t->served[scope].holds;

    if ((served >> PM_REDIRECTED & 1) && !is_loop(f, t, scope)) {
        served = 0;
    }
    return (v->errors_hold ? PM_KIND_ERRORS : 0u) | (v->slow_hold ? PM_KIND_SLOW : 0u) |
           (served >> PM_REFUSED & 1 ? PM_KIND_REFUSED : 0u) |
           (served >> PM_REDIRECTED & 1 ? PM_KIND_REDIRECTS : 0u);
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static uint64_t onset_of(const pm_fold *f, const pm_tick *t, uint32_t scope)
{
    const pm_verdict *v = &t->verdicts[scope];
    const pm_served_verdict *served = &t->served[scope];
    uint64_t onset =
        earliest(v->errors_hold ? v->errors_onset_us : 0, v->slow_hold ? v->slow_onset_us : 0);

    if (served->holds != 0) {
        onset = earliest(onset, pm_detect_unserved_onset(&f->state->scope[scope].detect,
                                                         served->since_us, served->holds));
    }
    return onset;
}

/** What counts as a failure in an incident may be more with another kind: from now on. */
static void join_kinds(pm_fold *f, pm_open *o, uint32_t kinds)
{
    int more = (kinds & ~o->incident.kinds & PM_KIND_UNSERVED) != 0;

    pm_incident_add_kinds(f, &o->incident, kinds);
    for (uint32_t v = 0; more && v < f->live->geo.vhosts; v++) {
        o->vhost_error_mark[v] = pm_scope_fails(o, &f->state->scope[v + 1]);
    }
}

static void judge(pm_fold *f, pm_tick *t, uint32_t scope)
{
    uint32_t kinds = kinds_of(f, t, scope);
    pm_open *own = open_of(f->state, scope);
    pm_open *server = open_of(f->state, PM_SCOPE_SERVER);
    uint64_t onset;

    if (kinds == 0) {
        return;
    }
    if (own != NULL) {
        join_kinds(f, own, kinds);
        return;
    }
    onset = onset_of(f, t, scope);
    if (onset == 0 || onset > t->now_us) {
        onset = t->from_us;
    }
    if (scope == PM_SCOPE_SERVER) {
        if (widen(f, t, kinds, onset) == NULL) {
            open_from_verdict(f, t, scope, kinds, onset);
        }
        return;
    }
    if (server == NULL || (kinds & ~server->incident.kinds) != 0) {
        open_from_verdict(f, t, scope, kinds, onset);
    }
}

static uint32_t outcomes_of(uint32_t kinds)
{
    return (kinds & PM_KIND_REFUSED ? 1u << PM_REFUSED : 0u) |
           (kinds & PM_KIND_REDIRECTS ? 1u << PM_REDIRECTED : 0u);
}

static void tell(_Atomic uint32_t *worker, uint32_t value)
{
    if (atomic_load_explicit(worker, memory_order_relaxed) != value) {
        atomic_store_explicit(worker, value, memory_order_relaxed);
    }
}

/** Requests of these virtual hosts are looked at closely, what their incidents are about fails, and their log lines can be
 *  marked. */
static void tell_workers(pm_fold *f)
{
    uint64_t whole = 0;
    uint32_t fails = 0;
    int any = 0;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        const pm_open *o = &f->state->open[i];

        any |= is_open(o);
        if (is_open(o) && o->scope == PM_SCOPE_SERVER) {
            whole = later(whole, o->incident.id);
            fails |= outcomes_of(o->incident.kinds);
        }
    }
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_open *own = any ? open_of(f->state, v + 1) : NULL;
        uint64_t id = own != NULL ? later(own->incident.id, whole) : whole;

        tell(&f->live->vhosts[v].fails_too,
             fails | (own != NULL ? outcomes_of(own->incident.kinds) : 0));
        tell(&f->live->vhosts[v].incident, (uint32_t)id);
    }
}

void pm_incidents_step(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (is_open(&s->open[i])) {
            step_open(f, t, &s->open[i]);
        }
        else if (lingers(f, &s->open[i], t->now_us)) {
            pm_window_wait(f, t, &s->open[i]);
        }
    }
    for (uint32_t scope = 0; scope < t->scopes; scope++) {
        judge(f, t, scope);
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (is_open(o)) {
            if (o->incident.states == 0) {
                close_if_quiet(f, t, o);
            }
            refresh(f, t, o);
        }
    }
    tell_workers(f);
}

/* ---- across runs ---- */

/** How far what the last run counted may be off, the next one cannot make better. */
static void carry_doubt(pm_open *o)
{
    const pm_incident *in = &o->incident;
    double clients = pm_sketch_count(o->sketch[0]);

    o->boundless = in->requests_more == UINT32_MAX;
    o->before_most = in->requests_fewer;
    o->carried_more = o->boundless ? 0 : in->requests_more;
    o->carried_since_end = in->open ? in->since_end : 0;
    o->succeeded = in->open ? in->served_since_end : 0;
    if (in->clients_most != 0) {
        o->carried_doubt = clients > in->clients_least ? clients - in->clients_least : 0;
        o->missed = in->clients_most > clients + 1 ? in->clients_most - (uint64_t)clients - 1 : 0;
        o->missed_failing = in->affected_more;
    }
}

void pm_incident_resume(pm_fold *f, const pm_incident *incident, const pm_sample *samples,
                        size_t count)
{
    pm_open *o = free_slot(f->state);

    if (o == NULL) {
        return;
    }
    memset(o, 0, sizeof(*o));
    o->used = 1;
    o->incident = *incident;
    o->whole = incident->requests;
    o->scope = PM_SCOPE_SERVER;
    for (uint32_t v = 0; incident->vhost[0] != '\0' && v < f->live->geo.vhosts; v++) {
        if (f->vhost_names[v] != NULL && strcmp(f->vhost_names[v], incident->vhost) == 0) {
            o->scope = v + 1;
        }
    }
    for (uint32_t i = 0; i < PM_TALLIES; i++) {
        for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
            if (incident->by_vhost[i].errors != 0 &&
                strcmp(pm_scope_name(f, v + 1), incident->by_vhost[i].key) == 0) {
                o->vhost_requests[v] = incident->by_vhost[i].requests;
                o->vhost_errors[v] = incident->by_vhost[i].errors;
                break;
            }
        }
    }
    if (count > PM_SAMPLES_MAX) {
        count = PM_SAMPLES_MAX;
    }
    memcpy(o->samples, samples, count * sizeof(*samples));
    o->incident.sample_count = (uint32_t)(count < f->samples ? count : f->samples);
    pm_heavy_resume(o);
    pm_sketch_load(o->sketch[0], incident->sketch_all);
    pm_sketch_load(o->sketch[1], incident->sketch_error);
    memcpy(o->inner, o->sketch[0], sizeof(o->inner)); /* its ends are not known apart */
    carry_doubt(o);
}

int pm_incident_concerns(const pm_fold *f, uint32_t scope)
{
    return open_of(f->state, PM_SCOPE_SERVER) != NULL || open_of(f->state, scope) != NULL;
}
