/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_live.h: the live region: shared memory that every httpd process counts in.
 *
 * A file in the runtime directory, "pmcapture-<capture id>-<run>.live", mode 0640, preallocated and mapped by
 * the parent before it forks. It outlives every process. Counters only go up; a second is the difference
 * between two snapshots of the recorder. What cannot be differenced (sketches, earliest arrivals) lies in
 * PM_EPOCHS slots (PM_SKETCH_EPOCHS) that the recorder rotates with every tick: writers use the one that is active;
 * a writer preempted at that very moment costs one entry of a sketch, or has it counted a tick or two later.
 *
 * Trust: workers may write anything into it. Geometry is therefore kept in each process's own pm_live, taken
 * when the region was made, or checked against the file's size when it is attached to; nothing read from the region is
 * used as an index or length without a check.
 *
 * Versions: PM_LIVE_LAYOUT changes with any struct below. The header page keeps its meaning in all
 * layouts and says where the counters lie (pm_live_directory), so that any version can drain the totals of any
 * other; all else is read from one's own layout only.
 *
 * Thread and process safety: everything marked _Atomic is shared; adds are relaxed. pm_live itself is read-only
 * after it was made.
 */
#ifndef PM_LIVE_H
#define PM_LIVE_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "pm_client_set.h"
#include "pm_detect.h"
#include "pm_error.h"
#include "pm_heavy.h"
#include "pm_hosts.h"
#include "pm_outcome.h"
#include "pm_record.h"
#include "pm_ring.h"

#ifndef PM_LIVE_LAYOUT
#define PM_LIVE_LAYOUT 5
#endif

#define PM_LIVE_MAGIC 0x314556494c4d50ull /* "PMLIVE1" */
#define PM_EPOCHS 4u
#define PM_SKETCH_EPOCHS 2u /* of sketches, which are large; slot: epoch % PM_SKETCH_EPOCHS */
#define PM_POOLS 16u        /* 0 is shared by the virtual hosts that have none of their own */
#define PM_VHOSTS_MAX 4096u /* index 0 is "(other)": virtual hosts beyond the room */
#define PM_SAMPLES_PER_TICK 64u
#define PM_NO_FLIGHT UINT32_MAX
#define PM_NOTES_PER_TICK 8u
#define PM_PROBES 256u /* connections of the recorder's own that httpd may still meet */
#define PM_DOORS 64u  /* listeners whose connections are counted apart, by their place in the handover + 1; 0: the others */
#define PM_NAMED 4096u /* requests in flight whose path is known; a newer one may take an older one's place */
enum { PM_NOTE_MOVED, PM_NOTE_LINE, PM_NOTES }; /* what workers may note, each so often */

/** Where the counters lie, in any layout. Offsets in bytes. */
typedef struct pm_live_directory {
    uint64_t stripes_offset, stripe_stride;
    uint32_t stripe_count;
    uint32_t status_offset, status_count; /* within a stripe, uint64_t each */
    uint32_t hist_offset, hist_count, hist_pools;
    uint32_t bytes_offset, max_offset;
    uint64_t children_offset; /* pm_child, same in all layouts */
    uint32_t children_count;
    uint32_t pad;
} pm_live_directory;

/** How much of everything. */
typedef struct pm_live_geometry {
    uint32_t stripes; /* powers of two */
    uint32_t vhost_stripes;
    uint32_t vhosts;  /* room, the "(other)" included */
    uint32_t flights; /* power of two */
    uint32_t children;
    uint32_t journal, samples; /* entries, powers of two */
    uint32_t pad;
} pm_live_geometry;

typedef struct pm_live_header {
    /* immutable, under `sum` */
    uint64_t magic;
    uint32_t layout, abi;
    uint64_t size;
    uint8_t capture_id[16];
    uint64_t run, created_us;
    uint64_t parent_start;
    uint32_t parent_pid, pad;
    char boot_id[40];
    uint8_t key[16]; /* of client hashes; leaves the machine's memory never */
    pm_live_directory directory;
    pm_live_geometry geometry;
    uint64_t sum; /* XXH3 of all above */
    /* shared, each on a line of its own */
    _Alignas(64) _Atomic uint32_t epoch;        /* number of the active one; its slot: % PM_EPOCHS */
    _Alignas(64) _Atomic uint64_t heartbeat_us; /* the recorder's last tick */
    _Alignas(64) _Atomic uint32_t samples_taken[PM_EPOCHS];
    _Atomic uint32_t notes_taken[PM_EPOCHS][PM_NOTES];
    _Alignas(64) _Atomic uint64_t flights_untracked;
    _Alignas(64) pm_ring_head journal;
    pm_ring_head samples;
    _Alignas(64) _Atomic uint32_t probing;  /* 1: some of the next are in use */
    _Atomic uint64_t probe[PM_PROBES]; /* pm_live_origin of what is not to be counted; 0 = none */
} pm_live_header;
_Static_assert(sizeof(pm_live_header) <= 4096, "the header is one page");

