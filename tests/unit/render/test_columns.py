# SPDX-License-Identifier: GPL-2.0
"""Numbers to text against Python's own formatting."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from perf_damon.render.columns import (
    Lexicon,
    decimal,
    fixed,
    hexadecimal,
    join,
    literal,
    words,
)

NUMBERS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 1100), min_size=1, max_size=30)


@given(NUMBERS)
def test_fields_are_what_python_formats(numbers):
    column = np.array(numbers, np.uint64)
    end = literal("\n", len(column))
    assert join((decimal(column), end)).split() == [f"{n}" for n in numbers]
    assert join((hexadecimal(column), end)).split() == [f"{n:#x}" for n in numbers]
    assert join((fixed(column, 3), end)).split() == [f"{n // 1000}.{n % 1000:03}" for n in numbers]


@given(NUMBERS)
def test_blanks_put_numbers_under_each_other(numbers):
    column = np.array(numbers, np.uint64)
    lines = join((fixed(column, 2, 30, blank=True), literal("\n", len(column)))).splitlines()
    assert lines == [f"{n // 100:27}.{n % 100:02}" for n in numbers]


def test_words_and_literals():
    index = np.array([2, 0, 1, 0])
    fields = (words(index, Lexicon(["a", "", "größer"])), literal("", 4), literal(";", 4))
    assert join(fields) == "größer;a;;a;"


def test_one_long_text_does_not_make_all_rows_wide():
    """Memory follows what is printed: a matrix of all rows as wide as it would take 2 GB."""
    rows, long = 1 << 15, "/" + "ä" * 30_000
    index = np.arange(rows) % 2
    index[[0, 9, rows - 1]] = 2
    first = words(np.arange(rows) % 2, Lexicon(["x", long[:200]]))
    second = words(index, Lexicon(["a", "bc", long]))
    tracemalloc.start()
    text = join((literal("<", rows), first, literal(" ", rows), second, literal(">\n", rows)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    names = [("x", long[:200])[i % 2] + " " + ("a", "bc", long)[n] for i, n in enumerate(index)]
    assert text == "".join(f"<{name}>\n" for name in names)
    assert peak < 20 * len(text.encode())
