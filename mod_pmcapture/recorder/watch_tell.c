/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_tell.c: what was seen, as events: a sentence for a person at night, and the data behind it.
 *
 * An event stands at the time when it happened, if the file system's times prove one; `noticed` is when it was seen.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pm_check.h"
#include "pm_json.h"
#include "pm_text.h"
#include "pm_time.h"
#include "watch/watch_private.h"
#include "watch_tell.h"

/* ---- data ---- */

static void put_path(pm_draft *d, const char *path)
{
    char clean[PM_WATCH_PATH];

    pm_text_clean(clean, sizeof(clean), path, PM_WATCH_PATH);
    pm_draft_text(d, "path", clean);
}

static void put_identity(pm_draft *d, const char *key, const pm_identity *is)
{
    pm_json *j;

    if (!pm_draft_room(d)) {
        return;
    }
    if (is->ino == 0) {
        pm_draft_null(d, key);
        return;
    }
    j = pm_draft_value(d, key);
    pm_json_object(j);
    pm_json_put_uint(j, "dev", is->dev);
    pm_json_put_uint(j, "ino", is->ino);
    pm_json_put_uint(j, "size", is->size);
    pm_json_put_time(j, "mtime", is->mtime_us);
    pm_json_object_end(j);
}

static void put_needs(pm_draft *d, const pm_watch_news *n)
{
    pm_json *j = pm_draft_value(d, "needed_by");

    pm_json_array(j);
    for (uint32_t i = 0; i < n->what->need_count && i < PM_WATCH_NEEDS && pm_draft_room(d); i++) {
        pm_json_string(j, n->table->at[n->what->needs[i] % PM_WATCH_MAX].path);
    }
    pm_json_array_end(j);
}

static void put_when(pm_draft *d, const pm_watch_news *n)
{
    pm_draft_time(d, "noticed", n->now_us);
    pm_draft_time(d, "since", n->since_us);
}

/* ---- sentences ---- */

/** What it is, for programs: "htaccess" is exact, as failing requests have read it; "top" is vague. */
static const char *const kind_names[PM_WATCH_KINDS] = {
    "object", "configuration", "include", "loaded", "watched", "top", "htaccess",
};

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

/** A path as a sentence shows it. */
#define SHOWN 200
static const char *shown(const char *path, char out[SHOWN])
{
    pm_text_clean(out, SHOWN, path, PM_WATCH_PATH);
    return out;
}

/** "mod_x.so", "mod_x.so and libx.so.1", "mod_x.so and 3 others". */
static void list_needs(const pm_watch_news *n, char *out, size_t size)
{
    const pm_watched *w = n->what, *at = n->table->at;
    char path[SHOWN];
    size_t used = 0;

    out[0] = '\0';
    if (w->need_count > 0) {
        pm_text_append(out, size, &used, "%.60s",
                       shown(name_of(at[w->needs[0] % PM_WATCH_MAX].path), path));
    }
    if (w->need_count == 2) {
        pm_text_append(out, size, &used, " and %.60s",
                       shown(name_of(at[w->needs[1] % PM_WATCH_MAX].path), path));
    }
    else if (w->need_count > 2) {
        pm_text_append(out, size, &used, " and %u others", w->need_count - 1);
    }
}

/** What the file is to the server, after its name. */
static void describe(const pm_watch_news *n, char *out, size_t size)
{
    char needs[160];
    size_t used = 0;

    out[0] = '\0';
    list_needs(n, needs, sizeof(needs));
    if (n->what->kind == PM_WATCH_OBJECT && needs[0] != '\0') {
        pm_text_append(out, size, &used, "%s need%s it", needs, n->what->need_count > 1 ? "" : "s");
    }
    else if (n->what->kind == PM_WATCH_OBJECT) {
        pm_text_append(out, size, &used,
                       "it was opened at run time, nothing that is loaded names it");
    }
    else if (n->what->kind == PM_WATCH_CONFIG) {
        pm_text_append(out, size, &used, "the running configuration was read from it");
    }
    else {
        pm_text_append(out, size, &used, "%s names it", n->what->named_by);
    }
}

static uint64_t at(const pm_watch_news *n)
{
    return n->since_us != 0 ? n->since_us : n->now_us;
}

