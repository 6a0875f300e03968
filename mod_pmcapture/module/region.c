/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * region.c: the live region: the last generation's, or a new one; and those that dead runs have left.
 */
#include "module.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "retained.h"

#define PM_RUN_LAST (1ull << 56) /* far from overflow, whatever a file is called */

#define KEPT_KEY "mod_pmcapture/regions/1"
#define HELD (1 + PM_OLD_REGIONS)

/** Descriptors of regions' files, in process-lifetime memory (see retained.h): who removes a file takes nothing away. */
typedef struct kept_regions {
    uint32_t size, pad;
    struct {
        int fd; /* -1 = none */
        char path[512];
    } held[HELD];
} kept_regions;

static kept_regions *regions_get(void)
{
    kept_regions *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        kept->size = sizeof(*kept);
        for (int i = 0; i < (int)HELD; i++) {
            kept->held[i].fd = -1;
        }
    }
    return kept;
}

/* ---- descriptors ---- */

/** The region's file, if it still is the one that is mapped. */
static int open_region(const pm_live *live)
{
    int fd = open(live->path,
                  (live->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && live->file_ino != 0 &&
        (fstat(fd, &st) != 0 || (uint64_t)st.st_ino != live->file_ino)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/** Is it of a region that is mapped? */
static int is_mapped(const char *path)
{
    const pm_retained *kept = pm_retained_get();
    int mapped = kept->live.base != NULL && strcmp(kept->live.path, path) == 0;

    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        mapped |= kept->old[i].base != NULL && strcmp(kept->old[i].path, path) == 0;
    }
    return mapped;
}

int pm_region_descriptor(const pm_live *live)
{
    kept_regions *kept = regions_get();
    int place = -1;

    if (live->header == NULL) {
        return -1;
    }
    for (int i = 0; i < (int)HELD; i++) {
        if (kept->held[i].fd >= 0 && strcmp(kept->held[i].path, live->path) == 0) {
            return kept->held[i].fd;
        }
        if (kept->held[i].fd >= 0 && !is_mapped(kept->held[i].path)) {
            close(kept->held[i].fd);
            kept->held[i].fd = -1;
        }
        place = kept->held[i].fd < 0 ? i : place;
    }
    if (place < 0) {
        return -1;
    }
    kept->held[place].fd = open_region(live);
    apr_cpystrn(kept->held[place].path, live->path, sizeof(kept->held[place].path));
    return kept->held[place].fd;
}

void pm_region_each(void (*act)(int *fd))
{
    kept_regions *kept = regions_get();

    for (int i = 0; i < (int)HELD; i++) {
        act(&kept->held[i].fd);
    }
}

void pm_region_leave(void)
{
    kept_regions *kept = regions_get();

    for (int i = 0; i < (int)HELD; i++) {
        if (kept->held[i].fd >= 0) {
            close(kept->held[i].fd);
            kept->held[i].fd = -1;
        }
    }
}

/* ---- finding and making ---- */

static long group_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (long)st.st_gid : -1;
}

static pm_live_geometry plan(uint32_t vhosts, long cores)
{
    int processes = 0, threads = 0;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    processes = processes > 0 ? processes : 256;
    threads = threads > 0 ? threads : 1;
    return pm_live_plan(cores > 0 ? (uint32_t)cores : 1, (uint32_t)(processes * threads),
                        (uint32_t)processes, vhosts);
}

static void retire(pm_retained *kept)
{
    for (int i = 0; i < (int)PM_OLD_REGIONS && kept->live.base != NULL; i++) {
        if (kept->old[i].base == NULL) {
            kept->old[i] = kept->live;
            kept->live.base = NULL;
        }
    }
    if (kept->live.base != NULL) {
        /* No place to drain it from: its file stays, and the next start counts what is in it. */
        munmap(kept->live.base, kept->live.size);
        kept->live.base = NULL;
    }
    if (kept->control.base != NULL) {
        munmap(kept->control.base, kept->control.size);
        kept->control.base = NULL;
    }
}

/** The region of the last generation, if it is ours, still large enough, and its file is there and whole. */
static int reuse_region(pm_retained *kept, const pm_live_geometry *want)
{
    if (kept->live.base == NULL || kept->control.base == NULL || kept->control_fd < 0 ||
        kept->ledger_fd < 0 ||
        pm_live_adopt(&pm.live, kept->live.base, kept->live.size, kept->live.path, NULL) !=
            APR_SUCCESS) {
        return 0;
    }
    pm.control = kept->control.base;
    if (pm.live.layout == PM_LIVE_LAYOUT && pm_control_valid(pm.control, kept->control.size) &&
        memcmp(pm.live.capture_id, pm_capture_id(pm.capture), 16) == 0 &&
        pm.live.geo.vhosts >= want->vhosts - want->vhosts / 4 &&
        pm.live.geo.flights >= want->flights) {
        pm.live.file_dev = pm.control->region_dev;
        pm.live.file_ino = pm.control->region_ino;
        if (pm_live_verify(&pm.live, NULL) == APR_SUCCESS) {
            return 1;
        }
    }
    pm.live.header = NULL;
    pm.control = NULL;
    return 0;
}

/** What a search for regions of dead runs is about. */
typedef struct old_regions {
    pm_retained *kept;
    uint64_t run; /* the highest that a name says, also of what cannot be mapped, or has no room */
} old_regions;

static void found_old(void *ctx, const char *path, uint64_t run)
{
    old_regions *found = ctx;
    pm_retained *kept = found->kept;

    if (run > found->run && run < PM_RUN_LAST) {
        found->run = run;
    }
    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        if (kept->old[i].base == NULL) {
            /* Into its place, where the guard looks. */
            if (pm_live_attach(&pm.old[i], path, 0, NULL) == APR_SUCCESS) {
                kept->old[i].base = pm.old[i].header;
                kept->old[i].size = pm.old[i].size;
                apr_cpystrn(kept->old[i].path, path, sizeof(kept->old[i].path));
            }
            return;
        }
    }
}

