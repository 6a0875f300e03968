"""What can be wrong with a recorder service and its control socket: httpd serves, and one sentence says what to do."""
import os
import pwd
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import document, processes
from harness.paths import RECORDER
from harness.service import Service
from harness.wait import wait_for

STRANGER = """
import os, socket, sys
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
    s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(4096) + b"|" + s.recv(4096))
"""
DEFAULT = Path("/run/pmcapture/control")
as_root = pytest.mark.skipif(os.getuid() != 0, reason="one user is no stranger to itself")


@pytest.fixture
def service_of():
    services = []

    def make(httpd, **options):
        services.append(Service(httpd, **options))
        return services[-1]

    yield make
    for service in services:
        service.close()


def connected(path):
    one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.connect(str(path))
    return one


@as_root
def test_strangers_are_refused_with_a_sentence_and_keep_nobody_out(new_httpd, service_of):
    httpd = new_httpd()
    service = service_of(httpd).start()
    httpd.root.joinpath("service").chmod(0o755)
    for _ in range(20):
        reply = subprocess.run([sys.executable, "-c", STRANGER, service.control], capture_output=True, timeout=60)
        words, _, more = reply.stdout.partition(b"|")
        assert b"takes a configuration from root" in words and more == b"", "and the connection is closed"
    httpd.pm += service.directive()
    httpd.start()
    service.wait_status("Records httpd")


def test_messages_that_are_none_close_their_connection_alone(new_httpd, service_of):
    httpd = new_httpd()
    service = service_of(httpd).start()
    httpd.pm += service.directive()
    httpd.start()
    service.wait_status("Records httpd")
    idle = [connected(service.control) for _ in range(12)]      # that say nothing
    for message in (b"", b"x", b"GET / HTTP/1.0\r\n\r\n", bytes(100_000), b"MDHO" + bytes(12)):
        with connected(service.control) as one:
            one.recv(4096)
            one.send(message)
            assert one.recv(4096) == b""
    with connected(service.control) as one:     # descriptors that nobody asked for
        one.recv(4096)
        with open("/dev/null") as null:
            socket.send_fds(one, [b"x"], [null.fileno()] * 30)
        assert one.recv(4096) == b""
    held = len(processes.descriptors(service.process.pid))
    httpd.get("/")
    httpd.reload()
    document.ticked(httpd, 2)
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    for one in idle:
        one.close()
    wait_for(lambda: len(processes.descriptors(service.process.pid)) < held, 15, "they are forgotten")
    assert service.at_work() and service.output() == ""


@pytest.mark.parametrize("there", ["a dead one's", "another recorder's", "a file", "too long", "no folder"])
def test_a_control_socket_that_cannot_be_made_is_said(new_httpd, service_of, there):
    httpd = new_httpd()
    service = service_of(httpd)
    if there == "a dead one's":
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
            dead.bind(str(service.control))
        service.start()
        return
    said = {"another recorder's": "Another recorder answers at", "a file": "is no socket",
            "too long": "has 107 bytes at most", "no folder": "No such file or directory"}[there]
    if there == "another recorder's":
        service_of(httpd).start()
    elif there == "a file":
        service.control.write_text("mine")
    elif there == "too long":
        service.control = httpd.root / ("x" * 120)
    else:
        service.control = httpd.root / "nowhere/control"
    service.start(wait=False)
    assert service.process.wait(20) == 1
    assert said in service.output() and service.output().count("\n") == 1
    assert there != "a file" or service.control.read_text() == "mine"


def listen(path, answer=None, user=None):
    """Somebody who listens in a recorder's place, in a process of its own."""
    program = f"""
import os, socket, time
{"" if user is None else f"os.setgid({user}); os.setuid({user})"}
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind({str(path)!r}); s.listen(4)
print("ready", flush=True)
kept = []
while True:
    kept.append(s.accept()[0])
    if {answer!r}: kept[-1].send({answer!r})
"""
    one = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    one.stdout.readline()
    return one


