/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * splitmix.h: repeatable random numbers and hashes for tests (Steele, Lea, Flood 2014).
 */
#ifndef SPLITMIX_H
#define SPLITMIX_H

#include <stdint.h>

/** A bijection of 64 bits: different inputs give different, well mixed outputs. */
static inline uint64_t splitmix_hash(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/** The next number of the sequence at *state, which starts anywhere. */
static inline uint64_t splitmix_next(uint64_t *state)
{
    return splitmix_hash((*state)++);
}

#endif
