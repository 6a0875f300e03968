/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config.c: gathers a snapshot of the configuration.
 */
#include "config_private.h"

#include <apr_siphash.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pm_hash.h"
#include "pm_text.h"
#include "pm_time.h"

#define SECRET_MIN 4
#define SECRETS_MAX 1000
#define TEXT_MAX 0x7fffffffu    /* bytes of strings: offsets have 32 bits */
#define RACY_US (2 * PM_SECOND) /* a change so shortly before a look may have come after it */

struct directive_kind {
    uint32_t text; /* offset of its name */
    uint32_t hidden_from;
    uint64_t key;
};

pm_gather *pm_gather_begin(enum pm_config_detail detail, const uint8_t key[16], apr_pool_t *pool)
{
    pm_gather *g = apr_pcalloc(pool, sizeof(*g));

    g->pool = pool;
    g->detail = detail;
    memcpy(g->key, key, 16);
    g->secrets = apr_array_make(pool, 8, sizeof(pm_config_secret));
    g->real_files = apr_array_make(pool, 64, sizeof(pm_config_file));
    g->patterns = apr_array_make(pool, 8, sizeof(const char *));
    g->seen = apr_hash_make(pool);
    g->known = apr_hash_make(pool);
    g->places = apr_hash_make(pool);
    g->defines = apr_array_make(pool, 8, sizeof(pm_config_define));
    g->words = apr_hash_make(pool);
    g->directives = apr_hash_make(pool);
    pm_config_put(&g->text, "", 1);
    pm_config_put(&g->containers, (const char *)&(pm_snapshot_container){0},
                  sizeof(pm_snapshot_container));
    return g;
}

void pm_gather_known(pm_gather *g, const pm_snapshot *last)
{
    const pm_snapshot_file *f = pm_snapshot_files(last);

    for (uint32_t n = 0; n < last->file_count; n++) {
        apr_hash_set(g->known, pm_snapshot_text(last, f[n].path), APR_HASH_KEY_STRING, &f[n]);
    }
    g->trusted_us = last->taken_us > RACY_US ? last->taken_us - RACY_US : 0;
}

void pm_gather_secret(pm_gather *g, const char *value)
{
    size_t len = strlen(value);
    pm_config_secret *list;
    int n;

    if (len < SECRET_MIN || g->secrets->nelts >= SECRETS_MAX) {
        return;
    }
    apr_array_push(g->secrets);
    list = (pm_config_secret *)(void *)g->secrets->elts;
    for (n = g->secrets->nelts - 1; n > 0 && list[n - 1].len < len; n--) {
        list[n] = list[n - 1];
    }
    list[n] = (pm_config_secret){apr_pstrdup(g->pool, value), len, NULL};
}

/* ---- text ---- */

static int plain_ascii(const char *s, size_t len)
{
    unsigned other = 0;

    for (size_t i = 0; i < len; i++) {
        other |= (unsigned char)(s[i] - 0x20) >= 0x5f;
    }
    return !other;
}

static uint32_t put_text(pm_gather *g, const char *s, size_t len)
{
    char clean[PM_CONFIG_TEXT + 1];
    size_t offset = g->text.used;

    if (len == 0 || offset > TEXT_MAX) {
        g->text.failed |= len != 0;
        return 0;
    }
    if (len < PM_CONFIG_TEXT && plain_ascii(s, len)) {
        pm_config_put(&g->text, s, len);
        pm_config_put(&g->text, "", 1);
        return (uint32_t)offset;
    }
    len = pm_text_clean(clean, sizeof(clean), s, len);
    pm_config_put(&g->text, clean, len + 1);
    return (uint32_t)offset;
}

/** Text that is there often: files, macros. */
static uint32_t put_word(pm_gather *g, const char *s, size_t len)
{
    const uint32_t *known = len > 0 ? apr_hash_get(g->words, s, (apr_ssize_t)len) : NULL;
    uint32_t *offset;

    if (known != NULL || len == 0) {
        return known != NULL ? *known : 0;
    }
    offset = apr_palloc(g->pool, sizeof(*offset));
    *offset = put_text(g, s, len);
    apr_hash_set(g->words, apr_pstrmemdup(g->pool, s, len), (apr_ssize_t)len, offset);
    return *offset;
}

