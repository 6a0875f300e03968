/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_text.c: foreign text: cleaned, masked, folded into routes and signatures, escaped for each format.
 */
#include "fuzz.h"

#include "pm_route.h"

static const uint8_t key[16] = "0123456789abcdef";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/** In a buffer of exactly `size` bytes, so that one byte more is found out. */
static void expect_clean(const char *out, size_t size, size_t returned)
{
    fuzz_expect(returned < size && strlen(out) == returned, "the length returned is the text's");
    fuzz_expect(is_clean(out, returned, ""), "the text is clean");
}

static void fold(const char *text, size_t len, size_t size)
{
    char *out = malloc(size), *again = malloc(size);

    expect_clean(out, size, pm_text_clean(out, size, text, len));
    expect_clean(out, size, pm_text_uri(out, size, text, len, 0));
    expect_clean(out, size, pm_text_uri(out, size, text, len, 1));
    expect_clean(out, size, pm_route_mask(out, size, text, len, 1));
    expect_clean(out, size, pm_route_mask(out, size, text, len, 0));
    fuzz_expect(strchr(out, '?') == NULL, "a query that is not kept is not there");
    for (int mode = PM_CLIENTS_FULL; mode <= PM_CLIENTS_OFF; mode++) {
        expect_clean(out, size,
                     pm_signature_mask(out, size, text, len, (enum pm_clients_mode)mode));
    }
    expect_clean(out, size, pm_signature_fold(out, size, text, len));
    expect_clean(out, size, pm_route_fold(out, size, text, len));
    fuzz_expect(strlen(out) < PM_ROUTE_SIZE, "a route is never longer than its room");
    pm_route_fold(again, size, text, len);
    fuzz_expect(strcmp(out, again) == 0, "folding depends on the text alone");
    free(out);
    free(again);
}

static void escape(const char *text, size_t size)
{
    char *out = malloc(size);
    size_t used = 0;

    out[0] = '\0';
    pm_text_csv(out, size, &used, text);
    pm_text_html(out, size, &used, text);
    pm_text_label(out, size, &used, text);
    fuzz_expect(used < size && strlen(out) == used, "what was appended is what is there");
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    feed f = {data, data + size};
    size_t room = 1 + feed_number(&f, 1) * 2;
    char *text = feed_rest(&f), address[64];

    fold(text, strlen(text), room);
    fold(text, size > 0 ? size - 1 : 0, PM_ROUTE_SIZE);
    escape(text, room);
    pm_signature_number(text);
    for (int mode = PM_CLIENTS_FULL; mode <= PM_CLIENTS_OFF; mode++) {
        pm_text_client(address, room < sizeof(address) ? room : sizeof(address), data, size,
                       (enum pm_clients_mode)mode, key);
    }
    free(text);
    return 0;
}
