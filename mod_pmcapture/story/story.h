/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * story.h: what the parts of the story share: story.c tells what happened, suspects.c weighs why, cleared.c says why not.
 */
#ifndef PM_STORY_PRIVATE_H
#define PM_STORY_PRIVATE_H

#include "pm_story.h"
#include "pm_time.h"

#define PM_HOUR_US PM_STORY_EVENTS_US

/** One incident's story while it is being told. */
typedef struct pm_telling {
    const pm_model *m;
    const pm_incident *i;
    pm_case *c;
    apr_pool_t *pool;
    uint64_t until_us; /* pm_story_until */
} pm_telling;

/** Indexes first .. last - 1. Both lists are in order of time, and a full history is long. */
typedef struct pm_slice {
    size_t first, last;
} pm_slice;

/** Events with from <= at <= until. */
pm_slice pm_story_events(const pm_telling *t, uint64_t from_us, uint64_t until_us);
/** Rows that start in from <= at < until. */
pm_slice pm_story_rows(const pm_telling *t, uint64_t from_us, uint64_t until_us);
/** And the one before them, when it reaches into from. */
pm_slice pm_story_rows_over(const pm_telling *t, uint64_t from_us, uint64_t until_us);

/** Fill c->causes: what stands nearest to the onset, with evidence. */
void pm_tell_causes(pm_telling *t);
/** Fill c->cleared: suspects that the figures clear; and c->unwatched: those of which nothing can be said. */
void pm_tell_cleared(pm_telling *t);

/** 1 while the file that this dependency.missing names had not come back by `by_us`. */
int pm_story_still_missing(const pm_model *m, const pm_event *missing, uint64_t by_us);

/** "12 s before the onset", "3.0 s after the onset". */
const char *pm_story_nearness(const pm_telling *t, uint64_t at_us);

static inline uint64_t pm_story_back(uint64_t at_us, uint64_t us)
{
    return at_us > us ? at_us - us : 0;
}

#endif
