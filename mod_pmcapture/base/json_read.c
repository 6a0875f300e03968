/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * json_read.c: JSON that came from a file or from memory that others write to: a check, and values found in it.
 *
 * There is no document in memory: a value is the piece of the text that it is.
 */
#include <stdlib.h>
#include <string.h>

#include "pm_json.h"
#include "pm_text.h"

#define VALID_DEPTH 16
#define NUMBER_MAX 40 /* bytes */

/* ---- the check: each function takes what it names at *s, and moves past it ---- */

typedef struct text {
    const char *s;
    const char *end;
} text;

static int peek(const text *t)
{
    return t->s < t->end ? (unsigned char)*t->s : -1;
}

static int take(text *t, char c)
{
    if (peek(t) != (unsigned char)c) {
        return 0;
    }
    t->s++;
    return 1;
}

static void take_space(text *t)
{
    while (take(t, ' ') || take(t, '\t') || take(t, '\n') || take(t, '\r')) {
    }
}

static int take_word(text *t, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(t->end - t->s) < n || memcmp(t->s, word, n) != 0) {
        return 0;
    }
    t->s += n;
    return 1;
}

/* How many digits there were. */
static size_t take_digits(text *t)
{
    const char *start = t->s;

    while (peek(t) >= '0' && peek(t) <= '9') {
        t->s++;
    }
    return (size_t)(t->s - start);
}

static int take_number(text *t)
{
    const char *start = t->s;

    take(t, '-');
    if (!take(t, '0') && take_digits(t) == 0) {
        return 0;
    }
    if (take(t, '.') && take_digits(t) == 0) {
        return 0;
    }
    if (take(t, 'e') || take(t, 'E')) {
        size_t digits;

        if (!take(t, '+')) {
            take(t, '-');
        }
        digits = take_digits(t);
        if (digits == 0 || digits > 2) {
            return 0;
        }
    }
    return t->s - start <= NUMBER_MAX;
}

/* Four hexadecimal digits, or -1. */
static int take_hex4(text *t)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    int value = 0;

    for (int i = 0; i < 4; i++, t->s++) {
        int c = peek(t);
        const char *at = c > 0 ? strchr(digits, c) : NULL;

        if (at == NULL) {
            return -1;
        }
        value = value * 16 + (int)((at - digits) % 16);
    }
    return value;
}

/* What follows a backslash. Half a surrogate pair is no character: readers fail on it later. */
static int take_escape(text *t)
{
    int c = peek(t);
    int unit;

    if (c <= 0 || strchr("\"\\/bfnrtu", c) == NULL) {
        return 0;
    }
    t->s++;
    if (c != 'u') {
        return 1;
    }
    unit = take_hex4(t);
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        if (!take_word(t, "\\u")) {
            return 0;
        }
        unit = take_hex4(t);
        return unit >= 0xDC00 && unit <= 0xDFFF;
    }
    return unit >= 0 && !(unit >= 0xDC00 && unit <= 0xDFFF);
}

static int take_string(text *t)
{
    if (!take(t, '"')) {
        return 0;
    }
    while (!take(t, '"')) {
        if (take(t, '\\')) {
            if (!take_escape(t)) {
                return 0;
            }
        }
        else {
            size_t n = pm_text_utf8(t->s, (size_t)(t->end - t->s));

            if (n == 0 || (unsigned char)*t->s < 0x20) {
                return 0;
            }
            t->s += n;
        }
    }
    return 1;
}

static int take_value(text *t, int depth);

static int take_container(text *t, char close, int is_object, int depth)
{
    t->s++; /* its bracket */
    take_space(t);
    if (depth > VALID_DEPTH) {
        return 0;
    }
    if (take(t, close)) {
        return 1;
    }
    do {
        take_space(t);
        if (is_object) {
            if (!take_string(t)) {
                return 0;
            }
            take_space(t);
            if (!take(t, ':')) {
                return 0;
            }
        }
        if (!take_value(t, depth)) {
            return 0;
        }
    } while (take(t, ','));
    return take(t, close);
}

