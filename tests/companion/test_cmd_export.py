# Licensed under the Apache License, Version 2.0; see LICENSE.
"""export."""
import csv
import io
import json

import builder
import pytest


def rows(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_the_exported_document_is_the_one_that_came(pmcapture, saved):
    assert json.loads(pmcapture("export", "-f", saved).stdout) == builder.document()


def test_an_exported_document_can_be_read_again(pmcapture, saved, tmp_path):
    again = tmp_path / "again.json"
    assert pmcapture("export", "-f", saved, "-o", again).returncode == 0
    assert pmcapture("list", "-f", again).stdout == pmcapture("list", "-f", saved).stdout


def test_json_lines_hold_one_record_each(pmcapture, saved):
    lines = pmcapture("export", "-f", saved, "--format", "jsonl").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    kinds = [r["record"] for r in records]
    assert kinds == ["capture"] + ["incident"] * 2 + ["event"] * 8 + ["series"] * 720
    assert records[-1]["requests"] == 62 and records[1]["id"] == 6


def test_csv_holds_the_seconds_within_the_bounds_and_local_time_when_asked(pmcapture, saved):
    bounds = ("--since", "2026-11-20T21:30:05.123Z", "--until", "2026-11-20T21:30:07.123Z")
    words = ("export", "-f", saved, "--format", "csv", *bounds)
    found = rows(pmcapture(*words, "--tz", "Africa/Lagos").stdout)
    assert found[0] == builder.COLUMNS + ["local (Africa/Lagos)"]
    assert [row[0] for row in found[1:]] == [builder.after(0), builder.after(1)]
    assert found[1][-1] == "2026-11-20T22:30:05.123+01:00" and found[1][3] == "9"
    assert rows(pmcapture(*words).stdout)[0] == builder.COLUMNS


def test_csv_holds_incidents_and_events_when_asked(pmcapture, saved):
    found = rows(pmcapture("export", "-f", saved, "--format", "csv", "--table", "incidents").stdout)
    assert [row[0] for row in found] == ["id", "6", "7"] and found[2][2] == "errors slow"
    found = rows(pmcapture("export", "-f", saved, "--format", "csv", "--table", "events").stdout)
    assert len(found) == 9 and found[3][2] == "config.changed"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1"])
def test_no_cell_of_the_csv_is_a_formula(pmcapture, save, cell):
    path = save(events=[builder.event(1, 0, "note", cell)])
    words = ("export", "-f", path, "--format", "csv", "--table", "events")
    text = rows(pmcapture(*words).stdout)[1][4]
    assert text.startswith("'") and "\t" not in text and "\n" not in text


def test_nothing_in_the_bounds_exits_with_1(pmcapture, saved):
    for style in ("json", "jsonl", "csv"):
        done = pmcapture("export", "-f", saved, "--format", style, "--since", "2030-01-01")
        assert done.returncode == 1 and "nothing on record" in done.stderr
