/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * silence.c: does usual traffic not come (pm_silence.h)?
 */
#include "pm_silence.h"

#include <string.h>

#include "pm_detect.h"
#include "pm_time.h"

#define LEAST_SECONDS 30u /* of history, for the dense rule */
#define DENSE 0.1 /* a second: pages of few clients come in clusters, which the sparse rule knows */
#define BLOCK 10u
#define TEN_MINUTES 10u
#define LIKELY 3.0 /* -ln(5 %) */
#define BARE_LEAST 5u

/* ---- what is usual ---- */

/** More than 1 when the numbers vary more than chance lets them. */
static double dispersion(const double *n, uint32_t count)
{
    double sum = 0, squares = 0, mean;

    if (count < 3) {
        return 1;
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += n[i];
    }
    mean = sum / count;
    for (uint32_t i = 0; i < count; i++) {
        squares += (n[i] - mean) * (n[i] - mean);
    }
    return mean > 0 && squares / (count - 1) > mean ? squares / (count - 1) / mean : 1;
}

/** Of a share of seconds, `b` of `n`: how fast the chance that none of the next is one of them falls. One more would have
 *  been otherwise. */
static double rate_of(double b, double n)
{
    return n > 0 ? -pm_detect_log(1 - b / (n + 1)) : 0;
}

static double dense_now(const pm_silence *s)
{
    double blocks[PM_SILENCE_SECONDS / BLOCK] = {0};
    uint32_t n = s->second < PM_SILENCE_SECONDS ? (uint32_t)s->second : PM_SILENCE_SECONDS, b = 0;

    if (n < LEAST_SECONDS) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t is = s->seconds[(s->second - 1 - i) % PM_SILENCE_SECONDS] != 0;

        b += is;
        blocks[i / BLOCK] += is;
    }
    return rate_of(b, n) / dispersion(blocks, n / BLOCK);
}

/** The last of the minutes on record, the newest first. */
static const pm_silence_minute *minute_at(const pm_silence *s, uint32_t i)
{
    return &s->minute[(s->next_minute - 1 - i) % PM_SILENCE_MINUTES];
}

static uint32_t minutes_known(const pm_silence *s)
{
    return s->next_minute < PM_SILENCE_MINUTES ? (uint32_t)s->next_minute : PM_SILENCE_MINUTES;
}

/** 0 minutes tell of none. */
static double dense_hour(const pm_silence *s)
{
    uint32_t n = minutes_known(s), dense = 0, seconds = 0;
    double blocks[PM_SILENCE_MINUTES];

    for (uint32_t i = 0; i < n; i++) {
        blocks[i] = minute_at(s, i)->dense;
        dense += minute_at(s, i)->dense;
        seconds += minute_at(s, i)->seconds;
    }
    return seconds >= 60 ? rate_of(dense, seconds) / dispersion(blocks, n) : -1;
}

static double sparse(const pm_silence *s, uint32_t most)
{
    double clients[PM_SILENCE_MINUTES], sum = 0, seconds = 0, all = 0, fresh = 0;
    uint32_t n = minutes_known(s);

    n = n < most ? n : most;
    for (uint32_t i = 0; i < n; i++) {
        const pm_silence_minute *m = minute_at(s, i);

        clients[i] = m->clients > 1 ? m->clients - 1 : 0;
        sum += clients[i];
        all += m->clients;
        fresh += m->fresh;
        seconds += m->seconds;
    }
    if (seconds < 45 || all <= 0) {
        return 0;
    }
    return sum / seconds / dispersion(clients, n) * (fresh < all ? fresh / all : 1);
}

static double lower(double a, double b)
{
    return b >= 0 && b < a ? b : a;
}

/** How much less of what the last hour had there was at that time of another day, 0..1. */
static double share_of(const pm_silence *s, double then)
{
    double clients = 0, seconds = 0, rate;

    for (uint32_t i = 0; i < minutes_known(s); i++) {
        clients += minute_at(s, i)->clients;
        seconds += minute_at(s, i)->seconds;
    }
    rate = seconds > 0 ? clients * 60 / seconds : 0;
    return then < 0 || rate <= then ? 1 : then / rate;
}

