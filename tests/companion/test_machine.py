# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the logs of dpkg, apt, dnf, systemd and last add to an incident, whatever state they are in."""
import gzip
import json
import os
import shutil
import sqlite3
import struct
import subprocess
from datetime import datetime, timedelta, timezone

import builder
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcapture_lib import apt, dnf, dpkg, journal, reboots
from pmcapture_lib.logtime import LogClock
from pmcapture_lib.packages import named_for

LIBRARY = "/usr/lib/x86_64-linux-gnu/libfoo.so.1.2"
MISSING = builder.event(
    40, -12, "dependency.missing", "libfoo.so.1.2 is missing", "critical", path=LIBRARY, needed_by=[]
)


def local(seconds, **more):
    """A time as dpkg writes it, in UTC."""
    return f"{builder.ONSET + timedelta(seconds=seconds, **more):%Y-%m-%d %H:%M:%S}"


def purged(seconds, name="libfoo1:amd64", **more):
    return f"{local(seconds, **more)} purge {name} 1.2-3 <none>\n"


@pytest.fixture
def machine(tmp_path):
    """A copy of a machine's files: machine(path, content)."""
    root = tmp_path / "machine"
    root.mkdir()

    def put(path, content):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return put


@pytest.fixture
def reported(pmcapture, save):
    """reported(place…) gives the report of incident 7 as JSON; with text=True as Markdown."""

    def run(*places, text=False, words=(), **variables):
        path = save(events=[MISSING, *builder.events()])
        options = [f"--machine={place}" for place in places]
        form = [] if text else ["--json"]
        done = pmcapture("report", 7, "-f", path, *form, *options, *words, **variables)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return done.stdout if text else json.loads(done.stdout)["reports"][0]

    return run


def kinds(report):
    return [entry["kind"] for entry in report["machine"]]


def said(report):
    return " ".join(report["machine_notices"])


# ---- packages ----


def test_a_purge_is_tied_to_the_missing_file_by_the_packages_file_list(machine, reported):
    machine("var/lib/dpkg/info/libfoo1:amd64.list", f"/.\n{LIBRARY}\n")
    root = machine("var/log/dpkg.log", purged(-13))
    (entry,) = reported(root)["machine"]
    assert entry["source"] == "dpkg.log" and entry["kind"] == "package.removed"
    assert entry["at"] == builder.stamp((builder.ONSET - timedelta(seconds=13)).replace(microsecond=0))
    assert entry["tie"]["confidence"] == "certain"
    assert (entry["tie"]["path"], entry["tie"]["event"]) == (LIBRARY, 40)
    made = reported(root, text=True)
    assert "package.removed | dpkg purged" in made and "[dpkg.log]" in made
    summary = made.split("## Impact")[0]
    assert "From the machine's logs, 13 s before the onset: dpkg purged libfoo1" in summary


def test_of_two_files_that_went_missing_the_one_that_is_listed_is_tied(machine, pmcapture, save):
    other = {**MISSING, "seq": 39, "data": {"path": "/usr/lib/other.so"}}
    last = {**other, "seq": 47}
    machine("var/lib/dpkg/info/libfoo1:amd64.list", f"{LIBRARY}\n")
    root = machine("var/log/dpkg.log", purged(-13))
    path = save(events=[other, MISSING, last])
    done = pmcapture("show", 7, "-f", path, f"--machine={root}", "--json")
    (entry,) = json.loads(done.stdout)["machine"]
    assert entry["tie"]["event"] == 40 and entry["tie"]["confidence"] == "certain"


def test_a_list_names_files_below_lib_that_are_below_usr_lib(machine, reported):
    machine("var/lib/dpkg/info/odd.list", LIBRARY.removeprefix("/usr") + "\n")
    (entry,) = reported(machine("var/log/dpkg.log", purged(-13, "odd:amd64")))["machine"]
    assert entry["tie"]["confidence"] == "certain"


def test_without_its_list_a_package_is_tied_by_name_and_time_and_that_is_likely(machine, reported):
    root = machine("dpkg.log", purged(-13) + purged(-13, "other"))
    ours, other = reported(root)["machine"]
    assert ours["tie"]["confidence"] == "likely" and "libfoo1" in ours["tie"]["how"]
    assert other["tie"] is None, "what merely happened beside it"


