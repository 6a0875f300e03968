/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_tell.c: a difference in words, for somebody who was woken by it, and as JSON.
 */
#include "config_private.h"

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pm_event.h"
#include "pm_text.h"

#define NONE UINT32_MAX
#define SHOWN 80      /* bytes of a value in a sentence */
#define FILES_SHARE 4 /* the part of the data that files may take: a quarter */
#define PATH_DEPTH 64 /* of containers */

/* ---- places ---- */

static const char *below(const char *path, const char *root)
{
    size_t n = root != NULL ? strlen(root) : 0;

    while (n > 0 && root[n - 1] == '/') {
        n--;
    }
    return n > 0 && strncmp(path, root, n) == 0 && path[n] == '/' && path[n + 1] != '\0'
               ? path + n + 1
               : path;
}

/** "sites/api.conf:12"; NULL when it has none. */
static const char *place(const pm_snapshot *s, const pm_snapshot_entry *e, const char *root,
                         apr_pool_t *pool)
{
    const char *at;

    if (e->file == 0) {
        return NULL;
    }
    at = apr_psprintf(pool, "%s:%u", below(pm_snapshot_text(s, e->file), root), e->line);
    if (e->macro == 0) {
        return at;
    }
    return apr_psprintf(pool, "%s, macro %s used at %s:%u", at, pm_snapshot_text(s, e->macro),
                        below(pm_snapshot_text(s, e->used_file), root), e->used_line);
}

/** In brackets for a sentence, without in data. */
static const char *container_name(const pm_snapshot *s, uint32_t c, int brackets, apr_pool_t *pool)
{
    const pm_snapshot_container *container = &pm_snapshot_containers(s)[c];
    const char *label = pm_snapshot_text(s, container->label),
               *name = pm_snapshot_text(s, container->name);

    name = brackets ? apr_psprintf(pool, "<%s>", name) : name;
    return label[0] != '\0' && strstr(name, label) == NULL
               ? apr_psprintf(pool, "%s (%s)", name, label)
               : name;
}

/** From the outermost in: "VirtualHost *:80 (api.example) > Location /x"; "" is the main server. */
static const char *container_path(const pm_snapshot *s, uint32_t c, int brackets, apr_pool_t *pool)
{
    const char *path = c != 0 ? container_name(s, c, brackets, pool) : "";
    int depth = 0;

    for (c = pm_snapshot_containers(s)[c].parent; c != 0 && depth < PATH_DEPTH; depth++) {
        path = apr_pstrcat(pool, container_name(s, c, brackets, pool), brackets ? " " : " > ", path,
                           NULL);
        c = pm_snapshot_containers(s)[c].parent;
    }
    return path;
}

/* ---- the sentence ---- */

static const char *cut(const char *text, apr_pool_t *pool)
{
    char *out = apr_palloc(pool, SHOWN + 1);

    pm_text_clean(out, SHOWN + 1, text, strlen(text));
    return out;
}

static const char *quoted(const char *text, apr_pool_t *pool)
{
    text = cut(text, pool);
    return text[0] == '"' ? text : apr_psprintf(pool, "\"%s\"", text);
}

/** How many bytes of whole words both begin with. */
static size_t common_words(const char *a, const char *b)
{
    size_t words = 0;

    for (size_t n = 0; a[n] != '\0' && a[n] == b[n]; n++) {
        if (a[n] == '"' || a[n] == '\'') {
            break; /* not within a quoted word */
        }
        words = a[n] == ' ' ? n : words;
    }
    return words < SHOWN ? words : 0;
}

static const char *in_and_at(const pm_snapshot *s, const pm_snapshot_entry *e, const char *in,
                             const char *at, const char *root, apr_pool_t *pool)
{
    const char *where = place(s, e, root, pool);

    return apr_pstrcat(pool, e->container != 0 ? in : "",
                       e->container != 0 ? container_path(s, e->container, 1, pool) : "",
                       where != NULL ? " (" : "", where != NULL ? at : "",
                       where != NULL ? where : "", where != NULL ? ")" : "", NULL);
}

