/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * suspects.c: what may stand behind an incident, and what the figures clear (pm_story.h).
 *
 * A candidate is an event near the onset, or a figure that stands out. Each rule has a weight; nearness takes
 * up to NEARNESS off it, so a near reload stands before a far change, and outside its rule's reach an
 * event is no candidate however much it was the last one. Only what ends or prevents the service has a
 * reach as long as the gap. A suspect is cleared only by what was watched.
 */
#include "story.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>
#include <apr_tables.h>

#define NEARNESS 40
#define LATE 15 /* off the weight of what came after the first failure */
#define EVIDENCE_MAX 32
#define SLACK_US                                                                                   \
    (10 * PM_SECOND) /* what a crash left, or the next run finds out, is written a moment later */
#define DIRECTIVES_MAX 8 /* named beside a change */
#define EVER UINT64_MAX
#define MINUTE (60 * PM_SECOND)
#define LEAST_HISTORY (5 * PM_SECOND) /* shorter says nothing; how long it was is always told */
#define FAILING (PM_KIND_ERRORS | PM_KIND_SLOW | PM_KIND_CLIENTS)

typedef struct candidate {
    int score;
    pm_cause cause;
} candidate;

/* ---- candidates that are events ---- */

/* `before` and `after`: reach around the onset; EVER before it is whatever the distance, EVER after it is to the
 * end, which no reach goes beyond. Several events of one rule are one candidate with the nearest in front. */
static const struct event_rule {
    uint32_t type;
    uint32_t kinds; /* of incidents that it can explain */
    uint64_t before, after;
    int weight;
    const char *kind; /* NULL = the event type's name */
} event_rules[] = {
    {PM_EV_CONFIG_FAILED, PM_KIND_DOWN, MINUTE, EVER, 100, NULL},
    {PM_EV_DEPENDENCY_MISSING, PM_KIND_DOWN, EVER, EVER, 95, NULL},
    {PM_EV_HOST_REBOOT, PM_KIND_DOWN, MINUTE, EVER, 90, NULL},
    {PM_EV_START_FAILED, PM_KIND_DOWN, MINUTE, EVER, 85, NULL},
    {PM_EV_SERVER_UNCLEAN, PM_KIND_DOWN, MINUTE, EVER, 60, NULL},
    {PM_EV_CONFIG_CHANGED, FAILING | PM_KIND_DOWN, 10 * MINUTE, 0, 92, NULL},
    {PM_EV_ROUTE_MOVED, FAILING, 10 * MINUTE, MINUTE, 88, NULL},
    {PM_EV_WORKERS_EXHAUSTED, FAILING, MINUTE, MINUTE / 2, 75, "workers"},
    {PM_EV_DEPENDENCY_CHANGED, FAILING | PM_KIND_DOWN, 10 * MINUTE, 0, 70, NULL},
    {PM_EV_FILE_CHANGED, FAILING, 10 * MINUTE, 0, 70, NULL},
    {PM_EV_CHILD_CRASH, FAILING | PM_KIND_DOWN, MINUTE, MINUTE, 65, NULL},
    {PM_EV_CONFIG_RELOAD, FAILING | PM_KIND_DOWN, MINUTE, 0, 50, NULL},
    {PM_EV_SERVER_START, FAILING, MINUTE, 0, 45, NULL},
};

/* A load that changed nothing, as logrotate's daily one: it says so itself. */
static int changed_nothing(const pm_event *e)
{
    static const char none[] = "\"changes\":0}";

    return (e->type == PM_EV_CONFIG_LOAD || e->type == PM_EV_CONFIG_RELOAD) && e->data &&
           e->data_len >= sizeof(none) - 1 &&
           !memcmp(e->data + e->data_len - (sizeof(none) - 1), none, sizeof(none) - 1);
}

static int in_reach(const pm_telling *t, const struct event_rule *rule, const pm_event *e)
{
    uint64_t onset = t->i->onset_us;

    if (e->type != rule->type || changed_nothing(e)) {
        return 0;
    }
    if (e->at_us > onset) { /* what came after the end explains nothing; a repair is such a move */
        return e->at_us <= t->until_us + (e->type == PM_EV_ROUTE_MOVED ? 0 : SLACK_US) &&
               (rule->after == EVER || e->at_us - onset <= rule->after);
    }
    if (e->type == PM_EV_DEPENDENCY_MISSING && !pm_story_still_missing(t->m, e, onset)) {
        return 0;
    }
    return onset - e->at_us <= rule->before;
}

