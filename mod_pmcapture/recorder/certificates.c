/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * certificates.c: which certificate each virtual host shows, and until when it is good.
 *
 * cert.expiring is said twice ahead: EARLY and LATE before the end, or a third and a ninth of its life before that when it
 * lives shorter. One that has ended, or is for another name since a look found it well, makes its virtual host unreachable.
 * What was so long before anybody looked is said, and no outage of today: nobody comes there.
 */
#include <stdio.h>
#include <string.h>

#include "fold_private.h"
#include "pm_time.h"

#define DAY_US (86400 * PM_SECOND)
#define EARLY_US (21 * DAY_US)
#define LATE_US (7 * DAY_US)
#define CHRONIC_US                                                                                 \
    DAY_US /* one that ended so long before the first look is no outage that began now */

enum { TOLD_EARLY = 1, TOLD_LATE = 2, TOLD_END = 4, TOLD_NAME = 8 };

static uint64_t life(const pm_certificate *c)
{
    return c->not_after_us > c->not_before_us ? c->not_after_us - c->not_before_us : 0;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/** Is the one on disk another one, that was made later and lasts longer? One that was made at about the same time may be of
 *  another key, beside the one that is shown. Of a file that the recorder may not read it is known whether it was
 *  replaced. -1 = not known. */
static int newer_on_disk(const pm_outside_certificate *c)
{
    if (c->on_disk.not_after_us == 0) {
        return c->replaced ? 1 : -1;
    }
    return memcmp(c->on_disk.print, c->shown.print, sizeof(c->shown.print)) != 0 &&
           c->on_disk.not_before_us > c->shown.not_before_us &&
           c->on_disk.not_after_us > c->shown.not_after_us;
}

static void say(pm_fold *f, const pm_outside_certificate *c, uint64_t at_us, int ended)
{
    char when[PM_TIME_SIZE], span[PM_TIME_SIZE], disk[PM_TIME_SIZE] = "", words[128] = "";
    int newer = newer_on_disk(c);
    uint64_t end = c->shown.not_after_us, far = end > at_us ? end - at_us : at_us - end;
    pm_draft d;

    pm_draft_begin(&d, ended ? PM_EV_CERT_EXPIRED : PM_EV_CERT_EXPIRING, at_us);
    pm_draft_text(&d, "vhost", c->vhost);
    pm_draft_text(&d, "path", c->path[0] != '\0' ? c->path : NULL);
    pm_draft_time(&d, "not_after", end);
    if (newer < 0) {
        pm_draft_null(&d, "newer_on_disk");
    }
    else {
        pm_draft_flag(&d, "newer_on_disk", newer);
    }
    if (newer > 0 && c->on_disk.not_after_us == 0) {
        snprintf(words, sizeof(words), "; the file on disk was replaced, and is not loaded");
    }
    else if (newer > 0) {
        snprintf(words, sizeof(words),
                 "; the file on disk holds a newer one, which is not loaded: it "
                 "ends %s",
                 pm_time_format(c->on_disk.not_after_us, disk));
    }
    pm_time_format(end, when);
    pm_fold_event(f, ended ? pm_draft_end(&d, "The certificate that %s shows has ended, at %s%s",
                                          c->vhost, when, words)
                           : pm_draft_end(&d, "The certificate that %s shows ends at %s, in %s%s",
                                          c->vhost, when, pm_time_span(far, span), words));
}

/** How near its end is. */
static void tell_ahead(pm_fold *f, const pm_tick *t, pm_outside_certificate *c)
{
    const pm_certificate *shown = &c->shown;
    uint64_t early = at_most(EARLY_US, life(shown) / 3), late = at_most(LATE_US, life(shown) / 9);
    uint32_t now = 0;

    if (t->now_us >= shown->not_after_us) {
        now = TOLD_EARLY | TOLD_LATE | TOLD_END;
    }
    else if (t->now_us + late >= shown->not_after_us) {
        now = TOLD_EARLY | TOLD_LATE;
    }
    else if (t->now_us + early >= shown->not_after_us) {
        now = TOLD_EARLY;
    }
    if ((now & ~c->told) != 0) {
        int ended = (now & TOLD_END) != 0;

        c->told |= now;
        say(f, c, ended && c->valid ? shown->not_after_us : t->now_us, ended);
    }
}

static void tell_name(pm_fold *f, const pm_tick *t, pm_outside_certificate *c)
{
    pm_draft d;

    if (!c->shown.mismatch || (c->told & TOLD_NAME) || !c->valid) {
        return;
    }
    c->told |= TOLD_NAME;
    pm_draft_begin(&d, PM_EV_PROBE_FAILED, t->now_us);
    pm_draft_text(&d, "listener", c->vhost);
    pm_draft_text(&d, "how", "name");
    pm_draft_text(&d, "detail", c->shown.subject);
    pm_fold_event(f, pm_draft_end(&d, "%s shows a certificate for another name: %s", c->vhost,
                                  c->shown.subject));
}

/** Do clients refuse it? From when on; 0: they do not. */
static uint64_t refused_since(const pm_tick *t, const pm_outside_certificate *c, int held)
{
    uint64_t end = c->shown.not_after_us;

    if (t->now_us >= end && (c->valid || held || t->now_us < end + CHRONIC_US)) {
        return end;
    }
    return c->shown.mismatch && (c->valid || held) ? c->seen_us : 0;
}

static void judge(pm_fold *f, const pm_tick *t, pm_outside_certificate *c)
{
    int held = pm_incident_in_state(f, PM_KIND_UNREACHABLE, c->scope);
    uint64_t since = refused_since(t, c, held);
    pm_condition state = {PM_KIND_UNREACHABLE, c->scope, since, t->now_us, 1};

    tell_ahead(f, t, c);
    tell_name(f, t, c);
    if (c->scope == PM_SCOPE_SERVER) {
        return; /* whose it is is not known: that is no outage of all */
    }
    if (since != 0) {
        pm_incident_state(f, &state);
        return;
    }
    if (t->now_us < c->shown.not_after_us && !c->shown.mismatch) {
        c->valid = 1;
        if (held) {
            state.from_us = t->now_us;
            state.lasts = 0;
            pm_incident_state(f, &state);
        }
    }
}

static int is_shown(const pm_outside *o, uint32_t scope)
{
    for (uint32_t i = 0; i < o->certificates; i++) {
        if (o->certificate[i].scope == scope) {
            return 1;
        }
    }
    return 0;
}

/** A virtual host that shows none any more, or that nobody looks at, is unreachable for none. */
static void let_go(pm_fold *f, const pm_tick *t)
{
    for (uint32_t i = 0; i < PM_INCIDENTS_OPEN; i++) {
        const pm_open *o = &f->state->open[i];
        pm_condition over = {PM_KIND_UNREACHABLE, o->scope, t->now_us, t->now_us, 0};

        if (o->used && o->incident.open && (o->incident.states & PM_KIND_UNREACHABLE) &&
            o->scope != PM_SCOPE_SERVER &&
            (f->outside->mode == PM_PROBE_OFF || !is_shown(f->outside, o->scope))) {
            pm_incident_state(f, &over);
        }
    }
}

void pm_certificates_step(pm_fold *f, const pm_tick *t)
{
    pm_outside *o = f->outside;

    if (o->placed) {
        let_go(f, t);
    }

    for (uint32_t i = 0; i < o->certificates && o->mode != PM_PROBE_OFF; i++) {
        pm_outside_certificate *c = &o->certificate[i];

        if (c->seen_us == 0) {
            continue;
        }
        if (o->fresh_certificates && memcmp(c->print, c->shown.print, sizeof(c->print)) != 0) {
            memcpy(c->print, c->shown.print, sizeof(c->print));
            c->told = 0;
        }
        judge(f, t, c);
    }
    o->fresh_certificates = 0;
}
