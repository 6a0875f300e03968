/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * workers.c: no idle worker left, and MaxRequestWorkers reached, for some seconds. From samples: httpd itself
 * logs it once in its life.
 */
#include <stdio.h>

#include "fold_private.h"
#include "pm_time.h"

#define TICKS 3u

static void say_exhausted(pm_fold *f, const pm_row *row)
{
    char data[128];

    snprintf(data, sizeof(data), "{\"busy\":%u,\"limit\":%u,\"until\":null}", row->busy,
             row->limit);
    pm_fold_event(f, f->state->exhausted_since_us, PM_EV_WORKERS_EXHAUSTED, PM_WARNING, data,
                  "No idle worker is left: all %u are busy, new requests wait", row->limit);
}

static void say_over(pm_fold *f, uint64_t until_us)
{
    char since[PM_TIME_SIZE], until[PM_TIME_SIZE], span[PM_TIME_SIZE], data[128];
    uint64_t began = f->state->exhausted_since_us;

    snprintf(data, sizeof(data), "{\"since\":\"%s\",\"until\":\"%s\"}",
             pm_time_format(began, since), pm_time_format(until_us, until));
    pm_fold_event(f, until_us, PM_EV_WORKERS_EXHAUSTED, PM_INFO, data,
                  "Workers are idle again, after %s without one",
                  pm_time_span(until_us > began ? until_us - began : 0, span));
}

void pm_workers_step(pm_fold *f, pm_tick *t, const pm_row *row)
{
    pm_ledger *s = f->state;

    if (row->idle == PM_UNKNOWN || row->limit == 0) {
        return; /* nobody could count: neither worse nor better */
    }
    if (row->idle == 0 && row->busy >= row->limit) {
        if (s->exhausted_ticks++ == 0) {
            s->exhausted_since_us = t->now_us;
        }
        if (s->exhausted_ticks == TICKS) {
            say_exhausted(f, row);
        }
        return;
    }
    if (s->exhausted_ticks >= TICKS) {
        say_over(f, t->now_us);
    }
    s->exhausted_ticks = 0;
}
