/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_json.c: the JSON writer, read back with jansson, and the check of foreign JSON against it.
 */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#include "pm_json.h"
#include "splitmix.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define READ_FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

/* A sink that keeps what it got, and fails on request. */
static char output[1 << 20];
static size_t output_len;
static int sink_calls, sink_fails_at; /* 0 = never */

static apr_status_t keep(void *ctx, const char *bytes, size_t len)
{
    assert_ptr_equal(ctx, output);
    assert_true(len > 0 && output_len + len < sizeof(output));
    if (++sink_calls == sink_fails_at) {
        return APR_ENOSPC;
    }
    memcpy(output + output_len, bytes, len);
    output_len += len;
    output[output_len] = '\0';
    return APR_SUCCESS;
}

static void begin(pm_json *j)
{
    output_len = 0;
    output[0] = '\0';
    sink_calls = 0;
    sink_fails_at = 0;
    pm_json_begin(j, keep, output);
}

/* The output as a jansson value. */
static json_t *read_back(int flags)
{
    json_error_t error;
    json_t *value = json_loadb(output, output_len, flags, &error);

    if (value == NULL) {
        fail_msg("%s: %.200s", error.text, output);
    }
    return value;
}

static void every_kind_of_value_reads_back(void **state)
{
    const char *a, *t;
    json_int_t u, i;
    int yes, no;
    double d, s;
    json_t *root, *n, *list, *empty_o, *empty_a;
    pm_json j;

    (void)state;
    begin(&j);
    pm_json_object(&j);
    pm_json_key(&j, "text");
    pm_json_string(&j, "caf\xC3\xA9 \"x\" \\ / \b\f\n\r\t\x01");
    pm_json_key(&j, "time");
    pm_json_time(&j, 1795210205123456);
    pm_json_key(&j, "uint");
    pm_json_uint(&j, INT64_MAX);
    pm_json_key(&j, "int");
    pm_json_int(&j, INT64_MIN);
    pm_json_key(&j, "yes");
    pm_json_bool(&j, 4);
    pm_json_key(&j, "no");
    pm_json_bool(&j, 0);
    pm_json_key(&j, "null");
    pm_json_null(&j);
    pm_json_key(&j, "double");
    pm_json_double(&j, 0.25);
    pm_json_key(&j, "seconds");
    pm_json_seconds(&j, 12500);
    pm_json_key(&j, "list");
    pm_json_array(&j);
    pm_json_uint(&j, 1);
    pm_json_array(&j);
    pm_json_array_end(&j);
    pm_json_object(&j);
    pm_json_object_end(&j);
    pm_json_array_end(&j);
    pm_json_object_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);

    root = read_back(0);
    assert_int_equal(json_unpack(root, "{s:s,s:s,s:I,s:I,s:b,s:b,s:o,s:F,s:F,s:o!}", "text", &a,
                                 "time", &t, "uint", &u, "int", &i, "yes", &yes, "no", &no, "null",
                                 &n, "double", &d, "seconds", &s, "list", &list),
                     0);
    assert_string_equal(a, "caf\xC3\xA9 \"x\" \\ / \b\f\n\r\t\x01");
    assert_string_equal(t, "2026-11-20T21:30:05.123Z");
    assert_true(u == INT64_MAX && i == INT64_MIN);
    assert_true(yes == 1 && no == 0 && json_is_null(n));
    assert_true(d == 0.25 && s == 0.0125);
    assert_int_equal(json_unpack(list, "[I,o,o!]", &u, &empty_a, &empty_o), 0);
    assert_true(json_is_array(empty_a) && json_is_object(empty_o));
    json_decref(root);
}

