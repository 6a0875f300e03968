/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * html.c: the pieces of the page (html.h).
 */
#include "html.h"

#include <string.h>

#include "pm_story.h"
#include "pm_text.h"
#include "pm_time.h"

void pm_html(pm_out *o, const char *text)
{
    pm_out_text(o, pm_text_html, text);
}

void pm_html_time(pm_out *o, uint64_t us)
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

void pm_html_span(pm_out *o, uint64_t us)
{
    char text[PM_TIME_SIZE];

    pm_out_raw(o, pm_time_span(us, text));
}

void pm_html_latency(pm_out *o, uint64_t us)
{
    char text[PM_STORY_LATENCY];

    pm_out_raw(o, pm_story_latency(us, text));
}

void pm_html_number(pm_out *o, uint64_t value)
{
    pm_out_format(o, "%" APR_UINT64_T_FMT, value);
}

/* `heads`: column names with '|' between them; '#' in front of a column of numbers. */
void pm_html_table(pm_out *o, const char *heads)
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

void pm_html_table_end(pm_out *o)
{
    pm_out_raw(o, "</tbody></table></div>\n");
}

void pm_html_text_cell(pm_out *o, const char *class, const char *text)
{
    pm_out_format(o, "<td class=\"%s\">", class);
    pm_html(o, text);
    pm_out_raw(o, "</td>");
}

void pm_html_number_cell(pm_out *o, uint64_t value)
{
    pm_out_raw(o, "<td class=\"n\">");
    if (value == UINT64_MAX) {
        pm_out_raw(o, "<span class=\"dim\">not counted</span>");
    }
    else {
        pm_html_number(o, value);
    }
    pm_out_raw(o, "</td>");
}

void pm_html_time_cell(pm_out *o, uint64_t us)
{
    pm_out_raw(o, "<td>");
    pm_html_time(o, us);
    pm_out_raw(o, "</td>");
}

void pm_html_kinds(pm_out *o, const pm_incident *i)
{
    const pm_kind_fact *kind;

    for (int n = 0; (kind = pm_kind_at(i->kinds, n)) != NULL; n++) {
        pm_out_format(o, "%s%s", n ? " + " : "", kind->name);
    }
}

void pm_html_quiet(pm_out *o, const pm_model *m, const pm_incident *i)
{
    char words[PM_STORY_QUIET];

    if (pm_story_quiet(m, i, words) != 0) {
        pm_out_raw(o, "; <strong>");
        pm_html(o, words);
        pm_out_raw(o, "</strong>");
    }
}
