/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_live.c: the live region: made, found, attached to when damaged, counted in by many at once.
 */
#include "capture_case.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "pm_live.h"
#include "pm_time.h"

#define THREADS 8
#define EACH 20000

static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void make(fixture *f, pm_live *live, uint64_t run)
{
    pm_live_geometry geo = pm_live_plan(2, 100, 10, 3);

    assert_int_equal(pm_live_create(live, f->folder, id, run, &geo, -1, &f->err), APR_SUCCESS);
}

static uint64_t sum(const pm_totals *t)
{
    uint64_t n = 0;

    for (int i = 0; i < PM_STATUS_SLOTS; i++) {
        n += t->status[i];
    }
    return n;
}

static void a_region_takes_at_most_four_mebibytes(void **state)
{
    static const struct {
        uint32_t cores, workers, processes;
    } servers[] = {
        {1, 150, 150}, {2, 400, 16}, {64, 400, 16}, {64, 20000, 800}, {64, 20000, 20000}};

    (void)state;
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
        pm_live_geometry geo =
            pm_live_plan(servers[i].cores, servers[i].workers, servers[i].processes, 10);

        assert_true(pm_live_size(&geo) <= 4u << 20);
    }
}

typedef struct counting {
    const pm_live *live;
    uint64_t thread;
} counting;

static void *count_many(void *data)
{
    counting *c = data;

    for (uint64_t i = 0; i < EACH; i++) {
        uint64_t now = 1000000000 + i;
        pm_completed done = {.arrival_us = now,
                             .done_us = now + i % 1000,
                             .bytes = 3,
                             .client = i * 0x9e3779b97f4a7c15ull + 1,
                             .status = i % 10 == 0 ? 503 : 200,
                             .vhost = 1 + (uint32_t)(i % 2),
                             .stripe = pm_live_stripe(c->live, c->thread)};
        uint32_t flight = pm_live_arrived(c->live, (uint32_t)(c->thread * 64), now, 0, 1);

        pm_live_count(c->live, &done);
        pm_live_left(c->live, flight, now);
    }
    return NULL;
}

static void threads_and_processes_lose_no_count(void **state)
{
    fixture *f = *state;
    pm_live live;
    pthread_t threads[THREADS];
    counting c[THREADS];
    pm_totals t;
    uint64_t vhost = 0, errors = 0;
    pid_t child;

    make(f, &live, 1);
    child = fork();
    for (uint64_t i = 0; i < THREADS; i++) {
        c[i] = (counting){&live, i + (child == 0 ? THREADS : 0)};
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, &c[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    if (child == 0) {
        _exit(0);
    }
    waitpid(child, NULL, 0);
    pm_live_totals(&live, &t, NULL);
    assert_int_equal(sum(&t), 2 * THREADS * EACH);
    assert_int_equal(t.status[403], 2 * THREADS * EACH / 10);
    assert_int_equal(t.bytes, 3ull * 2 * THREADS * EACH);
    assert_int_equal(pm_hist_total(t.hist), 2 * THREADS * EACH);
    assert_int_equal(t.max_us, 999);
    for (uint32_t s = 0; s < live.geo.vhost_stripes; s++) {
        vhost += atomic_load(&live.vhost_counts[s * live.geo.vhosts + 1].requests);
        errors += atomic_load(&live.vhost_counts[s * live.geo.vhosts + 1].errors);
    }
    assert_int_equal(vhost, THREADS * EACH);
    assert_int_equal(errors, 2 * THREADS * EACH / 10);
    for (uint32_t i = 0; i < live.geo.flights; i++) {
        assert_int_equal(atomic_load(&live.flights[i].arrival_us), 0);
    }
    pm_live_detach(&live);
}

static void a_request_is_named_by_its_path_alone_wherever_that_lies(void **state)
{
    static const char path[] = "/a/path/longer/than/all/that/fit/here";

    (void)state;
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t n = 0; n < sizeof(path); n++) {
            _Alignas(8) char text[64];
            pm_named named;
            size_t kept;

            memset(text, '*', sizeof(text)); /* what lies behind it is another's */
            memset(&named, '#', sizeof(named));
            memcpy(text + begin, path, n);
            text[begin + n] = '\0';
            pm_live_name(&named, 0x123456789ull, text + begin);
            kept = strnlen(named.path, sizeof(named.path));
            assert_true(kept == n || (kept < n && kept >= 24));
            assert_memory_equal(named.path, path, kept);
            assert_true(kept < sizeof(named.path));
            assert_null(memchr(named.path, '*', sizeof(named.path)));
            assert_int_equal(named.arrival, 0x23456789);
        }
    }
}

