/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_estimates.h: how far an incident's figures may be off.
 *
 * An incident begins and ends within a second, and what was counted in such a second cannot be split by time: a
 * request that succeeded, and a client that met no error, came inside or outside. The figures divide both seconds by
 * proportion; the bounds cover both extremes. They are wide where an incident is short or traffic changed with its
 * onset. Of clients the sketch's own error is added. Failures are exact: none lies outside.
 */
#ifndef PM_ESTIMATES_H
#define PM_ESTIMATES_H

#include "pm_record.h"

/** By how much clients, error_clients and their quotient may be off: each true value lies within figure +- error. */
typedef struct pm_estimates {
    double total, affected, affected_ratio;
} pm_estimates;
void pm_clients_estimates(const pm_incident *in, pm_estimates *out);

/** Least and most of what may be true; most UINT64_MAX = no bound is known. */
typedef struct pm_bounds {
    uint64_t least, most;
} pm_bounds;
pm_bounds pm_requests_bounds(const pm_incident *in);
/** The sketch's error included. */
pm_bounds pm_clients_bounds(const pm_incident *in);

/** For sentences: "45 of 60 requests (75 %)", "45 of about 6012 requests (0.7 %)", "45 of 60 to 90 requests (50 to 75 %)",
 *  "45 of at least 60 requests". */
#define PM_ESTIMATE_WORDS 128
/** "60", "about 6012", "60 to 90", "at least 60". */
const char *pm_requests_count(const pm_incident *in, char out[PM_ESTIMATE_WORDS]);
/** "75 %", "50 to 75 %", "at most 75 %". */
const char *pm_requests_share(const pm_incident *in, uint64_t part, char out[PM_ESTIMATE_WORDS]);
const char *pm_requests_words(const pm_incident *in, uint64_t part, char out[PM_ESTIMATE_WORDS]);
/** "about 12 of 40 to 60 clients (20 to 30 %)"; "" when nobody knows. */
const char *pm_clients_words(const pm_incident *in, char out[PM_ESTIMATE_WORDS]);

#endif
