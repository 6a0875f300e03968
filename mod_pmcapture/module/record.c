/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * record.c: requests. The good one's path is short: a slot when it arrives, a clock and a few adds when
 * it is done. The rest of this file runs for failures and slow requests alone.
 */
#include "watch.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_request.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include "pm_time.h"

#define PROMPT_US 100000u /* a first byte so early is not looked at closer */

static ap_filter_rec_t *sending_filter, *body_filter;

static pm_conn *conn_of(const conn_rec *c)
{
    return c->conn_config != NULL ? ap_get_module_config(c->conn_config, &pm_module) : NULL;
}

/** A request's own; NULL = it is not recorded. */
static pm_conn *record_of(const request_rec *r)
{
    return ap_get_module_config(r->request_config, &pm_module);
}

/* ---- whom a request waits for ---- */

static void set_state(pm_flight *flight, uint32_t state)
{
    atomic_store_explicit(&flight->state, state, memory_order_relaxed);
}

/** As ap_pass_brigade, which looks besides for the end of a request's own filters: none follow here. */
static inline apr_status_t pass(ap_filter_t *next, apr_bucket_brigade *bb)
{
    return next != NULL ? next->frec->filter_func.out_func(next, bb) : ap_pass_brigade(next, bb);
}

static __attribute__((noinline)) apr_status_t pass_working(ap_filter_t *f, apr_bucket_brigade *bb,
                                                           pm_conn *pc)
{
    apr_status_t rv = pass(f->next, bb);

    if (pc->flight != NULL) {
        set_state(pc->flight,
                  pc->r->status == HTTP_SWITCHING_PROTOCOLS ? PM_FLIGHT_TUNNEL : PM_FLIGHT_WORKING);
    }
    return rv;
}

static inline apr_status_t pass_sending(ap_filter_t *f, apr_bucket_brigade *bb, pm_conn *pc)
{
    const apr_bucket *last = APR_BRIGADE_LAST(bb);

    set_state(pc->flight, PM_FLIGHT_SENDING);
    /* An empty brigade's last bucket is its head, which has no type: ap_pass_brigade looks at it, too. With the end of
     * the reply, or of the request, the handler's work is done; what remains is sending. */
    if (APR_BUCKET_IS_EOS(last) || AP_BUCKET_IS_EOR(last)) {
        f->ctx = NULL;
        return pass(f->next, bb);
    }
    return pass_working(f, bb, pc);
}

/** As pass_sending, of a request whose first byte was long in coming: when did it? */
static __attribute__((noinline)) apr_status_t pass_late(ap_filter_t *f, apr_bucket_brigade *bb,
                                                        pm_conn *pc)
{
    pc->first_out_us = (uint64_t)apr_time_now();
    return pass_sending(f, bb, pc);
}

/** On the way out: while the client takes the reply it is not the server that is slow. A tunnel stays one. */
static apr_status_t watch_sending(ap_filter_t *f, apr_bucket_brigade *bb)
{
    pm_conn *pc = f->ctx;

    if (pc == NULL) {
        return pass(f->next, bb);
    }
    if (pc->first_out_us == 0) {
        uint64_t arrival = (uint64_t)pc->r->request_time;

        /* The recorder's heartbeat, a second old at most, tells whether it is worth a look at the clock. */
        if (atomic_load_explicit(&pm.live.header->heartbeat_us, memory_order_relaxed) >
            arrival + PROMPT_US) {
            return pass_late(f, bb, pc);
        }
        pc->first_out_us = arrival;
    }
    return pass_sending(f, bb, pc);
}

/** On the way in: while the client sends its body it is not the server that is slow. */
static apr_status_t watch_body(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                               apr_read_type_e block, apr_off_t readbytes)
{
    pm_conn *pc = f->ctx;
    uint64_t from = pm_time_monotonic();
    apr_status_t rv;

    if (pc->flight != NULL) {
        set_state(pc->flight, PM_FLIGHT_SENDING);
    }
    rv = ap_get_brigade(f->next, bb, mode, block, readbytes);
    if (pc->flight != NULL) {
        set_state(pc->flight, PM_FLIGHT_WORKING);
    }
    pc->waited_us += pm_time_monotonic() - from;
    return rv;
}

