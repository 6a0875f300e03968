/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * capture_private.h: what the capture*.c files share: the file's layout, the sealed record, the handle.
 */
#ifndef CAPTURE_PRIVATE_H
#define CAPTURE_PRIVATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <apr_tables.h>

#include "pm_capture.h"

#define PM_HEADERS 2
#define PM_HEADER_STRIDE 4096u
#define PM_TIME_LAST 253402300799000000ull /* 9999-12-31: RFC 3339 has no later one */
#define PM_POSITION_LAST (1ull << 56)      /* of seqs and block positions: far from overflow */

/** The header says MAKING until everything behind it is in place: a start that was killed half-way
 *  leaves that, and the next one begins anew. */
enum pm_header_state { PM_MAKING = 1, PM_READY = 2 };

typedef struct pm_header {
    char magic[8];       /* PM_MAGIC */
    uint32_t byte_order; /* PM_BYTE_ORDER as the writing machine stores it */
    uint32_t version;
    uint64_t abi; /* hash over the sizes of all that is stored */
    uint8_t id[16];
    uint64_t created_us;
    pm_retention keep;
    uint64_t size; /* of the whole file */
    uint32_t state;
    uint32_t pad;
    uint64_t reserved[3];
    uint64_t check; /* XXH3 over all before it */
} pm_header;
_Static_assert(sizeof(pm_header) == 128, "pm_header is stored on disk");

/* As PNG's: a transfer that takes the file for text breaks the line ends, and is found out. */
#define PM_MAGIC "PMCAP\r\n\x1a"
#define PM_BYTE_ORDER 0x01020304u

/** In front of everything else that is stored. The checksum is seeded with the capture's id and the
 *  record's offset: a record of another capture, or from another place, does not verify. */
typedef struct pm_head {
    uint64_t check; /* XXH3 over the rest of the head and `length` bytes behind it */
    uint32_t magic;
    uint32_t length;
    uint64_t seq; /* what it means is each record's own */
} pm_head;
_Static_assert(sizeof(pm_head) == 24, "pm_head is stored on disk");

#define PM_MAGIC_TAIL 0x4c494154u       /* "TAIL" */
#define PM_MAGIC_CHECKPOINT 0x4b434843u /* "CHCK" */
#define PM_MAGIC_SECOND 0x444e4f43u     /* "COND" */
#define PM_MAGIC_MINUTE 0x554e494du     /* "MINU" */
#define PM_MAGIC_PINNED 0x4e4e4950u     /* "PINN" */
#define PM_MAGIC_PIN 0x58444950u        /* "PIDX" */
#define PM_MAGIC_EVENT 0x4e455645u      /* "EVEN" */
#define PM_MAGIC_INCIDENT 0x49434e49u   /* "INCI" */
#define PM_MAGIC_SAMPLES 0x504d4153u    /* "SAMP" */

/** seq = tick in the seconds ring, minute number in the minutes ring, incident id when pinned. */
typedef struct pm_row_record {
    pm_head head;
    pm_row row;
} pm_row_record;
_Static_assert(sizeof(pm_row_record) == 176, "pm_row_record is stored on disk");

/** Which time an incident's pinned part covers; seq = incident id. */
typedef struct pm_pin {
    pm_head head;
    uint64_t from_us, to_us; /* [from, to) */
    uint64_t reserved[3];
} pm_pin;
_Static_assert(sizeof(pm_pin) == 64, "pm_pin is stored on disk");
#define PM_PIN_PARTS 2u
#define PM_PIN_ROWS (PM_PINNED_ROWS / PM_PIN_PARTS) /* slot within a part = tick % PM_PIN_ROWS */

enum pm_ring { PM_RING_CORE, PM_RING_FLOOD, PM_RINGS };

/** Where the event rings end; seq = highest event seq. Written after each event; a hint only: what
 *  stands behind it is looked at, and if it does not verify, the rings are scanned. */
typedef struct pm_tail {
    pm_head head;
    uint64_t next[PM_RINGS]; /* position (ever-growing block number) of the next block */
} pm_tail;
_Static_assert(sizeof(pm_tail) == 40, "pm_tail is stored on disk");

#define PM_BLOCK 1024u
/** A block of an event; head.seq = event seq. */
typedef struct pm_block {
    pm_head head;
    uint64_t position; /* of this block; slot = position % blocks of the ring */
    uint16_t index, blocks;
    uint32_t pad;
    uint8_t payload[PM_BLOCK - sizeof(pm_head) - 16];
} pm_block;
_Static_assert(sizeof(pm_block) == PM_BLOCK, "pm_block is stored on disk");
#define PM_BLOCK_META (offsetof(pm_block, payload) - sizeof(pm_head))
#define PM_BLOCK_PAYLOAD (PM_BLOCK - offsetof(pm_block, payload))