typedef struct found {
    int count;
    uint64_t runs;
} found;

static void note_found(void *ctx, const char *path, uint64_t run)
{
    found *seen = ctx;

    assert_int_equal(access(path, R_OK), 0);
    seen->count++;
    seen->runs += run;
}

static void regions_are_found_by_their_captures_id_alone(void **state)
{
    fixture *f = *state;
    static const uint8_t other[16] = {9};
    pm_live a, b, c;
    pm_live_geometry geo = pm_live_plan(1, 1, 1, 1);
    found seen = {0};
    char path[300];

    make(f, &a, 3);
    make(f, &b, 40);
    assert_int_equal(pm_live_create(&c, f->folder, other, 500, &geo, -1, &f->err), APR_SUCCESS);
    snprintf(path, sizeof(path), "%s/pmcapture-%032d-x.live", f->folder, 0);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    pm_live_find(f->folder, id, note_found, &seen);
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.runs, 43);
    pm_live_find("/no such folder", id, note_found, &seen);
    assert_int_equal(seen.count, 2);
    pm_live_detach(&a);
    pm_live_detach(&b);
    pm_live_detach(&c);
}

static void a_damaged_header_is_refused_with_a_sentence(void **state)
{
    fixture *f = *state;
    pm_live live, again;
    uint8_t *bytes;
    size_t checked = offsetof(pm_live_header, sum) + sizeof(uint64_t);

    make(f, &live, 1);
    bytes = (uint8_t *)live.header;
    assert_int_equal(pm_live_attach(&again, live.path, 0, &f->err), APR_SUCCESS);
    pm_live_detach(&again);
    for (size_t i = 0; i < checked; i++) {
        bytes[i] ^= 0x40;
        assert_int_not_equal(pm_live_attach(&again, live.path, 0, &f->err), APR_SUCCESS);
        assert_non_null(strstr(f->err.text, live.path));
        bytes[i] ^= 0x40;
    }
    pm_live_detach(&live);
}

