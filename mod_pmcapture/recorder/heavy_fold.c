/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * heavy_fold.c: heavy hitters, the recorder's side: differences, room for newcomers, breakdowns of incidents.
 */
#include <stdlib.h>
#include <string.h>

#include "region/heavy_private.h"
#include "incident_private.h"
#include "pm_route.h"
#include "pm_text.h"
#include "pm_time.h"
#include "region/shared.h"

#define FULL 12u         /* slots of a bucket in use: the lightest go until so many are left */
#define DECAY_TICKS 64u  /* without an incident, weights are halved so often */
#define FAILURE_WEIGHT 8 /* of a failure, against a success */
#define MEMORY_WAYS 8u
#define TORN_TICKS 2u /* a writer that died in the middle */
#define NEW_US (3 * PM_SECOND)

static uint32_t dimension_of(uint32_t slot)
{
    uint32_t d = 0;

    if (slot >= PM_HEAVY_SLOTS) {
        return slot - PM_HEAVY_SLOTS;
    }
    while (slot >= pm_heavy_first(d + 1)) {
        d++;
    }
    return d;
}

/* ---- sums ---- */

static void add_hits(pm_hits *to, const pm_hits *n)
{
    to->good += n->good;
    to->errors += n->errors;
    for (uint32_t w = 0; w < PM_WAYS; w++) {
        to->ways[w] += n->ways[w];
    }
}

/** All modulo 2^32, as the counters are. */
static pm_hits subtract(const pm_hits *a, const pm_hits *b)
{
    pm_hits left = {.good = a->good - b->good, .errors = a->errors - b->errors};

    for (uint32_t w = 0; w < PM_WAYS; w++) {
        left.ways[w] = a->ways[w] - b->ways[w];
    }
    return left;
}

static pm_hits read_slot(const pm_heavy_slot *s)
{
    pm_hits now;

    now.good = atomic_load_explicit(&s->good, memory_order_relaxed);
    now.errors = atomic_load_explicit(&s->errors, memory_order_acquire);
    for (uint32_t w = 0; w < PM_WAYS; w++) {
        now.ways[w] = atomic_load_explicit(&s->ways[w], memory_order_relaxed);
    }
    return now;
}

/* ---- who has a slot ---- */

/** What a tick brought to a slot. */
static void note_tick(pm_heavy_known *k, const pm_tick *t, const pm_hits *hits)
{
    pm_heavy_cell *last = &k->cell[(k->cells - 1) % PM_HEAVY_CELLS];

    if (k->cells == 0 || last->at_us != t->now_us) {
        last = &k->cell[k->cells++ % PM_HEAVY_CELLS];
        *last = (pm_heavy_cell){.at_us = t->now_us};
    }
    add_hits(&last->hits, hits);
}

/** What a slot has counted so far becomes part of the dimension's "(other)", in every open incident too; in one that
 *  this tick opens, what it counted in this tick. */
static void retire(pm_fold *f, const pm_tick *t, uint32_t slot)
{
    pm_heavy_ledger *h = &f->state->heavy;
    const pm_heavy_known *k = &h->known[slot];
    const pm_heavy_cell *last = &k->cell[(k->cells - 1) % PM_HEAVY_CELLS];
    uint32_t other = PM_HEAVY_SLOTS + dimension_of(slot);

    add_hits(&h->known[other].total, &k->total);
    if (k->cells > 0 && last->at_us == t->now_us) {
        note_tick(&h->known[other], t, &last->hits);
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_heavy_marks *m = &f->state->open[i].heavy;

        if (f->state->open[i].used) {
            add_hits(&m->onset[other], &m->onset[slot]);
            add_hits(&m->until[other], &m->until[slot]);
            m->detected[other] += m->detected[slot];
            memset(&m->onset[slot], 0, sizeof(m->onset[slot]));
            memset(&m->until[slot], 0, sizeof(m->until[slot]));
            m->detected[slot] = 0;
        }
    }
    h->has[slot] = 0;
}

static void release(pm_fold *f, uint32_t slot, uint64_t id)
{
    pm_heavy *live = f->live->heavy;

    atomic_store_explicit(&live->slot[slot].sum, 0, memory_order_relaxed);
    atomic_compare_exchange_strong(&live->id[slot], &id, 0);
}

