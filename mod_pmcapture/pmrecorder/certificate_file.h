/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * certificate_file.h: the certificate in a file, which may hold its key, too: that is passed over and kept nowhere.
 */
#ifndef PM_CERTIFICATE_FILE_H
#define PM_CERTIFICATE_FILE_H

#include <stddef.h>

#include "pm_certificate.h"

/** The first certificate in a file, of its first MiB; 0: there is none, or it cannot be read. Never waits for a FIFO, and
 *  two seconds at most: a file system that does not answer keeps a thread of its own, and until it does no other file is
 *  read. Of one thread. */
int pm_certificate_ask(const char *path, const char *name, pm_certificate *out);

/* prober_tls.c */
/** One as PEM has it; 0: it is none. */
int pm_certificate_parse(const char *pem, size_t len, const char *name, pm_certificate *out);

#endif
