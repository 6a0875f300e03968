/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_clean.c: what a verified record says, made safe to use.
 *
 * A checksum tells damage, not malice: a root user's tool reads files that others made. After this every
 * string is terminated clean text, every enum and count in range, every number one that can be shown.
 */
#include <string.h>

#include "capture_private.h"
#include "pm_text.h"

#define SPAN_LAST (366 * 86400ull * 1000000)

void pm_cap_clean_string(char *s, size_t size)
{
    char raw[PM_EVENT_TEXT];
    size_t len = strnlen(s, size);

    if (len > 0) {
        memcpy(raw, s, len);
        pm_text_clean(s, size, raw, len);
    }
}

static void clean_time(uint64_t *us)
{
    if (*us > PM_TIME_LAST) {
        *us = 0;
    }
}

static void clean_double(double *value, double most)
{
    if (!(*value >= 0)) { /* NaN too */
        *value = 0;
    }
    else if (*value > most) {
        *value = most;
    }
}

/** As clean_double, but -1 stands for "not counted". */
static void clean_known(double *value, double most)
{
    if (*value < 0) {
        *value = -1;
    }
    else {
        clean_double(value, most);
    }
}

static void clean_usual(pm_usual *u)
{
    clean_double(&u->requests_per_second, 1e18);
    clean_double(&u->error_ratio, 1);
    clean_known(&u->clients_per_minute, 1e18);
}

int pm_cap_sane_row(pm_row *row)
{
    if (row->at_us == 0 || row->at_us > PM_TIME_LAST || row->span_us == 0 ||
        row->span_us > SPAN_LAST) {
        return 0;
    }
    if (row->errors > row->requests) {
        row->errors = row->requests;
    }
    row->flags &= PM_ROW_ORPHANED | PM_ROW_RECOVERED;
    return 1;
}

void pm_cap_clean_server(pm_server *s)
{
    clean_time(&s->started_us);
    clean_time(&s->config_loaded_us);
    clean_time(&s->stopped_us);
    clean_time(&s->heartbeat_us);
    clean_time(&s->reload_us);
    pm_cap_clean_string(s->boot_id, sizeof(s->boot_id));
    pm_cap_clean_string(s->host_name, sizeof(s->host_name));
    pm_cap_clean_string(s->host_id, sizeof(s->host_id));
    pm_cap_clean_string(s->software, sizeof(s->software));
    pm_cap_clean_string(s->mpm, sizeof(s->mpm));
    pm_cap_clean_string(s->module_version, sizeof(s->module_version));
    pm_cap_clean_string(s->trouble, sizeof(s->trouble));
}

static void clean_tallies(pm_tally *tallies)
{
    for (int i = 0; i < PM_TALLIES; i++) {
        pm_cap_clean_string(tallies[i].key, sizeof(tallies[i].key));
        pm_cap_clean_string(tallies[i].defined, sizeof(tallies[i].defined));
        clean_time(&tallies[i].first_seen_us);
    }
}

static void clean_counts(pm_count *counts, int n)
{
    for (int i = 0; i < n; i++) {
        pm_cap_clean_string(counts[i].key, sizeof(counts[i].key));
    }
}

static void clean_statuses(pm_incident *i)
{
    for (int k = 0; k < PM_INCIDENT_STATUSES; k++) {
        if (i->status_code[k] < 100 || i->status_code[k] > 999) {
            i->status_code[k] = 0;
            i->status_count[k] = 0;
        }
    }
}

void pm_cap_clean_figures(pm_incident *i, uint32_t sample_room)
{
    i->open = i->open != 0;
    i->kinds &= PM_KIND_ALL;
    i->states &= i->open ? PM_KIND_STATES : 0;
    i->clients_known = i->clients_known != 0;
    i->sequential = i->sequential != 0;
    if (i->sample_count > sample_room) {
        i->sample_count = sample_room;
    }
    pm_cap_clean_string(i->vhost, sizeof(i->vhost));
    clean_time(&i->onset_us);
    clean_time(&i->detected_us);
    clean_time(&i->end_us);
    clean_time(&i->closed_us);
    clean_time(&i->peak_at_us);
    clean_time(&i->down_since_us);
    clean_double(&i->expected_error, 1e18);
    clean_double(&i->peak_errors_per_second, 1e18);
    clean_double(&i->peak_ratio, 1);
    clean_double(&i->clients, 1e18);
    clean_double(&i->error_clients, 1e18);
    clean_double(&i->before_requests_per_second, 1e18);
    clean_double(&i->served_all, 1e18);
    clean_double(&i->served, i->served_all);
    clean_known(&i->served_usual, 1);
    clean_known(&i->before_clients_per_minute, 1e18);
    clean_double(&i->before_error_ratio, 1);
    clean_usual(&i->day);
    clean_usual(&i->week);
    clean_statuses(i);
}

void pm_cap_clean_incident(pm_incident *i, uint32_t sample_room)
{
    pm_cap_clean_figures(i, sample_room);
    clean_tallies(i->by_vhost);
    clean_tallies(i->by_route);
    clean_tallies(i->by_host);
    clean_tallies(i->by_backend);
    clean_tallies(i->by_error_log);
    clean_counts(i->by_method, PM_COUNTS);
    clean_counts(i->by_client, PM_COUNTS);
    clean_counts(&i->busiest, 1);
}

void pm_cap_clean_sample(pm_sample *s)
{
    clean_time(&s->at_us);
    s->flags &= PM_SAMPLE_ABORTED | PM_SAMPLE_SLOW | PM_SAMPLE_MAYBE_ABORTED | PM_SAMPLE_BY_HTTPD;
    s->status = s->status >= 100 && s->status <= 999 ? s->status : 0;
    pm_cap_clean_string(s->method, sizeof(s->method));
    pm_cap_clean_string(s->uri, sizeof(s->uri));
    pm_cap_clean_string(s->host, sizeof(s->host));
    pm_cap_clean_string(s->vhost, sizeof(s->vhost));
    pm_cap_clean_string(s->backend, sizeof(s->backend));
    pm_cap_clean_string(s->client, sizeof(s->client));
    pm_cap_clean_string(s->request_id, sizeof(s->request_id));
}
