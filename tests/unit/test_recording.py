# SPDX-License-Identifier: GPL-2.0
"""The model's own arithmetic."""

import math

import numpy as np
import pytest

from perf_damon.parameters import Attributes
from perf_damon.recording import Header, Losses, Mappings, Recording, Regions, Target


def regions(rows, age=True):
    time, start, end, accesses, ages = (list(c) for c in zip(*rows, strict=True))
    return Regions(
        time=np.array(time, dtype=np.uint64),
        start=np.array(start, dtype=np.uint64),
        end=np.array(end, dtype=np.uint64),
        nr_accesses=np.array(accesses, dtype=np.uint32),
        age=np.array(ages, dtype=np.uint32) if age else None,
        nr_regions=np.full(len(rows), 2, dtype=np.uint32),
    )


def recording(*targets):
    nothing = np.zeros(0, dtype=np.uint64)
    return Recording(
        path="perf.data",
        regions=targets[0].regions if targets else None,
        targets=targets,
        mappings=Mappings(*[nothing] * 6, ()),
        comms={},
        header=Header(),
        parameters=None,
        losses=Losses(),
        size=0,
    )


def target(rows, offsets, *, age=True, **kwargs):
    attributes = Attributes(sample_us=5000, aggr_us=100000)
    columns = regions(rows, age)
    return Target(
        **{"kdamond": 5, "id": 0, "attributes": attributes, "pid": 77, **kwargs},
        rows=slice(0, len(rows)),
        regions=columns,
        offsets=np.array(offsets),
    )


ROWS = [
    (10**9, 0x1000, 0x3000, 10, 3),
    (10**9 + 5, 0x3000, 0x4000, 25, 0),
    (2 * 10**9, 0x1000, 0x4000, 0, 7),
]


def test_slices_share_memory():
    columns = regions(ROWS)
    part = columns[1:]
    assert len(part) == 2
    assert np.shares_memory(part.age, columns.age)
    assert regions(ROWS, age=False)[1:].age is None


def test_snapshots_and_times():
    one = target(ROWS, [0, 2, 3])
    assert one.nr_snapshots == 2
    assert one.snapshot_time.tolist() == [10**9, 2 * 10**9]
    assert recording(one).start_time == 10**9
    assert recording(one).end_time == 2 * 10**9


def test_the_most_accesses_that_can_be():
    assert target(ROWS, [0, 2, 3]).max_nr_accesses == 20
    assert target(ROWS, [0, 2, 3], attributes=Attributes()).max_nr_accesses == 25
    assert target(ROWS[2:], [0, 1], attributes=Attributes()).max_nr_accesses == 1


def test_losses_are_false_without_any():
    assert not Losses()
    assert Losses(skipped_records=1)


def test_pandas():
    pytest.importorskip("pandas")
    other = target([(10**9 - 100, 0x9000, 0xA000, 20, 1)], [0, 1], kdamond=6, pid=None, age=False)
    frame = recording(target(ROWS, [0, 2, 3]), other).to_pandas()
    assert list(frame.columns) == [
        *("kdamond", "target", "pid", "snapshot", "time", "start", "end", "size"),
        *("nr_accesses", "rate", "age"),
    ]
    assert frame["kdamond"].tolist() == [5, 5, 5, 6]
    assert frame["pid"].isna().tolist() == [False, False, False, True]
    assert frame["pid"].tolist()[0] == 77
    assert frame["snapshot"].tolist() == [0, 0, 1, 0]
    assert frame["time"].tolist() == pytest.approx([1e-7, 1.05e-7, 1 + 1e-7, 0])
    assert frame["size"].tolist() == [0x2000, 0x1000, 0x3000, 0x1000]
    assert frame["rate"].tolist() == [0.5, 1.0, 0.0, 1.0]
    assert frame["age"].tolist()[:3] == pytest.approx([0.3, 0.0, 0.7])
    assert math.isnan(frame["age"].tolist()[3])


def test_pandas_of_nothing():
    pytest.importorskip("pandas")
    frame = recording().to_pandas()
    assert len(frame) == 0
    assert "rate" in frame.columns
