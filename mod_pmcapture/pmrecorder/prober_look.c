/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober_look.c: connect, a TLS handshake where there is TLS, a request, the beginning of an answer. Where a connection is
 * closed without an answer, others follow: behind a PROXY header, and with TLS.
 */
#include "prober_look.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pm_time.h"

/* ---- addresses ---- */

/** Where all addresses are listened on, loopback is one of them. */
static socklen_t address_of(const pm_listener *l, int v6, pm_look_address *to)
{
    memset(to, 0, sizeof(*to));
    if (v6) {
        to->in6.sin6_family = AF_INET6;
        to->in6.sin6_port = htons(l->port);
        if (l->any) {
            to->in6.sin6_addr = in6addr_loopback;
        }
        else {
            memcpy(&to->in6.sin6_addr, l->address, 16);
        }
        return sizeof(to->in6);
    }
    to->in.sin_family = AF_INET;
    to->in.sin_port = htons(l->port);
    if (l->any) {
        to->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    else {
        memcpy(&to->in.sin_addr, l->address + 12, 4);
    }
    return sizeof(to->in);
}

static in_port_t *port_of(pm_look_address *a)
{
    return a->any.sa_family == AF_INET ? &a->in.sin_port : &a->in6.sin6_port;
}

/** From the address that is asked; a port of our own, and not the one that is asked, or we would answer ourselves. */
static int bind_source(pm_prober_look *k, socklen_t size)
{
    k->from = k->to;
    *port_of(&k->from) = 0;
    if (bind(k->fd, &k->from.any, size) != 0 || getsockname(k->fd, &k->from.any, &size) != 0) {
        return 0;
    }
    errno = EADDRINUSE;
    return *port_of(&k->from) != *port_of(&k->to);
}

/* ---- one look ---- */

/** One that was given up may still be accepted, or read: it stays marked. */
static void end_connection(pm_prober_look *k)
{
    pm_tls_end(k->tls);
    k->tls = NULL;
    if (k->fd >= 0) {
        close(k->fd);
    }
    k->fd = -1;
    if (k->mark != 0 && !k->late) {
        pm_unmark(k->mark);
    }
    k->mark = 0;
    k->late = 0;
}

static void finish(pm_prober_look *k, uint32_t reach)
{
    const pm_target *t = k->target;
    pm_target_seen *seen = k->seen;

    seen->sighting.at_us = pm_time_now();
    seen->sighting.took_us = pm_time_monotonic() - k->begun_us;
    seen->sighting.reach = reach;
    if (k->tls != NULL) {
        pm_tls_certificate(k->tls, t->name, &seen->certificate);
    }
    end_connection(k);
    k->stage = PM_FREE;
}

/** Where all addresses are listened on, a machine without loopback can look at none. */
static uint32_t reach_of(const pm_prober_look *k, int error)
{
    int any = k->target->listener.any;

    switch (error) {
    case ECONNREFUSED:
        return PM_REACH_REFUSED;
    case EADDRNOTAVAIL:
        return any ? PM_REACH_UNKNOWN : PM_REACH_UNROUTED;
    case ENETUNREACH:
    case EHOSTUNREACH:
        return any ? PM_REACH_UNKNOWN : PM_REACH_REJECTED;
    case ETIMEDOUT:
        return PM_REACH_DROPPED;
    case ECONNRESET:
    case EPIPE:
        return PM_REACH_CLOSED;
    default:
        return PM_REACH_UNKNOWN; /* no descriptors, no memory, not allowed by the unit: nothing was seen */
    }
}

static int begin_connect(pm_prober_look *k, int v6)
{
    socklen_t size = address_of(&k->target->listener, v6, &k->to);

    end_connection(k);
    for (int tries = 0; tries < 3; tries++) {
        k->fd = socket(k->to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (k->fd < 0) {
            return 0;
        }
        if (bind_source(k, size)) {
            k->mark = pm_mark(&k->from);
            k->stage = PM_CONNECTING;
            k->wants = POLLOUT;
            return connect(k->fd, &k->to.any, size) == 0 || errno == EINPROGRESS;
        }
        if (errno != EADDRINUSE) {
            return 0;
        }
        close(k->fd);
        k->fd = -1;
    }
    errno = EAGAIN;
    return 0;
}

/** "http://host[:port]/path" in its two parts. */
static void split(const char *url, char host[PM_PROBE_URL], char path[PM_PROBE_URL])
{
    const char *at = strstr(url, "://") + 3;
    size_t len = strcspn(at, "/?#");

    snprintf(host, PM_PROBE_URL, "%.*s", (int)len, at);
    snprintf(path, PM_PROBE_URL, "%s%.*s", at[len] == '/' ? "" : "/", (int)strcspn(at + len, "#"),
             at + len);
}

static void write_request(pm_prober_look *k)
{
    const pm_target *t = k->target;
    char address[PM_LISTENER_NAME], host[PM_PROBE_URL], path[PM_PROBE_URL];
    pm_listener named = t->listener;

    if (k->url[0] != '\0') {
        split(k->url, host, path);
        k->length = (size_t)snprintf(
            k->request, sizeof(k->request),
            "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: pmrecorder\r\nConnection: close\r\n\r\n",
            path, host);
    }
    else {
        if (named.any) { /* as a client on this machine would name it */
            named.any = 0;
            memset(named.address, 0, 16);
            memcpy(named.address + 10, "\xff\xff\x7f\0\0\1", 6);
        }
        k->length = (size_t)snprintf(
            k->request, sizeof(k->request),
            "OPTIONS * HTTP/1.1\r\nHost: %s\r\nUser-Agent: pmrecorder\r\nConnection: close\r\n\r\n",
            t->name[0] != '\0' ? t->name : pm_listener_name(&named, address));
    }
    k->sent = 0;
}

static int send_proxy_header(const pm_prober_look *k)
{
    char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[160];
    int v6 = k->to.any.sa_family == AF_INET6, len;
    pm_look_address a = k->from, b = k->to;

    inet_ntop(v6 ? AF_INET6 : AF_INET,
              v6 ? (const void *)&k->from.in6.sin6_addr : (const void *)&k->from.in.sin_addr, from,
              sizeof(from));
    inet_ntop(v6 ? AF_INET6 : AF_INET,
              v6 ? (const void *)&k->to.in6.sin6_addr : (const void *)&k->to.in.sin_addr, to,
              sizeof(to));
    len = snprintf(line, sizeof(line), "PROXY TCP%d %s %s %u %u\r\n", v6 ? 6 : 4, from, to,
                   ntohs(*port_of(&a)), ntohs(*port_of(&b)));
    return send(k->fd, line, (size_t)len, MSG_NOSIGNAL) == len;
}

/** Closed without an answer: is one given behind a PROXY header? Or to TLS, of which the configuration need not have told,
 *  or to both? If not, what the first connection saw stands. */
static void closed(pm_prober_look *k)
{
    if (k->tries == 0) {
        k->first = k->stage == PM_SHAKING ? PM_REACH_TLS : PM_REACH_CLOSED;
    }
    k->tries++;
    k->proxy = k->tries % 2 == 1;
    k->with_tls = k->target->tls || k->tries >= 2;
    if (k->tries == (k->target->tls ? 2 : 4) ||
        !begin_connect(k, k->to.any.sa_family == AF_INET6)) {
        finish(k, k->first);
    }
}

static void connected(pm_prober_look *k)
{
    const pm_target *t = k->target;
    socklen_t size = sizeof(int);
    int error = 0;

    getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 && t->listener.any && k->to.any.sa_family == AF_INET6) {
        if (begin_connect(k, 0)) { /* a machine without IPv6 */
            return;
        }
        error = errno;
    }
    if (error != 0) {
        finish(k, k->tries ? k->first : reach_of(k, error));
        return;
    }
    if (k->proxy && !send_proxy_header(k)) {
        finish(k, k->first);
        return;
    }
    k->wants = POLLOUT;
    k->stage = PM_ASKING;
    write_request(k);
    if (k->with_tls) {
        k->tls = pm_tls_begin(k->fd, t->name);
        k->stage = PM_SHAKING;
        if (k->tls == NULL) {
            finish(k, PM_REACH_UNKNOWN);
        }
    }
}

/** 1: go on; else it waits, or is over. */
static int tls_step(pm_prober_look *k, enum pm_tls_step step)
{
    pm_target_seen *seen = k->seen;

    if (step == PM_TLS_READ || step == PM_TLS_WRITE) {
        k->wants = step == PM_TLS_READ ? POLLIN : POLLOUT;
        return 0;
    }
    if (step == PM_TLS_FAILED) {
        if (k->tries == 0) {
            pm_tls_reason(k->tls, seen->sighting.detail);
        }
        if (pm_tls_wants_client(k->tls)) {
            finish(k, PM_REACH_ANSWERS);
        }
        else {
            closed(k);
        }
        return 0;
    }
    return 1;
}

static void ask(pm_prober_look *k)
{
    size_t n = 0;
    ssize_t sent;

    if (k->tls != NULL) {
        if (!tls_step(k, pm_tls_write(k->tls, k->request + k->sent, k->length - k->sent, &n))) {
            return;
        }
    }
    else {
        sent = send(k->fd, k->request + k->sent, k->length - k->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            closed(k);
            return;
        }
        n = sent > 0 ? (size_t)sent : 0;
    }
    k->sent += n;
    if (k->sent == k->length) {
        k->stage = PM_READING;
        k->wants = POLLIN;
    }
}

/** Any word of it will do: what is not HTTP may be another protocol's greeting. */
static void read_answer(pm_prober_look *k)
{
    pm_target_seen *seen = k->seen;
    unsigned status = 0;
    char line[256];
    size_t n = 0;

    if (k->tls != NULL) {
        if (!tls_step(k, pm_tls_read(k->tls, line, sizeof(line) - 1, &n))) {
            return;
        }
    }
    else {
        ssize_t got = recv(k->fd, line, sizeof(line) - 1, 0);

        if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        n = got > 0 ? (size_t)got : 0;
    }
    if (n == 0) {
        closed(k);
        return;
    }
    line[n] = '\0';
    if (sscanf(line, "HTTP/%*u.%*u %3u", &status) == 1) {
        seen->sighting.status = status;
    }
    if (k->proxy && !k->with_tls && status == 400 && k->url[0] == '\0') {
        closed(k); /* the header was taken for a request */
        return;
    }
    finish(k, k->proxy ? PM_REACH_PROXY : PM_REACH_ANSWERS);
}

void pm_look_step(pm_prober_look *k)
{
    switch (k->stage) {
    case PM_CONNECTING:
        connected(k);
        break;
    case PM_SHAKING:
        if (tls_step(k, pm_tls_handshake(k->tls))) {
            k->stage = PM_ASKING;
            ask(k);
        }
        break;
    case PM_ASKING:
        ask(k);
        break;
    case PM_READING:
        read_answer(k);
        break;
    default:
        break;
    }
}

/** What it was about when time ran out. */
static void run_out(pm_prober_look *k)
{
    int handshake = k->stage == PM_SHAKING;

    k->late = 1;
    if (k->tries > 0) {
        closed(k);
        return;
    }
    if (handshake) {
        snprintf(k->seen->sighting.detail, 120, "the TLS handshake does not end");
    }
    finish(k, k->stage == PM_CONNECTING ? PM_REACH_DROPPED : PM_REACH_STUCK);
}

void pm_look_begin(pm_prober_look *k)
{
    const pm_listener *l = &k->target->listener;

    k->fd = -1;
    k->with_tls = k->target->tls != 0;
    k->begun_us = pm_time_monotonic();
    if (!begin_connect(k, l->v6) && (!l->any || !l->v6 || !begin_connect(k, 0))) {
        finish(k, reach_of(k, errno));
    }
}

void pm_look_check_time(pm_prober_look *k, uint64_t now_us)
{
    if (now_us > k->begun_us + PM_PROBE_PATIENCE_US * (uint64_t)(1 + k->tries)) {
        run_out(k);
    }
}

void pm_look_give_up(pm_prober_look *k)
{
    k->late = 1;
    finish(k, PM_REACH_STUCK);
}
