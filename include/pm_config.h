/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_config.h: what configuration runs, and what differs from the one before.
 *
 * A pm_snapshot is one block of plain bytes without pointers: the containers, directives, Defines, loaded modules
 * and files of one generation, secrets masked. A recorder makes one at each load (pm_gather_*), compares it
 * with the last one, and keeps it: in memory that the parent holds across reloads, and beside the capture file as
 * CAPTURE.config across stops and crashes. What comes from there is checked before it is used.
 *
 * The difference is by content: directives are a multiset for each container, so a moved line, a renamed
 * file and white space are no change. A virtual host whose ServerName alone changed is still the same one.
 *
 * Masking happens when something is put in; a snapshot never held what it masks. Masked are: the arguments of
 * directives with a secret's name; what follows a secret's name (SetEnv DB_PASS ***, secret=***,
 * "Authorization" ***); user:***@ in URLs; Basic *** and Bearer ***; every value given to pm_gather_secret,
 * wherever it stands. When a masked value changes while the parent lives, that is seen by a keyed hash that never leaves
 * its memory.
 *
 * Nothing here is thread-safe on one object.
 */
#ifndef PM_CONFIG_H
#define PM_CONFIG_H

#include <apr_pools.h>

#include "pm_error.h"
#include "pm_json.h"

/** PMCaptureConfigDiff: full; no arguments; nothing but that there is a difference. */
enum pm_config_detail { PM_CONFIG_FULL, PM_CONFIG_NAMES, PM_CONFIG_OFF };

/* ---- files ---- */

enum pm_config_file_state {
    PM_FILE_READ,
    PM_FILE_MISSING,
    PM_FILE_UNREADABLE,
    PM_FILE_SPECIAL /* a device or the like: nothing to hash */
};

typedef struct pm_config_file {
    const char *path;
    uint64_t size, mtime_us;
    uint64_t hash; /* XXH3 of the content, of the first PM_CONFIG_FILE_MAX bytes; 0 unless READ */
    uint32_t uid;
    uint32_t state; /* enum pm_config_file_state */
} pm_config_file;
#define PM_CONFIG_FILE_MAX (64u << 20)

/** Look at the file now, and hash it. `path` is kept as it is. Never blocks on a FIFO or device. */
void pm_config_look(const char *path, pm_config_file *out);

/* ---- making a snapshot ---- */

typedef struct pm_gather pm_gather;
typedef struct pm_snapshot pm_snapshot;

/** What the scan of files asks httpd. */
typedef struct pm_config_world {
    void *ctx;
    const char *(*expand)(void *ctx, const char *text); /* ${NAME} replaced */
    const char *(*path)(void *ctx, const char *name);   /* absolute; NULL: not a path */
    int (*defined)(void *ctx, const char *name);        /* <IfDefine> */
    int (*loaded)(void *ctx, const char *name);         /* <IfModule> */
} pm_config_world;

/** `key` tells masked values apart without keeping them. The gather lives until pm_gather_done or the pool's end. */
pm_gather *pm_gather_begin(enum pm_config_detail detail, const uint8_t key[16], apr_pool_t *pool);

/** Files that have not changed since then need not be read again. It must outlive the gather. */
void pm_gather_known(pm_gather *g, const pm_snapshot *last);
/** 1 if a value with this name is to be masked: PASS, SECRET, TOKEN, KEY, CRED, ... */
int pm_config_secret_name(const char *name, size_t len);
/** Mask this value wherever it stands. Fewer than 4 bytes are let through: they would mask half the text. Before
 *  any directive. */
void pm_gather_secret(pm_gather *g, const char *value);

/** Read a configuration file and all that it includes, in active sections: files, and where LoadModule and
 *  Define stand. Values of secret Defines are masked from then on. Each file once, however often it is named. */
void pm_gather_file(pm_gather *g, const char *path, const pm_config_world *world);
/** Lines that stand in no file: those of -C and -c. */
void pm_gather_text(pm_gather *g, const char *text, const pm_config_world *world);
/** A file of which only the name is known, if it is not there yet. Not absolute: none. */
void pm_gather_named_file(pm_gather *g, const char *path);

