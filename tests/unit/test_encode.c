/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_encode.c: one model in every format.
 *
 * JSON is read back with jansson and held against the schema, metrics against promtool and the Prometheus
 * client, the page against an HTML parser (validate.py). Run from the project's root, as make does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "model_fixture.h"

#define PYTHON "/usr/bin/python3"
#define VALIDATE PYTHON " tests/unit/validate.py "
#define SCHEMA "scripts/pmcapture.v1.schema.json"

/* Markup, a terminal's colour, a byte that is no UTF-8, a C1 control, quotes, a newline, a formula. */
#define HOSTILE                                                                                    \
    "=1+1</title></style><script>alert('x')</script>\x1b[31m\xff\xc2\x9b\"&\r\n\\{}\t\xc3\xa9"

typedef struct bytes {
    char *data;
    size_t len, most; /* most: an error after so many */
} bytes;

static apr_status_t keep(void *ctx, const char *data, size_t len)
{
    bytes *b = ctx;

    if (b->most && b->len + len > b->most) {
        return APR_ENOSPC;
    }
    b->data = realloc(b->data, b->len + len + 1);
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return APR_SUCCESS;
}

enum format { JSON, HTML, AUTO, CSV, PROMETHEUS, OPENMETRICS, FORMATS };

static apr_status_t encode_to(enum format format, const pm_model *m, const pm_query *q, bytes *b)
{
    switch (format) {
    case JSON:
        return pm_encode_json(m, q, keep, b);
    case HTML:
        return pm_encode_html(m, q, keep, b);
    case AUTO:
        return pm_encode_auto(m, q, keep, b);
    case CSV:
        return pm_encode_csv(m, q, keep, b);
    default:
        return pm_encode_prometheus(m, q, format == OPENMETRICS, keep, b);
    }
}

static const pm_query everything = {.view = PM_VIEW_ALL, .until_us = UINT64_MAX};
static apr_pool_t *pool;

/* The encoded text; lives in the test's pool. */
static char *encode(enum format format, const pm_model *m, const pm_query *q)
{
    bytes b = {0};
    char *text;

    assert_int_equal(encode_to(format, m, q, &b), APR_SUCCESS);
    text = apr_pstrmemdup(pool, b.data, b.len);
    free(b.data);
    return text;
}

/* Give the text to a command on its standard input, which must find nothing wrong. */
static void assert_accepts(const char *command, const char *text)
{
    char path[] = "/tmp/pm-encode-XXXXXX", line[512];
    char *with_input;
    int fd = mkstemp(path);
    FILE *out;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    with_input = apr_psprintf(pool, "%s <%s 2>&1", command, path);
    out = popen(with_input, "r");
    while (fgets(line, sizeof(line), out)) {
        if (line[0] != '\n') {
            print_error("%s: %s", command, line);
        }
    }
    assert_int_equal(pclose(out), 0);
    unlink(path);
}

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    if (!root) {
        print_error("line %d: %s\n", error.line, error.text);
    }
    assert_non_null(root);
    return root;
}

