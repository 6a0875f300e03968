/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * load.c: a load of the configuration: the parent notes when it was, and lets a process of its own gather what it brought.
 *
 * To gather thousands of virtual hosts and look at every file takes as long as httpd takes to read them, and httpd waits
 * for post_config. So that is left to a child that has all of the parent's memory, and ends when it is done: the gatherer.
 * It masks secrets; the recorder compares.
 */
#include "module.h"

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <http_log.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_descriptors.h"
#include "pm_time.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define GATHER_SECONDS 60

/** The load that this generation began with. */
static struct {
    uint64_t at_us;
    int first, graceful;
    int ungathered; /* nobody gathers it yet */
} load;

static apr_proc_t gatherer, former;
static int forks; /* the gatherer, just now */

int pm_load_forks(void)
{
    return forks;
}

/* ---- the gatherer ---- */

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/** It may hang on a file, and a process that keeps the listening sockets makes the next start fail: all is closed but
 *  what it works with. */
static void close_descriptors(server_rec *s)
{
    int keep[] = {2, 2, -1, -1};
    unsigned from = 3;

    if (s->error_log == NULL || apr_os_file_get(&keep[1], s->error_log) != APR_SUCCESS) {
        keep[1] = 2;
    }
    pm_config_descriptors(&keep[2], &keep[3]);
    qsort(keep, sizeof(keep) / sizeof(keep[0]), sizeof(keep[0]), by_number);
    for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        if (keep[i] >= (int)from) {
            pm_descriptors_close(from, (unsigned)keep[i] - 1);
            from = (unsigned)keep[i] + 1;
        }
    }
    pm_descriptors_close(from, ~0u);
}

static void gather(apr_pool_t *pconf, server_rec *s)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    apr_pool_t *pool;
    sigset_t none;

    setpgid(0, 0); /* what httpd's process group is told does not concern it */
    for (int sig = 1; sig < 32; sig++) {
        sigaction(sig, &usual, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "pmcapture-load");
    prctl(PR_SET_DUMPABLE, 0);
    close_descriptors(s);
    alarm(GATHER_SECONDS);
    apr_pool_create(&pool, pconf);
    pm_config_gather(pool, s);
    pm_watch_fill(pool, s);
    pm_config_seal(pool, s);
}

static void gatherer_ended(int reason, void *data, int status)
{
    const apr_proc_t *ended = data;
    pm_retained *kept = pm_retained_get();

    (void)status;
    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return;
    }
    if (kept->gatherer == ended->pid) {
        kept->gatherer = 0;
        if (pm.control != NULL) { /* whatever came of it, the recorder waits for it no more */
            atomic_store(&pm.control->gathered, pm.generation + 1);
        }
    }
    apr_proc_other_child_unregister(data);
}

/** Known to this generation, or the MPM would call it a long lost child. */
static void watch_over(apr_proc_t *proc, pid_t pid, apr_pool_t *pconf)
{
    proc->pid = pid;
    proc->in = proc->out = proc->err = NULL;
    apr_proc_other_child_register(proc, gatherer_ended, proc, NULL, pconf);
}

void pm_load_gather(server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    apr_pool_t *pconf = pm.pconf;
    pid_t pid;

    if (!load.ungathered || pm.live.header == NULL || kept->parent != getpid()) {
        return;
    }
    load.ungathered = 0;
    forks = 1;
    pid = fork();
    forks = 0;
    if (pid == 0) {
        gather(pconf, s);
        _exit(0);
    }
    if (pid > 0) {
        kept->gatherer = pid;
        watch_over(&gatherer, pid, pconf);
        return;
    }
    atomic_store(&pm.control->gathered, pm.generation + 1);
    pm_say(
        s, APLOG_ERR,
        "what this load of the configuration changed is not recorded, nor are its files watched: "
        "fork failed");
}

/* ---- in the parent ---- */

void pm_load_begin(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    pm_retained *kept = pm_retained_get();

    load.at_us = pm_time_now();
    load.first = !kept->started;
    /* The one member that survives the old configuration's end. */
    load.graceful = ap_unixd_mpm_get_retained_data()->was_graceful;
    if (load.first) {
        pm_draft d;

        pm_draft_begin(&d, PM_EV_SERVER_START, kept->started_us);
        pm_draft_count(&d, "pid", (uint64_t)getpid());
        pm_write_event(pm_draft_end(&d, "httpd started, pid %ld, %s", (long)getpid(),
                                    ap_get_server_description()));
    }
    else {
        kept->reload_us = load.at_us;
    }
    pm_lines_prepare();
    pm_config_prepare(pconf, ptemp, s);
    pm_watch_prepare(pconf, ptemp, s);
    if (kept->gatherer > 0 && waitpid(kept->gatherer, NULL, WNOHANG) == 0) {
        watch_over(&former, kept->gatherer, pconf); /* the last load's is still at work */
    }
    kept->gatherer = 0;
    load.ungathered = 1;
}

uint64_t pm_load_at(uint32_t *first, uint32_t *graceful)
{
    *first = (uint32_t)load.first;
    *graceful = (uint32_t)load.graceful;
    return load.at_us;
}
