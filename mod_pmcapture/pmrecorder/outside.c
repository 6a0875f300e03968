/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * outside.c: what is looked at from outside, and when. What a generation's listeners have shown is known in the next one,
 * where they are the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pm_time.h"
#include "watch/watch_private.h"
#include "pmrecorder.h"
#include "prober.h"

#define LEAST_US (10 * PM_SECOND) /* between the beginnings of two rounds */
#define CALM_US (60 * PM_SECOND)  /* when they go on to find the same */
#define CALM_ROUNDS 6u
#define CERTIFICATES_US (3600 * PM_SECOND)
#define CERTIFICATES_SOON_US (60 * PM_SECOND) /* while one is about to end, or has */
#define NAMED_MAX 8u

/** A certificate that ends within this, or has ended, is looked at more often: its successor is to be seen. */
#define SOON_US (86400 * PM_SECOND)
#define NOW_US (120 * PM_SECOND)

static struct {
    pm_outside out;
    pm_outside_listener listener[PM_LISTENERS_MAX], last[PM_LISTENERS_MAX];
    pm_outside_listener
        before[PM_LISTENERS_MAX]; /* of the last generation whose changes were told */
    pm_outside_certificate certificate[PM_LISTENERS_MAX], known[PM_LISTENERS_MAX];
    uint32_t before_count, compared; /* listeners of it; 1: there is a generation before */
    uint64_t parent_start;           /* of the httpd whose generations are numbered so */
    uint32_t parent_pid;
    uint64_t begun_us, certificates_us; /* monotonic: of the last round */
    uint32_t same, looks_certificates, placed;
    pm_target target[PM_LISTENERS_MAX];
} outside;

/* ---- with a generation ---- */

static pm_outside_listener *find(pm_outside_listener *in, uint32_t count, const pm_listener *l)
{
    for (uint32_t i = 0; i < count; i++) {
        if (pm_listener_same(&in[i].listener, l)) {
            return &in[i];
        }
    }
    return NULL;
}

/** From another network nothing of httpd's is seen, or something else at its address. */
static uint32_t mode_of(const pm_handover_block *b)
{
    uint64_t own = pm_network_namespace();

    if (b->probe.mode == PM_PROBE_OFF || own == 0 || b->network == 0 || own == b->network) {
        return b->probe.mode;
    }
    pm_log(PM_WARNING, "The recorder is not in httpd's network (PrivateNetwork= of its service?): "
                       "it looks at nothing from outside");
    return PM_PROBE_OFF;
}

/** Another httpd counts its generations anew: what was so before it is as old as anybody knows. */
static void take_server(const pm_handover_block *b)
{
    if (outside.parent_pid != b->parent_pid || outside.parent_start != b->parent_start) {
        for (uint32_t i = 0; i < outside.out.count; i++) {
            outside.last[i].since = outside.last[i].proxy_since = 0;
        }
        outside.out.changed = 0;
    }
    outside.parent_pid = b->parent_pid;
    outside.parent_start = b->parent_start;
}

void pm_outside_take(pm_generation *g)
{
    const pm_handover_block *b = g->block;
    uint32_t count = b->listeners < PM_LISTENERS_MAX ? b->listeners : PM_LISTENERS_MAX;

    pm_prober_use(&g->live);
    uint32_t last_count = outside.out.count;

    memcpy(outside.last, outside.listener, sizeof(outside.last));
    outside.compared = outside.out.listener != NULL;
    if (outside.placed || !outside.compared) { /* else what changed before is still to be told */
        memcpy(outside.before, outside.listener, sizeof(outside.before));
        outside.before_count = last_count;
    }
    take_server(b);
    for (uint32_t i = 0; i < count; i++) {
        const pm_outside_listener *was = find(outside.last, last_count, &b->listener[i]);

        outside.listener[i] = was != NULL ? *was : (pm_outside_listener){.tls = 0};
        outside.listener[i].listener = outside.listener[i].ask = b->listener[i];
        if (was == NULL && outside.compared) {
            outside.listener[i].since = b->generation + 1;
        }
    }
    outside.out.mode = mode_of(b);
    outside.out.count = count;
    outside.out.listener = outside.listener;
    outside.out.certificate = outside.certificate;
    outside.out.fresh = outside.out.fresh_certificates = 0;
    outside.begun_us = outside.certificates_us = 0;
    outside.placed = outside.same = 0;
    g->fold.outside = &outside.out;
}

/** Of some listeners. */
typedef struct listeners {
    pm_outside_listener *at;
    uint32_t count;
} listeners;

