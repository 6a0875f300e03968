"""What went missing: files that the server needs, and those that change what it serves."""
import json
import os
import shutil
import signal
import time

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, from_file, ticked, wait_for_document
from harness.modules import build_library, build_module, build_module_with_library
from harness.stuck_fs import StuckFs
from harness.wait import COARSE, HELD, MILLISECOND, Span, crowd, room, wait_for

SOON = 10       # seconds from a removal to its event
AS_ROOT = 20    # when only root can see the file
LOOKED = 3      # ticks until each path was looked at: that is done when a recorder begins
AT_REST = 5     # ticks that a look at each path, its confirmation, and an event would take

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root has files that others cannot see")


def settle(httpd):
    """Each path has been looked at."""
    wait_for(httpd.writer, 10, "a recorder has the lease")
    ticked(httpd, LOOKED)


def started(httpd):
    httpd.start()
    settle(httpd)
    return httpd


def of(seen, kind, path):
    """Events of a kind about a path."""
    path = str(path)
    return [event for event in events(seen, kind)
            if event["data"].get("path") == path or path in event["data"].get("files", ())]


def wait_event(httpd, kind, path, limit=SOON, count=1):
    seen = wait_for_document(httpd, lambda d: len(of(d, kind, path)) >= count, limit,
                             f"{kind} of {path}")
    return of(seen, kind, path)[-1]


def missing_count(httpd):
    return from_file(httpd.capture)["server"]["dependency_missing"]


def about(httpd, path):
    """Every word about a path, in order of writing."""
    seen = from_file(httpd.capture)
    return sorted((event["seq"], event["type"]) for event in seen["events"]
                  if str(path) in json.dumps(event["data"]))


def types_about(httpd, path):
    return [kind for _, kind in about(httpd, path)]


def with_library(new_httpd, **options):
    httpd = new_httpd(**options)
    folder = httpd.root / "lib"
    folder.mkdir()
    library, line = build_module_with_library(folder)
    httpd.config += line + "\n"
    return started(httpd), library


def at_once(event, span):
    """The event stands where it happened, not where it was noticed; by the file system's clock, which is coarse."""
    assert span.begin - COARSE <= document.seconds(event["at"]) <= span.end + MILLISECOND, (event, span)


# ---- objects ----

def test_a_removed_library_is_missed_with_the_module_that_needs_it(new_httpd, mpm):
    httpd, library = with_library(new_httpd, mpm=mpm)
    with Span() as removed:
        library.rename(library.with_name("away"))
    event = wait_event(httpd, "dependency.missing", library)
    at_once(event, removed)
    assert event["severity"] == "critical"
    assert [os.path.basename(name) for name in event["data"]["needed_by"]] == ["mod_needy.so"]
    assert "mod_needy.so" in event["text"] and str(library) in event["text"]
    assert missing_count(httpd) == 1
    assert httpd.get("/").status == 200
    document.validate(from_file(httpd.capture))

    library.with_name("away").rename(library)
    event = wait_event(httpd, "dependency.changed", library)
    assert event["data"]["returned"] is True and event["data"]["same"] is True
    wait_for(lambda: missing_count(httpd) == 0, 5, "nothing is missing")
    assert types_about(httpd, library) == ["dependency.missing", "dependency.changed"]


def test_a_missing_module_was_opened_at_run_time(new_httpd):
    httpd = new_httpd()
    httpd.config = build_module(httpd.root, "alone") + "\n"
    started(httpd)
    module = httpd.root / "mod_alone.so"
    module.unlink()
    event = wait_event(httpd, "dependency.missing", module)
    assert event["data"]["needed_by"] == []
    assert "opened at run time" in event["text"]


