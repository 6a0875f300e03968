/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_thread.c: the threads that look, and what the tick does with what they saw.
 *
 * A look that hangs in the kernel hangs for ever, maybe even when its process is killed. So a thread that looks has a
 * table of descriptors of its own, with nothing in it: what the recorder holds, the lease first, is free at once
 * when the recorder ends, whatever becomes of the thread. It owns its memory, and is left behind with it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_time.h"
#include "watch/watch_private.h"
#include "watch_tell.h"

#define PASS_US (2 * PM_SECOND)
#define STUCK_MAX 32 /* threads that hang; with more nothing is looked at any more */
#define STACK_SIZE (256 * 1024)

typedef struct looker {
    pm_watch_table *table;
    pthread_mutex_t lock;      /* of fresh and last; held for moments */
    _Atomic uint32_t current;  /* number + 1 of the path that is looked at, 0 = none */
    _Atomic uint64_t since_us; /* monotonic */
    _Atomic uint32_t abandoned, ended;
    uint8_t fresh[PM_WATCH_MAX];
    pm_look last[PM_WATCH_MAX];
} looker;

struct pm_watch {
    pm_watch_table *table;
    looker *looker; /* NULL: too many hang */
    looker *stuck[STUCK_MAX];
    uint32_t stuck_at[STUCK_MAX];
};

/* ---- the thread ---- */

static void own_descriptors(void)
{
    if (unshare(CLONE_FILES) == 0) {
        pm_descriptors_close(0, ~0u);
    }
}

static void look_at(looker *l, uint32_t number)
{
    const pm_watched *w = &l->table->at[number];
    pm_look look;

    atomic_store(&l->since_us, pm_time_monotonic());
    atomic_store(&l->current, number + 1);
    pm_watch_look((enum pm_watch_kind)w->kind, w->path, &l->last[number], &look);
    atomic_store(&l->current, 0);
    if (!atomic_load(&l->abandoned)) {
        pthread_mutex_lock(&l->lock);
        l->last[number] = look;
        l->fresh[number] = 1;
        pthread_mutex_unlock(&l->lock);
    }
}

static void *look_on(void *ctx)
{
    looker *l = ctx;

    prctl(PR_SET_NAME, "pmcapture-watch");
    own_descriptors();
    while (!atomic_load(&l->abandoned)) {
        uint64_t begun = pm_time_monotonic(), now;
        uint32_t count = atomic_load(&l->table->count);

        for (uint32_t i = 0; i < count && !atomic_load(&l->abandoned); i++) {
            if (atomic_load(&l->table->at[i].aside_until_us) <= begun) {
                look_at(l, i);
            }
        }
        now = pm_time_monotonic();
        if (now < begun + PASS_US && !atomic_load(&l->abandoned)) {
            uint64_t us = begun + PASS_US - now;
            struct timespec t = {(time_t)(us / PM_SECOND), (long)(us % PM_SECOND * 1000)};

            nanosleep(&t, NULL);
        }
    }
    atomic_store(&l->ended, 1);
    return NULL;
}

