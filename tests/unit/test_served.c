/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* test_served.c: when the rule for clients served holds, when it keeps still, and since when. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pm_served.h"
#include "pm_time.h"
#include "splitmix.h"

#define START (1795000000ull * PM_SECOND)
#define HOUR 3600u
#define DAY (24 * HOUR)

/** A site in fast motion: who comes in the second being filled, and what the rule said last. */
typedef struct site {
    pm_served served;
    pm_served_rule rule;
    pm_served_verdict verdict;
    pm_client_set met[PM_OUTCOMES];
    uint64_t second, random;
    uint32_t openings;
} site;

static int setup(void **state)
{
    site *s = calloc(1, sizeof(*s));

    s->rule = PM_SERVED_DEFAULT;
    s->random = 1;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/** As many as never meet: each is another one. */
static uint64_t hash_of(uint64_t client)
{
    return splitmix_hash(client + 1);
}

static void meets(site *s, uint64_t client, enum pm_outcome outcome)
{
    pm_set_add((pm_shared_set *)&s->met[outcome], hash_of(client));
}

static void tick(site *s)
{
    pm_served_step(&s->served, &s->rule, START + s->second * PM_SECOND, s->met, 0, &s->verdict);
    memset(s->met, 0, sizeof(s->met));
    s->second++;
    s->openings += s->verdict.holds != 0 && s->verdict.held == 0;
}

static double chance(site *s)
{
    return (double)(splitmix_next(&s->random) >> 11) / 9007199254740992.0;
}

/** How many of what comes `rate` times a second come in this one. */
static uint32_t poisson(site *s, double rate)
{
    double p = exp(-rate), product = chance(s);
    uint32_t n = 0;

    while (product > p) {
        product *= chance(s);
        n++;
    }
    return n;
}

/** `clients` of the same few come each second. */
static void steady(site *s, uint32_t clients, enum pm_outcome outcome, uint32_t seconds)
{
    for (uint32_t n = 0; n < seconds; n++) {
        for (uint32_t c = 0; c < clients; c++) {
            meets(s, c, outcome);
        }
        tick(s);
    }
}

/** Visitors of whom each comes once, `rate` a second. */
static void visitors(site *s, double rate, enum pm_outcome outcome)
{
    for (uint32_t n = poisson(s, rate); n > 0; n--) {
        meets(s, splitmix_next(&s->random), outcome);
    }
}

/** Visitors out of so many, who come again and again. */
static void returning(site *s, double rate, uint32_t of, enum pm_outcome outcome)
{
    for (uint32_t n = poisson(s, rate); n > 0; n--) {
        meets(s, splitmix_next(&s->random) % of, outcome);
    }
}

static void assert_about(uint64_t time_us, uint64_t second, uint64_t give)
{
    uint64_t at = (time_us - START) / PM_SECOND;

    assert_true(at + give >= second && at <= second + give);
}

/* ---- it holds ---- */

static void nine_clients_who_are_all_refused_are_an_incident_in_two_seconds(void **state)
{
    site *s = *state;

    steady(s, 9, PM_SERVED, 45);
    assert_int_equal(s->verdict.holds, 0);
    steady(s, 9, PM_REFUSED, 2);
    assert_int_equal(s->verdict.holds, 1u << PM_REFUSED);
    assert_about(s->verdict.since_us, 45, 1);
    assert_true(s->verdict.usual > 0.95);
}

static void four_clients_are_enough(void **state)
{
    site *s = *state;

    steady(s, 4, PM_SERVED, 60);
    steady(s, 4, PM_REFUSED, 3);
    assert_int_equal(s->verdict.holds, 1u << PM_REFUSED);
}

static void three_clients_are_not(void **state)
{
    site *s = *state;

    steady(s, 3, PM_SERVED, 60);
    steady(s, 3, PM_REFUSED, 600);
    assert_int_equal(s->openings, 0);
}

static void clients_who_are_sent_round_are_another_kind(void **state)
{
    site *s = *state;

    steady(s, 8, PM_SERVED, 60);
    steady(s, 8, PM_REDIRECTED, 2);
    assert_int_equal(s->verdict.holds, 1u << PM_REDIRECTED);
}

static void it_ends_when_clients_are_served_again(void **state)
{
    site *s = *state;

    steady(s, 9, PM_SERVED, 60);
    steady(s, 9, PM_REFUSED, 600);
    assert_int_equal(s->verdict.holds, 1u << PM_REFUSED);
    steady(s, 9, PM_SERVED, 3);
    assert_int_equal(s->verdict.holds, 0);
    steady(s, 9, PM_SERVED, 600);
    assert_int_equal(s->openings, 1);
}

static void it_goes_on_while_nobody_comes(void **state)
{
    site *s = *state;

    steady(s, 9, PM_SERVED, 60);
    steady(s, 9, PM_REFUSED, 10);
    steady(s, 0, PM_SERVED, 7200);
    assert_int_equal(s->verdict.holds, 1u << PM_REFUSED);
}

/** Seconds until it holds when from one moment on nobody is served, by visitors a minute. */
static uint32_t seconds_until_it_holds(site *s, double per_minute, uint32_t hours_before)
{
    for (uint32_t n = 0; n < hours_before * HOUR; n++) {
        visitors(s, per_minute / 60, PM_SERVED);
        tick(s);
    }
    assert_int_equal(s->openings, 0);
    for (uint32_t n = 1; n < 6 * HOUR; n++) {
        visitors(s, per_minute / 60, PM_REFUSED);
        tick(s);
        if (s->verdict.holds) {
            return n;
        }
    }
    return UINT32_MAX;
}

static void a_busy_site_is_seen_in_seconds_and_a_quiet_one_by_a_few_visitors(void **state)
{
    site *s = *state;
    static const struct {
        double per_minute;
        uint32_t within; /* seconds, on average of ten */
    } sites[] = {{6000, 2}, {100, 10}, {10, 60}, {1, 420}};

    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
        uint32_t sum = 0;

        for (uint32_t again = 1; again <= 10; again++) {
            uint32_t took;

            memset(s, 0, sizeof(*s));
            s->rule = PM_SERVED_DEFAULT;
            s->random = (uint64_t)again << 40;
            took = seconds_until_it_holds(s, sites[i].per_minute, 2);
            sum += took;
            print_message("%g visitors a minute: %u s\n", sites[i].per_minute, took);
        }
        assert_true(sum / 10 <= sites[i].within);
    }
}

