/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_threads.c: many threads count while the recorder ticks, as workers and recorder do. Under ThreadSanitizer
 * (make sanitize) this is the proof that nothing shared is touched without an atomic; without it, that nothing is lost.
 */
#include "capture_case.h"

#include <pthread.h>

#include "pm_fold.h"
#include "pm_live.h"
#include "pm_source.h"
#include "pm_time.h"
#include "splitmix.h"

#define WRITERS 4u
#define EACH 15000u
#define TICKS_MIN 20
#define VHOSTS 3u

typedef struct bench {
    fixture *f;
    pm_live live;
    pm_fold fold;
    uint64_t now, monotonic;
    pm_burst_rule burst[64];
    pm_slow_rule slow[64];
    pm_served_rule served[64];
    const char *names[64], *defined[64];
    _Atomic uint32_t running;
    _Atomic uint64_t failed;
} bench;

typedef struct writer {
    bench *b;
    pthread_t thread;
    uint64_t random;
    uint32_t number;
} writer;

static bench *make_bench(fixture *f)
{
    pm_live_geometry geo = pm_live_plan(2, 64, 8, VHOSTS);
    bench *b = calloc(1, sizeof(*b));
    uint64_t size;

    b->f = f;
    b->now = pm_time_now() / PM_SECOND * PM_SECOND;
    b->monotonic = 1000 * PM_SECOND;
    b->fold.capture = create(f, SMALL);
    assert_int_equal(
        pm_live_create(&b->live, f->folder, pm_capture_id(b->fold.capture), 1, &geo, -1, &f->err),
        APR_SUCCESS);
    size = pm_ledger_size(b->live.geo.vhosts);
    b->fold.state = calloc(1, size);
    pm_ledger_init(b->fold.state, size, 1, b->live.geo.vhosts);
    b->fold.control = calloc(1, sizeof(*b->fold.control));
    pm_control_init(b->fold.control, 1, &b->live);
    for (uint32_t v = 0; v < b->live.geo.vhosts; v++) {
        b->burst[v] = (pm_burst_rule){10, 5, 5, 0, 0.05, 0};
        b->slow[v] = (pm_slow_rule){1, 5, 5, 5, PM_SECOND, 0.2};
        b->served[v] = PM_SERVED_DEFAULT;
    }
    b->fold.live = &b->live;
    b->fold.burst = b->burst[0];
    b->fold.slow = b->slow[0];
    b->fold.served = b->served[0];
    b->fold.vhost_burst = b->burst;
    b->fold.vhost_slow = b->slow;
    b->fold.vhost_served = b->served;
    b->fold.vhost_names = b->names;
    b->fold.vhost_defined = b->defined;
    b->fold.samples = 4;
    b->fold.clients = 1;
    assert_int_equal(pm_fold_begin(&b->fold, b->now, b->monotonic, f->pool, &f->err), APR_SUCCESS);
    return b;
}

static void end_bench(bench *b)
{
    pm_live_detach(&b->live);
    free(b->fold.control);
    pm_capture_close(b->fold.capture);
    free(b->fold.tick);
    free(b->fold.state);
    free(b);
}

/* ---- a worker ---- */

static void tell_failure(bench *b, const pm_completed *done, uint64_t random)
{
    pm_live_sample sample = {
        .at_us = done->arrival_us, .status = done->status, .vhost = done->vhost};
    pm_live_note note = {.at_us = done->done_us, .type = PM_EV_ERROR_LOG, .severity = PM_CRITICAL};
    char key[PM_KEY];

    snprintf(key, sizeof(key), "/page/%u", (unsigned)(random >> 40) % 300);
    strcpy(sample.uri, key);
    strcpy(note.text, "it failed");
    pm_heavy_count(&b->live,
                   pm_heavy_claim(&b->live, PM_BY_ROUTE, done->vhost,
                                  pm_live_hash(&b->live, key, strlen(key)), key, NULL,
                                  done->arrival_us),
                   1, PM_FAILURE_NONE);
    if (pm_live_sample_room(&b->live)) {
        pm_ring_write(&b->live.samples, &sample);
    }
    if (random % 64 == 0) {
        pm_ring_write(&b->live.journal, &note);
    }
}

