/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_caller.h: the person behind this process, for events that a person caused. Not thread-safe.
 */
#ifndef PM_CALLER_H
#define PM_CALLER_H

#define PM_USER_SIZE 64

/** The one who called sudo, else who logged in (audit's login uid), else whose process it is. A name, or
 *  a number without one. What sudo says comes from the environment: it is a hint, no proof. */
void pm_caller_user(char out[PM_USER_SIZE]);

#endif