def test_a_name_or_a_time_alone_is_only_possible(machine, reported):
    (entry,) = reported(machine("dpkg.log", purged(-13, "other")))["machine"]
    assert entry["tie"]["confidence"] == "possible"
    (entry,) = reported(machine("dpkg.log", purged(-900)))["machine"]
    assert entry["tie"]["confidence"] == "possible"
    (entry,) = reported(machine("dpkg.log", purged(300)))["machine"]
    assert entry["tie"] is None, "a removal after the fact explains nothing"


def test_a_purge_of_something_that_httpd_needs_reaches_far_back(machine, reported):
    lines = purged(0, days=-20) + purged(0, "libapache2-mod-php8.2", days=-19)
    lines += purged(0, "unrelated", days=-18) + purged(0, days=-40) + purged(0, days=2)
    found = reported(machine("dpkg.log", lines))["machine"]
    assert [e["packages"] for e in found] == [["libfoo1:amd64"], ["libapache2-mod-php8.2"]]


def test_the_last_of_httpds_packages_to_be_touched_stands_in_the_summary(machine, reported):
    upgrade = "{} upgrade {} 1.0 1.1\n"
    lines = upgrade.format(local(-900), "apache2-bin:amd64") + upgrade.format(local(-60), "other")
    lines += upgrade.format(local(9), "libapr1:amd64")
    summary = " ".join(reported(machine("dpkg.log", lines))["summary"])
    assert "15 min before the onset: dpkg upgraded apache2-bin:amd64 from 1.0 to 1.1" in summary
    assert "libapr1" not in summary and "other" not in summary


def test_only_what_is_near_is_joined_and_the_margin_is_said(machine, reported):
    lines = "".join(purged(s, "other") for s in (-3700, -3500, 132 + 880, 132 + 920))
    report = reported(machine("dpkg.log", lines))
    assert len(report["machine"]) == 2
    assert "from 1 h before the onset to 15 min after the end" in said(report)
    assert "30 days" in said(report)


def test_apts_history_names_the_command_and_who_asked(machine, reported):
    block = (f"\nStart-Date: {local(-13).replace(' ', '  ')}\nCommandline: apt-get purge libfoo1\n"
             "Requested-By: ada (1000)\nPurge: libfoo1:amd64 (1.2-3), x:all (1, automatic)\n"
             f"End-Date: {local(-10)}\n")
    machine("var/log/dpkg.log", purged(-12))
    report = reported(machine("var/log/apt/history.log", block))
    assert "apt ran" in " ".join(report["summary"]) and len(report["machine"]) == 2
    entry = report["machine"][0]
    assert entry["command"] == "apt-get purge libfoo1" and entry["who"] == "ada (1000)"
    assert entry["packages"] == ["libfoo1:amd64", "x:all"]
    assert entry["tie"]["confidence"] == "likely"


def test_an_apt_run_that_was_cut_off_or_failed_says_so(machine, reported):
    block = f"ll: cut:amd64 (1)\nStart-Date: {local(-13)}\nCommandline: apt upgrade\nError: dpkg died\n"
    report = reported(machine("history.log", block))
    assert "it failed: dpkg died; its end is not on record" in report["machine"][0]["text"]
    assert "1 line of" in said(report) and "cannot be read" in said(report)


def test_dnf_is_read_with_the_zone_that_it_names(machine, reported):
    at = f"{builder.ONSET + timedelta(hours=1, seconds=-13):%Y-%m-%dT%H:%M:%S}+0100"
    lines = f"{at} INFO --- logging initialized ---\n{at} SUBDEBUG Erase: foo-libs-1.2-3.el9.x86_64\n"
    report = reported(machine("var/log/dnf.rpm.log", lines))
    (entry,) = report["machine"]
    assert entry["packages"] == ["foo-libs"] and entry["tie"]["confidence"] == "likely"
    assert "cannot be read" not in said(report)


def test_the_table_of_dnf_history_is_read(machine, reported):
    table = (f"ID     | Command line | Date and time    | Action(s) | Altered\n{'-' * 60}\n"
             f"    12 | remove libfoo | {local(-13)[:16]} | Removed |  3 EE\n")
    (entry,) = reported(machine("dnf-history.txt", table))["machine"]
    assert entry["command"] == "remove libfoo" and "to the minute" in entry["text"]


