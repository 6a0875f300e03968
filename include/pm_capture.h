/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_capture.h: the capture file: durable history in a file of fixed size.
 *
 * Layout (little-endian, offsets from the start of the file, each area aligned to 4096; 63 MiB by default):
 *   header        4096 bytes at 0, and the same again at 4096; the first valid one counts. Immutable after
 *                 creation: magic, version, ABI word, capture id, creation time, geometry, checksum.
 *   tail          a hint where the event rings end, and the highest seq; see capture_event.c
 *   checkpoint    two areas written in turn: server, totals, what of each run's live region is already in the
 *                 totals, next ids. The newest valid one counts. Packed: an idle second writes 1-2 KiB.
 *   seconds       ring of rows, slot = tick % count
 *   pin index     which time each incident's two pinned parts cover
 *   minutes       ring of rows, slot = minute number (at_us / 60 s) % count
 *   events        ring of 1 KiB blocks; an event takes as many as it needs. Two rings: "core" (configuration,
 *                 server, incident, host, dependency, note) and "flood" (error_log, crashes, exhausted workers,
 *                 moved routes, files, silence, clock), so that a flood of the latter cannot push out the former.
 *   incidents     slots of one pm_incident and its samples, slot = id % count; two copies written in turn
 *   pinned        for each incident slot, rows of 2 minutes before and after onset and end (4 x 120)
 * Every record carries a magic, a sequence number and an XXH3 checksum, seeded with the capture's id and the
 * record's offset, over what it holds; a reader skips what does not verify and counts it. With no PMCaptureFile
 * the same format with PM_RETENTION_MEMORY lies in the runtime directory.
 *
 * Beside it lies a lock file, CAPTURE.lock, empty and its owner's alone. Workers can read the capture file, and who can
 * read a file can put a read lock on it, which would keep its writers waiting for ever: they order themselves by the
 * lock file, and on the capture file itself give way to write locks only.
 * Writing is by pwrite through a descriptor; the file is never mapped. One process writes at a time:
 * pm_capture_lock() is a POSIX record lock on the first byte (a process that closes any descriptor of the file loses it, so
 * a writer opens the file once). Reading needs no lock and trusts nothing: sizes come from the verified
 * header alone; every count and length is checked again.
 * What is written in turn survives a power cut if pm_capture_sync comes between two writes of it: write a
 * checkpoint, and each incident, at most once between two syncs.
 * None of this is thread-safe on one handle; use a handle for each thread.
 */
#ifndef PM_CAPTURE_H
#define PM_CAPTURE_H

#include <stddef.h>

#include <apr_pools.h>

#include "pm_error.h"
#include "pm_record.h"

#define PM_CAPTURE_VERSION 4u
#define PM_PINNED_ROWS 480u        /* 120 before and after the onset, 120 before and after the end */
#define PM_PIN_SECONDS 120u
#define PM_LOCK_SUFFIX ".lock"
#define PM_RUNS 8                  /* live regions that may be unfolded at one time */

/* What a capture file may be made with. PMCaptureRetention accepts no more than PM_RETAIN_*. */
#define PM_SECONDS_MIN 60u
#define PM_SECONDS_MAX 2678400u    /* 31 days */
#define PM_MINUTES_MIN 60u
#define PM_MINUTES_MAX 1054080u    /* two years */
#define PM_INCIDENTS_MIN 1u
#define PM_INCIDENTS_MAX 65536u
#define PM_EVENTS_MIN 64u
#define PM_EVENTS_MAX 1048576u
#define PM_RETAIN_SECONDS 86400u       /* a day */
#define PM_RETAIN_MINUTES (400u * 1440u) /* 400 days */

typedef struct pm_retention {
    uint64_t seconds;              /* rows of a second */
    uint64_t minutes;              /* rows of a minute */
    uint32_t incidents;
    uint32_t events;               /* 1 KiB blocks over both event rings; core gets 3/4 */
    uint32_t samples;              /* room per incident */
    uint32_t pad;
} pm_retention;
/* PMCaptureRetention's default and limits; what is kept in memory without a PMCaptureFile. */
#define PM_RETENTION_DEFAULT ((pm_retention){7200, 10080, 256, 8192, 32, 0})
#define PM_RETENTION_MEMORY ((pm_retention){300, 60, 16, 256, 32, 0})

/** What of a run's live region is already counted in the totals. */
typedef struct pm_consumed {
    uint64_t run;                  /* 0 = unused */
    pm_totals totals;
} pm_consumed;

/** The state at a tick. `totals` include all of `consumed`. */
typedef struct pm_checkpoint {
    uint64_t tick;
    uint64_t next_incident;        /* next id */
    uint64_t last_event;           /* last seq that this tick saw */
    uint64_t events_lost;          /* journal entries torn or overrun */
    uint64_t incidents_by_kind[PM_KIND_ROOM]; /* opened since the file was made */
    pm_server server;
    pm_totals totals;
    pm_consumed consumed[PM_RUNS];
} pm_checkpoint;
_Static_assert(sizeof(pm_checkpoint) == 32 + 8 * PM_KIND_ROOM + sizeof(pm_server) + sizeof(pm_totals) + PM_RUNS * (8 + sizeof(pm_totals)),
               "pm_checkpoint is stored on disk");

