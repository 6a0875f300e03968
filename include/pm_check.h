/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_check.h: what the author knew. A condition that does not hold ends a test or a fuzzer (-DPM_CHECK_ENDS); in
 * production the process says so once for each place and goes on: a recorder never takes the server down, so the code
 * behind a check still bounds what it reads and writes.
 *
 * Not for what others may do (a file, shared memory, a message): that is told apart and handled.
 */
#ifndef PM_CHECK_H
#define PM_CHECK_H

#define PM_CHECK(condition)                                                                        \
    do {                                                                                           \
        static int said_;                                                                          \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            pm_check_failed(#condition, __FILE__, __LINE__, &said_);                               \
        }                                                                                          \
    } while (0)

/** Any thread, any process, a signal handler too. */
void pm_check_failed(const char *condition, const char *file, int line, int *said) __attribute__((cold));

#endif
