/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * defines.c: which names are defined, as far as that may be read.
 *
 * httpd keeps the names in one list for the life of the process, and takes back at each reload what Define lines have
 * put there. A module that adds a name of its own, before the first Define line, is not taken into account: the
 * name stays for ever, though its memory went with the old configuration (mod_security2), and is there once more with each
 * load (mod_perl). So entries that were there before this load are not looked at. Those of -D, among them, stand in
 * the command line.
 */
#include "module.h"

#include <ap_mpm.h>
#include <http_main.h>
#include <limits.h>

#define KEPT_KEY "mod_pmcapture/defines/1"

/** In process-lifetime memory, as the module is loaded anew with each reload (see retained.h). */
typedef struct kept_defines {
    int length; /* of the list when the last configuration was gone */
} kept_defines;

/** Registered before httpd's own cleanup, which takes the Defines back, and so run after it. */
static apr_status_t remember_length(void *unused)
{
    kept_defines *kept;

    (void)unused;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING) {
        return APR_SUCCESS; /* the list has gone before */
    }
    kept = ap_retained_data_get(KEPT_KEY);
    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
    }
    kept->length = ap_server_config_defines->nelts;
    return APR_SUCCESS;
}

void pm_register_defines(apr_pool_t *pconf)
{
    apr_pool_cleanup_register(pconf, NULL, remember_length, apr_pool_cleanup_null);
}

/** INT_MAX when nobody was there to remember: a running server has loaded this module with its last reload. */
static int first_of_load(void)
{
    const kept_defines *kept = ap_retained_data_get(KEPT_KEY);

    return kept != NULL ? kept->length : INT_MAX;
}

const char *pm_define_of_load(int i)
{
    int first = first_of_load();

    return i < ap_server_config_defines->nelts - first
               ? APR_ARRAY_IDX(ap_server_config_defines, first + i, const char *)
               : NULL;
}

int pm_is_defined_by_load(const char *name)
{
    const char *one;

    for (int i = 0; (one = pm_define_of_load(i)) != NULL; i++) {
        if (strcmp(one, name) == 0) {
            return 1;
        }
    }
    return 0;
}
