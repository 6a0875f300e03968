# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Documents by strangers: never a traceback, never a control character, nothing that renders."""
import copy
import io
import json
import re
import sys

import builder
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pmcapture_lib import cli, cmd_events, markdown

COMMANDS = [
    ["status"],
    ["check"],
    ["list", "--tz", "Africa/Lagos"],
    ["show", "-1"],
    ["show", "7"],
    ["events", "--tz", "Asia/Tokyo"],
    ["report", "-1", "--tz", "Africa/Lagos"],
    ["report", "--format", "html"],
    ["report", "--json"],
    ["export"],
    ["export", "--format", "jsonl"],
    ["export", "--format", "csv"],
    ["export", "--format", "csv", "--table", "events"],
    ["export", "--format", "csv", "--table", "incidents"],
    ["list", "--since", "2026-11-20T21:31:00Z"],
]
NASTY = [
    None,
    True,
    False,
    0,
    -1,
    2**64,
    10**400,
    1e308,
    -0.0,
    "",
    "x" * 70000,
    [],
    {},
    [[]],
    [None],
    {"a": []},
    "\x1b]0;owned\x07",
    "\x9b31m",
    "\u202egnp",
    "\ud800",
    "a\r\nb\x00c",
    "2026-99-99T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00",
    "<script>alert(1)</script>",
    "| a | b |",
    "`` ` ``",
    "=HYPERLINK(1)",
    "[x](javascript:alert(1))",
    "http://evil.example/",
    "{{ 7 * 7 }}",
    "%s%n{0}",
]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def run(words, found, tmp_path, monkeypatch):
    """In this process, for speed: what the script prints and how it ends."""
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps(found))
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        code = cli.main([*words, "-f", str(path)])
        for stream in streams:
            stream.flush()
    return code, *(s.buffer.getvalue().decode() for s in streams)


def places(value, path=()):
    """Every place in a document at which something can be wrong."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for i in range(min(len(value), 3)):
            yield from places(value[i], (*path, i))


WHOLE = builder.document()
WHOLE["series"]["rows"] = WHOLE["series"]["rows"][:4]
PLACES = sorted((p for p in places(WHOLE) if p and p != ("schema",)), key=str)


def spoiled(changes):
    found = copy.deepcopy(WHOLE)
    for path, value in changes:
        holder = found
        try:
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            pass  # an earlier change took the place away
    return found


def check(found, tmp_path, monkeypatch):
    for words in COMMANDS:
        code, out, err = run(words, found, tmp_path, monkeypatch)
        # events alone fails, when it can read none: an empty answer would say that nothing happened.
        failed = words == ["check"] or words[0] == "events" and "the events that cannot be read" in err
        assert code in (0, 1, 2) or code == 3 and failed, (words, code, err)
        assert not CONTROL.search(out.replace("\r\n", "\n")) and not CONTROL.search(err), words
        assert "Traceback" not in err
        if "html" in words:
            assert "<script" not in out and "\x1b" not in out


HOSTILE = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=40),
    st.integers(),
    st.floats(allow_nan=False),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
    st.lists(st.text(max_size=8), max_size=3),
)
FIXTURES = settings(
    max_examples=40,     # hypothesis 5 has no such check, and no name for it
    suppress_health_check=[getattr(HealthCheck, "function_scoped_fixture", HealthCheck.too_slow), HealthCheck.too_slow],
)


@FIXTURES
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), HOSTILE), min_size=1, max_size=6))
def test_any_value_at_any_place_gives_an_answer(changes, tmp_path, monkeypatch):
    check(spoiled(changes), tmp_path, monkeypatch)


@pytest.mark.parametrize("value", NASTY, ids=lambda v: repr(v)[:20])
def test_the_same_value_at_every_place_gives_an_answer(value, tmp_path, monkeypatch):
    """Deepest first, so that each leaf was spoiled once; then whole branches."""
    leaves = [p for p in PLACES if not isinstance(at(WHOLE, p), (dict, list))]
    check(spoiled([(p, value) for p in leaves]), tmp_path, monkeypatch)
    branches = [p for p in PLACES if isinstance(at(WHOLE, p), (dict, list))]
    for path in branches:
        found = spoiled([(path, value)])
        code, out, _ = run(["show", "-1"], found, tmp_path, monkeypatch)
        assert code in (0, 1) and not CONTROL.search(out)


def at(value, path):
    for step in path:
        value = value[step]
    return value


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_empty_document_gives_an_answer(words, pmcapture, tmp_path):
    path = tmp_path / "empty.json"
    path.write_text('{"schema": "pmcapture.v1"}')
    done = pmcapture(*words, "-f", path)
    assert done.returncode in (0, 1, 3) and done.stderr.count("\n") <= 1


def test_names_that_are_not_utf8_in_the_environment_of_the_terminal_are_no_trouble(pmcapture, save):
    path = save(incidents=[builder.incident(summary="1 of 1 requests failed on zürich.example → ✓")])
    done = pmcapture("show", "-f", path, LC_ALL="POSIX")
    assert done.returncode == 0 and "rich.example" in done.stdout


# ---- Markdown ----


@pytest.mark.parametrize(
    "text, expected",
    [
        ("plain words, 14.5 % (of 8310): mod_ssl.", "plain words, 14.5 % (of 8310): mod_ssl."),
        ("to http://127.0.0.1:9001/, which", "to `http://127.0.0.1:9001/`, which"),
        ("*bold* _it_ [x](y)", "`*bold*` `_it_` `[x](y)`"),
        ("<b>|`&amp;", "&lt;b&gt;&#124;\\`&amp;amp;"),
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("mail a@b.example", "mail `a@b.example`"),
        ("line\nbreak", "line break"),
        ("www.evil.example", "`www.evil.example`"),
        ("<a@b.example> see www.", "&lt;a`@`b.example&gt; see www\\."),
        ('"http://x/|y"', '"http:\\//x/&#124;y"'),
    ],
)
def test_foreign_words_are_inert_in_markdown(text, expected):
    assert markdown.prose(text) == expected


@given(st.text())
def test_no_text_breaks_out_of_its_line_its_cell_or_into_html(text):
    for made in (markdown.prose(text), markdown.code(text)):
        assert not set("\n\r|<") & set(made)
        assert made.replace("\\`", "").count("`") % 2 == 0


def test_a_hostile_incident_leaves_every_table_row_with_its_columns(pmcapture, save):
    name = "a|b`c\n| x |<script>alert(1)</script>"
    hostile = builder.incident(
        scope={"vhost": name},
        samples=[{**builder.incident()["samples"][0], "uri": name, "host": name, "client": name}],
        timeline=[{"at": builder.after(0), "kind": name, "text": name}],
    )
    hostile["breakdown"]["route"][0]["key"] = name
    made = pmcapture("report", "-f", save(incidents=[hostile])).stdout
    assert "<script" not in made
    columns = None
    for line in made.splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        columns = columns or line.count("|")
        assert line.count("|") == columns, line


def test_the_late_window_of_following_is_longer_than_its_interval():
    assert cmd_events.LATE.total_seconds() > cmd_events.INTERVAL
