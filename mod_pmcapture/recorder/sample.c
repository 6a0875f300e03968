/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * sample.c: failing requests kept whole, and the virtual hosts that failed.
 */
#include <stdlib.h>
#include <string.h>

#include "incident_private.h"
#include "pm_text.h"

const char *pm_scope_name(const pm_fold *f, uint32_t scope)
{
    const char *name;

    if (scope == PM_SCOPE_SERVER) {
        return "";
    }
    name = f->vhost_names[scope - 1];
    return name != NULL ? name : "(other)";
}

static uint64_t next_random(pm_ledger *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

static void keep_sample(pm_fold *f, pm_sample *to, const pm_live_sample *from)
{
    memset(to, 0, sizeof(*to));
    to->at_us = from->at_us;
    to->latency_us = from->latency_us;
    to->status = from->status;
    to->flags = from->flags;
    memcpy(to->method, from->method, sizeof(to->method));
    memcpy(to->uri, from->uri, sizeof(to->uri));
    memcpy(to->host, from->host, sizeof(to->host));
    memcpy(to->backend, from->backend, sizeof(to->backend));
    memcpy(to->client, from->client, sizeof(to->client));
    memcpy(to->request_id, from->request_id, sizeof(to->request_id));
    pm_text_clean(to->vhost, sizeof(to->vhost), pm_scope_name(f, from->vhost + 1), PM_KEY);
}

/** The first one has a place of its own; for the others each that was handed over has the same chance (reservoir). */
static uint64_t place_of(pm_fold *f, pm_incident *in)
{
    if (in->sample_count < f->samples) {
        return in->sample_count++;
    }
    return in->sample_seen > 1 ? 1 + next_random(f->state) % (in->sample_seen - 1) : 0;
}

static void offer_sample(pm_fold *f, pm_open *o, const pm_live_sample *sample)
{
    pm_incident *in = &o->incident;
    uint64_t place;

    if (f->samples == 0 || (in->onset_us != 0 && sample->at_us < in->onset_us)) {
        return;
    }
    if ((o->scope != PM_SCOPE_SERVER && sample->vhost + 1 != o->scope) ||
        ((sample->flags & PM_SAMPLE_SLOW) && !(in->kinds & PM_KIND_SLOW))) {
        return;
    }
    in->sample_seen++;
    place = place_of(f, in);
    if (place > 0 && sample->at_us < o->samples[0].at_us) { /* it arrived first, and took longer */
        if (place < f->samples) {
            o->samples[place] = o->samples[0];
        }
        place = 0;
    }
    if (place < f->samples) {
        keep_sample(f, &o->samples[place], sample);
    }
}

void pm_sample_offer(pm_fold *f, pm_open *o, uint64_t from)
{
    pm_ledger *s = f->state;

    if (s->recent_next - from > PM_RECENT_SAMPLES) {
        from = s->recent_next - PM_RECENT_SAMPLES;
    }
    for (uint64_t n = from; n < s->recent_next; n++) {
        offer_sample(f, o, &s->recent[n % PM_RECENT_SAMPLES]);
    }
}

static int heavier(const void *a, const void *b)
{
    const pm_tally *x = a, *y = b;

    return x->errors < y->errors ? 1 : x->errors > y->errors ? -1 : strcmp(x->key, y->key);
}

static void order(pm_tally *list)
{
    qsort(list, PM_TALLIES, sizeof(*list), heavier);
}

/** The virtual hosts with the most failures, from the incident's own counts. */
void pm_sample_vhosts(pm_fold *f, pm_open *o)
{
    pm_tally *list = o->incident.by_vhost;

    memset(list, 0, sizeof(o->incident.by_vhost));
    for (uint32_t v = 0; v < f->live->geo.vhosts; v++) {
        pm_tally *least = &list[PM_TALLIES - 1];

        if (o->vhost_errors[v] <= least->errors ||
            o->vhost_requests[v] < o->vhost_errors[v] + o->vhost_after[v] ||
            (o->scope != PM_SCOPE_SERVER && o->scope != v + 1)) {
            continue;
        }
        memset(least, 0, sizeof(*least));
        pm_text_clean(least->key, sizeof(least->key), pm_scope_name(f, v + 1), PM_KEY);
        if (f->vhost_defined[v] != NULL) {
            pm_text_clean(least->defined, sizeof(least->defined), f->vhost_defined[v], PM_KEY);
        }
        least->errors = least->counted_errors = o->vhost_errors[v];
        least->requests = later(o->vhost_requests[v] - o->vhost_after[v], o->vhost_errors[v]);
        least->counted_requests = least->requests;
        order(list);
    }
}
