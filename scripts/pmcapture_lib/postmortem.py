# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One incident as a story: what `show` and every format of `report` are made from.

Each figure comes from a field of the document. Nothing here judges: candidates and what is ruled
out are the recorder's, the root cause is a person's.
"""
from . import text, where
from .document import hypotheses, identity
from .figures import impact
from .times import format_stamp

STATES = {"down", "stopped", "silence", "unreachable"}
PEOPLE = (
    ("Root cause", "What was it really, and why could it happen? Begin with the candidates."),
    ("What went well", "What found it, limited it, or made the repair quick?"),
    ("What went badly", "What hid it, slowed the repair, or sent people after a wrong suspect?"),
    ("Where we were lucky", "What would have made it worse?"),
)
DIFF_LINES = 20
TOGETHER = 5  # seconds: a reload and what it changed are one story
REPAIRS = ("config.changed", "file.changed", "dependency.changed", "server.start")


class Postmortem:
    """The parts of one incident's report, in the order in which they are read."""

    def __init__(self, document, incident, zone, machine=None):
        self.document, self.incident, self.zone = document, incident, zone
        self.machine = machine
        self.id = incident["id"]
        self.open = incident["state"] != "closed"
        self.state = "still open" if self.open else "closed"
        self.onset, self.end = incident["onset"], incident["end"]
        self.scope = incident["scope"]["vhost"]
        self.counted_until = document["server"]["heartbeat"] or document["generated"]
        self.title = self._title()
        self.before, self.during = self._changes()
        self.causes = self._causes()
        self.where, self.basis = where.tables(self), incident["breakdown"]["basis"]
        self.brief = list(filter(None, self._brief()))
        self.summary = self.brief + list(filter(None, self._rest()))
        self.impact = impact(self)
        self.timeline = self._timeline()
        self.gaps = [moment for moment in self.timeline if moment["kind"] == "gap"]
        self.unchanged = self._unchanged()
        self.ruled_out, self.not_cleared, self.not_watched = self._suspects()
        self.samples = sorted(incident["samples"], key=lambda s: str(s["at"] or "~"))
        self.resolution = self._resolution()

    def when(self, at, millis=False):
        return self.zone.show(at, millis)

    def rows_around(self):
        """The rows of the series before, during and after it."""
        parts = {"before": [], "during": [], "after": []}
        if self.onset is None:
            return {}
        for row in self.document.series():
            if row["time"] < self.onset:
                parts["before"].append(row)
            elif self.open or self.end is None or row["time"] <= self.end:
                parts["during"].append(row)
            else:
                parts["after"].append(row)
        return parts

    def _title(self):
        day = f", {self.onset:%Y-%m-%d %H:%M} UTC" if self.onset else ""
        return (self.incident["words"]["title"] or "Incident") + day

    # ---- summary: plain sentences ----

    def _brief(self):
        """What failed, since when, whom it hit, where, and what changed before it."""
        yield self._span()
        yield self.incident["summary"] and _stop(self.incident["summary"])
        yield self._silence()
        yield where.sentence(self.incident)
        yield self._nearest()
        yield self._machine()

    def _silence(self):
        """What came in a silence, and what a look from outside said."""
        texts = (moment["text"] for moment in self.incident["timeline"] if moment["kind"] == "traffic.silence")
        return next((_stop(text) for text in texts if text), None)

    def _rest(self):
        if self.causes:
            first = self.causes[0]
            near = f", {first['offset']}" if first["offset"] else ""
            yield f"First candidate cause{near}: {_stop(first['summary'])}"

    def _span(self):
        seconds = self.incident["duration"]
        short = seconds is not None and seconds < 60
        since, lasted = self.when(self.onset, short), self.incident["words"]["duration"] or text.UNKNOWN
        if self.open:
            return (
                f"The incident began at {since} and is still open: it has lasted {lasted} so far, "
                f"and every figure here counts until {self.when(self.counted_until)} only.{self._quiet()}"
            )
        return f"The incident lasted {lasted}, from {since} to {self.when(self.end, short)}."

    def _quiet(self):
        """It may be over already, or nobody knows."""
        quiet = self.incident["quiet"]
        if self.document["server"]["state"] == "stopped":
            return " The server was stopped in order then, so nothing more is known of it."
        return f" Since {self.when(quiet['since'])}, {_stop(quiet['summary'])}" if quiet and quiet["summary"] else ""

    def _nearest(self):
        if not self.before:
            return "The record names no change shortly before it."
        first = self.before[0]
        near = [c for c in self.before[:3] if (first["at"] - c["at"]).total_seconds() <= TOGETHER]
        told = "; ".join(f"{c['text'].rstrip('.')} (event {c['seq']})" for c in near)
        return f"The nearest change before it came {first['offset']}: {told}."

    def _machine(self):
        entry = self.machine and self.machine.telling
        if not entry:
            return None
        return f"From the machine's logs, {self._offset(entry.at)}: {entry.sentence}."

    # ---- what changed, and why it may have happened ----

    def _changes(self):
        before, during = [], []
        for event in self.incident["changes"]:
            if event["at"] is None:
                continue
            change = {
                "seq": event["seq"],
                "at": event["at"],
                "type": event["type"] or "event",
                "text": event["text"] or "",
                "offset": self._offset(event["at"]) or "near it",
                "diff": _difference(event["data"]),
                "empty": isinstance(event["data"], dict) and event["data"].get("changes") == 0,
            }
            earlier = self.onset is None or change["at"] < self.onset
            (before if earlier else during).append(change)
        before.sort(key=lambda change: change["at"], reverse=True)
        during.sort(key=lambda change: change["at"])
        return before, during

    def _offset(self, at):
        if at is None or self.onset is None:
            return None
        return _distance((self.onset - at).total_seconds())

    def _unchanged(self):
        """What to say when nothing changed: no more than was watched."""
        if self.before:
            return None
        watched = [
            r["summary"]
            for r in self.incident["ruled_out"]
            if r["hypothesis"] == "configuration" and r["summary"]
        ]
        # never cleared: what is deployed lies where nobody looks
        watched += [
            f"Deployment: {r['summary']}"
            for r in self.incident["not_watched"]
            if r["hypothesis"] == "deployment" and r["summary"]
        ]
        start = "The record names no change shortly before the onset. "
        if watched:
            return start + " ".join(map(_stop, watched))
        return (
            f"{start}It does not say that configuration and deployments are cleared, so both are "
            "still possible."
        )

    def _causes(self):
        known = {e["seq"]: e for e in self.document.events + self.incident["changes"]}
        nothing = {"type": None, "at": None, "text": None}
        made = []
        for cause in self.incident["causes"]:
            seconds = cause["seconds_before_onset"]
            evidence = [
                {"seq": seq, **{name: known.get(seq, nothing)[name] for name in nothing}}
                for seq in cause["evidence"]
            ]
            kind, rank = cause["kind"] or "unknown", cause["rank"]
            made.append(
                {
                    "rank": rank,
                    "kind": kind,
                    "summary": cause["statement"] or cause["summary"] or "",  # its nearness stands beside it
                    "evidence": evidence,
                    "at": cause["at"],
                    "offset": cause["nearness"],
                    "seconds_before_onset": seconds,
                }
            )
        return sorted(made, key=lambda c: float("inf") if c["rank"] is None else c["rank"])

    def _suspects(self):
        """Those that the record clears, those that it does not, and of which of these it knows nothing."""
        cleared, unwatched = (
            [
                {
                    "hypothesis": r["hypothesis"],
                    "name": _name(r["hypothesis"] or "a suspect"),
                    "summary": r["summary"] or "",
                }
                for r in self.incident[name]
            ]
            for name in ("ruled_out", "not_watched")
        )
        known = {r["hypothesis"] for r in cleared + unwatched}
        return cleared, [_name(key) for key in hypotheses() if key not in known], unwatched

    # ---- timeline and end ----

    def _timeline(self):
        events = self.document.events + self.incident["changes"]
        seqs = {(e["at"], e["type"], e["text"]): e["seq"] for e in events}
        moments = [m for m in self.incident["timeline"] if m["at"] is not None]
        moments += [
            {"at": entry.at, "kind": entry.kind, "text": entry.sentence}
            for entry in (self.machine.shown if self.machine else ())
        ]
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
        if abs(seconds) < 0.0005:
            return "0"
        return ("−" if seconds < 0 else "+") + text.duration(abs(seconds))

    def _resolution(self):
        if self.open:
            as_of = self.when(self.counted_until)
            return [f"Not resolved: the incident was still open at {as_of}.{self._quiet()}"]
        what = "The last request that failed in it completed at"
        if {"refused", "redirects"} & set(self.incident["kinds"]) and "errors" not in self.incident["kinds"]:
            what = "Clients were served again after"
        if STATES.issuperset(self.incident["kinds"]):
            what = "The server answered again, or its next run began, at"
        said = [f"{what} {self.when(self.end, True)}."]
        closed = next(filter(self._closes, self.document.events), None)
        if closed:
            at = self.when(closed["at"])
            said.append(f"The recorder closed it at {at}, event {closed['seq']}.")
        last = [c for c in self.during if self.end and c["at"] <= self.end and not c["empty"]]
        if repair := self._repair():
            took = text.duration((repair["at"] - self.end).total_seconds())
            told = f"{repair['text'].rstrip('.')} (event {repair['seq']})."
            said.append(f"A change came {took} after the last failure: {told}")
        elif last:
            took = text.duration((self.end - last[-1]["at"]).total_seconds())
            told = _stop(last[-1]["text"])
            said.append(f"The last change before the end came {took} before it: {told}")
        else:
            said.append("The record names no change while it lasted, so none that ended it.")
        return said

    def _repair(self):
        """What changed just after the last failure: the change that ended it takes a moment to be told."""
        for event in self.document.events:
            late = (event["at"] - self.end).total_seconds() if self.end else -1
            if event["type"] in REPAIRS and 0 <= late <= TOGETHER and event["text"]:
                return event
        return None

    def _closes(self, event):
        return event["type"] == "incident.close" and event["data"].get("incident") == self.id

    def as_json(self):
        """The report for programs; the incident itself is the document's own."""
        incidents = self.document.raw["incidents"]
        found = next(i for i in incidents if isinstance(i, dict) and i.get("id") == self.id)
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
            "not_watched": self.not_watched,
            "where": self.where,
            "resolution": self.resolution,
            "gaps": _plain(self.gaps),
            **(self.machine.as_json() if self.machine else {"machine": [], "machine_notices": []}),
            "for_people": {**{name: None for name, _ in PEOPLE}, "Action items": []},
            "incident": found,
        }


