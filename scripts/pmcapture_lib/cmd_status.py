# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture status: one screen: state, open incident, last change."""
from datetime import timedelta

from . import text
from .output import print_json
from .figures import brief, unfinished, without_module

HELP = "one screen: state, open incident, last change"
EXAMPLES = """\
  pmcapture status                                the server with its file in the usual place
  pmcapture status -u http://localhost/pm-status  the same from the running server itself
  pmcapture status --tz Africa/Lagos              local times beside UTC
  pmcapture status --json                         the summary document, for programs"""
STYLES = {"running": "green", "stopped": "yellow", "down": "red", "unknown": "yellow"}
RECENT = 60
NOW = 10  # rows, of a second each
STOPPED = 3  # seconds without a request are worth saying


def add_arguments(parser):
    """Nothing but the common options."""


def run(session):
    document = session.source.get(view="summary")
    if session.args.json:
        print_json(document.raw)
        return 0
    heartbeat = document["server"]["heartbeat"]
    recent = (
        session.source.get(view="series", since=heartbeat - timedelta(seconds=RECENT))
        if heartbeat
        else None
    )
    screen = Screen(session, document)
    screen.head()
    screen.incidents()
    screen.last()
    screen.traffic(list(recent.series()) if recent else [])
    screen.record()
    return 0


