/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_ring.h: a journal in shared memory that any process writes and one reads.
 *
 * A writer reserves a sequence number, writes, and publishes last; it never waits. The reader keeps its own
 * position, copies an entry and believes it only if number and checksum hold before and after. A writer
 * that dies in the middle leaves an unpublished entry, which the reader skips and counts after a while.
 */
#ifndef PM_RING_H
#define PM_RING_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct pm_ring_head {
    _Alignas(64) _Atomic uint64_t next; /* number of the next entry, from 0 */
    uint8_t pad[56];
} pm_ring_head;

typedef struct pm_ring_entry {
    _Atomic uint64_t published; /* number + 1 when complete; 0 while written */
    _Atomic uint64_t sum;       /* XXH3 of the payload, and the number added */
    uint8_t payload[];
} pm_ring_entry;

/** A view of a ring; private memory. */
typedef struct pm_ring {
    pm_ring_head *head;
    uint8_t *entries;
    uint32_t count; /* power of two */
    uint32_t size;  /* of a payload, multiple of 8 */
} pm_ring;

/** Bytes that `count` entries of `size` take. */
uint64_t pm_ring_bytes(uint32_t count, uint32_t size);

/** Async-signal-safe. */
void pm_ring_write(const pm_ring *ring, const void *payload);

enum pm_ring_result { PM_RING_EMPTY, PM_RING_READ, PM_RING_LOST, PM_RING_PENDING };

/** Read the entry at *position into `payload` and advance. LOST: entries were overrun or torn, *position moved
 *  on, *lost tells by how many. PENDING: reserved but not yet published; call again later, or pass `give_up`. */
enum pm_ring_result pm_ring_read(const pm_ring *ring, uint64_t *position, void *payload,
                                 int give_up, uint64_t *lost);

#endif
