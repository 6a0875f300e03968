/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_control.h: what httpd's parent and the recorder tell each other while a run lasts.
 *
 * Shared memory (a memfd that the parent makes and hands over); workers have unmapped it. The parent writes crashes,
 * events that found the capture file locked, names of virtual hosts, and `stopping`; the recorder writes its signs of
 * life and `drained`. Each side may be killed at any moment: a number is advanced after what it counts is whole.
 *
 * Trust: the recorder runs as another user than the parent. The parent uses nothing of it as an index, and ends strings
 * itself.
 */
#ifndef PM_CONTROL_H
#define PM_CONTROL_H

#include "pm_live.h"

#define PM_CONTROL_MAGIC 0x314c525443504dull /* "MPCTRL1" */
#define PM_HANDED_KEPT 16u
#define PM_CRASHES_KEPT 128u /* of those that no event has told yet */
#define PM_OLD_REGIONS 6u

/** A child that died unasked, as the parent notes it. */
typedef struct pm_crash {
    uint64_t at_us;
    uint32_t pid, generation;
    int32_t signal;     /* or PM_CRASH_* */
    uint32_t requests;  /* that it was serving; PM_UNKNOWN */
    uint32_t oldest_ms; /* age of the oldest of them */
    uint32_t pad;
} pm_crash;
#define PM_CRASH_SILENT 0  /* killed, and httpd logged no signal: it never does for SIGKILL */
#define PM_CRASH_UNSEEN -1 /* httpd's line about the signal does not reach us */
#define PM_CRASH_EXITED -2 /* exit() was called in it */

typedef struct pm_control {
    uint64_t magic, size;
    uint64_t run;
    uint64_t region_dev, region_ino; /* the live region's file */
    _Atomic uint64_t heartbeat_us;   /* monotonic; the recorder's last tick */
    _Atomic uint64_t writing_us;     /* monotonic; since when it has been writing, 0 = it isn't */
    _Atomic uint64_t reloading_us;   /* monotonic; since when the configuration is read anew, 0 = it isn't */
    _Atomic uint32_t stopping;       /* 1: the server ends in order; 2: the last tick is on disk */
    _Atomic uint32_t gathered;       /* generation + 1 whose configuration is gathered, or never will be */
    _Atomic uint32_t drained; /* bit i: old region i is in the totals, and nobody writes to it */
    _Atomic uint32_t asked; /* 1: somebody told the server to end, which may take as long as its requests do */
    _Atomic uint64_t handed; /* events that found the file locked; written after the event itself */
    pm_live_note hand[PM_HANDED_KEPT]; /* slot = number % room */
    _Atomic uint64_t crashes;          /* written after the crash itself */
    pm_crash crash[PM_CRASHES_KEPT];   /* slot = number % room */
    /* Of each number, "" = unused; a virtual host keeps its number across reloads. */
    char vhost_name[PM_VHOSTS_MAX][PM_KEY];
} pm_control;

/** Does the server end, or has it been told to? Then it listens no more, by intention. */
static inline int pm_control_ends(pm_control *c)
{
    return atomic_load(&c->asked) != 0 || atomic_load(&c->stopping) != 0;
}

/** Memory is zero. */
void pm_control_init(pm_control *c, uint64_t run, const pm_live *live);
/** 1 if it is one of this layout. */
int pm_control_valid(const pm_control *c, uint64_t size);

#endif
