/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_html.c: the page for people: an open incident first, then figures, incidents, events.
 *
 * Complete without scripts and loads nothing: the style is inline, the chart is inline SVG, and the empty
 * icon keeps a browser from asking for /favicon.ico. Every foreign text goes through html().
 */
#include "encode.h"

#include <string.h>

#include <apr_strings.h>

#include "pm_estimates.h"
#include "pm_hist.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define PAGE_EVENTS 100u /* newest; the rest is in the JSON document */
#define CHART_BINS 180u
#define CHART_US (1800 * PM_SECOND)

static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#f6f7f9;--card:#fff;--fg:#1a1d23;--dim:#5c6470;--line:#dfe3e8;"
    "--accent:#2458b8;--ok:#1c7442;--okbg:#e0f3e7;--bad:#b3261e;--badbg:#fce8e6;--warn:#8a5a00;"
    "--warnbg:#fdf1d8;--bar:#8fb1e3;--gap:#d5d9df}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--card:#1d2128;--fg:#e6e9ee;--dim:#"
    "9aa3b0;"
    "--line:#323842;--accent:#8db4f5;--ok:#7bd59c;--okbg:#173526;--bad:#ff9d94;--badbg:#431d1b;"
    "--warn:#f2c46d;--warnbg:#3b2d10;--bar:#456fae;--gap:#3a414c}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--fg);font:1rem/1.5 system-ui,sans-serif}"
    "header,main,footer{max-width:76rem;margin:0 auto;padding:0 1.25rem}"
    "header{padding-top:1.5rem}h1{font-size:1.35rem;margin:0}"
    "h2{font-size:1.2rem;margin:0 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .4rem}"
    "p{margin:.4rem 0}a{color:var(--accent)}"
    ".dim,small{color:var(--dim)}small{font-size:.85rem}"
    ".title{display:flex;flex-wrap:wrap;gap:.75rem;align-items:center}"
    ".badge{display:inline-block;border-radius:1rem;padding:.1rem .7rem;font-size:.85rem;"
    "font-weight:600;background:var(--line);color:var(--fg);white-space:nowrap}"
    ".ok{background:var(--okbg);color:var(--ok)}.bad{background:var(--badbg);color:var(--bad)}"
    ".warn{background:var(--warnbg);color:var(--warn)}"
    "section,.note{background:var(--card);border:1px solid var(--line);border-radius:.6rem;"
    "padding:1.1rem 1.25rem;margin:1rem 0}"
    "section.open{border-left:.35rem solid var(--bad)}.note{border-left:.35rem solid var(--warn)}"
    ".lead{font-size:1.1rem;margin:.3rem 0 1rem}"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.25rem,1fr));gap:.75rem;margin:"
    "."
    "5rem 0}"
    "dl div{border:1px solid var(--line);border-radius:.4rem;padding:.45rem .7rem}"
    "dt{font-size:.85rem;color:var(--dim)}dd{margin:0;font-size:1.1rem;font-weight:600;"
    "font-variant-numeric:tabular-nums}dd small{font-weight:400;display:block}"
    "dd .d{display:block;font-size:.85rem;font-weight:400}"
    ".scroll{overflow-x:auto}.scroll+.scroll{margin-top:1.1rem}table{border-collapse:collapse;"
    "width:100%;font-size:.92rem}"
    "th,td{text-align:left;padding:.35rem .7rem .35rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}th{font-weight:600;color:var(--dim);white-space:nowrap}"
    "tr:last-child td{border-bottom:0}.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".wide{min-width:14rem;overflow-wrap:anywhere}time,.k{white-space:nowrap;"
    "font-variant-numeric:tabular-nums}.d{color:var(--dim)}"
    "ol,ul{margin:.4rem 0;padding-left:1.4rem}li{margin:.25rem 0;overflow-wrap:anywhere}"
    ".line{list-style:none;padding:0;margin:.4rem 0 0 .4rem;border-left:2px solid var(--line)}"
    ".line li{position:relative;display:grid;grid-template-columns:12.5rem 9.5rem 1fr;gap:0 .8rem;"
    "padding:.2rem 0 .2rem 1.1rem;margin:0}"
    ".line "
    "li::before{content:\"\";position:absolute;left:-.4rem;top:.65rem;width:.65rem;height:.65rem;"
    "border-radius:50%;background:var(--dim);border:2px solid var(--card)}"
    ".line .t-onset::before,.line .t-peak::before,.line .t-open::before{background:var(--bad)}"
    ".line .t-end::before,.line .t-recovered::before{background:var(--ok)}"
    ".line .t-gap::before{background:var(--warn)}.line .k{color:var(--dim)}"
    ".t-onset b,.t-open b{color:var(--bad)}.t-end b,.t-recovered b{color:var(--ok)}"
    "figure{margin:.75rem 0 0}svg{display:block;width:100%;height:8rem;background:var(--bg);"
    "border-radius:.3rem}figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;"
    "gap:0 1rem;font-size:.85rem;color:var(--dim)}"
    ".r{fill:var(--bar)}.e{fill:var(--bad)}.g{fill:var(--gap);opacity:.6}.w{fill:var(--badbg)}"
    ".key::before{content:\"\";display:inline-block;width:.7rem;height:.7rem;margin-right:.3rem;"
    "border-radius:.15rem}.kr::before{background:var(--bar)}.ke::before{background:var(--bad)}"
    ".kg::before{background:var(--gap)}details{margin-top:1rem}summary{cursor:pointer;font-weight:"
    "600}"
    "footer{padding-bottom:2rem;font-size:.9rem;color:var(--dim)}footer a{margin-right:.8rem}"
    "@media(max-width:46rem){.line li{grid-template-columns:1fr}section{padding:.9rem}}"
    "@media print{body{background:#fff}section{break-inside:avoid}}";

/* ---- small pieces ---- */

static void html(pm_out *o, const char *text)
{
    pm_out_text(o, pm_text_html, text);
}

static void when(pm_out *o, uint64_t us)
{
    char time[PM_TIME_SIZE];

    if (!us) {
        pm_out_raw(o, "unknown");
        return;
    }
    pm_time_format(us, time);
    pm_out_format(o, "<time datetime=\"%s\"><span class=\"d\">%.10s</span> %.12s</time>", time,
                  time, time + 11);
}

static void span(pm_out *o, uint64_t us)
{
    char text[PM_TIME_SIZE];

    pm_out_raw(o, pm_time_span(us, text));
}

static void latency(pm_out *o, uint64_t us)
{
    char text[PM_STORY_LATENCY];

    pm_out_raw(o, pm_story_latency(us, text));
}

static void number(pm_out *o, uint64_t value)
{
    pm_out_format(o, "%" APR_UINT64_T_FMT, value);
}

static void percent(pm_out *o, uint64_t part, uint64_t whole)
{
    char text[PM_STORY_PERCENT];

    html(o, pm_story_percent(part, whole, text));
}

static void figure(pm_out *o, const char *name)
{
    pm_out_format(o, "<div><dt>%s</dt><dd>", name);
}

static void figure_end(pm_out *o)
{
    pm_out_raw(o, "</dd></div>\n");
}

static void number_figure(pm_out *o, const char *name, uint64_t value)
{
    figure(o, name);
    number(o, value);
    figure_end(o);
}

static void time_figure(pm_out *o, const char *name, uint64_t us)
{
    figure(o, name);
    when(o, us);
    figure_end(o);
}

/* `heads`: column names with '|' between them; '#' in front of a column of numbers. */
static void table(pm_out *o, const char *heads)
{
    pm_out_raw(o, "<div class=\"scroll\"><table><thead><tr>");
    while (*heads) {
        int len = (int)strcspn(heads, "|");
        int numeric = *heads == '#';

        pm_out_format(o, "<th scope=\"col\"%s>%.*s</th>", numeric ? " class=\"n\"" : "",
                      len - numeric, heads + numeric);
        heads += len + (heads[len] == '|');
    }
    pm_out_raw(o, "</tr></thead><tbody>\n");
}

static void table_end(pm_out *o)
{
    pm_out_raw(o, "</tbody></table></div>\n");
}

static void text_cell(pm_out *o, const char *class, const char *text)
{
    pm_out_format(o, "<td class=\"%s\">", class);
    html(o, text);
    pm_out_raw(o, "</td>");
}

static void number_cell(pm_out *o, uint64_t value)
{
    pm_out_raw(o, "<td class=\"n\">");
    if (value == UINT64_MAX) {
        pm_out_raw(o, "<span class=\"dim\">not counted</span>");
    }
    else {
        number(o, value);
    }
    pm_out_raw(o, "</td>");
}

static void time_cell(pm_out *o, uint64_t us)
{
    pm_out_raw(o, "<td>");
    when(o, us);
    pm_out_raw(o, "</td>");
}

static void kinds(pm_out *o, const pm_incident *i)
{
    const pm_kind_fact *kind;

    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        pm_out_format(o, "%s%s", n ? " + " : "", kind->name);
    }
}

