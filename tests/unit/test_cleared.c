/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_cleared.c: which suspects are cleared or not watched, rule by rule.
 */
#include "story_case.h"

/* ---- what is cleared ---- */

static void usual_traffic_clears_a_surge_and_gives_the_figures(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->requests = 246;
    assert_string_equal(
        cleared(tell(f), "traffic_surge"),
        "No more traffic than usual: 20.0 requests a second during the incident, 20.0 "
        "in the 30 min before it");
    i->requests = 500;
    assert_null(cleared(tell(f), "traffic_surge"));
}

static void a_state_clears_no_surge_as_nothing_is_counted_in_it(void **state)
{
    static const uint32_t kinds[] = {PM_KIND_SILENCE, PM_KIND_UNREACHABLE, PM_KIND_DOWN,
                                     PM_KIND_ERRORS | PM_KIND_SILENCE};

    (void)state;
    for (size_t n = 0; n < sizeof(kinds) / sizeof(kinds[0]); n++) {
        fixture *f = errors();

        assert_non_null(cleared(tell(f), "traffic_surge"));
        f->cases[0].incident->kinds = kinds[n];
        assert_null(cleared(tell(f), "traffic_surge"));
    }
}

static void a_hang_a_gap_or_too_little_history_clears_no_surge(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    f->rows[1805].in_flight = 500;
    assert_null(cleared(tell(f), "traffic_surge"));
    f->rows[1805].in_flight = 4;
    i->before_us = 4 * S;
    assert_null(cleared(tell(f), "traffic_surge"));
    i->before_us = 1800 * S;
    for (int n = 1740; n < 1800; n++) {
        f->rows[n].requests = 100; /* it came before the failures */
    }
    assert_null(cleared(tell(f), "traffic_surge"));
    for (int n = 1740; n < 1800; n++) {
        f->rows[n].requests = 20;
    }
    assert_non_null(cleared(tell(f), "traffic_surge"));
    remove_rows(f, 1803, 5);
    assert_null(cleared(tell(f), "traffic_surge"));
}

static void a_surge_of_seconds_is_not_cleared_by_the_mean_of_a_minute(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_non_null(cleared(tell(f), "traffic_surge"));
    for (int n = 1796; n < 1800; n++) {
        f->rows[n].requests = 120;
    }
    assert_null(cleared(tell(f), "traffic_surge"));
}

static void a_surge_may_wait_for_workers_that_are_all_busy(void **state)
{
    fixture *f = errors();

    (void)state;
    f->rows[1803].idle = f->rows[1804].idle = 0; /* who waited then is counted in the next second */
    assert_non_null(cleared(tell(f), "traffic_surge"));
    f->rows[1805].idle = 0;
    assert_null(cleared(tell(f), "traffic_surge"));
    assert_contains(unwatched(&f->cases[0], "traffic_surge"), "how much waited for a worker");
    f->rows[1805].idle = PM_UNKNOWN;
    assert_null(cleared(tell(f), "traffic_surge"));
}

static void many_clients_hit_clear_a_single_one(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    assert_null(
        cleared(tell(f), "single_client")); /* 12 clients, 45 errors: one may stand behind most */
    i->error_clients = 40;
    assert_string_equal(
        cleared(tell(f), "single_client"),
        "The errors are not one client's: 45 of them met about 40 different clients");
    i->clients_known = 0;
    assert_null(cleared(tell(f), "single_client"));
}

static void a_fair_sample_of_clients_clears_a_single_one(void **state)
{
    fixture *f = errors();

    (void)state;
    for (int n = 0; n < 8; n++) {
        apr_snprintf(add_sample(f, n, "")->client, 56, "192.0.%d.0/24", n / 3);
    }
    assert_contains(cleared(tell(f), "single_client"),
                    "the busiest address stands behind 3 of 8 sampled failures");
    strcpy(f->samples[7].client, f->samples[0].client);
    strcpy(f->samples[6].client, f->samples[0].client);
    assert_null(cleared(tell(f), "single_client"));
}

