/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_capture_damage.c: a capture file that was damaged, cut off or made by an enemy gives what is true, or nothing.
 *
 * PM_ROUNDS=N runs the random tests N times as long.
 */
#include "capture_case.h"

#include <math.h>

#include "../../mod_pmcapture/capture/capture_private.h"
#include "pm_json.h"
#include "splitmix.h"

static uint64_t rounds(uint64_t n)
{
    const char *factor = getenv("PM_ROUNDS");
    return n * (factor ? strtoull(factor, NULL, 10) : 1);
}

/* The filled file's bytes, to be damaged in a copy. */
typedef struct image {
    fixture *f;
    uint8_t *whole;
    size_t size;
    int fd;
} image;

static image make_image(fixture *f)
{
    image m = {.f = f, .size = pm_capture_size(&SMALL)};
    pm_capture *c = create(f, SMALL);

    fill(f, c);
    m.whole = apr_palloc(f->pool, m.size);
    m.fd = pm_capture_fd(c);
    assert_int_equal(pread(m.fd, m.whole, m.size, 0), m.size);
    return m;
}

static void restore(const image *m)
{
    assert_int_equal(pwrite(m->fd, m->whole, m->size, 0), m->size);
}

typedef struct found {
    size_t seconds, minutes, events, incidents, samples, checkpoint;
} found;

static void check_rows(pm_capture *c, found *n, apr_pool_t *pool)
{
    pm_row *rows;

    assert_int_equal(pm_capture_seconds(c, 0, UINT64_MAX, &rows, &n->seconds, pool), APR_SUCCESS);
    for (size_t i = 0; i < n->seconds; i++) {
        pm_row want = row_at(rows[i].tick);
        assert_memory_equal(&rows[i], &want, sizeof(want));
    }
    assert_int_equal(pm_capture_minutes(c, 0, UINT64_MAX, &rows, &n->minutes, pool), APR_SUCCESS);
    for (size_t i = 0; i < n->minutes; i++) {
        pm_row want = minute_at(rows[i].tick);
        assert_memory_equal(&rows[i], &want, sizeof(want));
    }
}

static void check_events(pm_capture *c, found *n, apr_pool_t *pool)
{
    char *data = apr_palloc(pool, PM_EVENT_DATA);
    pm_event *events;

    assert_int_equal(pm_capture_events(c, 0, UINT64_MAX, &events, &n->events, pool), APR_SUCCESS);
    for (size_t i = 0; i < n->events; i++) {
        pm_event want = event_number(events[i].seq, PM_EV_NOTE, data, events[i].seq * 30);
        assert_string_equal(events[i].text, want.text);
        if (events[i].type == PM_EV_NOTE) {
            assert_int_equal(events[i].data_len, want.data_len);
            assert_memory_equal(events[i].data, want.data, want.data_len);
        }
    }
}

static void check_incidents(pm_capture *c, found *n, apr_pool_t *pool)
{
    fixture sub = {.pool = pool};
    pm_incident **incidents;
    pm_sample *samples, *want;
    size_t count;

    assert_int_equal(pm_capture_incidents(c, &incidents, &n->incidents, pool), APR_SUCCESS);
    for (size_t i = 0; i < n->incidents; i++) {
        uint32_t kept = incidents[i]->id == 2 ? 2 : 4;
        pm_incident *expected = incident_number(&sub, incidents[i]->id, kept, &want);
        assert_memory_equal(incidents[i], expected, sizeof(*expected));
        assert_int_equal(pm_capture_samples(c, incidents[i], &samples, &count, pool), APR_SUCCESS);
        assert_true(count == 0 || count == kept);
        assert_memory_equal(samples ? samples : want, want, count * sizeof(*want));
        n->samples += count;
    }
}

