# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture export: the data, for other tools."""
import csv
import io

from . import text
from .document import items, raw
from .output import dump, note, write
from .times import parse_stamp

HELP = "the data: the whole document, JSON lines, or CSV"
EXAMPLES = """\
  pmcapture export -o saved.json                  the document; -f saved.json reads it again
  pmcapture export --format csv --since -1h       the seconds of the last hour, for a spreadsheet
  pmcapture export --format csv --table incidents -o incidents.csv
  pmcapture export --format jsonl --since today   one object a line: incidents, events, seconds"""
TABLES = {
    "incidents": (
        "id",
        "state",
        "kinds",
        "vhost",
        "onset",
        "detected",
        "end",
        "duration",
        "requests",
        "errors",
        "error_ratio",
        "slow",
        "clients",
        "clients_affected",
        "peak_at",
        "peak_errors_per_second",
    ),
    "events": ("seq", "at", "type", "severity", "text", "data"),
}


def add_arguments(parser):
    from .cli import add_bounds

    add_bounds(parser)
    parser.add_argument(
        "--format", choices=("json", "jsonl", "csv"), default="json", help="json is the default"
    )
    parser.add_argument(
        "--table",
        choices=("series", "events", "incidents"),
        default="series",
        help="what CSV holds; series is the default",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write FILE as a whole, instead of standard output"
    )


def run(session):
    args = session.args
    document = session.source.get(since=session.since, until=session.until)
    style = "json" if args.json else args.format
    if style == "csv":
        rows, content = as_csv(session, document, args.table)
    else:
        rows = any(items(document.raw, name) for name in ("incidents", "events")) or items(
            raw(document.raw.get("series")), "rows"
        )
        content = dump(document.raw) + "\n" if style == "json" else "".join(as_lines(document.raw))
    write(content, args.output)
    if style != "json":
        for sentence in document.notices:
            note(sentence)
    if not rows:
        note("nothing on record in that time")
        return 1
    return 0


def as_lines(found):
    """The head first, then each incident, event and row of the series with its columns by name."""
    head = {k: v for k, v in found.items() if k not in ("incidents", "events", "series")}
    yield dump({"record": "capture", **head}) + "\n"
    for record, name in (("incident", "incidents"), ("event", "events")):
        for item in items(found, name):
            if isinstance(item, dict):
                yield dump({"record": record, **item}) + "\n"
    series = raw(found.get("series"))
    columns = [c for c in items(series, "columns") if isinstance(c, str)]
    for row in items(series, "rows"):
        if isinstance(row, list) and len(row) == len(columns):
            yield dump({"record": "series", **dict(zip(columns, row))}) + "\n"


def as_csv(session, document, table):
    """RFC 4180; with --tz a column of local times is added at the end. No cell is a formula."""
    if table == "series":
        titles, rows, at = series_rows(document)
    else:
        titles = TABLES[table]
        rows = [
            list(row) for row in (incident_rows if table == "incidents" else event_rows)(document)
        ]
        at = titles.index("onset" if table == "incidents" else "at")
    zone = session.zone
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(
        list(map(text.csv_cell, titles)) + ([f"local ({zone.name})"] if zone.shown else [])
    )
    for row in rows:
        stamp = parse_stamp(row[at]) if zone.shown and at is not None else None
        local = (
            [zone.local(stamp).isoformat(timespec="milliseconds") if stamp else ""]
            if zone.shown
            else []
        )
        writer.writerow([text.csv_cell(plain(cell)) for cell in row] + local)
    return rows, stream.getvalue()


def plain(value):
    """A cell: figures and text as they are, anything deeper as JSON."""
    if value is None or isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    return dump(value)


def series_rows(document):
    series = raw(document.raw.get("series"))
    titles = [c if isinstance(c, str) else "" for c in items(series, "columns")]
    rows = [
        row for row in items(series, "rows") if isinstance(row, list) and len(row) == len(titles)
    ]
    return titles, rows, titles.index("time") if "time" in titles else None


def event_rows(document):
    for event in items(document.raw, "events"):
        if isinstance(event, dict):
            yield (event.get(name) for name in TABLES["events"])


def incident_rows(document):
    for found in items(document.raw, "incidents"):
        if isinstance(found, dict):
            kinds = " ".join(k for k in items(found, "kinds") if isinstance(k, str))
            clients, peak, scope = (raw(found.get(name)) for name in ("clients", "peak", "scope"))
            deeper = {
                "kinds": kinds,
                "vhost": scope.get("vhost"),
                "clients": clients.get("total"),
                "clients_affected": clients.get("affected"),
                "peak_at": peak.get("at"),
                "peak_errors_per_second": peak.get("errors_per_second"),
            }
            yield (deeper.get(name, found.get(name)) for name in TABLES["incidents"])
