/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * count.c: the hot path but for its usual case (pm_live.h). No lock, no allocation, no system call.
 */
#include <unistd.h>

#include "pm_hash.h"
#include "pm_live.h"

#define PROBES 16u

uint64_t pm_live_hash(const pm_live *live, const void *text, size_t len)
{
    uint64_t seed, hash;

    memcpy(&seed, live->key, sizeof(seed));
    hash = XXH3_64bits_withSeed(text, len, seed);
    return hash != 0 ? hash : 1;
}

/** Lower a time, 0 being none. */
static void earliest(_Atomic uint64_t *slot, uint64_t at)
{
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);

    while ((seen == 0 || at < seen) &&
           !atomic_compare_exchange_weak_explicit(slot, &seen, at, memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void pm_live_latest(_Atomic uint64_t *slot, uint64_t at)
{
    uint64_t seen = atomic_load_explicit(slot, memory_order_relaxed);

    while (at > seen && !atomic_compare_exchange_weak_explicit(
                            slot, &seen, at, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static uint32_t active_epoch(const pm_live *live)
{
    return pm_live_epoch(live) & (PM_EPOCHS - 1);
}

uint32_t pm_live_arrived(const pm_live *live, uint32_t hint, uint64_t arrival_us, uint32_t child,
                         uint32_t vhost)
{
    for (uint32_t i = 0; i < PROBES; i++) {
        uint32_t at = (hint + i) & (live->geo.flights - 1);

        if (pm_flight_take(&live->flights[at], arrival_us, pm_flight_who(child, vhost))) {
            return at;
        }
    }
    pm_live_add(&live->header->flights_untracked, 1);
    return PM_NO_FLIGHT;
}

void pm_live_left(const pm_live *live, uint32_t flight, uint64_t arrival_us)
{
    if (flight < live->geo.flights) {
        pm_flight_leave(&live->flights[flight], arrival_us);
    }
}

void pm_live_abandon(const pm_live *live, uint32_t child)
{
    for (uint32_t i = 0; live->flights != NULL && i < live->geo.flights; i++) {
        pm_flight *f = &live->flights[i];
        uint64_t arrival = atomic_load_explicit(&f->arrival_us, memory_order_relaxed);

        if (arrival != 0 && atomic_load_explicit(&f->who, memory_order_relaxed) >> 16 == child) {
            pm_flight_leave(f, arrival);
        }
    }
}

void pm_live_name_text(pm_named *named, uint64_t arrival_us, const char *path)
{
    size_t n = strnlen(path, sizeof(named->path) - 1);

    named->arrival = (uint32_t)arrival_us;
    memcpy(named->path, path, n);
    named->path[n] = '\0';
}

static void count_code(pm_vhost_live *vh, uint32_t status)
{
    uint32_t slot = pm_code_slot(status);

    if (slot == PM_ECODES - 1) {
        atomic_store_explicit(&vh->other_code, status, memory_order_relaxed);
    }
    if (slot < PM_CODES) {
        atomic_fetch_add_explicit(&vh->by_code[slot], 1, memory_order_relaxed);
    }
}

/** The dear part, for failures alone. Times go before the counters: the recorder reads the counters first,
 *  so a failure that it counts has left its time in the epoch that it reads next. */
static void count_failure(pm_vhost_live *vh, uint32_t epoch, const pm_completed *done)
{
    uint32_t bucket = (uint32_t)(done->client >> 16) % PM_CLIENT_BUCKETS;

    earliest(&vh->epoch[epoch].first_error_us, done->arrival_us);
    pm_live_latest(&vh->last_error_us, done->done_us);
    atomic_store_explicit(&vh->failing[bucket], done->client != 0 ? pm_client_tag(done->client) : 0,
                          memory_order_relaxed);
    atomic_fetch_add_explicit(&vh->by_client[bucket], 1, memory_order_relaxed);
    count_code(vh, done->status);
}

/** A refusal or a redirect: no failure, unless too many clients get nothing else. In the order of count_failure. */
static void count_unserved(pm_vhost_live *vh, pm_vhost_count *count, uint32_t epoch,
                           const pm_completed *done, enum pm_outcome outcome)
{
    _Atomic uint64_t *counter = outcome == PM_REFUSED ? &count->refused : &count->redirected;

    earliest(&vh->epoch[epoch].first_unserved_us, done->arrival_us);
    pm_live_latest(&vh->last_unserved_us, done->done_us);
    count_code(vh, done->status);
    pm_live_add(counter, 1);
}

/** Room for one more in a set of a few tags; two writers may put one tag in twice, which
 *  the recorder's own set removes. */
static void note_success(pm_vhost_epoch *e, uint32_t tag)
{
    for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
        uint32_t seen = atomic_load_explicit(&e->ok_clients[i], memory_order_relaxed);

        if (seen == tag || (seen == 0 && (atomic_compare_exchange_strong_explicit(
                                              &e->ok_clients[i], &seen, tag, memory_order_relaxed,
                                              memory_order_relaxed) ||
                                          seen == tag))) {
            return;
        }
    }
}

void pm_live_count(const pm_live *live, const pm_completed *done)
{
    uint32_t vhost = done->vhost < live->geo.vhosts ? done->vhost : 0, epoch = active_epoch(live);
    pm_vhost_live *vh = &live->vhosts[vhost];
    pm_vhost_count *count = &pm_live_vhost_counts(live, done->stripe)[vhost];
    pm_stripe *to = pm_live_stripe_at(live, done->stripe);
    uint32_t pool = pm_live_pool(live, vhost);
    uint64_t us = done->done_us > done->arrival_us ? done->done_us - done->arrival_us : 0;
    enum pm_outcome outcome = pm_outcome_of(done->status);
    int known = done->client != 0 && !done->monitor && outcome != PM_PROVES_NOTHING;

    if (outcome == PM_FAILED) {
        count_failure(vh, epoch, done);
        pm_live_add(&count->errors, 1);
    }
    else if (known) {
        note_success(&vh->epoch[epoch], pm_client_tag(done->client));
    }
    if (outcome == PM_REFUSED || outcome == PM_REDIRECTED) {
        count_unserved(vh, count, epoch, done, outcome);
    }
    if (known) {
        pm_set_add(&vh->epoch[epoch].clients[outcome], done->client);
    }
    if (done->slow) {
        earliest(&vh->epoch[epoch].first_slow_us, done->arrival_us);
        pm_live_latest(&vh->last_slow_us, done->done_us);
        pm_live_add(&count->slow, 1);
    }
    if (done->client != 0) {
        pm_pool_sketch *sketch = pm_live_sketch(live, epoch, pool);

        pm_sketch_add(sketch->all, done->client);
        if (pm_live_fails(vh, outcome)) {
            pm_sketch_add(sketch->error, done->client);
        }
    }
    pm_live_latest(&to->max_us, us);
    pm_live_count_usual(to, to->hist[pool], count, done->status, done->bytes, us);
}

int pm_live_wants_client(const pm_live *live, uint32_t vhost, uint64_t client)
{
    const pm_vhost_live *vh = &live->vhosts[vhost < live->geo.vhosts ? vhost : 0];
    const pm_vhost_epoch *e = &vh->epoch[active_epoch(live)];
    uint32_t tag = pm_client_tag(client);

    for (uint32_t i = 0; i < PM_OK_CLIENTS; i++) {
        uint32_t seen = atomic_load_explicit(&e->ok_clients[i], memory_order_relaxed);

        if (seen == 0) {
            return 1;
        }
        if (seen == tag) {
            return 0;
        }
    }
    return 0;
}

int pm_live_sample_room(const pm_live *live)
{
    _Atomic uint32_t *taken = &live->header->samples_taken[active_epoch(live)];

    return atomic_load_explicit(taken, memory_order_relaxed) < PM_SAMPLES_PER_TICK &&
           atomic_fetch_add_explicit(taken, 1, memory_order_relaxed) < PM_SAMPLES_PER_TICK;
}

int pm_live_note_room(const pm_live *live, uint32_t kind)
{
    _Atomic uint32_t *taken = &live->header->notes_taken[active_epoch(live)][kind];

    return atomic_load_explicit(taken, memory_order_relaxed) < PM_NOTES_PER_TICK &&
           atomic_fetch_add_explicit(taken, 1, memory_order_relaxed) < PM_NOTES_PER_TICK;
}

void pm_live_note_fill(pm_live_note *note, const pm_event *e)
{
    const char *data = e->data_len < sizeof(note->data) ? e->data : PM_DATA_CUT;

    memset(note, 0, sizeof(*note));
    note->at_us = e->at_us;
    note->type = e->type;
    note->severity = e->severity;
    note->pid = (uint32_t)getpid();
    memcpy(note->text, e->text, sizeof(note->text));
    memcpy(note->data, data, strlen(data));
}
