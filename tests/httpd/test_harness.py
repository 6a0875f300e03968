"""The harness itself, on a plain httpd without the recorder: what it says can be trusted."""
from collections import Counter

from harness.load import Load


def test_a_plain_httpd_starts_reloads_and_stops_leaving_no_process(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None).start()
    assert httpd.get("/").text == "it works\n"
    assert httpd.recorders() == []
    httpd.reload()
    assert httpd.get("/").status == 200
    httpd.stop()
    assert httpd.processes() == [] and httpd.port_is_free()


def test_a_killed_httpd_leaves_no_process_and_starts_again(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None).start()
    httpd.kill()
    assert httpd.processes() == [] and httpd.port_is_free()
    httpd.start()
    assert httpd.get("/").status == 200


def test_the_access_log_and_the_load_agree_on_every_request(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, module=None, config='Redirect 503 "/fail"').start()
    with Load(httpd.port) as load:
        good = load.stream("/", rate=100, count=50)
        kept = load.stream("/nothing", rate=100, count=50, keepalive=5, source="127.0.0.9")
        bad = load.stream("/fail", rate=100, count=20)
        sent = good.wait() + kept.wait() + bad.wait()
    httpd.stop()
    assert Counter(str(one.status) for one in sent) == httpd.access_log.totals()
    assert httpd.access_log.totals() == {"200": 50, "404": 50, "503": 20}
    assert sum(one.reused for one in sent) == 45
    first = min(entry.begin for entry in httpd.access_log.entries() if entry.status == "503")
    assert abs(first - min(one.start for one in sent if one.status == 503)) < 0.1
