/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_file.c: the capture file: found, made, and whether another server has it.
 */
#include "module.h"

#include <apr_strings.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_lease.h"
#include "retained.h"
#include "service.h"

APLOG_USE_MODULE(pmcapture);

#define AWAY_MS 500
#define TAIL_WAIT_US 5000000u
#define KEPT_KEY "mod_pmcapture/capture/1"

/** In process-lifetime memory (see retained.h): the file of the last generation. */
typedef struct kept_file {
    char path[512];
    uint64_t dev, ino;
} kept_file;

static ssize_t program_of(uint32_t pid, char name[32])
{
    char path[48];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%u/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, name, 32);
    if (fd >= 0) {
        close(fd);
    }
    return n;
}

/** Is that process a httpd as we are? The one that started an orphaned recorder has gone: then it is init, or whoever
 *  takes in orphans here. When that cannot be seen, somebody's server is not to be disturbed. */
static int is_httpd(uint32_t pid)
{
    char own[32], other[32];
    ssize_t n = program_of((uint32_t)getpid(), own), m = program_of(pid, other);

    return n <= 0 || m <= 0 || (n == m && memcmp(own, other, (size_t)n) == 0);
}

/** A live region whose server lives, and is not this one? */
static void see_region(void *ctx, const char *path, uint64_t run)
{
    pm_live region;

    (void)run;
    if (pm_live_copy(&region, path, NULL) == APR_SUCCESS) {
        *(int *)ctx |= region.parent_pid != (uint32_t)getpid() && pm_live_parent_alive(&region);
        pm_live_detach(&region);
    }
}

/** Between two recorders nobody has the lease; a server may count for the file, or have written to it last, all the
 *  same. */
static int is_served(pm_capture *c, const char *path, apr_pool_t *p)
{
    char run_dir[PATH_MAX];
    ssize_t n = readlink(apr_pstrcat(p, path, ".run", NULL), run_dir, sizeof(run_dir) - 1);
    pm_server s;
    struct stat st;
    int served = 0;

    if (pm_capture_server(c, &s) == APR_SUCCESS && fstat(pm_capture_fd(c), &st) == 0) {
        served = s.stopped_us == 0 && s.pid != (uint32_t)getpid() && s.pid_start != 0 &&
                 s.file_ino == (uint64_t)st.st_ino && s.pid_namespace == pm_pid_namespace() &&
                 pm_process_start(s.pid) == s.pid_start;
    }
    if (n > 0) {
        run_dir[n] = '\0';
        pm_live_find(run_dir, pm_capture_id(c), see_region, &served);
    }
    return served;
}

/** The recorder of a server that has ended stays; now it is in the way, of its lease and of what it listens on. Whoever
 *  starts a server waits for that a moment: it does not take longer unless a disk hangs. */
static void send_away(pid_t holder)
{
    uint32_t supervising = pm_process_parent((uint32_t)holder);

    kill(holder, SIGTERM); /* the kernel says who holds the lock */
    for (int ms = 0; ms < AWAY_MS && (pm_process_start((uint32_t)holder) != 0 ||
                                      (supervising > 1 && pm_process_start(supervising) != 0));
         ms += 5) {
        usleep(5000);
    }
}

/** Another server holds the file? Our own recorders, of whatever generation, and one whose parent is dead, don't count:
 *  they are leaving, or told to. */
static int in_use(pm_capture *c, const char *path, apr_pool_t *p)
{
    pid_t holder = pm_lease_holder(c);
    uint32_t httpd;

    if (holder <= 0) {
        return holder < 0 || is_served(c, path, p);
    }
    httpd = pm_process_parent(pm_process_parent((uint32_t)holder));
    if (httpd == (uint32_t)getpid()) {
        return 0;
    }
    if (pm_process_start((uint32_t)holder) == 0) {
        return is_served(c, path, p); /* it has ended since: a service that was just left, say */
    }
    if (pm_service_is(pm_process_parent((uint32_t)holder))) {
        return is_served(c, path, p); /* it waits for this one */
    }
    if (is_httpd(httpd) || is_served(c, path, p)) {
        return 1;
    }
    send_away(holder);
    return 0;
}

