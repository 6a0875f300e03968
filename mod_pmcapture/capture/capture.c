/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture.c: the capture file as a whole: its layout and header, opening it to read, lock and verify.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "capture_private.h"
#include "pm_hash.h"
#include "pm_time.h"

#define LOCK_POLL_US 500u

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

pm_layout pm_cap_layout(const pm_retention *keep)
{
    pm_layout l = {0};
    uint64_t at = PM_HEADERS * PM_HEADER_STRIDE;

    l.checkpoint_room = align_up(sizeof(pm_head) + sizeof(pm_checkpoint) + PM_PACK_EXTRA, 4096);
    l.incident_room = align_up(
        sizeof(pm_head) + sizeof(pm_incident_meta) + sizeof(pm_incident) + PM_PACK_EXTRA, 512);
    l.copy_room =
        l.incident_room + align_up(sizeof(pm_head) + sizeof(pm_incident_meta) +
                                       (uint64_t)keep->samples * sizeof(pm_sample) + PM_PACK_EXTRA,
                                   512);
    l.blocks[PM_RING_CORE] = keep->events / 4 * 3;
    l.blocks[PM_RING_FLOOD] = keep->events - l.blocks[PM_RING_CORE];

    l.tail = at;
    l.checkpoint[0] = at += 4096;
    l.checkpoint[1] = at += l.checkpoint_room;
    l.seconds = at += l.checkpoint_room;
    l.pin_index = at = align_up(at + keep->seconds * sizeof(pm_row_record), 4096);
    l.minutes = at = align_up(at + keep->incidents * PM_PIN_PARTS * sizeof(pm_pin), 4096);
    l.events[PM_RING_CORE] = at = align_up(at + keep->minutes * sizeof(pm_row_record), 4096);
    l.events[PM_RING_FLOOD] = at = align_up(at + (uint64_t)l.blocks[PM_RING_CORE] * PM_BLOCK, 4096);
    l.incidents = at = align_up(at + (uint64_t)l.blocks[PM_RING_FLOOD] * PM_BLOCK, 4096);
    l.pinned = at = align_up(at + keep->incidents * 2 * l.copy_room, 4096);
    l.size =
        align_up(at + (uint64_t)keep->incidents * PM_PINNED_ROWS * sizeof(pm_row_record), 4096);
    return l;
}

uint64_t pm_capture_size(const pm_retention *keep)
{
    return pm_cap_layout(keep).size;
}

apr_status_t pm_cap_check_retention(const pm_retention *keep, pm_error *err)
{
    static const char range[] =
        "capture file: %s=%" APR_UINT64_T_FMT
        " is outside %u to %u; set another PMCaptureRetention or PMCaptureSamples";
    const struct {
        const char *name;
        uint64_t value;
        unsigned low, high;
    } limits[] = {
        {"seconds", keep->seconds, PM_SECONDS_MIN, PM_SECONDS_MAX},
        {"minutes", keep->minutes, PM_MINUTES_MIN, PM_MINUTES_MAX},
        {"incidents", keep->incidents, PM_INCIDENTS_MIN, PM_INCIDENTS_MAX},
        {"events", keep->events, PM_EVENTS_MIN, PM_EVENTS_MAX},
        {"samples", keep->samples, 0, PM_SAMPLES_MAX},
    };

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        if (limits[i].value < limits[i].low || limits[i].value > limits[i].high) {
            return pm_fail(err, APR_EINVAL, range, limits[i].name, (apr_uint64_t)limits[i].value,
                           limits[i].low, limits[i].high);
        }
    }
    return APR_SUCCESS;
}