@pytest.mark.parametrize("package, path, same", [
    ("libfoo1:amd64", "/x/libfoo.so.1.2", True), ("libfoo2", "/x/libfoo.so.1", False),
    ("libpcre2-8-0", "/x/libpcre2-8.so.0.11", True), ("libssl3t64", "/x/libssl.so.3", True),
    ("libapache2-mod-php8.2", "/x/libphp8.2.so", True), ("mod_ssl", "/x/mod_ssl.so", True),
    ("libapache2-mod-fcgid", "/x/mod_fcgid.so", True), ("libfoo", "/x/libfoo.so", True),
    ("foo", "/etc/foo.conf", False)])
def test_a_package_is_known_by_the_name_of_its_library(package, path, same):
    assert named_for(package, path) is same


# ---- systemd, reboots ----


def journal_line(seconds, **fields):
    at = int((builder.ONSET + timedelta(seconds=seconds)).timestamp() * 1e6)
    return json.dumps({"__REALTIME_TIMESTAMP": str(at), **fields}) + "\n"


def test_the_units_life_and_oom_kills_are_told_by_message_id(machine, reported):
    ids = {kind: name for name, kind in {**journal.OF_UNIT, **journal.OF_HOST}.items()}
    unit = {"UNIT": "apache2.service", "SYSLOG_IDENTIFIER": "systemd"}
    lines = journal_line(-30, MESSAGE="Started", MESSAGE_ID=ids["unit.started"], **unit)
    lines += journal_line(-20, MESSAGE="Started", MESSAGE_ID=ids["unit.started"], UNIT="ssh.service")
    lines += journal_line(-10, MESSAGE=[82, 255, 27], MESSAGE_ID=ids["unit.failed"], **unit)
    lines += journal_line(-5, MESSAGE="Out of memory: Killed process 4243 (apache2) total-vm:1kB",
                          _TRANSPORT="kernel", SYSLOG_IDENTIFIER="kernel")
    lines += journal_line(0, MESSAGE="b", MESSAGE_ID=ids["oom.kill"], **unit)
    lines += journal_line(5, MESSAGE="Startup finished", MESSAGE_ID=ids["host.boot"])
    lines += journal_line(6, MESSAGE="chatter", **unit)
    report = reported(machine("journal.json", lines))
    assert kinds(report) == ["unit.started", "unit.failed", "oom.kill", "oom.kill", "host.boot"]
    assert all(entry["source"] == "journal" for entry in report["machine"])
    assert report["machine"][1]["text"] == "systemd: R\ufffd%1B"


JOURNALD = """
mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal || exit 9
/lib/systemd/systemd-journald 2>/dev/null & journald=$!
for _ in $(seq 50); do test -S /run/systemd/journal/socket && break; sleep 0.1; done
say() { printf 'MESSAGE_ID=%s\\nMESSAGE=%s\\nUNIT=%s\\n' "$@" | logger --journald; }
say 39f53479d3a045ac8e11786248231fbf 'Started Apache.' apache2.service
say 39f53479d3a045ac8e11786248231fbf 'Started OpenSSH.' ssh.service
say 00000000000000000000000000000000 'Chatter of Apache.' apache2.service
say be02cf6855d2428ba40df7e9d022f03d 'Failed to start Apache.' apache2.service
say c7a787079b354eaaa9e77b371893cd27 'Time has been changed' ''
sleep 0.5; kill $journald; wait $journald
cp -r /run/log/journal "$0"
"""


def test_the_journal_that_systemd_wrote_is_read(machine, save, pmcapture):
    root = machine("var/log/dpkg.log", "")
    command = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", JOURNALD, root / "var/log/journal"]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, timeout=60).returncode:
        pytest.skip("only root can run a journald of its own, where mounts are allowed")
    now = builder.stamp(datetime.now(timezone.utc))
    path = save(incidents=[builder.incident(onset=now, end=now)])
    for place in (root, root / "var/log", root / "var/log/journal"):
        done = pmcapture("report", "-f", path, "--json", f"--machine={place}")
        (report,) = json.loads(done.stdout)["reports"]
        found = [(e["kind"], e["text"]) for e in report["machine"] if e["kind"] != "oom.kill"]
        assert found == [("unit.started", "logger: Started Apache."),
                         ("unit.failed", "logger: Failed to start Apache."),
                         ("clock.changed", "logger: Time has been changed")]


