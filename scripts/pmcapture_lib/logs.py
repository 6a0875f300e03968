# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The logs of a machine, or of a copy of it: found, read within bounds, and what kept them from it."""
import os
import shutil
import subprocess

from . import Trouble
from . import apt, dnf, dpkg, journal, reboots, text, wtmpdb
from .logfile import Log, rotated
from .packages import FileLists

PATIENCE = 30  # seconds that journalctl, last or dnf may take
TEXTS = {  # each kind of log: its reader, and where it lies in a copy of / or of /var/log
    "dpkg.log": (dpkg.parse, ("var/log/dpkg.log", "dpkg.log")),
    "apt history.log": (
        apt.parse,
        ("var/log/apt/history.log", "apt/history.log", "history.log"),
    ),
    "dnf.rpm.log": (dnf.parse, ("var/log/dnf.rpm.log", "dnf.rpm.log")),
    "dnf history": (dnf.parse_history, ("dnf-history.txt",)),
    "journal": (journal.parse, ("journal.json", "journal.jsonl")),
    "last": (reboots.parse, ("last.txt",)),
}
JOURNALS = ("var/log/journal", "run/log/journal", "journal", ".")
WTMP = ("var/log/wtmp", "wtmp")
WTMPDB = ("var/lib/wtmpdb/wtmp.db", "lib/wtmpdb/wtmp.db", "var/log/wtmp.db", "wtmp.db")
REBOOTS = {"last", "wtmpdb", "journal"}
LISTS = ("var/lib/dpkg/info", "lib/dpkg/info", "dpkg/info")


class Logs:
    """Entries between two times. Those far back are of interest for packages alone."""

    def __init__(self, clock, far, near, until):
        self.clock, self.far, self.near, self.until = clock, far, near, until
        self.entries, self.notices, self.read = [], [], []
        self.lists = FileLists("/var/lib/dpkg/info")

    def add(self, place):
        if os.path.isdir(place):
            self._folder(place)
        elif os.path.exists(place):
            self._file(place)
        else:
            raise Trouble(f"--machine={place}: no such file or folder")

    def _folder(self, root):
        below = [os.path.join(root, path) for path in LISTS]
        self.lists = FileLists(next(filter(os.path.isdir, below), self.lists.folder))
        for source, (parse, paths) in TEXTS.items():
            for path in paths:
                self._rotated(source, parse, os.path.join(root, path))
        for path in (os.path.join(root, path) for path in WTMP):
            for wtmp in rotated(path):
                self._wtmp(wtmp)
        # Debian links one of these places to another.
        found = (os.path.realpath(os.path.join(root, path)) for path in WTMPDB)
        for path in dict.fromkeys(path for path in found if os.path.isfile(path)):
            self._wtmpdb(path)
        if os.path.realpath(root) == "/":
            self._programs()
        else:
            self._journal_folders(root)
        if not REBOOTS.intersection(self.read):
            self.notices.append(f"reboots are unknown: {root} has neither wtmp, wtmpdb's database "
                                "nor a journal that can be read")

    def _rotated(self, source, parse, path):
        for one in rotated(path):
            found = self._text(source, parse, one)
            if found and max(entry.at for entry in found) < self.far:
                return  # all of it is too old, and the elder ones are older still

    def _file(self, path):
        name = os.path.basename(path)
        if name.startswith("wtmp") and name.endswith(".db"):
            self._wtmpdb(path)
        elif name.startswith("wtmp"):
            self._wtmp(path)
        elif name.endswith((".journal", ".journal~")):
            self._journal("--file", path)
        else:
            log = Log(path)
            tried = {s: parse(log.lines, self.clock) for s, (parse, _) in TEXTS.items()}
            source = max(tried, key=lambda s: len(tried[s][0]) - tried[s][1])
            self._take(source, path, *tried[source], log.notices)

    def _text(self, source, parse, path):
        log = Log(path)
        return self._take(source, path, *parse(log.lines, self.clock), log.notices)

    def _take(self, source, path, found, unread, notices):
        self.notices += notices
        if unread:
            lines = "1 line" if unread == 1 else f"{unread} lines"
            self.notices.append(f"{lines} of {path} cannot be read, and are left out")
        self.read += [source] if source not in self.read else []
        for entry in found:
            entry.source, entry.file = source, path
            if any(self.far <= at <= self.until for at in entry.readings):
                self.entries.append(entry)
        return found

    # ---- what other programs have to read ----

    def _programs(self):
        self._journal()
        if shutil.which("dnf"):
            self._run("dnf history", "dnf history", dnf.parse_history, ["dnf", "-Cq", "history"])

    def _journal_folders(self, root):
        for folder in (os.path.join(root, path) for path in JOURNALS):
            if _holds_journal(folder):
                self._journal("--directory", folder)

    def _journal(self, *where):
        options = journal.arguments(self.near.timestamp(), self.until.timestamp())
        path = where[1] if where else "journal"
        headers = self._output(path, ["journalctl", "-q", "--no-pager", *where, "--header"])
        if headers:
            self._run("journal", path, journal.parse, ["journalctl", *where, *options])
        elif headers == [] and where:  # of a damaged one journalctl says nothing
            self.notices.append(f"{path} holds no journal that journalctl can read")

    def _wtmp(self, path):
        if os.path.isfile(path):
            self._run("last", path, reboots.parse, ["last", *reboots.arguments(path)])

    def _wtmpdb(self, path):
        try:
            self._take("wtmpdb", path, *wtmpdb.read(path), [])
        except OSError as problem:
            self.notices.append(f"{path} cannot be read: {text.clean(problem.strerror, 200)}")

    def _run(self, source, path, parse, command):
        lines = self._output(path, command)
        if lines is not None:
            self._take(source, path, *parse(lines, self.clock), [])

    def _output(self, path, command):
        """The lines that a program prints, or None and a notice."""
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                  timeout=PATIENCE, check=False)
        except FileNotFoundError:
            self.notices.append(f"{path} cannot be read without {command[0]}, which is not here")
            return None
        except (OSError, subprocess.TimeoutExpired) as problem:
            self.notices.append(f"{command[0]} cannot read {path}: {problem}")
            return None
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        if done.returncode and said and not done.stdout.strip():
            self.notices.append(f"{command[0]} cannot read {path}: {text.clean(said[-1], 200)}")
            return None
        lines = done.stdout.decode("utf-8", "replace").split("\n")
        return [line for line in lines if line.strip()]


def _holds_journal(folder):
    try:
        below = [folder, *(e.path for e in os.scandir(folder) if e.is_dir(follow_symlinks=False))]
        return any(name.endswith((".journal", ".journal~"))
                   for path in below[:64] for name in os.listdir(path))
    except OSError:
        return False
