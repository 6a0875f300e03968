/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * figures.c: what happened since the last tick: snapshots of the counters, subtracted.
 */
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"
#include "region/shared.h"

#define CHILD_CHECK_TICKS 5u
#define THOROUGH 6u

/** A counter that went back was written over: it counts nothing until it is past its old height. */
static uint64_t forward(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

/* ---- totals ---- */

static int is_present(const pm_fold *f, uint64_t run)
{
    int present = f->live->run == run;

    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        present |= f->old[i] != NULL && f->old[i]->run == run;
    }
    return present;
}

/** What is counted of a run's region already. A new one takes the place of the oldest that is not mapped, and not before
 *  it must: the file of such a region may still be there, and mapped again by a later start. */
static pm_consumed *consumed_of(pm_fold *f, uint64_t run)
{
    pm_consumed *all = f->state->checkpoint.consumed, *place = NULL;

    for (int i = 0; i < PM_RUNS; i++) {
        if (all[i].run == run) {
            return &all[i];
        }
        if ((place == NULL || all[i].run < place->run) && !is_present(f, all[i].run)) {
            place = &all[i]; /* 0 is unused, and the oldest */
        }
    }
    if (place != NULL) {
        memset(place, 0, sizeof(*place));
        place->run = run;
    }
    return place;
}

static void add_forward(uint64_t *total, uint64_t *delta, uint64_t *seen, uint64_t now)
{
    uint64_t n = forward(now, *seen);

    *total += n;
    *delta += n;
    if (n > 0) {
        *seen = now;
    }
}

/** Count what a region has more than at the last tick. */
static void fold_region(pm_fold *f, pm_tick *t, const pm_totals *now, uint64_t run)
{
    pm_checkpoint *cp = &f->state->checkpoint;
    pm_consumed *seen = consumed_of(f, run);

    if (seen == NULL) {
        return; /* more regions than PM_RUNS: its turn comes when another is drained */
    }
    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        add_forward(&cp->totals.status[i], &t->delta.status[i], &seen->totals.status[i],
                    now->status[i]);
    }
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        add_forward(&cp->totals.hist[b], &t->delta.hist[b], &seen->totals.hist[b], now->hist[b]);
    }
    add_forward(&cp->totals.bytes, &t->delta.bytes, &seen->totals.bytes, now->bytes);
    if (now->max_us > seen->totals.max_us) {
        seen->totals.max_us = now->max_us;
        t->delta.max_us = now->max_us > t->delta.max_us ? now->max_us : t->delta.max_us;
    }
    if (now->max_us > cp->totals.max_us) {
        cp->totals.max_us = now->max_us;
    }
}

static void take_old_totals(pm_fold *f, pm_tick *t)
{
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        if (f->old[i] != NULL) {
            pm_live_totals(f->old[i], &t->snapshot, NULL);
            fold_region(f, t, &t->snapshot, f->old[i]->run);
        }
    }
}

static void take_totals(pm_fold *f, pm_tick *t)
{
    pm_live_totals(f->live, &t->snapshot, t->pool_now);
    fold_region(f, t, &t->snapshot, f->live->run);
    for (uint32_t p = 0; p < PM_POOLS; p++) {
        for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
            t->pool_delta[p][b] = forward(t->pool_now[p][b], f->state->pool_hist[p][b]);
            f->state->pool_hist[p][b] = t->pool_now[p][b];
        }
    }
    take_old_totals(f, t);
}

/* ---- virtual hosts ---- */

/** A time from shared memory: not later than now, nor of the clock as it was before it was set forward; 0 when there is
 *  none. */
static uint64_t plausible(const pm_tick *t, uint64_t at)
{
    return at > t->now_us ? t->now_us : pm_by_the_clock(t, at);
}

