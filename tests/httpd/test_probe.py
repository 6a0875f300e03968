"""The recorder looks at httpd's own listeners from outside: what it finds, and that it leaves no trace."""
import os
import signal
import socket
import time

import pytest

from harness import document, sandbox
from harness.companion import pmcapture
from harness.document import events, seconds
from harness.httpd import QUICK_RULES
from harness.ports import free_port
from harness.service import Service
from harness.wait import wait_for
from test_silence import Clients, not_blamed, open_incident, told


def test_a_probe_counts_for_nothing_and_is_in_no_log(new_httpd, mpm):
    others = [free_port() for _ in range(3)]
    config = "".join(f"Listen 127.0.0.1:{port}\n" for port in others) + f"""
Listen [::1]:{others[0]}
LogFormat "%h %r" all
CustomLog "logs/all.log" all
<VirtualHost 127.0.0.1:{others[1]}>
    PMCapture Off
    CustomLog "logs/all.log" all
</VirtualHost>
"""
    httpd = new_httpd(mpm=mpm, pm=QUICK_RULES + "PMCaptureProbe every=1\n", config=config).start()
    for _ in range(5):
        httpd.get("/")
    document.ticked(httpd, 8, limit=60)
    found = document.settled(httpd)
    assert document.status_totals(found) == httpd.access_log.totals()
    assert "OPTIONS" not in (httpd.root / "logs/all.log").read_text()
    assert found["incidents"] == [] and not events(found, "probe.failed")
    rows = found["series"]["rows"]
    requests = found["series"]["columns"].index("requests")
    assert sum(row[requests] for row in rows) == 5


def test_modules_that_note_a_requests_end_see_a_probes_too(new_httpd, mpm):
    """mod_log_forensic writes a line when a request comes and one when it is done: without the second it crashed."""
    off = free_port()
    httpd = new_httpd(mpm=mpm, modules=("log_forensic",), pm=QUICK_RULES + "PMCaptureProbe every=1\n", config=f"""
ForensicLog logs/forensic.log
Listen 127.0.0.1:{off}
<VirtualHost 127.0.0.1:{off}>
    PMCapture Off
</VirtualHost>
""").start()
    forensic = httpd.root / "logs/forensic.log"
    wait_for(lambda: forensic.read_text().count("+") >= 4, 60, "probes came")
    httpd.get("/")
    httpd.stop(signal.SIGWINCH)
    lines = forensic.read_text().splitlines()
    begun = [line[1:].split("|")[0] for line in lines if line[0] == "+"]
    assert sorted(begun) == sorted(line[1:] for line in lines if line[0] == "-")
    assert sum("|OPTIONS * " in line for line in lines) >= 4
    assert httpd.access_log.totals() == {"200": 1} and "OPTIONS" not in httpd.access_log.path.read_text()


def test_probes_that_httpd_meets_after_minutes_count_for_nothing(new_httpd):
    """A server that is stuck for long takes them all at once when it goes on."""
    httpd = new_httpd(mpm="prefork", pm=QUICK_RULES + "PMCaptureProbe every=1\n").start()
    document.ticked(httpd, 3)
    stopped = httpd.workers()
    for pid in [httpd.parent, *stopped]:
        os.kill(pid, signal.SIGSTOP)
    try:
        begin = told(httpd, "probe.failed", how="no_answer")
        wait_for(lambda: time.time() > seconds(begin["at"]) + 90, 120, "the first looks are long ago")
    finally:
        for pid in [*stopped, httpd.parent]:
            os.kill(pid, signal.SIGCONT)
    document.wait_closed(httpd, limit=120)
    httpd.get("/")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals() == {"200": 1}


def test_a_client_that_asks_as_the_probe_does_is_counted(new_httpd):
    httpd = new_httpd(pm=QUICK_RULES + "PMCaptureProbe every=1\n").start()
    document.ticked(httpd, 3)
    with socket.create_connection(("127.0.0.1", httpd.port), 10) as client:
        client.sendall(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nUser-Agent: pmrecorder\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200")
    assert document.status_totals(document.settled(httpd)) == {"200": 1}
    assert httpd.access_log.totals() == {"200": 1}


def test_a_server_that_accepts_and_does_not_answer_is_unreachable(new_httpd):
    httpd = new_httpd(mpm="prefork").start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
        stopped, begin = httpd.workers(), time.time()
        for pid in [httpd.parent, *stopped]:
            os.kill(pid, signal.SIGSTOP)
        try:
            incident = open_incident(httpd, "unreachable", 120)
            failed = told(httpd, "probe.failed", how="no_answer")
            assert failed["data"]["listener"] == f"127.0.0.1:{httpd.port}" and failed["severity"] == "critical"
            assert "accepts, and does not answer within 5 s (conf/httpd.conf:" in failed["text"]
            assert seconds(incident["onset"]) - begin < 30
            not_blamed(incident, "backend", "config.changed")
            assert pmcapture("check", "-f", httpd.capture).returncode == 1
        finally:
            for pid in [*stopped, httpd.parent]:
                os.kill(pid, signal.SIGCONT)
        clients.served(40)
        document.wait_for_document(httpd, lambda found: all(one["state"] == "closed" for one in found["incidents"]),
                                   120, "it is over")
    told(httpd, "probe.failed", resolved=True)
    document.validate(document.from_file(httpd.capture))
    clients_saw = len([1 for _, status in clients.replies if status == 200])
    assert httpd.access_log.totals()["200"] >= clients_saw
    assert "OPTIONS" not in httpd.access_log.path.read_text()


@pytest.fixture
def served(new_httpd):
    """A server with quick looks, and the service that records it; neither is started yet."""
    httpd = new_httpd(mpm="prefork", pm=QUICK_RULES + "PMCaptureProbe every=1\n")
    service = Service(httpd)
    httpd.pm += service.directive()
    yield httpd, service
    service.close()


def test_a_service_looks_from_outside_within_its_units_sandbox(served):
    httpd, service = served
    service.start(preexec_fn=sandbox.of_unit)
    httpd.start()
    found = document.ticked(httpd, 6, limit=60)
    assert found["incidents"] == [] and not events(found, "probe.failed")
    stopped = httpd.workers()
    for pid in [httpd.parent, *stopped]:
        os.kill(pid, signal.SIGSTOP)
    try:
        told(httpd, "probe.failed", how="no_answer")    # who could not look would say nothing
    finally:
        for pid in [*stopped, httpd.parent]:
            os.kill(pid, signal.SIGCONT)
    document.wait_closed(httpd, limit=120)


@pytest.mark.parametrize("sandboxed", [sandbox.own_network, lambda: sandbox.restrict_families([socket.AF_UNIX])],
                         ids=["another network", "Unix sockets alone"])
def test_a_recorder_that_cannot_look_says_nothing_of_what_it_would_see(served, sandboxed):
    httpd, service = served
    service.start(preexec_fn=sandboxed)
    httpd.start()
    httpd.get("/")
    found = document.ticked(httpd, 8, limit=60)
    assert found["incidents"] == [] and not events(found, "probe.failed")
    if sandboxed is sandbox.own_network:
        wait_for(lambda: httpd.said("looks at nothing from outside"), 10, "why it does not look is said")
