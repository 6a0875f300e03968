/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * time.c: points in time and durations, to and from text.
 *
 * The calendar is computed here because gmtime_r() takes a lock of the C library, and this runs in
 * processes that fork and in handlers of signals.
 */
#include "pm_time.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MINUTE 60ull
#define HOUR 3600ull
#define DAY 86400ull

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts = {0, 0};

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * PM_SECOND + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t pm_time_now(void)
{
    return clock_us(CLOCK_REALTIME);
}

uint64_t pm_time_monotonic(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

/* Gregorian calendar in eras of 400 years that begin on 1 March of a year divisible by 400, so that
 * the leap day is the last of its year (Hinnant, "chrono-compatible low-level date algorithms"). */
#define ERA_DAYS 146097u
#define EPOCH_DAYS 719468u /* 0000-03-01 to 1970-01-01 */

typedef struct date {
    uint32_t year, month, day;
} date;

static date date_of_days(uint64_t days_since_1970)
{
    uint64_t days = days_since_1970 + EPOCH_DAYS;
    uint32_t era = (uint32_t)(days / ERA_DAYS);
    uint32_t doe = (uint32_t)(days % ERA_DAYS);
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t month = (5 * doy + 2) / 153; /* 0 = March */

    return (date){.year = era * 400 + yoe + (month >= 10),
                  .month = month < 10 ? month + 3 : month - 9,
                  .day = doy - (153 * month + 2) / 5 + 1};
}

/* Only for years from 1970. */
static uint64_t days_of_date(date d)
{
    uint32_t year = d.year - (d.month <= 2);
    uint32_t yoe = year % 400;
    uint32_t doy = (153 * (d.month > 2 ? d.month - 3 : d.month + 9) + 2) / 5 + d.day - 1;

    return (uint64_t)(year / 400) * ERA_DAYS + yoe * 365 + yoe / 4 - yoe / 100 + doy - EPOCH_DAYS;
}

static uint32_t days_in_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Not by printf: a document has a time in each of its lines. */
static void put_digits(char *to, uint32_t value, int digits)
{
    while (digits-- > 0) {
        to[digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

const char *pm_time_format(uint64_t us, char out[PM_TIME_SIZE])
{
    uint64_t t = us < PM_TIME_MAX ? us : PM_TIME_MAX;
    uint32_t second = (uint32_t)(t / PM_SECOND % DAY);
    date d = date_of_days(t / PM_SECOND / DAY);

    memcpy(out, "0000-00-00T00:00:00.000Z", sizeof("0000-00-00T00:00:00.000Z"));
    put_digits(out, d.year, 4);
    put_digits(out + 5, d.month, 2);
    put_digits(out + 8, d.day, 2);
    put_digits(out + 11, second / 3600, 2);
    put_digits(out + 14, second / 60 % 60, 2);
    put_digits(out + 17, second % 60, 2);
    put_digits(out + 20, (uint32_t)(t % PM_SECOND / 1000), 3);
    return out;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly `width` digits at *s, which moves past them. */
static int fixed(const char **s, int width, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < width; i++, (*s)++) {
        if (!is_digit(**s)) {
            return 0;
        }
        *value = *value * 10 + (uint32_t)(**s - '0');
    }
    return 1;
}

static int literal(const char **s, const char *one_of)
{
    if (**s == '\0' || strchr(one_of, **s) == NULL) {
        return 0;
    }
    (*s)++;
    return 1;
}

/* One digit or more. */
static int number(const char **s, uint64_t *value)
{
    const char *start = *s;

    for (*value = 0; is_digit(**s); (*s)++) {
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(**s - '0'), value)) {
            return 0;
        }
    }
    return *s > start;
}

/* An optional fraction of a second in microseconds; what is finer is dropped. */
static int fraction(const char **s, uint64_t *us)
{
    uint64_t unit = PM_SECOND / 10;

    *us = 0;
    if (!literal(s, ".")) {
        return 1;
    }
    if (!is_digit(**s)) {
        return 0;
    }
    for (; is_digit(**s); (*s)++, unit /= 10) {
        *us += (uint64_t)(**s - '0') * unit;
    }
    return 1;
}

/* "Z" or "+hh:mm": what has to be subtracted to reach UTC, in seconds. */
static int offset(const char **s, int64_t *seconds)
{
    int sign = **s == '-' ? -1 : 1;
    uint32_t hour, minute;

    *seconds = 0;
    if (literal(s, "Zz")) {
        return 1;
    }
    if (!literal(s, "+-") || !fixed(s, 2, &hour) || !literal(s, ":") || !fixed(s, 2, &minute) ||
        hour > 23 || minute > 59) {
        return 0;
    }
    *seconds = sign * (int64_t)(hour * HOUR + minute * MINUTE);
    return 1;
}

static int parse_rfc3339(const char *s, uint64_t *out_us)
{
    date d;
    uint32_t hour, minute, second;
    uint64_t us;
    int64_t shift, at;

    if (!fixed(&s, 4, &d.year) || !literal(&s, "-") || !fixed(&s, 2, &d.month) ||
        !literal(&s, "-") || !fixed(&s, 2, &d.day) || !literal(&s, "Tt ") || !fixed(&s, 2, &hour) ||
        !literal(&s, ":") || !fixed(&s, 2, &minute) || !literal(&s, ":") ||
        !fixed(&s, 2, &second) || !fraction(&s, &us) || !offset(&s, &shift) || *s != '\0') {
        return 0;
    }
    if (d.year < 1970 || d.month < 1 || d.month > 12 || d.day < 1 ||
        d.day > days_in_month(d.year, d.month) || hour > 23 || minute > 59 || second > 60) {
        return 0;
    }
    at = (int64_t)(days_of_date(d) * DAY + hour * HOUR + minute * MINUTE + second) - shift;
    /* A leap second exists only as 23:59:60 UTC; it is taken as the midnight after it. */
    if (at < 0 || (second == 60 && at % (int64_t)DAY != 0)) {
        return 0;
    }
    *out_us = (uint64_t)at * PM_SECOND + us;
    return *out_us <= PM_TIME_MAX;
}

static int parse_epoch(const char *s, uint64_t *out_us)
{
    uint64_t seconds, us;

    if (!number(&s, &seconds) || !fraction(&s, &us) || *s != '\0' ||
        seconds > PM_TIME_MAX / PM_SECOND) {
        return 0;
    }
    *out_us = seconds * PM_SECOND + us;
    return 1;
}

static int parse_relative(const char *s, uint64_t now_us, uint64_t *out_us)
{
    uint64_t away;

    if (!pm_time_duration(s + 1, &away)) {
        return 0;
    }
    if (*s == '-') {
        *out_us = now_us - away;
        return away <= now_us;
    }
    return !__builtin_add_overflow(now_us, away, out_us) && *out_us <= PM_TIME_MAX;
}

int pm_time_parse(const char *text, uint64_t now_us, uint64_t *out_us)
{
    uint64_t us;
    int ok;

    if (strcmp(text, "now") == 0) {
        us = now_us;
        ok = 1;
    }
    else if (text[0] == '@') {
        ok = parse_epoch(text + 1, &us);
    }
    else if (text[0] == '-' || text[0] == '+') {
        ok = parse_relative(text, now_us, &us);
    }
    else {
        ok = parse_rfc3339(text, &us);
    }
    if (ok) {
        *out_us = us;
    }
    return ok;
}

int pm_time_duration(const char *text, uint64_t *out_us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"", PM_SECOND},         {"ms", 1000},
                 {"s", PM_SECOND},        {"m", MINUTE * PM_SECOND},
                 {"h", HOUR * PM_SECOND}, {"d", DAY * PM_SECOND}};
    uint64_t value;

    if (!number(&text, &value)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text, units[i].name) == 0) {
            if (__builtin_mul_overflow(value, units[i].us, &value)) {
                return 0;
            }
            *out_us = value;
            return 1;
        }
    }
    return 0;
}