void pm_register_filters(void)
{
    sending_filter =
        ap_register_output_filter("PMCAPTURE_SENDING", watch_sending, NULL, AP_FTYPE_CONNECTION);
    body_filter = ap_register_input_filter("PMCAPTURE_BODY", watch_body, NULL, AP_FTYPE_PROTOCOL);
}

/** Of a stream of HTTP/2, which is a connection for one request: what ap_add_output_filter does, without its search for the
 *  place among a request's filters. */
static ap_filter_t *add_to_stream(conn_rec *c, ap_filter_t *f)
{
    ap_filter_t **at = &c->output_filters;

    f->frec = sending_filter;
    f->r = NULL;
    f->c = c;
    while (*at != NULL && (*at)->frec->ftype < AP_FTYPE_CONNECTION) {
        at = &(*at)->next;
    }
    f->next = *at;
    *at = f;
    return f;
}

static pm_conn *make_conn(const conn_rec *c, pm_conn *pc)
{
    pc->r = NULL;
    pc->flight = NULL;
    pc->more = NULL;
    atomic_init(&pc->door, NULL);
    pc->probe = 0;
    pc->place = &pc->own;
    pc->slot = &pm.live.flights[(uint64_t)c->id * 0x9e3779b1u >> 8 & (pm.live.geo.flights - 1)];
    pc->named = pm_live_named(&pm.live, pc->slot);
    pc->own.server = NULL;
    pc->streams.taken = PM_PLACE_FREE;
    return pc;
}

typedef struct stream {
    pm_conn conn;
    ap_filter_t filter;
} stream;

int pm_connection_opened(conn_rec *c, void *socket)
{
    pm_conn *pc;

    (void)socket;
    if (pm.live.header == NULL) {
        return DECLINED;
    }
    if (c->master != NULL) {
        stream *of = apr_palloc(c->pool, sizeof(*of));

        pc = make_conn(c, &of->conn);
        pc->sending = add_to_stream(c, &of->filter);
        pc->sending->ctx = NULL;
    }
    else {
        pc = make_conn(c, apr_palloc(c->pool, sizeof(*pc)));
        pc->sending = ap_add_output_filter_handle(sending_filter, NULL, NULL, c);
        pm_connection_begins(c, pc); /* streams of HTTP/2 are no connections */
    }
    ap_set_module_config(c->conn_config, &pm_module, pc);
    return OK;
}

/* ---- arrival ---- */

/** Servers last as long as the process. */
static void learn_server(pm_place *place, const conn_rec *c, const server_rec *server)
{
    const pm_server_conf *conf = pm_conf_of(server);
    uint32_t stripe = pm_live_stripe(&pm.live, (uint64_t)c->id);

    place->server = server;
    place->noted = UINT64_MAX;
    place->quick_us = 0;
    place->client = c->client_addr;
    place->stripe = pm_live_stripe_at(&pm.live, stripe);
    place->who = pm_flight_who(pm.child, conf->vhost);
    place->incident = &pm.live.vhosts[conf->vhost].incident;
    place->count = &pm_live_vhost_counts(&pm.live, stripe)[conf->vhost];
    place->hist = place->stripe->hist[pm_live_pool(&pm.live, conf->vhost)];
}

/** The streams of a connection run in many threads: the first one learns for all that ask the same server. */
static pm_place *shared_place(pm_conn *pc, const conn_rec *c, const server_rec *server)
{
    pm_conn *master = conn_of(c->master);
    uint32_t is = PM_PLACE_FREE;

    if (master == NULL) {
        return &pc->own;
    }
    if (atomic_compare_exchange_strong(&master->streams.taken, &is, PM_PLACE_BUSY)) {
        learn_server(&master->streams, c->master, server);
        atomic_store_explicit(&master->streams.taken, PM_PLACE_KNOWN, memory_order_release);
        is = PM_PLACE_KNOWN;
    }
    return is == PM_PLACE_KNOWN && master->streams.server == server ? &master->streams : &pc->own;
}

