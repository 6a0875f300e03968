/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_probe.h: looking at httpd's listeners from outside, from the machine itself.
 *
 * The module hands over what httpd listens on (pm_listener, in the order of pm_live's doors). The recorder connects from
 * the listener's own address, or from loopback where it listens on all, completes a TLS handshake where it speaks TLS, and
 * asks `OPTIONS *`, or what PMCaptureProbe url= says.
 *
 * A probe counts for nothing. Before it connects, the recorder puts a hash of the address and port that it comes from into
 * the live region (pm_live_probe_mark), keyed with the region's key. A connection holds its port as long as it lives, so no
 * client has the same; and only one that comes from the very address that it asks is looked up there at all. The module
 * counts neither such a connection nor its requests, and keeps them out of mod_log_config's access logs. Other modules
 * learn of such a request's end as of any other's.
 */
#ifndef PM_PROBE_H
#define PM_PROBE_H

#include <stdint.h>

#define PM_LISTENERS_MAX 1024u
#define PM_PROBE_URL 256

/** PMCaptureProbe. */
enum pm_probe_mode { PM_PROBE_AUTO, PM_PROBE_OFF, PM_PROBE_EVERY };
typedef struct pm_probe_rule {
    uint32_t mode;
    uint32_t every; /* seconds, with PM_PROBE_EVERY */
    char url[PM_PROBE_URL]; /* "" = OPTIONS *; else http://host[:port]/path, of which host and path count */
} pm_probe_rule;

/** An address that httpd listens on. IPv4 is written as IPv6 does it, ::ffff:1.2.3.4. */
typedef struct pm_listener {
    uint8_t address[16];
    uint16_t port;
    uint8_t any;   /* all addresses */
    uint8_t v6;    /* its socket is one of IPv6 */
    uint8_t pad[4];
} pm_listener;
_Static_assert(sizeof(pm_listener) == 24, "handed over as it is");

/** "127.0.0.1:80", "[::1]:443", "0.0.0.0:80", and "*:80": all addresses, of IPv6 and IPv4. */
#define PM_LISTENER_NAME 56
const char *pm_listener_name(const pm_listener *l, char out[PM_LISTENER_NAME]);
/** The same address and port? All addresses of IPv4 are not all addresses. */
int pm_listener_same(const pm_listener *a, const pm_listener *b);

/** What came of a look. */
enum pm_sight {
    PM_REACH_UNKNOWN,  /* nobody could look */
    PM_REACH_ANSWERS,
    PM_REACH_PROXY,    /* it answers when a PROXY header comes first, and closes the connection without one */
    PM_REACH_REFUSED,  /* nobody listens there */
    PM_REACH_DROPPED,  /* no connection within PM_PROBE_PATIENCE_US: httpd's queue is full, or something drops it */
    PM_REACH_UNROUTED, /* the machine has no such address */
    PM_REACH_REJECTED, /* it has, and no way to it: a firewall rejects, not drops */
    PM_REACH_STUCK,    /* it accepts, and does not answer within PM_PROBE_PATIENCE_US */
    PM_REACH_CLOSED,   /* it accepts, and closes the connection without an answer */
    PM_REACH_TLS,      /* the TLS handshake fails */
    PM_REACHES
};
#define PM_PROBE_PATIENCE_US 5000000ull
const char *pm_reach_key(uint32_t reach);    /* "refused", as the document has it */
const char *pm_reach_phrase(uint32_t reach); /* "accepts, and does not answer", after a listener's name */
/** Is somebody who asks there served? */
static inline int pm_reach_is_good(uint32_t reach)
{
    return reach == PM_REACH_ANSWERS || reach == PM_REACH_PROXY;
}

/** What a look at one listener found. */
typedef struct pm_sighting {
    uint64_t at_us; /* when it was over, wall time; 0 = none yet */
    uint64_t took_us;
    uint32_t reach;   /* enum pm_sight */
    uint32_t status;  /* of the answer; 0 = none */
    char detail[120]; /* what TLS said, "" = nothing */
} pm_sighting;

#endif
