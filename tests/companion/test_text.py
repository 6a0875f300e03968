# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Figures as people read them."""
from pathlib import Path

import pytest

from pmcapture_lib import text


ROOT = Path(__file__).resolve().parents[2]


def as_words(kind, figure):
    if kind == "share":
        part, whole = figure.split("/")
        return text.share(int(part) / int(whole))
    if kind == "rate":
        return text.rate(float(figure))
    return {"span": text.duration, "latency": text.latency}[kind](int(figure) / 1e6)


def test_a_figure_reads_as_in_the_servers_sentences():
    """The same table as tests/unit/test_words.c."""
    rows = [line.split("\t") for line in (ROOT / "tests/words.tsv").read_text().splitlines() if line[0] != "#"]
    assert [(kind, figure, as_words(kind, figure)) for kind, figure, _ in rows] == [tuple(row) for row in rows]


@pytest.mark.parametrize("words", [text.share, text.rate, text.latency, text.duration])
def test_an_unknown_figure_is_unknown(words):
    assert words(None) == "unknown"


def test_a_long_sentence_is_wrapped_and_a_long_word_stays_whole():
    assert text.wrap("aaa bbb ccccccccc d", 9, "  ") == ["  aaa bbb", "  ccccccccc", "  d"]
    assert text.wrap("aaa bbb", None, "  ") == ["  aaa bbb"]


def test_wide_characters_count_twice_and_marks_not_at_all():
    assert text.width("日本") == 4 and text.width("e\u0301") == 1
