/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_watch.c: what a look at a watched file means, and what is said of it.
 */
#include "capture_case.h"

#include <jansson.h>

#include "pm_config.h"
#include "pm_text.h"
#include "pm_time.h"
#include "pm_watch.h"

#define SECOND PM_SECOND
#define NOW (T0 + 1000 * SECOND)

typedef struct watching {
    fixture *f;
    pm_watch_table *table;
    pm_fold fold;
    uint64_t now, monotonic;
    char said[512];
} watching;

static void take_sentence(void *ctx, int severity, const char *sentence)
{
    watching *w = ctx;

    (void)severity;
    snprintf(w->said, sizeof(w->said), "%s", sentence);
}

static int begin_watching(void **state)
{
    watching *w = calloc(1, sizeof(*w));
    void *inner;

    assert_int_equal(begin(&inner), 0);
    w->f = inner;
    w->table = calloc(1, sizeof(*w->table));
    w->now = NOW;
    w->monotonic = 500 * SECOND;
    w->fold.state = calloc(1, pm_ledger_size(1));
    w->fold.say = take_sentence;
    w->fold.ctx = w;
    w->fold.server.started_us = NOW - 100 * SECOND;
    pm_watch_table_init(w->table, NOW - 50 * SECOND);
    *state = w;
    return 0;
}

static int end_watching(void **state)
{
    watching *w = *state;
    void *inner = w->f;

    free(w->table);
    free(w->fold.state);
    free(w);
    return end(&inner);
}

/* ---- looks that a test makes up ---- */

static pm_look there(uint64_t ino, uint64_t size)
{
    return (pm_look){.result = PM_LOOK_THERE,
                     .is = {.dev = 1, .ino = ino, .size = size, .mtime_us = T0, .mode = S_IFREG}};
}

static pm_look gone(void)
{
    return (pm_look){.result = PM_LOOK_GONE, .error = ENOENT};
}

/* The tick sees a look, and `seconds` pass. */
static void see(watching *w, int number, pm_look look, double seconds)
{
    look.at_us = w->now;
    pm_watch_judge(w->table, (uint32_t)number, &look, &w->fold, w->now, w->monotonic);
    w->now += (uint64_t)(seconds * 1e6);
    w->monotonic += (uint64_t)(seconds * 1e6);
}

static int object(watching *w, const char *path)
{
    int n = pm_watch_put(w->table, PM_WATCH_OBJECT, path, "");

    w->table->at[n].running = w->table->at[n].told = there(7, 100).is;
    w->table->at[n].state = PM_WATCH_SAYS_THERE;
    return n;
}

static uint64_t events(const watching *w)
{
    return w->fold.state->pending_next;
}

static const pm_pending_event *event(const watching *w, uint64_t number)
{
    assert_true(number < events(w));
    return &w->fold.state->pending[number % PM_PENDING_EVENTS];
}

static json_t *data_of(const watching *w, uint64_t number)
{
    json_t *data = json_loads(event(w, number)->data, JSON_REJECT_DUPLICATES, NULL);

    assert_non_null(data);
    return data;
}

/* ---- objects ---- */

static void what_is_as_it_was_says_nothing(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");

    for (int i = 0; i < 100; i++) {
        see(w, n, there(7, 100), 2);
    }
    assert_int_equal(events(w), 0);
    assert_int_equal(pm_watch_missing(w->table), 0);
}

static void what_is_gone_is_said_once_and_its_return_too(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so"), by = object(w, "/modules/mod_y.so");

    w->table->at[n].needs[0] = (uint16_t)by;
    w->table->at[n].need_count = 1;
    for (int i = 0; i < 10; i++) {
        see(w, n, gone(), 2);
    }
    assert_int_equal(events(w), 1);
    assert_int_equal(event(w, 0)->type, PM_EV_DEPENDENCY_MISSING);
    assert_int_equal(event(w, 0)->severity, PM_CRITICAL);
    assert_non_null(strstr(event(w, 0)->text, "/lib/x.so is missing; mod_y.so needs it"));
    json_t *data = data_of(w, 0);
    assert_string_equal(json_string_value(json_object_get(data, "path")), "/lib/x.so");
    assert_string_equal(json_string_value(json_array_get(json_object_get(data, "needed_by"), 0)),
                        "/modules/mod_y.so");
    assert_true(json_is_null(json_object_get(data, "since")));
    json_decref(data);
    assert_int_equal(pm_watch_missing(w->table), 1);
    for (int i = 0; i < 10; i++) {
        see(w, n, there(9, 100), 2);
    }
    assert_int_equal(events(w), 2);
    assert_int_equal(event(w, 1)->type, PM_EV_DEPENDENCY_CHANGED);
    data = data_of(w, 1);
    assert_true(json_is_true(json_object_get(data, "returned")));
    assert_true(json_is_false(json_object_get(data, "same")));
    json_decref(data);
    assert_int_equal(pm_watch_missing(w->table), 0);
}

