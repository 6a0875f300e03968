/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * error.c: a status and the sentence that goes with it.
 */
#include "pm_error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pm_text.h"

/* A sentence quotes foreign names (paths, values) and ends in logs and on terminals: one line,
 * inert. */
static void sentence(char *dst, size_t size, const char *format, va_list args)
{
    char raw[1024];

    vsnprintf(raw, sizeof(raw), format, args);
    pm_text_clean(dst, size, raw, sizeof(raw));
}

apr_status_t pm_fail(pm_error *err, apr_status_t rv, const char *format, ...)
{
    va_list args;

    if (err != NULL) {
        va_start(args, format);
        sentence(err->text, sizeof(err->text), format, args);
        va_end(args);
    }
    return rv;
}

apr_status_t pm_fail_os(pm_error *err, apr_status_t rv, const char *format, ...)
{
    char reason[128];
    va_list args;

    if (err != NULL) {
        apr_strerror(rv, reason, sizeof(reason));
        va_start(args, format);
        /* The reason matters most: a long sentence gives way to it. */
        sentence(err->text, sizeof(err->text) - strlen(": ") - strlen(reason), format, args);
        va_end(args);
        strcat(strcat(err->text, ": "), reason);
    }
    return rv;
}
