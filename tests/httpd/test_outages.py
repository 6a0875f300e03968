"""The outages that the recorder was asked for, lived again; judged from its file and its report alone."""
import json
import os
import shutil
import signal
import stat
import subprocess
import time
import uuid

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, from_file, seconds
from harness.load import Load, failed
from harness.modules import build_library, build_module, build_module_with_library
from harness.wait import MILLISECOND, Span, room, wait_for

SOON = 10       # seconds from a removal to its event
LOOKED = 3      # ticks until each watched path was looked at: that is done when a recorder begins
RULES = "PMCaptureBurst errors=10 ratio=5% window=3 clear={clear}\n"


def report(httpd, *options):
    """The one incident's report for programs."""
    done = pmcapture("report", "-f", httpd.capture, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    story, = json.loads(done.stdout)["reports"]
    return story


def told(story, kind):
    """When the report's timeline has a kind of moment, and its words."""
    return [(seconds(moment["at"]), moment["text"]) for moment in story["timeline"]
            if moment["kind"] == kind]


def only_incident(httpd):
    incident, = from_file(httpd.capture)["incidents"]
    return incident


def near(at, truth, early=0.0, late=1.0):
    """A moment, or one in a span, told so many seconds too early or too late at most."""
    at = seconds(at) if isinstance(at, str) else at
    assert truth.holds(at, early, late), f"{at:.3f}, in truth {truth}"


def arrived(httpd, status):
    """When the first request came that was answered so, by httpd's own clock."""
    return min(entry.begin for entry in httpd.access_log.entries() if entry.status == status)


def lasts(took, spans, within):
    """So long as from the first to the second of each pair of spans."""
    least, most = map(sum, zip(*(first.until(second) for first, second in spans)))
    assert least - room(within) <= took <= most + room(within), (least, took, most)


def serving(httpd):
    """Looked at every watched path, with some traffic as a baseline."""
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/", rate=20, count=60).wait()
    wait_for(httpd.writer, 10, "a recorder has the lease")
    document.ticked(httpd, LOOKED)
    return httpd


def wait_event(httpd, kind, count=1, limit=SOON):
    found = document.wait_for_document(httpd, lambda d: len(events(d, kind)) >= count, limit,
                                       f"{count} {kind}")
    return events(found, kind)[-1]


# ---- 1: the purge ----

def live_the_purge(httpd, library, remove, restore):
    """From the removal to the repair; gives the times that the test itself kept."""
    with Span() as removed:
        remove()
    missing = wait_event(httpd, "dependency.missing")
    near(missing["at"], removed)
    assert missing["data"]["path"] == str(library)
    assert [os.path.basename(name) for name in missing["data"]["needed_by"]] == ["mod_needy.so"]
    assert "mod_needy.so" in missing["text"]
    assert httpd.get("/").status == 200, "httpd goes on"

    for number, word in enumerate(("stop", "graceful"), 1):
        assert httpd.command("-k", word).returncode != 0
        assert library.name in wait_event(httpd, "config.rejected", number)["data"]["message"]
    assert httpd.get("/").status == 200

    with Span() as stopped:
        httpd.stop()
    time.sleep(1.5)     # so long nobody tries to start it
    with Span() as failed_start:
        assert httpd.command().returncode != 0
    dead = from_file(httpd.capture)
    assert dead["server"]["state"] == "down"
    refused, = events(dead, "start.failed")
    near(refused["at"], failed_start)
    assert f"{library.name}: cannot open shared object file" in refused["data"]["message"]

    time.sleep(1.5)     # so long nobody knows what to do
    restore()
    with Span() as repaired:
        httpd.start()
    assert httpd.get("/").status == 200
    document.wait_closed(httpd)
    return removed, stopped, repaired


def assert_told_as_the_purge(httpd, library, removed, stopped, repaired):
    document.validate(from_file(httpd.capture))
    incident = only_incident(httpd)
    assert incident["kinds"] == ["down"]
    near(incident["onset"], stopped)
    near(incident["end"], repaired)
    lasts(incident["unserved"]["seconds"], [(stopped, repaired)], 1)
    first = incident["causes"][0]
    assert first["kind"] == "dependency.missing" and library.name in first["summary"]
    story = report(httpd)
    (at, words), = told(story, "dependency.missing")
    near(at, removed)
    assert library.name in words and "mod_needy.so" in words
    assert len(told(story, "start.failed")) == 1
    assert story["causes"][0]["kind"] == "dependency.missing"


def test_the_purge_of_a_library_is_told_from_its_removal_to_the_repair(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    folder = httpd.root / "lib"
    folder.mkdir()
    library, line = build_module_with_library(folder)
    httpd.config += line + "\n"
    serving(httpd)
    away = library.with_name("away")
    times = live_the_purge(httpd, library, lambda: library.rename(away), lambda: away.rename(library))
    assert_told_as_the_purge(httpd, library, *times)


class Package:
    """A real .deb that holds one file, and a dpkg database of its own to install it with."""

    def __init__(self, folder, path):
        self.name = path.name.partition(".so")[0]
        self.root = folder / "machine"
        self.admin = self.root / "var/lib/dpkg"
        for name in ("info", "updates", "triggers"):
            (self.admin / name).mkdir(parents=True)
        (self.root / "var/log").mkdir()
        (self.admin / "status").touch()
        self.deb = folder / "package.deb"
        self._build(folder / "package", path)

    def _build(self, tree, path):
        held = tree / path.relative_to("/")
        held.parent.mkdir(parents=True)
        shutil.copy2(path, held)
        for above in path.parents[:-1]:     # as they are, lest dpkg change /tmp
            (tree / above.relative_to("/")).chmod(stat.S_IMODE(above.stat().st_mode))
        (tree / "DEBIAN").mkdir(mode=0o755)
        (tree / "DEBIAN/control").write_text(
            f"Package: {self.name}\nVersion: 1.0\nArchitecture: all\nMaintainer: a test <t@example>\n"
            "Description: a private library\n")
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, self.deb], check=True,
                       capture_output=True)

    def dpkg(self, *arguments):
        done = subprocess.run(
            ["dpkg", "--force-not-root", "--force-bad-path", f"--admindir={self.admin}",
             "--instdir=/", f"--log={self.root}/var/log/dpkg.log", *arguments],
            capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_purge_of_a_package_stands_in_the_timeline_with_the_line_of_dpkgs_log(new_httpd):
    httpd = new_httpd()
    folder = httpd.root / "lib"
    folder.mkdir()
    name = f"pm{uuid.uuid4().hex[:8]}"
    library = build_library(folder, name)
    httpd.config = build_module(folder, "needy", f"int {name}_call(void);", f"{name}_call();",
                                [library, f"-Wl,-rpath,{folder}"]) + "\n"
    package = Package(httpd.root, library)
    library.unlink()
    package.dpkg("--install", str(package.deb))
    serving(httpd)
    times = live_the_purge(httpd, library, lambda: package.dpkg("--purge", package.name),
                           lambda: package.dpkg("--install", str(package.deb)))
    assert_told_as_the_purge(httpd, library, *times)

    story = report(httpd, f"--machine={package.root}")
    removed, *_ = times
    gone = [entry for entry in story["machine"] if entry["kind"] == "package.removed"]
    assert gone and all(entry["source"] == "dpkg.log" for entry in gone)
    for entry in gone:
        near(entry["at"], removed, early=1)     # whole seconds
        assert entry["packages"] == [f"{package.name}:all"]
        assert entry["tie"]["path"] == str(library)
        assert entry["tie"]["confidence"] == "certain", "installed again, its list is there again"
    assert [text for _, text in told(story, "package.removed") if package.name in text]
    assert any(package.name in sentence for sentence in story["summary"])

    long_ago = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - 20 * 86400))
    package.root.joinpath("var/log/dpkg.log.1").write_text(
        f"{long_ago} upgrade {package.name}:all 0.9 1.0\n{long_ago} upgrade other:all 1 2\n")
    upgraded, = [entry["packages"] for entry in report(httpd, f"--machine={package.root}")["machine"]
                 if entry["kind"] == "package.upgraded"]
    assert upgraded == [f"{package.name}:all"], "httpd has it mapped"

    package.dpkg("--purge", package.name)   # without its list: by name and time
    entry = [e for e in report(httpd, f"--machine={package.root}")["machine"]
             if e["kind"] == "package.removed"][0]
    assert entry["tie"]["confidence"] == "likely"


