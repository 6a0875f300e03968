# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The capture document, made safe to use: every field is there, of its type, or None.

A document can come from a damaged file or a stranger's server. What is not as it should be is
taken as unknown here, once, so that nothing behind this module needs to ask again. `--json`
prints the document as it came.
"""
import json
import math
from datetime import timedelta

from . import Trouble
from . import text
from .output import home
from .times import parse_stamp

SCHEMA = "pmcapture.v1"
PIN = 120  # seconds around an incident that belong to it


def string(value):
    return text.clean(value) if isinstance(value, str) else None


def number(value):
    """A figure that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 2**64 and math.isfinite(value) else None


def count(value):
    value = number(value)
    return value if value is not None and value >= 0 else None


def identity(value):
    """An id or seq: a whole number, 1 or more."""
    return (
        value
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**64
        else None
    )


def flag(value):
    return value is True


def raw(value):
    return value if isinstance(value, dict) else {}


class Maybe:
    """An object that may be null as a whole."""

    def __init__(self, shape):
        self.shape = shape


class Counts:
    """An object of figures under any keys, in descending order."""


QUANTILES = {"p50": count, "p90": count, "p99": count, "max": count}
EVENT = {
    "seq": identity,
    "at": parse_stamp,
    "type": string,
    "severity": string,
    "text": string,
    "data": raw,
}
TALLY = {"key": string, "defined": string, "requests": count, "errors": count, "error_ratio": count}
INCIDENT = {
    "id": identity,
    "state": string,
    "kinds": [string],
    "scope": {"vhost": string},
    "onset": parse_stamp,
    "detected": parse_stamp,
    "end": parse_stamp,
    "duration": count,
    "quiet": Maybe({"seconds": count, "since": parse_stamp, "closes_after": count, "summary": string}),
    "requests": count,
    "errors": count,
    "error_ratio": count,
    "verb": string,
    "summary": string,
    "words": {"title": string, "duration": string, "requests": string, "failed_share": string},
    "impact": [{"what": string, "figure": string, "at": parse_stamp, "field": string}],
    "breakdown": {
        "vhost": [TALLY],
        "route": [TALLY],
        "host": [TALLY],
        "backend": [{**TALLY, "failure": Counts()}],
        "error_log": [{"key": string, "count": count, "first_seen": parse_stamp, "sample": string}],
        "client": [{**TALLY, "clients": count}],
        "basis": string,
    },
    "samples": [
        {
            "at": parse_stamp,
            "status": count,
            "method": string,
            "uri": string,
            "host": string,
            "vhost": string,
            "backend": string,
            "client": string,
            "latency": count,
            "request_id": string,
            "aborted": flag,
        }
    ],
    "changes": [EVENT],
    "causes": [
        {
            "rank": count,
            "kind": string,
            "summary": string,
            "statement": string,
            "nearness": string,
            "evidence": [identity],
            "at": parse_stamp,
            "seconds_before_onset": number,
        }
    ],
    "ruled_out": [{"hypothesis": string, "summary": string}],
    "not_watched": [{"hypothesis": string, "summary": string}],
    "timeline": [{"at": parse_stamp, "kind": string, "text": string}],
}
DOCUMENT = {
    "schema": string,
    "generated": parse_stamp,
    "tick": count,
    "capture": {
        "id": string,
        "path": string,
        "created": parse_stamp,
        "oldest_second": parse_stamp,
        "events_lost": count,
        "notices": [string],
    },
    "server": {
        "host": string,
        "software": string,
        "mpm": string,
        "module_version": string,
        "pid": count,
        "started": parse_stamp,
        "generation": count,
        "config_loaded": parse_stamp,
        "heartbeat": parse_stamp,
        "boot_id": string,
        "orphaned": flag,
        "dependency_missing": count,
        "write_failures": count,
        "state": string,
        "unloaded": parse_stamp,
    },
    "totals": {
        "requests": count,
        "errors": count,
        "bytes": count,
        "status": Counts(),
        "latency": QUANTILES,
    },
    "workers": {"busy": count, "idle": count, "limit": count},
    "in_flight": {"requests": count, "oldest": count},
    "incidents": [INCIDENT],
    "last_change": Maybe(EVENT),
    "last_crash": Maybe(EVENT),
    "events": [EVENT],
}


def shaped(value, shape):
    if isinstance(shape, dict):
        value = value if isinstance(value, dict) else {}
        return {key: shaped(value.get(key), inner) for key, inner in shape.items()}
    if isinstance(shape, list):
        items = value if isinstance(value, list) else []
        if isinstance(shape[0], dict):
            return [shaped(item, shape[0]) for item in items if isinstance(item, dict)]
        return [kept for kept in (shaped(item, shape[0]) for item in items) if kept is not None]
    if isinstance(shape, Maybe):
        return shaped(value, shape.shape) if isinstance(value, dict) else None
    if isinstance(shape, Counts):
        pairs = ((text.clean(key), count(n)) for key, n in raw(value).items())
        return dict(sorted(((k, n) for k, n in pairs if n), key=lambda pair: -pair[1]))
    return shape(value)


