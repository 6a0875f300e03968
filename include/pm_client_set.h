/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_client_set.h: a set of clients, small enough to have several for each virtual host and second.
 *
 * A multi-resolution bitmap (Estan, Varghese, Fisk, "Bitmap algorithms for counting active flows", 2003). Level 0 has a bit
 * for each client's hash, level 1 for one client in PM_SET_STEP: of many clients it is a fair sample. Unlike a HyperLogLog it can be subtracted: clients in one set and not in another
 * are bits in one and not in the other, at one level.
 * The number of clients at a level is -B ln(empty / B) for B bits (linear counting, Whang et al., 1990): at most
 * PM_SET_FULL bits set it is within some 10 %.
 * One hash key for all sets that are compared: two clients that share a bit do so in each of them.
 */
#ifndef PM_CLIENT_SET_H
#define PM_CLIENT_SET_H

#include <stdatomic.h>
#include <stdint.h>

#define PM_SET_LEVELS 2u
#define PM_SET_WORDS 8u /* of 64 bits, a level */
#define PM_SET_BITS (64u * PM_SET_WORDS)
#define PM_SET_STEP 16u
#define PM_SET_FULL (PM_SET_BITS * 5 / 8) /* a level with more bits is not used while there is a coarser one */

typedef struct pm_client_set {
    uint64_t word[PM_SET_LEVELS][PM_SET_WORDS];
} pm_client_set;

/** The same in shared memory. */
typedef struct pm_shared_set {
    _Atomic uint64_t word[PM_SET_LEVELS][PM_SET_WORDS];
} pm_shared_set;
_Static_assert(sizeof(pm_client_set) == sizeof(pm_shared_set) && sizeof(pm_client_set) == 128,
               "one is copied from the other");

/** Add a client's hash. Safe between threads and processes; a bit that is set already costs a load. */
static inline void pm_set_add(pm_shared_set *set, uint64_t hash)
{
    uint64_t mark = 1ull << (hash >> 8 & 63);
    uint32_t word = (uint32_t)(hash >> 14) % PM_SET_WORDS;

    for (uint32_t level = 0; level < PM_SET_LEVELS; level++) {
        _Atomic uint64_t *at = &set->word[level][word];

        if ((atomic_load_explicit(at, memory_order_relaxed) & mark) == 0) {
            atomic_fetch_or_explicit(at, mark, memory_order_relaxed);
        }
        if ((hash >> 40) % PM_SET_STEP != 0) {
            return;
        }
    }
}

/** into = into and from. */
void pm_set_merge(pm_client_set *into, const pm_client_set *from);
/** into = what is in it and not in `other`. */
void pm_set_subtract(pm_client_set *into, const pm_client_set *other);
/** into = what is in both. */
void pm_set_intersect(pm_client_set *into, const pm_client_set *other);
/** The finest level at which `all` has at most PM_SET_FULL bits, else the coarsest. */
uint32_t pm_set_level(const pm_client_set *all);
/** Bits that are set at a level, 0..PM_SET_BITS. */
uint32_t pm_set_bits(const pm_client_set *set, uint32_t level);
/** Clients that so many bits at one level stand for, in the sample that the level is: not scaled up. A full level counts as
 *  one with a bit left. */
double pm_set_count(uint32_t bits);
/** How many clients one of a level's sample stands for: 1, 16. */
double pm_set_scale(uint32_t level);

#endif
