/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * json.c: a small streaming JSON writer.
 *
 * A call out of place (a value in an object without its key, an end without its beginning, too
 * deep) would make a document that no reader takes: it fails the writer with APR_EINVAL instead.
 */
#include "pm_json.h"

#include <stdio.h>
#include <string.h>

#include "pm_check.h"
#include "pm_text.h"
#include "pm_time.h"

/* What stands at a depth; 0 is the top. */
#define HAS_VALUE 1u
#define IS_OBJECT 2u

apr_status_t pm_into_bounded(void *bounded, const char *bytes, size_t len)
{
    pm_bounded *b = bounded;

    PM_CHECK(b->used < b->size);
    if (len >= b->size - b->used) {
        return APR_ENOSPC;
    }
    memcpy(b->text + b->used, bytes, len);
    b->used += len;
    b->text[b->used] = '\0';
    return APR_SUCCESS;
}

static void flush(pm_json *j)
{
    if (j->status == APR_SUCCESS && j->used > 0) {
        j->status = j->sink(j->ctx, j->buffer, j->used);
    }
    j->used = 0;
}

static void put(pm_json *j, const char *s, size_t len)
{
    PM_CHECK(j->used < sizeof(j->buffer) && j->depth >= 0 && j->depth <= PM_JSON_DEPTH);
    while (len > 0 && j->status == APR_SUCCESS) {
        size_t room = sizeof(j->buffer) - j->used;
        size_t n = len < room ? len : room;

        memcpy(j->buffer + j->used, s, n);
        j->used += n;
        s += n;
        len -= n;
        if (j->used == sizeof(j->buffer)) {
            flush(j);
        }
    }
}

static int misused(pm_json *j)
{
    if (j->status == APR_SUCCESS) {
        j->status = APR_EINVAL;
    }
    return 0;
}

/* Before every value: the comma, and whether one may stand here. */
static int open_value(pm_json *j)
{
    uint8_t *level = &j->level[j->depth];

    if (j->status != APR_SUCCESS) {
        return 0;
    }
    if (*level & IS_OBJECT) {
        if (!j->after_key) {
            return misused(j);
        }
        j->after_key = 0;
        return 1;
    }
    if (*level & HAS_VALUE) {
        if (j->depth == 0) {
            return misused(j);
        }
        put(j, ",", 1);
    }
    *level |= HAS_VALUE;
    return 1;
}

static void open_container(pm_json *j, const char *bracket, uint8_t level)
{
    if (!open_value(j)) {
        return;
    }
    if (j->depth == PM_JSON_DEPTH) {
        misused(j);
        return;
    }
    put(j, bracket, 1);
    j->level[++j->depth] = level;
}

static void close_container(pm_json *j, const char *bracket, uint8_t level)
{
    if (j->depth == 0 || j->after_key || (j->level[j->depth] & IS_OBJECT) != level) {
        misused(j);
        return;
    }
    put(j, bracket, 1);
    j->depth--;
}

void pm_json_begin(pm_json *j, pm_sink sink, void *ctx)
{
    j->sink = sink;
    j->ctx = ctx;
    j->status = APR_SUCCESS;
    j->used = 0;
    j->depth = 0;
    j->level[0] = 0;
    j->after_key = 0;
}

apr_status_t pm_json_end(pm_json *j)
{
    if (j->depth != 0 || !(j->level[0] & HAS_VALUE)) {
        misused(j);
    }
    flush(j);
    return j->status;
}

void pm_json_object(pm_json *j)
{
    open_container(j, "{", IS_OBJECT);
}

void pm_json_object_end(pm_json *j)
{
    close_container(j, "}", IS_OBJECT);
}

void pm_json_array(pm_json *j)
{
    open_container(j, "[", 0);
}

void pm_json_array_end(pm_json *j)
{
    close_container(j, "]", 0);
}

/* One character, `n` bytes of valid UTF-8. DEL and C1 controls are legal JSON, but would steer a
 * terminal. */
static void put_character(pm_json *j, const char *s, size_t n)
{
    static const char special[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    const char *at = s[0] != '\0' ? strchr(special, s[0]) : NULL;
    char escape[8];

    if (at != NULL) {
        put(j, "\\", 1);
        put(j, &letters[at - special], 1);
    }
    else if (pm_text_control(s, n)) {
        /* U+0080 .. U+009F are C2 80 .. C2 9F: the last byte is the code point. */
        int length = snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)s[n - 1]);

        put(j, escape, (size_t)length);
    }
    else {
        put(j, s, n);
    }
}

/** Bytes that stand for themselves: nearly all there are. */
static size_t plain(const char *s, size_t len)
{
    size_t n = 0;

    while (n < len && s[n] >= ' ' && s[n] < 0x7f && s[n] != '"' && s[n] != '\\') {
        n++;
    }
    return n;
}

static void put_string(pm_json *j, const char *s, size_t len)
{
    char code[4];

    put(j, "\"", 1);
    while (len > 0 && j->status == APR_SUCCESS) {
        size_t as_is = plain(s, len), n = as_is > 0 ? as_is : pm_text_utf8(s, len);

        if (as_is > 0) {
            put(j, s, n);
        }
        else if (n > 0) {
            put_character(j, s, n);
        }
        else {
            int length = snprintf(code, sizeof(code), "%%%02X", (unsigned char)s[0]);

            n = 1;
            put(j, code, (size_t)length);
        }
        s += n;
        len -= n;
    }
    put(j, "\"", 1);
}

