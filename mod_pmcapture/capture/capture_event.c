/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_event.c: the two rings of events: blocks, their end, writing and reading.
 *
 * An event takes as many consecutive blocks as it needs. Each block says which event and which part of
 * it it is, so that what is left of an event whose first block was displaced is never taken for one, and
 * no data inside an event can pose as another. Positions count blocks for ever; slot = position % blocks.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "capture_private.h"
#include "pm_check.h"
#include "pm_json.h"

#define READ_BLOCKS 64u /* at one time: what a processor's nearest cache holds */
#define TAIL_BLOCKS 16u

/* What can come in floods, driven from outside the server or by a storm in it, has a ring of its own. */
static enum pm_ring ring_of(uint32_t type)
{
    return pm_event_fact_of(type)->traits & PM_IS_FLOOD ? PM_RING_FLOOD : PM_RING_CORE;
}

static uint64_t block_offset(const pm_capture *c, enum pm_ring ring, uint64_t position)
{
    return c->layout.events[ring] + position % c->layout.blocks[ring] * PM_BLOCK;
}

/* Beyond the checksum: a file made by somebody else may hold anything. */
static int block_sane(const pm_capture *c, enum pm_ring ring, uint64_t offset, const pm_block *b)
{
    return b->head.length >= PM_BLOCK_META && b->head.seq > 0 && b->head.seq < PM_POSITION_LAST &&
           b->position < PM_POSITION_LAST && b->blocks > 0 && b->index < b->blocks &&
           b->blocks <= PM_EVENT_BLOCKS && block_offset(c, ring, b->position) == offset;
}

static enum pm_found settle_block(pm_capture *c, enum pm_ring ring, uint64_t offset, pm_block *b)
{
    enum pm_found found = pm_cap_settle(c, offset, b, PM_BLOCK, PM_MAGIC_EVENT);
    return found == PM_SOUND && !block_sane(c, ring, offset, b) ? PM_DAMAGED : found;
}

static enum pm_found load_block(pm_capture *c, enum pm_ring ring, uint64_t position, pm_block *b)
{
    uint64_t offset = block_offset(c, ring, position);

    pm_cap_read(c, offset, b, PM_BLOCK);
    return settle_block(c, ring, offset, b);
}

/* The payload of the event that begins with *first, gathered in c->event. PM_EMPTY: newer events have
 * displaced it meanwhile. */
static enum pm_found gather(pm_capture *c, enum pm_ring ring, const pm_block *first, size_t *len)
{
    *len = 0;
    for (unsigned i = 0; i < first->blocks; i++) {
        pm_block b;
        if (i == 0) {
            b = *first;
        }
        else if (load_block(c, ring, first->position + i, &b) != PM_SOUND) {
            return PM_DAMAGED;
        }
        if (b.position > first->position + i) {
            return PM_EMPTY;
        }
        if (b.head.seq != first->head.seq || b.index != i || b.blocks != first->blocks) {
            return PM_DAMAGED;
        }
        size_t used = b.head.length - PM_BLOCK_META;
        memcpy(c->event + *len, b.payload, used);
        *len += used;
    }
    return PM_SOUND;
}

/* As gather, again while a writer may be between the event's blocks. */
static enum pm_found gather_settled(pm_capture *c, enum pm_ring ring, const pm_block *first,
                                    size_t *len)
{
    for (int i = 0;; i++) {
        int busy = pm_cap_busy(c, i);
        enum pm_found found = gather(c, ring, first, len);
        if (found != PM_DAMAGED || !busy) {
            return found;
        }
    }
}

static int body_sane(const pm_event_body *body, size_t len)
{
    return body->text_len < PM_EVENT_TEXT && body->data_len <= PM_EVENT_DATA &&
           sizeof(*body) + body->text_len + body->data_len == len && body->type > PM_EV_NONE &&
           body->type < PM_EV_TYPES && body->at_us <= PM_TIME_LAST;
}

/* ---- the end of the rings ---- */

/* Events behind the noted end: written by a process that ended before it could note them. */
static void roll_forward(pm_capture *c, enum pm_ring ring)
{
    for (uint32_t n = 0; n < c->layout.blocks[ring]; n++) {
        size_t len;
        pm_block b;
        if (load_block(c, ring, c->next[ring], &b) != PM_SOUND || b.position != c->next[ring]) {
            return;
        }
        if (b.head.seq > c->last_event) {
            c->last_event = b.head.seq; /* even of a torn one: its number was given away */
        }
        if (b.index != 0 || gather(c, ring, &b, &len) != PM_SOUND) {
            return;
        }
        c->next[ring] += b.blocks;
    }
}