static uint64_t load(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

typedef struct pm_vhost_sum {
    uint64_t requests, errors, slow;
    uint64_t refused, redirected;
} pm_vhost_sum;

static pm_vhost_sum take_counts(const pm_live *live, uint32_t v)
{
    pm_vhost_sum now = {0};

    for (uint32_t s = 0; s < live->geo.vhost_stripes; s++) {
        pm_vhost_count *c = &live->vhost_counts[(uint64_t)s * live->geo.vhosts + v];

        now.requests += atomic_load_explicit(&c->requests, memory_order_acquire);
        now.errors += atomic_load_explicit(&c->errors, memory_order_relaxed);
        now.slow += atomic_load_explicit(&c->slow, memory_order_relaxed);
        now.refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
        now.redirected += atomic_load_explicit(&c->redirected, memory_order_relaxed);
    }
    return now;
}

static void take_codes(const pm_vhost_live *vh, pm_scope_state *scope, pm_scope_state *server,
                       uint64_t tick)
{
    pm_code_tick *own = &scope->codes[tick % PM_SECONDS_KEPT];
    pm_code_tick *all = &server->codes[tick % PM_SECONDS_KEPT];

    memset(own, 0, sizeof(*own));
    own->tick = (uint32_t)tick;
    for (uint32_t i = 0; i < PM_CODES; i++) {
        uint32_t now = atomic_load_explicit(&vh->by_code[i], memory_order_relaxed);
        uint32_t n = now - scope->by_code[i]; /* 32 bits wrap, their difference does not */

        scope->by_code[i] = now;
        own->code[i] = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
        n += all->code[i];
        all->code[i] = n > UINT16_MAX ? UINT16_MAX : (uint16_t)n;
    }
}

static void take_clients(const pm_vhost_live *vh, pm_scope_state *scope, pm_figures *own,
                         pm_figures *all)
{
    for (uint32_t i = 0; i < PM_CLIENT_BUCKETS; i++) {
        uint32_t now = atomic_load_explicit(&vh->by_client[i], memory_order_relaxed);

        own->errors_by_client[i] = now - scope->by_client[i];
        scope->by_client[i] = now;
        if (own->errors_by_client[i] > 0) {
            own->failing_client[i] = atomic_load_explicit(&vh->failing[i], memory_order_relaxed);
            if (own->errors_by_client[i] * 2 >=
                all->errors_by_client[i] + own->errors_by_client[i]) {
                all->failing_client[i] = own->failing_client[i]; /* the larger part names it */
            }
            all->errors_by_client[i] += own->errors_by_client[i];
        }
    }
}

static uint64_t take(_Atomic uint64_t *from)
{
    return load(from) != 0 ? atomic_exchange_explicit(from, 0, memory_order_relaxed) : 0;
}

/** What was written to any epoch but the active one: a worker that is held up writes to the one that was active when it
 *  began, whenever it goes on. */
static void take_first(pm_vhost_live *vh, uint32_t active, uint64_t *error, uint64_t *slow)
{
    for (uint32_t n = 0; n < PM_EPOCHS; n++) {
        if (n != active % PM_EPOCHS) {
            *error = earlier(*error, take(&vh->epoch[n].first_error_us));
            *slow = earlier(*slow, take(&vh->epoch[n].first_slow_us));
        }
    }
}

/** Who met what, of all epochs but the active one. */
static void take_met(pm_vhost_epoch *e, pm_client_set met[PM_OUTCOMES])
{
    for (uint32_t i = 0; i < PM_OUTCOMES * PM_SET_LEVELS * PM_SET_WORDS; i++) {
        uint32_t outcome = i / (PM_SET_LEVELS * PM_SET_WORDS);
        uint32_t level = i / PM_SET_WORDS % PM_SET_LEVELS, word = i % PM_SET_WORDS;

        met[outcome].word[level][word] |= take(&e->clients[outcome].word[level][word]);
    }
}

/** The times of refusals and redirects, and who met what. */
static void take_unserved(pm_vhost_live *vh, const pm_tick *t, pm_scope_state *scope,
                          pm_figures *own)
{
    uint64_t first = scope->first_unserved_us;

    for (uint32_t n = 0; n < PM_EPOCHS; n++) {
        if (n != (t->epoch + 1) % PM_EPOCHS) {
            first = earlier(first, take(&vh->epoch[n].first_unserved_us));
            take_met(&vh->epoch[n], own->met);
        }
    }
    scope->first_unserved_us = first;
    if (own->refused > 0 || own->redirected > 0) {
        own->first_unserved_us = plausible(t, first);
        own->last_unserved_us = plausible(t, load(&vh->last_unserved_us));
        scope->first_unserved_us = 0;
    }
}

/** The times of failures. The counter of one may follow a tick later: then its time waits here, as it was written. */
static void take_times(pm_vhost_live *vh, const pm_tick *t, pm_scope_state *scope, pm_figures *own)
{
    const pm_vhost_epoch *e = &vh->epoch[t->epoch];
    uint64_t error = scope->first_error_us, slow = scope->first_slow_us;

    take_first(vh, t->epoch + 1, &error, &slow);
    if (own->slow > 0 && pm_before_set(t, slow)) {
        /* Their worker took the clock's step for time. Which of all are slow, nobody knows. */
        own->slow = slow = 0;
    }
    for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
        pm_clients_add(own->ok_clients,
                       atomic_load_explicit(&e->ok_clients[i], memory_order_relaxed));
    }
    take_unserved(vh, t, scope, own);
    scope->first_error_us = scope->first_slow_us = 0;
    if (own->errors > 0) {
        own->first_error_us = plausible(t, error);
        own->last_error_us = plausible(t, load(&vh->last_error_us));
    }
    else {
        scope->first_error_us = error;
    }
    if (own->slow > 0) {
        own->first_slow_us = earlier(own->first_slow_us, plausible(t, slow));
        own->last_slow_us = plausible(t, load(&vh->last_slow_us));
    }
    else {
        scope->first_slow_us = slow;
    }
}