/* All that can be read is what was written; how much of it there is. */
static found check_all(const image *m)
{
    static pm_checkpoint cp;
    found n = {0};
    apr_pool_t *pool;
    pm_capture *c;
    pm_error err;

    apr_pool_create(&pool, m->f->pool);
    if (pm_capture_open_fd(&c, m->fd, m->f->path, pool, &err) == APR_SUCCESS) {
        fixture sub = {.pool = pool};
        if (pm_capture_checkpoint(c, &cp) == APR_SUCCESS) {
            n.checkpoint = 1;
            assert_memory_equal(&cp, filled_checkpoint(&sub), sizeof(cp));
        }
        check_rows(c, &n, pool);
        check_events(c, &n, pool);
        check_incidents(c, &n, pool);
        (void)pm_capture_last_event(c);
    }
    apr_pool_destroy(pool);
    return n;
}

static void assert_complete(found n)
{
    assert_int_equal(n.seconds, 11 + 60);
    assert_int_equal(n.minutes, 60);
    assert_true(n.events > 15);
    assert_int_equal(n.incidents, 2);
    assert_int_equal(n.samples, 6);
    assert_int_equal(n.checkpoint, 1);
}

static void every_bit_of_one_header_may_flip(void **state)
{
    image m = make_image(*state);

    for (size_t at = 0; at < sizeof(pm_header) * 8; at++) {
        for (int copy = 0; copy < 2; copy++) {
            size_t place = (size_t)copy * 4096 + at / 8;
            uint8_t byte = m.whole[place] ^ (uint8_t)(1u << at % 8);
            assert_int_equal(pwrite(m.fd, &byte, 1, (off_t)place), 1);
            pm_capture *c = reopen(m.f);
            assert_int_equal(memcmp(pm_capture_retention(c), &SMALL, sizeof(SMALL)), 0);
            pm_capture_close(c);
            assert_int_equal(pwrite(m.fd, &m.whole[place], 1, (off_t)place), 1);
        }
    }
    assert_complete(check_all(&m));
}

static void any_bit_of_both_headers_is_an_error_with_a_sentence(void **state)
{
    image m = make_image(*state);

    for (size_t at = 0; at < sizeof(pm_header) * 8; at++) {
        pm_capture *c;
        for (size_t copy = 0; copy < 2; copy++) {
            uint8_t byte = m.whole[at / 8] ^ (uint8_t)(1u << at % 8);
            assert_int_equal(pwrite(m.fd, &byte, 1, (off_t)(copy * 4096 + at / 8)), 1);
        }
        m.f->err.text[0] = '\0';
        assert_int_not_equal(pm_capture_open(&c, m.f->path, m.f->pool, &m.f->err), APR_SUCCESS);
        assert_non_null(strstr(m.f->err.text, m.f->path));
        for (size_t copy = 0; copy < 2; copy++) {
            assert_int_equal(pwrite(m.fd, m.whole + at / 8, 1, (off_t)(copy * 4096 + at / 8)), 1);
        }
    }
}

static void file_cut_anywhere_is_read_as_far_as_it_goes(void **state)
{
    image m = make_image(*state);
    found last = check_all(&m);

    assert_complete(last);
    for (size_t length = m.size; length > 0; length -= length < 9000 ? 1 + length / 50 : 1999) {
        assert_int_equal(ftruncate(m.fd, (off_t)length), 0);
        found n = check_all(&m);
        assert_true(n.seconds <= last.seconds && n.minutes <= last.minutes &&
                    n.events <= last.events && n.incidents <= last.incidents &&
                    n.samples <= last.samples);
        last = n;
        if (length < 2000) {
            break;
        }
    }
    for (size_t length = 200; length-- > 0;) {
        assert_int_equal(ftruncate(m.fd, (off_t)length), 0);
        check_all(&m);
    }
}