/* ---- the chart ---- */

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
    when(o, c->from_us);
    pm_out_raw(o, "</span><span><span class=\"key kr\">requests</span> "
                  "<span class=\"key ke\">errors</span> <span class=\"key kg\">no record</span>");
    pm_out_format(o,
                  " &middot; a bar is %" APR_UINT64_T_FMT " s, the highest %.1f requests a second",
                  (apr_uint64_t)(c->width_us / PM_SECOND), c->most);
    pm_out_raw(o, "</span><span>");
    when(o, c->from_us + c->count * c->width_us);
    pm_out_raw(o, "</span></figcaption></figure>\n");
}

static void draw(pm_out *o, const pm_model *m, const pm_query *q, pm_window window)
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

/* ---- one incident ---- */

static void latency_figure(pm_out *o, const char *name, const pm_quantiles *q)
{
    figure(o, name);
    if (q->count) {
        latency(o, q->p99_us);
        pm_out_raw(o, "<small>median ");
        latency(o, q->p50_us);
        pm_out_raw(o, "</small>");
    }
    else {
        pm_out_raw(o, "unknown");
    }
    figure_end(o);
}

/** "45 of 60 requests (75 %)": the part large, the rest small. */
static void of_whole(pm_out *o, const char *words)
{
    const char *of = strstr(words, " of ");

    pm_out_format(o, "%.*s<small>%s</small>", (int)(of != NULL ? of - words : 0), words,
                  of != NULL ? of + 1 : words);
}

