/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_lease.h: who writes history.
 *
 * The lease is a POSIX record lock on a byte of the capture's lock file and of the capture file itself: the kernel gives it
 * up when its holder dies, and says who holds it. It is the process's, not the descriptor's: a process that
 * closes any descriptor of the file loses it, so the recorder opens none of its own, and asks again when it has taken
 * over another one's descriptors.
 */
#ifndef PM_LEASE_H
#define PM_LEASE_H

#include <sys/types.h>

#include "pm_capture.h"

/** Take the lease if it is free: 1 when this process holds it. */
int pm_lease_take(pm_capture *c);
/** Who holds it: 0 nobody (or this process), -1 somebody in another pid namespace. */
pid_t pm_lease_holder(pm_capture *c);

#endif