static uint64_t longest_gap(const pm_silence *s)
{
    uint64_t longest = s->now.gap_us;

    for (uint32_t i = 0; i < minutes_known(s); i++) {
        uint64_t gap = minute_at(s, i)->gap_us;

        longest = gap > longest ? gap : longest;
    }
    return longest;
}

/* ---- the verdict ---- */

/** -ln of the chance of this silence at a rate; and what it must be so that an hour of usual traffic has one so seldom. */
static void weigh(double rate, double seconds, double *exponent, int *strict)
{
    double hour = 3600 * rate > 1 ? pm_detect_log(3600 * rate) : 0;

    if (rate * seconds > *exponent) {
        *exponent = rate * seconds;
    }
    *strict |= rate * seconds >= PM_SILENCE_CHANCE_LOG + hour;
}

/** Connections that came since, and brought none; 0 when no more did than usually. */
static uint32_t bare_of(const pm_silence *s, double seconds)
{
    uint32_t n = minutes_known(s), bare = s->accepted > s->brought ? s->accepted - s->brought : 0;
    double usual = s->now.bare, over = s->now.seconds, excess;

    for (uint32_t i = 0; i < n; i++) {
        usual += minute_at(s, i)->bare;
        over += minute_at(s, i)->seconds;
    }
    usual = over > 0 ? usual / over * seconds : 0;
    excess = (double)bare - BARE_LEAST - usual;
    return s->brought == 0 && bare >= BARE_LEAST && excess > 0 && excess * excess > 16 * usual
               ? bare
               : 0;
}

static void judge(pm_silence *s, const pm_silence_figures *f, pm_silence_verdict *v)
{
    double seconds = (double)s->quiet_us / 1e6, usual, dense, few, most;
    uint64_t least =
        s->known_us < s->quiet_us + PM_SILENCE_LEAST_US ? PM_SILENCE_START_US : PM_SILENCE_LEAST_US;
    int strict = 0;

    usual = lower(share_of(s, f->day), share_of(s, f->week));
    /* Where it was another traffic then, how often these few ask says nothing of it: each once, at the most. */
    most = usual < 0.5 ? lower(f->day >= 0 ? f->day : f->week, f->week) / 60 : -1;
    dense = lower(dense_now(s), dense_hour(s));
    if (dense >= DENSE) {
        weigh(lower(usual * dense, most), seconds, &v->exponent, &strict);
    }
    few = lower(sparse(s, TEN_MINUTES), sparse(s, PM_SILENCE_MINUTES));
    weigh(lower(usual * few, most), seconds, &v->exponent, &strict);
    v->bare = bare_of(s, seconds);
    v->likely = v->exponent >= LIKELY;
    if (s->quiet_us >= least && s->quiet_us >= 2 * longest_gap(s) &&
        (strict || (v->likely && v->bare != 0))) {
        s->holds = 1;
    }
}

/* ---- figures ---- */

static uint32_t people_of(const pm_silence_figures *f)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < PM_SILENCE_CLIENTS; i++) {
        n += f->client[i] != 0;
    }
    return n;
}

static void add_tag(pm_silence *s, uint32_t tag)
{
    uint32_t n = s->tags < PM_SILENCE_TAGS ? s->tags : PM_SILENCE_TAGS;

    for (uint32_t i = 0; i < n; i++) {
        if (s->tag[i] == tag) {
            return;
        }
    }
    if (tag != 0 && n < PM_SILENCE_TAGS) {
        s->tag[n] = tag;
        s->tags = n + 1;
    }
}

static uint32_t fresh_tags(const pm_silence *s)
{
    uint32_t fresh = 0;

    for (uint32_t i = 0; i < s->tags && i < PM_SILENCE_TAGS; i++) {
        uint32_t k = 0;

        while (k < s->last_tags && k < PM_SILENCE_TAGS && s->last_tag[k] != s->tag[i]) {
            k++;
        }
        fresh += k == s->last_tags || k == PM_SILENCE_TAGS;
    }
    return fresh;
}

static void end_minute(pm_silence *s)
{
    s->now.clients = s->tags;
    s->now.fresh = fresh_tags(s);
    memcpy(s->last_tag, s->tag, sizeof(s->tag));
    s->last_tags = s->tags;
    s->minute[s->next_minute++ % PM_SILENCE_MINUTES] = s->now;
    memset(&s->now, 0, sizeof(s->now));
    s->tags = 0;
}