/** A signature's first time, from before its slot was lost to another. The newest of a few makes room: in a flood
 *  of lines that never come again they displace one another, and none of the old ones. */
static uint64_t remember(pm_heavy_ledger *h, uint64_t id, uint64_t first_us)
{
    pm_heavy_memory *few = &h->memory[id % (PM_HEAVY_MEMORY / MEMORY_WAYS) * MEMORY_WAYS];
    pm_heavy_memory *place = few;

    for (uint32_t i = 0; i < MEMORY_WAYS; i++) {
        if (few[i].id == id) {
            return few[i].first_us;
        }
        if (place->id != 0 && (few[i].id == 0 || few[i].first_us > place->first_us)) {
            place = &few[i];
        }
    }
    *place = (pm_heavy_memory){id, first_us};
    return first_us;
}

/** Of a signature that an earlier run saw: by its group alone, as virtual hosts have other numbers then. */
static uint64_t known_of_old(uint64_t group)
{
    return pm_heavy_identity(group, UINT32_MAX);
}

static uint64_t seen_since(const pm_heavy_ledger *h, uint64_t group, uint64_t first_us)
{
    uint64_t id = known_of_old(group);
    const pm_heavy_memory *few = &h->memory[id % (PM_HEAVY_MEMORY / MEMORY_WAYS) * MEMORY_WAYS];

    for (uint32_t i = 0; i < MEMORY_WAYS; i++) {
        if (few[i].id == id && few[i].first_us < first_us) {
            return few[i].first_us;
        }
    }
    return first_us;
}

void pm_heavy_recall(pm_fold *f, const pm_incident *in)
{
    for (uint32_t i = 0; i < PM_TALLIES && in->by_error_log[i].errors != 0; i++) {
        const pm_tally *line = &in->by_error_log[i];
        unsigned number = pm_signature_number(line->key);

        if (strcmp(line->key, PM_OTHER) != 0 && line->first_seen_us != 0) {
            remember(&f->state->heavy,
                     known_of_old(number != 0
                                      ? pm_live_hash(f->live, &number, sizeof(number))
                                      : pm_live_hash(f->live, line->key, strlen(line->key))),
                     line->first_seen_us);
        }
    }
}

/** Somebody claimed the slot: copy its name, and believe it when its checksum holds. */
static int adopt(pm_fold *f, const pm_tick *t, uint32_t slot, uint64_t id)
{
    pm_heavy_ledger *h = &f->state->heavy;
    pm_heavy *live = f->live->heavy;
    const pm_heavy_slot *s = &live->slot[slot];
    pm_heavy_known *k = &h->known[slot];
    uint64_t sum = atomic_load_explicit(&s->sum, memory_order_acquire);
    char key[PM_KEY], line[PM_KEY] = "";

    pm_shared_take(key, live->key[slot], PM_KEY);
    if (dimension_of(slot) == PM_BY_ERROR_LOG) {
        pm_shared_take(line, live->line[slot - pm_heavy_first(PM_BY_ERROR_LOG)], PM_KEY);
    }
    k->torn = k->id == id ? k->torn + 1 : 0;
    k->id = id;
    k->vhost = atomic_load_explicit(&s->vhost, memory_order_relaxed);
    k->group = atomic_load_explicit(&s->group, memory_order_relaxed);
    k->first_us = atomic_load_explicit(&s->first_us, memory_order_relaxed);
    if (sum == 0 || sum != pm_heavy_sum(id, k->vhost, k->first_us, key, line)) {
        if (k->torn > TORN_TICKS) {
            release(f, slot, id);
        }
        return 0;
    }
    k->vhost = k->vhost < f->live->geo.vhosts ? k->vhost : 0;
    k->first_us = k->first_us < t->now_us ? pm_by_the_clock(t, k->first_us) : t->now_us;
    memset(&k->total, 0, sizeof(k->total));
    k->weight = k->cells = 0;
    pm_text_clean(k->key, sizeof(k->key), key, PM_KEY);
    if (dimension_of(slot) == PM_BY_ERROR_LOG) {
        pm_text_clean(h->line[slot - pm_heavy_first(PM_BY_ERROR_LOG)], PM_KEY, line, PM_KEY);
        k->first_us = remember(h, id, seen_since(h, k->group, k->first_us));
    }
    h->has[slot] = id;
    return 1;
}

