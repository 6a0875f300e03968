/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * outcome.c: what a status says of the client.
 */
#include "pm_outcome.h"

static const uint16_t refusals[PM_REFUSALS] = {401, 402, 403, 404, 405, 406, 407, 409,
                                               410, 413, 415, 421, 422, 429, 499};
static const uint16_t redirections[PM_REDIRECTIONS] = {300, 301, 302, 303, 307, 308};

/** The client's own doing, or no answer at all. */
static int proves_nothing(uint32_t status)
{
    switch (status) {
    case 400:
    case 408:
    case 411:
    case 412:
    case 414:
    case 416:
    case 417:
    case 426:
    case 428:
    case 431:
    case 499:
        return 1;
    default:
        return status < 200 || status > 599;
    }
}

enum pm_outcome pm_outcome_of(uint32_t status)
{
    if (pm_status_serves(status) || status == 101) {
        return PM_SERVED;
    }
    if (proves_nothing(status)) {
        return PM_PROVES_NOTHING;
    }
    return status < 400 ? PM_REDIRECTED : status < 500 ? PM_REFUSED : PM_FAILED;
}

static uint32_t find(const uint16_t *codes, uint32_t count, uint32_t status, uint32_t otherwise)
{
    for (uint32_t i = 0; i < count; i++) {
        if (codes[i] == status) {
            return i;
        }
    }
    return otherwise;
}

uint32_t pm_code_slot(uint32_t status)
{
    switch (pm_outcome_of(status)) {
    case PM_FAILED:
        return status - 500 < PM_ECODES - 1 ? status - 500 : PM_ECODES - 1;
    case PM_REFUSED:
        return PM_ECODES + find(refusals, PM_REFUSALS - 1, status, PM_REFUSALS - 1);
    case PM_REDIRECTED:
        return PM_ECODES + PM_REFUSALS + find(redirections, PM_REDIRECTIONS, status, 3);
    default:
        return PM_CODES;
    }
}

uint32_t pm_code_of_slot(uint32_t slot)
{
    if (slot < PM_ECODES) {
        return slot < PM_ECODES - 1 ? 500 + slot : 599;
    }
    slot -= PM_ECODES;
    return slot < PM_REFUSALS                     ? refusals[slot]
           : slot < PM_REFUSALS + PM_REDIRECTIONS ? redirections[slot - PM_REFUSALS]
                                                  : 0;
}

enum pm_outcome pm_slot_outcome(uint32_t slot)
{
    return slot < PM_ECODES                 ? PM_FAILED
           : slot < PM_ECODES + PM_REFUSALS ? PM_REFUSED
                                            : PM_REDIRECTED;
}
