"""Whom an incident hit, where and why: what is blamed, and whom the numbers clear, in outages lived again.

Clients are loopback addresses of their own; truth is what the load's own log says.
"""
import time

import pytest

from harness import document
from harness.document import seconds, wait_closed, wait_for_document
from harness.load import Load, failed
from harness.ports import free_port
from harness.wait import wait_for

RULES = "PMCaptureBurst errors=10 {more} window={window} clear=2\nPMCaptureSlow Off\n"
CHANGES = {"config.changed", "config.reload", "route.moved", "file.changed", "dependency.changed",
           "dependency.missing"}


def rules(more="ratio=5%", window=3):
    return RULES.format(more=more, window=window)


def history(load, seconds_=7):
    """Traffic that goes on by itself; what stands before an onset has to be 5 s at least."""
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > seconds_, seconds_ + 1, "some history", 0.2)
    return load


def kinds(incident):
    return [cause["kind"] for cause in incident["causes"]]


def summary(incident, kind):
    return next(cause["summary"] for cause in incident["causes"] if cause["kind"] == kind)


def cleared(incident):
    return {one["hypothesis"]: one["summary"] for one in incident["ruled_out"]}


def lines(incident, dimension):
    return {line["key"]: line for line in incident["breakdown"][dimension]}


def dead_backend(path, port, condition=""):
    """Requests to `path` that go where nobody listens, each of them anew."""
    return (f'{condition}\nRewriteRule "^{path}" "http://127.0.0.1:{port}/" [P]\n'
            f'<Proxy "http://127.0.0.1:{port}">\n    ProxySet retry=0\n</Proxy>\n')


# ---- the misroute ----

MISROUTE = """
<VirtualHost *:{port}>
    ServerName www.example
    {alias}
    RedirectMatch 500 "^/v1/"
</VirtualHost>
<VirtualHost *:{port}>
    ServerName {api}
    RewriteEngine On
    RewriteRule "^/v1/" "{backend}/status/200" [P]
</VirtualHost>
"""


@pytest.mark.parametrize("api", ["api.example", "old.example"])
def test_the_misroute_blames_the_reload_that_gave_the_host_away_and_clears_traffic_and_backend(
        new_httpd, backend, api):
    httpd = new_httpd(pm=rules())
    httpd.config = MISROUTE.format(port=httpd.port, alias="", api="api.example", backend=backend.url)
    httpd.start()
    before = next(n for n, line in enumerate(httpd.conf.read_text().splitlines(), 1)
                  if "ServerName api.example" in line) - 1
    with Load(httpd.port) as load:
        load.stream("/v1/items/17", rate=30, host="api.example",
                    source=lambda n: f"127.0.{n % 40}.1")
        load.stream("/", rate=20, host="www.example", source=lambda n: f"127.1.{n % 40}.1")
        history(load)
        httpd.config = MISROUTE.format(port=httpd.port, alias="ServerAlias api.example", api=api,
                                       backend=backend.url)
        httpd.write_config()
        httpd.reload()
        wait_for_document(httpd, lambda d: d["incidents"], 10, "an incident")
        time.sleep(2)       # so much longer it fails
    final = document.settled(httpd)
    document.validate(final)
    after = next(n for n, line in enumerate(httpd.conf.read_text().splitlines(), 1)
                 if "ServerName www.example" in line) - 1
    [moved] = document.events(final, "route.moved")
    assert moved["data"]["host"] == "api.example"
    assert moved["data"]["from"] == {"vhost": f"api.example:{httpd.port}",
                                     "defined": f"{httpd.conf}:{before}"}
    assert moved["data"]["to"] == {"vhost": f"www.example:{httpd.port}",
                                   "defined": f"{httpd.conf}:{after}"}
    [incident] = final["incidents"]
    first = incident["causes"][0]
    assert first["kind"] == "config.changed"
    assert "ServerAlias" in first["summary"]
    assert 0 <= first["seconds_before_onset"] < 3
    assert {"traffic_surge", "backend"} <= set(cleared(incident))
    assert not {"configuration", "deployment"} & set(cleared(incident))


# ---- the flapping logins ----