def test_a_replaced_library_is_a_change_with_both_identities(new_httpd):
    httpd, library = with_library(new_httpd)
    before = library.stat()
    fresh = library.with_name("fresh")
    fresh.write_bytes(library.read_bytes() + b"more")
    fresh.rename(library)
    event = wait_event(httpd, "dependency.changed", library)
    after = library.stat()
    assert event["data"]["from"]["ino"] == before.st_ino
    assert event["data"]["from"]["size"] == before.st_size
    assert event["data"]["to"]["ino"] == after.st_ino
    assert event["data"]["to"]["size"] == after.st_size == before.st_size + 4
    assert event["data"]["from"]["dev"] == event["data"]["to"]["dev"] == after.st_dev
    assert "returned" not in event["data"]
    assert missing_count(httpd) == 0


def test_what_a_package_manager_removes_and_puts_back_at_once_was_never_missing(new_httpd):
    httpd, library = with_library(new_httpd)
    content = library.read_bytes()
    longest = 0
    for _ in range(3):      # as long as dpkg takes between unlinking and renaming, some times over
        fresh = library.with_name(library.name + ".dpkg-new")
        fresh.write_bytes(content)
        gone = time.monotonic()
        library.unlink()
        time.sleep(0.8 / crowd())   # it is gone for so long
        fresh.rename(library)
        longest = max(longest, time.monotonic() - gone)
        time.sleep(0.3)     # and back for so long
    wait_event(httpd, "dependency.changed", library)
    ticked(httpd, AT_REST)
    # on a busy machine it may have been gone for longer than was meant, and then it was missing
    assert types_about(httpd, library) == ["dependency.changed"] or longest > 0.95


def test_a_library_replaced_before_a_reload_that_maps_the_old_one_is_told_as_such(new_httpd):
    httpd = new_httpd()
    library = build_library(httpd.root)
    httpd.environment = {"LD_PRELOAD": str(library)}    # stays mapped whatever is reloaded
    started(httpd)
    fresh = library.with_name("fresh")
    fresh.write_bytes(library.read_bytes())
    fresh.rename(library)
    httpd.reload()
    event = wait_event(httpd, "dependency.changed", library)
    assert "httpd runs on with the old one" in event["text"]
    httpd.reload()
    ticked(httpd, AT_REST)
    assert types_about(httpd, library) == ["dependency.changed"]


def test_a_reload_says_nothing_twice(new_httpd):
    httpd = new_httpd()
    watched = httpd.root / "watched"
    watched.write_text("one")
    httpd.pm += f"PMCaptureWatch {watched}\n"
    started(httpd)
    (httpd.root / "conf/httpd.conf").open("a").write("# edited\n")
    watched.unlink()
    wait_event(httpd, "dependency.missing", watched)
    wait_event(httpd, "config.drift", httpd.conf)
    for _ in range(3):      # some generations have no time to look at anything
        httpd.reload()
    wait_event(httpd, "config.drift", httpd.conf, count=2)
    ticked(httpd, LOOKED)
    httpd.reload(signal.SIGHUP)
    ticked(httpd, AT_REST)
    assert missing_count(httpd) == 1
    assert types_about(httpd, watched) == ["dependency.missing"]
    drift = of(from_file(httpd.capture), "config.drift", httpd.conf)
    assert [event["data"]["resolved"] for event in drift] == [False, True]
    watched.write_text("two")
    assert wait_event(httpd, "dependency.changed", watched)["data"]["returned"] is True


def test_a_recorder_that_dies_says_nothing_twice(new_httpd):
    httpd, library = with_library(new_httpd)
    library.unlink()
    wait_event(httpd, "dependency.missing", library)
    writer = wait_for(httpd.writer, 10, "a recorder has the lease")
    processes.kill(writer)
    wait_for(lambda: httpd.writer() not in (None, writer), 10, "another recorder has the lease")
    ticked(httpd, AT_REST)
    assert types_about(httpd, library) == ["dependency.missing"]
    assert missing_count(httpd) == 1


@pytest.mark.parametrize("ends", ["stopped", "killed"])
def test_the_next_run_says_that_what_was_missing_is_back(new_httpd, ends):
    httpd, library = with_library(new_httpd)
    content = library.read_bytes()
    library.unlink()
    wait_event(httpd, "dependency.missing", library)
    httpd.stop() if ends == "stopped" else httpd.kill()
    assert httpd.command().returncode != 0, "without its library it does not start"
    library.write_bytes(content)
    httpd.start()
    event = wait_event(httpd, "dependency.changed", library)
    assert event["data"]["returned"] is True
    wait_for(lambda: missing_count(httpd) == 0, 5, "nothing is missing")


