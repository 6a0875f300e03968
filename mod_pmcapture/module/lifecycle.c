/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * lifecycle.c: what happens when the server starts, reloads and stops, and who may touch what.
 *
 * Whatever goes wrong here, httpd starts and serves: post_config returns OK and says what is not recorded.
 */
#include "module.h"

#include <ap_mpm.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <dirent.h>
#include <fcntl.h>
#include <http_main.h>
#include <limits.h>
#include <mpm_common.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_handover.h"
#include "pm_lease.h"
#include "pm_time.h"
#include "relay.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define LOCK_WAIT_US 200000u
#define HANG_US (5 * PM_SECOND)  /* an fsync of a busy disk takes less */
#define PM_RUN_LAST (1ull << 56) /* far from overflow, whatever a file is called */

/** Something is not recorded: the error log says it now, /pm-status as long as it lasts. */
static void trouble(server_rec *s, const char *sentence)
{
    apr_cpystrn(pm.trouble, sentence, sizeof(pm.trouble));
    pm_say(s, APLOG_CRIT, sentence);
}

/** A recorder has been waiting for the disk so long that the parent, and with it the whole server, would wait, too? One
 *  that is in the kernel cannot leave when it is told to, either. */
static int disk_hangs(void)
{
    const pm_retained *kept = pm_retained_get();
    const pm_control *control = kept->control.base;
    uint64_t writing = control != NULL && pm_control_valid(control, kept->control.size)
                           ? atomic_load(&control->writing_us)
                           : 0;

    /* One that died as it wrote has left that mark, until its successor's first tick. */
    return writing != 0 && pm_time_monotonic() > writing + HANG_US && kept->recorder > 0;
}

/* ---- events that the parent writes itself ---- */

/** The file is locked for long: the recorder writes it down when it can, without data that is too long. */
static void hand_over(const pm_event *e)
{
    uint64_t number;
    pm_live_note *note;

    if (pm.control == NULL) {
        return;
    }
    number = atomic_load(&pm.control->handed);
    note = &pm.control->hand[number % PM_HANDED_KEPT];
    *note = (pm_live_note){.at_us = e->at_us, .type = e->type, .severity = e->severity};
    apr_cpystrn(note->text, e->text, sizeof(note->text));
    apr_cpystrn(note->data, e->data_len < sizeof(note->data) ? e->data : "{\"truncated\":true}",
                sizeof(note->data));
    atomic_store(&pm.control->handed, number + 1);
}

void pm_write_event(uint64_t at, uint32_t type, uint32_t severity, const char *data,
                    const char *text)
{
    pm_event e = {.at_us = at, .run = pm.live.run, .type = type, .severity = severity};

    pm_text_clean(e.text, sizeof(e.text), text, 4 * sizeof(e.text));
    e.data = data;
    e.data_len = (uint32_t)strlen(data);
    if (pm.capture == NULL) {
        return;
    }
    if (disk_hangs() || pm_capture_lock(pm.capture, LOCK_WAIT_US) != APR_SUCCESS) {
        hand_over(&e); /* httpd waits for this process */
        return;
    }
    pm_capture_put_event(pm.capture, &e);
    pm_capture_unlock(pm.capture);
}

/* ---- virtual hosts ---- */

const char *pm_vhost_key(apr_pool_t *p, const server_rec *s)
{
    const char *name = s->server_hostname != NULL ? s->server_hostname : "_default_";
    apr_port_t port = s->port;
    char key[PM_KEY];

    if (s->is_virtual && s->addrs != NULL && s->addrs->host_port != 0) {
        port = s->addrs->host_port;
    }
    pm_text_clean(key, PM_KEY - 8, name, PM_KEY);
    if (port != 0) {
        apr_snprintf(key + strlen(key), 8, ":%u", port);
    }
    return apr_pstrdup(p, key);
}

static const char *vhost_defined(const server_rec *s, char where[PM_KEY])
{
    char raw[2 * PM_KEY];

    if (s->defn_name == NULL) {
        return "";
    }
    apr_snprintf(raw, sizeof(raw), "%s:%u", s->defn_name, s->defn_line_number);
    pm_text_clean(where, PM_KEY, raw, PM_KEY);
    return where;
}

static uint32_t count_vhosts(const server_rec *s)
{
    uint32_t n = 0;

    for (; s != NULL; s = s->next) {
        n++;
    }
    return n;
}

