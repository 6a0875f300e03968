/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * where.c: what a request was about: route, Host, backend, who asked. Runs for failures, and for all
 * requests of a virtual host that has an incident open.
 */
#include "module.h"

#include <ap_release.h>
#include <apr_strings.h>
#include <mod_proxy.h> /* what it holds; nothing of it is called */

#define SOCKETS_MAX 64 /* of one server; those beyond are told by their URL */

/* ---- backends ---- */

/** "http://app:8080" of "http://user:secret@app:8080/path", "fcgi://app:9000" likewise. */
static void name_of_url(char *out, size_t size, const char *url)
{
    const char *at = url, *end;
    size_t used;

    while (*at != '\0' && *at != ':' && at < url + 16) {
        at++;
    }
    if (strncmp(at, "://", 3) != 0) {
        return;
    }
    at += 3;
    used = pm_text_clean(out, size, url, (size_t)(at - url));
    for (end = at; *end != '\0' && *end != '/' && *end != '?' && *end != '#'; end++) {
        at = *end == '@' ? end + 1 : at; /* a password is no part of a name */
    }
    pm_text_clean(out + used, size - used, at, (size_t)(end - at));
}

/** ProxyPass "/app" "unix:/run/app.sock|http://localhost/": a request names the URL alone. */
typedef struct socket_worker {
    const char *url;
    const char *path; /* NULL = several sockets have that URL: which it was cannot be told */
} socket_worker;

static void add_socket(apr_pool_t *p, apr_array_header_t *list, const proxy_worker *worker)
{
    const char *path = worker->s != NULL ? worker->s->uds_path : "";

    if (path[0] == '\0' || list->nelts == SOCKETS_MAX) {
        return;
    }
    for (int i = 0; i < list->nelts; i++) {
        socket_worker *known = &APR_ARRAY_IDX(list, i, socket_worker);

        if (strcmp(known->url, worker->s->name_ex) == 0) {
            known->path = known->path != NULL && strcmp(known->path, path) == 0 ? path : NULL;
            return;
        }
    }
    APR_ARRAY_PUSH(list, socket_worker) =
        (socket_worker){apr_pstrdup(p, worker->s->name_ex), apr_pstrdup(p, path)};
}

/** mod_proxy's structures grow at their ends: those of an httpd that is older than the one we were built for are shorter
 *  than ours. */
static int knows_as_much(void)
{
    ap_version_t runs;

    ap_get_server_revision(&runs);
    return runs.major == AP_SERVER_MAJORVERSION_NUMBER &&
           runs.minor == AP_SERVER_MINORVERSION_NUMBER && runs.patch >= AP_SERVER_PATCHLEVEL_NUMBER;
}

/** By the array's own size of an element, which may be larger than ours. */
static const void *element(const apr_array_header_t *list, int i)
{
    return list->elts + (size_t)i * (size_t)list->elt_size;
}

void pm_where_learn_sockets(apr_pool_t *pconf, const server_rec *s)
{
    const module *proxy = knows_as_much() ? ap_find_linked_module("mod_proxy.c") : NULL;
    const proxy_server_conf *conf =
        proxy != NULL ? ap_get_module_config(s->module_config, proxy) : NULL;
    apr_array_header_t *list = apr_array_make(pconf, 4, sizeof(socket_worker));

    for (int i = 0; conf != NULL && i < conf->workers->nelts; i++) {
        add_socket(pconf, list, element(conf->workers, i));
    }
    for (int b = 0; conf != NULL && b < conf->balancers->nelts; b++) {
        const proxy_balancer *balancer = element(conf->balancers, b);

        for (int i = 0; i < balancer->workers->nelts; i++) {
            add_socket(pconf, list, APR_ARRAY_IDX(balancer->workers, i, const proxy_worker *));
        }
    }
    pm_conf_of(s)->sockets = list->nelts > 0 ? list : NULL;
}

/** The socket of the worker that a URL goes to: of the longest name, as mod_proxy has it. */
static const char *socket_of(const server_rec *s, const char *url)
{
    const apr_array_header_t *list = pm_conf_of(s)->sockets;
    const char *path = NULL;
    size_t longest = 0;

    for (int i = 0; list != NULL && i < list->nelts; i++) {
        const socket_worker *one = &APR_ARRAY_IDX(list, i, const socket_worker);
        size_t len = strlen(one->url);

        if (len > longest && strncmp(url, one->url, len) == 0) {
            longest = len;
            path = one->path;
        }
    }
    return path;
}

