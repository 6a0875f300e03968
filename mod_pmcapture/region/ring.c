/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * ring.c: the journal in shared memory.
 */
#include <string.h>

#include "pm_hash.h"
#include "pm_ring.h"
#include "shared.h"

static pm_ring_entry *entry_at(const pm_ring *ring, uint64_t number)
{
    size_t stride = sizeof(pm_ring_entry) + ring->size;

    return (pm_ring_entry *)(void *)(ring->entries + (number & (ring->count - 1)) * stride);
}

uint64_t pm_ring_bytes(uint32_t count, uint32_t size)
{
    return (uint64_t)count * (sizeof(pm_ring_entry) + size);
}

/** Of a payload as the entry with this number. Without a seed: to mix one in takes longer than to hash. */
static uint64_t sum_of(const pm_ring *ring, const void *payload, uint64_t number)
{
    return XXH3_64bits(payload, ring->size) + number * 0x9e3779b97f4a7c15ull;
}

void pm_ring_write(const pm_ring *ring, const void *payload)
{
    uint64_t number = atomic_fetch_add_explicit(&ring->head->next, 1, memory_order_relaxed);
    pm_ring_entry *e = entry_at(ring, number);

    atomic_store_explicit(&e->published, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    pm_shared_put(e->payload, payload, ring->size);
    atomic_store_explicit(&e->sum, sum_of(ring, payload, number), memory_order_relaxed);
    /* The number comes last: what a reader sees with it is complete. */
    atomic_store_explicit(&e->published, number + 1, memory_order_release);
}

static enum pm_ring_result skip(uint64_t *position, uint64_t to, uint64_t *lost)
{
    *lost = to - *position;
    *position = to;
    return PM_RING_LOST;
}

enum pm_ring_result pm_ring_read(const pm_ring *ring, uint64_t *position, void *payload,
                                 int give_up, uint64_t *lost)
{
    uint64_t next = atomic_load_explicit(&ring->head->next, memory_order_acquire);
    pm_ring_entry *e = entry_at(ring, *position);
    uint64_t published, sum;

    *lost = 0;
    if (next == *position) {
        return PM_RING_EMPTY;
    }
    if (next < *position) { /* somebody wrote over the head: begin again where it says */
        *position = next;
        *lost = 1;
        return PM_RING_LOST;
    }
    if (next - *position > ring->count) {
        return skip(position, next - ring->count, lost);
    }
    published = atomic_load_explicit(&e->published, memory_order_acquire);
    if (published != *position + 1) {
        /* A smaller number, or none, is a writer at work; a larger one has overrun us. */
        if (published > *position + 1 || give_up) {
            return skip(position, *position + 1, lost);
        }
        return PM_RING_PENDING;
    }
    pm_shared_take(payload, e->payload, ring->size);
    sum = atomic_load_explicit(&e->sum, memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&e->published, memory_order_relaxed) != published ||
        sum != sum_of(ring, payload, *position)) {
        return skip(position, *position + 1, lost);
    }
    (*position)++;
    return PM_RING_READ;
}
