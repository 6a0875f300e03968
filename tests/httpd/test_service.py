"""The recorder as a service of its own: it is there before httpd and after it, and httpd starts none."""
import json
import os
import signal
import time

import pytest

from harness import document, processes
from harness.document import events, seconds
from harness.load import Load
from harness.ports import free_port
from harness.service import WATCHDOG, Service
from harness.wait import wait_for
from test_pages import ask


@pytest.fixture
def served(new_httpd):
    """A server, and the service that records it; neither is started yet."""
    services = []

    def make(mpm="event", capture=None, **options):
        httpd = new_httpd(mpm=mpm, **options)
        httpd.pages_port = free_port()
        service = Service(httpd, capture=capture)
        services.append(service)
        httpd.service = service
        httpd.pm += service.directive() + f"PMCaptureListen {httpd.pages_port}\n"
        return httpd

    yield make
    for service in services:
        service.close()


def page(httpd, query=""):
    response, body = ask(httpd.pages_port, "/?format=json" + query)
    return json.loads(body) if response.status == 200 else {"error": body}


def page_state(httpd, state, limit=10):
    return wait_for(lambda: (found := page(httpd)).get("server", {}).get("state") == state and found, limit,
                    f"the page says {state}")


def assert_exact(httpd):
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_a_service_records_what_httpd_serves_and_httpd_starts_none(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    assert "No httpd yet" in httpd.service.status()
    httpd.start()
    httpd.service.wait_status(f"Records httpd, pid {httpd.parent}")
    with Load(httpd.port) as load:
        streams = [load.stream("/", rate=40), load.stream("/nothing", rate=20, keepalive=4)]
        document.ticked(httpd, 1)
        for sig in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
            httpd.reload(sig)
        document.ticked(httpd, 1)
        for stream in streams:
            stream.stop()
    assert_exact(httpd)
    assert httpd.recorders() == []
    assert set(processes.lock_holders(httpd.capture)) == {httpd.service.at_work()}
    assert document.from_handler(httpd)["server"]["state"] == "running"
    assert httpd.said("pmcapture:crit") == [] and httpd.service.output() == ""


def test_after_a_stop_the_service_answers_and_takes_the_next_start(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    httpd.get("/")
    document.settled(httpd)     # told to end, prefork's child ends between an answer and its log line too
    httpd.stop()
    found = page_state(httpd, "stopped", 3)
    assert found["incidents"] == [] and found["totals"]["requests"] == 1
    httpd.service.wait_status("httpd was stopped")
    before = httpd.service.pids()
    httpd.start()
    httpd.get("/")
    page_state(httpd, "running")
    assert_exact(httpd)
    assert httpd.service.pids() == before, "the same processes go on"
    assert document.from_file(httpd.capture)["incidents"] == []


def test_a_killed_httpd_is_down_at_once(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    killed = time.time()
    httpd.kill()
    found = wait_for(lambda: (found := page(httpd)).get("incidents") and found, 5, "down is said")
    incident, = found["incidents"]
    assert incident["kinds"] == ["down"] and incident["state"] == "open"
    assert abs(seconds(incident["onset"]) - killed) < 0.5 and seconds(incident["detected"]) - killed < 2
    httpd.service.wait_status("nobody is served")
    httpd.start()
    httpd.get("/")
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == incident["id"]
    assert_exact(httpd)


def test_a_start_that_fails_after_a_stop_is_down_at_once(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    httpd.get("/")
    httpd.stop()
    page_state(httpd, "stopped")
    good = httpd.conf.read_text()
    httpd.conf.write_text(good + "NoSuchDirective on\n")
    assert httpd.command("-k", "start").returncode != 0
    found = page_state(httpd, "down", 4)
    failed, = events(found, "start.failed")
    assert "NoSuchDirective" in failed["text"]
    found = wait_for(lambda: (found := page(httpd))["incidents"] and found, 4, "the incident is open")
    incident, = found["incidents"]
    assert incident["kinds"] == ["down"] and incident["state"] == "open"
    assert incident["causes"][0]["kind"] == "start.failed"
    httpd.start()
    httpd.get("/")
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == incident["id"]


def test_a_stop_that_nobody_ends_is_an_incident_while_it_lasts(served, mpm):
    httpd = served(mpm)
    httpd.pm += "PMCaptureStopped after=3s\n"
    httpd.service.start()
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    httpd.stop()
    assert page_state(httpd, "stopped", 3)["incidents"] == []
    found = wait_for(lambda: (found := page(httpd))["incidents"] and found, 10, "the incident is open")
    incident, = found["incidents"]
    assert incident["kinds"] == ["stopped"] and incident["state"] == "open"
    stop, = events(found, "server.stop")
    assert seconds(incident["onset"]) == pytest.approx(seconds(stop["at"]), abs=0.01)
    assert seconds(incident["detected"]) - seconds(stop["at"]) < 8
    assert incident["causes"][0]["kind"] == "server.stop"
    httpd.start()
    httpd.get("/")
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == incident["id"] and final["kinds"] == ["stopped"]
    assert_exact(httpd)


def test_before_httpd_was_ever_started_history_is_served(served):
    httpd = served()
    port = free_port()
    httpd.service.options = ("--listen", f"127.0.0.1:{port}")
    httpd.service.start()
    response, body = ask(port)
    assert response.status == 503 and str(httpd.capture) in body
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    httpd.stop()
    httpd.service.stop()
    httpd.service.start()
    found = json.loads(ask(port, "/?format=json")[1])
    assert found["server"]["state"] == "stopped" and found["totals"]["requests"] == 1
    httpd.pm += f"PMCaptureListen {port}\n"      # httpd may name it, too
    httpd.start()
    httpd.get("/")
    assert_exact(httpd)
    for where in (port, httpd.pages_port):
        assert json.loads(ask(where, "/?format=json")[1])["server"]["state"] == "running"
    assert not httpd.said("in use")


@pytest.mark.parametrize("down", [0, 12], ids=["at once", "later"])
def test_a_service_that_is_killed_and_started_again_has_lost_no_count(served, mpm, down):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    with Load(httpd.port) as load:
        stream = load.stream("/", rate=40)
        document.ticked(httpd, 2)
        httpd.service.kill()
        time.sleep(down)
        assert httpd.get("/").status == 200
        httpd.service.start()
        document.ticked(httpd, 2, 60)
        sent = stream.stop()
    assert [one for one in sent if one.status is None] == []
    assert_exact(httpd)
    assert httpd.recorders() == []
    assert document.from_file(httpd.capture)["incidents"] == []


def test_a_reload_finds_the_service_that_was_started_again(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    document.ticked(httpd, 1)
    httpd.service.kill()
    httpd.get("/")
    httpd.reload()
    assert httpd.get("/pm-status").status == 503
    assert "is its service started?" in "".join(httpd.said("pmcapture:crit"))
    httpd.service.start()
    httpd.reload()
    httpd.service.wait_status("Records httpd")
    assert_exact(httpd)
    assert "is its service started?" not in page_state(httpd, "running")["server"].get("trouble", "")


def test_a_frozen_process_at_work_is_replaced_and_the_watchdog_hears_nothing_meanwhile(served, mpm):
    httpd = served(mpm)
    httpd.service.start()
    httpd.start()
    document.ticked(httpd, 2)
    beats = len(httpd.service.said("WATCHDOG=1"))
    wait_for(lambda: len(httpd.service.said("WATCHDOG=1")) > beats + 1, 2 * WATCHDOG, "signs of life come")
    frozen = httpd.service.at_work()
    processes.kill(frozen, signal.SIGSTOP)
    httpd.get("/")
    wait_for(lambda: not processes.alive(frozen), 5, "it is replaced")
    document.ticked(httpd, 2)
    assert_exact(httpd)


def test_a_frozen_service_gives_no_sign_of_life(served):
    httpd = served()
    httpd.service.start()
    httpd.start()
    document.ticked(httpd, 1)
    os.kill(httpd.service.process.pid, signal.SIGSTOP)
    time.sleep(0.5)
    beats = len(httpd.service.said("WATCHDOG=1"))
    time.sleep(WATCHDOG)
    assert len(httpd.service.said("WATCHDOG=1")) == beats
    httpd.reload()      # and holds up nobody
    assert httpd.get("/").status == 200
    httpd.stop()


def test_a_service_that_is_started_after_httpd_is_found(served):
    httpd = served()
    httpd.start()
    httpd.get("/")
    assert httpd.get("/pm-status").status == 503
    httpd.service.start()
    httpd.service.wait_status("Records httpd", 30)
    document.ticked(httpd, 1)
    assert_exact(httpd)
    found = page_state(httpd, "running")
    assert not any("Nothing is recorded" in notice for notice in found["capture"]["notices"])
