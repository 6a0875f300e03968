# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Figures as people read them."""
import random
import subprocess
from pathlib import Path

import pytest

from pmcapture_lib import text


ROOT = Path(__file__).resolve().parents[2]


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
        (0.0004, "0 s"),
        (0.025, "25 ms"),
        (0.25, "0.2 s"),
        (1.5, "1.5 s"),
        (9.97, "9.9 s"),
        (59.6, "59 s"),
        (125, "2 min 5 s"),
        (3700, "1 h 1 min"),
        (3780, "1 h 3 min"),
        (352800, "4 d 2 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds, expected):
    assert text.duration(seconds) == expected


SPANS = """
#include <stdio.h>
#include "pm_time.h"
int main(void)
{
    unsigned long long us;
    char out[PM_TIME_SIZE];

    while (scanf("%llu", &us) == 1) {
        puts(pm_time_span(us, out));
    }
    return 0;
}
"""


def test_a_duration_has_the_same_words_in_the_servers_sentences(tmp_path):
    (tmp_path / "spans.c").write_text(SPANS)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-I", ROOT / "include", "-o", tmp_path / "spans", tmp_path / "spans.c",
                    ROOT / "mod_pmcapture/base/time.c"], check=True)
    chosen = random.Random(7)
    millis = [*range(0, 12000, 7), *range(55000, 125000, 333), *range(3590000, 3790000, 500)]
    millis += [chosen.randrange(10**chosen.randrange(1, 13)) for _ in range(4000)]
    said = subprocess.run([tmp_path / "spans"], input="".join(f"{ms * 1000}\n" for ms in millis),
                          capture_output=True, text=True, check=True).stdout.splitlines()
    assert [(ms, text.duration(ms / 1000)) for ms in millis] == list(zip(millis, said))


def test_a_long_sentence_is_wrapped_and_a_long_word_stays_whole():
    assert text.wrap("aaa bbb ccccccccc d", 9, "  ") == ["  aaa bbb", "  ccccccccc", "  d"]
    assert text.wrap("aaa bbb", None, "  ") == ["  aaa bbb"]


def test_wide_characters_count_twice_and_marks_not_at_all():
    assert text.width("日本") == 4 and text.width("e\u0301") == 1
