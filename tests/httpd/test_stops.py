"""Stops, and starts without a server: how httpd was stopped and by whom, who found it stopped, and why none came."""
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, from_file, seconds
from harness.httpd import QUICK_RULES
from harness.load import Load
from harness.modules import build_module
from harness.paths import APACHE
from harness.wait import Span, crowd, wait_for

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has namespaces of its own")

SOON = QUICK_RULES + "PMCaptureStopped after=3s\n"


def script(httpd, name, *lines):
    """An executable of that name."""
    path = httpd.root / name
    path.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
    path.chmod(0o755)
    return path


def serving(httpd, requests=40):
    """Clients come, and all of it is on record."""
    with Load(httpd.port) as load:
        load.stream("/", rate=20, count=requests).wait()
    return document.settled(httpd)


def gone(httpd):
    """httpd has ended, in whatever way; gives what its file says then."""
    wait_for(lambda: not httpd.servers() and httpd.port_is_free(), 20, "httpd is gone")
    httpd.ends.status_of(httpd.parent)
    httpd.parent = None
    return from_file(httpd.capture)


def only(found, *types):
    event, = events(found, *types)
    return event


# ---- how, and by whom ----

@pytest.mark.parametrize("sig, kind", [(signal.SIGWINCH, "graceful-stop"), (signal.SIGTERM, "stop")])
def test_a_stop_says_which_signal_it_was_and_who_sent_it(new_httpd, mpm, sig, kind):
    httpd = new_httpd(mpm=mpm).start()
    serving(httpd)
    init = script(httpd, "docker-init", f"kill -{sig.name[3:]} $1", "sleep 2")
    with Span() as stopped:
        sender = subprocess.Popen([init, str(httpd.parent)])
        wait_for(httpd.port_is_free, 10, "it has the signal")
    found = gone(httpd)
    sender.wait()
    stop = only(found, "server.stop")
    assert stop["data"]["signal"] == sig.name and stop["data"]["kind"] == kind
    assert stop["data"]["sender"] == {"pid": sender.pid, "uid": os.getuid(), "command": "docker-init"}
    words = f"graceful stop by {sig.name}" if kind == "graceful-stop" else sig.name
    assert stop["text"].startswith(f"httpd was stopped: {words} from pid {sender.pid} (docker-init)")
    assert stop["text"].endswith("not by way of httpd -k")
    assert stopped.holds(seconds(stop["at"]))
    assert found["server"]["state"] == "stopped" and found["incidents"] == []
    document.validate(found)


@pytest.mark.parametrize("word, sig", [("stop", "SIGTERM"), ("graceful-stop", "SIGWINCH")])
def test_a_stop_by_command_names_the_command_and_who_called_it(new_httpd, word, sig):
    httpd = new_httpd().start()
    serving(httpd)
    script(httpd, "apachectl", f'{APACHE} -f {httpd.conf} -d {httpd.root} -k "$1"', "exit $?")
    script(httpd, "certbot", f"{httpd.root}/apachectl {word} --password=hush", "exit 0")
    subprocess.run(["/bin/sh", "-e", httpd.root / "certbot", "renew", "--token", "s3cret"], check=True)
    stop = only(gone(httpd), "server.stop")
    assert stop["data"]["kind"] == word and stop["data"]["signal"] == sig
    assert stop["data"]["sender"]["command"] == f"apache2 -k {word}"
    assert [caller["command"] for caller in stop["data"]["callers"]][:2] == [f"apachectl {word}", "certbot renew"]
    assert f"apachectl {word}, called by certbot renew" in stop["text"]
    assert "httpd -k" not in stop["text"]
    assert "s3cret" not in str(stop) and "hush" not in str(stop)


