/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * handler.c: /pm-status.
 */
#include "module.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_request.h>
#include <util_script.h>

#include "pm_accept.h"
#include "pm_source.h"
#include "pm_time.h"

#define HANDLER "pm-status"

enum format { FORMAT_HTML, FORMAT_AUTO, FORMAT_JSON, FORMAT_PROMETHEUS, FORMAT_CSV };

typedef struct asked {
    enum format format;
    int openmetrics;
    pm_query query;
} asked;

static apr_status_t to_client(void *ctx, const char *bytes, size_t len)
{
    return ap_rwrite(bytes, (int)len, ctx) == (int)len ? APR_SUCCESS : APR_EGENERAL;
}

static int find_format(const char *name, enum format *out)
{
    static const struct {
        const char *name;
        enum format format;
    } formats[] = {{"json", FORMAT_JSON}, {"prometheus", FORMAT_PROMETHEUS}, {"csv", FORMAT_CSV}};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(name, formats[i].name) == 0) {
            *out = formats[i].format;
            return 1;
        }
    }
    return 0;
}

/** One parameter; unknown ones are ignored. */
static apr_status_t take_parameter(asked *a, char *pair, pm_error *err)
{
    char *value = strchr(pair, '=');
    apr_status_t rv;

    if (value != NULL) {
        *value++ = '\0';
        for (char *c = value; *c != '\0'; c++) {
            *c = *c == '+' ? ' ' : *c;
        }
        if (ap_unescape_url(value) != OK) {
            value = "";
        }
    }
    if (strcmp(pair, "auto") == 0) {
        a->format = FORMAT_AUTO;
        return APR_SUCCESS;
    }
    if (strcmp(pair, "format") == 0) {
        return find_format(value != NULL ? value : "", &a->format)
                   ? APR_SUCCESS
                   : pm_fail(err, APR_EINVAL, "format must be json, prometheus or csv");
    }
    rv = pm_query_set(&a->query, pair, value != NULL ? value : "", pm_time_now(), err);
    return rv == APR_ENOTIMPL ? APR_SUCCESS : rv;
}

static apr_status_t parse(request_rec *r, asked *a, pm_error *err)
{
    char *args = r->args != NULL ? apr_pstrdup(r->pool, r->args) : NULL, *state = NULL;
    apr_status_t bad = APR_SUCCESS;

    a->query = PM_QUERY_ALL;
    /* All of them, bad ones included: the error is said in the format that was asked for. */
    for (char *pair = args ? apr_strtok(args, "&", &state) : NULL; pair != NULL;
         pair = apr_strtok(NULL, "&", &state)) {
        pm_error one;
        apr_status_t rv = take_parameter(a, pair, &one);

        if (rv != APR_SUCCESS && bad == APR_SUCCESS) {
            bad = rv;
            *err = one;
        }
    }
    a->openmetrics = pm_accept_openmetrics(apr_table_get(r->headers_in, "Accept"));
    return bad;
}

static const char *content_type(const asked *a)
{
    switch (a->format) {
    case FORMAT_AUTO:
        return "text/plain; charset=utf-8";
    case FORMAT_JSON:
        return "application/json";
    case FORMAT_CSV:
        return "text/csv; charset=utf-8; header=present";
    case FORMAT_PROMETHEUS:
        return a->openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                              : "text/plain; version=0.0.4; charset=utf-8";
    default:
        return "text/html; charset=utf-8";
    }
}

/** One sentence, in the reply's own format. */
static int refuse(request_rec *r, const asked *a, int status, const char *sentence)
{
    pm_json j;

    r->status = status;
    ap_set_content_type(r, content_type(a));
    switch (a->format) {
    case FORMAT_JSON:
        pm_json_begin(&j, to_client, r);
        pm_json_object(&j);
        pm_json_key(&j, "error");
        pm_json_string(&j, sentence);
        pm_json_object_end(&j);
        pm_json_end(&j);
        ap_rputs("\n", r);
        break;
    case FORMAT_HTML:
        ap_rputs("<!DOCTYPE html>\n<html lang=\"en\"><title>mod_pmcapture</title><p>", r);
        ap_rputs(ap_escape_html(r->pool, sentence), r);
        ap_rputs("</p></html>\n", r);
        break;
    case FORMAT_PROMETHEUS:
        ap_rprintf(r, "# %s\n%s", sentence, a->openmetrics ? "# EOF\n" : "");
        break;
    default:
        ap_rprintf(r, a->format == FORMAT_AUTO ? "Error: %s\n" : "error\r\n\"%s\"\r\n", sentence);
    }
    return OK;
}

static apr_status_t encode(request_rec *r, const pm_model *m, const asked *a)
{
    switch (a->format) {
    case FORMAT_AUTO:
        return pm_encode_auto(m, &a->query, to_client, r);
    case FORMAT_JSON:
        return pm_encode_json(m, &a->query, to_client, r);
    case FORMAT_CSV:
        return pm_encode_csv(m, &a->query, to_client, r);
    case FORMAT_PROMETHEUS:
        return pm_encode_prometheus(m, &a->query, a->openmetrics, to_client, r);
    default:
        return pm_encode_html(m, &a->query, to_client, r);
    }
}

/** What the format does not show need not be read. */
static void narrow(asked *a)
{
    switch (a->format) {
    case FORMAT_CSV:
        a->query.view = PM_VIEW_SERIES;
        break;
    case FORMAT_AUTO:
    case FORMAT_PROMETHEUS:
        a->query.view = PM_VIEW_SUMMARY;
        a->query.told = PM_TELL_NONE;
        break;
    case FORMAT_HTML:
        a->query.view = PM_VIEW_ALL;
        a->query.told = PM_TELL_OPEN;
        a->query.latest = 1;
        break;
    case FORMAT_JSON:
        break;
    }
}

static int reply(request_rec *r, const asked *a)
{
    const pm_source source = {.run_dir = "", .trouble = pm.trouble, .live = &pm.live};
    pm_capture *capture;
    pm_model *m;
    pm_error err;

    if (pm.read_fd < 0) {
        return refuse(r, a, HTTP_SERVICE_UNAVAILABLE,
                      pm.trouble[0] ? pm.trouble : "Nothing is recorded: the error log says why");
    }
    if (pm_capture_open_fd(&capture, pm.read_fd, pm.capture_path, r->pool, &err) != APR_SUCCESS ||
        pm_model_load(&m, capture, &source, &a->query, r->pool, &err) != APR_SUCCESS) {
        return refuse(r, a, HTTP_SERVICE_UNAVAILABLE, err.text);
    }
    if (a->query.incident != 0 && m->case_count == 0) {
        return refuse(r, a, HTTP_NOT_FOUND, "there is no incident with that number");
    }
    ap_set_content_type(r, content_type(a));
    if (!r->header_only) {
        encode(r, m, a);
    }
    return OK;
}

static int serve(request_rec *r)
{
    asked a = {0};
    pm_error err;

    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    if (r->method_number != M_GET) {
        ap_allow_methods(r, REPLACE_ALLOW, "GET", NULL); /* HEAD comes with it */
        return HTTP_METHOD_NOT_ALLOWED;
    }
    if (parse(r, &a, &err) != APR_SUCCESS) {
        return refuse(r, &a, HTTP_BAD_REQUEST, err.text);
    }
    narrow(&a);
    return reply(r, &a);
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
