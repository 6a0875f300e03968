"""An outage from its first error to its postmortem, in half a minute, on this machine alone.

A private httpd with mod_pmcapture (own ServerRoot in a temporary folder, loopback ports only)
serves a shop's pages from disk and proxies its API to a backend, a process of its own. A dozen
loopback addresses keep asking. The backend is killed, httpd is reloaded, the backend comes back,
httpd stops; then `pmcapture report` tells the story from the capture file alone.
"""
# Licensed under the Apache License, Version 2.0; see LICENSE.
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "httpd"))
from harness.backend import Backend  # noqa: E402
from harness.httpd import Httpd, HttpdError  # noqa: E402
from harness.load import Load  # noqa: E402
from harness.paths import PMCAPTURE, PMDUMP  # noqa: E402
from harness.wait import Timeout  # noqa: E402

CLIENTS = 12

# The default rule, ten errors that are 5 % of the requests, in shorter times: half a minute is all
# we have, so five good seconds close the incident instead of sixty.
RULES = "PMCaptureBurst window=5 clear=5\n"


def say(text):
    print(f"{datetime.now(timezone.utc):%H:%M:%S} UTC  {text}", flush=True)


def sites(port, backend):
    return f"""
<VirtualHost 127.0.0.1:{port}>
    ServerName shop.example
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName api.example
    ProxyPass "/" "{backend.url}/" retry=0 timeout=2
</VirtualHost>
"""


def client(number):
    return f"127.0.0.{2 + number % CLIENTS}"


def api_path(number):
    return ("/login", f"/orders/{1000 + number}", "/basket")[number % 3]


def outage(httpd, backend):
    backend.start()
    httpd.start()
    say(f"httpd answers on port {httpd.port}, its backend on {backend.port}; {CLIENTS} clients ask")
    with Load(httpd.port) as load:
        load.stream("/", rate=60, host="shop.example", source=client)
        load.stream(api_path, rate=40, host="api.example", source=client)
        time.sleep(8)
        backend.kill()
        say("backend killed")
        time.sleep(4)
        httpd.reload()
        say("httpd reloaded, which does not help")
        time.sleep(3)
        backend.start()
        say("backend back")
        time.sleep(9)
    httpd.stop()
    say("httpd stopped")


def report(capture):
    environment = dict(os.environ, PMDUMP=str(PMDUMP))
    return subprocess.run([PMCAPTURE, "-f", capture, "report", "-1"], env=environment).returncode


def what_next(httpd):
    totals = httpd.access_log.totals()
    failed = sum(count for status, count in totals.items() if status.startswith("5"))
    print(f"To compare with: httpd's access log has {sum(totals.values())} requests, {failed} of them 5xx.\n")
    print(f"The capture file is {httpd.capture}\nTry next:")
    for rest in ("status", "list", "show -1", "events", "report -1 --format json",
                 "export --format csv"):
        print(f"    scripts/pmcapture -f {httpd.capture} {rest}")
    print(f"and when you have seen enough: rm -r {httpd.root}")


def main():
    backend = Backend()
    httpd = Httpd(pm=RULES, root=tempfile.mkdtemp(prefix="pmcapture-demo-"))
    httpd.config = sites(httpd.port, backend)
    try:
        outage(httpd, backend)
    except (HttpdError, Timeout) as problem:
        sys.exit(f"demo: {problem}\nhttpd's error log is {httpd.error_log}")
    finally:
        httpd.kill()
        backend.close()
    print("\nhttpd and its backend are gone. From the capture file alone:\n", flush=True)
    status = report(httpd.capture)
    print()
    what_next(httpd)
    return status


if __name__ == "__main__":
    sys.exit(main())
