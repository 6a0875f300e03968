/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * load.c: what a load of the configuration brought, found out and told beside the server's start.
 *
 * To gather thousands of virtual hosts, compare them with the last ones and look at every file takes as long as httpd
 * takes to read them, and httpd waits for post_config. So the parent notes no more than that there was a load; the first
 * recorder, which has all of the parent's memory, does the work before it gives up root. Until it is done the other
 * one leaves the lease alone, for a while: whoever holds it watches the files that are found here.
 */
#include "module.h"

#include <apr_strings.h>
#include <http_log.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_time.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define TRIES 2u /* a recorder that dies of it shall not be the last one */

/** The load that this generation began with. */
static struct {
    uint64_t at_us;
    int first, graceful;
} load;

void pm_load_begin(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    pm_retained *kept = pm_retained_get();

    load.at_us = pm_time_now();
    load.first = !kept->started;
    /* The one member that survives the old configuration's end. */
    load.graceful = ap_unixd_mpm_get_retained_data()->was_graceful;
    if (load.first) {
        pm_write_event(kept->started_us, PM_EV_SERVER_START, PM_INFO,
                       apr_psprintf(ptemp, "{\"pid\":%ld}", (long)getpid()),
                       apr_psprintf(ptemp, "httpd started, pid %ld, %s", (long)getpid(),
                                    ap_get_server_description()));
    }
    else {
        kept->reload_us = load.at_us;
    }
    atomic_store(&pm.state->load_tries, 0);
    pm_lines_prepare();
    pm_config_prepare(pconf, ptemp, s);
    pm_watch_prepare(pconf, ptemp, s);
}

/* ---- in the recorder ---- */

/** A recorder of an earlier generation may be late with its own. */
static void advance(_Atomic uint32_t *mark, uint32_t to)
{
    uint32_t seen = atomic_load(mark);

    while (seen < to && !atomic_compare_exchange_weak(mark, &seen, to)) {
    }
}

#define FILES_TOLD 8

/** Shared objects and certificates that a reload took anew. */
typedef struct files {
    pm_watch_file file[FILES_TOLD];
    size_t count; /* of all */
} files;

/** "; mod_ssl.so was replaced, a.pem (SSLCertificateFile, conf/a.conf:3) was written anew and 3 more". */
static const char *list_files(apr_pool_t *p, const files *f)
{
    const char *list = "";
    char one[512];

    for (size_t i = 0; i < f->count && i < 2; i++) {
        pm_watch_say_loaded(&f->file[i], one, sizeof(one));
        list = apr_pstrcat(p, list, i > 0 ? ", " : "; ", one, NULL);
    }
    return f->count > 2 ? apr_psprintf(p, "%s and %lu more", list, (unsigned long)f->count - 2)
                        : list;
}

/** Each as an event of its own, and how many more there were. */
static void tell_files(apr_pool_t *p, const files *f)
{
    char one[512], data[PM_WATCH_DATA];

    for (size_t i = 0; i < f->count && i < FILES_TOLD; i++) {
        pm_watch_say_loaded(&f->file[i], one, sizeof(one));
        pm_watch_loaded_data(&f->file[i], load.at_us, data);
        pm_write_event(
            load.at_us, PM_EV_DEPENDENCY_CHANGED, PM_INFO, data,
            apr_psprintf(p, "%s since the last load; this reload took it: %s%s", one,
                         f->file[i].now->path,
                         i + 1 == FILES_TOLD && f->count > FILES_TOLD
                             ? apr_psprintf(p, " (%lu more files were replaced or written anew)",
                                            (unsigned long)(f->count - FILES_TOLD))
                             : ""));
    }
}

static void tell(apr_pool_t *p, const pm_config_news *news, const files *f)
{
    /* Readers know a load that changed nothing by the end of its data. */
    const char *changes = apr_psprintf(
        p, "%s%s", news->known ? apr_psprintf(p, "%lu", (unsigned long)news->changes) : "null",
        f->count > 0 ? apr_psprintf(p, ",\"files\":%lu", (unsigned long)f->count) : "");
    const char *what =
        news->known ? apr_pstrcat(p, ": ", news->summary, list_files(p, f), NULL) : "";
    const char *kind = load.graceful ? "graceful" : "restart";

    if (load.first) {
        pm_write_event(
            load.at_us, PM_EV_CONFIG_LOAD, PM_INFO,
            apr_psprintf(p, "{\"generation\":%u,\"changes\":%s}", pm.generation, changes),
            apr_psprintf(p, "The configuration was loaded%s", what));
    }
    else {
        pm_write_event(load.at_us, PM_EV_CONFIG_RELOAD, PM_INFO,
                       apr_psprintf(p, "{\"kind\":\"%s\",\"generation\":%u,\"changes\":%s}", kind,
                                    pm.generation, changes),
                       apr_psprintf(p, "The configuration was loaded again (%s), generation %u%s",
                                    kind, pm.generation, what));
    }
    if (news->changes > 0) {
        pm_write_event(load.at_us, PM_EV_CONFIG_CHANGED, PM_INFO, news->data, news->sentence);
    }
    tell_files(p, f);
    /* First of all: it should not be said twice. */
    advance(&pm.state->said, pm.generation + 1);
    pm_capture_sync(pm.capture);
}

int pm_load_is_told(void)
{
    return atomic_load(&pm.state->told) >= pm.generation + 1;
}

void pm_load_tell(apr_pool_t *pool, server_rec *s)
{
    static const pm_config_news unknown;
    const pm_config_news *news = &unknown;
    files changed = {.count = 0};
    int dies;

    if (atomic_load(&pm.state->told) == pm.generation + 1) {
        return; /* by one that died since */
    }
    dies = atomic_fetch_add(&pm.state->load_tries, 1) >= TRIES;
    if (dies) {
        pm_say(s, APLOG_ERR,
               "what this load of the configuration changed is not recorded, nor are its files "
               "watched: the processes that looked died");
    }
    else {
        news = pm_config_take(pool, s);
        pm_watch_fill(pool, s);
        changed.count = pm_watch_news_of_load(changed.file, FILES_TOLD);
    }
    if (atomic_load(&pm.state->said) != pm.generation + 1) {
        tell(pool, news, &changed);
    }
    pm_watch_is_told();
    advance(&pm.state->told, pm.generation + 1);
}
