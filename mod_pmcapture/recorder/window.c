/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * window.c: what lies between an incident's onset and its end, and what was usual before.
 */
#include <string.h>

#include "incident_private.h"
#include "pm_time.h"

#define MINUTE_US (60 * PM_SECOND)
#define HOUR_US (3600 * PM_SECOND)
#define DAY_US (24 * HOUR_US)
#define AROUND_US (300 * PM_SECOND)

/** The pool that counts a scope's clients and latencies alone; PM_POOLS when none does. */
static uint32_t pool_of(const pm_fold *f, uint32_t scope)
{
    uint32_t pool;

    if (scope == PM_SCOPE_SERVER) {
        return PM_POOLS;
    }
    pool = atomic_load_explicit(&f->live->vhosts[scope - 1].pool, memory_order_relaxed) &
           (PM_POOLS - 1);
    return pool == 0 ? PM_POOLS : pool;
}

static void add_codes(pm_fold *f, uint32_t scope, uint64_t tick, uint64_t codes[PM_CODES])
{
    const pm_code_tick *c = &f->state->scope[scope].codes[tick % PM_SECONDS_KEPT];

    if (c->tick == (uint32_t)tick) {
        for (uint32_t i = 0; i < PM_CODES; i++) {
            codes[i] += c->code[i];
        }
    }
}

static uint32_t code_number(const pm_fold *f, uint32_t slot)
{
    if (slot != PM_ECODES - 1) {
        return pm_code_of_slot(slot);
    }
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        uint32_t other = atomic_load_explicit(&f->live->vhosts[v].other_code, memory_order_relaxed);

        if (other >= 500 && other <= 599) {
            return other;
        }
    }
    return 599;
}

static void add_status(pm_incident *in, uint32_t code, uint64_t n)
{
    uint32_t i = 0;

    while (i < PM_INCIDENT_STATUSES - 1 && in->status_code[i] != 0 && in->status_code[i] != code) {
        i++;
    }
    in->status_code[i] = code;
    in->status_count[i] += n;
    for (; i > 0 && in->status_count[i] > in->status_count[i - 1]; i--) {
        uint64_t count = in->status_count[i];
        uint32_t number = in->status_code[i];

        in->status_count[i] = in->status_count[i - 1];
        in->status_code[i] = in->status_code[i - 1];
        in->status_count[i - 1] = count;
        in->status_code[i - 1] = number;
    }
}

/** Is the code in this slot what fails the incident's clients? */
static int slot_fails(const pm_incident *in, uint32_t slot)
{
    enum pm_outcome outcome = pm_slot_outcome(slot);

    return outcome == PM_FAILED || (outcome == PM_REFUSED && (in->kinds & PM_KIND_REFUSED)) ||
           (outcome == PM_REDIRECTED && (in->kinds & PM_KIND_REDIRECTS));
}

static void add_statuses(pm_fold *f, pm_incident *in, const uint64_t codes[PM_CODES])
{
    for (uint32_t i = 0; i < PM_CODES; i++) {
        if (codes[i] != 0 && slot_fails(in, i)) {
            add_status(in, code_number(f, i), codes[i]);
        }
    }
}

static void add_hist(pm_fold *f, pm_tick *t, uint32_t scope, uint64_t hist[PM_HIST_BUCKETS])
{
    uint32_t pool = pool_of(f, scope);

    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        if (scope == PM_SCOPE_SERVER) {
            hist[b] += t->delta.hist[b];
        }
        else if (pool < PM_POOLS) {
            hist[b] += t->pool_delta[pool][b];
        }
    }
}

static void add_sketch(pm_fold *f, uint32_t scope, uint64_t tick, uint8_t all[], uint8_t error[])
{
    uint32_t pool = pool_of(f, scope);

    if (scope == PM_SCOPE_SERVER || pool < PM_POOLS) {
        pm_clients_of(f->state, tick, pool, all, error);
    }
}

/** Clients of the seconds within the window, those that met an error, and those of some of its ends. */
static double count_with(const pm_open *o, int first, int last)
{
    uint8_t sum[PM_SKETCH_SIZE];

    memcpy(sum, o->inner, sizeof(sum));
    pm_sketch_merge(sum, o->sketch[1]);
    if (first) {
        pm_sketch_merge(sum, o->edge[0]);
    }
    if (last) {
        pm_sketch_merge(sum, o->edge[1]);
    }
    return pm_sketch_count(sum);
}

