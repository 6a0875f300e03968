/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * clock.c: the machine's clock is set: that is said, and no time of the clock as it was is taken for one of the clock as it
 * is.
 */
#include <stdlib.h>

#include "incident_private.h"
#include "pm_time.h"

#define CLOCK_STEP_US (2 * PM_SECOND)

/** A time of the clock as it was is none of the clock as it is. */
static void forget_future(pm_scope_state *scope, uint64_t now_us)
{
    uint64_t *times[] = {&scope->first_error_us,    &scope->first_slow_us,
                         &scope->last_error_us,     &scope->last_slow_us,
                         &scope->first_unserved_us, &scope->last_unserved_us};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        *times[i] = *times[i] > now_us ? 0 : *times[i];
    }
}

static void move_to(uint64_t *time, uint64_t now_us)
{
    *time = *time != 0 ? now_us : 0;
}

/** What lasts has begun anew, by the clock as it is. */
static void states_clock_set(pm_fold *f, uint64_t now_us)
{
    pm_outside *o = f->outside;

    move_to(&f->state->quiet.silence.began_us, now_us);
    move_to(&f->state->quiet.silence.asker_us, now_us);
    for (uint32_t i = 0; o != NULL && i < o->count; i++) {
        move_to(&o->listener[i].bad_since_us, now_us);
    }
    for (uint32_t i = 0; o != NULL && i < o->certificates; i++) {
        move_to(&o->certificate[i].seen_us, now_us);
    }
}

/** What is open ends with that, as the times of an incident are all by one clock. What goes on failing opens another. */
static void clock_set(pm_fold *f, const pm_tick *t)
{
    int told = pm_incident_any_open(f);

    for (uint32_t i = 0; i < f->state->scopes; i++) {
        forget_future(&f->state->scope[i], t->now_us);
        pm_detect_clock_set(&f->state->scope[i].detect, t->from_us, told);
    }
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) { /* workers only raise these */
        pm_vhost_live *vh = &f->live->vhosts[v];

        if (atomic_load(&vh->last_error_us) > t->now_us) {
            atomic_store(&vh->last_error_us, 0);
        }
        if (atomic_load(&vh->last_slow_us) > t->now_us) {
            atomic_store(&vh->last_slow_us, 0);
        }
        if (atomic_load(&vh->last_unserved_us) > t->now_us) {
            atomic_store(&vh->last_unserved_us, 0);
        }
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &f->state->open[i];

        if (is_open(o)) {
            o->incident.states = 0;
            o->incident.down_since_us = 0;
            pm_incident_close(f, &o->incident, f->state->last_us);
        }
    }
    states_clock_set(f, t->from_us);
}

void pm_clock_check(pm_fold *f, pm_tick *t, uint64_t monotonic_us)
{
    pm_ledger *s = f->state;
    int64_t wall = (int64_t)(t->now_us - s->last_us);
    int64_t real = (int64_t)(monotonic_us - s->last_monotonic_us);
    int64_t step = wall - real;
    pm_draft d;

    if (s->last_monotonic_us == 0 ||
        (step < (int64_t)CLOCK_STEP_US && step > -(int64_t)CLOCK_STEP_US)) {
        return;
    }
    pm_draft_begin(&d, PM_EV_CLOCK_STEP, t->now_us);
    pm_draft_number(&d, "seconds", (double)(step / 1000) / 1000);
    pm_fold_event(f, pm_draft_end(&d, "The clock was set %s by %lld.%03lld s",
                                  step > 0 ? "forward" : "back", (long long)(llabs(step) / 1000000),
                                  (long long)(llabs(step) / 1000 % 1000)));
    t->from_us = t->now_us - (uint64_t)(real > 0 ? real : 0);
    if (step < 0) { /* by the clock as it is now it was set forward so much earlier */
        s->set_us -= s->set_us < (uint64_t)-step ? s->set_us : (uint64_t)-step;
    }
    else if (real > 0) {
        s->set_us = t->from_us;
    }
    clock_set(f, t);
}
