/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * certificate_file.c: what is read is wiped, and of it only what stands between a certificate's two lines is looked at.
 */
#include "certificate_file.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pm_time.h"
#include "prober.h"

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

static int read_file(const char *path, const char *name, pm_certificate *out)
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

/* ---- a thread of its own ---- */

#define PATIENCE_US (2 * PM_SECOND)
#define STEP_US (PM_SECOND / 10) /* a clock that is set makes a wait no longer than one */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int running, asked, found; /* asked: a file is to be read, or hangs */
    char path[512], name[PM_CERTIFICATE_NAME];
    pm_certificate certificate;
} reader = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *read_on(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "pmcapture-cert");
    pthread_mutex_lock(&reader.lock);
    for (;;) {
        pm_certificate read = {.not_after_us = 0};
        int found;

        while (!reader.asked) {
            pthread_cond_wait(&reader.changed, &reader.lock);
        }
        pthread_mutex_unlock(&reader.lock);
        found =
            read_file(reader.path, reader.name, &read); /* nobody writes them while it is asked */
        pthread_mutex_lock(&reader.lock);
        reader.certificate = read;
        reader.found = found;
        reader.asked = 0;
        pthread_cond_broadcast(&reader.changed);
    }
    return NULL;
}

int pm_certificate_ask(const char *path, const char *name, pm_certificate *out)
{
    uint64_t until = pm_time_monotonic() + PATIENCE_US;
    int found = 0;

    pthread_mutex_lock(&reader.lock);
    if (!reader.asked && (reader.running || (reader.running = pm_prober_thread(read_on)))) {
        snprintf(reader.path, sizeof(reader.path), "%s", path);
        snprintf(reader.name, sizeof(reader.name), "%s", name);
        reader.asked = 1;
        pthread_cond_broadcast(&reader.changed);
        while (reader.asked && pm_time_monotonic() < until) {
            uint64_t next = pm_time_now() + STEP_US;
            struct timespec at = {.tv_sec = (time_t)(next / PM_SECOND),
                                  .tv_nsec = (long)(next % PM_SECOND * 1000)};

            pthread_cond_timedwait(&reader.changed, &reader.lock, &at);
        }
        found = !reader.asked && reader.found;
    }
    if (found) {
        *out = reader.certificate;
    }
    pthread_mutex_unlock(&reader.lock);
    return found;
}