/** Who came in the first or the last second alone, and met no error, is divided by time, as requests are; all of them
 *  may as well have come within the window, or none (pm_estimates.h). */
static double clients_within(const pm_open *o)
{
    double whole = count_with(o, 1, 1);
    double only_first = whole - count_with(o, 0, 1), only_last = whole - count_with(o, 1, 0);
    double both = whole - count_with(o, 0, 0) - only_first - only_last;
    double outside = o->outside[0] * only_first + o->outside[1] * only_last;

    return whole - outside - (both > 0 ? o->outside[0] * o->outside[1] * both : 0);
}

static uint32_t to_u32(double n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

/** Those of the first and the last second may lie within or not; those of seconds whose clients are forgotten were at
 *  most as many as their requests. */
static void fill_bounds(pm_open *o)
{
    pm_incident *in = &o->incident;
    double least = count_with(o, 0, 0) - o->carried_doubt;

    in->clients_least = to_u32(least > 0 ? least + 0.5 : 0);
    in->clients_most = to_u32(count_with(o, 1, 1) + (double)o->missed + 0.5);
    in->affected_more = to_u32((double)o->missed_failing + o->unserved_before + 0.5);
}

static void fill_clients(pm_fold *f, pm_open *o)
{
    pm_incident *in = &o->incident;

    in->clients_known = f->clients && !o->boundless &&
                        (o->scope == PM_SCOPE_SERVER || pool_of(f, o->scope) < PM_POOLS);
    fill_bounds(o);
    in->clients = clients_within(o);
    in->error_clients = pm_sketch_count(o->sketch[1]);
    if (in->error_clients > in->clients) {
        in->error_clients = in->clients; /* a part cannot be more than the whole */
    }
    pm_sketch_store(in->sketch_all, o->sketch[0]);
    pm_sketch_store(in->sketch_error, o->sketch[1]);
}

static void fill_quantiles(pm_quantiles *q, const uint64_t hist[PM_HIST_BUCKETS])
{
    q->p50_us = pm_hist_quantile(hist, 0.50);
    q->p90_us = pm_hist_quantile(hist, 0.90);
    q->p99_us = pm_hist_quantile(hist, 0.99);
    q->count = pm_hist_total(hist);
}

/* ---- from the onset on ---- */

typedef struct history {
    uint64_t hist[PM_HIST_BUCKETS];
    uint64_t us, requests, errors, clients, minutes;
} history;

static void add_second(history *h, const pm_second *s)
{
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        h->hist[b] += s->hist[b];
    }
    h->us += s->row.span_us;
    h->requests += s->row.requests;
    h->errors += s->row.errors;
    if (s->row.span_us > PM_SECOND && s->row.clients != PM_UNKNOWN) {
        h->clients += s->row.clients;
        h->minutes++;
    }
}

/** A run's first minute covers the last of its seconds alone, and its row begins with the minute all the same. */
static uint64_t minute_end(const pm_row *row)
{
    return later(row->at_us + row->span_us, row->at_us / MINUTE_US * MINUTE_US + MINUTE_US);
}

/** What was normal: the hour before the onset, from the minutes that lie wholly before it and the seconds
 *  after the last of them. */
