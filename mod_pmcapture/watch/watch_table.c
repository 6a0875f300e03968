/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_table.c: the table of watched paths.
 */
#include <string.h>
#include <sys/stat.h>

#include "pm_hash.h"
#include "pm_text.h"
#include "watch_private.h"

void pm_watch_table_init(pm_watch_table *t, uint64_t loaded_us)
{
    t->magic = PM_WATCH_MAGIC;
    t->size = sizeof(*t);
    t->loaded_us = loaded_us;
}

static uint64_t key_of(enum pm_watch_kind kind, const char *path)
{
    return XXH3_64bits_withSeed(path, strlen(path), (uint64_t)kind + 1);
}

int pm_watch_find(const pm_watch_table *t, enum pm_watch_kind kind, const char *path)
{
    uint64_t key = key_of(kind, path);
    uint32_t count = atomic_load(&t->count);

    for (uint32_t i = 0; i < count; i++) {
        if (t->at[i].key == key && t->at[i].kind == kind && strcmp(t->at[i].path, path) == 0) {
            return (int)i;
        }
    }
    return -1;
}

int pm_watch_put(pm_watch_table *t, enum pm_watch_kind kind, const char *path, const char *named_by)
{
    int known = pm_watch_find(t, kind, path);
    uint32_t count = atomic_load(&t->count);
    pm_watched *w = &t->at[count < PM_WATCH_MAX ? count : 0];

    if (known >= 0) {
        return known;
    }
    if (path[0] != '/' || strlen(path) >= sizeof(w->path) || count >= PM_WATCH_MAX) {
        t->dropped++;
        return -1;
    }
    strcpy(w->path, path);
    pm_text_clean(w->named_by, sizeof(w->named_by), named_by, 4 * sizeof(w->named_by));
    w->kind = kind;
    w->key = key_of(kind, path);
    atomic_store(&t->count, count + 1); /* last: what lies below it is complete */
    return (int)count;
}

void pm_watch_set_told(pm_watched *w, const pm_look *look)
{
    w->told = look->is;
    memcpy(w->link, look->link, sizeof(w->link));
    w->seen_us = look->at_us;
    w->state = PM_WATCH_SAYS_THERE;
}

void pm_watch_take(pm_watch_table *t, int number)
{
    pm_look look;

    if (number < 0) {
        return;
    }
    pm_watch_look(t->at[number].kind, t->at[number].path, NULL, &look);
    if (look.result == PM_LOOK_THERE) {
        t->at[number].running = look.is;
        pm_watch_set_told(&t->at[number], &look);
    }
}

int pm_watch_same(enum pm_watch_kind kind, const pm_identity *a, const pm_identity *b)
{
    int hashed = a->content != 0 && b->content != 0;

    if (a->ino == 0 || b->ino == 0) {
        return a->ino == b->ino;
    }
    if (kind == PM_WATCH_CONFIG || kind == PM_WATCH_PATTERN) {
        return hashed ? a->content == b->content : a->size == b->size && a->mtime_us == b->mtime_us;
    }
    if (a->dev != b->dev || a->ino != b->ino) {
        return 0;
    }
    if (S_ISDIR(b->mode)) {
        return hashed ? a->content == b->content : a->mtime_us == b->mtime_us;
    }
    return a->size == b->size && a->mtime_us == b->mtime_us;
}
