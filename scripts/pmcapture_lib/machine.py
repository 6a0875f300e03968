# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the rest of the machine knows of an incident: package managers, systemd, reboots.

Only what is near the incident, and what touched something that httpd needs: a library that is
purged today hurts at the next restart, maybe weeks later.
"""
import os
from dataclasses import replace
from datetime import timedelta

from . import text
from .entry import names
from .logs import Logs
from .logtime import LogClock
from .packages import of_httpd, tie

BEFORE, AFTER = timedelta(hours=1), timedelta(minutes=15)
A_DAY = timedelta(days=1)       # longer ago it stands in the timeline alone
FAR = timedelta(days=30)
SHOWN = 40  # lines in what people read; JSON has all entries
TOGETHER = timedelta(minutes=2)  # from one package to the next
AT_WORK = timedelta(minutes=30)  # a command may take so long
CHANGES = ("dependency.missing", "dependency.changed")


def add_arguments(parser):
    group = parser.add_argument_group("the rest of the machine")
    group.add_argument(
        "--machine",
        nargs="?",
        const="",
        action="append",
        metavar="PATH",
        help="join the logs of dpkg, apt and dnf, systemd's journal and reboots; done anyway when "
        "the record is of this machine. --machine=PATH takes a copy instead: a folder that is one "
        "of / or of /var/log, or one log; may be repeated",
    )
    group.add_argument("--no-machine", action="store_true", help="do not join them")
    group.add_argument(
        "--log-tz",
        metavar="ZONE",
        help="the zone of times in those logs that name none; the system's is the default",
    )


def join(session, document, incident):
    """What belongs to the incident, or None when nothing is to be joined."""
    args = session.args
    clock = LogClock(args.log_tz)
    here = document["server"]["host"] == os.uname().nodename
    if args.no_machine or not (args.machine or here) or incident["onset"] is None:
        return None
    until = (incident["end"] or document["generated"] or session.now) + AFTER
    logs = Logs(clock, incident["onset"] - FAR, incident["onset"] - BEFORE, until)
    places = [place or "/" for place in args.machine or [""]]
    for place in dict.fromkeys(places):
        logs.add(place)
    events = session.source.get(view="events").events + incident["changes"]
    mapped = _mapped(document["server"]) if here else set()
    if "/" in places and not here:
        logs.notices.append("these logs are of this machine, the record is of another")
    return Joined(logs, _changes(events), mapped)


def _changes(events):
    """Each event about an object or a file that httpd needs, once."""
    made = {}
    for event in events:
        path = event["data"].get("path")
        if event["type"] in CHANGES and event["at"] and isinstance(path, str):
            made[event["seq"]] = {**event, "path": text.clean(path)}
    return list(made.values())


def _mapped(server):
    """The objects that a running server has loaded, for whoever may look."""
    if server["state"] != "running" or not server["pid"]:
        return set()
    try:
        with open(f"/proc/{server['pid']:.0f}/maps", encoding="utf-8", errors="replace") as maps:
            paths = {line.partition("/")[2].rstrip("\n") for line in maps}
            return {"/" + path.removesuffix(" (deleted)") for path in paths if path}
    except OSError:
        return set()


class Joined:
    """The entries, each tied to what it explains; and what was read, and how far."""

    def __init__(self, logs, changes, mapped):
        self.notices = [f"{text.clean(sentence)}." for sentence in logs.notices]
        for entry in logs.entries:
            entry.tie = tie(entry, changes, logs.lists) if entry.packages else None
        self._drop_mere_neighbours(logs.entries)
        needed = {
            package
            for package in {name for entry in logs.entries for name in entry.packages}
            if of_httpd(package) or any(logs.lists.name(package, path) for path in mapped)
        }
        self.entries = sorted(
            (
                entry
                for entry in logs.entries
                if entry.tie
                or needed.intersection(entry.packages)
                or max(entry.readings) >= logs.near
            ),
            key=lambda entry: entry.at,
        )
        self.shown, left = self._shown(needed, logs.near + BEFORE)
        self.telling = self._telling(needed, logs.near + BEFORE)
        more = [f"{left} more {'is' if left == 1 else 'are'} in report --json."] if left else []
        self.sentences = [_about(logs), *more, *self.notices]

    def _shown(self, needed, onset):
        """For people, a line each: what explains a change, what concerns httpd, the rest; the nearest first. Also
        how many entries no line tells of."""
        commands = [entry for entry in self.entries if entry.command]
        lines = folded([entry for entry in self.entries if not _told(entry, commands)], needed)
        ranked = []
        for number, (entry, count) in enumerate(lines):
            plain = entry.packages and not entry.command and needed.isdisjoint(entry.packages)
            rank = 0 if entry.tie else 2 if plain else 1
            ranked.append((rank, abs(entry.at - onset), number, entry, count))
        ranked.sort()
        shown = sorted((line[3] for line in ranked[:SHOWN]), key=lambda entry: entry.at)
        return shown, sum(line[4] for line in ranked[SHOWN:])

    @staticmethod
    def _drop_mere_neighbours(entries):
        """An event that a better tie explains is not tied to all that happened beside it."""
        explained = {e.tie["event"] for e in entries if e.tie and e.tie["confidence"] != "possible"}
        for entry in entries:
            if entry.tie and entry.tie["confidence"] == "possible":
                entry.tie = None if entry.tie["event"] in explained else entry.tie

    def as_json(self):
        return {
            "machine": [entry.as_json() for entry in self.entries],
            "machine_notices": self.sentences,
        }

    def _telling(self, needed, onset):
        """The surest explanation of a change; else the last of httpd's packages to be touched."""
        ties = [e for e in self.entries if e.tie and e.tie["confidence"] != "possible"]
        if ties:
            return min(ties, key=lambda e: (not e.command, e.tie["confidence"]))
        touched = [e for e in self.entries if onset - A_DAY <= e.at < onset and needed.intersection(e.packages)]
        return max(touched, key=lambda e: (e.at, bool(e.command)), default=None)


