/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * eventlog.c: PMCaptureEventLog: every event, and a line of figures once a minute, as JSON lines to a file or a
 * piped program, which httpd has opened. What has come into the capture file since the last tick is written, whoever wrote
 * it there. A reader that does not keep up loses lines, and the recorder no tick.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_model.h"
#include "pm_time.h"
#include "pmrecorder.h"

#define PATIENCE_MS 50 /* once in a tick: many lines that each wait would cost the next one */

typedef struct line {
    char text[PM_EVENT_DATA + 4096];
    size_t used;
} line;

static int target = -1; /* of the generation at work */
static uint64_t lost_lines;
static int patience_ms;
static int broken_off; /* the last line that was sent has no end */

static apr_status_t add(void *ctx, const char *bytes, size_t len)
{
    line *l = ctx;

    if (len > sizeof(l->text) - l->used) {
        return APR_ENOSPC;
    }
    memcpy(l->text + l->used, bytes, len);
    l->used += len;
    return APR_SUCCESS;
}

static void lose(size_t sent)
{
    lost_lines++;
    broken_off |= sent > 0;
}

static void ship(line *l)
{
    size_t sent = 0;

    if (broken_off && write(target, "\n", 1) == 1) {
        broken_off = 0;
    }
    while (sent < l->used) {
        ssize_t n = write(target, l->text + sent, l->used - sent);

        if (n > 0) {
            sent += (size_t)n;
        }
        else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (pm_descriptors_wait(target, POLLOUT, patience_ms) == 0) {
                patience_ms = 0; /* the reader is stuck */
                lose(sent);
                return;
            }
        }
        else {
            lose(sent);
            return;
        }
    }
}

static void ship_events(pm_fold *f, line *l)
{
    pm_ledger *s = f->state;
    apr_pool_t *pool;
    pm_event *events;
    size_t count = 0;

    if (s->checkpoint.last_event <= s->shipped_event ||
        apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return;
    }
    if (pm_capture_events_after(f->capture, s->shipped_event, &events, &count, pool) !=
        APR_SUCCESS) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        l->used = 0;
        if (events[i].seq <= s->checkpoint.last_event &&
            pm_encode_event_line(&events[i], pm_capture_id_text(f->capture),
                                 s->checkpoint.server.host_name, add, l) == APR_SUCCESS) {
            ship(l);
        }
    }
    s->shipped_event = s->checkpoint.last_event;
    apr_pool_destroy(pool);
}

static void ship_minute(pm_fold *f, line *l)
{
    pm_ledger *s = f->state;
    uint64_t minute = s->minute.row.at_us;
    const pm_row *last;

    if (minute == s->shipped_minute) {
        return;
    }
    last = &s->minutes[s->shipped_minute / (60 * PM_SECOND) % PM_MINUTES_KEPT].row;
    l->used = 0;
    if (s->shipped_minute != 0 && last->at_us == s->shipped_minute &&
        pm_encode_minute_line(last, pm_capture_id_text(f->capture), s->checkpoint.server.host_name,
                              add, l) == APR_SUCCESS) {
        ship(l);
    }
    s->shipped_minute = minute;
}

void pm_eventlog_tick(pm_generation *g)
{
    static line *l;
    uint64_t mark, unmarked = 0;
    pm_fold *f = &g->fold;

    target = g->handed.fd[PM_FD_EVENT_LOG];
    if (target < 0) {
        return;
    }
    if (l == NULL && (l = malloc(sizeof(*l))) == NULL) {
        return;
    }
    patience_ms = PATIENCE_MS;
    /* Reading back what is to be shipped may take its time: no reason to be taken for dead. Without the lock, so the mark
     * of a recorder that has it stays. */
    mark = pm_time_monotonic();
    atomic_compare_exchange_strong(&g->control->writing_us, &unmarked, mark);
    ship_events(f, l);
    ship_minute(f, l);
    atomic_compare_exchange_strong(&g->control->writing_us, &mark, 0);
    if (lost_lines != 0) {
        pm_log(PM_WARNING, "PMCaptureEventLog: its reader does not keep up, lines were lost");
        lost_lines = 0;
    }
}