@pytest.mark.parametrize("who,said", [
    ("nobody", "is its service started?"), ("silent", "does not answer"), ("garbage", "does not greet"),
    ("a stranger", "it is neither root's"), ("another release", "of release 9 and"),
    ("another build", "of different versions"), ("another file", "and PMCaptureFile is"),
])
def test_what_answers_in_a_recorders_place_holds_up_nobody(new_httpd, service_of, who, said):
    if who == "a stranger" and os.getuid() != 0:
        pytest.skip("one user is no stranger to itself")
    httpd = new_httpd()
    service = service_of(httpd)
    somebody = None
    if who in ("silent", "garbage", "a stranger", "another release"):
        service.control.parent.chmod(0o777)
        greeting = struct.pack("IIII16s512s256s", 0x4f4c4548, 1, 0, 0, b"9", bytes(service.capture), b"")
        somebody = listen(service.control, {"garbage": b"hello", "another release": greeting}.get(who),
                          pwd.getpwnam("nobody").pw_uid if who == "a stranger" else None)
    elif who == "another build":
        service.program = other_release(httpd.root / "pmrecorder-9")
        service.start()
    elif who == "another file":
        service.capture = httpd.root / "logs/another.pmc"
        service.start()
    try:
        httpd.pm += service.directive()
        begun = time.monotonic()
        httpd.start()
        httpd.reload()
        assert time.monotonic() - begun < 20
        assert httpd.get("/").status == 200
        line, = httpd.said("Nothing is recorded", str(service.control))
        assert said in line
        assert who == "another build" or said in httpd.get("/pm-status").text
        assert httpd.recorders() == []
        httpd.stop()
    finally:
        if somebody:
            somebody.kill()
            somebody.wait()


def other_release(path):
    """The recorder as it was built, but that it says that it is of another release."""
    own = subprocess.run([RECORDER, "--version"], capture_output=True, text=True).stdout.split()[1].encode()
    program = RECORDER.read_bytes()
    assert own in program
    path.write_bytes(program.replace(own, b"9" + own[1:]))
    path.chmod(0o755)
    return path


def test_auto_finds_the_service_at_the_default_socket(new_httpd):
    if os.getuid() != 0 or DEFAULT.exists():
        pytest.skip("the default socket is root's, and there is one")
    httpd = new_httpd()
    service = Service(httpd)
    made = not DEFAULT.parent.exists()
    DEFAULT.parent.mkdir(exist_ok=True)
    service.control = DEFAULT
    try:
        service.start()
        httpd.pm += "PMCaptureRecorder auto\n"
        httpd.start()
        service.wait_status(f"Records httpd, pid {httpd.parent}")
        assert httpd.recorders() == []
        httpd.stop()
    finally:
        service.close()
        DEFAULT.unlink(missing_ok=True)
        if made:
            DEFAULT.parent.rmdir()


def test_a_second_service_takes_the_file_over_when_its_httpd_was_stopped(new_httpd, service_of):
    httpd = new_httpd()
    first, second = service_of(httpd), service_of(httpd)
    second.control = httpd.root / "service/second"
    first.start()
    pm = httpd.pm
    httpd.pm = pm + first.directive()
    httpd.start()
    httpd.get("/")
    httpd.stop()
    first.wait_status("was stopped")
    second.start()
    httpd.pm = pm + second.directive()
    httpd.start()
    httpd.get("/")
    document.ticked(httpd, 2)
    assert set(processes.lock_holders(httpd.capture)) == {second.at_work()}
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    first.wait_status("No httpd yet")


def test_a_reload_with_another_file_than_the_services_says_so(new_httpd, service_of):
    httpd = new_httpd()
    service = service_of(httpd)
    httpd.pm += service.directive()
    service.start()
    httpd.start()
    document.ticked(httpd, 1)
    first = httpd.capture_directive
    httpd.capture_directive = "logs/another.pmc"
    httpd.write_config()
    httpd.reload()
    wait_for(lambda: httpd.said("and PMCaptureFile is", "another.pmc"), 10, "it is said")
    assert httpd.get("/").status == 200
    httpd.capture_directive = first
    httpd.write_config()
    httpd.replace()
    httpd.get("/")
    final = document.ticked(httpd, 2)
    assert document.status_totals(final) == {"200": 1}, "what came meanwhile belongs to the other file"


def test_a_second_httpd_for_one_service_is_refused_and_serves(new_httpd, service_of):
    httpd = new_httpd()
    service = service_of(httpd).start()
    httpd.pm += service.directive()
    httpd.start()
    service.wait_status("Records httpd")
    other = new_httpd(pm=httpd.pm, capture=str(httpd.capture))
    other.start()
    assert other.get("/").status == 200
    assert other.said("Nothing is recorded", f"it works for another httpd, pid {httpd.parent}")
    document.ticked(httpd, 2)
    other.stop()
    document.ticked(httpd, 2)


def test_a_change_of_recorder_by_a_reload_takes_effect_at_once(new_httpd, service_of, mpm):
    httpd = new_httpd(mpm=mpm)
    service = service_of(httpd).start()
    own = httpd.pm
    httpd.start()
    document.ticked(httpd, 1)
    assert httpd.recorders()
    for pm, count in ((own + service.directive(), 0), (own, 2)):
        httpd.get("/")
        httpd.pm = pm
        httpd.write_config()
        httpd.reload()
        wait_for(lambda: len(httpd.recorders()) == count, 15, f"{count} of httpd's own")
        document.ticked(httpd, 2)
        assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    service.wait_status("No httpd yet")
