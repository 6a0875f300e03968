/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * scoreboard.c: httpd's scoreboard, where another program can read it.
 *
 * httpd makes it as anonymous memory that its children share. Before the first child is there, a memfd with the same
 * bytes is mapped in its place, at the same address: httpd and its children notice nothing, and whoever has the descriptor
 * reads the same memory. Where that cannot be done it is left as it is, and how many workers are busy is not known.
 */
#include "module.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_handover.h"
#include "retained.h"

static uintptr_t mapped_from; /* 0 = not looked for yet, or not found */

/** The shared mapping that holds it: from, to, and the file's name, "" when it has none. */
static int find(uintptr_t at, uintptr_t *from, uintptr_t *to, char path[512])
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[1024];
    int found = 0;

    while (maps != NULL && !found && fgets(line, sizeof(line), maps) != NULL) {
        unsigned long begin, end;
        char flags[8];

        path[0] = '\0';
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %511[^\n]", &begin, &end, flags, path) >= 3 &&
            at >= begin && at < end) {
            *from = begin;
            *to = end;
            found = flags[3] == 's';
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found;
}

/** ScoreBoardFile: other programs look at that file, so it stays. */
static int open_named(const char *path, uintptr_t from, uintptr_t to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) != 0 || (uint64_t)st.st_size < to - from)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int replace(uintptr_t from, uintptr_t to)
{
    size_t size = to - from;
    int fd = pm_memory_make("pmcapture-scoreboard", size);

    if (fd >= 0 && (pwrite(fd, (const void *)from, size, 0) != (ssize_t)size ||
                    mmap((void *)from, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                         0) == MAP_FAILED)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void pm_scoreboard_share(int no_children)
{
    pm_retained *kept = pm_retained_get();
    uintptr_t from = 0, to = 0;
    char path[512];

    mapped_from = 0;
    if (ap_scoreboard_image == NULL ||
        !find((uintptr_t)ap_scoreboard_image->global, &from, &to, path)) {
        return;
    }
    if (kept->scoreboard_fd >= 0 && strncmp(path, "/memfd:pmcapture-scoreboard", 27) == 0) {
        mapped_from = from; /* of an earlier generation, and still in place */
        return;
    }
    if (kept->scoreboard_fd >= 0) {
        close(kept->scoreboard_fd);
    }
    kept->scoreboard_fd = path[0] == '/' && strncmp(path, "/dev/zero", 9) != 0
                              ? open_named(path, from, to)
                          : no_children ? replace(from, to)
                                        : -1; /* children would go on in the old one */
    mapped_from = kept->scoreboard_fd >= 0 ? from : 0;
}

const void *pm_scoreboard_base(void)
{
    return (const void *)mapped_from;
}
