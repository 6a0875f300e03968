/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * work.c: the process at work: it takes what httpd hands over, waits for the lease, and ticks.
 *
 * It is there before httpd's first request and until the last one: over reloads it goes on in place, with the next
 * configuration's rules from the next tick on. As a service's it stays when httpd was stopped, and sees whether a start
 * fails.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "pm_guard.h"
#include "pm_lease.h"
#include "pm_time.h"
#include "pmrecorder.h"

#define LEASE_POLL_US 50000u
#define LEASE_PATIENCE_US (5 * PM_SECOND)
#define LOAD_POLL_US 20000u
#define UNLOADED_US (60 * PM_SECOND) /* that the reading of a configuration may take */
#define LET_GO_US PM_SECOND          /* httpd's end is known so soon after its socket's */
#define ORPHAN_POLL_US 50000u        /* how exactly the end of the last orphan is known */

typedef struct work {
    int channel;
    int parent; /* a descriptor that tells of httpd's parent's end; -1 = the kernel has none */
    pm_generation *g; /* NULL = none yet */
    pm_generation *ended;
    int leased, begun, loaded;
    const pm_service *service; /* NULL = none */
    pm_pulse *pulse;
    uint64_t
        gone_us; /* monotonic; since when nobody is at the other end of httpd's socket; 0 = somebody is */
    uint64_t waits_us; /* monotonic; since when another has the lease; 0 = it has not */
} work;

static volatile sig_atomic_t told_to_go;

static void on_term(int sig)
{
    (void)sig;
    told_to_go = 1;
}

/* ---- httpd ---- */

static int parent_alive(const work *w)
{
    struct pollfd on = {.fd = w->parent, .events = POLLIN};

    return w->parent >= 0 ? poll(&on, 1, 0) <= 0
                          : pm_process_lives(w->g->block->parent_pid, w->g->block->parent_start);
}

/** 1 when there is nothing left to record: the parent has gone, and no worker lives on. */
static int all_gone(work *w)
{
    if (parent_alive(w)) {
        return 0;
    }
    w->g->fold.server.orphaned = 1;
    return pm_live_children_alive(&w->g->live, 1) == 0;
}

/** httpd runs on with a configuration that has no LoadModule line of ours: nobody counts any more, and nobody will say when
 *  it ends. */
static int is_unloaded(const work *w)
{
    uint64_t since = atomic_load(&w->g->control->reloading_us), now = pm_time_monotonic();

    return since != 0 &&
           (now > since + UNLOADED_US || (w->gone_us > since && now > w->gone_us + LET_GO_US)) &&
           parent_alive(w);
}

static int is_stopping(const work *w)
{
    return atomic_load(&w->g->control->stopping) != 0;
}

static void watch_parent(work *w)
{
    if (w->parent >= 0) {
        close(w->parent);
    }
    w->parent = (int)syscall(SYS_pidfd_open, (pid_t)w->g->block->parent_pid, 0);
}

/* ---- what comes over the channel ---- */

static void free_ended(work *w)
{
    pm_generation **at = &w->ended;

    while (*at != NULL) {
        pm_generation *g = *at, *next = g->next_ended;

        if (pm_generation_free(g)) {
            *at = next;
        }
        else {
            at = &g->next_ended;
        }
    }
}

static void take(work *w, pm_handover *h)
{
    pm_error err = {""};
    pm_generation *g = pm_generation_take(h, &err);

    if (g == NULL) {
        pm_log(PM_CRITICAL, err.text);
        if (w->g != NULL) {
            /* Its descriptors of the capture file were closed, and with them went the lease. */
            w->leased = pm_lease_take(w->g->capture);
            w->begun = w->begun && w->leased;
        }
        return;
    }
    pm_log_to(g->handed.fd[PM_FD_ERROR_LOG], (int)g->block->log_level);
    if (g->handed.fd[PM_FD_ERROR_LOG] >= 0) {
        dup2(g->handed.fd[PM_FD_ERROR_LOG], STDERR_FILENO); /* the one before may be rotated away */
    }
    pm_serve(g);
    pm_outside_take(g);
    if (w->g != NULL) {
        /* A load that is followed by the next one before there was time to begin is on record all the same. */
        if (!w->begun && w->leased) {
            w->begun = pm_fold_begin(&w->g->fold, pm_time_now(), pm_time_monotonic(), w->g->pool,
                                     &err) == APR_SUCCESS;
        }
        if (w->begun && !w->loaded) {
            pm_load_step(w->g, 1);
        }
        /* The parent could not know yet what has been said of that load just now. */
        if (w->g->watch != NULL && g->watch_last != NULL) {
            pm_watch_carry(g->watch_last, w->g->watch);
        }
        pm_generation_end(w->g);
        w->g->next_ended = w->ended;
        w->ended = w->g;
    }
    w->g = g;
    w->gone_us = 0;
    w->loaded = 0;
    /* To close a descriptor of the capture file is to give up the lease, and the last generation had one. */
    w->leased = pm_lease_take(g->capture);
    w->begun = 0;
    watch_parent(w);
}

