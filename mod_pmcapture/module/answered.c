/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * answered.c: did httpd itself answer a request that failed, or may another process have had it?
 *
 * mod_proxy is not the only way out of httpd: mod_cgid, mod_fcgid, mod_wsgi and mod_jk hand requests over in their
 * handlers, mod_authnz_ldap or mod_authn_dbd ask before there is a handler, and mod_php asks databases. So the
 * answer is yes only for a handler that is known to ask nobody, in a server whose modules are all known to ask nobody
 * before it. What is not known is unknown: that clears nobody.
 */
#include "module.h"

#include <string.h>
#include <strings.h>

/* They ask no other process about a request, unless in a handler with a name of its own. */
static const char *const own_modules[] = {"core.c",
                                          "http_core.c",
                                          "mod_so.c",
                                          "mod_unixd.c",
                                          "mod_watchdog.c",
                                          "event.c",
                                          "worker.c",
                                          "prefork.c",
                                          "mod_pmcapture.c",
                                          "mod_log_config.c",
                                          "mod_logio.c",
                                          "mod_log_debug.c",
                                          "mod_version.c",
                                          "mod_access_compat.c",
                                          "mod_allowmethods.c",
                                          "mod_alias.c",
                                          "mod_asis.c",
                                          "mod_auth_basic.c",
                                          "mod_auth_digest.c",
                                          "mod_authn_anon.c",
                                          "mod_authn_core.c",
                                          "mod_authn_file.c",
                                          "mod_authn_dbm.c",
                                          "mod_authz_core.c",
                                          "mod_authz_groupfile.c",
                                          "mod_authz_host.c",
                                          "mod_authz_owner.c",
                                          "mod_authz_user.c",
                                          "mod_autoindex.c",
                                          "mod_brotli.c",
                                          "mod_cache.c",
                                          "mod_cache_disk.c",
                                          "mod_deflate.c",
                                          "mod_dir.c",
                                          "mod_env.c",
                                          "mod_expires.c",
                                          "mod_filter.c",
                                          "mod_headers.c",
                                          "mod_http2.c",
                                          "mod_info.c",
                                          "mod_macro.c",
                                          "mod_md.c",
                                          "mod_mime.c",
                                          "mod_negotiation.c",
                                          "mod_proxy.c",
                                          "mod_proxy_ajp.c",
                                          "mod_proxy_balancer.c",
                                          "mod_proxy_connect.c",
                                          "mod_proxy_fcgi.c",
                                          "mod_proxy_hcheck.c",
                                          "mod_proxy_http.c",
                                          "mod_proxy_http2.c",
                                          "mod_proxy_scgi.c",
                                          "mod_proxy_uwsgi.c",
                                          "mod_proxy_wstunnel.c",
                                          "mod_lbmethod_bybusyness.c",
                                          "mod_lbmethod_byrequests.c",
                                          "mod_lbmethod_bytraffic.c",
                                          "mod_ratelimit.c",
                                          "mod_remoteip.c",
                                          "mod_reqtimeout.c",
                                          "mod_rewrite.c",
                                          "mod_setenvif.c",
                                          "mod_slotmem_shm.c",
                                          "mod_socache_shmcb.c",
                                          "mod_ssl.c",
                                          "mod_status.c",
                                          "mod_unique_id.c",
                                          "mod_userdir.c",
                                          "mod_vhost_alias.c",
                                          "mod_speling.c",
                                          "mod_substitute.c",
                                          "mod_request.c"};

static const char *const own_handlers[] = {"default-handler",      "redirect-handler",
                                           "httpd/unix-directory", "pm-status",
                                           "server-status",        "server-info"};

/* Of the configuration that runs. Set before there are workers. */
static int only_own_modules;

static int is_one_of(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}

/** RewriteMap can ask a program or a database. */
static int asks_by_map(const ap_directive_t *d)
{
    for (; d != NULL; d = d->next) {
        if (strcasecmp(d->directive, "RewriteMap") == 0 &&
            (ap_strstr_c(d->args, "prg:") != NULL || ap_strstr_c(d->args, "dbd:") != NULL)) {
            return 1;
        }
        if (d->first_child != NULL && asks_by_map(d->first_child)) {
            return 1;
        }
    }
    return 0;
}

void pm_answered_prepare(void)
{
    only_own_modules = !asks_by_map(ap_conftree);
    for (const module *m = ap_top_module; m != NULL && only_own_modules; m = m->next) {
        only_own_modules =
            is_one_of(own_modules, sizeof(own_modules) / sizeof(own_modules[0]), m->name);
    }
}

int pm_answered_itself(const request_rec *r)
{
    int itself = only_own_modules;

    /* of a rewritten URI and of an ErrorDocument, too */
    for (; r != NULL && itself; r = r->next) {
        itself =
            r->proxyreq == PROXYREQ_NONE &&
            (r->handler == NULL ||
             is_one_of(own_handlers, sizeof(own_handlers) / sizeof(own_handlers[0]), r->handler));
    }
    return itself;
}