static uint64_t distance(const pm_telling *t, const pm_event *e)
{
    return e->at_us > t->i->onset_us ? e->at_us - t->i->onset_us : t->i->onset_us - e->at_us;
}

static int score_of(const pm_telling *t, const struct event_rule *rule, const pm_event *e)
{
    uint64_t reach = e->at_us > t->i->onset_us ? rule->after : rule->before;

    /* What came after the first failure may have made it worse; it did not begin it. */
    int late = e->at_us > t->i->onset_us && (t->i->kinds & FAILING) ? LATE * 1000 : 0;

    return rule->weight * 1000 - late -
           (reach && reach != EVER ? (int)(NEARNESS * 1000 * distance(t, e) / reach) : 0);
}

/* The recorder's sentences may end in a full stop; more is going to follow. */
static const char *without_stop(const pm_telling *t, const char *text)
{
    size_t len = strlen(text);

    return apr_pstrndup(t->pool, text, len && text[len - 1] == '.' ? len - 1 : len);
}

/* "; it touched ServerName, ServerAlias": the event's sentence has room for the first of them alone. */
static const char *touched(const pm_telling *t, const pm_event *e)
{
    static const char member[] = "\"directive\":\"";
    const char *names[DIRECTIVES_MAX], *list = "", *at = e->data;
    int count = 0, n;

    while (e->type == PM_EV_CONFIG_CHANGED && at && count < DIRECTIVES_MAX &&
           (at = strstr(at, member)) != NULL) {
        at += sizeof(member) - 1;
        names[count] = apr_pstrndup(t->pool, at, strcspn(at, "\""));
        for (n = 0; strcasecmp(names[n], names[count]) != 0; n++) {
        }
        if (n == count) {
            list = apr_pstrcat(t->pool, list, count ? ", " : "", names[count], NULL);
            count++;
        }
    }
    return count > 1 ? apr_pstrcat(t->pool, "; it touched ", list, NULL) : "";
}

static void add_event_candidate(pm_telling *t, apr_array_header_t *found,
                                const struct event_rule *rule)
{
    const pm_event *nearest = NULL;
    uint64_t *seqs = apr_palloc(t->pool, EVIDENCE_MAX * sizeof(*seqs));
    size_t count = 0;
    pm_slice s =
        pm_story_events(t, pm_story_back(t->i->onset_us, rule->before), t->until_us + MINUTE);

    for (size_t n = s.first; n < s.last; n++) {
        const pm_event *e = &t->m->events[n];

        if (!in_reach(t, rule, e)) {
            continue;
        }
        if (!nearest || distance(t, e) < distance(t, nearest)) {
            nearest = e;
        }
        if (count < EVIDENCE_MAX) {
            seqs[count] = e->seq;
        }
        count++;
    }
    if (!nearest) {
        return;
    }
    APR_ARRAY_PUSH(found, candidate) = (candidate){
        score_of(t, rule, nearest),
        {.kind = rule->kind ? rule->kind : pm_event_name(rule->type),
         .summary = apr_psprintf(
             t->pool, "%s (%s%s%s)", without_stop(t, nearest->text),
             pm_story_nearness(t, nearest->at_us), touched(t, nearest),
             count > 1 ? apr_psprintf(t->pool, "; %d more like it", (int)(count - 1)) : ""),
         .evidence = seqs,
         .evidence_count = count < EVIDENCE_MAX ? count : EVIDENCE_MAX,
         .at_us = nearest->at_us,
         .before_onset_us = (int64_t)t->i->onset_us - (int64_t)nearest->at_us}};
}

/* ---- candidates that are figures ---- */

static void add_figure(apr_array_header_t *found, int weight, const char *kind, const char *summary)
{
    APR_ARRAY_PUSH(found, candidate) =
        (candidate){weight * 1000, {.kind = kind, .summary = summary}};
}