def test_reloads_leave_httpds_own_handlers_in_place_and_the_next_stop_is_told(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    serving(httpd)
    caught = [processes.catches(httpd.parent, sig) for sig in range(1, 32)]
    for sig in (signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR1):
        httpd.reload(sig)
        serving(httpd, 20)
    assert [processes.catches(httpd.parent, sig) for sig in range(1, 32)] == caught
    httpd.stop()
    stop = only(from_file(httpd.capture), "server.stop")
    assert stop["data"]["signal"] == "SIGTERM" and stop["data"]["sender"]["pid"] == os.getpid()


def test_a_reload_that_ends_the_server_names_who_asked_for_it(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    serving(httpd)
    with open(httpd.conf, "a") as conf:
        conf.write("NoSuchDirective on\n")
    httpd.exit_statuses.add(1)
    rotate = script(httpd, "logrotate", "kill -USR1 $1", "sleep 2")
    sender = subprocess.Popen([rotate, str(httpd.parent)])
    wait_for(lambda: not httpd.servers(), 20, "the reload ends it")
    sender.wait()
    failed = only(from_file(httpd.capture), "config.failed")
    assert failed["text"].startswith(f"A reload (SIGUSR1 from pid {sender.pid} (logrotate)")
    assert "ended the server: " in failed["text"] and "NoSuchDirective" in failed["text"]
    assert failed["data"]["signal"] == "SIGUSR1" and failed["data"]["sender"]["command"] == "logrotate"


def test_the_first_signal_is_the_one_that_stopped_it(new_httpd):
    """A graceful stop that waits for a request, and then somebody who does not."""
    httpd = new_httpd(config="GracefulShutdownTimeout 60\n").start()
    serving(httpd)
    with socket.create_connection(("127.0.0.1", httpd.port)) as held:
        held.sendall(b"GET / HTTP/1.1\r\n")
        wait_for(httpd.has_read, 10, "a worker waits for the rest")
        processes.kill(httpd.parent, signal.SIGWINCH)
        wait_for(httpd.port_is_free, 10, "it listens no more")
        processes.kill(httpd.parent, signal.SIGTERM)
        found = gone(httpd)
    stop = only(found, "server.stop")
    assert stop["data"]["kind"] == "graceful-stop" and stop["data"]["cut_by"] == "SIGTERM"
    assert f"graceful stop by SIGWINCH from pid {os.getpid()} " in stop["text"]
    assert f", cut short by SIGTERM from pid {os.getpid()} " in stop["text"]
    document.validate(found)


def test_a_graceful_stop_that_runs_its_course_was_not_cut(new_httpd):
    httpd = new_httpd().start()
    serving(httpd)
    httpd.stop(signal.SIGWINCH)
    stop = only(from_file(httpd.capture), "server.stop")
    assert stop["data"]["kind"] == "graceful-stop" and "cut_by" not in stop["data"] and "cut short" not in stop["text"]


def test_an_apachectl_that_signals_by_itself_is_named_and_no_more_is_said(new_httpd):
    httpd = new_httpd().start()
    serving(httpd)
    script(httpd, "apachectl", 'test "$1" = stop && kill -TERM $2', "sleep 2")
    sender = subprocess.Popen([httpd.root / "apachectl", "stop", str(httpd.parent)])
    stop = only(gone(httpd), "server.stop")
    sender.wait()
    assert f"SIGTERM from pid {sender.pid} (apachectl stop)" in stop["text"] and "httpd -k" not in stop["text"]


def in_container(httpd, command):
    """httpd in a pid namespace of its own, and what process 1 runs there: its stop."""
    httpd.write_config()
    init = script(httpd, "init", f"{APACHE} -f {httpd.conf} -d {httpd.root} -DFOREGROUND &", "server=$!",
                  f"until test -e {httpd.root}/go; do sleep 0.1; done", command, "wait")
    name, value = httpd.marker.split("=", 1)
    runtime = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", init],
                               stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], name: value})
    try:
        wait_for(lambda: not httpd.port_is_free(), 20, "it listens")
        serving(httpd)
        (httpd.root / "go").touch()
        runtime.wait(30 * crowd())
    finally:
        runtime.kill()
        runtime.wait()
    return only(from_file(httpd.capture), "server.stop")


