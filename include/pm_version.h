/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* pm_version.h: the release. */
#ifndef PM_VERSION_H
#define PM_VERSION_H

#define PM_VERSION "1.0.0"

#endif
