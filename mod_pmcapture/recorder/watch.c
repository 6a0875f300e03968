/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch.c: what a look at a watched path means, and what one generation takes over from the last.
 *
 * A look is compared with what was said last, never with the look before: so nothing is said twice, and nothing that
 * came about while nobody looked is left out.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pm_hash.h"
#include "pm_text.h"
#include "pm_time.h"
#include "watch/watch_private.h"
#include "watch_tell.h"

/* Package managers remove and rename: what is back within this time was never missing, and what goes on
 * changing is said when it rests. */
#define GONE_US (PM_WATCH_PAUSE * PM_SECOND)
#define REST_US (1500 * 1000ull)
#define RESTLESS_US (6 * PM_SECOND)
/* What changes all the time is said so often, after the first few times. */
#define AGAIN_US (30 * PM_SECOND)
#define AT_ONCE 3u
/* An .htaccess file is first looked at when requests fail: how far back its last change is news. */
#define RECENT_US (3600 * PM_SECOND)
/* Room that is left to the other parts of a tick in the queue of events. */
#define EVENTS_LEFT 24u

/* ---- what a look means ---- */

/** A time that a file system tells is believed when it lies between two looks that prove it. */
static uint64_t between(const pm_watch_table *t, const pm_watched *w, uint64_t us, uint64_t now_us)
{
    uint64_t from = w->seen_us != 0 ? w->seen_us : t->loaded_us;

    /* Its clock may be a coarser one than ours. */
    return us + PM_SECOND / 20 >= from && us <= now_us ? us : 0;
}

static int is_dependency(const pm_watched *w)
{
    return w->kind == PM_WATCH_OBJECT || w->kind == PM_WATCH_CONFIG || w->kind == PM_WATCH_KEY ||
           w->kind == PM_WATCH_FILE;
}

static int room_for_event(const pm_fold *f)
{
    return f->state->pending_next - f->state->pending_first + EVENTS_LEFT < PM_PENDING_EVENTS;
}

static void say_absent(pm_fold *f, const pm_watched *w)
{
    char text[2 * PM_WATCH_PATH];

    snprintf(text, sizeof(text),
             "PMCaptureWatch: %s does not exist; that it appears will be an event", w->path);
    if (f->say != NULL) {
        f->say(f->ctx, PM_WARNING, text);
    }
}

static void judge_gone(pm_watch_table *t, pm_watched *w, const pm_look *look, int confirmed,
                       pm_fold *f, uint64_t now_us, uint64_t monotonic_us)
{
    pm_watch_news news = {t, w, look, now_us, between(t, w, look->gone_us, now_us)};

    w->pending_us = 0;
    if (w->state == PM_WATCH_SAYS_GONE || (w->state != PM_WATCH_UNSEEN && w->told.ino == 0)) {
        return;
    }
    if (w->state == PM_WATCH_UNSEEN) { /* nothing is missing, and to appear is a change */
        if (w->kind == PM_WATCH_FILE) {
            say_absent(f, w);
        }
        pm_watch_set_told(w, look);
        return;
    }
    w->gone_us = w->gone_us != 0 ? w->gone_us : monotonic_us;
    if ((monotonic_us < w->gone_us + GONE_US && !confirmed) || !room_for_event(f)) {
        return;
    }
    if (is_dependency(w)) {
        pm_watch_tell_missing(f, &news);
        w->state = PM_WATCH_SAYS_GONE;
    }
    else {
        pm_watch_tell_changed(f, &news);
        pm_watch_set_told(w, look);
    }
}

static void judge_first(pm_watch_table *t, pm_watched *w, const pm_look *look, pm_fold *f,
                        uint64_t now_us)
{
    pm_watch_news news = {t, w, look, now_us, look->is.ctime_us};
    uint64_t from = f->server.started_us;

    if (w->kind == PM_WATCH_HTACCESS && look->is.ctime_us > from &&
        look->is.ctime_us + RECENT_US > now_us && look->is.ctime_us <= now_us) {
        pm_watch_tell_changed(f, &news);
    }
    w->running = look->is;
    pm_watch_set_told(w, look);
}

/** What differs is said when it rests, or when it has not rested for long. */
static int rests(pm_watched *w, const pm_look *look, uint64_t monotonic_us)
{
    int moved = w->pending_us == 0 || !pm_watch_same(w->kind, &w->pending, &look->is);
    uint64_t for_us;

    if (w->pending_us == 0) {
        w->pending_us = monotonic_us;
    }
    for_us = monotonic_us - w->pending_us;
    w->pending = look->is;
    return for_us >= RESTLESS_US || (!moved && for_us >= REST_US);
}