/* A build that stores anything in another size has another word, and refuses instead of misreading (LMDB). */
static uint64_t abi_word(void)
{
    const uint64_t sizes[] = {
        sizeof(pm_header),
        sizeof(pm_head),
        sizeof(pm_tail),
        sizeof(pm_checkpoint),
        sizeof(pm_server),
        sizeof(pm_totals),
        sizeof(pm_row),
        sizeof(pm_pin),
        sizeof(pm_block),
        sizeof(pm_event_body),
        sizeof(pm_incident),
        sizeof(pm_tally),
        sizeof(pm_sample),
        sizeof(pm_incident_meta),
        PM_PINNED_ROWS,
        PM_RUNS,
        PM_HIST_BUCKETS,
        PM_STATUS_SLOTS,
        PM_EV_TYPES,
        offsetof(pm_incident, by_vhost),
        offsetof(pm_incident, hist),
        _Alignof(double),
    };
    return XXH3_64bits(sizes, sizeof(sizes));
}

static uint64_t header_check(const pm_header *h)
{
    return XXH3_64bits(h, offsetof(pm_header, check));
}

void pm_cap_fill_header(pm_header *h, const pm_retention *keep, const uint8_t id[16],
                        uint64_t created_us, enum pm_header_state state)
{
    memset(h, 0, sizeof(*h));
    memcpy(h->magic, PM_MAGIC, sizeof(h->magic));
    h->byte_order = PM_BYTE_ORDER;
    h->version = PM_CAPTURE_VERSION;
    h->abi = abi_word();
    memcpy(h->id, id, sizeof(h->id));
    h->created_us = created_us;
    h->keep = *keep;
    h->size = pm_capture_size(keep);
    h->state = state;
    h->check = header_check(h);
}

static apr_status_t judge_header(const pm_header *h, const char *path, pm_error *err)
{
    if (memcmp(h->magic, PM_MAGIC, sizeof(h->magic)) != 0) {
        return pm_fail(err, APR_EGENERAL, "%s is not a capture file, or its header is destroyed",
                       path);
    }
    if (h->byte_order == __builtin_bswap32(PM_BYTE_ORDER)) {
        return pm_fail(
            err, APR_ENOTIMPL,
            "capture file %s was written on a machine of the other byte order; read it there",
            path);
    }
    if (h->byte_order == PM_BYTE_ORDER && h->version != PM_CAPTURE_VERSION) {
        return pm_fail(err, APR_ENOTIMPL,
                       "capture file %s has format version %u, this program reads version %u; use "
                       "the mod_pmcapture "
                       "that wrote it",
                       path, h->version, PM_CAPTURE_VERSION);
    }
    if (h->check != header_check(h)) {
        return pm_fail(err, APR_EGENERAL,
                       "capture file %s has a damaged header; restore a copy of it", path);
    }
    if (h->abi != abi_word()) {
        return pm_fail(err, APR_ENOTIMPL,
                       "capture file %s was written by a build for another architecture (ABI "
                       "%016" APR_UINT64_T_HEX_FMT ", here %016" APR_UINT64_T_HEX_FMT
                       "); read it with that build",
                       path, (apr_uint64_t)h->abi, (apr_uint64_t)abi_word());
    }
    if (h->state == PM_MAKING) {
        return pm_fail(err, APR_EINCOMPLETE,
                       "capture file %s was never finished: the start that made it was ended; "
                       "start httpd again",
                       path);
    }
    if (h->state != PM_READY || pm_cap_check_retention(&h->keep, NULL) != APR_SUCCESS ||
        h->size != pm_capture_size(&h->keep) || h->created_us > PM_TIME_LAST) {
        return pm_fail(err, APR_EGENERAL,
                       "capture file %s has a header whose sizes contradict each other", path);
    }
    return APR_SUCCESS;
}

static int read_fully(int fd, void *into, size_t len, off_t offset)
{
    ssize_t n;

    do {
        n = pread(fd, into, len, offset);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)len;
}

apr_status_t pm_cap_read_header(int fd, const char *path, pm_header *header, pm_error *err)
{
    apr_status_t rv = APR_SUCCESS;

    for (int i = 0; i < PM_HEADERS; i++) {
        pm_header h;
        if (!read_fully(fd, &h, sizeof(h), (off_t)i * PM_HEADER_STRIDE)) {
            memset(&h, 0, sizeof(h));
        }
        /* the sentence is the first header's: the second one is there for when that is damaged */
        apr_status_t got = judge_header(&h, path, i == 0 ? err : NULL);
        if (got == APR_SUCCESS) {
            *header = h;
            return APR_SUCCESS;
        }
        if (i == 0) {
            rv = got;
        }
    }
    return rv;
}

