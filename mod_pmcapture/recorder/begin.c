/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * begin.c: how a run begins: what the last one left is taken up, and how it ended is told.
 */
#include <stdio.h>
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"

/** Also one that was closed so shortly before `end_us`, the last run's end, that a gap would extend it. */
static void resume_incidents(pm_fold *f, uint64_t end_us, apr_pool_t *pool)
{
    pm_incident **list;
    size_t count, samples_count;
    pm_sample *samples;

    if (pm_capture_incidents(f->capture, &list, &count, pool) != APR_SUCCESS) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        pm_heavy_recall(f, list[i]);
        if (list[i]->id >= f->state->checkpoint.next_incident) {
            f->state->checkpoint.next_incident = list[i]->id + 1;
        }
        if ((list[i]->open || (end_us < list[i]->end_us + f->burst.clear * PM_SECOND &&
                               list[i]->onset_us <= end_us)) &&
            pm_capture_samples(f->capture, list[i], &samples, &samples_count, pool) ==
                APR_SUCCESS) {
            pm_incident_resume(f, list[i], samples, samples_count);
        }
    }
}

/** The minutes and seconds that are on record stand behind the first incidents of this run, too. A run that ended within
 *  a minute has left that one's seconds alone. */
static void remember_rows(pm_fold *f, uint64_t now, apr_pool_t *pool)
{
    pm_ledger *s = f->state;
    pm_row *rows;
    size_t count;

    if (pm_capture_minutes(f->capture, now - 3600 * PM_SECOND, now, &rows, &count, pool) ==
        APR_SUCCESS) {
        for (size_t i = 0; i < count; i++) {
            pm_second *m = &s->minutes[rows[i].at_us / (60 * PM_SECOND) % PM_MINUTES_KEPT];

            memset(m, 0, sizeof(*m));
            m->row = rows[i];
        }
    }
    if (pm_capture_latest_seconds(f->capture, s->checkpoint.tick, PM_SECONDS_KEPT - 1, &rows,
                                  &count, pool) == APR_SUCCESS) {
        for (size_t i = 0; i < count; i++) {
            pm_second *second = pm_second_of(s, rows[i].tick);

            memset(second, 0, sizeof(*second));
            second->row = rows[i];
        }
    }
}

/** When the failures came that a dead run counted after its last tick: they are in its last epoch. */
static void take_old_times(pm_fold *f, pm_tick *t)
{
    pm_figures *fig = &t->figures[PM_SCOPE_SERVER];

    for (uint32_t i = 0; i < PM_OLD_REGIONS && fig->errors > 0; i++) {
        const pm_live *old = f->old[i];
        uint32_t epoch;

        if (old == NULL || old->layout != PM_LIVE_LAYOUT) {
            continue;
        }
        epoch = atomic_load(&old->header->epoch) % PM_EPOCHS;
        for (uint32_t v = 0; v < old->geo.vhosts; v++) {
            uint64_t first = atomic_load(&old->vhosts[v].epoch[epoch].first_error_us);
            uint64_t last = atomic_load(&old->vhosts[v].last_error_us);

            if (first != 0 && first <= t->now_us &&
                (fig->first_error_us == 0 || first < fig->first_error_us)) {
                fig->first_error_us = first;
            }
            if (last <= t->now_us && last > fig->last_error_us) {
                fig->last_error_us = last;
            }
        }
    }
    if (fig->last_error_us > f->state->scope[PM_SCOPE_SERVER].last_error_us) {
        f->state->scope[PM_SCOPE_SERVER].last_error_us = fig->last_error_us;
    }
}

/** How the last run ended. */
typedef struct ending {
    uint64_t stopped_us;    /* in order; 0 = it did not */
    const pm_event *failed; /* a reload or an error of its own that ended it, NULL = none did */
    const pm_event *start;  /* the first that failed since, NULL = none did */
} ending;

/** The parent puts a stop on record itself; a recorder killed before its last tick left no other word of it. */
static ending find_ending(pm_fold *f, const pm_server *last, apr_pool_t *pool)
{
    ending end = {.stopped_us = last->stopped_us};
    pm_event *events;
    size_t count;

    if (pm_capture_events(f->capture, last->started_us, UINT64_MAX, &events, &count, pool) !=
        APR_SUCCESS) {
        return end;
    }
    for (size_t i = 0; i < count; i++) {
        const pm_event *e = &events[i];

        if (e->type == PM_EV_SERVER_STOP && e->run == last->run && end.stopped_us == 0) {
            end.stopped_us = e->at_us;
        }
        else if (pm_event_has(e, PM_IS_FAILURE) && e->run == last->run) {
            end.failed = e;
        }
        else if (pm_event_has(e, PM_IS_FAILURE) && end.start == NULL &&
                 e->at_us >= last->heartbeat_us - PM_SECOND) {
            end.start = e;
        }
    }
    return end;
}

