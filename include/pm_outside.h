/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_outside.h: how httpd looks from outside: what the program sees for the tick, and what the tick wants to be looked at.
 *
 * The program's thread looks (pm_probe.h); between two ticks it puts what a round found here, and takes `wanted`. The
 * tick judges: events, and incidents of kind unreachable and silence. One thread uses it.
 */
#ifndef PM_OUTSIDE_H
#define PM_OUTSIDE_H

#include "pm_certificate.h"
#include "pm_probe.h"
#include "pm_record.h"

/** One address that httpd listens on. */
typedef struct pm_outside_listener {
    pm_listener listener;
    pm_listener ask;       /* where it is looked at: the same, but where TLS is spoken at one of its addresses alone */
    char where[PM_KEY];    /* "ports.conf:5"; "" = not known */
    uint32_t tls;          /* it is spoken there, as the configuration says; 0: perhaps all the same */
    uint32_t since;        /* generation + 1 that began to listen there; 0 = it was so before anybody looked */
    pm_sighting seen;      /* the newest */
    uint32_t good, bad;    /* looks in a row that were so */
    uint64_t bad_since_us; /* the first of the bad ones began */
    uint32_t told;         /* a probe.failed said so; over with the next good looks. 1: as a warning; 2: as an outage */
    uint32_t answered;     /* a look was, in an earlier generation or this one */
    uint32_t plain;        /* a look without a PROXY header was answered, in an earlier generation or this one */
    uint32_t proxy_since;  /* generation + 1 whose first look found a PROXY header to be expected, after plain ones; 0 */
    uint64_t proxy_us;     /* when that was loaded */
} pm_outside_listener;

/** Does what the last look found concern httpd's clients? An address that never answered, and is not there or cut off, may
 *  be another machine's today (a standby's), or closed on purpose. */
static inline int pm_outside_concerns(const pm_outside_listener *l)
{
    uint32_t reach = l->seen.reach;

    return l->answered || l->ask.any ||
           (reach != PM_REACH_UNROUTED && reach != PM_REACH_DROPPED && reach != PM_REACH_REJECTED);
}

/** One virtual host with TLS. */
typedef struct pm_outside_certificate {
    char vhost[PM_CERTIFICATE_NAME];/* its name on record */
    uint32_t scope;                 /* of its incidents */
    pm_listener listener;           /* where it is asked for */
    char name[PM_CERTIFICATE_NAME]; /* its ServerName; "" = none */
    char path[512];                 /* SSLCertificateFile; "" = not known */
    char where[PM_KEY];
    pm_certificate shown, on_disk; /* not_after_us 0 = not known */
    uint64_t seen_us;              /* wall time; 0 = not yet */
    uint32_t told;                 /* what has been said of it, by certificates.c */
    uint8_t print[32];             /* of which one */
    uint32_t reach;                /* enum pm_sight of the last look at it */
    uint32_t replaced;             /* the file is another one than what was loaded, by its identity alone */
    uint32_t valid;                /* a look has found it valid and for its name */
} pm_outside_certificate;

typedef struct pm_outside {
    uint32_t mode;           /* enum pm_probe_mode */
    uint32_t wanted;         /* by the tick: something is quiet or stuck inside */
    uint32_t fresh;          /* the listeners were looked at since the last tick */
    uint32_t fresh_certificates;
    uint32_t placed, pad;    /* 1: listeners and certificates are those of a configuration that was loaded */
    uint64_t round_us;       /* wall time at which the last round began */
    uint32_t count, certificates;
    char gone[(PM_LISTENER_NAME + 4) * 8];          /* what the last change took away: "127.0.0.9:80, *:81"; "" = nothing */
    uint32_t changed;         /* generation + 1 of that change; 0 = there was none */
    uint64_t changed_us;      /* when it was loaded */
    char proxy_where[PM_KEY]; /* where RemoteIPProxyProtocol stands; "" = nowhere */
    pm_outside_listener *listener;
    pm_outside_certificate *certificate;
} pm_outside;

#endif
