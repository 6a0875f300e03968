/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_heavy.c: heavy hitters among failing requests, from the workers' counters to an incident's breakdown.
 */
#include "fold_case.h"

#include <pthread.h>

#include "../../mod_pmcapture/recorder/fold_private.h"
#include "../../mod_pmcapture/region/heavy_private.h"
#include "../../mod_pmcapture/recorder/incident_private.h"
#include "splitmix.h"

static void hit(bench *b, enum pm_dimension d, uint32_t vhost, const char *key, int failed,
                uint32_t failure)
{
    uint64_t group = pm_live_hash(&b->live, key, strlen(key));
    uint32_t slot = failed ? pm_heavy_claim(&b->live, d, vhost, group, key, "a line", b->now + 1000)
                           : pm_heavy_find(&b->live, d, vhost, group);

    pm_heavy_count(&b->live, slot, failed, failure);
}

/** A request, and what it was about. */
static void request(bench *b, uint32_t vhost, const char *route, uint32_t status)
{
    pm_completed done = {.arrival_us = b->now + 1000,
                         .done_us = b->now + b->at,
                         .client = splitmix_hash(b->clients++ % 40),
                         .status = status,
                         .vhost = vhost};

    hit(b, PM_BY_ROUTE, vhost, route, status >= 500, 0);
    pm_live_count(&b->live, &done);
}

static void requests(bench *b, uint32_t vhost, const char *route, uint32_t n, uint32_t status)
{
    for (uint32_t i = 0; i < n; i++) {
        request(b, vhost, route, status);
    }
}

static const pm_tally *find(const pm_tally *list, const char *key)
{
    for (int i = 0; i < PM_TALLIES && list[i].errors != 0; i++) {
        if (strcmp(list[i].key, key) == 0) {
            return &list[i];
        }
    }
    return NULL;
}

static uint64_t sum(const pm_tally *list)
{
    uint64_t n = 0;

    for (int i = 0; i < PM_TALLIES; i++) {
        n += list[i].errors;
    }
    return n;
}

/* ---- exact, and bounded ---- */

static void a_million_failing_uris_hide_none_of_the_ten_heaviest(void **state)
{
    bench *b = make_bench(*state);
    uint64_t truth[10] = {0}, size = b->live.size;
    uint32_t next = 0;
    char route[32];

    for (int second = 0; second < 100; second++) {
        for (int n = 0; n < 10000; n++) {
            uint32_t heavy =
                (uint32_t)(splitmix_hash((uint64_t)second * 10000 + (uint32_t)n) % 400);

            snprintf(route, sizeof(route), "/odd/x%u", next++);
            request(b, 1, route, 500);
            /* Some 25 of the lightest a second, 250 of the heaviest. */
            for (uint32_t k = 0; k < 10; k++) {
                if (heavy <= k) {
                    snprintf(route, sizeof(route), "/heavy/%c", 'a' + (int)k);
                    request(b, 1, route, 500);
                    truth[k]++;
                }
            }
        }
        tick(b);
    }
    for (int k = 0; k < 10; k++) {
        const pm_tally *line = &incident(b, 1, 0)->by_route[9 - k];

        snprintf(route, sizeof(route), "/heavy/%c", 'a' + k);
        assert_string_equal(line->key, route);
        assert_in_range(line->errors, truth[k] - truth[k] / 100, truth[k]);
    }
    assert_string_equal(incident(b, 1, 0)->by_route[11].key, "(other)");
    assert_int_equal(sum(incident(b, 1, 0)->by_route), incident(b, 1, 0)->errors);
    assert_int_equal(b->live.size, size);
    end_bench(b);
}

static void a_heavy_one_that_begins_in_the_middle_of_a_flood_finds_room(void **state)
{
    bench *b = make_bench(*state);
    uint64_t truth = 0;
    uint32_t next = 0;
    char route[32];

    for (int second = 0; second < 30; second++) {
        for (int n = 0; n < 8000; n++) {
            snprintf(route, sizeof(route), "/odd/x%u", next++);
            request(b, 1, route, 500);
            request(b, 1, route, 500); /* each comes twice: all get by the doorkeeper */
            if (second >= 10 && n % 10 == 0) {
                request(b, 1, "/late", 500);
                truth++;
            }
        }
        tick(b);
    }
    assert_string_equal(incident(b, 1, 0)->by_route[0].key, "/late");
    assert_in_range(incident(b, 1, 0)->by_route[0].errors, truth - truth / 20, truth);
    end_bench(b);
}