def test_a_missing_library_that_is_needed_no_more_is_over(new_httpd):
    httpd, library = with_library(new_httpd)
    library.unlink()
    wait_event(httpd, "dependency.missing", library)
    httpd.conf.write_text("\n".join(line for line in httpd.conf.read_text().splitlines()
                                    if "needy_module" not in line) + "\n")
    httpd.reload()
    assert wait_event(httpd, "dependency.changed", library)["data"]["returned"] is False
    wait_for(lambda: missing_count(httpd) == 0, 5, "nothing is missing")


def test_the_companion_and_the_metrics_say_what_is_missing(new_httpd):
    httpd, library = with_library(new_httpd)
    library.unlink()
    wait_event(httpd, "dependency.missing", library)
    metrics = httpd.get("/pm-status?format=prometheus").text
    assert "\npmcapture_dependency_missing 1\n" in metrics
    assert "DependencyMissing: 1" in httpd.get("/pm-status?auto").text
    for command in ("status", "check"):
        assert b"missing" in pmcapture(command, "-f", httpd.capture).stdout, command
    said = pmcapture("events", "--type", "dependency.missing", "-f", httpd.capture).stdout.decode()
    assert library.name in said and "mod_needy.so" in said


# ---- what only root can see ----

@needs_root
def test_a_file_that_only_root_can_see_is_missed_within_twenty_seconds(new_httpd):
    httpd = new_httpd()
    folder = httpd.root / "private"
    folder.mkdir(mode=0o700)
    (folder / "key.pem").write_text("secret")
    httpd.pm += f"PMCaptureWatch {folder}/key.pem\n"
    started(httpd)
    with Span() as removed:
        (folder / "key.pem").unlink()
    at_once(wait_event(httpd, "dependency.missing", folder / "key.pem", AS_ROOT), removed)
    assert time.time() - removed.end < room(AS_ROOT)
    (folder / "key.pem").write_text("another secret")
    event = wait_event(httpd, "dependency.changed", folder / "key.pem", AS_ROOT)
    assert event["data"]["returned"] is True
    assert types_about(httpd, folder / "key.pem") == ["dependency.missing", "dependency.changed"]
    assert not httpd.said("AH00488")


@needs_root
def test_permission_denied_is_not_missing(new_httpd):
    httpd = new_httpd()
    folder = httpd.root / "open"
    folder.mkdir()
    (folder / "file").write_text("as it was")
    httpd.pm += f"PMCaptureWatch {folder}/file\n"
    started(httpd)
    folder.chmod(0o700)
    ticked(httpd, AT_REST)
    (folder / "file").write_text("changed")
    wait_event(httpd, "file.changed", folder / "file", AS_ROOT)     # root was asked, and said no more than this
    folder.chmod(0o755)
    ticked(httpd, AT_REST)
    assert types_about(httpd, folder / "file") == ["file.changed"]


def test_a_certificate_that_goes_is_missed_with_the_directive_that_names_it(new_httpd):
    from harness.tls import make_certificate
    httpd = new_httpd(modules=("ssl", "socache_shmcb"))
    make_certificate(httpd.root)
    certificate, key = httpd.root / "tls.crt", httpd.root / "tls.key"
    httpd.config = (f"<VirtualHost 127.0.0.1:{httpd.port}>\nSSLCertificateFile {certificate}\n"
                    f"SSLCertificateKeyFile {key}\n</VirtualHost>\n")
    started(httpd)
    os.unlink(certificate)
    event = wait_event(httpd, "dependency.missing", certificate)
    assert "SSLCertificateFile" in event["text"] and event["data"]["needed_by"] == []
    assert f"{httpd.conf}:" in event["data"]["named_by"]


# ---- configuration ----

