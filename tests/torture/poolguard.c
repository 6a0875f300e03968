/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * poolguard: an LD_PRELOAD library that gives what lies in APR's pools to malloc.
 *
 * APR keeps the memory of a pool that is gone for the next one, and so nobody sees who reads it still. Here each
 * allocation is a block of its own, filled with 'Z' and freed when its pool is cleared or destroyed, after the cleanups:
 * AddressSanitizer and valgrind see it then.
 */
#define _GNU_SOURCE
#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096u

typedef struct block {
    struct block *next;
    size_t size;
    _Alignas(16) char bytes[];
} block;

typedef struct owned {
    struct owned *next;
    apr_pool_t *pool;
    block *blocks;
} owned;

static owned *table[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static owned **find(apr_pool_t *pool)
{
    owned **at = &table[((uintptr_t)pool >> 4) % BUCKETS];

    while (*at != NULL && (*at)->pool != pool) {
        at = &(*at)->next;
    }
    return at;
}

static void forked(void)
{
    pthread_mutex_init(&lock, NULL);
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(NULL, NULL, forked);
}

void *apr_palloc(apr_pool_t *pool, apr_size_t size)
{
    block *b;
    owned **at;

    size = APR_ALIGN_DEFAULT(size); /* whole words may be read, as in a pool */
    b = malloc(sizeof(*b) + size);

    if (b == NULL) {
        abort();
    }
    pthread_mutex_lock(&lock);
    at = find(pool);
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        (*at)->pool = pool;
    }
    b->size = size;
    b->next = (*at)->blocks;
    (*at)->blocks = b;
    pthread_mutex_unlock(&lock);
    return b->bytes;
}

void *(apr_pcalloc)(apr_pool_t *pool, apr_size_t size)
{
    return memset(apr_palloc(pool, size), 0, size);
}

/** APR writes into the pool's own memory, bypassing apr_palloc. */
char *apr_pvsprintf(apr_pool_t *pool, const char *format, va_list arguments)
{
    static const apr_size_t most = 1 << 20;
    char *whole = malloc(most), *text;

    apr_vsnprintf(whole, most, format, arguments);
    text = strcpy(apr_palloc(pool, strlen(whole) + 1), whole);
    free(whole);
    return text;
}

char *apr_psprintf(apr_pool_t *pool, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    text = apr_pvsprintf(pool, format, arguments);
    va_end(arguments);
    return text;
}

static block *take(apr_pool_t *pool)
{
    block *blocks = NULL;
    owned **at, *gone;

    pthread_mutex_lock(&lock);
    at = find(pool);
    gone = *at;
    if (gone != NULL) {
        *at = gone->next;
        blocks = gone->blocks;
        free(gone);
    }
    pthread_mutex_unlock(&lock);
    return blocks;
}

static void release(block *blocks)
{
    for (block *next; blocks != NULL; blocks = next) {
        next = blocks->next;
        memset(blocks->bytes, 'Z', blocks->size);
        free(blocks);
    }
}

static void (*apr_function(const char *name))(apr_pool_t *)
{
    return (void (*)(apr_pool_t *))dlsym(RTLD_NEXT, name);
}

/** What its cleanups have allocated goes, too. */
void apr_pool_clear(apr_pool_t *pool)
{
    apr_function("apr_pool_clear")(pool);
    release(take(pool));
}

/** Cleared first: once it is destroyed, another thread's may have its address. */
void apr_pool_destroy(apr_pool_t *pool)
{
    block *blocks;

    apr_function("apr_pool_clear")(pool);
    blocks = take(pool);
    apr_function("apr_pool_destroy")(pool);
    release(blocks);
}
