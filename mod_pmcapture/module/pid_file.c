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

#define SLACK_US (10 * PM_SECOND) /* the kernel's clock and the file system's part a little */

static struct {
    char path[512];
    pid_t pid; /* 0 = none that lives */
    char program[16];
    int ended;  /* its parent has not taken note of that: httpd takes it for alive */
    int httpd;  /* it runs the same program, */
    int misled; /* and yet it is not the server that wrote the file */
} named;

/** When it began, in wall microseconds; 0 = not known. */
static uint64_t begun_us(pid_t pid)
{
    uint64_t ticks = pm_process_start((uint32_t)pid), per_second = (uint64_t)sysconf(_SC_CLK_TCK);
    struct timespec up;

    if (ticks == 0 || per_second == 0 || clock_gettime(CLOCK_BOOTTIME, &up) != 0) {
        return 0;
    }
    return pm_time_now() - ((uint64_t)up.tv_sec * PM_SECOND + (uint64_t)up.tv_nsec / 1000) +
           ticks * PM_SECOND / per_second;
}

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
    apr_cpystrn(named.program, other.name, sizeof(named.program));
    named.pid = pid;
    named.ended = other.name[0] != '\0' && pm_process_start((uint32_t)pid) == 0;
    named.httpd = strcmp(own.name, other.name) == 0;
    /* One that cannot be seen may be the server. */
    named.misled = own.name[0] != '\0' && other.name[0] != '\0' &&
                   (!named.httpd || named.ended ||
                    begun_us(pid) > (uint64_t)st.st_mtim.tv_sec * PM_SECOND + SLACK_US);
}

int pm_pid_file_misleads(void)
{
    return named.misled;
}

const char *pm_pid_file_words(apr_pool_t *p)
{
    if (named.ended) {
        return apr_psprintf(p, "%s names pid %ld, `%s`, which has ended: a zombie", named.path,
                            (long)named.pid, named.program);
    }
    return named.httpd
               ? apr_psprintf(p,
                              "%s names pid %ld, another httpd, which began after it was written",
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
