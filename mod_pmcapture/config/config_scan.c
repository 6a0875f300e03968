/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_scan.c: the configuration's files, read once more.
 *
 * httpd executes LoadModule, Define and Include while it reads and keeps them in no tree, and a file that holds nothing
 * else is named nowhere. So its files are followed as it does: from the main one through what they include.
 * Which sections are active is judged by what is defined and loaded at the end, an approximation that can cost a
 * file too many in the list, never a directive: those come from httpd's own tree.
 */
#include "config_private.h"

#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_hash.h"
#include "pm_time.h"

#define DEPTH_MAX 128       /* httpd's own bound on files that include files */
#define FOLDER_DEPTH_MAX 20 /* and on folders in folders */
#define FILES_MAX 100000
#define PATTERNS_MAX 10000
#define DEFINES_MAX 10000

/* ---- one file ---- */

static uint64_t microseconds(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * PM_SECOND + (uint64_t)t->tv_nsec / 1000;
}

static void set_identity(pm_snapshot_file *f, const struct stat *st)
{
    f->size = (uint64_t)st->st_size;
    f->mtime_us = microseconds(&st->st_mtim);
    f->ctime_us = microseconds(&st->st_ctim);
    f->inode = st->st_ino;
    f->uid = st->st_uid;
}

/** All of it, NUL-terminated, by malloc; NULL: out->state says why. */
static char *slurp(const char *path, pm_snapshot_file *out)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    size_t used = 0, room;
    struct stat st;
    char *content;

    *out = (pm_snapshot_file){.state = PM_FILE_UNREADABLE};
    if (fd < 0) {
        out->state = errno == ENOENT || errno == ENOTDIR ? PM_FILE_MISSING : PM_FILE_UNREADABLE;
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        out->state = PM_FILE_SPECIAL;
        close(fd);
        return NULL;
    }
    set_identity(out, &st);
    room = st.st_size < PM_CONFIG_FILE_MAX ? (size_t)st.st_size : PM_CONFIG_FILE_MAX;
    content = malloc(room + 1);
    while (content != NULL && used < room) {
        ssize_t n = read(fd, content + used, room - used);

        if (n == 0) {
            break; /* shorter by now */
        }
        if (n < 0 && errno != EINTR) {
            free(content);
            content = NULL;
        }
        used += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (content != NULL) {
        content[used] = '\0';
        out->hash = XXH3_64bits(content, used);
        out->size = used < room ? used : out->size;
        out->state = PM_FILE_READ;
    }
    return content;
}

void pm_config_look(const char *path, pm_config_file *out)
{
    pm_snapshot_file f;

    free(slurp(path, &f));
    *out = (pm_config_file){path, f.size, f.mtime_us, f.hash, f.uid, f.state};
}

static int is_folder(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/** The last snapshot has it, and nobody touched it since: its change time cannot be set back. */
static const pm_snapshot_file *untouched(const pm_gather *g, const char *path)
{
    const pm_snapshot_file *f = apr_hash_get(g->known, path, APR_HASH_KEY_STRING);
    pm_snapshot_file now;
    struct stat st;

    if (f == NULL || f->state != PM_FILE_READ || f->ctime_us >= g->trusted_us ||
        stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return NULL;
    }
    set_identity(&now, &st);
    return now.size == f->size && now.mtime_us == f->mtime_us && now.ctime_us == f->ctime_us &&
                   now.inode == f->inode
               ? f
               : NULL;
}

/* ---- lines ---- */

typedef struct scan {
    pm_gather *g;
    const pm_config_world *world;
    const char *file; /* NULL: the command line */
    unsigned depth;
    unsigned skipping; /* sections open within one that is not active */
    unsigned plain;    /* nothing found so far that has to be read again */
} scan;

static void scan_path(pm_gather *g, const char *path, const pm_config_world *world, unsigned depth,
                      unsigned folders);

/** The next word of *line, quotes and escapes resolved in place; NULL at the end. */
static char *next_word(char **line)
{
    char *s = *line, *out, *word, quote = '\0';

    while (*s == ' ' || *s == '\t') {
        s++;
    }
    if (*s == '\0') {
        return NULL;
    }
    if (*s == '"' || *s == '\'') {
        quote = *s++;
    }
    for (word = out = s; *s != '\0' && (quote ? *s != quote : *s != ' ' && *s != '\t'); s++) {
        if (quote && *s == '\\' && (s[1] == quote || s[1] == '\\')) {
            s++;
        }
        *out++ = *s;
    }
    *line = *s != '\0' ? s + 1 : s;
    *out = '\0';
    return word;
}

static void remember(scan *s, const char *kind, const char *name, uint32_t line)
{
    pm_config_found *found;

    if (s->file != NULL) {
        found = apr_palloc(s->g->pool, sizeof(*found));
        *found = (pm_config_found){s->file, line};
        apr_hash_set(s->g->places, apr_pstrcat(s->g->pool, kind, " ", name, NULL),
                     APR_HASH_KEY_STRING, found);
    }
}

static void add_pattern(pm_gather *g, const char *pattern)
{
    *(const char **)apr_array_push(g->patterns) = apr_pstrdup(g->pool, pattern);
}

static void scan_folder(scan *s, const char *path, unsigned folders)
{
    DIR *d =
        folders < FOLDER_DEPTH_MAX && s->g->patterns->nelts < PATTERNS_MAX ? opendir(path) : NULL;
    struct dirent *e;

    if (d == NULL) {
        return;
    }
    add_pattern(s->g, apr_pstrcat(s->g->pool, path, "/", NULL));
    while ((e = readdir(d)) != NULL && s->g->real_files->nelts < FILES_MAX) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            scan_path(s->g, apr_pstrcat(s->g->pool, path, "/", e->d_name, NULL), s->world,
                      s->depth + 1, folders + 1);
        }
    }
    closedir(d);
}