typedef struct counting {
    pm_live *live;
    uint32_t seed;
} counting;

static void *count_much(void *arg)
{
    const counting *c = arg;
    char key[32];

    for (uint32_t i = 0; i < 200000; i++) {
        uint32_t n = i % 2 ? i % 7 : i * 31 + c->seed;
        uint64_t group;

        snprintf(key, sizeof(key), "/k%u", n);
        group = pm_live_hash(c->live, key, strlen(key));
        pm_heavy_count(c->live,
                       pm_heavy_claim(c->live, PM_BY_ROUTE, 1, group, key, NULL, pm_time_now()), 1,
                       PM_FAILURE_NONE);
    }
    return NULL;
}

static void many_threads_and_a_recorder_lose_no_count(void **state)
{
    bench *b = make_bench(*state);
    pthread_t threads[4];
    counting jobs[4];
    uint64_t counted = 0;

    for (uint32_t i = 0; i < 4; i++) {
        jobs[i] = (counting){&b->live, i * 7919};
        pthread_create(&threads[i], NULL, count_much, &jobs[i]);
    }
    for (int i = 0; i < 50; i++) {
        tick(b); /* slots change hands all the while */
        usleep(2000);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < PM_HEAVY_ALL; i++) {
        counted += atomic_load(&b->live.heavy->slot[i].errors);
    }
    assert_int_equal(counted, 4 * 200000);
    end_bench(b);
}

/* ---- the window ---- */

static void failures_before_the_detection_are_in_the_breakdown(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, "/long/ago", 3, 500);
    requests(b, 1, "/", 400, 200);
    tick(b);
    for (int i = 0; i < 70; i++) {
        requests(b, 1, "/", 20, 200);
        tick(b);
    }
    requests(b, 1, "/a", 2, 500);
    tick(b);
    requests(b, 1, "/a", 3, 500);
    tick(b);
    requests(b, 1, "/b", 30, 500);
    tick(b);
    assert_int_equal(incident(b, 1, 0)->errors, 35);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->errors, 5);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/b")->errors, 30);
    assert_null(find(incident(b, 1, 0)->by_route, "/long/ago"));
    assert_null(find(incident(b, 1, 0)->by_route, "(other)"));
    end_bench(b);
}

static void the_share_that_failed_is_told_once_successes_are_counted(void **state)
{
    bench *b = make_bench(*state);
    const pm_tally *line;

    requests(b, 1, "/a", 50, 500);
    tick(b);
    line = find(incident(b, 1, 0)->by_route, "/a");
    assert_true(line->requests == UINT64_MAX);
    for (int i = 0; i < 2; i++) {
        requests(b, 1, "/a", 30, 200);
        requests(b, 1, "/fine", 30, 200);
        requests(b, 1, "/a", 10, 500);
        tick(b);
    }
    line = find(incident(b, 1, 0)->by_route, "/a");
    assert_int_equal(line->errors, 70);
    assert_int_equal(line->requests, 70 + 60);
    assert_int_equal(line->counted_errors, 20);
    assert_int_equal(line->counted_requests, 80);
    assert_null(find(incident(b, 1, 0)->by_route, "/fine"));
    end_bench(b);
}

static void what_comes_after_the_last_failure_is_no_part_of_it(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, "/a", 50, 500);
    tick(b);
    requests(b, 1, "/a", 10, 200);
    requests(b, 1, "/a", 10, 500);
    tick(b);
    requests(b, 1, "/a", 40, 200);
    tick(b);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->requests, 70);
    end_bench(b);
}

static void what_succeeds_in_the_last_second_after_the_last_failure_is_no_part_of_it(void **state)
{
    bench *b = make_bench(*state);
    const pm_tally *line;

    requests(b, 1, "/a", 50, 500);
    tick(b);
    requests(b, 1, "/a", 40, 500);
    tick(b);
    b->at = PM_SECOND / 4;
    requests(b, 1, "/a", 10, 500);
    b->at = PM_SECOND - 1000; /* it is well again: a request every 25 ms */
    requests(b, 1, "/a", 30, 200);
    tick(b);
    line = find(incident(b, 1, 0)->by_route, "/a");
    assert_int_equal(line->requests, 100);
    assert_int_equal(line->counted_errors, line->counted_requests);
    b->at = PM_SECOND / 2;
    requests(b, 1, "/a", 1, 500); /* it was not */
    tick(b);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->requests, 131);
    end_bench(b);
}

