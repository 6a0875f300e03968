# Licensed under the Apache License, Version 2.0; see LICENSE.
"""systemd's journal, as `journalctl -o json` prints it: what became of httpd's unit and the host."""
import json
import re
from datetime import datetime, timedelta, timezone

from .entry import Entry

UNITS = ("apache2.service", "httpd.service")
UNIT = re.compile(r"(?:apache2|httpd)(?:@[^/]*)?\.service")
# Message ids are systemd's contract (systemd.journal-fields(7), journalctl --list-catalog); the
# words of a message are not.
OF_UNIT = {
    "7d4958e842da4a758f6c1cdc7b36dcc5": "unit.starting",
    "39f53479d3a045ac8e11786248231fbf": "unit.started",
    "be02cf6855d2428ba40df7e9d022f03d": "unit.failed",
    "d9b373ed55a64feb8242e02dbe79a49c": "unit.failed",
    "98e322203f7a4ed290d09fe03c09fe15": "unit.exited",
    "d34d037fff1847e6ae669a370e694725": "unit.reloading",
    "7b05ebc668384222baa8881179cfda54": "unit.reloaded",
    "de5b426a63be47a7b6ac3eaac82e2f6f": "unit.stopping",
    "9d1aaa27d60140bd96365438aad20286": "unit.stopped",
    "5eb03494b6584870a536b337290809b3": "unit.restarting",
    "fe6faa94e7774663a0da52717891d8ef": "oom.kill",
    "d989611b15e44c9dbf31e3c81256e4ed": "oom.kill",
}
OF_HOST = {
    "98268866d1d54a499c4e98921d93bc40": "host.shutdown",
    "b07a249cd024414a82dd00cd181378ff": "host.boot",
    "c7a787079b354eaaa9e77b371893cd27": "clock.changed",
}
COREDUMP = "fc2e22bc6ee647b6b90729ab34a250b1"
KILLED = re.compile(r"Killed process \d+ \(")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
NEWEST = 20000


def arguments(since, until):
    """What journalctl is to look for: the unit, the host's life, the kernel's OOM killer."""
    matches = [f"UNIT={unit}" for unit in UNITS]
    matches += ["+", *(f"MESSAGE_ID={name}" for name in (*OF_HOST, COREDUMP))]
    matches += ["+", "_TRANSPORT=kernel", "PRIORITY=3"]
    return ["--no-pager", "-q", "-o", "json", "-n", str(NEWEST), f"--since=@{since:.0f}",
            f"--until=@{until:.0f}", *matches]


def parse(lines, clock):
    """The entries, and how many lines are no object of journalctl's."""
    entries, unread = [], 0
    for line in lines:
        try:
            found = json.loads(line)
            at = EPOCH + timedelta(microseconds=_micros(found, "__REALTIME_TIMESTAMP") - _late(found))
        except (ValueError, OverflowError, RecursionError, AttributeError):
            unread += 1
            continue
        kind = _kind(found)
        if kind:
            entries.append(Entry([at], kind, _sentence(found)))
    return entries, unread


def _micros(found, name):
    return int(_field(found, name))


def _late(found):
    """How long the kernel's message waited for journald, which reads the early ones when it starts."""
    names = ("__MONOTONIC_TIMESTAMP", "_SOURCE_MONOTONIC_TIMESTAMP")
    if _field(found, "_TRANSPORT") != "kernel" or not all(_field(found, name) for name in names):
        return 0
    return max(0, _micros(found, names[0]) - _micros(found, names[1]))


def _field(found, name):
    """A field's text: binary ones are lists of bytes, those given twice lists of texts."""
    value = found.get(name)
    if isinstance(value, list) and value:
        if all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):
            return bytes(value).decode("utf-8", "replace")
        value = value[-1]
    return value if isinstance(value, str) else ""


def _kind(found):
    name = _field(found, "MESSAGE_ID").lower()
    if name in OF_HOST:
        return OF_HOST[name]
    if name == COREDUMP:
        ours = _field(found, "COREDUMP_COMM") in ("apache2", "httpd")
        return "unit.coredump" if ours else None
    if name in OF_UNIT and any(UNIT.fullmatch(_field(found, f)) for f in ("UNIT", "_SYSTEMD_UNIT")):
        return OF_UNIT[name]
    if _field(found, "_TRANSPORT") == "kernel" and KILLED.search(_field(found, "MESSAGE")):
        return "oom.kill"
    return None


def _sentence(found):
    who = _field(found, "SYSLOG_IDENTIFIER") or _field(found, "_COMM") or "journal"
    return f"{who}: {_field(found, 'MESSAGE')}"
