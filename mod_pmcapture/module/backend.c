/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * backend.c: how a request's backend failed, by what httpd's proxy says of it.
 *
 * A 503 or a 502 does not tell: httpd gives them for a backend that refused, for one that died with the request, and for
 * one that it did not ask. The proxy's lines in the error log do, by their numbers and their system errors. The one that
 * says why a connection failed (AH00957) names no request, so a line is remembered for its thread until the proxy is done
 * with the request, which happens in the same thread. What no line says (at LogLevel crit, say) is unknown.
 *
 * The memory is taken by failures alone: requests that go well find it empty.
 */
#include "module.h"

#include <apr_optional_hooks.h>
#include <mod_proxy.h> /* the type of its hook; nothing of it is called */
#include <pthread.h>

#define THREADS 1024u /* that fail at one moment; power of two */
#define TRIES 8u
#define NOTE "pm-backend-failure"

/* ---- what a line says ---- */

enum says {
    SAYS_NOTHING,
    SAYS_CONNECT,   /* no connection, for the system's reason */
    SAYS_BROKEN,    /* a connection broke, or was silent, before there was an answer */
    SAYS_NO_ANSWER, /* likewise; a connection that was closed is a general error there */
    SAYS_NOT_TRIED
};

static enum says what_it_says(unsigned number)
{
    switch (number) {
    case 939: /* CONNECT and FTP */
    case 957:
    case 2454: /* Unix sockets */
        return SAYS_CONNECT;
    case 858:  /* scgi: sending */
    case 1029: /* ajp: sending */
    case 1030: /* ajp: receiving */
    case 1032:
    case 1073: /* fcgi: sending */
    case 1074:
    case 1075:  /* fcgi: receiving */
    case 1084:  /* http: sending */
    case 10098: /* uwsgi: sending */
    case 10404: /* http: receiving headers */
        return SAYS_BROKEN;
    case 1102: /* http: receiving */
        return SAYS_NO_ANSWER;
    case 934: /* all workers are busy */
    case 940: /* the worker is in error state */
    case 941: /* no connection is free */
    case 952: /* no socket to be had */
    case 1144:
    case 1167: /* all workers of a route are in error state */
    case 1170:
    case 1171: /* a balancer without workers */
    case 2453:
        return SAYS_NOT_TRIED;
    default:
        return SAYS_NOTHING;
    }
}

static uint32_t no_connection(apr_status_t status)
{
    switch (status) {
    case ECONNREFUSED:
    case ENOENT: /* of a Unix socket: nobody has made it */
    case EAGAIN: /* likewise: its queue is full */
        return PM_FAILURE_REFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EACCES:
    case EPERM:
        return PM_FAILURE_UNREACHABLE;
    default:
        return PM_FAILURE_UNKNOWN;
    }
}

static uint32_t failure_of(enum says says, apr_status_t status)
{
    if (says == SAYS_NOT_TRIED) {
        return PM_FAILURE_NOT_TRIED;
    }
    if (APR_STATUS_IS_TIMEUP(status) || status == ETIMEDOUT) {
        return PM_FAILURE_TIMEOUT;
    }
    if (says == SAYS_CONNECT) {
        return no_connection(status);
    }
    return (says == SAYS_NO_ANSWER && status == APR_EGENERAL) || APR_STATUS_IS_EOF(status) ||
                   status == ECONNRESET || status == EPIPE || status == ECONNABORTED
               ? PM_FAILURE_CLOSED
               : PM_FAILURE_UNKNOWN;
}

/* ---- what a thread has heard ---- */

typedef struct heard {
    _Atomic uintptr_t thread; /* 0 = free */
    _Atomic uint32_t failure;
    uint32_t pad;
} heard;

static heard memory[THREADS];
static _Atomic uint32_t taken;

static heard *look_for(uintptr_t thread, uintptr_t self)
{
    uint64_t from = ((uint64_t)self * 0x9e3779b97f4a7c15ull) >> 32;

    for (uint32_t i = 0; i < TRIES; i++) {
        heard *h = &memory[(from + i) % THREADS];

        if (atomic_load_explicit(&h->thread, memory_order_relaxed) == thread) {
            return h;
        }
    }
    return NULL;
}

