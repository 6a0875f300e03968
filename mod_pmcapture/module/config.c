/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config.c: what configuration runs: gathered at each load, secrets masked, for the recorder to compare.
 */
#include "module.h"

#include <apr_getopt.h>
#include <apr_strings.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <http_main.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "retained.h"

APLOG_USE_MODULE(pmcapture);

#define KEPT_KEY "mod_pmcapture/config/2"
#define DEPTH_MAX 100 /* of sections: <If> may be nested without end */
#define LAST_WAIT_MS 1000

/** In process-lifetime memory, as the module is loaded anew with each reload (see retained.h). Of each snapshot the
 *  parent holds a memfd, which is sealed when it is whole. */
typedef struct kept_config {
    int last, now; /* -1 = none */
    uint8_t key[16];
} kept_config;

static const pm_config_file *running_files;
static const char *const *running_patterns;
static size_t running_file_count, running_pattern_count;

static kept_config *kept_get(void)
{
    kept_config *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        kept->last = kept->now = -1;
        if (getrandom(kept->key, sizeof(kept->key), GRND_NONBLOCK) < 0) {
            memset(kept->key, 0x5c,
                   sizeof(kept->key)); /* early in boot: hashes that never leave us */
        }
    }
    return kept;
}

/* ---- what httpd knows ---- */

/** ${NAME} replaced, as when the line was read. httpd warns of each name without a value, and has no quieter way
 *  to ask. */
static const char *expand_in(apr_pool_t *pool, const char *text)
{
    int level = ap_default_loglevel;
    const char *value;

    if (strstr(text, "${") == NULL) {
        return text;
    }
    ap_default_loglevel = APLOG_EMERG;
    value = ap_resolve_env(pool, text);
    ap_default_loglevel = level;
    return value;
}

/** The command line, which httpd keeps as it came. */
typedef struct arguments {
    const char *file, *root;
    apr_array_header_t *defines;        /* of -D */
    apr_array_header_t *before, *after; /* lines of -C and -c */
    int debug;                          /* -X: "DEBUG" is defined, too */
} arguments;

static int has(const apr_array_header_t *names, const char *name)
{
    for (int i = 0; i < names->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(names, i, const char *), name) == 0) {
            return 1;
        }
    }
    return 0;
}

static void take_argument(arguments *a, char option, const char *value)
{
    switch (option) {
    case 'f':
        a->file = value;
        break;
    case 'd':
        a->root = value;
        break;
    case 'D':
        if (!has(a->defines, value)) {
            APR_ARRAY_PUSH(a->defines, const char *) = value;
        }
        break;
    case 'C':
        APR_ARRAY_PUSH(a->before, const char *) = value;
        break;
    case 'c':
        APR_ARRAY_PUSH(a->after, const char *) = value;
        break;
    case 'X':
        a->debug = 1;
        break;
    default:
        break;
    }
}

static arguments read_arguments(server_rec *s, apr_pool_t *pool)
{
    arguments a = {.file = SERVER_CONFIG_FILE, .root = HTTPD_ROOT};
    apr_getopt_t *options;
    const char *value;
    char option;

    a.defines = apr_array_make(pool, 4, sizeof(const char *));
    a.before = apr_array_make(pool, 4, sizeof(const char *));
    a.after = apr_array_make(pool, 4, sizeof(const char *));
    if (apr_getopt_init(&options, pool, s->process->argc, s->process->argv) == APR_SUCCESS) {
        options->errfn = NULL;
        while (apr_getopt(options, AP_SERVER_BASEARGS, &option, &value) == APR_SUCCESS) {
            take_argument(&a, option, value);
        }
    }
    return a;
}

/** What the scan is about. */
typedef struct world {
    apr_pool_t *pool;
    const arguments *arguments;
    const pm_gather *gather;
} world;

static int has_define(const pm_gather *g, const char *name)
{
    size_t count;
    const pm_config_define *defines = pm_gather_defines(g, &count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(defines[i].name, name) == 0) {
            return 1;
        }
    }
    return 0;
}

/** httpd's own list is not asked: it holds names in memory that modules have given back. */
static int is_defined(void *ctx, const char *name)
{
    const world *w = ctx;

    return has(w->arguments->defines, name) ||
           (w->arguments->debug && strcmp(name, "DEBUG") == 0) || has_define(w->gather, name) ||
           pm_is_defined_by_load(name);
}

