/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_model.c: what a status page reads of a history is enough for what it shows.
 */
#include "capture_case.h"

#include <sys/mman.h>

#include "pm_source.h"
#include "pm_time.h"
#include "splitmix.h"

#define SEEDS 40

typedef struct output {
    char *bytes;
    size_t used;
} output;

static apr_status_t keep_output(void *ctx, const char *bytes, size_t len)
{
    output *o = ctx;

    o->bytes = realloc(o->bytes, o->used + len + 1);
    memcpy(o->bytes + o->used, bytes, len);
    o->used += len;
    o->bytes[o->used] = '\0';
    return APR_SUCCESS;
}

/* ---- a history of anything ---- */

static void put_events(pm_capture *c, uint64_t *random, uint64_t at_us, uint64_t count)
{
    static const char *const paths[] = {"/usr/lib/a.so", "/usr/lib/b.so", "/etc/c"};

    for (uint64_t n = 0; n < count; n++) {
        uint64_t r = splitmix_next(random);
        char data[2000];
        int len = snprintf(data, sizeof(data), "{\"path\":\"%s\",\"incident\":%d,\"pad\":\"%*s\"}",
                           paths[r % 3], (int)(r >> 8) % 9, (int)(r >> 16) % 1500, "");
        pm_event e = {.at_us = at_us - (r >> 32) % 3000000,
                      .run = 1,
                      .type = (uint32_t)(1 + (r >> 40) % (PM_EV_TYPES - 1)),
                      .severity = (uint32_t)(r >> 48) % 3,
                      .data = data,
                      .data_len = (uint32_t)len};

        snprintf(e.text, sizeof(e.text), "something happened, number %d", (int)n);
        pm_capture_put_event(c, &e);
    }
}

static void put_case(pm_capture *c, uint64_t *random, uint64_t id, uint64_t at_us, int open)
{
    uint64_t r = splitmix_next(random);
    static pm_incident in;
    pm_sample samples[4] = {{.at_us = at_us, .status = 503, .uri = "/a"}};

    memset(&in, 0, sizeof(in));
    in.id = id;
    in.open = (uint32_t)open;
    in.kinds = 1 + (uint32_t)(r % 7);
    in.onset_us = at_us - (r >> 8) % 100 * PM_SECOND;
    in.detected_us = in.onset_us + PM_SECOND;
    in.end_us = at_us + (r >> 16) % 50 * PM_SECOND;
    in.closed_us = open ? 0 : in.end_us + 60 * PM_SECOND;
    in.requests = 5000 + (r >> 24) % 1000;
    in.errors = (r >> 32) % 5000;
    in.before_us = 3600 * PM_SECOND;
    in.before_requests_per_second = 600;
    in.clients_known = 1;
    in.clients = 90;
    in.error_clients = (double)((r >> 40) % 80);
    in.sample_count = 4;
    in.status_code[0] = 503;
    strcpy(in.by_vhost[0].key, "www.example");
    strcpy(in.by_backend[0].key, "http://127.0.0.1:8080");
    in.by_vhost[0].errors = in.by_backend[0].errors = in.errors;
    pm_capture_put_incident(c, &in, samples);
    pm_capture_pin(c, id, 0, in.onset_us - 120 * PM_SECOND, in.onset_us + 120 * PM_SECOND);
}

/* Up to two rounds of the rings, with gaps, and some of the last incidents open; a few have been for longer than the
 * seconds reach back. */
static void put_history(fixture *f, uint64_t seed)
{
    uint64_t random = seed, at = T0, incidents = 0;
    pm_retention keep = {60 + splitmix_next(&random) % 600,
                         60,
                         2 + splitmix_next(&random) % 9,
                         64 + (uint32_t)(splitmix_next(&random) % 900),
                         4,
                         0};
    uint64_t ticks = 200 + splitmix_next(&random) % 900, last = 3 + splitmix_next(&random) % 8;
    pm_checkpoint *cp = apr_pcalloc(f->pool, sizeof(*cp));
    pm_capture *c = create(f, keep);

    for (uint64_t tick = 1; tick <= ticks; tick++) {
        uint64_t r = splitmix_next(&random);
        pm_row row = row_at(tick);

        at += PM_SECOND + (r % 97 == 0 ? (r >> 8) % 2000 * PM_SECOND : 0);
        row.at_us = at;
        row.requests = 500 + (r >> 16) % 300;
        row.idle = (uint32_t)(r >> 32) % 40;
        row.limit = 50;
        pm_capture_put_second(c, &row);
        put_events(c, &random, at, (r >> 40) % 16 < seed % 16 ? (r >> 44) % 4 : 0);
        if (incidents < last && tick * last / ticks > incidents) {
            incidents++;
            put_case(c, &random, incidents, at, incidents + (r >> 48) % 3 > last);
        }
    }
    cp->tick = ticks;
    cp->next_incident = incidents + 1;
    cp->last_event = pm_capture_last_event(c);
    cp->server.run = 1;
    cp->server.heartbeat_us = at;
    cp->server.watched = PM_WATCHED_FILES | PM_WATCHED_CRASHES;
    pm_capture_put_checkpoint(c, cp);
    pm_capture_close(c);
}

