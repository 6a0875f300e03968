/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_reach.c: which looks from outside are an outage, and what is said of them.
 */
#include "fold_case.h"

#include "recorder/fold_private.h"

#define HOUR (3600 * PM_SECOND)

/** Two listeners: one address, and all addresses. */
typedef struct view {
    pm_outside o;
    pm_outside_listener listener[2];
    pm_outside_certificate certificate[1];
} view;

static void begin_view(view *w, bench *b)
{
    memset(w, 0, sizeof(*w));
    w->o = (pm_outside){.count = 2, .listener = w->listener, .certificate = w->certificate};
    w->listener[0].listener =
        (pm_listener){.port = 80, .address = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
    w->listener[1].listener = (pm_listener){.port = 81, .any = 1};
    for (int i = 0; i < 2; i++) {
        w->listener[i].ask = w->listener[i].listener;
    }
    b->fold.outside = &w->o;
}

static void look(bench *b, view *w, uint32_t first, uint32_t second)
{
    w->listener[0].seen = (pm_sighting){.at_us = b->now, .took_us = 1000, .reach = first};
    w->listener[1].seen = (pm_sighting){.at_us = b->now, .took_us = 1000, .reach = second};
    w->o.fresh = 1;
    tick(b);
}

static const pm_event *newest(bench *b, uint32_t type)
{
    pm_event *events;
    size_t count;

    assert_int_equal(pm_capture_events(b->fold.capture, 0, UINT64_MAX, &events, &count, b->f->pool),
                     APR_SUCCESS);
    while (count > 0 && events[count - 1].type != type) {
        count--;
    }
    assert_int_not_equal(count, 0);
    return &events[count - 1];
}

static void an_address_that_never_answered_and_is_not_there_is_a_warning(void **state)
{
    static const uint32_t cut_off[] = {PM_REACH_UNROUTED, PM_REACH_DROPPED, PM_REACH_REJECTED};

    for (size_t i = 0; i < sizeof(cut_off) / sizeof(cut_off[0]); i++) {
        bench *b = make_bench(*state);
        view w;

        begin_view(&w, b);
        for (int n = 0; n < 3; n++) {
            look(b, &w, cut_off[i], PM_REACH_ANSWERS);
        }
        incident(b, 0, 0);
        assert_int_equal(newest(b, PM_EV_PROBE_FAILED)->severity, PM_WARNING);
        /* and one that is there, and is not served, is an outage from now on */
        look(b, &w, PM_REACH_REFUSED, PM_REACH_ANSWERS);
        assert_true(incident(b, 1, 0)->onset_us >= b->now - 2 * PM_SECOND);
        assert_int_equal(newest(b, PM_EV_PROBE_FAILED)->severity, PM_CRITICAL);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

static void with_the_probe_switched_off_nothing_is_unreachable(void **state)
{
    bench *b = make_bench(*state);
    view w;

    begin_view(&w, b);
    w.o.mode = PM_PROBE_AUTO;
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_REFUSED);
    assert_true(incident(b, 1, 0)->open);
    w.o.mode = PM_PROBE_OFF;
    tick(b);
    tick(b);
    assert_false(incident(b, 1, 0)->open);
    end_bench(b);
}

static void an_address_that_was_lost_is_an_outage(void **state)
{
    bench *b = make_bench(*state);
    view w;

    begin_view(&w, b);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_ANSWERS);
    look(b, &w, PM_REACH_UNROUTED, PM_REACH_ANSWERS);
    assert_true(incident(b, 1, 0)->open);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_ANSWERS);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_ANSWERS);
    assert_false(incident(b, 1, 0)->open);
    end_bench(b);
}

static void a_queue_that_is_full_from_the_start_is_an_outage_of_all_addresses(void **state)
{
    bench *b = make_bench(*state);
    view w;

    begin_view(&w, b);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_DROPPED);
    incident(b, 0, 0);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_DROPPED);
    assert_true(incident(b, 1, 0)->open);
    assert_non_null(strstr(newest(b, PM_EV_PROBE_FAILED)->text, "its queue is full, or"));
    end_bench(b);
}

static void how_many_listeners_fail_is_said(void **state)
{
    bench *b = make_bench(*state);
    view w;

    begin_view(&w, b);
    look(b, &w, PM_REACH_ANSWERS, PM_REACH_REFUSED);
    assert_non_null(strstr(newest(b, PM_EV_PROBE_FAILED)->text, "; 1 of 2 listeners fails"));
    look(b, &w, PM_REACH_REFUSED, PM_REACH_REFUSED);
    assert_non_null(strstr(newest(b, PM_EV_PROBE_FAILED)->text, "; 2 of 2 listeners fail"));
    end_bench(b);
}

static void a_listener_of_one_family_is_not_that_of_both(void **state)
{
    pm_listener all = {.port = 80, .any = 1, .v6 = 1}, old = {.port = 80, .any = 1};
    char name[PM_LISTENER_NAME];

    (void)state;
    assert_false(pm_listener_same(&all, &old));
    assert_true(pm_listener_same(&all, &all));
    assert_string_equal(pm_listener_name(&all, name), "*:80");
    assert_string_equal(pm_listener_name(&old, name), "0.0.0.0:80");
}

static void see_certificate(bench *b, view *w, uint64_t ends, uint64_t disk_ends)
{
    pm_outside_certificate *c = &w->certificate[0];

    w->o.certificates = w->o.fresh_certificates = 1;
    *c = (pm_outside_certificate){.vhost = "api.example:80", .seen_us = b->now};
    c->shown = (pm_certificate){b->now - 100 * HOUR, ends, {1}, 0, 0, ""};
    c->on_disk = (pm_certificate){b->now - 99 * HOUR, disk_ends, {2}, 0, 0, ""};
    tick(b);
}

static void another_key_s_certificate_of_the_same_day_is_no_newer_one(void **state)
{
    bench *b = make_bench(*state);
    view w;

    begin_view(&w, b);
    see_certificate(b, &w, b->now + HOUR, b->now + HOUR);
    assert_null(strstr(newest(b, PM_EV_CERT_EXPIRING)->text, "newer"));
    end_bench(b);
    unlink(((fixture *)*state)->path);
    b = make_bench(*state);
    begin_view(&w, b);
    see_certificate(b, &w, b->now + HOUR, b->now + 900 * HOUR);
    assert_non_null(strstr(newest(b, PM_EV_CERT_EXPIRING)->text, "newer"));
    end_bench(b);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_address_that_never_answered_and_is_not_there_is_a_warning),
        CASE(with_the_probe_switched_off_nothing_is_unreachable),
        CASE(an_address_that_was_lost_is_an_outage),
        CASE(a_queue_that_is_full_from_the_start_is_an_outage_of_all_addresses),
        CASE(how_many_listeners_fail_is_said),
        CASE(a_listener_of_one_family_is_not_that_of_both),
        CASE(another_key_s_certificate_of_the_same_day_is_no_newer_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
