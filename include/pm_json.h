/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_json.h: a small streaming JSON writer; a check of JSON that came from a file, and values found in it.
 *
 * The writer places commas and colons itself and turns every string into valid UTF-8 (other bytes
 * are percent-encoded, pm_text.h). It keeps no document in memory: what is complete goes to the
 * sink. One writer belongs to one thread. The first error of the sink sticks: later calls do
 * nothing and pm_json_end() returns it. A call out of place (a value in an object without its key,
 * an end that matches no beginning, deeper than PM_JSON_DEPTH, a second value at the top) is
 * APR_EINVAL, likewise.
 */
#ifndef PM_JSON_H
#define PM_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <apr_errno.h>

/** Takes `len` bytes; any status but APR_SUCCESS stops the writer. */
typedef apr_status_t (*pm_sink)(void *ctx, const char *bytes, size_t len);

/** Text of bounded length: {array, sizeof(array), 0}. */
typedef struct pm_bounded {
    char *text;
    size_t size, used;
} pm_bounded;
/** A pm_sink with a pm_bounded as its ctx. The text is NUL-terminated; what does not fit is left out whole, and
 *  APR_ENOSPC. */
apr_status_t pm_into_bounded(void *bounded, const char *bytes, size_t len);

#define PM_JSON_DEPTH 32

typedef struct pm_json {
    pm_sink sink;
    void *ctx;
    apr_status_t status;
    size_t used; /* bytes in buffer */
    int depth;
    uint8_t level[PM_JSON_DEPTH + 1]; /* what stands at each depth; private */
    uint8_t after_key;
    char buffer[4096];
} pm_json;

void pm_json_begin(pm_json *j, pm_sink sink, void *ctx);
apr_status_t
pm_json_end(pm_json *j); /* flushes; first error or APR_SUCCESS; APR_EINVAL: incomplete */

void pm_json_object(pm_json *j);     /* { */
void pm_json_object_end(pm_json *j); /* } */
void pm_json_array(pm_json *j);      /* [ */
void pm_json_array_end(pm_json *j);  /* ] */
void pm_json_key(pm_json *j, const char *key);

void pm_json_null(pm_json *j);
void pm_json_bool(pm_json *j, int value);
void pm_json_uint(pm_json *j, uint64_t value);
void pm_json_int(pm_json *j, int64_t value);
/** At most six digits after the point, trailing zeros dropped, no exponent, "." whatever the
 * locale; NaN and infinities are null. */
void pm_json_double(pm_json *j, double value);
/** Seconds from microseconds, six decimals at most, trailing zeros dropped ("0.0125"). */
void pm_json_seconds(pm_json *j, uint64_t us);
/** Exactly `len` bytes of any content; NULL is null. Controls (DEL and C1 too) are escaped as
 * \uXXXX. */
void pm_json_bytes(pm_json *j, const char *s, size_t len);
void pm_json_string(pm_json *j, const char *s);
/** RFC 3339 UTC with milliseconds from microseconds since 1970; 0 is null. */
void pm_json_time(pm_json *j, uint64_t us);
/** A complete JSON value from elsewhere, checked with pm_json_valid first; null when it is not.
 *  White space between its tokens is dropped, so that the output stays one line. */
void pm_json_raw(pm_json *j, const char *value, size_t len);

/* A member each: key and value, or key and beginning. A text that is empty is null: in the records it is not known. */
void pm_json_put_null(pm_json *j, const char *key);
void pm_json_put_bool(pm_json *j, const char *key, int value);
void pm_json_put_uint(pm_json *j, const char *key, uint64_t value);
void pm_json_put_double(pm_json *j, const char *key, double value);
void pm_json_put_seconds(pm_json *j, const char *key, uint64_t us);
void pm_json_put_time(pm_json *j, const char *key, uint64_t us);
void pm_json_put_text(pm_json *j, const char *key, const char *text);
void pm_json_put_object(pm_json *j, const char *key);
void pm_json_put_array(pm_json *j, const char *key);

/** 1 if the bytes are exactly one JSON value (RFC 8259), valid UTF-8, nested at most 16 deep, and
 * holds nothing that common readers stumble over: no half of a surrogate pair, no number longer
 * than 40 bytes or with more than two digits of exponent. White space around it is allowed. */
int pm_json_valid(const char *s, size_t len);

/* ---- values found in such JSON. What is not valid has fewer of them; nothing behind its end is read ---- */

/** The piece of the text that is the value, without white space around it. NULL: there is none. */
typedef struct pm_json_value {
    const char *text;
    size_t len;
} pm_json_value;

/** The next item of an array or object, and its key, as it stands there; the first when item->text is NULL. 0: none. */
int pm_json_next(pm_json_value container, pm_json_value *key, pm_json_value *item);
/** An object's member. A name without anything that is escaped. */
pm_json_value pm_json_find(pm_json_value object, const char *name);
/** Is it null, true, false, as it stands there? */
int pm_json_is(pm_json_value value, const char *word);
int pm_json_same(pm_json_value a, pm_json_value b);
/** 1 and the number when it is a whole one that fits. */
int pm_json_to_count(pm_json_value value, uint64_t *out);
/** 1 and the text, cut to size between characters, when it is one. */
int pm_json_to_text(pm_json_value value, char *out, size_t size);

#endif