/** Requests that the last run counted after its last tick: one row of their own, judged like any other. */
static void recover(pm_fold *f, uint64_t last_alive, uint64_t now)
{
    pm_ledger *s = f->state;
    pm_tick *t = pm_fold_memory(f);

    if (t == NULL || last_alive == 0) {
        return;
    }
    t->tick = s->checkpoint.tick + 1;
    t->from_us = last_alive;
    t->now_us = last_alive + PM_SECOND < now ? last_alive + PM_SECOND : now;
    t->span_us = t->now_us - t->from_us;
    s->checkpoint.tick = t->tick;
    pm_figures_recover(f, t);
    take_old_times(f, t);
    pm_second_of(s, t->tick)->row.flags |= PM_ROW_RECOVERED;
    pm_fold_judge(f, t);
    pm_incidents_step(f, t);
    pm_fold_to_minute(f, t, &pm_second_of(s, t->tick)->row);
}

/** Did workers go on when the parent had ended? */
static int served_after(pm_fold *f, uint64_t at_us, apr_pool_t *pool)
{
    pm_row *rows;
    size_t count;
    uint64_t requests = 0;

    if (pm_capture_seconds(f->capture, at_us, UINT64_MAX, &rows, &count, pool) != APR_SUCCESS) {
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        requests += rows[i].requests;
    }
    return requests > 0;
}

/** Until when the last run served: to the tick, or to the very moment at which it ended, where it said so. A reload has
 *  closed what it listens on by then; what its workers still complete came before. */
static uint64_t served_until(pm_fold *f, const pm_server *last, const ending *end, apr_pool_t *pool)
{
    const pm_event *failed = end->failed;
    int known = failed != NULL &&
                (!pm_event_says(failed, "reload", 0) || !served_after(f, failed->at_us, pool));

    return known ? failed->at_us : last->heartbeat_us;
}

static void be_down(pm_fold *f, uint64_t from_us, uint64_t to_us, int lasts)
{
    pm_condition down = {PM_KIND_DOWN, PM_SCOPE_SERVER, from_us, to_us, lasts};

    pm_incident_state(f, &down);
}

int pm_fold_is_down(const pm_fold *f)
{
    return pm_incident_in_state(f, PM_KIND_DOWN, PM_SCOPE_SERVER);
}

/** Write what is open; a second in which there is no server is none of its record. */
static void keep_incidents(pm_fold *f, pm_tick *t, uint64_t now_us)
{
    t->tick = f->state->checkpoint.tick;
    t->now_us = now_us;
    t->set_us = f->state->set_us;
    pm_keep_tick(f, t);
}

void pm_fold_down(pm_fold *f, uint64_t now_us)
{
    pm_tick *t = pm_fold_memory(f);
    apr_pool_t *pool;

    if (t == NULL || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return;
    }
    if (!pm_fold_is_down(f)) {
        const pm_server *last = &f->state->checkpoint.server;
        ending end = find_ending(f, last, pool);

        be_down(f, end.stopped_us != 0 ? end.stopped_us : served_until(f, last, &end, pool), now_us,
                1);
    }
    else {
        be_down(f, now_us, now_us, 1);
    }
    apr_pool_destroy(pool);
    keep_incidents(f, t, now_us);
}

/** A start that failed since, when somebody has written something since the last look. */
static int start_failed(pm_fold *f, const pm_server *last, apr_pool_t *pool)
{
    uint64_t newest = pm_capture_last_event(f->capture);
    ending end;

    if (newest <= f->state->stop_seen) {
        return 0;
    }
    f->state->stop_seen = newest;
    end = find_ending(f, last, pool);
    return end.start != NULL || end.failed != NULL;
}

