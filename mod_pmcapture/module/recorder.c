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
#include "recorder.h"
#include "relay.h"
#include "retained.h"
#include "service.h"

APLOG_USE_MODULE(pmcapture);

#define STOP_WAIT_MS 1500
#define RESPAWN_US (10 * PM_SECOND) /* one that dies again at once waits for pm_recorder_check */
#define PROGRAM_ROOM 1024
#define SOCKET_FD 3 /* of the program's end */

#ifndef PM_RECORDER_PROGRAM
#define PM_RECORDER_PROGRAM "/usr/local/libexec/pmcapture/pmrecorder"
#endif

#define PROGRAM_KEY "mod_pmcapture/program/1"

static apr_proc_t recorder, leaving;
static apr_pool_t *recorder_pool;
static void let_go(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
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

/** Which one runs, in process-lifetime memory (see retained.h). */
static char *started_program(void)
{
    char *path = ap_retained_data_get(PROGRAM_KEY);

    return path != NULL ? path : ap_retained_data_create(PROGRAM_KEY, PROGRAM_ROOM);
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
    apr_cpystrn(started_program(), program(), PROGRAM_ROOM);
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
        pm_hand_over(ap_server_conf, pm_retained_get()->channel);
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
    if (is_serving() && !is_off() && !pm_service_is_used() && pm.capture != NULL &&
        kept->block_fd >= 0 &&
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

static void has_left(int reason, void *data, int status)
{
    (void)status;
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        apr_proc_other_child_unregister(data);
    }
}

/** One that httpd has started. It is known until it has gone. */
static void send_away(pm_retained *kept)
{
    if (kept->recorder > 0) {
        leaving.pid = kept->recorder;
        leaving.in = leaving.out = leaving.err = NULL;
        apr_proc_other_child_register(&leaving, has_left, &leaving, NULL, recorder_pool);
        kill(kept->recorder, SIGTERM);
        kept->recorder = 0;
    }
    let_go(&kept->channel);
}

/** Is the one that runs to go on? Another program may be named now, and one that a configuration without the module has
 *  let go of hears nothing. */
static int goes_on(const pm_retained *kept)
{
    return kept->recorder > 0 && kept->channel >= 0 && strcmp(started_program(), program()) == 0;
}

static void hand_over_to_service(server_rec *s)
{
    if (pm_service_channel() >= 0 && pm_hand_over(s, pm_service_channel()) != APR_SUCCESS) {
        pm_service_lose(); /* it does not read, or has gone: pm_recorder_check looks for it */
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
    atomic_store(&pm.control->asked, 0);
    atomic_store(&pm.control->reloading_us, 0);
    let_go(&kept->block_fd);
    kept->block_fd = pm_block_make(p, s);
    if (kept->block_fd < 0) {
        pm_say(s, APLOG_CRIT, "Nothing is recorded, only counted: out of memory");
        return;
    }
    if (pm_service_is_used()) {
        send_away(kept);
        hand_over_to_service(s);
        return;
    }
    if (goes_on(kept)) {
        register_recorder();
        if (pm_hand_over(s, kept->channel) == APR_SUCCESS) {
            return;
        }
        kill(kept->recorder, SIGKILL); /* it does not read: another one begins when it has gone */
        return;
    }
    send_away(kept);
    if (start(s)) {
        register_recorder();
        pm_hand_over(s, kept->channel);
    }
}

void pm_recorder_dismiss(apr_pool_t *pconf)
{
    pm_retained *kept = pm_retained_get();

    recorder_pool = pconf;
    let_go(&kept->block_fd);
    pm_relay_remove();  /* nobody would answer there, */
    pm_listen_leave(1); /* nor there */
    pm_service_dismiss();
    forget_ended(kept);
    send_away(kept);
}

/** What the last one says of a recorder that was missing is over. */
static void renew_block(void)
{
    pm_retained *kept = pm_retained_get();
    apr_pool_t *pool;

    if (apr_pool_create(&pool, recorder_pool) == APR_SUCCESS) {
        int fd = pm_block_make(pool, ap_server_conf);

        if (fd >= 0) {
            let_go(&kept->block_fd);
            kept->block_fd = fd;
        }
        apr_pool_destroy(pool);
    }
}

static void check_service(void)
{
    int found = pm_service_check(ap_server_conf);

    if (found) {
        renew_block();
    }
    if (found || (!pm_all_listening() && pm_service_channel() >= 0)) {
        hand_over_to_service(ap_server_conf);
    }
}

void pm_recorder_check(void)
{
    const pm_retained *kept = pm_retained_get();

    if (kept->block_fd < 0 || pm.capture == NULL || !is_serving()) {
        return;
    }
    if (pm_service_is_used()) {
        check_service();
    }
    else if (kept->recorder == 0 && !is_off()) {
        respawn();
    }
    else if (!pm_all_listening() && kept->channel >= 0) {
        /* whoever had that port may have left it */
        pm_hand_over(ap_server_conf, kept->channel);
    }
}

/** Has the recorder taken the last second? One that httpd has started has then ended. */
static int has_ended(pm_retained *kept)
{
    if (kept->recorder == 0) {
        return atomic_load(&pm.control->stopping) == 2;
    }
    if (waitpid(kept->recorder, NULL, WNOHANG) != 0) {
        kept->recorder = 0;
        return 1;
    }
    return 0;
}

void pm_recorder_stop(void)
{
    pm_retained *kept = pm_retained_get();
    pm_handover h = {.kind = PM_HANDOVER_STOP};
    int channel = pm_service_is_used() ? pm_service_channel() : kept->channel;

    if (pm.control == NULL) {
        return;
    }
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    atomic_store(&pm.control->stopping, 1);
    if (channel >= 0) {
        pm_handover_send(channel, &h);
    }
    /* The stop returns when the record is complete, or after a moment: it is not ours to hold up. */
    for (int ms = 0; ms < STOP_WAIT_MS && pm_recorder_is_there() && !has_ended(kept); ms += 10) {
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
    pm_service_leave();
    pm_listen_leave(0);
}
