/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_capture.c: what is put into a capture file comes out of it.
 */
#include "capture_case.h"

#include "splitmix.h"

static void default_sizes_fit_64_mib(void **state)
{
    (void)state;
    uint64_t size = pm_capture_size(&PM_RETENTION_DEFAULT);
    print_message("default file: %llu bytes, memory form: %llu bytes\n", (unsigned long long)size,
                  (unsigned long long)pm_capture_size(&PM_RETENTION_MEMORY));
    assert_true(size <= 64ull << 20);
}

static void new_file_is_whole_private_and_reserved(void **state)
{
    fixture *f = *state;
    struct stat st;

    pm_capture *c = create(f, PM_RETENTION_DEFAULT);
    assert_string_equal(f->notice, "");
    assert_int_equal(fstat(pm_capture_fd(c), &st), 0);
    assert_int_equal(st.st_size, pm_capture_size(&PM_RETENTION_DEFAULT));
    assert_true(st.st_blocks * 512 >= st.st_size);
    assert_int_equal(st.st_mode & 0777 & ~0640, 0);
    assert_true(fcntl(pm_capture_fd(c), F_GETFD) & FD_CLOEXEC);
    assert_int_equal(files(f), 1);
    pm_capture *r = reopen(f);
    assert_string_equal(pm_capture_id_text(r), pm_capture_id_text(c));
    assert_int_equal(pm_capture_damage(r).records, 0);
    assert_int_equal(pm_capture_damage(r).missing_bytes, 0);
}

static void checkpoint_comes_back_and_the_newest_counts(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_checkpoint *cp = apr_pcalloc(f->pool, sizeof(*cp)),
                  *got = apr_pcalloc(f->pool, sizeof(*got));

    assert_int_equal(pm_capture_checkpoint(c, got), APR_NOTFOUND);
    for (uint64_t tick = 1; tick < 6; tick++) {
        cp->tick = tick;
        cp->totals.status[100] = tick * 10;
        cp->totals.hist[PM_HIST_BUCKETS - 1] = UINT64_MAX;
        cp->consumed[PM_RUNS - 1].totals.max_us = 17;
        strcpy(cp->server.mpm, "event");
        assert_int_equal(pm_capture_put_checkpoint(c, cp), APR_SUCCESS);
        assert_int_equal(pm_capture_checkpoint(reopen(f), got), APR_SUCCESS);
        assert_memory_equal(cp, got, sizeof(*cp));
    }
}

static void checkpoint_of_any_content_comes_back(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_checkpoint *cp = apr_pcalloc(f->pool, sizeof(*cp)),
                  *got = apr_pcalloc(f->pool, sizeof(*got));
    uint64_t *words = (uint64_t *)&cp->totals;

    for (size_t step = 1; step < 40; step++) {
        memset(words, 0, sizeof(cp->totals) + sizeof(cp->consumed));
        for (size_t i = 0; i < (sizeof(cp->totals) + sizeof(cp->consumed)) / 8; i++) {
            words[i] = i % step == 0 || step == 39 ? ~i : 0;
        }
        assert_int_equal(pm_capture_put_checkpoint(c, cp), APR_SUCCESS);
        assert_int_equal(pm_capture_checkpoint(c, got), APR_SUCCESS);
        assert_memory_equal(cp, got, sizeof(*cp));
    }
}

static void rows_come_back_in_order_and_the_oldest_give_way(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_row *rows;
    size_t count;

    for (uint64_t tick = 1; tick <= 150; tick++) {
        pm_row row = row_at(tick);
        assert_int_equal(pm_capture_put_second(c, &row), APR_SUCCESS);
    }
    assert_int_equal(pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, f->pool), APR_SUCCESS);
    assert_int_equal(count, 60);
    for (size_t i = 0; i < count; i++) {
        pm_row want = row_at(91 + i);
        assert_memory_equal(&rows[i], &want, sizeof(want));
    }
    pm_capture_seconds(c, T0 + 100 * 1000000, T0 + 103 * 1000000, &rows, &count, f->pool);
    assert_int_equal(count, 3);
    assert_int_equal(rows[0].tick, 100);
}

