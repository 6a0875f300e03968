/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * errorlog.c: lines of the error log, from warning up, counted by what they have in common.
 *
 * The hook runs in any thread of any process, in the parent perhaps in a signal handler: no lock, no memory, no
 * log. What CGI, FastCGI and PHP write comes this way, too. (What httpd says before it ends is refused.c's.)
 */
#include "watch.h"

#include <apr_strings.h>
#include <unistd.h>

#include "pm_time.h"

#define NOTE_AGAIN_US (60 * PM_SECOND) /* a critical line is an event once a minute */
#define LAST_NOTES 32u

/* ---- what error numbers mean ---- */

#define WORDS 56

/** The numbers of the system, and APR's own errors and statuses. */
static const struct {
    int from, count;
} numbers[] = {{1, 133}, {APR_OS_START_ERROR + 1, 30}, {APR_OS_START_STATUS + 1, 30}};

/** Looked up beforehand: a signal handler cannot. */
static char words[133 + 30 + 30][WORDS];

void pm_lines_prepare(void)
{
    char(*at)[WORDS] = words;

    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
        for (int i = 0; i < numbers[n].count; i++, at++) {
            apr_strerror(numbers[n].from + i, *at, WORDS);
            if (strcmp(*at, "Error string not specified yet") == 0) {
                (*at)[0] = '\0';
            }
        }
    }
}

/** "" when there is nothing to say. */
static const char *words_of(apr_status_t status)
{
    const char(*at)[WORDS] = words;

    for (size_t n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++) {
        if (status >= numbers[n].from && status < numbers[n].from + numbers[n].count) {
            return at[status - numbers[n].from];
        }
        at += numbers[n].count;
    }
    return "";
}

/* ---- lines ---- */

/** "(111)Connection refused: AH00957: …": number and words go before the message, as in the log. */
static void fill_line(char line[PM_KEY], const ap_errorlog_info *info, const char *message)
{
    const char *meaning = words_of(info->status);
    size_t used = 0;

    if (meaning[0] != '\0') {
        used = (size_t)apr_snprintf(line, PM_KEY, "(%d)%s: ", info->status, meaning);
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
    pm_live_note n;
    pm_draft d;

    if (!pm_heavy_due(&pm.live, slot, now, NOTE_AGAIN_US) ||
        !pm_live_note_room(&pm.live, PM_NOTE_LINE)) {
        return;
    }
    pm_draft_begin(&d, PM_EV_ERROR_LOG, now);
    pm_draft_text(&d, "level", level_name(info->level));
    pm_draft_count(&d, "pid", (uint64_t)getpid());
    pm_draft_count(&d, "count", pm_heavy_errors(&pm.live, slot));
    fill_line(d.event.text, info, message);
    pm_live_note_fill(&n, pm_draft_close(&d));
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
    if (info->level == APLOG_ALERT && info->r != NULL && number == 0) {
        pm_htaccess_broken(info->r, message);
    }
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

/** Only what may end the whole server: critical lines of a request's are no last words. */
static int is_last_word(const pm_live_note *n)
{
    pm_event e = {
        .type = n->type, .data = n->data, .data_len = (uint32_t)strnlen(n->data, sizeof(n->data))};
    pm_json_value level = pm_event_value(&e, "level");

    return n->type == PM_EV_ERROR_LOG &&
           (pm_json_is(level, "\"emerg\"") || pm_json_is(level, "\"alert\""));
}

int pm_last_words(uint64_t since_us, char out[PM_KEY])
{
    pm_live_note n;
    uint64_t lost, next, at;
    int found = 0;

    if (pm.live.header == NULL) {
        return 0;
    }
    next = atomic_load(&pm.live.journal.head->next);
    at = next > LAST_NOTES ? next - LAST_NOTES : 0;
    for (int i = 0; i < (int)LAST_NOTES && !found; i++) {
        enum pm_ring_result r = pm_ring_read(&pm.live.journal, &at, &n, 1, &lost);

        if (r == PM_RING_EMPTY) {
            break;
        }
        if (r == PM_RING_READ && n.at_us >= since_us && is_last_word(&n)) {
            n.text[sizeof(n.text) - 1] = '\0';
            pm_text_clean(out, PM_KEY, n.text, sizeof(n.text));
            found = 1;
        }
    }
    return found;
}
