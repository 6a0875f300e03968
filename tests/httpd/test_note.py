"""What is added to a capture file from outside the server: a person's note, systemd's word."""
import json
import shlex
import subprocess

import pytest

from harness import document
from harness.companion import pmcapture
from harness.paths import PMDUMP, PROJECT
from harness.wait import Span, wait_for


def pmdump(*arguments):
    return subprocess.run([PMDUMP, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60)


def notes(httpd, kind="note"):
    return document.events(document.from_file(httpd.capture), kind)


@pytest.fixture
def stopped(new_httpd):
    """A server that ran, and was stopped in order."""
    httpd = new_httpd().start()
    document.settled(httpd)
    httpd.stop()
    return httpd


@pytest.fixture
def after_outage(new_httpd):
    """A server that was killed and came back: one incident."""
    httpd = new_httpd().start()
    document.settled(httpd)
    httpd.kill()
    httpd.start()
    document.wait_closed(httpd)
    return httpd


def test_a_note_is_in_the_running_servers_document_within_a_tick(new_httpd):
    httpd = new_httpd().start()
    document.settled(httpd)
    with Span() as written:
        done = pmcapture("note", "rolled the virtual host back", "-f", httpd.capture, SUDO_USER="amina")
    assert done.returncode == 0, done.stderr
    assert b"rolled the virtual host back" in done.stdout
    found = document.events(document.ticked(httpd, 1), "note")
    assert [note["text"] for note in found] == ["rolled the virtual host back"]
    assert written.holds(document.seconds(found[0]["at"]))
    assert found[0]["data"]["user"] == "amina"


def test_a_note_to_an_incident_is_in_its_timeline_whenever_it_was_written(after_outage):
    done = pmcapture("note", "-1", "the provider: a router", "--at", "now", "--json", "-f",
                     after_outage.capture)
    assert done.returncode == 0, done.stderr
    event = json.loads(done.stdout)
    assert event["type"] == "note" and event["data"]["incident"] == 1

    def told():
        incident = document.from_file(after_outage.capture)["incidents"][0]
        return [moment for moment in incident["timeline"] if moment["kind"] == "note"]

    assert wait_for(told, 3, "the timeline has the note")[0]["text"] == "the provider: a router"


def test_a_note_may_be_of_an_earlier_time(stopped):
    done = pmcapture("note", "pager", "--at", "2026-11-20 09:15:30", "--tz", "Africa/Lagos", "-f",
                     stopped.capture)
    assert done.returncode == 0, done.stderr
    assert notes(stopped)[0]["at"] == "2026-11-20T08:15:30.000Z"


def test_a_note_longer_than_a_line_is_kept_whole(stopped):
    text = "é" * 1000
    assert pmcapture("note", text, "-f", stopped.capture).returncode == 0
    note = notes(stopped)[0]
    assert note["data"]["message"] == text and note["text"].endswith("…")


@pytest.mark.parametrize("words, code, sentence", [
    (("note",), 2, "TEXT"),
    (("note", "7", "to nothing"), 1, "7"),
    (("note", "one", "two"), 2, "incident"),
    (("note", "7", "rolled", "back"), 2, "back"),
    (("note", "  "), 3, "bytes"),
    (("note", "x" * 5000), 3, "bytes"),
    (("note", "x", "--at", "someday"), 2, "someday"),
])
def test_a_note_that_cannot_be_kept_is_one_sentence(stopped, words, code, sentence):
    done = pmcapture(*words, "-f", stopped.capture)
    assert done.returncode == code and done.stdout == b""
    assert done.stderr.count(b"\n") == 1 and sentence in done.stderr.decode()
    assert not notes(stopped)


def test_a_note_never_makes_a_file_and_never_follows_a_link(stopped):
    missing = stopped.root / "logs/none.pmc"
    assert pmcapture("note", "x", "-f", missing).returncode == 3 and not missing.exists()
    missing.symlink_to(stopped.capture)
    done = pmcapture("note", "x", "-f", missing)
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1
    assert not notes(stopped)


def test_a_note_has_no_place_in_a_saved_document(stopped):
    saved = stopped.root / "saved.json"
    saved.write_bytes(pmcapture("export", "-f", stopped.capture).stdout)
    done = pmcapture("note", "x", "-f", saved)
    assert done.returncode == 3 and b"no capture file" in done.stderr


# ---- systemd's word ----

def stop_post(httpd, result, code, status):
    """ExecStopPost= of the drop-in as systemd runs it, with what it gives."""
    text = (PROJECT / "conf/pmcapture-service.conf.in").read_text()
    line = next(line for line in text.splitlines() if line.startswith("ExecStopPost="))
    command = line.partition("=")[2].removeprefix("-")
    for name, value in {"@BINDIR@/pmdump": str(PMDUMP), "${SERVICE_RESULT}": result,
                        "${EXIT_CODE}": code, "${EXIT_STATUS}": status, "%n": "apache2.service",
                        "@LOG_DIR@/pmcapture.pmc": str(httpd.capture)}.items():
        assert name in command
        command = command.replace(name, value)
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_start_that_failed_without_the_module_is_put_on_record_by_systemds_drop_in(stopped):
    stop_post(stopped, "exit-code", "exited", "1")
    final = document.from_file(stopped.capture)
    failed, = document.events(final, "start.failed")
    assert failed["severity"] == "critical"
    assert "apache2.service" in failed["text"] and "exit-code exited 1" in failed["text"]
    assert final["server"]["state"] == "down"


def test_systemds_drop_in_adds_nothing_after_a_stop_in_order(stopped):
    before = document.from_file(stopped.capture)["events"]
    stop_post(stopped, "success", "exited", "0")
    final = document.from_file(stopped.capture)
    assert final["events"] == before and final["server"]["state"] == "stopped"


def test_systemds_drop_in_adds_nothing_to_what_the_module_has_said(stopped):
    stopped.conf.write_text(stopped.conf.read_text() + "Nonsense\n")
    assert stopped.command().returncode != 0
    stop_post(stopped, "exit-code", "exited", "1")
    failed, = notes(stopped, "start.failed")
    assert "Nonsense" in failed["text"]


def test_systemds_word_on_a_server_that_died_is_a_note_and_no_failed_start(new_httpd):
    httpd = new_httpd().start()
    document.settled(httpd)
    httpd.kill()
    stop_post(httpd, "oom-kill", "killed", "KILL")
    final = document.from_file(httpd.capture)
    assert not document.events(final, "start.failed")
    note, = document.events(final, "note")
    assert "oom-kill killed KILL" in note["text"]


def test_the_drop_in_is_sound_to_systemd(tmp_path):
    text = (PROJECT / "conf/pmcapture-service.conf.in").read_text()
    unit = tmp_path / "apache2.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nType=forking\n")
    folder = tmp_path / "apache2.service.d"
    folder.mkdir()
    folder.joinpath("pmcapture.conf").write_text(
        text.replace("@BINDIR@", str(PMDUMP.parent)).replace("@LOG_DIR@", "/var/log/apache2"))
    try:
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True,
                              timeout=60)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not here")
    assert done.returncode == 0 and "pmcapture.conf" not in done.stderr, done.stderr
