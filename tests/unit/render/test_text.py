# SPDX-License-Identifier: GPL-2.0
"""Text for people."""

from __future__ import annotations

import numpy as np
import pytest

from perf_damon.render.ramp import BLANK, ramp
from perf_damon.render.text import Canvas, clean, percent, shorten, table, text_width, wrap
from perf_damon.render.ticks import size_label, size_step, time_label, time_step


def test_names_cannot_steer_the_terminal():
    assert clean("a\x1b[31mb\nc\u202ed\udc80") == "a?[31mb?c?d?"


def test_shorten_keeps_the_end_and_counts_wide_characters():
    assert shorten("/usr/lib/libc.so.6", 10) == "…libc.so.6"
    assert shorten("libc", 4) == "libc"
    assert text_width("漢字a") == 5
    assert text_width(shorten("漢字漢字", 5)) <= 5


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("漢字", 4), ("한글", 4), ("ｆｕｌｌ", 8), ("🚀x", 3), ("é", 1), ("e\u0301", 1), ("के", 1),
        ("1\u20dd", 1), ("ไม่", 2), ("가".encode().decode(), 2), ("ᄀ\u1161\u11a8", 2), ("", 0),
    ],
)  # fmt: skip
def test_width_of_characters(text, width):
    """As tmux, xterm and foot draw them."""
    assert text_width(clean(text)) == width


def test_what_changes_the_width_of_a_character_is_left_out():
    assert clean("❤\ufe0f!") == "❤!"
    assert clean("a\U000e0100b") == "ab"


def test_shorten_leaves_no_mark_without_its_letter():
    assert shorten("abcde\u0301fg", 3) == "…fg"
    assert shorten("abcde\u0301fg", 4) == "…e\u0301fg"


def test_shorten_takes_as_long_as_the_name_not_its_square():
    """Cut column by column from its beginning, this one would take hours."""
    assert shorten("ü" * 3_000_000 + "end", 5) == "…üend"


def test_wrap_cuts_words_by_their_columns():
    assert wrap("ab 漢字漢字 c", 5) == ["ab", "漢字", "漢字", "c"]
    for width in range(2, 30):
        lines = wrap("some text 漢字漢字漢字漢字漢字 of/a/path/that/is/long🚀🚀🚀 e\u0301nd", width)
        assert max(map(text_width, lines)) <= width
        assert "".join(lines).replace(" ", "") == (
            "sometext漢字漢字漢字漢字漢字of/a/path/that/is/long🚀🚀🚀e\u0301nd"
        )


def test_wrap_takes_as_long_as_the_text():
    word = "x" * 4_000_000
    assert sum(map(len, wrap(f"a {word}", 4))) == len(word) + 1


def test_table():
    assert table(["Size", "Name"], [["1 B", "漢字"], ["10.0 KiB", "b"]], "rl") == [
        "    Size  Name",
        "     1 B  漢字",
        "10.0 KiB  b",
    ]


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0, "0%"), (1e-9, "<0.1%"), (0.0005, "0.1%"), (0.042, "4.2%"), (0.9996, "100%"), (1, "100%")],
)
def test_percent(rate, text):
    assert percent(rate) == text


@pytest.mark.parametrize("colors", [0, 16, 256, 2**24])
@pytest.mark.parametrize("unicode", [True, False])
def test_rarely_accessed_never_accessed_and_not_monitored_look_different(colors, unicode):
    look = ramp(Canvas(colors=colors, unicode=unicode))
    levels = look.levels(np.array([np.nan, 0.0, 1e-6, 0.01, 1.0])).tolist()
    assert levels[:3] == [BLANK, 0, 1]
    assert levels[3] <= levels[4] == look.nr_levels
    looks = look.foreground or look.characters
    assert len(set(looks)) == len(looks) == look.nr_levels + 1
    assert look.legend()[0] == (0, "0%")
    assert look.legend()[-1][0] == look.nr_levels


def test_legend_tells_the_bounds_of_the_levels():
    look = ramp(Canvas())
    bounds = [float(text.strip("≤%")) / 100 for _, text in look.legend()[1:]]
    assert look.levels(np.array([0.0624, 0.0626, 0.25, 0.2501, 0.5625, 1.0])).tolist() == [
        1, 2, 2, 3, 3, 4,
    ]  # fmt: skip
    assert bounds == [0.06, 0.25, 0.56, 1]


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(0.0000011, 2e-6), (0.03, 0.05), (0.5, 0.5), (0.51, 1), (7, 10), (49, 50), (55, 60),
     (61, 120), (4000, 7200), (100_000, 172_800)],
)  # fmt: skip
def test_time_steps_are_round(seconds, step):
    assert time_step(seconds) == pytest.approx(step)


def test_labels():
    assert [time_label(3 * step, step) for step in (0.02, 0.5, 5, 120, 7200, 2e-5)] == [
        "60 ms", "1.5 s", "15 s", "6 min", "6 h", "60 us",
    ]  # fmt: skip
    assert [size_label(n) for n in (0, 100, 4096, 3 << 19, 1 << 40)] == [
        "0", "100", "4K", "1536K", "1T",
    ]  # fmt: skip
    assert [size_step(n) for n in (0.2, 1, 3, 4096, 4097)] == [1, 1, 4, 4096, 8192]