@needs_root
def test_process_1_that_took_a_sender_in_did_not_call_it(new_httpd):
    httpd = new_httpd()
    rotate = script(httpd, "rotate", "sleep 1", "kill -TERM $1", "sleep 2")
    stop = in_container(httpd, f'(setsid {rotate} "$server" &)')
    assert "(rotate), under pid 1 (init), which started it or took it in, not by way of httpd -k" in stop["text"]
    assert "called by" not in stop["text"]


@needs_root
def test_of_process_1_it_is_not_said_what_it_was_asked(new_httpd):
    """systemctl asks it, and it was apachectl that may have called that."""
    stop = in_container(new_httpd(), 'kill -TERM "$server"')
    assert stop["text"] == "httpd was stopped: SIGTERM from pid 1 (init)"


@needs_root
def test_a_sender_that_cannot_be_seen_has_not_ended(new_httpd):
    httpd = new_httpd()
    httpd.prefix = ("unshare", "--mount", "sh", "-c", "mount -t proc -o hidepid=2,gid=65534 proc /proc && "
                    'exec setpriv --bounding-set=-sys_ptrace "$@"', "-")
    if subprocess.run([*httpd.prefix, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    httpd.start()
    serving(httpd)
    httpd.stop()
    stop = only(from_file(httpd.capture), "server.stop")
    assert stop["text"] == f"httpd was stopped: SIGTERM from pid {os.getpid()} of uid 0; what that is cannot be seen"
    assert stop["data"]["sender"] == {"pid": os.getpid(), "uid": 0, "command": None}


def test_a_sender_that_has_ended_is_told_as_that(new_httpd):
    httpd = new_httpd().start()
    serving(httpd)
    processes.kill(httpd.parent, signal.SIGSTOP)
    sender = subprocess.Popen(["/bin/sh", "-c", f"kill -TERM {httpd.parent}"])
    sender.wait()
    processes.kill(httpd.parent, signal.SIGCONT)
    stop = only(gone(httpd), "server.stop")
    assert f"from pid {sender.pid} of uid {os.getuid()}, which had ended before anybody could look" in stop["text"]


def test_who_asked_for_an_earlier_reload_is_not_named_after_a_gap_without_the_module(new_httpd):
    httpd = new_httpd().start()
    serving(httpd)
    module = httpd.module
    httpd.module = None
    httpd.write_config()
    rotate = script(httpd, "logrotate", "kill -USR1 $1", "sleep 2")
    before = httpd.resumed()
    with subprocess.Popen([rotate, str(httpd.parent)]):
        wait_for(lambda: httpd.resumed() > before, 20, "a reload without the module")
    httpd.module = module
    httpd.write_config()
    with open(httpd.conf, "a") as conf:
        conf.write("NoSuchDirective on\n")
    httpd.send(signal.SIGUSR1)
    httpd.wait_failed()
    failed = only(from_file(httpd.capture), "config.failed")
    assert failed["text"].startswith("A reload ended the server: ") and "signal" not in failed["data"]


@needs_root
def test_a_terminal_that_is_resized_is_told_as_the_kernels_doing(new_httpd):
    httpd = new_httpd()
    httpd.write_config()
    ours, theirs = pty.openpty()

    def take_terminal():
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    name, value = httpd.marker.split("=", 1)
    server = subprocess.Popen([APACHE, "-f", httpd.conf, "-d", httpd.root, "-DFOREGROUND"], stdin=theirs, stdout=theirs,
                              stderr=theirs, preexec_fn=take_terminal,
                              env={"PATH": os.environ["PATH"], name: value})
    try:
        httpd.wait_started()
        serving(httpd)
        fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))
        assert server.wait(20 * crowd()) == 0
    finally:
        server.kill()
        server.wait()
        os.close(ours)
        os.close(theirs)
    stop = only(from_file(httpd.capture), "server.stop")
    assert stop["data"]["signal"] == "SIGWINCH" and stop["data"]["sender"] is None
    assert "its terminal's size changed" in stop["text"]