typedef struct pm_stripe {
    _Atomic uint64_t status[PM_STATUS_SLOTS];
    _Atomic uint64_t bytes;
    _Atomic uint64_t max_us;
#if PM_LIVE_LAYOUT > 5
    _Atomic uint64_t spare[33]; /* what a later version might add: the upgrade test builds it */
#endif
    _Alignas(64) _Atomic uint64_t hist[PM_POOLS][PM_HIST_BUCKETS];
} pm_stripe;

/** One virtual host's counters in one stripe. */
typedef struct pm_vhost_count {
    _Atomic uint64_t requests, errors, slow, refused, redirected;
} pm_vhost_count;

/** Connections of one listener in one stripe. What was accepted and is neither open nor brought a request was closed
 *  without one. */
typedef struct pm_door_count {
    _Atomic uint64_t accepted, brought; /* a request at least */
} pm_door_count;

typedef struct pm_vhost_epoch {
    _Atomic uint64_t first_error_us; /* earliest arrival among failures; 0 = none */
    _Atomic uint64_t first_slow_us;
    _Atomic uint64_t first_unserved_us; /* likewise among refusals and redirects */
    pm_shared_set clients[PM_OUTCOMES]; /* by what they met; health checkers left out */
    _Atomic uint32_t
        ok_clients[PM_OK_CLIENTS]; /* the first few that succeeded and are no health checkers */
} pm_vhost_epoch;

/** One virtual host: what only failures write, and who it is. */
typedef struct pm_vhost_live {
    pm_vhost_epoch epoch[PM_EPOCHS];
    _Atomic uint64_t last_error_us, last_slow_us, last_unserved_us;
    _Atomic uint32_t by_client[PM_CLIENT_BUCKETS]; /* failures by bucket of the client's hash */
    _Atomic uint32_t failing[PM_CLIENT_BUCKETS];   /* tag of the bucket's last failing client */
    _Atomic uint32_t by_code[PM_CODES];
    _Atomic uint32_t other_code; /* the last of the other 5xx */
    _Atomic uint32_t fails_too;  /* bits of enum pm_outcome that an open incident is about, besides PM_FAILED */
    _Atomic uint32_t pool;
    char name[PM_KEY];
    char defined[PM_KEY];
    _Atomic uint32_t incident; /* id of the newest one that is open and concerns it, 0 = none */
    uint32_t changed;          /* the configuration's generation that gave it this name and place … */
    char was_name[PM_KEY];     /* … and what they were before; "" = it is new */
    char was_defined[PM_KEY];
    uint32_t hands; /* the generation since which it may be another one: by name, or by its file */
    uint8_t pad[40];
} pm_vhost_live;
_Static_assert(sizeof(pm_vhost_live) % 64 == 0, "virtual hosts begin on cache lines");

typedef struct pm_pool_sketch {
    _Atomic uint8_t all[PM_SKETCH_SIZE];
    _Atomic uint8_t error[PM_SKETCH_SIZE];
} pm_pool_sketch;
_Static_assert(PM_EPOCHS % PM_SKETCH_EPOCHS == 0, "an epoch's slot tells that of its sketches");

/** A request in flight. */
typedef struct pm_flight {
    _Atomic uint64_t arrival_us; /* 0 = free */
    _Atomic uint32_t who;        /* child << 16 | vhost */
    _Atomic uint32_t state;      /* PM_FLIGHT_* */
} pm_flight;
/** What it is for: enough of the path as it came, without the query, to name what never ends. */
typedef struct pm_named {
    char path[28];
    uint32_t arrival; /* low half of arrival_us: whose it is */
} pm_named;
_Static_assert(sizeof(pm_named) == 32, "two on a cache line");
enum {
    PM_FLIGHT_WORKING, /* nobody but the server keeps the client waiting */
    PM_FLIGHT_SENDING, /* the client, or the network, takes its time */
    PM_FLIGHT_TUNNEL   /* CONNECT or an upgraded connection */
};