/** The request of a chain (a rewritten URI, an ErrorDocument) that went to a backend; NULL = none did. Of several, the
 *  first whose backend failed: an ErrorDocument's backend is not to blame. */
static const request_rec *proxied(const request_rec *r)
{
    const request_rec *found = NULL;

    for (; r != NULL; r = r->next) {
        if (apr_table_get(r->notes, "uds_path") != NULL ||
            (r->filename != NULL && strncmp(r->filename, "proxy:", 6) == 0)) {
            found = r;
            if (pm_backend_failure(r) != PM_FAILURE_NONE) {
                break;
            }
        }
    }
    return found;
}

static void fill_backend(pm_where *w, const request_rec *r, uint32_t status)
{
    const request_rec *asked = proxied(r);
    uint32_t failure = asked != NULL ? pm_backend_failure(asked) : PM_FAILURE_NONE;
    const char *worker, *uds;

    if (asked == NULL) {
        return;
    }
    if (failure == PM_FAILURE_NONE && status >= 500) {
        /* The proxy had no part in it: the request failed before it came there (its access check, say). Or after the
         * backend had answered well. */
        if (apr_table_get(asked->notes, "proxy-status") == NULL) {
            return;
        }
        failure = PM_FAILURE_UNKNOWN;
    }
    uds = apr_table_get(asked->notes, "uds_path");
    worker = apr_table_get(asked->subprocess_env, "BALANCER_WORKER_NAME");
    uds =
        uds != NULL ? uds : socket_of(asked->server, worker != NULL ? worker : asked->filename + 6);
    if (uds != NULL) {
        pm_text_clean(w->backend, sizeof(w->backend), uds, sizeof(w->backend));
    }
    else {
        name_of_url(w->backend, sizeof(w->backend), worker != NULL ? worker : asked->filename + 6);
    }
    w->failure = w->backend[0] != '\0' && status >= 500 ? failure : PM_FAILURE_NONE;
}

/** Mostly there is nothing to clean. */
static void copy_name(char *to, size_t size, const char *from)
{
    size_t n = 0;

    while (from[n] > ' ' && from[n] < 0x7F && from[n] != '%' && n < size) {
        n++;
    }
    if (from[n] != '\0' || n >= size) {
        pm_text_clean(to, size, from, 4 * size);
        return;
    }
    memcpy(to, from, n + 1);
}

void pm_where_fill(pm_where *w, const request_rec *r, uint32_t status)
{
    const char *uri = r->unparsed_uri != NULL ? r->unparsed_uri : r->uri;

    pm_route_fold(w->route, sizeof(w->route), uri, uri != NULL ? strlen(uri) : 0);
    copy_name(w->host, sizeof(w->host), r->hostname != NULL ? r->hostname : "(none)");
    /* Anybody may make up methods: those that httpd does not know are one. */
    copy_name(w->method, sizeof(w->method),
              r->method == NULL || r->method_number == M_INVALID ? "(unknown)" : r->method);
    w->backend[0] = '\0';
    w->failure = PM_FAILURE_NONE;
    fill_backend(w, r, status);
}

/* ---- who asks ---- */

/* Programs that look whether the server is well: that they see it well proves nothing. */
static const char *const monitors[] = {
    "health",    "kube-probe", "GoogleHC", "check_http", "Prometheus", "Blackbox",
    "HAProxy",   "Zabbix",     "Pingdom",  "Uptime",     "StatusCake", "Datadog",
    "monit/",    "Nagios",     "Icinga",   "Site24x7",   "Monitor",    "internal dummy connection",
    "pmrecorder"};
#define MONITORS (sizeof(monitors) / sizeof(monitors[0]))
#define HEAD 6u         /* the shortest name's length */
#define AGENT_MOST 256u /* of a user agent; they name themselves early */
#define PAIR(s)                                                                                    \
    (((s)[0] & 31u) << 5 |                                                                         \
     ((s)[1] & 31u)) /* of letters, in either case; others may look the same */

/* How far a window of HEAD characters that ends in a pair can move on: no name has it further to the right. */
static uint8_t skip[1024];

void pm_where_prepare(void)
{
    memset(skip, HEAD - 1, sizeof(skip));
    for (size_t i = 0; i < MONITORS; i++) {
        for (uint32_t at = 0; at + 2 <= HEAD; at++) {
            uint8_t *least = &skip[PAIR(monitors[i] + at)];

            *least = HEAD - 2 - at < *least ? (uint8_t)(HEAD - 2 - at) : *least;
        }
    }
}

