/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_hosts.h: which virtual host serves which requested Host, learnt from traffic.
 *
 * A table in the live region, keyed by a hash of Host and local port. A Host that the same virtual host has served
 * PM_HOST_SURE times is known; one that another virtual host serves under a newer configuration has moved, which is
 * told once. What two virtual hosts serve under one configuration (told apart by address) tells nothing.
 * Bounded: a Host that is not known yet makes room first, then one that no name matches; a scanner that
 * makes up Hosts displaces none that a name matches. Thread- and process-safe, without a lock; usually two loads.
 */
#ifndef PM_HOSTS_H
#define PM_HOSTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct pm_live;

#define PM_HOSTS 2048u
#define PM_HOSTS_WAYS 8u
#define PM_HOST_SURE 3u

typedef struct pm_host {
    _Atomic uint64_t id;    /* 0 = free */
    _Atomic uint64_t state; /* generation << 32 | times seen << 24 | PM_HOST_* << 16 | virtual host; 0 = not yet */
} pm_host;

typedef struct pm_hosts {
    _Alignas(64) pm_host entry[PM_HOSTS];
} pm_hosts;

#define PM_HOST_NAMED 1u     /* a ServerName or ServerAlias matches */
#define PM_HOST_AMBIGUOUS 2u /* two virtual hosts serve it under one configuration */

/** Never 0. `host` in lower case. */
uint64_t pm_hosts_id(const struct pm_live *live, const char *host, size_t len, uint32_t port);

/** 1 when it is served as it always was: nothing to do. */
int pm_hosts_usual(const struct pm_live *live, uint64_t id, uint32_t vhost, uint32_t generation);

enum pm_hosts_result {
    PM_HOSTS_LEARNT,
    PM_HOSTS_MOVED,   /* to the other virtual host */
    PM_HOSTS_UNNAMED, /* to a virtual host that answers because no name matches any more */
};

/** What pm_hosts_usual did not know. `named` tells whether a name of the virtual host matches; it is asked only when that
 *  matters. `hands`: the configuration since which this virtual host may be another one under the same number. `may_tell`: a move can be told now; if it can't, it is found again with the next request. With
 *  MOVED and UNNAMED, *from and *since are the virtual host and the configuration that served it before. */
enum pm_hosts_result pm_hosts_learn(const struct pm_live *live, uint64_t id, uint32_t vhost,
                                    uint32_t generation, uint32_t hands,
                                    int (*named)(void *ctx), int (*may_tell)(void *ctx), void *ctx,
                                    uint32_t *from, uint32_t *since);

#endif
