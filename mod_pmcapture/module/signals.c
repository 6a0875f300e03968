/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * signals.c: who asked httpd's parent to stop or to load its configuration anew: the sender of the signal, as the kernel
 * names it.
 *
 * The MPM installs its handlers with each generation, where no hook of ours runs. So they are wrapped soon after, by the
 * first of the calls that every generation makes: a line of the log, a child that begins or ends, the monitor. Ours
 * notes who sent the signal and calls the MPM's. It is taken away with the configuration, before the module is unloaded;
 * a signal that arrives in between is httpd's alone, and nothing is said of its sender.
 */
#include "module.h"

#include <apr_strings.h>
#include <errno.h>
#include <http_main.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <unixd.h>

#include "pm_caller.h"
#include "pm_json.h"
#include "pm_time.h"
#include "retained.h"

#define LEVELS                                                                                     \
    6 /* the sender and who called it: apache2 -k stop, apachectl, a package's script, dpkg, apt-get */
#define CALLERS 3 /* that are named in words */
#define KEY "mod_pmcapture/asked/2"

/** Who sent a signal. Plain data: the next load's module reads it. */
typedef struct asked {
    uint64_t at_us;
    int32_t signal; /* 0 = none came */
    int32_t code;   /* si_code */
    pid_t pid;      /* 0: of another pid namespace, or none */
    uint32_t uid, levels;
    uint32_t gone; /* the sender had ended */
    pm_process chain[LEVELS];
} asked;

typedef struct asked_of {
    uint32_t size;
    int32_t generation; /* in which they were asked */
    asked stop, reload; /* the first since this run, or this load, began */
    asked cut;          /* one that ends a graceful stop before its time */
} asked_of;

static const int watched[] = {SIGTERM, SIGINT, SIGWINCH, SIGHUP, SIGUSR1};
#define WATCHED (sizeof(watched) / sizeof(watched[0]))
static struct sigaction former[WATCHED]; /* the MPM's */
static asked_of *noted;                  /* NULL: nothing is watched in this process */
static pid_t owner;

/* ---- the handler ---- */

/** A sender may end at once: what it is can be seen now or never. As all of it, async-signal-safe. */
static void note(asked *to, int sig, const siginfo_t *info)
{
    pid_t pid;

    if (to->signal != 0) {
        return;
    }
    to->signal = sig;
    to->code = info->si_code;
    to->levels = 0;
    to->at_us = pm_time_now();
    to->pid = info->si_code <= 0 ? info->si_pid : 0;
    to->uid = info->si_code <= 0 ? (uint32_t)info->si_uid : 0;
    for (pid = to->pid; pid > 0 && to->levels < LEVELS; pid = to->chain[to->levels - 1].parent) {
        pm_process_look(&to->chain[to->levels++], pid);
    }
    /* /proc may not show it: hidepid, no descriptor left, no /proc. */
    to->gone =
        to->levels > 0 && to->chain[0].name[0] == '\0' && kill(to->pid, 0) != 0 && errno == ESRCH;
}

static asked *asked_by(int sig)
{
    int cuts = noted->stop.signal == SIGWINCH && (sig == SIGTERM || sig == SIGINT);

    return sig == SIGHUP || sig == SIGUSR1 ? &noted->reload : cuts ? &noted->cut : &noted->stop;
}

static void call_former(int sig, siginfo_t *info, void *context)
{
    for (size_t i = 0; i < WATCHED; i++) {
        if (watched[i] != sig) {
            continue;
        }
        if (former[i].sa_flags & SA_SIGINFO) {
            former[i].sa_sigaction(sig, info, context);
        }
        else if (former[i].sa_handler != SIG_DFL && former[i].sa_handler != SIG_IGN) {
            former[i].sa_handler(sig);
        }
    }
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    int error = errno;
    pid_t self = getpid();

    /* prefork's parent signals its own process group when it has been asked to stop. */
    if (self == owner && noted != NULL && !(info->si_code <= 0 && info->si_pid == self)) {
        asked *to = asked_by(sig);

        note(to, sig, info);
        if (to != &noted->reload && pm.control != NULL) {
            atomic_store(&pm.control->asked, 1);
        }
    }
    errno = error;
    call_former(sig, info, context);
}

/* ---- in place of the MPM's ---- */

static int is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_signal;
}

