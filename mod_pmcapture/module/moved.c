/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * moved.c: whether a request's Host is served by whom it always was, with every request; and what to say when it is not.
 */
#include "module.h"

#include <apr_network_io.h>
#include <apr_strings.h>
#include <http_main.h>
#include <unistd.h>

#include "pm_json.h"

static int matches_one(const char *host, const apr_array_header_t *names, int wild)
{
    for (int i = 0; names != NULL && i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);

        if (name != NULL &&
            (wild ? ap_strcasecmp_match(host, name) : strcasecmp(host, name)) == 0) {
            return 1;
        }
    }
    return 0;
}

static int has_name(const server_rec *s, const char *host)
{
    return (s->server_hostname != NULL && strcasecmp(host, s->server_hostname) == 0) ||
           matches_one(host, s->names, 0) || matches_one(host, s->wild_names, 1);
}

/** Does a ServerName or ServerAlias match the Host, or does the server answer because none does? */
static int is_named(void *ctx)
{
    const request_rec *r = ctx;

    return has_name(r->server, r->hostname);
}

/** Another server that has the Host's name, though the request did not come to it: by preference the one with the number
 *  `from`, which served it before. NULL = none has. */
static const server_rec *named_elsewhere(const request_rec *r, uint32_t from)
{
    const server_rec *found = NULL;

    for (const server_rec *s = ap_server_conf; s != NULL; s = s->next) {
        if (s != r->server && has_name(s, r->hostname) &&
            (found == NULL || pm_conf_of(s)->vhost == from)) {
            found = s;
        }
    }
    return found;
}

/** How a virtual host is found by the address that a connection came to. */
enum by_address { BY_NONE, BY_ANY, BY_ITS_OWN };

static enum by_address by_address(const server_rec *s, const apr_sockaddr_t *local)
{
    enum by_address found = BY_NONE;

    for (const server_addr_rec *a = s->addrs; a != NULL; a = a->next) {
        if (a->host_addr == NULL || (a->host_port != 0 && a->host_port != local->port)) {
            continue;
        }
        if (apr_sockaddr_is_wildcard(a->host_addr)) {
            found = found == BY_NONE ? BY_ANY : found;
        }
        else if (apr_sockaddr_equal(a->host_addr, local)) {
            found = BY_ITS_OWN;
        }
    }
    return found;
}

static int may_tell(void *ctx)
{
    (void)ctx;
    return pm_live_note_room(&pm.live, PM_NOTE_MOVED);
}

/** A virtual host's name and place, from memory that others may write to. */
typedef struct place {
    char name[PM_KEY], defined[PM_KEY];
} place;

static place place_of(uint32_t vhost, uint32_t generation)
{
    const pm_vhost_live *vh = &pm.live.vhosts[vhost < pm.live.geo.vhosts ? vhost : 0];
    int was = generation < vh->changed && vh->was_name[0] != '\0';
    place p = {"", ""};

    pm_text_clean(p.name, sizeof(p.name), was ? vh->was_name : vh->name, PM_KEY);
    pm_text_clean(p.defined, sizeof(p.defined), was ? vh->was_defined : vh->defined, PM_KEY);
    return p;
}

static void put_place(pm_draft *d, const char *key, const place *p)
{
    pm_json *j;

    if (p == NULL) {
        pm_draft_null(d, key);
        return;
    }
    j = pm_draft_value(d, key);
    pm_json_object(j);
    pm_json_key(j, "vhost");
    pm_json_string(j, p->name);
    pm_json_key(j, "defined");
    pm_json_string(j, p->defined[0] != '\0' ? p->defined : NULL);
    pm_json_object_end(j);
}

/** Who served the Host, who does now, and who has its name though it does not. */
typedef struct move {
    const request_rec *r;
    char host[96];
    place from, to;
    int named;             /* the one that serves it now has the name */
    const server_rec *has; /* another one has it; NULL = none */
} move;

/** "; b.test:80 (FILE:LINE) still has that name". */
static void say_who_has_it(const move *m, char *out, size_t size)
{
    place has = place_of(pm_conf_of(m->has)->vhost, pm.generation);

    apr_snprintf(out, size, "; %s (%s) %s that name", has.name, has.defined,
                 strcmp(has.name, m->from.name) == 0 ? "still has" : "has");
}

