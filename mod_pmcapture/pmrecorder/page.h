/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * page.h: a question in, a reply out: what /pm-status and PMCaptureListen answer.
 */
#ifndef PM_PAGE_H
#define PM_PAGE_H

#include <stddef.h>

#include "pm_capture.h"
#include "pm_source.h"

/** What is asked. Strings may be NULL. */
typedef struct pm_question {
    const char
        *path; /* "/metrics" asks for metrics, "/mod_status" for a section of mod_status's page */
    const char *query;  /* as it came, escaped */
    const char *accept; /* the header */
} pm_question;

typedef struct pm_reply {
    unsigned status; /* of HTTP */
    const char *type;
    char *body; /* malloc; the receiver frees it */
    size_t length;
} pm_reply;

/** Answer from a capture file that may be written meanwhile, by this process too. `capture` NULL: nothing is recorded, for
 *  the reason that `source->trouble` gives. Never fails: without memory the reply has none. */
void pm_page_answer(pm_reply *reply, const pm_question *asked, pm_capture *capture,
                    const pm_source *source, apr_pool_t *pool);

#endif
