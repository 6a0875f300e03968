/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * cleared.c: which suspects the figures clear, and which nobody watched (pm_story.h).
 *
 * A suspect is cleared only by what was watched.
 */
#include "suspects.h"

#include <string.h>

#include <apr_strings.h>

#define RUSH_US 10e6   /* a surge may be as short as that */
#define FULL_SECONDS 3 /* as many without an idle worker are workers.exhausted */

/* ---- what is cleared; each returns its sentence, or NULL: not cleared ---- */

/* Every second from `from` to `until` has a row: no gap, no missing start or end. */
static int every_second(const pm_telling *t, uint64_t from, uint64_t until)
{
    const pm_model *m = t->m;
    uint64_t slack = 3 * PM_SECOND / 2; /* a tick may be late */
    uint64_t covered = from;
    pm_slice s = pm_story_rows_over(t, from, until);

    if (m->resolution_us != PM_SECOND) {
        return 0;
    }
    for (size_t n = s.first; n < s.last; n++) {
        if (m->rows[n].at_us > covered + slack) {
            return 0;
        }
        covered = m->rows[n].at_us + m->rows[n].span_us;
    }
    return covered + slack >= until && covered > from;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Where the watching begins: `reach` before the onset, or at the first row, or where events have not been pushed out, if
 * that is 5 s at least; PM_EVER when there is less. */
static uint64_t watched_from(const pm_telling *t, uint64_t reach)
{
    uint64_t from = later(pm_story_back(t->i->onset_us, reach), t->m->events_since_us);

    if (t->m->row_count) {
        from = later(from, t->m->rows[0].at_us);
    }
    return from < t->i->onset_us && from + PM_LEAST_HISTORY_US <= t->i->onset_us ? from : PM_EVER;
}

static int any_event(const pm_telling *t, uint64_t from, uint32_t against)
{
    pm_slice s = pm_story_events(t, from, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        const pm_event *e = &t->m->events[n];

        if (pm_event_has(e, against) && !pm_event_changed_nothing(e)) {
            return 1;
        }
    }
    return 0;
}

/* From when on every event of this capture is known; PM_EVER when that cannot be said. */
static uint64_t events_known_since(const pm_telling *t)
{
    const pm_model *m = t->m;
    pm_slice s = pm_story_events(t, pm_story_back(t->i->onset_us, PM_HOUR_US), UINT64_MAX - 1);
    uint64_t least = UINT64_MAX, most = 0;
    size_t whole = s.last;
    uint64_t since;

    if (!m->event_count || m->events_lost) {
        return PM_EVER;
    }
    /* Something is lost where a number is missing. Only nearly are they in the order of their numbers. */
    for (size_t n = s.last; n > s.first; n--) {
        uint64_t seq = m->events[n - 1].seq;

        least = seq < least ? seq : least;
        most = seq > most ? seq : most;
        whole = most - least + 1 == s.last - (n - 1) ? n - 1 : whole;
    }
    since = whole > s.first         ? m->events[whole].at_us
            : m->events[0].seq == 1 ? m->created_us
                                    : m->events[0].at_us;
    return later(since, m->events_since_us);
}

static uint32_t most_in_flight(const pm_telling *t)
{
    uint32_t most = 0;
    pm_slice s = pm_story_rows_over(t, t->i->onset_us, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        uint32_t in_flight = t->m->rows[n].in_flight;

        most = in_flight != PM_UNKNOWN && in_flight > most ? in_flight : most;
    }
    return most;
}

/* httpd said itself that it had no more: MaxRequestWorkers reached or near, scoreboard full, no process to be had. */
static int httpd_ran_short(const pm_telling *t)
{
    static const char *const said[] = {
        "AH00159:", "AH00161:", "AH00283:", "AH00286:", "AH00287:", "AH00288:",
        "AH00481:", "AH00484:", "AH00485:", "AH03490:", "AH10159:"};

    for (int n = 0; n < PM_TALLIES && t->i->by_error_log[n].errors; n++) {
        for (size_t k = 0; k < sizeof(said) / sizeof(said[0]); k++) {
            if (!strncmp(t->i->by_error_log[n].key, said[k], strlen(said[k]))) {
                return 1;
            }
        }
    }
    return 0;
}

/* Who waits for a worker is counted when there is one: a second without any is no matter, some in a row may hide more. */
static int all_were_let_in(const pm_telling *t)
{
    pm_slice s = pm_story_rows_over(t, pm_story_back(t->i->onset_us, PM_MINUTE_US), t->until_us);
    int full = 0;

    for (size_t n = s.first; n < s.last; n++) {
        full = t->m->rows[n].idle == 0 ? full + 1 : 0;
        if (t->m->rows[n].idle == PM_UNKNOWN || full >= FULL_SECONDS) {
            return 0;
        }
    }
    return s.last > s.first && !full && !httpd_ran_short(t);
}

/* Did ten seconds bring half as much again as is usual, and more than chance does (three standard deviations of a
 * Poisson count)? A surge of seconds drowns in the mean of a minute. */
static int any_rush(const pm_telling *t, double usual)
{
    pm_slice s = pm_story_rows_over(t, pm_story_back(t->i->onset_us, PM_MINUTE_US), t->until_us);
    double requests = 0, us = 0;

    for (size_t first = s.first, n = s.first; n < s.last; n++) {
        const pm_row *row = &t->m->rows[n];
        double expected, excess;

        requests += (double)row->requests;
        us += (double)row->span_us;
        while (us > RUSH_US && first < n) {
            requests -= (double)t->m->rows[first].requests;
            us -= (double)t->m->rows[first++].span_us;
        }
        expected = usual * us / (double)PM_SECOND;
        excess = requests - 1.5 * expected;
        if (excess > 0 && excess * excess > 9 * expected) {
            return 1;
        }
    }
    return 0;
}

/* What arrived is at most what completed and what was still in flight: a hang hides no surge. The minute
 * before the onset counts too: a surge may come before the failures that it causes. */
static const char *no_traffic_surge(pm_telling *t)
{
    const pm_incident *i = t->i;
    double usual = i->before_requests_per_second;
    double during = pm_rate_during(t);
    double at_most = during + (double)most_in_flight(t) / pm_served_seconds(t);

    /* In a state nothing is counted as coming. */
    if ((i->kinds & PM_KIND_OUTAGE) || !(i->kinds & ~(uint32_t)PM_KIND_STATES) ||
        i->before_us < PM_LEAST_HISTORY_US || usual <= 0 ||
        !every_second(t, i->onset_us, t->until_us) || at_most > 1.5 * usual ||
        pm_row_rate(t, pm_story_back(i->onset_us, PM_MINUTE_US), i->onset_us) > 1.5 * usual ||
        any_rush(t, usual) || !all_were_let_in(t)) {
        return NULL;
    }
    return apr_psprintf(t->pool, "No more traffic than usual: %s", pm_rates_text(t, during));
}

static size_t busiest_sampled_client(const pm_telling *t, size_t *known)
{
    size_t best = 0;

    for (size_t a = 0; a < t->c->sample_count; a++) {
        size_t same = 0;

        for (size_t b = 0; b < t->c->sample_count; b++) {
            same += !strcmp(t->c->samples[a].client, t->c->samples[b].client);
        }
        if (t->c->samples[a].client[0]) {
            ++*known;
            best = same > best ? same : best;
        }
    }
    return best;
}

/* Since detection every client was counted: who asked most asked little, and met few of the errors. */
static const char *no_busy_client(pm_telling *t)
{
    const pm_incident *i = t->i;
    /* Of refusals those before the detection are counted of nobody: they may be anybody's. */
    int some = (i->kinds & PM_KIND_UNSERVED) != 0;
    uint64_t others = 0;
    char traffic[PM_STORY_PERCENT], errors[PM_STORY_PERCENT];

    for (int n = 1; n < PM_COUNTS; n++) {
        others += i->by_client[n].errors;
    }
    if (!i->busiest.requests || i->busiest.requests * 5 > i->counted_requests ||
        !i->by_client[0].errors || i->by_client[0].errors * 2 > i->errors ||
        (some && others * 2 < i->errors)) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "The errors are not one client's: they met about %.0f different clients, the one that met "
        "most of them %s%s; the busiest made %s of the requests",
        i->error_clients, some ? "at least " : "",
        pm_story_percent(i->by_client[0].errors, i->errors, errors),
        pm_story_percent(i->busiest.requests, i->counted_requests, traffic));
}