static void what_is_unknown_is_null(void **state)
{
    pm_json j;

    (void)state;
    begin(&j);
    pm_json_array(&j);
    pm_json_string(&j, NULL);
    pm_json_bytes(&j, NULL, 7);
    pm_json_time(&j, 0);
    pm_json_double(&j, NAN);
    pm_json_double(&j, INFINITY);
    pm_json_double(&j, -INFINITY);
    pm_json_raw(&j, NULL, 3);
    pm_json_raw(&j, "{", 1);
    pm_json_array_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    assert_string_equal(output, "[null,null,null,null,null,null,null,null]");
}

/* What a string is expected to be read back as; jansson says what is valid UTF-8. */
static size_t expected_text(char *to, const char *from, size_t len)
{
    size_t used = 0, n;

    for (; len > 0; from += n, len -= n) {
        for (n = 1; n <= 4 && n <= len; n++) {
            json_t *valid = json_stringn(from, n);

            if (valid != NULL) {
                json_decref(valid);
                break;
            }
        }
        if (n <= 4 && n <= len) {
            memcpy(to + used, from, n);
            used += n;
        }
        else {
            n = 1;
            used += (size_t)sprintf(to + used, "%%%02X", (unsigned char)*from);
        }
    }
    return used;
}

static void strings_of_any_bytes_read_back_as_utf_8(void **state)
{
    static const char pool[] = "\0\x1F \"\\/a\x7F\x80\x9F\xA0\xBF\xC0\xC2\xDF\xE0\xED\xEF\xF0\xF4";
    uint64_t seed = 23;

    (void)state;
    for (int round = 0; round < 20000; round++) {
        char from[40], expected[120];
        size_t len = splitmix_next(&seed) % sizeof(from), expected_len;
        json_t *value;
        pm_json j;

        for (size_t i = 0; i < len; i++) {
            uint64_t r = splitmix_next(&seed);

            from[i] = round % 2 ? (char)r : pool[r % (sizeof(pool) - 1)];
        }
        begin(&j);
        pm_json_bytes(&j, from, len);
        assert_int_equal(pm_json_end(&j), APR_SUCCESS);
        value = read_back(READ_FLAGS);
        expected_len = expected_text(expected, from, len);
        assert_int_equal(json_string_length(value), expected_len);
        assert_memory_equal(json_string_value(value), expected, expected_len);
        json_decref(value);
    }
}

static void no_control_character_reaches_the_terminal(void **state)
{
    pm_json j;

    (void)state;
    begin(&j);
    pm_json_array(&j);
    for (unsigned c = 0; c < 0xA0; c++) { /* C0, DEL and C1, as U+0000 .. U+009F */
        char text[2] = {(char)(c < 0x80 ? c : 0xC2), (char)c};

        pm_json_bytes(&j, text, c < 0x80 ? 1 : 2);
    }
    pm_json_array_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    for (size_t i = 0; i < output_len; i++) {
        assert_in_range((unsigned char)output[i], 0x20, 0x7E);
    }
    json_decref(read_back(READ_FLAGS));
    assert_non_null(strstr(output, "\"\\u0000\",\"\\u0001\""));
    assert_non_null(strstr(output, "\"~\",\"\\u007f\",\"\\u0080\""));
    assert_non_null(strstr(output, "\"\\u009f\"]"));
}

static void keys_are_strings_like_any_other(void **state)
{
    pm_json j;

    (void)state;
    begin(&j);
    pm_json_object(&j);
    pm_json_key(&j, "a\"\n\xFF");
    pm_json_uint(&j, 1);
    pm_json_key(&j, "");
    pm_json_uint(&j, 2);
    pm_json_object_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    assert_string_equal(output, "{\"a\\\"\\n%FF\":1,\"\":2}");
}

/* One number as the writer puts it. */
static const char *written(double value)
{
    pm_json j;

    begin(&j);
    pm_json_double(&j, value);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    return output;
}

