/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_caller.h: the person behind this process, for events that a person caused, and what another process is.
 */
#ifndef PM_CALLER_H
#define PM_CALLER_H

#include <stdint.h>
#include <sys/types.h>

#define PM_USER_SIZE 64

/** The one who called sudo, else who logged in (audit's login uid), else whose process it is. A name, or
 *  a number without one. What sudo says comes from the environment: it is a hint, no proof. Not thread-safe. */
void pm_caller_user(char out[PM_USER_SIZE]);

/** A process as /proc shows it. */
typedef struct pm_process {
    pid_t pid, parent; /* parent 0 = not known */
    char name[16];     /* of its program, cut by the kernel; "" = it cannot be seen */
    uint32_t length;   /* of its arguments, with a NUL after each; 0 = it has ended, or has none */
    char arguments[508];
} pm_process;

/** Look at it. Async-signal-safe: it opens, reads and closes two files of /proc, and no more. */
void pm_process_look(pm_process *process, pid_t pid);

/** What people call it, such as "apache2 -k stop" or "certbot renew": the program, or the script that it interprets, and
 *  what it is asked to do when that is a word that tells of no more; other arguments may be secrets. "" = not known. */
#define PM_COMMAND_SIZE 80
void pm_process_command(const pm_process *process, char out[PM_COMMAND_SIZE]);

#endif
