/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * refused.c: a configuration that was refused, a reload that ended the server, a start that came to nothing.
 *
 * All of them end the process with the configuration's pool, and our cleanup on it is the last to be heard: there
 * the event is written, straight into the capture file, if there is one. What was said before, to the error log,
 * is kept in static memory until then; what did not keep httpd from going on is forgotten at the next stage.
 */
#include "module.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_main.h>
#include <mpm_common.h>
#include <stdlib.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_caller.h"
#include "pm_json.h"
#include "pm_time.h"
#include "retained.h"

#define MESSAGE_MAX 4096u
#define PATH_ROOM 2048
#define YOUNG_US (10 * PM_SECOND)
#define FRESH_US (3 * PM_SECOND)
#define REPEATED_US (5 * PM_SECOND)
#define RUNNING_GAP_US                                                                             \
    (2 * PM_SECOND) /* messages further apart have nothing to do with each other */

/** How far this reading of the configuration has come. */
enum stage { READING, PRE_CONFIG, CHECKED, OPENING, READY, RUNNING };

static struct {
    pid_t owner; /* a forked child's pools go, too */
    enum stage stage;
    int fatal;  /* a child could not begin, or could not go on */
    int errors; /* httpd said an error at this stage: without one, nothing was refused */
    uint64_t last_us;
    volatile size_t used; /* read once by keep() */
    char text[MESSAGE_MAX];
} heard;

/** For as long as the process lives, across reloads. Plain data: another version may read it. */
typedef struct pm_first_parent {
    uint32_t size;
    pid_t parent;    /* 0 = no server came of this process yet */
    char file[1024]; /* its PMCaptureFile: the next reading may fail before that line */
} pm_first_parent;

static pm_first_parent *served_get(void)
{
    static const char key[] = "mod_pmcapture/served/1";
    pm_first_parent *served = ap_retained_data_get(key);

    if (served == NULL) {
        served = ap_retained_data_create(key, sizeof(*served));
        served->size = sizeof(*served);
    }
    return served;
}

/* ---- what httpd says ---- */

/** Said at most starts, and no reason for anything. */
static int is_noise(const char *format)
{
    return format != NULL &&
           (strncmp(format, "AH00557", 7) == 0 || strncmp(format, "AH00558", 7) == 0);
}

static void keep(const char *message)
{
    size_t n = strlen(message), room = sizeof(heard.text) - 1;
    /* Its own copy: a signal handler, or another thread of a single process (-X), may be here, too. What they
     * make of the text is no matter, but nobody writes behind its end. */
    size_t used = heard.used;
    int goes_on = used > 0 && heard.text[used - 1] == ':'; /* "Syntax error on …:" */

    if (used > 0) {
        const char *joint = goes_on ? " " : "; ";

        if (used + 2 > room) {
            return;
        }
        memcpy(heard.text + used, joint, strlen(joint));
        used += strlen(joint);
    }
    n = n < room - used ? n : room - used;
    memcpy(heard.text + used, message, n);
    heard.text[used + n] = '\0';
    heard.used = used + n;
}

/** The system's word goes before the message in the log, and is no part of it here. It is looked up as long as no
 *  signal handler can be at work. */
static void keep_with_reason(const ap_errorlog_info *info, const char *message)
{
    char whole[1024], reason[160];

    if (info->status == APR_SUCCESS || heard.stage >= READY) {
        keep(message);
        return;
    }
    apr_strerror(info->status, reason, sizeof(reason));
    apr_snprintf(whole, sizeof(whole), "(%d)%s: %s", info->status, reason, message);
    keep(whole);
}

/** A child ended, and httpd ends with it: why, the child itself has said. */
static void hear_child(uint64_t now)
{
    char words[PM_KEY];

    if (!heard.fatal && pm_last_words(now - RUNNING_GAP_US, words)) {
        keep(words);
        if (words[0] == '(' && strtol(words + 1, NULL, 10) == EIDRM) {
            keep("its semaphore was removed: by ipcrm, logind's RemoveIPC or another program");
        }
    }
    heard.fatal = 1;
}

