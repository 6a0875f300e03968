/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_read.c: checkpoint, rows, incidents and samples out of a capture file that a writer may be
 * changing meanwhile, or that anybody may have damaged (events: capture_event.c).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "capture_private.h"
#include "pm_time.h"

#define ROOM_MOST 16384 /* rows; a header may promise far more than there are */
#define READ_ROWS 256u  /* at one time: what a processor's nearest cache holds */
#define LOAD_SAMPLES 8192u

uint64_t pm_cap_copy_offset(const pm_capture *c, uint64_t id, int copy)
{
    uint64_t slot = id % c->header.keep.incidents;
    return c->layout.incidents + (slot * 2 + (uint64_t)copy) * c->layout.copy_room;
}

uint64_t pm_cap_pin_offset(const pm_capture *c, uint64_t slot, uint32_t part)
{
    return c->layout.pin_index + (slot * PM_PIN_PARTS + part) * sizeof(pm_pin);
}

uint64_t pm_cap_pinned_offset(const pm_capture *c, uint64_t slot, uint32_t part)
{
    return c->layout.pinned + (slot * PM_PIN_PARTS + part) * PM_PIN_ROWS * sizeof(pm_row_record);
}

/* ---- checkpoint ---- */

/* The first `wanted` bytes of it. */
static enum pm_found load_checkpoint(pm_capture *c, int which, void *into, size_t wanted)
{
    pm_head head;
    enum pm_found found = pm_cap_load(c, c->layout.checkpoint[which], c->scratch,
                                      c->layout.checkpoint_room, PM_MAGIC_CHECKPOINT);

    if (found == PM_SOUND) {
        memcpy(&head, c->scratch, sizeof(head));
        found = pm_cap_unpack_first(into, wanted, sizeof(pm_checkpoint), c->scratch + sizeof(head),
                                    head.length)
                    ? PM_SOUND
                    : PM_DAMAGED;
    }
    return found;
}

static apr_status_t newest_checkpoint(pm_capture *c, void *into, size_t wanted)
{
    pm_head heads[2];
    int first = pm_cap_newer(c, c->layout.checkpoint[0], c->layout.checkpoint[1],
                             PM_MAGIC_CHECKPOINT, heads);
    uint64_t damaged = 0;
    enum pm_found found = PM_EMPTY;

    for (int i = 0; i < 2 && found != PM_SOUND; i++) {
        found = load_checkpoint(c, i == 0 ? first : !first, into, wanted);
        damaged += found == PM_DAMAGED;
    }
    pm_cap_note_damage(c, PM_AREA_CHECKPOINT, damaged);
    if (found != PM_SOUND) {
        memset(into, 0, wanted);
        return APR_NOTFOUND;
    }
    return APR_SUCCESS;
}

apr_status_t pm_capture_checkpoint(pm_capture *c, pm_checkpoint *cp)
{
    apr_status_t rv = newest_checkpoint(c, cp, sizeof(*cp));

    pm_cap_clean_server(&cp->server);
    return rv;
}

apr_status_t pm_capture_server(pm_capture *c, pm_server *server)
{
    struct {
        uint8_t before[offsetof(pm_checkpoint, server)];
        pm_server server;
    } head;
    apr_status_t rv = newest_checkpoint(c, &head, sizeof(head));

    pm_cap_clean_server(&head.server);
    *server = head.server;
    return rv;
}

/* ---- rows ---- */

uint64_t pm_cap_collect(pm_capture *c, uint64_t offset, uint64_t count, uint32_t magic,
                        uint64_t owner, uint64_t from_us, uint64_t to_us, apr_array_header_t *rows)
{
    uint64_t damaged = 0;

    for (uint64_t i = 0; i < count; i += READ_ROWS) {
        uint64_t n = count - i < READ_ROWS ? count - i : READ_ROWS,
                 at = offset + i * sizeof(pm_row_record);
        pm_cap_read(c, at, c->scratch, n * sizeof(pm_row_record));
        for (uint64_t k = 0; k < n; k++, at += sizeof(pm_row_record)) {
            pm_row_record *record = (pm_row_record *)c->scratch + k;
            enum pm_found found = pm_cap_settle(c, at, record, sizeof(*record), magic);
            if (found == PM_SOUND &&
                (record->head.length != sizeof(record->row) || !pm_cap_sane_row(&record->row))) {
                found = PM_DAMAGED;
            }
            damaged += found == PM_DAMAGED;
            if (found == PM_SOUND && (owner == 0 || record->head.seq == owner) &&
                record->row.at_us >= from_us && record->row.at_us < to_us) {
                *(pm_row *)apr_array_push(rows) = record->row;
            }
        }
    }
    return damaged;
}