static void what_was_counted_only_before_the_detection_has_no_share(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, "/gone", 30, 500);
    requests(b, 1, "/a", 50, 500);
    tick(b);
    requests(b, 1, "/a", 10, 500);
    tick(b);
    assert_true(find(incident(b, 1, 0)->by_route, "/gone")->requests == UINT64_MAX);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/gone")->counted_requests, 0);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->requests, 60);
    end_bench(b);
}

static void each_virtual_host_has_its_own_lines_and_the_server_the_sum(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, "/", 100, 200);
    requests(b, 2, "/", 100, 200);
    requests(b, 1, "/a", 40, 500);
    requests(b, 2, "/a", 60, 500);
    requests(b, 2, "/b", 5, 500);
    tick(b);
    assert_string_equal(incident(b, 1, 0)->vhost, "");
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->errors, 100);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/b")->errors, 5);
    end_bench(b);
}

static void of_another_virtual_host_nothing_is_in_an_incidents_breakdown(void **state)
{
    bench *b = make_bench(*state);

    for (int i = 0; i < 6; i++) {
        requests(b, 1, "/", 3000, 200);
        requests(b, 1, "/a", 1, 500);
        requests(b, 2, "/a", 20, 500);
        tick(b);
    }
    assert_string_equal(incident(b, 1, 0)->vhost, "api.example:80");
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->errors, 120);
    end_bench(b);
}

static void how_backends_failed_is_counted(void **state)
{
    bench *b = make_bench(*state);
    const pm_tally *line;

    for (int i = 0; i < 30; i++) {
        request(b, 1, "/a", 503);
        hit(b, PM_BY_BACKEND, 1, "http://app:8080", 1,
            i < 20   ? PM_FAILURE_REFUSED
            : i < 25 ? PM_FAILURE_TIMEOUT
                     : PM_FAILURE_ANSWERED);
    }
    requests(b, 1, "/b", 10, 500); /* without a backend */
    tick(b);
    line = &incident(b, 1, 0)->by_backend[0];
    assert_string_equal(line->key, "http://app:8080");
    assert_int_equal(line->errors, 30);
    assert_int_equal(line->refused, 20);
    assert_int_equal(line->timeout, 5);
    assert_int_equal(line->answered, 5);
    assert_int_equal(incident(b, 1, 0)->by_backend[1].errors, 0);
    end_bench(b);
}

static void each_way_has_its_count_and_what_none_tells_is_unknown(void **state)
{
    bench *b = make_bench(*state);
    const pm_tally *line;

    for (uint32_t failure = PM_FAILURE_NONE; failure <= PM_FAILURES; failure++) {
        for (uint32_t i = 0; i < 10 + failure; i++) {
            request(b, 1, "/a", 503);
            hit(b, PM_BY_BACKEND, 1, "http://app:8080", 1, failure);
        }
    }
    tick(b);
    line = &incident(b, 1, 0)->by_backend[0];
    for (uint32_t failure = PM_FAILURE_REFUSED; failure <= PM_WAYS; failure++) {
        assert_int_equal(pm_failure_count(line, failure), 10 + failure);
    }
    /* none at all, unknown, and one that there is not */
    assert_int_equal(pm_failure_count(line, PM_FAILURE_UNKNOWN),
                     30 + PM_FAILURE_UNKNOWN + PM_FAILURES);
    assert_string_equal(pm_failure_key(PM_FAILURE_NOT_TRIED), "not_tried");
    assert_string_equal(pm_failure_key(PM_FAILURES), "unknown");
    end_bench(b);
}

static void what_lost_its_slot_is_still_counted_as_other(void **state)
{
    bench *b = make_bench(*state);
    char backend[32];
    uint64_t hits = 0;

    for (int second = 0; second < 5; second++) {
        for (int i = 0; i < 2000; i++) {
            snprintf(backend, sizeof(backend), "http://user%d:80", second * 1000 + i / 2);
            request(b, 1, "/a", 502);
            hit(b, PM_BY_BACKEND, 1, backend, 1, PM_FAILURE_ANSWERED);
            hits++;
        }
        tick(b);
    }
    assert_string_equal(incident(b, 1, 0)->by_backend[PM_TALLIES - 1].key, "(other)");
    assert_int_equal(sum(incident(b, 1, 0)->by_backend), hits);
    end_bench(b);
}

