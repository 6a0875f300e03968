/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * prober.c: the thread that looks from outside, at many addresses at one time.
 */
#include "prober.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "certificate_file.h"
#include "pm_time.h"
#include "prober_look.h"

#define AT_ONCE 64u
#define LOOK_MS 200 /* at most until it is seen that a round was given up */

enum round { IDLE, ASKED, RUNS, OVER };

/** What the tick and the thread share, under the lock; while a round runs, targets and seen are the thread's. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t asked;
    enum round round;
    int running, give_up;
    const pm_live *live;
    pm_target *targets;
    pm_target_seen *seen;
    uint32_t count;
    char url[PM_PROBE_URL];
} shared = {.lock = PTHREAD_MUTEX_INITIALIZER, .asked = PTHREAD_COND_INITIALIZER};

/* ---- a round ---- */

static int given_up(void)
{
    int so;

    pthread_mutex_lock(&shared.lock);
    so = shared.give_up;
    pthread_mutex_unlock(&shared.lock);
    return so;
}

static void begin_look(pm_prober_look *k, uint32_t number)
{
    *k = (pm_prober_look){
        .target = &shared.targets[number], .seen = &shared.seen[number], .url = shared.url};
    pm_look_begin(k);
}

static void wait_and_step(pm_prober_look *looks)
{
    struct pollfd fds[AT_ONCE];
    uint32_t which[AT_ONCE] = {0}, n = 0;
    uint64_t now;

    for (uint32_t i = 0; i < AT_ONCE; i++) {
        if (looks[i].stage != PM_FREE) {
            fds[n] = (struct pollfd){.fd = looks[i].fd, .events = looks[i].wants};
            which[n++] = i;
        }
    }
    poll(fds, n, LOOK_MS);
    now = pm_time_monotonic();
    for (uint32_t i = 0; i < n; i++) {
        pm_prober_look *k = &looks[which[i]];

        if (fds[i].revents != 0) {
            pm_look_step(k);
        }
        else {
            pm_look_check_time(k, now);
        }
    }
}

static void run(void)
{
    static pm_prober_look looks[AT_ONCE];
    uint32_t next = 0, under_way;

    do {
        under_way = 0;
        for (uint32_t i = 0; i < AT_ONCE; i++) {
            if (looks[i].stage == PM_FREE && next < shared.count && !given_up()) {
                begin_look(&looks[i], next++);
            }
            under_way += looks[i].stage != PM_FREE;
        }
        if (under_way > 0 && given_up()) {
            for (uint32_t i = 0; i < AT_ONCE; i++) {
                if (looks[i].stage != PM_FREE) {
                    pm_look_give_up(&looks[i]);
                }
            }
            return;
        }
        if (under_way > 0) {
            wait_and_step(looks);
        }
    } while (under_way > 0 || (next < shared.count && !given_up()));
    for (uint32_t i = 0; i < shared.count && !given_up(); i++) {
        if (shared.targets[i].path[0] != '\0') {
            pm_certificate_ask(shared.targets[i].path, shared.targets[i].name,
                               &shared.seen[i].on_disk);
        }
    }
}

/* ---- the thread ---- */

static void forget(void)
{
    free(shared.targets);
    free(shared.seen);
    shared.targets = NULL;
    shared.seen = NULL;
    shared.count = 0;
    shared.give_up = 0;
    shared.round = IDLE;
}

static void *look_on(void *unused)
{
    (void)unused;
    prctl(PR_SET_NAME, "pmcapture-probe");
    pthread_mutex_lock(&shared.lock);
    for (;;) {
        struct timespec until = {.tv_sec = (time_t)(pm_time_now() / PM_SECOND) + 10};

        if (shared.round != ASKED) {
            pthread_cond_timedwait(&shared.asked, &shared.lock, &until);
            pthread_mutex_unlock(&shared.lock);
            pm_unmark_old();
            pthread_mutex_lock(&shared.lock);
            continue;
        }
        shared.round = RUNS;
        pthread_mutex_unlock(&shared.lock);
        run();
        pthread_mutex_lock(&shared.lock);
        if (shared.give_up) {
            forget();
        }
        else {
            shared.round = OVER;
        }
    }
    return NULL;
}

void pm_prober_use(pm_live *live)
{
    pthread_mutex_lock(&shared.lock);
    if (shared.live != live) {
        shared.live = live;
        if (shared.round == RUNS) {
            shared.give_up = 1;
        }
        else {
            forget();
        }
    }
    pthread_mutex_unlock(&shared.lock);
    pm_marks_use(live);
}

int pm_prober_ask(const pm_target *targets, uint32_t count, const char *url)
{
    int asked = 0;

    pthread_mutex_lock(&shared.lock);
    if (shared.round == IDLE && shared.live != NULL && count > 0) {
        shared.targets = malloc(count * sizeof(*targets));
        shared.seen = calloc(count, sizeof(*shared.seen));
        if (shared.targets != NULL && shared.seen != NULL &&
            (shared.running || (shared.running = pm_prober_thread(look_on)))) {
            memcpy(shared.targets, targets, count * sizeof(*targets));
            shared.count = count;
            snprintf(shared.url, sizeof(shared.url), "%s", url);
            shared.round = ASKED;
            asked = 1;
            pthread_cond_signal(&shared.asked);
        }
        else {
            forget();
        }
    }
    pthread_mutex_unlock(&shared.lock);
    return asked;
}

pm_target_seen *pm_prober_take(uint32_t *count)
{
    pm_target_seen *seen = NULL;

    pthread_mutex_lock(&shared.lock);
    if (shared.round == OVER) {
        seen = shared.seen;
        *count = shared.count;
        shared.seen = NULL;
        forget();
    }
    pthread_mutex_unlock(&shared.lock);
    return seen;
}