/** Every virtual host's key, none twice. */
static const char **name_vhosts(apr_pool_t *p, server_rec *main_server, apr_hash_t *wanted)
{
    const char **keys = apr_palloc(p, count_vhosts(main_server) * sizeof(*keys));
    uint32_t n = 0;

    for (server_rec *s = main_server; s != NULL; s = s->next) {
        const char *key = pm_vhost_key(p, s);

        if (apr_hash_get(wanted, key, APR_HASH_KEY_STRING) != NULL) {
            char *longer = apr_palloc(p, PM_KEY), defined[PM_KEY];

            pm_text_clean(longer, PM_KEY,
                          apr_psprintf(p, "%s (%s)", key, vhost_defined(s, defined)), 2 * PM_KEY);
            key = longer;
        }
        apr_hash_set(wanted, key, APR_HASH_KEY_STRING, s);
        keys[n++] = key;
    }
    return keys;
}

/** The numbers that names had in the last generation. */
static apr_hash_t *known_numbers(apr_pool_t *p)
{
    apr_hash_t *known = apr_hash_make(p);

    for (uint32_t v = 1; v < pm.live.geo.vhosts; v++) {
        if (pm.control->vhost_name[v][0] != '\0') {
            apr_hash_set(known, pm.control->vhost_name[v], APR_HASH_KEY_STRING,
                         (void *)(uintptr_t)v);
        }
    }
    return known;
}

/** A number for a new name, from *next on: an unused one, else that of a virtual host that is no more; 0 "(other)"
 *  when there is none. */
static uint32_t free_number(apr_hash_t *wanted, uint32_t *next)
{
    for (; *next < 2 * pm.live.geo.vhosts; (*next)++) {
        uint32_t v = *next % pm.live.geo.vhosts;
        const char *name = pm.control->vhost_name[v];

        if (v != 0 && name[0] == '\0') {
            return v;
        }
        if (v != 0 && *next >= pm.live.geo.vhosts &&
            apr_hash_get(wanted, name, APR_HASH_KEY_STRING) == NULL) {
            return v;
        }
    }
    return 0;
}

/** The same file, whatever the lines? Numbers within are lines, too: a macro's place is a sentence. */
static int same_file(const char *a, const char *b)
{
    for (;;) {
        while (apr_isdigit(*a)) {
            a++;
        }
        while (apr_isdigit(*b)) {
            b++;
        }
        if (*a != *b) {
            return 0;
        }
        if (*a == '\0') {
            return 1;
        }
        a++;
        b++;
    }
}

/** A name and a place; what they were is kept for who had been served by it. Workers may have written anything there,
 *  texts without an end, too. */
static void describe_vhost(pm_vhost_live *vh, const char *name, const char *defined)
{
    char was_name[PM_KEY] = "",
         was_defined[PM_KEY] = ""; /* whole: their ends go into the region, too */
    int renamed;

    apr_cpystrn(was_name, vh->name, PM_KEY);
    apr_cpystrn(was_defined, vh->defined, PM_KEY);
    renamed = strcmp(was_name, name) != 0;
    if (!renamed && strcmp(was_defined, defined) == 0) {
        return;
    }
    if (renamed || !same_file(was_defined, defined)) {
        vh->hands = pm.generation;
    }
    memcpy(vh->was_name, was_name, PM_KEY);
    memcpy(vh->was_defined, was_defined, PM_KEY);
    vh->changed = pm.generation;
    apr_cpystrn(vh->name, name, PM_KEY);
    apr_cpystrn(vh->defined, defined, PM_KEY);
}

/** Every virtual host gets its number, the one it had if it had one; the first PM_POOLS - 1 also sketches and
 *  latencies of their own. */
