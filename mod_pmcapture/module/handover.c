/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * handover.c: what the recorder is handed over with a configuration.
 */
#include "module.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <http_main.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recorder.h"
#include "relay.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

static int all_listening; /* on each address of PMCaptureListen */

static void let_go(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/** Where the scoreboard has what the recorder reads of it. */
static void describe_scoreboard(pm_scoreboard_shape *shape)
{
    int processes = 0, threads = 0, daemons = 0, per_child = 0;
    const uint8_t *base = (const uint8_t *)pm_scoreboard_base();

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &per_child);
    shape->limit = (uint32_t)(daemons * (per_child > 0 ? per_child : 1));
    if (base == NULL || processes <= 0) {
        return;
    }
    shape->processes = (uint32_t)processes;
    shape->threads = (uint32_t)(threads > 0 ? threads : 1);
    shape->process_offset = (uint64_t)((const uint8_t *)ap_get_scoreboard_process(0) - base);
    shape->process_stride = sizeof(process_score);
    shape->pid_offset = offsetof(process_score, pid);
    shape->quiescing_offset = offsetof(process_score, quiescing);
    shape->worker_offset =
        (uint64_t)((const uint8_t *)ap_get_scoreboard_worker_from_indexes(0, 0) - base);
    shape->worker_stride = sizeof(worker_score);
    shape->status_offset = offsetof(worker_score, status);
    shape->ready = SERVER_READY;
    shape->dead = SERVER_DEAD;
    shape->starting = SERVER_STARTING;
    shape->idle_kill = SERVER_IDLE_KILL;
}

static void describe_vhosts(pm_handover_block *b, server_rec *main_server)
{
    const pm_server_conf *main_conf = pm_conf_of(main_server);

    b->burst = main_conf->burst;
    b->slow = main_conf->slow;
    b->served = main_conf->served;
    for (uint32_t v = 0; v < b->vhosts; v++) {
        b->vhost[v].burst = main_conf->burst;
        b->vhost[v].slow = main_conf->slow;
        b->vhost[v].served = main_conf->served;
    }
    b->main_vhost = main_conf->vhost;
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        uint32_t v = pm_conf_of(s)->vhost;

        if (v != 0) {
            b->vhost[v].burst = pm_conf_of(s)->burst;
            b->vhost[v].slow = pm_conf_of(s)->slow;
            b->vhost[v].served = pm_conf_of(s)->served;
            if (s->defn_name != NULL) {
                apr_snprintf(b->vhost[v].defined, PM_KEY, "%s:%u", s->defn_name,
                             s->defn_line_number);
                b->vhost[v].place = pm_config_place_sum(s->defn_name, s->defn_line_number);
            }
        }
    }
}

static void describe_paths(pm_handover_block *b)
{
    const pm_retained *kept = pm_retained_get();

    apr_cpystrn(b->capture_path, pm.capture_path, sizeof(b->capture_path));
    apr_cpystrn(b->server_root, ap_server_root, sizeof(b->server_root));
    apr_cpystrn(b->live_path, pm.live.path, sizeof(b->live_path));
    b->live_size = pm.live.size;
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        b->old_size[i] = kept->old[i].size;
        apr_cpystrn(b->old_path[i], kept->old[i].path, sizeof(b->old_path[i]));
    }
}

int pm_block_make(apr_pool_t *p, server_rec *s)
{
    const pm_retained *kept = pm_retained_get();
    uint64_t size = pm_handover_block_size(pm.live.geo.vhosts);
    pm_handover_block *b = apr_pcalloc(p, size);
    int fd = pm_memory_make("pmcapture-load", 0);

    b->size = size;
    b->version = PM_HANDOVER_VERSION;
    b->vhosts = pm.live.geo.vhosts;
    b->layout = PM_LIVE_LAYOUT;
    b->generation = pm.generation;
    b->load_us = pm_load_at(&b->first, &b->graceful);
    b->started_us = kept->started_us;
    b->reload_us = kept->reload_us;
    b->stopped_us = pm_config->stopped_us;
    b->parent_pid = (uint32_t)kept->parent;
    b->parent_start = pm.live.parent_start;
    b->network = pm_network_namespace();
    b->samples = pm_config->samples;
    b->clients = pm_config->clients != PM_CLIENTS_OFF;
    b->diff = pm_config->diff;
    b->log_level = (uint32_t)ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX);
    apr_cpystrn(b->software, ap_get_server_description(), sizeof(b->software));
    apr_cpystrn(b->mpm, ap_show_mpm(), sizeof(b->mpm));
    apr_cpystrn(b->module_version, PM_VERSION, sizeof(b->module_version));
    apr_cpystrn(b->trouble, pm.trouble, sizeof(b->trouble));
    b->probe = pm_config->probe;
    b->listeners = pm_listeners_list(b->listener, PM_LISTENERS_MAX, &b->listeners_more);
    describe_scoreboard(&b->scoreboard);
    describe_vhosts(b, s);
    describe_paths(b);
    if (fd >= 0 && (write(fd, b, size) != (ssize_t)size ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
        let_go(&fd);
    }
    return fd;
}

static int error_log_fd(const server_rec *s)
{
    apr_os_file_t fd;

    return s->error_log != NULL && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS ? fd : -1;
}

apr_status_t pm_hand_over(server_rec *s, int channel)
{
    const pm_retained *kept = pm_retained_get();
    pm_handover h = {.kind = PM_HANDOVER_LOAD};

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    h.fd[PM_FD_BLOCK] = kept->block_fd;
    h.fd[PM_FD_CONTROL] = kept->control_fd;
    h.fd[PM_FD_LEDGER] = kept->ledger_fd;
    h.fd[PM_FD_CAPTURE] = pm_capture_fd(pm.capture);
    h.fd[PM_FD_LOCK] = pm_capture_lock_fd(pm.capture);
    h.fd[PM_FD_SCOREBOARD] = kept->scoreboard_fd;
    h.fd[PM_FD_EVENT_LOG] = pm.event_log;
    h.fd[PM_FD_ERROR_LOG] = error_log_fd(s);
    pm_config_descriptors(&h.fd[PM_FD_CONFIG_LAST], &h.fd[PM_FD_CONFIG]);
    pm_watch_descriptors(&h.fd[PM_FD_WATCH_LAST], &h.fd[PM_FD_WATCH]);
    h.fd[PM_FD_PAGES] = pm_relay_listen(s);
    all_listening = pm_listen_open(s, &h.fd[PM_FD_LISTEN]);
    h.fd[PM_FD_LIVE] = pm_region_descriptor(&pm.live);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        h.fd[PM_FD_OLD + i] = pm_region_descriptor(&pm.old[i]);
    }
    return pm_handover_send(channel, &h);
}

int pm_all_listening(void)
{
    return all_listening;
}