static void check_doubles(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {0.05, "0.05"},
        {1.0 / 3, "0.333333"},
        {2.0 / 3, "0.666667"},
        {0.9999999, "1"},
        {-0.9999999, "-1"},
        {0.0000001, "0"},
        {-0.0000001, "0"},
        {0.000001, "0.000001"},
        {-0.000001, "-0.000001"},
        {__DBL_DENORM_MIN__, "0"},
        {100, "100"},
        {1000000, "1000000"},
        {123456.789, "123456.789"},
        {1e15 + 0.5, "1000000000000000.5"},
        {9007199254740991.0, "9007199254740991"},
        {9007199254740992.0, "9007199254740992"},
        {-1e20, "-100000000000000000000"},
    };
    uint64_t seed = 31;

    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(written(cases[i].value), cases[i].text);
    }
    assert_int_equal(strlen(written(__DBL_MAX__)), 309);
    for (int i = 0; i < 50000; i++) {
        double value = ldexp((double)(int64_t)splitmix_next(&seed), -(int)(i % 90));
        json_t *read;

        assert_null(strpbrk(written(value), ",eE"));
        read = read_back(JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL);
        assert_true(fabs(json_number_value(read) - value) <= 0.50001e-6 + fabs(value) * 1e-15);
        json_decref(read);
    }
}

static void doubles_have_six_decimals_and_no_exponent(void **state)
{
    (void)state;
    check_doubles();
}

static void write_file(const char *path, const char *text, int code_points)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    for (int c = 0; c < code_points; c++) {
        fprintf(f, "<U%04X> /x%02x X\n", (unsigned)c, (unsigned)c);
    }
    fputs(code_points > 0 ? "END CHARMAP\n" : "", f);
    assert_int_equal(fclose(f), 0);
}

/* Debian installs no locale with a decimal comma by itself: compile one (localedef comes with libc-bin), from
 * sources of our own, since those of the package "locales" may be missing too. */
