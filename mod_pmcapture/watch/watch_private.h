/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_private.h: what the parts of the watch hand to each other.
 */
#ifndef PM_WATCH_PRIVATE_H
#define PM_WATCH_PRIVATE_H

#include "pm_watch_table.h"

/** The same file with the same content, as far as this kind goes. */
int pm_watch_same(enum pm_watch_kind kind, const pm_identity *a, const pm_identity *b);

/** What the helper saw last; 0 = nothing yet. */
int pm_watch_helped(const pm_watched *what, pm_look *out);

/** Its number, -1 = it is not watched. */
int pm_watch_find(const pm_watch_table *t, enum pm_watch_kind kind, const char *path);
/** It is there, and that is said. */
void pm_watch_set_told(pm_watched *w, const pm_look *look);

#endif