static void scan_ring(pm_capture *c, enum pm_ring ring)
{
    uint32_t count = c->layout.blocks[ring], per = PM_SCRATCH / PM_BLOCK;

    for (uint32_t i = 0; i < count; i += per) {
        uint32_t n = count - i < per ? count - i : per;
        uint64_t offset = c->layout.events[ring] + (uint64_t)i * PM_BLOCK;
        pm_cap_read(c, offset, c->scratch, (size_t)n * PM_BLOCK);
        for (uint32_t k = 0; k < n; k++, offset += PM_BLOCK) {
            const pm_block *b = (const pm_block *)(c->scratch + (size_t)k * PM_BLOCK);
            if (b->head.magic != PM_MAGIC_EVENT ||
                !pm_cap_sound(c, offset, b, PM_BLOCK, PM_MAGIC_EVENT) ||
                !block_sane(c, ring, offset, b)) {
                continue;
            }
            c->last_event = b->head.seq > c->last_event ? b->head.seq : c->last_event;
            c->next[ring] = b->position >= c->next[ring] ? b->position + 1 : c->next[ring];
        }
    }
}

static int tail_noted(pm_capture *c)
{
    pm_tail tail;
    enum pm_found found = pm_cap_load(c, c->layout.tail, &tail, sizeof(tail), PM_MAGIC_TAIL);

    if (found == PM_DAMAGED) {
        pm_cap_note_damage(c, PM_AREA_TAIL, 1);
    }
    if (found != PM_SOUND || tail.head.length != sizeof(tail) - sizeof(tail.head) ||
        tail.head.seq >= PM_POSITION_LAST || tail.next[PM_RING_CORE] >= PM_POSITION_LAST ||
        tail.next[PM_RING_FLOOD] >= PM_POSITION_LAST) {
        return 0;
    }
    c->last_event = tail.head.seq;
    memcpy(c->next, tail.next, sizeof(c->next));
    return 1;
}

static apr_status_t note_tail(pm_capture *c)
{
    pm_tail tail = {.next = {c->next[PM_RING_CORE], c->next[PM_RING_FLOOD]}};

    pm_cap_seal(c, c->layout.tail, &tail, PM_MAGIC_TAIL, sizeof(tail) - sizeof(tail.head),
                c->last_event);
    return pm_cap_write(c, c->layout.tail, &tail, sizeof(tail));
}

/** 1: what is noted is the end. */
static int scan(pm_capture *c)
{
    uint64_t last, next[PM_RINGS];
    int noted = tail_noted(c);

    if (!noted) {
        c->last_event = 0;
        memset(c->next, 0, sizeof(c->next));
    }
    last = c->last_event;
    memcpy(next, c->next, sizeof(next));
    scan_ring(c, PM_RING_CORE);
    scan_ring(c, PM_RING_FLOOD);
    return noted && c->last_event == last && memcmp(c->next, next, sizeof(next)) == 0;
}

apr_status_t pm_cap_need_tail(pm_capture *c)
{
    return tail_noted(c) || scan(c) ? APR_SUCCESS : note_tail(c);
}

apr_status_t pm_capture_find_tail(pm_capture *c, uint64_t wait_us)
{
    apr_status_t rv = pm_capture_lock(c, wait_us);

    if (rv == APR_SUCCESS) {
        rv = scan(c) ? APR_SUCCESS : note_tail(c);
        pm_capture_unlock(c);
    }
    return rv;
}

uint64_t pm_capture_last_event(pm_capture *c)
{
    if (!c->tail_known || !c->locked) {
        if (tail_noted(c)) {
            roll_forward(c, PM_RING_CORE);
            roll_forward(c, PM_RING_FLOOD);
        }
        else {
            scan(c);
        }
        c->tail_known = 1;
    }
    return c->last_event;
}

/* ---- writing ---- */

/* One event may not push out more than a quarter of its ring. */
static size_t data_room(const pm_capture *c, enum pm_ring ring)
{
    size_t room =
        c->layout.blocks[ring] / 4 * PM_BLOCK_PAYLOAD - sizeof(pm_event_body) - PM_EVENT_TEXT;
    return room < PM_EVENT_DATA ? room : PM_EVENT_DATA;
}

