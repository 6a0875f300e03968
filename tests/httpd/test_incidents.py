"""Incident windows: when they open, when they close, whom they are about.

Truth is what the load's own log says. Rules are short so that a burst is over two seconds after it;
the last test uses the defaults.
"""
import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import document
from harness.document import seconds, wait_closed, wait_for_document
from harness.httpd import MPMS
from harness.load import Load, failed
from harness.wait import MILLISECOND, room, wait_for

FAIL = 'Redirect 503 "/fail"\n'


def good_load(load, rate=20):
    """Traffic of several clients that succeeds."""
    return load.stream("/", rate=rate, source=lambda n: f"127.0.3.{1 + n % 8}")


def burst(load, count=30, rate=40, **options):
    options.setdefault("source", lambda n: f"127.0.4.{1 + n % 10}")
    return load.stream("/fail", rate=rate, count=count, **options)


def pause(seconds_):
    """Time that must pass for the scenario itself (the gap between two bursts)."""
    time.sleep(seconds_)


def logged(httpd, failures):
    """What the access log has of them; each is there soon after its reply."""
    paths = {one.path for one in failures}
    first, last = min(one.start for one in failures), max(one.end for one in failures)

    def found():
        entries = [entry for entry in httpd.access_log.entries()
                   if entry.request.split(" ")[1] in paths and entry.end > first and entry.begin < last]
        return entries if len(entries) == len(failures) else None

    return wait_for(found, 20, "all are logged")


def assert_true_onset(httpd, incident, failures):
    """The first failing request's arrival, which both take from the same clock; the load had sent it before. One or two
    that come slowly among others that succeed are no incident yet: gives how many are of it."""
    arrived = sorted(entry.begin for entry in logged(httpd, failures))
    assert min(one.start for one in failures) <= arrived[0] + MILLISECOND
    onset = seconds(incident["onset"])
    of_it = [at for at in arrived if at >= onset - MILLISECOND]
    assert len(arrived) - len(of_it) <= 2 and onset == pytest.approx(of_it[0], abs=MILLISECOND)
    return len(of_it)


def assert_true_window(httpd, incident, failures, took=0):
    """Onset is the first failing request's arrival, end the last one's completion: it took so long at least, and was
    before its line in the access log. Gives how many are of it."""
    of_it = assert_true_onset(httpd, incident, failures)
    entries = logged(httpd, failures)
    least = max(entry.begin for entry in entries) + took
    most = max(entry.end for entry in entries)
    assert least - MILLISECOND <= seconds(incident["end"]) <= most + MILLISECOND
    return of_it
    duration = seconds(incident["end"]) - seconds(incident["onset"])
    assert incident["duration"] == pytest.approx(duration, abs=0.002)


def assert_true_requests(httpd, incident, vhost=None):
    """So many as came, within the bounds that are stated: those that surely completed in it, and that maybe did."""
    onset, end = seconds(incident["onset"]), seconds(incident["end"])
    asked = [e for e in httpd.access_log.entries() if vhost in (None, e.vhost)]
    surely = sum(onset + MILLISECOND <= e.begin and e.end <= end - MILLISECOND for e in asked)
    maybe = sum(onset - MILLISECOND <= e.end and e.begin <= end + MILLISECOND for e in asked)
    bounds = incident["requests_bounds"]
    assert bounds["least"] <= maybe and surely <= bounds["most"], (surely, maybe, bounds)
    assert bounds["least"] <= incident["requests"] <= bounds["most"]


