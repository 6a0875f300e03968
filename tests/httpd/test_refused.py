"""What was refused: by a check or a command, by the server itself, at a start. Judged from the file alone."""
import http.client
import os
import signal
import socket
import subprocess
import time

import pytest

from harness import document, processes
from harness.load import Load
from harness.modules import build_module, build_module_with_library
from harness.wait import Span, room, wait_for

FAILURES = ("config.rejected", "config.failed", "start.failed")


@pytest.fixture(params=("event", "prefork"))
def running(new_httpd, request):
    """A server that runs and has ticked."""
    httpd = new_httpd(mpm=request.param).start()
    document.settled(httpd)
    return httpd


@pytest.fixture
def stopped(new_httpd):
    httpd = new_httpd().start()
    document.settled(httpd)
    httpd.stop()
    return httpd


def append(httpd, line):
    """Add a line to the configuration; gives its number."""
    text = httpd.conf.read_text() + line + "\n"
    httpd.conf.write_text(text)
    return text.count("\n")


def failures(httpd, count=None):
    """Failures on record; with `count`, waits until the running server's document has so many."""
    if count is not None:
        document.wait_for_document(
            httpd, lambda found: len(document.events(found, *FAILURES)) >= count, 4,
            f"{count} failures are on record")
    found = document.from_file(httpd.capture)
    document.validate(found)
    return document.events(found, *FAILURES)


def state(httpd):
    return document.from_file(httpd.capture)["server"]["state"]


# ---- a check, a command ----

def test_a_bad_check_is_on_record_with_message_place_command_and_user(running):
    line = append(running, "Nonsense here")
    with Span() as checked:
        assert running.command("-t").returncode != 0
    found, = failures(running, 1)
    assert found["type"] == "config.rejected" and found["severity"] == "warning"
    assert checked.holds(document.seconds(found["at"]))
    data = found["data"]
    assert data["file"] == str(running.conf) and data["line"] == line
    assert f"Syntax error on line {line} of {running.conf}: Invalid command 'Nonsense'" in \
        data["message"]
    assert data["command"] == "apache2 -t" and data["uid"] == os.getuid()
    assert data["server_running"] is True
    assert running.get("/").status == 200 and state(running) == "running"


def test_a_check_that_passes_leaves_no_trace(running):
    append(running, 'RewriteMap warned "txt:/nowhere/map.txt"\nErrorLog "logs/error.log"')
    before = document.from_file(running.capture)["events"]
    for arguments in (["-t"], ["-S"], ["-M"]):
        running.command(*arguments)
    running.conf.write_text("\n".join(running.conf.read_text().splitlines()[:-2]) + "\n")
    assert running.command("-t").returncode == 0
    document.settled(running)
    after = [event for event in document.from_file(running.capture)["events"]
             if event not in before]
    assert not [event for event in after if "Nonsense" in event["text"] or
                event["type"] == "start.failed"]


@pytest.mark.parametrize("word", ["graceful", "restart", "stop", "graceful-stop"])
def test_a_command_with_a_bad_configuration_is_refused_and_the_server_lives(new_httpd, word):
    httpd = new_httpd().start()
    document.settled(httpd)
    parent = httpd.parent
    line = append(httpd, 'Include "conf/missing.conf"')
    assert httpd.command("-k", word).returncode != 0
    found, = failures(httpd, 1)
    assert found["type"] == "config.rejected"
    assert found["data"]["command"] == f"apache2 -k {word}"
    assert found["data"]["line"] == line and "missing.conf" in found["data"]["message"]
    assert processes.alive(parent) and httpd.get("/").status == 200
    final = document.settled(httpd)
    assert final["server"]["config_failures"] == 1
    assert not document.events(final, "config.reload", "server.stop")


def test_the_place_of_an_error_in_an_included_file_is_that_file(running):
    (running.root / "conf/extra.conf").write_text("# one\nLoadModule x_module none.so\n")
    append(running, "Include conf/extra.conf")
    assert running.command("-t").returncode != 0
    data = failures(running, 1)[0]["data"]
    assert data["file"] == str(running.root / "conf/extra.conf") and data["line"] == 2


