/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * model_fixture.h: a model as a reader would load it, made by hand: half an hour of steady traffic, and what a
 * test adds. Times count from ONSET, the onset of the incident that add_incident() makes.
 */
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include <string.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "pm_hist.h"
#include "pm_model.h"
#include "pm_story.h"
#include "pm_time.h"

#define ONSET 1795210205123000ull /* 2026-11-20T21:30:05.123Z */
#define S PM_SECOND
#define ROWS 1900
#define EVENTS 200

typedef struct fixture {
    apr_pool_t *pool;
    pm_model m;
    pm_row rows[ROWS];
    pm_event events[EVENTS];
    pm_case cases[8];
    pm_sample samples[16];
} fixture;

static inline void set_row(pm_row *row, uint64_t at_us, uint64_t requests, uint64_t errors)
{
    *row = (pm_row){.tick = at_us / S,
                    .at_us = at_us,
                    .span_us = S,
                    .requests = requests,
                    .errors = errors,
                    .bytes = requests * 1000,
                    .p50_us = 2100,
                    .p90_us = 4000,
                    .p99_us = 9000,
                    .max_us = 12000,
                    .clients = 40,
                    .error_clients = errors ? 12 : 0,
                    .busy = 5,
                    .idle = 70,
                    .limit = 150,
                    .in_flight = 4,
                    .oldest_ms = 30,
                    .generation = 3};
    row->classes[1] = (uint32_t)(requests - errors);
    row->classes[4] = row->e503 = (uint32_t)errors;
}

/* Rows from 1800 s before the onset to 100 s after it, 20 requests each. */
static inline fixture *fixture_make(apr_pool_t *pool)
{
    fixture *f = apr_pcalloc(pool, sizeof(*f));
    pm_server *s = &f->m.server;

    f->pool = pool;
    for (int n = 0; n < ROWS; n++) {
        set_row(&f->rows[n], ONSET - 123000 + (uint64_t)n * S - 1800 * S, 20, 0);
    }
    f->m = (pm_model){.generated_us = ONSET + 101 * S,
                      .tick = (ONSET + 100 * S) / S,
                      .capture_id = "0123456789abcdef0123456789abcdef",
                      .path = "/var/log/apache2/pmcapture.pmc",
                      .created_us = ONSET - 7200 * S,
                      .oldest_second_us = f->rows[0].at_us,
                      .state = PM_STATE_RUNNING,
                      .cases = f->cases,
                      .events = f->events,
                      .rows = f->rows,
                      .row_count = ROWS,
                      .resolution_us = S};
    *s = (pm_server){.run = 2,
                     .started_us = ONSET - 7100 * S,
                     .config_loaded_us = ONSET - 7100 * S,
                     .heartbeat_us = ONSET + 100 * S,
                     .pid = 4711,
                     .generation = 3,
                     .busy = 5,
                     .idle = 70,
                     .limit = 150,
                     .in_flight = 4,
                     .oldest_ms = 30};
    apr_cpystrn(s->software, "Apache/2.4.71 (Debian)", sizeof(s->software));
    apr_cpystrn(s->mpm, "event", sizeof(s->mpm));
    apr_cpystrn(s->module_version, "0.1.0", sizeof(s->module_version));
    apr_cpystrn(s->boot_id, "5f0c2c1e-8f6a-4f0e-9d4b-0c8f1b9f7a11", sizeof(s->boot_id));
    f->m.totals.status[100] = 38000;
    f->m.totals.status[204] = 12;
    f->m.totals.status[403] = 45;
    f->m.totals.hist[pm_hist_bucket(2000)] = 30000;
    f->m.totals.hist[pm_hist_bucket(9000)] = 8057;
    f->m.totals.bytes = 38057000;
    f->m.totals.max_us = 1250000;
    return f;
}

/* An event `offset_s` seconds after the onset; keep them in order of time. */
static inline pm_event *add_event(fixture *f, uint32_t type, double offset_s, const char *text,
                                  const char *data)
{
    pm_event *e = &f->events[f->m.event_count++];

    *e = (pm_event){.seq = f->m.event_count,
                    .at_us = ONSET + (uint64_t)(int64_t)(offset_s * 1e6),
                    .run = 2,
                    .type = type,
                    .severity = type == PM_EV_CONFIG_FAILED ? PM_CRITICAL : PM_INFO,
                    .data = data,
                    .data_len = (uint32_t)strlen(data)};
    apr_cpystrn(e->text, text, sizeof(e->text));
    return e;
}

/* Closed, 12.3 s long, 45 of 60 requests failed. */
static inline pm_incident *add_incident(fixture *f, uint32_t kinds)
{
    pm_case *c = &f->cases[f->m.case_count++];
    pm_incident *i = apr_pcalloc(f->pool, sizeof(*i));

    *i = (pm_incident){.id = f->m.case_count,
                       .kinds = kinds,
                       .onset_us = ONSET,
                       .detected_us = ONSET + 1500000,
                       .end_us = ONSET + 12300000,
                       .closed_us = ONSET + 72300000,
                       .requests = 60,
                       .errors = 45,
                       .peak_at_us = ONSET + 4 * S,
                       .peak_errors_per_second = 4.5,
                       .peak_ratio = 1.0,
                       .clients_known = 1,
                       .clients = 40.3,
                       .error_clients = 12.1,
                       .before = {2100, 4000, 9000, 36000},
                       .during = {2100, 4000, 9000, 60},
                       .before_us = 1800 * S,
                       .before_requests_per_second = 20,
                       .before_clients_per_minute = 40,
                       .generation = 3};
    i->status_code[0] = 503;
    i->status_count[0] = 45;
    *c = (pm_case){.incident = i};
    return i;
}

/* A failing request of the first incident, `offset_s` after the onset. */
static inline pm_sample *add_sample(fixture *f, double offset_s, const char *backend)
{
    pm_case *c = &f->cases[0];
    pm_sample *s = &f->samples[c->sample_count++];

    *s =
        (pm_sample){.at_us = ONSET + (uint64_t)(offset_s * 1e6), .latency_us = 1800, .status = 503};
    apr_cpystrn(s->method, "GET", sizeof(s->method));
    apr_cpystrn(s->uri, "/api/login", sizeof(s->uri));
    apr_cpystrn(s->host, "www.example.org", sizeof(s->host));
    apr_cpystrn(s->vhost, "www.example.org:443", sizeof(s->vhost));
    apr_cpystrn(s->backend, backend, sizeof(s->backend));
    apr_cpystrn(s->client, "192.0.2.0/24", sizeof(s->client));
    apr_cpystrn(s->request_id, "aZ9@1", sizeof(s->request_id));
    c->samples = f->samples;
    return s;
}

static inline pm_tally *add_tally(pm_tally *list, const char *key, uint64_t requests,
                                  uint64_t errors)
{
    while (list->errors) {
        list++;
    }
    *list = (pm_tally){.requests = requests, .errors = errors};
    apr_cpystrn(list->key, key, sizeof(list->key));
    return list;
}

static inline const pm_case *tell(fixture *f)
{
    for (size_t n = 0; n < f->m.case_count; n++) {
        pm_story_tell(&f->m, &f->cases[n], f->pool);
    }
    return &f->cases[0];
}

#endif
