/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode.h: what the encoders share: buffered text output, the bounds of a query, and a
 * few figures that more than one format shows.
 *
 * Private to core. A pm_out belongs to one thread; the sink's first error sticks, later calls do nothing.
 */
#ifndef PM_ENCODE_H
#define PM_ENCODE_H

#include "facts.h"
#include "pm_model.h"

typedef struct pm_out {
    pm_sink sink;
    void *ctx;
    apr_status_t status;
    size_t used;
    char buffer[4096];
} pm_out;

void pm_out_begin(pm_out *o, pm_sink sink, void *ctx);
apr_status_t pm_out_end(pm_out *o); /* flushes; first error or APR_SUCCESS */

/** Our own text, as it is. */
void pm_out_raw(pm_out *o, const char *text);
/** APR's formats: "." whatever the locale. For short pieces (under 512 bytes) without foreign text. */
void pm_out_format(pm_out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Seconds from microseconds, six decimals at most, trailing zeros dropped. */
void pm_out_seconds(pm_out *o, uint64_t us);
/** RFC 3339; nothing when 0. */
void pm_out_time(pm_out *o, uint64_t us);

/** One of pm_text.h's appenders. */
typedef int (*pm_escape)(char *dst, size_t size, size_t *used, const char *text);
/** Foreign text of any length (NULL: none), cleaned (pm_text_clean), then escaped; a NULL escape: cleaned
 *  alone. */
void pm_out_text(pm_out *o, pm_escape escape, const char *text);

/* ---- the bounds of a query ---- */

typedef struct pm_window {
    uint64_t from_us, until_us; /* from <= at < until */
} pm_window;

/** Bounds of events and rows: since and until, and for one incident two minutes around it. */
pm_window pm_query_window(const pm_model *m, const pm_query *q);
/** 1 when this incident is asked for: by its id, or because it overlaps the bounds. */
int pm_query_wants(const pm_model *m, const pm_query *q, const pm_case *c);
static inline int pm_window_has(pm_window w, uint64_t at_us)
{
    return at_us >= w.from_us && at_us < w.until_us;
}

/** An event's members, in an object that the caller has begun. */
void pm_json_event_members(pm_json *j, const pm_event *e);
void pm_json_event(pm_json *j, const pm_event *e);
/** `whole`: with breakdown and story. */
void pm_json_incident(pm_json *j, const pm_model *m, const pm_case *c, int with_samples, int whole);

/* ---- figures ---- */

/** The status of a slot of pm_totals.status: "503", or "other". */
#define PM_STATUS_NAME 8
const char *pm_status_name(int slot, char out[PM_STATUS_NAME]);

/** Beside the tables of a breakdown: their requests are not all of one window. */
#define PM_BREAKDOWN_BASIS                                                                         \
    "A virtual host's requests are counted from onset to end. Of a route, Host or backend, "       \
    "answers with 5xx are counted from the onset, all else from the detection; the failing share " \
    "is of what came since the detection."

/** Clients that a masked address does not tell apart are one line. */
typedef struct pm_alike {
    pm_count sum;
    uint32_t clients;
} pm_alike;
/** Of the PM_COUNTS clients that met the most errors; how many lines. */
int pm_clients_alike(const pm_incident *i, pm_alike out[PM_COUNTS]);

/** What the last rows say: over at most ten of them, none older than a minute before the last. */
typedef struct pm_recent {
    uint64_t requests, errors;
    uint64_t span_us; /* 0 = nothing on record */
    uint64_t idle_us; /* at the end, without a request */
} pm_recent;
pm_recent pm_recent_figures(const pm_model *m);

#endif