/** Those that `others` lack, the first of them named in out[LIST] and in a list of JSON, if there is one; how many there
 *  are. */
#define LIST (NAMED_MAX * (PM_LISTENER_NAME + 4))
static uint32_t list(char *out, pm_json *j, listeners of, listeners others)
{
    char name[PM_LISTENER_NAME];
    uint32_t n = 0;
    size_t used = 0;

    out[0] = '\0';
    pm_json_array(j);
    for (uint32_t i = 0; i < of.count; i++) {
        if (find(others.at, others.count, &of.at[i].listener) == NULL && n++ < NAMED_MAX) {
            pm_listener_name(&of.at[i].listener, name);
            pm_json_string(j, name);
            used += (size_t)snprintf(out + used, LIST - used, "%s%s", n > 1 ? ", " : "", name);
        }
    }
    pm_json_array_end(j);
    return n;
}

static void tell_changed(pm_generation *g)
{
    char words[LIST], gone[LIST];
    pm_outside *o = &outside.out;
    listeners now = {o->listener, o->count}, was = {outside.before, outside.before_count};
    const pm_outside_listener *first = NULL;
    uint32_t more, less;
    pm_draft d;

    for (uint32_t i = 0; i < o->count && first == NULL; i++) {
        first = o->listener[i].since == g->block->generation + 1 ? &o->listener[i] : NULL;
    }
    pm_draft_begin(&d, PM_EV_LISTENER_CHANGED, g->block->load_us);
    pm_draft_count(&d, "generation", g->block->generation);
    more = list(words, pm_draft_value(&d, "added"), now, was);
    less = list(gone, pm_draft_value(&d, "removed"), was, now);
    if (more == 0 && less == 0) {
        return;
    }
    memcpy(o->gone, gone, sizeof(o->gone));
    o->changed = g->block->generation + 1;
    o->changed_us = g->block->load_us;
    d.event.severity = less != 0 ? PM_WARNING : PM_INFO;
    pm_fold_event(&g->fold, pm_draft_end(&d, "httpd listens %s%s%s%s%s%s%s%s", more ? "on " : "",
                                         more ? words : "",
                                         first != NULL && first->where[0] != '\0' ? " (" : "",
                                         first != NULL ? first->where : "",
                                         first != NULL && first->where[0] != '\0' ? ")" : "",
                                         more && less ? ", and " : "", less ? "no more on " : "",
                                         less ? o->gone : ""));
}

/** What was known of a certificate stays known. */
static void recall_certificates(uint32_t count)
{
    for (uint32_t i = 0; i < outside.out.certificates; i++) {
        pm_outside_certificate *c = &outside.certificate[i];

        for (uint32_t k = 0; k < count; k++) {
            const pm_outside_certificate *was = &outside.known[k];

            if (strcmp(was->vhost, c->vhost) == 0 && strcmp(was->name, c->name) == 0) {
                c->shown = was->shown;
                c->told = was->told;
                c->seen_us = was->seen_us;
                c->valid = was->valid;
                memcpy(c->print, was->print, sizeof(c->print));
            }
        }
    }
}

void pm_outside_loaded(pm_generation *g)
{
    uint32_t count = outside.out.certificates;

    memcpy(outside.known, outside.certificate, sizeof(outside.known));
    pm_listeners_place(g, &outside.out);
    recall_certificates(count);
    if (outside.compared) {
        tell_changed(g);
    }
    outside.placed = 1;
    outside.out.placed = 1;
}

/* ---- rounds ---- */

static void take_listeners(const pm_target_seen *seen, uint32_t count)
{
    int changed = 0;

    for (uint32_t i = 0; i < count && i < outside.out.count; i++) {
        pm_outside_listener *l = &outside.listener[i];

        changed |= l->seen.reach != seen[i].sighting.reach || l->seen.at_us == 0;
        l->seen = seen[i].sighting;
        /* of one virtual host's address: the listener has others */
        if (l->seen.reach == PM_REACH_UNROUTED && !pm_listener_same(&l->ask, &l->listener)) {
            l->seen.reach = PM_REACH_UNKNOWN;
            l->good = l->bad = l->told = 0; /* it is another machine's now */
        }
    }
    outside.same = changed ? 0 : outside.same + 1;
    outside.out.fresh = 1;
}