static const char *changed_sentence(const pm_config_diff *d, const pm_config_change *c,
                                    const char *root, apr_pool_t *pool)
{
    const pm_snapshot_entry *old = &pm_snapshot_entries(d->before)[c->before],
                            *new = &pm_snapshot_entries(d->now)[c->now];
    const char *a = pm_snapshot_text(d->before, old->args),
               *b = pm_snapshot_text(d->now, new->args),
               *directive = pm_snapshot_text(d->now, new->directive),
               *where = in_and_at(d->now, new, " in ", "", root, pool);
    size_t same = common_words(a, b);

    if (old->key == new->key) {
        return apr_psprintf(pool, "%s changed%s: its masked value is another one", directive,
                            where);
    }
    if (a[0] == '\0' && b[0] == '\0') { /* not kept */
        return apr_psprintf(pool, "%s changed%s", directive, where);
    }
    return apr_psprintf(pool, "%s%s%.*s changed%s: %s -> %s", directive, same > 0 ? " " : "",
                        (int)same, a, where, quoted(a + same + (same > 0), pool),
                        quoted(b + same + (same > 0), pool));
}

static const char *module_name(const char *args, apr_pool_t *pool)
{
    return apr_pstrndup(pool, args, strcspn(args, " "));
}

/** Something that is on one side alone. */
static const char *single_sentence(const pm_snapshot *s, const pm_snapshot_entry *e, int added,
                                   const char *root, apr_pool_t *pool)
{
    const char *directive = pm_snapshot_text(s, e->directive), *args = pm_snapshot_text(s, e->args);
    const char *at = added ? "" : "it was at ";

    if (e->opens != 0) {
        return apr_psprintf(pool, "%s %s%s", container_name(s, e->opens, 1, pool),
                            added ? "added" : "removed",
                            in_and_at(s, e, added ? " in " : " from ", at, root, pool));
    }
    if (strcasecmp(directive, "LoadModule") == 0 && args[0] != '\0') {
        return apr_psprintf(pool, "Module %s %s%s", module_name(args, pool),
                            added ? "loaded" : "no longer loaded",
                            in_and_at(s, e, "", at, root, pool));
    }
    return apr_psprintf(pool, "%s%s%s %s%s", directive, args[0] != '\0' ? " " : "", cut(args, pool),
                        added ? "added" : "removed",
                        in_and_at(s, e, added ? " in " : " from ", at, root, pool));
}

static const char *change_sentence(const pm_config_diff *d, const pm_config_change *c,
                                   const char *root, apr_pool_t *pool)
{
    if (c->now != NONE && c->before != NONE) {
        return changed_sentence(d, c, root, pool);
    }
    return c->now != NONE
               ? single_sentence(d->now, &pm_snapshot_entries(d->now)[c->now], 1, root, pool)
               : single_sentence(d->before, &pm_snapshot_entries(d->before)[c->before], 0, root,
                                 pool);
}

/** Nothing that runs differs: what was edited all the same. */
static const char *unchanged_sentence(const pm_config_diff *d, const char *root, apr_pool_t *pool)
{
    const pm_config_file_change *f = d->files;
    const pm_snapshot_entry *e;
    const char *where;

    if (d->reordered_count > 0) {
        e = &pm_snapshot_entries(d->now)[d->reordered];
        where = in_and_at(d->now, e, " in ", "", root, pool);
        return apr_psprintf(pool, "no directive changed but the order of %s%s",
                            pm_snapshot_text(d->now, e->directive), where);
    }
    if (d->file_count == 0) {
        return "no directive changed";
    }
    return apr_psprintf(
        pool,
        "no directive changed that is in force, though %s was %s%s (comments, places, "
        "white space, masked values)",
        below(pm_snapshot_text(f->in, f->file->path), root), f->how,
        d->file_count > 1 ? apr_psprintf(pool, " and %d more files", (int)d->file_count - 1) : "");
}

