/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * variable.c: which words are names, and which stand for one of many.
 */
#include "variable.h"

#include <string.h>

#include "pm_text.h"

#define ELLIPSIS "\xE2\x80\xA6"
#define ELLIPSIS_LEN 3
#define NAME_MAX_LEN 64 /* no name is longer */

static const char id[] = "{id}", uuid[] = "{uuid}", email[] = "{email}", date[] = "{date}",
                  ip[] = "{ip}", hash[] = "{hash}", token[] = "{token}";

/* Each character looked up once: every failing request pays for this. Bytes of other alphabets are letters. */
#define D (PM_DIGIT | PM_HEX | PM_PLAIN)
#define U (PM_UPPER | PM_ALPHA | PM_PLAIN)
#define L (PM_LOWER | PM_ALPHA | PM_PLAIN)
const uint8_t pm_kind_of[256] = {
    ['!'] = PM_PLAIN,           ['$' ... '/'] = PM_PLAIN, ['0' ... '9'] = D,
    [':' ... ';'] = PM_PLAIN,   ['='] = PM_PLAIN,         ['@'] = PM_PLAIN,
    ['A' ... 'F'] = U | PM_HEX, ['G' ... 'Z'] = U,        ['['] = PM_PLAIN,
    [']'] = PM_PLAIN,           ['_'] = PM_PLAIN,         ['a' ... 'f'] = L | PM_HEX,
    ['g' ... 'z'] = L,          ['~'] = PM_PLAIN,         [0x80 ... 0xFF] = PM_LOWER,
};
#undef D
#undef U
#undef L

static uint8_t kind_of(char c)
{
    return pm_kind_of[(uint8_t)c];
}

/* ---- output ---- */

void pm_folded_begin(pm_folded *out, char *dst, size_t size, enum pm_fold_how how)
{
    *out = (pm_folded){.dst = dst, .size = size, .how = how, .full = size == 0};
}

size_t pm_folded_end(pm_folded *out)
{
    if (out->size == 0) {
        return 0;
    }
    if (out->full && out->size > ELLIPSIS_LEN) {
        memcpy(out->dst + out->mark, ELLIPSIS, ELLIPSIS_LEN);
        out->used = out->mark + ELLIPSIS_LEN;
    }
    out->dst[out->used] = '\0';
    return out->used;
}

void pm_folded_put(pm_folded *out, const char *s, size_t n)
{
    if (out->full || out->used + n >= out->size) {
        out->full = 1;
        return;
    }
    memcpy(out->dst + out->used, s, n);
    out->used += n;
    if (out->used + ELLIPSIS_LEN < out->size) {
        out->mark = out->used;
    }
}

static int is_plain(unsigned char c, int message)
{
    return message ? c >= ' ' && c < 0x7F : pm_kind_of[c] & PM_PLAIN;
}

void pm_folded_text(pm_folded *out, const char *s, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";

    while (n > 0 && !out->full) {
        size_t run = 0, taken;

        while (run < n && is_plain((unsigned char)s[run], out->message)) {
            run++;
        }
        if (run > 0 && out->used + run >= out->size) {
            run = 1; /* as much as there is room for */
        }
        taken = run > 0 ? run : pm_text_utf8(s, n);
        if (run > 0 || (taken > 1 && !pm_text_control(s, taken))) {
            pm_folded_put(out, s, taken);
        }
        else {
            unsigned char c = (unsigned char)s[0];
            char code[3] = {'%', digits[c >> 4], digits[c & 15]};

            pm_folded_put(out, code, sizeof(code));
            taken = 1;
        }
        s += taken;
        n -= taken;
    }
}

/* ---- what a word is made of ---- */

static int is_digit(char c)
{
    return kind_of(c) & PM_DIGIT;
}

static int is_letter(char c)
{
    return kind_of(c) & (PM_UPPER | PM_LOWER);
}

static int is_hex(char c)
{
    return kind_of(c) & PM_HEX;
}

typedef struct shape {
    size_t digits, upper, lower, hex, marks;
    size_t turns; /* between digits, small and capital letters */
} shape;

