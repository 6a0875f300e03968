/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_diff.c: what differs between two snapshots.
 *
 * Each entry has a key: the hash of its container's key, its directive and its arguments. Entries with the same key
 * are matched one to one, in order; what is left on either side differs. Everything goes through hash tables: the time
 * grows with the number of entries, not with its square.
 */
#include "config_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pm_hash.h"

#define NONE UINT32_MAX

/* ---- key -> queue of numbers ---- */

typedef struct queues {
    uint64_t *keys;
    uint32_t *first; /* of the slot's queue; NONE = empty */
    uint32_t *next;  /* by number */
    uint8_t *taken;
    uint32_t mask;
} queues;

static void queues_make(queues *q, uint32_t slots, uint32_t numbers, apr_pool_t *pool)
{
    uint32_t room = 16;

    while (room < slots * 2 && room < (1u << 31)) {
        room *= 2;
    }
    q->mask = room - 1;
    q->keys = apr_palloc(pool, (size_t)room * sizeof(*q->keys));
    q->first = apr_palloc(pool, (size_t)room * sizeof(*q->first));
    q->next = apr_palloc(pool, ((size_t)numbers + 1) * sizeof(*q->next));
    q->taken = apr_pcalloc(pool, room);
}

static uint32_t slot_of(const queues *q, uint64_t key)
{
    uint32_t at = (uint32_t)(key ^ (key >> 32)) & q->mask;

    while (q->taken[at] && q->keys[at] != key) {
        at = (at + 1) & q->mask;
    }
    return at;
}

/** In front: fill from the last number to the first. */
static void queues_push(queues *q, uint64_t key, uint32_t number)
{
    uint32_t at = slot_of(q, key);

    q->next[number] = q->taken[at] ? q->first[at] : NONE;
    q->first[at] = number;
    q->keys[at] = key;
    q->taken[at] = 1;
}

static uint32_t queues_pop(queues *q, uint64_t key)
{
    uint32_t at = slot_of(q, key), number = q->taken[at] ? q->first[at] : NONE;

    if (number != NONE) {
        q->first[at] = q->next[number];
    }
    return number;
}

/** The queue's only number; NONE when it is empty or longer. */
static uint32_t queues_only(const queues *q, uint64_t key)
{
    uint32_t at = slot_of(q, key), number = q->taken[at] ? q->first[at] : NONE;

    return number != NONE && q->next[number] == NONE ? number : NONE;
}

static uint64_t join(uint64_t a, uint64_t b)
{
    uint64_t both[2] = {a, b};

    return XXH3_64bits(both, sizeof(both));
}

/* ---- containers ---- */

/** One side of the comparison. */
typedef struct side {
    const pm_snapshot *s;
    const pm_snapshot_container *containers;
    const pm_snapshot_entry *entries;
    uint64_t *keys;      /* of containers, their parents' included */
    uint64_t *same_kind; /* of containers without a label of their own */
    uint32_t *match;     /* of entries: the other side's number */
    uint8_t *inside;     /* containers that came or went with one around them, or themselves */
} side;

static void side_make(side *x, const pm_snapshot *s, apr_pool_t *pool)
{
    x->s = s;
    x->containers = pm_snapshot_containers(s);
    x->entries = pm_snapshot_entries(s);
    x->keys = apr_pcalloc(pool, s->container_count * sizeof(*x->keys));
    x->same_kind = apr_pcalloc(pool, s->container_count * sizeof(*x->same_kind));
    x->match = apr_palloc(pool, ((size_t)s->entry_count + 1) * sizeof(*x->match));
    x->inside = apr_pcalloc(pool, s->container_count);
    memset(x->match, 0xff, ((size_t)s->entry_count + 1) * sizeof(*x->match));
    for (uint32_t c = 1; c < s->container_count; c++) {
        uint64_t parent = x->keys[x->containers[c].parent];

        x->same_kind[c] = join(parent, x->containers[c].key);
        x->keys[c] = join(x->same_kind[c], x->containers[c].label_key);
    }
}

static uint64_t place_key(const side *x, uint32_t c)
{
    const char *file = pm_snapshot_text(x->s, x->containers[c].file);

    return join(join(x->same_kind[c], XXH3_64bits(file, strlen(file))), x->containers[c].line);
}

