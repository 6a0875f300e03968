/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * suspects.c: what may stand behind an incident (pm_story.h).
 *
 * A candidate is an event near the onset, or a figure that stands out (suspect_figures.c). Each rule has a weight;
 * nearness takes up to NEARNESS off it, so a near reload stands before a far change. Events outside a rule's time
 * window are ignored; only rules for what ends or prevents the service have a window as long as the gap.
 */
#include "suspects.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_strings.h>

#define NEARNESS 40
#define LATE                                                                                       \
    15 /* off the weight of what came after the first failure, or long enough before it to have been seen */
#define REFUTED 80 /* off the weight of a change after which all was served well: it stands last */
#define EXACT 10
#define VAGUE 5
#define FILES_MAX 8 /* candidates that are changed files: the last ones */
#define EVIDENCE_MAX 32
#define SLACK_US                                                                                   \
    (10 * PM_SECOND) /* what a crash left, or the next run finds out, is written a moment later */
#define DIRECTIVES_MAX 8 /* named beside a change */
#define SHUT_OUT (PM_KIND_SILENCE | PM_KIND_UNREACHABLE)
#define FOUND_US                                                                                   \
    (60 * PM_SECOND) /* a silence begins with the last request, before what ended them */
#define FAILING (PM_KIND_ERRORS | PM_KIND_SLOW | PM_KIND_UNSERVED)

/* ---- candidates that are events ---- */

static const pm_reach *reach_of(uint32_t type)
{
    return &pm_event_fact_of(type)->reach;
}

static uint64_t reach_after(const pm_telling *t, const pm_reach *reach)
{
    return (reach->kinds & t->i->kinds & SHUT_OUT) && reach->after_us < FOUND_US ? FOUND_US
                                                                                 : reach->after_us;
}

static int in_reach(const pm_telling *t, uint32_t type, const pm_event *e)
{
    const pm_reach *reach = reach_of(type);
    uint64_t onset = t->i->onset_us;

    if (e->type != type || pm_event_changed_nothing(e)) {
        return 0;
    }
    if (e->at_us > onset) { /* what came after the end explains nothing; a repair is such a move */
        return e->at_us <= t->until_us + (e->type == PM_EV_ROUTE_MOVED ? 0 : SLACK_US) &&
               e->at_us - onset <= reach_after(t, reach);
    }
    if (e->type == PM_EV_DEPENDENCY_MISSING && !pm_story_still_missing(t->m, e, onset)) {
        return 0;
    }
    return onset - e->at_us <= reach->before_us;
}

static uint64_t distance(const pm_telling *t, const pm_event *e)
{
    return e->at_us > t->i->onset_us ? e->at_us - t->i->onset_us : t->i->onset_us - e->at_us;
}

static int score_of(const pm_telling *t, const pm_reach *rule, const pm_event *e)
{
    uint64_t reach = e->at_us > t->i->onset_us ? reach_after(t, rule) : rule->before_us;

    /* What came after the first failure may have made it worse; it did not begin it. */
    int late = e->at_us > t->i->onset_us && (t->i->kinds & FAILING) ? LATE * 1000 : 0;

    return rule->weight * 1000 - late -
           (reach && reach != PM_EVER ? (int)(NEARNESS * 1000 * distance(t, e) / reach) : 0);
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
    static const char *const lists[] = {"added", "removed"};
    char names[DIRECTIVES_MAX][64];
    const char *list = "";
    int count = 0, n;

    for (int l = 0; l < 2; l++) {
        pm_json_value key = {NULL, 0}, item = {NULL, 0}, from = pm_event_value(e, lists[l]);

        while (count < DIRECTIVES_MAX && pm_json_next(from, &key, &item)) {
            if (!pm_json_to_text(pm_json_find(item, "directive"), names[count],
                                 sizeof(names[count]))) {
                continue;
            }
            for (n = 0; strcasecmp(names[n], names[count]) != 0; n++) {
            }
            if (n == count) {
                list = apr_pstrcat(t->pool, list, count ? ", " : "", names[count], NULL);
                count++;
            }
        }
    }
    return count > 1 ? apr_pstrcat(t->pool, "; it touched ", list, NULL) : "";
}

