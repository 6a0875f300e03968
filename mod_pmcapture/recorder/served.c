/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * served.c: the rule that says when too few clients are served.
 */
#include <string.h>

#include "pm_detect.h"
#include "pm_served.h"

#define CHANCE 4.6      /* ln(10^2) */
#define LUCK 9.2        /* ln(10^4) */
#define CROWD_LUCK 16.1 /* ln(10^7) */
#define REGULARS_ENOUGH 6.9
#define CROWD_CHANCE 11.5 /* ln(10^5) */

/** A span under examination: who met what in it, and who was served before. */
typedef struct span {
    uint32_t scale, slots;
    uint64_t from_us;
    pm_client_set met[PM_SERVED_MET];
} span;

/** Its clients at one level of the sets. */
typedef struct clients {
    uint32_t level;
    double served, refused, redirected, unserved;
} clients;

static uint64_t length_of(uint32_t scale)
{
    return 1ull << (2 * scale);
}

static void merge_slot(pm_client_set into[PM_SERVED_MET], const pm_client_set from[PM_SERVED_MET])
{
    for (uint32_t i = 0; i < PM_SERVED_MET; i++) {
        pm_set_merge(&into[i], &from[i]);
    }
}

/** Block `age` of a scale, 0 the newest full one; NULL when there is none yet. */
static const pm_served_slot *block(const pm_served *s, uint32_t scale, uint32_t age)
{
    uint64_t full = s->steps / length_of(scale);

    return age < full && age < PM_SERVED_SLOTS ? &s->slot[scale][(full - 1 - age) % PM_SERVED_SLOTS]
                                               : NULL;
}

/** Clients who met refusals or redirects and nothing better. Those of a set are counted with those that they are taken
 *  from, so that two who share a bit are no difference. */
static clients count_clients(const pm_client_set met[PM_SERVED_MET])
{
    pm_client_set all = met[PM_SERVED], sum;
    clients c = {0};

    pm_set_merge(&all, &met[PM_REFUSED]);
    pm_set_merge(&all, &met[PM_REDIRECTED]);
    c.level = pm_set_level(&all);
    c.served = pm_set_count(pm_set_bits(&met[PM_SERVED], c.level));
    c.unserved = pm_set_count(pm_set_bits(&all, c.level)) - c.served;
    sum = met[PM_SERVED];
    pm_set_merge(&sum, &met[PM_REFUSED]);
    c.refused = pm_set_count(pm_set_bits(&sum, c.level)) - c.served;
    c.redirected = c.unserved - c.refused;
    return c;
}

static pm_client_set unserved_of(const pm_client_set met[PM_SERVED_MET])
{
    pm_client_set set = met[PM_REFUSED];

    pm_set_merge(&set, &met[PM_REDIRECTED]);
    pm_set_subtract(&set, &met[PM_SERVED]);
    return set;
}

/* ---- what is usual ---- */

static void average(double *mean, double seen, uint32_t blocks)
{
    *mean = *mean >= 0 && *mean < 1e12 ? *mean : 0; /* damaged memory may be NaN */
    *mean += (seen - *mean) / blocks;
}

/** How many of the unserved clients were served before: as many as are in both sets, but for those that chance puts there.
 *  `surprise`: -ln of Chernoff's bound for chance alone to put so many there. */
static double regulars_of(const pm_client_set *unserved, const pm_client_set *before,
                          uint32_t level, double *surprise)
{
    pm_client_set both = *unserved;
    double chance = (double)pm_set_bits(before, level) / PM_SET_BITS;
    double bits = pm_set_bits(unserved, level), u = pm_set_count((uint32_t)bits), k, seen;

    pm_set_intersect(&both, before);
    chance = chance < 0.99 ? chance : 0.99;
    seen = bits > 0 ? pm_set_bits(&both, level) / bits : 0;
    k = u * (seen - chance) / (1 - chance);
    *surprise = 0;
    if (seen > chance) {
        double rest = seen < 1 ? (1 - seen) * pm_detect_log((1 - seen) / (1 - chance)) : 0;

        *surprise = bits * ((chance > 0 ? seen * pm_detect_log(seen / chance) : 1e6) + rest);
    }
    return k < 0 ? 0 : k > u ? u : k;
}

