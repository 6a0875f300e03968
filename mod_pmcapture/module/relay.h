/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * relay.h: a question of a worker's to the recorder.
 *
 * HTTP/1.0 over the socket in the runtime directory. Each question has PM_RELAY_MS until its reply begins, and as long
 * between two parts of it: a recorder that hangs holds up no worker for longer.
 */
#ifndef PM_RELAY_H
#define PM_RELAY_H

#include "module.h"
#include "pm_json.h"

#define PM_RELAY_MS 2000

typedef struct pm_relay {
    int fd, status;
    const char *type;
    char bytes[16384]; /* what is here of the body: from, to */
    size_t from, to;
} pm_relay;

/** In the parent: the socket, made anew when there is none for this capture. -1 = none, and that is said. */
int pm_relay_listen(server_rec *s);
/** The server ends. */
void pm_relay_remove(void);

/** Ask, and read the head of the reply. A sentence in `err` when there is none. The connection ends with `pool`. */
apr_status_t pm_relay_ask(pm_relay **out, const char *path, const char *query, const char *accept,
                          int head_only, apr_pool_t *pool, pm_error *err);
/** Give the body to the sink as it comes; an error when it broke off. */
apr_status_t pm_relay_pass(pm_relay *relay, pm_sink sink, void *ctx);

#endif