static void take(pm_fold *f, const pm_tick *t, uint32_t slot)
{
    pm_heavy_known *k = &f->state->heavy.known[slot];
    pm_hits now = read_slot(&f->live->heavy->slot[slot]), delta = subtract(&now, &k->seen);

    if (delta.good == 0 && delta.errors == 0) {
        return;
    }
    k->seen = now;
    k->weight += (uint64_t)delta.errors * FAILURE_WEIGHT + delta.good;
    add_hits(&k->total, &delta);
    note_tick(k, t, &delta);
}

static void look(pm_fold *f, const pm_tick *t, uint32_t slot)
{
    pm_heavy_ledger *h = &f->state->heavy;
    uint64_t id = atomic_load_explicit(&f->live->heavy->id[slot], memory_order_acquire);

    if (id == 0 && h->has[slot] == 0) {
        return;
    }
    if (h->has[slot] != 0 && h->has[slot] != id) {
        retire(f, t, slot); /* only we free slots: somebody wrote over it */
    }
    if (id != 0 && (h->has[slot] == id || adopt(f, t, slot, id))) {
        take(f, t, slot);
    }
}

/** The lightest of a crowded bucket go, so that the next tick's newcomers find room. */
static void make_room(pm_fold *f, const pm_tick *t, uint32_t from)
{
    pm_heavy_ledger *h = &f->state->heavy;

    for (;;) {
        uint32_t used = 0, lightest = from;

        for (uint32_t i = from; i < from + PM_HEAVY_WAYS; i++) {
            if (h->has[i] == 0) {
                continue;
            }
            if (used++ == 0 || h->known[i].weight < h->known[lightest].weight) {
                lightest = i;
            }
        }
        if (used <= FULL) {
            return;
        }
        release(f, lightest, h->has[lightest]);
        retire(f, t, lightest);
    }
}

void pm_heavy_step(pm_fold *f, pm_tick *t)
{
    pm_heavy_ledger *h = &f->state->heavy;
    int decay = t->tick % DECAY_TICKS == 0 && !pm_incident_any_open(f);

    for (uint32_t i = 0; i < PM_HEAVY_SLOTS; i++) {
        look(f, t, i);
        if (decay && h->has[i] != 0) {
            h->known[i].weight /= 2;
        }
    }
    for (uint32_t i = PM_HEAVY_SLOTS; i < PM_HEAVY_ALL; i++) {
        take(f, t, i);
    }
    for (uint32_t i = 0; i < PM_HEAVY_SLOTS; i += PM_HEAVY_WAYS) {
        make_room(f, t, i);
    }
}

/* ---- an incident's window ---- */

static int is_known(const pm_fold *f, uint32_t slot)
{
    return slot >= PM_HEAVY_SLOTS || f->state->heavy.has[slot] != 0;
}

void pm_heavy_open(pm_fold *f, pm_tick *t, pm_open *o)
{
    pm_heavy_marks *m = &o->heavy;

    for (uint32_t i = 0; i < PM_HEAVY_ALL; i++) {
        const pm_heavy_known *k = &f->state->heavy.known[i];

        if (!is_known(f, i)) {
            continue;
        }
        m->onset[i] = k->total;
        for (uint32_t n = 1; n <= k->cells && n <= PM_HEAVY_CELLS; n++) {
            const pm_heavy_cell *c = &k->cell[(k->cells - n) % PM_HEAVY_CELLS];

            if (c->at_us <= o->incident.onset_us) {
                break;
            }
            m->onset[i] = subtract(&m->onset[i], &c->hits);
        }
        if (m->since_us == 0) {
            m->detected[i] = k->total.errors;
        }
    }
    m->since_us = m->since_us != 0 ? m->since_us : t->now_us;
    pm_heavy_extend(f, t, o);
}

