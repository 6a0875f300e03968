/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * reach.c: what looks from outside say: probe.failed, and incidents of kind unreachable.
 */
#include <stdio.h>
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"

#define GOOD_LOOKS 2u /* after which it is over */

enum { UNTOLD, WARNED, OUTAGE }; /* pm_outside_listener.told */

/** Looks in a row that must fail: a full queue or a slow moment may end before the next one. */
static uint32_t needed(uint32_t reach)
{
    return reach == PM_REACH_REFUSED || reach == PM_REACH_UNROUTED || reach == PM_REACH_TLS ? 1 : 2;
}

static int is_failing(const pm_outside_listener *l)
{
    return l->bad > 0 && l->bad >= needed(l->seen.reach);
}

/** " (since generation 4, ports.conf:5)", as far as it is known. */
static const char *place_words(const char *where, uint32_t since, char out[PM_KEY + 64])
{
    char generation[48] = "";

    if (since != 0) {
        snprintf(generation, sizeof(generation), "since generation %u", since - 1);
    }
    out[0] = '\0';
    if (where[0] != '\0' || generation[0] != '\0') {
        snprintf(out, PM_KEY + 64, " (%s%s%s)", generation,
                 where[0] != '\0' && generation[0] != '\0' ? ", " : "", where);
    }
    return out;
}

const char *pm_outside_place(const pm_outside_listener *l, char out[PM_KEY + 64])
{
    return place_words(l->where, l->since, out);
}

const char *pm_outside_proxy_place(const pm_outside *o, const pm_outside_listener *l,
                                   char out[PM_KEY + 64])
{
    return place_words(o->proxy_where, l->proxy_since, out);
}

static void begin(pm_draft *d, const char *name, const pm_outside_listener *l, uint64_t at_us)
{
    pm_draft_begin(d, PM_EV_PROBE_FAILED, at_us);
    pm_draft_text(d, "listener", name);
    pm_draft_text(d, "how", pm_reach_key(l->seen.reach));
}

/** "; 1 of 2 listeners fails", where there are others. */
static const char *share_words(const pm_outside *o, char out[64])
{
    uint32_t failing = 0;

    for (uint32_t i = 0; i < o->count; i++) {
        failing += (uint32_t)is_failing(&o->listener[i]);
    }
    out[0] = '\0';
    if (o->count > 1) {
        snprintf(out, 64, "; %u of %u listeners %s", failing, o->count,
                 failing == 1 ? "fails" : "fail");
    }
    return out;
}

static void say_failed(pm_fold *f, const pm_outside_listener *l)
{
    char name[PM_LISTENER_NAME], place[PM_KEY + 64], share[64];
    const char *detail = l->seen.detail;
    pm_draft d;

    begin(&d, pm_listener_name(&l->listener, name), l, l->bad_since_us);
    pm_draft_text(&d, "detail", detail[0] != '\0' ? detail : NULL);
    d.event.severity = l->told == OUTAGE ? PM_CRITICAL : PM_WARNING;
    pm_fold_event(f, pm_draft_end(&d, "%s %s%s%s%s%s", name, pm_reach_phrase(l->seen.reach),
                                  detail[0] != '\0' ? ": " : "", detail, pm_outside_place(l, place),
                                  share_words(f->outside, share)));
}

static void say_well(pm_fold *f, const pm_outside_listener *l)
{
    char name[PM_LISTENER_NAME];
    pm_draft d;

    begin(&d, pm_listener_name(&l->listener, name), l, l->seen.at_us);
    pm_draft_flag(&d, "resolved", 1);
    d.event.severity = PM_INFO;
    pm_fold_event(f, pm_draft_end(&d, "%s answers its own machine again", name));
}

static void take(pm_fold *f, pm_outside_listener *l)
{
    const pm_sighting *s = &l->seen;

    if (pm_reach_is_good(s->reach)) {
        l->good++;
        l->answered = 1;
        l->bad = 0;
        if (s->reach == PM_REACH_ANSWERS) {
            l->plain = 1;
            l->proxy_since = 0;
        }
        else if (l->plain) {
            l->plain = 0;
            l->proxy_since = f->server.generation + 1;
            l->proxy_us = f->server.config_loaded_us;
        }
    }
    else if (s->reach != PM_REACH_UNKNOWN) {
        if (l->bad++ == 0 || (l->told == WARNED && pm_outside_concerns(l))) {
            l->bad_since_us = s->at_us > s->took_us ? s->at_us - s->took_us : s->at_us;
        }
        l->good = 0;
    }
}

static void tell(pm_fold *f, pm_outside_listener *l)
{
    uint32_t now = !is_failing(l) ? UNTOLD : pm_outside_concerns(l) ? OUTAGE : WARNED;

    if (now > l->told) {
        l->told = now;
        say_failed(f, l);
    }
}

/** It was over when looks were answered again, or one was, and so are clients. */
static void settle(pm_fold *f, const pm_tick *t, pm_outside_listener *l)
{
    const pm_figures *all = &t->figures[PM_SCOPE_SERVER];

    if (l->told && (l->good >= GOOD_LOOKS || (l->good > 0 && all->requests > all->errors))) {
        l->told = UNTOLD;
        say_well(f, l);
    }
}

void pm_reach_step(pm_fold *f, const pm_tick *t)
{
    pm_outside *o = f->outside;
    pm_condition state = {PM_KIND_UNREACHABLE, PM_SCOPE_SERVER, UINT64_MAX, t->now_us, 0};
    int known = o->mode == PM_PROBE_OFF;

    for (uint32_t i = 0; i < o->count && o->fresh; i++) {
        take(f, &o->listener[i]);
    }
    for (uint32_t i = 0; i < o->count; i++) {
        pm_outside_listener *l = &o->listener[i];

        if (o->mode == PM_PROBE_OFF) { /* nobody looks any more: nothing is known */
            l->told = UNTOLD;
            l->good = l->bad = 0;
        }
        tell(f, l);
        settle(f, t, l);
        known |= l->good >= GOOD_LOOKS;
        if (l->told == OUTAGE) {
            state.lasts = 1;
            state.from_us = l->bad_since_us < state.from_us ? l->bad_since_us : state.from_us;
        }
    }
    if (state.lasts) {
        pm_incident_state(f, &state);
    }
    /* One that another process left open is over when this one knows better. */
    else if (known && pm_incident_in_state(f, PM_KIND_UNREACHABLE, PM_SCOPE_SERVER)) {
        state.from_us = t->now_us;
        pm_incident_state(f, &state);
    }
    o->fresh = 0;
}
