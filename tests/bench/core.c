/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * core.c: what can be measured of the core without httpd.
 *
 *   core count WAY WRITERS OPERATIONS    nanoseconds of processor for one request; WAY is recorder, mutex
 *                                        or line, with -processes behind it for processes instead of threads
 *   core size WORKERS PROCESSES VHOSTS   bytes of a live region
 *   core fill FILE SHARE INCIDENTS [open]  a capture file with so many percent of its history, and incidents; the last
 *                                        one open
 */
#include <apr_general.h>
#include <apr_time.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pm_capture.h"
#include "pm_live.h"
#include "pm_time.h"

#define WRITERS_MAX 64

/** What users' own counters usually are: in one place. */
typedef struct shared_line {
    pthread_mutex_t mutex;
    _Alignas(64) _Atomic uint64_t counter[5];
    _Alignas(64) _Atomic uint32_t ready, go;
} shared_line;

typedef struct bench {
    const char *way;
    int processes;
    uint32_t writers;
    uint64_t operations; /* of one writer */
    pm_live live;
    shared_line *line;
} bench;

typedef struct writer {
    bench *b;
    uint32_t number;
} writer;

static void by_recorder(bench *b, uint32_t number)
{
    uint32_t stripe = pm_live_stripe(&b->live, number);
    pm_stripe *to = pm_live_stripe_at(&b->live, stripe);
    pm_vhost_count *count = &pm_live_vhost_counts(&b->live, stripe)[1];
    pm_flight *flight = &b->live.flights[number * 17 % b->live.geo.flights];

    for (uint64_t i = 0; i < b->operations; i++) {
        uint64_t now = (uint64_t)apr_time_now();

        pm_flight_take(flight, now - 150, pm_flight_who(1, 1));
        pm_live_count_usual(to, to->hist[0], count, 200, 1024, 150 + i % 64);
        pm_flight_leave(flight, now - 150);
    }
}

static void by_mutex(bench *b, uint32_t number)
{
    uint64_t *counter = (uint64_t *)b->line->counter;

    (void)number;
    for (uint64_t i = 0; i < b->operations; i++) {
        pthread_mutex_lock(&b->line->mutex);
        for (int n = 0; n < 5; n++) {
            counter[n] += i;
        }
        pthread_mutex_unlock(&b->line->mutex);
    }
}

static void by_line(bench *b, uint32_t number)
{
    (void)number;
    for (uint64_t i = 0; i < b->operations; i++) {
        for (int n = 0; n < 5; n++) {
            atomic_fetch_add_explicit(&b->line->counter[n], 1, memory_order_relaxed);
        }
    }
}

static void *run(void *ctx)
{
    writer *w = ctx;
    bench *b = w->b;

    atomic_fetch_add(&b->line->ready, 1);
    while (!atomic_load(&b->line->go)) {
        usleep(100);
    }
    if (strcmp(b->way, "mutex") == 0) {
        by_mutex(b, w->number);
    }
    else if (strcmp(b->way, "line") == 0) {
        by_line(b, w->number);
    }
    else {
        by_recorder(b, w->number);
    }
    return NULL;
}

/** Microseconds of processor that this process and those it has waited for have used. */
static double used_us(void)
{
    struct rusage self, children;

    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return 1e6 * (double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec + children.ru_utime.tv_sec +
                          children.ru_stime.tv_sec) +
           (double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec);
}

/** Processor time, as other programs of the machine do not count in it; waiting for a lock or a cache line does. */
static double run_all(bench *b)
{
    pthread_t thread[WRITERS_MAX];
    writer w[WRITERS_MAX];
    double from;

    for (uint32_t i = 0; i < b->writers; i++) {
        w[i] = (writer){b, i};
        if (!b->processes) {
            pthread_create(&thread[i], NULL, run, &w[i]);
        }
        else if (fork() == 0) {
            run(&w[i]);
            _exit(0);
        }
    }
    while (atomic_load(&b->line->ready) < b->writers) {
        usleep(100);
    }
    from = used_us();
    atomic_store(&b->line->go, 1);
    for (uint32_t i = 0; i < b->writers; i++) {
        if (b->processes) {
            wait(NULL);
        }
        else {
            pthread_join(thread[i], NULL);
        }
    }
    return used_us() - from;
}

