"""Where the failures were, and what they had in common; whom a Host moved to; lines of the error log."""
import re
import socketserver
import struct
import threading
import time

import pytest

from harness import document, http2
from harness.document import seconds, wait_closed, wait_for_document
from harness.load import Load, aborted_download, failed
from harness.modules import build_module
from harness.ports import free_port
from harness.wait import MILLISECOND, room, wait_for

RULES = "PMCaptureBurst errors=10 ratio=1% window=3 clear=2\nPMCaptureSlow Off\n"
# However slowly they come, all failures are of one incident, which stays open.
LONG = "PMCaptureBurst errors=10 ratio=1% window=120 clear=120\nPMCaptureSlow Off\n"


def line_of(httpd, text, nth=1):
    """FILE:LINE of the nth line of the configuration that holds `text`, as a definition names it."""
    lines = [n for n, line in enumerate(httpd.conf.read_text().splitlines(), 1) if text in line]
    return f"{httpd.conf}:{lines[nth - 1]}"


def opened(httpd, count=1):
    """An incident is there, and what was asked before and came too late for the tick that opened it."""
    wait_for_document(httpd, lambda d: len(d["incidents"]) >= count, 20, "an incident")
    return document.ticked(httpd, 1)


def lines(incident, dimension):
    return {line["key"]: line for line in incident["breakdown"][dimension]}


def ask(httpd, path, times=1, host="localhost", source="127.0.0.1", **headers):
    headers["Host"] = host
    return [httpd.get(path, headers=headers, source=source).status for _ in range(times)]


# ---- moved routes ----

MISROUTE = """
<VirtualHost *:{port}>
    ServerName www.example
    {www}
    RedirectMatch 500 "^/v1/"
</VirtualHost>
<VirtualHost *:{port}>
    ServerName {api}
    RedirectMatch 404 "^/v1/none"
    RewriteEngine On
    RewriteRule "^/v1/" "/index.html"
</VirtualHost>
"""


@pytest.mark.parametrize("how", ["alias", "default", "added"])
def test_a_reload_that_gives_a_host_to_another_virtual_host_is_told(new_httpd, mpm, how):
    httpd = new_httpd(mpm=mpm, pm=RULES)
    httpd.config = MISROUTE.format(port=httpd.port, www="", api="api.example")
    httpd.start()
    before = line_of(httpd, "<VirtualHost", 2)
    with Load(httpd.port) as load:
        api = load.stream("/v1/items/17", rate=30, host="api.example",
                          source=lambda n: f"127.0.3.{1 + n % 8}")
        load.stream("/", rate=20, host="www.example", source=lambda n: f"127.0.3.{1 + n % 8}")
        wait_for(lambda: sum(len(stream.sent) for stream in load.streams) > 60, 10, "some traffic")
        if how == "added":      # a new file that claims the name first
            extra = httpd.root / "conf/extra.conf"
            extra.write_text(f"<VirtualHost *:{httpd.port}>\n    ServerName api.example\n"
                             '    RedirectMatch 500 "^/v1/"\n</VirtualHost>\n')
            httpd.config = (f'Include "{extra}"\n' + httpd.config)
            after = f"{extra}:1"
        else:
            www = "ServerAlias api.example" if how == "alias" else ""
            httpd.config = MISROUTE.format(port=httpd.port, www=www, api="apl.example")
            after = None
        httpd.write_config()
        httpd.reload()
        after = after or (line_of(httpd, "<VirtualHost", 1) if how == "alias" else None)
        final = opened(httpd)
    [moved] = document.events(final, "route.moved")
    first = min(one.end for one in failed(api.sent))
    assert seconds(moved["at"]) <= first + room(2)
    assert moved["data"]["host"] == "api.example"
    assert moved["data"]["from"] == {"vhost": f"api.example:{httpd.port}", "defined": before}
    if how == "default":
        assert moved["data"]["to"] is None
        assert f"www.example:{httpd.port}" in moved["text"]
    else:
        assert moved["data"]["to"]["defined"] == after
    [incident] = final["incidents"]
    assert [line["key"] for line in incident["breakdown"]["host"]] == ["api.example"]
    assert [line["key"] for line in incident["breakdown"]["route"]] == ["/v1/items/{id}"]
    document.validate(final)


def test_a_reload_that_moves_nothing_and_a_scanner_with_many_hosts_tell_nothing(new_httpd):
    httpd = new_httpd()
    httpd.config = MISROUTE.format(port=httpd.port, www="", api="api.example")
    httpd.start()
    for host in ("api.example", "www.example"):
        ask(httpd, "/", 5, host)
    for n in range(600):
        httpd.raw(f"GET / HTTP/1.0\r\nHost: made-up-{n}.example\r\n\r\n".encode())
    httpd.config = "# a line more\n" + httpd.config
    httpd.write_config()
    httpd.reload()
    for host in ("api.example", "www.example", "made-up-1.example"):
        ask(httpd, "/", 5, host)
    final = document.settled(httpd)
    assert document.events(final, "route.moved") == []


