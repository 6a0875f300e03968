"""What died: children by signal, SIGKILL and want of memory, one and many; and what only looks like it."""
import os
import signal
import time
from http.client import HTTPException
from pathlib import Path

import pytest

from harness import document, processes
from harness.load import Load
from harness.modules import build_module
from harness.wait import MILLISECOND, Span, wait_for


def crashes(found):
    return document.events(found, "child.crash")


def counted(httpd, number, limit=25):
    """The document once so many crashes are told by events, and counted."""
    return document.wait_for_document(
        httpd, lambda found: sum(event["data"]["count"] for event in crashes(found)) >= number
        and found["server"]["child_crashes"] >= number, limit, f"{number} crashes are on record")


def started(httpd):
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    return httpd


@pytest.mark.parametrize("sig, name", [(signal.SIGSEGV, "Segmentation fault"),
                                       (signal.SIGABRT, "Aborted"), (signal.SIGBUS, "Bus error")])
def test_a_child_that_dies_of_a_signal_is_on_record_with_pid_and_signal(new_httpd, mpm, sig, name):
    if sig != signal.SIGSEGV and mpm != "event":
        pytest.skip("one MPM is enough")
    httpd = started(new_httpd(mpm=mpm))
    victim = httpd.worker()
    with Span() as death:
        processes.kill(victim, sig)
    final = counted(httpd, 1)
    document.validate(final)
    crash, = crashes(final)
    assert crash["data"]["pid"] == victim and crash["data"]["signal"] == sig
    assert crash["data"]["count"] == 1 and name in crash["text"]
    assert death.holds(document.seconds(crash["at"]), late=2.5)     # the MPM looks once a second
    assert crash["data"]["requests"] == 0 and "no request" in crash["text"]


def test_a_child_killed_without_a_word_is_on_record_without_signal(new_httpd, mpm):
    httpd = started(new_httpd(mpm=mpm))
    victim = httpd.worker()
    processes.kill(victim)
    crash, = crashes(counted(httpd, 1))
    assert crash["data"]["pid"] == victim and crash["data"]["signal"] is None
    assert "killed, no signal logged (out of memory?)" in crash["text"]
    assert not httpd.said("exit signal"), "httpd itself says nothing of it"


def test_the_requests_that_a_child_was_serving_are_counted(new_httpd, backend):
    httpd = new_httpd(mpm="prefork",
                      config=f"ProxyPass /api http://127.0.0.1:{backend.port}/").start()
    document.settled(httpd)
    with Load(httpd.port) as load:
        asked = time.time()
        load.stream("/api/hang", rate=10, count=1)
        found = document.wait_for_document(
            httpd, lambda found: found["in_flight"]["requests"] == 1
            and found["in_flight"]["oldest"] > 1, 10, "the request is under way")
        busy = [pid for pid in httpd.workers() if connected_to(pid, backend.port)]
        processes.kill(busy[0], signal.SIGSEGV)
        crash, = crashes(counted(httpd, 1))
    assert crash["data"]["requests"] == 1
    assert found["in_flight"]["oldest"] <= crash["data"]["oldest"] < document.seconds(crash["at"]) - asked + MILLISECOND
    assert "serving 1 request, the oldest for" in crash["text"]


def connected_to(pid, port):
    """Has the process a connection to a loopback port?"""
    wanted = f"0100007F:{port:04X}"
    links = set(processes.descriptors(pid).values())
    return any(f"socket:[{fields[9]}]" in links and fields[2] == wanted for fields in
               map(str.split, Path("/proc/net/tcp").read_text().splitlines()[1:]))


def test_a_hundred_crashes_are_a_few_events_with_a_count_and_none_is_lost(new_httpd):
    httpd = new_httpd(mpm="prefork")
    httpd.config = ("StartServers 50\nMinSpareServers 50\nMaxSpareServers 60\n"
                    "ServerLimit 50\nMaxRequestWorkers 50\n")
    started(httpd)
    total, begun = 0, time.monotonic()
    for sig in (signal.SIGSEGV, signal.SIGKILL):
        # One that is killed before it is ready has not counted anything yet: nothing is said of it.
        document.wait_for_document(httpd, lambda found: found["workers"]["idle"] == 50, 60, "fifty children are ready")
        workers = httpd.workers()
        for pid in workers:
            processes.kill(pid, sig)
        total += len(workers)
        counted(httpd, total, 30)
    final = document.settled(httpd)
    assert final["server"]["child_crashes"] == total
    events = crashes(final)
    assert sum(event["data"]["count"] for event in events) == total
    assert len(events) <= 2 + (time.monotonic() - begun) / 10
    gaps = [document.seconds(b["at"]) - document.seconds(a["at"])
            for a, b in zip(events, events[1:])]
    storm = max(events, key=lambda event: event["data"]["count"])
    assert storm["data"]["count"] > 10 and "children died within" in storm["text"], gaps
    metrics = httpd.get("/pm-status?format=prometheus").text
    assert f"pmcapture_child_crashes_total {total}" in metrics


