/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_live.c: a live region that a hijacked worker writes to while the recorder ticks.
 *
 * An input is a list of steps, each as its first byte says: bytes anywhere in the region, the header made right again,
 * requests, samples and notes with any content, and ticks. What is on disk must then still be readable; what was
 * on disk before is still there, and no total has gone back. Last, the region is read by itself, as pmdump does.
 */
#include "every_format.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <apr_general.h>

#include "pm_fold.h"
#include "pm_hash.h"
#include "pm_source.h"
#include "pm_time.h"

#define KEEP ((pm_retention){60, 60, 2, 512, 2, 0})
#define VHOSTS 3u
#define MARKER "before the attack"
#define STEPS_MAX 64

static apr_pool_t *pool;
static char folder[64], path[128];
static uint8_t *file_image, *region_image;
static size_t file_size;
static pm_live live;
static pm_control control;
static pm_ledger *ledger; /* a private view of a file: dropped pages come back as they were */
static uint64_t start_us;
static pm_burst_rule burst[64];
static pm_slow_rule slow[64];
static pm_served_rule served[64];
static const char *names[64], *defined[64];

static void set_rules(pm_fold *f, pm_capture *c)
{
    *f = (pm_fold){.state = ledger,
                   .control = &control,
                   .live = &live,
                   .capture = c,
                   .burst = burst[0],
                   .slow = slow[0],
                   .vhost_burst = burst,
                   .vhost_slow = slow,
                   .served = PM_SERVED_DEFAULT,
                   .vhost_served = served,
                   .vhost_names = names,
                   .vhost_defined = defined,
                   .samples = 2,
                   .clients = 1};
}

static void request(uint32_t vhost, uint32_t status, uint64_t at_us)
{
    pm_completed done = {.arrival_us = at_us,
                         .done_us = at_us + 1000,
                         .bytes = 10,
                         .client = at_us * 0x9e3779b97f4a7c15ull,
                         .status = status,
                         .vhost = vhost};

    pm_live_count(&live, &done);
}

/** Two ticks, the second with an incident, and an event that must never go. */
static void begin_run(pm_capture *c)
{
    pm_event e = {.at_us = start_us, .run = 1, .type = PM_EV_NOTE};
    pm_fold f;
    pm_error err;

    set_rules(&f, c);
    strcpy(e.text, MARKER);
    pm_capture_put_event(c, &e);
    fuzz_expect(pm_fold_begin(&f, start_us, 1000 * PM_SECOND, pool, &err) == APR_SUCCESS,
                "the run begins");
    for (uint64_t second = 1; second <= 2; second++) {
        for (uint32_t i = 0; i < 40; i++) {
            request(1 + i % 2, second == 2 && i % 2 ? 503 : 200,
                    start_us + second * PM_SECOND - 9000);
        }
        pm_fold_tick(&f, start_us + second * PM_SECOND, (second + 1000) * PM_SECOND);
    }
    free(f.tick);
}

static void make_ledger(void)
{
    size_t size = pm_ledger_size(live.geo.vhosts);
    int fd = memfd_create("ledger", 0);

    fuzz_expect(ftruncate(fd, (off_t)size) == 0, "room");
    ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fuzz_expect(ledger != MAP_FAILED, "mapped");
    pm_ledger_init(ledger, size, 1, live.geo.vhosts);
}

/** From here on, changes are private, and dropped with each input. */
static void freeze_ledger(void)
{
    size_t size = ledger->size;
    int fd = memfd_create("frozen", 0);

    ledger->random = 1;
    fuzz_expect(pwrite(fd, ledger, size, 0) == (ssize_t)size, "written");
    munmap(ledger, size);
    ledger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    fuzz_expect(ledger != MAP_FAILED, "mapped");
    close(fd);
}

static void remove_folder(void)
{
    unlink(path);
    unlink(live.path);
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    pm_live_geometry geo = pm_live_plan(1, 16, 4, VHOSTS);
    pm_retention keep = KEEP;
    pm_capture *c;
    char notice[512];
    pm_error err;

    (void)argc, (void)argv;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    strcpy(folder, fuzz_folder());
    snprintf(path, sizeof(path), "%s/a.pmc", folder);
    fuzz_expect(pm_capture_create(&c, path, &keep, pool, notice, &err) == APR_SUCCESS, err.text);
    fuzz_expect(pm_live_create(&live, folder, pm_capture_id(c), 1, &geo, -1, &err) == APR_SUCCESS,
                err.text);
    atexit(remove_folder);
    start_us = pm_time_now() / PM_SECOND * PM_SECOND;
    for (uint32_t v = 0; v < live.geo.vhosts; v++) {
        burst[v] = (pm_burst_rule){5, 5, 5, 0, 0.05, v == 1 ? 0.1 : 0};
        slow[v] = (pm_slow_rule){1, 5, 5, 5, PM_SECOND, 0.2};
    }
    names[1] = "www.example:80";
    names[2] = "api.example:80";
    make_ledger();
    begin_run(c);
    freeze_ledger();
    pm_capture_close(c);
    file_size = (size_t)pm_capture_size(&keep);
    file_image = malloc(file_size);
    region_image = malloc(live.size);
    memcpy(region_image, live.header, live.size);
    int fd = open(path, O_RDONLY);
    fuzz_expect(pread(fd, file_image, file_size, 0) == (ssize_t)file_size, "read");
    close(fd);
    return 0;
}

/* ---- steps ---- */