def test_an_edited_configuration_file_drifts_until_it_is_as_it_runs(new_httpd):
    httpd = started(new_httpd())
    running = httpd.conf.read_text()
    with Span() as edited:
        httpd.conf.write_text(running + "# an edit\n")
    event = wait_event(httpd, "config.drift", httpd.conf)
    at_once(event, edited)
    assert event["data"]["resolved"] is False and event["data"]["files"] == [str(httpd.conf)]
    httpd.conf.write_text(running)
    event = wait_event(httpd, "config.drift", httpd.conf, count=2)
    assert event["data"]["resolved"] is True
    fresh = httpd.conf.with_name("fresh")
    fresh.write_text(running)
    fresh.rename(httpd.conf)        # the same content by another file is the same configuration
    ticked(httpd, AT_REST)
    assert types_about(httpd, httpd.conf) == ["config.drift", "config.drift"]


def test_a_file_that_an_include_would_read_is_a_drift_too(new_httpd):
    httpd = new_httpd()
    sites = httpd.root / "sites"
    sites.mkdir()
    (sites / "one.conf").write_text("# one\n")
    httpd.config = f"Include {sites}/*.conf\n"
    started(httpd)
    (sites / "notes.txt").write_text("not read\n")
    (sites / "two.conf").write_text("# two\n")
    event = wait_event(httpd, "config.drift", sites / "*.conf")
    assert event["data"]["resolved"] is False
    (sites / "one.conf").unlink()
    wait_event(httpd, "dependency.missing", sites / "one.conf")
    httpd.reload()
    assert wait_event(httpd, "config.drift", sites / "*.conf", count=2)["data"]["resolved"] is True


# ---- what changes at once ----

@pytest.mark.parametrize("edit", ["broken", "sound"])
def test_an_htaccess_file_that_failing_requests_read_is_named(new_httpd, edit):
    httpd = new_httpd()
    folder = httpd.root / "htdocs/app"
    folder.mkdir()
    (folder / "page.html").write_text("it works\n")
    (folder / ".htaccess").write_text('Header set X-App "one"\n')
    httpd.config = (f'<Directory "{folder}">\nAllowOverride All\n</Directory>\n'
                    f'<Directory "{httpd.root}/sorry">\nAllowOverride All\n'
                    'Require all granted\n</Directory>\n'
                    f'Alias "/sorry" "{httpd.root}/sorry"\nErrorDocument 500 /sorry/page.html\n')
    (httpd.root / "sorry").mkdir()
    (httpd.root / "sorry/page.html").write_text("sorry\n")
    started(httpd)
    assert httpd.get("/app/page.html").status == 200
    with Span() as edited:
        (folder / ".htaccess").write_text({"broken": "NoSuchDirective\n",
                                           "sound": "Redirect 503 /app/page.html\n"}[edit])
    assert httpd.get("/app/page.html").status == {"broken": 500, "sound": 503}[edit]
    event = wait_event(httpd, "file.changed", folder / ".htaccess")
    at_once(event, edited)
    assert types_about(httpd, folder / ".htaccess") == ["file.changed"]
    (folder / ".htaccess").unlink()
    event = wait_event(httpd, "file.changed", folder / ".htaccess", count=2)
    assert "removed" in event["text"]


def test_htaccess_files_of_requests_that_succeed_are_not_watched(new_httpd):
    httpd = new_httpd()
    (httpd.root / "htdocs/.htaccess").write_text('Header set X-App "one"\n')
    httpd.config = f'<Directory "{httpd.root}/htdocs">\nAllowOverride All\n</Directory>\n'
    started(httpd)
    for _ in range(5):
        assert httpd.get("/").status == 200
    (httpd.root / "htdocs/.htaccess").write_text('Header set X-App "two"\n')
    ticked(httpd, AT_REST)
    assert types_about(httpd, httpd.root / "htdocs/.htaccess") == []


def test_a_new_file_at_the_top_of_document_root_is_a_deployment(new_httpd):
    httpd = started(new_httpd())
    with Span() as deployed:
        httpd.document("release.txt")
    changed = wait_event(httpd, "file.changed", httpd.root / "htdocs")
    at_once(changed, deployed)
    assert changed["data"]["fresh"] == "release.txt" and changed["text"].endswith("; new in it: release.txt")


