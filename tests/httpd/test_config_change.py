"""What changed in the configuration: found, told with its place, free of secrets, and silent when nothing did."""
import fcntl
import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from harness import document, processes
from harness.document import events, from_file, wait_for_document
from harness.paths import MODULES, RECORDER
from harness.wait import wait_for

API = """<VirtualHost *:80>
    ServerName api.example
    Header set X-Y "a"
    <Location "/x">
        Header set X-Inner 1
    </Location>
</VirtualHost>
"""


@pytest.fixture
def site(new_httpd):
    """A server with one file in a folder of sites; not started yet."""
    httpd = new_httpd(config="IncludeOptional sites/*.conf")
    (httpd.root / "sites").mkdir()
    return httpd


def write(httpd, content, name="sites/api.conf"):
    path = httpd.root / name
    path.write_text(content)
    return str(path)


def loads(found):
    return len(events(found, "config.load", "config.reload"))


def is_told(found, count):
    """Has each of so many loads an event, and each that changed something the event that says what?"""
    changing = [e for e in events(found, "config.load", "config.reload") if e["data"]["changes"]]
    return loads(found) >= count and len(events(found, "config.changed")) >= len(changing)


def all_events(httpd):
    """The document, when it has the events of each start and reload so far."""
    return wait_for_document(httpd, lambda found: is_told(found, httpd.loads), 10,
                             "each load is on record")


def start(httpd):
    httpd.start()
    wait_for(httpd.resumed, 20, "the server takes signals")
    httpd.loads = getattr(httpd, "loads", 0) + 1
    if httpd.capture:
        all_events(httpd)   # until then its files are being read, beside the server: an edit might be read instead
    return httpd


def restart(httpd):
    httpd.stop()
    httpd.error_log.unlink()
    return start(httpd)


def reload(httpd, sig=signal.SIGUSR1):
    """The events of one reload: config.reload, and config.changed or None."""
    httpd.reload(sig)
    httpd.loads += 1
    return last_load(httpd)


def last_load(httpd):
    found = events(all_events(httpd), "config.load", "config.reload", "config.changed")
    changed = found.pop() if found[-1]["type"] == "config.changed" else None
    return found[-1], changed


def entry(directive, args, container, file, line):
    return {"directive": directive, "args": args, "container": container, "file": str(file),
            "line": line}


def test_a_changed_directive_is_told_with_file_and_line_and_both_values(site):
    path = write(site, API)
    start(site)
    write(site, "# a comment moves everything\n" + API.replace('"a"', '"b"'))
    loaded, changed = reload(site)
    container = "VirtualHost *:80 (api.example)"
    assert changed["text"] == ('Header set X-Y changed in <VirtualHost *:80> (api.example) '
                               '(sites/api.conf:4): "a" -> "b"')
    assert changed["data"]["added"] == [entry("Header", 'set X-Y "b"', container, path, 4)]
    assert changed["data"]["removed"] == [entry("Header", 'set X-Y "a"', container, path, 3)]
    file, = changed["data"]["files"]
    assert (file["path"], file["change"], file["owner"]) == (path, "changed", os.getuid())
    assert file["size"] == os.stat(path).st_size
    assert document.seconds(file["modified"]) == pytest.approx(os.stat(path).st_mtime, abs=0.002)
    assert loaded["text"].endswith("generation 2: 1 directive changed")
    assert loaded["seq"] + 1 == changed["seq"]


def test_added_and_removed_directives_are_told_and_counted(site):
    path = write(site, API)
    start(site)
    write(site, API.replace("    Header set X-Inner 1\n", "")
          .replace("ServerName", "KeepAlive Off\n    ServerName"))
    _, changed = reload(site)
    container = "VirtualHost *:80 (api.example)"
    assert changed["data"]["added"] == [entry("KeepAlive", "Off", container, path, 2)]
    assert changed["data"]["removed"] == [
        entry("Header", "set X-Inner 1", f'{container} > Location "/x"', path, 5)]
    assert changed["text"] == ("2 directives changed, first: KeepAlive Off added in "
                               "<VirtualHost *:80> (api.example) (sites/api.conf:2)")


@pytest.mark.parametrize("sig", [signal.SIGUSR1, signal.SIGHUP])
def test_a_reload_of_the_same_configuration_changes_nothing(site, sig):
    """The same content written again, touched, renamed, moved within it, spaced otherwise."""
    path = write(site, API)
    start(site)
    for edit in (lambda: None,
                 lambda: os.utime(path),
                 lambda: write(site, API),
                 lambda: os.rename(path, site.root / "sites/renamed.conf"),
                 lambda: write(site, "\n\n" + API.replace("set X-Y", "set   X-Y").replace(
                     "Header", "header"), "sites/renamed.conf")):
        edit()
        loaded, changed = reload(site, sig)
        assert changed is None
        assert ": no directive changed" in loaded["text"]
        assert loaded["data"]["changes"] == 0
    assert not events(all_events(site), "config.changed")


