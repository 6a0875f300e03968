/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * client_set.c: sets of clients, read by the recorder.
 */
#include "pm_client_set.h"
#include "pm_detect.h"

void pm_set_merge(pm_client_set *into, const pm_client_set *from)
{
    for (uint32_t i = 0; i < PM_SET_LEVELS * PM_SET_WORDS; i++) {
        into->word[i / PM_SET_WORDS][i % PM_SET_WORDS] |=
            from->word[i / PM_SET_WORDS][i % PM_SET_WORDS];
    }
}

void pm_set_subtract(pm_client_set *into, const pm_client_set *other)
{
    for (uint32_t i = 0; i < PM_SET_LEVELS * PM_SET_WORDS; i++) {
        into->word[i / PM_SET_WORDS][i % PM_SET_WORDS] &=
            ~other->word[i / PM_SET_WORDS][i % PM_SET_WORDS];
    }
}

void pm_set_intersect(pm_client_set *into, const pm_client_set *other)
{
    for (uint32_t i = 0; i < PM_SET_LEVELS * PM_SET_WORDS; i++) {
        into->word[i / PM_SET_WORDS][i % PM_SET_WORDS] &=
            other->word[i / PM_SET_WORDS][i % PM_SET_WORDS];
    }
}

uint32_t pm_set_bits(const pm_client_set *set, uint32_t level)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < PM_SET_WORDS; i++) {
        bits += (uint32_t)__builtin_popcountll(set->word[level][i]);
    }
    return bits;
}

uint32_t pm_set_level(const pm_client_set *all)
{
    uint32_t level = 0;

    while (level < PM_SET_LEVELS - 1 && pm_set_bits(all, level) > PM_SET_FULL) {
        level++;
    }
    return level;
}

double pm_set_count(uint32_t bits)
{
    uint32_t empty = bits < PM_SET_BITS ? PM_SET_BITS - bits : 1;

    return bits == 0 ? 0 : -(double)PM_SET_BITS * pm_detect_log((double)empty / PM_SET_BITS);
}

double pm_set_scale(uint32_t level)
{
    double scale = 1;

    while (level-- > 0) {
        scale *= PM_SET_STEP;
    }
    return scale;
}
