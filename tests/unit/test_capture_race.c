/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_capture_race.c: one process writes the capture file while others read it, write it in turn, are killed, or do
 * to the file what nobody should.
 */
#include "capture_case.h"

#include <sched.h>
#include <sys/mman.h>

#include "pm_time.h"
#include "splitmix.h"

#define WIDE ((pm_retention){600, 60, 4, 16384, 4, 0})

/* What a writer has finished, in memory that outlives it. */
typedef struct progress {
    volatile uint64_t tick; /* row, checkpoint, incident 1 and event `tick` are in the file */
    volatile uint64_t stop;
} progress;

static progress *share(void)
{
    void *at =
        mmap(NULL, sizeof(progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(at != MAP_FAILED);
    return at;
}

static size_t data_length(uint64_t n)
{
    return n * 37 % 3000;
}

/* Write tick after tick as the recorder does, at full speed. Runs in a child. */
static void write_ticks(fixture *f, progress *p)
{
    static pm_checkpoint cp;
    static pm_incident incident;
    pm_sample *samples;
    pm_incident *first = incident_number(f, 1, 4, &samples);
    pm_capture *c;

    if (pm_capture_create(&c, f->path, &WIDE, f->pool, f->notice, &f->err) != APR_SUCCESS ||
        f->notice[0]) {
        _exit(1);
    }
    incident = *first;
    pm_capture_checkpoint(c, &cp);
    for (uint64_t tick = cp.tick + 1; !p->stop; tick++) {
        pm_row row = row_at(tick);
        if (pm_capture_lock(c, 5000000) != APR_SUCCESS) {
            _exit(2);
        }
        put_event(c, tick, PM_EV_NOTE, data_length(tick));
        pm_capture_put_second(c, &row);
        incident.requests = tick;
        pm_capture_put_incident(c, &incident, samples);
        cp.tick = tick;
        memset(cp.totals.hist, (int)tick, sizeof(cp.totals.hist));
        if (pm_capture_put_checkpoint(c, &cp) != APR_SUCCESS) {
            _exit(3);
        }
        pm_capture_unlock(c);
        p->tick = tick;
    }
    _exit(0);
}

/* Whole, in order, and as new as what the writer had finished before. */
static void check_events(const pm_event *events, size_t count, uint64_t done)
{
    static char data[PM_EVENT_DATA];

    for (size_t i = 0; i < count; i++) {
        uint64_t n = strtoull(events[i].text + 6, NULL, 10); /* "event N" */
        pm_event want = event_number(n, PM_EV_NOTE, data, data_length(n));
        assert_string_equal(events[i].text, want.text);
        assert_int_equal(events[i].data_len, want.data ? want.data_len : 2);
        assert_memory_equal(events[i].data, want.data ? want.data : "{}", events[i].data_len);
        assert_true(i == 0 || events[i].seq > events[i - 1].seq);
    }
    assert_true(count > 0 && events[count - 1].at_us >= T0 + done * 1000);
}

/* Everything that is in the file verifies, is in order, and holds what the writer had finished before. */
static void check_ticks(fixture *f, pm_capture *c, uint64_t done, apr_pool_t *pool)
{
    static pm_checkpoint cp;
    pm_incident **incidents;
    pm_event *events;
    pm_sample *samples;
    pm_row *rows;
    size_t count;

    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, pool);
    assert_true(count >= (done < 600 ? done : 599));
    for (size_t i = 0; i < count; i++) {
        pm_row want = row_at(rows[i].tick);
        assert_memory_equal(&rows[i], &want, sizeof(want));
        assert_true(i == 0 || rows[i].tick > rows[i - 1].tick);
    }
    assert_true(rows[count - 1].tick >= done);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, pool);
    check_events(events, count, done);
    pm_capture_events_after(c, events[count / 2].seq - 1, &events, &count, pool);
    check_events(events, count, done);
    pm_capture_events_around(c, T0 + done * 1000, 0, 3, &events, &count, pool);
    check_events(events, count, done);
    assert_int_equal(pm_capture_checkpoint(c, &cp), APR_SUCCESS);
    assert_true(cp.tick >= done);
    for (size_t i = 0; i < sizeof(cp.totals.hist); i++) {
        assert_int_equal(((uint8_t *)cp.totals.hist)[i], (uint8_t)cp.tick);
    }
    pm_capture_incidents(c, &incidents, &count, pool);
    assert_int_equal(count, 1);
    assert_true(incidents[0]->requests >= done);
    pm_capture_samples(c, incidents[0], &samples, &count, pool);
    assert_int_equal(count, 4);
    assert_string_equal(samples[3].uri, "/1/3");
    (void)f;
}