static void learn_block(pm_served *s, uint32_t scale, uint32_t age)
{
    const pm_served_slot *seen = block(s, scale, age);
    pm_served_usual *usual = &s->usual[scale];
    pm_client_set before = {0}, unserved;
    clients c;
    double scale_up, unused;

    if (seen == NULL || seen->unusual) {
        return;
    }
    for (uint32_t older = age + 1; older < PM_SERVED_SLOTS; older++) {
        const pm_served_slot *slot = block(s, scale, older);

        if (slot != NULL) {
            pm_set_merge(&before, &slot->met[PM_SERVED]);
        }
    }
    unserved = unserved_of(seen->met);
    c = count_clients(seen->met);
    scale_up = pm_set_scale(c.level);
    usual->blocks = usual->blocks < PM_SERVED_MEMORY ? usual->blocks + 1 : PM_SERVED_MEMORY;
    average(&usual->served, c.served * scale_up, usual->blocks);
    average(&usual->unserved, c.unserved * scale_up, usual->blocks);
    average(&usual->regulars, regulars_of(&unserved, &before, c.level, &unused) * scale_up,
            usual->blocks);
}

/** The latest blocks may be the beginning of what is not usual: they are learned from later. */
static void learn(pm_served *s, uint32_t scale)
{
    learn_block(s, scale, scale == 0 ? PM_SERVED_SLOTS - 1 : 2);
}

static double share(double part, double rest)
{
    double p = part + rest > 0 ? part / (part + rest) : 0;

    return p < PM_SERVED_LEAST ? PM_SERVED_LEAST : p > PM_SERVED_MOST ? PM_SERVED_MOST : p;
}

/** How many clients are usually served in so many blocks of a length, 1 .. 2 * PM_SERVED_FACTOR: by proportion between one
 *  block and one of the next length. Regular clients come in each block, others in one. -1 = not known. */
static double usually_served(const pm_served *s, uint32_t scale, double slots)
{
    const pm_served_usual *own = &s->usual[scale];
    const pm_served_usual *next = scale + 1 < PM_SERVED_SCALES ? &s->usual[scale + 1] : own;
    double more = next->blocks >= 2 && next->served > own->served ? next->served - own->served : 0;

    if (own->blocks < 2) {
        return -1;
    }
    if (slots > PM_SERVED_FACTOR && next != own && next->blocks >= 2) {
        return usually_served(s, scale + 1, slots / PM_SERVED_FACTOR);
    }
    return own->served + more * ((slots < PM_SERVED_FACTOR ? slots : PM_SERVED_FACTOR) - 1) /
                             (PM_SERVED_FACTOR - 1);
}

/* ---- the rule ---- */

static double ratio_of(double hits, double misses, double p0, double p1)
{
    return hits * pm_detect_log(p1 / p0) - misses * pm_detect_log((1 - p0) / (1 - p1));
}

/** -ln of Chernoff's bound for a Poisson count of `seen` or fewer, where `usual` are expected. */
static double surprise(double seen, double usual)
{
    if (seen >= usual) {
        return 0;
    }
    return usual - seen + (seen > 0 ? seen * pm_detect_log(seen / usual) : 0);
}

/** Clients served in a time as long as a span, before it: from blocks that lie wholly in the twice as long time before. */
static double served_before(const pm_served *s, const span *sp, uint32_t level)
{
    uint64_t length = sp->slots * length_of(sp->scale) * 1000000, from = sp->from_us;
    pm_client_set before = {0};
    double served;

    for (uint32_t scale = sp->scale; scale < PM_SERVED_SCALES && scale <= sp->scale + 1; scale++) {
        uint64_t end = UINT64_MAX;

        for (uint32_t age = 0; age < PM_SERVED_SLOTS; age++) {
            const pm_served_slot *slot = block(s, scale, age);

            if (slot == NULL || slot->from_us + 2 * length < sp->from_us) {
                break;
            }
            if (end <= sp->from_us) {
                pm_set_merge(&before, &slot->met[PM_SERVED]);
                from = slot->from_us < from ? slot->from_us : from;
            }
            end = slot->from_us;
        }
    }
    served = pm_set_count(pm_set_bits(&before, level));
    return sp->from_us - from > length ? served * (double)length / (double)(sp->from_us - from)
                                       : served;
}

