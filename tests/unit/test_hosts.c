/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_hosts.c: which virtual host serves which Host, and when that changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pm_live.h"
#include "splitmix.h"

typedef struct table {
    pm_live live;
    char folder[64];
    uint32_t asked, from, since, hands;
    int named, full; /* what the answers are */
} table;

static int begin(void **state)
{
    static const uint8_t id[16] = {1};
    pm_live_geometry geo = pm_live_plan(1, 64, 8, 4);
    table *t = calloc(1, sizeof(*t));

    strcpy(t->folder, "/tmp/pmcapture-unit-XXXXXX");
    assert_non_null(mkdtemp(t->folder));
    assert_int_equal(pm_live_create(&t->live, t->folder, id, 1, &geo, -1, NULL), APR_SUCCESS);
    t->named = 1;
    *state = t;
    return 0;
}

static int end(void **state)
{
    table *t = *state;

    unlink(t->live.path);
    pm_live_detach(&t->live);
    rmdir(t->folder);
    free(t);
    return 0;
}

static int named(void *ctx)
{
    table *t = ctx;

    t->asked++;
    return t->named;
}

static int may_tell(void *ctx)
{
    return !((table *)ctx)->full;
}

static enum pm_hosts_result seen(table *t, const char *host, uint32_t vhost, uint32_t generation)
{
    uint64_t id = pm_hosts_id(&t->live, host, strlen(host), 80);

    return pm_hosts_usual(&t->live, id, vhost, generation)
               ? PM_HOSTS_LEARNT
               : pm_hosts_learn(&t->live, id, vhost, generation, t->hands, named, may_tell, t,
                                &t->from, &t->since);
}

static void learn(table *t, const char *host, uint32_t vhost, uint32_t generation)
{
    for (uint32_t i = 0; i < PM_HOST_SURE; i++) {
        assert_int_equal(seen(t, host, vhost, generation), PM_HOSTS_LEARNT);
    }
}

static int usual(table *t, const char *host, uint32_t vhost, uint32_t generation)
{
    return pm_hosts_usual(&t->live, pm_hosts_id(&t->live, host, strlen(host), 80), vhost,
                          generation);
}

static void a_host_that_changes_hands_after_a_reload_is_told_once(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_MOVED);
    assert_int_equal(t->from, 1);
    assert_int_equal(t->since, 5);
    learn(t, "api", 2, 6);
    assert_true(usual(t, "api", 2, 6));
    assert_int_equal(seen(t, "api", 1, 7), PM_HOSTS_MOVED);
    assert_int_equal(t->from, 2);
}

static void a_host_that_no_name_matches_any_more_is_told_also_at_the_same_virtual_host(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    learn(t, "www", 1, 5);
    t->named = 0;
    assert_int_equal(seen(t, "api", 1, 6), PM_HOSTS_UNNAMED);
    assert_int_equal(seen(t, "www", 2, 6), PM_HOSTS_UNNAMED);
    assert_int_equal(seen(t, "api", 1, 6), PM_HOSTS_LEARNT);
    assert_int_equal(seen(t, "api", 1, 7), PM_HOSTS_LEARNT);
}

static void a_reload_that_moves_nothing_tells_nothing_and_asks_once(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    t->asked = 0;
    for (uint32_t generation = 6; generation < 10; generation++) {
        assert_int_equal(seen(t, "api", 1, generation), PM_HOSTS_LEARNT);
        assert_true(usual(t, "api", 1, generation));
        assert_int_equal(seen(t, "api", 1, generation), PM_HOSTS_LEARNT);
    }
    assert_int_equal(t->asked, 4);
}

static void what_was_hardly_seen_has_not_moved(void **state)
{
    table *t = *state;

    seen(t, "api", 1, 5);
    seen(t, "api", 1, 5);
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_LEARNT);
}

