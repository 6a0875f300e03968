/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_silence_tell.c: what is said of a silence, from requests to what is on disk: nothing that was not so.
 */
#include "fold_case.h"

#include "splitmix.h"

#define LEARNED 60

/** A bench of which one listener is looked at, and answers. */
typedef struct scene {
    bench *b;
    pm_outside outside;
    pm_outside_listener listener[2];
} scene;

static scene *make_scene_at(fixture *f, uint64_t start)
{
    scene *s = calloc(1, sizeof(*s));

    s->b = make_bench_at(f, pm_time_now() / 60000000 * 60000000 + start * PM_SECOND);
    s->outside = (pm_outside){.mode = PM_PROBE_AUTO, .count = 1, .listener = s->listener};
    for (uint32_t i = 0; i < 2; i++) {
        s->listener[i].listener = (pm_listener){.port = (uint16_t)(80 + i), .any = 1, .v6 = 1};
        s->listener[i].seen = (pm_sighting){.took_us = 2000, .reach = PM_REACH_ANSWERS};
    }
    s->b->fold.outside = &s->outside;
    return s;
}

static scene *make_scene(fixture *f)
{
    return make_scene_at(f, 30);
}

static void end_scene(scene *s)
{
    unlink(s->b->live.path);
    unlink(s->b->f->path);
    end_bench(s->b);
    free(s);
}

static void ask(bench *b, uint32_t client, uint32_t status, uint32_t monitor)
{
    pm_completed done = {.arrival_us = b->now + 1000,
                         .done_us = b->now + 2000,
                         .client = splitmix_hash(client + 1),
                         .status = status,
                         .vhost = 1,
                         .stripe = client,
                         .monitor = monitor};

    pm_live_count(&b->live, &done);
}

/** A second, and a look from outside. */
static void second(scene *s)
{
    tick(s->b);
    for (uint32_t i = 0; i < 2; i++) {
        s->listener[i].seen.at_us = s->b->now;
    }
}

/** Four of twenty clients ask each second, and are answered so. */
static void clients_get(scene *s, int seconds, uint32_t status)
{
    for (int t = 0; t < seconds; t++) {
        for (uint32_t i = 0; i < 4; i++) {
            ask(s->b, (uint32_t)(t * 4 + (int)i) % 20, status, 0);
        }
        second(s);
    }
}

static void nobody(scene *s, int seconds)
{
    for (int t = 0; t < seconds; t++) {
        second(s);
    }
}

/** Three health checkers, each of them every `every` seconds. */
static void monitoring(scene *s, int seconds, int every)
{
    for (int t = 0; t < seconds; t++) {
        for (uint32_t m = 0; m < 3; m++) {
            if (t % every == (int)m) {
                ask(s->b, 1000 + m, 200, 1);
            }
        }
        second(s);
    }
}

/** httpd is stopped, and started again so much later. */
static void restart(scene *s, uint64_t after_us)
{
    bench *b = s->b;
    uint64_t run = b->state->run;
    pm_event e = {
        .at_us = b->now, .run = run, .type = PM_EV_SERVER_STOP, .data = "{}", .data_len = 2};

    strcpy(e.text, "httpd stopped");
    assert_int_equal(pm_capture_lock(b->fold.capture, PM_SECOND), APR_SUCCESS);
    assert_int_equal(pm_capture_put_event(b->fold.capture, &e), APR_SUCCESS);
    pm_capture_unlock(b->fold.capture);
    atomic_store(&b->control->stopping, 1);
    tick(b);
    stop_run(b);
    b->fold.tick = NULL;
    b->now += after_us;
    b->monotonic += after_us;
    start_run(b, run + 1, NULL);
    b->fold.outside = &s->outside;
}

/** The n-th of the events of a silence that are on record. */
static const pm_event *told(scene *s, size_t n)
{
    pm_event *events;
    size_t count;

    assert_int_equal(
        pm_capture_events(s->b->fold.capture, 0, UINT64_MAX, &events, &count, s->b->f->pool),
        APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        if (events[i].type == PM_EV_TRAFFIC_SILENCE && n-- == 0) {
            print_message("%s %.*s\n", events[i].text, (int)events[i].data_len, events[i].data);
            return &events[i];
        }
    }
    return NULL;
}

static int says(const pm_event *e, const char *words)
{
    return e != NULL && strstr(e->text, words) != NULL;
}

static void when_nobody_comes_what_is_in_front_may_be_broken(void **state)
{
    scene *s = make_scene(*state);

    clients_get(s, LEARNED, 200);
    nobody(s, 30);
    assert_true(says(told(s, 0), "No request for "));
    assert_true(says(told(s, 0), "what is in front of it is broken, or nobody comes"));
    clients_get(s, 5, 200);
    assert_true(says(told(s, 1), "Clients ask again"));
    end_scene(s);
}

