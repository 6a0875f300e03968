/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_suspects.c: which suspects are named, cleared or not watched, rule by rule.
 */
#include "story_case.h"

/* ---- candidates ---- */

static void each_event_is_a_candidate_within_its_reach_alone(void **state)
{
    static const struct {
        uint32_t type, kind;
        double in, out;
        const char *name;
    } rules[] = {
        {PM_EV_CONFIG_CHANGED, PM_KIND_ERRORS, -599, -601, "config.changed"},
        {PM_EV_CONFIG_CHANGED, PM_KIND_SLOW, -1, 1, "config.changed"},
        {PM_EV_ROUTE_MOVED, PM_KIND_ERRORS, 59, 61, "route.moved"},
        {PM_EV_ROUTE_MOVED, PM_KIND_ERRORS, -599, -601, "route.moved"},
        {PM_EV_FILE_CHANGED, PM_KIND_ERRORS, -599, -601, "file.changed"},
        {PM_EV_DEPENDENCY_CHANGED, PM_KIND_DOWN, -599, -601, "dependency.changed"},
        {PM_EV_WORKERS_EXHAUSTED, PM_KIND_SLOW, 29, 31, "workers"},
        {PM_EV_CHILD_CRASH, PM_KIND_ERRORS, -59, -61, "child.crash"},
        {PM_EV_CONFIG_RELOAD, PM_KIND_ERRORS, -59, -61, "config.reload"},
        {PM_EV_SERVER_START, PM_KIND_ERRORS, -59, -61, "server.start"},
        {PM_EV_CONFIG_FAILED, PM_KIND_DOWN, -59, -61, "config.failed"},
        {PM_EV_CONFIG_FAILED, PM_KIND_DOWN, 12, 40, "config.failed"},
        {PM_EV_START_FAILED, PM_KIND_DOWN, 11, 40, "start.failed"},
        {PM_EV_HOST_REBOOT, PM_KIND_DOWN, 20, 40, "host.reboot"},
        {PM_EV_SERVER_UNCLEAN, PM_KIND_DOWN, 13, 40, "server.unclean"},
    };

    (void)state;
    for (size_t n = 0; n < sizeof(rules) / sizeof(rules[0]); n++) {
        for (int inside = 0; inside < 2; inside++) {
            fixture *f = fixture_make(pool);
            pm_incident *i = add_incident(f, rules[n].kind);
            const pm_cause *cause;

            if (rules[n].kind != PM_KIND_DOWN) {
                i->end_us = i->closed_us = ONSET + 90 * S;
            }
            add_event(f, rules[n].type, inside ? rules[n].in : rules[n].out, "It.", "{}");
            cause = find_cause(tell(f), rules[n].name);
            if ((cause != NULL) != inside) {
                print_error("%s, rule %d\n", rules[n].name, (int)n);
            }
            assert_int_equal(cause != NULL, inside);
            if (cause) {
                assert_int_equal(cause->evidence_count, 1);
                assert_int_equal(cause->evidence[0], 1);
                assert_int_equal(cause->before_onset_us, (int64_t)(rules[n].in * -1e6));
            }
        }
    }
}

static void what_came_after_the_end_is_no_candidate(void **state)
{
    fixture *f = errors(); /* to 12.3 s after the onset */

    (void)state;
    add_event(f, PM_EV_ROUTE_MOVED, 13, "Requests for api.example go where they went before.",
              "{}");
    add_event(f, PM_EV_CHILD_CRASH, 23, "Worker 4712 crashed.", "{}");
    add_event(f, PM_EV_WORKERS_EXHAUSTED, 24, "No worker was idle.", "{}");
    tell(f);
    assert_null(find_cause(&f->cases[0], "route.moved"));
    assert_null(find_cause(&f->cases[0], "child.crash"));
    assert_null(find_cause(&f->cases[0], "workers"));
}

static void a_far_change_is_not_blamed_for_being_the_last(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_CONFIG_CHANGED, -700, "ProxyPass changed.", "{}");
    add_event(f, PM_EV_FILE_CHANGED, -650, "index.php changed.", "{}");
    assert_int_equal(tell(f)->cause_count, 0);
    assert_int_equal(f->cases[0].change_count, 2);
}

