/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_line.c: an event, or a minute's figures, as one line of JSON: what PMCaptureEventLog ships elsewhere.
 */
#include "encode.h"

static void stamp(pm_json *j, const char *capture_id, const char *host)
{
    pm_json_key(j, "schema");
    pm_json_string(j, "pmcapture.event.v1");
    pm_json_key(j, "capture");
    pm_json_string(j, capture_id);
    pm_json_key(j, "host");
    pm_json_string(j, host);
}

static apr_status_t end_line(pm_json *j, pm_sink sink, void *ctx)
{
    apr_status_t rv;

    pm_json_object_end(j);
    rv = pm_json_end(j);
    return rv == APR_SUCCESS ? sink(ctx, "\n", 1) : rv;
}

apr_status_t pm_encode_event(const pm_event *e, pm_sink sink, void *ctx)
{
    pm_json j;

    pm_json_begin(&j, sink, ctx);
    pm_json_object(&j);
    pm_json_event_members(&j, e);
    pm_json_object_end(&j);
    return pm_json_end(&j);
}

apr_status_t pm_encode_event_line(const pm_event *e, const char *capture_id, const char *host,
                                  pm_sink sink, void *ctx)
{
    pm_json j;

    pm_json_begin(&j, sink, ctx);
    pm_json_object(&j);
    stamp(&j, capture_id, host);
    pm_json_event_members(&j, e);
    return end_line(&j, sink, ctx);
}

apr_status_t pm_encode_minute_line(const pm_row *row, const char *capture_id, const char *host,
                                   pm_sink sink, void *ctx)
{
    pm_json j;

    pm_json_begin(&j, sink, ctx);
    pm_json_object(&j);
    stamp(&j, capture_id, host);
    pm_json_key(&j, "type");
    pm_json_string(&j, "minute");
    for (int i = 0; i < PM_COLUMNS; i++) {
        pm_json_key(&j, i == 0 ? "at" : pm_columns[i].name);
        pm_json_cell(&j, pm_column_cell(i, row));
    }
    return end_line(&j, sink, ctx);
}
