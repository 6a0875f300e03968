/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_heavy.h: heavy hitters: what failing requests have in common, counted exactly and in bounded memory.
 *
 * For each dimension a table in the live region: buckets of PM_HEAVY_WAYS slots, a slot for each virtual host and key.
 * A worker looks through one bucket, claims a free slot by compare-and-swap, writes the name and its checksum
 * last, and counts; no lock, no loop longer than a bucket. Counters only go up, also when a slot changes hands:
 * the recorder takes their differences each tick and credits whoever has the slot. It alone frees slots, the
 * lightest of a bucket that is nearly full, so that a heavy one always finds room (lossy counting). In a bucket that is half full
 * a newcomer must come a second time before it gets a slot, so that a flood of keys that never come again displaces nobody.
 * What has no slot is counted in the dimension's last slot, "(other)".
 *
 * Failures are always counted; requests that succeed only while an incident is open, and only where
 * something failed (clients and user agents: all). Thread- and process-safe; async-signal-safe.
 */
#ifndef PM_HEAVY_H
#define PM_HEAVY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pm_record.h"

struct pm_live;

enum pm_dimension {
    PM_BY_ROUTE,
    PM_BY_HOST,
    PM_BY_BACKEND,
    PM_BY_METHOD,
    PM_BY_AGENT, /* monitoring, or not */
    PM_BY_CLIENT,
    PM_BY_ERROR_LOG,
    PM_DIMENSIONS
};

#define PM_OTHER "(other)"
#define PM_MONITORING "monitoring" /* the key of health checkers and exporters */

#define PM_HEAVY_WAYS 16u
#define PM_HEAVY_LINES 256u /* signatures of the error log */
#define PM_HEAVY_SLOTS (1024u + 512u + 256u + 256u + 256u + 512u + PM_HEAVY_LINES)
#define PM_HEAVY_ALL (PM_HEAVY_SLOTS + PM_DIMENSIONS) /* with an "(other)" for each dimension */
#define PM_HEAVY_DOOR 8192u

/** A slot's counters; its name lies apart, as it is seldom looked at. */
typedef struct pm_heavy_slot {
    _Atomic uint64_t sum;              /* of the name, written last; 0 = being written */
    _Atomic uint32_t good;             /* requests that succeeded */
    _Atomic uint32_t errors;           /* error_log: lines */
    _Atomic uint32_t ways[PM_WAYS];    /* backends: how it failed */
    _Atomic uint32_t vhost;
    _Atomic uint32_t told_s; /* when it was last an event, seconds; 0 = never */
    _Atomic uint64_t group;  /* the same for one key in all virtual hosts */
    _Atomic uint64_t first_us;
} pm_heavy_slot;
_Static_assert(sizeof(pm_heavy_slot) == 64, "a line of its own");

typedef struct pm_heavy {
    _Alignas(64) _Atomic uint64_t id[PM_HEAVY_SLOTS]; /* 0 = free; a bucket is two cache lines */
    _Alignas(64) pm_heavy_slot slot[PM_HEAVY_ALL];
    char key[PM_HEAVY_SLOTS][PM_KEY];
    char line[PM_HEAVY_LINES][PM_KEY];     /* a masked example of each signature */
    _Atomic uint32_t door[PM_HEAVY_DOOR]; /* who came once */
} pm_heavy;

/** Where a dimension's slots begin; of PM_DIMENSIONS, where they end. */
uint32_t pm_heavy_first(enum pm_dimension d);

/** The slot of a key in a virtual host; PM_HEAVY_ALL when it has none. */
uint32_t pm_heavy_find(const struct pm_live *live, enum pm_dimension d, uint32_t vhost,
                       uint64_t group);
/** Likewise, but a slot is claimed for a new one. `key` and `line` (may be NULL) are clean text. Never fails: "(other)"
 *  when there is no room. */
uint32_t pm_heavy_claim(const struct pm_live *live, enum pm_dimension d, uint32_t vhost,
                        uint64_t group, const char *key, const char *line, uint64_t at_us);
/** Count one in a slot (PM_HEAVY_ALL: nowhere). failure: enum pm_failure. */
void pm_heavy_count(const struct pm_live *live, uint32_t slot, int failed, uint32_t failure);

/** 1 for one caller when the slot was not an event for `us`. */
int pm_heavy_due(const struct pm_live *live, uint32_t slot, uint64_t now, uint64_t us);
/** Failures, or lines, counted in the slot so far. */
uint32_t pm_heavy_errors(const struct pm_live *live, uint32_t slot);

/* ---- the recorder's side ---- */

typedef struct pm_hits {
    uint32_t good, errors;
    uint32_t ways[PM_WAYS];
} pm_hits;

/** What one tick brought. */
typedef struct pm_heavy_cell {
    uint64_t at_us; /* end of the tick */
    pm_hits hits;
} pm_heavy_cell;

#define PM_HEAVY_CELLS 64u /* ticks with something in them: an incident's beginning */

/** A slot as the recorder knows it: shared memory is asked for a name once. */
typedef struct pm_heavy_known {
    uint64_t id, group, first_us;
    uint64_t weight;
    uint32_t vhost, torn;
    uint32_t cells, pad; /* number of the next */
    pm_hits seen;        /* counters at the last tick */
    pm_hits total;       /* of whoever has the slot, since it has it */
    char key[PM_KEY];
    pm_heavy_cell cell[PM_HEAVY_CELLS];
} pm_heavy_known;

/** A signature that was seen once is not new, also after its slot went to another, and in a later run when an incident
 *  on record has it. */
typedef struct pm_heavy_memory {
    uint64_t id, first_us;
} pm_heavy_memory;
#define PM_HEAVY_MEMORY 4096u

typedef struct pm_heavy_ledger {
    uint64_t has[PM_HEAVY_SLOTS]; /* the id of who has each slot, 0 = free: what lies below is seldom touched */
    pm_heavy_known known[PM_HEAVY_ALL];
    char line[PM_HEAVY_LINES][PM_KEY];
    pm_heavy_memory memory[PM_HEAVY_MEMORY];
} pm_heavy_ledger;

/** An open incident's view of the slots: totals at its onset, when it was detected, and at its last failure. What a
 *  run before this one has put into its breakdown is carried over by name. */
typedef struct pm_heavy_marks {
    uint64_t since_us; /* requests that succeed are counted from here on; 0 = not yet */
    pm_hits onset[PM_HEAVY_ALL];
    pm_hits until[PM_HEAVY_ALL];
    uint32_t detected[PM_HEAVY_ALL]; /* errors */
    pm_tally carried[4][PM_TALLIES]; /* route, host, backend, error_log */
    pm_count carried_method[PM_COUNTS], carried_client[PM_COUNTS];
    uint64_t carried_requests, carried_monitoring;
} pm_heavy_marks;

#endif