static void what_the_busiest_client_asked_and_met_clears_a_single_one(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->counted_requests = 500;
    i->busiest.requests = 50;
    i->by_client[0].errors = 9;
    assert_string_equal(
        cleared(tell(f), "single_client"),
        "The errors are not one client's: they met about 12 different clients, the one "
        "that met most of them 20 %; the busiest made 10 % of the requests");
    i->busiest.requests = 101; /* more than a fifth of the traffic */
    assert_null(cleared(tell(f), "single_client"));
    i->busiest.requests = 50;
    i->by_client[0].errors = 23; /* more than half of the errors */
    assert_null(cleared(tell(f), "single_client"));
    i->by_client[0].errors = 0; /* not counted */
    assert_null(cleared(tell(f), "single_client"));
    /* refusals before the detection are counted of nobody: they may all be one client's */
    i->by_client[0].errors = 9;
    i->kinds = PM_KIND_REFUSED;
    assert_null(cleared(tell(f), "single_client"));
    for (int n = 1; n < PM_COUNTS; n++) {
        i->by_client[n].errors = i->errors / 10;
    }
    assert_contains(cleared(tell(f), "single_client"), "most of them at least 20 %");
}

static void
one_client_that_makes_most_of_the_traffic_is_not_cleared_by_the_others_errors(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->error_clients = 40;
    i->counted_requests = 500;
    i->busiest.requests = 250;
    assert_non_null(cleared(tell(f), "single_client"));
    i->busiest.requests = 251;
    assert_null(cleared(tell(f), "single_client"));
}

static void a_reload_that_changed_nothing_is_no_candidate_and_clears_the_configuration(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{\"changes\":null}");
    add_event(f, PM_EV_CONFIG_RELOAD, -5, "Reloaded.", "{\"kind\":\"graceful\",\"changes\":0}");
    assert_null(find_cause(tell(f), "config.reload"));
    assert_contains(cleared(tell(f), "configuration"), "nothing in it changed");
    add_event(f, PM_EV_CONFIG_RELOAD, -4, "Reloaded.", "{\"kind\":\"graceful\",\"changes\":10}");
    assert_non_null(find_cause(tell(f), "config.reload"));
    assert_null(cleared(tell(f), "configuration"));
}

static void no_load_within_the_hour_clears_the_configuration(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_string_equal(
        cleared(tell(f), "configuration"),
        "The server loaded no configuration in the 1 h before the onset, nor during the "
        "incident; generation 3 ran throughout");
    f->m.events_lost = 1;
    assert_null(cleared(tell(f), "configuration"));
    f->m.events_lost = 0;
    add_event(f, PM_EV_CONFIG_RELOAD, 3, "Reloaded.", "{}");
    assert_null(cleared(tell(f), "configuration"));
}

static void the_configuration_is_cleared_by_what_is_on_record_alone(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_null(cleared(tell(f), "configuration")); /* no event at all: nobody watched */
    f->m.created_us = ONSET - 300 * S;
    add_event(f, PM_EV_NOTE, -250, "x", "{}");
    assert_contains(cleared(tell(f), "configuration"),
                    "in the 5 min before the onset (all that is on record)");
    f->events[0].seq = 7; /* older ones have been pushed out */
    f->events[0].at_us = ONSET - 30 * S;
    assert_null(cleared(tell(f), "configuration"));
}

static void what_a_ring_that_turned_took_away_is_not_cleared(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    f->m.created_us = ONSET - 9000 * S;
    add_event(f, PM_EV_NOTE, -8000, "x", "{}");
    add_event(f, PM_EV_NOTE, -3000, "x", "{}");
    add_event(f, PM_EV_NOTE, -600, "x", "{}");
    add_event(f, PM_EV_NOTE, -300, "x", "{}");
    assert_contains(unwatched(tell(f), "deployment"), "changed in the 1 h before the onset,");
    f->events[2].seq++; /* written late: none is missing */
    f->events[3].seq--;
    assert_contains(unwatched(tell(f), "deployment"), "changed in the 1 h before the onset,");
    f->events[1].seq -= 2; /* one between them is gone, whatever it said */
    assert_contains(unwatched(tell(f), "deployment"),
                    "in the 10 min before the onset (all that is on record)");
}

