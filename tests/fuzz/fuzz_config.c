/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_config.c: a stored snapshot of the configuration that somebody else has written, and configuration text of any
 * kind, compared with a snapshot that is known.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "config/config_private.h"
#include "pm_hash.h"

static const uint8_t key[16] = "0123456789abcdef";
static apr_pool_t *pool;
static char folder[64], path[128];
static pm_snapshot *known;

static const char *same(void *ctx, const char *text)
{
    (void)ctx;
    return text;
}

static const char *no_path(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return NULL; /* nothing that an input names is opened */
}

static int odd_length(void *ctx, const char *name)
{
    (void)ctx;
    return (int)(strlen(name) & 1);
}

static const pm_config_world world = {NULL, same, no_path, odd_length, odd_length};

static pm_snapshot *gather(const char *text, apr_pool_t *p)
{
    pm_gather *g = pm_gather_begin(PM_CONFIG_FULL, key, p);
    uint32_t vhost;

    pm_gather_secret(g, "hunter2");
    pm_gather_text(g, text, &world);
    vhost = pm_gather_container(g, 0, "<VirtualHost", "*:80>", "api.example", "sites/api.conf", 3);
    pm_gather_directive(g, vhost, "ProxyPass", "/ http://u:p@app:8080/", "sites/api.conf", 4);
    pm_gather_directive(g, 0, "SetEnv", text, "httpd.conf", 9);
    pm_gather_module(g, "proxy_module", "/usr/lib/mod_proxy.so");
    pm_gather_named_file(g, "/etc/apache2/envvars");
    return pm_gather_done(g);
}

static void remove_folder(void)
{
    unlink(path);
    rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    apr_initialize();
    apr_pool_create(&pool, NULL);
    strcpy(folder, fuzz_folder());
    snprintf(path, sizeof(path), "%s/a.pmc.config", folder);
    atexit(remove_folder);
    known = gather("Define SITE api\nDefine DB_PASS hunter2\n", pool);
    fuzz_expect(pm_snapshot_save(known, path, NULL) == APR_SUCCESS, "saved");
    return 0;
}

static void compare(const pm_snapshot *before, const pm_snapshot *now, apr_pool_t *p)
{
    pm_config_diff *d = pm_config_compare(before, now, p);
    const char *sentence = pm_config_sentence(d, "/etc/apache2", p);
    const char *data = pm_config_data(d, 7, 2000, p);

    fuzz_expect(strlen(data) <= 2000, "the data is as short as was asked for");
    fuzz_expect(pm_json_valid(data, strlen(data)), "the data is JSON");
    fuzz_expect(sentence[0] != '\0', "there is a sentence");
}

/** The stored file, changed, its sum right again or not. */
static void read_forged(feed *f, apr_pool_t *p)
{
    uint8_t *bytes = malloc(known->size);
    pm_snapshot *forged = (pm_snapshot *)(void *)bytes, *loaded;
    size_t from = offsetof(pm_snapshot, sum) + sizeof(forged->sum);
    int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);

    memcpy(bytes, known, known->size);
    while (feed_left(f) > 0) {
        feed_patch(f, bytes, known->size);
    }
    forged->sum = XXH3_64bits(bytes + from, known->size - from);
    fuzz_expect(write(fd, bytes, known->size) == (ssize_t)known->size, "written");
    close(fd);
    if (pm_snapshot_load(&loaded, path, NULL) == APR_SUCCESS) {
        compare(loaded, known, p);
        compare(known, loaded, p);
        pm_snapshot_same(known, loaded);
        free(loaded);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    if (feed_number(&f, 1) & 1) {
        read_forged(&f, p);
    }
    else {
        char *text = feed_rest(&f);
        pm_snapshot *now = gather(text, p);

        fuzz_expect(pm_snapshot_valid(now, pm_snapshot_size(now)), "what is gathered is valid");
        compare(known, now, p);
        free(now);
        free(text);
    }
    apr_pool_destroy(p);
    return 0;
}
