/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_create.c: a capture file to write to: made, taken over, or set aside for a new one.
 *
 * Several processes may come here at the same moment (a start, a refused second start, an
 * `apachectl graceful`), and each may be killed at any instant. The writers' lock orders them; a header that says
 * MAKING, or none at all in an empty file, tells the next one that the last did not finish.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "capture_private.h"
#include "pm_time.h"

#define CREATE_TRIES 8 /* others may rename or make the file between our steps */
#define CREATE_WAIT                                                                                \
    5000000u /* a holder of the lock needs milliseconds, a migration less than a second */
#define OLD_NAMES 1000
#define ANEW APR_EINTR /* the path names another file now, or none: begin anew */

/* What pm_capture_create is about. */
typedef struct creation {
    const char *path;
    const pm_retention *keep;
    apr_pool_t *pool;
    char *notice; /* [512] */
    pm_error *err;
    int fd;
    int made; /* the file is ours: it may be removed when it cannot be finished */
} creation;

static apr_status_t open_fail(const creation *k, int rv)
{
    if (rv == ELOOP) {
        return pm_fail(k->err, rv, "capture file %s is a symbolic link; name the real file",
                       k->path);
    }
    if (rv == EISDIR) {
        return pm_fail(k->err, rv,
                       "capture file %s is a directory, not a regular file; name another path",
                       k->path);
    }
    if (rv == ENXIO) {
        return pm_fail(
            k->err, rv,
            "capture file %s is a socket or the like, not a regular file; name another path",
            k->path);
    }
    return pm_fail_os(k->err, rv, "cannot open capture file %s for writing", k->path);
}

static apr_status_t open_or_make(creation *k)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

    for (int i = 0; i < CREATE_TRIES; i++) {
        k->made = 0;
        k->fd = open(k->path, flags);
        if (k->fd >= 0) {
            return APR_SUCCESS;
        }
        if (errno != ENOENT) {
            return open_fail(k, errno);
        }
        k->fd = open(k->path, flags | O_CREAT | O_EXCL, 0640);
        if (k->fd >= 0) {
            k->made = 1;
            return APR_SUCCESS;
        }
        if (errno != EEXIST) {
            return open_fail(k, errno);
        }
    }
    return open_fail(k, EEXIST);
}

static apr_status_t check_owner(const creation *k, const struct stat *st)
{
    if (st->st_uid != geteuid()) {
        return pm_fail(k->err, APR_EACCES,
                       "capture file %s is owned by user %lu, not by user %lu who starts httpd; "
                       "remove it or change its "
                       "owner",
                       k->path, (unsigned long)st->st_uid, (unsigned long)geteuid());
    }
    return APR_SUCCESS;
}

static apr_status_t lock(const creation *k)
{
    apr_status_t rv = pm_cap_lock(k->fd, CREATE_WAIT);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return pm_fail(
            k->err, rv,
            "capture file %s is locked by another process, which does not let go of it; end "
            "that process (lslocks names it)",
            k->path);
    }
    return rv == APR_SUCCESS ? rv : pm_fail_os(k->err, rv, "cannot lock capture file %s", k->path);
}

/* Does the path still name what we have open? Whoever had the lock before us may have set it aside. */
static int still_named(const creation *k, struct stat *st)
{
    struct stat named;

    return fstat(k->fd, st) == 0 && lstat(k->path, &named) == 0 && named.st_dev == st->st_dev &&
           named.st_ino == st->st_ino;
}

/* ---- a new file ---- */

static apr_status_t format(int fd, const pm_retention *keep, const uint8_t id[16],
                           uint64_t created_us)
{
    pm_header header;
    apr_status_t rv;

    pm_cap_fill_header(&header, keep, id, created_us, PM_MAKING);
    rv = ftruncate(fd, 0) == 0 ? pm_cap_write_header(fd, &header) : errno;
    return rv == APR_SUCCESS ? pm_cap_allocate(fd, header.size) : rv;
}

/* One fsync is enough: whatever a power cut leaves of it is an unfinished file, or one that was cut off. */
static apr_status_t finish(int fd, const pm_retention *keep, const uint8_t id[16],
                           uint64_t created_us)
{
    pm_header header;

    pm_cap_fill_header(&header, keep, id, created_us, PM_READY);
    apr_status_t rv = pm_cap_write_header(fd, &header);
    return rv == APR_SUCCESS && fsync(fd) != 0 ? errno : rv;
}

