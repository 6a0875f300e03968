/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * directives.c: the directives: what they accept, and what they say of what they don't.
 */
#include "module.h"

#include <apr_strings.h>

#include "pm_time.h"
#include "pm_values.h"
#include "pm_watch.h"

static const pm_burst_rule default_burst = {10, 10, 60, 0, 0.05, 0};
static const pm_slow_rule default_slow = {1, 20, 30, 60, 5 * PM_SECOND, 0.20};

void pm_global_defaults(apr_pool_t *pconf)
{
    pm_config = apr_pcalloc(pconf, sizeof(*pm_config));
    pm_config->keep = PM_RETENTION_DEFAULT;
    pm_config->clients = PM_CLIENTS_MASKED;
    pm_config->samples = 32;
    pm_config->stopped_us = 60 * PM_SECOND;
}

/* ---- per server, per directory ---- */

void *pm_create_server_conf(apr_pool_t *p, server_rec *s)
{
    pm_server_conf *c = apr_pcalloc(p, sizeof(*c));

    (void)s;
    c->burst = default_burst;
    c->slow = default_slow;
    c->served = PM_SERVED_DEFAULT;
    return c;
}

static void merge_served(pm_server_conf *c, const pm_server_conf *base, const pm_server_conf *add)
{
    uint32_t s = add->served_set;

    c->served_set |= s;
    c->served.on = s & PM_SET_ON ? add->served.on : base->served.on;
    c->served.ratio = s & PM_SET_RATIO ? add->served.ratio : base->served.ratio;
    c->served.clients = s & PM_SET_CLIENTS ? add->served.clients : base->served.clients;
    c->served.window = s & PM_SET_WINDOW ? add->served.window : base->served.window;
    c->served.clear = s & PM_SET_CLEAR ? add->served.clear : base->served.clear;
}

void *pm_merge_server_conf(apr_pool_t *p, void *base_conf, void *add_conf)
{
    const pm_server_conf *base = base_conf, *add = add_conf;
    pm_server_conf *c = apr_pmemdup(p, base, sizeof(*c));
    uint32_t b = add->burst_set, s = add->slow_set;

    c->burst_set |= b;
    c->burst.errors = b & PM_SET_FIRST ? add->burst.errors : base->burst.errors;
    c->burst.ratio = b & PM_SET_RATIO ? add->burst.ratio : base->burst.ratio;
    c->burst.window = b & PM_SET_WINDOW ? add->burst.window : base->burst.window;
    c->burst.clear = b & PM_SET_CLEAR ? add->burst.clear : base->burst.clear;
    c->burst.clients = b & PM_SET_CLIENTS ? add->burst.clients : base->burst.clients;
    c->slow_set |= s;
    c->slow.on = s & PM_SET_ON ? add->slow.on : base->slow.on;
    c->slow.requests = s & PM_SET_FIRST ? add->slow.requests : base->slow.requests;
    c->slow.ratio = s & PM_SET_RATIO ? add->slow.ratio : base->slow.ratio;
    c->slow.window = s & PM_SET_WINDOW ? add->slow.window : base->slow.window;
    c->slow.clear = s & PM_SET_CLEAR ? add->slow.clear : base->slow.clear;
    c->slow.threshold_us = s & PM_SET_THRESHOLD ? add->slow.threshold_us : base->slow.threshold_us;
    merge_served(c, base, add);
    return c;
}

void *pm_create_dir_conf(apr_pool_t *p, char *dir)
{
    pm_dir_conf *c = apr_palloc(p, sizeof(*c));

    (void)dir;
    c->record = -1;
    return c;
}

void *pm_merge_dir_conf(apr_pool_t *p, void *base_conf, void *add_conf)
{
    const pm_dir_conf *base = base_conf, *add = add_conf;
    pm_dir_conf *c = apr_palloc(p, sizeof(*c));

    c->record = add->record != -1 ? add->record : base->record;
    return c;
}

/* ---- values ---- */

static const char *bad(cmd_parms *cmd, const char *value, const char *accepted)
{
    return apr_psprintf(cmd->pool, "%s: '%s' is not accepted: %s", cmd->cmd->name, value, accepted);
}

/* ---- directives ---- */

/** The same file, by whatever spelling, as far as the ServerRoot is known by now. */
static int same_file(apr_pool_t *p, const char *a, const char *b)
{
    const char *x = ap_server_root_relative(p, a), *y = ap_server_root_relative(p, b);

    return strcmp(a, b) == 0 || (x != NULL && y != NULL && strcmp(x, y) == 0);
}

