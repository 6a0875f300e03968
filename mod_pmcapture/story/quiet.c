/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * quiet.c: an incident that is open while nothing fails.
 *
 * It stays open for the rule's `clear` seconds: whoever looks then must read that it may be over. A state that lasts is not.
 */
#include <stdarg.h>
#include <string.h>

#include <apr_strings.h>

#include "pm_story.h"
#include "pm_time.h"

#define WORTH_SAYING_US (3 * PM_SECOND) /* a tick, and what is answered within one */

static void add(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(char *out, const char *format, ...)
{
    apr_size_t used = strlen(out);
    va_list args;

    va_start(args, format);
    apr_vsnprintf(out + used, PM_STORY_QUIET - used, format, args);
    va_end(args);
}

static const char *verb(uint32_t kinds)
{
    if ((kinds & PM_KIND_SLOW) == 0) {
        return "failed";
    }
    return kinds == PM_KIND_SLOW ? "were slow" : "failed or were slow";
}

uint64_t pm_story_quiet(const pm_model *m, const pm_incident *i, char out[PM_STORY_QUIET])
{
    uint64_t now = m->server.heartbeat_us, us = now > i->end_us ? now - i->end_us : 0;
    char span[PM_TIME_SIZE], clear[PM_TIME_SIZE];

    out[0] = '\0';
    if (!i->open || i->states != 0 || i->clear_s == 0 || m->state != PM_STATE_RUNNING ||
        us < WORTH_SAYING_US) {
        return 0;
    }
    pm_time_span(us, span);
    if ((i->kinds & PM_KIND_UNSERVED) && !(i->kinds & PM_KIND_ERRORS)) {
        if (i->served_since_end == 0) {
            add(out, "nobody has come for %s: it stays open until clients are served", span);
            return us;
        }
        add(out, "clients have been served for %s", span);
    }
    else if (i->since_end == 0) {
        add(out, "nothing has %s for %s",
            (i->kinds & PM_KIND_SLOW) == 0 ? "failed"
            : i->kinds == PM_KIND_SLOW     ? "been slow"
                                           : "failed or been slow",
            span);
    }
    else {
        add(out, "only %u %s in the last %s, too few to prolong it", i->since_end, verb(i->kinds),
            span);
    }
    if (i->served_since_end == 0) {
        add(out, ", but no request has succeeded since either: it stays open until one does");
    }
    else if (us < i->clear_s * PM_SECOND) {
        add(out, " (closes after %s)", pm_time_span(i->clear_s * PM_SECOND, clear));
    }
    else {
        add(out, " (closes as soon as its rule no longer holds)");
    }
    return us;
}
