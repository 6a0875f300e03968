"""Everything goes wrong under load, at random, and in the end every request is accounted for.

    torture.py [--seconds N] [--seed N] [--mpm event|worker|prefork] [--service] [--keep]

Prints the seed, what it does, and what it finds; non-zero when a promise was broken.
"""
import argparse
import ctypes
import http.client
import itertools
import os
import random
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "httpd"), str(Path(__file__).parent)]

from nemesis import Nemesis  # noqa: E402
from truth import Broken, Truth  # noqa: E402

from harness import document  # noqa: E402
from harness.companion import pmcapture  # noqa: E402
from harness.disk import Disk  # noqa: E402
from harness.httpd import Httpd  # noqa: E402
from harness.load import Load  # noqa: E402
from harness.service import Service  # noqa: E402

FORMATS = ("", "?auto", "?format=json", "?format=prometheus", "?format=csv", "?format=json&since=-1m",
           "?format=json&view=summary", "?format=json&view=events", "?format=json&incident=1", "?refresh=5",
           "?incident=1", "?since=nonsense")
ACCEPTED = ("*/*", "application/openmetrics-text; version=1.0.0")
COMMANDS = (("status",), ("list",), ("events",), ("show", "-1"), ("check",), ("report", "-1"),
            ("export", "--format", "jsonl"))
RETENTION = "PMCaptureRetention seconds=10m minutes=2h incidents=128 events=2048"
FAKETIME = "/usr/lib/{}/faketime/libfaketimeMT.so.1"
AUDIT_ACTS = 5
CLONE_NEWNS, CLONE_NEWIPC = 0x00020000, 0x08000000
GRACE = 2       # seconds in which what was cut off by violence may still come to light