class Screen:
    """A label and what it says, a line each."""

    def __init__(self, session, document):
        self.out, self.zone, self.document = session.out, session.zone, document
        self.now = document["generated"] or session.now

    def row(self, label, value, style=None):
        columns = max(self.out.columns - 17, 30) if self.out.columns else None
        for number, line in enumerate(text.wrap(value, columns)):
            self.out.line(f"  {'' if number else label:<15}{self.out.paint(style, line)}")

    def ago(self, at):
        if at is None:
            return "at a time not known"
        return f"{self.zone.show(at)}, {text.duration(abs((self.now - at).total_seconds()))} ago"

    def head(self):
        server = self.document["server"]
        state = server["state"] or "unknown"
        name = self.out.paint("bold", server["host"] or "this server")
        self.out.line(
            f"{self.out.paint(STYLES.get(state), '●')} {name}: "
            f"{self.out.paint(STYLES.get(state), state)}{self._why(state)}"
        )
        about = [
            server["software"],
            server["mpm"] and f"{server['mpm']} MPM",
            server["module_version"] and f"mod_pmcapture {server['module_version']}",
        ]
        self.row("Server", ", ".join(part for part in about if part) or text.UNKNOWN)
        self.row("Started", self.ago(server["started"]))
        self.row(
            "Configuration",
            f"generation {text.count(server['generation'])}, loaded "
            f"{self.ago(server['config_loaded'])}",
        )
        if server["orphaned"]:
            self.row("Orphaned", orphans(state), "red")
        if server["dependency_missing"]:
            named = "pmcapture events --type dependency"
            self.row("Missing", f"{missing(server)} ({named})", "red")
        if server["write_failures"]:
            failures = text.plural(server["write_failures"], "write")
            self.row("Recording", f"{failures} to the capture file failed", "red")

    def _why(self, state):
        server = self.document["server"]
        last = server["heartbeat"]
        if server["unloaded"] and state == "unknown":
            return f": {without_module(server, self.zone)}"
        return {
            "down": f", last alive {self.ago(last)}",
            "stopped": f" in order, last alive {self.ago(last)}",
            "unknown": " (the file is a copy or from another host)",
        }.get(state, "")

    def incidents(self):
        incidents = self.document.incidents
        still = [i for i in incidents if i["state"] != "closed"]
        for incident in still:
            self.row("OPEN", one_line(incident, self.zone), "red")
        outage = unfinished(self.document, self.zone)
        if outage:
            self.row("STOPPED" if self.document["server"]["state"] == "stopped" else "DOWN", outage, "red")
        elif not still:
            self.row("Incident", "none is open", "green")
        done = [i for i in incidents if i["state"] == "closed"]
        if done:
            self.row("Last incident", one_line(done[-1], self.zone))

    def last(self):
        """The last change, by the recorder's own rule, and the last crash, which is none."""
        if "last_change" in self.document.raw:
            self._event("Last change", self.document["last_change"], "none on record")
        self._event("Last crash", self.document["last_crash"])

    def _event(self, label, event, none=None):
        if event is not None:
            none = f"{self.ago(event['at'])}: {event['type']}: {event['text'] or ''} (event {event['seq']})"
        if none:
            self.row(label, none)

    def traffic(self, rows):
        rows = [r for r in rows if r.get("span") and r.get("requests") is not None]
        if rows:
            self.row("Traffic", "; ".join(self.rates(rows)))
        workers, flight = self.document["workers"], self.document["in_flight"]
        self.row(
            "Workers",
            f"{text.count(workers['busy'])} busy, {text.count(workers['idle'])} idle, limit "
            f"{text.count(workers['limit'])}; {text.count(flight['requests'])} requests in flight"
            + (f", the oldest for {text.duration(flight['oldest'])}" if flight["oldest"] else "")
            + ("" if self.document["server"]["state"] == "running" else "; when last alive"),
        )
        totals = self.document["totals"]
        self.row(
            "Counted",
            f"{text.large(totals['requests'])} requests, {text.large(totals['errors'])} failed (5xx), "
            f"{text.size(totals['bytes'])} "
            f"since {self.zone.show(self.document['capture']['created'])}",
        )
        latency = totals["latency"]
        if latency["p50"] is not None:
            self.row(
                "Latency", ", ".join(f"{name} {text.latency(latency[name])}" for name in latency)
            )

    def rates(self, rows):
        """Now and over a minute; a mean of both would hide that traffic stopped, or came back."""
        end = "" if self.document["server"]["state"] == "running" else " on record"
        idle = 0
        for row in reversed(rows):
            if row["requests"]:
                break
            idle += row["span"]
        if idle >= STOPPED:
            yield f"no request for {'at least ' if idle >= span(rows) else ''}{text.duration(idle)}{end}"
        else:
            yield f"{rate(rows[-NOW:])} in the last {text.duration(span(rows[-NOW:]))}{end}"
        if span(rows) > span(rows[-NOW:]):
            yield f"{rate(rows)} in the last {text.duration(span(rows))}{end}"

    def record(self):
        capture = self.document["capture"]
        oldest = capture["oldest_second"]
        reach = f", seconds since {self.zone.show(oldest)}" if oldest else ""
        self.row(
            "Record",
            f"{capture['path'] or 'shared memory'}{reach}, "
            f"{text.plural(len(self.document.incidents), 'incident')}",
        )
        for sentence in self.document.notices:
            self.row("Notice", sentence, "yellow")


def span(rows):
    return sum(row["span"] for row in rows)


def rate(rows):
    """As in 12.5 requests a second, 3 of 125 failed (5xx)."""
    requests = sum(row["requests"] for row in rows)
    errors = sum(row.get("errors") or 0 for row in rows)
    return (
        f"{text.rate(requests / span(rows))} requests a second, {text.count(errors)} of "
        f"{text.count(requests)} failed (5xx)"
    )


def one_line(incident, zone):
    """An incident on the screen: which, since when, how bad."""
    kinds = text.listing(incident["kinds"]) or "incident"
    return (
        f"{incident['id']}, {kinds}, since {zone.show(incident['onset'])}: {brief(incident)} "
        f"(pmcapture show {incident['id']})"
    )


def orphans(state):
    """Workers without a parent: what is seen of them now, or what the last tick saw."""
    if state == "unknown":
        return "when last alive the parent process was gone, its children were not"
    return (
        "the parent process is gone and its children serve on: start the server again "
        "after ending them"
    )


def missing(server):
    """What a running server does not notice, and the next start does."""
    files = text.plural(server["dependency_missing"], "file")
    verb = "is" if server["dependency_missing"] == 1 else "are"
    return f"{files} that the server needs {verb} missing, so the next start may fail"
