"""Trouble with file, disk and memory: httpd starts and serves, and says what is not recorded."""
import html
import os
import random
import re
import signal
import subprocess
import time

import pytest

from harness import capture_file, document, processes
from harness.disk import Disk
from harness.httpd import QUICK_RULES, Httpd
from harness.load import Load
from harness.wait import room, wait_for

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts and other owners need root")


def page_text(httpd):
    """The status page as a person reads it."""
    page = httpd.get("/pm-status")
    assert page.status in (200, 503)        # 503: nothing is recorded, and the page says why
    return html.unescape(re.sub(r"<[^>]*>", " ", page.text))


def complaints(httpd, *words):
    """Warnings and errors of the recorder in the error log that hold all of `words`."""
    return [line for line in httpd.said("pmcapture:", *words)
            if re.search(r"\[pmcapture:(warn|error|crit|alert|emerg)\]", line)]


def assert_serves_and_says(httpd, *words, seconds=10):
    """httpd answers, and both the error log and the page say in one sentence what is wrong."""
    assert httpd.get("/").status == 200
    wait_for(lambda: complaints(httpd, *words), seconds,
             f"the error log says {words}; it said: {httpd.said('pmcapture:')}")

    def on_page():
        text = page_text(httpd)
        return all(word in text for word in words)

    wait_for(on_page, seconds, f"the status page says {words}", 0.2)
    for _ in range(3):
        assert httpd.get("/").status == 200
    if httpd.get("/pm-status").status == 200:
        document.validate(document.from_handler(httpd))
    httpd.reload()
    assert httpd.get("/").status == 200
    assert not httpd.said("exit signal")


@pytest.fixture
def small_tmpfs():
    """Mount a tmpfs of so many KiB; unmounted afterwards."""
    mounted = []

    def mount(path, kib):
        path.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=755", "none", path],
                       check=True)
        mounted.append(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=False)


# ---- where the file shall be, there is something else, or nothing can be ----

def test_a_path_in_a_folder_that_does_not_exist(new_httpd):
    httpd = new_httpd(capture="nowhere/pmcapture.pmc").start()
    assert_serves_and_says(httpd, "nowhere/pmcapture.pmc")


def test_a_path_that_cannot_be_written(new_httpd):
    """Not even by root: the kernel's own folders take no file."""
    httpd = new_httpd(capture="/proc/self/pmcapture.pmc").start()
    assert_serves_and_says(httpd, "/proc/self/pmcapture.pmc")


@needs_root
def test_a_disk_that_is_full(new_httpd, small_tmpfs):
    httpd = new_httpd(capture="disk/pmcapture.pmc")
    small_tmpfs(httpd.root / "disk", 64)
    httpd.start()
    assert_serves_and_says(httpd, "disk/pmcapture.pmc", "No space left")
    assert list((httpd.root / "disk").iterdir()) == [], "nothing half-made is left"


def test_a_directory_in_its_place(new_httpd):
    httpd = new_httpd()
    httpd.capture.mkdir()
    httpd.start()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc", "directory")


def test_a_fifo_in_its_place_does_not_block_the_start(new_httpd):
    httpd = new_httpd()
    os.mkfifo(httpd.capture)
    httpd.start()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc")
    assert httpd.capture.is_fifo()


def test_a_symbolic_link_is_not_followed(new_httpd):
    httpd = new_httpd()
    victim = httpd.root / "victim"
    victim.write_text("")
    httpd.capture.symlink_to(victim)
    httpd.start()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc", "symbolic link")
    assert victim.read_text() == ""
    dangling = new_httpd()
    dangling.capture.symlink_to(dangling.root / "not-there")
    dangling.start()
    assert_serves_and_says(dangling, "logs/pmcapture.pmc", "symbolic link")
    assert not (dangling.root / "not-there").exists()


@needs_root
def test_a_file_of_another_user_is_not_used(new_httpd):
    httpd = new_httpd()
    httpd.capture.write_bytes(b"")
    os.chown(httpd.capture, 65534, 65534)
    httpd.start()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc")
    assert httpd.capture.read_bytes() == b""


# ---- a file that is not, or no longer, a whole capture file ----