int pm_cap_headers_are(int fd, const pm_header *header)
{
    for (int i = 0; i < PM_HEADERS; i++) {
        pm_header h;
        if (!read_fully(fd, &h, sizeof(h), (off_t)i * PM_HEADER_STRIDE) ||
            memcmp(&h, header, sizeof(h)) != 0) {
            return 0;
        }
    }
    return 1;
}

apr_status_t pm_cap_write_header(int fd, const pm_header *header)
{
    int copies = header->state == PM_READY ? PM_HEADERS : 1;

    for (int i = 0; i < copies; i++) {
        ssize_t n;
        do {
            n = pwrite(fd, header, sizeof(*header), (off_t)i * PM_HEADER_STRIDE);
        } while (n < 0 && errno == EINTR);
        if (n != (ssize_t)sizeof(*header)) {
            return n < 0 ? errno : ENOSPC;
        }
    }
    return APR_SUCCESS;
}

int pm_cap_allocate(int fd, uint64_t size)
{
    struct rlimit limit;
    int rv;

    /* going over RLIMIT_FSIZE would raise SIGXFSZ, which ends httpd while it reads its configuration */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        limit.rlim_cur < size) {
        return EFBIG;
    }
    do {
        rv = posix_fallocate(fd, 0, (off_t)size);
    } while (rv == EINTR);
    return rv;
}

apr_status_t pm_cap_check_kind(int fd, const char *path, struct stat *st, pm_error *err)
{
    if (fstat(fd, st) != 0) {
        return pm_fail_os(err, errno, "cannot examine capture file %s", path);
    }
    if (!S_ISREG(st->st_mode)) {
        return pm_fail(err, APR_EINVAL,
                       "capture file %s is %s, not a regular file; name another path", path,
                       S_ISDIR(st->st_mode)                           ? "a directory"
                       : S_ISFIFO(st->st_mode)                        ? "a FIFO"
                       : S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? "a device"
                                                                      : "a socket or the like");
    }
    return APR_SUCCESS;
}

static void hex(char *out, const uint8_t *in, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = '\0';
}

pm_capture *pm_cap_handle(int fd, const char *path, const pm_header *header, apr_pool_t *pool)
{
    pm_capture *c = apr_pcalloc(pool, sizeof(*c));

    c->pool = pool;
    c->path = apr_pstrdup(pool, path);
    c->fd = fd;
    c->lock_fd = -1;
    c->header = *header;
    c->layout = pm_cap_layout(&header->keep);
    c->seed = XXH3_64bits(header->id, sizeof(header->id));
    hex(c->id_text, header->id, sizeof(header->id));
    c->scratch =
        apr_palloc(pool, c->layout.copy_room > PM_SCRATCH ? c->layout.copy_room : PM_SCRATCH);
    c->event = apr_palloc(pool, PM_EVENT_BLOCKS * PM_BLOCK);
    return c;
}

apr_status_t pm_capture_open_fd(pm_capture **out, int fd, const char *path, apr_pool_t *pool,
                                pm_error *err)
{
    pm_header header;
    struct stat st;
    apr_status_t rv = pm_cap_check_kind(fd, path, &st, err);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    if ((size_t)st.st_size < sizeof(pm_header)) {
        return pm_fail(err, APR_EINCOMPLETE, "%s is %s; it is no capture file, or was cut off",
                       path, st.st_size == 0 ? "empty" : "too short to hold a header");
    }
    rv = pm_cap_read_header(fd, path, &header, err);
    if (rv == APR_SUCCESS) {
        *out = pm_cap_handle(fd, path, &header, pool);
    }
    return rv;
}

