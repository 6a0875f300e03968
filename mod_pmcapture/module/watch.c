/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch.c: which files are watched, the helper that may look everywhere, and .htaccess files of failing requests.
 *
 * The gatherer looks only at what httpd has just read itself. What PMCaptureWatch, DocumentRoot and
 * Alias name may lie on a network file system that hangs: that is left to processes and threads that may hang.
 */
#include "watch.h"

#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <http_request.h>
#include <mpm_common.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_handover.h"
#include "pm_time.h"

#define KEPT_KEY "mod_pmcapture/watch/2"
#define DEPTH_MAX 100
#define HANDED_OVER 64u /* paths that a worker remembers to have handed over */
#define HELPER_SECONDS 60

/** In process-lifetime memory: the module is loaded anew with each reload (see retained.h). */
typedef struct kept_watch {
    pm_watch_table *table, *previous;
    uint64_t size;
    int fd, previous_fd; /* of both; -1 = none */
    pid_t helper;        /* 0 = none */
} kept_watch;

static apr_pool_t *helper_pool;
static apr_proc_t helper;

static kept_watch *kept_get(void)
{
    kept_watch *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        kept->fd = kept->previous_fd = -1;
    }
    return kept;
}

/* ---- what is watched ---- */

/** Which argument of which directive names a file that httpd reads when it loads, or a folder that it serves. */
static const struct file_directive {
    const char *name;
    enum pm_watch_kind kind;
    int argument;
} file_directives[] = {
    {"SSLCertificateFile", PM_WATCH_KEY, 1},
    {"SSLCertificateKeyFile", PM_WATCH_KEY, 1},
    {"SSLCertificateChainFile", PM_WATCH_KEY, 1},
    {"SSLCACertificateFile", PM_WATCH_KEY, 1},
    {"SSLCARevocationFile", PM_WATCH_KEY, 1},
    {"SSLCADNRequestFile", PM_WATCH_KEY, 1},
    {"SSLSessionTicketKeyFile", PM_WATCH_KEY, 1},
    {"SSLProxyCACertificateFile", PM_WATCH_KEY, 1},
    {"SSLProxyCARevocationFile", PM_WATCH_KEY, 1},
    {"SSLProxyMachineCertificateFile", PM_WATCH_KEY, 1},
    {"SSLProxyMachineCertificateChainFile", PM_WATCH_KEY, 1},
    {"MDCertificateFile", PM_WATCH_KEY, 1},
    {"MDCertificateKeyFile", PM_WATCH_KEY, 1},
    {"DocumentRoot", PM_WATCH_TOP, 1},
    {"Alias", PM_WATCH_TOP, 2},
    {"ScriptAlias", PM_WATCH_TOP, 2},
    {"WSGIScriptAlias", PM_WATCH_TOP, 2},
};

static void put_directive(pm_watch_table *t, const ap_directive_t *d,
                          const struct file_directive *known, apr_pool_t *p)
{
    const char *args = d->args, *first = ap_getword_conf(p, &args);
    /* In a <Location>, Alias has one argument. */
    const char *second = ap_getword_conf(p, &args),
               *name = known->argument == 2 && second[0] != '\0' ? second : first, *path;
    int number;

    /* A key may lie elsewhere than in a file ("pkcs11:..."), and a path may be an expression. */
    if (name[0] == '\0' || strchr(name, '%') != NULL || strncmp(name, "pkcs11:", 7) == 0 ||
        (path = ap_server_root_relative(p, name)) == NULL) {
        return;
    }
    number = pm_watch_put(t, known->kind, path,
                          apr_psprintf(p, "%s, %s:%d", known->name, d->filename, d->line_num));
    if (known->kind == PM_WATCH_KEY) {
        pm_watch_take(t, number);
    }
}

static void put_directives(pm_watch_table *t, const ap_directive_t *d, enum pm_watch_kind kind,
                           int depth, apr_pool_t *p)
{
    for (; d != NULL; d = d->next) {
        for (size_t i = 0; i < sizeof(file_directives) / sizeof(file_directives[0]); i++) {
            const struct file_directive *known = &file_directives[i];

            if (known->kind == kind && strcasecmp(d->directive, known->name) == 0) {
                put_directive(t, d, known, p);
            }
        }
        if (depth < DEPTH_MAX) {
            put_directives(t, d->first_child, kind, depth + 1, p);
        }
    }
}

