/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * certificate_file.c: what is read is wiped, and of it only what stands between a certificate's two lines is looked at.
 */
#include "certificate_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST (1u << 20)
#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

static size_t read_all(int fd, char *to, size_t room)
{
    size_t used = 0;
    ssize_t n;

    while (used < room && (n = read(fd, to + used, room - used)) > 0) {
        used += (size_t)n;
    }
    return used;
}

int pm_certificate_read(const char *path, const char *name, pm_certificate *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), found = 0;
    const char *begin, *end;
    struct stat st;
    char *text;

    if (fd < 0) {
        return 0;
    }
    text = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? calloc(1, MOST + 1) : NULL;
    if (text != NULL) {
        size_t used = read_all(fd, text, MOST);

        begin = memmem(text, used, BEGIN, strlen(BEGIN));
        end = begin != NULL ? memmem(begin, used - (size_t)(begin - text), END, strlen(END)) : NULL;
        if (end != NULL) {
            found = pm_certificate_parse(begin, (size_t)(end - begin) + strlen(END) + 1, name, out);
        }
        explicit_bzero(text, MOST + 1);
        free(text);
    }
    close(fd);
    return found;
}
