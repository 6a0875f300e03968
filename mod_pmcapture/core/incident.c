/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * incident.c: the life of an incident: opened by a verdict, moved on by failures, closed by quiet.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fold_private.h"
#include "pm_text.h"
#include "pm_time.h"

#define HOUR_US (3600 * PM_SECOND)
#define DAY_US (24 * HOUR_US)
#define AROUND_US (300 * PM_SECOND)

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t at_most(uint64_t n, uint64_t most)
{
    return n < most ? n : most;
}

static uint64_t part(uint64_t n, uint64_t us, uint64_t of_us)
{
    return of_us == 0 ? 0
                      : (uint64_t)((double)n * (double)(us < of_us ? us : of_us) / (double)of_us);
}

static const char *scope_name(const pm_fold *f, uint32_t scope)
{
    const char *name;

    if (scope == PM_SCOPE_SERVER) {
        return "";
    }
    name = f->vhost_names[scope - 1];
    return name != NULL ? name : "(other)";
}

static const pm_burst_rule *burst_of(const pm_fold *f, uint32_t scope)
{
    return scope == PM_SCOPE_SERVER ? &f->burst : &f->vhost_burst[scope - 1];
}

static const pm_slow_rule *slow_of(const pm_fold *f, uint32_t scope)
{
    return scope == PM_SCOPE_SERVER ? &f->slow : &f->vhost_slow[scope - 1];
}

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

/* ---- breakdown and samples ---- */

static uint64_t next_random(pm_ledger *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static void keep_sample(pm_fold *f, pm_sample *to, const pm_live_sample *from)
{
    memset(to, 0, sizeof(*to));
    to->at_us = from->at_us;
    to->latency_us = from->latency_us;
    to->status = from->status;
    to->flags = from->flags;
    memcpy(to->method, from->method, sizeof(to->method));
    memcpy(to->uri, from->uri, sizeof(to->uri));
    memcpy(to->host, from->host, sizeof(to->host));
    memcpy(to->backend, from->backend, sizeof(to->backend));
    memcpy(to->client, from->client, sizeof(to->client));
    memcpy(to->request_id, from->request_id, sizeof(to->request_id));
    pm_text_clean(to->vhost, sizeof(to->vhost), scope_name(f, from->vhost + 1), PM_KEY);
}

/** The first one stays; the others are a fair choice among all that were handed over (reservoir). */
static void offer_sample(pm_fold *f, pm_open *o, const pm_live_sample *sample)
{
    pm_incident *in = &o->incident;
    uint64_t place;

    if (in->onset_us != 0 && sample->at_us < in->onset_us) {
        return;
    }
    if ((o->scope != PM_SCOPE_SERVER && sample->vhost + 1 != o->scope) ||
        ((sample->flags & PM_SAMPLE_SLOW) && !(in->kinds & PM_KIND_SLOW))) {
        return;
    }
    in->sample_seen++;
    if (in->sample_count < f->samples) {
        place = in->sample_count++;
    }
    else {
        place = next_random(f->state) % in->sample_seen;
    }
    if (place < f->samples && (place > 0 || in->sample_seen == 1)) {
        keep_sample(f, &o->samples[place], sample);
    }
}

static void offer_recent(pm_fold *f, pm_open *o, uint64_t from)
{
    pm_ledger *s = f->state;

    if (s->recent_next - from > PM_RECENT_SAMPLES) {
        from = s->recent_next - PM_RECENT_SAMPLES;
    }
    for (uint64_t n = from; n < s->recent_next; n++) {
        offer_sample(f, o, &s->recent[n % PM_RECENT_SAMPLES]);
    }
}

static int heavier(const void *a, const void *b)
{
    const pm_tally *x = a, *y = b;

    return x->errors < y->errors ? 1 : x->errors > y->errors ? -1 : strcmp(x->key, y->key);
}

static void order(pm_tally *list)
{
    qsort(list, PM_TALLIES, sizeof(*list), heavier);
}

/** The virtual hosts with the most failures, from the incident's own counts. */
static void fill_vhosts(pm_fold *f, pm_open *o)
{
    pm_tally *list = o->incident.by_vhost;
    /* Its seconds are whole ones: of what succeeded in them, the incident's own share. */
    uint64_t whole = o->whole > o->incident.errors ? o->whole - o->incident.errors : 0;
    uint64_t in_window = o->incident.requests - o->incident.errors;

    memset(list, 0, sizeof(o->incident.by_vhost));
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        pm_tally *least = &list[PM_TALLIES - 1];

        if (o->vhost_errors[v] <= least->errors || o->vhost_requests[v] < o->vhost_errors[v] ||
            (o->scope != PM_SCOPE_SERVER && o->scope != v + 1)) {
            continue;
        }
        memset(least, 0, sizeof(*least));
        pm_text_clean(least->key, sizeof(least->key), scope_name(f, v + 1), PM_KEY);
        if (f->vhost_defined[v] != NULL) {
            pm_text_clean(least->defined, sizeof(least->defined), f->vhost_defined[v], PM_KEY);
        }
        least->errors = least->counted_errors = o->vhost_errors[v];
        least->requests = least->counted_requests =
            o->vhost_errors[v] + part(o->vhost_requests[v] - o->vhost_errors[v], in_window, whole);
        order(list);
    }
}