static void hear(work *w)
{
    pm_handover h;
    apr_status_t rv;

    while ((rv = pm_handover_receive(w->channel, &h)) != APR_EAGAIN) {
        if (rv == APR_EOF) {
            told_to_go = 1;
            return;
        }
        if (rv == APR_SUCCESS && h.kind == PM_HANDOVER_LOAD) {
            take(w, &h);
        }
        else if (rv == APR_SUCCESS) {
            w->gone_us = h.kind == PM_HANDOVER_GONE ? pm_time_monotonic() : w->gone_us;
            pm_handover_close(&h);
        }
    }
}

static void show(const work *w, enum pm_doing doing)
{
    atomic_store(&w->pulse->httpd, w->g != NULL ? w->g->block->parent_pid : 0);
    atomic_store(&w->pulse->doing, doing);
}

/** Until there is something to hear, or httpd's parent has gone, or for so long. */
static void wait_for_news(const work *w, uint64_t us)
{
    struct timespec most = {(time_t)(us / PM_SECOND), (long)(us % PM_SECOND * 1000)};
    /* Once it has gone, its descriptor would end every wait. */
    struct pollfd from[2] = {
        {.fd = w->channel, .events = POLLIN},
        {.fd = w->g != NULL && !w->g->fold.server.orphaned ? w->parent : -1, .events = POLLIN}};

    atomic_store(&w->pulse->beat_us, pm_time_monotonic());
    ppoll(from, 2, &most, NULL);
    atomic_store(&w->pulse->beat_us, pm_time_monotonic());
}

/* ---- ticks ---- */

/** Two recorders for one file: who waits says so. The one before may take a moment to leave. */
static void say_waiting(work *w)
{
    uint64_t now = pm_time_monotonic();
    pm_error err;

    if (w->waits_us == 0) {
        w->waits_us = now;
    }
    else if (now > w->waits_us + LEASE_PATIENCE_US) {
        pm_fail(
            &err, APR_EBUSY,
            "Nothing is recorded: another recorder, pid %ld, writes %s; each needs a file of its "
            "own",
            (long)pm_lease_holder(w->g->capture), pm_capture_path(w->g->capture));
        pm_log(PM_CRITICAL, err.text);
        w->waits_us = UINT64_MAX - LEASE_PATIENCE_US; /* once */
    }
}

/** Wait for the lease, and take up the work; 0: there is none to be taken up. */
static int begin(work *w)
{
    pm_error err = {""};

    while (!w->leased) {
        show(w, PM_WAITS);
        say_waiting(w);
        if (told_to_go || is_stopping(w) || all_gone(w)) {
            return 0;
        }
        wait_for_news(w, LEASE_POLL_US);
        hear(w);
        w->leased = w->leased || pm_lease_take(w->g->capture);
    }
    if (pm_fold_begin(&w->g->fold, pm_time_now(), pm_time_monotonic(), w->g->pool, &err) !=
        APR_SUCCESS) {
        pm_log(PM_CRITICAL, err.text);
        return 0;
    }
    w->begun = 1;
    w->waits_us = 0;
    show(w, PM_RECORDS);
    return 1;
}

static void take_load(work *w)
{
    pm_generation *g = w->g;

    if (!w->loaded && pm_load_step(g, 0)) {
        w->loaded = 1;
        pm_outside_loaded(g);
        if (g->watch != NULL) {
            g->fold.server.watched |= PM_WATCHED_FILES;
            g->fold.watch = pm_watch_begin(g->watch, g->watch_last, &g->fold, g->pool);
        }
    }
}

/** Ticks fall on whole seconds of the wall clock, so that a row is a second of the calendar. The wait goes by the
 *  monotonic clock, which the wall clock may run a little behind: a tick too early would be two. It ends as soon as
 *  nobody is left who could serve: the last tick says when that was. */
static void wait_for_second(work *w)
{
    uint64_t until = (pm_time_now() / PM_SECOND + 1) * PM_SECOND;
    /* whatever becomes of the wall clock */
    uint64_t latest = pm_time_monotonic() + PM_SECOND + 100000;

    while (!told_to_go && w->begun && !is_stopping(w) && !all_gone(w) && pm_time_now() < until &&
           pm_time_monotonic() < latest) {
        uint64_t now = pm_time_now(), left = now < until ? until - now + 50 : 0;
        uint64_t most = w->g->fold.server.orphaned ? ORPHAN_POLL_US
                        : w->loaded                ? PM_SECOND
                                                   : LOAD_POLL_US;

        wait_for_news(w, left < most ? left : most);
        hear(w);
        if (w->begun) {
            take_load(w);
        }
    }
}

