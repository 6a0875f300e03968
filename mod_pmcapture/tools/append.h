/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * append.h: what pmdump writes into a capture file that is there: a person's note, systemd's word that the service
 * has failed.
 */
#ifndef PM_APPEND_H
#define PM_APPEND_H

#include <stdint.h>

#include <apr_pools.h>

#include "pm_error.h"

typedef struct pm_addition {
    const char *note;           /* NULL = none */
    const char *service_result; /* "RESULT CODE STATUS" as systemd gives them; NULL = none */
    const char *unit;
    uint64_t at_us;    /* of the note; 0 = now */
    uint64_t incident; /* that the note belongs to; 0 = none */
    int maintenance;   /* it announces that */
} pm_addition;

/** Add it to the file, and print the event as one line of JSON; nothing when there was nothing to add. */
apr_status_t pm_add(const pm_addition *add, const char *file, apr_pool_t *pool, pm_error *err);

#endif
