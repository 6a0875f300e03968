/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * control.c: what httpd's parent and the recorder tell each other.
 */
#include "pm_control.h"

void pm_control_init(pm_control *c, uint64_t run, const pm_live *live)
{
    c->size = sizeof(*c);
    c->run = run;
    c->region_dev = live->file_dev;
    c->region_ino = live->file_ino;
    c->magic = PM_CONTROL_MAGIC;
}

int pm_control_valid(const pm_control *c, uint64_t size)
{
    return size == sizeof(*c) && c->magic == PM_CONTROL_MAGIC && c->size == sizeof(*c);
}