int pm_cap_compare_rows(const void *a, const void *b)
{
    const pm_row *x = a, *y = b;

    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return x->tick < y->tick ? -1 : x->tick > y->tick;
}

static int in_order(const pm_row *row, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (pm_cap_compare_rows(&row[i - 1], &row[i]) >= 0) {
            return 0;
        }
    }
    return 1;
}

/* In order of time, each tick once. Most lists are so as they were read, and long. */
static void put_in_order(apr_array_header_t *list)
{
    pm_row *row = (pm_row *)list->elts;
    size_t count = (size_t)list->nelts, kept = 0;

    if (in_order(row, count)) {
        return;
    }
    qsort(row, count, sizeof(*row), pm_cap_compare_rows);
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || pm_cap_compare_rows(&row[kept - 1], &row[i]) != 0) {
            row[kept++] = row[i];
        }
    }
    list->nelts = (int)kept;
}

/* Of the rows from `added` on those that are among the first `known`, which are in order. */
static void drop_known(apr_array_header_t *list, size_t known, size_t added)
{
    pm_row *row = (pm_row *)list->elts;
    size_t kept = added;

    for (size_t i = added; known > 0 && i < (size_t)list->nelts; i++) {
        if (bsearch(&row[i], row, known, sizeof(*row), pm_cap_compare_rows) == NULL) {
            row[kept++] = row[i];
        }
    }
    list->nelts = known > 0 ? (int)kept : list->nelts;
}

/* Calls `take` for each part that holds rows; returns the number of damaged entries of the index. */
static uint64_t walk_pins(pm_capture *c,
                          void (*take)(void *ctx, const pm_pin *pin, uint64_t rows_offset),
                          void *ctx)
{
    pm_pin pins[64];
    const uint64_t per = sizeof(pins) / sizeof(pins[0]),
                   count = (uint64_t)c->header.keep.incidents * PM_PIN_PARTS;
    uint64_t damaged = 0;

    for (uint64_t i = 0; i < count; i += per) {
        uint64_t n = count - i < per ? count - i : per,
                 at = c->layout.pin_index + i * sizeof(pm_pin);
        pm_cap_read(c, at, pins, n * sizeof(pm_pin));
        for (uint64_t k = 0; k < n; k++, at += sizeof(pm_pin)) {
            enum pm_found found = pm_cap_settle(c, at, &pins[k], sizeof(pm_pin), PM_MAGIC_PIN);
            damaged += found == PM_DAMAGED;
            if (found == PM_SOUND && pins[k].head.seq != 0) {
                take(ctx, &pins[k],
                     c->layout.pinned + (i + k) * PM_PIN_ROWS * sizeof(pm_row_record));
            }
        }
    }
    return damaged;
}

typedef struct pin_query {
    pm_capture *c;
    uint64_t from_us, to_us;
    apr_array_header_t *rows; /* with those of the ring, in order */
    size_t known;             /* the number of these: nearly all pinned ones are among them */
    uint64_t damaged;
    pm_pin before; /* the newest part that ends before from_us; seq 0 = none */
    uint64_t before_offset;
} pin_query;

static void take_part(pin_query *q, const pm_pin *pin, uint64_t rows_offset, uint64_t from_us,
                      uint64_t to_us)
{
    size_t added = (size_t)q->rows->nelts;

    q->damaged += pm_cap_collect(q->c, rows_offset, PM_PIN_ROWS, PM_MAGIC_PINNED, pin->head.seq,
                                 from_us, to_us, q->rows);
    drop_known(q->rows, q->known, added);
}

static void take_pin(void *ctx, const pm_pin *pin, uint64_t rows_offset)
{
    pin_query *q = ctx;

    if (pin->from_us < q->to_us && pin->to_us > q->from_us) {
        take_part(q, pin, rows_offset, q->from_us, q->to_us);
    }
}

