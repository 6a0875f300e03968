/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_story.c: the sentences, changes and timeline of an incident.
 */
#include "story_case.h"
#include <stdio.h>

#include "splitmix.h"

/* ---- sentences ---- */

static void a_percentage_says_neither_all_of_less_nor_nothing_of_some(void **state)
{
    static const struct {
        uint64_t part, whole;
        const char *text;
    } cases[] = {{0, 0, "-"},        {0, 9, "0 %"},         {9, 9, "100 %"},
                 {45, 60, "75 %"},   {1, 3, "33 %"},        {1, 100000, "< 0.1 %"},
                 {4, 1000, "0.4 %"}, {996, 1000, "99.6 %"}, {99999, 100000, "> 99.9 %"},
                 {98, 100, "98 %"}};
    char text[PM_STORY_PERCENT];

    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        assert_string_equal(pm_story_percent(cases[n].part, cases[n].whole, text), cases[n].text);
    }
}

static void the_headline_gives_the_share_that_failed_and_the_clients_hit(void **state)
{
    fixture *f = errors();
    char text[PM_STORY_HEADLINE];

    (void)state;
    assert_string_equal(pm_story_headline(&f->m, f->cases[0].incident, text),
                        "45 of 60 requests (75 %) failed with 503 in 12 s; about 12 of 40 clients "
                        "(30 %) met an error");
}

/** The figures of an impact, by what they are. */
typedef struct impact {
    char text[4096];
    int rows;
} impact;

static void put_row(void *ctx, const pm_impact *row)
{
    impact *all = ctx;
    size_t used = strlen(all->text);

    all->rows++;
    snprintf(all->text + used, sizeof(all->text) - used, "%s=%s%s|", row->what, row->figure,
             row->at_us ? "@" : "");
}

static const char *impact_of(const fixture *f)
{
    static impact all;

    all = (impact){"|", 0};
    pm_story_impact(&f->m, &f->cases[0], put_row, &all);
    assert_true(all.rows >= 11);
    return all.text;
}

static void the_impact_has_each_figure_once_and_no_more_exact_than_it_is_known(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;
    const char *text;

    (void)state;
    i->requests_more = 20;
    text = impact_of(f);
    assert_contains(text, "|Began=@|");
    assert_contains(text, "|Requests answered=60 to 80|");
    assert_contains(text, "|Failed (5xx)=45 (56 to 75 %)|");
    assert_contains(text, "|By status=503: ");
    assert_contains(text, "|Usual before it=");
    i->requests_more = UINT32_MAX;
    i->clients_known = 0;
    i->before_us = 0;
    i->day = (pm_usual){600 * PM_SECOND, 0.04, 0.001, -1};
    text = impact_of(f);
    assert_contains(text, "|Requests answered=at least 60|");
    assert_contains(text, "|Failed (5xx)=45 (at most 75 %)|");
    assert_contains(text, "|Clients=not counted|");
    assert_null(strstr(text, "Usual before it"));
    assert_contains(text,
                    "|Usual at that time the day before=0.04 requests a second, 0.1 % failed, over "
                    "10 min of record|");
}

static void the_impact_claims_no_share_or_peak_that_there_is_not(void **state)
{
    fixture *f = down();
    const char *text;

    (void)state;
    f->cases[0].incident->peak_errors_per_second = 0;
    text = impact_of(f);
    assert_contains(text, "|Failed (5xx)=0|");
    assert_contains(text, "|Peak=none|");
    assert_contains(text, "|Nobody served=12 s|");
    assert_contains(text, "|Requests not served (estimate)=246 \302\261 16|");
}

static void the_title_says_what_it_is_and_where(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;
    char text[PM_STORY_HEADLINE];

    (void)state;
    i->kinds = PM_KIND_ERRORS | PM_KIND_SLOW;
    assert_string_equal(pm_story_title(i, text),
                        "503 errors and slow requests on the whole server");
    apr_cpystrn(i->vhost, "a.test:80", sizeof(i->vhost));
    i->kinds = PM_KIND_ERRORS;
    assert_string_equal(pm_story_title(i, text), "503 errors on a.test:80");
    assert_string_equal(pm_story_title(down()->cases[0].incident, text), "Server down");
}

static void the_headline_of_a_server_that_was_gone_gives_what_was_expected(void **state)
{
    fixture *f = down();
    char text[PM_STORY_HEADLINE];

    (void)state;
    assert_string_equal(
        pm_story_headline(&f->m, f->cases[0].incident, text),
        "Nobody was served for 12 s, in which about 246 (\302\261 16) requests were "
        "expected");
    f->cases[0].incident->before_us = 0;
    assert_string_equal(pm_story_headline(&f->m, f->cases[0].incident, text),
                        "Nobody was served for 12 s");
}

