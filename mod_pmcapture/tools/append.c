/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * append.c: one event into a capture file, from outside the server.
 */
#include "append.h"

#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "pm_caller.h"
#include "pm_capture.h"
#include "pm_model.h"
#include "pm_text.h"
#include "pm_time.h"

#define NOTE_MAX 8192u
#define DATA_MAX (2 * NOTE_MAX)
#define SAID_US (30 * PM_SECOND)  /* the module has just said it itself, and better */
#define ALIVE_US (15 * PM_SECOND) /* it ran until now: this is how it ended */

static apr_status_t to_stdout(void *ctx, const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, ctx) == len ? APR_SUCCESS : APR_EGENERAL;
}

static apr_status_t append(pm_capture *c, pm_event *e, pm_error *err)
{
    apr_status_t rv = pm_capture_append(c, e, err);

    if (rv == APR_SUCCESS) {
        pm_encode_event(e, to_stdout, stdout);
        putchar('\n');
    }
    return rv;
}

/* ---- a note ---- */

static apr_status_t add_note(const pm_addition *add, pm_capture *c, pm_error *err)
{
    static char data[DATA_MAX];
    static pm_draft d;
    char user[PM_USER_SIZE];
    size_t length = strlen(add->note);

    if (add->note[strspn(add->note, " \t\r\n")] == '\0' || length > NOTE_MAX / 2) {
        return pm_fail(err, APR_EINVAL, "a note has 1 to %u bytes, this one has %lu", NOTE_MAX / 2,
                       (unsigned long)length);
    }
    pm_caller_user(user);
    pm_draft_begin_in(&d, PM_EV_NOTE, add->at_us != 0 ? add->at_us : pm_time_now(), data,
                      sizeof(data));
    if (add->incident != 0) {
        pm_draft_count(&d, "incident", add->incident);
    }
    pm_draft_text(&d, "user", user);
    if (add->maintenance) {
        pm_draft_flag(&d, "maintenance", 1);
    }
    pm_text_clean(d.event.text, sizeof(d.event.text), add->note, length);
    if (strcmp(d.event.text, add->note) != 0) { /* cut, or made harmless: here is all of it */
        pm_draft_text(&d, "message", add->note);
    }
    if (pm_draft_close(&d)->data != data) {
        return pm_fail(err, APR_EINVAL, "the note is too long once it is written out");
    }
    return append(c, &d.event, err);
}

/* ---- systemd's word ---- */

/** Did the module itself say just now why it ended? */
static int is_said(pm_capture *c, uint64_t now, apr_pool_t *pool)
{
    pm_event *events;
    size_t count;

    if (pm_capture_events(c, now - SAID_US, UINT64_MAX, &events, &count, pool) != APR_SUCCESS) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (pm_event_has(&events[i], PM_IS_FAILURE)) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t add_failure(const pm_addition *add, pm_capture *c, apr_pool_t *pool,
                                pm_error *err)
{
    static pm_draft d;
    uint64_t now = pm_time_now();
    const char *unit = add->unit != NULL ? add->unit : "the service", *message;
    pm_checkpoint *cp = apr_pcalloc(pool, sizeof(*cp));
    int ran;

    if (strncmp(add->service_result, "success", strlen("success")) == 0 || is_said(c, now, pool)) {
        return APR_SUCCESS;
    }
    pm_capture_checkpoint(c, cp);
    ran = cp->server.stopped_us == 0 && cp->server.heartbeat_us + ALIVE_US > now;
    message = apr_psprintf(pool,
                           ran ? "systemd: %.100s ended while it ran: %.200s"
                               : "systemd: %.100s failed: %.200s; why is in its journal",
                           unit, add->service_result);
    pm_draft_begin(&d, ran ? PM_EV_NOTE : PM_EV_START_FAILED, now);
    d.event.severity = PM_CRITICAL;
    pm_draft_text(&d, "message", message);
    pm_draft_text(&d, "command", "systemd");
    pm_draft_text(&d, "result", add->service_result);
    pm_draft_end(&d, "%s", message);
    return append(c, &d.event, err);
}

apr_status_t pm_add(const pm_addition *add, const char *file, apr_pool_t *pool, pm_error *err)
{
    pm_capture *c;
    apr_status_t rv = pm_capture_open_append(&c, file, pool, err);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = add->note != NULL ? add_note(add, c, err) : add_failure(add, c, pool, err);
    pm_capture_close(c);
    return rv;
}
