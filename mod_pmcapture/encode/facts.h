/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/*
 * facts.h: each figure of the server, each column of the series and each metric, declared once (facts.c,
 * encode_prometheus.c). Encoders, JSON Schema and manual are made from these tables; to add one, add its row.
 */
#ifndef PM_FACTS_H
#define PM_FACTS_H

#include "pm_model.h"

/** Where a cell's value comes from. */
enum pm_source {
    PM_FROM_TEXT,    /* array of char; "" = null */
    PM_FROM_POINTER, /* const char *; NULL = null */
    PM_FROM_STATE,
    PM_FROM_REQUESTS, /* of totals */
    PM_FROM_ERRORS,
    PM_FROM_COUNT, /* 64 bits */
    PM_FROM_COUNT32,
    PM_FROM_GAUGE, /* 32 bits; PM_UNKNOWN = null */
    PM_FROM_ID,    /* 32 bits; 0 = null */
    PM_FROM_FLAG,  /* 32 bits */
    PM_FROM_BIT,   /* of a row's flags: `where` is the bit */
    PM_FROM_TIME,  /* 0 = null */
    PM_FROM_SPAN,
    PM_FROM_LATENCY, /* 32 bits of a row; null without requests */
    PM_FROM_AGE      /* ms, 32 bits, behind the gauge of how many there are; null of none */
};

enum pm_cell_kind {
    PM_CELL_NULL,
    PM_CELL_TIME,
    PM_CELL_COUNT,
    PM_CELL_SECONDS,
    PM_CELL_TEXT,
    PM_CELL_FLAG
};
typedef struct pm_cell {
    enum pm_cell_kind kind;
    uint64_t value; /* TIME and SECONDS in microseconds */
    const char *text;
} pm_cell;

void pm_json_cell(pm_json *j, pm_cell cell);
/** What such a value is, as the JSON Schema calls it: "count_or_null". */
const char *pm_source_type(enum pm_source source);

/** A column of the series. */
typedef struct pm_column {
    const char *name;
    enum pm_source source;
    size_t where; /* in pm_row */
    const char *meaning;
} pm_column;
#define PM_COLUMNS 28
extern const pm_column pm_columns[PM_COLUMNS];
pm_cell pm_column_cell(int column, const pm_row *row);

/** A figure of the server. */
typedef struct pm_figure {
    const char *section, *key; /* in the document; key NULL: not there. Section "" is the top */
    const char *line;          /* of ?auto; NULL: not there */
    const char *
        metric; /* without "pmcapture_"; NULL: none. One of "_total" is a counter, else it is a gauge */
    const char *label, *label_value; /* of the metric; NULL: none */
    enum pm_source source;
    size_t where; /* in pm_model */
    const char *meaning;
} pm_figure;
#define PM_FIGURES 33
extern const pm_figure pm_figures[PM_FIGURES];
pm_cell pm_figure_cell(const pm_figure *figure, const pm_model *m);

/** A metric that is more than one figure, or is found elsewhere. */
struct prom;
typedef struct pm_metric {
    const char *name, *type, *label; /* label NULL: none */
    void (*samples)(struct prom *p, const pm_model *m);
    const char *meaning;
} pm_metric;
#define PM_METRICS 7
extern const pm_metric pm_metrics[PM_METRICS];
/** "counter" or "gauge", of a figure's metric. */
const char *pm_metric_type(const char *name);

#endif
