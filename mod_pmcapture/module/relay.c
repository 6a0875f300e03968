/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * relay.c: a question of a worker's to the recorder.
 */
#include "relay.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_descriptors.h"
#include "pm_text.h"
#include "retained.h"

APLOG_USE_MODULE(pmcapture);

#define BACKLOG 64

/** A socket's address has room for 107 bytes. A longer path is named by a descriptor of its folder, which is to be closed
 *  when the address is not needed any more; -1 = none. 0 when there is no such folder. */
static int address_of(const char *path, struct sockaddr_un *to, int *folder)
{
    const char *slash = strrchr(path, '/');
    char name[512];

    *folder = -1;
    memset(to, 0, sizeof(*to));
    to->sun_family = AF_UNIX;
    if (strlen(path) < sizeof(to->sun_path)) {
        apr_cpystrn(to->sun_path, path, sizeof(to->sun_path));
        return 1;
    }
    if (slash == NULL || (size_t)(slash - path) >= sizeof(name)) {
        return 0;
    }
    apr_cpystrn(name, path, (size_t)(slash - path) + 1);
    *folder = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *folder >= 0 &&
           (size_t)snprintf(to->sun_path, sizeof(to->sun_path), "/proc/self/fd/%d%s", *folder,
                            slash) < sizeof(to->sun_path);
}

/* ---- the parent ---- */

static void forget(pm_retained *kept)
{
    if (kept->pages_fd >= 0) {
        close(kept->pages_fd);
        kept->pages_fd = -1;
        unlink(kept->pages_path);
    }
    kept->pages_path[0] = '\0';
}

/** Others than the workers' group have no business there: the page may be for some clients alone. */
static int make_socket(const char *path, const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0117);
    int bound = fd >= 0 && bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0;
    int error = errno;

    umask(mask);
    if (bound && geteuid() == 0 && lchown(path, (uid_t)-1, ap_unixd_config.group_id) != 0) {
        bound = 0;
        error = errno;
    }
    if (!bound || listen(fd, BACKLOG) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        errno = bound ? errno : error;
        return -1;
    }
    return fd;
}

int pm_relay_listen(server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    struct sockaddr_un at;
    struct stat st;
    char path[512];
    int folder;

    apr_snprintf(path, sizeof(path), "%s/pmcapture-%s.sock", pm.run_dir,
                 pm_capture_id_text(pm.capture));
    if (kept->pages_fd >= 0 && strcmp(path, kept->pages_path) == 0 && lstat(path, &st) == 0) {
        return kept->pages_fd;
    }
    forget(kept);
    unlink(path); /* of a dead server */
    if (address_of(path, &at, &folder)) {
        kept->pages_fd = make_socket(path, &at);
    }
    else {
        errno = ENAMETOOLONG;
    }
    if (kept->pages_fd < 0) {
        pm_error err;

        pm_fail_os(&err, errno, "the handler cannot ask the recorder: no socket %s", path);
        pm_say(s, APLOG_ERR, err.text);
    }
    else {
        apr_cpystrn(kept->pages_path, path, sizeof(kept->pages_path));
    }
    if (folder >= 0) {
        close(folder);
    }
    return kept->pages_fd;
}

void pm_relay_remove(void)
{
    forget(pm_retained_get());
}

/* ---- a worker ---- */

static apr_status_t close_socket(void *ctx)
{
    const pm_relay *relay = ctx;

    close(relay->fd);
    return APR_SUCCESS;
}

/** APR_SUCCESS when the socket is ready in time. */
static apr_status_t wait_for(int fd, short events)
{
    int n = pm_descriptors_wait(fd, events, PM_RELAY_MS);

    return n > 0 ? APR_SUCCESS : n == 0 ? APR_TIMEUP : errno;
}