void pm_watch_tell_missing(pm_fold *f, const pm_watch_news *n)
{
    const pm_watched *w = n->what;
    char what[256], path[SHOWN];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_DEPENDENCY_MISSING, at(n));
    if (w->kind == PM_WATCH_FILE) {
        d.event.severity = PM_WARNING;
    }
    put_path(&d, w->path);
    put_needs(&d, n);
    pm_draft_text(&d, "named_by", w->named_by); /* an .htaccess file is named by nothing */
    put_when(&d, n);
    put_identity(&d, "identity", &w->told);
    describe(n, what, sizeof(what));
    pm_fold_event(f, pm_draft_end(&d, "%s is missing; %s%s", shown(w->path, path), what,
                                  w->kind == PM_WATCH_FILE ? ""
                                  : w->kind == PM_WATCH_OBJECT
                                      ? ". httpd runs on with its copy in memory, the next "
                                        "start or reload looks for the file"
                                      : ". The next start or reload looks for it"));
}

void pm_watch_tell_back(pm_fold *f, const pm_watch_news *n)
{
    const pm_watched *w = n->what;
    int same = pm_watch_same(w->kind, &w->running, &n->look->is);
    char path[SHOWN];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_DEPENDENCY_CHANGED, at(n));
    put_path(&d, w->path);
    pm_draft_flag(&d, "returned", 1);
    pm_draft_flag(&d, "same", same);
    put_when(&d, n);
    put_identity(&d, "from", &w->told);
    put_identity(&d, "to", &n->look->is);
    pm_fold_event(
        f, pm_draft_end(&d, "%s is back%s", shown(w->path, path),
                        same ? "" : "; it is another file than the one that httpd runs with"));
}

void pm_watch_tell_unneeded(pm_fold *f, const char *path, uint64_t now_us)
{
    char clean[SHOWN];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_DEPENDENCY_CHANGED, now_us);
    put_path(&d, path);
    pm_draft_flag(&d, "returned", 0);
    pm_draft_flag(&d, "needed", 0);
    pm_fold_event(
        f, pm_draft_end(&d, "%s was missing, and the server needs it no more", shown(path, clean)));
}

/** A file that is watched by name: another one has the name now? */
static int was_replaced(const pm_watch_news *n)
{
    const pm_identity *was = &n->what->told, *is = &n->look->is;

    return n->what->kind == PM_WATCH_FILE && S_ISREG(is->mode) && S_ISREG(was->mode) &&
           was->ino != 0 && (was->dev != is->dev || was->ino != is->ino);
}

/** "was removed", "appeared", "now points to ...", "was replaced", "was edited". */
static void how(const pm_watch_news *n, char *out, size_t size)
{
    const pm_watched *w = n->what;
    const pm_identity *is = &n->look->is;
    size_t used = 0;

    out[0] = '\0';
    if (n->look->result == PM_LOOK_GONE) {
        pm_text_append(out, size, &used, "was removed");
    }
    else if (w->state != PM_WATCH_UNSEEN && w->told.ino == 0) {
        pm_text_append(out, size, &used, "appeared");
    }
    else if (n->look->link[0] != '\0' && strcmp(w->link, n->look->link) != 0) {
        pm_text_append(out, size, &used, "now points to %s", n->look->link);
        if (w->link[0] != '\0') {
            pm_text_append(out, size, &used, " (before: %s)", w->link);
        }
    }
    else if (w->state != PM_WATCH_UNSEEN && (w->told.dev != is->dev || w->told.ino != is->ino)) {
        pm_text_append(out, size, &used, "was replaced");
    }
    else if (S_ISDIR(is->mode)) {
        pm_text_append(out, size, &used, "changed: files in it were added, removed or replaced%s%s",
                       n->look->fresh[0] != '\0' ? "; new in it: " : "", n->look->fresh);
    }
    else {
        pm_text_append(out, size, &used, "was edited");
    }
}

/** What follows from it. */
static const char *consequence(const pm_watch_news *n)
{
    switch (n->what->kind) {
    case PM_WATCH_OBJECT:
        return pm_watch_same(PM_WATCH_OBJECT, &n->what->running, &n->look->is)
                   ? ", it is now the file that httpd runs with"
                   : "; httpd runs on with the old one until it is restarted";
    case PM_WATCH_KEY:
        return pm_watch_same(PM_WATCH_KEY, &n->what->running, &n->look->is)
                   ? ", it is now the file that httpd has read"
                   : "; httpd may run on with the old one until it is reloaded";
    case PM_WATCH_HTACCESS:
        return "; failing requests have read it, and it takes effect at once";
    default:
        return "";
    }
}

