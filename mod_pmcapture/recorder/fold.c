/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fold.c: the tick, and how a run begins.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold_private.h"
#include "pm_text.h"
#include "pm_time.h"
#include "pm_watch.h"

#define MINUTE_US (60 * PM_SECOND)
#define CLOCK_STEP_US (2 * PM_SECOND)

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

static void add_to_minute(pm_fold *f, pm_tick *t, const pm_row *row)
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

static void judge_scopes(pm_fold *f, pm_tick *t)
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

/** Wall and monotonic clock part: say so, and never let time in the record run backwards. */
static void check_clock(pm_fold *f, pm_tick *t, uint64_t monotonic_us)
{
    pm_ledger *s = f->state;
    int64_t wall = (int64_t)(t->now_us - s->last_us);
    int64_t real = (int64_t)(monotonic_us - s->last_monotonic_us);
    int64_t step = wall - real;
    pm_draft d;

    if (s->last_monotonic_us == 0 ||
        (step < (int64_t)CLOCK_STEP_US && step > -(int64_t)CLOCK_STEP_US)) {
        return;
    }
    pm_draft_begin(&d, PM_EV_CLOCK_STEP, t->now_us);
    pm_draft_number(&d, "seconds", (double)(step / 1000) / 1000);
    pm_fold_event(f, pm_draft_end(&d, "The clock was set %s by %lld.%03lld s",
                                  step > 0 ? "forward" : "back", (long long)(llabs(step) / 1000000),
                                  (long long)(llabs(step) / 1000 % 1000)));
    t->from_us = t->now_us - (uint64_t)(real > 0 ? real : 0);
    if (step < 0) { /* by the clock as it is now it was set forward so much earlier */
        s->set_us -= s->set_us < (uint64_t)-step ? s->set_us : (uint64_t)-step;
    }
    else if (real > 0) {
        s->set_us = t->from_us;
    }
    pm_incidents_clock_set(f, t);
}

static pm_tick *working_memory(pm_fold *f)
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
    pm_tick *t = working_memory(f);
    pm_second *second;

    if (t == NULL) {
        return; /* no memory now: the counters wait for the next tick */
    }
    t->tick = s->checkpoint.tick + 1;
    t->now_us = now_us;
    t->from_us = s->last_us != 0 ? s->last_us : now_us;
    check_clock(f, t, monotonic_us);
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
    judge_scopes(f, t);
    if (!pm_control_ends(
            f->control)) { /* a server that has been told to end listens no more, while it serves what it has */
        if (f->outside != NULL) {
            pm_reach_step(f, t);
            pm_certificates_step(f, t);
        }
        pm_silence_tick(f, t, &second->row);
    }
    pm_incidents_step(f, t);
    add_to_minute(f, t, &second->row);
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

/* ---- how a run begins ---- */

/** Also one that was closed so shortly before `end_us`, the last run's end, that a gap would extend it. */
static void resume_incidents(pm_fold *f, uint64_t end_us, apr_pool_t *pool)
{
    pm_incident **list;
    size_t count, samples_count;
    pm_sample *samples;

    if (pm_capture_incidents(f->capture, &list, &count, pool) != APR_SUCCESS) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        pm_heavy_recall(f, list[i]);
        if (list[i]->id >= f->state->checkpoint.next_incident) {
            f->state->checkpoint.next_incident = list[i]->id + 1;
        }
        if ((list[i]->open || (end_us < list[i]->end_us + f->burst.clear * PM_SECOND &&
                               list[i]->onset_us <= end_us)) &&
            pm_capture_samples(f->capture, list[i], &samples, &samples_count, pool) ==
                APR_SUCCESS) {
            pm_incident_resume(f, list[i], samples, samples_count);
        }
    }
}

/** The minutes and seconds that are on record stand behind the first incidents of this run, too. A run that ended within
 *  a minute has left that one's seconds alone. */
