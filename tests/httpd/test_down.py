"""Nobody is served: it is an incident at once, as long as it lasts, and one story with what follows."""
import signal

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, seconds
from harness.load import Load
from harness.wait import Span, room, wait_for


def open_down(httpd, limit=10):
    """The incident that is open, from the file: nobody else can be asked."""
    def is_open():
        found = document.from_file(httpd.capture)
        return [one for one in found["incidents"] if one["state"] == "open" and "down" in one["kinds"]] and found

    return wait_for(is_open, limit, "an incident of kind down is open")


def vanish(httpd):
    """httpd is killed, all of it; the recorder is not. When that was."""
    with Span() as killed:
        for pid in [httpd.parent, *httpd.servers()]:
            processes.kill(pid)
        wait_for(lambda: not httpd.servers(), 10, "httpd is gone")
    httpd.pid_file.unlink(missing_ok=True)
    return killed


def detected_at_once(incident):
    """By the recorder's own clock."""
    return 0 <= seconds(incident["detected"]) - seconds(incident["onset"]) < room(2)


def test_a_server_that_vanishes_is_down_at_once_until_it_serves_again(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, count=60).wait()
    document.settled(httpd)
    killed = vanish(httpd)
    found = open_down(httpd)
    incident, = found["incidents"]
    assert incident["kinds"] == ["down"] and incident["end"] is None
    assert killed.holds(seconds(incident["onset"]), late=0.1)       # it looks twenty times a second
    assert detected_at_once(incident)
    assert found["server"]["state"] == "down"
    assert events(found, "incident.open")
    assert pmcapture("check", "-f", httpd.capture).returncode == 2
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "obody has been served" in screen
    before = incident["unserved"]["seconds"]
    longer = wait_for(lambda: [one for one in document.from_file(httpd.capture)["incidents"]
                               if one["unserved"]["seconds"] >= before + 2], 10, "it goes on")
    assert longer[0]["id"] == incident["id"]
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, count=40).wait()
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == incident["id"] and final["kinds"] == ["down"]
    assert final["onset"] == incident["onset"]
    length = seconds(final["end"]) - seconds(final["onset"])
    assert abs(final["unserved"]["seconds"] - length) < 0.1, "counted once"
    assert [e["type"] for e in events(document.from_handler(httpd))].count("incident.open") == 1
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_a_reload_that_ends_the_server_opens_an_incident_at_once(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    httpd.get("/")
    document.settled(httpd)
    with open(httpd.conf, "a") as conf:
        conf.write("NoSuchDirective on\n")
    httpd.send(signal.SIGUSR1)
    httpd.wait_failed()
    found = open_down(httpd)
    failed, = events(found, "config.failed")
    incident, = found["incidents"]
    assert incident["onset"] == failed["at"]
    assert incident["causes"][0]["kind"] == "config.failed"
    assert detected_at_once(incident)
    httpd.start()
    httpd.get("/")
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == incident["id"] and final["onset"] == failed["at"]


@pytest.mark.parametrize("which", ["the one at work", "all"])
def test_a_recorder_that_dies_while_nobody_is_served_tells_the_same_incident(new_httpd, which):
    httpd = new_httpd().start()
    httpd.get("/")
    document.settled(httpd)
    vanish(httpd)
    first, = open_down(httpd)["incidents"]
    for pid in [httpd.writer()] if which == "the one at work" else httpd.recorders():
        processes.kill(pid)
    if which == "the one at work":
        wait_for(lambda: [one for one in document.from_file(httpd.capture)["incidents"]
                          if one["unserved"]["seconds"] > first["unserved"]["seconds"] + 3], 15, "it goes on")
    httpd.start()
    httpd.get("/")
    final, = document.wait_closed(httpd)["incidents"]
    assert final["id"] == first["id"] and final["onset"] == first["onset"]
    length = seconds(final["end"]) - seconds(final["onset"])
    assert abs(final["unserved"]["seconds"] - length) < 0.1


def test_an_orderly_stop_is_no_incident_and_leaves_no_process(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    httpd.get("/")
    httpd.stop()
    found = document.from_file(httpd.capture)
    assert found["incidents"] == [] and found["server"]["state"] == "stopped"
