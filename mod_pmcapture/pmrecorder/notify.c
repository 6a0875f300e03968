/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * notify.c: what a service tells the service manager: datagrams to the socket that its environment names, as sd_notify(3)
 * has them.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pm_time.h"
#include "pmrecorder.h"

static int to = -1;
static uint64_t every_us, told_us; /* WATCHDOG=1: a third of what is asked for; the last one */
static char last_status[256];

/** It may be that of a process whose environment this one has inherited. */
static uint64_t watchdog_period(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *us = getenv("WATCHDOG_USEC");

    return us != NULL && (pid == NULL || atol(pid) == (long)getpid()) ? strtoull(us, NULL, 10) : 0;
}

void pm_notify_begin(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = path != NULL ? strlen(path) : 0;

    if (n < 2 || n >= sizeof(at.sun_path) || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    memcpy(at.sun_path, path, n);
    if (path[0] == '@') {
        at.sun_path[0] = '\0'; /* an abstract one has no end but its length */
    }
    every_us = watchdog_period() / 3;
    to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (to >= 0 && connect(to, (struct sockaddr *)&at,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0) {
        close(to);
        to = -1;
    }
}

/** 0: it does not read just now. */
static int tell(const char *text)
{
    return to < 0 || send(to, text, strlen(text), MSG_NOSIGNAL) >= 0;
}

void pm_notify_tick(const char *status, int ticks)
{
    uint64_t now = pm_time_monotonic();
    char text[sizeof(last_status) + 32];

    if (strcmp(status, last_status) != 0) {
        snprintf(text, sizeof(text), "%sSTATUS=%s", last_status[0] == '\0' ? "READY=1\n" : "",
                 status);
        if (tell(text)) { /* else the next tick tells it again */
            snprintf(last_status, sizeof(last_status), "%s", status);
        }
    }
    if (ticks && every_us != 0 && now >= told_us + every_us) {
        told_us = now;
        tell("WATCHDOG=1");
    }
}

void pm_notify_end(void)
{
    tell("STOPPING=1");
}
