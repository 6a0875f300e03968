/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_time.c: points in time and durations, to and from text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "pm_time.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW (1795210205ull * PM_SECOND + 123456) /* 2026-11-20T21:30:05.123456Z */

static void times_are_shown_as_rfc_3339_in_utc(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {999, "1970-01-01T00:00:00.000Z"},
        {1999, "1970-01-01T00:00:00.001Z"}, /* truncated */
        {NOW, "2026-11-20T21:30:05.123Z"},
        {951782399999999, "2000-02-28T23:59:59.999Z"},
        {951782400000000, "2000-02-29T00:00:00.000Z"}, /* a leap year by 400 */
        {1709164800000000, "2024-02-29T00:00:00.000Z"},
        {4107542400000000, "2100-03-01T00:00:00.000Z"}, /* none by 100 */
        {4107542399999999, "2100-02-28T23:59:59.999Z"},
        {1735689599999999, "2024-12-31T23:59:59.999Z"},
        {PM_TIME_MAX, "9999-12-31T23:59:59.999Z"},
        {PM_TIME_MAX + 1, "9999-12-31T23:59:59.999Z"},
        {UINT64_MAX, "9999-12-31T23:59:59.999Z"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[PM_TIME_SIZE];

        assert_true(pm_time_format(cases[i].us, out) == out);
        assert_string_equal(out, cases[i].text);
    }
}

static void every_day_until_the_year_9999_agrees_with_the_c_library(void **state)
{
    (void)state;
    for (time_t t = 86399; (uint64_t)t <= PM_TIME_MAX / PM_SECOND; t += 86400) {
        char out[PM_TIME_SIZE], expected[PM_TIME_SIZE];
        uint64_t back;
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
        assert_string_equal(pm_time_format((uint64_t)t * PM_SECOND, out), expected);
        assert_true(pm_time_parse(out, 0, &back));
        assert_int_equal(back, (uint64_t)t * PM_SECOND);
    }
}

static void what_is_shown_reads_back_to_the_millisecond(void **state)
{
    uint64_t seed = 5;

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t us = splitmix_next(&seed) % (PM_TIME_MAX + 1), back;
        char out[PM_TIME_SIZE];

        assert_true(pm_time_parse(pm_time_format(us, out), 0, &back));
        assert_int_equal(back, us - us % 1000);
    }
}

static void times_are_read_in_every_form(void **state)
{
    static const struct {
        const char *text;
        uint64_t us;
    } cases[] = {
        {"now", NOW},
        {"2026-11-20T21:30:05Z", NOW - 123456},
        {"2026-11-20t21:30:05z", NOW - 123456},
        {"2026-11-20 21:30:05Z", NOW - 123456},
        {"2026-11-20T21:30:05.123456Z", NOW},
        {"2026-11-20T21:30:05.123456999Z", NOW}, /* what is finer is dropped */
        {"2026-11-20T21:30:05.1Z", NOW - 23456},
        {"2026-11-20T22:30:05.123456+01:00", NOW},
        {"2026-11-21T03:15:05.123456+05:45", NOW},
        {"2026-11-20T14:30:05.123456-07:00", NOW},
        {"2026-11-20T21:30:05.123456-00:00", NOW},
        {"2026-11-21T21:29:05.123456+23:59", NOW},
        {"2024-02-29T00:00:00Z", 1709164800 * PM_SECOND},
        {"2024-03-01T00:30:00+01:00", 1709249400 * PM_SECOND}, /* 29 February in UTC */
        {"2000-02-29T00:00:00Z", 951782400 * PM_SECOND},
        {"2016-12-31T23:59:60Z", 1483228800 * PM_SECOND}, /* a leap second */
        {"2017-01-01T00:59:60+01:00", 1483228800 * PM_SECOND},
        {"1970-01-01T00:00:00Z", 0},
        {"9999-12-31T23:59:59.999999Z", PM_TIME_MAX},
        {"@0", 0},
        {"@1795210205", NOW - 123456},
        {"@1795210205.123456", NOW},
        {"@253402300799.999999", PM_TIME_MAX},
        {"-15m", NOW - 900 * PM_SECOND},
        {"-90s", NOW - 90 * PM_SECOND},
        {"-90", NOW - 90 * PM_SECOND},
        {"-250ms", NOW - 250000},
        {"-2h", NOW - 7200 * PM_SECOND},
        {"-1d", NOW - 86400 * PM_SECOND},
        {"+5s", NOW + 5 * PM_SECOND},
        {"+0s", NOW},
        {"-1795210205s", 123456},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint64_t us = 1;

        if (!pm_time_parse(cases[i].text, NOW, &us) || us != cases[i].us) {
            fail_msg("%s was read as %lu", cases[i].text, (unsigned long)us);
        }
    }
}