static const char *set_file(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *where;

    (void)dir;
    /* Read while the configuration is being read (EXEC_ON_READ): there cmd->directive is NULL. */
    where = cmd->config_file ? apr_psprintf(cmd->pool, "%s:%d", cmd->config_file->name,
                                            cmd->config_file->line_number)
                             : "?";
    if (arg[0] == '\0') {
        return bad(cmd, arg, "give the path of the capture file, such as logs/pmcapture.pmc");
    }
    if (strstr(arg, "${") != NULL) {
        return NULL; /* an undefined variable: there is no file of that name to be made */
    }
    if (pm_config->file != NULL && !same_file(cmd->temp_pool, pm_config->file, arg)) {
        return bad(cmd, arg,
                   apr_psprintf(cmd->pool,
                                "there is one capture file for the whole server, and %s names %s",
                                pm_config->file_where, pm_config->file));
    }
    pm_config->file = apr_pstrdup(cmd->pool, arg);
    pm_config->file_where = where;
    return NULL;
}

/** As AP_INIT_FLAG, but what it says of a bad value names the value. */
static const char *on_or_off(cmd_parms *cmd, const char *arg, int *out)
{
    if (strcasecmp(arg, "On") != 0 && strcasecmp(arg, "Off") != 0) {
        return bad(cmd, arg, "write On or Off");
    }
    *out = strcasecmp(arg, "On") == 0;
    return NULL;
}

static const char *set_record(cmd_parms *cmd, void *dir, const char *arg)
{
    return on_or_off(cmd, arg, &((pm_dir_conf *)dir)->record);
}

static const char *set_burst(cmd_parms *cmd, void *dir, const char *arg)
{
    pm_server_conf *c = pm_conf_of(cmd->server);

    (void)dir;
    return pm_value_burst(arg, &c->burst, &c->burst_set)
               ? NULL
               : bad(cmd, arg,
                     "write errors=N (from 1), ratio=P% or clients=P% (above 0, up to 100), "
                     "window=S (1 to 120 seconds), clear=S (1 to 86400 seconds)");
}

static const char *set_slow(cmd_parms *cmd, void *dir, const char *arg)
{
    pm_server_conf *c = pm_conf_of(cmd->server);

    (void)dir;
    return pm_value_slow(arg, &c->slow, &c->slow_set)
               ? NULL
               : bad(cmd, arg,
                     "write Off, or threshold=T (1ms to 3600s), ratio=P% (above 0, up to 100), "
                     "requests=N (from 1), window=S (1 to 120 seconds), clear=S (1 to 86400 "
                     "seconds)");
}

static const char *set_served(cmd_parms *cmd, void *dir, const char *arg)
{
    pm_server_conf *c = pm_conf_of(cmd->server);

    (void)dir;
    return pm_value_served(arg, &c->served, &c->served_set)
               ? NULL
               : bad(cmd, arg,
                     "write Off, or ratio=P% (above 0, up to 100), clients=N (from 1), window=S (1 "
                     "to "
                     "36000 seconds), clear=S (1 to 86400 seconds)");
}

static const char *set_retention(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && !pm_value_retention(arg, &pm_config->keep)) {
        err = bad(cmd, arg,
                  "write seconds=DUR (60s to 24h), minutes=DUR (1h to 400d, whole minutes), "
                  "incidents=N (1 to 65536), events=N (64 to 1048576)");
    }
    return err;
}

static const char *set_clients(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char *const names[] = {"full", "masked", "hashed", "off"};
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    for (int i = 0; err == NULL && i < 4; i++) {
        if (strcasecmp(arg, names[i]) == 0) {
            pm_config->clients = (enum pm_clients_mode)i;
            return NULL;
        }
    }
    return err != NULL ? err : bad(cmd, arg, "write full, masked, hashed or off");
}

static const char *set_query(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    return err != NULL ? err : on_or_off(cmd, arg, &pm_config->query);
}

static const char *set_samples(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && !pm_value_number32(arg, 0, PM_SAMPLES_MAX, &pm_config->samples)) {
        err = bad(cmd, arg, "write a number from 0 to 256");
    }
    return err;
}

static const char *set_stopped(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && !pm_value_stopped(arg, &pm_config->stopped_us)) {
        err = bad(cmd, arg, "write Off or after=T (1 second to 30 days)");
    }
    return err;
}

static const char *set_config_diff(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char *const names[] = {"full", "names", "off"};
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    for (int i = 0; err == NULL && i < 3; i++) {
        if (strcasecmp(arg, names[i]) == 0) {
            pm_config->diff = (enum pm_config_detail)i;
            return NULL;
        }
    }
    return err != NULL ? err : bad(cmd, arg, "write full, names or off");
}

static const char *set_watch(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    pm_watch_path path = {
        arg, apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num)};

    (void)dir;
    if (err != NULL) {
        return err;
    }
    if (strlen(arg) >= PM_WATCH_PATH || ap_server_root_relative(cmd->temp_pool, arg) == NULL) {
        return bad(cmd, arg, "give the path of a file or folder, at most 511 bytes long");
    }
    if (pm_config->watch == NULL) {
        pm_config->watch = apr_array_make(cmd->pool, 4, sizeof(path));
    }
    APR_ARRAY_PUSH(pm_config->watch, pm_watch_path) = path;
    return NULL;
}

static const char *set_event_log(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && (arg[0] == '\0' || strcmp(arg, "|") == 0)) {
        err = bad(cmd, arg, "give a file, or | and a program, as CustomLog takes them");
    }
    pm_config->event_log = arg;
    return err;
}

