/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * encode_csv.c: the series as text/csv (RFC 4180: a header line, lines end with CRLF).
 *
 * Every cell is a number, a time or empty (unknown), so nothing needs quotes and no spreadsheet finds
 * a formula.
 */
#include "encode.h"

static void cell(pm_out *o, pm_cell cell)
{
    switch (cell.kind) {
    case PM_CELL_TIME:
        pm_out_time(o, cell.value);
        break;
    case PM_CELL_COUNT:
        pm_out_format(o, "%" APR_UINT64_T_FMT, cell.value);
        break;
    case PM_CELL_SECONDS:
        pm_out_seconds(o, cell.value);
        break;
    default:
        break;
    }
}

static const char *separator(int column)
{
    return column + 1 < PM_COLUMNS ? "," : "\r\n";
}

apr_status_t pm_encode_csv(const pm_model *m, const pm_query *q, pm_sink sink, void *ctx)
{
    pm_window window = pm_query_window(m, q);
    pm_out o;

    pm_out_begin(&o, sink, ctx);
    for (int c = 0; c < PM_COLUMNS; c++) {
        pm_out_raw(&o, pm_columns[c].name);
        pm_out_raw(&o, separator(c));
    }
    for (size_t n = 0; n < m->row_count; n++) {
        if (!pm_window_has(window, m->rows[n].at_us)) {
            continue;
        }
        for (int c = 0; c < PM_COLUMNS; c++) {
            cell(&o, pm_column_cell(c, &m->rows[n]));
            pm_out_raw(&o, separator(c));
        }
    }
    return pm_out_end(&o);
}
