/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fold.c: the tick.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold_private.h"
#include "pm_text.h"
#include "pm_time.h"
#include "pm_watch.h"

#define MINUTE_US (60 * PM_SECOND)

uint64_t pm_ledger_size(uint32_t vhosts)
{
    return sizeof(pm_ledger) + sizeof(pm_scope_state) * ((uint64_t)vhosts + 1);
}

void pm_ledger_init(pm_ledger *state, uint64_t size, uint64_t run, uint32_t vhosts)
{
    state->magic = PM_LEDGER_MAGIC;
    state->size = size;
    state->run = run;
    state->scopes = vhosts + 1;
    state->random = pm_time_now() | 1;
    state->checkpoint.next_incident = 1;
}

/* ---- minutes ---- */

static void begin_minute(pm_ledger *s, const pm_row *row)
{
    pm_row *m = &s->minute.row;

    memset(&s->minute, 0, sizeof(s->minute));
    memset(s->minute_hist, 0, sizeof(s->minute_hist));
    memset(s->minute_sketch, 0, sizeof(s->minute_sketch));
    m->at_us = row->at_us - row->at_us % MINUTE_US;
}

/** The file may lack the last that came to it: it is written once more, with the tick. */
static void end_minute(pm_ledger *s)
{
    pm_second *ended = &s->minutes[s->minute.row.at_us / MINUTE_US % PM_MINUTES_KEPT];

    *ended = s->minute;
    ended->waits = 1;
    s->minutes_wait = 1;
}

static void add_counts(pm_row *m, const pm_row *row)
{
    m->tick = row->tick;
    m->span_us += row->span_us;
    m->requests += row->requests;
    m->errors += row->errors;
    m->slow += row->slow;
    m->bytes += row->bytes;
    for (int i = 0; i < 5; i++) {
        m->classes[i] += row->classes[i];
    }
    m->e500 += row->e500;
    m->e502 += row->e502;
    m->e503 += row->e503;
    m->e504 += row->e504;
    m->max_us = row->max_us > m->max_us ? row->max_us : m->max_us;
    m->oldest_ms = row->oldest_ms > m->oldest_ms ? row->oldest_ms : m->oldest_ms;
    m->busy = row->busy;
    m->idle = row->idle;
    m->limit = row->limit;
    m->in_flight = row->in_flight;
    m->generation = row->generation;
    m->flags |= row->flags;
    if (row->busy != PM_UNKNOWN && row->busy > m->busy_max) {
        m->busy_max = row->busy;
    }
}

void pm_fold_to_minute(pm_fold *f, pm_tick *t, const pm_row *row)
{
    pm_ledger *s = f->state;
    pm_row *m = &s->minute.row;

    if (row->at_us / MINUTE_US != m->at_us / MINUTE_US) {
        if (m->span_us != 0) {
            end_minute(s);
        }
        begin_minute(s, row);
    }
    add_counts(m, row);
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        s->minute_hist[b] += t->delta.hist[b];
        s->minute.hist[b] = (uint32_t)s->minute_hist[b];
    }
    m->p50_us = (uint32_t)pm_hist_quantile(s->minute_hist, 0.50);
    m->p90_us = (uint32_t)pm_hist_quantile(s->minute_hist, 0.90);
    m->p99_us = (uint32_t)pm_hist_quantile(s->minute_hist, 0.99);
    m->clients = m->error_clients = PM_UNKNOWN;
    if (f->clients) {
        pm_sketch_merge(s->minute_sketch[0], t->sketch[0]);
        pm_sketch_merge(s->minute_sketch[1], t->sketch[1]);
        m->clients = (uint32_t)(pm_sketch_count(s->minute_sketch[0]) + 0.5);
        m->error_clients = (uint32_t)(pm_sketch_count(s->minute_sketch[1]) + 0.5);
    }
}

/* ---- what others handed over ---- */

/** A failure of a request that came before the clock was set forward. One that is slow keeps its time: no incident since
 *  takes it then. */
static void by_the_clock(const pm_tick *t, pm_live_sample *s)
{
    uint64_t done = s->at_us + s->latency_us;

    if (pm_before_set(t, s->at_us) && (s->flags & PM_SAMPLE_SLOW) == 0) {
        /* done before that it is by the old clock, as it was when it came */
        s->latency_us = done > t->set_us ? done - t->set_us : s->latency_us;
        s->at_us = t->set_us;
    }
}

