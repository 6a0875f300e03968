/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * config_mask.c: what in a configuration is a secret, and how it is hidden.
 *
 * Errs on the side of hiding: a mask too many costs a reader a word, one too few costs a password.
 */
#include "config_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MASK "***"
#define USERINFO_MAX 1024 /* bytes looked at for the '@' of user:password@ */

void pm_config_put(pm_config_buffer *b, const char *bytes, size_t len)
{
    if (len >= b->room - b->used || b->bytes == NULL) {
        size_t room = (b->used + len + 64) * 2;
        char *more = b->failed ? NULL : realloc(b->bytes, room);

        if (more == NULL) {
            b->failed = 1;
            return;
        }
        b->bytes = more;
        b->room = room;
    }
    if (len > 0) {
        memcpy(b->bytes + b->used, bytes, len);
    }
    b->used += len;
    b->bytes[b->used] = '\0';
}

/* ---- names ---- */

static int blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int in_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static int begins(const char *s, size_t len, const char *word)
{
    size_t n = strlen(word);

    return len >= n && strncasecmp(s, word, n) == 0;
}

static int ends(const char *s, size_t len, const char *word)
{
    size_t n = strlen(word);

    return len >= n && strncasecmp(s + len - n, word, n) == 0;
}

static int has(const char *s, size_t len, const char *word)
{
    for (size_t i = 0; i < len; i++) {
        if (begins(s + i, len - i, word)) {
            return 1;
        }
    }
    return 0;
}

int pm_config_secret_name(const char *name, size_t len)
{
    static const char *const parts[] = {"pass", "secret",        "token", "key",
                                        "cred", "authorization", "hmac"};

    for (size_t n = 0; n < sizeof(parts) / sizeof(parts[0]); n++) {
        if (has(name, len, parts[n])) {
            return 1;
        }
    }
    if (has(name, len, "pwd")) { /* PWD and OLDPWD are a shell's working directories */
        return !(len == 3 || (len == 6 && begins(name, len, "oldpwd")));
    }
    return (ends(name, len, "pw") &&
            (len == 2 || !isalpha((unsigned char)name[len - 3]) || ends(name, len, "bindpw"))) ||
           (len == 6 && begins(name, len, "cookie"));
}

uint32_t pm_config_hidden_from(const char *directive)
{
    static const struct {
        const char *name;
        uint32_t from;
    } known[] = {
        {"AuthBasicFake", 1},
        {"SSLSRPUnknownUserSeed", 0},
        {"MDExternalAccountBinding", 0},
    };
    static const char *const parts[] = {"passw",      "passphrase", "secret",
                                        "credential", "apikey",     "bindpw"};
    static const char *const harmless[] = {"file", "path", "dialog", "program", "command"};
    size_t len = strlen(directive);

    for (size_t n = 0; n < sizeof(known) / sizeof(known[0]); n++) {
        if (strcasecmp(directive, known[n].name) == 0) {
            return known[n].from;
        }
    }
    for (size_t n = 0; n < sizeof(harmless) / sizeof(harmless[0]); n++) {
        if (ends(directive, len, harmless[n])) {
            return UINT32_MAX;
        }
    }
    for (size_t n = 0; n < sizeof(parts) / sizeof(parts[0]); n++) {
        if (has(directive, len, parts[n])) {
            return 0;
        }
    }
    return ends(directive, len, "token") ? 0 : UINT32_MAX;
}

/* ---- values ---- */

/** Known values, wherever they stand. Returns 1 when there was one. Where each is next is looked for once only:
 *  a line of a megabyte may be full of one and free of the other. */
static int mask_values(pm_config_buffer *out, const char *text, size_t len,
                       pm_config_secret *secrets, size_t count)
{
    const char *from = text, *end = text + len;

    for (size_t n = 0; n < count; n++) {
        secrets[n].next = memmem(text, len, secrets[n].value, secrets[n].len);
    }
    for (;;) {
        const pm_config_secret *first = NULL;

        for (size_t n = 0; n < count; n++) { /* longest first: it wins where two begin at once */
            pm_config_secret *s = &secrets[n];

            if (s->next != NULL && s->next < from) {
                s->next = memmem(from, (size_t)(end - from), s->value, s->len);
            }
            if (s->next != NULL && (first == NULL || s->next < first->next)) {
                first = s;
            }
        }
        if (first == NULL) {
            break;
        }
        pm_config_put(out, from, (size_t)(first->next - from));
        pm_config_put(out, MASK, 3);
        from = first->next + first->len;
    }
    if (from != text) {
        pm_config_put(out, from, (size_t)(end - from));
    }
    return from != text;
}