def test_an_edited_comment_is_named_but_is_no_change(site):
    write(site, API)
    start(site)
    write(site, API + "# why\n")
    loaded, changed = reload(site)
    assert changed is None
    assert "no directive changed that is in force, though sites/api.conf was changed" in loaded["text"]


def test_files_that_a_pattern_finds_come_and_go(site):
    write(site, API)
    start(site)
    path = write(site, API.replace("api.", "new."), "sites/new.conf")
    _, changed = reload(site)
    assert changed["text"] == "<VirtualHost *:80> (new.example) added (sites/new.conf:1)"
    assert changed["data"]["counts"] == {"changes": 1, "added": 5, "removed": 0, "files": 1}
    assert [(file["path"], file["change"]) for file in changed["data"]["files"]] == [(path, "added")]
    os.unlink(path)
    _, changed = reload(site)
    assert changed["text"] == ("<VirtualHost *:80> (new.example) removed (it was at "
                               "sites/new.conf:1)")


def test_a_define_is_told_before_what_follows_from_it(site):
    config = "Define WHERE {}\nHeader set X-Where ${{WHERE}}\nHeader set X-Too ${{WHERE}}\n"
    path = write(site, config.format("one"))
    start(site)
    write(site, config.format("two"))
    _, changed = reload(site)
    assert changed["text"] == ('3 directives changed, first: Define WHERE changed '
                               '(sites/api.conf:1): "one" -> "two"')
    assert changed["data"]["added"][0] == entry("Define", "WHERE two", "", path, 1)
    assert [one["args"] for one in changed["data"]["added"][1:]] == ["set X-Where two",
                                                                     "set X-Too two"]


def test_a_macro_is_told_with_the_places_of_its_definition_and_its_use(new_httpd):
    httpd = new_httpd(config="IncludeOptional sites/*.conf", modules=("macro",))
    (httpd.root / "sites").mkdir()
    config = ("<Macro vh $name $value>\n<VirtualHost *:80>\nServerName $name\n"
              "Header set X-Y $value\n</VirtualHost>\n</Macro>\n\nUse vh m.example {}\n")
    path = write(httpd, config.format("a"))
    start(httpd)
    write(httpd, config.format("b"))
    _, changed = reload(httpd)
    assert changed["text"] == (
        "Header set X-Y changed in <VirtualHost *:80> (m.example) (sites/api.conf:4, macro vh used "
        'at sites/api.conf:8): "a" -> "b"')
    added, = changed["data"]["added"]
    assert (added["file"], added["line"]) == (path, 4)
    assert added["macro"] == {"name": "vh", "file": path, "line": 8}


def test_modules_loaded_and_unloaded_are_told(site):
    write(site, f"\nLoadModule expires_module {MODULES}/mod_expires.so\n", "sites/load.conf")
    start(site)
    write(site, f"LoadModule env_module {MODULES}/mod_env.so\n", "sites/load.conf")
    _, changed = reload(site)
    assert changed["data"]["modules"] == {"loaded": ["env_module"], "unloaded": ["expires_module"]}
    assert changed["text"] == ("2 directives changed, first: Module env_module loaded "
                               "(sites/load.conf:1)")
    removed, = changed["data"]["removed"]
    assert removed == entry("LoadModule", f"expires_module {MODULES}/mod_expires.so", "",
                            site.root / "sites/load.conf", 2)


def test_a_virtual_host_that_is_renamed_is_the_same_one(site):
    write(site, API)
    start(site)
    write(site, API.replace("api.example", "www.example"))
    _, changed = reload(site)
    assert changed["text"] == ("ServerName changed in <VirtualHost *:80> (www.example) "
                               '(sites/api.conf:2): "api.example" -> "www.example"')


