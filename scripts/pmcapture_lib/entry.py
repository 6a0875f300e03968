# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One line of another program's log, as the timeline takes it."""
from dataclasses import dataclass, field

from . import text
from .times import format_stamp

LISTED = 8  # names in a sentence


@dataclass(eq=False)
class Entry:
    readings: list  # when: two points in time where a local clock showed the hour twice
    kind: str
    text: str
    removed: tuple = ()  # names of packages
    changed: tuple = ()
    source: str = ""
    file: str = ""
    command: str = None
    who: str = None
    tie: dict = field(default=None)

    @property
    def at(self):
        return self.readings[0]

    @property
    def packages(self):
        return self.removed + self.changed

    @property
    def sentence(self):
        """With what it is tied to, what is not known of its time, and where it was read."""
        said = text.clean(self.text)
        if self.tie:
            said += f"; {self.tie['how']}"
        if len(self.readings) > 1:
            said += (
                f"; its clock showed this hour twice: it may have been {self.readings[1]:%H:%M:%S} "
                "UTC instead, so its order is unknown"
            )
        return f"{said} [{self.source}]"

    def as_json(self):
        return {
            "at": format_stamp(self.at),
            "or_at": format_stamp(self.readings[1]) if len(self.readings) > 1 else None,
            "source": self.source,
            "file": text.clean(self.file),
            "kind": self.kind,
            "text": text.clean(self.text),
            "packages": [text.clean(name) for name in self.packages],
            "command": self.command and text.clean(self.command),
            "who": self.who and text.clean(self.who),
            "tie": self.tie,
        }


def names(found):
    """As in a, b and 12 more."""
    found = list(found)
    if len(found) > LISTED:
        found[LISTED:] = [f"{len(found) - LISTED} more"]
    return text.listing(found)