static void damage(const image *m, uint64_t *seed)
{
    size_t at = splitmix_next(seed) % m->size, len = 1 + splitmix_next(seed) % 5000;
    uint8_t bytes[5001];

    len = len < m->size - at ? len : m->size - at;
    switch (splitmix_next(seed) % 5) {
    case 0:
    case 1: /* a flipped bit */
        bytes[0] = m->whole[at] ^ (uint8_t)(1u << splitmix_next(seed) % 8);
        len = 1;
        break;
    case 2: /* a sector that came back empty */
        at &= ~(size_t)511;
        len = 512;
        memset(bytes, 0, len);
        break;
    case 3: /* garbage */
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (uint8_t)splitmix_next(seed);
        }
        break;
    default: /* what belongs elsewhere */
        memcpy(bytes, m->whole + splitmix_next(seed) % (m->size - len + 1) / 8 * 8, len);
        at &= ~(size_t)7;
    }
    assert_int_equal(pwrite(m->fd, bytes, len, (off_t)at), len);
}

static void random_damage_is_skipped_and_never_believed(void **state)
{
    image m = make_image(*state);
    uint64_t seed = 4, damaged = 0;

    for (uint64_t i = 0; i < rounds(1500); i++) {
        for (uint64_t k = 1 + splitmix_next(&seed) % 40; k > 0; k--) {
            damage(&m, &seed);
        }
        check_all(&m);
        pm_capture *c;
        if (pm_capture_open(&c, m.f->path, m.f->pool, NULL) == APR_SUCCESS) {
            pm_row *rows;
            size_t count;
            pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, m.f->pool);
            pm_capture_minutes(c, 0, UINT64_MAX, &rows, &count, m.f->pool);
            damaged += pm_capture_damage(c).records;
            pm_capture_close(c);
        }
        restore(&m);
        if (i % 100 == 99) {
            assert_complete(check_all(&m));
        }
    }
    assert_true(damaged > rounds(1500));
}

/* Spoil the newest of two copies. */
static void spoil(const image *m, uint64_t first, uint64_t second)
{
    pm_head heads[2];

    memcpy(&heads[0], m->whole + first, sizeof(heads[0]));
    memcpy(&heads[1], m->whole + second, sizeof(heads[1]));
    uint64_t newest = heads[1].seq > heads[0].seq ? second : first;
    assert_int_equal(pwrite(m->fd, "torn", 4, (off_t)newest + 40), 4);
}

static void torn_rewrite_leaves_the_version_before_it(void **state)
{
    image m = make_image(*state);
    pm_capture *c = create(m.f, SMALL);
    pm_layout l = pm_cap_layout(&SMALL);
    pm_checkpoint *cp = filled_checkpoint(m.f), *got = apr_palloc(m.f->pool, sizeof(*got));
    pm_incident **incidents;
    size_t count;

    for (uint32_t i = 0; i < 5; i++) {
        cp->tick++;
        assert_int_equal(pm_capture_put_checkpoint(c, cp), APR_SUCCESS);
        assert_int_equal(put_incident(m.f, c, 2, i), APR_SUCCESS);
        assert_int_equal(pread(m.fd, m.whole, m.size, 0), m.size);
        spoil(&m, l.checkpoint[0], l.checkpoint[1]);
        spoil(&m, pm_cap_copy_offset(c, 2, 0), pm_cap_copy_offset(c, 2, 1));
        assert_int_equal(pm_capture_checkpoint(c, got), APR_SUCCESS);
        assert_int_equal(got->tick, cp->tick - 1);
        pm_capture_incidents(c, &incidents, &count, m.f->pool);
        assert_int_equal(count, 2);
        assert_int_equal(incidents[0]->sample_count, i == 0 ? 2 : i - 1);
        restore(&m);
    }
}

static void displaced_copies_of_records_are_not_taken_for_others(void **state)
{
    image m = make_image(*state);
    pm_layout l = pm_cap_layout(&SMALL);
    uint64_t one = l.seconds, two = l.seconds + sizeof(pm_row_record);

    assert_int_equal(pwrite(m.fd, m.whole + one, sizeof(pm_row_record), (off_t)two),
                     sizeof(pm_row_record));
    pm_row *rows;
    size_t count;
    pm_capture *c = reopen(m.f);
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, m.f->pool);
    assert_int_equal(count, 11 + 59);
    assert_int_equal(pm_capture_damage(c).records, 1);
}

