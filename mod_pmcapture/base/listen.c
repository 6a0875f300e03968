/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * listen.c: an address as it is written, and a listening socket for it.
 */
#include <apr_network_io.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pm_listen.h"

#define BACKLOG 64

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} address;

const char *pm_listen_path(const char *spec)
{
    size_t n = strlen(PM_LISTEN_UNIX);

    return strncmp(spec, PM_LISTEN_UNIX, n) == 0 ? spec + n : NULL;
}

/* ---- the address ---- */

static const char *parse_unix(const char *path, address *to, socklen_t *size)
{
    if (path[0] != '/') {
        return "give unix: and an absolute path";
    }
    if (strlen(path) >= sizeof(to->un.sun_path)) {
        return "the path of a Unix socket has 107 bytes at most";
    }
    to->un.sun_family = AF_UNIX;
    apr_cpystrn(to->un.sun_path, path, sizeof(to->un.sun_path));
    *size = sizeof(to->un);
    return NULL;
}

/** A bare port listens on 127.0.0.1. */
static const char *parse(const char *spec, address *to, socklen_t *size, apr_pool_t *pool)
{
    char *host = NULL, *scope = NULL;
    apr_port_t port = 0;

    memset(to, 0, sizeof(*to));
    if (pm_listen_path(spec) != NULL) {
        return parse_unix(pm_listen_path(spec), to, size);
    }
    if (apr_parse_addr_port(&host, &scope, &port, spec, pool) != APR_SUCCESS || port == 0 ||
        scope != NULL) {
        return "give ADDR:PORT with a numeric address, a port of 127.0.0.1, or unix:PATH";
    }
    if (host == NULL || inet_pton(AF_INET, host, &to->in.sin_addr) == 1) {
        to->in.sin_family = AF_INET;
        to->in.sin_port = htons(port);
        if (host == NULL) {
            to->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        }
        *size = sizeof(to->in);
        return NULL;
    }
    if (inet_pton(AF_INET6, host, &to->in6.sin6_addr) != 1) {
        return "the address must be numeric, IPv6 in brackets: 127.0.0.1:9117, [::1]:9117";
    }
    to->in6.sin6_family = AF_INET6;
    to->in6.sin6_port = htons(port);
    *size = sizeof(to->in6);
    return NULL;
}

const char *pm_listen_problem(const char *spec, apr_pool_t *pool)
{
    address unwanted;
    socklen_t size;

    return strlen(spec) >= PM_LISTEN_SPEC ? "it is too long" : parse(spec, &unwanted, &size, pool);
}

int pm_listen_is_at(int fd, const char *spec, apr_pool_t *pool)
{
    address want, is;
    socklen_t size, is_size = sizeof(is);

    memset(&is, 0, sizeof(is));
    if (fd < 0 || parse(spec, &want, &size, pool) != NULL ||
        getsockname(fd, &is.any, &is_size) != 0 || is.any.sa_family != want.any.sa_family) {
        return 0;
    }
    switch (want.any.sa_family) {
    case AF_INET:
        return is.in.sin_port == want.in.sin_port &&
               is.in.sin_addr.s_addr == want.in.sin_addr.s_addr;
    case AF_INET6:
        return is.in6.sin6_port == want.in6.sin6_port &&
               memcmp(&is.in6.sin6_addr, &want.in6.sin6_addr, sizeof(is.in6.sin6_addr)) == 0;
    default:
        return strncmp(is.un.sun_path, want.un.sun_path, sizeof(is.un.sun_path)) == 0;
    }
}

/* ---- the socket ---- */

/** A socket's file that a dead server has left; whoever listens there keeps it. */
static void remove_stale(const address *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;

    if (fd >= 0 && lstat(at->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
        st.st_uid == geteuid() && connect(fd, &at->any, sizeof(at->un)) != 0 &&
        errno == ECONNREFUSED) {
        unlink(at->un.sun_path);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int bind_to(int fd, const address *at, socklen_t size, gid_t group)
{
    mode_t mask = umask(0117);
    int bound = bind(fd, &at->any, size) == 0, error = errno;

    umask(mask);
    if (bound && at->any.sa_family == AF_UNIX && group != (gid_t)-1 &&
        lchown(at->un.sun_path, (uid_t)-1, group) != 0) {
        bound = 0;
        error = errno;
    }
    errno = error;
    return bound;
}

int pm_listen_make(const char *spec, gid_t group, apr_pool_t *pool)
{
    address at;
    socklen_t size;
    int fd, on = 1, error;

    if (parse(spec, &at, &size, pool) != NULL) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    if (at.any.sa_family == AF_UNIX) {
        remove_stale(&at);
    }
    else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    }
    if (at.any.sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    }
    if (!bind_to(fd, &at, size, group) || listen(fd, BACKLOG) != 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}
