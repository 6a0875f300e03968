/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_suspects.c: which suspects are named, rule by rule.
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

/* Ten seconds of the incident, and so many requests and failures in each. */
static void during(fixture *f, uint64_t requests, uint64_t errors)
{
    for (int n = 1800; n < 1813; n++) {
        set_row(&f->rows[n], f->rows[n].at_us, requests, errors);
    }
}

static void a_start_after_which_all_was_served_well_is_no_candidate(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_SERVER_START, -46, "httpd started.", "{}");
    during(f, 20, 15);
    assert_null(find_cause(tell(f), "server.start"));
    f->events[0].at_us = ONSET - 9 * S; /* no while */
    assert_non_null(find_cause(tell(f), "server.start"));
    f->events[0].at_us = ONSET - 46 * S;
    for (int n = 1760; n < 1800; n++) { /* it failed from the start */
        f->rows[n].errors = 12;
    }
    assert_non_null(find_cause(tell(f), "server.start"));
    for (int n = 1760; n < 1800; n++) {
        f->rows[n].errors = 0;
        f->rows[n].requests = n == 1780 ? 2 : 0; /* nobody asked */
    }
    assert_non_null(find_cause(tell(f), "server.start"));
}

static void a_start_before_new_requests_that_fail_is_a_candidate(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_SERVER_START, -46, "httpd started.", "{}");
    during(f, 35, 15); /* beside the 20 good ones that there have been */
    assert_string_equal(find_cause(tell(f), "server.start")->summary,
                        "httpd started (46 s before the onset)");
}

static void a_start_before_few_failures_among_many_is_weaker_and_has_the_figures(void **state)
{
    fixture *f = errors();

    (void)state;
    add_event(f, PM_EV_SERVER_START, -46, "httpd started.", "{}");
    during(f, 20, 1);
    assert_string_equal(find_cause(tell(f), "server.start")->summary,
                        "httpd started (46 s before the onset; 900 of 900 requests were answered "
                        "well in the 46 s until then)");
    f->m.resolution_us = 60 * S; /* minutes do not tell what lay between */
    assert_null(strstr(find_cause(tell(f), "server.start")->summary, "answered"));
}

static void a_change_after_which_all_was_served_well_stands_last(void **state)
{
    fixture *f = errors();
    pm_tally *line = add_tally(f->cases[0].incident->by_error_log, "AH00957: refused", 0, 45);
    const pm_case *c;

    (void)state;
    line->first_seen_us = ONSET;
    add_event(f, PM_EV_CONFIG_CHANGED, -300, "ProxyPass changed.", "{}");
    during(f, 20, 20);
    c = tell(f);
    assert_int_equal(c->cause_count, 2);
    assert_string_equal(c->causes[1].kind, "config.changed");
    assert_string_equal(c->causes[1].summary,
                        "ProxyPass changed (5 min before the onset; 2380 of 2380 requests were "
                        "answered well in the 2 min until then)");
    during(f, 40, 20); /* new ones fail */
    c = tell(f);
    assert_string_equal(c->causes[0].kind, "config.changed");
}

static void what_takes_effect_with_a_start_is_not_refuted_by_requests_served_since(void **state)
{
    fixture *f = down();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_CONFIG_CHANGED, -300, "ProxyPass changed.", "{}");
    add_event(f, PM_EV_DEPENDENCY_CHANGED, -200, "libx.so was replaced.", "{}");
    add_event(f, PM_EV_CONFIG_RELOAD, -46, "Reloaded.", "{\"changes\":null}");
    c = tell(f);
    assert_int_equal(c->cause_count, 2);
    assert_string_equal(c->causes[0].summary, "libx.so was replaced (3 min 20 s before the onset)");
    assert_contains(c->causes[1].summary,
                    "ProxyPass changed (5 min before the onset; 2380 of 2380");
}

