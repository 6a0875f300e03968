/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * eventlog.c: PMCaptureEventLog: every event, and a line of figures once a minute, as JSON lines to a file or a
 * piped program. The parent opens it, as httpd opens its logs; the recorder that has the lease writes what has come into the
 * capture file since its last tick, whoever wrote it there. A reader that does not keep up loses lines, and the
 * recorder no tick.
 */
#include "module.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "pm_model.h"
#include "pm_time.h"

#define PATIENCE_MS 50 /* once in a tick: many lines that each wait would cost the next one */

typedef struct line {
    char text[PM_EVENT_DATA + 4096];
    size_t used;
} line;

static apr_file_t *target_file;
static uint64_t lost_lines;
static int patience_ms;
static int broken_off; /* the last line that was sent has no end */

static apr_file_t *open_target(apr_pool_t *pconf, const char *target, pm_error *err)
{
    const char *path;
    apr_file_t *file;
    apr_status_t rv;

    if (target[0] == '|') {
        piped_log *pipe = ap_open_piped_log(pconf, target + 1);

        if (pipe == NULL) {
            pm_fail(err, APR_EGENERAL, "PMCaptureEventLog: the program '%s' cannot be started",
                    target + 1);
            return NULL;
        }
        return ap_piped_log_write_fd(pipe);
    }
    path = ap_server_root_relative(pconf, target);
    rv = path == NULL
             ? APR_EBADPATH
             : apr_file_open(&file, path, APR_WRITE | APR_APPEND | APR_CREATE | APR_LARGEFILE,
                             APR_UREAD | APR_UWRITE | APR_GREAD, pconf);
    if (rv != APR_SUCCESS) {
        pm_fail_os(err, rv, "PMCaptureEventLog: %s cannot be opened, so no events are shipped",
                   path != NULL ? path : target);
        return NULL;
    }
    return file;
}

void pm_eventlog_open(apr_pool_t *pconf, server_rec *s)
{
    apr_file_t *file;
    apr_os_file_t fd;
    pm_error err;

    pm.event_log = -1;
    if (pm_config->event_log == NULL) {
        return;
    }
    file = open_target(pconf, pm_config->event_log, &err);
    if (file == NULL) {
        pm_say(s, APLOG_CRIT, err.text);
        if (pm.trouble[0] == '\0') {
            apr_cpystrn(pm.trouble, err.text, sizeof(pm.trouble));
        }
        return;
    }
    target_file = file;
    if (apr_os_file_get(&fd, file) == APR_SUCCESS) {
        pm.event_log = fd;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
}

void pm_eventlog_leave(void)
{
    if (pm.event_log >= 0) {
        /* Not close(): the file's own cleanup would close whatever has its number by then in a CGI script's process. */
        apr_file_close(target_file);
        pm.event_log = -1;
    }
}

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

    if (broken_off && write(pm.event_log, "\n", 1) == 1) {
        broken_off = 0;
    }
    while (sent < l->used) {
        ssize_t n = write(pm.event_log, l->text + sent, l->used - sent);

        if (n > 0) {
            sent += (size_t)n;
        }
        else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd ready = {.fd = pm.event_log, .events = POLLOUT};

            if (poll(&ready, 1, patience_ms) == 0) {
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

void pm_eventlog_tick(pm_fold *f)
{
    static line *l;
    uint64_t mark, unmarked = 0;

    if (pm.event_log < 0) {
        return;
    }
    if (l == NULL && (l = malloc(sizeof(*l))) == NULL) {
        return;
    }
    patience_ms = PATIENCE_MS;
    /* Reading back what is to be shipped may take its time: no reason to be taken for dead. Without the lock, so the mark
     * of a recorder that has it stays. */
    mark = pm_time_monotonic();
    atomic_compare_exchange_strong(&f->state->writing_us, &unmarked, mark);
    ship_events(f, l);
    ship_minute(f, l);
    atomic_compare_exchange_strong(&f->state->writing_us, &mark, 0);
    if (lost_lines != 0 && f->say != NULL) {
        f->say(f->ctx, PM_WARNING,
               "PMCaptureEventLog: its reader does not keep up, lines were lost");
        lost_lines = 0;
    }
}
