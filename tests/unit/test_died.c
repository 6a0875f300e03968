/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_died.c: children that died, and workers that are all busy, become events: few, and none is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../mod_pmcapture/recorder/fold_private.h"
#include "pm_json.h"
#include "pm_time.h"

#define START (1795210205 * PM_SECOND)

typedef struct bench {
    pm_fold fold;
    pm_tick *tick;
    pm_ledger *state;
    pm_control *control;
} bench;

static int begin(void **state)
{
    bench *b = calloc(1, sizeof(*b));

    b->tick = calloc(1, sizeof(*b->tick));
    b->state = b->fold.state = calloc(1, pm_ledger_size(1));
    b->control = b->fold.control = calloc(1, sizeof(*b->control));
    b->tick->now_us = START;
    *state = b;
    return 0;
}

static int end(void **state)
{
    bench *b = *state;

    free(b->tick);
    free(b->state);
    free(b->control);
    free(b);
    return 0;
}

/** Event number `n` since the beginning; all of them hold sound data. */
static const pm_pending_event *event(const bench *b, uint64_t n)
{
    const pm_pending_event *e = &b->state->pending[n];

    assert_in_range(n + 1, 1, b->state->pending_next);
    assert_true(pm_json_valid(e->data, strlen(e->data)));
    return e;
}

static void assert_says(const pm_pending_event *e, const char *words)
{
    if (strstr(e->text, words) == NULL && strstr(e->data, words) == NULL) {
        fail_msg("\"%s\" is not in \"%s\" nor in %s", words, e->text, e->data);
    }
}

/* ---- crashes ---- */

static void crash(bench *b, uint32_t pid, int32_t signal)
{
    uint64_t n = b->control->crashes;

    b->control->crash[n % PM_CRASHES_KEPT] =
        (pm_crash){b->tick->now_us, pid, 3, signal, PM_UNKNOWN, 0, 0};
    b->control->crashes = n + 1;
}

static void second(bench *b)
{
    b->tick->now_us += PM_SECOND;
    pm_crashes_step(&b->fold, b->tick);
}

static void a_crash_is_said_with_the_next_tick_and_once(void **state)
{
    bench *b = *state;

    crash(b, 4711, 11);
    for (int i = 0; i < 30; i++) {
        second(b);
    }
    assert_int_equal(b->state->pending_next, 1);
    assert_int_equal(event(b, 0)->type, PM_EV_CHILD_CRASH);
    assert_int_equal(event(b, 0)->at_us, START);
    assert_says(event(b, 0), "Child 4711 died: signal 11 (Segmentation fault)");
    assert_says(event(b, 0), "{\"pid\":4711,\"signal\":11,\"count\":1,\"total\":1,");
    assert_int_equal(b->state->checkpoint.server.crashes, 1);
}

static void a_silent_end_and_a_hidden_signal_are_told_apart(void **state)
{
    bench *b = *state;

    crash(b, 1, PM_CRASH_SILENT);
    second(b);
    b->tick->now_us += 20 * PM_SECOND;
    crash(b, 2, PM_CRASH_UNSEEN);
    second(b);
    assert_says(event(b, 0), "killed, no signal logged (out of memory?)");
    assert_says(event(b, 0), "\"signal\":null");
    assert_says(event(b, 1), "signal not visible with this ErrorLog and LogLevel");
    assert_says(event(b, 1), "\"signal\":null");
    b->tick->now_us += 20 * PM_SECOND;
    crash(b, 3, PM_CRASH_EXITED);
    second(b);
    assert_says(event(b, 2), "exit() was called in it");
    assert_says(event(b, 2), "\"signal\":null");
}

static void a_crash_tells_how_many_requests_it_took_along(void **state)
{
    bench *b = *state;

    crash(b, 1, 11);
    b->control->crash[0].requests = 2;
    b->control->crash[0].oldest_ms = 3250;
    second(b);
    assert_says(event(b, 0), "it was serving 2 requests, the oldest for 3.2 s");
    assert_says(event(b, 0), "\"requests\":2,\"oldest\":3.25}");
}