/* ---- the parts of a window ---- */

static void add_codes(pm_fold *f, uint32_t scope, uint64_t tick, uint64_t codes[PM_ECODES])
{
    const pm_code_tick *c = &f->state->scope[scope].codes[tick % PM_SECONDS_KEPT];

    if (c->tick == (uint32_t)tick) {
        for (uint32_t i = 0; i < PM_ECODES; i++) {
            codes[i] += c->code[i];
        }
    }
}

static uint32_t code_number(const pm_fold *f, uint32_t slot)
{
    if (slot < PM_ECODES - 1) {
        return 500 + slot;
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

static void add_statuses(pm_fold *f, pm_incident *in, const uint64_t codes[PM_ECODES])
{
    for (uint32_t i = 0; i < PM_ECODES; i++) {
        if (codes[i] != 0) {
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
    uint8_t(*kept)[2][PM_SKETCH_SIZE] = f->state->sketches[tick % PM_SKETCHES_KEPT];
    uint32_t only = pool_of(f, scope);

    for (uint32_t p = 0; p < PM_POOLS; p++) {
        if (scope == PM_SCOPE_SERVER || p == only) {
            pm_sketch_merge(all, kept[p][0]);
            pm_sketch_merge(error, kept[p][1]);
        }
    }
}

static void fill_clients(pm_fold *f, pm_open *o)
{
    pm_incident *in = &o->incident;

    in->clients_known =
        f->clients && (o->scope == PM_SCOPE_SERVER || pool_of(f, o->scope) < PM_POOLS);
    in->clients = pm_sketch_count(in->sketch_all);
    in->error_clients = pm_sketch_count(in->sketch_error);
    if (in->error_clients > in->clients) {
        in->error_clients = in->clients; /* a part cannot be more than the whole */
    }
}

static void fill_quantiles(pm_quantiles *q, const uint64_t hist[PM_HIST_BUCKETS])
{
    q->p50_us = pm_hist_quantile(hist, 0.50);
    q->p90_us = pm_hist_quantile(hist, 0.90);
    q->p99_us = pm_hist_quantile(hist, 0.99);
    q->count = pm_hist_total(hist);
}

/* ---- opening ---- */

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

/** What was normal: the hour before the onset, from the minutes that lie wholly before it and the seconds
 *  after the last of them. */
static void fill_before(pm_fold *f, pm_open *o)
{
    pm_ledger *s = f->state;
    pm_incident *in = &o->incident;
    uint64_t from = in->onset_us > HOUR_US ? in->onset_us - HOUR_US : 0, minutes_end = 0;
    history h = {0};

    for (uint32_t i = 0; i < PM_MINUTES_KEPT; i++) {
        const pm_row *row = &s->minutes[i].row;

        if (row->span_us != 0 && row->at_us >= from && row->at_us + row->span_us <= in->onset_us) {
            add_second(&h, &s->minutes[i]);
            minutes_end = later(minutes_end, row->at_us + row->span_us);
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
        o->incident.errors += w->errors;
        o->incident.slow += w->slow;
    }
}

/** A window begins and ends within a second: the requests of those seconds are divided by time, but no failure is
 *  outside. */
static void trim(pm_fold *f, pm_open *o)
{
    const pm_scope *d = &f->state->scope[o->scope].detect;
    uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;
    uint64_t onset = o->incident.onset_us, end = o->incident.end_us;

    o->before = o->after = 0;
    for (uint64_t i = 1; i <= kept; i++) {
        const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];
        uint64_t span = w->span_us ? w->span_us : PM_SECOND, from = w->at_us - span;
        uint64_t succeeded = w->requests > w->errors ? w->requests - w->errors : 0;

        if (w->at_us <= onset) {
            break;
        }
        if (onset > from) {
            o->before += at_most(part(w->requests, onset - from, span), succeeded);
        }
        if (end < w->at_us) {
            o->after +=
                at_most(part(w->requests, w->at_us - (end > from ? end : from), span), succeeded);
        }
    }
}

static void settle_requests(pm_open *o)
{
    uint64_t outside = o->before + o->after;

    o->incident.requests = o->whole > outside ? o->whole - outside : 0;
    o->incident.requests = later(o->incident.requests, o->incident.errors);
}

static void count_vhosts_from_onset(pm_fold *f, pm_open *o, uint64_t onset)
{
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_scope_state *scope = &f->state->scope[v + 1];
        const pm_scope *d = &scope->detect;
        uint64_t kept = d->kept < PM_WINDOW_MAX ? d->kept : PM_WINDOW_MAX;

        o->vhost_requests[v] = o->vhost_errors[v] = 0;
        o->vhost_mark[v] = scope->requests;
        o->vhost_error_mark[v] = scope->errors;
        for (uint64_t i = 1; i <= kept; i++) {
            const pm_interval *w = &d->window[(d->kept - i) % PM_WINDOW_MAX];

            if (w->at_us <= onset) {
                break;
            }
            o->vhost_requests[v] += w->requests;
            o->vhost_errors[v] += w->errors;
        }
    }
}

/** Second by second, what the onset's window brought: statuses, latencies, clients, the peak. */
static void collect_from_onset(pm_fold *f, pm_tick *t, pm_open *o)
{
    pm_incident *in = &o->incident;
    uint64_t codes[PM_ECODES] = {0};
    uint64_t first = t->tick > PM_SECONDS_KEPT ? t->tick - PM_SECONDS_KEPT + 1 : 1;

    for (uint64_t tick = first; tick <= t->tick; tick++) {
        const pm_second *s = pm_second_of(f->state, tick);

        if (s->row.tick != tick || s->row.at_us + s->row.span_us <= in->onset_us) {
            continue;
        }
        add_codes(f, o->scope, tick, codes);
        if (tick + PM_SKETCHES_KEPT > t->tick) {
            add_sketch(f, o->scope, tick, in->sketch_all, in->sketch_error);
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
        find_peak(o, w->at_us - span, span, w->requests, w->errors);
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

/** An unused slot, or that of a closed incident that only waits for its last rows to be pinned. */
static pm_open *free_slot(pm_ledger *s)
{
    pm_open *closed = NULL;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (!s->open[i].used) {
            return &s->open[i];
        }
        if (!s->open[i].incident.open) {
            closed = &s->open[i];
        }
    }
    return closed;
}

static int is_open(const pm_open *o)
{
    return o->used && o->incident.open;
}

static pm_open *open_of(pm_ledger *s, uint32_t scope)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (is_open(&s->open[i]) && s->open[i].scope == scope) {
            return &s->open[i];
        }
    }
    return NULL;
}

static const char *kind_words(uint32_t kinds)
{
    switch (kinds & (PM_KIND_ERRORS | PM_KIND_SLOW | PM_KIND_DOWN)) {
    case PM_KIND_ERRORS:
        return "errors";
    case PM_KIND_SLOW:
        return "slow requests";
    case PM_KIND_DOWN:
        return "down";
    case PM_KIND_ERRORS | PM_KIND_SLOW:
        return "errors and slow requests";
    default:
        return "down, with failures around it";
    }
}

static void say_open(pm_fold *f, const pm_incident *in, uint64_t at)
{
    char when[PM_TIME_SIZE], data[96];

    snprintf(data, sizeof(data), "{\"incident\":%llu}", (unsigned long long)in->id);
    pm_fold_event(f, at, PM_EV_INCIDENT_OPEN, PM_CRITICAL, data,
                  "Incident %llu opened: %s%s%s since %s", (unsigned long long)in->id,
                  kind_words(in->kinds), in->vhost[0] ? " on " : "", in->vhost,
                  pm_time_format(in->onset_us, when));
}

/** Another kind holds: counted once for each incident, for good. */
static void add_kinds(pm_fold *f, pm_incident *in, uint32_t kinds)
{
    static const uint32_t counted[3] = {PM_KIND_ERRORS | PM_KIND_CLIENTS, PM_KIND_SLOW,
                                        PM_KIND_DOWN};

    for (int i = 0; i < 3; i++) {
        if ((kinds & counted[i]) != 0 && (in->kinds & counted[i]) == 0) {
            f->state->checkpoint.incidents_by_kind[i]++;
        }
    }
    in->kinds |= kinds;
}

static pm_open *open_incident(pm_fold *f, uint32_t scope, uint32_t kinds, uint64_t onset,
                              uint64_t now)
{
    pm_ledger *s = f->state;
    pm_open *o = free_slot(s);

    if (o == NULL) {
        return NULL; /* PM_INCIDENTS_OPEN are open: what fails besides shows in the rows */
    }
    memset(o, 0, sizeof(*o));
    o->used = 1;
    o->scope = scope;
    o->incident.id = s->checkpoint.next_incident++;
    o->incident.open = 1;
    add_kinds(f, &o->incident, kinds);
    o->incident.onset_us = onset;
    o->incident.detected_us = now;
    o->incident.end_us = onset;
    o->incident.generation = f->server.generation;
    o->incident.first_event = s->checkpoint.last_event;
    pm_text_clean(o->incident.vhost, sizeof(o->incident.vhost), scope_name(f, scope), PM_KEY);
    return o;
}

/** Fill an incident from the seconds since its onset. */
static void look_back(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_scope_state *scope = &f->state->scope[o->scope];

    count_from_onset(f, o, o->incident.onset_us);
    if (o->incident.errors < scope->detect.cusum_failures &&
        scope->detect.cusum_since_us == o->incident.onset_us) {
        /* A quiet site's excursion is older than the window: at least its failures are known. */
        o->incident.errors = scope->detect.cusum_failures;
        o->whole = later(o->whole, o->incident.errors);
    }
    count_vhosts_from_onset(f, o, o->incident.onset_us);
    memset(o->incident.status_code, 0, sizeof(o->incident.status_code));
    memset(o->incident.status_count, 0, sizeof(o->incident.status_count));
    memset(o->incident.hist, 0, sizeof(o->incident.hist));
    if (scope->last_error_us > o->incident.end_us) {
        o->incident.end_us = scope->last_error_us;
    }
    if ((o->incident.kinds & PM_KIND_SLOW) && scope->last_slow_us > o->incident.end_us) {
        o->incident.end_us = scope->last_slow_us;
    }
    if (t->figures[o->scope].slow_in_flight > 0 && (o->incident.kinds & PM_KIND_SLOW)) {
        o->incident.end_us = t->now_us;
    }
    trim(f, o);
    settle_requests(o);
    collect_from_onset(f, t, o);
    find_peaks_from_onset(f, o);
    pm_heavy_open(f, t, o);
    fill_before(f, o);
    fill_usual(f, &o->incident.day, o->incident.onset_us, DAY_US);
    fill_usual(f, &o->incident.week, o->incident.onset_us, 7 * DAY_US);
}

/** The server's rule holds, and a virtual host's opened with it: the same incident, seen wider. */
static pm_open *widen(pm_fold *f, pm_tick *t, uint32_t kinds, uint64_t onset)
{
    pm_ledger *s = f->state;
    pm_open *first = NULL;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (is_open(o) && o->scope != PM_SCOPE_SERVER &&
            o->incident.detected_us + f->burst.window * PM_SECOND >= t->now_us &&
            (first == NULL || o->incident.onset_us < first->incident.onset_us)) {
            first = o;
        }
    }
    if (first == NULL) {
        return NULL;
    }
    first->scope = PM_SCOPE_SERVER;
    first->incident.vhost[0] = '\0';
    add_kinds(f, &first->incident, kinds);
    if (onset < first->incident.onset_us) {
        first->incident.onset_us = onset;
    }
    look_back(f, t, first);
    return first;
}

/* ---- moving on ---- */

/** More failures than were normal before? A site that always fails a little would never be well again
 *  otherwise. Without failures before, each one counts. Four standard deviations of a Poisson count. */
static int fails_again(const pm_open *o, const pm_figures *fig)
{
    double normal = o->incident.before_us >= 60 * PM_SECOND ? o->incident.before_error_ratio : 0;
    double errors = (double)(o->pending_errors + fig->errors);
    double expected = normal * (double)(o->pending_requests + fig->requests);
    double excess = errors - 1 - expected;

    if (fig->errors == 0) {
        return 0;
    }
    return expected == 0 || (excess > 0 && excess * excess > 16 * expected);
}

static void move_vhosts(pm_fold *f, pm_open *o)
{
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_scope_state *scope = &f->state->scope[v + 1];

        if (scope->requests > o->vhost_mark[v]) {
            o->vhost_requests[v] += scope->requests - o->vhost_mark[v];
            o->vhost_mark[v] = scope->requests;
        }
        if (scope->errors > o->vhost_error_mark[v]) {
            o->vhost_errors[v] += scope->errors - o->vhost_error_mark[v];
            o->vhost_error_mark[v] = scope->errors;
        }
    }
}

/** Something failed again: what was pending belongs to the window. */
static void extend(pm_fold *f, pm_open *o)
{
    pm_incident *in = &o->incident;

    o->whole += o->pending_requests;
    in->errors += o->pending_errors;
    in->slow += o->pending_slow;
    add_statuses(f, in, o->pending_code);
    for (uint32_t b = 0; b < PM_HIST_BUCKETS; b++) {
        in->hist[b] += o->pending_hist[b];
    }
    pm_sketch_merge(in->sketch_all, o->pending_sketch[0]);
    pm_sketch_merge(in->sketch_error, o->pending_sketch[1]);
    move_vhosts(f, o);
    pm_heavy_extend(f, o);
    o->pending_requests = o->pending_errors = o->pending_slow = o->succeeded = 0;
    memset(o->pending_code, 0, sizeof(o->pending_code));
    memset(o->pending_hist, 0, sizeof(o->pending_hist));
    memset(o->pending_sketch, 0, sizeof(o->pending_sketch));
}

/** The server was down, and something failed before the time to clear was over: still the same incident. */
static int lingers(const pm_fold *f, const pm_open *o, uint64_t at)
{
    return o->used && !o->incident.open && (o->incident.kinds & PM_KIND_DOWN) &&
           o->scope == PM_SCOPE_SERVER && at < o->incident.end_us + f->burst.clear * PM_SECOND;
}

static void reopen(pm_fold *f, pm_open *o, uint32_t kinds, uint64_t at)
{
    o->incident.open = 1;
    o->incident.closed_us = 0;
    add_kinds(f, &o->incident, kinds);
    say_open(f, &o->incident, at);
}

static int reopen_down(pm_fold *f, pm_tick *t, uint32_t scope, uint32_t kinds, uint64_t onset)
{
    pm_ledger *s = f->state;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (lingers(f, o, onset)) {
            reopen(f, o, kinds, t->now_us);
            o->incident.end_us = later(o->incident.end_us, s->scope[scope].last_error_us);
            if (kinds & PM_KIND_SLOW) {
                o->incident.end_us = later(o->incident.end_us, s->scope[scope].last_slow_us);
            }
            extend(f, o);
            offer_recent(f, o, 0);
            return 1;
        }
    }
    return 0;
}

