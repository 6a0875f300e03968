/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* test_unserved.c: incidents of clients who are refused or sent round, from requests to what is on disk. */
#include "fold_case.h"

#include "splitmix.h"

#define CLIENTS 8u
#define LEARNED 40

/** Each of the clients asks once, and is answered so. */
static void all_get(bench *b, uint32_t vhost, uint32_t status)
{
    for (uint32_t c = 0; c < CLIENTS; c++) {
        pm_completed done = {.arrival_us = b->now + 1000 + 100000 * c,
                             .done_us = b->now + 2000 + 100000 * c,
                             .client = splitmix_hash(c + 1),
                             .status = status,
                             .vhost = vhost,
                             .stripe = c};

        pm_live_count(&b->live, &done);
    }
}

static void seconds_of(bench *b, int seconds, uint32_t vhost, uint32_t status)
{
    for (int i = 0; i < seconds; i++) {
        all_get(b, vhost, status);
        tick(b);
    }
}

static void idle(bench *b, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        tick(b);
    }
}

static void a_redirect_that_is_followed_once_is_no_incident(void **state)
{
    bench *b = make_bench(*state);

    seconds_of(b, LEARNED, 1, 200);
    seconds_of(b, 1, 1, 301); /* to a server of which we know nothing */
    idle(b, 8);               /* a longer silence would be told as one */
    incident(b, 0, 0);
    end_bench(b);
}

static void a_virtual_host_that_sends_all_to_another_is_no_incident(void **state)
{
    bench *b = make_bench(*state);

    seconds_of(b, LEARNED, 1, 200);
    for (int i = 0; i < 60; i++) { /* as to HTTPS: who is sent is served there */
        for (int page = 0; page < 4; page++) {
            all_get(b, 1, 301);
            all_get(b, 2, 200);
        }
        tick(b);
    }
    idle(b, 5);
    incident(b, 0, 0);
    end_bench(b);
}

static void redirects_that_lead_nowhere_are_an_incident(void **state)
{
    bench *b = make_bench(*state);

    seconds_of(b, LEARNED, 1, 200);
    for (int i = 0; i < 8; i++) {
        for (int again = 0; again < 5; again++) {
            all_get(b, 1, 301);
        }
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->kinds, PM_KIND_REDIRECTS);
    end_bench(b);
}

static void an_incident_of_refusals_lasts_through_a_restart_until_clients_are_served(void **state)
{
    bench *b = make_bench(*state);
    uint64_t before;
    pm_live old;

    seconds_of(b, LEARNED, 1, 200);
    seconds_of(b, 5, 1, 403);
    assert_int_equal(incident(b, 1, 0)->kinds, PM_KIND_REFUSED);
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    stop_run(b);
    b->now += 2 * PM_SECOND;
    start_run(b, 2, &old);
    before = b->now;
    seconds_of(b, 90, 1, 403); /* longer than the time to clear */
    assert_int_equal(incident(b, 1, 0)->open, 1);
    assert_true(incident(b, 1, 0)->end_us > before + 80 * PM_SECOND);
    seconds_of(b, 70, 1, 200);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    pm_live_detach(&old);
    end_bench(b);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_redirect_that_is_followed_once_is_no_incident),
        CASE(a_virtual_host_that_sends_all_to_another_is_no_incident),
        CASE(redirects_that_lead_nowhere_are_an_incident),
        CASE(an_incident_of_refusals_lasts_through_a_restart_until_clients_are_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
