/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch_look.c: one look at a path. Runs in the watcher threads, in the helper, and in the parent while it loads.
 *
 * No memory is allocated: a thread that hangs here is left behind for good.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_config.h"
#include "pm_hash.h"
#include "pm_text.h"
#include "pm_time.h"
#include "watch_private.h"

#define ENTRIES_MAX 65536u /* of a folder: beyond, its time alone tells */
#define FRESH_MAX 1024u    /* and beyond, none of its files is named */
#define FRESH_US (PM_SECOND / 2)

static uint64_t micro(const struct timespec *t)
{
    return t->tv_sec > 0 ? (uint64_t)t->tv_sec * PM_SECOND + (uint64_t)t->tv_nsec / 1000 : 0;
}

static void fill(pm_identity *is, const struct stat *st)
{
    is->dev = (uint64_t)st->st_dev;
    is->ino = (uint64_t)st->st_ino;
    is->size = (uint64_t)st->st_size;
    is->mode = (uint64_t)st->st_mode;
    is->mtime_us = micro(&st->st_mtim);
    is->ctime_us = micro(&st->st_ctim);
}

static uint32_t result_of(int error)
{
    switch (error) {
    case 0:
        return PM_LOOK_THERE;
    case ENOENT:
    case ENOTDIR:
        return PM_LOOK_GONE;
    case EACCES:
    case EPERM:
        return PM_LOOK_DENIED;
    default: /* EIO, ESTALE, ELOOP: neither there nor gone */
        return PM_LOOK_ERROR;
    }
}

/** Open what stat has found; another kind of file in its place by now is not opened to be read. */
static int open_same(const char *path, const pm_identity *is)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0 && (fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != (is->mode & S_IFMT))) {
        close(fd);
        errno = EIO;
        return -1;
    }
    return fd;
}

/** 0 is no hash. */
static uint64_t some(uint64_t hash)
{
    return hash != 0 ? hash : 1;
}

static uint64_t hash_file(int fd)
{
    char bytes[16384];
    XXH3_state_t hash;
    uint64_t left = PM_CONFIG_FILE_MAX;
    ssize_t n = 0;

    XXH3_64bits_reset(&hash);
    while (left > 0 && (n = read(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes))) > 0) {
        XXH3_64bits_update(&hash, bytes, (size_t)n);
        left -= (uint64_t)n;
    }
    return n < 0 ? 0 : some(XXH3_64bits_digest(&hash));
}

/** The names in a folder, in any order; with `inodes` also which files they are, so that a new file by an old name
 *  counts. A file that came and went leaves no trace: it is no deployment. */
static uint64_t hash_folder(int fd, const char *pattern, int inodes)
{
    _Alignas(struct dirent64) char buffer[16384];
    uint64_t sum = 0, entries = 0;
    ssize_t n;

    while ((n = getdents64(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(buffer + at);

            at += e->d_reclen;
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                (pattern != NULL && fnmatch(pattern, e->d_name, FNM_PERIOD) != 0)) {
                continue;
            }
            sum += XXH3_64bits_withSeed(e->d_name, strlen(e->d_name), inodes ? e->d_ino : 0);
            entries++;
        }
        if (entries > ENTRIES_MAX) {
            return 0;
        }
    }
    return n < 0 ? 0 : some(sum + entries);
}

static uint64_t birth_of(int folder, const char *name)
{
    struct statx st;

    return statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
                 STATX_BTIME, &st) == 0 &&
                   (st.stx_mask & STATX_BTIME)
               ? (uint64_t)st.stx_btime.tv_sec * PM_SECOND + st.stx_btime.tv_nsec / 1000
               : 0;
}

/** The newest file of a folder, if it was made when the folder was changed last. */
static void name_fresh(int fd, pm_look *out)
{
    _Alignas(struct dirent64) char buffer[16384];
    uint64_t newest = 0, seen = 0, changed = out->is.mtime_us;
    ssize_t n;

    while (seen < FRESH_MAX && (n = getdents64(fd, buffer, sizeof(buffer))) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(buffer + at);
            /* A folder may be another file system's, which may hang. */
            uint64_t born = e->d_type != DT_DIR ? birth_of(fd, e->d_name) : 0;

            at += e->d_reclen;
            seen++;
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && born > newest &&
                born + FRESH_US >= changed && born <= changed + FRESH_US) {
                newest = born;
                pm_text_clean(out->fresh, sizeof(out->fresh), e->d_name, sizeof(out->fresh));
            }
        }
    }
    if (seen >= FRESH_MAX) {
        out->fresh[0] = '\0';
    }
}

static int wants_content(enum pm_watch_kind kind, uint64_t mode)
{
    return S_ISDIR(mode) ? kind == PM_WATCH_PATTERN || kind == PM_WATCH_FILE || kind == PM_WATCH_TOP
                         : S_ISREG(mode) && kind == PM_WATCH_CONFIG;
}

/** As the last look has hashed it, when nothing has moved since. */
static int still(const pm_identity *last, const pm_identity *is)
{
    return last->content != 0 && last->dev == is->dev && last->ino == is->ino &&
           last->size == is->size && last->mtime_us == is->mtime_us &&
           last->ctime_us == is->ctime_us &&
           /* Written to within the granularity of its times? Then they would not tell. */
           last->mtime_us + PM_SECOND < pm_time_now();
}

