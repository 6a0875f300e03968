/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_write.c: checkpoints, rows and incidents into the capture file (events: capture_event.c).
 *
 * What is rewritten (a checkpoint, an open incident) has two places that are written in turn, so that a
 * write which power or a signal cuts short leaves the version before it.
 */
#include <stdlib.h>
#include <string.h>

#include "capture_private.h"

/* Seal what is packed behind head and `before` bytes in c->scratch, and write it. */
static apr_status_t write_packed(pm_capture *c, uint64_t offset, uint32_t magic, size_t length,
                                 uint64_t seq)
{
    pm_cap_seal(c, offset, c->scratch, magic, length, seq);
    return pm_cap_write(c, offset, c->scratch, sizeof(pm_head) + length);
}

apr_status_t pm_capture_put_checkpoint(pm_capture *c, const pm_checkpoint *cp)
{
    uint64_t newest = 0;
    int into = 0;

    for (int i = 0; i < 2; i++) {
        pm_head head;
        if (pm_cap_load(c, c->layout.checkpoint[i], c->scratch, c->layout.checkpoint_room,
                        PM_MAGIC_CHECKPOINT) != PM_SOUND) {
            continue;
        }
        memcpy(&head, c->scratch, sizeof(head));
        if (head.seq >= newest) {
            newest = head.seq;
            into = !i;
        }
    }
    size_t length = pm_cap_pack(c->scratch + sizeof(pm_head), cp, sizeof(*cp));
    return write_packed(c, c->layout.checkpoint[into], PM_MAGIC_CHECKPOINT, length, newest + 1);
}

static apr_status_t put_row(pm_capture *c, uint64_t offset, uint32_t magic, uint64_t seq,
                            const pm_row *row)
{
    pm_row_record record = {.row = *row};

    pm_cap_seal(c, offset, &record, magic, sizeof(record.row), seq);
    return pm_cap_write(c, offset, &record, sizeof(record));
}

apr_status_t pm_capture_put_second(pm_capture *c, const pm_row *row)
{
    uint64_t slot = row->tick % c->header.keep.seconds;
    return put_row(c, c->layout.seconds + slot * sizeof(pm_row_record), PM_MAGIC_SECOND, row->tick,
                   row);
}

apr_status_t pm_capture_put_minute(pm_capture *c, const pm_row *row)
{
    uint64_t minute = row->at_us / 60000000;
    uint64_t slot = minute % c->header.keep.minutes;
    return put_row(c, c->layout.minutes + slot * sizeof(pm_row_record), PM_MAGIC_MINUTE, minute,
                   row);
}

/* The slot's incident is dropped for another: so are its pinned seconds. */
static apr_status_t unpin(pm_capture *c, uint64_t id)
{
    static const pm_pin none[PM_PIN_PARTS];
    return pm_cap_write(c, pm_cap_pin_offset(c, id % c->header.keep.incidents, 0), none,
                        sizeof(none));
}

/* Which copy of the slot to write: the one that is not the newest sound one. */
static int choose_copy(pm_capture *c, uint64_t id, uint64_t *newest, uint64_t *held)
{
    int into = 0;

    *newest = *held = 0;
    for (int i = 0; i < 2; i++) {
        pm_incident_meta meta;
        pm_head head;
        if (pm_cap_load(c, pm_cap_copy_offset(c, id, i), c->scratch, c->layout.incident_room,
                        PM_MAGIC_INCIDENT) != PM_SOUND) {
            continue;
        }
        memcpy(&head, c->scratch, sizeof(head));
        memcpy(&meta, c->scratch + sizeof(head), sizeof(meta));
        if (head.seq >= *newest) {
            *newest = head.seq;
            *held = meta.id;
            into = !i;
        }
    }
    return into;
}

static apr_status_t put_part(pm_capture *c, uint64_t offset, uint32_t magic, uint64_t seq,
                             const pm_incident_meta *meta, const void *words, size_t bytes)
{
    uint8_t *at = c->scratch + sizeof(pm_head);

    memcpy(at, meta, sizeof(*meta));
    size_t length = sizeof(*meta) + pm_cap_pack(at + sizeof(*meta), words, bytes);
    return write_packed(c, offset, magic, length, seq);
}

