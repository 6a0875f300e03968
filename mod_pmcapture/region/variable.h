/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * variable.h: the variable parts of a text, shared by route.c and signature.c.
 */
#ifndef PM_VARIABLE_H
#define PM_VARIABLE_H

#include <stddef.h>
#include <stdint.h>

/** What a character is. ALPHA: an ASCII letter; PLAIN: it may stand in a route as it is. */
enum { PM_DIGIT = 1, PM_UPPER = 2, PM_LOWER = 4, PM_HEX = 8, PM_PLAIN = 16, PM_ALPHA = 32 };
extern const uint8_t pm_kind_of[256];

/** What may stay as it is. */
enum pm_fold_how {
    PM_FOLD_ALL, /* nothing variable */
    PM_FOLD_MASK /* numbers, dates and UUIDs: they name a thing and open none */
};

/** Bounded output. What does not fit ends it, with an ellipsis. */
typedef struct pm_folded {
    char *dst;
    size_t size, used;
    size_t mark; /* the last border with room for an ellipsis after it */
    int full;
    int message; /* blanks, quotes and braces are plain characters */
    enum pm_fold_how how;
    const char *last; /* the placeholder that ends the output, NULL = a word does */
    size_t last_end;
} pm_folded;

void pm_folded_begin(pm_folded *out, char *dst, size_t size, enum pm_fold_how how);
/** Returns strlen(dst). */
size_t pm_folded_end(pm_folded *out);
/** Text of ours, all or nothing. */
void pm_folded_put(pm_folded *out, const char *s, size_t n);
/** Foreign text: what is no plain character of a URI comes out as %XX; in a message, only what cannot be printed. */
void pm_folded_text(pm_folded *out, const char *s, size_t n);

/** The placeholder of a whole word, NULL when it is a name. */
const char *pm_variable(const char *s, size_t n);
/** Length of the IP address that a text begins with, 0 = none. */
size_t pm_variable_ip(const char *s, size_t n);

/** A word, folded as a whole or in its pieces. */
void pm_folded_word(pm_folded *out, const char *s, size_t n);
/** Digits. */
void pm_folded_number(pm_folded *out, const char *s, size_t n);

#endif