/* A value and the white space around it, inside `depth` containers. */
static int take_value(text *t, int depth)
{
    int ok;

    take_space(t);
    switch (peek(t)) {
    case '{':
        ok = take_container(t, '}', 1, depth + 1);
        break;
    case '[':
        ok = take_container(t, ']', 0, depth + 1);
        break;
    case '"':
        ok = take_string(t);
        break;
    case 't':
        ok = take_word(t, "true");
        break;
    case 'f':
        ok = take_word(t, "false");
        break;
    case 'n':
        ok = take_word(t, "null");
        break;
    default:
        ok = take_number(t);
    }
    take_space(t);
    return ok;
}

int pm_json_valid(const char *s, size_t len)
{
    text t = {s, s != NULL ? s + len : s};

    return s != NULL && take_value(&t, 0) && t.s == t.end;
}

/* ---- values ---- */

int pm_json_next(pm_json_value container, pm_json_value *key, pm_json_value *item)
{
    text t;
    int is_object;

    if (container.text == NULL) {
        return 0;
    }
    t = (text){container.text, container.text + container.len};
    is_object = peek(&t) == '{';
    if (!is_object && peek(&t) != '[') {
        return 0;
    }
    t.s = item->text == NULL ? t.s + 1 : item->text + item->len;
    take_space(&t);
    if (item->text != NULL && !take(&t, ',')) {
        return 0;
    }
    take_space(&t);
    if (is_object) {
        key->text = t.s;
        if (!take_string(&t)) {
            return 0;
        }
        key->len = (size_t)(t.s - key->text);
        take_space(&t);
        if (!take(&t, ':')) {
            return 0;
        }
        take_space(&t);
    }
    item->text = t.s;
    if (!take_value(&t, 1)) {
        return 0;
    }
    item->len = (size_t)(t.s - item->text);
    while (item->len > 0 && strchr(" \t\r\n", item->text[item->len - 1]) != NULL) {
        item->len--;
    }
    return 1;
}

pm_json_value pm_json_find(pm_json_value object, const char *name)
{
    pm_json_value key = {NULL, 0}, item = {NULL, 0};

    while (pm_json_next(object, &key, &item)) {
        if (object.text[0] == '{' && key.len == strlen(name) + 2 &&
            memcmp(key.text + 1, name, key.len - 2) == 0) {
            return item;
        }
    }
    return (pm_json_value){NULL, 0};
}

int pm_json_is(pm_json_value value, const char *word)
{
    return value.text != NULL && value.len == strlen(word) &&
           memcmp(value.text, word, value.len) == 0;
}

int pm_json_same(pm_json_value a, pm_json_value b)
{
    return a.text != NULL && b.text != NULL && a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

int pm_json_to_count(pm_json_value value, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned char)value.text[i] - '0';

        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        n = n * 10 + digit;
    }
    *out = n;
    return value.len > 0;
}

/** The character behind a backslash, as UTF-8 into out; what is more than a byte, but for pairs, which nobody needs. */
static size_t unescape(text *t, char out[4])
{
    static const char letters[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    const char *at = strchr(letters, *t->s);
    int unit;

    if (*t->s != 'u') {
        out[0] = at != NULL ? bytes[at - letters] : *t->s;
        t->s++;
        return 1;
    }
    t->s++;
    unit = take_hex4(t);
    if (unit < 0x80) {
        out[0] = (char)unit;
        return unit > 0;
    }
    if (unit < 0x800) {
        out[0] = (char)(0xC0 | unit >> 6);
        out[1] = (char)(0x80 | (unit & 0x3F));
        return 2;
    }
    out[0] = (char)(0xE0 | unit >> 12);
    out[1] = (char)(0x80 | (unit >> 6 & 0x3F));
    out[2] = (char)(0x80 | (unit & 0x3F));
    return unit < 0xD800 || unit > 0xDFFF ? 3 : 0;
}

int pm_json_to_text(pm_json_value value, char *out, size_t size)
{
    size_t used = 0;
    text t;

    if (value.text == NULL) {
        return 0;
    }
    t = (text){value.text, value.text + value.len};
    if (!take_string(&t) || t.s != t.end) {
        return 0;
    }
    for (t.s = value.text + 1; t.s + 1 < t.end;) {
        char piece[4];
        size_t n = pm_text_utf8(t.s, (size_t)(t.end - t.s));

        if (take(&t, '\\')) {
            n = unescape(&t, piece);
        }
        else {
            memcpy(piece, t.s, n);
            t.s += n;
        }
        if (used + n >= size) {
            break;
        }
        memcpy(out + used, piece, n);
        used += n;
    }
    out[used] = '\0';
    return 1;
}
