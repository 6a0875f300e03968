/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_error.h: a status and the sentence that goes with it.
 *
 * Functions that can fail return an apr_status_t and fill a pm_error where the fact is known:
 * what failed, on which file or value, what to do. Callers pass it up unchanged. `text` is valid
 * only when the status is not APR_SUCCESS. Passing NULL is allowed everywhere.
 */
#ifndef PM_ERROR_H
#define PM_ERROR_H

#include <apr_errno.h>

typedef struct pm_error {
    char text[512];
} pm_error;

/** Fill `err` (may be NULL) and return `rv`. A "%s"-style system message is not added by itself. */
apr_status_t pm_fail(pm_error *err, apr_status_t rv, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** As pm_fail, with ": <strerror of rv>" appended. */
apr_status_t pm_fail_os(pm_error *err, apr_status_t rv, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
