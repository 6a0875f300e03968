/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * eventlog.c: the target of PMCaptureEventLog, opened as httpd opens its logs. The recorder writes to it.
 */
#include "module.h"

#include <apr_strings.h>
#include <fcntl.h>

static apr_file_t *target_file;

static apr_file_t *open_target(apr_pool_t *pconf, const char *target, pm_error *err)
{
    const char *path;
    apr_file_t *file;
    apr_status_t rv;

    if (target[0] == '|') {
        piped_log *pipe = ap_open_piped_log(pconf, target + 1);

        if (pipe == NULL) {
            pm_fail(err, APR_EGENERAL, "PMCaptureEventLog: the program '%s' cannot be started",
                    target + 1);
            return NULL;
        }
        return ap_piped_log_write_fd(pipe);
    }
    path = ap_server_root_relative(pconf, target);
    rv = path == NULL
             ? APR_EBADPATH
             : apr_file_open(&file, path, APR_WRITE | APR_APPEND | APR_CREATE | APR_LARGEFILE,
                             APR_UREAD | APR_UWRITE | APR_GREAD, pconf);
    if (rv != APR_SUCCESS) {
        pm_fail_os(err, rv, "PMCaptureEventLog: %s cannot be opened, so no events are shipped",
                   path != NULL ? path : target);
        return NULL;
    }
    return file;
}

void pm_eventlog_open(apr_pool_t *pconf, server_rec *s)
{
    apr_file_t *file;
    apr_os_file_t fd;
    pm_error err;

    pm.event_log = -1;
    if (pm_config->event_log == NULL) {
        return;
    }
    file = open_target(pconf, pm_config->event_log, &err);
    if (file == NULL) {
        pm_say(s, APLOG_CRIT, err.text);
        if (pm.trouble[0] == '\0') {
            apr_cpystrn(pm.trouble, err.text, sizeof(pm.trouble));
        }
        return;
    }
    target_file = file;
    if (apr_os_file_get(&fd, file) == APR_SUCCESS) {
        pm.event_log = fd;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
}

void pm_eventlog_leave(void)
{
    if (pm.event_log >= 0) {
        /* Not close(): the file's own cleanup would close whatever has its number by then in a CGI script's process. */
        apr_file_close(target_file);
        pm.event_log = -1;
    }
}
