/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * evidence.c: what is on record around an incident, found and put into words for all parts of its story.
 */
#include "story.h"

#include <string.h>

#include <apr_strings.h>

#include "pm_check.h"
#include "suspects.h"

const char *pm_story_nearness(const pm_telling *t, uint64_t at_us)
{
    char span[PM_TIME_SIZE];
    uint64_t onset = t->i->onset_us;

    if (at_us / 1000 == onset / 1000) {
        return "at the onset";
    }
    return apr_psprintf(t->pool, "%s %s the onset",
                        pm_time_span(at_us > onset ? at_us - onset : onset - at_us, span),
                        at_us > onset ? "after" : "before");
}

static size_t first_event(const pm_model *m, uint64_t at_us)
{
    size_t low = 0, high = m->event_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->events[middle].at_us < at_us) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

static size_t first_row(const pm_model *m, uint64_t at_us)
{
    size_t low = 0, high = m->row_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->rows[middle].at_us < at_us) {
            low = middle + 1;
        }
        else {
            high = middle;
        }
    }
    return low;
}

pm_slice pm_story_events(const pm_telling *t, uint64_t from_us, uint64_t until_us)
{
    PM_CHECK(from_us <= until_us);
    return (pm_slice){first_event(t->m, from_us), first_event(t->m, until_us + 1)};
}

pm_slice pm_story_rows(const pm_telling *t, uint64_t from_us, uint64_t until_us)
{
    return (pm_slice){first_row(t->m, from_us), first_row(t->m, until_us)};
}

pm_slice pm_story_rows_over(const pm_telling *t, uint64_t from_us, uint64_t until_us)
{
    pm_slice s = pm_story_rows(t, from_us, until_us);
    const pm_row *rows = t->m->rows;

    if (s.first && rows[s.first - 1].at_us + rows[s.first - 1].span_us > from_us) {
        s.first--;
    }
    return s;
}

int pm_story_still_missing(const pm_model *m, const pm_event *missing, uint64_t by_us)
{
    pm_json_value path = pm_event_value(missing, "path");

    for (size_t n = 0; n < m->event_count; n++) {
        const pm_event *e = &m->events[n];

        if (e->type == PM_EV_DEPENDENCY_CHANGED && e->at_us >= missing->at_us && e->at_us < by_us &&
            e->seq > missing->seq && pm_json_same(pm_event_value(e, "path"), path)) {
            return 0;
        }
    }
    return 1;
}
