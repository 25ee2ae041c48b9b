# SPDX-License-Identifier: GPL-2.0
"""The model's own arithmetic."""

import math
from dataclasses import replace

import numpy as np
import pytest
import recordings

import perf_damon
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
        *("kdamond", "target", "pid", "comm", "snapshot", "time", "start", "end", "size"),
        *("nr_accesses", "rate", "age", "mapping"),
    ]
    assert frame["mapping"].isna().all() and frame["comm"].isna().all()
    assert frame["kdamond"].tolist() == [5, 5, 5, 6]
    assert frame["pid"].isna().tolist() == [False, False, False, True]
    assert frame["pid"].tolist()[0] == 77
    assert frame["snapshot"].tolist() == [0, 0, 1, 0]
    assert frame["time"].tolist() == pytest.approx([1e-7, 1.05e-7, 1 + 1e-7, 0])
    assert frame["size"].tolist() == [0x2000, 0x1000, 0x3000, 0x1000]
    assert frame["rate"].tolist() == [0.5, 1.0, 0.0, 1.0]
    assert frame["age"].tolist()[:3] == pytest.approx([0.3, 0.0, 0.7])
    assert math.isnan(frame["age"].tolist()[3])


def test_pandas_names_mappings_and_processes():
    pytest.importorskip("pandas")
    rows = [
        (1000, 0x1000, 0x3000, 1, 0),
        (1000, 0x5000, 0x9000, 1, 0),
        (1000, 0xF000, 0x10000, 1, 0),
    ]
    named = replace(
        recording(
            target(rows, [0, 3], comm="redis"),
            target(ROWS, [0, 2, 3], pid=None, comm=None, id=1),
        ),
        mappings=recordings.mappings(
            [
                (77, 0x1000, 0x2000, "//anon"),
                (77, 0x8000, 0x9000, "/a"),
                (78, 0xF000, 0x10000, "/b"),
            ]
        ),
        applied=recordings.applied([(1, 0, 0x8000, 0x9000), (2, 0, 0, 0x500)], kdamond=5),
    )
    frame = named.to_pandas()
    assert frame["mapping"].tolist()[:2] == ["anonymous", "/a"]
    assert frame["mapping"].isna().tolist() == [False, False, True, True, True, True]
    assert (
        frame["comm"].tolist()[:3] == ["redis"] * 3
        and frame["comm"].isna().tolist()[3:] == [True] * 3
    )
    assert frame.groupby("mapping").size().to_dict() == {"/a": 1, "anonymous": 1}
    acted = named.applied_to_pandas()
    assert acted["mapping"].tolist()[0] == "/a" and acted["mapping"].isna().tolist() == [
        False,
        True,
    ]
    assert acted["comm"].tolist() == ["redis"] * 2
    nothing = recording().applied_to_pandas()
    assert {"comm", "mapping"} <= set(nothing.columns) and len(nothing) == 0


def test_errors_are_the_packages():
    assert issubclass(perf_damon.DataError, perf_damon.Error)
    assert issubclass(perf_damon.UsageError, perf_damon.Error)
    assert {"DataError", "Error", "UsageError", "open"} <= set(perf_damon.__all__)
    with pytest.raises(perf_damon.DataError):
        perf_damon.open(__file__)


def everything():
    """A recording with all that the model has, by rules that make all of it long."""
    whole = recordings.large(20_000)
    darc = recordings.darc(
        ("0-Normal",) * 50, [(i, 0, 0, 1, 1) for i in range(99)], [(1, 0, 1, 1, 1)]
    )
    return replace(
        whole,
        path="/a/long/path" * 300 + "\x1b[2J",
        applied=recordings.applied([(i, 0, i, i + 1) for i in range(999)]),
        darc=darc,
        comms=dict.fromkeys(range(999), "x" * 63),
        header=Header(hostname="h\x1b[2J", cmdline=("word" * 999,)),
    )


def parts(whole):
    (one,) = whole.targets
    darc = whole.darc
    columns = (one.regions, whole.regions, whole.applied, whole.mappings, darc.turns, darc.reclaims)
    return (whole, one, darc, *columns)


def test_reprs_are_short_and_harmless():
    for one in (*parts(everything()), everything().header):
        text = repr(one)
        assert type(one).__name__ in text and len(text) < 250, text
        assert text.isprintable()
    assert repr(target(ROWS, [0, 2, 3], comm="redis")) == (
        "Target(kdamond=5, id=0, pid=77, comm='redis', operations=None: 2 snapshots, 3 regions)"
    )
    assert repr(regions(ROWS)) == "Regions(3 rows)"
    assert repr(recording(target(ROWS, [0, 2, 3]))) == (
        "Recording('perf.data': 1 target, 2 snapshots, 3 regions, 1.0 s)"
    )


def test_what_has_columns_is_equal_to_itself_and_hashable():
    same, other = everything(), everything()
    for one, two in zip(parts(same), parts(other), strict=True):
        assert one == one and one != two and (one == 1) is False
        assert len({one, two, one}) == 2


def test_rows_are_chosen_as_numpy_does():
    columns = regions(ROWS)
    for rows in (0, 2, -1, np.int64(1)):
        one = columns[rows]
        assert len(one) == 1 and one.start.tolist() == [columns.start[rows]]
    assert columns[::2].end.tolist() == [0x3000, 0x4000]
    assert columns[columns.nr_accesses > 5].age.tolist() == [3, 0]
    assert columns[[2, 0]].age.tolist() == [7, 3]
    assert columns[5:].start.tolist() == [] and regions(ROWS, age=False)[0].age is None
    assert [one.start.tolist() for one in columns] == [[0x1000], [0x3000], [0x1000]]
    for rows in (3, -4):
        with pytest.raises(IndexError):
            columns[rows]
    acted = recordings.applied([(1, 0, 5, 6), (2, 1, 7, 8)])
    assert len(acted[1]) == 1 and acted[-1].start.tolist() == [7]
    assert [len(one) for one in acted] == [1, 1]


def test_snapshots_of_a_target():
    whole = target(ROWS, [0, 2, 3], comm="redis")
    assert [one.regions.start.tolist() for one in whole] == [[0x1000, 0x3000], [0x1000]]
    for snapshots, offsets, rows in (
        (0, [0, 2], (0, 2)),
        (-1, [0, 1], (2, 3)),
        (slice(1, None), [0, 1], (2, 3)),
        (slice(0, 9), [0, 2, 3], (0, 3)),
        (slice(2, 1), [0], (3, 3)),
    ):
        part = whole[snapshots]
        assert part.offsets.tolist() == offsets and (part.rows.start, part.rows.stop) == rows
        assert part.comm == "redis" and part.nr_snapshots == len(part.snapshot_time)
        assert np.shares_memory(part.regions.start, whole.regions.start) or not len(part.regions)
    with pytest.raises(IndexError):
        whole[2]
    with pytest.raises(ValueError, match="step"):
        whole[::2]


def test_pandas_of_nothing():
    pytest.importorskip("pandas")
    frame = recording().to_pandas()
    assert len(frame) == 0
    assert "rate" in frame.columns
