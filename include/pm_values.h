/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_values.h: what the directives' values say. No httpd in it, so that they can be tested without one.
 *
 * Each function is 1 when the whole text is a value that is accepted; else 0, and what it was to fill is not to be
 * used. Pure, thread-safe, and without the locale's help.
 */
#ifndef PM_VALUES_H
#define PM_VALUES_H

#include "pm_capture.h"
#include "pm_detect.h"
#include "pm_probe.h"
#include "pm_served.h"

/** A whole number, decimal. */
int pm_value_number(const char *text, uint64_t least, uint64_t most, uint64_t *out);
int pm_value_number32(const char *text, uint32_t least, uint32_t most, uint32_t *out);
/** "5%" or "0.5%" as a share: more than 0, at most 1. */
int pm_value_percent(const char *text, double *out);
/** Whole seconds of a rule: "10", "10s", "2m"; from 1. */
int pm_value_seconds(const char *text, uint32_t most, uint32_t *out);

/** Which members of a rule were given: they are merged one by one. */
enum {
    PM_SET_FIRST = 1, /* errors, requests */
    PM_SET_RATIO = 2,
    PM_SET_WINDOW = 4,
    PM_SET_CLEAR = 8,
    PM_SET_CLIENTS = 16,
    PM_SET_THRESHOLD = 32,
    PM_SET_ON = 64
};

/** One argument of PMCaptureBurst, "errors=10". */
int pm_value_burst(const char *arg, pm_burst_rule *rule, uint32_t *set);
/** One of PMCaptureSlow: "threshold=2s", "Off". */
int pm_value_slow(const char *arg, pm_slow_rule *rule, uint32_t *set);
/** One of PMCaptureServed: "ratio=20%", "Off". */
int pm_value_served(const char *arg, pm_served_rule *rule, uint32_t *set);
/** That of PMCaptureStopped: "after=60s"; "Off" is 0. */
int pm_value_stopped(const char *arg, uint64_t *us);
/** One of PMCaptureRetention: "minutes=7d". */
int pm_value_retention(const char *arg, pm_retention *keep);
/** One of PMCaptureProbe: "auto", "off", "every=60s", "url=http://host/path". */
int pm_value_probe(const char *arg, pm_probe_rule *rule);

#endif