/** -ln of the bound for that count or more. */
static double surprise_up(double seen, double usual)
{
    return seen <= usual ? 0 : usual - seen + seen * pm_detect_log(seen / usual);
}

/** Are more unserved than are usual there? At dusk those who are served go, and crawlers stay. */
static int too_many(const pm_served *s, const span *sp, const clients *c)
{
    double usual = s->usual[sp->scale].unserved * (sp->slots + 1) / pm_set_scale(c->level);

    return surprise_up(c->unserved, usual > 0.01 ? usual : 0.01) >= CHANCE;
}

/** More than usually come: somebody else has come. */
static int is_crowd(const clients *c, double usual)
{
    return c->unserved > 1.5 * usual + 3;
}

/** How many are to be expected in a span: as are usual, and not many more than came before it, as traffic goes down by night.
 *  The few clients who come in each block do so in several with more certainty than in one. -1 = not known. */
static double expected_in(const pm_served *s, const span *sp, const clients *c)
{
    double scale = pm_set_scale(c->level), usual = usually_served(s, sp->scale, sp->slots) / scale;
    double each = s->usual[sp->scale].served * sp->slots / scale;
    double before = served_before(s, sp, c->level);

    if (usual <= 0 || 2 * before < usual) {
        return -1;
    }
    before = 1.25 * before + 2;
    usual = usual < before ? usual : before;
    if (c->served < 0.5) {
        usual = each < 1.5 * usual ? each : 1.5 * usual;
    }
    return usual;
}

/** Are so few served by chance? */
static int too_few(const pm_served *s, const span *sp, const clients *c)
{
    double usual = expected_in(s, sp, c);

    return usual > 0 && surprise(c->served, usual) >= (is_crowd(c, usual) ? CROWD_CHANCE : CHANCE);
}

static int all_unserved(const pm_served *s, const pm_served_rule *rule, const span *sp,
                        const clients *c, double *evidence)
{
    const pm_served_usual *usual = &s->usual[sp->scale];
    double p0 = share(usual->unserved, usual->served), p1 = (1 + p0) / 2;

    *evidence = ratio_of(c->unserved, c->served, p0, p1);
    return c->unserved > rule->clients - 0.5 && c->unserved >= 4 * c->served &&
           *evidence >= PM_SERVED_ENOUGH && too_few(s, sp, c) && too_many(s, sp, c);
}

/** Who was served before a span, from its beginning backwards, as far as the level has room. */
static pm_client_set before_span(const pm_served *s, const span *sp, uint32_t level)
{
    pm_client_set before = {0};

    for (uint32_t scale = sp->scale; scale < PM_SERVED_SCALES; scale++) {
        for (uint32_t age = scale == sp->scale ? sp->slots : 0; age < PM_SERVED_SLOTS; age++) {
            const pm_served_slot *slot = block(s, scale, age);
            pm_client_set wider = before;

            if (slot == NULL) {
                break;
            }
            pm_set_merge(&wider, &slot->met[PM_SERVED]);
            if (pm_set_bits(&wider, level) > PM_SET_BITS / 2) {
                return before;
            }
            before = wider;
        }
    }
    return before;
}

