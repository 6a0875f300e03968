/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * serve.c: pages over HTTP: for httpd's handler, and on PMCaptureListen.
 *
 * One thread of libmicrohttpd for each listening socket, with few connections and little time for each. It reads what the
 * tick writes, from the same capture file and region; the lock is held while it does, so that a generation does not end
 * under it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <microhttpd.h>

#include "page.h"
#include "pmrecorder.h"

#define CONNECTIONS 64
#define SECONDS 10 /* that a connection may idle */
#define LISTENERS PM_LISTEN_MAX + 1
#define URI_MOST 8192

typedef struct listener {
    struct MHD_Daemon *daemon; /* NULL = none */
    dev_t dev;
    ino_t ino; /* of the socket */
} listener;

static listener listeners[LISTENERS];
static listener own[PM_LISTEN_MAX]; /* a service's */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pm_generation *served; /* under the lock; NULL = none */
static const char *alone;     /* a service's file; NULL = none */

/* ---- one request ---- */

static enum MHD_Result send_reply(struct MHD_Connection *c, const pm_reply *r)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(
        r->length, r->body != NULL ? (void *)r->body : (void *)"", MHD_RESPMEM_MUST_COPY);
    enum MHD_Result done;

    free(r->body);
    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", r->type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    done = MHD_queue_response(c, r->status, response);
    MHD_destroy_response(response);
    return done;
}

static enum MHD_Result refuse_method(struct MHD_Connection *c)
{
    static char sentence[] = "Only GET and HEAD are answered.\n";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(sizeof(sentence) - 1, sentence, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result done;

    if (response == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    MHD_add_response_header(response, "Allow", "GET, HEAD");
    done = MHD_queue_response(c, 405, response);
    MHD_destroy_response(response);
    return done;
}

/** Of a generation, by its descriptor: to close another one would give up the lease. */
static pm_capture *open_served(pm_source *source, apr_pool_t *pool, pm_error *err)
{
    pm_capture *capture = NULL;

    source->run_dir = "";
    source->trouble = served->block->trouble;
    source->live = &served->live;
    return pm_capture_open_fd(&capture, pm_capture_fd(served->capture),
                              pm_capture_path(served->capture), pool, err) == APR_SUCCESS
               ? capture
               : NULL;
}

/** Under the lock. As long as a service has no generation it has no lease, and reads the file by its name. */
static void answer(pm_reply *reply, const pm_question *asked, apr_pool_t *pool)
{
    pm_capture *capture = NULL;
    pm_source source = {.run_dir = NULL};
    pm_error err = {""};

    if (served != NULL && served->capture != NULL) {
        capture = open_served(&source, pool, &err);
    }
    else if (served == NULL && alone != NULL &&
             pm_capture_open(&capture, alone, pool, &err) != APR_SUCCESS) {
        capture = NULL;
    }
    if (capture == NULL && err.text[0] != '\0') {
        source.trouble = err.text;
    }
    pm_page_answer(reply, asked, capture, &source, pool);
    if (served == NULL && capture != NULL) {
        pm_capture_close(capture);
    }
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **per_request)
{
    pm_question asked = {.path = path, .query = *per_request};
    pm_reply reply;
    apr_pool_t *pool;

    (void)ctx;
    (void)version;
    (void)data;
    if (*size != 0) { /* a body, which nobody asked for */
        *size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return refuse_method(c);
    }
    if (apr_pool_create_unmanaged(&pool) != APR_SUCCESS) {
        return MHD_NO;
    }
    asked.accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
    pthread_mutex_lock(&lock);
    answer(&reply, &asked, pool);
    pthread_mutex_unlock(&lock);
    apr_pool_destroy(pool);
    return send_reply(c, &reply);
}

/** The query as it came: what is wrong with it is said in the format that it asks for. */
static void *on_uri(void *ctx, const char *uri, struct MHD_Connection *c)
{
    const char *query = strchr(uri, '?');

    (void)ctx;
    (void)c;
    return query != NULL ? strndup(query + 1, URI_MOST) : NULL;
}

static void on_end(void *ctx, struct MHD_Connection *c, void **per_request,
                   enum MHD_RequestTerminationCode how)
{
    (void)ctx;
    (void)c;
    (void)how;
    free(*per_request);
    *per_request = NULL;
}

/* ---- listening ---- */

static void stop(listener *l)
{
    if (l->daemon != NULL) {
        MHD_stop_daemon(l->daemon);
        l->daemon = NULL;
    }
}

/** Take over a listening socket. */
static void start(listener *l, int fd, const struct stat *st)
{
    sigset_t all, was;

    /* Signals are the tick's, but for that of a page which the live region has no more: a thread that blocks it is
     * killed by it. */
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &was);
    l->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC, 0, NULL, NULL, on_request,
        NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SECONDS, MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &was, NULL);
    l->dev = st->st_dev;
    l->ino = st->st_ino;
    if (l->daemon == NULL) {
        close(fd);
        pm_log(PM_CRITICAL, "The recorder cannot serve its pages: libmicrohttpd refused");
    }
}

static int is_served_by(const listener *l, const struct stat *st)
{
    return l->daemon != NULL && l->dev == st->st_dev && l->ino == st->st_ino;
}

static int is_own(const struct stat *st)
{
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (is_served_by(&own[i], st)) {
            return 1;
        }
    }
    return 0;
}

/** A socket that it serves already goes on; its further descriptor is closed. */
static void listen_on(listener *l, int fd)
{
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        stop(l);
        return;
    }
    if (is_served_by(l, &st)) {
        close(fd);
        return;
    }
    stop(l);
    if (is_own(&st)) {
        close(fd); /* it was offered to httpd, which has handed it back */
        return;
    }
    start(l, fd, &st);
}

void pm_serve(pm_generation *g)
{
    pthread_mutex_lock(&lock);
    served = g;
    pthread_mutex_unlock(&lock);
    if (g == NULL) {
        return;
    }
    for (int i = 0; i < LISTENERS; i++) {
        listen_on(&listeners[i], g->handed.fd[PM_FD_PAGES + i]);
        g->handed.fd[PM_FD_PAGES + i] = -1;
    }
}

void pm_serve_alone(const pm_service *service)
{
    struct stat st;

    alone = service->capture;
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        int fd = service->pages[i] >= 0 ? dup(service->pages[i]) : -1;

        if (fd >= 0 && fstat(fd, &st) == 0) {
            start(&own[i], fd, &st);
        }
    }
}
