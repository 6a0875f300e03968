/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * recorder.h: what the recorder is handed over with a configuration.
 */
#ifndef PM_MODULE_RECORDER_H
#define PM_MODULE_RECORDER_H

#include <httpd.h>

/** This configuration's block (pm_handover.h), as a sealed memfd; -1 with errno. `p` is used no longer. */
int pm_block_make(apr_pool_t *p, server_rec *s);
/** Send the block and all descriptors; never waits. */
apr_status_t pm_hand_over(server_rec *s, int channel);
/** At the last time, was there a socket on each address of PMCaptureListen? */
int pm_all_listening(void);

#endif