def parse(content, origin):
    """Bytes to the document as it came; a sentence when they are none."""
    try:
        found = json.loads(content, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        raise Trouble(f"{origin} is not a capture document, or its JSON is damaged") from None
    if not isinstance(found, dict) or not str(found.get("schema")).startswith("pmcapture."):
        raise Trouble(f"{origin} is JSON, but no capture document")
    if found["schema"] != SCHEMA:
        raise Trouble(
            f"{origin} is not a capture document of schema {SCHEMA}; a newer one needs a newer "
            "pmcapture"
        )
    return found


def hypotheses():
    """The suspects that may be cleared, as the installed schema names them."""
    try:
        schema = json.loads((home() / "pmcapture.v1.schema.json").read_text(encoding="utf-8"))
        return schema["$defs"]["hypothesis"]["enum"]
    except (OSError, ValueError, KeyError):
        return []


class Document:
    """`raw` as it came, the fields of DOCUMENT by name, and the series on demand."""

    def __init__(self, found):
        self.raw = found
        self.fields = shaped(found, DOCUMENT)
        self.incidents = sorted(
            (i for i in self.fields["incidents"] if i["id"] is not None),
            key=lambda incident: incident["id"],
        )
        self.events = [
            e for e in self.fields["events"] if e["seq"] is not None and e["at"] is not None
        ]

    def __getitem__(self, name):
        return self.fields[name]

    @property
    def unread_events(self):
        return len(items(self.raw, "events")) - len(self.events)

    @property
    def notices(self):
        """What was lost or is not recorded, a sentence each."""
        lost = self["capture"]["events_lost"]
        unread = len(items(self.raw, "incidents")) - len(self.incidents)
        extra = (
            [f"{text.plural(lost, 'event')} could not be recorded (capture.events_lost)"]
            if lost
            else []
        )
        if unread:
            extra.append(f"{text.plural(unread, 'incident')} of the document cannot be read")
        if self.unread_events:
            extra.append(f"{text.plural(self.unread_events, 'event')} of the document cannot be read")
        return self["capture"]["notices"] + extra

    def series(self):
        """The rows as dictionaries by column; "time" is a point in time."""
        series = raw(self.raw.get("series"))
        columns = [c if isinstance(c, str) else "" for c in items(series, "columns")]
        for row in items(series, "rows"):
            if isinstance(row, list) and len(row) == len(columns):
                figures = {name: count(cell) for name, cell in zip(columns, row)}
                figures["time"] = (
                    parse_stamp(row[columns.index("time")]) if "time" in columns else None
                )
                if figures["time"] is not None:
                    yield figures


def items(holder, name):
    found = holder.get(name)
    return found if isinstance(found, list) else []


def narrow(found, view=None, since=None, until=None, incident=None):
    """What the server or pmdump would have given for these bounds, from a whole document."""
    kept = dict(found)
    if incident is not None:
        chosen = [
            i for i in items(found, "incidents") if isinstance(i, dict) and i.get("id") == incident
        ]
        kept["incidents"] = chosen
        since, until = _around(chosen[0]) if chosen else (None, None)
    elif since or until:
        kept["incidents"] = [i for i in items(found, "incidents") if _overlaps(i, since, until)]
    if since or until:
        kept["events"] = [
            e
            for e in items(found, "events")
            if not isinstance(e, dict) or _may_be_within(parse_stamp(e.get("at")), since, until)
        ]
        kept["series"] = _narrow_series(raw(found.get("series")), since, until)
    return _only(kept, view)


def _around(incident):
    onset, end = parse_stamp(incident.get("onset")), parse_stamp(incident.get("end"))
    margin = timedelta(seconds=PIN)
    return onset and onset - margin, end and end + margin


def _may_be_within(at, since, until):
    """What has no readable time stays, for its reader to say so."""
    return at is None or _within(at, since, until)


def _within(at, since, until):
    return at is not None and (since is None or at >= since) and (until is None or at < until)


def _overlaps(incident, since, until):
    if not isinstance(incident, dict):
        return False
    onset, end = parse_stamp(incident.get("onset")), parse_stamp(incident.get("end"))
    return onset is None or (
        (until is None or onset < until)
        and (since is None or end is None or end >= since)
    )


def _narrow_series(series, since, until):
    columns = items(series, "columns")
    if "time" not in columns:
        return series
    at = columns.index("time")
    rows = [
        row
        for row in items(series, "rows")
        if isinstance(row, list) and len(row) > at and _within(parse_stamp(row[at]), since, until)
    ]
    return {**series, "rows": rows}


def _only(found, view):
    always = ("schema", "generated", "tick", "capture", "server")
    if view is None:
        return found
    if view == "summary":
        plain = [
            {k: v for k, v in i.items() if k != "samples"}
            for i in items(found, "incidents")
            if isinstance(i, dict)
        ]
        return {
            **{k: v for k, v in found.items() if k not in ("events", "series")},
            "incidents": plain,
        }
    return {k: v for k, v in found.items() if k in always or k == view}