static void take_vhost_counts(pm_fold *f, pm_tick *t, uint32_t v)
{
    pm_scope_state *scope = &f->state->scope[v + 1];
    pm_figures *own = &t->figures[v + 1];
    pm_vhost_sum now = take_counts(f->live, v);

    own->at_us = t->now_us;
    own->requests = forward(now.requests, scope->requests);
    own->errors = forward(now.errors, scope->errors);
    own->slow = forward(now.slow, scope->slow);
    own->refused = forward(now.refused, scope->refused);
    own->redirected = forward(now.redirected, scope->redirected);
    scope->refused = now.refused;
    scope->redirected = now.redirected;
    scope->requests = now.requests;
    scope->errors = now.errors;
    scope->slow = now.slow;
}

static void note_last(pm_scope_state *scope, const pm_figures *fig)
{
    if (fig->last_error_us > scope->last_error_us) {
        scope->last_error_us = fig->last_error_us;
    }
    if (fig->last_slow_us > scope->last_slow_us) {
        scope->last_slow_us = fig->last_slow_us;
    }
    if (fig->last_unserved_us > scope->last_unserved_us) {
        scope->last_unserved_us = fig->last_unserved_us;
    }
}

/** What the server's figures have of a virtual host's refusals and redirects. */
static void add_unserved(pm_figures *all, const pm_figures *own)
{
    all->refused += own->refused;
    all->redirected += own->redirected;
    all->first_unserved_us = earlier(all->first_unserved_us, own->first_unserved_us);
    if (own->last_unserved_us > all->last_unserved_us) {
        all->last_unserved_us = own->last_unserved_us;
    }
    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&all->met[i], &own->met[i]);
    }
}

