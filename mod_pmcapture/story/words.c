/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * words.c: figures as sentences have them (pm_story.h). scripts/pmcapture_lib/text.py has the same rules for figures that
 * stand in the document alone; tests/words.tsv holds both to them.
 */
#include <apr_strings.h>

#include "pm_story.h"
#include "pm_time.h"

const char *pm_story_percent(uint64_t part, uint64_t whole, char out[PM_STORY_PERCENT])
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0;

    if (!whole) {
        apr_cpystrn(out, "-", PM_STORY_PERCENT);
    }
    else if (part && percent < 0.1) {
        apr_cpystrn(out, "< 0.1 %", PM_STORY_PERCENT);
    }
    else if (part < whole && percent >= 99.95) {
        apr_cpystrn(out, "> 99.9 %", PM_STORY_PERCENT);
    }
    else if (part && (percent < 10 || (part < whole && percent >= 99.5))) {
        apr_snprintf(out, PM_STORY_PERCENT, "%.1f %%", percent);
    }
    else {
        apr_snprintf(out, PM_STORY_PERCENT, "%.0f %%", percent);
    }
    return out;
}

const char *pm_story_latency(uint64_t us, char out[PM_STORY_LATENCY])
{
    if (us < 1000) {
        apr_snprintf(out, PM_STORY_LATENCY, "%u \302\265s", (unsigned)us);
    }
    else if (us < PM_SECOND) {
        apr_snprintf(out, PM_STORY_LATENCY, us < 9950 ? "%.1f ms" : "%.0f ms", (double)us / 1000);
    }
    else {
        pm_time_span(us, out);
    }
    return out;
}

const char *pm_story_rate(double rate, char out[PM_STORY_RATE])
{
    apr_snprintf(out, PM_STORY_RATE, rate > 0 && rate < 0.095 ? "%.2f" : "%.1f", rate);
    if (rate > 0 && rate < 0.005) {
        apr_cpystrn(out, "< 0.01", PM_STORY_RATE);
    }
    return out;
}