@needs_root
def test_a_containers_runtime_is_told_as_somebody_outside(new_httpd):
    """As docker stop does: httpd is process 1 of a pid namespace, and the signal comes from another one."""
    httpd = new_httpd()
    httpd.write_config()
    name, value = httpd.marker.split("=", 1)
    runtime = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc",
                                APACHE, "-f", httpd.conf, "-d", httpd.root, "-DFOREGROUND"],
                               stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], name: value})
    try:
        wait_for(lambda: not httpd.port_is_free(), 20, "it listens")
        serving(httpd)
        first, = processes.children_of(runtime.pid)
        processes.kill(first, signal.SIGWINCH)
        runtime.wait(30 * crowd())
    finally:
        runtime.kill()
        runtime.wait()
    stop = only(from_file(httpd.capture), "server.stop")
    assert stop["data"]["signal"] == "SIGWINCH" and stop["data"]["sender"] is None
    assert "from outside this pid namespace" in stop["text"]


# ---- stopped, and not started again ----

def stopped_for(httpd, seconds_without, before=lambda: None):
    httpd.start()
    serving(httpd)
    before()
    with Span() as stop:
        httpd.stop(signal.SIGWINCH)
    time.sleep(seconds_without)
    with Span() as start:
        httpd.start()
    serving(httpd, 20)
    return stop, start


def test_a_stop_that_nobody_ended_is_an_incident_at_the_next_start(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm, pm=SOON)
    stop, start = stopped_for(httpd, 4)
    found = document.ticked(httpd, 1)
    incident, = found["incidents"]
    assert incident["kinds"] == ["stopped"] and incident["state"] == "closed"
    assert stop.holds(seconds(incident["onset"])) and start.holds(seconds(incident["end"]), 1, 1)
    lasted = seconds(incident["end"]) - seconds(incident["onset"])
    assert abs(incident["unserved"]["seconds"] - lasted) < 0.1
    assert incident["unserved"]["expected_requests"] > 0
    first = incident["causes"][0]
    assert first["kind"] == "server.stop" and "SIGWINCH from pid" in first["summary"]
    assert not events(found, "server.unclean") and found["server"]["state"] == "running"
    said = events(found, "incident.open")[0]["text"] + events(found, "incident.close")[0]["text"]
    assert "stopped" in said and "down" not in said
    document.validate(found)
    for command in (["show", "-1"], ["report", "-1"], ["list"], ["status"]):
        done = pmcapture(command[0], "-f", httpd.capture, *command[1:])
        assert done.returncode == 0, done.stderr
        assert "stopped" in done.stdout.decode()
    assert b"SIGWINCH" in pmcapture("show", "-f", httpd.capture, "-1").stdout
    assert pmcapture("check", "-f", httpd.capture).returncode == 0


def test_what_is_no_outage_is_no_incident(new_httpd):
    """Off; started again in time; nobody had come; maintenance that was announced."""
    httpd = new_httpd(pm=QUICK_RULES + "PMCaptureStopped Off\n")
    stopped_for(httpd, 4)
    assert document.ticked(httpd, 1)["incidents"] == []
    httpd.stop()

    httpd = new_httpd(pm=QUICK_RULES + "PMCaptureStopped after=1h\n")
    stopped_for(httpd, 4)
    assert document.ticked(httpd, 1)["incidents"] == []
    httpd.stop()

    httpd = new_httpd(pm=SOON)
    httpd.start()
    document.ticked(httpd, 2)
    httpd.stop()
    time.sleep(4)
    httpd.start()
    assert document.ticked(httpd, 2)["incidents"] == []
    httpd.stop()

    httpd = new_httpd(pm=SOON)
    note = ["note", "-f", httpd.capture, "--maintenance", "the new disk goes in"]
    stopped_for(httpd, 4, lambda: pmcapture(*note))
    found = document.ticked(httpd, 1)
    assert only(found, "note")["data"]["maintenance"] is True
    assert found["incidents"] == []


