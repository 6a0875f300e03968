/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * mod_scribbler: a worker process that was taken over, as a module of its own. It knows nothing of mod_pmcapture but what any
 * process can find out about itself.
 *
 * "SetHandler scribble": with ?map writes random bytes all over each mapping of a live region, again and again for the
 * seconds given (?map&seconds=3&seed=7); with ?descriptors tries everything on each descriptor of a regular file that
 * is no log, keeps the locks that it gets, and says what it could do.
 */
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long long state;

static unsigned long long next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static long parameter(const request_rec *r, const char *name, long otherwise)
{
    const char *found = r->args != NULL ? strstr(r->args, name) : NULL;

    return found != NULL ? atol(found + strlen(name) + 1) : otherwise;
}

/* ---- the region ---- */

static void scribble(unsigned char *base, size_t size)
{
    static const unsigned char favourites[] = {0x00, 0xff, 0x7f, 0x80, 0x01, '"', '<', '%'};
    size_t most = next() % 16 == 0 ? size : 1 + next() % 4096;
    size_t at = next() % size, len = 1 + next() % most;

    len = len < size - at ? len : size - at;
    if (next() % 3 == 0) {
        memset(base + at, favourites[next() % sizeof(favourites)], len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        base[at + i] = (unsigned char)next();
    }
}

static int scribble_mappings(request_rec *r)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    apr_time_t until = apr_time_now() + apr_time_from_sec(parameter(r, "seconds", 1));
    unsigned long from, to;
    char line[1024];
    int found = 0;

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (strstr(line, ".live") == NULL || strstr(line, " rw-s ") == NULL ||
            sscanf(line, "%lx-%lx", &from, &to) != 2) {
            continue;
        }
        for (found++; apr_time_now() < until; usleep(2000)) {
            for (int i = 0; i < 50; i++) {
                scribble((unsigned char *)from, to - from);
            }
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    ap_rprintf(r, "mappings %d\n", found);
    return OK;
}

/* ---- descriptors ---- */

static void tell(request_rec *r, const char *what, long result, const char *target)
{
    ap_rprintf(r, "%s %s %s\n", what, result >= 0 ? "possible" : "refused", target);
}

/** Whoever has the lock dies some day: the kernel gives it to who has waited longest. */
static void *wait_for_lock(void *fd)
{
    struct flock all = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    while (fcntl((int)(long)fd, F_OFD_SETLKW, &all) != 0 && errno == EINTR) {
    }
    return NULL;
}

static void try_all(request_rec *r, int fd, const char *target)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char name[64];
    pthread_t thread;
    void *map;
    int again;

    tell(r, "write", write(fd, "scribble", 8), target);
    tell(r, "pwrite", pwrite(fd, "scribble", 8, 4096), target);
    tell(r, "truncate", ftruncate(fd, 0), target);
    tell(r, "punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536), target);
    tell(r, "chmod", fchmod(fd, 0666), target);
    tell(r, "write-lock", fcntl(fd, F_SETLK, &all), target);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    tell(r, "map-writable", map == MAP_FAILED ? -1 : 0, target);
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    again = open(name, O_RDWR | O_TRUNC | O_CLOEXEC);
    tell(r, "reopen", again, target);
    all.l_type = F_RDLCK;
    all.l_len = 1; /* the rest is the recorder's while it lives */
    tell(r, "read-lock", fcntl(fd, F_OFD_SETLKW, &all), target);
    if (pthread_create(&thread, NULL, wait_for_lock, (void *)(long)fd) == 0) {
        pthread_detach(thread);
    }
    tell(r, "flock", flock(fd, LOCK_EX | LOCK_NB), target);
}

static int try_descriptors(request_rec *r)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    struct stat st;

    while (d != NULL && (e = readdir(d)) != NULL) {
        char link[64], target[512] = "";
        int fd = atoi(e->d_name);

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        if (fd <= 2 || fd == dirfd(d) || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
            readlink(link, target, sizeof(target) - 1) < 0 || strstr(target, ".log") != NULL) {
            continue;
        }
        try_all(r, fd, target);
    }
    if (d != NULL) {
        closedir(d);
    }
    ap_rprintf(r, "done\n");
    return OK;
}

static int scribbler(request_rec *r)
{
    if (r->handler == NULL || strcmp(r->handler, "scribble") != 0) {
        return DECLINED;
    }
    ap_set_content_type(r, "text/plain");
    state = (unsigned long long)parameter(r, "seed", 1) * 0x9e3779b97f4a7c15ull + 1;
    return r->args != NULL && strncmp(r->args, "map", 3) == 0 ? scribble_mappings(r)
                                                              : try_descriptors(r);
}

static void hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(scribbler, NULL, NULL, APR_HOOK_FIRST);
}

AP_DECLARE_MODULE(scribbler) = {STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks};
