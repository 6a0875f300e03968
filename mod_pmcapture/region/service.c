/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * service.c: the control socket of a recorder that is a service of its own, and its greeting.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_service.h"
#include "pm_version.h"

#define MAGIC 0x4f4c4548u /* "HELO" */
#define BACKLOG 16

typedef union ancillary {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * PM_OFFERS)];
} ancillary;

/* ---- the greeting ---- */

int pm_greeting_send(int socket, pm_greeting *greeting, const int offers[PM_OFFERS])
{
    struct iovec data = {greeting, sizeof(*greeting)};
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
    ancillary room;
    int fds[PM_OFFERS];
    size_t count = 0;

    greeting->magic = MAGIC;
    greeting->version = PM_GREETING_VERSION;
    snprintf(greeting->release, sizeof(greeting->release), "%s", PM_VERSION);
    for (int i = 0; i < PM_OFFERS; i++) {
        if (offers[i] >= 0) {
            fds[count++] = offers[i];
        }
    }
    memset(&room, 0, sizeof(room));
    if (count > 0) {
        pm_descriptors_attach(&m, room.bytes, fds, count);
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*greeting);
}

static void take_offers(struct msghdr *m, int offers[PM_OFFERS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

            memcpy(offers, CMSG_DATA(c), (count < PM_OFFERS ? count : PM_OFFERS) * sizeof(int));
            return;
        }
    }
}

apr_status_t pm_greeting_receive(int socket, pm_greeting *greeting, int offers[PM_OFFERS])
{
    struct iovec data = {greeting, sizeof(*greeting)};
    ancillary room;
    struct msghdr m = {.msg_iov = &data,
                       .msg_iovlen = 1,
                       .msg_control = room.bytes,
                       .msg_controllen = sizeof(room.bytes)};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    for (int i = 0; i < PM_OFFERS; i++) {
        offers[i] = -1;
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? APR_EAGAIN : APR_EOF;
    }
    take_offers(&m, offers);
    if (n == 0) {
        return APR_EOF;
    }
    if (n != (ssize_t)sizeof(*greeting) || greeting->magic != MAGIC ||
        greeting->version != PM_GREETING_VERSION || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        for (int i = 0; i < PM_OFFERS; i++) {
            if (offers[i] >= 0) {
                close(offers[i]);
                offers[i] = -1;
            }
        }
        return APR_EINVAL;
    }
    greeting->release[sizeof(greeting->release) - 1] = '\0';
    greeting->capture[sizeof(greeting->capture) - 1] = '\0';
    greeting->refusal[sizeof(greeting->refusal) - 1] = '\0';
    return APR_SUCCESS;
}

/* ---- the socket ---- */

static int address_of(struct sockaddr_un *to, const char *path)
{
    memset(to, 0, sizeof(*to));
    to->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(to->sun_path)) {
        errno = ENAMETOOLONG;
        return 0;
    }
    memcpy(to->sun_path, path, strlen(path));
    return 1;
}

int pm_service_connect(const char *path)
{
    struct sockaddr_un at;
    int fd = address_of(&at, path)
                 ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
                 : -1;

    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/** What stands at `path` may be replaced, or is not there: 1; else a sentence. */
static int make_room(const char *path, pm_error *err)
{
    struct stat st;
    int fd;

    if (lstat(path, &st) != 0) {
        return 1; /* or bind says why not */
    }
    if (!S_ISSOCK(st.st_mode)) {
        pm_fail(err, APR_EEXIST, "%s is no socket: name another path, or remove it", path);
        return 0;
    }
    fd = pm_service_connect(path);
    if (fd >= 0 || errno == EAGAIN) {
        if (fd >= 0) {
            close(fd);
        }
        pm_fail(err, APR_EEXIST,
                "Another recorder answers at %s: one serves one capture file; name another path",
                path);
        return 0;
    }
    if (st.st_uid != geteuid() && geteuid() != 0) {
        pm_fail(err, APR_EACCES, "%s belongs to user %lu: name another path, or remove it", path,
                (unsigned long)st.st_uid);
        return 0;
    }
    unlink(path);
    return 1;
}

int pm_service_listen(const char *path, pm_error *err)
{
    struct sockaddr_un at;
    int fd, done;
    mode_t mask;

    if (!address_of(&at, path)) {
        pm_fail(err, APR_ENAMETOOLONG, "%s is too long: a socket's path has 107 bytes at most",
                path);
        return -1;
    }
    if (!make_room(path, err)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mask = umask(0111); /* who may do what is decided by who they are */
    done = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, BACKLOG) == 0;
    umask(mask);
    if (!done) {
        pm_fail_os(err, errno, "No control socket can be made at %s", path);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

int pm_service_peer(int socket, uid_t *uid, pid_t *pid)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return 0;
    }
    *uid = peer.uid;
    *pid = peer.pid;
    return 1;
}
