/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * model.c: from a capture file, and what lies beside it, to a model.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "model.h"
#include "pm_source.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define AROUND_US (120 * PM_SECOND)
#define SILENT_US (10 * PM_SECOND) /* a loaded machine delays a tick, too */
#define MAX_NOTICES 8u

const char *pm_state_name(enum pm_state state)
{
    static const char *const names[] = {"unknown", "running", "stopped", "down"};

    return names[state <= PM_STATE_DOWN ? state : PM_STATE_UNKNOWN];
}

uint64_t pm_model_requests(const pm_totals *totals)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < PM_STATUS_SLOTS; i++) {
        n += totals->status[i];
    }
    return n;
}

uint64_t pm_model_errors(const pm_totals *totals)
{
    uint64_t n = 0;

    for (uint32_t i = 400; i < 500; i++) {
        n += totals->status[i];
    }
    return n;
}

static void notice(pm_loading *l, const char *sentence)
{
    if (l->m->notice_count < MAX_NOTICES && sentence[0] != '\0') {
        char *clean = apr_palloc(l->pool, 512);

        pm_text_clean(clean, 512, sentence, 1024);
        l->m->notices[l->m->notice_count++] = clean;
    }
}

/* ---- history ---- */

static int by_arrival(const void *a, const void *b)
{
    const pm_sample *x = a, *y = b;

    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

static int is_told(const pm_loading *l, const pm_incident *in)
{
    return l->q->incident != 0 || l->q->told == PM_TELL_ALL ||
           (l->q->told == PM_TELL_OPEN && in->open);
}

static enum pm_part part_of(void *ctx, const pm_incident *in)
{
    const pm_loading *l = ctx;

    if ((l->q->incident != 0 && in->id != l->q->incident) || in->onset_us >= l->q->until_us ||
        (!in->open && in->end_us < l->q->since_us)) {
        return PM_PART_NONE;
    }
    return is_told(l, in) ? PM_PART_WHOLE : PM_PART_FIGURES;
}

static void load_samples(pm_loading *l, pm_case *c)
{
    pm_sample *samples;

    if (pm_capture_samples(l->capture, c->incident, &samples, &c->sample_count, l->pool) ==
        APR_SUCCESS) {
        if (c->sample_count > 0) {
            qsort(samples, c->sample_count, sizeof(*samples), by_arrival);
        }
        c->samples = samples;
    }
}

static apr_status_t load_cases(pm_loading *l)
{
    pm_incident **list;
    size_t count;
    apr_status_t rv = pm_capture_incidents_of(l->capture, part_of, l, &list, &count, l->pool);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    l->m->cases = apr_pcalloc(l->pool, sizeof(pm_case) * (count + 1));
    l->m->case_count = count;
    for (size_t i = 0; i < count; i++) {
        pm_case *c = &l->m->cases[i];

        c->incident = list[i];
        c->figures_only = !is_told(l, list[i]);
        if (!c->figures_only) {
            load_samples(l, c);
        }
    }
    return APR_SUCCESS;
}

/** What events and series cover: the query's bounds, or one incident and two minutes around it. */
static void find_bounds(pm_loading *l, uint64_t *since, uint64_t *until)
{
    *since = l->q->since_us;
    *until = l->q->until_us;
    if (l->q->incident != 0 && l->m->case_count == 1) {
        const pm_incident *in = l->m->cases[0].incident;

        *since = in->onset_us > AROUND_US ? in->onset_us - AROUND_US : 0;
        *until = in->open ? UINT64_MAX : in->end_us + AROUND_US;
    }
}

/** How much of the history has to be read. */
enum reach { REACH_ALL, REACH_STORIES, REACH_LATEST };

/** Where the stories that are told begin: the first onset. */
static uint64_t first_onset(const pm_loading *l)
{
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < l->m->case_count; i++) {
        const pm_case *c = &l->m->cases[i];

        if (!c->figures_only && c->incident->onset_us < first) {
            first = c->incident->onset_us;
        }
    }
    return first;
}

/** Stories of what is open need its own time and what came shortly before, and besides that the page shows only the
 *  latest; a document of everything is made of everything. */
static enum reach find_reach(const pm_loading *l, int stories)
{
    const pm_query *q = l->q;
    int shows = (q->view & (PM_VIEW_EVENTS | PM_VIEW_SERIES)) != 0;

