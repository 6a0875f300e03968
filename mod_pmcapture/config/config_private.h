/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_private.h: a snapshot's layout, and what the files of the configuration part share.
 *
 *   config.c        gathers a snapshot
 *   config_mask.c   what is a secret, and how it is hidden
 *   config_scan.c   files: their hash, what they include, where Defines and modules stand
 *   config_store.c  the snapshot as a file
 *   config_lines.c  its directives, one after the other
 *   config_diff.c   what differs between two
 *   config_tell.c   the difference in words and as JSON
 */
#ifndef PM_CONFIG_PRIVATE_H
#define PM_CONFIG_PRIVATE_H

#include <apr_hash.h>
#include <apr_tables.h>

#include "pm_config.h"

#define PM_SNAPSHOT_MAGIC 0x31464e4f434d50ull /* "PMCONF1" */
#define PM_SNAPSHOT_VERSION 1u
#define PM_CONFIG_TEXT 2048 /* bytes kept of one value; its hash is of the whole */

/** Text is an offset into the strings at the end; 0 is "". Offsets and counts are 32 bits: pm_gather refuses to grow
 *  beyond. In memory alone the marks follow: for each entry a keyed hash of what was masked, 0 = nothing, or not known. */
struct pm_snapshot {
    uint64_t magic;
    uint32_t version, detail; /* enum pm_config_detail */
    uint64_t size;            /* all of it, without the marks */
    uint64_t sum;             /* XXH3 of what follows this member */
    uint64_t taken_us;
    uint32_t container_count, entry_count, file_count, text_size; /* text_size: a multiple of 8 */
};
_Static_assert(sizeof(struct pm_snapshot) == 56, "stored on disk");

/** Parents come before their children; 0 is the main server. */
typedef struct pm_snapshot_container {
    uint64_t key;       /* hash of directive and arguments */
    uint64_t label_key; /* of the label, 0 = none */
    uint32_t parent;
    uint32_t name, label; /* text: "VirtualHost *:80", "api.example" */
    uint32_t entry;       /* that opens it */
    uint32_t file, line;
} pm_snapshot_container;
_Static_assert(sizeof(pm_snapshot_container) == 40, "stored on disk");

typedef struct pm_snapshot_entry {
    uint64_t key; /* hash of directive and whole masked arguments */
    uint32_t container;
    uint32_t opens;                /* the container that it opens, 0 = none */
    uint32_t directive, args;      /* text */
    uint32_t file, line;           /* in a macro: of its definition */
    uint32_t macro;                /* text: its name, "" = none */
    uint32_t used_file, used_line; /* where the macro is used */
    uint32_t pad;
} pm_snapshot_entry;
_Static_assert(sizeof(pm_snapshot_entry) == 48, "stored on disk");

typedef struct pm_snapshot_file {
    uint64_t size, mtime_us, hash;
    uint64_t ctime_us, inode;
    uint32_t uid, state, path;
    uint32_t plain; /* it includes and defines nothing */
} pm_snapshot_file;
_Static_assert(sizeof(pm_snapshot_file) == 56, "stored on disk");

static inline const pm_snapshot_container *pm_snapshot_containers(const pm_snapshot *s)
{
    return (const pm_snapshot_container *)(s + 1);
}

static inline const pm_snapshot_entry *pm_snapshot_entries(const pm_snapshot *s)
{
    return (const pm_snapshot_entry *)(pm_snapshot_containers(s) + s->container_count);
}

static inline const pm_snapshot_file *pm_snapshot_files(const pm_snapshot *s)
{
    return (const pm_snapshot_file *)(pm_snapshot_entries(s) + s->entry_count);
}

static inline const char *pm_snapshot_text(const pm_snapshot *s, uint32_t offset)
{
    return (const char *)(pm_snapshot_files(s) + s->file_count) + offset;
}

static inline const uint64_t *pm_snapshot_marks(const pm_snapshot *s)
{
    return (const uint64_t *)(const void *)((const char *)s + s->size);
}

/* ---- config_mask.c ---- */

typedef struct pm_config_secret {
    const char *value;
    size_t len;
    const char *next; /* scratch: where it is next */
} pm_config_secret;

/** A growing buffer, NUL-terminated. */
typedef struct pm_config_buffer {
    char *bytes;
    size_t used, room;
    int failed; /* no memory: what it holds is not to be used */
} pm_config_buffer;

void pm_config_put(pm_config_buffer *b, const char *bytes, size_t len);

/** From which of its arguments on is all of this directive secret? UINT32_MAX: none. */
uint32_t pm_config_hidden_from(const char *directive);
/** `args` masked, and each run of white space outside quotes made one blank, into `out`. Returns 1 when
 *  something was masked. `directive` NULL: no words, a path. */
int pm_config_mask(pm_config_buffer *out, pm_config_buffer *work, const char *directive,
                   uint32_t hidden_from, const char *args, pm_config_secret *secrets, size_t count);

/* ---- config.c ---- */

/** Where something stands, from httpd's file name and line. Points into `file`, lengths beside it. */
typedef struct pm_config_place {
    const char *file, *macro, *used_file;
    size_t file_len, macro_len, used_file_len;
    uint32_t line, used_line; /* `line` is that of the definition itself, 0 outside of macros */
} pm_config_place;
void pm_config_parse_place(const char *file, pm_config_place *out);

typedef struct pm_config_found {
    const char *file;
    uint32_t line;
} pm_config_found;

struct pm_gather {
    apr_pool_t *pool;
    enum pm_config_detail detail;
    uint8_t key[16];
    apr_array_header_t *secrets;    /* pm_config_secret, longest first */
    apr_array_header_t *real_files; /* pm_config_file, paths as they are */
    apr_array_header_t *patterns;   /* const char * */
    apr_hash_t *seen;               /* path -> itself */
    apr_hash_t *known;              /* path -> pm_snapshot_file of the last snapshot */
    uint64_t trusted_us;            /* of them, those whose change time is before this */
    apr_hash_t *places;             /* "Define NAME" -> pm_config_found */
    apr_array_header_t *defines;    /* pm_config_define; name NULL: an UnDefine followed */
    apr_hash_t *words;              /* text -> offset + 1 */
    apr_hash_t *directives;         /* name -> struct directive_kind */
    pm_config_buffer containers, entries, marks, files, text;
    pm_config_buffer masked, work;
    const char *last_file; /* httpd's tree repeats the pointer */
    pm_config_place last_place;
    uint32_t last_offsets[3];
};

/** Add a file to the list. `path` must live as long as the gather. */
void pm_gather_add_file(pm_gather *g, const char *path, const pm_snapshot_file *f);

/* ---- config_diff.c ---- */

/** What differs: `before`, `now`, or both for a changed one; UINT32_MAX = none. */
typedef struct pm_config_change {
    uint32_t before, now;
    uint32_t inside; /* of a container that came or went as a whole */
} pm_config_change;

typedef struct pm_config_file_change {
    const char *how; /* "added", "removed", "changed" */
    const pm_snapshot *in;
    const pm_snapshot_file *file;
} pm_config_file_change;

struct pm_config_diff {
    const pm_snapshot *before, *now;
    pm_config_change *changes; /* Defines and modules first, then as the files have them */
    size_t change_count, added, removed, counted;
    pm_config_file_change *files;
    size_t file_count;
    uint32_t reordered, reordered_count; /* the first entry that overtook another of its kind */
};

#endif
