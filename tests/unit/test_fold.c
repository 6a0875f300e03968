/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_fold.c: requests counted in a live region, ticks, and what is on disk then: the life of an incident.
 */
#include "fold_case.h"

#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <apr_strings.h>

#include "pm_estimates.h"
#include "pm_source.h"
#include "splitmix.h"

#define CLIENTS 40u

/** A request that is answered `at` microseconds into the second that is now filling. */
static void request(bench *b, uint32_t vhost, uint32_t client, uint32_t status, uint64_t at,
                    uint64_t took)
{
    uint64_t done_us = b->now + at;
    pm_completed done = {.arrival_us = done_us - took,
                         .done_us = done_us,
                         .bytes = 100,
                         .client = splitmix_hash(client + 1),
                         .status = status,
                         .vhost = vhost,
                         .stripe = client};

    pm_live_count(&b->live, &done);
    b->counted++;
    b->failed += status >= 500;
}

/** `n` requests from as many clients, spread over the second. */
static void requests(bench *b, uint32_t vhost, uint32_t n, uint32_t status)
{
    for (uint32_t i = 0; i < n; i++) {
        request(b, vhost, i % CLIENTS, status, 900000ull * i / n + 1000, 1000);
    }
}

static void quiet(bench *b, int seconds, uint32_t vhost)
{
    for (int i = 0; i < seconds; i++) {
        requests(b, vhost, 20, 200);
        tick(b);
    }
}

static uint64_t requests_on_disk(bench *b)
{
    pm_checkpoint *cp = calloc(1, sizeof(*cp));
    uint64_t n;

    assert_int_equal(pm_capture_checkpoint(b->fold.capture, cp), APR_SUCCESS);
    n = pm_model_requests(&cp->totals);
    assert_int_equal(pm_model_errors(&cp->totals), b->failed);
    free(cp);
    return n;
}

/* ---- counts ---- */

static void each_second_becomes_a_row_and_totals_are_exact(void **state)
{
    bench *b = make_bench(*state);
    uint64_t from = b->now;
    pm_row *rows;
    size_t count;

    for (uint32_t i = 1; i <= 5; i++) {
        requests(b, 1, 10 * i, 200);
        requests(b, 2, i, 404);
        tick(b);
    }
    assert_int_equal(requests_on_disk(b), b->counted);
    assert_int_equal(pm_capture_seconds(b->fold.capture, from, b->now, &rows, &count, b->f->pool),
                     APR_SUCCESS);
    assert_int_equal(count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(rows[i].requests, 11 * (i + 1));
        assert_int_equal(rows[i].classes[3], i + 1);
        assert_int_equal(rows[i].idle, 9);
        assert_int_equal(rows[i].bytes, 1100 * (i + 1));
    }
    end_bench(b);
}

static void a_dead_runs_remainder_is_counted_once_by_the_next_run(void **state)
{
    bench *b = make_bench(*state);
    pm_live old;

    requests(b, 1, 50, 200);
    tick(b);
    requests(b, 1, 7, 200);
    requests(b, 2, 3, 500); /* after the last tick: in memory alone */
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    stop_run(b);
    b->now += 3 * PM_SECOND;
    start_run(b, 2, &old);
    tick(b);
    assert_int_equal(requests_on_disk(b), b->counted);
    requests(b, 1, 5, 200);
    tick(b);
    assert_int_equal(requests_on_disk(b), b->counted);
    pm_live_detach(&old);
    end_bench(b);
}

static void twenty_failures(bench *b)
{
    requests(b, 1, 20, 500);
}

static void what_a_run_answers_before_its_recorder_is_there_is_not_the_last_runs(void **state)
{
    bench *b = make_bench(*state);
    uint64_t last_alive, started;
    pm_live old;
    pm_row *rows;
    size_t count;

    requests(b, 1, 50, 200);
    tick(b);
    last_alive = b->now;
    requests(b, 1, 7, 200); /* after the last tick */
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    stop_run(b);
    b->now += 30 * PM_SECOND;
    started = b->now;
    b->early = twenty_failures;
    start_run(b, 2, &old);
    tick(b);
    assert_int_equal(
        pm_capture_seconds(b->fold.capture, last_alive, b->now, &rows, &count, b->f->pool),
        APR_SUCCESS);
    assert_int_equal(count, 2);
    assert_int_equal(rows[0].requests, 7);
    assert_int_equal(rows[0].errors, 0);
    assert_int_equal(rows[1].requests, 20);
    assert_true(rows[1].at_us >= started);
    assert_int_equal(requests_on_disk(b), b->counted);
    pm_live_detach(&old);
    end_bench(b);
}

/** The run's recorder and its parent die. */
static void leave(bench *b)
{
    pm_live_detach(&b->live);
    pm_capture_close(b->fold.capture);
    free(b->fold.tick);
    free(b->state);
    free(b->control);
    b->fold.tick = NULL;
    b->now += 3 * PM_SECOND;
}

static void a_region_that_a_later_run_drains_again_is_not_counted_twice(void **state)
{
    bench *b = make_bench(*state);
    pm_live old;

    requests(b, 1, 50, 200);
    tick(b);
    requests(b, 1, 7, 200);
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    for (uint64_t run = 2; run <= 4; run++) { /* they have no place for it */
        leave(b);
        start_run(b, run, NULL);
        requests(b, 1, 5, 200);
        tick(b);
    }
    leave(b);
    start_run(b, 5, &old);
    tick(b);
    assert_int_equal(requests_on_disk(b), b->counted);
    pm_live_detach(&old);
    end_bench(b);
}

static void of_many_runs_each_is_counted(void **state)
{
    bench *b = make_bench(*state);

    for (uint64_t run = 2; run <= 3 * PM_RUNS; run++) {
        requests(b, 1, 5, 200);
        tick(b);
        leave(b);
        start_run(b, run, NULL);
    }
    requests(b, 1, 5, 200);
    tick(b);
    assert_int_equal(requests_on_disk(b), b->counted);
    end_bench(b);
}

