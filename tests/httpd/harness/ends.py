"""How the processes of a server ended: exit status, signal, core, the kernel's log.

`keeper.c` runs httpd and writes down how each process ends that has no other parent left: the daemon, and orphans. What
became of its children the daemon logs.
"""
import os
import re
import signal
import subprocess
import tempfile

from . import processes
from .paths import BUILD, HARNESS
from .wait import wait_for

# Nobody sends these to end a server: a program that ends by one has a bug.
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP,
           signal.SIGQUIT, signal.SIGXCPU, signal.SIGXFSZ}
FIRST_PID_NAMESPACE = 0xEFFFFFFC     # its inode: PROC_PID_INIT_INO of the kernel
LOGGED = re.compile(r"child pid (\d+) exit signal [^(]*\((\d+)\)|child died with signal (\d+)")
FAULT = re.compile(r"(?:traps: )?[^;\s]+\[(\d+)\]:? (?:segfault|general protection|trap |bad frame).*")


def keeper():
    """The program; built when it is not there, by whoever comes first."""
    source, program = HARNESS / "keeper.c", BUILD / "keeper"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", f"{folder}/keeper", source], check=True)
            os.replace(f"{folder}/keeper", program)
    return program


class KernelLog:
    """What the kernel says from now on about faults; nothing where that cannot be read, nor in a PID namespace: the
    kernel's log has other numbers for its processes."""

    def __init__(self):
        try:
            if os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
                raise OSError
            self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self.fd, 0, os.SEEK_END)
        except OSError:
            self.fd = None

    def faults(self):
        """Pairs of a thread's number and the line about it."""
        found = []
        while self.fd is not None:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BrokenPipeError:     # others have said so much that it is lost
                continue
            except OSError:
                break
            hit = FAULT.search(record)
            if hit:
                found.append((int(hit[1]), hit[0]))
        return found

    def close(self):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class Ends:
    """Of one server, over all its starts."""

    def __init__(self, root, name):
        self.root = root
        self.file = root / f"ends-{name}"
        self.kernel = KernelLog()
        self.faults = []
        self.parents = set()    # pids of its parent processes
        self.threads = set()    # every thread of it that was ever seen

    def command(self, arguments):
        """The command line that runs `arguments` under the keeper."""
        return [keeper(), self.file, *arguments]

    def statuses(self):
        """Pid and wait status of each process that has ended."""
        try:
            return [tuple(map(int, line.split())) for line in self.file.read_text().splitlines()]
        except FileNotFoundError:
            return []

    def status_of(self, pid):
        """How one ended that is gone, or about to be: an exit status, or a signal's number below zero."""
        return os.waitstatus_to_exitcode(wait_for(
            lambda: [(status,) for ended, status in self.statuses() if ended == pid], 20,
            f"the end of process {pid} is known")[-1][0])

    def see(self, pids):
        """Remember the threads of its processes: the kernel's log names no server."""
        for pid in pids:
            try:
                self.threads.update(map(int, os.listdir(f"/proc/{pid}/task")))
            except OSError:
                pass

    def problems(self, signals, exit_statuses):
        """What went wrong beside what a test expects: sentences."""
        return [*self._bad_statuses(signals, exit_statuses), *self._logged(signals), *self._cores(),
                *self._faults(signals)]

    @staticmethod
    def _is_wanted(pid, sig, signals):
        return sig not in CRASHES or sig in signals or (pid, sig) in processes.sent

    def _bad_statuses(self, signals, exit_statuses):
        for pid, status in self.statuses():
            if os.WIFSIGNALED(status) and not self._is_wanted(pid, os.WTERMSIG(status), signals):
                yield f"process {pid} ended by {signal.Signals(os.WTERMSIG(status)).name}"
            elif os.WIFEXITED(status) and pid in self.parents and os.WEXITSTATUS(status) not in exit_statuses:
                yield f"the parent process {pid} ended with exit status {os.WEXITSTATUS(status)}"

    def _logged(self, signals):
        for log in sorted((self.root / "logs").glob("*error*")):
            if not log.is_file():
                continue
            for hit in LOGGED.finditer(log.read_text(errors="replace")):
                if not self._is_wanted(int(hit[1] or 0), int(hit[2] or hit[3]), signals):
                    yield f"{log.name}: {hit[0]}"

    def _cores(self):
        for core in self.root.glob("core*"):
            yield f"core file {core.name}"

    def _faults(self, signals):
        self.faults += self.kernel.faults()
        for thread, line in self.faults:
            if thread in self.threads and not signals & CRASHES:
                yield f"kernel: {line}"