static void open_from_verdict(pm_fold *f, pm_tick *t, uint32_t scope, uint32_t kinds,
                              uint64_t onset)
{
    pm_open *o;

    if (reopen_down(f, t, scope, kinds, onset)) {
        return;
    }
    o = open_incident(f, scope, kinds, onset, t->now_us);
    if (o == NULL) {
        return;
    }
    o->incident.sequential = t->verdicts[scope].sequential;
    look_back(f, t, o);
    offer_recent(f, o, 0);
    say_open(f, &o->incident, t->now_us);
}

static int step_slow(const pm_open *o, const pm_figures *fig, const pm_verdict *verdict)
{
    return (o->incident.kinds & PM_KIND_SLOW) &&
           (fig->slow_in_flight > 0 || (verdict->slow_hold && fig->slow > 0));
}

/** What came since the last failure waits: nobody knows yet whether it belongs to the window. */
static void add_pending(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_figures *fig = &t->figures[o->scope];

    o->pending_requests += fig->requests;
    o->pending_errors += fig->errors;
    o->pending_slow += fig->slow;
    o->succeeded += fig->requests > fig->errors ? fig->requests - fig->errors : 0;
    add_codes(f, o->scope, t->tick, o->pending_code);
    add_hist(f, t, o->scope, o->pending_hist);
    add_sketch(f, o->scope, t->tick, o->pending_sketch[0], o->pending_sketch[1]);
    find_peak(o, t->from_us, t->span_us, fig->requests, fig->errors);
}