static void writer_goes_on_in_a_damaged_file(void **state)
{
    image m = make_image(*state);
    uint64_t seed = 5;

    for (uint64_t i = 0; i < rounds(300); i++) {
        fixture sub = *m.f;
        apr_pool_create(&sub.pool, m.f->pool);
        for (uint64_t k = 1 + splitmix_next(&seed) % 200; k > 0; k--) {
            damage(&m, &seed);
        }
        restore(&(image){.fd = m.fd, .whole = m.whole, .size = 128});
        pm_capture *c = create(&sub, SMALL);
        pm_checkpoint *cp = filled_checkpoint(&sub), *got = apr_palloc(sub.pool, sizeof(*got));
        pm_event e = event_number(77, PM_EV_NOTE, NULL, 0), *events;
        pm_incident **incidents;
        size_t count, seen = 0;
        cp->tick = 1000 + i;
        assert_int_equal(pm_capture_put_checkpoint(c, cp), APR_SUCCESS);
        assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
        assert_int_equal(put_incident(&sub, c, 7, 1), APR_SUCCESS);
        assert_int_equal(pm_capture_checkpoint(c, got), APR_SUCCESS);
        assert_memory_equal(got, cp, sizeof(*cp));
        pm_capture_events(c, 0, UINT64_MAX, &events, &count, sub.pool);
        for (size_t k = 0; k < count; k++) {
            assert_true(events[k].seq <= e.seq);
            seen += events[k].seq == e.seq;
        }
        assert_int_equal(seen, 1);
        pm_capture_incidents(c, &incidents, &count, sub.pool);
        assert_int_equal(incidents[count - 1]->id, 7);
        pm_capture_close(c);
        apr_pool_destroy(sub.pool);
        restore(&m);
    }
}

/* ---- records that verify, made by somebody who means harm ---- */

static int terminated(const char *s, size_t size)
{
    size_t len = strnlen(s, size);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f) {
            return 0;
        }
    }
    return len < size;
}

static void sane_incident(const pm_incident *i, uint32_t room)
{
    const pm_tally *tallies[] = {i->by_vhost, i->by_route, i->by_host, i->by_backend,
                                 i->by_error_log};

    assert_true(i->id < PM_POSITION_LAST);
    assert_true(i->open <= 1 && (i->kinds & ~(uint32_t)PM_KIND_ALL) == 0 &&
                i->sample_count <= room && terminated(i->vhost, PM_KEY));
    assert_true(i->onset_us <= PM_TIME_LAST && i->end_us <= PM_TIME_LAST &&
                i->closed_us <= PM_TIME_LAST);
    assert_true(i->peak_ratio >= 0 && i->peak_ratio <= 1 && isfinite(i->clients) &&
                i->clients >= 0);
    for (size_t t = 0; t < 5; t++) {
        for (int k = 0; k < PM_TALLIES; k++) {
            assert_true(terminated(tallies[t][k].key, PM_KEY) &&
                        terminated(tallies[t][k].defined, PM_KEY));
        }
    }
}

static void sane_all(pm_capture *c, apr_pool_t *pool)
{
    static pm_checkpoint cp;
    pm_incident **incidents;
    pm_sample *samples;
    pm_event *events;
    pm_row *rows;
    size_t count, kept;

    pm_capture_checkpoint(c, &cp);
    assert_true(terminated(cp.server.trouble, sizeof(cp.server.trouble)) &&
                terminated(cp.server.mpm, 16));
    pm_capture_seconds(c, 0, UINT64_MAX, &rows, &count, pool);
    for (size_t i = 0; i < count; i++) {
        assert_true(rows[i].at_us <= PM_TIME_LAST && rows[i].span_us > 0 &&
                    rows[i].errors <= rows[i].requests);
    }
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, pool);
    for (size_t i = 0; i < count; i++) {
        assert_true(events[i].type < PM_EV_TYPES && events[i].severity <= PM_CRITICAL &&
                    events[i].at_us <= PM_TIME_LAST);
        assert_true(terminated(events[i].text, PM_EVENT_TEXT));
        assert_true(events[i].data[0] == '{' && pm_json_valid(events[i].data, events[i].data_len));
        assert_int_equal(events[i].data[events[i].data_len], 0);
    }
    pm_capture_incidents(c, &incidents, &count, pool);
    for (size_t i = 0; i < count; i++) {
        sane_incident(incidents[i], 4);
        pm_capture_samples(c, incidents[i], &samples, &kept, pool);
        assert_true(kept <= 4);
        for (size_t k = 0; k < kept; k++) {
            assert_true(terminated(samples[k].uri, 256) && terminated(samples[k].request_id, 40));
        }
    }
    assert_true(pm_capture_last_event(c) < PM_POSITION_LAST);
}

