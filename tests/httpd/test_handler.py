"""The handler's contract: methods, formats, bounds, and answers to bad questions."""
import csv
import io
import json
import os
import re
import signal
import subprocess
from html.parser import HTMLParser

import pytest

from harness import document
from harness.backend import Backend
from harness.document import wait_closed
from harness.httpd import QUICK_RULES, Httpd
from harness.load import Load
from harness.wait import wait_for

METRICS = {
    "pmcapture_requests_total": "counter", "pmcapture_errors_total": "counter",
    "pmcapture_request_duration_seconds": "histogram",
    "pmcapture_response_bytes_total": "counter", "pmcapture_incident_open": "gauge",
    "pmcapture_incidents_total": "counter", "pmcapture_config_generation": "gauge",
    "pmcapture_config_last_reload_timestamp_seconds": "gauge",
    "pmcapture_config_failures_total": "counter", "pmcapture_child_crashes_total": "counter",
    "pmcapture_workers": "gauge", "pmcapture_requests_in_flight": "gauge",
    "pmcapture_dependency_missing": "gauge", "pmcapture_start_time_seconds": "gauge",
    "pmcapture_capture_write_failures_total": "counter",
}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def httpd():
    """A server that has had one incident and one reload."""
    backend = Backend().start()
    server = Httpd(config=f'ProxyPass "/api/" "{backend.url}/" retry=0\n')
    try:
        server.start()
        with Load(server.port) as load:
            load.stream("/", rate=30, source=lambda n: f"127.0.3.{1 + n % 8}")
            server.reload()
            load.stream("/api/status/503", rate=40, count=40,
                        source=lambda n: f"127.0.4.{1 + n % 9}").wait()
            wait_closed(server)
        document.settled(server)
        yield server
    finally:
        backend.close()
        server.close()


