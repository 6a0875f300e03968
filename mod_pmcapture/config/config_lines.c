/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_lines.c: a snapshot's directives, one after the other.
 */
#include "config_private.h"

#include <string.h>

void pm_snapshot_each(const pm_snapshot *s, void (*found)(void *ctx, const pm_config_line *line),
                      void *ctx)
{
    const pm_snapshot_entry *e = pm_snapshot_entries(s);
    const pm_snapshot_container *c = pm_snapshot_containers(s);

    for (uint32_t n = 0; n < s->entry_count; n++) {
        pm_config_line line = {.container = e[n].container,
                               .opens = e[n].opens,
                               .directive = pm_snapshot_text(s, e[n].directive),
                               .args = pm_snapshot_text(s, e[n].args),
                               .file = pm_snapshot_text(s, e[n].file),
                               .line = e[n].line};

        if (*pm_snapshot_text(s, e[n].used_file) != '\0') { /* of a macro: where it is used */
            line.file = pm_snapshot_text(s, e[n].used_file);
            line.line = e[n].used_line;
        }
        if (e[n].opens != 0) {
            line.label = pm_snapshot_text(s, c[e[n].opens].label);
        }
        found(ctx, &line);
    }
}
