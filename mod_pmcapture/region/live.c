/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * live.c: the live region: making it, attaching to it, draining it.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_hash.h"
#include "pm_live.h"
#include "pm_time.h"

#define PAGE 4096u
#define ABI_WORD 0x01020304u /* little-endian, 64 bit: as written by the machine itself */
#define COUNTER_LIMIT (1ull << 62)
#define COPY_MOST ((off_t)64 << 20) /* four times the largest that is made */

static uint64_t align_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

static uint32_t power_of_two(uint64_t n, uint32_t least, uint32_t most)
{
    uint32_t p = least;

    while (p < n && p < most) {
        p *= 2;
    }
    return p;
}

pm_live_geometry pm_live_plan(uint32_t cores, uint32_t workers, uint32_t processes, uint32_t vhosts)
{
    pm_live_geometry geo = {0};

    /* Two stripes a core keep two threads that run at one time apart, most of the time. */
    geo.stripes = power_of_two((uint64_t)cores * 2, 4, 32);
    geo.vhosts = vhosts + vhosts / 4 + 16;
    if (geo.vhosts > PM_VHOSTS_MAX) {
        geo.vhosts = PM_VHOSTS_MAX;
    }
    geo.vhost_stripes = geo.stripes;
    while (geo.vhost_stripes > 4 && (uint64_t)geo.vhost_stripes * geo.vhosts > 32768) {
        geo.vhost_stripes /= 2;
    }
    /* An event MPM or HTTP/2 has more requests under way than threads. */
    geo.flights = power_of_two((uint64_t)workers * 2, 1024, 32768);
    /* `processes` has room for old generations, which finish beside the new one; then those that died since
     * the recorder last looked. */
    geo.children = processes + (processes < 1024 ? processes : 1024) + 64;
    geo.children = geo.children < 65535 ? geo.children : 65535;
    geo.journal = 128;
    geo.samples = 256;
    return geo;
}

/** Offsets of the areas that follow the header page; the last one is the size. */
typedef struct area_offsets {
    uint64_t stripes, children, vhost_counts, vhosts, sketches, flights, journal, samples, heavy,
        hosts, named, doors, size;
} area_offsets;

static area_offsets lay_out(const pm_live_geometry *geo)
{
    area_offsets at;

    at.stripes = PAGE;
    at.children = align_up(at.stripes + sizeof(pm_stripe) * geo->stripes, 64);
    at.vhost_counts = align_up(at.children + sizeof(pm_child) * geo->children, 64);
    at.vhosts =
        align_up(at.vhost_counts + sizeof(pm_vhost_count) * geo->vhost_stripes * geo->vhosts, 64);
    at.sketches = at.vhosts + sizeof(pm_vhost_live) * geo->vhosts;
    at.flights = at.sketches + sizeof(pm_pool_sketch) * PM_SKETCH_EPOCHS * PM_POOLS;
    at.journal = at.flights + sizeof(pm_flight) * geo->flights;
    at.samples = align_up(at.journal + pm_ring_bytes(geo->journal, sizeof(pm_live_note)), 64);
    at.heavy = align_up(at.samples + pm_ring_bytes(geo->samples, sizeof(pm_live_sample)), 64);
    at.hosts = align_up(at.heavy + sizeof(pm_heavy), 64);
    at.named = at.hosts + sizeof(pm_hosts);
    at.doors = align_up(at.named + sizeof(pm_named) * PM_NAMED, 64);
    at.size = align_up(at.doors + sizeof(pm_door_count) * PM_DOORS * geo->vhost_stripes, PAGE);
    return at;
}

uint64_t pm_live_size(const pm_live_geometry *geo)
{
    return lay_out(geo).size;
}

static uint64_t header_sum(const pm_live_header *h)
{
    return XXH3_64bits(h, offsetof(pm_live_header, sum));
}

/** The fields of /proc/<pid>/stat from the state on, "" for a process that is dead; NULL for none, or one that may not be
 *  looked at (hidepid, no descriptor left). */
