"""Usual traffic does not come: seen, looked at from outside, and put into words that say where it ends."""
import http.client
import signal
import threading
import time

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, seconds
from harness.httpd import QUICK_RULES
from harness.load import Load
from harness.ports import free_port
from harness.wait import wait_for

SOURCES = [f"127.0.0.{n}" for n in range(2, 8)]


class Clients:
    """Six clients that ask an address twenty times a second, whatever they get."""

    def __init__(self, address, port, rate=20):
        self.address, self.port, self.rate = address, port, rate
        self.prefix = b""       # sent before the request
        self.replies = []       # (when, status or None)
        self.stopping = False
        self.threads = [threading.Thread(target=self._run, args=(source,), daemon=True) for source in SOURCES]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *problem):
        self.stop()

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(30)

    def _run(self, source):
        while not self.stopping:
            begin = time.time()
            self.replies.append((begin, self._ask(source)))
            time.sleep(max(0.0, begin + len(SOURCES) / self.rate - time.time()))

    def _ask(self, source):
        connection = http.client.HTTPConnection(self.address, self.port, timeout=10, source_address=(source, 0))
        try:
            connection.connect()
            connection.sock.sendall(self.prefix)
            connection.request("GET", "/", headers={"Connection": "close"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def served(self, count):
        """Until so many more were served."""
        before = len([1 for _, status in self.replies if status == 200])
        wait_for(lambda: len([1 for _, status in self.replies if status == 200]) >= before + count, 120,
                 f"{count} more are served")

    def last_served(self):
        return max(when for when, status in self.replies if status == 200)


def open_incident(httpd, kind, limit=90):
    def found():
        incidents = [one for one in document.from_file(httpd.capture)["incidents"]
                     if kind in one["kinds"] and one["state"] == "open"]
        return incidents[0] if incidents else None

    return wait_for(found, limit, f"an incident of kind {kind} is open", 0.5)


def told(httpd, kind, limit=60, **data):
    """The newest event of that type with such data."""
    def found():
        them = [event for event in events(document.from_file(httpd.capture), kind)
                if all(event["data"].get(key) == value for key, value in data.items())]
        return them[-1] if them else None

    return wait_for(found, limit, f"{kind} {data}", 0.5)


def rewrite(httpd, old, new):
    """Edit the configuration, and reload."""
    text = httpd.conf.read_text()
    assert old in text
    httpd.conf.write_text(text.replace(old, new))
    httpd.reload()


def not_blamed(incident, *kinds):
    assert not {cause["kind"] for cause in incident["causes"]} & set(kinds)


def served_again(httpd, clients):
    clients.served(40)
    closed = wait_for(lambda: [one for one in document.from_file(httpd.capture)["incidents"]
                               if "silence" in one["kinds"] and one["state"] == "closed"], 60, "it is over", 0.5)
    assert len(closed) == 1
    told(httpd, "traffic.silence", resolved=True)
    assert pmcapture("check", "-f", httpd.capture).returncode == 0
    document.validate(document.from_file(httpd.capture))


def test_a_listener_that_moved_to_loopback_is_a_silence_with_its_line(new_httpd):
    port = free_port()
    httpd = new_httpd(config=f"Listen 127.0.0.9:{port}\n").start()
    with Clients("127.0.0.9", port) as clients:
        clients.served(45 * 20)
        rewrite(httpd, f"Listen 127.0.0.9:{port}", f"Listen 127.0.0.1:{port}")
        incident = open_incident(httpd, "silence")
        silence = told(httpd, "traffic.silence", resolved=False)
        last = clients.last_served()
        assert abs(seconds(incident["onset"]) - last) < 2
        assert incident["scope"]["vhost"] is None and incident["kinds"] == ["silence"]
        assert silence["severity"] == "warning"
        assert f"listens on 127.0.0.1:{port}" in silence["text"] and f"no more on 127.0.0.9:{port}" in silence["text"]
        assert "conf/httpd.conf:" in silence["text"] and "generation" in silence["text"]
        assert silence["data"]["expected"] > 100
        changed = told(httpd, "listener.changed")
        assert changed["data"]["added"] == [f"127.0.0.1:{port}"] and changed["data"]["removed"] == [f"127.0.0.9:{port}"]
        found = document.from_handler(httpd)
        document.validate(found)
        incident, = found["incidents"]
        assert incident["causes"][0]["kind"] == "config.changed" and "Listen" in incident["causes"][0]["summary"]
        not_blamed(incident, "traffic", "backend", "workers")
        assert incident["unserved"]["seconds"] > 9 and incident["unserved"]["expected_requests"] > 100
        assert pmcapture("check", "-f", httpd.capture).returncode == 1
        rewrite(httpd, f"Listen 127.0.0.1:{port}", f"Listen 127.0.0.9:{port}")
        served_again(httpd, clients)
    assert "OPTIONS" not in httpd.access_log.path.read_text()


def test_a_proxys_own_connections_are_no_clients(new_httpd, backend):
    """Each request opens one to the backend: connections that bring none would be usual then, and say nothing."""
    httpd = new_httpd(modules=("remoteip",), config=f"# here\nProxyPass / {backend.url}/ disablereuse=On\n").start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
        rewrite(httpd, "# here", "RemoteIPProxyProtocol On")
        open_incident(httpd, "silence")
        silence = told(httpd, "traffic.silence", resolved=False)
        assert silence["data"]["connections"] >= 5 and "connections that brought none" in silence["text"]


def test_a_proxy_header_that_is_expected_on_one_side_only_is_named(new_httpd):
    httpd = new_httpd(modules=("remoteip",), config="# here\n").start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
        rewrite(httpd, "# here", "RemoteIPProxyProtocol On")
        incident = open_incident(httpd, "silence")
        silence = told(httpd, "traffic.silence", resolved=False)
        assert abs(seconds(incident["onset"]) - clients.last_served()) < 2
        assert "a PROXY header is expected (since generation 2, conf/httpd.conf:" in silence["text"]
        assert silence["data"]["connections"] >= 5 and silence["data"]["probe"] == "proxy_header"
        incident, = document.from_file(httpd.capture)["incidents"]
        assert incident["causes"][0]["kind"] == "config.changed"
        assert "RemoteIPProxyProtocol" in incident["causes"][0]["summary"]
        not_blamed(incident, "traffic", "backend", "workers")
        rewrite(httpd, "RemoteIPProxyProtocol On", "# here")
        served_again(httpd, clients)
    found = document.settled(httpd)
    assert document.status_totals(found) == httpd.access_log.totals(), "probes count for nothing"


def test_a_graceful_stop_that_waits_for_a_request_is_neither_silence_nor_unreachable(new_httpd, backend):
    """The listeners are closed with the signal; a restart for an update may wait like this."""
    port = free_port()
    httpd = new_httpd(config=f"Listen 127.0.0.9:{port}\nProxyPass /api http://127.0.0.1:{backend.port}/\n"
                             "GracefulShutdownTimeout 25\n").start()
    with Clients("127.0.0.9", port) as clients, Load(httpd.port) as load:
        clients.served(45 * 20)
        load.stream("/api/hang", rate=10, count=1)
        document.wait_for_document(httpd, lambda d: (d["in_flight"]["oldest"] or 0) > 1, 30, "the request is under way")
        parent = httpd.parent
        processes.kill(parent, signal.SIGWINCH)
        wait_for(lambda: not processes.alive(parent), 60, "the stop is over")
        httpd.start()
        clients.served(40)
        final = document.ticked(httpd, 2)
    stop, = events(final, "server.stop")
    assert seconds(stop["at"]) - clients.replies[0][0] > 20, "it took its time"
    assert final["incidents"] == [] and events(final, "probe.failed", "traffic.silence") == []


def test_when_nobody_comes_though_all_is_well_the_probe_says_so(new_httpd):
    httpd = new_httpd().start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
    open_incident(httpd, "silence")
    silence = told(httpd, "traffic.silence", resolved=False)
    assert f"127.0.0.1:{httpd.port} answers its own machine in" in silence["text"]
    assert "what is in front of it is broken, or nobody comes" in silence["text"]
    found = document.settled(httpd)
    assert document.status_totals(found) == httpd.access_log.totals()
    assert "OPTIONS" not in httpd.access_log.path.read_text()


def test_a_proxy_header_that_httpd_does_not_expect_is_told_by_what_clients_get(new_httpd):
    httpd = new_httpd().start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
        clients.prefix = b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n"
        incident = open_incident(httpd, "silence")
        silence = told(httpd, "traffic.silence", resolved=False)
        assert abs(seconds(incident["onset"]) - clients.last_served()) < 2
        assert " client was served for " in silence["text"] and " came that got 400" in silence["text"]
        assert "in front of it" not in silence["text"] and "nobody comes" not in silence["text"]
        assert silence["data"]["requests"] > 100 and silence["data"]["probe"] == "answers"
        clients.prefix = b""
        served_again(httpd, clients)
    assert "Clients get other answers than 400 again" in told(httpd, "traffic.silence", resolved=True)["text"]


def test_health_checks_alone_are_said_to_come(new_httpd):
    httpd = new_httpd().start()
    with Clients("127.0.0.1", httpd.port) as clients:
        clients.served(45 * 20)
    for _ in range(30):
        httpd.get("/", headers={"User-Agent": "ELB-HealthChecker/2.0"})
        time.sleep(0.5)
    open_incident(httpd, "silence")
    silence = told(httpd, "traffic.silence", resolved=False)
    assert " of health checkers or httpd's own for " in silence["text"] and silence["data"]["requests"] > 5
    assert "in front of it" not in silence["text"] and "nobody comes" not in silence["text"]


def test_one_client_that_stops_is_no_silence(new_httpd):
    httpd = new_httpd().start()
    for _ in range(60):
        httpd.get("/")
        time.sleep(0.5)
    found = document.ticked(httpd, 25, limit=90)
    assert found["incidents"] == [] and not events(found, "traffic.silence")


@pytest.mark.parametrize("line", ["PMCaptureProbe sometimes", "PMCaptureProbe every=0", "PMCaptureProbe url=ftp://x/"])
def test_a_bad_rule_of_the_probe_is_refused(new_httpd, line):
    httpd = new_httpd(pm=QUICK_RULES + line + "\n")
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0 and "PMCaptureProbe" in done.output and "every=T" in done.output