/* "; 920 of 920 requests were answered well in the 46 s until then": figures, no verdict. */
static const char *since_text(const pm_telling *t, const pm_since *since)
{
    char span[PM_TIME_SIZE];

    return since->served == PM_SERVED_UNKNOWN
               ? ""
               : apr_psprintf(t->pool,
                              "; %" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT
                              " requests were answered well in the %s until then",
                              since->good, since->requests, pm_time_span(since->us, span));
}

/* Whether it was served well after the event. What takes effect with the next start says nothing by then. */
static pm_since served_since(const pm_telling *t, const pm_reach *rule, const pm_event *e)
{
    if (rule->refuted == PM_STANDS || e->at_us > t->i->onset_us ||
        (e->type == PM_EV_DEPENDENCY_CHANGED && (t->i->kinds & PM_KIND_DOWN))) {
        return (pm_since){PM_SERVED_UNKNOWN, 0, 0, 0};
    }
    return pm_served_since(t, e->at_us);
}

/* Events that are one candidate: all of a rule, or those of one file. */
typedef struct group {
    pm_json_value path; /* its text NULL = any */
    const pm_event *nearest;
    uint64_t *seqs;
    size_t count;
} group;

static int is_of(const group *g, const pm_event *e)
{
    return g->path.text == NULL || pm_json_same(pm_event_value(e, "path"), g->path);
}

/* A directive by which a server that runs is reached, or not. */
static int is_of_reach(pm_json_value name)
{
    static const char *const whole[] = {"Listen", "ServerName", "Protocols"};
    static const char *const begins[] = {"RemoteIPProxyProtocol", "SSL", "<VirtualHost"};
    char text[64];

    if (!pm_json_to_text(name, text, sizeof(text))) {
        return 0;
    }
    for (size_t n = 0; n < sizeof(whole) / sizeof(whole[0]); n++) {
        if (strcasecmp(text, whole[n]) == 0 ||
            strncasecmp(text, begins[n], strlen(begins[n])) == 0) {
            return 1;
        }
    }
    return 0;
}

static int decides_reach(const pm_telling *t, const pm_event *e)
{
    static const char *const lists[] = {"added", "removed"};

    for (int l = 0; l < 2 && (t->i->kinds & SHUT_OUT) && e->type == PM_EV_CONFIG_CHANGED; l++) {
        pm_json_value key = {NULL, 0}, item = {NULL, 0}, from = pm_event_value(e, lists[l]);

        while (pm_json_next(from, &key, &item)) {
            if (is_of_reach(pm_json_find(item, "directive"))) {
                return 1;
            }
        }
    }
    return 0;
}

/* A change that can do this stands before one that cannot. */
static int is_nearer(const pm_telling *t, const pm_event *e, const pm_event *than)
{
    int can = decides_reach(t, e), could = decides_reach(t, than);

    return can != could ? can : distance(t, e) < distance(t, than);
}

static void gather(const pm_telling *t, uint32_t type, pm_slice s, group *g)
{
    g->seqs = apr_palloc(t->pool, EVIDENCE_MAX * sizeof(*g->seqs));
    for (size_t n = s.first; n < s.last; n++) {
        const pm_event *e = &t->m->events[n];

        if (!in_reach(t, type, e) || !is_of(g, e)) {
            continue;
        }
        if (!g->nearest || is_nearer(t, e, g->nearest)) {
            g->nearest = e;
        }
        if (g->count < EVIDENCE_MAX) {
            g->seqs[g->count] = e->seq;
        }
        g->count++;
    }
}

/* An .htaccess file that failing requests read says more than that its folder changed, too. */
static int exactness(const pm_event *e)
{
    pm_json_value kind = pm_event_value(e, "kind");

    return pm_json_is(kind, "\"htaccess\"") ? EXACT * 1000
           : pm_json_is(kind, "\"top\"")    ? -VAGUE * 1000
                                            : 0;
}