static void an_open_incident_in_which_nothing_fails_any_more_says_so(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;
    char text[PM_STORY_QUIET];

    (void)state;
    i->open = 1;
    i->clear_s = 60;
    i->served_since_end = 10;
    f->m.state = PM_STATE_RUNNING;
    f->m.server.heartbeat_us = i->end_us + 12 * PM_SECOND;
    assert_int_equal(pm_story_quiet(&f->m, i, text), 12 * PM_SECOND);
    assert_string_equal(text, "nothing has failed for 12 s (closes after 1 min)");
    i->since_end = 2;
    pm_story_quiet(&f->m, i, text);
    assert_string_equal(
        text, "only 2 failed in the last 12 s, too few to prolong it (closes after 1 min)");
    i->since_end = i->served_since_end = 0;
    pm_story_quiet(&f->m, i, text);
    assert_string_equal(
        text, "nothing has failed for 12 s, but no request has succeeded since either: it stays "
              "open until one does");
    i->states = PM_KIND_SILENCE; /* it lasts, whatever fails */
    assert_int_equal(pm_story_quiet(&f->m, i, text), 0);
    i->states = 0;
    f->m.state = PM_STATE_DOWN;
    assert_int_equal(pm_story_quiet(&f->m, i, text), 0);
    f->m.state = PM_STATE_RUNNING;
    f->m.server.heartbeat_us = i->end_us + PM_SECOND;
    assert_int_equal(pm_story_quiet(&f->m, i, text), 0);
    assert_string_equal(text, "");
}

static void a_few_clients_are_not_called_about(void **state)
{
    fixture *f = errors();
    char text[PM_STORY_HEADLINE];

    (void)state;
    f->cases[0].incident->error_clients = 1.01;
    f->cases[0].incident->clients = 1.0;
    assert_contains(pm_story_headline(&f->m, f->cases[0].incident, text),
                    "; 1 of 1 clients (100 %) met an error");
}

static void a_latency_is_told_from_microseconds_to_minutes(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0 \302\265s"}, {216, "216 \302\265s"}, {1900, "1.9 ms"},
                 {45200, "45 ms"},   {1500000, "1.5 s"},     {125 * S, "2 min 5 s"}};
    char text[PM_STORY_LATENCY];

    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        assert_string_equal(pm_story_latency(cases[n].us, text), cases[n].text);
    }
}

static void a_server_five_seconds_old_can_clear_machine_and_workers(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.rows += 1794;
    f->m.row_count -= 1794;
    assert_contains(cleared(tell(f), "machine"), "from 6.1 s before the onset");
    assert_contains(cleared(tell(f), "workers"), "in 18 s from 6.1 s before the onset");
    f->m.rows += 2;
    f->m.row_count -= 2;
    assert_null(cleared(tell(f), "machine"));
    assert_null(cleared(tell(f), "workers"));
}

static void an_open_incident_lasts_to_the_last_heartbeat_or_to_now_when_down(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;

    (void)state;
    assert_int_equal(pm_story_until(&f->m, i), ONSET + 12300000);
    i->open = 1;
    assert_int_equal(pm_story_until(&f->m, i), ONSET + 100 * S);
    f->m.state = PM_STATE_DOWN;
    assert_int_equal(pm_story_until(&f->m, i), ONSET + 101 * S);
    f->m.generated_us = 5; /* a clock that was set back */
    assert_int_equal(pm_story_until(&f->m, i), ONSET);
}

/* ---- changes ---- */

static void changes_reach_from_an_hour_before_to_the_end_nearest_first(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_CONFIG_RELOAD, -3601, "too early", "{}");
    add_event(f, PM_EV_CONFIG_RELOAD, -3599, "3", "{}");
    add_event(f, PM_EV_SERVER_START, -5, "2", "{}");
    add_event(f, PM_EV_INCIDENT_OPEN, 1, "no change", "{}");
    add_event(f, PM_EV_NOTE, 3, "1", "{}");
    add_event(f, PM_EV_CONFIG_RELOAD, 13, "after the end", "{}");
    c = tell(f);
    assert_int_equal(c->change_count, 3);
    assert_string_equal(c->changes[0]->text, "1");
    assert_string_equal(c->changes[1]->text, "2");
    assert_string_equal(c->changes[2]->text, "3");
}

static void a_missing_library_is_a_change_however_long_ago_until_it_is_back(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_DEPENDENCY_MISSING, -90000, "gone", "{\"path\":\"/lib/a \\\"q\\\".so\"}");
    add_event(f, PM_EV_DEPENDENCY_MISSING, -80000, "was back", "{\"path\":\"/lib/b.so\"}");
    add_event(f, PM_EV_DEPENDENCY_CHANGED, -70000, "back", "{\"path\":\"/lib/b.so\",\"n\":1}");
    add_event(f, PM_EV_DEPENDENCY_CHANGED, -60000, "other", "{\"path\":\"/lib/a \\\"z\\\".so\"}");
    c = tell(f);
    assert_int_equal(c->change_count, 1);
    assert_string_equal(c->changes[0]->text, "gone");
}

