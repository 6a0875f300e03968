/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_silence.c: silence opens where usual traffic does not come, and nowhere else.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pm_silence.h"
#include "splitmix.h"

#define S 1000000ull
#define DAY 86400u
#define SESSIONS 4096u

/** A site: clients come by chance, stay for a while and ask now and then. */
typedef struct site {
    pm_silence silence;
    pm_silence_verdict verdict;
    uint64_t seed, second;
    double rate[24];       /* new sessions a minute, by hour */
    double weekend;        /* times that much */
    uint32_t pages, pause; /* of a session; seconds between two, on average */
    struct {
        uint32_t tag, left, next;
    } session[SESSIONS];
    uint32_t accepted, brought; /* beside those of sessions */
    int broken;                 /* nobody comes through */
    uint32_t opened;
    double past[7 * 24]; /* clients a minute of each hour of the week before; -1 = not known */
} site;

static double chance(site *s)
{
    return (double)(splitmix_next(&s->seed) >> 11) / 9007199254740992.0;
}

static uint32_t poisson(site *s, double mean)
{
    double limit = exp(-mean), p = 1;
    uint32_t n = 0;

    do {
        n++;
        p *= chance(s);
    } while (p > limit);
    return n - 1;
}

static void come(site *s, double per_second)
{
    for (uint32_t n = poisson(s, per_second), i = 0; n > 0 && i < SESSIONS; i++) {
        if (s->session[i].left == 0) {
            s->session[i].tag = (uint32_t)splitmix_next(&s->seed) | 1;
            s->session[i].left = 1 + (uint32_t)(chance(s) * 2 * s->pages);
            s->session[i].next = 0;
            n--;
        }
    }
}

/** A second; `also`: a client that asks in it, besides, 0 = none. */
static void second(site *s, uint32_t also)
{
    uint32_t hour = (uint32_t)(s->second / 3600 % 24), day = (uint32_t)(s->second / DAY % 7), n = 0;
    double rate = s->rate[hour] * (day >= 5 ? s->weekend : 1);
    double past = s->second >= DAY ? s->past[(s->second / 3600 - 24) % (7 * 24)] : -1;
    pm_silence_figures f = {.at_us = (1000 + s->second) * S, .span_us = S, .day = past, .week = -1};

    come(s, rate / 60);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (s->session[i].left == 0 || (s->session[i].next > 0 && s->session[i].next-- > 1)) {
            continue;
        }
        s->session[i].left--;
        s->session[i].next = 1 + (uint32_t)(-log(1 - chance(s)) * s->pause);
        f.accepted++;
        if (!s->broken) {
            f.brought++;
            if (n < PM_SILENCE_CLIENTS) {
                f.client[n++] = s->session[i].tag;
            }
        }
    }
    if (also != 0 && !s->broken && n < PM_SILENCE_CLIENTS) {
        f.client[n] = also;
    }
    f.accepted += s->accepted;
    f.brought += s->brought;
    if (s->broken == 2) {
        f.accepted = 0;
    }
    uint32_t held = s->verdict.holds;
    pm_silence_step(&s->silence, &f, &s->verdict);
    s->opened += s->verdict.holds && !held;
    s->second++;
    if (s->second % 3600 == 0) {
        double clients = 0;

        for (uint32_t i = 0; i < PM_SILENCE_MINUTES; i++) {
            clients += s->silence.minute[i].clients;
        }
        s->past[(s->second / 3600 - 1) % (7 * 24)] = clients / PM_SILENCE_MINUTES;
    }
}

static site *make(uint64_t seed, double day, double night, double weekend)
{
    site *s = calloc(1, sizeof(*s));

    s->seed = seed;
    s->weekend = weekend;
    s->pages = 4;
    s->pause = 20;
    for (int h = 0; h < 24; h++) {
        s->rate[h] = night + (day - night) * (1 - cos((h + 20) % 24 * 2 * 3.14159265 / 24)) / 2;
    }
    for (int h = 0; h < 7 * 24; h++) {
        s->past[h] = -1;
    }
    return s;
}

