/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * process.c: a process's place in the live region: taken, marked when it ends, given back.
 *
 * Requests in flight belong to a process, by the number of its place. A module may fork and go on with the connection in
 * the new process, as mpm_itk does with each: that one takes a place of its own with its first request. So what it
 * leaves behind, when it ends in the middle of one, is not taken for its parent's, which lives on.
 */
#include "module.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define SIGNAL_MAX 64

/** Of a process that was forked by one with a place: that place's number + 1, until it has one of its own. */
static uint32_t forked_from;
static int is_fork;

/** NULL = none. A process that was not forked by fork() may have its parent's number. */
static pm_child *own_place(void)
{
    pm_child *c = pm.live.header != NULL && pm.child < pm.live.geo.children
                      ? &pm.live.children[pm.child]
                      : NULL;

    return c != NULL && atomic_load(&c->pid) == (uint32_t)getpid() ? c : NULL;
}

static void claim(uint32_t parent)
{
    uint32_t pid = (uint32_t)getpid();
    uint64_t start = pm_process_start(pid);

    pm.child = PM_NO_CHILD;
    for (uint32_t i = 0; i < pm.live.geo.children; i++) {
        pm_child *c = &pm.live.children[i];
        uint32_t none = 0;

        if (atomic_compare_exchange_strong(&c->pid, &none, pid)) {
            atomic_store(&c->start, start);
            atomic_store(&c->generation, pm.generation);
            atomic_store(&c->signal, 0);
            atomic_store(&c->of, (uint16_t)parent);
            atomic_store(&c->state, PM_CHILD_ALIVE);
            pm_live_abandon(&pm.live, i); /* its last owner has died */
            pm.child = i;
            return;
        }
    }
}

/* ---- how it ends ---- */

static apr_status_t goes(void *unused)
{
    pm_child *c = own_place();

    (void)unused;
    if (c != NULL) {
        atomic_store_explicit(&c->state, PM_CHILD_ENDED, memory_order_relaxed);
    }
    return APR_SUCCESS;
}

/** By exit(), whoever calls it: without the MPM's farewell it was not meant to. Of a process that is none of the MPM's
 *  children nobody else hears. */
static void exits(void)
{
    pm_child *c = own_place();
    uint32_t alive = PM_CHILD_ALIVE;

    if (c != NULL && is_fork) {
        pm_live_abandon(&pm.live, pm.child);
        atomic_store(&c->pid, 0);
    }
    else if (c != NULL) {
        atomic_compare_exchange_strong(&c->state, &alive, PM_CHILD_EXITED);
    }
}

/** Also in each CGI script's process, before it is one. */
static void was_forked(void)
{
    forked_from = pm.child < PM_NO_CHILD ? pm.child + 1 : 0;
    is_fork = 1;
    pm.child = PM_NO_CHILD;
}

/* ---- what others call ---- */

void pm_process_begin(apr_pool_t *pchild)
{
    claim(0);
    apr_pool_cleanup_register(pchild, NULL, goes, apr_pool_cleanup_null);
    /* Both are forgotten with the module, should that be unloaded. */
    pthread_atfork(NULL, NULL, was_forked);
    atexit(exits);
}

int pm_process_has_place(void)
{
    if (pm.child >= PM_NO_CHILD && forked_from != 0) {
        uint32_t parent = forked_from;

        forked_from = 0; /* once: where there is no room there is none for the next request */
        if (parent <= pm.live.geo.children) {
            atomic_store(&pm.live.children[parent - 1].of, PM_CHILD_FORKS);
        }
        claim(parent);
    }
    return pm.child < PM_NO_CHILD;
}

/** Requests of a process that this one has forked, and that is dead: this one answers for them. */
static void take_over(uint32_t dead)
{
    for (uint32_t i = 0; i < pm.live.geo.flights; i++) {
        pm_flight *f = &pm.live.flights[i];
        uint32_t who = atomic_load(&f->who);

        if (atomic_load(&f->arrival_us) != 0 && who >> 16 == dead) {
            atomic_store(&f->who, pm_flight_who(pm.child, who & 0xffff));
        }
    }
}

void pm_process_logged(const char *message)
{
    static const char words[] = "child died with signal ";
    pm_child *own;
    int number;

    if (strncmp(message, words, sizeof(words) - 1) != 0 || (own = own_place()) == NULL) {
        return;
    }
    number = atoi(message + sizeof(words) - 1);
    if (number <= 0 || number > SIGNAL_MAX) {
        return;
    }
    atomic_store(&own->signal, (uint16_t)number);
    for (uint32_t i = 0; i < pm.live.geo.children; i++) {
        const pm_child *c = &pm.live.children[i];
        uint32_t pid = atomic_load(&c->pid);

        if (pid != 0 && pid <= INT32_MAX && atomic_load(&c->of) == pm.child + 1 &&
            kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
            take_over(i);
        }
    }
}
