/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * handler.c: /pm-status: the recorder answers, the handler passes on.
 *
 * Without a recorder it says so in one sentence, and what the live region counts, in the format asked for.
 */
#include "module.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_request.h>
#include <util_script.h>

#include "pm_json.h"
#include "pm_time.h"
#include "relay.h"

#define HANDLER "pm-status"

/* ---- without a recorder ---- */

enum format { FORMAT_HTML, FORMAT_AUTO, FORMAT_JSON, FORMAT_PROMETHEUS, FORMAT_CSV };

typedef struct counted {
    uint64_t requests, errors, in_flight;
    int known;
} counted;

/** Is `word` one of the query's parameters, as it stands? */
static int asks(const char *query, const char *word)
{
    size_t n = strlen(word);

    for (const char *at = query; at != NULL && *at != '\0'; at = strchr(at, '&')) {
        at += *at == '&';
        if (strncmp(at, word, n) == 0 && (at[n] == '\0' || at[n] == '&' || at[n] == '=')) {
            return 1;
        }
    }
    return 0;
}

static enum format format_of(const char *query)
{
    return asks(query, "format=json")         ? FORMAT_JSON
           : asks(query, "format=prometheus") ? FORMAT_PROMETHEUS
           : asks(query, "format=csv")        ? FORMAT_CSV
           : asks(query, "auto")              ? FORMAT_AUTO
                                              : FORMAT_HTML;
}

static counted count(apr_pool_t *p)
{
    counted c = {.known = pm.live.header != NULL};
    pm_totals *totals = c.known ? apr_palloc(p, sizeof(*totals)) : NULL;

    if (totals == NULL) {
        return c;
    }
    pm_live_totals(&pm.live, totals, NULL);
    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        c.requests += totals->status[i];
        c.errors += i >= 400 && i < 500 ? totals->status[i] : 0; /* slot = status - 100 */
    }
    for (uint32_t i = 0; i < pm.live.geo.flights; i++) {
        c.in_flight += atomic_load(&pm.live.flights[i].arrival_us) != 0;
    }
    return c;
}

static apr_status_t to_client(void *ctx, const char *bytes, size_t len)
{
    return ap_rwrite(bytes, (int)len, ctx) == (int)len ? APR_SUCCESS : APR_EGENERAL;
}

static void put_json(request_rec *r, const counted *c, const char *sentence)
{
    pm_json j;

    pm_json_begin(&j, to_client, r);
    pm_json_object(&j);
    pm_json_key(&j, "error");
    pm_json_string(&j, sentence);
    if (c->known) {
        pm_json_put_object(&j, "live");
        pm_json_put_uint(&j, "requests", c->requests);
        pm_json_put_uint(&j, "errors", c->errors);
        pm_json_put_uint(&j, "in_flight", c->in_flight);
        pm_json_object_end(&j);
    }
    pm_json_object_end(&j);
    pm_json_end(&j);
    ap_rputs("\n", r);
}

#define N APR_UINT64_T_FMT

static void put_text(request_rec *r, enum format format, const counted *c, const char *sentence)
{
    switch (format) {
    case FORMAT_AUTO:
        ap_rprintf(r, "Error: %s\n", sentence);
        if (c->known) {
            ap_rprintf(r, "LiveRequests: %" N "\nLiveErrors: %" N "\nInFlight: %" N "\n",
                       c->requests, c->errors, c->in_flight);
        }
        break;
    case FORMAT_CSV:
        ap_rprintf(r, "error\r\n\"%s\"\r\n", sentence);
        break;
    case FORMAT_PROMETHEUS:
        ap_rprintf(r, "# %s\n", sentence);
        if (c->known) {
            ap_rprintf(r,
                       "# HELP pmcapture_requests_in_flight Requests that are being served.\n"
                       "# TYPE pmcapture_requests_in_flight gauge\n"
                       "pmcapture_requests_in_flight %" N "\n",
                       c->in_flight);
        }
        break;
    default:
        ap_rprintf(r, "<!DOCTYPE html>\n<html lang=\"en\"><title>mod_pmcapture</title><p>%s</p>",
                   ap_escape_html(r->pool, sentence));
        if (c->known) {
            ap_rprintf(r,
                       "<p>Since its processes share this memory httpd has answered %" N
                       " requests, %" N " with 5xx; %" N " are being served.</p>",
                       c->requests, c->errors, c->in_flight);
        }
        ap_rputs("</html>\n", r);
        break;
    }
}