/* Without this the name itself may be gone after a power cut. Failing is no reason not to record. */
static void sync_folder(const creation *k)
{
    const char *slash = strrchr(k->path, '/');
    const char *folder = !slash             ? "."
                         : slash == k->path ? "/"
                                            : apr_pstrmemdup(k->pool, k->path, slash - k->path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

static apr_status_t no_room(const creation *k, apr_status_t rv)
{
    return pm_fail_os(k->err, rv,
                      "cannot reserve %" APR_UINT64_T_FMT
                      " bytes for capture file %s; make room, or set a smaller PMCaptureRetention",
                      (apr_uint64_t)pm_capture_size(k->keep), k->path);
}

static apr_status_t make(creation *k)
{
    uint8_t id[16];
    uint64_t now = pm_time_now();
    apr_status_t rv = apr_generate_random_bytes(id, sizeof(id));

    if (rv != APR_SUCCESS) {
        return pm_fail_os(k->err, rv, "no random bytes for the id of capture file %s", k->path);
    }
    rv = format(k->fd, k->keep, id, now);
    if (rv == APR_SUCCESS) {
        rv = finish(k->fd, k->keep, id, now);
    }
    if (rv != APR_SUCCESS) {
        if (!k->made || unlink(k->path) != 0) {
            (void)!ftruncate(k->fd, 0);
        }
        return no_room(k, rv);
    }
    sync_folder(k);
    return APR_SUCCESS;
}

/* ---- a file that is there ---- */

/* Give the file a second name, PATH.old-N; never onto an existing one. */
static apr_status_t name_old(const creation *k, const char **old)
{
    for (int n = 1; n < OLD_NAMES; n++) {
        *old = apr_psprintf(k->pool, "%s.old-%d", k->path, n);
        if (link(k->path, *old) == 0) {
            return APR_SUCCESS;
        }
        if (errno != EEXIST) {
            return pm_fail_os(k->err, errno, "cannot keep the old capture file as %s", *old);
        }
    }
    return pm_fail(k->err, APR_EEXIST, "capture file %s has %d old ones beside it; remove some",
                   k->path, OLD_NAMES - 1);
}

/* Was it ever a capture file? A PMCaptureFile that names something else by mistake must not move it away. */
static int was_ours(const creation *k, const struct stat *st)
{
    static const char zeros[8];
    int ours = (uint64_t)st->st_size == pm_capture_size(k->keep), blank = 1;

    for (int i = 0; i < PM_HEADERS; i++) {
        char head[8] = {0};
        ssize_t n = pread(k->fd, head, sizeof(head), (off_t)i * PM_HEADER_STRIDE);
        ours |= n > 0 && memcmp(head, PM_MAGIC, (size_t)n) == 0;
        blank &= memcmp(head, zeros, sizeof(zeros)) == 0;
    }
    return ours || blank;
}

static apr_status_t set_aside(const creation *k, const struct stat *st, const char *why)
{
    const char *old;

    if (!was_ours(k, st)) {
        return pm_fail(
            k->err, APR_EGENERAL,
            "%s is not a capture file, and is left alone; name another path, or remove it",
            k->path);
    }
    apr_status_t rv = name_old(k, &old);
    if (rv == APR_SUCCESS && unlink(k->path) != 0) {
        rv = pm_fail_os(k->err, errno, "cannot set the old capture file %s aside", k->path);
    }
    if (rv == APR_SUCCESS) {
        apr_snprintf(k->notice, 512, "%s; it is kept as %s and a new one is begun", why, old);
    }
    return rv;
}

/* Write the file of the new sizes beside the old one; nothing that can fail is left for later. */
static apr_status_t build_beside(creation *k, int fd, const pm_header *old)
{
    pm_header header;
    apr_status_t rv = format(fd, k->keep, old->id, old->created_us);

    if (rv != APR_SUCCESS) {
        return no_room(k, rv);
    }
    pm_cap_fill_header(&header, k->keep, old->id, old->created_us, PM_READY);
    pm_capture *to = pm_cap_handle(fd, k->path, &header, k->pool);
    to->writable = 1;
    rv = pm_cap_migrate(to, pm_cap_handle(k->fd, k->path, old, k->pool));
    if (rv == APR_SUCCESS) {
        rv = finish(fd, k->keep, old->id, old->created_us);
    }
    return rv == APR_SUCCESS
               ? rv
               : pm_fail_os(k->err, rv, "cannot copy the history of capture file %s", k->path);
}

/* Other sizes: the history moves into a new file, which takes the old one's place in one step. */
static apr_status_t resize(creation *k, const pm_header *old, const struct stat *st)
{
    const char *beside = apr_psprintf(k->pool, "%s.new", k->path), *kept = NULL;
    apr_status_t rv;

    (void)unlink(beside); /* of a start that was killed here: the lock is ours */
    int fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, st->st_mode & 0777);
    if (fd < 0) {
        return pm_fail_os(k->err, errno, "cannot make %s for the new sizes of the capture file",
                          beside);
    }
    rv = fchown(fd, (uid_t)-1, st->st_gid) == 0 ? APR_SUCCESS : errno;
    rv = rv == APR_SUCCESS ? build_beside(k, fd, old)
                           : pm_fail_os(k->err, rv, "cannot change the group of %s", beside);
    if (rv == APR_SUCCESS) {
        rv = name_old(k, &kept);
    }
    if (rv == APR_SUCCESS && rename(beside, k->path) != 0) {
        rv = pm_fail_os(k->err, errno, "cannot rename %s to %s", beside, k->path);
        (void)unlink(kept);
    }
    if (rv != APR_SUCCESS) {
        (void)unlink(beside);
        close(fd);
        return rv;
    }
    close(k->fd);
    k->fd = fd;
    sync_folder(k);
    apr_snprintf(
        k->notice, 512,
        "the sizes of capture file %s changed: its history was copied, the old file is kept as %s",
        k->path, kept);
    return APR_SUCCESS;
}

/* A file that was cut off, or lost one of its headers, is made whole and used. One that is whole is not written to: the
 * parent would wait for a disk that hangs. */
static apr_status_t mend(const creation *k, const pm_header *header, const struct stat *st)
{
    apr_status_t rv = APR_SUCCESS;

    if ((uint64_t)st->st_size < header->size) {
        rv = pm_cap_allocate(k->fd, header->size);
        apr_snprintf(k->notice, 512,
                     "capture file %s had been truncated to %" APR_UINT64_T_FMT
                     " bytes; it is extended again, what was behind them is lost",
                     k->path, (apr_uint64_t)st->st_size);
    }
    if (rv == APR_SUCCESS && !pm_cap_headers_are(k->fd, header)) {
        rv = pm_cap_write_header(k->fd, header);
    }
    return rv == APR_SUCCESS ? rv : pm_fail_os(k->err, rv, "cannot mend capture file %s", k->path);
}

/* The header is good: use the file as it is, or in its new size. */
static apr_status_t take_over(creation *k, const pm_header *header, const struct stat *st)
{
    pm_error why;

    if (memcmp(&header->keep, k->keep, sizeof(*k->keep)) == 0) {
        return mend(k, header, st);
    }
    apr_status_t rv = resize(k, header, st);
    if (rv != APR_SUCCESS) {
        /* history in the old sizes is better than none */
        apr_cpystrn(why.text, k->err->text, sizeof(why.text));
        apr_status_t mended = mend(k, header, st);
        apr_snprintf(k->notice, 512, "%s; the old sizes stay in use", why.text);
        return mended;
    }
    return rv;
}

/* One look at the file behind k->fd, under the lock. */
static apr_status_t prepare(creation *k)
{
    pm_header header;
    struct stat st;
    pm_error why;

    apr_status_t rv = pm_cap_check_kind(k->fd, k->path, &st, k->err);
    if (rv == APR_SUCCESS) {
        rv = check_owner(k, &st);
    }
    if (rv == APR_SUCCESS) {
        rv = lock(k);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!still_named(k, &st)) {
        return pm_fail(k->err, ANEW, "capture file %s is being replaced again and again", k->path);
    }
    if (st.st_size == 0) {
        return make(k);
    }
    rv = pm_cap_read_header(k->fd, k->path, &header, &why);
    if (rv == APR_SUCCESS) {
        return take_over(k, &header, &st);
    }
    if (rv == APR_EINCOMPLETE) {
        return make(k);
    }
    rv = set_aside(k, &st, why.text);
    return rv == APR_SUCCESS ? ANEW : rv;
}

apr_status_t pm_capture_create(pm_capture **out, const char *path, const pm_retention *keep,
                               apr_pool_t *pool, char notice[512], pm_error *err)
{
    pm_retention wanted = *keep;
    pm_error unwanted = {""};
    creation k = {.path = path,
                  .keep = &wanted,
                  .pool = pool,
                  .notice = notice,
                  .err = err ? err : &unwanted,
                  .fd = -1};
    pm_header header;
    apr_status_t rv;

    notice[0] = '\0';
    wanted.pad = 0; /* it is compared with the header's */
    rv = pm_cap_check_retention(keep, k.err);
    for (int i = 0; i < CREATE_TRIES && rv == APR_SUCCESS; i++) {
        rv = open_or_make(&k);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        rv = prepare(&k);
        if (rv == APR_SUCCESS) {
            rv = pm_cap_read_header(k.fd, path, &header, k.err);
            break;
        }
        close(k.fd);
        rv = rv == ANEW && i + 1 < CREATE_TRIES ? APR_SUCCESS : rv;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    pm_capture *c = pm_cap_handle(k.fd, path, &header, pool);
    c->owns_fd = c->writable = 1;
    c->real_path = pm_cap_real_path(k.fd, pool);
    pm_cap_open_lock(c, 1);
    rv = pm_cap_need_tail(c);
    pm_capture_unlock(c);
    if (rv != APR_SUCCESS) {
        pm_capture_close(c);
        return pm_fail_os(k.err, rv, "cannot write to capture file %s", path);
    }
    *out = c;
    return APR_SUCCESS;
}
