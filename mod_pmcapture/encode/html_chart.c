/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * html_chart.c: requests and errors over time, as inline SVG.
 */
#include "html.h"

#include "pm_story.h"
#include "pm_time.h"

#define CHART_BINS 180u

typedef struct chart {
    uint64_t from_us, width_us; /* of a bin */
    uint32_t count;
    uint64_t requests, errors;
    double most; /* requests a second */
    struct {
        uint64_t requests, errors, span_us;
    } bins[CHART_BINS];
} chart;

/* Bins of whole rows that cover what the window has, a minute at least. */
static void chart_scale(chart *c, const pm_model *m, pm_window window)
{
    const pm_row *last = &m->rows[m->row_count - 1];
    uint64_t row_us = m->resolution_us ? m->resolution_us : PM_SECOND;
    uint64_t from = UINT64_MAX, until = last->at_us + last->span_us, length;

    for (size_t n = m->row_count; n-- > 0;) {
        if (pm_window_has(window, m->rows[n].at_us)) {
            until = from == UINT64_MAX ? m->rows[n].at_us + m->rows[n].span_us : until;
            from = m->rows[n].at_us;
        }
    }
    length = from < until ? until - from : 0;
    length = length < 60 * row_us ? 60 * row_us : length;
    c->width_us = ((length + row_us - 1) / row_us + CHART_BINS - 1) / CHART_BINS * row_us;
    c->count = (uint32_t)((length + c->width_us - 1) / c->width_us);
    c->from_us = until > c->width_us * c->count ? until - c->width_us * c->count : 0;
}

static void chart_fill(chart *c, const pm_model *m)
{
    for (size_t n = 0; n < m->row_count; n++) {
        const pm_row *row = &m->rows[n];
        /* by its middle: a tick that comes a little early must not leave its bin empty */
        uint64_t middle = row->at_us + row->span_us / 2;
        uint64_t bin = middle >= c->from_us ? (middle - c->from_us) / c->width_us : CHART_BINS;

        if (bin < c->count) {
            c->bins[bin].requests += row->requests;
            c->bins[bin].errors += row->errors;
            c->bins[bin].span_us += row->span_us;
            c->requests += row->requests;
            c->errors += row->errors;
        }
    }
    for (uint32_t b = 0; b < c->count; b++) {
        if (c->bins[b].span_us) {
            double rate = (double)c->bins[b].requests * 1e6 / (double)c->bins[b].span_us;
            c->most = rate > c->most ? rate : c->most;
        }
    }
}

enum bars { REQUESTS, ERRORS, GAPS };

static void chart_bars(pm_out *o, const chart *c, enum bars which, const char *class)
{
    pm_out_format(o, "<path class=\"%s\" d=\"", class);
    for (uint32_t b = 0; b < c->count; b++) {
        uint64_t count = which == ERRORS ? c->bins[b].errors : c->bins[b].requests;
        int height = 0;

        if (c->bins[b].span_us && c->most > 0) {
            double rate = (double)count * 1e6 / (double)c->bins[b].span_us;
            height = (int)(960 * rate / c->most);
            height = count && height < 25 ? 25 : height; /* one error is to be seen */
        }
        if (which == GAPS) {
            height = c->bins[b].span_us ? 0 : 1000;
        }
        if (height) {
            pm_out_format(o, "M%u 1000v-%dh9v%dz", b * 10, height, height);
        }
    }
    pm_out_raw(o, "\"/>");
}

static void chart_windows(pm_out *o, const pm_model *m, const pm_query *q, const chart *c)
{
    for (size_t n = 0; n < m->case_count; n++) {
        const pm_incident *i = m->cases[n].incident;
        uint64_t end = c->from_us + c->count * c->width_us;
        uint64_t from = i->onset_us > c->from_us ? i->onset_us : c->from_us;
        uint64_t until = pm_story_until(m, i);

        until = until < end ? until : end;
        if (pm_query_wants(m, q, &m->cases[n]) && from <= until) {
            int x = (int)((from - c->from_us) * 10 / c->width_us);
            int width = (int)((until - from) * 10 / c->width_us) + 2;

            /* a tint behind the bars, and a strip above the tallest */
            pm_out_format(o,
                          "<rect class=\"w\" x=\"%d\" width=\"%d\" height=\"1000\"/>"
                          "<rect class=\"e\" x=\"%d\" width=\"%d\" height=\"25\"/>",
                          x, width, x, width);
        }
    }
}

static void chart_caption(pm_out *o, const chart *c)
{
    pm_out_raw(o, "<figcaption><span>");
    pm_html_time(o, c->from_us);
    pm_out_raw(o, "</span><span><span class=\"key kr\">requests</span> "
                  "<span class=\"key ke\">errors</span> <span class=\"key kg\">no record</span>");
    pm_out_format(o,
                  " &middot; a bar is %" APR_UINT64_T_FMT " s, the highest %.1f requests a second",
                  (apr_uint64_t)(c->width_us / PM_SECOND), c->most);
    pm_out_raw(o, "</span><span>");
    pm_html_time(o, c->from_us + c->count * c->width_us);
    pm_out_raw(o, "</span></figcaption></figure>\n");
}

void pm_html_chart(pm_out *o, const pm_model *m, const pm_query *q, pm_window window)
{
    chart c = {0};

    if (!m->row_count) {
        pm_out_raw(o, "<p class=\"dim\">No figures on record.</p>\n");
        return;
    }
    chart_scale(&c, m, window);
    chart_fill(&c, m);
    pm_out_format(o,
                  "<figure><svg viewBox=\"0 0 %u 1000\" preserveAspectRatio=\"none\" role=\"img\" "
                  "aria-label=\"%" APR_UINT64_T_FMT " requests, of them %" APR_UINT64_T_FMT
                  " errors, over time\">",
                  c.count * 10, c.requests, c.errors);
    chart_windows(o, m, q, &c);
    chart_bars(o, &c, GAPS, "g");
    chart_bars(o, &c, REQUESTS, "r");
    chart_bars(o, &c, ERRORS, "e");
    pm_out_raw(o, "</svg>");
    chart_caption(o, &c);
}
