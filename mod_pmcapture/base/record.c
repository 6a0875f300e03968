/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * record.c: the public names of the ways in which a backend fails.
 */
#include "pm_record.h"

static const struct {
    const char *key, *phrase;
} failures[PM_FAILURES] = {
    [PM_FAILURE_NONE] = {"unknown", "in an unknown way"},
    [PM_FAILURE_REFUSED] = {"refused", "refused"},
    [PM_FAILURE_TIMEOUT] = {"timeout", "timed out"},
    [PM_FAILURE_ANSWERED] = {"answered", "answered 5xx"},
    [PM_FAILURE_CLOSED] = {"closed", "closed before an answer"},
    [PM_FAILURE_NOT_TRIED] = {"not_tried", "not tried by httpd"},
    [PM_FAILURE_UNREACHABLE] = {"unreachable", "unreachable"},
    [PM_FAILURE_UNKNOWN] = {"unknown", "in an unknown way"},
};

const char *pm_failure_key(uint32_t failure)
{
    return failures[failure < PM_FAILURES ? failure : PM_FAILURE_UNKNOWN].key;
}

const char *pm_failure_phrase(uint32_t failure)
{
    return failures[failure < PM_FAILURES ? failure : PM_FAILURE_UNKNOWN].phrase;
}

uint64_t pm_failure_count(const pm_tally *backend, uint32_t failure)
{
    uint64_t known = 0;

    if (failure > PM_FAILURE_NONE && failure <= PM_WAYS) {
        return backend->ways[failure - PM_FAILURE_REFUSED];
    }
    for (uint32_t w = 0; w < PM_WAYS; w++) {
        known += backend->ways[w];
    }
    return known < backend->errors ? backend->errors - known : 0;
}
