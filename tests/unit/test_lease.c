/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_lease.c: who may write, and who cannot keep others from it.
 */
#include "capture_case.h"

#include "pm_lease.h"

/** Another process does something, says so, and stays. */
static void in_child(fixture *f, void (*act)(fixture *f))
{
    int done[2];
    char byte;

    assert_int_equal(pipe(done), 0);
    if (fork_child(f) == 0) {
        act(f);
        (void)!write(done[1], "x", 1);
        pause();
    }
    assert_int_equal(read(done[0], &byte, 1), 1);
    close(done[0]);
    close(done[1]);
}

/** All that a process can do that may only read the capture file. */
static void lock_as_reader(fixture *f)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int fd = open(f->path, O_RDONLY);

    if (fcntl(fd, F_SETLK, &all) != 0 || fcntl(fd, F_OFD_SETLK, &all) != 0) {
        _exit(1);
    }
}

static void lock_as_writer(fixture *f)
{
    pm_capture *c = create(f, SMALL);

    if (pm_capture_lock(c, 0) != APR_SUCCESS || !pm_lease_take(c)) {
        _exit(1);
    }
}

static void remove_lock_file_and_lock(fixture *f)
{
    char name[160];

    lock_as_writer(f);
    snprintf(name, sizeof(name), "%s%s", f->path, PM_LOCK_SUFFIX);
    unlink(name);
}

static void a_readers_locks_keep_neither_the_lease_nor_the_writers_lock(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);

    in_child(f, lock_as_reader);
    assert_int_equal(pm_lease_holder(c), 0);
    assert_true(pm_lease_take(c));
    assert_int_equal(pm_capture_lock(c, 0), APR_SUCCESS);
    put_event(c, 1, PM_EV_NOTE, 0);
    pm_capture_unlock(c);
    assert_int_equal(pm_capture_last_event(c), 1);
    pm_capture_close(c);
    c = create(f, SMALL); /* a reload */
    assert_string_equal(f->notice, "");
    pm_capture_close(c);
}

static void under_a_readers_locks_writers_still_order_themselves(void **state)
{
    fixture *f = *state, other = *f;
    pm_capture *c = create(f, SMALL);

    in_child(f, lock_as_reader);
    in_child(&other, lock_as_writer);
    assert_int_equal(pm_capture_lock(c, 0), APR_EAGAIN);
    assert_false(pm_lease_take(c));
    assert_int_equal(pm_lease_holder(c), other.child);
    end_child(&other, SIGKILL);
    assert_int_equal(pm_capture_lock(c, 0), APR_SUCCESS);
    assert_true(pm_lease_take(c));
    pm_capture_close(c);
}

static void a_lock_file_that_was_removed_lets_nobody_else_in(void **state)
{
    fixture *f = *state;
    pm_capture *c;

    c = create(f, SMALL); /* the child finds it there */
    pm_capture_close(c);
    in_child(f, remove_lock_file_and_lock);
    pid_t holder = f->child;
    assert_int_equal(pm_capture_open_append(&c, f->path, f->pool, &f->err), APR_SUCCESS);
    assert_int_equal(pm_capture_lock_fd(c), -1);
    assert_int_equal(pm_capture_lock(c, 0), APR_EAGAIN);
    assert_false(pm_lease_take(c));
    assert_int_equal(pm_lease_holder(c), holder);
    end_child(f, SIGKILL);
    assert_true(pm_lease_take(c));
    pm_capture_close(c);
}

static void the_lock_file_is_its_owners_alone(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    struct stat st;

    assert_int_equal(fstat(pm_capture_lock_fd(c), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(fcntl(pm_capture_lock_fd(c), F_GETFD) & FD_CLOEXEC);
    pm_capture_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(a_readers_locks_keep_neither_the_lease_nor_the_writers_lock),
        CASE(under_a_readers_locks_writers_still_order_themselves),
        CASE(a_lock_file_that_was_removed_lets_nobody_else_in),
        CASE(the_lock_file_is_its_owners_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