def test_a_start_that_fails_after_a_stop_is_down_and_the_stop_stands_beside_it(new_httpd):
    httpd = new_httpd(pm=SOON).start()
    serving(httpd)
    httpd.stop()
    good = httpd.conf.read_text()
    httpd.conf.write_text(good + "Nonsense\n")
    assert httpd.command().returncode != 0
    time.sleep(3)
    httpd.start()
    serving(httpd, 20)
    incident, = document.ticked(httpd, 1)["incidents"]
    assert incident["kinds"] == ["down"]
    assert [cause["kind"] for cause in incident["causes"]][:2] == ["start.failed", "server.stop"]


@needs_root
def test_a_stop_with_the_host_is_none(new_httpd, tmp_path):
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    boot_id.chmod(0o644)
    prefix = ("unshare", "--mount", "sh", "-c",
              f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"', "-")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    httpd = new_httpd(pm=SOON)
    httpd.prefix = prefix
    httpd.start()
    serving(httpd)
    httpd.stop()
    httpd.prefix = ()
    time.sleep(4)
    httpd.start()
    found = document.ticked(httpd, 2)
    assert events(found, "host.reboot")
    assert found["incidents"] == []


def test_who_removed_the_package_stands_beside_the_stop(new_httpd):
    httpd = new_httpd(pm=SOON).start()
    serving(httpd)
    logs = httpd.root / "machine/var/log/apt"
    logs.mkdir(parents=True)
    script(httpd, "apache2.prerm", f"{APACHE} -f {httpd.conf} -d {httpd.root} -k stop", "exit $?")
    now = time.strftime("%Y-%m-%d  %H:%M:%S")
    subprocess.run([httpd.root / "apache2.prerm", "remove"], check=True)
    (logs / "history.log").write_text(
        f"\nStart-Date: {now}\nCommandline: apt-get -y install apache2-data\n"
        f"Remove: apache2:amd64 (2.4.59-1)\nEnd-Date: {now}\n")
    gone(httpd)
    time.sleep(4)
    httpd.start()
    serving(httpd, 20)
    document.wait_closed(httpd)
    shown = pmcapture("show", "-f", httpd.capture, "-1", f"--machine={httpd.root}/machine").stdout.decode()
    shown = " ".join(shown.split())
    assert "called by apache2.prerm remove" in shown
    assert 'apt ran "apt-get -y install apache2-data"' in shown and "removed apache2:amd64" in shown


# ---- no server came ----

@pytest.fixture
def killed(new_httpd):
    """A server that was killed, and whose pid file is there still: it names a process that is none of httpd's."""
    httpd = new_httpd(pm=SOON).start()
    serving(httpd)
    httpd.stands_for = subprocess.Popen(["sleep", "600"])
    processes.kill_marked(httpd.marker, httpd.sessions, first=httpd.parent)
    wait_for(lambda: not httpd.processes(), 10, "all of it is gone")
    httpd.pid_file.write_text(f"{httpd.stands_for.pid}\n")
    yield httpd
    httpd.stands_for.kill()
    httpd.stands_for.wait()


@pytest.mark.parametrize("how", [("-k", "start"), ("-DFOREGROUND",), ()])
def test_a_start_refused_by_a_stale_pid_file_is_a_start_that_failed(killed, how):
    other = killed.stands_for.pid
    done = killed.command(*how)
    assert done.returncode == 0 and "already running" in done.output
    found = from_file(killed.capture)
    failed = only(found, "start.failed")
    assert f"{killed.pid_file} names pid {other}, which is `sleep`, not httpd" in failed["text"]
    assert failed["data"]["pid_file"] == {"path": str(killed.pid_file), "pid": other, "program": "sleep"}
    assert failed["data"]["configuration"] is False
    assert not events(found, "config.rejected")
    assert pmcapture("check", "-f", killed.capture).returncode == 2
    screen = pmcapture("status", "-f", killed.capture).stdout.decode()
    assert "`sleep`" in screen
    killed.pid_file.unlink()
    killed.start()
    serving(killed, 20)
    final = document.wait_closed(killed)
    incident, = final["incidents"]
    assert incident["kinds"] == ["down"]
    assert incident["causes"][0]["kind"] == "start.failed" and "`sleep`" in incident["causes"][0]["summary"]
    assert final["server"]["config_failures"] == 0
    document.validate(final)


def test_a_reload_that_signals_a_stranger_is_told(killed):
    assert killed.command("-k", "graceful").returncode == 0
    failed = only(from_file(killed.capture), "start.failed")
    assert "`sleep`, not httpd" in failed["text"] and "signal" in failed["text"]


@needs_root
def test_a_pid_file_that_names_another_httpd_by_chance_is_stale_too(new_httpd):
    """The number of the server that ended is that of another one now."""
    httpd, other = new_httpd(pm=SOON).start(), new_httpd()
    serving(httpd)
    number = httpd.parent
    processes.kill_marked(httpd.marker, httpd.sessions, first=number)
    wait_for(lambda: not httpd.processes(), 10, "all of it is gone")
    other.write_config()
    foreign = with_number(number, [APACHE, "-f", other.conf, "-d", other.root, "-DFOREGROUND"], other.marker)
    try:
        other.wait_started()
        assert httpd.command("-k", "start").returncode == 0
        failed = only(from_file(httpd.capture), "start.failed")
        assert f"names pid {number}, another httpd" in failed["text"]
        assert failed["data"]["pid_file"]["program"] == "apache2"
        os.utime(httpd.pid_file, (time.time() + 3600,) * 2)
        assert httpd.command("-k", "start").returncode == 0
        assert only(from_file(httpd.capture), "start.failed") == failed, "somebody else may have written it"
    finally:
        foreign.terminate()
        foreign.wait()


def with_number(number, command, marker):
    """Start it with that process id, which is free."""
    name, value = marker.split("=", 1)
    for _ in range(300):
        with open("/proc/sys/kernel/ns_last_pid", "w") as last:
            last.write(str(number - 1))
        process = subprocess.Popen(["/bin/sh", "-c", f'test $$ = {number} && exec "$@"', "-", *command],
                                   stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], name: value})
        if process.pid == number:
            return process
        process.wait()
    pytest.skip(f"{number} is somebody else's by now")


