"""How a run ended: by what, from when on nobody was served, and what is left of it now."""
import os
import signal
import subprocess
import time

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.load import Load
from harness.ports import free_port
from harness.wait import Span, wait_for

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has an IPC namespace of its own")


def served(httpd, seconds=2):
    with Load(httpd.port) as load:
        load.stream("/", rate=20, count=20 * seconds).wait()
    return document.settled(httpd)


def wait_gone(httpd):
    wait_for(lambda: not httpd.servers(), 20, "every process ends")
    httpd.pid_file.unlink(missing_ok=True)


def only_down(httpd):
    incident, = document.wait_closed(httpd)["incidents"]
    assert incident["kinds"] == ["down"]
    return incident


# ---- httpd ends itself ----

def aged(httpd, seconds=10.5):
    """A worker that cannot go on in the first ten seconds is a start that failed."""
    wait_for(lambda: time.time() > begun(httpd) + seconds, seconds + 5, "the server is no longer young")


def begun(httpd):
    return document.seconds(document.from_file(httpd.capture)["server"]["started"])


@pytest.fixture
def without_mutex(new_httpd):
    """A server whose accept mutex was removed by somebody else, and which ended of it."""
    httpd = new_httpd(mpm="prefork")
    httpd.prefix = ("unshare", "--ipc")
    httpd.exit_statuses.add(1)
    other = free_port()
    httpd.config = f"Mutex sysvsem default\nListen 127.0.0.2:{other}"
    httpd.start()
    served(httpd)
    aged(httpd)
    subprocess.run(["nsenter", "--ipc", "-t", str(httpd.parent), "ipcrm", "--all=sem"], check=True)
    try:    # the next one to be accepted finds it gone
        httpd.get("/")
    except OSError:
        pass
    wait_gone(httpd)
    return httpd


@needs_root
def test_a_removed_accept_mutex_is_told_as_the_worker_said_it_and_blames_no_reload(without_mutex):
    httpd = without_mutex
    dead = document.from_file(httpd.capture)
    failed, = document.events(dead, "config.failed")
    assert failed["text"].startswith("httpd ended itself: (43)Identifier removed: AH00144: ")
    assert "AH00050" in failed["text"]
    assert failed["data"]["reload"] is False and failed["data"]["configuration"] is False
    assert dead["server"]["state"] == "down" and not dead["server"]["orphaned"]
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "serve on" not in screen and "AH00144" in screen
    httpd.prefix = ()
    httpd.start()
    incident = only_down(httpd)
    assert incident["onset"] == failed["at"]
    first = incident["causes"][0]
    assert first["kind"] == "config.failed" and "AH00144" in first["summary"]
    final = document.from_file(httpd.capture)
    unclean, = document.events(final, "server.unclean")
    assert "reload" not in unclean["text"] and "ended itself" in unclean["text"]
    assert not [words for words in told(incident) if "reload" in words]
    assert final["server"]["config_failures"] == 0
    document.validate(final)


def told(incident):
    return ([cause["summary"] for cause in incident["causes"]]
            + [moment["text"] for moment in incident["timeline"]])


# ---- an error number keeps its words ----

def test_a_line_of_the_error_log_keeps_the_words_of_its_error_number(new_httpd):
    httpd = new_httpd(config="ProxyPass /gone http://127.0.0.1:1/\n").start()
    with Load(httpd.port) as load:
        load.stream("/gone", rate=20, count=40).wait()
        load.stream("/", rate=10, count=40).wait()
    incident, = document.wait_closed(httpd)["incidents"]
    lines = [line["sample"] for line in incident["breakdown"]["error_log"]]
    assert any(line.startswith("(111)Connection refused: AH00957: ") for line in lines), lines


# ---- from when on ----

def test_an_outage_by_a_failed_reload_begins_when_the_server_ended(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    served(httpd)
    good = httpd.conf.read_text()
    httpd.conf.write_text(good + "Nonsense\n")
    httpd.exit_statuses.add(1)
    # long before the tick that would notice it
    wait_for(lambda: time.time() % 1 < 0.2, 5, "a second begins", 0.01)
    httpd.send(signal.SIGUSR1)
    wait_gone(httpd)
    failed, = document.events(document.from_file(httpd.capture), "config.failed")
    httpd.conf.write_text(good)
    httpd.start()
    assert only_down(httpd)["onset"] == failed["at"]


def test_an_outage_begins_when_the_last_process_was_killed(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    served(httpd)
    workers = httpd.workers()
    wait_for(lambda: time.time() % 1 < 0.1, 5, "a second begins", 0.01)
    with Span() as killed:
        for pid in (httpd.parent, *workers):
            processes.kill(pid)
    wait_gone(httpd)
    found = document.from_file(httpd.capture)
    assert found["server"]["state"] == "down" and not found["server"]["orphaned"]
    assert "serve on" not in pmcapture("status", "-f", httpd.capture).stdout.decode()
    httpd.start()
    onset = document.seconds(only_down(httpd)["onset"])
    assert killed.holds(onset, late=0.1)        # it looks twenty times a second


# ---- what is left ----

def test_orphans_are_told_while_they_serve_and_no_longer(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    served(httpd)
    processes.kill(httpd.parent)
    wait_for(lambda: not processes.alive(httpd.parent), 10, "the parent is dead")
    document.wait_for_document(httpd, lambda d: d["server"]["orphaned"], 5, "orphaned is said")
    assert httpd.get("/").status == 200
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "serve on" in screen and "obody has been served" not in screen
    for pid in httpd.processes():
        processes.kill(pid)
    wait_gone(httpd)
    found = document.from_file(httpd.capture)
    assert found["server"]["orphaned"] is False and found["server"]["state"] == "down"
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "serve on" not in screen and "obody has been served" in screen