static void the_nearer_of_two_likely_changes_stands_first(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_CONFIG_CHANGED, -580, "ProxyPass changed.", "{}");
    add_event(f, PM_EV_FILE_CHANGED, -5, "index.php changed.", "{}");
    c = tell(f);
    assert_int_equal(c->cause_count, 2);
    assert_string_equal(c->causes[0].kind, "file.changed");
    assert_string_equal(c->causes[0].summary, "index.php changed (5 s before the onset)");
    assert_int_equal(c->causes[0].rank, 1);
    assert_int_equal(c->causes[1].rank, 2);
}

static void a_reload_is_no_candidate_beside_the_change_that_it_brought(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_CONFIG_RELOAD, -4, "Reloaded gracefully.", "{}");
    c = tell(f);
    assert_string_equal(c->causes[0].kind, "config.reload");
    add_event(f, PM_EV_CONFIG_CHANGED, -4, "ProxyPass changed.", "{}");
    c = tell(f);
    assert_int_equal(c->cause_count, 1);
    assert_string_equal(c->causes[0].kind, "config.changed");
}

static void events_alike_are_one_candidate_with_all_the_evidence(void **state)
{
    fixture *f = errors();
    const pm_cause *cause;

    (void)state;
    f->cases[0].incident->end_us = ONSET + 50 * S;
    for (int n = 0; n < 40; n++) {
        add_event(f, PM_EV_CHILD_CRASH, n, "Child died of signal 11.", "{}");
    }
    cause = find_cause(tell(f), "child.crash");
    assert_int_equal(f->cases[0].cause_count, 1);
    assert_int_equal(cause->evidence_count, 32);
    assert_string_equal(cause->summary,
                        "Child died of signal 11 (0 s before the onset; 39 more like it)");
}

static void a_server_that_cannot_start_blames_the_missing_library_first(void **state)
{
    fixture *f = down();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_DEPENDENCY_MISSING, -86400, "/lib/libx.so is missing.",
              "{\"path\":\"/lib/libx.so\"}");
    add_event(f, PM_EV_CONFIG_CHANGED, -3000, "KeepAlive changed.", "{}");
    add_event(f, PM_EV_START_FAILED, 2, "Cannot load mod_x.so.", "{}");
    add_event(f, PM_EV_SERVER_UNCLEAN, 12, "The last run ended without a stop.", "{}");
    c = tell(f);
    assert_int_equal(c->cause_count, 3);
    assert_string_equal(c->causes[0].kind, "dependency.missing");
    assert_string_equal(c->causes[0].summary, "/lib/libx.so is missing (1 d before the onset)");
    assert_string_equal(c->causes[1].kind, "start.failed");
    assert_string_equal(c->causes[2].kind, "server.unclean");
}

static void the_backend_of_most_errors_is_a_candidate_and_how_it_failed(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;
    pm_tally *b = add_tally(i->by_backend, "http://127.0.0.1:8080", 50, 40);

    (void)state;
    b->refused = 38;
    b->timeout = 2;
    assert_string_equal(find_cause(tell(f), "backend")->summary,
                        "40 of 45 failing requests (89 %) had gone to backend "
                        "http://127.0.0.1:8080: 38 refused, 2 timed out");
    b->errors = 20;
    assert_null(find_cause(tell(f), "backend"));
    i->errors = 2;
    b->errors = 2;
    assert_null(find_cause(tell(f), "backend"));
}

static void the_samples_name_the_backend_when_no_tally_does(void **state)
{
    fixture *f = errors();

    (void)state;
    for (int n = 0; n < 8; n++) {
        add_sample(f, n, n < 6 ? "http://127.0.0.1:8080" : "");
    }
    assert_string_equal(find_cause(tell(f), "backend")->summary,
                        "6 of 8 failing requests kept as samples (75 %) had gone to backend "
                        "http://127.0.0.1:8080");
}