static void step_open(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_figures *fig = &t->figures[o->scope];
    const pm_verdict *verdict = &t->verdicts[o->scope];
    int failed = fails_again(o, fig), slow = step_slow(o, fig, verdict);

    add_pending(f, t, o);
    if (failed) {
        o->incident.end_us = later(o->incident.end_us, fig->last_error_us);
    }
    if (slow) {
        o->incident.end_us =
            later(o->incident.end_us, fig->slow_in_flight ? t->now_us : fig->last_slow_us);
    }
    if (failed || slow) {
        extend(f, o);
        o->after = 0;
        if (o->incident.end_us < t->now_us && fig->requests > fig->errors) {
            o->after = at_most(part(fig->requests, t->now_us - o->incident.end_us, t->span_us),
                               fig->requests - fig->errors);
        }
        settle_requests(o);
    }
    offer_recent(f, o, t->sample_from);
}

static void say_closed(pm_fold *f, const pm_incident *in)
{
    char span[PM_TIME_SIZE], data[96];

    snprintf(data, sizeof(data), "{\"incident\":%llu}", (unsigned long long)in->id);
    if (in->kinds == PM_KIND_DOWN) {
        pm_fold_event(f, in->closed_us, PM_EV_INCIDENT_CLOSE, PM_INFO, data,
                      "Incident %llu closed: nobody was served for %s", (unsigned long long)in->id,
                      pm_time_span(in->unserved_us, span));
        return;
    }
    pm_fold_event(f, in->closed_us, PM_EV_INCIDENT_CLOSE, PM_INFO, data,
                  "Incident %llu closed: %s for %s%s%s, %llu of %llu requests failed",
                  (unsigned long long)in->id, kind_words(in->kinds),
                  pm_time_span(in->end_us - in->onset_us, span), in->vhost[0] ? " on " : "",
                  in->vhost, (unsigned long long)in->errors, (unsigned long long)in->requests);
}

