/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_event.c: event types and their data: the table, what is written and what is read back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pm_check.h"
#include "pm_record.h"
#include "pm_time.h"

static void every_type_has_a_name_and_a_meaning_of_its_own(void **state)
{
    (void)state;
    for (uint32_t type = 1; type < PM_EV_TYPES; type++) {
        const pm_event_fact *fact = pm_event_fact_of(type);

        assert_non_null(fact->name);
        assert_true(strlen(fact->meaning) > 8);
        assert_true(fact->by != 0);
        for (uint32_t other = 1; other < type; other++) {
            assert_string_not_equal(pm_event_name(other), fact->name);
        }
    }
    assert_string_equal(pm_event_name(PM_EV_TYPES), "unknown");
    assert_string_equal(pm_event_name(PM_EV_NOTE), "note");
}

static void every_member_is_declared_once_and_says_what_it_is(void **state)
{
    (void)state;
    for (uint32_t type = 1; type < PM_EV_TYPES; type++) {
        const pm_member *m = pm_event_fact_of(type)->members;

        for (int n = 0; m[n].key != NULL; n++) {
            assert_true(strlen(m[n].meaning) > 2);
            for (int k = 0; k < n; k++) {
                assert_string_not_equal(m[k].key, m[n].key);
            }
        }
    }
}

static void what_is_written_is_read_back(void **state)
{
    static pm_draft d;
    const char *odd = "/a \"b\"\\c\n\xc3\xa4";
    char text[64];
    uint64_t n = 0;
    const pm_event *e;

    (void)state;
    pm_draft_begin(&d, PM_EV_DEPENDENCY_MISSING, 5);
    pm_draft_text(&d, "path", odd);
    pm_draft_time(&d, "noticed", PM_SECOND);
    pm_draft_null(&d, "since");
    pm_json_array(pm_draft_value(&d, "needed_by"));
    pm_json_array_end(&d.json);
    e = pm_draft_end(&d, "%s is missing", "a");
    assert_int_equal(e->severity, PM_CRITICAL);
    assert_int_equal(strlen(e->data), e->data_len);
    assert_string_equal(e->text, "a is missing");
    assert_true(pm_event_text(e, "path", text, sizeof(text)));
    assert_string_equal(text, odd);
    assert_true(pm_json_is(pm_event_value(e, "since"), "null"));
    assert_null(pm_event_value(e, "identity").text);
    assert_false(pm_event_count(e, "path", &n));

    pm_draft_begin(&d, PM_EV_CHILD_CRASH, 5);
    pm_draft_count(&d, "pid", UINT64_MAX);
    pm_draft_seconds(&d, "oldest", 1500000);
    e = pm_draft_end(&d, "died");
    assert_string_equal(e->data, "{\"pid\":18446744073709551615,\"oldest\":1.5}");
    assert_true(pm_event_count(e, "pid", &n));
    assert_true(n == UINT64_MAX);
}

static void data_for_which_there_is_no_room_is_left_out_whole(void **state)
{
    static pm_draft d;
    char path[PM_DRAFT_DATA];

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    pm_draft_begin(&d, PM_EV_FILE_CHANGED, 5);
    pm_draft_text(&d, "path", path);
    pm_draft_end(&d, "changed");
    assert_string_equal(d.event.data, "{\"truncated\":true}");
    assert_int_equal(d.event.data_len, strlen(d.event.data));
}

static pm_event of(uint32_t type, const char *data)
{
    return (pm_event){.type = type, .data = data, .data_len = (uint32_t)strlen(data)};
}

static void a_key_within_a_text_or_a_structure_is_no_member(void **state)
{
    pm_event e = of(PM_EV_NOTE, "{\"message\":\"\\\"user\\\":1\",\"path\":{\"user\":\"x\"}}");

    (void)state;
    assert_null(pm_event_value(&e, "user").text);
    assert_false(pm_event_is_change(&e));
    e = of(PM_EV_NOTE, "{\"message\":\"m\", \"user\" : \"eva\"}");
    assert_true(pm_event_is_change(&e));
}

