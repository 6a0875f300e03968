/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode.c: what the encoders share (encode.h).
 */
#include "encode.h"

#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "pm_check.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define AROUND_US (120 * PM_SECOND)

/* ---- output ---- */

void pm_out_begin(pm_out *o, pm_sink sink, void *ctx)
{
    o->sink = sink;
    o->ctx = ctx;
    o->status = APR_SUCCESS;
    o->used = 0;
}

static void flush(pm_out *o)
{
    if (o->status == APR_SUCCESS && o->used) {
        o->status = o->sink(o->ctx, o->buffer, o->used);
    }
    o->used = 0;
}

apr_status_t pm_out_end(pm_out *o)
{
    flush(o);
    return o->status;
}

static void put(pm_out *o, const char *bytes, size_t len)
{
    PM_CHECK(o->used < sizeof(o->buffer));
    while (len) {
        size_t room = sizeof(o->buffer) - o->used;
        size_t n = len < room ? len : room;

        memcpy(o->buffer + o->used, bytes, n);
        o->used += n;
        bytes += n;
        len -= n;
        if (o->used == sizeof(o->buffer)) {
            flush(o);
        }
    }
}

void pm_out_raw(pm_out *o, const char *text)
{
    put(o, text, strlen(text));
}

void pm_out_format(pm_out *o, const char *format, ...)
{
    char piece[512];
    va_list args;
    int length;

    va_start(args, format);
    length = apr_vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    put(o, piece, (size_t)length);
}

void pm_out_seconds(pm_out *o, uint64_t us)
{
    char piece[32];
    int n = apr_snprintf(piece, sizeof(piece), "%" APR_UINT64_T_FMT ".%06u", us / 1000000u,
                         (unsigned)(us % 1000000u));

    while (piece[n - 1] == '0') {
        n--;
    }
    put(o, piece, (size_t)(piece[n - 1] == '.' ? n - 1 : n));
}

void pm_out_time(pm_out *o, uint64_t us)
{
    char time[PM_TIME_SIZE];

    if (us) {
        pm_out_raw(o, pm_time_format(us, time));
    }
}

/* At most `max` bytes of text, not ending within a UTF-8 sequence. */
static size_t whole_characters(const char *text, size_t max)
{
    size_t n = strnlen(text, max);
    size_t back = n;

    if (!text[n]) {
        return n;
    }
    while (back > n - 4 && ((unsigned char)text[back] & 0xC0) == 0x80) {
        back--;
    }
    return back > n - 4 ? back : n; /* four trail bytes in a row are no character */
}

void pm_out_text(pm_out *o, pm_escape escape, const char *text)
{
    enum { CHUNK = 256 };
    char clean[3 * CHUNK + 8];       /* a byte becomes %XX at most */
    char escaped[6 * sizeof(clean)]; /* a byte becomes &quot; at most */

    while (text && *text) {
        size_t n = whole_characters(text, CHUNK);
        size_t used = 0;

        pm_text_clean(clean, sizeof(clean), text, n);
        escaped[0] = '\0';
        if (escape && escape(escaped, sizeof(escaped), &used, clean)) {
            put(o, escaped, used);
        }
        else if (!escape) {
            pm_out_raw(o, clean);
        }
        text += n;
    }
}

/* ---- the bounds of a query ---- */

pm_window pm_query_window(const pm_model *m, const pm_query *q)
{
    pm_window w = {q->since_us, q->until_us};

    for (size_t n = 0; q->incident && n < m->case_count; n++) {
        const pm_incident *i = m->cases[n].incident;

        if (i->id != q->incident) {
            continue;
        }
        uint64_t from = i->onset_us > AROUND_US ? i->onset_us - AROUND_US : 0;
        if (from > w.from_us) {
            w.from_us = from;
        }
        if (!i->open && i->end_us + AROUND_US < w.until_us) {
            w.until_us = i->end_us + AROUND_US;
        }
    }
    return w;
}

int pm_query_wants(const pm_model *m, const pm_query *q, const pm_case *c)
{
    if (q->incident) {
        return c->incident->id == q->incident;
    }
    return c->incident->onset_us < q->until_us && pm_story_until(m, c->incident) >= q->since_us;
}

/* ---- figures ---- */

const char *pm_status_name(int slot, char out[PM_STATUS_NAME])
{
    if (slot < PM_STATUS_SLOTS - 1) {
        apr_snprintf(out, PM_STATUS_NAME, "%d", 100 + slot);
    }
    else {
        apr_cpystrn(out, "other", PM_STATUS_NAME);
    }
    return out;
}

int pm_clients_alike(const pm_incident *i, pm_alike out[PM_COUNTS])
{
    int lines = 0, n;

    for (int c = 0; c < PM_COUNTS && i->by_client[c].errors; c++) {
        const pm_count *one = &i->by_client[c];

        for (n = 0; n < lines && strcmp(out[n].sum.key, one->key) != 0; n++) {
        }
        if (n == lines) {
            out[lines++] = (pm_alike){*one, 1};
            continue;
        }
        out[n].clients++;
        out[n].sum.errors += one->errors;
        out[n].sum.requests = out[n].sum.requests == UINT64_MAX || one->requests == UINT64_MAX
                                  ? UINT64_MAX
                                  : out[n].sum.requests + one->requests;
    }
    return lines;
}

pm_recent pm_recent_figures(const pm_model *m)
{
    pm_recent recent = {0};
    size_t first = m->row_count > 10 ? m->row_count - 10 : 0;

    for (size_t n = first; n < m->row_count; n++) {
        const pm_row *row = &m->rows[n];

        if (row->at_us + 60 * PM_SECOND >= m->rows[m->row_count - 1].at_us) {
            recent.requests += row->requests;
            recent.errors += row->errors;
            recent.span_us += row->span_us;
        }
    }
    for (size_t n = m->row_count; n > 0 && m->rows[n - 1].requests == 0; n--) {
        recent.idle_us += m->rows[n - 1].span_us;
    }
    return recent;
}

/* ---- events ---- */

void pm_json_event_members(pm_json *j, const pm_event *e)
{
    pm_json_put_uint(j, "seq", e->seq);
    pm_json_put_time(j, "at", e->at_us);
    pm_json_put_text(j, "type", pm_event_name(e->type));
    pm_json_put_text(j, "severity", pm_severity_name(e->severity));
    pm_json_key(j, "text");
    pm_json_string(j, e->text);
    pm_json_key(j, "data");
    if (e->data && e->data_len && e->data[0] == '{' && pm_json_valid(e->data, e->data_len)) {
        pm_json_raw(j, e->data, e->data_len);
    }
    else {
        pm_json_object(j);
        pm_json_put_bool(j, "damaged", 1);
        pm_json_object_end(j);
    }
}

void pm_json_event(pm_json *j, const pm_event *e)
{
    pm_json_object(j);
    pm_json_event_members(j, e);
    pm_json_object_end(j);
}
