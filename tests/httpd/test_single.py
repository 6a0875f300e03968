"""`apache2 -X`: one process is the parent and serves."""
import signal

import pytest

from harness import document, processes

STOPS = {"event": (signal.SIGTERM, signal.SIGINT), "worker": (signal.SIGTERM, signal.SIGINT),
         "prefork": (signal.SIGTERM, signal.SIGINT, signal.SIGWINCH)}


def types(httpd):
    return [event["type"] for event in document.from_file(httpd.capture)["events"]]


@pytest.mark.parametrize("mpm, sig", [(mpm, sig) for mpm in STOPS for sig in STOPS[mpm]],
                         ids=lambda value: getattr(value, "name", value))
def test_a_single_process_ends_in_order_and_its_stop_is_on_record(new_httpd, mpm, sig):
    httpd = new_httpd(mpm=mpm)
    httpd.start_single()
    document.settled(httpd)
    httpd.stop(sig)
    final = document.from_file(httpd.capture)
    assert final["server"]["state"] == "stopped" and final["incidents"] == []
    assert [event["type"] for event in final["events"]] == ["server.start", "config.load", "server.stop"]
    assert document.status_totals(final) == {"200": 1}


def test_what_a_single_process_recorded_is_counted_once_by_the_next_start(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    httpd.start_single()
    for _ in range(9):
        httpd.get("/")
    httpd.stop()
    httpd.start()
    httpd.get("/")
    final = document.settled(httpd)
    httpd.stop()
    assert document.status_totals(final) == {"200": 11}
    assert "server.unclean" not in types(httpd)
    assert document.from_file(httpd.capture)["incidents"] == []


def test_a_single_process_without_a_capture_file_ends_in_order(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, capture=None)
    httpd.start_single()
    document.from_handler(httpd)
    httpd.stop()


def test_a_single_process_that_is_killed_has_not_been_stopped(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    httpd.start_single()
    document.settled(httpd)
    httpd.kill()
    httpd.start()
    document.settled(httpd)
    httpd.stop()
    assert "server.unclean" in types(httpd)


@pytest.mark.parametrize("mpm", ["event", "worker"])
def test_a_single_process_does_not_reload_and_counts_on(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    httpd.start_single()
    for sig in (signal.SIGHUP, signal.SIGUSR1):
        httpd.send(sig)
        assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == {"200": 3}
    assert processes.alive(httpd.parent)
    httpd.stop()
    assert types(httpd) == ["server.start", "config.load", "server.stop"]
