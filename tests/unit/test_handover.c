/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_handover.c: a message with descriptors between httpd's parent and the recorder.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "pm_handover.h"
#include "pm_version.h"

static int pair[2];

static int begin(void **state)
{
    int on = 1;

    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) |
           setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
}

static int end(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static pm_handover nothing(uint32_t kind)
{
    pm_handover h = {.kind = kind};

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    return h;
}

static int open_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void each_descriptor_arrives_in_its_place(void **state)
{
    pm_handover sent = nothing(PM_HANDOVER_LOAD), got;
    struct stat a, b;

    (void)state;
    sent.fd[PM_FD_LIVE] = pm_memory_make("live", 100);
    sent.fd[PM_FD_PAGES] = pm_memory_make("pages", 200);
    assert_int_equal(pm_handover_send(pair[0], &sent), APR_SUCCESS);
    assert_int_equal(pm_handover_receive(pair[1], &got), APR_SUCCESS);
    assert_int_equal(got.kind, PM_HANDOVER_LOAD);
    assert_int_equal(got.uid, geteuid());
    assert_int_equal(got.pid, getpid());
    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        assert_int_equal(got.fd[i] >= 0, i == PM_FD_LIVE || i == PM_FD_PAGES);
    }
    assert_int_equal(fstat(got.fd[PM_FD_LIVE], &a) | fstat(sent.fd[PM_FD_LIVE], &b), 0);
    assert_int_equal(a.st_ino, b.st_ino);
    assert_int_equal(fcntl(got.fd[PM_FD_LIVE], F_GETFD), FD_CLOEXEC);
    pm_handover_close(&got);
    pm_handover_close(&sent);
}

static void nothing_to_receive_and_nobody_there_are_told_apart(void **state)
{
    pm_handover h = nothing(PM_HANDOVER_STOP);

    (void)state;
    assert_int_equal(pm_handover_receive(pair[1], &h), APR_EAGAIN);
    close(pair[0]);
    assert_int_equal(pm_handover_receive(pair[1], &h), APR_EOF);
    assert_int_equal(pm_handover_send(pair[1], &h), APR_EOF);
}

static void a_reader_that_does_not_read_holds_up_no_sender(void **state)
{
    pm_handover h = nothing(PM_HANDOVER_STOP);
    apr_status_t rv = APR_SUCCESS;

    (void)state;
    for (int i = 0; i < 100000 && rv == APR_SUCCESS; i++) {
        rv = pm_handover_send(pair[0], &h);
    }
    assert_int_equal(rv, APR_EAGAIN);
}

static void foreign_messages_are_refused_and_leak_no_descriptor(void **state)
{
    static const char *const texts[] = {"", "x", "GET / HTTP/1.0\r\n\r\n"};
    char long_one[4096] = "";
    pm_handover good = nothing(PM_HANDOVER_LOAD), got;
    int before;

    (void)state;
    good.fd[PM_FD_BLOCK] = pm_memory_make("block", 1);
    before = open_descriptors();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(send(pair[0], texts[i], strlen(texts[i]), 0) >= 0);
        assert_int_equal(pm_handover_receive(pair[1], &got), APR_EINVAL);
    }
    assert_true(send(pair[0], long_one, sizeof(long_one), 0) > 0);
    assert_int_equal(pm_handover_receive(pair[1], &got), APR_EINVAL);
    assert_int_equal(open_descriptors(), before);
    pm_handover_close(&good);
}

/** Somebody's own: as many descriptors as one message takes, and a head that names none. */
static void descriptors_that_no_head_names_are_closed(void **state)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * 40)];
    } room;
    uint32_t head[4] = {0x4f48444du, PM_HANDOVER_VERSION, PM_HANDOVER_LOAD, 0};
    struct iovec data = {head, sizeof(head)};
    struct msghdr m = {.msg_iov = &data,
                       .msg_iovlen = 1,
                       .msg_control = room.bytes,
                       .msg_controllen = sizeof(room.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fds[40], before;
    pm_handover got;

    (void)state;
    memset(&room, 0, sizeof(room));
    c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    for (int i = 0; i < 40; i++) {
        fds[i] = pair[0];
    }
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    before = open_descriptors();
    assert_int_equal(sendmsg(pair[0], &m, 0), sizeof(head));
    assert_int_equal(pm_handover_receive(pair[1], &got), APR_EINVAL);
    assert_int_equal(open_descriptors(), before);
}

static void a_block_is_of_this_version_and_whole(void **state)
{
    uint64_t size = pm_handover_block_size(3);
    pm_handover_block b = {.size = size,
                           .version = PM_HANDOVER_VERSION,
                           .layout = PM_LIVE_LAYOUT,
                           .vhosts = 3,
                           .module_version = PM_VERSION};
    const pm_handover_block *mapped;
    pm_error err = {""};
    int fd = pm_memory_make("block", size);

    (void)state;
    assert_int_equal(pwrite(fd, &b, sizeof(b), 0), sizeof(b));
    mapped = pm_handover_map(fd, &err);
    assert_non_null(mapped);
    munmap((void *)(uintptr_t)mapped, size);
    b.version++;
    assert_int_equal(pwrite(fd, &b, sizeof(b), 0), sizeof(b));
    assert_null(pm_handover_map(fd, &err));
    assert_non_null(strstr(err.text, "different versions"));
    b.version--;
    b.layout++;
    assert_int_equal(pwrite(fd, &b, sizeof(b), 0), sizeof(b));
    assert_null(pm_handover_map(fd, &err));
    b.layout--;
    b.vhosts = 4; /* more than there are */
    assert_int_equal(pwrite(fd, &b, sizeof(b), 0), sizeof(b));
    assert_null(pm_handover_map(fd, &err));
    close(fd);
    assert_null(pm_handover_map(-1, &err));
}

static void memory_that_could_shrink_is_not_mapped(void **state)
{
    int shrinks = memfd_create("shrinks", MFD_CLOEXEC), keeps = pm_memory_make("keeps", 10);
    void *base;

    (void)state;
    assert_int_equal(ftruncate(shrinks, 8192), 0);
    assert_null(pm_memory_map(shrinks, 8192));
    base = pm_memory_map(keeps, 8192);
    assert_non_null(base);
    assert_int_equal(((char *)base)[8191], 0);
    assert_int_not_equal(ftruncate(keeps, 10), 0);
    munmap(base, 8192);
    close(shrinks);
    close(keeps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_descriptor_arrives_in_its_place, begin, end),
        cmocka_unit_test_setup_teardown(nothing_to_receive_and_nobody_there_are_told_apart, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_reader_that_does_not_read_holds_up_no_sender, begin, end),
        cmocka_unit_test_setup_teardown(foreign_messages_are_refused_and_leak_no_descriptor, begin,
                                        end),
        cmocka_unit_test_setup_teardown(descriptors_that_no_head_names_are_closed, begin, end),
        cmocka_unit_test(a_block_is_of_this_version_and_whole),
        cmocka_unit_test(memory_that_could_shrink_is_not_mapped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
