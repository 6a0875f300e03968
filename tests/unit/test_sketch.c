/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_sketch.c: distinct clients, estimated.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pm_sketch.h"
#include "splitmix.h"

typedef _Atomic uint8_t sketch[PM_SKETCH_SIZE];

static void clear(sketch s)
{
    memset((void *)s, 0, PM_SKETCH_SIZE);
}

/* The hashes from .. to - 1 of a seed; all distinct. */
static void add_range(sketch s, uint64_t seed, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        pm_sketch_add(s, splitmix_hash(seed << 40 ^ i));
    }
}

static double count(sketch s)
{
    return pm_sketch_count((const uint8_t *)s);
}

/* Four thirds of the stated error are four standard errors: every estimate keeps it. The root mean square over the
 * seeds is a third of the stated error, the standard one. Few clients are told apart but for two that meet in one register. */
static void from_1_to_1000000_clients_no_estimate_is_off_by_much_more_than_is_stated(void **state)
{
    enum { SEEDS = 48, POINTS = 20 };
    static const uint64_t points[POINTS] = {1,     2,     3,      5,      10,     20,     50,
                                            100,   200,   500,    1000,   2000,   5000,   10000,
                                            20000, 50000, 100000, 200000, 500000, 1000000};
    const double standard_error = PM_SKETCH_ERROR / 3;
    double sum[POINTS] = {0}, squares[POINTS] = {0}, most = 0;
    sketch s;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        clear(s);
        for (int i = 0; i < POINTS; i++) {
            double n = (double)points[i], off;

            add_range(s, seed, i > 0 ? points[i - 1] : 0, points[i]);
            off = count(s) - n;
            assert_true(fabs(off) <= fmax(4.0 / 3 * PM_SKETCH_ERROR * n, 1));
            most = n > 50 ? fmax(most, fabs(off) / n) : most;
            sum[i] += off / n;
            squares[i] += off / n * off / n;
        }
    }
    print_message("more than 50 clients: none off by more than %.4f\n", most);
    for (int i = 0; i < POINTS; i++) {
        double mean = sum[i] / SEEDS, rms = sqrt(squares[i] / SEEDS);

        print_message("%7lu: mean %+.4f, root mean square %.4f\n", (unsigned long)points[i], mean,
                      rms);
        assert_true(rms <= (points[i] < 100 ? 1.5 : 1.25) * standard_error);
        assert_true(fabs(mean) <= 3 * standard_error / sqrt(SEEDS));
    }
}

static void up_to_five_clients_are_told_apart(void **state)
{
    int wrong = 0;
    sketch s;

    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        clear(s);
        assert_true(count(s) == 0);
        for (uint64_t n = 1; n <= 5; n++) {
            add_range(s, seed, n - 1, n);
            add_range(s, seed, 0, n); /* seen before: changes nothing */
        }
        wrong += (int)(count(s) + 0.5) != 5;
    }
    print_message("five were not told as five: %d times in 1000\n", wrong);
    assert_true(wrong <= 15); /* two of five in one of 2048 registers: 4.9 times in 1000 */
}

static void the_union_of_the_parts_is_the_whole(void **state)
{
    uint8_t merged[PM_SKETCH_SIZE] = {0};
    sketch whole, part;

    (void)state;
    clear(whole);
    add_range(whole, 9, 0, 30000);
    for (uint64_t i = 0; i < 10; i++) { /* parts overlap */
        clear(part);
        add_range(part, 9, i * 3000, i * 3000 + 3000);
        add_range(part, 9, 0, 100 * i);
        pm_sketch_merge(merged, (const uint8_t *)part);
    }
    assert_memory_equal(merged, (const void *)whole, PM_SKETCH_SIZE);
    assert_true(pm_sketch_count(merged) == count(whole));
}

static void what_was_stored_is_loaded_as_it_was(void **state)
{
    uint8_t registers[PM_SKETCH_SIZE], loaded[PM_SKETCH_SIZE], stored[PM_SKETCH_STORED];
    sketch s;

    (void)state;
    for (uint32_t i = 0; i < PM_SKETCH_SIZE; i++) { /* every rank at every place among four */
        registers[i] = (uint8_t)(i / 5 % 64);
    }
    pm_sketch_store(stored, registers);
    pm_sketch_load(loaded, stored);
    assert_memory_equal(loaded, registers, sizeof(registers));
    clear(s);
    add_range(s, 17, 0, 100000);
    pm_sketch_store(stored, (const uint8_t *)s);
    pm_sketch_load(loaded, stored);
    assert_memory_equal(loaded, (const void *)s, sizeof(loaded));
}

