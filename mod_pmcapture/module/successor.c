/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * successor.c: what the parent keeps from one configuration to the next: descriptors and mappings. Where the next one has
 * no LoadModule line of ours nobody is there to close them, and workers would inherit them until httpd ends.
 *
 * So they are left in the log pool: httpd clears it when the next configuration is read and its modules are loaded, by
 * code of APR's, which stays. A module that is loaded again takes copies before. Mappings cannot be left like that:
 * processes that are forked meanwhile do not get them.
 *
 * Nor do processes that other modules fork from the parent, mod_cgid's daemon say, get the descriptors, or those of the
 * configuration that runs.
 */
#include "module.h"

#include <apr_portable.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "retained.h"
#include "service.h"
#include "watch.h"

#define KEPT_KEY "mod_pmcapture/successor/1"
#define LEFT_MAX 48

/** In process-lifetime memory (see retained.h). */
typedef struct left_behind {
    uint32_t size, count; /* count: 0 = nothing is left */
    int generation;       /* of httpd's configuration, which has left it */
    int fd[LEFT_MAX];     /* in the order of each_descriptor; -1 = there was none */
} left_behind;

static apr_pool_t *log_pool;

static left_behind *left_get(void)
{
    left_behind *left = ap_retained_data_get(KEPT_KEY);

    if (left == NULL) {
        left = ap_retained_data_create(KEPT_KEY, sizeof(*left));
        left->size = sizeof(*left);
    }
    return left;
}

static void each_descriptor(void (*act)(int *fd))
{
    pm_retained *kept = pm_retained_get();

    act(&kept->channel);
    act(&kept->control_fd);
    act(&kept->ledger_fd);
    act(&kept->scoreboard_fd);
    act(&kept->block_fd);
    act(&kept->pages_fd);
    pm_listen_each(act);
    pm_service_each(act);
    pm_config_each(act);
    pm_watch_each(act);
    pm_region_each(act);
}

static void advise(int advice)
{
    pm_retained *kept = pm_retained_get();
    pm_mapping *all[2 + PM_OLD_REGIONS] = {&kept->live, &kept->control};

    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        all[2 + i] = &kept->old[i];
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i]->base != NULL) {
            madvise(all[i]->base, all[i]->size, advice);
        }
    }
    pm_watch_advise(advice);
}

static void leave_one(int *fd)
{
    left_behind *left = left_get();
    apr_file_t *file;

    if (left->count == LEFT_MAX) {
        return; /* then it stays as it is */
    }
    left->fd[left->count++] = *fd;
    if (*fd >= 0) {
        apr_os_pipe_put_ex(&file, fd, 1, log_pool);
        *fd = -1;
    }
}

static void take_one(int *fd)
{
    left_behind *left = left_get();
    int number = (int)left->count++, was = number < LEFT_MAX ? left->fd[number] : -1;

    if (was >= 0) {
        *fd = fcntl(was, F_DUPFD_CLOEXEC, 3);
    }
}

void pm_leave_to_successor(void)
{
    left_behind *left = left_get();

    left->count = 0;
    left->generation = ap_state_query(AP_SQ_CONFIG_GEN);
    if (log_pool != NULL) {
        each_descriptor(leave_one);
        advise(MADV_DONTFORK);
    }
}

/** Only of the configuration just before: what others have left is closed, and its numbers are somebody else's. */
static int take_over(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    left_behind *left = left_get();

    (void)pconf;
    (void)ptemp;
    log_pool = plog;
    if (left->count > 0 && ap_state_query(AP_SQ_CONFIG_GEN) == left->generation + 1) {
        left->count = 0;
        each_descriptor(take_one);
    }
    advise(MADV_DOFORK);
    left->count = 0;
    return OK;
}

static void close_one(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/** In a child of the parent's, of whichever module's: only the gatherer works with them. */
static void in_child(void)
{
    const pm_retained *kept = pm_retained_get();

    if (kept->started && !pm_load_forks()) {
        each_descriptor(close_one);
        if (pm.capture != NULL) {
            pm_capture_close(pm.capture);
            pm.capture = NULL;
        }
        pm_eventlog_leave();
    }
}

void pm_register_successor(void)
{
    static int registered;

    /* The C library forgets it when the module is unloaded. */
    if (!registered && pthread_atfork(NULL, NULL, in_child) == 0) {
        registered = 1;
    }
    ap_hook_pre_config(take_over, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
