/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_ring.c: a ring in shared memory that somebody else has written to. What is read must be what was
 * written under its number, and the reader must always come to an end.
 */
#include "fuzz.h"

#include "pm_ring.h"

#define COUNT 8u
#define SIZE 24u
#define STRIDE (sizeof(pm_ring_entry) + SIZE)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    pm_ring_head *head = aligned_alloc(64, sizeof(*head));
    uint8_t *entries = calloc(COUNT, STRIDE);
    pm_ring ring = {head, entries, COUNT, SIZE};
    uint64_t position = feed_number(&f, 8), lost;
    uint8_t payload[SIZE];

    memset(head, 0, sizeof(*head));
    atomic_store(&head->next, feed_number(&f, 8));
    while (feed_left(&f) > 0) {
        switch (feed_number(&f, 1) % 4) {
        case 0:
            memset(payload, (int)feed_number(&f, 1), SIZE);
            pm_ring_write(&ring, payload);
            break;
        case 1:
            feed_patch(&f, entries, COUNT * STRIDE);
            break;
        case 2:
            atomic_store(&head->next, feed_number(&f, 8));
            break;
        default:
            pm_ring_read(&ring, &position, payload, (int)feed_number(&f, 1) & 1, &lost);
        }
    }
    for (uint32_t i = 0; i < 2 * COUNT + 2; i++) {
        uint64_t before = position;
        enum pm_ring_result r = pm_ring_read(&ring, &position, payload, 1, &lost);

        fuzz_expect(r != PM_RING_PENDING, "who gives up is not told to wait");
        fuzz_expect(r == PM_RING_EMPTY || position != before, "the reader moves on");
        if (r == PM_RING_EMPTY) {
            break;
        }
    }
    fuzz_expect(position == atomic_load(&head->next), "the reader comes to the end");
    free(entries);
    free(head);
    return 0;
}