@pytest.fixture(scope="module")
def whole_file():
    """The bytes of a capture file with an incident in it."""
    httpd = Httpd(config='Redirect 503 "/fail"')
    try:
        httpd.start()
        with Load(httpd.port) as load:
            load.stream("/fail", rate=50, count=60,
                        source=lambda n: f"127.0.4.{1 + n % 9}").wait()
            load.stream("/", rate=50, count=50).wait()
        document.settled(httpd)
        httpd.stop()
        yield httpd.capture.read_bytes()
    finally:
        httpd.close()


def kept_aside(httpd):
    return sorted(httpd.capture.parent.glob(httpd.capture.name + ".old-*"))


def assert_kept_and_recording(httpd, content):
    """The old file was renamed, unchanged; a new one is written."""
    [old] = kept_aside(httpd)
    assert old.read_bytes() == content
    assert complaints(httpd, old.name) or httpd.said("pmcapture:", old.name)
    for _ in range(4):
        assert httpd.get("/").status == 200
    assert document.settled(httpd)["totals"]["status"]["200"] == 4


@pytest.mark.parametrize("length", [1, 100, 4095, 4096, 4097, 8191])
def test_a_file_cut_within_its_headers_starts_a_new_one_or_is_mended(
        new_httpd, whole_file, length):
    httpd = new_httpd()
    httpd.capture.write_bytes(whole_file[:length])
    httpd.start()
    assert httpd.get("/").status == 200
    assert httpd.said("pmcapture:", "logs/pmcapture.pmc")
    final = document.settled(httpd)
    document.validate(final)
    assert final["totals"]["status"]["200"] >= 1
    assert not httpd.said("exit signal")
    for old in kept_aside(httpd):
        assert old.read_bytes() == whole_file[:length]


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_behind_its_headers_is_used_as_far_as_it_goes(new_httpd, whole_file, share):
    httpd = new_httpd()
    length = max(8192, int(len(whole_file) * share))
    httpd.capture.write_bytes(whole_file[:length])
    httpd.start()
    assert httpd.get("/").status == 200
    assert httpd.said("pmcapture:", "logs/pmcapture.pmc")
    final = document.settled(httpd)
    document.validate(final)
    assert final["totals"]["requests"] >= 1
    assert not httpd.said("exit signal")


def test_an_empty_file_is_used(new_httpd):
    httpd = new_httpd()
    httpd.capture.write_bytes(b"")
    httpd.start()
    assert httpd.get("/").status == 200
    assert document.settled(httpd)["totals"]["status"] == {"200": 1}
    assert kept_aside(httpd) == []


def test_random_bytes_are_kept_and_said(new_httpd):
    httpd = new_httpd()
    content = random.Random(7).randbytes(300_000)
    httpd.capture.write_bytes(content)
    httpd.start()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc")
    [kept] = [path for path in [httpd.capture, *kept_aside(httpd)] if path.read_bytes() == content]
    assert kept, "nothing of it is lost: it may be somebody's"


@pytest.mark.parametrize("made,word", [
    (capture_file.of_newer_version, "version"),
    (capture_file.of_other_architecture, "architecture"),
    (capture_file.of_other_byte_order, "byte order"),
], ids=["newer version", "other architecture", "other byte order"])
def test_a_file_of_another_build_is_kept_aside_and_said(new_httpd, whole_file, made, word):
    assert capture_file.unchanged(whole_file) == whole_file
    httpd = new_httpd()
    content = made(whole_file)
    httpd.capture.write_bytes(content)
    httpd.start()
    assert_kept_and_recording(httpd, content)
    assert httpd.said("pmcapture:", word)
    wait_for(lambda: kept_aside(httpd)[0].name in page_text(httpd), 5, "the page names it", 0.2)
    done = document.pmdump(kept_aside(httpd)[0])
    assert done.returncode == 3 and word in done.stderr.decode()


def test_damage_in_the_middle_of_a_file_loses_only_what_was_there(new_httpd, whole_file):
    httpd = new_httpd()
    content = bytearray(whole_file)
    noise = random.Random(3)
    for _ in range(200):
        content[noise.randrange(8192, len(content))] ^= 0xff
    httpd.capture.write_bytes(content)
    httpd.start()
    assert httpd.get("/").status == 200
    document.validate(document.settled(httpd))
    assert not httpd.said("exit signal")