int pm_fold_stopped(pm_fold *f, uint64_t now_us)
{
    const pm_server *last = &f->state->checkpoint.server;
    pm_tick *t = pm_fold_memory(f);
    apr_pool_t *pool;
    int failed;

    if (t == NULL || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 0;
    }
    failed = start_failed(f, last, pool);
    if (failed) {
        pm_stopped_end(f, now_us); /* from here on it is down */
    }
    else {
        pm_stopped_begin(f, last, now_us, pool);
    }
    apr_pool_destroy(pool);
    if (pm_stopped_lasts(f)) {
        keep_incidents(f, t, now_us);
    }
    return failed;
}

static void say_unclean(pm_fold *f, const ending *end, uint64_t last_alive, uint64_t now)
{
    char when[PM_TIME_SIZE], span[PM_TIME_SIZE];
    uint64_t gap = now > last_alive ? now - last_alive : 0;
    pm_draft d;

    pm_draft_begin(&d, PM_EV_SERVER_UNCLEAN,
                   f->server.started_us > last_alive ? f->server.started_us : now);
    pm_draft_time(&d, "last_alive", last_alive);
    pm_draft_seconds(&d, "gap", gap / 1000 * 1000);
    pm_fold_event(f, pm_draft_end(&d, "The last run %s: last alive %s, %s before this start",
                                  end->failed == NULL ? "ended without a stop"
                                  : pm_event_says(end->failed, "reload", 0)
                                      ? "ended itself after an error"
                                      : "was ended by a reload that failed",
                                  pm_time_format(last_alive, when), pm_time_span(gap, span)));
    be_down(f, last_alive, now, 0);
}

/** A stop in order is a gap that was meant, unless it was not to last that long: a start failed, or an incident was
 *  open and goes on. */
static void tell_ending(pm_fold *f, const pm_server *last, uint64_t now, apr_pool_t *pool)
{
    ending end = find_ending(f, last, pool);

    if (last->heartbeat_us == 0) {
        return;
    }
    if (end.stopped_us == 0) {
        say_unclean(f, &end, served_until(f, last, &end, pool), now);
    }
    else if (end.start != NULL || end.failed != NULL ||
             (pm_incident_serving_failed(f) && !pm_stopped_lasts(f))) {
        be_down(f, end.stopped_us, now, 0);
    }
    else {
        pm_stopped_begin(f, last, now, pool);
    }
    pm_stopped_end(f, now);
}

static void say_reboot(pm_fold *f, const pm_server *last)
{
    pm_draft d;

    if (last->boot_id[0] == '\0' || strcmp(last->boot_id, f->server.boot_id) == 0) {
        return;
    }
    pm_draft_begin(&d, PM_EV_HOST_REBOOT, f->server.started_us);
    pm_draft_text(&d, "from", last->boot_id);
    pm_draft_text(&d, "to", f->server.boot_id);
    pm_fold_event(f, pm_draft_end(&d, "The machine was started anew since the last run"));
}

/** A reload that needs more room, or another layout, begins a run in the server that goes on. */
static int is_same_server(const pm_server *last, const pm_server *now)
{
    return last->pid == now->pid && last->pid_start != 0 && last->pid_start == now->pid_start &&
           last->pid_namespace == now->pid_namespace && strcmp(last->boot_id, now->boot_id) == 0;
}

apr_status_t pm_fold_begin(pm_fold *f, uint64_t now_us, uint64_t monotonic_us, apr_pool_t *pool,
                           pm_error *err)
{
    pm_ledger *s = f->state;
    pm_server last;
    apr_status_t rv;

    if (s->started != 0) {
        return APR_SUCCESS; /* another recorder of this run was here: its state is ours */
    }
    rv = pm_capture_checkpoint(f->capture, &s->checkpoint);
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        return pm_fail(err, rv, "the checkpoint of %s cannot be read", pm_capture_path(f->capture));
    }
    if (s->checkpoint.next_incident == 0) {
        s->checkpoint.next_incident = 1;
    }
    last = s->checkpoint.server;
    s->written_tick = s->checkpoint.tick;
    s->shipped_event = s->checkpoint.last_event;
    s->checkpoint.server.trouble[0] = '\0';
    resume_incidents(f, last.heartbeat_us, pool);
    remember_rows(f, now_us, pool);
    pm_silence_remember(f, now_us);
    if (last.run != 0 && last.run != s->run) {
        recover(f, last.heartbeat_us, now_us);
        if (!is_same_server(&last, &f->server)) {
            say_reboot(f, &last);
            tell_ending(f, &last, now_us, pool);
        }
    }
    s->last_us = now_us;
    s->last_monotonic_us = monotonic_us;
    s->started = now_us;
    return APR_SUCCESS;
}