static void a_tenth_of_the_regular_clients_is_seen_within_five_minutes(void **state)
{
    site *s = *state;
    uint32_t sum = 0;

    for (uint32_t again = 1; again <= 10; again++) {
        uint32_t took = 0;

        memset(s, 0, sizeof(*s));
        s->rule = PM_SERVED_DEFAULT;
        s->random = (uint64_t)again << 40;
        for (uint32_t n = 0; n < HOUR; n++) {
            returning(s, 100.0 / 60, 300, PM_SERVED);
            tick(s);
        }
        assert_int_equal(s->openings, 0);
        while (!s->verdict.holds && took < HOUR) {
            for (uint32_t n = poisson(s, 100.0 / 60); n > 0; n--) {
                uint64_t client = splitmix_next(&s->random) % 300;

                meets(s, client, client % 10 == 0 ? PM_REFUSED : PM_SERVED);
            }
            tick(s);
            took++;
        }
        print_message("a tenth of them: %u s\n", took);
        sum += took;
    }
    assert_true(sum / 10 <= 300);
}

/* ---- it keeps still ---- */

static void a_scanner_with_two_hundred_addresses_is_no_incident(void **state)
{
    site *s = *state;

    for (uint32_t n = 0; n < 2 * HOUR; n++) {
        returning(s, 0.5, 60, PM_SERVED);
        for (uint32_t c = 0; n > HOUR && n < HOUR + 600 && c < 20; c++) {
            meets(s, 1000 + splitmix_next(&s->random) % 200, PM_REFUSED);
        }
        tick(s);
    }
    assert_int_equal(s->openings, 0);
}

static void a_site_of_redirects_only_is_as_usual(void **state)
{
    site *s = *state;

    for (uint32_t n = 0; n < 3 * HOUR; n++) {
        visitors(s, 0.5, PM_REDIRECTED);
        tick(s);
    }
    assert_int_equal(s->openings, 0);
}

static void an_api_that_answers_401_first_is_as_usual(void **state)
{
    site *s = *state;

    for (uint32_t n = 0; n < 2 * HOUR; n++) {
        for (uint32_t c = poisson(s, 2); c > 0; c--) {
            uint64_t client = splitmix_next(&s->random) % 500;

            meets(s, client, PM_REFUSED);
            meets(s, client, PM_SERVED);
        }
        tick(s);
    }
    assert_int_equal(s->openings, 0);
}