/** A process that counts. */
typedef struct pm_child {
    _Atomic uint32_t pid;   /* 0 = free */
    _Atomic uint32_t state; /* PM_CHILD_* */
    _Atomic uint64_t start; /* /proc/<pid>/stat field 22 */
    _Atomic uint32_t generation;
    _Atomic uint16_t signal; /* that ended the process that it had forked to serve, by its own word; 0 = none */
    _Atomic uint16_t of;     /* number + 1 of the one that forked it; PM_CHILD_FORKS: it has forked such; 0 = neither */
} pm_child;
_Static_assert(sizeof(pm_child) == 24, "the same in all layouts");
enum {
    PM_CHILD_ALIVE = 1,
    PM_CHILD_ENDED = 2, /* in order */
    PM_CHILD_EXITED = 3 /* by exit(), out of order */
};
#define PM_CHILD_FORKS UINT16_MAX
#define PM_NO_CHILD ((uint32_t)UINT16_MAX) /* no room: its requests in flight are not kept, for nobody would miss it */

/** A failing or slow request as a worker hands it over. */
typedef struct pm_live_sample {
    uint64_t at_us, latency_us;
    uint32_t status, flags, vhost, failure; /* enum pm_failure */
    char method[16];
    char uri[256];
    char host[96];
    char backend[128];
    char client[56];
    char request_id[40];
} pm_live_sample;

/** An event as any process hands it over. */
typedef struct pm_live_note {
    uint64_t at_us;
    uint32_t type, severity, pid, pad;
    char text[PM_EVENT_TEXT];
    char data[PM_DRAFT_DATA];
} pm_live_note;
/** Data that does not fit is left out whole. */
void pm_live_note_fill(pm_live_note *note, const pm_event *e);

typedef struct pm_live {
    pm_live_header *header; /* the mapping */
    uint64_t size;
    uint64_t run;
    uint32_t layout;
    uint32_t readonly;
    uint8_t key[16];
    uint8_t capture_id[16];
    uint32_t parent_pid, pad;
    uint64_t parent_start, created_us;
    uint64_t file_dev, file_ino; /* of the mapped file; 0 = not known */
    char boot_id[40];
    char path[512];
    pm_live_geometry geo;
    pm_live_directory dir;
    pm_stripe *stripes;           /* these are NULL for a region of another layout */
    pm_vhost_count *vhost_counts; /* [stripe][vhost] */
    pm_vhost_live *vhosts;
    pm_pool_sketch *sketches; /* [PM_SKETCH_EPOCHS][pool] */
    pm_flight *flights;
    pm_child *children;
    pm_ring journal, samples;
    pm_heavy *heavy;
    pm_hosts *hosts;
    pm_named *named;
    pm_door_count *doors; /* [vhost_stripe][PM_DOORS] */
} pm_live;

/** A hash of what comes from outside, keyed by the region: nobody can choose texts that collide. Never 0. */
uint64_t pm_live_hash(const pm_live *live, const void *text, size_t len);

/** Room for so many concurrent requests, processes and virtual hosts on so many cores. */
pm_live_geometry pm_live_plan(uint32_t cores, uint32_t workers, uint32_t processes,
                              uint32_t vhosts);
uint64_t pm_live_size(const pm_live_geometry *geo);

/** Make and map DIR/pmcapture-<id>-<run>.live. It must not exist. `group` < 0 leaves the group alone. */
apr_status_t pm_live_create(pm_live *live, const char *dir, const uint8_t capture_id[16],
                            uint64_t run, const pm_live_geometry *geo, long group, pm_error *err);
/** Map an existing region for reading (or for writing when `writable`), whatever its layout. Its file may be truncated
 *  meanwhile, and a touch is a SIGBUS then: for processes with a handler for that. `live` names the mapping before it is
 *  looked at. */
apr_status_t pm_live_attach(pm_live *live, const char *path, int writable, pm_error *err);
/** Take over a mapping that this process has already (kept across a reload), whatever its layout. */
apr_status_t pm_live_adopt(pm_live *live, void *base, uint64_t size, const char *path,
                           pm_error *err);
/** A copy of an existing region as it is now, for those who only look: whatever becomes of the file, it stays. */
apr_status_t pm_live_copy(pm_live *live, const char *path, pm_error *err);
void pm_live_detach(pm_live *live);
/** Is the file that is mapped still there, whole, and what it was? Else a sentence says what is lost. Where it cannot be
 *  seen, that is no answer. */