    if (q->incident != 0 || q->told == PM_TELL_ALL ||
        (shows && (!q->latest || q->since_us != 0 || q->until_us != UINT64_MAX))) {
        return REACH_ALL;
    }
    return stories || l->m->state == PM_STATE_STOPPED ? REACH_STORIES : REACH_LATEST;
}

/** A story looks at two minutes before its onset, its chart at a bar's width more. A tick is a second or longer, so
 *  there are no more of them than seconds. The page's own chart takes pinned seconds where the ring is too short. */
static apr_status_t load_rows_of_stories(pm_loading *l, pm_row **rows)
{
    const uint64_t latest = l->q->latest ? PM_LATEST_SECONDS * PM_SECOND : 0;
    uint64_t onset = first_onset(l), now = l->m->server.heartbeat_us;
    uint64_t elapsed = now > onset ? now - onset : 0, newest = onset + elapsed;
    uint64_t back = elapsed + AROUND_US + elapsed / 128 + PM_SECOND;
    uint64_t most = (back > latest ? back : latest) / PM_SECOND * 17 / 16 + 128;

    if (back < latest && l->m->oldest_second_us + latest > newest) {
        back = latest;
    }
    return pm_capture_seconds_around(l->capture, l->m->tick, most,
                                     newest > back ? newest - back : 0, rows, &l->m->row_count,
                                     l->pool);
}

static apr_status_t load_rows(pm_loading *l, enum reach reach)
{
    pm_model *m = l->m;
    pm_row *rows = NULL;
    apr_status_t rv;

    if (reach == REACH_ALL) {
        rv = pm_capture_seconds(l->capture, 0, UINT64_MAX, &rows, &m->row_count, l->pool);
    }
    else if (first_onset(l) != UINT64_MAX) {
        rv = load_rows_of_stories(l, &rows);
    }
    else {
        rv = pm_capture_latest_seconds(l->capture, m->tick, PM_LATEST_SECONDS, &rows, &m->row_count,
                                       l->pool);
    }
    m->rows = rows;
    return rv;
}

/** Keep what lies in the bounds; minutes when the seconds do not reach back that far. */
static apr_status_t bound_history(pm_loading *l, uint64_t since, uint64_t until)
{
    pm_model *m = l->m;
    size_t first = 0, last;

    if ((l->q->view & PM_VIEW_SERIES) && since != 0 && l->q->incident == 0 &&
        m->oldest_second_us > since + 60 * PM_SECOND) {
        pm_row *rows;
        apr_status_t rv =
            pm_capture_minutes(l->capture, since, until, &rows, &m->row_count, l->pool);

        m->rows = rows;
        m->resolution_us = 60 * PM_SECOND;
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    else {
        while (first < m->row_count && m->rows[first].at_us < since) {
            first++;
        }
        for (last = first; last < m->row_count && m->rows[last].at_us < until; last++) {
        }
        m->rows = first > 0 ? m->rows + first : m->rows; /* there may be none at all */
        m->row_count = last - first;
    }
    for (first = 0; first < m->event_count && m->events[first].at_us < since; first++) {
    }
    for (last = first; last < m->event_count && m->events[last].at_us < until; last++) {
    }
    m->events = first > 0 ? m->events + first : m->events;
    m->event_count = last - first;
    return APR_SUCCESS;
}

/** While the server runs, only what the last tick knew: then two readers of one tick read the same. */
static void drop_newer_events(pm_loading *l, pm_event *events)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->m->event_count; i++) {
        if (l->m->state != PM_STATE_RUNNING || events[i].seq <= l->cp->last_event) {
            events[kept++] = events[i];
        }
    }
    l->m->event_count = kept;
}

/** It was stopped in order, and then a start failed: that is no rest any more. */
static int start_failed(const pm_loading *l)
{
    const pm_server *s = &l->cp->server;

    for (size_t i = 0; i < l->m->event_count; i++) {
        const pm_event *e = &l->m->events[i];

        if (pm_event_has(e, PM_IS_FAILURE) && e->at_us > s->stopped_us) {
            return 1;
        }
    }
    return 0;
}

