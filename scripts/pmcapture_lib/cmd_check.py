# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture check: one line with perfdata for Nagios-style monitors."""
from . import Trouble
from . import text
from .output import print_json
from .cmd_status import missing
from .figures import brief, without_module

HELP = "one line with perfdata, for Nagios-style monitors"
EXAMPLES = """\
  pmcapture check                                 0 fine, 1 incident open, 2 down, 3 cannot tell
  pmcapture check -u http://localhost/pm-status   ask the running server
  pmcapture check --json                          the same as an object"""
STALE = 60  # seconds without a tick after which nothing can be told
NAMES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def add_arguments(parser):
    """Nothing but the common options."""


def run(session):
    try:
        document = session.open().get(view="summary")
        code, sentence = judge(document, session.zone)
        figures = perfdata(document)
    except Trouble as problem:
        if problem.code != 3:
            raise
        code, sentence, figures = 3, text.clean(str(problem)), []
    if session.args.json:
        print_json(
            {
                "status": NAMES[code],
                "exit": code,
                "text": sentence,
                "perfdata": {name: value for name, value, _ in figures},
            }
        )
        return code
    tail = " ".join(f"{name}={value}{unit}" for name, value, unit in figures)
    session.out.line(
        f"PMCAPTURE {NAMES[code]}: {sentence.replace('|', '/')}" + (f" | {tail}" if tail else "")
    )
    return code


def judge(document, zone):
    server = document["server"]
    state, last = server["state"], zone.show(server["heartbeat"])
    still = [i for i in document.incidents if i["state"] != "closed"]
    if server["orphaned"] and state != "unknown":
        return (2, "the parent process is gone; its children serve on, but nobody replaces them")
    if state == "down":
        return 2, f"the server is down, last alive {last}"
    if state == "stopped":
        return 2, f"the server was stopped in order, last alive {last}"
    if server["unloaded"]:
        return 3, f"{without_module(server, zone)}: nothing is recorded until its LoadModule line is back"
    if state != "running":
        return 3, "the file is a copy or from another host, so it cannot tell how the server is"
    if still:
        worst = max(still, key=lambda i: i["errors"] or 0)
        others = f" and {text.plural(len(still) - 1, 'other')}" if len(still) > 1 else ""
        kinds = text.listing(worst["kinds"]) or "incident"
        return 1, (
            f"incident {worst['id']} ({kinds}) open since {zone.show(worst['onset'])}: {brief(worst)}{others}"
        )
    if age(document) > STALE:
        return 3, f"the recorder has written nothing since {last}"
    also = f"; {missing(server)}" if server["dependency_missing"] else ""
    return 0, f"running, no incident open, generation {text.count(server['generation'])}{also}"


def age(document):
    """Seconds since the last tick."""
    generated, heartbeat = document["generated"], document["server"]["heartbeat"]
    if generated is None or heartbeat is None:
        return 0.0
    return max(0.0, (generated - heartbeat).total_seconds())


def perfdata(document):
    """(label, value, unit); c marks a counter that only goes up."""
    totals, workers, flight = document["totals"], document["workers"], document["in_flight"]
    still = sum(1 for i in document.incidents if i["state"] != "closed")
    figures = (
        ("requests", totals["requests"], "c"),
        ("errors", totals["errors"], "c"),
        ("bytes", totals["bytes"], "c"),
        ("incidents_open", still, ""),
        ("busy", workers["busy"], ""),
        ("idle", workers["idle"], ""),
        ("in_flight", flight["requests"], ""),
        ("oldest", flight["oldest"], "s"),
        ("p99", totals["latency"]["p99"], "s"),
        ("heartbeat_age", age(document), "s"),
    )
    return [(name, round(value, 6), unit) for name, value, unit in figures if value is not None]
