/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * retained.c: what the parent remembers across reloads, and how all of the module speaks.
 */
#include "retained.h"

#include "module.h"

APLOG_USE_MODULE(pmcapture);

pm_retained *pm_retained_get(void)
{
    pm_retained *kept = ap_retained_data_get(PM_RETAINED_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(PM_RETAINED_KEY, sizeof(*kept));
        kept->size = sizeof(*kept);
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
