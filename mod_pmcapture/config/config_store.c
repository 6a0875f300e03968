/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_store.c: a snapshot as a file, CAPTURE.config.
 */
#include "config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_hash.h"

#define FILE_MAX (1ull << 30)

size_t pm_snapshot_size(const pm_snapshot *s)
{
    return s->size + s->entry_count * sizeof(uint64_t);
}

/* ---- checking ---- */

static uint64_t expected_size(const pm_snapshot *s)
{
    return sizeof(*s) + (uint64_t)s->container_count * sizeof(pm_snapshot_container) +
           (uint64_t)s->entry_count * sizeof(pm_snapshot_entry) +
           (uint64_t)s->file_count * sizeof(pm_snapshot_file) + s->text_size;
}

static uint64_t sum_of(const pm_snapshot *s)
{
    size_t from = offsetof(pm_snapshot, sum) + sizeof(s->sum);

    return XXH3_64bits((const char *)s + from, s->size - from);
}

static int containers_valid(const pm_snapshot *s)
{
    const pm_snapshot_container *c = pm_snapshot_containers(s);

    for (uint32_t n = 0; n < s->container_count; n++) {
        if ((n == 0 ? c[n].parent != 0 : c[n].parent >= n || c[n].entry >= s->entry_count) ||
            c[n].name >= s->text_size || c[n].label >= s->text_size || c[n].file >= s->text_size) {
            return 0;
        }
    }
    return 1;
}

static int entries_valid(const pm_snapshot *s)
{
    const pm_snapshot_entry *e = pm_snapshot_entries(s);

    for (uint32_t n = 0; n < s->entry_count; n++) {
        if (e[n].container >= s->container_count || e[n].opens >= s->container_count ||
            e[n].directive >= s->text_size || e[n].args >= s->text_size ||
            e[n].file >= s->text_size || e[n].macro >= s->text_size ||
            e[n].used_file >= s->text_size) {
            return 0;
        }
    }
    return 1;
}

/** Without the marks. */
static int stored_valid(const void *bytes, size_t size)
{
    const pm_snapshot *s = bytes;
    const pm_snapshot_file *f;

    if (size < sizeof(*s) || s->magic != PM_SNAPSHOT_MAGIC || s->version != PM_SNAPSHOT_VERSION ||
        s->size != size || s->detail > PM_CONFIG_OFF || s->container_count == 0 ||
        s->text_size == 0 || s->text_size % 8 != 0 || expected_size(s) != size ||
        !containers_valid(s) || !entries_valid(s)) {
        return 0;
    }
    f = pm_snapshot_files(s);
    for (uint32_t n = 0; n < s->file_count; n++) {
        if (f[n].path >= s->text_size || f[n].state > PM_FILE_SPECIAL) {
            return 0;
        }
    }
    return *pm_snapshot_text(s, 0) == '\0' && *pm_snapshot_text(s, s->text_size - 1) == '\0';
}

int pm_snapshot_valid(const void *bytes, size_t size)
{
    const pm_snapshot *s = bytes;

    return size >= sizeof(*s) && s->size <= size && stored_valid(bytes, s->size) &&
           pm_snapshot_size(s) == size;
}

int pm_snapshot_same(const pm_snapshot *a, const pm_snapshot *b)
{
    size_t from = offsetof(pm_snapshot, container_count);

    return a->size == b->size && a->detail == b->detail &&
           memcmp((const char *)a + from, (const char *)b + from, a->size - from) == 0;
}

/* ---- writing ---- */

/* By place: processes that share a descriptor share where it stands. */
static apr_status_t write_all(int fd, const char *bytes, size_t size)
{
    for (size_t used = 0; used < size;) {
        ssize_t n = pwrite(fd, bytes + used, size - used, (off_t)used);

        if (n < 0 && errno != EINTR) {
            return errno;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    return APR_SUCCESS;
}

/* Not flushed to the disk: a reload need not wait for that. After a power cut an older one, or a
 * damaged one that says so, costs one difference. */
apr_status_t pm_snapshot_save(pm_snapshot *s, const char *path, pm_error *err)
{
    char aside[4096];
    apr_status_t rv;
    int fd;

    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside)) {
        return pm_fail(err, APR_EINVAL, "%s: the path is too long", path);
    }
    s->sum = sum_of(s);
    unlink(aside);
    fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    rv = fd < 0 ? errno : write_all(fd, (const char *)s, s->size);
    if (fd >= 0 && close(fd) != 0 && rv == APR_SUCCESS) {
        rv = errno;
    }
    if (rv == APR_SUCCESS && rename(aside, path) != 0) {
        rv = errno;
    }
    if (rv != APR_SUCCESS) {
        if (fd >= 0) {
            unlink(aside);
        }
        return pm_fail_os(
            err, rv,
            "%s could not be written, so a change of the configuration while httpd is "
            "down will not be seen",
            path);
    }
    return APR_SUCCESS;
}

/* ---- reading ---- */

/** With room for the marks behind it. */
static void *read_all(int fd, size_t size)
{
    char *bytes = calloc(1, size + size / sizeof(pm_snapshot_entry) * sizeof(uint64_t));
    size_t used = 0;

    while (bytes != NULL && used < size) {
        ssize_t n = pread(fd, bytes + used, size - used, (off_t)used);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            free(bytes);
            return NULL;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    return bytes;
}

apr_status_t pm_snapshot_load(pm_snapshot **out, const char *path, pm_error *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    pm_snapshot *s = NULL;

    *out = NULL;
    if (fd < 0) {
        return pm_fail_os(err, errno, "%s cannot be read and is ignored", path);
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        st.st_size >= (off_t)sizeof(*s) && (uint64_t)st.st_size <= FILE_MAX) {
        s = read_all(fd, (size_t)st.st_size);
    }
    close(fd);
    if (s == NULL || !stored_valid(s, (size_t)st.st_size) || s->sum != sum_of(s)) {
        free(s);
        return pm_fail(err, APR_EGENERAL,
                       "%s is damaged or not ours and is ignored: what changed since the last load "
                       "is not known",
                       path);
    }
    *out = s;
    return APR_SUCCESS;
}

/* ---- across reloads ---- */

apr_status_t pm_snapshot_write(const pm_snapshot *s, int fd)
{
    /* A process that died of it may have begun. */
    return ftruncate(fd, 0) == 0 ? write_all(fd, (const char *)s, pm_snapshot_size(s)) : errno;
}

apr_status_t pm_snapshot_read(pm_snapshot **out, int fd)
{
    struct stat st;
    pm_snapshot *s = NULL;

    *out = NULL;
    if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(*s) &&
        (uint64_t)st.st_size <= FILE_MAX) {
        s = read_all(fd, (size_t)st.st_size);
    }
    if (s == NULL || !pm_snapshot_valid(s, (size_t)st.st_size)) {
        free(s);
        return APR_EGENERAL;
    }
    *out = s;
    return APR_SUCCESS;
}
