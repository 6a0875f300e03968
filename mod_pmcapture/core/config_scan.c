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

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pm_time.h"

#define DEPTH_MAX 128       /* httpd's own bound on files that include files */
#define FOLDER_DEPTH_MAX 20 /* and on folders in folders */
#define FILES_MAX 100000

/* ---- one file ---- */

static uint64_t microseconds(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * PM_SECOND + (uint64_t)t->tv_nsec / 1000;
}

/** All of it, NUL-terminated, by malloc; NULL: out->state says why. */
static char *slurp(const char *path, pm_config_file *out)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    size_t used = 0, room;
    struct stat st;
    char *content;

    *out = (pm_config_file){.path = path, .state = PM_FILE_UNREADABLE};
    if (fd < 0) {
        out->state = errno == ENOENT || errno == ENOTDIR ? PM_FILE_MISSING : PM_FILE_UNREADABLE;
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        out->state = PM_FILE_SPECIAL;
        close(fd);
        return NULL;
    }
    out->size = (uint64_t)st.st_size;
    out->mtime_us = microseconds(&st.st_mtim);
    out->uid = st.st_uid;
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
    free(slurp(path, out));
}

/* ---- lines ---- */

typedef struct scan {
    pm_gather *g;
    const pm_config_world *world;
    const char *file; /* NULL: the command line */
    unsigned depth;
    unsigned skipping; /* sections open within one that is not active */
} scan;

static void scan_path(pm_gather *g, const char *path, const pm_config_world *world, unsigned depth);

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
    DIR *d = folders < FOLDER_DEPTH_MAX ? opendir(path) : NULL;
    struct dirent *e;

    if (d == NULL) {
        return;
    }
    add_pattern(s->g, apr_pstrcat(s->g->pool, path, "/", NULL));
    while ((e = readdir(d)) != NULL && s->g->real_files->nelts < FILES_MAX) {
        const char *name;
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        name = apr_pstrcat(s->g->pool, path, "/", e->d_name, NULL);
        if (stat(name, &st) == 0 && S_ISDIR(st.st_mode)) {
            scan_folder(s, name, folders + 1);
        }
        else {
            scan_path(s->g, name, s->world, s->depth + 1);
        }
    }
    closedir(d);
}

static void include(scan *s, const char *name)
{
    const char *path = s->world->path(s->world->ctx, name);
    glob_t found;
    struct stat st;

    if (path == NULL || path[0] != '/' || s->depth >= DEPTH_MAX) {
        return;
    }
    if (strpbrk(path, "*?[") != NULL) {
        add_pattern(s->g, path);
    }
    if (glob(path, GLOB_NOSORT | GLOB_NOCHECK, NULL, &found) != 0) {
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (stat(found.gl_pathv[i], &st) == 0 && S_ISDIR(st.st_mode)) {
            scan_folder(s, found.gl_pathv[i], 0);
        }
        else if (strpbrk(found.gl_pathv[i], "*?[") == NULL) {
            scan_path(s->g, found.gl_pathv[i], s->world, s->depth + 1);
        }
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

static void define(scan *s, const char *name, const char *value, uint32_t line)
{
    if (name == NULL) {
        return;
    }
    remember(s, "Define", name, line);
    if (value != NULL && pm_config_secret_name(name, strlen(name))) {
        pm_gather_secret(s->g, value); /* an UnDefine may follow: then nobody else knows it */
    }
}

/** One logical line, leading blanks gone. Most lines are none of ours: their first letter says so. */
static void scan_line(scan *s, char *line, uint32_t number)
{
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
    if (s->skipping > 0 || line[0] == '\0' || strchr("IiDdLl", line[0]) == NULL) {
        return;
    }
    name = next_word(&line);
    if (strcasecmp(name, "Define") == 0) {
        char *variable = next_word(&line), *value = next_word(&line);

        define(s, variable, value != NULL ? s->world->expand(s->world->ctx, value) : NULL, number);
    }
    else if (strcasecmp(name, "LoadModule") == 0) {
        char *module = next_word(&line);

        if (module != NULL) {
            remember(s, "LoadModule", module, number);
        }
    }
    else if (strcasecmp(name, "Include") == 0 || strcasecmp(name, "IncludeOptional") == 0) {
        char *what = next_word(&line);

        if (what != NULL) {
            include(s, s->world->expand(s->world->ctx, what));
        }
    }
}

/** Lines of `content`, which is changed; those that end in a backslash go on, as in httpd. A directive's number is that
 *  of its last line there. */
static void scan_content(scan *s, char *content)
{
    uint32_t number = 0;

    while (*content != '\0') {
        char *line = content, *out = content;

        for (;;) {
            size_t n = strcspn(content, "\n"), kept = n;

            number++;
            kept -= kept > 0 && content[n - 1] == '\r';
            memmove(out, content, kept);
            out += kept;
            content += n + (content[n] == '\n');
            if (kept == 0 || out[-1] != '\\' || *content == '\0') {
                break;
            }
            out--;
        }
        *out = '\0';
        scan_line(s, line + strspn(line, " \t"), number);
    }
}

static void scan_path(pm_gather *g, const char *path, const pm_config_world *world, unsigned depth)
{
    scan s = {.g = g, .world = world, .depth = depth};
    pm_config_file file;
    char *content;

    if (apr_hash_get(g->seen, path, APR_HASH_KEY_STRING) != NULL ||
        g->real_files->nelts >= FILES_MAX) {
        return;
    }
    s.file = apr_pstrdup(g->pool, path);
    content = slurp(s.file, &file);
    pm_gather_add_file(g, &file);
    if (content != NULL) {
        scan_content(&s, content);
        free(content);
    }
}

void pm_gather_file(pm_gather *g, const char *path, const pm_config_world *world)
{
    scan_path(g, path, world, 0);
}

void pm_gather_text(pm_gather *g, const char *text, const pm_config_world *world)
{
    scan s = {.g = g, .world = world};

    scan_content(&s, apr_pstrdup(g->pool, text));
}

void pm_gather_named_file(pm_gather *g, const char *path)
{
    pm_config_file file;

    if (path == NULL || path[0] != '/' ||
        apr_hash_get(g->seen, path, APR_HASH_KEY_STRING) != NULL ||
        g->real_files->nelts >= FILES_MAX) {
        return;
    }
    pm_config_look(apr_pstrdup(g->pool, path), &file);
    pm_gather_add_file(g, &file);
}
