/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * connections.c: what httpd listens on, and connections that bring no request. A probe of the recorder's is told from a
 * client here (pm_probe.h).
 */
#include "module.h"

#include <ap_listen.h>
#include <http_connection.h>
#include <http_protocol.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/** The first of them have a door of their own. Of this generation, inherited by its workers. */
static pm_listener door[PM_DOORS - 1];
static uint32_t doors;

/** 0: it is no address of IP. */
static int write_address(uint8_t to[16], const apr_sockaddr_t *from)
{
    if (from == NULL || (from->ipaddr_len != 4 && from->ipaddr_len != 16)) {
        return 0;
    }
    memcpy(to, mapped, sizeof(mapped));
    memcpy(from->ipaddr_len == 4 ? to + sizeof(mapped) : to, from->ipaddr_ptr,
           (size_t)from->ipaddr_len);
    return 1;
}

static int is_any(const uint8_t address[16])
{
    static const uint8_t none[16];

    return memcmp(address, none, 16) == 0 ||
           (memcmp(address, mapped, sizeof(mapped)) == 0 && memcmp(address + 12, none, 4) == 0);
}

uint32_t pm_listeners_list(pm_listener *to, uint32_t room, uint32_t *more)
{
    uint32_t n = 0;

    *more = 0;
    for (const ap_listen_rec *l = ap_listeners; l != NULL; l = l->next) {
        pm_listener one = {.port = 0};

        if (!write_address(one.address, l->bind_addr)) {
            continue;
        }
        one.port = l->bind_addr->port;
        one.any = (uint8_t)is_any(one.address);
        one.v6 = l->bind_addr->ipaddr_len == 16;
        if (n < room) {
            to[n++] = one;
        }
        else {
            (*more)++;
        }
    }
    return n;
}

void pm_connections_prepare(void)
{
    uint32_t more;

    doors = pm_listeners_list(door, PM_DOORS - 1, &more);
}

/** Its number, 0 = none of its own. */
static uint32_t door_of(const conn_rec *c)
{
    uint8_t address[16];

    for (uint32_t i = 0; i < doors; i++) {
        if (door[i].port == c->local_addr->port &&
            (door[i].any || (write_address(address, c->local_addr) &&
                             memcmp(address, door[i].address, 16) == 0))) {
            return i + 1;
        }
    }
    return 0;
}

/** A proxy's connection to its backend is httpd's own, and has no place in the scoreboard. */
static int is_of_client(const conn_rec *c)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 116)
    return !c->outgoing;
#else
    return c->sbh != NULL;
#endif
}

/** A probe comes from the address that it asks. */
static int is_probe(const conn_rec *c)
{
    uint8_t from[16], to[16];

    return atomic_load_explicit(&pm.live.header->probing, memory_order_relaxed) != 0 &&
           write_address(from, c->client_addr) && write_address(to, c->local_addr) &&
           memcmp(from, to, 16) == 0 && pm_live_is_probe(&pm.live, from, c->client_addr->port);
}

void pm_connection_begins(const conn_rec *c, pm_conn *pc)
{
    pm_door_count *count;

    if (!is_of_client(c)) {
        return;
    }
    if (is_probe(c)) {
        pc->probe = 1;
        return;
    }
    count = &pm_live_doors(&pm.live, pm_live_stripe(&pm.live, (uint64_t)c->id))[door_of(c)];
    pm_live_add(&count->accepted, 1);
    atomic_store_explicit(&pc->door, count, memory_order_relaxed);
}

void pm_connection_brings(pm_conn *pc)
{
    pm_door_count *count = atomic_exchange_explicit(&pc->door, NULL, memory_order_relaxed);

    if (count != NULL) {
        pm_live_add(&count->brought, 1);
    }
}

/** Others free with this hook what they hold for a request: of them all, the access log alone is left out. It is called
 *  here in their stead, and ends with the first that fails, as httpd's own call does. */
int pm_probe_done(request_rec *r, ap_HOOK_log_transaction_t *own)
{
    const apr_array_header_t *all = ap_hook_get_log_transaction();
    int behind = 0, answer = DECLINED;

    for (int i = 0; i < all->nelts && (answer == OK || answer == DECLINED); i++) {
        const ap_LINK_log_transaction_t *link = &((ap_LINK_log_transaction_t *)all->elts)[i];

        if (link->pFunc == own) {
            behind = 1;
        }
        else if (behind && strcmp(link->szName, "mod_log_config.c") != 0) {
            answer = link->pFunc(r);
        }
    }
    return DONE; /* which ends httpd's call */
}