/* "2 min 5 s"; the smaller part is left out when it is 0. */
static void two_units(char out[PM_TIME_SIZE], uint64_t large, const char *large_unit,
                      uint64_t small, const char *small_unit)
{
    if (small == 0) {
        snprintf(out, PM_TIME_SIZE, "%" PRIu64 " %s", large, large_unit);
    }
    else {
        snprintf(out, PM_TIME_SIZE, "%" PRIu64 " %s %" PRIu64 " %s", large, large_unit, small,
                 small_unit);
    }
}

const char *pm_time_span(uint64_t us, char out[PM_TIME_SIZE])
{
    uint64_t tenths = us / 100000, seconds = us / PM_SECOND;

    if (us < 1000) {
        snprintf(out, PM_TIME_SIZE, "0 s");
    }
    else if (us < 100000) {
        snprintf(out, PM_TIME_SIZE, "%u ms", (unsigned)(us / 1000));
    }
    else if (tenths < 100 && tenths % 10 != 0) {
        snprintf(out, PM_TIME_SIZE, "%u.%u s", (unsigned)(tenths / 10), (unsigned)(tenths % 10));
    }
    else if (seconds < MINUTE) {
        snprintf(out, PM_TIME_SIZE, "%u s", (unsigned)seconds);
    }
    else if (seconds < HOUR) {
        two_units(out, seconds / 60, "min", seconds % 60, "s");
    }
    else if (seconds < DAY) {
        two_units(out, seconds / HOUR, "h", seconds % HOUR / 60, "min");
    }
    else {
        two_units(out, seconds / DAY, "d", seconds % DAY / HOUR, "h");
    }
    return out;
}
