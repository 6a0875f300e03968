/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * listeners.c: what the gathered configuration says of the addresses that httpd listens on: where each stands, which speak
 * TLS, and with which certificates. With PMCaptureConfigDiff names or off it has no arguments: then nothing of that is
 * known. Which virtual host answers goes by the address that a connection comes to, as httpd has it: one of that very
 * address, else one of all addresses, else the main server.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pm_text.h"
#include "pmrecorder.h"

#define SITES_MAX PM_LISTENERS_MAX

/** A virtual host; the first is the main server. */
typedef struct site {
    uint32_t container;
    int tls; /* -1 = not said */
    const char *addresses, *label, *path, *path_file;
    uint32_t path_line;
    uint64_t position; /* pm_config_line.place */
} site;

/** How a virtual host's address takes what comes to a listener; the higher one does. */
enum taking { NOTHING, EVERYWHERE, EXACTLY };

/** Who answers where a listener is looked at. */
typedef struct home {
    const site *of; /* NULL = not known */
    enum taking how;
} home;

typedef struct reading {
    pm_generation *g;
    pm_outside *o;
    uint32_t count;
    site site[SITES_MAX];
    home home[PM_LISTENERS_MAX];
} reading;

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/** "ports.conf:5", below the server's root without it. */
static void place(const pm_generation *g, const char *file, uint32_t line, char out[PM_KEY])
{
    const char *root = g->block->server_root;
    size_t len = strlen(root);
    char raw[2 * PM_KEY];

    if (strncmp(file, root, len) == 0 && file[len] == '/') {
        file += len + 1;
    }
    snprintf(raw, sizeof(raw), "%s:%u", file, line);
    pm_text_clean(out, PM_KEY, raw, sizeof(raw));
}

/** The first word of some, without quotes; what follows it. */
static const char *word(const char *args, char *out, size_t room)
{
    char quote = args[0] == '"' || args[0] == '\'' ? *args++ : '\0';
    size_t n = 0;

    for (; *args != '\0' && (quote ? *args != quote : *args != ' '); args++) {
        if (n < room - 1) {
            out[n++] = *args;
        }
    }
    out[n] = '\0';
    args += quote && *args == quote;
    while (*args == ' ') {
        args++;
    }
    return args;
}

/** "[addr:]port" as Listen and <VirtualHost> have it. port 0 = any; `any` also for a name, which nobody looks up here. */
typedef struct spec {
    int any, named, family; /* 4, 6; 0 = not said */
    uint16_t port;
    uint8_t address[16];
} spec;

static spec parse(const char *text)
{
    spec s = {.any = 1};
    char host[128];
    const char *colon = strrchr(text, ':'), *end = strrchr(text, ']');

    if (colon != NULL && end != NULL && colon < end) {
        colon = NULL; /* within an address of IPv6 */
    }
    if (colon == NULL && strspn(text, "0123456789") == strlen(text)) {
        s.port = (uint16_t)atoi(text);
        return s;
    }
    s.port = colon != NULL ? (uint16_t)atoi(colon + 1) : 0;
    snprintf(host, sizeof(host), "%.*s", (int)(colon != NULL ? colon - text : (int)strlen(text)),
             text);
    if (host[0] == '[') {
        memmove(host, host + 1, strlen(host));
        host[strcspn(host, "]")] = '\0';
    }
    memcpy(s.address, mapped, sizeof(mapped));
    if (inet_pton(AF_INET, host, s.address + sizeof(mapped)) == 1) {
        static const uint8_t none[4];

        s.family = 4;
        s.any = memcmp(s.address + sizeof(mapped), none, 4) == 0;
    }
    else if (inet_pton(AF_INET6, host, s.address) == 1) {
        static const uint8_t none[16];

        s.family = 6;
        s.any = memcmp(s.address, none, 16) == 0;
    }
    else {
        s.named = strcmp(host, "*") != 0 && strcasecmp(host, "_default_") != 0;
    }
    return s;
}

/** Does a Listen line make this listener? */
static int makes(const spec *s, const pm_listener *l)
{
    if (s->port != l->port || s->named) {
        return s->port == l->port;
    }
    return s->any ? l->any && (s->family == 0 || (s->family == 6) == l->v6)
                  : memcmp(s->address, l->address, 16) == 0;
}

static int is_loopback(const uint8_t address[16])
{
    static const uint8_t v6[16] = {[15] = 1}, v4[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};

    return memcmp(address, v6, 16) == 0 || memcmp(address, v4, 16) == 0;
}

