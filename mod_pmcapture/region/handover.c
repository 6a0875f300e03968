/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * handover.c: a message with descriptors between httpd's parent and the recorder.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_handover.h"
#include "pm_version.h"

#define MAGIC 0x4f48444du /* "MDHO" */

typedef struct head {
    uint32_t magic, version, kind, present; /* bit i: fd[i] is among the descriptors */
} head;

/** Room for the descriptors and the sender's credentials, aligned as the kernel wants it. */
typedef union ancillary {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * PM_HANDOVER_FDS) + CMSG_SPACE(sizeof(struct ucred))];
} ancillary;
#define FDS_ROOM (sizeof(ancillary) / sizeof(int))

uint64_t pm_handover_block_size(uint32_t vhosts)
{
    return sizeof(pm_handover_block) + sizeof(pm_handover_vhost) * (uint64_t)vhosts;
}

int pm_memory_make(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 &&
        (ftruncate(fd, (off_t)size) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0)) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

void *pm_memory_map(int fd, uint64_t size)
{
    int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
    struct stat st;
    void *base;

    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0 ||
        ((uint64_t)st.st_size < size && ftruncate(fd, (off_t)size) != 0)) {
        return NULL;
    }
    base = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return base != MAP_FAILED ? base : NULL;
}

const pm_handover_block *pm_handover_map(int fd, pm_error *err)
{
    struct stat st;
    pm_handover_block *b;

    if (fd < 0 || fstat(fd, &st) != 0 || (size_t)st.st_size < sizeof(*b)) {
        pm_fail(err, APR_EINVAL, "httpd's configuration was handed over incomplete");
        return NULL;
    }
    b = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (b == MAP_FAILED) {
        pm_fail_os(err, errno, "what httpd handed over cannot be mapped");
        return NULL;
    }
    if (b->version != PM_HANDOVER_VERSION || b->layout != PM_LIVE_LAYOUT ||
        strncmp(b->module_version, PM_VERSION, sizeof(b->module_version)) != 0 ||
        b->vhosts > PM_VHOSTS_MAX || b->size != (uint64_t)st.st_size ||
        b->size != pm_handover_block_size(b->vhosts)) {
        munmap(b, (size_t)st.st_size);
        pm_fail(err, APR_EINVAL,
                "httpd's module and this recorder are of different versions: install both, and "
                "restart httpd");
        return NULL;
    }
    return b;
}

apr_status_t pm_handover_send(int socket, const pm_handover *h)
{
    head first = {MAGIC, PM_HANDOVER_VERSION, h->kind, 0};
    struct iovec data = {&first, sizeof(first)};
    ancillary room;
    struct msghdr m = {.msg_iov = &data, .msg_iovlen = 1};
    int fds[PM_HANDOVER_FDS];
    size_t count = 0;

    memset(&room, 0, sizeof(room));
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        if (h->fd[i] >= 0) {
            first.present |= 1u << i;
            fds[count++] = h->fd[i];
        }
    }
    if (count > 0) {
        pm_descriptors_attach(&m, room.bytes, fds, count);
    }
    if (sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(first)) {
        return APR_SUCCESS;
    }
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? APR_EAGAIN : APR_EOF;
}

/** The descriptors of a message. Where there are no credentials the kernel gives their room to descriptors, too. */
static size_t take_ancillary(struct msghdr *m, int fds[FDS_ROOM], pm_handover *h)
{
    size_t count = 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && count == 0) {
            count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            count = count < FDS_ROOM ? count : FDS_ROOM;
            memcpy(fds, CMSG_DATA(c), count * sizeof(int));
        }
        else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;

            memcpy(&sender, CMSG_DATA(c), sizeof(sender));
            h->uid = (uint32_t)sender.uid;
            h->pid = (uint32_t)sender.pid;
        }
    }
    return count;
}

apr_status_t pm_handover_receive(int socket, pm_handover *h)
{
    head first;
    struct iovec data = {&first, sizeof(first)};
    ancillary room;
    struct msghdr m = {.msg_iov = &data,
                       .msg_iovlen = 1,
                       .msg_control = room.bytes,
                       .msg_controllen = sizeof(room.bytes)};
    int fds[FDS_ROOM];
    size_t count, next = 0;
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? APR_EAGAIN : APR_EOF;
    }
    h->uid = UINT32_MAX;
    h->pid = 0;
    count = take_ancillary(&m, fds, h);
    if (n == 0 && count == 0 && h->pid == 0) {
        return APR_EOF; /* an empty message has a sender */
    }
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        int there = n == (ssize_t)sizeof(first) && (first.present >> i & 1) && next < count;

        h->fd[i] = there ? fds[next++] : -1;
    }
    h->kind = first.kind;
    if (n != (ssize_t)sizeof(first) || first.magic != MAGIC ||
        first.version != PM_HANDOVER_VERSION || next != count ||
        (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        pm_handover_close(h);
        for (; next < count; next++) {
            close(fds[next]);
        }
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

void pm_handover_close(pm_handover *h)
{
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        if (h->fd[i] >= 0) {
            close(h->fd[i]);
            h->fd[i] = -1;
        }
    }
}
