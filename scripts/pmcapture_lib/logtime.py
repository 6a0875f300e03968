# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Times in logs: most name no zone, and once a year an hour happens twice."""
import os
from datetime import datetime

from . import Trouble
from .times import UTC, Zone, read_iso


class LogClock:
    """Reads local times in the zone of the machine that wrote them."""

    def __init__(self, name=None):
        try:
            self.zone = Zone(name)
        except Trouble as problem:
            raise Trouble(str(problem).replace("--tz", "--log-tz", 1), 2) from None
        self.name = name if name not in (None, "local") else _system()

    def read(self, stamp):
        """The points in time that the stamp can mean, earliest first; none when it is not one."""
        try:
            at = read_iso(" ".join(stamp.split()))
            if at.tzinfo is not None:
                return _sane([at.astimezone(UTC)])
            first, second = (
                self.zone.attach(at.replace(fold=fold)).astimezone(UTC) for fold in (0, 1)
            )
        except (ValueError, OverflowError, OSError):
            return []
        # Where the clock is put back the second reading is later; where it is put forward, earlier,
        # and the hour did not happen at all.
        return _sane([first, second] if second > first else [first])


def _sane(readings):
    return [at for at in readings if 1970 <= at.year < 9000]


def _system():
    named = os.environ.get("TZ", "").lstrip(":")
    if named:
        return named
    target = os.path.realpath("/etc/localtime")
    return target.partition("/zoneinfo/")[2] or datetime.now().astimezone().tzname()