/** As shared_place finds it, most times. */
static inline void share_place(pm_conn *pc, const conn_rec *c, const server_rec *server)
{
    const pm_conn *master = conn_of(c->master);

    if (master != NULL &&
        atomic_load_explicit(&master->streams.taken, memory_order_acquire) == PM_PLACE_KNOWN &&
        master->streams.server == server) {
        pc->place = (pm_place *)&master->streams;
    }
}

static int has_body(const request_rec *r)
{
    return r->method_number == M_POST || r->method_number == M_PUT || r->method_number == M_PATCH;
}

static inline void begin(request_rec *r, pm_conn *pc, pm_flight *flight)
{
    pc->r = r;
    pc->flight = flight;
    pc->first_out_us = pc->waited_us = 0;
    ap_set_module_config(r->request_config, &pm_module, pc);
}

static void brings_request(const conn_rec *c, pm_conn *pc)
{
    pm_conn *whole = c->master != NULL ? conn_of(c->master) : pc;

    if (whole != NULL) {
        pm_connection_brings(whole);
    }
}

static __attribute__((noinline)) int begin_unrecorded(const request_rec *r, pm_conn *pc)
{
    brings_request(r->connection, pc);
    return DECLINED;
}

/** When requests are pipelined the next one arrives before the last one is done. */
static pm_conn *free_record(pm_conn *pc, const conn_rec *c)
{
    while (pc->r != NULL) {
        if (pc->more == NULL) {
            pc->more = make_conn(c, apr_palloc(c->pool, sizeof(*pc)));
            pc->more->sending = pc->sending;
        }
        pc = pc->more;
    }
    return pc;
}

/** Its slot is taken, or it is no GET, or its server another one than the last request's, or that is not done yet. */
static __attribute__((noinline)) int begin_unusual(request_rec *r, pm_conn *pc)
{
    const conn_rec *c = r->connection;
    uint32_t number = PM_NO_FLIGHT;
    pm_flight *flight;
    int placed = pm_process_has_place();

    brings_request(c, pc);
    if (pc->probe) {
        return DECLINED;
    }
    pc = free_record(pc, c);
    if (placed) {
        number = pm_live_arrived(&pm.live, (uint32_t)(pc->slot - pm.live.flights),
                                 (uint64_t)r->request_time, pm.child, pm_conf_of(r->server)->vhost);
    }
    flight = number != PM_NO_FLIGHT ? &pm.live.flights[number] : NULL;
    if (placed && pc->place->server != r->server) {
        pc->place = c->master != NULL ? shared_place(pc, c, r->server) : &pc->own;
        if (pc->place == &pc->own) {
            learn_server(pc->place, c, r->server);
        }
    }
    begin(r, pc, flight);
    if (flight != NULL && r->uri != NULL) {
        pm_live_name(pm_live_named(&pm.live, flight), (uint64_t)r->request_time, r->uri);
    }
    if (has_body(r)) {
        ap_add_input_filter_handle(body_filter, pc, r, r->connection);
    }
    if (flight != NULL && r->method_number == M_CONNECT) {
        set_state(flight, PM_FLIGHT_TUNNEL); /* it stays one */
    }
    else if (flight != NULL) {
        pc->sending->ctx = pc;
    }
    return DECLINED;
}

int pm_request_arrived(request_rec *r)
{
    const conn_rec *c = r->connection;
    pm_conn *pc = conn_of(c);
    pm_flight *slot;

    /* The hook runs again for an internal redirect: the request is the first one's. */
    if (pc == NULL || r->prev != NULL) {
        return DECLINED;
    }
    if (!pm_is_recorded(r)) {
        return begin_unrecorded(r, pc);
    }
    if (c->master != NULL) {
        share_place(pc, c, r->server);
    }
    slot = pc->slot;
    if (r->method_number != M_GET || pc->place->server != r->server || pc->r != NULL ||
        r->uri == NULL || !pm_flight_take(slot, (uint64_t)r->request_time, pc->place->who)) {
        return begin_unusual(r, pc);
    }
    begin(r, pc, slot);
    pc->sending->ctx = pc;
    pm_live_name(pc->named, (uint64_t)r->request_time, r->uri);
    return DECLINED;
}

