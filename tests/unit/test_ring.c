/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_ring.c: the journal in shared memory.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pm_ring.h"

#define COUNT 64u
#define WRITERS 4
#define EACH 20000u

typedef struct payload {
    uint64_t writer, number, words[6];
} payload;

static pm_ring make_ring(void)
{
    size_t size = sizeof(pm_ring_head) + pm_ring_bytes(COUNT, sizeof(payload));
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(base != MAP_FAILED);
    return (pm_ring){(pm_ring_head *)(void *)base, base + sizeof(pm_ring_head), COUNT,
                     sizeof(payload)};
}

static payload make_payload(uint64_t writer, uint64_t number)
{
    payload p = {writer, number, {0}};

    for (int i = 0; i < 6; i++) {
        p.words[i] = writer * 1000003 + number;
    }
    return p;
}

static int is_whole(const payload *p)
{
    for (int i = 0; i < 6; i++) {
        if (p->words[i] != p->writer * 1000003 + p->number) {
            return 0;
        }
    }
    return 1;
}

static void what_is_written_is_read_in_order(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 0, lost;
    payload p;

    (void)state;
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_EMPTY);
    for (uint64_t i = 0; i < COUNT; i++) {
        payload w = make_payload(1, i);
        pm_ring_write(&ring, &w);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_READ);
        assert_int_equal(p.number, i);
        assert_true(is_whole(&p));
    }
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_EMPTY);
}

static void what_was_overrun_is_counted(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 0, lost;
    payload p;

    (void)state;
    for (uint64_t i = 0; i < COUNT + 10; i++) {
        payload w = make_payload(1, i);
        pm_ring_write(&ring, &w);
    }
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_LOST);
    assert_int_equal(lost, 10);
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_READ);
    assert_int_equal(p.number, 10);
}

static void an_entry_that_a_dead_writer_left_is_skipped_when_given_up(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 0, lost;
    payload p, w = make_payload(1, 7);

    (void)state;
    atomic_fetch_add(&ring.head->next, 1); /* reserved, never published */
    pm_ring_write(&ring, &w);
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_PENDING);
    assert_int_equal(pm_ring_read(&ring, &at, &p, 1, &lost), PM_RING_LOST);
    assert_int_equal(lost, 1);
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_READ);
    assert_int_equal(p.number, 7);
}

static void a_damaged_entry_is_not_believed(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 0, lost;
    payload p, w = make_payload(1, 0);

    (void)state;
    pm_ring_write(&ring, &w);
    ring.entries[sizeof(pm_ring_entry) + 3] ^= 1;
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_LOST);
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_EMPTY);
}

static void a_head_that_was_written_over_ends_no_reader(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 40, lost;
    payload p;

    (void)state;
    atomic_store(&ring.head->next, 3); /* behind the reader */
    assert_int_equal(pm_ring_read(&ring, &at, &p, 0, &lost), PM_RING_LOST);
    assert_int_equal(at, 3);
    atomic_store(&ring.head->next, UINT64_MAX - 5); /* absurdly far ahead */
    for (uint32_t i = 0; i < 4 * COUNT; i++) {
        enum pm_ring_result r = pm_ring_read(&ring, &at, &p, 1, &lost);
        assert_true(r == PM_RING_LOST || r == PM_RING_EMPTY);
    }
}

static void write_many(const pm_ring *ring, uint64_t writer)
{
    for (uint64_t i = 0; i < EACH; i++) {
        payload w = make_payload(writer, i);
        pm_ring_write(ring, &w);
    }
}

/** Processes and threads write at once, the reader loses some and believes no half one. */
static void a_reader_beside_many_writers_reads_only_whole_entries(void **state)
{
    pm_ring ring = make_ring();
    uint64_t at = 0, lost, read = 0, missed = 0, last[WRITERS] = {0};
    pid_t pids[WRITERS];
    int running = WRITERS;

    (void)state;
    for (int i = 0; i < WRITERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            write_many(&ring, (uint64_t)i);
            _exit(0);
        }
    }
    for (;;) {
        payload p;
        enum pm_ring_result r = pm_ring_read(&ring, &at, &p, running == 0, &lost);

        missed += lost;
        if (r == PM_RING_READ) {
            assert_true(is_whole(&p) && p.writer < WRITERS);
            assert_true(p.number >= last[p.writer]);
            last[p.writer] = p.number;
            read++;
        }
        else if (r == PM_RING_EMPTY && running == 0) {
            break;
        }
        for (int i = 0; r != PM_RING_READ && i < WRITERS; i++) {
            if (pids[i] > 0 && waitpid(pids[i], NULL, WNOHANG) == pids[i]) {
                pids[i] = 0;
                running--;
            }
        }
    }
    assert_true(read > 0);
    assert_int_equal(read + missed, (uint64_t)WRITERS * EACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_in_order),
        cmocka_unit_test(what_was_overrun_is_counted),
        cmocka_unit_test(an_entry_that_a_dead_writer_left_is_skipped_when_given_up),
        cmocka_unit_test(a_damaged_entry_is_not_believed),
        cmocka_unit_test(a_head_that_was_written_over_ends_no_reader),
        cmocka_unit_test(a_reader_beside_many_writers_reads_only_whole_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
