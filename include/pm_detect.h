/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_detect.h: when is it an incident? A pure function of a state and one interval's figures.
 *
 * One pm_scope stands for the whole server or for one virtual host. It holds the figures of the last
 * seconds and answers, after each step, whether its rules hold now, and since when. It knows nothing
 * of incidents, clocks, files or other scopes.
 *
 * Rules, side by side:
 *  volume      In the last `window` seconds at least `errors` weighed failures, and they are at least
 *              `ratio` of the requests.
 *  sequential  Bernoulli CUSUM (Page 1954; Reynolds and Stoumbos 1999) over weighed failures: a failure
 *              adds ln(p1/p0), a success takes ln((1-p0)/(1-p1)), never below 0; p0 = ratio, p1 half-way
 *              from there to 1, so that a success always takes ln 2. At the default ratio a failure adds
 *              2.35: four in a row reach PM_DETECT_CUSUM, and it takes more than 23 % failing to rise at
 *              all. Begins to hold with a failure that finds the sum there, when the excursion since it
 *              was last 0 spans PM_DETECT_FEW failures and `window` seconds, or one failure more with at
 *              most PM_DETECT_QUIET requests in the window; holds until the sum is below. Four
 *              failures in a row, ten seconds apart, are caught; a busy site's one per cent never is.
 *              The sum is capped one failure above the threshold: after an outage of any length four
 *              successes end it.
 *  clients     When rule.clients > 0: of the distinct clients in the window at least that share met an
 *              error, and at least PM_DETECT_OTHERS did.
 *  slow        In the last `window` seconds at least `requests` requests completed or are in flight beyond
 *              the threshold, and completed-slow + in-flight-slow are at least `ratio` of them.
 *
 * Weighing: when one client stands behind more than half of the window's failures while at least
 * PM_DETECT_OTHERS other clients succeed on the same scope in the window, that client's failures count as
 * one in the window and not at all in the sequential sum (a scanner is no outage), and its other failing
 * requests are no requests either; else all failures count. Who is behind a failure is known by interval and
 * bucket: a bucket's failures in an interval are all its last failing client's. Two failing clients
 * that share a bucket (one pair in 16) are told apart as soon as now one, now the other was last.
 *
 * The window goes by time, not by count: late, long and missing intervals are fine, and what an interval
 * brought happened at its end. At most PM_WINDOW_MAX intervals with traffic are kept. A clock that steps, back
 * or ahead, empties the window; the sequential sum, which knows only order, stays (pm_detect_clock_set).
 *
 * Onset: of the window's suffixes the one whose share of failures is the least likely at the allowed ratio
 * (the maximum-likelihood beginning), so that a stray failure among successes before a burst is not its
 * beginning; and of the interval before it, when failures are as dense there from the first one on (the burst
 * began just before that interval's end). Their first arrival. When the sequential rule alone holds, the
 * excursion's first failing arrival.
 *
 * False alarms: times a day that a rule begins to hold while every request fails independently with a
 * steady chance, at the defaults:
 *   requests/s    1 %     2 %     3 %     4 %     5 %
 *         1000      0       0       0     0.3    many
 *          100      0       0      20    many    many
 *           50      0       3    many    many    many
 *           20    1.5    many    many    many    many     (10 failures are 5 % of the window there)
 *           10      0       1      36     240     860
 *            5      0       0    0.03       1       6
 *      0.1 to 2      0       0    0.02     0.1     0.5
 */
#ifndef PM_DETECT_H
#define PM_DETECT_H

#include <stdint.h>

#include "pm_client_set.h"
#include "pm_outcome.h"

#define PM_WINDOW_MAX 120   /* seconds; window= accepts 1..PM_WINDOW_MAX */
#define PM_DETECT_CUSUM 9.2 /* ln(10^4): at exactly `ratio`, no sooner than every 10^4 requests */
#define PM_DETECT_FEW 4     /* failures, at least, for the sequential rule */
#define PM_DETECT_QUIET 10  /* requests in the window, at most, of a quiet site */
#define PM_DETECT_OTHERS 3  /* succeeding clients that clear a single failing one */
#define PM_CLIENT_BUCKETS 16
#define PM_OK_CLIENTS (PM_DETECT_OTHERS + 1) /* the failing one may have succeeded, too */

/** PMCaptureBurst and PMCaptureSlow. Ratios 0..1 (exclusive of 0), seconds, microseconds. */
typedef struct pm_burst_rule {
    uint32_t errors; /* 1.. */
    uint32_t window; /* seconds, 1..PM_WINDOW_MAX */
    uint32_t clear;  /* seconds, 1..86400 */
    uint32_t pad;
    double ratio;
    double clients; /* 0 = rule off */
} pm_burst_rule;

typedef struct pm_slow_rule {
    uint32_t on; /* 0 = Off */
    uint32_t requests;
    uint32_t window;
    uint32_t clear;
    uint64_t threshold_us;
    double ratio;
} pm_slow_rule;

/** A client as the detector knows it: a part of its keyed hash, never 0. 0 = none. */
static inline uint32_t pm_client_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

/** What one interval (normally a second) brought to one scope. Times in wall microseconds, 0 = none. */
typedef struct pm_figures {
    uint64_t at_us;          /* end of the interval */
    uint64_t requests;       /* completed */
    uint64_t errors;         /* of them 5xx */
    uint64_t slow;           /* of them slower than the threshold */
    uint64_t refused, redirected;
    uint64_t slow_in_flight; /* now in flight for longer than the threshold (a gauge) */
    uint64_t first_error_us; /* earliest arrival among errors */
    uint64_t last_error_us;  /* latest completion among errors */
    uint64_t first_slow_us;  /* earliest arrival among slow ones, in flight included */
    uint64_t last_slow_us;   /* latest completion among slow ones */
    /* errors by bucket of the client's hash, and the tag of each bucket's last failing client: 0 = not known,
     * may be stale where there were no errors */
    uint32_t errors_by_client[PM_CLIENT_BUCKETS];
    uint32_t failing_client[PM_CLIENT_BUCKETS];
    /* tags of clients that succeeded, the first few distinct ones, health checkers left out; 0 = none. (A
     * bitmap will not do: in one of 64 bits, three clients look like fewer one time in five.) */
    uint32_t ok_clients[PM_OK_CLIENTS];
    /* distinct, estimated, over the burst rule's window (merged sketches); 0 when not counted */
    uint32_t clients;
    uint32_t error_clients; /* of them those that met an error */
    uint64_t first_unserved_us;   /* earliest arrival among those two */
    uint64_t last_unserved_us;    /* latest completion among them */
    pm_client_set met[PM_OUTCOMES]; /* clients by what they met in the interval */
} pm_figures;

/** Add a tag to a set such as ok_clients, unless it is there, 0, or the set is full. Returns its size. */
uint32_t pm_clients_add(uint32_t set[PM_OK_CLIENTS], uint32_t tag);

/** One interval as the window keeps it. Counts saturate. */
typedef struct pm_interval {
    uint64_t at_us;
    uint64_t first_error_us;
    uint64_t first_slow_us;
    uint64_t first_unserved_us;
    uint32_t span_us; /* since the interval before; UINT32_MAX at a beginning */
    uint32_t requests;
    uint32_t errors;
    uint32_t slow;
    uint32_t refused, redirected;
    uint32_t top_client; /* tag behind the fullest bucket's errors, 0 = not known */
    uint32_t top_errors;
    uint32_t ok_clients[PM_OK_CLIENTS];
} pm_interval;
_Static_assert(sizeof(pm_interval) == 80, "pm_interval lies in shared memory");

/** State of one scope: plain memory without pointers, so that it may lie in shared memory and outlive
 *  the process that steps it. All zero is a valid fresh state; no content of it can crash a step.
 *  One process steps it at a time. */
typedef struct pm_scope {
    uint64_t kept;  /* intervals kept so far; newest at (kept - 1) % PM_WINDOW_MAX */
    uint64_t at_us; /* end of the last interval, idle ones included */
    double cusum;
    uint64_t cusum_since_us; /* first failing arrival of the excursion; 0 = the sum is 0 */
    uint32_t cusum_failures; /* in the excursion; saturates */
    uint32_t sequential;     /* the sequential rule holds */
    pm_interval window[PM_WINDOW_MAX];
} pm_scope;
_Static_assert(sizeof(pm_scope) == 40 + 80 * PM_WINDOW_MAX, "pm_scope lies in shared memory");

/** The answer to one step. */
typedef struct pm_verdict {
    uint32_t errors_hold; /* an errors rule holds now */
    uint32_t slow_hold;
    uint64_t
        errors_onset_us; /* when errors_hold: first arrival of the first failing request in it */
    uint64_t slow_onset_us;
    uint32_t single_client; /* weighed down: one client's failures while others succeed */
    uint32_t sequential;    /* it was the sequential rule alone */
    double window_ratio;    /* weighed errors / requests in the window, for the record */
} pm_verdict;

/** One interval. Costs a few compares when nothing happened and nothing is in a window; else it reads the
 *  window once, and once more while a rule holds. */
void pm_detect_step(pm_scope *scope, const pm_burst_rule *burst, const pm_slow_rule *slow,
                    const pm_figures *figures, pm_verdict *verdict);

/** An incident has told what the sequential sum holds, and is over: the sum is 0. */
void pm_detect_told(pm_scope *scope);

/** The clock was set between two intervals; by the new one it was `at_us` then. The window is empty. What the sequential
 *  sum holds began then, unless an incident has told it already: then it is 0. */
void pm_detect_clock_set(pm_scope *scope, uint64_t at_us, int told);

/** When clients began to get refusals (or redirects, by the bits of enum pm_outcome) instead of what they asked for, not
 *  long before `since_us`: arrival of the first, as far as the last intervals tell, else `since_us`. */
uint64_t pm_detect_unserved_onset(const pm_scope *scope, uint64_t since_us, uint32_t outcomes);

/** How many requests were answered so since then, as far as the last intervals tell. */
double pm_detect_unserved(const pm_scope *scope, uint64_t since_us, uint32_t outcomes);

/** Natural logarithm of a positive, normal x, within 1e-9: httpd does not load libm. */
double pm_detect_log(double x);

#endif