/* ---- words ---- */

/** The operator after a name, its blanks included: where the value begins; 0 = no operator. "%{HTTP:X-Key} -eq", too. */
static size_t operator_after(const char *w, size_t len, size_t i)
{
    int closed = 0;
    size_t from;

    while (i < len && (w[i] == '}' || w[i] == ')' || w[i] == '\'' || w[i] == '"')) {
        closed |= w[i] == '}' || w[i] == ')';
        i++;
    }
    from = i;
    while (i < len && blank(w[i])) {
        i++;
    }
    if (closed && i > from) {
        return i;
    }
    if (i + 2 < len && memcmp(w + i, "://", 3) == 0) {
        return 0;
    }
    from = i;
    while (i < len && (w[i] == '=' || w[i] == ':' || w[i] == '!' || w[i] == '~')) {
        i++;
    }
    if (i == from) {
        return 0;
    }
    while (i < len && blank(w[i])) {
        i++;
    }
    return i;
}

/** The end of a value that begins at `i`: of "pass=abc,host=x" just before ",host=". A value with blanks or commas of
 *  its own is hidden whole, unless it looks like that. */
static size_t value_end(const char *w, size_t end, size_t i)
{
    if (i < 2 || w[i - 1] != '=' || !in_name(w[i - 2])) {
        return end; /* a comparison, or "name: value" */
    }
    for (; i < end; i++) {
        size_t j = i + 1;

        if (!blank(w[i]) && strchr(",;&|", w[i]) == NULL) {
            continue;
        }
        while (j < end && in_name(w[j])) {
            j++;
        }
        if (j > i + 1 && j + 1 < end && w[j] == '=' && w[j + 1] != '=') {
            return i;
        }
    }
    return end;
}

/** user:password@ at `i`: where the password is. */
static int userinfo(const char *w, size_t len, size_t i, size_t *colon, size_t *at)
{
    size_t most = len - i > USERINFO_MAX ? i + USERINFO_MAX : len, j = i;
    int port = 1;

    *colon = *at = 0;
    for (; j < most && !blank(w[j]) && w[j] != '"' && w[j] != '>'; j++) {
        if (w[j] == ':' && *colon == 0) {
            *colon = j;
        }
        else if (w[j] == '@' && *colon != 0) {
            *at = j;
        }
        else if (w[j] == '/' && (*colon == 0 || port || *at != 0)) {
            break; /* the authority ends, unless this is part of a password */
        }
        else if (*colon != 0 && !isdigit((unsigned char)w[j])) {
            port = 0;
        }
    }
    return *at != 0;
}

/** A name within a word whose value follows. Returns where to go on; 0 = it is none. */
static size_t mask_named(pm_config_buffer *out, const char *w, size_t len, size_t end, size_t i,
                         size_t j, int *unfinished)
{
    size_t value = operator_after(w, end, j), stop;

    if (value != 0 && pm_config_secret_name(w + i, j - i)) {
        stop = value_end(w, end, value);
    }
    else if (((j - i == 5 && begins(w + i, j - i, "basic")) ||
              (j - i == 6 && begins(w + i, j - i, "bearer"))) &&
             j < end && blank(w[j])) {
        for (value = j; value < end && blank(w[value]); value++) {
        }
        stop = end;
    }
    else {
        return 0;
    }
    pm_config_put(out, w + i, value - i);
    if (stop > value) {
        pm_config_put(out, MASK, 3);
        /* name="a value": httpd's words end at the blank, the secret does not. */
        *unfinished |= (w[value] == '"' || w[value] == '\'') && stop == len &&
                       (stop == value + 1 || w[stop - 1] != w[value]);
    }
    return stop;
}

static int mask_word(pm_config_buffer *out, const char *w, size_t len, int *unfinished)
{
    size_t end = len > 1 && (w[0] == '"' || w[0] == '\'') && w[len - 1] == w[0] ? len - 1 : len;
    int masked = 0;

    for (size_t i = 0; i < len;) {
        size_t j = i, colon, at;

        while (j < end && in_name(w[j])) {
            j++;
        }
        if (j > i) {
            size_t on = mask_named(out, w, len, end, i, j, unfinished);

            masked |= on != 0;
            if (on == 0) {
                pm_config_put(out, w + i, j - i);
            }
            i = on != 0 ? on : j;
        }
        else if (len - i > 3 && memcmp(w + i, "://", 3) == 0 &&
                 userinfo(w, len, i + 3, &colon, &at)) {
            pm_config_put(out, w + i, colon + 1 - i);
            pm_config_put(out, MASK, 3);
            i = at;
            masked = 1;
        }
        else {
            pm_config_put(out, w + i++, 1);
        }
    }
    return masked;
}

