/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_incident_state.c: states that no count of failures tells open incidents, last, and end.
 */
#include "fold_case.h"

#include "recorder/fold_private.h"

#define WWW 2u /* scopes: their virtual hosts are one less */
#define API 3u

static void hold(bench *b, uint32_t kind, uint32_t scope, uint64_t from, int lasts)
{
    pm_condition s = {kind, scope, from, b->now, lasts};

    pm_incident_state(&b->fold, &s);
}

static void a_state_is_one_incident_from_its_onset_to_its_end(void **state)
{
    static const uint32_t kinds[] = {PM_KIND_DOWN, PM_KIND_SILENCE, PM_KIND_STOPPED,
                                     PM_KIND_UNREACHABLE};

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        bench *b = make_bench(*state);
        uint64_t onset = b->now - 2 * PM_SECOND;
        const pm_incident *in;

        for (int i = 0; i < 3; i++) {
            hold(b, kinds[k], PM_SCOPE_SERVER, onset, 1);
            assert_true(pm_incident_in_state(&b->fold, kinds[k], PM_SCOPE_SERVER));
            tick(b);
            in = incident(b, 1, 0);
            assert_true(in->open);
        }
        hold(b, kinds[k], PM_SCOPE_SERVER, 0, 0);
        assert_false(pm_incident_in_state(&b->fold, kinds[k], PM_SCOPE_SERVER));
        tick(b);
        in = incident(b, 1, 0);
        assert_false(in->open);
        assert_int_equal(in->kinds, kinds[k]);
        assert_int_equal(in->onset_us, onset);
        assert_int_equal(in->end_us, onset + 5 * PM_SECOND);
        assert_int_equal(in->unserved_us, kinds[k] & PM_KIND_OUTAGE ? 5 * PM_SECOND : 0);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

static void states_that_overlap_are_one_incident_and_count_each_moment_once(void **state)
{
    bench *b = make_bench(*state);
    uint64_t onset = b->now - 3 * PM_SECOND;
    const pm_incident *in;

    hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, onset, 1);
    hold(b, PM_KIND_UNREACHABLE, PM_SCOPE_SERVER, b->now - PM_SECOND, 1);
    tick(b);
    hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, onset, 0);
    tick(b);
    in = incident(b, 1, 0);
    assert_true(in->open);
    assert_int_equal(in->unserved_us, 4 * PM_SECOND);
    hold(b, PM_KIND_UNREACHABLE, PM_SCOPE_SERVER, 0, 0);
    tick(b);
    in = incident(b, 1, 0);
    assert_false(in->open);
    assert_int_equal(in->kinds, PM_KIND_SILENCE | PM_KIND_UNREACHABLE);
    assert_int_equal(in->unserved_us, 4 * PM_SECOND);
    end_bench(b);
}

/** Of two incidents, the one of that virtual host. */
static const pm_incident *incident_on(bench *b, const char *vhost)
{
    const pm_incident *in = incident(b, 2, 0);

    return strcmp(in->vhost, vhost) == 0 ? in : incident(b, 2, 1);
}

static void a_virtual_host_that_is_unreachable_is_its_own_scope(void **state)
{
    bench *b = make_bench(*state);

    hold(b, PM_KIND_UNREACHABLE, API, b->now, 1);
    hold(b, PM_KIND_UNREACHABLE, WWW, b->now, 1);
    tick(b);
    assert_string_equal(incident_on(b, "api.example:80")->vhost, "api.example:80");
    hold(b, PM_KIND_UNREACHABLE, API, 0, 0);
    assert_true(pm_incident_in_state(&b->fold, PM_KIND_UNREACHABLE, WWW));
    tick(b);
    assert_false(incident_on(b, "api.example:80")->open);
    assert_true(incident_on(b, "www.example:80")->open);
    end_bench(b);
}

static void a_state_that_returns_within_the_time_to_clear_goes_on_as_the_same(void **state)
{
    bench *b = make_bench(*state);

    for (int i = 0; i < 2; i++) {
        hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, b->now - PM_SECOND, 1);
        tick(b);
        hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, 0, 0);
        tick(b);
        assert_false(incident(b, 1, 0)->open);
    }
    b->now += 60 * PM_SECOND;
    hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, b->now, 1);
    tick(b);
    incident(b, 2, 0);
    end_bench(b);
}