static void doubles_have_a_point_where_the_locale_has_a_comma(void **state)
{
    char dir[] = "/tmp/pm_test_json.XXXXXX", command[256], text[8];

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    write_file("numbers",
               "LC_NUMERIC\ndecimal_point \",\"\nthousands_sep \".\"\ngrouping 3;3\n"
               "END LC_NUMERIC\n",
               0);
    write_file("charmap", "<code_set_name> ANSI_X3.4-1968\n<escape_char> /\nCHARMAP\n", 128);
    snprintf(command, sizeof(command),
             "localedef -c -f ./charmap -i ./numbers %s/xx_XX >/dev/null 2>&1", dir);
    (void)!system(command); /* warns of the missing categories */
    setenv("LOCPATH", dir, 1);
    assert_non_null(setlocale(LC_NUMERIC, "xx_XX"));
    snprintf(text, sizeof(text), "%.1f", 0.5);
    assert_string_equal(text, "0,5");

    check_doubles();
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    assert_int_equal(chdir("/"), 0);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static void seconds_are_exact_to_the_microsecond(void **state)
{
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000001"},
        {12500, "0.0125"},
        {1000000, "1"},
        {10000000, "10"},
        {90500000, "90.5"},
        {UINT64_MAX, "18446744073709.551615"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        pm_json j;

        begin(&j);
        pm_json_seconds(&j, cases[i].us);
        assert_int_equal(pm_json_end(&j), APR_SUCCESS);
        assert_string_equal(output, cases[i].text);
    }
}

static void integers_are_written_to_their_ends(void **state)
{
    pm_json j;

    (void)state;
    begin(&j);
    pm_json_array(&j);
    pm_json_uint(&j, UINT64_MAX);
    pm_json_int(&j, INT64_MAX);
    pm_json_int(&j, INT64_MIN);
    pm_json_array_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    assert_string_equal(output, "[18446744073709551615,9223372036854775807,-9223372036854775808]");
}

static void nesting_ends_at_its_limit(void **state)
{
    pm_json j;

    (void)state;
    for (int depth = PM_JSON_DEPTH - 1; depth <= PM_JSON_DEPTH + 40; depth++) {
        begin(&j);
        for (int i = 0; i < depth; i++) {
            pm_json_array(&j);
        }
        for (int i = 0; i < depth; i++) {
            pm_json_array_end(&j);
        }
        assert_int_equal(pm_json_end(&j), depth <= PM_JSON_DEPTH ? APR_SUCCESS : APR_EINVAL);
        if (depth <= PM_JSON_DEPTH) {
            json_decref(read_back(0));
        }
    }
}

/* A program of calls: { } [ ] are the containers, k a key, v a value. */
static apr_status_t run(const char *calls)
{
    pm_json j;

    begin(&j);
    for (; *calls != '\0'; calls++) {
        switch (*calls) {
        case '{':
            pm_json_object(&j);
            break;
        case '}':
            pm_json_object_end(&j);
            break;
        case '[':
            pm_json_array(&j);
            break;
        case ']':
            pm_json_array_end(&j);
            break;
        case 'k':
            pm_json_key(&j, "k");
            break;
        default:
            pm_json_raw(&j, "0", 1);
        }
    }
    return pm_json_end(&j);
}

static void a_call_out_of_place_fails_the_writer(void **state)
{
    static const char *const good[] = {
        "v", "[]", "{}", "[vv]", "{kvkv}", "{k{}k[v]}", "[{}[]v]",
    };
    static const char *const bad[] = {
        "",   "[",   "{",    "]",     "}",   "[}",  "{]", "vv",  "[]v", "v[]",
        "{v", "{v}", "{[]}", "{kkv}", "{k}", "[k]", "kv", "{kv", "{k]", "[v]]",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_int_equal(run(good[i]), APR_SUCCESS);
        json_decref(read_back(JSON_DECODE_ANY));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (run(bad[i]) != APR_EINVAL) {
            fail_msg("%s gave %s", bad[i], output);
        }
    }
}

static void what_the_writer_accepts_is_json_whatever_the_calls(void **state)
{
    uint64_t seed = 41;
    int accepted = 0;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        char calls[12] = "";
        size_t len = splitmix_next(&seed) % sizeof(calls);

        for (size_t i = 0; i < len; i++) {
            calls[i] = "{}[]kv"[splitmix_next(&seed) % 6];
        }
        if (run(calls) == APR_SUCCESS) {
            json_decref(read_back(JSON_DECODE_ANY));
            assert_true(pm_json_valid(output, output_len));
            accepted++;
        }
    }
    assert_true(accepted > 1000);
}

static void a_long_document_goes_to_the_sink_in_pieces(void **state)
{
    static char text[20000];
    json_t *root;
    pm_json j;

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] = (char)('a' + i % 23);
    }
    begin(&j);
    pm_json_array(&j);
    for (int i = 0; i < 20; i++) {
        pm_json_string(&j, text);
        assert_true(output_len + sizeof(j.buffer) >= (size_t)(i + 1) * (sizeof(text) - 1));
    }
    pm_json_array_end(&j);
    assert_int_equal(pm_json_end(&j), APR_SUCCESS);
    assert_int_equal(sink_calls, output_len / sizeof(j.buffer) + 1);
    root = read_back(0);
    assert_int_equal(json_array_size(root), 20);
    assert_string_equal(json_string_value(json_array_get(root, 19)), text);
    json_decref(root);
}

static void the_first_error_of_the_sink_sticks_and_ends_its_calls(void **state)
{
    (void)state;
    for (int fails_at = 1; fails_at <= 4; fails_at++) {
        pm_json j;

        begin(&j);
        sink_fails_at = fails_at;
        pm_json_array(&j);
        for (int i = 0; i < 4000; i++) {
            pm_json_uint(&j, 123456);
        }
        pm_json_object_end(&j); /* out of place, but not the first */
        assert_int_equal(pm_json_end(&j), APR_ENOSPC);
        assert_int_equal(sink_calls, fails_at);
    }
}

