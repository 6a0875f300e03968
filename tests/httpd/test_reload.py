"""Graceful reloads under load lose nothing, break nothing and leave nothing behind."""
import os
import shutil
import signal
import subprocess
from math import sqrt

import pytest

from harness import document, processes
from harness.load import Load
from harness.paths import BUILD, PROJECT, RECORDER
from harness.wait import wait_for

RELOADS = 20
KEPT = 8        # connections that are kept alive


class UnderLoad:
    """A server that is asked on fresh and on kept-alive connections while things happen to it."""

    def __init__(self, httpd, load):
        self.httpd = httpd
        self.fresh = load.stream("/", rate=40, source=lambda n: f"127.0.1.{1 + n % 20}")
        self.kept = load.stream("/", rate=60, keepalive=KEPT, source=lambda n: f"127.0.2.{1 + n}")

    def answered(self):
        return sum(one.status is not None for one in self.fresh.sent + self.kept.sent)

    def go_on(self, requests):
        """Let the load go on until so many more requests were answered."""
        before = self.answered()
        wait_for(lambda: self.answered() >= before + requests, 20, "the load is served")

    def failures(self):
        """Requests on fresh connections that were not answered with 200."""
        return [one for one in self.fresh.sent + self.kept.sent
                if not one.reused and one.status != 200]

    def cuts(self):
        """Requests on kept-alive connections that were not answered."""
        return sum(one.reused and one.status is None for one in self.kept.sent)


def parent_state(httpd):
    """What the parent holds, when only the newest generation runs."""
    return {
        "descriptors": len(processes.descriptors(httpd.parent)),
        "mappings": len(processes.mappings(httpd.parent)),
        "memory KiB": processes.memory_kib(httpd.parent),
    }


def reload_and_settle(server):
    server.httpd.replace()
    return parent_state(server.httpd)


def test_twenty_graceful_reloads_under_load_lose_cut_and_leak_nothing(new_httpd, mpm):
    recorded = new_httpd(mpm=mpm).start()
    plain = new_httpd(mpm=mpm, module=None).start()
    with Load(recorded.port) as load, Load(plain.port) as plain_load:
        servers = UnderLoad(recorded, load), UnderLoad(plain, plain_load)
        for server in servers:
            server.go_on(20)
        recorders = len(recorded.recorders())
        first, plain_first = (reload_and_settle(server) for server in servers)
        for _ in range(RELOADS - 2):
            for server in servers:
                server.httpd.reload()
            for server in servers:
                server.go_on(15)
        last, plain_last = (reload_and_settle(server) for server in servers)
        for server in servers:
            server.go_on(20)
            server.fresh.stop()
            server.kept.stop()
    final = document.settled(recorded)
    assert document.status_totals(final) == recorded.access_log.totals()
    assert servers[0].failures() == []
    cuts, plain_cuts = servers[0].cuts(), servers[1].cuts()
    # A reload that meets them in one moment cuts all of them: what is drawn by chance is the reload.
    assert cuts <= plain_cuts + 3 * sqrt(KEPT * (cuts + plain_cuts)) + 3
    reloads = document.events(final, "config.reload")
    assert [event["data"]["kind"] for event in reloads] == ["graceful"] * RELOADS
    assert final["server"]["generation"] == reloads[-1]["data"]["generation"]
    assert len(recorded.recorders()) == recorders
    assert last["descriptors"] == first["descriptors"]
    for what, slack in (("mappings", 2), ("memory KiB", 48)):
        # httpd itself may grow a little: no more than the one beside it
        grown, plain_grown = last[what] - first[what], plain_last[what] - plain_first[what]
        assert grown <= max(plain_grown, 0) + slack, (what, first, last, plain_first, plain_last)
    recorded.stop()
    assert not recorded.said("AH00488")     # "long lost child came home"


def test_a_hard_reload_under_load_loses_no_count(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    with Load(httpd.port) as load:
        server = UnderLoad(httpd, load)
        for _ in range(3):
            server.go_on(30)
            httpd.reload(signal.SIGHUP)
        server.go_on(30)
        server.fresh.stop()
        server.kept.stop()
    final = document.settled(httpd)
    logged = httpd.access_log.totals()
    counted = document.status_totals(final)
    # a request may be counted and its worker killed before it is logged, never the other way
    assert all(counted[status] >= number for status, number in logged.items())
    assert sum(counted.values()) - sum(logged.values()) <= 3 * 96     # as there are workers
    kinds = [event["data"]["kind"] for event in document.events(final, "config.reload")]
    assert kinds == ["restart"] * 3


@pytest.fixture(scope="session")
def other_layout():
    """The module as a later version builds it, with another layout of the live region."""
    build = BUILD / "layout4"
    build.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["flock", build / "lock", "make", f"-j{os.cpu_count()}", "-C", PROJECT, f"BUILD={build}",
                           "EXTRA_CFLAGS=-DPM_LIVE_LAYOUT=6", "all"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return build


def test_a_reload_into_another_layout_of_the_live_region_loses_nothing(
        new_httpd, mpm, other_layout):
    httpd = new_httpd(mpm=mpm)
    httpd.module = httpd.root / "mod_pmcapture.so"
    (httpd.root / "libexec").mkdir()

    def install(build):
        for name in ("mod_pmcapture.so", RECORDER.relative_to(BUILD)):
            aside = httpd.root / "new"      # as a package does it: written aside, renamed
            shutil.copy(build / name, aside)
            aside.rename(httpd.root / name)

    install(BUILD)
    httpd.start()
    with Load(httpd.port) as load:
        server = UnderLoad(httpd, load)
        server.go_on(50)
        for build in (other_layout, BUILD, other_layout):
            install(build)
            httpd.reload()
            server.go_on(50)
        server.fresh.stop()
        server.kept.stop()
    assert server.failures() == []
    final = document.settled(httpd)
    assert document.status_totals(final) == httpd.access_log.totals()
    assert final["incidents"] == [], "it served on"
    assert document.events(final, "server.unclean") == []