apr_status_t pm_live_verify(const pm_live *live, pm_error *err);

/** Paths of the regions of a capture in `dir`: calls `found` for each; order is not defined. */
void pm_live_find(const char *dir, const uint8_t capture_id[16],
                  void (*found)(void *ctx, const char *path, uint64_t run), void *ctx);

/** Is the run's parent alive, by pid and start time, on this boot? */
int pm_live_parent_alive(const pm_live *live);
/** Processes in the table that are alive; those that are not are given up (writable regions). `thorough` tells a
 *  reused pid by its start time. */
uint32_t pm_live_children_alive(pm_live *live, int thorough);

/** The sum of the stripes, in any layout. With pools != NULL also each pool's histogram (own layout). */
void pm_live_totals(const pm_live *live, pm_totals *out, uint64_t (*pools)[PM_HIST_BUCKETS]);

/** Kernel's start time of a process (clock ticks since boot), 0 when there is none. */
uint64_t pm_process_start(uint32_t pid);
/** Does the process of that start time live? One that is there and may not be looked at is taken for it. */
int pm_process_lives(uint32_t pid, uint64_t start);
/** A process's parent, 0 when there is none. */
uint32_t pm_process_parent(uint32_t pid);
/** Inode of this process's pid namespace, 0 when unknown. */
uint64_t pm_pid_namespace(void);
/** Likewise of its network. */
uint64_t pm_network_namespace(void);
/** This boot's id, "" when unknown. */
void pm_boot_id(char out[40]);

/* ---- the hot path ---- */

/** A worker thread's stripe from any number that differs between threads. */
static inline uint32_t pm_live_stripe(const pm_live *live, uint64_t thread)
{
    return (uint32_t)((thread * 0x9e3779b97f4a7c15ull) >> 40) & (live->geo.stripes - 1);
}

/** Number of the epoch that counts now. */
static inline uint32_t pm_live_epoch(const pm_live *live)
{
    return atomic_load_explicit(&live->header->epoch, memory_order_acquire);
}

static inline uint32_t pm_flight_who(uint32_t child, uint32_t vhost)
{
    return child << 16 | (vhost & 0xffff);
}

