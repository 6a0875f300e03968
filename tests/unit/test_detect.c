/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* test_detect.c: when the detector opens, when it keeps still, and since when. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pm_detect.h"
#include "pm_time.h"
#include "splitmix.h"

#define START (1795000000ull * PM_SECOND) /* some day in 2026 */

static const pm_burst_rule defaults = {10, 10, 60, 0, 0.05, 0};
static const pm_slow_rule slow_defaults = {1, 20, 30, 60, 5 * PM_SECOND, 0.2};
static const pm_slow_rule slow_off = {0};

/** A scope, the second that it is in, and the last answer. */
typedef struct site {
    pm_scope scope;
    pm_burst_rule burst;
    pm_slow_rule slow;
    pm_figures f; /* of the second being filled */
    pm_verdict verdict;
} site;

static int setup(void **state)
{
    site *s = calloc(1, sizeof(*s));

    s->burst = defaults;
    s->slow = slow_off;
    s->f.at_us = START;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static uint64_t ms(const site *s, uint32_t n)
{
    return s->f.at_us + n * 1000ull; /* n ms into the second being filled */
}

/** `client` 0..: fails `n` times, first `at` ms into the second. */
static void fails(site *s, uint32_t client, uint32_t n, uint32_t at)
{
    s->f.requests += n;
    s->f.errors += n;
    if (s->f.first_error_us == 0 || ms(s, at) < s->f.first_error_us) {
        s->f.first_error_us = ms(s, at);
    }
    s->f.last_error_us = ms(s, at + 5);
    s->f.errors_by_client[client % PM_CLIENT_BUCKETS] += n;
    s->f.failing_client[client % PM_CLIENT_BUCKETS] = client + 1000;
}

static void succeeds(site *s, uint32_t client, uint32_t n)
{
    s->f.requests += n;
    pm_clients_add(s->f.ok_clients, client + 1000);
}

/** The second (or `seconds` of them at once) ends. */
static const pm_verdict *ends_after(site *s, double seconds)
{
    uint64_t at = s->f.at_us + (uint64_t)(seconds * 1e6);
    uint32_t tags[PM_CLIENT_BUCKETS];

    s->f.at_us = at;
    pm_detect_step(&s->scope, &s->burst, &s->slow, &s->f, &s->verdict);
    memcpy(tags, s->f.failing_client, sizeof(tags)); /* they stay, as in the live region */
    memset(&s->f, 0, sizeof(s->f));
    memcpy(s->f.failing_client, tags, sizeof(tags));
    s->f.at_us = at;
    return &s->verdict;
}

static const pm_verdict *ends(site *s)
{
    return ends_after(s, 1);
}

static void well(site *s, uint32_t seconds, uint32_t requests)
{
    while (seconds-- > 0) {
        uint32_t n;

        for (n = 0; n < requests; n++) {
            succeeds(s, 100 + n % 7, 1);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
}

/* ---- volume ---- */

static void a_burst_shorter_than_the_window_but_over_the_threshold_holds(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t c;

    well(s, 30, 50);
    succeeds(s, 100, 30);
    onset = ms(s, 400);
    for (c = 0; c < 20; c++) {
        fails(s, c, 1, 400 + c);
    }
    assert_int_equal(ends(s)->errors_hold, 0); /* 20 of 500 */
    for (c = 0; c < 20; c++) {
        fails(s, c, 1, 10);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.sequential, 0);
    assert_int_equal(s->verdict.errors_onset_us, onset);
    assert_float_equal(s->verdict.window_ratio, 40.0 / 470, 1e-9);
}

static void fewer_failures_than_the_threshold_do_not_hold(void **state)
{
    site *s = *state;
    uint32_t c;

    well(s, 30, 10);
    for (c = 0; c < 9; c++) {
        fails(s, c, 1, 0);
        succeeds(s, 50 + c, 1);
    }
    assert_int_equal(ends(s)->errors_hold, 0);
}

static void a_burst_leaves_the_window_with_time(void **state)
{
    site *s = *state;
    uint32_t c, n;

    for (c = 0; c < 40; c++) {
        fails(s, c, 1, 0);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    for (n = 0; n < 9; n++) {
        succeeds(s, 100, 20);
        assert_int_equal(ends(s)->errors_hold, 1);
    }
    succeeds(s, 100, 20);
    assert_int_equal(ends(s)->errors_hold, 0);
}

static void a_small_virtual_host_that_fails_opens_alone(void **state)
{
    site *server = *state, *vhost;
    uint32_t n, c;

    setup((void **)&vhost);
    for (n = 0; n < 60; n++) {
        for (c = 0; c < 97; c++) {
            succeeds(server, 100 + c, 1);
        }
        for (c = 0; c < 3; c++) {
            if (n < 30) {
                succeeds(server, c, 1);
                succeeds(vhost, c, 1);
            }
            else {
                fails(server, c + 3 * n, 1, 200);
                fails(vhost, c + 3 * n, 1, 200);
            }
        }
        ends(server);
        ends(vhost);
        assert_int_equal(server->verdict.errors_hold, 0);
        assert_int_equal(vhost->verdict.errors_hold, n >= 33);
    }
    assert_true(vhost->verdict.errors_onset_us >= START + 30 * PM_SECOND);
    free(vhost);
}

/* ---- sequential ---- */

static void a_quiet_site_whose_every_request_fails_holds_by_its_fifth_failure(void **state)
{
    site *s = *state;
    uint64_t onset = 0;
    uint32_t n, failures = 0;

    for (n = 0; n < 600; n++) {
        if (n % 10 == 3) {
            succeeds(s, n % 3, 1);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
    for (n = 0; !s->verdict.errors_hold; n++) {
        if (n % 10 == 3) {
            onset = onset ? onset : ms(s, 700);
            fails(s, n % 3, 1, 700);
            failures++;
        }
        ends(s);
        assert_true(failures <= 5);
    }
    assert_int_equal(failures, 4);
    assert_int_equal(s->verdict.sequential, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
    for (n = 0; n < 3600; n++) { /* silence is no recovery */
        assert_int_equal(ends(s)->errors_hold, 1);
        assert_int_equal(s->verdict.errors_onset_us, onset);
    }
}

static void five_failures_at_once_on_a_quiet_site_hold_four_do_not(void **state)
{
    site *s = *state;
    uint32_t n;

    fails(s, 1, 4, 100);
    for (n = 0; n < 60; n++) { /* waiting is no evidence */
        assert_int_equal(ends(s)->errors_hold, 0);
    }
    well(s, 4, 1);
    fails(s, 1, 5, 100);
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.sequential, 1);
}

static void a_success_never_makes_the_rule_hold(void **state)
{
    site *s = *state;

    well(s, 5, 3);
    fails(s, 1, 3, 100);
    fails(s, 2, 3, 100);
    assert_int_equal(ends(s)->errors_hold, 0); /* not a quiet site */
    assert_true(s->scope.cusum >= PM_DETECT_CUSUM);
    succeeds(s, 1, 1);
    assert_int_equal(ends_after(s, 20)->errors_hold, 0);
    assert_true(s->scope.cusum >= PM_DETECT_CUSUM);
    fails(s, 1, 1, 100);
    assert_int_equal(ends(s)->errors_hold, 1);
}

static void a_failure_raises_and_a_success_lowers_the_sum_by_their_likelihood(void **state)
{
    site *s = *state;

    fails(s, 1, 1, 0);
    ends(s);
    assert_true(fabs(s->scope.cusum - log(0.525 / 0.05)) < 1e-9);
    succeeds(s, 1, 1);
    ends(s);
    assert_true(fabs(s->scope.cusum - log(0.525 / 0.05) + log(0.95 / 0.475)) < 1e-9);
    s->scope.cusum = NAN; /* damaged */
    succeeds(s, 1, 1);
    ends(s);
    assert_true(s->scope.cusum == 0);
}

static void a_single_failing_request_in_a_quiet_hour_does_not_hold(void **state)
{
    site *s = *state;
    uint32_t n;

    fails(s, 1, 1, 0);
    for (n = 0; n < 3600; n++) {
        assert_int_equal(ends(s)->errors_hold, 0);
    }
    for (n = 0; n < 24 * 3600; n++) { /* nor does one each hour, among a handful that succeed */
        if (n % 3600 == 0) {
            fails(s, 1, 1, 0);
        }
        else if (n % 600 == 0) {
            succeeds(s, 1, 1);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
}

static void the_sum_recovers_soon_after_a_long_outage(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 100000; n++) {
        if (n % 10 == 0) {
            fails(s, 1, 1, 0);
        }
        ends(s);
    }
    assert_int_equal(s->verdict.errors_hold, 1);
    for (n = 0; n < 4; n++) {
        succeeds(s, 1, 1);
        ends_after(s, 10);
    }
    assert_int_equal(s->verdict.errors_hold, 0);
}

static void a_busy_second_is_judged_in_the_order_that_alarms_least(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 100; n++) { /* 9 of 109 each ten seconds: over the ratio, under `errors` */
        fails(s, n, 9, 0);
        succeeds(s, 100, 100);
        assert_int_equal(ends(s)->errors_hold, 0);
        assert_true(s->scope.cusum == 0);
        for (uint32_t pause = 0; pause < 9; pause++) {
            assert_int_equal(ends(s)->errors_hold, 0);
        }
    }
}

static void a_third_of_few_requests_failing_holds_within_minutes(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 120 && !s->verdict.errors_hold; n++) {
        if (n % 3 == 0) {
            fails(s, n, 1, 0);
        }
        else {
            succeeds(s, n % 2, 1);
        }
        ends(s);
    }
    assert_true(n < 120);
    assert_int_equal(s->verdict.sequential, 1);
}

/* ---- one client ---- */

static void a_scanner_is_no_incident_while_three_other_clients_succeed(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 300; n++) {
        fails(s, 5, 20, 0);
        succeeds(s, 5, 3);  /* it finds things, too */
        succeeds(s, 21, 1); /* same bucket */
        succeeds(s, 37, 1); /* same bucket */
        succeeds(s, 6, 1);
        assert_int_equal(ends(s)->errors_hold, 0);
        assert_int_equal(s->verdict.single_client, 1);
    }
}

static void a_scanner_is_no_incident_while_three_others_succeed_slowly(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 3000; n++) {
        if (n % 3 == 0) {
            succeeds(s, n % 9, 1);
        }
        if (n > 20 && n % 2 == 0) {
            fails(s, 50, 1, 0);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
}

static void a_client_that_fails_now_and_then_is_no_incident_while_three_others_succeed(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 9000; n++) { /* a fourth of the requests */
        if (n % 10 == 9) {
            fails(s, 50, 1, 0);
        }
        else if (n % 10 % 3 == 0) {
            succeeds(s, n % 10, 1);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
}

static void strays_before_it_do_not_hide_a_scanner(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 8; n++) {
        fails(s, n < 4 ? 60 + n : 5, n < 4 ? 1 : 20, 0);
        succeeds(s, 1, 1);
        succeeds(s, 2, 1);
        succeeds(s, 3, 1);
        assert_int_equal(ends(s)->errors_hold, 0);
        assert_int_equal(s->verdict.single_client, n == 0 || n >= 4);
    }
}

static void where_one_failure_is_enough_a_scanner_is_one(void **state)
{
    site *s = *state;
    uint64_t onset = ms(s, 300);

    s->burst.errors = 1;
    fails(s, 5, 20, 300);
    succeeds(s, 1, 1);
    succeeds(s, 2, 1);
    succeeds(s, 3, 1);
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.single_client, 1);
    assert_float_equal(s->verdict.window_ratio, 0.25, 1e-9);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

static void a_single_client_that_fails_alone_holds(void **state)
{
    site *s = *state;

    fails(s, 5, 20, 0);
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.single_client, 0);
}

static void a_single_client_that_fails_beside_a_health_checker_holds(void **state)
{
    site *s = *state;

    s->f.requests = 10; /* the checker's: in no set */
    fails(s, 5, 20, 0);
    assert_int_equal(ends(s)->errors_hold, 1);
}

static void two_succeeding_clients_do_not_clear_a_single_one(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 3; n++) {
        fails(s, 5, 20, 0);
        succeeds(s, 5, 10);
        succeeds(s, 6, 10);
        succeeds(s, 7, 10);
        assert_int_equal(ends(s)->errors_hold, 1);
    }
}

static void many_failing_clients_are_not_taken_for_one(void **state)
{
    site *s = *state;
    uint32_t n, c;

    for (n = 0; n < 3; n++) {
        for (c = 0; c < 30; c++) {
            fails(s, 30 * n + c, 1, 0);
            succeeds(s, 200 + c, 2);
        }
        assert_int_equal(ends(s)->errors_hold, 1);
        assert_int_equal(s->verdict.single_client, 0);
    }
}

static void two_failing_clients_that_share_a_bucket_are_told_apart(void **state)
{
    site *s = *state;
    uint32_t n, c;

    for (n = 0; n < 4; n++) {
        for (c = 0; c < 20; c++) {
            succeeds(s, 200 + c, 1);
        }
        fails(s, n % 2 ? 5 : 21, 2, 0);
        fails(s, n % 2 ? 21 : 5, 2, 0); /* the last one of this second */
        ends(s);
    }
    assert_int_equal(s->verdict.single_client, 0);
    assert_int_equal(s->verdict.errors_hold, 1);
}

static void others_failures_beside_a_scanner_count(void **state)
{
    site *s = *state;
    uint32_t n, c;

    for (n = 0; n < 8; n++) {
        fails(s, 5, 100, 0);
        for (c = 0; c < 9; c++) {
            succeeds(s, 200 + c, 1);
        }
        fails(s, 6 + n, n == 7 ? 2 : 1, 100);
        assert_int_equal(ends(s)->single_client, 1);
        /* 9 in the end, and the scanner: its other requests do not dilute them */
        assert_int_equal(s->verdict.errors_hold, n == 7);
    }
    assert_float_equal(s->verdict.window_ratio, 10.0 / 82, 1e-9);
}

static void the_scanners_failures_do_not_date_the_others(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n, c;

    for (n = 0; n < 6; n++) {
        fails(s, 5, 100, 0);
        for (c = 0; c < 9; c++) {
            succeeds(s, 200 + c, 3);
        }
        assert_int_equal(ends(s)->errors_hold, 0);
    }
    onset = ms(s, 50);
    fails(s, 5, 100, 50);
    for (c = 0; c < 20; c++) {
        fails(s, 6 + c % 9, 1, 100 + c);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.single_client, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

static void without_known_clients_all_failures_count(void **state)
{
    site *s = *state;

    fails(s, 5, 20, 0);
    memset(s->f.failing_client, 0, sizeof(s->f.failing_client));
    succeeds(s, 6, 10);
    succeeds(s, 7, 10);
    succeeds(s, 8, 10);
    assert_int_equal(ends(s)->errors_hold, 1);
}

static void a_set_of_clients_keeps_the_first_distinct_ones(void **state)
{
    uint32_t set[PM_OK_CLIENTS] = {0};

    (void)state;
    assert_int_equal(pm_clients_add(set, 0), 0);
    assert_int_equal(pm_clients_add(set, 7), 1);
    assert_int_equal(pm_clients_add(set, 7), 1);
    assert_int_equal(pm_clients_add(set, 8), 2);
    assert_int_equal(pm_clients_add(set, 9), 3);
    assert_int_equal(pm_clients_add(set, 8), 3);
    assert_int_equal(pm_clients_add(set, 10), 4);
    assert_int_equal(pm_clients_add(set, 11), 4);
    assert_int_equal(set[3], 10);
    assert_int_not_equal(pm_client_tag(0), 0);
}

/* ---- clients ---- */

static void the_share_of_clients_hit_holds_though_few_requests_fail(void **state)
{
    site *s = *state;
    uint64_t onset;

    s->burst.clients = 0.3;
    well(s, 20, 100);
    onset = ms(s, 500);
    fails(s, 1, 1, 500);
    fails(s, 2, 1, 600);
    fails(s, 3, 1, 700);
    succeeds(s, 9, 97);
    s->f.clients = 9;
    s->f.error_clients = 3;
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
    ends(s);
    succeeds(s, 9, 100);
    s->f.clients = 9;
    s->f.error_clients = 3;
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
    fails(s, 1, 1, 500);
    s->f.clients = 6;
    s->f.error_clients = 2; /* too few to tell */
    assert_int_equal(ends(s)->errors_hold, 0);
    fails(s, 1, 1, 500);
    s->f.clients = 11;
    s->f.error_clients = 3;
    assert_int_equal(ends(s)->errors_hold, 0);
}

/* ---- slow ---- */

static void a_backend_that_hangs_holds_within_the_window_since_the_first_hung_arrival(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    s->slow = slow_defaults;
    well(s, 60, 10);
    onset = ms(s, 300);
    for (n = 0; n < 30 && !s->verdict.slow_hold; n++) { /* 10 a second hang from `onset` on */
        uint64_t now = ms(s, 1000);

        s->f.slow_in_flight =
            now > onset + 5 * PM_SECOND ? (now - onset - 5 * PM_SECOND) / 100000 : 0;
        s->f.first_slow_us = s->f.slow_in_flight > 0 ? onset : 0;
        ends(s);
    }
    assert_in_range(n, 6, 15);
    assert_int_equal(s->verdict.slow_onset_us, onset);
    assert_int_equal(s->verdict.errors_hold, 0);
}

static void a_hang_of_a_server_with_ten_workers_holds_within_the_window(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    s->slow = slow_defaults;
    well(s, 60, 5);
    onset = ms(s, 300);
    for (n = 0; n < 30 && !s->verdict.slow_hold; n++) {
        s->f.slow_in_flight = n < 5 ? 0 : n < 7 ? 5 * (n - 4) : 10;
        s->f.first_slow_us = n < 5 ? 0 : onset;
        ends(s);
    }
    assert_true(n < 30);
    assert_int_equal(s->verdict.slow_onset_us, onset);
}

static void stray_slow_requests_neither_hold_nor_move_the_onset(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    s->slow = slow_defaults;
    for (n = 0; n < 100; n++) {
        succeeds(s, 1, 20);
        if (n % 10 == 0) {
            s->f.requests++;
            s->f.slow = 1;
            s->f.first_slow_us = ms(s, 0) - 6 * PM_SECOND;
        }
        assert_int_equal(ends(s)->slow_hold, 0);
    }
    onset = ms(s, 100) - 6 * PM_SECOND;
    while (!s->verdict.slow_hold) {
        s->f.requests = s->f.slow = 20;
        s->f.first_slow_us = s->f.at_us + 100000 - 6 * PM_SECOND;
        ends(s);
    }
    assert_int_equal(s->verdict.slow_onset_us, onset);
}

static void fewer_slow_requests_than_asked_for_do_not_hold(void **state)
{
    site *s = *state;

    s->slow = slow_defaults;
    s->f.slow_in_flight = 12;
    s->f.requests = s->f.slow = 7;
    assert_int_equal(ends(s)->slow_hold, 0);
    s->f.slow_in_flight = 13;
    assert_int_equal(ends(s)->slow_hold, 1);
}

static void slow_off_never_holds(void **state)
{
    site *s = *state;

    s->f.slow_in_flight = s->f.requests = s->f.slow = 1000;
    assert_int_equal(ends(s)->slow_hold, 0);
}

/* ---- onset ---- */

static void a_stray_failure_before_the_burst_is_not_its_onset(void **state)
{
    uint32_t gap, c;

    for (gap = 1; gap < 9; gap++) {
        site *s = *state;
        uint64_t onset;

        memset(&s->scope, 0, sizeof(s->scope));
        well(s, 20, 20);
        fails(s, 3, 1, 100);
        succeeds(s, 4, 19);
        ends(s);
        well(s, gap - 1, 20); /* 1: the very second before */
        onset = ms(s, 30);
        for (c = 0; c < 20; c++) {
            fails(s, c, 1, 30 + c);
        }
        assert_int_equal(ends(s)->errors_hold, 1);
        assert_int_equal(s->verdict.errors_onset_us, onset);
    }
}

static void the_onset_is_right_wherever_in_the_second_the_burst_begins(void **state)
{
    uint32_t rates[] = {20, 100, 1000}, r, at, n;

    for (r = 0; r < 3; r++) {
        for (at = 0; at < 1000; at += 7) {
            site *s = *state;
            uint32_t bad;
            uint64_t onset;

            memset(&s->scope, 0, sizeof(s->scope));
            well(s, 15, rates[r]);
            onset = ms(s, at);
            bad = (1000 - at) * rates[r] / 1000;
            bad = bad > 0 ? bad : 1;
            for (n = 0; n < bad; n++) {
                fails(s, n, 1, at);
            }
            succeeds(s, 1, rates[r] - bad);
            for (ends(s); !s->verdict.errors_hold; ends(s)) {
                for (n = 0; n < rates[r]; n++) {
                    fails(s, n, 1, 0);
                }
            }
            assert_int_equal(s->verdict.errors_onset_us, onset);
        }
    }
}

static void requests_that_failed_by_a_time_out_began_when_they_arrived(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    well(s, 20, 20);
    onset = ms(s, 950) - 30 * PM_SECOND;
    fails(s, 1, 1, 950);
    s->f.first_error_us = onset;
    succeeds(s, 9, 20);
    ends(s);
    for (n = 0; n < 20; n++) {
        fails(s, n, 1, 0);
    }
    s->f.first_error_us = s->f.at_us - 30 * PM_SECOND;
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

static void a_stray_failure_that_waited_does_not_move_the_onset(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    for (n = 0; n < 20; n++) {
        if (n % 4 == 3) {
            fails(s, n, 1, 0);
            s->f.first_error_us -= 30 * PM_SECOND;
        }
        succeeds(s, 1, 20);
        assert_int_equal(ends(s)->errors_hold, 0);
    }
    onset = ms(s, 100);
    for (n = 0; n < 20; n++) {
        fails(s, n, 1, 100);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

static void failures_before_a_silence_are_not_the_onset(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    succeeds(s, 1, 30);
    fails(s, 2, 1, 980);
    ends(s);
    for (n = 0; n < 4; n++) {
        ends(s);
    }
    onset = ms(s, 100);
    for (n = 0; n < 20; n++) {
        fails(s, n, 1, 100);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

static void a_burst_that_has_passed_is_still_the_onset(void **state)
{
    site *s = *state;
    uint64_t onset;
    uint32_t n;

    well(s, 20, 1000);
    onset = ms(s, 300);
    fails(s, 1, 250, 300);
    fails(s, 2, 250, 300);
    succeeds(s, 3, 500);
    ends(s);
    ends(s);
    for (n = 0; n < 8; n++) { /* one per cent now: unlikely, but not in a bad way */
        fails(s, n, 10, 20);
        succeeds(s, 3, 990);
        ends(s);
    }
    assert_int_equal(s->verdict.errors_hold, 1);
    assert_int_equal(s->verdict.errors_onset_us, onset);
}

/* ---- time ---- */

static void an_idle_second_takes_no_room(void **state)
{
    site *s = *state;

    well(s, 3, 1);
    ends_after(s, 1);
    ends_after(s, 1);
    assert_int_equal(s->scope.kept, 3);
}

static void the_window_goes_by_time_when_ticks_are_late(void **state)
{
    site *s = *state;

    fails(s, 1, 6, 0);
    fails(s, 2, 6, 0);
    succeeds(s, 1, 20);
    assert_int_equal(ends_after(s, 25)->errors_hold, 1);
    succeeds(s, 1, 1);
    assert_int_equal(ends_after(s, 9.9)->errors_hold, 1);
    succeeds(s, 1, 1);
    assert_int_equal(ends_after(s, 0.2)->errors_hold, 0);
}

static void a_clock_that_steps_back_neither_holds_for_ever_nor_blinds(void **state)
{
    site *s = *state;
    uint32_t n, c;

    for (c = 0; c < 50; c++) {
        fails(s, c, 1, 0);
    }
    assert_int_equal(ends(s)->errors_hold, 1);
    s->f.at_us -= 3600 * PM_SECOND;
    well(s, 12, 1);
    for (n = 0; n < 2; n++) {
        for (c = 0; c < 50; c++) {
            fails(s, c, 1, 20);
        }
        assert_int_equal(ends(s)->errors_hold, 1);
        assert_in_range(s->verdict.errors_onset_us, s->f.at_us - 2 * PM_SECOND, s->f.at_us);
    }
}

static void failures_do_not_come_back_when_a_clock_that_stepped_back_gets_there_again(void **state)
{
    site *s = *state;
    uint32_t n;

    fails(s, 1, 20, 0);
    fails(s, 2, 20, 0);
    succeeds(s, 3, 20);
    assert_int_equal(ends(s)->errors_hold, 1);
    s->f.at_us -= 20 * PM_SECOND;
    for (n = 0; n < 60; n++) {
        assert_int_equal(ends(s)->errors_hold, 0);
    }
}

static void a_quiet_sites_failures_count_across_a_step_of_the_clock(void **state)
{
    site *s = *state;
    uint32_t n;

    for (n = 0; n < 5; n++) {
        if (n == 2) {
            s->f.at_us -= 3600 * PM_SECOND;
        }
        fails(s, 1, 1, 500);
        ends_after(s, 10);
    }
    assert_int_equal(s->verdict.errors_hold, 1);
    assert_true(s->verdict.errors_onset_us <= s->f.at_us - 20 * PM_SECOND);
    assert_true(s->verdict.errors_onset_us > s->f.at_us - 60 * PM_SECOND);
}

static void an_unknown_arrival_is_taken_as_just_before_the_intervals_end(void **state)
{
    site *s = *state;

    s->f.requests = s->f.errors = 50;
    ends(s);
    assert_int_equal(s->verdict.errors_onset_us, s->f.at_us - 1);
    s->f.requests = s->f.errors = 50;
    s->f.first_error_us = s->f.at_us + 3600 * PM_SECOND;
    ends(s);
    assert_true(s->verdict.errors_onset_us < s->f.at_us);
}

static void absurd_figures_saturate(void **state)
{
    site *s = *state;

    s->slow = slow_defaults;
    s->f.requests = s->f.errors = s->f.slow = s->f.slow_in_flight = UINT64_MAX;
    memset(s->f.errors_by_client, 0xff, sizeof(s->f.errors_by_client));
    ends(s);
    assert_int_equal(s->verdict.errors_hold, 1);
    assert_int_equal(s->verdict.slow_hold, 1);
    assert_int_equal(s->scope.window[0].errors, UINT32_MAX);
    s->f.requests = UINT32_MAX + 6ull;
    ends(s);
    assert_int_equal(s->scope.window[1].requests, UINT32_MAX);
    s->f.requests = 3; /* torn: more failures than requests */
    s->f.errors = 7;
    ends(s);
    assert_int_equal(s->scope.window[2].errors, 3);
}

static void no_content_of_a_damaged_scope_crashes_a_step(void **state)
{
    site *s = *state;
    uint64_t seed = 20261120;
    uint32_t n, byte;

    s->slow = slow_defaults;
    s->slow.window = s->burst.window = PM_WINDOW_MAX;
    for (n = 0; n < 3000; n++) {
        for (byte = 0; byte < sizeof(s->scope); byte++) {
            ((unsigned char *)&s->scope)[byte] = (unsigned char)splitmix_next(&seed);
        }
        s->scope.at_us = s->f.at_us - splitmix_next(&seed) % 3;
        for (byte = 0; byte < PM_WINDOW_MAX && n % 2; byte++) {
            s->scope.window[byte].at_us = s->f.at_us - splitmix_next(&seed) % (200 * PM_SECOND);
        }
        fails(s, n, n % 5, 0);
        s->f.slow_in_flight = n % 7;
        ends(s);
        assert_true(s->verdict.errors_onset_us <= s->f.at_us);
        assert_true(s->verdict.slow_onset_us <= s->f.at_us);
    }
}

/* ---- false alarms ---- */

/** Simulated days of independent failures; how often a rule began to hold. */
static uint32_t alarms(double failing, uint32_t per_1000_seconds, uint32_t days, uint64_t seed)
{
    static site s;
    uint32_t limit = (uint32_t)(failing * 4294967296.0), n, due = 0, count = 0, held = 0;

    memset(&s, 0, sizeof(s));
    s.burst = defaults;
    s.f.at_us = START;
    for (n = 0; n < days * 86400; n++) {
        uint32_t client = 0;

        for (due += per_1000_seconds; due >= 1000; due -= 1000) {
            uint64_t random = splitmix_next(&seed);

            client = (uint32_t)(random >> 40);
            if ((uint32_t)random < limit) {
                fails(&s, client, 1, 0);
            }
            else {
                succeeds(&s, client, 1);
            }
        }
        ends(&s);
        count += s.verdict.errors_hold && !held;
        held = s.verdict.errors_hold;
    }
    return count;
}

static void a_steady_one_per_cent_never_holds_in_a_busy_day(void **state)
{
    (void)state;
    assert_int_equal(alarms(0.01, 1000000, 1, 1), 0);
}

static void a_steady_four_per_cent_hardly_ever_holds_in_a_busy_day(void **state)
{
    (void)state;
    assert_in_range(alarms(0.04, 1000000, 1, 2), 0, 3);
}

static void six_per_cent_hold_within_seconds(void **state)
{
    site *s = *state;
    uint64_t seed = 3;
    uint32_t n, c;

    well(s, 20, 1000);
    for (n = 0; n < 20 && !s->verdict.errors_hold; n++) {
        for (c = 0; c < 1000; c++) {
            if (splitmix_next(&seed) % 100 < 6) {
                fails(s, c, 1, 0);
            }
            else {
                succeeds(s, c, 1);
            }
        }
        ends(s);
    }
    assert_in_range(n, 1, 12);
    assert_in_range(s->verdict.errors_onset_us, START + 20 * PM_SECOND, START + 22 * PM_SECOND);
}

static void one_per_cent_of_one_request_a_second_never_holds_in_a_month(void **state)
{
    (void)state;
    assert_int_equal(alarms(0.01, 1000, 30, 4), 0);
}

static void the_logarithm_agrees_with_the_c_librarys(void **state)
{
    double x;

    (void)state;
    for (x = 1e-12; x < 1e18; x *= 1.0037) {
        assert_true(fabs(pm_detect_log(x) - log(x)) < 1e-9);
    }
    assert_true(pm_detect_log(1) == 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_burst_shorter_than_the_window_but_over_the_threshold_holds),
        T(fewer_failures_than_the_threshold_do_not_hold),
        T(a_burst_leaves_the_window_with_time),
        T(a_small_virtual_host_that_fails_opens_alone),
        T(a_quiet_site_whose_every_request_fails_holds_by_its_fifth_failure),
        T(five_failures_at_once_on_a_quiet_site_hold_four_do_not),
        T(a_success_never_makes_the_rule_hold),
        T(a_failure_raises_and_a_success_lowers_the_sum_by_their_likelihood),
        T(a_single_failing_request_in_a_quiet_hour_does_not_hold),
        T(the_sum_recovers_soon_after_a_long_outage),
        T(a_busy_second_is_judged_in_the_order_that_alarms_least),
        T(a_third_of_few_requests_failing_holds_within_minutes),
        T(a_scanner_is_no_incident_while_three_other_clients_succeed),
        T(a_scanner_is_no_incident_while_three_others_succeed_slowly),
        T(a_client_that_fails_now_and_then_is_no_incident_while_three_others_succeed),
        T(strays_before_it_do_not_hide_a_scanner),
        T(where_one_failure_is_enough_a_scanner_is_one),
        T(a_single_client_that_fails_alone_holds),
        T(a_single_client_that_fails_beside_a_health_checker_holds),
        T(two_succeeding_clients_do_not_clear_a_single_one),
        T(many_failing_clients_are_not_taken_for_one),
        T(two_failing_clients_that_share_a_bucket_are_told_apart),
        T(others_failures_beside_a_scanner_count),
        T(the_scanners_failures_do_not_date_the_others),
        T(without_known_clients_all_failures_count),
        T(a_set_of_clients_keeps_the_first_distinct_ones),
        T(the_share_of_clients_hit_holds_though_few_requests_fail),
        T(a_backend_that_hangs_holds_within_the_window_since_the_first_hung_arrival),
        T(a_hang_of_a_server_with_ten_workers_holds_within_the_window),
        T(stray_slow_requests_neither_hold_nor_move_the_onset),
        T(fewer_slow_requests_than_asked_for_do_not_hold),
        T(slow_off_never_holds),
        T(a_stray_failure_before_the_burst_is_not_its_onset),
        T(the_onset_is_right_wherever_in_the_second_the_burst_begins),
        T(requests_that_failed_by_a_time_out_began_when_they_arrived),
        T(a_stray_failure_that_waited_does_not_move_the_onset),
        T(failures_before_a_silence_are_not_the_onset),
        T(a_burst_that_has_passed_is_still_the_onset),
        T(an_idle_second_takes_no_room),
        T(the_window_goes_by_time_when_ticks_are_late),
        T(a_clock_that_steps_back_neither_holds_for_ever_nor_blinds),
        T(failures_do_not_come_back_when_a_clock_that_stepped_back_gets_there_again),
        T(a_quiet_sites_failures_count_across_a_step_of_the_clock),
        T(an_unknown_arrival_is_taken_as_just_before_the_intervals_end),
        T(absurd_figures_saturate),
        T(no_content_of_a_damaged_scope_crashes_a_step),
        T(a_steady_one_per_cent_never_holds_in_a_busy_day),
        T(a_steady_four_per_cent_hardly_ever_holds_in_a_busy_day),
        T(six_per_cent_hold_within_seconds),
        T(one_per_cent_of_one_request_a_second_never_holds_in_a_month),
        T(the_logarithm_agrees_with_the_c_librarys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