/** It did not end with that child: that was one of the generation before. */
static void goes_on(void)
{
    if (heard.fatal) {
        heard.fatal = 0;
        heard.used = 0;
    }
}

/** "Ignoring fatal error in child of previous generation", as each MPM says it. */
static int is_ignored(const char *format)
{
    return format != NULL &&
           (strncmp(format, "AH00166", 7) == 0 || strncmp(format, "AH00290", 7) == 0 ||
            strncmp(format, "AH00487", 7) == 0);
}

/** Runs for every line that any process logs, maybe in a signal handler: no lock, no memory, no log. */
void pm_error_logged(const ap_errorlog_info *info, const char *message)
{
    uint64_t now;

    if (info->r != NULL || info->c != NULL || heard.owner == 0 || heard.owner != getpid()) {
        return;
    }
    if (heard.stage >= READY) {
        pm_child_logged(message);
        pm_signals_watch();
    }
    if (is_ignored(info->format)) {
        goes_on();
    }
    if (is_noise(info->format) ||
        (info->level > APLOG_ERR && !(info->s == NULL && info->startup))) {
        return;
    }
    now = pm_time_now();
    if (heard.stage >= READY && now > heard.last_us + RUNNING_GAP_US) {
        heard.used = 0;
        pm_shortage_forget();
    }
    heard.last_us = now;
    pm_shortage_heard(info->status, message);
    heard.errors |= info->level <= APLOG_ERR;
    if (heard.stage >= READY && info->format != NULL && strncmp(info->format, "AH00050", 7) == 0) {
        hear_child(now);
    }
    keep_with_reason(info, message);
}

/** A worker hears for nobody: with each line of a request's it would ask the kernel who it is. */
void pm_refused_leave(void)
{
    heard.owner = 0;
}

static void reach(enum stage stage)
{
    heard.owner = getpid(); /* the MPM has made itself a daemon meanwhile */
    heard.stage = stage;
    heard.used = 0;
    heard.errors = 0;
    heard.text[0] = '\0';
    pm_shortage_forget();
}

/* ---- the event ---- */

typedef struct refusal {
    uint32_t type;
    int running; /* a server of this capture */
    int command; /* a person's or a program's, not the server itself */
    pm_own_command by;
    char user[PM_USER_SIZE];
    const char *message, *short_of;
    pm_draft draft;
    char data[8 * MESSAGE_MAX]; /* a byte may take six */
} refusal;

/** The innermost "Syntax error on line N of FILE:"; files include others. */
static void put_place(pm_draft *d, const char *message)
{
    static const char words[] = "yntax error on line ";
    const char *at = NULL, *file, *end;
    char name[PATH_ROOM];
    size_t length;

    for (const char *next = message; (next = strstr(next, words)) != NULL; next++) {
        at = next + strlen(words);
    }
    file = at != NULL ? strstr(at, " of ") : NULL;
    end = file != NULL ? strstr(file, ": ") : NULL;
    if (file == NULL) {
        return;
    }
    file += strlen(" of ");
    length = end != NULL ? (size_t)(end - file) : strcspn(file, ":");
    apr_cpystrn(name, file, length < sizeof(name) ? length + 1 : sizeof(name));
    pm_draft_text(d, "file", name);
    pm_draft_count(d, "line", strtoull(at, NULL, 10));
}

/** Is the configuration at fault? It is not when a second server is started, nor when a worker cannot go on, nor when
 *  the machine has no more of something. */
static void put_fault(pm_draft *d, const refusal *r)
{
    int good = heard.fatal || heard.stage == CHECKED || r->short_of[0] != '\0';

    if (r->type == PM_EV_CONFIG_FAILED || heard.fatal) {
        pm_draft_flag(d, "reload", !heard.fatal);
    }
    if (r->type != PM_EV_START_FAILED || good) {
        pm_draft_flag(d, "configuration", !good);
    }
    if (heard.stage == CHECKED) {
        pm_pid_file_put(d);
    }
    if (r->type == PM_EV_CONFIG_FAILED && !heard.fatal) {
        pm_signals_put_reload(d);
    }
}

