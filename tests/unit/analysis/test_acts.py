# SPDX-License-Identifier: GPL-2.0
"""What schemes did: which rows count, their totals, and the picture, against plain loops."""

from __future__ import annotations

import numpy as np
import recordings
from recordings import MS

from perf_damon.analysis.applied import acts, coverage, of_view
from perf_damon.analysis.layout import axis
from perf_damon.analysis.view import view
from perf_damon.parameters import Scheme

ROWS = [(0, 4096, 0, 9)]
STEADY = [(100 * i, ROWS) for i in range(1, 11)]


def look(time=None, window=None):
    return view(recordings.target(STEADY), 100 * MS, time, window)


def test_windows_of_time_share_the_rows_out():
    rows = recordings.applied([(t, 0, 0, 4096) for t in (50, 100, 101, 450, 500, 501, 999, 2000)])
    assert of_view(look(), rows).time.tolist() == rows.time.tolist()
    early = of_view(look((0, 500 * MS)), rows).time // MS
    late = of_view(look((500 * MS + 1, 5000 * MS)), rows).time // MS
    assert early.tolist() == [50, 100, 101, 450, 500]
    assert late.tolist() == [501, 999, 2000]


def test_rows_of_others_do_not_count():
    four = [(200, 0, 0, 4096)] * 4
    rows = recordings.applied(four, kdamond=[77, 78, 77, 77], target=[0, 0, 1, 0])
    assert len(of_view(look(), rows)) == 2


def test_rows_are_cut_to_the_addresses():
    rows = recordings.applied([(200, 0, 0, 4096), (200, 0, 4096, 9000), (300, 0, 1500, 1600)])
    cut = of_view(look(window=(1000, 2000)), rows)
    assert list(zip(cut.start.tolist(), cut.end.tolist(), strict=True)) == [
        (1000, 2000),
        (1500, 1600),
    ]


def test_totals():
    rows = recordings.applied(
        [(1, 0, 0, 100), (2, 2, 0, 10), (3, 0, 50, 150), (4, 0, 500, 600), (5, 0, 0, 100)],
        context=[0, 0, 0, 0, 1],
    )
    found = acts(rows, [Scheme("pageout"), Scheme("stat")])
    assert [(a.name, a.action, len(a.rows), a.bytes, a.distinct) for a in found] == [
        ("0", "pageout", 3, 300, 250),
        ("1", "stat", 0, 0, 0),
        ("2", None, 1, 10, 10),
        ("1:0", None, 1, 100, 100),
    ]
    assert acts(rows[:0]) == []


def test_coverage_is_what_a_loop_over_bytes_finds():
    rng = np.random.default_rng(5)
    columns = axis([(0, 40), (100, 160)], 10)
    edges = np.array([0, 10, 20, 40], np.int64) * MS
    start = rng.integers(0, 150, 60)
    times = np.sort(rng.integers(0, 50, 60) // 5 * 5)
    rows = [
        (int(t), 0, int(a), int(a + n))
        for t, a, n in zip(times, start, rng.integers(1, 9, 60), strict=True)
    ]
    found = coverage(recordings.applied(rows), edges, columns)
    for t, (low, high) in enumerate([(-1, 10), (10, 20), (20, 1000)]):
        touched = {x for at, _, a, b in rows if low < at <= high for x in range(a, b)}
        for c, (a, b) in enumerate(zip(columns.start.tolist(), columns.end.tolist(), strict=True)):
            assert found[t, c] == len(touched & set(range(a, b))) / (b - a)
    assert 0 < found.mean() < 1


def test_coverage_of_nothing_and_of_the_highest_addresses():
    columns = axis([(2**64 - 8192, 2**64 - 1)], 2)
    edges = np.array([0, 10 * MS])
    assert coverage(recordings.applied([]), edges, columns).tolist() == [[0, 0]]
    rows = recordings.applied([(1, 0, 2**64 - 8192, 2**64 - 1)])
    assert coverage(rows, edges, columns).tolist() == [[1, 1]]
