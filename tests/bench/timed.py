"""What is timed: throughput, latency, starts, reloads, status pages, the tools. Always A and B in turn."""
import http.client
import os
import re
import resource
import socket
import statistics
import subprocess
import threading
import time
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from servers import BUILD, PMCAPTURE, PMDUMP, Server, wait_for

CORE = BUILD / "bench/core"

WRK_REPORT = """
done = function(summary, latency, requests)
    local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), latency:percentile(99.9), errors))
end
"""


# Who asks has a core of its own, so that the two do not take turns on one: else chance decides what is measured.
CORES = sorted(os.sched_getaffinity(0))
APART = ["taskset", "-c", str(CORES[0])] if len(CORES) > 1 else []


@contextmanager
def on_the_other_cores():
    """What is started meanwhile stays off the core of who asks."""
    os.sched_setaffinity(0, CORES[1:] or CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def wrk(port, path, seconds, keepalive=True, connections=8):
    """Requests a second, and latencies in milliseconds."""
    script = Path(f"/tmp/pmcapture-bench-{os.getpid()}.lua")
    script.write_text(WRK_REPORT)
    try:
        command = [*APART, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
        if not keepalive:
            command += ["-H", "Connection: close"]
        out = subprocess.run([*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True,
                             check=True).stdout
    finally:
        script.unlink()
    requests, us, p50, p99, p999, errors = map(int, re.search(r"RESULT ([\d ]+)", out).group(1).split())
    if errors:
        raise RuntimeError(f"wrk met {errors} errors")
    return {"rate": requests / us * 1e6, "p50": p50 / 1000, "p99": p99 / 1000, "p99.9": p999 / 1000}


@contextmanager
def servers(*variants, **options):
    """One running server for each variant."""
    made = {}
    try:
        for variant in variants:
            made[variant] = Server(variant, **options)
            with on_the_other_cores():
                made[variant].start()
        for server in made.values():
            wait_for(server.resumed, 30, "httpd takes signals") if "notice" in server.own else time.sleep(0.2)
        yield made
    finally:
        for server in made.values():
            server.close()


def in_turn(things, repeats, measure):
    """{name: [result, ...]}, each round in the opposite order of the one before."""
    found = {name: [] for name in things}
    for n in range(repeats):
        order = list(things.items())
        for name, thing in order if n % 2 == 0 else reversed(order):
            found[name].append(measure(thing))
    return found


def ratios(found, name, base, key=None):
    """What one has of the other, pair by pair: what slows the machine slows both of a pair."""
    return [(a[key] if key else a) / (b[key] if key else b) for a, b in zip(found[name], found[base])]


@contextmanager
def disk_hog(folder):
    """Something else writes all it can to the disk, and waits for it."""
    file = Path(folder) / "hog"
    ending = threading.Event()

    def write():
        while not ending.is_set():
            subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=1M", "count=128", "conv=fdatasync"],
                           stderr=subprocess.DEVNULL)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()
        file.unlink(missing_ok=True)


@contextmanager
def polled(port, path):
    """Somebody asks for the page once a second."""
    ending = threading.Event()

    def ask():
        while not ending.wait(1):
            get(port, path)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}: {response.status} {body[:200]}")
        return body
    finally:
        connection.close()


# ---- processes ----

def used(pid):
    """Seconds of processor, all threads: finer than the clock ticks of stat."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9


def private_kib(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+)", text, re.M))


def wake_ups(pid):
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M).group(1))
               for task in Path(f"/proc/{pid}/task").iterdir())


def loaded(server, seconds, path="/1k.txt", **options):
    """wrk's figures, and microseconds of processor that each request took httpd."""
    workers = server.workers()
    before = sum(map(used, workers))
    found = wrk(server.port, path, seconds, **options)
    found["us"] = (sum(map(used, workers)) - before) * 1e6 / (found["rate"] * seconds)
    return found


def recorder_share(server, seconds, load):
    """Share of a core that the recorders use."""
    recorders = server.recorders()
    before, begin = sum(map(used, recorders)), time.monotonic()
    rate = 0
    if load:
        rate = wrk(server.port, "/1k.txt", seconds)["rate"]
    else:
        time.sleep(seconds)
    return (sum(map(used, recorders)) - before) / (time.monotonic() - begin), rate


# ---- starts and reloads ----

VHOST = """<VirtualHost 127.0.0.1:{port}>
    ServerName v{n}.example
    ServerAlias www.v{n}.example
    DocumentRoot "{root}/htdocs"
    ErrorDocument 404 "no such page at v{n}"
    <Location /private>
        Require env never_{n}
    </Location>
</VirtualHost>
"""


class Site:
    """A server with many virtual hosts, started and reloaded again and again."""

    def __init__(self, variant, vhosts):
        self.server = Server(variant, config="IncludeOptional sites/*.conf\nLogLevel notice")
        self.server.document("large.bin", b"x" * 30_000_000)
        (self.server.root / "sites").mkdir()
        for n in range(vhosts):
            (self.server.root / f"sites/{n:05}.conf").write_text(
                VHOST.format(port=self.server.port, n=n, root=self.server.root))

    def start(self):
        """Seconds of processor that a start takes, until it serves."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin = time.time()
        resumed = self.server.resumed()
        self.server.start()
        wait_for(lambda: self.server.resumed() > resumed, 60, "httpd takes signals")
        wall = self.resumed_at() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # the first pass is the command's, the second one the server's
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"cpu": cpu + used(self.server.parent), "wall": wall}

    def restart(self):
        if self.server.parent:
            self.server.stop()
        return self.start()

    def reload(self):
        before, begin = used(self.server.parent), time.time()
        self.server.reload()
        wall = self.resumed_at() - begin
        wait_for(lambda: len(self.server.workers()) >= 2, 30, "workers of the new generation")
        time.sleep(0.3)     # the last generation's children are reaped on the parent's time
        return {"cpu": used(self.server.parent) - before, "wall": wall,
                "recorders": sum(map(used, self.server.recorders()))}

    def resumed_at(self):
        """When httpd said that it serves, by its own clock: whoever asks now and then learns it late."""
        line = re.findall(r"^\[([^]]+)\] .*resuming normal operations", self.server.errors(), re.M)[-1]
        return datetime.strptime(line, "%a %b %d %H:%M:%S.%f %Y").timestamp()

    def reload_at_work(self):
        """While a client takes its time over a download, so that a process of the last generation stays.

        Then the parent shares its memory with it, and each page that the new configuration is written to is copied,
        with and without the module. On an idle server only the recorders share it, until their successors are there.
        """
        with socket.create_connection(("127.0.0.1", self.server.port), 30) as client:
            client.sendall(b"GET /large.bin HTTP/1.1\r\nHost: v1.example\r\n\r\n")
            client.recv(1)
            time.sleep(0.2)
            return self.reload()

    def close(self):
        self.server.close()


def starts_and_reloads(vhosts, repeats):
    sites = {variant: Site(variant, vhosts) for variant in ("nothing", "mod_pmcapture")}
    try:
        start = in_turn(sites, repeats, Site.restart)
        return {"start": start, "reload": in_turn(sites, repeats, Site.reload),
                "reload at work": in_turn(sites, repeats, Site.reload_at_work)}
    finally:
        for site in sites.values():
            site.close()


# ---- status pages and tools ----

def fill(path, share, incidents, is_open=False):
    subprocess.run([CORE, "fill", str(path), str(share), str(incidents), *(["open"] if is_open else [])], check=True)
    if os.getuid() == 0:
        os.chown(path, 0, 0)


def median_ms(action, repeats):
    times = []
    for _ in range(repeats):
        begin = time.monotonic()
        action()
        times.append((time.monotonic() - begin) * 1000)
    return times


def page_times(port, paths, repeats):
    """{path: [ms, ...]}, in turn."""
    for path in paths:
        get(port, path)
    return in_turn({path: path for path in paths}, repeats, lambda path: median_ms(lambda: get(port, path), 1)[0])


def tool_times(capture, commands, repeats):
    environment = {**os.environ, "PMDUMP": str(PMDUMP), "NO_COLOR": "1"}

    def run(arguments):
        subprocess.run([PMCAPTURE, *arguments, "-f", str(capture)], env=environment, check=True,
                       stdout=subprocess.DEVNULL)

    return in_turn({" ".join(c): c for c in commands}, repeats, lambda c: median_ms(lambda: run(c), 1)[0])


def spread(values):
    """Median, and the quartiles around it."""
    values = sorted(values)
    if len(values) < 3:
        return {"median": statistics.median(values), "low": values[0], "high": values[-1]}
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "low": low, "high": high}
