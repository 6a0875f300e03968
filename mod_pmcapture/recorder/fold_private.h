/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fold_private.h: what the parts of a tick hand to each other.
 *
 *   figures.c    counters -> the figures of each scope, a row
 *   heavy_fold.c what failing requests have in common -> breakdowns
 *   incident.c   figures -> incidents opened, moved on, closed (with window.c, sample.c)
 *   crashes.c    children that died -> events
 *   workers.c    no idle worker left -> events
 *   stuck.c      requests that do not end -> notes
 *   reach.c      what looks from outside say -> events, incidents of kind unreachable
 *   certificates.c  those that end, or have -> events, incidents of kind unreachable
 *   silence.c    does usual traffic not come (pm_silence.h); silence_tell.c: its incident and story;
 *               silence_past.c: clients of other days, and of before a restart
 *   failures.c   starts and reloads that failed, found in the file
 *   keep.c       all of it -> the capture file
 *   clock.c      the clock was set
 *   fold.c       the tick
 *   begin.c      how a run begins, and how the last one ended
 */
#ifndef PM_FOLD_PRIVATE_H
#define PM_FOLD_PRIVATE_H

#include "pm_fold.h"

/** A line of a breakdown before it is one: a key's counts in all virtual hosts of the scope. */
typedef struct pm_heavy_item {
    uint64_t group;
    const char *key, *line;
    uint64_t good, errors, ways[PM_WAYS], first_us;
    uint64_t counted_errors; /* since detection */
} pm_heavy_item;
#define PM_HEAVY_ITEMS (1024u + PM_TALLIES + 1)

typedef struct pm_tick {
    uint64_t tick, from_us, now_us, span_us;
    uint64_t set_us; /* as the ledger's */
    uint32_t scopes;
    uint32_t epoch;       /* the one that ends with this tick */
    uint64_t sample_from; /* number of the first sample of this tick in state->recent */
    pm_totals delta;
    uint64_t pool_delta[PM_POOLS][PM_HIST_BUCKETS];
    uint64_t pool_now[PM_POOLS][PM_HIST_BUCKETS];
    pm_totals snapshot;                /* working memory of one region's sum */
    uint8_t sketch[2][PM_SKETCH_SIZE]; /* the server's: all, error */
    pm_figures *figures;               /* [scopes] */
    pm_verdict *verdicts;              /* [scopes] */
    pm_served_verdict *served;         /* [scopes] */
    pm_heavy_item items[PM_HEAVY_ITEMS];
    uint32_t stuck,
        stuck_flight; /* requests that are a minute old since this tick; the oldest of them */
    uint64_t stuck_arrival_us;
} pm_tick;

#define PM_SCOPE_SERVER 0u

/** The tick's memory, zeroed; the next call gives the same. NULL without memory. */
pm_tick *pm_fold_memory(pm_fold *f);
/** Do wall and monotonic clock part? That is said, `t->from_us` and what is open follow: time in the record never runs
 *  backwards. */
void pm_clock_check(pm_fold *f, pm_tick *t, uint64_t monotonic_us);
/** Does a rule hold, scope by scope? */
void pm_fold_judge(pm_fold *f, pm_tick *t);
/** A row of the second joins the minute's. */
void pm_fold_to_minute(pm_fold *f, pm_tick *t, const pm_row *row);

/** Did something happen before the clock was set forward? Its time is none of the clock as it is. */
static inline int pm_before_set(const pm_tick *t, uint64_t at)
{
    return at != 0 && at < t->set_us;
}

/** A time by the clock as it is, as far as that can be known; 0 when there is none. */
static inline uint64_t pm_by_the_clock(const pm_tick *t, uint64_t at)
{
    return pm_before_set(t, at) ? t->set_us : at;
}

/** The slot of a tick in the rings of the last seconds. */
static inline pm_second *pm_second_of(pm_ledger *s, uint64_t tick)
{
    return &s->seconds[tick % PM_SECONDS_KEPT];
}

void pm_figures_take(pm_fold *f, pm_tick *t);
/** Of dead runs' regions alone: this run's requests were not answered when the last one ended. */
void pm_figures_recover(pm_fold *f, pm_tick *t);
/** Merge the clients that one of the last PM_SKETCHES_KEPT ticks met in a pool, or in all of them (PM_POOLS). */
void pm_clients_of(const pm_ledger *s, uint64_t tick, uint32_t pool, uint8_t all[],
                   uint8_t error[]);
void pm_samples_drain(pm_fold *f, pm_tick *t);
void pm_journal_drain(pm_fold *f, pm_tick *t);

