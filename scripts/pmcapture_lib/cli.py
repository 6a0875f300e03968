# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The command line: options, help, exit codes; every failure is one sentence."""
import argparse
import os
import sys
from datetime import datetime

from . import Trouble, cmd_check, cmd_events, cmd_export, cmd_list, cmd_note, cmd_report, cmd_schema
from . import cmd_show, cmd_status
from . import text
from .output import Output, note
from .source import choose
from .times import UTC, Zone, parse_when

COMMANDS = {
    "status": cmd_status,
    "check": cmd_check,
    "list": cmd_list,
    "show": cmd_show,
    "events": cmd_events,
    "report": cmd_report,
    "export": cmd_export,
    "note": cmd_note,
    "schema": cmd_schema,
}
TIMES = ("--since", "--until", "-S", "-U", "--at")
DESCRIPTION = """\
Read what mod_pmcapture, the flight recorder of Apache httpd, has on record: from its capture
file, live, dead or copied from another machine, or from a running server."""
EPILOG = """\
Woken at night?
  pmcapture status                     is it up, is an incident open, what changed last
  pmcapture show                       the newest incident: when, where, what changed before it
  pmcapture report -o postmortem.md    the page for the meeting

With neither -f nor -u: $PMCAPTURE_FILE, then /var/log/apache2/pmcapture.pmc, then
/var/log/httpd/pmcapture.pmc.
Exit codes: 0 done, 1 nothing matched, 2 usage, 3 the source cannot be read (check has its own).
pmcapture COMMAND --help shows examples of each command; pmcapture(1) has the rest."""
BOUNDS = """
Times are what journalctl takes: "2026-11-20 21:30", "21:30", yesterday, today, now, -15min,
"1 hour ago", @1795210205, 2026-11-20T21:30:05Z. Without a zone of their own they are in --tz,
else in the system's zone."""


class Parser(argparse.ArgumentParser):
    """argparse, with one sentence for an error."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {text.clean(message)}; see {self.prog} --help\n")


def add_bounds(parser):
    parser.epilog += "\n" + BOUNDS
    parser.add_argument("-S", "--since", metavar="T", help="not before T")
    parser.add_argument("-U", "--until", metavar="T", help="before T")


def add_common(parser):
    """Before or after the command; SUPPRESS keeps the later parser from undoing the earlier."""
    group = parser.add_argument_group("source and output")
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "-f",
        "--file",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="a capture file, or a document that export saved (- for standard input)",
    )
    source.add_argument(
        "-u",
        "--url",
        metavar="URL",
        default=argparse.SUPPRESS,
        help="the status page of a running server, or unix:PATH: PMCaptureListen's socket",
    )
    group.add_argument(
        "--tz",
        metavar="ZONE",
        default=argparse.SUPPRESS,
        help="show local times beside UTC (Africa/Lagos; local is the system's)",
    )
    group.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="for programs"
    )


def make_parser():
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="pmcapture",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=raw,
        allow_abbrev=False,
    )
    add_common(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog="examples:\n" + module.EXAMPLES,
            formatter_class=raw,
            allow_abbrev=False,
        )
        module.add_arguments(sub)
        add_common(sub)
    return parser


def join_times(words):
    """--since -15min: argparse would take the value for an option of its own."""
    joined, words = [], list(words)
    while words:
        word = words.pop(0)
        if word == "--machine":  # and here the incident's number for its value
            word += "="
        if word == "--":
            return joined + [word] + words
        if word in TIMES and words:
            word = (word + "=" if word.startswith("--") else word) + words.pop(0)
        joined.append(word)
    return joined


class Session:
    """What a command works with."""

    def __init__(self, args):
        self.args = args
        self.now = datetime.now(UTC)
        self.zone = Zone(args.tz)
        self.since, self.until = (
            self._when(getattr(args, name, None)) for name in ("since", "until")
        )
        if self.since and self.until and self.since >= self.until:
            raise Trouble(f"--since {args.since} is not before --until {args.until}", 2)
        self.out = Output()
        self._source = None

    def _when(self, value):
        return None if value is None else parse_when(value, self.now, self.zone)

    @property
    def source(self):
        if self._source is None:
            self._source = self.open()
        return self._source

    def open(self):
        """The source afresh."""
        return choose(self.args.file, self.args.url)


def main(words):
    try:
        return _guarded(words)
    except BrokenPipeError:
        code = 0  # the reader has seen enough
    except KeyboardInterrupt:
        code = 130
    except OSError as problem:
        note(f"the output cannot be written: {problem.strerror}")
        code = 3
    # What is still buffered can't be written either, and must not be tried again at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _guarded(words):
    sys.stdout.reconfigure(errors="replace")
    sys.stderr.reconfigure(errors="replace")
    try:
        code = _run(words)
    except Trouble as problem:
        note(str(problem))
        code = problem.code
    except (RecursionError, MemoryError):
        note("the document is too large or too deep; narrow it with --since and --until")
        code = 3
    sys.stdout.flush()
    return code


def _run(words):
    parser = make_parser()
    parser.set_defaults(file=None, url=None, tz=None, json=False)
    try:
        args = parser.parse_args(join_times(words))
        if args.command is None:
            args = parser.parse_args(join_times(words) + ["status"])
    except SystemExit as end:
        return end.code
    if args.file and args.url:
        raise Trouble("-f and -u name two sources; give one", 2)
    return COMMANDS[args.command].run(Session(args))
