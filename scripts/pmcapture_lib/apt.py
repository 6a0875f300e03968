# Licensed under the Apache License, Version 2.0; see LICENSE.
"""apt's history.log: who ran which command, and the packages it touched; local time."""
import re

from .entry import Entry, names
from .packages import of_httpd
from .text import clean

FIELD = re.compile(r"([A-Z][A-Za-z-]+): ?(.*)")
PACKAGE = re.compile(r"([^\s(),]+) \([^()]*\)")
REMOVING = {"Remove": "removed", "Purge": "purged"}
CHANGING = {
    "Install": "installed",
    "Reinstall": "reinstalled",
    "Upgrade": "upgraded",
    "Downgrade": "downgraded",
}
COMMAND = 100  # letters of it in a sentence
OTHER = {"Start-Date", "End-Date", "Commandline", "Requested-By", "Comment", "Error"}


def parse(lines, clock):
    """The entries, and how many lines are none of apt's."""
    entries, unread, block = [], 0, {}
    for line in [*lines, "Start-Date: "]:
        found = FIELD.fullmatch(line)
        if not found or not (found[1] in OTHER or found[1] in REMOVING or found[1] in CHANGING):
            unread += 1
            continue
        if found[1] == "Start-Date":
            entry = _entry(block, clock)
            entries += [entry] if entry else []
            unread += len(block) if not entry else 0
            block = {}
        block[found[1]] = found[2]
    return entries, unread


def _entry(block, clock):
    readings = clock.read(block.get("Start-Date", ""))
    if not readings:
        return None
    parts, removed, changed = [], [], []
    for verbs, packages in ((REMOVING, removed), (CHANGING, changed)):
        for name, verb in verbs.items():
            touched = PACKAGE.findall(block.get(name, ""))
            packages += touched
            foremost = sorted(touched, key=lambda package: not of_httpd(package))
            parts += [f"{verb} {names(foremost)}"] if touched else []
    command, who = block.get("Commandline"), block.get("Requested-By")
    said = f'apt ran "{clean(command, COMMAND)}"' if command else "apt ran without a command line on record"
    said += f", asked by {who}" if who else ""
    said += ": " + "; ".join(parts) if parts else ""
    if "Error" in block:
        said += f"; it failed: {block['Error']}"
    if "End-Date" not in block:
        said += "; its end is not on record"
    return Entry(readings, "package.command", said, tuple(removed), tuple(changed),
                 command=command, who=who)
