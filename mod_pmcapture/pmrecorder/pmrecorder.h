/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pmrecorder.h: what the parts of the recorder program hand to each other.
 *
 *   main.c        its arguments; it becomes the user that it works as
 *   supervise.c   keeps one process at work, and another when that one dies or hangs
 *   guests.c      who connects to a service's control socket
 *   notify.c      what a service tells the service manager
 *   work.c        that process: a tick a second
 *   generation.c  what httpd has handed over with a configuration, mapped and ready
 *   load.c        what a load of the configuration brought
 *   outside.c     what is looked at from outside, and when; listeners.c: where the configuration has it
 *   prober.c      the thread that looks (prober.h)
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
#include "pm_service.h"
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

/** What a recorder that is a service of its own was told. */
typedef struct pm_service {
    const char *capture; /* the file whose history it serves when no httpd has handed one over */
    int control;         /* its control socket */
    int pages[PM_LISTEN_MAX]; /* listening sockets; -1 = none */
} pm_service;

/** What the process at work is doing, for who supervises it, in memory of these two alone. */
enum pm_doing { PM_IDLE, PM_WAITS, PM_RECORDS, PM_SEES_STOP, PM_SEES_DOWN };
typedef struct pm_pulse {
    _Atomic uint64_t beat_us; /* monotonic; its last sign of life */
    _Atomic uint32_t doing;   /* enum pm_doing */
    _Atomic uint32_t httpd;   /* pid of the parent whose requests it records, or did */
} pm_pulse;

/* supervise.c */
/** Work for the httpd at the other end of `socket`, a process of this user, until it has ended; or, with `service`, for
 *  each that connects, until this process is told to go. The exit status. */
int pm_supervise(int socket, uid_t owner, const pm_service *service);

/* guests.c */
/** Those that have connected and have handed nothing over yet. */
#define PM_GUESTS 8
typedef struct pm_guest {
    int fd; /* -1 = none */
    uint32_t uid;
    uint64_t since_us; /* monotonic */
} pm_guest;
/** Greet who has connected, or refuse; `owner` and root are let in. `latest` is what the last httpd has handed over, `httpd`
 *  the pid of one that is recorded now, 0 = none. */
void pm_guests_greet(pm_guest guests[PM_GUESTS], const pm_service *service, uid_t owner,
                     const pm_handover *latest, uint32_t httpd);
/** Say why, and close the connection. */
void pm_guest_refuse(int fd, const pm_service *service, const char *sentence);
void pm_guests_expire(pm_guest guests[PM_GUESTS]);

/* notify.c */
/** As the service manager's environment says; without one nobody is told. */
void pm_notify_begin(void);
/** READY=1 the first time; STATUS= when it is another one; WATCHDOG=1 in time, where `ticks`. */
void pm_notify_tick(const char *status, int ticks);
void pm_notify_end(void);

/* work.c */
/** Record what comes over `channel` from the supervising process; the exit status: 0 there is nothing left to do. `service`
 *  NULL = httpd has started it. */
int pm_work(int channel, const pm_service *service, pm_pulse *pulse);

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

/* outside.c */
/** This generation's listeners are looked at from here on, and no more what the one before handed over. */
void pm_outside_take(pm_generation *g);
/** Its configuration is gathered: where its listeners stand in it, and which speak TLS. */
void pm_outside_loaded(pm_generation *g);
/** Before a tick: what was seen since the last one, and what is to be looked at. */
void pm_outside_tick(pm_generation *g);

/* listeners.c */
/** Fill in what the configuration says of the listeners, and its virtual hosts with TLS. */
void pm_listeners_place(pm_generation *g, pm_outside *o);

/* serve.c */
/** From here on pages are this generation's, on the sockets that it was handed; NULL = nobody's. When it returns no page
 *  is made of another one. */
void pm_serve(pm_generation *g);
/** Before the first generation: serve history as the service's file has it, on its own sockets, which it has for good. */
void pm_serve_alone(const pm_service *service);

/* log.c */
/** Where sentences go from here on: a descriptor of httpd's error log, -1 = syslog; up to this level, as syslog's. */
void pm_log_to(int fd, int level);
/** A sentence of this severity (enum pm_severity). */
void pm_log(int severity, const char *sentence);

#endif