void pm_watch_tell_changed(pm_fold *f, const pm_watch_news *n)
{
    const pm_watched *w = n->what;
    int depends = w->kind == PM_WATCH_OBJECT || w->kind == PM_WATCH_KEY || was_replaced(n);
    char what[2 * PM_KEY + 64], by[PM_KEY + 16] = "", path[SHOWN];
    pm_draft d;

    PM_CHECK(w->kind < PM_WATCH_KINDS);
    pm_draft_begin(&d, depends ? PM_EV_DEPENDENCY_CHANGED : PM_EV_FILE_CHANGED, at(n));
    if (w->kind == PM_WATCH_OBJECT) {
        d.event.severity = PM_WARNING;
    }
    put_path(&d, w->path);
    pm_draft_text(&d, "named_by", w->named_by); /* an .htaccess file is named by nothing */
    pm_draft_text(&d, "kind", kind_names[w->kind]);
    put_when(&d, n);
    put_identity(&d, "from", &w->told);
    put_identity(&d, "to", &n->look->is);
    if (pm_draft_room(&d) && (w->link[0] != '\0' || n->look->link[0] != '\0')) {
        pm_draft_text(&d, "link", n->look->link);
    }
    pm_draft_text(&d, "fresh", n->look->fresh);
    how(n, what, sizeof(what));
    if (w->named_by[0] != '\0') {
        snprintf(by, sizeof(by), " (%s)", w->named_by);
    }
    pm_fold_event(f, pm_draft_end(&d, "%s%s %s%s", shown(w->path, path), by, what, consequence(n)));
}

void pm_watch_tell_drift(pm_fold *f, const pm_watch_table *t, const uint32_t *which, uint32_t count,
                         int resolved, uint64_t now_us, uint64_t since_us)
{
    char others[40] = "", path[SHOWN];
    pm_draft d;
    pm_json *j;

    pm_draft_begin(&d, PM_EV_CONFIG_DRIFT, since_us);
    if (resolved) {
        d.event.severity = PM_INFO;
    }
    j = pm_draft_value(&d, "files");
    pm_json_array(j);
    for (uint32_t i = 0; i < count && pm_draft_room(&d); i++) {
        pm_json_string(j, t->at[which[i]].path);
    }
    pm_json_array_end(j);
    pm_draft_count(&d, "count", count);
    pm_draft_flag(&d, "resolved", resolved);
    pm_draft_time(&d, "noticed", now_us);
    pm_draft_time(&d, "since", since_us);
    if (count > 1) {
        snprintf(others, sizeof(others), " and %u other%s", count - 1, count > 2 ? "s" : "");
    }
    pm_fold_event(
        f, pm_draft_end(&d,
                        resolved ? "%s%s: what is on disk is again what runs"
                                 : "%s%s: what is on disk is not what runs, and is not loaded yet",
                        shown(t->at[which[0]].path, path), others));
}

void pm_watch_tell_aside(pm_fold *f, const pm_watched *what, uint64_t now_us)
{
    char path[SHOWN];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_NOTE, now_us - PM_WATCH_STUCK_US);
    d.event.severity = PM_WARNING;
    put_path(&d, what->path);
    pm_draft_time(&d, "since", now_us - PM_WATCH_STUCK_US);
    pm_fold_event(
        f, pm_draft_end(
               &d,
               "%s cannot be looked at: its file system has not answered for 10 s, so changes of "
               "it go unseen",
               shown(what->path, path)));
}

/* ---- what a load took ---- */

void pm_watch_say_loaded(const pm_watch_file *file, char *out, size_t size)
{
    const pm_identity *now = &file->now->running, *was = &file->was->running;
    int replaced = now->dev != was->dev || now->ino != was->ino;
    char path[SHOWN];

    snprintf(out, size, "%s%s%s%s was %s", shown(name_of(file->now->path), path),
             file->now->named_by[0] != '\0' ? " (" : "", file->now->named_by,
             file->now->named_by[0] != '\0' ? ")" : "", replaced ? "replaced" : "written anew");
}

void pm_watch_loaded_data(const pm_watch_file *file, uint64_t at_us, pm_draft *d)
{
    pm_draft_begin(d, PM_EV_DEPENDENCY_CHANGED, at_us);
    put_path(d, file->now->path);
    pm_draft_text(d, "named_by", file->now->named_by);
    pm_draft_flag(d, "loaded", 1);
    pm_draft_time(d, "noticed", at_us);
    put_identity(d, "from", &file->was->running);
    put_identity(d, "to", &file->now->running);
}