static void client_figure(pm_out *o, const pm_incident *i)
{
    char words[PM_ESTIMATE_WORDS];

    if (pm_clients_words(i, words)[0] != '\0') {
        figure(o, "Clients hit");
        of_whole(o, words);
        figure_end(o);
    }
}

static void incident_figures(pm_out *o, const pm_model *m, const pm_incident *i)
{
    pm_out_raw(o, "<dl>\n");
    time_figure(o, "Onset", i->onset_us);
    if (!i->open) {
        time_figure(o, "End", i->end_us);
    }
    figure(o, i->open ? "Duration so far" : "Duration");
    span(o, pm_story_until(m, i) - i->onset_us);
    figure_end(o);
    if (i->requests) {
        char words[PM_ESTIMATE_WORDS];

        figure(o, "Failed");
        of_whole(o, pm_requests_words(i, i->errors, words));
        figure_end(o);
    }
    if (i->kinds & PM_KIND_SLOW) {
        number_figure(o, "Slow", i->slow);
    }
    if (i->unserved_us) {
        figure(o, "Nobody served");
        span(o, i->unserved_us);
        figure_end(o);
    }
    client_figure(o, i);
    latency_figure(o, "p99 before", &i->before);
    latency_figure(o, "p99 during", &i->during);
    pm_out_raw(o, "</dl>\n");
}