static sketch shared;

static void *add_a_part(void *part)
{
    for (uint64_t i = (uintptr_t)part; i < 200000; i += 4) {
        pm_sketch_add(shared, splitmix_hash(i));
    }
    return NULL;
}

static void writers_at_the_same_time_lose_nothing(void **state)
{
    pthread_t threads[4];
    sketch alone;

    (void)state;
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_a_part, (void *)i), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    clear(alone);
    add_range(alone, 0, 0, 200000);
    assert_memory_equal((const void *)shared, (const void *)alone, PM_SKETCH_SIZE);
}

static void damaged_registers_give_a_number_within_bounds(void **state)
{
    enum { MAX_RANK = 64 - PM_SKETCH_BITS + 1 };
    uint8_t registers[PM_SKETCH_SIZE], capped[PM_SKETCH_SIZE], stored[PM_SKETCH_STORED];
    uint64_t seed = 3;

    (void)state;
    for (int value = 0; value <= 255; value++) {
        double n;

        memset(registers, value, sizeof(registers));
        n = pm_sketch_count(registers);
        assert_true(n >= 0 && n <= PM_SKETCH_MAX);
    }
    assert_true(pm_sketch_count(registers) == PM_SKETCH_MAX);
    for (int round = 0; round < 200; round++) {
        double n;

        for (size_t i = 0; i < sizeof(registers); i++) {
            registers[i] = (uint8_t)splitmix_next(&seed);
            if (round % 2) { /* a few bad ones among good ones */
                registers[i] = i < 5 ? registers[i] : registers[i] % 4;
            }
            capped[i] = registers[i] < MAX_RANK ? registers[i] : MAX_RANK;
        }
        n = pm_sketch_count(registers);
        assert_true(n >= 0 && n <= PM_SKETCH_MAX);
        assert_true(n == pm_sketch_count(capped));
        pm_sketch_store(stored, registers);
        pm_sketch_load(capped, stored);
        assert_true(n == pm_sketch_count(capped));
    }
}

static void the_error_of_a_share_is_more_than_is_usually_seen(void **state)
{
    static const double shares[] = {0.05, 0.3, 0.5, 0.75, 0.95};
    enum { SEEDS = 200, TOTAL = 20000 };

    (void)state;
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        uint64_t affected = (uint64_t)(shares[i] * TOTAL);
        double stated = pm_sketch_share_error((double)affected, TOTAL);
        double squares = 0, seen;
        sketch hit, all;

        for (uint64_t seed = 1000; seed < 1000 + SEEDS; seed++) {
            double off;

            clear(hit);
            clear(all);
            add_range(hit, seed, 0, affected);
            add_range(all, seed, 0, TOTAL);
            off = count(hit) / count(all) - shares[i];
            squares += off * off;
        }
        seen = sqrt(squares / SEEDS);
        print_message("share %.2f: stated %.4f, seen %.4f\n", shares[i], stated, seen);
        assert_true(seen < stated / 2); /* a third of it is the standard error */
        assert_true(seen > stated / 5);
    }
}

static void a_share_without_doubt_has_no_error(void **state)
{
    (void)state;
    assert_true(pm_sketch_share_error(0, 0) == 0);
    assert_true(pm_sketch_share_error(0, 10) == 0);
    assert_true(pm_sketch_share_error(10, 10) == 0);
    assert_true(pm_sketch_share_error(11, 10) == 0);
    assert_true(pm_sketch_share_error(5, 0) == 0);
    assert_true(pm_sketch_share_error(-5, 10) == 0);
    assert_true(pm_sketch_share_error(NAN, 10) == 0);
    assert_true(pm_sketch_share_error(5, NAN) == 0);
    assert_true(pm_sketch_share_error(5, INFINITY) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_1_to_1000000_clients_no_estimate_is_off_by_much_more_than_is_stated),
        cmocka_unit_test(up_to_five_clients_are_told_apart),
        cmocka_unit_test(the_union_of_the_parts_is_the_whole),
        cmocka_unit_test(what_was_stored_is_loaded_as_it_was),
        cmocka_unit_test(writers_at_the_same_time_lose_nothing),
        cmocka_unit_test(damaged_registers_give_a_number_within_bounds),
        cmocka_unit_test(the_error_of_a_share_is_more_than_is_usually_seen),
        cmocka_unit_test(a_share_without_doubt_has_no_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
