/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_load.c: what a load of the configuration took anew besides the configuration: shared objects, certificates.
 */
#include <stdio.h>
#include <string.h>

#include "pm_text.h"
#include "pm_time.h"
#include "watch_private.h"

static const pm_watched *same_path(const pm_watch_table *t, const pm_watched *w)
{
    uint32_t count = atomic_load(&t->count);

    for (uint32_t i = 0; i < count && i < PM_WATCH_MAX; i++) {
        if (t->at[i].key == w->key && t->at[i].kind == w->kind &&
            strcmp(t->at[i].path, w->path) == 0) {
            return &t->at[i];
        }
    }
    return NULL;
}

/** Does httpd have another file of that name now than before? Where one of the two was not seen, nobody knows; of what
 *  is mapped from a file without a name the inode's number is all that is known. */
static int is_other(const pm_watched *w, const pm_watched *was)
{
    const pm_identity *a = &w->running, *b = was != NULL ? &was->running : NULL;

    if (b == NULL || a->ino == 0 || b->ino == 0) {
        return 0;
    }
    return a->mode == 0 || b->mode == 0 ? a->ino != b->ino : !pm_watch_same(w->kind, b, a);
}

size_t pm_watch_loaded(pm_watch_table *t, const pm_watch_table *previous, pm_watch_file *files,
                       size_t most)
{
    uint32_t count = atomic_load(&t->count);
    size_t found = 0;

    if (previous == NULL || previous->magic != PM_WATCH_MAGIC || previous->size != sizeof(*t)) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        pm_watched *w = &t->at[i];
        const pm_watched *was =
            w->kind == PM_WATCH_OBJECT || w->kind == PM_WATCH_KEY ? same_path(previous, w) : NULL;

        if (is_other(w, was)) {
            w->loaded = 1;
            if (found < most) {
                files[found] = (pm_watch_file){w, was};
            }
            found++;
        }
    }
    return found;
}

void pm_watch_carry(pm_watch_table *previous, const pm_watch_table *t)
{
    uint32_t count = atomic_load(&previous->count);

    if (previous->magic != PM_WATCH_MAGIC || previous->size != sizeof(*previous)) {
        return;
    }
    for (uint32_t i = 0; i < count && i < PM_WATCH_MAX; i++) {
        pm_watched *old = &previous->at[i];
        const pm_watched *w = same_path(t, old);

        if (w != NULL && w->loaded) {
            old->running = w->running;
            old->told = w->told;
            old->state = w->state;
        }
    }
}