/* Proved by counting (each further client met one error at least), or by the sample of failing requests. */
static const char *no_single_client(pm_telling *t)
{
    const pm_incident *i = t->i;
    double at_least = i->error_clients - pm_sketch_error(i->error_clients);
    size_t known = 0, best = busiest_sampled_client(t, &known);

    if (!i->clients_known || at_least < 2.5 ||
        i->busiest.requests * 2 > i->counted_requests) { /* it may have done the others harm */
        return NULL;
    }
    if ((at_least - 1) * 2 >= (double)i->errors) {
        return apr_psprintf(t->pool,
                            "The errors are not one client's: %" APR_UINT64_T_FMT
                            " of them met about %.0f different clients",
                            i->errors, i->error_clients);
    }
    if (known >= 8 && known == t->c->sample_count && best * 2 <= known) {
        return apr_psprintf(t->pool,
                            "The errors are not one client's: they met about %.0f different "
                            "clients, and the busiest "
                            "address stands behind %d of %d sampled failures",
                            i->error_clients, (int)best, (int)known);
    }
    return no_busy_client(t);
}

static int loaded_again(const pm_telling *t, uint64_t from)
{
    pm_slice s = pm_story_events(t, from, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        if (pm_event_changed_nothing(&t->m->events[n])) {
            return 1;
        }
    }
    return 0;
}