static void reader_beside_a_writer_reads_only_whole_records(void **state)
{
    fixture *f = *state;
    progress *p = share();
    uint64_t until = pm_time_monotonic() + 3000000, passes = 0, damaged = 0;

    if (fork_child(f) == 0) {
        write_ticks(f, p);
    }
    while (p->tick < 10) {
        sched_yield();
    }
    pm_capture *c = reopen(f);
    for (; pm_time_monotonic() < until; passes++) {
        apr_pool_t *pool;
        apr_pool_create(&pool, f->pool);
        check_ticks(f, c, p->tick, pool);
        apr_pool_destroy(pool);
    }
    damaged = pm_capture_damage(c).records;
    p->stop = 1;
    assert_int_equal(end_child(f, 0), 0);
    print_message("%llu passes over %llu ticks, damage met: %llu\n", (unsigned long long)passes,
                  (unsigned long long)p->tick, (unsigned long long)damaged);
    assert_int_equal(damaged, 0);
}

static void turning_rings_are_read_without_a_false_damage(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    static char data[PM_EVENT_DATA];
    uint64_t until = pm_time_monotonic() + 1500000;

    if (fork_child(f) == 0) {
        for (uint64_t n = 1;; n++) {
            pm_row row = row_at(n);
            pm_capture_lock(c, 0);
            pm_capture_put_second(c, &row);
            put_event(c, n, PM_EV_NOTE, data_length(n));
            pm_capture_unlock(c);
        }
    }
    pm_capture *r = reopen(f);
    while (pm_time_monotonic() < until) {
        pm_event *events;
        pm_row *rows;
        size_t count;
        apr_pool_t *pool;
        apr_pool_create(&pool, f->pool);
        pm_capture_seconds(r, 0, UINT64_MAX, &rows, &count, pool);
        for (size_t i = 0; i < count; i++) {
            pm_row want = row_at(rows[i].tick);
            assert_memory_equal(&rows[i], &want, sizeof(want));
        }
        pm_capture_events(r, 0, UINT64_MAX, &events, &count, pool);
        for (size_t i = 0; i < count; i++) {
            pm_event want =
                event_number(events[i].seq, PM_EV_NOTE, data, data_length(events[i].seq));
            assert_int_equal(events[i].data_len, want.data ? want.data_len : 2);
            assert_memory_equal(events[i].data, want.data ? want.data : "{}", events[i].data_len);
        }
        pm_capture_events_after(r, 0, &events, &count, pool);
        pm_capture_events_around(r, 0, 0, 9, &events, &count, pool);
        apr_pool_destroy(pool);
    }
    assert_int_equal(pm_capture_damage(r).records, 0);
}

static void killed_writer_loses_only_what_was_in_flight(void **state)
{
    fixture *f = *state;
    progress *p = share();
    uint64_t seed = 7;

    for (int round = 0; round < 60; round++) {
        uint64_t before = p->tick;
        if (fork_child(f) == 0) {
            write_ticks(f, p);
        }
        while (p->tick == before) {
            sched_yield();
        }
        usleep((useconds_t)(splitmix_next(&seed) % 5000));
        end_child(f, SIGKILL);
        apr_pool_t *pool;
        apr_pool_create(&pool, f->pool);
        pm_capture *c = reopen(f);
        check_ticks(f, c, p->tick, pool);
        assert_true(pm_capture_last_event(c) >= p->tick);
        pm_capture_close(c);
        apr_pool_destroy(pool);
    }
}

/* ---- the lock ---- */

static void lock_waits_no_longer_than_it_may(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    progress *p = share();

    if (fork_child(f) == 0) {
        pm_capture *mine = reopen(f);
        assert_int_equal(pm_capture_lock(mine, 0), EBADF); /* opened to read */
        pm_capture_close(mine);
        mine = create(f, SMALL);
        assert_int_equal(pm_capture_lock(mine, 0), APR_SUCCESS);
        p->tick = 1;
        while (!p->stop) {
            usleep(1000);
        }
        pm_capture_unlock(mine);
        p->tick = 2;
        pm_capture_lock(mine, 1000000);
        p->tick = 3;
        pause();
    }
    while (p->tick < 1) {
        usleep(1000);
    }
    uint64_t begun = pm_time_monotonic();
    assert_int_equal(pm_capture_lock(c, 0), APR_EAGAIN);
    assert_int_equal(pm_capture_lock(c, 50000), APR_EAGAIN);
    assert_true(pm_time_monotonic() - begun >= 50000);
    p->stop = 1;
    while (p->tick < 3) {
        usleep(1000);
    }
    assert_int_equal(pm_capture_lock(c, 0), APR_EAGAIN);
    end_child(f, SIGKILL);
    assert_int_equal(pm_capture_lock(c, 1000000), APR_SUCCESS);
    pm_capture_unlock(c);
}