apr_status_t pm_capture_open(pm_capture **out, const char *path, apr_pool_t *pool, pm_error *err)
{
    /* O_NONBLOCK: a FIFO in place of the file must not hang the reader */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        return pm_fail_os(err, errno, "cannot open capture file %s", path);
    }
    apr_status_t rv = pm_capture_open_fd(out, fd, path, pool, err);
    if (rv == APR_SUCCESS) {
        (*out)->owns_fd = 1;
    }
    else {
        close(fd);
    }
    return rv;
}

apr_status_t pm_capture_adopt(pm_capture **out, int fd, int lock_fd, const char *path,
                              apr_pool_t *pool, pm_error *err)
{
    apr_status_t rv = pm_capture_open_fd(out, fd, path, pool, err);

    if (rv != APR_SUCCESS) {
        close(fd);
        if (lock_fd >= 0) {
            close(lock_fd);
        }
        return rv;
    }
    (*out)->owns_fd = (*out)->writable = 1;
    (*out)->lock_fd = lock_fd;
    (*out)->real_path = pm_cap_real_path(fd, pool);
    return APR_SUCCESS;
}

void pm_capture_close(pm_capture *c)
{
    if (c->owns_fd && c->fd >= 0) {
        close(c->fd);
    }
    if (c->lock_fd >= 0) {
        close(c->lock_fd);
    }
    c->fd = c->lock_fd = -1;
}

int pm_capture_fd(const pm_capture *c)
{
    return c->fd;
}

int pm_capture_lock_fd(const pm_capture *c)
{
    return c->lock_fd;
}

const char *pm_capture_path(const pm_capture *c)
{
    return c->path;
}

const uint8_t *pm_capture_id(const pm_capture *c)
{
    return c->header.id;
}

const char *pm_capture_id_text(const pm_capture *c)
{
    return c->id_text;
}

uint64_t pm_capture_created(const pm_capture *c)
{
    return c->header.created_us;
}

const pm_retention *pm_capture_retention(const pm_capture *c)
{
    return &c->header.keep;
}

/* Byte 0 alone: another byte is the recorder's lease (lease.c). */
static struct flock writers_lock(short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_len = 1};
}

/* Workers can read the file, so one that was taken over can put a read lock on it. Writers never do: who may only
 * read is not to stop them. Among themselves the lock file keeps them apart then. */
static int only_readers(int fd)
{
    struct flock lock = writers_lock(F_WRLCK);

    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK;
}

apr_status_t pm_cap_lock(int fd, uint64_t wait_us)
{
    struct flock lock = writers_lock(F_WRLCK);
    uint64_t until = pm_time_monotonic() + wait_us;

    while (fcntl(fd, F_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return errno;
        }
        if (only_readers(fd)) {
            return APR_SUCCESS;
        }
        if (pm_time_monotonic() >= until) {
            return APR_EAGAIN;
        }
        usleep(LOCK_POLL_US);
    }
    return APR_SUCCESS;
}

static _Atomic int own_writers; /* handles of this process that are locked */

int pm_cap_written_here(const pm_capture *c)
{
    return !c->locked && own_writers > 0;
}

int pm_cap_locked(int fd)
{
    struct flock lock = writers_lock(F_WRLCK);
    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static void unlock(int fd)
{
    struct flock lock = writers_lock(F_UNLCK);

    (void)fcntl(fd, F_SETLK, &lock);
}

void pm_cap_open_lock(pm_capture *c, int make)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    const char *path = apr_pstrcat(c->pool, c->path, PM_LOCK_SUFFIX, NULL);

    /* O_CREAT waits for a disk that hangs even where the file is there. */
    c->lock_fd = open(path, flags);
    if (c->lock_fd < 0 && make) {
        c->lock_fd = open(path, flags | O_CREAT, 0600);
    }
}