def test_an_oom_kill_is_told_when_it_happened_not_when_journald_read_it(machine, reported):
    line = journal_line(300, MESSAGE="Killed process 1 (apache2)", _TRANSPORT="kernel",
                        __MONOTONIC_TIMESTAMP="900000000", _SOURCE_MONOTONIC_TIMESTAMP="590000000")
    (entry,) = reported(machine("journal.json", line))["machine"]
    assert entry["at"] == builder.after(-10)


def test_what_is_no_journal_line_is_counted_and_left_out(machine, reported):
    good = journal_line(-3, MESSAGE="x", MESSAGE_ID=next(iter(journal.OF_HOST)))
    bad = "[" * 5000 + "\n{}\nnull\n" + '{"__REALTIME_TIMESTAMP": "9' + "9" * 400 + '"}\n{"__REAL'
    report = reported(machine("journal.json", bad + "\n" + good + good[:40]))
    assert len(report["machine"]) == 1
    assert "cannot be read, and are left out" in said(report)


def wtmp_of_a_boot(seconds):
    """utmp(5) as it is on x86: BOOT_TIME."""
    at = int((builder.ONSET + timedelta(seconds=seconds)).timestamp())
    return struct.pack("<hxxi32s4s32s256shhiii16x20x", 2, 0, b"~", b"~~", b"reboot", b"6.1.0-13", 0, 0, 0, at, 0)


def test_reboots_are_read_from_wtmp_or_it_is_said_that_they_cannot_be(machine, reported):
    report = reported(machine("var/log/wtmp", wtmp_of_a_boot(-60)))
    if not os.path.exists("/usr/bin/last") or os.path.islink("/usr/bin/last"):  # wtmpdb's, which reads no wtmp
        assert report["machine"] == [] and "var/log/wtmp" in said(report) and "reboots are unknown" in said(report)
        return
    (entry,) = report["machine"]
    assert entry["kind"] == "host.boot" and "6.1.0-13" in entry["text"] and entry["source"] == "last"
    assert "reboots are unknown" not in said(report)


WTMPDB = (
    "CREATE TABLE wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, Login INTEGER, Logout INTEGER, "
    "TTY TEXT, RemoteHost TEXT, Service TEXT)"
)


def database(path, statement, rows=()):
    with sqlite3.connect(path) as base:
        base.execute(statement)
        for row in rows:
            base.execute("INSERT INTO wtmp VALUES (NULL, ?, ?, ?, ?, '~', ?, NULL)", row)
    base.close()


def micros(seconds):
    return int((builder.ONSET + timedelta(seconds=seconds)).timestamp() * 1e6)


def test_reboots_are_read_from_wtmpdb(machine, reported):
    root = machine("var/log/wtmp.db", "")
    (root / "var/lib/wtmpdb").mkdir(parents=True)
    (root / "var/lib/wtmpdb/wtmp.db").symlink_to("../../log/wtmp.db")
    database(root / "var/log/wtmp.db", WTMPDB, [
        (1, "reboot", micros(-900), micros(-120), "6.12.0-1"),
        (1, "reboot", micros(-60), None, "6.12.0-2\x1b[1m"),
        (3, "amina", micros(-50), None, "192.0.2.7"),
        (1, "reboot", -1, None, "6.12.0-3"),
    ])
    for place in (root, root / "var/log/wtmp.db"):
        report = reported(place)
        assert kinds(report) == ["host.boot", "host.shutdown", "host.boot"]
        assert [e["at"] for e in report["machine"]] == [builder.after(s) for s in (-900, -120, -60)]
        assert "6.12.0-2%1B[1m" in report["machine"][2]["text"] and report["machine"][2]["source"] == "wtmpdb"
        assert "1 line of " in said(report) and "reboots are unknown" not in said(report)


def test_the_database_that_wtmpdb_itself_wrote_is_read(machine, save, pmcapture):
    if not shutil.which("wtmpdb"):
        pytest.skip("wtmpdb, which came with Debian 13, is not here")
    root = machine("var/log/dpkg.log", "")
    subprocess.run(["wtmpdb", "boot", "-f", root / "wtmp.db"], capture_output=True, check=True)
    now = builder.stamp(datetime.now(timezone.utc))
    done = pmcapture("report", "-f", save(incidents=[builder.incident(onset=now, end=now)]), "--json",
                     f"--machine={root}")
    (report,) = json.loads(done.stdout)["reports"]
    assert [e["source"] for e in report["machine"] if e["kind"] == "host.boot"] == ["wtmpdb"]
    assert os.uname().release in done.stdout