def test_a_burst_shorter_than_the_window_is_an_incident_with_true_onset_and_end(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        good_load(load)
        pause(1.5)
        sent = burst(load).wait()
        final = wait_closed(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    assert incident["kinds"] == ["errors"]
    errors = assert_true_window(httpd, incident, sent)
    assert incident["errors"] == errors
    assert incident["status"] == {"503": errors}
    assert errors <= incident["requests"]
    assert_true_requests(httpd, incident)
    assert incident["error_ratio"] == pytest.approx(incident["errors"] / incident["requests"], 0.01)
    assert seconds(incident["onset"]) <= seconds(incident["detected"])
    assert seconds(incident["detected"]) < seconds(incident["onset"]) + room(3)
    assert incident["clients"]["affected"] == pytest.approx(10, abs=1)
    # the peak is a second of the clock: the one that holds the onset may begin before it
    peak = seconds(incident["peak"]["at"])
    assert seconds(incident["onset"]) - room(1) < peak <= seconds(incident["end"])
    opened, closed = document.events(final, "incident.open", "incident.close")
    assert opened["type"] == "incident.open" and closed["type"] == "incident.close"


def test_onset_is_the_arrival_of_a_request_that_fails_seconds_later(new_httpd, backend, mpm):
    # of requests that come slowly, too, ten lie in the window
    rules = "PMCaptureBurst errors=10 ratio=5% window=15 clear=2\nPMCaptureSlow Off\n"
    httpd = new_httpd(mpm=mpm, pm=rules, config=f"""
        ProxyPass "/api/" "{backend.url}/" retry=0 timeout=3""").start()
    with Load(httpd.port) as load:
        good_load(load)
        pause(1.5)
        hung = load.stream("/api/hang", rate=10, count=20, source=lambda n: f"127.0.4.{1 + n}")
        sent = hung.wait()
        final = wait_closed(httpd)
    assert len(failed(sent)) == 20 and min(one.end - one.start for one in sent) > 2.5
    [incident] = final["incidents"]
    assert incident["errors"] == assert_true_window(httpd, incident, sent, took=3)


def test_too_few_errors_are_no_incident(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        good_load(load, rate=60)
        pause(1.5)
        burst(load, count=2).wait()
        pause(2)
    assert document.settled(httpd)["incidents"] == []


def test_bursts_closer_than_clear_are_one_incident_and_farther_ones_are_two(new_httpd, mpm):
    rules = "PMCaptureBurst errors=10 ratio=5% window=2 clear=6\nPMCaptureSlow Off\n"
    httpd = new_httpd(mpm=mpm, config=FAIL, pm=rules).start()
    with Load(httpd.port) as load:
        good_load(load)
        pause(1.5)
        first = burst(load).wait()
        pause(1.8)
        first = first + burst(load).wait()
        wait_closed(httpd)
        second = burst(load).wait()
        final = wait_closed(httpd, count=2)
    assert len(final["incidents"]) == 2
    for incident, failures in zip(final["incidents"], (first, second)):
        assert incident["errors"] == assert_true_window(httpd, incident, failures)
    assert final["incidents"][0]["id"] < final["incidents"][1]["id"]


def test_two_bursts_with_a_quiet_gap_longer_than_clear_are_two_incidents(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        good_load(load)
        pause(1.5)
        first = burst(load).wait()
        pause(5)            # longer than clear and window; nobody looks meanwhile
        second = burst(load).wait()
        final = wait_closed(httpd, count=2)
    assert len(final["incidents"]) == 2
    assert_true_window(httpd, final["incidents"][0], first)
    assert_true_window(httpd, final["incidents"][1], second)


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_an_incident_that_goes_on_in_the_next_run_is_one(new_httpd, mpm, way):
    rules = "PMCaptureBurst errors=10 ratio=5% window=3 clear=6\nPMCaptureSlow Off\n"
    httpd = new_httpd(mpm=mpm, config=FAIL, pm=rules).start()
    with Load(httpd.port) as load:
        before = good_load(load)
        pause(1.5)
        sent = burst(load).wait()
        wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
        before.stop()
        httpd.stop() if way == "stopped" else httpd.kill()
        httpd.start()
        sent = sent + burst(load).wait()
        good_load(load)
        final = wait_closed(httpd, limit=30)
    document.validate(final)
    [incident] = final["incidents"]
    assert incident["errors"] == assert_true_window(httpd, incident, sent)
    assert "errors" in incident["kinds"]


def test_without_traffic_an_incident_stays_open_until_requests_succeed(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        sent = burst(load).wait()
        wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
        last = max(one.end for one in sent)
        wait_for(lambda: time.time() > last + 5, 20, "more than twice `clear` has passed")
        [incident] = document.ticked(httpd, 1)["incidents"]
        assert incident["state"] == "open" and incident["end"] is None
        assert incident["duration"] >= 5
        good_load(load)
        [incident] = wait_closed(httpd)["incidents"]
    assert_true_window(httpd, incident, sent)


def test_a_small_virtual_host_that_fails_wholly_opens_an_incident_of_its_own(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config="""
        <VirtualHost 127.0.0.1:*>
            ServerName big.example
        </VirtualHost>
        <VirtualHost 127.0.0.1:*>
            ServerName small.example
            Redirect 503 "/fail"
        </VirtualHost>
        """, pm="PMCaptureBurst errors=5 ratio=25% window=3 clear=2\nPMCaptureSlow Off\n").start()
    with Load(httpd.port) as load:
        load.stream("/", rate=97, keepalive=6, host="big.example",
                    source=lambda n: f"127.0.3.{1 + n}")
        pause(1)
        sent = load.stream("/fail", rate=3, count=12, host="small.example",
                           source=lambda n: f"127.0.5.{1 + n % 4}").wait()
        wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
        load.stream("/", rate=3, host="small.example", source=lambda n: f"127.0.5.{1 + n % 4}")
        final = wait_closed(httpd)
    whole = final["totals"]
    assert whole["errors"] / whole["requests"] < 0.25, "the server as a whole stays under its rule"
    [incident] = final["incidents"]
    assert "small.example" in incident["scope"]["vhost"]
    assert_true_window(httpd, incident, failed(sent))
    assert incident["errors"] == len(sent)
    assert len(sent) <= incident["requests"]        # good ones of its last second may be in it
    assert_true_requests(httpd, incident, "small.example")


def test_a_virtual_host_may_have_a_rule_of_its_own(new_httpd):
    httpd = new_httpd(config="""
        <VirtualHost 127.0.0.1:*>
            ServerName strict.example
            PMCaptureBurst errors=3 ratio=5%
            Redirect 503 "/fail"
        </VirtualHost>
        <VirtualHost 127.0.0.1:*>
            ServerName lenient.example
            Redirect 503 "/fail"
        </VirtualHost>
        """, pm="PMCaptureBurst errors=200 ratio=50% window=3 clear=2\nPMCaptureSlow Off\n").start()
    with Load(httpd.port) as load:
        load.stream("/", rate=40, host="strict.example", source=lambda n: f"127.0.3.{1 + n % 8}")
        load.stream("/", rate=40, host="lenient.example", source=lambda n: f"127.0.3.{1 + n % 8}")
        pause(1)
        burst(load, count=15, rate=15, host="lenient.example").wait()
        pause(4)
        sent = burst(load, count=15, rate=15, host="strict.example").wait()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert "strict.example" in incident["scope"]["vhost"]
    assert_true_window(httpd, incident, sent)


def scanner(load, count=60):
    """One client that asks for odd things, each of which fails."""
    return load.stream(lambda n: f"/fail/{n}.php?cmd={n * 7919 % 1000}", rate=20, count=count,
                       source="127.0.6.66")


def test_a_scanner_among_other_clients_that_succeed_is_no_incident(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        load.stream("/", rate=12, source=lambda n: f"127.0.3.{1 + n % 4}")
        pause(1)
        sent = scanner(load).wait()
        pause(2)
    assert len(failed(sent)) == len(sent)
    assert document.settled(httpd)["incidents"] == []


def test_a_scanner_that_is_alone_is_an_incident(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        sent = scanner(load, count=40).wait()
    final = wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
    assert_true_onset(httpd, final["incidents"][0], sent)


def test_a_scanner_beside_a_health_checker_alone_is_an_incident(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config=FAIL).start()
    with Load(httpd.port) as load:
        load.stream("/", rate=5, source="127.0.7.1", agent="kube-probe/1.29")
        sent = scanner(load, count=40).wait()
        final = wait_for_document(httpd, lambda d: d["incidents"], 10, "the incident opens")
    assert_true_onset(httpd, final["incidents"][0], sent)


SLOW_RULES = ("PMCaptureBurst errors=1000\n"
              "PMCaptureSlow threshold=1s ratio=20% requests=5 window=6 clear=2\n")


def test_a_backend_that_hangs_is_a_slow_incident_before_anything_completes(
        new_httpd, backend, mpm):
    httpd = new_httpd(mpm=mpm, pm=SLOW_RULES, config=f"""
        ProxyPass "/api/" "{backend.url}/" retry=0 timeout=300""").start()
    with Load(httpd.port) as load:
        hung = load.stream("/api/hang", rate=10, count=10, source=lambda n: f"127.0.4.{1 + n}",
                           timeout=300)
        final = wait_for_document(httpd, lambda d: d["incidents"], 12, "the incident opens")
        [incident] = final["incidents"]
        assert final["totals"]["requests"] == 0, "nothing has completed"
        assert incident["state"] == "open" and incident["kinds"] == ["slow"]
        assert seconds(incident["detected"]) - seconds(incident["onset"]) < room(6)
        onset = incident["onset"]
        final = wait_for_document(httpd, lambda d: d["in_flight"]["requests"] == 10, 10, "all ten")
        assert final["in_flight"]["oldest"] > 1
        pause(1.1)          # so that the last one, too, hangs longer than the threshold
        released = time.time()
        backend.release()
        sent = hung.wait()
        good_load(load)
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert_true_window(httpd, incident, sent, took=released - max(e.begin for e in logged(httpd, sent)))
    assert incident["onset"] == onset, "known while nothing had completed"
    assert incident["slow"] == 10 and incident["errors"] == 0
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_a_slow_client_is_not_held_against_the_server(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, pm=SLOW_RULES)
    httpd.document("big.bin", b"z" * 8_000_000)
    httpd.start()
    clients = []
    for n in range(8):
        client = socket.create_connection(("127.0.0.1", httpd.port), 60, (f"127.0.8.{1 + n}", 0))
        client.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        clients.append(client)
    pause(4)
    for client in clients:
        client.recv(100)
        client.close()
    assert document.settled(httpd)["incidents"] == []


def test_requests_that_complete_slowly_are_a_slow_incident(new_httpd, backend):
    httpd = new_httpd(pm=SLOW_RULES, config=f'ProxyPass "/api/" "{backend.url}/"').start()
    with Load(httpd.port) as load:
        good_load(load, rate=4)
        pause(1.5)
        sent = load.stream("/api/slow/1.5", rate=10, count=30,
                           source=lambda n: f"127.0.4.{1 + n % 10}").wait()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert incident["kinds"] == ["slow"]
    # on a machine that stood still others were slow, too
    onset, end = seconds(incident["onset"]), seconds(incident["end"])
    slow = [e.duration for e in httpd.access_log.entries() if e.duration >= 1 and e.begin <= end]
    assert len(sent) <= incident["slow"] <= len(slow)
    assert onset <= min(e.begin for e in logged(httpd, sent)) + MILLISECOND
    if len(slow) == len(sent):
        assert_true_window(httpd, incident, sent, took=1.5)
    assert 1.5 * 0.9 <= incident["latency"]["during"]["p90"] <= sorted(slow)[-1] * 1.1


def test_a_quiet_site_whose_every_request_fails_is_an_incident_by_the_fifth(new_httpd):
    """One request in ten seconds, default rules; the three MPMs at the same time."""
    def quiet_site(httpd):
        with Load(httpd.port) as load:
            sent = load.stream("/fail", rate=0.1, count=5, source="127.0.9.9").wait()
        final = wait_for_document(httpd, lambda d: d["incidents"], 5, "the incident opens")
        return sent, final["incidents"]

    servers = [new_httpd(mpm=mpm, config=FAIL, pm="").start() for mpm in MPMS]
    with ThreadPoolExecutor(len(servers)) as pool:
        for httpd, (sent, incidents) in zip(servers, pool.map(quiet_site, servers)):
            [incident] = incidents
            assert incident["kinds"] == ["errors"] and incident["state"] == "open"
            assert_true_onset(httpd, incident, sent)


def test_a_slow_request_counts_though_its_connection_has_sent_slowly_before(new_httpd, backend):
    """What the client kept the connection waiting for earlier is no excuse for a later request."""
    httpd = new_httpd(config=f"ProxyPass /api/ {backend.url}/\n",
                      pm="PMCaptureSlow threshold=1s requests=1 ratio=1%\n")
    httpd.document("big.txt", b"x" * 20_000_000)
    httpd.start()
    connection = http.client.HTTPConnection("127.0.0.1", httpd.port, timeout=60)
    connection.request("GET", "/big.txt")
    time.sleep(3)       # the client does not read
    connection.getresponse().read()
    connection.request("GET", "/api/slow/2")
    assert connection.getresponse().status == 200

    def slow():
        series = document.from_file(httpd.capture)["series"]
        return sum(row[series["columns"].index("slow")] or 0 for row in series["rows"])

    wait_for(lambda: slow() >= 1, 5, "the slow request is counted")
    assert slow() == 1
