/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * query.c: what a reader asks for, as parameters of a page and options of pmdump say it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pm_source.h"
#include "pm_time.h"

static apr_status_t set_view(pm_query *q, const char *value, pm_error *err)
{
    static const struct {
        const char *name;
        uint32_t view;
    } views[] = {{"summary", PM_VIEW_SUMMARY},
                 {"incidents", PM_VIEW_INCIDENTS},
                 {"events", PM_VIEW_EVENTS},
                 {"series", PM_VIEW_SERIES}};

    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        if (strcmp(value, views[i].name) == 0) {
            q->view = views[i].view;
            q->told = q->view == PM_VIEW_SUMMARY ? PM_TELL_OPEN : PM_TELL_ALL;
            return APR_SUCCESS;
        }
    }
    return pm_fail(err, APR_EINVAL, "view must be summary, incidents, events or series");
}

static int whole_number(const char *value, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;

    if (value[0] < '0' || value[0] > '9') {
        return 0;
    }
    errno = 0;
    *out = strtoull(value, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

apr_status_t pm_query_set(pm_query *q, const char *key, const char *value, uint64_t now_us,
                          pm_error *err)
{
    uint64_t n;

    if (strcmp(key, "view") == 0) {
        return set_view(q, value, err);
    }
    if (strcmp(key, "since") == 0 || strcmp(key, "until") == 0) {
        uint64_t *to = key[0] == 's' ? &q->since_us : &q->until_us;

        if (!pm_time_parse(value, now_us, to)) {
            return pm_fail(err, APR_EINVAL,
                           "%s must be a time such as 2026-11-20T21:30:05Z, or -15m from now", key);
        }
        return APR_SUCCESS;
    }
    if (strcmp(key, "incident") == 0) {
        if (!whole_number(value, 1, UINT64_MAX - 1, &n)) {
            return pm_fail(err, APR_EINVAL, "incident must be the number of an incident, from 1");
        }
        q->incident = n;
        return APR_SUCCESS;
    }
    if (strcmp(key, "refresh") == 0) {
        if (!whole_number(value, 1, 86400, &n)) {
            return pm_fail(err, APR_EINVAL, "refresh must be a number of seconds from 1 to 86400");
        }
        q->refresh = (uint32_t)n;
        return APR_SUCCESS;
    }
    return APR_ENOTIMPL;
}