static void requests_that_are_answered_400_are_said_to_come(void **state)
{
    scene *s = make_scene(*state);
    uint64_t onset;

    clients_get(s, LEARNED, 200);
    onset = s->b->now;
    clients_get(s, 30, 400);
    assert_int_equal(incident(s->b, 1, 0)->kinds, PM_KIND_SILENCE);
    assert_int_equal(incident(s->b, 1, 0)->onset_us, onset);
    assert_false(says(told(s, 0), "No request for"));
    assert_false(says(told(s, 0), "in front of it"));
    assert_false(says(told(s, 0), "nobody comes"));
    assert_true(says(told(s, 0), "that got 400"));
    clients_get(s, 5, 200);
    assert_false(says(told(s, 1), "ask again"));
    end_scene(s);
}

static void a_connection_that_times_out_without_a_request_is_none(void **state)
{
    scene *s = make_scene(*state);

    clients_get(s, LEARNED, 200);
    clients_get(s, 30, 408); /* mod_reqtimeout answers so to who has sent nothing */
    assert_true(says(told(s, 0), "No request for"));
    assert_true(says(told(s, 0), "in front of it"));
    end_scene(s);
}

static void health_checks_are_said_to_come(void **state)
{
    scene *s = make_scene(*state);

    clients_get(s, LEARNED, 200);
    monitoring(s, 30, 4);
    assert_false(says(told(s, 0), "No request for"));
    assert_false(says(told(s, 0), "in front of it"));
    assert_true(says(told(s, 0), "health checkers"));
    end_scene(s);
}

static void only_a_change_just_before_is_said_to_be_behind_it(void **state)
{
    for (int when = -1; when < 2; when++) {
        scene *s = make_scene(*state);
        int late = when != 0;

        strcpy(s->outside.gone, "*:8080");
        s->outside.changed = 7;
        s->outside.changed_us = s->b->now + (uint64_t)(when * 3600) * PM_SECOND;
        clients_get(s, LEARNED, 200);
        nobody(s, 30);
        assert_int_equal(says(told(s, 0), "no more on *:8080"), !late);
        assert_int_equal(says(told(s, 0), "in front of it"), late);
        end_scene(s);
    }
}

static void a_listener_of_an_older_change_is_not_the_one_that_is_told(void **state)
{
    scene *s = make_scene(*state);

    s->outside.count = 2;
    s->listener[1].since = 3;
    strcpy(s->outside.gone, "*:8080");
    s->outside.changed = 7;
    s->outside.changed_us = s->b->now;
    clients_get(s, LEARNED, 200);
    nobody(s, 30);
    assert_true(says(told(s, 0), "httpd listens no more on *:8080"));
    end_scene(s);
}

static void a_proxy_header_is_named_only_when_it_is_new(void **state)
{
    for (int age = 0; age < 3; age++) { /* new, old, as long as anybody knows */
        scene *s = make_scene(*state);

        s->outside.count = 2;
        s->listener[1].seen.reach = PM_REACH_PROXY;
        s->listener[1].proxy_since = age == 2 ? 0 : 4;
        s->listener[1].proxy_us = age == 2 ? 0 : s->b->now - (age ? 3600 : 0) * PM_SECOND;
        clients_get(s, LEARNED, 200);
        nobody(s, 30);
        assert_int_equal(says(told(s, 0), "*:81 closes each connection"), age == 0);
        assert_int_equal(says(told(s, 0), "*:80 answers its own machine in 2 ms"), age != 0);
        end_scene(s);
    }
}

static void a_listener_that_ever_expected_a_proxy_header_answers(void **state)
{
    scene *s = make_scene(*state);

    s->listener[0].seen.reach = PM_REACH_PROXY;
    clients_get(s, LEARNED, 200);
    nobody(s, 30);
    assert_true(says(told(s, 0), "*:80 answers its own machine behind a PROXY header in 2 ms"));
    end_scene(s);
}

static void a_scanner_that_comes_by_makes_no_second_incident(void **state)
{
    scene *s = make_scene(*state);
    const pm_incident *in;
    uint64_t onset, back;

    clients_get(s, LEARNED, 200);
    onset = s->b->now;
    for (uint32_t scanner = 1; scanner <= 3; scanner++) {
        nobody(s, 100);
        for (int t = 0; t < 4; t++) {
            ask(s->b, 500 + scanner, 404, 0);
            nobody(s, 1);
        }
    }
    nobody(s, 100);
    in = incident(s->b, 1, 0);
    assert_true(in->open);
    assert_int_equal(in->unserved_us, s->b->now - onset);
    back = s->b->now;
    ask(s->b, 1, 200, 0);
    nobody(s, 30);
    assert_int_equal(incident(s->b, 1, 0)->end_us, back);
    clients_get(s, 5, 200);
    in = incident(s->b, 1, 0);
    assert_false(in->open);
    assert_int_equal(in->end_us, back);
    assert_int_equal(in->unserved_us, back - onset);
    end_scene(s);
}