void pm_samples_drain(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    pm_live_sample sample;
    enum pm_ring_result r;
    uint64_t lost;

    t->sample_from = s->recent_next;
    for (uint32_t i = 0; i < f->live->geo.samples * 2; i++) {
        r = pm_ring_read(&f->live->samples, &s->samples_at, &sample, i == 0, &lost);
        if (r == PM_RING_EMPTY || r == PM_RING_PENDING) {
            return;
        }
        if (r == PM_RING_READ) {
            pm_live_sample *to = &s->recent[s->recent_next++ % PM_RECENT_SAMPLES];

            /* From shared memory: every string ends, every number is in its range. */
            *to = sample;
            to->method[sizeof(to->method) - 1] = to->uri[sizeof(to->uri) - 1] = '\0';
            to->host[sizeof(to->host) - 1] = to->backend[sizeof(to->backend) - 1] = '\0';
            to->client[sizeof(to->client) - 1] = '\0';
            to->request_id[sizeof(to->request_id) - 1] = '\0';
            to->vhost = to->vhost < f->live->geo.vhosts ? to->vhost : 0;
            to->at_us = to->at_us > t->now_us ? t->now_us : to->at_us;
            by_the_clock(t, to);
        }
    }
}

/** From shared memory: every text ends and is clean, every number in its range. */
static void put_note(pm_fold *f, pm_live_note *n, uint64_t latest_us)
{
    pm_event e = {.at_us = n->at_us < latest_us ? n->at_us : latest_us,
                  .type = n->type,
                  .severity = n->severity <= PM_CRITICAL ? n->severity : PM_CRITICAL,
                  .data = n->data[0] != '\0' ? n->data : "{}"};

    n->data[sizeof(n->data) - 1] = '\0';
    e.data_len = (uint32_t)strlen(e.data);
    pm_text_clean(e.text, sizeof(e.text), n->text, sizeof(n->text));
    pm_fold_event(f, &e);
}

/** The parent's, in memory that workers have not. */
static void take_handed(pm_fold *f)
{
    pm_ledger *s = f->state;
    uint64_t handed = atomic_load(&f->control->handed);

    if (handed - s->handed_taken > PM_HANDED_KEPT) {
        s->checkpoint.events_lost += handed - s->handed_taken - PM_HANDED_KEPT;
        s->handed_taken = handed - PM_HANDED_KEPT;
    }
    for (; s->handed_taken < handed; s->handed_taken++) {
        pm_live_note n = f->control->hand[s->handed_taken % PM_HANDED_KEPT];

        put_note(f, &n, UINT64_MAX);
    }
}

void pm_journal_drain(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    pm_live_note note;
    enum pm_ring_result r;
    uint64_t lost;

    take_handed(f);
    for (uint32_t i = 0; i < f->live->geo.journal * 2; i++) {
        int stuck = s->pending_since != 0 && t->tick > s->pending_since + 1;

        r = pm_ring_read(&f->live->journal, &s->journal_at, &note, stuck, &lost);
        if (r == PM_RING_EMPTY || r == PM_RING_PENDING) {
            s->pending_since = r == PM_RING_EMPTY ? 0
                               : s->pending_since ? s->pending_since
                                                  : t->tick;
            return;
        }
        s->pending_since = 0;
        s->checkpoint.events_lost += lost;
        /* Nothing else is taken from workers: one that was taken over is not to displace the history of
         * configuration, server and incidents with inventions. */
        if (r == PM_RING_READ && (pm_event_fact_of(note.type)->by & PM_BY_WORKER)) {
            put_note(f, &note, t->now_us);
        }
        else if (r == PM_RING_READ && note.type == PM_WATCH_NOTE && f->watch != NULL) {
            note.text[sizeof(note.text) - 1] = '\0';
            pm_watch_htaccess(f->watch, note.text);
        }
    }
}

/* ---- the tick ---- */

/** Who is sent from one virtual host to another that serves it is served: to HTTPS, or to the name with www. */
static void follow_redirects(pm_fold *f, pm_tick *t)
{
    pm_client_set lately[PM_SERVED_MET] = {{{{0}}}};

    pm_served_met(&f->state->scope[PM_SCOPE_SERVER].served,
                  t->from_us > 2 * PM_SECOND ? t->from_us - 2 * PM_SECOND : 0, lately);
    pm_set_merge(&lately[PM_SERVED], &t->figures[PM_SCOPE_SERVER].met[PM_SERVED]);
    for (uint32_t i = PM_SCOPE_SERVER + 1; i < t->scopes; i++) {
        pm_client_set *met = t->figures[i].met, sent = met[PM_REDIRECTED];

        pm_set_intersect(&sent, &lately[PM_SERVED]);
        pm_set_merge(&met[PM_SERVED], &sent);
    }
}

