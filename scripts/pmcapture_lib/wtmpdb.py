# Licensed under the Apache License, Version 2.0; see LICENSE.
"""When the machine was booted and shut down, from wtmpdb's database: Debian 13 has it in the place of wtmp."""
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import quote

from .entry import Entry

# wtmpdb(8) has one row for a boot; Type 1 is BOOT_TIME, Login the boot and Logout the shutdown in microseconds,
# RemoteHost the kernel's release.
BOOTS = "SELECT Login, Logout, RemoteHost FROM wtmp WHERE Type = 1 ORDER BY Login DESC LIMIT 1000"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
PATIENCE = 5  # seconds; a database by a stranger can be a query that never ends
STEPS = 10000  # of SQLite's machine, between two looks at the time


def read(path):
    """The entries, and how many rows are none of wtmpdb's; OSError when it is no such database."""
    entries, unread = [], 0
    for booted, down, kernel in _rows(path):
        try:
            said = f"The machine was booted (kernel {kernel or 'unknown'})"
            made = [Entry([_time(booted)], "host.boot", said)]
            if down is not None:
                made.append(Entry([_time(down)], "host.shutdown", "The machine was shut down"))
            entries += made
        except (TypeError, ValueError, OverflowError):
            unread += 1
    return entries, unread


def _time(micros):
    if not isinstance(micros, int) or micros <= 0:
        raise ValueError(micros)
    return EPOCH + timedelta(microseconds=micros)


def _rows(path):
    try:
        import sqlite3
    except ImportError:
        raise OSError(0, "this Python has no sqlite3") from None
    until = time.monotonic() + PATIENCE
    try:
        base = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=PATIENCE)
    except sqlite3.Error as problem:
        raise OSError(0, str(problem)) from None
    try:
        base.text_factory = lambda raw: raw.decode("utf-8", "replace")
        base.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        base.execute("PRAGMA trusted_schema = OFF")
        return base.execute(BOOTS).fetchall()
    except sqlite3.Error as problem:
        raise OSError(0, str(problem)) from None
    finally:
        base.close()
