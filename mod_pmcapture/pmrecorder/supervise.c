/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * supervise.c: one process at work, and another when that one dies or hangs.
 *
 * The supervising process touches no file and takes no lock, so there is nothing that could hold it up. It keeps what httpd
 * handed over last: a new process begins with that, and goes on where the last one was killed, as all that it needs
 * lies in memory that httpd's parent keeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pm_time.h"
#include "pmrecorder.h"

#define LOOK_MS 200
#define STALE_US                                                                                   \
    (1700 * 1000ull) /* a tick is a second; looked at so often, it is replaced within 3 s */
#define STALE_WRITING_US (30 * PM_SECOND) /* a slow disk is no dead recorder */
#define BEGIN_US (10 * PM_SECOND)         /* to read the capture file back */
#define PAUSE_MOST_US (10 * PM_SECOND)
#define HANG_US (5 * PM_SECOND) /* an fsync of a busy disk takes less */
#define DIE_US (500 * 1000ull)

typedef struct supervisor {
    int httpd;   /* -1: gone */
    uid_t owner; /* whose processes are heard */
    int channel; /* to the process at work */
    pid_t worker;
    uint64_t born_us, next_us, pause_us; /* monotonic */
    uint64_t killed_us;                  /* 0 = it was not */
    uint64_t loaded_us;                  /* when the latest came */
    pm_handover latest;                  /* kind 0: nothing was handed over yet */
    pm_control *control;                 /* of the latest; NULL = none */
} supervisor;

static volatile sig_atomic_t told_to_go;

static void on_term(int sig)
{
    (void)sig;
    told_to_go = 1;
}

/* ---- the process at work ---- */

static void begin_work(supervisor *s)
{
    pid_t supervising = getpid();
    int pair[2];

    s->born_us = pm_time_monotonic();
    s->killed_us = 0;
    s->next_us = s->born_us + s->pause_us;
    s->pause_us = s->pause_us == 0 ? PM_SECOND : 2 * s->pause_us;
    s->pause_us = s->pause_us < PAUSE_MOST_US ? s->pause_us : PAUSE_MOST_US;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return;
    }
    s->worker = fork();
    if (s->worker == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != supervising) {
            _exit(0);
        }
        close(pair[0]);
        if (s->httpd >= 0) {
            close(s->httpd);
        }
        pm_handover_close(&s->latest);
        _exit(pm_work(pair[1]));
    }
    close(pair[1]);
    s->channel = pair[0];
    if (s->worker < 0) {
        close(s->channel);
        s->channel = -1;
        s->worker = 0;
    }
    else if (s->latest.kind != 0) {
        pm_handover_send(s->channel, &s->latest);
    }
}

/** From here on there is none. */
static void part(supervisor *s)
{
    s->worker = 0;
    if (s->channel >= 0) {
        close(s->channel);
    }
    s->channel = -1;
}