/** What comes to the listener where it is looked at: where all addresses are listened on, to loopback. */
static enum taking takes(const spec *s, const pm_listener *l)
{
    if (s->named || (s->port != 0 && s->port != l->port)) {
        return NOTHING;
    }
    if (s->any) {
        return EVERYWHERE;
    }
    /* All addresses of IPv6 are asked at ::1. */
    return (l->any ? is_loopback(s->address) && (s->family == 6) == (l->v6 != 0)
                   : memcmp(s->address, l->address, 16) == 0)
               ? EXACTLY
               : NOTHING;
}

/** What comes to another one of the addresses that are listened on there? */
static int takes_elsewhere(const spec *s, const pm_listener *l)
{
    return l->any && !s->any && !s->named && (s->port == 0 || s->port == l->port) &&
           (l->v6 || s->family == 4) && !is_loopback(s->address);
}

/** The listener, as it is asked at that address. */
static pm_listener asked_at(const pm_listener *l, const spec *s)
{
    pm_listener ask = *l;

    if (l->any && !s->any) {
        ask.any = 0;
        ask.v6 = s->family == 6;
        memcpy(ask.address, s->address, 16);
    }
    return ask;
}

/** The next of a virtual host's addresses: 0 = no more. */
static int next_address(const char **rest, spec *out)
{
    char first[160];

    if (*rest == NULL || **rest == '\0' || **rest == '>') {
        return 0;
    }
    *rest = word(*rest, first, sizeof(first));
    first[strcspn(first, ">")] = '\0';
    *out = parse(first);
    return 1;
}

/* ---- lines ---- */

static site *site_of(reading *r, uint32_t container)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->site[i].container == container) {
            return &r->site[i];
        }
    }
    return NULL;
}

static void take_listen(reading *r, const pm_config_line *line)
{
    char first[160];
    spec s;

    word(line->args, first, sizeof(first));
    s = parse(first);
    for (uint32_t i = 0; i < r->o->count; i++) {
        if (makes(&s, &r->o->listener[i].listener) && r->o->listener[i].where[0] == '\0') {
            place(r->g, line->file, line->line, r->o->listener[i].where);
            return;
        }
    }
}

static void take_line(void *ctx, const pm_config_line *line)
{
    reading *r = ctx;
    site *s;

    if (line->opens != 0) {
        if (strcasecmp(line->directive, "<VirtualHost>") == 0 && r->count < SITES_MAX) {
            r->site[r->count++] = (site){.container = line->opens,
                                         .tls = -1,
                                         .addresses = line->args,
                                         .label = line->label != NULL ? line->label : "",
                                         .position = line->place};
        }
        return;
    }
    if (strcasecmp(line->directive, "Listen") == 0) {
        take_listen(r, line);
        return;
    }
    s = site_of(r, line->container);
    if (s == NULL) {
        return;
    }
    if (strcasecmp(line->directive, "SSLEngine") == 0) {
        s->tls = strncasecmp(line->args, "on", 2) == 0;
    }
    else if (strcasecmp(line->directive, "SSLCertificateFile") == 0 && s->path == NULL) {
        s->path = line->args;
        s->path_file = line->file;
        s->path_line = line->line;
    }
    else if (strcasecmp(line->directive, "RemoteIPProxyProtocol") == 0 &&
             strcasecmp(line->args, "on") == 0) {
        place(r->g, line->file, line->line, r->o->proxy_where);
    }
}

/* ---- TLS ---- */

/** Its number; 0: none of its own. Two that a macro makes at one place cannot be told apart. */
static uint32_t scope_of(const reading *r, const site *s)
{
    const pm_handover_block *b = r->g->block;
    uint32_t scope = 0;

    if (s == &r->site[0]) {
        return b->main_vhost != 0 ? b->main_vhost + 1 : 0;
    }
    for (uint32_t v = 1; v < b->vhosts; v++) {
        if (s->position != 0 && b->vhost[v].place == s->position) {
            if (scope != 0) {
                return 0;
            }
            scope = v + 1;
        }
    }
    return scope;
}

/** A ServerName without scheme and port. */
static void take_name(const char *label, char out[PM_CERTIFICATE_NAME])
{
    const char *at = strstr(label, "://");
    char first[PM_CERTIFICATE_NAME];

    word(at != NULL ? at + 3 : label, first, sizeof(first));
    first[strcspn(first, ":/")] = '\0';
    memcpy(out, first, PM_CERTIFICATE_NAME);
}

