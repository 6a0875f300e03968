# Licensed under the Apache License, Version 2.0; see LICENSE.
"""status and check."""
import json

import builder
import pytest


def server(**changes):
    return {**builder.document()["server"], **changes}


def test_status_says_state_open_incident_and_last_change_on_one_screen(pmcapture, save):
    path = save(incidents=[builder.earlier(), builder.still_open()])
    out = pmcapture("status", "-f", path, "--tz", "Africa/Lagos").stdout
    assert "web1.example.org: running" in out
    assert "OPEN           7, errors and slow, since 2026-11-20 21:30:05 UTC / 22:30:05 WAT: " in out
    assert "1204 of 8310 requests (14 %) failed" in out
    assert "2026-11-20 21:32:17 UTC / 22:32:17 WAT, 7 min 48 s ago: config.reload" in out
    assert "(event 45)" in out and "62.0 requests a second, 0 of" in out
    assert out.count("\n") <= 24


def test_no_command_is_status(pmcapture, saved):
    assert pmcapture("-f", saved).stdout == pmcapture("status", "-f", saved).stdout


def test_status_says_that_no_incident_is_open_and_names_the_last(pmcapture, saved):
    out = pmcapture("status", "-f", saved).stdout
    assert "none is open" in out and "Last incident  7," in out


def test_status_of_an_empty_capture_is_no_error(pmcapture, save):
    path = save(incidents=[], events=[], last_change=None,
                series={"resolution": 1, "columns": [], "rows": []})
    done = pmcapture("status", "-f", path)
    assert done.returncode == 0 and "none on record" in done.stdout


def test_status_prints_what_was_lost(pmcapture, save):
    lost = {
        **builder.document()["capture"],
        "events_lost": 3,
        "notices": ["2 records are damaged."],
    }
    out = pmcapture("status", "-f", save(capture=lost)).stdout
    assert "2 records are damaged." in out and "3 events could not be recorded" in out


@pytest.mark.parametrize("state", ["down", "stopped", "unknown"])
def test_status_says_when_a_server_that_does_not_run_was_last_alive(pmcapture, save, state):
    out = pmcapture("status", "-f", save(server=server(state=state))).stdout
    assert f"web1.example.org: {state}" in out
    assert "last alive 2026-11-20 21:40:04 UTC" in out or state == "unknown"


def test_an_outage_that_goes_on_is_not_passed_over_for_the_one_before_it(pmcapture, save):
    """Its incident is made by the next start; until then the newest of the list is another one."""
    path = save(server=server(state="down"))
    out = pmcapture("status", "-f", path).stdout
    assert "none is open" not in out
    assert "DOWN           nobody has been served since 2026-11-20 21:40:04 UTC" in out
    for command in "list", "show", "report":
        assert "pmcapture events -n 20 has what led to it" in pmcapture(command, "-f", path).stderr


def test_status_says_how_to_name_the_files_that_are_missing(pmcapture, save):
    out = pmcapture("status", "-f", save(server=server(dependency_missing=2))).stdout
    assert "2 files that the server needs are missing" in out
    assert "(pmcapture events --type dependency)" in out


@pytest.mark.parametrize(
    "state, incidents, code, words",
    [
        ("running", [builder.incident()], 0, "OK: running, no incident open"),
        ("running", [builder.still_open()], 1, "WARNING: incident 7"),
        ("down", [builder.still_open()], 2, "CRITICAL: the server is down, last alive"),
        ("stopped", [], 2, "CRITICAL: the server was stopped in order"),
        ("unknown", [builder.still_open()], 3, "UNKNOWN: the file is a copy"),
        ("sideways", [], 3, "UNKNOWN"),
    ],
)
def test_check_answers_with_nagios_exit_code_and_one_line(
    pmcapture, save, state, incidents, code, words
):
    done = pmcapture("check", "-f", save(server=server(state=state), incidents=incidents))
    assert done.returncode == code and done.stdout.startswith("PMCAPTURE") and words in done.stdout
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_check_gives_perfdata_that_a_monitor_can_parse(pmcapture, saved):
    text, _, figures = pmcapture("check", "-f", saved).stdout.strip().partition(" | ")
    parsed = dict(item.split("=") for item in figures.split(" "))
    assert parsed["requests"] == "5400000c" and parsed["errors"] == "1204c"
    assert parsed["p99"] == "0.041s" and parsed["heartbeat_age"] == "1.0s"
    assert "|" not in text


