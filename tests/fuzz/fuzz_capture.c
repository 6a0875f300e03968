/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_capture.c: a capture file that somebody else has written: damaged, or forged with right checksums.
 *
 * An input is a list of changes to a file that holds something of everything, each as the first byte says:
 * bytes anywhere, a record's bytes with its checksum made right again, or a checkpoint, incident, event or
 * row with any content, written as the recorder writes it. Then the file is read as pmdump reads it.
 */
#include "every_format.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "capture/capture_private.h"
#include "pm_source.h"
#include "pm_time.h"

#define T0 1700000000000000ull
#define KEEP ((pm_retention){60, 60, 2, 64, 2, 0})
#define RECORDS_MAX 2048

/** Where a record lies in the untouched file. */
typedef struct place {
    uint64_t offset;
    uint32_t magic, room;
} place;

static apr_pool_t *pool;
static char path[128];
static uint8_t *image;
static size_t image_size;
static place records[RECORDS_MAX];
static uint32_t record_count;
static pm_checkpoint checkpoint;
static pm_incident incidents[2];
static pm_sample samples[2];

/* ---- the untouched file ---- */

static void fill_incident(pm_incident *i, uint64_t id)
{
    i->id = id;
    i->open = id == 2;
    i->kinds = PM_KIND_ERRORS | PM_KIND_DOWN;
    strcpy(i->vhost, id == 1 ? "api.example:80" : "");
    i->onset_us = i->detected_us = T0 + id * 20 * PM_SECOND;
    i->end_us = i->onset_us + 5 * PM_SECOND;
    i->requests = 100;
    i->errors = 40;
    i->unserved_us = PM_SECOND;
    i->status_code[0] = 503;
    i->status_count[0] = 40;
    i->clients_known = 1;
    i->clients = 9;
    i->error_clients = 4;
    i->sample_count = 2;
    strcpy(i->by_vhost[0].key, "api.example:80");
    strcpy(i->by_route[0].key, "/users/{id}");
    strcpy(i->by_backend[0].key, "http://app:8080");
    strcpy(i->by_error_log[0].key, "AH00957");
    i->by_vhost[0].errors = i->by_route[0].errors = i->by_backend[0].errors = 40;
    i->by_error_log[0].errors = 40;
    i->hist[40] = 40;
}

static void put_all(pm_capture *c)
{
    char data[1500] = "{\"added\":[\"";

    memset(data + strlen(data), 'x', 1200);
    strcat(data, "\"]}");
    for (uint64_t t = 1; t <= 60; t++) {
        pm_row row = {.tick = t,
                      .at_us = T0 + t * PM_SECOND,
                      .span_us = PM_SECOND,
                      .requests = t,
                      .errors = t % 3,
                      .clients = 2,
                      .busy = 1,
                      .idle = 7,
                      .limit = 8};

        pm_capture_put_second(c, &row);
        row.at_us = T0 + t * 60 * PM_SECOND;
        pm_capture_put_minute(c, &row);
    }
    for (uint32_t type = 1; type < PM_EV_TYPES; type++) {
        pm_event e = {.at_us = T0 + type * PM_SECOND,
                      .run = 1,
                      .type = type,
                      .severity = type % 3,
                      .data = "{}",
                      .data_len = 2};

        if (type == PM_EV_CONFIG_CHANGED) { /* one of several blocks */
            e.data = data;
            e.data_len = (uint32_t)strlen(data);
        }
        strcpy(e.text, "something happened");
        pm_capture_put_event(c, &e);
    }
    for (int i = 0; i < 2; i++) {
        fill_incident(&incidents[i], (uint64_t)i + 1);
        strcpy(samples[i].uri, "/users/7");
        samples[i].status = 503;
        samples[i].at_us = T0 + 20 * PM_SECOND;
    }
    for (int i = 0; i < 2; i++) {
        pm_capture_put_incident(c, &incidents[i], samples);
        pm_capture_pin(c, incidents[i].id, 0, T0, T0 + 60 * PM_SECOND);
    }
    checkpoint.tick = 60;
    checkpoint.next_incident = 3;
    checkpoint.totals.status[100] = 1000;
    checkpoint.totals.status[403] = 40;
    checkpoint.totals.hist[40] = 1040;
    checkpoint.server.run = 1;
    checkpoint.server.started_us = T0;
    checkpoint.server.heartbeat_us = T0 + 60 * PM_SECOND;
    strcpy(checkpoint.server.host_name, "www1");
    pm_capture_put_checkpoint(c, &checkpoint);
}

/** Remember where records are, so that an input can name one by its number. */
static void find_records(void)
{
    for (size_t at = 0; at + sizeof(pm_head) <= image_size; at += 8) {
        pm_head head;

        memcpy(&head, image + at, sizeof(head));
        if (record_count < RECORDS_MAX && head.length > 0 && head.length < image_size - at &&
            strchr("TCMPEIS", (char)head.magic) != NULL && head.check != 0 && head.seq != 0 &&
            head.seq < PM_POSITION_LAST && head.magic > 0x20202020u) {
            records[record_count++] = (place){at, head.magic, (uint32_t)sizeof(head) + head.length};
        }
    }
    fuzz_expect(record_count > 100, "the records of the untouched file were found");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *folder = fuzz_folder();
    pm_retention keep = KEEP;
    pm_capture *c;
    char notice[512];
    pm_error err;

    (void)argc, (void)argv;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    snprintf(path, sizeof(path), "%s/a.pmc", folder);
    fuzz_expect(pm_capture_create(&c, path, &keep, pool, notice, &err) == APR_SUCCESS, err.text);
    put_all(c);
    image_size = (size_t)pm_capture_size(&keep);
    image = malloc(image_size);
    fuzz_expect(pread(pm_capture_fd(c), image, image_size, 0) == (ssize_t)image_size,
                "the untouched file can be read");
    pm_capture_close(c);
    unlink(path);
    rmdir(folder);
    find_records();
    return 0;
}