static void found_include(scan *s, const char *name, const char *more, uint32_t line)
{
    const char *path = s->world->path(s->world->ctx, s->world->expand(s->world->ctx, name));
    glob_t found;

    (void)more;
    (void)line;
    if (path == NULL || path[0] != '/' || s->depth >= DEPTH_MAX) {
        return;
    }
    if (strpbrk(path, "*?[") != NULL || access(path, F_OK) != 0) {
        add_pattern(s->g, path); /* an optional one that is not there yet is one, too */
    }
    if (glob(path, GLOB_NOSORT, NULL, &found) != 0) {
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        scan_path(s->g, found.gl_pathv[i], s->world, s->depth + 1, 0);
    }
    globfree(&found);
}

/** "[!]name>" of <IfDefine or <IfModule: is the section active? */
static int active(scan *s, char *line, int (*holds)(void *, const char *))
{
    char *name = next_word(&line), *end = name != NULL ? strchr(name, '>') : NULL;
    int no = name != NULL && name[0] == '!';

    if (name == NULL) {
        return 1;
    }
    if (end != NULL) {
        *end = '\0';
    }
    return no != !!holds(s->world->ctx, name + no);
}

static void section(scan *s, const char *name, char *line)
{
    if (s->skipping > 0) {
        if (name[1] == '/') {
            s->skipping--;
        }
        else {
            s->skipping++;
        }
    }
    else if ((strcasecmp(name, "<IfDefine") == 0 && !active(s, line, s->world->defined)) ||
             (strcasecmp(name, "<IfModule") == 0 && !active(s, line, s->world->loaded))) {
        s->skipping = 1;
    }
}

static pm_config_define *define_of(const pm_gather *g, const char *name)
{
    for (int i = g->defines->nelts - 1; i >= 0; i--) {
        pm_config_define *d = &APR_ARRAY_IDX(g->defines, i, pm_config_define);

        if (d->name != NULL && strcmp(d->name, name) == 0) {
            return d;
        }
    }
    return NULL;
}

static void found_undefine(scan *s, const char *name, const char *value, uint32_t line)
{
    pm_config_define *known = define_of(s->g, s->world->expand(s->world->ctx, name));

    (void)value;
    (void)line;
    if (known != NULL) {
        known->name = NULL;
    }
}

static void found_define(scan *s, const char *name, const char *value, uint32_t line)
{
    pm_config_define *known;

    name = s->world->expand(s->world->ctx, name);
    known = define_of(s->g, name);
    if (known == NULL && s->g->defines->nelts < DEFINES_MAX) {
        known = apr_array_push(s->g->defines);
        *known = (pm_config_define){.name = apr_pstrdup(s->g->pool, name)};
    }
    if (known != NULL) {
        known->valued |= value != NULL; /* without one, a second Define leaves the first one's */
    }
    remember(s, "Define", name, line);
    if (value != NULL && pm_config_secret_name(name, strlen(name))) {
        /* An UnDefine may follow: then nobody else knows it. */
        pm_gather_secret(s->g, s->world->expand(s->world->ctx, value));
    }
}

static void found_module(scan *s, const char *name, const char *path, uint32_t line)
{
    (void)path;
    remember(s, "LoadModule", name, line);
}

/** One logical line, leading blanks gone. */
static void scan_line(scan *s, char *line, uint32_t number)
{
    static const struct {
        const char *name;
        void (*found)(scan *, const char *, const char *, uint32_t);
    } kinds[] = {{"Define", found_define},
                 {"UnDefine", found_undefine},
                 {"LoadModule", found_module},
                 {"Include", found_include},
                 {"IncludeOptional", found_include}};
    char *name;

    if (line[0] == '<') {
        name = next_word(&line);
        if (strchr(name, '>') == NULL || name[1] == '/') {
            section(s, name, line);
        }
        else if (s->skipping > 0) {
            s->skipping++; /* "<If>" and the like */
        }
        return;
    }
    name = next_word(&line);
    for (size_t n = 0; n < sizeof(kinds) / sizeof(kinds[0]); n++) {
        if (strcasecmp(name, kinds[n].name) == 0) {
            s->plain = 0; /* in a section that is not active, too: it may become so */
            if (s->skipping == 0) {
                char *first = next_word(&line);

                if (first != NULL) {
                    kinds[n].found(s, first, next_word(&line), number);
                }
            }
        }
    }
}