static void add_candidate(pm_telling *t, apr_array_header_t *found, const group *g)
{
    const pm_event *e = g->nearest;
    const pm_reach *rule = reach_of(e->type);
    pm_since since = served_since(t, rule, e);
    int score = score_of(t, rule, e) + (rule->by_path ? exactness(e) : 0) +
                (decides_reach(t, e) ? EXACT * 1000 : 0);
    const char *text = without_stop(t, e->text), *near = pm_story_nearness(t, e->at_us), *details;

    if (since.served == PM_SERVED_WELL && rule->refuted == PM_FALLS) {
        return;
    }
    score -= since.served == PM_SERVED_MAYBE ? LATE * 1000 : 0;
    score -= since.served == PM_SERVED_WELL ? REFUTED * 1000 : 0;
    details = apr_pstrcat(
        t->pool, touched(t, e), since_text(t, &since),
        g->count > 1 ? apr_psprintf(t->pool, "; %d more like it", (int)(g->count - 1)) : "", NULL);
    APR_ARRAY_PUSH(found, pm_candidate) = (pm_candidate){
        score,
        {.type = e->type,
         .kind = rule->kind ? rule->kind : pm_event_name(e->type),
         .summary = apr_psprintf(t->pool, "%s (%s%s)", text, near, details),
         .statement = *details ? apr_psprintf(t->pool, "%s (%s)", text, details + 2) : text,
         .nearness = near,
         .evidence = g->seqs,
         .evidence_count = g->count < EVIDENCE_MAX ? g->count : EVIDENCE_MAX,
         .at_us = e->at_us,
         .before_onset_us = (int64_t)t->i->onset_us - (int64_t)e->at_us}};
}

/* The files that changed last; those beyond them are no candidates. */
static size_t find_paths(const pm_telling *t, uint32_t type, pm_slice s, group groups[FILES_MAX])
{
    size_t count = 0, k;

    for (size_t n = s.last; n > s.first && count < FILES_MAX; n--) {
        const pm_event *e = &t->m->events[n - 1];
        group *g = &groups[count];

        if (!in_reach(t, type, e)) {
            continue;
        }
        g->path = pm_event_value(e, "path");
        for (k = 0; k < count && !is_of(&groups[k], e); k++) {
        }
        count += k == count;
    }
    return count;
}

static void add_event_candidates(pm_telling *t, apr_array_header_t *found, uint32_t type)
{
    const pm_reach *rule = reach_of(type);
    group groups[FILES_MAX] = {{{NULL, 0}, NULL, NULL, 0}};
    pm_slice s = pm_story_events(t, pm_story_back(t->i->onset_us, rule->before_us),
                                 t->until_us + PM_MINUTE_US);
    size_t count = rule->by_path ? find_paths(t, type, s, groups) : 1;

    for (size_t n = 0; n < count; n++) {
        gather(t, type, s, &groups[n]);
        if (groups[n].nearest) {
            add_candidate(t, found, &groups[n]);
        }
    }
}

/* ---- their order ---- */

static int by_score(const void *a, const void *b)
{
    const pm_candidate *x = a, *y = b;

    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return strcmp(x->cause.kind, y->cause.kind);
}

/* A reload is how a change arrives: beside a change of the configuration it says nothing more. */
static int is_redundant(const apr_array_header_t *found, const pm_candidate *c)
{
    for (int n = 0; n < found->nelts; n++) {
        if (APR_ARRAY_IDX(found, n, pm_candidate).cause.type == PM_EV_CONFIG_CHANGED &&
            c->cause.type == PM_EV_CONFIG_RELOAD) {
            return 1;
        }
    }
    return 0;
}

void pm_tell_causes(pm_telling *t)
{
    apr_array_header_t *found = apr_array_make(t->pool, 8, sizeof(pm_candidate));
    pm_cause *causes;
    size_t count = 0;

    for (uint32_t type = 0; type < PM_EV_TYPES; type++) {
        if (reach_of(type)->kinds & t->i->kinds) {
            add_event_candidates(t, found, type);
        }
    }
    pm_add_figures(t, found);
    if (found->nelts) {
        qsort(found->elts, (size_t)found->nelts, sizeof(pm_candidate), by_score);
    }
    causes = apr_palloc(t->pool, (size_t)(found->nelts + 1) * sizeof(*causes));
    for (int n = 0; n < found->nelts; n++) {
        const pm_candidate *c = &APR_ARRAY_IDX(found, n, pm_candidate);

        if (!is_redundant(found, c)) {
            causes[count] = c->cause;
            causes[count].rank = (uint32_t)count + 1;
            count++;
        }
    }
    t->c->causes = causes;
    t->c->cause_count = count;
}
