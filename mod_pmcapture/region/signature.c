/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * signature.c: from a line of the error log to what it has in common with others.
 */
#include <string.h>

#include "pm_route.h"
#include "variable.h"

#define WORD_MAX 512u /* a longer one is cut: the place of a word tells enough */
#define MESSAGE_MAX 1024u

static int ends_word(char c)
{
    return (unsigned char)c <= ' ' || strchr("\"'`()[]{}<>,;|", c) != NULL;
}

static int same_letters(const char *s, const char *name, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];

        if (c != name[i]) {
            return 0;
        }
    }
    return 1;
}

static int contains(const char *s, size_t n, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = 0; i + len <= n; i++) {
        if (same_letters(s + i, name, len)) {
            return 1;
        }
    }
    return 0;
}

/** Does a name say that its value is nobody's business? */
static int is_secret(const char *s, size_t n)
{
    static const char *const names[] = {"pass",       "pwd",       "secret", "token",  "apikey",
                                        "api_key",    "api-key",   "auth",   "cookie", "session",
                                        "credential", "signature", "bearer", "private"};

    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++) {
        if (contains(s, n, names[k])) {
            return 1;
        }
    }
    return 0;
}

/* ---- words ---- */

#define HIDE_REST 2

typedef struct reader {
    pm_folded out;
    enum pm_clients_mode clients;
    int hide; /* the next word is the value of a secret; HIDE_REST: all that follows */
} reader;

/** 192.0.2.7 becomes 192.0.2.0/24, 2001:db8:1:2::3 becomes 2001:db8:1::/48; or {ip}, or itself. */
static void put_address(reader *r, const char *s, size_t n)
{
    const char *end = NULL;
    int v4 = memchr(s, ':', n) == NULL, parts = 0;

    if (r->out.how == PM_FOLD_MASK && r->clients == PM_CLIENTS_FULL) {
        pm_folded_text(&r->out, s, n);
        return;
    }
    for (size_t i = 0; i < n && end == NULL; i++) {
        if (s[i] == (v4 ? '.' : ':') && ++parts == 3) {
            end = s + i;
        }
        else if (!v4 && s[i] == ':' && i + 1 < n && s[i + 1] == ':') {
            break; /* shorter than three groups: too little would be hidden */
        }
    }
    if (r->out.how != PM_FOLD_MASK || r->clients != PM_CLIENTS_MASKED || end == NULL) {
        pm_folded_put(&r->out, "{ip}", 4);
        return;
    }
    pm_folded_text(&r->out, s, (size_t)(end - s));
    pm_folded_put(&r->out, v4 ? ".0/24" : "::/48", 5);
}

/** A path of a file or URL, without its query. */
static void put_route(reader *r, const char *s, size_t n)
{
    char route[MESSAGE_MAX];
    size_t len = r->out.how == PM_FOLD_MASK ? pm_route_mask(route, sizeof(route), s, n, 0)
                                            : pm_route_fold(route, sizeof(route), s, n);

    pm_folded_put(&r->out, route, len);
}

static void put_plain(reader *r, const char *s, size_t n)
{
    const char *query = memchr(s, '?', n);
    size_t ip;

    if (query != NULL && query > s && query + 1 < s + n) {
        n = (size_t)(query - s);
    }
    ip = pm_variable_ip(s, n);
    if (ip > 0) {
        put_address(r, s, ip);
        s += ip;
        n -= ip;
    }
    if (n > 0 && s[0] == '/') {
        put_route(r, s, n);
    }
    else if (n > 0) {
        pm_folded_word(&r->out, s, n);
    }
}

/** http://user:secret@host:8080/path?query */
static void put_url(reader *r, const char *s, size_t n, const char *after)
{
    const char *end = s + n, *host = after, *slash = after;

    while (slash < end && *slash != '/' && *slash != '?' && *slash != '#') {
        host = *slash == '@' ? slash + 1 : host;
        slash++;
    }
    pm_folded_text(&r->out, s, (size_t)(after - s));
    put_plain(r, host, (size_t)(slash - host));
    if (slash < end && *slash == '/') {
        put_route(r, slash, (size_t)(end - slash));
    }
}

static const char *find(const char *s, size_t n, const char *what)
{
    size_t len = strlen(what);

    for (size_t i = 0; i + len <= n; i++) {
        if (memcmp(s + i, what, len) == 0) {
            return s + i;
        }
    }
    return NULL;
}

