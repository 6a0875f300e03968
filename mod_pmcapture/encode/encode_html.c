/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_html.c: the page for people: an open incident first, then figures, incidents, events.
 *
 * Complete without scripts and loads nothing: the style is inline, the chart is inline SVG, and the empty
 * icon keeps a browser from asking for /favicon.ico. Every foreign text goes through html().
 */
#include "html.h"

#include <string.h>

#include <apr_strings.h>

#include "pm_hist.h"
#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

#define PAGE_EVENTS 100u /* newest; the rest is in the JSON document */
#define CHART_US (1800 * PM_SECOND)

static const char style[] =
#include "page_css.h" /* page.css */
    ;

static void percent(pm_out *o, uint64_t part, uint64_t whole)
{
    char text[PM_STORY_PERCENT];

    pm_html(o, pm_story_percent(part, whole, text));
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
    pm_html_number(o, value);
    figure_end(o);
}

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
        pm_html_time(o, e->at_us);
        pm_out_format(o, " %s: ", pm_event_name(e->type));
        pm_html(o, e->text);
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
    pm_html(o, s->software[0] ? s->software : "Server unknown");
    pm_out_raw(o, s->mpm[0] ? ", " : "");
    pm_html(o, s->mpm);
    pm_out_format(o, "; pid %u, configuration generation %u; started ", s->pid, s->generation);
    pm_html_time(o, s->started_us);
    pm_out_raw(o, "; last heartbeat ");
    pm_html_time(o, s->heartbeat_us);
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
        pm_html(o, m->notices[n]);
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
            pm_html_span(o, recent.idle_us);
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
        pm_html_number(o, s->busy);
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
        pm_html_number(o, s->in_flight);
    }
    if (s->in_flight && s->in_flight != PM_UNKNOWN) {
        pm_out_raw(o, "<small>oldest ");
        pm_html_latency(o, s->oldest_ms * 1000ull);
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
    pm_html_number(o, errors);
    pm_out_raw(o, "<small>");
    percent(o, errors, requests);
    pm_out_raw(o, "; 5xx</small>");
    figure_end(o);
    figure(o, "p99 in all");
    if (requests) {
        pm_html_latency(o, pm_hist_quantile(m->totals.hist, 0.99));
        pm_out_raw(o, "<small>median ");
        pm_html_latency(o, pm_hist_quantile(m->totals.hist, 0.5));
        pm_out_raw(o, "</small>");
    }
    else {
        pm_out_raw(o, "unknown");
    }
    figure_end(o);
    pm_out_raw(o, "</dl>\n");
    pm_html_chart(o, m, q, window);
    pm_out_raw(o, "</section>\n");
}

static void incident_row(pm_out *o, const pm_model *m, const pm_incident *i)
{
    char headline[PM_STORY_HEADLINE];

    pm_out_format(o,
                  "<tr><td><a href=\"?incident=%" APR_UINT64_T_FMT "\">%" APR_UINT64_T_FMT
                  "</a></td><td><span class=\"badge %s\">%s</span></td>",
                  i->id, i->id, i->open ? "bad" : "ok", i->open ? "open" : "closed");
    pm_html_time_cell(o, i->onset_us);
    pm_out_raw(o, "<td class=\"k\">");
    pm_html_span(o, pm_story_until(m, i) - i->onset_us);
    pm_out_raw(o, "</td><td class=\"k\">");
    pm_html_kinds(o, i);
    pm_out_raw(o, "</td>");
    pm_out_raw(o, "<td class=\"wide\">");
    pm_html(o, pm_story_headline(m, i, headline));
    pm_html_quiet(o, m, i);
    pm_out_raw(o, "</td></tr>\n");
}

static void incidents(pm_out *o, const pm_model *m, const pm_query *q)
{
    size_t shown = 0;

    pm_out_raw(o, "<section>\n<h2>Incidents</h2>\n");
    for (size_t n = m->case_count; n-- > 0;) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            if (!shown++) {
                pm_html_table(o, "Id|State|Onset|Duration|Kind|Summary");
            }
            incident_row(o, m, m->cases[n].incident);
        }
    }
    if (shown) {
        pm_html_table_end(o);
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
    pm_html_number_cell(o, e->seq);
    pm_html_time_cell(o, e->at_us);
    pm_out_format(o, "<td class=\"k\">%s</td><td><span class=\"badge %s\">%s</span></td>",
                  pm_event_name(e->type), e->severity <= PM_CRITICAL ? classes[e->severity] : "",
                  pm_severity_name(e->severity));
    pm_html_text_cell(o, "wide", e->text);
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
                pm_html_table(o, "#Seq|At|Type|Severity|What happened");
            }
            event_row(o, &m->events[n]);
        }
    }
    if (shown) {
        pm_html_table_end(o);
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
    pm_html(o, m->capture_id);
    pm_out_raw(o, m->path ? " in " : "");
    pm_html(o, m->path);
    pm_out_raw(o, "; tick ");
    pm_html_number(o, m->tick);
    pm_out_raw(o, "; read ");
    pm_html_time(o, m->generated_us);
    pm_out_raw(o, ".</p>\n</footer>\n</body>\n</html>\n");
}

static void one_incident(pm_out *o, const pm_model *m, const pm_query *q)
{
    for (size_t n = 0; n < m->case_count; n++) {
        if (pm_query_wants(m, q, &m->cases[n])) {
            pm_html_incident(o, m, q, &m->cases[n]);
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
                pm_html_incident(&o, m, q, &m->cases[n]);
            }
        }
        now(&o, m, q);
        incidents(&o, m, q);
    }
    events(&o, m, q);
    foot(&o, m, q);
    return pm_out_end(&o);
}
