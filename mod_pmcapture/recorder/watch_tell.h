/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_tell.h: what was seen of a watched path, as events (watch_tell.c).
 */
#ifndef PM_WATCH_TELL_H
#define PM_WATCH_TELL_H

#include "pm_watch.h"

/** What an event is to say. */
typedef struct pm_watch_news {
    const pm_watch_table *table;
    const pm_watched *what;
    const pm_look *look;
    uint64_t now_us;
    uint64_t since_us; /* when it happened, 0 = not known better than "now" */
} pm_watch_news;

void pm_watch_tell_missing(pm_fold *f, const pm_watch_news *n);
void pm_watch_tell_back(pm_fold *f, const pm_watch_news *n);
/** What was missing is not watched any more. */
void pm_watch_tell_unneeded(pm_fold *f, const char *path, uint64_t now_us);
void pm_watch_tell_changed(pm_fold *f, const pm_watch_news *n);
/** Of `count` files, `which` (in the table) are named as far as there is room. */
void pm_watch_tell_drift(pm_fold *f, const pm_watch_table *t, const uint32_t *which, uint32_t count,
                         int resolved, uint64_t now_us, uint64_t since_us);
void pm_watch_tell_aside(pm_fold *f, const pm_watched *what, uint64_t now_us);

#endif
