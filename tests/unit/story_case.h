/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * story_case.h: what the tests of what is told of an incident share: two incidents, and what they ask of a story.
 * Includes cmocka.h.
 */
#ifndef STORY_CASE_H
#define STORY_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "model_fixture.h"

static apr_pool_t *pool; /* each test's own */

static inline const pm_moment *find_moment(const pm_case *c, const char *kind)
{
    for (size_t n = 0; n < c->timeline_count; n++) {
        if (!strcmp(c->timeline[n].kind, kind)) {
            return &c->timeline[n];
        }
    }
    return NULL;
}

static inline const pm_cause *find_cause(const pm_case *c, const char *kind)
{
    for (size_t n = 0; n < c->cause_count; n++) {
        if (!strcmp(c->causes[n].kind, kind)) {
            return &c->causes[n];
        }
    }
    return NULL;
}

static inline const char *cleared(const pm_case *c, const char *hypothesis)
{
    for (size_t n = 0; n < c->cleared_count; n++) {
        if (!strcmp(c->cleared[n].hypothesis, hypothesis)) {
            return c->cleared[n].summary;
        }
    }
    return NULL;
}

static inline const char *unwatched(const pm_case *c, const char *hypothesis)
{
    for (size_t n = 0; n < c->unwatched_count; n++) {
        if (strcmp(c->unwatched[n].hypothesis, hypothesis) == 0) {
            assert_null(cleared(c, hypothesis));
            return c->unwatched[n].summary;
        }
    }
    return NULL;
}

static inline void assert_contains(const char *text, const char *part)
{
    assert_non_null(text);
    if (!strstr(text, part)) {
        print_error("\"%s\" is not in \"%s\"\n", part, text);
    }
    assert_non_null(strstr(text, part));
}

static inline fixture *errors(void)
{
    fixture *f = fixture_make(pool);

    add_incident(f, PM_KIND_ERRORS);
    return f;
}

static inline fixture *down(void)
{
    fixture *f = fixture_make(pool);
    pm_incident *i = add_incident(f, PM_KIND_DOWN);

    i->requests = i->errors = i->status_code[0] = 0;
    i->error_clients = 0;
    i->peak_at_us = 0;
    i->unserved_us = 12300000;
    i->expected_requests = 246;
    i->expected_error = 15.7;
    i->closed_us = i->end_us;
    return f;
}

static inline void remove_rows(fixture *f, int first, int count)
{
    memmove(&f->rows[first], &f->rows[first + count],
            (f->m.row_count - (size_t)(first + count)) * sizeof(pm_row));
    f->m.row_count -= (size_t)count;
}

static inline int begin(void **state)
{
    (void)state;
    return apr_pool_create(&pool, NULL);
}

static inline int end(void **state)
{
    (void)state;
    apr_pool_destroy(pool);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

#endif