/** Take a slot that is free. */
static inline int pm_flight_take(pm_flight *f, uint64_t arrival_us, uint32_t who)
{
    uint64_t none = 0;

    if (atomic_load_explicit(&f->arrival_us, memory_order_relaxed) != 0 ||
        !atomic_compare_exchange_strong_explicit(&f->arrival_us, &none, arrival_us,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        return 0;
    }
    atomic_store_explicit(&f->state, PM_FLIGHT_WORKING, memory_order_relaxed);
    atomic_store_explicit(&f->who, who, memory_order_relaxed);
    return 1;
}

static inline void pm_flight_leave(pm_flight *f, uint64_t arrival_us)
{
    /* Only our own: the recorder may have taken the slot from a process it believed dead. */
    atomic_compare_exchange_strong_explicit(&f->arrival_us, &arrival_us, 0, memory_order_relaxed,
                                            memory_order_relaxed);
}

/** A request arrived: remembers it, in slot `hint` or one that follows, until pm_live_left. PM_NO_FLIGHT when there is
 *  no room. */
uint32_t pm_live_arrived(const pm_live *live, uint32_t hint, uint64_t arrival_us, uint32_t child,
                         uint32_t vhost);
void pm_live_left(const pm_live *live, uint32_t flight, uint64_t arrival_us);
/** A process has died: its requests are in flight no more. */
void pm_live_abandon(const pm_live *live, uint32_t child);

static inline void pm_live_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/** Raise a time or a maximum. */
void pm_live_latest(_Atomic uint64_t *slot, uint64_t at);

/** Where a stripe has its counters. */
static inline pm_stripe *pm_live_stripe_at(const pm_live *live, uint32_t stripe)
{
    return &live->stripes[stripe & (live->geo.stripes - 1)];
}

static inline pm_vhost_count *pm_live_vhost_counts(const pm_live *live, uint32_t stripe)
{
    return &live->vhost_counts[(stripe & (live->geo.vhost_stripes - 1)) * live->geo.vhosts];
}

static inline pm_door_count *pm_live_doors(const pm_live *live, uint32_t stripe)
{
    return &live->doors[(stripe & (live->geo.vhost_stripes - 1)) * PM_DOORS];
}

/** A connection's origin, as it stands in probe[]: never 0. `address` has 16 bytes, as a pm_listener's. */
uint64_t pm_live_origin(const pm_live *live, const uint8_t address[16], uint16_t port);
/** Is this connection a probe? That takes its mark: a connection is met once, and a client may have its port later. */
int pm_live_is_probe(const pm_live *live, const uint8_t address[16], uint16_t port);

static inline uint32_t pm_live_pool(const pm_live *live, uint32_t vhost)
{
    return atomic_load_explicit(&live->vhosts[vhost].pool, memory_order_relaxed) & (PM_POOLS - 1);
}

static inline pm_pool_sketch *pm_live_sketch(const pm_live *live, uint32_t epoch, uint32_t pool)
{
    return &live->sketches[epoch % PM_SKETCH_EPOCHS * PM_POOLS + pool];
}

/** Count a request of which nothing else is to be said: good, quick, not the longest so far (max_us of the stripe), and
 *  its client is counted already in this epoch and virtual host. `hist` and `count` are the virtual host's in the
 *  stripe `to`. Inline, because most requests are like that. */
static inline void pm_live_count_usual(pm_stripe *to, _Atomic uint64_t *hist, pm_vhost_count *count,
                                       uint32_t status, uint64_t bytes, uint64_t us)
{
    uint32_t slot = status - 100;

    pm_live_add(&hist[pm_hist_bucket(us)], 1);
    pm_live_add(&to->bytes, bytes);
    pm_live_add(&count->requests, 1);
    /* Last: whoever sees this one sees the others. */
    slot = slot < PM_STATUS_SLOTS - 1 ? slot : PM_STATUS_SLOTS - 1;
    atomic_fetch_add_explicit(&to->status[slot], 1, memory_order_release);
}

/** Where the name of what is in a slot goes. */
static inline pm_named *pm_live_named(const pm_live *live, const pm_flight *flight)
{
    return &live->named[(uint32_t)(flight - live->flights) & (PM_NAMED - 1)];
}

/** What a request in flight is for, should it never end: any text. */
void pm_live_name_text(pm_named *named, uint64_t arrival_us, const char *path);

/** Likewise. By words: memory from a pool begins on one and ends with one, so that no word of a text is another's,
 *  and what lies behind its end is left out of the last. */
static inline void pm_live_name(pm_named *named, uint64_t arrival_us, const char *path)
{
    const uint64_t ones = 0x0101010101010101ull;

    if ((uintptr_t)path % 8 != 0) {
        pm_live_name_text(named, arrival_us, path);
        return;
    }
    named->arrival = (uint32_t)arrival_us;
    for (uint32_t i = 0; i < sizeof(named->path) / 8; i++) {
        uint64_t word, ends;

        memcpy(&word, path + 8 * i, 8);
        ends = (word - ones) & ~word & ones << 7; /* its lowest bit is the first NUL's highest */
        if (ends != 0) {
            word &= ((ends & -ends) >> 7) - 1;
            memcpy(named->path + 8 * i, &word, 8);
            return;
        }
        memcpy(named->path + 8 * i, &word, 8);
    }
    named->path[sizeof(named->path) / 8 * 8] = '\0';
}

/** Does an answer of this outcome count as a failure: a 5xx, or what an open incident of its virtual host is about? */
static inline int pm_live_fails(const pm_vhost_live *vh, enum pm_outcome outcome)
{
    return outcome == PM_FAILED ||
           (atomic_load_explicit(&vh->fails_too, memory_order_relaxed) >> outcome & 1) != 0;
}

/** What is counted of a completed request. */
typedef struct pm_completed {
    uint64_t arrival_us, done_us;
    uint64_t bytes;
    uint64_t client; /* keyed hash; 0 = not counted */
    uint32_t status; /* the final one */
    uint32_t vhost;
    uint32_t stripe;
    uint32_t slow;    /* longer than the threshold, and the client is not to blame */
    uint32_t monitor; /* from a health checker: what it meets proves nothing */
    uint32_t pad;
} pm_completed;
void pm_live_count(const pm_live *live, const pm_completed *done);
/** 1 when the client's success would still tell something in this epoch: then it is worth looking whether
 *  it is a health checker. */
int pm_live_wants_client(const pm_live *live, uint32_t vhost, uint64_t client);
/** 1 when another sample may be handed over in this tick. */
int pm_live_sample_room(const pm_live *live);
/** 1 when a worker may note another PM_NOTE_* in this tick. */
int pm_live_note_room(const pm_live *live, uint32_t kind);

#endif