static const char *process_stat(uint32_t pid, char stat[1024])
{
    char path[48], *rest;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    n = read(fd, stat, 1023);
    close(fd);
    if (n <= 0) {
        return "";
    }
    stat[n] = '\0';
    /* The name may hold anything, so the fields are counted from its last bracket. */
    rest = strrchr(stat, ')');
    if (rest == NULL || rest[1] == '\0' || rest[2] == 'Z' || rest[2] == 'X') {
        return "";
    }
    return rest + 2;
}

uint64_t pm_process_start(uint32_t pid)
{
    char stat[1024];
    const char *fields = process_stat(pid, stat);
    unsigned long long start = 0;

    sscanf(fields != NULL ? fields : "",
           "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
           &start);
    return start;
}

uint32_t pm_process_parent(uint32_t pid)
{
    char stat[1024];
    const char *fields = process_stat(pid, stat);
    unsigned int parent = 0;

    sscanf(fields != NULL ? fields : "", "%*c %u", &parent);
    return parent;
}

void pm_boot_id(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 36);

    if (fd >= 0) {
        close(fd);
    }
    if (n < 0) {
        n = 0;
    }
    memset(out + n, 0, 40 - (size_t)n);
    for (ssize_t i = 0; i < n; i++) {
        if (!isxdigit((unsigned char)out[i]) && out[i] != '-') {
            out[i] = '\0';
            return;
        }
    }
}