# ---- 2: the edit ----

def test_an_edit_that_slows_then_breaks_then_ends_the_server_is_told_step_by_step(new_httpd, backend):
    httpd = new_httpd(
        pm=RULES.format(clear=8)
        + "PMCaptureSlow threshold=500ms ratio=20% requests=5 window=5 clear=8\n",
        config=f'ProxyTimeout 3\nProxyPass "/api" "{backend.url}/"\n')
    httpd.start()
    running = httpd.conf.read_text()
    with Load(httpd.port) as load:
        load.stream("/api/x", rate=20, count=100).wait()
        document.settled(httpd)

        line = 1 + running.splitlines().index(f'ProxyPass "/api" "{backend.url}/"')
        httpd.conf.write_text(running.replace(f'"{backend.url}/"', f'"{backend.url}/hang/"'))
        with Span() as edited:
            httpd.reload()
        stream = load.stream("/api/x", rate=10)
        wait_for(lambda: len(failed(stream.sent)) > 20, 20, "requests hang, then fail")

        httpd.conf.write_text(httpd.conf.read_text() + "Nonsense here\n")
        with Span() as refused:
            assert httpd.command("-k", "graceful").returncode != 0
        assert processes.alive(httpd.parent), "refused, the server lives"
        with Span() as tried:
            httpd.send(signal.SIGUSR1)
            httpd.wait_failed()
        httpd.pid_file.unlink(missing_ok=True)
        stream.stop()
    slow = Span()
    slow.begin = min(one.start for one in stream.sent)
    slow.end = min(one.end for one in stream.sent if one.status and one.end - one.start > 0.5)
    httpd.conf.write_text(running)
    with Span() as repaired:
        httpd.start()
    with Load(httpd.port) as load:
        load.stream("/api/x", rate=20, count=40).wait()
    document.wait_closed(httpd, limit=40)

    final = from_file(httpd.capture)
    document.validate(final)
    incident, = final["incidents"]
    assert set(incident["kinds"]) == {"slow", "errors", "down"}
    near(incident["onset"], slow, late=0)
    near(incident["end"], repaired)
    changed, *_ = events(final, "config.changed")
    near(changed["at"], edited)
    for side in ("added", "removed"):
        entry, = changed["data"][side]
        assert entry["directive"] == "ProxyPass"
        assert (entry["file"], entry["line"]) == (str(httpd.conf), line)
    rejected, = events(final, "config.rejected")
    near(rejected["at"], refused)
    broke, = events(final, "config.failed")
    near(broke["at"], tried)
    for event in (rejected, broke):
        assert (event["data"]["file"], event["data"]["line"]) == (
            str(httpd.conf), running.count("\n") + 1)
    before = [cause for cause in incident["causes"] if (cause["seconds_before_onset"] or 0) > 0]
    assert before[0]["kind"] == "config.changed"

    story = report(httpd)
    steps = ("config.changed", "onset", "config.rejected", "config.failed", "end")
    times = [told(story, kind)[0][0] for kind in steps]
    assert times == sorted(times)
    places = [difference["where"] for change in story["changes"]["before"]
              for difference in change["diff"]]
    assert f"{httpd.conf}:{line}" in places