static void forget_old(pm_retained *kept, int i)
{
    pm.old[i].header = NULL;
    if (kept->old[i].base != NULL) {
        munmap(kept->old[i].base, kept->old[i].size);
        kept->old[i].base = NULL;
    }
}

/** What the recorder has drained is in the totals, and nobody writes to it any more. */
void pm_region_remove_drained(pm_retained *kept)
{
    pm_control *control = kept->control.base;
    uint32_t drained = control != NULL && pm_control_valid(control, kept->control.size)
                           ? atomic_exchange(&control->drained, 0)
                           : 0;

    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        if ((drained >> i & 1) && kept->old[i].base != NULL) {
            unlink(kept->old[i].path);
            forget_old(kept, i);
        }
    }
}

/** Of another capture file it is that one's to count, by the next server that has it. What was kept in memory for want of
 *  a file goes on in the file. */
static int is_of_this_capture(const pm_retained *kept, const pm_live *old)
{
    pm_capture *memory;
    apr_pool_t *pool;
    int is = memcmp(old->capture_id, pm_capture_id(pm.capture), 16) == 0;

    if (is || kept->memory_capture[0] == '\0' || apr_pool_create(&pool, pm.pconf) != APR_SUCCESS) {
        return is;
    }
    if (strcmp(kept->memory_capture, pm.capture_path) != 0 &&
        pm_capture_open(&memory, kept->memory_capture, pool, NULL) == APR_SUCCESS) {
        is = memcmp(old->capture_id, pm_capture_id(memory), 16) == 0;
        pm_capture_close(memory);
    }
    apr_pool_destroy(pool);
    return is;
}

static void adopt_old(pm_retained *kept, uint64_t *run)
{
    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        if (kept->old[i].base == NULL) {
            pm.old[i].header = NULL;
        }
        else if (pm_live_adopt(&pm.old[i], kept->old[i].base, kept->old[i].size, kept->old[i].path,
                               NULL) == APR_SUCCESS) {
            if (!is_of_this_capture(kept, &pm.old[i])) {
                forget_old(kept, i);
                continue;
            }
            pm.old[i].readonly = 1; /* a dead run's is mapped for reading alone */
            *run = pm.old[i].run > *run ? pm.old[i].run : *run;
        }
        else {
            unlink(kept->old[i]
                       .path); /* ours, and truncated or overwritten: nobody can read it any more */
            forget_old(kept, i);
        }
    }
}

static int create_control(pm_retained *kept, uint64_t run)
{
    int fd = pm_memory_make("pmcapture-control", sizeof(*pm.control));
    int ledger_fd = pm_memory_make("pmcapture-recorder", 0);

    pm.control = pm_memory_map(fd, sizeof(*pm.control));
    if (pm.control == NULL || ledger_fd < 0) {
        pm.control = NULL;
        close(fd);
        close(ledger_fd);
        return 0;
    }
    pm_control_init(pm.control, run, &pm.live);
    if (kept->control_fd >= 0) {
        close(kept->control_fd);
    }
    if (kept->ledger_fd >= 0) {
        close(kept->ledger_fd);
    }
    kept->control = (pm_mapping){.base = pm.control, .size = sizeof(*pm.control)};
    kept->control_fd = fd;
    kept->ledger_fd = ledger_fd;
    return 1;
}

static uint64_t last_run(void)
{
    pm_server last;

    return pm_capture_server(pm.capture, &last) == APR_SUCCESS ? last.run : 0;
}

apr_status_t pm_region_find(server_rec *s, pm_retained *kept, pm_error *err)
{
    uint32_t vhosts = pm_vhosts_count(s) + 1;
    pm_live_geometry want = plan(vhosts, 1);
    old_regions found = {kept, 0};
    uint64_t run;
    apr_status_t rv;

    if (reuse_region(kept, &want)) {
        adopt_old(kept, &found.run);
        return APR_SUCCESS;
    }
    want = plan(vhosts, sysconf(_SC_NPROCESSORS_ONLN)); /* a file is read for that */
    found.run = last_run();
    if (kept->control.base != NULL) {
        /* Of a region that was destroyed before its first tick nothing else tells. */
        uint64_t last = ((const pm_control *)kept->control.base)->run;

        found.run = last > found.run ? last : found.run;
    }
    pm_region_remove_drained(kept); /* makes room */
    retire(kept);
    if (!kept->started) {
        pm_live_find(pm.run_dir, pm_capture_id(pm.capture), found_old, &found);
    }
    run = found.run;
    adopt_old(kept, &run);
    rv = pm_live_create(&pm.live, pm.run_dir, pm_capture_id(pm.capture), run + 1, &want,
                        group_of(pm.capture_path), err);
    if (rv != APR_SUCCESS) {
        pm.live.header = NULL;
        return rv;
    }
    kept->live = (pm_mapping){.base = pm.live.header, .size = pm.live.size};
    apr_cpystrn(kept->live.path, pm.live.path, sizeof(kept->live.path));
    if (!create_control(kept, run + 1)) {
        unlink(pm.live.path);
        pm_live_detach(&pm.live);
        kept->live.base = NULL;
        return pm_fail(err, APR_ENOMEM, "no memory for the recorder's state");
    }
    return APR_SUCCESS;
}
