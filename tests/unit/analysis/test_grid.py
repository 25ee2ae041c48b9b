# SPDX-License-Identifier: GPL-2.0
"""The grid against sums made region by region."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st

from perf_damon.analysis import view as view_module
from perf_damon.analysis.grid import Grid, grid
from perf_damon.analysis.heatmap import heatmap
from perf_damon.analysis.layout import axis, fold, time_edges
from perf_damon.analysis.survey import survey
from perf_damon.analysis.view import View, view


@st.composite
def snapshots(draw):
    """Up to 8 snapshots at odd times; regions in order, some touching, some apart."""
    result, time = [], 1000
    for _ in range(draw(st.integers(1, 8))):
        time += draw(st.sampled_from([1, 90, 100, 110, 250, 2000]))
        rows, at = [], draw(st.integers(0, 50))
        for _ in range(draw(st.integers(1, 12))):
            at += draw(st.sampled_from([0, 0, 0, 1, 7, 3000]))
            size = draw(st.sampled_from([1, 2, 5, 40, 333]))
            rows.append((at, at + size, draw(st.integers(0, 20)), draw(st.integers(0, 9))))
            at += size
        result.append((time, rows))
    return result


def by_hand(looked_at: View, made: Grid) -> dict[str, list[list[Fraction]]]:
    """What Grid promises, one overlap at a time."""
    bins, segments, columns = len(made.edges) - 1, len(made.breakpoints) - 1, len(made.axis)
    sums = {
        name: [[Fraction(0)] * n for _ in range(bins)]
        for name, n in (
            ("accesses", segments),
            ("monitored", segments),
            ("age", segments),
            ("hottest", columns),
            ("watched", columns),
        )
    }
    for i in range(looked_at.nr_snapshots):
        stop, length = int(looked_at.time[i]), int(looked_at.duration[i])
        rows = looked_at.regions[slice(looked_at.offsets[i], looked_at.offsets[i + 1])]
        low, high = looked_at.window or (0, 2**64)
        for t in range(bins):
            ns = min(stop, int(made.edges[t + 1])) - max(stop - length, int(made.edges[t]))
            if ns <= 0:
                continue
            best: dict[int, int] = {}
            for start, end, nr, age in zip(
                *(c.tolist() for c in (rows.start, rows.end, rows.nr_accesses, rows.age)),
                strict=True,
            ):
                start, end = max(start, low), min(end, high)
                for k in range(segments):
                    a, b = int(made.breakpoints[k]), int(made.breakpoints[k + 1])
                    size = max(0, min(end, b) - max(start, a))
                    sums["accesses"][t][k] += nr * size * ns
                    sums["monitored"][t][k] += size * ns
                    sums["age"][t][k] += age * size * ns
                for c in range(columns):
                    a, b = int(made.axis.start[c]), int(made.axis.end[c])
                    if min(end, b) > max(start, a):
                        best[c] = max(best.get(c, 0), nr)
            for c, nr in best.items():
                sums["hottest"][t][c] += nr * ns
                sums["watched"][t][c] += ns
    return sums


@settings(max_examples=150, deadline=None)
@given(
    data=snapshots(),
    width=st.integers(1, 9),
    height=st.integers(1, 7),
    points=st.lists(st.integers(0, 4000), max_size=6),
    block_rows=st.sampled_from([1, 5, 1 << 15]),
    window=st.sampled_from([None, (10, 200), (40, 3500)]),
)
def test_grid_is_exact(data, width, height, points, block_rows, window):
    old = view_module.BLOCK_ROWS
    view_module.BLOCK_ROWS = block_rows
    try:
        looked_at = view(recordings.target(data), data[0][0], window=window)
        seen = survey(looked_at)
        if len(seen.start) == 0:
            return
        columns = axis(fold(seen.start, seen.end, 4), width)
        made = grid(
            looked_at,
            columns,
            time_edges(looked_at, height),
            np.array(points, np.uint64),
            ages=True,
        )
    finally:
        view_module.BLOCK_ROWS = old
    expected = by_hand(looked_at, made)
    for name in ("accesses", "monitored", "hottest", "watched"):
        assert getattr(made, name) == pytest.approx(
            np.array(expected[name], float), rel=1e-9, abs=1e-3
        ), name
    assert made.age == pytest.approx(
        np.array(expected["age"], float).sum(axis=0), rel=1e-9, abs=1e-3
    )


def test_what_is_never_accessed_is_exactly_zero():
    """Hot pages around a cold column must leave no rounding dust in it."""
    rows = [(0, 4096, 7), (4096, 10**12 + 3, 0), (10**12 + 3, 10**12 + 4099, 13)]
    snapshots = [(100 * i + i % 7, rows) for i in range(1, 40)]
    looked_at = view(recordings.target(snapshots), 0)
    seen = survey(looked_at)
    columns = axis(fold(seen.start, seen.end, 4), 10)
    made = heatmap(grid(looked_at, columns, time_edges(looked_at, 7), seen.start), 20)
    for rates in (made.hottest, made.mean):
        assert (rates[:, 1:9] == 0).all()
        assert (rates[:, 0] > 0).all()