static void minutes_come_back_by_their_time(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_row *rows;
    size_t count;

    for (uint64_t m = 1; m <= 100; m++) {
        pm_row row = row_at(m * 60);
        row.span_us = 60000000;
        assert_int_equal(pm_capture_put_minute(c, &row), APR_SUCCESS);
    }
    pm_capture_minutes(c, 0, UINT64_MAX, &rows, &count, f->pool);
    assert_int_equal(count, 60);
    assert_int_equal(rows[0].tick, 41 * 60);
    assert_int_equal(rows[59].tick, 100 * 60);
}

static void events_of_every_length_come_back_whole(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, ((pm_retention){60, 60, 4, 1024, 4, 0}));
    const size_t lengths[] = {0, 8, 900, 960, 976, 977, 1900, 4000, 65535, 65536};
    char *data = apr_palloc(f->pool, PM_EVENT_DATA + 64);
    pm_event *events;
    size_t count;

    for (size_t i = 0; i < 10; i++) {
        put_event(c, i, PM_EV_CONFIG_CHANGED, lengths[i]);
    }
    put_event(c, 10, PM_EV_CONFIG_CHANGED, PM_EVENT_DATA + 1);
    assert_int_equal(pm_capture_events(reopen(f), 0, UINT64_MAX, &events, &count, f->pool),
                     APR_SUCCESS);
    assert_int_equal(count, 11);
    for (size_t i = 0; i < 11; i++) {
        pm_event want = event_number(i, PM_EV_CONFIG_CHANGED, data, lengths[i < 10 ? i : 0]);
        assert_int_equal(events[i].seq, i + 1);
        assert_string_equal(events[i].text, want.text);
        assert_string_equal(events[i].data, i == 10 ? "{\"truncated\":true}"
                                            : want.data
                                                ? apr_pstrmemdup(f->pool, want.data, want.data_len)
                                                : "{}");
        assert_int_equal(events[i].data_len, strlen(events[i].data));
    }
    pm_capture_events(c, T0 + 3000, T0 + 5000, &events, &count, f->pool);
    assert_int_equal(count, 2);
}

static void event_too_long_for_its_ring_keeps_its_sentence(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_event *events;
    size_t count;

    put_event(c, 1, PM_EV_ERROR_LOG, 20000);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 1);
    assert_string_equal(events[0].text, "event 1");
    assert_string_equal(events[0].data, "{\"truncated\":true}");
}

static void flood_displaces_no_core_event(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_event *events;
    size_t count;

    put_event(c, 1, PM_EV_CONFIG_CHANGED, 3000);
    put_event(c, 2, PM_EV_SERVER_START, 0);
    for (uint64_t n = 3; n < 5000; n++) {
        assert_int_equal(pm_capture_events_since(c) == 0, n <= 3 + 16);
        put_event(c, n, n % 2 ? PM_EV_ERROR_LOG : PM_EV_CHILD_CRASH, n % 900);
    }
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(events[0].seq, 1);
    assert_int_equal(events[1].seq, 2);
    assert_int_equal(count, 2 + 16);
    assert_int_equal(events[count - 1].seq, 4999);
    assert_int_equal(pm_capture_events_since(c), events[2].at_us);
    assert_int_equal(pm_capture_events_since(reopen(f)), events[2].at_us);
    assert_int_equal(pm_capture_damage(c).records, 0);
}

static void events_survive_many_turns_of_the_ring(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    char *data = apr_palloc(f->pool, PM_EVENT_DATA);
    pm_event *events;
    size_t count;

    for (uint64_t n = 1; n <= 2000; n++) {
        put_event(c, n, PM_EV_NOTE, n * 37 % 9000);
        pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
        assert_true(count >= 4 || count == n);
        for (size_t i = 0; i < count; i++) {
            uint64_t number = n - count + 1 + i;
            pm_event want = event_number(number, PM_EV_NOTE, data, number * 37 % 9000);
            assert_int_equal(events[i].seq, number);
            if (want.data) {
                assert_int_equal(events[i].data_len, want.data_len);
                assert_memory_equal(events[i].data, want.data, want.data_len);
            }
        }
        if (n % 100 == 0) {
            pm_capture_close(c);
            apr_pool_clear(f->pool);
            c = create(f, SMALL);
            data = apr_palloc(f->pool, PM_EVENT_DATA);
        }
    }
    assert_int_equal(pm_capture_damage(c).records, 0);
}

