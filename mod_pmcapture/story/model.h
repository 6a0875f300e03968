/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * model.h: a model while it is loaded: model.c reads the capture file, model_live.c what lies beside it.
 */
#ifndef PM_MODEL_PRIVATE_H
#define PM_MODEL_PRIVATE_H

#include "pm_live.h"
#include "pm_source.h"

#define MAX_REGIONS 16u

typedef struct pm_loading {
    pm_model *m;
    pm_capture *capture;
    const pm_query *q;
    apr_pool_t *pool;
    pm_checkpoint *cp;
    uint32_t region_count;
    pm_live regions[MAX_REGIONS];
} pm_loading;

/** Live regions of the capture, in the directory or where the file's .run points. */
void pm_model_regions(pm_loading *l, const char *run_dir);
enum pm_state pm_model_state(const pm_loading *l);
/** Workers that live on without their parent, now. Of a copy, or of what runs elsewhere, only the last tick tells. */
int pm_model_orphans(const pm_loading *l, const pm_live *own);
/** Count what dead runs' regions still hold. */
void pm_model_remainder(pm_loading *l);
/** Virtual hosts of the newest run, from its live region. */
void pm_model_vhosts(pm_loading *l, const pm_live *live);

#endif