def test_a_host_that_a_more_specific_address_takes_is_told_to_be_named_still(new_httpd):
    httpd = new_httpd(pm=RULES)
    hosts = (f"<VirtualHost *:{httpd.port}>\n    ServerName a.example\n</VirtualHost>\n"
             f"<VirtualHost *:{httpd.port}>\n    ServerName b.example\n</VirtualHost>\n")
    httpd.config = hosts
    httpd.start()
    ask(httpd, "/", 5, "b.example")
    httpd.config = hosts.replace("*:", "127.0.0.1:", 1)
    httpd.write_config()
    httpd.reload()
    ask(httpd, "/", 5, "b.example")
    final = wait_for_document(httpd, lambda d: document.events(d, "route.moved"), 10, "a move")
    [moved] = document.events(final, "route.moved")
    named, taken = line_of(httpd, "<VirtualHost", 2), line_of(httpd, "<VirtualHost", 1)
    assert moved["data"]["to"] == {"vhost": f"a.example:{httpd.port}", "defined": taken}
    assert "any more" not in moved["text"]
    assert (f"now go to a.example:{httpd.port} ({taken}), whose address is more specific: "
            f"127.0.0.1:{httpd.port}") in moved["text"]
    assert f"b.example:{httpd.port} ({named}) still has that name" in moved["text"]


def test_a_host_whose_only_name_left_is_at_another_address_is_told_to_be_named_there(new_httpd):
    httpd = new_httpd(pm=RULES)
    other = free_port()
    hosts = (f"<VirtualHost *:{httpd.port}>\n    ServerName a.example\n</VirtualHost>\n"
             f"<VirtualHost *:{httpd.port}>\n    ServerName b.example\n</VirtualHost>\n")
    httpd.config = hosts
    httpd.start()
    ask(httpd, "/", 5, "b.example")
    httpd.config = (f"<VirtualHost *:{httpd.port}>\n    ServerName a.example\n</VirtualHost>\n"
                    f"<VirtualHost 127.0.0.1:{other}>\n    ServerName b.example\n</VirtualHost>\n")
    httpd.write_config()
    httpd.reload()
    ask(httpd, "/", 5, "b.example")
    final = wait_for_document(httpd, lambda d: document.events(d, "route.moved"), 10, "a move")
    [moved] = document.events(final, "route.moved")
    assert moved["data"]["to"]["vhost"] == f"a.example:{httpd.port}"
    assert f"; b.example:{other} ({line_of(httpd, '<VirtualHost', 2)}) has that name" in moved["text"]
    assert "more specific" not in moved["text"]


# ---- what failures have in common ----

def test_logins_that_fail_now_and_then_name_route_backend_and_signature(new_httpd, mpm, backend):
    dead = free_port()
    httpd = new_httpd(mpm=mpm, pm=RULES)
    ports = httpd.root / "conf/ports.txt"
    ports.write_text("port " + "|".join([str(dead)] * 3 + [str(backend.port)] * 7) + "\n")
    httpd.config = (
        "ProxyTimeout 5\nRewriteEngine On\n"
        f'RewriteMap db "rnd:{ports}"\n'
        'RewriteRule "^/login/(.*)" "http://127.0.0.1:${db:port}/status/200" [P]\n'
        # else a worker that failed once would not be asked again for a minute
        f'<Proxy "http://127.0.0.1:{dead}">\n    ProxySet retry=0\n</Proxy>\n')
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=60, source=lambda n: f"127.1.{n % 100}.{1 + n // 100 % 100}")
        logins = load.stream("/login/4711?password=x", rate=40, count=160,
                             source=lambda n: f"127.2.{n % 50}.1")
        logins.wait()
        final = wait_closed(httpd)
    [incident] = final["incidents"]
    # what failed before the window that opened it was no incident yet
    failures = [one for one in httpd.access_log.entries() if one.status == "503"]
    truth = len([one for one in failures if one.begin >= seconds(incident["onset"]) - MILLISECOND])
    assert len(failures) == len(failed(logins.sent)) and len(failures) - truth <= 3
    assert incident["errors"] == truth > 15
    route = lines(incident, "route")["/login/{id}"]
    assert route["errors"] == truth
    assert truth <= route["requests"] <= len(logins.sent)
    [refused] = incident["breakdown"]["backend"]
    assert refused["key"] == f"http://127.0.0.1:{dead}"
    assert document.ways(refused) == {"refused": truth}
    signature = next(line for line in incident["breakdown"]["error_log"]
                     if line["key"].startswith("AH00957"))
    assert truth <= signature["count"] <= len(failures)
    assert "127.0.0.1" not in signature["sample"]
    [host] = incident["breakdown"]["host"]
    assert (host["key"], host["errors"]) == ("localhost", truth)
    [method] = incident["breakdown"]["method"]
    assert (method["key"], method["errors"]) == ("GET", truth)
    assert sum(line["errors"] for line in incident["breakdown"]["client"]) <= truth
    assert all(sample["uri"] == "/login/4711" for sample in incident["samples"])
    document.validate(final)