static const char *module_symbol(apr_pool_t *pool, const module *m)
{
    const char *name = ap_find_module_short_name(m->module_index);

    return name != NULL ? apr_pstrcat(pool, name, "_module", NULL) : m->name;
}

static int is_loaded(void *ctx, const char *name)
{
    const world *w = ctx;

    if (ap_find_linked_module(name) != NULL) {
        return 1;
    }
    for (module **m = ap_loaded_modules; *m != NULL; m++) {
        if (strcmp(module_symbol(w->pool, *m), name) == 0) {
            return 1;
        }
    }
    return 0;
}

static const char *value_of_define(apr_pool_t *pool, const char *name)
{
    const char *asked = apr_pstrcat(pool, "${", name, "}", NULL), *value = expand_in(pool, asked);

    return strcmp(value, asked) != 0 ? value : NULL;
}

static const char *expand(void *ctx, const char *text)
{
    const world *w = ctx;

    return expand_in(w->pool, text);
}

static const char *absolute(void *ctx, const char *name)
{
    const world *w = ctx;

    return ap_server_root_relative(w->pool, name);
}

/* ---- gathering ---- */

static void gather_secrets(pm_gather *g, apr_pool_t *pool)
{
    const char *name;

    for (char **e = environ; e != NULL && *e != NULL; e++) {
        const char *value = strchr(*e, '=');

        if (value != NULL && pm_config_secret_name(*e, (size_t)(value - *e))) {
            pm_gather_secret(g, value + 1);
        }
    }
    for (int i = 0; (name = pm_define_of_load(i)) != NULL; i++) {
        const char *value;

        if (pm_config_secret_name(name, strlen(name)) &&
            (value = value_of_define(pool, name)) != NULL) {
            pm_gather_secret(g, value);
        }
    }
}

static void gather_lines(pm_gather *g, const apr_array_header_t *lines,
                         const pm_config_world *world)
{
    for (int i = 0; i < lines->nelts; i++) {
        pm_gather_text(g, APR_ARRAY_IDX(lines, i, const char *), world);
    }
}

/** The file that httpd began with: -f, or the one it was built with. */
static const char *main_file(const arguments *a, apr_pool_t *pool)
{
    char *path;

    return apr_filepath_merge(&path, a->root, a->file, APR_FILEPATH_TRUENAME, pool) == APR_SUCCESS
               ? path
               : a->file;
}

/** Those of the command line and of Define lines. What a module's code defines is no part of the configuration. httpd's
 *  list does not tell which lines were active: it lacks a name that happens to stand where a stale entry points. */
static void gather_defines(pm_gather *g, apr_pool_t *pool, const arguments *a)
{
    size_t count;
    const pm_config_define *defines = pm_gather_defines(g, &count);

    for (int i = 0; i < a->defines->nelts; i++) {
        const char *name = APR_ARRAY_IDX(a->defines, i, const char *);

        if (!has_define(g, name)) {
            pm_gather_define(g, name, NULL);
        }
    }
    for (size_t i = 0; i < count; i++) {
        pm_gather_define(g, defines[i].name,
                         defines[i].valued ? value_of_define(pool, defines[i].name) : NULL);
    }
}

static void gather_modules(pm_gather *g, apr_pool_t *pool)
{
    Dl_info where;

    for (module **m = ap_loaded_modules; *m != NULL; m++) {
        if ((*m)->dynamic_load_handle != NULL && dladdr(*m, &where) != 0) {
            pm_gather_module(g, module_symbol(pool, *m), where.dli_fname);
        }
    }
}

/** A virtual host goes by its ServerName: many have the same address. */
static const char *label_of(const ap_directive_t *d)
{
    const char *alias = NULL;

    if (strcasecmp(d->directive, "<VirtualHost") != 0) {
        return NULL;
    }
    for (const ap_directive_t *c = d->first_child; c != NULL; c = c->next) {
        if (strcasecmp(c->directive, "ServerName") == 0) {
            return c->args;
        }
        if (alias == NULL && strcasecmp(c->directive, "ServerAlias") == 0) {
            alias = c->args;
        }
    }
    return alias;
}

static void gather_tree(pm_gather *g, const ap_directive_t *d, uint32_t container, int depth)
{
    const char *file = NULL;

    for (; d != NULL; d = d->next) {
        uint32_t line = d->line_num > 0 ? (uint32_t)d->line_num : 0;

        if (d->filename != file) {
            file = d->filename;
            pm_gather_named_file(g, file);
        }
        if (d->first_child == NULL && d->directive[0] != '<') {
            pm_gather_directive(g, container, d->directive, d->args, file, line);
            continue;
        }
        gather_tree(g, d->first_child,
                    depth < DEPTH_MAX ? pm_gather_container(g, container, d->directive, d->args,
                                                            label_of(d), file, line)
                                      : container,
                    depth + 1);
    }
}

