# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The postmortem in its formats."""
import html.parser
import json
import os
import re
import stat
import subprocess

import builder
import pytest
from conftest import SCRIPT, environment

SECTIONS = [
    "Summary",
    "Impact",
    "Timeline",
    "What changed before",
    "Candidate causes",
    "What was ruled out",
    "Where",
    "Failing requests",
    "Resolution",
    "To be written by people",
    "About this record",
]


def report(pmcapture, path, *words):
    done = pmcapture("report", "-f", path, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def section(markdown, name):
    return markdown.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def test_the_report_has_its_sections_in_the_order_in_which_it_is_read(pmcapture, saved):
    made = report(pmcapture, saved, "7")
    assert re.findall(r"^## (.*)$", made, re.M) == SECTIONS
    assert made.startswith("# Postmortem: 503 errors and slow requests on api.example.org:80")


def test_the_newest_incident_is_reported_when_none_is_named(pmcapture, saved):
    assert report(pmcapture, saved).splitlines()[0] == report(pmcapture, saved, -1).splitlines()[0]


def test_every_figure_of_the_impact_stands_beside_the_field_that_it_comes_from(pmcapture, saved):
    impact = section(report(pmcapture, saved), "Impact")
    incident = builder.incident()
    rows = [
        [c.strip() for c in row.strip("|").split("|")] for row in impact.strip().splitlines()[2:]
    ]
    assert len(rows) > 10
    for _, figure, fields in rows:
        for field in fields.strip("`").split(", "):
            found = builder.document() if field == "series" else incident
            for name in field.split("."):
                assert name in found, field
                found = found[name]
        assert figure
    table = {what: figure for what, figure, _ in rows}
    assert table["Failed (5xx)"] == "1204 (14 %)"
    assert table["Peak"] == "48.0 errors a second (62 %) at 2026-11-20 21:30:41 UTC"
    assert table["Began"] == "2026-11-20 21:30:05.123 UTC"


@pytest.mark.parametrize("verb, title", [("failed", "Failed"), ("were refused", "Refused"),
                                         ("were redirected", "Redirected"), ("failed or were refused", "Not served")])
def test_a_table_says_what_became_of_the_requests(pmcapture, save, verb, title):
    where = section(report(pmcapture, save(incidents=[builder.incident(verb=verb)])), "Where")
    assert f"| Route | {title} |" in where


def test_how_near_a_candidate_is_stands_there_once(pmcapture, save):
    cause = {"rank": 1, "kind": "child.crash", "evidence": [41], "at": builder.after(-14), "seconds_before_onset": 14,
             "summary": "Worker 17 crashed (14 s before the onset; 2 more like it)",
             "statement": "Worker 17 crashed (2 more like it)", "nearness": "14 s before the onset"}
    made = report(pmcapture, save(incidents=[builder.incident(causes=[cause])]))
    assert "1. **child.crash**, 14 s before the onset: Worker 17 crashed (2 more like it)" in made
    assert "First candidate cause, 14 s before the onset: Worker 17 crashed" in made


def test_the_timeline_shows_utc_and_local_time_and_the_event_behind_each_line(pmcapture, saved):
    timeline = section(report(pmcapture, saved, "--tz", "Africa/Lagos"), "Timeline")
    assert (
        "| 2026-11-20 21:29:50.923 | 22:29:50.923 WAT | −14 s | config.changed | "
        "1 directive was changed in sites-enabled/api.conf | 41 |" in timeline
    )
    assert "| 2026-11-20 21:30:05.123 | 22:30:05.123 WAT | 0 | **onset** |" in timeline


def test_a_gap_in_the_record_is_named(pmcapture, saved, save):
    assert "- 2026-11-20 21:31:05.123 UTC: Nothing on record for 3 s\n" in report(pmcapture, saved)
    whole = [m for m in builder.incident()["timeline"] if m["kind"] != "gap"]
    path = save(incidents=[builder.incident(timeline=whole)])
    assert "No gap in the record is on this timeline." in report(pmcapture, path)


def test_a_change_is_told_with_its_directives_and_where_they_stand(pmcapture, saved):
    changed = section(report(pmcapture, saved), "What changed before")
    assert (
        '  - added: `ProxyPass "/api" "http://127.0.0.1:9001/"` '
        "(`VirtualHost *:80, /etc/apache2/sites-enabled/api.conf:14`)" in changed
    )
    assert changed.index("event 42") < changed.index("event 41") < changed.index("While it lasted")


def test_each_candidate_has_its_evidence_and_its_distance_from_the_onset(pmcapture, saved):
    causes = section(report(pmcapture, saved), "Candidate causes")
    assert "1. **config.changed**, 14 s before the onset: ProxyPass /api" in causes
    assert (
        "   - Evidence: event 41, config.changed at 2026-11-20 21:29:50 UTC: 1 directive" in causes
    )
    assert "2. **backend**, at the onset:" in causes


def test_a_candidate_whose_time_is_not_known_has_no_distance(pmcapture, save):
    cause = {**builder.incident()["causes"][1], "at": None, "seconds_before_onset": None, "nearness": None}
    made = report(pmcapture, save(incidents=[builder.incident(causes=[cause])]))
    assert "1. **backend**: 1190 of" in made


def test_a_long_difference_is_cut_and_says_so(pmcapture, save):
    added = [{"directive": "Header", "args": f"set X {n}"} for n in range(50)]
    change = builder.event(41, -5, "config.changed", "50 directives were added", added=added)
    made = report(pmcapture, save(incidents=[builder.incident(changes=[change])]))
    assert made.count("  - added: `Header set X ") == 20 and "- `and 30 more`" in made


def test_samples_stand_in_the_order_of_their_arrival(pmcapture, save):
    first = builder.incident()["samples"][0]
    samples = [{**first, "at": builder.after(n), "uri": f"/{n}"} for n in (3, 1, 2)]
    table = section(
        report(pmcapture, save(incidents=[builder.incident(samples=samples)])), "Failing requests"
    )
    assert re.findall(r"GET /(\d)|POST /(\d)", table) == [("", "1"), ("", "2"), ("", "3")]


def test_traffic_before_during_and_after_is_told_with_the_record_behind_it(pmcapture, saved):
    impact = section(report(pmcapture, saved), "Impact")
    assert (
        "| 62.0 before (2 min of record); 62.0 during (2 min 13 s of record); 62.0 after (2 min" in impact
    )


def test_what_is_not_cleared_is_said_to_be_still_possible(pmcapture, saved):
    ruled = section(report(pmcapture, saved), "What was ruled out")
    assert "**Traffic surge:** 62.8 requests a second against 61.9" in ruled
    assert "still possible: single client, configuration, deployment, backend, workers" in ruled


def test_sections_of_people_are_left_to_people(pmcapture, saved):
    people = section(report(pmcapture, saved), "To be written by people")
    headings = re.findall(r"^### (.*)$", people, re.M)
    assert headings[0] == "Root cause" and headings[-1] == "Action items"
    assert people.count("_To be written by people._") == len(headings)


def test_an_open_incident_is_said_to_be_still_open(pmcapture, save):
    made = report(pmcapture, save(incidents=[builder.still_open()]))
    assert "**It is still open.**" in made and "it has lasted 9 min 54 s so far" in made
    assert "Not resolved" in section(made, "Resolution")


def test_what_is_damaged_is_said_in_the_report(pmcapture, save):
    lost = {**builder.document()["capture"], "notices": ["2 records are damaged and left out."]}
    assert "**Not whole:** 2 records are damaged" in report(pmcapture, save(capture=lost))


def test_unknown_values_are_unknown_and_never_a_number(pmcapture, save):
    unknown = builder.incident(words=None, summary=None, impact=[builder.impact("Noticed", None, "detected")])
    path = save(incidents=[unknown])
    assert "| Noticed | unknown |" in section(report(pmcapture, path), "Impact")
    assert "lasted unknown" in report(pmcapture, path)
    assert " unknown    1204  unknown      -" in pmcapture("list", "-f", path).stdout


def test_several_incidents_make_one_report_with_an_overview(pmcapture, saved):
    made = report(pmcapture, saved, "6", "-1", "7")
    assert made.startswith("# Postmortem of incidents 6 and 7\n")
    assert made.count("\n## Summary\n") == 2


def test_the_json_report_holds_the_incident_as_it_came(pmcapture, saved):
    found = json.loads(report(pmcapture, saved, "7", "--format", "json"))
    assert found["schema"] == "pmcapture.report.v1"
    one = found["reports"][0]
    assert one["incident"] == builder.incident() and one["causes"][0]["evidence"][0]["seq"] == 41
    assert (
        one["timeline"][0]["at"] == builder.CHANGED["at"]
        and one["for_people"]["Root cause"] is None
    )
    again = json.loads(report(pmcapture, saved, "7", "--json"))
    assert again["reports"] == found["reports"]


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.loads = [], set(), []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href", "onclick")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_html_report_is_whole_and_loads_nothing(pmcapture, save):
    hostile = builder.incident(summary="1 of 1 requests failed on <script>alert(1)</script>")
    made = report(
        pmcapture, save(incidents=[builder.earlier(), hostile]), "6", "7", "--format", "html"
    )
    page = Page()
    page.feed(made)
    assert page.open == [] and page.loads == [] and "script" not in page.tags
    assert "&lt;script&gt;" in made


def test_a_report_is_written_as_a_whole_and_keeps_the_mode_of_the_file(pmcapture, saved, tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    path.chmod(0o640)
    assert report(pmcapture, saved, "-o", path) == ""
    assert (
        path.read_text().startswith("# Postmortem") and stat.S_IMODE(path.stat().st_mode) == 0o640
    )
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_incident_that_is_not_there_leaves_the_old_report_alone(pmcapture, saved, tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    done = pmcapture("report", "99", "-f", saved, "-o", path)
    assert done.returncode == 1 and path.read_text() == "old"


@pytest.mark.parametrize("place", ["none/report.md", "."])
def test_a_place_that_cannot_be_written_is_one_sentence(pmcapture, saved, tmp_path, place):
    done = pmcapture("report", "-f", saved, "-o", tmp_path / place)
    assert done.returncode == 3 and done.stderr.count("\n") == 1 and "cannot write" in done.stderr


def test_a_full_disk_is_one_sentence(pmcapture, saved):
    done = pmcapture("report", "-f", saved, "-o", "/dev/full")
    assert done.returncode == 3 and "No space left on device" in done.stderr


def test_a_standard_output_that_is_full_is_one_sentence(saved):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [str(SCRIPT), "list", "-f", str(saved)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            check=False,
        )
    assert done.returncode == 3 and done.stderr.count(b"\n") == 1
    assert b"No space left on device" in done.stderr


def test_a_reader_that_stops_early_is_no_error(saved):
    child = subprocess.Popen(
        [str(SCRIPT), "export", "-f", str(saved)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(child.stdout.fileno())
    child.stdout = None
    assert child.stderr.read() == b"" and child.wait(timeout=20) == 0
