/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * recorder.c: the recorder program, as httpd's parent starts it, and what it is handed over.
 *
 * One program over all reloads. With each load it gets that configuration's rules and descriptors over a socket; the
 * parent never waits for it. When it dies the parent starts another, which gets the same again: what it knew lies in
 * memory that the parent keeps.
 */
#include "module.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <fcntl.h>
#include <http_main.h>
#include <mpm_common.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_handover.h"
#include "pm_time.h"
#include "relay.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define STOP_WAIT_MS 1500
#define RESPAWN_US (10 * PM_SECOND) /* one that dies again at once waits for pm_recorder_check */
#define SOCKET_FD 3                 /* of the program's end */

#ifndef PM_RECORDER_PROGRAM
#define PM_RECORDER_PROGRAM "/usr/local/libexec/pmcapture/pmrecorder"
#endif

static apr_proc_t recorder;
static apr_pool_t *recorder_pool;
static int all_listening; /* on each address of PMCaptureListen */

static void let_go(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* ---- what it is handed over ---- */

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
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        uint32_t v = pm_conf_of(s)->vhost;

        if (v != 0) {
            b->vhost[v].burst = pm_conf_of(s)->burst;
            b->vhost[v].slow = pm_conf_of(s)->slow;
            b->vhost[v].served = pm_conf_of(s)->served;
            if (s->defn_name != NULL) {
                apr_snprintf(b->vhost[v].defined, PM_KEY, "%s:%u", s->defn_name,
                             s->defn_line_number);
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

/** As a sealed memfd; -1 with errno. */
static int make_block(apr_pool_t *p, server_rec *s)
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
    b->parent_pid = (uint32_t)kept->parent;
    b->parent_start = pm.live.parent_start;
    b->samples = pm_config->samples;
    b->clients = pm_config->clients != PM_CLIENTS_OFF;
    b->diff = pm_config->diff;
    b->log_level = (uint32_t)ap_get_server_module_loglevel(s, APLOG_MODULE_INDEX);
    apr_cpystrn(b->software, ap_get_server_description(), sizeof(b->software));
    apr_cpystrn(b->mpm, ap_show_mpm(), sizeof(b->mpm));
    apr_cpystrn(b->module_version, PM_VERSION, sizeof(b->module_version));
    apr_cpystrn(b->trouble, pm.trouble, sizeof(b->trouble));
    describe_scoreboard(&b->scoreboard);
    describe_vhosts(b, s);
    describe_paths(b);
    if (fd >= 0 && (write(fd, b, size) != (ssize_t)size ||
                    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
        let_go(&fd);
    }
    return fd;
}

/** The region's file, if it still is the one that is mapped. */
static int open_region(const pm_live *live, int flags)
{
    int fd =
        live->header != NULL ? open(live->path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    struct stat st;

    if (fd >= 0 && live->file_ino != 0 &&
        (fstat(fd, &st) != 0 || (uint64_t)st.st_ino != live->file_ino)) {
        let_go(&fd);
    }
    return fd;
}

static int error_log_fd(const server_rec *s)
{
    apr_os_file_t fd;

    return s->error_log != NULL && apr_os_file_get(&fd, s->error_log) == APR_SUCCESS ? fd : -1;
}

static apr_status_t hand_over(server_rec *s)
{
    const pm_retained *kept = pm_retained_get();
    pm_handover h = {.kind = PM_HANDOVER_LOAD};
    apr_status_t rv;

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
    h.fd[PM_FD_LIVE] = open_region(&pm.live, O_RDWR);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        h.fd[PM_FD_OLD + i] = open_region(&pm.old[i], O_RDONLY);
    }
    rv = pm_handover_send(kept->channel, &h);
    let_go(&h.fd[PM_FD_LIVE]);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        let_go(&h.fd[PM_FD_OLD + i]);
    }
    return rv;
}

/* ---- the program ---- */

static int is_serving(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_RUN_MPM &&
           !ap_unixd_mpm_get_retained_data()->shutdown_pending;
}

static int is_off(void)
{
    return pm_config->recorder != NULL && strcasecmp(pm_config->recorder, "off") == 0;
}

static const char *program(void)
{
    return pm_config->recorder != NULL ? pm_config->recorder : PM_RECORDER_PROGRAM;
}

/** Memory is shared with the child until it has its own program: so the parent learns what came of that. */
static pid_t execute(const char *path, const char *uid, const char *gid, int end, int *error)
{
    volatile int failed = 0;
    sigset_t all, was;
    pid_t pid;

    sigfillset(&all); /* httpd's handlers are not to run in the child */
    sigprocmask(SIG_SETMASK, &all, &was);
    pid = vfork();
    if (pid == 0) {
        setsid(); /* what httpd's process group is told does not concern it */
        if ((end == SOCKET_FD ? fcntl(end, F_SETFD, 0) : dup2(end, SOCKET_FD)) >= 0) {
            execl(path, "pmrecorder", "--httpd", uid, gid, (char *)NULL);
        }
        failed = errno;
        _exit(127);
    }
    *error = pid < 0 ? errno : failed;
    sigprocmask(SIG_SETMASK, &was, NULL);
    if (pid > 0 && failed != 0) {
        waitpid(pid, NULL, 0);
        pid = -1;
    }
    return pid;
}

/** 1 when it runs. */
static int start(server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    char uid[16], gid[16], sentence[512];
    int pair[2], error = 0, on = 1;
    pid_t pid = -1;

    apr_snprintf(uid, sizeof(uid), "%lu",
                 (unsigned long)(geteuid() == 0 ? ap_unixd_config.user_id : geteuid()));
    apr_snprintf(gid, sizeof(gid), "%lu",
                 (unsigned long)(geteuid() == 0 ? ap_unixd_config.group_id : getegid()));
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        /* Before the first message: its sender is to be known. */
        setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
        pid = execute(program(), uid, gid, pair[1], &error);
        close(pair[1]);
        if (pid < 0) {
            close(pair[0]);
        }
    }
    else {
        error = errno;
    }
    if (pid < 0) {
        apr_snprintf(sentence, sizeof(sentence),
                     "Nothing is recorded, only counted: the recorder %s cannot be run: %s",
                     program(), strerror(error));
        if (strcmp(pm.trouble, sentence) != 0) {
            pm_say(s, APLOG_CRIT, sentence);
            apr_cpystrn(pm.trouble, sentence, sizeof(pm.trouble));
        }
        return 0;
    }
    kept->channel = pair[0];
    kept->recorder = pid;
    return 1;
}

static void recorder_changed(int reason, void *data, int status);

/** Known to this generation, or the MPM would call it a long lost child. */
static void register_recorder(void)
{
    recorder.pid = pm_retained_get()->recorder;
    recorder.in = recorder.out = recorder.err = NULL;
    apr_proc_other_child_register(&recorder, recorder_changed, &recorder, NULL, recorder_pool);
}

static void respawn(void)
{
    if (start(ap_server_conf)) {
        register_recorder();
        hand_over(ap_server_conf);
    }
}

/** Called by the MPM when it has died, and when its registration ends. */
static void recorder_changed(int reason, void *data, int status)
{
    pm_retained *kept = pm_retained_get();

    (void)status;
    if (reason != APR_OC_REASON_DEATH && reason != APR_OC_REASON_LOST) {
        return;
    }
    apr_proc_other_child_unregister(data);
    kept->recorder = 0; /* its pid may be another's soon, who is not to get our signals */
    let_go(&kept->channel);
    if (is_serving() && !is_off() && pm.capture != NULL && kept->block_fd >= 0 &&
        (kept->respawned_us == 0 || pm_time_monotonic() > kept->respawned_us + RESPAWN_US)) {
        kept->respawned_us = pm_time_monotonic();
        respawn();
    }
}

/** While a configuration without the module ran, nobody was told when the recorder ended: its pid may be another's. */
static void forget_ended(pm_retained *kept)
{
    if (kept->recorder > 0 && waitpid(kept->recorder, NULL, WNOHANG) != 0) {
        kept->recorder = 0;
        let_go(&kept->channel);
    }
}

void pm_recorder_attach(apr_pool_t *pconf, apr_pool_t *p, server_rec *s)
{
    pm_retained *kept = pm_retained_get();

    recorder_pool = pconf;
    forget_ended(kept);
    if (is_off()) {
        apr_cpystrn(pm.trouble,
                    "PMCaptureRecorder off: requests are counted, and nothing is recorded",
                    sizeof(pm.trouble));
        pm_say(s, APLOG_NOTICE, pm.trouble);
        pm_recorder_dismiss(pconf);
        return;
    }
    atomic_store(&pm.control->stopping, 0);
    atomic_store(&pm.control->reloading_us, 0);
    let_go(&kept->block_fd);
    kept->block_fd = make_block(p, s);
    if (kept->block_fd < 0) {
        pm_say(s, APLOG_CRIT, "Nothing is recorded, only counted: out of memory");
        return;
    }
    if (kept->recorder > 0 && kept->channel >= 0) {
        register_recorder();
        if (hand_over(s) == APR_SUCCESS) {
            return;
        }
        kill(kept->recorder, SIGKILL); /* it does not read: another one begins when it has gone */
        return;
    }
    if (start(s)) {
        register_recorder();
        hand_over(s);
    }
}

void pm_recorder_dismiss(apr_pool_t *pconf)
{
    pm_retained *kept = pm_retained_get();

    recorder_pool = pconf;
    let_go(&kept->block_fd);
    pm_relay_remove();  /* nobody would answer there, */
    pm_listen_leave(1); /* nor there */
    forget_ended(kept);
    if (kept->recorder > 0) {
        register_recorder();
        kill(kept->recorder, SIGTERM);
    }
    let_go(&kept->channel);
}

void pm_recorder_check(void)
{
    const pm_retained *kept = pm_retained_get();

    if (kept->recorder == 0 && kept->block_fd >= 0 && pm.capture != NULL && !is_off() &&
        is_serving()) {
        respawn();
    }
    else if (!all_listening && kept->channel >= 0 && kept->block_fd >= 0 && pm.capture != NULL &&
             is_serving()) {
        hand_over(ap_server_conf); /* whoever had that port may have left it */
    }
}

void pm_recorder_stop(void)
{
    pm_retained *kept = pm_retained_get();
    pm_handover h = {.kind = PM_HANDOVER_STOP};

    if (pm.control == NULL) {
        return;
    }
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    atomic_store(&pm.control->stopping, 1);
    if (kept->channel >= 0) {
        pm_handover_send(kept->channel, &h);
    }
    /* The stop returns when the record is complete, or after a moment: it is not ours to hold up. */
    for (int ms = 0; ms < STOP_WAIT_MS && kept->recorder > 0; ms += 10) {
        if (waitpid(kept->recorder, NULL, WNOHANG) != 0) {
            kept->recorder = 0;
            return;
        }
        usleep(10000);
    }
}

void pm_recorder_leave(void)
{
    pm_retained *kept = pm_retained_get();

    let_go(&kept->channel);
    let_go(&kept->control_fd);
    let_go(&kept->ledger_fd);
    let_go(&kept->scoreboard_fd);
    let_go(&kept->block_fd);
    let_go(&kept->pages_fd);
    pm_listen_leave(0);
}