static void fill_data(refusal *r)
{
    pm_draft *d = &r->draft;

    pm_draft_begin_in(d, r->type, pm_time_now(), r->data, sizeof(r->data));
    pm_draft_text(d, "message", r->message);
    put_place(d, r->message);
    put_fault(d, r);
    if (r->command) {
        pm_draft_text(d, "command", r->by.name);
        pm_draft_text(d, "user", r->user);
        pm_draft_count(d, "uid", getuid());
        pm_draft_text(d, "sudo_user", getenv("SUDO_USER"));
        pm_draft_count(d, "parent_pid", (uint64_t)getppid());
        pm_draft_flag(d, "server_running", r->running);
    }
}

/** What was said before there was a log begins with the program's name. */
static const char *without_program(const char *message)
{
    const char *slash = strrchr(ap_server_argv0, '/');
    const char *name = slash != NULL ? slash + 1 : ap_server_argv0;
    size_t n = strlen(name);

    return strncmp(message, name, n) == 0 && strncmp(message + n, ": ", 2) == 0 ? message + n + 2
                                                                                : message;
}

static void fill_text(refusal *r)
{
    pm_draft *d = &r->draft;
    const char *message = without_program(r->message);
    char span[PM_TIME_SIZE];

    if (r->type == PM_EV_CONFIG_FAILED) {
        char by[PM_EVENT_TEXT];

        pm_draft_end(d, "%s%s%s: %s", heard.fatal ? "httpd ended itself" : "A reload",
                     heard.fatal ? "" : pm_signals_reload_words(by),
                     heard.fatal ? "" : " ended the server", message);
    }
    else if (heard.fatal) {
        pm_draft_end(d, "httpd ended itself %s after it had started: %s",
                     pm_time_span(pm_time_now() - pm_retained_get()->started_us, span), message);
    }
    else if (r->type == PM_EV_START_FAILED) {
        pm_draft_end(d, "httpd could not start (%s, by %s): %s", r->by.name, r->user, message);
    }
    else {
        pm_draft_end(d, "%s, by %s, was refused%s: %s", r->by.name, r->user,
                     r->running ? ", the server runs on" : "", message);
    }
}

/** Does the server that the file speaks of still run? */
static int is_running(const pm_server *s)
{
    char boot[40];

    pm_boot_id(boot);
    if (s->run == 0 || s->stopped_us != 0 || strcmp(boot, s->boot_id) != 0) {
        return 0;
    }
    if (s->pid_namespace == pm_pid_namespace()) {
        return s->pid_start != 0 && pm_process_start(s->pid) == s->pid_start;
    }
    return s->heartbeat_us + FRESH_US > pm_time_now() && !s->orphaned;
}

/** Debian's apachectl checks a second time to show what is wrong: one refusal. */
static int is_repeated(pm_capture *c, const pm_event *event, apr_pool_t *pool)
{
    pm_event *events;
    size_t count;

    if (pm_capture_events(c, event->at_us - REPEATED_US, UINT64_MAX, &events, &count, pool) !=
        APR_SUCCESS) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (events[i].type == event->type && strcmp(events[i].text, event->text) == 0 &&
            events[i].data_len == event->data_len &&
            memcmp(events[i].data, event->data, event->data_len) == 0) {
            return 1;
        }
    }
    return 0;
}

static void write_refusal(pm_capture *c, const pm_server *last, refusal *r, apr_pool_t *pool)
{
    pm_event *e = &r->draft.event;

    fill_data(r);
    fill_text(r);
    if (r->type == PM_EV_CONFIG_FAILED || (r->type == PM_EV_START_FAILED && heard.fatal)) {
        e->run = last->run; /* that is how it ended */
    }
    if (r->type != PM_EV_CONFIG_REJECTED || !is_repeated(c, e, pool)) {
        pm_capture_append(c, e, NULL);
    }
}

