"""What systemd does with a unit's lines about the network, done to a process that is about to begin (preexec_fn)."""
import ctypes
import errno
import platform
import socket
import struct

from .paths import PROJECT

UNIT = PROJECT / "conf/pmrecorder.service.in"
CLONE_NEWNET = 0x40000000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06      # of classic BPF
ALLOW, ERRNO = 0x7fff0000, 0x00050000
SOCKET = {"x86_64": 41, "aarch64": 198}

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "sandbox")


def own_network():
    """PrivateNetwork=yes."""
    _must(_libc.unshare(CLONE_NEWNET))


def restrict_families(families):
    """RestrictAddressFamilies=: socket() fails with EAFNOSUPPORT for any other."""
    lines = [(LOAD, 0, 0, 0), (EQUAL, 1, 0, SOCKET[platform.machine()]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, 16)]
    for family in families:
        lines += [(EQUAL, 0, 1, int(family)), (RETURN, 0, 0, ALLOW)]
    lines.append((RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT))
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in lines))
    head = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(lines), ctypes.addressof(program)))
    _must(_libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _must(_libc.prctl(PR_SET_SECCOMP, FILTER, head, 0, 0))


def of_unit():
    """As the recorder's unit has it."""
    lines = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0].isalpha())
    if lines.get("PrivateNetwork", "no") == "yes":
        own_network()
    restrict_families([getattr(socket, name) for name in lines["RestrictAddressFamilies"].split()])