def test_two_virtual_hosts_that_fail_at_once_do_not_hide_each_other(new_httpd):
    httpd = new_httpd(pm=RULES)
    httpd.config = "".join(
        f"<VirtualHost *:{httpd.port}>\n    ServerName {name}.example\n"
        f'    RedirectMatch {status} "^/{name}/"\n</VirtualHost>\n'
        for name, status in (("one", 500), ("two", 503)))
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=30, host="one.example", source=lambda n: f"127.0.3.{1 + n % 8}")
        streams = [load.stream(lambda n, name=name: f"/{name}/{n}", rate=30, count=60, host=f"{name}.example",
                               source=lambda n: f"127.0.4.{1 + n % 9}") for name in ("one", "two")]
        for stream in streams:
            stream.wait()
        final = wait_closed(httpd)
    most = {f"{name}.example:{httpd.port}": 0 for name in ("one", "two")}
    failures = [one for one in httpd.access_log.entries() if one.status >= "500"]
    # the server's incident may open later than a virtual host's, and tells of both then
    for incident in final["incidents"]:
        for line in incident["breakdown"]["vhost"]:
            # a first one among many that succeed is no incident yet
            truth = sum(f"{one.vhost}:{httpd.port}" == line["key"]
                        and one.begin >= seconds(incident["onset"]) - MILLISECOND for one in failures)
            assert line["errors"] == truth
            most[line["key"]] = max(most[line["key"]], truth)
        assert {"/one/{id}", "/two/{id}"} & set(lines(incident, "route")) or \
            {"one.example", "two.example"} & set(lines(incident, "host"))
    assert all(57 <= errors <= 60 for errors in most.values()), most


