# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Foreign text made harmless, and figures as people write them.

The server words an incident's figures itself; here are the rules for those that stand in the document alone. They are
the server's own: tests/words.tsv holds both to one table.
"""
import unicodedata

LONGEST = 4096
UNKNOWN = "unknown"


def clean(value, longest=LONGEST):
    """One line without control characters, escapes, bidirectional overrides or lone surrogates."""
    value = value if len(value) <= longest else value[:longest] + "…"
    return value if value.isprintable() else "".join(map(_harmless, value))


def _harmless(char):
    if char.isprintable():
        return char
    if char in "\t\n\r" or unicodedata.category(char) in ("Zs", "Zl", "Zp"):
        return " "
    if unicodedata.category(char) == "Cc":
        return "".join(f"%{byte:02X}" for byte in char.encode())
    return "\ufffd"


def csv_cell(value):
    """What a spreadsheet would take for a formula gets an apostrophe, as in the server's CSV."""
    if not isinstance(value, str):
        return value
    value = clean(value)
    return "'" + value if value.lstrip().startswith(("=", "+", "-", "@")) else value


def count(value):
    """Plain digits: they are found again in the document, and in the server's own sentences."""
    return UNKNOWN if value is None else f"{value:.0f}"


def large(value):
    """A total that is only looked at."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def plural(value, noun):
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def rate(value):
    """Something a second, as pm_story_rate has it; what is not none never reads as 0.0."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.095:
        return "< 0.01" if value < 0.005 else f"{value:.2f}"
    return f"{value:.1f}"


def share(ratio):
    """A ratio as per cent, as pm_story_percent has it: less than all is never 100 %, nor more than none 0 %."""
    if ratio is None:
        return UNKNOWN
    percent = ratio * 100
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.95 <= percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if 0 < percent < 10 or 99.5 <= percent < 100 else f"{percent:.0f} %"


def duration(seconds):
    """As in 2 min 5 s: the two largest units, cut off, so that no more is said than passed; as pm_time_span has it."""
    if seconds is None:
        return UNKNOWN
    us = round(seconds * 1e6)
    if us < 1000:
        return "0 s"
    if us < 100_000:
        return f"{us // 1000} ms"
    whole = us // 1_000_000
    if whole < 10:
        tenths = us // 100_000 % 10
        return f"{whole}.{tenths} s" if tenths else f"{whole} s"
    for size, unit, below, small in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit} {rest} {small}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def latency(seconds):
    """As pm_story_latency has it."""
    if seconds is None:
        return UNKNOWN
    us = round(seconds * 1e6)
    if us >= 1_000_000:
        return duration(seconds)
    if us < 1000:
        return f"{us} µs"
    return f"{us / 1000:.1f} ms" if us < 9950 else f"{us / 1000:.0f} ms"


def size(value):
    if value is None:
        return UNKNOWN
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} PB"


def listing(words, last="and"):
    """As in a, b and c."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def width(value):
    """Columns on a terminal."""
    if value.isascii():
        return len(value)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in value
    )


def wrap(value, columns, indent=""):
    """Lines of at most `columns`, each indented; a long word stays whole. No bound with None."""
    if columns is None:
        return [indent + value]
    lines, line = [], ""
    for word in value.split():
        if line and width(indent + line) + 1 + width(word) > columns:
            lines.append(indent + line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return lines + [indent + line]