/** A path, which may have been put together with a secret. */
static uint32_t put_path(pm_gather *g, const char *s, size_t len)
{
    if (len == 0) {
        return 0;
    }
    s = s[len] == '\0' ? s : apr_pstrmemdup(g->pool, s, len);
    pm_config_mask(&g->masked, &g->work, NULL, UINT32_MAX, s,
                   (pm_config_secret *)(void *)g->secrets->elts, (size_t)g->secrets->nelts);
    return put_word(g, g->masked.bytes != NULL ? g->masked.bytes : "", g->masked.used);
}

/** Mask arguments into g->masked; returns the mark, 0 = nothing was masked. */
static uint64_t mask(pm_gather *g, const char *directive, uint32_t hidden_from, const char *args)
{
    uint64_t mark;

    if (!pm_config_mask(&g->masked, &g->work, directive, hidden_from, args,
                        (pm_config_secret *)(void *)g->secrets->elts, (size_t)g->secrets->nelts)) {
        return 0;
    }
    mark = apr_siphash24(args, strlen(args), g->key);
    return mark != 0 ? mark : 1;
}

/* ---- places ---- */

/** "…on line 12 of \"FILE\"REST": 1 and the file's bounds, when `s` begins with `lead`. FILE may hold quotes, as a
 *  place within a place does: `tail` tells where it ends. */
static int parse_line_of(const char **s, const char *lead, const char *tail, uint32_t *line,
                         const char **file, size_t *len)
{
    const char *p = *s, *end;
    unsigned long n;
    char *after;

    if (strncmp(p, lead, strlen(lead)) != 0) {
        return 0;
    }
    n = strtoul(p + strlen(lead), &after, 10);
    if (strncmp(after, " of \"", 5) != 0) {
        return 0;
    }
    p = after + 5;
    end = tail[0] != '\0' ? strstr(p, tail) : p + strlen(p) - (p[0] != '\0');
    if (end == NULL) {
        return 0;
    }
    *line = n < UINT32_MAX ? (uint32_t)n : 0;
    *file = p;
    *len = (size_t)(end - p);
    *s = end + strlen(tail);
    return 1;
}

/* mod_macro names its places in a sentence:
 *   macro 'NAME' (defined on line 2 of "FILE") used on line 7 of "FILE or again such a sentence" */
void pm_config_parse_place(const char *file, pm_config_place *out)
{
    const char *s = file, *end;

    *out = (pm_config_place){.file = file, .file_len = strlen(file)};
    for (int depth = 0; depth < 16 && strncmp(s, "macro '", 7) == 0; depth++) {
        pm_config_place p = *out;

        end = strstr(s, "' (");
        if (end == NULL) {
            return;
        }
        if (depth == 0) {
            p.macro = s + 7;
            p.macro_len = (size_t)(end - p.macro);
        }
        s = end + 3;
        if (!parse_line_of(&s, "defined on line ", "\") ", depth == 0 ? &p.line : &p.used_line,
                           depth == 0 ? &p.file : &p.used_file,
                           depth == 0 ? &p.file_len : &p.used_file_len) ||
            !parse_line_of(&s, "used on line ", "", &p.used_line, &p.used_file, &p.used_file_len)) {
            return;
        }
        *out = p;
        s = p.used_file;
    }
    /* The quotes of the places around this one. */
    while (out->used_file_len > 0 && out->used_file[out->used_file_len - 1] == '"') {
        out->used_file_len--;
    }
}