static inline void leave(const request_rec *r, pm_conn *pc)
{
    if (pc->flight != NULL) {
        pm_flight_leave(pc->flight, (uint64_t)r->request_time);
    }
    if (pc->sending->ctx == pc) { /* its reply had no end */
        pc->sending->ctx = NULL;
    }
    pc->r = NULL;
    pc->flight = NULL;
}

/** It was taken for one that counts when it arrived: those that do not leave the table. */
void pm_request_excluded(request_rec *r)
{
    pm_conn *pc = record_of(r);

    if (r->prev == NULL && r->main == NULL && pc != NULL) {
        leave(r, pc);
        ap_set_module_config(r->request_config, &pm_module, NULL);
    }
}

/* ---- completion: failures and slow ones ---- */

/** How long the kernel had something for the client that it would not take, over the connection's life: of that,
 *  only what came after this request's first byte can be its own. */
static uint64_t client_was_busy(const conn_rec *c)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);
    apr_socket_t *socket = ap_get_conn_socket((conn_rec *)(c->master != NULL ? c->master : c));
    apr_os_sock_t fd;

    if (socket == NULL || apr_os_sock_get(&fd, socket) != APR_SUCCESS ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < offsetof(struct tcp_info, tcpi_busy_time) + sizeof(info.tcpi_busy_time)) {
        return 0;
    }
    return info.tcpi_busy_time;
}

/** Longer than the threshold, and neither a tunnel nor a client that sent or took its time? */
static __attribute__((noinline)) int is_slow(const request_rec *r, const request_rec *final,
                                             uint64_t took_us, uint64_t threshold_us)
{
    const pm_conn *pc = record_of(r);
    uint64_t client_us = 0, busy_us, sending_us = took_us;

    if (final->status == HTTP_SWITCHING_PROTOCOLS || r->method_number == M_CONNECT ||
        final->status == HTTP_REQUEST_TIME_OUT) {
        return 0;
    }
    if (pc != NULL) {
        client_us = pc->waited_us;
        sending_us = (uint64_t)r->request_time + took_us - pc->first_out_us;
        sending_us = pc->first_out_us == 0 || sending_us > took_us ? took_us : sending_us;
    }
    busy_us = client_was_busy(r->connection);
    client_us += busy_us < sending_us ? busy_us : sending_us;
    return took_us > client_us && took_us - client_us > threshold_us;
}

/** A route in which nothing was folded or left out is the path as it may be kept, too. */
static void fill_uri(pm_live_sample *to, const char *uri, const char *route)
{
    _Static_assert(sizeof(to->uri) >= PM_ROUTE_SIZE, "room for a route");

    if (uri[0] == '/' && !pm_config->query && strpbrk(route, "{\xE2") == NULL) {
        memcpy(to->uri, route, strlen(route) + 1);
        return;
    }
    pm_route_mask(to->uri, sizeof(to->uri), uri, strlen(uri), pm_config->query);
}

static void fill_sample(pm_live_sample *to, const request_rec *r, const pm_where *where)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    const char *id = apr_table_get(r->subprocess_env, "UNIQUE_ID");
    const char *uri = r->unparsed_uri != NULL ? r->unparsed_uri : "";
    apr_sockaddr_t *addr = r->useragent_addr;

    pm_text_clean(to->method, sizeof(to->method), r->method != NULL ? r->method : "", 16);
    fill_uri(to, uri, where->route);
    host = host != NULL ? host : r->hostname;
    if (host != NULL) {
        pm_text_clean(to->host, sizeof(to->host), host, sizeof(to->host));
    }
    /* To its end and no further: what lies behind it is another request's. */
    apr_cpystrn(to->backend, where->backend, sizeof(to->backend));
    to->failure = where->failure;
    if (addr != NULL) {
        pm_text_client(to->client, sizeof(to->client), addr->ipaddr_ptr, (size_t)addr->ipaddr_len,
                       pm_config->clients, pm.live.key);
    }
    id = id != NULL ? id : r->log_id != NULL ? r->log_id : r->connection->log_id;
    if (id != NULL) {
        pm_text_clean(to->request_id, sizeof(to->request_id), id, sizeof(to->request_id));
    }
}