static void another_recorder_goes_on_where_one_died(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, 50, 200);
    tick(b);
    requests(b, 1, 50, 503);
    tick(b);
    free(b->fold.tick); /* a new process: its own working memory, the same ledger */
    b->fold.tick = NULL;
    assert_int_equal(pm_fold_begin(&b->fold, b->now, b->monotonic, b->f->pool, &b->f->err),
                     APR_SUCCESS);
    requests(b, 1, 50, 503);
    tick(b);
    assert_int_equal(requests_on_disk(b), b->counted);
    assert_int_equal(incident(b, 1, 0)->errors, 100);
    end_bench(b);
}

/* ---- the life of an incident ---- */

static void onset_is_the_first_failures_arrival_and_end_the_last_ones_completion(void **state)
{
    bench *b = make_bench(*state);
    uint64_t onset, end;
    pm_incident *in;

    quiet(b, 10, 1);
    onset = b->now + 200000 - 50000;
    request(b, 1, 1, 503, 200000, 50000);
    requests(b, 1, 19, 503);
    /* The others begin earlier than that: the earliest arrival is the onset. */
    onset = b->now + 1000 - 1000 < onset ? b->now : onset;
    tick(b);
    requests(b, 1, 20, 503);
    end = b->now + 950000;
    request(b, 1, 2, 503, 950000, 10000);
    tick(b);
    quiet(b, 7, 1);
    in = incident(b, 1, 0);
    assert_int_equal(in->onset_us, onset);
    assert_int_equal(in->end_us, end);
    assert_int_equal(in->open, 0);
    assert_int_equal(in->errors, 41);
    assert_int_equal(in->requests, 41);
    assert_int_equal(in->status_code[0], 503);
    assert_int_equal(in->status_count[0], 41);
    assert_true(in->kinds == PM_KIND_ERRORS);
    assert_string_equal(in->vhost, "");
    end_bench(b);
}

static void what_an_incident_has_told_opens_no_other_when_it_is_closed(void **state)
{
    bench *b = make_bench(*state);

    for (int i = 0; i < 6; i++) { /* a quiet site, of which each request fails */
        requests(b, 1, 1, 503);
        tick(b);
    }
    requests(b, 1, 1, 200); /* it is well again, and nobody asks */
    for (int i = 0; i < 30; i++) {
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->open, 0);
    assert_int_equal(incident(b, 1, 0)->errors, 6);
    end_bench(b);
}

/** A worker that is held up writes to the epoch that was active when it began. */
static void a_time_that_was_written_late_is_the_onset(void **state)
{
    for (uint32_t late = 1; late < PM_EPOCHS - 1; late++) {
        bench *b = make_bench(*state);
        pm_vhost_live *vh = &b->live.vhosts[1];
        uint32_t active;
        uint64_t arrival;

        quiet(b, 3, 1);
        requests(b, 1, 12, 503);
        active = pm_live_epoch(&b->live);
        arrival = atomic_exchange(&vh->epoch[active % PM_EPOCHS].first_error_us, 0);
        atomic_store(&vh->epoch[(active - late) % PM_EPOCHS].first_error_us, arrival);
        tick(b);
        assert_int_equal(incident(b, 1, 0)->onset_us, arrival);
        end_bench(b);
        remove(((fixture *)*state)->path);
    }
}

static void requests_are_those_from_onset_to_end_also_within_a_second(void **state)
{
    bench *b = make_bench(*state);
    uint64_t begin_us = b->now + 10 * PM_SECOND + 500000, end_us = begin_us + 3 * PM_SECOND;
    pm_incident *in;

    for (int second = 0; second < 25; second++) {
        for (uint32_t i = 0; i < 100; i++) { /* 40 of 100 fail between half past and half past */
            uint64_t at = 10000ull * i;
            int failing = b->now + at >= begin_us && b->now + at < end_us && i % 5 < 2;

            request(b, 1, i % CLIENTS, failing ? 503 : 200, at + 500, 500);
        }
        tick(b);
    }
    in = incident(b, 1, 0);
    assert_int_equal(in->open, 0);
    assert_int_equal(in->errors, 120);
    assert_in_range(in->requests, 295, 305);
    assert_in_range(in->by_vhost[0].requests, 295, 305);
    end_bench(b);
}

static void a_virtual_hosts_requests_are_trimmed_by_its_own_seconds(void **state)
{
    bench *b = make_bench(*state);
    uint64_t begin_us = b->now + 10 * PM_SECOND + 500000, end_us = begin_us + 3 * PM_SECOND;
    pm_incident *in;

    for (int second = 0; second < 25; second++) {
        for (uint32_t i = 0; i < 100; i++) { /* one fails wholly, the other never */
            uint64_t at = 10000ull * i;
            int failing = b->now + at >= begin_us && b->now + at < end_us;

            request(b, 1, i % CLIENTS, 200, at + 400, 300);
            request(b, 2, i % CLIENTS, failing ? 503 : 200, at + 500, 500);
        }
        tick(b);
    }
    in = incident(b, 1, 0);
    assert_string_equal(in->by_vhost[0].key, "api.example:80");
    assert_int_equal(in->by_vhost[0].errors, 300);
    assert_in_range(in->by_vhost[0].requests, 300, 306);
    end_bench(b);
}

static void bursts_closer_than_clear_are_one_and_farther_ones_two(void **state)
{
    bench *b = make_bench(*state);

    quiet(b, 5, 1);
    requests(b, 1, 20, 500);
    tick(b);
    quiet(b, 3, 1); /* clear is 5 s */
    requests(b, 1, 20, 500);
    tick(b);
    quiet(b, 8, 1);
    assert_int_equal(incident(b, 1, 0)->errors, 40);
    assert_int_equal(incident(b, 1, 0)->requests,
                     100); /* what succeeded between is part of the window */
    requests(b, 1, 20, 500);
    tick(b);
    quiet(b, 8, 1);
    assert_int_equal(incident(b, 2, 1)->errors, 20);
    end_bench(b);
}

static void without_traffic_an_incident_stays_open(void **state)
{
    bench *b = make_bench(*state);

    quiet(b, 5, 1);
    requests(b, 1, 20, 500);
    for (int i = 0; i < 30; i++) {
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->open, 1);
    assert_int_equal(incident(b, 1, 0)->served_since_end, 0);
    quiet(b, 1, 1);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    end_bench(b);
}