static void add_certificate(reading *r, const site *s, const pm_listener *ask)
{
    pm_outside_certificate *c = &r->o->certificate[r->o->certificates];
    uint32_t scope = scope_of(r, s);
    char path[512];

    if (r->o->certificates == PM_LISTENERS_MAX) {
        return;
    }
    memset(c, 0, sizeof(*c));
    c->scope = scope;
    c->listener = *ask;
    take_name(s->label != NULL ? s->label : "", c->name);
    snprintf(c->vhost, sizeof(c->vhost), "%s",
             scope != 0 && r->g->fold.vhost_names[scope - 1] != NULL
                 ? r->g->fold.vhost_names[scope - 1]
                 : c->name);
    if (s->path != NULL) {
        word(s->path, path, sizeof(path));
        if (snprintf(c->path, sizeof(c->path), "%s%s%s",
                     path[0] == '/' ? "" : r->g->block->server_root, path[0] == '/' ? "" : "/",
                     path) >= (int)sizeof(c->path)) {
            c->path[0] = '\0';
        }
        place(r->g, s->path_file, s->path_line, c->where);
    }
    r->o->certificates++;
}

static int speaks_tls(const reading *r, const site *s)
{
    return s->tls == 1 || (s->tls == -1 && r->site[0].tls == 1);
}

/** Who answers there, and whether in TLS. If nobody does at loopback, another address may be asked. */
static void place_listener(reading *r, uint32_t number)
{
    pm_outside_listener *l = &r->o->listener[number];
    home *h = &r->home[number];
    int unknown = r->count == SITES_MAX;
    pm_listener other = {.any = 1};

    for (uint32_t i = 1; i < r->count; i++) {
        const site *s = &r->site[i];
        const char *rest = s->addresses;
        spec at;

        while (next_address(&rest, &at)) {
            enum taking how = takes(&at, &l->listener);

            unknown |= at.named;
            if (how > h->how) {
                *h = (home){s, how};
            }
            if (other.any && speaks_tls(r, s) && takes_elsewhere(&at, &l->listener)) {
                other = asked_at(&l->listener, &at);
            }
        }
    }
    if (h->of == NULL && !unknown) {
        h->of = &r->site[0];
    }
    if (h->of != NULL && speaks_tls(r, h->of)) {
        l->tls = 1;
    }
    else if (!other.any) {
        l->tls = 1;
        l->ask = other;
    }
}

/** Where it shows its certificate. One without a name is shown to those who name none. */
static void place_certificate(reading *r, const site *s)
{
    const char *rest = s == &r->site[0] ? "*" : s->addresses;
    int named = s->label != NULL && s->label[0] != '\0';
    spec at;

    while (next_address(&rest, &at)) {
        for (uint32_t i = 0; i < r->o->count; i++) {
            const pm_listener *l = &r->o->listener[i].listener;
            const home *h = &r->home[i];
            enum taking how = s == &r->site[0] ? NOTHING : takes(&at, l);
            pm_listener ask = asked_at(l, &at);

            if (takes_elsewhere(&at, l) || (how == h->how && (h->of == s || (how && named)))) {
                add_certificate(r, s, &ask);
                return;
            }
        }
    }
}

static void place_tls(reading *r)
{
    for (uint32_t i = 0; i < r->o->count; i++) {
        place_listener(r, i);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        site *s = &r->site[i];

        s->path_file = s->path != NULL ? s->path_file : r->site[0].path_file;
        s->path_line = s->path != NULL ? s->path_line : r->site[0].path_line;
        s->path = s->path != NULL ? s->path : r->site[0].path;
        if (speaks_tls(r, s)) {
            place_certificate(r, s);
        }
    }
}

void pm_listeners_place(pm_generation *g, pm_outside *o)
{
    pm_snapshot *snapshot = NULL;
    reading *r = calloc(1, sizeof(*r));

    o->certificates = 0;
    o->proxy_where[0] = '\0';
    for (uint32_t i = 0; i < o->count; i++) {
        o->listener[i].where[0] = '\0';
        o->listener[i].ask = o->listener[i].listener;
        o->listener[i].tls = 0;
    }
    if (r != NULL && pm_snapshot_read(&snapshot, g->handed.fd[PM_FD_CONFIG]) == APR_SUCCESS) {
        r->g = g;
        r->o = o;
        r->site[0] = (site){.tls = -1};
        r->count = 1;
        pm_snapshot_each(snapshot, take_line, r);
        place_tls(r);
    }
    free(snapshot);
    free(r);
}
