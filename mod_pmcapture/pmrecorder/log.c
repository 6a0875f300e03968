/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * log.c: sentences for people, as lines of httpd's error log.
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "pm_text.h"
#include "pmrecorder.h"

static int log_fd = STDERR_FILENO, log_level = LOG_WARNING;

void pm_log_to(int fd, int level)
{
    log_fd = fd;
    log_level = level;
}

void pm_log(int severity, const char *sentence)
{
    int level = severity == PM_CRITICAL  ? LOG_CRIT
                : severity == PM_WARNING ? LOG_WARNING
                                         : LOG_NOTICE;
    const char *name = level == LOG_CRIT ? "crit" : level == LOG_WARNING ? "warn" : "notice";
    char line[1024], text[800], when[40];
    struct timeval now;
    struct tm local;
    size_t used = 0;

    if (sentence[0] == '\0' || level > log_level) {
        return;
    }
    pm_text_clean(text, sizeof(text), sentence, 4 * sizeof(text));
    if (log_fd < 0) {
        syslog(LOG_DAEMON | level, "[pmcapture:%s] mod_pmcapture: %s", name, text);
        return;
    }
    gettimeofday(&now, NULL);
    if (localtime_r(&now.tv_sec, &local) == NULL ||
        strftime(when, sizeof(when), "%a %b %d %H:%M:%S", &local) == 0) {
        return;
    }
    pm_text_append(line, sizeof(line), &used,
                   "[%s.%06ld %d] [pmcapture:%s] [pid %ld] mod_pmcapture: %s\n", when,
                   (long)now.tv_usec, local.tm_year + 1900, name, (long)getpid(), text);
    if (write(log_fd, line, used) < 0) {
        return; /* nobody else is to be told */
    }
}
