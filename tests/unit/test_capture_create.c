/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_capture_create.c: a capture file is made whole or not at all, and nothing else is harmed by it.
 */
#include "capture_case.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../../mod_pmcapture/capture/capture_private.h"
#include "pm_hash.h"
#include "splitmix.h"

static void refused(fixture *f, const char *part)
{
    pm_capture *c = NULL;

    assert_int_not_equal(pm_capture_create(&c, f->path, &SMALL, f->pool, f->notice, &f->err),
                         APR_SUCCESS);
    if (!strstr(f->err.text, part) || !strstr(f->err.text, f->path)) {
        fail_msg("\"%s\" does not say \"%s\" of %s", f->err.text, part, f->path);
    }
}

static void unreadable(fixture *f, const char *part)
{
    pm_capture *c = NULL;

    assert_int_not_equal(pm_capture_open(&c, f->path, f->pool, &f->err), APR_SUCCESS);
    if (!strstr(f->err.text, part) || !strstr(f->err.text, f->path)) {
        fail_msg("\"%s\" does not say \"%s\" of %s", f->err.text, part, f->path);
    }
}

static void put_bytes(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

static void anything_but_a_regular_file_is_refused_with_its_own_sentence(void **state)
{
    fixture *f = *state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};

    mkdir(f->path, 0700);
    refused(f, "is a directory");
    unreadable(f, "is a directory");
    rmdir(f->path);
    mkfifo(f->path, 0600);
    refused(f, "is a FIFO");
    unreadable(f, "is a FIFO");
    unlink(f->path);
    assert_int_equal(symlink("/etc/hostname", f->path), 0);
    refused(f, "is a symbolic link");
    unreadable(f, "no capture file");
    unlink(f->path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(name.sun_path, f->path);
    assert_int_equal(bind(s, (struct sockaddr *)&name, sizeof(name)), 0);
    refused(f, "is a socket or the like");
    close(s);
    strcpy(f->path, "/dev/zero");
    refused(f, "is a device");
    unreadable(f, "is a device");
}

static void dangling_link_makes_no_file_elsewhere(void **state)
{
    fixture *f = *state;
    char other[160];

    snprintf(other, sizeof(other), "%s/other", f->folder);
    assert_int_equal(symlink(other, f->path), 0);
    refused(f, "is a symbolic link");
    assert_int_equal(access(other, F_OK), -1);
}

static void file_of_another_user_is_refused(void **state)
{
    fixture *f = *state;

    if (geteuid() != 0) {
        skip();
    }
    put_bytes(f->path, "", 0);
    assert_int_equal(chown(f->path, 65534, 65534), 0);
    refused(f, "is owned by user 65534");
}

static void missing_folder_and_bad_sizes_are_said(void **state)
{
    fixture *f = *state;
    pm_capture *c;
    pm_retention keep = SMALL;

    keep.events = 3;
    assert_int_not_equal(pm_capture_create(&c, f->path, &keep, f->pool, f->notice, &f->err),
                         APR_SUCCESS);
    assert_non_null(strstr(f->err.text, "events=3 is outside 64 to"));
    assert_int_equal(files(f), 0);
    snprintf(f->path, sizeof(f->path), "%s/none/a.pmc", f->folder);
    refused(f, "cannot open capture file");
}

static void file_that_never_was_a_capture_file_is_left_alone(void **state)
{
    fixture *f = *state;
    const char *const texts[] = {"x", "root:x:0:0:root:/root:/bin/bash\n",
                                 "!<arch>\ndebian-binary"};
    char got[64] = "";

    for (size_t i = 0; i < 3; i++) {
        put_bytes(f->path, texts[i], strlen(texts[i]));
        refused(f, "is not a capture file, and is left alone");
        FILE *file = fopen(f->path, "r");
        got[fread(got, 1, sizeof(got) - 1, file)] = '\0';
        fclose(file);
        assert_string_equal(got, texts[i]);
        assert_int_equal(files(f), 1);
    }
}

/* Run in a child, in a mount namespace of its own with a file system of `size` at the fixture's folder. */
static void on_small_disk(fixture *f, const char *size, int (*body)(fixture *f))
{
    int status;

    if (fork_child(f) == 0) {
        if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("none", f->folder, "tmpfs", 0, size) != 0) {
            _exit(77);
        }
        _exit(body(f));
    }
    status = end_child(f, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

static int create_on_full_disk(fixture *f)
{
    pm_capture *c;

    if (pm_capture_create(&c, f->path, &PM_RETENTION_DEFAULT, f->pool, f->notice, &f->err) ==
        APR_SUCCESS) {
        return 1;
    }
    if (!strstr(f->err.text, "cannot reserve 6") || !strstr(f->err.text, "No space left")) {
        return 2;
    }
    return files(f) == 0 ? 0 : 3;
}

static void full_disk_is_said_and_leaves_nothing(void **state)
{
    on_small_disk(*state, "size=4m", create_on_full_disk);
}

static int grow_on_full_disk(fixture *f)
{
    pm_capture *c = create(f, SMALL);

    pm_row row = row_at(7);
    pm_capture_put_second(c, &row);
    pm_capture_close(c);
    if (pm_capture_create(&c, f->path, &PM_RETENTION_DEFAULT, f->pool, f->notice, &f->err) !=
        APR_SUCCESS) {
        return 1;
    }
    pm_row *rows;
    size_t count;
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, f->pool);
    return count == 1 && strstr(f->notice, "the old sizes stay in use") && files(f) == 1 &&
                   pm_capture_retention(c)->seconds == 60
               ? 0
               : 2;
}

static void no_room_for_new_sizes_keeps_the_old_ones(void **state)
{
    on_small_disk(*state, "size=4m", grow_on_full_disk);
}

static void file_size_limit_is_an_error_and_no_signal(void **state)
{
    fixture *f = *state;

    if (fork_child(f) == 0) {
        const struct rlimit limit = {100000, 100000};
        pm_capture *c;
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(pm_capture_create(&c, f->path, &SMALL, f->pool, f->notice, &f->err) == EFBIG ? 0 : 1);
    }
    assert_int_equal(end_child(f, 0), 0);
    assert_int_equal(files(f), 0);
}

static void empty_file_is_filled_and_a_bad_header_is_taken_from_its_copy(void **state)
{
    fixture *f = *state;

    put_bytes(f->path, "", 0);
    pm_capture *c = create(f, SMALL);
    char *id = apr_pstrdup(f->pool, pm_capture_id_text(c));
    put_event(c, 1, PM_EV_NOTE, 0);
    pm_capture_close(c);
    int fd = open(f->path, O_RDWR);
    assert_int_equal(pwrite(fd, "garbage", 7, 20), 7);
    assert_string_equal(pm_capture_id_text(reopen(f)), id);
    c = create(f, SMALL);
    assert_string_equal(f->notice, "");
    assert_string_equal(pm_capture_id_text(c), id);
    assert_int_equal(pm_capture_last_event(c), 1);
    pm_header both[2];
    assert_int_equal(pread(fd, &both[0], sizeof(both[0]), 0), sizeof(both[0]));
    assert_int_equal(pread(fd, &both[1], sizeof(both[1]), 4096), sizeof(both[1]));
    assert_memory_equal(&both[0], &both[1], sizeof(both[0]));
    close(fd);
}

enum change { NEWER_VERSION, OTHER_ABI, OTHER_ORDER, DAMAGED, ZEROS, CONTRADICTION };

static void change_headers(const char *path, enum change change)
{
    int fd = open(path, O_RDWR);
    pm_header h;

    assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
    h.version += change == NEWER_VERSION;
    h.abi ^= change == OTHER_ABI;
    h.created_us ^= change == DAMAGED;
    h.keep.incidents += change == CONTRADICTION;
    if (change == OTHER_ORDER) {
        h.byte_order = __builtin_bswap32(h.byte_order);
        h.version = __builtin_bswap32(h.version);
    }
    if (change != DAMAGED) {
        h.check = XXH3_64bits(&h, offsetof(pm_header, check));
    }
    if (change == ZEROS) {
        memset(&h, 0, sizeof(h));
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pwrite(fd, &h, sizeof(h), i * 4096), sizeof(h));
    }
    close(fd);
}

