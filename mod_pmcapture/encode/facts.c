/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * facts.c: the figures of the server and the columns of the series, each declared once (facts.h).
 */
#include "facts.h"

#include <stddef.h>
#include <string.h>

#include "pm_check.h"

/* clang-format off */
#define ROW(field) offsetof(pm_row, field)
const pm_column pm_columns[PM_COLUMNS] = {
    {"time", PM_FROM_TIME, ROW(at_us), "start of the second or minute"},
    {"span", PM_FROM_SPAN, ROW(span_us), "seconds that the row covers: 1 when all is well"},
    {"requests", PM_FROM_COUNT, ROW(requests), "requests that were completed"},
    {"errors", PM_FROM_COUNT, ROW(errors), "of these, answered with a 5xx status"},
    {"bytes", PM_FROM_COUNT, ROW(bytes), "bytes of response bodies"},
    {"p50", PM_FROM_LATENCY, ROW(p50_us), "seconds from arrival to completion: half took at most that"},
    {"p99", PM_FROM_LATENCY, ROW(p99_us), "99 of a hundred took at most that"},
    {"busy", PM_FROM_GAUGE, ROW(busy), "workers that serve a request, at the end"},
    {"idle", PM_FROM_GAUGE, ROW(idle), "workers that wait for one"},
    {"limit", PM_FROM_GAUGE, ROW(limit), "workers that there may be"},
    {"slow", PM_FROM_COUNT, ROW(slow), "requests that took longer than the threshold"},
    {"p90", PM_FROM_LATENCY, ROW(p90_us), "90 of a hundred took at most that"},
    {"max", PM_FROM_LATENCY, ROW(max_us), "the longest"},
    {"in_flight", PM_FROM_GAUGE, ROW(in_flight), "requests being served, at the end"},
    {"oldest", PM_FROM_AGE, ROW(oldest_ms), "age of the oldest of these, in seconds"},
    {"clients", PM_FROM_GAUGE, ROW(clients), "distinct clients, estimated"},
    {"error_clients", PM_FROM_GAUGE, ROW(error_clients), "distinct clients that met an error, estimated"},
    {"status_1xx", PM_FROM_COUNT32, ROW(classes[0]), "requests answered so"},
    {"status_2xx", PM_FROM_COUNT32, ROW(classes[1]), "likewise"},
    {"status_3xx", PM_FROM_COUNT32, ROW(classes[2]), "likewise"},
    {"status_4xx", PM_FROM_COUNT32, ROW(classes[3]), "likewise"},
    {"status_5xx", PM_FROM_COUNT32, ROW(classes[4]), "likewise"},
    {"status_500", PM_FROM_COUNT32, ROW(e500), "likewise"},
    {"status_502", PM_FROM_COUNT32, ROW(e502), "likewise"},
    {"status_503", PM_FROM_COUNT32, ROW(e503), "likewise"},
    {"status_504", PM_FROM_COUNT32, ROW(e504), "likewise"},
    {"generation", PM_FROM_COUNT32, ROW(generation), "number of the configuration that ran"},
    {"orphaned", PM_FROM_BIT, PM_ROW_ORPHANED, "1: the parent process was dead, its children alive"},
};