static void what_is_no_time_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "now ",
        " now",
        "NOW",
        "today",
        "yesterday",
        "@",
        "@-1",
        "@1.",
        "@1x",
        "@ 1",
        "@.5",
        "@253402300800",         /* the year 10000 */
        "@18446744073709551616", /* 2^64 */
        "@99999999999999999999999999999",
        "-",
        "+",
        "--1s",
        "-+1s",
        "- 1s",
        "-1x",
        "-1.5s",
        "-s",
        "-15M",
        "-15 m",
        "-15m ",
        "-1795210206s", /* before 1970 */
        "-99999999999999999999s",
        "-213503982335d",
        "+213503982335d",
        "+18446744073709551615ms",
        "+9999999d", /* beyond the year 9999 */
        "2026-11-20",
        "2026-11-20T21:30Z",
        "2026-11-20T21:30:05",
        "2026-11-20T21:30:05 Z",
        "2026-11-20T21:30:05Z ",
        " 2026-11-20T21:30:05Z",
        "2026-11-20T21:30:05Zx",
        "2026-11-20_21:30:05Z",
        "2026/11/20T21:30:05Z",
        "2026-11-20T21:30:05.Z",
        "2026-11-20T21:30:05,5Z",
        "2026-11-20T21:30:05+0100",
        "2026-11-20T21:30:05+01",
        "2026-11-20T21:30:05+24:00",
        "2026-11-20T21:30:05+01:60",
        "2026-11-20T21:30:05 01:00",
        "2026-00-20T21:30:05Z",
        "2026-13-20T21:30:05Z",
        "2026-11-00T21:30:05Z",
        "2026-11-31T21:30:05Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T21:60:05Z",
        "2026-11-20T21:30:61Z",
        "2026-11-20T21:30:60Z", /* a leap second only before midnight UTC */
        "2016-12-31T23:59:60+01:00",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "1970-01-01T00:30:00+01:00", /* 1969 in UTC */
        "9999-12-31T23:59:59-00:01", /* 10000 in UTC */
        "9999-12-31T23:59:60Z",
        "10000-01-01T00:00:00Z",
        "226-11-20T21:30:05Z",
        "-026-11-20T21:30:05Z",
        "2026-1-20T21:30:05Z",
        "2026-11-20T21:30:5Z",
        "20261120T213005Z",
        "\uFF12026-11-20T21:30:05Z",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t us = 42;

        if (pm_time_parse(bad[i], NOW, &us) || us != 42) {
            fail_msg("\"%s\" was read as %lu", bad[i], (unsigned long)us);
        }
    }
}

static void a_month_has_its_days_and_no_more(void **state)
{
    static const int years[] = {1970, 2000, 2023, 2024, 2100, 9999};

    (void)state;
    for (size_t i = 0; i < COUNT(years); i++) {
        for (int month = 0; month <= 13; month++) {
            for (int day = 0; day <= 32; day++) {
                struct tm tm = {.tm_year = years[i] - 1900, .tm_mon = month - 1, .tm_mday = day};
                char text[PM_TIME_SIZE];
                uint64_t us;
                int exists;

                snprintf(text, sizeof(text), "%d-%02d-%02dT00:00:00Z", years[i], month, day);
                timegm(&tm); /* carries over what does not exist */
                exists =
                    tm.tm_year == years[i] - 1900 && tm.tm_mon == month - 1 && tm.tm_mday == day;
                assert_int_equal(pm_time_parse(text, NOW, &us), exists);
            }
        }
    }
}

static void a_relative_time_stays_between_1970_and_9999(void **state)
{
    uint64_t us = 1;

    (void)state;
    assert_true(pm_time_parse("-5s", 5 * PM_SECOND, &us));
    assert_int_equal(us, 0);
    assert_false(pm_time_parse("-5s", 5 * PM_SECOND - 1, &us));
    assert_true(pm_time_parse("+5s", PM_TIME_MAX - 5 * PM_SECOND, &us));
    assert_int_equal(us, PM_TIME_MAX);
    assert_false(pm_time_parse("+5s", PM_TIME_MAX - 5 * PM_SECOND + 1, &us));
}

static void a_time_cut_short_or_changed_never_reads_beyond_its_end(void **state)
{
    static const char whole[] = "2026-11-20T21:30:05.123456+05:45";
    uint64_t seed = 17;

    (void)state;
    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        char text[sizeof(whole)];
        uint64_t us;

        memset(text, '9', sizeof(text)); /* would be read on, were the NUL passed */
        memcpy(text, whole, len);
        text[len] = '\0';
        assert_false(pm_time_parse(text, NOW, &us));
    }
    for (int i = 0; i < 100000; i++) {
        char text[sizeof(whole)], out[PM_TIME_SIZE];
        uint64_t us, back;

        memcpy(text, whole, sizeof(whole));
        text[splitmix_next(&seed) % (sizeof(whole) - 1)] = (char)splitmix_next(&seed);
        if (pm_time_parse(text, NOW, &us)) {
            assert_true(us <= PM_TIME_MAX);
            assert_true(pm_time_parse(pm_time_format(us, out), NOW, &back));
        }
    }
}