/* Every incident kind, breakdown, sample and event. */
static fixture *rich(void)
{
    fixture *f = fixture_make(pool);
    static const char *const notices[] = {"The capture file is on a full disk."};
    static const pm_tally vhosts[] = {
        {.key = "www.example.org:443", .requests = 100, .errors = 45}};
    pm_incident *i = add_incident(f, PM_KIND_ERRORS);

    add_event(f, PM_EV_CONFIG_LOAD, -7100, "Loaded the configuration.", "{}");
    add_event(f, PM_EV_CONFIG_CHANGED, -4, "ProxyPass changed.",
              "{\"generation\":2,\"added\":[],\"removed\":[]}");
    add_event(f, PM_EV_CHILD_CRASH, 2, "Child 77 died of signal 11.", "{\"pid\":77,\"signal\":11}");
    add_event(f, PM_EV_NOTE, 30, "Rolled back.", "{\"incident\":1}");
    strcpy(add_tally(i->by_vhost, "www.example.org:443", 60, 45)->defined, "www.conf:3");
    add_tally(i->by_route, "/api/{id}", UINT64_MAX, 45);
    add_tally(i->by_host, "www.example.org", 60, 45);
    add_tally(i->by_backend, "http://127.0.0.1:8080", 50, 45)->refused = 45;
    add_tally(i->by_error_log, "AH00957", 0, 45)->first_seen_us = ONSET + 1000;
    i->by_client[0] = (pm_count){"192.0.2.0/24", 12, 9};
    i->by_client[1] = (pm_count){"198.51.100.0/24", UINT64_MAX, 8};
    i->by_client[2] = (pm_count){"192.0.2.0/24", 7, 7};
    for (int n = 0; n < 8; n++) {
        add_sample(f, n, "http://127.0.0.1:8080");
    }
    i = add_incident(f, PM_KIND_SLOW);
    i->onset_us = ONSET + 60 * S;
    i->open = 1;
    i->closed_us = 0;
    i->slow = 20;
    i = add_incident(f, PM_KIND_DOWN);
    i->onset_us = ONSET + 80 * S;
    i->end_us = i->closed_us = ONSET + 90 * S;
    i->unserved_us = 10 * S;
    i->expected_requests = 200;
    i->expected_error = 15.5;
    f->m.notices = (const char **)notices;
    f->m.notice_count = 1;
    f->m.vhosts = vhosts;
    f->m.vhost_count = 1;
    f->m.incidents_by_kind[0] = f->m.incidents_by_kind[1] = f->m.incidents_by_kind[2] = 1;
    tell(f);
    return f;
}

static void fill(char *field, size_t size)
{
    apr_cpystrn(field, HOSTILE, size);
}

/* As rich(), with the hostile text wherever a foreign one can stand. */
static fixture *hostile(void)
{
    fixture *f = rich();
    static const char *const notices[] = {HOSTILE};
    pm_server *s = &f->m.server;
    pm_incident *i = f->cases[0].incident;
    pm_tally *lists[] = {i->by_vhost, i->by_route, i->by_host, i->by_backend, i->by_error_log};
    pm_tally *vhosts = apr_pmemdup(pool, f->m.vhosts, sizeof(pm_tally));

    fill(s->software, sizeof(s->software));
    fill(s->mpm, sizeof(s->mpm));
    fill(s->module_version, sizeof(s->module_version));
    fill(i->vhost, sizeof(i->vhost));
    for (int n = 0; n < 5; n++) {
        fill(lists[n]->key, PM_KEY);
        fill(lists[n]->defined, PM_KEY);
    }
    fill(vhosts->key, PM_KEY);
    for (size_t n = 0; n < f->m.event_count; n++) {
        fill(f->events[n].text, PM_EVENT_TEXT);
    }
    for (size_t n = 0; n < f->cases[0].sample_count; n++) {
        pm_sample *x = &f->samples[n];

        fill(x->method, sizeof(x->method));
        fill(x->uri, sizeof(x->uri));
        fill(x->host, sizeof(x->host));
        fill(x->vhost, sizeof(x->vhost));
        fill(x->backend, sizeof(x->backend));
        fill(x->client, sizeof(x->client));
        fill(x->request_id, sizeof(x->request_id));
    }
    f->m.path = HOSTILE;
    f->m.notices = (const char **)notices;
    f->m.vhosts = vhosts;
    tell(f);
    return f;
}