/** Is the word a secret's name, so that what follows is the secret? */
static int names_secret(const char *directive, const char *w, size_t len)
{
    int dotted = begins(directive, strlen(directive), "php_");

    if (len > 1 && (w[0] == '"' || w[0] == '\'') && w[len - 1] == w[0]) {
        w++;
        len -= 2;
    }
    if (len > 3 && w[0] == '%' && w[1] == '{' && w[len - 1] == '}') {
        return pm_config_secret_name(w + 2, len - 3);
    }
    if (len > 1 && w[len - 1] == ':') {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (!in_name(w[i]) || (w[i] == '.' && !dotted)) {
            return 0;
        }
    }
    return len > 0 && pm_config_secret_name(w, len);
}

/** The end of the word that begins at `i`, as ap_getword_conf sees it. */
static size_t word_end(const char *s, size_t len, size_t i)
{
    char quote = s[i];

    if (quote != '"' && quote != '\'') {
        while (i < len && !blank(s[i])) {
            i++;
        }
        return i;
    }
    for (i++; i < len && s[i] != quote; i++) {
        i += s[i] == '\\' && i + 1 < len;
    }
    return i < len ? i + 1 : len;
}

/** Most directives hold nothing that needs a closer look. */
static int suspicious(const char *s, size_t len)
{
    static const char *const hints[] = {"pass", "pw",    "secret", "token", "key",           "cred",
                                        "cook", "basic", "bear",   "hmac",  "authorization", "://"};
    static const uint8_t first[256] = {
        ['p'] = 1, ['s'] = 1, ['t'] = 1, ['k'] = 1, ['c'] = 1, ['b'] = 1,
        ['h'] = 1, ['a'] = 1, ['P'] = 1, ['S'] = 1, ['T'] = 1, ['K'] = 1,
        ['C'] = 1, ['B'] = 1, ['H'] = 1, ['A'] = 1, [':'] = 1};

    for (size_t i = 0; i < len; i++) {
        if (!first[(unsigned char)s[i]]) {
            continue;
        }
        for (size_t n = 0; n < sizeof(hints) / sizeof(hints[0]); n++) {
            if ((s[i] | 0x20) == (hints[n][0] | 0x20) && begins(s + i, len - i, hints[n])) {
                return 1;
            }
        }
    }
    return 0;
}

/** One blank between words, none around them. (Within quotes more would be kept: the slow way does.) */
static int tidy(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (blank(s[i]) && (s[i] != ' ' || i == 0 || i + 1 == len || s[i + 1] == ' ')) {
            return 0;
        }
    }
    return 1;
}

int pm_config_mask(pm_config_buffer *out, pm_config_buffer *work, const char *directive,
                   uint32_t hidden_from, const char *args, pm_config_secret *secrets, size_t count)
{
    size_t len = strlen(args), i = 0;
    int masked, look, hide = 0;

    out->used = work->used = 0;
    pm_config_put(out, "", 0);
    masked = mask_values(work, args, len, secrets, count);
    if (masked) {
        args = work->bytes;
        len = work->used;
    }
    if (directive == NULL) {
        pm_config_put(out, args, len);
        return masked;
    }
    look = suspicious(args, len);
    if (!look && hidden_from == UINT32_MAX && tidy(args, len)) {
        pm_config_put(out, args, len);
        return masked;
    }
    for (uint32_t n = 0;; n++) {
        size_t end;

        while (i < len && blank(args[i])) {
            i++;
        }
        if (i == len) {
            return masked;
        }
        if (n > 0) {
            pm_config_put(out, " ", 1);
        }
        if (hide || n >= hidden_from) {
            pm_config_put(out, MASK, 3);
            return 1;
        }
        end = word_end(args, len, i);
        if (look) {
            masked |= mask_word(out, args + i, end - i, &hide);
            hide |= names_secret(directive, args + i, end - i);
        }
        else {
            pm_config_put(out, args + i, end - i);
        }
        i = end;
    }
}
