/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_source.h: from a capture file, and what lies beside it, to a model.
 *
 * Safe on hostile files: nothing named in a file is opened. A live region is looked for only in the runtime
 * directory that the caller gives, or in the one that the link CAPTURE.run points to (the module makes it),
 * by a name that follows from the capture's id; it must be a regular file with that id inside.
 */
#ifndef PM_SOURCE_H
#define PM_SOURCE_H

#include "pm_model.h"

/** What is read by default when the query names no bounds: everything that is kept. */
#define PM_QUERY_ALL ((pm_query){PM_VIEW_ALL, 0, 0, UINT64_MAX, 0, PM_TELL_ALL, 0})

/** What lies beside a capture file. */
typedef struct pm_source {
    const char *run_dir; /* where live regions are; NULL = where CAPTURE.run points, "" = nowhere */
    const char *trouble; /* what this process knows is not recorded; NULL = nothing */
    const struct pm_live
        *live; /* the running server's own region, if this process has it; else NULL */
} pm_source;

/** Load what `query` asks for. When no process of the run is alive, what its live region counted after the last tick
 *  is added to the totals. Damage is no error: it is said in the notices. */
apr_status_t pm_model_load(pm_model **out, pm_capture *capture, const pm_source *source,
                           const pm_query *query, apr_pool_t *pool, pm_error *err);

/** A live region by itself: totals since the server's start, no history; said in a notice. */
apr_status_t pm_model_load_live(pm_model **out, const char *path, apr_pool_t *pool, pm_error *err);

/** A handler's or command's parameters. `key` one of view, since, until, incident, refresh; APR_ENOTIMPL for
 *  any other (to be ignored), APR_EINVAL with one sentence for a bad value. */
apr_status_t pm_query_set(pm_query *query, const char *key, const char *value, uint64_t now_us,
                          pm_error *err);

#endif
