"""Whom an incident hit, where and why: what is blamed, and whom the numbers clear, in outages lived again.

Clients are loopback addresses of their own; truth is what the load's own log says.
"""
import time

import pytest

from harness import document
from harness.document import seconds, wait_closed, wait_for_document
from harness.load import Load, failed
from harness.ports import free_port
from harness.wait import MILLISECOND, room

RULES = "PMCaptureBurst errors=10 {more} window={window} clear=2\nPMCaptureSlow Off\n"
CHANGES = {"config.changed", "config.reload", "route.moved", "file.changed", "dependency.changed",
           "dependency.missing"}


def rules(more="ratio=5%", window=3):
    return RULES.format(more=more, window=window)


def history(load, seconds_=7):
    """Traffic that goes on by itself; what stands before an onset has to be 5 s at least."""
    time.sleep(seconds_)
    return load


def kinds(incident):
    return [cause["kind"] for cause in incident["causes"]]


def summary(incident, kind):
    return next(cause["summary"] for cause in incident["causes"] if cause["kind"] == kind)


def cleared(incident):
    return {one["hypothesis"]: one["summary"] for one in incident["ruled_out"]}


def lines(incident, dimension):
    return {line["key"]: line for line in incident["breakdown"][dimension]}


def came_evenly(httpd, incident):
    """A busy machine may ask less for a while, and then more: is no five seconds' traffic much more than the usual?"""
    onset, end = seconds(incident["onset"]), seconds(incident["end"]) or time.time()
    came = [one.begin for one in httpd.access_log.entries() if one.begin > onset - incident["before"]["history"]]
    usual = sum(at < onset for at in came) / incident["before"]["history"]
    return all(sum(at <= other < at + 5 for other in came) <= 1.2 * 5 * usual for at in range(int(onset) - 5, int(end)))


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
    assert 0 <= first["seconds_before_onset"] < room(3)
    assert "backend" in cleared(incident)
    assert "traffic_surge" in cleared(incident) or not came_evenly(httpd, incident)
    assert not {"configuration", "deployment"} & set(cleared(incident))


# ---- the flapping logins ----

@pytest.mark.parametrize("logins, others, rule", [(80, 80, "ratio=5% clients=5%"),
                                                  (6, 194, "ratio=5% clients=0.5%"),
                                                  (6, 194, "own virtual host")])