static void suspects(pm_out *o, const pm_case *c)
{
    pm_out_raw(o, "<h3>What stands nearest to the onset</h3>\n");
    if (c->cause_count) {
        pm_out_raw(o, "<p class=\"dim\">Candidates by what was recorded; a person judges.</p><ol>");
    }
    else {
        pm_out_raw(o, "<p>Nothing on record stands near the onset.</p>\n");
    }
    for (size_t n = 0; n < c->cause_count; n++) {
        pm_out_raw(o, "<li><span class=\"badge\">");
        html(o, c->causes[n].kind);
        pm_out_raw(o, "</span> ");
        html(o, c->causes[n].summary);
        for (size_t e = 0; e < c->causes[n].evidence_count; e++) {
            pm_out_format(o, "%s%" APR_UINT64_T_FMT, e ? ", " : " <small>event ",
                          c->causes[n].evidence[e]);
        }
        pm_out_raw(o, c->causes[n].evidence_count ? "</small></li>\n" : "</li>\n");
    }
    pm_out_raw(o, c->cause_count ? "</ol>\n" : "");
    if (c->cleared_count) {
        pm_out_raw(o, "<h3>Cleared by the figures</h3>\n<ul>");
    }
    for (size_t n = 0; n < c->cleared_count; n++) {
        pm_out_raw(o, "<li>");
        html(o, c->cleared[n].summary);
        pm_out_raw(o, "</li>\n");
    }
    pm_out_raw(o, c->cleared_count ? "</ul>\n" : "");
    pm_out_raw(o, c->unwatched_count ? "<h3>Not watched</h3>\n<ul>" : "");
    for (size_t n = 0; n < c->unwatched_count; n++) {
        pm_out_raw(o, "<li>");
        html(o, c->unwatched[n].hypothesis);
        pm_out_raw(o, ": ");
        html(o, c->unwatched[n].summary);
        pm_out_raw(o, "</li>\n");
    }
    pm_out_raw(o, c->unwatched_count ? "</ul>\n" : "");
}

static void timeline(pm_out *o, const pm_case *c)
{
    pm_out_raw(o, "<h3>Timeline</h3>\n<ol class=\"line\">\n");
    for (size_t n = 0; n < c->timeline_count; n++) {
        const pm_moment *moment = &c->timeline[n];

        pm_out_raw(o, "<li class=\"t-");
        html(o, moment->kind);
        pm_out_raw(o, "\">");
        when(o, moment->at_us);
        pm_out_raw(o, "<b class=\"k\">");
        html(o, moment->kind);
        pm_out_raw(o, "</b><span>");
        html(o, moment->text);
        pm_out_raw(o, "</span></li>\n");
    }
    pm_out_raw(o, "</ol>\n");
}

enum dimension { VHOST, ROUTE, HOST, BACKEND, ERROR_LOG, DIMENSIONS };

static void tally_row(pm_out *o, const pm_tally *t, enum dimension dimension)
{
    pm_out_raw(o, "<tr>");
    text_cell(o, "wide", t->key);
    if (dimension == VHOST || dimension == ERROR_LOG) {
        text_cell(o, "wide", t->defined);
    }
    if (dimension == ERROR_LOG) {
        time_cell(o, t->first_seen_us);
    }
    else {
        number_cell(o, t->requests);
    }
    number_cell(o, t->errors);
    if (dimension == BACKEND) {
        for (uint32_t f = PM_FAILURE_REFUSED; f < PM_FAILURES; f++) {
            number_cell(o, pm_failure_count(t, f));
        }
    }
    pm_out_raw(o, "</tr>\n");
}