void pm_fold_judge(pm_fold *f, pm_tick *t)
{
    follow_redirects(f, t);
    for (uint32_t i = 0; i < t->scopes; i++) {
        const pm_burst_rule *burst = i == PM_SCOPE_SERVER ? &f->burst : &f->vhost_burst[i - 1];
        const pm_slow_rule *slow = i == PM_SCOPE_SERVER ? &f->slow : &f->vhost_slow[i - 1];

        const pm_served_rule *served = i == PM_SCOPE_SERVER ? &f->served : &f->vhost_served[i - 1];

        pm_detect_step(&f->state->scope[i].detect, burst, slow, &t->figures[i], &t->verdicts[i]);
        pm_served_step(&f->state->scope[i].served, served, t->from_us, t->figures[i].met,
                       pm_incident_concerns(f, i), &t->served[i]);
    }
}

static void fill_server(pm_fold *f, pm_tick *t, const pm_row *row)
{
    pm_server *to = &f->state->checkpoint.server;
    pm_server was = *to;

    *to = f->server;
    to->run = f->state->run;
    to->stopped_us = f->unloaded_us != 0                       ? f->unloaded_us
                     : atomic_load(&f->control->stopping) != 0 ? t->now_us
                                                               : 0;
    to->unloaded = f->unloaded_us != 0;
    to->heartbeat_us = t->now_us;
    to->write_failures = was.write_failures;
    to->crashes = was.crashes;
    to->config_failures = was.config_failures;
    to->dependency_missing = was.dependency_missing;
    memcpy(to->trouble, was.trouble, sizeof(to->trouble));
    to->in_flight = row->in_flight;
    to->oldest_ms = row->oldest_ms;
    to->busy = row->busy;
    to->idle = row->idle;
    to->limit = row->limit;
}

pm_tick *pm_fold_memory(pm_fold *f)
{
    uint32_t scopes = f->live->geo.vhosts + 1;
    pm_figures *figures;
    pm_verdict *verdicts;
    pm_served_verdict *served;
    size_t each = sizeof(*figures) + sizeof(*verdicts) + sizeof(*served);
    pm_tick *t = f->tick;

    if (t == NULL) {
        t = calloc(1, sizeof(*t) + scopes * each);
        if (t == NULL) {
            return NULL;
        }
        f->tick = t;
    }
    figures = (void *)(t + 1);
    verdicts = (void *)(figures + scopes);
    served = (void *)(verdicts + scopes);
    memset(t, 0, sizeof(*t) + scopes * each);
    t->scopes = scopes;
    t->figures = figures;
    t->verdicts = verdicts;
    t->served = served;
    return t;
}

/** Regions of dead runs: when nobody can write to them any more, the parent may remove them. */
static void check_drained(pm_fold *f, pm_tick *t)
{
    if (t->tick % 5 != 0) {
        return;
    }
    for (uint32_t i = 0; i < PM_OLD_REGIONS; i++) {
        if (f->old[i] != NULL && t->now_us > f->state->started + 3 * PM_SECOND &&
            pm_live_children_alive(f->old[i], 1) == 0 && f->state->written_tick == t->tick) {
            atomic_fetch_or(&f->control->drained, 1u << i);
        }
    }
}

void pm_fold_tick(pm_fold *f, uint64_t now_us, uint64_t monotonic_us)
{
    pm_ledger *s = f->state;
    pm_tick *t = pm_fold_memory(f);
    pm_second *second;

    if (t == NULL) {
        return; /* no memory now: the counters wait for the next tick */
    }
    t->tick = s->checkpoint.tick + 1;
    t->now_us = now_us;
    t->from_us = s->last_us != 0 ? s->last_us : now_us;
    pm_clock_check(f, t, monotonic_us);
    t->set_us = s->set_us;
    t->span_us = t->now_us > t->from_us ? t->now_us - t->from_us : 1;
    s->checkpoint.tick = t->tick;
    pm_figures_take(f, t);
    second = pm_second_of(s, t->tick);
    pm_heavy_step(f, t);
    pm_samples_drain(f, t);
    pm_journal_drain(f, t);
    if (f->watch != NULL) {
        pm_watch_tick(f->watch, f, now_us, monotonic_us);
    }
    pm_fold_judge(f, t);
    if (!pm_control_ends(
            f->control)) { /* a server that has been told to end listens no more, while it serves what it has */
        if (f->outside != NULL) {
            pm_reach_step(f, t);
            pm_certificates_step(f, t);
        }
        pm_silence_tick(f, t, &second->row);
    }
    pm_incidents_step(f, t);
    pm_fold_to_minute(f, t, &second->row);
    pm_silence_count(f, t, &second->row);
    pm_crashes_step(f, t);
    pm_workers_step(f, t, &second->row);
    pm_stuck_step(f, t);
    fill_server(f, t, &second->row);
    s->last_us = now_us;
    s->last_monotonic_us = monotonic_us;
    if (s->started == 0) {
        s->started = now_us;
    }
    atomic_store(&f->control->heartbeat_us, monotonic_us);
    atomic_store_explicit(&f->live->header->heartbeat_us, now_us, memory_order_relaxed);
    pm_keep_tick(f, t);
    check_drained(f, t);
}