typedef struct pm_capture pm_capture;

/** Size in bytes of a file with this retention. */
uint64_t pm_capture_size(const pm_retention *keep);

/** Open `path` for writing, creating it (mode 0640, O_EXCL, preallocated, header last) if it is absent, of zero
 *  length, or was left unfinished by a start that was killed. Refused, with a sentence: a symbolic link,
 *  anything but a regular file, a file owned by another user than the effective one, sizes out of range, no room,
 *  a file whose lock another process keeps for longer than 5 s, a file that never was a capture file (PMCaptureFile
 *  names something else by mistake: it is left alone). A capture file with a damaged header, one blanked or
 *  overwritten in its whole length, of another version or ABI is renamed to PATH.old-N (first free N), kept, and said
 *  in *notice (else ""). With only the
 *  sizes changed, id, totals, next ids and, up to the new sizes, history are copied into a new file and the old
 *  one is kept as PATH.old-N; when that fails, the old sizes stay in use (said in *notice;
 *  pm_capture_retention() tells). A truncated file is extended again (said too).
 *  The descriptor is O_CLOEXEC. The handle lives in `pool`, but the pool does not close it: a cleanup would point
 *  into a module that may be unloaded before the pool goes. */
apr_status_t pm_capture_create(pm_capture **out, const char *path, const pm_retention *keep, apr_pool_t *pool,
                               char notice[512], pm_error *err);

/** Open for reading only: O_NOFOLLOW is not set (a person's own link is fine), but O_NONBLOCK is, and
 *  anything that is not a regular file, is too short to hold a header, or whose two headers are both
 *  damaged, of a newer version, or of another ABI is an error that says which. A shorter file than its
 *  header promises is read as far as it goes. */
apr_status_t pm_capture_open(pm_capture **out, const char *path, apr_pool_t *pool, pm_error *err);

/** Open a file that is there to append events to it. Nothing is created, renamed or mended. Refused as by
 *  pm_capture_open, and a symbolic link, and another user's file (unless the caller is root). */
apr_status_t pm_capture_open_append(pm_capture **out, const char *path, apr_pool_t *pool, pm_error *err);
/** Lock (2 s at most), pm_capture_put_event, sync, unlock. */
apr_status_t pm_capture_append(pm_capture *c, pm_event *event, pm_error *err);

/** As pm_capture_open, through a descriptor that the caller goes on owning (only pread and fstat are used). */
apr_status_t pm_capture_open_fd(pm_capture **out, int fd, const char *path, apr_pool_t *pool, pm_error *err);

/** Take over the descriptors of a handle that another process has made: for writing, of which that one has seen to it that
 *  it may. They become the handle's, or are closed. `lock_fd` -1 = none. */
apr_status_t pm_capture_adopt(pm_capture **out, int fd, int lock_fd, const char *path, apr_pool_t *pool, pm_error *err);

void pm_capture_close(pm_capture *c);
int pm_capture_fd(const pm_capture *c);
int pm_capture_lock_fd(const pm_capture *c);                /* -1 = none */

const char *pm_capture_path(const pm_capture *c);
const uint8_t *pm_capture_id(const pm_capture *c);          /* 16 bytes */
const char *pm_capture_id_text(const pm_capture *c);        /* 32 hex digits */
uint64_t pm_capture_created(const pm_capture *c);
const pm_retention *pm_capture_retention(const pm_capture *c);

/** Take the writers' lock, waiting at most `wait_us` (polling); APR_EAGAIN when another process has it. */
apr_status_t pm_capture_lock(pm_capture *c, uint64_t wait_us);
void pm_capture_unlock(pm_capture *c);
/** Look at every block for the true end of both rings of events, and note it, waiting at most `wait_us` for the lock. After
 *  a power cut: then what is noted may be older than the blocks by more than a writer mends. It reads 8 MiB. */
apr_status_t pm_capture_find_tail(pm_capture *c, uint64_t wait_us);

/** The file as it should be? Checks that its size and headers are still the ones of the handle (a truncated
 *  file is extended again and its headers are rewritten; the error still says so, once), and that the
 *  descriptor still has its name (deleted, moved or replaced: APR_ENOENT, each time). Needs no permission on the
 *  directory. Writers only. */
apr_status_t pm_capture_verify(pm_capture *c, pm_error *err);

/* ---- writing; the caller holds the lock. An I/O error comes back as its errno. ---- */

apr_status_t pm_capture_put_checkpoint(pm_capture *c, const pm_checkpoint *cp);
apr_status_t pm_capture_put_second(pm_capture *c, const pm_row *row);
apr_status_t pm_capture_put_minute(pm_capture *c, const pm_row *row);
/** Assigns event->seq (one more than the highest in the file), picks the ring by type, cuts nothing:
 *  data longer than PM_EVENT_DATA or than a quarter of its ring is replaced by {"truncated":true}. */