static int count(const char *way, uint32_t writers, uint64_t operations)
{
    static bench b;
    char dir[] = "/dev/shm/pmcapture-bench-XXXXXX", name[32];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    pm_live_geometry geo = pm_live_plan((uint32_t)cores, 400, 64, 10);
    pthread_mutexattr_t attr;
    uint8_t id[16] = {0};
    double us;

    snprintf(name, sizeof(name), "%.*s", (int)strcspn(way, "-"), way);
    b.way = name;
    b.processes = strchr(way, '-') != NULL;
    b.writers = writers;
    b.operations = operations / writers;
    b.line = mmap(NULL, sizeof(*b.line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b.line == MAP_FAILED || mkdtemp(dir) == NULL ||
        pm_live_create(&b.live, dir, id, 1, &geo, -1, NULL) != APR_SUCCESS) {
        return 1;
    }
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&b.line->mutex, &attr);
    us = run_all(&b);
    unlink(b.live.path);
    rmdir(dir);
    printf("%.1f\n", us * 1000 / (double)(b.operations * writers));
    return 0;
}

/* ---- a full history ---- */

static void fill_rows(pm_capture *c, const pm_retention *keep, uint64_t share, uint64_t now)
{
    uint64_t seconds = keep->seconds * share / 100, minutes = keep->minutes * share / 100;

    for (uint64_t i = 0; i < seconds; i++) {
        pm_row row = {.tick = keep->seconds - seconds + i + 1,
                      .at_us = now - (seconds - i) * PM_SECOND,
                      .span_us = PM_SECOND,
                      .requests = 900 + i % 97,
                      .errors = i % 31 == 0 ? 12 : 0,
                      .bytes = 1u << 20,
                      .classes = {0, 900, 10, 20, 12},
                      .p50_us = 180,
                      .p90_us = 900,
                      .p99_us = 4100,
                      .max_us = 90000,
                      .clients = 340,
                      .busy = 12,
                      .idle = 88,
                      .limit = 400,
                      .generation = 1};
        pm_capture_put_second(c, &row);
    }
    for (uint64_t i = 0; i < minutes; i++) {
        pm_row row = {.tick = i + 1,
                      .at_us = (now / 60000000 - (minutes - i)) * 60000000,
                      .span_us = 60 * PM_SECOND,
                      .requests = 54000,
                      .errors = 24,
                      .generation = 1};
        pm_capture_put_minute(c, &row);
    }
}

static void fill_events(pm_capture *c, const pm_retention *keep, uint64_t share, uint64_t now)
{
    static const uint32_t types[] = {
        PM_EV_ERROR_LOG,      PM_EV_CONFIG_RELOAD, PM_EV_FILE_CHANGED,
        PM_EV_CONFIG_CHANGED, PM_EV_CHILD_CRASH,   PM_EV_CONFIG_REJECTED,
        PM_EV_NOTE,           PM_EV_INCIDENT_OPEN, PM_EV_INCIDENT_CLOSE};
    uint64_t events = (uint64_t)keep->events * share / 100;

    for (uint64_t i = 0; i < events; i++) {
        const char *data = "{\"pid\":4711,\"path\":\"/etc/apache2/sites-enabled/shop.conf\"}";
        pm_event e = {.at_us = now - (events - i) * 60 * PM_SECOND,
                      .run = 1,
                      .type = types[i % (sizeof(types) / sizeof(types[0]))],
                      .data_len = (uint32_t)strlen(data),
                      .data = data};

        snprintf(e.text, sizeof(e.text), "AH01114: something happened to shop.example, number %d",
                 (int)i);
        pm_capture_put_event(c, &e);
    }
}

static void fill_tallies(pm_tally *to, const char *what, uint64_t errors)
{
    for (uint32_t i = 0; i < PM_TALLIES; i++) {
        snprintf(to[i].key, sizeof(to[i].key), "%s-%u.example", what, i);
        to[i].requests = 4 * (to[i].errors = errors / (i + 1));
    }
}

