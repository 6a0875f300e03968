/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * facts.c: the tables of facts as JSON, for tests/make-facts, which makes the JSON Schema's and the manual's parts of
 * them.
 */
#include <stdio.h>

#include "encode/facts.h"
#include "pm_story.h"

static pm_json j;

static apr_status_t to_stdout(void *ctx, const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, ctx) == len ? APR_SUCCESS : APR_EGENERAL;
}

static void put(const char *key, const char *value)
{
    pm_json_key(&j, key);
    pm_json_string(&j, value);
}

static void begin(const char *key)
{
    pm_json_key(&j, key);
    pm_json_array(&j);
}

static void writers(uint32_t by)
{
    static const char *const names[] = {"httpd's parent", "workers", "the recorder", "commands"};

    begin("by");
    for (int n = 0; n < 4; n++) {
        if (by >> n & 1) {
            pm_json_string(&j, names[n]);
        }
    }
    pm_json_array_end(&j);
}

static void events(void)
{
    begin("events");
    for (uint32_t type = 1; type < PM_EV_TYPES; type++) {
        const pm_event_fact *fact = pm_event_fact_of(type);

        pm_json_object(&j);
        put("name", fact->name);
        put("meaning", fact->meaning);
        put("severity", pm_severity_name(fact->severity));
        put("cause", fact->reach.kinds == 0     ? NULL
                     : fact->reach.kind != NULL ? fact->reach.kind
                                                : fact->name);
        writers(fact->by);
        begin("members");
        for (const pm_member *m = fact->members; m->key != NULL; m++) {
            pm_json_object(&j);
            put("key", m->key);
            put("kind", pm_member_kind_name(m->kind));
            pm_json_key(&j, "nullable");
            pm_json_bool(&j, m->nullable);
            put("meaning", m->meaning);
            pm_json_object_end(&j);
        }
        pm_json_array_end(&j);
        pm_json_object_end(&j);
    }
    pm_json_array_end(&j);
}

static void columns(void)
{
    begin("columns");
    for (int n = 0; n < PM_COLUMNS; n++) {
        pm_json_object(&j);
        put("name", pm_columns[n].name);
        put("type", pm_source_type(pm_columns[n].source));
        put("meaning", pm_columns[n].meaning);
        pm_json_object_end(&j);
    }
    pm_json_array_end(&j);
}

static void figures(void)
{
    begin("figures");
    for (int n = 0; n < PM_FIGURES; n++) {
        const pm_figure *f = &pm_figures[n];

        pm_json_object(&j);
        put("section", f->section);
        put("key", f->key);
        put("line", f->line);
        put("metric", f->metric);
        put("label", f->label);
        put("kind", f->metric != NULL ? pm_metric_type(f->metric) : NULL);
        put("type", pm_source_type(f->source));
        put("meaning", f->meaning);
        pm_json_object_end(&j);
    }
    pm_json_array_end(&j);
}

static void metrics(void)
{
    begin("metrics");
    for (int n = 0; n < PM_METRICS; n++) {
        pm_json_object(&j);
        put("metric", pm_metrics[n].name);
        put("kind", pm_metrics[n].type);
        put("label", pm_metrics[n].label);
        put("meaning", pm_metrics[n].meaning);
        pm_json_object_end(&j);
    }
    pm_json_array_end(&j);
}

static void words(void)
{
    const char *name;

    begin("kinds");
    for (uint32_t n = 0; n < PM_KINDS; n++) {
        pm_json_object(&j);
        put("name", pm_kind_fact_of(n)->name);
        put("meaning", pm_kind_fact_of(n)->meaning);
        pm_json_object_end(&j);
    }
    pm_json_array_end(&j);
    begin("causes");
    for (size_t n = 0; (name = pm_story_figure_kind(n)) != NULL; n++) {
        pm_json_string(&j, name);
    }
    pm_json_array_end(&j);
    begin("hypotheses");
    for (size_t n = 0; (name = pm_story_hypothesis(n)) != NULL; n++) {
        pm_json_string(&j, name);
    }
    pm_json_array_end(&j);
    begin("failures");
    for (uint32_t n = PM_FAILURE_REFUSED; n < PM_FAILURES; n++) {
        pm_json_string(&j, pm_failure_key(n));
    }
    pm_json_array_end(&j);
}

int main(void)
{
    pm_json_begin(&j, to_stdout, stdout);
    pm_json_object(&j);
    events();
    columns();
    figures();
    metrics();
    words();
    pm_json_object_end(&j);
    return pm_json_end(&j) == APR_SUCCESS && fflush(stdout) == 0 ? 0 : 1;
}
