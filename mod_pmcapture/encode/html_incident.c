/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * html_incident.c: one incident on the page: its sentence, impact, chart, candidates, timeline, where, samples.
 */
#include "html.h"

#include "pm_story.h"

static void impact_row(void *ctx, const pm_impact *row)
{
    pm_out *o = ctx;

    pm_out_raw(o, "<tr>");
    pm_html_text_cell(o, "k", row->what);
    pm_out_raw(o, "<td class=\"wide\">");
    pm_html(o, row->figure);
    pm_out_raw(o, row->at_us && row->figure[0] ? " at " : "");
    if (row->at_us) {
        pm_html_time(o, row->at_us);
    }
    pm_out_raw(o, "</td></tr>\n");
}

static void impact(pm_out *o, const pm_model *m, const pm_case *c)
{
    pm_html_table(o, "Impact|Figure");
    pm_story_impact(m, c, impact_row, o);
    pm_html_table_end(o);
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
        pm_html(o, c->causes[n].kind);
        pm_out_raw(o, "</span> ");
        pm_html(o, c->causes[n].summary);
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
        pm_html(o, c->cleared[n].summary);
        pm_out_raw(o, "</li>\n");
    }
    pm_out_raw(o, c->cleared_count ? "</ul>\n" : "");
    pm_out_raw(o, c->unwatched_count ? "<h3>Not watched</h3>\n<ul>" : "");
    for (size_t n = 0; n < c->unwatched_count; n++) {
        pm_out_raw(o, "<li>");
        pm_html(o, c->unwatched[n].hypothesis);
        pm_out_raw(o, ": ");
        pm_html(o, c->unwatched[n].summary);
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
        pm_html(o, moment->kind);
        pm_out_raw(o, "\">");
        pm_html_time(o, moment->at_us);
        pm_out_raw(o, "<b class=\"k\">");
        pm_html(o, moment->kind);
        pm_out_raw(o, "</b><span>");
        pm_html(o, moment->text);
        pm_out_raw(o, "</span></li>\n");
    }
    pm_out_raw(o, "</ol>\n");
}

enum dimension { VHOST, ROUTE, HOST, BACKEND, ERROR_LOG, DIMENSIONS };

static void tally_row(pm_out *o, const pm_tally *t, enum dimension dimension)
{
    pm_out_raw(o, "<tr>");
    pm_html_text_cell(o, "wide", t->key);
    if (dimension == VHOST || dimension == ERROR_LOG) {
        pm_html_text_cell(o, "wide", t->defined);
    }
    if (dimension == ERROR_LOG) {
        pm_html_time_cell(o, t->first_seen_us);
    }
    else {
        pm_html_number_cell(o, t->requests);
    }
    pm_html_number_cell(o, t->errors);
    if (dimension == BACKEND) {
        for (uint32_t f = PM_FAILURE_REFUSED; f < PM_FAILURES; f++) {
            pm_html_number_cell(o, pm_failure_count(t, f));
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
        pm_html_table(o, heads[d]);
        for (int n = 0; n < PM_TALLIES && tallies[d][n].errors; n++) {
            tally_row(o, &tallies[d][n], (enum dimension)d);
        }
        pm_html_table_end(o);
    }
}

static void samples(pm_out *o, const pm_case *c)
{
    if (!c->sample_count) {
        return;
    }
    pm_out_format(o, "<details><summary>%d requests kept as samples</summary>\n",
                  (int)c->sample_count);
    pm_html_table(o, "Arrived|#Status|Request|Host|Backend|Client|#Latency|Request id");
    for (size_t n = 0; n < c->sample_count; n++) {
        const pm_sample *s = &c->samples[n];

        pm_out_raw(o, "<tr>");
        pm_html_time_cell(o, s->at_us);
        pm_html_number_cell(o, s->status);
        pm_out_raw(o, "<td class=\"wide\">");
        pm_html(o, s->method);
        pm_out_raw(o, " ");
        pm_html(o, s->uri);
        pm_out_raw(o, "</td>");
        pm_html_text_cell(o, "", s->host);
        pm_html_text_cell(o, "", s->backend);
        pm_html_text_cell(o, "k", s->client);
        pm_out_raw(o, "<td class=\"n k\">");
        pm_html_latency(o, s->latency_us);
        pm_out_raw(o, "</td>");
        pm_html_text_cell(o, "", s->request_id);
        pm_out_raw(o, "</tr>\n");
    }
    pm_html_table_end(o);
    pm_out_raw(o, "</details>\n");
}

void pm_html_incident(pm_out *o, const pm_model *m, const pm_query *q, const pm_case *c)
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
    pm_html_kinds(o, i);
    pm_out_raw(o, "</span></h2>\n<p class=\"lead\">");
    pm_html(o, pm_story_headline(m, i, headline));
    pm_html_quiet(o, m, i);
    pm_out_raw(o, ".</p>\n");
    impact(o, m, c);
    pm_html_chart(o, m, &alone, pm_query_window(m, &alone));
    suspects(o, c);
    timeline(o, c);
    if (!c->figures_only) {
        breakdown(o, i);
    }
    samples(o, c);
    pm_out_raw(o, "</section>\n");
}
