"""Waiting for a fact, with a bound, instead of sleeping; and when something happened, as a test knows it.

A bound in seconds is meant for a machine that has a processor for everybody. Where many want one, all takes longer, and
any process may be held up at any moment. So a test asserts an order wherever there is one, and waits long for what does
not come: that costs nothing where it comes.
"""
import os
import time

HELD = 2.0      # seconds for which a busy machine may hold up a process
MILLISECOND = 0.002     # the document has no less, cut or rounded
COARSE = 0.02           # a file system's clock may be so far behind
PATIENCE = 30   # seconds that are waited for anything at least, before it is taken to be missing


class Timeout(AssertionError):
    pass


def crowd():
    """How many threads want each processor: so many times as long takes what is promised of an idle machine."""
    fields = open("/proc/loadavg").read().split()
    wanting = max(float(fields[0]), float(fields[3].partition("/")[0]))
    return max(1.0, wanting / (os.cpu_count() or 1))


def room(seconds):
    """How long may take here and now what is promised to take so long on an idle machine."""
    return seconds * crowd() + HELD


def wait_for(fact, seconds, what, interval=0.02):
    """Poll `fact` until it is true and return what it gave; fail after `seconds`, saying `what`. The longer it has
    taken, the longer the pause: at most a twentieth of the wait is lost, and looking costs the others little."""
    begin = time.monotonic()
    seconds = max(seconds, PATIENCE)
    while True:
        found = fact()
        if found:
            return found
        took = time.monotonic() - begin
        if took >= seconds and took >= seconds * crowd():
            raise Timeout(f"not within {took:.0f} s: {what}")
        time.sleep(max(interval, min(took / 20, 0.2)))


class Span:
    """A with-block: what it does happens after its begin and before its end, however long it takes."""

    def __enter__(self):
        self.begin = self.end = time.time()
        return self

    def __exit__(self, *problem):
        self.end = time.time()

    def __repr__(self):
        return f"{self.begin:.3f}..{self.end:.3f}"

    def holds(self, at, early=0.0, late=0.0):
        """Did it happen at `at`? It may be told so many seconds too early, or too late, on a machine with a processor
        to spare."""
        early, late = (room(off) if off else 0 for off in (early, late))
        return self.begin - early - COARSE <= at <= self.end + late + MILLISECOND

    def until(self, later):
        """The shortest and the longest time from what happened here to what happened in a later one."""
        return later.begin - self.end, later.end - self.begin
