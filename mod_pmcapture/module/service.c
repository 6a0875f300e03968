/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * service.c: the parent's connection to a recorder that is a service of its own.
 *
 * httpd never waits for it but for its greeting, and that not for long. When the service ends, its service manager
 * starts another one, and httpd hands over again what it had; meanwhile requests are counted.
 */
#include "module.h"

#include <apr_strings.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pm_descriptors.h"
#include "pm_service.h"
#include "retained.h"
#include "service.h"

APLOG_USE_MODULE(pmcapture);

#define KEPT_KEY "mod_pmcapture/service/1"
#define PATIENCE_MS 250
#define GLANCE_MS 20 /* while httpd serves */
#define GREETINGS 8u /* that are read at once; a service sends one, and one more when it refuses */

/** In process-lifetime memory (see retained.h). */
typedef struct kept_service {
    uint32_t size, used;
    int channel;  /* -1 = none */
    uint32_t pid; /* of the supervising process; 0 = unknown */
    int offers[PM_OFFERS];
    char path[512], capture[512];
    char said[256]; /* so that it is said once */
} kept_service;

static kept_service *kept_get(void)
{
    kept_service *kept = ap_retained_data_get(KEPT_KEY);

    if (kept == NULL) {
        kept = ap_retained_data_create(KEPT_KEY, sizeof(*kept));
        kept->size = sizeof(*kept);
        kept->channel = -1;
        for (int i = 0; i < PM_OFFERS; i++) {
            kept->offers[i] = -1;
        }
    }
    return kept;
}