static void events_of_many_processes_are_numbered_without_gap_or_double(void **state)
{
    fixture *f = *state;
    pm_retention keep = {60, 60, 4, 4096, 4, 0};
    pm_event *events;
    size_t count;
    pid_t pids[4];
    int status;

    pm_capture *c = create(f, keep);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pm_capture *mine = create(f, keep);
            for (uint64_t n = 0; n < 100; n++) {
                assert_int_equal(pm_capture_lock(mine, 10000000), APR_SUCCESS);
                put_event(mine, n, i % 2 ? PM_EV_NOTE : PM_EV_ERROR_LOG, n * 20);
                put_event(mine, n, i % 2 ? PM_EV_ERROR_LOG : PM_EV_NOTE, 0);
                pm_capture_unlock(mine);
                usleep(100); /* the others' turn */
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 800);
    uint8_t seen[801] = {0};
    for (size_t i = 0; i < count; i++) {
        assert_true(events[i].seq >= 1 && events[i].seq <= 800 && !seen[events[i].seq]++);
    }
    assert_int_equal(pm_capture_last_event(c), 800);
}

static void lost_note_of_the_rings_end_is_found_again(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    uint8_t early[4096], zeros[4096] = {0};
    pm_event *events;
    size_t count;

    put_event(c, 1, PM_EV_NOTE, 2000);
    int fd = pm_capture_fd(c);
    assert_int_equal(pread(fd, early, sizeof(early), 8192), sizeof(early));
    for (uint64_t n = 2; n <= 9; n++) {
        put_event(c, n, n % 2 ? PM_EV_NOTE : PM_EV_ERROR_LOG, 1500);
    }
    assert_int_equal(pwrite(fd, early, sizeof(early), 8192), sizeof(early));
    assert_int_equal(pm_capture_last_event(reopen(f)), 9);
    put_event(c, 10, PM_EV_ERROR_LOG, 0);
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 8192), sizeof(zeros));
    assert_int_equal(pm_capture_last_event(reopen(f)), 10);
    put_event(c, 11, PM_EV_ERROR_LOG, 0);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 11);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(events[i].seq, i + 1);
    }
}

/* What a power cut may leave: an old note of the end, and a block behind it that never came to the disk. */
static void end_behind_a_lost_block_is_found_by_looking_at_every_block(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    uint64_t size = pm_capture_size(&SMALL);
    uint8_t note[4096], zeros[1024] = {0};
    char *file = apr_palloc(f->pool, size);

    put_event(c, 1, PM_EV_NOTE, 0);
    int fd = pm_capture_fd(c);
    assert_int_equal(pread(fd, note, sizeof(note), 8192), sizeof(note));
    for (uint64_t n = 2; n <= 5; n++) {
        put_event(c, n, PM_EV_NOTE, 0);
    }
    assert_int_equal(pread(fd, file, size, 0), size);
    char *second = memmem(file, size, "event 2", 7);
    assert_non_null(second);
    assert_int_equal(pwrite(fd, zeros, 1024, (second - file) / 1024 * 1024), 1024);
    assert_int_equal(pwrite(fd, note, sizeof(note), 8192), sizeof(note));
    assert_int_equal(pm_capture_last_event(c), 1);
    assert_int_equal(pm_capture_find_tail(c, 1000000), APR_SUCCESS);
    assert_int_equal(pm_capture_last_event(reopen(f)), 5);
}

static void torn_event_is_skipped_and_its_number_not_used_again(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    const off_t tail = 8192;
    uint8_t note[4096], image[4096];
    pm_event *events;
    size_t count;

    put_event(c, 1, PM_EV_NOTE, 0);
    int fd = pm_capture_fd(c);
    assert_int_equal(pread(fd, note, sizeof(note), tail), sizeof(note));
    put_event(c, 2, PM_EV_NOTE, 3000);
    /* its third block never came to the disk, nor did the note of the end */
    uint64_t size = pm_capture_size(&SMALL);
    char *file = apr_palloc(f->pool, size);
    assert_int_equal(pread(fd, file, size, 0), size);
    char *third = memmem(file, size, "event 2", 7);
    assert_non_null(third);
    memset(image, 0, sizeof(image));
    assert_int_equal(pwrite(fd, image, 1024, (third - file) / 1024 * 1024 + 2048), 1024);
    assert_int_equal(pwrite(fd, note, sizeof(note), tail), sizeof(note));
    pm_event e = event_number(3, PM_EV_NOTE, NULL, 0);
    assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
    assert_int_equal(e.seq, 3);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 2);
    assert_int_equal(events[1].seq, 3);
}