#define M(field) offsetof(pm_model, field)
#define S(field) offsetof(pm_model, server.field)
#define NO_METRIC NULL, NULL, NULL
#define METRIC(name) name, NULL, NULL
const pm_figure pm_figures[PM_FIGURES] = {
    {"", "generated", "Generated", NO_METRIC, PM_FROM_TIME, M(generated_us), "When this was read."},
    {"", "tick", "Tick", NO_METRIC, PM_FROM_COUNT, M(tick), "Number of the last second folded in."},
    {"capture", "id", "CaptureId", NO_METRIC, PM_FROM_POINTER, M(capture_id), "Of the capture file."},
    {"capture", "path", "CaptureFile", NO_METRIC, PM_FROM_POINTER, M(path), "Of the capture file."},
    {"capture", "created", "CaptureCreated", NO_METRIC, PM_FROM_TIME, M(created_us), "When it was made."},
    {"capture", "oldest_second", NULL, NO_METRIC, PM_FROM_TIME, M(oldest_second_us),
     "From when on detail by the second is kept."},
    {"capture", "events_lost", "EventsLost", METRIC("events_lost_total"), PM_FROM_COUNT, M(events_lost),
     "Events that could not be recorded, since the capture file was made."},
    {"server", "host", "ServerHost", NO_METRIC, PM_FROM_TEXT, S(host_name), "The machine's name."},
    {"server", "software", "ServerVersion", NO_METRIC, PM_FROM_TEXT, S(software), "What httpd calls itself."},
    {"server", "mpm", "ServerMPM", NO_METRIC, PM_FROM_TEXT, S(mpm), "Its MPM."},
    {"server", "module_version", "ModuleVersion", NO_METRIC, PM_FROM_TEXT, S(module_version), "Of mod_pmcapture."},
    {"server", "pid", "ServerPid", NO_METRIC, PM_FROM_ID, S(pid), "Process id of httpd's parent."},
    {"server", "started", "Started", METRIC("start_time_seconds"), PM_FROM_TIME, S(started_us),
     "When the server started; as a metric in seconds since 1970."},
    {"server", "generation", "ConfigGeneration", METRIC("config_generation"), PM_FROM_COUNT32, S(generation),
     "Generation of the running configuration."},
    {"server", "config_loaded", "ConfigLoaded", NO_METRIC, PM_FROM_TIME, S(config_loaded_us), "When it was loaded."},
    {"server", "heartbeat", "Heartbeat", METRIC("heartbeat_timestamp_seconds"), PM_FROM_TIME, S(heartbeat_us),
     "The last second on record; as a metric in seconds since 1970."},
    {"server", "boot_id", NULL, NO_METRIC, PM_FROM_TEXT, S(boot_id), "Of the machine's boot."},
    {"server", "orphaned", "Orphaned", NO_METRIC, PM_FROM_FLAG, S(orphaned),
     "The parent process is dead, its children are alive."},
    {"server", "state", "State", NO_METRIC, PM_FROM_STATE, M(state),
     "Running, stopped in order, down (it vanished, or a start or reload failed), or unknown (a copy of the file)."},
    {"server", "unloaded", NULL, NO_METRIC, PM_FROM_TIME, M(unloaded_us),
     "When a reload took the module away from a server that runs on; null: it did not."},
    {"server", "config_failures", "ConfigFailures", METRIC("config_failures_total"), PM_FROM_COUNT32, S(config_failures),
     "Configurations that were refused, or with which a start or a reload failed, since the capture file was made."},
    {"server", "child_crashes", "ChildCrashes", METRIC("child_crashes_total"), PM_FROM_COUNT, S(crashes),
     "Child processes that died unasked, since the capture file was made."},
    {"server", "dependency_missing", "DependencyMissing", METRIC("dependency_missing"), PM_FROM_COUNT32,
     S(dependency_missing), "Files that the server needs and that are missing."},
    {"server", "write_failures", "CaptureWriteFailures", METRIC("capture_write_failures_total"), PM_FROM_COUNT,
     S(write_failures), "Failed writes to the capture file."},
    {NULL, NULL, "LastReload", NO_METRIC, PM_FROM_TIME, S(reload_us), "When the configuration was last loaded again."},
    {"totals", "requests", "TotalRequests", NO_METRIC, PM_FROM_REQUESTS, 0,
     "Requests completed since the capture file was made."},
    {"totals", "errors", "TotalErrors", NO_METRIC, PM_FROM_ERRORS, 0, "Of these, answered with a 5xx status."},
    {"totals", "bytes", "TotalBytes", METRIC("response_bytes_total"), PM_FROM_COUNT, M(totals.bytes),
     "Bytes of response bodies that were sent, since the capture file was made."},
    {"workers", "busy", "BusyWorkers", "workers", "state", "busy", PM_FROM_GAUGE, S(busy), "Worker slots, by state."},
    {"workers", "idle", "IdleWorkers", "workers", "state", "idle", PM_FROM_GAUGE, S(idle), "Worker slots, by state."},
    {"workers", "limit", "WorkersLimit", METRIC("workers_limit"), PM_FROM_GAUGE, S(limit),
     "Worker slots that there may be."},
    {"in_flight", "requests", "RequestsInFlight", METRIC("requests_in_flight"), PM_FROM_GAUGE, S(in_flight),
     "Requests being served."},
    {"in_flight", "oldest", "OldestInFlight", NO_METRIC, PM_FROM_AGE, S(oldest_ms), "Age of the oldest of these."},
};
/* clang-format on */

/* An age stands behind the gauge of how many there are. */
_Static_assert(ROW(oldest_ms) == ROW(in_flight) + 4, "PM_FROM_AGE");
_Static_assert(S(oldest_ms) == S(in_flight) + 4, "PM_FROM_AGE");

static uint64_t field64(const void *from, size_t where)
{
    uint64_t value;

    memcpy(&value, (const char *)from + where, sizeof(value));
    return value;
}

