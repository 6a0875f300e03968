#!/usr/bin/python3
"""What comparing the configuration adds to a reload, as a share of the reload's own time.

Two servers with the same virtual hosts, each in a file of its own, are reloaded in turn, one of them
without the module; the other with and without a change. Shown are the processor time that the parent
spent on the reload, and the wall time from the signal to "resuming normal operations" by the stamps
in its error log.

    tests/bench/reload_cost.py [--vhosts 2000] [--reloads 20]

BUILD names the build folder, as it does to make. Numbers of one run compare; those of two don't.
"""
import argparse
import re
import statistics
import sys
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "httpd"))

from harness import document  # noqa: E402
from harness.httpd import Httpd  # noqa: E402
from harness.wait import wait_for  # noqa: E402

VHOST = """<VirtualHost 127.0.0.1:{port}>
    ServerName v{n}.example
    ServerAlias www.v{n}.example
    DocumentRoot htdocs
    Header set X-Site "v{n}"
    RewriteEngine On
    RewriteRule ^/old/(.*)$ /new/$1 [R=301,L]
    <Location /private>
        Require ip 127.0.0.1
        Header set X-Private "{value}"
    </Location>
    ProxyPass /api http://127.0.0.1:9/v{n} retry=0
</VirtualHost>
"""


def write_site(httpd, number, value):
    path = httpd.root / f"sites/{number:05}.conf"
    path.write_text(VHOST.format(port=httpd.port, n=number, value=value))


def server(vhosts, **options):
    httpd = Httpd(config="IncludeOptional sites/*.conf", **options)
    (httpd.root / "sites").mkdir()
    for number in range(vhosts):
        write_site(httpd, number, "a")
    httpd.start()
    wait_for(httpd.resumed, 60, "the server takes signals")
    return httpd


def on_processor(pid):
    """Seconds, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def logged_at(httpd, words):
    stamp = re.match(r"\[(.*?)\]", httpd.said(words)[-1]).group(1)
    return datetime.strptime(stamp, "%a %b %d %H:%M:%S.%f %Y").timestamp()


def timed_reload(httpd):
    """Milliseconds: processor, wall."""
    before = on_processor(httpd.parent)
    httpd.reload()
    wall = logged_at(httpd, "resuming normal operations") - logged_at(httpd, "Doing graceful restart")
    return 1000 * (on_processor(httpd.parent) - before), 1000 * wall


def show(name, samples, base):
    cells = []
    for what in (0, 1):
        values = [sample[what] for sample in samples]
        plain = statistics.median(sample[what] for sample in base)
        median = statistics.median(values)
        cells.append(f"{median:7.1f} ms ({min(values):.1f} to {max(values):.1f}), "
                     f"{median - plain:+6.1f} ms, {100 * (median - plain) / plain:+5.1f} %")
    print(f"{name:22} processor {cells[0]}\n{'':22} wall      {cells[1]}")


def measure(plain, recorded, options):
    samples = {"without the module": [], "nothing changed": [], "a directive changed": []}
    for n in range(options.reloads):
        samples["without the module"].append(timed_reload(plain))
        samples["nothing changed"].append(timed_reload(recorded))
        write_site(recorded, n % options.vhosts, f"b{n}")
        samples["a directive changed"].append(timed_reload(recorded))
    print(f"{options.vhosts} virtual hosts, {options.reloads} reloads each: median (least to most), "
          "against the first")
    for name, values in samples.items():
        show(name, values, samples["without the module"])


def differences(httpd, reloads):
    """How many of them were found, each as the directive that was changed."""
    changed = [event["data"]["added"] for event in events(httpd)]
    right = sum(len(added) == 1 and added[0]["args"] == f'set X-Private "b{n}"'
                for n, added in enumerate(changed))
    snapshot = httpd.capture.with_name(httpd.capture.name + ".config")
    print(f"differences told right: {right} of {reloads}; "
          f"{snapshot.name}: {snapshot.stat().st_size / 1024:.0f} KiB")
    return right == reloads == len(changed)


def events(httpd):
    loads = httpd.resumed()
    found = document.wait_for_document(
        httpd, lambda d: len(document.events(d, "config.load", "config.reload")) >= loads, 20,
        "each load is on record")
    return document.events(found, "config.changed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--vhosts", type=int, default=2000)
    parser.add_argument("--reloads", type=int, default=20)
    options = parser.parse_args()
    servers = []
    try:
        servers.append(server(options.vhosts, module=None))
        servers.append(server(options.vhosts))
        measure(*servers, options)
        return 0 if differences(servers[1], options.reloads) else 1
    finally:
        for httpd in servers:
            httpd.close()


if __name__ == "__main__":
    sys.exit(main())
