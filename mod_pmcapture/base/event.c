/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * event.c: what is known of each event type, what an event's own data say, and which events tell of a change.
 */
#include <string.h>

#include "pm_check.h"
#include "pm_record.h"
#include "pm_time.h"

/* ---- the table ---- */

#define M(key, kind, meaning) {#key, PM_MEMBER_##kind, 0, meaning},
#define N(key, kind, meaning) {#key, PM_MEMBER_##kind, 1, meaning},
#define PM_SENDER_MEMBERS                                                                          \
    N(signal, TEXT, "that was sent; null: none was seen")                                          \
    N(sender, SENDER, "of the signal; null: the kernel, or not of this pid namespace")             \
    M(callers, CALLERS,                                                                            \
      "the sender's parent, its parent and so on; process 1 may have taken one in")
#define PM_REFUSAL_MEMBERS                                                                         \
    M(message, TEXT, "what httpd said")                                                            \
    M(file, TEXT, "of the line that it objects to")                                                \
    M(line, COUNT, "of that file")                                                                 \
    M(reload, FLAG, "a reload ended the server; false: it met an error of its own")                \
    M(configuration, FLAG, "the configuration is at fault")                                        \
    M(command, TEXT, "that was given, or program that said it")                                    \
    M(user, TEXT, "who gave it")                                                                   \
    M(uid, COUNT, "whose it ran as")                                                               \
    N(sudo_user, TEXT, "who became that user by sudo")                                             \
    M(parent_pid, COUNT, "of the process that gave it")                                            \
    M(server_running, FLAG, "a server of this capture was running")                                \
    M(pid_file, PID_FILE, "it names a process that is not the server")                             \
    PM_SENDER_MEMBERS
#define PM_FILE_MEMBERS                                                                            \
    M(path, TEXT, "of the file or folder")                                                         \
    M(named_by, TEXT, "directive, file and line")                                                  \
    M(kind, TEXT, "object, configuration, include, loaded, watched, top or htaccess")              \
    M(noticed, TIME, "when it was seen")                                                           \
    N(since, TIME, "when it happened, where the file system's times prove it")                     \
    N(from, IDENTITY, "of what was there")                                                         \
    N(to, IDENTITY, "of what is there")                                                            \
    M(link, TEXT, "what a symbolic link points to")
#define PM_CERTIFICATE_MEMBERS                                                                     \
    M(vhost, TEXT, "that shows it")                                                                \
    N(path, TEXT, "of its file; null: not known")                                                  \
    M(not_after, TIME, "its end")                                                                  \
    N(newer_on_disk, FLAG, "its file holds a newer one, which is not loaded; null: not known")
#define PM_MINUTES(n) ((n)*60 * PM_SECOND)
#define PM_FAILING (PM_KIND_ERRORS | PM_KIND_SLOW | PM_KIND_UNSERVED)
#define PM_SHUT_OUT (PM_KIND_SILENCE | PM_KIND_UNREACHABLE) /* a running server is not reached */
#define PM_NO_CAUSE PM_CAUSE(0, 0, 0, 0, NULL, PM_STANDS, 0)
#define PM_CAUSE(kinds, before, after, weight, kind, refuted, by_path)                             \
    {                                                                                              \
        kinds, before, after, weight, kind, refuted, by_path                                       \
    }
#define PM_EVENT(constant, name, severity, by, traits, reach, meaning, ...)                        \
    [PM_EV_##constant] = {name,                                                                    \
                          severity,                                                                \
                          by,                                                                      \
                          traits,                                                                  \
                          reach,                                                                   \
                          meaning,                                                                 \
                          (const pm_member[]){__VA_ARGS__{NULL, PM_MEMBER_TEXT, 0, NULL}}},

static const pm_event_fact facts[PM_EV_TYPES] = {
    [PM_EV_NONE] = {"unknown", PM_INFO, 0, 0, PM_NO_CAUSE, "",
                    (const pm_member[]){{NULL, PM_MEMBER_TEXT, 0, NULL}}},
#include "pm_event_table.h"
};

const pm_event_fact *pm_event_fact_of(uint32_t type)
{
    return &facts[type < PM_EV_TYPES ? type : PM_EV_NONE];
}

const char *pm_event_name(uint32_t type)
{
    return pm_event_fact_of(type)->name;
}

uint64_t pm_event_types_with(uint32_t traits)
{
    uint64_t types = 0;

    for (uint32_t type = 0; type < PM_EV_TYPES; type++) {
        types |= facts[type].traits & traits ? PM_EVENT_BIT(type) : 0;
    }
    return types;
}

const char *pm_severity_name(uint32_t severity)
{
    static const char *const names[] = {
        [PM_INFO] = "info", [PM_WARNING] = "warning", [PM_CRITICAL] = "critical"};

    return names[severity <= PM_CRITICAL ? severity : PM_CRITICAL];
}

const char *pm_member_kind_name(enum pm_member_kind kind)
{
    static const char *const names[PM_MEMBER_KINDS] = {
        "text",  "count",      "number", "seconds", "time",   "flag",   "texts",   "identity",
        "place", "directives", "files",  "modules", "counts", "sender", "callers", "pid_file"};

    return names[kind];
}

/* ---- data, read ---- */

static const pm_member *declared(uint32_t type, const char *key)
{
    const pm_member *m = pm_event_fact_of(type)->members;

    while (m->key != NULL && strcmp(m->key, key) != 0) {
        m++;
    }
    return m->key != NULL ? m : NULL;
}

pm_json_value pm_event_value(const pm_event *e, const char *key)
{
    return e->data == NULL || declared(e->type, key) == NULL
               ? (pm_json_value){NULL, 0}
               : pm_json_find((pm_json_value){e->data, e->data_len}, key);
}

int pm_event_text(const pm_event *e, const char *key, char *out, size_t size)
{
    return pm_json_to_text(pm_event_value(e, key), out, size);
}

int pm_event_count(const pm_event *e, const char *key, uint64_t *out)
{
    return pm_json_to_count(pm_event_value(e, key), out);
}

int pm_event_says(const pm_event *e, const char *key, int flag)
{
    return pm_json_is(pm_event_value(e, key), flag ? "true" : "false");
}

int pm_event_blames_configuration(const pm_event *e)
{
    return (e->type == PM_EV_CONFIG_REJECTED || pm_event_has(e, PM_IS_FAILURE)) &&
           !pm_event_says(e, "configuration", 0);
}

int pm_event_changed_nothing(const pm_event *e)
{
    return (e->type == PM_EV_CONFIG_LOAD || e->type == PM_EV_CONFIG_RELOAD) &&
           pm_json_is(pm_event_value(e, "changes"), "0") && pm_event_value(e, "files").text == NULL;
}

int pm_event_is_change(const pm_event *e)
{
    switch (e->type) {
    case PM_EV_CONFIG_REJECTED: /* a start beside the running server refuses no configuration */
        return pm_event_blames_configuration(e);
    case PM_EV_CONFIG_DRIFT: /* its end is a load, or an edit that was taken back */
        return !pm_event_says(e, "resolved", 1);
    case PM_EV_CONFIG_RELOAD: /* what it changed is an event of its own, unless nobody could compare */
        return pm_json_is(pm_event_value(e, "changes"), "null");
    case PM_EV_NOTE: /* a person's; the recorder's own tell of no change */
        return pm_event_value(e, "user").text != NULL;
    default:
        return pm_event_has(e, PM_IS_CHANGE);
    }
}
