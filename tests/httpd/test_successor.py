"""What the parent keeps from one configuration to the next, and what it does with it when the next one is another."""
import os
import signal

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events
from harness.paths import RECORDER
from harness.wait import wait_for


def reload_without(httpd):
    """A reload in which the module's lines are gone."""
    module, httpd.module = httpd.module, None
    httpd.write_config()
    httpd.reload()
    return module


def ours(pid):
    """Descriptors and mappings of the module's in a process."""
    names = [os.path.basename(name) for name in processes.descriptors(pid).values()]
    held = [name for name in names if "pmcapture" in name and "scoreboard" not in name]
    mapped = [line for line in processes.mappings(pid) if "pmcapture" in os.path.basename(line)
              and "scoreboard" not in line]
    sockets = [name for name in processes.descriptors(pid).values() if name.startswith("socket:")]
    return held, mapped, len(sockets)


def test_a_reload_that_takes_the_module_away_leaves_workers_nothing_of_it(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm)
    httpd.pm += f"PMCaptureListen unix:{httpd.root}/run/pages\n"
    plain = new_httpd(mpm=mpm, module=None)
    plain.start()
    wait_for(lambda: plain.workers(), 10, "workers")
    sockets = ours(plain.worker())[2]
    httpd.start()
    httpd.get("/")
    document.ticked(httpd, 1)
    before = set(httpd.workers())
    reload_without(httpd)
    wait_for(lambda: not before & set(httpd.workers()) and httpd.workers(), 30, "workers of the new generation alone")
    assert httpd.get("/").status == 200
    worker = httpd.worker()
    held, mapped, number = ours(worker)
    assert held == [] and mapped == [], "none of its memory"
    assert number == sockets, "and none of its sockets"
    assert ours(httpd.parent)[0] == []


def test_httpd_that_runs_on_without_the_module_is_not_called_stopped(new_httpd):
    httpd = new_httpd().start()
    httpd.get("/")
    document.settled(httpd)
    module = reload_without(httpd)
    found = document.wait_for_document(httpd, lambda d: d["server"]["unloaded"], 20, "it is said")
    assert found["server"]["state"] == "unknown"
    assert any("runs on without it" in notice for notice in found["capture"]["notices"])
    assert events(found, "config.drift", "server.stop", "incident.open") == []
    screen = pmcapture("status", "-f", httpd.capture).stdout.decode()
    assert "httpd runs on without the module since" in screen and "in order" not in screen
    check = pmcapture("check", "-f", httpd.capture)
    assert check.returncode == 3 and b"runs on without the module" in check.stdout
    wait_for(lambda: not httpd.recorders(), 10, "its recorder leaves")
    httpd.module = module
    httpd.write_config()
    httpd.replace()
    httpd.get("/")
    found = document.wait_for_document(httpd, lambda d: d["totals"]["requests"] >= 2, 20, "it counts again")
    assert found["server"]["state"] == "running" and found["server"]["unloaded"] is None
    assert found["incidents"] == []


def test_another_capture_file_begins_with_nothing_of_the_last_one(new_httpd, mpm):
    httpd = new_httpd(mpm=mpm).start()
    for _ in range(7):
        httpd.get("/")
    document.settled(httpd)
    first = httpd.capture
    httpd.capture_directive = "logs/second.pmc"
    httpd.write_config()
    httpd.replace()
    for _ in range(3):
        httpd.get("/")
    found = document.wait_for_document(httpd, lambda d: d["totals"]["requests"] >= 3, 20, "three are counted")
    found = document.ticked(httpd, 2)
    assert found["totals"]["requests"] == 3
    assert document.from_file(first)["totals"]["requests"] == 7
    httpd.stop()
    httpd.capture_directive = "logs/pmcapture.pmc"
    httpd.start()
    httpd.get("/")
    assert document.wait_for_document(httpd, lambda d: d["totals"]["requests"] >= 8, 20,
                                      "and goes on")["totals"]["requests"] == 8


def test_what_was_kept_in_memory_goes_on_in_a_file(new_httpd):
    httpd = new_httpd(capture=None).start()
    for _ in range(4):
        httpd.get("/")
    httpd.capture_directive = "logs/pmcapture.pmc"
    httpd.write_config()
    httpd.reload()
    httpd.get("/")
    document.wait_for_document(httpd, lambda d: d["totals"]["requests"] == 5, 20, "all are counted")