static apr_status_t load_events(pm_loading *l, enum reach reach)
{
    pm_model *m = l->m;
    pm_event *events = NULL;
    uint64_t onset = first_onset(l);
    apr_status_t rv;

    if (reach == REACH_ALL) {
        rv = pm_capture_events(l->capture, 0, UINT64_MAX, &events, &m->event_count, l->pool);
    }
    else if (reach == REACH_STORIES) {
        rv = pm_capture_events_around(
            l->capture, onset > PM_STORY_EVENTS_US ? onset - PM_STORY_EVENTS_US : 0,
            pm_event_types_with(PM_IS_EVER), l->q->latest ? PM_LATEST_EVENTS : 0, &events,
            &m->event_count, l->pool);
    }
    else {
        rv = pm_capture_latest_events(l->capture, PM_LATEST_EVENTS, &events, &m->event_count,
                                      l->pool);
    }
    m->events_since_us = pm_capture_events_since(l->capture);
    if (rv == APR_SUCCESS) {
        m->events = events;
        drop_newer_events(l, events);
        if (m->state == PM_STATE_STOPPED && start_failed(l)) {
            m->state = PM_STATE_DOWN;
        }
    }
    return rv;
}

/* ---- the last change ---- */

static int is_crash(const pm_event *e)
{
    return e->type == PM_EV_CHILD_CRASH;
}

/** The newest of those that the last tick knew. */
static const pm_event *newest(const pm_loading *l, const pm_event *events, size_t count,
                              int (*wanted)(const pm_event *))
{
    while (count-- > 0) {
        if (wanted(&events[count]) &&
            (l->m->state != PM_STATE_RUNNING || events[count].seq <= l->cp->last_event)) {
            return &events[count];
        }
    }
    return NULL;
}

/** Among the latest events most times, so all of them are looked through only when it is not. */
static const pm_event *find_last(const pm_loading *l, uint64_t types,
                                 int (*wanted)(const pm_event *))
{
    pm_event *events;
    size_t count;
    const pm_event *found = NULL;

    if (pm_capture_latest_events(l->capture, PM_LATEST_EVENTS, &events, &count, l->pool) ==
        APR_SUCCESS) {
        found = newest(l, events, count, wanted);
    }
    if (found == NULL && pm_capture_events_around(l->capture, UINT64_MAX, types, 0, &events, &count,
                                                  l->pool) == APR_SUCCESS) {
        found = newest(l, events, count, wanted);
    }
    return found;
}

static void find_last_events(const pm_loading *l)
{
    l->m->last_change = find_last(l, pm_event_types_with(PM_IS_CHANGE), pm_event_is_change);
    if (l->cp->server.crashes > 0) {
        l->m->last_crash = find_last(l, PM_EVENT_BIT(PM_EV_CHILD_CRASH), is_crash);
    }
}