/* No control but a line's end (and CSV's CR), no byte that is not UTF-8, nothing of the script's tag. */
static void assert_inert(const char *text, int markup)
{
    assert_null(strchr(text, 0x1b));
    assert_null(strchr(text, 0xff));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strchr(text, '\t'));
    for (const char *c = text; *c; c++) {
        assert_true((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\r');
    }
    if (markup) {
        assert_null(strstr(text, "<script"));
        assert_null(strstr(text, "</title></style>"));
    }
}

static void the_document_is_what_its_schema_says(void **state)
{
    (void)state;
    assert_accepts(VALIDATE SCHEMA, encode(JSON, &rich()->m, &everything));
}

static void each_view_is_that_part_alone(void **state)
{
    static const struct {
        uint32_t view;
        const char *parts;
    } views[] = {{PM_VIEW_TOTALS | PM_VIEW_INCIDENTS,
                  "totals workers in_flight last_change last_crash incidents "},
                 {PM_VIEW_INCIDENTS, "incidents "},
                 {PM_VIEW_EVENTS, "events "},
                 {PM_VIEW_SERIES, "series "}};
    fixture *f = rich();

    (void)state;
    for (size_t n = 0; n < sizeof(views) / sizeof(views[0]); n++) {
        pm_query q = {.view = views[n].view, .until_us = UINT64_MAX};
        char *text = encode(JSON, &f->m, &q), *parts = apr_pstrdup(pool, "");
        json_t *root = parse(text), *value;
        const char *key;

        assert_accepts(VALIDATE SCHEMA, text);
        json_object_foreach(root, key, value)
        {
            if (!strstr("schema generated tick capture server", key)) {
                parts = apr_pstrcat(pool, parts, key, " ", NULL);
            }
        }
        assert_string_equal(parts, views[n].parts);
        json_decref(root);
    }
}

static void an_empty_model_is_valid_in_every_format(void **state)
{
    pm_model m = {.capture_id = "00000000000000000000000000000000",
                  .generated_us = ONSET,
                  .resolution_us = S};

    (void)state;
    assert_accepts(VALIDATE SCHEMA, encode(JSON, &m, &everything));
    assert_accepts(VALIDATE "html", encode(HTML, &m, &everything));
    assert_accepts(VALIDATE "csv", encode(CSV, &m, &everything));
    assert_accepts(VALIDATE "openmetrics", encode(OPENMETRICS, &m, &everything));
    assert_accepts("promtool check metrics", encode(PROMETHEUS, &m, &everything));
    assert_non_null(strstr(encode(AUTO, &m, &everything), "TotalRequests: 0\n"));
}

static void what_is_not_known_is_null(void **state)
{
    fixture *f = rich();
    pm_incident *i = f->cases[0].incident;
    json_t *root, *incident;

    (void)state;
    f->m.server.busy = f->m.server.idle = f->m.server.limit = f->m.server.in_flight = PM_UNKNOWN;
    f->rows[0].busy = f->rows[0].idle = f->rows[0].clients = PM_UNKNOWN;
    f->rows[0].requests = 0;
    memset(&f->m.totals, 0, sizeof(f->m.totals));
    i->clients_known = 0;
    i->before_us = i->before.count = 0;
    i->requests = 0;
    f->cases[2].incident->before_us = 0;
    assert_accepts(VALIDATE SCHEMA, encode(JSON, &f->m, &everything));
    root = parse(encode(JSON, &f->m, &everything));
    incident = json_array_get(json_object_get(root, "incidents"), 0);
    assert_true(json_is_null(json_object_get(json_object_get(root, "workers"), "busy")));
    assert_true(json_is_null(json_object_get(json_object_get(root, "in_flight"), "requests")));
    assert_true(json_is_null(
        json_object_get(json_object_get(json_object_get(root, "totals"), "latency"), "p50")));
    assert_true(json_is_null(json_object_get(incident, "clients")));
    assert_true(json_is_null(json_object_get(incident, "before")));
    assert_true(json_is_null(json_object_get(incident, "error_ratio")));
    assert_true(json_is_null(json_object_get(incident, "unserved")));
    assert_true(json_is_null(
        json_object_get(json_object_get(json_object_get(incident, "latency"), "before"), "p99")));
    assert_true(json_is_null(json_object_get(
        json_object_get(json_array_get(json_object_get(root, "incidents"), 2), "unserved"),
        "expected_requests")));
    json_decref(root);
    assert_null(strstr(encode(PROMETHEUS, &f->m, &everything), "pmcapture_workers{"));
    assert_null(strstr(encode(AUTO, &f->m, &everything), "BusyWorkers"));
    /* time, span, requests, errors, bytes, then p50 and p99, busy, idle */
    assert_non_null(strstr(encode(CSV, &f->m, &everything), ".000Z,1,0,0,20000,,,,,150,"));
}

static void what_lasts_still_counts_to_the_last_heartbeat_and_not_to_now(void **state)
{
    fixture *f = rich();
    char *once, *later;

    (void)state;
    once = encode(JSON, &f->m, &everything);
    f->m.generated_us += 3600 * S;
    tell(f);
    later = encode(JSON, &f->m, &everything);
    assert_non_null(strstr(once, "\"duration\":40,"));
    assert_string_equal(strstr(once, "\"tick\""), strstr(later, "\"tick\""));
}

static void data_of_an_event_that_is_no_object_is_said_to_be_damaged(void **state)
{
    static const char *const bad[] = {"", "[1]", "{\"a\":}", "{\"a\":1}{}", "{\"a\":\"\xff\"}"};
    fixture *f = rich();

    (void)state;
    for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++) {
        f->events[0].data = bad[n];
        f->events[0].data_len = (uint32_t)strlen(bad[n]);
        assert_non_null(strstr(encode(JSON, &f->m, &everything), "\"data\":{\"damaged\":true}"));
    }
}