static void a_host_served_by_two_under_one_configuration_tells_nothing(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    assert_int_equal(seen(t, "api", 2, 5), PM_HOSTS_LEARNT);
    learn(t, "api", 1, 5);
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_LEARNT);
    assert_int_equal(seen(t, "api", 1, 6), PM_HOSTS_LEARNT);
}

static void a_process_of_the_last_generation_moves_nothing_back(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_MOVED);
    assert_int_equal(seen(t, "api", 1, 5), PM_HOSTS_LEARNT);
    learn(t, "api", 2, 6);
    assert_int_equal(seen(t, "api", 1, 5), PM_HOSTS_LEARNT);
    assert_true(usual(t, "api", 2, 6));
}

static void another_virtual_host_under_the_same_number_is_another_one(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    t->hands = 6;
    assert_int_equal(seen(t, "api", 1, 6), PM_HOSTS_MOVED);
    assert_int_equal(t->since, 5);
    learn(t, "api", 1, 6);
    assert_int_equal(seen(t, "api", 1, 7), PM_HOSTS_LEARNT);
}

static void a_move_that_cannot_be_told_now_is_told_later(void **state)
{
    table *t = *state;

    learn(t, "api", 1, 5);
    t->full = 1;
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_LEARNT);
    t->full = 0;
    assert_int_equal(seen(t, "api", 2, 6), PM_HOSTS_MOVED);
}

static void a_million_made_up_hosts_displace_none_that_is_known(void **state)
{
    table *t = *state;
    char host[32];

    for (int i = 0; i < 300; i++) {
        snprintf(host, sizeof(host), "site%d.example", i);
        learn(t, host, 1, 5);
    }
    t->named = 0;
    learn(t, "192.0.2.1", 1, 5); /* nor one that was known before them */
    for (int i = 0; i < 1000000; i++) {
        snprintf(host, sizeof(host), "made-up-%d", i / 4);
        seen(t, host, 1, 5);
    }
    assert_true(usual(t, "192.0.2.1", 1, 5));
    t->named = 1;
    for (int i = 0; i < 300; i++) {
        snprintf(host, sizeof(host), "site%d.example", i);
        assert_int_equal(seen(t, host, 2, 6), PM_HOSTS_MOVED);
    }
}

static void names_of_long_ago_make_room(void **state)
{
    table *t = *state;
    char host[32];
    int moved = 0;

    for (uint32_t generation = 1; generation < 8; generation += 2) {
        for (int i = 0; i < 4000; i++) {
            snprintf(host, sizeof(host), "g%u-%d", generation, i);
            learn(t, host, 1, generation);
        }
    }
    for (int i = 0; i < 4000; i++) {
        snprintf(host, sizeof(host), "g7-%d", i);
        moved += seen(t, host, 2, 8) == PM_HOSTS_MOVED;
    }
    assert_true(moved > 500);
}

static void scribbled_entries_crash_nobody(void **state)
{
    table *t = *state;
    uint64_t seed = 5, *words = (void *)t->live.hosts;
    char host[32];

    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < sizeof(*t->live.hosts) / 8; i++) {
            words[i] = splitmix_next(&seed);
        }
        for (int i = 0; i < 1000; i++) {
            snprintf(host, sizeof(host), "h%d", i);
            seen(t, host, (uint32_t)i % 4, (uint32_t)splitmix_next(&seed));
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_host_that_changes_hands_after_a_reload_is_told_once),
        CASE(a_host_that_no_name_matches_any_more_is_told_also_at_the_same_virtual_host),
        CASE(a_reload_that_moves_nothing_tells_nothing_and_asks_once),
        CASE(what_was_hardly_seen_has_not_moved),
        CASE(a_host_served_by_two_under_one_configuration_tells_nothing),
        CASE(a_process_of_the_last_generation_moves_nothing_back),
        CASE(another_virtual_host_under_the_same_number_is_another_one),
        CASE(a_move_that_cannot_be_told_now_is_told_later),
        CASE(a_million_made_up_hosts_displace_none_that_is_known),
        CASE(names_of_long_ago_make_room),
        CASE(scribbled_entries_crash_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
