/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_outcome.h: what a status says of the client: was it served?
 *
 * Pure functions of the final status of a request, as RFC 9110 defines the codes. A request proves nothing when its client
 * alone is to blame for the answer (a malformed request, one that was not sent to its end, 499), or when the answer is part
 * of a conversation that goes on (1xx).
 */
#ifndef PM_OUTCOME_H
#define PM_OUTCOME_H

#include <stdint.h>

enum pm_outcome {
    PM_SERVED,     /* 2xx, 304, 101: the client got what it asked for */
    PM_REDIRECTED, /* 3xx: it was sent elsewhere; served when that served it */
    PM_REFUSED,    /* 4xx that are the server's word: 401, 403, 404, 421, … */
    PM_FAILED,     /* 5xx */
    PM_PROVES_NOTHING,
    PM_OUTCOMES = PM_PROVES_NOTHING /* of which clients are counted */
};

/** Codes that are counted one by one, by virtual host: slots 0..PM_CODES - 1. */
#define PM_ECODES 13u     /* 500..511, then any other 5xx */
#define PM_REFUSALS 15u   /* as pm_refusal_codes, then any other 4xx */
#define PM_REDIRECTIONS 6u /* 300..303, 307, 308; what is left counts as 303 */
#define PM_CODES (PM_ECODES + PM_REFUSALS + PM_REDIRECTIONS)

/** Good and quick most times: the hot path asks this first. */
static inline int pm_status_serves(uint32_t status)
{
    return status - 200 < 100 || status == 304;
}

enum pm_outcome pm_outcome_of(uint32_t status);
/** The slot of a code that does not serve; PM_CODES when it is not counted apart. */
uint32_t pm_code_slot(uint32_t status);
/** The code of a slot; of the slots of all others the lowest code that no other slot has: 499, 599. */
uint32_t pm_code_of_slot(uint32_t slot);
/** Whose slot is it? */
enum pm_outcome pm_slot_outcome(uint32_t slot);

#endif