static void put_asked_for(pm_watch_table *t, server_rec *s, apr_pool_t *p)
{
    const apr_array_header_t *asked = pm_config->watch;

    for (int i = 0; asked != NULL && i < asked->nelts; i++) {
        const pm_watch_path *w = &APR_ARRAY_IDX(asked, i, pm_watch_path);
        /* Only now: a ServerRoot further down in the configuration counts, too. */
        char *path = ap_server_root_relative(p, w->path);
        size_t n = path != NULL ? strlen(path) : 0;

        while (n > 1 && path[n - 1] == '/') { /* with it, a link would be followed to its end */
            path[--n] = '\0';
        }
        if (n == 0 || pm_watch_put(t, PM_WATCH_FILE, path,
                                   apr_pstrcat(p, "PMCaptureWatch, ", w->where, NULL)) < 0) {
            pm_say(s, APLOG_WARNING, apr_psprintf(p, "PMCaptureWatch: %s is not watched", w->path));
        }
    }
}

/** As it was when it was read for the record; another one by now differs from that. */
static void put_config_file(pm_watch_table *t, const pm_config_file *file)
{
    int number =
        file->state == PM_FILE_READ ? pm_watch_put(t, PM_WATCH_CONFIG, file->path, "") : -1;
    struct stat st;

    if (number >= 0 && stat(file->path, &st) == 0) {
        pm_watched *w = &t->at[number];

        w->running = (pm_identity){.dev = (uint64_t)st.st_dev,
                                   .ino = (uint64_t)st.st_ino,
                                   .size = file->size,
                                   .mtime_us = file->mtime_us,
                                   .content = file->hash != 0 ? file->hash : 1,
                                   .mode = (uint64_t)st.st_mode};
        w->told = w->running;
        w->state = PM_WATCH_SAYS_THERE;
    }
}

static void put_configuration(pm_watch_table *t)
{
    size_t count;
    const pm_config_file *files = pm_config_files(&count);
    const char *const *patterns;

    for (size_t i = 0; i < count; i++) {
        put_config_file(t, &files[i]);
    }
    patterns = pm_config_patterns(&count);
    for (size_t i = 0; i < count; i++) {
        pm_watch_take(t, pm_watch_put(t, PM_WATCH_PATTERN, patterns[i], ""));
    }
}

static void unmap(pm_watch_table **table, int *fd, uint64_t size)
{
    if (*table != NULL) {
        munmap(*table, size);
        *table = NULL;
    }
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/** What the last load took becomes what was before. */
static void age_table(kept_watch *kept)
{
    int known = kept->size == sizeof(pm_watch_table); /* else of another version: not to be read */

    if (kept->table != NULL && known && kept->previous != NULL && !kept->table->begun) {
        /* A generation too short to have a recorder at work leaves what was said before it. */
        if (atomic_load(&kept->table->filled)) {
            pm_watch_carry(kept->previous, kept->table);
        }
        unmap(&kept->table, &kept->fd, kept->size);
        return;
    }
    unmap(&kept->previous, &kept->previous_fd, kept->size);
    kept->previous = kept->table;
    kept->previous_fd = kept->fd;
    kept->table = NULL;
    kept->fd = -1;
    if (!known) {
        unmap(&kept->previous, &kept->previous_fd, kept->size);
    }
}

static pm_watch_table *new_table(kept_watch *kept)
{
    age_table(kept);
    kept->fd = pm_memory_make("pmcapture-watch", sizeof(pm_watch_table));
    kept->table = pm_memory_map(kept->fd, sizeof(pm_watch_table));
    kept->size = sizeof(pm_watch_table);
    return kept->table;
}

/* ---- the helper ---- */

static void helper_ended(int reason, void *data, int status)
{
    (void)status;
    if (reason == APR_OC_REASON_DEATH || reason == APR_OC_REASON_LOST) {
        apr_proc_other_child_unregister(data);
        kept_get()->helper = 0;
    }
}

/** Known to this generation, or the MPM would call it a long lost child. */
static void register_helper(pid_t pid)
{
    helper.pid = pid;
    helper.in = helper.out = helper.err = NULL;
    apr_proc_other_child_register(&helper, helper_ended, &helper, NULL, helper_pool);
}

/** It may hang: so it holds nothing, and above all no listening socket. */
static void become_helper(void)
{
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int sig = 1; sig < 32; sig++) {
        sigaction(sig, &usual, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_NAME, "pmcapture-look");
    prctl(PR_SET_DUMPABLE, 0);
    pm_descriptors_close(0, ~0u);
    alarm(HELPER_SECONDS);
}

static void start_helper(int all)
{
    kept_watch *kept = kept_get();
    pid_t pid;

    if (kept->helper != 0 || geteuid() != 0 || kept->table == NULL) {
        return; /* one that hangs is enough; and without root, it would see no more than the recorder */
    }
    pid = fork();
    if (pid == 0) {
        become_helper();
        pm_watch_help(kept->table, all);
        _exit(0);
    }
    if (pid > 0) {
        kept->helper = pid;
        register_helper(pid);
    }
}

void pm_watch_monitor(void)
{
    const pm_watch_table *t = kept_get()->table;

    if (t != NULL && pm_watch_wants_help(t)) {
        start_helper(0);
    }
}

/* ---- the parts that others call ---- */

void pm_watch_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    kept_watch *kept = kept_get();
    pm_watch_table *t = new_table(kept);

    helper_pool = pconf;
    if (kept->helper != 0 && waitpid(kept->helper, NULL, WNOHANG) == 0) {
        register_helper(kept->helper);
    }
    else {
        kept->helper = 0;
    }
    if (t == NULL) {
        pm_say(s, APLOG_WARNING, "Out of memory: file watching is disabled");
        return;
    }
    pm_watch_table_init(t, pm_time_now());
    put_asked_for(t, s, ptemp);
    if (pm_config->watch != NULL) {
        start_helper(1);
    }
}