static void an_open_incident_knows_what_came_since_its_end(void **state)
{
    bench *b = make_bench(*state);
    const pm_incident *in;

    quiet(b, 70, 1);
    requests(b, 1, 20, 500);
    tick(b);
    quiet(b, 3, 1);
    in = incident(b, 1, 0);
    assert_int_equal(in->open, 1);
    assert_int_equal(in->clear_s, 5);
    assert_int_equal(in->since_end, 0);
    assert_int_equal(in->served_since_end, 60);
    requests(b, 1, 1, 500);
    tick(b);
    assert_int_equal(incident(b, 1, 0)->served_since_end, 0);
    end_bench(b);
}

static void a_virtual_host_of_its_own_is_the_scope_when_the_server_is_well(void **state)
{
    bench *b = make_bench(*state);
    pm_incident *in;

    for (int i = 0; i < 12; i++) {
        requests(b, 1, 97, 200);
        requests(b, 2, 3, 502);
        tick(b);
    }
    in = incident(b, 1, 0);
    assert_string_equal(in->vhost, "api.example:80");
    assert_int_equal(in->requests, 36);
    assert_int_equal(in->errors, 36);
    assert_string_equal(in->by_vhost[0].key, "api.example:80");
    assert_string_equal(in->by_vhost[0].defined, "sites/api.conf:12");
    assert_int_equal(in->by_vhost[0].errors, 36);
    end_bench(b);
}

static void both_failing_is_one_incident_of_the_server(void **state)
{
    bench *b = make_bench(*state);
    pm_incident *in;

    quiet(b, 5, 1);
    for (int i = 0; i < 4; i++) {
        requests(b, 1, 30, 500);
        requests(b, 2, 20, 503);
        tick(b);
    }
    in = incident(b, 1, 0);
    assert_string_equal(in->vhost, "");
    assert_int_equal(in->errors, 200);
    assert_string_equal(in->by_vhost[0].key, "www.example:80");
    assert_int_equal(in->by_vhost[0].errors, 120);
    assert_string_equal(in->by_vhost[1].key, "api.example:80");
    assert_int_equal(in->by_vhost[1].errors, 80);
    end_bench(b);
}

static void a_hang_is_slow_before_anything_completes(void **state)
{
    bench *b = make_bench(*state);
    uint32_t flights[8];
    uint64_t onset;
    pm_incident *in;

    b->live.children[0].pid = (uint32_t)getpid();
    b->live.children[0].start = pm_process_start((uint32_t)getpid());
    quiet(b, 3, 1);
    onset = b->now + 100000;
    for (uint32_t i = 0; i < 8; i++) {
        flights[i] = pm_live_arrived(&b->live, i, onset + i, 0, 1);
    }
    for (int i = 0; i < 4; i++) {
        tick(b);
    }
    in = incident(b, 1, 0);
    assert_true((in->kinds & PM_KIND_SLOW) != 0);
    assert_int_equal(in->onset_us, onset);
    assert_int_equal(in->open, 1);
    for (uint32_t i = 0; i < 8; i++) {
        pm_live_left(&b->live, flights[i], onset + i);
    }
    quiet(b, 8, 1);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    end_bench(b);
}

static void an_incident_that_one_run_left_open_goes_on_in_the_next(void **state)
{
    bench *b = make_bench(*state);
    uint64_t onset;
    pm_live old;

    quiet(b, 5, 1);
    requests(b, 1, 30, 500);
    tick(b);
    onset = incident(b, 1, 0)->onset_us;
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    stop_run(b);
    b->now += 2 * PM_SECOND;
    start_run(b, 2, &old);
    for (uint32_t i = 0; i < 30; i++) {
        request(b, 1, 1000 + i % 5, 500, 30000 * i + 1000, 500); /* five more clients */
    }
    tick(b);
    assert_int_equal(incident(b, 1, 0)->onset_us, onset);
    assert_true(incident(b, 1, 0)->errors >= 60);
    assert_true(fabs(incident(b, 1, 0)->error_clients - 35) < 1.5);
    assert_int_equal(incident(b, 1, 0)->open, 1);
    pm_live_detach(&old);
    end_bench(b);
}

/** The wall clock is set, while the monotonic one goes on. */
static void set_clock(bench *b, int64_t seconds)
{
    b->now += (uint64_t)(seconds * (int64_t)PM_SECOND);
}

static void fail_around_a_step(fixture *f, int64_t seconds)
{
    bench *b = make_bench(f);
    uint64_t onset, set;

    quiet(b, 10, 1);
    onset = b->now;
    requests(b, 1, 40, 503);
    tick(b);
    assert_int_equal(incident(b, 1, 0)->open, 1);
    set_clock(b, seconds);
    set = b->now;
    quiet(b, 12, 1);
    requests(b, 1, 40, 503);
    tick(b);
    quiet(b, 12, 1);
    for (size_t n = 0; n < 2; n++) {
        const pm_incident *in = incident(b, 2, n);
        uint64_t from = in->id == 1 ? onset : set;

        assert_int_equal(in->open, 0);
        assert_int_equal(in->errors, 40);
        assert_true(in->onset_us >= from && in->onset_us < from + 15 * PM_SECOND);
        assert_true(in->end_us > in->onset_us && in->end_us < from + 15 * PM_SECOND);
    }
    end_bench(b);
}

static void an_open_incident_ends_where_the_clock_was_set_back_and_no_other_joins_it(void **state)
{
    fail_around_a_step(*state, -3600);
}

static void an_open_incident_ends_where_the_clock_was_set_forward(void **state)
{
    fail_around_a_step(*state, 3600);
}

static void
what_failed_in_the_second_in_which_the_clock_was_set_forward_opens_by_the_new_clock(void **state)
{
    bench *b = make_bench(*state);
    uint64_t set;

    quiet(b, 10, 1);
    requests(b, 1, 40, 503);
    tick(b);
    requests(b, 1, 20, 503); /* by the old clock, and not yet taken */
    set_clock(b, 600);
    set = b->now;
    tick(b);
    requests(b, 1, 40, 503);
    tick(b);
    quiet(b, 12, 1);
    for (size_t n = 0; n < 2; n++) {
        const pm_incident *in = incident(b, 2, n);

        assert_int_equal(in->open, 0);
        assert_int_equal(in->errors, in->id == 1 ? 40 : 60);
        assert_true(in->end_us >= in->onset_us && in->end_us < in->onset_us + 3 * PM_SECOND);
        assert_true(in->id == 1 ? in->end_us < set - 599 * PM_SECOND : in->onset_us >= set);
    }
    end_bench(b);
}

