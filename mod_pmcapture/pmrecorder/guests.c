/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * guests.c: who connects to a service's control socket: greeted when it may hand over a configuration, else refused with a
 * sentence.
 *
 * The kernel says who it is before anything of it is read; a stranger's connection is closed at once, so that strangers
 * keep nobody out.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pm_time.h"
#include "pmrecorder.h"

#define PATIENCE_US (10 * PM_SECOND) /* a httpd hands over as soon as it is greeted */

static const int nothing[PM_OFFERS] = {-1, -1, -1, -1, -1, -1, -1, -1};
_Static_assert(PM_OFFERS == 8, "as many as that");

void pm_guest_refuse(int fd, const pm_service *service, const char *sentence)
{
    pm_greeting greeting = {.httpd = 0};

    snprintf(greeting.capture, sizeof(greeting.capture), "%s", service->capture);
    snprintf(greeting.refusal, sizeof(greeting.refusal), "%s", sentence);
    pm_greeting_send(fd, &greeting, nothing);
    close(fd);
}

/** Where this one listens, and where the last httpd had it listen: the next one need not, and cannot, make these sockets
 *  anew. */
static int greet(int fd, const pm_service *service, const pm_handover *latest, uint32_t httpd)
{
    pm_greeting greeting = {.httpd = httpd};
    int offers[PM_OFFERS];

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        offers[i] = service->pages[i];
        offers[PM_LISTEN_MAX + i] = httpd == 0 ? latest->fd[PM_FD_LISTEN + i] : -1;
    }
    snprintf(greeting.capture, sizeof(greeting.capture), "%s", service->capture);
    return pm_greeting_send(fd, &greeting, offers);
}

static pm_guest *place_for(pm_guest guests[PM_GUESTS])
{
    pm_guest *oldest = &guests[0];

    for (int i = 0; i < PM_GUESTS; i++) {
        if (guests[i].fd < 0) {
            return &guests[i];
        }
        oldest = guests[i].since_us < oldest->since_us ? &guests[i] : oldest;
    }
    close(oldest->fd);
    oldest->fd = -1;
    return oldest;
}

void pm_guests_greet(pm_guest guests[PM_GUESTS], const pm_service *service, uid_t owner,
                     const pm_handover *latest, uint32_t httpd)
{
    int fd, on = 1;

    /* Bounded: those that come later wait for the next look. */
    for (int i = 0; i < PM_GUESTS; i++) {
        uid_t uid;
        pid_t pid;

        fd = accept4(service->control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        if (!pm_service_peer(fd, &uid, &pid) || (uid != 0 && uid != owner)) {
            pm_guest_refuse(fd, service,
                            "This recorder takes a configuration from root, or from the user of a "
                            "httpd that no root has started (pmrecorder --owner), alone");
            continue;
        }
        /* Before it is greeted, and so before its first message, whose sender is to be known. */
        setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
        if (!greet(fd, service, latest, httpd)) {
            close(fd);
            continue;
        }
        *place_for(guests) = (pm_guest){fd, (uint32_t)uid, pm_time_monotonic()};
    }
}

void pm_guests_expire(pm_guest guests[PM_GUESTS])
{
    uint64_t now = pm_time_monotonic();

    for (int i = 0; i < PM_GUESTS; i++) {
        if (guests[i].fd >= 0 && now > guests[i].since_us + PATIENCE_US) {
            close(guests[i].fd);
            guests[i].fd = -1;
        }
    }
}