HUNGRY = """
#include <string.h>
#include <sys/resource.h>
static int eat(request_rec *r)
{
    struct rlimit limit = {64 << 20, 64 << 20};
    if (strcmp(r->uri, "/limit") == 0) {
        setrlimit(RLIMIT_AS, &limit);
    }
    else if (strcmp(r->uri, "/eat") != 0) {
        return DECLINED;
    }
    for (int i = 0; i < 256; i++) {
        memset(apr_palloc(r->pool, 1 << 20), i, 1 << 20);
    }
    return OK;
}
"""


@pytest.fixture
def hungry(new_httpd):
    """A server whose children can be made to want 256 MiB, by /eat, or under a limit, by /limit."""
    httpd = new_httpd(mpm="prefork")
    httpd.config = build_module(httpd.root, "hungry", HUNGRY,
                                "ap_hook_handler(eat, NULL, NULL, APR_HOOK_FIRST);")
    return started(httpd)


def test_a_child_that_meets_its_memory_limit_is_on_record(hungry):
    hungry.signals = {signal.SIGABRT}
    workers = hungry.workers()
    with pytest.raises((OSError, HTTPException)):
        hungry.get("/limit")
    crash, = crashes(counted(hungry, 1))
    assert crash["data"]["pid"] in workers and crash["data"]["signal"] == signal.SIGABRT
    assert crash["data"]["requests"] == 1


@pytest.fixture
def memory_group():
    """A cgroup with 24 MiB of memory, or a skip."""
    root = Path("/sys/fs/cgroup")
    v1 = root.joinpath("memory/cgroup.procs").exists()
    group = root / ("memory" if v1 else "") / f"pmcapture-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if v1 else "memory.max")
    if os.getuid() != 0 or not root.joinpath("memory" if v1 else "", "cgroup.procs").exists():
        pytest.skip("no memory cgroup to be made here")
    group.mkdir()
    try:
        limit.write_text(str(24 << 20))
    except OSError:
        group.rmdir()
        pytest.skip("no memory cgroup to be made here")
    yield group
    wait_for(lambda: not group.joinpath("cgroup.procs").read_text(), 10, "the cgroup is empty")
    group.rmdir()


def test_a_child_that_the_kernel_kills_for_want_of_memory_is_on_record(memory_group, hungry):
    workers = hungry.workers()
    for pid in workers:
        memory_group.joinpath("cgroup.procs").write_text(str(pid))
    with pytest.raises((OSError, HTTPException)):
        hungry.get("/eat")
    crash, = crashes(counted(hungry, 1))
    assert crash["data"]["pid"] in workers and crash["data"]["signal"] is None
    assert "out of memory?" in crash["text"] and crash["data"]["requests"] == 1
    hungry.kill()


def test_a_signal_that_the_log_hides_is_said_to_be_hidden(new_httpd):
    httpd = new_httpd(mpm="prefork", config="LogLevel crit\n")
    httpd.write_config()
    text = httpd.conf.read_text().replace('ErrorLog "logs/error.log"', "ErrorLog syslog:local7")
    httpd.write_config = lambda: httpd.conf.write_text(text)
    started(httpd)
    processes.kill(httpd.worker(), signal.SIGSEGV)
    crash, = crashes(counted(httpd, 1))
    assert crash["data"]["signal"] is None
    assert "signal not visible with this ErrorLog and LogLevel" in crash["text"]


# ---- what only looks like it ----

def assert_no_crash(httpd):
    document.ticked(httpd, 3)   # more than a crash needs to be told
    final = document.settled(httpd)
    assert crashes(final) == [] and final["server"]["child_crashes"] == 0


def test_a_reload_with_old_children_still_at_work_is_no_crash(new_httpd, mpm, backend):
    httpd = new_httpd(mpm=mpm, config=f"ProxyPass /api http://127.0.0.1:{backend.port}/").start()
    with Load(httpd.port) as load:
        slow = load.stream("/api/hang", rate=10, count=4)
        load.stream("/", rate=40, count=200)
        wait_for(lambda: document.from_file(
            httpd.capture)["in_flight"]["requests"] >= 4, 10, "requests are under way")
        for sig in (signal.SIGUSR1, signal.SIGUSR1):
            httpd.reload(sig)
            time.sleep(0.5)     # a generation that has served for a moment
        backend.release()
        assert [one.status for one in slow.wait()] == [200] * 4
    httpd.reload(signal.SIGHUP)
    assert_no_crash(httpd)


def test_children_that_end_because_they_served_enough_are_no_crash(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config="MaxConnectionsPerChild 5\n").start()
    for _ in range(60):
        httpd.get("/")
    assert_no_crash(httpd)


