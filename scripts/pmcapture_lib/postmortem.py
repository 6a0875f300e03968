# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One incident as a story: what `show` and every format of `report` are made from.

Each figure comes from a field of the document, and the rows of the impact name it. Nothing here
judges: candidates and what is ruled out are the recorder's, the root cause is a person's.
"""
from . import text
from .document import identity
from .times import format_stamp

HYPOTHESES = {
    "traffic_surge": "traffic surge",
    "single_client": "single client",
    "configuration": "configuration",
    "deployment": "deployment",
    "backend": "backend",
    "workers": "workers",
    "crashes": "crashes",
    "machine": "machine",
}
DIMENSIONS = {
    "vhost": "Virtual host",
    "route": "Route",
    "host": "Requested Host",
    "backend": "Backend",
    "error_log": "Error log",
}
PEOPLE = (
    (
        "Root cause",
        "What was it really, and why could it happen? The candidates above are where to begin.",
    ),
    ("What went well", "What found it, limited it, or made the repair quick?"),
    ("What went badly", "What hid it, slowed the repair, or sent people after a wrong suspect?"),
    ("Where we were lucky", "What would have made it worse?"),
)
DIFF_LINES = 20
TOGETHER = 5  # seconds: a reload and what it changed are one story


class Postmortem:
    """The parts of one incident's report, in the order in which they are read."""

    def __init__(self, document, incident, zone):
        self.document, self.incident, self.zone = document, incident, zone
        self.id = incident["id"]
        self.open = incident["state"] != "closed"
        self.onset, self.end = incident["onset"], incident["end"]
        self.scope = incident["scope"]["vhost"]
        self.title = self._title()
        self.state = "still open" if self.open else "closed"
        self.before, self.during = self._changes()
        self.causes = [self._cause(cause) for cause in _ranked(incident["causes"])]
        self.summary = self._summary()
        self.impact = self._impact()
        self.timeline = self._timeline()
        self.gaps = [moment for moment in self.timeline if moment["kind"] == "gap"]
        self.unchanged = self._unchanged()
        self.ruled_out = [
            {
                "name": HYPOTHESES.get(r["hypothesis"], r["hypothesis"] or "a suspect"),
                "hypothesis": r["hypothesis"],
                "summary": r["summary"] or "",
            }
            for r in incident["ruled_out"]
        ]
        self.not_cleared = self._not_cleared()
        self.where = [part for part in map(self._dimension, DIMENSIONS) if part["rows"]]
        self.samples = incident["samples"]
        self.resolution = self._resolution()

    def when(self, at, millis=False):
        return self.zone.show(at, millis)

    def _title(self):
        names = {
            "down": "server down",
            "errors": self._errors_name(),
            "slow": "slow responses",
            "clients": "clients hit by errors",
        }
        kinds = [
            names[k] for k in ("down", "errors", "slow", "clients") if k in self.incident["kinds"]
        ]
        what = text.listing(kinds or ["incident"])
        day = f", {self.onset:%Y-%m-%d %H:%M} UTC" if self.onset else ""
        where = (
            f" on {self.scope}"
            if self.scope
            else ""
            if "down" in self.incident["kinds"]
            else " on the whole server"
        )
        return f"{what[:1].upper()}{what[1:]}{where}{day}"

    def _errors_name(self):
        statuses = list(self.incident["status"])
        return f"{statuses[0]} errors" if statuses else "errors"

    # ---- summary: plain sentences ----

    def _summary(self):
        said = [
            self._span(),
            *self._failed(),
            *self._unserved(),
            *self._clients(),
            *self._peak(),
            *self._noticed(),
            self._nearest(),
            *self._first_candidate(),
        ]
        return [sentence for sentence in said if sentence]

    def _span(self):
        since = self.when(self.onset)
        lasted = text.duration(self.incident["duration"])
        if self.open:
            as_of = self.when(self.document["generated"])
            return (
                f"The incident began at {since} and is still open: it has lasted {lasted} so far, "
                f"and every figure here counts until {as_of} only."
            )
        return f"The incident lasted {lasted}, from {since} to {self.when(self.end)}."

    def _failed(self):
        i = self.incident
        if i["errors"]:
            of = (
                f" of {text.plural(i['requests'], 'answered request')}"
                if i["requests"] is not None
                else ""
            )
            ratio = f" ({text.share(i['error_ratio'])})" if i["error_ratio"] is not None else ""
            start = "So far" if self.open else "In that time"
            yield (
                f"{start}, {text.count(i['errors'])}{of} to {place(self.incident)} failed "
                f"with a server error"
                f"{ratio}{self._mostly()}."
            )
        if "slow" in i["kinds"] and i["slow"] is not None:
            yield f"{text.plural(i['slow'], 'request')} took longer than the slow threshold."

    def _mostly(self):
        statuses, errors = self.incident["status"], self.incident["errors"]
        if not statuses:
            return ""
        first, times = next(iter(statuses.items()))
        if times >= errors:
            return f", all with status {first}"
        if times >= 0.8 * errors:
            return f", mostly with status {first}"
        parts = [
            f"{code} ({text.share(min(n / errors, 1))})" for code, n in list(statuses.items())[:4]
        ]
        return f", with status {text.listing(parts)}"

    def _unserved(self):
        unserved = self.incident["unserved"]
        if unserved and unserved["seconds"]:
            expected = ""
            if unserved["expected_requests"] is not None:
                expected = (
                    "; by what was usual before, about "
                    f"{_estimate(unserved, 'expected_requests', 'error')} requests found nobody"
                )
            yield f"Nobody was served for {text.duration(unserved['seconds'])}{expected}."

    def _clients(self):
        clients = self.incident["clients"]
        if clients is None:
            yield "Distinct clients were not counted."
        elif clients["affected"] is not None and clients["total"] is not None:
            error = clients["error"]["affected_ratio"]
            margin = f" ± {text.decimal(error * 100)} points" if error is not None else ""
            yield (
                f"About {_whole(clients['affected'])} of {_whole(clients['total'])} clients met an "
                f"error: {text.share(clients['affected_ratio'])}{margin} (an estimate and its "
                "standard error)."
            )

    def _peak(self):
        peak = self.incident["peak"]
        if peak["errors_per_second"]:
            ratio = (
                f", {text.share(peak['error_ratio'])} of its requests"
                if peak["error_ratio"] is not None
                else ""
            )
            yield (
                f"The worst moment was {self.when(peak['at'])}, with "
                f"{text.decimal(peak['errors_per_second'])} errors a second{ratio}."
            )

    def _noticed(self):
        detected = self.incident["detected"]
        if detected and self.onset and detected >= self.onset:
            took = text.duration((detected - self.onset).total_seconds())
            yield f"The recorder noticed it {took} after it began."

    def _nearest(self):
        if not self.before:
            return "The record names no change shortly before it."
        first = self.before[0]
        near = [c for c in self.before[:3] if (first["at"] - c["at"]).total_seconds() <= TOGETHER]
        told = "; ".join(f"{c['text'].rstrip('.')} (event {c['seq']})" for c in near)
        return f"The nearest change before it came {first['offset']}: {told}."

    def _first_candidate(self):
        if self.causes:
            first = self.causes[0]
            yield f"First candidate cause: {_stop(first['summary'])}"

    # ---- impact ----

    def _impact(self):
        i, clients, peak = self.incident, self.incident["clients"], self.incident["peak"]
        rows = [
            (
                "Duration",
                text.duration(i["duration"]) + (" so far" if self.open else ""),
                "duration",
            ),
            ("Began", self.when(self.onset, True), "onset"),
            ("Ended", "still open" if self.open else self.when(self.end, True), "end"),
            ("Noticed", self.when(i["detected"], True), "detected"),
            ("Requests answered", text.count(i["requests"]), "requests"),
            (
                "Failed (5xx)",
                f"{text.count(i['errors'])} ({text.share(i['error_ratio'])})",
                "errors, error_ratio",
            ),
            ("By status", _pairs(i["status"]) or "none", "status"),
            ("Slow", text.count(i["slow"]), "slow"),
        ]
        if i["unserved"]:
            rows += [
                ("Nobody served", text.duration(i["unserved"]["seconds"]), "unserved.seconds"),
                (
                    "Requests not served (estimate)",
                    _estimate(i["unserved"], "expected_requests", "error"),
                    "unserved.expected_requests, unserved.error",
                ),
            ]
        if clients:
            rows += [
                (
                    "Clients (estimate)",
                    _estimate({**clients, "e": clients["error"]["total"]}, "total", "e"),
                    "clients.total",
                ),
                (
                    "Clients that met an error (estimate)",
                    f"{_estimate({**clients, 'e': clients['error']['affected']}, 'affected', 'e')} "
                    f"({_share_estimate(clients)})",
                    "clients.affected, clients.affected_ratio",
                ),
            ]
        else:
            rows.append(("Clients", "not counted", "clients"))
        rows += [
            ("Peak", self._peak_figure(peak), "peak"),
            ("Latency before", _quantiles(i["latency"]["before"]), "latency.before"),
            ("Latency during", _quantiles(i["latency"]["during"]), "latency.during"),
        ]
        return [
            {"what": what, "figure": figure, "field": field}
            for what, figure, field in rows + self._usual() + self._traffic()
        ]

    def _peak_figure(self, peak):
        if peak["errors_per_second"] is None:
            return text.UNKNOWN
        return (
            f"{text.decimal(peak['errors_per_second'])} errors a second "
            f"({text.share(peak['error_ratio'])}) at {self.when(peak['at'])}"
        )

    def _usual(self):
        """What the recorder compares with."""
        before = self.incident["before"]
        if before is None:
            return []
        return [
            (
                "Usual before it",
                f"{text.decimal(before['requests_per_second'])} requests a second, "
                f"{text.share(before['error_ratio'])} failed, over "
                f"{text.duration(before['history'])} of record",
                "before",
            )
        ]

    def _traffic(self):
        """Requests per second around the incident, from the rows that are kept."""
        if not self.onset:
            return []
        parts = (
            ("before", lambda at: at < self.onset),
            (
                "during",
                lambda at: at >= self.onset and (self.open or self.end is None or at <= self.end),
            ),
            ("after", lambda at: not self.open and self.end is not None and at > self.end),
        )
        rows, told = list(self.document.series()), []
        for name, belongs in parts:
            chosen = [
                r
                for r in rows
                if belongs(r["time"]) and r.get("requests") is not None and r.get("span")
            ]
            seconds = sum(r["span"] for r in chosen)
            if seconds > 0:
                rate = sum(r["requests"] for r in chosen) / seconds
                told.append(
                    f"{text.decimal(rate)} {name} ({text.duration(seconds)} of record)"
                )
        return [("Requests a second, whole server", "; ".join(told), "series")] if told else []

    # ---- what changed ----

    def _changes(self):
        before, during = [], []
        for event in self.incident["changes"]:
            at = event["at"]
            if at is None:
                continue
            told = {
                "seq": event["seq"],
                "at": at,
                "type": event["type"] or "event",
                "text": event["text"] or "",
                "offset": self._offset(at),
                "diff": _difference(event["data"]),
            }
            (before if self.onset is None or at < self.onset else during).append(told)
        return sorted(before, key=lambda change: change["at"], reverse=True), sorted(
            during, key=lambda change: change["at"]
        )

    def _offset(self, at, seconds=None):
        if seconds is None and (at is None or self.onset is None):
            return "at a time not known"
        seconds = (self.onset - at).total_seconds() if seconds is None else seconds
        if abs(seconds) < 0.0005:
            return "at the onset"
        return f"{text.duration(abs(seconds))} {'before' if seconds > 0 else 'after'} the onset"

    def _unchanged(self):
        """What to say when nothing changed: no more than was watched (a law of the recorder)."""
        if self.before:
            return None
        watched = [
            r["summary"]
            for r in self.incident["ruled_out"]
            if r["hypothesis"] in ("configuration", "deployment") and r["summary"]
        ]
        if watched:
            return "The record names no change shortly before the onset. " + " ".join(
                map(_stop, watched)
            )
        return (
            "The record names no change shortly before the onset. It does not say that "
            "configuration and deployments are cleared, so both are still possible."
        )

    # ---- why ----

    def _cause(self, cause):
        known = {event["seq"]: event for event in self.document.events + self.incident["changes"]}
        evidence = [
            {
                "seq": seq,
                "type": known[seq]["type"] if seq in known else None,
                "at": known[seq]["at"] if seq in known else None,
                "text": known[seq]["text"] if seq in known else None,
            }
            for seq in cause["evidence"]
        ]
        offset = self._offset(cause["at"], cause["seconds_before_onset"])
        return {
            "kind": cause["kind"] or "unknown",
            "summary": cause["summary"] or "",
            "evidence": evidence,
            "at": cause["at"],
            "offset": offset,
            "seconds_before_onset": cause["seconds_before_onset"],
        }

    def _not_cleared(self):
        cleared = {r["hypothesis"] for r in self.incident["ruled_out"]}
        return [name for key, name in HYPOTHESES.items() if key not in cleared]

    # ---- timeline ----

    def _timeline(self):
        seqs = {
            (e["at"], e["type"], e["text"]): e["seq"]
            for e in self.document.events + self.incident["changes"]
        }
        moments = [m for m in self.incident["timeline"] if m["at"] is not None]
        return [
            {
                "at": m["at"],
                "offset": self._signed(m["at"]),
                "kind": m["kind"] or "",
                "text": m["text"] or "",
                "seq": seqs.get((m["at"], m["kind"], m["text"])),
            }
            for m in sorted(moments, key=lambda m: m["at"])
        ]

    def _signed(self, at):
        if self.onset is None:
            return ""
        seconds = (at - self.onset).total_seconds()
        return (
            "0"
            if abs(seconds) < 0.0005
            else f"{'−' if seconds < 0 else '+'}{text.duration(abs(seconds))}"
        )

    # ---- where ----

    def _dimension(self, name):
        """A table: which columns are foreign names, and which are figures."""
        found, part = self.incident["breakdown"][name], {
            "name": DIMENSIONS[name],
            "dimension": name,
        }
        if name == "error_log":
            return {
                **part,
                "titles": ["Message", "Times", "First seen", "Example"],
                "names": [0, 3],
                "numbers": [1],
                "rows": [
                    [
                        r["key"] or "",
                        text.count(r["count"]),
                        self.when(r["first_seen"]),
                        r["sample"] or "",
                    ]
                    for r in found
                ],
            }
        counted = any(row["requests"] is not None for row in found)
        extra = {"vhost": "Defined in", "backend": "How it failed"}.get(name)
        titles = [DIMENSIONS[name], "Failed", "Of all failures"] + [
            "Requests",
            "Failing share",
        ] * counted
        rows = [self._tally(row, counted) + self._extra(name, row) for row in found]
        return {
            **part,
            "titles": titles + [extra] * bool(extra),
            "rows": rows,
            "names": [0, len(titles)] if name == "vhost" else [0],
            "numbers": list(range(1, len(titles))),
        }

    def _tally(self, row, counted):
        requests, errors = row["requests"], row["errors"]
        cells = [
            row["key"] or "",
            text.count(errors),
            text.share(_ratio(errors, self.incident["errors"])),
        ]
        if counted:
            cells += [
                "not counted" if requests is None else text.count(requests),
                "–" if requests is None else text.share(_ratio(errors, requests)),
            ]
        return cells

    @staticmethod
    def _extra(name, row):
        if name == "vhost":
            return [row["defined"] or ""]
        if name == "backend":
            return [_pairs({k: v for k, v in row["failure"].items() if v}) or "unknown"]
        return []

    # ---- how it ended ----

    def _resolution(self):
        if self.open:
            return [
                "Not resolved: the incident was still open at "
                f"{self.when(self.document['generated'])}."
            ]
        what = (
            "The server answered again, or its next run began, at"
            if self.incident["kinds"] == ["down"]
            else "The last request that failed in it completed at"
        )
        said = [f"{what} {self.when(self.end, True)}."]
        closed = [
            e
            for e in self.document.events
            if e["type"] == "incident.close"
            and e["data"].get("incident", self.id) == self.id
            and self.end
            and e["at"] >= self.end
        ]
        if closed:
            said.append(
                f"The recorder closed it at {self.when(closed[0]['at'])}, event {closed[0]['seq']}."
            )
        last = [c for c in self.during if self.end and c["at"] <= self.end]
        if last:
            took = text.duration((self.end - last[-1]["at"]).total_seconds())
            said.append(
                f"The last change before the end came {took} before it: {_stop(last[-1]['text'])}"
            )
        else:
            said.append(
                "The record names no change while it lasted: it ended without one that was seen."
            )
        return said

    def as_json(self):
        """The report for programs; the incident itself is the document's own."""
        found = next(
            i
            for i in self.document.raw["incidents"]
            if isinstance(i, dict) and i.get("id") == self.id
        )
        return {
            "id": self.id,
            "title": self.title,
            "state": "open" if self.open else "closed",
            "summary": self.summary,
            "impact": self.impact,
            "timeline": _plain(self.timeline),
            "changes": {
                "before": _plain(self.before),
                "during": _plain(self.during),
                "nothing_changed": self.unchanged,
            },
            "causes": _plain(self.causes),
            "ruled_out": self.ruled_out,
            "not_cleared": self.not_cleared,
            "where": self.where,
            "resolution": self.resolution,
            "gaps": _plain(self.gaps),
            "for_people": {**{name: None for name, _ in PEOPLE}, "Action items": []},
            "incident": found,
        }