static void
what_failed_before_the_clock_was_set_forward_a_little_opens_nothing_after_it(void **state)
{
    bench *b = make_bench(*state);

    quiet(b, 10, 1);
    requests(b, 1, 40, 503);
    tick(b);
    set_clock(b, 3); /* less than the window is long */
    quiet(b, 12, 1);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    assert_int_equal(incident(b, 1, 0)->errors, 40);
    end_bench(b);
}

static void a_failure_that_comes_while_the_counters_are_read_is_of_its_incident(void **state)
{
    bench *b = make_bench(*state);

    quiet(b, 5, 1);
    request(b, 1, 0, 503, PM_SECOND + 20000, 1000); /* read by the tick before its time */
    tick(b);
    requests(b, 1, 12, 503);
    tick(b);
    assert_int_equal(incident(b, 1, 0)->errors, 13);
    assert_true(incident(b, 1, 0)->onset_us < b->now);
    end_bench(b);
}

/** One failure every two seconds, and nothing else. */
static void fail_slowly(bench *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        request(b, 1, i, 503, 1000, 1000);
        tick(b);
        tick(b);
    }
}

static void
a_quiet_sites_outage_goes_on_in_another_incident_when_the_clock_was_set_forward(void **state)
{
    bench *b = make_bench(*state);
    uint64_t set;

    fail_slowly(b, 6);
    assert_int_equal(incident(b, 1, 0)->errors, 6);
    set_clock(b, 600);
    set = b->now;
    for (int i = 0; i < 10; i++) {
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->open, 0); /* nothing has failed since */
    fail_slowly(b, 6);
    assert_int_equal(incident(b, 2, 0)->errors, 6);
    assert_int_equal(incident(b, 2, 1)->errors, 6);
    for (size_t n = 0; n < 2; n++) {
        const pm_incident *in = incident(b, 2, n);

        assert_true(in->open ? in->onset_us >= set : in->onset_us < set);
    }
    end_bench(b);
}

static void a_quiet_sites_failures_count_across_a_clock_set_forward(void **state)
{
    bench *b = make_bench(*state);
    uint64_t set;

    fail_slowly(b, 3);
    set_clock(b, 600);
    set = b->now;
    fail_slowly(b, 3);
    assert_int_equal(incident(b, 1, 0)->errors, 6);
    assert_true(incident(b, 1, 0)->onset_us >= set);
    end_bench(b);
}

/** Requests that arrive now, and are in flight until `land`. */
static void take_off(bench *b, uint32_t n, uint64_t arrival)
{
    b->live.children[0].pid = (uint32_t)getpid();
    b->live.children[0].start = pm_process_start((uint32_t)getpid());
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(pm_live_arrived(&b->live, i, arrival + i, 0, 1), i);
    }
}

/** `n` of them, from the first on, complete in the second that is now filling: as workers tell it, by the wall clock. */
static void land(bench *b, uint32_t from, uint32_t n, uint64_t arrival, uint32_t status)
{
    for (uint32_t i = from; i < from + n; i++) {
        pm_completed done = {.arrival_us = arrival + i,
                             .done_us = b->now + 20000 + i,
                             .client = (i + 1) * 0x9e3779b97f4a7c15ull,
                             .status = status,
                             .vhost = 1,
                             .stripe = i,
                             .slow = b->now + 20000 - arrival > PM_SECOND};

        pm_live_left(&b->live, i, arrival + i);
        pm_live_count(&b->live, &done);
        b->counted++;
        b->failed += status >= 500;
    }
}

static uint64_t slow_in_rows(bench *b, uint64_t from)
{
    pm_row *rows;
    size_t count;
    uint64_t slow = 0;

    assert_int_equal(pm_capture_seconds(b->fold.capture, from, b->now, &rows, &count, b->f->pool),
                     APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        slow += rows[i].slow;
    }
    return slow;
}

static void a_hang_around_a_clock_set_forward_is_no_longer_than_it_was(void **state)
{
    bench *b = make_bench(*state);
    uint64_t arrival, set;

    quiet(b, 10, 1);
    arrival = b->now + 100000;
    take_off(b, 30, arrival);
    for (int i = 0; i < 4; i++) {
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->onset_us, arrival);
    set_clock(b, 600);
    set = b->now;
    tick(b);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    for (int i = 0; i < 3; i++) {
        tick(b);
    }
    assert_true(b->state->checkpoint.server.oldest_ms <= 4000);
    land(b, 0, 30, arrival, 200);
    quiet(b, 12, 1);
    for (size_t n = 0; n < 2; n++) {
        const pm_incident *in = incident(b, 2, n);

        assert_int_equal(in->open, 0);
        assert_true(in->end_us > in->onset_us && in->end_us < in->onset_us + 6 * PM_SECOND);
        assert_true(in->id == 1 ? in->onset_us == arrival : in->onset_us == set);
    }
    assert_int_equal(requests_on_disk(b), b->counted);
    end_bench(b);
}

static void good_requests_in_flight_when_the_clock_is_set_forward_are_not_slow(void **state)
{
    bench *b = make_bench(*state);
    uint64_t from = b->now, arrival;

    for (int second = 0; second < 10; second++) {
        requests(b, 1, 100, 200);
        tick(b);
    }
    arrival = b->now + 600000;
    take_off(b, 30, arrival);
    requests(b, 1, 70, 200);
    set_clock(b, 600);
    land(b, 0, 10, arrival, 200);
    tick(b); /* the others are in flight, by the wall clock for ten minutes */
    land(b, 10, 20, arrival, 200);
    requests(b, 1, 10, 200);
    tick(b);
    quiet(b, 5, 1);
    incident(b, 0, 0);
    assert_int_equal(slow_in_rows(b, from), 0);
    assert_int_equal(requests_on_disk(b), b->counted);
    arrival = b->now;
    take_off(b, 30, arrival);
    tick(b);
    tick(b);
    land(b, 0, 30, arrival, 200); /* these are */
    tick(b);
    assert_int_equal(incident(b, 1, 0)->onset_us, arrival);
    assert_int_equal(slow_in_rows(b, from), 30);
    end_bench(b);
}

