/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * sketch.c: merging and estimating distinct-client sketches (HyperLogLog).
 *
 * The estimator is Ertl's "improved raw" one (2017, section 2, algorithm 6), in his names: C[k]
 * registers hold rank k, sigma corrects for the empty ones, tau for the saturated ones.
 */
#include "pm_sketch.h"

#define MAX_RANK (64 - PM_SKETCH_BITS + 1)
#define ALPHA_INFINITY 0.7213475204444817 /* 1 / (2 ln 2) */

void pm_sketch_merge(uint8_t *into, const uint8_t *from)
{
    for (uint32_t i = 0; i < PM_SKETCH_SIZE; i++) {
        uint8_t rank = __atomic_load_n(&from[i], __ATOMIC_RELAXED);

        if (into[i] < rank) {
            into[i] = rank;
        }
    }
}

/* Newton's square root of 0 < x <= 1, falling from 1: httpd does not load libm. */
static double root(double x)
{
    double r = 1.0;
    double next = 0.5 * (r + x);

    while (next < r) {
        r = next;
        next = 0.5 * (r + x / r);
    }
    return r;
}

/* x + sum of x^(2^k) * 2^(k-1), k = 1 ..; diverges at 1. */
static double sigma(double x)
{
    double y = 1.0;
    double z = x;
    double before;

    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (z > before);
    return z;
}

/* (1 - x - sum of (1 - x^(2^-k))^2 * 2^-k) / 3, k = 1 .. */
static double tau(double x)
{
    double y = 1.0;
    double z = 1.0 - x;
    double before;

    if (x <= 0.0 || x >= 1.0) {
        return 0.0;
    }
    do {
        x = root(x);
        before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
    } while (z < before);
    return z / 3.0;
}

double pm_sketch_count(const uint8_t *registers)
{
    const double m = PM_SKETCH_SIZE;
    uint32_t count[MAX_RANK + 1] = {0};
    double z, estimate;

    for (uint32_t i = 0; i < PM_SKETCH_SIZE; i++) {
        uint8_t rank = __atomic_load_n(&registers[i], __ATOMIC_RELAXED);

        count[rank < MAX_RANK ? rank : MAX_RANK]++;
    }
    if (count[0] == PM_SKETCH_SIZE) {
        return 0.0;
    }
    z = m * tau(1.0 - count[MAX_RANK] / m);
    for (int k = MAX_RANK - 1; k >= 1; k--) {
        z = 0.5 * (z + count[k]);
    }
    z += m * sigma(count[0] / m);
    estimate = ALPHA_INFINITY * m * m / z;
    return estimate < PM_SKETCH_MAX ? estimate : PM_SKETCH_MAX; /* z is 0 when all are saturated */
}

double pm_sketch_share_error(double affected, double total)
{
    double share;

    if (!(affected > 0.0 && affected < total)) { /* NaN too */
        return 0.0;
    }
    share = affected / total;
    return PM_SKETCH_ERROR * share * 1.4142135623730951 * root(1.0 - share);
}
