/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * load.c: what a load of the configuration brought, as events.
 *
 * httpd's parent lets a process of its own gather the configuration, secrets masked, and look at the files that this
 * load took: httpd does not wait for that, and nothing unmasked leaves it. When it is whole, its snapshot is sealed.
 * Here it is compared with the one before.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "pm_text.h"
#include "pm_time.h"
#include "pmrecorder.h"

#define FILES_TOLD 8
#define TRIES 2u /* a recorder that dies of it shall not be the last one */
#define PATIENCE_US (60 * PM_SECOND)
#define LOCK_WAIT_US 1000000u /* the tick does not wait for long */

/** Shared objects and certificates that a reload took anew. */
typedef struct files {
    pm_watch_file file[FILES_TOLD];
    size_t count; /* of all */
} files;

/** What this configuration differs in from the one before. */
typedef struct news {
    int known;            /* 0: there is none to compare with */
    size_t changes;       /* 0: nothing that runs differs */
    const char *summary;  /* when known: "no directive changed", "3 directives changed" */
    const char *sentence; /* of config.changed, when there are changes */
    const char *data;
} news;

static void write_event(pm_generation *g, const pm_event *event)
{
    pm_event e = *event;

    e.run = g->control->run;
    if (pm_capture_lock(g->capture, LOCK_WAIT_US) == APR_SUCCESS) {
        /* As each tick does: only with the lock. */
        atomic_store(&g->control->writing_us, pm_time_monotonic());
        pm_capture_put_event(g->capture, &e);
        atomic_store(&g->control->writing_us, 0);
        pm_capture_unlock(g->capture);
    }
    else {
        pm_fold_event(&g->fold, &e);
    }
}

/* ---- files ---- */

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
static void tell_files(pm_generation *g, apr_pool_t *p, const files *f)
{
    char one[512];
    pm_draft d;

    for (size_t i = 0; i < f->count && i < FILES_TOLD; i++) {
        pm_watch_say_loaded(&f->file[i], one, sizeof(one));
        pm_watch_loaded_data(&f->file[i], g->block->load_us, &d);
        write_event(g, pm_draft_end(&d, "%s since the last load; this reload took it: %s%s", one,
                                    f->file[i].now->path,
                                    i + 1 == FILES_TOLD && f->count > FILES_TOLD
                                        ? apr_psprintf(p,
                                                       " (%lu more files were replaced or written "
                                                       "anew)",
                                                       (unsigned long)(f->count - FILES_TOLD))
                                        : ""));
    }
}

/* ---- directives ---- */

/** What one event may hold: no more than a quarter of the ring that three quarters of the events share. */
static size_t data_room(const pm_generation *g)
{
    size_t room = (size_t)pm_capture_retention(g->capture)->events * 3 / 16 * 900;

    return room < PM_EVENT_DATA ? room : PM_EVENT_DATA;
}

/** With PMCaptureConfigDiff off, that something changed, and not how much. */
static void fill_news(news *n, const pm_generation *g, const pm_config_diff *d, apr_pool_t *p)
{
    n->known = 1;
    n->changes = pm_config_changes(d);
    n->sentence = pm_config_sentence(d, g->block->server_root, p);
    if (n->changes == 0) {
        n->summary = n->sentence;
        return;
    }
    n->data = pm_config_data(d, g->block->generation, data_room(g), p);
    if (g->block->diff == PM_CONFIG_OFF) {
        n->changes = 1;
        n->summary = "something changed";
    }
    else {
        n->summary = apr_psprintf(p, "%lu directive%s changed", (unsigned long)n->changes,
                                  n->changes == 1 ? "" : "s");
    }
}

/** What is known of it lives as long as the snapshots. */
static void compare(news *n, const pm_generation *g, pm_snapshot **last, pm_snapshot **now,
                    apr_pool_t *p)
{
    if (pm_snapshot_read(now, g->handed.fd[PM_FD_CONFIG]) != APR_SUCCESS) {
        *now = NULL;
    }
    if (pm_snapshot_read(last, g->handed.fd[PM_FD_CONFIG_LAST]) != APR_SUCCESS) {
        *last = NULL;
    }
    if (*now != NULL && *last != NULL) {
        fill_news(n, g, pm_config_compare(*last, *now, p), p);
    }
}

/* ---- the load ---- */

static void tell(pm_generation *g, apr_pool_t *p, const news *n, const files *f)
{
    const pm_handover_block *b = g->block;
    const char *what = n->known ? apr_pstrcat(p, ": ", n->summary, list_files(p, f), NULL) : "";
    const char *kind = b->graceful ? "graceful" : "restart";
    pm_draft d;

    pm_draft_begin(&d, b->first ? PM_EV_CONFIG_LOAD : PM_EV_CONFIG_RELOAD, b->load_us);
    if (!b->first) {
        pm_draft_text(&d, "kind", kind);
    }
    pm_draft_count(&d, "generation", b->generation);
    if (n->known) {
        pm_draft_count(&d, "changes", n->changes);
    }
    else {
        pm_draft_null(&d, "changes");
    }
    if (f->count > 0) {
        pm_draft_count(&d, "files", f->count);
    }
    write_event(g, b->first ? pm_draft_end(&d, "The configuration was loaded%s", what)
                            : pm_draft_end(&d,
                                           "The configuration was loaded again (%s), generation "
                                           "%u%s",
                                           kind, b->generation, what));
    if (n->changes > 0) {
        pm_event changed = {.at_us = b->load_us,
                            .type = PM_EV_CONFIG_CHANGED,
                            .data = n->data,
                            .data_len = (uint32_t)strlen(n->data)};

        pm_text_clean(changed.text, sizeof(changed.text), n->sentence, 4 * sizeof(changed.text));
        write_event(g, &changed);
    }
    tell_files(g, p, f);
    g->ledger->said = b->generation + 1; /* it should not be said twice */
}

static int is_gathered(const pm_generation *g)
{
    int seals = fcntl(g->handed.fd[PM_FD_CONFIG], F_GET_SEALS);

    return (seals >= 0 && (seals & F_SEAL_WRITE)) ||
           atomic_load(&g->control->gathered) > g->block->generation ||
           pm_time_monotonic() > g->taken_us + PATIENCE_US;
}

static void tell_load(pm_generation *g)
{
    pm_snapshot *last = NULL, *now = NULL;
    files f = {.count = 0};
    news n = {.known = 0};
    apr_pool_t *p;

    if (apr_pool_create(&p, g->pool) != APR_SUCCESS) {
        return;
    }
    if (g->ledger->load_tries++ >= TRIES) {
        pm_log(PM_WARNING, "What this load of the configuration changed is not recorded: the "
                           "processes that compared it died");
    }
    else {
        compare(&n, g, &last, &now, p);
        if (g->watch != NULL) {
            f.count = pm_watch_loaded(g->watch, g->watch_last, f.file, FILES_TOLD);
        }
    }
    if (g->ledger->said != g->block->generation + 1) {
        tell(g, p, &n, &f);
    }
    free(last);
    free(now);
    apr_pool_destroy(p);
}

int pm_load_step(pm_generation *g, int now)
{
    uint32_t number = g->block->generation + 1;

    if (g->ledger->told == number) {
        return 1; /* by one that died since */
    }
    if (!now && !is_gathered(g)) {
        return 0;
    }
    tell_load(g);
    if (g->watch != NULL) {
        atomic_store(&g->watch->filled, 1);
    }
    g->ledger->load_tries = 0;
    g->ledger->told = number;
    return 1;
}
