/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * keeper FILE COMMAND...: runs a command, passes on how it ended, and stays behind as the one to whom the kernel
 * gives what the command leaves: a daemon has left its parent, so nobody else learns how it ends. FILE gets a line
 * "PID STATUS" (as of wait(2)) for each. Ends when nothing is left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const int quiet[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE}; /* what ends the tests is to end it last */

static void set_quiet(void (*handler)(int))
{
    for (unsigned i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++) {
        signal(quiet[i], handler);
    }
}

static pid_t run(char **command)
{
    pid_t pid = fork();

    if (pid == 0) {
        set_quiet(SIG_DFL);
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    return pid;
}

static void keep(int ends, int answer, char **command)
{
    pid_t first, pid;
    int status;

    set_quiet(SIG_IGN);
    prctl(PR_SET_NAME, "keeper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    first = run(command);
    while ((pid = wait(&status)) > 0 || errno == EINTR) {
        if (pid > 0) {
            dprintf(ends, "%d %d\n", (int)pid, status);
        }
        if (pid == first && write(answer, &status, sizeof(status)) > 0) {
            close(answer);
        }
    }
}

int main(int argc, char **argv)
{
    int ends, answer[2], status;
    pid_t keeper;

    if (argc < 3 || (ends = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0 ||
        pipe2(answer, O_CLOEXEC) != 0 || (keeper = fork()) < 0) {
        perror("keeper");
        return 126;
    }
    if (keeper == 0) {
        keep(ends, answer[1], argv + 2);
        return 0;
    }
    close(answer[1]);
    if (read(answer[0], &status, sizeof(status)) != (ssize_t)sizeof(status)) {
        return 126;
    }
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    return WEXITSTATUS(status);
}