static const char *no_configuration(pm_telling *t)
{
    uint64_t onset = t->i->onset_us, since = events_known_since(t);
    uint64_t from = pm_story_back(onset, PM_HOUR_US);
    char span[PM_TIME_SIZE];

    if (since == PM_EVER || since + PM_MINUTE_US > onset) {
        return NULL;
    }
    from = since > from ? since : from;
    if (any_event(t, from, PM_AGAINST_CONFIGURATION)) {
        return NULL;
    }
    if (loaded_again(t, from)) {
        return apr_psprintf(
            t->pool,
            "What the server loaded again in the %s before the onset%s and during the incident was "
            "the configuration that it had: nothing in it changed",
            pm_time_span(onset - from, span),
            onset - from < PM_HOUR_US ? " (all that is on record)" : "");
    }
    return apr_psprintf(
        t->pool,
        "The server loaded no configuration in the %s before the onset%s, nor during "
        "the incident; generation %u ran throughout",
        pm_time_span(onset - from, span),
        onset - from < PM_HOUR_US ? " (all that is on record)" : "", t->i->generation);
}

/* Kept requests that no other process can have answered. */
static size_t answered_by_httpd(const pm_telling *t)
{
    size_t count = 0;

    for (size_t n = 0; n < t->c->sample_count; n++) {
        count += (t->c->samples[n].flags & PM_SAMPLE_BY_HTTPD) != 0;
    }
    return count;
}

/* mod_proxy's backends are known by name. That no other handler or module asked another process has to be known, too. */
static const char *no_backend(pm_telling *t)
{
    const pm_incident *i = t->i;
    const char *name = NULL;

    if (!(i->kinds & PM_KIND_ERRORS) || i->by_backend[0].errors || pm_samples_to(t, &name) ||
        (t->c->sample_count < 8 && t->c->sample_count < i->errors) || !t->c->sample_count ||
        answered_by_httpd(t) < t->c->sample_count) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "Not a backend: httpd itself answered each of the %d failing requests kept "
                        "(of %" APR_UINT64_T_FMT "), and no other process was asked",
                        (int)t->c->sample_count, i->errors);
}

/* A worker that is idle at the end of a second when nearly all are busy says little of what lay between. */
static int had_room(const pm_row *row)
{
    return row->idle != PM_UNKNOWN && row->idle > 0 && row->limit != PM_UNKNOWN &&
           row->busy != PM_UNKNOWN && (uint64_t)row->busy * 10 <= (uint64_t)row->limit * 9;
}