static int regulars_unserved(const pm_served *s, const pm_served_rule *rule, const span *sp,
                             const clients *c, double *evidence)
{
    const pm_served_usual *usual = &s->usual[sp->scale];
    double p0 = share(usual->regulars, usual->served), p1 = p0 + rule->ratio, k, luck;
    double come = usually_served(s, sp->scale, sp->slots) / pm_set_scale(c->level);
    pm_client_set unserved = unserved_of(sp->met), before;

    p1 = p1 < 0.99 ? p1 : 0.99;
    *evidence = ratio_of(c->unserved, c->served, p0, p1);
    if (c->unserved < rule->clients - 0.5 || usual->blocks < 2) {
        return 0;
    }
    before = before_span(s, sp, c->level);
    k = regulars_of(&unserved, &before, c->level, &luck);
    *evidence = ratio_of(k, c->served, p0, p1);
    return k > rule->clients - 0.5 && luck >= (is_crowd(c, come) ? CROWD_LUCK : LUCK) &&
           *evidence >= REGULARS_ENOUGH;
}

/** The shortest span of a scale is what the shorter scales have not made a block of yet. */
static void begin_scale(const pm_served *s, span *sp, uint32_t scale)
{
    sp->scale = scale;
    sp->slots = 0;
    if (s->steps % length_of(scale) != 0) {
        merge_slot(sp->met, s->filling[scale].met);
    }
}

typedef struct best {
    double evidence;
    uint32_t holds;
    uint64_t since_us;
    double usual, unserved;
} best;

static void consider(const pm_served *s, const pm_served_rule *rule, const span *sp, best *b,
                     uint32_t *over)
{
    clients c = count_clients(sp->met);
    double all, regulars;
    int held = 0;

    if ((*over & 1) == 0) {
        held = all_unserved(s, rule, sp, &c, &all);
        *over |= all <= -PM_SERVED_WELL;
    }
    if ((*over & 2) == 0 && !held) {
        if (regulars_unserved(s, rule, sp, &c, &regulars)) {
            held = 1;
            all = regulars;
        }
        *over |= regulars <= -PM_SERVED_WELL ? 2u : 0u;
    }
    if (held && all >= b->evidence) {
        const pm_served_usual *usual = &s->usual[sp->scale];

        b->evidence = all;
        b->holds = c.redirected > c.refused ? 1u << PM_REDIRECTED : 1u << PM_REFUSED;
        b->since_us = sp->from_us;
        b->unserved = c.unserved * pm_set_scale(c.level);
        b->usual = usual->unserved + usual->served > 0
                       ? usual->served / (usual->unserved + usual->served)
                       : -1;
    }
}

/** So many clients that a difference of a few bits means nothing: a shorter span tells more. */
static int is_crowded(const span *sp)
{
    pm_client_set all = sp->met[PM_SERVED];

    pm_set_merge(&all, &sp->met[PM_REFUSED]);
    pm_set_merge(&all, &sp->met[PM_REDIRECTED]);
    return pm_set_bits(&all, PM_SET_LEVELS - 1) > PM_SET_FULL;
}

static best judge(const pm_served *s, const pm_served_rule *rule, uint64_t now_us)
{
    span sp = {0};
    best b = {0};
    uint32_t over = 0;

    for (uint32_t scale = 0; scale < PM_SERVED_SCALES; scale++) {
        begin_scale(s, &sp, scale);
        for (uint32_t age = 0; age < PM_SERVED_SLOTS && over != 3; age++) {
            const pm_served_slot *slot = block(s, scale, age);

            if (slot == NULL || now_us - slot->from_us > rule->window * 1000000ull) {
                break;
            }
            merge_slot(sp.met, slot->met);
            sp.slots = age + 1;
            sp.from_us = slot->from_us;
            if (is_crowded(&sp)) {
                return b;
            }
            consider(s, rule, &sp, &b, &over);
        }
    }
    return b;
}

void pm_served_met(const pm_served *s, uint64_t since_us, pm_client_set met[PM_SERVED_MET])
{
    for (uint32_t scale = 0; scale < PM_SERVED_SCALES; scale++) {
        for (uint32_t age = 0; age < PM_SERVED_SLOTS; age++) {
            const pm_served_slot *slot = block(s, scale, age);

            if (slot != NULL && slot->from_us >= since_us) {
                merge_slot(met, slot->met);
            }
        }
    }
}