static const char *how_it_failed(const pm_telling *t, const pm_tally *b)
{
    const struct {
        uint64_t count;
        const char *what;
    } ways[] = {{b->refused, "refused"}, {b->timeout, "timed out"}, {b->answered, "answered 5xx"}};
    const char *how = "";

    for (int n = 0; n < 3; n++) {
        if (ways[n].count) {
            how = apr_psprintf(t->pool, "%s%s%" APR_UINT64_T_FMT " %s", how, *how ? ", " : ": ",
                               ways[n].count, ways[n].what);
        }
    }
    return how;
}

/* Kept requests that went to the same backend as the first one that went to any. */
static size_t samples_to(const pm_telling *t, const char **backend)
{
    size_t best = 0;

    for (size_t a = 0; a < t->c->sample_count; a++) {
        size_t same = 0;

        for (size_t b = 0; b < t->c->sample_count; b++) {
            same += !strcmp(t->c->samples[a].backend, t->c->samples[b].backend);
        }
        if (t->c->samples[a].backend[0] && same > best) {
            best = same;
            *backend = t->c->samples[a].backend;
        }
    }
    return best;
}

/* At least half of the failures, and three, went to one backend. */
static void backend_figure(pm_telling *t, apr_array_header_t *found)
{
    const pm_tally *b = &t->i->by_backend[0];
    uint64_t part = b->errors, whole = t->i->errors;
    const char *name = b->key;
    char percent[PM_STORY_PERCENT];

    if (!part) {
        part = samples_to(t, &name);
        whole = t->c->sample_count;
    }
    if (part < 3 || part * 2 < whole) {
        return;
    }
    if (part > whole) {
        whole = part;
    }
    add_figure(found, (int)(60 + 25 * part / whole), "backend",
               apr_psprintf(t->pool,
                            "%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT
                            " failing requests%s (%s) had gone to backend %s%s",
                            part, whole, b->errors ? "" : " kept as samples",
                            pm_story_percent(part, whole, percent), name,
                            b->errors ? how_it_failed(t, b) : ""));
}

/* Seconds of the incident in which requests could be answered, one at least. */
static double served_seconds(const pm_telling *t)
{
    uint64_t us = t->until_us - t->i->onset_us;

    us -= t->i->unserved_us < us ? t->i->unserved_us : us;
    return us > PM_SECOND ? (double)us / (double)PM_SECOND : 1;
}

static const char *usual_text(const pm_telling *t, const pm_usual *u, const char *ago)
{
    return u->us ? apr_psprintf(t->pool, ", %.1f at that time the %s before",
                                u->requests_per_second, ago)
                 : "";
}

/* A monitor that asks more often when it sees errors adds to them: told from a tenth of the traffic on. */
static const char *monitoring_text(const pm_telling *t)
{
    uint64_t part = t->i->monitoring_requests, whole = t->i->counted_requests;
    char percent[PM_STORY_PERCENT];

    return part && part >= whole / 10
               ? apr_psprintf(t->pool, "; health checks and the like made %s of it",
                              pm_story_percent(part, whole, percent))
               : "";
}

static const char *rates_text(const pm_telling *t, double during)
{
    char span[PM_TIME_SIZE];

    return apr_psprintf(
        t->pool, "%.1f requests a second during the incident%s, %.1f in the %s before it%s%s%s",
        during, t->i->vhost[0] ? " on the whole server" : "", t->i->before_requests_per_second,
        pm_time_span(t->i->before_us, span), usual_text(t, &t->i->day, "day"),
        usual_text(t, &t->i->week, "week"), monitoring_text(t));
}

/* Requests per second over the rows from `from` to `until`; 0 when there are none. */
static double row_rate(const pm_telling *t, uint64_t from, uint64_t until)
{
    uint64_t requests = 0, span = 0;
    pm_slice s = pm_story_rows(t, from, until);

    for (size_t n = s.first; n < s.last; n++) {
        requests += t->m->rows[n].requests;
        span += t->m->rows[n].span_us;
    }
    return span ? (double)requests * (double)PM_SECOND / (double)span : 0;
}

/* What was usual is known of the whole server, so that is what it is compared with. */
static double rate_during(const pm_telling *t)
{
    return t->i->vhost[0] ? row_rate(t, t->i->onset_us, t->until_us)
                          : (double)t->i->requests / served_seconds(t);
}

