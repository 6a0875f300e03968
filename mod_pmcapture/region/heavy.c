/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * heavy.c: heavy hitters, the workers' side.
 */
#include <string.h>

#include "heavy_private.h"
#include "pm_hash.h"
#include "pm_time.h"
#include "shared.h"

#define CROWDED 8u /* slots in use: from here on a newcomer must come twice */

static const uint32_t first_of[PM_DIMENSIONS + 1] = {
    [PM_BY_ROUTE] = 0,    [PM_BY_HOST] = 1024,   [PM_BY_BACKEND] = 1536,   [PM_BY_METHOD] = 1792,
    [PM_BY_AGENT] = 2048, [PM_BY_CLIENT] = 2304, [PM_BY_ERROR_LOG] = 2816, [PM_DIMENSIONS] = 3072,
};
_Static_assert(PM_HEAVY_SLOTS == 3072, "the sum of all dimensions");

uint32_t pm_heavy_first(enum pm_dimension d)
{
    return first_of[d];
}

uint64_t pm_heavy_identity(uint64_t group, uint32_t vhost)
{
    uint64_t x = group + vhost * 0x9e3779b97f4a7c15ull;

    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    return x != 0 ? x : 1;
}

static uint32_t bucket_of(enum pm_dimension d, uint64_t id)
{
    uint32_t buckets = (first_of[d + 1] - first_of[d]) / PM_HEAVY_WAYS;

    return first_of[d] + (uint32_t)(id >> 32) % buckets * PM_HEAVY_WAYS;
}

static uint64_t id_at(const pm_live *live, uint32_t slot)
{
    return atomic_load_explicit(&live->heavy->id[slot], memory_order_acquire);
}

uint32_t pm_heavy_find(const pm_live *live, enum pm_dimension d, uint32_t vhost, uint64_t group)
{
    uint64_t id = pm_heavy_identity(group, vhost);
    uint32_t from = bucket_of(d, id);

    for (uint32_t i = from; i < from + PM_HEAVY_WAYS; i++) {
        if (id_at(live, i) == id) {
            return i;
        }
    }
    return PM_HEAVY_ALL;
}

uint64_t pm_heavy_sum(uint64_t id, uint32_t vhost, uint64_t first_us, const char *key,
                      const char *line)
{
    uint64_t sum = XXH3_64bits_withSeed(key, strnlen(key, PM_KEY), id ^ first_us ^ vhost);

    sum = XXH3_64bits_withSeed(line, strnlen(line, PM_KEY), sum);
    return sum != 0 ? sum : 1;
}

static void publish(const pm_live *live, uint32_t slot, uint64_t id, uint32_t vhost, uint64_t group,
                    const char *key, const char *line, uint64_t at_us)
{
    pm_heavy_slot *s = &live->heavy->slot[slot];
    char name[PM_KEY] = {0}, example[PM_KEY] = {0};

    line = line != NULL && slot >= first_of[PM_BY_ERROR_LOG] ? line : "";
    atomic_store_explicit(&s->vhost, vhost, memory_order_relaxed);
    atomic_store_explicit(&s->group, group, memory_order_relaxed);
    atomic_store_explicit(&s->first_us, at_us, memory_order_relaxed);
    atomic_store_explicit(&s->told_s, 0, memory_order_relaxed);
    memcpy(name, key, strnlen(key, PM_KEY - 1));
    pm_shared_put(live->heavy->key[slot], name, PM_KEY);
    if (slot >= first_of[PM_BY_ERROR_LOG]) {
        memcpy(example, line, strnlen(line, PM_KEY - 1));
        pm_shared_put(live->heavy->line[slot - first_of[PM_BY_ERROR_LOG]], example, PM_KEY);
    }
    atomic_store_explicit(&s->sum, pm_heavy_sum(id, vhost, at_us, name, line),
                          memory_order_release);
}

/** Has it been here lately? Many come once and never again. */
static int came_before(const pm_live *live, uint64_t id)
{
    _Atomic uint32_t *door = &live->heavy->door[id % PM_HEAVY_DOOR];
    uint32_t tag = (uint32_t)(id >> 32) | 1;

    if (atomic_load_explicit(door, memory_order_relaxed) == tag) {
        return 1;
    }
    atomic_store_explicit(door, tag, memory_order_relaxed);
    return 0;
}

uint32_t pm_heavy_claim(const pm_live *live, enum pm_dimension d, uint32_t vhost, uint64_t group,
                        const char *key, const char *line, uint64_t at_us)
{
    uint64_t id = pm_heavy_identity(group, vhost);
    uint32_t from = bucket_of(d, id), used = 0;
    uint64_t seen;

    /* All of the bucket first: a slot that was freed may lie before the one that it has. */
    for (uint32_t i = from; i < from + PM_HEAVY_WAYS; i++) {
        seen = id_at(live, i);
        if (seen == id) {
            return i;
        }
        used += seen != 0;
    }
    if (used == PM_HEAVY_WAYS || (used >= CROWDED && !came_before(live, id))) {
        return PM_HEAVY_SLOTS + d;
    }
    for (uint32_t i = from; i < from + PM_HEAVY_WAYS; i++) {
        seen = 0;
        if (atomic_compare_exchange_strong(&live->heavy->id[i], &seen, id)) {
            publish(live, i, id, vhost, group, key, line, at_us);
            return i;
        }
        if (seen == id) {
            return i;
        }
    }
    return PM_HEAVY_SLOTS + d;
}

static void add(_Atomic uint32_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void pm_heavy_count(const pm_live *live, uint32_t slot, int failed, uint32_t failure)
{
    pm_heavy_slot *s;

    if (slot >= PM_HEAVY_ALL) {
        return;
    }
    s = &live->heavy->slot[slot];
    /* The way goes first: what the recorder finds counted as an error has left its way. */
    if (failed && failure > PM_FAILURE_NONE && failure <= PM_WAYS) {
        add(&s->ways[failure - PM_FAILURE_REFUSED]);
    }
    atomic_fetch_add_explicit(failed ? &s->errors : &s->good, 1, memory_order_release);
}

int pm_heavy_due(const pm_live *live, uint32_t slot, uint64_t now, uint64_t us)
{
    _Atomic uint32_t *told = &live->heavy->slot[slot < PM_HEAVY_ALL ? slot : 0].told_s;
    uint32_t last = atomic_load_explicit(told, memory_order_relaxed);
    uint32_t now_s = (uint32_t)(now / PM_SECOND);

    return (last == 0 || now_s > last + us / PM_SECOND || now_s < last) &&
           atomic_compare_exchange_strong(told, &last, now_s);
}

uint32_t pm_heavy_errors(const pm_live *live, uint32_t slot)
{
    return atomic_load_explicit(&live->heavy->slot[slot < PM_HEAVY_ALL ? slot : 0].errors,
                                memory_order_relaxed);
}
