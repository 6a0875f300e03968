/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * model_live.c: what lies beside a capture file: live regions, and whether the server lives (model.h).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>

#include "model.h"
#include "pm_text.h"
#include "pm_time.h"

#define FRESH_US (3 * PM_SECOND)

static void found_region(void *ctx, const char *path, uint64_t run)
{
    pm_loading *l = ctx;

    (void)run;
    if (l->region_count < MAX_REGIONS &&
        pm_live_copy(&l->regions[l->region_count], path, NULL) == APR_SUCCESS) {
        if (memcmp(l->regions[l->region_count].capture_id, pm_capture_id(l->capture), 16) == 0) {
            l->region_count++;
        }
        else {
            pm_live_detach(&l->regions[l->region_count]);
        }
    }
}

void pm_model_regions(pm_loading *l, const char *run_dir)
{
    char target[512];

    if (run_dir == NULL) {
        const char *link = apr_pstrcat(l->pool, pm_capture_path(l->capture), ".run", NULL);
        ssize_t n = readlink(link, target, sizeof(target) - 1);

        if (n <= 0) {
            return;
        }
        target[n] = '\0';
        run_dir = target;
    }
    if (run_dir[0] == '/') {
        pm_live_find(run_dir, pm_capture_id(l->capture), found_region, l);
    }
}

/* ---- the server's state ---- */

/** Is this the very file that the recorder writes, and not a copy? */
static int is_original(const pm_loading *l)
{
    const pm_server *s = &l->cp->server;
    struct stat st;

    return fstat(pm_capture_fd(l->capture), &st) == 0 && s->file_ino == (uint64_t)st.st_ino &&
           s->file_dev == (uint64_t)st.st_dev;
}

enum pm_state pm_model_state(const pm_loading *l)
{
    const pm_server *s = &l->cp->server;
    char boot[40];

    if (s->run == 0 || !is_original(l)) {
        return PM_STATE_UNKNOWN;
    }
    if (s->stopped_us != 0) {
        return s->unloaded ? PM_STATE_UNKNOWN : PM_STATE_STOPPED; /* httpd runs on, unseen */
    }
    pm_boot_id(boot);
    if (strcmp(boot, s->boot_id) == 0 && s->pid_start != 0 &&
        pm_process_start(s->pid) == s->pid_start) {
        return PM_STATE_RUNNING;
    }
    /* In another container its pid tells nothing, its heartbeat does. */
    if (s->pid_namespace != pm_pid_namespace() && strcmp(boot, s->boot_id) == 0 &&
        s->heartbeat_us + FRESH_US > l->m->generated_us && !s->orphaned) {
        return PM_STATE_RUNNING;
    }
    return PM_STATE_DOWN;
}

/** Workers that live on without their parent, now. Of a copy, or of what runs elsewhere, only the last tick tells. */
int pm_model_orphans(const pm_loading *l, const pm_live *own)
{
    const pm_server *s = &l->cp->server;
    int alive = s->heartbeat_us + FRESH_US > l->m->generated_us; /* somebody ticks for them */
    char boot[40];

    pm_boot_id(boot);
    if (!s->orphaned || l->m->state != PM_STATE_DOWN) {
        return s->orphaned != 0;
    }
    if (strcmp(boot, s->boot_id) != 0 || s->pid_namespace != pm_pid_namespace()) {
        return alive && strcmp(boot, s->boot_id) == 0;
    }
    for (uint32_t i = 0; i <= l->region_count; i++) {
        const pm_live *from = i < l->region_count ? &l->regions[i] : own;

        if (from != NULL && from->header != NULL && from->run == s->run) {
            pm_live seen = *from;

            seen.readonly = 1; /* to give up who is dead is the recorder's business */
            return pm_live_children_alive(&seen, 1) > 0;
        }
    }
    return alive;
}

/** Nobody is left to take the next tick? Then what the regions hold is final, and ours to count. */
static int all_dead(pm_loading *l)
{
    if (l->m->state == PM_STATE_RUNNING) {
        return 0;
    }
    for (uint32_t i = 0; i < l->region_count; i++) {
        if (pm_live_parent_alive(&l->regions[i]) || pm_live_children_alive(&l->regions[i], 1) > 0) {
            return 0;
        }
    }
    return 1;
}

static uint64_t forward(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void add_remainder(pm_loading *l, const pm_totals *now, uint64_t run)
{
    static const pm_totals nothing;
    const pm_totals *seen = &nothing;
    pm_totals *to = &l->m->totals;

    for (int i = 0; i < PM_RUNS; i++) {
        if (l->cp->consumed[i].run == run) {
            seen = &l->cp->consumed[i].totals;
        }
    }
    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        to->status[i] += forward(now->status[i], seen->status[i]);
    }
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        to->hist[b] += forward(now->hist[b], seen->hist[b]);
    }
    to->bytes += forward(now->bytes, seen->bytes);
    to->max_us = now->max_us > to->max_us ? now->max_us : to->max_us;
}

void pm_model_remainder(pm_loading *l)
{
    pm_totals *now = apr_palloc(l->pool, sizeof(*now));

    if (all_dead(l)) {
        for (uint32_t i = 0; i < l->region_count; i++) {
            pm_live_totals(&l->regions[i], now, NULL);
            add_remainder(l, now, l->regions[i].run);
        }
    }
}

/** Virtual hosts of the newest run, from its live region. */
void pm_model_vhosts(pm_loading *l, const pm_live *live)
{
    pm_tally *list;

    for (uint32_t i = 0; i < l->region_count; i++) {
        if (live == NULL && l->regions[i].run == l->cp->server.run &&
            l->regions[i].vhosts != NULL) {
            live = &l->regions[i];
        }
    }
    if (live == NULL || live->vhosts == NULL) {
        return;
    }
    list = apr_pcalloc(l->pool, sizeof(*list) * live->geo.vhosts);
    for (uint32_t v = 0; v < live->geo.vhosts; v++) {
        pm_tally *to = &list[l->m->vhost_count];

        pm_text_clean(to->key, sizeof(to->key), live->vhosts[v].name, PM_KEY);
        pm_text_clean(to->defined, sizeof(to->defined), live->vhosts[v].defined, PM_KEY);
        for (uint32_t s = 0; s < live->geo.vhost_stripes; s++) {
            pm_vhost_count *c = &live->vhost_counts[(uint64_t)s * live->geo.vhosts + v];

            to->requests += atomic_load_explicit(&c->requests, memory_order_relaxed);
            to->errors += atomic_load_explicit(&c->errors, memory_order_relaxed);
        }
        if (to->key[0] != '\0') {
            l->m->vhost_count++;
        }
    }
    l->m->vhosts = list;
}