/** An event's payload: this, then the text, then the data. */
typedef struct pm_event_body {
    uint64_t at_us, run;
    uint32_t type, severity;
    uint32_t text_len, data_len;
} pm_event_body;
_Static_assert(sizeof(pm_event_body) == 32, "pm_event_body is stored on disk");
#define PM_EVENT_PAYLOAD (sizeof(pm_event_body) + PM_EVENT_TEXT + PM_EVENT_DATA)
#define PM_EVENT_BLOCKS ((PM_EVENT_PAYLOAD + PM_BLOCK_PAYLOAD - 1) / PM_BLOCK_PAYLOAD)

/** Behind the head of an incident's record and of its samples'; head.seq = write number. */
typedef struct pm_incident_meta {
    uint64_t id;
    uint32_t samples;
    uint32_t pad;
} pm_incident_meta;

/** Offsets of the areas; see pm_capture.h. */
typedef struct pm_layout {
    uint64_t tail, checkpoint[2], seconds, pin_index, minutes, events[PM_RINGS], incidents, pinned,
        size;
    uint64_t checkpoint_room; /* of one area */
    uint64_t incident_room;   /* of an incident's record; its samples follow */
    uint64_t copy_room;       /* of one copy of both; a slot has two */
    uint32_t blocks[PM_RINGS];
} pm_layout;

enum pm_area {
    PM_AREA_TAIL,
    PM_AREA_CHECKPOINT,
    PM_AREA_SECONDS,
    PM_AREA_MINUTES,
    PM_AREA_PINNED,
    PM_AREA_EVENTS,
    PM_AREA_INCIDENTS,
    PM_AREA_SAMPLES,
    PM_AREAS
};

#define PM_SCRATCH (PM_BLOCK * 256u)

struct pm_capture {
    apr_pool_t *pool;
    const char *path;
    const char *real_path; /* the kernel's name for it when it was opened; NULL when not known */
    int fd;
    int lock_fd; /* the lock file's; -1 = none: the locks are on the file itself */
    int owns_fd;
    int writable;
    int locked;
    uint64_t seed;
    pm_header header;
    pm_layout layout;
    char id_text[33];
    int tail_known; /* the fields below are those of the file, while it is locked */
    uint64_t last_event;
    uint64_t next[PM_RINGS];
    uint8_t *scratch;          /* PM_SCRATCH, or an incident's copy when that is more */
    uint8_t *event;            /* PM_EVENT_BLOCKS blocks */
    uint64_t damage[PM_AREAS]; /* the most that one pass over the area met */
    uint32_t failures;         /* damaged records in this pass */
    uint64_t unread;           /* bytes that the device did not give */
};

/* ---- capture_record.c ---- */

/** Read `len` bytes at `offset`; what the file does not hold comes as zeros. */
void pm_cap_read(pm_capture *c, uint64_t offset, void *into, size_t len);
apr_status_t pm_cap_write(const pm_capture *c, uint64_t offset, const void *from, size_t len);

/** Fill in the head of a record that will stand at `offset`, with `length` bytes behind its head. */
void pm_cap_seal(const pm_capture *c, uint64_t offset, void *record, uint32_t magic, size_t length,
                 uint64_t seq);
/** 1 when the record that was read from `offset` into `room` bytes is what was written there. */
int pm_cap_sound(const pm_capture *c, uint64_t offset, const void *record, size_t room,
                 uint32_t magic);

enum pm_found { PM_DAMAGED = -1, PM_EMPTY = 0, PM_SOUND = 1 };
/** Read the record at `offset`, again when a writer was at it. Reads no more of `room` than it needs. */
enum pm_found pm_cap_load(pm_capture *c, uint64_t offset, void *into, size_t room, uint32_t magic);
/** As pm_cap_load, of a record that is likely to be so long: then it takes one reading. */
enum pm_found pm_cap_load_of(pm_capture *c, uint64_t offset, void *into, size_t room,
                             uint32_t magic, size_t likely);
/** May what does not verify be a writer's unfinished work? (pread and pwrite of the same bytes are not atomic to
 *  each other.) Asked before each reading, with the number of those before it: when it is 0 and this reading fails
 *  too, the record is damaged. Waits a little for the writer. */
int pm_cap_busy(pm_capture *c, int tries);
/** A record that was read as part of many: sound as it is, or after reading it again. */
enum pm_found pm_cap_settle(pm_capture *c, uint64_t offset, void *record, size_t room,
                            uint32_t magic);

/** Words (8 bytes) with the zeros left out, for structs that are mostly empty. `room` of at least
 *  bytes + PM_PACK_EXTRA always suffices. Returns the length. */
