/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_descriptors.h: file descriptors: handed to another process, waited for, and given up by one that does not work with
 * them.
 */
#ifndef PM_DESCRIPTORS_H
#define PM_DESCRIPTORS_H

#include <stddef.h>
#include <sys/socket.h>

/** Put `count` descriptors, from 1, into a message over a Unix socket. `room` has CMSG_SPACE(count * sizeof(int)) bytes,
 *  zeroed and aligned for a struct cmsghdr, and lasts until the message is sent. */
void pm_descriptors_attach(struct msghdr *m, void *room, const int *fds, size_t count);

/** Wait until `fd` is ready for `events` (of poll(2)), `ms` at most; signals do not end it. As poll(2): 0 = it did not
 *  become ready, -1 = errno says why not. Async-signal-safe. */
int pm_descriptors_wait(int fd, short events, int ms);

/** Close every descriptor from `from` to `to`, both included; `to` of ~0u means all from `from` on. It closes those of
 *  the calling thread's own table. Not thread-safe where other threads open files in the same table. */
void pm_descriptors_close(unsigned from, unsigned to);

#endif