def test_an_old_file_that_is_moved_into_document_root_is_not_called_new(new_httpd):
    httpd = new_httpd()
    (httpd.root / "old").write_text("old")
    started(httpd)
    time.sleep(1)
    (httpd.root / "htdocs/index.html").write_text("edited just then")
    (httpd.root / "old").rename(httpd.root / "htdocs/old")
    assert "fresh" not in wait_event(httpd, "file.changed", httpd.root / "htdocs")["data"]


def test_what_comes_and_goes_in_document_root_is_no_deployment(new_httpd):
    httpd = started(new_httpd())
    longest = 0
    for _ in range(30):
        begin = time.monotonic()
        httpd.document("lock").unlink()
        longest = max(longest, time.monotonic() - begin)
        time.sleep(0.1)     # as often as an editor's or a job's lock comes and goes
    ticked(httpd, AT_REST)
    # on a busy machine it may have been there for longer than was meant, and then it was deployed
    assert types_about(httpd, httpd.root / "htdocs") == [] or longest > 0.95


def test_a_switched_link_says_where_it_points_now(new_httpd):
    httpd = new_httpd()
    for release in ("release-1", "release-2"):
        (httpd.root / release).mkdir()
    current = httpd.root / "current"
    current.symlink_to("release-1")
    httpd.config = f'Alias "/app" "{current}"\n'
    started(httpd)
    fresh = httpd.root / "fresh"
    fresh.symlink_to("release-2")
    fresh.rename(current)
    event = wait_event(httpd, "file.changed", current)
    assert "now points to release-2 (before: release-1)" in event["text"]
    assert "Alias" in event["text"] and event["data"]["link"] == "release-2"


def test_a_folder_that_changes_all_the_time_is_no_flood(new_httpd):
    httpd = started(new_httpd())
    begin = time.monotonic()
    for number in range(60):
        httpd.document(f"file-{number}")
        time.sleep(0.5)     # half a minute of it
    wait_event(httpd, "file.changed", httpd.root / "htdocs")
    told = len(types_about(httpd, httpd.root / "htdocs"))
    assert told <= 4 + (time.monotonic() - begin) / 30


# ---- PMCaptureWatch ----

def test_watched_paths_are_files_and_folders_from_server_root_on(new_httpd):
    httpd = new_httpd()
    (httpd.root / "data").mkdir()
    (httpd.root / "data/list.txt").write_text("one")
    httpd.pm += "PMCaptureWatch data/list.txt data/\nPMCaptureWatch later\n"
    started(httpd)
    assert httpd.said("PMCaptureWatch", "later", "does not exist")
    (httpd.root / "data/list.txt").write_text("one, two")
    assert "edited" in wait_event(httpd, "file.changed", httpd.root / "data/list.txt")["text"]
    (httpd.root / "data/fresh").write_text("three")
    (httpd.root / "data/fresh").rename(httpd.root / "data/list.txt")
    event = wait_event(httpd, "dependency.changed", httpd.root / "data/list.txt")
    assert "replaced" in event["text"] and event["data"]["from"]["ino"] != event["data"]["to"]["ino"]
    wait_event(httpd, "file.changed", httpd.root / "data")
    (httpd.root / "later").write_text("now")
    assert "appeared" in wait_event(httpd, "file.changed", httpd.root / "later")["text"]
    shutil.rmtree(httpd.root / "data")
    wait_event(httpd, "dependency.missing", httpd.root / "data")
    wait_event(httpd, "dependency.missing", httpd.root / "data/list.txt")


def test_a_fifo_is_looked_at_and_never_opened(new_httpd):
    httpd = new_httpd()
    os.mkfifo(httpd.root / "pipe")
    httpd.pm += f"PMCaptureWatch {httpd.root}/pipe\n"
    started(httpd)
    (httpd.root / "pipe").unlink()
    wait_event(httpd, "dependency.missing", httpd.root / "pipe")