static void traffic_figure(pm_telling *t, apr_array_header_t *found)
{
    double during = rate_during(t);

    if (t->i->before_us >= LEAST_HISTORY && t->i->before_requests_per_second > 0 &&
        served_seconds(t) >= 5 && during >= 2 * t->i->before_requests_per_second) {
        add_figure(found, 55, "traffic", rates_text(t, during));
    }
}

static void client_figure(pm_telling *t, apr_array_header_t *found)
{
    const pm_incident *i = t->i;
    int named = i->by_client[0].errors && i->by_client[0].key[0];

    if (i->clients_known && i->errors >= 5 && i->error_clients > 0.5 && i->error_clients < 1.5 &&
        i->clients >= 4) {
        add_figure(found, 58, "client",
                   apr_psprintf(t->pool,
                                "One client alone%s%s%s met all %" APR_UINT64_T_FMT
                                " errors; about %.0f others met none",
                                named ? " (" : "", named ? i->by_client[0].key : "",
                                named ? ")" : "", i->errors, i->clients - 1));
    }
}

/* A line of the error log that neither this run nor an incident on record had seen before. */
static void signature_figure(pm_telling *t, apr_array_header_t *found)
{
    for (int n = 0; n < PM_TALLIES && t->i->by_error_log[n].errors; n++) {
        const pm_tally *line = &t->i->by_error_log[n];

        if (line->errors < 3 || line->first_seen_us > t->until_us ||
            line->first_seen_us < pm_story_back(t->i->onset_us, MINUTE)) {
            continue;
        }
        APR_ARRAY_PUSH(found, candidate) = (candidate){
            48000,
            {.kind = "signature",
             .summary = apr_psprintf(
                 t->pool,
                 "Error log line that was new to this run and to earlier incidents %s, "
                 "%" APR_UINT64_T_FMT " times since: %s",
                 pm_story_nearness(t, line->first_seen_us), line->errors, line->key),
             .at_us = line->first_seen_us,
             .before_onset_us = (int64_t)t->i->onset_us - (int64_t)line->first_seen_us}};
        return;
    }
}

static void (*const figure_rules[])(pm_telling *, apr_array_header_t *) = {
    backend_figure,
    client_figure,
    traffic_figure,
    signature_figure,
};

static int by_score(const void *a, const void *b)
{
    const candidate *x = a, *y = b;

    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return strcmp(x->cause.kind, y->cause.kind);
}

/* A reload is how a change arrives: beside a change of the configuration it says nothing more. */
static int is_redundant(const apr_array_header_t *found, const candidate *c)
{
    for (int n = 0; n < found->nelts; n++) {
        if (!strcmp(APR_ARRAY_IDX(found, n, candidate).cause.kind, "config.changed") &&
            !strcmp(c->cause.kind, "config.reload")) {
            return 1;
        }
    }
    return 0;
}

void pm_tell_causes(pm_telling *t)
{
    apr_array_header_t *found = apr_array_make(t->pool, 8, sizeof(candidate));
    pm_cause *causes;
    size_t count = 0;

    for (size_t n = 0; n < sizeof(event_rules) / sizeof(event_rules[0]); n++) {
        if (event_rules[n].kinds & t->i->kinds) {
            add_event_candidate(t, found, &event_rules[n]);
        }
    }
    for (size_t n = 0; n < sizeof(figure_rules) / sizeof(figure_rules[0]); n++) {
        figure_rules[n](t, found);
    }
    if (found->nelts) {
        qsort(found->elts, (size_t)found->nelts, sizeof(candidate), by_score);
    }
    causes = apr_palloc(t->pool, (size_t)(found->nelts + 1) * sizeof(*causes));
    for (int n = 0; n < found->nelts; n++) {
        const candidate *c = &APR_ARRAY_IDX(found, n, candidate);

        if (!is_redundant(found, c)) {
            causes[count] = c->cause;
            causes[count].rank = (uint32_t)count + 1;
            count++;
        }
    }
    t->c->causes = causes;
    t->c->cause_count = count;
}

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
 * that is 5 s at least; EVER when there is less. */
static uint64_t watched_from(const pm_telling *t, uint64_t reach)
{
    uint64_t from = later(pm_story_back(t->i->onset_us, reach), t->m->events_since_us);

    if (t->m->row_count) {
        from = later(from, t->m->rows[0].at_us);
    }
    return from < t->i->onset_us && from + LEAST_HISTORY <= t->i->onset_us ? from : EVER;
}