static void seq_goes_on_over_reopening(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);

    for (int round = 0; round < 5; round++) {
        pm_event e = event_number(1, PM_EV_NOTE, NULL, 0);
        assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
        assert_int_equal(e.seq, round + 1);
        assert_int_equal(pm_capture_last_event(reopen(f)), round + 1);
        pm_capture_close(c);
        c = create(f, SMALL);
        assert_string_equal(f->notice, "");
    }
}

static void incidents_and_samples_come_back_and_the_oldest_give_way(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_incident **got;
    pm_sample *samples, *kept;
    size_t count;

    for (uint64_t id = 1; id <= 11; id++) {
        for (int again = 0; again < 3; again++) {
            pm_incident *i = incident_number(f, id, (uint32_t)(id % 5), &samples);
            i->open = again < 2;
            i->requests = (uint64_t)again;
            assert_int_equal(pm_capture_put_incident(c, i, samples), APR_SUCCESS);
        }
    }
    c = reopen(f);
    assert_int_equal(pm_capture_incidents(c, &got, &count, f->pool), APR_SUCCESS);
    assert_int_equal(count, 4);
    for (size_t n = 0; n < count; n++) {
        pm_incident *want = incident_number(f, n + 8, (uint32_t)((n + 8) % 5), &samples);
        want->requests = 2;
        assert_memory_equal(got[n], want, sizeof(*want));
        pm_capture_samples(c, got[n], &kept, &count, f->pool);
        assert_int_equal(count, (n + 8) % 5);
        assert_memory_equal(kept, samples, count * sizeof(*kept));
        count = 4;
    }
}

static void incident_outside_its_room_is_refused(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);

    assert_int_equal(put_incident(f, c, 0, 0), APR_EINVAL);
    assert_int_equal(put_incident(f, c, 1, 5), APR_EINVAL);
}

static void pinned_seconds_outlive_the_ring_until_their_incident_goes(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_row *rows;
    size_t count;

    put_incident(f, c, 1, 0);
    for (uint64_t tick = 1; tick <= 500; tick++) {
        pm_row row = row_at(tick);
        pm_capture_put_second(c, &row);
        if (tick >= 30 && tick <= 70) {
            assert_int_equal(pm_capture_pin(c, 1, 0, T0 + 20 * 1000000, T0 + 60 * 1000000),
                             APR_SUCCESS);
        }
        if (tick == 110) {
            assert_int_equal(pm_capture_pin(c, 1, 1, T0 + 100 * 1000000, T0 + 1000000000),
                             APR_SUCCESS);
        }
    }
    pm_capture_seconds(c, 0, T0 + 400 * 1000000, &rows, &count, f->pool);
    assert_int_equal(count, 40 + 11);
    for (size_t i = 0; i < count; i++) {
        pm_row want = row_at(i < 40 ? 20 + i : 60 + i);
        assert_memory_equal(&rows[i], &want, sizeof(want));
    }
    put_incident(f, c, 5, 0);
    pm_capture_seconds(c, 0, T0 + 400 * 1000000, &rows, &count, f->pool);
    assert_int_equal(count, 0);
    pm_capture_pin(c, 5, 0, T0 + 490 * 1000000, T0 + 1000000000);
    pm_row later = row_at(1000);
    pm_capture_put_second(c, &later);
    pm_capture_pin(c, 5, 0, T0 + 900 * 1000000, T0 + 2000000000);
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, f->pool);
    assert_int_equal(rows[0].tick, 441);
    assert_int_equal(rows[count - 1].tick, 1000);
}

static void second_in_ring_and_pinned_is_given_once(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_row *rows;
    size_t count;

    put_incident(f, c, 1, 0);
    for (uint64_t tick = 1; tick <= 50; tick++) {
        pm_row row = row_at(tick);
        pm_capture_put_second(c, &row);
    }
    pm_capture_pin(c, 1, 0, T0, T0 + 100000000);
    pm_capture_pin(c, 1, 1, T0, T0 + 100000000);
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, f->pool);
    assert_int_equal(count, 50);
}

