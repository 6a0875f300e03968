# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Points in time: read as journalctl reads them, shown in UTC, with a zone beside it."""
import re
import zoneinfo
from datetime import datetime, timedelta, timezone

from . import Trouble

UTC = timezone.utc
EXAMPLES = '"2026-11-20 21:30", "yesterday", "-15min" or "1 hour ago"'

# systemd.time(7): m is minutes, M is months.
UNITS = {
    "us usec µs": 1e-6,
    "ms msec": 1e-3,
    "s sec second seconds": 1,
    "m min minute minutes": 60,
    "h hr hour hours": 3600,
    "d day days": 86400,
    "w week weeks": 7 * 86400,
    "M month months": 30.44 * 86400,
    "y year years": 365.25 * 86400,
}
SECONDS = {name: seconds for names, seconds in UNITS.items() for name in names.split()}
SPAN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-zµ]*)\s*(?:,|and\b)?", re.ASCII)
DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,9})?)?", re.ASCII)
WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+", re.IGNORECASE)
STAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[Tt ]\s*(\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?"
    r"\s*([Zz]|[+-]\d{2}:?\d{2}|[A-Za-z][\w/+-]*)?",
    re.ASCII,
)

ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?([Zz]|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)


def read_iso(value):
    """RFC 3339 and what logs have of it; ValueError for all else.

    datetime.fromisoformat() reads no Z, no +0100 and no tenth of a second before Python 3.11.
    """
    found = ISO.fullmatch(value)
    if not found:
        raise ValueError(value)
    figures = [int(part or 0) for part in found.groups()[:6]]
    micros = int((found[7] or "")[:6].ljust(6, "0"))
    return datetime(*figures, micros, tzinfo=_offset(found[8]))


def _offset(suffix):
    if suffix is None:
        return None
    if suffix in "Zz":
        return UTC
    away = timedelta(hours=int(suffix[1:3]), minutes=int(suffix[3:].lstrip(":") or 0))
    return timezone(-away if suffix[0] == "-" else away)


class Zone:
    """The zone that times without one are read in; `shown` says that it also stands beside UTC."""

    def __init__(self, name=None):
        self.shown = name is not None
        self.info = None  # the system's own rules
        if name not in (None, "local"):
            try:
                self.info = zoneinfo.ZoneInfo(name)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                raise Trouble(
                    f"--tz {name}: there is no such time zone; take a name such as "
                    "Africa/Lagos, Europe/Berlin, UTC or local",
                    2,
                ) from None
        self.name = name or "local"

    def local(self, at):
        return at.astimezone(self.info)

    def attach(self, naive):
        return naive.replace(tzinfo=self.info) if self.info else naive.astimezone()

    def beside(self, at, millis=False):
        """The time of day in this zone, with its date when that is not UTC's."""
        local = self.local(at)
        day = f"{local:%Y-%m-%d} " if local.date() != at.date() else ""
        return f"{day}{_clock(local, millis)} {local.tzname()}"

    def show(self, at, millis=False):
        """As in 2026-11-20 21:30:05 UTC / 22:30:05 WAT; the second part only with --tz."""
        if at is None:
            return "unknown"
        text = f"{at:%Y-%m-%d} {_clock(at, millis)} UTC"
        return f"{text} / {self.beside(at, millis)}" if self.shown else text


def _clock(at, millis):
    return f"{at:%H:%M:%S}" + (f".{at.microsecond // 1000:03d}" if millis else "")


def parse_stamp(value):
    """A time of the document, or None for anything that is not one between 1970 and 9000."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        at = read_iso(value)
        if at.tzinfo is None or not 1970 <= at.year < 9000:
            return None
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def format_stamp(at):
    """RFC 3339 UTC with milliseconds, as the document has it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def parse_when(text, now, zone):
    """What a person or a script wrote after --since or --until."""
    try:
        at = _parse(text.strip(), now, zone)
        if at is not None:
            at = at.astimezone(UTC)
            if 1970 <= at.year < 9000:
                return at
    except (ValueError, OverflowError, OSError):
        pass
    raise Trouble(f'"{text}" is not a time; write {EXAMPLES}', 2)


def _parse(text, now, zone):
    lower = text.lower()
    if lower == "now":
        return now
    word, _, clock = lower.partition(" ")
    if word in DAYS:
        day = zone.local(now).date() + timedelta(days=DAYS[word])
        return zone.attach(_at_clock(day.isoformat(), clock.strip() or "0:00"))
    if text.startswith("@"):
        return datetime.fromtimestamp(float(text[1:]), UTC)
    if text[:1] in ("-", "+"):
        span = parse_span(text[1:])
        return now - span if text[0] == "-" else now + span
    if lower.endswith((" ago", " left")):
        span = parse_span(text.rpartition(" ")[0])
        return now - span if lower.endswith("ago") else now + span
    if CLOCK.fullmatch(text):
        return zone.attach(_at_clock(zone.local(now).date().isoformat(), text))
    return _parse_stamp_of_person(WEEKDAY.sub("", text, count=1), zone)


def _parse_stamp_of_person(text, zone):
    found = STAMP.fullmatch(text)
    if not found:
        return None
    naive = _at_clock(found[1], found[2] or "0:00")
    suffix = found[3]
    if not suffix:
        return zone.attach(naive)
    if suffix in ("Z", "z"):
        return naive.replace(tzinfo=UTC)
    if suffix[0] in "+-":
        return read_iso(naive.isoformat() + suffix)
    try:
        return naive.replace(tzinfo=zoneinfo.ZoneInfo(suffix))
    except zoneinfo.ZoneInfoNotFoundError:
        return None


def _at_clock(day, clock):
    hour, _, rest = clock.partition(":")
    return read_iso(f"{day}T{int(hour):02d}:{rest}")


def parse_span(text):
    """As in 1h 30min, 2 days, or 90 (seconds)."""
    position, seconds = 0, 0.0
    text = text.strip()
    while position < len(text) or position == 0:
        found = SPAN.match(text, position)
        if not found:
            raise ValueError(text)
        seconds += float(found[1]) * _unit(found[2])
        position = found.end()
    return timedelta(seconds=seconds)


def _unit(name):
    if name in SECONDS:
        return SECONDS[name]
    if not name:
        return 1
    if len(name) > 1 and name.lower() in SECONDS:
        return SECONDS[name.lower()]
    raise ValueError(name)