apr_status_t pm_capture_put_event(pm_capture *c, pm_event *event);
/** Write an incident's slot; `samples` has incident->sample_count elements (at most retention->samples). */
apr_status_t pm_capture_put_incident(pm_capture *c, const pm_incident *incident, const pm_sample *samples);
/** Copy the second rows with at_us in [from_us, to_us) into the incident's pinned rows, part 0 (around the
 *  onset) or 1 (around the end): at most 240 rows each, the newest ones. Only what is not there yet is written, so it
 *  may be called every second; rows pinned earlier stay until newer ones of the same part displace them, and
 *  all of them until another incident takes the slot. Put the incident first. */
apr_status_t pm_capture_pin(pm_capture *c, uint64_t incident_id, int part, uint64_t from_us, uint64_t to_us);
apr_status_t pm_capture_sync(pm_capture *c);                /* fdatasync */

/* ---- reading; results live in `pool`. Damaged records are skipped and counted. ---- */

/** The newest valid checkpoint; APR_NOTFOUND when there is none yet (then *cp is all zero). */
apr_status_t pm_capture_checkpoint(pm_capture *c, pm_checkpoint *cp);
/** Its server alone: a small part of it. */
apr_status_t pm_capture_server(pm_capture *c, pm_server *server);

/** Rows with from_us <= at_us < to_us, in order of at_us, seconds (the ring and the pinned ones, each tick
 *  once) or minutes. */
apr_status_t pm_capture_seconds(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_row **rows, size_t *count,
                                apr_pool_t *pool);
apr_status_t pm_capture_minutes(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_row **rows, size_t *count,
                                apr_pool_t *pool);
/** The rows of the last `most` ticks up to `tick`, in order of at_us, without looking at the others. */
apr_status_t pm_capture_latest_seconds(pm_capture *c, uint64_t tick, uint64_t most, pm_row **rows, size_t *count,
                                       apr_pool_t *pool);
/** The rows of the last `most` ticks up to `tick`; besides, of the pinned rows, each part that reaches beyond from_us
 *  and the newest of the others. In order of at_us, each tick once. */
apr_status_t pm_capture_seconds_around(pm_capture *c, uint64_t tick, uint64_t most, uint64_t from_us,
                                       pm_row **rows, size_t *count, apr_pool_t *pool);
/** at_us of the oldest second that the ring still holds at `tick`, 0 when it holds none. */
uint64_t pm_capture_oldest_second(pm_capture *c, uint64_t tick);
/** From when on no event has been pushed out by newer ones; 0 = none ever was, UINT64_MAX = nothing sound is left. */
uint64_t pm_capture_events_since(pm_capture *c);
/** Events with from_us <= at_us < to_us, in order of at_us, then seq. */
apr_status_t pm_capture_events(pm_capture *c, uint64_t from_us, uint64_t to_us, pm_event **events, size_t *count,
                               apr_pool_t *pool);
/** Events with a higher number than `seq`, in order of at_us, then seq. Reads back from the end of the rings to the
 *  first that is not newer, so it costs what came since, however many are kept. */
apr_status_t pm_capture_events_after(pm_capture *c, uint64_t seq, pm_event **events, size_t *count,
                                     apr_pool_t *pool);
/** The oldest event, those since from_us, the last `most`, and those of the types in `ever` (PM_EVENT_BIT) whatever their
 *  time; in order of at_us, then seq. What is none of these is not checked, so damage in it is not counted. */
apr_status_t pm_capture_events_around(pm_capture *c, uint64_t from_us, uint64_t ever, size_t most,
                                      pm_event **events, size_t *count, apr_pool_t *pool);
/** The last `most` events, in order of at_us, then seq, without looking at the others. */
apr_status_t pm_capture_latest_events(pm_capture *c, size_t most, pm_event **events, size_t *count,
                                      apr_pool_t *pool);
/** All incidents, oldest first. Strings terminated and clean, enums in range, counts clamped. Samples apart. */
apr_status_t pm_capture_incidents(pm_capture *c, pm_incident ***incidents, size_t *count, apr_pool_t *pool);
/** As much of each as `choose` says, which is shown its figures: what stands before by_vhost, a thirtieth of it. Of
 *  PM_PART_FIGURES, too, only that may be looked at: the rest has no memory. */
#define PM_INCIDENT_FIGURES offsetof(pm_incident, by_vhost)
enum pm_part { PM_PART_NONE, PM_PART_FIGURES, PM_PART_WHOLE };
typedef enum pm_part (*pm_choose)(void *ctx, const pm_incident *figures);
apr_status_t pm_capture_incidents_of(pm_capture *c, pm_choose choose, void *ctx, pm_incident ***incidents,
                                     size_t *count, apr_pool_t *pool);
apr_status_t pm_capture_samples(pm_capture *c, const pm_incident *incident, pm_sample **samples, size_t *count,
                                apr_pool_t *pool);
/** Highest event seq in the file (0 = none). */
uint64_t pm_capture_last_event(pm_capture *c);

/** What reading has skipped so far: records that did not verify, and bytes that the file is short of. */
typedef struct pm_damage {
    uint64_t records;
    uint64_t missing_bytes;
} pm_damage;
pm_damage pm_capture_damage(const pm_capture *c);

#endif
