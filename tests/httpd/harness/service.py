"""The recorder as a service of its own: a process that no httpd has started, and the test is its service manager."""
import os
import signal
import socket
import subprocess
import threading
import time

from . import processes
from .httpd import group_of
from .paths import RECORDER
from .wait import wait_for

WATCHDOG = 3    # seconds: a third of it is how often a sign of life comes


class Service:
    """pmrecorder --service for one server's capture file; what it tells is in `told`, with when it came."""

    def __init__(self, httpd, program=RECORDER, options=(), capture=None):
        self.httpd = httpd
        self.program = program
        self.capture = capture or httpd.capture
        self.options = tuple(options)
        folder = httpd.root / "service"
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("notify*")))
        self.control = folder / "control"
        self.log = folder / f"log{number}"
        self.notify = folder / f"notify{number}"
        self.process = None
        self.closing = threading.Event()
        self.told = []
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.notify))
        self.notify.chmod(0o777)
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def directive(self):
        return f"PMCaptureRecorder unix:{self.control}\n"

    def _listen(self):
        while True:
            try:
                text = self.manager.recv(4096).decode()
            except OSError:
                return
            if text == "end":
                return
            self.told.append((time.monotonic(), text))

    def command(self):
        command = [self.program, "--service", str(self.capture), "--control", str(self.control), *self.options]
        return command + (["--user", "www-data"] if os.getuid() == 0 else [])

    def start(self, wait=True, **options):
        self.let_read()
        environment = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": str(self.notify),
                       "WATCHDOG_USEC": str(WATCHDOG * 1_000_000)}
        before = len(self.told)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, **options)
        if wait:
            wait_for(lambda: self.said("READY=1", before), 20, "the service is ready")
        return self

    def let_read(self):
        """As `adm` may on Debian."""
        if os.getuid() == 0:
            import grp
            group = grp.getgrnam(group_of("www-data")).gr_gid
            for path in (self.capture.parent, self.capture):
                if path.exists():
                    os.chown(path, -1, group)

    def said(self, words, since=0):
        return [text for _, text in self.told[since:] if words in text]

    def status(self):
        found = self.said("STATUS=")
        return found[-1].partition("STATUS=")[2] if found else None

    def wait_status(self, words, seconds=10):
        return wait_for(lambda: words in (self.status() or "") and self.status(), seconds, f"STATUS={words}")

    def pids(self):
        """Supervising, and at work."""
        if self.process is None or self.process.poll() is not None:
            return []
        try:
            return [self.process.pid, *processes.children_of(self.process.pid)]
        except OSError:
            return []

    def at_work(self):
        return wait_for(lambda: self.pids()[1:], 10, "a process at work")[0]

    def kill(self):
        """Both at once, as the OOM killer would."""
        for pid in self.pids():
            processes.kill(pid)
        self.process.wait(10)

    def keep(self):
        """As a service manager does: whenever it has ended it is started again."""
        def restart():
            while not self.closing.wait(0.2):
                if self.process.poll() is not None:
                    self.start(wait=False)

        threading.Thread(target=restart, daemon=True).start()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        return self.process.returncode

    def output(self):
        return self.log.read_text(errors="replace")

    def close(self):
        self.closing.set()
        time.sleep(0.5)     # who keeps it has heard
        if self.process is not None and self.process.poll() is None:
            for pid in self.pids():
                processes.kill(pid, signal.SIGCONT)
            self.kill()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", str(self.notify))
        self.listener.join(5)
        self.manager.close()
