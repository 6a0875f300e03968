/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * watch.h: the module's side of the watch over files (pm_watch.h).
 */
#ifndef PM_MODULE_WATCH_H
#define PM_MODULE_WATCH_H

#include "module.h"
#include "pm_watch.h"

/* objects.c */
/** Every object that is mapped into this process. */
void pm_objects_put(pm_watch_table *t, apr_pool_t *p);

/* watch.c */
/** In the parent: a table that the recorders share, with what PMCaptureWatch names. */
void pm_watch_prepare(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s);
/** In a recorder that is still root, after pm_config_take: what else is to be watched. It may block as httpd's own start
 *  does. */
void pm_watch_fill(apr_pool_t *pool, server_rec *s);
/** After that: which shared objects and certificates this load took anew; how many, the first `most` in `files`. */
size_t pm_watch_news_of_load(pm_watch_file *files, size_t most);
/** They are on record: the next load compares with this one. */
void pm_watch_is_told(void);
/** In the recorder that has the lease. */
void pm_watch_record(pm_fold *f, apr_pool_t *pool);
/** In the parent, every ten seconds or so: let a helper look at what the recorder may not. Never blocks. */
void pm_watch_monitor(void);
/** Are files watched in this generation? */
int pm_watch_is_on(void);
/** A worker has no part in it. */
void pm_watch_leave(void);
/** A request is about to read an .htaccess file, if it is there. */
apr_status_t pm_htaccess_opened(request_rec *r, const char *dir, const char *name,
                                ap_configfile_t **file, const char **full_name);
/** A request failed: hand over which .htaccess files it has read. */
void pm_htaccess_failed(const request_rec *r, const request_rec *final);

#endif