/** mod_http2 ends a stream when its client does, and likewise when its reply is sent. */
static uint32_t client_gone(const conn_rec *c)
{
    if (!c->aborted) {
        return 0;
    }
    return c->master == NULL || c->master->aborted ? PM_SAMPLE_ABORTED : PM_SAMPLE_MAYBE_ABORTED;
}

/** Hand a request over whole. Apart: the others need not clear so much memory. */
static __attribute__((noinline)) void sample(const request_rec *r, const request_rec *final,
                                             const pm_where *where, const pm_completed *done,
                                             int failed)
{
    pm_live_sample s = {0};

    s.at_us = done->arrival_us;
    s.latency_us = done->done_us - done->arrival_us;
    s.status = done->status;
    s.vhost = done->vhost;
    s.flags = client_gone(r->connection) | (failed ? 0u : PM_SAMPLE_SLOW) |
              (pm_answered_itself(r) ? PM_SAMPLE_BY_HTTPD : 0u);
    fill_sample(&s, r, where);
    pm_ring_write(&pm.live.samples, &s);
    pm_htaccess_failed(r, final);
}

/* ---- completion ---- */

static uint64_t client_hash(const request_rec *r)
{
    const apr_sockaddr_t *addr = r->useragent_addr;

    /* A Unix socket's client has no address to tell it by; APR gives its path as one. */
    if (pm_config->clients == PM_CLIENTS_OFF || addr == NULL || addr->ipaddr_ptr == NULL ||
        (addr->ipaddr_len != 4 && addr->ipaddr_len != 16)) {
        return 0;
    }
    return pm_live_hash(&pm.live, addr->ipaddr_ptr, (size_t)addr->ipaddr_len);
}

/** Failures, slow requests, and all while there is an incident. Before the request is counted: then what is
 *  counted is in the breakdown. Apart from the good ones' path, which should not pay for its frame. */
__attribute__((noinline)) static void look_closer(request_rec *r, const request_rec *final,
                                                  const pm_completed *done, int failed,
                                                  uint32_t incident)
{
    pm_where where;

    pm_where_fill(&where, r, done->status);
    if (failed || incident != 0) {
        pm_where_count(&where, r, done, failed, incident);
    }
    if ((failed || done->slow) && pm_live_sample_room(&pm.live)) {
        sample(r, final, &where, done, failed);
    }
    if (incident != 0) {
        pm_where_mark(r, incident);
    }
}

/** The rest of this second's requests of that client may be usual ones. */
static void note_usual(pm_place *place, const pm_server_conf *conf)
{
    uint64_t longest = atomic_load_explicit(&place->stripe->max_us, memory_order_relaxed);

    atomic_store_explicit(&place->quick_us,
                          longest < conf->slow.threshold_us ? longest : conf->slow.threshold_us,
                          memory_order_relaxed);
    atomic_store_explicit(&place->noted, pm_live_epoch(&pm.live), memory_order_relaxed);
}

/** What is to be said of a request beyond counting it, and the count. */
static void count_unusual(request_rec *r, const request_rec *final, pm_conn *pc, pm_completed *done)
{
    const pm_server_conf *conf = pm_conf_of(r->server);
    enum pm_outcome outcome = pm_outcome_of(done->status);
    int failed = pm_live_fails(&pm.live.vhosts[done->vhost], outcome);
    uint32_t incident;

    done->client = client_hash(r);
    if (conf->slow.on && done->done_us - done->arrival_us > conf->slow.threshold_us) {
        done->slow =
            (uint32_t)is_slow(r, final, done->done_us - done->arrival_us, conf->slow.threshold_us);
    }
    if (done->client != 0 &&
        (outcome == PM_FAILED || pm_live_wants_client(&pm.live, done->vhost, done->client))) {
        done->monitor = (uint32_t)pm_is_monitor(r);
    }
    pm_where_check_host(r, done->vhost);
    incident = atomic_load_explicit(&pm.live.vhosts[done->vhost].incident, memory_order_relaxed);
    if (failed || done->slow || incident != 0) {
        look_closer(r, final, done, failed, incident);
    }
    /* mod_remoteip gives a request another client than its connection's. */
    if (outcome == PM_SERVED && pc != NULL && pc->place->server == r->server &&
        r->useragent_addr == pc->place->client) {
        note_usual(pc->place, conf);
    }
    pm_live_count(&pm.live, done);
}

