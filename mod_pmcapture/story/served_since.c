/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * served_since.c: was what fails now served well after a change? Then the change did not break it at once.
 *
 * What succeeds is counted for the whole server alone, not by route. So two things have to show in those figures.
 * Failures as frequent as they are now would have been seen since the change, and were not. And the requests that
 * fail now are those that were answered well, not new ones: then good ones became fewer with the onset, by half of
 * the failures at least and by more than chance has it. A route that nobody asked for between the change and the onset
 * fails beside the good ones, which stay as many as they were: that proves nothing for the change.
 */
#include "suspects.h"

#define WHILE_US (10 * PM_SECOND)
#define LOOK_US (120 * PM_SECOND) /* to either side: so many seconds every reader has */
#define EXPECTED 10               /* failures that the change would have brought by then */

typedef struct sum {
    double requests, bad, us;
} sum;

/** What the incident is about, in a second. Of redirects a 304 is none, and cannot be told from them here. */
static double bad_in(const pm_row *row, uint32_t kinds)
{
    return (double)(row->errors + row->slow) + (kinds & PM_KIND_REFUSED ? row->classes[3] : 0) +
           (kinds & PM_KIND_REDIRECTS ? row->classes[2] : 0);
}

static sum add_up(const pm_telling *t, pm_slice s, uint64_t until_us)
{
    sum all = {0, 0, 0};

    for (size_t n = s.first; n < s.last; n++) {
        const pm_row *row = &t->m->rows[n];

        if (row->at_us + row->span_us <= until_us) {
            all.requests += (double)row->requests;
            all.bad += bad_in(row, t->i->kinds);
            all.us += (double)row->span_us;
        }
    }
    all.bad = all.bad < all.requests ? all.bad : all.requests;
    return all;
}

static sum since_the_onset(const pm_telling *t)
{
    uint64_t until =
        t->i->onset_us + LOOK_US < t->until_us ? t->i->onset_us + LOOK_US : t->until_us;

    return add_up(t, pm_story_rows_over(t, t->i->onset_us, until), until + 2 * PM_SECOND);
}

/* More than three standard deviations of a Poisson count? */
static int is_significant(double count, double expected)
{
    return count > 0 && count * count > 9 * expected;
}

static enum pm_served_since judge(const pm_telling *t, const sum *was, const sum *is)
{
    double failing = is->requests > 0 ? is->bad / is->requests : 1;
    double expected = was->us > 0 ? (was->requests - was->bad) * is->us / was->us : 0;
    double lost = expected - (is->requests - is->bad);

    if (t->i->kinds & PM_KIND_UNREACHABLE) { /* what others were answered says nothing of it */
        return PM_SERVED_UNKNOWN;
    }
    if (!(t->i->kinds & ~PM_KIND_STATES)) {
        return was->requests >= EXPECTED && was->bad * 4 <= was->requests ? PM_SERVED_WELL
                                                                          : PM_SERVED_UNKNOWN;
    }
    if (was->requests * failing < EXPECTED || was->bad * 4 > was->requests * failing) {
        return PM_SERVED_UNKNOWN;
    }
    if (lost * 2 >= is->bad && is_significant(lost, expected)) {
        return PM_SERVED_WELL;
    }
    return lost * 2 < is->bad && is_significant(is->bad, expected) ? PM_SERVED_UNKNOWN
                                                                   : PM_SERVED_MAYBE;
}

pm_since pm_served_since(const pm_telling *t, uint64_t at_us)
{
    uint64_t onset = t->i->onset_us, from = pm_story_back(onset, LOOK_US);
    sum was, is;

    from = at_us > from ? at_us : from;
    if (t->m->resolution_us != PM_SECOND || from + WHILE_US > onset) {
        return (pm_since){PM_SERVED_UNKNOWN, 0, 0, 0};
    }
    was = add_up(t, pm_story_rows(t, from, onset), onset);
    is = since_the_onset(t);
    if (was.us < WHILE_US) {
        return (pm_since){PM_SERVED_UNKNOWN, 0, 0, 0};
    }
    return (pm_since){judge(t, &was, &is), (uint64_t)(was.requests - was.bad),
                      (uint64_t)was.requests, onset - from};
}
