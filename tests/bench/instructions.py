"""Instructions and system calls that a request costs, counted and not timed."""
import os
import re
import signal
import socket
import statistics
import subprocess
import time
from collections import Counter
from typing import NamedTuple

from servers import AGENT, APACHE, MODULES, VARIANTS, Server, as_worker, free_port, hand_over, wait_for
from timed import PMDUMP

# An incident that opens at once, and one that never does: of its ratio nothing can be more.
OPENS = "PMCaptureBurst errors=10 window=2"
NEVER_OPENS = "PMCaptureBurst errors=1000000000 ratio=100%"


class Case(NamedTuple):
    """What is asked. `config` is every variant's, `own` mod_pmcapture's alone."""
    path: str = "/1k.txt"
    status: int = 200
    config: str = ""
    own: str = ""
    anew: bool = False      # a connection for each request
    incident: bool = False  # only while one is open


GOOD = Case()
ANEW = Case(anew=True)
# 502 and not 503, after which httpd closes the connection: nothing but the failure is to differ from a good one.
FAILING = Case("/fail", 502, "Redirect 502 /fail\nErrorDocument 502 sorry", NEVER_OPENS)
IN_INCIDENT = FAILING._replace(own=OPENS, incident=True)
# A backend that refuses: httpd closes the connection, and writes two lines to the error log.
REFUSED = Case("/api/basket/4711", 503, f"LoadModule proxy_module {MODULES}/mod_proxy.so\n"
               f"LoadModule proxy_http_module {MODULES}/mod_proxy_http.so\n"
               "ProxyPass /api http://127.0.0.1:9/ retry=0\nErrorDocument 503 sorry", NEVER_OPENS, anew=True)


def receive(connection, status, length):
    """A reply; its length, when it is not known, is what came at once."""
    got = connection.recv(65536)
    assert got.startswith(b"HTTP/1.1 %d" % status), got[:200]
    while length is not None and len(got) < length:
        got += connection.recv(65536)
    return len(got)


def ask(port, count, padding=0, case=GOOD):
    """`count` requests, one after the other, over one connection or each over its own."""
    close = "Connection: close\r\n" if case.anew else ""
    request = (f"GET {case.path} HTTP/1.1\r\nHost: localhost\r\n{close}"
               f"User-Agent: {AGENT}{'x' * padding}\r\n\r\n").encode()
    connection = length = None
    for _ in range(count):
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port), 60)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        length = receive(connection, case.status, length)
        if case.anew:
            while connection.recv(65536):
                pass
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


def serve_single(server, tool):
    """The single-process httpd under `tool`, ready. A port that was free may be another connection's a moment later."""
    for _ in range(3):
        process = start_single(server, tool)
        if wait_for(lambda: process.poll() is not None or not server.port_is_free(), 60, "httpd listens") \
                and process.poll() is None:
            return process
        server.port = free_port()
    raise RuntimeError(f"httpd does not stay: {server.errors()}")


def start_single(server, tool):
    server.write_config()
    hand_over(server)
    return subprocess.Popen(
        as_worker(*tool, APACHE, "-X", "-f", str(server.conf), "-d", str(server.root)),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", **dict([server.marker.split("=")])})


def end(process):
    time.sleep(0.2)     # prefork ends within the signal, wherever it is: the last connection is to be over
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def has_incident(server):
    done = subprocess.run([PMDUMP, "--view", "incidents", str(server.capture)], capture_output=True, text=True)
    return '"open"' in done.stdout


def instructions_of(variant, mpm, count, turn, case=GOOD):
    """Instructions of the process from its start to its end, having served `count` requests."""
    ours, padding = variant == "mod_pmcapture", 36 * (turn % 3)     # who logs it pays for each character
    server = Server(variant, mpm, single=True,
                    config=f"Define pad {'x' * (1 + 408 * turn)}\n{case.config}\n{case.own if ours else ''}")
    try:
        process = serve_single(server, ["valgrind", "--tool=callgrind", "-q",
                                        f"--callgrind-out-file={server.root}/callgrind.%p"])
        if case.incident:
            ask(server.port, 40, padding, case)
            if ours:
                wait_for(lambda: has_incident(server), 20, "an incident is open")
        ask(server.port, count, padding, case)
        end(process)
        text = (server.root / f"callgrind.{process.pid}").read_text()
        return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M).group(1))
    finally:
        server.close()


def count_instructions(mpm, few, many, repeats, case=GOOD, variants=VARIANTS):
    """{variant: [instructions per request, ...]}: the difference of two runs, so that start and end cancel out.

    A string that happens to lie across two pages costs the C library some fifty more, with and without a module:
    each round puts the strings elsewhere, the request's and the configuration's.
    """
    found = {variant: [] for variant in variants}
    for n in range(repeats):
        for variant in variants:
            least = instructions_of(variant, mpm, few, n, case)
            most = instructions_of(variant, mpm, many, n, case)
            found[variant].append((most - least) / (many - few))
    return found


def system_calls_of(variant, mpm, count):
    """{call: times} of the process that serves, all its threads; what it forks is not counted."""
    server = Server(variant, mpm, single=True)
    try:
        out = server.root / "strace"
        process = serve_single(server, ["strace", "-f", "-o", str(out)])
        ask(server.port, count)
        parent = int((server.root / "run/httpd.pid").read_text())
        threads = set(os.listdir(f"/proc/{parent}/task"))
        os.kill(parent, signal.SIGTERM)     # strace keeps its own to itself
        process.wait(60)
        calls = re.findall(r"^(\d+) +(\w+)\(", out.read_text(), re.M)
        return Counter(name for pid, name in calls if pid in threads)
    finally:
        server.close()


def count_system_calls(mpm, few, many):
    """{variant: {call: times per request}} of calls that each request makes.

    Those that a request makes only when it, or another thread, comes too early are chance: they are rounded off.
    """
    found = {}
    for variant in VARIANTS:
        least, most = (system_calls_of(variant, mpm, n) for n in (few, many))
        each = {name: (times - least[name]) / (many - few) for name, times in most.items()}
        found[variant] = {name: round(n) for name, n in each.items() if round(n)}
    return found


def added(found, variant):
    """Median of what a variant adds to nothing."""
    return statistics.median(own - none for own, none in zip(found[variant], found["nothing"]))