def place(incident):
    vhost = incident["scope"]["vhost"]
    return f"virtual host {vhost}" if vhost else "the whole server"


def brief(incident):
    """How bad in a few words: so many of so many failed, or nobody was served."""
    unserved = incident["unserved"]
    said = [f"nobody was served for {text.duration(unserved['seconds'])}"] if unserved else []
    if incident["requests"] or not unserved:
        said.append(
            f"{text.count(incident['errors'])} of {text.count(incident['requests'])} requests "
            f"failed ({text.share(incident['error_ratio'])})"
        )
    if "slow" in incident["kinds"]:
        said.append(f"{text.count(incident['slow'])} were slow")
    return ", ".join(said)


def _ranked(causes):
    return sorted(causes, key=lambda c: c["rank"] if c["rank"] is not None else float("inf"))


def _stop(sentence):
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _whole(value):
    return text.UNKNOWN if value is None else f"{value:,.0f}"


def _estimate(holder, name, error):
    margin = f" ± {text.decimal(holder[error])}" if holder[error] else ""
    return f"{_whole(holder[name])}{margin}"


def _share_estimate(clients):
    error = clients["error"]["affected_ratio"]
    margin = f" ± {text.decimal(error * 100)} points" if error is not None else ""
    return text.share(clients["affected_ratio"]) + margin