static void number_vhosts(apr_pool_t *pconf, apr_pool_t *p, server_rec *main_server)
{
    apr_hash_t *wanted = apr_hash_make(p), *known = known_numbers(p);
    const char **key = name_vhosts(p, main_server, wanted);
    uint32_t next = 1;

    pm_answered_prepare();
    for (server_rec *s = main_server; s != NULL; s = s->next, key++) {
        uint32_t v = (uint32_t)(uintptr_t)apr_hash_get(known, *key, APR_HASH_KEY_STRING);
        char defined[PM_KEY];
        pm_vhost_live *vh;

        v = v != 0 ? v : free_number(wanted, &next);
        /* httpd lets a virtual host without a directive of ours share the main server's. */
        ap_set_module_config(s->module_config, &pmcapture_module,
                             apr_pmemdup(pconf, pm_conf_of(s), sizeof(pm_server_conf)));
        pm_conf_of(s)->vhost = v;
        pm_where_learn_sockets(pconf, s);
        if (v == 0) {
            continue;
        }
        vh = &pm.live.vhosts[v];
        apr_cpystrn(pm.control->vhost_name[v], *key, PM_KEY);
        describe_vhost(vh, *key, vhost_defined(s, defined));
        atomic_store(&vh->pool, v < PM_POOLS ? v : 0);
    }
    apr_cpystrn(pm.live.vhosts[0].name, "(other)", PM_KEY);
}

/* ---- the capture file ---- */

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
    pm_checkpoint *cp = calloc(1, sizeof(*cp));
    char run_dir[PATH_MAX];
    ssize_t n = readlink(apr_pstrcat(p, path, ".run", NULL), run_dir, sizeof(run_dir) - 1);
    struct stat st;
    int served = 0;

    if (cp != NULL && pm_capture_checkpoint(c, cp) == APR_SUCCESS &&
        fstat(pm_capture_fd(c), &st) == 0) {
        const pm_server *s = &cp->server;

        served = s->stopped_us == 0 && s->pid != (uint32_t)getpid() && s->pid_start != 0 &&
                 s->file_ino == (uint64_t)st.st_ino && s->pid_namespace == pm_pid_namespace() &&
                 pm_process_start(s->pid) == s->pid_start;
    }
    free(cp);
    if (n > 0) {
        run_dir[n] = '\0';
        pm_live_find(run_dir, pm_capture_id(c), see_region, &served);
    }
    return served;
}

/** Another server holds the file? Our own recorders, of whatever generation, and one whose parent is dead, don't count:
 *  they are leaving, or told to. */
static int in_use(pm_capture *c, const char *path, apr_pool_t *p)
{
    pid_t holder = pm_lease_holder(c);
    uint32_t httpd;

    if (holder == 0) {
        return is_served(c, path, p);
    }
    if (holder > 0 &&
        (httpd = pm_process_parent(pm_process_parent((uint32_t)holder))) == (uint32_t)getpid()) {
        return 0;
    }
    if (holder < 0 || is_httpd(httpd)) {
        return 1;
    }
    kill(holder, SIGTERM); /* the kernel says who holds the lock, and its parent is gone */
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

static apr_status_t open_capture(apr_pool_t *p, server_rec *s, const char *path,
                                 const pm_retention *keep, pm_error *err)
{
    pm_retention want = *keep;
    char notice[512] = "";
    pm_capture *other;
    apr_status_t rv;

    want.samples = pm_config->samples;
    /* Before anything is done to it: other sizes would mean a new file in its place. */
    if (pm_capture_open_append(&other, path, p, NULL) == APR_SUCCESS) {
        int used = in_use(other, path, p);

        pm_capture_close(other);
        if (used) {
            return pm_fail(err, APR_EBUSY, "The capture file %s is in use by another running httpd",
                           path);
        }
    }
    rv = pm_capture_create(&pm.capture, path, &want, p, notice, err);
    if (rv != APR_SUCCESS) {
        pm.capture = NULL;
        return rv;
    }
    pm_say(s, APLOG_WARNING, notice);
    if (pm.trouble[0] == '\0') {
        apr_cpystrn(pm.trouble, notice, sizeof(pm.trouble)); /* the page says it, too */
    }
    give_group(p, pm_capture_fd(pm.capture), path);
    pm.capture_path = path;
    return APR_SUCCESS;
}

static void remove_memory_capture(apr_pool_t *p, const char *path)
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
            pm_live_find(pm.run_dir, pm_capture_id(c), remove_region, NULL);
            pm_capture_close(c);
        }
        remove_memory_capture(p, path);
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
        remove_memory_capture(p, kept->memory_capture); /* of a dead process that had this pid */
        remove_dead_memory(p);
    }
    if (open_capture(p, s, kept->memory_capture, &keep, &err) != APR_SUCCESS) {
        trouble(s, apr_psprintf(p, "Nothing is recorded: %s", err.text));
        kept->memory_capture[0] = '\0';
    }
}

