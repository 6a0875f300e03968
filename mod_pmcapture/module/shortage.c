/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * shortage.c: what the machine had no more of when httpd could not start: semaphores, file descriptors.
 *
 * "No space left on device" is no full disk where a semaphore was wanted, and "Too many open files" does not say how many
 * are allowed. It is counted when the error is logged: what the process holds is gone a moment later.
 */
#include "module.h"

#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <http_main.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define OWNERS 4
#define TEXT_MAX 16384

static struct {
    unsigned limit_sets, limit_all;     /* of semaphores; 0 = none were wanted */
    unsigned sets, all;                 /* in use */
    unsigned owner[OWNERS], of[OWNERS]; /* sets of each; the last is for all others */
    unsigned owners;
    unsigned descriptors,
        needed; /* the limit, and what would have been enough at least; 0 = not reached */
} lacked;

/* ---- semaphores ---- */

static size_t read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t n = 0;

    while (fd >= 0 && used < size - 1 && (n = read(fd, out + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    if (fd >= 0) {
        close(fd);
    }
    out[used] = '\0';
    return used;
}

/** The next number of a line; 0 at its end. strtoul would go by the locale. */
static unsigned next_number(const char **at)
{
    unsigned n = 0;

    *at += strspn(*at, " \t");
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        n = n * 10 + (unsigned)(**at - '0');
    }
    *at += strcspn(*at, " \t\n");
    return n;
}

static void count_owner(unsigned uid)
{
    unsigned i = 0;

    while (i < lacked.owners && lacked.owner[i] != uid) {
        i++;
    }
    if (i < OWNERS) {
        lacked.owner[i] = uid;
        lacked.of[i]++;
        lacked.owners += i == lacked.owners;
    }
}

/** "key semid perms nsems uid gid …", a line each. */
static void count_semaphores(void)
{
    static char text[TEXT_MAX];
    const char *line;

    read_file("/proc/sys/kernel/sem", text, sizeof(text));
    line = text;
    next_number(&line); /* in a set */
    lacked.limit_all = next_number(&line);
    next_number(&line); /* operations */
    lacked.limit_sets = next_number(&line);
    lacked.sets = lacked.all = lacked.owners = 0;
    memset(lacked.of, 0, sizeof(lacked.of));
    read_file("/proc/sysvipc/sem", text, sizeof(text));
    for (line = strchr(text, '\n'); line != NULL && line[1] != '\0'; line = strchr(line, '\n')) {
        line++;
        next_number(&line); /* the key, maybe negative */
        next_number(&line);
        next_number(&line);
        lacked.all += next_number(&line);
        count_owner(next_number(&line));
        lacked.sets++;
    }
    if (lacked.sets < lacked.limit_sets && lacked.all < lacked.limit_all) {
        lacked.limit_sets = lacked.limit_all =
            0; /* then it was the disk, or they are back by now */
    }
}

/* ---- descriptors ---- */

static unsigned count_open(void)
{
    unsigned n = 0, most = lacked.descriptors;

    for (unsigned fd = 0; fd < most; fd++) {
        n += fcntl((int)fd, F_GETFD) >= 0;
    }
    return n;
}

/** Such logs share one connection. */
static int is_syslog(const char *name)
{
    return strncasecmp(name, "syslog", 6) == 0 && (name[6] == '\0' || name[6] == ':');
}

/** Error logs that are not open yet: those virtual hosts have the main server's first one, as the last of them has. A name
 *  that stood before is one log with it. */
static unsigned count_logs(void)
{
    const server_rec *last = ap_server_conf;
    unsigned n = 0;

    while (last != NULL && last->next != NULL) {
        last = last->next;
    }
    for (const server_rec *s = ap_server_conf; s != NULL; s = s->next) {
        const server_rec *before = ap_server_conf;

        if (s == ap_server_conf || s->error_fname == NULL || is_syslog(s->error_fname) ||
            s->error_log != last->error_log) {
            continue;
        }
        while (before != s &&
               (before->error_fname == NULL || strcmp(before->error_fname, s->error_fname) != 0)) {
            before = before->next;
        }
        n += before == s;
    }
    return n;
}

static void count_descriptors(void)
{
    struct rlimit limit;

    if (lacked.descriptors != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur > 1u << 20) {
        return;
    }
    lacked.descriptors = (unsigned)limit.rlim_cur;
    lacked.needed = count_open() + count_logs();
    if (lacked.needed <= lacked.descriptors) {
        lacked.needed = lacked.descriptors + 1;
    }
}

/* ---- */

void pm_shortage_heard(apr_status_t status, const char *message)
{
    if (status == ENOSPC && (strstr(message, "mutex") != NULL || strstr(message, "lock") != NULL)) {
        count_semaphores();
    }
    else if (status == EMFILE) {
        count_descriptors();
    }
}

void pm_shortage_forget(void)
{
    memset(&lacked, 0, sizeof(lacked));
}

static const char *owners_words(apr_pool_t *p)
{
    const char *words = "";

    for (unsigned i = 0; i < lacked.owners; i++) {
        const struct passwd *pw = getpwuid(lacked.owner[i]);

        words = apr_psprintf(p, "%s, %u by %s", words, lacked.of[i],
                             pw != NULL ? pw->pw_name : apr_psprintf(p, "uid %u", lacked.owner[i]));
    }
    return words;
}

const char *pm_shortage_words(apr_pool_t *p)
{
    if (lacked.limit_sets != 0 && lacked.sets >= lacked.limit_sets) {
        return apr_psprintf(p, "%u of %u semaphore sets in use%s: ", lacked.sets, lacked.limit_sets,
                            owners_words(p));
    }
    if (lacked.limit_all != 0 && lacked.all >= lacked.limit_all) {
        return apr_psprintf(p, "%u of %u semaphores in use, in %u sets%s: ", lacked.all,
                            lacked.limit_all, lacked.sets, owners_words(p));
    }
    if (lacked.needed != 0) {
        return apr_psprintf(p,
                            "limit of open files %u, at least %u are needed: ", lacked.descriptors,
                            lacked.needed);
    }
    return "";
}