static pm_model *load(fixture *f, const pm_query *q)
{
    const pm_source source = {.run_dir = ""};
    pm_model *m = NULL;

    if (pm_model_load(&m, reopen(f), &source, q, f->pool, &f->err) != APR_SUCCESS) {
        fail_msg("%s", f->err.text);
    }
    m->generated_us = T0 + 86400 * PM_SECOND;
    return m;
}

static pm_query page_query(void)
{
    pm_query q = PM_QUERY_ALL;

    q.told = PM_TELL_OPEN;
    q.latest = 1;
    return q;
}

static pm_query summary_query(void)
{
    pm_query q = PM_QUERY_ALL;

    q.view = PM_VIEW_SUMMARY;
    q.told = PM_TELL_OPEN;
    return q;
}

/* An incident as the document of everything has it. */
static output story_of(const pm_model *m, uint64_t id)
{
    pm_query q = PM_QUERY_ALL;
    output o = {0};

    q.view = PM_VIEW_SUMMARY;
    q.incident = id;
    assert_int_equal(pm_encode_json(m, &q, keep_output, &o), APR_SUCCESS);
    return o;
}

static void open_incidents_story_is_the_one_that_all_of_the_history_tells(void **state)
{
    fixture *f = *state;
    const pm_query all = PM_QUERY_ALL, page = page_query(), summary = summary_query();
    int open = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        put_history(f, seed * 1000003);
        pm_model *whole = load(f, &all), *brief[] = {load(f, &page), load(f, &summary)};

        for (size_t n = 0; n < whole->case_count; n++) {
            uint64_t id = whole->cases[n].incident->id;

            for (int b = 0; b < 2 && whole->cases[n].incident->open; b++) {
                output want = story_of(whole, id), have = story_of(brief[b], id);

                assert_string_equal(have.bytes, want.bytes);
                free(want.bytes);
                free(have.bytes);
                open++;
            }
        }
        unlink(f->path);
    }
    assert_in_range(open, SEEDS, 4 * SEEDS);
}

/* The newest events and half an hour of figures are all that the page shows. */
static void page_is_the_one_that_all_of_the_history_makes(void **state)
{
    fixture *f = *state;
    const pm_query all = PM_QUERY_ALL, page = page_query();

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        output want = {0}, have = {0};

        put_history(f, seed * 7919);
        pm_model *whole = load(f, &all), *brief = load(f, &page);
        int open = 0;

        for (size_t n = 0; n < brief->case_count; n++) {
            open |= !brief->cases[n].figures_only;
        }
        pm_encode_html(whole, &page, keep_output, &want);
        pm_encode_html(brief, &page, keep_output, &have);
        if (open) { /* else its chart begins where the ring does, and not where an incident has pinned seconds */
            assert_string_equal(have.bytes, want.bytes);
        }
        free(want.bytes);
        free(have.bytes);
        unlink(f->path);
    }
}

/* At the end of a page behind which there is nothing. */
static pm_incident *fence(const pm_incident *figures)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(at != MAP_FAILED);
    assert_int_equal(mprotect(at + page, page, PROT_NONE), 0);
    return memcpy(at + page - PM_INCIDENT_FIGURES, figures, PM_INCIDENT_FIGURES);
}

static void nothing_is_shown_of_an_incident_beyond_the_figures_that_were_read(void **state)
{
    fixture *f = *state;
    const pm_query queries[] = {page_query(), summary_query()};
    output o = {0};
    int fenced = 0;

    put_history(f, 1);
    for (int k = 0; k < 2; k++) {
        pm_query q = queries[k], everything = PM_QUERY_ALL;
        pm_model *m = load(f, &q);

        for (size_t n = 0; n < m->case_count; n++) {
            if (m->cases[n].figures_only) {
                m->cases[n].incident = fence(m->cases[n].incident);
                fenced++;
                everything.incident = q.incident = m->cases[n].incident->id;
                pm_encode_json(m, &q, keep_output, &o);
                pm_encode_html(m, &q, keep_output, &o);
                pm_encode_auto(m, &q, keep_output, &o);
            }
        }
        pm_encode_json(m, &queries[k], keep_output, &o);
        pm_encode_html(m, &queries[k], keep_output, &o);
        pm_encode_auto(m, &queries[k], keep_output, &o);
        pm_encode_csv(m, &queries[k], keep_output, &o);
        pm_encode_prometheus(m, &queries[k], 0, keep_output, &o);
        pm_encode_json(m, &everything, keep_output, &o);
    }
    assert_in_range(fenced, 2, 100);
    free(o.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            open_incidents_story_is_the_one_that_all_of_the_history_tells, begin, end),
        cmocka_unit_test_setup_teardown(page_is_the_one_that_all_of_the_history_makes, begin, end),
        cmocka_unit_test_setup_teardown(
            nothing_is_shown_of_an_incident_beyond_the_figures_that_were_read, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