static void *work(void *data)
{
    writer *w = data;
    bench *b = w->b;

    for (uint32_t i = 0; i < EACH; i++) {
        uint64_t random = splitmix_next(&w->random), arrival = b->now + random % PM_SECOND;
        uint32_t vhost = (uint32_t)(random % (VHOSTS + 1));
        uint32_t flight = pm_live_arrived(&b->live, (uint32_t)random, arrival, w->number, vhost);
        pm_completed done = {.arrival_us = arrival,
                             .done_us = arrival + random % 5000,
                             .bytes = 1,
                             .client = random | 1,
                             .status = random % 10 == 0 ? 503 : 200,
                             .vhost = vhost,
                             .stripe = pm_live_stripe(&b->live, random)};

        done.slow = random % 50 == 0;
        if (pm_live_wants_client(&b->live, vhost, done.client)) {
            done.monitor = random % 3 == 0;
        }
        pm_live_left(&b->live, flight, arrival);
        pm_live_count(&b->live, &done);
        if (done.status >= 500) {
            atomic_fetch_add(&b->failed, 1);
            tell_failure(b, &done, random);
        }
    }
    atomic_fetch_sub(&b->running, 1);
    return NULL;
}

/* ---- the recorder ---- */

static void tick(bench *b, uint64_t at)
{
    pm_fold_tick(&b->fold, b->now + at * PM_SECOND, b->monotonic + at * PM_SECOND);
}

static uint64_t sum(const uint64_t *counters, uint32_t n)
{
    uint64_t all = 0;

    for (uint32_t i = 0; i < n; i++) {
        all += counters[i];
    }
    return all;
}

static void what_threads_count_while_the_recorder_ticks_is_all_there(void **state)
{
    bench *b = make_bench(*state);
    const pm_totals *totals = &b->fold.state->checkpoint.totals;
    writer writers[WRITERS];
    uint64_t ticks = 0;

    atomic_store(&b->running, WRITERS);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (writer){.b = b, .random = i * 7919 + 1, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, work, &writers[i]), 0);
    }
    while (atomic_load(&b->running) > 0 || ticks < TICKS_MIN) {
        tick(b, ++ticks);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(writers[i].thread, NULL);
    }
    tick(b, ++ticks);
    assert_int_equal(sum(totals->status, PM_STATUS_SLOTS), WRITERS * EACH);
    assert_int_equal(totals->status[403], atomic_load(&b->failed));
    assert_int_equal(sum(totals->hist, PM_HIST_BUCKETS), WRITERS * EACH);
    assert_int_equal(totals->bytes, WRITERS * EACH);
    for (uint32_t i = 0; i < b->live.geo.flights; i++) {
        assert_int_equal(atomic_load(&b->live.flights[i].arrival_us), 0);
    }
    end_bench(b);
}

/** As the handler does. The writers' lock cannot be seen from within its own process, so a record that is being
 *  written may count as damaged here; there is a model all the same. */
static void *read_along(void *data)
{
    bench *b = data;
    const pm_source source = {.run_dir = "", .live = &b->live};
    const pm_query q = PM_QUERY_ALL;
    uintptr_t failed = 0;

    do {
        apr_pool_t *pool;
        pm_capture *c = NULL;
        pm_model *m;

        apr_pool_create_unmanaged(&pool);
        failed += pm_capture_open(&c, b->f->path, pool, NULL) != APR_SUCCESS ||
                  pm_model_load(&m, c, &source, &q, pool, NULL) != APR_SUCCESS;
        if (c != NULL) {
            pm_capture_close(c);
        }
        apr_pool_destroy(pool);
    } while (atomic_load(&b->running) > 0);
    return (void *)failed;
}

static void who_reads_along_always_gets_a_model(void **state)
{
    bench *b = make_bench(*state);
    pthread_t reader;
    writer w = {.b = b, .random = 5};
    uint64_t ticks = 0;
    void *failed;

    atomic_store(&b->running, 1);
    tick(b, ++ticks);
    assert_int_equal(pthread_create(&w.thread, NULL, work, &w), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_along, b), 0);
    while (atomic_load(&b->running) > 0) {
        tick(b, ++ticks);
    }
    pthread_join(w.thread, NULL);
    pthread_join(reader, &failed);
    assert_null(failed);
    end_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_threads_count_while_the_recorder_ticks_is_all_there,
                                        begin, end),
        cmocka_unit_test_setup_teardown(who_reads_along_always_gets_a_model, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
