/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * accept.c: the media ranges of an Accept header and their weights (RFC 9110, 12.5.1).
 */
#include "pm_accept.h"

#include <string.h>
#include <strings.h>

#define WHOLE 1000u /* weights in thousandths, as the RFC limits them */

/** What is offered, and how well it is asked for. */
typedef struct offer {
    const char *type, *subtype, *version;
    unsigned
        specific; /* of the range that counts: 0 none, 1 any, 2 any of the type, 3 the type itself, 4 its version */
    unsigned weight;
} offer;

/** A piece of the header; it ends before `end`. */
typedef struct piece {
    const char *at, *end;
} piece;

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

static piece trim(piece p)
{
    while (p.at < p.end && is_space(*p.at)) {
        p.at++;
    }
    while (p.at < p.end && is_space(p.end[-1])) {
        p.end--;
    }
    return p;
}

/** Up to the next `separator`, which is skipped, or to the end. One within quotes is none. */
static piece next_piece(piece *rest, char separator)
{
    piece found = {rest->at, rest->at};
    int quoted = 0;

    while (found.end < rest->end && (quoted || *found.end != separator)) {
        if (quoted && *found.end == '\\' && found.end + 1 < rest->end) {
            found.end++;
        }
        else if (*found.end == '"') {
            quoted = !quoted;
        }
        found.end++;
    }
    rest->at = found.end < rest->end ? found.end + 1 : rest->end;
    return trim(found);
}

static int is_word(piece p, const char *word)
{
    size_t n = strlen(word);

    return (size_t)(p.end - p.at) == n && strncasecmp(p.at, word, n) == 0;
}

/** "0.75" is 750. What is no weight refuses. */
static unsigned weight_of(piece p)
{
    unsigned weight, place = WHOLE / 10;

    if (p.at == p.end || (*p.at != '0' && *p.at != '1')) {
        return 0;
    }
    weight = *p.at == '1' ? WHOLE : 0;
    if (++p.at < p.end && *p.at++ != '.') {
        return 0;
    }
    for (; p.at < p.end; p.at++, place /= 10) {
        if (*p.at < '0' || *p.at > '9' || place == 0) {
            return 0;
        }
        weight += (unsigned)(*p.at - '0') * place;
    }
    return weight <= WHOLE ? weight : 0;
}

static piece unquoted(piece p)
{
    if (p.end - p.at >= 2 && *p.at == '"' && p.end[-1] == '"') {
        p.at++;
        p.end--;
    }
    return p;
}

/** How closely a range's type fits an offer: 0 = not at all. */
static unsigned fit(const offer *o, piece type)
{
    piece rest = type, main = next_piece(&rest, '/'), sub = trim(rest);

    if (is_word(main, "*") && is_word(sub, "*")) {
        return 1;
    }
    if (!is_word(main, o->type)) {
        return 0;
    }
    return is_word(sub, "*") ? 2 : is_word(sub, o->subtype) ? 3 : 0;
}

/** One range with its parameters. Of those, only the version says which text is meant. */
static void weigh(offer *o, piece range)
{
    piece type = next_piece(&range, ';');
    unsigned specific = fit(o, type), weight = WHOLE;

    while (range.at < range.end) {
        piece value = next_piece(&range, ';'), name = next_piece(&value, '=');

        value = trim(value);
        if (is_word(name, "q")) {
            weight = weight_of(value);
        }
        else if (is_word(name, "version") && specific >= 3) {
            specific = is_word(unquoted(value), o->version) ? 4 : 0;
        }
        if (specific == 0) {
            return;
        }
    }
    if (specific > o->specific || (specific == o->specific && weight > o->weight)) {
        o->specific = specific;
        o->weight = weight;
    }
}

int pm_accept_openmetrics(const char *accept)
{
    offer metrics = {"application", "openmetrics-text", "1.0.0", 0, 0};
    offer text = {"text", "plain", "0.0.4", 0, 0};
    piece rest = {accept, accept};

    if (accept == NULL) {
        return 0;
    }
    rest.end += strlen(accept);
    while (rest.at < rest.end) {
        piece range = next_piece(&rest, ',');

        weigh(&metrics, range);
        weigh(&text, range);
    }
    return metrics.weight > text.weight ||
           (metrics.weight == text.weight && metrics.weight > 0 && metrics.specific >= 3);
}
