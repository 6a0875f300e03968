/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * test_words.c: figures read as tests/words.tsv says; tests/companion/test_text.py holds pmcapture to the same table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pm_story.h"
#include "pm_time.h"

static const char *words_of(const char *kind, const char *figure, char out[64])
{
    uint64_t part = strtoull(figure, NULL, 10);
    const char *slash = strchr(figure, '/');

    if (strcmp(kind, "span") == 0) {
        return pm_time_span(part, out);
    }
    if (strcmp(kind, "latency") == 0) {
        return pm_story_latency(part, out);
    }
    if (strcmp(kind, "rate") == 0) {
        return pm_story_rate(strtod(figure, NULL), out);
    }
    assert_string_equal(kind, "share");
    assert_non_null(slash);
    return pm_story_percent(part, strtoull(slash + 1, NULL, 10), out);
}

static void a_figure_reads_as_the_table_says(void **state)
{
    FILE *table = fopen("tests/words.tsv", "r");
    char line[256], out[64];
    int count = 0;

    (void)state;
    assert_non_null(table);
    while (fgets(line, sizeof(line), table) != NULL) {
        char *kind = strtok(line, "\t\n"), *figure = strtok(NULL, "\t\n"),
             *words = strtok(NULL, "\t\n");

        if (line[0] != '#') {
            assert_non_null(words);
            assert_string_equal(words_of(kind, figure, out), words);
            count++;
        }
    }
    fclose(table);
    assert_true(count > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_figure_reads_as_the_table_says)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