static int begins_monitor(const char *agent)
{
    for (size_t i = 0; i < MONITORS; i++) {
        if (((agent[0] ^ monitors[i][0]) & 31) == 0 &&
            strncasecmp(agent, monitors[i], strlen(monitors[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

/** Most places in most user agents are none where a name could be: they are never looked at. */
static int names_monitor(const char *agent, size_t n)
{
    for (size_t at = 0; at + HEAD <= n;) {
        uint32_t on = skip[PAIR(agent + at + HEAD - 2)];

        if (on == 0 && begins_monitor(agent + at)) {
            return 1;
        }
        at += on != 0 ? on : 1;
    }
    return 0;
}

/* User agents of late, and what they are: a hash, of which the lowest bit is the verdict. Any thread may write. */
static _Atomic uint64_t verdicts[64];

int pm_is_monitor(const request_rec *r)
{
    const char *agent = apr_table_get(r->headers_in, "User-Agent");
    size_t n = agent != NULL ? strnlen(agent, AGENT_MOST) : 0;
    uint64_t hash = pm_live_hash(&pm.live, agent != NULL ? agent : "", n), seen;
    _Atomic uint64_t *verdict = &verdicts[hash >> 58];

    seen = atomic_load_explicit(verdict, memory_order_relaxed);
    if ((seen | 1) != (hash | 1)) {
        seen = (hash | 1) ^ (names_monitor(agent, n) ? 0u : 1u);
        atomic_store_explicit(verdict, seen, memory_order_relaxed);
    }
    return (int)(seen & 1);
}

/* ---- counting ---- */

static void count_text(enum pm_dimension d, const char *key, const pm_completed *done, int failed,
                       uint32_t failure)
{
    uint64_t group = pm_live_hash(&pm.live, key, strlen(key));
    /* What succeeds is told only of what fails, too. */
    uint32_t slot =
        failed ? pm_heavy_claim(&pm.live, d, done->vhost, group, key, NULL, done->arrival_us)
               : pm_heavy_find(&pm.live, d, done->vhost, group);

    pm_heavy_count(&pm.live, slot, failed, failure);
}

static void count_client(const request_rec *r, const pm_completed *done, int failed)
{
    const apr_sockaddr_t *addr = r->useragent_addr;
    uint32_t slot;
    char key[56];

    if (done->client == 0) {
        return; /* none is kept, or there is none */
    }
    slot = pm_heavy_find(&pm.live, PM_BY_CLIENT, done->vhost, done->client);
    if (slot == PM_HEAVY_ALL) {
        pm_text_client(key, sizeof(key), addr->ipaddr_ptr, (size_t)addr->ipaddr_len,
                       pm_config->clients, pm.live.key);
        slot = pm_heavy_claim(&pm.live, PM_BY_CLIENT, done->vhost, done->client, key, NULL,
                              done->arrival_us);
    }
    pm_heavy_count(&pm.live, slot, failed, PM_FAILURE_NONE);
}

static void count_agent(const request_rec *r, const pm_completed *done, int failed)
{
    const char *key = pm_is_monitor(r) ? PM_MONITORING : "others";
    uint64_t group = pm_live_hash(&pm.live, key, strlen(key));

    pm_heavy_count(
        &pm.live,
        pm_heavy_claim(&pm.live, PM_BY_AGENT, done->vhost, group, key, NULL, done->arrival_us),
        failed, PM_FAILURE_NONE);
}

void pm_where_count(const pm_where *w, const request_rec *r, const pm_completed *done, int failed,
                    uint32_t incident)
{
    count_text(PM_BY_ROUTE, w->route, done, failed, PM_FAILURE_NONE);
    count_text(PM_BY_HOST, w->host, done, failed, PM_FAILURE_NONE);
    count_text(PM_BY_METHOD, w->method, done, failed, PM_FAILURE_NONE);
    if (w->backend[0] != '\0') {
        count_text(PM_BY_BACKEND, w->backend, done, failed, w->failure);
    }
    count_client(r, done, failed);
    if (incident != 0) {
        count_agent(r, done, failed);
    }
}

/** For CustomLog: %{pm-incident}n, and env=pm-incident, which looks at the original request. */
void pm_where_mark(request_rec *r, uint32_t incident)
{
    const char *id = apr_itoa(r->pool, (int)incident);

    for (; r != NULL; r = r->next) {
        apr_table_setn(r->notes, "pm-incident", id);
        apr_table_setn(r->subprocess_env, "pm-incident", id);
    }
}
