# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where the document comes from: pmdump, the status handler, or a saved document."""
import errno
import html
import json
import os
import re
import shutil
import stat
import subprocess
import sys

from . import Trouble
from . import text
from .document import Document, narrow, parse
from .times import format_stamp

DEFAULTS = ("/var/log/apache2/pmcapture.pmc", "/var/log/httpd/pmcapture.pmc")
LARGEST = 512 * 1024 * 1024
PATIENCE = 120  # seconds that pmdump may take
NETWORK_PATIENCE = 15
UNIX = "unix:"
RULE = 'if the application takes every path, put "RewriteRule ^/?pm-status - [L]" before its rules'
TITLE_WITHIN = 65536  # bytes of a page


def choose(file, url, environ=os.environ):
    """The source that the options and the environment name."""
    if url:
        return Socket(url) if url.startswith(UNIX) else Url(url)
    path = file or environ.get("PMCAPTURE_FILE") or _default()
    if path == "-":
        return Saved(_limited(sys.stdin.buffer, "standard input"), "standard input")
    if _looks_saved(path):
        with open(path, "rb") as stream:
            return Saved(_limited(stream, path), path)
    return Capture(path)


def _default():
    for path in DEFAULTS:
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass  # it is there, or may be: the next step says why it can't be read
        return path
    raise Trouble(
        f"there is no capture file at {text.listing(DEFAULTS, 'or')}; name one with -f FILE or "
        "$PMCAPTURE_FILE, or a running server with -u URL"
    )


def _looks_saved(path):
    """A document, not a capture file? Refuses what can be neither, without opening a FIFO."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise Trouble(f"{path} is a directory; name the capture file in it")
        if not stat.S_ISREG(mode):
            raise Trouble(f"{path} is not a regular file; name a capture file")
        with open(path, "rb") as stream:
            return stream.read(64).lstrip()[:1] == b"{"
    except OSError as problem:
        raise Trouble(_why(path, problem)) from None


def _why(path, problem):
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"{path}: permission denied; use sudo, or let chgrp give the file a group of yours"
    if problem.errno == errno.ENOENT and not os.path.isdir(os.path.dirname(path) or "."):
        return f"{path}: its folder is missing; where that is the folder of httpd's logs, httpd cannot start"
    if problem.errno == errno.ENOENT:
        return f"{path}: no such file; PMCaptureFile in Apache's configuration names the right one"
    return f"{path} cannot be read: {problem.strerror}"


def _limited(stream, origin):
    content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise Trouble(
            f"{origin} is larger than {text.size(LARGEST)}; narrow it with --since and --until"
        )
    return content


def bounds(view, since, until, incident):
    """The query that pmdump and the handler share."""
    pairs = (
        ("view", view),
        ("since", since and format_stamp(since)),
        ("until", until and format_stamp(until)),
        ("incident", incident),
    )
    return [(name, str(value)) for name, value in pairs if value is not None]


class Saved:
    """A document that somebody kept (`pmcapture export >saved.json`)."""

    def __init__(self, content, name):
        self.name = name
        self.found = parse(content, name)

    def get(self, view=None, since=None, until=None, incident=None):
        return Document(narrow(self.found, view, since, until, incident))


class Capture:
    """A capture file or a live region, read by pmdump."""

    def __init__(self, path):
        self.name = path
        self.pmdump = find_pmdump()

    def get(self, view=None, since=None, until=None, incident=None):
        done = self._run(bounds(view, since, until, incident))
        return Document(parse(done, f"what pmdump made of {self.name}"))

    def add(self, options):
        """Add an event to the file; gives the event."""
        return json.loads(self._run(options))

    def _run(self, options):
        command = [self.pmdump]
        for option, value in options:
            command += [f"--{option}", value]
        command.append(os.path.join(".", self.name) if self.name.startswith("-") else self.name)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Trouble(
                f"{self.pmdump} did not finish reading {self.name} in {PATIENCE} s"
            ) from None
        except OSError as problem:
            raise Trouble(
                f"{self.pmdump} cannot be run: {problem.strerror}; install it again, or name "
                "it in $PMDUMP"
            ) from None
        if done.returncode:
            raise Trouble(self._sentence(done))
        return done.stdout

    def _sentence(self, done):
        if done.returncode < 0:
            signal = -done.returncode
            return f"pmdump was ended by signal {signal} while reading {self.name}; report it"
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("pmdump: ") if lines else f"pmdump cannot read {self.name}"


def find_pmdump(environ=os.environ):
    """$PMDUMP, the source tree's, the installed one, PATH."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    named = environ.get("PMDUMP")
    places = (
        [named]
        if named
        else [
            os.path.join(home, "..", "build", "pmdump"),
            os.path.join(home, "..", "..", "bin", "pmdump"),
            shutil.which("pmdump") or "",
        ]
    )
    for place in places:
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return os.path.normpath(place)
    if named:
        raise Trouble(f"$PMDUMP names {named}, which is no program")
    raise Trouble(
        "pmdump, which reads capture files, is not installed; run make install, or name it in "
        "$PMDUMP"
    )