static void what_fails_long_after_the_clock_was_set_forward_did_not_begin_before(void **state)
{
    bench *b = make_bench(*state);
    uint64_t arrival, set;

    quiet(b, 10, 1);
    arrival = b->now + 500000;
    take_off(b, 40, arrival);
    quiet(b, 1, 1);
    b->slow[0].on = b->slow[1].on = b->fold.slow.on = 0;
    set_clock(b, 600);
    set = b->now;
    quiet(b, 30, 1);
    land(b, 0, 40, arrival, 504);
    quiet(b, 12, 1);
    assert_int_equal(incident(b, 1, 0)->open, 0);
    assert_int_equal(incident(b, 1, 0)->errors, 40);
    assert_true(incident(b, 1, 0)->onset_us >= set);
    assert_true(incident(b, 1, 0)->end_us > incident(b, 1, 0)->onset_us);
    end_bench(b);
}

static void
a_sample_of_what_came_before_the_clock_was_set_forward_is_kept_by_the_new_clock(void **state)
{
    bench *b = make_bench(*state);
    uint64_t arrival, set;
    pm_sample *samples;
    size_t count;

    quiet(b, 10, 1);
    arrival = b->now + 500000;
    quiet(b, 1, 1);
    set_clock(b, 600);
    set = b->now;
    quiet(b, 3, 1);
    for (uint32_t i = 0; i < 40; i++) {
        pm_live_sample sample = {.at_us = arrival,
                                 .latency_us = b->now + 5000 - arrival,
                                 .status = 504,
                                 .vhost = 1,
                                 .uri = "/waited"};

        pm_ring_write(&b->live.samples, &sample);
        request(b, 1, i, 504, 5000, sample.latency_us);
    }
    tick(b);
    assert_int_equal(
        pm_capture_samples(b->fold.capture, incident(b, 1, 0), &samples, &count, b->f->pool),
        APR_SUCCESS);
    assert_int_equal(count, 4);
    assert_int_equal(samples[0].at_us, set);
    assert_int_equal(samples[0].latency_us, 3 * PM_SECOND + 5000);
    end_bench(b);
}

static void a_request_that_hangs_since_before_the_clock_was_set_forward_is_named_once(void **state)
{
    bench *b = make_bench(*state);
    pm_event *events;
    size_t count, named = 0;

    b->slow[0].on = b->slow[1].on = b->fold.slow.on = 0;
    quiet(b, 3, 1);
    take_off(b, 1, b->now);
    quiet(b, 3, 1);
    set_clock(b, 600);
    quiet(b, 70, 1);
    assert_int_equal(pm_capture_events(b->fold.capture, 0, UINT64_MAX, &events, &count, b->f->pool),
                     APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        named += strstr(events[i].text, "for more than a minute") != NULL;
    }
    assert_int_equal(named, 1);
    end_bench(b);
}

static void a_clock_set_forward_and_back_leaves_the_times_of_what_comes_then_alone(void **state)
{
    bench *b = make_bench(*state);
    uint64_t arrival;

    quiet(b, 10, 1);
    set_clock(b, 600);
    quiet(b, 10, 1);
    set_clock(b, -300);
    quiet(b, 10, 1);
    arrival = b->now + 100000;
    take_off(b, 30, arrival);
    for (int i = 0; i < 4; i++) {
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->onset_us, arrival);
    end_bench(b);
}

static void
an_incident_of_before_the_clock_was_set_back_is_not_resumed_by_the_next_run(void **state)
{
    bench *b = make_bench(*state);

    quiet(b, 30, 1);
    requests(b, 1, 40, 503);
    tick(b);
    set_clock(b, -3600);
    quiet(b, 5, 1);
    leave(b);
    start_run(b, 2, NULL);
    tick(b);
    for (size_t n = 0; n < 2; n++) {
        const pm_incident *in = incident(b, 2, n);

        assert_int_equal(in->kinds, in->id == 1 ? PM_KIND_ERRORS : PM_KIND_DOWN);
        assert_true(in->onset_us < in->end_us);
    }
    end_bench(b);
}

/** A hundred new clients over the second, and twenty that fail, 10 ms apart from `first` ms on. */
static void strangers(bench *b, uint32_t second, uint64_t first)
{
    for (uint32_t i = 0; i < 100; i++) {
        request(b, 1, 1000 * second + i, 200, 9000ull * i + 1000, 500);
    }
    for (uint32_t i = 0; i < 20; i++) {
        request(b, 1, 1000 * second + 500 + i, 503, (first + 10 * i) * 1000, 500);
    }
    tick(b);
}

/* ---- what was usual ---- */

/** Minutes that an earlier run wrote, from `from` on. */
static void earlier_minutes(bench *b, uint64_t from, uint32_t n, uint64_t each, uint32_t clients)
{
    for (uint32_t i = 0; i < n; i++) {
        pm_row row = {.at_us = from / (60 * PM_SECOND) * 60 * PM_SECOND + i * 60 * PM_SECOND,
                      .span_us = 60 * PM_SECOND,
                      .requests = each,
                      .errors = each / 10,
                      .clients = clients};

        row.tick = row.at_us / PM_SECOND;
        assert_int_equal(pm_capture_put_minute(b->fold.capture, &row), APR_SUCCESS);
    }
}

