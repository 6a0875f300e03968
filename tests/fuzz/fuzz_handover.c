/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_handover.c: what somebody sends to the recorder in httpd's place: the message, then the block that it speaks of;
 * and the same to httpd in a service's place.
 * Nothing is read beyond it, and no descriptor stays open.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"

#include "pm_handover.h"
#include "pm_service.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/** Send `size` bytes with `count` descriptors of `fd`. */
static void send_with(int socket, const uint8_t *data, size_t size, int fd, size_t count)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 64)];
    } room;
    struct iovec part = {(void *)(uintptr_t)data, size};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    int fds[64];

    memset(&room, 0, sizeof(room));
    for (size_t i = 0; i < count; i++) {
        fds[i] = fd;
    }
    if (count > 0) {
        struct cmsghdr *c;

        m.msg_control = room.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    sendmsg(socket, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void try_block(const uint8_t *data, size_t size)
{
    int fd = pm_memory_make("block", 0);
    const pm_handover_block *b;
    uint64_t sum = 0;

    if (pwrite(fd, data, size, 0) == (ssize_t)size) {
        b = pm_handover_map(fd, NULL);
        if (b != NULL) {
            for (uint32_t v = 0; v < b->vhosts; v++) {
                sum += b->vhost[v].burst.errors + (uint8_t)b->vhost[v].defined[PM_KEY - 1];
            }
            fuzz_expect(b->size >= sizeof(*b) && sum < UINT64_MAX, "it is as large as it says");
            munmap((void *)(uintptr_t)b, b->size);
        }
    }
    close(fd);
}

/** What httpd takes for a service's greeting ends its strings, and leaves no descriptor. */
static void try_greeting(int to, int from, const uint8_t *data, size_t size, size_t count)
{
    int offers[PM_OFFERS];
    pm_greeting greeting;

    send_with(to, data, size, to, count);
    if (pm_greeting_receive(from, &greeting, offers) == APR_SUCCESS) {
        fuzz_expect(strlen(greeting.capture) < sizeof(greeting.capture) &&
                        strlen(greeting.refusal) < sizeof(greeting.refusal),
                    "strings end");
    }
    for (int i = 0; i < PM_OFFERS; i++) {
        if (offers[i] >= 0) {
            close(offers[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    size_t count = feed_number(&f, 1) % 64, length = feed_number(&f, 1) % 64;
    int pair[2], next, after;
    pm_handover h;

    fuzz_expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "a pair");
    next = dup(pair[0]);
    close(next);
    length = length < feed_left(&f) ? length : feed_left(&f);
    send_with(pair[0], data + size - feed_left(&f), length, pair[0], count);
    if (pm_handover_receive(pair[1], &h) == APR_SUCCESS) {
        for (int i = 0; i < PM_HANDOVER_FDS; i++) {
            fuzz_expect(h.fd[i] < 0 || fcntl(h.fd[i], F_GETFD) == FD_CLOEXEC, "ours, or none");
        }
        pm_handover_close(&h);
    }
    try_greeting(pair[0], pair[1], data, size, count);
    after = dup(pair[0]);
    fuzz_expect(after == next, "no descriptor stays open");
    close(after);
    close(pair[0]);
    close(pair[1]);
    try_block(data + size - feed_left(&f), feed_left(&f));
    return 0;
}
