"""Who answers: the recorder, to httpd's handler and on PMCaptureListen; and what is said when it does not."""
import http.client
import json
import os
import signal
import socket
import threading
import time

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.httpd import QUICK_RULES, Httpd
from harness.ports import free_port
from harness.wait import room, wait_for

FORMATS = {"": "text/html", "?auto": "text/plain", "?format=json": "application/json",
           "?format=csv": "text/csv", "?format=prometheus": "text/plain"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(where, path="/", method="GET", **headers):
    connection = UnixConnection(where) if isinstance(where, str) else \
        http.client.HTTPConnection("127.0.0.1", where, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def answers(where):
    """Nobody may be there yet, or not any more."""
    try:
        return ask(where, "/?auto")[0].status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.fixture
def listening(new_httpd):
    """A server whose recorder listens, on a port and on a Unix socket."""
    def make(**how):
        httpd = new_httpd(**how)
        httpd.pages_port = free_port()
        httpd.pages_socket = str(httpd.root / "run/pages.sock")
        httpd.pm += f"PMCaptureListen 127.0.0.1:{httpd.pages_port} unix:{httpd.pages_socket}\n"
        return httpd

    return make


# ---- without a recorder ----

@pytest.mark.parametrize("query", FORMATS)
def test_without_a_recorder_the_page_is_503_with_a_sentence_and_live_figures(new_httpd, query):
    httpd = new_httpd()
    httpd.pm += "PMCaptureRecorder off\n"
    httpd.start()
    httpd.get("/")
    reply = httpd.get("/pm-status" + query)
    assert reply.status == 503
    assert reply.headers["Content-Type"].startswith(FORMATS[query])
    assert reply.headers["Cache-Control"] == "no-store"
    assert "recorder" in reply.text.lower()
    if query == "?format=json":     # a request is counted after its client has the reply
        wait_for(lambda: json.loads(httpd.get("/pm-status" + query).text)["live"]["requests"] >= 1, 30, "it is counted")
    if query == "?auto":
        assert "LiveRequests: " in reply.text


@pytest.mark.parametrize("problem", ["missing", "not executable", "a folder"])
def test_a_recorder_that_cannot_be_run_is_said_and_httpd_serves(new_httpd, problem):
    httpd = new_httpd()
    path = httpd.root / "pmrecorder"
    if problem == "not executable":
        path.write_text("#!/bin/sh\n")
    elif problem == "a folder":
        path.mkdir()
    httpd.pm += f'PMCaptureRecorder "{path}"\n'
    httpd.start()
    assert httpd.get("/").status == 200
    reply = httpd.get("/pm-status?auto")
    assert reply.status == 503 and str(path) in reply.text and "cannot be run" in reply.text
    assert httpd.said("cannot be run", str(path), "crit")
    httpd.reload()
    assert httpd.get("/").status == 200


def test_a_program_that_ends_at_once_is_not_started_over_and_over(new_httpd):
    httpd = new_httpd()
    path, log = httpd.root / "pmrecorder", httpd.root / "starts"
    path.write_text(f"#!/bin/sh\necho >>{log}\nexit 1\n")
    path.chmod(0o755)
    httpd.pm += f'PMCaptureRecorder "{path}"\n'
    begun = time.monotonic()
    httpd.start()
    wait_for(lambda: log.exists() and time.monotonic() > begun + 4, 20, "it was started")
    assert httpd.get("/").status == 200
    starts = len(log.read_text().splitlines())
    assert 1 <= starts <= 1 + time.monotonic() - begun
    begun = time.monotonic()
    assert httpd.get("/pm-status").status == 503
    assert time.monotonic() - begun < room(2)


def test_a_recorder_that_hangs_holds_up_a_page_for_two_seconds(new_httpd):
    httpd = new_httpd().start()
    document.ticked(httpd, 1)
    for pid in httpd.recorders():
        processes.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    reply = httpd.get("/pm-status?auto")
    took = time.monotonic() - begun
    for pid in httpd.recorders():
        processes.kill(pid, signal.SIGCONT)
    assert reply.status == 503 and "does not answer" in reply.text
    assert 1.5 < took < room(2)
    wait_for(lambda: httpd.get("/pm-status?auto").status == 200, 10, "it answers again")


# ---- PMCaptureListen ----

def test_the_recorder_serves_the_pages_itself(listening, mpm):
    httpd = listening(mpm=mpm).start()
    httpd.get("/")
    document.settled(httpd)
    for where in (httpd.pages_port, httpd.pages_socket):
        for query, kind in FORMATS.items():
            response, body = ask(where, "/" + query)
            assert response.status == 200 and response.headers["Content-Type"].startswith(kind)
            assert response.headers["Cache-Control"] == "no-store"
        response, body = ask(where, "/metrics")
        assert "pmcapture_requests_total" in body
        response, body = ask(where, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert body.endswith("# EOF\n")
        response, body = ask(where, "/", method="HEAD")
        assert response.status == 200 and body == ""
        response, body = ask(where, "/", method="POST")
        assert response.status == 405 and response.headers["Allow"] == "GET, HEAD"
        response, body = ask(where, "/?format=json&incident=77")
        assert response.status == 404 and "error" in json.loads(body)
        response, body = ask(where, "/?format=json&since=never")
        assert response.status == 400 and "error" in json.loads(body)
    found = json.loads(ask(httpd.pages_port, "/?format=json")[1])
    document.validate(found)


def test_metrics_are_below_the_page_too_and_the_tool_asks_the_socket(listening):
    httpd = listening().start()
    httpd.get("/")
    document.settled(httpd)
    assert "pmcapture_requests_total" in httpd.get("/pm-status/metrics").text
    asked = pmcapture("status", "-u", f"unix:{httpd.pages_socket}")
    assert asked.returncode == 0 and b"unning" in asked.stdout
    wrong = pmcapture("status", "-u", f"unix:{httpd.root}/nothing.sock")
    assert wrong.returncode == 3 and b"cannot be reached" in wrong.stderr
    assert pmcapture("status", "-u", "unix:relative").returncode == 2


def test_the_tool_says_why_a_page_is_503(new_httpd):
    httpd = new_httpd()
    httpd.pm += "PMCaptureRecorder off\n"
    httpd.start()
    asked = pmcapture("status", "-u", f"http://127.0.0.1:{httpd.port}/pm-status")
    assert asked.returncode == 3 and b"PMCaptureRecorder off" in asked.stderr


def test_pages_are_served_while_every_worker_is_busy(listening, mpm):
    httpd = listening(mpm=mpm)
    httpd.pm = httpd.pm.replace("PMCaptureSlow", "# ")
    httpd.start()
    document.ticked(httpd, 1)
    busy = []
    try:
        for _ in range(140):        # more than there are workers; none sends its whole request
            one = socket.create_connection(("127.0.0.1", httpd.port), 60)
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
            busy.append(one)
        begun = time.monotonic()
        response, body = ask(httpd.pages_port, "/?auto")
        assert response.status == 200 and "ServerState: running" in body.replace("State: ", "ServerState: ")
        assert time.monotonic() - begun < room(2)
    finally:
        for one in busy:
            one.close()


@pytest.mark.parametrize("capture", ["logs/pmcapture.pmc", None])
@pytest.mark.parametrize("how", ["killed", "a reload that failed"])
def test_pages_are_served_while_httpd_is_down_and_say_so(listening, mpm, how, capture):
    httpd = listening(mpm=mpm, capture=capture).start()
    httpd.get("/")
    wait_for(lambda: answers(httpd.pages_port), 10, "it listens there")
    wait_for(lambda: json.loads(ask(httpd.pages_port, "/?format=json")[1])["totals"]["requests"] >= 1, 10,
             "it is counted")
    if how == "killed":
        for pid in [httpd.parent, *httpd.servers()]:
            processes.kill(pid)
        wait_for(lambda: not httpd.servers(), 10, "httpd is gone")
        httpd.pid_file.unlink(missing_ok=True)
    else:
        with open(httpd.conf, "a") as conf:
            conf.write("NoSuchDirective on\n")
        httpd.send(signal.SIGUSR1)
        httpd.wait_failed()

    def is_down():
        found = json.loads(ask(httpd.pages_port, "/?format=json")[1])
        return found["server"]["state"] == "down" and found["incidents"] and found

    found = wait_for(is_down, 5, "down is said")
    assert found["incidents"][0]["kinds"] == ["down"] and found["incidents"][0]["state"] == "open"
    assert "obody has been served" in ask(httpd.pages_port)[1]
    metrics = ask(httpd.pages_socket, "/metrics")[1]
    assert "pmcapture_incident_open 1" in metrics
    httpd.start()

    def runs():
        """The last server's recorder may be leaving as it is asked."""
        try:
            return json.loads(ask(httpd.pages_port, "/?format=json")[1])["server"]["state"] == "running"
        except (OSError, http.client.HTTPException):
            return False

    wait_for(runs, 15, "the next server's recorder answers on the same port")


def test_listening_goes_on_over_reloads_and_follows_the_configuration(listening):
    httpd = listening().start()
    document.ticked(httpd, 1)
    stop, failed = threading.Event(), []

    def poll():
        while not stop.is_set():
            try:
                if ask(httpd.pages_port, "/?auto")[0].status != 200:
                    failed.append("status")
            except OSError as error:
                failed.append(error)
            time.sleep(0.02)

    poller = threading.Thread(target=poll)
    poller.start()
    for sig in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
        httpd.reload(sig)
    time.sleep(0.3)
    stop.set()
    poller.join()
    assert failed == []
    old, other = httpd.pages_port, free_port()
    httpd.pm = httpd.pm.replace(f"127.0.0.1:{old}", f"127.0.0.1:{other}")
    httpd.write_config()
    httpd.reload()
    wait_for(lambda: answers(other), 10, "the new port answers")
    wait_for(lambda: not answers(old), 10, "the old one is closed")
    httpd.stop()
    with pytest.raises(OSError):
        ask(other)
    assert not os.path.exists(httpd.pages_socket)


def test_a_port_that_somebody_has_is_said_and_taken_when_it_is_free(listening):
    httpd = listening()
    with socket.socket() as other:
        other.bind(("127.0.0.1", httpd.pages_port))
        other.listen()
        httpd.start()
        assert httpd.get("/").status == 200
        assert httpd.said("PMCaptureListen", str(httpd.pages_port), "in use")
        assert ask(httpd.pages_socket)[0].status == 200
    wait_for(lambda: answers(httpd.pages_port), 30, "it listens there")


def test_clients_that_say_nothing_keep_nobody_from_an_answer(listening):
    httpd = listening().start()
    document.ticked(httpd, 1)
    silent = [socket.create_connection(("127.0.0.1", httpd.pages_port), 60) for _ in range(20)]
    try:
        for one in silent[:10]:
            one.sendall(b"GET / HTTP/1.1\r\nX-Half: ")
        try:
            silent[0].sendall(b"x" * 100000)
        except ConnectionError:     # it has had enough
            pass
        assert ask(httpd.pages_port, "/?auto")[0].status == 200
        assert ask(httpd.pages_port, "/?" + "x" * 20000)[0].status in (200, 414, 431)
        assert httpd.get("/pm-status?auto").status == 200
    finally:
        for one in silent:
            one.close()


@pytest.mark.parametrize("address,advice", [
    ("nonsense", "numeric"), ("localhost:80", "numeric"), ("unix:relative", "absolute"),
    ("127.0.0.1", "port"), ("unix:/" + "x" * 120, "107"), ("[::1", ""),
])
def test_a_bad_address_is_a_configuration_error(address, advice):
    httpd = Httpd(pm=QUICK_RULES + f'PMCaptureListen "{address}"\n')
    try:
        httpd.write_config()
        done = httpd.command("-t")
        assert done.returncode != 0
        assert "PMCaptureListen" in done.output and advice in done.output
    finally:
        httpd.close()
