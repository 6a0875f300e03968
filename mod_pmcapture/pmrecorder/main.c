/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * main.c: pmrecorder, the recorder of mod_pmcapture: its arguments, and which user it works as.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <apr_general.h>

#include "pm_descriptors.h"
#include "pm_version.h"
#include "pmrecorder.h"

#define EXIT_USAGE 2
#define HTTPD_FD 3

static const char usage[] =
    "Usage: pmrecorder --httpd UID GID\n"
    "       pmrecorder --service CAPTURE [--control PATH] [--listen ADDRESS]... [--user NAME]\n"
    "                  [--owner NAME]\n"
    "Record what a httpd with mod_pmcapture counts.\n\n"
    "  --httpd UID GID    httpd starts it so: work for the one at the other end of descriptor 3, "
    "as\n"
    "                     the user " PM_SERVICE_USER
    " where there is one, else as UID and GID, if\n"
    "                     started by root\n"
    "  --service CAPTURE  be there before httpd and after it: work for the one that connects, and\n"
    "                     serve what this capture file holds\n"
    "    --control PATH   the socket at which httpd connects; default: control in\n"
    "                     $RUNTIME_DIRECTORY, else " PM_SERVICE_SOCKET "\n"
    "    --listen ADDRESS serve pages there, as PMCaptureListen does; up to four times\n"
    "    --user NAME      started by root, work as this user; default: " PM_SERVICE_USER "\n"
    "    --owner NAME     take a configuration from this user, too, besides root; default: who\n"
    "                     starts it\n"
    "  --version          name the release\n"
    "  --help             this\n\n"
    "Exit: 0 the server has ended, 1 it cannot work, 2 usage.\n"
    "See pmrecorder(8).\n";

/** Ids as httpd has them. */
static int parse_id(const char *text, unsigned long least, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out >= least && *out < UINT32_MAX;
}

/** 0, or the errno. `name` NULL = it has none. */
static int become(const char *name, uid_t uid, gid_t gid)
{
    if (geteuid() != 0) {
        return 0;
    }
    if ((name != NULL ? initgroups(name, gid) : setgroups(0, NULL)) != 0 || setgid(gid) != 0 ||
        setuid(uid) != 0) {
        return errno;
    }
    return setuid(0) == 0 ? EPERM : 0;
}

/** Our own user where there is one, else httpd's. */
static int become_own_or(uid_t uid, gid_t gid)
{
    const struct passwd *own = getpwnam(PM_SERVICE_USER);
    const struct passwd *user = own != NULL && own->pw_uid != 0 ? own : getpwuid(uid);

    if (user != NULL && user->pw_uid != uid) {
        uid = user->pw_uid;
        gid = user->pw_gid;
    }
    return become(user != NULL ? user->pw_name : NULL, uid, gid);
}

static void set_signals(void)
{
    static const int ignored[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGWINCH, SIGPIPE, SIGXFSZ};
    struct sigaction usual = {.sa_handler = SIG_DFL}, ignore = {.sa_handler = SIG_IGN};
    sigset_t none;

    for (int sig = 1; sig < 32; sig++) {
        sigaction(sig, &usual, NULL);
    }
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        sigaction(ignored[i], &ignore, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int is_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

/** Whoever reads what httpd writes to a pipe waits for its end. */
static void forget_terminal(void)
{
    int none = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (none >= 0) {
        dup2(none, STDIN_FILENO);
        dup2(none, STDOUT_FILENO);
        close(none);
    }
}

static int work_for_httpd(const char *uid_text, const char *gid_text)
{
    unsigned long uid, gid;
    uid_t owner = geteuid();
    int error;

    if (!parse_id(uid_text, owner == 0 ? 1 : 0, &uid) || !parse_id(gid_text, 0, &gid)) {
        fprintf(stderr,
                "pmrecorder: --httpd takes the numbers of a user, not root's, and a group\n");
        return EXIT_USAGE;
    }
    if (!is_socket(HTTPD_FD)) {
        fprintf(stderr, "pmrecorder: descriptor 3 is no socket of httpd's; httpd starts this "
                        "program itself\n");
        return EXIT_USAGE;
    }
    /* What httpd had open, its listening sockets first, is none of ours. */
    pm_descriptors_close(HTTPD_FD + 1, ~0u);
    fcntl(HTTPD_FD, F_SETFD, FD_CLOEXEC);
    forget_terminal();
    set_signals();
    error = become_own_or((uid_t)uid, (gid_t)gid);
    if (error != 0) {
        fprintf(stderr, "pmrecorder: cannot work as another user than root: %s\n", strerror(error));
        return 1;
    }
    prctl(PR_SET_DUMPABLE, 0); /* its memory holds what its user is not to read */
    if (chdir("/") != 0) {
        return 1;
    }
    return pm_supervise(HTTPD_FD, owner, NULL);
}

/* ---- a service ---- */

typedef struct options {
    const char *capture, *control, *user, *owner;
    const char *listen[PM_LISTEN_MAX];
    int listens;
} options;

/** 0: usage. */
static int read_options(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];

        if (value == NULL || value[0] == '\0') {
            return 0;
        }
        if (strcmp(name, "--service") == 0) {
            o->capture = value;
        }
        else if (strcmp(name, "--control") == 0) {
            o->control = value;
        }
        else if (strcmp(name, "--user") == 0) {
            o->user = value;
        }
        else if (strcmp(name, "--owner") == 0) {
            o->owner = value;
        }
        else if (strcmp(name, "--listen") == 0 && o->listens < PM_LISTEN_MAX) {
            o->listen[o->listens++] = value;
        }
        else {
            return 0;
        }
    }
    return o->capture != NULL && o->capture[0] == '/';
}