static const char *no_shortage_of_workers(pm_telling *t)
{
    uint64_t from = watched_from(t, 10 * PM_SECOND);
    uint32_t least = PM_UNKNOWN, limit = PM_UNKNOWN;
    char span[PM_TIME_SIZE], before[PM_TIME_SIZE];
    pm_slice s;

    if (from == PM_EVER || !every_second(t, from, t->until_us) ||
        any_event(t, from, PM_AGAINST_WORKERS) || httpd_ran_short(t)) {
        return NULL;
    }
    s = pm_story_rows_over(t, from, t->until_us);
    for (size_t n = s.first; n < s.last; n++) {
        const pm_row *row = &t->m->rows[n];

        if (!had_room(row)) {
            return NULL;
        }
        least = row->idle < least ? row->idle : least;
        limit = row->limit;
    }
    if (least == PM_UNKNOWN || limit == PM_UNKNOWN) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "httpd's own workers were free: at least %u of at most %u were idle at the end of each "
        "second in %s from %s before the onset",
        least, limit, pm_time_span(t->until_us - from, span),
        pm_time_span(t->i->onset_us - from, before));
}

static const char *no_machine(pm_telling *t)
{
    uint64_t from = watched_from(t, PM_MINUTE_US);
    char span[PM_TIME_SIZE];

    if ((t->i->kinds & (PM_KIND_DOWN | PM_KIND_STOPPED)) || from == PM_EVER ||
        !every_second(t, from, t->until_us) || any_event(t, from, PM_AGAINST_MACHINE)) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "The machine neither stood still nor was restarted: every second is on record "
        "from %s before the onset to the end, with no step of the clock. Its memory, "
        "disks, processors and network are not watched",
        pm_time_span(t->i->onset_us - from, span));
}

static const char *no_crashes(pm_telling *t)
{
    uint64_t from = watched_from(t, PM_MINUTE_US);
    char span[PM_TIME_SIZE];

    if (!(t->m->server.watched & PM_WATCHED_CRASHES) || from == PM_EVER || t->m->events_lost != 0 ||
        any_event(t, from, PM_AGAINST_CRASHES)) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "No worker process of httpd's own crashed or was killed from %s before the "
                        "onset to the end",
                        pm_time_span(t->i->onset_us - from, span));
}

#define PUSHED_OUT "events of that time have been pushed out of the record by newer ones"

/* ---- what nobody watched; each returns what is missing, or NULL: it was watched ---- */

static const char *too_little_record(const pm_telling *t, uint64_t wanted)
{
    uint64_t since = events_known_since(t), onset = t->i->onset_us;
    char span[PM_TIME_SIZE];

    if (since != PM_EVER && since + wanted <= onset) {
        return NULL;
    }
    if (t->m->events_lost) {
        return "events were lost, so that it cannot be said that there was none";
    }
    if (since != PM_EVER && since > onset) {
        return PUSHED_OUT;
    }
    return since == PM_EVER ? "no event is on record"
                            : apr_psprintf(t->pool, "the record begins %s before the onset",
                                           pm_time_span(onset > since ? onset - since : 0, span));
}

static const char *unknown_traffic(pm_telling *t)
{
    if (t->i->before_us < PM_LEAST_HISTORY_US) {
        return "no 5 s of traffic are on record before the onset";
    }
    return (t->i->kinds & (PM_KIND_DOWN | PM_KIND_STOPPED)) || all_were_let_in(t)
               ? NULL
               : "how much waited for a worker is not known: at times none was idle, or "
                 "how many were is not on record";
}

static const char *unknown_clients(pm_telling *t)
{
    return t->i->clients_known ? NULL : "clients were not counted";
}

/* A change is on record: of what the record lacks nothing has to be said. */
static int change_is_blamed(const pm_telling *t)
{
    for (size_t n = 0; n < t->c->cause_count; n++) {
        if (pm_event_fact_of(t->c->causes[n].type)->traits & PM_IS_ALTERING) {
            return 1;
        }
    }
    return 0;
}

static const char *unknown_configuration(pm_telling *t)
{
    return change_is_blamed(t) ? NULL : too_little_record(t, PM_MINUTE_US);
}