def test_the_user_who_called_sudo_is_named(running):
    append(running, "Nonsense")
    running.environment["SUDO_USER"] = 'am"ina'
    running.command("-t")
    found, = failures(running, 1)
    assert found["data"]["user"] == found["data"]["sudo_user"] == 'am"ina'
    assert 'am"ina' in found["text"]


def of_debian(httpd, *command):
    """Run one of Debian's scripts upon this server."""
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "LANG": "C",
                   "APACHE_ENVVARS": "/dev/null",
                   "APACHE_RUN_DIR": str(httpd.root / "run"), "APACHE_RUN_USER": "www-data",
                   "APACHE_LOCK_DIR": str(httpd.root / "run"), "APACHE_CONFDIR": "/etc/apache2",
                   "APACHE_PID_FILE": str(httpd.pid_file),
                   "APACHE_ARGUMENTS": f"-f {httpd.conf} -d {httpd.root}"}
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60)


QUESTIONS = [
    ("apache2ctl", "-V"), ("apache2ctl", "-v"), ("apache2ctl", "-l"), ("apache2ctl", "-L"),
    ("apache2ctl", "-S"), ("apache2ctl", "-M"), ("apache2ctl", "-t"),
    ("apache2ctl", "-t", "-D", "DUMP_VHOSTS"), ("apache2ctl", "-t", "-D", "DUMP_RUN_CFG"),
    ("apache2ctl", "-t", "-D", "DUMP_CONFIG"), ("apache2ctl", "configtest"),
    ("a2query", "-M"), ("a2query", "-v"), ("a2query", "-a"), ("a2query", "-m", "dir"),
]


# httpd warns as it reads this, and goes on.
WARNS = "Define none\nAlias ${NOTHING}/a /a\nAlias /x /x\nAlias /x/y /y\n"


@pytest.mark.parametrize("lives", [True, False], ids=["runs", "stopped"])
def test_a_question_that_httpd_answers_is_no_refusal(new_httpd, lives):
    httpd = new_httpd(config=WARNS).start()
    document.settled(httpd)
    if not lives:
        httpd.stop()
    for question in QUESTIONS:
        done = of_debian(httpd, *question)
        assert done.returncode == 0 or question[:2] == ("a2query", "-m"), (question, done.stderr)
    if lives:
        document.ticked(httpd, 2)
    found = document.from_file(httpd.capture)
    assert document.events(found, *FAILURES) == []
    assert found["server"]["config_failures"] == 0


def test_a_question_that_httpd_refuses_says_why(running):
    append(running, "Include conf/missing.conf")
    assert of_debian(running, "apache2ctl", "-V").returncode != 0
    found, = failures(running, 1)
    assert "missing.conf" in found["data"]["message"] and found["type"] == "config.rejected"


def test_a_refusal_by_apachectl_is_one_although_it_checks_twice(running):
    append(running, "Nonsense")
    done = of_debian(running, "/usr/sbin/apache2ctl", "graceful")
    assert done.returncode != 0 and "Nonsense" in done.stdout + done.stderr
    found, = failures(running, 1)
    assert found["data"]["command"] == "apache2ctl graceful"
    document.settled(running)
    assert len(failures(running)) == 1


def test_every_refusal_by_hand_is_an_event_of_its_own(running):
    append(running, "Nonsense")
    for _ in range(3):      # each from a shell of its own
        subprocess.run(["sh", "-c", f"/usr/sbin/apache2 -f {running.conf} -t; exit 1"],
                       capture_output=True)
    assert len(failures(running, 3)) == 3


def test_a_start_beside_a_running_server_is_refused_on_record(running):
    running.command("-k", "start")
    found, = failures(running, 1)
    assert found["type"] == "config.rejected" and "already runs" in found["data"]["message"]
    assert str(running.parent) in found["data"]["message"]
    final = document.ticked(running, 2)
    assert final["server"]["config_failures"] == 0, "the configuration is good"


def test_a_check_while_nothing_runs_is_a_refusal_and_no_failed_start(stopped):
    append(stopped, "Nonsense")
    stopped.command("-t")
    found, = failures(stopped)
    assert found["type"] == "config.rejected" and found["data"]["server_running"] is False
    assert state(stopped) == "stopped"


