/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_guard.h: a live region that somebody truncates ends no process.
 *
 * From pm_guard_install on, a page of a guarded region that its file no longer has reads as zeros, where it would end this
 * process by SIGBUS. Free until that happens. For each process; the handler is async-signal-safe.
 */
#ifndef PM_GUARD_H
#define PM_GUARD_H

#include "pm_live.h"

#define PM_GUARDED 16u

/** Guard `live`, mapped now or later; it stays where it is until it is forgotten. A region guarded twice is one. */
void pm_guard_add(const pm_live *live);
void pm_guard_forget(const pm_live *live);
/** Take the signal; again when something else has set its handler, as httpd does after post_config. */
void pm_guard_install(void);
/** Give the signal back, and guard nothing: no handler may point into a module that is unloaded. */
void pm_guard_remove(void);

#endif