/** 1: there is nothing left to do. */
static int reap(supervisor *s)
{
    int status;
    pid_t pid;

    /* Those that were given up end when the kernel lets them. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0 && pid != s->worker) {
    }
    if (pid <= 0) {
        return 0;
    }
    part(s);
    if (s->control != NULL && atomic_load(&s->control->heartbeat_us) > s->born_us) {
        s->pause_us = s->next_us = 0; /* it had worked */
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/** A process that waits in the kernel, for a disk or a file system that hangs, does not die of SIGKILL until that is over.
 *  What it will not do any more is to run. */
static void give_up(supervisor *s)
{
    kill(s->worker, SIGKILL);
    part(s);
    s->next_us = 0;
}

/** No sign of life: end it, whatever it is doing. Killed, not asked: a stopped process would not listen, and one
 *  that came back later would write over its successor's work. */
static void kill_stale(supervisor *s)
{
    uint64_t now = pm_time_monotonic(), since = s->born_us, beat, writing;

    if (s->worker <= 0 || s->control == NULL) {
        return;
    }
    beat = atomic_load(&s->control->heartbeat_us);
    writing = atomic_load(&s->control->writing_us);
    if (beat == 0 && s->loaded_us > since) {
        since = s->loaded_us; /* of a run that has just begun */
    }
    /* What another left behind is no sign of this one's. */
    beat = beat < since ? since + BEGIN_US : beat;
    if (now < beat + STALE_US || (writing >= s->born_us && now < writing + STALE_WRITING_US)) {
        return;
    }
    if (s->killed_us == 0) {
        s->killed_us = now;
        kill(s->worker, SIGKILL);
    }
    else if (now > s->killed_us + DIE_US) {
        give_up(s);
    }
}

/** What another capture file is to hold waits for no disk that hangs. */
static void free_of_disk(supervisor *s)
{
    uint64_t writing =
        s->worker > 0 && s->control != NULL ? atomic_load(&s->control->writing_us) : 0;

    if (writing >= s->born_us && writing != 0 && pm_time_monotonic() > writing + HANG_US) {
        give_up(s);
    }
}

/* ---- httpd ---- */

static void keep(supervisor *s, pm_handover *h)
{
    pm_handover_close(&s->latest);
    s->latest = *h;
    s->loaded_us = pm_time_monotonic();
    if (h->fd[PM_FD_ERROR_LOG] >= 0) {
        dup2(h->fd[PM_FD_ERROR_LOG], STDERR_FILENO); /* the one before may be rotated away */
    }
    if (s->control != NULL) {
        munmap(s->control, sizeof(*s->control));
    }
    s->control = pm_memory_map(h->fd[PM_FD_CONTROL], sizeof(*s->control));
}

/** A module of another release has been loaded in place of ours: this program makes room for the one that came with it. */
static int is_ours(const supervisor *s, const pm_handover *h)
{
    pm_error err = {""};
    const pm_handover_block *b = pm_handover_map(h->fd[PM_FD_BLOCK], &err);

    if (b != NULL) {
        munmap((void *)(uintptr_t)b, b->size);
        return 1;
    }
    if (s->latest.kind == 0) {
        pm_log(PM_CRITICAL, err.text); /* and it never was: nobody will start another one */
    }
    return 0;
}

static void hear_load(supervisor *s, pm_handover *h)
{
    if (!is_ours(s, h)) {
        pm_handover_close(h);
        told_to_go = 1;
        return;
    }
    free_of_disk(s);
    if (s->channel >= 0) {
        pm_handover_send(s->channel, h);
    }
    keep(s, h);
    s->pause_us = s->next_us = 0;
}

static void hear_httpd(supervisor *s)
{
    pm_handover h;
    apr_status_t rv;

    while (s->httpd >= 0 && (rv = pm_handover_receive(s->httpd, &h)) != APR_EAGAIN) {
        if (rv == APR_EOF) {
            close(s->httpd);
            s->httpd = -1;
        }
        else if (rv == APR_SUCCESS) {
            /* A process that another module of httpd's has forked has the socket, too. */
            if (h.uid != (uint32_t)s->owner) {
                pm_handover_close(&h);
            }
            else if (h.kind == PM_HANDOVER_LOAD) {
                hear_load(s, &h);
            }
            else {
                if (s->channel >= 0) {
                    pm_handover_send(s->channel, &h);
                }
                pm_handover_close(&h);
            }
        }
    }
}

static void wait_a_moment(const supervisor *s)
{
    struct pollfd from = {.fd = s->httpd, .events = POLLIN};

    poll(&from, 1, LOOK_MS); /* a child's end or a signal ends it early */
}

static void on_child(int sig)
{
    (void)sig;
}

/** A tick waits for its turn rather than interrupt a worker that serves: a process of this kind keeps its fair share of
 *  a busy machine, and only does not preempt others when it wakes. Where somebody has chosen otherwise, or it is not
 *  allowed, all stays as it is. */
static void give_way(void)
{
    struct sched_param none = {0};

    if (sched_getscheduler(0) == SCHED_OTHER) {
        sched_setscheduler(0, SCHED_BATCH, &none);
    }
}

int pm_supervise(int socket, uid_t owner)
{
    supervisor s = {.httpd = socket, .owner = owner, .channel = -1};
    struct sigaction term = {.sa_handler = on_term}, child = {.sa_handler = on_child};

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        s.latest.fd[i] = -1;
    }
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGCHLD, &child, NULL);
    prctl(PR_SET_NAME, "pmrecorder");
    give_way();
    while (!told_to_go) {
        if (s.worker == 0 && pm_time_monotonic() >= s.next_us) {
            begin_work(&s);
        }
        wait_a_moment(&s);
        hear_httpd(&s);
        if (reap(&s)) {
            return 0;
        }
        kill_stale(&s);
    }
    if (s.worker > 0) {
        kill(s.worker, SIGKILL); /* not waited for: it may be in the kernel, at a disk that hangs */
    }
    return 0;
}
