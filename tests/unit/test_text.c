/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_text.c: foreign text made harmless.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pm_text.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ELLIPSIS "\xE2\x80\xA6"

static void utf8_is_what_rfc_3629_says(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } cases[] = {
        {"a", 1},
        {"\x7F", 1},
        {"\xC2\x80", 2},
        {"\xC3\xA9!", 2},
        {"\xDF\xBF", 2},
        {"\xE0\xA0\x80", 3},
        {"\xED\x9F\xBF", 3},
        {"\xEE\x80\x80", 3},
        {"\xEF\xBF\xBF", 3},
        {"\xF0\x90\x80\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"", 0},
        {"\x80", 0},     /* a continuation alone */
        {"\xBF\xBF", 0}, /* two */
        {"\xC3", 0},     /* cut short */
        {"\xC3"
         "a",
         0},             /* not continued */
        {"\xE2\x82", 0}, /* cut short */
        {"\xE2\x82"
         "a",
         0},                 /* not continued */
        {"\xF0\x9F\x98", 0}, /* cut short */
        {"\xF0\x9F\x98"
         "a",
         0},                     /* not continued */
        {"\xC0\xAF", 0},         /* overlong */
        {"\xC1\xBF", 0},         /* overlong */
        {"\xE0\x9F\xBF", 0},     /* overlong */
        {"\xF0\x8F\xBF\xBF", 0}, /* overlong */
        {"\xED\xA0\x80", 0},     /* surrogate */
        {"\xED\xBF\xBF", 0},     /* surrogate */
        {"\xF4\x90\x80\x80", 0}, /* beyond U+10FFFF */
        {"\xF5\x80\x80\x80", 0}, /* beyond U+10FFFF */
        {"\xF8\x88\x80\x80\x80", 0},
        {"\xFE", 0},
        {"\xFF", 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(pm_text_utf8(cases[i].bytes, strlen(cases[i].bytes)), cases[i].n);
    }
    assert_int_equal(pm_text_utf8("\0", 1), 1);
    assert_int_equal(pm_text_utf8("\xC3\xA9", 1), 0); /* the length, not the terminator, ends it */
}

/* Whether code point `c`, written in `n` bytes, is what pm_text_utf8 takes. */
static int takes(uint32_t c, size_t n)
{
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    char bytes[4];

    for (size_t i = n - 1; i > 0; i--, c >>= 6) {
        bytes[i] = (char)(0x80 | (c & 0x3F));
    }
    bytes[0] = (char)(lead[n] | c);
    return pm_text_utf8(bytes, n) == n;
}

static void every_code_point_is_valid_in_its_shortest_form_alone(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x200000; c++) {
        int surrogate = c >= 0xD800 && c <= 0xDFFF;

        if (c < 0x80) {
            assert_true(takes(c, 1));
        }
        if (c < 0x800) {
            assert_int_equal(takes(c, 2), c >= 0x80);
        }
        if (c < 0x10000) {
            assert_int_equal(takes(c, 3), c >= 0x800 && !surrogate);
        }
        assert_int_equal(takes(c, 4), c >= 0x10000 && c <= 0x10FFFF);
    }
}

static void bytes_that_do_not_belong_become_percent_codes(void **state)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"", ""},
        {"plain text, 100%", "plain text, 100%"},
        {"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80"},
        {"a\tb\r\n", "a%09b%0D%0A"},
        {"\x01\x1B[31m\x7F", "%01%1B[31m%7F"},
        {"\x1F\x20\x7E", "%1F ~"},
        {"\xC2\x80\xC2\x9B"
         "0c\xC2\x9F",
         "%C2%80%C2%9B0c%C2%9F"}, /* C1: a terminal's CSI */
        {"\xC2\xA0", "\xC2\xA0"}, /* the first after C1 */
        {"\xFF\xFE", "%FF%FE"},
        {"\xC3(", "%C3("},
        {"\xE2\x82", "%E2%82"},
        {"\xED\xA0\x80", "%ED%A0%80"},
        {"\xC0\x80", "%C0%80"},
        {"\xF0\x9F\x98", "%F0%9F%98"},
    };
    char out[128];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t n = pm_text_clean(out, sizeof(out), cases[i].from, strlen(cases[i].from));

        assert_string_equal(out, cases[i].to);
        assert_int_equal(n, strlen(cases[i].to));
    }
}

