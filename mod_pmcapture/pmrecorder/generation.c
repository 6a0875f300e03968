/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * generation.c: what httpd has handed over with a configuration, mapped and ready for a tick.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "pm_guard.h"
#include "pm_time.h"
#include "pmrecorder.h"

/* ---- memory ---- */

static int give_up_fd(pm_handover *h, enum pm_handover_fd which)
{
    int fd = h->fd[which];

    h->fd[which] = -1;
    return fd;
}

/** As large as httpd has it: pages that the file has no more read as zeros. */
static apr_status_t map_live(pm_live *live, int fd, uint64_t size, const char *path, int writable,
                             pm_error *err)
{
    struct stat st;
    apr_status_t rv;
    void *base;

    if (fd < 0 || fstat(fd, &st) != 0) {
        return pm_fail(err, APR_ENOENT, "the live region %s is missing", path);
    }
    base = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return pm_fail_os(err, errno, "the live region %s cannot be mapped", path);
    }
    live->header = base; /* the guard knows it before it is looked at */
    live->size = size;
    live->readonly = !writable;
    pm_guard_add(live);
    rv = pm_live_adopt(live, base, size, path, err);
    live->readonly = !writable;
    live->file_dev = (uint64_t)st.st_dev;
    live->file_ino = (uint64_t)st.st_ino;
    if (rv != APR_SUCCESS) {
        pm_guard_forget(live);
        munmap(base, size);
    }
    return rv;
}

static void unmap_live(pm_live *live)
{
    pm_guard_forget(live);
    if (live->header != NULL) {
        munmap(live->header, live->size);
        live->header = NULL;
    }
}

static apr_status_t map_regions(pm_generation *g, pm_error *err)
{
    apr_status_t rv = map_live(&g->live, g->handed.fd[PM_FD_LIVE], g->block->live_size,
                               g->block->live_path, 1, err);

    if (rv == APR_SUCCESS && g->live.geo.vhosts != g->block->vhosts) {
        rv = pm_fail(err, APR_EINVAL, "the live region %s is of another configuration",
                     g->block->live_path);
    }
    for (uint32_t i = 0; i < PM_OLD_REGIONS && rv == APR_SUCCESS; i++) {
        if (g->handed.fd[PM_FD_OLD + i] >= 0) {
            /* One that cannot be read any more has nothing to be counted. */
            map_live(&g->old[i], g->handed.fd[PM_FD_OLD + i], g->block->old_size[i],
                     g->block->old_path[i], 0, NULL);
        }
    }
    return rv;
}

/** The last process's, if it is of this run; else a new one. */
static apr_status_t map_ledger(pm_generation *g, pm_error *err)
{
    g->ledger_size = pm_ledger_size(g->live.geo.vhosts);
    g->ledger = pm_memory_map(g->handed.fd[PM_FD_LEDGER], g->ledger_size);
    if (g->ledger == NULL) {
        return pm_fail(err, APR_ENOMEM, "no memory for the recorder's state");
    }
    if (g->ledger->magic != PM_LEDGER_MAGIC || g->ledger->run != g->control->run ||
        g->ledger->size != g->ledger_size) {
        if (madvise(g->ledger, g->ledger_size, MADV_REMOVE) != 0) {
            memset(g->ledger, 0, g->ledger_size);
        }
        pm_ledger_init(g->ledger, g->ledger_size, g->control->run, g->live.geo.vhosts);
    }
    return APR_SUCCESS;
}

static void map_tables(pm_generation *g)
{
    struct stat st;
    int fd = g->handed.fd[PM_FD_SCOREBOARD];

    g->watch = pm_memory_map(g->handed.fd[PM_FD_WATCH], sizeof(*g->watch));
    g->watch_last = pm_memory_map(g->handed.fd[PM_FD_WATCH_LAST], sizeof(*g->watch_last));
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        void *base = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);

        if (base != MAP_FAILED) {
            g->scoreboard = base;
            g->scoreboard_size = (uint64_t)st.st_size;
        }
    }
}

/* ---- what a tick needs to know of httpd ---- */

static const uint8_t *in_scoreboard(const pm_generation *g, uint64_t at, uint64_t size)
{
    return g->scoreboard != NULL && at < g->scoreboard_size && size <= g->scoreboard_size - at
               ? g->scoreboard + at
               : NULL;
}