def test_logins_that_fail_for_some_blame_their_backend_and_no_change(
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
        load.stream("/", rate=others, source=elsewhere)
        load.stream("/login/4711?user=x", rate=logins, source=source,
                    host="login.example" if own else "localhost")
        history(load)
        broken.touch()
        history(load, 8)
        broken.unlink()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    document.validate(final)
    onset, end = seconds(incident["onset"]), seconds(incident["end"])
    logged = httpd.access_log.entries()
    whole = incident["scope"]["vhost"] is None
    inside = [one for one in logged if onset - MILLISECOND <= one.begin <= end and (whole or "/login" in one.request)]
    hit = {one.client for one in inside if one.status >= "500"}
    asked = {one.client for one in inside}
    share = incident["clients"]["affected_ratio"]
    assert share == pytest.approx(len(hit) / len(asked), abs=0.03)
    assert incident["clients"]["affected"] == pytest.approx(len(hit), rel=0.15, abs=3)
    # what failed before the window that opened it was no incident yet
    failures = [one for one in logged if one.status >= "500"]
    truth = len([one for one in failures if one.begin >= onset - MILLISECOND])
    assert len(failures) - truth <= 3
    assert incident["errors"] == truth
    assert incident["breakdown"]["route"][0]["key"] == "/login/{id}"
    assert incident["breakdown"]["route"][0]["errors"] == truth
    [refused] = incident["breakdown"]["backend"]
    assert refused["key"] == f"http://127.0.0.1:{dead}"
    assert document.ways(refused) == {"refused": truth}
    assert any(key.startswith("AH00957") for key in lines(incident, "error_log"))
    assert not CHANGES & set(kinds(incident))
    assert kinds(incident)[0] == "backend"
    assert "single_client" in cleared(incident)
    assert "traffic_surge" in cleared(incident) or not came_evenly(httpd, incident)
    assert "no file that is watched changed" in not_watched(incident)["deployment"]
    assert not {"backend", "deployment"} & set(cleared(incident))


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

# the whole server's share of failures is 75 %, or 17 %: more where a busy machine asks less than was meant
@pytest.mark.parametrize("others, ratio", [(10, 25), (150, 60)])
def test_two_virtual_hosts_that_fail_at_once_keep_their_own_backend_route_and_status(
        new_httpd, backend, others, ratio):
    dead = free_port()
    httpd = new_httpd(pm=rules(f"ratio={ratio}%"))
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
        errors = sum(one.vhost == f"{name}.example" and one.begin >= seconds(incident["onset"]) - MILLISECOND
                     for one in httpd.access_log.entries())
        assert 73 <= errors <= 75
        assert lines(incident, "vhost")[vhost]["errors"] == errors
        assert lines(incident, "route")[route]["errors"] == errors
        told = {key.rstrip("/"): line for key, line in lines(incident, "backend").items()}
        told = next(line for key, line in told.items() if key.startswith(url))
        assert document.ways(told) == {how: errors}
        assert incident["status"][str(status)] == errors
        assert {one["status"] for one in incident["samples"] if one["vhost"] == vhost} == {status}
        if alone:
            assert incident["errors"] == errors
            assert list(lines(incident, "route")) == [route]
            assert len(incident["breakdown"]["backend"]) == 1
            assert incident["causes"][0]["kind"] == "backend"
            assert url in incident["causes"][0]["summary"]


# ---- served well since ----

def broken_by(flag, status=503):
    """Everything fails while the file `flag`, which nobody watches, is there."""
    return f'RewriteEngine On\nRewriteCond "{flag}" -f\nRewriteRule ^ - [R={status},L]\n'


def not_watched(incident):
    return {one["hypothesis"]: one["summary"] for one in incident["not_watched"]}


def fails(load_for, httpd, flag):
    """A while of failures, and the incident when it is over."""
    flag.touch()
    wait_for_document(httpd, lambda d: d["incidents"], 15, "an incident")
    history(load_for, 2)
    flag.unlink()
    final = wait_closed(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    return incident


def test_a_start_after_which_all_was_served_well_is_not_blamed(new_httpd):
    httpd = new_httpd(pm=rules())
    flag = httpd.root / "broken"
    httpd.config = broken_by(flag)
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        history(load, 14)
        incident = fails(load, httpd, flag)
    assert "server.start" not in kinds(incident)


def test_a_change_after_which_all_was_served_well_stands_behind_what_failed_since(new_httpd, backend):
    httpd = new_httpd(pm=rules(), config=f'ProxyPass "/" "{backend.url}/" retry=0\n').start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        httpd.config += "KeepAliveTimeout 4\n"
        httpd.write_config()
        httpd.reload()
        history(load, 14)
        backend.kill()
        wait_for_document(httpd, lambda d: d["incidents"], 15, "an incident")
        history(load, 2)
        backend.start()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert kinds(incident)[0] == "backend"
    assert kinds(incident)[-1] == "config.changed"
    assert "requests were answered well in the" in summary(incident, "config.changed")


def test_a_change_of_what_nobody_asked_for_until_it_failed_is_blamed(new_httpd):
    httpd = new_httpd(pm=rules()).start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        httpd.config += 'Redirect 503 "/shop"\n'
        httpd.write_config()
        httpd.reload()
        history(load, 14)
        load.stream("/shop", rate=20, count=60, source=lambda n: f"127.5.{n % 40}.1").wait()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert kinds(incident)[0] == "config.changed"
    assert '"/shop"' in summary(incident, "config.changed")


# ---- the exact and the vague ----

def test_the_htaccess_file_that_failing_requests_read_stands_before_the_folder_that_it_is_in(new_httpd):
    httpd = new_httpd(pm=rules())
    httpd.config = f'<Directory "{httpd.root}/htdocs">\nAllowOverride All\n</Directory>\n'
    httpd.start()
    htaccess = httpd.root / "htdocs/.htaccess"
    with Load(httpd.port) as load:
        load.stream("/index.html", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        history(load)
        edited = httpd.root / "htdocs/.htaccess.new"
        edited.write_text("Redirect 503 /index.html\n")
        edited.rename(htaccess)     # as editors do it: the folder changes, too
        wait_for_document(httpd, lambda d: len(document.events(d, "file.changed")) > 1, 20,
                          "both changes are on record")
        htaccess.unlink()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    changed = [cause["summary"] for cause in incident["causes"] if cause["kind"] == "file.changed"]
    assert len(changed) == 2
    assert changed[0].startswith(f"{htaccess} ")
    assert incident["causes"][0]["summary"] == changed[0]
    assert changed[1].startswith(f"{httpd.root}/htdocs ")


# ---- cleared by what is watched alone ----

SCRIPT = "#!/bin/sh\nif [ -e {flag} ]; then echo 'Status: 500'; fi\necho 'Content-Type: text/plain'\necho\n"
WSGI = """import os
def application(environ, start):
    start("500 No" if os.path.exists("{flag}") else "200 OK", [("Content-Type", "text/plain")])
    return [b"x"]
"""


def by_program(httpd, how, flag):
    """An application at /app/ that answers 500 while `flag` is there; gives the configuration."""
    folder = httpd.root / "app"
    folder.mkdir()
    if how == "cgid":
        (folder / "run").write_text(SCRIPT.format(flag=flag))
        (folder / "run").chmod(0o755)
        return (f'ScriptSock "{httpd.root}/run/cgisock"\nScriptAlias "/app/" "{folder}/"\n'
                f'<Directory "{folder}">\nRequire all granted\n</Directory>\n')
    (folder / "run").write_text(WSGI.format(flag=flag))
    return (f"WSGISocketPrefix {httpd.root}/run/wsgi\nWSGIDaemonProcess app processes=1 threads=5\n"
            f'WSGIScriptAlias "/app" "{folder}/run" process-group=app application-group=%{{GLOBAL}}\n'
            f'<Directory "{folder}">\nRequire all granted\n</Directory>\n')


@pytest.mark.parametrize("how", ["cgid", "wsgi"])
def test_what_another_process_answered_does_not_clear_a_backend(new_httpd, how):
    httpd = new_httpd(pm=rules(), modules=(how,))
    flag = httpd.root / "broken"
    httpd.config = by_program(httpd, how, flag)
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/app/run", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        history(load)
        incident = fails(load, httpd, flag)
    assert "backend" not in cleared(incident)
    assert "whether another process was asked is not known" in not_watched(incident)["backend"]


def test_a_connector_that_is_no_proxy_does_not_clear_a_backend(new_httpd):
    httpd = new_httpd(pm=rules(), modules=("jk",))
    httpd.config = (f'JkShmFile "{httpd.root}/run/jk"\nJkLogFile "{httpd.root}/logs/jk"\nJkLogLevel emerg\n'
                    "JkWorkerProperty worker.list=w\nJkWorkerProperty worker.w.type=ajp13\n"
                    f"JkWorkerProperty worker.w.port={free_port()}\nJkWorkerProperty worker.w.retries=1\n"
                    "JkMount /app/* w\n")
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=10, source=lambda n: f"127.4.{n % 40}.1")
        history(load)
        load.stream("/app/x", rate=20, count=60, source=lambda n: f"127.5.{n % 40}.1").wait()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    assert incident["status"]
    assert "backend" not in cleared(incident)
    assert "whether another process was asked is not known" in not_watched(incident)["backend"]


@pytest.mark.parametrize("how", ["rewrite", "htaccess"])
def test_failures_that_httpd_answered_itself_clear_a_backend(new_httpd, how):
    httpd = new_httpd(pm=rules())
    flag = httpd.root / "broken"
    httpd.config = broken_by(flag)
    if how == "htaccess":       # a directive of a module that is not there: the core refuses
        folder = httpd.root / "htdocs/app"
        folder.mkdir()
        (folder / "page.html").write_text("it works\n")
        flag = folder / ".htaccess"
        httpd.config = f'<Directory "{folder}">\nAllowOverride All\n</Directory>\n'
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/app/page.html" if how == "htaccess" else "/", rate=20,
                    source=lambda n: f"127.4.{n % 40}.1")
        history(load)
        if how == "htaccess":
            flag.write_text("php_value memory_limit 1M\n")
        incident = fails(load, httpd, flag)
    assert "httpd itself answered" in cleared(incident)["backend"]


def test_a_deployment_below_the_top_of_document_root_is_not_cleared(new_httpd):
    httpd = new_httpd(mpm="prefork", pm=rules())
    folder = httpd.root / "htdocs/app/lib"
    folder.mkdir(parents=True)
    page = folder / "page.html"
    page.write_text("<!--#echo var='DATE_GMT' -->\n")
    httpd.config = (f'RewriteEngine On\nRewriteCond "{folder}/v2" -f\nRewriteRule ^/app - [R=500,L]\n')
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/app/lib/page.html", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        history(load)
        incident = fails(load, httpd, folder / "v2")
    assert "deployment" not in cleared(incident)
    assert "no file that is watched changed" in not_watched(incident)["deployment"]


# ---- what stands behind a figure ----

def test_seconds_that_the_last_run_left_stand_behind_the_gap_after_it(new_httpd):
    httpd = new_httpd(pm=rules()).start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, source=lambda n: f"127.4.{n % 40}.1")
        history(load, 8)
        httpd.kill()
    httpd.start()
    final = wait_for_document(httpd, lambda d: d["incidents"], 15, "an incident")
    [incident] = final["incidents"]
    assert incident["kinds"] == ["down"]
    history_, rate = incident["before"]["history"], incident["before"]["requests_per_second"]
    onset = seconds(incident["onset"])
    came = sum(onset - history_ <= one.end < onset for one in httpd.access_log.entries())
    assert history_ > 5
    assert rate == pytest.approx(came / history_, rel=0.2)
    assert incident["unserved"]["expected_requests"] is not None
    assert "traffic_surge" not in not_watched(incident)