static void nothing_names_what_was_opened_at_run_time(void **state)
{
    watching *w = *state;
    int n = object(w, "/modules/mod_y.so");

    see(w, n, gone(), 3);
    see(w, n, gone(), 3);
    assert_non_null(
        strstr(event(w, 0)->text, "opened at run time, nothing that is loaded names it"));
    json_t *data = data_of(w, 0);
    assert_int_equal(json_array_size(json_object_get(data, "needed_by")), 0);
    json_decref(data);
}

static void what_is_back_within_two_seconds_was_never_missing(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");

    for (int i = 0; i < 20; i++) {
        see(w, n, gone(), 1.9);
        see(w, n, there(7, 100), 1);
    }
    assert_int_equal(events(w), 0);
}

static void what_was_replaced_is_said_when_it_rests(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");

    see(w, n, there(8, 10), 2);
    see(w, n, there(8, 20), 2);
    assert_int_equal(events(w), 0);
    see(w, n, there(7, 100), 2);
    see(w, n, there(8, 20), 0.5);
    see(w, n, there(8, 20), 0.5);
    see(w, n, there(8, 20), 0.4);
    see(w, n, there(8, 20), 0.2);
    assert_int_equal(events(w), 0);
    see(w, n, there(8, 20), 2);
    assert_int_equal(events(w), 1);
    assert_int_equal(event(w, 0)->type, PM_EV_DEPENDENCY_CHANGED);
    json_t *data = data_of(w, 0), *from = json_object_get(data, "from"),
           *to = json_object_get(data, "to");
    assert_int_equal(json_integer_value(json_object_get(from, "ino")), 7);
    assert_int_equal(json_integer_value(json_object_get(from, "size")), 100);
    assert_int_equal(json_integer_value(json_object_get(to, "ino")), 8);
    assert_int_equal(json_integer_value(json_object_get(to, "size")), 20);
    assert_null(json_object_get(data, "returned"));
    json_decref(data);
}

static void what_never_rests_is_said_after_a_while(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");

    for (uint64_t i = 0; i < 4; i++) {
        see(w, n, there(8, i), 2);
    }
    assert_int_equal(events(w), 1);
}

static void what_changed_and_is_as_before_is_forgotten(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");

    for (int i = 0; i < 20; i++) {
        see(w, n, there(8, 100), 1);
        see(w, n, there(7, 100), 1);
    }
    assert_int_equal(events(w), 0);
}

static void no_permission_and_no_answer_are_not_missing(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so"), key = pm_watch_put(w->table, PM_WATCH_KEY, "/key", "K");

    for (int i = 0; i < 20; i++) {
        see(w, n, (pm_look){.result = PM_LOOK_DENIED, .error = EACCES}, 2);
        see(w, n, (pm_look){.result = PM_LOOK_ERROR, .error = EIO}, 2);
        see(w, key, (pm_look){.result = PM_LOOK_DENIED, .error = EACCES}, 2);
    }
    assert_int_equal(events(w), 0);
    assert_true(pm_watch_wants_help(w->table)); /* for the key: objects are mapped by anybody */
}