/* ---- what others are told ---- */

const pm_config_file *pm_config_files(size_t *count)
{
    *count = running_file_count;
    return running_files;
}

const char *const *pm_config_patterns(size_t *count)
{
    *count = running_pattern_count;
    return running_patterns;
}

/** For as long as this process lives. */
static void publish(const pm_gather *g, apr_pool_t *pool)
{
    const char *const *patterns = pm_gather_patterns(g, &running_pattern_count);
    const pm_config_file *files = pm_gather_files(g, &running_file_count);
    pm_config_file *own = apr_pmemdup(pool, files, running_file_count * sizeof(*files));
    const char **named = apr_palloc(pool, (running_pattern_count + 1) * sizeof(*named));

    for (size_t n = 0; n < running_file_count; n++) {
        own[n].path = apr_pstrdup(pool, files[n].path);
    }
    for (size_t n = 0; n < running_pattern_count; n++) {
        named[n] = apr_pstrdup(pool, patterns[n]);
    }
    running_files = own;
    running_patterns = named;
}

static void say_unread(server_rec *s, apr_pool_t *pool)
{
    const char *first = NULL;
    int count = 0;

    for (size_t n = 0; n < running_file_count; n++) {
        if (running_files[n].state == PM_FILE_MISSING ||
            running_files[n].state == PM_FILE_UNREADABLE) {
            first = first != NULL ? first : running_files[n].path;
            count++;
        }
    }
    if (count > 0) {
        pm_say(s, APLOG_WARNING,
               apr_psprintf(pool,
                            "%d configuration file%s could not be read a second time for the "
                            "record, so edits of it are not seen until the next reload: %s",
                            count, count == 1 ? "" : "s", first));
    }
}

static pm_snapshot *take(apr_pool_t *pool, server_rec *s, const pm_snapshot *last)
{
    const arguments a = read_arguments(s, pool);
    pm_gather *g = pm_gather_begin(pm_config->diff, kept_get()->key, pool);
    world own = {pool, &a, g};
    const pm_config_world world = {&own, expand, absolute, is_defined, is_loaded};

    if (last != NULL) {
        pm_gather_known(g, last);
    }
    gather_secrets(g, pool);
    gather_lines(g, a.before, &world);
    pm_gather_file(g, main_file(&a, pool), &world);
    gather_lines(g, a.after, &world);
    gather_defines(g, pool, &a);
    gather_modules(g, pool);
    gather_tree(g, ap_conftree, 0, 0);
    publish(g, pool);
    say_unread(s, pool);
    return pm_gather_done(g);
}

/* ---- what is read after post_config ---- */

/** The copy that lasts, of a name that is known by its address. */
static const char *lasting(apr_pool_t *pconf, apr_hash_t *copies, const char *name)
{
    const char *copy = apr_hash_get(copies, &name, sizeof(name));

    if (copy == NULL) {
        const char **key = apr_pmemdup(apr_hash_pool_get(copies), &name, sizeof(name));

        copy = apr_pstrdup(pconf, name);
        apr_hash_set(copies, key, sizeof(*key), copy);
    }
    return copy;
}

static void keep_names(apr_pool_t *pconf, apr_hash_t *copies, ap_directive_t *d)
{
    const char *last = NULL, *copy = NULL;

    for (; d != NULL; d = d->next) {
        if (d->filename != NULL && d->filename != last) {
            last = d->filename;
            copy = lasting(pconf, copies, last);
        }
        d->filename = d->filename != NULL ? copy : NULL;
        keep_names(pconf, copies, d->first_child);
    }
}

/** The names of files belong to whoever opened them. A module that opens one while the configuration is read may have
 *  them in the temporary pool (releases of mod_macro have), and the gatherer may be at work when that has gone. */
static void keep_places(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *main_server)
{
    apr_hash_t *copies = apr_hash_make(ptemp);

    keep_names(pconf, copies, ap_conftree);
    for (server_rec *s = main_server; s != NULL; s = s->next) {
        s->defn_name = s->defn_name != NULL ? lasting(pconf, copies, s->defn_name) : NULL;
    }
}

/* ---- keeping ---- */