static void foreign_header_has_its_sentence_and_the_file_is_kept_aside(void **state)
{
    fixture *f = *state;
    static const char *const says[] = {
        [NEWER_VERSION] = "format version 5",   [OTHER_ABI] = "another architecture",
        [OTHER_ORDER] = "the other byte order", [DAMAGED] = "damaged header",
        [ZEROS] = "not a capture file",         [CONTRADICTION] = "contradict each other",
    };

    for (int change = NEWER_VERSION; change <= CONTRADICTION; change++) {
        pm_capture *c = create(f, SMALL);
        char *id = apr_pstrdup(f->pool, pm_capture_id_text(c)), *old;
        struct stat before, after;
        pm_capture_close(c);
        stat(f->path, &before);
        change_headers(f->path, change);
        unreadable(f, says[change]);
        c = create(f, SMALL);
        assert_string_not_equal(pm_capture_id_text(c), id);
        old = apr_psprintf(f->pool, "%s.old-%d", f->path, change + 1);
        assert_non_null(strstr(f->notice, says[change]));
        assert_non_null(strstr(f->notice, old));
        assert_int_equal(stat(old, &after), 0);
        assert_int_equal(before.st_ino, after.st_ino);
        assert_int_equal(files(f), change + 2);
        pm_capture_close(c);
    }
}