def _told(entry, commands):
    """Is it one of the packages of a command that ran then? The command is told."""
    if entry.tie or entry.command or not entry.packages:
        return False
    return any(
        -AT_WORK / 60 <= entry.at - command.at <= AT_WORK
        and _bare(command.packages) >= _bare(entry.packages)
        for command in commands
    )


def _bare(packages):
    """apt and dpkg do not name the same architecture."""
    return {name.partition(":")[0] for name in packages}


def folded(entries, needed):
    """Packages that came or went together are one line; with each line how many entries it stands for."""
    lines = []
    for entry in entries:
        last = lines[-1] if lines else []
        if last and _alike(last[-1], entry):
            last.append(entry)
        else:
            lines.append([entry])
    return [(_together(line, needed) if len(line) > 1 else line[0], len(line)) for line in lines]


def _alike(one, other):
    return (
        one.packages
        and other.packages
        and not (one.tie or other.tie or one.command or other.command)
        and (one.kind, one.source, len(one.readings)) == (other.kind, other.source, len(other.readings))
        and other.at - one.at <= TOGETHER
    )


def _together(line, needed):
    first = line[0]
    said = text.clean(first.text).partition(text.clean(first.packages[0]))[0]
    packages = list(dict.fromkeys(name for entry in line for name in entry.packages))
    packages.sort(key=lambda name: name not in needed)
    return replace(
        first,
        text=said + names(packages),
        removed=tuple(packages) if first.removed else (),
        changed=tuple(packages) if first.changed else (),
    )


def _about(logs):
    if not logs.read:
        return "None of the machine's logs could be found."
    return (
        f"Joined from {text.listing(logs.read)}: entries from {text.duration(BEFORE.total_seconds())} "
        f"before the onset to {text.duration(AFTER.total_seconds())} after the end, and for "
        f"{FAR.days} days back those that touched what httpd needs; times without a zone are read "
        f"in {logs.clock.name}."
    )