static void take_vhost(pm_fold *f, pm_tick *t, uint32_t v)
{
    pm_scope_state *scope = &f->state->scope[v + 1];
    pm_figures *own = &t->figures[v + 1], *all = &t->figures[PM_SCOPE_SERVER];
    pm_vhost_live *vh = &f->live->vhosts[v];

    take_times(vh, t, scope, own);
    if (own->errors > 0 || own->refused > 0 || own->redirected > 0) {
        take_codes(vh, scope, &f->state->scope[PM_SCOPE_SERVER], t->tick);
    }
    if (own->errors > 0) {
        take_clients(vh, scope, own, all);
    }
    note_last(scope, own);
    note_last(&f->state->scope[PM_SCOPE_SERVER], own);
    add_unserved(all, own);
    all->slow += own->slow;
    all->slow_in_flight += own->slow_in_flight;
    for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
        pm_clients_add(all->ok_clients, own->ok_clients[i]);
    }
    all->first_error_us = earlier(all->first_error_us, own->first_error_us);
    all->first_slow_us = earlier(all->first_slow_us, own->first_slow_us);
    if (own->last_error_us > all->last_error_us) {
        all->last_error_us = own->last_error_us;
    }
    if (own->last_slow_us > all->last_slow_us) {
        all->last_slow_us = own->last_slow_us;
    }
}

/* ---- requests in flight ---- */

/** A slot whose process has died is given back; the child table was looked through before. */
static int abandoned(pm_fold *f, pm_flight *flight, uint64_t arrival, uint32_t child)
{
    if (child < f->live->geo.children &&
        atomic_load_explicit(&f->live->children[child].pid, memory_order_relaxed) == 0) {
        atomic_compare_exchange_strong_explicit(&flight->arrival_us, &arrival, 0,
                                                memory_order_relaxed, memory_order_relaxed);
        return 1;
    }
    return 0;
}

static void see_flight(pm_fold *f, pm_tick *t, pm_flight *flight, uint64_t arrival, pm_row *row)
{
    uint32_t who = atomic_load_explicit(&flight->who, memory_order_relaxed);
    uint32_t state = atomic_load_explicit(&flight->state, memory_order_relaxed);
    uint32_t v = who & 0xffff;
    uint64_t since = pm_by_the_clock(t, arrival), age = forward(t->now_us, since);
    pm_figures *own;

    if (age > 2 * PM_SECOND && abandoned(f, flight, arrival, who >> 16)) {
        return;
    }
    if (v >= f->live->geo.vhosts) {
        v = 0;
    }
    row->in_flight++;
    if (age / 1000 > row->oldest_ms) {
        row->oldest_ms = age / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(age / 1000);
    }
    own = &t->figures[v + 1];
    if (state == PM_FLIGHT_WORKING && f->vhost_slow[v].on && age > f->vhost_slow[v].threshold_us) {
        own->slow_in_flight++;
        own->first_slow_us = earlier(own->first_slow_us, since);
    }
}

static void take_flights(pm_fold *f, pm_tick *t, pm_row *row)
{
    if (t->tick % CHILD_CHECK_TICKS == 0) {
        /* Sometimes by their start, too: else another process with a dead one's pid would stand for it. */
        pm_live_children_alive(f->live, t->tick % (THOROUGH * CHILD_CHECK_TICKS) == 0);
    }
    for (uint32_t i = 0; i < f->live->geo.flights; i++) {
        pm_flight *flight = &f->live->flights[i];
        uint64_t arrival = atomic_load_explicit(&flight->arrival_us, memory_order_relaxed);

        if (arrival != 0) {
            see_flight(f, t, flight, arrival, row);
            pm_stuck_see(f, t, i, arrival);
        }
    }
}

/* ---- clients ---- */

/** Clear the sketches of the epoch that comes next: they were taken a tick ago. */
static void clear_sketches(pm_fold *f, uint32_t epoch)
{
    for (uint32_t p = 0; p < PM_POOLS; p++) {
        pm_pool_sketch *pool = pm_live_sketch(f->live, epoch, p);

        if (pm_shared_any(pool->all, PM_SKETCH_SIZE)) {
            pm_shared_zero(pool, sizeof(*pool));
        }
    }
}

