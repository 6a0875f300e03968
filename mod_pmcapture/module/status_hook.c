/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * status_hook.c: a section on mod_status's page. The hook is optional: without mod_status nobody calls it.
 */
#include "module.h"

#include <mod_status.h>

#include "pm_source.h"
#include "pm_story.h"
#include "pm_time.h"

#define RECENT_US (86400 * PM_SECOND)

/** What was recorded of the last day, in short; a sentence in err when nothing can be had. */
static apr_status_t load(request_rec *r, pm_model **m, pm_error *err)
{
    const pm_source source = {.run_dir = "", .trouble = pm.trouble, .live = &pm.live};
    pm_query query = PM_QUERY_ALL;
    pm_capture *capture;
    apr_status_t rv;

    query.view = PM_VIEW_SUMMARY;
    query.told = PM_TELL_NONE;
    query.since_us = pm_time_now() - RECENT_US;
    if (pm.read_fd < 0) {
        return pm_fail(err, APR_ENOENT, "%s",
                       pm.trouble[0] ? pm.trouble : "Nothing is recorded: the error log says why");
    }
    rv = pm_capture_open_fd(&capture, pm.read_fd, pm.capture_path, r->pool, err);
    return rv == APR_SUCCESS ? pm_model_load(m, capture, &source, &query, r->pool, err) : rv;
}

static void put_incident(request_rec *r, const pm_model *m, const pm_incident *in, int is_short)
{
    char headline[PM_STORY_HEADLINE], when[PM_TIME_SIZE];

    pm_story_headline(m, in, headline);
    pm_time_format(in->onset_us, when);
    if (is_short) {
        ap_rprintf(r,
                   "PMCaptureIncident: %" APR_UINT64_T_FMT
                   "\nPMCaptureIncidentState: %s\nPMCaptureIncidentOnset: %s\n"
                   "PMCaptureIncidentSummary: %s\n",
                   in->id, in->open ? "open" : "closed", when, headline);
        return;
    }
    ap_rprintf(r, "<dt>Incident %" APR_UINT64_T_FMT " (%s), since %s: %s</dt>\n", in->id,
               in->open ? "open" : "closed", when, ap_escape_html(r->pool, headline));
}

/** Those that are open, else the last one. */
static void put_incidents(request_rec *r, const pm_model *m, int is_short)
{
    size_t open = 0;

    for (size_t i = 0; i < m->case_count; i++) {
        open += m->cases[i].incident->open != 0;
    }
    if (is_short) {
        ap_rprintf(r, "PMCaptureIncidentsOpen: %d\n", (int)open);
    }
    else if (open == 0) {
        ap_rputs("<dt>No incident is open.</dt>\n", r);
    }
    for (size_t i = 0; i < m->case_count; i++) {
        const pm_incident *in = m->cases[i].incident;

        if (in->open || (open == 0 && i + 1 == m->case_count)) {
            put_incident(r, m, in, is_short);
        }
    }
}

static int add_section(request_rec *r, int flags)
{
    int is_short = (flags & AP_STATUS_SHORT) != 0;
    pm_error err;
    pm_model *m;

    if (!is_short) {
        ap_rputs("<hr />\n<h2>Incidents (mod_pmcapture)</h2>\n<dl>\n", r);
    }
    if (load(r, &m, &err) == APR_SUCCESS) {
        put_incidents(r, m, is_short);
        for (size_t i = 0; !is_short && i < m->notice_count; i++) {
            ap_rprintf(r, "<dt>%s</dt>\n", ap_escape_html(r->pool, m->notices[i]));
        }
    }
    else {
        ap_rprintf(r, is_short ? "PMCaptureError: %s\n" : "<dt>%s</dt>\n",
                   is_short ? err.text : ap_escape_html(r->pool, err.text));
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