/** Which containers of `x`, of those at the top, have no namesake in `y`. */
static uint32_t *strangers(const side *x, const side *y, uint32_t *count, apr_pool_t *pool)
{
    uint32_t *list = apr_palloc(pool, x->s->container_count * sizeof(*list)), n = 0;
    queues q;

    queues_make(&q, y->s->container_count, y->s->container_count, pool);
    for (uint32_t c = y->s->container_count; c-- > 1;) {
        queues_push(&q, y->keys[c], c);
    }
    for (uint32_t c = 1; c < x->s->container_count; c++) {
        if (x->containers[c].parent == 0 && queues_pop(&q, x->keys[c]) == NONE) {
            list[n++] = c;
        }
    }
    *count = n;
    return list;
}

static void index_strangers(const side *x, const uint32_t *list, uint32_t count, queues *by_place,
                            queues *by_kind, apr_pool_t *pool)
{
    queues_make(by_place, count, x->s->container_count, pool);
    queues_make(by_kind, count, x->s->container_count, pool);
    for (uint32_t n = count; n-- > 0;) {
        queues_push(by_place, place_key(x, list[n]), list[n]);
        queues_push(by_kind, x->same_kind[list[n]], list[n]);
    }
}

/** A virtual host whose ServerName changed is known by its place, or because no other can be meant. It takes the old
 *  one's key, and so do the containers in it. */
static void recognise(const side *before, side *now, apr_pool_t *pool)
{
    uint32_t gone_count, came_count;
    uint32_t *gone = strangers(before, now, &gone_count, pool),
             *came = strangers(now, before, &came_count, pool);
    queues gone_place, gone_kind, came_place, came_kind;

    index_strangers(before, gone, gone_count, &gone_place, &gone_kind, pool);
    index_strangers(now, came, came_count, &came_place, &came_kind, pool);
    for (uint32_t n = 0; n < came_count; n++) {
        uint32_t old = queues_pop(&gone_place, place_key(now, came[n]));

        if (old == NONE && queues_only(&came_kind, now->same_kind[came[n]]) != NONE) {
            old = queues_only(&gone_kind, now->same_kind[came[n]]);
        }
        if (old != NONE) {
            now->keys[came[n]] = before->keys[old];
        }
    }
    for (uint32_t c = 1; came_count > 0 && c < now->s->container_count; c++) {
        uint32_t parent = now->containers[c].parent;

        if (parent != 0) {
            now->keys[c] =
                join(join(now->keys[parent], now->containers[c].key), now->containers[c].label_key);
        }
    }
}

/* ---- entries ---- */

static uint64_t entry_key(const side *x, uint32_t e)
{
    const pm_snapshot_entry *entry = &x->entries[e];

    /* The directive that opens a container goes by that one's key, its label included. */
    return entry->opens != 0 ? x->keys[entry->opens] : join(x->keys[entry->container], entry->key);
}

/** Match what is the same on both sides; what another of its kind overtook is counted, not a difference. */
static void match_entries(side *before, side *now, pm_config_diff *d, apr_pool_t *pool)
{
    queues q, latest;

    queues_make(&q, before->s->entry_count, before->s->entry_count, pool);
    queues_make(&latest, now->s->entry_count, 0, pool);
    for (uint32_t e = before->s->entry_count; e-- > 0;) {
        queues_push(&q, entry_key(before, e), e);
    }
    for (uint32_t e = 0; e < now->s->entry_count; e++) {
        const pm_snapshot_entry *entry = &now->entries[e];
        uint32_t old = queues_pop(&q, entry_key(now, e)), at;
        uint64_t kind;

        if (old == NONE) {
            continue;
        }
        now->match[e] = old;
        before->match[old] = e;
        if (entry->opens == 0 && entry->file == 0) {
            continue; /* modules and Defines without a place: no order */
        }
        kind = join(now->keys[entry->container], entry->directive);
        at = slot_of(&latest, kind);
        if (latest.taken[at] && latest.first[at] > old) {
            d->reordered = d->reordered_count++ == 0 ? e : d->reordered;
        }
        else {
            latest.first[at] = old;
            latest.keys[at] = kind;
            latest.taken[at] = 1;
        }
    }
}

static void find_inside(side *x)
{
    for (uint32_t c = 1; c < x->s->container_count; c++) {
        x->inside[c] =
            x->inside[x->containers[c].parent] || x->match[x->containers[c].entry] == NONE;
    }
}

/** Is what was masked the same, as far as is known? */
static int same_marks(const pm_snapshot *before, uint32_t b, const pm_snapshot *now, uint32_t n)
{
    uint64_t old = pm_snapshot_marks(before)[b], new = pm_snapshot_marks(now)[n];

    return old == 0 || new == 0 || old == new;
}

/* ---- what differs, in pairs where it can be ---- */

/** What others follow from comes first: a Define, then a module, then a directive as the files have them. */
enum rank { DEFINE, MODULE, DIRECTIVE };