static void find_capture(apr_pool_t *p, server_rec *s)
{
    pm_error err = {""};
    /* Only now: a ServerRoot further down in the configuration counts, too. */
    const char *path = pm_config->file != NULL ? ap_server_root_relative(p, pm_config->file) : NULL;

    pm.trouble[0] = '\0';
    if (pm_config->file == NULL) {
        pm_say(s, APLOG_NOTICE,
               "no PMCaptureFile: the last 5 minutes are kept in memory, nothing on disk");
    }
    else if (path == NULL) {
        trouble(s, "No history is kept on disk, the last 5 minutes in memory alone: PMCaptureFile "
                   "is not a valid path");
    }
    else if (!disk_hangs() && open_capture(p, s, path, &pm_config->keep, &err) == APR_SUCCESS) {
        link_run_dir(p, pm.capture_path);
        return;
    }
    else if (disk_hangs()) { /* since a moment before, too: then it was found locked */
        trouble(
            s, apr_psprintf(
                   p,
                   "No history is kept on disk, the last 5 minutes in memory alone: the disk of %s "
                   "does not answer; reload httpd when it does",
                   path));
    }
    else {
        trouble(
            s, apr_psprintf(p, "No history is kept on disk, the last 5 minutes in memory alone: %s",
                            err.text));
    }
    open_memory_capture(p, s);
}

/* ---- the live region ---- */

static long group_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (long)st.st_gid : -1;
}

static pm_live_geometry plan(server_rec *s)
{
    int processes = 0, threads = 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    processes = processes > 0 ? processes : 256;
    threads = threads > 0 ? threads : 1;
    return pm_live_plan(cores > 0 ? (uint32_t)cores : 1, (uint32_t)(processes * threads),
                        (uint32_t)processes, count_vhosts(s) + 1);
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
    if (kept->live.base == NULL || kept->control.base == NULL ||
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

/** What the recorders have drained is in the totals, and nobody writes to it any more. */
static void remove_drained(pm_retained *kept)
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

static void adopt_old(pm_retained *kept, uint64_t *run)
{
    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        if (kept->old[i].base == NULL) {
            pm.old[i].header = NULL;
        }
        else if (pm_live_adopt(&pm.old[i], kept->old[i].base, kept->old[i].size, kept->old[i].path,
                               NULL) == APR_SUCCESS) {
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
    pm_checkpoint *cp = calloc(1, sizeof(*cp));
    uint64_t run = 0;

    if (cp != NULL && pm_capture_checkpoint(pm.capture, cp) == APR_SUCCESS) {
        run = cp->server.run;
    }
    free(cp);
    return run;
}

static apr_status_t find_region(server_rec *s, pm_retained *kept, pm_error *err)
{
    pm_live_geometry want = plan(s);
    old_regions found = {kept, last_run()};
    uint64_t run;
    apr_status_t rv;

    if (reuse_region(kept, &want)) {
        adopt_old(kept, &found.run);
        return APR_SUCCESS;
    }
    if (kept->control.base != NULL) {
        /* Of a region that was destroyed before its first tick nothing else tells. */
        uint64_t last = ((const pm_control *)kept->control.base)->run;

        found.run = last > found.run ? last : found.run;
    }
    remove_drained(kept); /* makes room */
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

/* ---- hooks ---- */

static void end_configuration(pm_retained *kept)
{
    if (pm_ends_in_order()) {
        pm_write_event(pm_time_now(), PM_EV_SERVER_STOP, PM_INFO, "{}", "httpd was stopped");
        pm_recorder_stop();
        /* The recorder's last tick has not; one that is still here does it itself, and may be waiting for a disk that
         * hangs: httpd's end does not. */
        if (pm.capture != NULL && pm.control != NULL && atomic_load(&pm.control->stopping) != 2 &&
            kept->recorder == 0) {
            pm_capture_sync(pm.capture);
        }
        remove_drained(kept);
    }
    if (pm_ends_in_order() || ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        if (kept->live.base != NULL && pm.control != NULL &&
            (atomic_load(&pm.control->stopping) == 2 ||
             atomic_load(&pm.control->heartbeat_us) == 0)) {
            unlink(kept->live.path); /* the last tick is on disk, or there never was a first */
        }
        pm_relay_remove();
        pm_listen_leave(1);
        if (kept->memory_capture[0] != '\0') {
            remove_memory_capture(pm.pconf, kept->memory_capture);
        }
    }
    if (pm.capture != NULL) {
        pm_capture_close(pm.capture);
        pm.capture = NULL;
    }
}

static apr_status_t configuration_goes(void *unused)
{
    pm_retained *kept = pm_retained_get();

    (void)unused;
    /* Else it is a child, a first pass, or a command beside the server. */
    if (kept->parent == getpid() && kept->started) {
        end_configuration(kept);
        /* Other modules may log a line yet. It is not counted: nothing guards the region any more. */
        pm.live.header = NULL;
        for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
            pm.old[i].header = NULL;
        }
    }
    pm_guard_remove();
    return APR_SUCCESS;
}

static void find_run_dir(apr_pool_t *p)
{
    char *dir = ap_runtime_dir_relative(p, "");
    size_t n = dir != NULL ? strlen(dir) : 0;

    while (n > 1 && dir[n - 1] == '/') {
        dir[--n] = '\0';
    }
    pm.run_dir = n > 0 ? dir : "/";
}

int pm_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    pm_retained *kept = pm_retained_get();
    pm_error err;
    int generation = 0;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG ||
        ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        return OK;
    }
    if (!kept->started) {
        kept->started_us = pm_time_now();
        kept->parent = getpid();
    }
    generation = ap_state_query(AP_SQ_CONFIG_GEN);
    pm.generation = generation > 0 ? (uint32_t)generation : 0;
    pm.pconf = pconf;
    pm_guard_add(&pm.live);
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        pm_guard_add(&pm.old[i]);
    }
    pm_guard_install();
    find_run_dir(pconf);
    find_capture(pconf, s);
    if (pm.capture != NULL && find_region(s, kept, &err) != APR_SUCCESS) {
        trouble(s, apr_psprintf(ptemp, "Nothing is recorded: %s", err.text));
    }
    if (pm.live.header != NULL) {
        number_vhosts(pconf, ptemp, s);
        pm_load_begin(pconf, ptemp, s);
        pm_eventlog_open(pconf, s);
        /* Else the scoreboard is made after post_config, and the recorder reads it. */
        if (ap_unixd_mpm_get_retained_data()->was_graceful) {
            pm_scoreboard_share(0);
            pm_recorder_attach(pconf, ptemp, s);
        }
    }
    else {
        pm_recorder_dismiss(pconf);
    }
    kept->started = 1;
    kept->generation = pm.generation;
    /* Registered last, so it runs first: the capture file is still open then. */
    apr_pool_cleanup_register(pconf, NULL, configuration_goes, apr_pool_cleanup_null);
    return OK;
}

