/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * listen.c: the sockets of PMCaptureListen. The parent makes them, so that a port may be a privileged one, and hands them
 * over; the recorder answers there, also while every worker is busy, or none is left.
 */
#include "module.h"

#include <apr_network_io.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <unixd.h>

APLOG_USE_MODULE(pmcapture);

#define KEPT_KEY "mod_pmcapture/listen/1"
#define BACKLOG 64
#define UNIX_PREFIX "unix:"

/** In process-lifetime memory (see retained.h). */
typedef struct kept_listen {
    struct {
        int fd; /* -1 = none */
        int said;
        char spec[256]; /* "" = unused */
    } at[PM_LISTEN_MAX];
} kept_listen;

typedef union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} address;

static kept_listen *kept_get(void)
{
    kept_listen *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        for (int i = 0; i < PM_LISTEN_MAX; i++) {
            kept->at[i].fd = -1;
        }
    }
    return kept;
}

static int is_unix(const char *spec)
{
    return strncmp(spec, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
}

/* ---- the argument ---- */

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
    if (is_unix(spec)) {
        return parse_unix(spec + strlen(UNIX_PREFIX), to, size);
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

const char *pm_listen_problem(const char *arg, apr_pool_t *pool)
{
    address unwanted;
    socklen_t size;

    return strlen(arg) >= 256 ? "it is too long" : parse(arg, &unwanted, &size, pool);
}

/* ---- the sockets ---- */

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

/** -1 with errno. */
static int make(const char *spec, apr_pool_t *pool)
{
    address at;
    socklen_t size;
    int fd, on = 1, error, bound;
    mode_t mask;

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
    mask = umask(0117);
    bound = bind(fd, &at.any, size) == 0;
    error = errno;
    umask(mask);
    if (bound && at.any.sa_family == AF_UNIX && geteuid() == 0 &&
        lchown(at.un.sun_path, (uid_t)-1, ap_unixd_config.group_id) != 0) {
        bound = 0;
        error = errno;
    }
    if (!bound || listen(fd, BACKLOG) != 0) {
        error = bound ? errno : error;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void drop(kept_listen *kept, int i)
{
    if (kept->at[i].fd >= 0) {
        close(kept->at[i].fd);
        if (is_unix(kept->at[i].spec)) {
            unlink(kept->at[i].spec + strlen(UNIX_PREFIX));
        }
    }
    kept->at[i].fd = -1;
    kept->at[i].said = 0;
    kept->at[i].spec[0] = '\0';
}

static int is_wanted(const char *spec)
{
    for (int i = 0; pm_config->listen != NULL && i < pm_config->listen->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(pm_config->listen, i, const char *), spec) == 0) {
            return 1;
        }
    }
    return 0;
}

/** Its place, or a free one: those that are wanted no more have left theirs. */
static int place_of(const kept_listen *kept, const char *spec)
{
    int free_place = -1;

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (strcmp(kept->at[i].spec, spec) == 0) {
            return i;
        }
        free_place = kept->at[i].spec[0] == '\0' ? i : free_place;
    }
    return free_place;
}

static void open_one(kept_listen *kept, int i, const char *spec, server_rec *s, apr_pool_t *pool)
{
    pm_error err;

    apr_cpystrn(kept->at[i].spec, spec, sizeof(kept->at[i].spec));
    if (kept->at[i].fd >= 0) {
        return;
    }
    kept->at[i].fd = make(spec, pool);
    if (kept->at[i].fd < 0 && !kept->at[i].said) {
        kept->at[i].said = 1;
        pm_fail_os(&err, errno, "PMCaptureListen %s: nobody can be answered there", spec);
        pm_say(s, APLOG_CRIT, err.text);
    }
}

int pm_listen_open(server_rec *s, int fds[])
{
    kept_listen *kept = kept_get();
    apr_pool_t *pool;
    int all = 1;

    if (apr_pool_create(&pool, pm.pconf) != APR_SUCCESS) {
        return 0;
    }
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (kept->at[i].spec[0] != '\0' && !is_wanted(kept->at[i].spec)) {
            drop(kept, i);
        }
    }
    for (int i = 0; pm_config->listen != NULL && i < pm_config->listen->nelts; i++) {
        const char *spec = APR_ARRAY_IDX(pm_config->listen, i, const char *);
        int place = place_of(kept, spec);

        if (place >= 0) {
            open_one(kept, place, spec, s, pool);
            all &= kept->at[place].fd >= 0;
        }
    }
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        fds[i] = kept->at[i].fd;
    }
    apr_pool_destroy(pool);
    return all;
}

void pm_listen_leave(int end)
{
    kept_listen *kept = kept_get();

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (end) {
            drop(kept, i);
        }
        else if (kept->at[i].fd >= 0) {
            close(kept->at[i].fd);
            kept->at[i].fd = -1;
        }
    }
}