static void lines_never_seen_before_come_first(void **state)
{
    bench *b = make_bench(*state);
    const pm_tally *list;

    for (int i = 0; i < 10; i++) {
        hit(b, PM_BY_ERROR_LOG, 1, "old", 1, 0);
        requests(b, 1, "/", 20, 200);
        tick(b);
    }
    for (int i = 0; i < 3; i++) {
        for (int n = 0; n < 50; n++) {
            hit(b, PM_BY_ERROR_LOG, 1, "old", 1, 0);
        }
        hit(b, PM_BY_ERROR_LOG, 1, "new", 1, 0);
        requests(b, 1, "/a", 40, 500);
        tick(b);
    }
    list = incident(b, 1, 0)->by_error_log;
    assert_string_equal(list[0].key, "new");
    assert_int_equal(list[0].errors, 3);
    assert_string_equal(list[0].defined, "a line");
    assert_string_equal(list[1].key, "old");
    assert_int_equal(list[1].errors, 150);
    end_bench(b);
}

static void a_signature_that_lost_its_slot_is_not_new_when_it_comes_again(void **state)
{
    bench *b = make_bench(*state);
    uint64_t first = b->now + 1000;
    char key[32];

    hit(b, PM_BY_ERROR_LOG, 1, "old", 1, 0);
    tick(b);
    for (int second = 0; second < 6; second++) {
        for (int i = 0; i < 2000; i++) {
            snprintf(key, sizeof(key), "line %d", i % 1000 + second * 1000);
            hit(b, PM_BY_ERROR_LOG, 1, key, 1, 0);
        }
        tick(b);
    }
    assert_int_equal(pm_heavy_find(&b->live, PM_BY_ERROR_LOG, 1, pm_live_hash(&b->live, "old", 3)),
                     PM_HEAVY_ALL);
    for (int i = 0; i < 5; i++) {
        tick(b);
        hit(b, PM_BY_ERROR_LOG, 1, "old", 1, 0);
        hit(b, PM_BY_ERROR_LOG, 1, "old", 1, 0);
        requests(b, 1, "/a", 40, 500);
    }
    tick(b);
    assert_non_null(find(incident(b, 1, 0)->by_error_log, "old"));
    assert_int_equal(find(incident(b, 1, 0)->by_error_log, "old")->first_seen_us, first);
    end_bench(b);
}

