"""What is true, and does the recorder say the same? Audits between the nemesis's acts, while nobody asks."""
import os
import time
from collections import Counter
from pathlib import Path

from harness import document, processes
from harness.wait import Timeout, wait_for

# What is counted while no capture file can be had is in memory alone, and said not to be kept.
RATE = 130      # requests a second, at most, of one status
OLD_REGIONS = 6     # PM_OLD_REGIONS: so many dead runs are drained at one time
# Of requests that a kill has caught between being counted and being logged: at most one a worker.
CAUGHT = 24


class Broken(AssertionError):
    """A promise was not kept."""


def expect(fact, sentence):
    if not fact:
        raise Broken(sentence)


class Resources:
    """What a process has that must not grow."""

    def __init__(self, pid):
        self.pid = pid
        self.descriptors = len(processes.descriptors(pid))
        self.mappings = len(processes.mappings(pid))
        self.kib = processes.memory_kib(pid)

    def expect_no_more_than(self, before, reloads):
        for name, more in (("descriptors", 4), ("mappings", 24), ("kib", 6000 + 60 * reloads)):
            had, has = getattr(before, name), getattr(self, name)
            expect(has <= had + more, f"the parent's {name} went from {had} to {has} in {reloads} reloads")


class SharedThings:
    """Semaphores and shared memory that outlive who made them: System V's, and the files of POSIX'."""

    def __init__(self):
        self.found = {"semaphores": len(Path("/proc/sysvipc/sem").read_text().splitlines()) - 1,
                      "shared memory segments": len(Path("/proc/sysvipc/shm").read_text().splitlines()) - 1,
                      "files in /dev/shm": len(os.listdir("/dev/shm"))}

    def expect_no_more_than(self, before):
        for name, has in self.found.items():
            expect(has <= before.found[name], f"{name} went from {before.found[name]} to {has}")