/* ---- the judgement ---- */

/** What became of this process, from how far it came; PM_EV_NONE when all is well. */
static uint32_t judge(const refusal *r, int server_itself)
{
    const char *word = r->by.word;
    int starts = word[0] == '\0' || strcmp(word, "start") == 0 || strcmp(word, "restart") == 0 ||
                 strcmp(word, "graceful") == 0;
    int only_check = ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL;

    if (server_itself) {
        return heard.fatal && pm_time_now() < pm_retained_get()->started_us + YOUNG_US
                   ? PM_EV_START_FAILED
                   : PM_EV_CONFIG_FAILED;
    }
    if (heard.stage == CHECKED) {
        /* The configuration is good, and a command had its way, but for a start beside a server, or what went to
         * a process that is none. */
        int start = !only_check && (word[0] == '\0' || strcmp(word, "start") == 0);

        if (!only_check && pm_pid_file_misleads()) {
            return r->running ? PM_EV_CONFIG_REJECTED : starts ? PM_EV_START_FAILED : PM_EV_NONE;
        }
        return !start                  ? PM_EV_NONE
               : r->running            ? PM_EV_CONFIG_REJECTED
               : r->message[0] != '\0' ? PM_EV_START_FAILED
                                       : PM_EV_NONE;
    }
    if (heard.stage < CHECKED && !heard.errors) {
        return PM_EV_NONE; /* a question that was answered as soon as the configuration was read: -V */
    }
    return r->running || only_check || !starts ? PM_EV_CONFIG_REJECTED : PM_EV_START_FAILED;
}

static void capture_path(char out[PATH_ROOM], const pm_first_parent *served)
{
    const char *file = pm_config->file != NULL ? pm_config->file : served->file;

    out[0] = '\0';
    if (file[0] == '/') {
        apr_cpystrn(out, file, PATH_ROOM);
    }
    else if (file[0] != '\0') {
        apr_snprintf(out, PATH_ROOM, "%s/%s", ap_server_root, file);
    }
}

/** What httpd said; where it said nothing, what is known. */
static const char *message_of(const refusal *r, const pm_server *last, apr_pool_t *pool)
{
    int start = r->by.word[0] == '\0' || strcmp(r->by.word, "start") == 0;

    if (heard.stage == CHECKED && pm_pid_file_misleads()) {
        return apr_pstrcat(pool, pm_pid_file_words(pool),
                           !start       ? ": it got the signal"
                           : r->running ? ""
                                        : "; remove that file",
                           NULL);
    }
    if (heard.text[0] == '\0') {
        return heard.stage == CHECKED ? apr_psprintf(pool, "httpd (pid %u) already runs", last->pid)
                                      : "why is not on record";
    }
    return apr_pstrcat(pool, r->short_of, heard.text, NULL);
}

/** All that the event says, but for what the file knows. */
static void describe(refusal *r, const pm_server *last, apr_pool_t *pool)
{
    int server_itself = served_get()->parent == getpid();

    pm_command_of_own(&r->by);
    r->running = !server_itself && is_running(last);
    r->command = !server_itself;
    r->message = heard.text;
    r->short_of = pm_shortage_words(pool);
    pm_pid_file_compare(last);
    r->type = judge(r, server_itself);
    if (r->type == PM_EV_NONE) {
        return;
    }
    r->message = message_of(r, last, pool);
    pm_caller_user(r->user);
}

static void put_on_record(apr_pool_t *pool)
{
    char path[PATH_ROOM];
    refusal *r = apr_pcalloc(pool, sizeof(*r));
    pm_server last;
    pm_capture *c;

    capture_path(path, served_get());
    if (path[0] == '\0' || pm_capture_open_append(&c, path, pool, NULL) != APR_SUCCESS) {
        return; /* never made: there is no history that this could belong to */
    }
    pm_capture_server(c, &last);
    describe(r, &last, pool);
    if (r->type != PM_EV_NONE) {
        write_refusal(c, &last, r, pool);
    }
    pm_capture_close(c);
}

