/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_hist.c: the latency histogram.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pm_hist.h"
#include "splitmix.h"

static void every_duration_from_100_us_to_100_s_is_within_a_sixteenth_of_its_middle(void **state)
{
    uint64_t worst_us = 0;
    double worst = 0;

    (void)state;
    for (uint64_t us = 100; us <= 100000000; us++) {
        uint64_t middle = pm_hist_middle(pm_hist_bucket(us));
        uint64_t off = middle > us ? middle - us : us - middle;

        if ((double)off / (double)us > worst) {
            worst = (double)off / (double)us;
            worst_us = us;
        }
    }
    print_message("worst: %.4f %% at %lu us\n", worst * 100, (unsigned long)worst_us);
    assert_true(worst <= 1.0 / 16);
}

static void the_buckets_cover_every_duration_once_and_in_order(void **state)
{
    (void)state;
    assert_int_equal(pm_hist_lower(0), 0);
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        uint64_t upper = pm_hist_upper(b);

        assert_true(pm_hist_lower(b) < upper);
        assert_int_equal(pm_hist_bucket(pm_hist_lower(b)), b);
        assert_int_equal(pm_hist_bucket(upper - 1), b);
        assert_int_equal(pm_hist_bucket(pm_hist_middle(b)), b);
        if (b + 1 < PM_HIST_BUCKETS) {
            assert_int_equal(upper, pm_hist_lower(b + 1));
        }
    }
    assert_int_equal(pm_hist_upper(PM_HIST_BUCKETS - 1), UINT64_MAX);
    assert_int_equal(pm_hist_bucket(UINT64_MAX), PM_HIST_BUCKETS - 1);
}

static void an_index_out_of_range_is_taken_as_the_last_bucket(void **state)
{
    (void)state;
    for (uint32_t b = PM_HIST_BUCKETS; b != 0; b *= 2) {
        assert_int_equal(pm_hist_lower(b), PM_HIST_MAX_US);
        assert_int_equal(pm_hist_upper(b), UINT64_MAX);
        assert_int_equal(pm_hist_middle(b), PM_HIST_MAX_US);
    }
    assert_int_equal(pm_hist_middle(UINT32_MAX), PM_HIST_MAX_US);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void quantiles_are_within_a_sixteenth_of_the_sorted_truth(void **state)
{
    static const double shares[] = {0, 0.001, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
    static uint64_t values[5000];
    uint64_t seed = 7;

    (void)state;
    for (size_t n = 1; n <= 5000; n = n * 3 / 2 + 1) {
        uint64_t counts[PM_HIST_BUCKETS] = {0};

        for (size_t i = 0; i < n; i++) { /* even over the logarithm */
            uint64_t octave = 7 + splitmix_next(&seed) % 20;

            values[i] = (1ull << octave) + splitmix_next(&seed) % (1ull << octave);
            counts[pm_hist_bucket(values[i])]++;
        }
        qsort(values, n, sizeof(values[0]), by_size);
        for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
            size_t rank = (size_t)ceil(shares[i] * (double)n);
            uint64_t truth = values[rank > 0 ? rank - 1 : 0];
            uint64_t got = pm_hist_quantile(counts, shares[i]);

            assert_true((got > truth ? got - truth : truth - got) * 16 <= truth);
        }
        assert_int_equal(pm_hist_total(counts), n);
    }
}

static void the_ends_are_reported_as_what_stands_for_them(void **state)
{
    uint64_t counts[PM_HIST_BUCKETS] = {0};

    (void)state;
    assert_int_equal(pm_hist_quantile(counts, 0.5), 0);
    counts[pm_hist_bucket(0)] = 1;
    counts[pm_hist_bucket(UINT64_MAX)] = 1;
    assert_int_equal(pm_hist_quantile(counts, 0.5), 32);
    assert_int_equal(pm_hist_quantile(counts, 0.51), PM_HIST_MAX_US);
    assert_int_equal(pm_hist_quantile(counts, -1), 32);
    assert_int_equal(pm_hist_quantile(counts, NAN), 32);
    assert_int_equal(pm_hist_quantile(counts, 2), PM_HIST_MAX_US);
    assert_int_equal(pm_hist_quantile(counts, INFINITY), PM_HIST_MAX_US);
}

static void damaged_counts_saturate(void **state)
{
    uint64_t counts[PM_HIST_BUCKETS];

    (void)state;
    memset(counts, 0xFF, sizeof(counts));
    assert_int_equal(pm_hist_total(counts), UINT64_MAX);
    assert_int_equal(pm_hist_quantile(counts, 0.5), 32);
    assert_int_equal(pm_hist_quantile(counts, 1), 32);
    memset(counts, 0, sizeof(counts));
    counts[0] = UINT64_MAX / 2;
    counts[1] = UINT64_MAX / 2 + 3;
    assert_int_equal(pm_hist_total(counts), UINT64_MAX);
    assert_int_equal(pm_hist_quantile(counts, 1), pm_hist_middle(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_from_100_us_to_100_s_is_within_a_sixteenth_of_its_middle),
        cmocka_unit_test(the_buckets_cover_every_duration_once_and_in_order),
        cmocka_unit_test(an_index_out_of_range_is_taken_as_the_last_bucket),
        cmocka_unit_test(quantiles_are_within_a_sixteenth_of_the_sorted_truth),
        cmocka_unit_test(the_ends_are_reported_as_what_stands_for_them),
        cmocka_unit_test(damaged_counts_saturate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