apr_status_t pm_capture_lock(pm_capture *c, uint64_t wait_us)
{
    apr_status_t rv = c->lock_fd >= 0 ? pm_cap_lock(c->lock_fd, wait_us) : APR_SUCCESS;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    /* The file itself too: that is what its readers look at. */
    rv = pm_cap_lock(c->fd, wait_us);
    if (rv != APR_SUCCESS && c->lock_fd >= 0) {
        unlock(c->lock_fd);
    }
    if (rv == APR_SUCCESS) {
        c->locked = 1;
        own_writers++;
        c->tail_known = 0; /* another process may have written events since */
    }
    return rv;
}

void pm_capture_unlock(pm_capture *c)
{
    own_writers -= c->locked;
    c->locked = 0;
    unlock(c->fd);
    if (c->lock_fd >= 0) {
        unlock(c->lock_fd);
    }
}

/* Something else wrote to the file: make it whole enough to go on, and say what happened. */
static apr_status_t repair(pm_capture *c, uint64_t size, pm_error *err)
{
    int cut = size < c->header.size;
    apr_status_t rv = cut ? pm_cap_allocate(c->fd, c->header.size) : APR_SUCCESS;

    if (rv == APR_SUCCESS) {
        rv = pm_cap_write_header(c->fd, &c->header);
    }
    c->tail_known = 0;
    if (rv != APR_SUCCESS) {
        return pm_fail_os(err, rv, "capture file %s was %s while in use and cannot be repaired",
                          c->path, cut ? "truncated" : "overwritten");
    }
    if (cut) {
        return pm_fail(
            err, APR_EINCOMPLETE,
            "capture file %s was truncated to %" APR_UINT64_T_FMT
            " bytes while in use; it has been extended again, what was behind them is lost",
            c->path, (apr_uint64_t)size);
    }
    return pm_fail(
        err, APR_EINCOMPLETE,
        "capture file %s was overwritten by another program; its header has been written again",
        c->path);
}

const char *pm_cap_real_path(int fd, apr_pool_t *pool)
{
    char link[64], name[4096];
    ssize_t n;

    apr_snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, name, sizeof(name));
    return n > 0 && (size_t)n < sizeof(name) ? apr_pstrmemdup(pool, name, (apr_size_t)n) : NULL;
}

/* The recorder may not look into the directory (www-data under /var/log/apache2), so the path cannot be
 * asked for; the kernel's name for the descriptor tells a move and a removal to whoever holds it. */
static apr_status_t check_name(pm_capture *c, const struct stat *st, pm_error *err)
{
    char link[64], name[4096];
    ssize_t n;

    apr_snprintf(link, sizeof(link), "/proc/self/fd/%d", c->fd);
    n = readlink(link, name, sizeof(name));
    if (st->st_nlink == 0 ||
        (n > 0 && c->real_path &&
         (strlen(c->real_path) != (size_t)n || memcmp(c->real_path, name, (size_t)n) != 0))) {
        return pm_fail(err, APR_ENOENT,
                       "capture file %s was deleted, moved or replaced while in use; reload httpd "
                       "to begin a new one",
                       c->path);
    }
    return APR_SUCCESS;
}

apr_status_t pm_capture_verify(pm_capture *c, pm_error *err)
{
    struct stat st;

    if (fstat(c->fd, &st) != 0) {
        return pm_fail_os(err, errno, "cannot examine capture file %s", c->path);
    }
    if ((uint64_t)st.st_size < c->header.size || !pm_cap_headers_are(c->fd, &c->header)) {
        return repair(c, (uint64_t)st.st_size, err);
    }
    return check_name(c, &st, err);
}

apr_status_t pm_capture_sync(pm_capture *c)
{
    return fdatasync(c->fd) == 0 ? APR_SUCCESS : errno;
}

pm_damage pm_capture_damage(const pm_capture *c)
{
    pm_damage d = {0, c->unread};
    struct stat st;

    for (int i = 0; i < PM_AREAS; i++) {
        d.records += c->damage[i];
    }
    if (fstat(c->fd, &st) == 0 && (uint64_t)st.st_size < c->header.size) {
        d.missing_bytes += c->header.size - (uint64_t)st.st_size;
    }
    return d;
}