static int is_of_probe(const request_rec *r)
{
    const pm_conn *pc = conn_of(r->connection);

    return pc != NULL && pc->probe;
}

static __attribute__((noinline)) int done_unusual(request_rec *r, pm_conn *pc, uint64_t now)
{
    const request_rec *final = r;
    pm_completed done = {.done_us = now,
                         .vhost = pm_conf_of(r->server)->vhost,
                         .stripe = pm_live_stripe(&pm.live, (uint64_t)r->connection->id)};

    if (pm.live.header == NULL) {
        return DECLINED;
    }
    if (is_of_probe(r)) {
        return pm_probe_done(r, pm_request_done);
    }
    while (final->next != NULL) { /* an ErrorDocument's, a rewritten URI's reply */
        final = final->next;
    }
    /* Wall clocks are set back: then the request took no time rather than an age. */
    done.arrival_us =
        r->request_time > 0 && (uint64_t)r->request_time < now ? (uint64_t)r->request_time : now;
    done.status = (uint32_t) final->status;
    /* As %B of the access log: the reply to a HEAD has a length, and no bytes were sent. */
    done.bytes = final->sent_bodyct && final->bytes_sent > 0 ? (uint64_t) final->bytes_sent : 0;
    count_unusual(r, final, pc, &done);
    if (pc != NULL) {
        leave(r, pc);
    }
    return DECLINED;
}

static __attribute__((noinline)) int done_unrecorded(request_rec *r)
{
    pm_conn *pc = record_of(r);

    if (pc != NULL) {
        leave(r, pc);
    }
    return is_of_probe(r) ? pm_probe_done(r, pm_request_done) : DECLINED;
}

/** A good, quick reply to a client that was seen in this second and virtual host already, and no incident: there is
 *  nothing to it but the count. */
static inline int is_usual(const request_rec *r, const request_rec *final, const pm_place *place,
                           uint64_t took_us)
{
    return place->server == r->server &&
           atomic_load_explicit(&place->noted, memory_order_relaxed) == pm_live_epoch(&pm.live) &&
           pm_status_serves((uint32_t) final->status) &&
           took_us <= atomic_load_explicit(&place->quick_us, memory_order_relaxed) &&
           r->useragent_addr == place->client &&
           atomic_load_explicit(place->incident, memory_order_relaxed) == 0;
}

/** The clock is read before anything is looked up: what is in a register then would have to be saved. */
int pm_request_done(request_rec *r)
{
    const request_rec *final = r;
    const pm_place *place;
    uint64_t now, took;
    pm_conn *pc;

    if (!pm_is_recorded(r)) {
        return done_unrecorded(r);
    }
    now = (uint64_t)apr_time_now();
    took = now - (uint64_t)r->request_time;
    pc = record_of(r);
    while (final->next != NULL) { /* an ErrorDocument's, a rewritten URI's reply */
        final = final->next;
    }
    if (pc == NULL || !is_usual(r, final, pc->place, took)) {
        return done_unusual(r, pc, now);
    }
    place = pc->place;
    /* A reply to a HEAD, a 204 and a 304 may have had a body that was not sent. */
    pm_live_count_usual(place->stripe, place->hist, place->count, (uint32_t) final->status,
                        final->sent_bodyct ? (uint64_t) final->bytes_sent : 0, took);
    leave(r, pc);
    return DECLINED;
}
