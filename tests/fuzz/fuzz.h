/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz.h: what the fuzz targets share: taking an input apart, folders, and what every output must be.
 *
 * A target does not only look for crashes: fuzz_expect() states what must hold whatever the input is.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_errno.h>

#include "pm_json.h"
#include "pm_text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_expect(fact, sentence)                                                                \
    do {                                                                                           \
        if (!(fact)) {                                                                             \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, sentence);                  \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- the input, front to back; past its end there are zeros ---- */

typedef struct feed {
    const uint8_t *at, *end;
} feed;

static inline size_t feed_left(const feed *f)
{
    return (size_t)(f->end - f->at);
}

static inline uint64_t feed_number(feed *f, size_t bytes)
{
    uint64_t n = 0;
    size_t have = bytes < feed_left(f) ? bytes : feed_left(f);

    memcpy(&n, f->at, have);
    f->at += have;
    return n;
}

/** Up to `most` bytes, as many as the next byte says. */
static inline const uint8_t *feed_bytes(feed *f, size_t most, size_t *len)
{
    const uint8_t *bytes;

    *len = (size_t)feed_number(f, 1);
    *len = *len < most ? *len : most;
    *len = *len < feed_left(f) ? *len : feed_left(f);
    bytes = f->at;
    f->at += *len;
    return bytes;
}

/** Likewise, as a string. */
static inline void feed_text(feed *f, char *out, size_t size)
{
    size_t len;
    const uint8_t *bytes = feed_bytes(f, size - 1, &len);

    memcpy(out, bytes, len);
    out[len] = '\0';
}

/** Everything that is left, as a string in a buffer of exactly its size: reading past it is found out. */
static inline char *feed_rest(feed *f)
{
    size_t len = feed_left(f);
    char *text = malloc(len + 1);

    memcpy(text, f->at, len);
    text[len] = '\0';
    f->at = f->end;
    return text;
}

/** Write bytes of the input somewhere into `size` bytes. */
static inline void feed_patch(feed *f, void *into, size_t size)
{
    size_t at = (size_t)feed_number(f, 4) % size, len;
    const uint8_t *bytes = feed_bytes(f, size - at, &len);

    memcpy((uint8_t *)into + at, bytes, len);
}

/* ---- places ---- */

static char fuzz_folder_path[64];

static inline void fuzz_remove_folder(void)
{
    DIR *d = opendir(fuzz_folder_path);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d != NULL) {
        closedir(d);
    }
    rmdir(fuzz_folder_path);
}

/** A new folder until the program ends, in memory where there is room: many inputs a second are written there. */
static inline const char *fuzz_folder(void)
{
    snprintf(fuzz_folder_path, sizeof(fuzz_folder_path), "%s/pmcapture-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fuzz_expect(mkdtemp(fuzz_folder_path) != NULL, "a folder can be made");
    atexit(fuzz_remove_folder);
    return fuzz_folder_path;
}

/* ---- outputs ---- */

typedef struct output {
    char *bytes;
    size_t used, room;
} output;

static inline apr_status_t keep_output(void *ctx, const char *bytes, size_t len)
{
    output *o = ctx;

    if (o->used + len > o->room) {
        o->room = (o->used + len) * 2;
        o->bytes = realloc(o->bytes, o->room);
    }
    memcpy(o->bytes + o->used, bytes, len);
    o->used += len;
    return APR_SUCCESS;
}

/** Valid UTF-8, and no control character but those that a format is made of. */
static inline int is_clean(const char *s, size_t len, const char *allowed)
{
    while (len > 0) {
        size_t n = pm_text_utf8(s, len);

        if (n == 0 || (pm_text_control(s, n) && (*s == '\0' || strchr(allowed, *s) == NULL))) {
            return 0;
        }
        s += n;
        len -= n;
    }
    return 1;
}

#endif