# ---- somebody else has it ----

def test_a_file_in_use_by_a_running_instance_stays_with_that_one(new_httpd):
    first = new_httpd().start()
    first.get("/")
    second = new_httpd(capture=str(first.capture)).start()
    assert_serves_and_says(second, str(first.capture), "in use")
    for _ in range(3):
        assert first.get("/").status == 200
    second.stop()
    final = document.settled(first)
    assert document.status_totals(final) == first.access_log.totals()
    assert final["server"]["pid"] == first.parent


# ---- something happens to it while it is in use ----

def test_a_file_deleted_while_in_use(new_httpd):
    httpd = new_httpd().start()
    document.settled(httpd)
    httpd.capture.unlink()
    assert_serves_and_says(httpd, "logs/pmcapture.pmc", seconds=15)
    httpd.stop()
    httpd.start()
    assert httpd.get("/").status == 200
    assert document.settled(httpd)["totals"]["status"]["200"] >= 1


def test_a_file_replaced_while_in_use(new_httpd, whole_file):
    httpd = new_httpd().start()
    document.settled(httpd)
    other = httpd.root / "logs/other"
    other.write_bytes(whole_file)
    other.rename(httpd.capture)
    assert_serves_and_says(httpd, "logs/pmcapture.pmc", seconds=15)
    assert not httpd.said("exit signal")


@pytest.mark.parametrize("length", [0, 5000, 100_000])
def test_a_file_truncated_while_in_use_is_made_whole_again(new_httpd, length):
    httpd = new_httpd().start()
    for _ in range(5):
        httpd.get("/")
    document.settled(httpd)
    size = httpd.capture.stat().st_size
    os.truncate(httpd.capture, length)
    assert_serves_and_says(httpd, "logs/pmcapture.pmc", seconds=15)
    wait_for(lambda: httpd.capture.stat().st_size == size, 15, "it has its size again")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


@needs_root
def test_a_disk_that_turns_read_only_while_in_use(new_httpd, small_tmpfs):
    httpd = new_httpd(capture="disk/pmcapture.pmc",
                      pm=QUICK_RULES + "PMCaptureRetention seconds=60s minutes=60m incidents=4 "
                      "events=64\n")
    small_tmpfs(httpd.root / "disk", 16384)
    httpd.start()
    httpd.get("/")
    document.settled(httpd)
    # tmpfs goes read-only only when nobody writes: force it as a failing disk does
    subprocess.run(["mount", "-o", "remount,ro", httpd.root / "disk"], check=False)
    for _ in range(3):
        assert httpd.get("/").status == 200
    httpd.reload()
    assert httpd.get("/").status == 200
    httpd.stop()


@pytest.fixture
def write_protected():
    """No descriptor can write to a file any more, not even one that was opened before."""
    files = []

    def protect(path):
        done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"the file system here protects no file: {done.stderr}")
        files.append(path)

    yield protect
    for path in files:
        subprocess.run(["chattr", "-i", path], check=False)


@needs_root
def test_a_stop_while_the_file_cannot_be_written_loses_no_count(new_httpd, write_protected):
    httpd = new_httpd().start()
    for _ in range(3):
        assert httpd.get("/").status == 200
    document.settled(httpd)
    write_protected(httpd.capture)
    for _ in range(4):
        assert httpd.get("/").status == 200
    wait_for(lambda: complaints(httpd, "cannot be written"), 10, "it is said")
    httpd.stop()
    subprocess.run(["chattr", "-i", httpd.capture], check=True)
    httpd.start()
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    wait_for(lambda: len(list(httpd.runtime.glob("*.live"))) == 1, 25, "the last run's region goes")


