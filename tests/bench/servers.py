"""A private httpd for measuring: as little in it as possible, so that what is compared is all that differs."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "httpd"))

from harness.httpd import Httpd, free_port, group_of  # noqa: E402, F401
from harness.paths import APACHE, BUILD, MODULES, PMCAPTURE, PMDUMP, RECORDER  # noqa: E402, F401
from harness.wait import wait_for  # noqa: E402, F401

MODULE = BUILD / "mod_pmcapture.so"
SHM = Path("/dev/shm")
COMBINED = '"%h %l %u %t \\"%r\\" %>s %O \\"%{Referer}i\\" \\"%{User-Agent}i\\" %D"'

# What users would run instead, and what they run now.
VARIANTS = {
    "nothing": "",
    "access log": f"LogFormat {COMBINED} combined\nCustomLog logs/access.log combined",
    "mod_status": f"LoadModule status_module {MODULES}/mod_status.so\nExtendedStatus On",
    "mod_pmcapture": f"LoadModule pmcapture_module {MODULE}\nPMCaptureFile logs/pmcapture.pmc\n"
                     f"PMCaptureRecorder {RECORDER}",
}

MPM_CONFIG = {
    "event": "StartServers {n}\nServerLimit {n}\nThreadsPerChild 25\nMaxRequestWorkers {w}\n"
             "MinSpareThreads {w}\nMaxSpareThreads {w}\n",
    "prefork": "StartServers {n}\nServerLimit {n}\nMaxRequestWorkers {n}\nMinSpareServers {n}\n"
               "MaxSpareServers {n}\n",
}

# What Debian enables, but for what answers requests: so that nothing runs alone for the sake of a small sum.
DEBIAN_MODULES = ("authz_core", "authz_host", "alias", "deflate", "dir", "env", "filter", "mime", "negotiation",
                  "reqtimeout", "setenvif")

# Requests that the client alone decides: nothing is cached, nothing negotiated.
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


class Server(Httpd):
    """One server. `variant` is a key of VARIANTS, `children` the number of processes it may have."""

    number = 0

    def __init__(self, variant, mpm="event", children=4, config="", workers=None, single=False):
        # Instructions depend on how long a path is, and where in memory it ends: all have the same one.
        root = Path(tempfile.gettempdir()) / f"pmcapture-bench-{os.getpid():07}-{Server.number % 1000:03}"
        Server.number += 0 if single else 1
        root.mkdir()
        super().__init__(mpm=mpm, module=None, root=root)
        if os.access(SHM, os.W_OK):     # memory, as Debian's own runtime directory is
            self.runtime = SHM / root.name
            self.runtime.mkdir()
        self.variant = variant
        self.own = config
        self.limits = MPM_CONFIG[mpm].format(n=children, w=workers or 25 * children)
        if single:      # one process that does everything, for valgrind: few threads start faster
            self.limits = "ThreadsPerChild 2\nMaxRequestWorkers 2\nServerLimit 1\n" if mpm == "event" else ""
        self.capture_directive = "logs/pmcapture.pmc"
        # A file that was just written has a weak ETag for a second: some bytes more.
        os.utime(self.document("1k.txt", b"x" * 1024), (1.7e9, 1.7e9))

    def close(self):
        super().close()
        shutil.rmtree(self.runtime, ignore_errors=True)

    def write_config(self):
        # All of them have a <Location>: what httpd needs to look for one is not the module's cost.
        status = {"mod_pmcapture": "pm-status", "mod_status": "server-status"}.get(self.variant, "none")
        lines = [
            f'ServerRoot "{self.root}"',
            f'DefaultRuntimeDir "{self.runtime}"',
            f'PidFile "{self.pid_file}"',
            f'Mutex file:{self.root}/run default',
            f"LoadModule mpm_{self.mpm}_module {MODULES}/mod_mpm_{self.mpm}.so",
            *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in DEBIAN_MODULES),
            VARIANTS[self.variant],
            f"User www-data\nGroup {group_of('www-data')}" if os.getuid() == 0 else "",
            f"Listen 127.0.0.1:{self.port}",
            "ServerName localhost",
            f'DocumentRoot "{self.root}/htdocs"',
            'TypesConfig "conf/mime.types"',
            'ErrorLog "logs/error.log"',
            "LogLevel warn",
            "MaxKeepAliveRequests 0",
            "KeepAliveTimeout 60",
            "MaxConnectionsPerChild 0",
            "<Directory />\nAllowOverride None\nRequire all denied\n</Directory>",
            f'<Directory "{self.root}/htdocs">\nAllowOverride None\nRequire all granted\n</Directory>',
            f'<Location "/status">\nSetHandler {status}\n</Location>',
            self.limits, self.own,
        ]
        self.conf.write_text("\n".join(lines) + "\n")


def as_worker(*command):
    """The command line, run as the workers' user: a process that gave up root cannot write valgrind's file."""
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=www-data", f"--regid={group_of('www-data')}", "--clear-groups", *command]


def hand_over(server):
    """Give a server's folders to the workers' user."""
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", "www-data:", str(server.root), str(server.runtime)], check=True)
