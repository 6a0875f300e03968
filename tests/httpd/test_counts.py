"""Counts are exact: every per-status total equals the access log's."""
import random
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import document, http2
from harness.httpd import MPMS
from harness.load import aborted_download
from harness.ports import free_port
from harness.tls import make_certificate
from harness.wait import crowd

CONFIG = """
RequestReadTimeout header=10 body=10
Redirect 500 "/fail500"
Redirect 410 "/gone"
Redirect 301 "/moved" "http://localhost/"
ProxyPass "/late/" "{backend}/slow/" retry=0 timeout=1
ProxyPass "/api/" "{backend}/" retry=0
ProxyPass "/dead/" "http://127.0.0.1:{dead}/" retry=0
ErrorDocument 404 "/missing.html"
<Location "/dead/sorry">
    ErrorDocument 503 "/api/status/200"
</Location>
<Location "/dead/twice">
    ErrorDocument 503 "/not-there-either"
</Location>
<Location "/dead/elsewhere">
    ErrorDocument 503 "http://localhost/sorry"
</Location>
<Location "/forbidden">
    Require all denied
</Location>
TraceEnable off
"""

TLS = """
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    SSLEngine on
    SSLCertificateFile "{pem}"
</VirtualHost>
SSLSessionCache none
"""

# What httpd is asked for, and what it answers; the last column is only there to be read.
PLAIN = [
    ("/", 200), ("/index.html", 200), ("/big.bin", 200), ("/nothing", 404), ("/fail500", 500),
    ("/gone", 410), ("/moved", 301), ("/forbidden", 403), ("/api/anything", 200),
    ("/api/status/204", 204), ("/api/status/304", 304), ("/api/status/500", 500),
    ("/api/status/502", 502), ("/api/status/503", 503), ("/api/status/504", 504),
    ("/api/status/599", 599), ("/api/status/700", 700), ("/api/status/999", 999),
    ("/api/close", 502), ("/dead/x", 503), ("/dead/sorry", 200), ("/dead/twice", 503),
    ("/dead/elsewhere", 302), ("/api/bytes/200000", 200),
]

GARBAGE = [
    b"GARBAGE\r\n\r\n",
    b"GET\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/7.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",                                  # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /\x00nul HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",      # 414
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"A%d: 1\r\n" % n for n in range(120)) + b"\r\n",
    b"BREW / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /\r\n",                                                # HTTP/0.9
    b"GET / HTTP/1.1\r\nHost: a\r\nExpect: nonsense\r\nConnection: close\r\n\r\n",
]


def pipelined(httpd):
    """Three requests in one packet on one connection."""
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert httpd.raw(one + one + last).count(b"HTTP/1.1 ") == 3


def kept_alive(httpd, count):
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", httpd.port), 60 * crowd()) as connection:
        for _ in range(count):
            connection.sendall(one)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def chunked_post(httpd):
    httpd.raw(b"POST /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def not_modified(httpd):
    tag = httpd.get("/").headers["ETag"]
    assert httpd.get("/", headers={"If-None-Match": tag}).status == 304


def half_a_body(httpd):
    """The client promises more than it sends and hangs up."""
    with socket.create_connection(("127.0.0.1", httpd.port), 60 * crowd()) as connection:
        connection.sendall(b"POST /api/x HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\nabc")


def over_tls(port, path):
    context = ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", port), 60 * crowd()) as plain:
        with context.wrap_socket(plain) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n"
                               "Connection: close\r\n\r\n".encode())
            return connection.recv(20)


def work(httpd, tls_port, with_http2):
    """Everything that is asked, as functions, in a random but fixed order."""
    jobs = [lambda one=one: check(httpd.get(one[0]).status, one[1], one[0]) for one in PLAIN]
    jobs += [lambda path=path: httpd.request(path, method="HEAD") for path, _ in PLAIN[:8]]
    jobs += [lambda data=data: httpd.raw(data) for data in GARBAGE]
    jobs += [lambda: httpd.request("/api/x", method="POST", body=b"b" * 70000),
             lambda: httpd.request("/", method="POST", body=b"b" * 3000),
             lambda: chunked_post(httpd), lambda: not_modified(httpd), lambda: pipelined(httpd),
             lambda: kept_alive(httpd, 20), lambda: half_a_body(httpd),
             lambda: aborted_download(httpd.port, "/big.bin"),
             lambda: aborted_download(httpd.port, "/api/bytes/30000000"),
             lambda: httpd.get("/late/30"),
             lambda: check(httpd.raw(b"GET / HTTP/1.1\r\nHos")[9:12], b"408")]
    for path in ("/", "/nothing", "/fail500", "/api/status/503"):
        jobs.append(lambda path=path: over_tls(tls_port, path))
    jobs.append(lambda: socket_plain_on_tls(tls_port))
    if with_http2:
        paths = [path for path, status in PLAIN if status < 600] * 2
        jobs += [lambda: http2.ask(httpd.port, paths),
                 lambda: http2.ask(tls_port, paths, tls=True),
                 lambda: http2.ask(httpd.port, ["/big.bin", "/", "/nothing"], reset_after=0)]
    jobs *= 3
    random.Random(2).shuffle(jobs)
    return jobs


def socket_plain_on_tls(port):
    with socket.create_connection(("127.0.0.1", port), 60 * crowd()) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(1000)


def check(seen, expected, what=""):
    assert seen == expected, what


