/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * page.c: what /pm-status and PMCaptureListen answer.
 */
#include "page.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "pm_accept.h"
#include "pm_json.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define RECENT_US (86400 * PM_SECOND)
#define ROOM_MOST ((size_t)512 << 20)

enum format {
    FORMAT_HTML,
    FORMAT_AUTO,
    FORMAT_JSON,
    FORMAT_PROMETHEUS,
    FORMAT_CSV,
    FORMAT_SECTION, /* of mod_status's page */
    FORMAT_SECTION_AUTO
};

typedef struct asked {
    enum format format;
    int openmetrics;
    pm_query query;
} asked;

/* ---- the body ---- */

typedef struct body {
    char *bytes;
    size_t used, room;
} body;

static apr_status_t put(void *ctx, const char *bytes, size_t len)
{
    body *b = ctx;

    if (len > b->room - b->used) {
        size_t room = 2 * (b->used + len) + 4096;
        char *more = room < ROOM_MOST ? realloc(b->bytes, room) : NULL;

        if (more == NULL) {
            return APR_ENOMEM;
        }
        b->bytes = more;
        b->room = room;
    }
    memcpy(b->bytes + b->used, bytes, len);
    b->used += len;
    return APR_SUCCESS;
}

static void put_text(body *b, const char *text)
{
    put(b, text, strlen(text));
}

static __attribute__((format(printf, 3, 4))) void put_format(body *b, apr_pool_t *p,
                                                             const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_text(b, apr_pvsprintf(p, format, args));
    va_end(args);
}

/* ---- the question ---- */

static int find_format(const char *name, enum format *out)
{
    static const struct {
        const char *name;
        enum format format;
    } formats[] = {{"json", FORMAT_JSON}, {"prometheus", FORMAT_PROMETHEUS}, {"csv", FORMAT_CSV}};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(name, formats[i].name) == 0) {
            *out = formats[i].format;
            return 1;
        }
    }
    return 0;
}

/** "a+b%20c" in place; 0 when it is no such text. */
static int unescape(char *value)
{
    apr_status_t rv;

    for (char *c = value; *c != '\0'; c++) {
        *c = *c == '+' ? ' ' : *c;
    }
    rv = apr_unescape_url(value, value, APR_ESCAPE_STRING, NULL, NULL, 0, NULL);
    return rv == APR_SUCCESS || rv == APR_NOTFOUND; /* nothing was escaped */
}

/** One parameter; unknown ones are ignored. */
static apr_status_t take_parameter(asked *a, char *pair, pm_error *err)
{
    char *value = strchr(pair, '=');
    apr_status_t rv;

    if (value != NULL) {
        *value++ = '\0';
        if (!unescape(value)) {
            value = NULL;
        }
    }
    if (strcmp(pair, "auto") == 0) {
        a->format = a->format == FORMAT_SECTION ? FORMAT_SECTION_AUTO : FORMAT_AUTO;
        return APR_SUCCESS;
    }
    if (strcmp(pair, "format") == 0) {
        return find_format(value != NULL ? value : "", &a->format)
                   ? APR_SUCCESS
                   : pm_fail(err, APR_EINVAL, "format must be json, prometheus or csv");
    }
    rv = pm_query_set(&a->query, pair, value != NULL ? value : "", pm_time_now(), err);
    return rv == APR_ENOTIMPL ? APR_SUCCESS : rv;
}

