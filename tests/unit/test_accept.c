/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_accept.c: which text a client's Accept header asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pm_accept.h"

#define OM "application/openmetrics-text"

static void all_of(const char *const *headers, int expected)
{
    for (; *headers != NULL; headers++) {
        if (pm_accept_openmetrics(*headers) != expected) {
            fail_msg("Accept: %s", *headers);
        }
    }
}

static void openmetrics_is_given_to_those_who_prefer_it(void **state)
{
    static const char *const headers[] = {
        OM, OM "; version=1.0.0", "Application/OpenMetrics-Text;Version=\"1.0.0\"",
        OM ";version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
        "text/plain;version=0.0.4;q=0.4 , " OM " ; version=1.0.0 ; Q=0.5",
        /* what Prometheus sends */
        OM ";version=1.0.0," OM ";version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        OM ";version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        OM ", */*", "text/plain, " OM, "application/*, text/plain;q=0.9",
        OM ";q=0.001, text/plain;q=0",
        "text/html;q=\",\", " OM, /* a comma within quotes divides nothing */
        NULL};

    (void)state;
    all_of(headers, 1);
}

static void the_text_format_is_given_to_everybody_else(void **state)
{
    static const char *const headers[] = {"",
                                          "*/*",
                                          "text/plain",
                                          "text/*",
                                          "text/html, application/xhtml+xml, */*;q=0.8",
                                          OM ";q=0",
                                          OM ";q=0.0, */*;q=0.1",
                                          OM "; q=0.000",
                                          OM ";q=0.2, text/plain;q=0.3",
                                          OM ";version=1.0.0;q=0.2, */*",
                                          OM ";version=0.0.1",
                                          OM
                                          ";version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                                          OM "-2",
                                          "x" OM,
                                          "text/plain;x=\"" OM "\"",
                                          "text/plain; x=\", " OM "\"",
                                          OM ";q=nonsense",
                                          OM ";q=1.001",
                                          OM ";q=2",
                                          OM ";q=",
                                          "application/*;q=0.9, text/plain",
                                          ",;=/\"",
                                          "\"",
                                          NULL};

    (void)state;
    all_of(headers, 0);
    assert_false(pm_accept_openmetrics(NULL));
}

static void any_text_ends_with_an_answer(void **state)
{
    static const char alphabet[] = "a/*;,=q.01\"\\ " OM;
    uint64_t seed = 88172645463325252ull;
    char text[64];

    (void)state;
    for (int n = 0; n < 200000; n++) {
        size_t len = 0;

        for (; len < sizeof(text) - 1; len++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            text[len] = alphabet[seed % (sizeof(alphabet) - 1)];
            if (seed >> 58 == 0) {
                break;
            }
        }
        text[len] = '\0';
        assert_in_range(pm_accept_openmetrics(text), 0, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openmetrics_is_given_to_those_who_prefer_it),
        cmocka_unit_test(the_text_format_is_given_to_everybody_else),
        cmocka_unit_test(any_text_ends_with_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
