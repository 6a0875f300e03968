"""Estimates keep what they state: short incidents of many clients, and what status says while nothing happens.

Truth is the access log's: who asked is in each query.
"""
import re

from harness import document
from harness.companion import pmcapture
from harness.document import seconds, wait_closed, wait_for_document
from harness.load import Load
from harness.wait import MILLISECOND, wait_for

FAIL = 'Redirect 503 "/fail"\n'


def address(burst, number):
    return f"127.{20 + burst}.{number // 250}.{1 + number % 250}"


def burst(load, which):
    """A thousand clients, each once; one in three fails."""
    return load.stream(lambda n: f"/{'' if n % 3 else 'fail'}?client={which}.{n}", rate=1500, count=1000,
                       source=lambda n: address(which, n))


def came(httpd, incident):
    """Least and most that may truly have completed in it: clients, clients that failed, requests. The recorder has
    counted each between its arrival and its line in the access log."""
    onset, end = seconds(incident["onset"]), seconds(incident["end"])
    asked = [e for e in httpd.access_log.entries() if "=" in e.request]
    surely = [e for e in asked if onset + MILLISECOND <= e.begin and e.end <= end - MILLISECOND]
    maybe = [e for e in asked if onset - MILLISECOND <= e.end and e.begin <= end + MILLISECOND]
    found = []
    for logged in (surely, maybe):
        clients = {re.search(r"=([\w.]+)", e.request)[1]: e.status for e in logged}
        found.append((len(clients), sum(status == "503" for status in clients.values()), len(logged)))
    return list(zip(*found))


def holds(stated, error, truth):
    return stated - error - 0.5 <= truth[1] and truth[0] <= stated + error + 0.5


def test_a_short_incident_of_a_thousand_clients_states_errors_that_hold(new_httpd):
    httpd = new_httpd(config=FAIL).start()
    with Load(httpd.port) as load:
        load.stream(lambda n: f"/?other={n}", rate=40, source=lambda n: address(0, n % 60000))
        for which in range(1, 5):
            wait_for(lambda: len(load.streams[0].sent) > 60 * which, 60, "traffic")
            burst(load, which).wait()
            final = wait_closed(httpd, count=which, limit=60)
    document.validate(final)
    for incident in final["incidents"]:
        (total, affected, requests), stated = came(httpd, incident), incident["clients"]
        error, bounds = stated["error"], incident["requests_bounds"]
        assert holds(stated["total"], error["total"], total), (incident, total)
        assert holds(stated["affected"], error["affected"], affected), (incident, affected)
        ratios = affected[0] / total[1], affected[1] / total[0]
        assert holds(1000 * stated["affected_ratio"], 1000 * error["affected_ratio"],
                     [1000 * one for one in ratios]), (incident, ratios)
        assert bounds["least"] <= requests[1] and requests[0] <= bounds["most"], (incident, requests)


def test_status_says_that_nothing_fails_any_more_and_that_no_request_comes(new_httpd):
    httpd = new_httpd(config=FAIL, pm="PMCaptureBurst errors=10 ratio=5% window=2 clear=300\n"
                      "PMCaptureSlow Off\n").start()
    with Load(httpd.port) as load:
        good = load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
        wait_for(lambda: len(good.sent) > 40, 60, "traffic")
        load.stream("/fail", rate=40, count=30, source=lambda n: f"127.0.4.{1 + n % 10}").wait()
        found = wait_for_document(httpd, lambda d: d["incidents"] and d["incidents"][0]["quiet"], 60, "quiet")
        document.validate(found)
        quiet, = [i["quiet"] for i in found["incidents"]]
        assert quiet["closes_after"] == 300 and quiet["seconds"] >= 3
        assert re.fullmatch(r"nothing has failed for [\w. ]+ \(closes after 5 min\)", quiet["summary"])
        said = " ".join(pmcapture("status", "-f", httpd.capture).stdout.decode().split())
        assert re.search(r"OPEN 1, .*; nothing has failed for [\w. ]+ \(closes after 5 min\)", said), said
        assert "nothing has failed for" in httpd.get("/pm-status").body.decode()
    load_ended = wait_for(lambda: re.search(r"no request for ([\d.]+) s; .* in the last",
                                            " ".join(pmcapture("status", "-f", httpd.capture).stdout.decode().split())),
                          60, "status to say that traffic stopped")
    assert float(load_ended[1]) >= 3
    assert "; no request for" in httpd.get("/pm-status").body.decode()