@pytest.mark.parametrize("logins, others, rule", [(80, 80, "ratio=5% clients=5%"),
                                                  (6, 194, "ratio=5% clients=0.5%"),
                                                  (6, 194, "own virtual host")])
def test_logins_that_fail_for_some_blame_their_backend_and_clear_a_deployment(
        new_httpd, backend, logins, others, rule):
    dead = free_port()
    own = "own" in rule
    httpd = new_httpd(pm=rules("ratio=5%" if own else rule, 5))
    broken = httpd.root / "broken"      # from when on it fails
    login = ("RewriteEngine On\n"
             + dead_backend("/login", dead, 'RewriteCond %{REMOTE_ADDR} "[012]$"\n'
                                            f'RewriteCond "{broken}" -f')
             + f'RewriteRule "^/login" "{backend.url}/status/200" [P]\n')
    httpd.config = (f"<VirtualHost *:{httpd.port}>\n    ServerName localhost\n"
                    "</VirtualHost>\n"
                    f"<VirtualHost *:{httpd.port}>\n    ServerName login.example\n{login}"
                    "PMCaptureBurst errors=3 ratio=10% window=10 clear=2\n</VirtualHost>\n"
                    if own else login)
    httpd.start()

    def source(n):      # 1,000 clients; those on 0, 1 and 2 reach the dead backend
        n = n * 7 % 1000
        return f"127.3.{n // 10}.{10 + n % 10}"

    def elsewhere(n):       # they do not log in and look around in one breath
        return source(n + 500)

    with Load(httpd.port) as load:
        good = load.stream("/", rate=others, source=elsewhere)
        bad = load.stream("/login/4711?user=x", rate=logins, source=source,
                          host="login.example" if own else "localhost")
        history(load)
        broken.touch()
        history(load, 8)
        broken.unlink()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    document.validate(final)
    onset, end = seconds(incident["onset"]), seconds(incident["end"])

    def clients(stream, wanted):
        return {stream.sources(n) for n, one in enumerate(stream.sent)
                if onset - 0.05 <= one.end <= end + 0.05 and wanted(one)}

    hit = clients(bad, lambda one: one.status >= 500)
    asked = clients(bad, lambda one: True)
    if incident["scope"]["vhost"] is None:
        asked |= clients(good, lambda one: True)
    share = incident["clients"]["affected_ratio"]
    assert share == pytest.approx(len(hit) / len(asked), abs=0.03)
    assert incident["clients"]["affected"] == pytest.approx(len(hit), rel=0.15, abs=3)
    # what failed before the window that opened it was no incident yet
    truth = len([one for one in failed(bad.sent) if one.end >= onset - 0.05])
    assert len(failed(bad.sent)) - truth <= 3
    assert incident["errors"] == truth
    assert incident["breakdown"]["route"][0]["key"] == "/login/{id}"
    assert incident["breakdown"]["route"][0]["errors"] == truth
    [refused] = incident["breakdown"]["backend"]
    assert refused["key"] == f"http://127.0.0.1:{dead}"
    assert document.ways(refused) == {"refused": truth}
    assert any(key.startswith("AH00957") for key in lines(incident, "error_log"))
    assert not CHANGES & set(kinds(incident))
    assert kinds(incident)[0] == "backend"
    assert {"deployment", "single_client", "traffic_surge"} <= set(cleared(incident))
    assert "backend" not in cleared(incident)


# ---- a flood, a scanner ----

def test_a_flood_that_overloads_a_limit_is_a_candidate_and_not_cleared(new_httpd, backend):
    limited = f'ProxyPass "/shop" "{backend.url}/slow/0.1" max=1 acquire=1 retry=0\n'
    httpd = new_httpd(config=limited, pm=rules()).start()
    with Load(httpd.port) as load:
        # one at a time is what a process can do: with so few nobody waits
        load.stream("/", rate=15, source=lambda n: f"127.4.{n % 50}.1")
        load.stream("/shop", rate=0.5, source=lambda n: f"127.4.{n % 50}.1")
        history(load)
        flood = load.stream("/shop", rate=160, count=1200,
                            source=lambda n: f"127.5.{n % 250}.{1 + n // 250}")
        flood.wait()
    final = document.settled(httpd)
    [incident] = final["incidents"]
    document.validate(final)
    assert len(failed(flood.sent)) > 100
    assert "traffic_surge" not in cleared(incident)
    assert "in the" in summary(incident, "traffic")
    assert "client" not in kinds(incident)
    assert "single_client" in cleared(incident)
    assert not CHANGES & set(kinds(incident))


