/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * route.c: from a request's URI to its route.
 */
#include "pm_route.h"

#include <string.h>

#include "variable.h"

#define SEGMENTS_MAX 12u
#define SEGMENT_MAX 256u /* decoded; a longer one is no name whatever it holds */
#define EXTENSION_MAX 6u

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/** The path of a URI, also of an absolute one. */
static const char *path_of(const char *uri, size_t *len)
{
    size_t end, at = 0;

    end = strnlen(uri, *len);
    for (const char *c = "?#"; *c != '\0'; c++) {
        const char *mark = memchr(uri, *c, end);

        end = mark != NULL ? (size_t)(mark - uri) : end;
    }
    *len = end;
    if (end > 0 && uri[0] == '/') {
        return uri;
    }
    while (at < end && at < 16 && uri[at] != '/' && uri[at] != ':') {
        at++;
    }
    if (at == 0 || at + 3 > end || memcmp(uri + at, "://", 3) != 0) {
        return uri;
    }
    for (at += 3; at < end && uri[at] != '/'; at++) {
    }
    *len = end - at;
    return uri + at;
}

/** Undo the percent-encoding of one segment, but of a slash: it would begin another. Returns its length,
 *  SEGMENT_MAX when it is too long. */
static size_t decode(char out[SEGMENT_MAX], const char *s, size_t n)
{
    size_t used = 0;

    for (size_t i = 0; i < n && s[i] != ';'; i++) {
        int high = s[i] == '%' && i + 2 < n ? hex_value(s[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s[i + 2]) : -1;
        char c = s[i];

        if (low >= 0 && high * 16 + low != '/') {
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (used == SEGMENT_MAX) {
            return used;
        }
        out[used++] = c;
    }
    return used;
}

/** Where a file's extension begins: a few letters, perhaps a digit behind them; n when there is none. */
static size_t extension_at(const char *s, size_t n)
{
    size_t at = n, letters = 0;

    while (at > 0 && s[at - 1] != '.' && n - at < EXTENSION_MAX) {
        at--;
    }
    if (at < 2 || at == n || s[at - 1] != '.') {
        return n;
    }
    for (size_t i = at; i < n; i++) {
        int letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');

        if (!letter && (s[i] < '0' || s[i] > '9' || i + 1 < n || letters == 0)) {
            return n;
        }
        letters += (size_t)letter;
    }
    return at - 1;
}

static void put_segment(pm_folded *out, const char *raw, size_t len, int last)
{
    char seg[SEGMENT_MAX];
    size_t n = len, stem;

    if (len > SEGMENT_MAX || memchr(raw, '%', len) != NULL || memchr(raw, ';', len) != NULL) {
        n = decode(seg, raw, len);
        raw = seg;
    }
    if (n >= SEGMENT_MAX) {
        pm_folded_put(out, "{token}", 7);
        return;
    }
    stem = last && memchr(raw, '.', n) != NULL && memchr(raw, '@', n) == NULL ? extension_at(raw, n)
                                                                              : n;
    pm_folded_word(out, raw, stem);
    pm_folded_text(out, raw + stem, n - stem);
}

/** Most segments are short names or plain numbers: no need to look at them twice. `all`: what all of its characters
 *  are. */
static void put_quickly(pm_folded *out, const char *raw, size_t len, uint8_t all, int last)
{
    if (len > 0 && len < 16 && all & PM_ALPHA) {
        pm_folded_put(out, raw, len);
    }
    else if (len > 0 && len < 16 && len != 8 && all & PM_DIGIT) {
        pm_folded_number(out, raw, len);
    }
    else {
        put_segment(out, raw, len, last);
    }
}

static void put_path(pm_folded *out, const char *path, size_t len)
{
    size_t i = 0, segments = 0;

    while (i < len && !out->full) {
        uint8_t all = 0xFF;
        size_t from;

        if (path[i] == '/') {
            pm_folded_put(out, "/", 1);
            while (i < len && path[i] == '/') {
                i++;
            }
        }
        for (from = i; i < len && path[i] != '/'; i++) {
            all &= pm_kind_of[(uint8_t)path[i]];
        }
        if (i > from && ++segments > SEGMENTS_MAX) {
            pm_folded_put(out, "\xE2\x80\xA6", 3);
            return;
        }
        put_quickly(out, path + from, i - from, all, i == len);
    }
}

size_t pm_route_fold(char *dst, size_t size, const char *uri, size_t len)
{
    const char *path = uri != NULL ? path_of(uri, &len) : "";
    pm_folded out;

    pm_folded_begin(&out, dst, size < PM_ROUTE_SIZE ? size : PM_ROUTE_SIZE, PM_FOLD_ALL);
    put_path(&out, path, uri != NULL ? len : 0);
    if (out.used == 0) {
        pm_folded_put(&out, "/", 1);
    }
    return pm_folded_end(&out);
}

size_t pm_route_mask(char *dst, size_t size, const char *uri, size_t len, int keep_query)
{
    size_t path_len = len;
    const char *path, *rest;
    pm_folded out;

    pm_folded_begin(&out, dst, size, PM_FOLD_MASK);
    if (uri != NULL) {
        path = path_of(uri, &path_len);
        put_path(&out, path, path_len);
        rest = path + path_len;
        len = strnlen(rest, len - (size_t)(rest - uri));
        if (keep_query && len > 0 && rest[0] == '?') {
            const char *hash = memchr(rest, '#', len);

            pm_folded_put(&out, "?", 1);
            pm_folded_text(&out, rest + 1, (hash != NULL ? (size_t)(hash - rest) : len) - 1);
        }
    }
    return pm_folded_end(&out);
}