/* ---- changes ---- */

static void change_record(pm_capture *c, feed *f)
{
    static uint8_t bytes[1 << 16];
    const place *p = &records[feed_number(f, 2) % record_count];
    size_t room = p->room < sizeof(bytes) ? p->room : sizeof(bytes);
    pm_head head;

    fuzz_expect(pread(pm_capture_fd(c), bytes, room, (off_t)p->offset) == (ssize_t)room, "read");
    feed_patch(f, bytes, room);
    memcpy(&head, bytes, sizeof(head));
    if (head.length > room - sizeof(head)) {
        head.length = (uint32_t)(room - sizeof(head));
    }
    pm_cap_seal(c, p->offset, bytes, p->magic, head.length, head.seq);
    pm_cap_write(c, p->offset, bytes, room);
}

static void change_event(pm_capture *c, feed *f)
{
    pm_event e = {.at_us = T0 + feed_number(f, 4),
                  .type = (uint32_t)feed_number(f, 1),
                  .severity = (uint32_t)feed_number(f, 1)};
    char data[256];

    feed_text(f, e.text, sizeof(e.text));
    feed_text(f, data, sizeof(data));
    e.data = data;
    e.data_len = (uint32_t)strlen(data);
    pm_capture_put_event(c, &e);
}

static void change_incident(pm_capture *c, feed *f)
{
    int i = (int)(feed_number(f, 1) & 1);
    pm_incident in = incidents[i];
    pm_sample two[2] = {samples[0], samples[1]};

    feed_patch(f, &in, offsetof(pm_incident, hist));
    feed_patch(f, two, sizeof(two));
    in.sample_count = in.sample_count < 2 ? in.sample_count : 2;
    pm_capture_put_incident(c, &in, two);
}

static void change(pm_capture *c, feed *f)
{
    pm_row row = {.tick = 61, .at_us = T0 + 61 * PM_SECOND, .span_us = PM_SECOND};
    size_t len;
    const uint8_t *bytes;
    uint64_t at;

    switch (feed_number(f, 1) % 6) {
    case 0:
        at = feed_number(f, 4) % image_size;
        bytes = feed_bytes(f, image_size - at, &len);
        pm_cap_write(c, at, bytes, len);
        break;
    case 1:
        change_record(c, f);
        break;
    case 2: {
        static pm_checkpoint cp;
        cp = checkpoint;
        feed_patch(f, &cp, offsetof(pm_checkpoint, consumed));
        pm_capture_put_checkpoint(c, &cp);
        break;
    }
    case 3:
        change_incident(c, f);
        break;
    case 4:
        change_event(c, f);
        break;
    default:
        feed_patch(f, &row, sizeof(row));
        pm_capture_put_second(c, &row);
        pm_capture_put_minute(c, &row);
        break;
    }
}

/* ---- reading ---- */

static void read_all(const char *name, const pm_query *q, uint32_t format, apr_pool_t *p)
{
    const pm_source source = {.run_dir = ""};
    pm_event *events;
    size_t count;
    pm_capture *c;
    pm_model *m;
    pm_error err = {""};

    if (pm_capture_open(&c, name, p, &err) != APR_SUCCESS) {
        fuzz_expect(err.text[0] != '\0', "a refusal has a sentence");
        return;
    }
    if (pm_model_load(&m, c, &source, q, p, &err) == APR_SUCCESS) {
        encode_as(m, q, format);
    }
    pm_capture_events_after(c, 12, &events, &count, p);
    for (size_t i = 0; i < count; i++) {
        fuzz_expect(events[i].seq > 12, "only what came since");
    }
    pm_capture_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    pm_query q = PM_QUERY_ALL;
    static int fd = -1;
    static char name[64];
    apr_pool_t *p;
    pm_capture *c;
    uint8_t how = (uint8_t)feed_number(&f, 1);

    if (fd < 0) { /* in memory, under a name that ends with us */
        fd = memfd_create("fuzz", 0);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    }
    apr_pool_create(&p, pool);
    fuzz_expect(pwrite(fd, image, image_size, 0) == (ssize_t)image_size, "written");
    fuzz_expect(pm_capture_open_fd(&c, fd, name, p, NULL) == APR_SUCCESS, "the file opens");
    while (feed_left(&f) > 0) {
        change(c, &f);
    }
    pm_capture_close(c);
    if (how & 1) {
        q.incident = how & 2 ? 1 : 2;
    }
    if (how & 4) {
        q.since_us = T0 + 10 * PM_SECOND;
        q.until_us = T0 + 40 * PM_SECOND;
    }
    if (how & 64) { /* as a status page is read */
        q.told = PM_TELL_OPEN;
        q.latest = 1;
        q.view = how & 128 ? PM_VIEW_SUMMARY : PM_VIEW_ALL;
    }
    read_all(name, &q, how >> 3, p);
    apr_pool_destroy(p);
    return 0;
}
