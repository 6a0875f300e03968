"""Instructions and system calls that a good request costs, counted and not timed."""
import os
import re
import signal
import socket
import statistics
import subprocess
from collections import Counter

from servers import AGENT, APACHE, VARIANTS, Server, as_worker, hand_over, wait_for


def ask(port, count, padding=0):
    """`count` requests, one after the other, over one connection."""
    request = f"GET /1k.txt HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}{'x' * padding}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        length = None
        for _ in range(count):
            connection.sendall(request)
            got = connection.recv(65536)
            if length is None:
                assert got.startswith(b"HTTP/1.1 200"), got[:200]
                length = len(got)
            while len(got) < length:
                got += connection.recv(65536)


def serve_single(server, tool):
    """The single-process httpd under `tool`, ready."""
    server.write_config()
    hand_over(server.root)
    process = subprocess.Popen(
        as_worker(*tool, APACHE, "-X", "-f", str(server.conf), "-d", str(server.root)),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", **dict([server.marker.split("=")])})
    wait_for(lambda: not server.port_is_free(), 60, "httpd listens")
    return process


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)


def instructions_of(variant, mpm, count, padding):
    """Instructions of the process from its start to its end, having served `count` requests."""
    server = Server(variant, mpm, single=True)
    try:
        process = serve_single(server, ["valgrind", "--tool=callgrind", "-q",
                                        f"--callgrind-out-file={server.root}/callgrind.%p"])
        ask(server.port, count, padding)
        end(process)
        text = (server.root / f"callgrind.{process.pid}").read_text()
        return int(re.search(r"^(?:totals|summary): (\d+)", text, re.M).group(1))
    finally:
        server.close()


def count_instructions(mpm, few, many, repeats):
    """{variant: [instructions per request, ...]}: the difference of two runs, so that start and end cancel out.

    A string that happens to lie across two pages costs the C library some fifty more, with and without a module:
    each round puts the strings elsewhere.
    """
    found = {variant: [] for variant in VARIANTS}
    for n in range(repeats):
        for variant in VARIANTS:
            least = instructions_of(variant, mpm, few, 36 * n)
            most = instructions_of(variant, mpm, many, 36 * n)
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
