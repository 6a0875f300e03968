/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * detect.c: the rules that say when failures or latency are an incident, and when it began.
 */
#include <string.h>

#include "pm_detect.h"
#include "pm_time.h"

#define LN2 0.69314718055994530942

/** What an onset is looked for in: one interval's failures or slow requests. */
typedef struct part {
    uint64_t at_us, span_us, first_us;
    double hits, requests;
} part;

/** The burst rule's window, added up. */
typedef struct burst_sums {
    uint32_t intervals;
    uint64_t requests, errors, weighed;
    uint32_t cleared; /* tag of the client that is weighed down, 0 = none */
} burst_sums;

double pm_detect_log(double x)
{
    uint64_t bits;
    int exponent;
    double t, t2, series;

    memcpy(&bits, &x, sizeof(bits));
    exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | (1023ull << 52);
    memcpy(&x, &bits, sizeof(x));
    if (x > 1.41421356) { /* nearer to 1 the series is shorter */
        x /= 2;
        exponent++;
    }
    /* ln x = 2 artanh t, |t| < 0.172: what the series leaves out is below 8e-10 */
    t = (x - 1) / (x + 1);
    t2 = t * t;
    series = 1 + t2 * (1.0 / 3 + t2 * (1.0 / 5 + t2 * (1.0 / 7 + t2 / 9)));
    return exponent * LN2 + 2 * t * series;
}

uint32_t pm_clients_add(uint32_t set[PM_OK_CLIENTS], uint32_t tag)
{
    uint32_t size = 0;

    while (size < PM_OK_CLIENTS && set[size] != 0 && set[size] != tag) {
        size++;
    }
    if (size < PM_OK_CLIENTS && set[size] == 0) {
        set[size] = tag;
    }
    while (size < PM_OK_CLIENTS && set[size] != 0) {
        size++;
    }
    return size;
}