/** The server has vanished, or ended itself, and nobody is served. Until it is started again, or this process is told to go:
 *  the next server's parent does that. */
static void stay_down(work *w)
{
    pm_generation *g = w->g;

    show(w, PM_SEES_DOWN);
    while (!told_to_go) {
        uint64_t now = pm_time_now();

        pm_fold_down(&g->fold, now);
        pm_eventlog_tick(g);
        atomic_store(&g->control->heartbeat_us, pm_time_monotonic());
        wait_for_news(w, PM_SECOND - now % PM_SECOND);
        hear(w);
        free_ended(w);
        if (w->g != g) {
            return;
        }
    }
}

/** httpd was stopped in order, which is nobody's outage, until a start fails or PMCaptureStopped's time is over. A service
 *  stays. */
static void stay_stopped(work *w)
{
    pm_generation *g = w->g;

    show(w, PM_SEES_STOP);
    while (!told_to_go && w->g == g) {
        uint64_t now = pm_time_now();

        if (pm_fold_stopped(&g->fold, now)) {
            stay_down(w);
            return;
        }
        pm_eventlog_tick(g);
        atomic_store(&g->control->heartbeat_us, pm_time_monotonic());
        wait_for_news(w, PM_SECOND - now % PM_SECOND);
        hear(w);
        free_ended(w);
    }
}

/** 1: that was the last one. */
static int tick(work *w)
{
    pm_generation *g = w->g;
    uint64_t failures = g->ledger->checkpoint.server.write_failures;
    uint32_t one = 1;
    int leaving = all_gone(w) || is_stopping(w);

    pm_outside_tick(g);
    pm_fold_tick(&g->fold, pm_time_now(), pm_time_monotonic());
    pm_eventlog_tick(g);
    free_ended(w);
    /* The live region may go, unless what it holds is nowhere else. */
    if (leaving && g->ledger->checkpoint.server.write_failures == failures) {
        atomic_compare_exchange_strong(&g->control->stopping, &one, 2);
    }
    return leaving;
}

/** As an orderly end: what comes after it is nobody's outage. But it is none of httpd's. */
static void end_unloaded(work *w)
{
    uint64_t reload = pm_time_monotonic() - atomic_load(&w->g->control->reloading_us);

    snprintf(w->g->fold.server.trouble, sizeof(w->g->fold.server.trouble),
             "A reload unloaded mod_pmcapture: httpd runs on without it, and nothing is recorded "
             "since");
    w->g->fold.unloaded_us = pm_time_now() - reload;
    atomic_store(&w->g->control->stopping, 1);
}

/** 0: there is nothing left to do. */
static int after_last_tick(work *w)
{
    if (!is_stopping(w)) {
        stay_down(w);
        return 1;
    }
    if (w->service == NULL) {
        return 0;
    }
    stay_stopped(w);
    return 1;
}

/** 0: there is nothing left to do. */
static int record(work *w)
{
    if (is_unloaded(w)) {
        end_unloaded(w);
    }
    if (!w->begun && !begin(w)) {
        return 0;
    }
    if (pm_fold_is_down(&w->g->fold)) {
        stay_down(w); /* it was so before this process began */
        return 1;
    }
    if (atomic_load(&w->g->control->stopping) == 2) {
        return after_last_tick(w); /* and so was this */
    }
    wait_for_second(w);
    return !w->begun || told_to_go || !tick(w) || after_last_tick(w);
}

int pm_work(int channel, const pm_service *service, pm_pulse *pulse)
{
    work w = {.channel = channel, .parent = -1, .service = service, .pulse = pulse};
    struct sigaction term = {.sa_handler = on_term}, usual = {.sa_handler = SIG_DFL};

    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGCHLD, &usual, NULL);
    pm_guard_install();
    prctl(PR_SET_NAME, "pmcapture");
    prctl(PR_SET_DUMPABLE, 0);
    show(&w, PM_IDLE);
    if (service != NULL) {
        pm_serve_alone(service);
    }
    while (w.g == NULL && !told_to_go) {
        wait_for_news(&w, PM_SECOND);
        hear(&w);
    }
    while (!told_to_go && w.g != NULL) {
        if (!record(&w)) {
            return told_to_go || is_stopping(&w) || all_gone(&w) ? 0 : 1;
        }
    }
    return 0;
}
