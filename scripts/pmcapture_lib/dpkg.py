# Licensed under the Apache License, Version 2.0; see LICENSE.
"""dpkg.log: which package came or went, to the second, in local time."""
import re

from .entry import Entry

LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) ([a-z-]+) (.+)", re.ASCII)
DONE = {
    "install": ("package.installed", "installed"),
    "upgrade": ("package.upgraded", "upgraded"),
    "remove": ("package.removed", "removed"),
    "purge": ("package.removed", "purged"),
}
OTHER = {"status", "configure", "trigproc", "triggers", "startup", "disappear"}


def parse(lines, clock):
    """The entries, and how many lines are none of dpkg's."""
    entries, unread = [], 0
    for line in lines:
        found = LINE.fullmatch(line)
        if found and found[2] in OTHER:
            continue  # most lines are
        readings = clock.read(found[1]) if found else []
        entry = _entry(readings, found[2], found[3].split()) if readings else None
        entries += [entry] if entry else []
        unread += entry is None
    return entries, unread


def _entry(readings, action, words):
    if action == "conffile":
        return (
            Entry(readings, "package.conffile", f"dpkg: configuration file {words[0]}: {words[1]}")
            if len(words) == 2
            else None
        )
    if action not in DONE or len(words) != 3:
        return None
    name, old, new = words
    kind, verb = DONE[action]
    version = new if action == "install" else old
    version = f"from {old} to {new}" if action == "upgrade" else version
    said = f"dpkg {verb} {name} {version}".removesuffix(" <none>")
    if kind == "package.removed":
        return Entry(readings, kind, said, removed=(name,))
    return Entry(readings, kind, said, changed=(name,))