/** ", whose address is more specific: 127.0.0.1:80"; "" when that is not why. */
static void say_why(const move *m, char *out, size_t size)
{
    const apr_sockaddr_t *local = m->r->connection->local_addr;
    const char *ip = m->r->connection->local_ip;

    out[0] = '\0';
    if (ip != NULL && by_address(m->r->server, local) == BY_ITS_OWN &&
        by_address(m->has, local) == BY_ANY) {
        apr_snprintf(out, size,
                     strchr(ip, ':') != NULL ? ", whose address is more specific: [%s]:%u"
                                             : ", whose address is more specific: %s:%u",
                     ip, (unsigned)local->port);
    }
}

/** The reason is told where it is known: no name matches any more, or another address comes first. */
static void say_moved(const move *m, char *out, size_t size)
{
    char why[128] = "", has[2 * PM_KEY + 64] = "";

    if (!m->named && m->has == NULL) {
        apr_snprintf(out, size,
                     "No ServerName or ServerAlias matches %s any more: it was served by %s "
                     "(%s), now %s (%s) answers because it is the default",
                     m->host, m->from.name, m->from.defined, m->to.name, m->to.defined);
        return;
    }
    if (!m->named) {
        say_why(m, why, sizeof(why));
        say_who_has_it(m, has, sizeof(has));
    }
    if (strcmp(m->from.name, m->to.name) == 0 && strcmp(m->from.defined, m->to.defined) == 0) {
        apr_snprintf(out, size, "%s (%s) lost the name %s with the reload, and still serves it%s%s",
                     m->to.name, m->to.defined, m->host, why, has);
        return;
    }
    apr_snprintf(out, size,
                 "Requests for %s, served by %s (%s) before the reload, now go to %s (%s)%s%s",
                 m->host, m->from.name, m->from.defined, m->to.name, m->to.defined, why, has);
}

static void fill_moved(pm_live_note *note, const move *m)
{
    char text[6 * PM_KEY + 512];
    pm_draft d;

    pm_draft_begin(&d, PM_EV_ROUTE_MOVED, (uint64_t)m->r->request_time);
    pm_draft_text(&d, "host", m->host);
    put_place(&d, "from", &m->from);
    put_place(&d, "to", m->named || m->has != NULL ? &m->to : NULL);
    say_moved(m, text, sizeof(text));
    pm_live_note_fill(note, pm_draft_end(&d, "%s", text));
}

static void tell_moved(const request_rec *r, uint32_t from, uint32_t since, uint32_t to, int named)
{
    move m = {.r = r,
              .from = place_of(from, since),
              .to = place_of(to, pm.generation),
              .named = named,
              .has = named ? NULL : named_elsewhere(r, from)};
    pm_live_note note;

    pm_text_clean(m.host, sizeof(m.host), r->hostname, 4 * sizeof(m.host));
    fill_moved(&note, &m);
    pm_ring_write(&pm.live.journal, &note);
}

/** Apart, so that a Host that is served as ever does not pay for the frame. */
static __attribute__((noinline)) void learn_host(request_rec *r, uint32_t vhost, uint64_t id)
{
    uint32_t from, since;
    enum pm_hosts_result found =
        pm_hosts_learn(&pm.live, id, vhost, pm.generation, pm.live.vhosts[vhost].hands, is_named,
                       may_tell, r, &from, &since);

    if (found != PM_HOSTS_LEARNT) {
        tell_moved(r, from, since, vhost, found == PM_HOSTS_MOVED);
    }
}

void pm_where_check_host(request_rec *r, uint32_t vhost)
{
    uint64_t id;

    if (vhost == 0 || r->hostname == NULL || r->connection->local_addr == NULL) {
        return;
    }
    id = pm_hosts_id(&pm.live, r->hostname, strlen(r->hostname), r->connection->local_addr->port);
    if (!pm_hosts_usual(&pm.live, id, vhost, pm.generation)) {
        learn_host(r, vhost, id);
    }
}