static void set_place(pm_gather *g, pm_snapshot_entry *e, const char *file, uint32_t line)
{
    const pm_config_place *p = &g->last_place;

    if (file == NULL) {
        return;
    }
    if (file != g->last_file) {
        pm_config_parse_place(file, &g->last_place);
        g->last_offsets[0] = put_path(g, p->file, p->file_len);
        g->last_offsets[1] = put_path(g, p->used_file, p->used_file_len);
        g->last_offsets[2] = put_path(g, p->macro, p->macro_len);
        g->last_file = file;
    }
    e->file = g->last_offsets[0];
    e->line = p->line + line; /* a macro's lines are counted from its definition */
    e->used_file = g->last_offsets[1];
    e->used_line = p->used_line;
    e->macro = g->last_offsets[2];
}

/* ---- entries ---- */

static const struct directive_kind *kind_of(pm_gather *g, const char *directive)
{
    struct directive_kind *k = apr_hash_get(g->directives, directive, APR_HASH_KEY_STRING);
    char *lower;

    if (k == NULL) {
        k = apr_palloc(g->pool, sizeof(*k));
        lower = apr_pstrdup(g->pool, directive);
        for (char *c = lower; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        }
        k->text = put_text(g, directive, strlen(directive));
        k->hidden_from = pm_config_hidden_from(directive);
        k->key = XXH3_64bits(lower, strlen(lower));
        apr_hash_set(g->directives, apr_pstrdup(g->pool, directive), APR_HASH_KEY_STRING, k);
    }
    return k;
}

static void put_entry(pm_gather *g, pm_snapshot_entry *e, const char *directive, const char *args,
                      const char *file, uint32_t line)
{
    const struct directive_kind *k = kind_of(g, directive);
    uint64_t mark;

    set_place(g, e, file, line);
    e->directive = k->text;
    mark = mask(g, directive, k->hidden_from, args != NULL ? args : "");
    if (g->masked.bytes != NULL) {
        e->key = XXH3_64bits_withSeed(g->masked.bytes, g->masked.used, k->key);
        if (g->detail == PM_CONFIG_FULL || e->opens != 0) {
            e->args = put_text(g, g->masked.bytes, g->masked.used);
        }
    }
    pm_config_put(&g->entries, (const char *)e, sizeof(*e));
    pm_config_put(&g->marks, (const char *)&mark, sizeof(mark));
}

static uint32_t entry_count(const pm_gather *g)
{
    return (uint32_t)(g->entries.used / sizeof(pm_snapshot_entry));
}

static uint32_t container_count(const pm_gather *g)
{
    return (uint32_t)(g->containers.used / sizeof(pm_snapshot_container));
}

void pm_gather_directive(pm_gather *g, uint32_t container, const char *directive, const char *args,
                         const char *file, uint32_t line)
{
    pm_snapshot_entry e = {.container = container};

    put_entry(g, &e, directive, args, file, line);
}

uint32_t pm_gather_container(pm_gather *g, uint32_t parent, const char *directive, const char *args,
                             const char *label, const char *file, uint32_t line)
{
    pm_snapshot_entry e = {.container = parent, .opens = container_count(g)};
    pm_snapshot_container c = {.parent = parent, .entry = entry_count(g)};
    size_t len = args != NULL ? strlen(args) : 0;
    const pm_snapshot_entry *put;
    pm_config_buffer name = {0};

    len -= len > 0 && args[len - 1] == '>';
    put_entry(g, &e, apr_pstrcat(g->pool, directive, ">", NULL), apr_pstrndup(g->pool, args, len),
              file, line);
    if (g->entries.failed || g->masked.failed || g->text.failed) {
        return 0;
    }
    put = (const pm_snapshot_entry *)(void *)(g->entries.bytes + g->entries.used) - 1;
    c.key = put->key;
    c.file = put->file;
    c.line = put->line;
    pm_config_put(&name, directive + (directive[0] == '<'),
                  strlen(directive) - (directive[0] == '<'));
    if (g->masked.used > 0) {
        pm_config_put(&name, " ", 1);
        pm_config_put(&name, g->masked.bytes, g->masked.used);
    }
    c.name = name.failed ? 0 : put_text(g, name.bytes, name.used);
    free(name.bytes);
    if (label != NULL) {
        mask(g, "ServerName", UINT32_MAX, label);
        c.label = put_text(g, g->masked.bytes, g->masked.used);
        c.label_key = XXH3_64bits(g->masked.bytes, g->masked.used);
    }
    pm_config_put(&g->containers, (const char *)&c, sizeof(c));
    return e.opens;
}