def test_a_scanner_is_no_incident_among_others_and_is_named_masked_when_there_is_one(new_httpd):
    httpd = new_httpd(config='Redirect 503 "/fail"\n', pm=rules()).start()
    with Load(httpd.port) as load:
        well = load.stream("/", rate=15, source=lambda n: f"127.0.3.{1 + n % 8}")
        load.stream(lambda n: f"/fail/{n}", rate=25, source="127.66.6.6")
        history(load, 5)
        assert document.from_file(httpd.capture)["incidents"] == []
        well.stop()         # alone it cannot be told from an outage
        wait_for_document(httpd, lambda d: d["incidents"], 10, "an incident")
        load.stream("/", rate=10, source=lambda n: f"127.0.3.{1 + n % 8}")
        history(load, 4)
    final = document.settled(httpd)
    [incident] = final["incidents"]
    assert "(127.66.6.0/24)" in summary(incident, "client")
    assert incident["traffic"]["busiest_client"]["key"] == "127.66.6.0/24"
    assert incident["breakdown"]["client"][0]["key"] == "127.66.6.0/24"
    assert "single_client" not in cleared(incident)
    assert "127.66.6.6" not in str(final)


# ---- two at once ----

@pytest.mark.parametrize("others", [10, 150])
def test_two_virtual_hosts_that_fail_at_once_keep_their_own_backend_route_and_status(
        new_httpd, backend, others):
    dead = free_port()
    httpd = new_httpd(pm=rules("ratio=25%"))
    httpd.config = (
        f"<VirtualHost *:{httpd.port}>\n    ServerName localhost\n</VirtualHost>\n"
        f"<VirtualHost *:{httpd.port}>\n    ServerName shop.example\n    RewriteEngine On\n"
        + dead_backend("/cart", dead) + "</VirtualHost>\n"
        f"<VirtualHost *:{httpd.port}>\n    ServerName wiki.example\n"
        f'    ProxyPass "/page" "{backend.url}/status/500"\n</VirtualHost>\n')
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=others, source=lambda n: f"127.4.{n % 50}.1")
        history(load, 3)
        streams = {name: load.stream(path, rate=15, count=75, host=f"{name}.example",
                                     source=lambda n: f"127.5.{n % 40}.1")
                   for name, path in (("shop", "/cart/17"), ("wiki", "/page"))}
        for stream in streams.values():
            stream.wait()
    final = document.settled(httpd)
    document.validate(final)
    assert len(final["incidents"]) == (1 if others == 10 else 2)
    for name, route, url, how, status in (
            ("shop", "/cart/{id}", f"http://127.0.0.1:{dead}", "refused", 503),
            ("wiki", "/page", backend.url, "answered", 500)):
        vhost = f"{name}.example:{httpd.port}"
        [incident] = [one for one in final["incidents"] if one["scope"]["vhost"] in (None, vhost)]
        alone = incident["scope"]["vhost"] is not None
        assert lines(incident, "vhost")[vhost]["errors"] == 75
        assert lines(incident, "route")[route]["errors"] == 75
        told = {key.rstrip("/"): line for key, line in lines(incident, "backend").items()}
        told = next(line for key, line in told.items() if key.startswith(url))
        assert document.ways(told) == {how: 75}
        assert incident["status"][str(status)] == 75
        assert {one["status"] for one in incident["samples"] if one["vhost"] == vhost} == {status}
        if alone:
            assert incident["errors"] == 75
            assert list(lines(incident, "route")) == [route]
            assert len(incident["breakdown"]["backend"]) == 1
            assert incident["causes"][0]["kind"] == "backend"
            assert url in incident["causes"][0]["summary"]