/** Take what the epoch that just ended holds. */
static void take_sketches(pm_fold *f, pm_tick *t)
{
    uint8_t(*kept)[2][PM_SKETCH_SIZE] = f->state->sketches[t->tick % PM_SKETCHES_KEPT];
    uint32_t used = 0;

    for (uint32_t p = 0; p < PM_POOLS; p++) {
        const pm_pool_sketch *pool = pm_live_sketch(f->live, t->epoch, p);

        if (pm_shared_any(pool->all, PM_SKETCH_SIZE)) {
            pm_shared_take(kept[p][0], pool->all, PM_SKETCH_SIZE);
            pm_shared_take(kept[p][1], pool->error, PM_SKETCH_SIZE);
            pm_sketch_merge(t->sketch[0], kept[p][0]);
            pm_sketch_merge(t->sketch[1], kept[p][1]);
            used |= 1u << p;
        }
    }
    f->state->pools_used[t->tick % PM_SKETCHES_KEPT] = used;
}

/** Make room in an epoch that comes: nobody has written to it for two ticks. Its times were taken. */
static void clear_epoch(pm_fold *f, uint32_t epoch)
{
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        pm_vhost_epoch *e = &f->live->vhosts[v].epoch[epoch];

        for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
            if (atomic_load_explicit(&e->ok_clients[i], memory_order_relaxed) != 0) {
                atomic_store_explicit(&e->ok_clients[i], 0, memory_order_relaxed);
            }
        }
    }
    atomic_store_explicit(&f->live->header->samples_taken[epoch], 0, memory_order_relaxed);
    for (uint32_t kind = 0; kind < PM_NOTES; kind++) {
        atomic_store_explicit(&f->live->header->notes_taken[epoch][kind], 0, memory_order_relaxed);
    }
}

/* ---- the row ---- */

static uint32_t to_u32(uint64_t n)
{
    return n >= UINT32_MAX ? UINT32_MAX - 1 : (uint32_t)n;
}

/** No quantile is longer than the longest: a bucket's middle can be. */
static uint32_t quantile(const pm_totals *delta, double q)
{
    uint64_t us = pm_hist_quantile(delta->hist, q);

    return to_u32(delta->max_us != 0 && us > delta->max_us ? delta->max_us : us);
}

static void fill_latency(pm_row *row, const pm_totals *delta)
{
    row->p50_us = quantile(delta, 0.50);
    row->p90_us = quantile(delta, 0.90);
    row->p99_us = quantile(delta, 0.99);
    /* A maximum cannot be differenced: exact when it is the longest of the run, else its bucket's middle. */
    row->max_us = to_u32(delta->max_us != 0 ? delta->max_us : pm_hist_quantile(delta->hist, 1.0));
}

static void fill_statuses(pm_row *row, const pm_totals *delta)
{
    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        uint64_t n = delta->status[i];

        row->requests += n;
        if (n != 0 && i < 500) {
            row->classes[i / 100] += to_u32(n);
        }
        if (i >= 400 && i < 500) {
            row->errors += n;
        }
    }
    row->e500 = to_u32(delta->status[400]);
    row->e502 = to_u32(delta->status[402]);
    row->e503 = to_u32(delta->status[403]);
    row->e504 = to_u32(delta->status[404]);
}

static void fill_row(pm_fold *f, pm_tick *t, pm_row *row)
{
    row->tick = t->tick;
    row->at_us = t->from_us;
    row->span_us = t->span_us;
    row->bytes = t->delta.bytes;
    row->slow = t->figures[PM_SCOPE_SERVER].slow;
    row->generation = f->server.generation;
    fill_statuses(row, &t->delta);
    fill_latency(row, &t->delta);
    row->clients = row->error_clients = PM_UNKNOWN;
    if (f->clients) {
        row->clients = to_u32((uint64_t)(pm_sketch_count(t->sketch[0]) + 0.5));
        row->error_clients = to_u32((uint64_t)(pm_sketch_count(t->sketch[1]) + 0.5));
    }
    row->busy = row->idle = row->limit = PM_UNKNOWN;
    if (f->workers != NULL) {
        f->workers(f->ctx, &row->busy, &row->idle, &row->limit);
    }
    row->busy_max = row->busy;
    row->flags = f->server.orphaned ? PM_ROW_ORPHANED : 0;
}

