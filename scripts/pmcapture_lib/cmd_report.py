# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture report: the postmortem."""

from . import text
from .cmd_show import find, incident_id, status_of
from .figures import unfinished
from .machine import add_arguments as add_machine_arguments
from .machine import join
from .output import dump, home, note, write
from .postmortem import PEOPLE, Postmortem
from .times import format_stamp

HELP = "the postmortem: Markdown, HTML or JSON"
EXAMPLES = """\
  pmcapture report                                the newest incident, as Markdown
  pmcapture report 7 --tz Africa/Lagos -o 7.md    local times beside UTC, written as a whole
  pmcapture report 6 7                            two incidents in one report
  pmcapture report -1 --format html -o report.html
  pmcapture report -1 --json                      for programs: .reports[].impact and so on
  pmcapture report -f evidence.pmc -1             from a file copied from another machine
  pmcapture report -f evidence.pmc --machine=evidence/var/log   and with the logs copied from it"""
SCHEMA = "pmcapture.report.v1"


def add_arguments(parser):
    parser.add_argument(
        "ids",
        nargs="*",
        type=incident_id,
        default=[-1],
        metavar="ID",
        help="of the list; -1, the default, is the newest",
    )
    parser.add_argument(
        "--format", choices=("md", "html", "json"), default="md", help="md is the default"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write FILE as a whole, instead of standard output"
    )
    add_machine_arguments(parser)


def run(session):
    args = session.args
    found = [find(session.source, wanted) for wanted in args.ids]
    cases = {i["id"]: Postmortem(d, i, session.zone, join(session, d, i)) for d, i in found}
    document = found[0][0]
    made = {"json": as_json, "md": as_markdown, "html": as_html}[
        "json" if args.json else args.format
    ]
    write(made(session, document, list(cases.values())), args.output)
    outage = unfinished(document, session.zone)
    if outage:
        note(outage)
    return 0


def as_json(session, document, cases):
    return (
        dump(
            {
                "schema": SCHEMA,
                "generated": format_stamp(session.now),
                "source": session.source.name,
                "tz": session.zone.name if session.zone.shown else "UTC",
                "capture": document.raw.get("capture"),
                "server": document.raw.get("server"),
                "reports": [case.as_json() for case in cases],
            },
            pretty=True,
        )
        + "\n"
    )


def as_markdown(session, document, cases):
    from . import markdown

    environment = _environment(autoescape=False, finalize=markdown.prose)
    environment.filters.update(code=markdown.code, safe_md=markdown.Safe)
    return _render(environment, "report.md.j2", session, document, cases)


def as_html(session, document, cases):
    return _render(_environment(autoescape=True), "report.html.j2", session, document, cases)


def _environment(**options):
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(home() / "templates"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        **options,
    )
    environment.filters.update(
        clock=_clock, figure=text.count, latency=text.latency, status=status_of
    )
    return environment


def _clock(at):
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"


def _render(environment, name, session, document, cases):
    return environment.get_template(name).render(
        cases=cases,
        document=document,
        zone=session.zone,
        now=session.now,
        people=PEOPLE,
        source=text.clean(session.source.name),
        listing=text.listing,
    )