def test_a_load_that_is_followed_by_the_next_one_before_the_recorder_begins_is_on_record(site):
    slow = site.root / "slow"
    slow.write_text(f'#!/bin/sh\nsleep 1\nexec "{RECORDER}" "$@"\n')
    slow.chmod(0o755)
    site.pm += f"PMCaptureRecorder {slow}\n"
    write(site, API)
    site.start()
    write(site, API.replace("api.example", "www.example"))
    site.reload()
    site.loads = 2
    assert loads(all_events(site)) == 2


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_edit_while_the_server_is_down_is_found_at_the_start(site, end):
    write(site, API)
    start(site)
    getattr(site, end)()
    site.error_log.unlink()
    write(site, API.replace('"a"', '"b"'))
    start(site)
    loaded, changed = last_load(site)
    assert loaded["type"] == "config.load"
    assert loaded["text"] == "The configuration was loaded: 1 directive changed"
    assert 'X-Y changed' in changed["text"] and changed["seq"] == loaded["seq"] + 1
    restart(site)
    loaded, changed = last_load(site)
    assert changed is None and loaded["text"].endswith(": no directive changed")


def test_a_configuration_that_was_refused_is_compared_with_the_last_one_that_ran(site):
    write(site, API)
    start(site)
    write(site, API.replace('"a"', '"b"') + "Nonsense\n")
    site.send(signal.SIGUSR1)
    site.wait_failed()
    site.pid_file.unlink()
    site.error_log.unlink()
    write(site, API.replace('"a"', '"c"'))
    start(site)
    _, changed = last_load(site)
    assert changed["text"].endswith('"a" -> "c"')


SECRETS = {"DB_PASSWORD": "verySecret1", "MY_API_KEY": "verySecret2"}
SECRET_CONFIG = """
Define SITE_TOKEN verySecret3
SetEnv INNOCENT ${DB_PASSWORD}
Header set X-Mixed "before${MY_API_KEY}after-%s ${SITE_TOKEN}"
UnDefine SITE_TOKEN
RequestHeader set Authorization "Basic verySecret4"
SetEnv UPSTREAM_SECRET verySecret5
ProxyPass /a-%s http://user:verySecret6@127.0.0.1:9/
<Proxy balancer://b>
    BalancerMember ajp://127.0.0.1:9 secret=verySecret7
</Proxy>
<Location "/${DB_PASSWORD}">
    SessionCryptoPassphrase verySecret8 verySecret9-%s
</Location>
"""


def kept_files(httpd):
    """Everything that the recorder writes."""
    folders = httpd.root / "logs", httpd.root / "run"
    return [path for folder in folders for path in folder.iterdir()
            if path.name.startswith("pmcapture") and path.is_file()]


def test_no_secret_is_kept_anywhere(new_httpd):
    modules = ("env", "proxy_balancer", "lbmethod_byrequests", "slotmem_shm", "proxy_ajp",
               "session", "session_crypto")
    httpd = new_httpd(config="IncludeOptional sites/*.conf", modules=modules)
    (httpd.root / "sites").mkdir()
    httpd.environment = SECRETS
    write(httpd, "Listen 127.0.0.1:1\n".replace("Listen", "#"))
    start(httpd)
    for value in ("one", "two"):
        write(httpd, SECRET_CONFIG % (value, value, value))
        _, changed = reload(httpd)
        assert changed
    restart(httpd)
    assert changed["data"]["counts"]["added"] >= 3
    text = json.dumps(from_file(httpd.capture))
    assert text.count("***") > 10
    assert "before***after-two ***" in text
    assert "http://user:***@127.0.0.1:9/" in text
    files = kept_files(httpd)
    assert {path.name.rpartition(".")[2] for path in files} >= {"pmc", "config", "live"}
    for path in files:
        assert not re.search(rb"verySecret", path.read_bytes()), path
    assert not re.search(r"verySecret", text)
    assert (httpd.root / "logs/pmcapture.pmc.config").stat().st_mode & 0o777 == 0o600


def test_another_secret_is_a_change_that_shows_neither(new_httpd):
    httpd = new_httpd(config="IncludeOptional sites/*.conf", modules=("env",))
    (httpd.root / "sites").mkdir()
    write(httpd, "SetEnv DB_PASSWORD hunter2221")
    start(httpd)
    write(httpd, "SetEnv DB_PASSWORD hunter2222")
    _, changed = reload(httpd)
    assert changed["text"] == ("SetEnv changed (sites/api.conf:1): its masked value is another one")
    assert "hunter" not in json.dumps(changed)


@pytest.mark.parametrize("detail,text,entries", [
    ("names", "Header changed in <VirtualHost *:80> (api.example) (sites/api.conf:3)", 1),
    ("off", "The configuration changed", 0)])
def test_a_difference_holds_no_more_than_is_wanted(site, detail, text, entries):
    site.pm += f"PMCaptureConfigDiff {detail}\n"
    write(site, API.replace('"a"', '"Quiet1"'))
    start(site)
    write(site, API.replace('"a"', '"Quiet2"'))
    loaded, changed = reload(site)
    assert changed["text"] == text
    assert len(changed["data"]["added"]) == len(changed["data"]["removed"]) == entries
    if entries:
        assert changed["data"]["added"][0]["args"] is None
        assert changed["data"]["added"][0]["line"] == 3
    else:
        assert loaded["text"].endswith(": something changed") and not changed["data"]["files"]
    for path in kept_files(site):
        assert b"Quiet" not in path.read_bytes(), path