@pytest.mark.parametrize("command", ["start", "graceful"])
def test_a_server_whose_clock_was_set_is_known_by_its_file(new_httpd, command):
    """Its pid file is older than the server by the clock of now; and a module may give a process another name."""
    httpd = new_httpd(pm=SOON)
    httpd.config = build_module(
        httpd.root, "named",
        "#include <scoreboard.h>\n#include <sys/prctl.h>\nstatic int rename_it(apr_pool_t *p, ap_scoreboard_e t) {"
        ' prctl(PR_SET_NAME, "site: busy"); return OK; }',
        "ap_hook_pre_mpm(rename_it, NULL, NULL, APR_HOOK_MIDDLE);")
    httpd.start()
    serving(httpd)
    assert processes.name_of(httpd.parent) == "site: busy"
    os.utime(httpd.pid_file, (time.time() - 3600,) * 2)
    before = httpd.resumed()
    assert httpd.command("-k", command).returncode == 0
    if command == "start":
        rejected = only(document.ticked(httpd, 2), "config.rejected")
        assert "already runs" in rejected["text"] and "pid_file" not in rejected["data"]
    else:
        wait_for(lambda: httpd.resumed() > before, 20, "the reload")
        found = document.ticked(httpd, 2)
        assert not events(found, "config.rejected", "start.failed") and events(found, "config.reload")