static void a_clock_that_is_set_back_leaves_no_end_to_come(void **state)
{
    scene *s = make_scene(*state);

    clients_get(s, LEARNED, 200);
    nobody(s, 30);
    ask(s->b, 1, 200, 0);
    nobody(s, 1);
    assert_true(incident(s->b, 1, 0)->open);
    s->b->now -= 1800 * PM_SECOND;
    nobody(s, 5);
    assert_true(incident(s->b, 2, 1)->open);
    assert_true(incident(s->b, 2, 1)->end_us <= s->b->now);
    end_scene(s);
}

static void monitoring_alone_is_no_traffic_after_a_restart(void **state)
{
    scene *s = make_scene(*state);

    monitoring(s, 660, 20);
    restart(s, 5 * PM_SECOND);
    monitoring(s, 1200, 60);
    incident(s->b, 0, 0);
    end_scene(s);
}

static void what_clients_did_before_a_restart_is_usual_after_it(void **state)
{
    scene *s = make_scene(*state);

    for (int minute = 0; minute < 12; minute++) {
        for (uint32_t i = 0; i < 12; i++) {
            ask(s->b, (uint32_t)minute * 8 + i, 200, 0);
            nobody(s, 5);
        }
    }
    incident(s->b, 0, 0);
    restart(s, 5 * PM_SECOND);
    nobody(s, 240);
    assert_int_equal(incident(s->b, 1, 0)->kinds, PM_KIND_SILENCE);
    end_scene(s);
}

/** Two hosts that do a nightly job, each of them once a second. */
static void job(scene *s, int seconds)
{
    for (int t = 0; t < seconds; t++) {
        ask(s->b, 1, 200, 0);
        ask(s->b, 2, 200, 0);
        second(s);
    }
}

static void a_job_that_ends_when_it_did_the_day_before_is_no_silence(void **state)
{
    for (uint64_t start = 0; start < 60; start += 12) { /* of its minute */
        scene *s = make_scene_at(*state, start);

        job(s, 660);
        nobody(s, 660); /* the first time nothing tells that it is one */
        job(s, 2);
        incident(s->b, 1, 0);
        restart(s, (86400 - 660 - 300) * PM_SECOND);
        job(s, 300);
        nobody(s, 300);
        incident(s->b, 1, 0);
        end_scene(s);
    }
}

static void an_outage_the_day_before_hides_none(void **state)
{
    scene *s = make_scene(*state);

    clients_get(s, 660, 200);
    s->listener[0].seen.reach = PM_REACH_REFUSED;
    for (int t = 0; t < 660; t++) {
        second(s);
        s->outside.fresh = 1;
    }
    assert_int_equal(incident(s->b, 1, 0)->kinds, PM_KIND_SILENCE | PM_KIND_UNREACHABLE);
    s->listener[0].seen.reach = PM_REACH_ANSWERS;
    for (int t = 0; t < 5; t++) {
        s->outside.fresh = 1;
        clients_get(s, 1, 200);
    }
    assert_false(incident(s->b, 1, 0)->open);
    restart(s, (86400 - 660 - 300) * PM_SECOND);
    clients_get(s, 300, 200);
    nobody(s, 30);
    assert_int_equal(incident(s->b, 2, 0)->kinds, PM_KIND_SILENCE | PM_KIND_UNREACHABLE);
    end_scene(s);
}

static void monitoring_a_day_before_is_no_traffic_then(void **state)
{
    scene *s = make_scene(*state);

    monitoring(s, 660, 20);
    restart(s, 86400 * PM_SECOND - 600 * PM_SECOND);
    clients_get(s, LEARNED, 200);
    nobody(s, 300);
    incident(s->b, 0, 0);
    end_scene(s);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(when_nobody_comes_what_is_in_front_may_be_broken),
        CASE(requests_that_are_answered_400_are_said_to_come),
        CASE(a_connection_that_times_out_without_a_request_is_none),
        CASE(health_checks_are_said_to_come),
        CASE(only_a_change_just_before_is_said_to_be_behind_it),
        CASE(a_listener_of_an_older_change_is_not_the_one_that_is_told),
        CASE(a_proxy_header_is_named_only_when_it_is_new),
        CASE(a_listener_that_ever_expected_a_proxy_header_answers),
        CASE(a_scanner_that_comes_by_makes_no_second_incident),
        CASE(a_clock_that_is_set_back_leaves_no_end_to_come),
        CASE(monitoring_alone_is_no_traffic_after_a_restart),
        CASE(what_clients_did_before_a_restart_is_usual_after_it),
        CASE(a_job_that_ends_when_it_did_the_day_before_is_no_silence),
        CASE(an_outage_the_day_before_hides_none),
        CASE(monitoring_a_day_before_is_no_traffic_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
