# Licensed under the Apache License, Version 2.0; see LICENSE.
"""events, and following them."""
import json
import select
import signal
import subprocess

import builder
import pytest
from conftest import SCRIPT, environment


def seqs(done):
    return [int(line.split()[2]) for line in done.stdout.splitlines()]


def test_events_are_printed_in_order_with_time_number_type_and_text(pmcapture, saved):
    done = pmcapture("events", "-f", saved)
    assert seqs(done) == [1, 2, 41, 42, 43, 44, 45, 46] and done.returncode == 0
    first = done.stdout.splitlines()[0].split(maxsplit=4)
    assert first[:2] == ["2026-11-19", "21:30:05.123Z"] and first[3] == "server.start"


@pytest.mark.parametrize(
    "words, expected",
    [
        (["--type", "config.reload"], [42, 45]),
        (["--type", "config.reload", "--type", "server.start"], [1, 42, 45]),
        (["-t", "config"], [2, 41, 42, 45]),
        (["-t", "incident.*"], [43, 46]),
        (["-n", "2"], [45, 46]),
        (["-n", "2", "-r"], [46, 45]),
        (["-n", "0"], []),
        (["--since", "2026-11-20T21:30:00Z", "--until", "2026-11-20T21:31:00Z"], [43, 44]),
    ],
)
def test_events_are_chosen_by_type_number_and_time(pmcapture, saved, words, expected):
    assert seqs(pmcapture("events", "-f", saved, *words)) == expected
    found = json.loads(pmcapture("events", "-f", saved, "--json", *words).stdout)
    assert [e["seq"] for e in found["events"]] == expected


def test_a_type_that_does_not_occur_names_those_that_do(pmcapture, saved):
    done = pmcapture("events", "-f", saved, "--type", "cofig")
    assert done.returncode == 1 and "no event of type cofig" in done.stderr
    assert "config.reload" in done.stderr


@pytest.mark.parametrize("words", [[], ["--since", "2026-11-20T21:00:00Z"], ["--json"], ["-t", "config"]])
def test_events_whose_time_cannot_be_read_are_an_error_and_no_empty_record(pmcapture, save, words):
    path = save(events=[{**event, "at": "soon"} for event in builder.events()])
    done = pmcapture("events", "-f", path, *words)
    assert done.returncode == 3 and "no event" not in done.stderr
    assert "the events that cannot be read" in done.stderr


def test_an_event_whose_time_cannot_be_read_is_counted_beside_the_others(pmcapture, save):
    first, *others = builder.events()
    path = save(events=[{**first, "at": "2026-W47-5T21:30:05Z"}, *others])
    for words in ([], ["--since", "2026-11-19T00:00:00Z"]):
        done = pmcapture("events", "-f", path, *words)
        assert done.returncode == 0 and len(seqs(done)) == len(others)
        assert "1 event of the document cannot be read" in done.stderr


@pytest.fixture
def follower(save):
    path = save()
    children = []

    def start(*words):
        child = subprocess.Popen(
            [str(SCRIPT), "events", "-f", str(path), "--follow", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            bufsize=0,
            # `nohup make check &` has it ignored
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        children.append(child)
        return child, path

    yield start
    for child in children:
        child.kill()
        child.wait()


def line(stream):
    ready, _, _ = select.select([stream], [], [], 20)
    assert ready, "nothing came in 20 s"
    return stream.readline().decode()


def test_following_prints_what_was_written_meanwhile_once_however_late_its_time(follower, save):
    child, path = follower("-n", "1")
    assert " 46 " in line(child.stdout)
    late = builder.event(47, -30, "child.crash", "drained from a run that died", "warning")
    save(events=sorted([*builder.events(), late], key=lambda e: e["at"]))
    assert " 47 " in line(child.stdout)
    save(events=[*builder.events(), builder.event(48, 300, "note", "rolled back")])
    assert " 48 " in line(child.stdout)
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=20) == 0 and child.stderr.read() == b""


def test_following_waits_for_a_source_that_is_gone_for_a_while(follower, save):
    child, path = follower("-n", "1", "--json")
    assert json.loads(line(child.stdout))["seq"] == 46
    aside = path.rename(path.with_suffix(".aside"))
    assert "still trying" in line(child.stderr)
    aside.unlink()
    save(events=[*builder.events(), builder.event(47, 300, "server.start", "back")])
    found = json.loads(line(child.stdout))
    assert found["seq"] == 47 and found["at"] == builder.after(300)


def test_following_begins_with_the_last_ten(follower, save):
    many = [builder.event(n, n, "note", "one of many") for n in range(1, 31)]
    save(events=many)
    child, _ = follower()
    assert [int(line(child.stdout).split()[2]) for _ in range(10)] == list(range(21, 31))


def test_follow_with_an_end_is_a_usage_error(pmcapture, saved):
    for words in (["--until", "now"], ["--reverse"], ["-f", "-"]):
        assert pmcapture("events", "-f", saved, "--follow", *words).returncode == 2