static void a_load_says_itself_whether_it_changed_anything(void **state)
{
    static const struct {
        const char *data;
        int nothing, change;
    } loads[] = {{"{\"changes\":0}", 1, 0},
                 {"{\"changes\":0,\"files\":2}", 0, 0},
                 {"{\"changes\":3}", 0, 0},
                 {"{\"changes\":null}", 0, 1},
                 {"{}", 0, 0},
                 {"{\"changes\":", 0, 0}};

    (void)state;
    for (size_t n = 0; n < sizeof(loads) / sizeof(loads[0]); n++) {
        pm_event e = of(PM_EV_CONFIG_RELOAD, loads[n].data);

        assert_int_equal(pm_event_changed_nothing(&e), loads[n].nothing);
        assert_int_equal(pm_event_is_change(&e), loads[n].change);
    }
}

static void lists_are_stepped_through_and_their_end_is_found(void **state)
{
    static const char *const broken[] = {"[1,", "[1 2]", "{\"a\"}", "{\"a\":}", "7", "\"x\"", ""};
    pm_json_value list = {"[ 1 , {\"directive\":\"Listen\"}, [] ]", 0};
    pm_json_value key = {NULL, 0}, item = {NULL, 0};
    char text[4];
    int count = 0;

    (void)state;
    list.len = strlen(list.text);
    while (pm_json_next(list, &key, &item)) {
        count++;
        if (count == 2) {
            assert_true(pm_json_to_text(pm_json_find(item, "directive"), text, sizeof(text)));
            assert_string_equal(text, "Lis");
        }
    }
    assert_int_equal(count, 3);
    for (size_t n = 0; n < sizeof(broken) / sizeof(broken[0]); n++) {
        list = (pm_json_value){broken[n], strlen(broken[n])};
        item.text = NULL;
        for (count = 0; pm_json_next(list, &key, &item) && count < 5; count++) {
        }
        assert_true(count < 2);
    }
}

static void a_text_may_hold_any_character(void **state)
{
    static const char raw[] = "\"\\u00e4\\u20ac\\t\\/\\\"\"";
    char text[16];

    (void)state;
    assert_true(pm_json_to_text((pm_json_value){raw, sizeof(raw) - 1}, text, sizeof(text)));
    assert_string_equal(text, "\xc3\xa4\xe2\x82\xac\t/\"");
}

/** Both ends in a process of its own. */
static int ends(void (*does)(void))
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        close(STDERR_FILENO);
        does();
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void write_undeclared(void)
{
    static pm_draft d;

    pm_draft_begin(&d, PM_EV_SERVER_START, 5);
    pm_draft_count(&d, "pids", 1);
}

static void write_another_kind(void)
{
    static pm_draft d;

    pm_draft_begin(&d, PM_EV_SERVER_START, 5);
    pm_draft_text(&d, "pid", "1");
}

static void write_declared(void)
{
    static pm_draft d;

    pm_draft_begin(&d, PM_EV_SERVER_START, 5);
    pm_draft_count(&d, "pid", 1);
}

static void a_member_that_the_table_has_not_ends_a_test(void **state)
{
    (void)state;
    assert_true(ends(write_undeclared));
    assert_true(ends(write_another_kind));
    assert_false(ends(write_declared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_name_and_a_meaning_of_its_own),
        cmocka_unit_test(every_member_is_declared_once_and_says_what_it_is),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(data_for_which_there_is_no_room_is_left_out_whole),
        cmocka_unit_test(a_key_within_a_text_or_a_structure_is_no_member),
        cmocka_unit_test(a_load_says_itself_whether_it_changed_anything),
        cmocka_unit_test(lists_are_stepped_through_and_their_end_is_found),
        cmocka_unit_test(a_text_may_hold_any_character),
        cmocka_unit_test(a_member_that_the_table_has_not_ends_a_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
