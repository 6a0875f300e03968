/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * event.c: what an event's own data say, and which events tell of a change.
 */
#include <stdio.h>
#include <string.h>

#include "pm_record.h"

/** In a string a quote is escaped, so `"key":` within one cannot match. */
const char *pm_event_member(const pm_event *e, const char *key, size_t *len)
{
    char name[32];
    const char *at;

    snprintf(name, sizeof(name), "\"%s\":", key);
    at = e->data != NULL ? strstr(e->data, name) : NULL;
    if (at == NULL) {
        return NULL;
    }
    at += strlen(name);
    *len = strcspn(at, *at == '"' ? "" : ",}");
    for (const char *c = at + 1; *at == '"' && *c != '\0'; c++) {
        if (*c == '\\' && c[1] != '\0') {
            c++;
        }
        else if (*c == '"') {
            *len = (size_t)(c + 1 - at);
            break;
        }
    }
    return at;
}

int pm_event_says(const pm_event *e, const char *key, const char *value)
{
    size_t len;
    const char *found = pm_event_member(e, key, &len);

    return found != NULL && len == strlen(value) && memcmp(found, value, len) == 0;
}

int pm_event_blames_configuration(const pm_event *e)
{
    return (e->type == PM_EV_CONFIG_REJECTED || e->type == PM_EV_CONFIG_FAILED ||
            e->type == PM_EV_START_FAILED) &&
           !pm_event_says(e, "configuration", "false");
}

int pm_event_is_change(const pm_event *e)
{
    switch (e->type) {
    case PM_EV_SERVER_START:
    case PM_EV_SERVER_STOP:
    case PM_EV_SERVER_UNCLEAN:
    case PM_EV_HOST_REBOOT:
    case PM_EV_CONFIG_CHANGED:
    case PM_EV_CONFIG_FAILED:
    case PM_EV_START_FAILED:
    case PM_EV_DEPENDENCY_MISSING:
    case PM_EV_DEPENDENCY_CHANGED:
    case PM_EV_ROUTE_MOVED:
    case PM_EV_FILE_CHANGED:
        return 1;
    case PM_EV_CONFIG_REJECTED: /* a start beside the running server refuses no configuration */
        return pm_event_blames_configuration(e);
    case PM_EV_CONFIG_DRIFT: /* its end is a load, or an edit that was taken back */
        return !pm_event_says(e, "resolved", "true");
    case PM_EV_CONFIG_RELOAD: /* what it changed is an event of its own, unless nobody could compare */
        return pm_event_says(e, "changes", "null");
    case PM_EV_NOTE: { /* a person's; the recorder's own tell of no change */
        size_t len;

        return pm_event_member(e, "user", &len) != NULL;
    }
    default:
        return 0;
    }
}
