/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * command.c: what this process was started as: "apachectl graceful", "apache2 -k start", "apache2 -t".
 */
#include "module.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <unistd.h>

#define ARGUMENTS_MAX 4096

/** NUL-separated arguments of a process; returns their length. */
static size_t arguments_of(pid_t pid, char out[ARGUMENTS_MAX])
{
    char path[32];
    ssize_t n;
    int fd;

    apr_snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? 0 : read(fd, out, ARGUMENTS_MAX - 2);
    if (fd >= 0) {
        close(fd);
    }
    n = n > 0 ? n : 0;
    out[n] = out[n + 1] = '\0';
    return (size_t)n;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/** The word after -k, or "-kWORD"; "" when there is none. */
static const char *signal_word(const char *arguments, size_t length)
{
    for (const char *a = arguments; a < arguments + length; a += strlen(a) + 1) {
        if (strncmp(a, "-k", 2) == 0) {
            return a[2] != '\0' ? a + 2 : a + 3;
        }
    }
    return "";
}

/** "apachectl graceful" when such a script runs us, else "apache2 -k graceful". */
static void name_command(char out[PM_OWN_COMMAND], const char *own, const char *word)
{
    char arguments[ARGUMENTS_MAX];
    size_t length = arguments_of(getppid(), arguments);

    for (const char *a = arguments; a < arguments + length; a += strlen(a) + 1) {
        const char *name = base_name(a), *verb = a + strlen(a) + 1;

        if ((strcmp(name, "apachectl") == 0 || strcmp(name, "apache2ctl") == 0) &&
            verb < arguments + length) {
            apr_snprintf(out, PM_OWN_COMMAND, "%s %.40s", name, verb);
            return;
        }
    }
    if (ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_NORMAL) {
        apr_snprintf(out, PM_OWN_COMMAND, "%.40s -t", base_name(own));
        return;
    }
    apr_snprintf(out, PM_OWN_COMMAND, "%.40s%s%.16s", base_name(own), word[0] ? " -k " : "", word);
}

void pm_command_of_own(pm_own_command *own)
{
    char arguments[ARGUMENTS_MAX];
    size_t length = arguments_of(getpid(), arguments);
    const char *word = signal_word(arguments, length);

    apr_cpystrn(own->word, word, sizeof(own->word));
    name_command(own->name, arguments, word);
}
