/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_hist.h: the latency histogram.
 *
 * Log-linear buckets over microseconds: eight linear steps in each power of two, as HdrHistogram
 * does with three significant bits. A bucket's value (its middle) is within 1/16 = 6.25 % of every
 * duration that falls into it, from PM_HIST_MIN_US upwards. Below it everything is in bucket 0
 * (reported as its middle); above PM_HIST_MAX_US everything is in the last bucket.
 *
 * The functions are pure; the counts live wherever the caller has them (shared memory included).
 */
#ifndef PM_HIST_H
#define PM_HIST_H

#include <stdint.h>

#define PM_HIST_MIN_US 64u        /* 2^6: below 100 us */
#define PM_HIST_MAX_US 134217728u /* 2^27: above 100 s */
#define PM_HIST_BUCKETS 170       /* 0: < 64 us; 1..168: 21 octaves of 8; 169: >= 2^27 us */

/** The bucket of a duration, always in 0 .. PM_HIST_BUCKETS - 1. */
static inline uint32_t pm_hist_bucket(uint64_t us)
{
    if (us - PM_HIST_MIN_US >= PM_HIST_MAX_US - PM_HIST_MIN_US) {
        return us < PM_HIST_MIN_US ? 0 : PM_HIST_BUCKETS - 1;
    }
    uint32_t octave = 63u ^ (uint32_t)__builtin_clzll(us); /* 6 .. 26 */
    uint32_t top = (uint32_t)us >> (octave - 3u);          /* 8 .. 15 */
    return octave * 8u + top - (6u * 8u + 8u - 1u);
}

/** Lower bound (inclusive) and upper bound (exclusive) of a bucket in microseconds; the last one's
 *  upper bound is UINT64_MAX. An index out of range is taken as the last bucket. */
uint64_t pm_hist_lower(uint32_t bucket);
uint64_t pm_hist_upper(uint32_t bucket);

/** The middle of a bucket in microseconds: what a percentile reports. The last bucket has none: its
 *  lower bound stands for it, "at least 134 s". */
uint64_t pm_hist_middle(uint32_t bucket);

/** The q-quantile (0..1) of a histogram, as the middle of the bucket that holds it; 0 when it is
 *  empty: nearest rank, so that 1 is the longest and 0 the shortest. q outside 0..1 is taken as the
 * nearer end. `counts` has PM_HIST_BUCKETS elements. */
uint64_t pm_hist_quantile(const uint64_t *counts, double q);

/** Sum of the counts, at most UINT64_MAX. */
uint64_t pm_hist_total(const uint64_t *counts);

#endif