static void collect_pinned(pm_capture *c, uint64_t from_us, uint64_t to_us,
                           apr_array_header_t *rows)
{
    pin_query q = {.c = c, .from_us = from_us, .to_us = to_us, .rows = rows};

    put_in_order(rows);
    q.known = (size_t)rows->nelts;
    q.damaged += walk_pins(c, take_pin, &q);
    pm_cap_note_damage(c, PM_AREA_PINNED, q.damaged);
}

static void take_pin_since(void *ctx, const pm_pin *pin, uint64_t rows_offset)
{
    pin_query *q = ctx;

    if (pin->to_us > q->from_us) {
        take_part(q, pin, rows_offset, 0, UINT64_MAX);
    }
    else if (q->before.head.seq == 0 || pin->to_us > q->before.to_us) {
        q->before = *pin;
        q->before_offset = rows_offset;
    }
}

/* The parts that reach beyond from_us whole, and the newest of the others. */
static void collect_pinned_since(pm_capture *c, uint64_t from_us, apr_array_header_t *rows)
{
    pin_query q = {.c = c, .from_us = from_us, .rows = rows};

    put_in_order(rows);
    q.known = (size_t)rows->nelts;
    q.damaged += walk_pins(c, take_pin_since, &q);
    if (q.before.head.seq != 0) {
        take_part(&q, &q.before, q.before_offset, 0, UINT64_MAX);
    }
    pm_cap_note_damage(c, PM_AREA_PINNED, q.damaged);
}

/* Room for the rows of a range from the start: a list that grows leaves its smaller copies in the pool. */
static apr_array_header_t *room_for(apr_pool_t *pool, uint64_t ring, uint64_t from_us,
                                    uint64_t to_us, uint64_t span_us)
{
    uint64_t wanted = to_us > from_us ? (to_us - from_us) / span_us + 2 : 1;

    wanted = wanted < ring ? wanted : ring;
    return apr_array_make(pool, wanted < ROOM_MOST ? (int)wanted : ROOM_MOST, sizeof(pm_row));
}

static void hand_out(apr_array_header_t *list, pm_row **rows, size_t *count)
{
    put_in_order(list);
    *rows = (pm_row *)list->elts;
    *count = (size_t)list->nelts;
}

apr_status_t pm_capture_seconds(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_row **rows,
                                size_t *count, apr_pool_t *pool)
{
    apr_array_header_t *list = room_for(pool, c->header.keep.seconds, from_us, to_us, PM_SECOND);

    pm_cap_note_damage(c, PM_AREA_SECONDS,
                       pm_cap_collect(c, c->layout.seconds, c->header.keep.seconds, PM_MAGIC_SECOND,
                                      0, from_us, to_us, list));
    collect_pinned(c, from_us, to_us, list);
    hand_out(list, rows, count);
    return APR_SUCCESS;
}

/* Slots first .. first + count of the ring, which may go on at its beginning. */
static uint64_t collect_ring(pm_capture *c, uint64_t first, uint64_t count,
                             apr_array_header_t *list)
{
    uint64_t room = c->header.keep.seconds, to_end = room - first % room,
             whole = count < to_end ? count : to_end;

    return pm_cap_collect(c, c->layout.seconds + first % room * sizeof(pm_row_record), whole,
                          PM_MAGIC_SECOND, 0, 0, UINT64_MAX, list) +
           pm_cap_collect(c, c->layout.seconds, count - whole, PM_MAGIC_SECOND, 0, 0, UINT64_MAX,
                          list);
}

/* The last `most` ticks up to `tick`, with room for `more` rows besides. */
static apr_array_header_t *collect_latest(pm_capture *c, uint64_t tick, uint64_t most,
                                          uint64_t more, apr_pool_t *pool)
{
    uint64_t room = c->header.keep.seconds, wanted = most < room ? most : room;
    apr_array_header_t *list;

    wanted = wanted < tick + 1 ? wanted : tick + 1;
    more += wanted;
    list = apr_array_make(pool, (int)(more < ROOM_MOST ? more : ROOM_MOST), sizeof(pm_row));
    pm_cap_note_damage(c, PM_AREA_SECONDS, collect_ring(c, tick + 1 - wanted, wanted, list));
    return list;
}

