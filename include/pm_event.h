/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_event.h: events: their types, what is known of each type, and their data, written and read.
 *
 * An event type is declared in pm_event_table.h. Data is a JSON object whose members the table declares, with their
 * kinds; it is written with a pm_draft and read with pm_event_*, and by nothing else. Data from a file or from shared
 * memory may be anything: a member that is not there, or is of another kind, is simply not found.
 */
#ifndef PM_EVENT_H
#define PM_EVENT_H

#include <stddef.h>
#include <stdint.h>

#include "pm_json.h"

enum pm_severity { PM_INFO, PM_WARNING, PM_CRITICAL };
const char *pm_severity_name(uint32_t severity);   /* "info" */

enum pm_event_type {
    PM_EV_NONE,
#define PM_EVENT(constant, ...) PM_EV_##constant,
#include "pm_event_table.h"
#undef PM_EVENT
    PM_EV_TYPES
};
_Static_assert(PM_EV_TYPES <= 64, "sets of types have a bit for each");
#define PM_EVENT_BIT(type) (1ull << (type))

/** An event. `data` is a JSON object ("{}" at least), checked before it is shown. */
#define PM_EVENT_TEXT 480
#define PM_EVENT_DATA 65536
typedef struct pm_event {
    uint64_t seq;                  /* 1.. unique within the capture, in order of writing */
    uint64_t at_us;
    uint64_t run;
    uint32_t type;                 /* enum pm_event_type */
    uint32_t severity;
    char text[PM_EVENT_TEXT];      /* one sentence */
    uint32_t data_len;
    uint32_t pad;
    const char *data;              /* in memory only: data_len bytes, NUL after them */
} pm_event;

/* ---- what is known of a type ---- */

#define PM_IS_FLOOD 1u             /* comes in floods: its ring is not that of the others */
#define PM_IS_CHANGE 2u            /* something changed with it, perhaps: pm_event_is_change */
#define PM_IS_STORY 4u             /* stands among an incident's changes */
#define PM_IS_SIGN 8u              /* is no change, but stands on its timeline beside the figures */
#define PM_IS_EVER 16u             /* a story looks at it however far back it lies */
#define PM_IS_FAILURE 32u          /* a start or a reload failed */
#define PM_IS_ALTERING 64u         /* as a cause: what is served was altered */
/* With it, the suspect is not cleared. */
#define PM_AGAINST_CONFIGURATION 256u
#define PM_AGAINST_DEPLOYMENT 512u
#define PM_AGAINST_MACHINE 1024u
#define PM_AGAINST_CRASHES 2048u
#define PM_AGAINST_WORKERS 4096u

#define PM_BY_PARENT 1u            /* httpd's first process */
#define PM_BY_WORKER 2u            /* nothing else is taken from workers: one may have been taken over */
#define PM_BY_RECORDER 4u
#define PM_BY_COMMAND 8u           /* pmdump, or a command beside the server */

/** How far an event explains an incident. What lies further from the onset than `before` or `after` is no candidate;
 *  PM_EVER before it is whatever the distance, PM_EVER after it is to the end, which no reach goes beyond. */
#define PM_EVER UINT64_MAX
typedef struct pm_reach {
    uint32_t kinds;                /* PM_KIND_*: of incidents that it explains; 0 = none */
    uint64_t before_us, after_us;
    int weight;
    const char *kind;              /* among the causes; NULL = the type's name */
    enum { PM_STANDS, PM_WEAKENS, PM_FALLS } refuted; /* by requests that were served well since */
    int by_path;                   /* each file is a candidate of its own */
} pm_reach;

enum pm_member_kind {
    PM_MEMBER_TEXT, PM_MEMBER_COUNT, PM_MEMBER_NUMBER, PM_MEMBER_SECONDS, PM_MEMBER_TIME, PM_MEMBER_FLAG,
    PM_MEMBER_TEXTS,               /* a list of texts */
    /* structures, described in the JSON Schema ($defs) under these names */
    PM_MEMBER_IDENTITY, PM_MEMBER_PLACE, PM_MEMBER_DIRECTIVES, PM_MEMBER_FILES, PM_MEMBER_MODULES, PM_MEMBER_COUNTS,
    PM_MEMBER_SENDER, PM_MEMBER_CALLERS, PM_MEMBER_PID_FILE,
    PM_MEMBER_KINDS
};
const char *pm_member_kind_name(enum pm_member_kind kind); /* "text" */