static uint64_t namespace(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

uint64_t pm_pid_namespace(void)
{
    return namespace("/proc/self/ns/pid");
}

uint64_t pm_network_namespace(void)
{
    return namespace("/proc/self/ns/net");
}

/* ---- making and attaching ---- */

static void set_areas(pm_live *live)
{
    area_offsets at = lay_out(&live->geo);
    uint8_t *base = (uint8_t *)live->header;

    live->stripes = (void *)(base + at.stripes);
    live->children = (void *)(base + at.children);
    live->vhost_counts = (void *)(base + at.vhost_counts);
    live->vhosts = (void *)(base + at.vhosts);
    live->sketches = (void *)(base + at.sketches);
    live->flights = (void *)(base + at.flights);
    live->journal = (pm_ring){&live->header->journal, base + at.journal, live->geo.journal,
                              sizeof(pm_live_note)};
    live->samples = (pm_ring){&live->header->samples, base + at.samples, live->geo.samples,
                              sizeof(pm_live_sample)};
    live->heavy = (void *)(base + at.heavy);
    live->hosts = (void *)(base + at.hosts);
    live->named = (void *)(base + at.named);
    live->doors = (void *)(base + at.doors);
}

static void fill_header(pm_live *live, const uint8_t capture_id[16], uint64_t run)
{
    pm_live_header *h = live->header;
    area_offsets at = lay_out(&live->geo);

    h->magic = PM_LIVE_MAGIC;
    h->layout = PM_LIVE_LAYOUT;
    h->abi = ABI_WORD;
    h->size = live->size;
    memcpy(h->capture_id, capture_id, 16);
    h->run = run;
    h->created_us = pm_time_now();
    h->parent_pid = (uint32_t)getpid();
    h->parent_start = pm_process_start(h->parent_pid);
    pm_boot_id(h->boot_id);
    if (getrandom(h->key, sizeof(h->key), GRND_NONBLOCK) != (ssize_t)sizeof(h->key)) {
        uint64_t weak[2] = {pm_time_now(), h->parent_start ^ (uint64_t)(uintptr_t)h};
        memcpy(h->key, weak,
               sizeof(h->key)); /* a recorder must start before the entropy pool has */
    }
    h->geometry = live->geo;
    h->directory = (pm_live_directory){
        .stripes_offset = at.stripes,
        .stripe_stride = sizeof(pm_stripe),
        .stripe_count = live->geo.stripes,
        .status_offset = offsetof(pm_stripe, status),
        .status_count = PM_STATUS_SLOTS,
        .hist_offset = offsetof(pm_stripe, hist),
        .hist_count = PM_HIST_BUCKETS,
        .hist_pools = PM_POOLS,
        .bytes_offset = offsetof(pm_stripe, bytes),
        .max_offset = offsetof(pm_stripe, max_us),
        .children_offset = at.children,
        .children_count = live->geo.children,
    };
    h->sum = header_sum(h);
}

/** Private copies of what the header says: shared memory is not asked twice. */
static void adopt_header(pm_live *live)
{
    const pm_live_header *h = live->header;

    live->run = h->run;
    live->layout = h->layout;
    memcpy(live->key, h->key, sizeof(live->key));
    memcpy(live->capture_id, h->capture_id, sizeof(live->capture_id));
    live->parent_pid = h->parent_pid;
    live->parent_start = h->parent_start;
    live->created_us = h->created_us;
    memcpy(live->boot_id, h->boot_id, sizeof(live->boot_id));
    live->boot_id[sizeof(live->boot_id) - 1] = '\0';
    live->geo = h->geometry;
    live->dir = h->directory;
}

static void region_path(char *out, size_t size, const char *dir, const uint8_t id[16], uint64_t run)
{
    char hex[33];

    for (int i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    snprintf(out, size, "%s/pmcapture-%s-%llu.live", dir, hex, (unsigned long long)run);
}

apr_status_t pm_live_create(pm_live *live, const char *dir, const uint8_t capture_id[16],
                            uint64_t run, const pm_live_geometry *geo, long group, pm_error *err)
{
    struct stat st;
    void *base;
    int fd, rv;

    memset(live, 0, sizeof(*live));
    live->geo = *geo;
    live->size = pm_live_size(geo);
    region_path(live->path, sizeof(live->path), dir, capture_id, run);
    fd = open(live->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        return pm_fail_os(err, errno, "cannot create the live region %s", live->path);
    }
    if (group >= 0 && fchown(fd, (uid_t)-1, (gid_t)group) != 0) {
        group = -1; /* then only its owner reads it */
    }
    /* All pages now: a full tmpfs is an error here, and not a SIGBUS in a request later. */
    rv = posix_fallocate(fd, 0, (off_t)live->size);
    if (rv == 0 && fstat(fd, &st) != 0) {
        rv = errno;
    }
    base = rv == 0 ? mmap(NULL, live->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (rv == 0 && base == MAP_FAILED) {
        rv = errno;
    }
    close(fd); /* nobody is left a descriptor with which the region could be resized */
    if (rv != 0) {
        unlink(live->path);
        return pm_fail_os(err, rv, "no room for the live region %s (%llu bytes)", live->path,
                          (unsigned long long)live->size);
    }
    live->header = base;
    live->file_dev = (uint64_t)st.st_dev;
    live->file_ino = (uint64_t)st.st_ino;
    fill_header(live, capture_id, run);
    adopt_header(live);
    set_areas(live);
    return APR_SUCCESS;
}

/** Does everything that the directory names lie inside the file? */
static int directory_fits(const pm_live_directory *d, uint64_t size)
{
    uint64_t stripes = d->stripe_stride * d->stripe_count;
    uint64_t hist = (uint64_t)d->hist_count * d->hist_pools * 8;

    return d->stripe_count >= 1 && d->stripe_count <= 4096 && d->stripe_stride <= size &&
           d->stripes_offset <= size && stripes <= size - d->stripes_offset &&
           d->stripes_offset % 8 == 0 && d->stripe_stride % 8 == 0 && d->status_offset % 8 == 0 &&
           d->hist_offset % 8 == 0 && d->bytes_offset % 8 == 0 && d->max_offset % 8 == 0 &&
           d->status_count <= 4096 && d->hist_count <= 4096 && d->hist_pools <= 4096 &&
           (uint64_t)d->status_offset + (uint64_t)d->status_count * 8 <= d->stripe_stride &&
           d->hist_offset + hist <= d->stripe_stride &&
           (uint64_t)d->bytes_offset + 8 <= d->stripe_stride &&
           (uint64_t)d->max_offset + 8 <= d->stripe_stride && d->children_offset % 8 == 0 &&
           d->children_count <= 65536 && d->children_offset <= size &&
           (uint64_t)d->children_count * sizeof(pm_child) <= size - d->children_offset;
}

static int is_power(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static int geometry_fits(const pm_live_geometry *g, uint64_t size)
{
    return is_power(g->stripes) && g->stripes <= 4096 && is_power(g->vhost_stripes) &&
           g->vhost_stripes <= g->stripes && g->vhosts >= 1 && g->vhosts <= PM_VHOSTS_MAX &&
           is_power(g->flights) && g->flights <= 65536 && g->children <= 65536 &&
           is_power(g->journal) && g->journal <= 65536 && is_power(g->samples) &&
           g->samples <= 65536 && pm_live_size(g) == size;
}

static apr_status_t check_header(const pm_live *live, pm_error *err)
{
    const pm_live_header *h = live->header;

    if (h->magic != PM_LIVE_MAGIC) {
        return pm_fail(err, APR_EINVAL, "%s is not a live region of mod_pmcapture", live->path);
    }
    if (h->abi != ABI_WORD) {
        return pm_fail(err, APR_EINVAL, "%s was written on another architecture", live->path);
    }
    if (h->sum != header_sum(h) || h->size != live->size ||
        !directory_fits(&h->directory, live->size) ||
        (h->layout == PM_LIVE_LAYOUT && !geometry_fits(&h->geometry, live->size))) {
        return pm_fail(err, APR_EINVAL, "the live region %s is damaged: its header does not hold",
                       live->path);
    }
    return APR_SUCCESS;
}

apr_status_t pm_live_adopt(pm_live *live, void *base, uint64_t size, const char *path,
                           pm_error *err)
{
    apr_status_t rv;

    memset(live, 0, sizeof(*live));
    snprintf(live->path, sizeof(live->path), "%s", path);
    live->size = size;
    live->header = base;
    atomic_signal_fence(memory_order_seq_cst); /* a handler of SIGBUS asks whose the page is */
    rv = check_header(live, err);
    if (rv == APR_SUCCESS) {
        adopt_header(live);
        /* Copied first, then checked again: the header may be written to while we look. */
        if (!directory_fits(&live->dir, live->size) ||
            (live->layout == PM_LIVE_LAYOUT && !geometry_fits(&live->geo, live->size))) {
            rv = pm_fail(err, APR_EINVAL, "the live region %s is damaged", path);
        }
    }
    if (rv != APR_SUCCESS) {
        live->header = NULL;
        return rv;
    }
    if (live->layout == PM_LIVE_LAYOUT) {
        set_areas(live);
    }
    else {
        live->children = (void *)((uint8_t *)base + live->dir.children_offset);
        live->geo.children = live->dir.children_count;
    }
    return APR_SUCCESS;
}

/** A descriptor of an existing region's file, if it is one, and what it is. */
static apr_status_t open_region(const char *path, int flags, off_t most, int *fd, struct stat *st,
                                pm_error *err)
{
    *fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (*fd < 0) {
        return pm_fail_os(err, errno, "cannot open the live region %s", path);
    }
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode) || st->st_size < (off_t)PAGE ||
        st->st_size > most) {
        close(*fd);
        return pm_fail(err, APR_EINVAL, "%s is not a live region of mod_pmcapture", path);
    }
    return APR_SUCCESS;
}

apr_status_t pm_live_attach(pm_live *live, const char *path, int writable, pm_error *err)
{
    struct stat st;
    apr_status_t rv;
    void *base;
    int fd;

    memset(live, 0, sizeof(*live));
    rv = open_region(path, writable ? O_RDWR : O_RDONLY, (off_t)1 << 30, &fd, &st, err);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    base =
        mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    close(fd);
    if (base == MAP_FAILED) {
        return pm_fail_os(err, errno, "cannot map the live region %s", path);
    }
    rv = pm_live_adopt(live, base, (uint64_t)st.st_size, path, err);
    live->readonly = !writable;
    live->file_dev = (uint64_t)st.st_dev;
    live->file_ino = (uint64_t)st.st_ino;
    if (rv != APR_SUCCESS) {
        munmap(base, (size_t)st.st_size);
    }
    return rv;
}

/** As far as the file goes; what is not there any more is zeros. */
static void read_range(int fd, uint8_t *base, uint64_t from, uint64_t to)
{
    while (from < to) {
        ssize_t n = pread(fd, base + from, to - from, (off_t)from);

        if (n <= 0) {
            return;
        }
        from += (uint64_t)n;
    }
}

apr_status_t pm_live_copy(pm_live *live, const char *path, pm_error *err)
{
    struct stat st;
    apr_status_t rv;
    uint64_t size;
    void *base;
    int fd;

    memset(live, 0, sizeof(*live));
    rv = open_region(path, O_RDONLY, COPY_MOST, &fd, &st, err);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    size = (uint64_t)st.st_size;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                0);
    if (base == MAP_FAILED) {
        close(fd);
        return pm_fail_os(err, APR_ENOMEM, "cannot copy the live region %s", path);
    }
    read_range(fd, base, 0, PAGE);
    rv = pm_live_adopt(live, base, size, path, err);
    live->readonly = 1;
    if (rv == APR_SUCCESS) {
        read_range(fd, base, PAGE, size);
    }
    else {
        munmap(base, size);
    }
    close(fd);
    return rv;
}

apr_status_t pm_live_verify(const pm_live *live, pm_error *err)
{
    const pm_live_header *h = live->header;
    struct stat st = {0};
    int rv = lstat(live->path, &st) == 0 ? 0 : errno;

    if (rv == ENOENT || rv == ENOTDIR ||
        (rv == 0 && live->file_ino != 0 &&
         ((uint64_t)st.st_ino != live->file_ino || (uint64_t)st.st_dev != live->file_dev))) {
        return pm_fail(
            err, APR_ENOENT,
            "the live region %s was removed or replaced while in use: if every process is killed "
            "now, what was counted last is lost; reload httpd to begin a new one",
            live->path);
    }
    if (rv == 0 && (uint64_t)st.st_size < live->size) {
        return pm_fail(
            err, APR_EINCOMPLETE,
            "the live region %s was truncated to %llu bytes while in use: what is counted from "
            "then on is lost; reload httpd to begin a new one",
            live->path, (unsigned long long)st.st_size);
    }
    if (h->magic != PM_LIVE_MAGIC || memcmp(h->key, live->key, sizeof(live->key)) != 0 ||
        h->sum != header_sum(h)) {
        return pm_fail(
            err, APR_EINVAL,
            "the live region %s was overwritten while in use: what it counts is not to be "
            "relied on; reload httpd to begin a new one",
            live->path);
    }
    return APR_SUCCESS;
}

void pm_live_detach(pm_live *live)
{
    if (live->header != NULL) {
        munmap(live->header, live->size);
        live->header = NULL;
    }
}

void pm_live_find(const char *dir, const uint8_t capture_id[16],
                  void (*found)(void *ctx, const char *path, uint64_t run), void *ctx)
{
    char full[512], prefix[64];
    size_t length;
    struct dirent *entry;
    DIR *d = opendir(dir);

    if (d == NULL) {
        return;
    }
    region_path(full, sizeof(full), "", capture_id, 0);
    length = strlen(full + 1) - strlen("0.live"); /* "pmcapture-<id>-" */
    snprintf(prefix, sizeof(prefix), "%.*s", (int)length, full + 1);
    while ((entry = readdir(d)) != NULL) {
        char *end;
        unsigned long long run;

        if (strncmp(entry->d_name, prefix, length) != 0 ||
            !isdigit((unsigned char)entry->d_name[length])) {
            continue;
        }
        run = strtoull(entry->d_name + length, &end, 10);
        if (strcmp(end, ".live") == 0 &&
            snprintf(full, sizeof(full), "%s/%s", dir, entry->d_name) < (int)sizeof(full)) {
            found(ctx, full, run);
        }
    }
    closedir(d);
}

/* ---- who lives ---- */

int pm_live_parent_alive(const pm_live *live)
{
    char boot[40];

    pm_boot_id(boot);
    return strcmp(boot, live->boot_id) == 0 && live->parent_start != 0 &&
           pm_process_start(live->parent_pid) == live->parent_start;
}

int pm_process_lives(uint32_t pid, uint64_t start)
{
    char stat[1024];

    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) {
        return 0;
    }
    return process_stat(pid, stat) == NULL || pm_process_start(pid) == start;
}

