/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * stuck.c: requests that do not end: each is named once, after a minute. They complete nothing, so nothing else
 * ever says which they are.
 */
#include <string.h>

#include "fold_private.h"
#include "pm_route.h"
#include "pm_time.h"

#define STUCK_US (60 * PM_SECOND)

void pm_stuck_see(pm_fold *f, pm_tick *t, uint32_t flight, uint64_t arrival)
{
    uint32_t state = atomic_load_explicit(&f->live->flights[flight].state, memory_order_relaxed);
    uint64_t due = pm_by_the_clock(t, arrival) + STUCK_US;

    /* Those that have reached the age since the last tick; a slow client's transfer and a tunnel may last. */
    if (state != PM_FLIGHT_WORKING || due > t->now_us || due <= t->from_us) {
        return;
    }
    if (t->stuck++ == 0 || arrival < t->stuck_arrival_us) {
        t->stuck_arrival_us = arrival;
        t->stuck_flight = flight;
    }
}

static void route_of(const pm_fold *f, const pm_tick *t, char route[PM_ROUTE_SIZE])
{
    pm_named named = f->live->named[t->stuck_flight & (PM_NAMED - 1)];

    if (named.arrival != (uint32_t)t->stuck_arrival_us) {
        memcpy(route, "a path that is not known", sizeof("a path that is not known"));
        return;
    }
    pm_route_fold(route, PM_ROUTE_SIZE, named.path, strnlen(named.path, sizeof(named.path)));
}

void pm_stuck_step(pm_fold *f, const pm_tick *t)
{
    char when[PM_TIME_SIZE], route[PM_ROUTE_SIZE];
    pm_draft d;
    uint32_t who, v;

    if (t->stuck == 0) {
        return;
    }
    who = atomic_load_explicit(&f->live->flights[t->stuck_flight].who, memory_order_relaxed);
    v = (who & 0xffff) < f->live->geo.vhosts ? who & 0xffff : 0;
    route_of(f, t, route);
    pm_draft_begin(&d, PM_EV_NOTE, t->now_us);
    d.event.severity = PM_WARNING;
    pm_draft_count(&d, "stuck", t->stuck);
    pm_draft_time(&d, "arrival", t->stuck_arrival_us);
    pm_fold_event(
        f, pm_draft_end(
               &d,
               "%u request%s in flight for more than a minute; the oldest of them, for %s on %s, "
               "came at %s",
               t->stuck, t->stuck == 1 ? " is" : "s are", route,
               f->vhost_names[v] != NULL ? f->vhost_names[v] : "(other)",
               pm_time_format(t->stuck_arrival_us, when)));
}