/** Async-signal-safe, as lines of the log may come from signal handlers. */
void pm_signals_watch(void)
{
    struct sigaction now, ours;

    if (noted == NULL || owner != getpid()) {
        return;
    }
    for (size_t i = 0; i < WATCHED; i++) {
        if (sigaction(watched[i], NULL, &now) != 0 || is_ours(&now) ||
            (!(now.sa_flags & SA_SIGINFO) &&
             (now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN))) {
            continue;
        }
        former[i] = now;
        ours = now; /* its mask and flags: the MPM relies on system calls being interrupted */
        ours.sa_sigaction = on_signal;
        ours.sa_flags |= SA_SIGINFO;
        sigaction(watched[i], &ours, NULL);
    }
}

void pm_signals_leave(void)
{
    struct sigaction now;

    noted = NULL;
    for (size_t i = 0; i < WATCHED; i++) {
        if (sigaction(watched[i], NULL, &now) == 0 && is_ours(&now)) {
            sigaction(watched[i], &former[i], NULL);
        }
    }
}

void pm_signals_prepare(void)
{
    noted = ap_retained_data_get(KEY);
    if (noted == NULL) {
        noted = ap_retained_data_create(KEY, sizeof(*noted));
        noted->size = sizeof(*noted);
    }
    memset(&noted->reload, 0, sizeof(noted->reload)); /* what it asked for has been done */
    memset(&noted->stop, 0, sizeof(noted->stop));
    memset(&noted->cut, 0, sizeof(noted->cut));
    noted->generation = ap_state_query(AP_SQ_CONFIG_GEN);
    owner = getpid();
}

/* ---- in words ---- */

typedef struct words {
    char *out;
    size_t size;
} words;