static void hostile_text_is_inert_in_json(void **state)
{
    char *text = encode(JSON, &hostile()->m, &everything);

    (void)state;
    assert_inert(text, 0);
    assert_non_null(strstr(text, "%FF"));
    assert_accepts(VALIDATE SCHEMA, text);
}

static void hostile_text_is_inert_in_the_page(void **state)
{
    fixture *f = hostile();
    pm_query one = everything;
    char *text = encode(HTML, &f->m, &everything);

    (void)state;
    assert_inert(text, 1);
    assert_accepts(VALIDATE "html", text);
    one.incident = 1;
    text = encode(HTML, &f->m, &one);
    assert_inert(text, 1);
    assert_accepts(VALIDATE "html", text);
}

static void hostile_text_stays_in_its_own_line_of_auto(void **state)
{
    pm_query one = everything;
    char *text, *last, *line;

    (void)state;
    one.incident = 1;
    text = encode(AUTO, &hostile()->m, &one);
    assert_inert(text, 0);
    assert_null(strchr(text, '\r'));
    for (line = apr_strtok(text, "\n", &last); line; line = apr_strtok(NULL, "\n", &last)) {
        size_t key = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");

        assert_true(key > 0);
        assert_memory_equal(line + key, ": ", 2);
    }
}

static void hostile_text_is_inert_in_metrics(void **state)
{
    fixture *f = hostile();
    char *text = encode(PROMETHEUS, &f->m, &everything);

    (void)state;
    assert_inert(text, 0);
    assert_accepts("promtool check metrics", text);
    assert_accepts(VALIDATE "openmetrics", encode(OPENMETRICS, &f->m, &everything));
}

static void csv_holds_numbers_and_times_alone(void **state)
{
    char *text = encode(CSV, &hostile()->m, &everything);

    (void)state;
    assert_accepts(VALIDATE "csv", text);
    assert_int_equal(strspn(strstr(text, "\r\n"), "0123456789.,:TZ-\r\n"),
                     strlen(strstr(text, "\r\n")));
}

static void a_text_longer_than_any_buffer_is_written_whole(void **state)
{
    fixture *f = rich();
    char *path = apr_palloc(pool, 30001);

    (void)state;
    for (int n = 0; n < 30000; n += 3) {
        memcpy(path + n, "\xe2\x82\xac", 3);
    }
    path[30000] = '\0';
    f->m.path = path;
    assert_non_null(strstr(encode(HTML, &f->m, &everything), path));
    assert_non_null(strstr(encode(AUTO, &f->m, &everything), path));
}

static size_t count_of(const char *text, const char *what)
{
    size_t count = 0;

    for (; (text = strstr(text, what)) != NULL; text++) {
        count++;
    }
    return count;
}

static void bounds_hold_for_rows_events_and_incidents(void **state)
{
    fixture *f = rich();
    pm_query q = {.view = PM_VIEW_ALL, .since_us = ONSET - 10 * S, .until_us = ONSET + 20 * S};
    json_t *root = parse(encode(JSON, &f->m, &q));

    (void)state;
    assert_int_equal(json_array_size(json_object_get(root, "incidents")), 1);
    assert_int_equal(json_array_size(json_object_get(root, "events")), 2);
    assert_int_equal(json_array_size(json_object_get(json_object_get(root, "series"), "rows")), 30);
    assert_int_equal(count_of(encode(CSV, &f->m, &q), "\r\n"), 31);
    json_decref(root);
}

