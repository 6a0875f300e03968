"""Loopback ports that no other test takes.

A port is reserved by an abstract Unix socket of its name, which dies with this process, so that
tests which run side by side never pick the same one. Ports lie below the kernel's ephemeral range.
"""
import random
import socket

_reserved = []


def free_port():
    for _ in range(1000):
        port = random.randrange(12000, 32000)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pmcapture-test-port-{port}")
        except OSError:
            claim.close()
            continue
        if port_is_free(port):
            _reserved.append(claim)
            return port
        claim.close()
    raise RuntimeError("no free loopback port")


def port_is_free(port):
    """Can a server that starts now listen there? (SO_REUSEADDR as httpd sets it.)"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True