ENDLESS = ("CREATE VIEW wtmp AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
           "SELECT 1 AS Type, max(x) AS Login, 1 AS Logout, '' AS RemoteHost FROM n")


@pytest.mark.parametrize("statement", [ENDLESS, "CREATE TABLE wtmp(a)", None], ids=["endless", "other", "none"])
def test_what_is_no_database_of_wtmpdbs_does_no_harm(machine, reported, statement):
    root = machine("var/log/wtmp.db", "" if statement else "SQLite format 3\0" + "x" * 5000)
    if statement:
        database(root / "var/log/wtmp.db", statement)
    report = reported(root)
    assert report["machine"] == []
    assert "wtmp.db cannot be read: " in said(report) and "reboots are unknown" in said(report)


def test_a_damaged_wtmp_or_journal_does_no_harm(machine, reported):
    machine("var/log/wtmp", os.urandom(5000))
    report = reported(machine("var/log/journal/abc/system.journal", b"LPKSHHRH" + b"\xff" * 500))
    assert report["machine"] == [] and "no journal that journalctl can read" in said(report)


# ---- whose logs, which zone ----


def test_logs_of_this_machine_are_joined_unasked_to_a_record_of_this_machine(pmcapture, save):
    server = {**builder.document()["server"], "host": os.uname().nodename}
    path = save(server=server)
    assert "## What the rest of the machine knows" in pmcapture("report", "-f", path).stdout
    assert "rest of the machine" in pmcapture("show", "-f", path).stdout
    for words in (["report", "--no-machine"], ["show", "--no-machine"]):
        assert "rest of the machine" not in pmcapture(*words, "-f", path).stdout
    assert "machine" not in json.loads(pmcapture("show", "-f", path, "--json").stdout)


def test_logs_of_this_machine_are_not_joined_unasked_to_the_record_of_another(pmcapture, saved):
    assert "rest of the machine" not in pmcapture("report", "-f", saved).stdout
    asked = pmcapture("show", "-f", saved, "--machine", "7")
    assert asked.returncode == 0
    assert "these logs are of this machine, the record is of another" in asked.stdout


def test_show_gives_the_entries_to_programs_that_ask(pmcapture, saved, machine):
    root = machine("dpkg.log", purged(-13))
    made = json.loads(pmcapture("show", 7, "-f", saved, "--json", f"--machine={root}").stdout)
    assert made["incidents"][0]["id"] == 7 and len(made["machine"]) == 1


def test_local_times_are_read_in_the_zone_of_the_machine_that_wrote_them(machine, reported):
    root = machine("dpkg.log", purged(-13, hours=1))
    for options in ({"words": ["--log-tz", "Africa/Lagos"]}, {"TZ": "Africa/Lagos"}):
        report = reported(root, **options)
        assert report["machine"][0]["tie"]["seconds"] < 2
        assert "are read in Africa/Lagos" in said(report)


def test_an_hour_that_the_clock_showed_twice_is_read_both_ways():
    clock = LogClock("Europe/Berlin")
    first, second = clock.read("2026-10-25 02:30:00")
    assert (first.hour, second.hour) == (0, 1)
    assert len(clock.read("2026-10-25 03:30:00")) == 1
    assert len(clock.read("2026-03-29 02:30:00")) == 1, "an hour that never was"
    assert clock.read("2026-13-01 00:00:00") == clock.read("0001-01-01 00:00:00") == []


@pytest.mark.parametrize("options, variables", [
    (["--log-tz", "Europe/Berlin"], {}), ([], {"TZ": "Europe/Berlin"})])
def test_an_entry_in_an_hour_shown_twice_is_near_by_either_reading_and_says_so(
    machine, pmcapture, save, options, variables
):
    onset = builder.ONSET.replace(month=10, day=25, hour=2, minute=10)
    made = builder.incident(onset=builder.stamp(onset), end=builder.stamp(onset), timeline=[])
    path = save(incidents=[made])
    root = machine("dpkg.log", "2026-10-25 02:30:00 purge other 1 <none>\n")
    done = pmcapture("report", "-f", path, f"--machine={root}", *options, **variables)
    assert "2026-10-25 00:30:00" in done.stdout and "01:30:00 UTC instead" in done.stdout
    assert "order is unknown" in done.stdout