static void a_note_to_this_incident_belongs_to_it_whenever_it_was_written(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_NOTE, 5000, "rolled back", "{\"incident\":1}");
    add_event(f, PM_EV_NOTE, 5001, "another's", "{\"incident\":12}");
    add_event(f, PM_EV_NOTE, 5002, "nobody's", "{\"say\":\"\\\"incident\\\":1\"}");
    c = tell(f);
    assert_int_equal(c->change_count, 1);
    assert_string_equal(find_moment(c, "note")->text, "rolled back");
}

/* ---- timeline ---- */

static void the_timeline_is_in_order_and_has_every_milestone(void **state)
{
    static const char *const kinds[] = {"config.reload", "onset", "detected", "peak",
                                        "child.crash",   "end",   "recovered"};
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    add_event(f, PM_EV_CONFIG_RELOAD, -2, "Reloaded gracefully.", "{}");
    add_event(f, PM_EV_CHILD_CRASH, 6, "Child 77 died.", "{}");
    add_sample(f, 0, "http://127.0.0.1:8080");
    c = tell(f);
    assert_int_equal(c->timeline_count, 7);
    for (int n = 0; n < 7; n++) {
        assert_string_equal(c->timeline[n].kind, kinds[n]);
    }
    assert_string_equal(c->timeline[1].text,
                        "The first request that failed arrived: GET www.example.org/api/login, "
                        "answered 503, backend http://127.0.0.1:8080");
    assert_string_equal(c->timeline[2].text, "Recognised as an incident, 1.5 s after its onset");
    assert_string_equal(c->timeline[3].text,
                        "Peak: 4.5 errors a second, 100 % of the requests failed");
    assert_contains(c->timeline[5].text, "45 of 60 requests (75 %) failed");
    assert_string_equal(c->timeline[6].text, "Closed: nothing had failed for 1 min");
}

static void an_open_incident_ends_its_timeline_with_still_open(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    f->cases[0].incident->open = 1;
    f->cases[0].incident->closed_us = 0;
    c = tell(f);
    assert_null(find_moment(c, "end"));
    assert_null(find_moment(c, "recovered"));
    assert_string_equal(c->timeline[c->timeline_count - 1].kind, "open");
}

static void a_gap_is_named_with_its_length(void **state)
{
    fixture *f = errors();
    const pm_moment *gap;

    (void)state;
    remove_rows(f, 1803, 5);
    gap = find_moment(tell(f), "gap");
    assert_non_null(gap);
    assert_string_equal(gap->text, "Nothing on record for 5 s");
    assert_int_equal(gap->at_us, ONSET - 123000 + 3 * S);
}

static void a_gap_after_the_incident_was_closed_is_not_its_own(void **state)
{
    fixture *f = errors();

    (void)state;
    remove_rows(f, 1875, 5);
    assert_null(find_moment(tell(f), "gap"));
    f->cases[0].incident->closed_us = ONSET + 90 * S;
    assert_non_null(find_moment(tell(f), "gap"));
}

static void a_second_that_the_clock_cut_a_little_short_is_no_gap(void **state)
{
    fixture *f = errors();

    (void)state;
    for (int n = 1700; n < 1850; n++) {
        f->rows[n].at_us += (uint64_t)(n % 7) * 40000;
        f->rows[n].span_us -= (uint64_t)(n % 5) * 40000;
    }
    assert_null(find_moment(tell(f), "gap"));
}

static void a_row_over_many_seconds_is_said_to_hold_no_detail(void **state)
{
    fixture *f = errors();

    (void)state;
    f->rows[1803].span_us = 6 * S;
    remove_rows(f, 1804, 5);
    assert_string_equal(find_moment(tell(f), "gap")->text,
                        "One figure covers 6 s: no detail within");
}

static void a_record_that_breaks_off_before_the_end_is_a_gap(void **state)
{
    fixture *f = errors();

    (void)state;
    f->m.row_count = 1805;
    assert_string_equal(find_moment(tell(f), "gap")->text, "Nothing on record for 7.4 s");
}

static void detail_that_age_has_dropped_is_not_called_missing(void **state)
{
    fixture *f = errors();

    (void)state;
    f->cases[0].incident->onset_us = ONSET - 1000 * S;
    remove_rows(f, 1000, 500);
    f->m.oldest_second_us = ONSET - 60 * S;
    assert_string_equal(find_moment(tell(f), "gap")->text,
                        "The detail of the next 8 min 20 s is no longer kept");
}