def test_a_bar_in_a_name_does_not_reach_the_perfdata(pmcapture, save):
    hostile = builder.incident(state="open", end=None, scope={"vhost": "a|b=1;c"})
    done = pmcapture("check", "-f", save(incidents=[hostile]))
    assert done.stdout.count("|") == 1


def test_check_of_an_orphaned_server_is_critical(pmcapture, saved, save):
    done = pmcapture("check", "-f", save(server=server(orphaned=True)))
    assert done.returncode == 2 and "parent process is gone" in done.stdout


def test_a_file_that_the_next_start_will_miss_is_said(pmcapture, save):
    path = save(server=server(dependency_missing=1, write_failures=2))
    out = pmcapture("status", "-f", path).stdout
    assert "1 file that the server needs is missing" in out and "2 writes" in out
    done = pmcapture("check", "-f", path)
    assert done.returncode == 0 and "1 file that the server needs is missing" in done.stdout


def test_check_cannot_tell_when_the_recorder_has_long_written_nothing(pmcapture, save):
    done = pmcapture("check", "-f", save(server=server(heartbeat=builder.after(500))))
    assert done.returncode == 3 and "has written nothing since 2026-11-20 21:38:25" in done.stdout


def test_check_of_a_source_that_cannot_be_read_is_unknown_on_standard_output(pmcapture, tmp_path):
    done = pmcapture("check", "-f", tmp_path / "none")
    assert done.returncode == 3 and done.stdout.startswith("PMCAPTURE UNKNOWN: ")


def test_check_as_json_has_the_same_answer(pmcapture, saved):
    done = pmcapture("check", "-f", saved, "--json")
    found = json.loads(done.stdout)
    assert (found["status"], found["exit"]) == ("OK", 0) and found["perfdata"]["busy"] == 12


def traffic(pmcapture, save, requests, **changes):
    """The line of a minute in which each second brought so many requests, the last one up to the heartbeat."""
    rows = [[f"2026-11-20T21:39:{n:02d}.000Z" if n < 60 else f"2026-11-20T21:40:{n - 60:02d}.000Z", 1, each, 0, 0,
             None, None, 1, 9] for n, each in enumerate(requests, 65 - len(requests))]
    series = {"resolution": 1, "columns": builder.COLUMNS, "rows": rows}
    out = pmcapture("status", "-f", save(series=series, **changes)).stdout
    return next(line for line in out.splitlines() if "  Traffic" in line)


def test_status_tells_the_last_seconds_from_the_minute(pmcapture, save):
    line = traffic(pmcapture, save, [10] * 49 + [60] * 10)
    assert "60.0 requests a second, 0 of 600 failed (5xx) in the last 10 s; " in line
    assert "18.5 requests a second, 0 of 1090 failed (5xx) in the last 59 s" in line


def test_status_says_that_traffic_stopped_and_for_how_long(pmcapture, save):
    line = traffic(pmcapture, save, [10] * 36 + [0] * 23)
    assert "no request for 23 s; 6.1 requests a second, 0 of 360 failed (5xx) in the last 59 s" in line
    assert "no request for at least 59 s" in traffic(pmcapture, save, [0] * 59)


def test_status_does_not_call_the_last_seconds_of_a_dead_server_now(pmcapture, save):
    line = traffic(pmcapture, save, [10] * 60, server=server(state="down"))
    assert "in the last 10 s on record" in line
