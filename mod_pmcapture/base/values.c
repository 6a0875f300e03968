/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * values.c: what the directives' values say.
 */
#include "pm_values.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pm_time.h"

#define COUNT_MAX 1000000000u
#define CLEAR_MAX 86400u
#define STOPPED_MAX (30u * 86400u)

int pm_value_number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;

    if (text[0] < '0' || text[0] > '9') {
        return 0;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= least && *out <= most;
}

int pm_value_number32(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t n;

    if (!pm_value_number(text, least, most, &n)) {
        return 0;
    }
    *out = (uint32_t)n;
    return 1;
}

int pm_value_percent(const char *text, double *out)
{
    double value = 0, unit = 1;
    int digits = 0, point = 0;

    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = 1;
            continue;
        }
        if (++digits > 9) {
            return 0;
        }
        value = value * 10 + (*text - '0');
        unit *= point ? 10 : 1;
    }
    *out = value / unit / 100;
    return digits > 0 && text[0] == '%' && text[1] == '\0' && *out > 0 && *out <= 1;
}

int pm_value_seconds(const char *text, uint32_t most, uint32_t *out)
{
    uint64_t us;

    if (!pm_time_duration(text, &us) || us % PM_SECOND != 0 || us < PM_SECOND ||
        us / PM_SECOND > most) {
        return 0;
    }
    *out = (uint32_t)(us / PM_SECOND);
    return 1;
}

/** If `arg` is "key=value", its value. */
static const char *value_of(const char *arg, const char *key)
{
    size_t n = strlen(key);

    return strncmp(arg, key, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

int pm_value_burst(const char *arg, pm_burst_rule *rule, uint32_t *set)
{
    const char *v;

    if ((v = value_of(arg, "errors")) != NULL) {
        *set |= PM_SET_FIRST;
        return pm_value_number32(v, 1, COUNT_MAX, &rule->errors);
    }
    if ((v = value_of(arg, "ratio")) != NULL) {
        *set |= PM_SET_RATIO;
        return pm_value_percent(v, &rule->ratio);
    }
    if ((v = value_of(arg, "clients")) != NULL) {
        *set |= PM_SET_CLIENTS;
        return pm_value_percent(v, &rule->clients);
    }
    if ((v = value_of(arg, "window")) != NULL) {
        *set |= PM_SET_WINDOW;
        return pm_value_seconds(v, PM_WINDOW_MAX, &rule->window);
    }
    if ((v = value_of(arg, "clear")) != NULL) {
        *set |= PM_SET_CLEAR;
        return pm_value_seconds(v, CLEAR_MAX, &rule->clear);
    }
    return 0;
}

int pm_value_slow(const char *arg, pm_slow_rule *rule, uint32_t *set)
{
    const char *v;

    *set |= PM_SET_ON;
    rule->on = strcasecmp(arg, "Off") != 0;
    if (!rule->on) {
        return 1;
    }
    if ((v = value_of(arg, "threshold")) != NULL) {
        *set |= PM_SET_THRESHOLD;
        return pm_time_duration(v, &rule->threshold_us) && rule->threshold_us >= 1000 &&
               rule->threshold_us <= 3600 * PM_SECOND;
    }
    if ((v = value_of(arg, "ratio")) != NULL) {
        *set |= PM_SET_RATIO;
        return pm_value_percent(v, &rule->ratio);
    }
    if ((v = value_of(arg, "requests")) != NULL) {
        *set |= PM_SET_FIRST;
        return pm_value_number32(v, 1, COUNT_MAX, &rule->requests);
    }
    if ((v = value_of(arg, "window")) != NULL) {
        *set |= PM_SET_WINDOW;
        return pm_value_seconds(v, PM_WINDOW_MAX, &rule->window);
    }
    if ((v = value_of(arg, "clear")) != NULL) {
        *set |= PM_SET_CLEAR;
        return pm_value_seconds(v, CLEAR_MAX, &rule->clear);
    }
    return 0;
}

int pm_value_served(const char *arg, pm_served_rule *rule, uint32_t *set)
{
    const char *v;

    *set |= PM_SET_ON;
    rule->on = strcasecmp(arg, "Off") != 0;
    if (!rule->on) {
        return 1;
    }
    if ((v = value_of(arg, "ratio")) != NULL) {
        *set |= PM_SET_RATIO;
        return pm_value_percent(v, &rule->ratio);
    }
    if ((v = value_of(arg, "clients")) != NULL) {
        *set |= PM_SET_CLIENTS;
        return pm_value_number32(v, 1, COUNT_MAX, &rule->clients);
    }
    if ((v = value_of(arg, "window")) != NULL) {
        *set |= PM_SET_WINDOW;
        return pm_value_seconds(v, PM_SERVED_WINDOW_MAX, &rule->window);
    }
    if ((v = value_of(arg, "clear")) != NULL) {
        *set |= PM_SET_CLEAR;
        return pm_value_seconds(v, CLEAR_MAX, &rule->clear);
    }
    return 0;
}

/** A duration of whole units. */
static int kept(const char *text, uint64_t unit, uint64_t least, uint64_t most, uint64_t *out)
{
    uint64_t us;

    if (!pm_time_duration(text, &us) || us % unit != 0) {
        return 0;
    }
    *out = us / unit;
    return *out >= least && *out <= most;
}

int pm_value_stopped(const char *arg, uint64_t *us)
{
    const char *v = value_of(arg, "after");
    uint32_t seconds = 0;

    if (strcasecmp(arg, "Off") != 0 && (v == NULL || !pm_value_seconds(v, STOPPED_MAX, &seconds))) {
        return 0;
    }
    *us = seconds * PM_SECOND;
    return 1;
}

int pm_value_retention(const char *arg, pm_retention *keep)
{
    const char *v;

    if ((v = value_of(arg, "seconds")) != NULL) {
        return kept(v, PM_SECOND, PM_SECONDS_MIN, PM_RETAIN_SECONDS, &keep->seconds);
    }
    if ((v = value_of(arg, "minutes")) != NULL) {
        return kept(v, 60 * PM_SECOND, PM_MINUTES_MIN, PM_RETAIN_MINUTES, &keep->minutes);
    }
    if ((v = value_of(arg, "incidents")) != NULL) {
        return pm_value_number32(v, PM_INCIDENTS_MIN, PM_INCIDENTS_MAX, &keep->incidents);
    }
    if ((v = value_of(arg, "events")) != NULL) {
        return pm_value_number32(v, PM_EVENTS_MIN, PM_EVENTS_MAX, &keep->events);
    }
    return 0;
}

/** A URL whose host and path can stand in a request as they are. */
static int is_url(const char *url)
{
    size_t len = strlen(url);

    if ((strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
        len >= PM_PROBE_URL || strchr(url, '@') != NULL) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (url[i] <= ' ' || url[i] > '~') {
            return 0;
        }
    }
    url = strchr(url, ':') + 3;
    return url[0] != '\0' && url[0] != '/';
}

int pm_value_probe(const char *arg, pm_probe_rule *rule)
{
    const char *v;

    if (strcasecmp(arg, "auto") == 0 || strcasecmp(arg, "off") == 0) {
        rule->mode = strcasecmp(arg, "off") == 0 ? PM_PROBE_OFF : PM_PROBE_AUTO;
        return 1;
    }
    if ((v = value_of(arg, "every")) != NULL) {
        rule->mode = PM_PROBE_EVERY;
        return pm_value_seconds(v, CLEAR_MAX, &rule->every);
    }
    if ((v = value_of(arg, "url")) != NULL && is_url(v)) {
        strcpy(rule->url, v);
        return 1;
    }
    return 0;
}