def test_another_httpd_that_this_capture_does_not_know_may_be_the_server(new_httpd):
    """As one that was started before it loaded the module."""
    httpd, other = new_httpd().start(), new_httpd().start()
    serving(httpd)
    httpd.stop()
    httpd.pid_file.write_text(f"{other.parent}\n")
    os.utime(httpd.pid_file, (time.time() - 3600,) * 2)
    assert httpd.command("-k", "start").returncode == 0
    assert not events(from_file(httpd.capture), "start.failed", "config.rejected")


def test_a_pid_file_that_names_a_zombie_is_stale_too(killed):
    """As in a container whose first process reaps nobody."""
    killed.stands_for.kill()
    wait_for(lambda: processes.state(killed.stands_for.pid) == "Z", 10, "it has ended, and is not reaped")
    assert "already running" in killed.command("-k", "start").output
    failed = only(from_file(killed.capture), "start.failed")
    assert f"names pid {killed.stands_for.pid}, `sleep`, which has ended: a zombie" in failed["text"]


def test_a_second_start_beside_the_server_changes_nothing(new_httpd):
    httpd = new_httpd().start()
    serving(httpd)
    before = pmcapture("status", "--json", "-f", httpd.capture).stdout
    assert httpd.command("-k", "start").returncode == 0
    found = document.ticked(httpd, 2)
    assert not events(found, "start.failed")
    change = re.compile(rb'"last_change": ?(\{.*?\}|null)', re.S)
    assert change.findall(pmcapture("status", "--json", "-f", httpd.capture).stdout) == change.findall(before)


def test_a_pid_file_of_a_dead_number_hinders_nobody(killed):
    killed.stands_for.kill()
    killed.stands_for.wait()
    killed.start()
    assert not events(document.ticked(killed, 1), "start.failed")


# ---- what the machine had no more of ----

@needs_root
def test_semaphores_used_up_are_told_with_their_owner_and_who_left_them(new_httpd):
    httpd = new_httpd(mpm="prefork")
    httpd.config = f"Mutex sysvsem default\nListen 127.0.0.2:{httpd.port + 1}\n"
    # the namespace lives as long as this process
    keeper = subprocess.Popen(["unshare", "--ipc", "sh", "-c",
                               'echo "250 32000 32 4" > /proc/sys/kernel/sem && exec sleep 600'])
    try:
        wait_for(lambda: processes.name_of(keeper.pid) == "sleep", 10, "the namespace is there")
        httpd.prefix = ("nsenter", "--ipc", "-t", str(keeper.pid))
        for _ in range(2):      # each has two: for accept, and of mod_rewrite
            httpd.start()
            serving(httpd, 20)
            httpd.kill()
        assert httpd.command().returncode != 0
        failed = only(from_file(httpd.capture), "start.failed")
        assert "AH00023" in failed["text"] and "4 of 4 semaphore sets in use, 4 by www-data" in failed["text"]
        assert failed["data"]["configuration"] is False
        subprocess.run([*httpd.prefix, "ipcrm", "--all=sem"], check=True)
        httpd.start()
        serving(httpd, 20)
        final = document.wait_closed(httpd, 2)
        incident = final["incidents"][-1]
        assert incident["kinds"] == ["down"]
        assert [cause["kind"] for cause in incident["causes"]][:2] == ["start.failed", "server.unclean"]
        assert "semaphore" in incident["causes"][0]["summary"]
        httpd.stop()
    finally:
        keeper.kill()
        keeper.wait()


