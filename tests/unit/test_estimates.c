/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_estimates.c: bounds of an incident's figures, and what is said of them.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "pm_estimates.h"

static const char *requests_said(uint64_t failed, uint64_t requests, uint32_t fewer, uint32_t more)
{
    static char words[PM_ESTIMATE_WORDS];
    pm_incident *in = calloc(1, sizeof(*in));

    in->requests = requests;
    in->requests_fewer = fewer;
    in->requests_more = more;
    pm_requests_words(in, failed, words);
    free(in);
    return words;
}

static void a_share_of_requests_is_no_more_exact_than_what_is_known(void **state)
{
    (void)state;
    assert_string_equal(requests_said(45, 60, 0, 0), "45 of 60 requests (75 %)");
    assert_string_equal(requests_said(45, 6012, 20, 20), "45 of about 6012 requests (0.7 %)");
    assert_string_equal(requests_said(500, 500, 0, 530),
                        "500 of 500 to 1030 requests (49 to 100 %)");
    assert_string_equal(requests_said(4, 4, 0, UINT32_MAX), "4 of at least 4 requests");
}

static const char *clients_said(double hit, double all, uint32_t least, uint32_t most)
{
    static char words[PM_ESTIMATE_WORDS];
    pm_incident *in = calloc(1, sizeof(*in));

    in->clients_known = 1;
    in->clients = all;
    in->error_clients = hit;
    in->clients_least = least;
    in->clients_most = most;
    pm_clients_words(in, words);
    free(in);
    return words;
}

static void a_share_of_clients_is_no_more_exact_than_what_is_known(void **state)
{
    (void)state;
    assert_string_equal(clients_said(0, 6, 6, 6), "");
    assert_string_equal(clients_said(3.0004, 6.001, 6, 6), "3 of 6 clients (50 %)");
    assert_string_equal(clients_said(12, 40, 0, 0), "about 12 of 40 clients (30 %)");
    assert_string_equal(clients_said(12.1, 40.2, 39, 41),
                        "about 12 of 39 to 41 clients (29 to 31 %)");
    assert_string_equal(clients_said(500, 630, 500, 1030),
                        "about 500 of 500 to 1030 clients (49 to 100 %)");
}

static void a_record_whose_bounds_were_not_kept_has_the_sketchs_error_alone(void **state)
{
    pm_incident *in = calloc(1, sizeof(*in));
    pm_estimates error;

    (void)state;
    in->requests = 100;
    in->clients = 1000;
    in->error_clients = 5;
    pm_clients_estimates(in, &error);
    assert_true(error.total == pm_sketch_error(1000) && error.affected == 0);
    assert_int_equal(pm_requests_bounds(in).least, 100);
    assert_int_equal(pm_requests_bounds(in).most, 100);
    free(in);
}

static void bounds_of_any_bytes_are_in_order(void **state)
{
    pm_incident *in = calloc(1, sizeof(*in));
    char words[PM_ESTIMATE_WORDS];
    pm_estimates error;
    pm_bounds b;

    (void)state;
    in->clients_known = 1;
    in->requests = UINT64_MAX;
    in->requests_fewer = in->requests_more = in->clients_least = in->affected_more = UINT32_MAX;
    in->clients_most = 1;
    in->clients = 1e18;
    in->error_clients = 1e18;
    b = pm_requests_bounds(in);
    assert_true(b.least <= in->requests && in->requests <= b.most);
    pm_clients_estimates(in, &error);
    assert_true(error.total >= 0 && error.affected >= 0 && error.affected_ratio >= 0 &&
                error.affected_ratio <= 1);
    pm_requests_words(in, UINT64_MAX, words);
    pm_clients_words(in, words);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_requests_is_no_more_exact_than_what_is_known),
        cmocka_unit_test(a_share_of_clients_is_no_more_exact_than_what_is_known),
        cmocka_unit_test(a_record_whose_bounds_were_not_kept_has_the_sketchs_error_alone),
        cmocka_unit_test(bounds_of_any_bytes_are_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
