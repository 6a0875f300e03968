/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_stopped.c: a stop in order as a recorder sees it that stays: when it becomes an outage, and how it ends.
 */
#include "fold_case.h"

#define PATIENCE (60 * PM_SECOND)

static void a_request(bench *b, uint32_t monitor)
{
    pm_completed done = {.arrival_us = b->now,
                         .done_us = b->now + 1000,
                         .bytes = 100,
                         .client = 7,
                         .status = 200,
                         .vhost = 1,
                         .monitor = monitor};

    pm_live_count(&b->live, &done);
}

static void note_event(bench *b, uint32_t type, const char *data)
{
    pm_event e = {.at_us = b->now, .run = b->state->run, .type = type};

    strcpy(e.text, "an event");
    e.data = data;
    e.data_len = (uint32_t)strlen(data);
    assert_int_equal(pm_capture_lock(b->fold.capture, PM_SECOND), APR_SUCCESS);
    assert_int_equal(pm_capture_put_event(b->fold.capture, &e), APR_SUCCESS);
    pm_capture_unlock(b->fold.capture);
}

enum { NOBODY, CLIENTS, MONITORING };

/** A server that was asked, and is stopped in order; gives when. */
static uint64_t stopped(bench *b, int asked)
{
    uint64_t at;

    b->fold.stopped_us = PATIENCE;
    for (int i = 0; i < 5; i++) {
        if (asked != NOBODY) {
            a_request(b, asked == MONITORING);
        }
        tick(b);
    }
    at = b->now;
    note_event(b, PM_EV_SERVER_STOP, "{}");
    atomic_store(&b->control->stopping, 1);
    tick(b);
    return at;
}

static void wait_on(bench *b, int seconds)
{
    for (int i = 0; i < seconds; i++) {
        b->now += PM_SECOND;
        b->monotonic += PM_SECOND;
        if (pm_fold_is_down(&b->fold) || pm_fold_stopped(&b->fold, b->now)) {
            pm_fold_down(&b->fold, b->now);
        }
    }
}

static void next_run(bench *b)
{
    b->now += 10 * PM_SECOND;
    stop_run(b);
    b->fold.tick = NULL;
    start_run(b, 2, NULL);
    tick(b);
}

static void
a_stop_becomes_an_incident_when_its_time_is_over_and_lasts_until_the_next_run(void **state)
{
    bench *b = make_bench(*state);
    uint64_t at = stopped(b, CLIENTS);
    const pm_incident *in;

    wait_on(b, 59);
    incident(b, 0, 0);
    wait_on(b, 2);
    in = incident(b, 1, 0);
    assert_true(in->open);
    assert_int_equal(in->kinds, PM_KIND_STOPPED);
    assert_int_equal(in->onset_us, at);
    wait_on(b, 30);
    in = incident(b, 1, 0);
    assert_true(in->open);
    assert_int_equal(in->unserved_us, b->now - at);
    next_run(b);
    in = incident(b, 1, 0);
    assert_false(in->open);
    assert_int_equal(in->kinds, PM_KIND_STOPPED);
    assert_int_equal(in->unserved_us, in->end_us - at);
    end_bench(b);
}

static void a_stop_that_somebody_meant_is_none(void **state)
{
    for (int why = 0; why < 4; why++) {
        bench *b = make_bench(*state);

        stopped(b, why == 0 ? NOBODY : why == 3 ? MONITORING : CLIENTS);
        if (why == 1) {
            note_event(b, PM_EV_NOTE, "{\"user\":\"root\",\"maintenance\":true}");
        }
        if (why == 2) {
            b->fold.stopped_us = 0;
        }
        for (int i = 0; i < 2 && why == 3;
             i++) { /* what is known of a run stays so until an event comes */
            note_event(b, PM_EV_NOTE, "{}");
        }
        wait_on(b, 300);
        incident(b, 0, 0);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

static void a_start_that_fails_makes_it_down_at_once(void **state)
{
    bench *b = make_bench(*state);
    uint64_t at = stopped(b, CLIENTS);
    const pm_incident *in;

    wait_on(b, 3);
    note_event(b, PM_EV_START_FAILED, "{}");
    wait_on(b, 1);
    in = incident(b, 1, 0);
    assert_int_equal(in->kinds, PM_KIND_DOWN);
    assert_true(in->open && in->onset_us >= at && in->onset_us <= at + PM_SECOND);
    wait_on(b, 100);
    next_run(b);
    in = incident(b, 1, 0);
    assert_false(in->open);
    assert_int_equal(in->kinds, PM_KIND_DOWN);
    end_bench(b);
}

static void a_start_that_fails_later_counts_no_moment_twice(void **state)
{
    bench *b = make_bench(*state);
    uint64_t at = stopped(b, CLIENTS);
    const pm_incident *in;

    wait_on(b, 90);
    assert_int_equal(incident(b, 1, 0)->kinds, PM_KIND_STOPPED);
    note_event(b, PM_EV_START_FAILED, "{}");
    wait_on(b, 30);
    in = incident(b, 1, 0);
    assert_int_equal(in->kinds, PM_KIND_STOPPED | PM_KIND_DOWN);
    assert_int_equal(in->unserved_us, b->now - at);
    end_bench(b);
}

/** It listens no more from the signal on, and may serve what it has for minutes. */
static void a_server_that_was_told_to_end_is_not_silent(void **state)
{
    for (int asked = 0; asked < 2; asked++) {
        bench *b = make_bench(*state);
        size_t count;
        pm_incident **list;

        for (int i = 0; i < 60; i++) {
            for (uint32_t client = 1; client <= 5; client++) {
                pm_completed done = {.arrival_us = b->now,
                                     .done_us = b->now + 1000,
                                     .client = client * 0x9e3779b97f4a7c15ull,
                                     .status = 200,
                                     .vhost = 1};

                pm_live_count(&b->live, &done);
            }
            tick(b);
        }
        atomic_store(&b->control->asked, (uint32_t)asked);
        for (int i = 0; i < 60; i++) {
            tick(b);
        }
        assert_int_equal(pm_capture_incidents(b->fold.capture, &list, &count, b->f->pool), 0);
        assert_int_equal(count, asked ? 0 : 1);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(a_stop_becomes_an_incident_when_its_time_is_over_and_lasts_until_the_next_run),
        CASE(a_stop_that_somebody_meant_is_none),
        CASE(a_start_that_fails_makes_it_down_at_once),
        CASE(a_start_that_fails_later_counts_no_moment_twice),
        CASE(a_server_that_was_told_to_end_is_not_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