def test_a_check_or_a_failed_start_makes_no_capture_file(new_httpd):
    httpd = new_httpd(config="Nonsense")
    httpd.write_config()
    for arguments in (["-t"], ["-k", "graceful"], []):
        assert httpd.command(*arguments).returncode != 0
    assert not httpd.capture.exists() and not list((httpd.root / "run").iterdir())


def test_what_is_no_capture_file_is_left_alone(new_httpd):
    httpd = new_httpd(config="Nonsense")
    httpd.write_config()
    httpd.capture.write_bytes(b"#!/bin/sh\n" * 1000)
    before = httpd.capture.read_bytes()
    assert httpd.command().returncode != 0
    assert httpd.capture.read_bytes() == before and os.listdir(httpd.root / "logs") == [
        "pmcapture.pmc"]


# ---- the server itself ----

def reload_fails(httpd, sig=signal.SIGUSR1):
    httpd.send(sig)
    httpd.wait_failed()
    httpd.pid_file.unlink()     # whose pid may be a zombie's: httpd would take it for running


@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGHUP])
def test_a_reload_by_signal_that_fails_ends_the_server_on_record(running, sig):
    line = append(running, "Nonsense here")
    with Span() as failed:
        reload_fails(running, sig)
    found, = failures(running)
    assert found["type"] == "config.failed" and found["severity"] == "critical"
    assert failed.holds(document.seconds(found["at"]))
    assert found["data"]["line"] == line and "Nonsense" in found["data"]["message"]
    assert state(running) == "down"
    stops = document.events(document.from_file(running.capture), "server.stop")
    assert not stops, "nobody stopped it"


def test_a_port_that_is_taken_at_a_reload_ends_the_server_on_record(running):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        append(running, f"Listen 127.0.0.1:{other.getsockname()[1]}")
        assert running.command("-t").returncode == 0
        reload_fails(running)
    found, = failures(running)
    assert found["type"] == "config.failed"
    assert "AH00072" in found["data"]["message"]
    assert "Address already in use" in found["data"]["message"]


def bad_certificate(httpd):
    """A key that is none: passes -t, fails in post_config."""
    pem = httpd.root / "conf/garbage.pem"
    pem.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    append(httpd, "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n"
                  "LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so\n"
                  f"<VirtualHost 127.0.0.1:{httpd.port}>\nSSLEngine on\n"
                  f"SSLCertificateFile {pem}\nSSLCertificateKeyFile {pem}\n</VirtualHost>")


def test_a_certificate_that_no_check_finds_ends_the_server_on_record(running):
    bad_certificate(running)
    assert running.command("-t").returncode == 0
    assert running.command("-k", "graceful").returncode == 0, "the check passes"
    running.wait_failed()
    found, = failures(running)
    assert found["type"] == "config.failed" and "garbage.pem" in found["data"]["message"]
    assert state(running) == "down"


def test_after_a_failed_reload_the_next_start_has_one_down_incident(running):
    good = running.conf.read_text()
    append(running, "Nonsense")
    with Span() as gone:
        reload_fails(running)
    running.conf.write_text(good)
    with Span() as back:
        running.start()
    document.wait_closed(running)
    final = document.ticked(running, 1)     # a tick writes where the server stands last of all
    incident, = final["incidents"]
    assert incident["kinds"] == ["down"]
    assert gone.holds(document.seconds(incident["onset"]), early=1)     # a tick before, maybe
    assert back.holds(document.seconds(incident["end"]), late=1)
    unclean, = document.events(final, "server.unclean")
    assert "reload that failed" in unclean["text"]
    assert "config.failed" in [moment["kind"] for moment in incident["timeline"]]
    assert final["server"]["state"] == "running" and final["server"]["config_failures"] == 1


# ---- no server, and none came ----

def port_taken(httpd):
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)     # connections to httpd may wait there to be over
    other.bind(("127.0.0.1", httpd.port))
    other.listen()
    return other


def no_log_folder(httpd):
    text = httpd.conf.read_text()
    httpd.conf.write_text(text.replace('CustomLog "logs/access.log"', 'CustomLog "none/access.log"'))


