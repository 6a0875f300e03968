/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * listeners.c: what the gathered configuration says of the addresses that httpd listens on: where each stands, which speak
 * TLS, and with which certificates. With PMCaptureConfigDiff names or off it has no arguments: then what the Listen lines'
 * protocols say is all that is known.
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
    const char *addresses, *label, *file, *path, *path_file;
    uint32_t line, path_line;
} site;

typedef struct reading {
    pm_generation *g;
    pm_outside *o;
    uint32_t count;
    site site[SITES_MAX];
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
    int any, named;
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

        s.any = memcmp(s.address + sizeof(mapped), none, 4) == 0;
    }
    else if (inet_pton(AF_INET6, host, s.address) == 1) {
        static const uint8_t none[16];

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
    return s->port == l->port &&
           (s->named || (s->any ? l->any : memcmp(s->address, l->address, 16) == 0));
}

/** Does a virtual host of this address serve what comes there? */
static int serves(const spec *s, const pm_listener *l)
{
    return (s->port == 0 || s->port == l->port) &&
           (s->any || l->any || memcmp(s->address, l->address, 16) == 0);
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
                                         .file = line->file,
                                         .line = line->line};
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

/** The number of a virtual host that is defined there; 0: none of its own. */
static uint32_t scope_of(const pm_generation *g, const site *s)
{
    char defined[512];

    snprintf(defined, sizeof(defined), "%s:%u", s->file != NULL ? s->file : "", s->line);
    for (uint32_t v = 0; v < g->live.geo.vhosts; v++) {
        if (g->fold.vhost_defined[v] != NULL && strcmp(g->fold.vhost_defined[v], defined) == 0) {
            return v + 1;
        }
    }
    return 0;
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

static void add_certificate(reading *r, const site *s, const pm_listener *l)
{
    pm_outside_certificate *c = &r->o->certificate[r->o->certificates];
    uint32_t scope = scope_of(r->g, s);
    char path[512];

    if (r->o->certificates == PM_LISTENERS_MAX) {
        return;
    }
    memset(c, 0, sizeof(*c));
    c->scope = scope;
    c->listener = *l;
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

static void take_site(reading *r, site *s)
{
    const char *rest = s->addresses;
    char first[160];
    int shown = 0;

    while (rest != NULL && *rest != '\0' && *rest != '>') {
        spec at;

        rest = word(rest, first, sizeof(first));
        first[strcspn(first, ">")] = '\0';
        at = parse(first);
        for (uint32_t i = 0; i < r->o->count; i++) {
            pm_outside_listener *l = &r->o->listener[i];

            if (serves(&at, &l->listener)) {
                l->tls = 1;
                if (!shown) {
                    add_certificate(r, s, &l->listener);
                }
                shown = 1;
            }
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
        o->listener[i].tls = o->listener[i].listener.https;
    }
    if (r != NULL && pm_snapshot_read(&snapshot, g->handed.fd[PM_FD_CONFIG]) == APR_SUCCESS) {
        r->g = g;
        r->o = o;
        r->site[0] = (site){.tls = -1};
        r->count = 1;
        pm_snapshot_each(snapshot, take_line, r);
        for (uint32_t i = 1; i < r->count; i++) {
            site *s = &r->site[i];

            s->path = s->path != NULL ? s->path : r->site[0].path;
            s->path_file = s->path_file != NULL ? s->path_file : r->site[0].path_file;
            if (s->tls == 1 || (s->tls == -1 && r->site[0].tls == 1)) {
                take_site(r, s);
            }
        }
        if (r->site[0].tls == 1 && r->count == 1) { /* no virtual host: all is the main server's */
            r->site[0].addresses = "*:0";
            take_site(r, &r->site[0]);
        }
    }
    free(snapshot);
    free(r);
}