static void a_change_names_every_kind_of_directive_that_it_touched(void **state)
{
    fixture *f = errors();
    char data[4000] = "";
    const char *summary;

    (void)state;
    add_event(f, PM_EV_CONFIG_CHANGED, -2, "3 directives changed, first: ServerName changed.",
              "{\"added\":[{\"directive\":\"ServerName\",\"args\":\"\\\"directive\\\":\\\"no\"},"
              "{\"directive\":\"ServerAlias\"}],\"removed\":[{\"directive\":\"servername\"}]}");
    assert_string_equal(find_cause(tell(f), "config.changed")->summary,
                        "3 directives changed, first: ServerName changed (2 s before the onset; "
                        "it touched ServerName, ServerAlias)");
    f->events[0].data = "{\"added\":[{\"directive\":\"ServerName\"}]}";
    assert_null(strstr(find_cause(tell(f), "config.changed")->summary, "touched"));
    for (int n = 0; n < 100; n++) {
        apr_snprintf(data + strlen(data), sizeof(data) - strlen(data), "\"directive\":\"D%d\",", n);
    }
    f->events[0].data = data;
    summary = find_cause(tell(f), "config.changed")->summary;
    assert_contains(summary, ", D7)");
    assert_null(strstr(summary, "D8"));
    f->events[0].data = "{\"added\":[{\"directive\":\""; /* broken off */
    assert_non_null(find_cause(tell(f), "config.changed"));
}

static void twice_the_usual_traffic_is_a_candidate(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->requests = 600;
    assert_contains(find_cause(tell(f), "traffic")->summary,
                    "48.8 requests a second during the incident, 20.0 in the 30 min before it");
    i->requests = 400;
    assert_null(find_cause(tell(f), "traffic"));
    i->requests = 600;
    i->before_us = 4 * S; /* too little to be called usual */
    assert_null(find_cause(tell(f), "traffic"));
    i->before_us = 5 * S;
    assert_contains(find_cause(tell(f), "traffic")->summary, "20.0 in the 5 s before it");
}

static void a_large_share_of_monitoring_is_told_with_the_traffic(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->requests = 600;
    i->counted_requests = 500;
    i->monitoring_requests = 200;
    assert_contains(find_cause(tell(f), "traffic")->summary,
                    "in the 30 min before it; health checks and the like made 40 % of it");
    i->monitoring_requests = 49;
    assert_null(strstr(find_cause(tell(f), "traffic")->summary, "health checks"));
}

static void one_client_that_met_every_error_is_a_candidate(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    i->error_clients = 1.0;
    i->clients = 31;
    assert_string_equal(find_cause(tell(f), "client")->summary,
                        "One client alone met all 45 errors; about 30 others met none");
    apr_cpystrn(i->by_client[0].key, "192.0.2.0/24", sizeof(i->by_client[0].key));
    i->by_client[0].errors = 45;
    assert_string_equal(
        find_cause(tell(f), "client")->summary,
        "One client alone (192.0.2.0/24) met all 45 errors; about 30 others met none");
    i->clients = 1.2; /* there was no other */
    assert_null(find_cause(tell(f), "client"));
}

static void a_log_line_new_at_the_onset_is_a_candidate(void **state)
{
    fixture *f = errors();
    pm_tally *line = add_tally(f->cases[0].incident->by_error_log, "AH00957: refused", 0, 45);

    (void)state;
    line->first_seen_us = ONSET + 4 * S;
    assert_string_equal(find_cause(tell(f), "signature")->summary,
                        "Error log line that was new to this run and to earlier incidents "
                        "4 s after the onset, 45 times since: AH00957: refused");
    line->first_seen_us = ONSET - 61 * S; /* known before */
    assert_null(find_cause(tell(f), "signature"));
    line->first_seen_us = 0;
    assert_null(find_cause(tell(f), "signature"));
}

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