static void what_newer_events_pushed_out_clears_nobody(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES | PM_WATCHED_CRASHES;
    add_event(f, PM_EV_NOTE, -7000, "x", "{}");
    assert_non_null(cleared(tell(f), "crashes"));
    assert_non_null(cleared(&f->cases[0], "machine"));
    f->m.events_since_us = ONSET - 1200 * S;
    assert_contains(unwatched(tell(f), "deployment"),
                    "in the 20 min before the onset (all that is on record)");
    assert_contains(cleared(&f->cases[0], "crashes"), "from 1 min before the onset");
    f->m.events_since_us = ONSET - 20 * S;
    assert_contains(cleared(tell(f), "crashes"), "from 20 s before the onset");
    f->m.events_since_us = ONSET + 1;
    tell(f);
    for (const char **suspect =
             (const char *[]){"configuration", "deployment", "crashes", "machine", NULL};
         *suspect != NULL; suspect++) {
        assert_null(cleared(&f->cases[0], *suspect));
        assert_contains(unwatched(&f->cases[0], *suspect), "pushed out");
    }
    f->m.events_since_us = UINT64_MAX;
    assert_null(cleared(tell(f), "machine"));
}

static void failing_requests_that_httpd_itself_answered_clear_backends(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_null(cleared(tell(f), "backend"));
    for (int n = 0; n < 8; n++) {
        add_sample(f, n, "")->flags = PM_SAMPLE_BY_HTTPD;
    }
    assert_string_equal(
        cleared(tell(f), "backend"),
        "Not a backend: httpd itself answered each of the 8 failing requests kept (of "
        "45), and no other process was asked");
    strcpy(f->samples[3].backend, "http://127.0.0.1:8080");
    assert_null(cleared(tell(f), "backend"));
}

static void what_another_process_may_have_answered_clears_no_backend(void **state)
{
    fixture *f = errors();

    (void)state;
    for (int n = 0; n < 8; n++) {
        add_sample(f, n, "")->flags = n == 5 ? 0 : PM_SAMPLE_BY_HTTPD;
    }
    assert_null(cleared(tell(f), "backend"));
    assert_string_equal(unwatched(&f->cases[0], "backend"),
                        "none of the 8 failing requests kept was mod_proxy's, but whether another "
                        "process was asked is not known of 1");
    add_tally(f->cases[0].incident->by_backend, "http://127.0.0.1:8080", 50, 5);
    assert_null(unwatched(tell(f), "backend"));
}

static void an_idle_worker_in_each_second_clears_the_workers(void **state)
{
    fixture *f = errors();

    (void)state;
    f->rows[1807].idle = 3;
    assert_contains(cleared(tell(f), "workers"),
                    "at least 3 of at most 150 were idle at the end of each second in 22 s from 10 "
                    "s before the onset");
    f->rows[1807].idle = 0;
    assert_null(cleared(tell(f), "workers"));
    f->rows[1807].idle = PM_UNKNOWN;
    assert_null(cleared(tell(f), "workers"));
    f->rows[1807].idle = 70;
    add_event(f, PM_EV_WORKERS_EXHAUSTED, 3, "No idle worker.", "{}");
    assert_null(cleared(tell(f), "workers"));
}

static void workers_that_are_nearly_all_busy_are_not_cleared(void **state)
{
    fixture *f = errors();
    pm_tally *line;

    (void)state;
    f->rows[1807].busy = 135;
    assert_non_null(cleared(tell(f), "workers"));
    f->rows[1807].busy = 136; /* of 150 */
    assert_null(cleared(tell(f), "workers"));
    f->rows[1807].busy = 5;
    line = add_tally(f->cases[0].incident->by_error_log, "AH01257: unable to connect", 0, 9);
    assert_non_null(cleared(tell(f), "workers"));
    apr_cpystrn(line->key, "AH00484: server reached MaxRequestWorkers setting", sizeof(line->key));
    assert_null(cleared(tell(f), "workers"));
    assert_null(cleared(&f->cases[0], "traffic_surge"));
}

