/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * load.c: what a load of the configuration brought, found out and told beside the server's start.
 *
 * To gather thousands of virtual hosts, compare them with the last ones and look at every file takes as long as httpd
 * takes to read them, and httpd waits for post_config. So the parent notes no more than that there was a load; the first
 * recorder, which has all of the parent's memory, does the work before it gives up root. Until it is done the other
 * one leaves the lease alone, for a while: whoever holds it watches the files that are found here.
 */
#include "glue.h"

#include <apr_strings.h>
#include <http_log.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_time.h"
#include "retained.h"
#include "watch.h"

APLOG_USE_MODULE(pmcapture);

#define TRIES 2u /* a recorder that dies of it shall not be the last one */

/** The load that this generation began with. */
static struct {
    uint64_t at_us;
    int first, graceful;
} load;

void pm_load_begin(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    pm_retained *kept = pm_retained_get();

    load.at_us = pm_time_now();
    load.first = !kept->started;
    /* The one member that survives the old configuration's end. */
    load.graceful = ap_unixd_mpm_get_retained_data()->was_graceful;
    if (load.first) {
        pm_write_event(kept->started_us, PM_EV_SERVER_START, PM_INFO,
                       apr_psprintf(ptemp, "{\"pid\":%ld}", (long)getpid()),
                       apr_psprintf(ptemp, "httpd started, pid %ld, %s", (long)getpid(),
                                    ap_get_server_description()));
    }
    else {
        kept->reload_us = load.at_us;
    }
    atomic_store(&pm.state->load_tries, 0);
    pm_config_prepare(pconf, ptemp, s);
    pm_watch_prepare(pconf, ptemp, s);
}

/* ---- in the recorder ---- */

/** A recorder of an earlier generation may be late with its own. */
static void advance(_Atomic uint32_t *mark, uint32_t to)
{
    uint32_t seen = atomic_load(mark);

    while (seen < to && !atomic_compare_exchange_weak(mark, &seen, to)) {
    }
}

static void tell(apr_pool_t *p, const pm_config_news *news)
{
    const char *changes =
        news->known ? apr_psprintf(p, "%lu", (unsigned long)news->changes) : "null";
    const char *what = news->known ? apr_pstrcat(p, ": ", news->summary, NULL) : "";
    const char *kind = load.graceful ? "graceful" : "restart";

    if (load.first) {
        pm_write_event(
            load.at_us, PM_EV_CONFIG_LOAD, PM_INFO,
            apr_psprintf(p, "{\"generation\":%u,\"changes\":%s}", pm.generation, changes),
            apr_psprintf(p, "The configuration was loaded%s", what));
    }
    else {
        pm_write_event(load.at_us, PM_EV_CONFIG_RELOAD, PM_INFO,
                       apr_psprintf(p, "{\"kind\":\"%s\",\"generation\":%u,\"changes\":%s}", kind,
                                    pm.generation, changes),
                       apr_psprintf(p, "The configuration was loaded again (%s), generation %u%s",
                                    kind, pm.generation, what));
    }
    if (news->changes > 0) {
        pm_write_event(load.at_us, PM_EV_CONFIG_CHANGED, PM_INFO, news->data, news->sentence);
    }
    /* First of all: it should not be said twice. */
    advance(&pm.state->said, pm.generation + 1);
    pm_capture_sync(pm.capture);
}

int pm_load_is_told(void)
{
    return atomic_load(&pm.state->told) >= pm.generation + 1;
}

void pm_load_tell(apr_pool_t *pool, server_rec *s)
{
    static const pm_config_news unknown;
    const pm_config_news *news = &unknown;
    int dies;

    if (atomic_load(&pm.state->told) == pm.generation + 1) {
        return; /* by one that died since */
    }
    dies = atomic_fetch_add(&pm.state->load_tries, 1) >= TRIES;
    if (dies) {
        pm_say(s, APLOG_ERR,
               "what this load of the configuration changed is not recorded, nor are its files "
               "watched: the processes that looked died");
    }
    else {
        news = pm_config_take(pool, s);
    }
    if (atomic_load(&pm.state->said) != pm.generation + 1) {
        tell(pool, news);
    }
    if (!dies) {
        pm_watch_fill(pool, s);
    }
    advance(&pm.state->told, pm.generation + 1);
}
