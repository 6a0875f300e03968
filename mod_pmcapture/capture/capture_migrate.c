/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_migrate.c: history from a capture file of one size into one of another (PMCaptureRetention changed).
 */
#include <stdlib.h>

#include "capture_private.h"

static apr_status_t copy_checkpoint(pm_capture *to, pm_capture *from)
{
    pm_checkpoint cp;
    return pm_capture_checkpoint(from, &cp) == APR_SUCCESS ? pm_capture_put_checkpoint(to, &cp)
                                                           : APR_SUCCESS;
}

/* The newest rows of one ring; older ones would fall on the same slots. */
static apr_status_t copy_rows(pm_capture *to, pm_capture *from, int minutes, apr_pool_t *pool)
{
    apr_array_header_t *rows = apr_array_make(pool, 4096, sizeof(pm_row));
    uint64_t room = minutes ? to->header.keep.minutes : to->header.keep.seconds;
    apr_status_t rv = APR_SUCCESS;

    if (minutes) {
        pm_cap_collect(from, from->layout.minutes, from->header.keep.minutes, PM_MAGIC_MINUTE, 0, 0,
                       UINT64_MAX, rows);
    }
    else {
        pm_cap_collect(from, from->layout.seconds, from->header.keep.seconds, PM_MAGIC_SECOND, 0, 0,
                       UINT64_MAX, rows);
    }
    pm_row *row = (pm_row *)rows->elts;
    size_t count = (size_t)rows->nelts;
    qsort(row, count, sizeof(*row), pm_cap_compare_rows);
    for (size_t i = count > room ? count - room : 0; i < count && rv == APR_SUCCESS; i++) {
        rv = minutes ? pm_capture_put_minute(to, &row[i]) : pm_capture_put_second(to, &row[i]);
    }
    return rv;
}

static int compare_seqs(const void *a, const void *b)
{
    const pm_event *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static apr_status_t copy_events(pm_capture *to, pm_capture *from, apr_pool_t *pool)
{
    pm_event *events;
    size_t count;
    apr_status_t rv = pm_capture_events(from, 0, UINT64_MAX, &events, &count, pool);

    qsort(events, count, sizeof(*events), compare_seqs);
    for (size_t i = 0; i < count && rv == APR_SUCCESS; i++) {
        rv = pm_cap_write_event(to, &events[i]);
    }
    return rv;
}

static apr_status_t copy_pinned(pm_capture *to, pm_capture *from, uint64_t id, apr_pool_t *pool)
{
    uint64_t slot = id % from->header.keep.incidents;
    apr_status_t rv = APR_SUCCESS;

    for (uint32_t part = 0; part < PM_PIN_PARTS && rv == APR_SUCCESS; part++) {
        apr_array_header_t *rows = apr_array_make(pool, PM_PIN_ROWS, sizeof(pm_row));
        pm_cap_collect(from, pm_cap_pinned_offset(from, slot, part), PM_PIN_ROWS, PM_MAGIC_PINNED,
                       id, 0, UINT64_MAX, rows);
        rv = pm_cap_put_pinned(to, id, (int)part, (pm_row *)rows->elts, (size_t)rows->nelts);
    }
    return rv;
}

static apr_status_t copy_incident(pm_capture *to, pm_capture *from, pm_incident *incident,
                                  apr_pool_t *pool)
{
    pm_sample *samples;
    size_t count;
    apr_status_t rv = pm_capture_samples(from, incident, &samples, &count, pool);

    if (rv == APR_SUCCESS) {
        incident->sample_count =
            (uint32_t)(count < to->header.keep.samples ? count : to->header.keep.samples);
        rv = pm_capture_put_incident(to, incident, samples);
    }
    return rv == APR_SUCCESS ? copy_pinned(to, from, incident->id, pool) : rv;
}

static apr_status_t copy_incidents(pm_capture *to, pm_capture *from, apr_pool_t *pool)
{
    pm_incident **incidents;
    size_t count, room = to->header.keep.incidents;
    apr_status_t rv = pm_capture_incidents(from, &incidents, &count, pool);

    for (size_t i = count > room ? count - room : 0; i < count && rv == APR_SUCCESS; i++) {
        rv = copy_incident(to, from, incidents[i], pool);
    }
    return rv;
}

apr_status_t pm_cap_migrate(pm_capture *to, pm_capture *from)
{
    apr_pool_t *pool;
    apr_status_t rv = apr_pool_create(&pool, to->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = copy_checkpoint(to, from);
    if (rv == APR_SUCCESS) {
        rv = copy_rows(to, from, 0, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = copy_rows(to, from, 1, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = copy_incidents(to, from, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = copy_events(to, from, pool);
    }
    apr_pool_destroy(pool);
    return rv;
}