/* Lay the payload out in c->event; returns its length. */
static size_t fill_payload(pm_capture *c, enum pm_ring ring, const pm_event *event)
{
    static const char none[] = "{}", cut[] = PM_DATA_CUT;
    const char *data = event->data;
    pm_event_body body = {
        .at_us = event->at_us, .run = event->run, .type = event->type, .severity = event->severity};

    body.text_len = (uint32_t)strnlen(event->text, PM_EVENT_TEXT - 1);
    body.data_len = event->data_len;
    if (!data || body.data_len == 0) {
        data = none;
        body.data_len = sizeof(none) - 1;
    }
    else if (body.data_len > data_room(c, ring)) {
        data = cut;
        body.data_len = sizeof(cut) - 1;
    }
    memcpy(c->event, &body, sizeof(body));
    memcpy(c->event + sizeof(body), event->text, body.text_len);
    memcpy(c->event + sizeof(body) + body.text_len, data, body.data_len);
    return sizeof(body) + body.text_len + body.data_len;
}

apr_status_t pm_cap_write_event(pm_capture *c, const pm_event *event)
{
    enum pm_ring ring = ring_of(event->type);
    size_t len = fill_payload(c, ring, event);
    uint16_t blocks = (uint16_t)((len + PM_BLOCK_PAYLOAD - 1) / PM_BLOCK_PAYLOAD);
    uint64_t first = c->next[ring];
    apr_status_t rv;

    /* data_room has cut it, and no event may push out its whole ring */
    PM_CHECK(len <= PM_EVENT_PAYLOAD && blocks <= PM_EVENT_BLOCKS &&
             blocks < c->layout.blocks[ring]);
    for (uint16_t i = 0; i < blocks; i++) {
        pm_block *b = (pm_block *)(c->scratch + (size_t)i * PM_BLOCK);
        size_t from = (size_t)i * PM_BLOCK_PAYLOAD;
        size_t used = len - from < PM_BLOCK_PAYLOAD ? len - from : PM_BLOCK_PAYLOAD;
        memset(b, 0, sizeof(*b));
        b->position = first + i;
        b->index = i;
        b->blocks = blocks;
        memcpy(b->payload, c->event + from, used);
        pm_cap_seal(c, block_offset(c, ring, first + i), b, PM_MAGIC_EVENT, PM_BLOCK_META + used,
                    event->seq);
    }
    uint64_t to_end = c->layout.blocks[ring] - first % c->layout.blocks[ring];
    uint64_t run = blocks < to_end ? blocks : to_end;
    rv = pm_cap_write(c, block_offset(c, ring, first), c->scratch, run * PM_BLOCK);
    if (rv == APR_SUCCESS && run < blocks) {
        rv = pm_cap_write(c, c->layout.events[ring], c->scratch + run * PM_BLOCK,
                          (blocks - run) * PM_BLOCK);
    }
    if (rv == APR_SUCCESS) {
        c->next[ring] += blocks;
        c->last_event = event->seq > c->last_event ? event->seq : c->last_event;
        return note_tail(c);
    }
    c->tail_known = 0; /* part of it may stand there: its number is not used again */
    return rv;
}

apr_status_t pm_capture_put_event(pm_capture *c, pm_event *event)
{
    if (event->type == PM_EV_NONE || event->type >= PM_EV_TYPES) {
        return APR_EINVAL;
    }
    event->seq = pm_capture_last_event(c) + 1;
    return pm_cap_write_event(c, event);
}

/* ---- reading ---- */

/* The event whose payload is in c->event. */
static void push_event(pm_capture *c, uint64_t seq, apr_array_header_t *events)
{
    static const char none[] = "{}";
    pm_event *e = apr_array_push(events);
    pm_event_body body;

    memcpy(&body, c->event, sizeof(body));
    memset(e, 0, sizeof(*e));
    e->seq = seq;
    e->at_us = body.at_us;
    e->run = body.run;
    e->type = body.type;
    e->severity = body.severity <= PM_CRITICAL ? body.severity : PM_CRITICAL;
    memcpy(e->text, c->event + sizeof(body), body.text_len);
    pm_cap_clean_string(e->text, sizeof(e->text));
    const char *data = (const char *)c->event + sizeof(body) + body.text_len;
    if (body.data_len > 0 && data[0] == '{' && pm_json_valid(data, body.data_len)) {
        e->data = apr_pstrmemdup(events->pool, data, body.data_len);
        e->data_len = body.data_len;
    }
    else {
        e->data = none;
        e->data_len = sizeof(none) - 1;
    }
}

