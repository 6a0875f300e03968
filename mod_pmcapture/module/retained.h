/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * retained.h: what the parent remembers across reloads, in process-lifetime memory.
 *
 * The module is unloaded and loaded again with each reload, perhaps as another version, so this holds
 * plain data alone: mappings by address and size, pids, no pointer into code. A later version reads what an
 * earlier one has left here, so its layout is fixed; a new one takes a new key.
 */
#ifndef PM_RETAINED_H
#define PM_RETAINED_H

#include <stdint.h>
#include <sys/types.h>

#include "pm_control.h"

#define PM_RETAINED_KEY "mod_pmcapture/2"

typedef struct pm_mapping {
    void *base; /* NULL = none */
    uint64_t size;
    char path[512];
} pm_mapping;

typedef struct pm_retained {
    uint32_t size;    /* of this struct, when it was made */
    uint32_t started; /* a server of ours has started: the next post_config is a reload */
    pid_t parent;
    pid_t recorder; /* 0 = none */
    pid_t gatherer; /* at work on this load's configuration, or 0 */
    int channel;    /* to the recorder; -1 = none */
    int control_fd, ledger_fd, scoreboard_fd, block_fd; /* memfds, -1 = none */
    int pages_fd; /* the socket at which the recorder answers the handler; -1 = none */
    char pages_path[512];
    uint32_t generation;
    uint64_t started_us, reload_us;
    uint64_t respawned_us; /* monotonic; when one that died was replaced at once */
    pm_mapping live;
    pm_mapping control;
    pm_mapping old[PM_OLD_REGIONS];
    char memory_capture[512]; /* the capture in the runtime directory, "" = none */
} pm_retained;

pm_retained *pm_retained_get(void);

#endif
