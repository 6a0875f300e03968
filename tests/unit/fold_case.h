/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fold_case.h: what the tests of the recorder's work share: a run of two virtual hosts, and its seconds.
 * Time is the test's own; everything else is real.
 */
#ifndef FOLD_CASE_H
#define FOLD_CASE_H

#include "capture_case.h"

#include "pm_fold.h"
#include "pm_live.h"
#include "pm_time.h"

#define VHOSTS 2u

/** A server to be: a live region, the recorder's state and its capture file. */
typedef struct bench {
    fixture *f;
    pm_retention keep;
    pm_live live;
    pm_ledger *state;
    pm_control *control;
    pm_fold fold;
    uint64_t now, monotonic;
    uint64_t counted, failed, clients; /* by the test, so far */
    uint64_t at;                       /* when in the second requests are answered */
    void (*early)(struct bench *b); /* what is asked before the recorder is there; NULL = nothing */
    pm_burst_rule burst[64];
    pm_slow_rule slow[64];
    pm_served_rule served[64];
    const char *names[64], *defined[64];
} bench;

static inline void two_workers(void *ctx, uint32_t *busy, uint32_t *idle, uint32_t *limit)
{
    (void)ctx;
    *busy = 1;
    *idle = 9;
    *limit = 10;
}

/** Open the capture file and a region for run `run`, as a start of the server does. */
static inline void start_run(bench *b, uint64_t run, pm_live *old)
{
    pm_live_geometry geo = pm_live_plan(1, 64, 8, VHOSTS);
    uint64_t size;

    assert_int_equal(pm_capture_create(&b->fold.capture, b->f->path, &b->keep, b->f->pool,
                                       b->f->notice, &b->f->err),
                     APR_SUCCESS);
    assert_int_equal(pm_live_create(&b->live, b->f->folder, pm_capture_id(b->fold.capture), run,
                                    &geo, -1, &b->f->err),
                     APR_SUCCESS);
    size = pm_ledger_size(b->live.geo.vhosts);
    b->state = calloc(1, size);
    pm_ledger_init(b->state, size, run, b->live.geo.vhosts);
    b->control = calloc(1, sizeof(*b->control));
    pm_control_init(b->control, run, &b->live);
    for (uint32_t v = 0; v < b->live.geo.vhosts; v++) {
        b->burst[v] = (pm_burst_rule){10, 5, 5, 0, 0.05, 0};
        b->slow[v] = (pm_slow_rule){1, 5, 5, 5, PM_SECOND, 0.2};
        b->served[v] = PM_SERVED_DEFAULT;
    }
    b->names[1] = "www.example:80";
    b->names[2] = "api.example:80";
    b->defined[2] = "sites/api.conf:12";
    for (uint32_t v = 1; v <= VHOSTS; v++) {
        atomic_store(&b->live.vhosts[v].pool, v);
    }
    b->fold = (pm_fold){.state = b->state,
                        .control = b->control,
                        .live = &b->live,
                        .capture = b->fold.capture,
                        .burst = b->burst[0],
                        .slow = b->slow[0],
                        .served = b->served[0],
                        .vhost_burst = b->burst,
                        .vhost_slow = b->slow,
                        .vhost_served = b->served,
                        .vhost_names = b->names,
                        .vhost_defined = b->defined,
                        .samples = 4,
                        .clients = 1,
                        .workers = two_workers};
    b->fold.old[0] = old;
    b->fold.server.started_us = b->now;
    if (b->early != NULL) {
        b->early(b);
    }
    assert_int_equal(pm_fold_begin(&b->fold, b->now, b->monotonic, b->f->pool, &b->f->err),
                     APR_SUCCESS);
}

static inline bench *make_bench_at(fixture *f, uint64_t now_us)
{
    bench *b = calloc(1, sizeof(*b));

    b->f = f;
    b->keep = SMALL;
    b->at = PM_SECOND - 1000;
    b->now = now_us;
    b->monotonic = 1000 * PM_SECOND;
    start_run(b, 1, NULL);
    return b;
}

static inline bench *make_bench(fixture *f)
{
    return make_bench_at(f, pm_time_now() / PM_SECOND * PM_SECOND);
}

static inline void stop_run(bench *b)
{
    pm_live_detach(&b->live);
    pm_capture_close(b->fold.capture);
    free(b->fold.tick);
    free(b->state);
    free(b->control);
}

static inline void end_bench(bench *b)
{
    stop_run(b);
    free(b);
}

static inline void tick(bench *b)
{
    b->now += PM_SECOND;
    b->monotonic += PM_SECOND;
    pm_fold_tick(&b->fold, b->now, b->monotonic);
}

static inline pm_incident *incident(bench *b, size_t want, size_t which)
{
    pm_incident **list;
    size_t count;

    assert_int_equal(pm_capture_incidents(b->fold.capture, &list, &count, b->f->pool), APR_SUCCESS);
    assert_int_equal(count, want);
    return want > which ? list[which] : NULL;
}

#endif
