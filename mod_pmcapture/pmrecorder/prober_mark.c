/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober_mark.c: the prober's connections are marked in the live region, so that the module counts none of them.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <string.h>

#include "pm_time.h"
#include "prober_look.h"

#define MARK_US (3600 * PM_SECOND) /* that httpd may take to meet a connection that was given up */

static struct {
    pthread_mutex_t lock;
    pm_live *live;
    uint64_t us[PM_PROBES]; /* monotonic; 0 = the mark is not in use */
} marks = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void put_mark(uint32_t slot, uint64_t origin)
{
    int any = 0;

    marks.us[slot] = origin != 0 ? pm_time_monotonic() : 0;
    for (uint32_t i = 0; i < PM_PROBES; i++) {
        any |= marks.us[i] != 0;
    }
    if (marks.live != NULL) {
        atomic_store(&marks.live->header->probe[slot], origin);
        atomic_store(&marks.live->header->probing, (uint32_t)any);
    }
}

/** A free one, else the oldest: that connection must have been met by now. */
static uint32_t choose(void)
{
    uint32_t oldest = 0;

    for (uint32_t i = 0; i < PM_PROBES; i++) {
        if (marks.us[i] < marks.us[oldest]) {
            oldest = i;
        }
    }
    return oldest;
}

uint32_t pm_mark(const pm_look_address *from)
{
    uint8_t bytes[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    uint32_t slot;
    uint16_t port;

    if (from->any.sa_family == AF_INET) {
        memcpy(bytes + 12, &from->in.sin_addr, 4);
        port = ntohs(from->in.sin_port);
    }
    else {
        memcpy(bytes, &from->in6.sin6_addr, 16);
        port = ntohs(from->in6.sin6_port);
    }
    pthread_mutex_lock(&marks.lock);
    slot = choose();
    put_mark(slot, marks.live != NULL ? pm_live_origin(marks.live, bytes, port) : 0);
    pthread_mutex_unlock(&marks.lock);
    return slot + 1;
}

void pm_unmark(uint32_t mark)
{
    pthread_mutex_lock(&marks.lock);
    put_mark(mark - 1, 0);
    pthread_mutex_unlock(&marks.lock);
}

void pm_unmark_old(void)
{
    uint64_t now = pm_time_monotonic();

    pthread_mutex_lock(&marks.lock);
    for (uint32_t i = 0; i < PM_PROBES; i++) {
        if (marks.us[i] != 0 && now > marks.us[i] + MARK_US) {
            put_mark(i, 0);
        }
    }
    pthread_mutex_unlock(&marks.lock);
}

void pm_marks_use(pm_live *live)
{
    pthread_mutex_lock(&marks.lock);
    marks.live = live;
    for (uint32_t i = 0; i < PM_PROBES; i++) { /* what another process has left there */
        if (marks.us[i] == 0) {
            put_mark(i, 0);
        }
    }
    pthread_mutex_unlock(&marks.lock);
}