static apr_status_t parse(const pm_question *q, asked *a, apr_pool_t *p, pm_error *err)
{
    char *args = q->query != NULL ? apr_pstrdup(p, q->query) : NULL, *state = NULL;
    apr_status_t bad = APR_SUCCESS;

    a->query = PM_QUERY_ALL;
    if (q->path != NULL && strcmp(q->path, "/metrics") == 0) {
        a->format = FORMAT_PROMETHEUS;
    }
    else if (q->path != NULL && strcmp(q->path, "/mod_status") == 0) {
        a->format = FORMAT_SECTION;
    }
    /* All of them, bad ones included: the error is said in the format that was asked for. */
    for (char *pair = args ? apr_strtok(args, "&", &state) : NULL; pair != NULL;
         pair = apr_strtok(NULL, "&", &state)) {
        pm_error one;
        apr_status_t rv = take_parameter(a, pair, &one);

        if (rv != APR_SUCCESS && bad == APR_SUCCESS) {
            bad = rv;
            *err = one;
        }
    }
    a->openmetrics = pm_accept_openmetrics(q->accept);
    return bad;
}

/** What the format does not show need not be read. */
static void narrow(asked *a)
{
    switch (a->format) {
    case FORMAT_CSV:
        a->query.view = PM_VIEW_SERIES;
        break;
    case FORMAT_AUTO:
    case FORMAT_PROMETHEUS:
        a->query.view = PM_VIEW_SUMMARY;
        a->query.told = PM_TELL_NONE;
        break;
    case FORMAT_SECTION:
    case FORMAT_SECTION_AUTO:
        a->query.view = PM_VIEW_SUMMARY;
        a->query.told = PM_TELL_NONE;
        a->query.since_us = pm_time_now() - RECENT_US;
        break;
    case FORMAT_HTML:
        a->query.view = PM_VIEW_ALL;
        a->query.told = PM_TELL_OPEN;
        a->query.latest = 1;
        break;
    case FORMAT_JSON:
        break;
    }
}

/* ---- the reply ---- */

static const char *content_type(const asked *a)
{
    switch (a->format) {
    case FORMAT_AUTO:
    case FORMAT_SECTION_AUTO:
        return "text/plain; charset=utf-8";
    case FORMAT_JSON:
        return "application/json";
    case FORMAT_CSV:
        return "text/csv; charset=utf-8; header=present";
    case FORMAT_PROMETHEUS:
        return a->openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8";
    default:
        return "text/html; charset=utf-8";
    }
}

/** One sentence, in the reply's own format. */
static void refuse(pm_reply *reply, body *b, const asked *a, unsigned status, const char *sentence,
                   apr_pool_t *p)
{
    pm_json j;

    reply->status = status;
    b->used = 0;
    switch (a->format) {
    case FORMAT_JSON:
        pm_json_begin(&j, put, b);
        pm_json_object(&j);
        pm_json_key(&j, "error");
        pm_json_string(&j, sentence);
        pm_json_object_end(&j);
        pm_json_end(&j);
        put_text(b, "\n");
        break;
    case FORMAT_HTML:
        put_format(
            b, p,
            "<!DOCTYPE html>\n<html lang=\"en\"><title>mod_pmcapture</title><p>%s</p></html>\n",
            apr_pescape_entity(p, sentence, 0));
        break;
    case FORMAT_PROMETHEUS:
        put_format(b, p, "# %s\n%s", sentence, a->openmetrics ? "# EOF\n" : "");
        break;
    case FORMAT_SECTION:
        put_format(b, p, "<dt>%s</dt>\n", apr_pescape_entity(p, sentence, 0));
        break;
    case FORMAT_SECTION_AUTO:
        put_format(b, p, "PMCaptureError: %s\n", sentence);
        break;
    case FORMAT_AUTO:
        put_format(b, p, "Error: %s\n", sentence);
        break;
    case FORMAT_CSV:
        put_format(b, p, "error\r\n\"%s\"\r\n", sentence);
        break;
    }
}

/* ---- a section of mod_status's page ---- */