/** For how long all must be well: by the rules of the kinds that it is of. */
static uint64_t clear_of(const pm_fold *f, const pm_open *o)
{
    uint64_t clear = 0;

    if ((o->incident.kinds & PM_KIND_SLOW) != 0) {
        clear = slow_of(f, o->scope)->clear;
    }
    if ((o->incident.kinds & ~(uint32_t)PM_KIND_SLOW) != 0) {
        clear = later(clear, burst_of(f, o->scope)->clear);
    }
    return clear;
}

static void close_if_quiet(pm_fold *f, pm_tick *t, pm_open *o)
{
    const pm_verdict *verdict = &t->verdicts[o->scope];
    pm_incident *in = &o->incident;

    if (in->kinds ==
        PM_KIND_DOWN) { /* over with the first tick; what fails soon after opens it again */
        in->open = 0;
        in->closed_us = t->now_us;
        say_closed(f, in);
        return;
    }
    if ((verdict->errors_hold && !verdict->sequential) || verdict->slow_hold || o->succeeded == 0 ||
        t->now_us < in->end_us + clear_of(f, o) * PM_SECOND) {
        return;
    }
    in->open = 0;
    in->closed_us = t->now_us;
    say_closed(f, in);
}

static void refresh(pm_fold *f, pm_tick *t, pm_open *o)
{
    fill_vhosts(f, o);
    pm_heavy_fill(f, t, o);
    fill_clients(f, o);
    fill_quantiles(&o->incident.during, o->incident.hist);
    o->incident.last_event = f->state->checkpoint.last_event;
}

