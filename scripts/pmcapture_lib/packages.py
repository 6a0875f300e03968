# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which package held a file: by dpkg's file list, else by name and time, and then it is said so."""
import os
import re

from . import text
from .logfile import Log

NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,200}(?::[a-z0-9-]{1,20})?", re.ASCII)  # never a path
HTTPD = re.compile(r"(?:apache2|httpd|libapr|libaprutil|apr)(?![a-z])|libapache2-mod-|mod_")
SO = re.compile(r"(.+?)\.so(?:\.(\d+)[\d.]*)?")
NEAR = 120  # seconds between a package manager's line and the event of what it did


class FileLists:
    """dpkg's lists of what each package holds. A purged package has none any more."""

    def __init__(self, folder):
        self.folder, self.known = folder, {}

    def of(self, package):
        if package not in self.known:
            self.known[package] = self._read(package) if NAME.fullmatch(package) else set()
        return self.known[package]

    def _read(self, package):
        for name in (package, package.partition(":")[0]):
            path = os.path.join(self.folder, name + ".list")
            if os.path.isfile(path):
                return {_merged(line) for line in Log(path).lines}
        return set()

    def name(self, package, path):
        return _merged(path) in self.of(package)


def _merged(path):
    """/lib is /usr/lib on a merged system; dpkg's lists have either."""
    return re.sub(r"^/usr(?=/(?:lib\w*|s?bin)/)", "", path)


def of_httpd(package):
    return bool(HTTPD.match(package))


def named_for(package, path):
    """Is that what a package with this file would be called? libfoo1 for libfoo.so.1.2."""
    found = SO.fullmatch(os.path.basename(path).lower())
    if not found:
        return False
    names = {package.partition(":")[0].lower().replace("_", "-")}
    stem, major = found[1].replace("_", "-"), found[2] or ""
    bare = stem.removeprefix("lib").removeprefix("mod-")
    wanted = {stem, f"libapache2-mod-{bare}", f"mod-{bare}", f"{bare}-libs"}
    if major:
        wanted |= {stem + major, f"{stem}-{major}", f"{stem}{major}t64", f"{stem}-{major}t64"}
    elif stem.startswith("lib"):
        names |= {re.sub(r"-?\d+(t64)?$", "", name) for name in names}
    return not names.isdisjoint(wanted)


def tie(entry, events, lists):
    """What of the record the entry explains: the surest first, then the nearest; or None."""
    found = []
    for event in events:
        gone = event["type"] == "dependency.missing"
        for package in entry.removed if gone else entry.changed:
            made = _tie(entry, event, package, lists.name(package, event["path"]))
            found += [made] if made else []
    ranks = ("certain", "likely", "possible")
    found.sort(key=lambda made: (ranks.index(made["confidence"]), made["seconds"]))
    return found[0] if found else None


def _tie(entry, event, package, listed):
    distance = min(abs((event["at"] - at).total_seconds()) for at in entry.readings)
    gone, near = event["type"] == "dependency.missing", distance <= NEAR
    by_name = named_for(package, event["path"])
    if not near and (not gone or entry.at > event["at"] or not (listed or by_name)):
        return None
    reasons = [f"the file list of {package} names it"] if listed else (
        [f"a package named {package} would hold it"] if by_name else [])
    reasons += [f"{text.duration(distance)} lie between them"] if near else []
    sure = "certain" if listed and near else "likely" if listed or (by_name and near) else "possible"
    what = "went missing" if gone else "was changed"
    return {
        "event": event["seq"],
        "path": event["path"],
        "package": text.clean(package),
        "confidence": sure,
        "seconds": distance,
        "how": f"{event['path']} {what} (event {event['seq']}): {sure}, as "
        + text.listing(reasons),
    }
