/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* test_outcome.c: what a status says of the client, and where it is counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pm_outcome.h"

static void each_status_has_one_outcome(void **state)
{
    static const struct {
        uint32_t status;
        enum pm_outcome outcome;
    } known[] = {{200, PM_SERVED},         {206, PM_SERVED},         {304, PM_SERVED},
                 {101, PM_SERVED},         {301, PM_REDIRECTED},     {308, PM_REDIRECTED},
                 {401, PM_REFUSED},        {403, PM_REFUSED},        {404, PM_REFUSED},
                 {413, PM_REFUSED},        {421, PM_REFUSED},        {429, PM_REFUSED},
                 {500, PM_FAILED},         {503, PM_FAILED},         {599, PM_FAILED},
                 {100, PM_PROVES_NOTHING}, {400, PM_PROVES_NOTHING}, {408, PM_PROVES_NOTHING},
                 {414, PM_PROVES_NOTHING}, {431, PM_PROVES_NOTHING}, {499, PM_PROVES_NOTHING},
                 {0, PM_PROVES_NOTHING},   {600, PM_PROVES_NOTHING}};

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        assert_int_equal(pm_outcome_of(known[i].status), known[i].outcome);
    }
}

static void what_is_counted_in_a_slot_is_of_the_slots_outcome(void **state)
{
    (void)state;
    for (uint32_t status = 0; status < 1200; status++) {
        uint32_t slot = pm_code_slot(status);
        enum pm_outcome outcome = pm_outcome_of(status);

        assert_int_equal(slot < PM_CODES,
                         outcome == PM_FAILED || outcome == PM_REFUSED || outcome == PM_REDIRECTED);
        if (slot < PM_CODES) {
            assert_int_equal(pm_slot_outcome(slot), outcome);
            assert_int_equal(pm_code_of_slot(slot) / 100, status / 100);
        }
    }
}

static void common_codes_are_counted_apart(void **state)
{
    static const uint32_t codes[] = {301, 302, 307, 308, 401, 403, 404,
                                     410, 421, 429, 500, 502, 503, 504};

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(pm_code_of_slot(pm_code_slot(codes[i])), codes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_status_has_one_outcome),
        cmocka_unit_test(what_is_counted_in_a_slot_is_of_the_slots_outcome),
        cmocka_unit_test(common_codes_are_counted_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