/** A member of data. */
typedef struct pm_member {
    const char *key;               /* NULL ends a list of members */
    enum pm_member_kind kind;
    int nullable;
    const char *meaning;
} pm_member;

typedef struct pm_event_fact {
    const char *name;              /* "server.start"; "unknown" of PM_EV_NONE */
    uint32_t severity, by, traits;
    pm_reach reach;
    const char *meaning;
    const pm_member *members;
} pm_event_fact;

/** What is known of the type; of one that is none what is known of PM_EV_NONE: nothing. */
const pm_event_fact *pm_event_fact_of(uint32_t type);
const char *pm_event_name(uint32_t type);
/** PM_EVENT_BITs of the types that have one of the traits. */
uint64_t pm_event_types_with(uint32_t traits);
static inline int pm_event_has(const pm_event *e, uint32_t traits)
{
    return (pm_event_fact_of(e->type)->traits & traits) != 0;
}

/* ---- reading an event's data ---- */

/** The member's value; its text is NULL when there is none. */
pm_json_value pm_event_value(const pm_event *e, const char *key);
/** 1 and the text, cut to size, when it is one. */
int pm_event_text(const pm_event *e, const char *key, char *out, size_t size);
int pm_event_count(const pm_event *e, const char *key, uint64_t *out);
/** Is it this flag, true or false? */
int pm_event_says(const pm_event *e, const char *key, int flag);

/** A configuration that was refused, or with which a start or a reload failed; not a server that ended of itself. */
int pm_event_blames_configuration(const pm_event *e);
/** Did something change with it: what runs, what is on disk, whether it serves? The last such event is "Last change"
 *  wherever it is shown. A load that changed nothing is none, as logrotate's each night. */
int pm_event_is_change(const pm_event *e);
/** A load that changed nothing. */
int pm_event_changed_nothing(const pm_event *e);

/* ---- writing an event ---- */

/** An event in the making: begin, members in any order, end. What does not fit is left out whole: the data is then
 *  {"truncated":true}. */
#define PM_DRAFT_DATA 1024         /* of an event in a queue */
#define PM_DATA_CUT "{\"truncated\":true}"
typedef struct pm_draft {
    pm_event event;
    pm_json json;
    pm_bounded all;
    char own[PM_DRAFT_DATA];
} pm_draft;

/** Severity is the table's; the caller may set it in d->event. */
void pm_draft_begin(pm_draft *d, uint32_t type, uint64_t at_us);
/** With room for data elsewhere. */
void pm_draft_begin_in(pm_draft *d, uint32_t type, uint64_t at_us, char *data, size_t size);
/** NULL is null; an empty text, which is not known, is no member. */
void pm_draft_text(pm_draft *d, const char *key, const char *text);
void pm_draft_count(pm_draft *d, const char *key, uint64_t count);
void pm_draft_seconds(pm_draft *d, const char *key, uint64_t us);
void pm_draft_number(pm_draft *d, const char *key, double number);
void pm_draft_time(pm_draft *d, const char *key, uint64_t us);
void pm_draft_flag(pm_draft *d, const char *key, int flag);
void pm_draft_null(pm_draft *d, const char *key);
/** For a list or a structure: the writer, where its value is to come. */
pm_json *pm_draft_value(pm_draft *d, const char *key);
/** 1 while less than half of the room is used: more that is not needed may be told. */
int pm_draft_room(const pm_draft *d);

/** The data alone; a text is the caller's. Safe in a signal handler, as are pm_draft_count and pm_draft_text. */
const pm_event *pm_draft_close(pm_draft *d);
/** And its sentence; one that is too long ends with an ellipsis. The event lives as long as the draft. */
const pm_event *pm_draft_end(pm_draft *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
