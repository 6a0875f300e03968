/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * status_hook.c: a section on mod_status's page. The hook is optional: without mod_status nobody calls it.
 */
#include "module.h"

#include <mod_status.h>

#include "relay.h"

static apr_status_t to_page(void *ctx, const char *bytes, size_t len)
{
    return ap_rwrite(bytes, (int)len, ctx) == (int)len ? APR_SUCCESS : APR_EGENERAL;
}

static int add_section(request_rec *r, int flags)
{
    int is_short = (flags & AP_STATUS_SHORT) != 0;
    pm_error err = {""};
    apr_status_t rv;
    pm_relay *relay;

    if (!is_short) {
        ap_rputs("<hr />\n<h2>Incidents (mod_pmcapture)</h2>\n<dl>\n", r);
    }
    rv = pm_relay_ask(&relay, "/mod_status", is_short ? "auto" : NULL, NULL, 0, r->pool, &err);
    if (rv == APR_SUCCESS) {
        pm_relay_pass(relay, to_page, r);
    }
    else {
        const char *sentence =
            APR_STATUS_IS_ENOENT(rv) && pm.trouble[0] != '\0' ? pm.trouble : err.text;

        ap_rprintf(r, is_short ? "PMCaptureError: %s\n" : "<dt>%s</dt>\n",
                   is_short ? sentence : ap_escape_html(r->pool, sentence));
    }
    if (!is_short) {
        ap_rputs("</dl>\n", r);
    }
    return OK;
}

void pm_register_status_hook(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, add_section, NULL, NULL, APR_HOOK_MIDDLE);
}
