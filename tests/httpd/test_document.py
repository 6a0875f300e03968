"""One document: the handler and pmdump say the same of the same tick, and it is valid."""
import time

import pytest

from harness import document
from harness.document import wait_closed, wait_for_document
from harness.load import Load
from harness.wait import wait_for


def assert_agree(httpd):
    """Compare handler and file at one tick, field by field; returns the document."""
    def same_tick():
        """Between two ticks: on a busy machine one may come, or write, whenever both are read."""
        begin, written = time.time(), httpd.capture.stat().st_mtime
        read = document.bytes_of_file(httpd.capture), document.bytes_of_handler(httpd)
        if begin < written + 0.05 or httpd.capture.stat().st_mtime != written:
            return None
        from_file, from_handler = map(document.parse, read)
        return (from_file, from_handler) if from_file["tick"] == from_handler["tick"] else None

    from_file, from_handler = wait_for(same_tick, 60, "both read at the same tick", 0)
    for one in (from_file, from_handler):
        document.validate(one)
        assert one.pop("generated")
    for field in from_file.keys() | from_handler.keys():
        assert from_file.get(field) == from_handler.get(field), field
    assert list(from_file) == list(from_handler)
    return from_file


def test_handler_and_pmdump_give_the_same_valid_document_of_the_same_tick(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config='Redirect 503 "/fail"').start()
    document.settled(httpd, ticks=1)
    assert_agree(httpd)         # nothing has happened yet
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
        failing = load.stream("/fail", rate=30, source=lambda n: f"127.0.4.{1 + n % 9}")
        wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
        seen = assert_agree(httpd)
        assert seen["incidents"][0]["state"] == "open"
        failing.stop()
        wait_closed(httpd)
        httpd.reload()
        wait_for_document(httpd, lambda d: document.events(d, "config.reload"), 10, "the reload")
        seen = assert_agree(httpd)
    assert seen["incidents"][0]["state"] == "closed"
    assert seen["server"]["state"] == "running" and seen["server"]["mpm"] == mpm
    assert seen["server"]["pid"] == httpd.parent
    assert seen["capture"]["path"] == str(httpd.capture)
    httpd.stop()
    stopped = document.from_file(httpd.capture)
    document.validate(stopped)
    assert stopped["server"]["state"] == "stopped"


def test_the_life_of_the_server_is_in_the_events_in_order(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    document.settled(httpd)
    httpd.reload()
    document.settled(httpd)
    httpd.stop()
    httpd.start()
    document.settled(httpd)
    final = document.from_file(httpd.capture)
    kinds = ("server.start", "config.load", "config.reload", "server.stop")
    seen = [event["type"] for event in document.events(final, *kinds)]
    assert seen.count("server.start") == 2 and seen.count("server.stop") == 1
    assert seen.index("server.start") < seen.index("config.reload") < seen.index("server.stop")
    assert "config.load" in seen
    times = [event["at"] for event in final["events"]]
    assert times == sorted(times)
    numbers = [event["seq"] for event in final["events"]]
    assert len(numbers) == len(set(numbers))
    assert document.events(final, "server.unclean") == []


def test_workers_busy_and_in_flight_are_sampled(new_httpd, backend, mpm):
    httpd = new_httpd(mpm=mpm, config=f'ProxyPass "/api/" "{backend.url}/" retry=0').start()
    with Load(httpd.port) as load:
        hung = load.stream("/api/hang", rate=20, count=6)
        seen = wait_for_document(httpd, lambda d: d["in_flight"]["requests"] == 6, 10, "in flight")
        seen = wait_for_document(httpd, lambda d: d["workers"]["busy"] >= 6 and d["workers"]["idle"] > 0, 10,
                                 "busy workers, and idle ones")
        assert seen["workers"]["limit"] == (64 if mpm == "prefork" else 96)
        assert seen["in_flight"]["oldest"] > 0
        backend.release()
        hung.wait()
    seen = wait_for_document(httpd, lambda d: d["in_flight"]["requests"] == 0, 10, "all done")
    assert seen["in_flight"]["oldest"] in (None, 0)


def test_distinct_clients_are_counted_with_their_share(new_httpd):
    httpd = new_httpd(config='Redirect 503 "/fail"').start()
    with Load(httpd.port) as load:
        good = load.stream("/", rate=60, source=lambda n: f"127.1.{n % 100}.1")
        # for ten seconds: in those that lie wholly within the incident every client comes
        bad = load.stream("/fail", rate=30, count=300, source=lambda n: f"127.1.{n % 25}.1")
        bad.wait()
        final = wait_closed(httpd)
        good.stop()
    clients = final["incidents"][0]["clients"]
    assert abs(clients["affected"] - 25) <= clients["error"]["affected"] <= 2
    assert abs(clients["total"] - 100) <= clients["error"]["total"] <= 10
    assert clients["affected_ratio"] == pytest.approx(clients["affected"] / clients["total"], 0.01)
    assert 0 <= clients["error"]["affected_ratio"] < 0.1
    # addresses are kept masked
    for sample in final["incidents"][0]["samples"]:
        assert sample["client"].endswith(".0/24")