static void short_files_are_said_to_be_short(void **state)
{
    fixture *f = *state;

    put_bytes(f->path, "", 0);
    unreadable(f, "is empty");
    put_bytes(f->path, "PMCAP", 5);
    unreadable(f, "too short");
    pm_capture_close(create(f, SMALL));
    assert_non_null(strstr(f->notice, "a.pmc.old-1"));
}

static void truncated_file_is_extended_and_goes_on(void **state)
{
    fixture *f = *state;
    struct stat st;

    for (off_t length = 128; length < (off_t)pm_capture_size(&SMALL); length += 40961) {
        unlink(f->path);
        pm_capture *c = create(f, SMALL);
        char *id = apr_pstrdup(f->pool, pm_capture_id_text(c));
        pm_capture_close(c);
        assert_int_equal(truncate(f->path, length), 0);
        c = reopen(f);
        assert_int_equal(pm_capture_damage(c).missing_bytes,
                         pm_capture_size(&SMALL) - (uint64_t)length);
        pm_capture_close(c);
        c = create(f, SMALL);
        assert_non_null(strstr(f->notice, "had been truncated"));
        assert_string_equal(pm_capture_id_text(c), id);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_size, pm_capture_size(&SMALL));
        put_event(c, 1, PM_EV_NOTE, 0);
        pm_capture_close(c);
    }
}

/* In place of the C library's, so that a process can die at just this moment. */
static int die_in_allocation;

int posix_fallocate(int fd, off_t offset, off_t len)
{
    if (die_in_allocation) {
        kill(getpid(), SIGKILL);
    }
    return syscall(SYS_fallocate, fd, 0, offset, len) == 0 ? 0 : errno;
}

static void creation_killed_before_the_room_was_there_is_begun_anew(void **state)
{
    fixture *f = *state;
    struct stat st;

    for (int resize = 0; resize < 2; resize++) {
        if (fork_child(f) == 0) {
            die_in_allocation = 1;
            create(f, PM_RETENTION_MEMORY);
            _exit(0);
        }
        assert_true(WIFSIGNALED(end_child(f, 0)));
        assert_int_equal(stat(f->path, &st), 0);
        pm_capture *c = create(f, SMALL);
        assert_string_equal(f->notice, "");
        put_event(c, 1, PM_EV_NOTE, 0);
        assert_int_equal(pm_capture_last_event(c), resize + 1);
        pm_capture_close(c);
    }
    create(f, PM_RETENTION_MEMORY); /* over the unfinished copy */
    assert_int_equal(files(f), 2);
}

