/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pmrecorder.h: what the parts of the recorder program hand to each other.
 *
 *   main.c        its arguments; it becomes the user that it works as
 *   supervise.c   keeps one process at work, and another when that one dies or hangs
 *   work.c        that process: a tick a second
 *   generation.c  what httpd has handed over with a configuration, mapped and ready
 *   load.c        what a load of the configuration brought
 *   eventlog.c    PMCaptureEventLog
 *   serve.c       pages over HTTP (page.h: what they answer)
 *   log.c         httpd's error log
 */
#ifndef PM_PMRECORDER_H
#define PM_PMRECORDER_H

#include <sys/types.h>

#include "pm_capture.h"
#include "pm_config.h"
#include "pm_fold.h"
#include "pm_handover.h"
#include "pm_watch.h"

/** What httpd has handed over with one configuration. Made and used by one thread. */
typedef struct pm_generation {
    apr_pool_t *pool;
    pm_handover handed; /* the descriptors that are still its own */
    const pm_handover_block *block;
    pm_control *control;
    pm_ledger *ledger;
    uint64_t ledger_size;
    pm_live live, old[PM_OLD_REGIONS];
    pm_capture *capture;
    pm_watch_table *watch, *watch_last; /* NULL = none */
    const uint8_t *scoreboard;          /* NULL = none */
    uint64_t scoreboard_size;
    pm_fold fold;
    uint64_t taken_us;                /* monotonic */
    struct pm_generation *next_ended; /* of those whose memory a look that hangs still uses */
} pm_generation;

/* supervise.c */
/** Work for the httpd at the other end of `socket`, a process of this user, until it has ended; the exit status. */
int pm_supervise(int socket, uid_t owner);

/* work.c */
/** Record what comes over `channel` from the supervising process; the exit status: 0 there is nothing left to do. */
int pm_work(int channel);

/* generation.c */
/** Take over a handover's descriptors, whatever comes of it. NULL with a sentence. */
pm_generation *pm_generation_take(pm_handover *h, pm_error *err);
/** Watch its files no more, and give up its capture file. */
void pm_generation_end(pm_generation *g);
/** 1: it is freed. 0: a look at a file of it still hangs; ask again. */
int pm_generation_free(pm_generation *g);

/* load.c */
/** Say what this load changed as soon as its configuration is gathered; 1 when all of that is done. `now`: say what is known,
 *  as the next load is there. */
int pm_load_step(pm_generation *g, int now);

/* eventlog.c */
/** After a tick. */
void pm_eventlog_tick(pm_generation *g);

/* serve.c */
/** From here on pages are this generation's, on the sockets that it was handed; NULL = nobody's. When it returns no page
 *  is made of another one. */
void pm_serve(pm_generation *g);

/* log.c */
/** Where sentences go from here on: a descriptor of httpd's error log, -1 = syslog; up to this level, as syslog's. */
void pm_log_to(int fd, int level);
/** A sentence of this severity (enum pm_severity). */
void pm_log(int severity, const char *sentence);

#endif