static int process_alive(uint32_t pid, uint64_t start, int thorough)
{
    return thorough ? pm_process_lives(pid, start) : kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

uint32_t pm_live_children_alive(pm_live *live, int thorough)
{
    uint32_t alive = 0;

    for (uint32_t i = 0; i < live->geo.children; i++) {
        pm_child *child = &live->children[i];
        uint32_t pid = atomic_load_explicit(&child->pid, memory_order_relaxed);

        if (pid == 0 || pid > INT32_MAX) {
            continue;
        }
        if (process_alive(pid, atomic_load_explicit(&child->start, memory_order_relaxed),
                          thorough)) {
            alive++;
        }
        else if (!live->readonly) {
            atomic_store_explicit(&child->pid, 0, memory_order_relaxed);
        }
    }
    return alive;
}

/* ---- reading the counters ---- */

static uint64_t counter_at(const uint8_t *stripe, uint64_t offset)
{
    const _Atomic uint64_t *counter = (const void *)(stripe + offset);

    return atomic_load_explicit(counter, memory_order_acquire);
}

static void add_hist(const pm_live *live, const uint8_t *stripe, pm_totals *out,
                     uint64_t (*pools)[PM_HIST_BUCKETS])
{
    for (uint32_t pool = 0; pool < live->dir.hist_pools; pool++) {
        for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
            uint64_t n = counter_at(stripe, live->dir.hist_offset +
                                                ((uint64_t)pool * PM_HIST_BUCKETS + b) * 8);

            out->hist[b] += n;
            if (pools != NULL && pool < PM_POOLS) {
                pools[pool][b] += n;
            }
        }
    }
}