/* ---- the step ---- */

static uint32_t kinds_of(const pm_verdict *v)
{
    return (v->errors_hold ? PM_KIND_ERRORS : 0u) | (v->slow_hold ? PM_KIND_SLOW : 0u);
}

static uint64_t onset_of(const pm_verdict *v)
{
    if (v->errors_hold && v->slow_hold) {
        return v->errors_onset_us < v->slow_onset_us ? v->errors_onset_us : v->slow_onset_us;
    }
    return v->errors_hold ? v->errors_onset_us : v->slow_onset_us;
}

static void judge(pm_fold *f, pm_tick *t, uint32_t scope)
{
    const pm_verdict *verdict = &t->verdicts[scope];
    uint32_t kinds = kinds_of(verdict);
    pm_open *own = open_of(f->state, scope);
    pm_open *server = open_of(f->state, PM_SCOPE_SERVER);
    uint64_t onset = onset_of(verdict);

    if (kinds == 0) {
        return;
    }
    if (own != NULL) {
        add_kinds(f, &own->incident, kinds);
        return;
    }
    if (onset == 0 || onset > t->now_us) {
        onset = t->from_us;
    }
    if (scope == PM_SCOPE_SERVER) {
        if (widen(f, t, kinds, onset) == NULL) {
            open_from_verdict(f, t, scope, kinds, onset);
        }
        return;
    }
    if (server == NULL || (kinds & ~server->incident.kinds) != 0) {
        open_from_verdict(f, t, scope, kinds, onset);
    }
}