/** Credit what was counted since the last tick, and make room. */
void pm_heavy_step(pm_fold *f, pm_tick *t);
/** Count from the incident's onset on, as far as the last ticks are remembered. */
void pm_heavy_open(pm_fold *f, pm_tick *t, pm_open *o);
/** What was counted up to the incident's end belongs to the window. */
void pm_heavy_extend(pm_fold *f, const pm_tick *t, pm_open *o);
/** The incident's breakdown so far. */
void pm_heavy_fill(pm_fold *f, pm_tick *t, pm_open *o);
/** Go on with the breakdown of an incident that the last run left open. */
void pm_heavy_resume(pm_open *o);
/** Lines of the error log that are on record with an incident are not new in this run either. */
void pm_heavy_recall(pm_fold *f, const pm_incident *in);

void pm_incidents_step(pm_fold *f, pm_tick *t);
/** A state that no count of failures tells. */
typedef struct pm_condition {
    uint32_t kind;           /* one of PM_KIND_STATES */
    uint32_t scope;          /* PM_KIND_OUTAGE: the server */
    uint64_t from_us, to_us; /* from_us counts when it begins */
    int lasts;               /* 0: at to_us it is over */
} pm_condition;
/** It joins an incident that it touches, or becomes one of its own. While it lasts, it goes on from where it was with each
 *  call. An incident that is of states alone closes with the tick after the last of them is over. */
void pm_incident_state(pm_fold *f, const pm_condition *s);
/** Does one last? */
int pm_incident_in_state(const pm_fold *f, uint32_t kind, uint32_t scope);
/** stopped.c: the last run ended in order, and that has become an outage, or goes on as one: it lasts until now. */
void pm_stopped_begin(pm_fold *f, const pm_server *last, uint64_t now_us, apr_pool_t *pool);
/** It is over. */
void pm_stopped_end(pm_fold *f, uint64_t now_us);
int pm_stopped_lasts(const pm_fold *f);
/** Is an incident open, of whatever scope? */
static inline int pm_incident_any_open(const pm_fold *f)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (f->state->open[i].used && f->state->open[i].incident.open) {
            return 1;
        }
    }
    return 0;
}
/** Is one open in which the server itself failed? A restart may be meant to mend that; with one that is about a certificate
 *  or a wrong address nobody restarts it, or it stays as it is. */
static inline int pm_incident_serving_failed(const pm_fold *f)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        const pm_open *o = &f->state->open[i];

        if (o->used && o->incident.open && (o->incident.kinds & PM_KIND_SERVING)) {
            return 1;
        }
    }
    return 0;
}
/** Is one open in this scope, or in the server's? */
int pm_incident_concerns(const pm_fold *f, uint32_t scope);
/** Take up an incident that the last run left open, or closed just before it ended. */
void pm_incident_resume(pm_fold *f, const pm_incident *incident, const pm_sample *samples,
                        size_t count);

/** What the parent noted of children that died becomes events, at most one every few seconds. */
void pm_crashes_step(pm_fold *f, pm_tick *t);
void pm_workers_step(pm_fold *f, pm_tick *t, const pm_row *row);

/** What the last look from outside says. */
void pm_reach_step(pm_fold *f, const pm_tick *t);
/** " (since generation 4, ports.conf:5)" of a listener, and of the PROXY header that is expected there; "" = not known. */
const char *pm_outside_place(const pm_outside_listener *l, char out[PM_KEY + 64]);
const char *pm_outside_proxy_place(const pm_outside *o, const pm_outside_listener *l,
                                   char out[PM_KEY + 64]);
/** Certificates that end, or have. */
void pm_certificates_step(pm_fold *f, const pm_tick *t);
/** Does usual traffic not come? */
void pm_silence_tick(pm_fold *f, const pm_tick *t, const pm_row *row);
/** Clients a minute at this time so long ago: in the half hour before it or the one after it, whichever had less; minutes of
 *  an outage are left out. -1 = not on record. */
double pm_silence_usual(pm_fold *f, uint64_t now, uint64_t before);
/** Clients that are no health checkers, into the second's row and its minute's. */
void pm_silence_count(pm_fold *f, const pm_tick *t, pm_row *second);
/** The minutes on record are what is usual. */
void pm_silence_remember(pm_fold *f, uint64_t now_us);

/** A request in flight: is it a minute old since this tick? */
void pm_stuck_see(pm_fold *f, pm_tick *t, uint32_t flight, uint64_t arrival);
/** Name those that are. */
void pm_stuck_step(pm_fold *f, const pm_tick *t);

/** Count failures that other processes have written into the file since; the caller holds the lock. */
void pm_failures_count(pm_fold *f);

/** Write what this tick brought. */
void pm_keep_tick(pm_fold *f, pm_tick *t);

#endif
