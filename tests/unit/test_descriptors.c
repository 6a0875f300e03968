/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_descriptors.c: descriptors are closed by a kernel that has close_range(2) and by one that has not. Each test is
 * a process of its own, where a system call filter makes the older kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pm_descriptors.h"
#include "pm_time.h"

#define CLOSE_RANGE 436 /* glibc 2.31 has no name for it */

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) != -1;
}

static int without_close_range(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOSE_RANGE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/** The work's answer is 1 where all is well; a signal, or any other status, is a failure. */
static void as_a_process(int (*work)(void), int old_kernel)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit((!old_kernel || without_close_range()) && work() ? 0 : 1);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    assert_int_equal(status, 0);
}

static int three_of_five(void)
{
    for (int fd = 20; fd < 25; fd++) {
        if (dup2(0, fd) != fd) {
            return 0;
        }
    }
    pm_descriptors_close(21, 23);
    return is_open(0) && is_open(20) && !is_open(21) && !is_open(22) && !is_open(23) && is_open(24);
}

static void a_range_is_closed_and_no_more(void **state)
{
    (void)state;
    as_a_process(three_of_five, 0);
    as_a_process(three_of_five, 1);
}

/** As far up as the limit allows, with few in between: what loops over all numbers up to some bound would miss it. */
static int far_up(void)
{
    struct rlimit limit;
    int far;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    limit.rlim_cur = limit.rlim_max < 1000000 ? limit.rlim_max : 1000000;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    far = (int)limit.rlim_cur - 1;
    if (dup2(0, far) != far) {
        return 0;
    }
    pm_descriptors_close(3, ~0u);
    return !is_open(far) && is_open(0) && is_open(1) && is_open(2);
}

static void the_highest_descriptor_is_closed_too(void **state)
{
    (void)state;
    as_a_process(far_up, 0);
    as_a_process(far_up, 1);
}

static int none_left(void)
{
    struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};

    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    while (dup(0) >= 0) {
    }
    pm_descriptors_close(3, ~0u);
    for (int fd = 3; fd < 64; fd++) {
        if (is_open(fd)) {
            return 0;
        }
    }
    return is_open(0);
}

static void none_need_be_left_to_close_the_others(void **state)
{
    (void)state;
    as_a_process(none_left, 0);
    as_a_process(none_left, 1);
}

static void *close_own(void *fd)
{
    if (unshare(CLONE_FILES) != 0) {
        return NULL;
    }
    close(*(int *)fd);
    *(int *)fd = dup2(0, 31);
    pm_descriptors_close(0, ~0u);
    return is_open(31) ? NULL : fd;
}

/** The thread has one open that its process has not, and has closed what its process has open. */
static int of_a_thread(void)
{
    int fd = dup2(0, 30);
    pthread_t thread;
    void *closed = NULL;

    return fd == 30 && pthread_create(&thread, NULL, close_own, &fd) == 0 &&
           pthread_join(thread, &closed) == 0 && closed == &fd && fd == 31 && is_open(0) &&
           is_open(30);
}

static void a_thread_closes_those_of_its_own_table(void **state)
{
    (void)state;
    as_a_process(of_a_thread, 0);
    as_a_process(of_a_thread, 1);
}

static void rings(int number)
{
    (void)number;
}

static void a_wait_that_signals_interrupt_lasts_its_time(void **state)
{
    struct itimerval often = {{0, 3000}, {0, 3000}}, never = {{0, 0}, {0, 0}};
    struct sigaction on = {.sa_handler = rings};
    uint64_t begun = pm_time_monotonic();
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    sigaction(SIGALRM, &on, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    assert_int_equal(pm_descriptors_wait(ends[0], POLLIN, 60), 0);
    assert_true(pm_time_monotonic() - begun >= 60000);
    assert_int_equal(write(ends[1], "!", 1), 1);
    assert_int_equal(pm_descriptors_wait(ends[0], POLLIN, 60000), 1);
    setitimer(ITIMER_REAL, &never, NULL);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_closed_and_no_more),
        cmocka_unit_test(the_highest_descriptor_is_closed_too),
        cmocka_unit_test(none_need_be_left_to_close_the_others),
        cmocka_unit_test(a_thread_closes_those_of_its_own_table),
        cmocka_unit_test(a_wait_that_signals_interrupt_lasts_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