/* Random words, with now and then one that means something. */
static void noise(void *into, size_t len, uint64_t *seed)
{
    static const uint64_t telling[] = {
        0, 1, 2, 3, 4, UINT64_MAX, 1ull << 63, 1ull << 32, T0, 0x7ff8000000000000, 976, 1024};

    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word = splitmix_next(seed);
        if (word % 4) {
            word = telling[word / 4 % (sizeof(telling) / 8)];
        }
        memcpy((uint8_t *)into + i, &word, 8);
    }
}

/* A record whose place is its own, with a body that is not. */
typedef struct forged {
    uint64_t offset;
    size_t room;
    uint32_t magic;
} forged;

static forged forge_place(const pm_capture *c, uint64_t r)
{
    const pm_layout *l = &c->layout;
    uint64_t slot = r % 4, part = r / 4 % 2, any = r / 8;

    switch (any % 7) {
    case 0:
        return (forged){l->seconds + any % 60 * sizeof(pm_row_record), sizeof(pm_row_record),
                        PM_MAGIC_SECOND};
    case 1:
        return (forged){pm_cap_pinned_offset(c, slot, part) +
                            any % PM_PIN_ROWS * sizeof(pm_row_record),
                        sizeof(pm_row_record), PM_MAGIC_PINNED};
    case 2:
        return (forged){pm_cap_pin_offset(c, slot, part), sizeof(pm_pin), PM_MAGIC_PIN};
    case 3:
        return (forged){l->events[part] + any % l->blocks[part] * PM_BLOCK, PM_BLOCK,
                        PM_MAGIC_EVENT};
    case 4:
        return (forged){l->checkpoint[part], l->checkpoint_room, PM_MAGIC_CHECKPOINT};
    case 5:
        return (forged){pm_cap_copy_offset(c, slot, part) + l->incident_room,
                        l->copy_room - l->incident_room, PM_MAGIC_SAMPLES};
    default:
        return (forged){l->tail, sizeof(pm_tail), PM_MAGIC_TAIL};
    }
}

static void forge_record(pm_capture *c, uint64_t *seed)
{
    static _Alignas(8) uint8_t record[100000];
    forged at = forge_place(c, splitmix_next(seed));
    size_t length = at.room - sizeof(pm_head);

    noise(record, sizeof(record), seed);
    if (splitmix_next(seed) % 3 == 0) {
        length = splitmix_next(seed) % (length + 1);
    }
    pm_cap_seal(c, at.offset, record, at.magic, length,
                splitmix_next(seed) % 3 ? splitmix_next(seed) % 8 : splitmix_next(seed));
    assert_int_equal(pm_cap_write(c, at.offset, record, sizeof(pm_head) + length), APR_SUCCESS);
}

static void forge_incident(pm_capture *c, uint64_t *seed)
{
    static _Alignas(8) uint8_t record[100000];
    static pm_incident i;
    pm_incident_meta meta = {.id = splitmix_next(seed) % 8 +
                                   (splitmix_next(seed) % 4 ? 0 : 1ull << 60)};
    uint64_t offset = pm_cap_copy_offset(c, meta.id, (int)(splitmix_next(seed) % 2));

    noise(&i, sizeof(i), seed);
    i.id = meta.id;
    memcpy(record + sizeof(pm_head), &meta, sizeof(meta));
    size_t length =
        sizeof(meta) + pm_cap_pack(record + sizeof(pm_head) + sizeof(meta), &i, sizeof(i));
    pm_cap_seal(c, offset, record, PM_MAGIC_INCIDENT, length, splitmix_next(seed));
    assert_int_equal(pm_cap_write(c, offset, record, sizeof(pm_head) + length), APR_SUCCESS);
}

