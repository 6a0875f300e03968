/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * incident_state.c: states of the server that no count of failures tells: nobody is served, nobody comes, nobody gets in.
 * One function opens, prolongs and ends each of them.
 */
#include "incident_private.h"
#include "pm_time.h"

#define JOINS_US (600 * PM_SECOND) /* an onset moves back so far at most */

/** Newton's: httpd does not load libm. */
static double square_root(double x)
{
    double r = x > 1 ? x : 1;

    for (int i = 0; i < 64 && x > 0; i++) {
        r = (r + x / r) / 2;
    }
    return x > 0 ? r : 0;
}

/** One that this belongs to: the scope's own or the server's; else, when nobody at all is served, any, which then is
 *  wider. */
static pm_open *open_for(const pm_fold *f, const pm_condition *s)
{
    pm_open *found = open_of(f->state, s->scope);

    if (found == NULL) {
        found = open_of(f->state, PM_SCOPE_SERVER);
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN && found == NULL && (s->kind & PM_KIND_OUTAGE);
         i++) {
        const pm_open *o = &f->state->open[i];

        if (is_open(o) && (o->incident.kinds & PM_KIND_SERVING)) {
            found = &f->state->open[i];
        }
    }
    return found;
}

/** One that was closed so shortly before that it would have been extended. */
static pm_open *closed_for(const pm_fold *f, const pm_condition *s)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &f->state->open[i];

        if (o->used && !o->incident.open && ((s->kind & PM_KIND_OUTAGE) || o->scope == s->scope) &&
            pm_incident_touches(f, &o->incident, s->from_us, s->to_us)) {
            return o;
        }
    }
    return NULL;
}

/** NULL without room. */
static pm_open *find(pm_fold *f, const pm_condition *s)
{
    pm_open *o = open_for(f, s);

    if (o != NULL) {
        return o;
    }
    o = closed_for(f, s);
    if (o != NULL) {
        pm_incident_reopen(f, o, s->kind, s->to_us);
        return o;
    }
    o = pm_incident_begin(f, s->scope, s->kind, s->from_us, s->to_us);
    if (o != NULL) {
        pm_window_before(f, o);
        pm_incident_say_open(f, &o->incident, s->to_us);
    }
    return o;
}

/** One in which it holds now; NULL = none. */
static pm_open *holder(const pm_fold *f, uint32_t kind, uint32_t scope)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &f->state->open[i];

        if (is_open(o) && (o->incident.states & kind) != 0 && o->scope == scope) {
            return o;
        }
    }
    return NULL;
}

int pm_incident_in_state(const pm_fold *f, uint32_t kind, uint32_t scope)
{
    return holder(f, kind, scope) != NULL;
}

/** Nobody was served from then to then. Of states that overlap each moment counts once. */
static void count_unserved(pm_incident *in, uint64_t from_us, uint64_t to_us)
{
    in->unserved_us += to_us > from_us ? to_us - from_us : 0;
    in->expected_requests =
        (uint64_t)(in->before_requests_per_second * ((double)in->unserved_us / 1e6) + 0.5);
    /* A Poisson count's own standard error; how traffic changes by the hour is not in it. */
    in->expected_error = square_root((double)in->expected_requests);
}

static void last_unserved(pm_open *o, const pm_condition *s)
{
    pm_incident *in = &o->incident;
    int held = in->down_since_us != 0;
    uint64_t counted = held                   ? in->end_us
                       : in->unserved_us != 0 ? later(s->from_us, in->end_us)
                                              : s->from_us;

    count_unserved(in, counted, s->to_us);
    if (!held) {
        in->down_since_us = s->from_us;
    }
    o->scope = PM_SCOPE_SERVER;
    in->vhost[0] = '\0';
}

void pm_incident_state(pm_fold *f, const pm_condition *s)
{
    pm_open *o = holder(f, s->kind, s->scope);
    pm_incident *in;

    if (o == NULL) {
        o = find(f, s);
    }
    if (o == NULL) {
        return;
    }
    in = &o->incident;
    if (!(in->states & s->kind) && s->from_us < in->onset_us &&
        s->from_us + JOINS_US >= in->onset_us) {
        in->onset_us = s->from_us; /* what was noticed first had begun later */
        pm_window_before(f, o);
    }
    pm_incident_add_kinds(f, in, s->kind);
    if (s->kind & PM_KIND_OUTAGE) {
        last_unserved(o, s);
    }
    in->end_us = later(in->end_us, s->to_us);
    in->states = s->lasts ? in->states | s->kind : in->states & ~s->kind;
    if ((in->states & PM_KIND_OUTAGE) == 0) {
        in->down_since_us = 0;
    }
}
