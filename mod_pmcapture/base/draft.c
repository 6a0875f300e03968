/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * draft.c: an event in the making (pm_event.h). Its data have the members that the table declares.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pm_check.h"
#include "pm_event.h"
#include "pm_text.h"

void pm_draft_begin_in(pm_draft *d, uint32_t type, uint64_t at_us, char *data, size_t size)
{
    PM_CHECK(type > PM_EV_NONE && type < PM_EV_TYPES);
    d->event = (pm_event){
        .at_us = at_us, .type = type, .severity = pm_event_fact_of(type)->severity, .data = data};
    d->all = (pm_bounded){data, size, 0};
    pm_json_begin(&d->json, pm_into_bounded, &d->all);
    pm_json_object(&d->json);
}

void pm_draft_begin(pm_draft *d, uint32_t type, uint64_t at_us)
{
    pm_draft_begin_in(d, type, at_us, d->own, sizeof(d->own));
}

/** Has the table this member, with one of the kinds; none: may it be null?. */
static int is_declared(const pm_draft *d, const char *key, uint32_t kinds)
{
    for (const pm_member *m = pm_event_fact_of(d->event.type)->members; m->key != NULL; m++) {
        if (strcmp(m->key, key) == 0) {
            return kinds == 0 ? m->nullable : (kinds >> m->kind & 1) != 0;
        }
    }
    return 0;
}

static pm_json *member(pm_draft *d, const char *key, uint32_t kinds)
{
    PM_CHECK(is_declared(d, key, kinds));
    pm_json_key(&d->json, key);
    return &d->json;
}

#define KIND(name) (1u << PM_MEMBER_##name)

void pm_draft_text(pm_draft *d, const char *key, const char *text)
{
    if (text != NULL && text[0] == '\0') {
        return; /* a text that is not known is no member */
    }
    pm_json_string(member(d, key, text != NULL ? KIND(TEXT) : 0), text);
}

void pm_draft_count(pm_draft *d, const char *key, uint64_t count)
{
    pm_json_uint(member(d, key, KIND(COUNT)), count);
}

void pm_draft_seconds(pm_draft *d, const char *key, uint64_t us)
{
    pm_json_seconds(member(d, key, KIND(SECONDS)), us);
}

void pm_draft_number(pm_draft *d, const char *key, double number)
{
    pm_json_double(member(d, key, KIND(NUMBER)), number);
}

void pm_draft_time(pm_draft *d, const char *key, uint64_t us)
{
    pm_json_time(member(d, key, us != 0 ? KIND(TIME) : 0), us);
}

void pm_draft_flag(pm_draft *d, const char *key, int flag)
{
    pm_json_bool(member(d, key, KIND(FLAG)), flag);
}

void pm_draft_null(pm_draft *d, const char *key)
{
    pm_json_null(member(d, key, 0));
}

pm_json *pm_draft_value(pm_draft *d, const char *key)
{
    return member(d, key, ~0u << PM_MEMBER_TEXTS);
}

int pm_draft_room(const pm_draft *d)
{
    return (d->all.used + d->json.used) * 8 < d->all.size * 5;
}

const pm_event *pm_draft_close(pm_draft *d)
{
    static const char cut[] = "{\"truncated\":true}";

    pm_json_object_end(&d->json);
    if (pm_json_end(&d->json) != APR_SUCCESS) {
        d->event.data = cut;
        d->all.used = sizeof(cut) - 1;
    }
    d->event.data_len = (uint32_t)d->all.used;
    return &d->event;
}

const pm_event *pm_draft_end(pm_draft *d, const char *format, ...)
{
    char whole[4 * PM_EVENT_TEXT];
    va_list args;

    va_start(args, format);
    vsnprintf(whole, sizeof(whole), format, args);
    va_end(args);
    pm_text_clean(d->event.text, sizeof(d->event.text), whole, sizeof(whole));
    return pm_draft_close(d);
}