/** Requests of these virtual hosts are looked at closely, and their log lines can be marked. */
static void tell_workers(pm_fold *f)
{
    uint64_t newest = 0, whole = 0;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        const pm_open *o = &f->state->open[i];

        newest = is_open(o) ? later(newest, o->incident.id) : newest;
        whole = is_open(o) && o->scope == PM_SCOPE_SERVER ? later(whole, o->incident.id) : whole;
    }
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        const pm_open *own = newest != 0 ? open_of(f->state, v + 1) : NULL;
        uint64_t id = own != NULL ? later(own->incident.id, whole) : whole;
        _Atomic uint32_t *told = &f->live->vhosts[v].incident;

        if (atomic_load_explicit(told, memory_order_relaxed) != (uint32_t)id) {
            atomic_store_explicit(told, (uint32_t)id, memory_order_relaxed);
        }
    }
    atomic_store_explicit(&f->live->header->incident, newest, memory_order_relaxed);
}

void pm_incidents_step(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (is_open(&s->open[i])) {
            step_open(f, t, &s->open[i]);
        }
        else if (lingers(f, &s->open[i], t->now_us)) {
            add_pending(f, t, &s->open[i]);
        }
    }
    for (uint32_t scope = 0; scope < t->scopes; scope++) {
        judge(f, t, scope);
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        pm_open *o = &s->open[i];

        if (is_open(o)) {
            close_if_quiet(f, t, o);
            refresh(f, t, o);
        }
    }
    tell_workers(f);
}

