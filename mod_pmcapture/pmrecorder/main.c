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
#define OWN_USER "pmcapture"

static const char usage[] =
    "Usage: pmrecorder --httpd UID GID\n"
    "Record what a httpd with mod_pmcapture counts. httpd starts it; nobody does so by hand.\n\n"
    "  --httpd UID GID   work for the httpd at the other end of descriptor 3, as the user " OWN_USER
    "\n"
    "                    where there is one, else as UID and GID, if started by root\n"
    "  --version         name the release\n"
    "  --help            this\n\n"
    "Exit: 0 the server has ended, 1 it cannot work, 2 usage.\n"
    "See mod_pmcapture(8).\n";

/** Ids as httpd has them. */
static int parse_id(const char *text, unsigned long least, unsigned long *out)
{
    char *end;

    errno = 0;
    *out = strtoul(text, &end, 10);
    return end != text && *end == '\0' && errno == 0 && *out >= least && *out < UINT32_MAX;
}

/** 0, or the errno. */
static int become(uid_t uid, gid_t gid)
{
    const struct passwd *own = getpwnam(OWN_USER);
    const struct passwd *user = own != NULL && own->pw_uid != 0 ? own : getpwuid(uid);

    if (geteuid() != 0) {
        return 0;
    }
    if (user != NULL && user->pw_uid != uid) {
        uid = user->pw_uid;
        gid = user->pw_gid;
    }
    if ((user != NULL ? initgroups(user->pw_name, gid) : setgroups(0, NULL)) != 0 ||
        setgid(gid) != 0 || setuid(uid) != 0) {
        return errno;
    }
    return setuid(0) == 0 ? EPERM : 0;
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
    error = become((uid_t)uid, (gid_t)gid);
    if (error != 0) {
        fprintf(stderr, "pmrecorder: cannot work as another user than root: %s\n", strerror(error));
        return 1;
    }
    prctl(PR_SET_DUMPABLE, 0); /* its memory holds what its user is not to read */
    if (chdir("/") != 0) {
        return 1;
    }
    return pm_supervise(HTTPD_FD, owner);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--httpd") == 0) {
        if (apr_initialize() != APR_SUCCESS) {
            return 1;
        }
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
    fputs(usage, stderr);
    return EXIT_USAGE;
}
