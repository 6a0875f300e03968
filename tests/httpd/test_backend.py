"""How a backend failed: as httpd's proxy had it, with backends that fail for real; the status does not tell."""
import http.client

import pytest

from harness import document, faulty
from harness.document import ways
from harness.faulty import Faulty
from harness.ports import free_port

# However slowly they come, all failures are of one incident.
RULES = "PMCaptureBurst errors=5 ratio=1% window=120 clear=60\nPMCaptureSlow Off\n"
BALANCERS = ("proxy_balancer", "lbmethod_byrequests", "slotmem_shm")
TIMES = 6


def ask(httpd, path, times=TIMES, **options):
    return [httpd.get(path, **options).status for _ in range(times)]


def patience(behaviour):
    """A backend that answers may be slow in it on a busy machine."""
    return f"ProxyTimeout {1 if behaviour is faulty.is_silent else 60}\n"


def told(httpd):
    """The incident's backends by name, and the summary of the one that is a candidate ("" = none is)."""
    final = document.settled(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    summaries = [cause["summary"] for cause in incident["causes"] if cause["kind"] == "backend"]
    return {line["key"]: line for line in incident["breakdown"]["backend"]}, (summaries + [""])[0]


# behaviour of the backend, status that httpd makes of it, how it failed, words for that
FAULTS = [
    (faulty.closes_at_once, 502, "closed", "closed before an answer"),
    (faulty.closes_after_the_request, 502, "closed", "closed before an answer"),
    (faulty.resets, 502, "closed", "closed before an answer"),
    (faulty.sends_half_a_header, 502, "closed", "closed before an answer"),
    (faulty.sends_half_a_status_line, 502, "closed", "closed before an answer"),
    (faulty.sends_garbage, 502, "unknown", "in an unknown way"),
    (faulty.is_silent, 502, "timeout", "timed out"),
    (faulty.answers(500), 500, "answered", "answered 5xx"),
    (faulty.answers(502), 502, "answered", "answered 5xx"),
    (faulty.answers(503), 503, "answered", "answered 5xx"),
    (faulty.answers(504), 504, "answered", "answered 5xx"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault[0].__name__}-{fault[1]}")
def test_an_http_backend_failed_as_the_proxy_had_it(new_httpd, fault):
    behaviour, status, way, words = fault
    with Faulty(behaviour) as backend:
        url = f"http://127.0.0.1:{backend.port}"
        httpd = new_httpd(pm=RULES, config=f'{patience(behaviour)}ProxyPass "/x" "{url}/"\n').start()
        assert ask(httpd, "/x") == [status] * TIMES
        backends, summary = told(httpd)
    assert list(backends) == [url]
    assert ways(backends[url]) == {way: TIMES}
    assert summary.endswith(f"{url}: {TIMES} {words}")


FASTCGI = [
    (faulty.fastcgi_closes, 503, "closed"),
    (faulty.fastcgi_answers(500, end=False), 503, "closed"),
    (faulty.is_silent, 504, "timeout"),
    (faulty.fastcgi_answers(500), 500, "answered"),
    (faulty.fastcgi_answers(503), 503, "answered"),
]


@pytest.mark.parametrize("fault", FASTCGI, ids=["closes", "breaks", "silent", "answers-500", "answers-503"])
@pytest.mark.parametrize("override", ["Off", "On"])
def test_a_fastcgi_backend_on_a_unix_socket_failed_as_the_proxy_had_it(new_httpd, fault, override):
    behaviour, status, way = fault
    httpd = new_httpd(pm=RULES, modules=("proxy_fcgi",))
    path = httpd.root / "run/app.sock"
    httpd.config = (f'{patience(behaviour)}ProxyErrorOverride {override}\n'
                    f'<FilesMatch "\\.php$">\n    SetHandler "proxy:unix:{path}|fcgi://localhost"\n</FilesMatch>\n')
    httpd.document("x.php")
    with Faulty(behaviour, path):
        path.chmod(0o777)
        httpd.start()
        assert ask(httpd, "/x.php") == [status] * TIMES
        backends, _ = told(httpd)
        [incident] = document.from_handler(httpd)["incidents"]
    assert list(backends) == [str(path)]
    assert ways(backends[str(path)]) == {way: TIMES} and incident["errors"] == TIMES


@pytest.mark.parametrize("scheme", ["http", "fcgi"])
def test_a_backend_that_nobody_listens_for_refused(new_httpd, mpm, scheme):
    url = f"{scheme}://127.0.0.1:{free_port()}"
    httpd = new_httpd(mpm=mpm, pm=RULES, modules=("proxy_fcgi",), config=f'ProxyPass "/x" "{url}/" retry=0\n').start()
    assert ask(httpd, "/x") == [503] * TIMES
    backends, summary = told(httpd)
    assert ways(backends[url]) == {"refused": TIMES}
    assert summary.endswith(f"{url}: {TIMES} refused")


def test_a_unix_socket_that_is_gone_refused(new_httpd):
    httpd = new_httpd(pm=RULES)
    path = httpd.root / "run/gone.sock"
    httpd.config = f'ProxyPass "/x" "unix:{path}|http://gone/" retry=0\n'
    httpd.start()
    assert ask(httpd, "/x") == [503] * TIMES
    backends, _ = told(httpd)
    assert ways(backends[str(path)]) == {"refused": TIMES}


def test_a_unix_socket_that_httpd_may_not_use_is_unreachable(new_httpd):
    httpd = new_httpd(pm=RULES)
    path = httpd.root / "run/mine.sock"
    httpd.config = f'ProxyPass "/x" "unix:{path}|http://mine/" retry=0\n'
    with Faulty(faulty.answers(200), path):
        path.chmod(0o600)
        httpd.start()
        assert ask(httpd, "/x") == [503] * TIMES
        backends, summary = told(httpd)
    assert ways(backends[str(path)]) == {"unreachable": TIMES}
    assert summary.endswith(f"{TIMES} unreachable")


def test_a_backend_whose_name_nobody_knows_was_not_tried(new_httpd):
    httpd = new_httpd(pm=RULES, config='ProxyPass "/x" "http://no-such-host.invalid/"\n').start()
    statuses = ask(httpd, "/x")
    assert set(statuses) <= {500, 502}
    backends, summary = told(httpd)
    assert ways(backends["http://no-such-host.invalid"]) == {"not_tried": TIMES}
    assert f"were for backend http://no-such-host.invalid: {TIMES} not tried by httpd" in summary


def test_a_backend_in_error_state_was_not_tried(new_httpd):
    dead = free_port()
    httpd = new_httpd(mpm="worker", pm=RULES, modules=BALANCERS,
                      config=f'<Proxy "balancer://pool">\n    BalancerMember "http://127.0.0.1:{dead}" retry=600\n'
                             '    ProxySet forcerecovery=Off\n</Proxy>\nProxyPass "/pool" "balancer://pool/"\n').start()
    assert ask(httpd, "/pool", 1 + TIMES) == [503] * (1 + TIMES)
    backends, summary = told(httpd)
    assert ways(backends[f"http://127.0.0.1:{dead}"]) == {"refused": 1}
    assert ways(backends["balancer://pool"]) == {"not_tried": TIMES}
    assert f"{TIMES} not tried by httpd" in summary and "refused" not in summary


def test_of_a_balancers_workers_the_last_one_tried_is_the_one_that_failed(new_httpd):
    dead = free_port()
    with Faulty(faulty.closes_after_the_request) as breaks:
        httpd = new_httpd(mpm="worker", pm=RULES, modules=BALANCERS,
                          config='<Proxy "balancer://pool">\n'
                                 f'    BalancerMember "http://127.0.0.1:{dead}" retry=0\n'
                                 f'    BalancerMember "http://127.0.0.1:{breaks.port}" retry=0\n'
                                 '</Proxy>\nProxyPass "/pool" "balancer://pool/"\n').start()
        statuses = ask(httpd, "/pool", 12)
        backends, _ = told(httpd)
    assert set(statuses) == {502}, "the one that refuses is passed over for the one that does not"
    assert ways(backends[f"http://127.0.0.1:{breaks.port}"]) == {"closed": 12}
    assert list(backends) == [f"http://127.0.0.1:{breaks.port}"]


def test_a_kept_connection_that_the_backend_ends_as_the_next_request_comes_was_closed(new_httpd):
    with Faulty(faulty.closes_on_the_second_request) as backend:
        url = f"http://127.0.0.1:{backend.port}"
        httpd = new_httpd(mpm="prefork", pm=RULES.replace("errors=5", "errors=3"),
                          config=f'ProxyPass "/x" "{url}/"\n').start()
        # one client's connection stays with one process, and so does the connection to the backend
        client, ends = None, 0
        for _ in range(12):
            client = client or http.client.HTTPConnection("127.0.0.1", httpd.port, timeout=60)
            try:
                client.request("GET", "/x")
                reply = client.getresponse()
                reply.read()
                ends += reply.status == 502
                assert reply.status in (200, 502)
            except (http.client.RemoteDisconnected, ConnectionError):     # so that the client asks again
                ends += 1
                client.close()
                client = None
        backends, summary = told(httpd)
    assert ends >= 3
    assert ways(backends[url]) == {"closed": ends}
    assert summary.endswith(f"{ends} closed before an answer")


def test_a_backend_of_which_the_log_level_hides_all_lines_failed_in_an_unknown_way(new_httpd):
    url = f"http://127.0.0.1:{free_port()}"
    httpd = new_httpd(pm=RULES, config=f'LogLevel crit\nProxyPass "/x" "{url}/" retry=0\n').start()
    assert ask(httpd, "/x") == [503] * TIMES
    backends, summary = told(httpd)
    assert ways(backends[url]) == {"unknown": TIMES}
    assert summary.endswith(f"{TIMES} in an unknown way")


def test_an_error_page_that_another_backend_gives_does_not_take_the_blame(new_httpd, backend):
    url = f"http://127.0.0.1:{free_port()}"
    httpd = new_httpd(pm=RULES, config=f'ProxyPass "/x" "{url}/" retry=0\n'
                                       f'ProxyPass "/sorry" "http://127.0.0.1:{backend.port}/"\n'
                                       'ErrorDocument 503 /sorry/status/503\n').start()
    assert ask(httpd, "/x") == [503] * TIMES
    backends, _ = told(httpd)
    assert {key: ways(line) for key, line in backends.items()} == {url: {"refused": TIMES}}


def test_a_request_that_fails_before_the_proxy_has_it_is_no_backends(new_httpd, backend):
    httpd = new_httpd(pm=RULES, modules=("authn_core", "auth_basic", "authn_file", "authz_user"),
                      config=f'ProxyPass "/x" "http://127.0.0.1:{backend.port}/"\n'
                             '<Location "/x">\n    AuthType Basic\n    AuthName x\n    AuthUserFile "/no/such/file"\n'
                             '    Require valid-user\n</Location>\n').start()
    assert ask(httpd, "/x", headers={"Authorization": "Basic YTpi"}) == [500] * TIMES
    backends, summary = told(httpd)
    assert backends == {} and summary == ""


def test_threads_that_fail_at_once_do_not_take_one_anothers_reasons(new_httpd):
    """Lines that name no request are of the one that their thread works on."""
    from harness.load import Load

    url = f"http://127.0.0.1:{free_port()}"
    with Faulty(faulty.closes_after_the_request) as breaks, Faulty(faulty.answers(500)) as answers:
        httpd = new_httpd(mpm="event", pm=RULES,
                          config=f'ProxyPass "/dead/" "{url}/" retry=0\n'
                                 f'ProxyPass "/breaks/" "http://127.0.0.1:{breaks.port}/"\n'
                                 f'ProxyPass "/answers/" "http://127.0.0.1:{answers.port}/"\n').start()
        with Load(httpd.port) as load:
            streams = [load.stream(f"/{what}/x", rate=60, count=120, source=lambda n: f"127.0.4.{1 + n % 9}")
                       for what in ("dead", "breaks", "answers")]
            for stream in streams:
                stream.wait()
        backends, _ = told(httpd)
    assert ways(backends[url]) == {"refused": 120}
    assert ways(backends[f"http://127.0.0.1:{breaks.port}"]) == {"closed": 120}
    assert ways(backends[f"http://127.0.0.1:{answers.port}"]) == {"answered": 120}
