/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_served.h: when are too few clients served? A pure function of a state and one interval's clients, as pm_detect.h is of
 * requests.
 *
 * A client is served in a span of time when it got what it asked for at least once in it (pm_outcome.h), and unserved when
 * all that it got were refusals (4xx) and redirects. Requests are not counted: one client that is refused ten thousand
 * times is one client. What is refused with 5xx alone is pm_detect.h's, and is neither here.
 *
 * Spans. The state keeps who met what in the last seconds, one by one, and in ever longer blocks before: PM_SERVED_SLOTS
 * blocks of each of PM_SERVED_SCALES lengths, 1, 4, 16, 64, 256, 1024, 4096 intervals. A span is the time from the beginning of one
 * block until now: some fifty spans of 1 s to 9 h, each with its clients. Of each length the state knows what is usual:
 * the mean numbers of served and unserved clients in a block (a moving average over PM_SERVED_MEMORY blocks, which leaves out
 * the latest ones and all while too few are served).
 *
 * The rule holds when for one span, with s served clients and u unserved ones:
 *  all        u >= clients, at least four of five are unserved, their log likelihood ratio u ln(p1/p0) + s ln((1-p1)/(1-p0))
 *             reaches PM_SERVED_ENOUGH (p0 = the usual share of unserved clients, at least PM_SERVED_LEAST; p1 half-way from
 *             there to 1), and s is too low for chance: by Chernoff's bound for a Poisson count its probability is below
 *             1 % when the usual number of clients is served (one in 10^5 when more clients come than usual), and half of
 *             that were served in the time before; and u is too high for chance, where some are always unserved. The last two are what a scanner, a crawler or a botnet with addresses of its own does not do, by day
 *             or by night: those who are usually served still are, or had gone before it came.
 *  regulars   of the unserved clients k were served before the span, more than chance explains (bits of two clients
 *             coincide as often as the set of earlier clients is full; Chernoff's bound for that is 10^-5): k >= clients, and the
 *             ratio with k in u's place and p1 = p0 + ratio reaches PM_SERVED_ENOUGH. It sees that some clients of many
 *             are not served any more; new clients alone it does not see.
 * Spans are looked at from the shortest on, and no further than the first that says that all is well (a ratio of
 * -PM_SERVED_WELL): what was before that is over.
 *
 * Without traffic nothing is learned that would speak for an end: what held goes on holding.
 */
#ifndef PM_SERVED_H
#define PM_SERVED_H

#include "pm_client_set.h"
#include "pm_outcome.h"

#define PM_SERVED_MET PM_FAILED /* outcomes below: served, redirected, refused */
#define PM_SERVED_SCALES 7u
#define PM_SERVED_FACTOR 4u
#define PM_SERVED_SLOTS 8u
#define PM_SERVED_MEMORY 32u
#define PM_SERVED_WINDOW_MAX 36000 /* seconds; window= accepts 1..PM_SERVED_WINDOW_MAX */
#define PM_SERVED_ENOUGH 9.2 /* ln(10^4) */
#define PM_SERVED_WELL 4.6   /* ln(10^2) */
#define PM_SERVED_LEAST 0.02 /* of clients are unserved anywhere */
#define PM_SERVED_MOST 0.95  /* where it is more, nobody can tell */

/** PMCaptureServed. */
typedef struct pm_served_rule {
    uint32_t on; /* 0 = Off */
    uint32_t clients; /* 1.. */
    uint32_t window;  /* seconds, the longest span */
    uint32_t clear;   /* seconds, 1..86400 */
    double ratio;     /* 0..1, exclusive of 0 */
} pm_served_rule;
#define PM_SERVED_DEFAULT ((pm_served_rule){1, 4, 3600, 60, 0.10})

/** A block: who met what from `from_us` on. */
typedef struct pm_served_slot {
    uint64_t from_us;
    uint64_t unusual; /* too few were served: nothing is learned from it */
    pm_client_set met[PM_SERVED_MET];
} pm_served_slot;

/** What is usual in a block of one length. */
typedef struct pm_served_usual {
    double served, unserved, regulars; /* clients, means */
    uint32_t blocks;                   /* that were learned from; saturates at PM_SERVED_MEMORY */
    uint32_t pad;
} pm_served_usual;

/** State of one scope: plain memory without pointers, as pm_scope. All zero is a valid fresh state; no content of it can
 *  crash a step. */
typedef struct pm_served {
    uint64_t steps; /* so far, idle ones included; block n of scale k is full when steps is a multiple of 4^k */
    uint64_t idle;  /* intervals without a client since, which are still to be stepped */
    uint64_t idle_from_us;
    uint32_t holds; /* bits of enum pm_outcome */
    uint32_t pad;
    uint64_t since_us;
    pm_served_slot slot[PM_SERVED_SCALES][PM_SERVED_SLOTS]; /* block n at n % PM_SERVED_SLOTS */
    pm_served_slot filling[PM_SERVED_SCALES];               /* [0] is unused */
    pm_served_usual usual[PM_SERVED_SCALES];
} pm_served;

/** The answer to one step. */
typedef struct pm_served_verdict {
    uint32_t holds;    /* bits of enum pm_outcome: what clients get instead; 0 = the rule does not hold */
    uint32_t held;     /* likewise before this step */
    uint64_t since_us; /* beginning of the span */
    double unserved;   /* clients in it that were not served */
    double usual;      /* share of clients that is usually served in a span like it, 0..1; -1 = not known */
} pm_served_verdict;

/** One interval: who met what from `from_us` to `to_us`. `trouble`: an incident is open in this scope, so that nothing is usual.
 *  Costs a few compares when nobody came. */
void pm_served_step(pm_served *s, const pm_served_rule *rule, uint64_t from_us,
                    const pm_client_set met[PM_OUTCOMES], int trouble, pm_served_verdict *verdict);

/** Who met what since a time, as far as the state remembers: in the blocks that begin then or later. */
void pm_served_met(const pm_served *s, uint64_t since_us, pm_client_set met[PM_SERVED_MET]);
/** Of who met what: how many clients there are, and how many of them were served. Both from one level of the sets. */
void pm_served_count(const pm_client_set met[PM_OUTCOMES], double *all, double *served);

#endif
