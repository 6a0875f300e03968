/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * hosts.c: which virtual host serves which Host.
 */
#include <string.h>

#include "pm_live.h"

/* An entry's state. */
static uint64_t state_of(uint32_t generation, uint32_t seen, uint32_t flags, uint32_t vhost)
{
    return (uint64_t)generation << 32 | (uint64_t)(seen & 0xff) << 24 | flags << 16 |
           (vhost & 0xffff);
}

static uint32_t generation_of(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static uint32_t seen_of(uint64_t state)
{
    return (uint32_t)(state >> 24) & 0xff;
}

static uint32_t flags_of(uint64_t state)
{
    return (uint32_t)(state >> 16) & 0xff;
}

static uint32_t vhost_of(uint64_t state)
{
    return (uint32_t)state & 0xffff;
}

uint64_t pm_hosts_id(const pm_live *live, const char *host, size_t len, uint32_t port)
{
    uint64_t id = pm_live_hash(live, host, len) + port * 0x9e3779b97f4a7c15ull;

    return id != 0 ? id : 1;
}

static pm_host *bucket_of(const pm_live *live, uint64_t id)
{
    return &live->hosts->entry[(id >> 32) % (PM_HOSTS / PM_HOSTS_WAYS) * PM_HOSTS_WAYS];
}

static pm_host *find(const pm_live *live, uint64_t id)
{
    pm_host *bucket = bucket_of(live, id);

    for (uint32_t i = 0; i < PM_HOSTS_WAYS; i++) {
        if (atomic_load_explicit(&bucket[i].id, memory_order_acquire) == id) {
            return &bucket[i];
        }
    }
    return NULL;
}

int pm_hosts_usual(const pm_live *live, uint64_t id, uint32_t vhost, uint32_t generation)
{
    pm_host *h = find(live, id);
    uint64_t state;

    if (h == NULL) {
        return 0;
    }
    state = atomic_load_explicit(&h->state, memory_order_relaxed);
    return vhost_of(state) == vhost && generation_of(state) == generation &&
           seen_of(state) >= PM_HOST_SURE;
}

/** How easily an entry is given up: 0 = at once, 3 = never. */
static int worth(uint64_t id, uint64_t state, uint32_t generation)
{
    if (id == 0 || seen_of(state) < PM_HOST_SURE) {
        return id == 0 ? 0 : 1;
    }
    if (!(flags_of(state) & PM_HOST_NAMED) || generation_of(state) + 2 <= generation) {
        return 2;
    }
    return 3;
}

static void add(const pm_live *live, uint64_t id, uint32_t vhost, uint32_t generation, int named)
{
    pm_host *bucket = bucket_of(live, id), *place = NULL;
    uint64_t had = 0;
    int least = named ? 3 : 2; /* one that no name matches displaces no known one */

    for (uint32_t i = 0; i < PM_HOSTS_WAYS; i++) {
        uint64_t other = atomic_load_explicit(&bucket[i].id, memory_order_relaxed);
        int w =
            worth(other, atomic_load_explicit(&bucket[i].state, memory_order_relaxed), generation);

        if (w < least) {
            least = w;
            place = &bucket[i];
            had = other;
        }
    }
    if (place == NULL) {
        return;
    }
    /* With no state the new id belongs to nobody yet; who looks meanwhile learns nothing. */
    atomic_store_explicit(&place->state, 0, memory_order_release);
    if (atomic_compare_exchange_strong(&place->id, &had, id)) {
        atomic_store_explicit(&place->state,
                              state_of(generation, 1, named ? PM_HOST_NAMED : 0, vhost),
                              memory_order_release);
    }
}

/** The same virtual host serves it again. */
static enum pm_hosts_result confirm(pm_host *h, uint64_t state, uint32_t generation,
                                    int (*named)(void *ctx), int (*may_tell)(void *ctx), void *ctx)
{
    uint32_t seen = seen_of(state), flags = flags_of(state);
    int lost;

    if (generation_of(state) == generation) {
        seen = seen < PM_HOST_SURE ? seen + 1 : seen;
        atomic_compare_exchange_strong(&h->state, &state,
                                       state_of(generation, seen, flags, vhost_of(state)));
        return PM_HOSTS_LEARNT;
    }
    lost = !named(ctx) && (flags & PM_HOST_NAMED);
    if (lost && seen >= PM_HOST_SURE && !may_tell(ctx)) {
        return PM_HOSTS_LEARNT;
    }
    flags = lost ? 0 : flags & PM_HOST_NAMED;
    return atomic_compare_exchange_strong(&h->state, &state,
                                          state_of(generation, seen, flags, vhost_of(state))) &&
                   lost && seen >= PM_HOST_SURE
               ? PM_HOSTS_UNNAMED
               : PM_HOSTS_LEARNT;
}

enum pm_hosts_result pm_hosts_learn(const pm_live *live, uint64_t id, uint32_t vhost,
                                    uint32_t generation, uint32_t hands, int (*named)(void *ctx),
                                    int (*may_tell)(void *ctx), void *ctx, uint32_t *from,
                                    uint32_t *since)
{
    pm_host *h = find(live, id);
    uint64_t state;
    int matches, sure;

    if (h == NULL) {
        add(live, id, vhost, generation, named(ctx));
        return PM_HOSTS_LEARNT;
    }
    state = atomic_load_explicit(&h->state, memory_order_acquire);
    *from = vhost_of(state);
    *since = generation_of(state);
    /* Processes of the last generation finish beside the new one's: they have nothing to say. */
    if (state == 0 || generation_of(state) > generation ||
        atomic_load_explicit(&h->id, memory_order_acquire) != id) {
        return PM_HOSTS_LEARNT;
    }
    if (vhost_of(state) == vhost && generation_of(state) >= hands) {
        return confirm(h, state, generation, named, may_tell, ctx);
    }
    if (generation_of(state) == generation) {
        atomic_compare_exchange_strong(&h->state, &state, state | PM_HOST_AMBIGUOUS << 16);
        return PM_HOSTS_LEARNT;
    }
    sure = seen_of(state) >= PM_HOST_SURE && !(flags_of(state) & PM_HOST_AMBIGUOUS);
    if (sure && !may_tell(ctx)) {
        return PM_HOSTS_LEARNT;
    }
    matches = named(ctx);
    if (!atomic_compare_exchange_strong(
            &h->state, &state, state_of(generation, 1, matches ? PM_HOST_NAMED : 0, vhost)) ||
        !sure) {
        return PM_HOSTS_LEARNT;
    }
    return matches ? PM_HOSTS_MOVED : PM_HOSTS_UNNAMED;
}
