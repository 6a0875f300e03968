/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * keep.c: what a tick brought goes to the capture file. What cannot be written now is written with a later
 * tick: rows and events wait in the state, counters are absolute anyway.
 */
#include <errno.h>
#include <string.h>

#include "fold_private.h"
#include "pm_text.h"
#include "pm_time.h"

#define LOCK_WAIT_US 200000u
#define PIN_US (PM_PIN_SECONDS * PM_SECOND)

static apr_status_t put_ended_minutes(pm_fold *f)
{
    pm_ledger *s = f->state;
    apr_status_t rv = APR_SUCCESS;

    for (uint32_t i = 0; i < PM_MINUTES_KEPT && s->minutes_wait && rv == APR_SUCCESS; i++) {
        if (s->minutes[i].waits) {
            rv = pm_capture_put_minute(f->capture, &s->minutes[i].row);
            s->minutes[i].waits = rv != APR_SUCCESS;
        }
    }
    s->minutes_wait &= rv != APR_SUCCESS;
    return rv;
}

static apr_status_t put_rows(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    uint64_t from = s->written_tick + 1;
    apr_status_t rv = APR_SUCCESS;

    if (t->tick > PM_SECONDS_KEPT && from < t->tick - PM_SECONDS_KEPT + 1) {
        from = t->tick - PM_SECONDS_KEPT + 1;
    }
    for (uint64_t tick = from; tick <= t->tick && rv == APR_SUCCESS; tick++) {
        const pm_row *row = &pm_second_of(s, tick)->row;

        if (row->tick == tick) {
            rv = pm_capture_put_second(f->capture, row);
        }
        if (rv == APR_SUCCESS) {
            s->written_tick = tick;
        }
    }
    if (rv == APR_SUCCESS) {
        rv = put_ended_minutes(f);
    }
    if (rv == APR_SUCCESS && s->minute.row.span_us != 0) {
        rv = pm_capture_put_minute(f->capture, &s->minute.row);
    }
    return rv;
}

static apr_status_t put_events(pm_fold *f)
{
    pm_ledger *s = f->state;
    apr_status_t rv = APR_SUCCESS;

    while (s->pending_first < s->pending_next && rv == APR_SUCCESS) {
        pm_pending_event *p = &s->pending[s->pending_first % PM_PENDING_EVENTS];
        pm_event e = {.at_us = p->at_us, .run = s->run, .type = p->type, .severity = p->severity};

        memcpy(e.text, p->text, sizeof(e.text));
        e.data = p->data;
        e.data_len = (uint32_t)strlen(p->data);
        rv = pm_capture_put_event(f->capture, &e);
        if (rv == APR_EINVAL) { /* never to be accepted: it must not keep the others waiting */
            s->checkpoint.events_lost++;
            rv = APR_SUCCESS;
        }
        if (rv == APR_SUCCESS) {
            s->pending_first++;
        }
    }
    return rv;
}

/** The seconds around an onset and an end stay as long as the incident does. */
static apr_status_t pin(pm_fold *f, const pm_incident *in, uint64_t now)
{
    apr_status_t rv = APR_SUCCESS;

    if (now < in->onset_us + PIN_US + 2 * PM_SECOND || !in->open) {
        rv = pm_capture_pin(f->capture, in->id, 0, in->onset_us - PIN_US, in->onset_us + PIN_US);
    }
    if (rv == APR_SUCCESS && !in->open) {
        rv = pm_capture_pin(f->capture, in->id, 1, in->end_us - PIN_US, in->end_us + PIN_US);
    }
    return rv;
}

static apr_status_t put_incidents(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    apr_status_t rv = APR_SUCCESS;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN && rv == APR_SUCCESS; i++) {
        pm_open *o = &s->open[i];

        if (!o->used) {
            continue;
        }
        rv = pm_capture_put_incident(f->capture, &o->incident, o->samples);
        if (rv == APR_SUCCESS && (!o->incident.open || t->tick % 10 == 0)) {
            rv = pin(f, &o->incident, t->now_us);
        }
        /* A closed one keeps its slot until the rows after its end are there to be pinned; with a clock that was
         * set back there will be none. */
        if (rv == APR_SUCCESS && !o->incident.open &&
            (t->now_us > o->incident.end_us + PIN_US + PM_SECOND ||
             t->now_us < o->incident.closed_us)) {
            o->used = 0;
        }
    }
    return rv;
}

static apr_status_t put_all(pm_fold *f, pm_tick *t)
{
    pm_checkpoint *cp = &f->state->checkpoint;
    apr_status_t rv;

    pm_failures_count(f);
    rv = put_rows(f, t);

    if (rv == APR_SUCCESS) {
        rv = put_events(f);
    }
    if (rv == APR_SUCCESS) {
        rv = put_incidents(f, t);
    }
    if (rv == APR_SUCCESS) {
        cp->last_event = pm_capture_last_event(f->capture);
        /* The checkpoint is the last to be written: what it speaks of is there. */
        rv = pm_capture_put_checkpoint(f->capture, cp);
    }
    return rv == APR_SUCCESS ? pm_capture_sync(f->capture) : rv;
}

static void trouble(pm_fold *f, const char *sentence)
{
    pm_server *server = &f->state->checkpoint.server;

    if (strncmp(server->trouble, sentence, sizeof(server->trouble) - 1) != 0) {
        pm_text_clean(server->trouble, sizeof(server->trouble), sentence, 1024);
        if (f->say != NULL && sentence[0] != '\0') {
            f->say(f->ctx, PM_CRITICAL, sentence);
        }
    }
}

void pm_keep_tick(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    pm_error err = {""};
    apr_status_t rv;

    rv = pm_capture_lock(f->capture, LOCK_WAIT_US);
    if (rv != APR_SUCCESS) {
        pm_fail(
            &err, rv,
            "The capture file %s is locked by another process: nothing is written until it is free",
            pm_capture_path(f->capture));
    }
    else {
        /* Only with the lock: the mark may be that of a recorder which has it and waits for the disk. */
        atomic_store(&f->control->writing_us, pm_time_monotonic());
        rv = pm_capture_verify(f->capture, &err);
        if (rv == APR_SUCCESS) {
            rv = pm_live_verify(f->live, &err);
        }
        trouble(f, rv == APR_SUCCESS ? f->server.trouble : err.text);
        rv = put_all(f, t);
        if (rv != APR_SUCCESS) {
            pm_fail_os(&err, rv, "The capture file %s cannot be written, so history is not kept",
                       pm_capture_path(f->capture));
        }
        atomic_store(&f->control->writing_us, 0);
        pm_capture_unlock(f->capture);
    }
    if (rv != APR_SUCCESS) {
        s->checkpoint.server.write_failures++;
        trouble(f, err.text);
    }
}