/* What is deployed lies below the tops of folders, or behind a backend, where nobody looks: it is never cleared. */
static const char *unknown_deployment(pm_telling *t)
{
    uint64_t from = pm_story_back(t->i->onset_us, PM_HOUR_US), since = events_known_since(t);
    const char *missing;
    char span[PM_TIME_SIZE];

    if (!(t->m->server.watched & PM_WATCHED_FILES)) {
        return "files were not watched";
    }
    if (change_is_blamed(t)) {
        return NULL;
    }
    missing = too_little_record(t, PM_LEAST_HISTORY_US);
    if (missing) {
        return missing;
    }
    from = later(from, since);
    if (any_event(t, from, PM_AGAINST_DEPLOYMENT)) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "no file that is watched changed in the %s before the onset%s, nor during the incident, "
        "but "
        "below the tops of DocumentRoot and Alias targets, and behind a backend, nobody looks",
        pm_time_span(t->i->onset_us - from, span),
        t->i->onset_us - from < PM_HOUR_US ? " (all that is on record)" : "");
}

static const char *unknown_backend(pm_telling *t)
{
    const char *name = NULL;
    size_t kept = t->c->sample_count, itself = answered_by_httpd(t);

    if (!t->i->errors || t->i->by_backend[0].errors || pm_samples_to(t, &name)) {
        return NULL;
    }
    if (!kept) {
        return "no failing request was kept";
    }
    return itself < kept ? apr_psprintf(t->pool,
                                        "none of the %d failing requests kept was mod_proxy's, but "
                                        "whether another process was asked is not known of %d",
                                        (int)kept, (int)(kept - itself))
                         : NULL;
}

static const char *unknown_workers(pm_telling *t)
{
    pm_slice s = pm_story_rows_over(t, t->i->onset_us, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        if (t->m->rows[n].idle != PM_UNKNOWN) {
            return NULL;
        }
    }
    return "how many were idle is not on record";
}

static const char *unknown_crashes(pm_telling *t)
{
    if (!(t->m->server.watched & PM_WATCHED_CRASHES)) {
        return "worker processes were not watched";
    }
    return t->m->events_since_us > t->i->onset_us ? PUSHED_OUT : NULL;
}

static const char *unknown_machine(pm_telling *t)
{
    return watched_from(t, PM_MINUTE_US) != PM_EVER ? NULL
           : t->m->events_since_us > t->i->onset_us ? PUSHED_OUT
                                                    : "no 5 s are on record before the onset";
}

static const struct {
    const char *hypothesis;
    const char *(*clear)(pm_telling *); /* NULL = nothing clears it */
    const char *(*unknown)(pm_telling *);
} clear_rules[] = {
    {"traffic_surge", no_traffic_surge, unknown_traffic},
    {"single_client", no_single_client, unknown_clients},
    {"configuration", no_configuration, unknown_configuration},
    {"deployment", NULL, unknown_deployment},
    {"backend", no_backend, unknown_backend},
    {"workers", no_shortage_of_workers, unknown_workers},
    {"crashes", no_crashes, unknown_crashes},
    {"machine", no_machine, unknown_machine},
};
#define CLEAR_RULES (sizeof(clear_rules) / sizeof(clear_rules[0]))

const char *pm_story_hypothesis(size_t n)
{
    return n < CLEAR_RULES ? clear_rules[n].hypothesis : NULL;
}

void pm_tell_cleared(pm_telling *t)
{
    pm_cleared *cleared = apr_palloc(t->pool, CLEAR_RULES * sizeof(*cleared));
    pm_cleared *unwatched = apr_palloc(t->pool, CLEAR_RULES * sizeof(*unwatched));

    t->c->cleared = cleared;
    t->c->unwatched = unwatched;
    t->c->cleared_count = t->c->unwatched_count = 0;
    for (size_t n = 0; n < CLEAR_RULES; n++) {
        const char *summary = clear_rules[n].clear ? clear_rules[n].clear(t) : NULL;
        const char *missing = NULL;

        if (summary) {
            cleared[t->c->cleared_count++] = (pm_cleared){clear_rules[n].hypothesis, summary};
        }
        else if ((missing = clear_rules[n].unknown(t)) != NULL) {
            unwatched[t->c->unwatched_count++] = (pm_cleared){clear_rules[n].hypothesis, missing};
        }
    }
}