/** How busy it is at a second of the week, 0..1: nights and weekends are quiet. */
static double busy_at(uint64_t second)
{
    double hour = (double)(second % DAY) / HOUR, day = (double)(second / DAY % 7);
    double by_day = 0.5 - 0.5 * cos((hour - 4) / 24 * 2 * 3.14159265);

    return (0.02 + 0.98 * by_day * by_day) * (day >= 5 ? 0.4 : 1);
}

static void a_week_of_ordinary_life(site *s, double visitors_a_minute)
{
    for (uint32_t n = 0; n < 7 * DAY; n++) {
        double busy = busy_at(n) * visitors_a_minute / 60;
        uint32_t hour = n % DAY / HOUR;

        if (n % DAY > 20 * HOUR && n % DAY < 20 * HOUR + 1200) {
            busy *= 5; /* a newsletter */
        }
        returning(s, busy * 0.7, 2000, PM_SERVED);
        visitors(s, busy * 0.3, PM_SERVED);
        visitors(s, 0.005, PM_REFUSED); /* crawlers and dead links, day and night */
        visitors(s, 0.002, PM_REDIRECTED);
        visitors(s, busy * 0.02, PM_REFUSED);  /* wrong passwords */
        if (hour % 8 == 3 && n % HOUR < 300) { /* a scanner, at night, too */
            meets(s, 1u << 20 | (splitmix_next(&s->random) % (hour == 3 ? 200 : 1)), PM_REFUSED);
        }
        tick(s);
    }
}

static void a_week_opens_nothing(void **state)
{
    site *s = *state;
    static const double per_minute[] = {0.3, 3, 30, 300};

    for (size_t i = 0; i < sizeof(per_minute) / sizeof(per_minute[0]); i++) {
        memset(s, 0, sizeof(*s));
        s->rule = PM_SERVED_DEFAULT;
        s->random = 7;
        a_week_of_ordinary_life(s, per_minute[i]);
        print_message("%g visitors a minute: %u openings\n", per_minute[i], s->openings);
        assert_int_equal(s->openings, 0);
    }
}

static void what_is_refused_all_the_time_is_usual(void **state)
{
    site *s = *state;

    for (uint32_t n = 0; n < 6 * HOUR; n++) {
        visitors(s, 0.3, chance(s) < 0.4 ? PM_REFUSED : PM_SERVED);
        tick(s);
    }
    assert_int_equal(s->openings, 0);
}

/* ---- bad input ---- */

static void no_state_crashes_a_step(void **state)
{
    site *s = *state;

    for (uint32_t n = 0; n < 300; n++) {
        uint64_t *word = (void *)&s->served;

        for (size_t i = 0; i < sizeof(s->served) / 8; i++) {
            word[i] = splitmix_next(&s->random) >> (n % 64);
        }
        s->served.idle %= 100000;
        steady(s, 9, n % 2 ? PM_REFUSED : PM_SERVED, 3);
    }
}

static void off_holds_never(void **state)
{
    site *s = *state;

    s->rule.on = 0;
    steady(s, 9, PM_SERVED, 60);
    steady(s, 9, PM_REFUSED, 60);
    assert_int_equal(s->verdict.holds, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nine_clients_who_are_all_refused_are_an_incident_in_two_seconds),
        TEST(four_clients_are_enough),
        TEST(three_clients_are_not),
        TEST(clients_who_are_sent_round_are_another_kind),
        TEST(it_ends_when_clients_are_served_again),
        TEST(it_goes_on_while_nobody_comes),
        TEST(a_busy_site_is_seen_in_seconds_and_a_quiet_one_by_a_few_visitors),
        TEST(a_tenth_of_the_regular_clients_is_seen_within_five_minutes),
        TEST(a_scanner_with_two_hundred_addresses_is_no_incident),
        TEST(a_site_of_redirects_only_is_as_usual),
        TEST(an_api_that_answers_401_first_is_as_usual),
        TEST(a_week_opens_nothing),
        TEST(what_is_refused_all_the_time_is_usual),
        TEST(no_state_crashes_a_step),
        TEST(off_holds_never),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