static uint32_t field32(const void *from, size_t where)
{
    uint32_t value;

    memcpy(&value, (const char *)from + where, sizeof(value));
    return value;
}

static pm_cell number(enum pm_cell_kind kind, uint64_t value, int known)
{
    return (pm_cell){known ? kind : PM_CELL_NULL, value, NULL};
}

static pm_cell text(const char *value)
{
    int known = value != NULL && value[0] != '\0';

    return (pm_cell){known ? PM_CELL_TEXT : PM_CELL_NULL, 0, value};
}

/** What needs no more than its field. */
static pm_cell field(enum pm_source source, const void *from, size_t where)
{
    uint64_t value;

    switch (source) {
    case PM_FROM_TEXT:
        return text((const char *)from + where);
    case PM_FROM_TIME:
        value = field64(from, where);
        return number(PM_CELL_TIME, value, value != 0);
    case PM_FROM_SPAN:
        return number(PM_CELL_SECONDS, field64(from, where), 1);
    case PM_FROM_COUNT:
        return number(PM_CELL_COUNT, field64(from, where), 1);
    case PM_FROM_GAUGE:
        value = field32(from, where);
        return number(PM_CELL_COUNT, value, value != PM_UNKNOWN);
    case PM_FROM_ID:
        value = field32(from, where);
        return number(PM_CELL_COUNT, value, value != 0);
    case PM_FROM_FLAG:
        return number(PM_CELL_FLAG, field32(from, where) != 0, 1);
    case PM_FROM_AGE:
        value = field32(from, where - 4);
        return number(PM_CELL_SECONDS, field32(from, where) * 1000ull,
                      value != 0 && value != PM_UNKNOWN);
    default:
        return number(PM_CELL_COUNT, field32(from, where), 1);
    }
}

pm_cell pm_column_cell(int column, const pm_row *row)
{
    const pm_column *c = &pm_columns[column];

    PM_CHECK(column >= 0 && column < PM_COLUMNS);
    switch (c->source) {
    case PM_FROM_LATENCY:
        return number(PM_CELL_SECONDS, field32(row, c->where), row->requests != 0);
    case PM_FROM_BIT:
        return number(PM_CELL_COUNT, (row->flags & c->where) != 0, 1);
    default:
        return field(c->source, row, c->where);
    }
}

pm_cell pm_figure_cell(const pm_figure *f, const pm_model *m)
{
    const char *pointer;

    switch (f->source) {
    case PM_FROM_POINTER:
        memcpy(&pointer, (const char *)m + f->where, sizeof(pointer));
        return text(pointer);
    case PM_FROM_STATE:
        return text(pm_state_name(m->state));
    case PM_FROM_REQUESTS:
        return number(PM_CELL_COUNT, pm_model_requests(&m->totals), 1);
    case PM_FROM_ERRORS:
        return number(PM_CELL_COUNT, pm_model_errors(&m->totals), 1);
    default:
        return field(f->source, m, f->where);
    }
}

void pm_json_cell(pm_json *j, pm_cell cell)
{
    switch (cell.kind) {
    case PM_CELL_TIME:
        pm_json_time(j, cell.value);
        break;
    case PM_CELL_COUNT:
        pm_json_uint(j, cell.value);
        break;
    case PM_CELL_SECONDS:
        pm_json_seconds(j, cell.value);
        break;
    case PM_CELL_TEXT:
        pm_json_string(j, cell.text);
        break;
    case PM_CELL_FLAG:
        pm_json_bool(j, cell.value != 0);
        break;
    case PM_CELL_NULL:
        pm_json_null(j);
        break;
    }
}

const char *pm_source_type(enum pm_source source)
{
    static const char *const types[] = {
        [PM_FROM_TEXT] = "text_or_null",  [PM_FROM_POINTER] = "text_or_null",
        [PM_FROM_STATE] = "state",        [PM_FROM_REQUESTS] = "count",
        [PM_FROM_ERRORS] = "count",       [PM_FROM_COUNT] = "count",
        [PM_FROM_COUNT32] = "count",      [PM_FROM_GAUGE] = "count_or_null",
        [PM_FROM_ID] = "count_or_null",   [PM_FROM_FLAG] = "flag",
        [PM_FROM_BIT] = "count",          [PM_FROM_TIME] = "time_or_null",
        [PM_FROM_SPAN] = "amount",        [PM_FROM_LATENCY] = "amount_or_null",
        [PM_FROM_AGE] = "amount_or_null",
    };

    return types[source];
}