/** With the link CAPTURE.run the tools find the runtime directory, and the live region in it. */
static void link_run_dir(apr_pool_t *p, const char *path)
{
    const char *link = apr_pstrcat(p, path, ".run", NULL),
               *fresh = apr_pstrcat(p, link, ".new", NULL);
    char old[PATH_MAX];
    ssize_t n = readlink(link, old, sizeof(old) - 1);

    if (n > 0 && (size_t)n == strlen(pm.run_dir) && memcmp(old, pm.run_dir, (size_t)n) == 0) {
        return;
    }
    unlink(fresh);
    if (symlink(pm.run_dir, fresh) == 0 && rename(fresh, link) != 0) {
        unlink(fresh);
    }
}

/** A new file of root's has the group of its folder, as httpd's logs have after logrotate: on Debian those in
 *  adm read both. One that somebody has given another group keeps it. */
static void give_group(apr_pool_t *p, int fd, const char *path)
{
    const char *name = strrchr(path, '/');
    struct stat file, folder;

    if (geteuid() == 0 && name != NULL && fstat(fd, &file) == 0 && file.st_gid == getegid() &&
        stat(apr_pstrmemdup(p, path, (apr_size_t)(name - path + 1)), &folder) == 0 &&
        folder.st_uid == 0 && folder.st_gid != file.st_gid &&
        fchown(fd, (uid_t)-1, folder.st_gid) != 0) {
        return; /* then root alone reads it */
    }
}

static kept_file *kept_get(void)
{
    kept_file *kept = ap_retained_data_get(KEPT_KEY);

    return kept != NULL ? kept : ap_retained_data_create(KEPT_KEY, sizeof(*kept));
}

/** Is it the one that this server's recorder has been at work on since the last load? Then no other server has it. */
static int is_kept(const char *path)
{
    const kept_file *kept = kept_get();
    struct stat st;

    return pm_retained_get()->recorder > 0 && strcmp(kept->path, path) == 0 &&
           lstat(path, &st) == 0 && (uint64_t)st.st_dev == kept->dev &&
           (uint64_t)st.st_ino == kept->ino;
}

static void keep_file(const char *path)
{
    kept_file *kept = kept_get();
    struct stat st;

    if (strlen(path) < sizeof(kept->path) && fstat(pm_capture_fd(pm.capture), &st) == 0) {
        apr_cpystrn(kept->path, path, sizeof(kept->path));
        kept->dev = (uint64_t)st.st_dev;
        kept->ino = (uint64_t)st.st_ino;
    }
}

/** Was the file written last on another boot, or is it a copy? What was written before a power cut may not be there. */
static int may_lack_ends(pm_capture *c)
{
    pm_server s;
    struct stat st;
    char boot[40];

    pm_boot_id(boot);
    return pm_capture_server(c, &s) != APR_SUCCESS || boot[0] == '\0' ||
           strcmp(s.boot_id, boot) != 0 || fstat(pm_capture_fd(c), &st) != 0 ||
           s.file_ino != (uint64_t)st.st_ino || s.file_dev != (uint64_t)st.st_dev;
}

static apr_status_t find_tail(const char *path, pm_error *err)
{
    apr_status_t rv =
        may_lack_ends(pm.capture) ? pm_capture_find_tail(pm.capture, TAIL_WAIT_US) : APR_SUCCESS;

    if (rv != APR_SUCCESS) {
        pm_capture_close(pm.capture);
        return pm_fail_os(err, rv, "cannot write to capture file %s", path);
    }
    return APR_SUCCESS;
}

static apr_status_t open_capture(apr_pool_t *p, server_rec *s, const char *path,
                                 const pm_retention *keep, pm_error *err)
{
    pm_retention want = *keep;
    char notice[512] = "";
    pm_capture *other;
    apr_status_t rv;
    int known = is_kept(path);

    want.samples = pm_config->samples;
    /* Before anything is done to it: other sizes would mean a new file in its place. */
    if (!known && pm_capture_open_append(&other, path, p, NULL) == APR_SUCCESS) {
        int used = in_use(other, path, p);

        pm_capture_close(other);
        if (used) {
            return pm_fail(err, APR_EBUSY, "The capture file %s is in use by another running httpd",
                           path);
        }
    }
    rv = pm_capture_create(&pm.capture, path, &want, p, notice, err);
    if (rv == APR_SUCCESS && !known) {
        rv = find_tail(path, err);
    }
    if (rv != APR_SUCCESS) {
        pm.capture = NULL;
        return rv;
    }
    pm_say(s, APLOG_WARNING, notice);
    if (pm.trouble[0] == '\0') {
        apr_cpystrn(pm.trouble, notice, sizeof(pm.trouble)); /* the page says it, too */
    }
    give_group(p, pm_capture_fd(pm.capture), path);
    keep_file(path);
    pm.capture_path = path;
    return APR_SUCCESS;
}

