/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_lines.c: a snapshot's directives, one after the other, and where they stand.
 */
#include "config_private.h"

#include <string.h>

#include "pm_hash.h"

static uint64_t sum_of(const pm_config_place *p)
{
    uint64_t all[4] = {XXH3_64bits(p->file, p->file_len), p->line,
                       p->used_file_len > 0 ? XXH3_64bits(p->used_file, p->used_file_len) : 0,
                       p->used_line};

    return XXH3_64bits(all, sizeof(all)) | 1;
}

uint64_t pm_config_place_sum(const char *file, uint32_t line)
{
    pm_config_place p;

    pm_config_parse_place(file, &p);
    p.line += line; /* a macro's lines are counted from its definition */
    return sum_of(&p);
}

static uint64_t sum_of_entry(const pm_snapshot *s, const pm_snapshot_entry *e)
{
    pm_config_place p = {.file = pm_snapshot_text(s, e->file),
                         .line = e->line,
                         .used_file = pm_snapshot_text(s, e->used_file),
                         .used_line = e->used_line};

    p.file_len = strlen(p.file);
    p.used_file_len = strlen(p.used_file);
    return sum_of(&p);
}

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
            line.place = sum_of_entry(s, &e[n]);
        }
        found(ctx, &line);
    }
}
