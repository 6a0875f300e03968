/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * listen.c: the sockets of PMCaptureListen. The parent makes them, so that a port may be a privileged one, and hands them
 * over; the recorder answers there, also while every worker is busy, or none is left. One that is a service goes on
 * there when httpd was stopped, and offers the next httpd its sockets.
 */
#include "module.h"

#include <apr_strings.h>
#include <errno.h>
#include <unistd.h>
#include <unixd.h>

#include "service.h"

APLOG_USE_MODULE(pmcapture);

#define KEPT_KEY "mod_pmcapture/listen/1"

/** In process-lifetime memory (see retained.h). */
typedef struct kept_listen {
    struct {
        int fd; /* -1 = none */
        int said;
        char spec[PM_LISTEN_SPEC]; /* "" = unused */
    } at[PM_LISTEN_MAX];
} kept_listen;

static kept_listen *kept_get(void)
{
    kept_listen *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        for (int i = 0; i < PM_LISTEN_MAX; i++) {
            kept->at[i].fd = -1;
        }
    }
    return kept;
}

static void drop(kept_listen *kept, int i)
{
    if (kept->at[i].fd >= 0) {
        close(kept->at[i].fd);
        if (pm_listen_path(kept->at[i].spec) != NULL) {
            unlink(pm_listen_path(kept->at[i].spec));
        }
    }
    kept->at[i].fd = -1;
    kept->at[i].said = 0;
    kept->at[i].spec[0] = '\0';
}

static int is_wanted(const char *spec)
{
    for (int i = 0; pm_config->listen != NULL && i < pm_config->listen->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(pm_config->listen, i, const char *), spec) == 0) {
            return 1;
        }
    }
    return 0;
}

/** Its place, or a free one: those that are wanted no more have left theirs. */
static int place_of(const kept_listen *kept, const char *spec)
{
    int free_place = -1;

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (strcmp(kept->at[i].spec, spec) == 0) {
            return i;
        }
        free_place = kept->at[i].spec[0] == '\0' ? i : free_place;
    }
    return free_place;
}

static void open_one(kept_listen *kept, int i, const char *spec, server_rec *s, apr_pool_t *pool)
{
    pm_error err;

    apr_cpystrn(kept->at[i].spec, spec, sizeof(kept->at[i].spec));
    if (kept->at[i].fd >= 0) {
        return;
    }
    kept->at[i].fd = pm_service_take_offer(spec, pool);
    if (kept->at[i].fd >= 0) {
        return;
    }
    kept->at[i].fd =
        pm_listen_make(spec, geteuid() == 0 ? ap_unixd_config.group_id : (gid_t)-1, pool);
    if (kept->at[i].fd < 0 && !kept->at[i].said) {
        kept->at[i].said = 1;
        pm_fail_os(&err, errno, "PMCaptureListen %s: nobody can be answered there", spec);
        pm_say(s, APLOG_CRIT, err.text);
    }
}

int pm_listen_open(server_rec *s, int fds[])
{
    kept_listen *kept = kept_get();
    apr_pool_t *pool;
    int all = 1;

    if (apr_pool_create(&pool, pm.pconf) != APR_SUCCESS) {
        return 0;
    }
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (kept->at[i].spec[0] != '\0' && !is_wanted(kept->at[i].spec)) {
            drop(kept, i);
        }
    }
    for (int i = 0; pm_config->listen != NULL && i < pm_config->listen->nelts; i++) {
        const char *spec = APR_ARRAY_IDX(pm_config->listen, i, const char *);
        int place = place_of(kept, spec);

        if (place >= 0) {
            open_one(kept, place, spec, s, pool);
            all &= kept->at[place].fd >= 0;
        }
    }
    pm_service_close_offers();
    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        fds[i] = kept->at[i].fd;
    }
    apr_pool_destroy(pool);
    return all;
}

void pm_listen_each(void (*act)(int *fd))
{
    kept_listen *kept = kept_get();

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        act(&kept->at[i].fd);
    }
}

void pm_listen_leave(int end)
{
    kept_listen *kept = kept_get();

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        if (end) {
            drop(kept, i);
        }
        else if (kept->at[i].fd >= 0) {
            close(kept->at[i].fd);
            kept->at[i].fd = -1;
        }
    }
}
