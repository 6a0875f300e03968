/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * caller.c: the person behind this process, and what another process is.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pm_caller.h"

/** UINT32_MAX: nobody logged in, it is a service. */
static uint32_t login_uid(void)
{
    char text[16] = "";
    int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    return n > 0 ? (uint32_t)strtoul(text, NULL, 10) : UINT32_MAX;
}

void pm_caller_user(char out[PM_USER_SIZE])
{
    const char *sudo = getenv("SUDO_USER");
    uint32_t login = login_uid();
    uid_t uid = login != UINT32_MAX ? (uid_t)login : getuid();
    const struct passwd *pw;

    if (sudo != NULL && sudo[0] != '\0') {
        snprintf(out, PM_USER_SIZE, "%s", sudo);
        return;
    }
    pw = getpwuid(uid);
    if (pw != NULL) {
        snprintf(out, PM_USER_SIZE, "%s", pw->pw_name);
    }
    else {
        snprintf(out, PM_USER_SIZE, "%lu", (unsigned long)uid);
    }
}

/* ---- another process ---- */

/** "/proc/4711/stat": sprintf is not to be called by a signal handler. */
static void put_path(char out[40], pid_t pid, const char *file)
{
    char digits[12];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid > 0);
    memcpy(out, "/proc/", 6);
    out += 6;
    while (n > 0) {
        *out++ = digits[--n];
    }
    *out++ = '/';
    memcpy(out, file, strlen(file) + 1);
}

static size_t read_some(pid_t pid, const char *file, char *out, size_t size)
{
    char path[40];
    ssize_t n;
    int fd;

    put_path(path, pid, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    n = n > 0 ? n : 0;
    out[n] = '\0';
    return (size_t)n;
}

void pm_process_look(pm_process *process, pid_t pid)
{
    char stat[256], *name, *end;
    size_t n;

    process->pid = pid;
    process->parent = 0;
    process->name[0] = '\0';
    /* First what goes first when a process ends. */
    process->length =
        (uint32_t)read_some(pid, "cmdline", process->arguments, sizeof(process->arguments));
    read_some(pid, "stat", stat, sizeof(stat));
    /* "4711 (name) S 1 …"; the name may hold anything, so the last bracket ends it. */
    name = strchr(stat, '(');
    end = strrchr(stat, ')');
    if (name == NULL || end == NULL || end < name) {
        return;
    }
    n = (size_t)(end - name - 1);
    n = n < sizeof(process->name) - 1 ? n : sizeof(process->name) - 1;
    memcpy(process->name, name + 1, n);
    process->name[n] = '\0';
    for (end += end[1] == ' ' && end[2] != '\0' && end[3] == ' ' ? 4 : 0;
         *end >= '0' && *end <= '9'; end++) {
        process->parent = process->parent * 10 + (*end - '0');
    }
}

/* ---- its name ---- */

static int is_one_of(const char *word, const char *const words[])
{
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(word, words[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

/** Interpreters of scripts, with those of their options that take no argument, be it one or several in a word. */
typedef struct interpreter {
    const char *name; /* a version may follow */
    const char *flags;
} interpreter;

static const interpreter *interpreter_of(const char *name)
{
#define SHELL_FLAGS "aefhiklmnpuvx"
    static const interpreter all[] = {
        {"sh", SHELL_FLAGS},  {"bash", SHELL_FLAGS}, {"dash", SHELL_FLAGS},
        {"ash", SHELL_FLAGS}, {"zsh", SHELL_FLAGS},  {"ksh", SHELL_FLAGS},
        {"perl", "nptTuUwW"}, {"ruby", "nplsSvw"},   {"python", "bBdEiIOPqRsSuv"},
        {"php", "nq"},        {"node", ""}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        size_t length = strlen(all[i].name);
        const char *version = name + length;

        if (strncmp(name, all[i].name, length) == 0 &&
            strspn(version, "0123456789.") == strlen(version)) {
            return &all[i];
        }
    }
    return NULL;
}

static int is_verb(const char *word)
{
    static const char *const verbs[] = {
        "start",   "stop",         "restart", "reload",      "graceful",       "graceful-stop",
        "install", "reinstall",    "remove",  "purge",       "autoremove",     "upgrade",
        "update",  "full-upgrade", "renew",   "deconfigure", "failed-upgrade", "dist-upgrade",
        "kill",    "down",         "up",      "configure",   "try-restart",    NULL};

    return is_one_of(word, verbs);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/** The next argument; NULL = that was the last one. */
static const char *next_argument(const pm_process *process, const char *at)
{
    const char *next = at + strlen(at) + 1;

    return next < process->arguments + process->length ? next : NULL;
}

/** The script that an interpreter was given; NULL = a module, text that may be anything, or not known: of an option that
 *  may take an argument it cannot be told where that ends. */
static const char *script_of(const pm_process *process, const interpreter *by)
{
    const char *at = process->arguments;

    while ((at = next_argument(process, at)) != NULL && at[0] == '-') {
        if (strcmp(at, "--") == 0) {
            return next_argument(process, at);
        }
        if (at[1] == '\0' || strspn(at + 1, by->flags) != strlen(at + 1)) {
            return NULL;
        }
    }
    return at != NULL && at[0] != '+' ? at : NULL; /* "+x" is an option of shells, too */
}

void pm_process_command(const pm_process *process, char out[PM_COMMAND_SIZE])
{
    const char *at = process->arguments, *script, *name, *verb;
    const interpreter *by;
    const char *k = "";

    name = base_name(at);
    if (process->length == 0 || strpbrk(at, ": ") != NULL) {
        name = process->name; /* it has written over its arguments, as "sshd: root@pts/0" */
    }
    name += name[0] == '-'; /* a login shell */
    if (strspn(name, "0123456789") == strlen(name)) {
        name = ""; /* it was executed by a descriptor */
    }
    by = interpreter_of(name);
    if (by != NULL && (script = script_of(process, by)) != NULL) {
        at = script;
        name = base_name(script);
    }
    for (verb = next_argument(process, at); verb != NULL && !is_verb(verb);
         verb = next_argument(process, verb)) {
        k = strcmp(verb, "-k") == 0 ? "-k " : "";
    }
    if (name[0] == '\0') {
        verb = NULL;
    }
    snprintf(out, PM_COMMAND_SIZE, "%.48s%s%s%.20s", name, verb != NULL ? " " : "",
             verb != NULL ? k : "", verb != NULL ? verb : "");
}
