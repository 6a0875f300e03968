/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_accept.h: an Accept header's answer to the one question that we have: OpenMetrics, or the text format?
 */
#ifndef PM_ACCEPT_H
#define PM_ACCEPT_H

/** 1 when a client with this Accept header (NULL = none) prefers OpenMetrics 1.0 to the text format 0.0.4: weighed as
 *  RFC 9110, 12.5.1 has it, the most specific range of each. At the same weight only one that names OpenMetrics does. */
int pm_accept_openmetrics(const char *accept);

#endif