static enum rank rank_of(const char *directive)
{
    return strcasecmp(directive, "Define") == 0       ? DEFINE
           : strcasecmp(directive, "LoadModule") == 0 ? MODULE
                                                      : DIRECTIVE;
}

/** How alike must two be to be one that changed: all arguments but the last, the first two words, the directive. */
static uint64_t likeness(const side *x, uint32_t e, int level)
{
    const pm_snapshot_entry *entry = &x->entries[e];
    const char *directive = pm_snapshot_text(x->s, entry->directive),
               *args = pm_snapshot_text(x->s, entry->args), *end;
    uint64_t key = join(x->keys[entry->container], XXH3_64bits(directive, strlen(directive)));

    if (level == 0) {
        end = strrchr(args, ' ');
        return end != NULL ? join(key, XXH3_64bits(args, (size_t)(end - args))) : 0;
    }
    if (level == 1) {
        end = strchr(args, ' ');
        end = end != NULL ? strchr(end + 1, ' ') : NULL;
        return end != NULL ? join(key, XXH3_64bits(args, (size_t)(end - args))) : 0;
    }
    return rank_of(directive) == DIRECTIVE ? key : 0; /* one module is not another one changed */
}

static void pair_alike(side *before, side *now, pm_config_diff *d, apr_pool_t *pool, int level)
{
    queues q;

    queues_make(&q, (uint32_t)d->change_count, (uint32_t)d->change_count, pool);
    for (size_t n = d->change_count; n-- > 0;) {
        pm_config_change *c = &d->changes[n];

        if (c->now == NONE && c->before != NONE) {
            queues_push(&q, likeness(before, c->before, level), (uint32_t)n);
        }
    }
    for (size_t n = 0; n < d->change_count; n++) {
        pm_config_change *c = &d->changes[n];
        uint64_t key = c->before == NONE && c->now != NONE ? likeness(now, c->now, level) : 0;
        uint32_t old = key != 0 ? queues_pop(&q, key) : NONE;

        if (old != NONE) {
            c->before = d->changes[old].before;
            c->inside &= d->changes[old].inside;
            d->changes[old].before = NONE; /* removed below */
        }
    }
}

static void list_changes(side *before, side *now, pm_config_diff *d, apr_pool_t *pool)
{
    size_t most = 0, n = 0;

    for (uint32_t e = 0; e < now->s->entry_count; e++) {
        most += now->match[e] == NONE || !same_marks(before->s, now->match[e], now->s, e);
    }
    for (uint32_t e = 0; e < before->s->entry_count; e++) {
        most += before->match[e] == NONE;
    }
    d->changes = apr_palloc(pool, (most + 1) * sizeof(*d->changes));
    for (uint32_t e = 0; e < now->s->entry_count; e++) {
        uint32_t old = now->match[e];

        if (old == NONE || !same_marks(before->s, old, now->s, e)) {
            d->changes[n++] = (pm_config_change){old, e, now->inside[now->entries[e].container]};
        }
    }
    for (uint32_t e = 0; e < before->s->entry_count; e++) {
        if (before->match[e] == NONE) {
            d->changes[n++] =
                (pm_config_change){e, NONE, before->inside[before->entries[e].container]};
        }
    }
    d->change_count = n;
    for (int level = 0; level < 3 && n > 0; level++) {
        pair_alike(before, now, d, pool, level);
    }
}

/* ---- order ---- */

typedef struct sortable {
    pm_config_change change;
    int rank, single;
    const char *file;
    uint32_t line, number;
} sortable;

static int by_importance(const void *a, const void *b)
{
    const sortable *x = a, *y = b;
    int n;

    if (x->change.inside != y->change.inside) {
        return x->change.inside ? 1 : -1;
    }
    if (x->rank != y->rank) {
        return (int)x->rank - (int)y->rank;
    }
    if (x->single != y->single) {
        return x->single - y->single;
    }
    n = x->file == y->file ? 0 : strcmp(x->file, y->file);
    if (n != 0) {
        return n;
    }
    return x->line != y->line ? (x->line < y->line ? -1 : 1) : (x->number < y->number ? -1 : 1);
}