/** What succeeded in the last failure's second after it: by proportion, as a virtual host's requests. */
static uint32_t after_end(const pm_heavy_known *k, const pm_tick *t, uint64_t end)
{
    const pm_heavy_cell *last = &k->cell[(k->cells - 1) % PM_HEAVY_CELLS];
    const pm_hits *n = &last->hits;

    if (k->cells == 0 || last->at_us != t->now_us || end >= t->now_us) {
        return 0;
    }
    return (uint32_t)at_most(part((uint64_t)n->good + n->errors, t->now_us - end, t->span_us),
                             n->good);
}

void pm_heavy_extend(pm_fold *f, const pm_tick *t, pm_open *o)
{
    for (uint32_t i = 0; i < PM_HEAVY_ALL; i++) {
        const pm_heavy_known *k = &f->state->heavy.known[i];

        if (is_known(f, i)) {
            o->heavy.until[i] = k->total;
            if (i < pm_heavy_first(
                        PM_BY_AGENT)) { /* who asks is told of all that came since detection */
                o->heavy.until[i].good -= after_end(k, t, o->incident.end_us);
            }
        }
    }
}

/* ---- a breakdown ---- */

static int in_scope(const pm_open *o, uint32_t slot, const pm_heavy_known *k)
{
    if (o->scope == PM_SCOPE_SERVER) {
        return 1;
    }
    return slot < PM_HEAVY_SLOTS && k->vhost + 1 == o->scope;
}

static int by_group(const void *a, const void *b)
{
    const pm_heavy_item *x = a, *y = b;

    return x->group < y->group ? -1 : x->group > y->group;
}

static int by_weight(const void *a, const void *b)
{
    const pm_heavy_item *x = a, *y = b;

    if (x->errors != y->errors) {
        return x->errors < y->errors ? 1 : -1;
    }
    if (x->good != y->good) {
        return x->good < y->good ? 1 : -1;
    }
    return strcmp(x->key, y->key);
}

static void add_item(pm_heavy_item *to, const pm_heavy_item *n)
{
    to->good += n->good;
    to->errors += n->errors;
    for (uint32_t w = 0; w < PM_WAYS; w++) {
        to->ways[w] += n->ways[w];
    }
    to->counted_errors += n->counted_errors;
    if (n->first_us < to->first_us) {
        to->first_us = n->first_us;
        to->line = n->line;
    }
}

/** One key in several virtual hosts is one line. Returns how many are left. */
static size_t merge(pm_heavy_item *items, size_t count)
{
    size_t kept = 0;

    qsort(items, count, sizeof(*items), by_group);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && items[kept - 1].group == items[i].group) {
            add_item(&items[kept - 1], &items[i]);
        }
        else {
            items[kept++] = items[i];
        }
    }
    return kept;
}

/** Everything of a dimension that the window holds, heaviest first. */
static size_t gather(const pm_fold *f, const pm_open *o, uint32_t d, pm_heavy_item *items)
{
    const pm_heavy_marks *m = &o->heavy;
    size_t count = 0;

    for (uint32_t i = pm_heavy_first(d); i < pm_heavy_first(d + 1); i++) {
        const pm_heavy_known *k = &f->state->heavy.known[i];
        pm_hits n = subtract(&m->until[i], &m->onset[i]);

        if (f->state->heavy.has[i] == 0 || (n.errors == 0 && n.good == 0) || !in_scope(o, i, k)) {
            continue;
        }
        items[count++] = (pm_heavy_item){
            .group = k->group,
            .key = k->key,
            .line = d == PM_BY_ERROR_LOG ? f->state->heavy.line[i - pm_heavy_first(d)] : "",
            .good = n.good,
            .errors = n.errors,
            .first_us = k->first_us,
            .counted_errors = m->until[i].errors - m->detected[i]};
        for (uint32_t w = 0; w < PM_WAYS; w++) {
            items[count - 1].ways[w] = n.ways[w];
        }
    }
    return merge(items, count);
}

