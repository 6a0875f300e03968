/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * caller.c: the person behind this process.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "pm_caller.h"

/** UINT32_MAX: nobody logged in, it is a service. */
static uint32_t login_uid(void)
{
    char text[16] = "";
    int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0) {
        close(fd);
    }
    return n > 0 ? (uint32_t)strtoul(text, NULL, 10) : UINT32_MAX;
}

void pm_caller_user(char out[PM_USER_SIZE])
{
    const char *sudo = getenv("SUDO_USER");
    uint32_t login = login_uid();
    uid_t uid = login != UINT32_MAX ? (uid_t)login : getuid();
    const struct passwd *pw;

    if (sudo != NULL && sudo[0] != '\0') {
        snprintf(out, PM_USER_SIZE, "%s", sudo);
        return;
    }
    pw = getpwuid(uid);
    if (pw != NULL) {
        snprintf(out, PM_USER_SIZE, "%s", pw->pw_name);
    }
    else {
        snprintf(out, PM_USER_SIZE, "%lu", (unsigned long)uid);
    }
}