/** Not with a graceful reload: there are no children yet. */
int pm_pre_mpm(apr_pool_t *process_pool, ap_scoreboard_e type)
{
    apr_pool_t *p;

    (void)process_pool; /* it outlives this module: nothing of ours may be registered with it */
    (void)type;
    if (pm.live.header != NULL && apr_pool_create(&p, pm.pconf) == APR_SUCCESS) {
        pm_scoreboard_share(1);
        pm_recorder_attach(pm.pconf, p, ap_server_conf);
        apr_pool_destroy(p);
    }
    return OK;
}

int pm_monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    pm_guard_install();
    remove_drained(pm_retained_get());
    pm_recorder_check();
    pm_watch_monitor();
    return DECLINED;
}

/** A worker keeps the live region, and a descriptor to read history with. Nothing with which history could
 *  be written. */
static void leave_parent(const pm_retained *kept)
{
    if (pm.capture != NULL) {
        pm_capture_close(pm.capture);
        pm.capture = NULL;
    }
    if (kept->control.base != NULL) {
        munmap(kept->control.base, kept->control.size);
    }
    pm.control = NULL;
    pm_recorder_leave();
    pm_refused_leave();
    pm_config_leave();
    pm_watch_leave();
    pm_eventlog_leave();
    for (int i = 0; i < (int)PM_OLD_REGIONS; i++) {
        pm.old[i].header = NULL;
        if (kept->old[i].base != NULL) {
            munmap(kept->old[i].base, kept->old[i].size);
        }
    }
}

void pm_child_init(apr_pool_t *pchild, server_rec *s)
{
    const pm_retained *kept = pm_retained_get();

    (void)s;
    /* With -X the process that serves is the parent, too, and needs all that at its end. */
    if (kept->parent != getpid()) {
        leave_parent(kept);
    }
    pm_guard_install();
    if (pm.live.header != NULL) {
        pm_process_begin(pchild);
    }
}