static void take_content(const char *path, const char *pattern, int inodes, const pm_look *last,
                         pm_look *out)
{
    int fd;

    if (last != NULL && still(&last->is, &out->is)) {
        out->is.content = last->is.content;
        memcpy(out->fresh, last->fresh, sizeof(out->fresh));
        return;
    }
    fd = open_same(path, &out->is);
    if (fd < 0) {
        out->error = (uint32_t)errno;
        out->result = result_of(errno);
        return;
    }
    out->is.content = S_ISDIR(out->is.mode) ? hash_folder(fd, pattern, inodes) : hash_file(fd);
    if (last != NULL && last->is.content == out->is.content) { /* it is judged with a later look */
        memcpy(out->fresh, last->fresh, sizeof(out->fresh));
    }
    else if (S_ISDIR(out->is.mode) && inodes && last != NULL && last->is.content != 0 &&
             lseek(fd, 0, SEEK_SET) == 0) {
        name_fresh(fd, out);
    }
    close(fd);
}

/** Of the folder that it was in: when it was last changed, for then at the latest the file went. And on which file
 *  system it is. */
static void look_at_folder(const char *path, pm_look *out)
{
    char folder[PM_WATCH_PATH];
    const char *slash = strrchr(path, '/');
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    struct stat st;

    memcpy(folder, path, n);
    folder[n] = '\0';
    if (stat(folder, &st) == 0) {
        out->gone_us = micro(&st.st_mtim);
        out->is.dev = (uint64_t)st.st_dev;
    }
}

static void read_link(const char *path, char out[PM_KEY])
{
    char target[PM_WATCH_PATH];
    ssize_t n = readlink(path, target, sizeof(target));

    out[0] = '\0';
    if (n > 0) {
        pm_text_clean(out, PM_KEY, target, (size_t)n);
    }
}

void pm_watch_look(enum pm_watch_kind kind, const char *path, const pm_look *last, pm_look *out)
{
    char folder[PM_WATCH_PATH];
    const char *pattern = NULL;
    struct stat st;

    memset(out, 0, sizeof(*out));
    if (kind == PM_WATCH_PATTERN) {
        size_t n = (size_t)(strrchr(path, '/') - path);

        memcpy(folder, path, n);
        folder[n] = '\0';
        pattern = path[n + 1] != '\0' ? path + n + 1 : NULL;
        path = n > 0 ? folder : "/";
    }
    if (stat(path, &st) != 0) {
        out->error = (uint32_t)errno;
        out->result = result_of(errno);
        if (out->result == PM_LOOK_GONE) {
            look_at_folder(path, out);
        }
    }
    else {
        out->result = PM_LOOK_THERE;
        fill(&out->is, &st);
        read_link(path, out->link);
        if (wants_content(kind, out->is.mode)) {
            take_content(path, pattern, kind != PM_WATCH_PATTERN, last, out);
        }
    }
    out->at_us = pm_time_now();
}

/* ---- as root ---- */

static int may_be_hidden(const pm_watched *w)
{
    return w->kind == PM_WATCH_CONFIG || w->kind == PM_WATCH_PATTERN || w->kind == PM_WATCH_KEY ||
           w->kind == PM_WATCH_FILE || w->kind == PM_WATCH_TOP;
}

static void publish(pm_watched *w, const pm_look *look)
{
    uint32_t odd = atomic_load(&w->helped) | 1; /* it is, if a helper died in the middle */

    atomic_store(&w->helped, odd);
    atomic_thread_fence(memory_order_release);
    w->help = *look;
    atomic_store(&w->helped, odd + 1);
}

int pm_watch_helped(const pm_watched *w, pm_look *out)
{
    uint32_t before = atomic_load(&w->helped);

    *out = w->help;
    atomic_thread_fence(memory_order_acquire);
    return before != 0 && before % 2 == 0 && atomic_load(&w->helped) == before &&
           out->result != PM_LOOK_NONE;
}

int pm_watch_wants_help(const pm_watch_table *t)
{
    uint32_t count = atomic_load(&t->count);

    for (uint32_t i = 0; i < count; i++) {
        if (atomic_load(&t->at[i].denied) && may_be_hidden(&t->at[i])) {
            return 1;
        }
    }
    return 0;
}

void pm_watch_help(pm_watch_table *t, int all)
{
    uint32_t count = atomic_load(&t->count), gone[PM_WATCH_MAX], waiting = 0;
    pm_look look;

    for (uint32_t i = 0; i < count; i++) {
        pm_watched *w = &t->at[i];

        if (!may_be_hidden(w) || (!all && !atomic_load(&w->denied))) {
            continue;
        }
        pm_watch_look((enum pm_watch_kind)w->kind, w->path, &w->help, &look);
        if (look.result == PM_LOOK_GONE && w->help.result == PM_LOOK_THERE) {
            gone[waiting++] = i;
        }
        else {
            publish(w, &look);
        }
    }
    if (waiting > 0) { /* replaced by rename? Then it is back in a moment, and was never missing. */
        sleep(PM_WATCH_PAUSE);
    }
    for (uint32_t i = 0; i < waiting; i++) {
        pm_watched *w = &t->at[gone[i]];

        pm_watch_look((enum pm_watch_kind)w->kind, w->path, &w->help, &look);
        publish(w, &look);
    }
}