void pm_clients_of(const pm_ledger *s, uint64_t tick, uint32_t pool, uint8_t all[], uint8_t error[])
{
    uint32_t slot = tick % PM_SKETCHES_KEPT;
    uint32_t used = s->pools_used[slot] & (pool < PM_POOLS ? 1u << pool : UINT32_MAX);

    for (uint32_t p = 0; p < PM_POOLS; p++) {
        if (used >> p & 1) {
            pm_sketch_merge(all, s->sketches[slot][p][0]);
            pm_sketch_merge(error, s->sketches[slot][p][1]);
        }
    }
}

/** Distinct clients of the last seconds, for a rule that asks for their share. */
static void count_window_clients(pm_fold *f, pm_tick *t, uint32_t scope, const pm_burst_rule *rule)
{
    uint8_t all[PM_SKETCH_SIZE] = {0}, error[PM_SKETCH_SIZE] = {0};
    uint32_t only = PM_POOLS;

    if (rule->clients <= 0 || !f->clients) {
        return;
    }
    if (scope != PM_SCOPE_SERVER) {
        only = atomic_load_explicit(&f->live->vhosts[scope - 1].pool, memory_order_relaxed);
        only &= PM_POOLS - 1;
        if (only == 0 || t->figures[scope].requests == 0) {
            return;
        }
    }
    for (uint32_t i = 0; i < rule->window && i < PM_SKETCHES_KEPT && i < t->tick; i++) {
        pm_clients_of(f->state, t->tick - i, only, all, error);
    }
    t->figures[scope].clients = (uint32_t)(pm_sketch_count(all) + 0.5);
    t->figures[scope].error_clients = (uint32_t)(pm_sketch_count(error) + 0.5);
}

static pm_second *begin_second(pm_fold *f, pm_tick *t)
{
    pm_second *second = pm_second_of(f->state, t->tick);
    pm_code_tick *codes = &f->state->scope[PM_SCOPE_SERVER].codes[t->tick % PM_SECONDS_KEPT];

    t->epoch = f->state->epoch % PM_EPOCHS;
    memset(second, 0, sizeof(*second));
    memset(codes, 0, sizeof(*codes));
    codes->tick = (uint32_t)t->tick;
    return second;
}

static void end_second(pm_fold *f, pm_tick *t, pm_second *second)
{
    pm_figures *all = &t->figures[PM_SCOPE_SERVER];

    fill_row(f, t, &second->row);
    all->at_us = t->now_us;
    all->requests = second->row.requests;
    all->errors = second->row.errors;
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        second->hist[b] = to_u32(t->delta.hist[b]);
    }
}

void pm_figures_recover(pm_fold *f, pm_tick *t)
{
    pm_second *second = begin_second(f, t);

    take_old_totals(f, t);
    for (uint32_t v = 0; v <= f->live->geo.vhosts; v++) {
        t->figures[v].at_us = t->now_us;
    }
    end_second(f, t, second);
}

void pm_figures_take(pm_fold *f, pm_tick *t)
{
    pm_second *second = begin_second(f, t);

    take_totals(f, t);
    take_flights(f, t, &second->row);
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        take_vhost_counts(f, t, v);
    }
    clear_sketches(f, t->epoch + 1);
    /* Counters first, then the epoch: a failure's time is written before it is counted, so what was counted
     * has its time in the epoch that ends here. */
    f->state->epoch++;
    atomic_store_explicit(&f->live->header->epoch, f->state->epoch, memory_order_seq_cst);
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        take_vhost(f, t, v);
    }
    take_sketches(f, t);
    clear_epoch(f, (t->epoch + 2) % PM_EPOCHS);
    end_second(f, t, second);
    count_window_clients(f, t, PM_SCOPE_SERVER, &f->burst);
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        count_window_clients(f, t, v + 1, &f->vhost_burst[v]);
    }
}