class Page(HTMLParser):
    """What a browser makes of the page: text, tags, and everything that it would load."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.words = []
        self.loads = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "data", "action", "background") or (
                    tag == "link" and name == "href") or name.startswith("on"):
                self.loads.append((tag, name, value))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def prometheus(text):
    """{"name{labels}": value}, without comments."""
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    return samples


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_other_methods_than_get_and_head_are_refused_with_405(httpd, method):
    reply = httpd.request("/pm-status", method=method)
    assert reply.status == 405
    assert {name.strip() for name in reply.headers["Allow"].split(",")} >= {"GET", "HEAD"}


QUERIES = {
    "": "text/html", "?refresh=5": "text/html", "?auto": "text/plain",
    "?format=json": "application/json", "?format=prometheus": "text/plain",
    "?format=csv": "text/csv", "?format=json&view=summary": "application/json",
    "?unknown=1&also": "text/html", "?format=json&nonsense=%00%ff": "application/json",
    "?format=json&since=-15m": "application/json", "?format=csv&since=-15m": "text/csv",
    "?incident=1": "text/html", "?format=json&incident=1": "application/json",
    "?format=csv&incident=1": "text/csv",
}


@pytest.mark.parametrize("query", QUERIES)
def test_every_reply_has_its_type_is_not_stored_and_head_is_like_get(httpd, query):
    reply = httpd.get("/pm-status" + query)
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"].split(";")[0] == QUERIES[query]
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers.get("X-Content-Type-Options", "nosniff") == "nosniff"
    reply.body.decode("utf-8")
    head = httpd.request("/pm-status" + query, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == reply.headers["Content-Type"]
    assert head.headers["Cache-Control"] == "no-store"


BAD = [
    ("format", "xml"), ("format", "JSON%00"), ("format", ""), ("since", "yesterday-ish"),
    ("since", "-15x"), ("since", "2026-13-45T00:00:00Z"), ("until", "1e99"), ("until", "%ff%fe"),
    ("incident", "abc"), ("incident", "-1x"), ("incident", "99999999999999999999999"),
    ("view", "everything"), ("refresh", "soon"), ("refresh", "-1"), ("refresh", "9" * 40),
    ("since", "9" * 300), ("view", "<script>alert(1)</script>"),
]


@pytest.mark.parametrize("name,value", BAD)
def test_a_bad_value_is_a_400_with_one_sentence_that_names_the_parameter(httpd, name, value):
    reply = httpd.get(f"/pm-status?{name}={value}")
    assert reply.status == 400
    assert reply.headers["Cache-Control"] == "no-store"
    assert name in reply.text and "<script>" not in reply.text


@pytest.mark.parametrize("form,kind", [("json", "application/json"), ("csv", "text/csv"),
                                       ("prometheus", "text/plain")])
def test_a_400_comes_in_the_format_that_was_asked_for(httpd, form, kind):
    reply = httpd.get(f"/pm-status?format={form}&since=nonsense")
    assert reply.status == 400
    assert reply.headers["Content-Type"].split(";")[0] == kind
    assert "since" in reply.text
    if form == "json":
        said = document.parse(reply.body)
        assert any(isinstance(value, str) and "since" in value for value in said.values())
    elif form == "csv":
        [header, row] = csv.reader(io.StringIO(reply.text, newline=""))
        assert len(header) == len(row) == 1
    else:
        assert len(reply.text.strip().splitlines()) == 1 and reply.text.startswith("#")
    html = httpd.get("/pm-status?since=nonsense")
    assert html.headers["Content-Type"].split(";")[0] == "text/html"


def test_the_page_is_complete_without_scripts_and_loads_nothing(httpd):
    page = Page(httpd.get("/pm-status").text)
    assert "script" not in page.tags
    assert [load for load in page.loads if not (load[2] or "").startswith("data:")] == []
    assert "http-equiv" not in httpd.get("/pm-status").text
    final = document.from_file(httpd.capture)
    incident = final["incidents"][0]
    for fact in (str(incident["errors"]), "503", "running", incident["onset"][11:19]):
        assert fact in page.text, fact


def test_refresh_makes_the_page_come_again(httpd):
    reply = httpd.get("/pm-status?refresh=7")
    header = reply.headers.get("Refresh", "")
    meta = re.search(r'http-equiv="?refresh"?\s+content="?(\d+)', reply.text, re.I)
    assert header.split(";")[0] == "7" or (meta and meta.group(1) == "7")


def test_auto_gives_key_value_lines(httpd):
    lines = httpd.get("/pm-status?auto").text.splitlines()
    assert all(re.match(r"^[A-Za-z][A-Za-z0-9_. ]*: ", line) for line in lines)


def test_metrics_are_clean_and_all_there(httpd):
    reply = httpd.get("/pm-status?format=prometheus")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    check = subprocess.run(["promtool", "check", "metrics"], input=reply.body, capture_output=True)
    assert check.returncode == 0 and check.stderr == b"", check.stderr.decode()
    for name, kind in METRICS.items():
        assert re.search(rf"^# HELP {name} \S", reply.text, re.M), name
        assert re.search(rf"^# TYPE {name} {kind}$", reply.text, re.M), name


def test_metrics_agree_with_the_document(httpd):
    document.settled(httpd)
    samples = prometheus(httpd.get("/pm-status?format=prometheus").text)
    final = document.from_handler(httpd)
    for name, value in samples.items():
        found = re.fullmatch(r'pmcapture_requests_total\{code="(5\d\d|404)"\}', name)
        if found:
            assert value == final["totals"]["status"][found.group(1)]
    assert samples['pmcapture_requests_total{code="503"}'] == 40
    assert samples['pmcapture_incidents_total{kind="errors"}'] == 1
    assert samples["pmcapture_incident_open"] == 0
    assert samples["pmcapture_config_generation"] == final["server"]["generation"]
    errors = sum(value for name, value in samples.items()
                 if name.startswith("pmcapture_errors_total{"))
    assert errors == final["totals"]["errors"]
    assert (samples['pmcapture_request_duration_seconds_bucket{le="+Inf"}']
            == samples["pmcapture_request_duration_seconds_count"])


def test_openmetrics_comes_when_it_is_accepted(httpd):
    reply = httpd.get("/pm-status?format=prometheus", headers={"Accept": OPENMETRICS})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")
    # there the family's name lacks the suffix of its samples
    assert "# TYPE pmcapture_requests counter" in reply.text
    assert 'pmcapture_requests_total{code="503"} 40' in reply.text
    plain = httpd.get("/pm-status?format=prometheus")
    assert "# EOF" not in plain.text


@pytest.mark.parametrize("accept, metrics", [
    (f"{OPENMETRICS};q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", True),
    (f"{OPENMETRICS};q=0, text/plain", False),
    (f"{OPENMETRICS};q=0.2, text/plain;q=0.9", False),
    ("application/openmetrics-text; version=0.0.1, */*;q=0.1", False),
    ('text/plain; x="application/openmetrics-text"', False),
    ("*/*", False)])
def test_the_weights_of_accept_decide_between_openmetrics_and_text(httpd, accept, metrics):
    reply = httpd.get("/pm-status?format=prometheus", headers={"Accept": accept})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text" if metrics else "text/plain")
    assert ("# EOF" in reply.text) == metrics


def test_the_incidents_counted_are_all_that_opened_and_their_help_says_so(new_httpd):
    """Also those that a smaller file has no room for any more."""
    httpd = new_httpd(pm=QUICK_RULES + "PMCaptureRetention incidents=1\n", config='RedirectMatch 503 "^/x"\n').start()
    for count in (1, 2):
        for _ in range(15):
            httpd.get("/x")
        document.wait_for_document(httpd, lambda d, n=count: [i["id"] for i in d["incidents"]] == [n], 20, "it opened")
        document.settled(httpd)     # a second of its own: only what succeeds after the last failure ends it
        for _ in range(15):
            httpd.get("/")
        document.wait_closed(httpd, limit=30)
    text = httpd.get("/pm-status?format=prometheus").text
    assert 'pmcapture_incidents_total{kind="errors"} 2\n' in text
    [told] = re.findall("# HELP pmcapture_incidents_total (.*)", text)
    assert "on record" not in told and told.startswith("Incidents opened, by kind, since the capture file was made")


def test_a_document_whose_recorder_hangs_says_what_it_does_not_show(new_httpd):
    httpd = new_httpd(config='RedirectMatch 503 "^/x"\n').start()
    assert httpd.get("/").status == 200
    document.settled(httpd)
    recorders = httpd.recorders()
    try:
        for pid in recorders:
            os.kill(pid, signal.SIGSTOP)
        assert [httpd.get("/x").status for _ in range(30)] == [503] * 30
        [told] = wait_for(lambda: document.from_file(httpd.capture)["capture"]["notices"], 60, "the silence is said")
        last = document.from_file(httpd.capture)["server"]["heartbeat"]
        assert told.startswith(f"The recorder has written nothing since {last}, ") and "is not shown" in told
    finally:
        for pid in recorders:
            os.kill(pid, signal.SIGCONT)
    wait_for(lambda: document.from_handler(httpd)["capture"]["notices"] == [], 60, "it writes again")


def test_csv_is_the_series(httpd):
    rows = list(csv.reader(io.StringIO(httpd.get("/pm-status?format=csv").text, newline="")))
    series = document.from_handler(httpd)["series"]
    assert rows[0] == series["columns"]
    assert all(len(row) == len(rows[0]) for row in rows)
    errors = rows[0].index("errors")
    assert sum(int(row[errors]) for row in rows[1:]) == 40


def test_since_and_until_bound_events_series_and_incidents(httpd):
    final = document.from_handler(httpd)
    incident = final["incidents"][0]
    early = document.from_handler(httpd, f"&until={incident['onset']}")
    late = document.from_handler(httpd, "&since=-1s")
    exact = document.from_handler(httpd, f"&since={incident['onset']}&until={incident['end']}")
    column = final["series"]["columns"].index("time")
    onset, end = incident["onset"], incident["end"]
    assert all(event["at"] < onset for event in early["events"]) and early["events"]
    assert all(row[column] < onset for row in early["series"]["rows"])
    assert late["incidents"] == [] and len(late["series"]["rows"]) <= 2
    assert [one["id"] for one in exact["incidents"]] == [incident["id"]]
    assert all(onset <= event["at"] < end for event in exact["events"])
    assert final["totals"]["requests"] <= late["totals"]["requests"]
    for one in (early, late, exact):
        document.validate(one)


def test_one_incident_can_be_asked_for(httpd):
    incident = document.from_handler(httpd)["incidents"][0]
    alone = document.from_handler(httpd, f"&incident={incident['id']}")
    document.validate(alone)
    assert [one["id"] for one in alone["incidents"]] == [incident["id"]]
    assert sum(row[alone["series"]["columns"].index("errors")]
               for row in alone["series"]["rows"]) == 40
    nothing = httpd.get("/pm-status?format=json&incident=4711")
    assert nothing.status in (200, 404)
    if nothing.status == 200:
        assert json.loads(nothing.body)["incidents"] == []


def test_views_give_their_part_and_who_it_is_about(httpd):
    always = {"schema", "generated", "capture", "server"}
    parts = {"incidents": "incidents", "events": "events", "series": "series"}
    for view, part in parts.items():
        seen = document.from_handler(httpd, f"&view={view}")
        assert always <= set(seen)
        assert seen[part]
        assert not set(parts.values()) - {part} & set(seen)
    summary = document.from_handler(httpd, "&view=summary")
    assert always <= set(summary) and "totals" in summary
    assert "series" not in summary and "events" not in summary


def test_without_the_handler_nothing_answers_at_that_place(new_httpd):
    server = new_httpd(config='<Location "/pm-status">\nSetHandler None\n</Location>').start()
    assert server.get("/pm-status").status == 404
