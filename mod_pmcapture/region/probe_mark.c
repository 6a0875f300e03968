/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * probe_mark.c: which connections are the recorder's own.
 */
#include "pm_live.h"

uint64_t pm_live_origin(const pm_live *live, const uint8_t address[16], uint16_t port)
{
    uint8_t bytes[18];

    memcpy(bytes, address, 16);
    bytes[16] = (uint8_t)(port >> 8);
    bytes[17] = (uint8_t)port;
    return pm_live_hash(live, bytes, sizeof(bytes));
}

int pm_live_is_probe(const pm_live *live, const uint8_t address[16], uint16_t port)
{
    uint64_t origin = pm_live_origin(live, address, port);

    for (uint32_t i = 0; i < PM_PROBES; i++) {
        uint64_t mark = origin;

        if (atomic_load_explicit(&live->header->probe[i], memory_order_relaxed) == origin &&
            atomic_compare_exchange_strong(&live->header->probe[i], &mark, 0)) {
            return 1;
        }
    }
    return 0;
}
