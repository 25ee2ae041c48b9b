# SPDX-License-Identifier: GPL-2.0
"""Recordings made by hand, and large ones made by rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perf_damon.parameters import Attributes
from perf_damon.recording import (
    STARTED,
    Applied,
    Darc,
    DarcReclaims,
    DarcTurns,
    Header,
    Losses,
    Mappings,
    Recording,
    Regions,
    Target,
)

MS = 1_000_000
DEFAULT = Attributes(5_000, 100_000, 1_000_000, 10, 1000)

Row = tuple[int, int, int] | tuple[int, int, int, int]
"""start, end, nr_accesses, age"""


def regions(snapshots: Sequence[tuple[int, Sequence[Row]]], ages: bool = True) -> Regions:
    """Columns of (time in ms, rows) snapshots."""
    rows = [
        (ms * MS + i * 1000, *row[:3], row[3] if len(row) > 3 else 0, len(snapshot))
        for ms, snapshot in snapshots
        for i, row in enumerate(snapshot)
    ]
    columns = list(zip(*rows, strict=True)) or [()] * 6
    time, start, end, nr_accesses, age, nr_regions = columns
    return Regions(
        time=np.array(time, np.uint64),
        start=np.array(start, np.uint64),
        end=np.array(end, np.uint64),
        nr_accesses=np.array(nr_accesses, np.uint32),
        age=np.array(age, np.uint32) if ages else None,
        nr_regions=np.array(nr_regions, np.uint32),
    )


def target(
    snapshots: Sequence[tuple[int, Sequence[Row]]],
    *,
    ages: bool = True,
    attributes: Attributes = DEFAULT,
    kdamond: int = 77,
    id: int = 0,
    pid: int | None = 1234,
    comm: str | None = "stairs",
    operations: str | None = "vaddr",
    inferred: bool = False,
) -> Target:
    """A target of (time in ms, rows) snapshots."""
    columns = regions(snapshots, ages)
    return Target(
        kdamond=kdamond,
        id=id,
        rows=slice(0, len(columns)),
        regions=columns,
        offsets=np.cumsum([0, *(len(rows) for _, rows in snapshots)]),
        attributes=attributes,
        attributes_inferred=inferred,
        operations=operations,
        pid=pid,
        comm=comm,
    )


def mappings(rows: Sequence[tuple[int, int, int, str]] = (), time: Sequence[int] = ()) -> Mappings:
    """Mappings of (pid, start, end, name) rows."""
    names = tuple(dict.fromkeys(row[3] for row in rows))
    return Mappings(
        time=np.array(time or [0] * len(rows), np.uint64),
        pid=np.array([row[0] for row in rows], np.int32),
        start=np.array([row[1] for row in rows], np.uint64),
        end=np.array([row[2] for row in rows], np.uint64),
        offset=np.zeros(len(rows), np.uint64),
        name=np.array([names.index(row[3]) for row in rows], np.int32),
        names=names,
    )


def applied(rows: Sequence[tuple[int, int, int, int]], **keys: int | Sequence[int]) -> Applied:
    """What schemes acted on: (time in ms, scheme, start, end); keys are further columns."""
    columns = {"kdamond": 77, "context": 0, "target": 0, "nr_accesses": 0, "age": 30, **keys}
    time, scheme, start, end = list(zip(*rows, strict=True)) or [()] * 4
    count = len(rows)
    return Applied(
        time=np.array(time, np.uint64) * np.uint64(MS),
        kdamond=np.broadcast_to(np.array(columns["kdamond"], np.int32), count),
        context=np.broadcast_to(np.array(columns["context"], np.uint32), count),
        scheme=np.array(scheme, np.uint32),
        target=np.broadcast_to(np.array(columns["target"], np.uint64), count),
        start=np.array(start, np.uint64),
        end=np.array(end, np.uint64),
        nr_accesses=np.broadcast_to(np.array(columns["nr_accesses"], np.uint32), count),
        age=np.broadcast_to(np.array(columns["age"], np.uint32), count),
    )


def recording(
    *targets: Target,
    maps: Sequence[tuple[int, int, int, str]] = (),
    losses: Losses | None = None,
    header: Header | None = None,
    parameters: object = None,
    applied: Applied | None = None,
) -> Recording:
    """A Recording of these targets."""
    return Recording(
        path="perf.data",
        regions=targets[0].regions if targets else regions([]),
        targets=targets,
        mappings=mappings(maps),
        comms={1234: "stairs", 77: "kdamond.0"},
        header=header or Header(hostname="lab", os_release="6.12.0-test", arch="x86_64"),
        parameters=parameters,
        losses=losses or Losses(),
        size=4096,
        applied=applied,
    )


def large(rows: int, per_snapshot: int = 100, seed: int = 1) -> Recording:
    """A recording like a real one's: heap, mmap area and stack; splits move, a hot spot moves."""
    rng = np.random.default_rng(seed)
    count = rows // per_snapshot
    spans = ((0x55D0C8A1C000, 32 << 20), (0x7F1C00000000, 800 << 20), (0x7FFD10000000, 132 << 10))
    shares = (per_snapshot // 5, per_snapshot - per_snapshot // 5 - 2, 2)
    start = np.empty((count, per_snapshot), np.uint64)
    end = np.empty((count, per_snapshot), np.uint64)
    at = 0
    for (base, size), share in zip(spans, shares, strict=True):
        cuts = np.sort(rng.integers(1, size >> 12, (count, share - 1), dtype=np.uint64), axis=1)
        low = np.concatenate((np.zeros((count, 1), np.uint64), cuts), axis=1) << np.uint64(12)
        high = np.concatenate((low[:, 1:], np.full((count, 1), size, np.uint64)), axis=1)
        start[:, at : at + share] = low + np.uint64(base)
        end[:, at : at + share] = high + np.uint64(base)
        at += share
    phase = np.arange(count) * 10 // count
    hot = spans[1][0] + phase * (spans[1][1] // 10)
    middle = (start >> np.uint64(1)) + (end >> np.uint64(1))
    inside = (middle >= hot[:, None]) & (middle < (hot + spans[1][1] // 10)[:, None])
    nr_accesses = np.where(inside, rng.integers(14, 21, start.shape), 0)
    nr_accesses = np.where(rng.random(start.shape) < 0.03, 1, nr_accesses).astype(np.uint32)
    stamp = (1_000_000_000 + np.arange(count, dtype=np.uint64) * np.uint64(100 * MS)).repeat(
        per_snapshot
    )
    columns = Regions(
        time=stamp,
        start=start.ravel(),
        end=end.ravel(),
        nr_accesses=nr_accesses.ravel(),
        age=rng.integers(0, 50, count * per_snapshot, dtype=np.uint32),
        nr_regions=np.full(count * per_snapshot, per_snapshot, np.uint32),
    )
    made = Target(
        kdamond=77,
        id=0,
        rows=slice(0, len(columns)),
        regions=columns,
        offsets=np.arange(count + 1) * per_snapshot,
        attributes=DEFAULT,
        operations="vaddr",
        pid=1234,
        comm="stairs",
    )
    maps = [
        (1234, spans[0][0], spans[0][0] + spans[0][1], "[heap]"),
        (1234, spans[1][0], spans[1][0] + (700 << 20), "//anon"),
        (1234, spans[1][0] + (790 << 20), spans[1][0] + (792 << 20), "/usr/lib/libc.so.6"),
        (1234, spans[2][0], spans[2][0] + spans[2][1], "[stack]"),
    ]
    return recording(made, maps=maps)


def darc(
    zones: Sequence[str],
    turns: Sequence[tuple[int, int, int, int, int]],
    reclaims: Sequence[tuple[int, int, int, int, int]],
) -> Darc:
    """What DARC did: (ms, zone, why, reclaimed, free) and (ms, zone, start, tried, reclaimed).

    Of what was tried all has passed. `why` is recording.STARTED for a start.
    """
    assert all(why >= STARTED for _, _, why, *_ in turns)
    kinds = (np.uint64, np.int32, np.int8, np.uint64, np.uint64)
    columns = [np.array(c, k) for c, k in zip(zip(*turns, strict=True), kinds, strict=True)]
    time, zone, why, reclaimed, free = columns
    marks = (np.full(len(time), size << 20, np.uint64) for size in (192, 128, 50))
    columns = [np.array(column, np.uint64) for column in zip(*reclaims, strict=True)]
    at, of, start, tried, done = columns
    return Darc(
        zones=tuple(zones),
        turns=DarcTurns(time * np.uint64(MS), zone, why, reclaimed, free, *marks),
        reclaims=DarcReclaims(
            at * np.uint64(MS), of.astype(np.int32), start, start + tried, tried, done
        ),
    )