/* Bytes that this process has read from files. */
static uint64_t bytes_read(void)
{
    unsigned long long n = 0;
    FILE *io = fopen("/proc/self/io", "r");

    assert_non_null(io);
    assert_int_equal(fscanf(io, "rchar: %llu", &n), 1);
    fclose(io);
    return n;
}

static void events_since_a_number_are_found_from_the_end_of_the_rings(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_event *all, *since;
    size_t count, found;

    for (uint64_t n = 1; n <= 400; n++) {
        put_event(c, n, n % 3 ? PM_EV_NOTE : PM_EV_ERROR_LOG, n % 7 ? 20 : n * 5);
        uint64_t seq = n - splitmix_hash(n) % (n < 30 ? n : 30) - 1;

        pm_capture_events(c, 0, UINT64_MAX, &all, &count, f->pool);
        while (count > 0 && all->seq <= seq) { /* their times are in order of their numbers here */
            all++;
            count--;
        }
        pm_capture_events_after(c, seq, &since, &found, f->pool);
        assert_int_equal(found, count);
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(since[i].seq, all[i].seq);
            assert_string_equal(since[i].data, all[i].data);
        }
    }
    pm_capture_events_after(c, 400, &since, &found, f->pool);
    assert_int_equal(found, 0);
}

static void events_since_a_number_cost_what_came_and_not_what_is_kept(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, (pm_retention){60, 60, 4, 8192, 4, 0});
    uint64_t cost[2];
    pm_event *since;
    size_t found;

    for (uint64_t n = 1; n <= 3000; n++) {
        put_event(c, n, n % 2 ? PM_EV_NOTE : PM_EV_ERROR_LOG, 20);
        if (n == 100 || n == 3000) {
            uint64_t before = bytes_read();
            pm_capture_events_after(c, n - 3, &since, &found, f->pool);
            assert_int_equal(found, 3);
            cost[n == 3000] = bytes_read() - before;
        }
    }
    assert_in_range(cost[1], 1, cost[0] + 100);
}

/* Random kinds, lengths and times, now and then one that is told late. */
static void put_random_event(pm_capture *c, uint64_t n)
{
    static char data[6000];
    uint64_t r = splitmix_hash(n);
    pm_event e = event_number(n, (uint32_t)(1 + r % (PM_EV_TYPES - 1)), data, 20 + r / 32 % 1500);

    if (r % 11 == 0) {
        e.at_us -= r / 1024 % 300 * 1000;
    }
    assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
}

static void events_around_a_time_are_these_and_the_oldest_and_what_always_counts(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, (pm_retention){60, 60, 4, 300, 4, 0});
    const uint32_t ever = 1u << PM_EV_NOTE | 1u << PM_EV_FILE_CHANGED;

    for (uint64_t n = 1; n <= 900; n++) {
        pm_event *all, *some, *last;
        size_t count, found, latest, at = 0;
        uint64_t from = T0 + (n - n % 50) * 1000;

        put_random_event(c, n);
        if (n % 9 != 0) {
            continue;
        }
        pm_capture_events(c, 0, UINT64_MAX, &all, &count, f->pool);
        pm_capture_latest_events(c, n % 20, &last, &latest, f->pool);
        pm_capture_events_around(c, from, ever, n % 20, &some, &found, f->pool);
        for (size_t i = 0; i < count; i++) {
            int is_latest = 0;

            for (size_t k = 0; k < latest; k++) {
                is_latest |= last[k].seq == all[i].seq;
            }
            int is_there = at < found && some[at].seq == all[i].seq;
            if (i == 0 || all[i].at_us >= from || (ever >> all[i].type & 1) || is_latest) {
                assert_true(is_there);
                assert_string_equal(some[at].data, all[i].data);
            }
            at += (size_t)is_there;
        }
        assert_int_equal(at, found); /* each once, in order */
    }
}

static enum pm_part by_number(void *ctx, const pm_incident *figures)
{
    (void)ctx;
    return (enum pm_part)(figures->id % 3);
}