def no_error_log_folder(httpd):
    text = httpd.conf.read_text()
    httpd.conf.write_text(text.replace('ErrorLog "logs/error.log"', 'ErrorLog "none/error.log"'))


def no_certificate(httpd):
    append(httpd, "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\n"
                  "SSLCertificateFile conf/none.pem")


def no_module(httpd):
    append(httpd, "LoadModule other_module modules/mod_other.so")


def no_include(httpd):
    append(httpd, "Include conf/none.conf")


@pytest.mark.parametrize("trouble, words", [
    (port_taken, ("AH00072", "Address already in use")),
    (no_log_folder, ("none/access.log",)),
    (no_error_log_folder, ("none/",)),
    (no_certificate, ("none.pem",)),
    (bad_certificate, ("garbage.pem",)),
    (no_module, ("mod_other.so", "cannot open shared object file")),
    (no_include, ("none.conf", "No such file")),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_start_that_fails_says_why_and_the_server_is_down(stopped, trouble, words):
    kept = trouble(stopped)
    assert state(stopped) == "stopped"
    with Span() as failed:
        stopped.command()
        stopped.wait_failed()
    found, = failures(stopped)
    assert found["type"] == "start.failed" and found["severity"] == "critical"
    assert failed.holds(document.seconds(found["at"]))
    for word in words:
        assert word in found["data"]["message"]
    assert state(stopped) == "down"
    if kept:
        kept.close()


def test_a_start_that_failed_leaves_nothing_in_the_runtime_directory(stopped):
    before = sorted(os.listdir(stopped.root / "run"))
    bad_certificate(stopped)
    stopped.command()
    stopped.wait_failed()
    assert sorted(os.listdir(stopped.root / "run")) == before


def test_a_restart_with_no_server_that_fails_is_a_failed_start(stopped):
    append(stopped, "Nonsense")
    stopped.command("-k", "restart")
    assert failures(stopped)[0]["type"] == "start.failed"


def test_a_stop_with_no_server_and_a_bad_configuration_is_no_failed_start(stopped):
    append(stopped, "Nonsense")
    stopped.command("-k", "stop")
    assert failures(stopped)[0]["type"] == "config.rejected"
    assert state(stopped) == "stopped"


def test_children_that_cannot_begin_are_a_failed_start_and_no_stop(new_httpd):
    httpd = new_httpd()
    flag = httpd.root / "fatal"
    line = build_module(
        httpd.root, "fatal",
        f'static void init(apr_pool_t *p, server_rec *s) {{ if (access("{flag}", F_OK) == 0) '
        "exit(15); }", "ap_hook_child_init(init, NULL, NULL, APR_HOOK_MIDDLE);")
    httpd.config = line
    httpd.start()
    document.settled(httpd)
    flag.touch()
    processes.kill(httpd.worker())
    httpd.wait_failed()
    found, = failures(httpd)
    assert "AH00050" in found["data"]["message"] and state(httpd) == "down"
    assert found["type"] == "start.failed" and not document.events(
        document.from_file(httpd.capture), "server.stop")


def waits_and_cannot_go_on(httpd, at, flag):
    """A module: /fatal waits for a file, and its worker process says then that it cannot go on."""
    return build_module(
        httpd.root, "later",
        "static int wait_for_it(request_rec *r) { if (strcmp(r->uri, \"/fatal\") != 0) return DECLINED;"
        f' close(creat("{at}", 0644)); for (int n = 0; n < 1200 && access("{flag}", F_OK) != 0; n++) usleep(50000);'
        " _exit(15); }", "ap_hook_handler(wait_for_it, NULL, NULL, APR_HOOK_REALLY_FIRST);")


def answers(httpd):
    try:
        return httpd.get("/").status == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize("level", ["warn", "error"])
def test_a_worker_of_before_a_reload_that_cannot_go_on_ends_no_server(new_httpd, mpm, level):
    httpd = new_httpd(mpm=mpm)
    at, flag = httpd.root / "run/at", httpd.root / "flag"
    (httpd.root / "run").chmod(0o777)
    httpd.config = waits_and_cannot_go_on(httpd, at, flag) + f"\nLogLevel {level}"
    httpd.exit_statuses.add(15)
    httpd.start()
    document.settled(httpd)
    with socket.create_connection(("127.0.0.1", httpd.port)) as client:
        client.sendall(b"GET /fatal HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(at.exists, 20, "it waits")
        httpd.reload()
        flag.touch()
        wait_for(lambda: httpd.said("AH00050"), 30, "it cannot go on")
        if level == "warn":
            wait_for(lambda: httpd.said("Ignoring fatal error"), 20, "nor does it need to")
        else:       # that is not logged: the server starts other workers
            before = set(httpd.workers())
            for pid in before:
                processes.kill(pid)
            wait_for(lambda: set(httpd.workers()) - before, 20, "another worker")
    wait_for(lambda: answers(httpd), 20, "it serves on")     # what was accepted by one that was killed is reset
    httpd.stop()
    found = document.from_file(httpd.capture)
    assert document.events(found, *FAILURES) == [] and document.events(found, "server.stop")


def test_what_the_machine_lacked_earlier_is_no_reason_for_an_end(new_httpd):
    httpd = new_httpd()
    lacked, fatal = httpd.root / "lacked", httpd.root / "fatal"
    httpd.config = build_module(
        httpd.root, "lacking",
        "#include <mpm_common.h>\n#include <errno.h>\n"
        "static void ends(server_rec *s, pid_t p, ap_generation_t g, int n, mpm_child_status what)"
        f' {{ if (what == MPM_CHILD_EXITED && unlink("{lacked}") == 0)'
        ' ap_log_error(APLOG_MARK, APLOG_ERR, EMFILE, s, "no descriptor left"); }\n'
        f'static void init(apr_pool_t *p, server_rec *s) {{ if (access("{fatal}", F_OK) == 0) exit(15); }}',
        "ap_hook_child_status(ends, NULL, NULL, APR_HOOK_MIDDLE);"
        "ap_hook_child_init(init, NULL, NULL, APR_HOOK_MIDDLE);")
    httpd.prefix = ("/usr/bin/prlimit", "--nofile=4096:4096")
    httpd.start()
    document.settled(httpd)
    lacked.touch()
    processes.kill(httpd.worker())
    wait_for(lambda: httpd.said("no descriptor left"), 20, "it is lacking")
    time.sleep(2.5)     # what is said so much later is another matter
    fatal.touch()
    processes.kill(httpd.worker())
    httpd.wait_failed()
    found, = failures(httpd)
    assert "AH00050" in found["text"] and "limit of open files" not in found["text"]


def test_a_module_that_ends_the_start_by_exit_is_on_record_with_what_it_said(stopped):
    line = build_module(
        stopped.root, "rude",
        "static int leave(apr_pool_t *p, apr_pool_t *l, apr_pool_t *t, server_rec *s) {"
        ' ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "the rude module has had enough");'
        " exit(1); }", "ap_hook_post_config(leave, NULL, NULL, APR_HOOK_MIDDLE);")
    append(stopped, line)
    assert stopped.command().returncode == 1
    found, = failures(stopped)
    assert found["type"] == "start.failed"
    assert "the rude module has had enough" in found["data"]["message"]


def test_hostile_bytes_and_endless_lines_are_kept_clean_and_cut(running):
    with open(running.conf, "ab") as conf:
        conf.write(b"Non\xff\xfe\x1b[31m\x07sense " + b"\x01" * 5000 + b'"x" ' * 300000 + b"\n")
    assert running.command("-t").returncode != 0
    found, = failures(running, 1)
    assert "Syntax error on line" in found["data"]["message"]
    assert len(found["data"]["message"]) <= 4096 * 3
    assert "\x1b" not in found["text"] and running.get("/").status == 200


# ---- the purge ----

def test_a_purged_library_refuses_commands_fails_the_start_and_is_one_down_incident(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    library, httpd.config = build_module_with_library(httpd.root)
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    aside = httpd.root / "aside.so"
    library.rename(aside)
    for word in ("stop", "graceful"):
        assert httpd.command("-k", word).returncode != 0
    assert [event["type"] for event in failures(httpd, 2)] == ["config.rejected"] * 2
    with Span() as stopped:
        httpd.stop()
    assert state(httpd) == "stopped"
    time.sleep(1.2)     # so long nobody tries to start it
    for _ in range(2):
        assert httpd.command().returncode != 0
    rejected = failures(httpd)
    assert [event["type"] for event in rejected[2:]] == ["start.failed"] * 2
    for event in rejected:
        assert library.name in event["data"]["message"]
        assert "cannot open shared object file" in event["data"]["message"]
    assert state(httpd) == "down"
    aside.rename(library)
    with Span() as back:
        httpd.start()
    final = document.wait_closed(httpd)
    incident, = final["incidents"]
    assert incident["kinds"] == ["down"] and incident["state"] == "closed"
    assert stopped.holds(document.seconds(incident["onset"]))
    assert back.holds(document.seconds(incident["end"]), late=1)
    assert abs(incident["unserved"]["seconds"] - incident["duration"]) < 0.1
    assert not document.events(final, "server.unclean")
    kinds = [moment["kind"] for moment in incident["timeline"]]
    assert kinds.count("start.failed") == 2 and "server.stop" in kinds
    assert final["server"]["config_failures"] == 4


def test_a_stop_and_a_start_in_order_are_no_incident(stopped):
    time.sleep(1)       # so long it is stopped
    stopped.start()
    final = document.settled(stopped)
    assert final["incidents"] == [] and not document.events(final, "server.unclean")


def test_a_server_killed_again_before_it_is_well_is_one_incident_with_both_gaps(new_httpd):
    httpd = new_httpd(pm="PMCaptureBurst errors=10 clear=30\nPMCaptureSlow Off\n").start()
    document.settled(httpd)
    least = most = 0
    for _ in range(2):
        with Span() as gone:
            httpd.kill()
        time.sleep(1.5)     # so long nobody serves
        with Span() as back:
            httpd.start()
        shortest, longest = gone.until(back)
        least, most = least + shortest, most + longest
        document.wait_closed(httpd)
        document.settled(httpd)
    incident, = document.from_file(httpd.capture)["incidents"]
    assert incident["kinds"] == ["down"]
    assert least - 2 * room(1) <= incident["unserved"]["seconds"] <= most + 2 * room(1)     # a tick for each
    assert incident["unserved"]["seconds"] < incident["duration"]


def test_failures_soon_after_a_gap_belong_to_it(new_httpd):
    httpd = new_httpd(pm="PMCaptureBurst errors=10 clear=20 window=3\nPMCaptureSlow Off\n",
                      config='Redirect 503 "/fail"').start()
    document.settled(httpd)
    httpd.kill()
    httpd.start()
    document.wait_closed(httpd)
    with Load(httpd.port) as load:
        load.stream("/fail", rate=40, count=60).wait()
    final = document.wait_for_document(
        httpd, lambda found: "errors" in found["incidents"][0]["kinds"], 10, "it goes on")
    incident, = final["incidents"]
    assert sorted(incident["kinds"]) == ["down", "errors"] and incident["state"] == "open"
    final = document.settled(httpd)
    assert final["incidents"][0]["errors"] == 60
    assert document.seconds(final["incidents"][0]["onset"]) < document.seconds(
        final["server"]["started"])


def test_a_stop_in_order_while_an_incident_is_open_is_part_of_it(new_httpd):
    httpd = new_httpd(pm="PMCaptureBurst errors=10 clear=60 window=3\nPMCaptureSlow Off\n",
                      config='Redirect 503 "/fail"').start()
    with Load(httpd.port) as load:
        load.stream("/fail", rate=40, count=60).wait()
    document.wait_for_document(httpd, lambda found: found["incidents"], 10, "it opened")
    with Span() as stopped:
        httpd.stop()
    time.sleep(1)       # so long nobody serves
    with Span() as back:
        httpd.start()
    final = document.settled(httpd)
    incident, = final["incidents"]
    assert sorted(incident["kinds"]) == ["down", "errors"]
    least, most = stopped.until(back)
    assert least <= incident["unserved"]["seconds"] <= most + room(1)