static void what_is_hidden_is_judged_by_the_helpers_look(void **state)
{
    watching *w = *state;
    char path[256], aside[256];
    int n;

    snprintf(path, sizeof(path), "%s/key", w->f->folder);
    snprintf(aside, sizeof(aside), "%s/aside", w->f->folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    n = pm_watch_put(w->table, PM_WATCH_KEY, path, "SSLCertificateKeyFile, x.conf:3");
    pm_watch_take(w->table, n);
    see(w, n, (pm_look){.result = PM_LOOK_DENIED}, 2);
    pm_watch_help(w->table, 0);
    see(w, n, (pm_look){.result = PM_LOOK_DENIED}, 2);
    assert_int_equal(events(w), 0);
    rename(path, aside);
    if (fork_child(w->f) == 0) {
        usleep(100000); /* the helper looks again two seconds later */
        _exit(rename(aside, path));
    }
    pm_watch_help(w->table, 0); /* makes sure itself */
    assert_int_equal(end_child(w->f, 0), 0);
    see(w, n, (pm_look){.result = PM_LOOK_DENIED}, 2);
    assert_int_equal(events(w), 0);
    unlink(path);
    pm_watch_help(w->table, 0);
    see(w, n, (pm_look){.result = PM_LOOK_DENIED}, 2);
    assert_int_equal(events(w), 1);
    assert_int_equal(event(w, 0)->type, PM_EV_DEPENDENCY_MISSING);
    assert_non_null(strstr(event(w, 0)->text, "SSLCertificateKeyFile, x.conf:3 names it"));
}

/* ---- when it happened ---- */

static void a_time_between_two_looks_is_believed_and_no_other(void **state)
{
    static const struct {
        int64_t before_s; /* the file system's time, seconds before it was noticed */
        int believed;
    } cases[] = {{3, 1}, {300, 0}, {-5, 0}};

    for (size_t i = 0; i < 3; i++) {
        watching *w = *state;
        char path[32];
        uint64_t noticed, claimed;
        pm_look look = gone();
        int n;

        snprintf(path, sizeof(path), "/lib/%zu.so", i);
        n = object(w, path);
        see(w, n, there(7, 100), 2);
        noticed = w->now + 3 * SECOND;
        claimed = (uint64_t)((int64_t)noticed - cases[i].before_s * (int64_t)SECOND);
        look.gone_us = claimed;
        see(w, n, look, 3);
        see(w, n, look, 2);
        assert_int_equal(event(w, i)->at_us, cases[i].believed ? claimed : noticed);
    }
}

/* ---- configuration ---- */

static void drift_is_by_content_and_ends(void **state)
{
    watching *w = *state;
    int n = pm_watch_put(w->table, PM_WATCH_CONFIG, "/etc/x.conf", "");
    pm_look running = there(7, 100), other = there(8, 100), edited = there(7, 100);

    running.is.content = other.is.content = 5;
    other.is.mtime_us += SECOND;
    edited.is.content = 6;
    w->table->at[n].running = w->table->at[n].told = running.is;
    w->table->at[n].state = PM_WATCH_SAYS_THERE;
    for (int i = 0; i < 5; i++) {
        see(w, n, other, 2);
        pm_watch_say_drift(w->table, &w->fold, w->now);
    }
    assert_int_equal(events(w), 0);
    for (int i = 0; i < 5; i++) {
        see(w, n, edited, 2);
        pm_watch_say_drift(w->table, &w->fold, w->now);
    }
    assert_int_equal(events(w), 1);
    for (int i = 0; i < 5; i++) {
        see(w, n, running, 2);
        pm_watch_say_drift(w->table, &w->fold, w->now);
    }
    assert_int_equal(events(w), 2);
    for (uint64_t i = 0; i < 2; i++) {
        json_t *data = data_of(w, i);

        assert_int_equal(event(w, i)->type, PM_EV_CONFIG_DRIFT);
        assert_int_equal(json_boolean_value(json_object_get(data, "resolved")), i);
        assert_string_equal(json_string_value(json_array_get(json_object_get(data, "files"), 0)),
                            "/etc/x.conf");
        json_decref(data);
    }
}

static void many_files_that_drift_at_once_are_one_event(void **state)
{
    watching *w = *state;

    for (int i = 0; i < 300; i++) {
        char path[200];
        int n;

        snprintf(path, sizeof(path), "/etc/apache2/sites-enabled/%0100d.conf", i);
        n = pm_watch_put(w->table, PM_WATCH_CONFIG, path, "");
        w->table->at[n].running = w->table->at[n].told = there(7, 100).is;
        w->table->at[n].state = PM_WATCH_SAYS_THERE;
        see(w, n, there(7, 101), 2);
        see(w, n, there(7, 101), 0);
    }
    pm_watch_say_drift(w->table, &w->fold, w->now);
    assert_int_equal(events(w), 1);
    assert_non_null(strstr(event(w, 0)->text, "and 299 others"));
    json_t *data = data_of(w, 0);
    assert_int_equal(json_integer_value(json_object_get(data, "count")), 300);
    json_decref(data);
}

/* ---- .htaccess, folders, PMCaptureWatch ---- */

static void an_htaccess_file_is_news_when_it_was_edited_since_the_start(void **state)
{
    watching *w = *state;
    static const struct {
        int before_s; /* last change */
        uint64_t said;
    } cases[] = {{101, 0}, {99, 1}, {1, 1}, {-10, 0}};

    for (size_t i = 0; i < 4; i++) {
        uint64_t before = events(w);
        pm_look look = there(7, 10);
        char path[32];
        int n;

        snprintf(path, sizeof(path), "/www/%zu/.htaccess", i);
        n = pm_watch_put(w->table, PM_WATCH_HTACCESS, path, "");
        w->now = NOW;
        look.is.ctime_us = (uint64_t)((int64_t)NOW - cases[i].before_s * (int64_t)SECOND);
        see(w, n, look, 2);
        see(w, n, look, 2);
        assert_int_equal(events(w) - before, cases[i].said);
        if (cases[i].said) {
            assert_int_equal(event(w, before)->type, PM_EV_FILE_CHANGED);
            assert_int_equal(event(w, before)->at_us, look.is.ctime_us);
        }
    }
}

static void a_watched_file_that_is_not_there_is_not_missing_until_it_was(void **state)
{
    watching *w = *state;
    int n = pm_watch_put(w->table, PM_WATCH_FILE, "/flag", "PMCaptureWatch, x.conf:1");

    for (int i = 0; i < 5; i++) {
        see(w, n, gone(), 2);
    }
    assert_int_equal(events(w), 0);
    assert_int_equal(pm_watch_missing(w->table), 0);
    assert_non_null(strstr(w->said, "/flag does not exist"));
    see(w, n, there(5, 0), 2);
    see(w, n, there(5, 0), 2);
    assert_int_equal(event(w, 0)->type, PM_EV_FILE_CHANGED);
    assert_non_null(strstr(event(w, 0)->text, "appeared"));
    see(w, n, gone(), 3);
    see(w, n, gone(), 2);
    assert_int_equal(event(w, 1)->type, PM_EV_DEPENDENCY_MISSING);
    assert_int_equal(event(w, 1)->severity, PM_WARNING);
}

static void what_goes_on_changing_is_said_every_half_minute_after_the_first_few_times(void **state)
{
    watching *w = *state;
    int n = pm_watch_put(w->table, PM_WATCH_TOP, "/www", "DocumentRoot, x.conf:1");
    pm_look look = there(5, 4096);

    look.is.mode = S_IFDIR;
    for (uint64_t i = 0; i < 100; i++) {
        look.is.content = i + 1;
        see(w, n, look, 2);
        if (i == 15) { /* 30 s, and it never rests: all that there are */
            assert_in_range(events(w), 3, 4);
        }
    }
    assert_in_range(events(w), 4 + 5, 4 + 6);
    for (uint64_t i = 0; i < events(w); i++) {
        assert_int_equal(event(w, i)->type, PM_EV_FILE_CHANGED);
    }
}

/* ---- the table ---- */

static void a_path_is_watched_once_as_one_kind(void **state)
{
    watching *w = *state;
    int n = pm_watch_put(w->table, PM_WATCH_FILE, "/x", "PMCaptureWatch, x.conf:1");

    assert_int_equal(pm_watch_put(w->table, PM_WATCH_FILE, "/x", "again"), n);
    assert_int_not_equal(pm_watch_put(w->table, PM_WATCH_CONFIG, "/x", ""), n);
    assert_int_equal(atomic_load(&w->table->count), 2);
}

static void what_has_no_room_is_counted(void **state)
{
    watching *w = *state;
    char path[PM_WATCH_PATH + 8];

    assert_int_equal(pm_watch_put(w->table, PM_WATCH_FILE, "relative", ""), -1);
    assert_int_equal(pm_watch_put(w->table, PM_WATCH_FILE, "", ""), -1);
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[PM_WATCH_PATH] = '\0';
    assert_int_equal(pm_watch_put(w->table, PM_WATCH_FILE, path, ""), -1);
    path[PM_WATCH_PATH - 1] = '\0';
    assert_int_equal(pm_watch_put(w->table, PM_WATCH_FILE, path, ""), 0);
    for (int i = 0; i < 1100; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        pm_watch_put(w->table, PM_WATCH_FILE, path, "");
    }
    assert_int_equal(atomic_load(&w->table->count), PM_WATCH_MAX);
    assert_int_equal(w->table->dropped, 3 + 1100 - 1023);
}

static void events_wait_while_the_queue_is_full(void **state)
{
    watching *w = *state;
    pm_ledger *s = w->fold.state;

    for (int i = 0; i < 200; i++) {
        char path[32];

        snprintf(path, sizeof(path), "/lib/%d.so", i);
        object(w, path);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 200; i++) {
            see(w, i, gone(), 0);
        }
        assert_true(s->pending_next - s->pending_first < PM_PENDING_EVENTS);
        s->pending_first = s->pending_next; /* a tick writes them */
        w->monotonic += 3 * SECOND;
    }
    assert_int_equal(events(w), 200);
    assert_int_equal(s->checkpoint.events_lost, 0);
}

