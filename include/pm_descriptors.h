/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_descriptors.h: giving up file descriptors that a process or a thread was handed and does not work with.
 */
#ifndef PM_DESCRIPTORS_H
#define PM_DESCRIPTORS_H

/** Close every descriptor from `from` to `to`, both included; `to` of ~0u means all from `from` on. It closes those of
 *  the calling thread's own table. Not thread-safe where other threads open files in the same table. */
void pm_descriptors_close(unsigned from, unsigned to);

#endif
