/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_route.h: what requests, and lines of the error log, have in common: their text without its variable parts.
 *
 * Variable parts become {id} (numbers), {uuid}, {hash} (hexadecimal), {email}, {date}, {ip} and {token} (what looks
 * random, or is too long to be a name). All functions are pure, thread-safe and async-signal-safe; their output is
 * bounded, clean UTF-8 without control characters, and what does not fit ends with "…". A brace in a URI comes
 * out as %7B or %7D, so a route's placeholders are always ours.
 */
#ifndef PM_ROUTE_H
#define PM_ROUTE_H

#include <stddef.h>

#include "pm_text.h"

#define PM_ROUTE_SIZE 128 /* room that a route wants */

/** The route of a request's URI as it came: the path with its variable parts folded. Without scheme, authority,
 *  query, fragment and path parameters (";jsessionid="); percent-encoding is made uniform, repeated slashes become one, the
 *  extension of a file stays. Never longer than PM_ROUTE_SIZE - 1. Returns strlen(dst). */
size_t pm_route_fold(char *dst, size_t size, const char *uri, size_t len);

/** As a URI may be kept: the route's e-mail addresses, hashes and tokens are folded, numbers stay. With
 *  keep_query the query follows as it came. */
size_t pm_route_mask(char *dst, size_t size, const char *uri, size_t len, int keep_query);

/** What lines of the error log that say the same have in common. Returns strlen(dst). */
size_t pm_signature_fold(char *dst, size_t size, const char *message, size_t len);

/** One such line as it may be kept: addresses as PMCaptureClients says (masked, or not at all), no query
 *  string, no password; what looks like a token or an e-mail address folded. */
size_t pm_signature_mask(char *dst, size_t size, const char *message, size_t len,
                         enum pm_clients_mode clients);

/** The number in "AH00957: …", 0 when a format begins otherwise or is one that others' words go through (AH01215,
 *  AH01071: what a CGI or FastCGI program writes), which must be told apart by those words. */
unsigned pm_signature_number(const char *format);

#endif