static void judge_drift(pm_watch_table *t, pm_watched *w, const pm_look *look, uint64_t now_us,
                        uint64_t monotonic_us)
{
    int differs = !pm_watch_same(w->kind, &w->running, &look->is);
    uint64_t since = between(t, w, look->is.ctime_us, now_us);

    if (differs == (w->state == PM_WATCH_SAYS_DRIFT)) {
        w->pending_us = 0;
        w->seen_us = look->at_us;
        return;
    }
    if (rests(w, look, monotonic_us)) {
        pm_watch_set_told(w, look);
        w->state = differs ? PM_WATCH_SAYS_DRIFT : PM_WATCH_SAYS_THERE;
        w->drift_us = since != 0 ? since : now_us;
        w->pending_us = 0;
    }
}

static void judge_changed(pm_watch_table *t, pm_watched *w, const pm_look *look, pm_fold *f,
                          uint64_t now_us, uint64_t monotonic_us)
{
    pm_watch_news news = {t, w, look, now_us, between(t, w, look->is.ctime_us, now_us)};
    int often = w->kind != PM_WATCH_OBJECT && w->kind != PM_WATCH_KEY &&
                w->said_until_us > monotonic_us + AT_ONCE * AGAIN_US;

    if (pm_watch_same(w->kind, &w->told, &look->is)) {
        w->pending_us = 0;
        w->seen_us = look->at_us;
        return;
    }
    if (rests(w, look, monotonic_us) && !often && room_for_event(f)) {
        pm_watch_tell_changed(f, &news);
        pm_watch_set_told(w, look);
        w->said_until_us =
            (w->said_until_us > monotonic_us ? w->said_until_us : monotonic_us) + AGAIN_US;
        w->pending_us = 0;
    }
}

static void judge_there(pm_watch_table *t, pm_watched *w, const pm_look *look, pm_fold *f,
                        uint64_t now_us, uint64_t monotonic_us)
{
    pm_watch_news news = {t, w, look, now_us, between(t, w, look->is.ctime_us, now_us)};

    w->gone_us = 0;
    if (w->state == PM_WATCH_UNSEEN) {
        judge_first(t, w, look, f, now_us);
    }
    else if (w->state == PM_WATCH_SAYS_GONE) {
        if (room_for_event(f)) {
            pm_watch_tell_back(f, &news);
            pm_watch_set_told(w, look);
        }
    }
    else if (w->kind == PM_WATCH_CONFIG || w->kind == PM_WATCH_PATTERN) {
        judge_drift(t, w, look, now_us, monotonic_us);
    }
    else {
        judge_changed(t, w, look, f, now_us, monotonic_us);
    }
}

void pm_watch_judge(pm_watch_table *t, uint32_t number, const pm_look *look, pm_fold *f,
                    uint64_t now_us, uint64_t monotonic_us)
{
    pm_watched *w = &t->at[number];
    int denied = look->result == PM_LOOK_DENIED;
    pm_look as;

    atomic_store(&w->denied, (uint32_t)denied);
    if (denied) {
        if (pm_watch_helped(w, &as)) {
            look = &as;
        }
        else if (look->is.ino != 0) { /* seen, but not what is in it */
            as = *look;
            as.result = PM_LOOK_THERE;
            look = &as;
        }
    }
    if (look->result == PM_LOOK_GONE && w->kind != PM_WATCH_PATTERN) {
        judge_gone(t, w, look, denied, f, now_us, monotonic_us);
    }
    else if (look->result == PM_LOOK_THERE || look->result == PM_LOOK_GONE) {
        judge_there(t, w, look, f, now_us, monotonic_us);
    }
}

void pm_watch_say_drift(pm_watch_table *t, pm_fold *f, uint64_t now_us)
{
    uint32_t which[PM_WATCH_MAX], count = atomic_load(&t->count);

    for (int resolved = 0; resolved < 2 && room_for_event(f); resolved++) {
        uint64_t since = UINT64_MAX;
        uint32_t n = 0;

        for (uint32_t i = 0; i < count; i++) {
            pm_watched *w = &t->at[i];

            if (w->drift_us != 0 && (w->state != PM_WATCH_SAYS_DRIFT) == resolved) {
                since = w->drift_us < since ? w->drift_us : since;
                w->drift_us = 0;
                which[n++] = i;
            }
        }
        if (n > 0) {
            pm_watch_tell_drift(f, t, which, n, resolved, now_us, since);
        }
    }
}

/* ---- across generations and runs ---- */

