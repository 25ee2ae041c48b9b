# SPDX-License-Identifier: GPL-2.0
"""What a report looks at: some snapshots of one target, and a window of addresses.

Every analysis walks a view in blocks of whole snapshots that fit the processor's cache, and
takes no Python step per region or per snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from perf_damon.distances import HOLE, local
from perf_damon.distances import usual as usual_distance
from perf_damon.recording import Column, Regions, Target

BLOCK_ROWS = 1 << 15
DEFAULT_INTERVAL_NS = 100_000_000
"""DAMON's default aggregation interval, where neither attributes nor times tell another."""
SAMPLE = 1 << 14
"""Rows of a sample."""


@dataclass(frozen=True, slots=True)
class View:
    """Snapshots first … last of a target, and the addresses that count."""

    target: Target
    """The whole target."""
    regions: Regions
    """The rows of the chosen snapshots."""
    offsets: Column
    """int64 (snapshots + 1,): snapshot i is rows offsets[i]:offsets[i + 1] of `regions`."""
    time: Column
    """int64 (snapshots,): nanoseconds of each snapshot."""
    duration: Column
    """int64 (snapshots,): nanoseconds before `time` that each snapshot speaks of."""
    origin: int
    """Nanoseconds of the recording's first event: time 0 of every report."""
    window: tuple[int, int] | None = None
    """First address and address after the last; None is all."""
    age_unit: Column | None = None
    """float64 (snapshots,): nanoseconds that a count of age stands for; None is interval_ns."""

    @property
    def nr_snapshots(self) -> int:
        """How many snapshots are looked at."""
        return len(self.time)

    @property
    def max_nr_accesses(self) -> int:
        """nr_accesses of memory that every sample found accessed."""
        return self.target.max_nr_accesses

    @property
    def interval_ns(self) -> int:
        """The aggregation interval: as known, else the usual distance of snapshots."""
        return interval_ns(self.target)

    def age_ns(self, age: Column, snapshot: Column) -> Column:
        """float64 (n,): nanoseconds of ages, each of a snapshot of the view."""
        return age * (self.interval_ns if self.age_unit is None else self.age_unit[snapshot])


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of some snapshots: ordered by address in each, none empty, cut to the window."""

    first: int
    """Index of the first unit."""
    nr_units: int
    unit: Column
    """int64 (n,): which unit, counted from `first`, a row belongs to. A unit is a snapshot of
    the view, or an item of the list given to gather()."""
    start: Column
    end: Column
    nr_accesses: Column
    age: Column | None
    probe_hits: Column | None = None
    """int16 (n, probes), as in Regions."""


def interval_ns(target: Target) -> int:
    """Nanoseconds of a target's aggregation interval: known, or the median distance."""
    if target.attributes.aggr_us:
        return target.attributes.aggr_us * 1000
    return usual_distance(np.diff(target.snapshot_time.astype(np.int64))) or DEFAULT_INTERVAL_NS


def durations(target: Target) -> Column:
    """int64 (snapshots,): nanoseconds that each snapshot of a target speaks of.

    A snapshot counts the accesses since the one before; after a hole (monitoring paused, events
    lost) only those of one aggregation interval.
    """
    interval = interval_ns(target)
    distances = np.diff(target.snapshot_time.astype(np.int64))
    result = np.full(target.nr_snapshots, interval, np.int64)
    if target.intervals_tuned and len(distances):
        usual = np.maximum(local(distances), 1)
        result[0] = usual[0]
    else:
        # A busy machine stretches intervals: their usual length is what tells a hole.
        usual = np.int64(max(interval, usual_distance(distances)))
    result[1:] = np.where(distances / HOLE > usual, usual, distances)
    return result


