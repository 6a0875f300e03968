/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * retained.c: what the parent remembers across reloads, and how all of the module speaks.
 */
#include "retained.h"

#include "module.h"

#include <signal.h>
#include <unistd.h>

APLOG_USE_MODULE(pmcapture);

pm_glue pm = {.event_log = -1, .child = PM_NO_CHILD};
pm_global *pm_config;

#define FIRST_KEY "mod_pmcapture/1"

/** What the first edition has left: recorders that it had forked, and would have to send away. */
static void dismiss_first_edition(void)
{
    const struct {
        uint32_t size, started;
        pid_t parent, recorder[4], leaving[8];
    } *first = ap_retained_data_get(FIRST_KEY);

    for (int i = 0; first != NULL && first->parent == getpid() && i < 2; i++) {
        if (first->recorder[i] > 0) {
            kill(first->recorder[i], SIGTERM);
        }
    }
}

pm_retained *pm_retained_get(void)
{
    pm_retained *kept = ap_retained_data_get(PM_RETAINED_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(PM_RETAINED_KEY, sizeof(*kept));
        kept->size = sizeof(*kept);
        dismiss_first_edition();
        kept->channel = kept->control_fd = kept->ledger_fd = -1;
        kept->scoreboard_fd = kept->block_fd = kept->pages_fd = -1;
    }
    return kept;
}

void pm_say(server_rec *s, int level, const char *sentence)
{
    if (sentence[0] != '\0') {
        ap_log_error(APLOG_MARK, level, 0, s, "mod_pmcapture: %s", sentence);
    }
}