static void many_clients_hit_clear_a_single_one(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    assert_null(
        cleared(tell(f), "single_client")); /* 12 clients, 45 errors: one may stand behind most */
    i->error_clients = 40;
    assert_string_equal(cleared(tell(f), "single_client"),
                        "Not one client: 45 errors met about 40 different clients");
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
    assert_string_equal(cleared(tell(f), "single_client"),
                        "Not one client: errors met about 12 different clients, the one that met "
                        "most of them 20 %; the busiest made 10 % of the requests");
    i->busiest.requests = 101; /* more than a fifth of the traffic */
    assert_null(cleared(tell(f), "single_client"));
    i->busiest.requests = 50;
    i->by_client[0].errors = 23; /* more than half of the errors */
    assert_null(cleared(tell(f), "single_client"));
    i->by_client[0].errors = 0; /* not counted */
    assert_null(cleared(tell(f), "single_client"));
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
    assert_contains(cleared(tell(f), "deployment"), "changed in the 1 h before the onset,");
    f->events[2].seq++; /* written late: none is missing */
    f->events[3].seq--;
    assert_contains(cleared(tell(f), "deployment"), "changed in the 1 h before the onset,");
    f->events[1].seq -= 2; /* one between them is gone, whatever it said */
    assert_contains(cleared(tell(f), "deployment"),
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
    assert_contains(cleared(tell(f), "deployment"),
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

static void failing_requests_that_went_to_no_backend_clear_backends(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_null(cleared(tell(f), "backend"));
    for (int n = 0; n < 8; n++) {
        add_sample(f, n, "");
    }
    assert_contains(cleared(tell(f), "backend"), "none of the 8 failing requests kept (of 45)");
    strcpy(f->samples[3].backend, "http://127.0.0.1:8080");
    assert_null(cleared(tell(f), "backend"));
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

static void every_second_on_record_clears_the_machine(void **state)
{
    fixture *f = errors();

    (void)state;
    assert_string_equal(
        cleared(tell(f), "machine"),
        "The machine was up: every second is on record from 1 min before the onset to "
        "the end, with no restart and no step of the clock");
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

static void watched_files_that_did_not_change_clear_a_deployment(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_contains(cleared(tell(f), "deployment"), "changed in the 1 h before the onset");
    add_event(f, PM_EV_FILE_CHANGED, -3000, "/srv/www changed.", "{}");
    assert_null(cleared(tell(f), "deployment"));
}

static void a_deployment_is_cleared_by_five_seconds_of_watching_and_says_how_many(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_FILES;
    f->m.created_us = ONSET - 5 * S;
    add_event(f, PM_EV_SERVER_START, -5, "Started.", "{}");
    assert_contains(cleared(tell(f), "deployment"),
                    "in the 5 s before the onset (all that is on record)");
    f->m.created_us += 1;
    assert_null(cleared(tell(f), "deployment"));
}

static void crashes_are_cleared_when_they_would_have_been_seen(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.server.watched = PM_WATCHED_CRASHES;
    add_event(f, PM_EV_CONFIG_LOAD, -7000, "Loaded.", "{}");
    assert_contains(cleared(tell(f), "crashes"), "No worker process crashed or was killed");
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
        TEST(each_event_is_a_candidate_within_its_reach_alone),
        TEST(what_came_after_the_end_is_no_candidate),
        TEST(a_far_change_is_not_blamed_for_being_the_last),
        TEST(the_nearer_of_two_likely_changes_stands_first),
        TEST(a_reload_is_no_candidate_beside_the_change_that_it_brought),
        TEST(events_alike_are_one_candidate_with_all_the_evidence),
        TEST(a_server_that_cannot_start_blames_the_missing_library_first),
        TEST(the_backend_of_most_errors_is_a_candidate_and_how_it_failed),
        TEST(the_samples_name_the_backend_when_no_tally_does),
        TEST(a_change_names_every_kind_of_directive_that_it_touched),
        TEST(twice_the_usual_traffic_is_a_candidate),
        TEST(a_large_share_of_monitoring_is_told_with_the_traffic),
        TEST(one_client_that_met_every_error_is_a_candidate),
        TEST(a_log_line_new_at_the_onset_is_a_candidate),
        TEST(usual_traffic_clears_a_surge_and_gives_the_figures),
        TEST(a_hang_a_gap_or_too_little_history_clears_no_surge),
        TEST(many_clients_hit_clear_a_single_one),
        TEST(a_fair_sample_of_clients_clears_a_single_one),
        TEST(what_the_busiest_client_asked_and_met_clears_a_single_one),
        TEST(one_client_that_makes_most_of_the_traffic_is_not_cleared_by_the_others_errors),
        TEST(a_reload_that_changed_nothing_is_no_candidate_and_clears_the_configuration),
        TEST(no_load_within_the_hour_clears_the_configuration),
        TEST(the_configuration_is_cleared_by_what_is_on_record_alone),
        TEST(what_a_ring_that_turned_took_away_is_not_cleared),
        TEST(what_newer_events_pushed_out_clears_nobody),
        TEST(failing_requests_that_went_to_no_backend_clear_backends),
        TEST(an_idle_worker_in_each_second_clears_the_workers),
        TEST(every_second_on_record_clears_the_machine),
        TEST(minutes_in_place_of_seconds_clear_nothing_that_needs_each_second),
        TEST(a_server_that_was_gone_clears_neither_traffic_nor_machine),
        TEST(watched_files_that_did_not_change_clear_a_deployment),
        TEST(a_deployment_is_cleared_by_five_seconds_of_watching_and_says_how_many),
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