static void text_ends_at_its_length_or_at_nul(void **state)
{
    char out[16];

    (void)state;
    assert_int_equal(pm_text_clean(out, sizeof(out), "abcdef", 3), 3);
    assert_string_equal(out, "abc");
    pm_text_clean(out, sizeof(out), "ab\0cd", 5);
    assert_string_equal(out, "ab");
    pm_text_clean(out, sizeof(out), "\xC3\xA9", 1);
    assert_string_equal(out, "%C3");
    assert_int_equal(pm_text_clean(out, sizeof(out), NULL, 5), 0);
    assert_string_equal(out, "");
}

static void what_does_not_fit_is_cut_between_characters(void **state)
{
    static const struct {
        size_t size;
        const char *from, *to;
    } cases[] = {
        {7, "abcdef", "abcdef"},
        {6, "abcdef", "ab" ELLIPSIS},
        {5, "abcdef", "a" ELLIPSIS},
        {4, "abcdef", ELLIPSIS},
        {3, "abcdef", "ab"}, /* no room for an ellipsis */
        {2, "abcdef", "a"},
        {1, "abcdef", ""},
        {7, "\xC3\xA9\xC3\xA9\xC3\xA9", "\xC3\xA9\xC3\xA9\xC3\xA9"},
        {6, "\xC3\xA9\xC3\xA9\xC3\xA9", "\xC3\xA9" ELLIPSIS},
        {5, "\xC3\xA9\xC3\xA9\xC3\xA9", ELLIPSIS},
        {2, "\xC3\xA9\xC3\xA9\xC3\xA9", ""},
        {8,
         "ab\xFF"
         "cdef",
         "ab" ELLIPSIS}, /* our %FF */
        {9,
         "ab\xFF"
         "cdef",
         "ab%FF" ELLIPSIS},
        {8, "ab%FFcdef", "ab" ELLIPSIS}, /* a URI's own */
        {9, "ab%FFcdef", "ab%FF" ELLIPSIS},
        {8, "ab%GGcdef", "ab%G" ELLIPSIS}, /* not one */
        {7,
         "\xC2\x85"
         "abc",
         ELLIPSIS}, /* both codes of a C1 control, or none */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[16];
        size_t n = pm_text_clean(out, cases[i].size, cases[i].from, strlen(cases[i].from));

        assert_string_equal(out, cases[i].to);
        assert_int_equal(n, strlen(cases[i].to));
    }
    assert_int_equal(pm_text_clean(NULL, 0, "a", 1), 0);
}

static void a_percent_code_is_kept_whole_and_nothing_else_is_one(void **state)
{
    char out[8];

    (void)state;
    for (int c = 0x20; c < 0x7F; c++) {
        char from[] = {'a', '%', (char)c, '0', 'z', 'z', 'z', 'z', '\0'};
        const char *to = strchr("0123456789abcdefABCDEF", c) != NULL ? "a" ELLIPSIS : "a%";

        pm_text_clean(out, 7, from, 8); /* room for two of its bytes */
        assert_memory_equal(out, to, strlen(to));
        from[2] = '0';
        from[3] = (char)c;
        pm_text_clean(out, 7, from, 8);
        assert_memory_equal(out, to, strlen(to));
    }
    pm_text_clean(out, 6, "abc%41", 6); /* at the end of the text */
    assert_string_equal(out, "ab" ELLIPSIS);
    pm_text_clean(out, 8, "abcd%41", 7);
    assert_string_equal(out, "abcd%41");
    pm_text_clean(out, 7, "abcd%41", 6); /* beyond its end */
    assert_string_equal(out, "abcd%4");
}