class Url:
    """The status handler of a running server."""

    def __init__(self, url):
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and parts.hostname
        except ValueError:
            valid = False
        if not valid:
            raise Trouble(f"-u {url}: not an address; write http://localhost/pm-status", 2)
        self.name, self.parts = url, parts

    def get(self, view=None, since=None, until=None, incident=None):
        from urllib.parse import parse_qsl, urlencode

        known = ("format", "view", "since", "until", "incident", "refresh", "auto")
        query = [pair for pair in parse_qsl(self.parts.query, True) if pair[0] not in known]
        query += [("format", "json")] + bounds(view, since, until, incident)
        address = self.parts._replace(query=urlencode(query), fragment="").geturl()
        content, kind = self._fetch(address)
        try:
            return Document(parse(content, f"the reply of {self.name}"))
        except Trouble:
            if kind in (None, "application/json"):
                raise
            raise Trouble(_another_page(self.name, kind, content)) from None

    def _fetch(self, address):
        import http.client
        import urllib.error
        import urllib.request

        opener = urllib.request.OpenerDirector()
        for handler in self._handlers():
            opener.add_handler(handler)
        for handler in (urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor):
            opener.add_handler(handler())
        try:
            with opener.open(address, timeout=NETWORK_PATIENCE) as reply:
                told = "Content-Type" in reply.headers
                return _limited(reply, self.name), reply.headers.get_content_type() if told else None
        except urllib.error.HTTPError as problem:
            raise Trouble(self._refused(problem)) from None
        except urllib.error.URLError as problem:
            raise Trouble(
                f"{self.name} cannot be reached: {_reason(problem.reason)}; if the server is down, "
                "read its file with -f"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise Trouble(
                f"{self.name} gave no whole reply: {_reason(problem)}; if the server is down, "
                "read its file with -f"
            ) from None

    def _handlers(self):
        from urllib import request

        return (request.ProxyHandler(), request.UnknownHandler(), request.HTTPHandler(), request.HTTPSHandler(),
                request.HTTPRedirectHandler())

    def _refused(self, problem):
        told = f"{self.name} answered {problem.code}"
        why = _error_in(problem.read(LARGEST))
        if why:
            return f"{told}: {why}"
        if problem.code in (401, 403):
            return f"{told}; the status page may be limited to the server itself (Require local)"
        if problem.code == 404:
            return f'{told}; look in the configuration where "SetHandler pm-status" is; {RULE}'
        return told


class Socket(Url):
    """The recorder itself, on a Unix socket of PMCaptureListen."""

    def __init__(self, name):
        from urllib.parse import urlsplit

        self.path = name[len(UNIX):]
        if not os.path.isabs(self.path):
            raise Trouble(f"-u {name}: give {UNIX} and the absolute path that PMCaptureListen names", 2)
        self.name, self.parts = name, urlsplit("http://localhost/")

    def _handlers(self):
        from http.client import HTTPConnection
        from socket import AF_UNIX, socket
        from urllib import request

        path = self.path

        class Connection(HTTPConnection):
            def connect(self):
                self.sock = socket(AF_UNIX)
                self.sock.settimeout(NETWORK_PATIENCE)
                self.sock.connect(path)

        class Handler(request.HTTPHandler):
            def http_open(self, req):
                return self.do_open(Connection, req)

        return (Handler(),)


def _error_in(content):
    """The sentence of a refusal that is a JSON document; None = it is none."""
    try:
        told = json.loads(content)["error"]
        return text.clean(told) if isinstance(told, str) else None
    except (ValueError, KeyError, TypeError):
        return None


def _another_page(name, kind, content):
    """The handler's reply has its type: this one is somebody else's, most times the application's."""
    title = re.search(rb"<title[^>]*>(.{1,2000}?)</title", content[:TITLE_WITHIN], re.I | re.S)
    words = " ".join(html.unescape(title[1].decode(errors="replace")).split()) if title else ""
    called = f' with the title "{text.clean(words[:60])}"' if words else ""
    return (
        f"another page answered at {name} ({text.clean(kind)}{called}), not the status handler; {RULE}, or name "
        'the address where "SetHandler pm-status" is'
    )


def _reason(problem):
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
