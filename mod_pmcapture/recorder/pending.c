/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pending.c: events of a tick, waiting in the ledger until they are on disk.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pm_fold.h"

void pm_fold_event(pm_fold *f, uint64_t at_us, uint32_t type, uint32_t severity, const char *data,
                   const char *format, ...)
{
    pm_ledger *s = f->state;
    pm_pending_event *e = &s->pending[s->pending_next % PM_PENDING_EVENTS];
    va_list args;

    if (s->pending_next - s->pending_first >= PM_PENDING_EVENTS) {
        s->checkpoint.events_lost++;
        return;
    }
    memset(e, 0, sizeof(*e));
    e->at_us = at_us;
    e->type = type;
    e->severity = severity;
    snprintf(e->data, sizeof(e->data), "%s", data != NULL ? data : "{}");
    va_start(args, format);
    vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
    s->pending_next++;
}
