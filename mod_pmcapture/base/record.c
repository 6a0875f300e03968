/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * record.c: the public names of event types, severities, and of the ways in which a backend fails.
 */
#include "pm_record.h"

static const char *const event_names[PM_EV_TYPES] = {
    [PM_EV_NONE] = "unknown",
    [PM_EV_SERVER_START] = "server.start",
    [PM_EV_SERVER_STOP] = "server.stop",
    [PM_EV_SERVER_UNCLEAN] = "server.unclean",
    [PM_EV_HOST_REBOOT] = "host.reboot",
    [PM_EV_CONFIG_LOAD] = "config.load",
    [PM_EV_CONFIG_RELOAD] = "config.reload",
    [PM_EV_CONFIG_CHANGED] = "config.changed",
    [PM_EV_CONFIG_REJECTED] = "config.rejected",
    [PM_EV_CONFIG_FAILED] = "config.failed",
    [PM_EV_START_FAILED] = "start.failed",
    [PM_EV_CONFIG_DRIFT] = "config.drift",
    [PM_EV_CHILD_CRASH] = "child.crash",
    [PM_EV_WORKERS_EXHAUSTED] = "workers.exhausted",
    [PM_EV_DEPENDENCY_MISSING] = "dependency.missing",
    [PM_EV_DEPENDENCY_CHANGED] = "dependency.changed",
    [PM_EV_ROUTE_MOVED] = "route.moved",
    [PM_EV_FILE_CHANGED] = "file.changed",
    [PM_EV_TRAFFIC_SILENCE] = "traffic.silence",
    [PM_EV_CLOCK_STEP] = "clock.step",
    [PM_EV_ERROR_LOG] = "error_log",
    [PM_EV_INCIDENT_OPEN] = "incident.open",
    [PM_EV_INCIDENT_CLOSE] = "incident.close",
    [PM_EV_NOTE] = "note",
};

static const char *const severity_names[] = {
    [PM_INFO] = "info", [PM_WARNING] = "warning", [PM_CRITICAL] = "critical"};

const char *pm_event_name(uint32_t type)
{
    return event_names[type < PM_EV_TYPES ? type : PM_EV_NONE];
}

const char *pm_severity_name(uint32_t severity)
{
    return severity_names[severity <= PM_CRITICAL ? severity : PM_CRITICAL];
}

static const struct {
    const char *key, *phrase;
} failures[PM_FAILURES] = {
    [PM_FAILURE_NONE] = {"unknown", "in an unknown way"},
    [PM_FAILURE_REFUSED] = {"refused", "refused"},
    [PM_FAILURE_TIMEOUT] = {"timeout", "timed out"},
    [PM_FAILURE_ANSWERED] = {"answered", "answered 5xx"},
    [PM_FAILURE_CLOSED] = {"closed", "closed before an answer"},
    [PM_FAILURE_NOT_TRIED] = {"not_tried", "not tried by httpd"},
    [PM_FAILURE_UNREACHABLE] = {"unreachable", "unreachable"},
    [PM_FAILURE_UNKNOWN] = {"unknown", "in an unknown way"},
};

const char *pm_failure_key(uint32_t failure)
{
    return failures[failure < PM_FAILURES ? failure : PM_FAILURE_UNKNOWN].key;
}

const char *pm_failure_phrase(uint32_t failure)
{
    return failures[failure < PM_FAILURES ? failure : PM_FAILURE_UNKNOWN].phrase;
}

uint64_t pm_failure_count(const pm_tally *backend, uint32_t failure)
{
    uint64_t known = 0;

    if (failure > PM_FAILURE_NONE && failure <= PM_WAYS) {
        return backend->ways[failure - PM_FAILURE_REFUSED];
    }
    for (uint32_t w = 0; w < PM_WAYS; w++) {
        known += backend->ways[w];
    }
    return known < backend->errors ? backend->errors - known : 0;
}