void pm_capture_file_forget(apr_pool_t *p, const char *path)
{
    unlink(path);
    unlink(apr_pstrcat(p, path, PM_LOCK_SUFFIX, NULL));
}

static void remove_region(void *ctx, const char *path, uint64_t run)
{
    (void)ctx;
    (void)run;
    unlink(path);
}

/** What dead servers without a capture file have left in the runtime directory. */
static void remove_dead_memory(apr_pool_t *p)
{
    DIR *d = opendir(pm.run_dir);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        const char *path = apr_pstrcat(p, pm.run_dir, "/", e->d_name, NULL);
        pm_capture *c;
        int pid, end = 0;

        if (sscanf(e->d_name, "pmcapture-%d.pmc%n", &pid, &end) != 1 || end == 0 ||
            e->d_name[end] != '\0' || pid <= 0 || pm_process_start((uint32_t)pid) != 0) {
            continue;
        }
        if (pm_capture_open(&c, path, p, NULL) == APR_SUCCESS) {
            pid_t holder = pm_lease_holder(c);

            if (holder > 0) {
                send_away(holder);
            }
            pm_live_find(pm.run_dir, pm_capture_id(c), remove_region, NULL);
            pm_capture_close(c);
        }
        pm_capture_file_forget(p, path);
    }
    if (d != NULL) {
        closedir(d);
    }
}

/** Without a capture file, or when it cannot be had: the last minutes, in the runtime directory. */
static void open_memory_capture(apr_pool_t *p, server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    pm_error err;
    pm_retention keep = PM_RETENTION_MEMORY;

    apr_snprintf(kept->memory_capture, sizeof(kept->memory_capture), "%s/pmcapture-%ld.pmc",
                 pm.run_dir, (long)getpid());
    if (!kept->started) {
        pm_capture_file_forget(p, kept->memory_capture); /* of a dead process that had this pid */
        remove_dead_memory(p);
    }
    if (open_capture(p, s, kept->memory_capture, &keep, &err) != APR_SUCCESS) {
        pm_trouble(s, apr_psprintf(p, "Nothing is recorded: %s", err.text));
        kept->memory_capture[0] = '\0';
    }
}

void pm_capture_file_find(apr_pool_t *p, server_rec *s)
{
    pm_error err = {""};
    /* Only now: a ServerRoot further down in the configuration counts, too. */
    const char *path = pm_config->file != NULL ? ap_server_root_relative(p, pm_config->file) : NULL;

    pm.trouble[0] = '\0';
    pm_service_find(s, path);
    if (pm_config->file == NULL) {
        pm_say(s, APLOG_NOTICE,
               "no PMCaptureFile: the last 5 minutes are kept in memory, nothing on disk");
    }
    else if (path == NULL) {
        pm_trouble(s,
                   "No history is kept on disk, the last 5 minutes in memory alone: PMCaptureFile "
                   "is not a valid path");
    }
    else if (!pm_disk_hangs() && open_capture(p, s, path, &pm_config->keep, &err) == APR_SUCCESS) {
        link_run_dir(p, pm.capture_path);
        return;
    }
    else if (pm_disk_hangs()) { /* since a moment before, too: then it was found locked */
        pm_trouble(
            s, apr_psprintf(
                   p,
                   "No history is kept on disk, the last 5 minutes in memory alone: the disk of %s "
                   "does not answer; reload httpd when it does",
                   path));
    }
    else {
        pm_trouble(
            s, apr_psprintf(p, "No history is kept on disk, the last 5 minutes in memory alone: %s",
                            err.text));
    }
    open_memory_capture(p, s);
}
