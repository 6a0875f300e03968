/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * lease.c: who writes history.
 */
#include <fcntl.h>
#include <unistd.h>

#include "pm_lease.h"

#define LEASE_BYTE ((off_t)1 << 40)

static struct flock lease(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = LEASE_BYTE, .l_len = 1};
}

int pm_lease_take(pm_capture *c)
{
    struct flock lock = lease(F_WRLCK);

    return fcntl(pm_capture_fd(c), F_SETLK, &lock) == 0;
}

pid_t pm_lease_holder(pm_capture *c)
{
    struct flock lock = lease(F_WRLCK);

    if (fcntl(pm_capture_fd(c), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) {
        return 0;
    }
    return lock.l_pid > 0 ? lock.l_pid : -1;
}
