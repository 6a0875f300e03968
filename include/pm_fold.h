/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_fold.h: the recorder's work: once a second, counters become history.
 *
 * A tick takes a snapshot of the live region(s), subtracts the last one, judges every scope, moves incidents on,
 * and writes a row, events, incidents and the checkpoint to the capture file. All that must survive the recorder's
 * death lies in a pm_ledger, in memory that httpd's parent keeps for it; workers have none of it.
 * One process ticks at a time: the holder of the lease (pm_lease.h).
 *
 * Workers time requests by the wall clock. When that is set forward, those that came before count as come then: in
 * flight they are slow once they have lasted so long since, and where one fails, no incident begins before. Where one
 * completes as slow, no request to its virtual host in that tick is taken for slow (row.slow, too): nobody knows which
 * are. All are counted, each with the time that its worker took: p99_us and max_us of such a second, and the longest of
 * all, may show by how much the clock was set.
 *
 * It knows no httpd: the program fills pm_fold from what httpd has handed over.
 */
#ifndef PM_FOLD_H
#define PM_FOLD_H

#include "pm_capture.h"
#include "pm_control.h"
#include "pm_live.h"
#include "pm_outside.h"
#include "pm_served.h"
#include "pm_silence.h"

#define PM_LEDGER_MAGIC 0x3745544154534d50ull /* "PMSTATE7" */
#define PM_SECONDS_KEPT 128u /* of figures that go into an incident's beginning; >= PM_WINDOW_MAX */
#define PM_MINUTES_KEPT 60u
#define PM_SKETCHES_KEPT 64u /* ticks of clients that can still join an incident */
#define PM_INCIDENTS_OPEN 8u /* at one time; more are not opened, and that is said */
#define PM_PENDING_EVENTS 64u
#define PM_RECENT_SAMPLES 768u /* of ten full seconds: an incident's first is among them when it opens */

/** Which failures one tick brought to a scope. */
typedef struct pm_code_tick {
    uint32_t tick;            /* low half of the number: tells a stale entry */
    uint16_t code[PM_CODES]; /* saturating */
} pm_code_tick;

/** One scope's last absolute counters. Scope 0 is the server, scope v + 1 virtual host v. */
typedef struct pm_scope_state {
    uint64_t requests, errors, slow, refused, redirected; /* absolute, at the last tick */
    uint32_t by_client[PM_CLIENT_BUCKETS];
    uint32_t by_code[PM_CODES];
    uint32_t pad;
    pm_code_tick codes[PM_SECONDS_KEPT];    /* by tick */
    uint64_t first_error_us, first_slow_us, first_unserved_us; /* seen without their counter yet */
    uint64_t last_error_us, last_slow_us, last_unserved_us; /* latest completion of a counted one */
    pm_scope detect;
    pm_served served;
} pm_scope_state;

/** An open incident. What came since the last failure is pending: it belongs to the window only when
 *  something fails again. */
typedef struct pm_open {
    pm_incident incident;
    uint32_t used;
    uint32_t scope;
    uint64_t succeeded; /* since the last failure */
    uint64_t whole;     /* requests of all seconds that the window touches ... */
    uint64_t before, after; /* ... and what succeeded in them outside of it, by proportion */
    uint64_t before_most, after_most; /* all that succeeded in the seconds in which it begins and ends */
    uint32_t boundless;               /* it began before the figures that are kept: there were more */
    uint32_t carried_more;            /* requests that may be missing of what the run before counted */
    uint32_t carried_since_end;       /* what failed in it after the end, and did not extend the window */
    uint32_t pad;
    double carried_doubt;             /* clients of the run before that may have come outside */
    uint64_t missed, missed_failing;  /* requests and failures of seconds whose clients are forgotten */
    uint64_t pending_requests, pending_errors, pending_slow;
    uint64_t pending_code[PM_CODES];
    uint64_t pending_hist[PM_HIST_BUCKETS];
    double unserved_before; /* clients that were not served from onset to detection: they may be missing in sketch[1] */
    pm_client_set pending_met[PM_OUTCOMES];
    pm_client_set since_end[PM_OUTCOMES]; /* who met what since the last failure */
    uint8_t sketch[2][PM_SKETCH_SIZE]; /* clients of the window: all, error */
    uint8_t pending_sketch[2][PM_SKETCH_SIZE];
    uint8_t waiting[PM_SKETCH_SIZE]; /* pending clients but for the latest second's */
    uint8_t inner[PM_SKETCH_SIZE];   /* clients of the seconds that lie wholly in the window, */
    uint8_t edge[2][PM_SKETCH_SIZE]; /* of the one in which it begins, and of another in which it ends */
    double outside[2];               /* how much of each lies outside, 0..1 */
    double first_outside;            /* of the first, before the onset alone */
    uint64_t vhost_requests[PM_VHOSTS_MAX]; /* up to the last failure */
    uint64_t vhost_after[PM_VHOSTS_MAX];    /* of them after it, in its second */
    uint64_t vhost_errors[PM_VHOSTS_MAX];
    uint64_t vhost_mark[PM_VHOSTS_MAX]; /* absolute requests at the last failure */
    uint64_t vhost_error_mark[PM_VHOSTS_MAX];
    pm_sample samples[PM_SAMPLES_MAX];
    pm_heavy_marks heavy;
} pm_open;