def test_an_edit_of_an_htaccess_file_is_told_with_the_file_and_no_reload(new_httpd):
    httpd = new_httpd(pm=RULES.format(clear=3) + "PMCaptureSlow Off\n")
    folder = httpd.root / "htdocs/app"
    folder.mkdir()
    (folder / "page.html").write_text("it works\n")
    (folder / ".htaccess").write_text('Header set X-App "one"\n')
    httpd.config = f'<Directory "{folder}">\nAllowOverride All\n</Directory>\n'
    httpd.start()
    with Load(httpd.port) as load:
        load.stream("/app/page.html", rate=20, count=60).wait()
        with Span() as edited:
            (folder / ".htaccess").write_text("Redirect 503 /app/page.html\n")
        stream = load.stream("/app/page.html", rate=20)
        time.sleep(5)       # so long it fails
        with Span() as reverted:
            (folder / ".htaccess").write_text('Header set X-App "one"\n')
        time.sleep(2)       # so long it is well again
        sent = stream.stop()
    document.wait_closed(httpd)
    incident = only_incident(httpd)
    assert seconds(incident["onset"]) == pytest.approx(arrived(httpd, "503"), abs=MILLISECOND)
    near(incident["end"], reverted, early=1)
    assert incident["errors"] == len(failed(sent))
    assert incident["causes"][0]["kind"] == "file.changed"
    assert str(folder / ".htaccess") in incident["causes"][0]["summary"]
    story = report(httpd)
    at, words = told(story, "file.changed")[0]
    near(at, edited)
    assert str(folder / ".htaccess") in words
    assert not told(story, "config.reload")


# ---- 3: the dead host ----

