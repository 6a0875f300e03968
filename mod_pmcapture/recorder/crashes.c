/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * crashes.c: children that died unasked. The parent notes each in the ledger; here they become events: the
 * first at once, those that follow as one every few seconds, so that a storm is one line with a count.
 */
#include <stdio.h>
#include <string.h>

#include "fold_private.h"
#include "pm_text.h"
#include "pm_time.h"

#define SUMMARY_US (10 * PM_SECOND)
#define KINDS_MAX 8u

/** How often which end was met. */
typedef struct crash_kind {
    int32_t signal;
    uint32_t count;
} crash_kind;

static const char *words_of(int32_t signal, char out[64])
{
    if (signal == PM_CRASH_UNSEEN) {
        return "signal not visible with this ErrorLog and LogLevel";
    }
    if (signal == PM_CRASH_SILENT) {
        return "killed, no signal logged (out of memory?)";
    }
    if (signal == PM_CRASH_EXITED) {
        return "exit() was called in it";
    }
    snprintf(out, 64, "signal %d (%.40s)", signal, strsignal(signal));
    return out;
}

static uint32_t count_kinds(const pm_control *c, uint64_t from, uint64_t to,
                            crash_kind kinds[KINDS_MAX])
{
    uint32_t used = 0;

    for (uint64_t n = from; n < to; n++) {
        int32_t signal = c->crash[n % PM_CRASHES_KEPT].signal;
        uint32_t k = 0;

        while (k < used && kinds[k].signal != signal) {
            k++;
        }
        if (k == used && used < KINDS_MAX) {
            kinds[used++] = (crash_kind){signal, 0};
        }
        if (k < used) {
            kinds[k].count++;
        }
    }
    return used;
}

/** What the child was doing: how many requests, and since when the oldest waited. */
static void add_requests(char *text, size_t size, const pm_crash *c)
{
    char span[PM_TIME_SIZE];
    size_t used = strlen(text);

    if (c->requests == PM_UNKNOWN) {
        return;
    }
    if (c->requests == 0) {
        pm_text_append(text, size, &used, "; it was serving no request");
        return;
    }
    pm_text_append(text, size, &used, "; it was serving %u request%s, the oldest for %s",
                   c->requests, c->requests == 1 ? "" : "s",
                   pm_time_span(c->oldest_ms * 1000ull, span));
}

static void say_one(char *text, size_t size, const pm_crash *c)
{
    char words[64];

    snprintf(text, size, "Child %u died: %s", c->pid, words_of(c->signal, words));
    add_requests(text, size, c);
}

static void say_many(char *text, size_t size, const pm_control *c, uint64_t from, uint64_t to,
                     uint64_t count)
{
    crash_kind kinds[KINDS_MAX];
    uint32_t used = count_kinds(c, from, to, kinds);
    const pm_crash *first = &c->crash[from % PM_CRASHES_KEPT];
    const pm_crash *last = &c->crash[(to - 1) % PM_CRASHES_KEPT];
    char words[64], span[PM_TIME_SIZE];
    size_t at;

    snprintf(text, size, "%llu children died within %s", (unsigned long long)count,
             pm_time_span(last->at_us > first->at_us ? last->at_us - first->at_us : 0, span));
    at = strlen(text);
    for (uint32_t k = 0; k < used; k++) {
        pm_text_append(text, size, &at, used == 1 && count == to - from ? "%s %s" : "%s %s: %u",
                       k == 0 ? ":" : ",", words_of(kinds[k].signal, words), kinds[k].count);
    }
}

static void fill_data(pm_draft *d, const pm_crash *c, uint64_t count, uint64_t total)
{
    pm_draft_count(d, "pid", c->pid);
    if (c->signal > 0) {
        pm_draft_count(d, "signal", (uint64_t)c->signal);
    }
    else {
        pm_draft_null(d, "signal");
    }
    pm_draft_count(d, "count", count);
    pm_draft_count(d, "total", total);
    pm_draft_count(d, "generation", c->generation);
    if (c->requests != PM_UNKNOWN) {
        pm_draft_count(d, "requests", c->requests);
        pm_draft_seconds(d, "oldest", c->oldest_ms * 1000ull);
    }
}

void pm_crashes_step(pm_fold *f, pm_tick *t)
{
    pm_ledger *s = f->state;
    uint64_t total = atomic_load_explicit(&f->control->crashes, memory_order_acquire);
    uint64_t count = total - s->crashes_said, from = s->crashes_said;
    int last_chance = f->server.orphaned || atomic_load(&f->control->stopping);
    char text[PM_EVENT_TEXT];
    const pm_crash *first;
    pm_draft d;

    s->checkpoint.server.crashes += total - s->crashes_counted;
    s->crashes_counted = total;
    if (count == 0 ||
        (s->crash_said_us != 0 && t->now_us < s->crash_said_us + SUMMARY_US && !last_chance)) {
        return;
    }
    if (count > PM_CRASHES_KEPT) {
        from = total - PM_CRASHES_KEPT;
    }
    first = &f->control->crash[from % PM_CRASHES_KEPT];
    if (count == 1) {
        say_one(text, sizeof(text), first);
    }
    else {
        say_many(text, sizeof(text), f->control, from, total, count);
    }
    pm_draft_begin(&d, PM_EV_CHILD_CRASH, first->at_us < t->now_us ? first->at_us : t->now_us);
    fill_data(&d, first, count, s->checkpoint.server.crashes);
    pm_fold_event(f, pm_draft_end(&d, "%s", text));
    s->crashes_said = total;
    s->crash_said_us = t->now_us;
}