static void each_changed_file_is_a_candidate_and_the_exact_one_stands_first(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_FILE_CHANGED, -30, "/srv/www/.htaccess was edited.",
              "{\"path\":\"/srv/www/.htaccess\",\"kind\":\"htaccess\"}");
    add_event(f, PM_EV_FILE_CHANGED, -20, "/etc/app.ini was edited.",
              "{\"path\":\"/etc/app.ini\",\"kind\":\"watched\"}");
    add_event(f, PM_EV_FILE_CHANGED, -3, "/srv/www changed.",
              "{\"path\":\"/srv/www\",\"kind\":\"top\"}");
    add_event(f, PM_EV_FILE_CHANGED, -2, "/srv/www changed.",
              "{\"path\":\"/srv/www\",\"kind\":\"top\"}");
    c = tell(f);
    assert_int_equal(c->cause_count, 3);
    assert_string_equal(c->causes[0].summary,
                        "/srv/www/.htaccess was edited (30 s before the onset)");
    assert_string_equal(c->causes[1].summary, "/etc/app.ini was edited (20 s before the onset)");
    assert_string_equal(c->causes[2].summary,
                        "/srv/www changed (2 s before the onset; 1 more like it)");
    assert_int_equal(c->causes[2].evidence_count, 2);
    f->events[0].at_us = ONSET - 550 * S;
    assert_contains(tell(f)->causes[0].summary, "/etc/app.ini");
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
    assert_string_equal(cause->summary, "Child died of signal 11 (at the onset; 39 more like it)");
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

static void set_data(fixture *f, const char *data)
{
    f->events[0].data = data;
    f->events[0].data_len = (uint32_t)strlen(data);
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
    assert_string_equal(find_cause(tell(f), "config.changed")->nearness, "2 s before the onset");
    assert_string_equal(find_cause(tell(f), "config.changed")->statement,
                        "3 directives changed, first: ServerName changed (it touched ServerName, "
                        "ServerAlias)");
    set_data(f, "{\"added\":[{\"directive\":\"ServerName\"}]}");
    assert_null(strstr(find_cause(tell(f), "config.changed")->summary, "touched"));
    for (int n = 0; n < 100; n++) {
        apr_snprintf(data + strlen(data), sizeof(data) - strlen(data), "%s{\"directive\":\"D%d\"}",
                     n ? "," : "{\"added\":[", n);
    }
    strcat(data, "]}");
    set_data(f, data);
    summary = find_cause(tell(f), "config.changed")->summary;
    assert_contains(summary, ", D7)");
    assert_null(strstr(summary, "D8"));
    set_data(f, "{\"added\":[{\"directive\":\""); /* broken off */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_event_is_a_candidate_within_its_reach_alone),
        TEST(what_came_after_the_end_is_no_candidate),
        TEST(a_far_change_is_not_blamed_for_being_the_last),
        TEST(the_nearer_of_two_likely_changes_stands_first),
        TEST(a_reload_is_no_candidate_beside_the_change_that_it_brought),
        TEST(a_start_after_which_all_was_served_well_is_no_candidate),
        TEST(a_start_before_new_requests_that_fail_is_a_candidate),
        TEST(a_start_before_few_failures_among_many_is_weaker_and_has_the_figures),
        TEST(a_change_after_which_all_was_served_well_stands_last),
        TEST(what_takes_effect_with_a_start_is_not_refuted_by_requests_served_since),
        TEST(each_changed_file_is_a_candidate_and_the_exact_one_stands_first),
        TEST(events_alike_are_one_candidate_with_all_the_evidence),
        TEST(a_server_that_cannot_start_blames_the_missing_library_first),
        TEST(the_backend_of_most_errors_is_a_candidate_and_how_it_failed),
        TEST(the_samples_name_the_backend_when_no_tally_does),
        TEST(a_change_names_every_kind_of_directive_that_it_touched),
        TEST(twice_the_usual_traffic_is_a_candidate),
        TEST(a_large_share_of_monitoring_is_told_with_the_traffic),
        TEST(one_client_that_met_every_error_is_a_candidate),
        TEST(a_log_line_new_at_the_onset_is_a_candidate),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