static void file_that_was_moved_while_waiting_for_it_is_not_used(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    char *other = apr_psprintf(f->pool, "%s/other", f->folder);

    assert_int_equal(pm_capture_lock(c, 0), APR_SUCCESS);
    if (fork_child(f) == 0) {
        pm_capture *mine = create(f, SMALL);
        _exit(memcmp(pm_capture_id(mine), pm_capture_id(c), 16) != 0 ? 0 : 1);
    }
    usleep(100000);
    assert_int_equal(rename(f->path, other), 0);
    pm_capture_unlock(c);
    assert_int_equal(end_child(f, 0), 0);
    pm_capture *fresh = reopen(f);
    assert_string_not_equal(pm_capture_id_text(fresh), pm_capture_id_text(c));
}

static void killed_creation_leaves_nothing_that_is_trusted(void **state)
{
    fixture *f = *state;
    uint64_t seed = 1;

    for (int i = 0; i < 60; i++) {
        if (fork_child(f) == 0) {
            pm_capture *c;
            pm_capture_create(&c, f->path, &PM_RETENTION_DEFAULT, f->pool, f->notice, &f->err);
            _exit(0);
        }
        usleep((useconds_t)(splitmix_next(&seed) % 12000));
        end_child(f, SIGKILL);
        pm_capture *c = create(f, PM_RETENTION_DEFAULT);
        assert_string_equal(f->notice, "");
        assert_int_equal(pm_capture_last_event(c), 0);
        assert_int_equal(files(f), 1);
        pm_capture_close(reopen(f));
        pm_capture_close(c);
        unlink(f->path);
    }
}

static void processes_that_create_at_once_share_one_file(void **state)
{
    fixture *f = *state;

    for (int round = 0; round < 10; round++) {
        int pipes[2], start[2], ids = 0;
        char id[33], first[33] = "";
        assert_int_equal(pipe(pipes) | pipe(start), 0);
        for (int i = 0; i < 8; i++) {
            if (fork() == 0) {
                pm_capture *c;
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(start[1]);
                if (read(start[0], id, 1) != 0) { /* all at once, when the parent closes it */
                    _exit(1);
                }
                pm_event e = {.at_us = T0, .type = PM_EV_NOTE};
                if (pm_capture_create(&c, f->path, &SMALL, f->pool, f->notice, &f->err) !=
                        APR_SUCCESS ||
                    f->notice[0] || pm_capture_lock(c, 5000000) != APR_SUCCESS ||
                    pm_capture_put_event(c, &e) != APR_SUCCESS) {
                    _exit(1);
                }
                pm_capture_unlock(c);
                _exit(write(pipes[1], pm_capture_id_text(c), 33) == 33 ? 0 : 1);
            }
        }
        close(start[0]);
        close(start[1]);
        close(pipes[1]);
        for (; read(pipes[0], id, 33) == 33; ids++) {
            if (ids == 0) {
                memcpy(first, id, sizeof(id));
            }
            assert_string_equal(id, first);
        }
        close(pipes[0]);
        assert_int_equal(ids, 8);
        while (wait(NULL) > 0) {
        }
        pm_capture *c = reopen(f);
        assert_int_equal(pm_capture_last_event(c), 8);
        pm_capture_close(c);
        assert_int_equal(files(f), 1);
        unlink(f->path);
    }
}