static void
what_does_not_fit_into_bounded_text_is_refused_and_what_is_there_stays_whole(void **state)
{
    char text[10], after[] = "0123456789";
    pm_bounded b = {text, 8, 0};
    pm_json j;

    (void)state;
    memcpy(text, after, sizeof(text));
    assert_int_equal(pm_into_bounded(&b, "abcd", 4), APR_SUCCESS);
    assert_int_equal(pm_into_bounded(&b, "efgh", 4), APR_ENOSPC); /* no room for the NUL */
    assert_string_equal(text, "abcd");
    assert_int_equal(pm_into_bounded(&b, "efg", 3), APR_SUCCESS);
    assert_int_equal(pm_into_bounded(&b, "h", 1), APR_ENOSPC);
    assert_string_equal(text, "abcdefg");
    assert_int_equal(b.used, 7);
    assert_memory_equal(text + 8, after + 8, 2);
    b.used = 0;
    pm_json_begin(&j, pm_into_bounded, &b);
    pm_json_string(&j, "123456");
    assert_int_equal(pm_json_end(&j), APR_ENOSPC);
    assert_int_equal(b.used, 0);
}

static void an_error_at_the_last_flush_is_seen(void **state)
{
    pm_json j;

    (void)state;
    begin(&j);
    sink_fails_at = 1;
    pm_json_uint(&j, 1);
    assert_int_equal(pm_json_end(&j), APR_ENOSPC);
}

static void a_raw_value_stays_one_line_and_the_same_value(void **state)
{
    static const char *const cases[][2] = {
        {"{}", "{}"},
        {" \r\n\t[ 1 ,\n2 ] \n", "[1,2]"},
        {"{ \"a b\" : \" \\\" { \\\\\" , \"c\":[ ] }", "{\"a b\":\" \\\" { \\\\\",\"c\":[]}"},
        {"\"\x7F\xC2\x9B\xC2\xA0\xC3\xA9\"", "\"\\u007f\\u009b\xC2\xA0\xC3\xA9\""},
        {"-1.5e+10", "-1.5e+10"},
        {"\"\\u000a\\n\\/\"", "\"\\u000a\\n\\/\""},
        {"[1,]", "null"},
        {"", "null"},
        {"1 2", "null"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *before, *after;
        pm_json j;

        begin(&j);
        pm_json_raw(&j, cases[i][0], strlen(cases[i][0]));
        assert_int_equal(pm_json_end(&j), APR_SUCCESS);
        assert_string_equal(output, cases[i][1]);
        after = read_back(READ_FLAGS);
        before = json_loads(cases[i][0], READ_FLAGS, NULL);
        assert_true(before == NULL ? json_is_null(after) : json_equal(before, after));
        json_decref(before);
        json_decref(after);
    }
}

static int valid(const char *text)
{
    return pm_json_valid(text, strlen(text));
}

/* Both tables are jansson's judgement too, so that they are the RFC's and not ours alone. */
static void json_is_what_rfc_8259_says(void **state)
{
    static const char *const good[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "10",
        "1.5",
        "0.0",
        "1e5",
        "1E+5",
        "1e-05",
        "-0.1e10",
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u00e9\\uABCD\\ud83d\\ude00\"",
        "\"\\u0000\"",
        "\"\\ud800\\udc00\\udbff\\udfff\\ud7ff\\ue000\"",
        "\"\x7F\"",
        "\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\"",
        "\"\xEF\xBF\xBF\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1]",
        "[1,2]",
        " [ 1 , 2 ] ",
        "\t\r\n1\n",
        "{\"a\":1}",
        "{ \"a\" : { \"b\" : [ ] } , \"c\" : null }",
        "{\"\":0}",
        "[[],{},\"\",0,true,null]",
        "{\"a\":1,\"a\":2}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "nulll",
        "Null",
        "NULL",
        "True",
        "tru",
        "undefined",
        "NaN",
        "Infinity",
        "-Infinity",
        "00",
        "01",
        "-01",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "1e1.5",
        "0x10",
        "1_000",
        "--1",
        "1 2",
        "1,",
        "\"",
        "\"a",
        "a\"",
        "'a'",
        "\"\\",
        "\"\\\"",
        "\"\\a\"",
        "\"\\x41\"",
        "\"\\u\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\U00e9\"",
        "\"\n\"",
        "\"\t\"",
        "\"\x1F\"",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ud83d\\ud83d\"",
        "\"\\ude00\"",
        "\"\\udc00\"",
        "\"\\udfff\"",
        "\"\\ud83d\\ue000\"",
        "\"\\ud83d\\udbff\"",
        "\"\\ud83d\\u00zz\"",
        "\"\\ude00\\ud83d\"",
        "\"\x80\"",
        "\"\xC3\"",
        "\"\xC0\xAF\"",
        "\"\xED\xA0\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xFF\"",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1}",
        "[1]]",
        "[1];",
        "{",
        "}",
        "{1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{:1}",
        "{\"a\":1]",
        "{\"a\":1}}",
        "{\"a\"::1}",
        "{\"a\":1 \"b\":2}",
        "[]{}",
        "/**/1",
        "1//",
        "#1",
        "\xEF\xBB\xBF"
        "1",
        "\xC2\xA0"
        "1",
        "\f1",
        "\v1",
        "\"a\" b",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        json_t *value = json_loads(good[i], READ_FLAGS, NULL);

        if (!valid(good[i]) || value == NULL) {
            fail_msg("good: %s", good[i]);
        }
        json_decref(value);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (valid(bad[i]) || json_loads(bad[i], READ_FLAGS, NULL) != NULL) {
            fail_msg("bad: %s", bad[i]);
        }
    }
}

