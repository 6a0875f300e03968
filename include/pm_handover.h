/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_handover.h: what httpd's parent gives the recorder with each configuration.
 *
 * One message on a SOCK_SEQPACKET socket: a fixed head and descriptors (SCM_RIGHTS) in the order of enum
 * pm_handover_fd; which are there stands in the head. The facts lie in a pm_handover_block, in a sealed memfd. The kernel
 * says who sent a message; the recorder takes one from root, or from its own user, alone.
 *
 * Versions: a block of another release, layout or size is refused with a sentence: module and recorder are of one build. A
 * recorder that has worked for an older module ends then, and httpd starts the new one.
 *
 * Nothing blocks: the sender gives up when the socket's buffer is full. Not thread-safe on one socket.
 */
#ifndef PM_HANDOVER_H
#define PM_HANDOVER_H

#include "pm_control.h"
#include "pm_detect.h"
#include "pm_served.h"
#include "pm_error.h"
#include "pm_listen.h"
#include "pm_probe.h"

#define PM_HANDOVER_VERSION 3u

enum pm_handover_kind {
    PM_HANDOVER_LOAD = 1, /* a configuration was loaded */
    PM_HANDOVER_STOP = 2, /* the server ends in order; control->stopping says so, too */
    PM_HANDOVER_LEAVE = 3, /* to a service: what it was handed over is not to be recorded any more */
    PM_HANDOVER_GONE = 4   /* to the process at work: nobody is at the other end any more */
};

enum pm_handover_fd {
    PM_FD_BLOCK,
    PM_FD_CONTROL,
    PM_FD_LEDGER, /* the recorder's own memory, kept where it outlives the recorder: empty at first */
    PM_FD_CAPTURE,
    PM_FD_LOCK,
    PM_FD_LIVE,
    PM_FD_OLD, /* PM_OLD_REGIONS of them */
    PM_FD_WATCH = PM_FD_OLD + PM_OLD_REGIONS,
    PM_FD_WATCH_LAST,
    PM_FD_CONFIG, /* snapshot of the configuration, sealed when it is whole */
    PM_FD_CONFIG_LAST,
    PM_FD_SCOREBOARD,
    PM_FD_EVENT_LOG,
    PM_FD_ERROR_LOG,
    PM_FD_PAGES,  /* a listening socket: the handler asks here */
    PM_FD_LISTEN, /* PM_LISTEN_MAX of them: PMCaptureListen */
    PM_HANDOVER_FDS = PM_FD_LISTEN + PM_LISTEN_MAX
};
_Static_assert(PM_HANDOVER_FDS <= 32, "a bit each");

/** Where httpd's scoreboard has what is read of it. Offsets and strides in bytes. */
typedef struct pm_scoreboard_shape {
    uint32_t processes, threads;
    uint64_t process_offset, process_stride, pid_offset, quiescing_offset;
    uint64_t worker_offset, worker_stride, status_offset; /* of process 0's first */
    uint8_t ready, dead, starting, idle_kill;             /* values of status */
    uint32_t limit;                                       /* workers at most */
} pm_scoreboard_shape;

typedef struct pm_handover_vhost {
    pm_burst_rule burst;
    pm_slow_rule slow;
    pm_served_rule served;
    char defined[PM_KEY]; /* "file:line"; "" = none in this configuration */
    uint64_t place;       /* pm_config_place_sum; 0 = none, or the main server's */
} pm_handover_vhost;

/** Strings end; they are the parent's, and so trusted as httpd's configuration is. */
typedef struct pm_handover_block {
    uint64_t size;
    uint32_t version, vhosts; /* room for virtual hosts, as in the region */
    uint32_t generation, first, graceful;
    uint32_t main_vhost; /* number of the main server; 0 = none of its own */
    uint64_t load_us, started_us, reload_us;
    uint64_t stopped_us; /* PMCaptureStopped; 0 = Off */
    uint64_t parent_start;
    uint64_t network; /* pm_network_namespace of the parent; 0 = not known */
    uint32_t parent_pid, samples, clients, diff; /* clients: 0 = off; diff: enum pm_config_detail */
    uint32_t log_level;                          /* of httpd's error log, as syslog's */
    uint32_t layout;                             /* PM_LIVE_LAYOUT */
    uint64_t live_size, old_size[PM_OLD_REGIONS]; /* as mapped: the file may have been truncated since */
    pm_scoreboard_shape scoreboard;
    pm_burst_rule burst;
    pm_slow_rule slow;
    pm_served_rule served;
    pm_probe_rule probe;
    uint32_t listeners, listeners_more; /* that there was no room for */
    pm_listener listener[PM_LISTENERS_MAX];
    char capture_path[512], server_root[512];
    char live_path[512], old_path[PM_OLD_REGIONS][512];
    char software[64], mpm[16], module_version[16], trouble[256];
    pm_handover_vhost vhost[];
} pm_handover_block;

typedef struct pm_handover {
    uint32_t kind;
    int fd[PM_HANDOVER_FDS]; /* -1 = none */
    uint32_t uid;            /* of the sender, received alone */
    uint32_t pid;
} pm_handover;

uint64_t pm_handover_block_size(uint32_t vhosts);
/** Map the block of a handover for reading; NULL with a sentence when it is none of this version. munmap its size. */
const pm_handover_block *pm_handover_map(int fd, pm_error *err);

/** A memfd of `size` zeros that can grow and not shrink: nobody who maps it is surprised. -1 with errno. */
int pm_memory_make(const char *name, uint64_t size);
/** Map `size` bytes of such a memfd, which is grown to that; NULL when it is none, or without memory. */
void *pm_memory_map(int fd, uint64_t size);

/** Send; the descriptors stay the caller's. APR_EAGAIN when the other side does not read, APR_EOF when it is gone. */
apr_status_t pm_handover_send(int socket, const pm_handover *h);
/** Receive one message without waiting: APR_EAGAIN none is there, APR_EOF the other side is gone, APR_EINVAL it was none
 *  of ours (dropped, its descriptors closed). The descriptors, close-on-exec, become the caller's. */
apr_status_t pm_handover_receive(int socket, pm_handover *h);
void pm_handover_close(pm_handover *h);

#endif