def _distance(seconds):
    if abs(seconds) < 0.0005:
        return "at the onset"
    return f"{text.duration(abs(seconds))} {'before' if seconds > 0 else 'after'} the onset"


def _name(hypothesis):
    return hypothesis.replace("_", " ")


def _stop(sentence):
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def _difference(data):
    """The lines of a configuration change, each with its place: VirtualHost *:80, api.conf:14."""
    lines = []
    for sign, name in (("-", "removed"), ("+", "added")):
        found = data.get(name)
        for entry in found if isinstance(found, list) else []:
            if isinstance(entry, dict):
                lines.append(_directive(sign, entry))
    if len(lines) > DIFF_LINES:
        more = f"and {len(lines) - DIFF_LINES} more"
        lines[DIFF_LINES:] = [{"sign": "", "directive": more, "where": "pmcapture events --json"}]
    return lines


def _directive(sign, entry):
    known = {k: text.clean(v, 400) for k, v in entry.items() if isinstance(v, str)}
    file, line = known.get("file"), identity(entry.get("line"))
    container = known.get("container") or ""
    places = [container.strip("<>"), f"{file}:{line}" if file and line else file]
    return {
        "sign": sign,
        "directive": f"{known.get('directive', '')} {known.get('args', '')}".strip(),
        "where": ", ".join(filter(None, places)),
    }


def _plain(value):
    """Times as the document writes them."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return format_stamp(value) if hasattr(value, "astimezone") else value