static void any_name_gives_data_that_is_json_and_a_clean_sentence(void **state)
{
    watching *w = *state;
    static const char nasty[] = "\"\\\n\x01\xff\xc3\x7f\xe2\x82\xac%s%n</script>";
    char path[PM_WATCH_PATH];
    pm_look link;

    for (size_t len = 2; len < sizeof(path); len += 101) {
        int n;

        path[0] = '/';
        for (size_t i = 1; i < len; i++) {
            path[i] = nasty[i % (sizeof(nasty) - 1)];
        }
        path[len] = '\0';
        n = object(w, path);
        see(w, n, gone(), 3);
        see(w, n, gone(), 3);
        see(w, n, there(8, 8), 3);
        n = pm_watch_put(w->table, PM_WATCH_FILE, path, path);
        see(w, n, there(7, 7), 2);
        link = there(8, 8);
        for (size_t i = 0; i + 3 < sizeof(link.link); i += 3) {
            memcpy(link.link + i, "\xe2\x82\xac", 4);
        }
        memcpy(w->table->at[n].link, link.link, sizeof(link.link));
        w->table->at[n].link[0] = 'x';
        w->table->at[n].link[1] = w->table->at[n].link[2] = 'y';
        see(w, n, link, 2);
        see(w, n, link, 2);
    }
    assert_int_equal(events(w), 18);
    for (uint64_t i = 0; i < events(w); i++) {
        char clean[PM_EVENT_TEXT];
        json_t *data = data_of(w, i);

        assert_non_null(json_object_get(data, "path"));
        json_decref(data);
        pm_text_clean(clean, sizeof(clean), event(w, i)->text, PM_EVENT_TEXT);
        assert_string_equal(clean, event(w, i)->text);
    }
}