static void json_that_common_readers_stumble_over_is_refused(void **state)
{
    char text[64];

    (void)state;
    assert_false(pm_json_valid("1\0", 2));
    assert_false(pm_json_valid("\"a\0b\"", 5));
    assert_false(pm_json_valid("\0", 1));
    assert_false(pm_json_valid("\"\\\0\"", 4));
    assert_false(pm_json_valid("\"\\u00\0\0\"", 8));
    assert_true(valid("1e99"));
    assert_false(valid("1e100"));
    assert_false(valid("1e-100"));
    memset(text, '9', sizeof(text));
    text[0] = '-';
    assert_true(pm_json_valid(text, 40));
    assert_false(pm_json_valid(text, 41));
}

static void json_is_valid_up_to_sixteen_levels(void **state)
{
    (void)state;
    for (size_t depth = 1; depth <= 100000; depth = depth < 20 ? depth + 1 : depth * 10) {
        char *text = malloc(depth * 6);

        assert_non_null(text);
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(pm_json_valid(text, depth * 2), depth <= 16);
        assert_false(pm_json_valid(text, depth));
        assert_false(pm_json_valid(text, depth * 2 - 1));
        for (size_t i = 0; i < depth; i++) {
            memcpy(text + i * 5, "{\"a\":", 5);
        }
        text[depth * 5 - 5] = '0'; /* the innermost value stands at depth - 1 */
        memset(text + depth * 5 - 4, '}', depth - 1);
        assert_int_equal(pm_json_valid(text, depth * 6 - 5), depth - 1 <= 16);
        free(text);
    }
}

/* jansson agrees on all that has been damaged, in both directions. Numbers whose exponent grew are left out:
 * there the limits differ. */