typedef struct pm_pending_event {
    uint64_t at_us;
    uint32_t type, severity;
    char text[PM_EVENT_TEXT];
    char data[PM_DRAFT_DATA];
} pm_pending_event;

typedef struct pm_second {
    pm_row row;
    uint32_t hist[PM_HIST_BUCKETS];
    uint32_t waits; /* a minute that has ended and is to be written */
} pm_second;

/** Silence: what is usual, and how this one stands. */
typedef struct pm_quiet {
    pm_silence silence;
    uint64_t accepted, brought; /* connections, absolute, at the last tick */
    uint64_t usual_us;          /* when day and week were looked up in this silence; 0 = not yet */
    uint64_t held_us;           /* how long it was when it began to hold */
    double day, week;
    uint32_t in_flight, told; /* requests under way when it began; its story is on record */
    /* requests that came in it: of health checkers, and those answered as 400 is, with which status, and with others, too */
    uint64_t others, unfit;
    uint32_t unfit_status, unfit_mixed;
    uint32_t hardly; /* some that may have been a client's */
    uint32_t asked;  /* a client was met in the last tick */
    uint64_t minute; /* number of that whose clients are counted */
    pm_client_set people, last_people; /* its clients; those of the minute before, none where that is not known */
    uint32_t last_known, pad;
} pm_quiet;

typedef struct pm_ledger {
    uint64_t magic, size;
    uint64_t run;
    /* the tick's own */
    uint64_t started;                    /* 1 after the first tick of the run */
    uint64_t last_us, last_monotonic_us; /* of the last tick */
    uint64_t set_us; /* when the clock was last set forward, by what it is now; 0 = not in this run */
    uint64_t written_tick;               /* rows up to here are in the file */
    uint64_t shipped_event, shipped_minute; /* PMCaptureEventLog has what is up to here */
    uint64_t journal_at, samples_at, pending_since;
    uint64_t handed_taken;
    uint64_t crashes_counted, crashes_said, crash_said_us;
    uint64_t exhausted_since_us, exhausted_ticks; /* no worker idle */
    uint64_t failures_seen; /* up to this event's seq they are counted */
    uint64_t stop_seen;     /* up to this one no start has failed since the stop */
    uint32_t epoch;
    uint32_t minutes_wait; /* some do */
    uint32_t said, told; /* generation + 1 whose load is in the file; and whose files are in the table, too */
    uint32_t load_tries, pad; /* how often that was begun */
    pm_checkpoint checkpoint;
    pm_second minute; /* the one that is being filled */
    uint64_t minute_hist[PM_HIST_BUCKETS];
    uint8_t minute_sketch[2][PM_SKETCH_SIZE];
    pm_second seconds[PM_SECONDS_KEPT]; /* by tick */
    pm_second minutes[PM_MINUTES_KEPT];
    uint64_t pool_hist[PM_POOLS][PM_HIST_BUCKETS]; /* absolute, at the last tick */
    uint32_t pools_used[PM_SKETCHES_KEPT]; /* by tick; bit p: sketches[][p] are that tick's, not stale */
    uint8_t sketches[PM_SKETCHES_KEPT][PM_POOLS][2][PM_SKETCH_SIZE]; /* by tick: all, error */
    pm_pending_event pending[PM_PENDING_EVENTS];
    uint64_t pending_first, pending_next;
    pm_live_sample recent[PM_RECENT_SAMPLES];
    uint64_t recent_next; /* number of the next; slot = number % room */
    uint64_t random;
    pm_open open[PM_INCIDENTS_OPEN];
    pm_heavy_ledger heavy;
    pm_quiet quiet;
    char vhost_name[PM_VHOSTS_MAX][PM_KEY]; /* whose the scopes are, as the last handover said */
    uint32_t scopes, pad2; /* room: virtual hosts + 1 */
    pm_scope_state scope[];
} pm_ledger;

