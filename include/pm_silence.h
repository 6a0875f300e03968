/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_silence.h: does usual traffic not come? A pure function of a state and one interval's figures.
 *
 * Silence begins when nobody asks any more but health checkers, and those whose requests are answered in a way that tells of
 * no client (400 and the like, PM_PROVES_NOTHING): they may come, and are counted and said, but nobody is served. Nor does a
 * request arrive, or is under way, that was not there before. What counts as usual leaves any one client out: a crawler, a monitor or a load test that ends is no silence.
 *  dense   the share of seconds in which two clients or more asked, over the last two minutes and the last hour: the
 *          lower of the two. Seconds are taken as independent, and their number divided by how much more it varies
 *          between blocks of ten seconds than chance lets it (its index of dispersion).
 *  sparse  distinct clients of each minute but for one, over the last ten minutes and the last hour: the lower of the two;
 *          likewise divided, and by the number of minutes for which one stays.
 * What is on record of the same time a day and a week before must agree, where it is on record: where fewer came then, both
 * rates are less by as much, and where less than half did, no more than one for each client that came. Health checkers are no
 * clients there either.
 *
 * It holds when by one of them the chance that an hour of usual traffic has a silence so long is below PM_SILENCE_CHANCE,
 * and the silence is PM_SILENCE_LEAST_US long and twice as long as any of the last hour; PM_SILENCE_START_US after a start.
 * Where clients connect meanwhile, more of them than usually bring no request, and none brings one, a chance below 5 % will
 * do: these connections say that it is not for want of clients.
 *
 * Until it holds, any client that asks ends it. Then it is over when two clients ask within PM_SILENCE_AGAIN_US, or one does
 * for PM_SILENCE_ALONE_US without such a pause: a scanner that comes by, or a test of the administrator's, is no end. It was
 * over when the first of these requests came.
 *
 * What that takes, in seconds, by how many clients come to the site, and each stays for a minute or two (and where
 * their connections bring no request): 200 a minute 10 (10); 30 a minute 23 (10); 10 a minute 141 (25); 3 a minute 345 (85);
 * one a minute 1393 (517). A single client that stops is none. False alarms in six simulated weeks, from 200 clients a minute to six an
 * hour, with a crawler that stops each night and checks of the port: none (tests/unit/test_silence.c).
 */
#ifndef PM_SILENCE_H
#define PM_SILENCE_H

#include <stdint.h>

#define PM_SILENCE_CHANCE_LOG 9.2103 /* -ln(1e-4): of a false alarm in an hour */
#define PM_SILENCE_LEAST_US 10000000ull
#define PM_SILENCE_START_US 60000000ull
#define PM_SILENCE_AGAIN_US 60000000ull
#define PM_SILENCE_ALONE_US 300000000ull
#define PM_SILENCE_SECONDS 120u
#define PM_SILENCE_MINUTES 60u
#define PM_SILENCE_TAGS 64u /* clients of a minute told apart */
#define PM_SILENCE_CLIENTS 8u

/** What an interval (normally a second) brought. */
typedef struct pm_silence_figures {
    uint64_t at_us;   /* its end, wall time */
    uint64_t span_us; /* its length, by the monotonic clock */
    uint32_t client[PM_SILENCE_CLIENTS]; /* tags of clients that asked, the first few; no health checkers; 0 = none */
    uint32_t arrived;            /* 1: more requests are under way than when the silence began */
    uint32_t accepted, brought;  /* connections; of those accepted now or before, that brought a first request now */
    double day, week;            /* clients a minute at this time then; -1 = not on record */
} pm_silence_figures;

typedef struct pm_silence_minute {
    uint32_t seconds; /* covered; 0 = unused */
    uint32_t dense;   /* in which two clients asked */
    uint32_t clients;
    uint32_t fresh;   /* of them those that were not there in the minute before */
    uint32_t bare;    /* connections accepted, less those that brought a request */
    uint32_t pad;
    uint64_t gap_us;  /* the longest silence that ended in it */
} pm_silence_minute;

/** All zero is a fresh state; no content of it can crash a step. */
typedef struct pm_silence {
    uint64_t quiet_us;  /* length of the silence so far; 0 = somebody asks */
    uint64_t began_us;  /* wall time */
    uint64_t known_us;  /* since the state is fresh */
    uint32_t holds;
    uint32_t accepted, brought; /* since it began */
    uint32_t asker, pad;        /* the client that asks alone while it holds; 0 = none does */
    uint64_t asker_us;          /* when it began to, wall time */
    uint64_t asker_first_us, asker_last_us; /* how long the silence was when it asked */
    uint8_t seconds[PM_SILENCE_SECONDS]; /* 1: two clients asked; slot = number % room. Of seconds outside silences */
    uint64_t second;                     /* number of the next */
    uint32_t tag[PM_SILENCE_TAGS];       /* of the minute that is being filled */
    uint32_t last_tag[PM_SILENCE_TAGS];  /* of the one before */
    uint32_t tags, last_tags;
    pm_silence_minute now, minute[PM_SILENCE_MINUTES];
    uint64_t next_minute;
} pm_silence;

typedef struct pm_silence_verdict {
    uint32_t holds;
    uint32_t again;     /* somebody asks (again): whatever silence there was is over */
    uint32_t bare;      /* connections of the silence that brought no request; 0 = not more than usual */
    uint32_t likely;    /* 1: it is worth a look from outside (a chance below 5 %) */
    uint64_t began_us, quiet_us;
    double exponent;    /* -ln of the chance of such a silence from now on */
    uint64_t until_us;  /* nobody was served until then, wall time: one client that asks may be the end of it */
} pm_silence_verdict;

void pm_silence_step(pm_silence *s, const pm_silence_figures *f, pm_silence_verdict *v);
/** A minute that is on record from before: so many clients in so many seconds, no health checkers among them, and how many
 *  of them were not there in the minute before. Oldest first, before the first step. What is not known to be people is no
 *  minute to recall. */
void pm_silence_recall(pm_silence *s, uint32_t seconds, uint32_t clients, uint32_t fresh);

#endif
