/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * mod_pmcapture.c: the module: which hook leads where.
 */
#include "watch.h"

#include <ap_mpm.h>
#include <http_connection.h>
#include <http_request.h>
#include <mpm_common.h>

static void register_hooks(apr_pool_t *pconf)
{
    /* Whatever the configuration says first is to be on record, so its defaults stand before it is read. */
    pm_global_defaults(pconf);
    pm_register_defines(pconf);
    pm_register_refused(pconf);
    pm_register_successor();
    pm_register_filters();
    pm_where_prepare();
    pm_register_status_hook();
    pm_register_backend();

    ap_hook_post_config(pm_post_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_pre_mpm(pm_pre_mpm, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_monitor(pm_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(pm_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(pm_child_init, NULL, NULL, APR_HOOK_FIRST);

    ap_hook_pre_connection(pm_connection_opened, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_read_request(pm_request_arrived, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* First: also of a request that another handler takes, it must learn what a <Location> says. */
    ap_hook_handler(pm_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_error_log(pm_line_logged, NULL, NULL, APR_HOOK_MIDDLE);
    /* A hook of this kind stops at the first error: nobody may stand before us. */
    ap_hook_log_transaction(pm_request_done, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(pmcapture) = {
    STANDARD20_MODULE_STUFF, pm_create_dir_conf, pm_merge_dir_conf, pm_create_server_conf,
    pm_merge_server_conf,    pm_commands,        register_hooks,
#if defined(AP_MODULE_FLAG_NONE)
    AP_MODULE_FLAG_NONE,
#endif
};

extern module pm_module __attribute__((alias("pmcapture_module")));
