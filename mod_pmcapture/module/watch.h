/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch.h: the module's side of the watch over files (pm_watch_table.h).
 */
#ifndef PM_MODULE_WATCH_H
#define PM_MODULE_WATCH_H

#include "module.h"
#include "pm_watch_table.h"

/* objects.c */
/** Every object that is mapped into this process. */
void pm_objects_put(pm_watch_table *t, apr_pool_t *p);

/* watch.c */
/** In the parent: a table that is handed over, with what PMCaptureWatch names. */
void pm_watch_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
/** In the gatherer, when the configuration's files are known: what else is to be watched. It may block as httpd's own start
 *  does. */
void pm_watch_fill(apr_pool_t *pool, server_rec *s);
/** Of the tables of the last load and of this one; -1 = none. */
void pm_watch_descriptors(int *last, int *now);
/** In the parent, every ten seconds or so: let a helper look at what the recorder may not. Never blocks. */
void pm_watch_monitor(void);
void pm_watch_each(void (*act)(int *fd));
/** As madvise(2), of the tables. */
void pm_watch_advise(int advice);
/** A worker has no part in it. */
void pm_watch_leave(void);
/** A line of the error log at level alert: it may say that a request cannot be served because an .htaccess file is broken.
 *  Then which one is handed over. */
void pm_htaccess_broken(const request_rec *r, const char *message);
/** A request failed: hand over which .htaccess files it has read. */
void pm_htaccess_failed(const request_rec *r, const request_rec *final);

#endif