/** A slot for this thread; NULL when there is no room. */
static heard *claim(uintptr_t self)
{
    heard *h = look_for(self, self);
    uintptr_t none = 0;

    if (h != NULL) {
        return h;
    }
    h = look_for(0, self);
    if (h == NULL || !atomic_compare_exchange_strong(&h->thread, &none, self)) {
        return NULL; /* what is not remembered is unknown */
    }
    atomic_store_explicit(&h->failure, PM_FAILURE_NONE, memory_order_relaxed);
    atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
    return h;
}

/** What this thread has heard last; forgotten with that. */
static uint32_t take(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    uint32_t failure = PM_FAILURE_NONE;
    heard *h;

    if (atomic_load_explicit(&taken, memory_order_relaxed) == 0 ||
        (h = look_for(self, self)) == NULL) {
        return failure;
    }
    failure = atomic_load_explicit(&h->failure, memory_order_relaxed);
    atomic_store_explicit(&h->thread, 0, memory_order_release);
    atomic_fetch_sub_explicit(&taken, 1, memory_order_relaxed);
    return failure;
}

void pm_backend_heard(unsigned number, apr_status_t status)
{
    enum says says = what_it_says(number);
    heard *h = says != SAYS_NOTHING ? claim((uintptr_t)pthread_self()) : NULL;

    if (h == NULL) {
        return;
    }
    /* A balancer tries one worker after another. That none is left to try is no news of the one that failed. */
    if (says != SAYS_NOT_TRIED ||
        atomic_load_explicit(&h->failure, memory_order_relaxed) == PM_FAILURE_NONE) {
        atomic_store_explicit(&h->failure, failure_of(says, status), memory_order_relaxed);
    }
}

/* ---- a request ---- */

void pm_backend_begin(const request_rec *r)
{
    if (r->handler != NULL && strncmp(r->handler, "proxy", 5) == 0) {
        take();
    }
}

/** The proxy passed the error on as the backend's own answer. Which the notes tell for HTTP; for others, that they had no
 *  trouble. */
static int is_answer(const request_rec *r, uint32_t trouble)
{
    const char *told = apr_table_get(r->notes, "proxy-status");

    if (told != NULL) {
        return atoi(told) == r->status;
    }
    return trouble == PM_FAILURE_NONE && r->filename != NULL &&
           strncmp(r->filename, "proxy:http", 10) != 0 && strncmp(r->filename, "proxy:h2", 8) != 0;
}

/** httpd has words for what it gives no number of its own. */
static uint32_t failure_by_notes(const request_rec *r, uint32_t trouble)
{
    const char *said = apr_table_get(r->notes, "error-notes");

    if (said != NULL && strstr(said, "DNS lookup failure") != NULL) {
        return PM_FAILURE_NOT_TRIED;
    }
    if (said != NULL && strstr(said, "SSL Handshake") != NULL) {
        return PM_FAILURE_UNKNOWN;
    }
    return trouble != PM_FAILURE_NONE ? trouble : PM_FAILURE_UNKNOWN;
}

/** mod_proxy is done with a request, whose status or error is `*status`. */
static int proxy_is_done(int *status, request_rec *r)
{
    uint32_t failure, trouble = take();

    if (*status == OK || *status == DONE) {
        if (r->status < 500) {
            return DECLINED;
        }
        failure = is_answer(r, trouble) ? PM_FAILURE_ANSWERED : failure_by_notes(r, trouble);
    }
    else if (apr_table_get(r->notes, "proxy-error-override") != NULL) {
        failure = PM_FAILURE_ANSWERED;
    }
    else if (apr_table_get(r->notes, "proxy_timedout") != NULL) {
        failure = PM_FAILURE_TIMEOUT;
    }
    else {
        failure = failure_by_notes(r, trouble);
    }
    apr_table_setn(r->notes, NOTE, pm_failure_key(failure));
    return DECLINED;
}

uint32_t pm_backend_failure(const request_rec *r)
{
    const char *key = apr_table_get(r->notes, NOTE);

    for (uint32_t f = PM_FAILURE_REFUSED; key != NULL && f < PM_FAILURES; f++) {
        if (key == pm_failure_key(f)) { /* our own string, set by nobody else */
            return f;
        }
    }
    return PM_FAILURE_NONE;
}

void pm_register_backend(void)
{
    APR_OPTIONAL_HOOK(proxy, request_status, proxy_is_done, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
