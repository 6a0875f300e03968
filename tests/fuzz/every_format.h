/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * every_format.h: a model through every encoder, and what each output must be whatever the model says.
 */
#ifndef EVERY_FORMAT_H
#define EVERY_FORMAT_H

#include "fuzz.h"
#include "pm_model.h"

/** One of them for each input: a page takes as long as all else. */
static inline void encode_as(const pm_model *m, const pm_query *q, uint32_t format)
{
    static output o;

    o.used = 0;
    switch (format % 6) {
    case 0:
        fuzz_expect(pm_encode_json(m, q, keep_output, &o) == APR_SUCCESS, "a whole document");
        fuzz_expect(pm_json_valid(o.bytes, o.used), "the document is JSON");
        break;
    case 1:
        fuzz_expect(pm_encode_html(m, q, keep_output, &o) == APR_SUCCESS, "a whole page");
        fuzz_expect(is_clean(o.bytes, o.used, "\n"), "the page is clean text");
        break;
    case 2:
        fuzz_expect(pm_encode_auto(m, q, keep_output, &o) == APR_SUCCESS, "?auto is complete");
        fuzz_expect(is_clean(o.bytes, o.used, "\n"), "?auto is clean text");
        break;
    case 3:
        fuzz_expect(pm_encode_csv(m, q, keep_output, &o) == APR_SUCCESS, "a whole series");
        fuzz_expect(is_clean(o.bytes, o.used, "\r\n"), "the series is clean text");
        break;
    default:
        fuzz_expect(pm_encode_prometheus(m, q, format & 1, keep_output, &o) == APR_SUCCESS,
                    "all metrics");
        fuzz_expect(is_clean(o.bytes, o.used, "\n"), "the metrics are clean text");
    }
}

#endif