/** Number of a container (0 is the main server). `directive` "<VirtualHost", `args` "*:80>" as httpd's tree
 *  has them; `label` names one among many (the ServerName) or is NULL. `file` may be mod_macro's sentence. */
uint32_t pm_gather_container(pm_gather *g, uint32_t parent, const char *directive, const char *args,
                             const char *label, const char *file, uint32_t line);
void pm_gather_directive(pm_gather *g, uint32_t container, const char *directive, const char *args,
                         const char *file, uint32_t line);
/** What Define lines in active sections have defined, in their order, when all files are read; in the gather's pool. */
typedef struct pm_config_define {
    const char *name;
    int valued; /* the line gives it a value */
} pm_config_define;
const pm_config_define *pm_gather_defines(const pm_gather *g, size_t *count);
/** As a directive, whose place the scan found. `value` may be NULL. */
void pm_gather_define(pm_gather *g, const char *name, const char *value);
void pm_gather_module(pm_gather *g, const char *name, const char *path);

/** The files found so far, real paths; in `pool`. And the patterns and folders that Include lines name. */
const pm_config_file *pm_gather_files(const pm_gather *g, size_t *count);
const char *const *pm_gather_patterns(const pm_gather *g, size_t *count);

/** The snapshot, by malloc: free() it. NULL without memory. */
pm_snapshot *pm_gather_done(pm_gather *g);

/* ---- keeping it ---- */

/** In memory. */
size_t pm_snapshot_size(const pm_snapshot *s);
/** 1 if these bytes, in memory, are a whole snapshot of this version. */
int pm_snapshot_valid(const void *bytes, size_t size);
/** To and from a file without a name, whole: with what tells masked values apart. free() what was read. */
apr_status_t pm_snapshot_write(const pm_snapshot *s, int fd);
apr_status_t pm_snapshot_read(pm_snapshot **out, int fd);
/** Write it aside and rename it to `path`, mode 0600, without what tells masked values apart. Sets its sum. */
apr_status_t pm_snapshot_save(pm_snapshot *s, const char *path, pm_error *err);
/** APR_ENOENT when there is none; any other error: it is damaged, foreign or unreadable. free() it. */
apr_status_t pm_snapshot_load(pm_snapshot **out, const char *path, pm_error *err);
/** Would they be saved as the same bytes? */
int pm_snapshot_same(const pm_snapshot *a, const pm_snapshot *b);

/* ---- reading it ---- */

/** A directive, or one that opens a container; texts are the snapshot's, none is NULL but `label` of what opens none.
 *  Arguments are there with PM_CONFIG_FULL alone, but for those of what opens a container. */
typedef struct pm_config_line {
    uint32_t container; /* that it stands in; 0 = the main server */
    uint32_t opens;     /* the container that it opens, 0 = none */
    const char *directive, *args;
    const char *label; /* of the container that it opens: the ServerName of a virtual host */
    const char *file; /* of a macro: where it is used */
    uint32_t line;
    uint64_t place; /* of what opens one: pm_config_place_sum */
} pm_config_line;
/** A number for where something stands, by httpd's file name, mod_macro's sentence perhaps, and line. Never 0. */
uint64_t pm_config_place_sum(const char *file, uint32_t line);
/** Each, in the order of the configuration. */
void pm_snapshot_each(const pm_snapshot *s, void (*found)(void *ctx, const pm_config_line *line), void *ctx);

/* ---- the difference ---- */

typedef struct pm_config_diff pm_config_diff;

/** Both must outlive the difference. */
pm_config_diff *pm_config_compare(const pm_snapshot *before, const pm_snapshot *now,
                                  apr_pool_t *pool);
/** How many directives, modules and Defines differ; what came or went inside a container that itself came or went
 *  is one with it. 0: nothing that runs differs. */
size_t pm_config_changes(const pm_config_diff *d);
/** One sentence, paths below `root` without it. With no change: "no directive changed", or which files were edited
 *  without one. */
const char *pm_config_sentence(const pm_config_diff *d, const char *root, apr_pool_t *pool);
/** The data of config.changed, of at most `most` bytes: what does not fit is counted, and "truncated" says so. */
const char *pm_config_data(const pm_config_diff *d, uint32_t generation, size_t most,
                           apr_pool_t *pool);

#endif