/** What the last run had counted of an incident that goes on. */
static size_t add_carried(pm_heavy_item *items, size_t count, const pm_tally *carried)
{
    for (uint32_t c = 0; c < PM_TALLIES && carried[c].errors != 0; c++) {
        const pm_tally *from = &carried[c];
        pm_heavy_item item = {.key = from->key,
                              .line = from->defined,
                              .errors = from->errors,
                              .first_us = from->first_seen_us,
                              .counted_errors = from->counted_errors};
        size_t i = 0;

        memcpy(item.ways, from->ways, sizeof(item.ways));
        item.good = from->requests != UINT64_MAX && from->requests > from->errors
                        ? from->requests - from->errors
                        : 0;
        while (i < count && strcmp(items[i].key, from->key) != 0) {
            i++;
        }
        if (i < count) {
            add_item(&items[i], &item);
        }
        else if (strcmp(from->key, PM_OTHER) != 0) {
            items[count++] = item;
        }
    }
    return count;
}

static void fill_tally(const pm_heavy_item *item, int counted, pm_tally *to)
{
    *to = (pm_tally){.errors = item->errors,
                     .requests = counted && item->good + item->counted_errors != 0
                                     ? item->good + item->errors
                                     : UINT64_MAX,
                     .first_seen_us = item->first_us};
    memcpy(to->ways, item->ways, sizeof(to->ways));
    if (to->requests != UINT64_MAX) {
        to->counted_errors = item->counted_errors;
        to->counted_requests = item->good + item->counted_errors;
    }
    pm_text_clean(to->key, sizeof(to->key), item->key, PM_KEY);
    pm_text_clean(to->defined, sizeof(to->defined), item->line, PM_KEY);
}

/** Failures that no line tells: "(other)", the last. */
static void add_other(pm_tally *list, uint32_t lines, uint64_t errors)
{
    if (errors > 0) {
        list[lines] = (pm_tally){.errors = errors, .requests = UINT64_MAX, .key = PM_OTHER};
    }
}

static uint64_t errors_of(const pm_heavy_item *items, size_t from, size_t to)
{
    uint64_t sum = 0;

    for (size_t i = from; i < to; i++) {
        sum += items[i].errors;
    }
    return sum;
}

static uint64_t no_room_for(const pm_open *o, uint32_t d)
{
    uint32_t other = PM_HEAVY_SLOTS + d;

    return o->scope == PM_SCOPE_SERVER ? o->heavy.until[other].errors - o->heavy.onset[other].errors
                                       : 0;
}

static int fill_tallies(const pm_fold *f, pm_tick *t, pm_open *o, uint32_t d,
                        const pm_tally *carried, pm_tally *list)
{
    int counted = t->now_us > o->heavy.since_us;
    size_t count = add_carried(t->items, gather(f, o, d, t->items), carried);
    uint32_t lines = 0;
    uint64_t told;

    qsort(t->items, count, sizeof(*t->items), by_weight);
    memset(list, 0, sizeof(*list) * PM_TALLIES);
    while (lines < count && lines < PM_TALLIES - 1 && t->items[lines].errors > 0) {
        fill_tally(&t->items[lines], counted && d != PM_BY_ERROR_LOG, &list[lines]);
        lines++;
    }
    told = errors_of(t->items, 0, lines);
    if (d == PM_BY_ROUTE || d == PM_BY_HOST) { /* every failure has one */
        add_other(list, lines, o->incident.errors > told ? o->incident.errors - told : 0);
    }
    else {
        add_other(list, lines, errors_of(t->items, lines, count) + no_room_for(o, d));
    }
    return (int)lines;
}

/** Those that nobody had seen before the onset come first. */
static void new_ones_first(const pm_incident *in, pm_tally *list, int lines)
{
    int front = 0;

    for (int i = 0; i < lines; i++) {
        if (list[i].first_seen_us + NEW_US >= in->onset_us) {
            pm_tally one = list[i];

            memmove(&list[front + 1], &list[front], sizeof(*list) * (size_t)(i - front));
            list[front++] = one;
        }
    }
}

static pm_count count_of(const pm_heavy_item *item, int counted)
{
    pm_count c = {.requests = counted ? item->good + item->errors : UINT64_MAX,
                  .errors = item->errors};

    pm_text_clean(c.key, sizeof(c.key), item->key, PM_KEY);
    return c;
}

