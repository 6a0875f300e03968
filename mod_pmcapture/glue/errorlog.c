/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * errorlog.c: lines of the error log, from warning up, counted by what they have in common.
 *
 * The hook runs in any thread of any process, in the parent perhaps in a signal handler: no lock, no memory, no
 * log. What CGI, FastCGI and PHP write comes this way, too. (What httpd says before it ends is refused.c's.)
 */
#include "glue.h"

#include <apr_strings.h>
#include <unistd.h>

#include "pm_time.h"

#define NOTE_AGAIN_US (60 * PM_SECOND) /* a critical line is an event once a minute */

/** "(111) AH00957: …": the system's error number goes before the message, as in the log. */
static void fill_line(char line[PM_KEY], const ap_errorlog_info *info, const char *message)
{
    size_t used = 0;

    if (info->status > 0 && info->status < APR_OS_START_ERROR) {
        used = (size_t)apr_snprintf(line, PM_KEY, "(%d) ", info->status);
    }
    pm_signature_mask(line + used, PM_KEY - used, message, strlen(message), pm_config->clients);
}

static const char *level_name(int level)
{
    return level <= APLOG_EMERG ? "emerg" : level == APLOG_ALERT ? "alert" : "crit";
}

/** A critical line is an event of its own; how often it came is in its count. */
static void note(const ap_errorlog_info *info, const char *message, uint32_t slot, uint64_t now)
{
    pm_live_note n = {
        .at_us = now, .type = PM_EV_ERROR_LOG, .severity = PM_CRITICAL, .pid = (uint32_t)getpid()};

    if (!pm_heavy_due(&pm.live, slot, now, NOTE_AGAIN_US) ||
        !pm_live_note_room(&pm.live, PM_NOTE_LINE)) {
        return;
    }
    fill_line(n.text, info, message);
    apr_snprintf(n.data, sizeof(n.data), "{\"level\":\"%s\",\"pid\":%u,\"count\":%u}",
                 level_name(info->level), n.pid, pm_heavy_errors(&pm.live, slot));
    pm_ring_write(&pm.live.journal, &n);
}

void pm_line_logged(const ap_errorlog_info *info, const char *message)
{
    unsigned number = pm_signature_number(info->format);
    uint32_t vhost, slot = PM_HEAVY_ALL;
    char key[PM_KEY] = "", line[PM_KEY];
    uint64_t group;

    pm_process_logged(message);
    if (pm.live.header == NULL || info->level < 0 || info->level > APLOG_WARNING ||
        info->module_index == pmcapture_module.module_index) {
        return;
    }
    pm_backend_heard(number, info->status);
    vhost = info->s != NULL ? pm_conf_of(info->s)->vhost : 0;
    if (number != 0) {
        group = pm_live_hash(&pm.live, &number, sizeof(number));
    }
    else {
        pm_signature_fold(key, sizeof(key), message, strlen(message));
        group = pm_live_hash(&pm.live, key, strlen(key));
    }
    slot = pm_heavy_find(&pm.live, PM_BY_ERROR_LOG, vhost, group);
    if (slot == PM_HEAVY_ALL) {
        if (number != 0) {
            pm_signature_fold(key, sizeof(key), message, strlen(message));
        }
        fill_line(line, info, message);
        slot = pm_heavy_claim(&pm.live, PM_BY_ERROR_LOG, vhost, group, key, line, pm_time_now());
    }
    pm_heavy_count(&pm.live, slot, 1, PM_FAILURE_NONE);
    if (info->level <= APLOG_CRIT) {
        note(info, message, slot, pm_time_now());
    }
}