static looker *start_looker(pm_watch_table *table)
{
    looker *l = calloc(1, sizeof(*l));
    pthread_attr_t how;
    pthread_t thread;
    sigset_t all, was;
    int error;

    if (l == NULL) {
        return NULL;
    }
    l->table = table;
    pthread_mutex_init(&l->lock, NULL);
    pthread_attr_init(&how);
    pthread_attr_setstacksize(&how, STACK_SIZE);
    pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    /* Signals are the recorder's own: they are to end its sleep. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    error = pthread_create(&thread, &how, look_on, l);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_attr_destroy(&how);
    if (error != 0) {
        free(l);
        return NULL;
    }
    return l;
}

/* ---- the tick ---- */

/** Do the server's own objects lie there? Then it is not that file system that hangs: another one was mounted over a
 *  path of it. */
static int has_objects(const pm_watch_table *t, uint64_t dev)
{
    uint32_t count = atomic_load(&t->count);

    for (uint32_t i = 0; i < count; i++) {
        if (t->at[i].kind == PM_WATCH_OBJECT && t->at[i].told.dev == dev) {
            return 1;
        }
    }
    return 0;
}

/** What hangs, and what lies on the same file system. */
static void set_aside(pm_watch *w, uint32_t number, uint64_t until_us)
{
    uint64_t dev = w->table->at[number].told.dev;
    uint32_t count = atomic_load(&w->table->count);
    int alone = dev == 0 || has_objects(w->table, dev);

    for (uint32_t i = 0; i < count; i++) {
        if (i == number || (!alone && w->table->at[i].told.dev == dev)) {
            atomic_store(&w->table->at[i].aside_until_us, until_us);
        }
    }
}

static void check_stuck(pm_watch *w, pm_fold *f, uint64_t now_us, uint64_t monotonic_us)
{
    looker *l = w->looker;
    uint32_t current = atomic_load(&l->current);
    pm_watched *what;
    int room = 0;

    if (current == 0 || monotonic_us < atomic_load(&l->since_us) + PM_WATCH_STUCK_US ||
        atomic_load(&l->current) != current) {
        return;
    }
    what = &w->table->at[current - 1];
    atomic_store(&l->abandoned, 1);
    set_aside(w, current - 1, monotonic_us + PM_WATCH_ASIDE_US);
    if (!what->aside) {
        what->aside = 1;
        pm_watch_tell_aside(f, what, now_us);
    }
    while (room < STUCK_MAX && w->stuck[room] != NULL) {
        room++;
    }
    if (room == STUCK_MAX) {
        w->looker = NULL;
        f->say(f->ctx, PM_WARNING,
               "Too many file systems do not answer: no file is watched until the next reload");
        return;
    }
    w->looker = start_looker(w->table);
    w->stuck[room] = l;
    w->stuck_at[room] = current - 1;
}

/** The file system has answered after all. */
static void check_woken(pm_watch *w)
{
    for (int i = 0; i < STUCK_MAX; i++) {
        if (w->stuck[i] != NULL && atomic_load(&w->stuck[i]->ended)) {
            w->table->at[w->stuck_at[i]].aside = 0;
            set_aside(w, w->stuck_at[i], 0);
            free(w->stuck[i]);
            w->stuck[i] = NULL;
        }
    }
}

static void judge_all(pm_watch *w, pm_fold *f, uint64_t now_us, uint64_t monotonic_us)
{
    looker *l = w->looker;
    uint32_t count = atomic_load(&w->table->count);

    if (pthread_mutex_trylock(&l->lock) != 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (l->fresh[i]) {
            l->fresh[i] = 0;
            pm_watch_judge(w->table, i, &l->last[i], f, now_us, monotonic_us);
        }
    }
    pthread_mutex_unlock(&l->lock);
}

void pm_watch_tick(pm_watch *w, pm_fold *f, uint64_t now_us, uint64_t monotonic_us)
{
    check_woken(w);
    if (w->looker != NULL) {
        judge_all(w, f, now_us, monotonic_us);
        check_stuck(w, f, now_us, monotonic_us);
    }
    /* While httpd reads it anew nobody knows what of it is loaded. */
    if (atomic_load(&f->control->reloading_us) == 0) {
        pm_watch_say_drift(w->table, f, now_us);
    }
    f->state->checkpoint.server.dependency_missing = pm_watch_missing(w->table);
}

pm_watch *pm_watch_begin(pm_watch_table *t, const pm_watch_table *previous, pm_fold *f,
                         apr_pool_t *pool)
{
    pm_watch *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return NULL;
    }
    w->table = t;
    if (!t->begun) {
        pm_watch_take_over(t, previous, f, pool);
    }
    w->looker = start_looker(t);
    return w;
}

void pm_watch_end(pm_watch *w)
{
    if (w->looker != NULL) {
        atomic_store(&w->looker->abandoned, 1);
    }
}

static int free_looker(looker **l)
{
    if (*l != NULL && atomic_load(&(*l)->ended)) {
        free(*l);
        *l = NULL;
    }
    return *l == NULL;
}

int pm_watch_free(pm_watch *w)
{
    int all = free_looker(&w->looker);

    for (int i = 0; i < STUCK_MAX; i++) {
        all &= free_looker(&w->stuck[i]);
    }
    if (all) {
        free(w);
    }
    return all;
}

void pm_watch_htaccess(pm_watch *w, const char *path)
{
    pm_watch_table *t = w->table;
    uint32_t before = atomic_load(&t->count);

    if (t->htaccess < PM_WATCH_HTACCESS_MAX && before < PM_WATCH_MAX) {
        pm_watch_put(t, PM_WATCH_HTACCESS, path, "");
        t->htaccess += atomic_load(&t->count) - before;
    }
}