static size_t add_carried_counts(pm_heavy_item *items, size_t count, const pm_count *carried,
                                 int by_name)
{
    for (uint32_t c = 0; c < PM_COUNTS && carried[c].errors != 0; c++) {
        pm_heavy_item item = {.key = carried[c].key, .line = "", .errors = carried[c].errors};
        size_t i = 0;

        item.good = carried[c].requests != UINT64_MAX ? carried[c].requests - item.errors : 0;
        while (by_name && i < count && strcmp(items[i].key, item.key) != 0) {
            i++;
        }
        if (by_name && i < count) {
            add_item(&items[i], &item);
        }
        else {
            items[count++] = item;
        }
    }
    return count;
}

static size_t fill_counts(const pm_fold *f, pm_tick *t, pm_open *o, uint32_t d,
                          const pm_count *carried, pm_count *list)
{
    int counted = t->now_us > o->heavy.since_us;
    size_t count =
        add_carried_counts(t->items, gather(f, o, d, t->items), carried, d == PM_BY_METHOD);

    qsort(t->items, count, sizeof(*t->items), by_weight);
    memset(list, 0, sizeof(*list) * PM_COUNTS);
    for (size_t i = 0; i < count && i < PM_COUNTS && t->items[i].errors > 0; i++) {
        list[i] = count_of(&t->items[i], counted);
    }
    return count;
}

/** Since detection: who asked, and how much of it were health checkers and the like. */
static void fill_traffic(const pm_fold *f, pm_tick *t, pm_open *o, size_t clients)
{
    pm_incident *in = &o->incident;
    const pm_heavy_item *busiest = NULL;
    size_t agents;

    for (size_t i = 0; i < clients; i++) {
        const pm_heavy_item *c = &t->items[i];

        if (busiest == NULL ||
            c->good + c->counted_errors > busiest->good + busiest->counted_errors) {
            busiest = c;
        }
    }
    memset(&in->busiest, 0, sizeof(in->busiest));
    if (busiest != NULL) {
        in->busiest = count_of(busiest, 1);
        in->busiest.requests = busiest->good + busiest->counted_errors;
        in->busiest.errors = busiest->counted_errors;
    }
    agents = gather(f, o, PM_BY_AGENT, t->items);
    in->counted_requests = o->heavy.carried_requests;
    in->monitoring_requests = o->heavy.carried_monitoring;
    for (size_t i = 0; i < agents; i++) {
        uint64_t n = t->items[i].good + t->items[i].counted_errors;

        in->counted_requests += n;
        in->monitoring_requests += strcmp(t->items[i].key, PM_MONITORING) == 0 ? n : 0;
    }
}

void pm_heavy_fill(pm_fold *f, pm_tick *t, pm_open *o)
{
    pm_incident *in = &o->incident;
    const pm_heavy_marks *m = &o->heavy;
    int lines;
    size_t clients;

    fill_tallies(f, t, o, PM_BY_ROUTE, m->carried[0], in->by_route);
    fill_tallies(f, t, o, PM_BY_HOST, m->carried[1], in->by_host);
    fill_tallies(f, t, o, PM_BY_BACKEND, m->carried[2], in->by_backend);
    lines = fill_tallies(f, t, o, PM_BY_ERROR_LOG, m->carried[3], in->by_error_log);
    new_ones_first(in, in->by_error_log, lines);
    fill_counts(f, t, o, PM_BY_METHOD, m->carried_method, in->by_method);
    clients = fill_counts(f, t, o, PM_BY_CLIENT, m->carried_client, in->by_client);
    fill_traffic(f, t, o, clients);
}

void pm_heavy_resume(pm_open *o)
{
    const pm_incident *in = &o->incident;
    pm_heavy_marks *m = &o->heavy;

    m->since_us = 1;
    memcpy(m->carried[0], in->by_route, sizeof(in->by_route));
    memcpy(m->carried[1], in->by_host, sizeof(in->by_host));
    memcpy(m->carried[2], in->by_backend, sizeof(in->by_backend));
    memcpy(m->carried[3], in->by_error_log, sizeof(in->by_error_log));
    memcpy(m->carried_method, in->by_method, sizeof(in->by_method));
    memcpy(m->carried_client, in->by_client, sizeof(in->by_client));
    m->carried_requests = in->counted_requests;
    m->carried_monitoring = in->monitoring_requests;
}
