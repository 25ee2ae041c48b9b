# SPDX-License-Identifier: GPL-2.0
"""Durations of snapshots, and what a view leaves out."""

from __future__ import annotations

import numpy as np
import recordings
from recordings import MS

from perf_damon.analysis.view import blocks, durations, gather, interval_ns, view
from perf_damon.parameters import Attributes

ROW = [(0, 4096, 1)]


def test_a_snapshot_speaks_of_the_time_since_the_one_before():
    made = recordings.target([(1000, ROW), (1100, ROW), (1225, ROW), (1325, ROW)])
    assert durations(made).tolist() == [100 * MS, 100 * MS, 125 * MS, 100 * MS]


def test_after_a_hole_a_snapshot_speaks_of_one_interval():
    made = recordings.target([(1000, ROW), (1100, ROW), (9000, ROW), (9100, ROW)])
    assert durations(made).tolist() == [100 * MS] * 4


def test_a_busy_machine_that_stretches_all_intervals_makes_no_holes():
    made = recordings.target([(1000 + 400 * i, ROW) for i in range(5)])
    assert durations(made).tolist() == [100 * MS, *[400 * MS] * 4]


def test_interval_is_known_or_the_usual_distance_or_the_default():
    def interval(stamps, aggr_us):
        snapshots = [(ms, ROW) for ms in stamps]
        return interval_ns(recordings.target(snapshots, attributes=Attributes(aggr_us=aggr_us)))

    assert interval([0, 50, 100], 20_000) == 20 * MS
    assert interval([0, 50, 100, 900], None) == 50 * MS
    assert interval([7], None) == 100 * MS
    assert interval([7, 7, 7], None) == 100 * MS


def test_time_chooses_snapshots_by_their_stamp_both_ends_included():
    made = recordings.target([(ms, ROW) for ms in (100, 200, 300, 400)])
    chosen = view(made, 0, time=(200 * MS, 300 * MS))
    assert chosen.time.tolist() == [200 * MS, 300 * MS]
    assert chosen.duration.tolist() == [100 * MS] * 2
    assert len(chosen.regions) == 2
    assert view(made, 0, time=(401 * MS, 500 * MS)).nr_snapshots == 0


def test_blocks_drop_nonsense_cut_to_the_window_and_order_by_address():
    rows = [(100, 200, 3), (50, 80, 2), (300, 290, 9), (400, 400, 9), (210, 230, 5)]
    (block,) = blocks(view(recordings.target([(100, rows)]), 0, window=(60, 220)))
    assert block.start.tolist() == [60, 100, 210]
    assert block.end.tolist() == [80, 200, 220]
    assert block.nr_accesses.tolist() == [2, 3, 5]


def test_gather_repeats_snapshots_as_units():
    made = recordings.target([(100, [(0, 8, 1), (8, 9, 2)]), (200, [(5, 6, 3)])])
    (block,) = gather(view(made, 0), np.array([1, 0, 0]))
    assert block.unit.tolist() == [0, 1, 1, 2, 2]
    assert block.start.tolist() == [5, 0, 8, 0, 8]
