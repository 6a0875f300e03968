"""What a client sends comes out inert wherever it is shown."""
import csv
import html
import io
import re
import subprocess
import unicodedata

import pytest

from harness import document
from harness.companion import pmcapture
from harness.document import wait_closed
from harness.httpd import Httpd
from harness.load import Load
from test_handler import Page

EVIL = [
    b"<script>alert(1)</script>", b"\"'><img src=x onerror=alert(2)>", b"\x1b]0;title\x07\x1b[2J",
    b"\x9b31m", b"\xff\xfe\xc0\xaf\xed\xa0\x80", b"%00%0a%1b[31m", b"=HYPERLINK(1)", b"+1", b"-1",
    b"@SUM(A1)", b"\\\"}\nx{y=\"z", b"{{7*7}}${7*7}", b"a\tb", b"`id`$(id)", b"| pipe | table |",
    b"\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf", b"\xc2\x85\xc2\x9b", b"x" * 65536, b"<!--", b"]]>",
    b"&amp;lt;",
]
# Names that only ever stand for something that a client sent.
TRACES = ("alert(1)", "onerror")


def request(place, evil):
    """A request that fails, with something evil in one place."""
    parts = {"uri": b"", "query": b"", "host": b"evil.example", "agent": b"x", "method": b"GET"}
    parts[place] = evil
    return (parts["method"] + b" /fail/" + parts["uri"] + b"?q=" + parts["query"]
            + b" HTTP/1.1\r\nHost: " + parts["host"] + b"\r\nUser-Agent: " + parts["agent"]
            + b"\r\nReferer: " + parts["agent"] + b"\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module", params=["Strict", "Unsafe"])
def attacked(request):
    """A server after an incident that is made of hostile requests, with queries kept."""
    httpd = Httpd(pm="PMCaptureBurst errors=5 window=5 clear=2\nPMCaptureSlow Off\n"
                     "PMCaptureQuery On\nPMCaptureClients full\nPMCaptureSamples 256\n",
                  config='RedirectMatch 503 "^/fail"\n'
                         "LimitRequestLine 200000\nLimitRequestFieldSize 200000\n"
                         f"HttpProtocolOptions {request.param}\n")
    try:
        httpd.start()
        send_all(httpd)
        with Load(httpd.port) as load:
            load.stream("/", rate=30, source=lambda n: f"127.0.3.{1 + n % 8}")
            wait_closed(httpd)
        document.settled(httpd)
        yield httpd
    finally:
        httpd.close()


def send_all(httpd):
    for number, evil in enumerate(EVIL):
        for place in ("uri", "query", "host", "agent", "method"):
            httpd.raw(request(place, evil), source=f"127.0.4.{1 + number % 9}")
        httpd.raw(b"GET /fail/\x00" + evil + b" HTTP/1.1\r\nHost: a\x00b\r\n\r\n")


def strings(value):
    """Every string in a document, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def assert_no_controls(text, allowed="\n"):
    found = {hex(ord(char)) for char in text
             if unicodedata.category(char) == "Cc" and char not in allowed}
    assert not found


def test_the_document_is_valid_and_holds_no_control_character(attacked):
    for final in (document.from_file(attacked.capture), document.from_handler(attacked)):
        document.validate(final)
        assert final["incidents"] and final["incidents"][0]["samples"]
        for text in strings(final):
            assert_no_controls(text, allowed="")
            assert len(text) < 4096


def test_all_hostile_requests_are_counted(attacked):
    final = document.settled(attacked)
    # our own reading of /pm-status is logged and counted as well
    assert document.status_totals(final) == attacked.access_log.totals()


@pytest.mark.parametrize("query", ["", "?incident=1", "?refresh=9"])
def test_the_page_shows_it_as_text_only(attacked, query):
    source = attacked.get("/pm-status" + query).text
    page = Page(source)
    assert_no_controls(source)
    assert not {"script", "img", "iframe", "object", "embed"} & set(page.tags)
    assert page.loads == [] or all(load[2].startswith("data:") for load in page.loads)
    for trace in TRACES:
        for found in re.finditer(re.escape(trace), source):
            before = source[:found.start()]
            assert before.rfind("<") < before.rfind(">"), "inside a tag"
    assert html.unescape(source)


def test_csv_holds_no_formula_and_no_control_character(attacked):
    source = attacked.get("/pm-status?format=csv").text
    assert_no_controls(source, allowed="\r\n")
    rows = list(csv.reader(io.StringIO(source, newline="")))
    assert len({len(row) for row in rows}) == 1
    assert not [field for row in rows for field in row if field[:1] in ("=", "+", "-", "@", "\t")]


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_metrics_stay_well_formed(attacked, accept):
    reply = attacked.get("/pm-status?format=prometheus", headers={"Accept": accept})
    assert_no_controls(reply.text)
    label = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
    sample = re.compile(rf"[a-z_]+(\{{{label}(,{label})*\}})? [-+0-9.eInfNa]+")
    for line in reply.text.splitlines():
        assert line.startswith("# ") or sample.fullmatch(line), line
    if accept == "text/plain":
        check = subprocess.run(["promtool", "check", "metrics"], input=reply.body,
                               capture_output=True)
        assert check.returncode == 0, check.stderr


def test_auto_lines_cannot_be_forged(attacked):
    source = attacked.get("/pm-status?auto").text
    assert_no_controls(source)
    keys = [line.split(":")[0] for line in source.splitlines()]
    assert len(keys) == len(set(keys))


def test_a_hostile_query_of_the_page_itself_is_inert(attacked):
    for form in ("", "&format=json", "&format=csv", "&format=prometheus"):
        for name in ("since", "incident", "view", "refresh", "format"):
            for value in ("%3Cscript%3Ealert(1)%3C/script%3E", "<script>alert(1)</script>",
                          "%1b[2J%00%ff", "a" * 6000):
                reply = attacked.get(f"/pm-status?{name}={value}{form}")
                assert reply.status in (200, 400)
                assert_no_controls(reply.body.decode("utf-8"), allowed="\r\n")
                assert "<script" not in reply.text


TERMINAL = [["list"], ["show", "-1"], ["events"], ["status"], ["report", "-1"],
            ["report", "-1", "--format", "json"], ["export", "--format", "csv"],
            ["export", "--format", "jsonl"], ["check"]]


@pytest.mark.parametrize("command", TERMINAL, ids=" ".join)
def test_nothing_reaches_a_terminal_that_it_would_act_on(attacked, command):
    name, *arguments = command
    done = pmcapture(name, "-f", attacked.capture, *arguments)
    assert done.returncode in (0, 1, 2), done.stderr
    for output in (done.stdout, done.stderr):
        assert_no_controls(output.decode("utf-8"), allowed="\n\r" if "csv" in command else "\n")