def test_an_unknown_zone_or_place_is_one_sentence(pmcapture, saved):
    for words, code in ((["--log-tz", "Mars/One"], 2), (["--machine=/nowhere"], 3)):
        done = pmcapture("show", "-f", saved, *words)
        assert done.returncode == code and done.stderr.count("\n") == 1
        assert words[0].partition("=")[0] in done.stderr


# ---- damaged and hostile logs ----


def test_elder_logs_are_read_rotated_and_packed_until_they_are_too_old(machine, reported):
    machine("var/log/dpkg.log", purged(-3, "a-new"))
    machine("var/log/dpkg.log.1", purged(-9, "b-old"))
    machine("var/log/dpkg.log.2.gz", gzip.compress(purged(-12).encode()))
    machine("var/log/dpkg.log.3.gz", gzip.compress(purged(0, days=-50).encode()))
    root = machine("var/log/dpkg.log.10.gz", b"\x1f\x8bnever looked at")
    report = reported(root)
    assert [e["packages"][0] for e in report["machine"]] == ["libfoo1:amd64", "b-old", "a-new"]
    assert "damaged" not in said(report)


def test_one_date_that_is_wrong_hides_no_elder_log(machine, reported):
    machine("var/log/dpkg.log", purged(0, days=-9000) + purged(-3, "a-new"))
    report = reported(machine("var/log/dpkg.log.1", purged(-9, "b-old")))
    assert [e["packages"][0] for e in report["machine"]] == ["b-old", "a-new"]


