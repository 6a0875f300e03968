/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * workers.c: no idle worker left, and MaxRequestWorkers reached, for some seconds. From samples: httpd itself
 * logs it once in its life.
 */
#include "fold_private.h"
#include "pm_time.h"

#define TICKS 3u

static void say_exhausted(pm_fold *f, const pm_row *row)
{
    pm_draft d;

    pm_draft_begin(&d, PM_EV_WORKERS_EXHAUSTED, f->state->exhausted_since_us);
    pm_draft_count(&d, "busy", row->busy);
    pm_draft_count(&d, "limit", row->limit);
    pm_draft_null(&d, "until");
    pm_fold_event(f, pm_draft_end(&d, "No idle worker is left: all %u are busy, new requests wait",
                                  row->limit));
}

static void say_over(pm_fold *f, uint64_t until_us)
{
    uint64_t began = f->state->exhausted_since_us;
    char span[PM_TIME_SIZE];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_WORKERS_EXHAUSTED, until_us);
    d.event.severity = PM_INFO;
    pm_draft_time(&d, "since", began);
    pm_draft_time(&d, "until", until_us);
    pm_fold_event(f, pm_draft_end(&d, "Workers are idle again, after %s without one",
                                  pm_time_span(until_us > began ? until_us - began : 0, span)));
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