void pm_watch_fill(apr_pool_t *pool, server_rec *s)
{
    pm_watch_table *t = kept_get()->table;

    if (t == NULL) {
        return;
    }
    pm_objects_put(t, pool);
    put_directives(t, ap_conftree, PM_WATCH_KEY, 0, pool);
    put_configuration(t);
    put_directives(t, ap_conftree, PM_WATCH_TOP, 0, pool);
    if (t->dropped > 0) {
        pm_say(s, APLOG_WARNING,
               apr_psprintf(pool, "%u more files than the %u that can be watched are not watched",
                            t->dropped, PM_WATCH_MAX));
    }
}

void pm_watch_descriptors(int *last, int *now)
{
    const kept_watch *kept = kept_get();

    *last = kept->previous_fd;
    *now = kept->fd;
}

void pm_watch_each(void (*act)(int *fd))
{
    kept_watch *kept = kept_get();

    act(&kept->fd);
    act(&kept->previous_fd);
}

void pm_watch_advise(int advice)
{
    kept_watch *kept = kept_get();

    if (kept->table != NULL) {
        madvise(kept->table, kept->size, advice);
    }
    if (kept->previous != NULL) {
        madvise(kept->previous, kept->size, advice);
    }
}

void pm_watch_leave(void)
{
    kept_watch *kept = kept_get();

    unmap(&kept->table, &kept->fd, kept->size);
    unmap(&kept->previous, &kept->previous_fd, kept->size);
}

/* ---- .htaccess files ---- */

/** 1 when this process has not handed it over in this minute. */
static int is_new(const char *path, uint64_t now_us)
{
    static _Atomic uint32_t handed[HANDED_OVER];
    uint32_t hash = 2166136261u ^ (uint32_t)(now_us / (60 * PM_SECOND));

    for (const char *c = path; *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    }
    return atomic_exchange_explicit(&handed[hash % HANDED_OVER], hash, memory_order_relaxed) !=
           hash;
}

static void hand_over(const char *dir, const char *name)
{
    pm_live_note note = {.type = PM_WATCH_NOTE, .at_us = pm_time_now()};
    size_t n = dir != NULL && name != NULL ? strlen(dir) : 0;

    if (n == 0 || dir[0] != '/' ||
        (size_t)snprintf(note.text, sizeof(note.text), "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/",
                         name) >= sizeof(note.text) ||
        !is_new(note.text, note.at_us)) {
        return;
    }
    pm_ring_write(&pm.live.journal, &note);
}

/** Those that httpd read: of the first name that AccessFileName gives. */
static void hand_over_read(const request_rec *r, const struct htaccess_result *h)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    const char *names = core->access_name != NULL ? core->access_name : DEFAULT_ACCESS_FNAME;
    char name[256];
    int most = 4;

    apr_cpystrn(name, names, sizeof(name));
    name[strcspn(name, " \t")] = '\0';
    for (; h != NULL && most > 0; h = h->next) {
        if (h->htaccess != NULL) {
            hand_over(h->dir, name);
            most--;
        }
    }
}

void pm_htaccess_failed(const request_rec *r, const request_rec *final)
{
    if (final->htaccess != NULL) {
        hand_over_read(r, final->htaccess);
    }
}

/** httpd forgets that it has read it. Only this line names it, as "/path/.htaccess: ...". */
void pm_htaccess_broken(const request_rec *r, const char *message)
{
    const core_server_config *core = ap_get_core_module_config(r->server->module_config);
    const char *names = core->access_name != NULL ? core->access_name : DEFAULT_ACCESS_FNAME, *at;
    char name[256], dir[PM_EVENT_TEXT];

    while (*(names += strspn(names, " \t")) != '\0') {
        size_t n = strcspn(names, " \t");

        if ((size_t)apr_snprintf(name, sizeof(name), "/%.*s: ", (int)n, names) < sizeof(name) - 1 &&
            (at = strstr(message, name)) != NULL && (size_t)(at - message) < sizeof(dir)) {
            memcpy(dir, message, (size_t)(at - message));
            dir[at - message] = '\0';
            name[n + 1] = '\0';
            hand_over(dir[0] != '\0' ? dir : "/", name + 1);
            return;
        }
        names += n;
    }
}