apr_status_t pm_capture_latest_seconds(pm_capture *c, uint64_t tick, uint64_t most, pm_row **rows,
                                       size_t *count, apr_pool_t *pool)
{
    hand_out(collect_latest(c, tick, most, 0, pool), rows, count);
    return APR_SUCCESS;
}

apr_status_t pm_capture_seconds_around(pm_capture *c, uint64_t tick, uint64_t most,
                                       uint64_t from_us, pm_row **rows, size_t *count,
                                       apr_pool_t *pool)
{
    apr_array_header_t *list = collect_latest(c, tick, most, 4 * PM_PIN_ROWS, pool);

    collect_pinned_since(c, from_us, list);
    hand_out(list, rows, count);
    return APR_SUCCESS;
}

uint64_t pm_capture_oldest_second(pm_capture *c, uint64_t tick)
{
    enum { STEP = 16 };
    uint64_t room = c->header.keep.seconds, first = tick >= room ? tick - room + 1 : 0;

    /* A full ring begins at once; a young or a torn one after slots that are empty or of an earlier round. */
    for (uint64_t at = first; at <= tick; at += STEP) {
        pm_row_record record[STEP];
        uint64_t n = room - at % room < STEP ? room - at % room : STEP,
                 offset = c->layout.seconds + at % room * sizeof(pm_row_record);

        pm_cap_read(c, offset, record, n * sizeof(pm_row_record));
        for (uint64_t k = 0; k < n && at + k <= tick; k++) {
            if (pm_cap_sound(c, offset + k * sizeof(*record), &record[k], sizeof(*record),
                             PM_MAGIC_SECOND) &&
                record[k].row.tick == at + k && pm_cap_sane_row(&record[k].row)) {
                return record[k].row.at_us;
            }
        }
        at -= STEP - n; /* the next step begins where this one ended */
    }
    return 0;
}

apr_status_t pm_capture_minutes(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_row **rows,
                                size_t *count, apr_pool_t *pool)
{
    apr_array_header_t *list =
        room_for(pool, c->header.keep.minutes, from_us, to_us, 60 * PM_SECOND);

    pm_cap_note_damage(c, PM_AREA_MINUTES,
                       pm_cap_collect(c, c->layout.minutes, c->header.keep.minutes, PM_MAGIC_MINUTE,
                                      0, from_us, to_us, list));
    hand_out(list, rows, count);
    return APR_SUCCESS;
}

/* ---- incidents ---- */

/* Read one copy's record, its meta and what is packed behind it. */
static enum pm_found load_part(pm_capture *c, uint64_t offset, size_t room, uint32_t magic,
                               size_t likely, pm_incident_meta *meta, size_t *packed)
{
    pm_head head;
    enum pm_found found = pm_cap_load_of(c, offset, c->scratch, room, magic, likely);

    if (found != PM_SOUND) {
        return found;
    }
    memcpy(&head, c->scratch, sizeof(head));
    if (head.length < sizeof(*meta)) {
        return PM_DAMAGED;
    }
    memcpy(meta, c->scratch + sizeof(head), sizeof(*meta));
    *packed = head.length - sizeof(*meta);
    return PM_SOUND;
}

static int newer_copy(pm_capture *c, uint64_t slot, pm_head heads[2])
{
    return pm_cap_newer(c, pm_cap_copy_offset(c, slot, 0), pm_cap_copy_offset(c, slot, 1),
                        PM_MAGIC_INCIDENT, heads);
}

/* What stands before by_vhost, and how long what is packed in c->scratch is. */
static enum pm_found load_figures(pm_capture *c, uint64_t slot, int copy, size_t likely,
                                  pm_incident *into, size_t *packed)
{
    pm_incident_meta meta;
    enum pm_found found = load_part(c, pm_cap_copy_offset(c, slot, copy), c->layout.incident_room,
                                    PM_MAGIC_INCIDENT, likely, &meta, packed);

    if (found != PM_SOUND) {
        return found;
    }
    if (!pm_cap_unpack_first(into, PM_INCIDENT_FIGURES, sizeof(*into),
                             c->scratch + sizeof(pm_head) + sizeof(meta), *packed) ||
        into->id == 0 || into->id >= PM_POSITION_LAST || into->id != meta.id ||
        into->id % c->header.keep.incidents != slot) {
        return PM_DAMAGED;
    }
    pm_cap_clean_figures(into, c->header.keep.samples);
    return PM_SOUND;
}