static void blocks_of_two_torn_events_are_not_put_together(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    uint64_t size = pm_capture_size(&SMALL);
    char *before = apr_palloc(f->pool, size), *first = apr_palloc(f->pool, size);
    pm_event *events;
    size_t count;

    int fd = pm_capture_fd(c);
    assert_int_equal(pread(fd, before, size, 0), size);
    put_event(c, 1, PM_EV_NOTE, 2500);
    assert_int_equal(pread(fd, first, size, 0), size);
    char *block = memmem(first, size, "event 1", 7);
    assert_non_null(block);
    off_t at = (block - first) / 1024 * 1024;
    assert_int_equal(pwrite(fd, before + 8192, 4096, 8192), 4096); /* the note of the end */
    assert_int_equal(pwrite(fd, before + at + 1024, 1024, at + 1024), 1024);
    pm_event e = event_number(1, PM_EV_NOTE, apr_palloc(f->pool, 2500), 2500);
    assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
    assert_int_equal(e.seq, 2);
    assert_int_equal(pwrite(fd, first + at + 2048, 1024, at + 2048), 1024);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 0);
    assert_int_equal(pm_capture_damage(c).records, 1);
}

/* ---- what nobody should do to the file ---- */

static void check_says(pm_capture *c, const char *part)
{
    pm_error err;

    assert_int_not_equal(pm_capture_verify(c, &err), APR_SUCCESS);
    if (!strstr(err.text, part)) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    }
}

static void file_deleted_moved_or_replaced_in_use_is_said_each_time(void **state)
{
    fixture *f = *state;
    char other[160];

    snprintf(other, sizeof(other), "%s/other", f->folder);
    for (int i = 0; i < 3; i++) {
        pm_capture *c = create(f, SMALL);
        assert_int_equal(pm_capture_verify(c, NULL), APR_SUCCESS);
        if (i == 0) {
            unlink(f->path);
        }
        else {
            rename(f->path, other);
        }
        if (i == 2) {
            pm_capture_close(create(f, SMALL));
        }
        check_says(c, "deleted, moved or replaced");
        check_says(c, "deleted, moved or replaced");
        pm_capture_close(c);
    }
}

static void truncated_or_overwritten_file_is_mended_and_said_once(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    const off_t cuts[] = {0, 100, 5000, 100000};
    struct stat st;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(truncate(f->path, cuts[i]), 0);
        check_says(c, "truncated to");
        assert_int_equal(pm_capture_verify(c, NULL), APR_SUCCESS);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_size, pm_capture_size(&SMALL));
        put_event(c, i, PM_EV_NOTE, 0);
        pm_capture_close(reopen(f));
    }
    assert_int_equal(pwrite(pm_capture_fd(c), "xxxx", 4, 4100), 4);
    check_says(c, "overwritten by another program");
    assert_int_equal(pm_capture_verify(c, NULL), APR_SUCCESS);
}

static void process_without_permission_on_the_folder_can_verify(void **state)
{
    fixture *f = *state;

    if (geteuid() != 0) {
        skip();
    }
    pm_capture *c = create(f, SMALL);
    progress *p = share();
    chmod(f->folder, 0700);
    if (fork_child(f) == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            pm_capture_verify(c, &f->err) != APR_SUCCESS) {
            _exit(1);
        }
        p->tick = 1;
        while (!p->stop) {
            usleep(1000);
        }
        _exit(pm_capture_verify(c, &f->err) == APR_ENOENT ? 0 : 2);
    }
    while (p->tick == 0 && kill(f->child, 0) == 0 && waitpid(f->child, NULL, WNOHANG) == 0) {
        usleep(1000);
    }
    unlink(f->path);
    p->stop = 1;
    assert_int_equal(end_child(f, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(reader_beside_a_writer_reads_only_whole_records),
        CASE(turning_rings_are_read_without_a_false_damage),
        CASE(killed_writer_loses_only_what_was_in_flight),
        CASE(lock_waits_no_longer_than_it_may),
        CASE(events_of_many_processes_are_numbered_without_gap_or_double),
        CASE(lost_note_of_the_rings_end_is_found_again),
        CASE(end_behind_a_lost_block_is_found_by_looking_at_every_block),
        CASE(torn_event_is_skipped_and_its_number_not_used_again),
        CASE(blocks_of_two_torn_events_are_not_put_together),
        CASE(file_deleted_moved_or_replaced_in_use_is_said_each_time),
        CASE(truncated_or_overwritten_file_is_mended_and_said_once),
        CASE(process_without_permission_on_the_folder_can_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
