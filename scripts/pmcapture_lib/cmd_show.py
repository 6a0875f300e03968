# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture show: one incident on the terminal."""
from . import Trouble
from . import text
from .machine import add_arguments as add_machine_arguments
from .machine import join
from .figures import unfinished
from .output import note, print_json
from .postmortem import Postmortem

HELP = "one incident: summary, candidates, breakdown, timeline"
EXAMPLES = """\
  pmcapture show                                  the newest incident
  pmcapture show 7                                incident 7 of the list
  pmcapture show -2 --tz Europe/Berlin            the last but one, with local times
  pmcapture show -1 --json                        the document of that incident alone
  pmcapture show --machine                        with dpkg's, apt's and systemd's logs
  pmcapture show -f evidence.pmc --machine=evidence/var/log --log-tz Africa/Lagos"""


def incident_id(value):
    """7, or -1 for the newest, -2 for the one before it."""
    import argparse

    try:
        number = int(value)
    except ValueError:
        number = 0
    if not 0 < abs(number) < 2**64:
        raise argparse.ArgumentTypeError(
            f"{text.clean(value, 40)} is no incident; give an ID of the list, or -1 "
            "for the newest"
        )
    return number


def add_arguments(parser):
    parser.add_argument(
        "id",
        nargs="?",
        type=incident_id,
        default=-1,
        metavar="ID",
        help="of the list; -1, the default, is the newest, -2 the one before it",
    )
    add_machine_arguments(parser)


def run(session):
    document, incident = find(session.source, session.args.id)
    if session.args.json and not session.args.machine:
        print_json(document.raw)  # as it came
        return 0
    machine = join(session, document, incident)
    if session.args.json:
        print_json({**document.raw, **(machine.as_json() if machine else {})})
        return 0
    page = Page(session.out, Postmortem(document, incident, session.zone, machine))
    page.print()
    for sentence in filter(None, [*document.notices, unfinished(document, session.zone)]):
        note(sentence)
    return 0


def find(source, wanted):
    """The incident's own document, and the incident."""
    if wanted < 0:
        ids = [i["id"] for i in source.get(view="summary").incidents]
        if len(ids) < -wanted:
            kept = (
                f"only {text.plural(len(ids), 'incident')} are"
                if len(ids) > 1
                else "one incident alone is"
                if ids
                else "no incident is"
            )
            raise Trouble(f"there is no incident {wanted}: {kept} on record", 1)
        wanted = ids[wanted]
    document = source.get(incident=wanted)
    found = [i for i in document.incidents if i["id"] == wanted]
    if not found:
        raise Trouble(
            f"there is no incident {wanted} on record; pmcapture list names those that are", 1
        )
    return document, found[0]


class Page:
    """The incident for a terminal, most urgent first."""

    def __init__(self, out, case):
        self.out, self.case = out, case

    def print(self):
        case = self.case
        state = self.out.paint("red" if case.open else "green", case.state)
        self.out.line(f"Incident {case.id}, {state}: {self.out.paint('bold', case.title)}")
        for sentence in case.brief:
            self.out.paragraph(sentence)
        self.causes()
        self.changes()
        self.where()
        self.timeline()
        self.machine()
        self.samples()
        self.out.heading("How it ended")
        for sentence in case.resolution:
            self.out.paragraph(sentence)
        self.out.line()
        self.out.line(
            self.out.paint("dim", f"pmcapture report {case.id} makes the postmortem of it.")
        )

    def timeline(self):
        zone = self.case.zone
        days = {f"{m['at']:%Y-%m-%d}" for m in self.case.timeline}
        form = "%H:%M:%S" if len(days) == 1 else "%Y-%m-%d %H:%M:%S"
        self.out.heading("Timeline" + (f", {days.pop()}" if len(days) == 1 else ""))
        titles = ["UTC"] + ([zone.name] if zone.shown else []) + ["ONSET", "", ""]
        rows = [
            [f"{m['at']:{form}}.{m['at'].microsecond // 1000:03d}"]
            + ([zone.beside(m["at"])] if zone.shown else [])
            + [m["offset"], m["kind"], m["text"] + (f" (event {m['seq']})" if m["seq"] else "")]
            for m in self.case.timeline
        ]
        if rows:
            self.out.table(titles, rows, right={len(titles) - 3})
        else:
            self.out.paragraph("The record holds none.")

    def changes(self):
        self.out.heading("What changed before it")
        if self.case.unchanged:
            self.out.paragraph(self.case.unchanged)
        for change in self.case.before:
            self.out.paragraph(
                f"{change['offset']}: {change['type']}: {change['text']} (event {change['seq']})"
            )
            for line in change["diff"]:
                where = f" ({line['where']})" if line["where"] else ""
                self.out.paragraph(
                    f"{line['sign']} {line['directive']}{where}",
                    "      ",
                    {"-": "red", "+": "green"}.get(line["sign"]),
                )

    def machine(self):
        if self.case.machine:
            self.out.heading("What the rest of the machine knows")
            for sentence in self.case.machine.sentences:
                self.out.paragraph(sentence)

    def causes(self):
        self.out.heading("Candidate causes (a person judges them)")
        for rank, cause in enumerate(self.case.causes, 1):
            seqs = text.listing(str(e["seq"]) for e in cause["evidence"])
            facts = [cause["offset"], seqs and f"evidence: event {seqs}"]
            about = "; ".join(filter(None, facts))
            about = f" ({about})" if about else ""
            self.out.paragraph(f"{rank}. {cause['kind']}: {cause['summary']}{about}")
        if not self.case.causes:
            self.out.paragraph("The record names none.")
        self.out.heading("Ruled out")
        for ruled in self.case.ruled_out:
            self.out.paragraph(f"{ruled['name']}: {ruled['summary']}")
        if not self.case.ruled_out:
            self.out.paragraph("The record clears nothing.")
        if self.case.not_cleared:
            self.out.paragraph(f"Not cleared: {text.listing(self.case.not_cleared)}.")
        for one in self.case.not_watched:
            self.out.paragraph(f"Not watched: {one['name']}: {one['summary']}.")

    def where(self):
        if self.case.where and self.case.basis:
            self.out.heading("Where")
            self.out.paragraph(self.case.basis, style="dim")
        for part in self.case.where:
            self.out.heading(part["name"])
            self.out.table(
                ["", *part["titles"][1:]],
                [["  " + row[0], *row[1:]] for row in part["rows"]],
                right=part["numbers"],
            )

    def samples(self):
        if not self.case.samples:
            return
        self.out.heading("Failing requests")
        rows = [
            [
                f"{s['at']:%H:%M:%S}" if s["at"] else "",
                status_of(s),
                text.latency(s["latency"]),
                s["client"] or "",
                s["backend"] or "",
                f"{s['method'] or ''} {s['host'] or ''}{s['uri'] or ''}",
            ]
            for s in self.case.samples[:10]
        ]
        self.out.table(
            ["UTC", "STATUS", "TOOK", "CLIENT", "BACKEND", "REQUEST"], rows, right={1, 2}
        )
        if len(self.case.samples) > 10:
            self.out.paragraph(
                f"and {len(self.case.samples) - 10} more (pmcapture report, or --json)"
            )


def status_of(sample):
    """A request that hangs has no status yet; a client may have gone before it came."""
    status = "none" if sample["status"] is None else text.count(sample["status"])
    return f"{status}, client gone" if sample["aborted"] else status
