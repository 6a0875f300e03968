"""The recorder process: it may die, hang or crash; recording goes on and httpd does not notice."""
import os
import pwd
import re
import signal
import time
from pathlib import Path

import pytest

from harness import document, processes
from harness.load import Load
from harness.wait import Timeout, room, wait_for

TAKE_OVER = 3       # seconds until recording has gone on


def writer_of(httpd):
    return wait_for(httpd.writer, 10, "a recorder has the lease")


def assert_recording_goes_on(httpd, disturb):
    """Do `disturb` to the recorder under load; recording goes on and nothing else happens."""
    with Load(httpd.port) as load:
        streams = [load.stream("/", rate=40), load.stream("/nothing", rate=40, keepalive=4)]
        document.ticked(httpd, 2)
        workers = set(httpd.workers())
        parent = httpd.parent
        most = room(TAKE_OVER)
        disturb()
        begin = time.monotonic()
        # what the disturbed one had written is there now: later ticks are another's
        document.ticked(httpd, 1)
        took = time.monotonic() - begin
        most = max(most, room(TAKE_OVER))
        document.ticked(httpd, 2)
        sent = [one for stream in streams for one in stream.stop()]
    assert took <= most, f"recording went on after {took:.1f} s only"
    assert [one for one in sent if one.status is None] == []
    assert processes.alive(parent) and int(httpd.pid_file.read_text()) == parent
    assert workers <= set(httpd.workers()), "no worker was ended"
    final = document.settled(httpd)
    assert document.status_totals(final) == httpd.access_log.totals()
    rows = [row[0] for row in final["series"]["rows"]]
    assert rows == sorted(set(rows)), "no second stands twice, none runs backwards"


def test_a_recorder_lets_workers_finish_their_turn(new_httpd):
    httpd = new_httpd().start()
    document.ticked(httpd, 1)
    of_recorders = {os.sched_getscheduler(pid) for pid in httpd.recorders()}
    of_workers = {os.sched_getscheduler(pid) for pid in httpd.workers()}
    assert (of_recorders, of_workers) == ({os.SCHED_BATCH}, {os.SCHED_OTHER})


def test_recorders_run_as_the_servers_user_without_listening(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    assert writer_of(httpd) in httpd.recorders()
    supervising, = [pid for pid in httpd.recorders() if processes.parent_of(pid) == httpd.parent]
    assert processes.parent_of(writer_of(httpd)) == supervising
    listening = httpd.listening_inodes()
    for pid in httpd.recorders():
        if os.getuid() == 0:
            status = Path(f"/proc/{pid}/status").read_text()
            uids = re.search(r"^Uid:(.*)$", status, re.M).group(1).split()
            assert {int(uid) for uid in uids} == {pwd.getpwnam("www-data").pw_uid}
            assert re.search(r"^CapEff:\s+0+$", status, re.M)
            # a process that is not dumpable has its /proc files owned by root
            assert os.stat(f"/proc/{pid}/environ").st_uid == 0
            held = processes.descriptors(pid).values()
            assert str(httpd.capture) in held
            assert not listening & set(held)


def test_workers_hold_nothing_with_which_history_could_be_written(new_httpd, mpm):
    """A child that is new, and does not serve yet, has what its parent has."""
    httpd = new_httpd(mpm=mpm).start()
    httpd.get("/")

    def held():
        return [(pid, name) for pid in httpd.workers() for fd, name in processes.descriptors(pid).items()
                if name.endswith(".live") or name == str(httpd.capture) and processes.writable(pid, fd)]

    try:
        wait_for(lambda: not held(), 10, "each worker has let go")
    except Timeout:
        assert held() == []


@pytest.mark.parametrize("mpm,how", [
    ("event", signal.SIGKILL), ("worker", signal.SIGKILL), ("prefork", signal.SIGKILL),
    ("event", signal.SIGABRT), ("worker", signal.SIGTERM), ("prefork", signal.SIGSEGV),
], ids=str)
def test_a_recorder_that_dies_is_replaced_within_three_seconds(new_httpd, mpm, how):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    recorders = httpd.recorders()
    writer = writer_of(httpd)
    assert_recording_goes_on(httpd, lambda: processes.kill(writer, how))
    assert writer_of(httpd) != writer
    wait_for(lambda: len(httpd.recorders()) == len(recorders), 15, "the dead one is replaced")


def test_a_recorder_that_is_stopped_is_taken_over_within_three_seconds(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    writer = writer_of(httpd)
    assert_recording_goes_on(httpd, lambda: processes.kill(writer, signal.SIGSTOP))
    # if it lives, it wakes up to find that another one has the lease
    if processes.alive(writer):
        processes.kill(writer, signal.SIGCONT)
    document.ticked(httpd, 2)
    for _ in range(5):
        assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_recorders_that_all_die_at_once_are_replaced_and_no_count_is_lost(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    for pid in httpd.recorders():
        processes.kill(pid)
    for _ in range(5):
        assert httpd.get("/").status == 200
    wait_for(httpd.writer, 15, "another one has the lease")
    document.ticked(httpd, 2)
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_a_recorder_that_dies_again_and_again_leaks_nothing_into_the_parent(new_httpd):
    httpd = new_httpd().start()
    states = []
    for _ in range(5):
        writer = writer_of(httpd)
        processes.kill(writer)
        wait_for(lambda: httpd.writer() not in (None, writer), 15, "another one has the lease")
        wait_for(lambda: len(httpd.recorders()) == 2, 15, "the dead one is replaced")
        states.append((len(processes.descriptors(httpd.parent)),
                       len(processes.mappings(httpd.parent))))
    assert states[-1] == states[0]
    assert not httpd.said("AH00488")


@pytest.mark.parametrize("state", ["running", "SIGSTOPped"])
def test_after_a_stop_the_recorder_is_gone_and_the_port_is_free(new_httpd, mpm, state):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    httpd.get("/")
    if state == "SIGSTOPped":
        processes.kill(writer_of(httpd), signal.SIGSTOP)
    parent = httpd.parent
    httpd.send(signal.SIGTERM)
    wait_for(lambda: not processes.alive(parent), 15, "the parent ends")
    assert httpd.port_is_free(), "at once: a restart binds it"
    wait_for(lambda: httpd.processes() == [], 5, "the recorder ends with its server")
    httpd.parent = None
    final = document.from_file(httpd.capture)
    assert final["server"]["state"] == "stopped"
    assert document.status_totals(final) == httpd.access_log.totals()
    httpd.start()
    assert httpd.get("/").status == 200


def test_a_graceful_stop_ends_the_recorder_too(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    httpd.get("/")
    httpd.stop(signal.SIGWINCH)
    final = document.from_file(httpd.capture)
    assert final["server"]["state"] == "stopped"
    assert document.status_totals(final) == httpd.access_log.totals()


def test_recorders_that_die_as_soon_as_they_are_replaced_come_back(new_httpd, mpm):
    """All children are killed for a while, as by the OOM killer: the parent has no second's rest in between."""
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    until = time.monotonic() + 4
    while time.monotonic() < until:
        for pid in httpd.children():
            processes.kill(pid)
    wait_for(lambda: len(httpd.recorders()) == 2, 40, "both are replaced")
    document.ticked(httpd, 2)


def test_reloads_while_the_recorder_hangs_keep_the_capture_file(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    document.ticked(httpd, 2)
    processes.kill(writer_of(httpd), signal.SIGSTOP)    # until another one takes its place
    httpd.reload()
    httpd.reload()
    document.ticked(httpd, 2)
    assert not httpd.said("in use by another running httpd")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