def test_a_packed_log_that_is_cut_off_gives_what_it_has(machine, reported):
    lines = purged(-13) + "".join(f"{local(-9)} status installed p{n} {os.urandom(9).hex()}\n"
                                  for n in range(20000))
    packed = gzip.compress(lines.encode())
    for content in (packed[: len(packed) // 2], packed[:-9] + b"\0" * 9):
        report = reported(machine("dpkg.log", content))
        assert kinds(report) == ["package.removed"]
        assert "damaged or cut off; what could be unpacked is used" in said(report)


def test_a_log_cut_off_in_the_middle_of_a_line_loses_that_line_alone(machine, reported):
    whole = purged(-13) + purged(-12, "other")
    report = reported(machine("dpkg.log", whole[25:] + whole[:-30]))
    assert len(report["machine"]) == 2 and "2 lines of" in said(report)


def test_the_hole_that_a_crash_leaves_in_a_log_hides_no_line(machine, reported):
    report = reported(machine("dpkg.log", b"\0" * 5000 + purged(-13).encode()))
    assert kinds(report) == ["package.removed"] and "left out" not in said(report)


def test_binary_and_escapes_in_a_log_reach_nobodys_terminal(machine, reported, pmcapture, save):
    hostile = purged(-13, "evil\x1b]0;x\x07<script>|`*") + f"{local(-12)} purge \xff\x00 1\n"
    root = machine("dpkg.log", b"\0" * 5000 + b"\n" + hostile.encode("latin-1") + os.urandom(3000))
    shown = pmcapture("show", 7, "-f", save(), f"--machine={root}").stdout
    made = reported(root, text=True) + json.dumps(reported(root)) + shown
    assert "\x1b" not in made and "<script>" not in reported(root, text=True)
    assert "%1B" in made


def test_a_name_in_a_log_never_leads_out_of_the_folder_of_file_lists(machine, reported):
    machine("var/lib/dpkg/info/other.list", "/.\n")
    machine("var/lib/dpkg/secret.list", LIBRARY + "\n")
    root = machine("var/log/dpkg.log", purged(-500, "../secret"))
    (entry,) = reported(root)["machine"]
    assert entry["tie"] is None


def test_of_a_huge_log_the_end_is_read_and_that_is_said(machine, reported):
    root = machine("dpkg.log", b"")
    with open(root / "dpkg.log", "r+b") as log:
        log.seek(3 * 2**30)  # sparse
        log.write(b"cut " * (4 * 2**20) + b"off\n" + purged(-13).encode())
    report = reported(root)
    assert kinds(report) == ["package.removed"] and "only the last" in said(report)
    assert "left out" not in said(report), "the line that the cut went through is none of the log's"


def test_a_pipe_a_loop_and_an_unreadable_log_are_a_sentence_each(machine, reported):
    root = machine("history.log", "")
    os.mkfifo(root / "dpkg.log")
    os.symlink("last.txt", root / "last.txt")
    (root / "journal.json").mkdir()
    report = reported(root)
    assert report["machine"] == [] and said(report).count("cannot be read") == 3
    assert "/dev/zero cannot be read" in said(reported("/dev/zero"))


def test_one_log_alone_is_known_by_what_is_in_it(machine, reported):
    root = machine("what-she-sent-me.txt", purged(-13))
    assert reported(root / "what-she-sent-me.txt")["machine"][0]["source"] == "dpkg.log"


def test_people_see_what_concerns_httpd_and_how_much_more_there_is(machine, reported):
    lines = "".join(
        purged(-600 + n, f"p{n}") if n % 2 else f"{local(-600 + n)} install p{n}:amd64 <none> 1\n"
        for n in range(300)
    ) + purged(-13)
    root = machine("dpkg.log", lines)
    made = reported(root, text=True)
    assert "261 more are in report --json" in made and "libfoo1" in made.split("## What changed")[0]
    assert len(reported(root)["machine"]) == 301


def test_packages_that_came_together_are_one_line_with_httpds_first(machine, reported):
    names = [f"p{n}" for n in range(20)] + ["apache2-bin", "libapr1"]
    lines = "".join(f"{local(-60 + n)} install {p}:amd64 <none> 1\n" for n, p in enumerate(names))
    root = machine("dpkg.log", lines)
    made = reported(root, text=True).replace("`", "")
    assert "dpkg installed apache2-bin:amd64, libapr1:amd64, p0:amd64, p1:amd64" in made
    assert made.count("dpkg installed") == 2    # the timeline's line, and in the summary the last of httpd's
    assert "and 14 more" in made and "in report --json" not in made
    assert len(reported(root)["machine"]) == 22


def test_a_package_is_not_left_out_for_a_command_of_another_day(machine, reported):
    machine("dpkg.log", f"{local(-60)} upgrade libapr1:amd64 1 2\n")
    long_ago = f"Start-Date: {local(-86400)}\nCommandline: apt install libapr1\nInstall: libapr1:amd64 (1)\n"
    made = reported(machine("history.log", long_ago), text=True)
    assert "dpkg upgraded libapr1:amd64" in made.split("## What changed")[0].split("## Timeline")[1]


def test_people_see_the_command_rather_than_each_of_its_packages(machine, reported):
    machine("dpkg.log", "".join(purged(-13, f"p{n}") for n in range(3)) + purged(-13))
    packages = ", ".join(f"p{n} (1)" for n in range(3)) + ", libfoo1:amd64 (1)"
    root = machine("history.log", f"Start-Date: {local(-14)}\nCommandline: c\nPurge: {packages}\n")
    made = reported(root, text=True)
    assert 'apt ran "c": purged p0, p1, p2 and libfoo1:amd64' in made.replace("`", "")
    assert "dpkg purged libfoo1" in made.replace("`", "") and "dpkg purged p0" not in made
    assert len(reported(root)["machine"]) == 5


LINES = st.lists(st.text() | st.from_regex(dpkg.LINE) | st.from_regex(apt.FIELD)
                 | st.from_regex(dnf.LINE) | st.from_regex(dnf.HISTORY) | st.from_regex(reboots.LINE))


def test_what_explains_a_change_is_shown_before_a_flapping_unit(machine, reported):
    machine("dpkg.log", purged(0, days=-20))
    started = next(name for name, kind in journal.OF_UNIT.items() if kind == "unit.started")
    lines = "".join(journal_line(n, MESSAGE=f"start {n}", MESSAGE_ID=started, UNIT="httpd.service")
                    for n in range(-60, 60))
    made = reported(machine("journal.json", lines), text=True)
    assert "dpkg purged libfoo1:amd64" in made and "start 0" in made
    assert "start 59" not in made and "81 more are in report --json" in made


@given(LINES)
def test_no_line_is_too_strange_to_be_read_or_left_out(lines):
    clock = LogClock("Europe/Berlin")
    for parse in (dpkg.parse, apt.parse, dnf.parse, dnf.parse_history, journal.parse, reboots.parse):
        found, unread = parse(lines, clock)
        assert len(found) + unread <= len(lines) + 1
        assert all(entry.sentence for entry in found)
