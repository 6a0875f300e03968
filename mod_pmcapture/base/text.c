/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * text.c: foreign text made harmless, by the rules of the place where it goes.
 */
#include "pm_text.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_siphash.h>

#define ELLIPSIS "\xE2\x80\xA6"
#define ELLIPSIS_LEN 3

size_t pm_text_utf8(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    size_t n;

    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xC2 || s[0] > 0xF4) { /* continuation, overlong, beyond U+10FFFF */
        return 0;
    }
    n = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (s[0] == 0xE0) {
        low = 0xA0; /* overlong below */
    }
    else if (s[0] == 0xED) {
        high = 0x9F; /* surrogates above */
    }
    else if (s[0] == 0xF0) {
        low = 0x90; /* overlong below */
    }
    else if (s[0] == 0xF4) {
        high = 0x8F; /* beyond U+10FFFF above */
    }
    if (len < n || s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return n;
}

int pm_text_control(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;

    return n == 1 ? s[0] < 0x20 || s[0] == 0x7F : n == 2 && s[0] == 0xC2 && s[1] < 0xA0;
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* The next piece of src that must not be cut: as it is, or as %XX in `code`. Returns the bytes of
 * src that it stands for. */
static size_t next_piece(const char *src, size_t len, char code[8], const char **piece, size_t *n)
{
    size_t taken = pm_text_utf8(src, len);

    if (taken == 0) { /* one byte at a time: what follows it may be fine */
        *n = (size_t)snprintf(code, 8, "%%%02X", (unsigned char)src[0]);
        *piece = code;
        return 1;
    }
    if (pm_text_control(src, taken)) {
        *n = 0;
        for (size_t i = 0; i < taken; i++) {
            *n += (size_t)snprintf(code + *n, 8 - *n, "%%%02X", (unsigned char)src[i]);
        }
        *piece = code;
        return taken;
    }
    if (src[0] == '%' && len >= 3 && is_hex(src[1]) && is_hex(src[2])) {
        taken = 3;
    }
    *piece = src;
    *n = taken;
    return taken;
}

/* Most text is harmless: how much of it is, from here on, with room for an ellipsis behind it. */
static size_t plain_run(const char *src, size_t len, size_t room)
{
    size_t n = 0, most = room > ELLIPSIS_LEN ? room - ELLIPSIS_LEN - 1 : 0;

    most = len < most ? len : most;
    while (n < most && src[n] >= ' ' && src[n] < 0x7F && src[n] != '%') {
        n++;
    }
    return n;
}

size_t pm_text_clean(char *dst, size_t size, const char *src, size_t len)
{
    size_t used = 0, mark = 0; /* mark: the last border with room for an ellipsis after it */
    const char *piece;
    char code[8];
    size_t n;

    if (size == 0) {
        return 0;
    }
    len = src == NULL ? 0 : strnlen(src, len);
    while (len > 0) {
        size_t taken = plain_run(src, len, size - used);

        if (taken > 0) {
            piece = src;
            n = taken;
        }
        else {
            taken = next_piece(src, len, code, &piece, &n);
        }
        if (used + n >= size) {
            if (size > ELLIPSIS_LEN) {
                memcpy(dst + mark, ELLIPSIS, ELLIPSIS_LEN);
                used = mark + ELLIPSIS_LEN;
            }
            break;
        }
        memcpy(dst + used, piece, n);
        used += n;
        if (used + ELLIPSIS_LEN < size) {
            mark = used;
        }
        src += taken;
        len -= taken;
    }
    dst[used] = '\0';
    return used;
}

size_t pm_text_uri(char *dst, size_t size, const char *src, size_t len, int keep_query)
{
    size_t end = 0;

    if (src != NULL) {
        while (end < len && src[end] != '\0' && src[end] != '#' &&
               (keep_query || src[end] != '?')) {
            end++;
        }
    }
    return pm_text_clean(dst, size, src, end);
}

static char *put_number(char *to, unsigned byte)
{
    if (byte >= 100) {
        *to++ = (char)('0' + byte / 100);
    }
    if (byte >= 10) {
        *to++ = (char)('0' + byte / 10 % 10);
    }
    *to++ = (char)('0' + byte % 10);
    return to;
}

/* As inet_ntop, which formats with sprintf: a failing request pays for that. */
static void present_v4(char *to, const uint8_t addr[4], int masked)
{
    for (int i = 0; i < 3; i++) {
        to = put_number(to, addr[i]);
        *to++ = '.';
    }
    if (masked) {
        memcpy(to, "0/24", sizeof("0/24"));
    }
    else {
        *put_number(to, addr[3]) = '\0';
    }
}

/* An address of IPv6 in presentation form. */
static void present_v6(char out[64], const uint8_t addr[16], int masked)
{
    uint8_t kept[16] = {0};

    memcpy(kept, addr, masked ? 6 : 16);
    if (inet_ntop(AF_INET6, kept, out, 64) == NULL) {
        out[0] = '\0';
    }
    else if (masked) {
        strcat(out, "/48");
    }
}

size_t pm_text_client(char *dst, size_t size, const void *addr, size_t addr_len,
                      enum pm_clients_mode mode, const uint8_t key[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t *bytes = addr;
    char text[64] = "";
    size_t len;

    if (size == 0) {
        return 0;
    }
    if (addr_len == 16 && memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        bytes += sizeof(mapped);
        addr_len = 4;
    }
    if (addr_len == 4 || addr_len == 16) {
        if (mode == PM_CLIENTS_FULL || mode == PM_CLIENTS_MASKED) {
            (addr_len == 4 ? present_v4 : present_v6)(text, bytes, mode == PM_CLIENTS_MASKED);
        }
        else if (mode == PM_CLIENTS_HASHED) {
            snprintf(text, sizeof(text), "#%016" PRIx64, apr_siphash24(bytes, addr_len, key));
        }
    }
    len = strlen(text);
    if (len >= size) { /* part of an address would be another address */
        len = 0;
    }
    memcpy(dst, text, len);
    dst[len] = '\0';
    return len;
}

int pm_text_append(char *dst, size_t size, size_t *used, const char *format, ...)
{
    va_list args;
    int n;

    if (*used >= size) {
        return 0;
    }
    va_start(args, format);
    n = vsnprintf(dst + *used, size - *used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= size - *used) {
        dst[*used] = '\0';
        return 0;
    }
    *used += (size_t)n;
    return 1;
}

/* As pm_text_append, of `n` bytes. */
static int append_bytes(char *dst, size_t size, size_t *used, const char *s, size_t n)
{
    if (*used >= size || n >= size - *used) {
        return 0;
    }
    memcpy(dst + *used, s, n);
    *used += n;
    dst[*used] = '\0';
    return 1;
}

/* Text with some characters replaced; NULL from `escape` keeps one as it is. All of it or nothing.
 */
static int append_escaped(char *dst, size_t size, size_t *used, const char *text,
                          const char *(*escape)(char))
{
    size_t start = *used;

    for (; *text != '\0'; text++) {
        const char *instead = escape(*text);
        int ok = instead != NULL ? append_bytes(dst, size, used, instead, strlen(instead))
                                 : append_bytes(dst, size, used, text, 1);

        if (!ok) {
            *used = start;
            if (start < size) {
                dst[start] = '\0';
            }
            return 0;
        }
    }
    return 1;
}

static const char *csv_escape(char c)
{
    return c == '"' ? "\"\"" : NULL;
}

int pm_text_csv(char *dst, size_t size, size_t *used, const char *field)
{
    int formula = field[0] != '\0' && strchr("=+-@\t\r\n", field[0]) != NULL;
    const char *quote = strpbrk(field, ",\"\r\n") != NULL ? "\"" : "";
    size_t start = *used;

    if (pm_text_append(dst, size, used, "%s%s", quote, formula ? "'" : "") &&
        append_escaped(dst, size, used, field, csv_escape) &&
        pm_text_append(dst, size, used, "%s", quote)) {
        return 1;
    }
    *used = start;
    if (start < size) {
        dst[start] = '\0';
    }
    return 0;
}

static const char *html_escape(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

int pm_text_html(char *dst, size_t size, size_t *used, const char *text)
{
    return append_escaped(dst, size, used, text, html_escape);
}

static const char *label_escape(char c)
{
    switch (c) {
    case '\\':
        return "\\\\";
    case '"':
        return "\\\"";
    case '\n':
        return "\\n";
    default:
        return NULL;
    }
}

int pm_text_label(char *dst, size_t size, size_t *used, const char *text)
{
    return append_escaped(dst, size, used, text, label_escape);
}
