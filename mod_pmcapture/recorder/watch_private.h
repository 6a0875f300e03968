/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_private.h: what the parts of the watch hand to each other.
 *
 *   watch.c         the table, what a look means, what one generation takes over from the last
 *   watch_look.c    one look at a path, and the helper's looks
 *   watch_tell.c    what was seen as events: sentence and data
 *   watch_thread.c  the threads that look, and what the tick does with it
 */
#ifndef PM_WATCH_PRIVATE_H
#define PM_WATCH_PRIVATE_H

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
/** What was missing is not watched any more. `begin`: its {"path":"...". */
void pm_watch_tell_unneeded(pm_fold *f, const char *begin, size_t length, uint64_t now_us);
void pm_watch_tell_changed(pm_fold *f, const pm_watch_news *n);
/** Of `count` files, `which` (in the table) are named as far as there is room. */
void pm_watch_tell_drift(pm_fold *f, const pm_watch_table *t, const uint32_t *which, uint32_t count,
                         int resolved, uint64_t now_us, uint64_t since_us);
void pm_watch_tell_aside(pm_fold *f, const pm_watched *what, uint64_t now_us);
/** The beginning of the data of an event about this path: {"path":"...". */
void pm_watch_path_data(const char *path, char out[2 * PM_WATCH_PATH]);

/** The same file with the same content, as far as this kind goes. */
int pm_watch_same(enum pm_watch_kind kind, const pm_identity *a, const pm_identity *b);

/** What the helper saw last; 0 = nothing yet. */
int pm_watch_helped(const pm_watched *what, pm_look *out);

#endif