typedef struct event_query {
    uint64_t from_us, to_us;
    uint64_t ever; /* PM_EVENT_BITs of types that are wanted whatever their time */
    int choosy; /* pass over the others, and what continues an event, without looking whether they are sound */
    uint64_t oldest_us;
    apr_array_header_t *events;
    uint64_t damaged;
} event_query;

static int in_query(const event_query *q, const pm_event_body *body)
{
    return (body->at_us >= q->from_us && body->at_us < q->to_us) ||
           (body->type < PM_EV_TYPES && (q->ever >> body->type & 1)) ||
           (q->choosy && body->at_us < q->oldest_us);
}

/* Settled only when it is wanted as it stands: the checksums of a whole ring take as long as reading it. */
static int passed_over(const pm_block *b, const event_query *q)
{
    pm_event_body body;

    if (!q->choosy || b->head.magic != PM_MAGIC_EVENT) {
        return 0;
    }
    memcpy(&body, b->payload, sizeof(body));
    return b->index != 0 || !in_query(q, &body);
}

static enum pm_found read_block(pm_capture *c, enum pm_ring ring, uint64_t offset, pm_block *b,
                                event_query *q)
{
    enum pm_found found = passed_over(b, q) ? PM_EMPTY : settle_block(c, ring, offset, b);
    enum pm_found whole = found;
    pm_event_body body;
    size_t len;

    q->damaged += found == PM_DAMAGED;
    if (found != PM_SOUND || b->index != 0) {
        return found;
    }
    memcpy(&body, b->payload, sizeof(body));
    if (!in_query(q, &body)) {
        return found;
    }
    whole = gather_settled(c, ring, b, &len);
    if (whole == PM_SOUND) {
        memcpy(&body, c->event, sizeof(body));
        whole = len >= sizeof(body) && body_sane(&body, len) ? PM_SOUND : PM_DAMAGED;
    }
    if (whole == PM_SOUND) {
        push_event(c, b->head.seq, q->events);
        q->oldest_us = body.at_us < q->oldest_us ? body.at_us : q->oldest_us;
    }
    q->damaged += whole == PM_DAMAGED;
    return found;
}