static shape shape_of(const char *s, size_t n)
{
    shape m = {0};
    uint8_t last = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t kind = kind_of(s[i]), what = kind & (PM_DIGIT | PM_UPPER | PM_LOWER);

        m.digits += kind & PM_DIGIT; /* the lowest bit */
        m.upper += (what & PM_UPPER) != 0;
        m.lower += (what & PM_LOWER) != 0;
        m.hex += (kind & PM_HEX) != 0;
        m.turns += what != last && what != 0 && last != 0;
        last = what;
    }
    m.marks = n - m.digits - m.upper - m.lower;
    return m;
}

static int is_uuid(const char *s, size_t n)
{
    if (n == 38 && s[0] == '{' && s[37] == '}') {
        return is_uuid(s + 1, 36);
    }
    for (size_t i = 0; i < 36 && n == 36; i++) {
        int dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s[i] != '-' : !is_hex(s[i])) {
            return 0;
        }
    }
    return n == 36;
}

static int is_email(const char *s, size_t n)
{
    const char *at = memchr(s, '@', n);
    size_t before = at != NULL ? (size_t)(at - s) : 0;

    return before > 0 && before + 3 < n && memchr(at + 1, '@', n - before - 1) == NULL &&
           memchr(at + 2, '.', n - before - 2) != NULL && s[n - 1] != '.';
}

static int number_at(const char *s, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i])) {
            return -1;
        }
        value = value * 10 + (s[i] - '0');
    }
    return value;
}

static int is_day(int year, int month, int day)
{
    return year >= 1900 && year < 2200 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

/** 2024-01-21, with or without a time; 2024-01; 20240121. */
static int is_date(const char *s, size_t n)
{
    if (n == 8) {
        return is_day(number_at(s, 4), number_at(s + 4, 2), number_at(s + 6, 2));
    }
    if (n < 7 || s[4] != '-' || !is_day(number_at(s, 4), number_at(s + 5, 2), 1) ||
        (n > 7 && (n < 10 || s[7] != '-' || !is_day(2000, 1, number_at(s + 8, 2))))) {
        return 0;
    }
    for (size_t i = n < 10 ? n : 10; i < n; i++) {
        if (!is_digit(s[i]) && strchr("T:.Z+-_ ", s[i]) == NULL) {
            return 0;
        }
    }
    return 1;
}

static size_t ipv4_at(const char *s, size_t n)
{
    size_t i = 0;

    for (int part = 0; part < 4; part++) {
        size_t from = i;

        if (part > 0 && (i >= n || s[i++] != '.')) {
            return 0;
        }
        from = i;
        while (i < n && i < from + 3 && is_digit(s[i])) {
            i++;
        }
        if (i == from || number_at(s + from, i - from) > 255) {
            return 0;
        }
    }
    return i < n && (is_digit(s[i]) || is_letter(s[i]) ||
                     (s[i] == '.' && i + 1 < n && is_digit(s[i + 1])))
               ? 0
               : i;
}

size_t pm_variable_ip(const char *s, size_t n)
{
    size_t i = ipv4_at(s, n), colons = 0, digits = 0;

    if (i > 0) {
        return i;
    }
    while (i < n && i < 46 && (is_hex(s[i]) || s[i] == ':' || s[i] == '.')) {
        colons += s[i] == ':';
        digits += s[i] != ':';
        i++;
    }
    if (i < n && s[i] == '%') { /* a zone */
        while (i < n && (is_letter(s[i]) || is_digit(s[i]) || s[i] == '%')) {
            i++;
        }
    }
    else if (i < n && is_letter(s[i])) {
        return 0;
    }
    /* "::1" and "fe80::1", and no "12:30:59". */
    for (size_t j = 0; j + 1 < i; j++) {
        if (s[j] == ':' && s[j + 1] == ':' && digits > 0) {
            return i;
        }
    }
    return colons == 7 ? i : 0;
}

/** 4711, -12.5, 1,2,3, 10:30. */
static int is_number(const char *s, size_t n, const shape *m)
{
    if (m->digits == 0 || m->upper + m->lower > 0 ||
        (!is_digit(s[0]) && s[0] != '-' && s[0] != '+')) {
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s[i]) && strchr(".,:+-", s[i]) == NULL) {
            return 0;
        }
    }
    return 1;
}

