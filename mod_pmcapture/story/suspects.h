/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * suspects.h: what weighing and clearing share: suspects.c ranks candidates, suspect_figures.c finds those that are
 * figures, cleared.c says whom the figures clear and what nobody watched.
 */
#ifndef PM_SUSPECTS_H
#define PM_SUSPECTS_H

#include <apr_tables.h>

#include "story.h"

#define PM_MINUTE_US (60 * PM_SECOND)
#define PM_LEAST_HISTORY_US                                                                        \
    (5 * PM_SECOND) /* shorter says nothing; how long it was is always told */

typedef struct pm_candidate {
    int score;
    pm_cause cause;
} pm_candidate;

/** Append the candidates that are figures, of pm_candidate. */
void pm_add_figures(pm_telling *t, apr_array_header_t *found);

/** How what fails was served between something that happened and the onset. */
enum pm_served_since {
    PM_SERVED_UNKNOWN, /* nothing is said: too few requests, or those that fail are new ones */
    PM_SERVED_MAYBE, /* many were answered well; whether those that fail now were among them cannot be told */
    PM_SERVED_WELL /* those that fail now were, as good ones have become fewer by them */
};
typedef struct pm_since {
    enum pm_served_since served;
    uint64_t good, requests, us;
} pm_since;
pm_since pm_served_since(const pm_telling *t, uint64_t at_us);

/** Kept requests that went to the same backend as the first one that went to any. */
size_t pm_samples_to(const pm_telling *t, const char **backend);
/** Seconds of the incident in which requests could be answered, one at least. */
double pm_served_seconds(const pm_telling *t);
/** Requests per second over the rows from `from` to `until`; 0 when there are none. */
double pm_row_rate(const pm_telling *t, uint64_t from, uint64_t until);
/** Requests per second during the incident, on the whole server: what was usual is known of that alone. */
double pm_rate_during(const pm_telling *t);
/** That rate beside the usual ones. */
const char *pm_rates_text(const pm_telling *t, double during);

#endif