apr_status_t pm_capture_put_incident(pm_capture *c, const pm_incident *incident,
                                     const pm_sample *samples)
{
    pm_incident_meta meta = {.id = incident->id, .samples = incident->sample_count};
    uint64_t newest, held;
    apr_status_t rv = APR_SUCCESS;

    if (incident->id == 0 || incident->sample_count > c->header.keep.samples) {
        return APR_EINVAL;
    }
    int copy = choose_copy(c, incident->id, &newest, &held);
    uint64_t offset = pm_cap_copy_offset(c, incident->id, copy);
    if (held != incident->id) {
        rv = unpin(c, incident->id);
    }
    /* the samples first: when the incident's record stands, all that belongs to it does */
    if (rv == APR_SUCCESS) {
        rv = put_part(c, offset + c->layout.incident_room, PM_MAGIC_SAMPLES, newest + 1, &meta,
                      samples, meta.samples * sizeof(pm_sample));
    }
    if (rv == APR_SUCCESS) {
        rv = put_part(c, offset, PM_MAGIC_INCIDENT, newest + 1, &meta, incident, sizeof(*incident));
    }
    return rv;
}

static int compare_ticks(const void *a, const void *b)
{
    const pm_row *x = a, *y = b;
    return x->tick < y->tick ? -1 : x->tick > y->tick;
}

/* Write the rows that the part does not hold yet, each at its tick's place; a pin that is repeated every
 * second writes one row. */
static apr_status_t pin_rows(pm_capture *c, uint64_t id, int part, const pm_row *rows, size_t count,
                             pm_pin *pin)
{
    uint64_t base = pm_cap_pinned_offset(c, id % c->header.keep.incidents, (uint32_t)part);
    pm_row_record *held = (pm_row_record *)c->scratch;

    pm_cap_read(c, base, held, PM_PIN_ROWS * sizeof(*held));
    for (size_t i = 0; i < count; i++) {
        uint64_t slot = rows[i].tick % PM_PIN_ROWS, offset = base + slot * sizeof(*held);
        pm_row_record record = {.row = rows[i]};
        pm_cap_seal(c, offset, &record, PM_MAGIC_PINNED, sizeof(record.row), id);
        if (memcmp(&record, &held[slot], sizeof(record)) != 0) {
            apr_status_t rv = pm_cap_write(c, offset, &record, sizeof(record));
            if (rv != APR_SUCCESS) {
                return rv;
            }
            held[slot] = record;
        }
    }
    for (uint32_t i = 0; i < PM_PIN_ROWS; i++) {
        const pm_row *row = &held[i].row;
        if (held[i].head.seq == id &&
            pm_cap_sound(c, base + i * sizeof(*held), &held[i], sizeof(*held), PM_MAGIC_PINNED)) {
            pin->from_us = row->at_us < pin->from_us ? row->at_us : pin->from_us;
            pin->to_us = row->at_us >= pin->to_us ? row->at_us + 1 : pin->to_us;
        }
    }
    return APR_SUCCESS;
}

apr_status_t pm_cap_put_pinned(pm_capture *c, uint64_t id, int part, pm_row *rows, size_t count)
{
    uint64_t offset = pm_cap_pin_offset(c, id % c->header.keep.incidents, (uint32_t)part);
    pm_pin pin = {.from_us = UINT64_MAX};

    if (count == 0) {
        return APR_SUCCESS;
    }
    qsort(rows, count, sizeof(*rows), compare_ticks);
    size_t skip = count > PM_PIN_ROWS ? count - PM_PIN_ROWS : 0;
    apr_status_t rv = pin_rows(c, id, part, rows + skip, count - skip, &pin);
    if (rv == APR_SUCCESS) {
        pm_cap_seal(c, offset, &pin, PM_MAGIC_PIN, sizeof(pin) - sizeof(pin.head), id);
        rv = pm_cap_write(c, offset, &pin, sizeof(pin));
    }
    return rv;
}

apr_status_t pm_capture_pin(pm_capture *c, uint64_t incident_id, int part, uint64_t from_us,
                            uint64_t to_us)
{
    apr_pool_t *pool;

    if (incident_id == 0 || part < 0 || part >= (int)PM_PIN_PARTS) {
        return APR_EINVAL;
    }
    apr_status_t rv = apr_pool_create(&pool, c->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_array_header_t *rows = apr_array_make(pool, PM_PIN_ROWS, sizeof(pm_row));
    pm_cap_collect(c, c->layout.seconds, c->header.keep.seconds, PM_MAGIC_SECOND, 0, from_us, to_us,
                   rows);
    rv = pm_cap_put_pinned(c, incident_id, part, (pm_row *)rows->elts, (size_t)rows->nelts);
    apr_pool_destroy(pool);
    return rv;
}