typedef struct pm_fold {
    pm_ledger *state;
    pm_control *control;
    pm_live *live;
    pm_live *old[PM_OLD_REGIONS]; /* NULL = none */
    pm_capture *capture;
    pm_burst_rule burst; /* the server's */
    pm_slow_rule slow;
    pm_served_rule served;
    const pm_burst_rule *vhost_burst; /* [live->geo.vhosts] */
    const pm_slow_rule *vhost_slow;
    const pm_served_rule *vhost_served;
    const char *const *vhost_names; /* [live->geo.vhosts], NULL = not in use */
    const char *const *vhost_defined;
    uint32_t samples; /* kept per incident */
    uint32_t clients; /* 0 = PMCaptureClients off */
    uint64_t stopped_us; /* PMCaptureStopped: so long after a stop it is an outage; 0 = never */
    pm_server server; /* what the module knows; the tick fills in the rest */
    uint64_t unloaded_us; /* when a reload let httpd go on without the module; 0 = it did not */
    void (*workers)(void *ctx, uint32_t *busy, uint32_t *idle, uint32_t *limit);
    void (*say)(void *ctx, int severity, const char *sentence); /* to the error log */
    void *ctx;
    struct pm_watch *watch; /* pm_watch.h; NULL = nothing is watched */
    pm_outside *outside;    /* NULL = nobody looks from outside */
    /* the tick's working memory, this process's own */
    struct pm_tick *tick;
} pm_fold;

uint64_t pm_ledger_size(uint32_t vhosts);
/** A fresh state for a run; memory is zero. */
void pm_ledger_init(pm_ledger *state, uint64_t size, uint64_t run, uint32_t vhosts);

/** Take up the work: on a state of this run already ticked, just goes on; else reads the capture file's
 *  checkpoint and open incidents, counts what dead runs left in the old regions, and says how the last run
 *  ended. Call once in each recorder before its first tick, with the clocks that its ticks go by. */
apr_status_t pm_fold_begin(pm_fold *f, uint64_t now_us, uint64_t monotonic_us, apr_pool_t *pool,
                           pm_error *err);
/** One tick at wall time `now_us`. Failures to write are counted, said, and tried again with the next tick. */
void pm_fold_tick(pm_fold *f, uint64_t now_us, uint64_t monotonic_us);
/** Once a second in a tick's place, after the last tick, when the server has vanished or ended itself: an incident tells
 *  that nobody is served, and lasts until the next run's pm_fold_begin. The server's heartbeat stays its last sign of life. */
void pm_fold_down(pm_fold *f, uint64_t now_us);
/** Once a second in a tick's place, after the last tick, when the server was stopped in order: once PMCaptureStopped's time
 *  is over an incident tells that nobody is served, and lasts until the next run's pm_fold_begin. Nothing is written until
 *  then, and little is read. 1 when a start has failed since, so that the stop was not meant to last: from here on
 *  pm_fold_down is called. */
int pm_fold_stopped(pm_fold *f, uint64_t now_us);
/** 1 when pm_fold_down was called, by whichever process, and no run has begun since. */
int pm_fold_is_down(const pm_fold *f);
/** Put an event (pm_draft_end) into the queue that the next tick writes. */
void pm_fold_event(pm_fold *f, const pm_event *e);

#endif
