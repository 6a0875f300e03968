# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Figures as people read them."""
import pytest

from pmcapture_lib import text


@pytest.mark.parametrize(
    "ratio, expected",
    [
        (None, "unknown"),
        (0, "0 %"),
        (1, "100 %"),
        (0.14488, "14.5 %"),
        (0.00003, "under 0.01 %"),
        (0.9999, "over 99.9 %"),
        (0.0004, "0.04 %"),
    ],
)
def test_what_is_not_all_never_reads_as_all_nor_what_is_not_none_as_none(ratio, expected):
    assert text.share(ratio) == expected


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (None, "unknown"),
        (0.0004, "0 ms"),
        (0.25, "250 ms"),
        (1.5, "1.5 s"),
        (9.97, "10 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3780, "1 h 3 min"),
        (352800, "4 d 2 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, expected):
    assert text.duration(seconds) == expected


def test_a_long_sentence_is_wrapped_and_a_long_word_stays_whole():
    assert text.wrap("aaa bbb ccccccccc d", 9, "  ") == ["  aaa bbb", "  ccccccccc", "  d"]
    assert text.wrap("aaa bbb", None, "  ") == ["  aaa bbb"]


def test_wide_characters_count_twice_and_marks_not_at_all():
    assert text.width("日本") == 4 and text.width("e\u0301") == 1