static void breakdown(pm_out *o, const pm_incident *i)
{
    static const char *const heads[DIMENSIONS] = {
        [VHOST] = "Virtual host|Defined in|#Requests|#Errors",
        [ROUTE] = "Route|#Requests|#Errors",
        [HOST] = "Host asked for|#Requests|#Errors",
        [BACKEND] = ("Backend|#Requests|#Errors|#Refused|#Timed out|#Answered 5xx|#Closed|"
                     "#Not tried|#Unreachable|#Unknown"),
        [ERROR_LOG] = "Error log line|Example|First seen|#Count",
    };
    const pm_tally *tallies[DIMENSIONS] = {
        [VHOST] = i->by_vhost,     [ROUTE] = i->by_route,         [HOST] = i->by_host,
        [BACKEND] = i->by_backend, [ERROR_LOG] = i->by_error_log,
    };
    int any = 0;

    for (int d = 0; d < DIMENSIONS; d++) {
        if (!tallies[d][0].errors) {
            continue;
        }
        pm_out_raw(o, any++ ? "" : "<h3>Where</h3>\n<p class=\"dim\">" PM_BREAKDOWN_BASIS "</p>\n");
        table(o, heads[d]);
        for (int n = 0; n < PM_TALLIES && tallies[d][n].errors; n++) {
            tally_row(o, &tallies[d][n], (enum dimension)d);
        }
        table_end(o);
    }
}

static void samples(pm_out *o, const pm_case *c)
{
    if (!c->sample_count) {
        return;
    }
    pm_out_format(o, "<details><summary>%d requests kept as samples</summary>\n",
                  (int)c->sample_count);
    table(o, "Arrived|#Status|Request|Host|Backend|Client|#Latency|Request id");
    for (size_t n = 0; n < c->sample_count; n++) {
        const pm_sample *s = &c->samples[n];

        pm_out_raw(o, "<tr>");
        time_cell(o, s->at_us);
        number_cell(o, s->status);
        pm_out_raw(o, "<td class=\"wide\">");
        html(o, s->method);
        pm_out_raw(o, " ");
        html(o, s->uri);
        pm_out_raw(o, "</td>");
        text_cell(o, "", s->host);
        text_cell(o, "", s->backend);
        text_cell(o, "k", s->client);
        pm_out_raw(o, "<td class=\"n k\">");
        latency(o, s->latency_us);
        pm_out_raw(o, "</td>");
        text_cell(o, "", s->request_id);
        pm_out_raw(o, "</tr>\n");
    }
    table_end(o);
    pm_out_raw(o, "</details>\n");
}

static void quiet_words(pm_out *o, const pm_model *m, const pm_incident *i)
{
    char words[PM_STORY_QUIET];

    if (pm_story_quiet(m, i, words) != 0) {
        pm_out_raw(o, "; <strong>");
        html(o, words);
        pm_out_raw(o, "</strong>");
    }
}

static void incident(pm_out *o, const pm_model *m, const pm_query *q, const pm_case *c)
{
    const pm_incident *i = c->incident;
    pm_query alone = *q;
    char headline[PM_STORY_HEADLINE];

    alone.incident = i->id;
    pm_out_format(o,
                  "<section%s>\n<h2 class=\"title\">Incident %" APR_UINT64_T_FMT
                  " <span class=\"badge %s\">",
                  i->open ? " class=\"open\"" : "", i->id, i->open ? "bad" : "ok");
    pm_out_raw(o, i->open ? "open</span> <span class=\"badge\">"
                          : "closed</span> <span class=\"badge\">");
    kinds(o, i);
    pm_out_raw(o, "</span></h2>\n<p class=\"lead\">");
    html(o, pm_story_headline(m, i, headline));
    quiet_words(o, m, i);
    pm_out_raw(o, ".</p>\n");
    incident_figures(o, m, i);
    draw(o, m, &alone, pm_query_window(m, &alone));
    suspects(o, c);
    timeline(o, c);
    if (!c->figures_only) {
        breakdown(o, i);
    }
    samples(o, c);
    pm_out_raw(o, "</section>\n");
}

/* ---- the whole page ---- */

static size_t open_incidents(const pm_model *m)
{
    size_t count = 0;

    for (size_t n = 0; n < m->case_count; n++) {
        count += m->cases[n].incident->open != 0;
    }
    return count;
}