static int is_clean(const char *text)
{
    size_t len = strlen(text), n;

    for (; len > 0; text += n, len -= n) {
        n = pm_text_utf8(text, len);
        if (n == 0 || pm_text_control(text, n)) {
            return 0;
        }
    }
    return 1;
}

static void random_bytes_come_out_clean_in_every_size(void **state)
{
    uint64_t seed = 11;

    (void)state;
    for (int round = 0; round < 3000; round++) {
        char from[24], whole[100], again[100];
        size_t len = splitmix_next(&seed) % sizeof(from);

        for (size_t i = 0; i < len;
             i++) { /* lead bytes, continuations, controls and % often meet */
            from[i] = "%4\xC2\xE2\xED\xF0\x80\x9F\xBF\x1F~\x7F"[splitmix_next(&seed) % 12];
        }
        pm_text_clean(whole, sizeof(whole), from, len);
        assert_true(is_clean(whole));
        pm_text_clean(again, sizeof(again), whole, sizeof(whole));
        assert_string_equal(again, whole); /* cleaning twice is cleaning once */
        for (size_t size = 1; size < sizeof(whole); size++) {
            char out[sizeof(whole) + 1];
            size_t n;

            memset(out, '#', sizeof(out));
            n = pm_text_clean(out, size, from, len);
            assert_int_equal(n, strlen(out));
            assert_true(n < size);
            assert_true(out[size] == '#');
            assert_true(is_clean(out));
            if (strlen(whole) < size) {
                assert_string_equal(out, whole);
            }
            else {
                if (size > 3) {
                    assert_true(n >= 3 && strcmp(out + n - 3, ELLIPSIS) == 0);
                    n -= 3;
                }
                assert_memory_equal(out, whole, n);
            }
        }
    }
}

static void a_uri_ends_at_its_query_unless_it_is_kept(void **state)
{
    static const struct {
        const char *from, *without, *with;
    } cases[] = {
        {"/a/b", "/a/b", "/a/b"},
        {"/a?token=1", "/a", "/a?token=1"},
        {"/a?b#c", "/a", "/a?b"},
        {"/a#b?c", "/a", "/a"},
        {"?x", "", "?x"},
        {"#", "", ""},
        {"/\xFF?\x01", "/%FF", "/%FF?%01"},
    };
    char out[32];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pm_text_uri(out, sizeof(out), cases[i].from, strlen(cases[i].from), 0);
        assert_string_equal(out, cases[i].without);
        pm_text_uri(out, sizeof(out), cases[i].from, strlen(cases[i].from), 1);
        assert_string_equal(out, cases[i].with);
    }
    assert_int_equal(pm_text_uri(out, sizeof(out), "/a?b", 2, 1), 2);
    assert_string_equal(out, "/a");
    assert_int_equal(pm_text_uri(out, sizeof(out), NULL, 9, 1), 0);
    assert_string_equal(out, "");
    pm_text_uri(out, 6, "/abcdef?x", 9, 0); /* the cut shows */
    assert_string_equal(out, "/a" ELLIPSIS);
}

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#define V4 "\xC0\x00\x02\x07"
#define MAPPED "\0\0\0\0\0\0\0\0\0\0\xFF\xFF"
#define V6 "\x20\x01\x0D\xB8\x00\x01\xAB\xCD\0\0\0\0\0\0\0\x01"