static void let_go(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static const char *wanted_path(void)
{
    const char *path = pm_config->recorder != NULL ? pm_listen_path(pm_config->recorder) : NULL;

    return pm_config->recorder == NULL ? PM_SERVICE_SOCKET : path;
}

/** With `auto` httpd can do without, and it is no trouble; unless it relies on a service already, and has started none. */
static int is_needed(void)
{
    return pm_config->recorder != NULL || kept_get()->used;
}

/* ---- is it ours? ---- */

/** Whoever stands there is handed descriptors of history: root, the service's user, or who we are. */
static int is_trusted(int fd, uint32_t *pid)
{
    const struct passwd *own;
    uid_t uid;
    pid_t peer;

    if (!pm_service_peer(fd, &uid, &peer)) {
        return 0;
    }
    *pid = (uint32_t)peer;
    if (uid == 0 || uid == geteuid()) {
        return 1;
    }
    own = getpwnam(PM_SERVICE_USER);
    return own != NULL && uid == own->pw_uid;
}

static int is_same_file(const char *a, const char *b)
{
    struct stat one, other;

    return strcmp(a, b) == 0 || (stat(a, &one) == 0 && stat(b, &other) == 0 &&
                                 one.st_dev == other.st_dev && one.st_ino == other.st_ino);
}

/** What keeps httpd from this service, as the end of a sentence; NULL = nothing. */
static const char *find_fault(const pm_greeting *g, const char *capture, char out[256])
{
    if (g->refusal[0] != '\0') {
        return g->refusal;
    }
    if (strcmp(g->release, PM_VERSION) != 0) {
        apr_snprintf(out, 256,
                     "it is of release %s and httpd's module of " PM_VERSION
                     ": install both, and restart it and httpd",
                     g->release);
        return out;
    }
    if (g->httpd != 0 && g->httpd != (uint32_t)getpid()) {
        apr_snprintf(out, 256, "it works for another httpd, pid %u: one recorder for each",
                     g->httpd);
        return out;
    }
    if (capture == NULL || capture[0] == '\0' || !is_same_file(g->capture, capture)) {
        apr_snprintf(out, 256, "it is for %.100s, and PMCaptureFile is %.100s", g->capture,
                     capture != NULL && capture[0] != '\0' ? capture : "not given");
        return out;
    }
    return NULL;
}

/* ---- finding it ---- */

static void say(kept_service *kept, server_rec *s, int level, const char *path, const char *fault)
{
    char sentence[sizeof(kept->said)];

    apr_snprintf(sentence, sizeof(sentence), "%sthe recorder at %s: %s",
                 is_needed() ? "Nothing is recorded, only counted: " : "httpd does not use ", path,
                 fault);
    if (is_needed()) {
        apr_cpystrn(pm.trouble, sentence, sizeof(pm.trouble));
    }
    if (strcmp(sentence, kept->said) != 0) {
        apr_cpystrn(kept->said, sentence, sizeof(kept->said));
        pm_say(s, level, sentence);
    }
}

static void forget_trouble(kept_service *kept)
{
    if (strcmp(pm.trouble, kept->said) == 0) {
        pm.trouble[0] = '\0';
    }
    kept->said[0] = '\0';
}

/** Its connection when it welcomes this httpd; else why not is said. */
static int greet(kept_service *kept, server_rec *s, const char *path, int patience_ms)
{
    int fd = pm_service_connect(path);
    pm_greeting greeting;
    char room[256];
    const char *fault;
    apr_status_t rv;

    if (fd < 0) {
        if (is_needed()) {
            apr_snprintf(room, sizeof(room), "%s; is its service started?", strerror(errno));
            say(kept, s, APLOG_CRIT, path, room);
        }
        return 0;
    }
    if (!is_trusted(fd, &kept->pid)) {
        say(kept, s, APLOG_CRIT, path, "it is neither root's, nor user " PM_SERVICE_USER "'s");
        close(fd);
        return 0;
    }
    rv = pm_descriptors_wait(fd, POLLIN, patience_ms) > 0
             ? pm_greeting_receive(fd, &greeting, kept->offers)
             : APR_TIMEUP;
    fault = rv == APR_SUCCESS  ? find_fault(&greeting, kept->capture, room)
            : rv == APR_TIMEUP ? "it does not answer"
                               : "it does not greet as this release's does: install both, and "
                                 "restart it and httpd";
    if (fault != NULL) {
        if (is_needed() || (rv == APR_SUCCESS && is_same_file(greeting.capture, kept->capture))) {
            say(kept, s, is_needed() ? APLOG_CRIT : APLOG_WARNING, path, fault);
        }
        pm_service_close_offers();
        close(fd);
        return 0;
    }
    forget_trouble(kept);
    kept->channel = fd;
    return 1;
}

/** Is somebody there still? A refusal that came meanwhile is said. */
static int is_alive(kept_service *kept, server_rec *s)
{
    pm_greeting greeting;
    apr_status_t rv = APR_SUCCESS;

    for (uint32_t i = 0; kept->channel >= 0 && rv == APR_SUCCESS && i < GREETINGS; i++) {
        int unwanted[PM_OFFERS];

        rv = pm_greeting_receive(kept->channel, &greeting, unwanted);
        for (int k = 0; k < PM_OFFERS; k++) {
            let_go(&unwanted[k]);
        }
        if (rv == APR_SUCCESS && greeting.refusal[0] != '\0') {
            say(kept, s, APLOG_CRIT, kept->path, greeting.refusal);
        }
    }
    if (rv == APR_EOF) {
        let_go(&kept->channel);
    }
    return kept->channel >= 0;
}

void pm_service_find(server_rec *s, const char *capture)
{
    kept_service *kept = kept_get();
    const char *path = wanted_path();

    if (path == NULL || (kept->path[0] != '\0' && strcmp(path, kept->path) != 0) ||
        (kept->channel >= 0 && (capture == NULL || !is_same_file(capture, kept->capture)))) {
        pm_service_dismiss(); /* it is not, or no longer, the one for this configuration */
    }
    if (path == NULL || (pm_config->recorder == NULL && pm_retained_get()->recorder > 0)) {
        kept->used = 0;
        return;
    }
    apr_cpystrn(kept->path, path, sizeof(kept->path));
    apr_cpystrn(kept->capture, capture != NULL ? capture : "", sizeof(kept->capture));
    if (!is_alive(kept, s)) {
        pm_service_close_offers();
        kept->used = 0;
        kept->used = greet(kept, s, path, PATIENCE_MS) || is_needed();
    }
}

/* ---- using it ---- */

int pm_service_is_used(void)
{
    return kept_get()->used != 0;
}

int pm_service_channel(void)
{
    return kept_get()->channel;
}

int pm_recorder_is_there(void)
{
    return kept_get()->channel >= 0 || pm_retained_get()->recorder > 0;
}

int pm_service_is(uint32_t pid)
{
    const kept_service *kept = kept_get();

    return kept->used && kept->pid != 0 && kept->pid == pid;
}

int pm_service_take_offer(const char *spec, apr_pool_t *pool)
{
    kept_service *kept = kept_get();

    for (int i = 0; i < PM_OFFERS; i++) {
        if (pm_listen_is_at(kept->offers[i], spec, pool)) {
            int fd = kept->offers[i];

            kept->offers[i] = -1;
            return fd;
        }
    }
    return -1;
}

void pm_service_close_offers(void)
{
    kept_service *kept = kept_get();

    for (int i = 0; i < PM_OFFERS; i++) {
        let_go(&kept->offers[i]);
    }
}

int pm_service_check(server_rec *s)
{
    kept_service *kept = kept_get();

    if (is_alive(kept, s)) {
        return 0;
    }
    return greet(kept, s, kept->path, GLANCE_MS);
}

void pm_service_lose(void)
{
    let_go(&kept_get()->channel);
}

void pm_service_dismiss(void)
{
    kept_service *kept = kept_get();
    pm_handover h = {.kind = PM_HANDOVER_LEAVE};

    for (int i = 0; i < PM_HANDOVER_FDS; i++) {
        h.fd[i] = -1;
    }
    if (kept->channel >= 0) {
        pm_handover_send(kept->channel, &h);
    }
    pm_service_leave();
    kept->used = 0;
    kept->path[0] = kept->said[0] = '\0';
}

void pm_service_each(void (*act)(int *fd))
{
    kept_service *kept = kept_get();

    act(&kept->channel);
    for (int i = 0; i < PM_OFFERS; i++) {
        act(&kept->offers[i]);
    }
}

void pm_service_leave(void)
{
    let_go(&kept_get()->channel);
    pm_service_close_offers();
}
