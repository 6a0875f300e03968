/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * html.h: what the parts of the page share. Every foreign text goes through pm_html.
 */
#ifndef PM_HTML_H
#define PM_HTML_H

#include "encode.h"

void pm_html(pm_out *o, const char *text);
void pm_html_time(pm_out *o, uint64_t us);
void pm_html_span(pm_out *o, uint64_t us);
void pm_html_latency(pm_out *o, uint64_t us);
void pm_html_number(pm_out *o, uint64_t value);
/** "errors + slow" */
void pm_html_kinds(pm_out *o, const pm_incident *i);
/** That nothing fails in it any more, behind its sentence. */
void pm_html_quiet(pm_out *o, const pm_model *m, const pm_incident *i);

/** `heads`: column names with '|' between them; '#' in front of a column of numbers. */
void pm_html_table(pm_out *o, const char *heads);
void pm_html_table_end(pm_out *o);
void pm_html_text_cell(pm_out *o, const char *class, const char *text);
/** UINT64_MAX: not counted. */
void pm_html_number_cell(pm_out *o, uint64_t value);
void pm_html_time_cell(pm_out *o, uint64_t us);

/** What the window holds of the rows, with the incidents that are asked for. */
void pm_html_chart(pm_out *o, const pm_model *m, const pm_query *q, pm_window window);
void pm_html_incident(pm_out *o, const pm_model *m, const pm_query *q, const pm_case *c);

#endif