static void one_incident_comes_with_two_minutes_around_it(void **state)
{
    fixture *f = rich();
    pm_query q = {.view = PM_VIEW_ALL, .until_us = UINT64_MAX, .incident = 3};
    json_t *root = parse(encode(JSON, &f->m, &q)), *only;

    (void)state;
    only = json_object_get(root, "incidents");
    assert_int_equal(json_array_size(only), 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(only, 0), "id")), 3);
    /* from 120 s before an onset 80 s after ONSET to the last row */
    assert_int_equal(count_of(encode(CSV, &f->m, &q), "\r\n"), 1 + 40 + 100 - 1);
    assert_int_equal(json_array_size(json_object_get(root, "events")), 3);
    json_decref(root);
    f->cases[2].incident->onset_us = ONSET - 600 * S;
    f->cases[2].incident->end_us = ONSET - 590 * S;
    assert_int_equal(count_of(encode(CSV, &f->m, &q), "\r\n"), 1 + 120 + 10 + 120);
}

static void estimates_that_disagree_give_no_share_above_one(void **state)
{
    fixture *f = rich();

    (void)state;
    f->cases[0].incident->error_clients = 41.2;
    f->cases[0].incident->peak_ratio = 1.01;
    assert_accepts(VALIDATE SCHEMA, encode(JSON, &f->m, &everything));
}

static void clients_that_their_masked_address_does_not_tell_apart_are_one_line(void **state)
{
    json_t *root = parse(encode(JSON, &rich()->m, &everything));
    json_t *incident = json_array_get(json_object_get(root, "incidents"), 0);
    json_t *list = json_object_get(json_object_get(incident, "breakdown"), "client");
    json_t *wanted = json_pack("[{s:s,s:i,s:i,s:i},{s:s,s:n,s:i,s:i}]", "key", "192.0.2.0/24",
                               "requests", 19, "errors", 16, "clients", 2, "key", "198.51.100.0/24",
                               "requests", "errors", 8, "clients", 1);

    (void)state;
    assert_true(json_equal(list, wanted));
    json_decref(wanted);
    json_decref(root);
}

static void metrics_are_all_there_and_pass_promtool(void **state)
{
    static const char *const names[] = {"requests_total",
                                        "errors_total",
                                        "request_duration_seconds",
                                        "response_bytes_total",
                                        "incident_open",
                                        "incidents_total",
                                        "config_generation",
                                        "config_last_reload_timestamp_seconds",
                                        "config_failures_total",
                                        "child_crashes_total",
                                        "workers",
                                        "requests_in_flight",
                                        "dependency_missing",
                                        "start_time_seconds",
                                        "capture_write_failures_total"};
    fixture *f = rich();
    char *text = encode(PROMETHEUS, &f->m, &everything);

    (void)state;
    assert_accepts("promtool check metrics", text);
    assert_accepts(VALIDATE "openmetrics", encode(OPENMETRICS, &f->m, &everything));
    for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
        assert_non_null(strstr(text, apr_psprintf(pool, "# HELP pmcapture_%s ", names[n])));
        assert_non_null(strstr(text, apr_psprintf(pool, "# TYPE pmcapture_%s ", names[n])));
        assert_non_null(strstr(text, apr_psprintf(pool, "\npmcapture_%s", names[n])));
    }
    assert_non_null(strstr(text, "pmcapture_requests_total{code=\"503\"} 45\n"));
    assert_non_null(strstr(text, "pmcapture_incident_open 1\n"));
    assert_non_null(strstr(text, "pmcapture_errors_total{vhost=\"www.example.org:443\"} 45\n"));
}

