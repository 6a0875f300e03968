/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * hist.c: bounds and quantiles of the latency histogram.
 */
#include "pm_hist.h"

#define FIRST_OCTAVE 6u /* PM_HIST_MIN_US is 2^6 */
#define STEPS 8u
#define LAST (PM_HIST_BUCKETS - 1u)

_Static_assert(PM_HIST_MIN_US == 1u << FIRST_OCTAVE, "the first octave begins at PM_HIST_MIN_US");
_Static_assert(PM_HIST_MAX_US == 1u << (FIRST_OCTAVE + (PM_HIST_BUCKETS - 2) / STEPS),
               "the last octave ends at PM_HIST_MAX_US");

uint64_t pm_hist_lower(uint32_t bucket)
{
    if (bucket == 0) {
        return 0;
    }
    if (bucket >= LAST) {
        return PM_HIST_MAX_US;
    }
    /* An octave's eight steps are 8 .. 15 eighths of its power of two. */
    return (uint64_t)(STEPS + (bucket - 1) % STEPS) << ((bucket - 1) / STEPS + FIRST_OCTAVE - 3);
}

uint64_t pm_hist_upper(uint32_t bucket)
{
    return bucket >= LAST ? UINT64_MAX : pm_hist_lower(bucket + 1);
}

uint64_t pm_hist_middle(uint32_t bucket)
{
    uint64_t lower = pm_hist_lower(bucket);

    return bucket >= LAST ? lower : lower + (pm_hist_upper(bucket) - lower) / 2;
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

uint64_t pm_hist_total(const uint64_t *counts)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < PM_HIST_BUCKETS; i++) {
        total = add_saturating(total, counts[i]);
    }
    return total;
}

/* The nearest rank, 1 .. total: the smallest number of values that is at least the share q. */
static uint64_t nearest_rank(uint64_t total, double q)
{
    double exact = q * (double)total;
    uint64_t rank;

    if (!(exact > 1.0)) { /* NaN too */
        return 1;
    }
    if (exact >= (double)total) {
        return total;
    }
    rank = (uint64_t)exact;
    return (double)rank < exact ? rank + 1 : rank;
}

uint64_t pm_hist_quantile(const uint64_t *counts, double q)
{
    uint64_t total = pm_hist_total(counts);
    uint64_t rank = nearest_rank(total, q);
    uint64_t seen = 0;

    if (total == 0) {
        return 0;
    }
    for (uint32_t i = 0; i < LAST; i++) {
        seen = add_saturating(seen, counts[i]);
        if (seen >= rank) {
            return pm_hist_middle(i);
        }
    }
    return pm_hist_middle(LAST);
}
