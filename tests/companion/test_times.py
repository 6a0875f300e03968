# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Times as journalctl takes them."""
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmcapture_lib import Trouble
from pmcapture_lib.logtime import LogClock
from pmcapture_lib.times import Zone, format_stamp, parse_stamp, parse_when

NOW = datetime(2026, 11, 20, 21, 30, 5, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("now", "2026-11-20T21:30:05.000Z"),
        ("today", "2026-11-19T23:00:00.000Z"),
        ("yesterday", "2026-11-18T23:00:00.000Z"),
        ("tomorrow", "2026-11-20T23:00:00.000Z"),
        ("yesterday 21:30", "2026-11-19T20:30:00.000Z"),
        ("2026-11-20 21:30", "2026-11-20T20:30:00.000Z"),
        ("2026-11-20 21:30:05", "2026-11-20T20:30:05.000Z"),
        ("2026-11-20 21:30:05.250", "2026-11-20T20:30:05.250Z"),
        ("2026-11-20", "2026-11-19T23:00:00.000Z"),
        ("Fri 2026-11-20 21:30", "2026-11-20T20:30:00.000Z"),
        ("21:30", "2026-11-20T20:30:00.000Z"),
        ("9:05:07", "2026-11-20T08:05:07.000Z"),
        ("2026-11-20T21:30:05Z", "2026-11-20T21:30:05.000Z"),
        ("2026-11-20t21:30:05.123z", "2026-11-20T21:30:05.123Z"),
        ("2026-11-20T21:30:05+03:00", "2026-11-20T18:30:05.000Z"),
        ("2026-11-20 21:30 UTC", "2026-11-20T21:30:00.000Z"),
        ("2026-11-20 21:30 Asia/Tokyo", "2026-11-20T12:30:00.000Z"),
        ("@1795210205", "2026-11-20T21:30:05.000Z"),
        ("-15min", "2026-11-20T21:15:05.000Z"),
        ("-15m", "2026-11-20T21:15:05.000Z"),
        ("-90s", "2026-11-20T21:28:35.000Z"),
        ("-90", "2026-11-20T21:28:35.000Z"),
        ("-1h30min", "2026-11-20T20:00:05.000Z"),
        ("+5s", "2026-11-20T21:30:10.000Z"),
        ("-1d", "2026-11-19T21:30:05.000Z"),
        ("1 hour ago", "2026-11-20T20:30:05.000Z"),
        ("2 days 3 hours ago", "2026-11-18T18:30:05.000Z"),
        ("1h 30min ago", "2026-11-20T20:00:05.000Z"),
        ("-2 weeks", "2026-11-06T21:30:05.000Z"),
    ],
)
def test_a_time_is_read_as_journalctl_reads_it(text, expected):
    assert format_stamp(parse_when(text, NOW, Zone("Africa/Lagos"))) == expected


@pytest.mark.parametrize("text", [
    "2026-11-20T21:30:05Z", "2026-11-20T21:30:05.0Z", "2026-11-20 21:30:05.000000999+00:00",
    "2026-11-20T22:30:05+0100", "2026-11-20T20:00:05-01:30", "2026-11-20T22:30:05+01"])
def test_a_time_of_a_document_and_of_a_log_is_read_by_every_python(text):
    assert format_stamp(parse_stamp(text)) == "2026-11-20T21:30:05.000Z"
    assert [format_stamp(at) for at in LogClock("UTC").read(text)] == ["2026-11-20T21:30:05.000Z"]


@pytest.mark.parametrize("text", [
    "20261120T213005Z", "2026-W47-5T21:30:05Z", "2026-11-20T21Z", "2026-11-20T24:00:00Z", "2026-11-20x21:30:05Z",
    "2026-11-20T21:30:05+25:00"])
def test_a_time_that_only_some_pythons_read_is_read_by_none(text):
    assert parse_stamp(text) is None and LogClock("UTC").read(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "15min",
        "-",
        "-5 parsecs",
        "2026-13-01",
        "2026-11-20 25:00",
        "@x",
        "@1e300",
        "@nan",
        "99999 years ago",
        "2026-11-20 21:30 Nowhere/Land",
        "-1h30",
        "ago",
        " ago",
        "2026-11-20T",
        "9" * 5000,
    ],
)
def test_what_is_no_time_is_refused_with_examples(text):
    if text == "-1h30":  # a bare number is seconds, as in systemd.time(7)
        assert NOW - parse_when(text, NOW, Zone()) == timedelta(hours=1, seconds=30)
        return
    with pytest.raises(Trouble) as refused:
        parse_when(text, NOW, Zone())
    assert refused.value.code == 2 and "1 hour ago" in str(refused.value)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_sentence(text):
    try:
        assert parse_when(text, NOW, Zone("Africa/Lagos")).tzinfo == timezone.utc
    except Trouble:
        pass


@given(st.one_of(st.text(), st.integers(), st.none(), st.lists(st.text()), st.booleans()))
def test_any_value_of_a_document_is_a_time_or_unknown(value):
    parse_stamp(value)


def test_local_times_follow_the_zone_over_its_change_of_clocks():
    zone = Zone("Europe/Berlin")
    before, after = (datetime(2026, 3, 29, hour, 30, tzinfo=timezone.utc) for hour in (0, 1))
    assert zone.show(before) == "2026-03-29 00:30:00 UTC / 01:30:00 CET"
    assert zone.show(after) == "2026-03-29 01:30:00 UTC / 03:30:00 CEST"


def test_a_local_time_on_another_day_shows_its_date():
    at = datetime(2026, 11, 20, 23, 30, tzinfo=timezone.utc)
    assert Zone("Africa/Lagos").show(at) == "2026-11-20 23:30:00 UTC / 2026-11-21 00:30:00 WAT"


def test_without_a_zone_only_utc_is_shown():
    assert Zone().show(NOW) == "2026-11-20 21:30:05 UTC"


@pytest.mark.parametrize(
    "zone", ["Mars/Base", "../../etc/passwd", "/etc/passwd", "Africa", "\x1b", ""]
)
def test_an_unknown_zone_is_a_usage_error(pmcapture, saved, zone):
    done = pmcapture("list", "-f", saved, "--tz", zone)
    assert done.returncode == 2 and "Africa/Lagos" in done.stderr and done.stderr.count("\n") == 1


def test_a_relative_time_needs_no_equals_sign_on_the_command_line(pmcapture, saved):
    for words in (["--since", "-40years"], ["-S", "-40 years"], ["--since=-40y"], ["-S-40y"]):
        done = pmcapture("list", "-f", saved, *words)
        assert done.returncode == 0 and "errors+slow" in done.stdout, done


def test_since_after_until_is_a_usage_error(pmcapture, saved):
    done = pmcapture("list", "-f", saved, "--since", "today", "--until", "yesterday")
    assert done.returncode == 2 and "not before" in done.stderr
