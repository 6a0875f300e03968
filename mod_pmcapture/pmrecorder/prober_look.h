/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober_look.h: one look of the prober's, a small machine of its own over a socket that never blocks.
 */
#ifndef PM_PROBER_LOOK_H
#define PM_PROBER_LOOK_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "prober.h"

typedef union pm_look_address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
} pm_look_address;

enum pm_look_stage { PM_FREE, PM_CONNECTING, PM_SHAKING, PM_ASKING, PM_READING };

typedef struct pm_prober_look {
    enum pm_look_stage stage;
    uint32_t mark; /* of its connection + 1, 0 = none */
    const pm_target *target;
    pm_target_seen *seen;
    const char *url;
    int fd;
    uint32_t tries, first; /* connections before this one, and what the first of them saw */
    int proxy, with_tls;   /* it begins with a PROXY header; it speaks TLS */
    int late;              /* it was given up, and httpd may still meet it */
    short wants;           /* as poll's events */
    pm_tls *tls;
    uint64_t begun_us; /* monotonic */
    pm_look_address to, from;
    size_t sent, length;
    char request[512 + PM_PROBE_URL];
} pm_prober_look;

/** Of its target, seen and url; when it is over already its stage is PM_FREE. */
void pm_look_begin(pm_prober_look *k);
/** Its socket is ready. */
void pm_look_step(pm_prober_look *k);
/** Has it taken too long? Then it is over. */
void pm_look_check_time(pm_prober_look *k, uint64_t now_us);
/** Nobody wants to know any more. */
void pm_look_give_up(pm_prober_look *k);

/* ---- prober_mark.c: which connections are probes, in the live region ---- */

/** From now on in this region; NULL = nowhere. Returns when the one before is used no more. */
void pm_marks_use(pm_live *live);
/** A number for pm_unmark. */
uint32_t pm_mark(const pm_look_address *from);
void pm_unmark(uint32_t mark);
/** Of connections that were given up so long ago that httpd must have met them. */
void pm_unmark_old(void);

#endif