def _pairs(counts):
    return ", ".join(f"{key}: {text.count(n)}" for key, n in counts.items())


def _quantiles(quantiles):
    if quantiles["p50"] is None and quantiles["p99"] is None:
        return text.UNKNOWN
    return ", ".join(f"{name} {text.latency(quantiles[name])}" for name in ("p50", "p90", "p99"))


def _ratio(part, whole):
    return min(part / whole, 1) if part is not None and whole else None


def _difference(data):
    """The lines of a configuration change, each with its place: VirtualHost *:80, api.conf:14."""
    lines = []
    for sign, name in (("-", "removed"), ("+", "added")):
        found = data.get(name)
        for entry in found if isinstance(found, list) else []:
            if isinstance(entry, dict):
                lines.append(_directive(sign, entry))
    if len(lines) > DIFF_LINES:
        more = {
            "sign": "",
            "directive": f"and {len(lines) - DIFF_LINES} more",
            "where": "pmcapture events --json",
        }
        lines[DIFF_LINES:] = [more]
    return lines


def _directive(sign, entry):
    known = {k: text.clean(v, 400) for k, v in entry.items() if isinstance(v, str)}
    file, line = known.get("file"), identity(entry.get("line"))
    container = known.get("container") or ""
    place = [container.strip("<>"), f"{file}:{line}" if file and line else file]
    return {
        "sign": sign,
        "directive": f"{known.get('directive', '')} {known.get('args', '')}".strip(),
        "where": ", ".join(filter(None, place)),
    }


def _plain(value):
    """Times as the document writes them."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return format_stamp(value) if hasattr(value, "astimezone") else value