def test_in_a_flood_of_odd_uris_the_heavy_ones_are_told_and_the_rest_is_other(new_httpd):
    # not 500 or 503: after those httpd closes the connection
    httpd = new_httpd(config='RedirectMatch 502 "^/(odd|heavy)"\n', pm=LONG)
    httpd.start()
    words = [f"{a}{b}{c}" for a in "bdfghklm" for b in "aeiou" for c in "nrstxz"]
    odd = [f"/odd/{a}/{b}" for a in words for b in words[:8]]
    heavy = 0
    for at in range(0, len(odd), 40):
        batch = b"".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
                         for path in odd[at:at + 40] + ["/heavy"] * 4)
        heavy += 4
        httpd.raw(batch + b"GET /heavy HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                  source=f"127.0.4.{1 + at // 40 % 9}")
        heavy += 1
    ask(httpd, "/")
    final = document.settled(httpd)
    [incident] = final["incidents"]
    routes = incident["breakdown"]["route"]
    assert routes[0]["key"] == "/heavy"
    assert routes[0]["errors"] == pytest.approx(heavy, rel=0.02)
    assert routes[-1]["key"] == "(other)"
    assert sum(route["errors"] for route in routes) == incident["errors"] == len(odd) + heavy


def test_on_http2_route_host_client_and_request_id_are_told(new_httpd):
    httpd = new_httpd(config="Protocols h2c http/1.1\n" 'RedirectMatch 503 "^/users"\n',
                      modules=("http2", "unique_id"), pm=LONG)
    httpd.start()
    http2.ask(httpd.port, [f"/users/{n}/mail?secret=1" for n in range(40)], host="api.example")
    final = opened(httpd)
    [incident] = final["incidents"]
    assert lines(incident, "route")["/users/{id}/mail"]["errors"] == 40
    assert lines(incident, "host")["api.example"]["errors"] == 40
    assert lines(incident, "client")["127.0.0.0/24"]["errors"] == 40
    for sample in incident["samples"]:
        assert re.fullmatch(r"/users/\d+/mail", sample["uri"])
        assert sample["method"] == "GET" and sample["status"] == 503
        assert sample["host"] == "api.example"
        assert len(sample["request_id"]) >= 11
        assert sample["latency"] >= 0
        assert sample["aborted"] is not True, "the client got its reply"
    assert len({sample["request_id"] for sample in incident["samples"]}) == len(incident["samples"])


def test_the_request_id_of_a_sample_joins_both_logs(new_httpd):
    httpd = new_httpd(config=f'ProxyPass "/x" "http://127.0.0.1:{free_port()}" retry=0\n'
                      'LogFormat "%L" ids\nCustomLog "logs/ids.log" ids\n'
                      'ErrorLogFormat "[%L] %M"\n', pm=LONG)
    httpd.start()
    ask(httpd, "/x/1", 20)
    log = httpd.root / "logs/ids.log"
    wait_for(lambda: log.read_text().count("\n") == 20, 20, "all are logged")
    final = opened(httpd)
    ids = log.read_text().split()
    for sample in final["incidents"][0]["samples"]:
        assert sample["request_id"] in ids
        assert httpd.said(f"[{sample['request_id']}]")


def test_behind_a_proxy_the_client_is_the_one_that_mod_remoteip_gives(new_httpd):
    httpd = new_httpd(config='RedirectMatch 503 "^/x"\nRemoteIPHeader X-Forwarded-For\n'
                      "RemoteIPInternalProxy 127.0.0.1\n", modules=("remoteip",), pm=LONG)
    httpd.start()
    for n in range(1, 31):
        ask(httpd, "/x", 1, **{"X-Forwarded-For": f"198.51.100.{n}"})
    ask(httpd, "/x", 20, **{"X-Forwarded-For": "203.0.113.9"})
    final = opened(httpd)
    [incident] = final["incidents"]
    assert incident["breakdown"]["client"][0]["key"] == "203.0.113.0/24"
    assert incident["breakdown"]["client"][0]["errors"] == 20
    assert incident["breakdown"]["client"][1]["key"] == "198.51.100.0/24"
    assert incident["clients"]["affected"] == pytest.approx(31, abs=2)
    assert "198.51.100.7" not in str(final)


MONITORS = ("health", "kube-probe", "GoogleHC", "check_http", "Prometheus", "Blackbox", "HAProxy", "Zabbix", "Pingdom",
            "Uptime", "StatusCake", "Datadog", "monit/", "Nagios", "Icinga", "Site24x7", "Monitor",
            "internal dummy connection")
NO_MONITORS = ("Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0", "healt", "Googlebot", "check_ssl", "Promethean",
               "uptim", "curl/8.0 hHealt-h", "Zabbi", "internal", "x")


def test_the_share_of_monitoring_and_of_the_busiest_client_is_told(new_httpd):
    httpd = new_httpd(config='RedirectMatch 503 "^/x"\n', pm=LONG)
    httpd.start()
    for n in range(10):     # no more than it takes: traffic is looked at from then on
        ask(httpd, "/x", 1, source=f"127.0.4.{1 + n % 9}")
    opened(httpd)
    for n in range(40):
        ask(httpd, "/", 1, source=f"127.0.5.{1 + n % 10}", **{"User-Agent": NO_MONITORS[n % 10]})
    for n in range(30):     # in any case, at any place
        name = MONITORS[n % len(MONITORS)]
        ask(httpd, "/", 1, source="127.9.9.9",
            **{"User-Agent": "M" * (n % 7) + (name.upper() if n % 2 else name) + "/1.27"[:n % 5]})
    for n in range(10):     # only with the next failure it belongs to the window
        ask(httpd, "/x", 1, source=f"127.0.4.{1 + n % 9}")
    final = document.settled(httpd)
    traffic = final["incidents"][0]["traffic"]
    assert traffic["requests"] == pytest.approx(80, abs=1)
    assert traffic["monitoring"] == 30
    assert traffic["monitoring_ratio"] == pytest.approx(30 / 80, abs=0.01)
    assert traffic["busiest_client"]["key"] == "127.9.9.0/24"
    assert traffic["busiest_client"]["requests"] == 30
    [route] = final["incidents"][0]["breakdown"]["route"]
    assert (route["key"], route["errors"], route["error_ratio"]) == ("/x", 20, 1)


def test_hostile_uris_hosts_and_methods_come_out_inert(new_httpd):
    httpd = new_httpd(config='RedirectMatch 503 "x"\n', pm=LONG)
    httpd.start()
    for n in range(15):
        for request in (b"GET /x/<script>alert(1)</script>/%1b[31m/\x80 HTTP/1.1\r\nHost: localhost",
                        b"GET /x/" + b"a" * 7000 + b" HTTP/1.1\r\nHost: " + b"b" * 900,
                        b"\x1b[31mX /x HTTP/1.1\r\nHost: localhost",
                        b"GET /x HTTP/1.1\r\nHost: <b>", b"GET x HTTP/1.0\r\nHost: a\x00b"):
            httpd.raw(request + b"\r\nConnection: close\r\n\r\n", source=f"127.0.4.{1 + n}")
    final = opened(httpd)
    document.validate(final)
    assert "\x1b" not in str(final["incidents"])
    assert "<script" not in str(final["incidents"][0]["breakdown"])


# ---- bad input ----

# Takes a client's address from a header, as APR gives it: a path is a Unix socket's.
WHOEVER = """
#include <http_protocol.h>
static int whoever(request_rec *r)
{
    const char *who = apr_table_get(r->headers_in, "X-Client");
    apr_sockaddr_t *addr;
    if (who != NULL && apr_sockaddr_info_get(&addr, who, *who == '/' ? APR_UNIX : APR_UNSPEC, 0, 0,
                                             r->pool) == APR_SUCCESS) {
        r->useragent_addr = addr;
        r->useragent_ip = (char *)who;
        apr_table_setn(r->err_headers_out, "X-Taken", "yes");
    }
    return DECLINED;
}
"""


def whoever(new_httpd, **options):
    httpd = new_httpd(config='RedirectMatch 503 "^/x"\n', **options)
    httpd.config += build_module(httpd.root, "whoever", WHOEVER,
                                 "ap_hook_post_read_request(whoever, NULL, NULL, APR_HOOK_FIRST);") + "\n"
    return httpd.start()


def test_clients_without_an_address_are_counted_as_nobody_and_not_taken_for_one(new_httpd):
    httpd = whoever(new_httpd, pm=LONG)
    socket = {"X-Client": "/run/client.sock"}
    for n in range(12):     # as many well clients as would make a scanner of one that fails
        ask(httpd, "/", 1, source=f"127.0.5.{1 + n}")
    assert httpd.get("/", headers=socket).headers["X-Taken"] == "yes"
    ask(httpd, "/x", 30, **socket)
    final = opened(httpd)
    ask(httpd, "/x", 5, **socket)
    final = document.settled(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    assert incident["errors"] == 35
    assert incident["breakdown"]["client"] == []
    assert incident["clients"]["affected"] == 0
    assert {sample["client"] for sample in incident["samples"]} == {None}
    assert not [cause for cause in incident["causes"] if cause["kind"] == "client"]
    assert "single_client" not in [one["hypothesis"] for one in incident["ruled_out"]]


def test_an_ipv6_address_is_masked_whatever_its_zone(new_httpd):
    httpd = whoever(new_httpd, pm=LONG)
    zones = ["fe80::1:2:3%lo", "fe80::1:2:3%1", "2001:db8:7:8::9", "::ffff:203.0.113.9"]
    for who in zones:
        assert httpd.get("/x", headers={"X-Client": who}).headers["X-Taken"] == "yes"
        ask(httpd, "/x", 9, **{"X-Client": who})
    final = opened(httpd)
    [incident] = final["incidents"]
    told = lines(incident, "client")
    assert {key: line["errors"] for key, line in told.items()} == \
        {"fe80::/48": 20, "2001:db8:7::/48": 10, "203.0.113.0/24": 10}
    assert told["fe80::/48"]["clients"] == 1
    assert "fe80::1" not in str(final) and "%lo" not in str(final)


def test_backends_whose_names_are_made_from_the_request_are_told_by_what_they_became(new_httpd):
    httpd = new_httpd(modules=("proxy_fcgi", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm"),
                      pm=LONG)
    httpd.config = (
        'ProxyPassMatch "^/shard/([0-9]+)/" "http://127.0.0.1:$1/" retry=0\n'
        f'ProxyPassMatch "^/fpm/([a-z]+)$" "unix:{httpd.root}/$1.sock|fcgi://localhost/app" retry=0\n'
        f'ProxyPass "/sock/" "unix:{httpd.root}/fixed.sock|http://localhost/" retry=0\n'
        f'ProxyPass "/pool/" "balancer://pool/"\n<Proxy "balancer://pool">\n'
        f'    BalancerMember "unix:{httpd.root}/member.sock|http://member/" retry=0\n</Proxy>\n'
        f'<Location "/php/">\n    SetHandler "proxy:unix:{httpd.root}/php.sock|fcgi://localhost"\n</Location>\n')
    (httpd.root / "htdocs/php").mkdir()
    httpd.document("php/x.php")
    httpd.start()
    ports = [n for n in range(1, 400) if n not in (7, 22, 25, 53, 80, 111, 443)]
    for port in ports:      # more than a breakdown has lines, and than a bucket has room
        ask(httpd, f"/shard/{port}/cart")
    ask(httpd, "/shard/1/cart", 100)
    ask(httpd, "/fpm/app", 30)
    ask(httpd, "/fpm/other", 20)
    ask(httpd, "/sock/x", 10)
    ask(httpd, "/pool/x", 9)
    ask(httpd, "/php/x.php", 8)
    final = document.settled(httpd)
    document.validate(final)
    [incident] = final["incidents"]
    told = lines(incident, "backend")
    assert sum(line["errors"] for line in told.values()) == incident["errors"] == len(ports) + 177
    assert told["http://127.0.0.1:1"]["errors"] == pytest.approx(101, abs=1)
    # in a crowd a newcomer's first is (other)
    assert {key.removeprefix(f"{httpd.root}/"): line["errors"] for key, line in told.items()
            if key.endswith(".sock")} == pytest.approx(
                {"$1.sock": 50, "fixed.sock": 10, "member.sock": 9, "php.sock": 8}, abs=1)
    # what stands for the path is no guess of ours: httpd does not fill it in
    assert httpd.said("AH02454", f"{httpd.root}/$1.sock")
    [route] = [line for key, line in lines(incident, "route").items() if key.startswith("/shard/")]
    assert (route["key"], route["errors"]) == ("/shard/{id}/cart", len(ports) + 100)


def test_tens_of_thousands_of_made_up_hosts_hide_none_that_is_real_and_take_no_memory(new_httpd):
    httpd = new_httpd(config='RedirectMatch 502 "^/x"\n', pm=LONG)
    httpd.start()
    ask(httpd, "/", 5, "real.example")

    def size():
        return sum(file.stat().st_size for file in [httpd.capture, *httpd.runtime.rglob("*")]
                   if file.is_file() and not file.name.endswith(".log"))

    before, heavy, made_up = size(), 0, 0
    for at in range(0, 30_000, 100):
        hosts = [f"h{at + n}.made-up.example" for n in range(100)] + ["real.example"] * 6
        batch = "".join(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n" for host in hosts)
        httpd.raw(batch.encode() + b"GET /x HTTP/1.1\r\nHost: real.example\r\n"
                  b"Connection: close\r\n\r\n", source=f"127.0.4.{1 + at // 100 % 9}")
        heavy, made_up = heavy + 7, made_up + 100
    httpd.config = "# a line more\n" + httpd.config
    httpd.write_config()
    httpd.reload()
    ask(httpd, "/", 5, "real.example")
    final = document.settled(httpd)
    [incident] = final["incidents"]
    hosts = incident["breakdown"]["host"]
    assert hosts[0]["key"] == "real.example"
    assert hosts[0]["errors"] == pytest.approx(heavy, rel=0.01)
    assert sum(line["errors"] for line in hosts) == incident["errors"] == heavy + made_up
    assert document.events(final, "route.moved") == []
    assert size() <= before * 1.01


def test_a_request_that_never_ends_is_in_flight_named_after_a_minute_and_counted_when_it_does(
        new_httpd, backend):
    httpd = new_httpd(pm=RULES, config=f'ProxyPass "/api/" "{backend.url}/" timeout=600\n').start()
    with Load(httpd.port) as load:
        began = time.time()
        load.stream("/api/hang?secret=1", rate=1, count=1, timeout=600)
        load.stream("/", rate=5, source=lambda n: f"127.0.3.{1 + n % 8}")
        final = wait_for_document(httpd, lambda d: document.events(d, "note"), 90, "its name")
        [named] = document.events(final, "note")
        assert 60 <= seconds(named["at"]) - began < 60 + room(3)
        assert "1 request is in flight for more than a minute" in named["text"]
        assert "/api/hang on" in named["text"] and "secret" not in named["text"]
        assert final["in_flight"]["requests"] >= 1 and final["in_flight"]["oldest"] > 60
        backend.release()
    final = document.settled(httpd)
    assert document.status_totals(final) == httpd.access_log.totals()
    assert final["in_flight"] == {"requests": 0, "oldest": 0} or final["in_flight"]["requests"] == 0


def test_a_sample_tells_whether_the_client_had_gone_and_has_the_id_of_mod_unique_id(new_httpd):
    httpd = new_httpd(config='RedirectMatch 502 "^/x"\nErrorDocument 502 /big.bin\n'
                      'LogFormat "%{UNIQUE_ID}e %X" ids\nCustomLog "logs/ids.log" ids\n',
                      modules=("unique_id",), pm=LONG)
    httpd.document("big.bin", b"z" * 30_000_000)
    httpd.start()
    for _ in range(6):
        aborted_download(httpd.port, "/x/gone")
        ask(httpd, "/x/stayed", 2)
    log = httpd.root / "logs/ids.log"
    wait_for(lambda: log.read_text().count("\n") == 18, 60, "all are logged")
    final = opened(httpd)
    truth = dict(line.split() for line in log.read_text().splitlines())
    samples = final["incidents"][0]["samples"]
    assert len(samples) >= 12
    for sample in samples:
        assert sample["aborted"] == sample["uri"].endswith("gone")
        assert sample["aborted"] == (truth[sample["request_id"]] == "X")


# ---- the error log ----

CGI = """#!/usr/bin/python3
import os, sys
n = int(os.environ["QUERY_STRING"] or 1)
for i in range(n):
    sys.stderr.write(f"cannot reach db at 10.1.2.{i % 200}:5432 for user{i}@example.org, password=hunter2\\n")
sys.stderr.flush()
print("Status: 500\\nContent-Type: text/plain\\n\\nbroken")
"""


def cgi_server(new_httpd):
    httpd = new_httpd(mpm="prefork", modules=("cgi",), pm=LONG,
                      config='ScriptAlias "/cgi/" "cgi/"\n<Directory "cgi">\n'
                             "    Require all granted\n</Directory>\n")
    httpd.config = httpd.config.replace('"cgi/"', f'"{httpd.root}/cgi/"')
    httpd.config = httpd.config.replace('"cgi"', f'"{httpd.root}/cgi"')
    (httpd.root / "cgi").mkdir()
    script = httpd.root / "cgi/x"
    script.write_text(CGI)
    script.chmod(0o755)
    return httpd.start()


def test_what_a_cgi_program_writes_is_a_signature_without_its_secrets(new_httpd):
    httpd = cgi_server(new_httpd)
    ask(httpd, "/cgi/x?3", 12)
    opened(httpd)

    def lines(found):
        return [one for one in found["incidents"][0]["breakdown"]["error_log"]
                if "cannot reach db" in one["key"] and one["count"] >= 36]

    final = wait_for_document(httpd, lines, 20, "every line is counted")
    [line] = lines(final)
    assert line["count"] == 36
    assert "{ip}:{id} for {email}, password={secret}" in line["key"]
    assert "10.1.2.0/24:5432" in line["sample"]
    assert "hunter2" not in str(final) and "@example.org" not in str(final)


class FastCgi(socketserver.StreamRequestHandler):
    """Answers 500 and says why on its error stream, as PHP-FPM does."""

    def handle(self):
        while head := self.rfile.read(8):
            _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", head)
            self.rfile.read(length + padding)
            if kind == 5 and length == 0:       # the end of its input
                FastCgi.count += 1
                self.send(7, b"PHP message: PHP Fatal error:  Uncaught PDOException: [2002] no route to "
                          b"10.1.2.%d in /srv/app/db.php:%d, token=hunter2"
                          % (FastCgi.count % 200, FastCgi.count))
                self.send(6, b"Status: 500\r\nContent-Type: text/plain\r\n\r\nsorry")
                self.send(3, bytes(8))
                return

    def send(self, kind, content):
        self.wfile.write(struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content)


def test_what_php_writes_through_fastcgi_is_one_signature_and_no_other_programs(new_httpd):
    FastCgi.count = 0
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), FastCgi) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"fcgi://127.0.0.1:{server.server_address[1]}"
        httpd = new_httpd(modules=("proxy_fcgi",), pm=LONG, config=f'ProxyPass "/app" "{url}/app"\n').start()
        ask(httpd, "/app/x.php", 30)
        final = opened(httpd)
        server.shutdown()
    [incident] = final["incidents"]
    [line] = incident["breakdown"]["error_log"]
    assert line["count"] == FastCgi.count == incident["errors"] == 30
    assert "PDOException: [{id}] no route to {ip} in /srv/app/db.php" in line["key"]
    assert "no route to 10.1.2.0/24 in" in line["sample"] and "hunter2" not in str(final)
    [backend] = incident["breakdown"]["backend"]
    assert (backend["key"], backend["failure"]["answered"]) == (url, 30)
    signature = [cause for cause in incident["causes"] if cause["kind"] == "signature"]
    assert "new to this run and to earlier incidents" in signature[0]["summary"]


def test_after_a_restart_a_line_of_an_incident_on_record_is_not_new(new_httpd):
    httpd = new_httpd(config=f'ProxyPass "/x" "http://127.0.0.1:{free_port()}" retry=0\n'
                      '<VirtualHost *:*>\nServerName second.example\n</VirtualHost>\n', pm=RULES)
    httpd.start()
    for run in (1, 2):
        for n in range(30):
            ask(httpd, "/x", source=f"127.0.4.{1 + n % 9}")
        with Load(httpd.port) as load:
            load.stream("/", rate=20, source=lambda n: f"127.0.3.{1 + n % 8}")
            final = wait_closed(httpd, count=run)
        if run == 1:    # and its virtual hosts get other numbers
            httpd.stop()
            httpd.config = '<VirtualHost *:*>\nServerName first.example\n</VirtualHost>\n' + httpd.config
            httpd.start()
    first, second = final["incidents"]
    assert [cause for cause in first["causes"] if cause["kind"] == "signature"]
    for key, line in lines(second, "error_log").items():
        assert line["first_seen"] == lines(first, "error_log")[key]["first_seen"]


def test_a_flood_of_the_error_log_loses_nothing_else(new_httpd):
    httpd = cgi_server(new_httpd)
    ask(httpd, "/cgi/x?1", 10)
    opened(httpd)       # what came long before that would not be looked back at
    began = time.monotonic()
    ask(httpd, "/cgi/x?20000", 10)
    took = time.monotonic() - began
    final = document.settled(httpd)
    [incident] = final["incidents"]
    [line] = [one for one in incident["breakdown"]["error_log"] if "cannot reach db" in one["key"]]
    assert line["count"] == 200_010, f"in {took:.1f} s"
    assert incident["errors"] == 20
    assert final["capture"]["events_lost"] == 0
    assert document.events(final, "server.start", "config.load", "incident.open")
    assert document.events(final, "error_log") == []


# ---- for other modules ----

def test_log_lines_of_an_open_incident_can_be_marked(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, config='RedirectMatch 503 "^/x"\nLogFormat "%{pm-incident}n %U" tag\n'
                      'CustomLog "logs/tag.log" tag\nCustomLog "logs/only.log" tag env=pm-incident\n',
                      pm=RULES)
    httpd.start()
    ask(httpd, "/quiet")
    ask(httpd, "/x", 30)
    opened(httpd)
    ask(httpd, "/during", 2)
    wait_closed(httpd)
    ask(httpd, "/after", 2)
    log = httpd.root / "logs/tag.log"
    # httpd logs a request after its reply
    wait_for(lambda: len([line for line in log.read_text().splitlines() if line.endswith(" /after")]) == 2, 10,
             "all is logged")
    tagged = log.read_text().splitlines()
    assert "- /quiet" in tagged and "- /after" in tagged and "1 /after" not in tagged
    assert "1 /during" in tagged
    only = (httpd.root / "logs/only.log").read_text().splitlines()
    assert "1 /during" in only and "- /quiet" not in only and "- /after" not in only


def test_mod_status_has_a_section_on_incidents(new_httpd):
    httpd = new_httpd(modules=("status",), pm=LONG, config='RedirectMatch 503 "^/x"\n'
                      '<Location "/server-status">\n    SetHandler server-status\n</Location>\n')
    httpd.start()
    assert "No incident is open." in httpd.get("/server-status").text
    assert "PMCaptureIncidentsOpen: 0" in httpd.get("/server-status?auto").text
    ask(httpd, "/x", 30)
    opened(httpd)
    assert "Incident 1 (open)" in httpd.get("/server-status").text
    auto = httpd.get("/server-status?auto").text
    assert "PMCaptureIncidentsOpen: 1" in auto and "PMCaptureIncident: 1\n" in auto


def test_how_a_backend_failed_is_told_apart(new_httpd, backend):
    dead = free_port()
    httpd = new_httpd(config=f'ProxyPass "/dead/" "http://127.0.0.1:{dead}/" retry=0\n'
                      f'ProxyPass "/live/hang" "http://127.0.0.1:{backend.port}/hang" timeout=1\n'
                      f'ProxyPass "/live/" "http://127.0.0.1:{backend.port}/"\n'
                      f'<Proxy "balancer://pool">\n    BalancerMember "http://127.0.0.1:{backend.port}"\n'
                      '</Proxy>\nProxyPass "/pool/" "balancer://pool/"\n'
                      'ErrorDocument 500 "/sorry.html"\nProxyErrorOverride Off\n',
                      modules=("proxy_balancer", "lbmethod_byrequests", "slotmem_shm"), pm=LONG)
    httpd.document("sorry.html")
    httpd.start()
    ask(httpd, "/dead/x", 10)
    ask(httpd, "/live/status/503", 8)
    ask(httpd, "/live/status/500", 3)
    ask(httpd, "/live/hang", 2)
    ask(httpd, "/pool/status/502", 4)
    final = document.settled(httpd)
    [incident] = final["incidents"]
    backends = lines(incident, "backend")
    assert document.ways(backends[f"http://127.0.0.1:{dead}"]) == {"refused": 10}
    assert document.ways(backends[f"http://127.0.0.1:{backend.port}"]) == {"timeout": 2, "answered": 15}
    assert incident["errors"] == 27
    document.validate(final)


def test_a_critical_line_is_an_event_once_and_not_a_hundred_times(new_httpd):
    httpd = new_httpd(mpm="prefork", modules=("lua",), pm=RULES,
                      config='LuaMapHandler "^/crit" "hook.lua" handle\n')
    (httpd.root / "hook.lua").write_text(
        'require "apache2"\n'
        "function handle(r)\n"
        '    r:crit("disk 4711 of bob@example.org is full, token=abcdef")\n'
        "    return apache2.OK\nend\n")
    httpd.config = httpd.config.replace('"hook.lua"', f'"{httpd.root}/hook.lua"')
    httpd.start()
    ask(httpd, "/crit", 100)
    final = document.settled(httpd)
    [event] = document.events(final, "error_log")
    assert event["severity"] == "critical" and event["data"]["level"] == "crit"
    assert "disk 4711 of {email} is full, token={secret}" in event["text"]