static void put_incident(body *b, const pm_model *m, const pm_incident *in, int is_short,
                         apr_pool_t *p)
{
    char headline[PM_STORY_HEADLINE], when[PM_TIME_SIZE];

    pm_story_headline(m, in, headline);
    pm_time_format(in->onset_us, when);
    if (is_short) {
        put_format(b, p,
                   "PMCaptureIncident: %" APR_UINT64_T_FMT
                   "\nPMCaptureIncidentState: %s\nPMCaptureIncidentOnset: %s\n"
                   "PMCaptureIncidentSummary: %s\n",
                   in->id, in->open ? "open" : "closed", when, headline);
        return;
    }
    put_format(b, p, "<dt>Incident %" APR_UINT64_T_FMT " (%s), since %s: %s</dt>\n", in->id,
               in->open ? "open" : "closed", when, apr_pescape_entity(p, headline, 0));
}

/** Those of the last day that are open, else the last one. */
static void put_section(body *b, const pm_model *m, int is_short, apr_pool_t *p)
{
    size_t open = 0;

    for (size_t i = 0; i < m->case_count; i++) {
        open += m->cases[i].incident->open != 0;
    }
    if (is_short) {
        put_format(b, p, "PMCaptureIncidentsOpen: %d\n", (int)open);
    }
    else if (open == 0) {
        put_text(b, "<dt>No incident is open.</dt>\n");
    }
    for (size_t i = 0; i < m->case_count; i++) {
        const pm_incident *in = m->cases[i].incident;

        if (in->open || (open == 0 && i + 1 == m->case_count)) {
            put_incident(b, m, in, is_short, p);
        }
    }
    for (size_t i = 0; !is_short && i < m->notice_count; i++) {
        put_format(b, p, "<dt>%s</dt>\n", apr_pescape_entity(p, m->notices[i], 0));
    }
}

static apr_status_t encode(body *b, const pm_model *m, const asked *a, apr_pool_t *p)
{
    switch (a->format) {
    case FORMAT_AUTO:
        return pm_encode_auto(m, &a->query, put, b);
    case FORMAT_JSON:
        return pm_encode_json(m, &a->query, put, b);
    case FORMAT_CSV:
        return pm_encode_csv(m, &a->query, put, b);
    case FORMAT_PROMETHEUS:
        return pm_encode_prometheus(m, &a->query, a->openmetrics, put, b);
    case FORMAT_SECTION:
    case FORMAT_SECTION_AUTO:
        put_section(b, m, a->format == FORMAT_SECTION_AUTO, p);
        return APR_SUCCESS;
    case FORMAT_HTML:
        break;
    }
    return pm_encode_html(m, &a->query, put, b);
}

static void answer(pm_reply *reply, body *b, const asked *a, pm_capture *capture,
                   const pm_source *source, apr_pool_t *p)
{
    pm_error err = {""};
    pm_model *m = NULL; /* GCC with -flto cannot see that a model that was loaded is set */

    if (capture == NULL) {
        refuse(reply, b, a, 503,
               source->trouble != NULL && source->trouble[0] != '\0'
                   ? source->trouble
                   : "Nothing is recorded: the error log says why",
               p);
    }
    else if (pm_model_load(&m, capture, source, &a->query, p, &err) != APR_SUCCESS) {
        refuse(reply, b, a, 503, err.text, p);
    }
    else if (a->query.incident != 0 && m->case_count == 0) {
        refuse(reply, b, a, 404, "there is no incident with that number", p);
    }
    else if (encode(b, m, a, p) != APR_SUCCESS) {
        refuse(reply, b, a, 503, "out of memory", p);
    }
}

void pm_page_answer(pm_reply *reply, const pm_question *asked_for, pm_capture *capture,
                    const pm_source *source, apr_pool_t *pool)
{
    asked a = {FORMAT_HTML, 0, PM_QUERY_ALL};
    body b = {NULL, 0, 0};
    pm_error err = {""};

    reply->status = 200;
    if (parse(asked_for, &a, pool, &err) != APR_SUCCESS) {
        refuse(reply, &b, &a, 400, err.text, pool);
    }
    else {
        narrow(&a);
        answer(reply, &b, &a, capture, source, pool);
    }
    reply->type = content_type(&a);
    reply->body = b.bytes;
    reply->length = b.used;
}