/** The MPM has begun its work. */
static void child_started(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                          mpm_child_status status)
{
    (void)s;
    (void)pid;
    (void)gen;
    (void)slot;
    if (status == MPM_CHILD_STARTED &&
        heard.stage != RUNNING) { /* a write after a fork is a fault */
        heard.stage = RUNNING;
    }
    if (status == MPM_CHILD_STARTED) {
        goes_on();
    }
}

static int monitored(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    goes_on();
    return DECLINED;
}

/** The MPM has forgotten by now whether it was asked to end; but once it runs, nothing else makes it. */
int pm_ends_in_order(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_EXITING && !heard.fatal &&
           (heard.stage == RUNNING || (heard.stage == READY && heard.used == 0));
}

static apr_status_t configuration_ends(void *unused)
{
    int state = ap_state_query(AP_SQ_MAIN_STATE);
    apr_pool_t *pool;

    (void)unused;
    if (heard.owner != getpid() || state == AP_SQ_MS_DESTROY_CONFIG || pm_ends_in_order()) {
        heard.owner = 0; /* a child of ours, httpd reads the configuration anew, or was stopped */
        return APR_SUCCESS;
    }
    heard.owner = 0;
    if (state != AP_SQ_MS_EXITING &&
        (heard.stage == PRE_CONFIG || heard.stage >= READY || heard.used == 0)) {
        return APR_SUCCESS; /* exit(): what goes when the MPM becomes a daemon, or a single process's end */
    }
    /* Of its own: it may be that all pools are going. */
    if (apr_pool_create_unmanaged(&pool) == APR_SUCCESS) {
        put_on_record(pool);
        apr_pool_destroy(pool);
    }
    return APR_SUCCESS;
}

/** A module that calls exit() leaves no time for cleanups. */
__attribute__((destructor)) static void process_exits(void)
{
    if (heard.owner == getpid()) {
        configuration_ends(NULL);
    }
}

/* ---- hooks: how far it came ---- */

static int pre_config_begins(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    heard.stage = PRE_CONFIG;
    return OK;
}

static int pre_config_ends(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    reach(READING);
    return OK;
}

static int checked(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)s;
    reach(CHECKED);
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        pm_pid_file_look(ptemp); /* as httpd does next */
    }
    return OK;
}

static int logs_open(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    reach(OPENING);
    return OK;
}

static int ready(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    pm_first_parent *served = served_get();

    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    reach(READY);
    apr_cpystrn(served->file, pm_config->file != NULL ? pm_config->file : "", sizeof(served->file));
    return OK;
}

static int serves(apr_pool_t *p, ap_scoreboard_e type)
{
    (void)p;
    (void)type;
    served_get()->parent = getpid();
    return OK;
}

void pm_register_refused(apr_pool_t *pconf)
{
    reach(READING);
    heard.fatal = 0;
    apr_pool_cleanup_register(pconf, NULL, configuration_ends, apr_pool_cleanup_null);
    ap_hook_child_status(child_started, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_monitor(monitored, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_error_log(pm_error_logged, NULL, NULL, APR_HOOK_REALLY_FIRST);
    /* Before and behind all others: -10 and 30 are the ends of httpd's own scale. */
    ap_hook_pre_config(pre_config_begins, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
    ap_hook_pre_config(pre_config_ends, NULL, NULL, APR_HOOK_REALLY_LAST + 10);
    ap_hook_check_config(checked, NULL, NULL, APR_HOOK_REALLY_LAST + 10);
    ap_hook_open_logs(logs_open, NULL, NULL, APR_HOOK_REALLY_FIRST - 10);
    ap_hook_post_config(ready, NULL, NULL, APR_HOOK_REALLY_LAST + 10);
    ap_hook_pre_mpm(serves, NULL, NULL, APR_HOOK_REALLY_LAST + 10);
}
