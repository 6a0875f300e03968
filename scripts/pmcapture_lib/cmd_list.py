# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture list: the incident windows, a row each."""
from . import text
from .figures import unfinished
from .output import note, print_json

HELP = "the incidents, a row each, the newest last"
EXAMPLES = """\
  pmcapture list                                  all that are kept
  pmcapture list --since yesterday                those that lasted into yesterday or later
  pmcapture list --since "2026-11-20 21:00" --until "2026-11-20 23:00" --tz Africa/Lagos
  pmcapture list -f evidence.pmc                  a file copied from another machine
  pmcapture list --json                           for programs: .incidents[].id and so on"""


def add_arguments(parser):
    from .cli import add_bounds

    add_bounds(parser)


def run(session):
    document = session.source.get(view="summary", since=session.since, until=session.until)
    if session.args.json:
        print_json(document.raw)
        return 0 if document.incidents else 1
    if document.incidents:
        print_table(session, document)
    for incident in document.incidents:
        if incident["quiet"]:
            note(f"incident {incident['id']} is open, {incident['quiet']['summary']}")
    for sentence in filter(None, [*document.notices, unfinished(document, session.zone)]):
        note(sentence)
    if not document.incidents:
        note("no incident" + (" in that time" if session.since or session.until else " on record"))
        return 1
    return 0


def print_table(session, document):
    zone = session.zone
    titles = ["ID", "STATE", "ONSET (UTC)"] + ([f"ONSET ({zone.name})"] if zone.shown else [])
    titles += ["DURATION", "FAILED", "OF", "SHARE", "KIND", "WHERE"]
    rows, styles = [], []
    for i in document.incidents:
        onset = i["onset"]
        local = (
            [f"{zone.local(onset):%Y-%m-%d %H:%M:%S}" if onset else text.UNKNOWN]
            if zone.shown
            else []
        )
        state = "closed" if i["state"] == "closed" else "open"
        rows.append(
            [
                i["id"],
                state,
                f"{onset:%Y-%m-%d %H:%M:%S}" if onset else text.UNKNOWN,
                *local,
                i["words"]["duration"] or text.UNKNOWN,
                text.count(i["errors"]),
                i["words"]["requests"] or text.UNKNOWN,
                i["words"]["failed_share"] or "-",
                "+".join(i["kinds"]),
                i["scope"]["vhost"] or "whole server",
            ]
        )
        styles.append("red" if state == "open" else None)
    first = titles.index("DURATION")
    session.out.table(titles, rows, right={0, *range(first, first + 4)}, styles=styles)
