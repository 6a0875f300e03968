# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Foreign text in Markdown: it renders as what it is, and stays readable where nobody renders it.

Plain words stand as they are; what looks like code or a URL goes into a code span (no autolink, no
emphasis); what a code span can't hold in a table, and HTML, is escaped sign by sign.
"""
import re

from .text import clean

BULLET = re.compile(r"(?:[-+=#>]+|\d{1,9}[.)])$")
UNFIT = re.compile(r"[<>&|`\\]")
LEFT, RIGHT = "\"'(", "\"',.;:"


class Safe(str):
    """Markdown that is meant."""


def escaped(value):
    """Each sign that means something on its own: for what no code span can hold."""
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    value = value.replace("|", "&#124;")
    value = re.sub(r"[\\`*_\[\]~$!{}^]", r"\\\g<0>", value)
    value = value.replace("://", ":\\//")
    value = re.sub(r"@+", r"`\g<0>`", value)  # an address is linked in spite of a backslash
    value = re.sub(r"(?i)(www)\.", r"\1\\.", value)
    return re.sub(r"^(\d*)([-+=#.)])", r"\1\\\2", value)


def code(value):
    """One foreign value: a path, a URI, a name."""
    value = clean(value).strip() if isinstance(value, str) else ""
    if not value:
        return Safe("")
    return Safe(escaped(value) if UNFIT.search(value) else f"`{value}`")


def prose(value):
    """A sentence with foreign words in it."""
    if isinstance(value, Safe):
        return value
    words = clean(str(value)).split()
    return Safe(" ".join(_word(word, first=i == 0) for i, word in enumerate(words)))


def _word(word, first):
    if first and BULLET.match(word):
        return escaped(word)
    if _plain(word):
        return word
    core = word.lstrip(LEFT)
    head = word[: len(word) - len(core)]
    stripped = core.rstrip(RIGHT + ")" * ("(" in head))
    tail = core[len(stripped):]
    if not stripped or _plain(stripped) or UNFIT.search(word):
        return escaped(word)
    return f"{head}`{stripped}`{tail}"


def _plain(word):
    """Nothing in it that Markdown would take for markup or a link."""
    inner = word.strip("\"'(),.;:")
    if "://" in word or "@" in word or "www." in word.lower():
        return False
    if inner.startswith("_") or inner.endswith("_"):
        return False
    return all(c.isalnum() or c in "_%+=/,.;:?'\"()…±−–·-" or not c.isascii() for c in word)
