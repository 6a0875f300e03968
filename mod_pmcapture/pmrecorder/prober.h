/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober.h: a thread that looks at addresses from outside, many at one time, and at none for longer than it takes to
 * know.
 *
 * One round at a time: it is asked, it runs, and its results are taken. The tick never waits for it.
 */
#ifndef PM_PROBER_H
#define PM_PROBER_H

#include <sys/types.h>

#include "pm_certificate.h"
#include "pm_live.h"
#include "pm_probe.h"

/** What to look at. */
typedef struct pm_target {
    pm_listener listener;
    uint32_t tls;
    char name[PM_CERTIFICATE_NAME]; /* the virtual host to ask for; "" = none */
    char path[512];                 /* a certificate's file to be read as well; "" = none */
} pm_target;

typedef struct pm_target_seen {
    pm_sighting sighting;
    pm_certificate certificate; /* that it showed; not_after 0 = none */
    pm_certificate on_disk;     /* that the file holds */
} pm_target_seen;

/** Connections are marked there from now on; what goes on is given up, and its results are. NULL = nowhere: nothing is
 *  looked at. Returns when the region before is used no more. */
void pm_prober_use(pm_live *live);
/** Begin a round: 1; 0 when one goes on, or was not taken yet, or no thread can be had. `targets` is copied. */
int pm_prober_ask(const pm_target *targets, uint32_t count, const char *url);
/** The results of a round that is over, in the order of its targets: malloc, to be freed. NULL: it is not. */
pm_target_seen *pm_prober_take(uint32_t *count);

/* ---- prober_thread.c ---- */

/** Start one that leaves signals to the tick: 1, or 0. */
int pm_prober_thread(void *(*run_on)(void *unused));

/* ---- prober_tls.c: of the prober's thread alone ---- */

typedef struct pm_tls pm_tls;
enum pm_tls_step { PM_TLS_DONE, PM_TLS_READ, PM_TLS_WRITE, PM_TLS_FAILED };

/** A client's end over `fd`, without waiting; NULL without memory. */
pm_tls *pm_tls_begin(int fd, const char *name);
void pm_tls_end(pm_tls *t);
enum pm_tls_step pm_tls_handshake(pm_tls *t);
/** PM_TLS_DONE with what was read or written; *n 0 of a read: the end. */
enum pm_tls_step pm_tls_read(pm_tls *t, void *to, size_t room, size_t *n);
enum pm_tls_step pm_tls_write(pm_tls *t, const void *from, size_t len, size_t *n);
/** What the other side has shown. */
void pm_tls_certificate(const pm_tls *t, const char *name, pm_certificate *out);
/** It asked for a certificate of the client's, which a probe has not: no failure of the server's. */
int pm_tls_wants_client(const pm_tls *t);
/** Why it failed, in OpenSSL's words. */
void pm_tls_reason(const pm_tls *t, char out[120]);

#endif