static void buckets_of_the_duration_are_exact_and_cumulative(void **state)
{
    fixture *f = rich();
    char *text;

    (void)state;
    memset(f->m.totals.hist, 0, sizeof(f->m.totals.hist));
    f->m.totals.hist[pm_hist_bucket(1023)] += 1;
    f->m.totals.hist[pm_hist_bucket(1024)] += 10;
    f->m.totals.hist[pm_hist_bucket(UINT64_MAX)] += 100;
    text = encode(PROMETHEUS, &f->m, &everything);
    assert_non_null(strstr(text, "_bucket{le=\"0.000512\"} 0\n"));
    assert_non_null(strstr(text, "_bucket{le=\"0.001024\"} 1\n"));
    assert_non_null(strstr(text, "_bucket{le=\"0.002048\"} 11\n"));
    assert_non_null(strstr(text, "_bucket{le=\"134.217728\"} 11\n"));
    assert_non_null(strstr(text, "_bucket{le=\"+Inf\"} 111\n"));
    assert_non_null(strstr(text, "_count 111\n"));
}

static void the_page_is_well_formed_and_loads_nothing(void **state)
{
    fixture *f = rich();
    pm_query q = everything;
    char *text = encode(HTML, &f->m, &q);

    (void)state;
    assert_accepts(VALIDATE "html", text);
    assert_null(strstr(text, "http-equiv"));
    q.refresh = 7;
    assert_non_null(strstr(encode(HTML, &f->m, &q), "http-equiv=\"refresh\" content=\"7\""));
}

static void the_page_begins_with_what_is_open(void **state)
{
    char *text = encode(HTML, &rich()->m, &everything);
    char *open = strstr(text, "<section class=\"open\">");

    (void)state;
    assert_non_null(open);
    assert_true(open < strstr(text, "<h2>Traffic</h2>"));
    assert_non_null(strstr(open, "Incident 2 "));
    assert_int_equal(count_of(text, "<h3>Timeline</h3>"), 1);
}

static void the_page_of_one_incident_shows_that_one_alone(void **state)
{
    fixture *f = rich();
    pm_query q = everything;
    char *text;

    (void)state;
    q.incident = 1;
    text = encode(HTML, &f->m, &q);
    assert_non_null(strstr(text, "45 of 60 requests (75 %) failed"));
    assert_int_equal(count_of(text, "<h3>Timeline</h3>"), 1);
    assert_null(strstr(text, "<h2>Traffic</h2>"));
    q.incident = 99;
    assert_non_null(strstr(encode(HTML, &f->m, &q), "No incident 99 is on record."));
}

static void the_sinks_error_ends_every_encoder(void **state)
{
    fixture *f = rich();

    (void)state;
    for (int format = 0; format < FORMATS; format++) {
        bytes b = {.most = 100};

        assert_int_equal(encode_to((enum format)format, &f->m, &everything, &b), APR_ENOSPC);
        free(b.data);
    }
}

static int begin(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL);
}

static int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_document_is_what_its_schema_says),
        TEST(each_view_is_that_part_alone),
        TEST(an_empty_model_is_valid_in_every_format),
        TEST(what_is_not_known_is_null),
        TEST(what_lasts_still_counts_to_the_last_heartbeat_and_not_to_now),
        TEST(data_of_an_event_that_is_no_object_is_said_to_be_damaged),
        TEST(hostile_text_is_inert_in_json),
        TEST(hostile_text_is_inert_in_the_page),
        TEST(hostile_text_stays_in_its_own_line_of_auto),
        TEST(hostile_text_is_inert_in_metrics),
        TEST(csv_holds_numbers_and_times_alone),
        TEST(a_text_longer_than_any_buffer_is_written_whole),
        TEST(bounds_hold_for_rows_events_and_incidents),
        TEST(one_incident_comes_with_two_minutes_around_it),
        TEST(estimates_that_disagree_give_no_share_above_one),
        TEST(clients_that_their_masked_address_does_not_tell_apart_are_one_line),
        TEST(metrics_are_all_there_and_pass_promtool),
        TEST(buckets_of_the_duration_are_exact_and_cumulative),
        TEST(the_page_is_well_formed_and_loads_nothing),
        TEST(the_page_begins_with_what_is_open),
        TEST(the_page_of_one_incident_shows_that_one_alone),
        TEST(the_sinks_error_ends_every_encoder),
    };

    apr_initialize();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
