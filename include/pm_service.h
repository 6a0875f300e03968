/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_service.h: the recorder as a service of its own, and how httpd's parent finds it.
 *
 * The service listens on a Unix socket of type SOCK_SEQPACKET, its control socket. Who connects is greeted with one
 * message: what is recorded here, for whom, by which release; or a sentence that refuses. The kernel tells both sides who
 * the other one is: the service hands out its listening sockets to, and takes a configuration (pm_handover.h) from, root
 * and the server's own user alone; httpd hands over what it has to root's, pmcapture's or its own user's service alone.
 *
 * A greeting is foreign bytes: of fixed size, its strings end when it was received. Nothing here blocks.
 */
#ifndef PM_SERVICE_H
#define PM_SERVICE_H

#include <sys/types.h>

#include "pm_error.h"
#include "pm_listen.h"

#define PM_SERVICE_SOCKET "/run/pmcapture/control"
#define PM_SERVICE_USER "pmcapture"
#define PM_GREETING_VERSION 1u
#define PM_OFFERS (2 * PM_LISTEN_MAX) /* of its own, and those that the last httpd has left */

typedef struct pm_greeting {
    uint32_t magic, version;
    uint32_t httpd; /* pid of the parent that it records now; 0 = none */
    uint32_t pad;
    char release[16];
    char capture[512]; /* the file that it is for */
    char refusal[256]; /* "" = a configuration is welcome */
} pm_greeting;
_Static_assert(sizeof(pm_greeting) == 16 + 16 + 512 + 256, "both sides are of one layout");

/** Memory is zero but for what the caller has filled in; offers are -1 where there is none. 0 when it cannot be sent at
 *  once. */
int pm_greeting_send(int socket, pm_greeting *greeting, const int offers[PM_OFFERS]);
/** APR_EAGAIN none is there, APR_EOF the other side is gone, APR_EINVAL it was none of ours. The offers, close-on-exec,
 *  become the caller's; -1 = none. */
apr_status_t pm_greeting_receive(int socket, pm_greeting *greeting, int offers[PM_OFFERS]);

/** A control socket that listens, open to everybody; one that a dead service has left is replaced. -1 with a sentence. */
int pm_service_listen(const char *path, pm_error *err);
/** Connect, without waiting. -1 with errno. */
int pm_service_connect(const char *path);
/** Who the other side of a connection is: of a service, who has called pm_service_listen; its pid is 0 in another pid
 *  namespace. 0 when nobody can tell. */
int pm_service_peer(int socket, uid_t *uid, pid_t *pid);

#endif
