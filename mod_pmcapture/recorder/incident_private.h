/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * incident_private.h: what the parts of an incident share.
 *
 *   incident.c    its life: opened, moved on, closed, taken up by the next run
 *   incident_state.c  states of the server that no count of failures tells: nobody is served, nobody comes, nobody gets in
 *   window.c      what lies between its onset and its end: counts, latencies, clients, what was usual before
 *   sample.c      failing requests kept whole, and the virtual hosts that failed
 */
#ifndef PM_INCIDENT_PRIVATE_H
#define PM_INCIDENT_PRIVATE_H

#include "fold_private.h"

static inline uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t at_most(uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

static inline uint64_t part(uint64_t n, uint64_t us, uint64_t of_us)
{
    return of_us == 0 ? 0
                      : (uint64_t)((double)n * (double)(us < of_us ? us : of_us) / (double)of_us);
}

/** What fails an incident's clients: 5xx, and what it is about besides. */
static inline uint64_t pm_fails(const pm_open *o, uint64_t errors, uint64_t refused,
                                uint64_t redirected)
{
    return errors + (o->incident.kinds & PM_KIND_REFUSED ? refused : 0) +
           (o->incident.kinds & PM_KIND_REDIRECTS ? redirected : 0);
}

static inline uint64_t pm_figures_fail(const pm_open *o, const pm_figures *fig)
{
    return pm_fails(o, fig->errors, fig->refused, fig->redirected);
}

static inline uint64_t pm_interval_fails(const pm_open *o, const pm_interval *w)
{
    return pm_fails(o, w->errors, w->refused, w->redirected);
}

static inline uint64_t pm_scope_fails(const pm_open *o, const pm_scope_state *scope)
{
    return pm_fails(o, scope->errors, scope->refused, scope->redirected);
}

static inline int is_open(const pm_open *o)
{
    return o->used && o->incident.open;
}

/** The open incident of a scope, NULL = none. */
static inline pm_open *open_of(pm_ledger *s, uint32_t scope)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (is_open(&s->open[i]) && s->open[i].scope == scope) {
            return &s->open[i];
        }
    }
    return NULL;
}

/** An incident that begins; NULL without room. It is not said yet. */
pm_open *pm_incident_begin(pm_fold *f, uint32_t scope, uint32_t kinds, uint64_t onset,
                           uint64_t now);
void pm_incident_close(pm_fold *f, pm_incident *in, uint64_t at_us);
void pm_incident_say_open(pm_fold *f, const pm_incident *in, uint64_t at);
void pm_incident_add_kinds(pm_fold *f, pm_incident *in, uint32_t kinds);
/** One that was closed goes on. */
void pm_incident_reopen(pm_fold *f, pm_open *o, uint32_t kinds, uint64_t at);
int pm_incident_touches(const pm_fold *f, const pm_incident *in, uint64_t from_us, uint64_t to_us);

/** A scope's name for people: "" for the server. */
const char *pm_scope_name(const pm_fold *f, uint32_t scope);

/** Fill an incident from the seconds since its onset. */
void pm_window_look_back(pm_fold *f, pm_tick *t, pm_open *o);
/** What came since the last failure waits: nobody knows yet whether it belongs to the window. */
void pm_window_wait(pm_fold *f, pm_tick *t, pm_open *o);
/** Something failed again, the last of it at the incident's end: what waited belongs to the window. */
void pm_window_extend(pm_fold *f, pm_tick *t, pm_open *o);
/** Bring the estimates up to date: clients, latencies. */
void pm_window_refresh(pm_fold *f, pm_open *o);
/** What was normal before an onset. */
void pm_window_before(pm_fold *f, pm_open *o);

/** Offer the requests handed over from number `from` on: the first stays, the others are a fair choice. */
void pm_sample_offer(pm_fold *f, pm_open *o, uint64_t from);
/** The virtual hosts with the most failures, from the incident's own counts. */
void pm_sample_vhosts(pm_fold *f, pm_open *o);

#endif