void pm_window_before(pm_fold *f, pm_open *o)
{
    pm_ledger *s = f->state;
    pm_incident *in = &o->incident;
    uint64_t from = in->onset_us > HOUR_US ? in->onset_us - HOUR_US : 0, minutes_end = 0;
    history h = {0};

    for (uint32_t i = 0; i < PM_MINUTES_KEPT; i++) {
        const pm_row *row = &s->minutes[i].row;

        if (row->span_us != 0 && row->at_us >= from && minute_end(row) <= in->onset_us) {
            add_second(&h, &s->minutes[i]);
            minutes_end = later(minutes_end, minute_end(row));
        }
    }
    for (uint32_t i = 0; i < PM_SECONDS_KEPT; i++) {
        const pm_row *row = &s->seconds[i].row;

        if (row->span_us != 0 && row->at_us >= minutes_end && row->at_us >= from &&
            row->at_us + row->span_us <= in->onset_us) {
            add_second(&h, &s->seconds[i]);
        }
    }
    in->before_us = h.us;
    if (h.us == 0) {
        return;
    }
    in->before_requests_per_second = (double)h.requests * 1e6 / (double)h.us;
    in->before_clients_per_minute = h.minutes ? (double)h.clients / (double)h.minutes : -1;
    in->before_error_ratio = h.requests ? (double)h.errors / (double)h.requests : 0;
    if (o->scope == PM_SCOPE_SERVER) { /* a virtual host's own latencies are not kept that long */
        fill_quantiles(&in->before, h.hist);
    }
}

/** All that the scope's last seconds hold from the onset on. */
static void count_from_onset(pm_fold *f, pm_open *o, uint64_t onset)
{
    pm_ledger *s = f->state;
    const pm_scope *d = &s->scope[o->scope].detect;
    uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;

    o->whole = o->incident.errors = o->incident.slow = 0;
    for (uint64_t i = 1; i <= kept; i++) {
        const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];

        if (w->at_us <= onset) {
            break;
        }
        o->whole += w->requests;
        o->incident.errors += pm_interval_fails(o, w);
        o->incident.slow += w->slow;
    }
}

/** A window begins and ends within a second: the requests of those seconds are divided by time, but no failure is
 *  outside. */
static uint64_t succeeded(const pm_open *o, const pm_interval *w)
{
    uint64_t failed = pm_interval_fails(o, w);

    return w->requests > failed ? w->requests - failed : 0;
}

static uint64_t outside(const pm_open *o, const pm_interval *w, uint64_t us)
{
    uint64_t span = w->span_us ? w->span_us : PM_SECOND;

    return at_most(part(w->requests, us, span), succeeded(o, w));
}

static int begins_before(const pm_interval *w, uint64_t onset)
{
    return onset > w->at_us - (w->span_us ? w->span_us : PM_SECOND);
}

static uint64_t before_onset(const pm_open *o, const pm_interval *w, uint64_t onset)
{
    uint64_t from = w->at_us - (w->span_us ? w->span_us : PM_SECOND);

    return begins_before(w, onset) ? outside(o, w, onset - from) : 0;
}

static uint64_t after_end(const pm_open *o, const pm_interval *w, uint64_t end)
{
    return end < w->at_us ? outside(o, w, w->at_us - end) : 0;
}

static void trim(pm_fold *f, pm_open *o)
{
    const pm_scope *d = &f->state->scope[o->scope].detect;
    uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;

    o->before = o->after = o->before_most = o->after_most = 0;
    for (uint64_t i = 1; i <= kept; i++) {
        const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];

        if (w->at_us <= o->incident.onset_us) {
            break;
        }
        o->before += before_onset(o, w, o->incident.onset_us);
        o->after += after_end(o, w, o->incident.end_us);
        if (begins_before(w, o->incident.onset_us)) {
            o->before_most += succeeded(o, w);
        }
        else if (o->incident.end_us < w->at_us) {
            o->after_most += succeeded(o, w);
        }
    }
}

static void settle_requests(pm_open *o)
{
    pm_incident *in = &o->incident;
    uint64_t outside = o->before + o->after, most = o->before_most + o->after_most, least;

    in->requests = o->whole > outside ? o->whole - outside : 0;
    in->requests = later(in->requests, in->errors);
    least = later(o->whole > most ? o->whole - most : 0, in->errors);
    in->requests_fewer =
        (uint32_t)at_most(in->requests - at_most(least, in->requests), UINT32_MAX - 1);
    in->requests_more =
        o->boundless
            ? UINT32_MAX
            : (uint32_t)at_most(later(o->whole, in->requests) - in->requests + o->carried_more,
                                UINT32_MAX - 1);
}

