/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * children.c: worker processes that died unasked, as the parent learns of them.
 *
 * child_status says that a process has ended, not how. httpd logs the signal just before (AH00051, AH00052), but
 * never SIGKILL, the OOM killer's, and no exit(). So a child that ended with no such line, and without a mark of its
 * end in the live region, was killed. mpm_itk's children serve in a process that they fork, and end by exit() when
 * that has died: they mark the signal.
 */
#include "module.h"

#include <mpm_common.h>
#include <stdlib.h>
#include <unixd.h>

#include "pm_time.h"

#define LOGGED 32u

typedef struct pm_death {
    pid_t pid;
    int signal;
} pm_death;

static pm_death logged[LOGGED]; /* by arrival; most are asked for at once */
static uint32_t logged_next;

/** "AH00052: child pid 4711 exit signal Segmentation fault (11)". Async-signal-safe, as the hook must be. */
void pm_child_logged(const char *message)
{
    const char *pid = strstr(message, "child pid "), *signal;

    if (pid == NULL || strstr(pid, " exit signal ") == NULL) {
        return;
    }
    signal = strchr(pid, '(');
    while (signal != NULL && (signal[1] < '0' || signal[1] > '9')) {
        signal = strchr(signal + 1, '(');
    }
    if (signal != NULL) {
        logged[logged_next++ % LOGGED] =
            (pm_death){(pid_t)atol(pid + strlen("child pid ")), atoi(signal + 1)};
    }
}

static int take_signal(pid_t pid)
{
    for (uint32_t i = 0; i < LOGGED; i++) {
        if (logged[i].pid == pid) {
            logged[i].pid = 0;
            return logged[i].signal;
        }
    }
    return 0;
}

/** The newest entry of a pid: an older one may wait there for the recorder to give it up. */
static const pm_child *entry_of(const pm_live *live, pid_t pid)
{
    const pm_child *found = NULL;

    for (uint32_t i = 0; live->header != NULL && i < live->geo.children; i++) {
        const pm_child *c = &live->children[i];

        if (atomic_load(&c->pid) == (uint32_t)pid &&
            (found == NULL || atomic_load(&c->start) >= atomic_load(&found->start))) {
            found = c;
        }
    }
    return found;
}

/** A child of an older generation may count in an older region. */
static const pm_child *find_child(pid_t pid, const pm_live **where)
{
    const pm_child *c = entry_of(&pm.live, pid);

    *where = &pm.live;
    for (uint32_t i = 0; i < PM_OLD_REGIONS && c == NULL; i++) {
        *where = &pm.old[i];
        c = entry_of(&pm.old[i], pid);
    }
    return c;
}

/** What it was serving: its requests are in flight until the recorder gives them up. */
static void count_requests(const pm_live *live, uint32_t child, pm_crash *crash)
{
    if (live->flights == NULL) {
        return; /* a region of another layout */
    }
    crash->requests = 0;
    for (uint32_t i = 0; i < live->geo.flights; i++) {
        uint64_t arrival = atomic_load(&live->flights[i].arrival_us);

        if (arrival == 0 || atomic_load(&live->flights[i].who) >> 16 != child) {
            continue;
        }
        crash->requests++;
        if (arrival < crash->at_us && (crash->at_us - arrival) / 1000 > crash->oldest_ms) {
            crash->oldest_ms = (uint32_t)((crash->at_us - arrival) / 1000);
        }
    }
}

/** Notices always go to a log file; to syslog and the like only when LogLevel lets them. */
static int signals_are_logged(const server_rec *s)
{
    return s->error_log != NULL ||
           ap_get_server_module_loglevel(s, core_module.module_index) >= APLOG_NOTICE;
}

/** Ends that somebody asked for: the MPM kills what does not go by itself. */
static int is_asked_for(void)
{
    const ap_unixd_mpm_retained_data *mpm = ap_unixd_mpm_get_retained_data();

    return mpm->shutdown_pending || (mpm->restart_pending && mpm->is_ungraceful);
}

static void note_crash(const pm_crash *crash)
{
    uint64_t n = atomic_load(&pm.control->crashes);

    pm.control->crash[n % PM_CRASHES_KEPT] = *crash;
    atomic_store_explicit(&pm.control->crashes, n + 1, memory_order_release);
}

/** How the child ended; 0 = in order, or as somebody wanted it. */
static int find_end(const server_rec *s, pid_t pid, const pm_child *c, int32_t *signal)
{
    *signal = take_signal(pid);
    if (*signal == 0 && c != NULL) {
        *signal = atomic_load(&c->signal);
    }
    if (*signal != 0) {
        return 1;
    }
    if (is_asked_for() || c == NULL || atomic_load(&c->state) == PM_CHILD_ENDED) {
        return 0;
    }
    if (atomic_load(&c->state) == PM_CHILD_EXITED) {
        *signal = PM_CRASH_EXITED;
    }
    else {
        *signal = signals_are_logged(s) ? PM_CRASH_SILENT : PM_CRASH_UNSEEN;
    }
    return 1;
}

void pm_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                     mpm_child_status status)
{
    const pm_live *live;
    const pm_child *c;
    pm_crash crash = {.at_us = pm_time_now(), .pid = (uint32_t)pid, .requests = PM_UNKNOWN};

    (void)slot;
    pm_guard_install();
    pm_signals_watch();
    if (status == MPM_CHILD_STARTED) {
        pm_load_gather(s);
    }
    if (status != MPM_CHILD_EXITED || pm.control == NULL) {
        return;
    }
    crash.generation = gen > 0 ? (uint32_t)gen : 0;
    c = find_child(pid, &live);
    if (find_end(s, pid, c, &crash.signal)) {
        /* What a process was serving that it has forked, and that called exit(), went with that. */
        if (c != NULL &&
            (crash.signal != PM_CRASH_EXITED || atomic_load(&c->of) != PM_CHILD_FORKS)) {
            count_requests(live, (uint32_t)(c - live->children), &crash);
        }
        note_crash(&crash);
    }
    if (c != NULL && !live->readonly) {
        pm_live_abandon(live, (uint32_t)(c - live->children));
    }
}
