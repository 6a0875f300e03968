/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pid_file.c: the process that the PID file names, which httpd takes for the running server.
 *
 * A file that outlives its server may name a process that has that number by chance. httpd does not look what it is: a
 * start is refused with one line on the terminal, "httpd (pid N) already running", and exit code 0; a reload or a stop
 * sends it the signal. So it is looked at beforehand: the signal may end it.
 */
#include "module.h"

#include <apr_strings.h>
#include <mpm_common.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_caller.h"
#include "pm_json.h"
#include "pm_time.h"

static struct {
    char path[512];
    pid_t pid;           /* 0 = none that lives */
    uint64_t start;      /* when it began, as pm_process_start gives it; 0 = it has ended */
    uint64_t written_us; /* the file */
    char program[16];    /* "" = it cannot be seen */
    int httpd;           /* it runs the same program, */
    int misled;          /* and yet it is not the server that wrote the file */
} named;

static pid_t read_pid(const char *path)
{
    char text[32] = "";
    FILE *file = fopen(path, "re");
    long pid = 0;

    if (file != NULL) {
        pid = fgets(text, sizeof(text), file) != NULL ? strtol(text, NULL, 10) : 0;
        fclose(file);
    }
    return pid > 0 ? (pid_t)pid : 0;
}

/** A package may have replaced the file that it runs meanwhile. */
static size_t program_file(char out[512], const char *link)
{
    static const char gone[] = " (deleted)";
    ssize_t n = readlink(link, out, 511);
    size_t length = n > 0 ? (size_t)n : 0;

    out[length] = '\0';
    if (length >= strlen(gone) && strcmp(out + length - strlen(gone), gone) == 0) {
        length -= strlen(gone);
        out[length] = '\0';
    }
    return length;
}

/** By its name, or by the file, as a module may give it another name. */
static int is_httpd(const pm_process *own, const pm_process *other)
{
    char ours[512], theirs[512], link[40];

    apr_snprintf(link, sizeof(link), "/proc/%ld/exe", (long)other->pid);
    return strcmp(own->name, other->name) == 0 ||
           (program_file(theirs, link) > 0 && program_file(ours, "/proc/self/exe") > 0 &&
            strcmp(ours, theirs) == 0);
}

void pm_pid_file_look(apr_pool_t *p)
{
    const char *path = ap_pid_fname != NULL ? ap_runtime_dir_relative(p, ap_pid_fname) : NULL;
    pm_process own, other;
    struct stat st;
    pid_t pid;

    memset(&named, 0, sizeof(named));
    pid = path != NULL && stat(path, &st) == 0 ? read_pid(path) : 0;
    if (pid == 0 || pid == getpid() || kill(pid, 0) != 0) {
        return;
    }
    pm_process_look(&own, getpid());
    pm_process_look(&other, pid);
    apr_cpystrn(named.path, path, sizeof(named.path));
    apr_cpystrn(named.program, own.name[0] != '\0' ? other.name : "", sizeof(named.program));
    named.pid = pid;
    named.start = pm_process_start((uint32_t)pid);
    named.written_us = (uint64_t)st.st_mtim.tv_sec * PM_SECOND;
    named.httpd = is_httpd(&own, &other);
}

/** The capture file knows the last server by number and start. It is told by these: clocks are set, and a module may give a
 *  process another name. An httpd that is none of these may be the server before it loaded the module. */
void pm_pid_file_compare(const pm_server *last)
{
    int number = last->pid_start != 0 && last->pid == (uint32_t)named.pid &&
                 last->pid_namespace == pm_pid_namespace();
    uint64_t seen_us =
        last->heartbeat_us > last->stopped_us ? last->heartbeat_us : last->stopped_us;
    char boot[40];

    pm_boot_id(boot);
    if (named.program[0] == '\0' || (number && named.start != 0 && named.start == last->pid_start &&
                                     strcmp(boot, last->boot_id) == 0)) {
        return; /* it cannot be seen, or is the server */
    }
    named.misled = !named.httpd || named.start == 0 || (number && named.written_us <= seen_us);
}

int pm_pid_file_misleads(void)
{
    return named.misled;
}

const char *pm_pid_file_words(apr_pool_t *p)
{
    if (named.start == 0) {
        return apr_psprintf(p, "%s names pid %ld, `%s`, which has ended: a zombie", named.path,
                            (long)named.pid, named.program);
    }
    return named.httpd
               ? apr_psprintf(p, "%s names pid %ld, another httpd than the one that wrote it",
                              named.path, (long)named.pid)
               : apr_psprintf(p, "%s names pid %ld, which is `%s`, not httpd", named.path,
                              (long)named.pid, named.program);
}

void pm_pid_file_put(pm_draft *d)
{
    pm_json *j;

    if (!named.misled) {
        return;
    }
    j = pm_draft_value(d, "pid_file");
    pm_json_object(j);
    pm_json_put_text(j, "path", named.path);
    pm_json_put_uint(j, "pid", (uint64_t)named.pid);
    pm_json_put_text(j, "program", named.program);
    pm_json_object_end(j);
}