def mixed_server(new_httpd, backend, mpm):
    """A started server, its TLS port, and whether it speaks HTTP/2."""
    with_http2 = mpm != "prefork"       # mod_http2 refuses prefork
    tls_port = free_port()
    modules = ("ssl", "socache_shmcb", "http2") if with_http2 else ("ssl", "socache_shmcb")
    httpd = new_httpd(mpm=mpm, modules=modules)
    pem = make_certificate(httpd.root / "conf")
    httpd.config = CONFIG.format(backend=backend.url, dead=free_port())
    httpd.config += TLS.format(port=tls_port, pem=pem)
    if with_http2:
        httpd.config += "Protocols h2 h2c http/1.1\n"
    httpd.document("big.bin", b"z" * 8_000_000)
    httpd.document("missing.html", b"there is no such page\n")
    return httpd.start(), tls_port, with_http2


def do_all(jobs):
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result(120 * crowd())


@pytest.fixture(scope="module", params=MPMS)
def counted(request):
    """A server after mixed traffic: (access log, document that has it all)."""
    from harness.backend import Backend
    from harness.httpd import Httpd
    made = []

    def new_httpd(**options):
        made.append(Httpd(**options))
        return made[-1]

    backend = Backend().start()
    try:
        httpd, tls_port, with_http2 = mixed_server(new_httpd, backend, request.param)
        do_all(work(httpd, tls_port, with_http2))
        final = document.settled(httpd)
        yield httpd, final
    finally:
        backend.close()
        for httpd in made:
            httpd.close()


def test_every_status_total_equals_the_access_log(counted):
    httpd, final = counted
    logged = httpd.access_log.totals()
    for status in ("200", "204", "301", "302", "304", "400", "403", "404", "405", "408", "410",
                   "414", "417", "500", "502", "503", "504", "599", "700", "999"):
        assert logged[status], f"the test meant to provoke {status}"
    assert document.status_totals(final) == logged


def test_requests_and_errors_are_the_sums_of_the_statuses(counted):
    httpd, final = counted
    logged = httpd.access_log.totals()
    assert final["totals"]["requests"] == sum(logged.values())
    assert final["totals"]["errors"] == sum(
        count for status, count in logged.items() if status.startswith("5"))


def test_bytes_are_those_of_the_access_log(counted):
    httpd, final = counted
    assert final["totals"]["bytes"] == sum(entry.bytes for entry in httpd.access_log.entries())


def test_a_body_that_httpd_leaves_out_has_no_bytes(new_httpd):
    """A 204 or 304 for which a handler wrote a body all the same, again and again on one connection."""
    httpd = new_httpd(modules=("asis",), config="AddHandler send-as-is .asis").start()
    one = b"GET /%d.asis HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for status in (204, 304):
        httpd.document(f"{status}.asis", b"Status: %d\nContent-Type: text/plain\n\na body\n" % status)
        assert httpd.raw(one % status * 30 + last).count(b"HTTP/1.1 %d" % status) == 30
    final = document.settled(httpd)
    assert document.status_totals(final) == {"204": 30, "304": 30, "200": 2}
    assert final["totals"]["bytes"] == sum(entry.bytes for entry in httpd.access_log.entries())


def test_the_rows_of_the_series_add_up_to_the_totals(counted):
    _, final = counted
    columns = final["series"]["columns"]
    rows = [dict(zip(columns, row)) for row in final["series"]["rows"]]
    for name in ("requests", "errors", "bytes"):
        assert sum(row[name] for row in rows) == final["totals"][name], name


def test_latency_percentiles_are_within_ten_percent_of_the_access_log(counted):
    httpd, final = counted
    durations = sorted(entry.duration for entry in httpd.access_log.entries())
    seen = final["totals"]["latency"]
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        # the access log's clock stops later than the recorder's, for one in some dozens much later: another process has
        # its turn in between; so allow a neighbour
        at, off = int(share * len(durations)), len(durations) // 25 + 4
        near = durations[max(0, at - off):at + 4]
        assert near[0] * 0.9 - 100e-6 <= seen[name] <= near[-1] * 1.1 + 100e-6, name
    assert seen["max"] == pytest.approx(durations[-1], rel=0.1, abs=0.005)


def test_what_is_switched_off_is_not_counted_and_the_original_request_decides(
        new_httpd, backend):
    httpd = new_httpd(config=f"""
        ProxyPass "/api/" "{backend.url}/" retry=0
        PMCapture On
        <Location "/health">
            PMCapture Off
        </Location>
        <Location "/off">
            PMCapture Off
            ErrorDocument 404 "/index.html"
        </Location>
        <Location "/counted">
            ErrorDocument 404 "/off/index.html"
        </Location>
        <VirtualHost 127.0.0.1:*>
            ServerName localhost
        </VirtualHost>
        <VirtualHost 127.0.0.1:*>
            ServerName quiet.example
            PMCapture Off
        </VirtualHost>""").start()
    (httpd.root / "htdocs/off").mkdir()
    (httpd.root / "htdocs/off/index.html").write_text("page\n")
    httpd.document("health", b"fine\n")
    for _ in range(3):
        assert httpd.get("/health").status == 200
        assert httpd.get("/off/nothing").status == 404
        assert httpd.get("/", headers={"Host": "quiet.example"}).status == 200
    for _ in range(5):
        assert httpd.get("/counted").status == 404       # answered by a page that is off
    assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == {"404": 5, "200": 1}
