"""Looking at processes through /proc, and ending only those that a test started."""
import os
import signal
from pathlib import Path

from .wait import wait_for

sent = set()    # pid and signal of each that a test has sent: who ends by it has not crashed


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def marked(marker, sessions=()):
    """Pids of live processes whose environment holds `marker`, or that belong to one of `sessions`.

    The environment of a process that is not dumpable is readable by root alone.
    """
    found = []
    for pid in pids():
        try:
            state, _, _, session = _stat(pid)[:4]
        except OSError:
            continue
        if state not in "ZX" and (int(session) in sessions or _environment_holds(pid, marker.encode())):
            found.append(pid)
    return found


def _environment_holds(pid, marker):
    try:
        return marker in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def session_of(pid):
    try:
        return int(_stat(pid)[3])
    except OSError:
        return None


def _stat(pid):
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2:].split()


def state(pid):
    """R, S, D, T, Z; X when it is gone."""
    try:
        return _stat(pid)[0]
    except OSError:
        return "X"


def alive(pid):
    """Running, sleeping or stopped: not a zombie, which only waits for its parent."""
    return state(pid) not in "ZX"


def catches(pid, sig):
    """Has the process a handler for a signal?"""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16) >> (sig - 1) & 1
    raise ValueError(f"no SigCgt of {pid}")


def parent_of(pid):
    try:
        return int(_stat(pid)[1])
    except OSError:
        return None


def started(pid):
    """When, in ticks since boot; 0 when it is gone."""
    try:
        return int(_stat(pid)[19])
    except (OSError, IndexError):
        return 0


def children_of(pid):
    """Quicker than to look at all processes: for those who want to catch a child young."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def name_of(pid):
    """"" when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid):
    """What each descriptor of a process refers to; none when it is gone."""
    found = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        names = []
    for fd in names:
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            pass
    return found


def writable(pid, fd):
    """Was the descriptor opened for writing? False when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_text().splitlines()
    except OSError:
        return False
    for line in lines:
        if line.startswith("flags:"):
            return int(line.split()[1], 8) & os.O_ACCMODE != os.O_RDONLY
    raise ValueError(f"no flags of descriptor {fd} of {pid}")


def lock_holders(path):
    """Pids that hold a POSIX lock on a file."""
    inode = os.stat(path).st_ino
    return [int(fields[4]) for fields in map(str.split, Path("/proc/locks").open())
            if fields[1] == "POSIX" and fields[5].endswith(f":{inode}")]


def mappings(pid):
    return Path(f"/proc/{pid}/maps").read_text().splitlines()


def memory_kib(pid):
    """Anonymous memory in KiB: heap, stacks and written data, whether or not children share it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise ValueError(f"no Anonymous in smaps_rollup of {pid}")


def kill(pid, sig=signal.SIGKILL):
    sent.add((pid, sig))
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def kill_marked(marker, sessions=(), first=None):
    """SIGKILL every marked process, `first` before the others, until none is left."""
    if first:
        kill(first)

    def none_left():
        left = marked(marker, sessions)
        for pid in left:
            kill(pid)
        return not left

    wait_for(none_left, 10, f"processes marked {marker} die of SIGKILL")