static void head(pm_out *o, const pm_model *m, const pm_query *q)
{
    size_t open = open_incidents(m);

    pm_out_raw(o, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                  "<meta name=\"robots\" content=\"noindex\">\n");
    if (q->refresh) {
        pm_out_format(o, "<meta http-equiv=\"refresh\" content=\"%u\">\n", q->refresh);
    }
    pm_out_raw(o, "<title>");
    if (q->incident) {
        pm_out_format(o, "Incident %" APR_UINT64_T_FMT " - ", q->incident);
    }
    else if (open) {
        pm_out_format(o, "%d open - ", (int)open);
    }
    pm_out_raw(o, "pmcapture</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>");
    pm_out_raw(o, style);
    pm_out_raw(o, "</style>\n</head>\n<body>\n");
}

static void last(pm_out *o, const char *what, const pm_event *e)
{
    if (e) {
        pm_out_format(o, "<p class=\"dim\">%s: ", what);
        when(o, e->at_us);
        pm_out_format(o, " %s: ", pm_event_name(e->type));
        html(o, e->text);
        pm_out_raw(o, "</p>\n");
    }
}

static void banner(pm_out *o, const pm_model *m)
{
    const pm_server *s = &m->server;
    size_t open = open_incidents(m);
    const char *class = m->state == PM_STATE_RUNNING ? "ok"
                        : m->state == PM_STATE_DOWN  ? "bad"
                                                     : "warn";

    pm_out_format(o,
                  "<header>\n<div class=\"title\"><h1>pmcapture</h1> <span class=\"badge %s\">"
                  "server %s</span> <span class=\"badge %s\">",
                  class, pm_state_name(m->state), open ? "bad" : "ok");
    if (open) {
        pm_out_format(o, "%d open incident%s</span>", (int)open, open == 1 ? "" : "s");
    }
    else {
        pm_out_raw(o, "no open incident</span>");
    }
    pm_out_raw(o, "</div>\n<p class=\"dim\">");
    html(o, s->software[0] ? s->software : "Server unknown");
    pm_out_raw(o, s->mpm[0] ? ", " : "");
    html(o, s->mpm);
    pm_out_format(o, "; pid %u, configuration generation %u; started ", s->pid, s->generation);
    when(o, s->started_us);
    pm_out_raw(o, "; last heartbeat ");
    when(o, s->heartbeat_us);
    pm_out_raw(o, !s->orphaned ? ""
                  : m->state == PM_STATE_UNKNOWN
                      ? "; then the parent process was dead, its children alive"
                      : "; the parent process is dead, its children are alive");
    pm_out_raw(o, ". All times are UTC.</p>\n");
    last(o, "Last change", m->last_change);
    last(o, "Last crash", m->last_crash);
    pm_out_raw(o, "</header>\n<main>\n");
    for (size_t n = 0; n < m->notice_count; n++) {
        pm_out_raw(o, "<p class=\"note\" role=\"alert\">");
        html(o, m->notices[n]);
        pm_out_raw(o, "</p>\n");
    }
}

#define STOPPED_US (3 * PM_SECOND) /* without a request are worth saying */

static void rate_figures(pm_out *o, const pm_model *m)
{
    const char *record = m->state == PM_STATE_RUNNING ? "" : " on record";
    pm_recent recent = pm_recent_figures(m);
    double seconds = (double)recent.span_us / 1e6;

    figure(o, "Requests per second");
    if (recent.span_us) {
        pm_out_format(o, "%.1f<small>over the last %.0f s%s", (double)recent.requests / seconds,
                      seconds, record);
        if (recent.idle_us >= STOPPED_US) {
            pm_out_raw(o, "; no request for ");
            span(o, recent.idle_us);
        }
        pm_out_raw(o, "</small>");
    }
    else {
        pm_out_raw(o, "unknown");
    }
    figure_end(o);
    figure(o, m->state == PM_STATE_RUNNING ? "Failing now" : "Failing last");
    percent(o, recent.errors, recent.requests);
    pm_out_format(o, "<small>%" APR_UINT64_T_FMT " of %" APR_UINT64_T_FMT "</small>", recent.errors,
                  recent.requests);
    figure_end(o);
}