static void count_process(const pm_generation *g, uint32_t process, uint32_t *busy, uint32_t *idle)
{
    const pm_scoreboard_shape *shape = &g->block->scoreboard;
    uint64_t at = shape->process_offset + process * shape->process_stride;
    const uint8_t *pid = in_scoreboard(g, at + shape->pid_offset, sizeof(int32_t));
    const uint8_t *quiescing = in_scoreboard(g, at + shape->quiescing_offset, 1);

    if (pid == NULL || quiescing == NULL || *(const volatile int32_t *)(const void *)pid == 0) {
        return;
    }
    for (uint32_t j = 0; j < (shape->threads > 0 ? shape->threads : 1); j++) {
        const uint8_t *status = in_scoreboard(
            g,
            shape->worker_offset + ((uint64_t)process * shape->threads + j) * shape->worker_stride +
                shape->status_offset,
            1);
        uint8_t is = status != NULL ? *(const volatile uint8_t *)status : shape->dead;

        if (is == shape->ready) {
            *idle += !*quiescing;
        }
        else if (is != shape->dead && is != shape->starting && is != shape->idle_kill) {
            *busy += 1;
        }
    }
}

static void count_workers(void *ctx, uint32_t *busy, uint32_t *idle, uint32_t *limit)
{
    const pm_generation *g = ctx;

    *limit = g->block->scoreboard.limit;
    if (g->scoreboard == NULL || g->block->scoreboard.processes == 0) {
        return;
    }
    *busy = *idle = 0;
    for (uint32_t i = 0; i < g->block->scoreboard.processes; i++) {
        count_process(g, i, busy, idle);
    }
}

static void say(void *ctx, int severity, const char *sentence)
{
    (void)ctx;
    pm_log(severity, sentence);
}

static void host_id(char out[40])
{
    char id[64] = "";
    int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, id, sizeof(id));
    uint64_t hash = 14695981039346656037ull;

    if (fd >= 0) {
        close(fd);
    }
    for (ssize_t i = 0; i < n; i++) { /* FNV-1a: the id itself is not to leave the machine */
        hash = (hash ^ (uint8_t)id[i]) * 1099511628211ull;
    }
    if (n > 0) {
        snprintf(out, 40, "%016llx", (unsigned long long)hash);
    }
}

static void fill_server(pm_generation *g)
{
    const pm_handover_block *b = g->block;
    pm_server *to = &g->fold.server;
    struct stat st;

    to->started_us = b->started_us;
    to->config_loaded_us = b->reload_us != 0 ? b->reload_us : b->started_us;
    to->reload_us = b->reload_us;
    to->pid = b->parent_pid;
    to->pid_start = g->live.parent_start;
    to->generation = b->generation;
    to->watched = PM_WATCHED_CRASHES;
    if (fstat(pm_capture_fd(g->capture), &st) == 0) {
        to->file_dev = (uint64_t)st.st_dev;
        to->file_ino = (uint64_t)st.st_ino;
    }
    to->pid_namespace = pm_pid_namespace();
    pm_boot_id(to->boot_id);
    gethostname(to->host_name, sizeof(to->host_name) - 1);
    host_id(to->host_id);
    snprintf(to->software, sizeof(to->software), "%s", b->software);
    snprintf(to->mpm, sizeof(to->mpm), "%s", b->mpm);
    snprintf(to->module_version, sizeof(to->module_version), "%s", b->module_version);
    snprintf(to->trouble, sizeof(to->trouble), "%s", b->trouble);
}

/** A number that was given to another virtual host: what the detector knew of the old one is nothing of its. */
static void take_names(pm_generation *g, const char **names)
{
    for (uint32_t v = 1; v < g->live.geo.vhosts; v++) {
        char *known = g->ledger->vhost_name[v];
        char now[PM_KEY];

        memcpy(now, g->control->vhost_name[v], PM_KEY);
        now[PM_KEY - 1] = '\0';
        if (now[0] == '\0') {
            continue;
        }
        if (strcmp(known, now) != 0) {
            if (known[0] != '\0') {
                memset(&g->ledger->scope[v + 1].detect, 0, sizeof(g->ledger->scope[v + 1].detect));
                memset(&g->ledger->scope[v + 1].served, 0, sizeof(g->ledger->scope[v + 1].served));
            }
            memcpy(known, now, PM_KEY);
        }
        /* One that this generation lacks may still be served by the last one's processes. */
        names[v] = apr_pstrdup(g->pool, now);
    }
}

