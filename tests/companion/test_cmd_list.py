# Licensed under the Apache License, Version 2.0; see LICENSE.
"""list and show."""
import json
import os
import pty
import subprocess

import builder
import pytest
from conftest import SCRIPT, environment


def test_list_has_a_row_for_each_incident_and_the_newest_last(pmcapture, saved):
    lines = pmcapture("list", "-f", saved).stdout.splitlines()
    assert lines[0].split()[:3] == ["ID", "STATE", "ONSET"]
    assert [line.split()[0] for line in lines[1:]] == ["6", "7"]
    assert lines[2].split()[1:4] == ["closed", "2026-11-20", "21:30:05"]


def test_list_shows_the_local_onset_beside_utc(pmcapture, saved):
    out = pmcapture("list", "-f", saved, "--tz", "Africa/Lagos").stdout
    assert "2026-11-20 21:30:05  2026-11-20 22:30:05" in out and "ONSET (Africa/Lagos)" in out


@pytest.mark.parametrize(
    "bounds, ids",
    [
        ([], [6, 7]),
        (["--since", "2026-11-20T21:32:00Z"], [7]),
        (["--since", "2026-11-20T21:33:00Z"], []),
        (["--until", "2026-11-20T21:00:00Z"], [6]),
        (["--since", "2026-11-20T19:31:00Z", "--until", "2026-11-20T21:30:06Z"], [6, 7]),
    ],
)
def test_an_incident_is_listed_when_a_part_of_it_is_within_the_bounds(
    pmcapture, saved, bounds, ids
):
    done = pmcapture("list", "-f", saved, "--json", *bounds)
    assert [i["id"] for i in json.loads(done.stdout)["incidents"]] == ids
    assert done.returncode == (0 if ids else 1)


def test_an_empty_list_is_said_and_exits_with_1(pmcapture, save):
    done = pmcapture("list", "-f", save(incidents=[]))
    assert (done.returncode, done.stdout) == (1, "") and "no incident on record" in done.stderr


def test_show_names_every_part_of_the_incident(pmcapture, saved):
    out = pmcapture("show", "7", "-f", saved).stdout
    for words in (
        "Incident 7, closed: 503 errors and slow requests on api.example.org:80",
        "1204 of 8310 requests (14 %) failed, most with 503; 37 of 8310 requests (0.4 %) were slow on "
        "api.example.org:80 in 2 min 12 s; about 312 of 1050 clients (30 %) met an error.",
        "21:29:50.923        −14 s  config.changed",
        "(event 41)",
        '+ ProxyPass "/api" "http://127.0.0.1:9001/" '
        "(VirtualHost *:80, /etc/apache2/sites-enabled/api.conf:14)",
        "1. config.changed: ProxyPass /api now points to",
        "evidence: event 41 and 42",
        "traffic surge: 62.8 requests a second",
        "refused: 1190, timeout: 14",
        "not counted",
        "POST api.example.org/api/login",
        "The recorder closed it at 2026-11-20 21:33:18 UTC, event 46.",
    ):
        assert words in out, (words, out)


def test_the_first_screen_says_what_failed_for_whom_where_and_the_first_candidate(pmcapture, saved):
    first = "\n".join(pmcapture("show", "7", "-f", saved).stdout.splitlines()[:17])
    for words in (
        "Incident 7, closed: 503 errors",
        "from 2026-11-20 21:30:05 UTC",
        "1204 of 8310 requests (14 %) failed",
        "about 312 of 1050 clients (30 %) met an error.",
        "Where, of all failures: virtual host api.example.org:80 (100 %), route /api/login (91 %), "
        "Host api.example.org (100 %), backend http://127.0.0.1:9001 (100 %; refused: 1190, timeout: 14).",
        "The nearest change before it came 14 s before the onset",
        "1. config.changed: ProxyPass /api now points to",
        "traffic surge: 62.8 requests",
        "Not cleared: single client, configuration, deployment, backend, workers and machine.",
        "Not watched: crashes: worker processes were not watched.",
    ):
        assert words in first, (words, first)
    assert first.count("ProxyPass /api now") == 1


def test_a_change_just_after_the_last_failure_is_named_as_what_may_have_ended_it(pmcapture, save):
    back = builder.event(50, 133, "config.changed", "ServerAlias removed")
    out = pmcapture("show", "-f", save(events=[*builder.events(), back])).stdout
    assert "A change came 0.6 s after the last failure: ServerAlias removed (event 50)." in out


def test_a_reload_that_changed_nothing_is_not_what_changed_before_the_end(pmcapture, save):
    idle = {**builder.event(49, 60, "config.reload", "The configuration was loaded again: nothing changed"),
            "data": {"changes": 0}}
    out = pmcapture("show", "-f", save(incidents=[builder.incident(changes=[idle])])).stdout
    assert "The last change before the end" not in out
    assert "The record names no change while it lasted" in out


def test_what_no_half_of_the_failures_share_is_not_said_of_them_all(pmcapture, save):
    parts = {**builder.incident()["breakdown"], "vhost": [], "host": [], "backend": []}
    parts["route"] = [{"key": f"/r{n}", "requests": None, "errors": 400} for n in range(3)]
    out = pmcapture("show", "-f", save(incidents=[builder.incident(breakdown=parts)])).stdout
    assert "Where, of all" not in out and "/r0" in out


QUIET = {"seconds": 12.1, "since": "2026-11-20T21:39:52.000Z", "closes_after": 60,
         "summary": "nothing has failed for 12 s (closes after 1 min)"}


