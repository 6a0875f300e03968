"""Clients served: an outage is what clients see, whatever the status.

Each test asks from eight addresses until the recorder knows what is usual, then breaks something that answers no 5xx.
"""
import os
import shutil

from harness import document
from harness.document import seconds, wait_closed, wait_for_document
from harness.load import Load

QUICK = "PMCaptureServed clear=2s\n"
LOOP = "RewriteEngine On\nRewriteRule ^(.*)$ http://%{HTTP_HOST}/$1 [R=301,L]\n"
LEARNED = 20    # seconds of traffic after which the rule knows what is usual


def docroot(httpd):
    return httpd.root / "htdocs"


def clients(load, path="/", rate=20, host="localhost"):
    return load.stream(path, rate=rate, source=lambda n: f"127.0.5.{1 + n % 8}", host=host)


def learn(httpd):
    wait_for_document(httpd, lambda d: sum(1 for row in d["series"]["rows"] if row[2] > 0) >= LEARNED,
                      limit=120, what="a while in which clients were served")


def opened(httpd, kind):
    final = wait_for_document(httpd, lambda d: d["incidents"], limit=60, what="an incident")
    [incident] = final["incidents"]
    assert incident["kinds"] == [kind] and incident["state"] == "open"
    return incident


def ended(httpd):
    final = wait_closed(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    return incident


def first(sent, status):
    return min(one.start for one in sent if one.status == status)


def assert_onset(incident, began):
    """Within a second of the first client that saw it."""
    assert abs(seconds(incident["onset"]) - began) < 1


def test_a_document_root_that_nobody_may_read_is_an_incident_refused(new_httpd):
    httpd = new_httpd(config=QUICK).start()
    with Load(httpd.port) as load:
        asked = clients(load)
        learn(httpd)
        os.chmod(docroot(httpd), 0o700)
        incident = opened(httpd, "refused")
        wait_for_document(httpd, lambda d: d["incidents"][0]["served"], limit=60, what="how many are served")
        os.chmod(docroot(httpd), 0o755)
        closed = ended(httpd)
        sent = asked.stop()
    refused = [one for one in sent if one.status == 403]
    assert_onset(incident, first(sent, 403))
    assert closed["status"] == {"403": closed["errors"]} and closed["errors"] == len(refused)
    assert closed["scope"] == {"vhost": None}
    assert closed["served"]["usual"] > 0.9
    assert closed["served"]["ratio"] < 0.5, "who was served before and after it does not count"
    assert "403" in closed["summary"] and "were refused" in closed["summary"]
    assert closed["breakdown"]["route"][0]["key"] == "/"
    assert {sample["status"] for sample in closed["samples"]} == {403}
    assert "traffic" not in [cause["kind"] for cause in closed["causes"]]


def test_a_document_root_that_was_moved_away_is_an_incident_refused(new_httpd):
    httpd = new_httpd(config=QUICK).start()
    away = httpd.root / "away"
    with Load(httpd.port) as load:
        asked = clients(load)
        learn(httpd)
        os.rename(docroot(httpd), away)
        os.mkdir(docroot(httpd))
        incident = opened(httpd, "refused")
        os.rmdir(docroot(httpd))
        os.rename(away, docroot(httpd))
        closed = ended(httpd)
        sent = asked.stop()
    assert_onset(incident, min(first(sent, status) for status in {one.status for one in sent} - {200}))
    assert set(closed["status"]) <= {"403", "404"}


def test_a_redirect_loop_is_an_incident_redirects_and_no_surge_of_traffic(new_httpd):
    httpd = new_httpd(modules=["rewrite"])
    httpd.config = f'{QUICK}<Directory "{docroot(httpd)}">\nAllowOverride All\n</Directory>\n'
    httpd.start()
    with Load(httpd.port) as load:
        asked = clients(load)
        learn(httpd)
        (docroot(httpd) / ".htaccess").write_text(LOOP)
        incident = opened(httpd, "redirects")
        clients(load, rate=100)
        wait_for_document(httpd, lambda d: ".htaccess" in str(d["incidents"][0]["causes"]), limit=60,
                          what="the file that was edited among the causes")
        (docroot(httpd) / ".htaccess").unlink()
        closed = ended(httpd)
        sent = asked.stop()
    assert_onset(incident, first(sent, 301))
    assert set(closed["status"]) == {"301"}
    assert "traffic" not in [cause["kind"] for cause in closed["causes"]]
    assert closed["causes"][0]["kind"] == "file.changed" and ".htaccess" in closed["causes"][0]["summary"]


def test_one_scanner_with_thousands_of_404s_is_no_incident(new_httpd):
    httpd = new_httpd(config=QUICK).start()
    with Load(httpd.port) as load:
        clients(load)
        learn(httpd)
        scan = load.stream(lambda n: f"/wp-{n}.php", rate=200, count=2000, source="127.0.6.1")
        assert {one.status for one in scan.wait()} == {404}
        wait_for_document(httpd, lambda d: d["totals"]["status"].get("404", 0) >= 2000,
                          limit=60, what="the scan")
        final = document.from_handler(httpd)
    assert final["incidents"] == []


def test_a_scan_from_forty_addresses_beside_clients_who_are_served_is_no_incident(new_httpd):
    httpd = new_httpd(config=QUICK).start()
    with Load(httpd.port) as load:
        clients(load)
        learn(httpd)
        load.stream("/wp-login.php", rate=100, count=1000, source=lambda n: f"127.0.6.{1 + n % 40}").wait()
        wait_for_document(httpd, lambda d: d["totals"]["status"].get("404", 0) >= 1000,
                          limit=60, what="the scan")
        final = document.from_handler(httpd)
    assert final["incidents"] == []


def test_off_sees_no_refusals(new_httpd):
    httpd = new_httpd(config="PMCaptureServed Off\n").start()
    with Load(httpd.port) as load:
        clients(load)
        learn(httpd)
        shutil.rmtree(docroot(httpd))
        wait_for_document(httpd, lambda d: sum(n for code, n in d["totals"]["status"].items() if code[0] == "4") > 200,
                          limit=60, what="two hundred refusals")
        assert document.from_handler(httpd)["incidents"] == []