static void the_hour_the_day_and_the_week_before_are_told_each_with_its_length(void **state)
{
    const uint64_t minute = 60 * PM_SECOND, day = 24 * 60 * minute;
    bench *b = make_bench(*state);
    pm_live old;
    pm_incident *i;
    uint64_t onset;

    end_bench(b);
    remove(((fixture *)*state)->path);
    b = calloc(1, sizeof(*b));
    b->f = *state;
    b->keep = (pm_retention){60, 8 * 1440, 4, 64, 4, 0};
    b->now = pm_time_now() / minute * minute;
    b->monotonic = 1000 * PM_SECOND;
    start_run(b, 1, NULL);
    earlier_minutes(b, b->now - 7 * day - 20 * minute, 40, 3000, 30);
    earlier_minutes(b, b->now - day - 20 * minute, 40, 60, PM_UNKNOWN);
    earlier_minutes(b, b->now - 90 * minute, 80, 9999, 99); /* of these 50 are within the hour */
    earlier_minutes(b, b->now - 10 * minute, 10, 600, 12);
    assert_int_equal(pm_live_attach(&old, b->live.path, 0, &b->f->err), APR_SUCCESS);
    pm_live_detach(&b->live);
    pm_capture_close(b->fold.capture);
    free(b->state);
    free(b->control);
    free(b->fold.tick);
    start_run(b, 2, &old);
    quiet(b, 10, 1);
    onset = b->now;
    requests(b, 1, 50, 500);
    tick(b);
    i = incident(b, 1, 0);
    assert_true(i->onset_us >= onset);
    assert_in_range(i->before_us, 59 * minute, 61 * minute);
    assert_true(i->before_clients_per_minute > 12 && i->before_clients_per_minute < 99);
    assert_int_equal(i->day.us, 10 * minute);
    assert_true(i->day.requests_per_second == 1 && i->day.error_ratio == 0.1);
    assert_true(i->day.clients_per_minute == -1); /* nobody counted them */
    assert_int_equal(i->week.us, 10 * minute);
    assert_true(i->week.requests_per_second == 50 && i->week.clients_per_minute == 30);
    end_bench(b);
}

static void a_server_of_ten_seconds_says_that_its_history_is_ten_seconds(void **state)
{
    uint64_t minute = pm_time_now() / PM_SECOND / 60 + 1;
    bench *b = make_bench_at(*state, (60 * minute - 4) * PM_SECOND); /* across a minute's end */
    pm_incident *i;

    quiet(b, 10, 1);
    requests(b, 1, 50, 500);
    tick(b);
    i = incident(b, 1, 0);
    assert_in_range(i->before_us, 10 * PM_SECOND, 10 * PM_SECOND + 10);
    assert_in_range(i->before_requests_per_second * 1000, 19999, 20000);
    assert_true(i->before_error_ratio == 0);
    assert_int_equal(i->day.us, 0);
    assert_int_equal(i->week.us, 0);
    end_bench(b);
}

static void clients_before_the_onset_and_after_the_end_are_not_counted(void **state)
{
    bench *b = make_bench(*state);
    const pm_incident *in;

    quiet(b, 5, 1);
    strangers(b, 1, 700);
    in = incident(b, 1, 0);
    assert_true(in->clients > 20 + 10 && in->clients < 20 + 35); /* 20 of 100 were there between */
    strangers(b, 2, 10);
    strangers(b, 3, 10);
    in = incident(b, 1, 0);
    assert_true(in->clients > 210 * 0.93 &&
                in->clients < 210 * 1.07); /* 360 came in three seconds */
    quiet(b, 2, 1);
    strangers(b, 4, 10);
    in = incident(b, 1, 0);
    assert_true(in->clients > 330 * 0.9 && in->clients < 345 * 1.1);
    end_bench(b);
}

/* ---- estimates: what is stated with its error holds ---- */

#define BURST 1000u

/** A site of its own clients, and a burst of as many others, of whom every `nth` fails, from `from_us` on for `span_us`. Who
 *  came within the burst is counted as the incident will have it: by completion, from its onset to its end. */
typedef struct truth {
    uint64_t from_us, span_us;
    uint32_t nth, next, usual, came, failed;
    uint64_t first_us, last_us;
} truth;

static void one_of_burst(bench *b, truth *is)
{
    uint64_t done_us = is->from_us + 500 + is->next * is->span_us / BURST;
    int fails = is->next % is->nth == 0;

    request(b, 1, 100000 + is->next, fails ? 503 : 200, done_us - b->now, 500);
    is->first_us = is->first_us == 0 ? done_us - 500 : is->first_us;
    is->last_us = fails ? done_us : is->last_us;
    is->failed += (uint32_t)fails;
    is->next++;
}

/** One second of it; who else comes asks every 5 ms. */
static void second_of_burst(bench *b, truth *is)
{
    for (uint64_t at = 0; at < PM_SECOND; at += 500) {
        if (at % 5000 == 0) {
            request(b, 1, 200000 + is->usual++, 200, at, 300);
        }
        while (is->next < BURST &&
               is->from_us + 500 + is->next * is->span_us / BURST < b->now + at + 500) {
            one_of_burst(b, is);
        }
    }
    tick(b);
}

static int holds(double stated, double error, double is)
{
    return is >= stated - error - 0.5 && is <= stated + error + 0.5;
}

static void check_estimates(const pm_incident *in, const truth *is)
{
    /* of the others, 200 a second come evenly; of the burst's own, all until the last that failed */
    double span = (double)(in->end_us - in->onset_us);
    double others = span / 5000, own = span / (double)is->span_us * BURST;
    double total = others + (own < BURST ? own : BURST);
    pm_bounds requests = pm_requests_bounds(in);
    pm_estimates e;

    pm_clients_estimates(in, &e);
    assert_true(in->onset_us == is->first_us && in->end_us == is->last_us);
    if (!holds(in->clients, e.total, total) || !holds(in->error_clients, e.affected, is->failed) ||
        fabs(in->error_clients / in->clients - is->failed / total) > e.affected_ratio + 0.002 ||
        requests.least > total + 0.5 || requests.most < total - 0.5) {
        fail_msg("burst of %u us at %u us: %.0f +- %.0f clients, %.0f came; %.0f +- %.0f met an "
                 "error, %u did; "
                 "share %.3f +- %.3f is %.3f; %u to %u requests",
                 (unsigned)is->span_us, (unsigned)(is->from_us % PM_SECOND), in->clients, e.total,
                 total, in->error_clients, e.affected, is->failed, in->error_clients / in->clients,
                 e.affected_ratio, is->failed / total, (unsigned)requests.least,
                 (unsigned)requests.most);
    }
}

