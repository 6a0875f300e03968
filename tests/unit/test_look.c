/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_look.c: what one look from outside makes of a server, and what it leaves behind.
 */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pm_time.h"
#include "pmrecorder/prober_look.h"

/** A server on loopback; it takes connections one after the other. */
typedef struct server {
    int fd;
    pthread_t thread;
    pm_target target;
    uint32_t most; /* connections that it takes */
    /** What it answers; NULL = it closes the connection without a word. */
    const char *(*answer)(const char *request);
} server;

static void *serve(void *ctx)
{
    server *s = ctx;

    for (uint32_t i = 0; i < s->most; i++) {
        char request[1024] = "";
        int fd = accept(s->fd, NULL, NULL);
        const char *answer;

        if (fd < 0 || recv(fd, request, sizeof(request) - 1, 0) < 0) {
            close(fd);
            break;
        }
        answer = s->answer(request);
        if (answer != NULL) {
            assert_true(send(fd, answer, strlen(answer), MSG_NOSIGNAL) > 0);
        }
        close(fd);
    }
    return NULL;
}

static void begin_server(server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);

    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, size), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &size), 0);
    memcpy(s->target.listener.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
    s->target.listener.port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end_server(server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

/** To its end; what takes longer than 300 ms takes longer than a look waits. */
static pm_sighting look(const pm_target *target)
{
    pm_target_seen seen = {.sighting = {.reach = PM_REACHES}};
    pm_prober_look k = {.target = target, .seen = &seen, .url = ""};

    pm_look_begin(&k);
    while (k.stage != PM_FREE) {
        struct pollfd on = {.fd = k.fd, .events = k.wants};

        if (poll(&on, 1, 300) > 0) {
            pm_look_step(&k);
        }
        else {
            pm_look_check_time(&k, UINT64_MAX);
        }
    }
    return seen.sighting;
}

static const char *close_each(const char *request)
{
    return strncmp(request, "PROXY ", 6) == 0 ? "HTTP/1.1 400 Bad Request\r\n\r\n" : NULL;
}

static void a_header_that_is_taken_for_a_bad_request_is_not_expected(void **state)
{
    server s = {.answer = close_each, .most = 8};

    (void)state;
    begin_server(&s);
    assert_int_equal(look(&s.target).reach, PM_REACH_CLOSED);
    end_server(&s);
}

static const char *expect_header(const char *request)
{
    return strncmp(request, "PROXY TCP4 127.0.0.1 127.0.0.1 ", 31) == 0 ? "HTTP/1.1 200 OK\r\n\r\n"
                                                                        : NULL;
}

static void a_header_that_is_answered_is_expected(void **state)
{
    server s = {.answer = expect_header, .most = 8};

    (void)state;
    begin_server(&s);
    assert_int_equal(look(&s.target).reach, PM_REACH_PROXY);
    end_server(&s);
}

static void what_the_server_may_still_meet_stays_marked(void **state)
{
    server s = {.answer = close_each, .most = 1};
    pm_live live = {.header = calloc(1, sizeof(*live.header))};
    uint32_t marked = 0;

    (void)state;
    pm_marks_use(&live);
    begin_server(&s);
    assert_int_equal(look(&s.target).reach, PM_REACH_CLOSED);
    for (uint32_t i = 0; i < PM_PROBES; i++) {
        marked += atomic_load(&live.header->probe[i]) != 0;
    }
    assert_int_equal(marked, 3); /* of its four connections one was accepted */
    assert_int_equal(atomic_load(&live.header->probing), 1);
    end_server(&s);
    pm_marks_use(NULL);
    free(live.header);
}

static uint32_t descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    uint32_t n = 0;

    while (readdir(all) != NULL) {
        n++;
    }
    closedir(all);
    return n;
}

/** Of no machine. */
static const pm_target elsewhere = {
    .listener = {.port = 80, .address = {[10] = 0xff, 0xff, 192, 0, 2, 1}}};

static void an_address_that_the_machine_does_not_have_is_said_to_be_so(void **state)
{
    (void)state;
    assert_int_equal(look(&elsewhere).reach, PM_REACH_UNROUTED);
}

/** 0: well; 1: not; 77: it may not have a network of its own. Such a one has no route at all. */
static int look_without_loopback(void)
{
    const pm_target target = {.listener = {.port = 80, .any = 1, .v6 = 1}};
    uint32_t before = descriptors();

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return 77;
    }
    if (look(&target).reach != PM_REACH_UNKNOWN) {
        return 1;
    }
    return look(&elsewhere).reach != PM_REACH_REJECTED || descriptors() != before;
}

static void a_machine_without_loopback_is_not_looked_at_and_costs_no_descriptor(void **state)
{
    int status = 0;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        _exit(look_without_loopback());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

#define CASE(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_header_that_is_taken_for_a_bad_request_is_not_expected),
        CASE(a_header_that_is_answered_is_expected),
        CASE(what_the_server_may_still_meet_stays_marked),
        CASE(an_address_that_the_machine_does_not_have_is_said_to_be_so),
        CASE(a_machine_without_loopback_is_not_looked_at_and_costs_no_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
