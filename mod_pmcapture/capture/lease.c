/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * lease.c: who writes history.
 *
 * Both the lock file and the capture file are locked: workers can put a read lock on the latter, which would keep
 * the lease from everybody, and anybody who cleans up may remove the former.
 */
#include <fcntl.h>
#include <unistd.h>

#include "pm_lease.h"

#define LEASE_BYTE ((off_t)1 << 40)

static int set(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = LEASE_BYTE, .l_len = 1};

    return fcntl(fd, F_SETLK, &lock) == 0;
}

/** Who has a write lock: 0 nobody, -1 somebody in another pid namespace. Read locks are no writer's. */
static pid_t writer(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LEASE_BYTE, .l_len = 1};

    if (fd < 0 || fcntl(fd, F_GETLK, &lock) != 0 || lock.l_type != F_WRLCK) {
        return 0;
    }
    return lock.l_pid > 0 ? lock.l_pid : -1;
}

int pm_lease_take(pm_capture *c)
{
    int fd = pm_capture_fd(c), lock_fd = pm_capture_lock_fd(c);

    if (lock_fd < 0) {
        return set(fd, F_WRLCK);
    }
    if (!set(lock_fd, F_WRLCK)) {
        return 0;
    }
    if (!set(fd, F_WRLCK) && writer(fd) != 0) {
        set(lock_fd, F_UNLCK);
        return 0;
    }
    return 1;
}

pid_t pm_lease_holder(pm_capture *c)
{
    pid_t holder = writer(pm_capture_lock_fd(c));

    return holder != 0 ? holder : writer(pm_capture_fd(c));
}