class Truth:
    def __init__(self, httpd, say, alone):
        self.httpd = httpd
        self.say = say
        # A machine shared with others has theirs among them.
        self.shared = SharedThings() if alone else None
        self.logged = Counter()     # of the access log, and
        self.counted = Counter()    # of the recorder, at the last audit
        self.kills = 0              # since the last audit
        self.losable = 0
        self.lost = 0
        self.owed = Counter()       # of what was lost; a later start may find it in a live region and count it
        self.reloads = 0            # of this parent
        self.resources = None
        self.signals = 0            # deaths by SIGSEGV that the nemesis wanted
        self.parents = 0            # of them, parents
        self.audits = 0
        self.slack = 0

    def not_kept(self, seconds):
        """A reload found no disk to write to; the next one does."""
        self.losable += int((seconds + 2) * RATE)
        expect(self.httpd.said("No history is kept on disk"), "it was not said that nothing is kept")

    def started(self):
        """There is a new parent."""
        self.resources, self.reloads = None, 0

    def settled(self):
        """The document when all that was asked is in it."""
        try:
            return document.settled(self.httpd, limit=25)
        except Timeout:
            # what a killed worker had in flight is given up a little later; a file that was replaced needs a reload
            return document.from_file(self.httpd.capture)

    def begin_anew(self):
        """History was destroyed: from here on counts."""
        final = self.settled()
        self.logged, self.counted = self.httpd.access_log.totals(), document.status_totals(final)
        self.kills = self.losable = 0

    def audit(self):
        final = self.settled()
        document.validate(final)
        logged, counted = self.httpd.access_log.totals(), document.status_totals(final)
        new_logged, new_counted = logged - self.logged, counted - self.counted
        for status in set(new_logged) | set(new_counted):
            extra = new_counted[status] - new_logged[status]
            late = max(0, min(extra, self.owed[status]))
            extra -= late
            self.owed[status] += max(-extra, 0) - late
            self.lost -= late
            expect(-self.losable <= extra <= CAUGHT * self.kills,
                   f"status {status}: {new_logged[status]} logged, {new_counted[status]} counted, "
                   f"with {self.kills} kills since the last audit")
            self.slack += max(extra, 0)
            self.lost += max(-extra, 0)
        self.say(f"audit: {sum(new_logged.values())} requests logged, {sum(new_counted.values())} counted, "
                 f"{self.kills} kills")
        self.logged, self.counted, self.kills, self.losable = logged, counted, 0, 0
        self.audits += 1
        self.expect_no_leak()
        self.expect_no_crash_of_ours()
        return final

    def expect_no_leak(self):
        if self.shared:
            SharedThings().expect_no_more_than(self.shared)
        now = Resources(self.httpd.parent)
        if self.resources is None or self.resources.pid != self.httpd.parent:
            if self.reloads > 0:
                self.resources = now
            return
        now.expect_no_more_than(self.resources, self.reloads)
        expect(len(self.httpd.recorders()) <= 4, f"recorders pile up: {self.httpd.recorders()}")

    def expect_no_crash_of_ours(self):
        seen = [line for line in self.httpd.said("exit signal") if "signal Killed" not in line]
        expect(len(seen) <= self.signals,
               f"{len(seen)} crashes in the error log, the nemesis caused {self.signals}:\n" + "\n".join(seen[-3:]))
        seen = self.httpd.said("seg fault or similar nasty error")
        expect(len(seen) <= self.parents, f"{len(seen)} crashes of the parent, the nemesis caused {self.parents}")
        cores = [line for line in self.httpd.errors().splitlines() if "pmcapture" in line and "assert" in line]
        expect(not cores, cores)

    def expect_incidents_like(self, diary, final, now):
        """Each outage of the diary is an incident, and no incident came of nothing. All times are the server's clock's;
        a step of it ends what is open."""
        incidents = [(document.seconds(i["onset"]), document.seconds(i["end"]) or now, set(i["kinds"]))
                     for i in final["incidents"]]
        for onset, until, kinds in incidents:
            expect(onset <= until, f"an incident {kinds} of {time.ctime(onset)} ended before, {time.ctime(until)}")
        for begin, end, what in diary:
            if what == "outage":
                expect(any(onset <= end and until >= begin and "errors" in kinds
                           for onset, until, kinds in incidents),
                       f"the outage of {time.ctime(begin)} is no incident: {incidents}")
        for onset, until, kinds in incidents:
            if kinds & {"errors", "down"}:
                expect(any(onset <= end + 6 and until >= begin - 6 for begin, end, _ in diary),
                       f"an incident {kinds} at {time.ctime(onset)} that nobody caused; diary: "
                       + str([(time.ctime(b), round(e - b), w) for b, e, w in diary[-8:]]))

    def expect_served(self, fresh, excused):
        """Each request on a connection of its own was answered, but for those that an act of violence cut off."""
        for one in fresh:
            if one.status is None:
                expect(any(one.start <= end and one.end >= begin for begin, end in excused),
                       f"a request of {time.ctime(one.start)} was not answered ({one.error}), and nothing was done "
                       f"that explains it: {[(time.ctime(b), round(e - b, 1)) for b, e in excused[-4:]]}")

    def expect_whole(self, overwritten):
        """After an orderly stop, the capture file."""
        final = document.from_file(self.httpd.capture)
        document.validate(final)
        expect(final["server"]["state"] == "stopped", f"it is {final['server']['state']} after a stop")
        notices = [line for line in final["capture"]["notices"] if "damaged" in line or "shorter" in line]
        expect(overwritten or not notices, f"the capture file is not whole: {notices}")

    def expect_nothing_left(self):
        """After an orderly stop."""
        expect(not self.httpd.processes(), "processes are left")
        if self.shared:
            SharedThings().expect_no_more_than(self.shared)
        # regions of runs that were killed wait for the next one to drain them; those of a capture file that was
        # destroyed have nobody who would
        capture = document.from_file(self.httpd.capture)["capture"]["id"]
        left = [path.name for path in Path(self.httpd.root / "run").glob(f"pmcapture-{capture}-*")]
        expect(len(left) <= OLD_REGIONS, f"files are left in the runtime directory: {left}")

    def wait_recording(self):
        def tick():
            try:
                return document.from_file(self.httpd.capture)["tick"]
            except (AssertionError, OSError):
                return -1
        first = tick()
        try:
            wait_for(lambda: tick() > max(first, 0), 30, "the recorder ticks")
        except Timeout:
            doing = {pid: Path(f"/proc/{pid}/wchan").read_text() for pid in self.httpd.recorders()}
            raise Broken(f"no tick: {first}, then {tick()}; writer {self.httpd.writer()} of {doing}; "
                         + "\n".join(self.httpd.said("pmcapture:")[-5:])) from None