def view(
    target: Target,
    origin: int,
    time: tuple[int, int] | None = None,
    window: tuple[int, int] | None = None,
) -> View:
    """The snapshots of a target whose time is in time[0] … time[1] (nanoseconds, inclusive)."""
    stamps = target.snapshot_time.astype(np.int64)
    first, last = 0, len(stamps)
    if time is not None:
        first = int(np.searchsorted(stamps, time[0], "left"))
        last = max(first, int(np.searchsorted(stamps, time[1], "right")))
    offsets = target.offsets[first : last + 1]
    rows = slice(int(offsets[0]), int(offsets[-1])) if len(offsets) else slice(0, 0)
    return View(
        target=target,
        regions=target.regions[rows],
        offsets=offsets - rows.start,
        time=stamps[first:last],
        duration=durations(target)[first:last],
        origin=origin,
        window=window,
        age_unit=None if target.age_unit is None else target.age_unit[first:last],
    )


def sample(view: View) -> slice | Column:
    """Some rows, or all where they are few: for choices of layout, never for what is shown."""
    n = len(view.regions)
    if n <= SAMPLE:
        return slice(None)
    # Golden-ratio jitter: an even step would meet the same region in every snapshot.
    i = np.arange(SAMPLE, dtype=np.float64)
    rows = ((i + i * 0.6180339887498949 % 1) * (n / SAMPLE)).astype(np.int64)
    return np.minimum(rows, n - 1)


def blocks(view: View) -> Iterator[Block]:
    """All rows of a view, once, in order."""
    offsets = view.offsets
    first = 0
    while first < view.nr_snapshots:
        last = int(np.searchsorted(offsets, offsets[first] + BLOCK_ROWS, "right")) - 1
        last = max(last, first + 1)
        rows = slice(int(offsets[first]), int(offsets[last]))
        # A running count of beginnings takes half the time of np.repeat.
        begins = np.bincount(
            offsets[first + 1 : last] - rows.start, minlength=rows.stop - rows.start
        )
        yield _block(view, first, last - first, np.cumsum(begins), rows)
        first = last


def gather(view: View, snapshots: Column) -> Iterator[Block]:
    """The rows of the listed snapshots (int64 (n,), repetitions allowed); unit i is item i."""
    counts = np.diff(view.offsets)[snapshots]
    ends = np.cumsum(counts)
    first = 0
    while first < len(snapshots):
        begin = int(ends[first - 1]) if first else 0
        last = max(int(np.searchsorted(ends, begin + BLOCK_ROWS, "right")), first + 1)
        unit = np.repeat(np.arange(last - first), counts[first:last])
        into = np.arange(len(unit)) - np.repeat(
            ends[first:last] - counts[first:last], counts[first:last]
        )
        rows = view.offsets[snapshots[first:last]][unit] + into + begin
        yield _block(view, first, last - first, unit, rows)
        first = last


def cut(view: View, rows: slice | Column) -> tuple[Column, Column, Column]:
    """start, end and nr_accesses of some rows, cut to the window.

    Of a row that lies outside, or that makes no sense, nothing is left: its end is its start.
    """
    start, end = view.regions.start[rows], view.regions.end[rows]
    if view.window is not None:
        low, high = (np.uint64(address) for address in view.window)
        start, end = np.clip(start, low, high), np.clip(end, low, high)
    return start, np.maximum(start, end), view.regions.nr_accesses[rows]


def _block(view: View, first: int, nr_units: int, unit: Column, rows: slice | Column) -> Block:
    start, end, nr_accesses = cut(view, rows)
    age = None if view.regions.age is None else view.regions.age[rows]
    hits = None if view.regions.probe_hits is None else view.regions.probe_hits[rows]
    columns = [unit, start, end, nr_accesses, age, hits]
    keep = end > start
    if not keep.all():
        columns = [None if column is None else column[keep] for column in columns]
    if _unordered(columns[0], columns[1]):
        order = np.lexsort((columns[1], columns[0]))
        columns = [None if column is None else column[order] for column in columns]
    return Block(first, nr_units, *columns)


def _unordered(unit: Column, start: Column) -> bool:
    # DAMON emits regions in address order; what lost or mangled records made of it may differ.
    back = np.flatnonzero(start[1:] < start[:-1])
    return bool((unit[back] == unit[back + 1]).any())
