/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_values.c: the directives' values. What is accepted lies within what is promised.
 */
#include "fuzz.h"

#include "pm_time.h"
#include "pm_values.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static int is_share(double n)
{
    return n > 0 && n <= 1; /* not NaN either */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    char *arg = feed_rest(&f);
    pm_burst_rule burst = {10, 10, 60, 0, 0.05, 0.5};
    pm_slow_rule slow = {1, 20, 30, 60, 5 * PM_SECOND, 0.20};
    pm_retention keep = PM_RETENTION_DEFAULT;
    uint32_t set = 0, n;
    double share;

    if (pm_value_burst(arg, &burst, &set)) {
        fuzz_expect(burst.errors >= 1 && burst.window >= 1 && burst.window <= PM_WINDOW_MAX &&
                        burst.clear >= 1 && burst.clear <= 86400,
                    "a burst's numbers are in range");
        fuzz_expect(is_share(burst.ratio) && is_share(burst.clients), "its shares are shares");
    }
    if (pm_value_slow(arg, &slow, &set)) {
        fuzz_expect(slow.requests >= 1 && slow.window >= 1 && slow.window <= PM_WINDOW_MAX &&
                        slow.clear >= 1 && slow.clear <= 86400 && slow.threshold_us >= 1000,
                    "a latency rule's numbers are in range");
        fuzz_expect(is_share(slow.ratio), "its share is a share");
    }
    if (pm_value_retention(arg, &keep)) {
        fuzz_expect(pm_capture_size(&keep) < 1ull << 48, "a file of that size can be");
    }
    fuzz_expect(!pm_value_number32(arg, 3, 7, &n) || (n >= 3 && n <= 7), "a number in its range");
    fuzz_expect(!pm_value_percent(arg, &share) || is_share(share), "a percentage is a share");
    free(arg);
    return 0;
}
