/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_sketch.h: how many distinct clients (HyperLogLog).
 *
 * 2^PM_SKETCH_BITS one-byte registers, a 64-bit hash. Estimator: Ertl, "New cardinality estimation
 * algorithms for HyperLogLog sketches" (2017), section 2 (the "improved raw" estimator), unbiased
 * from 0 upwards without a table. Its standard error is 1.04 / sqrt(2^13) = 1.15 %, and 0.8 % of up to some
 * 5,000. What is stated, here and beside each estimate, is PM_SKETCH_ERROR, three times the former: one estimate in
 * 370 is off by more, and of those that are small enough one in 10,000.
 * Two clients that meet in one register count as one: of a few clients (n) the estimate is one too low with a chance
 * of about n^2 / 16384. From PM_SKETCH_EXACT on that is one in 300 and more, so at least 1 is stated; else it is exact
 * when rounded.
 * Merging is the register-wise maximum, so the union of seconds is the count of a window.
 */
#ifndef PM_SKETCH_H
#define PM_SKETCH_H

#include <stdatomic.h>
#include <stdint.h>

#define PM_SKETCH_BITS 13
#define PM_SKETCH_SIZE (1u << PM_SKETCH_BITS) /* registers = bytes */
#define PM_SKETCH_ERROR 0.035                 /* stated: three times the relative standard error */
#define PM_SKETCH_EXACT 8                     /* fewer clients are counted exactly */
#define PM_SKETCH_MAX 4e9 /* no estimate is higher: it fits a uint32_t and is never UINT32_MAX */

/** Add a hash to a sketch in shared memory. Thread- and process-safe; usually one load. */
static inline void pm_sketch_add(_Atomic uint8_t *registers, uint64_t hash)
{
    _Atomic uint8_t *reg = &registers[hash & (PM_SKETCH_SIZE - 1)];
    uint64_t rest = (hash >> PM_SKETCH_BITS) | (1ull << (64 - PM_SKETCH_BITS));
    uint8_t rank = (uint8_t)(__builtin_ctzll(rest) + 1); /* 1 .. 52 */
    uint8_t seen = atomic_load_explicit(reg, memory_order_relaxed);

    while (seen < rank && !atomic_compare_exchange_weak_explicit(
                              reg, &seen, rank, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/** into = max(into, from), register by register. Both are private: what others write to is copied first. */
void pm_sketch_merge(uint8_t *restrict into, const uint8_t *restrict from);

/** Registers as they are stored: six bits each. A register beyond the possible rank stays beyond it. */
#define PM_SKETCH_STORED (PM_SKETCH_SIZE / 4 * 3)
void pm_sketch_store(uint8_t stored[PM_SKETCH_STORED], const uint8_t *registers);
void pm_sketch_load(uint8_t *registers, const uint8_t stored[PM_SKETCH_STORED]);

/** Estimated number of distinct hashes. Registers beyond the possible rank (damaged memory) are
 *  taken as the highest possible one. 0 .. PM_SKETCH_MAX, never NaN. */
double pm_sketch_count(const uint8_t *registers);

/** Stated error of a rounded estimate: 0 of fewer than PM_SKETCH_EXACT. */
static inline double pm_sketch_error(double clients)
{
    double error = PM_SKETCH_ERROR * clients;

    return clients < PM_SKETCH_EXACT - 0.5 ? 0 : error < 1 ? 1 : error;
}

/** Stated error (three times the standard error) of the share p = affected / total, 0..1, both estimates
 * from sketches over the same hash, affected a subset of total: PM_SKETCH_ERROR * p * sqrt(2 * (1 - p)).
 * Both have the relative error e, but not independently. A register is the first of exponential arrivals: rate A
 * for affected, T for total, T's the earlier of A's and the others'. So cov = 1/T^2 and the
 *  correlation is (1/T^2) / (1/A * 1/T) = A/T = p; the variance of the quotient is p^2 (e^2 + e^2 -
 * 2 p e^2). It vanishes at p = 1, where the two sketches are the same one. 0 when total or affected
 * is 0. */
double pm_sketch_share_error(double affected, double total);

#endif