void pm_served_count(const pm_client_set met[PM_OUTCOMES], double *all, double *served)
{
    pm_client_set sum = {0};
    uint32_t level;

    for (uint32_t i = 0; i < PM_OUTCOMES; i++) {
        pm_set_merge(&sum, &met[i]);
    }
    level = pm_set_level(&sum);
    *all = pm_set_count(pm_set_bits(&sum, level)) * pm_set_scale(level);
    *served = pm_set_count(pm_set_bits(&met[PM_SERVED], level)) * pm_set_scale(level);
}

/* ---- the step ---- */

/** The interval is a block of scale 0; PM_SERVED_FACTOR blocks of a scale are one of the next. */
static void advance(pm_served *s, uint64_t from_us, const pm_client_set met[PM_SERVED_MET],
                    int usual)
{
    pm_served_slot now = {.from_us = from_us, .unusual = !usual};

    memcpy(now.met, met, sizeof(now.met));
    s->slot[0][s->steps % PM_SERVED_SLOTS] = now;
    s->steps++;
    for (uint32_t scale = 1; scale < PM_SERVED_SCALES; scale++) {
        pm_served_slot *filling = &s->filling[scale];

        if ((s->steps - 1) % length_of(scale) == 0) {
            memset(filling, 0, sizeof(*filling));
            filling->from_us = from_us;
        }
        merge_slot(filling->met, met);
        filling->unusual |= !usual;
        if (s->steps % length_of(scale) == 0) {
            s->slot[scale][(s->steps / length_of(scale) - 1) % PM_SERVED_SLOTS] = *filling;
        }
    }
    for (uint32_t scale = 0; scale < PM_SERVED_SCALES; scale++) {
        if (s->steps % length_of(scale) == 0) {
            learn(s, scale);
        }
    }
}

/** What has begun, began before it was noticed. */
static void mark_unusual(pm_served *s, uint64_t since_us)
{
    for (uint32_t scale = 0; scale < PM_SERVED_SCALES; scale++) {
        for (uint32_t i = 0; i < PM_SERVED_SLOTS; i++) {
            s->slot[scale][i].unusual |= s->slot[scale][i].from_us >= since_us;
        }
        s->filling[scale].unusual = 1;
    }
}

/** Nobody came for a while: of that, too, something is usual. */
static void catch_up(pm_served *s, uint64_t from_us, int usual)
{
    static const pm_client_set nobody[PM_SERVED_MET];
    uint64_t most = PM_SERVED_SLOTS * length_of(PM_SERVED_SCALES - 1);
    uint64_t idle = s->idle < most ? s->idle : most;
    uint64_t from = s->idle_from_us < from_us ? s->idle_from_us : from_us;

    for (uint64_t i = 0; i < idle; i++) {
        advance(s, from + (from_us - from) / idle * i, nobody, usual);
    }
    s->idle = 0;
}

static int anybody(const pm_client_set met[PM_SERVED_MET])
{
    static const pm_client_set nobody[PM_SERVED_MET];

    return memcmp(met, nobody, sizeof(nobody)) != 0;
}

void pm_served_step(pm_served *s, const pm_served_rule *rule, uint64_t from_us,
                    const pm_client_set met[PM_OUTCOMES], int trouble, pm_served_verdict *verdict)
{
    int usual = s->holds == 0 && !trouble;
    best b = {0};

    memset(verdict, 0, sizeof(*verdict));
    verdict->held = s->holds;
    if (!anybody(met)) {
        s->idle_from_us = s->idle == 0 ? from_us : s->idle_from_us;
        s->idle += s->steps > 0;
        verdict->holds = rule->on ? s->holds : 0;
        verdict->since_us = s->since_us;
        return;
    }
    catch_up(s, from_us, usual);
    advance(s, from_us, met, usual);
    if (rule->on) {
        b = judge(s, rule, from_us);
    }
    if (b.holds != 0 && s->holds == 0) {
        mark_unusual(s, b.since_us);
    }
    s->holds = b.holds;
    s->since_us = b.since_us;
    verdict->holds = b.holds;
    verdict->since_us = b.since_us;
    verdict->usual = b.usual;
    verdict->unserved = b.unserved;
}
