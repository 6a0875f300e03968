/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_query.c: what a person types: the parameters of /pm-status and of pmdump, times, durations.
 */
#include "fuzz.h"

#include "pm_error.h"
#include "pm_source.h"
#include "pm_time.h"

#define NOW 1700000000000000ull

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static void take(const char *key, const char *value)
{
    pm_query q = PM_QUERY_ALL, before = q;
    pm_error err = {""};
    apr_status_t rv = pm_query_set(&q, key, value, NOW, &err);

    fuzz_expect(rv == APR_SUCCESS || rv == APR_ENOTIMPL || rv == APR_EINVAL, "a known answer");
    fuzz_expect(rv != APR_EINVAL || is_clean(err.text, strlen(err.text), ""),
                "what is said of a bad value is clean text");
    fuzz_expect(rv != APR_EINVAL || err.text[0] != '\0', "a bad value is told");
    fuzz_expect(rv == APR_SUCCESS || memcmp(&q, &before, sizeof(q)) == 0,
                "what is refused changes nothing");
    fuzz_expect(q.view <= PM_VIEW_ALL, "the view is a known one");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"view", "since", "until", "incident", "refresh"};
    feed f = {data, data + size};
    uint8_t which = (uint8_t)feed_number(&f, 1);
    char key[32], shown[PM_TIME_SIZE];
    uint64_t us = 1;

    feed_text(&f, key, sizeof(key));
    char *value = feed_rest(&f);
    take(which < 5 ? keys[which] : key, value);
    if (pm_time_parse(value, NOW, &us)) {
        fuzz_expect(us <= PM_TIME_MAX, "a time can be shown");
        fuzz_expect(strlen(pm_time_format(us, shown)) == 24, "and is");
    }
    else {
        fuzz_expect(us == 1, "what is no time changes nothing");
    }
    us = 1;
    if (!pm_time_duration(value, &us)) {
        fuzz_expect(us == 1, "what is no duration changes nothing");
    }
    pm_time_span(us, shown);
    free(value);
    return 0;
}
