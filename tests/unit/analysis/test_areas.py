# SPDX-License-Identifier: GPL-2.0
"""Areas and heatmaps: what people look for has to be in them."""

from __future__ import annotations

import numpy as np
import pytest
import recordings

from perf_damon.analysis.report import examine
from perf_damon.analysis.view import view
from perf_damon.parameters import Attributes

MB, GB = 1 << 20, 1 << 30
BASE = 0x7F0000000000


def look(snapshots, maps=(), width=70, height=20, **kind):
    made = recordings.recording(recordings.target(snapshots, **kind), maps=maps)
    return examine(view(made.targets[0], made.start_time), made.mappings, width, height)


def needle(n=50):
    """4 MB accessed all the time in 16 GB that is not."""
    spot = BASE + 5 * GB
    rows = [(BASE, spot, 0), (spot, spot + 4 * MB, 20, 7), (spot + 4 * MB, BASE + 16 * GB, 0)]
    return spot, [(100 * i, rows) for i in range(1, n)]


def test_a_hot_spot_of_4_mb_in_16_gb_is_an_area_of_its_own():
    spot, snapshots = needle()
    found = look(snapshots, [(1234, BASE, BASE + 16 * GB, "//anon")]).areas
    assert (int(found.start[0]), int(found.end[0])) == (spot, spot + 4 * MB)
    assert (found.rate[0], found.share[0], found.age[0]) == pytest.approx((1, 1, 7))
    assert found.size[0] == pytest.approx(4 * MB)
    assert (found.rate[1:] == 0).all()


def test_a_hot_spot_of_4_mb_in_16_gb_is_bright_in_the_heatmap():
    spot, snapshots = needle()
    picture = look(snapshots).heatmap
    column = int(np.searchsorted(picture.axis.start, np.uint64(spot), "right")) - 1
    width = int(picture.axis.end[column] - picture.axis.start[column])
    assert picture.hottest[:, column] == pytest.approx(1)
    assert picture.mean[:, column] == pytest.approx(4 * MB / width)
    assert np.delete(picture.hottest, column, axis=1).max() == 0


def test_parts_that_are_hot_at_different_times_are_different_areas():
    rows = [
        [(BASE + i * MB, BASE + (i + 1) * MB, 18 if i == step else 0) for i in range(5)]
        for step in range(5)
    ]
    found = look([(100 * (i + 1), rows[i // 20]) for i in range(100)]).areas
    assert sorted(found.start.tolist()) == [BASE + i * MB for i in range(5)]
    assert found.rate == pytest.approx(0.9 / 5)
    assert found.peak == pytest.approx(0.9)
    assert found.share == pytest.approx(0.2)


def test_areas_end_where_mappings_end():
    maps = [(1234, 0, 40, "/a"), (1234, 40, 60, "/b")]
    found = look([(100 * i, [(0, 100, 5)]) for i in range(1, 5)], maps)
    names = {
        int(a): found.atlas.name_of(m)
        for a, m in zip(found.areas.start, found.areas.mapping, strict=True)
    }
    assert names == {0: "/a", 40: "/b", 60: "(unknown)"}


def test_areas_do_not_reach_over_what_is_not_monitored():
    found = look([(100 * i, [(0, 100, 5), (200, 300, 5)]) for i in range(1, 5)]).areas
    assert sorted(zip(found.start.tolist(), found.end.tolist(), strict=True)) == [
        (0, 100),
        (200, 300),
    ]


def test_memory_that_is_monitored_a_part_of_the_time_has_that_part_of_its_size():
    rows = [(0, 100, 10)], [(0, 100, 10), (200, 300, 20)]
    found = look([(100 * (i + 1), rows[i // 5]) for i in range(10)]).areas
    sizes = dict(zip(found.start.tolist(), found.size.tolist(), strict=True))
    rates = dict(zip(found.start.tolist(), found.rate.tolist(), strict=True))
    assert sizes == pytest.approx({0: 100, 200: 50})
    assert rates == pytest.approx({0: 0.5, 200: 1})


def test_nothing_accessed_nothing_monitored_and_one_of_everything():
    cold = look([(100 * i, [(0, 4096, 0)]) for i in range(1, 9)])
    assert cold.areas.share.tolist() == [0]
    assert (cold.heatmap.hottest == 0).all()
    assert look([(100, [(8, 8, 3)])]) is None
    one = look([(100, [(0, 1, 20)])])
    assert one.heatmap.mean.tolist() == one.heatmap.hottest.tolist() == [[1.0]]


def test_time_without_snapshots_is_blank():
    rows = [(0, 4096, 20)]
    stamps = [100 * i for i in range(1, 11)] + [100 * i for i in range(91, 101)]
    picture = look([(ms, rows) for ms in stamps], width=1, height=10).heatmap
    assert np.isnan(picture.hottest[1:9]).all()
    assert picture.hottest[[0, 9]] == pytest.approx(1)


def test_all_events_at_one_time_are_no_trouble():
    for attributes in (recordings.DEFAULT, Attributes()):
        snapshots = [(100, [(0, 4096, 20)]), (100, [(0, 4096, 0)])]
        found = look(snapshots, attributes=attributes)
        assert found.heatmap.hottest.min() == 1


def test_rates_never_exceed_all_samples():
    found = look([(100 * i, [(0, 4096, 25)]) for i in range(1, 5)])
    assert found.heatmap.hottest.max() == found.heatmap.mean.max() == found.areas.rate[0] == 1


def pie(accessed_between=0):
    """A program, its heap 600 MB further on, and what DAMON sees: one area over both."""
    program, heap = 0x550000000000, 0x550000000000 + 600 * MB
    rows = [
        (program, program + MB, 3),
        (program + MB, heap, accessed_between),
        (heap, heap + 10 * MB, 20),
    ]
    maps = [(1234, program, program + MB, "/bin/app"), (1234, heap, heap + 10 * MB, "[heap]")]
    return program, heap, look([(100 * i, rows) for i in range(1, 9)], maps)


def test_what_is_not_mapped_is_left_out_of_the_picture_but_not_of_the_sums():
    program, heap, found = pie()
    assert found.heatmap.axis.spans == [(program, program + MB), (heap, heap + 10 * MB)]
    assert found.heatmap.left_out == ((program + MB, heap),)
    assert len(found.heatmap.axis) == 69
    assert found.survey.monitored.tolist() == [610 * MB] * 8
    assert found.heatmap.hottest[:, -1] == pytest.approx(1)
    assert found.areas.size.sum() == pytest.approx(610 * MB)


def test_what_is_accessed_is_never_left_out_whatever_the_mappings_say():
    program, heap, found = pie(accessed_between=1)
    assert found.heatmap.axis.spans == [(program, heap + 10 * MB)]
    assert found.heatmap.left_out == ()
