# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture events: the journal of the server's life."""
import fnmatch
import sys
import time
from datetime import timedelta

from . import Trouble
from . import text
from .document import items
from .output import dump, note, print_json
from .times import format_stamp

HELP = "the journal: starts, stops, reloads, changes, incidents"
EXAMPLES = """\
  pmcapture events --since -15min                 the last quarter of an hour
  pmcapture events --since yesterday --until today
  pmcapture events --type config.reload --type server.start
  pmcapture events --type config                  every type that begins with config.
  pmcapture events -n 5 --reverse                 the newest five, the newest first
  pmcapture events --json                         for programs: .events[].text and so on
  pmcapture events --follow --tz local            go on printing as they come, until Ctrl-C"""
STYLES = {"critical": "red", "warning": "yellow"}
INTERVAL = 1.0  # seconds between two looks
BEGIN = 10  # events to begin with
LATE = timedelta(minutes=10)  # an event may be written that long after it happened


def number(value):
    import argparse

    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise argparse.ArgumentTypeError(f"{text.clean(value, 40)} is not a number of lines")
    return int(value)


def add_arguments(parser):
    from .cli import add_bounds

    add_bounds(parser)
    parser.add_argument(
        "-t",
        "--type",
        action="append",
        default=[],
        metavar="TYPE",
        help="only this type, or group of types (config, 'server.*'); may be repeated",
    )
    parser.add_argument("-n", "--lines", type=number, metavar="N", help="only the newest N")
    parser.add_argument("-r", "--reverse", action="store_true", help="newest first")
    parser.add_argument(
        "--follow", action="store_true", help="go on printing as they come, until Ctrl-C"
    )


def run(session):
    args = session.args
    if args.follow and (args.reverse or session.until):
        raise Trouble("--follow has no end and goes forward: leave --reverse and --until out", 2)
    if args.follow and args.file == "-":
        raise Trouble("standard input cannot be followed: name the capture file with -f", 2)
    document = session.source.get(view="events", since=session.since, until=session.until)
    events = choose(document.events, args)
    if args.follow:
        try:
            follow(session, document, events)
        except KeyboardInterrupt:
            return 0
    if args.json:
        kept = {e["seq"] for e in events}
        raw = [
            e
            for e in items(document.raw, "events")
            if isinstance(e, dict) and known(e.get("seq"), kept)
        ]
        print_json({**document.raw, "events": raw[::-1] if args.reverse else raw})
    else:
        for event in reversed(events) if args.reverse else events:
            print_event(session, event)
        for sentence in document.notices:
            note(sentence)
    if events:
        return 0
    if document.unread_events:
        raise Trouble("what was asked for may be among the events that cannot be read")
    if not args.json:
        note(nothing(document, args))
    return 1


def known(seq, kept):
    return isinstance(seq, int) and seq in kept


def choose(events, args):
    events = of_type(events, args.type)
    if args.lines is None:
        return events
    return events[-args.lines:] if args.lines else []


def of_type(events, wanted):
    return [e for e in events if not wanted or any(matches(e["type"] or "", w) for w in wanted)]


def matches(name, wanted):
    return name == wanted or name.startswith(wanted + ".") or fnmatch.fnmatchcase(name, wanted)


def nothing(document, args):
    there = sorted({e["type"] for e in document.events if e["type"]})
    if args.type and there:
        return (
            f"no event of type {text.listing(args.type, 'or')}; on record are {text.listing(there)}"
        )
    return "no event on record in that time"


def print_event(session, event):
    out, at = session.out, event["at"]
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}Z"
    if session.zone.shown:
        stamp += f"  {session.zone.beside(at):<12}"
    kind = out.paint(STYLES.get(event["severity"]), f"{event['type'] or 'unknown':<18}")
    out.line(f"{out.paint('dim', stamp)}  {event['seq']:>5}  {kind}  {event['text'] or ''}")


def follow(session, document, events):
    """Sequence numbers grow in the order of writing, so a higher one is new, however late."""
    if session.args.lines is None and not session.since:
        events = events[-BEGIN:]
    capture, newest = document["capture"]["id"], max((e["seq"] for e in document.events), default=0)
    while True:
        for event in events:
            emit(session, event)
        sys.stdout.flush()
        document = look_again(session, document)
        if document["capture"]["id"] != capture:
            note("another capture file is in its place now")
            capture, newest = document["capture"]["id"], 0
        fresh = [e for e in document.events if e["seq"] > newest]
        newest = max([newest] + [e["seq"] for e in fresh])
        events = of_type(fresh, session.args.type)


def look_again(session, document):
    """The journal a second later; a source that fails for a while is waited for."""
    since = document.events[-1]["at"] - LATE if document.events else session.since
    failing = None
    while True:
        time.sleep(INTERVAL)
        try:
            return session.open().get(view="events", since=since)
        except Trouble as problem:
            if failing != str(problem):
                failing = str(problem)
                note(f"{failing}; still trying")


def emit(session, event):
    if session.args.json:
        sys.stdout.write(dump({**event, "at": format_stamp(event["at"])}) + "\n")
    else:
        print_event(session, event)
