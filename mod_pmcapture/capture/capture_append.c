/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_append.c: one event into a capture file that is there: from a start that failed, a command that was
 * refused, a person's note. Nothing is made, renamed or mended here: that is for a server that runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "capture_private.h"

#define LOCK_WAIT_US 2000000u

/* The same owner's, or opened by root: nobody is to lead us into writing to another's file. */
static apr_status_t check_owner(int fd, const char *path, pm_error *err)
{
    struct stat st;
    apr_status_t rv = pm_cap_check_kind(fd, path, &st, err);

    if (rv == APR_SUCCESS && geteuid() != 0 && st.st_uid != geteuid()) {
        rv = pm_fail(err, APR_EACCES,
                     "capture file %s is owned by user %lu; write to it as that one", path,
                     (unsigned long)st.st_uid);
    }
    return rv;
}

apr_status_t pm_capture_open_append(pm_capture **out, const char *path, apr_pool_t *pool,
                                    pm_error *err)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    apr_status_t rv;

    if (fd < 0) {
        return pm_fail_os(err, errno, "cannot open capture file %s for writing", path);
    }
    rv = check_owner(fd, path, err);
    if (rv == APR_SUCCESS) {
        rv = pm_capture_open_fd(out, fd, path, pool, err);
    }
    if (rv != APR_SUCCESS) {
        close(fd);
        return rv;
    }
    (*out)->owns_fd = (*out)->writable = 1;
    pm_cap_open_lock(*out, 0);
    return APR_SUCCESS;
}

apr_status_t pm_capture_append(pm_capture *c, pm_event *event, pm_error *err)
{
    apr_status_t rv = pm_capture_lock(c, LOCK_WAIT_US);

    if (rv != APR_SUCCESS) {
        return pm_fail(err, rv, "capture file %s is locked by another process; try again", c->path);
    }
    rv = pm_capture_put_event(c, event);
    if (rv == APR_SUCCESS) {
        rv = pm_capture_sync(c);
    }
    pm_capture_unlock(c);
    return rv == APR_SUCCESS ? rv : pm_fail_os(err, rv, "cannot write to capture file %s", c->path);
}