static void fill_incident(pm_capture *c, const pm_retention *keep, uint64_t id, uint64_t onset,
                          int open)
{
    static pm_sample samples[PM_SAMPLES_MAX];
    static pm_incident in;

    memset(&in, 0, sizeof(in));
    in = (pm_incident){.id = id,
                       .open = (uint32_t)open,
                       .kinds = PM_KIND_ERRORS,
                       .onset_us = onset,
                       .detected_us = onset + PM_SECOND,
                       .end_us = onset + 40 * PM_SECOND,
                       .closed_us = open ? 0 : onset + 100 * PM_SECOND,
                       .requests = 36000,
                       .errors = 9000,
                       .peak_at_us = onset + 9 * PM_SECOND,
                       .peak_errors_per_second = 400,
                       .peak_ratio = 0.4,
                       .status_code = {503, 502},
                       .status_count = {8000, 1000},
                       .clients_known = 1,
                       .clients = 2000,
                       .error_clients = 700,
                       .sample_count = keep->samples,
                       .before_us = 3600 * PM_SECOND};
    fill_tallies(in.by_vhost, "vhost", 9000);
    fill_tallies(in.by_host, "host", 9000);
    fill_tallies(in.by_backend, "backend", 9000);
    for (uint32_t i = 0; i < keep->samples; i++) {
        samples[i] = (pm_sample){.at_us = onset + i * PM_SECOND, .latency_us = 1200, .status = 503};
        strcpy(samples[i].method, "GET");
        snprintf(samples[i].uri, sizeof(samples[i].uri), "/basket/%u/checkout", i);
        strcpy(samples[i].vhost, "vhost-0.example");
        strcpy(samples[i].client, "192.0.2.0/24");
    }
    pm_capture_put_incident(c, &in, samples);
    pm_capture_pin(c, id, 0, onset - 120 * PM_SECOND, onset + 120 * PM_SECOND);
    pm_capture_pin(c, id, 1, onset - 80 * PM_SECOND, onset + 160 * PM_SECOND);
}

static int fill(const char *path, uint64_t share, uint64_t incidents, int open)
{
    static pm_checkpoint cp;
    pm_retention keep = PM_RETENTION_DEFAULT;
    char notice[512];
    pm_capture *c;
    apr_pool_t *pool;
    pm_error err;
    uint64_t now = pm_time_now(), step = keep.seconds * share / 100 * PM_SECOND / (incidents + 1);

    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (pm_capture_create(&c, path, &keep, pool, notice, &err) != APR_SUCCESS) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (pm_capture_lock(c, PM_SECOND) != APR_SUCCESS) {
        return 1;
    }
    fill_rows(c, &keep, share, now);
    fill_events(c, &keep, share, now);
    for (uint64_t id = 1; id <= incidents; id++) {
        fill_incident(c, &keep, id, now - (incidents + 1 - id) * step, open && id == incidents);
    }
    cp.tick = keep.seconds;
    cp.next_incident = incidents + 1;
    cp.last_event = pm_capture_last_event(c);
    cp.totals.status[100] = 6000000;
    cp.totals.hist[20] = 6000000;
    cp.server.run = 1;
    cp.server.started_us = now - keep.seconds * PM_SECOND;
    cp.server.heartbeat_us = cp.server.stopped_us = now;
    pm_capture_put_checkpoint(c, &cp);
    pm_capture_sync(c);
    pm_capture_close(c);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "count") == 0 && atoi(argv[3]) >= 1 &&
        atoi(argv[3]) <= WRITERS_MAX) {
        return count(argv[2], (uint32_t)atoi(argv[3]), (uint64_t)atoll(argv[4]));
    }
    if (argc == 5 && strcmp(argv[1], "size") == 0) {
        pm_live_geometry geo =
            pm_live_plan((uint32_t)sysconf(_SC_NPROCESSORS_ONLN), (uint32_t)atoi(argv[2]),
                         (uint32_t)atoi(argv[3]), (uint32_t)atoi(argv[4]));
        printf("%llu\n", (unsigned long long)pm_live_size(&geo));
        return 0;
    }
    if (argc >= 5 && strcmp(argv[1], "fill") == 0) {
        return fill(argv[2], (uint64_t)atoi(argv[3]), (uint64_t)atoi(argv[4]), argc > 5);
    }
    fprintf(stderr, "usage: core count|size|fill ...; see core.c\n");
    return 2;
}
