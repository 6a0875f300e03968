/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * record.c: the public names of event types and severities.
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
