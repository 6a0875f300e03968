# Licensed under the Apache License, Version 2.0; see LICENSE.
"""When the machine was booted and shut down: `last -x --time-format iso` over wtmp."""
import re

from .entry import Entry

LINE = re.compile(r"(reboot|shutdown) +system (?:boot|down) +(\S+) +(\d{4}-\d\d-\d\dT\S+)(.*)",
                  re.ASCII)
OTHER = re.compile(r"\S+ begins .*|runlevel .*")


def arguments(wtmp):
    return ["-x", "-w", "-n", "1000", "--time-format", "iso", "-f", wtmp, "reboot", "shutdown"]


def parse(lines, clock):
    """The entries, and how many lines are none of last's."""
    entries, unread = [], 0
    for line in lines:
        found = LINE.match(line)
        readings = clock.read(found[3]) if found else []
        if not readings:
            unread += not OTHER.fullmatch(line)
        elif found[1] == "reboot":
            crashed = "; the boot ended in a crash" if "crash" in found[4] else ""
            said = f"The machine was booted (kernel {found[2]}){crashed}"
            entries.append(Entry(readings, "host.boot", said))
        else:
            entries.append(Entry(readings, "host.shutdown", "The machine was shut down"))
    return entries, unread