void pm_json_key(pm_json *j, const char *key)
{
    uint8_t *level = &j->level[j->depth];

    if (!(*level & IS_OBJECT) || j->after_key) {
        misused(j);
        return;
    }
    if (*level & HAS_VALUE) {
        put(j, ",", 1);
    }
    *level |= HAS_VALUE;
    put_string(j, key, strlen(key));
    put(j, ":", 1);
    j->after_key = 1;
}

static void put_value(pm_json *j, const char *text)
{
    if (open_value(j)) {
        put(j, text, strlen(text));
    }
}

void pm_json_null(pm_json *j)
{
    put_value(j, "null");
}

void pm_json_bool(pm_json *j, int value)
{
    put_value(j, value ? "true" : "false");
}

/* The digits of a value before `end`, `least` of them; where they begin. Most of a document is numbers: printf would
 * take half of its time. */
static char *put_digits(char *end, uint64_t value, int least)
{
    for (; value > 0 || least > 0; value /= 10, least--) {
        *--end = (char)('0' + value % 10);
    }
    return end;
}

static void put_number(pm_json *j, char *from, const char *end, int negative)
{
    if (negative) {
        *--from = '-';
    }
    if (open_value(j)) {
        put(j, from, (size_t)(end - from));
    }
}

void pm_json_uint(pm_json *j, uint64_t value)
{
    char text[24], *end = text + sizeof(text);

    put_number(j, put_digits(end, value, 1), end, 0);
}

void pm_json_int(pm_json *j, int64_t value)
{
    char text[24], *end = text + sizeof(text);
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;

    put_number(j, put_digits(end, size, 1), end, value < 0);
}

/* whole + millionths / 10^6 without trailing zeros. printf's %f would use the locale's decimal
 * point. */
static void put_decimal(pm_json *j, int negative, uint64_t whole, uint32_t millionths)
{
    char text[40], *end = text + sizeof(text), *at = end;

    if (millionths > 0) {
        at = put_digits(end, millionths, 6);
        *--at = '.';
        while (end[-1] == '0') {
            end--;
        }
    }
    put_number(j, put_digits(at, whole, 1), end, negative);
}

void pm_json_double(pm_json *j, double value)
{
    double size = value < 0 ? -value : value;
    char text[320]; /* the largest double has 309 digits */
    uint64_t whole;
    uint32_t millionths;

    if (!(size <= __DBL_MAX__)) { /* NaN too */
        pm_json_null(j);
        return;
    }
    if (size >= 9007199254740992.0) { /* 2^53: from here on every double is a whole number */
        snprintf(text, sizeof(text), "%.0f", value);
        put_value(j, text);
        return;
    }
    whole = (uint64_t)size;
    millionths = (uint32_t)((size - (double)whole) * 1e6 + 0.5);
    if (millionths == 1000000) {
        whole++;
        millionths = 0;
    }
    put_decimal(j, value < 0 && (whole > 0 || millionths > 0), whole, millionths);
}

void pm_json_seconds(pm_json *j, uint64_t us)
{
    put_decimal(j, 0, us / PM_SECOND, (uint32_t)(us % PM_SECOND));
}

void pm_json_bytes(pm_json *j, const char *s, size_t len)
{
    if (s == NULL) {
        pm_json_null(j);
    }
    else if (open_value(j)) {
        put_string(j, s, len);
    }
}

void pm_json_string(pm_json *j, const char *s)
{
    pm_json_bytes(j, s, s == NULL ? 0 : strlen(s));
}

void pm_json_time(pm_json *j, uint64_t us)
{
    char text[PM_TIME_SIZE];

    pm_json_string(j, us == 0 ? NULL : pm_time_format(us, text));
}

/* A valid value's bytes without the white space between its tokens: a line feed there would break
 * JSON lines. */
static void put_compact(pm_json *j, const char *s, size_t len)
{
    int in_string = 0;
    size_t n;

    for (size_t i = 0; i < len; i += n) {
        n = 1;
        if (s[i] == '"') {
            in_string = !in_string;
            put(j, s + i, 1);
        }
        else if (!in_string) {
            if (strchr(" \t\r\n", s[i]) == NULL) {
                put(j, s + i, 1);
            }
        }
        else if (s[i] == '\\') {
            n = 2;
            put(j, s + i, 2);
        }
        else {
            n = pm_text_utf8(s + i, len - i);
            put_character(j, s + i, n);
        }
    }
}

void pm_json_raw(pm_json *j, const char *value, size_t len)
{
    if (value == NULL || !pm_json_valid(value, len)) {
        pm_json_null(j);
    }
    else if (open_value(j)) {
        put_compact(j, value, len);
    }
}

/* ---- one member each ---- */

void pm_json_put_null(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_null(j);
}

void pm_json_put_bool(pm_json *j, const char *key, int value)
{
    pm_json_key(j, key);
    pm_json_bool(j, value);
}

void pm_json_put_uint(pm_json *j, const char *key, uint64_t value)
{
    pm_json_key(j, key);
    pm_json_uint(j, value);
}

void pm_json_put_double(pm_json *j, const char *key, double value)
{
    pm_json_key(j, key);
    pm_json_double(j, value);
}

void pm_json_put_seconds(pm_json *j, const char *key, uint64_t us)
{
    pm_json_key(j, key);
    pm_json_seconds(j, us);
}

void pm_json_put_time(pm_json *j, const char *key, uint64_t us)
{
    pm_json_key(j, key);
    pm_json_time(j, us);
}

void pm_json_put_text(pm_json *j, const char *key, const char *text)
{
    pm_json_key(j, key);
    pm_json_string(j, text != NULL && text[0] != '\0' ? text : NULL);
}

void pm_json_put_object(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_object(j);
}

void pm_json_put_array(pm_json *j, const char *key)
{
    pm_json_key(j, key);
    pm_json_array(j);
}