static int compare_events(const void *a, const void *b)
{
    const pm_event *x = a, *y = b;

    if (x->at_us != y->at_us) {
        return x->at_us < y->at_us ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void hand_out(event_query *q, pm_event **events, size_t *count)
{
    pm_event *e = (pm_event *)q->events->elts;

    *events = e;
    *count = (size_t)q->events->nelts;
    for (size_t i = 1; i < *count; i++) {
        if (compare_events(&e[i - 1], &e[i]) > 0) {
            qsort(e, *count, sizeof(*e), compare_events);
            return;
        }
    }
}

static void read_ring(pm_capture *c, enum pm_ring ring, event_query *q)
{
    uint32_t blocks = c->layout.blocks[ring];

    for (uint32_t i = 0; i < blocks; i += READ_BLOCKS) {
        uint32_t n = blocks - i < READ_BLOCKS ? blocks - i : READ_BLOCKS;
        uint64_t offset = c->layout.events[ring] + (uint64_t)i * PM_BLOCK;

        pm_cap_read(c, offset, c->scratch, (size_t)n * PM_BLOCK);
        for (uint32_t k = 0; k < n; k++) {
            pm_block *b = (pm_block *)(c->scratch + (size_t)k * PM_BLOCK);
            read_block(c, ring, offset + (uint64_t)k * PM_BLOCK, b, q);
        }
    }
}

/* From the end of the ring backwards, until `most` events were read, or one whose number is not above `after`. */
static void read_back(pm_capture *c, enum pm_ring ring, size_t most, uint64_t after, event_query *q)
{
    uint64_t room = c->layout.blocks[ring], at = c->next[ring], end = at > room ? at - room : 0;
    size_t enough = (size_t)q->events->nelts + most;

    while (at > end) {
        uint64_t whole = (at - 1) % room + 1, n = at - end < whole ? at - end : whole;

        n = n < TAIL_BLOCKS ? n : TAIL_BLOCKS;
        at -= n;
        pm_cap_read(c, block_offset(c, ring, at), c->scratch, n * PM_BLOCK);
        for (uint64_t k = n; k-- > 0;) {
            pm_block *b = (pm_block *)(c->scratch + k * PM_BLOCK);

            if ((size_t)q->events->nelts >= enough ||
                (read_block(c, ring, block_offset(c, ring, at + k), b, q) == PM_SOUND &&
                 b->head.seq <= after)) {
                return;
            }
        }
    }
}

apr_status_t pm_capture_events(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_event **events,
                               size_t *count, apr_pool_t *pool)
{
    event_query q = {
        .from_us = from_us, .to_us = to_us, .events = apr_array_make(pool, 64, sizeof(pm_event))};

    read_ring(c, PM_RING_CORE, &q);
    read_ring(c, PM_RING_FLOOD, &q);
    pm_cap_note_damage(c, PM_AREA_EVENTS, q.damaged);
    hand_out(&q, events, count);
    return APR_SUCCESS;
}

apr_status_t pm_capture_events_after(pm_capture *c, uint64_t seq, pm_event **events, size_t *count,
                                     apr_pool_t *pool)
{
    event_query q = {.to_us = UINT64_MAX, .events = apr_array_make(pool, 8, sizeof(pm_event))};
    size_t kept = 0;

    pm_capture_last_event(c);
    read_back(c, PM_RING_CORE, SIZE_MAX / 2, seq, &q);
    read_back(c, PM_RING_FLOOD, SIZE_MAX / 2, seq, &q);
    pm_cap_note_damage(c, PM_AREA_EVENTS, q.damaged);
    hand_out(&q, events, count);
    for (size_t i = 0; i < *count; i++) { /* the one that ended the reading may be among them */
        if ((*events)[i].seq > seq) {
            (*events)[kept++] = (*events)[i];
        }
    }
    *count = kept;
    return APR_SUCCESS;
}

apr_status_t pm_capture_latest_events(pm_capture *c, size_t most, pm_event **events, size_t *count,
                                      apr_pool_t *pool)
{
    event_query q = {.to_us = UINT64_MAX,
                     .events = apr_array_make(pool, (int)(2 * most), sizeof(pm_event))};

    pm_capture_last_event(c);
    read_back(c, PM_RING_CORE, most, 0, &q);
    read_back(c, PM_RING_FLOOD, most, 0, &q);
    pm_cap_note_damage(c, PM_AREA_EVENTS, q.damaged);
    hand_out(&q, events, count);
    if (*count > most) {
        *events += *count - most;
        *count = most;
    }
    return APR_SUCCESS;
}

apr_status_t pm_capture_events_around(pm_capture *c, uint64_t from_us, uint64_t ever, size_t most,
                                      pm_event **events, size_t *count, apr_pool_t *pool)
{
    event_query all = {.to_us = UINT64_MAX, .events = apr_array_make(pool, 64, sizeof(pm_event))};
    event_query q = {.from_us = from_us,
                     .to_us = UINT64_MAX,
                     .ever = ever,
                     .choosy = 1,
                     .oldest_us = UINT64_MAX,
                     .events = all.events};

    size_t kept = 0;

    if (most > 0) {
        pm_capture_last_event(c);
        read_back(c, PM_RING_CORE, most, 0, &all);
        read_back(c, PM_RING_FLOOD, most, 0, &all);
    }
    read_ring(c, PM_RING_CORE, &q);
    read_ring(c, PM_RING_FLOOD, &q);
    pm_cap_note_damage(c, PM_AREA_EVENTS, q.damaged > all.damaged ? q.damaged : all.damaged);
    hand_out(&q, events, count);
    for (size_t i = 0; i < *count; i++) { /* what is new was met twice */
        if (kept == 0 || compare_events(&(*events)[kept - 1], &(*events)[i]) != 0) {
            (*events)[kept++] = (*events)[i];
        }
    }
    *count = kept;
    return APR_SUCCESS;
}

/** When the oldest event that a ring still holds happened; 0 when none was pushed out, UINT64_MAX when nothing is
 *  left that is sound. */
static uint64_t kept_since(pm_capture *c, enum pm_ring ring)
{
    uint64_t next = c->next[ring], room = c->layout.blocks[ring];
    pm_event_body body;
    pm_block b;

    if (next <= room) {
        return 0;
    }
    for (uint64_t at = next - room; at < next; at++) {
        if (load_block(c, ring, at, &b) == PM_SOUND && b.index == 0) {
            memcpy(&body, b.payload, sizeof(body));
            return body.at_us;
        }
    }
    return UINT64_MAX;
}

uint64_t pm_capture_events_since(pm_capture *c)
{
    uint64_t core, flood;

    pm_capture_last_event(c);
    core = kept_since(c, PM_RING_CORE);
    flood = kept_since(c, PM_RING_FLOOD);
    return core > flood ? core : flood;
}
