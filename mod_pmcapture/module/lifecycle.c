/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * lifecycle.c: what happens when the server starts, reloads and stops, and who may touch what.
 *
 * Whatever goes wrong here, httpd starts and serves: post_config returns OK and says what is not recorded.
 */
#include "module.h"

#include <apr_strings.h>
#include <http_main.h>
#include <mpm_common.h>
#include <sys/mman.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_time.h"
#include "relay.h"
#include "retained.h"
#include "service.h"
#include "watch.h"

static void end_configuration(pm_retained *kept)
{
    if (pm_ends_in_order()) {
        pm_draft d;
        char data[PM_STOP_DATA];

        pm_write_event(pm_signals_stop(&d, data));
        pm_recorder_stop();
        /* The recorder's last tick has not; one that is still here does it itself, and may be waiting for a disk that
         * hangs: httpd's end does not. */
        if (pm.capture != NULL && pm.control != NULL && atomic_load(&pm.control->stopping) != 2 &&
            !pm_recorder_is_there()) {
            pm_capture_sync(pm.capture);
        }
        pm_region_remove_drained(kept);
    }
    if (pm_ends_in_order() || ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        if (kept->live.base != NULL && pm.control != NULL &&
            (atomic_load(&pm.control->stopping) == 2 ||
             atomic_load(&pm.control->heartbeat_us) == 0)) {
            unlink(kept->live.path); /* the last tick is on disk, or there never was a first */
        }
        pm_relay_remove();
        /* Where httpd ended itself the recorder stays, a service always does, and goes on answering. */
        pm_listen_leave((pm_ends_in_order() && !pm_service_is_used()) || !pm_recorder_is_there());
        if (kept->memory_capture[0] != '\0' && (pm_ends_in_order() || !pm_recorder_is_there())) {
            pm_capture_file_forget(pm.pconf, kept->memory_capture);
        }
    }
    else if (pm.control != NULL) {
        atomic_store(&pm.control->reloading_us, pm_time_monotonic());
    }
    if (pm.capture != NULL) {
        pm_capture_close(pm.capture);
        pm.capture = NULL;
    }
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_DESTROY_CONFIG) {
        pm_leave_to_successor();
    }
}

static apr_status_t configuration_goes(void *unused)
{
    pm_retained *kept = pm_retained_get();

    (void)unused;
    /* Else it is a child, a first pass, or a command beside the server. */
    if (kept->parent == getpid() && kept->started) {
        end_configuration(kept);
        /* Other modules may log a line yet. It is not counted: nothing guards the region any more. */
        pm.live.header = NULL;
        for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
            pm.old[i].header = NULL;
        }
    }
    pm_signals_leave();
    pm_guard_remove();
    return APR_SUCCESS;
}

static void find_run_dir(apr_pool_t *p)
{
    char *dir = ap_runtime_dir_relative(p, "");
    size_t n = dir != NULL ? strlen(dir) : 0;

    while (n > 1 && dir[n - 1] == '/') {
        dir[--n] = '\0';
    }
    pm.run_dir = n > 0 ? dir : "/";
}

int pm_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    pm_error err;
    int generation = 0;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return OK;
    }
    if (!kept->started) {
        kept->started_us = pm_time_now();
        kept->parent = getpid();
    }
    generation = ap_state_query(AP_SQ_CONFIG_GEN);
    pm.generation = generation > 0 ? (uint32_t)generation : 0;
    pm.pconf = pconf;
    pm_guard_add(&pm.live);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        pm_guard_add(&pm.old[i]);
    }
    pm_guard_install();
    pm_signals_prepare();
    find_run_dir(pconf);
    pm_capture_file_find(pconf, s);
    if (pm.capture != NULL && pm_region_find(s, kept, &err) != APR_SUCCESS) {
        pm_trouble(s, apr_psprintf(ptemp, "Nothing is recorded: %s", err.text));
    }
    if (pm.live.header != NULL) {
        pm_vhosts_number(pconf, ptemp, s);
        pm_connections_prepare();
        pm_load_begin(pconf, ptemp, s);
        pm_eventlog_open(pconf, s);
        /* Else the scoreboard is made after post_config, and the recorder reads it. */
        if (ap_unixd_mpm_get_retained_data()->was_graceful) {
            pm_scoreboard_share(0);
            pm_recorder_attach(pconf, ptemp, s);
        }
    }
    else {
        pm_recorder_dismiss(pconf);
    }
    kept->started = 1;
    kept->generation = pm.generation;
    /* Registered last, so it runs first: the capture file is still open then. */
    apr_pool_cleanup_register(pconf, NULL, configuration_goes, apr_pool_cleanup_null);
    return OK;
}

/** Not with a graceful reload: there are no children yet. */
int pm_pre_mpm(apr_pool_t *process_pool, ap_scoreboard_e type)
{
    apr_pool_t *p;

    (void)process_pool; /* it outlives this module: nothing of ours may be registered with it */
    (void)type;
    if (pm.live.header != NULL && apr_pool_create(&p, pm.pconf) == APR_SUCCESS) {
        pm_scoreboard_share(1);
        pm_recorder_attach(pm.pconf, p, ap_server_conf);
        apr_pool_destroy(p);
    }
    return OK;
}

int pm_monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    pm_guard_install();
    pm_signals_watch();
    /* as long as no worker of the old generation ends, none of the new one may begin */
    pm_load_gather(s);
    pm_region_remove_drained(pm_retained_get());
    pm_recorder_check();
    pm_watch_monitor();
    return DECLINED;
}

/** A worker keeps the live region, and nothing with which history could be read or written. */
static void leave_parent(const pm_retained *kept)
{
    if (pm.capture != NULL) {
        pm_capture_close(pm.capture);
        pm.capture = NULL;
    }
    if (kept->control.base != NULL) {
        munmap(kept->control.base, kept->control.size);
    }
    pm.control = NULL;
    pm_recorder_leave();
    pm_signals_leave();
    pm_refused_leave();
    pm_config_leave();
    pm_watch_leave();
    pm_region_leave();
    pm_eventlog_leave();
    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        pm.old[i].header = NULL;
        if (kept->old[i].base != NULL) {
            munmap(kept->old[i].base, kept->old[i].size);
        }
    }
}

void pm_child_init(apr_pool_t *pchild, server_rec *s)
{
    const pm_retained *kept = pm_retained_get();

    /* With -X the process that serves is the parent, too, and needs all that at its end. */
    if (kept->parent != getpid()) {
        leave_parent(kept);
    }
    else {
        pm_signals_watch();
    }
    pm_load_gather(s);
    pm_guard_install();
    if (pm.live.header != NULL) {
        pm_process_begin(pchild);
    }
}