static void load_figures(pm_out *o, const pm_server *s)
{
    figure(o, "Workers busy");
    if (s->busy == PM_UNKNOWN) {
        pm_out_raw(o, "unknown");
    }
    else {
        number(o, s->busy);
    }
    if (s->limit != PM_UNKNOWN) {
        pm_out_format(o, "<small>of at most %u</small>", s->limit);
    }
    figure_end(o);
    figure(o, "In flight");
    if (s->in_flight == PM_UNKNOWN) {
        pm_out_raw(o, "unknown");
    }
    else {
        number(o, s->in_flight);
    }
    if (s->in_flight && s->in_flight != PM_UNKNOWN) {
        pm_out_raw(o, "<small>oldest ");
        latency(o, s->oldest_ms * 1000ull);
        pm_out_raw(o, "</small>");
    }
    figure_end(o);
}

static void now(pm_out *o, const pm_model *m, const pm_query *q)
{
    uint64_t requests = pm_model_requests(&m->totals), errors = pm_model_errors(&m->totals);
    pm_window window = {0, UINT64_MAX};

    if (m->row_count) {
        uint64_t last = m->rows[m->row_count - 1].at_us;
        window.from_us = last > CHART_US ? last - CHART_US : 0;
    }
    pm_out_raw(o, "<section>\n<h2>Traffic</h2>\n<dl>\n");
    rate_figures(o, m);
    load_figures(o, &m->server);
    number_figure(o, "Requests in all", requests);
    figure(o, "Errors in all");
    number(o, errors);
    pm_out_raw(o, "<small>");
    percent(o, errors, requests);
    pm_out_raw(o, "; 5xx</small>");
    figure_end(o);
    figure(o, "p99 in all");
    if (requests) {
        latency(o, pm_hist_quantile(m->totals.hist, 0.99));
        pm_out_raw(o, "<small>median ");
        latency(o, pm_hist_quantile(m->totals.hist, 0.5));
        pm_out_raw(o, "</small>");
    }
    else {
        pm_out_raw(o, "unknown");
    }
    figure_end(o);
    pm_out_raw(o, "</dl>\n");
    draw(o, m, q, window);
    pm_out_raw(o, "</section>\n");
}

static void incident_row(pm_out *o, const pm_model *m, const pm_incident *i)
{
    char headline[PM_STORY_HEADLINE];

    pm_out_format(o,
                  "<tr><td><a href=\"?incident=%" APR_UINT64_T_FMT "\">%" APR_UINT64_T_FMT
                  "</a></td><td><span class=\"badge %s\">%s</span></td>",
                  i->id, i->id, i->open ? "bad" : "ok", i->open ? "open" : "closed");
    time_cell(o, i->onset_us);
    pm_out_raw(o, "<td class=\"k\">");
    span(o, pm_story_until(m, i) - i->onset_us);
    pm_out_raw(o, "</td><td class=\"k\">");
    kinds(o, i);
    pm_out_raw(o, "</td>");
    pm_out_raw(o, "<td class=\"wide\">");
    html(o, pm_story_headline(m, i, headline));
    quiet_words(o, m, i);
    pm_out_raw(o, "</td></tr>\n");
}

static void incidents(pm_out *o, const pm_model *m, const pm_query *q)
{
    size_t shown = 0;

    pm_out_raw(o, "<section>\n<h2>Incidents</h2>\n");
    for (size_t n = m->case_count; n-- > 0;) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            if (!shown++) {
                table(o, "Id|State|Onset|Duration|Kind|Summary");
            }
            incident_row(o, m, m->cases[n].incident);
        }
    }
    if (shown) {
        table_end(o);
    }
    else {
        pm_out_raw(o, "<p class=\"dim\">None on record.</p>\n");
    }
    pm_out_raw(o, "</section>\n");
}