const char *pm_config_sentence(const pm_config_diff *d, const char *root, apr_pool_t *pool)
{
    const char *first;

    if (d->counted == 0) {
        return d->now->detail == PM_CONFIG_FULL ? unchanged_sentence(d, root, pool)
                                                : "no directive changed";
    }
    if (d->now->detail == PM_CONFIG_OFF) {
        return "The configuration changed";
    }
    first = change_sentence(d, &d->changes[0], root, pool);
    return d->counted == 1
               ? first
               : apr_psprintf(pool, "%d directives changed, first: %s", (int)d->counted, first);
}

/* ---- JSON ---- */

static apr_status_t into_buffer(void *ctx, const char *bytes, size_t len)
{
    pm_config_put(ctx, bytes, len);
    return ((pm_config_buffer *)ctx)->failed ? APR_ENOMEM : APR_SUCCESS;
}

static void json_line(pm_json *j, const char *key, uint32_t line)
{
    if (line != 0) {
        pm_json_put_uint(j, key, line);
    }
    else {
        pm_json_put_null(j, key);
    }
}

static void json_entry(pm_json *j, const pm_snapshot *s, const pm_snapshot_entry *e, int arguments,
                       apr_pool_t *pool)
{
    pm_json_object(j);
    pm_json_key(j, "directive");
    pm_json_string(j, pm_snapshot_text(s, e->directive));
    pm_json_key(j, "args");
    pm_json_string(j, arguments ? pm_snapshot_text(s, e->args) : NULL);
    pm_json_key(j, "container");
    pm_json_string(j, container_path(s, e->container, 0, pool));
    pm_json_put_text(j, "file", pm_snapshot_text(s, e->file));
    json_line(j, "line", e->line);
    if (e->macro != 0) {
        pm_json_put_object(j, "macro");
        pm_json_put_text(j, "name", pm_snapshot_text(s, e->macro));
        pm_json_put_text(j, "file", pm_snapshot_text(s, e->used_file));
        json_line(j, "line", e->used_line);
        pm_json_object_end(j);
    }
    pm_json_object_end(j);
}

static void json_file(pm_json *j, const pm_config_file_change *c)
{
    static const char *const states[] = {"read", "missing", "unreadable", "special"};
    const pm_snapshot_file *f = c->file;

    pm_json_object(j);
    pm_json_put_text(j, "path", pm_snapshot_text(c->in, f->path));
    pm_json_put_text(j, "change", c->how);
    pm_json_put_text(j, "state", states[f->state]);
    pm_json_put_uint(j, "size", f->size);
    pm_json_put_time(j, "modified", f->mtime_us);
    pm_json_put_uint(j, "owner", f->uid);
    pm_json_key(j, "hash");
    if (f->state == PM_FILE_READ) {
        char hex[17];

        apr_snprintf(hex, sizeof(hex), "%016" APR_UINT64_T_HEX_FMT, f->hash);
        pm_json_string(j, hex);
    }
    else {
        pm_json_null(j);
    }
    pm_json_object_end(j);
}

/** The lists, each grown element by element while there is room. */
typedef struct lists {
    pm_config_buffer added, removed, files, loaded, unloaded;
    size_t used, most;
    int truncated;
} lists;

/** Append one element; 0 when there is no room. */
static int put_element(lists *l, pm_config_buffer *list, const pm_config_buffer *element,
                       size_t most)
{
    if (element->failed || l->used + element->used + 1 > most) {
        l->truncated = 1;
        return 0;
    }
    pm_config_put(list, ",", list->used > 0);
    pm_config_put(list, element->bytes, element->used);
    l->used += element->used + 1;
    return !list->failed;
}

