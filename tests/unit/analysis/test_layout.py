# SPDX-License-Identifier: GPL-2.0
"""Columns and rows of a picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import recordings
from hypothesis import given
from hypothesis import strategies as st
from recordings import MS

from perf_damon.analysis.layout import axis, fold, time_edges, union
from perf_damon.analysis.view import view

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 40)), max_size=20)


def columns(ranges):
    return (
        np.array([start for start, _ in ranges], np.uint64),
        np.array([end for _, end in ranges], np.uint64),
    )


@given(RANGES)
def test_union_covers_the_same_addresses_without_overlap(ranges):
    start, end = union(*columns([(a, a + size) for a, size in ranges]))
    covered = {x for a, size in ranges for x in range(a, a + size)}
    united = [range(a, b) for a, b in zip(start.tolist(), end.tolist(), strict=True)]
    assert {x for part in united for x in part} == covered
    assert all(a.stop < b.start for a, b in pairwise(united))


def test_fold_cuts_out_big_gaps_and_keeps_small_ones():
    ranges = columns([(0, 1000), (1010, 2000), (50_000, 51_000)])
    assert fold(*ranges, 8) == [(0, 2000), (50_000, 51_000)]
    assert fold(*ranges, 1) == [(0, 51_000)]


def test_fold_with_too_many_spans_cuts_the_widest_gaps():
    ranges = columns([(0, 100), (1000, 1100), (9000, 9100), (12_000, 12_100)])
    assert fold(*ranges, 2) == [(0, 1100), (9000, 12_100)]


@given(
    st.lists(st.tuples(st.integers(1, 10**12), st.integers(1, 10**9)), min_size=1, max_size=8),
    st.integers(1, 200),
)
def test_axis_covers_its_spans_with_columns_of_their_size(parts, width):
    spans, at = [], 0
    for gap, size in parts:
        spans.append((at + gap, at + gap + size))
        at += gap + size
    made = axis(spans, width)
    assert made.spans == spans
    assert len(made) <= max(width, len(spans))
    assert (made.end > made.start).all()
    inner = made.span[1:] == made.span[:-1]
    assert (made.start[1:][inner] == made.end[:-1][inner]).all()
    if width >= 2 * len(spans):
        sizes = [end - start for start, end in spans]
        assert all(
            count >= min(2, size)
            for count, size in zip(np.bincount(made.span).tolist(), sizes, strict=True)
        )


def test_axis_uses_the_whole_width_and_whole_pages():
    made = axis([(0x1000, 0x1000 + (1 << 30))], 70)
    assert len(made) == 70
    assert not (made.start % np.uint64(4096)).any()


def test_rows_are_no_shorter_than_an_interval():
    looked_at = view(recordings.target([(100 * i, [(0, 1, 0)]) for i in range(1, 6)]), 100 * MS)
    assert time_edges(looked_at, 40).tolist() == [i * 100 * MS for i in range(6)]
    assert time_edges(looked_at, 2).tolist() == [0, 250 * MS, 500 * MS]


def test_a_quiet_span_leaves_the_width_to_the_others():
    spans = [(0, 1 << 40), (2 << 40, (2 << 40) + (1 << 20))]
    assert np.bincount(axis(spans, 70).span).tolist() == [68, 2]
    assert np.bincount(axis(spans, 70, quiet=spans[:1]).span).tolist() == [2, 68]
    assert np.bincount(axis(spans, 70, quiet=spans).span).tolist() == [68, 2]