static apr_status_t load_history(pm_loading *l)
{
    pm_model *m = l->m;
    uint64_t since, until;
    int stories;
    enum reach reach;
    apr_status_t rv = APR_SUCCESS;

    m->resolution_us = PM_SECOND;
    m->oldest_second_us = pm_capture_oldest_second(l->capture, m->tick);
    if (l->q->incident != 0 || (l->q->view & PM_VIEW_INCIDENTS)) {
        rv = load_cases(l);
    }
    stories = first_onset(l) != UINT64_MAX;
    reach = find_reach(l, stories);
    if (rv == APR_SUCCESS &&
        (stories || (l->q->view & PM_VIEW_EVENTS) || m->state == PM_STATE_STOPPED)) {
        rv = load_events(l, reach);
    }
    if (rv == APR_SUCCESS && (stories || (l->q->view & PM_VIEW_SERIES))) {
        rv = load_rows(l, reach);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (l->q->view & PM_VIEW_TOTALS) {
        find_last_events(l);
    }
    for (size_t i = 0; i < m->case_count; i++) {
        if (!m->cases[i].figures_only) {
            pm_story_tell(m, &m->cases[i], l->pool);
        }
    }
    find_bounds(l, &since, &until);
    return bound_history(l, since, until);
}

static void say_damage(pm_loading *l)
{
    pm_damage d = pm_capture_damage(l->capture);

    /* APR's formats know no "ll". */
    if (d.records != 0) {
        notice(l, apr_psprintf(l->pool, "%" APR_UINT64_T_FMT " damaged records were skipped in %s",
                               d.records, pm_capture_path(l->capture)));
    }
    if (d.missing_bytes != 0) {
        notice(l, apr_psprintf(l->pool,
                               "%s is %" APR_UINT64_T_FMT
                               " bytes shorter than it should be: what was there is lost",
                               pm_capture_path(l->capture), d.missing_bytes));
    }
}

static void fill_model(pm_loading *l)
{
    pm_model *m = l->m;

    m->generated_us = pm_time_now();
    m->capture_id = pm_capture_id_text(l->capture);
    m->path = pm_capture_path(l->capture);
    m->created_us = pm_capture_created(l->capture);
    m->notices = apr_pcalloc(l->pool, sizeof(char *) * MAX_NOTICES);
    m->tick = l->cp->tick;
    m->events_lost = l->cp->events_lost;
    memcpy(m->incidents_by_kind, l->cp->incidents_by_kind, sizeof(m->incidents_by_kind));
    m->server = l->cp->server;
    m->unloaded_us = m->server.unloaded ? m->server.stopped_us : 0;
    m->totals = l->cp->totals;
    m->state = pm_model_state(l);
}

/** A recorder that hangs, or is not there: all that is shown ends with its last tick, and looks as if it were now. */
static void notice_silence(pm_loading *l)
{
    uint64_t last = l->cp->server.heartbeat_us, now = l->m->generated_us;
    char when[PM_TIME_SIZE];

    if (l->m->state == PM_STATE_RUNNING && last != 0 && last + SILENT_US < now) {
        notice(l,
               apr_psprintf(l->pool,
                            "The recorder has written nothing since %s, %d s ago: what came after "
                            "that is not shown",
                            pm_time_format(last, when), (int)((now - last) / PM_SECOND)));
    }
}

apr_status_t pm_model_load(pm_model **out, pm_capture *capture, const pm_source *source,
                           const pm_query *query, apr_pool_t *pool, pm_error *err)
{
    pm_loading *l = apr_pcalloc(pool, sizeof(*l));
    apr_status_t rv;

    l->m = apr_pcalloc(pool, sizeof(*l->m));
    l->cp = apr_pcalloc(pool, sizeof(*l->cp));
    l->capture = capture;
    l->q = query;
    l->pool = pool;
    rv = pm_capture_checkpoint(capture, l->cp);
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        return pm_fail_os(err, rv, "%s cannot be read", pm_capture_path(capture));
    }
    fill_model(l);
    pm_model_regions(l, source->run_dir);
    l->m->server.orphaned = (uint32_t)pm_model_orphans(l, source->live);
    pm_model_remainder(l);
    pm_model_vhosts(l, source->live);
    rv = load_history(l);
    for (uint32_t i = 0; i < l->region_count; i++) {
        pm_live_detach(&l->regions[i]);
    }
    if (rv != APR_SUCCESS) {
        return pm_fail_os(err, rv, "%s cannot be read", pm_capture_path(capture));
    }
    notice(l, l->cp->server.trouble);
    notice_silence(l);
    if (source->trouble != NULL && strcmp(source->trouble, l->cp->server.trouble) != 0) {
        notice(l, source->trouble);
    }
    say_damage(l);
    *out = l->m;
    return APR_SUCCESS;
}

/* ---- a live region alone ---- */

/** What a server has counted since it started, when its capture file is not to be had. */
apr_status_t pm_model_load_live(pm_model **out, const char *path, apr_pool_t *pool, pm_error *err)
{
    pm_model *m = apr_pcalloc(pool, sizeof(*m));
    pm_loading l = {.m = m, .pool = pool};
    pm_live live;
    apr_status_t rv = pm_live_copy(&live, path, err);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    m->generated_us = pm_time_now();
    m->capture_id = apr_pescape_hex(pool, live.capture_id, sizeof(live.capture_id), 0);
    m->path = apr_pstrdup(pool, path);
    m->created_us = live.created_us;
    m->notices = apr_pcalloc(pool, sizeof(char *) * MAX_NOTICES);
    m->resolution_us = PM_SECOND;
    m->state = pm_live_parent_alive(&live) ? PM_STATE_RUNNING : PM_STATE_DOWN;
    m->server = (pm_server){.run = live.run,
                            .pid = live.parent_pid,
                            .pid_start = live.parent_start,
                            .started_us = live.created_us,
                            .busy = PM_UNKNOWN,
                            .idle = PM_UNKNOWN,
                            .limit = PM_UNKNOWN,
                            .in_flight = PM_UNKNOWN};
    m->server.heartbeat_us = atomic_load_explicit(&live.header->heartbeat_us, memory_order_relaxed);
    memcpy(m->server.boot_id, live.boot_id, sizeof(m->server.boot_id));
    pm_live_totals(&live, &m->totals, NULL);
    pm_model_vhosts(&l, live.layout == PM_LIVE_LAYOUT ? &live : NULL);
    notice(
        &l,
        "This is a live region alone: it holds counters since the server's start, and no history");
    pm_live_detach(&live);
    *out = m;
    return APR_SUCCESS;
}