static void count_vhosts_from_onset(pm_fold *f, pm_open *o, uint64_t onset)
{
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_scope_state *scope = &f->state->scope[v + 1];
        const pm_scope *d = &scope->detect;
        uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;

        o->vhost_requests[v] = o->vhost_errors[v] = o->vhost_after[v] = 0;
        o->vhost_mark[v] = scope->requests;
        o->vhost_error_mark[v] = pm_scope_fails(o, scope);
        for (uint64_t i = 1; i <= kept; i++) {
            const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];

            if (w->at_us <= onset) {
                break;
            }
            o->vhost_requests[v] += w->requests - before_onset(o, w, onset);
            o->vhost_after[v] += after_end(o, w, o->incident.end_us);
            o->vhost_errors[v] += pm_interval_fails(o, w);
        }
    }
}

/** How much of a second lies outside, 0..1. */
static double share(uint64_t outside_us, uint64_t span_us)
{
    return outside_us < span_us ? (double)outside_us / (double)span_us : 1;
}

/** Whether a second lies in the window or at one of its ends. */
static void note_second(pm_fold *f, const pm_tick *t, pm_open *o, const pm_second *s)
{
    uint64_t onset = o->incident.onset_us, end = o->incident.end_us, from = s->row.at_us;
    uint8_t none[PM_SKETCH_SIZE] = {0};
    int last = s->row.tick == t->tick;
    double after = last && end < t->now_us ? share(t->now_us - end, t->span_us) : 0;

    if (from <= onset) {
        add_sketch(f, o->scope, s->row.tick, o->edge[0], none);
        o->first_outside = share(onset - from, s->row.span_us);
        o->outside[0] = o->first_outside + after;
        o->outside[0] = o->outside[0] < 1 ? o->outside[0] : 1;
    }
    else {
        add_sketch(f, o->scope, s->row.tick, last ? o->edge[1] : o->inner, none);
        o->outside[1] = after;
    }
}

/** Second by second, what the onset's window brought: statuses, latencies, clients, the peak. */
static void collect_from_onset(pm_fold *f, pm_tick *t, pm_open *o)
{
    pm_incident *in = &o->incident;
    uint64_t codes[PM_CODES] = {0};
    uint64_t first = t->tick > PM_SECONDS_KEPT ? t->tick - PM_SECONDS_KEPT + 1 : 1;

    o->missed = o->missed_failing = 0;
    for (uint64_t tick = first; tick <= t->tick; tick++) {
        const pm_second *s = pm_second_of(f->state, tick);

        if (s->row.tick != tick || s->row.at_us + s->row.span_us <= in->onset_us) {
            continue;
        }
        o->boundless |= tick == first && first > 1 && s->row.at_us > in->onset_us;
        add_codes(f, o->scope, tick, codes);
        if (tick + PM_SKETCHES_KEPT > t->tick) {
            add_sketch(f, o->scope, tick, o->sketch[0], o->sketch[1]);
            note_second(f, t, o, s);
        }
        else {
            o->missed += s->row.requests;
            o->missed_failing += s->row.errors;
        }
        for (uint32_t b = 0; b < PM_HIST_BUCKETS && o->scope == PM_SCOPE_SERVER; b++) {
            in->hist[b] += s->hist[b];
        }
    }
    if (o->scope != PM_SCOPE_SERVER) {
        add_hist(f, t, o->scope, in->hist);
    }
    add_statuses(f, in, codes);
}

static void find_peak(pm_open *o, uint64_t at, uint64_t span, uint64_t requests, uint64_t errors)
{
    pm_incident *in = &o->incident;
    double rate = span ? (double)errors * 1e6 / (double)span : 0;

    if (rate > in->peak_errors_per_second) {
        in->peak_at_us = at;
        in->peak_errors_per_second = rate;
        in->peak_ratio = requests ? (double)errors / (double)requests : 0;
    }
}

static void find_peaks_from_onset(pm_fold *f, pm_open *o)
{
    const pm_scope *d = &f->state->scope[o->scope].detect;
    uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;

    for (uint64_t i = 1; i <= kept; i++) {
        const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];
        uint64_t span = w->span_us ? w->span_us : PM_SECOND;

        if (w->at_us <= o->incident.onset_us) {
            break;
        }
        find_peak(o, w->at_us - span, span, w->requests, pm_interval_fails(o, w));
    }
}