static void every_second_on_record_clears_the_machine(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_string_equal(
        cleared(tell(f), "machine"),
        "The machine neither stood still nor was restarted: every second is on record from 1 min "
        "before the onset to the end, with no step of the clock. Its memory, disks, processors and "
        "network are not watched");
    f->m.row_count = 1808; /* the record breaks off */
    assert_null(cleared(tell(f), "machine"));
    f->m.row_count = ROWS;
    assert_non_null(cleared(tell(f), "machine"));
    remove_rows(f, 1780, 4);
    assert_null(cleared(tell(f), "machine"));
}

static void minutes_in_place_of_seconds_clear_nothing_that_needs_each_second(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    f->m.resolution_us = 60 * S;
    c = tell(f);
    assert_null(cleared(c, "traffic_surge"));
    assert_null(cleared(c, "workers"));
    assert_null(cleared(c, "machine"));
}

static void a_server_that_was_gone_clears_neither_traffic_nor_machine(void **state)
{
    fixture *f = down();

    (void)state;
    assert_null(cleared(tell(f), "traffic_surge"));
    assert_null(cleared(tell(f), "machine"));
    assert_null(cleared(tell(f), "backend"));
}

static void a_deployment_is_never_cleared_and_what_was_watched_is_said(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_string_equal(
        unwatched(tell(f), "deployment"),
        "no file that is watched changed in the 1 h before the onset, nor during the incident, but "
        "below the tops of DocumentRoot and Alias targets, and behind a backend, nobody looks");
    add_event(f, PM_EV_FILE_CHANGED, -3000, "/srv/www changed.", "{}");
    assert_null(unwatched(tell(f), "deployment"));
    assert_null(cleared(&f->cases[0], "deployment"));
}

static void of_a_deployment_five_seconds_of_watching_say_how_many(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    f->m.created_us = ONSET - 5 * S;
    add_event(f, PM_EV_SERVER_START, -5, "Started.", "{}");
    assert_contains(unwatched(tell(f), "deployment"),
                    "in the 5 s before the onset (all that is on record)");
    f->m.created_us += 1;
    assert_string_equal(unwatched(tell(f), "deployment"),
                        "the record begins 4.9 s before the onset");
}

static void crashes_are_cleared_when_they_would_have_been_seen(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_CRASHES;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_contains(cleared(tell(f), "crashes"),
                    "No worker process of httpd's own crashed or was killed");
    add_event(f, PM_EV_CHILD_CRASH, 2, "A child died.", "{}");
    assert_null(cleared(tell(f), "crashes"));
}

static void a_virtual_hosts_own_rate_is_not_held_against_the_whole_servers(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    for (int n = 1800; n < 1815; n++) {
        f->rows[n].requests = 60; /* three times what was usual, server-wide */
    }
    strcpy(i->vhost, "api.example:80");
    i->requests = 30; /* few of them are its own */
    assert_null(cleared(tell(f), "traffic_surge"));
}

static void the_same_time_the_day_before_is_told(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    assert_null(strstr(cleared(tell(f), "traffic_surge"), "the day before"));
    i->day = (pm_usual){600 * S, 18.5, 0, 40};
    assert_contains(cleared(tell(f), "traffic_surge"), "18.5 at that time the day before");
}

static void what_nobody_watches_is_never_cleared(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_null(cleared(tell(f), "deployment"));
    assert_null(cleared(tell(f), "crashes"));
}