static int put_change(lists *l, pm_config_buffer *list, pm_config_buffer *modules,
                      const pm_snapshot *s, uint32_t number, apr_pool_t *pool)
{
    const pm_snapshot_entry *e = &pm_snapshot_entries(s)[number];
    pm_config_buffer element = {0};
    apr_pool_t *scratch;
    pm_json j;
    int put;

    apr_pool_create(&scratch, pool);
    pm_json_begin(&j, into_buffer, &element);
    json_entry(&j, s, e, s->detail == PM_CONFIG_FULL || e->opens != 0, scratch);
    pm_json_end(&j);
    put = put_element(l, list, &element, l->most);
    if (put && strcasecmp(pm_snapshot_text(s, e->directive), "LoadModule") == 0 && e->args != 0) {
        element.used = 0;
        pm_json_begin(&j, into_buffer, &element);
        pm_json_string(&j, module_name(pm_snapshot_text(s, e->args), scratch));
        pm_json_end(&j);
        put = put_element(l, modules, &element, l->most);
    }
    free(element.bytes);
    apr_pool_destroy(scratch);
    return put;
}

static void fill(lists *l, const pm_config_diff *d, apr_pool_t *pool)
{
    int room = 1;

    for (size_t n = 0; n < d->file_count && room; n++) {
        pm_config_buffer element = {0};
        pm_json j;

        pm_json_begin(&j, into_buffer, &element);
        json_file(&j, &d->files[n]);
        pm_json_end(&j);
        room = put_element(l, &l->files, &element, l->most / FILES_SHARE);
        free(element.bytes);
    }
    room = 1;
    for (size_t n = 0; n < d->change_count && room; n++) {
        const pm_config_change *c = &d->changes[n];

        if (c->before != NONE) {
            room = put_change(l, &l->removed, &l->unloaded, d->before, c->before, pool);
        }
        if (c->now != NONE && room) {
            room = put_change(l, &l->added, &l->loaded, d->now, c->now, pool);
        }
    }
}

static void put_list(pm_json *j, const pm_config_buffer *list)
{
    pm_config_buffer whole = {0};

    pm_config_put(&whole, "[", 1);
    pm_config_put(&whole, list->bytes != NULL ? list->bytes : "", list->used);
    pm_config_put(&whole, "]", 1);
    pm_json_raw(j, whole.failed ? NULL : whole.bytes, whole.used);
    free(whole.bytes);
}

static void put_counts(pm_json *j, const pm_config_diff *d)
{
    const struct {
        const char *key;
        size_t count;
    } counts[] = {{"changes", d->counted},
                  {"added", d->added},
                  {"removed", d->removed},
                  {"files", d->file_count}};

    pm_json_object(j);
    for (size_t n = 0; n < sizeof(counts) / sizeof(counts[0]); n++) {
        pm_json_key(j, counts[n].key);
        pm_json_uint(j, counts[n].count);
    }
    pm_json_object_end(j);
}

static void put_modules(pm_json *j, const lists *l)
{
    pm_json_object(j);
    pm_json_key(j, "loaded");
    put_list(j, &l->loaded);
    pm_json_key(j, "unloaded");
    put_list(j, &l->unloaded);
    pm_json_object_end(j);
}

const char *pm_config_data(const pm_config_diff *d, uint32_t generation, size_t most,
                           apr_pool_t *pool)
{
    const size_t frame = 320; /* the document around the lists, with its numbers */
    lists l = {.most = most > frame ? most - frame : 0};
    pm_draft *draft = apr_palloc(pool, sizeof(*draft));

    most = most > frame ? most : frame;
    pm_draft_begin_in(draft, PM_EV_CONFIG_CHANGED, 0, apr_palloc(pool, most), most);
    pm_draft_count(draft, "generation", generation);
    if (d->now->detail != PM_CONFIG_OFF) {
        fill(&l, d, pool);
    }
    put_list(pm_draft_value(draft, "added"), &l.added);
    put_list(pm_draft_value(draft, "removed"), &l.removed);
    put_list(pm_draft_value(draft, "files"), &l.files);
    if (d->now->detail != PM_CONFIG_OFF) {
        put_modules(pm_draft_value(draft, "modules"), &l);
        put_counts(pm_draft_value(draft, "counts"), d);
        pm_draft_flag(draft, "truncated", l.truncated);
    }
    free(l.added.bytes);
    free(l.removed.bytes);
    free(l.files.bytes);
    free(l.loaded.bytes);
    free(l.unloaded.bytes);
    return pm_draft_close(draft)->data;
}
