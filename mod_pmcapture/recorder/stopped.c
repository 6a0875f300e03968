/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * stopped.c: when an orderly stop is an outage: clients had been coming, and nobody started httpd again.
 *
 * Whoever stops a server may mean it. It is no outage when it was short, when nobody but health checkers had come, when
 * maintenance was announced, or when the whole machine was shut down: then the time counts from its start on, with some for
 * booting.
 */
#include <string.h>
#include <time.h>

#include "fold_private.h"
#include "pm_time.h"

#define CAME_US (600 * PM_SECOND)       /* so shortly before the stop somebody has to have come */
#define ANNOUNCED_US (1800 * PM_SECOND) /* so long before the stop maintenance may be announced */
#define BOOT_US (120 * PM_SECOND)

/** When httpd was stopped in order, by its own account; `planned`: maintenance was announced. 0 = it does not say. */
static uint64_t find_stop(const pm_fold *f, const pm_server *last, int *planned, apr_pool_t *pool)
{
    uint64_t stop = 0;
    pm_event *events;
    size_t count;

    *planned = 0;
    if (pm_capture_events(f->capture, last->started_us, UINT64_MAX, &events, &count, pool) !=
        APR_SUCCESS) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (events[i].type == PM_EV_SERVER_STOP && events[i].run == last->run) {
            stop = events[i].at_us;
        }
    }
    for (size_t i = 0; i < count && stop != 0; i++) {
        *planned |= events[i].type == PM_EV_NOTE && events[i].at_us + ANNOUNCED_US >= stop &&
                    pm_event_says(&events[i], "maintenance", 1);
    }
    return stop;
}

static int clients_came(const pm_fold *f, uint64_t until_us, apr_pool_t *pool)
{
    pm_row *rows;
    size_t count;

    if (pm_capture_seconds(f->capture, until_us - CAME_US, until_us, &rows, &count, pool) !=
        APR_SUCCESS) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        /* where health checkers are not told apart, any request */
        if (rows[i].people != 0 ? rows[i].people > 1 : rows[i].requests > 0) {
            return 1;
        }
    }
    return 0;
}

static uint64_t booted_us(uint64_t now_us)
{
    struct timespec up;

    clock_gettime(CLOCK_BOOTTIME, &up);
    return now_us - ((uint64_t)up.tv_sec * PM_SECOND + (uint64_t)up.tv_nsec / 1000);
}

/** What was read of a run that is no outage: it stays so until somebody writes an event. */
static struct {
    uint64_t run, event;
} meant;

/** Since when it is an outage; 0 = it is none. */
static uint64_t outage_since(const pm_fold *f, const pm_server *last, uint64_t now_us,
                             apr_pool_t *pool)
{
    uint64_t stop, since, patience = f->stopped_us, newest = pm_capture_last_event(f->capture);
    int planned;

    /* Most stops are over before that, and nothing is read for them. The last tick came up to a second after the stop. */
    if (patience == 0 || now_us + PM_SECOND < last->heartbeat_us + patience ||
        (meant.run == last->run && meant.event == newest)) {
        return 0;
    }
    stop = since = find_stop(f, last, &planned, pool);
    if (stop != 0 && now_us <= stop + patience) {
        return 0;
    }
    meant.run = last->run;
    meant.event = newest;
    if (stop == 0 || planned) {
        return 0;
    }
    if (strcmp(last->boot_id, f->server.boot_id) != 0) {
        since = booted_us(now_us);
        patience += BOOT_US;
        if (since < stop) {
            return 0; /* another machine's file, or a clock that was set: nobody knows */
        }
    }
    return now_us > since + patience && clients_came(f, stop, pool) ? since : 0;
}

int pm_stopped_lasts(const pm_fold *f)
{
    return pm_incident_in_state(f, PM_KIND_STOPPED, PM_SCOPE_SERVER);
}

void pm_stopped_begin(pm_fold *f, const pm_server *last, uint64_t now_us, apr_pool_t *pool)
{
    pm_condition stopped = {PM_KIND_STOPPED, PM_SCOPE_SERVER, now_us, now_us, 1};

    if (!pm_stopped_lasts(f)) {
        stopped.from_us = outage_since(f, last, now_us, pool);
    }
    if (stopped.from_us != 0) {
        pm_incident_state(f, &stopped);
    }
}

void pm_stopped_end(pm_fold *f, uint64_t now_us)
{
    pm_condition stopped = {PM_KIND_STOPPED, PM_SCOPE_SERVER, now_us, now_us, 0};

    if (pm_stopped_lasts(f)) {
        pm_incident_state(f, &stopped);
    }
}
