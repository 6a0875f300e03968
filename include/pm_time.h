/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_time.h: points in time. Microseconds since 1970-01-01 UTC in uint64_t; 0 means unknown.
 */
#ifndef PM_TIME_H
#define PM_TIME_H

#include <stddef.h>
#include <stdint.h>

#define PM_SECOND 1000000ull
#define PM_TIME_MAX 253402300799999999ull /* the end of year 9999: RFC 3339 has four digits */

/** CLOCK_REALTIME and CLOCK_MONOTONIC in microseconds. */
uint64_t pm_time_now(void);
uint64_t pm_time_monotonic(void);

/** "2026-11-20T21:30:05.123Z" (25 bytes with the NUL); milliseconds are truncated, not rounded.
 *  A time past PM_TIME_MAX is shown as PM_TIME_MAX. */
#define PM_TIME_SIZE 32
const char *pm_time_format(uint64_t us, char out[PM_TIME_SIZE]);

/** RFC 3339 ("2026-11-20T21:30:05Z", fractions, numeric offsets, 't'/'z' and ' ' accepted),
 * "@SECONDS" (a fraction accepted), "now", or relative to `now_us`: "-15m", "-90s", "-2h", "-1d",
 * "+5s" (as pm_time_duration). 1 when it is one of those and lies in 0 .. PM_TIME_MAX; else 0 and
 * *out_us is as it was. */
int pm_time_parse(const char *text, uint64_t now_us, uint64_t *out_us);

/** A duration such as "250ms", "5s", "10m", "2h", "7d" or "90" (seconds) in microseconds. 1 if
 * valid; else 0 and *out_us is as it was. */
int pm_time_duration(const char *text, uint64_t *out_us);

/** "3 s", "2 min 5 s", "1 h 3 min", "4 d 2 h": for sentences. Below 10 s one decimal
 *  unless it is 0 ("1.5 s"), below 0.1 s "40 ms", below 1 ms "0 s". Cut off below the smaller unit,
 * so that no more is said than passed; it is left out when it is 0. */
const char *pm_time_span(uint64_t us, char out[PM_TIME_SIZE]);

#endif