/* An event whose blocks verify, with a body that lies. */
static void forge_event(pm_capture *c, uint64_t *seed)
{
    size_t used = splitmix_next(seed) % (PM_BLOCK_PAYLOAD + 1);
    pm_block b = {.blocks = (uint16_t)(1 + splitmix_next(seed) % 3),
                  .position = splitmix_next(seed) % 200};
    pm_event_body body = {.at_us = T0,
                          .type = 1 + (uint32_t)(splitmix_next(seed) % 30),
                          .severity = (uint32_t)splitmix_next(seed),
                          .text_len = (uint32_t)(splitmix_next(seed) % 500)};

    noise(b.payload, sizeof(b.payload), seed);
    body.data_len = splitmix_next(seed) % 3 ? (uint32_t)(used - sizeof(body) - body.text_len)
                                            : (uint32_t)splitmix_next(seed);
    memcpy(b.payload, &body, sizeof(body));
    b.index = (uint16_t)(splitmix_next(seed) % 8 ? 0 : splitmix_next(seed));
    b.blocks = splitmix_next(seed) % 4 ? 1 : b.blocks;
    uint64_t offset = c->layout.events[0] + b.position % c->layout.blocks[0] * PM_BLOCK;
    pm_cap_seal(c, offset, &b, PM_MAGIC_EVENT, PM_BLOCK_META + used,
                1 + splitmix_next(seed) % 1000);
    assert_int_equal(pm_cap_write(c, offset, &b, sizeof(b)), APR_SUCCESS);
}

static void forged_records_come_out_sane_or_not_at_all(void **state)
{
    image m = make_image(*state);
    uint64_t seed = 6;

    for (uint64_t i = 0; i < rounds(1500); i++) {
        apr_pool_t *pool;
        pm_capture *c;
        apr_pool_create(&pool, m.f->pool);
        assert_int_equal(pm_capture_open_fd(&c, m.fd, m.f->path, pool, NULL), APR_SUCCESS);
        for (int k = 0; k < 20; k++) {
            forge_record(c, &seed);
            forge_event(c, &seed);
            forge_incident(c, &seed);
        }
        sane_all(c, pool);
        pm_event e = event_number(1, PM_EV_NOTE, NULL, 0);
        assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
        apr_pool_destroy(pool);
        if (i % 10 == 9) {
            restore(&m);
        }
    }
}

static void forge_blocks(pm_capture *c, uint64_t position, uint16_t blocks,
                         const pm_event_body *body, size_t used)
{
    for (uint16_t i = 0; i < blocks; i++) {
        pm_block b = {.position = position + i, .index = i, .blocks = blocks};
        uint64_t offset = c->layout.events[0] + b.position * PM_BLOCK;
        memset(b.payload, 'x', sizeof(b.payload));
        if (i == 0) {
            memcpy(b.payload, body, sizeof(*body));
        }
        pm_cap_seal(c, offset, &b, PM_MAGIC_EVENT, PM_BLOCK_META + used, 1 + position);
        assert_int_equal(pm_cap_write(c, offset, &b, sizeof(b)), APR_SUCCESS);
    }
}