static void data_that_does_not_fit_says_so(void **state)
{
    watching *w = *state;
    char path[PM_WATCH_PATH];
    int n;

    memset(path, '\\', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    n = object(w, path);
    see(w, n, gone(), 3);
    see(w, n, gone(), 3);
    assert_string_equal(event(w, 0)->data, "{\"truncated\":true}");
}

/* ---- from one generation to the next ---- */

static pm_watch_table *next_generation(watching *w, int with)
{
    pm_watch_table *last = w->table;

    w->table = calloc(1, sizeof(*w->table));
    pm_watch_table_init(w->table, w->now);
    if (with) {
        int n = object(w, "/lib/x.so");

        w->table->at[n].state = PM_WATCH_UNSEEN; /* it was not there to be looked at */
        w->table->at[n].running.ino = 0;
    }
    return last;
}

static void what_was_said_is_not_said_again_after_a_reload(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");
    pm_watch_table *last;

    see(w, n, gone(), 3);
    see(w, n, gone(), 3);
    assert_int_equal(events(w), 1);
    last = next_generation(w, 1);
    pm_watch_take_over(w->table, last, &w->fold, w->f->pool);
    free(last);
    assert_int_equal(pm_watch_missing(w->table), 1);
    for (int i = 0; i < 5; i++) {
        see(w, 0, gone(), 3);
    }
    assert_int_equal(events(w), 1);
    see(w, 0, there(9, 9), 3);
    assert_int_equal(event(w, 1)->type, PM_EV_DEPENDENCY_CHANGED);
}

static void what_is_watched_no_more_is_over(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");
    pm_watch_table *last;

    see(w, n, gone(), 3);
    see(w, n, gone(), 3);
    last = next_generation(w, 0);
    pm_watch_take_over(w->table, last, &w->fold, w->f->pool);
    free(last);
    assert_int_equal(event(w, 1)->type, PM_EV_DEPENDENCY_CHANGED);
    json_t *data = data_of(w, 1);
    assert_string_equal(json_string_value(json_object_get(data, "path")), "/lib/x.so");
    assert_true(json_is_false(json_object_get(data, "needed")));
    json_decref(data);
}

static void a_table_of_another_version_is_not_read(void **state)
{
    watching *w = *state;
    int n = object(w, "/lib/x.so");
    pm_watch_table *last;

    see(w, n, gone(), 3);
    see(w, n, gone(), 3);
    w->fold.capture = create(w->f, SMALL);
    last = next_generation(w, 1);
    last->size++;
    pm_watch_take_over(w->table, last, &w->fold, w->f->pool);
    free(last);
    pm_capture_close(w->fold.capture);
    assert_int_equal(pm_watch_missing(w->table), 0);
}

static void put_data(pm_capture *c, uint64_t at, uint32_t type, const char *data)
{
    pm_event e = {.at_us = at, .type = type, .data = data, .data_len = (uint32_t)strlen(data)};

    assert_int_equal(pm_capture_put_event(c, &e), APR_SUCCESS);
}

static void what_the_last_run_missed_and_nobody_saw_return_is_taken_up(void **state)
{
    watching *w = *state;
    pm_capture *c = w->fold.capture = create(w->f, SMALL);
    int back = object(w, "/lib/back.so"), lost = object(w, "/lib/lost.so");

    put_data(c, T0, PM_EV_DEPENDENCY_MISSING, "{\"path\":\"/lib/back.so\"}");
    put_data(c, T0 + 1, PM_EV_DEPENDENCY_MISSING, "{\"path\":\"/lib/lost.so\"}");
    put_data(c, T0 + 2, PM_EV_DEPENDENCY_CHANGED, "{\"path\":\"/lib/back.so\",\"returned\":true}");
    put_data(c, T0 + 3, PM_EV_DEPENDENCY_MISSING, "{\"path\":\"/lib/elsewhere.so\"}");
    put_data(c, T0 + 4, PM_EV_DEPENDENCY_MISSING, "{\"path\":\"/lib/lost.so\"}");
    put_data(c, T0 + 5, PM_EV_DEPENDENCY_MISSING, "{\"path\":\"cut off\\\\");
    put_data(c, T0 + 6, PM_EV_DEPENDENCY_MISSING, "[]");
    pm_watch_take_over(w->table, NULL, &w->fold, w->f->pool);
    assert_int_equal(w->table->at[back].state, PM_WATCH_SAYS_THERE);
    assert_int_equal(w->table->at[lost].state, PM_WATCH_SAYS_GONE);
    assert_int_equal(events(w), 1);
    assert_non_null(strstr(event(w, 0)->data, "\"/lib/elsewhere.so\",\"returned\":false"));
    see(w, lost, there(7, 100), 2);
    assert_int_equal(events(w), 2);
    pm_capture_close(c);
}

/* ---- looking ---- */

static pm_look look_at(enum pm_watch_kind kind, const char *path)
{
    pm_look look;

    pm_watch_look(kind, path, NULL, &look);
    return look;
}

static void put_file(const char *path, const char *content)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static void a_look_tells_there_gone_and_neither(void **state)
{
    watching *w = *state;
    char path[256], below[300];

    snprintf(path, sizeof(path), "%s/file", w->f->folder);
    snprintf(below, sizeof(below), "%s/below", path);
    assert_int_equal(look_at(PM_WATCH_OBJECT, path).result, PM_LOOK_GONE);
    assert_true(look_at(PM_WATCH_OBJECT, path).gone_us > T0);
    put_file(path, "x");
    assert_int_equal(look_at(PM_WATCH_OBJECT, path).result, PM_LOOK_THERE);
    assert_int_equal(look_at(PM_WATCH_OBJECT, below).result, PM_LOOK_GONE);
    unlink(path);
    assert_int_equal(symlink(path, path), 0); /* a link to itself */
    assert_int_equal(look_at(PM_WATCH_OBJECT, path).result, PM_LOOK_ERROR);
    unlink(path);
    assert_int_equal(symlink("nowhere", path), 0);
    assert_int_equal(look_at(PM_WATCH_OBJECT, path).result, PM_LOOK_GONE);
}

static void a_fifo_and_a_device_are_not_opened(void **state)
{
    watching *w = *state;
    char path[256];

    snprintf(path, sizeof(path), "%s/fifo", w->f->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    for (int kind = 0; kind < PM_WATCH_KINDS; kind++) {
        if (kind != PM_WATCH_PATTERN) {
            assert_int_equal(look_at((enum pm_watch_kind)kind, path).is.content, 0);
            assert_int_equal(look_at((enum pm_watch_kind)kind, "/dev/zero").result, PM_LOOK_THERE);
        }
    }
}

static void a_configuration_file_is_hashed_as_when_it_was_loaded(void **state)
{
    watching *w = *state;
    char path[256];
    pm_config_file loaded;

    snprintf(path, sizeof(path), "%s/x.conf", w->f->folder);
    put_file(path, "Listen 80\n");
    pm_config_look(path, &loaded);
    assert_true(loaded.hash != 0);
    assert_int_equal(look_at(PM_WATCH_CONFIG, path).is.content, loaded.hash);
}

static void a_folders_hash_is_of_which_files_are_in_it(void **state)
{
    watching *w = *state;
    char one[256], two[256], pattern[256];
    uint64_t top, names;

    snprintf(one, sizeof(one), "%s/one.conf", w->f->folder);
    snprintf(two, sizeof(two), "%s/two.conf", w->f->folder);
    snprintf(pattern, sizeof(pattern), "%s/o*.conf", w->f->folder);
    put_file(one, "1");
    top = look_at(PM_WATCH_TOP, w->f->folder).is.content;
    names = look_at(PM_WATCH_PATTERN, pattern).is.content;
    assert_true(top != 0 && names != 0);
    put_file(two, "2");
    assert_int_not_equal(look_at(PM_WATCH_TOP, w->f->folder).is.content, top);
    assert_int_equal(look_at(PM_WATCH_PATTERN, pattern).is.content, names);
    unlink(two);
    assert_int_equal(look_at(PM_WATCH_TOP, w->f->folder).is.content, top);
    put_file(two, "another");
    assert_int_equal(rename(two, one), 0); /* the name is the same, the file isn't */
    assert_int_not_equal(look_at(PM_WATCH_TOP, w->f->folder).is.content, top);
    assert_int_equal(look_at(PM_WATCH_PATTERN, pattern).is.content, names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_watching, end_watching)
    const struct CMUnitTest tests[] = {
        TEST(what_is_as_it_was_says_nothing),
        TEST(what_is_gone_is_said_once_and_its_return_too),
        TEST(nothing_names_what_was_opened_at_run_time),
        TEST(what_is_back_within_two_seconds_was_never_missing),
        TEST(what_was_replaced_is_said_when_it_rests),
        TEST(what_never_rests_is_said_after_a_while),
        TEST(what_changed_and_is_as_before_is_forgotten),
        TEST(no_permission_and_no_answer_are_not_missing),
        TEST(what_is_hidden_is_judged_by_the_helpers_look),
        TEST(a_time_between_two_looks_is_believed_and_no_other),
        TEST(drift_is_by_content_and_ends),
        TEST(many_files_that_drift_at_once_are_one_event),
        TEST(an_htaccess_file_is_news_when_it_was_edited_since_the_start),
        TEST(a_watched_file_that_is_not_there_is_not_missing_until_it_was),
        TEST(what_goes_on_changing_is_said_every_half_minute_after_the_first_few_times),
        TEST(a_path_is_watched_once_as_one_kind),
        TEST(what_has_no_room_is_counted),
        TEST(events_wait_while_the_queue_is_full),
        TEST(any_name_gives_data_that_is_json_and_a_clean_sentence),
        TEST(data_that_does_not_fit_says_so),
        TEST(what_was_said_is_not_said_again_after_a_reload),
        TEST(what_is_watched_no_more_is_over),
        TEST(a_table_of_another_version_is_not_read),
        TEST(what_the_last_run_missed_and_nobody_saw_return_is_taken_up),
        TEST(a_look_tells_there_gone_and_neither),
        TEST(a_fifo_and_a_device_are_not_opened),
        TEST(a_configuration_file_is_hashed_as_when_it_was_loaded),
        TEST(a_folders_hash_is_of_which_files_are_in_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