def test_a_live_region_that_somebody_removed_is_recorded_to_its_end(new_httpd, mpm):
    """Its recorder is killed, too: the next one cannot find it by its name."""
    httpd = new_httpd(mpm=mpm).start()
    httpd.get("/")
    document.ticked(httpd, 1)
    region, = (httpd.root / "run").glob("*.live")
    region.unlink()
    for pid in httpd.recorders():
        processes.kill(pid)
    for _ in range(5):
        assert httpd.get("/").status == 200
    wait_for(httpd.writer, 20, "another recorder has the lease")
    document.wait_for_document(httpd, lambda d: d["totals"]["requests"] >= 6, 20, "nothing is lost")
    for pid in httpd.recorders():
        processes.kill(pid)
    httpd.get("/")
    httpd.reload()      # a new region; the removed one is counted to its end
    httpd.get("/")
    found = document.wait_for_document(httpd, lambda d: d["totals"]["requests"] >= 8, 20, "nor at the reload")
    assert found["totals"]["requests"] == 8


def test_another_recorder_program_takes_over_at_the_reload_that_names_it(new_httpd):
    httpd = new_httpd().start()
    document.ticked(httpd, 1)
    other = httpd.root / "pmrecorder-other"
    other.write_bytes(RECORDER.read_bytes())
    other.chmod(0o755)
    httpd.pm += f"PMCaptureRecorder {other}\n"
    httpd.write_config()
    httpd.get("/")
    httpd.reload()
    wait_for(lambda: {os.readlink(f"/proc/{pid}/exe") for pid in httpd.recorders()} == {str(other)}, 10,
             "the other program alone runs")
    httpd.reload(signal.SIGHUP)
    httpd.get("/")
    document.ticked(httpd, 2)
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()
    assert not httpd.said("AH00488")


def test_a_daemon_that_another_module_forks_has_nothing_of_the_recorders(new_httpd, mpm):
    """mod_cgid forks its daemon anew with each reload, from a parent that has a recorder by then."""
    httpd = new_httpd(mpm=mpm, modules=("cgid",), config="ScriptSock cgisock\n").start()
    httpd.get("/")
    document.ticked(httpd, 1)
    first, = wait_for(lambda: cgid_daemon(httpd), 10, "mod_cgid's daemon")
    sockets = ours(first)[2]
    httpd.reload()
    second, = wait_for(lambda: [pid for pid in cgid_daemon(httpd) if pid != first], 10, "the next one")
    held, _, number = ours(second)
    assert (held, number) == ([], sockets)
    document.ticked(httpd, 2)
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def test_a_daemon_that_is_forked_while_httpd_serves_has_none_of_the_files(new_httpd):
    """mod_cgid's daemon is forked anew when it has died, from a parent that holds the capture file."""
    config = "ScriptSock cgisock\nPMCaptureEventLog logs/events.jsonl\n"
    httpd = new_httpd(modules=("cgid",), config=config).start()
    document.ticked(httpd, 1)
    first, = wait_for(lambda: cgid_daemon(httpd), 10, "mod_cgid's daemon")
    processes.kill(first, signal.SIGTERM)
    second, = wait_for(lambda: [pid for pid in cgid_daemon(httpd) if pid != first], 30, "the next one")
    files = set(processes.descriptors(second).values())
    parent = set(processes.descriptors(httpd.parent).values())
    ours = {str(httpd.capture), str(httpd.root / "logs/events.jsonl")}
    assert ours <= parent and not ours & files
    httpd.get("/")
    assert document.status_totals(document.settled(httpd)) == httpd.access_log.totals()


def cgid_daemon(httpd):
    return [pid for pid in httpd.workers() if any("cgisock" in path for path in sockets_of(pid))]


def sockets_of(pid):
    """Paths of the Unix sockets that a process holds."""
    held = {name for name in processes.descriptors(pid).values() if name.startswith("socket:")}
    lines = [line.split() for line in open("/proc/net/unix").read().splitlines()[1:]]
    return [fields[7] for fields in lines if len(fields) > 7 and f"socket:[{fields[6]}]" in held]