static void a_week_of_day_and_night_opens_nothing(void **state)
{
    static const double sites[][3] = {/* new sessions a minute by day, by night; weekends */
                                      {200, 20, 0.5}, {60, 1, 0.3},   {20, 0.2, 0.2},
                                      {6, 0, 1},      {1, 0.05, 0.1}, {0.1, 0, 1}};

    (void)state;
    for (size_t k = 0; k < sizeof(sites) / sizeof(sites[0]); k++) {
        site *s = make(7 + k, sites[k][0], sites[k][1], sites[k][2]);

        for (uint32_t t = 0; t < 7 * DAY; t++) {
            /* a crawler each night, five a second for an hour, that ends all at once; checks of the port */
            uint32_t hour = t / 3600 % 24;

            s->accepted = t % 5 == 0;
            second(s, hour == 3 ? 12345 : 0);
        }
        if (s->opened != 0) {
            print_message("site %zu: %u\n", k, s->opened);
        }
        assert_int_equal(s->opened, 0);
        free(s);
    }
}

/** How long it takes, in seconds; 0 = not within an hour. */
static uint32_t until_seen(site *s, int broken, uint32_t history)
{
    for (uint32_t t = 0; t < history; t++) {
        second(s, 0);
    }
    assert_int_equal(s->opened, 0);
    s->broken = broken;
    for (uint32_t t = 1; t <= 3600; t++) {
        second(s, 0);
        if (s->verdict.holds) {
            return t;
        }
    }
    return 0;
}

static void silence_is_seen_the_sooner_the_more_come(void **state)
{
    static const struct {
        double sessions;
        uint32_t history, nobody, bare; /* seconds at most, until either is seen */
    } cases[] = {{200, 3600, 15, 15}, {200, 60, 15, 15},    {30, 3600, 60, 30},
                 {10, 3600, 240, 60}, {3, 7200, 1200, 400}, {1, 7200, 3600, 2400}};

    (void)state;
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        for (int broken = 1; broken <= 2; broken++) {
            site *s = make(99 + k, cases[k].sessions, cases[k].sessions, 1);
            uint32_t most = broken == 1 ? cases[k].bare : cases[k].nobody;
            uint32_t took = until_seen(s, broken, cases[k].history);

            print_message("%5.0f sessions a minute, %s: %u s\n", cases[k].sessions,
                          broken == 1 ? "connections bring none" : "nobody comes", took);
            assert_true(took >= 10 && took <= most);
            free(s);
        }
    }
}

static void a_few_steady_clients_are_usual_after_45_seconds(void **state)
{
    pm_silence s = {0};
    pm_silence_verdict v;

    (void)state;
    for (uint32_t t = 0; t < 200; t++) {
        pm_silence_figures f = {.at_us = (1000 + t) * S, .span_us = S, .day = -1, .week = -1};

        for (uint32_t i = 0; i < 4 && t < 80; i++) {
            f.client[i] = i + 1;
        }
        pm_silence_step(&s, &f, &v);
        assert_int_equal(v.holds, t >= 89);
        if (v.holds) {
            assert_int_equal(v.began_us, (1000 + 79) * S);
        }
    }
}

static void one_client_that_stops_is_no_silence(void **state)
{
    pm_silence s = {0};
    pm_silence_verdict v;

    (void)state;
    for (uint32_t t = 0; t < 2 * DAY; t++) {
        pm_silence_figures f = {.at_us = (1000 + t) * S, .span_us = S, .day = -1, .week = -1};

        f.client[0] = t < DAY ? 77 : 0;
        pm_silence_step(&s, &f, &v);
        assert_false(v.holds);
    }
}