@needs_root
def test_a_disk_that_hangs_holds_up_no_request_and_no_reload(new_httpd):
    httpd = new_httpd(capture="disk/pmcapture.pmc",
                      pm=QUICK_RULES + "PMCaptureRetention seconds=60s minutes=60m incidents=4 events=64\n")
    disk = Disk(httpd.root / "disk", print)
    if not disk.can_stick:
        disk.close()
        pytest.skip("nothing can be mounted from a loop device here")
    try:
        httpd.start()
        document.settled(httpd)
        with Load(httpd.port) as load:
            fresh = load.stream("/", rate=20)
            with disk.stuck():
                httpd.reload()      # no recorder has met the disk yet
                assert not complaints(httpd, "does not answer")

                def said():
                    httpd.reload()
                    return complaints(httpd, "does not answer")

                wait_for(said, 15, "a reload finds that the disk does not answer")
                assert "does not answer" in page_text(httpd)
                wait_for(lambda: sum(one.status != 200 for one in list(fresh.sent)) < 5, 5, "requests are served")
            sent = fresh.stop()
        assert {one.status for one in sent} == {200}
        # a reload waits 5 s for a recorder that has the file locked, and not for the disk
        assert max(one.end - one.start for one in sent) < room(7)
        httpd.reload()
        wait_for(lambda: "does not answer" not in page_text(httpd), 10, "history is on disk again")
        before = document.settled(httpd), httpd.access_log.totals()
        for _ in range(4):
            assert httpd.get("/").status == 200
        after = document.settled(httpd), httpd.access_log.totals()
        assert document.status_totals(after[0]) - document.status_totals(before[0]) == after[1] - before[1]
        httpd.stop()
    finally:
        httpd.kill()
        disk.close()


def waits_for_disk(httpd):
    """A recorder does, and for longer than a disk that answers takes."""
    for _ in range(4):
        if not any(processes.state(pid) == "D" for pid in httpd.recorders()):
            return False
        time.sleep(0.1)
    return True


@needs_root
@pytest.mark.parametrize("takes_writes", [True, False])
def test_a_disk_that_syncs_nothing_holds_up_no_stop(new_httpd, takes_writes):
    httpd = new_httpd(capture="disk/pmcapture.pmc",
                      pm="PMCaptureRetention seconds=60s minutes=60m incidents=4 events=64\n")
    below = Disk(httpd.root / "below", print)
    disk = Disk(httpd.root / "disk", print, under=below, mib=48)
    if not disk.can_stick:
        disk.close()
        below.close()
        pytest.skip("nothing can be mounted from a loop device here")
    try:
        httpd.start()
        document.settled(httpd)
        parent = httpd.parent
        with (below if takes_writes else disk).stuck():
            wait_for(lambda: waits_for_disk(httpd), 20, "a recorder waits for the disk")
            httpd.send(signal.SIGTERM)
            wait_for(lambda: not processes.alive(parent), 10, "the parent ends")
        httpd.stop()
    finally:
        httpd.kill()
        disk.close()
        below.close()


# ---- shared memory ----

@needs_root
def test_no_shared_memory_to_be_had(new_httpd, small_tmpfs):
    httpd = new_httpd()
    small_tmpfs(httpd.root / "tiny", 16)
    httpd.runtime = httpd.root / "tiny"
    httpd.start()
    assert_serves_and_says(httpd, "tiny", "No space left")


@needs_root
def test_a_runtime_directory_that_is_missing(new_httpd):
    """httpd itself refuses a DefaultRuntimeDir that is missing, but not so its built-in one."""
    httpd = new_httpd()
    httpd.runtime = None
    httpd.prefix = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "-")
    httpd.start()
    assert_serves_and_says(httpd, "/run/apache2")


def test_a_live_region_truncated_without_a_capture_file_is_said_and_made_anew(new_httpd):
    httpd = new_httpd(capture=None).start()
    assert httpd.get("/").status == 200
    [region] = httpd.runtime.glob("*.live")
    os.truncate(region, 0)
    for _ in range(20):
        assert httpd.get("/").status == 200
    wait_for(lambda: complaints(httpd, region.name, "truncated"), 10, "it is said")
    assert "truncated" in page_text(httpd)
    httpd.reload()
    wait_for(lambda: "truncated" not in page_text(httpd), 15, "it is recorded again")
    before = document.from_handler(httpd)["totals"]["requests"]
    for _ in range(5):
        assert httpd.get("/").status == 200
    wait_for(lambda: document.from_handler(httpd)["totals"]["requests"] >= before + 5, 10, "it counts")
    assert not httpd.said("exit signal")


