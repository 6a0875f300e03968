# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Foreign text made harmless, and figures as people write them."""
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


def decimal(value):
    """Three significant figures are enough to act on; none is made up."""
    if value is None:
        return UNKNOWN
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def share(ratio):
    """A ratio as per cent; what is not all never reads as 100 %, nor what is not none as 0 %."""
    if ratio is None:
        return UNKNOWN
    percent = ratio * 100
    if 0 < percent < 0.01:
        return "under 0.01 %"
    if 99.95 <= percent < 100:
        return "over 99.9 %"
    if percent == int(percent):
        return f"{percent:.0f} %"
    return f"{percent:.1f} %" if percent >= 0.1 else f"{percent:.2f} %"


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
    if seconds is None:
        return UNKNOWN
    if seconds >= 1:
        return f"{seconds:,.2f} s"
    millis = seconds * 1000
    if millis >= 10:
        return f"{millis:.0f} ms"
    return f"{millis:.1f} ms" if millis >= 1 else f"{millis * 1000:.0f} µs"


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
