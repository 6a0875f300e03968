/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * silence_past.c: how many clients came before: kept with each row, recalled after a restart, compared with another day.
 */
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"

#define AROUND_US (1800 * PM_SECOND)

/* ---- another day ---- */

/** Clients of a minute; where health checkers are not told apart, no more than that; -1 = not known. */
static double people_then(const pm_row *row)
{
    if (row->people != 0) {
        return row->people - 1;
    }
    return row->clients != PM_UNKNOWN ? (double)row->clients : -1;
}

/** Outages on record that nobody doubts: a silence of which nothing else tells may have been usual. */
static enum pm_part is_sure(void *ctx, const pm_incident *in)
{
    (void)ctx;
    return in->kinds & (PM_KIND_DOWN | PM_KIND_STOPPED) ||
                   (in->kinds & PM_KIND_SILENCE && in->kinds & PM_KIND_UNREACHABLE)
               ? PM_PART_FIGURES
               : PM_PART_NONE;
}

/** Some minutes, and the outages on record. */
typedef struct past {
    pm_row *rows;
    size_t count, outages;
    pm_incident **outage;
} past;

/** Was there a minute in which nobody came? Else no outage matters, and none is read. */
static int has_empty(const past *p)
{
    int empty = 0;

    for (size_t i = 0; i < p->count; i++) {
        empty |= p->rows[i].people == 1;
    }
    return empty;
}

static int is_outage(const past *p, const pm_row *minute)
{
    for (size_t i = 0; i < p->outages; i++) {
        if (minute->at_us < p->outage[i]->end_us &&
            minute->at_us + 60 * PM_SECOND > p->outage[i]->onset_us) {
            return 1;
        }
    }
    return 0;
}

/** Clients a minute from then to then, but for outages; -1: too few minutes tell. */
static double mean_of(const past *p, uint64_t from_us, uint64_t to_us)
{
    double clients = 0, minutes = 0;

    for (size_t i = 0; i < p->count; i++) {
        double n = people_then(&p->rows[i]);

        if (p->rows[i].at_us >= from_us && p->rows[i].at_us < to_us && n >= 0 &&
            !(p->rows[i].people == 1 && is_outage(p, &p->rows[i]))) {
            clients += n;
            minutes++;
        }
    }
    return minutes >= 5 ? clients / minutes : -1;
}

double pm_silence_usual(pm_fold *f, uint64_t now, uint64_t before)
{
    uint64_t then = now - before;
    past p = {.count = 0};
    apr_pool_t *pool;
    double until, from;

    if (now < before + AROUND_US || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return -1;
    }
    if (pm_capture_minutes(f->capture, then - AROUND_US, then + AROUND_US, &p.rows, &p.count,
                           pool) != APR_SUCCESS) {
        p.count = 0;
    }
    if (has_empty(&p) && pm_capture_incidents_of(f->capture, is_sure, NULL, &p.outage, &p.outages,
                                                 pool) != APR_SUCCESS) {
        p.outages = 0;
    }
    until = mean_of(&p, then - AROUND_US, then);
    from = mean_of(&p, then, then + AROUND_US);
    if (until < 0 && from < 0) {
        until = mean_of(&p, then - AROUND_US, then + AROUND_US);
    }
    apr_pool_destroy(pool);
    return from >= 0 && (until < 0 || from < until) ? from : until;
}

/* ---- on record ---- */

static uint16_t count_set(const pm_client_set *set, uint32_t level)
{
    double n = pm_set_count(pm_set_bits(set, level)) * pm_set_scale(level) + 0.5;

    return n < UINT16_MAX - 1 ? (uint16_t)n : UINT16_MAX - 1;
}

void pm_silence_count(pm_fold *f, const pm_tick *t, pm_row *second)
{
    pm_quiet *q = &f->state->quiet;
    pm_row *minute = &f->state->minute.row;
    uint64_t number = minute->at_us / (60 * PM_SECOND);
    pm_client_set all = {0}, fresh;

    if (!f->clients) {
        return;
    }
    if (q->minute != number) {
        q->last_known = q->minute + 1 == number;
        q->last_people = q->people;
        q->minute = number;
        memset(&q->people, 0, sizeof(q->people));
    }
    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&all, &t->figures[PM_SCOPE_SERVER].met[i]);
    }
    pm_set_merge(&q->people, &all);
    fresh = q->people;
    pm_set_subtract(&fresh, &q->last_people);
    second->people = (uint16_t)(1 + count_set(&all, pm_set_level(&all)));
    minute->people = (uint16_t)(1 + count_set(&q->people, pm_set_level(&q->people)));
    minute->fresh = q->last_known ? count_set(&fresh, pm_set_level(&q->people)) : 0;
}

void pm_silence_remember(pm_fold *f, uint64_t now_us)
{
    for (uint32_t i = 1; i <= PM_MINUTES_KEPT; i++) {
        /* slots go by the minute's number: from the oldest on */
        uint64_t number = now_us / (60 * PM_SECOND) + i;
        const pm_row *row = &f->state->minutes[number % PM_MINUTES_KEPT].row;

        if (row->span_us != 0 && row->people != 0) {
            pm_silence_recall(&f->state->quiet.silence, (uint32_t)(row->span_us / PM_SECOND),
                              row->people - 1u, row->fresh);
        }
    }
}
