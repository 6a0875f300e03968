/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_listen.h: where pages are served: an address as it is written, and the listening socket for it.
 *
 * ADDR:PORT with a numeric address, IPv6 in brackets; a bare PORT is 127.0.0.1's; unix:PATH with an absolute path.
 * Thread-safe but for the umask, which is changed for a moment.
 */
#ifndef PM_LISTEN_H
#define PM_LISTEN_H

#include <sys/types.h>

#include <apr_pools.h>

#define PM_LISTEN_MAX 4       /* addresses */
#define PM_LISTEN_SPEC 256    /* bytes of one as it is written, with its end */
#define PM_LISTEN_UNIX "unix:"

/** What is wrong with an address, as advice; NULL = nothing. */
const char *pm_listen_problem(const char *spec, apr_pool_t *pool);
/** Listen there, close-on-exec and non-blocking; -1 with errno. A Unix socket gets this group, (gid_t)-1 leaves it, and
 *  one that a dead server of this user has left is replaced. */
int pm_listen_make(const char *spec, gid_t group, apr_pool_t *pool);
/** 1 when that socket listens there. */
int pm_listen_is_at(int fd, const char *spec, apr_pool_t *pool);
/** The path of a unix:PATH, NULL for another address. */
const char *pm_listen_path(const char *spec);

#endif
