/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * service.h: the parent's connection to a recorder that is a service of its own (pm_service.h).
 */
#ifndef PM_MODULE_SERVICE_H
#define PM_MODULE_SERVICE_H

#include <httpd.h>

/** In the parent, before the capture file is opened: look for the service that PMCaptureRecorder allows, when no recorder
 *  of httpd's own is at work; for a quarter of a second at most. `capture` is PMCaptureFile's path, NULL = none. */
void pm_service_find(server_rec *s, const char *capture);
/** 1 when the recorder is a service, also while that one is away: httpd starts none. */
int pm_service_is_used(void);
/** Where a configuration is handed over; -1 = nobody is there. */
int pm_service_channel(void);
/** 1 when a recorder is at work for this httpd: a service, or one that httpd has started. */
int pm_recorder_is_there(void);
/** 1 when this is the pid of the service's supervising process. */
int pm_service_is(uint32_t pid);
/** A listening socket for this address that the service has offered; it becomes the caller's. -1 = none. */
int pm_service_take_offer(const char *spec, apr_pool_t *pool);
/** The others are not needed. */
void pm_service_close_offers(void);
/** Every ten seconds or so: 1 when one that was away is there again, and has what it is handed over to come. */
int pm_service_check(server_rec *s);
/** It does not take what it is handed over: look for it again. */
void pm_service_lose(void);
/** Nothing of this configuration is its any more. */
void pm_service_dismiss(void);
/** For each descriptor that it keeps (see pm_listen_each). */
void pm_service_each(void (*act)(int *fd));
/** A worker has no part in it. */
void pm_service_leave(void);

#endif
