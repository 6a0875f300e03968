"""PMCaptureEventLog: events and figures as JSON lines, shipped elsewhere."""
import json
import signal

from harness import document
from harness.wait import wait_for


def lines(path):
    try:
        return [json.loads(line) for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []


def types(path):
    return [line["type"] for line in lines(path)]


def test_every_event_is_a_line_of_json_across_reload_and_stop(new_httpd):
    httpd = new_httpd(config="PMCaptureEventLog logs/events.jsonl\n").start()
    log = httpd.root / "logs" / "events.jsonl"
    wait_for(lambda: "config.load" in types(log), 5, "the start is in the event log")
    httpd.reload()
    wait_for(lambda: "config.reload" in types(log), 5, "the reload is in the event log")
    httpd.stop(signal.SIGTERM)
    wanted = [(e["seq"], e["type"], e["text"])
              for e in document.events(document.from_file(httpd.capture))]
    shipped = [(e["seq"], e["type"], e["text"]) for e in lines(log) if e["type"] != "minute"]
    assert sorted(shipped) == sorted(wanted)
    assert len({line["capture"] for line in lines(log)}) == 1


def test_a_piped_program_gets_the_same_lines(new_httpd, tmp_path):
    tmp_path.chmod(0o777)
    httpd = new_httpd(config='PMCaptureEventLog "|/usr/bin/tee -a logs/piped.jsonl"\n').start()
    log = httpd.root / "logs" / "piped.jsonl"
    wait_for(lambda: "server.start" in types(log), 5, "the program has the start")


def test_a_target_that_cannot_be_opened_stops_nothing_and_is_said(new_httpd):
    httpd = new_httpd(config="PMCaptureEventLog no/such/folder/events.jsonl\n").start()
    assert httpd.get("/").status == 200
    wait_for(lambda: httpd.said("PMCaptureEventLog", "no/such/folder/events.jsonl"), 10, "it is said")
    page = document.settled(httpd)
    assert any("PMCaptureEventLog" in notice for notice in page["capture"]["notices"])


def test_a_reader_that_does_not_read_costs_no_tick(new_httpd):
    httpd = new_httpd(config='PMCaptureEventLog "|/bin/sleep 600"\n').start()
    first = document.settled(httpd)["tick"]
    for _ in range(3):
        httpd.reload()
    wait_for(lambda: document.from_file(httpd.capture)["tick"] >= first + 3, 8, "ticks go on")
