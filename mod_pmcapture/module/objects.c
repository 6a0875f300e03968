/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * objects.c: what is mapped into the server: which files they are, and which of them name which.
 *
 * The parent's list, taken when the configuration was loaded: its children map the same. What matters is the file
 * that is mapped, not the one that has its name by now: a library that was replaced before a reload and is
 * still mapped is a change to come.
 */
#include "module.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "watch.h"

typedef struct mapped {
    uintptr_t from, to;
    uint64_t dev, ino;
    const char *path; /* as the kernel has it: " (deleted)" when it has no name any more */
} mapped;

typedef struct object {
    const char *path; /* as the loader found it */
    uintptr_t address;
    int number; /* in the table, -1 = not watched */
    pm_elf needs;
} object;

/* ---- which file is mapped where ---- */

/** "from-to perms offset major:minor inode   path" */
static int parse_line(char *line, mapped *m, apr_pool_t *p)
{
    unsigned long from, to, ino;
    unsigned int major_number, minor_number;
    int path_at = 0;
    size_t n = strlen(line);

    if (n > 0 && line[n - 1] == '\n') {
        line[n - 1] = '\0';
    }
    if (sscanf(line, "%lx-%lx %*4s %*x %x:%x %lu %n", &from, &to, &major_number, &minor_number,
               &ino, &path_at) < 5 ||
        path_at == 0 || line[path_at] != '/') {
        return 0;
    }
    *m = (mapped){from, to, makedev(major_number, minor_number), ino,
                  apr_pstrdup(p, line + path_at)};
    return 1;
}

static apr_array_header_t *read_maps(apr_pool_t *p)
{
    apr_array_header_t *maps = apr_array_make(p, 256, sizeof(mapped));
    FILE *file = fopen("/proc/self/maps", "re");
    char line[PM_WATCH_PATH + 256];
    mapped m;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (parse_line(line, &m, p)) {
            APR_ARRAY_PUSH(maps, mapped) = m;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return maps;
}

static const mapped *mapping_at(const apr_array_header_t *maps, uintptr_t address)
{
    for (int i = 0; i < maps->nelts; i++) {
        const mapped *m = &APR_ARRAY_IDX(maps, i, mapped);

        if (address >= m->from && address < m->to) {
            return m;
        }
    }
    return NULL;
}

/* ---- the loader's list ---- */

static int found_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
    apr_array_header_t *objects = ctx;
    char self[PM_WATCH_PATH];
    const char *path = info->dlpi_name;
    uintptr_t address = 0;
    ssize_t n;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum && address == 0; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            address = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        }
    }
    if (path[0] == '\0' &&
        objects->nelts == 0) { /* the program itself stands first, without a name */
        n = readlink("/proc/self/exe", self, sizeof(self));
        path = n > 0 ? apr_pstrmemdup(objects->pool, self, (apr_size_t)n) : "";
    }
    if (path[0] == '/') {
        APR_ARRAY_PUSH(objects, object) =
            (object){apr_pstrdup(objects->pool, path), address, -1, {0}};
    }
    return 0;
}

/* ---- which file it is ---- */

/** The kernel's word for a file on an overlay may differ from stat's, so a name that still is its file's is enough. */
static int still_named(const mapped *m, const char *path)
{
    char *real = realpath(path, NULL);
    int named = real != NULL && strcmp(real, m->path) == 0;

    free(real);
    return named;
}

/** What is mapped, if by now another file has its name, or none. */
static void take_mapped(pm_watch_table *t, int number, const mapped *m)
{
    pm_watched *w = &t->at[number];

    w->running = (pm_identity){.dev = m->dev, .ino = m->ino};
    w->told = w->running;
    w->link[0] = '\0';
    w->state = PM_WATCH_SAYS_THERE;
}

static void take_identity(pm_watch_table *t, object *o, const apr_array_header_t *maps)
{
    const mapped *m = mapping_at(maps, o->address);
    const pm_identity *is = &t->at[o->number].running;

    pm_watch_take(t, o->number);
    if (m != NULL && (is->dev != m->dev || is->ino != m->ino) && !still_named(m, o->path)) {
        take_mapped(t, o->number, m);
    }
}

/* ---- who names whom ---- */

static void read_needs(object *o)
{
    struct stat st;
    int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        pm_elf_read(&o->needs, fd);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static int names(const object *o, const object *other)
{
    const char *slash = strrchr(other->path, '/');

    for (uint32_t i = 0; i < o->needs.count; i++) {
        if (strcmp(o->needs.needed[i], slash + 1) == 0 ||
            (other->needs.soname[0] != '\0' &&
             strcmp(o->needs.needed[i], other->needs.soname) == 0)) {
            return 1;
        }
    }
    return 0;
}

static void link_needs(pm_watch_table *t, const apr_array_header_t *objects)
{
    for (int i = 0; i < objects->nelts; i++) {
        const object *o = &APR_ARRAY_IDX(objects, i, object);
        pm_watched *w = o->number >= 0 ? &t->at[o->number] : NULL;

        for (int j = 0; w != NULL && j < objects->nelts; j++) {
            const object *by = &APR_ARRAY_IDX(objects, j, object);

            if (by->number >= 0 && names(by, o)) {
                if (w->need_count < PM_WATCH_NEEDS) {
                    w->needs[w->need_count] = (uint16_t)by->number;
                }
                w->need_count++;
            }
        }
    }
}

void pm_objects_put(pm_watch_table *t, apr_pool_t *p)
{
    apr_array_header_t *objects = apr_array_make(p, 128, sizeof(object));
    const apr_array_header_t *maps = read_maps(p);

    dl_iterate_phdr(found_object, objects);
    for (int i = 0; i < objects->nelts; i++) {
        object *o = &APR_ARRAY_IDX(objects, i, object);

        o->number = pm_watch_put(t, PM_WATCH_OBJECT, o->path, "");
        if (o->number >= 0) {
            take_identity(t, o, maps);
            read_needs(o);
        }
    }
    link_needs(t, objects);
}
