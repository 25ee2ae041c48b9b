# SPDX-License-Identifier: GPL-2.0
"""Snapshots, intervals and processes, concluded from events alone."""

from itertools import chain

import numpy as np
import pytest

from perf_damon.perfdata.assemble import assemble, infer_aggr_us, infer_pid, infer_sample_us
from perf_damon.perfdata.events import Events
from perf_damon.perfdata.sideband import MappingTable
from perf_damon.recording import Regions

MS = 10**6


def columns(rows):
    """Columns of (time, start, end, nr_regions) rows; nr_accesses is 1."""
    time, start, end, nr_regions = (np.array(c, dtype=np.uint64) for c in zip(*rows, strict=True))
    return {
        "time": time,
        "start": start,
        "end": end,
        "nr_accesses": np.ones(len(time), dtype=np.uint32),
        "nr_regions": nr_regions.astype(np.uint32),
    }


def offsets(rows):
    rows = list(rows)
    table = MappingTable().mappings()
    events = Events(columns(rows), np.zeros(len(rows), dtype=np.uint16), [(5, 0)], True)
    _, (target,) = assemble(events, table, {}, None)
    return list(target.offsets)


def snapshot(time, count=3, low=0x1000, nr_regions=None):
    return [
        (time + i, low + i * 0x1000, low + (i + 1) * 0x1000, nr_regions or count)
        for i in range(count)
    ]


def regular(snapshots, **kwargs):
    return [snapshot(100 * MS * i, **kwargs) for i in range(1, snapshots + 1)]


def test_plain_snapshots():
    assert offsets(chain(*regular(5))) == [0, 3, 6, 9, 12, 15]


def test_snapshots_of_a_single_region():
    assert offsets(chain(*regular(4, count=1))) == [0, 1, 2, 3, 4]


def test_a_single_region_that_moves_up():
    rows = [row for i, s in enumerate(range(1, 6)) for row in snapshot(100 * MS * s, 1, 4096 * i)]
    assert offsets(rows) == [0, 1, 2, 3, 4, 5]


def test_the_number_of_regions_changes():
    rows = snapshot(100 * MS, 2) + snapshot(200 * MS, 3, low=0x9000) + snapshot(300 * MS, 3)
    assert offsets(rows) == [0, 2, 5, 8]


def test_lost_tail_and_head_do_not_join():
    parts = regular(20, count=6)
    parts[7] = parts[7][:2]
    parts[8] = parts[8][3:]
    want = np.cumsum([0, *map(len, parts)])
    assert offsets(chain(*parts)) == list(want)


def test_a_slow_snapshot_stays_whole():
    parts = regular(20, count=6)
    parts[4] = [(row[0] + i * 15 * MS, *row[1:]) for i, row in enumerate(parts[4])]
    assert offsets(chain(*parts)) == list(range(0, 121, 6))


@pytest.mark.parametrize(
    ("distance_ns", "us"),
    [
        (100 * MS, 100000),
        (101_400_000, 100000),
        (5_060_000, 5100),
        (1_234_567_000, 1200000),
        (7000, 7),
        (12_400, 12),
        (400, None),
    ],
)
def test_aggregation_interval(distance_ns, us):
    assert infer_aggr_us(np.arange(50, dtype=np.uint64) * np.uint64(distance_ns)) == us


def test_aggregation_interval_with_gaps():
    time = np.delete(np.arange(50, dtype=np.uint64) * np.uint64(100 * MS), [3, 4, 5, 20, 30])
    assert infer_aggr_us(time) == 100000
    assert infer_aggr_us(time[:1]) is None


def test_sampling_interval():
    assert infer_sample_us(100000, np.array([0, 20])) == 5000
    assert infer_sample_us(100000, np.array([0, 21])) is None
    assert infer_sample_us(None, np.array([1])) is None
    assert infer_sample_us(19, np.array([1])) is None


def regions(rows):
    """Regions of (start, end, nr_accesses) rows."""
    start, end, accesses = (np.array(c, dtype=np.uint64) for c in zip(*rows, strict=True))
    return Regions(start, start, end, accesses.astype(np.uint32), None, accesses)


def mappings(rows):
    table = MappingTable()
    for pid, start, end in rows:
        table.add(0, pid, start, end, 0, "x")
    return table.mappings()


def test_the_process_that_covers_most():
    some = regions([(0x1000, 0x5000, 1), (0x8000, 0x9000, 1)])
    table = mappings([(7, 0x1000, 0x3000), (8, 0x1000, 0x3000), (8, 0x2000, 0x5000)])
    assert infer_pid(some, table) == 8


def test_covered_bytes_count_once():
    some = regions([(0x1000, 0x9000, 1)])
    assert infer_pid(some, mappings([(7, 0x1000, 0x4000)] * 5)) is None
    assert infer_pid(some, mappings([(7, 0x1000, 0x3000), (7, 0x6000, 0x8000)])) == 7


def test_gaps_that_nobody_accesses_do_not_count():
    some = regions([(0x1000, 0x2000, 3), (0x2000, 0x40000000, 0)])
    assert infer_pid(some, mappings([(7, 0x1000, 0x2000)])) == 7
    idle = regions([(0x1000, 0x2000, 0), (0x2000, 0x40000000, 0)])
    assert infer_pid(idle, mappings([(7, 0x1000, 0x2000)])) is None


def test_no_process_for_the_kernels_addresses_or_without_mappings():
    some = regions([(0xFFFF800000000000, 0xFFFF800000001000, 1)])
    assert infer_pid(some, mappings([(7, 0xFFFF800000000000, 0xFFFF900000000000)])) is None
    assert infer_pid(regions([(0x1000, 0x2000, 1)]), mappings([])) is None