/** A snapshot that its gatherer has finished. */
static int is_whole(int fd)
{
    int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;

    return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

static void let_go(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/** A reload so soon after the last one that its gatherer is still at it. */
static void wait_for_last(const kept_config *kept)
{
    pid_t gatherer = pm_retained_get()->gatherer;

    for (int ms = 0; ms < LAST_WAIT_MS && kept->now >= 0 && !is_whole(kept->now) && gatherer > 0 &&
                     pm_process_start((uint32_t)gatherer) != 0;
         ms += 5) {
        usleep(5000);
    }
}

void pm_config_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    kept_config *kept = kept_get();

    keep_places(pconf, ptemp, s);
    wait_for_last(kept);
    if (kept->now >= 0) {
        fcntl(kept->now, F_ADD_SEALS, F_SEAL_SEAL); /* it was finished by now, or never is */
    }
    if (is_whole(kept->now)) {
        let_go(&kept->last);
        kept->last = kept->now;
    }
    else {
        let_go(&kept->now); /* that generation's differences go to the next one */
    }
    kept->now = memfd_create("pmcapture-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (kept->last < 0) {
        kept->last = memfd_create("pmcapture-config", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    }
    if (kept->now < 0) {
        pm_say(s, APLOG_WARNING, "no memory to keep the configuration for the next comparison");
    }
}

void pm_config_descriptors(int *last, int *now)
{
    const kept_config *kept = kept_get();

    *last = kept->last;
    *now = kept->now;
}

void pm_config_each(void (*act)(int *fd))
{
    kept_config *kept = kept_get();

    act(&kept->last);
    act(&kept->now);
}

void pm_config_leave(void)
{
    kept_config *kept = kept_get();

    let_go(&kept->last);
    let_go(&kept->now);
}

/** Beside the capture file; NULL when that is in memory alone. */
static const char *store_path(apr_pool_t *pool)
{
    return strcmp(pm.capture_path, pm_retained_get()->memory_capture) != 0
               ? apr_pstrcat(pool, pm.capture_path, ".config", NULL)
               : NULL;
}

/** What ran last: of this server, else of the one before it. */
static pm_snapshot *last_one(server_rec *s, const char *path)
{
    pm_snapshot *last = NULL;
    pm_error err;
    apr_status_t rv;

    if (is_whole(kept_get()->last) && pm_snapshot_read(&last, kept_get()->last) == APR_SUCCESS) {
        return last;
    }
    if (path != NULL && (rv = pm_snapshot_load(&last, path, &err)) != APR_SUCCESS &&
        !APR_STATUS_IS_ENOENT(rv)) {
        pm_say(s, APLOG_WARNING, err.text);
    }
    return last;
}

#define WHOLE (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/** What the recorder compares with, when the last one is known from the disk alone. */
static void give_last(const pm_snapshot *last)
{
    int fd = kept_get()->last;

    if (fd >= 0 && !is_whole(fd) && last != NULL && pm_snapshot_write(last, fd) == APR_SUCCESS) {
        fcntl(fd, F_ADD_SEALS, WHOLE);
    }
}

/** It is gathered: whoever waits for it goes on. 0 when the next load has not waited: what changed is that one's to tell,
 *  and to compare with. */
static int seal(const pm_snapshot *now)
{
    int fd = kept_get()->now;

    return fd < 0 || pm_snapshot_write(now, fd) != APR_SUCCESS ||
           fcntl(fd, F_ADD_SEALS, WHOLE) == 0 || errno != EPERM;
}

static void save(server_rec *s, const char *path, const pm_snapshot *last, pm_snapshot *now)
{
    pm_error err;

    if (path != NULL && (last == NULL || !pm_snapshot_same(last, now) || access(path, F_OK) != 0) &&
        pm_snapshot_save(now, path, &err) != APR_SUCCESS) {
        pm_say(s, APLOG_WARNING, err.text);
    }
}

static pm_snapshot *gathered_last,
    *gathered_now; /* between the two calls; in a process that ends soon */

void pm_config_gather(apr_pool_t *pool, server_rec *s)
{
    gathered_last = last_one(s, store_path(pool));
    gathered_now = take(pool, s, gathered_last);
    give_last(gathered_last);
    if (gathered_now == NULL) {
        pm_say(s, APLOG_WARNING, "no memory to compare the configuration with the last one");
    }
}

void pm_config_seal(apr_pool_t *pool, server_rec *s)
{
    if (gathered_now != NULL && seal(gathered_now)) {
        save(s, store_path(pool), gathered_last, gathered_now);
    }
}