static int is_hash(const char *s, size_t n, const shape *m)
{
    if (n > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') && m->hex == n - 1) {
        return 1;
    }
    return m->hex == n && ((n >= 8 && m->digits > 0 && m->digits < n) || n >= 16);
}

/** What nobody would call a thing: many changes between digits, small and capital letters. */
static int is_random(size_t n, const shape *m)
{
    int kinds = (m->digits > 0) + (m->upper > 0) + (m->lower > 0);

    if (m->marks > 0) {
        return n >= 16 && kinds == 3 && m->turns * 4 >= n;
    }
    return (n >= 8 && kinds >= 2 && m->digits > 0 && m->turns >= 4) ||
           (n >= 16 && kinds == 2 && m->turns * 5 > n * 2) ||
           (n >= 20 && m->digits > 0 && kinds >= 2) || (n >= 20 && m->upper == n) || n >= 25;
}

const char *pm_variable(const char *s, size_t n)
{
    shape m;

    if (n == 0) {
        return NULL;
    }
    if (n > NAME_MAX_LEN) {
        return is_email(s, n) ? email : token;
    }
    m = shape_of(s, n);
    if (m.digits == 0 && m.marks == 0 && n < 16) {
        return NULL; /* most words */
    }
    if (is_uuid(s, n)) {
        return uuid;
    }
    if (is_email(s, n)) {
        return email;
    }
    if (is_date(s, n)) {
        return date;
    }
    if (m.marks > 1 && pm_variable_ip(s, n) == n) {
        return ip;
    }
    if (is_number(s, n, &m)) {
        return id;
    }
    if (is_hash(s, n, &m)) {
        return hash;
    }
    return is_random(n, &m) ? token : NULL;
}

/* ---- words, whole or in pieces ---- */

/** A placeholder; several of the same kind with nothing but marks between them are one. `content`: where the
 *  word's last piece ended, 0 = this is its first. */
static void put_variable(pm_folded *out, const char *what, const char *s, size_t n, size_t content)
{
    if (out->how == PM_FOLD_MASK && (what == id || what == date || what == uuid)) {
        pm_folded_text(out, s, n);
        return;
    }
    if (out->last == what && out->last_end == content) {
        out->used = out->last_end;
        out->mark = out->mark < out->used ? out->mark : out->used;
        return;
    }
    pm_folded_put(out, what, strlen(what));
    out->last = what;
    out->last_end = out->used;
}

/** A piece without marks, `what` if it is variable: a name with a number behind it keeps the name. */
static void put_piece(pm_folded *out, const char *s, size_t n, const char *what, size_t content)
{
    size_t letters = 0, digits = 0;

    while (letters < n && !is_digit(s[letters])) {
        letters++;
    }
    for (size_t i = letters; i < n; i++) {
        digits += (size_t)is_digit(s[i]);
    }
    if (what == NULL && letters == 0 && digits >= 3) {
        what = id;
    }
    if (what != NULL) {
        put_variable(out, what, s, n, content);
        return;
    }
    if (digits >= 4 && letters + digits == n) {
        pm_folded_text(out, s, letters);
        put_variable(out, id, s + letters, n - letters, 0);
        return;
    }
    pm_folded_text(out, s, n);
}

void pm_folded_word(pm_folded *out, const char *s, size_t n)
{
    const char *what = pm_variable(s, n);
    size_t content = 0, i = 0;

    if (what != NULL) {
        put_variable(out, what, s, n, 0);
        return;
    }
    while (i < n && !out->full) {
        size_t from = i;

        while (i < n && (is_digit(s[i]) || is_letter(s[i]))) {
            i++;
        }
        if (i > from && n - from >= 10 && is_date(s + from, 10) &&
            (n - from == 10 || !is_digit(s[from + 10]))) {
            i = from + 10;
            put_variable(out, date, s + from, 10, content);
            content = out->used;
        }
        else if (i > from) {
            put_piece(out, s + from, i - from,
                      i - from == n ? NULL : pm_variable(s + from, i - from), content);
            content = out->used;
        }
        else {
            pm_folded_text(out, s + i++, 1);
        }
    }
}

void pm_folded_number(pm_folded *out, const char *s, size_t n)
{
    put_variable(out, id, s, n, 0);
}
