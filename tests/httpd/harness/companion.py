"""The companion as a user runs it, with the pmdump of this build."""
import subprocess

from .paths import PMCAPTURE, PMDUMP
from .wait import crowd

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "PMDUMP": str(PMDUMP), "LANG": "C.UTF-8"}


def pmcapture(*arguments, **variables):
    """Run it; the result has returncode, stdout, stderr. Never a traceback."""
    done = subprocess.run([PMCAPTURE, *map(str, arguments)], capture_output=True, timeout=60 * crowd(),
                          env={**ENVIRONMENT, **variables})
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done