/** Sort, drop what pairing left empty, and count. */
static void finish(pm_config_diff *d, apr_pool_t *pool)
{
    sortable *list = apr_palloc(pool, (d->change_count + 1) * sizeof(*list));
    size_t count = 0;

    for (size_t n = 0; n < d->change_count; n++) {
        const pm_config_change *c = &d->changes[n];
        const pm_snapshot *s = c->now != NONE ? d->now : d->before;
        const pm_snapshot_entry *e;

        if (c->now == NONE && c->before == NONE) {
            continue;
        }
        e = &pm_snapshot_entries(s)[c->now != NONE ? c->now : c->before];
        list[count] = (sortable){*c,
                                 (int)rank_of(pm_snapshot_text(s, e->directive)),
                                 c->before == NONE || c->now == NONE,
                                 pm_snapshot_text(s, e->file),
                                 e->line,
                                 (uint32_t)count};
        count++;
        d->added += c->now != NONE;
        d->removed += c->before != NONE;
        d->counted += !c->inside;
    }
    qsort(list, count, sizeof(*list), by_importance);
    for (size_t n = 0; n < count; n++) {
        d->changes[n] = list[n].change;
    }
    d->change_count = count;
}

/* ---- files ---- */

static int same_content(const pm_snapshot_file *a, const pm_snapshot_file *b)
{
    return a->hash == b->hash && a->state == b->state;
}

/** All of them, in the same order. */
static int same_files(const pm_snapshot *a, const pm_snapshot *b)
{
    const pm_snapshot_file *old = pm_snapshot_files(a), *new = pm_snapshot_files(b);

    for (uint32_t f = 0; f < a->file_count && a->file_count == b->file_count; f++) {
        if (!same_content(&old[f], &new[f]) ||
            strcmp(pm_snapshot_text(a, old[f].path), pm_snapshot_text(b, new[f].path)) != 0) {
            return 0;
        }
    }
    return a->file_count == b->file_count;
}

static void compare_files(pm_config_diff *d, apr_pool_t *pool)
{
    const pm_snapshot_file *old = pm_snapshot_files(d->before), *new = pm_snapshot_files(d->now);
    apr_hash_t *known = apr_hash_make(pool);
    size_t n = 0;

    if (same_files(d->before, d->now)) {
        return;
    }
    d->files = apr_palloc(pool, ((size_t)d->before->file_count + d->now->file_count + 1) *
                                    sizeof(*d->files));
    for (uint32_t f = 0; f < d->before->file_count; f++) {
        apr_hash_set(known, pm_snapshot_text(d->before, old[f].path), APR_HASH_KEY_STRING, &old[f]);
    }
    for (uint32_t f = 0; f < d->now->file_count; f++) {
        const char *path = pm_snapshot_text(d->now, new[f].path);
        const pm_snapshot_file *was = apr_hash_get(known, path, APR_HASH_KEY_STRING);

        apr_hash_set(known, path, APR_HASH_KEY_STRING, NULL);
        if (was == NULL || !same_content(was, &new[f])) {
            d->files[n++] =
                (pm_config_file_change){was == NULL ? "added" : "changed", d->now, &new[f]};
        }
    }
    for (uint32_t f = 0; f < d->before->file_count; f++) {
        if (apr_hash_get(known, pm_snapshot_text(d->before, old[f].path), APR_HASH_KEY_STRING) ==
            &old[f]) {
            d->files[n++] = (pm_config_file_change){"removed", d->before, &old[f]};
        }
    }
    d->file_count = n;
}

/** Most reloads change nothing: then everything but the files is the same, byte by byte. */
static int all_same(const pm_snapshot *a, const pm_snapshot *b)
{
    const char *from = (const char *)pm_snapshot_containers(a);
    size_t len = (size_t)((const char *)pm_snapshot_files(a) - from);

    return a->container_count == b->container_count && a->entry_count == b->entry_count &&
           a->file_count == b->file_count && a->text_size == b->text_size &&
           memcmp(from, pm_snapshot_containers(b), len) == 0 &&
           memcmp(pm_snapshot_text(a, 0), pm_snapshot_text(b, 0), a->text_size) == 0 &&
           memcmp(pm_snapshot_marks(a), pm_snapshot_marks(b), a->entry_count * 8ul) == 0;
}

pm_config_diff *pm_config_compare(const pm_snapshot *before, const pm_snapshot *now,
                                  apr_pool_t *pool)
{
    pm_config_diff *d = apr_pcalloc(pool, sizeof(*d));
    side x, y;

    d->before = before;
    d->now = now;
    compare_files(d, pool);
    if (all_same(before, now)) {
        return d;
    }
    side_make(&x, before, pool);
    side_make(&y, now, pool);
    recognise(&x, &y, pool);
    match_entries(&x, &y, d, pool);
    find_inside(&x);
    find_inside(&y);
    list_changes(&x, &y, d, pool);
    finish(d, pool);
    return d;
}

size_t pm_config_changes(const pm_config_diff *d)
{
    return d->counted;
}
