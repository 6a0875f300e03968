/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * events.c: events that the parent writes itself, and what it says is not recorded.
 */
#include "module.h"

#include <apr_strings.h>

#include "pm_time.h"
#include "retained.h"
#include "service.h"

APLOG_USE_MODULE(pmcapture);

#define LOCK_WAIT_US 200000u
#define HANG_US (5 * PM_SECOND) /* an fsync of a busy disk takes less */

/** Something is not recorded: the error log says it now, /pm-status as long as it lasts. */
void pm_trouble(server_rec *s, const char *sentence)
{
    apr_cpystrn(pm.trouble, sentence, sizeof(pm.trouble));
    pm_say(s, APLOG_CRIT, sentence);
}

/** A recorder has been waiting for the disk so long that the parent, and with it the whole server, would wait, too? One
 *  that is in the kernel cannot leave when it is told to, either. */
int pm_disk_hangs(void)
{
    const pm_retained *kept = pm_retained_get();
    const pm_control *control = kept->control.base;
    uint64_t writing = control != NULL && pm_control_valid(control, kept->control.size)
                           ? atomic_load(&control->writing_us)
                           : 0;

    /* One that died as it wrote has left that mark, until its successor's first tick. */
    return writing != 0 && pm_time_monotonic() > writing + HANG_US && pm_recorder_is_there();
}

/** The file is locked for long: the recorder writes it down when it can, without data that is too long. */
static void hand_over(const pm_event *e)
{
    uint64_t number;
    pm_live_note *note;

    if (pm.control == NULL) {
        return;
    }
    number = atomic_load(&pm.control->handed);
    note = &pm.control->hand[number % PM_HANDED_KEPT];
    pm_live_note_fill(note, e);
    atomic_store(&pm.control->handed, number + 1);
}

void pm_write_event(const pm_event *event)
{
    pm_event e = *event;

    e.run = pm.live.run;
    if (pm.capture == NULL) {
        return;
    }
    if (pm_disk_hangs() || pm_capture_lock(pm.capture, LOCK_WAIT_US) != APR_SUCCESS) {
        hand_over(&e); /* httpd waits for this process */
        return;
    }
    pm_capture_put_event(pm.capture, &e);
    pm_capture_unlock(pm.capture);
}