def test_what_is_open_while_nothing_fails_says_so_on_every_screen(pmcapture, save):
    saved = save(incidents=[{**builder.still_open(), "quiet": QUIET}])
    assert "Since 2026-11-20 21:39:52 UTC, nothing has failed for 12 s (closes after 1 min)." in pmcapture(
        "show", "-f", saved).stdout
    assert "; nothing has failed for 12 s (closes after 1 min) (pmcapture show 7)" in pmcapture(
        "status", "-f", saved).stdout
    assert "incident 7 is open, nothing has failed for 12 s (closes after 1 min)" in pmcapture(
        "list", "-f", saved).stderr


def test_what_was_open_when_the_server_was_stopped_says_so(pmcapture, save):
    stopped = {**builder.document()["server"], "state": "stopped"}
    out = " ".join(pmcapture("show", "-f", save(incidents=[builder.still_open()], server=stopped)).stdout.split())
    assert "counts until 2026-11-20 21:40:04 UTC only. The server was stopped in order then" in out
    assert "still open at 2026-11-20 21:40:04 UTC. The server was stopped in order then" in out


def test_the_list_has_the_servers_own_words_for_what_is_not_known_exactly(pmcapture, save):
    words = {**builder.incident()["words"], "requests": "8000 to 9000", "failed_share": "13 to 15 %"}
    out = pmcapture("list", "-f", save(incidents=[builder.incident(words=words)])).stdout
    assert "8000 to 9000 13 to 15 %" in " ".join(out.split())


def test_beside_the_breakdown_it_says_which_requests_it_counts(pmcapture, saved):
    out = pmcapture("show", "7", "-f", saved).stdout
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "Where\n  Requests of a virtual host are all from onset to end;" in out
    # of the share, only what was counted both ways: not 104 of 900
    assert "/api/users/{id} 104 8.6 % 900 8.0 %" in rows
    assert "192.0.2.0/24 3 250 21 % 400 62 %" in rows
    assert not [row for row in rows if row.startswith("198.51.100.0/24")]   # 2 of 1204


def test_negative_numbers_count_from_the_newest(pmcapture, saved):
    assert pmcapture("show", "-1", "-f", saved).stdout == pmcapture("show", "7", "-f", saved).stdout
    assert pmcapture("-f", saved, "show", "-2").stdout == pmcapture("show", 6, "-f", saved).stdout
    assert pmcapture("show", "-f", saved).stdout == pmcapture("show", "7", "-f", saved).stdout


@pytest.mark.parametrize("wanted", ["5", "-3", str(2**63)])
def test_an_incident_that_is_not_there_exits_with_1(pmcapture, saved, wanted):
    done = pmcapture("show", wanted, "-f", saved)
    assert done.returncode == 1 and done.stdout == "" and "there is no incident" in done.stderr


@pytest.mark.parametrize("wanted", ["0", "x", "1.5", str(2**64), "9" * 5000, "-x"])
def test_what_is_no_id_is_a_usage_error(pmcapture, saved, wanted):
    done = pmcapture("show", wanted, "-f", saved)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


def test_show_as_json_is_the_document_of_that_incident_alone(pmcapture, saved):
    found = json.loads(pmcapture("show", "-1", "-f", saved, "--json").stdout)
    assert found["schema"] == "pmcapture.v1" and found["incidents"] == [builder.incident()]
    assert {e["seq"] for e in found["events"]} == {41, 42, 43, 44, 45, 46}


def test_an_open_incident_is_said_to_be_still_open(pmcapture, save):
    out = pmcapture("show", "-f", save(incidents=[builder.still_open()])).stdout
    assert "still open" in out and "counts until 2026-11-20 21:40:04 UTC only" in out
    assert "Not resolved" in out and "duration 0" not in out


def test_a_down_incident_says_how_many_found_nobody(pmcapture, saved):
    out = pmcapture("show", "6", "-f", saved).stdout
    said = "Nobody was served for 1 min 30 s, in which about 5580 (± 310) requests were expected."
    assert said in " ".join(out.split())
    assert "failed with" not in out


def test_nothing_near_before_is_not_told_as_nothing_changed(pmcapture, save):
    quiet = builder.incident(changes=[], ruled_out=[])
    out = pmcapture("show", "-f", save(incidents=[quiet])).stdout
    assert "does not say that configuration and deployments are cleared" in out


def on_a_terminal(*words, **variables):
    """What the script prints when it believes to be on a terminal of 80 columns."""
    master, slave = pty.openpty()
    variables = environment(TERM="xterm", COLUMNS="80", **variables)
    child = subprocess.Popen([str(SCRIPT), *map(str, words)], stdout=slave, env=variables)
    os.close(slave)
    printed = b""
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:
            break
        if not read:
            break
        printed += read
    os.close(master)
    assert child.wait(timeout=30) == 0
    return printed.decode().replace("\r\n", "\n")


def test_there_is_colour_on_a_terminal_and_none_elsewhere(pmcapture, saved):
    assert "\x1b[" in on_a_terminal("show", "-f", saved)
    assert "\x1b" not in pmcapture("show", "-f", saved).stdout


def test_no_color_turns_colour_off(saved):
    assert "\x1b" not in on_a_terminal("show", "-f", saved, NO_COLOR="1")


def test_a_terminal_of_80_columns_is_not_overrun_by_sentences(saved):
    printed = on_a_terminal("show", "-f", saved, NO_COLOR="1")
    summary = printed[: printed.index("\n\nVirtual host")]
    assert max(map(len, summary.splitlines()[1:])) <= 80
    assert "1 directive was changed in\n" in printed or "sites-enabled/api.conf" in printed