static void damaged_documents_are_judged_as_jansson_does(void **state)
{
    static const char *const documents[] = {
        "{\"added\":[{\"args\":\"/api http://[::1]:8080/\",\"line\":12}]}",
        "[null,true,false,-1.25,0,1e3,\"\\u00e9\\ud83d\\ude00\",{\"a\":[{}]}]",
        "{\"text\":\"caf\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80\",\"n\":[1,2,3], \"o\" : { } }",
    };
    static const char alphabet[] = "{}[]\",:\\0123456789.-+u dD8nt\x80\xBF\xC3\xE2\xF0\x01";
    uint64_t seed = 53;
    int accepted = 0;

    (void)state;
    for (int round = 0; round < 300000; round++) {
        const char *document = documents[round % COUNT(documents)];
        size_t len = strlen(document);
        int edits = 1 + (int)(splitmix_next(&seed) % 3);
        char text[128];
        json_t *value;
        int ours;

        memcpy(text, document, len);
        while (edits-- > 0) {
            size_t at = splitmix_next(&seed) % len;

            if (splitmix_next(&seed) % 4 == 0) { /* a byte less */
                memmove(text + at, text + at + 1, --len - at);
            }
            else {
                text[at] = alphabet[splitmix_next(&seed) % (sizeof(alphabet) - 1)];
            }
        }
        if (memmem(text, len, "e3", 2) != NULL && memmem(text, len, ",1e3,", 5) == NULL) {
            continue;
        }
        value = json_loadb(text, len, READ_FLAGS, NULL);
        ours = pm_json_valid(text, len);
        if (ours != (value != NULL)) {
            fail_msg("%d, jansson %d: %.*s", ours, value != NULL, (int)len, text);
        }
        accepted += ours;
        json_decref(value);
    }
    assert_in_range(accepted, 1000, 299000);
}

static void the_check_reads_no_byte_beyond_its_length(void **state)
{
    static const char document[] = "{\"a\":[1.5e3,\"\\ud83d\\ude00\xE2\x82\xAC\",true,null,false]}";

    (void)state;
    for (size_t len = 0; len < sizeof(document) - 1; len++) {
        char *exact = malloc(
            len + 1); /* with EXTRA_CFLAGS=-fsanitize=address any read past it ends the test */

        assert_non_null(exact);
        memcpy(exact + 1, document, len);
        assert_false(pm_json_valid(exact + 1, len));
        free(exact);
    }
    assert_true(valid(document));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_value_reads_back),
        cmocka_unit_test(what_is_unknown_is_null),
        cmocka_unit_test(strings_of_any_bytes_read_back_as_utf_8),
        cmocka_unit_test(no_control_character_reaches_the_terminal),
        cmocka_unit_test(keys_are_strings_like_any_other),
        cmocka_unit_test(doubles_have_six_decimals_and_no_exponent),
        cmocka_unit_test(doubles_have_a_point_where_the_locale_has_a_comma),
        cmocka_unit_test(seconds_are_exact_to_the_microsecond),
        cmocka_unit_test(integers_are_written_to_their_ends),
        cmocka_unit_test(nesting_ends_at_its_limit),
        cmocka_unit_test(a_call_out_of_place_fails_the_writer),
        cmocka_unit_test(what_the_writer_accepts_is_json_whatever_the_calls),
        cmocka_unit_test(a_long_document_goes_to_the_sink_in_pieces),
        cmocka_unit_test(the_first_error_of_the_sink_sticks_and_ends_its_calls),
        cmocka_unit_test(
            what_does_not_fit_into_bounded_text_is_refused_and_what_is_there_stays_whole),
        cmocka_unit_test(an_error_at_the_last_flush_is_seen),
        cmocka_unit_test(a_raw_value_stays_one_line_and_the_same_value),
        cmocka_unit_test(json_is_what_rfc_8259_says),
        cmocka_unit_test(json_that_common_readers_stumble_over_is_refused),
        cmocka_unit_test(json_is_valid_up_to_sixteen_levels),
        cmocka_unit_test(damaged_documents_are_judged_as_jansson_does),
        cmocka_unit_test(the_check_reads_no_byte_beyond_its_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