@pytest.mark.parametrize("arguments,complaint", [
    ("", "PMCaptureWatch requires at least one argument, further files or folders"),
    ("x" * 600, "xxx' is not accepted: give the path of a file or folder, at most 511 bytes long"),
])
def test_a_bad_path_to_watch_is_refused_with_a_sentence(new_httpd, arguments, complaint):
    httpd = new_httpd()
    httpd.pm += f"PMCaptureWatch {arguments}\n"
    httpd.write_config()
    done = httpd.command("-t")
    assert done.returncode != 0 and complaint in done.output, done.output


def test_more_paths_than_can_be_watched_are_said(new_httpd):
    httpd = new_httpd()
    httpd.pm += "".join(f"PMCaptureWatch {httpd.root}/file-{n}\n" for n in range(1100))
    httpd.start()
    wait_for(lambda: httpd.said("more files than the 1024 that can be watched are not watched"), 20, "it is said")
    assert httpd.get("/").status == 200


# ---- a file system that does not answer ----

@pytest.fixture
def stuck_httpd(new_httpd):
    httpd = new_httpd()
    folder = httpd.root / "mount"
    folder.mkdir()
    try:
        mount = StuckFs(folder)
    except OSError as problem:
        pytest.skip(f"FUSE cannot be mounted: {problem}")
    httpd.config = build_module(httpd.root, "alone") + "\n"
    httpd.pm += f"PMCaptureWatch {folder} {folder}/file\n"
    yield httpd, mount
    mount.close()       # first: what hangs in it cannot be ended
    processes.kill_marked(httpd.marker, first=httpd.parent)


def tick(httpd):
    return from_file(httpd.capture)["tick"]


def assert_ticks_every_second(httpd, seconds):
    """Never twice as long as a busy machine may hold up a process does no tick come."""
    last, changed = tick(httpd), time.monotonic()
    end = last + seconds
    while last < end:
        time.sleep(0.2)
        now = tick(httpd)
        if now != last:
            last, changed = now, time.monotonic()
        assert time.monotonic() - changed < room(1 + HELD), "ticks stopped"


def test_a_stuck_file_system_stops_no_tick_and_is_said_once(stuck_httpd):
    httpd, mount = stuck_httpd
    started(httpd)
    mount.stuck.set()
    wait_for(mount.held.is_set, 10, "the watch hangs")
    assert_ticks_every_second(httpd, 13)
    said = [event for event in events(from_file(httpd.capture), "note")
            if "cannot be looked at" in event["text"]]
    assert len(said) == 1 and str(httpd.root / "mount") in said[0]["text"]
    module = httpd.root / "mod_alone.so"
    module.rename(module.with_name("away"))
    wait_event(httpd, "dependency.missing", module)     # the others are watched on
    module.with_name("away").rename(module)
    httpd.reload()
    assert_ticks_every_second(httpd, 4)


def test_a_recorder_whose_watch_hangs_in_the_kernel_can_still_be_replaced(stuck_httpd):
    httpd, mount = stuck_httpd
    started(httpd)
    mount.stuck.set()
    wait_for(mount.held.is_set, 10, "the watch hangs")
    writer = wait_for(httpd.writer, 10, "a recorder has the lease")
    before = tick(httpd)
    processes.kill(writer)
    wait_for(lambda: httpd.writer() not in (None, writer), 5, "another recorder has the lease")
    wait_for(lambda: tick(httpd) > before + 1, 5, "recording goes on")
    parent = httpd.parent
    httpd.send(signal.SIGTERM)
    wait_for(lambda: not processes.alive(parent), 15, "the parent ends")
    assert httpd.port_is_free()


def test_a_file_system_that_hangs_from_the_start_does_not_hold_up_httpd(stuck_httpd):
    httpd, mount = stuck_httpd
    mount.stuck.set()
    begin = time.monotonic()
    httpd.start()
    assert time.monotonic() - begin < room(8)
    assert httpd.get("/").status == 200
    httpd.reload()
    assert httpd.get("/").status == 200
    assert_ticks_every_second(httpd, 4)
