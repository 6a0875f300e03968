/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_certificate.h: the public parts of a certificate that matter: whose, until when.
 */
#ifndef PM_CERTIFICATE_H
#define PM_CERTIFICATE_H

#include <stdint.h>

#define PM_CERTIFICATE_NAME 256

typedef struct pm_certificate {
    uint64_t not_before_us, not_after_us; /* not_after_us 0 = there is none */
    uint8_t print[32];                    /* SHA-256 of the whole certificate: two are the same, or not */
    uint32_t mismatch;                    /* 1: it is not for the name that was asked for */
    uint32_t pad;
    char subject[PM_CERTIFICATE_NAME];    /* a name that it is for */
} pm_certificate;

#endif
