/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_signature.c: what lines of the error log have in common.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pm_route.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *message, *signature, *kept;
} cases[] = {
    {"AH00957: HTTP: attempt to connect to 127.0.0.1:8080 (127.0.0.1) failed",
     "AH00957: HTTP: attempt to connect to {ip}:{id} ({ip}) failed",
     "AH00957: HTTP: attempt to connect to 127.0.0.0/24:8080 (127.0.0.0/24) failed"},
    {"PHP Fatal error:  Uncaught E: SQLSTATE[HY000] [2002] in /var/www/app/db.php:42",
     "PHP Fatal error:  Uncaught E: SQLSTATE[HY000] [{id}] in /var/www/app/db.php:{id}",
     "PHP Fatal error:  Uncaught E: SQLSTATE[HY000] [2002] in /var/www/app/db.php:42"},
    {"Stack trace: #0 {main}\tthrown on line 12", "Stack trace: #{id} {main} thrown on line {id}",
     "Stack trace: #0 {main} thrown on line 12"},
    {"login of jane@example.org from 192.0.2.77:51234 failed, GET /a/12?token=abc HTTP/1.1",
     "login of {email} from {ip}:{id} failed, GET /a/{id} HTTP/{id}",
     "login of {email} from 192.0.2.0/24:51234 failed, GET /a/12 HTTP/1.1"},
    {"child 0x7f3e5a10 of job 550e8400-e29b-41d4-a716-446655440000", "child {hash} of job {uuid}",
     "child {hash} of job 550e8400-e29b-41d4-a716-446655440000"},
    {"client 2001:db8:1:2::77 said fe80::1%eth0 and ::1 at 12:30:59",
     "client {ip} said {ip} and {ip} at {id}",
     "client 2001:db8:1::/48 said {ip} and {ip} at 12:30:59"},
    {"http://user:secret@db.example:5432/path/12?x=1 refused",
     "http://db.example:{id}/path/{id} refused", "http://db.example:5432/path/12 refused"},
    {"why? because", "why? because", "why? because"},
    {"", "", ""},
};

static void lines_that_say_the_same_have_one_signature(void **state)
{
    char text[160];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pm_signature_fold(text, sizeof(text), cases[i].message, strlen(cases[i].message));
        assert_string_equal(text, cases[i].signature);
    }
}

static void a_line_is_kept_with_its_addresses_masked_and_without_query_strings(void **state)
{
    char text[160];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pm_signature_mask(text, sizeof(text), cases[i].message, strlen(cases[i].message),
                          PM_CLIENTS_MASKED);
        assert_string_equal(text, cases[i].kept);
    }
}

static void addresses_are_kept_as_the_configuration_says(void **state)
{
    static const char line[] = "from 192.0.2.77 and 2001:db8:1:2::77";
    char text[160];

    (void)state;
    pm_signature_mask(text, sizeof(text), line, sizeof(line), PM_CLIENTS_FULL);
    assert_string_equal(text, line);
    pm_signature_mask(text, sizeof(text), line, sizeof(line), PM_CLIENTS_HASHED);
    assert_string_equal(text, "from {ip} and {ip}");
    pm_signature_mask(text, sizeof(text), line, sizeof(line), PM_CLIENTS_OFF);
    assert_string_equal(text, "from {ip} and {ip}");
}

static void no_secret_stays_in_a_line(void **state)
{
    static const char *const lines[] = {
        "login failed, password=hunter2",
        "login failed, db_password=\"hunter2\"",
        "login failed, Password: hunter2",
        "{\"user\": \"bob\", \"password\": \"my hunter2\"}",
        "'api_key'='hunter2'",
        "token: \"abc hunter2\"",
        "Authorization: Basic hunter2",
        "got Bearer hunter2",
        "Cookie: a=b; c=hunter2",
        "Set-Cookie: sid=hunter2; path=/",
        "ftp://bob:hunter2@h/x refused",
        "GET /x?key=hunter2 HTTP/1.1",
        "PHPSESSION=hunter2",
    };
    char text[160];

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        pm_signature_mask(text, sizeof(text), lines[i], strlen(lines[i]), PM_CLIENTS_FULL);
        assert_null(strstr(text, "hunter2"));
        pm_signature_fold(text, sizeof(text), lines[i], strlen(lines[i]));
        assert_null(strstr(text, "hunter2"));
    }
}

static void a_number_is_a_signature_but_for_others_words(void **state)
{
    (void)state;
    assert_int_equal(pm_signature_number("AH00957: %s: attempt"), 957);
    assert_int_equal(pm_signature_number("AH10290: x"), 10290);
    assert_int_equal(pm_signature_number("AH01215: %s"), 0);
    assert_int_equal(pm_signature_number("AH01071: Got error '%s'"), 0);
    assert_int_equal(pm_signature_number("AH0095"), 0);
    assert_int_equal(pm_signature_number("AHA"), 0);
    assert_int_equal(pm_signature_number("%s"), 0);
    assert_int_equal(pm_signature_number(NULL), 0);
}

static void any_bytes_at_all_come_out_clean_and_bounded(void **state)
{
    static char message[70000];
    char text[160];
    uint64_t seed = 3;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        size_t len = splitmix_next(&seed) % (round % 100 ? 600 : sizeof(message)), n;
        static const char some[] = " \"'=:/?@.,()[]{}0123456789abcdef%password://";

        for (size_t i = 0; i < len; i++) {
            message[i] = splitmix_next(&seed) % 5 ? some[splitmix_next(&seed) % (sizeof(some) - 1)]
                                                  : (char)splitmix_next(&seed);
        }
        n = round % 2 ? pm_signature_fold(text, sizeof(text), message, len)
                      : pm_signature_mask(text, sizeof(text), message, len, PM_CLIENTS_MASKED);
        assert_int_equal(n, strlen(text));
        for (size_t i = 0; i < n;) {
            size_t taken = pm_text_utf8(text + i, n - i);

            assert_int_not_equal(taken, 0);
            assert_false(pm_text_control(text + i, taken));
            i += taken;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_say_the_same_have_one_signature),
        cmocka_unit_test(a_line_is_kept_with_its_addresses_masked_and_without_query_strings),
        cmocka_unit_test(addresses_are_kept_as_the_configuration_says),
        cmocka_unit_test(no_secret_stays_in_a_line),
        cmocka_unit_test(a_number_is_a_signature_but_for_others_words),
        cmocka_unit_test(any_bytes_at_all_come_out_clean_and_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
