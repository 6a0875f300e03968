/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pending.c: events of a tick, waiting in the ledger until they are on disk.
 */
#include <string.h>

#include "pm_check.h"
#include "pm_fold.h"
#include "pm_text.h"

void pm_fold_event(pm_fold *f, const pm_event *e)
{
    pm_ledger *s = f->state;
    pm_pending_event *to = &s->pending[s->pending_next % PM_PENDING_EVENTS];
    const char *data = e->data_len < sizeof(to->data) ? e->data : PM_DATA_CUT;

    PM_CHECK(s->pending_next - s->pending_first <= PM_PENDING_EVENTS);
    if (s->pending_next - s->pending_first >= PM_PENDING_EVENTS) {
        s->checkpoint.events_lost++;
        return;
    }
    memset(to, 0, sizeof(*to));
    to->at_us = e->at_us;
    to->type = e->type;
    to->severity = e->severity;
    memcpy(to->data, data, strlen(data));
    memcpy(to->text, e->text, sizeof(to->text));
    s->pending_next++;
}