static int any_event(const pm_telling *t, uint64_t from, const uint32_t *types, size_t count)
{
    pm_slice s = pm_story_events(t, from, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        for (size_t k = 0; k < count; k++) {
            if (t->m->events[n].type == types[k] && !changed_nothing(&t->m->events[n])) {
                return 1;
            }
        }
    }
    return 0;
}

/* From when on every event of this capture is known; EVER when that cannot be said. */
static uint64_t events_known_since(const pm_telling *t)
{
    const pm_model *m = t->m;
    pm_slice s = pm_story_events(t, pm_story_back(t->i->onset_us, PM_HOUR_US), UINT64_MAX - 1);
    uint64_t least = UINT64_MAX, most = 0;
    size_t whole = s.last;
    uint64_t since;

    if (!m->event_count || m->events_lost) {
        return EVER;
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

/* What arrived is at most what completed and what was still in flight: a hang hides no surge. The minute
 * before the onset counts too: a surge may come before the failures that it causes. */
static const char *no_traffic_surge(pm_telling *t)
{
    const pm_incident *i = t->i;
    double usual = i->before_requests_per_second;
    double during = rate_during(t);
    double at_most = during + (double)most_in_flight(t) / served_seconds(t);

    if ((i->kinds & PM_KIND_DOWN) || i->before_us < LEAST_HISTORY || usual <= 0 ||
        !every_second(t, i->onset_us, t->until_us) || at_most > 1.5 * usual ||
        row_rate(t, pm_story_back(i->onset_us, MINUTE), i->onset_us) > 1.5 * usual) {
        return NULL;
    }
    return apr_psprintf(t->pool, "No more traffic than usual: %s", rates_text(t, during));
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
    char traffic[PM_STORY_PERCENT], errors[PM_STORY_PERCENT];

    if (!i->busiest.requests || i->busiest.requests * 5 > i->counted_requests ||
        !i->by_client[0].errors || i->by_client[0].errors * 2 > i->errors) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "Not one client: errors met about %.0f different clients, the one that met "
                        "most of them %s; the busiest made %s of the requests",
                        i->error_clients,
                        pm_story_percent(i->by_client[0].errors, i->errors, errors),
                        pm_story_percent(i->busiest.requests, i->counted_requests, traffic));
}

/* Proved by counting (each further client met one error at least), or by the sample of failing requests. */
static const char *no_single_client(pm_telling *t)
{
    const pm_incident *i = t->i;
    double at_least = i->error_clients * (1 - 2 * PM_SKETCH_ERROR);
    size_t known = 0, best = busiest_sampled_client(t, &known);

    if (!i->clients_known || at_least < 2.5 ||
        i->busiest.requests * 2 > i->counted_requests) { /* it may have done the others harm */
        return NULL;
    }
    if ((at_least - 1) * 2 >= (double)i->errors) {
        return apr_psprintf(t->pool,
                            "Not one client: %" APR_UINT64_T_FMT
                            " errors met about %.0f different clients",
                            i->errors, i->error_clients);
    }
    if (known >= 8 && known == t->c->sample_count && best * 2 <= known) {
        return apr_psprintf(
            t->pool,
            "Not one client: errors met about %.0f different clients, and the busiest "
            "address stands behind %d of %d sampled failures",
            i->error_clients, (int)best, (int)known);
    }
    return no_busy_client(t);
}

static int loaded_again(const pm_telling *t, uint64_t from)
{
    pm_slice s = pm_story_events(t, from, t->until_us);

    for (size_t n = s.first; n < s.last; n++) {
        if (changed_nothing(&t->m->events[n])) {
            return 1;
        }
    }
    return 0;
}

static const char *no_configuration(pm_telling *t)
{
    static const uint32_t types[] = {
        PM_EV_SERVER_START,   PM_EV_SERVER_UNCLEAN, PM_EV_CONFIG_LOAD,  PM_EV_CONFIG_RELOAD,
        PM_EV_CONFIG_CHANGED, PM_EV_CONFIG_FAILED,  PM_EV_CONFIG_DRIFT, PM_EV_ROUTE_MOVED,
        PM_EV_FILE_CHANGED,   PM_EV_START_FAILED,
    };
    uint64_t onset = t->i->onset_us, since = events_known_since(t);
    uint64_t from = pm_story_back(onset, PM_HOUR_US);
    char span[PM_TIME_SIZE];

    if (since == EVER || since + MINUTE > onset) {
        return NULL;
    }
    from = since > from ? since : from;
    if (any_event(t, from, types, sizeof(types) / sizeof(types[0]))) {
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

static const char *no_backend(pm_telling *t)
{
    const pm_incident *i = t->i;
    const char *name = NULL;

    if (!(i->kinds & PM_KIND_ERRORS) || i->by_backend[0].errors || samples_to(t, &name) ||
        (t->c->sample_count < 8 && t->c->sample_count < i->errors) || !t->c->sample_count) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "Not a backend: none of the %d failing requests kept (of %" APR_UINT64_T_FMT
                        ") had gone to one",
                        (int)t->c->sample_count, i->errors);
}

static const char *no_shortage_of_workers(pm_telling *t)
{
    static const uint32_t types[] = {PM_EV_WORKERS_EXHAUSTED};
    uint64_t from = watched_from(t, 10 * PM_SECOND);
    uint32_t least = PM_UNKNOWN, limit = PM_UNKNOWN;
    char span[PM_TIME_SIZE], before[PM_TIME_SIZE];
    pm_slice s;

    if (from == EVER || !every_second(t, from, t->until_us) || any_event(t, from, types, 1)) {
        return NULL;
    }
    s = pm_story_rows_over(t, from, t->until_us);
    for (size_t n = s.first; n < s.last; n++) {
        const pm_row *row = &t->m->rows[n];

        if (row->idle == PM_UNKNOWN || row->idle == 0) {
            return NULL;
        }
        least = row->idle < least ? row->idle : least;
        limit = row->limit;
    }
    if (least == PM_UNKNOWN || limit == PM_UNKNOWN) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "Workers were free: at least %u of at most %u were idle at the end of each "
                        "second in %s from %s before the onset",
                        least, limit, pm_time_span(t->until_us - from, span),
                        pm_time_span(t->i->onset_us - from, before));
}

static const char *no_machine(pm_telling *t)
{
    static const uint32_t types[] = {PM_EV_SERVER_UNCLEAN, PM_EV_HOST_REBOOT, PM_EV_CLOCK_STEP};
    uint64_t from = watched_from(t, MINUTE);
    char span[PM_TIME_SIZE];

    if ((t->i->kinds & PM_KIND_DOWN) || from == EVER || !every_second(t, from, t->until_us) ||
        any_event(t, from, types, 3)) {
        return NULL;
    }
    return apr_psprintf(t->pool,
                        "The machine was up: every second is on record from %s before the onset to "
                        "the end, with no restart and no step of the clock",
                        pm_time_span(t->i->onset_us - from, span));
}

static const char *no_deployment(pm_telling *t)
{
    static const uint32_t types[] = {PM_EV_FILE_CHANGED,       PM_EV_DEPENDENCY_CHANGED,
                                     PM_EV_DEPENDENCY_MISSING, PM_EV_CONFIG_CHANGED,
                                     PM_EV_CONFIG_DRIFT,       PM_EV_ROUTE_MOVED};
    uint64_t from = pm_story_back(t->i->onset_us, PM_HOUR_US), since = events_known_since(t);
    char span[PM_TIME_SIZE];

    if (!(t->m->server.watched & PM_WATCHED_FILES) || since == EVER ||
        since + LEAST_HISTORY > t->i->onset_us) {
        return NULL;
    }
    from = since > from ? since : from;
    if (any_event(t, from, types, sizeof(types) / sizeof(types[0]))) {
        return NULL;
    }
    return apr_psprintf(
        t->pool,
        "No library, configuration file, .htaccess or top of a DocumentRoot that is "
        "watched changed in the %s before the onset%s, nor during the incident",
        pm_time_span(t->i->onset_us - from, span),
        t->i->onset_us - from < PM_HOUR_US ? " (all that is on record)" : "");
}

static const char *no_crashes(pm_telling *t)
{
    static const uint32_t types[] = {PM_EV_CHILD_CRASH, PM_EV_SERVER_UNCLEAN};
    uint64_t from = watched_from(t, MINUTE);
    char span[PM_TIME_SIZE];

    if (!(t->m->server.watched & PM_WATCHED_CRASHES) || from == EVER || t->m->events_lost != 0 ||
        any_event(t, from, types, 2)) {
        return NULL;
    }
    return apr_psprintf(
        t->pool, "No worker process crashed or was killed from %s before the onset to the end",
        pm_time_span(t->i->onset_us - from, span));
}

#define PUSHED_OUT "events of that time have been pushed out of the record by newer ones"

/* ---- what nobody watched; each returns what is missing, or NULL: it was watched ---- */

static const char *too_little_record(const pm_telling *t, uint64_t wanted)
{
    uint64_t since = events_known_since(t), onset = t->i->onset_us;
    char span[PM_TIME_SIZE];

    if (since != EVER && since + wanted <= onset) {
        return NULL;
    }
    if (t->m->events_lost) {
        return "events were lost, so that it cannot be said that there was none";
    }
    if (since != EVER && since > onset) {
        return PUSHED_OUT;
    }
    return since == EVER ? "no event is on record"
                         : apr_psprintf(t->pool, "the record begins %s before the onset",
                                        pm_time_span(onset > since ? onset - since : 0, span));
}

static const char *unknown_traffic(pm_telling *t)
{
    return t->i->before_us < LEAST_HISTORY ? "no 5 s of traffic are on record before the onset"
                                           : NULL;
}

static const char *unknown_clients(pm_telling *t)
{
    return t->i->clients_known ? NULL : "clients were not counted";
}

/* A change is on record: of what the record lacks nothing has to be said. */
static int change_is_blamed(const pm_telling *t)
{
    for (size_t n = 0; n < t->c->cause_count; n++) {
        const char *kind = t->c->causes[n].kind;

        if (!strcmp(kind, "route.moved") || !strcmp(kind, "file.changed") ||
            !strncmp(kind, "config.", 7) || !strncmp(kind, "dependency.", 11)) {
            return 1;
        }
    }
    return 0;
}

static const char *unknown_configuration(pm_telling *t)
{
    return change_is_blamed(t) ? NULL : too_little_record(t, MINUTE);
}

static const char *unknown_deployment(pm_telling *t)
{
    if (!(t->m->server.watched & PM_WATCHED_FILES)) {
        return "files were not watched";
    }
    return change_is_blamed(t) ? NULL : too_little_record(t, LEAST_HISTORY);
}

static const char *unknown_backend(pm_telling *t)
{
    return t->i->errors && !t->i->by_backend[0].errors && !t->c->sample_count
               ? "no failing request was kept"
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
    return watched_from(t, MINUTE) != EVER          ? NULL
           : t->m->events_since_us > t->i->onset_us ? PUSHED_OUT
                                                    : "no 5 s are on record before the onset";
}

static const struct {
    const char *hypothesis;
    const char *(*clear)(pm_telling *);
    const char *(*unknown)(pm_telling *);
} clear_rules[] = {
    {"traffic_surge", no_traffic_surge, unknown_traffic},
    {"single_client", no_single_client, unknown_clients},
    {"configuration", no_configuration, unknown_configuration},
    {"deployment", no_deployment, unknown_deployment},
    {"backend", no_backend, unknown_backend},
    {"workers", no_shortage_of_workers, unknown_workers},
    {"crashes", no_crashes, unknown_crashes},
    {"machine", no_machine, unknown_machine},
};
#define CLEAR_RULES (sizeof(clear_rules) / sizeof(clear_rules[0]))

void pm_tell_cleared(pm_telling *t)
{
    pm_cleared *cleared = apr_palloc(t->pool, CLEAR_RULES * sizeof(*cleared));
    pm_cleared *unwatched = apr_palloc(t->pool, CLEAR_RULES * sizeof(*unwatched));

    t->c->cleared = cleared;
    t->c->unwatched = unwatched;
    t->c->cleared_count = t->c->unwatched_count = 0;
    for (size_t n = 0; n < CLEAR_RULES; n++) {
        const char *summary = clear_rules[n].clear(t), *missing = NULL;

        if (summary) {
            cleared[t->c->cleared_count++] = (pm_cleared){clear_rules[n].hypothesis, summary};
        }
        else if ((missing = clear_rules[n].unknown(t)) != NULL) {
            unwatched[t->c->unwatched_count++] = (pm_cleared){clear_rules[n].hypothesis, missing};
        }
    }
}