static void what_begins_earlier_than_what_was_noticed_first_moves_the_onset(void **state)
{
    bench *b = make_bench(*state);
    uint64_t onset = b->now - 40 * PM_SECOND;
    const pm_incident *in;

    hold(b, PM_KIND_UNREACHABLE, PM_SCOPE_SERVER, b->now - 20 * PM_SECOND, 1);
    tick(b);
    hold(b, PM_KIND_SILENCE, PM_SCOPE_SERVER, onset, 1);
    tick(b);
    in = incident(b, 1, 0);
    assert_int_equal(in->onset_us, onset);
    assert_true(in->unserved_us <= b->now - in->onset_us);
    end_bench(b);
}

static void the_end_of_one_virtual_hosts_certificate_is_no_outage_of_the_server(void **state)
{
    bench *b = make_bench(*state);
    const pm_incident *in;

    hold(b, PM_KIND_UNREACHABLE, API, b->now, 1);
    tick(b);
    assert_false(pm_incident_serving_failed(&b->fold));
    hold(b, PM_KIND_DOWN, PM_SCOPE_SERVER, b->now, 1);
    tick(b);
    in = incident_on(b, "api.example:80");
    assert_string_equal(in->vhost, "api.example:80");
    assert_int_equal(in->kinds, PM_KIND_UNREACHABLE);
    assert_true(pm_incident_serving_failed(&b->fold));
    end_bench(b);
}

static void an_ended_certificate_is_over_with_its_virtual_host_or_with_the_probe(void **state)
{
    for (int off = 0; off < 2; off++) {
        bench *b = make_bench(*state);
        pm_outside_certificate one = {.scope = API, .vhost = "api.example:443", .valid = 1};
        pm_outside outside = {
            .placed = 1, .certificates = 1, .certificate = &one, .mode = PM_PROBE_AUTO};

        one.shown.not_before_us = b->now - 90 * 86400 * PM_SECOND;
        one.shown.not_after_us = b->now;
        one.seen_us = b->now;
        b->fold.outside = &outside;
        tick(b);
        assert_true(incident(b, 1, 0)->open);
        outside.mode = off ? PM_PROBE_OFF : outside.mode;
        outside.certificates = off ? 1 : 0;
        tick(b);
        tick(b);
        assert_false(incident(b, 1, 0)->open);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

static void a_state_during_which_the_clock_is_set_has_no_time_of_the_clock_as_it_was(void **state)
{
    for (int way = -1; way <= 1; way += 2) {
        bench *b = make_bench(*state);
        pm_outside_listener one = {.bad_since_us = b->now};
        pm_outside outside = {.count = 1, .listener = &one, .mode = PM_PROBE_OFF};
        const pm_incident *in;

        b->fold.outside = &outside;
        for (int i = 0; i < 20; i++) {
            b->state->quiet.silence.began_us = b->now - 5 * PM_SECOND;
            hold(b, PM_KIND_DOWN, PM_SCOPE_SERVER, b->now - PM_SECOND, 1);
            tick(b);
        }
        b->now = way < 0 ? b->now - 3600 * PM_SECOND : b->now + 3600 * PM_SECOND;
        tick(b);
        assert_true(b->state->quiet.silence.began_us <= b->now);
        assert_true(one.bad_since_us <= b->now && one.bad_since_us + 2 * PM_SECOND >= b->now);
        in = incident(b, 1, 0);
        assert_false(in->open);
        assert_int_equal(in->states, 0);
        for (int i = 0; i < 5; i++) {
            hold(b, PM_KIND_DOWN, PM_SCOPE_SERVER, b->now - PM_SECOND, 1);
            tick(b);
        }
        in = incident(b, 2, 0)->id == 2 ? incident(b, 2, 0) : incident(b, 2, 1);
        assert_true(in->onset_us <= in->detected_us && in->end_us <= b->now);
        assert_true(in->unserved_us + incident(b, 2, 1)->unserved_us < 60 * PM_SECOND);
        end_bench(b);
        unlink(((fixture *)*state)->path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(a_state_is_one_incident_from_its_onset_to_its_end),
        CASE(states_that_overlap_are_one_incident_and_count_each_moment_once),
        CASE(a_virtual_host_that_is_unreachable_is_its_own_scope),
        CASE(a_state_that_returns_within_the_time_to_clear_goes_on_as_the_same),
        CASE(what_begins_earlier_than_what_was_noticed_first_moves_the_onset),
        CASE(the_end_of_one_virtual_hosts_certificate_is_no_outage_of_the_server),
        CASE(an_ended_certificate_is_over_with_its_virtual_host_or_with_the_probe),
        CASE(a_state_during_which_the_clock_is_set_has_no_time_of_the_clock_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