static void add_second(pm_silence *s, const pm_silence_figures *f, uint32_t people)
{
    uint32_t seconds = (uint32_t)((f->span_us + PM_SECOND / 2) / PM_SECOND);
    uint32_t bare = f->accepted > f->brought ? f->accepted - f->brought : 0;

    s->seconds[s->second++ % PM_SILENCE_SECONDS] = people >= 2;
    for (uint32_t i = 0; i < PM_SILENCE_CLIENTS; i++) {
        add_tag(s, f->client[i]);
    }
    s->now.seconds += seconds > 0 ? seconds : 1;
    s->now.dense += people >= 2;
    s->now.bare += bare;
    if (s->now.seconds >= 60) {
        end_minute(s);
    }
}

/** A silence that was none belongs to what is usual, with its length. */
static void end_silence(pm_silence *s)
{
    uint64_t seconds = s->quiet_us / PM_SECOND;

    if (!s->holds) {
        s->now.gap_us = s->now.gap_us > s->quiet_us ? s->now.gap_us : s->quiet_us;
        for (uint64_t i = 0; i < seconds && i < PM_SILENCE_MINUTES * 60; i++) {
            pm_silence_figures none = {.span_us = PM_SECOND};

            add_second(s, &none, 0);
        }
        s->now.bare += s->accepted > s->brought ? s->accepted - s->brought : 0;
    }
    s->quiet_us = s->began_us = s->asker_us = 0;
    s->holds = s->accepted = s->brought = 0;
    s->asker = 0;
}

/** While a silence holds: has it ended with this client? */
static int ends_with(pm_silence *s, uint32_t tag, uint64_t from_us)
{
    if (s->asker == 0) {
        s->asker = tag;
        s->asker_us = from_us;
        s->asker_first_us = s->quiet_us;
    }
    s->asker_last_us = s->quiet_us;
    return s->asker != tag || s->quiet_us >= s->asker_first_us + PM_SILENCE_ALONE_US;
}

static int asks_again(pm_silence *s, const pm_silence_figures *f, uint64_t from_us)
{
    int again = 0;

    if (!s->holds) {
        return people_of(f) > 0;
    }
    if (s->asker != 0 && s->quiet_us > s->asker_last_us + PM_SILENCE_AGAIN_US) {
        s->asker = 0;
    }
    for (uint32_t i = 0; i < PM_SILENCE_CLIENTS && !again; i++) {
        again = f->client[i] != 0 && ends_with(s, f->client[i], from_us);
    }
    return again;
}

void pm_silence_step(pm_silence *s, const pm_silence_figures *f, pm_silence_verdict *v)
{
    uint64_t from_us = f->at_us > f->span_us ? f->at_us - f->span_us : 0;

    memset(v, 0, sizeof(*v));
    s->known_us += f->span_us;
    v->again = (uint32_t)asks_again(s, f, from_us);
    if (v->again || (f->arrived && !s->holds)) {
        v->until_us = s->holds && s->asker != 0 ? s->asker_us : from_us;
        if (s->quiet_us > 0) {
            end_silence(s);
        }
        add_second(s, f, people_of(f));
        return;
    }
    if (s->quiet_us == 0) {
        s->began_us = from_us;
    }
    s->quiet_us += f->span_us;
    s->accepted += f->accepted;
    s->brought += f->brought;
    judge(s, f, v);
    v->holds = s->holds;
    v->began_us = s->began_us;
    v->quiet_us = s->quiet_us;
    v->until_us = s->asker != 0 ? s->asker_us : f->at_us;
}

void pm_silence_recall(pm_silence *s, uint32_t seconds, uint32_t clients, uint32_t fresh)
{
    clients = clients < PM_SILENCE_TAGS ? clients : PM_SILENCE_TAGS;
    fresh = fresh < clients ? fresh : clients;
    s->minute[s->next_minute++ % PM_SILENCE_MINUTES] =
        (pm_silence_minute){.seconds = seconds, .clients = clients, .fresh = fresh};
}