static void
a_short_incidents_figures_hold_within_what_is_stated_however_it_lies_to_the_second(void **state)
{
    const uint64_t spans[] = {150000, 500000, 900000, 1300000, 2000000};
    const uint32_t nths[] = {2, 3, 9};

    for (int way = 0; way < 75; way++) {
        bench *b = make_bench(*state);
        truth is = {.nth = nths[way % 3], .span_us = spans[way % 5]};

        quiet(b, 3, 1);
        is.from_us = b->now + PM_SECOND + (uint64_t)(way * 137 % 1000) * 1000;
        for (int second = 0; second < 6; second++) {
            second_of_burst(b, &is);
        }
        check_estimates(incident(b, 1, 0), &is);
        end_bench(b);
        remove(((fixture *)*state)->path);
    }
}

static void clients_are_counted_with_those_that_met_an_error(void **state)
{
    bench *b = make_bench(*state);
    pm_incident *in;

    quiet(b, 5, 1);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        request(b, 1, c, c % 4 == 0 ? 500 : 200, 1000 + c, 500);
    }
    tick(b);
    for (uint32_t c = 0; c < CLIENTS; c++) {
        request(b, 1, c, c % 4 == 0 ? 500 : 200, 1000 + c, 500);
    }
    tick(b);
    in = incident(b, 1, 0);
    assert_int_equal(in->clients_known, 1);
    assert_true(in->clients > CLIENTS * 0.9 && in->clients < CLIENTS * 1.1);
    assert_true(in->error_clients > 8.5 && in->error_clients < 11.5);
    end_bench(b);
}

static void a_tick_leaves_the_clients_of_unused_pools_alone_and_counts_none_of_them(void **state)
{
    bench *b = make_bench(*state);
    size_t size = sizeof(b->state->sketches[0][0]);

    for (uint32_t k = 0; k < PM_SKETCHES_KEPT; k++) { /* as if some old tick had left them there */
        memset(b->state->sketches[k][0], 3, size);
        memset(b->state->sketches[k][2], 3, size);
    }
    quiet(b, 5, 1);
    requests(b, 1, 30, 500);
    tick(b);
    assert_true(fabs(incident(b, 1, 0)->error_clients - 30) < 1.5);
    for (uint32_t k = 0; k < PM_SKETCHES_KEPT; k++) {
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(((uint8_t *)b->state->sketches[k][2])[i], 3);
        }
    }
    end_bench(b);
}

/* ---- what a worker may have scribbled ---- */

static void a_region_of_random_bytes_ends_no_tick(void **state)
{
    bench *b = make_bench(*state);
    uint64_t seed = 1;

    quiet(b, 3, 1);
    for (int round = 0; round < 20; round++) {
        uint8_t *bytes = (uint8_t *)b->live.header;

        for (uint64_t i = 0; i < b->live.size; i++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes[i] = (uint8_t)seed;
        }
        tick(b);
        assert_true(pm_live_children_alive(&b->live, 1) <= b->live.geo.children);
    }
    assert_true(b->state->checkpoint.tick >= 23);
    end_bench(b);
}

static void what_could_not_be_written_is_written_with_a_later_tick(void **state)
{
    bench *b = make_bench(*state);
    uint64_t from = b->now;
    pm_row *rows;
    size_t count;
    int fd = pm_capture_fd(b->fold.capture), kept = dup(fd), read_only = open(b->f->path, O_RDONLY);

    quiet(b, 2, 1);
    assert_true(dup2(read_only, fd) == fd); /* as when the disk has gone read-only */
    quiet(b, 3, 1);
    assert_true(b->state->checkpoint.server.write_failures >= 3);
    assert_true(strstr(b->state->checkpoint.server.trouble, b->f->path) != NULL);
    assert_true(dup2(kept, fd) == fd);
    quiet(b, 1, 1);
    assert_int_equal(pm_capture_seconds(b->fold.capture, from, b->now, &rows, &count, b->f->pool),
                     APR_SUCCESS);
    assert_int_equal(count, 6);
    assert_int_equal(requests_on_disk(b), b->counted);
    assert_string_equal(b->state->checkpoint.server.trouble, "");
    close(kept);
    close(read_only);
    end_bench(b);
}

/** Of the row of the minute that began at `at`; 0 = there is none. */
static uint64_t requests_of_minute(bench *b, uint64_t at)
{
    pm_row *rows;
    size_t count;

    assert_int_equal(pm_capture_minutes(b->fold.capture, at, at + 1, &rows, &count, b->f->pool),
                     APR_SUCCESS);
    return count > 0 ? rows[0].requests : 0;
}

static void a_minute_that_ends_while_nothing_can_be_written_is_whole_in_the_end(void **state)
{
    uint64_t minute = pm_time_now() / (60 * PM_SECOND) * 60 * PM_SECOND;
    bench *b = make_bench_at(*state, minute + 50 * PM_SECOND);
    int fd = pm_capture_fd(b->fold.capture), kept = dup(fd), read_only = open(b->f->path, O_RDONLY);

    quiet(b, 5, 1);
    assert_int_equal(requests_of_minute(b, minute), 5 * 20);
    assert_true(dup2(read_only, fd) == fd);
    quiet(b, 10, 1);
    assert_true(dup2(kept, fd) == fd);
    quiet(b, 1, 1);
    assert_int_equal(requests_of_minute(b, minute), 10 * 20);
    assert_int_equal(requests_of_minute(b, minute + 60 * PM_SECOND), 6 * 20);
    close(kept);
    close(read_only);
    end_bench(b);
}

/** Hold the file's lock in another process, as another recorder does; returns its pid. */
static pid_t hold_lock(bench *b)
{
    int held[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(held), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (pm_capture_lock(b->fold.capture, PM_SECOND) == APR_SUCCESS) {
            byte = (char)write(held[1], "", 1);
            pause();
        }
        _exit(1);
    }
    close(held[1]);
    assert_int_equal(read(held[0], &byte, 1), 1);
    close(held[0]);
    return pid;
}