/** May the line matter? Most don't, and their first letters say so. */
static int matters(const scan *s, const char *line)
{
    if (line[0] == '<') {
        return s->skipping > 0 || ((line[1] | 0x20) == 'i' && (line[2] | 0x20) == 'f');
    }
    return memchr("idlu", line[0] | 0x20, 4) != NULL;
}

/** A line that goes on in the next: put together in place, as httpd does. Returns what follows it. */
static char *join_lines(char *line, char *out, char *end, uint32_t *number)
{
    while (out > line && out[-1] == '\\' && *end == '\n') {
        char *next = end + 1;
        size_t n = strcspn(next, "\n");

        out--;
        end = next + n;
        n -= n > 0 && next[n - 1] == '\r';
        memmove(out, next, n);
        out += n;
        ++*number;
    }
    if (*end == '\n') {
        end++;
    }
    *out = '\0';
    return end;
}

/** Lines of `content`, which is changed. A directive's number is that of its last line, as in httpd. */
static void scan_content(scan *s, char *content)
{
    uint32_t number = 0;

    while (*content != '\0') {
        char *line = content + strspn(content, " \t"), *end = strchrnul(line, '\n'), *last = end;

        number++;
        last -= last > line && last[-1] == '\r' && last - 1 > line && last[-2] == '\\';
        if (last > line && last[-1] == '\\') {
            content = join_lines(line, last, end, &number);
        }
        else {
            content = end + (*end == '\n');
            *end = '\0';
            if (end > line && end[-1] == '\r') {
                end[-1] = '\0';
            }
        }
        if (matters(s, line)) {
            scan_line(s, line, number);
        }
    }
}

static void scan_path(pm_gather *g, const char *path, const pm_config_world *world, unsigned depth,
                      unsigned folders)
{
    scan s = {.g = g, .world = world, .depth = depth, .plain = 1};
    const pm_snapshot_file *known;
    pm_snapshot_file file;
    char *content;

    if (apr_hash_get(g->seen, path, APR_HASH_KEY_STRING) != NULL ||
        g->real_files->nelts >= FILES_MAX) {
        return;
    }
    s.file = apr_pstrdup(g->pool, path);
    known = untouched(g, path);
    if (known != NULL && known->plain) {
        pm_gather_add_file(g, s.file, known);
        return;
    }
    content = slurp(s.file, &file);
    if (file.state == PM_FILE_SPECIAL && is_folder(path)) {
        scan_folder(&s, s.file, folders);
        return;
    }
    apr_hash_set(g->seen, s.file, APR_HASH_KEY_STRING, s.file); /* it may include itself */
    if (content != NULL) {
        scan_content(&s, content);
        free(content);
    }
    file.plain = s.plain;
    pm_gather_add_file(g, s.file, &file);
}

void pm_gather_file(pm_gather *g, const char *path, const pm_config_world *world)
{
    scan_path(g, path, world, 0, 0);
}

void pm_gather_text(pm_gather *g, const char *text, const pm_config_world *world)
{
    scan s = {.g = g, .world = world};

    scan_content(&s, apr_pstrdup(g->pool, text));
}

const pm_config_define *pm_gather_defines(const pm_gather *g, size_t *count)
{
    apr_array_header_t *left = apr_array_make(g->pool, g->defines->nelts, sizeof(pm_config_define));

    for (int i = 0; i < g->defines->nelts; i++) {
        const pm_config_define *d = &APR_ARRAY_IDX(g->defines, i, pm_config_define);

        if (d->name != NULL) {
            *(pm_config_define *)apr_array_push(left) = *d;
        }
    }
    *count = (size_t)left->nelts;
    return (const pm_config_define *)(void *)left->elts;
}

void pm_gather_named_file(pm_gather *g, const char *path)
{
    const pm_snapshot_file *known;
    pm_snapshot_file file;

    if (path == NULL || path[0] != '/' ||
        apr_hash_get(g->seen, path, APR_HASH_KEY_STRING) != NULL ||
        g->real_files->nelts >= FILES_MAX) {
        return;
    }
    known = untouched(g, path);
    if (known == NULL) {
        free(slurp(path, &file));
        file.plain = 0;
    }
    pm_gather_add_file(g, apr_pstrdup(g->pool, path), known != NULL ? known : &file);
}
