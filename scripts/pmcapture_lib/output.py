# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where the words go: the terminal with or without colour, or a file written whole."""
import json
import os
import pathlib
import shutil
import stat
import sys
import tempfile

from . import Trouble
from . import text

STYLES = {"bold": "1", "dim": "2", "red": "1;31", "green": "32", "yellow": "33", "cyan": "36"}


def home():
    """Where templates and schema are: beside pmcapture_lib."""
    return pathlib.Path(__file__).resolve().parent.parent


class Output:
    """Standard output for people."""

    def __init__(self, environ=os.environ):
        self.terminal = sys.stdout.isatty()
        self.columns = shutil.get_terminal_size((100, 24)).columns if self.terminal else None
        self.colour = (
            self.terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        )

    def paint(self, style, value):
        return f"\x1b[{STYLES[style]}m{value}\x1b[0m" if self.colour and style else value

    def line(self, value=""):
        sys.stdout.write(value + "\n")

    def heading(self, value):
        self.line()
        self.line(self.paint("bold", value))

    def paragraph(self, value, indent="  ", style=None):
        """Wrapped to the terminal; one line when a program reads."""
        for line in text.wrap(value, self.columns, indent):
            self.line(self.paint(style, line))

    def table(self, titles, rows, right=(), styles=None):
        """Columns aligned; on a terminal the last one is wrapped to fit."""
        cells = [titles] + [[str(cell) for cell in row] for row in rows]
        widths = [max(text.width(row[i]) for row in cells) for i in range(len(titles))]
        for number, row in enumerate(cells):
            style = "dim" if number == 0 else styles[number - 1] if styles else None
            for line in self._row(row, widths, right):
                self.line(self.paint(style, line))

    def _row(self, row, widths, right):
        padded = []
        for i, (cell, width) in enumerate(zip(row, widths)):
            pad = " " * (width - text.width(cell))
            padded.append(pad + cell if i in right else cell + pad)
        left = "  ".join(padded[:-1])
        room = self.columns - text.width(left) - 2 if self.columns else None
        if len(row) - 1 in right or room is None or room < 20:
            return ["  ".join(padded).rstrip()]
        margin = " " * text.width(left)
        return [
            f"{margin if number else left}  {line}".rstrip()
            for number, line in enumerate(text.wrap(row[-1], room))
        ]


def dump(value, pretty=False):
    """JSON in ASCII: nothing in it can reach a terminal as a control character."""
    return json.dumps(value, indent=2 if pretty else None, allow_nan=False)


def print_json(value):
    sys.stdout.write(dump(value, sys.stdout.isatty()) + "\n")


def note(sentence):
    sys.stderr.write(f"pmcapture: {text.clean(sentence)}\n")


def write(content, path):
    """To standard output, or to `path` as a whole: a reader sees the old file or the new one."""
    if path is None or path == "-":
        sys.stdout.write(content)
        return
    target = os.path.realpath(path)
    try:
        try:
            mode = os.stat(target).st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and not stat.S_ISREG(mode):
            with open(target, "w", encoding="utf-8", newline="") as stream:  # a device, a pipe
                stream.write(content)
            return
        _replace(content, target, stat.S_IMODE(mode) if mode is not None else 0o666 & ~_umask())
    except OSError as problem:
        raise Trouble(
            f"cannot write {path}: {problem.strerror}; choose another place with -o"
        ) from None


def _replace(content, target, mode):
    handle, temporary = tempfile.mkstemp(prefix=".pmcapture-", dir=os.path.dirname(target))
    try:
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask():
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
