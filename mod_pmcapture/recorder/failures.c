/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * failures.c: starts and reloads that failed, as the recorder finds them in the capture file: the processes that
 * failed wrote them there themselves, as there was no later for them.
 */
#include "fold_private.h"

void pm_failures_count(pm_fold *f)
{
    pm_ledger *s = f->state;
    uint64_t newest = pm_capture_last_event(f->capture), from = s->failures_seen;
    pm_event *events;
    apr_pool_t *pool;
    size_t count;

    if (from < s->checkpoint.last_event) {
        from = s->checkpoint.last_event; /* the last tick's own */
    }
    if (newest <= from || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return;
    }
    s->failures_seen = newest;
    if (pm_capture_events_after(f->capture, from, &events, &count, pool) == APR_SUCCESS) {
        for (size_t i = 0; i < count; i++) {
            s->checkpoint.server.config_failures += pm_event_blames_configuration(&events[i]) != 0;
        }
    }
    apr_pool_destroy(pool);
}