def test_a_live_region_deleted_while_in_use_costs_nothing_that_was_counted(new_httpd):
    httpd = new_httpd().start()
    for _ in range(3):
        httpd.get("/")
    document.settled(httpd)
    regions = list(httpd.runtime.glob("*.live"))
    assert regions
    for region in regions:
        region.unlink()
    for _ in range(4):
        assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    httpd.reload()
    for _ in range(2):
        assert httpd.get("/").status == 200
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


@pytest.mark.parametrize("mpm", ["event", "prefork"])
@pytest.mark.parametrize("length", [0, 4096, 100_000], ids=lambda n: f"to {n}")
def test_a_live_region_truncated_under_load_fails_no_request_and_ends_no_process(
        new_httpd, mpm, length):
    httpd = new_httpd(mpm=mpm).start()
    document.settled(httpd)
    [region] = httpd.runtime.glob("*.live")
    with Load(httpd.port) as load:
        kept = load.stream("/", rate=60, keepalive=4)
        fresh = load.stream("/nothing", rate=30)
        wait_for(lambda: len(kept.sent) > 30, 10, "there is load")
        before = set(httpd.processes())
        os.truncate(region, length)
        wait_for(lambda: len(kept.sent) > 150, 20, "there is load")
        assert before <= set(httpd.processes()), "no process ended"
        wait_for(lambda: complaints(httpd, region.name, "truncated"), 10, "it is said")
        assert "truncated" in page_text(httpd)
        for query in ("?format=json", "?auto", "?format=prometheus", "?format=csv"):
            assert httpd.get("/pm-status" + query).status == 200
        sent = kept.stop() + fresh.stop()
    assert {one.status for one in sent} == {200, 404}
    httpd.reload()
    assert len(list(httpd.runtime.glob("*.live"))) >= 1
    wait_for(lambda: "truncated" not in page_text(httpd), 15, "it is recorded again")
    final = document.settled(httpd)
    counted, logged = document.status_totals(final), httpd.access_log.totals()
    for _ in range(5):
        assert httpd.get("/").status == 200
    final = document.settled(httpd)
    assert document.status_totals(final) - counted == httpd.access_log.totals() - logged
    assert not httpd.said("exit signal")
    assert not document.events(final, "child.crash")
    wait_for(lambda: not region.exists(), 25, "what is left of it goes")
    httpd.stop()
    assert list(httpd.runtime.glob("*.live")) == []


@pytest.mark.parametrize("sig", [signal.SIGBUS, signal.SIGSEGV])
def test_a_worker_that_dies_of_sigbus_of_another_kind_is_told_as_ever(new_httpd, sig):
    httpd = new_httpd().start()
    document.settled(httpd)
    victim = httpd.worker()
    processes.kill(victim, sig)
    wait_for(lambda: httpd.said("AH00052", f"pid {victim}", f"({int(sig)})"), 10, "httpd logs its death")
    wait_for(lambda: document.events(document.from_file(httpd.capture), "child.crash"), 10, "it is an event")


def test_a_sigbus_in_the_parent_is_logged_by_httpd_and_ends_it(new_httpd):
    httpd = new_httpd().start()
    document.settled(httpd)
    for _ in range(2):      # the handler is given back and taken again with each reload
        httpd.reload()
    document.ticked(httpd, 1)
    httpd.send(signal.SIGBUS)
    wait_for(lambda: not processes.alive(httpd.parent), 10, "the parent ends")
    assert httpd.said("seg fault or similar nasty error detected in the parent process")
    httpd.kill()


def test_nobody_but_the_owner_can_write_or_truncate_a_live_region(new_httpd):
    httpd = new_httpd().start()
    [region] = httpd.runtime.glob("*.live")
    assert region.stat().st_mode & 0o777 == 0o640
    assert region.stat().st_uid == os.getuid()


def test_regions_of_dead_runs_do_not_pile_up(new_httpd):
    httpd = new_httpd()
    for _ in range(4):
        httpd.start()
        httpd.get("/")
        httpd.kill()
    httpd.start()
    document.settled(httpd)
    wait_for(lambda: len(list(httpd.runtime.glob("*.live"))) == 1, 25, "old regions go")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