/** The same time of day, so many seconds before: from the minutes that the capture file keeps. */
static void fill_usual(pm_fold *f, pm_usual *usual, uint64_t onset, uint64_t before_us)
{
    uint64_t at = onset > before_us ? onset - before_us : 0, minutes = 0, requests = 0, errors = 0;
    double clients = 0;
    apr_pool_t *pool;
    pm_row *rows;
    size_t count = 0;

    if (at < AROUND_US || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return;
    }
    if (pm_capture_minutes(f->capture, at - AROUND_US, at + AROUND_US, &rows, &count, pool) !=
        APR_SUCCESS) {
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        usual->us += rows[i].span_us;
        requests += rows[i].requests;
        errors += rows[i].errors;
        if (rows[i].clients != PM_UNKNOWN) {
            clients += rows[i].clients;
            minutes++;
        }
    }
    if (usual->us > 0) {
        usual->requests_per_second = (double)requests * 1e6 / (double)usual->us;
        usual->error_ratio = requests ? (double)errors / (double)requests : 0;
        usual->clients_per_minute = minutes ? clients / (double)minutes : -1;
    }
    apr_pool_destroy(pool);
}

/** Who met what from the onset on, and what is usual. */
static void meet_from_onset(pm_fold *f, const pm_tick *t, pm_open *o)
{
    pm_incident *in = &o->incident;
    double all, served;

    memset(in->met, 0, sizeof(in->met));
    o->unserved_before = 0;
    pm_served_met(&f->state->scope[o->scope].served, in->onset_us, in->met);
    in->served_usual = -1;
    if ((in->kinds & PM_KIND_UNSERVED) == 0) {
        return;
    }
    in->served_usual = t->served[o->scope].usual;
    pm_served_count(in->met, &all, &served);
    o->unserved_before = all - served;
}

void pm_window_look_back(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_scope_state *scope = &f->state->scope[o->scope];

    o->boundless = 0;
    count_from_onset(f, o, o->incident.onset_us);
    if (o->incident.errors < scope->detect.cusum_failures &&
        scope->detect.cusum_since_us == o->incident.onset_us) {
        /* A quiet site's excursion is older than the window: at least its failures are known. */
        o->incident.errors = scope->detect.cusum_failures;
        o->whole = later(o->whole, o->incident.errors);
        o->boundless = 1;
    }
    memset(o->incident.status_code, 0, sizeof(o->incident.status_code));
    memset(o->incident.status_count, 0, sizeof(o->incident.status_count));
    memset(o->incident.hist, 0, sizeof(o->incident.hist));
    memset(o->edge, 0, sizeof(o->edge));
    o->outside[0] = o->outside[1] = o->first_outside = 0;
    if (scope->last_error_us > o->incident.end_us) {
        o->incident.end_us = scope->last_error_us;
    }
    if ((o->incident.kinds & PM_KIND_SLOW) && scope->last_slow_us > o->incident.end_us) {
        o->incident.end_us = scope->last_slow_us;
    }
    if ((o->incident.kinds & PM_KIND_UNSERVED) && scope->last_unserved_us > o->incident.end_us) {
        o->incident.end_us = scope->last_unserved_us;
    }
    if (t->figures[o->scope].slow_in_flight > 0 && (o->incident.kinds & PM_KIND_SLOW)) {
        o->incident.end_us = t->now_us;
    }
    count_vhosts_from_onset(f, o, o->incident.onset_us);
    meet_from_onset(f, t, o);
    trim(f, o);
    collect_from_onset(f, t, o);
    settle_requests(o);
    find_peaks_from_onset(f, o);
    pm_heavy_open(f, t, o);
    pm_window_before(f, o);
    fill_usual(f, &o->incident.day, o->incident.onset_us, DAY_US);
    fill_usual(f, &o->incident.week, o->incident.onset_us, 7 * DAY_US);
}

/* ---- moving on ---- */