static void add(const words *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(const words *w, const char *format, ...)
{
    size_t used = strlen(w->out);
    va_list args;

    va_start(args, format);
    apr_vsnprintf(w->out + used, w->size - used, format, args);
    va_end(args);
}

static const char *signal_name(int sig)
{
    static const char *const names[WATCHED] = {"SIGTERM", "SIGINT", "SIGWINCH", "SIGHUP",
                                               "SIGUSR1"};

    for (size_t i = 0; i < WATCHED; i++) {
        if (watched[i] == sig) {
            return names[i];
        }
    }
    return "a signal";
}

static const char *kernels_reason(int sig)
{
    return sig == SIGWINCH ? ": its terminal's size changed"
           : sig == SIGINT ? ": Ctrl-C at its terminal"
           : sig == SIGHUP ? ": its terminal was closed"
                           : "";
}

/** httpd's own program, which apachectl runs to send a signal. */
static int is_httpd(const pm_process *process)
{
    const char *slash = strrchr(ap_server_argv0, '/');
    const char *own = slash != NULL ? slash + 1 : ap_server_argv0;

    return process->name[0] != '\0' && strncmp(process->name, own, sizeof(process->name) - 1) == 0;
}

static int is_apachectl(const char *command)
{
    return strncmp(command, "apachectl", 9) == 0 || strncmp(command, "apache2ctl", 10) == 0;
}

/** Such a process takes in those whose parent has ended. */
static int is_reaper(const pm_process *process, const char *command)
{
    return process->pid == 1 || strcmp(command, "systemd") == 0;
}

/** ", by apachectl stop, called by certbot renew under cron". */
static void add_callers(const words *w, const asked *a)
{
    char command[PM_COMMAND_SIZE];
    int told = 0;

    for (uint32_t i = 1; i < a->levels && told < CALLERS; i++) {
        pm_process_command(&a->chain[i], command);
        if (command[0] == '\0' || (a->chain[i].pid == 1 && told > 0)) {
            continue;
        }
        if (i == 1 && is_apachectl(command)) {
            add(w, ", by %s", command);
        }
        else if (told == 0 && is_reaper(&a->chain[i], command)) {
            add(w, ", under pid %ld (%s), which started it or took it in", (long)a->chain[i].pid,
                command);
            told++;
        }
        else {
            add(w, "%s%s", told++ > 0 ? " under " : ", called by ", command);
        }
    }
}

static void add_sender(const words *w, const asked *a)
{
    char command[PM_COMMAND_SIZE] = "";

    if (a->code > 0) {
        add(w, " from the kernel%s", kernels_reason(a->signal));
        return;
    }
    if (a->pid <= 0) {
        add(w, " from outside this pid namespace: a container's runtime, or its host");
        return;
    }
    add(w, " from pid %ld", (long)a->pid);
    if (a->levels > 0) {
        pm_process_command(&a->chain[0], command);
    }
    if (command[0] == '\0') {
        add(w,
            a->gone ? " of uid %u, which had ended before anybody could look"
                    : " of uid %u; what that is cannot be seen",
            a->uid);
        return;
    }
    add(w, a->uid != 0 ? " (%s, uid %u)" : " (%s)", command, a->uid);
    add_callers(w, a);
    /* What asked process 1 for it is not known: systemctl, called by apachectl, maybe. */
    if (!is_httpd(&a->chain[0]) && strstr(command, " -k ") == NULL && a->pid != 1 &&
        !is_apachectl(command)) {
        add(w, ", not by way of httpd -k");
    }
}

static void put_command(pm_json *j, const pm_process *process)
{
    char command[PM_COMMAND_SIZE] = "";

    if (process != NULL) {
        pm_process_command(process, command);
    }
    if (command[0] == '\0') {
        pm_json_put_null(j, "command");
    }
    else {
        pm_json_put_text(j, "command", command);
    }
}

static void put_callers(pm_json *j, const asked *a)
{
    pm_json_array(j);
    for (uint32_t i = 1; i < a->levels; i++) {
        pm_json_object(j);
        pm_json_put_uint(j, "pid", (uint64_t)a->chain[i].pid);
        put_command(j, &a->chain[i]);
        pm_json_object_end(j);
    }
    pm_json_array_end(j);
}

static void put_sender(pm_draft *d, const asked *a)
{
    pm_json *j;

    pm_draft_text(d, "signal", a->signal != 0 ? signal_name(a->signal) : NULL);
    if (a->signal == 0 || a->pid <= 0) {
        pm_draft_null(d, "sender");
        return;
    }
    j = pm_draft_value(d, "sender");
    pm_json_object(j);
    pm_json_put_uint(j, "pid", (uint64_t)a->pid);
    pm_json_put_uint(j, "uid", a->uid);
    put_command(j, a->levels > 0 ? &a->chain[0] : NULL);
    pm_json_object_end(j);
    put_callers(pm_draft_value(d, "callers"), a);
}

/** Of a reload that came to nothing; NULL = not known. Where loads of the configuration without this module lie between,
 *  it was asked for one of those. */
static const asked *failed_reload(void)
{
    const asked_of *all = ap_retained_data_get(KEY);

    return all != NULL && all->reload.signal != 0 &&
                   all->generation + 1 == ap_state_query(AP_SQ_CONFIG_GEN)
               ? &all->reload
               : NULL;
}

void pm_signals_put_reload(pm_draft *d)
{
    const asked *reload = failed_reload();

    if (reload != NULL) {
        put_sender(d, reload);
    }
}

const char *pm_signals_reload_words(char text[PM_EVENT_TEXT])
{
    const asked *reload = failed_reload();
    words w = {text, PM_EVENT_TEXT};

    text[0] = '\0';
    if (reload != NULL) {
        add(&w, " (%s", signal_name(reload->signal));
        add_sender(&w, reload);
        add(&w, ")");
    }
    return text;
}

const pm_event *pm_signals_stop(pm_draft *d, char data[PM_STOP_DATA])
{
    static const asked_of none;
    const asked_of *all = ap_retained_data_get(KEY);
    const asked *a = all != NULL ? &all->stop : &none.stop;
    const asked *cut = all != NULL ? &all->cut : &none.cut;
    /* Of the MPM's own account this alone is left by now. */
    int graceful =
        a->signal != 0 ? a->signal == SIGWINCH : ap_unixd_mpm_get_retained_data()->was_graceful;
    uint64_t now = pm_time_now(), at = a->signal != 0 && a->at_us <= now ? a->at_us : now;
    char text[PM_EVENT_TEXT] = "", span[PM_TIME_SIZE];
    words w = {text, sizeof(text)};

    add(&w, "%s", graceful ? "httpd was stopped: graceful stop" : "httpd was stopped");
    if (a->signal != 0) {
        add(&w, "%s%s", graceful ? " by " : ": ", signal_name(a->signal));
        add_sender(&w, a);
    }
    if (cut->signal != 0) {
        add(&w, ", cut short by %s", signal_name(cut->signal));
        add_sender(&w, cut);
    }
    if (now > at + 5 * PM_SECOND) {
        add(&w, "; its last process ended %s later", pm_time_span(now - at, span));
    }
    pm_draft_begin_in(d, PM_EV_SERVER_STOP, at, data, PM_STOP_DATA);
    pm_draft_text(d, "kind", graceful ? "graceful-stop" : "stop");
    if (cut->signal != 0) {
        pm_draft_text(d, "cut_by", signal_name(cut->signal));
    }
    put_sender(d, a);
    return pm_draft_end(d, "%s", text);
}
