/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_error.c: the sentences that go with a status.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "pm_error.h"

static void the_status_comes_back_with_its_sentence(void **state)
{
    pm_error err;

    (void)state;
    assert_int_equal(pm_fail(&err, APR_EGENERAL, "%s: version %d", "a.pmc", 9), APR_EGENERAL);
    assert_string_equal(err.text, "a.pmc: version 9");
    assert_int_equal(pm_fail_os(&err, ENOENT, "cannot open %s", "a.pmc"), ENOENT);
    assert_string_equal(err.text, "cannot open a.pmc: No such file or directory");
}

static void nobody_has_to_want_the_sentence(void **state)
{
    (void)state;
    assert_int_equal(pm_fail(NULL, APR_EINVAL, "%s", "x"), APR_EINVAL);
    assert_int_equal(pm_fail_os(NULL, APR_EINVAL, "%s", "x"), APR_EINVAL);
}

static void foreign_names_come_out_inert(void **state)
{
    pm_error err;

    (void)state;
    pm_fail(&err, APR_EINVAL, "%s", "a\nb\x1B[2J\xFF");
    assert_string_equal(err.text, "a%0Ab%1B[2J%FF");
}

static void a_long_sentence_gives_way_to_the_reason(void **state)
{
    const char *tail = "\xE2\x80\xA6: No such file or directory";
    struct {
        pm_error err;
        char after[1024];
    } there = {.after = "untouched"};
    char name[3000];

    (void)state;
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    pm_fail_os(&there.err, ENOENT, "cannot open %s", name);
    assert_string_equal(there.after, "untouched");
    assert_string_equal(there.err.text + sizeof(there.err.text) - 1 - strlen(tail), tail);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_status_comes_back_with_its_sentence),
        cmocka_unit_test(nobody_has_to_want_the_sentence),
        cmocka_unit_test(foreign_names_come_out_inert),
        cmocka_unit_test(a_long_sentence_gives_way_to_the_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