static uint32_t saturated(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static const pm_interval *interval(const pm_scope *scope, uint32_t age)
{
    return &scope->window[(scope->kept - 1 - age) % PM_WINDOW_MAX];
}

static uint32_t intervals_within(const pm_scope *scope, uint32_t seconds)
{
    uint64_t limit = scope->kept < PM_WINDOW_MAX ? scope->kept : PM_WINDOW_MAX;
    uint32_t count = 0;

    /* of a time to come, which is damage, the unsigned difference is huge */
    while (count < limit && scope->at_us - interval(scope, count)->at_us < seconds * PM_SECOND) {
        count++;
    }
    return count;
}

/** An arrival that nobody noted, that a stepped clock put ahead, or that came while the counters were read, was in the
 *  interval all the same: just before its end. */
static uint64_t known_time(uint64_t us, uint64_t at_us)
{
    return us != 0 && us < at_us ? us : at_us - 1;
}

static void keep(pm_scope *scope, const pm_figures *f, uint64_t span_us)
{
    pm_interval *kept = &scope->window[scope->kept++ % PM_WINDOW_MAX];
    uint32_t top = 0, b;

    for (b = 1; b < PM_CLIENT_BUCKETS; b++) {
        if (f->errors_by_client[b] > f->errors_by_client[top]) {
            top = b;
        }
    }
    kept->at_us = f->at_us;
    kept->span_us = saturated(span_us);
    kept->first_error_us = known_time(f->first_error_us, f->at_us);
    kept->first_slow_us = known_time(f->first_slow_us, f->at_us);
    /* counters are read one after the other: the parts may be ahead of the whole */
    kept->requests = saturated(f->requests);
    kept->errors = saturated(f->errors < f->requests ? f->errors : f->requests);
    kept->slow = saturated(f->slow < f->requests ? f->slow : f->requests);
    kept->first_unserved_us = known_time(f->first_unserved_us, f->at_us);
    kept->refused = saturated(f->refused);
    kept->redirected = saturated(f->redirected);
    kept->top_errors =
        f->errors_by_client[top] < kept->errors ? f->errors_by_client[top] : kept->errors;
    kept->top_client = f->failing_client[top];
    memcpy(kept->ok_clients, f->ok_clients, sizeof(kept->ok_clients));
}

/** Errors that count, with the cleared client's left out. */
static uint32_t errors_without(const pm_interval *i, uint32_t cleared)
{
    return cleared != 0 && i->top_client == cleared ? i->errors - i->top_errors : i->errors;
}

/** The client that may stand behind more than half of the failures: majority vote of Boyer and Moore. Who
 *  is behind half of a window is behind half of an interval in it, so its fullest bucket will do. */
static uint32_t majority_client(const pm_scope *scope, uint32_t intervals)
{
    uint64_t votes = 0;
    uint32_t client = 0, age;

    for (age = 0; age < intervals; age++) {
        const pm_interval *i = interval(scope, age);

        if (i->top_client == client) {
            votes += i->top_errors;
        }
        else if (i->top_errors <= votes) {
            votes -= i->top_errors;
        }
        else {
            votes = i->top_errors - votes;
            client = i->top_client;
        }
    }
    return client;
}

static int others_succeed(const pm_scope *scope, uint32_t intervals, uint32_t client)
{
    uint32_t set[PM_OK_CLIENTS] = {client}, age, n;

    for (age = 0; age < intervals; age++) {
        for (n = 0; n < PM_OK_CLIENTS; n++) {
            uint32_t tag = interval(scope, age)->ok_clients[n];

            if (tag != 0 && pm_clients_add(set, tag) > PM_DETECT_OTHERS) {
                return 1;
            }
        }
    }
    return 0;
}

static burst_sums sum_up(const pm_scope *scope, uint32_t window)
{
    burst_sums sums = {intervals_within(scope, window), 0, 0, 0, 0};
    uint32_t client, age;
    uint64_t left = 0;

    for (age = 0; age < sums.intervals; age++) {
        sums.requests += interval(scope, age)->requests;
        sums.errors += interval(scope, age)->errors;
    }
    sums.weighed = sums.errors;
    client = sums.errors > 0 ? majority_client(scope, sums.intervals) : 0;
    for (age = 0; client != 0 && age < sums.intervals; age++) {
        left += errors_without(interval(scope, age), client);
    }
    if (client != 0 && left < sums.errors - left && others_succeed(scope, sums.intervals, client)) {
        sums.cleared = client;
        sums.weighed = left + 1;
        sums.requests -= sums.errors - sums.weighed;
    }
    return sums;
}

/** How unlikely so many hits are at the allowed share: log likelihood ratio of the share seen against it. */
static double surprise(double hits, double requests, double allowed)
{
    double misses = requests - hits;

    return hits * pm_detect_log(hits / (requests * allowed)) +
           (misses > 0 ? misses * pm_detect_log(misses / (requests * (1 - allowed))) : 0);
}

static int any_hits(const part *parts, uint32_t from, uint32_t count)
{
    while (from < count && parts[from].hits == 0) {
        from++;
    }
    return from < count;
}

/** Did what fills parts[start] with `share` of hits begin towards the end of the interval before? Then its
 *  hits there are as dense from the first one on; a stray one is alone. When the first arrived before
 *  that interval (it waited, as the requests of a hang do) only a clean past tells. */
static int began_before(const part *parts, uint32_t start, uint32_t count, double share)
{
    const part *before = &parts[start + 1];
    uint64_t tail = before->at_us > before->first_us ? before->at_us - before->first_us : 0;

    if (before->hits == 0 || before->at_us + parts[start].span_us < parts[start].at_us) {
        return 0;
    }
    if (tail > before->span_us) {
        return !any_hits(parts, start + 2, count);
    }
    return before->hits >= 0.5 * share * before->requests * (double)tail / (double)before->span_us;
}

/** Newest part first; at least one has hits. `ratio` is the rule's. */
static uint64_t onset(const part *parts, uint32_t count, double ratio)
{
    double hits = 0, requests = 0, best = 0, share = 0;
    uint32_t start = 0, n;
    uint64_t first = UINT64_MAX;

    for (n = 0; n < count; n++) {
        hits += parts[n].hits;
        requests += parts[n].requests;
    }
    /* the rule by clients holds below the ratio: then the window itself is what is allowed */
    ratio = hits / requests < ratio ? hits / requests : ratio;
    hits = requests = 0;
    for (n = 0; n < count; n++) {
        double score;

        hits += parts[n].hits;
        requests += parts[n].requests;
        if (parts[n].hits == 0 || hits / requests < ratio) {
            continue;
        }
        score = surprise(hits, requests, ratio);
        if (score >= best) {
            best = score;
            start = n;
            share = hits / requests;
        }
    }
    if (start + 1 < count && began_before(parts, start, count, share)) {
        start++;
    }
    for (n = 0; n <= start; n++) {
        if (parts[n].hits > 0 && parts[n].first_us < first) {
            first = parts[n].first_us;
        }
    }
    return first;
}

static uint64_t errors_onset(const pm_scope *scope, const burst_sums *sums, double ratio)
{
    part parts[PM_WINDOW_MAX];
    uint32_t cleared = sums->weighed > 1 ? sums->cleared : 0;
    uint32_t n;

    for (n = 0; n < sums->intervals; n++) {
        const pm_interval *i = interval(scope, n);
        double hits = errors_without(i, cleared);

        parts[n] = (part){i->at_us, i->span_us, i->first_error_us, hits,
                          (double)i->requests - ((double)i->errors - hits)};
    }
    return onset(parts, sums->intervals, ratio);
}

/** One interval's failures first, then its successes: of all orders that they may have come in, the one that
 *  leaves the sum lowest, so that counting by the second never raises an alarm which request by request
 *  would not have been. On a quiet site, whose rule this is, an interval holds one request or none. */
static void sequential_step(pm_scope *scope, const pm_burst_rule *rule, const burst_sums *sums)
{
    const pm_interval *now = interval(scope, 0);
    uint32_t failures = errors_without(now, sums->cleared);
    double gain = pm_detect_log((1 + rule->ratio) / (2 * rule->ratio));
    double cap = PM_DETECT_CUSUM + gain;
    double raised = scope->cusum + failures * gain;
    double sum = (raised < cap ? raised : cap) - (now->requests - now->errors) * LN2;

    if (!(sum > 0) || !(raised > 0)) { /* damaged memory may be NaN */
        pm_detect_told(scope);
        return;
    }
    scope->cusum = sum;
    scope->cusum_failures = saturated((uint64_t)scope->cusum_failures + failures);
    if (scope->cusum_since_us == 0) {
        scope->cusum_since_us = now->first_error_us;
    }
    if (scope->cusum < PM_DETECT_CUSUM) {
        scope->sequential = 0;
    }
    else if (failures > 0 && scope->cusum_failures >= PM_DETECT_FEW) {
        uint64_t lasted = scope->at_us - scope->cusum_since_us;

        scope->sequential |=
            lasted >= rule->window * PM_SECOND ||
            (scope->cusum_failures > PM_DETECT_FEW && sums->requests <= PM_DETECT_QUIET);
    }
}

static int clients_hold(const pm_burst_rule *rule, const pm_figures *f)
{
    return rule->clients > 0 && f->error_clients >= PM_DETECT_OTHERS &&
           f->error_clients >= rule->clients * f->clients;
}

static void judge_errors(pm_scope *scope, const pm_burst_rule *rule, const pm_figures *f,
                         pm_verdict *verdict)
{
    burst_sums sums = sum_up(scope, rule->window);
    int volume;

    if (f->requests > 0) {
        sequential_step(scope, rule, &sums);
    }
    volume = sums.weighed >= rule->errors && sums.weighed >= rule->ratio * sums.requests;
    verdict->single_client = sums.cleared != 0;
    verdict->window_ratio = sums.requests > 0 ? (double)sums.weighed / sums.requests : 0;
    if (sums.errors > 0 && (volume || clients_hold(rule, f))) {
        verdict->errors_hold = 1;
        verdict->errors_onset_us =
            known_time(errors_onset(scope, &sums, rule->ratio), scope->at_us);
    }
}

static void judge_slow(const pm_scope *scope, const pm_slow_rule *rule, const pm_figures *f,
                       pm_verdict *verdict)
{
    part parts[PM_WINDOW_MAX];
    uint32_t count = intervals_within(scope, rule->window), n;
    double hits = f->slow_in_flight, requests = hits;

    for (n = 0; n < count; n++) {
        const pm_interval *i = interval(scope, n);

        parts[n] = (part){i->at_us, i->span_us, i->first_slow_us, i->slow, i->requests};
        requests += i->requests;
        hits += i->slow;
    }
    if (hits == 0 || requests < rule->requests || hits < rule->ratio * requests) {
        return;
    }
    if (f->slow_in_flight > 0) { /* so the interval was kept: it is the newest */
        parts[0].hits += f->slow_in_flight;
        parts[0].requests += f->slow_in_flight;
    }
    verdict->slow_hold = 1;
    verdict->slow_onset_us = known_time(onset(parts, count, rule->ratio), scope->at_us);
}

void pm_detect_step(pm_scope *scope, const pm_burst_rule *burst, const pm_slow_rule *slow,
                    const pm_figures *f, pm_verdict *verdict)
{
    uint64_t span = f->at_us - scope->at_us; /* of the first one, or after a step back: huge */

    memset(verdict, 0, sizeof(*verdict));
    if (f->at_us < scope->at_us) { /* the clock went back: no telling how long ago the window was */
        scope->kept = 0;
    }
    scope->at_us = f->at_us;
    if (scope->cusum_since_us > f->at_us) {
        scope->cusum_since_us = f->at_us;
    }
    if (f->requests > 0 || f->slow_in_flight > 0) {
        keep(scope, f, span);
    }
    judge_errors(scope, burst, f, verdict);
    if (slow->on) {
        judge_slow(scope, slow, f, verdict);
    }
    /* without traffic the sequential rule goes on holding: silence is no recovery */
    if (scope->sequential && !verdict->errors_hold) {
        verdict->errors_hold = 1;
        verdict->sequential = 1;
        verdict->errors_onset_us = scope->cusum_since_us;
    }
}

/* A span begins with a block: what it is about may have begun in the one before. */
#define LEAD_US (8 * PM_SECOND)

static double unserved(const pm_interval *i, uint32_t outcomes)
{
    return (outcomes >> PM_REFUSED & 1 ? i->refused : 0) +
           (outcomes >> PM_REDIRECTED & 1 ? (double)i->redirected : 0);
}

double pm_detect_unserved(const pm_scope *scope, uint64_t since_us, uint32_t outcomes)
{
    uint64_t limit = scope->kept < PM_WINDOW_MAX ? scope->kept : PM_WINDOW_MAX;
    double sum = 0;

    for (uint32_t n = 0; n < limit && interval(scope, n)->at_us > since_us; n++) {
        sum += unserved(interval(scope, n), outcomes);
    }
    return sum;
}

uint64_t pm_detect_unserved_onset(const pm_scope *scope, uint64_t since_us, uint32_t outcomes)
{
    uint64_t limit = scope->kept < PM_WINDOW_MAX ? scope->kept : PM_WINDOW_MAX;
    part parts[PM_WINDOW_MAX];
    double hits = 0, requests = 0;
    uint32_t n;

    for (n = 0; n < limit && interval(scope, n)->at_us + LEAD_US > since_us; n++) {
        const pm_interval *i = interval(scope, n);

        parts[n] =
            (part){i->at_us, i->span_us, i->first_unserved_us, unserved(i, outcomes), i->requests};
        hits += parts[n].hits;
        requests += parts[n].requests;
    }
    if (hits <= 0 || (n == limit && scope->kept > PM_WINDOW_MAX)) {
        return since_us;
    }
    return known_time(onset(parts, n, hits / (2 * requests)), scope->at_us);
}

void pm_detect_told(pm_scope *scope)
{
    scope->cusum = 0;
    scope->cusum_since_us = 0;
    scope->cusum_failures = 0;
    scope->sequential = 0;
}

void pm_detect_clock_set(pm_scope *scope, uint64_t at_us, int told)
{
    scope->kept = 0;
    if (told) {
        pm_detect_told(scope);
    }
    else if (scope->cusum_since_us != 0) {
        scope->cusum_since_us = at_us;
    }
}