@pytest.fixture
def another_boot(tmp_path):
    """A command that gives what it runs another boot id, in a mount namespace of its own."""
    boot_id = tmp_path / "boot_id"
    boot_id.write_text(f"{uuid.uuid4()}\n")
    boot_id.chmod(0o644)
    prefix = ("unshare", "--mount", "sh", "-c",
              f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"', "-")
    if os.getuid() != 0 or subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("only root may mount over the kernel's boot id, where mounts are allowed")
    return prefix, boot_id.read_text().strip()


def test_a_host_that_dies_twice_is_one_story_with_two_measured_gaps(new_httpd, another_boot):
    prefix, boot_id = another_boot
    httpd = new_httpd(pm=RULES.format(clear=15) + "PMCaptureSlow Off\n",
                      config='Redirect 503 "/fail"').start()
    deaths, returns = [], []
    with Load(httpd.port) as load:
        load.stream("/", rate=40)
        stream = load.stream("/", rate=20, count=60)
        stream.wait()
        failing = load.stream("/fail", rate=20)
        document.wait_for_document(httpd, lambda d: d["incidents"], 10, "errors come first")
        for pause in (3, 2):
            with Span() as death:
                httpd.kill()
            time.sleep(pause)   # so long the host is away
            httpd.prefix = prefix
            with Span() as back:
                httpd.start()
            deaths.append(death)
            returns.append(back)
            wait_for(lambda: httpd.get("/").status == 200, 10, "it serves")
            time.sleep(2.5)     # not well yet: /fail goes on failing
        failing.stop()
        document.wait_closed(httpd, limit=40)

    final = from_file(httpd.capture)
    document.validate(final)
    incident, = final["incidents"]
    assert set(incident["kinds"]) == {"errors", "down"}
    assert seconds(incident["onset"]) == pytest.approx(arrived(httpd, "503"), abs=MILLISECOND)
    unclean = events(final, "server.unclean")
    assert len(unclean) == 2
    for event, death, back in zip(unclean, deaths, returns):
        near(event["data"]["last_alive"], death, early=1)
        lasts(event["data"]["gap"], [(death, back)], 1.5)
    reboot, = events(final, "host.reboot")
    assert final["server"]["boot_id"] == boot_id
    near(reboot["at"], returns[0])
    lasts(incident["unserved"]["seconds"], zip(deaths, returns), 2)
    story = report(httpd)
    assert len(told(story, "server.unclean")) == 2 and len(told(story, "host.reboot")) == 1


# ---- 4: crashes ----

CRASH = """
#include <string.h>
static int crash(request_rec *r)
{
    if (strcmp(r->uri, "/crash") == 0) {
        raise(SIGSEGV);
    }
    return DECLINED;
}
"""


def test_children_that_crash_across_a_reload_are_told_and_a_lost_parent_is_too(new_httpd):
    httpd = new_httpd(mpm="prefork")
    httpd.signals = {signal.SIGSEGV}
    httpd.config = build_module(httpd.root, "crash", "#include <signal.h>\n" + CRASH,
                                "ap_hook_handler(crash, NULL, NULL, APR_HOOK_FIRST);")
    httpd.start()
    document.settled(httpd)
    with Load(httpd.port) as load:
        load.stream("/", rate=20)
        with Span() as first:
            cut = load.stream("/crash", rate=5, count=5).wait()
        httpd.reload()
        cut += load.stream("/crash", rate=5, count=5).wait()
        wait_for(lambda: len(httpd.said("AH00052")) == len(cut), 10,
                 "the parent has met each: who is still ending cannot be killed once more")
        processes.kill(httpd.worker())
        final = document.wait_for_document(
            httpd, lambda d: sum(e["data"]["count"] for e in events(d, "child.crash")) >= 11, 25,
            "all are on record")
    assert all(one.cut for one in cut) and len(cut) == 10
    document.validate(final)
    assert sum(e["data"]["count"] for e in events(final, "child.crash")) == 11
    near(events(final, "child.crash")[0]["at"], first, late=2.5)
    said = pmcapture("events", "-f", httpd.capture, "--type", "child.crash").stdout.decode()
    assert "Segmentation fault" in said and "out of memory?" in said

    parent = httpd.parent
    processes.kill(parent)
    lost = time.time()
    wait_for(lambda: not processes.alive(parent), 10, "the parent is dead")
    httpd.pid_file.unlink()
    with Load(httpd.port) as load:
        served = load.stream("/", rate=20, count=40).wait()
    assert all(one.status == 200 for one in served), "the orphans serve on"
    assert httpd.command().returncode != 0
    alone = document.wait_for_document(
        httpd, lambda d: d["server"]["orphaned"] and events(d, "start.failed"), 10, "both are said")
    assert "AH00072" in events(alone, "start.failed")[0]["data"]["message"]
    assert b"rphan" in pmcapture("status", "-f", httpd.capture).stdout
    with Span() as dead:
        httpd.kill()
    httpd.start()
    httpd.get("/")
    document.wait_closed(httpd)
    incident = only_incident(httpd)
    assert incident["kinds"] == ["down"]
    near(incident["onset"], dead, early=1)
    assert seconds(incident["onset"]) > lost + 1, "orphans that serve are no outage"
    assert told(report(httpd), "start.failed")
