/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * check.c: an invariant does not hold (pm_check.h). Standard error is httpd's error log, in the recorder too.
 */
#include <stdlib.h>
#include <unistd.h>

#include "pm_check.h"
#include "pm_text.h"

void pm_check_failed(const char *condition, const char *file, int line, int *said)
{
    char sentence[512];
    size_t used = 0;

    if (__atomic_exchange_n(said, 1, __ATOMIC_RELAXED) == 0) {
        pm_text_append(sentence, sizeof(sentence), &used,
                       "mod_pmcapture: %s:%d: this does not hold: %s\n", file, line, condition);
        (void)!write(STDERR_FILENO, sentence, used); /* nobody else is to be told */
    }
#ifdef PM_CHECK_ENDS
    abort();
#endif
}