static void a_storm_is_an_event_every_ten_seconds_and_every_crash_is_counted(void **state)
{
    bench *b = *state;
    uint64_t told = 0;

    for (uint32_t i = 0; i < 40; i++) {
        for (uint32_t k = 0; k < 9; k++) {
            crash(b, 100 * i + k, k % 3 ? 11 : PM_CRASH_SILENT);
        }
        second(b);
    }
    b->tick->now_us += 10 * PM_SECOND;
    second(b);
    assert_int_equal(b->state->checkpoint.server.crashes, 360);
    assert_in_range(b->state->pending_next, 4, 6);
    for (uint64_t n = 0; n < b->state->pending_next; n++) {
        told += strtoull(strstr(event(b, n)->data, "\"count\":") + 8, NULL, 10);
    }
    assert_int_equal(told, 360);
    assert_says(event(b, 1), "90 children died within");
    assert_says(event(b, 1), "killed, no signal logged (out of memory?): 30");
    assert_says(event(b, 1), "signal 11 (Segmentation fault): 60");
}

static void more_crashes_than_are_kept_are_still_counted(void **state)
{
    bench *b = *state;

    for (uint32_t i = 0; i < 5 * PM_CRASHES_KEPT; i++) {
        crash(b, i, i < 4 * PM_CRASHES_KEPT ? 6 : 11);
    }
    second(b);
    assert_int_equal(b->state->pending_next, 1);
    assert_says(event(b, 0), "640 children died within 0 s: signal 11 (Segmentation fault): 128");
    assert_int_equal(b->state->checkpoint.server.crashes, 640);
}

static void what_a_storm_still_owes_is_said_before_the_recorder_ends(void **state)
{
    bench *b = *state;

    crash(b, 1, 11);
    second(b);
    crash(b, 2, 11);
    second(b);
    assert_int_equal(b->state->pending_next, 1);
    b->control->stopping = 1;
    second(b);
    assert_says(event(b, 1), "Child 2 died");
}

/* ---- workers ---- */

static void workers(bench *b, int seconds, uint32_t busy, uint32_t idle, uint32_t limit)
{
    pm_row row = {.busy = busy, .idle = idle, .limit = limit};

    for (int i = 0; i < seconds; i++) {
        b->tick->now_us += PM_SECOND;
        pm_workers_step(&b->fold, b->tick, &row);
    }
}

static void no_idle_worker_for_three_seconds_is_said_and_its_end(void **state)
{
    bench *b = *state;

    workers(b, 5, 3, 1, 4);
    workers(b, 2, 4, 0, 4);
    assert_int_equal(b->state->pending_next, 0);
    workers(b, 60, 4, 0, 4);
    assert_int_equal(b->state->pending_next, 1);
    assert_int_equal(event(b, 0)->severity, PM_WARNING);
    assert_int_equal(event(b, 0)->at_us, START + 6 * PM_SECOND);
    assert_says(event(b, 0), "{\"busy\":4,\"limit\":4,\"until\":null}");
    workers(b, 5, 3, 1, 4);
    assert_int_equal(b->state->pending_next, 2);
    assert_int_equal(event(b, 1)->at_us, START + 68 * PM_SECOND);
    assert_says(event(b, 1), "\"until\":\"2026-11-20T21:31:13.000Z\"");
    assert_says(event(b, 1), "after 1 min 2 s");
}

static void shorter_shortages_and_room_for_more_processes_are_no_exhaustion(void **state)
{
    bench *b = *state;

    for (int i = 0; i < 10; i++) {
        workers(b, 2, 4, 0, 4);
        workers(b, 1, 3, 1, 4);
    }
    workers(b, 20, 3, 0, 4); /* httpd may still start one */
    assert_int_equal(b->state->pending_next, 0);
}

static void workers_that_nobody_could_count_change_nothing(void **state)
{
    bench *b = *state;

    workers(b, 2, 4, 0, 4);
    workers(b, 5, PM_UNKNOWN, PM_UNKNOWN, PM_UNKNOWN);
    assert_int_equal(b->state->pending_next, 0);
    workers(b, 1, 4, 0, 4);
    assert_int_equal(b->state->pending_next, 1);
    workers(b, 5, PM_UNKNOWN, PM_UNKNOWN, PM_UNKNOWN);
    assert_int_equal(b->state->pending_next, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_crash_is_said_with_the_next_tick_and_once),
        CASE(a_silent_end_and_a_hidden_signal_are_told_apart),
        CASE(a_crash_tells_how_many_requests_it_took_along),
        CASE(a_storm_is_an_event_every_ten_seconds_and_every_crash_is_counted),
        CASE(more_crashes_than_are_kept_are_still_counted),
        CASE(what_a_storm_still_owes_is_said_before_the_recorder_ends),
        CASE(no_idle_worker_for_three_seconds_is_said_and_its_end),
        CASE(shorter_shortages_and_room_for_more_processes_are_no_exhaustion),
        CASE(workers_that_nobody_could_count_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
