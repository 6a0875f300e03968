/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_watch.h: files that the server needs, or that change what it serves: gone, replaced, edited?
 *
 * What is watched stands in a pm_watch_table, made with each load. The recorder looks at each path every two seconds, in a
 * thread: a look may hang for ever on a dead network file system. The tick takes what was seen without waiting,
 * judges it, and says what differs from what was said last. A look that hangs for PM_WATCH_STUCK_US costs its thread:
 * its file system is set aside, and another thread goes on.
 *
 * "Permission denied" is no "missing": what the recorder may not look at, a helper that the parent forks
 * (pm_watch_help) looks at as root.
 *
 * Across reloads nothing is said twice: the new generation's recorder takes over what the last one has said.
 *
 * Thread and process safety: only the lease holder's tick writes what is not _Atomic; the paths below `count` never
 * change.
 */
#ifndef PM_WATCH_H
#define PM_WATCH_H

#include "pm_fold.h"
#include "pm_watch_table.h"

typedef struct pm_watch pm_watch;

/** Take up the watch, once the lease is ours, after pm_fold_begin. `previous` is the last generation's table or NULL.
 *  NULL without memory. */
pm_watch *pm_watch_begin(pm_watch_table *t, const pm_watch_table *previous, pm_fold *f, apr_pool_t *pool);
/** Look no more. A look that hangs goes on in its thread: the table stays mapped until pm_watch_free says so. */
void pm_watch_end(pm_watch *w);
/** 1: no thread looks any more, and `w` is freed. 0: ask again. */
int pm_watch_free(pm_watch *w);
/** Take what was seen, say what changed, keep the threads going. Never waits. */
void pm_watch_tick(pm_watch *w, pm_fold *f, uint64_t now_us, uint64_t monotonic_us);
/** A failing request has read this .htaccess file. `path` is foreign. */
void pm_watch_htaccess(pm_watch *w, const char *path);

/** One look's meaning, as the tick does it. */
void pm_watch_judge(pm_watch_table *t, uint32_t number, const pm_look *look, pm_fold *f, uint64_t now_us,
                    uint64_t monotonic_us);
/** Say which configuration files have begun to differ from what runs, or ended: one event each. */
void pm_watch_say_drift(pm_watch_table *t, pm_fold *f, uint64_t now_us);
/** Take over what the last generation's recorder has said; without one (`previous` NULL), what the capture file has. */
void pm_watch_take_over(pm_watch_table *t, const pm_watch_table *previous, pm_fold *f, apr_pool_t *pool);
/** How many are missing now. */
uint32_t pm_watch_missing(const pm_watch_table *t);

#endif
