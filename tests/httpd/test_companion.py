"""From LoadModule to a postmortem: the companion on a real server, running, stopped or killed."""
import json
from datetime import datetime, timedelta, timezone

import pytest

from harness import document
from harness.companion import pmcapture
from harness.document import wait_closed, wait_for_document
from harness.httpd import Httpd
from harness.load import Load, failed
from harness.wait import MILLISECOND, wait_for

FAIL = 'Redirect 503 "/fail"\n'


class Story:
    """A server whose backend failed for a while, and what its users saw of that."""

    def __init__(self, httpd):
        self.httpd = httpd
        with Load(httpd.port) as load:
            load.stream("/", rate=30, source=lambda n: f"127.0.3.{1 + n % 8}")
            wait_for(lambda: load.streams[0].number > 60, 20, "a history before the incident")
            httpd.reload()
            sent = load.stream("/fail", rate=40, count=50,
                               source=lambda n: f"127.0.4.{1 + n % 10}").wait()
            wait_closed(httpd)
        self.failures = failed(sent)
        self.document = document.settled(httpd)
        self.incident = self.document["incidents"][0]


@pytest.fixture(scope="module")
def running():
    httpd = Httpd(config=FAIL)
    try:
        yield Story(httpd.start())
    finally:
        httpd.close()


@pytest.fixture(scope="module", params=["stopped", "killed"])
def ended(request):
    httpd = Httpd(config=FAIL)
    try:
        story = Story(httpd.start())
        httpd.stop() if request.param == "stopped" else httpd.kill()
        story.how = request.param
        yield story
    finally:
        httpd.close()


def text_of(done, code=0):
    assert done.returncode == code, (done.returncode, done.stderr)
    return done.stdout.decode("utf-8")


def assert_report_tells(story, report):
    """The figures of the incident as users saw it, with UTC and the local time beside it."""
    incident = story.incident
    onset = datetime.fromisoformat(incident["onset"].replace("Z", "+00:00"))
    lagos = onset.astimezone(timezone(timedelta(hours=1)))
    for fact in (f"{onset:%H:%M:%S}", "UTC", f"{lagos:%H:%M:%S}", "WAT", str(incident["errors"]),
                 str(incident["requests"]), "503"):
        assert fact in report, fact
    assert "eload" in report, "the reload before it is named"
    assert "|" in report and "#" in report


def test_the_report_of_a_running_server_reads_as_a_postmortem(running):
    report = text_of(pmcapture("report", "-1", "--tz", "Africa/Lagos", "-f", running.httpd.capture))
    assert_report_tells(running, report)
    onset = document.seconds(running.incident["onset"])
    of_it = [e for e in running.httpd.access_log.entries() if e.status == "503" and e.begin >= onset - MILLISECOND]
    assert len(running.failures) - 2 <= len(of_it) == running.incident["errors"]


def test_the_report_needs_no_running_server(ended):
    report = text_of(pmcapture("report", "-1", "--tz", "Africa/Lagos", "-f", ended.httpd.capture))
    assert_report_tells(ended, report)


def test_a_report_in_json_holds_the_incident_as_the_document_has_it(running):
    report = json.loads(text_of(pmcapture("report", "1", "--format", "json",
                                          "-f", running.httpd.capture)))
    assert running.incident["onset"] in json.dumps(report)
    assert f'"errors": {running.incident["errors"]}' in json.dumps(report)


def test_check_says_by_exit_code_how_it_stands(running, ended):
    assert pmcapture("check", "-f", running.httpd.capture).returncode == 0
    done = pmcapture("check", "-f", ended.httpd.capture)
    assert done.returncode == 2
    assert len(done.stdout.decode().splitlines()) == 1 and b"|" in done.stdout
    assert pmcapture("check", "-f", "/nowhere/x.pmc").returncode == 3


def test_check_warns_while_an_incident_is_open(new_httpd):
    httpd = new_httpd(config=FAIL).start()
    with Load(httpd.port) as load:
        load.stream("/fail", rate=40, count=30, source=lambda n: f"127.0.4.{1 + n % 10}").wait()
    wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
    assert pmcapture("check", "-f", httpd.capture).returncode == 1


def test_a_url_gives_what_the_file_gives(running):
    url = f"http://127.0.0.1:{running.httpd.port}/pm-status"
    for command in (["list"], ["show", "-1"], ["events"]):
        from_url = json.loads(text_of(pmcapture(*command, "--json", "-u", url)))
        from_file = json.loads(text_of(pmcapture(*command, "--json", "-f", running.httpd.capture)))
        for one in (from_url, from_file):
            if isinstance(one, dict):
                for moving in ("generated", "tick", "server", "capture", "totals", "workers",
                               "in_flight", "series"):
                    one.pop(moving, None)
        assert from_url == from_file, command


def test_the_file_is_found_by_the_environment(running):
    by_name = text_of(pmcapture("list", PMCAPTURE_FILE=str(running.httpd.capture)))
    assert running.incident["onset"][11:19] in by_name


def test_list_and_events_are_bounded_and_say_when_nothing_matches(running):
    capture = running.httpd.capture
    assert text_of(pmcapture("list", "-f", capture, "--since", "1 hour ago"))
    assert pmcapture("list", "-f", capture, "--until", "1 hour ago").returncode == 1
    assert pmcapture("show", "4711", "-f", capture).returncode == 1
    only = json.loads(text_of(pmcapture("events", "--type", "config.reload", "--json",
                                        "-f", capture)))
    seen = only["events"] if isinstance(only, dict) else only
    assert [event["type"] for event in seen] == ["config.reload"]


def test_export_gives_the_document_and_the_series(running):
    capture = running.httpd.capture
    whole = json.loads(text_of(pmcapture("export", "-f", capture)))
    document.validate(whole)
    table = text_of(pmcapture("export", "--format", "csv", "-f", capture)).splitlines()
    assert table[0].split(",") == whole["series"]["columns"]
    for line in text_of(pmcapture("export", "--format", "jsonl", "-f", capture)).splitlines():
        json.loads(line)


def test_a_copy_says_that_it_cannot_tell_how_the_server_is(running, tmp_path):
    copy = tmp_path / "copy.pmc"
    copy.write_bytes(running.httpd.capture.read_bytes())
    seen = document.from_file(copy)
    document.validate(seen)
    assert seen["server"]["state"] == "unknown"
    assert seen["incidents"] and seen["capture"]["id"] == running.document["capture"]["id"]
    assert pmcapture("check", "-f", copy).returncode == 3


def test_a_dead_servers_live_region_can_be_read_by_itself(ended):
    regions = list(ended.httpd.runtime.glob("*.live"))
    if ended.how == "stopped":
        assert regions == [], "an orderly stop has written it all down"
        return
    [region] = regions
    seen = document.from_file(region)
    logged = ended.httpd.access_log.totals()
    assert all(document.status_totals(seen)[status] >= count for status, count in logged.items())
