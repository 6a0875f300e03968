/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_story.h: what an incident's figures and the events around it say, as a person would tell it.
 *
 * Changes, timeline, candidate causes, suspects that are cleared and that nobody watched, all computed from the model, never stored. It
 * says what was seen and how much history stands behind it; a suspect is cleared only by evidence, and a
 * candidate is a coincidence with evidence, not a verdict. The rules are tables in suspects.c and cleared.c.
 */
#ifndef PM_STORY_H
#define PM_STORY_H

#include "pm_model.h"

/** Fill c->changes, causes, cleared, unwatched and timeline from c->incident, c->samples and the model's events
 *  and rows, whatever part of them was asked for. Of the events that are kept there must be: those since
 *  PM_STORY_EVENTS_US before the onset; the oldest, as history is judged by it; all of missing and changed
 *  dependencies and all notes, as they count however far back they lie. Of the rows: those since two minutes before
 *  the onset, and the newest before them. Results live in `pool` and point into the model. */
#define PM_STORY_EVENTS_US 3600000000ull /* an hour */
void pm_story_tell(pm_model *m, pm_case *c, apr_pool_t *pool);

/** The incident's end, or how far the record reaches while it is open: the last heartbeat, so that the
 *  answer depends on what is recorded and not on when it is read; now when nothing serves. */
uint64_t pm_story_until(const pm_model *m, const pm_incident *i);

/** One sentence with the incident's figures: "45 of 60 requests (75 %) failed in 12.3 s". */
#define PM_STORY_HEADLINE 512
const char *pm_story_headline(const pm_model *m, const pm_incident *i, char out[PM_STORY_HEADLINE]);

/** What happens to the requests that an incident counts as errors: "failed", "were refused", "were redirected", "failed or
 *  were refused". */
const char *pm_story_verb(uint32_t kinds);

/** For how long nothing has failed (or was slow) in an incident that is open on a server that runs, by its last heartbeat,
 *  and what to say of it: "nothing has failed for 12 s (closes after 1 min)". 0 and "" when that is not worth saying. */
#define PM_STORY_QUIET 160
uint64_t pm_story_quiet(const pm_model *m, const pm_incident *i, char out[PM_STORY_QUIET]);

/** What it is: "503 errors and slow requests on api.example:80". */
const char *pm_story_title(const pm_incident *i, char out[PM_STORY_HEADLINE]);

/** A row of an incident's impact, for a table: what it is, the figure in words, the fields of the document that it is of.
 *  With a time the figure holds at that time, or is empty: the time alone, which the reader shows in a zone. */
typedef struct pm_impact {
    const char *what, *figure, *field;
    uint64_t at_us;                /* 0 = none */
} pm_impact;
typedef void (*pm_impact_row)(void *ctx, const pm_impact *row);
void pm_story_impact(const pm_model *m, const pm_case *c, pm_impact_row put, void *ctx);

/** "75 %", "0.4 %"; never "100 %" of less than all, nor "0 %" of something; "-" of nothing. */
#define PM_STORY_PERCENT 16
const char *pm_story_percent(uint64_t part, uint64_t whole, char out[PM_STORY_PERCENT]);

/** "216 us", "1.9 ms", "45 ms"; from a second on as pm_time_span. The sign is a micro sign. */
#define PM_STORY_LATENCY 32
const char *pm_story_latency(uint64_t us, char out[PM_STORY_LATENCY]);

/** "62.5", "0.04": of something a second; never "0.0" of something. */
#define PM_STORY_RATE 32
const char *pm_story_rate(double rate, char out[PM_STORY_RATE]);

/** The n-th kind of candidates that are figures, and the n-th suspect that may be cleared; NULL after the last. */
const char *pm_story_figure_kind(size_t n);
const char *pm_story_hypothesis(size_t n);

#endif
