# SPDX-License-Identifier: GPL-2.0
"""Working set, percentiles, monitored ranges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import recordings
from recordings import MS

from perf_damon.analysis.survey import percentiles, survey
from perf_damon.analysis.view import view
from perf_damon.analysis.wss import over_time, threshold

SNAPSHOTS = [
    (100, [(0, 100, 0), (100, 150, 3), (500, 600, 20)]),
    (200, [(0, 150, 1), (500, 700, 0)]),
]


def test_bytes_of_each_snapshot():
    seen = survey(view(recordings.target(SNAPSHOTS), 0))
    assert seen.monitored.tolist() == [250, 350]
    assert seen.working_set.tolist() == [150, 150]
    assert (seen.start.tolist(), seen.end.tolist()) == ([0, 500], [150, 700])


def test_threshold_and_window():
    looked_at = view(recordings.target(SNAPSHOTS), 0, window=(120, 520))
    assert survey(looked_at, 1).working_set.tolist() == [30 + 20, 30]
    assert survey(looked_at, 4).working_set.tolist() == [20, 0]
    assert (threshold(looked_at, None), threshold(looked_at, 0.0)) == (1, 1)
    assert (threshold(looked_at, 15.0), threshold(looked_at, 16.0)) == (3, 4)


def test_sizes_are_exact():
    rows = [(0, 2**55 + 1, 1), (2**56, 2**56 + 3, 1)]
    assert survey(view(recordings.target([(100, rows)]), 0)).working_set.tolist() == [2**55 + 4]


def test_percentiles_are_weighted():
    values, weight = np.array([10, 30, 20]), np.array([1, 8, 1])
    assert percentiles(values, weight, (0, 10, 20, 21, 100)) == [10, 10, 20, 30, 30]
    assert percentiles(values, np.zeros(3), (0, 50, 100)) == [10, 20, 30]
    assert percentiles(values[:0], weight[:0], (0, 50)) == [0, 0]


def test_course_is_a_mean_over_time_with_holes_left_out():
    looked_at = view(recordings.target([(ms, [(0, 1, 0)]) for ms in (100, 200, 1000)]), 100 * MS)
    course = over_time(looked_at, np.array([10, 30, 50]), 5)
    assert course[[0, 4]] == pytest.approx([20, 50])
    assert all(math.isnan(value) for value in course[1:4])
