"""A worker process that was taken over: what it can do, and what it cannot."""
import os
import random
import re
import subprocess
import time
from pathlib import Path

import pytest

from harness import document, processes
from harness.companion import pmcapture
from harness.document import events, pmdump
from harness.load import Load
from harness.wait import wait_for

FORMATS = ("", "?auto", "?format=json", "?format=prometheus", "?format=csv", "?format=json&incident=1")
SECONDS = 4


@pytest.fixture(scope="session")
def scribbler(tmp_path_factory):
    """The LoadModule line of mod_scribbler, built with apxs."""
    folder = tmp_path_factory.mktemp("scribbler")
    source = Path(__file__).with_name("mod_scribbler.c")
    (folder / source.name).write_text(source.read_text())
    done = subprocess.run(["apxs", "-c", source.name], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    folder.chmod(0o755)
    return f"LoadModule scribbler_module {folder}/.libs/mod_scribbler.so"


@pytest.fixture
def server(new_httpd, scribbler):
    httpd = new_httpd(mpm="event", config=f"""
        {scribbler}
        Redirect 503 "/fail"
        <Location "/scribble">
            SetHandler scribble
        </Location>""")
    httpd.start()
    with Load(httpd.port) as load:      # some history, an incident in it
        load.stream("/", rate=30)
        load.stream("/fail", rate=20, count=40).wait()
        document.wait_closed(httpd)
    return httpd


def history(httpd, until=None):
    """What can be told of the past: events, incidents and rows, up to a tick."""
    seen = document.from_file(httpd.capture)
    until = until or seen["tick"]
    times = [row[0] for row in seen["series"]["rows"]]
    return {"events": [(event["seq"], event["at"], event["type"], event["text"])
                       for event in seen["events"]],
            "incidents": [(i["id"], i["onset"], i["requests"], i["errors"])
                          for i in seen["incidents"]],
            "rows": times}


def assert_nothing_erased(before, after):
    for what, lines in before.items():
        missing = [line for line in lines if line not in after[what]]
        assert not missing, f"{what}: {missing[:3]}"


def ticks(httpd):
    return document.from_file(httpd.capture)["tick"]


def assert_recording(httpd):
    tick = ticks(httpd)
    wait_for(lambda: ticks(httpd) > tick + 1, 10, "the recorder goes on")


def assert_tools_work(httpd, region):
    for arguments in (("status",), ("list",), ("events",), ("check",), ("report", "1"),
                      ("export", "--format", "csv")):
        done = pmcapture("-f", httpd.capture, *arguments)
        assert done.returncode in (0, 1, 2), (arguments, done.stderr)
    done = pmdump(region)
    assert done.returncode in (0, 3), done.stderr
    if done.returncode == 0:
        document.parse(done.stdout)
    document.validate(document.from_file(httpd.capture))


def test_bytes_scribbled_over_the_live_region_hurt_nobody(server):
    seed = int(os.environ.get("TORTURE_SEED") or random.randrange(1 << 30))
    print(f"TORTURE_SEED={seed}")
    region = next((server.root / "run").glob("*.live"))
    before, parent, workers = history(server), server.parent, server.workers()
    with Load(server.port) as load:
        streams = [load.stream(path, rate=40) for path in ("/", "/fail", "/nothing")]
        attack = load.stream(f"/scribble?map&seconds={SECONDS}&seed={seed}", rate=1, count=2,
                             timeout=60)
        until = time.monotonic() + SECONDS + 1
        while time.monotonic() < until:
            for query in FORMATS:
                assert server.get("/pm-status" + query).status in (200, 404)
            assert_tools_work(server, region)
        assert all(one.status == 200 for one in attack.wait()), "the attack ran"
        for stream in streams:
            assert all(one.status for one in stream.stop()), "every request was answered"
    assert server.parent == parent and processes.alive(parent)
    assert set(workers) <= set(server.workers()), server.errors()
    assert not server.said("exit signal"), server.errors()
    assert_recording(server)
    server.reload()
    assert_recording(server)
    assert_nothing_erased(before, history(server))
    final = document.from_file(server.capture)
    assert len(events(final, "child.crash")) == 0
    assert final["server"]["state"] == "running"
    server.stop()
    server.start()
    assert_recording(server)
    assert_nothing_erased(before, history(server))


@pytest.mark.skipif(os.getuid() != 0, reason="workers are another user than the parent only when root starts httpd")
def test_a_worker_has_no_descriptor_with_which_history_could_be_read_written_or_stopped(server):
    before = history(server)
    told = server.get("/scribble?descriptors").text.splitlines()
    assert told[-1] == "done"
    assert any(" possible " in line for line in told), "the attack was made"
    ours = [line for line in told if re.search(r"pmcapture[^/]*$", line)]
    assert ours == [], "a worker has no descriptor of history, or of what the parent shares with the recorder"
    assert_recording(server)
    processes.kill(server.writer() or server.recorders()[0])
    assert_recording(server)
    server.reload()
    assert_recording(server)
    assert not server.said("is locked by"), server.errors()
    done = pmcapture("note", "-f", server.capture, "written all the same")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: "written all the same" in [event[3] for event in history(server)["events"]],
             3, "the note is there")
    assert_nothing_erased(before, history(server))
