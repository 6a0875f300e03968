/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * supervise.c: one process at work, and another when that one dies or hangs.
 *
 * The supervising process touches no file and takes no lock, so there is nothing that could hold it up. It keeps what httpd
 * handed over last: a new process begins with that, and goes on where the last one was killed, as all that it needs
 * lies in memory that httpd's parent keeps.
 *
 * Started by httpd it works for that one, and ends with it. As a service it is there before any httpd and after it, and
 * works for the one that connects.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pm_live.h"
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
    const pm_service *service; /* NULL: httpd has started it */
    pm_guest guests[PM_GUESTS];
    int httpd;   /* -1: gone */
    uid_t owner; /* whose processes are heard */
    int channel; /* to the process at work */
    pm_pulse *pulse;
    pid_t worker;
    uint64_t born_us, next_us, pause_us; /* monotonic */
    uint64_t killed_us;                  /* 0 = it was not */
    uint64_t loaded_us;                  /* when the latest came */
    pm_handover latest;                  /* kind 0: nothing was handed over yet */
    pm_control *control;                 /* of the latest; NULL = none */
    uint32_t parent;                     /* of that httpd: its pid */
    uint64_t parent_start;
} supervisor;

static volatile sig_atomic_t told_to_go;

static void on_term(int sig)
{
    (void)sig;
    told_to_go = 1;
}

/* ---- the process at work ---- */

/** What is the supervising process's alone. */
static void leave_supervisor(supervisor *s)
{
    if (s->httpd >= 0) {
        close(s->httpd);
    }
    for (int i = 0; i < PM_GUESTS; i++) {
        if (s->guests[i].fd >= 0) {
            close(s->guests[i].fd);
        }
    }
    if (s->service != NULL) {
        close(s->service->control);
    }
    pm_handover_close(&s->latest);
}

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
        leave_supervisor(s);
        _exit(pm_work(pair[1], s->service, s->pulse));
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

/** What httpd has handed over is nothing to go on with. */
static void forget_latest(supervisor *s)
{
    pm_handover_close(&s->latest);
    s->latest.kind = 0;
    if (s->control != NULL) {
        munmap(s->control, sizeof(*s->control));
        s->control = NULL;
    }
}

/** The httpd that is recorded now; 0 = none, or it has ended. */
static uint32_t recorded_now(const supervisor *s)
{
    return s->latest.kind != 0 && s->control != NULL && atomic_load(&s->control->stopping) == 0 &&
                   pm_process_lives(s->parent, s->parent_start)
               ? s->parent
               : 0;
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
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return 0;
    }
    if (s->service != NULL) {
        if (recorded_now(s) == 0) {
            forget_latest(s); /* of an httpd that has gone; there will be another one */
        }
        s->pause_us = s->next_us = 0;
    }
    return s->service == NULL;
}

/** A process that waits in the kernel, for a disk or a file system that hangs, does not die of SIGKILL until that is over.
 *  What it will not do any more is to run. */
static void give_up(supervisor *s)
{
    kill(s->worker, SIGKILL);
    part(s);
    s->next_us = 0;
}

/** When it last showed a sign of life, and since when it has been writing (0 = it isn't); what another left behind is no
 *  sign of this one's. */
static void signs_of_life(const supervisor *s, uint64_t *beat, uint64_t *writing)
{
    *beat = *writing = 0;
    if (s->control != NULL) {
        *beat = atomic_load(&s->control->heartbeat_us);
        *writing = atomic_load(&s->control->writing_us);
    }
    *writing = *writing >= s->born_us ? *writing : 0;
}

/** No sign of life: end it, whatever it is doing. Killed, not asked: a stopped process would not listen, and one
 *  that came back later would write over its successor's work. */
