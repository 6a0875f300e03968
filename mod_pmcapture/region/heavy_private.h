/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * heavy_private.h: what both sides of the heavy hitters know.
 */
#ifndef PM_HEAVY_PRIVATE_H
#define PM_HEAVY_PRIVATE_H

#include "pm_live.h"

/** A virtual host and a key in it; 0 is nobody. */
uint64_t pm_heavy_identity(uint64_t group, uint32_t vhost);

/** Checksum of a slot's name. */
uint64_t pm_heavy_sum(uint64_t id, uint32_t vhost, uint64_t first_us, const char *key,
                      const char *line);

#endif
