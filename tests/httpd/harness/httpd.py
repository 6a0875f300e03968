"""A private Apache httpd: real processes, a free loopback port, all in a folder of its own."""
import grp
import http.client
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from . import processes
from .access_log import LOG_FORMAT, AccessLog
from .ends import Ends
from .paths import APACHE, BUILD, MODULE, MODULES, RECORDER
from .ports import free_port, port_is_free
from .wait import crowd, wait_for

MPMS = ("event", "worker", "prefork")

# Few processes, so that a dozen servers fit on two cores, but room for two generations at a reload. None ends because
# it is idle: a machine that stood still brings many requests at once, and then none.
MPM_CONFIG = {
    "event": """
ServerLimit 8
ThreadLimit 16
StartServers 2
ThreadsPerChild 16
MinSpareThreads 16
MaxSpareThreads 96
MaxRequestWorkers 96
AsyncRequestWorkerFactor 4
""",
    "worker": """
ServerLimit 8
ThreadLimit 16
StartServers 2
ThreadsPerChild 16
MinSpareThreads 16
MaxSpareThreads 96
MaxRequestWorkers 96
""",
    "prefork": """
ServerLimit 64
StartServers 8
MinSpareServers 4
MaxSpareServers 64
MaxRequestWorkers 64
""",
}

BASE_MODULES = ("authz_core", "authz_host", "mime", "dir", "alias", "headers", "reqtimeout",
                "rewrite", "setenvif", "proxy", "proxy_http")

STATUS_LOCATION = """
<Location "/pm-status">
    SetHandler pm-status
</Location>
"""

# Rules short enough for a test: a burst is over two seconds after its last failure.
QUICK_RULES = "PMCaptureBurst errors=10 ratio=5% window=3 clear=2\nPMCaptureSlow Off\n"


class HttpdError(AssertionError):
    pass


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8")