static void a_signature_of_an_incident_on_record_is_not_new_in_the_next_run(void **state)
{
    static const char httpds[] = "AH00957: attempt to connect to {ip} failed";
    unsigned number = 957;
    bench *b = make_bench(*state);
    uint64_t first, group;

    b->now -= 620 * PM_SECOND; /* the next run begins by the real clock */
    first = b->now + 1000;
    for (int run = 1; run <= 2; run++) {
        requests(b, 1, "/a", 50, 500);
        hit(b, PM_BY_ERROR_LOG, 1, "broken {id}", 1, 0);
        group = pm_live_hash(&b->live, &number, sizeof(number));
        pm_heavy_count(
            &b->live,
            pm_heavy_claim(&b->live, PM_BY_ERROR_LOG, 1, group, httpds, "a line", b->now + 1000), 1,
            PM_FAILURE_NONE);
        hit(b, PM_BY_ERROR_LOG, 1, run == 1 ? "another" : "new", 1, 0);
        tick(b);
        for (int i = 0; i < 10; i++) {
            requests(b, 1, "/", 50, 200);
            tick(b);
        }
        if (run == 1) {
            stop_run(b);
            b->now += 600 * PM_SECOND;
            b->names[1] = "other.example:80"; /* virtual hosts may have other numbers */
            start_run(b, 2, NULL);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        const pm_tally *list = incident(b, 2, i)->by_error_log;

        assert_int_equal(find(list, "broken {id}")->first_seen_us, first);
        assert_int_equal(find(list, httpds)->first_seen_us, first);
    }
    assert_string_equal(incident(b, 2, 1)->by_error_log[0].key, "new");
    assert_true(incident(b, 2, 1)->by_error_log[0].first_seen_us > first);
    end_bench(b);
}

static void an_incident_that_goes_on_in_the_next_run_keeps_its_breakdown(void **state)
{
    bench *b = make_bench(*state);

    requests(b, 1, "/a", 50, 500);
    requests(b, 1, "/b", 20, 500);
    tick(b);
    stop_run(b);
    b->now += PM_SECOND;
    start_run(b, 2, NULL);
    tick(b);
    requests(b, 1, "/a", 30, 500);
    tick(b);
    tick(b);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/a")->errors, 80);
    assert_int_equal(find(incident(b, 1, 0)->by_route, "/b")->errors, 20);
    end_bench(b);
}

/* ---- samples ---- */

static void each_failing_request_but_the_first_has_the_same_chance_to_be_kept(void **state)
{
    enum { OFFERED = 100, KEPT = 8, TRIALS = 20000 };
    bench *b = make_bench(*state);
    pm_open *o = calloc(1, sizeof(*o));
    uint32_t kept[OFFERED] = {0};
    double expected = (double)TRIALS * (KEPT - 1) / (OFFERED - 1), deviation = 0;

    b->fold.samples = KEPT;
    for (uint32_t n = 0; n < OFFERED;
         n++) { /* the one that arrived first is the seventh to be answered */
        b->state->recent[n] = (pm_live_sample){.at_us = n == 6 ? 1 : 2 + n, .status = 500 + n};
    }
    b->state->recent_next = OFFERED;
    for (int trial = 0; trial < TRIALS; trial++) {
        o->incident.sample_seen = o->incident.sample_count = 0;
        pm_sample_offer(&b->fold, o, 0);
        assert_int_equal(o->incident.sample_count, KEPT);
        assert_int_equal(o->samples[0].at_us, 1);
        for (uint32_t n = 0; n < KEPT; n++) {
            kept[o->samples[n].status - 500]++;
        }
    }
    for (uint32_t n = 0; n < OFFERED; n++) {
        double off = kept[n] - expected;

        deviation += n == 6 ? 0 : off * off / expected * (OFFERED - 1) / (OFFERED - KEPT);
    }
    assert_int_equal(kept[6], TRIALS);
    assert_true(deviation < 98 + 6 * 14); /* chi-square of 98 degrees of freedom: 98 +- 14 */
    free(o);
    end_bench(b);
}

static void the_first_failing_request_is_kept_however_many_came_before_the_detection(void **state)
{
    bench *b = make_bench(*state);
    pm_sample *samples;
    size_t count;
    uint64_t first = b->now + 1000;

    b->fold.burst.errors = b->burst[1].errors = 550; /* seen in the fifth second */
    for (int second = 0; second < 5; second++) {
        for (int n = 0; n < 120; n++) {
            pm_live_sample sample = {
                .at_us = b->now + 1000 + (uint64_t)n, .status = 500, .vhost = 1};

            request(b, 1, "/a", 500);
            if (pm_live_sample_room(&b->live)) {
                pm_ring_write(&b->live.samples, &sample);
            }
        }
        tick(b);
    }
    assert_int_equal(incident(b, 1, 0)->onset_us, first);
    assert_int_equal(
        pm_capture_samples(b->fold.capture, incident(b, 1, 0), &samples, &count, b->f->pool),
        APR_SUCCESS);
    assert_int_equal(count, 4);
    assert_int_equal(samples[0].at_us, first);
    b->fold.samples = 0; /* PMCaptureSamples 0 */
    requests(b, 1, "/a", 10, 500);
    tick(b);
    end_bench(b);
}

/* ---- what never ends ---- */

static void a_request_that_does_not_end_is_named_once_after_a_minute(void **state)
{
    bench *b = make_bench(*state);
    pm_event *events;
    size_t count, named = 0;
    _Alignas(8) char path[24] = "/orders/4711/pay";
    uint32_t flight;

    atomic_store(&b->live.children[0].pid, (uint32_t)getpid());
    atomic_store(&b->live.children[0].start, pm_process_start((uint32_t)getpid()));
    flight = pm_live_arrived(&b->live, 5, b->now + 1000, 0, 2);
    pm_live_name(pm_live_named(&b->live, &b->live.flights[flight]), b->now + 1000, path);
    flight = pm_live_arrived(&b->live, 9, b->now + 2000, 0, 2); /* a download */
    atomic_store(&b->live.flights[flight].state, PM_FLIGHT_SENDING);
    for (int i = 0; i < 130; i++) {
        tick(b);
    }
    assert_int_equal(pm_capture_events(b->fold.capture, 0, UINT64_MAX, &events, &count, b->f->pool),
                     APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        if (events[i].type == PM_EV_NOTE) {
            named++;
            assert_non_null(strstr(events[i].text, "1 request is in flight"));
            assert_non_null(strstr(events[i].text, "/orders/{id}/pay on api.example:80"));
        }
    }
    assert_int_equal(named, 1);
    end_bench(b);
}

/* ---- hostile memory ---- */

static void a_writer_that_died_before_it_had_written_a_name_leaves_no_slot_lost(void **state)
{
    bench *b = make_bench(*state);

    atomic_store(&b->live.heavy->id[7], 4711);
    for (int i = 0; i < 6; i++) {
        tick(b);
    }
    assert_int_equal(atomic_load(&b->live.heavy->id[7]), 0);
    end_bench(b);
}

static void scribbled_tables_crash_nobody_and_names_stay_clean(void **state)
{
    bench *b = make_bench(*state);
    uint64_t seed = 11;

    requests(b, 1, "/a", 50, 500);
    tick(b);
    for (int round = 0; round < 20; round++) {
        uint64_t *words = (void *)b->live.heavy;

        for (size_t i = 0; i < sizeof(*b->live.heavy) / 8; i++) {
            if (splitmix_next(&seed) % 3 == 0) {
                words[i] = splitmix_next(&seed);
            }
        }
        for (uint32_t i = 0; i < 64; i++) { /* a checksum that holds, over a name that does not */
            char *key = b->live.heavy->key[i];
            pm_heavy_slot *s = &b->live.heavy->slot[i];

            memset(key, 0x1b, PM_KEY);
            s->vhost = UINT32_MAX;
            atomic_store(&s->sum, pm_heavy_sum(atomic_load(&b->live.heavy->id[i]), s->vhost,
                                               s->first_us, key, ""));
        }
        requests(b, 1, "/a", 50, 500);
        tick(b);
    }
    for (int i = 0; i < PM_TALLIES; i++) {
        assert_null(strchr(incident(b, 1, 0)->by_route[i].key, 0x1b));
    }
    end_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_million_failing_uris_hide_none_of_the_ten_heaviest, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_heavy_one_that_begins_in_the_middle_of_a_flood_finds_room,
                                        begin, end),
        cmocka_unit_test_setup_teardown(many_threads_and_a_recorder_lose_no_count, begin, end),
        cmocka_unit_test_setup_teardown(failures_before_the_detection_are_in_the_breakdown, begin,
                                        end),
        cmocka_unit_test_setup_teardown(the_share_that_failed_is_told_once_successes_are_counted,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_comes_after_the_last_failure_is_no_part_of_it, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            what_succeeds_in_the_last_second_after_the_last_failure_is_no_part_of_it, begin, end),
        cmocka_unit_test_setup_teardown(what_was_counted_only_before_the_detection_has_no_share,
                                        begin, end),
        cmocka_unit_test_setup_teardown(each_virtual_host_has_its_own_lines_and_the_server_the_sum,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            of_another_virtual_host_nothing_is_in_an_incidents_breakdown, begin, end),
        cmocka_unit_test_setup_teardown(how_backends_failed_is_counted, begin, end),
        cmocka_unit_test_setup_teardown(each_way_has_its_count_and_what_none_tells_is_unknown,
                                        begin, end),
        cmocka_unit_test_setup_teardown(what_lost_its_slot_is_still_counted_as_other, begin, end),
        cmocka_unit_test_setup_teardown(lines_never_seen_before_come_first, begin, end),
        cmocka_unit_test_setup_teardown(
            a_signature_that_lost_its_slot_is_not_new_when_it_comes_again, begin, end),
        cmocka_unit_test_setup_teardown(
            a_signature_of_an_incident_on_record_is_not_new_in_the_next_run, begin, end),
        cmocka_unit_test_setup_teardown(
            an_incident_that_goes_on_in_the_next_run_keeps_its_breakdown, begin, end),
        cmocka_unit_test_setup_teardown(
            each_failing_request_but_the_first_has_the_same_chance_to_be_kept, begin, end),
        cmocka_unit_test_setup_teardown(
            the_first_failing_request_is_kept_however_many_came_before_the_detection, begin, end),
        cmocka_unit_test_setup_teardown(a_request_that_does_not_end_is_named_once_after_a_minute,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            a_writer_that_died_before_it_had_written_a_name_leaves_no_slot_lost, begin, end),
        cmocka_unit_test_setup_teardown(scribbled_tables_crash_nobody_and_names_stay_clean, begin,
                                        end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
