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
#include "pm_json.h"
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

static void put_string(pm_json *j, const char *key, const char *value)
{
    pm_json_key(j, key);
    pm_json_string(j, value);
}

static void print_event(const pm_event *e, pm_json *j)
{
    pm_json_begin(j, to_stdout, stdout);
    pm_json_object(j);
    pm_json_key(j, "seq");
    pm_json_uint(j, e->seq);
    pm_json_key(j, "at");
    pm_json_time(j, e->at_us);
    put_string(j, "type", pm_event_name(e->type));
    put_string(j, "severity", pm_severity_name(e->severity));
    put_string(j, "text", e->text);
    pm_json_key(j, "data");
    pm_json_raw(j, e->data, e->data_len);
    pm_json_object_end(j);
    pm_json_end(j);
    putchar('\n');
}

static apr_status_t append(pm_capture *c, pm_event *e, const pm_bounded *data, pm_error *err)
{
    static pm_json j;
    apr_status_t rv;

    e->data = data->text;
    e->data_len = (uint32_t)data->used;
    rv = pm_capture_append(c, e, err);
    if (rv == APR_SUCCESS) {
        print_event(e, &j);
    }
    return rv;
}

/* ---- a note ---- */

static apr_status_t add_note(const pm_addition *add, pm_capture *c, pm_error *err)
{
    static char text[DATA_MAX];
    static pm_json j;
    pm_bounded data = {text, sizeof(text), 0};
    char user[PM_USER_SIZE];
    pm_event e = {.at_us = add->at_us != 0 ? add->at_us : pm_time_now(),
                  .type = PM_EV_NOTE,
                  .severity = PM_INFO};
    size_t length = strlen(add->note);

    if (add->note[strspn(add->note, " \t\r\n")] == '\0' || length > NOTE_MAX / 2) {
        return pm_fail(err, APR_EINVAL, "a note has 1 to %u bytes, this one has %lu", NOTE_MAX / 2,
                       (unsigned long)length);
    }
    pm_text_clean(e.text, sizeof(e.text), add->note, length);
    pm_caller_user(user);
    pm_json_begin(&j, pm_into_bounded, &data);
    pm_json_object(&j);
    if (add->incident != 0) {
        pm_json_key(&j, "incident");
        pm_json_uint(&j, add->incident);
    }
    put_string(&j, "user", user);
    if (strcmp(e.text, add->note) != 0) { /* cut, or made harmless: here is all of it */
        put_string(&j, "message", add->note);
    }
    pm_json_object_end(&j);
    if (pm_json_end(&j) != APR_SUCCESS) {
        return pm_fail(err, APR_EINVAL, "the note is too long once it is written out");
    }
    return append(c, &e, &data, err);
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
        if (events[i].type == PM_EV_START_FAILED || events[i].type == PM_EV_CONFIG_FAILED) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t add_failure(const pm_addition *add, pm_capture *c, apr_pool_t *pool,
                                pm_error *err)
{
    static char text[DATA_MAX];
    static pm_json j;
    pm_bounded data = {text, sizeof(text), 0};
    const char *unit = add->unit != NULL ? add->unit : "the service", *message;
    pm_checkpoint *cp = apr_pcalloc(pool, sizeof(*cp));
    pm_event e = {.at_us = pm_time_now(), .type = PM_EV_START_FAILED, .severity = PM_CRITICAL};

    if (strncmp(add->service_result, "success", strlen("success")) == 0 ||
        is_said(c, e.at_us, pool)) {
        return APR_SUCCESS;
    }
    message = apr_psprintf(pool, "systemd: %.100s failed: %.200s; why is in its journal", unit,
                           add->service_result);
    pm_capture_checkpoint(c, cp);
    if (cp->server.stopped_us == 0 && cp->server.heartbeat_us + ALIVE_US > e.at_us) {
        e.type = PM_EV_NOTE;
        message = apr_psprintf(pool, "systemd: %.100s ended while it ran: %.200s", unit,
                               add->service_result);
    }
    pm_text_clean(e.text, sizeof(e.text), message, sizeof(e.text));
    pm_json_begin(&j, pm_into_bounded, &data);
    pm_json_object(&j);
    put_string(&j, "message", message);
    put_string(&j, "command", "systemd");
    put_string(&j, "result", add->service_result);
    pm_json_object_end(&j);
    pm_json_end(&j);
    return append(c, &e, &data, err);
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