static void incident_comes_whole_or_as_figures_or_not_as_is_chosen(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, (pm_retention){60, 60, 9, 64, 4, 0});
    pm_incident **whole, **some;
    size_t count, found, at = 0;

    for (uint64_t id = 1; id <= 14; id++) {
        put_incident(f, c, id, (uint32_t)(id % 4));
        put_incident(f, c, id, (uint32_t)(id % 3));
    }
    pm_capture_incidents(c, &whole, &count, f->pool);
    pm_capture_incidents_of(c, by_number, NULL, &some, &found, f->pool);
    assert_int_equal(count, 9);
    assert_int_equal(found, 6);
    for (size_t i = 0; i < count; i++) {
        enum pm_part part = by_number(NULL, whole[i]);

        if (part != PM_PART_NONE) {
            assert_memory_equal(some[at++], whole[i],
                                part == PM_PART_WHOLE ? sizeof(**whole) : PM_INCIDENT_FIGURES);
        }
    }
}

static void seconds_around_a_time_are_the_latest_and_the_pinned_that_reach_it(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_row *rows;
    size_t count;

    for (uint64_t tick = 1; tick <= 400; tick++) {
        pm_row row = row_at(tick);

        pm_capture_put_second(c, &row);
        if (tick % 100 == 50) { /* 41..50, 141..150, 241..250, 341..350 */
            put_incident(f, c, tick / 100 + 1, 0);
            pm_capture_pin(c, tick / 100 + 1, 0, T0 + (tick - 9) * 1000000, UINT64_MAX);
        }
    }
    pm_capture_seconds_around(c, 400, 20, T0 + 245 * 1000000, &rows, &count, f->pool);
    assert_int_equal(count, 10 + 10 + 10 + 20);
    assert_int_equal(rows[0].tick, 141);
    assert_int_equal(rows[10].tick, 241);
    assert_int_equal(rows[20].tick, 341);
    assert_int_equal(rows[30].tick, 381);
    assert_int_equal(rows[49].tick, 400);
    pm_capture_seconds_around(c, 400, 60, T0 + 345 * 1000000, &rows, &count, f->pool);
    assert_int_equal(count, 10 + 60);
    assert_int_equal(rows[9].tick, 250);
    assert_int_equal(rows[10].tick, 341);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_sizes_fit_64_mib),
        cmocka_unit_test_setup_teardown(new_file_is_whole_private_and_reserved, begin, end),
        cmocka_unit_test_setup_teardown(checkpoint_comes_back_and_the_newest_counts, begin, end),
        cmocka_unit_test_setup_teardown(checkpoint_of_any_content_comes_back, begin, end),
        cmocka_unit_test_setup_teardown(rows_come_back_in_order_and_the_oldest_give_way, begin,
                                        end),
        cmocka_unit_test_setup_teardown(minutes_come_back_by_their_time, begin, end),
        cmocka_unit_test_setup_teardown(events_of_every_length_come_back_whole, begin, end),
        cmocka_unit_test_setup_teardown(event_too_long_for_its_ring_keeps_its_sentence, begin, end),
        cmocka_unit_test_setup_teardown(flood_displaces_no_core_event, begin, end),
        cmocka_unit_test_setup_teardown(events_survive_many_turns_of_the_ring, begin, end),
        cmocka_unit_test_setup_teardown(seq_goes_on_over_reopening, begin, end),
        cmocka_unit_test_setup_teardown(incidents_and_samples_come_back_and_the_oldest_give_way,
                                        begin, end),
        cmocka_unit_test_setup_teardown(incident_outside_its_room_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(pinned_seconds_outlive_the_ring_until_their_incident_goes,
                                        begin, end),
        cmocka_unit_test_setup_teardown(second_in_ring_and_pinned_is_given_once, begin, end),
        cmocka_unit_test_setup_teardown(events_since_a_number_are_found_from_the_end_of_the_rings,
                                        begin, end),
        cmocka_unit_test_setup_teardown(events_since_a_number_cost_what_came_and_not_what_is_kept,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            events_around_a_time_are_these_and_the_oldest_and_what_always_counts, begin, end),
        cmocka_unit_test_setup_teardown(incident_comes_whole_or_as_figures_or_not_as_is_chosen,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            seconds_around_a_time_are_the_latest_and_the_pinned_that_reach_it, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