static void remember_rows(pm_fold *f, uint64_t now, apr_pool_t *pool)
{
    pm_ledger *s = f->state;
    pm_row *rows;
    size_t count;

    if (pm_capture_minutes(f->capture, now - 3600 * PM_SECOND, now, &rows, &count, pool) ==
        APR_SUCCESS) {
        for (size_t i = 0; i < count; i++) {
            pm_second *m = &s->minutes[rows[i].at_us / MINUTE_US % PM_MINUTES_KEPT];

            memset(m, 0, sizeof(*m));
            m->row = rows[i];
        }
    }
    if (pm_capture_latest_seconds(f->capture, s->checkpoint.tick, PM_SECONDS_KEPT - 1, &rows,
                                  &count, pool) == APR_SUCCESS) {
        for (size_t i = 0; i < count; i++) {
            pm_second *second = pm_second_of(s, rows[i].tick);

            memset(second, 0, sizeof(*second));
            second->row = rows[i];
        }
    }
}

/** When the failures came that a dead run counted after its last tick: they are in its last epoch. */
static void take_old_times(pm_fold *f, pm_tick *t)
{
    pm_figures *fig = &t->figures[PM_SCOPE_SERVER];

    for (uint32_t i = 0; i < PM_OLD_REGIONS && fig->errors > 0; i++) {
        const pm_live *old = f->old[i];
        uint32_t epoch;

        if (old == NULL || old->layout != PM_LIVE_LAYOUT) {
            continue;
        }
        epoch = atomic_load(&old->header->epoch) % PM_EPOCHS;
        for (uint32_t v = 0; v < old->geo.vhosts; v++) {
            uint64_t first = atomic_load(&old->vhosts[v].epoch[epoch].first_error_us);
            uint64_t last = atomic_load(&old->vhosts[v].last_error_us);

            if (first != 0 && first <= t->now_us &&
                (fig->first_error_us == 0 || first < fig->first_error_us)) {
                fig->first_error_us = first;
            }
            if (last <= t->now_us && last > fig->last_error_us) {
                fig->last_error_us = last;
            }
        }
    }
    if (fig->last_error_us > f->state->scope[PM_SCOPE_SERVER].last_error_us) {
        f->state->scope[PM_SCOPE_SERVER].last_error_us = fig->last_error_us;
    }
}

/** How the last run ended. */
typedef struct ending {
    uint64_t stopped_us;    /* in order; 0 = it did not */
    const pm_event *failed; /* a reload or an error of its own that ended it, NULL = none did */
    const pm_event *start;  /* the first that failed since, NULL = none did */
} ending;

/** The parent puts a stop on record itself; a recorder killed before its last tick left no other word of it. */
static ending find_ending(pm_fold *f, const pm_server *last, apr_pool_t *pool)
{
    ending end = {.stopped_us = last->stopped_us};
    pm_event *events;
    size_t count;

    if (pm_capture_events(f->capture, last->started_us, UINT64_MAX, &events, &count, pool) !=
        APR_SUCCESS) {
        return end;
    }
    for (size_t i = 0; i < count; i++) {
        const pm_event *e = &events[i];

        if (e->type == PM_EV_SERVER_STOP && e->run == last->run && end.stopped_us == 0) {
            end.stopped_us = e->at_us;
        }
        else if (pm_event_has(e, PM_IS_FAILURE) && e->run == last->run) {
            end.failed = e;
        }
        else if (pm_event_has(e, PM_IS_FAILURE) && end.start == NULL &&
                 e->at_us >= last->heartbeat_us - PM_SECOND) {
            end.start = e;
        }
    }
    return end;
}