static void put_found(pm_gather *g, const char *kind, const char *name, const char *value)
{
    const pm_config_found *at =
        apr_hash_get(g->places, apr_pstrcat(g->pool, kind, " ", name, NULL), APR_HASH_KEY_STRING);

    pm_gather_directive(g, 0, kind,
                        value != NULL ? apr_pstrcat(g->pool, name, " ", value, NULL) : name,
                        at != NULL ? at->file : NULL, at != NULL ? at->line : 0);
}

void pm_gather_define(pm_gather *g, const char *name, const char *value)
{
    put_found(g, "Define", name, value);
}

void pm_gather_module(pm_gather *g, const char *name, const char *path)
{
    put_found(g, "LoadModule", name, path);
}

/* ---- files ---- */

void pm_gather_add_file(pm_gather *g, const char *path, const pm_snapshot_file *f)
{
    pm_snapshot_file stored = *f;

    stored.path = put_path(g, path, strlen(path));
    *(pm_config_file *)apr_array_push(g->real_files) =
        (pm_config_file){path, f->size, f->mtime_us, f->hash, f->uid, f->state};
    apr_hash_set(g->seen, path, APR_HASH_KEY_STRING, path);
    pm_config_put(&g->files, (const char *)&stored, sizeof(stored));
}

const pm_config_file *pm_gather_files(const pm_gather *g, size_t *count)
{
    *count = (size_t)g->real_files->nelts;
    return (const pm_config_file *)(void *)g->real_files->elts;
}

const char *const *pm_gather_patterns(const pm_gather *g, size_t *count)
{
    *count = (size_t)g->patterns->nelts;
    return (const char *const *)(void *)g->patterns->elts;
}

/* ---- the whole ---- */

static char *append(char *to, const pm_config_buffer *b)
{
    if (b->used > 0) {
        memcpy(to, b->bytes, b->used);
    }
    return to + b->used;
}

static pm_snapshot *assemble(pm_gather *g)
{
    size_t size;
    pm_snapshot *s;
    char *to;

    pm_config_put(&g->text, "\0\0\0\0\0\0\0", -g->text.used & 7); /* what follows is aligned */
    size = sizeof(*s) + g->containers.used + g->entries.used + g->files.used + g->text.used;
    s = g->text.failed ? NULL : malloc(size + g->marks.used);
    if (s == NULL) {
        return NULL;
    }
    *s = (pm_snapshot){.magic = PM_SNAPSHOT_MAGIC,
                       .version = PM_SNAPSHOT_VERSION,
                       .detail = (uint32_t)g->detail,
                       .size = size,
                       .taken_us = pm_time_now(),
                       .container_count = container_count(g),
                       .entry_count = entry_count(g),
                       .file_count = (uint32_t)(g->files.used / sizeof(pm_snapshot_file)),
                       .text_size = (uint32_t)g->text.used};
    to = append((char *)(s + 1), &g->containers);
    to = append(to, &g->entries);
    to = append(to, &g->files);
    to = append(to, &g->text);
    append(to, &g->marks);
    return s;
}

pm_snapshot *pm_gather_done(pm_gather *g)
{
    pm_config_buffer *all[] = {&g->containers, &g->entries, &g->marks, &g->files,
                               &g->text,       &g->masked,  &g->work};
    pm_snapshot *s = NULL;
    int failed = 0;

    for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        failed |= all[n]->failed;
    }
    if (!failed) {
        s = assemble(g);
    }
    for (size_t n = 0; n < sizeof(all) / sizeof(all[0]); n++) {
        free(all[n]->bytes);
        *all[n] = (pm_config_buffer){0};
    }
    return s;
}