static void durations_are_read_in_every_unit(void **state)
{
    static const struct {
        const char *text;
        uint64_t us;
    } good[] = {
        {"0", 0},
        {"0ms", 0},
        {"250ms", 250000},
        {"5s", 5 * PM_SECOND},
        {"90", 90 * PM_SECOND},
        {"10m", 600 * PM_SECOND},
        {"2h", 7200 * PM_SECOND},
        {"7d", 604800 * PM_SECOND},
        {"007s", 7 * PM_SECOND},
        {"18446744073709551ms", 18446744073709551000u},
        {"213503982d", 18446744044800000000u},
    };
    static const char *const bad[] = {
        "",
        " ",
        "s",
        "ms",
        "-1s",
        "+1s",
        "1.5s",
        "1,5s",
        "5 s",
        " 5s",
        "5s ",
        "5S",
        "5sec",
        "5us",
        "5w",
        "5min",
        "1h30m",
        "0x10",
        "1e3",
        "five",
        "18446744073709552ms",
        "18446744073710s",
        "213503983d",
        "18446744073709551616",
        "99999999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t us = 42;

        if (!pm_time_duration(good[i].text, &us) || us != good[i].us) {
            fail_msg("%s was read as %lu", good[i].text, (unsigned long)us);
        }
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t us = 42;

        if (pm_time_duration(bad[i], &us) || us != 42) {
            fail_msg("\"%s\" was read as %lu", bad[i], (unsigned long)us);
        }
    }
}

static void spans_read_as_a_person_says_them(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0 s"},
        {999, "0 s"},
        {1000, "1 ms"},
        {40000, "40 ms"},
        {99999, "99 ms"},
        {100000, "0.1 s"},
        {949999, "0.9 s"},
        {999999, "0.9 s"},
        {1000000, "1 s"},
        {1500000, "1.5 s"},
        {3000000, "3 s"},
        {9999999, "9.9 s"},
        {10000000, "10 s"},
        {12400000, "12 s"},
        {59999999, "59 s"},
        {60 * PM_SECOND, "1 min"},
        {125 * PM_SECOND, "2 min 5 s"},
        {3599 * PM_SECOND, "59 min 59 s"},
        {3599 * PM_SECOND + 999999, "59 min 59 s"},
        {3600 * PM_SECOND, "1 h"},
        {3700 * PM_SECOND, "1 h 1 min"},
        {3780 * PM_SECOND, "1 h 3 min"},
        {86399 * PM_SECOND, "23 h 59 min"},
        {86400 * PM_SECOND, "1 d"},
        {97199 * PM_SECOND, "1 d 2 h"},
        {97200 * PM_SECOND, "1 d 3 h"},
        {98 * 3600 * PM_SECOND, "4 d 2 h"},
        {UINT64_MAX, "213503982 d 8 h"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[PM_TIME_SIZE];

        assert_true(pm_time_span(cases[i].us, out) == out);
        assert_string_equal(out, cases[i].text);
    }
}

static void the_clocks_are_the_kernels(void **state)
{
    static const struct {
        clockid_t id;
        uint64_t (*read)(void);
    } clocks[] = {{CLOCK_REALTIME, pm_time_now}, {CLOCK_MONOTONIC, pm_time_monotonic}};

    (void)state;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        struct timespec before, after;
        uint64_t us;

        clock_gettime(clocks[i].id, &before);
        us = clocks[i].read();
        clock_gettime(clocks[i].id, &after);
        assert_in_range(us, (uint64_t)before.tv_sec * PM_SECOND + (uint64_t)before.tv_nsec / 1000,
                        (uint64_t)after.tv_sec * PM_SECOND + (uint64_t)after.tv_nsec / 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_shown_as_rfc_3339_in_utc),
        cmocka_unit_test(every_day_until_the_year_9999_agrees_with_the_c_library),
        cmocka_unit_test(what_is_shown_reads_back_to_the_millisecond),
        cmocka_unit_test(times_are_read_in_every_form),
        cmocka_unit_test(what_is_no_time_is_refused_and_changes_nothing),
        cmocka_unit_test(a_month_has_its_days_and_no_more),
        cmocka_unit_test(a_relative_time_stays_between_1970_and_9999),
        cmocka_unit_test(a_time_cut_short_or_changed_never_reads_beyond_its_end),
        cmocka_unit_test(durations_are_read_in_every_unit),
        cmocka_unit_test(spans_read_as_a_person_says_them),
        cmocka_unit_test(the_clocks_are_the_kernels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