static void what_nobody_watches_is_said_to_be_not_watched(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->clients_known = 0;
    i->before_us = 4 * S;
    for (int n = 0; n < ROWS; n++) {
        f->rows[n].idle = PM_UNKNOWN;
    }
    assert_string_equal(unwatched(tell(f), "deployment"), "files were not watched");
    assert_string_equal(unwatched(&f->cases[0], "crashes"), "worker processes were not watched");
    assert_string_equal(unwatched(&f->cases[0], "single_client"), "clients were not counted");
    assert_string_equal(unwatched(&f->cases[0], "workers"), "how many were idle is not on record");
    assert_string_equal(unwatched(&f->cases[0], "backend"), "no failing request was kept");
    assert_string_equal(unwatched(&f->cases[0], "configuration"), "no event is on record");
    assert_string_equal(unwatched(&f->cases[0], "traffic_surge"),
                        "no 5 s of traffic are on record before the onset");
    assert_null(unwatched(&f->cases[0], "machine"));
    f->m.server.watched = PM_WATCHED_FILES | PM_WATCHED_CRASHES;
    f->m.created_us = ONSET - 4 * S;
    add_event(f, PM_EV_SERVER_START, -4, "Started.", "{}");
    assert_string_equal(unwatched(tell(f), "deployment"), "the record begins 4 s before the onset");
    assert_null(unwatched(&f->cases[0], "crashes"));
    f->m.events_lost = 1;
    assert_contains(unwatched(tell(f), "configuration"), "events were lost");
}

static void what_was_watched_and_speaks_against_a_suspect_is_neither(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    add_event(f, PM_EV_FILE_CHANGED, -3000, "/srv/www changed.", "{}");
    assert_null(cleared(tell(f), "deployment"));
    assert_null(unwatched(&f->cases[0], "deployment"));
    assert_null(unwatched(&f->cases[0], "configuration"));
    f->m.events_lost = 1;
    assert_non_null(unwatched(tell(f), "configuration"));
    add_event(f, PM_EV_CONFIG_CHANGED, -1, "ServerAlias added.", "{}");
    assert_null(unwatched(tell(f), "configuration"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(usual_traffic_clears_a_surge_and_gives_the_figures),
        TEST(a_state_clears_no_surge_as_nothing_is_counted_in_it),
        TEST(a_hang_a_gap_or_too_little_history_clears_no_surge),
        TEST(a_surge_of_seconds_is_not_cleared_by_the_mean_of_a_minute),
        TEST(a_surge_may_wait_for_workers_that_are_all_busy),
        TEST(many_clients_hit_clear_a_single_one),
        TEST(a_fair_sample_of_clients_clears_a_single_one),
        TEST(what_the_busiest_client_asked_and_met_clears_a_single_one),
        TEST(one_client_that_makes_most_of_the_traffic_is_not_cleared_by_the_others_errors),
        TEST(a_reload_that_changed_nothing_is_no_candidate_and_clears_the_configuration),
        TEST(no_load_within_the_hour_clears_the_configuration),
        TEST(the_configuration_is_cleared_by_what_is_on_record_alone),
        TEST(what_a_ring_that_turned_took_away_is_not_cleared),
        TEST(what_newer_events_pushed_out_clears_nobody),
        TEST(failing_requests_that_httpd_itself_answered_clear_backends),
        TEST(what_another_process_may_have_answered_clears_no_backend),
        TEST(an_idle_worker_in_each_second_clears_the_workers),
        TEST(workers_that_are_nearly_all_busy_are_not_cleared),
        TEST(every_second_on_record_clears_the_machine),
        TEST(minutes_in_place_of_seconds_clear_nothing_that_needs_each_second),
        TEST(a_server_that_was_gone_clears_neither_traffic_nor_machine),
        TEST(a_deployment_is_never_cleared_and_what_was_watched_is_said),
        TEST(of_a_deployment_five_seconds_of_watching_say_how_many),
        TEST(crashes_are_cleared_when_they_would_have_been_seen),
        TEST(a_virtual_hosts_own_rate_is_not_held_against_the_whole_servers),
        TEST(the_same_time_the_day_before_is_told),
        TEST(what_nobody_watches_is_never_cleared),
        TEST(what_nobody_watches_is_said_to_be_not_watched),
        TEST(what_was_watched_and_speaks_against_a_suspect_is_neither),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
