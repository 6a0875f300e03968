# Licensed under the Apache License, Version 2.0; see LICENSE.
"""pmcapture note: a person's own line in the timeline."""
from . import Trouble
from . import text
from .cmd_show import find, incident_id
from .output import print_json
from .source import Capture
from .times import format_stamp, parse_when

HELP = "add a person's own line to the timeline"
EXAMPLES = """\
  pmcapture note "rolled the virtual host back"       now
  pmcapture note 7 "their router was it"              belongs to incident 7, whenever written
  pmcapture note -1 "called the provider" --at 21:34  to the newest incident, at that time
  pmcapture note --maintenance "new disk"             a stop in the next half hour is no outage
  sudo pmcapture note "restarted php-fpm"             the capture file is root's"""


def add_arguments(parser):
    parser.add_argument(
        "id",
        nargs="?",
        type=incident_id,
        metavar="ID",
        help="the incident that it belongs to, as the list numbers them; -1 is the newest",
    )
    parser.add_argument("text", metavar="TEXT", help="the note, in quotes")
    parser.add_argument(
        "--maintenance",
        action="store_true",
        help="announce maintenance: a stop in the half hour after it is no incident",
    )
    parser.add_argument("--at", metavar="T", help="when it was, if not now")


def run(session):
    args, source = session.args, session.source
    if not isinstance(source, Capture):
        raise Trouble(
            f"{source.name} is no capture file, and only there a note can be kept; name one with -f"
        )
    options = [("maintenance" if args.maintenance else "note", args.text)]
    if args.id is not None:
        options.append(("incident", str(find(source, args.id)[1]["id"])))
    if args.at:
        options.append(("at", format_stamp(parse_when(args.at, session.now, session.zone))))
    event = source.add(options)
    if args.json:
        print_json(event)
    else:
        print(f"noted at {text.clean(event['at'])}: {text.clean(event['text'])}")
    return 0
