/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * record.c: kinds of incidents, and the ways in which a backend fails.
 */
#include "pm_record.h"

#include "pm_text.h"

static const pm_kind_fact kinds[PM_KINDS] = {
#define PM_KIND(constant, name, words, meaning) {name, words, meaning},
    PM_INCIDENT_KINDS(PM_KIND)
#undef PM_KIND
};

const pm_kind_fact *pm_kind_fact_of(uint32_t number)
{
    return &kinds[number < PM_KINDS ? number : 0];
}

const pm_kind_fact *pm_kind_at(uint32_t set, int n)
{
    for (uint32_t number = 0; number < PM_KINDS; number++) {
        if ((set >> number & 1) && n-- == 0) {
            return &kinds[number];
        }
    }
    return NULL;
}

const char *pm_kind_words(uint32_t set, char out[PM_KIND_WORDS])
{
    const pm_kind_fact *kind;
    size_t used = 0;

    out[0] = '\0';
    for (int n = 0; (kind = pm_kind_at(set, n)) != NULL; n++) {
        pm_text_append(out, PM_KIND_WORDS, &used, "%s%s",
                       n == 0                           ? ""
                       : pm_kind_at(set, n + 1) == NULL ? " and "
                                                        : ", ",
                       kind->words);
    }
    return out;
}

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