def test_idle_children_that_are_too_many_are_no_crash(new_httpd):
    httpd = new_httpd(mpm="prefork", config="StartServers 30\nMaxSpareServers 6\n").start()
    wait_for(lambda: len(httpd.workers()) < 20, 30, "the MPM sends idle ones home")
    assert_no_crash(httpd)


def test_a_child_asked_to_end_is_no_crash(new_httpd, mpm):
    httpd = started(new_httpd(mpm=mpm))
    for pid in httpd.workers()[:2]:
        processes.kill(pid, signal.SIGTERM)
    assert_no_crash(httpd)


STUCK = """
#include <signal.h>
static int hang(request_rec *r)
{
    sigset_t all;
    if (r->uri[1] != 's') {
        return DECLINED;
    }
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        sleep(60);
    }
}
"""


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_a_stuck_child_that_a_stop_or_a_hard_reload_kills_is_no_crash(new_httpd, sig):
    httpd = new_httpd(mpm="prefork")
    httpd.config = build_module(httpd.root, "stuck", STUCK,
                                "ap_hook_handler(hang, NULL, NULL, APR_HOOK_FIRST);")
    started(httpd)
    with pytest.raises(TimeoutError):
        httpd.get("/stuck", timeout=1)
    document.wait_for_document(httpd, lambda found: found["in_flight"]["requests"] == 1, 20, "a child is stuck")
    httpd.send(sig)
    wait_for(lambda: httpd.said("AH00046"), 20, "httpd sends a SIGKILL")
    if sig == signal.SIGTERM:
        httpd.stop()
        final = document.from_file(httpd.capture)
        assert crashes(final) == [] and final["server"]["child_crashes"] == 0
        assert final["server"]["state"] == "stopped"
    else:
        wait_for(lambda: httpd.resumed() == 2, 20, "the reload")
        assert_no_crash(httpd)


def test_a_child_that_lags_behind_a_hard_reload_is_no_crash(new_httpd):
    httpd = started(new_httpd(mpm="prefork"))
    victim = httpd.worker()
    processes.kill(victim, signal.SIGSTOP)
    httpd.reload(signal.SIGHUP)
    processes.kill(victim, signal.SIGCONT)
    wait_for(lambda: not processes.alive(victim), 10, "it ends")
    assert_no_crash(httpd)


# ---- the parent ----

def test_orphans_of_a_killed_parent_are_told_and_a_start_beside_them_fails_on_record(new_httpd, mpm):
    httpd = started(new_httpd(mpm=mpm))
    parent = httpd.parent
    processes.kill(parent)
    httpd.pid_file.unlink()
    wait_for(lambda: not processes.alive(parent), 10, "the parent is dead")
    assert httpd.get("/").status == 200, "the orphans serve on"
    found = document.wait_for_document(httpd, lambda found: found["server"]["orphaned"], 5,
                                       "orphaned is said")
    assert found["server"]["pid"] == parent
    assert httpd.command().returncode != 0
    found = document.ticked(httpd, 2)   # they are still recorded
    failed, = document.events(found, "start.failed")
    assert "AH00072" in failed["data"]["message"]
    assert "Address already in use" in failed["data"]["message"]
    assert failed["data"]["server_running"] is False
    with Span() as death:
        httpd.kill()
    httpd.start()
    final = document.wait_closed(httpd)
    unclean, = document.events(final, "server.unclean")
    assert death.holds(document.seconds(unclean["data"]["last_alive"]), early=1, late=0.1)
    incident, = final["incidents"]
    assert incident["kinds"] == ["down"]
    assert death.holds(document.seconds(incident["onset"]), early=1, late=0.1)


# ---- no worker left ----

def test_no_idle_worker_for_three_seconds_is_an_event_and_its_end_another(new_httpd, backend):
    httpd = new_httpd(mpm="prefork", config="ServerLimit 4\nMaxRequestWorkers 4\nStartServers 4\n"
                      f"ProxyPass /api http://127.0.0.1:{backend.port}/").start()
    document.settled(httpd)
    with Load(httpd.port) as load:
        with Span() as began:
            load.stream("/api/hang", rate=50, count=4)
            document.wait_for_document(httpd, lambda found: found["in_flight"]["requests"] == 4, 10, "all are busy")
        document.wait_for_document(httpd, lambda found: document.events(found, "workers.exhausted"), 10, "it is told")
        with Span() as over:
            backend.release()
            load.streams[0].wait()
    final = document.wait_for_document(
        httpd, lambda found: len(document.events(found, "workers.exhausted")) == 2, 10, "it is over")
    first, last = document.events(final, "workers.exhausted")
    assert first["severity"] == "warning" and first["data"] == {"busy": 4, "limit": 4,
                                                                "until": None}
    assert began.holds(document.seconds(first["at"]), late=1)
    assert over.holds(document.seconds(last["data"]["until"]), late=1)
    assert last["data"]["since"] == first["at"]