static void event_row(pm_out *o, const pm_event *e)
{
    static const char *const classes[] = {
        [PM_INFO] = "", [PM_WARNING] = "warn", [PM_CRITICAL] = "bad"};

    pm_out_raw(o, "<tr>");
    number_cell(o, e->seq);
    time_cell(o, e->at_us);
    pm_out_format(o, "<td class=\"k\">%s</td><td><span class=\"badge %s\">%s</span></td>",
                  pm_event_name(e->type), e->severity <= PM_CRITICAL ? classes[e->severity] : "",
                  pm_severity_name(e->severity));
    text_cell(o, "wide", e->text);
    pm_out_raw(o, "</tr>\n");
}

static void events(pm_out *o, const pm_model *m, const pm_query *q)
{
    pm_window window = pm_query_window(m, q);
    size_t shown = 0;

    pm_out_raw(o, "<section>\n<h2>Events</h2>\n");
    for (size_t n = m->event_count; n-- > 0 && shown < PAGE_EVENTS;) {
        if (pm_window_has(window, m->events[n].at_us)) {
            if (!shown++) {
                table(o, "#Seq|At|Type|Severity|What happened");
            }
            event_row(o, &m->events[n]);
        }
    }
    if (shown) {
        table_end(o);
    }
    else {
        pm_out_raw(o, "<p class=\"dim\">None on record.</p>\n");
    }
    if (shown == PAGE_EVENTS) {
        pm_out_format(o,
                      "<p class=\"dim\">The newest %u; all of them are in "
                      "<a href=\"?format=json&amp;view=events\">the document</a>.</p>\n",
                      PAGE_EVENTS);
    }
    pm_out_raw(o, "</section>\n");
}

static void foot(pm_out *o, const pm_model *m, const pm_query *q)
{
    pm_out_raw(o, "</main>\n<footer>\n<p>");
    if (q->incident) {
        pm_out_format(
            o,
            "<a href=\"?\">All incidents</a><a href=\"?format=json&amp;incident=%" APR_UINT64_T_FMT
            "\">This incident as JSON</a><a href=\"?format=csv&amp;incident=%" APR_UINT64_T_FMT
            "\">its seconds as CSV</a>",
            q->incident, q->incident);
    }
    else {
        pm_out_raw(o, "<a href=\"?format=json\">JSON</a><a href=\"?format=csv\">CSV</a>"
                      "<a href=\"?format=prometheus\">Prometheus</a><a href=\"?auto\">Text</a>"
                      "<a href=\"?refresh=5\">Refresh every 5 s</a>");
    }
    pm_out_raw(o, "</p>\n<p>Capture ");
    html(o, m->capture_id);
    pm_out_raw(o, m->path ? " in " : "");
    html(o, m->path);
    pm_out_raw(o, "; tick ");
    number(o, m->tick);
    pm_out_raw(o, "; read ");
    when(o, m->generated_us);
    pm_out_raw(o, ".</p>\n</footer>\n</body>\n</html>\n");
}

static void one_incident(pm_out *o, const pm_model *m, const pm_query *q)
{
    for (size_t n = 0; n < m->case_count; n++) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            incident(o, m, q, &m->cases[n]);
            return;
        }
    }
    pm_out_format(o, "<section><p>No incident %" APR_UINT64_T_FMT " is on record.</p></section>\n",
                  q->incident);
}

apr_status_t pm_encode_html(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx)
{
    pm_out o;

    pm_out_begin(&o, sink, ctx);
    head(&o, m, q);
    banner(&o, m);
    if (q->incident) {
        one_incident(&o, m, q);
    }
    else {
        for (size_t n = m->case_count; n-- > 0;) {
            if (m->cases[n].incident->open) {
                incident(&o, m, q, &m->cases[n]);
            }
        }
        now(&o, m, q);
        incidents(&o, m, q);
    }
    events(&o, m, q);
    foot(&o, m, q);
    return pm_out_end(&o);
}
