/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * sketch.c: merging and estimating distinct-client sketches (HyperLogLog).
 *
 * The estimator is Ertl's "improved raw" one (2017, section 2, algorithm 6). His second correction, tau for
 * saturated registers, is left out: it matters near 2^64 clients only.
 */
#include <string.h>

#include "pm_sketch.h"

#define MAX_RANK (64 - PM_SKETCH_BITS + 1)
#define ALPHA_INFINITY 0.7213475204444817 /* 1 / (2 ln 2) */

/* Written so that compilers make vector instructions of it. */
void pm_sketch_merge(uint8_t *restrict into, const uint8_t *restrict from)
{
    for (uint32_t i = 0; i < PM_SKETCH_SIZE; i++) {
        into[i] = into[i] < from[i] ? from[i] : into[i];
    }
}

void pm_sketch_store(uint8_t stored[PM_SKETCH_STORED], const uint8_t *registers)
{
    for (uint32_t i = 0; i < PM_SKETCH_SIZE / 4; i++, registers += 4, stored += 3) {
        uint32_t four = 0;

        for (int k = 3; k >= 0; k--) {
            four = four << 6 | (registers[k] < 63u ? registers[k] : 63u);
        }
        stored[0] = (uint8_t)four;
        stored[1] = (uint8_t)(four >> 8);
        stored[2] = (uint8_t)(four >> 16);
    }
}

void pm_sketch_load(uint8_t *registers, const uint8_t stored[PM_SKETCH_STORED])
{
    for (uint32_t i = 0; i < PM_SKETCH_SIZE / 4; i++, registers += 4, stored += 3) {
        uint32_t four = (uint32_t)stored[0] | (uint32_t)stored[1] << 8 | (uint32_t)stored[2] << 16;

        for (int k = 0; k < 4; k++, four >>= 6) {
            registers[k] = four & 63u;
        }
    }
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

double pm_sketch_count(const uint8_t *registers)
{
    const double m = PM_SKETCH_SIZE;
    static const uint8_t none[8];
    uint32_t count[MAX_RANK + 1] = {0};
    double z = 0.0;
    double estimate;

    for (uint32_t i = 0; i < PM_SKETCH_SIZE; i += 8) {
        if (memcmp(&registers[i], none, 8) == 0) { /* most of them, of a few clients */
            count[0] += 8;
            continue;
        }
        for (uint32_t k = i; k < i + 8; k++) {
            count[registers[k] < MAX_RANK ? registers[k] : MAX_RANK]++;
        }
    }
    for (int k = MAX_RANK; k >= 1; k--) {
        z = 0.5 * (z + count[k]);
    }
    z += m * sigma(count[0] / m); /* infinite when all are empty: 0 clients */
    estimate = ALPHA_INFINITY * m * m / z;
    return estimate < PM_SKETCH_MAX ? estimate : PM_SKETCH_MAX;
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

double pm_sketch_share_error(double affected, double total)
{
    double share;

    if (!(affected > 0.0 && affected < total)) { /* NaN too */
        return 0.0;
    }
    share = affected / total;
    return PM_SKETCH_ERROR * share * 1.4142135623730951 * root(1.0 - share);
}
