# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Log files of other programs: rotated, packed, cut off, huge or hostile; read from the end."""
import gzip
import lzma
import os
import re
import stat
import zlib

from . import text

TAIL = 16 * 1024 * 1024  # bytes that are read of one file, the newest ones
UNPACKED = 256 * 1024 * 1024  # bytes that a packed file may grow to
FILES = 60  # rotated ones
CHUNK = 1024 * 1024
LONGEST_LINE = 1024 * 1024
PACKED = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open}
ROTATED = re.compile(r"(?:\.(\d{1,6})|-(\d{8}(?:-?\d{1,6})?))?(?:\.gz|\.xz)?", re.ASCII)


class Log:
    """The newest lines of one file, and a sentence for each thing that keeps it from being whole."""

    def __init__(self, path):
        self.path, self.notices = path, []
        try:
            content = self._read()
        except OSError as problem:
            content = b""
            self.notices.append(f"{path} cannot be read: {problem.strerror or problem}")
        self.lines = self._lines(content)

    def _read(self):
        # A FIFO would never open, a device never end.
        handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "it is no regular file")
            head = stream.read(6)
            stream.seek(0)
            for magic, unpack in PACKED.items():
                if head.startswith(magic):
                    return self._unpack(unpack(stream))
            if status.st_size > TAIL:
                stream.seek(status.st_size - TAIL)
                return self._cut(stream.read(TAIL))
            return stream.read(TAIL)

    def _unpack(self, stream):
        kept, total = b"", 0
        try:
            while total < UNPACKED and (chunk := stream.read1(CHUNK)):
                total += len(chunk)
                kept = (kept + chunk)[-2 * TAIL:]
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            self.notices.append(f"{self.path} is damaged or cut off; what could be unpacked is used")
        if total >= UNPACKED:
            self.notices.append(f"{self.path} unpacks to more than {text.size(UNPACKED)}; "
                                "what comes after that was not read")
        return kept if total <= TAIL else self._cut(kept[-TAIL:])

    def _cut(self, content):
        """Without the line that the cut went through."""
        self.notices.append(f"of {self.path} only the last {text.size(TAIL)} were read")
        return content.partition(b"\n")[2]

    @staticmethod
    def _lines(content):
        # A crash leaves runs of zero bytes in a log.
        found = (line[:LONGEST_LINE].strip(b"\0\r") for line in content.split(b"\n"))
        return [line.decode("utf-8", "replace") for line in found if line.strip()]


def rotated(path):
    """The file and its elder ones, newest first."""
    folder, base = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        names = []
    found = []
    for name in names:
        suffix = ROTATED.fullmatch(name[len(base):]) if name.startswith(base) else None
        if suffix:
            number, day = suffix[1], suffix[2]
            order = (0,) if not (number or day) else (1, int(number)) if number else (
                2, -int(day.replace("-", "").ljust(14, "0")))
            found.append((order, name))
    return [os.path.join(folder, name) for _, name in sorted(found)[:FILES]]