static void a_job_that_ends_is_no_silence_where_few_came_the_day_before(void **state)
{
    pm_silence s = {0};
    pm_silence_verdict v;

    (void)state;
    for (uint32_t t = 0; t < 5400; t++) {
        pm_silence_figures f = {.at_us = (1000 + t) * S, .span_us = S, .day = 0.2, .week = -1};

        f.client[0] = t < 3600 ? 1 : 0; /* two hosts, each second for an hour */
        f.client[1] = t < 3600 ? 2 : 0;
        pm_silence_step(&s, &f, &v);
        assert_false(v.holds);
    }
}

/** One client asks, or nobody does; 1: the silence holds. */
static int then(site *s, uint32_t tag)
{
    pm_silence_figures f = {
        .at_us = (1000 + s->second) * S, .span_us = S, .day = -1, .week = -1, .client = {tag}};

    s->second++;
    pm_silence_step(&s->silence, &f, &s->verdict);
    return (int)s->verdict.holds;
}

static void a_scanner_now_and_then_ends_no_silence(void **state)
{
    site *s = make(5, 200, 200, 1);

    (void)state;
    assert_true(until_seen(s, 2, 600) > 0);
    for (uint32_t t = 0; t < 7200; t++) {
        uint32_t scanner = t % 420 < 6 ? 900 + t / 420 : 0; /* six requests every seven minutes */

        assert_true(then(s, scanner));
        assert_int_equal(s->verdict.until_us, t % 420 <= 65 ? (1000 + s->second - 2 - t % 420) * S
                                                            : (1000 + s->second - 1) * S);
    }
    free(s);
}

static void it_is_over_when_two_clients_ask_within_a_minute(void **state)
{
    site *s = make(5, 200, 200, 1);
    uint64_t first;

    (void)state;
    assert_true(until_seen(s, 2, 600) > 0);
    assert_true(then(s, 9)); /* one may be a test of the administrator's */
    first = (1000 + s->second - 2) * S;
    for (int t = 0; t < 40; t++) {
        assert_true(then(s, 0));
    }
    assert_false(then(s, 10));
    assert_true(s->verdict.again);
    assert_int_equal(s->verdict.until_us, first);
    free(s);
}

static void it_is_over_when_one_client_asks_for_five_minutes(void **state)
{
    site *s = make(5, 200, 200, 1);
    uint64_t first = 0;

    (void)state;
    assert_true(until_seen(s, 2, 600) > 0);
    for (int t = 0; t < 300; t++) {
        assert_true(then(s, t % 20 == 0 ? 9 : 0));
        first = t == 0 ? (1000 + s->second - 2) * S : first;
    }
    assert_false(then(s, 9));
    assert_true(s->verdict.again);
    assert_int_equal(s->verdict.until_us, first);
    free(s);
}

static void any_content_of_the_state_ends_no_step(void **state)
{
    uint64_t seed = 3;
    pm_silence s;
    pm_silence_verdict v;

    (void)state;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(s) / 8; i++) {
            ((uint64_t *)(void *)&s)[i] = splitmix_next(&seed);
        }
        for (int t = 0; t < 20; t++) {
            pm_silence_figures f = {.at_us = splitmix_next(&seed), .span_us = S};

            pm_silence_step(&s, &f, &v);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_week_of_day_and_night_opens_nothing),
        cmocka_unit_test(silence_is_seen_the_sooner_the_more_come),
        cmocka_unit_test(a_few_steady_clients_are_usual_after_45_seconds),
        cmocka_unit_test(one_client_that_stops_is_no_silence),
        cmocka_unit_test(a_job_that_ends_is_no_silence_where_few_came_the_day_before),
        cmocka_unit_test(a_scanner_now_and_then_ends_no_silence),
        cmocka_unit_test(it_is_over_when_two_clients_ask_within_a_minute),
        cmocka_unit_test(it_is_over_when_one_client_asks_for_five_minutes),
        cmocka_unit_test(any_content_of_the_state_ends_no_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