@pytest.mark.parametrize("others", [(), [f"syslog:local0:v{n}" for n in range(30)]], ids=["files", "syslog"])
def test_descriptors_used_up_are_told_with_the_limit_and_what_is_needed(new_httpd, others):
    httpd = new_httpd()
    logs = [*others[::2], *(f"logs/v{n}.log" for n in range(40)), *others[1::2]]
    httpd.config = "\n".join(
        f"<VirtualHost 127.0.0.1:{httpd.port}>\nServerName v{n}.test\nErrorLog {log}\n</VirtualHost>"
        for n, log in enumerate(logs))
    httpd.start()
    serving(httpd)
    httpd.stop()
    httpd.prefix = ("/usr/bin/prlimit", "--nofile=40:40")
    assert httpd.command("-t").returncode == 0
    assert httpd.command().returncode != 0
    failed = only(from_file(httpd.capture), "start.failed")
    assert "(24)Too many open files" in failed["text"] and "AH00091" in failed["data"]["message"]
    needed = re.search(r"limit of open files 40, at least (\d+) are needed", failed["text"])
    assert needed and 46 <= int(needed[1]) <= 60
    assert failed["data"]["configuration"] is False
    too_few = int(needed[1]) - 1
    httpd.prefix = ("/usr/bin/prlimit", f"--nofile={too_few}:{too_few}")
    assert httpd.command().returncode != 0


def test_a_key_that_is_too_small_is_told_with_both_lines(new_httpd):
    httpd = new_httpd(modules=("ssl", "socache_shmcb"))
    httpd.start()
    serving(httpd)
    httpd.stop()
    pem = httpd.root / "conf/small.pem"
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-newkey", "rsa:1024",
                    "-keyout", f"{pem}.key", "-out", f"{pem}.crt"], check=True, capture_output=True)
    httpd.config = (f"<VirtualHost 127.0.0.1:{httpd.port}>\nSSLEngine On\nSSLCertificateFile {pem}.crt\n"
                    f"SSLCertificateKeyFile {pem}.key\n</VirtualHost>\n")
    httpd.write_config()
    assert httpd.command("-t").returncode == 0
    assert httpd.command().returncode != 0
    failed = only(from_file(httpd.capture), "start.failed")
    assert "AH02562" in failed["text"] and "ee key too small" in failed["text"]


def test_a_log_folder_that_is_gone_is_told_where_the_capture_file_lies_elsewhere(new_httpd):
    httpd = new_httpd(capture="state/pmcapture.pmc")
    (httpd.root / "state").mkdir()
    httpd.start()
    serving(httpd)
    httpd.stop()
    kept = httpd.root / "kept"
    (httpd.root / "logs").rename(kept)
    assert httpd.command().returncode != 0
    kept.rename(httpd.root / "logs")
    failed = only(from_file(httpd.capture), "start.failed")
    assert "AH02291" in failed["text"] and str(httpd.root / "logs") in failed["text"]


# ---- httpd ended itself ----

@needs_root
def test_a_mutex_that_was_removed_under_httpd_is_told_before_all_else(new_httpd):
    httpd = new_httpd(mpm="prefork")
    httpd.prefix = ("unshare", "--ipc")
    httpd.exit_statuses.add(1)
    httpd.config = f"Mutex sysvsem default\nListen 127.0.0.2:{httpd.port + 1}"
    httpd.start()
    serving(httpd)
    wait_for(lambda: time.time() > seconds(from_file(httpd.capture)["server"]["started"]) + 10.5, 20, "it is not young")
    subprocess.run(["nsenter", "--ipc", "-t", str(httpd.parent), "ipcrm", "--all=sem"], check=True)
    try:
        httpd.get("/")
    except OSError:
        pass
    wait_for(lambda: not httpd.servers(), 20, "httpd ends itself")
    found = document.wait_for_document(httpd, lambda d: d["incidents"], 10, "it is down")
    incident, = found["incidents"]
    assert incident["kinds"] == ["down"]
    first = incident["causes"][0]["summary"]
    assert first.startswith("httpd ended itself: ") and "AH00144" in first and "was removed" in first
    assert "onfiguration" not in first and "reload" not in first
    httpd.pid_file.unlink(missing_ok=True)
