/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * descriptors.c: descriptors in a message, and the wait for one; close_range(2), and what stands in for it: glibc 2.31 does
 * not know its number, Linux before 5.9 does not have it, and a system call filter may refuse it.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_time.h"

#if !defined(SYS_close_range) && !defined(__alpha__)
#define SYS_close_range 436 /* one number for every architecture but Alpha */
#endif

#define TRIED_MAX 65536 /* where no limit says how far descriptors may go */

static int close_by_kernel(unsigned from, unsigned to)
{
#ifdef SYS_close_range
    return syscall(SYS_close_range, from, to, 0) == 0;
#else
    return 0;
#endif
}

/** 0: not all were listed. /proc/self would list the process's descriptors, where this thread may have its own. */
static int close_listed(unsigned from, unsigned to)
{
    DIR *open = opendir("/proc/thread-self/fd");
    const struct dirent *e;

    if (open == NULL) {
        return 0;
    }
    while ((e = readdir(open)) != NULL) {
        char *end;
        unsigned long fd = strtoul(e->d_name, &end, 10);

        if (end != e->d_name && fd >= from && fd <= to && (int)fd != dirfd(open)) {
            close((int)fd);
        }
    }
    closedir(open);
    return 1;
}

/** With hundreds of logs none may be left to read /proc with; it may not be mounted either. */
static void close_each(unsigned from, unsigned to)
{
    long most = sysconf(_SC_OPEN_MAX);

    most = most > 0 && most < TRIED_MAX ? most : TRIED_MAX;
    for (unsigned fd = from; fd <= to && fd < (unsigned)most; fd++) {
        close((int)fd);
    }
}

void pm_descriptors_close(unsigned from, unsigned to)
{
    if (from <= to && !close_by_kernel(from, to) && !close_listed(from, to)) {
        close_each(from, to);
    }
}

int pm_descriptors_wait(int fd, short events, int ms)
{
    struct pollfd on = {.fd = fd, .events = events};
    uint64_t end = pm_time_monotonic() + (uint64_t)ms * 1000;
    int n;

    while ((n = poll(&on, 1, ms)) < 0 && errno == EINTR) {
        uint64_t now = pm_time_monotonic();

        ms = now < end ? (int)((end - now + 999) / 1000) : 0;
    }
    return n;
}

void pm_descriptors_attach(struct msghdr *m, void *room, const int *fds, size_t count)
{
    struct cmsghdr *c;

    m->msg_control = room;
    m->msg_controllen = CMSG_SPACE(sizeof(int) * count);
    c = CMSG_FIRSTHDR(m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
}