static void a_long_incident_has_figures_for_each_minute(void **state)
{
    fixture *f = errors();
    pm_incident *i = f->cases[0].incident;
    const pm_case *c;
    int lines = 0;

    (void)state;
    i->onset_us = ONSET - 300 * S;
    c = tell(f);
    for (size_t n = 0; n < c->timeline_count; n++) {
        lines += !strcmp(c->timeline[n].kind, "minute");
    }
    assert_int_equal(lines, 6);
    assert_string_equal(find_moment(c, "minute")->text,
                        "Next 1 min: 1200 requests, 0 failed (0 %), slowest 12 ms");
    i->onset_us = ONSET - 1790 * S;
    c = tell(f);
    assert_true(c->timeline_count < 40);
}

static void a_flood_of_log_lines_does_not_bury_the_timeline(void **state)
{
    fixture *f = errors();
    const pm_case *c;

    (void)state;
    for (int n = 0; n < 100; n++) {
        add_event(f, PM_EV_ERROR_LOG, n * 0.1, "AH00052", "{}");
    }
    c = tell(f);
    assert_int_equal(c->timeline_count, 5 + 40 + 1);
    assert_string_equal(find_moment(c, "more")->text,
                        "60 further events like these, not listed here");
}

/* ---- whatever comes ---- */

static void no_figures_make_the_story_fail(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (int round = 0; round < 300; round++) {
        apr_pool_t *own;
        fixture *f;
        pm_incident *i;

        apr_pool_create(&own, NULL);
        f = fixture_make(own);
        i = add_incident(f, (uint32_t)splitmix_next(&seed) & 15);
        i->open = splitmix_next(&seed) & 1;
        i->onset_us = splitmix_next(&seed) >> (splitmix_next(&seed) % 64);
        i->end_us = splitmix_next(&seed) >> (splitmix_next(&seed) % 64);
        i->detected_us = splitmix_next(&seed);
        i->unserved_us = splitmix_next(&seed);
        i->requests = splitmix_next(&seed) >> (splitmix_next(&seed) % 64);
        i->before_us = splitmix_next(&seed);
        f->m.row_count = splitmix_next(&seed) % ROWS;
        for (size_t n = 0; n < f->m.row_count; n++) {
            f->rows[n].span_us = splitmix_next(&seed) >> (splitmix_next(&seed) % 64);
        }
        for (int n = 0; n < 20; n++) {
            add_event(f, (uint32_t)(splitmix_next(&seed) % 30), n, "x",
                      n & 1 ? "{\"path\":\"" : "{\"path\":")
                ->seq = splitmix_next(&seed);
        }
        assert_true(tell(f)->timeline_count >= 2);
        assert_true(f->cases[0].timeline_count < 2500);
        apr_pool_destroy(own);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_percentage_says_neither_all_of_less_nor_nothing_of_some),
        TEST(the_headline_gives_the_share_that_failed_and_the_clients_hit),
        TEST(the_headline_of_a_server_that_was_gone_gives_what_was_expected),
        TEST(the_impact_has_each_figure_once_and_no_more_exact_than_it_is_known),
        TEST(the_impact_claims_no_share_or_peak_that_there_is_not),
        TEST(the_title_says_what_it_is_and_where),
        TEST(an_open_incident_in_which_nothing_fails_any_more_says_so),
        TEST(a_few_clients_are_not_called_about),
        TEST(a_latency_is_told_from_microseconds_to_minutes),
        TEST(a_server_five_seconds_old_can_clear_machine_and_workers),
        TEST(an_open_incident_lasts_to_the_last_heartbeat_or_to_now_when_down),
        TEST(changes_reach_from_an_hour_before_to_the_end_nearest_first),
        TEST(a_missing_library_is_a_change_however_long_ago_until_it_is_back),
        TEST(a_note_to_this_incident_belongs_to_it_whenever_it_was_written),
        TEST(the_timeline_is_in_order_and_has_every_milestone),
        TEST(an_open_incident_ends_its_timeline_with_still_open),
        TEST(a_gap_is_named_with_its_length),
        TEST(a_gap_after_the_incident_was_closed_is_not_its_own),
        TEST(a_second_that_the_clock_cut_a_little_short_is_no_gap),
        TEST(a_row_over_many_seconds_is_said_to_hold_no_detail),
        TEST(a_record_that_breaks_off_before_the_end_is_a_gap),
        TEST(detail_that_age_has_dropped_is_not_called_missing),
        TEST(a_long_incident_has_figures_for_each_minute),
        TEST(a_flood_of_log_lines_does_not_bury_the_timeline),
        TEST(no_figures_make_the_story_fail),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