static void assert_filled(fixture *f, pm_capture *c, pm_retention keep)
{
    pm_checkpoint *cp = apr_pcalloc(f->pool, sizeof(*cp));
    pm_incident **incidents;
    pm_sample *samples;
    pm_event *events;
    pm_row *rows;
    size_t count;

    assert_memory_equal(pm_capture_retention(c), &keep, sizeof(keep));
    assert_int_equal(pm_capture_checkpoint(c, cp), APR_SUCCESS);
    assert_int_equal(cp->totals.status[100], 12345);
    assert_int_equal(cp->next_incident, 4);
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, f->pool);
    assert_int_equal(count, 11 + 60);
    assert_int_equal(rows[0].tick, 30);
    assert_int_equal(rows[70].tick, 100);
    pm_capture_minutes(c, 0, UINT64_MAX, &rows, &count, f->pool);
    assert_int_equal(count, 60);
    assert_int_equal(rows[0].tick, 41);
    pm_capture_incidents(c, &incidents, &count, f->pool);
    assert_int_equal(count, 2);
    assert_int_equal(incidents[1]->id, 3);
    pm_capture_samples(c, incidents[1], &samples, &count, f->pool);
    assert_int_equal(count, keep.samples < 4 ? keep.samples : 4);
    assert_int_equal(incidents[1]->sample_count, count);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(events[count - 1].seq, 100);
    assert_int_equal(events[count - 1].data_len, 3000);
    assert_int_equal(pm_capture_last_event(c), 100);
    assert_int_equal(pm_capture_damage(c).records, 0);
}

static void changed_sizes_keep_id_totals_and_history(void **state)
{
    fixture *f = *state;
    const pm_retention sizes[] = {
        SMALL, {300, 600, 16, 256, 32, 0}, {100, 60, 7, 128, 2, 0}, {60, 61, 2, 64, 2, 0}};
    pm_capture *c = create(f, SMALL);
    char *id = apr_pstrdup(f->pool, pm_capture_id_text(c));

    fill(f, c);
    assert_filled(f, c, SMALL);
    for (int i = 1; i < 4; i++) {
        pm_capture_close(c);
        chmod(f->path, 0600);
        c = create(f, sizes[i]);
        assert_non_null(strstr(f->notice, apr_psprintf(f->pool, "%s.old-%d", f->path, i)));
        assert_string_equal(pm_capture_id_text(c), id);
        assert_filled(f, c, sizes[i]);
        assert_int_equal(files(f), i + 1);
        struct stat st;
        stat(f->path, &st);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    put_event(c, 1, PM_EV_NOTE, 0);
    assert_int_equal(pm_capture_last_event(c), 101);
}

static void killed_change_of_sizes_loses_nothing(void **state)
{
    fixture *f = *state;
    const pm_retention sizes[] = {SMALL, {300, 600, 16, 256, 32, 0}};
    uint64_t seed = 2;
    pm_capture *c = create(f, SMALL);

    fill(f, c);
    pm_capture_close(c);
    for (int i = 0; i < 60; i++) {
        if (fork_child(f) == 0) {
            pm_capture_create(&c, f->path, &sizes[(i + 1) % 2], f->pool, f->notice, &f->err);
            _exit(0);
        }
        usleep((useconds_t)(splitmix_next(&seed) % 8000));
        end_child(f, SIGKILL);
        c = create(f, sizes[(i + 1) % 2]);
        assert_filled(f, c, sizes[(i + 1) % 2]);
        pm_capture_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(anything_but_a_regular_file_is_refused_with_its_own_sentence),
        CASE(dangling_link_makes_no_file_elsewhere),
        CASE(file_of_another_user_is_refused),
        CASE(missing_folder_and_bad_sizes_are_said),
        CASE(file_that_never_was_a_capture_file_is_left_alone),
        CASE(full_disk_is_said_and_leaves_nothing),
        CASE(no_room_for_new_sizes_keeps_the_old_ones),
        CASE(file_size_limit_is_an_error_and_no_signal),
        CASE(empty_file_is_filled_and_a_bad_header_is_taken_from_its_copy),
        CASE(foreign_header_has_its_sentence_and_the_file_is_kept_aside),
        CASE(short_files_are_said_to_be_short),
        CASE(truncated_file_is_extended_and_goes_on),
        CASE(creation_killed_before_the_room_was_there_is_begun_anew),
        CASE(file_that_was_moved_while_waiting_for_it_is_not_used),
        CASE(killed_creation_leaves_nothing_that_is_trusted),
        CASE(processes_that_create_at_once_share_one_file),
        CASE(changed_sizes_keep_id_totals_and_history),
        CASE(killed_change_of_sizes_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