static void complete(feed *f, uint64_t now)
{
    pm_completed done = {.arrival_us = now - feed_number(f, 4), .done_us = now};

    done.status = (uint32_t)feed_number(f, 2);
    done.vhost = (uint32_t)feed_number(f, 2);
    done.stripe = (uint32_t)feed_number(f, 4);
    done.client = feed_number(f, 8);
    done.slow = (uint32_t)feed_number(f, 1) & 1;
    pm_live_count(&live, &done);
    pm_live_left(&live, (uint32_t)feed_number(f, 4), done.arrival_us);
    pm_live_arrived(&live, done.stripe, done.arrival_us, done.status, done.vhost);
}

static void hand_over(feed *f, int which)
{
    static pm_live_sample sample;
    static pm_live_note note;

    memset(&sample, 'x', sizeof(sample));
    memset(&note, 'x', sizeof(note));
    note.severity = 1;
    note.type = (uint32_t)feed_number(f, 1) % PM_EV_TYPES;
    feed_patch(f, &note, sizeof(note));
    feed_patch(f, &sample, sizeof(sample));
    pm_ring_write(which ? &live.journal : &live.samples, which ? (void *)&note : (void *)&sample);
}

static void count_heavy(feed *f, uint64_t now)
{
    char key[64], line[64];
    uint32_t vhost = (uint32_t)feed_number(f, 2), slot;
    enum pm_dimension d = (enum pm_dimension)(feed_number(f, 1) % PM_DIMENSIONS);

    feed_text(f, key, sizeof(key));
    feed_text(f, line, sizeof(line));
    slot = pm_heavy_claim(&live, d, vhost, pm_live_hash(&live, key, strlen(key)), key, line, now);
    pm_heavy_count(&live, slot, (int)feed_number(f, 1) & 1,
                   (uint32_t)feed_number(f, 1) % PM_FAILURES);
}

static void step(feed *f, pm_fold *fold, uint64_t *second)
{
    pm_live_header *h = live.header;
    size_t len, at;

    switch (feed_number(f, 1) % 7) {
    case 0:
        feed_patch(f, h, live.size);
        break;
    case 1: /* much of it at one time */
        at = (size_t)feed_number(f, 4) % live.size;
        len = (size_t)feed_number(f, 4) % (live.size - at);
        memset((uint8_t *)h + at, (int)feed_number(f, 1), len);
        break;
    case 2: /* the header page, sealed again */
        feed_patch(f, h, sizeof(*h));
        h->sum = XXH3_64bits(h, offsetof(pm_live_header, sum));
        break;
    case 3:
        complete(f, start_us + *second * PM_SECOND + 1000);
        break;
    case 4:
        hand_over(f, (int)feed_number(f, 1) & 1);
        break;
    case 5:
        count_heavy(f, start_us + *second * PM_SECOND + 1000);
        break;
    default:
        *second += 1 + (feed_number(f, 1) & 3);
        pm_fold_tick(fold, start_us + *second * PM_SECOND, (*second + 1000) * PM_SECOND);
    }
}

/* ---- what must hold ---- */

static void expect_history(uint32_t format, apr_pool_t *p)
{
    const pm_source source = {.run_dir = folder};
    const pm_query q = PM_QUERY_ALL;
    pm_capture *c;
    pm_model *m;
    pm_error err;
    int found = 0;

    fuzz_expect(pm_capture_open(&c, path, p, &err) == APR_SUCCESS, err.text);
    fuzz_expect(pm_model_load(&m, c, &source, &q, p, &err) == APR_SUCCESS, err.text);
    for (size_t i = 0; i < m->event_count; i++) {
        found += strcmp(m->events[i].text, MARKER) == 0;
    }
    fuzz_expect(found == 1, "no line of history was erased");
    fuzz_expect(pm_capture_damage(c).records == 0, "and none was damaged");
    encode_as(m, &q, format);
    pm_capture_close(c);
}

static void expect_no_total_below(const pm_totals *before)
{
    const pm_totals *now = &ledger->checkpoint.totals;

    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        fuzz_expect(now->status[i] >= before->status[i], "no total goes back");
    }
}

static void restore(void)
{
    int fd = open(path, O_WRONLY);

    fuzz_expect(pwrite(fd, file_image, file_size, 0) == (ssize_t)file_size, "restored");
    close(fd);
    memcpy(live.header, region_image, live.size);
    madvise(ledger, ledger->size, MADV_DONTNEED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    const pm_query q = PM_QUERY_ALL;
    uint32_t format = (uint32_t)feed_number(&f, 1);
    uint64_t second = 2;
    pm_totals before;
    apr_pool_t *p;
    pm_fold fold;
    pm_capture *c;
    pm_model *m;

    restore();
    before = ledger->checkpoint.totals;
    apr_pool_create(&p, pool);
    fuzz_expect(pm_capture_open_append(&c, path, p, NULL) == APR_SUCCESS, "the file opens");
    set_rules(&fold, c);
    for (int i = 0; i < STEPS_MAX && feed_left(&f) > 0; i++) {
        step(&f, &fold, &second);
    }
    pm_fold_tick(&fold, start_us + (second + 1) * PM_SECOND, (second + 1001) * PM_SECOND);
    free(fold.tick);
    pm_capture_close(c);
    expect_no_total_below(&before);
    expect_history(format, p);
    if (pm_model_load_live(&m, live.path, p, NULL) == APR_SUCCESS) {
        encode_as(m, &q, format / 8);
    }
    apr_pool_destroy(p);
    return 0;
}