/** Requests that the last run counted after its last tick: one row of their own, judged like any other. */
static void recover(pm_fold *f, uint64_t last_alive, uint64_t now)
{
    pm_ledger *s = f->state;
    pm_tick *t = working_memory(f);

    if (t == NULL || last_alive == 0) {
        return;
    }
    t->tick = s->checkpoint.tick + 1;
    t->from_us = last_alive;
    t->now_us = last_alive + PM_SECOND < now ? last_alive + PM_SECOND : now;
    t->span_us = t->now_us - t->from_us;
    s->checkpoint.tick = t->tick;
    pm_figures_recover(f, t);
    take_old_times(f, t);
    pm_second_of(s, t->tick)->row.flags |= PM_ROW_RECOVERED;
    judge_scopes(f, t);
    pm_incidents_step(f, t);
    add_to_minute(f, t, &pm_second_of(s, t->tick)->row);
}

/** Did workers go on when the parent had ended? */
static int served_after(pm_fold *f, uint64_t at_us, apr_pool_t *pool)
{
    pm_row *rows;
    size_t count;
    uint64_t requests = 0;

    if (pm_capture_seconds(f->capture, at_us, UINT64_MAX, &rows, &count, pool) != APR_SUCCESS) {
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        requests += rows[i].requests;
    }
    return requests > 0;
}

/** Until when the last run served: to the tick, or to the very moment at which it ended, where it said so. A reload has
 *  closed what it listens on by then; what its workers still complete came before. */
static uint64_t served_until(pm_fold *f, const pm_server *last, const ending *end, apr_pool_t *pool)
{
    const pm_event *failed = end->failed;
    int known = failed != NULL &&
                (!pm_event_says(failed, "reload", 0) || !served_after(f, failed->at_us, pool));

    return known ? failed->at_us : last->heartbeat_us;
}

static void be_down(pm_fold *f, uint64_t from_us, uint64_t to_us, int lasts)
{
    pm_state down = {PM_KIND_DOWN, PM_SCOPE_SERVER, from_us, to_us, lasts};

    pm_incident_state(f, &down);
}

int pm_fold_is_down(const pm_fold *f)
{
    return pm_incident_in_state(f, PM_KIND_DOWN, PM_SCOPE_SERVER);
}

/** Write what is open; a second in which there is no server is none of its record. */
static void keep_incidents(pm_fold *f, pm_tick *t, uint64_t now_us)
{
    t->tick = f->state->checkpoint.tick;
    t->now_us = now_us;
    t->set_us = f->state->set_us;
    pm_keep_tick(f, t);
}

void pm_fold_down(pm_fold *f, uint64_t now_us)
{
    pm_tick *t = working_memory(f);
    apr_pool_t *pool;

    if (t == NULL || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return;
    }
    if (!pm_fold_is_down(f)) {
        const pm_server *last = &f->state->checkpoint.server;
        ending end = find_ending(f, last, pool);

        be_down(f, end.stopped_us != 0 ? end.stopped_us : served_until(f, last, &end, pool), now_us,
                1);
    }
    else {
        be_down(f, now_us, now_us, 1);
    }
    apr_pool_destroy(pool);
    keep_incidents(f, t, now_us);
}

/** A start that failed since, when somebody has written something since the last look. */
static int start_failed(pm_fold *f, const pm_server *last, apr_pool_t *pool)
{
    uint64_t newest = pm_capture_last_event(f->capture);
    ending end;

    if (newest <= f->state->stop_seen) {
        return 0;
    }
    f->state->stop_seen = newest;
    end = find_ending(f, last, pool);
    return end.start != NULL || end.failed != NULL;
}

int pm_fold_stopped(pm_fold *f, uint64_t now_us)
{
    const pm_server *last = &f->state->checkpoint.server;
    pm_tick *t = working_memory(f);
    apr_pool_t *pool;
    int failed;

    if (t == NULL || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 0;
    }
    failed = start_failed(f, last, pool);
    if (failed) {
        pm_stopped_end(f, now_us); /* from here on it is down */
    }
    else {
        pm_stopped_begin(f, last, now_us, pool);
    }
    apr_pool_destroy(pool);
    if (pm_stopped_lasts(f)) {
        keep_incidents(f, t, now_us);
    }
    return failed;
}