static int without_recorder(request_rec *r, const char *sentence)
{
    static const char *const types[] = {
        "text/html; charset=utf-8", "text/plain; charset=utf-8", "application/json",
        "text/plain; version=0.0.4; charset=utf-8", "text/csv; charset=utf-8; header=present"};
    enum format format = format_of(r->args);
    counted c = count(r->pool);

    r->status = HTTP_SERVICE_UNAVAILABLE;
    ap_set_content_type(r, types[format]);
    if (r->header_only) {
        return OK;
    }
    if (format == FORMAT_JSON) {
        put_json(r, &c, sentence);
    }
    else {
        put_text(r, format, &c, sentence);
    }
    return OK;
}

/* ---- with one ---- */

/** Below the page's own address: /pm-status/metrics. */
static int asks_metrics(const request_rec *r)
{
    static const char tail[] = "/metrics";
    size_t n = strlen(r->uri);

    return n > sizeof(tail) - 1 && strcmp(r->uri + n - (sizeof(tail) - 1), tail) == 0;
}

static int serve(request_rec *r)
{
    pm_error err = {""};
    apr_status_t rv;
    pm_relay *relay;

    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    if (r->method_number != M_GET) {
        ap_allow_methods(r, REPLACE_ALLOW, "GET", NULL); /* HEAD comes with it */
        return HTTP_METHOD_NOT_ALLOWED;
    }
    rv = pm_relay_ask(&relay, asks_metrics(r) ? "/metrics" : "/", r->args,
                      apr_table_get(r->headers_in, "Accept"), r->header_only, r->pool, &err);
    if (rv != APR_SUCCESS) {
        /* There is none when nothing can be recorded: why is known. */
        return without_recorder(r, APR_STATUS_IS_ENOENT(rv) && pm.trouble[0] != '\0' ? pm.trouble
                                                                                     : err.text);
    }
    if (relay->status !=
        HTTP_OK) { /* else it is what it was: a rule may have made it a redirection */
        r->status = relay->status;
    }
    ap_set_content_type(r, relay->type);
    if (!r->header_only) {
        pm_relay_pass(relay, to_client, r);
    }
    return OK;
}

/** An application's .htaccess gives every path that is no file to the application. mod_rewrite does that after all checks
 *  of access, by a handler in the place of ours, which the configuration still names. A rule that forbids, or redirects
 *  the client, has ended the request before. */
static int is_rewritten(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *set, *err = NULL;

    if (core->expr_handler == NULL ||
        (strcmp(r->handler, "redirect-handler") != 0 && strcmp(r->handler, "proxy-server") != 0)) {
        return 0;
    }
    set = ap_expr_str_exec(r, core->expr_handler, &err); /* what SetHandler says */
    return set != NULL && err == NULL && strcmp(set, HANDLER) == 0;
}

static __attribute__((noinline)) int handle(request_rec *r)
{
    pm_backend_begin(r);
    /* Only here is it known what a <Location> says of PMCapture. */
    if (!pm_is_recorded(r)) {
        pm_request_excluded(r);
    }
    if (r->handler == NULL) {
        return DECLINED;
    }
    if (is_rewritten(r)) {
        r->args = r->parsed_uri.query; /* the rule may have put its own in its place */
        return serve(r);
    }
    return strcmp(r->handler, HANDLER) == 0 ? serve(r) : DECLINED;
}

/** Every request comes here: the first letter settles it for most. */
int pm_handler(request_rec *r)
{
    return pm_is_recorded(r) && r->handler != NULL && r->handler[0] != 'p' && r->handler[0] != 'r'
               ? DECLINED
               : handle(r);
}
