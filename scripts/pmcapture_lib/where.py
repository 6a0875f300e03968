# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where an incident's failures were: a table for each dimension that the record breaks down."""
from . import text
from .figures import pairs, ratio

DIMENSIONS = {
    "vhost": "Virtual host",
    "route": "Route",
    "host": "Requested Host",
    "backend": "Backend",
    "client": "Client",
    "error_log": "Error log",
}


def sentence(incident):
    """What at least half of the failures have in common, by dimension; None when nothing."""
    errors, said = incident["errors"], []
    for dimension, name in (
        ("vhost", "virtual host"), ("route", "route"), ("host", "Host"), ("backend", "backend")
    ):
        rows = incident["breakdown"][dimension]
        share = ratio(rows[0]["errors"], errors) if rows else None
        if not share or share < 0.5 or not rows[0]["key"]:
            continue
        how = _failure(rows[0]["failure"]) if dimension == "backend" else ""
        said.append(f"{name} {rows[0]['key']} ({text.share(share)}{how and '; ' + how})")
    return f"Where, of all failures: {', '.join(said)}." if said else None


def tables(case):
    """Each with name, titles, rows; `names` are columns of foreign names, `numbers` of figures."""
    found = case.incident["breakdown"]
    made = [_tallies(case, dimension, found[dimension]) for dimension in list(DIMENSIONS)[:-2]]
    made.append(_tallies(case, "client", _busy(found["client"], case.incident["errors"])))
    made.append(_error_log(case, found["error_log"]))
    return [table for table in made if table["rows"]]


def _busy(found, errors):
    """Of many clients that met an error each there is nothing to tell."""
    return [row for row in found if (ratio(row["errors"], errors) or 0) >= 0.05]


def _error_log(case, found):
    rows = [
        [r["key"] or "", text.count(r["count"]), case.when(r["first_seen"]), r["sample"] or ""]
        for r in found
    ]
    titles = ["Message", "Times", "First seen", "Example"]
    return _table("error_log", titles, rows, names=[0, 3], numbers=[1])


def _not_served(incident):
    """A column's title: what became of its requests."""
    what = (incident["verb"] or "failed").removeprefix("were ")
    return "Not served" if " " in what else what.capitalize()


def _tallies(case, dimension, found):
    counted = any(row["requests"] is not None for row in found)
    title = _not_served(case.incident)
    titles = [DIMENSIONS[dimension], title, "Of all failures" if title == "Failed" else "Of all"]
    titles += ["Requests", "Failing share"] * counted
    numbers, names = list(range(1, len(titles))), [0]
    rows = [_tally(row, case.incident["errors"], counted) for row in found]
    if dimension == "vhost":
        names.append(len(titles))
        titles.append("Defined in")
        rows = [cells + [row["defined"] or ""] for cells, row in zip(rows, found)]
    if dimension == "client":
        titles.insert(1, "Clients")
        numbers.append(len(titles) - 1)
        rows = [[cells[0], text.count(row["clients"]), *cells[1:]] for row, cells in zip(found, rows)]
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
    share = row["error_ratio"] if row["error_ratio"] is not None else ratio(errors, requests)
    return cells + [text.count(requests), text.share(share)]


def _failure(failure):
    return pairs({how.replace("_", " "): times for how, times in failure.items() if times}) or text.UNKNOWN
