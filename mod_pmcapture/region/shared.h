/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * shared.h: copying between private memory and shared memory that others write to at the same time.
 *
 * Whole words and relaxed: what comes out may be of two ages, which a checksum or number beside it tells, but it is
 * no data race. Private to core. `size` is a multiple of 8, shared memory is aligned to it.
 */
#ifndef PM_SHARED_H
#define PM_SHARED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias)) pm_shared_word;

static inline void pm_shared_put(void *shared, const void *from, size_t size)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word;

        memcpy(&word, (const uint8_t *)from + i * 8, 8);
        __atomic_store_n((pm_shared_word *)shared + i, word, __ATOMIC_RELAXED);
    }
}

static inline void pm_shared_take(void *into, const void *shared, size_t size)
{
#pragma GCC unroll 4
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word = __atomic_load_n((const pm_shared_word *)shared + i, __ATOMIC_RELAXED);

        memcpy((uint8_t *)into + i * 8, &word, 8);
    }
}

static inline void pm_shared_zero(void *shared, size_t size)
{
    for (size_t i = 0; i < size / 8; i++) {
        __atomic_store_n((pm_shared_word *)shared + i, 0, __ATOMIC_RELAXED);
    }
}

static inline int pm_shared_any(const void *shared, size_t size)
{
    for (size_t i = 0; i < size / 8; i++) {
        if (__atomic_load_n((const pm_shared_word *)shared + i, __ATOMIC_RELAXED) != 0) {
            return 1;
        }
    }
    return 0;
}

#endif