static void while_another_process_has_the_lock_nothing_is_written_and_its_mark_stays(void **state)
{
    uint64_t minute = pm_time_now() / (60 * PM_SECOND) * 60 * PM_SECOND, since = 1000 * PM_SECOND;
    bench *b = make_bench_at(*state, minute + 57 * PM_SECOND);
    struct stat before, after;
    pid_t holder;

    quiet(b, 3, 1);
    holder = hold_lock(b);
    atomic_store(&b->control->writing_us, since);
    assert_int_equal(fstat(pm_capture_fd(b->fold.capture), &before), 0);
    usleep(20000); /* the kernel's clock for files is coarse */
    quiet(b, 2, 1);
    assert_int_equal(fstat(pm_capture_fd(b->fold.capture), &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
    assert_true(atomic_load(&b->control->writing_us) == since);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    quiet(b, 1, 1);
    assert_int_equal(requests_of_minute(b, minute), 3 * 20);
    assert_int_equal(requests_of_minute(b, minute + 60 * PM_SECOND), 3 * 20);
    assert_true(atomic_load(&b->control->writing_us) == 0);
    end_bench(b);
}

static size_t events_of(bench *b, uint32_t type)
{
    pm_event *events;
    size_t count, found = 0;

    assert_int_equal(pm_capture_events(b->fold.capture, 0, UINT64_MAX, &events, &count, b->f->pool),
                     APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        found += events[i].type == type && strcmp(events[i].text, "handed over") == 0;
    }
    return found;
}

static void what_a_worker_has_no_business_to_tell_is_not_taken_from_it(void **state)
{
    bench *b = make_bench(*state);

    for (uint32_t type = 0; type < PM_EV_TYPES + 3; type++) {
        pm_live_note note = {.at_us = b->now, .type = type, .text = "handed over", .data = "{}"};

        pm_ring_write(&b->live.journal, &note);
    }
    quiet(b, 2, 1);
    for (uint32_t type = 1; type < PM_EV_TYPES; type++) {
        assert_int_equal(events_of(b, type), type == PM_EV_ERROR_LOG || type == PM_EV_ROUTE_MOVED);
    }
    end_bench(b);
}

static void what_the_parent_hands_over_is_written_and_what_is_too_much_is_counted(void **state)
{
    bench *b = make_bench(*state);

    for (uint64_t i = 0; i < PM_HANDED_KEPT + 2; i++) {
        b->control->hand[i % PM_HANDED_KEPT] = (pm_live_note){
            .at_us = b->now, .type = PM_EV_CONFIG_RELOAD, .text = "handed over", .data = "{}"};
        atomic_store(&b->control->handed, i + 1);
    }
    quiet(b, 2, 1);
    assert_int_equal(events_of(b, PM_EV_CONFIG_RELOAD), PM_HANDED_KEPT);
    assert_int_equal(b->state->checkpoint.events_lost, 2);
    end_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(each_second_becomes_a_row_and_totals_are_exact),
        CASE(a_dead_runs_remainder_is_counted_once_by_the_next_run),
        CASE(what_a_run_answers_before_its_recorder_is_there_is_not_the_last_runs),
        CASE(a_region_that_a_later_run_drains_again_is_not_counted_twice),
        CASE(of_many_runs_each_is_counted),
        CASE(another_recorder_goes_on_where_one_died),
        CASE(onset_is_the_first_failures_arrival_and_end_the_last_ones_completion),
        CASE(what_an_incident_has_told_opens_no_other_when_it_is_closed),
        CASE(a_time_that_was_written_late_is_the_onset),
        CASE(requests_are_those_from_onset_to_end_also_within_a_second),
        CASE(a_virtual_hosts_requests_are_trimmed_by_its_own_seconds),
        CASE(bursts_closer_than_clear_are_one_and_farther_ones_two),
        CASE(without_traffic_an_incident_stays_open),
        CASE(an_open_incident_knows_what_came_since_its_end),
        CASE(a_virtual_host_of_its_own_is_the_scope_when_the_server_is_well),
        CASE(both_failing_is_one_incident_of_the_server),
        CASE(a_hang_is_slow_before_anything_completes),
        CASE(an_incident_that_one_run_left_open_goes_on_in_the_next),
        CASE(the_hour_the_day_and_the_week_before_are_told_each_with_its_length),
        CASE(a_server_of_ten_seconds_says_that_its_history_is_ten_seconds),
        CASE(an_open_incident_ends_where_the_clock_was_set_back_and_no_other_joins_it),
        CASE(an_open_incident_ends_where_the_clock_was_set_forward),
        CASE(what_failed_in_the_second_in_which_the_clock_was_set_forward_opens_by_the_new_clock),
        CASE(what_failed_before_the_clock_was_set_forward_a_little_opens_nothing_after_it),
        CASE(a_quiet_sites_outage_goes_on_in_another_incident_when_the_clock_was_set_forward),
        CASE(a_failure_that_comes_while_the_counters_are_read_is_of_its_incident),
        CASE(a_quiet_sites_failures_count_across_a_clock_set_forward),
        CASE(a_hang_around_a_clock_set_forward_is_no_longer_than_it_was),
        CASE(good_requests_in_flight_when_the_clock_is_set_forward_are_not_slow),
        CASE(what_fails_long_after_the_clock_was_set_forward_did_not_begin_before),
        CASE(a_sample_of_what_came_before_the_clock_was_set_forward_is_kept_by_the_new_clock),
        CASE(a_request_that_hangs_since_before_the_clock_was_set_forward_is_named_once),
        CASE(a_clock_set_forward_and_back_leaves_the_times_of_what_comes_then_alone),
        CASE(an_incident_of_before_the_clock_was_set_back_is_not_resumed_by_the_next_run),
        CASE(clients_before_the_onset_and_after_the_end_are_not_counted),
        CASE(clients_are_counted_with_those_that_met_an_error),
        CASE(a_short_incidents_figures_hold_within_what_is_stated_however_it_lies_to_the_second),
        CASE(a_tick_leaves_the_clients_of_unused_pools_alone_and_counts_none_of_them),
        CASE(a_region_of_random_bytes_ends_no_tick),
        CASE(what_could_not_be_written_is_written_with_a_later_tick),
        CASE(a_minute_that_ends_while_nothing_can_be_written_is_whole_in_the_end),
        CASE(while_another_process_has_the_lock_nothing_is_written_and_its_mark_stays),
        CASE(what_a_worker_has_no_business_to_tell_is_not_taken_from_it),
        CASE(what_the_parent_hands_over_is_written_and_what_is_too_much_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
