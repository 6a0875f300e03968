/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * probe.c: listeners and what a look at one found, in words.
 */
#include "pm_probe.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

const char *pm_listener_name(const pm_listener *l, char out[PM_LISTENER_NAME])
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (l->any) {
        snprintf(out, PM_LISTENER_NAME, "%s:%u", l->v6 ? "*" : "0.0.0.0", l->port);
    }
    else if (memcmp(l->address, mapped, sizeof(mapped)) == 0) {
        inet_ntop(AF_INET, l->address + sizeof(mapped), text, sizeof(text));
        snprintf(out, PM_LISTENER_NAME, "%s:%u", text, l->port);
    }
    else {
        inet_ntop(AF_INET6, l->address, text, sizeof(text));
        snprintf(out, PM_LISTENER_NAME, "[%s]:%u", text, l->port);
    }
    return out;
}

int pm_listener_same(const pm_listener *a, const pm_listener *b)
{
    return a->port == b->port && a->any == b->any && a->v6 == b->v6 &&
           (a->any || memcmp(a->address, b->address, sizeof(a->address)) == 0);
}

static const struct {
    const char *key, *phrase;
} reaches[PM_REACHES] = {
    [PM_REACH_UNKNOWN] = {"unknown", "could not be looked at"},
    [PM_REACH_ANSWERS] = {"answers", "answers its own machine"},
    [PM_REACH_PROXY] = {"proxy_header",
                        "closes each connection that does not begin with a PROXY header"},
    [PM_REACH_REFUSED] = {"refused", "refuses connections: nobody listens there"},
    [PM_REACH_DROPPED] = {"dropped",
                          "accepts no connection within 5 s: its queue is full, or something drops "
                          "what is sent there"},
    [PM_REACH_UNROUTED] = {"unrouted", "is an address that this machine does not have"},
    [PM_REACH_REJECTED] = {"rejected",
                           "cannot be reached: a firewall or a route rejects what is sent there"},
    [PM_REACH_STUCK] = {"no_answer", "accepts, and does not answer within 5 s"},
    [PM_REACH_CLOSED] = {"closed", "accepts, and closes the connection without an answer"},
    [PM_REACH_TLS] = {"tls", "fails at the TLS handshake"},
};

const char *pm_reach_key(uint32_t reach)
{
    return reaches[reach < PM_REACHES ? reach : PM_REACH_UNKNOWN].key;
}

const char *pm_reach_phrase(uint32_t reach)
{
    return reaches[reach < PM_REACHES ? reach : PM_REACH_UNKNOWN].phrase;
}