def go_alone():
    """Into a name space of our own for System V's things and for mounts, with a /dev/shm of its own: what is in them
    is ours, and mounts go with us. False when that cannot be."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() != 0 or libc.unshare(CLONE_NEWNS | CLONE_NEWIPC) != 0:
        return False
    for command in (("mount", "--make-rprivate", "/"), ("mount", "-t", "tmpfs", "none", "/dev/shm")):
        subprocess.run(command, check=True)
    return True


class Readers:
    """Everybody who looks, all the while: the page in all formats, pmdump, the companion."""

    def __init__(self, httpd, choose):
        self.httpd, self.choose = httpd, choose
        self.stopping = threading.Event()
        self.asking = threading.Lock()      # taken by who wants no requests for a while
        self.troubles = []
        self.reads = 0
        self.threads = [threading.Thread(target=self._loop, args=(look,), daemon=True)
                        for look in (self._page, self._tool)]
        for thread in self.threads:
            thread.start()

    def _loop(self, look):
        while not self.stopping.is_set():
            try:
                look()
                self.reads += 1
            except (OSError, http.client.HTTPException):    # the server is down just now
                time.sleep(0.05)
            except Exception:
                self.troubles.append(traceback.format_exc())
                return
            time.sleep(0.05)

    def _page(self):
        query = self.choose(FORMATS)
        with self.asking:
            reply = self.httpd.get("/pm-status" + query, timeout=20, headers={"Accept": self.choose(ACCEPTED)})
        assert reply.status in (200, 400, 404, 503), (query, reply.status, reply.text)
        if reply.status == 200 and "json" in query:
            document.parse(reply.body)

    def _tool(self):
        for file in (self.httpd.capture, *self.httpd.runtime.glob("*.live")):
            done = document.pmdump(file)
            assert done.returncode in (0, 3), (file, done.returncode, done.stderr)
            if done.returncode == 0:
                document.parse(done.stdout)
        done = pmcapture("-f", self.httpd.capture, *self.choose(COMMANDS))
        assert 0 <= done.returncode <= 3, (done.returncode, done.stderr)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        return self.troubles


class Torture:
    def __init__(self, seconds, seed, mpm, service=False):
        self.began = time.monotonic()
        self.until = self.began + seconds
        self.random = random.Random(seed)
        self.httpd = Httpd(mpm=mpm, capture="disk/pmcapture.pmc", config='Redirect 503 "/fail"\n',
                           pm=f"PMCaptureBurst errors=10 ratio=5% window=3 clear=2\nPMCaptureSlow Off\n{RETENTION}\n")
        alone = go_alone()
        self.service = Service(self.httpd) if service else None
        if service:     # the recorder is no process of httpd's
            self.httpd.pm += self.service.directive()
            self.httpd.recorders = self.service.pids
        if not alone:
            self.say("no name spaces of our own: semaphores and shared memory are not checked, others' are among them")
        self.disk = Disk(self.httpd.root / "disk", self.say)
        self.truth = Truth(self.httpd, self.say, alone)
        self.nemesis = Nemesis(self.httpd, self.truth, seed, self._clock(), self.disk)
        self.asked = 0

    def say(self, sentence):
        print(f"{time.monotonic() - self.began:6.1f} s  {sentence}", flush=True)

    def _clock(self):
        """Every other server runs by a clock that can be stepped; with a service there would be two of them."""
        if self.service:
            return None
        machine = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True).stdout.strip()
        library = Path(FAKETIME.format(machine))
        if not library.exists():
            self.say(f"no {library.name}: the clock is never stepped")
        if self.random.randrange(2) != 0 or not library.exists():
            return None
        clock = self.httpd.root / "clock"
        clock.write_text("+0\n")
        clock.chmod(0o644)
        self.httpd.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock),
                                  "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                                  "FAKETIME_DONT_RESET": "1",
                                  # or each stat takes a lock that somebody who is killed may leave locked
                                  "NO_FAKE_STAT": "1"}
        return clock

    def _under_load(self, acts):
        """Whoever is not cut off by violence is answered."""
        excused = []
        with Load(self.httpd.port) as load:
            streams = [load.stream("/", rate=60, keepalive=8, timeout=30), load.stream("/", rate=30, timeout=30),
                       load.stream("/nothing", rate=10, timeout=30)]
            for act in acts:
                begin, kills = time.time(), self.truth.kills
                act()
                if self.truth.kills != kills:
                    excused.append((begin, time.time() + GRACE))
                time.sleep(self.random.uniform(0.2, 1.2))
            sent = [stream.stop() for stream in streams]
        self.asked += sum(map(len, sent))
        self.truth.expect_served(sent[1] + sent[2], excused)

    def _acts(self):
        for _ in range(AUDIT_ACTS):
            if time.monotonic() > self.until:
                return
            act = self.nemesis.act()
            self.say(act.__name__)
            yield act

    def round(self):
        """Some acts under load, then quiet, then an audit."""
        self._under_load(self._acts())
        with self.readers.asking:
            return self.truth.audit()

    def destroy(self):
        begin = self.nemesis.now()
        self._under_load([self.nemesis.destroy])
        self.say(f"history was attacked: {self.nemesis.destroyed[-1]}")
        with self.readers.asking:
            self.truth.wait_recording()
            self.truth.begin_anew()
        # what was on record may be gone; the page may have been a 503 meanwhile
        self.nemesis.diary[:] = [(since, until, "before") for since, until, _ in self.nemesis.diary]
        self.nemesis.diary.append((begin, self.nemesis.now(), "destroyed"))

    def run(self):
        if self.service:
            self.service.start().keep()
        self.httpd.start()
        self.truth.wait_recording()
        self.readers = readers = Readers(self.httpd, self.random.choice)
        try:
            for number in itertools.count(1):
                final = self.round()
                self.truth.expect_incidents_like(self.nemesis.diary, final, self.nemesis.now())
                if readers.troubles or (self.nemesis.destroyed and time.monotonic() > self.until):
                    break
                if number % 2 == 1:
                    self.destroy()
        finally:
            troubles = readers.stop()
        if troubles:
            raise Broken("a reader met trouble:\n" + troubles[0])
        self.httpd.stop()
        self.truth.expect_nothing_left()
        self.truth.expect_whole("overwrite_capture" in self.nemesis.destroyed)
        self.say(f"{self.asked} requests, {self.truth.audits} audits, {readers.reads} reads: all accounted for; "
                 f"{self.truth.slack} counted and not logged when their worker was killed, "
                 f"{self.truth.lost} not kept, with no disk to be had (the laws allow both)")

    def close(self, keep):
        if self.service:
            self.service.close()
        if keep:
            print(f"left as it is: {self.httpd.root} (processes marked {self.httpd.marker}; its disk is seen from "
                  f"within: nsenter -m -t {self.httpd.parent})")
            return
        from harness import processes
        processes.kill_marked(self.httpd.marker, first=self.httpd.parent)
        self.disk.close()
        self.httpd.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mpm", choices=("event", "worker", "prefork"))
    parser.add_argument("--service", action="store_true", help="the recorder is a service of its own")
    parser.add_argument("--keep", action="store_true", help="leave the server's folder when a promise was broken")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 30)
    mpm = options.mpm or random.Random(seed + 1).choice(("event", "worker", "prefork"))
    shape = ", a service" if options.service else ""
    print(f"torture: {options.seconds:.0f} s, mpm {mpm}{shape}; again with: TORTURE_SEED={seed}", flush=True)
    torture = Torture(options.seconds, seed, mpm, options.service)
    broken = True
    try:
        torture.run()
        broken = False
    except Exception:
        traceback.print_exc()
        print("".join(torture.httpd.errors().splitlines(True)[-25:]), file=sys.stderr)
    finally:
        torture.close(options.keep and broken)
    print(f"torture: {'BROKEN' if broken else 'every promise was kept'}; TORTURE_SEED={seed}")
    return broken


if __name__ == "__main__":
    sys.exit(main())