/** Is it another file now than what was loaded? */
static uint32_t is_replaced(const pm_watch_table *t, const char *path)
{
    int n = t != NULL && path[0] != '\0' ? pm_watch_find(t, PM_WATCH_KEY, path) : -1;
    const pm_watched *w = n >= 0 ? &t->at[n] : NULL;

    return w != NULL && w->running.ino != 0 && w->told.ino != 0 &&
           (w->running.ino != w->told.ino || w->running.mtime_us != w->told.mtime_us);
}

static void take_certificates(const pm_generation *g, const pm_target_seen *seen, uint32_t count)
{
    for (uint32_t i = 0; i < count && i < outside.out.certificates; i++) {
        pm_outside_certificate *c = &outside.certificate[i];

        c->reach = seen[i].sighting.reach;
        c->on_disk = seen[i].on_disk;
        c->replaced = is_replaced(g->watch, c->path);
        if (seen[i].certificate.not_after_us != 0) {
            c->shown = seen[i].certificate;
            c->seen_us = seen[i].sighting.at_us;
        }
    }
    outside.out.fresh_certificates = 1;
}

static void take_round(const pm_generation *g)
{
    uint32_t count = 0;
    pm_target_seen *seen = pm_prober_take(&count);

    /* What is seen of a server that is being loaded anew, or ends, says nothing. */
    if (seen != NULL && atomic_load(&g->control->reloading_us) == 0 &&
        !pm_control_ends(g->control)) {
        if (outside.looks_certificates) {
            take_certificates(g, seen, count);
        }
        else {
            take_listeners(seen, count);
        }
    }
    free(seen);
}

static void ask_listeners(const pm_generation *g, uint64_t now)
{
    for (uint32_t i = 0; i < outside.out.count; i++) {
        pm_target *t = &outside.target[i];

        memset(t, 0, sizeof(*t));
        t->listener = outside.listener[i].ask;
        t->tls = outside.listener[i].tls;
        for (uint32_t c = 0; c < outside.out.certificates && t->name[0] == '\0' && t->tls; c++) {
            if (pm_listener_same(&outside.certificate[c].listener, &t->listener)) {
                memcpy(t->name, outside.certificate[c].name, sizeof(t->name));
            }
        }
    }
    if (pm_prober_ask(outside.target, outside.out.count, g->block->probe.url)) {
        outside.looks_certificates = 0;
        outside.begun_us = now;
        outside.out.round_us = pm_time_now();
    }
}

static void ask_certificates(uint64_t now)
{
    for (uint32_t i = 0; i < outside.out.certificates; i++) {
        pm_target *t = &outside.target[i];

        memset(t, 0, sizeof(*t));
        t->listener = outside.certificate[i].listener;
        t->tls = 1;
        memcpy(t->name, outside.certificate[i].name, sizeof(t->name));
        memcpy(t->path, outside.certificate[i].path, sizeof(t->path));
    }
    if (pm_prober_ask(outside.target, outside.out.certificates, "")) {
        outside.looks_certificates = 1;
        outside.certificates_us = now;
    }
}

static int is_due(const pm_generation *g, uint64_t now)
{
    const pm_outside *o = &outside.out;
    uint64_t wait = LEAST_US;

    if (o->mode == PM_PROBE_EVERY) {
        wait = g->block->probe.every * PM_SECOND;
    }
    else if (outside.same >= CALM_ROUNDS) {
        wait = CALM_US;
    }
    return outside.begun_us == 0 ||
           ((o->wanted || o->mode == PM_PROBE_EVERY) && now >= outside.begun_us + wait);
}

static int certificates_are_due(uint64_t now)
{
    uint64_t at = pm_time_now(), wait = CERTIFICATES_US;

    for (uint32_t i = 0; i < outside.out.certificates; i++) {
        uint64_t end = outside.certificate[i].shown.not_after_us;

        if (end != 0 && end < at + SOON_US && wait > CERTIFICATES_SOON_US) {
            wait = CERTIFICATES_SOON_US;
        }
        if (end != 0 && end < at + NOW_US && at < end + SOON_US) {
            wait = LEAST_US;
        }
    }
    return outside.out.certificates > 0 &&
           (outside.certificates_us == 0 || now >= outside.certificates_us + wait);
}

void pm_outside_tick(pm_generation *g)
{
    uint64_t now = pm_time_monotonic();

    if (g->fold.outside == NULL) {
        return;
    }
    take_round(g);
    if (!outside.placed || outside.out.mode == PM_PROBE_OFF || pm_control_ends(g->control) ||
        atomic_load(&g->control->reloading_us) != 0) {
        return;
    }
    if (is_due(g, now)) {
        ask_listeners(g, now);
    }
    else if (certificates_are_due(now)) {
        ask_certificates(now);
    }
}