static void addresses_are_kept_as_the_mode_says(void **state)
{
    static const struct {
        const char *addr;
        size_t len;
        const char *full, *masked;
    } cases[] = {
        {V4, 4, "192.0.2.7", "192.0.2.0/24"},
        {MAPPED V4, 16, "192.0.2.7", "192.0.2.0/24"},
        {V6, 16, "2001:db8:1:abcd::1", "2001:db8:1::/48"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16, "::1", "::/48"},
        {"\xFF\xFF\xFF\xFF", 4, "255.255.255.255", "255.255.255.0/24"},
        {V6, 0, "", ""},
        {V6, 5, "", ""},
        {V6, 15, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[56];

        assert_int_equal(pm_text_client(out, 56, cases[i].addr, cases[i].len, PM_CLIENTS_FULL, key),
                         strlen(cases[i].full));
        assert_string_equal(out, cases[i].full);
        assert_int_equal(
            pm_text_client(out, 56, cases[i].addr, cases[i].len, PM_CLIENTS_MASKED, key),
            strlen(cases[i].masked));
        assert_string_equal(out, cases[i].masked);
        assert_int_equal(pm_text_client(out, 56, cases[i].addr, cases[i].len, PM_CLIENTS_OFF, key),
                         0);
        assert_string_equal(out, "");
    }
}

static void a_hashed_address_tells_clients_apart_and_nothing_else(void **state)
{
    uint8_t other_key[16] = {1};
    char a[56], b[56];

    (void)state;
    /* SipHash-2-4 of 00 01 .. 0F under 00 01 .. 0F is 3f2acc7f57c29bdb (its authors' vectors). */
    assert_int_equal(pm_text_client(a, 56, key, 16, PM_CLIENTS_HASHED, key), 17);
    assert_string_equal(a, "#3f2acc7f57c29bdb");
    pm_text_client(a, 56, V4, 4, PM_CLIENTS_HASHED, key);
    pm_text_client(b, 56, MAPPED V4, 16, PM_CLIENTS_HASHED, key);
    assert_string_equal(a, b);
    pm_text_client(b, 56, "\xC0\x00\x02\x08", 4, PM_CLIENTS_HASHED, key);
    assert_string_not_equal(a, b);
    pm_text_client(b, 56, V4, 4, PM_CLIENTS_HASHED, other_key);
    assert_string_not_equal(a, b);
    assert_int_equal(pm_text_client(b, 56, V4, 3, PM_CLIENTS_HASHED, key), 0);
}

static void an_address_is_never_cut(void **state)
{
    char out[17] = "################";

    (void)state;
    assert_int_equal(pm_text_client(out, 9, V4, 4, PM_CLIENTS_FULL, key), 0);
    assert_string_equal(out, "");
    assert_int_equal(pm_text_client(out, 10, V4, 4, PM_CLIENTS_FULL, key), 9);
    assert_string_equal(out, "192.0.2.7");
    assert_int_equal(pm_text_client(NULL, 0, V4, 4, PM_CLIENTS_FULL, key), 0);
}

typedef int (*appender)(char *dst, size_t size, size_t *used, const char *text);

static int append_plain(char *dst, size_t size, size_t *used, const char *text)
{
    return pm_text_append(dst, size, used, "%s", text);
}

static void appending_is_all_or_nothing_in_every_size(void **state)
{
    static const appender appenders[] = {append_plain, pm_text_csv, pm_text_html, pm_text_label};
    static const char text[] = "=a,\"b\"\n\\<c>&'d'";

    (void)state;
    for (size_t i = 0; i < COUNT(appenders); i++) {
        char whole[100] = "head:";
        size_t whole_used = 5;

        assert_true(appenders[i](whole, sizeof(whole), &whole_used, text));
        assert_int_equal(whole_used, strlen(whole));
        for (size_t size = 6; size < sizeof(whole); size++) {
            char out[sizeof(whole) + 1];
            size_t used = 5;
            int ok;

            memset(out, '#', sizeof(out));
            memcpy(out, "head:", 6);
            ok = appenders[i](out, size, &used, text);
            assert_int_equal(ok, whole_used < size);
            assert_string_equal(out, ok ? whole : "head:");
            assert_int_equal(used, strlen(out));
            assert_true(out[size] == '#');
        }
    }
}

static void appending_beyond_the_end_writes_nothing(void **state)
{
    static const appender appenders[] = {append_plain, pm_text_csv, pm_text_html, pm_text_label};

    (void)state;
    for (size_t i = 0; i < COUNT(appenders); i++) {
        for (size_t at = 4; at < 8; at++) {
            char out[9] = "########";
            size_t used = at;

            assert_int_equal(appenders[i](out, 4, &used, "x"), 0);
            assert_int_equal(used, at);
            assert_string_equal(out, "########");
        }
    }
}

/* from -> to, by one of the escaping functions. */
typedef struct escape_case {
    const char *from, *to;
} escape_case;

static void check_escapes(appender append, const escape_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char out[64] = "";
        size_t used = 0;

        assert_true(append(out, sizeof(out), &used, cases[i].from));
        assert_string_equal(out, cases[i].to);
        assert_int_equal(used, strlen(out));
    }
}