/** What the old one was told about stays told; what httpd now runs with is the new one's. */
static void inherit(pm_watched *w, const pm_watched *old)
{
    w->aside = old->aside;
    atomic_store(&w->aside_until_us, atomic_load(&old->aside_until_us));
    atomic_store(&w->denied, atomic_load(&old->denied));
    w->help = old->help;
    atomic_store(&w->helped, atomic_load(&old->helped) & ~1u);
    if (old->state == PM_WATCH_UNSEEN) {
        return;
    }
    if (w->state == PM_WATCH_UNSEEN && (w->kind == PM_WATCH_FILE || w->kind == PM_WATCH_TOP)) {
        w->running = old->running;
    }
    w->said_until_us = old->said_until_us;
    w->drift_us = old->drift_us;
    if (w->loaded) { /* what was taken is what was told */
        return;
    }
    w->state = old->state;
    w->told = old->told;
    w->seen_us = old->seen_us;
    memcpy(w->link, old->link, sizeof(w->link));
}

/** Nothing watches it any more: what was said of it is over. */
static void let_go(pm_watch_table *t, const pm_watch_table *previous, uint32_t number, pm_fold *f)
{
    const pm_watched *old = &previous->at[number];
    uint64_t now = pm_time_now();

    if (old->kind == PM_WATCH_HTACCESS && t->htaccess < PM_WATCH_HTACCESS_MAX) {
        int n = pm_watch_put(t, PM_WATCH_HTACCESS, old->path, old->named_by);

        if (n >= 0) {
            t->htaccess++;
            inherit(&t->at[n], old);
        }
    }
    else if (old->state == PM_WATCH_SAYS_GONE && room_for_event(f)) {
        pm_watch_tell_unneeded(f, old->path, now);
    }
    else if (old->state == PM_WATCH_SAYS_DRIFT && room_for_event(f)) {
        pm_watch_tell_drift(f, previous, &number, 1, 1, now, now);
    }
}

static void take_over_table(pm_watch_table *t, const pm_watch_table *previous, pm_fold *f)
{
    uint32_t count = atomic_load(&previous->count);

    for (uint32_t i = 0; i < count && i < PM_WATCH_MAX; i++) {
        const pm_watched *old = &previous->at[i];
        int n = pm_watch_find(t, old->kind, old->path);

        if (n >= 0) {
            inherit(&t->at[n], old);
        }
        else {
            let_go(t, previous, i, f);
        }
    }
}

/** Is this the last word of the file? */
static int last_word(const pm_event *events, size_t count, size_t missing)
{
    pm_json_value path = pm_event_value(&events[missing], "path");

    for (size_t i = missing + 1; i < count; i++) {
        if ((events[i].type == PM_EV_DEPENDENCY_CHANGED ||
             events[i].type == PM_EV_DEPENDENCY_MISSING) &&
            pm_json_same(pm_event_value(&events[i], "path"), path)) {
            return 0;
        }
    }
    return 1;
}

/** `path`: as events have it. */
static void was_missing(pm_watch_table *t, pm_fold *f, const char *path)
{
    uint32_t count = atomic_load(&t->count);
    int watched = 0;

    for (uint32_t n = 0; n < count; n++) {
        char own[PM_WATCH_PATH];

        pm_text_clean(own, sizeof(own), t->at[n].path, PM_WATCH_PATH);
        if (is_dependency(&t->at[n]) && strcmp(own, path) == 0) {
            t->at[n].state = PM_WATCH_SAYS_GONE; /* if it is there, the next look says so */
            watched = 1;
        }
    }
    if (!watched && room_for_event(f)) {
        pm_watch_tell_unneeded(f, path, pm_time_now());
    }
}

/** A run that ended with a file missing has left no other word than its event: this one says how it stands now, or the
 *  file would be blamed for the next outage, too. */
static void take_over_history(pm_watch_table *t, pm_fold *f, apr_pool_t *pool)
{
    pm_event *events;
    size_t count;

    if (pm_capture_events(f->capture, 0, UINT64_MAX, &events, &count, pool) != APR_SUCCESS) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char path[PM_WATCH_PATH];

        if (events[i].type == PM_EV_DEPENDENCY_MISSING &&
            pm_event_text(&events[i], "path", path, sizeof(path)) && last_word(events, count, i)) {
            was_missing(t, f, path);
        }
    }
}

void pm_watch_take_over(pm_watch_table *t, const pm_watch_table *previous, pm_fold *f,
                        apr_pool_t *pool)
{
    if (previous != NULL && previous->magic == PM_WATCH_MAGIC && previous->size == sizeof(*t)) {
        take_over_table(t, previous, f);
    }
    else {
        take_over_history(t, f, pool);
    }
    t->begun = 1;
}

uint32_t pm_watch_missing(const pm_watch_table *t)
{
    uint32_t n = 0, count = atomic_load(&t->count);

    for (uint32_t i = 0; i < count; i++) {
        n += t->at[i].state == PM_WATCH_SAYS_GONE;
    }
    return n;
}