static void kill_stale(supervisor *s)
{
    uint64_t now = pm_time_monotonic(), since = s->born_us, beat, writing;

    if (s->worker <= 0) {
        return;
    }
    signs_of_life(s, &beat, &writing);
    if (beat == 0 && s->loaded_us > since) {
        since = s->loaded_us; /* of a run that has just begun */
    }
    if (s->control == NULL && atomic_load(&s->pulse->beat_us) > since) {
        since = atomic_load(&s->pulse->beat_us); /* there is nothing to tick for yet */
    }
    beat = beat < since ? since + BEGIN_US : beat;
    if (now < beat + STALE_US || (writing != 0 && now < writing + STALE_WRITING_US)) {
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

/** Does this one speak of httpd's parent as this program understands it? Then whose it is, is noted. */
static int read_block(supervisor *s, const pm_handover *h, pm_error *err)
{
    const pm_handover_block *b = pm_handover_map(h->fd[PM_FD_BLOCK], err);

    if (b == NULL) {
        return 0;
    }
    s->parent = b->parent_pid;
    s->parent_start = b->parent_start;
    munmap((void *)(uintptr_t)b, b->size);
    return 1;
}

/** A module of another release has been loaded in place of ours. */
static void refuse_load(supervisor *s, const char *sentence)
{
    if (s->service != NULL) {
        pm_guest_refuse(s->httpd, s->service, sentence);
        s->httpd = -1;
        return;
    }
    if (s->latest.kind == 0) {
        pm_log(PM_CRITICAL, sentence); /* and it never was: nobody will start another one */
    }
    told_to_go = 1; /* this program makes room for the one that came with it */
}

static void hear_load(supervisor *s, pm_handover *h)
{
    pm_error err = {""};

    if (!read_block(s, h, &err)) {
        pm_handover_close(h);
        refuse_load(s, err.text);
        return;
    }
    free_of_disk(s);
    if (s->channel >= 0) {
        pm_handover_send(s->channel, h);
    }
    keep(s, h);
    s->pause_us = s->next_us = 0;
}

/** This configuration of httpd's is not to be recorded. Who has started this process ends it. */
static void hear_leave(supervisor *s)
{
    if (s->service != NULL) {
        forget_latest(s);
        if (s->worker > 0) {
            kill(s->worker, SIGTERM);
        }
    }
}

static int is_heard(const supervisor *s, uint32_t uid)
{
    return uid == (uint32_t)s->owner || (s->service != NULL && uid == 0);
}

static void hear_message(supervisor *s, pm_handover *h)
{
    /* A process that another module of httpd's has forked has the socket, too. */
    if (!is_heard(s, h->uid)) {
        pm_handover_close(h);
        return;
    }
    if (h->kind == PM_HANDOVER_LOAD) {
        hear_load(s, h);
        return;
    }
    if (h->kind == PM_HANDOVER_LEAVE) {
        hear_leave(s);
    }
    else if (s->channel >= 0) {
        pm_handover_send(s->channel, h);
    }
    pm_handover_close(h);
}

/** httpd has ended, or runs on and has let go: the process at work sees which. */
static void tell_gone(const supervisor *s)
{
    pm_handover h = {.kind = PM_HANDOVER_GONE};

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    if (s->channel >= 0) {
        pm_handover_send(s->channel, &h);
    }
}

static void hear_httpd(supervisor *s)
{
    pm_handover h;
    apr_status_t rv;

    while (s->httpd >= 0 && (rv = pm_handover_receive(s->httpd, &h)) != APR_EAGAIN) {
        if (rv == APR_EOF) {
            close(s->httpd);
            s->httpd = -1;
            tell_gone(s);
        }
        else if (rv == APR_SUCCESS) {
            hear_message(s, &h);
        }
    }
}

/* ---- a service ---- */

/** The first message of a guest makes it the httpd that this one works for. */
static void hear_guest(supervisor *s, pm_guest *guest)
{
    char sentence[256];
    pm_handover h;
    apr_status_t rv = pm_handover_receive(guest->fd, &h);
    uint32_t busy = recorded_now(s);
    int fd = guest->fd;

    if (rv == APR_EAGAIN) {
        return;
    }
    guest->fd = -1;
    if (rv != APR_SUCCESS) {
        close(fd);
        return;
    }
    if (h.kind != PM_HANDOVER_LOAD || !is_heard(s, h.uid)) {
        pm_handover_close(&h);
        close(fd);
        return;
    }
    if (busy != 0 && busy != h.pid) {
        snprintf(sentence, sizeof(sentence),
                 "This recorder works for another httpd, pid %u: one recorder for each", busy);
        pm_handover_close(&h);
        pm_guest_refuse(fd, s->service, sentence);
        return;
    }
    if (s->httpd >= 0) {
        close(s->httpd);
    }
    s->httpd = fd;
    hear_load(s, &h);
}

static void hear_guests(supervisor *s)
{
    if (s->service == NULL) {
        return;
    }
    pm_guests_greet(s->guests, s->service, s->owner, &s->latest, recorded_now(s));
    for (int i = 0; i < PM_GUESTS; i++) {
        if (s->guests[i].fd >= 0) {
            hear_guest(s, &s->guests[i]);
        }
    }
    pm_guests_expire(s->guests);
}

static void describe(const supervisor *s, char *out, size_t room)
{
    uint32_t httpd = atomic_load(&s->pulse->httpd);

    switch (s->worker > 0 ? (int)atomic_load(&s->pulse->doing) : -1) {
    case PM_IDLE:
        snprintf(out, room, "No httpd yet: serves the history of %s", s->service->capture);
        break;
    case PM_WAITS:
        snprintf(out, room, "Records nothing: another process has the lease of the capture file");
        break;
    case PM_RECORDS:
        snprintf(out, room, "Records httpd, pid %u", httpd);
        break;
    case PM_SEES_STOP:
        snprintf(out, room, "httpd was stopped, pid %u", httpd);
        break;
    case PM_SEES_DOWN:
        snprintf(out, room, "httpd has ended, pid %u: nobody is served", httpd);
        break;
    default:
        snprintf(out, room, "The process at work is started anew");
        break;
    }
}

static void tell_manager(const supervisor *s)
{
    uint64_t now = pm_time_monotonic(), beat, writing;
    char status[256];

    if (s->service == NULL) {
        return;
    }
    signs_of_life(s, &beat, &writing);
    beat = atomic_load(&s->pulse->beat_us);
    describe(s, status, sizeof(status));
    pm_notify_tick(
        status, s->worker > 0 && s->killed_us == 0 && beat >= s->born_us &&
                    (now < beat + STALE_US || (writing != 0 && now < writing + STALE_WRITING_US)));
}

static void wait_a_moment(const supervisor *s)
{
    struct pollfd from[2 + PM_GUESTS] = {{.fd = s->httpd, .events = POLLIN}};

    from[1].fd = s->service != NULL ? s->service->control : -1;
    for (int i = 0; i < 1 + PM_GUESTS; i++) {
        from[1 + i].events = POLLIN;
        if (i > 0) {
            from[1 + i].fd = s->guests[i - 1].fd;
        }
    }
    poll(from, 2 + PM_GUESTS, LOOK_MS); /* a child's end or a signal ends it early */
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

static int begin_supervision(supervisor *s)
{
    struct sigaction term = {.sa_handler = on_term}, child = {.sa_handler = on_child};
    void *page =
        mmap(NULL, sizeof(*s->pulse), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        s->latest.fd[i] = -1;
    }
    for (int i = 0; i < PM_GUESTS; i++) {
        s->guests[i].fd = -1;
    }
    s->pulse = page != MAP_FAILED ? page : NULL;
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGCHLD, &child, NULL);
    prctl(PR_SET_NAME, "pmrecorder");
    give_way();
    return s->pulse != NULL;
}

int pm_supervise(int socket, uid_t owner, const pm_service *service)
{
    supervisor s = {.service = service, .httpd = socket, .owner = owner, .channel = -1};

    if (!begin_supervision(&s)) {
        return 1;
    }
    while (!told_to_go) {
        if (s.worker == 0 && pm_time_monotonic() >= s.next_us) {
            begin_work(&s);
        }
        wait_a_moment(&s);
        hear_httpd(&s);
        hear_guests(&s);
        if (reap(&s)) {
            return 0;
        }
        kill_stale(&s);
        tell_manager(&s);
    }
    if (s.worker > 0) {
        kill(s.worker, SIGKILL); /* not waited for: it may be in the kernel, at a disk that hangs */
    }
    return 0;
}