static void no_csv_field_is_a_formula_or_breaks_its_row(void **state)
{
    static const escape_case cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"a,b", "\"a,b\""},
        {"say \"hi\"", "\"say \"\"hi\"\"\""},
        {"a\nb", "\"a\nb\""},
        {"a\rb", "\"a\rb\""},
        {"=1+1", "'=1+1"},
        {"+1", "'+1"},
        {"-1", "'-1"},
        {"@SUM(A1)", "'@SUM(A1)"},
        {"\t=1", "'\t=1"},
        {"\r=1", "\"'\r=1\""},
        {"\n=1", "\"'\n=1\""},
        {"=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""},
        {"a=1", "a=1"},
    };

    (void)state;
    check_escapes(pm_text_csv, cases, COUNT(cases));
}

static void no_html_text_is_markup_or_leaves_its_attribute(void **state)
{
    static const escape_case cases[] = {
        {"", ""},
        {"plain \xC3\xA9", "plain \xC3\xA9"},
        {"<script>", "&lt;script&gt;"},
        {"\" onload='x'", "&quot; onload=&#39;x&#39;"},
        {"a&amp;b", "a&amp;amp;b"},
    };

    (void)state;
    check_escapes(pm_text_html, cases, COUNT(cases));
}

static void no_label_value_leaves_its_quotes_or_its_line(void **state)
{
    static const escape_case cases[] = {
        {"", ""},
        {"www.example.org:80", "www.example.org:80"},
        {"a\"} 1\nb", "a\\\"} 1\\nb"},
        {"\\", "\\\\"},
        {"\\n", "\\\\n"},
    };

    (void)state;
    check_escapes(pm_text_label, cases, COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_what_rfc_3629_says),
        cmocka_unit_test(every_code_point_is_valid_in_its_shortest_form_alone),
        cmocka_unit_test(bytes_that_do_not_belong_become_percent_codes),
        cmocka_unit_test(text_ends_at_its_length_or_at_nul),
        cmocka_unit_test(what_does_not_fit_is_cut_between_characters),
        cmocka_unit_test(a_percent_code_is_kept_whole_and_nothing_else_is_one),
        cmocka_unit_test(random_bytes_come_out_clean_in_every_size),
        cmocka_unit_test(a_uri_ends_at_its_query_unless_it_is_kept),
        cmocka_unit_test(addresses_are_kept_as_the_mode_says),
        cmocka_unit_test(a_hashed_address_tells_clients_apart_and_nothing_else),
        cmocka_unit_test(an_address_is_never_cut),
        cmocka_unit_test(appending_is_all_or_nothing_in_every_size),
        cmocka_unit_test(appending_beyond_the_end_writes_nothing),
        cmocka_unit_test(no_csv_field_is_a_formula_or_breaks_its_row),
        cmocka_unit_test(no_html_text_is_markup_or_leaves_its_attribute),
        cmocka_unit_test(no_label_value_leaves_its_quotes_or_its_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