static void event_whose_lengths_lie_is_not_given(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, ((pm_retention){60, 60, 4, 1024, 4, 0}));
    pm_event_body body = {.at_us = T0, .type = PM_EV_NOTE, .text_len = 10, .data_len = 20};
    pm_event *events;
    size_t count;

    forge_blocks(c, 0, 1, &body, sizeof(body) + 30); /* this one is true */
    forge_blocks(c, 1, 1, &body, sizeof(body) + 29);
    forge_blocks(c, 2, 1, &body, 5);
    forge_blocks(c, 100, 300, &body, PM_BLOCK_PAYLOAD);
    body.text_len = PM_EVENT_TEXT;
    forge_blocks(c, 3, 1, &body, sizeof(body) + PM_EVENT_TEXT + 20);
    body.text_len = UINT32_MAX;
    body.data_len = 31;
    forge_blocks(c, 4, 1, &body, sizeof(body) + 30);
    pm_capture_events(c, 0, UINT64_MAX, &events, &count, f->pool);
    assert_int_equal(count, 1);
    assert_int_equal(events[0].seq, 1);
    assert_string_equal(events[0].text, "xxxxxxxxxx");
    assert_string_equal(events[0].data, "{}");
    assert_int_equal(pm_capture_damage(c).records, 304);
}

static void packed_words_that_overrun_are_refused(void **state)
{
    (void)state;
    uint64_t words[4];
    const struct {
        uint8_t bytes[20];
        size_t len;
        int good;
    } cases[] = {
        {{0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 1},
        {{3, 1, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 1},
        {{0}, 0, 1},
        {{0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, 9, 0},
        {{4, 1, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 0},
        {{0, 2, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 0},
        {{5, 0}, 2, 0},
        {{0}, 1, 0},
        {{0x80}, 1, 0},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 11, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *exact = malloc(cases[i].len + 1);
        memcpy(exact, cases[i].bytes, cases[i].len);
        assert_int_equal(pm_cap_unpack(words, sizeof(words), exact, cases[i].len), cases[i].good);
        free(exact);
    }
}

static void string_without_end_is_ended(void **state)
{
    fixture *f = *state;
    pm_capture *c = create(f, SMALL);
    pm_sample *samples;
    pm_incident *i = incident_number(f, 1, 1, &samples), **got;
    size_t count;

    memset(i->vhost, 'v', sizeof(i->vhost));
    strcpy(i->by_route[0].key, "/a\x1b[2J\xff");
    memset(samples[0].uri, 'u', sizeof(samples[0].uri));
    i->peak_ratio = NAN;
    i->kinds = UINT32_MAX;
    assert_int_equal(pm_capture_put_incident(c, i, samples), APR_SUCCESS);
    pm_capture_incidents(c, &got, &count, f->pool);
    assert_true(strlen(got[0]->vhost) < PM_KEY);
    assert_string_equal(got[0]->by_route[0].key, "/a%1B[2J%FF");
    assert_true(got[0]->peak_ratio == 0);
    assert_int_equal(got[0]->kinds, PM_KIND_ALL);
    pm_capture_samples(c, got[0], &samples, &count, f->pool);
    assert_true(strlen(samples[0].uri) < 256);
    pm_checkpoint *cp = filled_checkpoint(f);
    memset(cp->server.trouble, 't', sizeof(cp->server.trouble));
    strcpy(cp->server.mpm, "a\nb");
    assert_int_equal(pm_capture_put_checkpoint(c, cp), APR_SUCCESS);
    assert_int_equal(pm_capture_checkpoint(c, cp), APR_SUCCESS);
    assert_true(strlen(cp->server.trouble) < sizeof(cp->server.trouble));
    assert_string_equal(cp->server.mpm, "a%0Ab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
        CASE(every_bit_of_one_header_may_flip),
        CASE(any_bit_of_both_headers_is_an_error_with_a_sentence),
        CASE(file_cut_anywhere_is_read_as_far_as_it_goes),
        CASE(random_damage_is_skipped_and_never_believed),
        CASE(torn_rewrite_leaves_the_version_before_it),
        CASE(displaced_copies_of_records_are_not_taken_for_others),
        CASE(writer_goes_on_in_a_damaged_file),
        CASE(forged_records_come_out_sane_or_not_at_all),
        CASE(event_whose_lengths_lie_is_not_given),
        cmocka_unit_test(packed_words_that_overrun_are_refused),
        CASE(string_without_end_is_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
