/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_case.h: what the tests of the capture file share: a folder of their own, records to write.
 */
#ifndef CAPTURE_CASE_H
#define CAPTURE_CASE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "pm_capture.h"

#define T0 1700000000000000ull /* a round time: 2023-11-14 22:13:20 */
#define SMALL ((pm_retention){60, 60, 4, 64, 4, 0})

typedef struct fixture {
    apr_pool_t *pool;
    pid_t child; /* ended with the test, whatever becomes of it */
    char folder[64];
    char path[128];
    char notice[512];
    pm_error err;
} fixture;

static inline int begin(void **state)
{
    fixture *f = calloc(1, sizeof(*f));

    apr_initialize();
    apr_pool_create(&f->pool, NULL);
    strcpy(f->folder, "/tmp/pmcapture-unit-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof(f->path), "%s/a.pmc", f->folder);
    *state = f;
    return 0;
}

static inline int end(void **state)
{
    fixture *f = *state;
    struct dirent *entry;
    DIR *dir = opendir(f->folder);

    if (f->child > 0) {
        kill(f->child, SIGKILL);
        waitpid(f->child, NULL, 0);
    }
    while (dir && (entry = readdir(dir))) {
        char name[512];
        snprintf(name, sizeof(name), "%s/%s", f->folder, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(name) != 0) {
            rmdir(name);
        }
    }
    closedir(dir);
    rmdir(f->folder);
    apr_pool_destroy(f->pool);
    free(f);
    return 0;
}

/* Fork a process that does not outlive the test; `status` of end_child() is waitpid's. */
static inline pid_t fork_child(fixture *f)
{
    f->child = fork();
    assert_true(f->child >= 0);
    if (f->child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return f->child;
}

static inline int end_child(fixture *f, int signal)
{
    int status = -1;

    if (signal) {
        kill(f->child, signal);
    }
    waitpid(f->child, &status, 0);
    f->child = 0;
    return status;
}

/* Files in the fixture's folder, lock files apart. */
static inline int files(const fixture *f)
{
    int n = 0;
    DIR *dir = opendir(f->folder);

    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        n += entry->d_name[0] != '.' && strstr(entry->d_name, PM_LOCK_SUFFIX) == NULL;
    }
    closedir(dir);
    return n;
}

static inline pm_capture *create(fixture *f, pm_retention keep)
{
    pm_capture *c = NULL;
    apr_status_t rv = pm_capture_create(&c, f->path, &keep, f->pool, f->notice, &f->err);

    if (rv != APR_SUCCESS) {
        fail_msg("%s", f->err.text);
    }
    return c;
}

static inline pm_capture *reopen(fixture *f)
{
    pm_capture *c = NULL;

    if (pm_capture_open(&c, f->path, f->pool, &f->err) != APR_SUCCESS) {
        fail_msg("%s", f->err.text);
    }
    return c;
}

static inline pm_row row_at(uint64_t tick)
{
    pm_row row = {
        .tick = tick, .at_us = T0 + tick * 1000000, .span_us = 1000000, .requests = tick * 3 + 5};

    row.errors = tick % 5;
    row.bytes = tick * 7919;
    row.busy = (uint32_t)tick;
    return row;
}

/* An event whose length and content follow from n: up to a few blocks, now and then many. */
static inline pm_event event_number(uint64_t n, uint32_t type, char *data, size_t data_len)
{
    pm_event e = {.at_us = T0 + n * 1000, .run = 1, .type = type, .severity = PM_WARNING};

    snprintf(e.text, sizeof(e.text), "event %llu", (unsigned long long)n);
    if (data_len >= 8) {
        memset(data, 'a' + (char)(n % 26), data_len);
        memcpy(data, "{\"d\":\"", 6);
        memcpy(data + data_len - 2, "\"}", 2);
        e.data = data;
        e.data_len = (uint32_t)data_len;
    }
    return e;
}

static inline void put_event(pm_capture *c, uint64_t n, uint32_t type, size_t data_len)
{
    static char data[PM_EVENT_DATA + 64];
    pm_event e = event_number(n, type, data, data_len);
    assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
}

static inline pm_incident *incident_number(const fixture *f, uint64_t id, uint32_t samples,
                                           pm_sample **out)
{
    pm_incident *i = apr_pcalloc(f->pool, sizeof(*i));

    i->id = id;
    i->kinds = PM_KIND_ERRORS;
    i->onset_us = T0 + id * 1000000;
    i->requests = id * 100;
    i->errors = id * 10;
    i->peak_ratio = 0.1;
    i->sample_count = samples;
    snprintf(i->vhost, sizeof(i->vhost), "vhost-%llu", (unsigned long long)id);
    snprintf(i->by_vhost[0].key, PM_KEY, "key-%llu", (unsigned long long)id);
    i->by_vhost[0].errors = id;
    *out = apr_pcalloc(f->pool, (samples + 1) * sizeof(**out));
    for (uint32_t k = 0; k < samples; k++) {
        (*out)[k].at_us = T0 + id * 1000 + k;
        (*out)[k].status = 503;
        snprintf((*out)[k].uri, sizeof((*out)[k].uri), "/%llu/%u", (unsigned long long)id, k);
    }
    return i;
}

static inline apr_status_t put_incident(const fixture *f, pm_capture *c, uint64_t id,
                                        uint32_t count)
{
    pm_sample *samples;
    pm_incident *i = incident_number(f, id, count, &samples);
    return pm_capture_put_incident(c, i, samples);
}

/* A file with something of everything; what that is follows from the numbers alone. */
static inline pm_checkpoint *filled_checkpoint(const fixture *f)
{
    pm_checkpoint *cp = apr_pcalloc(f->pool, sizeof(*cp));

    cp->tick = 100;
    cp->next_incident = 4;
    cp->totals.status[100] = 12345;
    strcpy(cp->server.mpm, "event");
    return cp;
}

static inline pm_row minute_at(uint64_t tick)
{
    pm_row row = row_at(tick);

    row.at_us = T0 + tick * 60000000;
    row.span_us = 60000000;
    return row;
}

static inline void fill(fixture *f, pm_capture *c)
{
    assert_int_equal(pm_capture_put_checkpoint(c, filled_checkpoint(f)), APR_SUCCESS);
    put_incident(f, c, 2, 2);
    put_incident(f, c, 3, 4);
    for (uint64_t tick = 1; tick <= 100; tick++) {
        pm_row row = row_at(tick);
        pm_capture_put_second(c, &row);
        if (tick == 50) {
            pm_capture_pin(c, 2, 0, T0 + 30000000, T0 + 41000000);
        }
        row = minute_at(tick);
        pm_capture_put_minute(c, &row);
        put_event(c, tick, tick % 2 ? PM_EV_NOTE : PM_EV_ERROR_LOG, tick * 30);
    }
}

#endif