/** What a name says of its value: HIDE_REST when that may be many words. */
static int hides(const char *s, size_t n)
{
    return contains(s, n, "cookie") || contains(s, n, "authorization") ? HIDE_REST
                                                                       : is_secret(s, n);
}

/** The number in "AH00957: …", 0 = none. */
static unsigned number_of_httpd(const char *s)
{
    unsigned number = 0;

    if (s[0] != 'A' || s[1] != 'H') {
        return 0;
    }
    for (int i = 2; i < 7; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return 0;
        }
        number = number * 10 + (unsigned)(s[i] - '0');
    }
    return number;
}

static void put_word(reader *r, const char *s, size_t n)
{
    const char *scheme = find(s, n, "://"), *equals = memchr(s, '=', n);
    size_t name = equals != NULL ? (size_t)(equals - s) : 0;

    if (r->hide) {
        pm_folded_put(&r->out, "{secret}", 8);
        r->hide = 0;
    }
    else if (scheme != NULL && (equals == NULL || scheme < equals)) {
        put_url(r, s, n, scheme + 3);
    }
    else if (name > 0 && memchr(s, '/', name) == NULL) {
        pm_folded_word(&r->out, s, name);
        pm_folded_put(&r->out, "=", 1);
        r->hide = hides(s, name);
        if (name + 1 < n) {
            put_word(r, equals + 1, n - name - 1);
        }
    }
    else if (n >= 7 && number_of_httpd(s) != 0) {
        pm_folded_text(&r->out, s, n); /* what follows the number may be anything */
    }
    else { /* "password:", "Bearer" */
        r->hide =
            n > 1 && s[n - 1] == ':' ? hides(s, n - 1) : n == 6 && same_letters(s, "bearer", 6);
        put_plain(r, s, n);
    }
}

/** A mark or blank between words. The value of a secret may be many words in quotes. Returns where to go on. */
static size_t put_mark(reader *r, const char *s, size_t i, size_t len)
{
    char c = s[i] == '\t' ? ' ' : s[i];
    const char *end = r->hide && (c == '"' || c == '\'') && i + 1 < len
                          ? memchr(s + i + 1, c, len - i - 1)
                          : NULL;

    pm_folded_text(&r->out, &c, 1);
    if (end == NULL) {
        return i + 1;
    }
    pm_folded_put(&r->out, "{secret}", 8);
    pm_folded_text(&r->out, &c, 1);
    r->hide = 0;
    return (size_t)(end - s) + 1;
}

static size_t read_message(reader *r, char *dst, size_t size, const char *s, size_t len,
                           enum pm_fold_how how)
{
    size_t i = 0;

    pm_folded_begin(&r->out, dst, size, how);
    r->out.message = 1;
    len = s != NULL ? strnlen(s, len < MESSAGE_MAX ? len : MESSAGE_MAX) : 0;
    while (i < len && !r->out.full) {
        size_t from = i;

        if (ends_word(s[i])) {
            i = put_mark(r, s, i, len);
            continue;
        }
        if (r->hide == HIDE_REST) {
            pm_folded_put(&r->out, "{secret}", 8);
            break;
        }
        while (i < len && i < from + WORD_MAX && !ends_word(s[i])) {
            i++;
        }
        put_word(r, s + from, i - from);
        if (i + 1 < len && from > 0 && s[i] == s[from - 1] && (s[i] == '"' || s[i] == '\'') &&
            (s[i + 1] == ':' || s[i + 1] == '=')) { /* "password": "…" */
            r->hide = hides(s + from, i - from);
            pm_folded_text(&r->out, s + i, 2);
            i += 2;
        }
    }
    return pm_folded_end(&r->out);
}

size_t pm_signature_fold(char *dst, size_t size, const char *message, size_t len)
{
    reader r = {.clients = PM_CLIENTS_OFF};

    return read_message(&r, dst, size, message, len, PM_FOLD_ALL);
}

size_t pm_signature_mask(char *dst, size_t size, const char *message, size_t len,
                         enum pm_clients_mode clients)
{
    reader r = {.clients = clients};

    return read_message(&r, dst, size, message, len, PM_FOLD_MASK);
}

unsigned pm_signature_number(const char *format)
{
    unsigned number = format != NULL ? number_of_httpd(format) : 0;

    return number == 1215 || number == 1071 ? 0 : number;
}
