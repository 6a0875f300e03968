# Licensed under the Apache License, Version 2.0; see LICENSE.
"""dnf.rpm.log, which names a zone, and the table that `dnf history` prints, which does not."""
import re

from .entry import Entry

LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)) [A-Z]+ (?:---|([A-Z][a-z]+):) (.+)",
                  re.ASCII)
OTHER = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* [A-Z]+ ", re.ASCII)
REMOVING = {"Erase": "removed", "Erased": "removed", "Removed": "removed", "Obsoleted": "replaced"}
CHANGING = {
    "Installed": "installed",
    "Upgrade": "upgraded to",
    "Downgrade": "downgraded to",
    "Reinstall": "reinstalled",
}
HISTORY = re.compile(r"\s*(\d+) \| (.*?) *\| (\d{4}-\d\d-\d\d \d\d:\d\d) \| (.*?) *\|.*", re.ASCII)
HEADING = re.compile(r"ID +\| .*|-+")


def parse(lines, clock):
    """The entries of dnf.rpm.log, and how many lines are none of its."""
    entries, unread = [], 0
    for line in lines:
        found = LINE.fullmatch(line)
        readings = clock.read(found[1]) if found else []
        if not readings:
            unread += not OTHER.match(line)
            continue
        package = found[3].strip()
        name = package.rsplit("-", 2)[0]
        if found[2] in REMOVING:
            said = f"dnf {REMOVING[found[2]]} {package}"
            entries.append(Entry(readings, "package.removed", said, removed=(name,)))
        elif found[2] in CHANGING:
            said = f"dnf {CHANGING[found[2]]} {package}"
            kind = "package.installed" if found[2] == "Installed" else "package.upgraded"
            entries.append(Entry(readings, kind, said, changed=(name,)))
    return entries, unread


def parse_history(lines, clock):
    """The entries of the table, and how many lines are none of its."""
    entries, unread = [], 0
    for line in lines:
        found = HISTORY.fullmatch(line)
        readings = clock.read(found[3]) if found else []
        if not readings:
            unread += not HEADING.fullmatch(line.strip())
            continue
        command = found[2]
        packages = tuple(word for word in command.split()[1:] if not word.startswith("-"))
        removing = re.search(r"Remove|Erase|\bE\b", found[4])
        said = f'dnf ran "{command}" (transaction {found[1]}, to the minute): {found[4]}'
        entries.append(Entry(readings, "package.command", said,
                             packages if removing else (), () if removing else packages,
                             command=command))
    return entries, unread