void pm_live_totals(const pm_live *live, pm_totals *out, uint64_t (*pools)[PM_HIST_BUCKETS])
{
    const pm_live_directory *dir = &live->dir;
    uint32_t statuses = dir->status_count < PM_STATUS_SLOTS ? dir->status_count : PM_STATUS_SLOTS;

    memset(out, 0, sizeof(*out));
    if (pools != NULL) {
        memset(pools, 0, sizeof(uint64_t) * PM_POOLS * PM_HIST_BUCKETS);
    }
    for (uint32_t s = 0; s < dir->stripe_count; s++) {
        const uint8_t *stripe =
            (const uint8_t *)live->header + dir->stripes_offset + s * dir->stripe_stride;
        uint64_t max_us = counter_at(stripe, dir->max_offset);

        for (uint32_t i = 0; i < statuses; i++) {
            out->status[i] += counter_at(stripe, dir->status_offset + (uint64_t)i * 8);
        }
        out->bytes += counter_at(stripe, dir->bytes_offset);
        if (max_us > out->max_us && max_us < COUNTER_LIMIT) {
            out->max_us = max_us;
        }
        if (dir->hist_count == PM_HIST_BUCKETS) { /* another scale cannot be added up with ours */
            add_hist(live, stripe, out, pools);
        }
    }
}
