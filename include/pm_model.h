/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_model.h: what a reader knows, in memory: the one source of every format.
 *
 * Loaded from a capture (pm_model_load, model.c: also folds in what a dead run's live region still holds), then
 * given to an encoder. The handler and pmdump load it with the same function, so they cannot disagree.
 * The model is plain data in one pool; encoders never change it and never read anything else.
 */
#ifndef PM_MODEL_H
#define PM_MODEL_H

#include <apr_pools.h>

#include "pm_capture.h"
#include "pm_json.h"

enum pm_state { PM_STATE_UNKNOWN, PM_STATE_RUNNING, PM_STATE_STOPPED, PM_STATE_DOWN };
const char *pm_state_name(enum pm_state state);

#define PM_VIEW_TOTALS 1u          /* always there: schema, generated, tick, capture, server */
#define PM_VIEW_INCIDENTS 2u
#define PM_VIEW_EVENTS 4u
#define PM_VIEW_SERIES 8u
#define PM_VIEW_ALL 15u
/* &view=summary is PM_VIEW_TOTALS | PM_VIEW_INCIDENTS without samples, events and series; of closed incidents it
 * has neither breakdown nor story (changes, causes, ruled_out, timeline). */
#define PM_VIEW_SUMMARY (PM_VIEW_TOTALS | PM_VIEW_INCIDENTS)

/** Whose story is told; always that of the incident asked for. It needs what pm_story.h says, and most readers none. */
enum pm_told { PM_TELL_ALL, PM_TELL_OPEN, PM_TELL_NONE };

typedef struct pm_query {
    uint32_t view;                 /* PM_VIEW_* */
    uint32_t refresh;              /* HTML: seconds, 0 = none */
    uint64_t since_us, until_us;   /* bounds of events, series and incidents; 0 and UINT64_MAX = open */
    uint64_t incident;             /* that one alone; 0 = all. Series and events then cover it, +- 2 minutes */
    uint32_t told;                 /* enum pm_told */
    uint32_t latest;               /* 1: but for what stories need, the last PM_LATEST events and seconds will do */
} pm_query;

#define PM_LATEST_EVENTS 128u
#define PM_LATEST_SECONDS 2048u

/** Something with a time on an incident's timeline. */
typedef struct pm_moment {
    uint64_t at_us;
    const char *kind;              /* an event type, or onset, detected, peak, end, gap, recovered, minute */
    const char *text;
} pm_moment;

typedef struct pm_cause {
    uint32_t rank;
    uint32_t type;                 /* of the events that it is made of; PM_EV_NONE: it is made of figures */
    const char *kind;
    const char *summary;           /* statement and nearness, one sentence */
    const char *statement;         /* what it is, without the nearness */
    const char *nearness;          /* "12 s before the onset"; NULL = it has no time */
    const uint64_t *evidence;      /* event seqs */
    size_t evidence_count;
    uint64_t at_us;                /* 0 = null */
    int64_t before_onset_us;       /* positive: before it */
} pm_cause;

typedef struct pm_cleared {
    const char *hypothesis;
    const char *summary;
} pm_cleared;

/** One incident with what was told about it (pm_story.h). */
typedef struct pm_case {
    pm_incident *incident;
    const pm_sample *samples;
    size_t sample_count;
    int figures_only;              /* 1: no more of the incident may be looked at than PM_INCIDENT_FIGURES */
    const pm_event **changes;      /* nearest to the onset first */
    size_t change_count;
    const pm_cause *causes;
    size_t cause_count;
    const pm_cleared *cleared;
    size_t cleared_count;
    const pm_cleared *unwatched; /* suspects that nobody watched, and what is missing */
    size_t unwatched_count;
    const pm_moment *timeline;     /* in order of time */
    size_t timeline_count;
} pm_case;

typedef struct pm_model {
    uint64_t generated_us;
    uint64_t tick;
    const char *capture_id;        /* 32 hex digits */
    const char *path;
    uint64_t created_us;
    uint64_t oldest_second_us;     /* 0 = no seconds kept */
    uint64_t events_lost;
    enum pm_state state;
    pm_server server;
    pm_totals totals;
    pm_case *cases;                /* oldest first */
    size_t case_count;
    const pm_event *events;        /* in order of at_us */
    size_t event_count;
    uint64_t events_since_us;      /* as pm_capture_events_since */
    const pm_event *last_change, *last_crash; /* with PM_VIEW_TOTALS, whatever the bounds; NULL = none on record */
    const pm_row *rows;            /* seconds when they are there, else minutes; each row says its span */
    size_t row_count;
    uint64_t resolution_us;        /* 1 s, or 60 s when only minutes cover what was asked for */
    uint64_t unloaded_us;          /* since when httpd runs on without the module; 0 = it does not */
    uint64_t incidents_by_kind[PM_KIND_ROOM]; /* since the capture file was made */
    const char **notices;          /* what is not recorded, what was damaged: a sentence each */
    size_t notice_count;
    const pm_tally *vhosts;        /* per virtual host since this run began; key, requests, errors */
    size_t vhost_count;
} pm_model;

/** How many failed (5xx), and how many there were in all. */
uint64_t pm_model_errors(const pm_totals *totals);
uint64_t pm_model_requests(const pm_totals *totals);

/* ---- encoders: model -> bytes; the status is the sink's first error ---- */

/** The capture document, "schema": "pmcapture.v1". */
apr_status_t pm_encode_json(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx);
/** The HTML page: complete without scripts, nothing loaded from elsewhere, escaped. */
apr_status_t pm_encode_html(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx);
/** "Key: value" lines. */
apr_status_t pm_encode_auto(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx);
/** The per-second series, RFC 4180 with a header line. */
apr_status_t pm_encode_csv(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx);
/** An event as the document has it. */
apr_status_t pm_encode_event(const pm_event *e, pm_sink sink, void *ctx);
/** One line of JSON each: an event; a minute's figures ("type": "minute"). */
apr_status_t pm_encode_event_line(const pm_event *e, const char *capture_id, const char *host, pm_sink sink,
                                  void *ctx);
apr_status_t pm_encode_minute_line(const pm_row *row, const char *capture_id, const char *host, pm_sink sink,
                                   void *ctx);
/** Prometheus text format 0.0.4, or OpenMetrics 1.0 ("# EOF" at the end). */
apr_status_t pm_encode_prometheus(const pm_model *m, const pm_query *q, int openmetrics, pm_sink sink, void *ctx);

#endif
