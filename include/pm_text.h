/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pm_text.h: foreign text made harmless. All functions are pure and thread-safe.
 *
 * Whatever comes from a request, a configuration or a file passes here once, when it is recorded
 * (UTF-8, no control characters) and again where it is shown, by the rules of that format.
 */
#ifndef PM_TEXT_H
#define PM_TEXT_H

#include <stddef.h>
#include <stdint.h>

/** Length of the UTF-8 sequence (RFC 3629: no surrogates, no overlong forms) that s[len] begins
 * with, 1..4; 0 when there is none. */
size_t pm_text_utf8(const char *s, size_t len);

/** 1 if the valid sequence of `n` bytes is a control character: C0, DEL, or C1 (U+0080..009F). */
int pm_text_control(const char *s, size_t n);

/** Copy at most `len` bytes of `src` (stops at NUL) into dst[size], always terminated. Valid UTF-8
 * is kept; other bytes, C0 and C1 controls and DEL become %XX. Never cuts a sequence or a %XX (its
 * own or the text's) in two; text that does not fit ends with "…" where size has room for one. NULL
 * is "". Returns strlen(dst). */
size_t pm_text_clean(char *dst, size_t size, const char *src, size_t len);

/** As pm_text_clean, of a URI: stops at '?' unless keep_query; '#' always ends it. */
size_t pm_text_uri(char *dst, size_t size, const char *src, size_t len, int keep_query);

enum pm_clients_mode { PM_CLIENTS_FULL, PM_CLIENTS_MASKED, PM_CLIENTS_HASHED, PM_CLIENTS_OFF };

/** A client address as it may be kept: full "192.0.2.7", masked "192.0.2.0/24" or "2001:db8:1::/48"
 *  (an IPv4-mapped IPv6 address counts as IPv4), hashed "#" + 16 hex digits of SipHash-2-4 under
 * key[16] (apr_siphash24), off "". `addr` is the 4 or 16 bytes in network order; other lengths, or
 * a size too small for the whole, give "". Returns strlen(dst). */
size_t pm_text_client(char *dst, size_t size, const void *addr, size_t addr_len,
                      enum pm_clients_mode mode, const uint8_t key[16]);

/** Bounded string building: append to dst[size] at *used; what does not fit is dropped whole, and
 * the function returns 0 then. dst stays terminated. */
int pm_text_append(char *dst, size_t size, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The next three are all or nothing too. */

/** Append one CSV field (RFC 4180, quoted when needed); a field that a spreadsheet would take for a
 *  formula (first byte = + - @ TAB CR LF) is given a leading apostrophe. */
int pm_text_csv(char *dst, size_t size, size_t *used, const char *field);

/** Append HTML text or attribute content: & < > " ' escaped. */
int pm_text_html(char *dst, size_t size, size_t *used, const char *text);

/** Append a Prometheus label value: backslash, double quote and newline escaped. */
int pm_text_label(char *dst, size_t size, size_t *used, const char *text);

#endif