static void say_unclean(pm_fold *f, const ending *end, uint64_t last_alive, uint64_t now)
{
    char when[PM_TIME_SIZE], span[PM_TIME_SIZE];
    uint64_t gap = now > last_alive ? now - last_alive : 0;
    pm_draft d;

    pm_draft_begin(&d, PM_EV_SERVER_UNCLEAN,
                   f->server.started_us > last_alive ? f->server.started_us : now);
    pm_draft_time(&d, "last_alive", last_alive);
    pm_draft_seconds(&d, "gap", gap / 1000 * 1000);
    pm_fold_event(f, pm_draft_end(&d, "The last run %s: last alive %s, %s before this start",
                                  end->failed == NULL ? "ended without a stop"
                                  : pm_event_says(end->failed, "reload", 0)
                                      ? "ended itself after an error"
                                      : "was ended by a reload that failed",
                                  pm_time_format(last_alive, when), pm_time_span(gap, span)));
    be_down(f, last_alive, now, 0);
}

/** A stop in order is a gap that was meant, unless it was not to last that long: a start failed, or an incident was
 *  open and goes on. */
static void tell_ending(pm_fold *f, const pm_server *last, uint64_t now, apr_pool_t *pool)
{
    ending end = find_ending(f, last, pool);

    if (last->heartbeat_us == 0) {
        return;
    }
    if (end.stopped_us == 0) {
        say_unclean(f, &end, served_until(f, last, &end, pool), now);
    }
    else if (end.start != NULL || end.failed != NULL ||
             (pm_incident_serving_failed(f) && !pm_stopped_lasts(f))) {
        be_down(f, end.stopped_us, now, 0);
    }
    else {
        pm_stopped_begin(f, last, now, pool);
    }
    pm_stopped_end(f, now);
}

static void say_reboot(pm_fold *f, const pm_server *last)
{
    pm_draft d;

    if (last->boot_id[0] == '\0' || strcmp(last->boot_id, f->server.boot_id) == 0) {
        return;
    }
    pm_draft_begin(&d, PM_EV_HOST_REBOOT, f->server.started_us);
    pm_draft_text(&d, "from", last->boot_id);
    pm_draft_text(&d, "to", f->server.boot_id);
    pm_fold_event(f, pm_draft_end(&d, "The machine was started anew since the last run"));
}

/** A reload that needs more room, or another layout, begins a run in the server that goes on. */
static int is_same_server(const pm_server *last, const pm_server *now)
{
    return last->pid == now->pid && last->pid_start != 0 && last->pid_start == now->pid_start &&
           last->pid_namespace == now->pid_namespace && strcmp(last->boot_id, now->boot_id) == 0;
}

apr_status_t pm_fold_begin(pm_fold *f, uint64_t now_us, uint64_t monotonic_us, apr_pool_t *pool,
                           pm_error *err)
{
    pm_ledger *s = f->state;
    pm_server last;
    apr_status_t rv;

    if (s->started != 0) {
        return APR_SUCCESS; /* another recorder of this run was here: its state is ours */
    }
    rv = pm_capture_checkpoint(f->capture, &s->checkpoint);
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        return pm_fail(err, rv, "the checkpoint of %s cannot be read", pm_capture_path(f->capture));
    }
    if (s->checkpoint.next_incident == 0) {
        s->checkpoint.next_incident = 1;
    }
    last = s->checkpoint.server;
    s->written_tick = s->checkpoint.tick;
    s->shipped_event = s->checkpoint.last_event;
    s->checkpoint.server.trouble[0] = '\0';
    resume_incidents(f, last.heartbeat_us, pool);
    remember_rows(f, now_us, pool);
    pm_silence_remember(f, now_us);
    if (last.run != 0 && last.run != s->run) {
        recover(f, last.heartbeat_us, now_us);
        if (!is_same_server(&last, &f->server)) {
            say_reboot(f, &last);
            tell_ending(f, &last, now_us, pool);
        }
    }
    s->last_us = now_us;
    s->last_monotonic_us = monotonic_us;
    s->started = now_us;
    return APR_SUCCESS;
}
