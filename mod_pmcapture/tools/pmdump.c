/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * pmdump: a capture file, and the live region if there is one, to the capture document; or one event into it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_general.h>

#include "append.h"
#include "pm_source.h"
#include "pm_time.h"

#define EXIT_USAGE 2
#define EXIT_UNREADABLE 3

static const char usage[] =
    "Usage: pmdump [OPTION]... FILE\n"
    "Write what the capture file FILE holds to standard output, as the JSON document "
    "pmcapture.v1.\n"
    "FILE may be in use, left by a dead server, damaged, or copied from elsewhere; or a live "
    "region\n"
    "(RUNTIME-DIR/pmcapture-*.live), which holds counters and no history.\n\n"
    "  --since T, --until T   bounds: 2026-11-20T21:30:05Z, or -15m from now\n"
    "  --incident N           that incident alone\n"
    "  --view V               summary, incidents, events or series alone\n"
    "  --run-dir DIR          look for the live region in DIR (default: where FILE.run points;\n"
    "                         \"\" looks nowhere)\n"
    "  --help                 this\n\n"
    "Or add an event to FILE, and print it:\n"
    "  --note TEXT            a person's line in the timeline\n"
    "  --maintenance TEXT     likewise, and it announces maintenance: a stop then is no outage\n"
    "  --at T                 when it was, if not now\n"
    "  --incident N           the incident that it belongs to\n"
    "  --service-result \"RESULT CODE STATUS\"\n"
    "                         for ExecStopPost= of systemd: a service that failed and could\n"
    "                         not say so itself; nothing is added when it ended well\n"
    "  --unit NAME            of that service\n\n"
    "Exit: 0 done, 2 usage, 3 FILE cannot be read.\n"
    "pmcapture(1) makes lists and reports of it.\n";

typedef struct command {
    pm_query query;
    pm_source source;
    pm_addition add;
    const char *file;
} command;

static apr_status_t to_stdout(void *ctx, const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, ctx) == len ? APR_SUCCESS : APR_EGENERAL;
}

static int complain(const char *sentence)
{
    fprintf(stderr, "pmdump: %s (pmdump --help)\n", sentence);
    return EXIT_USAGE;
}

static int take_text(command *c, const char *option, const char *value)
{
    const struct {
        const char *option, **into;
    } texts[] = {{"--run-dir", &c->source.run_dir},
                 {"--note", &c->add.note},
                 {"--service-result", &c->add.service_result},
                 {"--unit", &c->add.unit}};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(option, texts[i].option) == 0) {
            *texts[i].into = value;
            return 1;
        }
    }
    return 0;
}

/** 0, or the exit code. */
static int take_option(command *c, const char *option, const char *value)
{
    pm_error err;
    apr_status_t rv;

    if (value == NULL) {
        snprintf(err.text, sizeof(err.text), "%.40s wants a value, or is no option", option);
        return complain(err.text);
    }
    if (strcmp(option, "--maintenance") == 0) {
        c->add.maintenance = 1;
        option = "--note";
    }
    if (take_text(c, option, value)) {
        return 0;
    }
    if (strcmp(option, "--at") == 0) {
        return pm_time_parse(value, pm_time_now(), &c->add.at_us)
                   ? 0
                   : complain("--at must be a time such as 2026-11-20T21:30:05Z, or -15m from now");
    }
    rv = strcmp(option, "--refresh") == 0
             ? APR_ENOTIMPL
             : pm_query_set(&c->query, option + 2, value, pm_time_now(), &err);
    if (rv == APR_ENOTIMPL) {
        snprintf(err.text, sizeof(err.text), "there is no option %.40s", option);
    }
    return rv == APR_SUCCESS ? 0 : complain(err.text);
}

static int parse(command *c, int argc, char **argv)
{
    c->query = PM_QUERY_ALL;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != '\0') {
            int rc = take_option(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL);

            if (rc != 0) {
                return rc;
            }
            i++;
        }
        else if (c->file == NULL) {
            c->file = argv[i];
        }
        else {
            return complain("one FILE at a time");
        }
    }
    return c->file != NULL ? 0 : complain("name a capture FILE");
}

static int add(command *c, apr_pool_t *pool)
{
    pm_error err = {"the event could not be shown"};

    c->add.incident = c->query.incident;
    if (pm_add(&c->add, c->file, pool, &err) != APR_SUCCESS || fflush(stdout) != 0) {
        fprintf(stderr, "pmdump: %s\n", err.text);
        return EXIT_UNREADABLE;
    }
    return 0;
}

static int dump(const command *c, apr_pool_t *pool)
{
    pm_capture *capture;
    pm_model *model;
    pm_error err;
    apr_status_t rv = pm_capture_open(&capture, c->file, pool, &err);

    if (rv == APR_SUCCESS) {
        rv = pm_model_load(&model, capture, &c->source, &c->query, pool, &err);
    }
    else if (pm_model_load_live(&model, c->file, pool, NULL) == APR_SUCCESS) {
        rv = APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        fprintf(stderr, "pmdump: %s\n", err.text);
        return EXIT_UNREADABLE;
    }
    rv = pm_encode_json(model, &c->query, to_stdout, stdout);
    if (fflush(stdout) != 0 || rv != APR_SUCCESS) {
        fprintf(stderr, "pmdump: the document could not be written out\n");
        return EXIT_UNREADABLE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    command c = {0};
    apr_pool_t *pool;
    int rc;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
    }
    rc = parse(&c, argc, argv);
    if (rc != 0) {
        return rc;
    }
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        fprintf(stderr, "pmdump: no memory\n");
        return EXIT_UNREADABLE;
    }
    rc = c.add.note != NULL || c.add.service_result != NULL ? add(&c, pool) : dump(&c, pool);
    apr_terminate();
    return rc;
}