/* ---- across runs ---- */

void pm_incident_resume(pm_fold *f, const pm_incident *incident, const pm_sample *samples,
                        size_t count)
{
    pm_open *o = free_slot(f->state);

    if (o == NULL) {
        return;
    }
    memset(o, 0, sizeof(*o));
    o->used = 1;
    o->incident = *incident;
    o->whole = incident->requests;
    o->scope = PM_SCOPE_SERVER;
    for (uint32_t v = 0; incident->vhost[0] != '\0' && v < f->live->geo.vhosts; v++) {
        if (f->vhost_names[v] != NULL && strcmp(f->vhost_names[v], incident->vhost) == 0) {
            o->scope = v + 1;
        }
    }
    for (uint32_t i = 0; i < PM_TALLIES; i++) {
        for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
            if (incident->by_vhost[i].errors != 0 &&
                strcmp(scope_name(f, v + 1), incident->by_vhost[i].key) == 0) {
                o->vhost_requests[v] = incident->by_vhost[i].requests;
                o->vhost_errors[v] = incident->by_vhost[i].errors;
                break;
            }
        }
    }
    if (count > PM_SAMPLES_MAX) {
        count = PM_SAMPLES_MAX;
    }
    memcpy(o->samples, samples, count * sizeof(*samples));
    o->incident.sample_count = (uint32_t)(count < f->samples ? count : f->samples);
    pm_heavy_resume(o);
}

/** Newton's: httpd does not load libm. */
static double square_root(double x)
{
    double r = x > 1 ? x : 1;

    for (int i = 0; i < 64 && x > 0; i++) {
        r = (r + x / r) / 2;
    }
    return x > 0 ? r : 0;
}

/** The incident that a gap from `from_us` on belongs to: the server's, else a virtual host's, which then is wider;
 *  else one that was closed so shortly before that it would have been extended. */
static pm_open *touched_by(pm_fold *f, uint64_t from_us)
{
    pm_open *found = open_of(f->state, PM_SCOPE_SERVER);

    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN && found == NULL; i++) {
        if (is_open(&f->state->open[i])) {
            found = &f->state->open[i];
        }
    }
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN && found == NULL; i++) {
        pm_open *o = &f->state->open[i];

        if (o->used && from_us < o->incident.end_us + f->burst.clear * PM_SECOND) {
            found = o;
        }
    }
    return found;
}

int pm_incident_any_open(const pm_fold *f)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        if (is_open(&f->state->open[i])) {
            return 1;
        }
    }
    return 0;
}

void pm_incident_down(pm_fold *f, uint64_t from_us, uint64_t to_us)
{
    pm_open *o = touched_by(f, from_us);
    double per_second;

    if (o == NULL) {
        o = open_incident(f, PM_SCOPE_SERVER, PM_KIND_DOWN, from_us, to_us);
        if (o == NULL) {
            return;
        }
        fill_before(f, o);
        say_open(f, &o->incident, to_us);
    }
    else if (!o->incident.open) {
        reopen(f, o, PM_KIND_DOWN, to_us);
    }
    o->scope = PM_SCOPE_SERVER;
    o->incident.vhost[0] = '\0';
    add_kinds(f, &o->incident, PM_KIND_DOWN);
    o->incident.end_us = later(o->incident.end_us, to_us);
    o->incident.unserved_us += to_us - from_us;
    per_second = o->incident.before_requests_per_second;
    o->incident.expected_requests =
        (uint64_t)(per_second * ((double)o->incident.unserved_us / 1e6) + 0.5);
    /* A Poisson count's own standard error; how traffic changes by the hour is not in it. */
    o->incident.expected_error = square_root((double)o->incident.expected_requests);
}