static void fill_fold(pm_generation *g)
{
    const pm_handover_block *b = g->block;
    uint32_t room = g->live.geo.vhosts;
    pm_burst_rule *burst = apr_palloc(g->pool, room * sizeof(*burst));
    pm_slow_rule *slow = apr_palloc(g->pool, room * sizeof(*slow));
    pm_served_rule *served = apr_palloc(g->pool, room * sizeof(*served));
    const char **names = apr_pcalloc(g->pool, room * sizeof(*names));
    const char **defined = apr_pcalloc(g->pool, room * sizeof(*defined));

    take_names(g, names);
    for (uint32_t v = 0; v < room; v++) {
        burst[v] = b->vhost[v].burst;
        slow[v] = b->vhost[v].slow;
        served[v] = b->vhost[v].served;
        defined[v] = b->vhost[v].defined[0] != '\0' ? b->vhost[v].defined : NULL;
    }
    g->fold = (pm_fold){.state = g->ledger,
                        .control = g->control,
                        .live = &g->live,
                        .capture = g->capture,
                        .burst = b->burst,
                        .slow = b->slow,
                        .served = b->served,
                        .vhost_burst = burst,
                        .vhost_slow = slow,
                        .vhost_served = served,
                        .vhost_names = names,
                        .vhost_defined = defined,
                        .samples = b->samples,
                        .clients = b->clients,
                        .stopped_us = b->stopped_us,
                        .workers = count_workers,
                        .say = say,
                        .ctx = g};
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        g->fold.old[i] = g->old[i].header != NULL ? &g->old[i] : NULL;
    }
    fill_server(g);
}

/* ---- its life ---- */

static apr_status_t open_all(pm_generation *g, pm_error *err)
{
    apr_status_t rv;
    int fd, lock_fd;

    g->block = pm_handover_map(g->handed.fd[PM_FD_BLOCK], err);
    if (g->block == NULL) {
        return APR_EINVAL;
    }
    g->control = pm_memory_map(g->handed.fd[PM_FD_CONTROL], sizeof(*g->control));
    if (g->control == NULL || !pm_control_valid(g->control, sizeof(*g->control))) {
        return pm_fail(err, APR_EINVAL, "what httpd handed over is incomplete");
    }
    rv = map_regions(g, err);
    if (rv == APR_SUCCESS) {
        rv = map_ledger(g, err);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    map_tables(g);
    fd = give_up_fd(&g->handed, PM_FD_CAPTURE);
    lock_fd = give_up_fd(&g->handed, PM_FD_LOCK);
    rv = fd < 0 ? pm_fail(err, APR_EINVAL, "httpd handed over no capture file")
                : pm_capture_adopt(&g->capture, fd, lock_fd, g->block->capture_path, g->pool, err);
    if (rv == APR_SUCCESS) {
        fill_fold(g);
    }
    return rv;
}

pm_generation *pm_generation_take(pm_handover *h, pm_error *err)
{
    pm_generation *g = calloc(1, sizeof(*g));

    if (g == NULL || apr_pool_create(&g->pool, NULL) != APR_SUCCESS) {
        free(g);
        pm_handover_close(h);
        pm_fail(err, APR_ENOMEM, "Nothing is recorded: out of memory");
        return NULL;
    }
    g->handed = *h;
    g->taken_us = pm_time_monotonic();
    if (open_all(g, err) != APR_SUCCESS) {
        pm_generation_end(g);
        pm_generation_free(g);
        return NULL;
    }
    return g;
}

void pm_generation_end(pm_generation *g)
{
    if (g->fold.watch != NULL) {
        pm_watch_end(g->fold.watch);
    }
    if (g->capture != NULL) {
        pm_capture_close(g->capture);
        g->capture = NULL;
    }
    pm_handover_close(&g->handed);
}

int pm_generation_free(pm_generation *g)
{
    if (g->fold.watch != NULL) {
        if (!pm_watch_free(g->fold.watch)) {
            return 0;
        }
        g->fold.watch = NULL;
    }
    unmap_live(&g->live);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        unmap_live(&g->old[i]);
    }
    if (g->ledger != NULL) {
        munmap(g->ledger, g->ledger_size);
    }
    if (g->control != NULL) {
        munmap(g->control, sizeof(*g->control));
    }
    if (g->watch != NULL) {
        munmap(g->watch, sizeof(*g->watch));
    }
    if (g->watch_last != NULL) {
        munmap(g->watch_last, sizeof(*g->watch_last));
    }
    if (g->scoreboard != NULL) {
        munmap((void *)(uintptr_t)g->scoreboard, g->scoreboard_size);
    }
    if (g->block != NULL) {
        munmap((void *)(uintptr_t)g->block, g->block->size);
    }
    free(g->fold.tick);
    apr_pool_destroy(g->pool);
    free(g);
    return 1;
}
