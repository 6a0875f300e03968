/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_hash.h: XXH3, inlined. The only file that includes <xxhash.h> (`make lint` checks it), since an include of it
 * elsewhere would settle how XXH3 reads memory.
 *
 * The sums are on disk and in shared memory: they depend on the bytes alone, so that every compiler and every release
 * of xxhash writes the same and reads the other's.
 *
 * A struct may be hashed right after it was written, through its own members. xxhash 0.8.2 and 0.8.3 read it as
 * integers without may_alias unless told to use memcpy: then a compiler may read before the members are written
 * (GCC 14 at -O2 does), and a wrong sum is stored. memcpy reads any type, and compiles to the same instructions.
 */
#ifndef PM_HASH_H
#define PM_HASH_H

#ifdef XXHASH_H_5627135585666179
#error "include pm_hash.h instead of xxhash.h"
#endif

#undef XXH_FORCE_MEMORY_ACCESS
#define XXH_FORCE_MEMORY_ACCESS 0 /* memcpy */
#undef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#include <xxhash.h>

#endif