static int complain(const char *sentence)
{
    fprintf(stderr, "pmrecorder: %s\n", sentence);
    return 1;
}

/** 1: all are there. While it still is root: a port may be a privileged one. */
static int open_pages(pm_service *service, const options *o)
{
    apr_pool_t *pool;
    pm_error err;

    for (int i = 0; i < PM_LISTEN_MAX; i++) {
        service->pages[i] = -1;
    }
    if (apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 0;
    }
    for (int i = 0; i < o->listens; i++) {
        const char *problem = pm_listen_problem(o->listen[i], pool);

        service->pages[i] = problem == NULL ? pm_listen_make(o->listen[i], (gid_t)-1, pool) : -1;
        if (problem != NULL) {
            pm_fail(&err, APR_EINVAL, "--listen %.256s: %s", o->listen[i], problem);
        }
        else if (service->pages[i] < 0) {
            pm_fail_os(&err, errno, "--listen %s: nobody can be answered there", o->listen[i]);
        }
        if (service->pages[i] < 0) {
            complain(err.text);
            return 0;
        }
    }
    return 1;
}

static const char *control_path(const options *o, char out[512])
{
    const char *folder = getenv("RUNTIME_DIRECTORY");

    if (o->control != NULL || folder == NULL || folder[0] != '/') {
        return o->control != NULL ? o->control : PM_SERVICE_SOCKET;
    }
    snprintf(out, 512, "%.*s/control", (int)strcspn(folder, ":"), folder);
    return out;
}

/** Never as root: 1, or a sentence was said. */
static int leave_root(const options *o)
{
    const char *name = o->user != NULL ? o->user : PM_SERVICE_USER;
    const struct passwd *user = getpwnam(name);
    int error;

    if (geteuid() != 0) {
        return 1;
    }
    if (user == NULL || user->pw_uid == 0) {
        complain("started by root it works as another user: make " PM_SERVICE_USER
                 " (sysusers.d/pmcapture.conf), or name one with --user");
        return 0;
    }
    error = become(user->pw_name, user->pw_uid, user->pw_gid);
    if (error != 0) {
        fprintf(stderr, "pmrecorder: cannot work as %s: %s\n", name, strerror(error));
    }
    return error == 0;
}

static int serve(const options *o)
{
    char room[512];
    const char *path = control_path(o, room);
    const struct passwd *owner = o->owner != NULL ? getpwnam(o->owner) : NULL;
    uid_t uid = owner != NULL ? owner->pw_uid : geteuid();
    pm_service service = {.capture = o->capture};
    pm_error err = {""};
    int status;

    if (o->owner != NULL && owner == NULL) {
        return complain("--owner: there is no such user");
    }
    pm_descriptors_close(STDERR_FILENO + 1, ~0u);
    set_signals();
    if (!open_pages(&service, o)) {
        return 1;
    }
    service.control = pm_service_listen(path, &err);
    if (service.control < 0) {
        return complain(err.text);
    }
    if (!leave_root(o) || chdir("/") != 0) {
        return 1;
    }
    prctl(PR_SET_DUMPABLE, 0);
    pm_notify_begin();
    status = pm_supervise(-1, uid, &service);
    pm_notify_end();
    unlink(path); /* where it may */
    return status;
}

int main(int argc, char **argv)
{
    options o = {.listens = 0};

    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    if (argc == 4 && strcmp(argv[1], "--httpd") == 0) {
        return work_for_httpd(argv[2], argv[3]);
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("pmrecorder " PM_VERSION);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (read_options(&o, argc, argv)) {
        return serve(&o);
    }
    fputs(usage, stderr);
    return EXIT_USAGE;
}
