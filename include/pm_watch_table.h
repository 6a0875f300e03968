/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_watch_table.h: which files are watched, as what httpd has read them, and how one look at a path is taken.
 *
 * A table is shared memory of the parent, the gatherer that fills it with each load, a helper that looks as root, and
 * the recorder (pm_watch.h). Workers have unmapped it.
 *
 * Thread and process safety: the parent fills it, then the gatherer; from then on the recorder alone writes what is not
 * _Atomic. The paths below `count` never change.
 */
#ifndef PM_WATCH_TABLE_H
#define PM_WATCH_TABLE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <apr_errno.h>

#include "pm_record.h"

#define PM_WATCH_MAGIC 0x31484354574d50ull /* "PMWTCH1" */
#define PM_WATCH_MAX 1024u
#define PM_WATCH_HTACCESS_MAX 64u
#define PM_WATCH_PATH 512
#define PM_WATCH_NOTE 0x48544143u /* type of a pm_live_note: the text is an .htaccess file's path */
#define PM_WATCH_NEEDS 16 /* objects that are named as needing one */
#define PM_WATCH_STUCK_US (10 * 1000000ull)
#define PM_WATCH_ASIDE_US (600 * 1000000ull)
#define PM_WATCH_PAUSE 2u /* seconds: what is back by then was never missing */

enum pm_watch_kind {
    PM_WATCH_OBJECT,   /* mapped into the server */
    PM_WATCH_CONFIG,   /* a configuration file */
    PM_WATCH_PATTERN,  /* of an Include: which files are there */
    PM_WATCH_KEY,      /* a certificate, a key, or what else httpd reads when it loads */
    PM_WATCH_FILE,     /* PMCaptureWatch: a file or a folder */
    PM_WATCH_TOP,      /* of DocumentRoot or an Alias: a deployment changes it */
    PM_WATCH_HTACCESS, /* that a failing request read */
    PM_WATCH_KINDS
};

/** Which file it is, and what is in it. */
typedef struct pm_identity {
    uint64_t dev, ino, size, mtime_us, ctime_us;
    uint64_t content; /* hash: of a configuration file, of a folder's entries; 0 = not taken */
    uint64_t mode;
} pm_identity;

enum pm_look_result { PM_LOOK_NONE, PM_LOOK_THERE, PM_LOOK_GONE, PM_LOOK_DENIED, PM_LOOK_ERROR };

/** What one look has seen. */
typedef struct pm_look {
    uint32_t result; /* PM_LOOK_* */
    uint32_t error;  /* errno */
    uint64_t at_us;
    uint64_t gone_us; /* GONE: when its folder was last changed, 0 unknown */
    pm_identity is;
    char link[PM_KEY]; /* where a symbolic link points */
    char fresh[64];    /* of a folder that has changed: a file in it that was made then, clean; "" = not known */
} pm_look;

typedef struct pm_watched {
    char path[PM_WATCH_PATH];
    char named_by[PM_KEY]; /* "SSLCertificateFile (sites/a.conf:12)", "" = an object */
    uint64_t key;          /* of path and kind */
    uint32_t kind;
    uint32_t state;        /* PM_WATCH_SAYS_* */
    uint32_t aside;        /* cannot be looked at, and that was said */
    uint32_t loaded, pad;  /* 1: that this load took another file of that name is said */
    uint32_t need_count;   /* objects whose DT_NEEDED names it; the first ones in needs[] */
    uint16_t needs[PM_WATCH_NEEDS];
    pm_identity running;   /* as httpd has it; ino 0 = it was not there, or not looked at */
    pm_identity told;      /* as the last event said, or as it was first seen */
    char link[PM_KEY];     /* as told */
    pm_identity pending;   /* differs from told, and not yet said */
    uint64_t pending_us, gone_us; /* monotonic: since when; 0 = it doesn't, it isn't */
    uint64_t seen_us;      /* wall: last found as told */
    uint64_t said_until_us; /* monotonic: each change that is said takes half a minute of this */
    uint64_t drift_us;     /* wall: a drift, or its end, that is still to be said, since then */
    _Atomic uint64_t aside_until_us; /* monotonic */
    _Atomic uint32_t denied;         /* the helper is to look */
    _Atomic uint32_t helped;         /* odd while the helper writes */
    pm_look help;
} pm_watched;
enum { PM_WATCH_UNSEEN, PM_WATCH_SAYS_THERE, PM_WATCH_SAYS_GONE, PM_WATCH_SAYS_DRIFT };

typedef struct pm_watch_table {
    uint64_t magic, size;
    uint64_t loaded_us;         /* wall */
    uint32_t dropped;           /* paths beyond the room */
    uint32_t begun;             /* what was said before is taken over */
    _Atomic uint32_t count;
    uint32_t htaccess;          /* how many of them */
    _Atomic uint32_t filled;    /* with all that this load took, and what that changed is said */
    uint32_t pad;
    pm_watched at[PM_WATCH_MAX];
} pm_watch_table;

/* ---- filling a table: the parent, then one recorder, before the lease holder takes it up ---- */

/** Memory is zero. */
void pm_watch_table_init(pm_watch_table *t, uint64_t loaded_us);
/** Its number; the one it has when it is there; -1 when it is too long, no absolute path, or there is no room. */
int pm_watch_put(pm_watch_table *t, enum pm_watch_kind kind, const char *path, const char *named_by);
/** As httpd has read it, by a look now. Only for what httpd has just read itself: it may block. */
void pm_watch_take(pm_watch_table *t, int number);

/* ---- what a load took anew ---- */

/** A shared object or a file that httpd reads when it loads: as it is now, and as the last load took it. */
typedef struct pm_watch_file {
    const pm_watched *now, *was;
} pm_watch_file;

/** Which of a table that is filled differ from what the last load took; how many, the first `most` of them in `files`. */
size_t pm_watch_loaded(pm_watch_table *t, const pm_watch_table *previous, pm_watch_file *files, size_t most);
/** "mod_ssl.so was replaced", "a.pem (SSLCertificateFile, conf/a.conf:3) was written anew". */
void pm_watch_say_loaded(const pm_watch_file *file, char *out, size_t size);
/** The event's data. */
void pm_watch_loaded_data(const pm_watch_file *file, uint64_t at_us, pm_draft *d);
/** A load that was followed by the next one before a recorder watched its files: what was said of it stays said. */
void pm_watch_carry(pm_watch_table *previous, const pm_watch_table *t);

/* ---- looking ---- */

/** Look at `path`; blocks as long as its file system does. `last`: the last look, whose hashes hold for as long as
 *  size and times do; may be NULL. Never opens what is no regular file or folder. */
void pm_watch_look(enum pm_watch_kind kind, const char *path, const pm_look *last, pm_look *out);
/** In a process that may look everywhere: look at what the recorder may not, or at `all` that might be. */
void pm_watch_help(pm_watch_table *t, int all);
/** 1 when there is something for it to do. */
int pm_watch_wants_help(const pm_watch_table *t);

/* ---- ELF ---- */

#define PM_ELF_NEEDED 64
#define PM_ELF_NAME 128

/** What a shared object or program says that it needs. */
typedef struct pm_elf {
    uint32_t count;
    char soname[PM_ELF_NAME]; /* "" = none */
    char needed[PM_ELF_NEEDED][PM_ELF_NAME];
} pm_elf;

/** Read a 64-bit ELF file of this machine's byte order. The file may be anything: every offset and length is checked.
 *  Longer names and further entries are left out. APR_EINVAL when it is no such file, or damaged. */
apr_status_t pm_elf_read(pm_elf *out, int fd);

#endif