void pm_window_wait(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_figures *fig = &t->figures[o->scope];
    uint64_t failed = pm_figures_fail(o, fig);

    o->pending_requests += fig->requests;
    o->pending_errors += failed;
    o->pending_slow += fig->slow;
    o->succeeded += fig->requests > failed ? fig->requests - failed : 0;
    add_codes(f, o->scope, t->tick, o->pending_code);
    add_hist(f, t, o->scope, o->pending_hist);
    pm_sketch_merge(o->waiting, o->pending_sketch[0]);
    add_sketch(f, o->scope, t->tick, o->pending_sketch[0], o->pending_sketch[1]);
    find_peak(o, t->from_us, t->span_us, fig->requests, failed);
    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&o->since_end[i], &fig->met[i]);
    }
    for (uint32_t i = 0; i < PM_OUTCOMES && t->served[o->scope].holds != 0; i++) {
        pm_set_merge(&o->pending_met[i],
                     &fig->met[i]); /* who is served once it is over is none of it */
    }
}

static void move_vhosts(pm_fold *f, pm_tick *t, pm_open *o)
{
    uint64_t late = t->now_us > o->incident.end_us ? t->now_us - o->incident.end_us : 0;

    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_figures *fig = &t->figures[v + 1];
        const pm_scope_state *scope = &f->state->scope[v + 1];
        uint64_t failed = pm_figures_fail(o, fig);

        if (scope->requests > o->vhost_mark[v]) {
            o->vhost_requests[v] += scope->requests - o->vhost_mark[v];
            o->vhost_mark[v] = scope->requests;
        }
        if (pm_scope_fails(o, scope) > o->vhost_error_mark[v]) {
            o->vhost_errors[v] += pm_scope_fails(o, scope) - o->vhost_error_mark[v];
            o->vhost_error_mark[v] = pm_scope_fails(o, scope);
        }
        o->vhost_after[v] = at_most(part(fig->requests, late, t->span_us),
                                    fig->requests > failed ? fig->requests - failed : 0);
    }
}

/** The window has a later end: what was its last second lies within it now, and so does the first one's end. */
static void move_end(pm_fold *f, const pm_tick *t, pm_open *o)
{
    uint64_t end = o->incident.end_us;
    uint8_t none[PM_SKETCH_SIZE] = {0};

    pm_sketch_merge(o->inner, o->edge[1]);
    pm_sketch_merge(o->inner, o->waiting);
    memset(o->edge[1], 0, sizeof(o->edge[1]));
    memset(o->waiting, 0, sizeof(o->waiting));
    add_sketch(f, o->scope, t->tick, o->edge[1], none);
    o->outside[0] = o->first_outside;
    o->outside[1] = end < t->now_us ? share(t->now_us - end, t->span_us) : 0;
}

void pm_window_extend(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_figures *fig = &t->figures[o->scope];
    pm_incident *in = &o->incident;
    uint64_t failed = pm_figures_fail(o, fig);

    o->whole += o->pending_requests;
    in->errors += o->pending_errors;
    in->slow += o->pending_slow;
    add_statuses(f, in, o->pending_code);
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        in->hist[b] += o->pending_hist[b];
    }
    pm_sketch_merge(o->sketch[0], o->pending_sketch[0]);
    pm_sketch_merge(o->sketch[1], o->pending_sketch[1]);
    move_end(f, t, o);
    move_vhosts(f, t, o);
    pm_heavy_extend(f, t, o);
    o->pending_requests = o->pending_errors = o->pending_slow = o->succeeded = 0;
    o->carried_since_end = 0;
    memset(o->pending_code, 0, sizeof(o->pending_code));
    memset(o->pending_hist, 0, sizeof(o->pending_hist));
    memset(o->pending_sketch, 0, sizeof(o->pending_sketch));
    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&in->met[i], &o->pending_met[i]);
    }
    memset(o->pending_met, 0, sizeof(o->pending_met));
    memset(o->since_end, 0, sizeof(o->since_end));
    o->after = o->after_most = 0;
    if (in->end_us < t->now_us && fig->requests > failed) {
        o->after_most = fig->requests - failed;
        o->after = at_most(part(fig->requests, t->now_us - in->end_us, t->span_us),
                           fig->requests - failed);
    }
    settle_requests(o);
}

void pm_window_refresh(pm_fold *f, pm_open *o)
{
    fill_clients(f, o);
    pm_served_count(o->incident.met, &o->incident.served_all, &o->incident.served);
    fill_quantiles(&o->incident.during, o->incident.hist);
}