@pytest.mark.parametrize("value", ["some", "Names,off", "names off"])
def test_a_bad_detail_is_a_configuration_error_that_says_what_is_accepted(new_httpd, value):
    httpd = new_httpd()
    httpd.pm += f'PMCaptureConfigDiff "{value}"\n'
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0
    assert f"PMCaptureConfigDiff: '{value}' is not accepted: write full, names or off" in done.output


def test_a_damaged_snapshot_is_ignored_with_one_warning(site):
    write(site, API)
    start(site)
    site.stop()
    site.error_log.unlink()
    snapshot = site.root / "logs/pmcapture.pmc.config"
    content = bytearray(snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    snapshot.write_bytes(content)
    start(site)
    loaded, changed = last_load(site)
    assert changed is None and loaded["data"]["changes"] is None
    assert len(site.said("pmcapture.pmc.config is damaged")) == 1
    restart(site)
    assert last_load(site)[0]["data"]["changes"] == 0


def test_without_a_capture_file_nothing_is_left_on_disk_but_reloads_are_compared(new_httpd):
    httpd = new_httpd(config="IncludeOptional sites/*.conf", capture=None)
    (httpd.root / "sites").mkdir()
    write(httpd, API)
    start(httpd)
    write(httpd, API.replace('"a"', '"b"'))
    httpd.reload()
    wait_for(lambda: events(document.from_handler(httpd), "config.changed"), 10, "the difference")
    assert not list(httpd.root.rglob("*.config"))


def test_a_huge_difference_is_cut_and_counted(site):
    """100,000 directives, a line of a megabyte, and bytes that are no text."""
    write(site, API)
    start(site)
    lines = [f"Header set X-{number} v" for number in range(100_000)]
    content = "\n".join(lines).encode() + b"\nHeader set X-Long " + b"l" * (1 << 20)
    content += b"\nHeader set X-Odd \"\xff\xfe\x01\"\n"
    (site.root / "sites/huge.conf").write_bytes(content)
    _, changed = reload(site)
    assert changed["data"]["counts"]["changes"] == 100_002
    assert changed["data"]["truncated"] is True
    assert 100 < len(changed["data"]["added"]) < 1000
    assert changed["text"].startswith("100002 directives changed, first: Header set X-0 v added")
    (site.root / "sites/huge.conf").write_bytes(content.replace(b"l" * 100, b"L" * 100, 1)
                                                .replace(b"\xff", b"\xfd"))
    _, changed = reload(site)
    assert changed["data"]["counts"]["changes"] == 2
    assert changed["data"]["truncated"] is False
    assert "%FD%FE%01" in json.dumps(changed["data"]["added"])


def test_odd_files_beside_the_configuration_stop_nothing(site):
    """Files read twice, a broken link, a FIFO, and a folder that vanishes."""
    write(site, API)
    start(site)
    os.symlink("self.conf", site.root / "sites/self.txt")
    write(site, "IncludeOptional vanish/*.conf\nInclude sites/api.conf\n", "once.conf")
    (site.root / "vanish").mkdir()
    os.mkfifo(site.root / "vanish/fifo.txt")
    write(site, "KeepAlive On\n", "vanish/gone.conf")
    write(site, API.replace("api.", "second.") + "Include once.conf\n", "sites/second.conf")
    _, changed = reload(site)
    added = changed["data"]["added"]
    assert [one["file"].rpartition("/")[2] for one in added if one["directive"] == "<VirtualHost>"
            ] == ["api.conf", "second.conf"]
    shutil.rmtree(site.root / "vanish")
    _, changed = reload(site)
    assert changed["text"].startswith("KeepAlive On removed (it was at vanish/gone.conf:1)")


def test_two_thousand_virtual_hosts_are_compared_right_each_time(site):
    """A shorter form of tests/bench/reload_cost.py: what it finds, not what it costs."""
    for number in range(2000):
        write(site, API.replace("api.", f"v{number}."), f"sites/{number:04}.conf")
    start(site)
    for number in (0, 999, 1999):
        name = f"sites/{number:04}.conf"
        path = write(site, API.replace("api.", f"v{number}.").replace("Inner 1", "Inner 2"), name)
        _, changed = reload(site)
        container = f'VirtualHost *:80 (v{number}.example) > Location "/x"'
        assert changed["data"]["added"] == [entry("Header", "set X-Inner 2", container, path, 5)]
        assert changed["data"]["removed"] == [entry("Header", "set X-Inner 1", container, path, 5)]
        loaded, changed = reload(site)
        assert changed is None and loaded["text"].endswith(": no directive changed")


def inner(value):
    return API.replace("Inner 1", f"Inner {value}")


def test_each_of_several_reloads_at_once_is_told_from_the_last_one_that_ran(site):
    """A recorder compares what the reload before it has found, even when that is not done yet."""
    for number in range(1000):
        write(site, API.replace("api.", f"v{number}."), f"sites/{number:04}.conf")
    write(site, inner(1), "sites/own.conf")
    start(site)
    for value in range(2, 7):
        write(site, inner(value), "sites/own.conf")
        site.reload()       # httpd's own time, and not a moment more
        site.loads += 1
    changed = events(all_events(site), "config.changed")
    steps = [(one["removed"][0]["args"], one["added"][0]["args"]) for one in (e["data"] for e in changed)]
    assert steps == [(f"set X-Inner {v - 1}", f"set X-Inner {v}") for v in range(2, 7)]


def signal_at_work(httpd, spared, sig):
    """Send it to each process that gathers what was loaded; who they were."""
    found = []
    for pid in set(processes.children_of(httpd.parent)) - spared:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            if status.startswith("Name:\tpmcapture-load\n"):
                processes.kill(pid, sig)
                found.append(pid)
        except OSError:
            continue
    return found


def test_a_load_whose_gatherer_is_killed_is_told_without_a_difference(site):
    for number in range(2000):
        write(site, API.replace("api.", f"v{number}."), f"sites/{number:04}.conf")
    start(site)
    killed, value = [], 1
    while not killed:       # it may have done its work before it is seen
        value += 1
        write(site, inner(value), "sites/own.conf")
        spared, before = set(site.processes()), site.resumed()
        site.reload(wait=False)

        def reloaded():
            killed.extend([] if killed else signal_at_work(site, spared, signal.SIGKILL))
            return site.resumed() > before

        wait_for(reloaded, 20, "the reload", 0.001)
        site.loads += 1
        found = all_events(site)
    assert loads(found) == site.loads
    for changed, told in zip(events(found, "config.changed"), range(2, value + 1)):
        assert changed["data"]["added"][-1]["args"] == f"set X-Inner {told}"
    assert site.get("/").status < 500


def let_go(stopped):
    for pid in stopped:
        processes.kill(pid, signal.SIGCONT)


def has_compared(httpd):
    """Is what the last load has found complete, for the next one to compare with?"""
    for fd, name in processes.descriptors(httpd.parent).items():
        if "memfd:pmcapture-config" in name:
            with open(f"/proc/{httpd.parent}/fd/{fd}", "rb") as found:
                if not fcntl.fcntl(found, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE:
                    return False
    return True


def stop_one_that_compares(site, value):
    """Reload with ever new values until the gatherer could be stopped before it was done: the value that ran before,
    and who was stopped."""
    while True:
        spared = set(processes.children_of(site.parent))
        before = site.resumed()
        write(site, inner(value + 1), "sites/own.conf")
        site.reload(wait=False)
        stopped = set()

        def reloaded():
            stopped.update(signal_at_work(site, spared, signal.SIGSTOP))
            return site.resumed() > before

        wait_for(reloaded, 20, "the reload", 0.001)
        if stopped and not has_compared(site):
            return value, stopped
        let_go(stopped)
        site.loads += 1
        all_events(site)
        value += 1


def test_a_change_that_a_slow_gatherer_left_to_the_next_reload_is_told_once(site):
    for number in range(2000):
        write(site, API.replace("api.", f"v{number}."), f"sites/{number:04}.conf")
    write(site, inner(1), "sites/own.conf")
    start(site)
    value, slow = stop_one_that_compares(site, 1)
    write(site, inner(value + 2), "sites/own.conf")
    site.reload()
    site.loads += 1
    wait_for_document(site, lambda found: loads(found) >= site.loads, 30, "the second reload is told")
    let_go(slow)
    site.loads += 1
    changed = events(all_events(site), "config.changed")
    steps = [(one["removed"][0]["args"], one["added"][0]["args"]) for one in (e["data"] for e in changed)]
    assert steps == [(f"set X-Inner {n}", f"set X-Inner {n + 1}") for n in range(1, value)] + [
        (f"set X-Inner {value}", f"set X-Inner {value + 2}")]
    site.stop()
    start(site)
    assert events(all_events(site), "config.load")[-1]["data"]["changes"] == 0