static void what_is_no_region_is_refused(void **state)
{
    fixture *f = *state;
    pm_live live, again;
    char path[300];

    assert_int_not_equal(pm_live_attach(&again, f->folder, 0, &f->err), APR_SUCCESS);
    assert_int_not_equal(pm_live_attach(&again, "/dev/zero", 0, &f->err), APR_SUCCESS);
    snprintf(path, sizeof(path), "%s/fifo", f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_not_equal(pm_live_attach(&again, path, 0, &f->err), APR_SUCCESS);
    make(f, &live, 1);
    snprintf(path, sizeof(path), "%s/link", f->folder);
    assert_int_equal(symlink(live.path, path), 0);
    assert_int_not_equal(pm_live_attach(&again, path, 0, &f->err), APR_SUCCESS);
    assert_int_equal(truncate(live.path, (off_t)live.size - 4096), 0);
    assert_int_not_equal(pm_live_attach(&again, live.path, 0, &f->err), APR_SUCCESS);
    munmap(live.header, live.size);
}

/** What becomes of the file while it is mapped: the sentence names it, and the word. */
static void assert_said(fixture *f, const pm_live *live, const char *word)
{
    assert_int_not_equal(pm_live_verify(live, &f->err), APR_SUCCESS);
    assert_non_null(strstr(f->err.text, live->path));
    assert_non_null(strstr(f->err.text, word));
}

static void a_file_that_is_not_the_mapped_one_any_more_is_told(void **state)
{
    fixture *f = *state;
    pm_live live, attached;
    char aside[600];
    int fd;

    make(f, &live, 1);
    assert_int_equal(pm_live_verify(&live, &f->err), APR_SUCCESS);
    assert_int_equal(pm_live_attach(&attached, live.path, 0, &f->err), APR_SUCCESS);
    assert_int_equal(pm_live_verify(&attached, &f->err), APR_SUCCESS);
    live.header->key[3] ^= 1;
    assert_said(f, &live, "overwritten");
    live.header->key[3] ^= 1;
    snprintf(aside, sizeof(aside), "%s.aside", live.path);
    assert_int_equal(rename(live.path, aside), 0);
    assert_said(f, &live, "removed or replaced");
    fd = open(live.path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(ftruncate(fd, (off_t)live.size), 0);
    close(fd);
    assert_said(f, &live, "removed or replaced");
    assert_said(f, &attached, "removed or replaced");
    assert_int_equal(rename(aside, live.path), 0);
    assert_int_equal(truncate(live.path, (off_t)live.size - 4096), 0);
    assert_said(f, &live, "truncated");
    pm_live_detach(&attached);
    pm_live_detach(&live);
}

static void a_copy_outlives_what_becomes_of_the_file(void **state)
{
    fixture *f = *state;
    pm_completed done = {.arrival_us = 1, .done_us = 2, .bytes = 7, .status = 200, .vhost = 1};
    pm_live live, copy;
    pm_totals t;

    make(f, &live, 1);
    for (int i = 0; i < 5; i++) {
        pm_live_count(&live, &done);
    }
    assert_int_equal(pm_live_copy(&copy, live.path, &f->err), APR_SUCCESS);
    assert_int_equal(truncate(live.path, 0), 0);
    pm_live_totals(&copy, &t, NULL);
    assert_int_equal(t.status[200 - 100], 5);
    assert_int_equal(t.bytes, 35);
    pm_live_detach(&copy);
    assert_int_not_equal(pm_live_copy(&copy, live.path, &f->err), APR_SUCCESS);
    assert_null(copy.header);
    munmap(live.header, live.size);
}

static void a_full_file_system_is_an_error_and_leaves_no_file(void **state)
{
    fixture *f = *state;
    pm_live live;
    pm_live_geometry geo = pm_live_plan(2, 100, 10, 3);
    struct rlimit was, small = {4096, 4096};
    found seen = {0};

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_not_equal(pm_live_create(&live, f->folder, id, 1, &geo, -1, &f->err), APR_SUCCESS);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_non_null(strstr(f->err.text, f->folder));
    pm_live_find(f->folder, id, note_found, &seen);
    assert_int_equal(seen.count, 0);
}

static void a_process_that_died_is_given_up_and_a_reused_pid_is_told_apart(void **state)
{
    fixture *f = *state;
    pm_live live;
    pid_t child;

    make(f, &live, 1);
    atomic_store(&live.children[0].pid, (uint32_t)getpid());
    atomic_store(&live.children[0].start, pm_process_start((uint32_t)getpid()));
    assert_int_equal(pm_live_children_alive(&live, 1), 1);
    atomic_store(&live.children[1].pid, (uint32_t)getpid());
    atomic_store(&live.children[1].start, 1); /* another process that had this pid */
    assert_int_equal(pm_live_children_alive(&live, 1), 1);
    child = fork();
    if (child == 0) {
        _exit(0);
    }
    atomic_store(&live.children[2].pid, (uint32_t)child);
    atomic_store(&live.children[2].start, pm_process_start((uint32_t)child));
    waitpid(child, NULL, 0);
    assert_int_equal(pm_live_children_alive(&live, 0), 1);
    assert_int_equal(atomic_load(&live.children[2].pid), 0);
    assert_int_equal(pm_live_parent_alive(&live), 1);
    pm_live_detach(&live);
}

static void a_probes_mark_is_taken_by_the_connection_that_it_is_of(void **state)
{
    static const uint8_t at[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
    pm_live live = {.header = calloc(1, sizeof(*live.header))};

    (void)state;
    atomic_store(&live.header->probe[3], pm_live_origin(&live, at, 40000));
    assert_int_equal(pm_live_is_probe(&live, at, 40001), 0);
    assert_int_equal(pm_live_is_probe(&live, at, 40000), 1);
    assert_int_equal(pm_live_is_probe(&live, at, 40000), 0); /* a client that has its port by now */
    free(live.header);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(a_region_takes_at_most_four_mebibytes),
        cmocka_unit_test(a_request_is_named_by_its_path_alone_wherever_that_lies),
        CASE(threads_and_processes_lose_no_count),
        CASE(regions_are_found_by_their_captures_id_alone),
        CASE(a_damaged_header_is_refused_with_a_sentence),
        CASE(what_is_no_region_is_refused),
        CASE(a_file_that_is_not_the_mapped_one_any_more_is_told),
        CASE(a_copy_outlives_what_becomes_of_the_file),
        CASE(a_full_file_system_is_an_error_and_leaves_no_file),
        CASE(a_process_that_died_is_given_up_and_a_reused_pid_is_told_apart),
        cmocka_unit_test(a_probes_mark_is_taken_by_the_connection_that_it_is_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