#define PM_PACK_EXTRA 16u
size_t pm_cap_pack(uint8_t *out, const void *words, size_t bytes);
/** 1 when `in` was exactly such a sequence of at most `bytes`. */
int pm_cap_unpack(void *words, size_t bytes, const uint8_t *in, size_t len);
/** As pm_cap_unpack, but only the first `wanted` bytes are there to be filled. */
int pm_cap_unpack_first(void *words, size_t wanted, size_t bytes, const uint8_t *in, size_t len);

/** Ends a pass over an area that met so many damaged records. */
void pm_cap_note_damage(pm_capture *c, enum pm_area area, uint64_t records);

/** Of two places that are written in turn: which one (0, 1) says that it is the newer, and what stands at the head
 *  of each (not verified). */
int pm_cap_newer(pm_capture *c, uint64_t first, uint64_t second, uint32_t magic, pm_head heads[2]);

/* ---- capture.c ---- */

pm_layout pm_cap_layout(const pm_retention *keep);
/** Why not, as a sentence in err. */
apr_status_t pm_cap_check_retention(const pm_retention *keep, pm_error *err);
/** What is behind the descriptor? APR_SUCCESS fills *header. */
apr_status_t pm_cap_read_header(int fd, const char *path, pm_header *header, pm_error *err);
void pm_cap_fill_header(pm_header *header, const pm_retention *keep, const uint8_t id[16],
                        uint64_t created_us, enum pm_header_state state);
apr_status_t pm_cap_write_header(int fd, const pm_header *header);
/** Is each copy of the file's header this one? */
int pm_cap_headers_are(int fd, const pm_header *header);
/** The writers' lock on a descriptor, waiting at most `wait_us`; APR_EAGAIN. */
apr_status_t pm_cap_lock(int fd, uint64_t wait_us);
/** Does another process have it? */
int pm_cap_locked(int fd);
/** Does another handle of this process? The kernel tells a process nothing of its own locks. */
int pm_cap_written_here(const pm_capture *c);
/** For a handle that writes. Without a lock file there is still the file itself. */
void pm_cap_open_lock(pm_capture *c, int make);
/** 0 or the errno; room for the whole file. */
int pm_cap_allocate(int fd, uint64_t size);
pm_capture *pm_cap_handle(int fd, const char *path, const pm_header *header, apr_pool_t *pool);
/** The kernel's name for a descriptor; NULL without /proc. */
const char *pm_cap_real_path(int fd, apr_pool_t *pool);
/** A regular file? Else which of the others, in a sentence. */
apr_status_t pm_cap_check_kind(int fd, const char *path, struct stat *st, pm_error *err);

/* ---- capture_event.c ---- */

/** Write event->seq as it is. */
apr_status_t pm_cap_write_event(pm_capture *c, const pm_event *event);
/** Where no end of the rings is noted, look for it and note it. */
apr_status_t pm_cap_need_tail(pm_capture *c);

/* ---- capture_write.c ---- */

/** Pin these rows (they are sorted in place). */
apr_status_t pm_cap_put_pinned(pm_capture *c, uint64_t id, int part, pm_row *rows, size_t count);

/* ---- capture_migrate.c ---- */

/** Copy into the new, empty `to` what `from` holds, up to the sizes of `to`. */
apr_status_t pm_cap_migrate(pm_capture *to, pm_capture *from);

/* ---- capture_read.c ---- */

int pm_cap_compare_rows(const void *a, const void *b);
/** Rows of a ring alone (or, with owner, of an incident's part) in [from_us, to_us) are pushed to `rows`;
 *  returns the number of damaged ones. */
uint64_t pm_cap_collect(pm_capture *c, uint64_t offset, uint64_t count, uint32_t magic,
                        uint64_t owner, uint64_t from_us, uint64_t to_us, apr_array_header_t *rows);
uint64_t pm_cap_copy_offset(const pm_capture *c, uint64_t id, int copy);
uint64_t pm_cap_pin_offset(const pm_capture *c, uint64_t slot, uint32_t part);
uint64_t pm_cap_pinned_offset(const pm_capture *c, uint64_t slot, uint32_t part);

/* ---- capture_clean.c: what was read, made safe to use ---- */

int pm_cap_sane_row(pm_row *row); /* 0: not to be shown */
void pm_cap_clean_string(char *s, size_t size);
void pm_cap_clean_server(pm_server *server);
/** What stands before by_vhost, and all of it. */
void pm_cap_clean_figures(pm_incident *incident, uint32_t sample_room);
void pm_cap_clean_incident(pm_incident *incident, uint32_t sample_room);
void pm_cap_clean_sample(pm_sample *sample);

#endif