static apr_status_t connect_to(pm_relay *relay, const char *path)
{
    struct sockaddr_un at;
    int folder, done;

    relay->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (relay->fd < 0) {
        return errno;
    }
    done = address_of(path, &at, &folder) &&
           connect(relay->fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (folder >= 0) {
        int error = errno;

        close(folder);
        errno = error;
    }
    return done ? APR_SUCCESS : errno;
}

static apr_status_t send_all(const pm_relay *relay, const char *text)
{
    size_t length = strlen(text), sent = 0;

    while (sent < length) {
        ssize_t n = send(relay->fd, text + sent, length - sent, MSG_NOSIGNAL);

        if (n >= 0) {
            sent += (size_t)n;
        }
        else if (errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        else if (wait_for(relay->fd, POLLOUT) != APR_SUCCESS) {
            return APR_TIMEUP;
        }
    }
    return APR_SUCCESS;
}

/** More of the reply behind relay->to; APR_EOF at its end. */
static apr_status_t receive(pm_relay *relay)
{
    for (;;) {
        ssize_t n =
            recv(relay->fd, relay->bytes + relay->to, sizeof(relay->bytes) - 1 - relay->to, 0);
        apr_status_t rv;

        if (n > 0) {
            relay->to += (size_t)n;
            return APR_SUCCESS;
        }
        if (n == 0) {
            return APR_EOF;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        rv = wait_for(relay->fd, POLLIN);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
}

/** The end of the head, when all of it is there; its lines are taken apart in place. */
static int take_head(pm_relay *relay, apr_pool_t *pool)
{
    static const char type[] = "\r\nContent-Type: ";
    char *end, *at;

    relay->bytes[relay->to] = '\0';
    end = strstr(relay->bytes, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    relay->from = (size_t)(end - relay->bytes) + 4;
    *end = '\0';
    relay->status = strncmp(relay->bytes, "HTTP/1.", 7) == 0 ? atoi(relay->bytes + 9) : 0;
    at = strstr(relay->bytes, type);
    if (at != NULL) {
        at += sizeof(type) - 1;
        relay->type = apr_pstrmemdup(pool, at, strcspn(at, "\r"));
    }
    return 1;
}

static apr_status_t read_head(pm_relay *relay, apr_pool_t *pool)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && !take_head(relay, pool)) {
        rv = relay->to < sizeof(relay->bytes) - 1 ? receive(relay) : APR_EGENERAL;
    }
    return rv != APR_SUCCESS                                            ? rv
           : relay->status >= 200 && relay->status < 600 && relay->type ? APR_SUCCESS
                                                                        : APR_EGENERAL;
}

/** As it may stand in the first line of a request: httpd has refused all that could end it, but not a blank. */
static const char *clean(apr_pool_t *pool, const char *text)
{
    char *copy = text != NULL ? apr_pstrdup(pool, text) : NULL;

    for (char *c = copy; c != NULL && *c != '\0'; c++) {
        *c = (unsigned char)*c > ' ' && *c != 0x7f ? *c : '+';
    }
    return copy;
}

static const char *accept_line(apr_pool_t *pool, const char *accept)
{
    return accept != NULL && strpbrk(accept, "\r\n") == NULL && strlen(accept) < 2048
               ? apr_pstrcat(pool, "Accept: ", accept, "\r\n", NULL)
               : "";
}

/** Processes of mpm_itk serve as another user, or from another root, and cannot get at the socket. */
static apr_status_t say_failure(pm_error *err, apr_status_t rv)
{
    if (APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_EAGAIN(rv)) {
        return pm_fail(err, rv, "The recorder does not answer: it hangs, or is started anew");
    }
    if (APR_STATUS_IS_EACCES(rv)) {
        return pm_fail(err, rv,
                       "The recorder answers httpd's User and Group alone, and this request is "
                       "served by user %lu (AssignUserID?): ask for the page on another virtual "
                       "host, or on PMCaptureListen",
                       (unsigned long)geteuid());
    }
    if (APR_STATUS_IS_ENOENT(rv)) {
        return pm_fail(err, APR_EGENERAL,
                       "The recorder's socket is not to be seen by the process that serves this "
                       "request (ChrootDir?), or was removed: ask for the page on PMCaptureListen, "
                       "or reload httpd");
    }
    return pm_fail_os(err, rv, "The recorder cannot be asked");
}

apr_status_t pm_relay_ask(pm_relay **out, const char *path, const char *query, const char *accept,
                          int head_only, apr_pool_t *pool, pm_error *err)
{
    const char *socket_path = pm_retained_get()->pages_path;
    pm_relay *relay = apr_pcalloc(pool, sizeof(*relay));
    apr_status_t rv;

    if (socket_path[0] == '\0') {
        return pm_fail(err, APR_ENOENT, "No recorder is at work: the error log says why");
    }
    rv = connect_to(relay, socket_path);
    if (relay->fd >= 0) {
        apr_pool_cleanup_register(pool, relay, close_socket, apr_pool_cleanup_null);
    }
    query = clean(pool, query);
    if (rv == APR_SUCCESS) {
        rv = send_all(relay, apr_pstrcat(pool, head_only ? "HEAD " : "GET ", path,
                                         query != NULL ? "?" : "", query != NULL ? query : "",
                                         " HTTP/1.0\r\n", accept_line(pool, accept), "\r\n", NULL));
    }
    if (rv == APR_SUCCESS) {
        rv = read_head(relay, pool);
    }
    *out = relay;
    return rv == APR_SUCCESS ? APR_SUCCESS : say_failure(err, rv);
}

apr_status_t pm_relay_pass(pm_relay *relay, pm_sink sink, void *ctx)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS) {
        if (relay->from < relay->to) {
            rv = sink(ctx, relay->bytes + relay->from, relay->to - relay->from);
            relay->from = relay->to = 0;
        }
        else {
            relay->from = relay->to = 0;
            rv = receive(relay);
        }
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
