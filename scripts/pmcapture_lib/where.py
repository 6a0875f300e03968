# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an incident's failures were: a table for each dimension that the record breaks down."""
from . import text
from .figures import pairs, ratio

DIMENSIONS = {
    "vhost": "Virtual host",
    "route": "Route",
    "host": "Requested Host",
    "backend": "Backend",
    "error_log": "Error log",
}


def tables(case):
    """Each with name, titles, rows; `names` are columns of foreign names, `numbers` of figures."""
    found = case.incident["breakdown"]
    made = [_tallies(case, dimension, found[dimension]) for dimension in list(DIMENSIONS)[:-1]]
    made.append(_error_log(case, found["error_log"]))
    return [table for table in made if table["rows"]]


def _error_log(case, found):
    rows = [
        [r["key"] or "", text.count(r["count"]), case.when(r["first_seen"]), r["sample"] or ""]
        for r in found
    ]
    titles = ["Message", "Times", "First seen", "Example"]
    return _table("error_log", titles, rows, names=[0, 3], numbers=[1])


def _tallies(case, dimension, found):
    counted = any(row["requests"] is not None for row in found)
    titles = [DIMENSIONS[dimension], "Failed", "Of all failures"]
    titles += ["Requests", "Failing share"] * counted
    numbers, names = list(range(1, len(titles))), [0]
    rows = [_tally(row, case.incident["errors"], counted) for row in found]
    if dimension == "vhost":
        names.append(len(titles))
        titles.append("Defined in")
        rows = [cells + [row["defined"] or ""] for cells, row in zip(rows, found)]
    if dimension == "backend":
        titles.append("How it failed")
        rows = [cells + [_failure(row["failure"])] for cells, row in zip(rows, found)]
    return _table(dimension, titles, rows, names, numbers)


def _table(dimension, titles, rows, names, numbers):
    return {
        "dimension": dimension,
        "name": DIMENSIONS[dimension],
        "titles": titles,
        "rows": rows,
        "names": names,
        "numbers": numbers,
    }


def _tally(row, all_errors, counted):
    requests, errors = row["requests"], row["errors"]
    cells = [row["key"] or "", text.count(errors), text.share(ratio(errors, all_errors))]
    if not counted:
        return cells
    if requests is None:
        return cells + ["not counted", "–"]
    return cells + [text.count(requests), text.share(ratio(errors, requests))]


def _failure(failure):
    return pairs({how: times for how, times in failure.items() if times}) or text.UNKNOWN