/* The incident whose figures were just loaded, as much of it as is wanted. */
static pm_incident *take_incident(pm_capture *c, const pm_incident *figures, size_t packed,
                                  enum pm_part part, apr_pool_t *pool)
{
    pm_incident *in;

    if (part == PM_PART_FIGURES) {
        return apr_pmemdup(pool, figures, PM_INCIDENT_FIGURES);
    }
    in = apr_palloc(pool, sizeof(*in));
    pm_cap_unpack(in, sizeof(*in), c->scratch + sizeof(pm_head) + sizeof(pm_incident_meta), packed);
    pm_cap_clean_incident(in, c->header.keep.samples);
    return in;
}

static int compare_incidents(const void *a, const void *b)
{
    const pm_incident *x = *(pm_incident *const *)a, *y = *(pm_incident *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

apr_status_t pm_capture_incidents_of(pm_capture *c, pm_choose choose, void *ctx,
                                     pm_incident ***incidents, size_t *count, apr_pool_t *pool)
{
    apr_array_header_t *list = apr_array_make(pool, 256, sizeof(pm_incident *));
    pm_incident *figures = apr_palloc(pool, sizeof(*figures));
    uint64_t damaged = 0;

    for (uint64_t slot = 0; slot < c->header.keep.incidents; slot++) {
        enum pm_found found = PM_EMPTY;
        pm_head heads[2];
        int first = newer_copy(c, slot, heads);
        for (int i = 0; i < 2 && found != PM_SOUND; i++) {
            int copy = i == 0 ? first : !first;
            size_t packed, likely = sizeof(pm_head) + heads[copy].length;
            found = load_figures(c, slot, copy, likely, figures, &packed);
            damaged += found == PM_DAMAGED;
            enum pm_part part = found == PM_SOUND ? choose(ctx, figures) : PM_PART_NONE;
            if (part != PM_PART_NONE) {
                APR_ARRAY_PUSH(list, pm_incident *) = take_incident(c, figures, packed, part, pool);
            }
        }
    }
    pm_cap_note_damage(c, PM_AREA_INCIDENTS, damaged);
    *incidents = (pm_incident **)list->elts;
    *count = (size_t)list->nelts;
    if (*count > 1) {
        qsort(*incidents, *count, sizeof(**incidents), compare_incidents);
    }
    return APR_SUCCESS;
}

static enum pm_part all_of_all(void *ctx, const pm_incident *figures)
{
    (void)ctx, (void)figures;
    return PM_PART_WHOLE;
}

apr_status_t pm_capture_incidents(pm_capture *c, pm_incident ***incidents, size_t *count,
                                  apr_pool_t *pool)
{
    return pm_capture_incidents_of(c, all_of_all, NULL, incidents, count, pool);
}

apr_status_t pm_capture_samples(pm_capture *c, const pm_incident *incident, pm_sample **samples,
                                size_t *count, apr_pool_t *pool)
{
    pm_head heads[2];
    int first = newer_copy(c, incident->id, heads);
    uint64_t damaged = 0;

    *samples = NULL;
    *count = 0;
    for (int i = 0; i < 2; i++) {
        pm_incident_meta meta;
        size_t packed;
        uint64_t offset =
            pm_cap_copy_offset(c, incident->id, i == 0 ? first : !first) + c->layout.incident_room;
        enum pm_found found = load_part(c, offset, c->layout.copy_room - c->layout.incident_room,
                                        PM_MAGIC_SAMPLES, LOAD_SAMPLES, &meta, &packed);
        damaged += found == PM_DAMAGED;
        if (found != PM_SOUND || meta.id != incident->id || meta.samples > c->header.keep.samples) {
            continue;
        }
        pm_sample *read = apr_palloc(pool, meta.samples * sizeof(*read) + 1);
        if (!pm_cap_unpack(read, meta.samples * sizeof(*read),
                           c->scratch + sizeof(pm_head) + sizeof(meta), packed)) {
            damaged++;
            continue;
        }
        for (uint32_t k = 0; k < meta.samples; k++) {
            pm_cap_clean_sample(&read[k]);
        }
        *samples = read;
        *count = meta.samples;
        break;
    }
    pm_cap_note_damage(c, PM_AREA_SAMPLES, damaged);
    return APR_SUCCESS;
}
