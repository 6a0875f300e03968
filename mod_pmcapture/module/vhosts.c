/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * vhosts.c: virtual hosts and their numbers: a name keeps its own across reloads.
 */
#include "module.h"

#include <apr_lib.h>
#include <apr_strings.h>

const char *pm_vhost_key(apr_pool_t *p, const server_rec *s)
{
    const char *name = s->server_hostname != NULL ? s->server_hostname : "_default_";
    apr_port_t port = s->port;
    char key[PM_KEY];

    if (s->is_virtual && s->addrs != NULL && s->addrs->host_port != 0) {
        port = s->addrs->host_port;
    }
    pm_text_clean(key, PM_KEY - 8, name, PM_KEY);
    if (port != 0) {
        apr_snprintf(key + strlen(key), 8, ":%u", port);
    }
    return apr_pstrdup(p, key);
}

static const char *vhost_defined(const server_rec *s, char where[PM_KEY])
{
    char raw[2 * PM_KEY];

    if (s->defn_name == NULL) {
        return "";
    }
    apr_snprintf(raw, sizeof(raw), "%s:%u", s->defn_name, s->defn_line_number);
    pm_text_clean(where, PM_KEY, raw, PM_KEY);
    return where;
}

uint32_t pm_vhosts_count(const server_rec *s)
{
    uint32_t n = 0;

    for (; s != NULL; s = s->next) {
        n++;
    }
    return n;
}

/** Every virtual host's key, none twice. */
static const char **name_vhosts(apr_pool_t *p, server_rec *main_server, apr_hash_t *wanted)
{
    const char **keys = apr_palloc(p, pm_vhosts_count(main_server) * sizeof(*keys));
    uint32_t n = 0;

    for (server_rec *s = main_server; s != NULL; s = s->next) {
        const char *key = pm_vhost_key(p, s);

        if (apr_hash_get(wanted, key, APR_HASH_KEY_STRING) != NULL) {
            char *longer = apr_palloc(p, PM_KEY), defined[PM_KEY];

            pm_text_clean(longer, PM_KEY,
                          apr_psprintf(p, "%s (%s)", key, vhost_defined(s, defined)), 2 * PM_KEY);
            key = longer;
        }
        apr_hash_set(wanted, key, APR_HASH_KEY_STRING, s);
        keys[n++] = key;
    }
    return keys;
}

/** The numbers that names had in the last generation. */
static apr_hash_t *known_numbers(apr_pool_t *p)
{
    apr_hash_t *known = apr_hash_make(p);

    for (uint32_t v = 1; v < pm.live.geo.vhosts; v++) {
        if (pm.control->vhost_name[v][0] != '\0') {
            apr_hash_set(known, pm.control->vhost_name[v], APR_HASH_KEY_STRING,
                         (void *)(uintptr_t)v);
        }
    }
    return known;
}

/** A number for a new name, from *next on: an unused one, else that of a virtual host that is no more; 0 "(other)"
 *  when there is none. */
static uint32_t free_number(apr_hash_t *wanted, uint32_t *next)
{
    for (; *next < 2 * pm.live.geo.vhosts; (*next)++) {
        uint32_t v = *next % pm.live.geo.vhosts;
        const char *name = pm.control->vhost_name[v];

        if (v != 0 && name[0] == '\0') {
            return v;
        }
        if (v != 0 && *next >= pm.live.geo.vhosts &&
            apr_hash_get(wanted, name, APR_HASH_KEY_STRING) == NULL) {
            return v;
        }
    }
    return 0;
}

/** The same file, whatever the lines? Numbers within are lines, too: a macro's place is a sentence. */
static int same_file(const char *a, const char *b)
{
    for (;;) {
        while (apr_isdigit(*a)) {
            a++;
        }
        while (apr_isdigit(*b)) {
            b++;
        }
        if (*a != *b) {
            return 0;
        }
        if (*a == '\0') {
            return 1;
        }
        a++;
        b++;
    }
}

/** A name and a place; what they were is kept for who had been served by it. Workers may have written anything there,
 *  texts without an end, too. */
static void describe_vhost(pm_vhost_live *vh, const char *name, const char *defined)
{
    char was_name[PM_KEY] = "",
         was_defined[PM_KEY] = ""; /* whole: their ends go into the region, too */
    int renamed;

    apr_cpystrn(was_name, vh->name, PM_KEY);
    apr_cpystrn(was_defined, vh->defined, PM_KEY);
    renamed = strcmp(was_name, name) != 0;
    if (!renamed && strcmp(was_defined, defined) == 0) {
        return;
    }
    if (renamed || !same_file(was_defined, defined)) {
        vh->hands = pm.generation;
    }
    memcpy(vh->was_name, was_name, PM_KEY);
    memcpy(vh->was_defined, was_defined, PM_KEY);
    vh->changed = pm.generation;
    apr_cpystrn(vh->name, name, PM_KEY);
    apr_cpystrn(vh->defined, defined, PM_KEY);
}

/** Every virtual host gets its number, the one it had if it had one; the first PM_POOLS - 1 also sketches and
 *  latencies of their own. */
void pm_vhosts_number(apr_pool_t *pconf, apr_pool_t *p, server_rec *main_server)
{
    apr_hash_t *wanted = apr_hash_make(p), *known = known_numbers(p);
    const char **key = name_vhosts(p, main_server, wanted);
    uint32_t next = 1;

    pm_answered_prepare();
    for (server_rec *s = main_server; s != NULL; s = s->next, key++) {
        uint32_t v = (uint32_t)(uintptr_t)apr_hash_get(known, *key, APR_HASH_KEY_STRING);
        char defined[PM_KEY];
        pm_vhost_live *vh;

        v = v != 0 ? v : free_number(wanted, &next);
        /* httpd lets a virtual host without a directive of ours share the main server's. */
        ap_set_module_config(s->module_config, &pmcapture_module,
                             apr_pmemdup(pconf, pm_conf_of(s), sizeof(pm_server_conf)));
        pm_conf_of(s)->vhost = v;
        pm_where_learn_sockets(pconf, s);
        if (v == 0) {
            continue;
        }
        vh = &pm.live.vhosts[v];
        apr_cpystrn(pm.control->vhost_name[v], *key, PM_KEY);
        describe_vhost(vh, *key, vhost_defined(s, defined));
        atomic_store(&vh->pool, v < PM_POOLS ? v : 0);
    }
    apr_cpystrn(pm.live.vhosts[0].name, "(other)", PM_KEY);
}
