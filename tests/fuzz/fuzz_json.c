/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * fuzz_json.c: JSON that came from a file, and strings that become JSON. What is passed on is still JSON, on one
 * line.
 */
#include "fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

/** A value that is nested as deep as can be is too deep inside of another. */
static int nested(const char *s, size_t len)
{
    int deep = 0;

    for (size_t i = 0; i < len; i++) {
        deep += s[i] == '[' || s[i] == '{';
    }
    return deep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static output o;
    char *exact = malloc(size + 1);
    pm_json j;

    memcpy(exact, data, size);
    o.used = 0;
    pm_json_begin(&j, keep_output, &o);
    pm_json_object(&j);
    pm_json_key(&j, "raw");
    pm_json_raw(&j, exact, size);
    pm_json_key(&j, "bytes");
    pm_json_bytes(&j, exact, size);
    pm_json_object_end(&j);
    fuzz_expect(pm_json_end(&j) == APR_SUCCESS, "the object is complete");
    fuzz_expect(memchr(o.bytes, '\n', o.used) == NULL, "one line");
    fuzz_expect(pm_json_valid(o.bytes, o.used) || nested(exact, size) > 15, "still JSON");
    if (!pm_json_valid(exact, size)) {
        fuzz_expect(memmem(o.bytes, o.used, "\"raw\":null", 10) != NULL, "what is no JSON is null");
    }
    free(exact);
    return 0;
}