class Httpd:
    """One server. `config` is added to the main server, `pm` is the recorder's own part of it."""

    def __init__(self, mpm="event", config="", pm=QUICK_RULES, module=MODULE, modules=(),
                 capture="logs/pmcapture.pmc", root=None):
        self.mpm = mpm
        self.config = config
        self.pm = pm
        self.module = module
        self.modules = modules
        self.capture_directive = capture
        self.root = Path(root or tempfile.mkdtemp(prefix="pmcapture-test-"))
        self.root.chmod(0o755)      # the workers' user has to get at the documents
        self.runtime = self.root / "run"    # None: the one that httpd was compiled with
        self.port = free_port()
        self.marker = f"PM_TEST_ID={uuid.uuid4()}"
        self.environment = {}
        self.prefix = ()            # a command that runs httpd in its turn
        self.parent = None          # pid of the running parent process
        self.sessions = set()       # every one that a parent of ours has led
        self.single = None          # `apache2 -X`
        self.signals = set()        # by which a process may crash, as the test wants it
        self.exit_statuses = {0}    # with which the parent process may end
        for name in ("conf", "logs", "run", "htdocs"):
            (self.root / name).mkdir(exist_ok=True)
        (self.root / "htdocs/index.html").write_text("it works\n")
        (self.root / "conf/mime.types").write_text("text/html html\ntext/plain txt\n")
        self.access_log = AccessLog(self.root / "logs/access.log")
        self.error_log = self.root / "logs/error.log"
        self.ends = Ends(self.root, uuid.uuid4().hex)

    # ---- files ----

    @property
    def conf(self):
        return self.root / "conf/httpd.conf"

    @property
    def pid_file(self):
        return self.root / "run/httpd.pid"

    @property
    def capture(self):
        """The capture file's path, or None without one."""
        return self.root / self.capture_directive if self.capture_directive else None

    def write_config(self):
        lines = [
            f'ServerRoot "{self.root}"',
            f'DefaultRuntimeDir "{self.runtime}"' if self.runtime else "",
            f'PidFile "{self.pid_file}"',
            f'Mutex file:{self.root}/run default',
            f"LoadModule mpm_{self.mpm}_module {MODULES}/mod_mpm_{self.mpm}.so",
        ]
        if self.module:
            lines.append(f"LoadModule pmcapture_module {self.module}")
            if self.capture_directive:
                lines.append(f'PMCaptureFile "{self.capture_directive}"')
            lines.append(f'PMCaptureRecorder "{Path(self.module).parent / RECORDER.relative_to(BUILD)}"')
        lines += [f"LoadModule {name}_module {MODULES}/mod_{name}.so"
                  for name in BASE_MODULES + tuple(self.modules)]
        if os.getuid() == 0:
            lines += ["User www-data", f"Group {group_of('www-data')}"]
        lines += [
            f"Listen 127.0.0.1:{self.port}",
            "ServerName localhost",
            'DocumentRoot "htdocs"',
            'TypesConfig "conf/mime.types"',
            'ErrorLog "logs/error.log"',
            "LogLevel warn",
            f'LogFormat "{LOG_FORMAT}" truth',
            'CustomLog "logs/access.log" truth',
            "KeepAliveTimeout 5",
            "MaxKeepAliveRequests 0",
            "RequestReadTimeout header=20 body=20",
            "EnableSendfile Off",
            f"<Directory \"{self.root}/htdocs\">",
            "    AllowOverride None",
            "    Require all granted",
            "</Directory>",
            MPM_CONFIG[self.mpm],
        ]
        if self.module:
            lines += [STATUS_LOCATION, self.pm]
        lines.append(self.config)
        self.conf.write_text("\n".join(lines) + "\n")

    def document(self, name, content=b"hello\n"):
        """Put a file under DocumentRoot."""
        path = self.root / "htdocs" / name
        path.write_bytes(content)
        return path

    # ---- life ----

    def command(self, *arguments, timeout=60):
        """Run `apache2 -f conf …` to its end; the result has returncode and output."""
        output = self.root / "console.log"
        with open(output, "wb") as console:     # a file, as the daemon would keep a pipe open
            done = subprocess.run(self._command_line(arguments), stdout=console, stderr=console,
                                  timeout=timeout * crowd(), **self._surroundings())
        done.output = output.read_text(errors="replace")
        return done

    def _command_line(self, arguments):
        # the marker is httpd's alone: who keeps it is none of its processes
        return self.ends.command(["/usr/bin/env", self.marker, *self.prefix, APACHE, "-f", str(self.conf),
                                  "-d", str(self.root), *arguments])

    def _surroundings(self):
        environment = {"PATH": os.environ["PATH"], "LANG": "C", **self.environment}
        return {"stdin": subprocess.DEVNULL, "env": environment, "preexec_fn": _no_core}

    def start(self, wait=True):
        self.write_config()
        done = self.command()
        if done.returncode != 0:
            raise HttpdError(f"httpd did not start:\n{done.output}\n{self.errors()}")
        if wait:
            self.wait_started()
        return self

    def start_single(self):
        """Run `apache2 -X`: one process that is the parent and serves."""
        self.write_config()
        with open(self.root / "console.log", "wb") as console:
            self.single = subprocess.Popen(self._command_line(["-X"]), stdout=console, stderr=console,
                                           **self._surroundings())
        self.wait_started(signal.SIGWINCH)      # it has no handler for a reload
        assert self.get("/").status == 200      # one that does not serve yet may miss a signal
        return self

    def wait_started(self, last_caught=signal.SIGUSR1):
        def serving():
            try:
                self.parent = int(self.pid_file.read_text())
                if processes.session_of(self.parent) == self.parent:    # a daemon leads its own
                    self.sessions.add(self.parent)
            except (OSError, ValueError):
                return self._fail_if_gone()
            if not processes.alive(self.parent):
                return self._fail_if_gone()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                # before it has its handlers a signal ends it at once, with its pid file left
                return processes.catches(self.parent, last_caught)
            except OSError:
                return False

        wait_for(serving, 20, f"httpd listens on {self.port}")
        self.ends.parents.add(self.parent)
        self.ends.see(self.processes())

    def _fail_if_gone(self):
        if self.single and self.single.poll() is None:
            return False        # it may not be httpd yet: `env` gives it our mark
        if not self.processes():
            raise HttpdError(f"httpd ended while it started:\n{self.errors()}")
        return False

    def send(self, sig):
        if self.mpm == "event" and sig == signal.SIGTERM:
            self._let_connections_end()
        processes.kill(self.parent, sig)

    def _let_connections_end(self):
        """event may crash when it is stopped while a worker ends a connection: close_worker_sockets() looks at a socket
        that the worker frees. So a stop waits for those that are about to end, and no longer."""
        until = time.monotonic() + 0.3 * crowd()
        while _served(self.port) and time.monotonic() < until:
            time.sleep(0.02)

    def resumed(self):
        """How often this server said that it runs its configuration: once per start and reload."""
        return self.errors().count("resuming normal operations")

    def reload(self, sig=signal.SIGUSR1, wait=True):
        """Graceful reload (SIGHUP: a hard one); returns when the parent runs the new generation."""
        before = self.resumed()
        self.send(sig)
        if wait:
            wait_for(lambda: self.resumed() > before, 20, "the reload")

    def replace(self):
        """Graceful reload; returns when no process of the older generation is left: none answers the next request."""
        old = set(self.servers()) - {self.parent}
        self.reload()
        wait_for(lambda: not old & set(self.servers()), 30, "the older generation's processes end")

    def stop(self, sig=signal.SIGTERM):
        """Orderly stop; returns when every process is gone, and fails if one stays or has crashed."""
        parent = self.parent
        self.ends.see(self.processes())
        if parent and processes.alive(parent):
            self.send(sig)
        self._wait_gone()
        if parent:
            self.ends.status_of(parent)
        self.check_ends()

    def kill(self):
        """SIGKILL everything, parent first, as a power cut or the OOM killer would."""
        processes.kill_marked(self.marker, self.sessions, first=self.parent)
        self._wait_gone()
        self.pid_file.unlink(missing_ok=True)

    def wait_failed(self):
        """Until the server has ended itself, as it does when a reload fails."""
        self.exit_statuses.add(1)
        wait_for(lambda: not self.servers(), 20, "the server ends")

    def _wait_gone(self):
        # a process that is about to end shows no command line any more, but may still hold the port
        wait_for(lambda: not self.processes() and self.port_is_free(), 20,
                 "every process of httpd ends and leaves the port")
        self._reap_single()
        self.parent = None

    def _reap_single(self):
        if self.single:
            self.single.wait(60)
            self.single = None

    def check_ends(self):
        """Fail when a process ended as the test does not expect it: see `signals`, `exit_statuses`."""
        problems = self.ends.problems(self.signals, self.exit_statuses)
        if problems:
            raise HttpdError("\n".join([*problems, *self.errors().splitlines()[-30:]]))

    def close(self):
        """Leave nothing behind, whatever happened; fails if a process has crashed."""
        self.ends.see(self.processes())
        processes.kill_marked(self.marker, self.sessions, first=self.parent)
        try:
            self._reap_single()
            self.check_ends()
        finally:
            self.ends.kernel.close()
            shutil.rmtree(self.root, ignore_errors=True)

    # ---- looking ----

    def processes(self):
        # the one that is there may have forked and ended while we looked: look once more
        return (processes.marked(self.marker, self.sessions)
                or processes.marked(self.marker, self.sessions))

    def servers(self):
        """Without the recorder, which stays when a server has failed."""
        return [pid for pid in self.processes() if not self._is_recorder(pid)]

    def children(self):
        return [pid for pid in self.processes() if processes.parent_of(pid) == self.parent]

    def recorders(self):
        """The processes of the recorder program: the one that supervises, and the one at work."""
        return [pid for pid in self.processes() if self._is_recorder(pid)]

    @staticmethod
    def _is_recorder(pid):
        try:
            return Path(os.readlink(f"/proc/{pid}/exe")).name.startswith(RECORDER.name)
        except PermissionError:         # not dumpable, and we are not root: only the recorder is
            return True
        except OSError:
            return False

    def writer(self):
        """The recorder that has the lease, None while nobody has it."""
        holders = [pid for pid in processes.lock_holders(self.capture) if pid in self.recorders()]
        return holders[0] if holders else None

    def workers(self):
        return [pid for pid in self.children()
                if not self._is_recorder(pid) and not processes.name_of(pid).startswith("pmcapture")
                and processes.alive(pid)]

    def worker(self):
        """The newest worker: an older one may be about to end. prefork's may all have crashed just now."""
        return wait_for(lambda: max(self.workers(), key=processes.started, default=None), 10, "a worker")

    def errors(self):
        try:
            return self.error_log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def said(self, *words):
        """Lines of the error log that hold all of `words`."""
        return [line for line in self.errors().splitlines() if all(word in line for word in words)]

    def listening_inodes(self):
        """Socket links, as /proc/PID/fd shows them, that listen on its port."""
        return {f"socket:[{inode}]" for state, inode, _ in _sockets(self.port) if state == "0A"}

    def has_read(self):
        """Whether it has accepted a connection that is open, and has read what came by it."""
        return any(state == "01" and inode != "0" and unread == 0 for state, inode, unread in _sockets(self.port))

    def port_is_free(self):
        return port_is_free(self.port)

    # ---- asking ----

    def request(self, path="/", method="GET", headers=None, body=None, source="127.0.0.1",
                timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * crowd(),
                                                source_address=(source, 0))
        try:
            headers = {"Connection": "close", **(headers or {})}
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Reply(response, response.read())
        finally:
            connection.close()

    def get(self, path="/", **options):
        return self.request(path, **options)

    def raw(self, data, source="127.0.0.1", timeout=60):
        """Send bytes as they are and read to the end of the connection."""
        address = "127.0.0.1", self.port
        with socket.create_connection(address, timeout * crowd(), (source, 0)) as connection:
            reply = b""
            try:
                connection.sendall(data)
                while chunk := connection.recv(65536):
                    reply += chunk
            except ConnectionError:
                pass
            return reply


def _no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def group_of(user):
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _sockets(port):
    """State, inode (0 until it is accepted) and unread bytes of each of a loopback port."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted:
            yield fields[3], fields[9], int(fields[4].split(":")[1], 16)


def _served(port):
    """Is a connection established, or closed by its client alone?"""
    return any(state in ("01", "08") for state, _, _ in _sockets(port))