static const char *set_recorder(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && arg[0] == '\0') {
        err = bad(cmd, arg,
                  "give auto, off, the path of the recorder program, or unix: and the path of a "
                  "recorder service's socket");
    }
    if (err == NULL && pm_listen_path(arg) != NULL && pm_listen_problem(arg, cmd->pool) != NULL) {
        err = bad(cmd, arg, pm_listen_problem(arg, cmd->pool));
    }
    if (err == NULL) {
        pm_config->recorder = strcasecmp(arg, "auto") == 0  ? NULL
                              : strcasecmp(arg, "off") == 0 ? "off"
                              : pm_listen_path(arg) != NULL
                                  ? arg
                                  : ap_server_root_relative(cmd->pool, arg);
    }
    return err;
}

static const char *set_probe(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (err == NULL && !pm_value_probe(arg, &pm_config->probe)) {
        err =
            bad(cmd, arg,
                "write auto, off, every=T (1 to 86400 seconds), or url=U (http://host/path, up to "
                "255 bytes, nothing to be escaped)");
    }
    return err;
}

static const char *set_listen(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const char *problem = err == NULL ? pm_listen_problem(arg, cmd->pool) : NULL;

    (void)dir;
    if (err != NULL || problem != NULL) {
        return err != NULL ? err : bad(cmd, arg, problem);
    }
    if (pm_config->listen == NULL) {
        pm_config->listen = apr_array_make(cmd->pool, PM_LISTEN_MAX, sizeof(const char *));
    }
    if (pm_config->listen->nelts == PM_LISTEN_MAX) {
        return bad(cmd, arg, "there is room for four addresses");
    }
    APR_ARRAY_PUSH(pm_config->listen, const char *) = arg;
    return NULL;
}

const command_rec pm_commands[] = {
    AP_INIT_TAKE1("PMCaptureFile", set_file, NULL, RSRC_CONF | ACCESS_CONF | EXEC_ON_READ,
                  "path of the capture file, relative to ServerRoot"),
    AP_INIT_TAKE1("PMCapture", set_record, NULL, RSRC_CONF | ACCESS_CONF,
                  "On or Off: record requests"),
    AP_INIT_ITERATE(
        "PMCaptureBurst", set_burst, NULL, RSRC_CONF,
        "errors=N ratio=P% clients=P% window=S clear=S: when an error incident opens and closes"),
    AP_INIT_ITERATE(
        "PMCaptureSlow", set_slow, NULL, RSRC_CONF,
        "threshold=T ratio=P% requests=N window=S clear=S, or Off: when a latency incident opens"),
    AP_INIT_ITERATE(
        "PMCaptureServed", set_served, NULL, RSRC_CONF,
        "ratio=P% clients=N window=S clear=S, or Off: when too few clients get what they "
        "ask for"),
    AP_INIT_ITERATE(
        "PMCaptureRetention", set_retention, NULL, RSRC_CONF,
        "seconds=DUR minutes=DUR incidents=N events=N: how much history the capture file holds"),
    AP_INIT_TAKE1("PMCaptureClients", set_clients, NULL, RSRC_CONF,
                  "full, masked, hashed or off: how a client address may be kept"),
    AP_INIT_TAKE1("PMCaptureQuery", set_query, NULL, RSRC_CONF,
                  "On or Off: keep query strings in samples"),
    AP_INIT_TAKE1("PMCaptureSamples", set_samples, NULL, RSRC_CONF,
                  "failing requests kept whole per incident, 0 to 256"),
    AP_INIT_TAKE1("PMCaptureStopped", set_stopped, NULL, RSRC_CONF,
                  "after=T, or Off: how long after an orderly stop it is an incident"),
    AP_INIT_TAKE1("PMCaptureConfigDiff", set_config_diff, NULL, RSRC_CONF,
                  "full, names or off: what is kept of a change of the configuration"),
    AP_INIT_ITERATE("PMCaptureWatch", set_watch, NULL, RSRC_CONF,
                    "further files or folders whose change or removal is an event"),
    AP_INIT_TAKE1("PMCaptureEventLog", set_event_log, NULL, RSRC_CONF,
                  "a file, or | and a program: every event as a line of JSON, shipped elsewhere"),
    AP_INIT_TAKE1(
        "PMCaptureRecorder", set_recorder, NULL, RSRC_CONF,
        "auto, off, the path of the recorder program that is started, or unix:PATH of a recorder "
        "service"),
    AP_INIT_ITERATE("PMCaptureProbe", set_probe, NULL, RSRC_CONF,
                    "auto, off, or every=T, and url=U: how httpd is looked at from outside"),
    AP_INIT_ITERATE("PMCaptureListen", set_listen, NULL, RSRC_CONF,
                    "ADDR:PORT or unix:PATH where the recorder itself serves its pages"),
    {NULL, {NULL}, NULL, 0, RAW_ARGS, NULL}};
