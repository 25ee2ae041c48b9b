# SPDX-License-Identifier: GPL-2.0
"""The pass that everything drawn comes from: rows of regions onto time bins and address segments.

Each region's start is looked up once among the breakpoints of all columns, mappings and areas.
A region then adds a step up at its start and a step down at its end, and a running sum over the
segments gives, exactly, the bytes × nanoseconds × accesses in each: nothing is sampled, and a
region of one page in a column of 200 MB counts with its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.finder import Finder
from perf_damon.analysis.layout import Axis, runs
from perf_damon.analysis.view import Block, View, blocks, gather
from perf_damon.recording import Column

_ONE_BIN = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Grid:
    """T time bins; K address segments, C columns of whole segments."""

    edges: Column
    """int64 (T + 1,): nanoseconds where the time bins begin and end."""
    axis: Axis
    breakpoints: Column
    """uint64 (K + 1,): segment k is breakpoints[k]:breakpoints[k + 1]."""
    column: Column
    """int64 (K,): the column that a segment lies in (the one before it for a cut out gap)."""
    accesses: Column
    """float64 (T, K): sum of nr_accesses × bytes × nanoseconds."""
    monitored: Column
    """float64 (T, K): sum of bytes × nanoseconds monitored."""
    age: Column | None
    """float64 (K,): sum of age × bytes × nanoseconds; None where the kernel does not tell."""
    hottest: Column
    """float64 (T, C): sum of the highest nr_accesses in the column × nanoseconds."""
    watched: Column
    """float64 (T, C): nanoseconds during which anything of the column was monitored."""


def grid(view: View, axis: Axis, edges: Column, breakpoints: Column, ages: bool = False) -> Grid:
    """Sum up a view over the time bins `edges` (int64 (T + 1,)) and the columns of `axis`.

    `breakpoints` (uint64, any order): where segments shall end besides the columns' edges; those
    outside of the columns do not count. All monitored addresses must lie inside the axis's spans.
    """
    edge = np.unique(np.concatenate((axis.start, axis.end)))
    inside = breakpoints[(breakpoints > edge[0]) & (breakpoints < edge[-1])]
    points = np.union1d(edge, inside)
    column = np.searchsorted(axis.start, points[:-1], "right") - 1
    ages = ages and view.regions.age is not None
    sums = _Sums(points, column, axis, len(edges) - 1, ages, len(view.regions))

    begin = view.time - view.duration
    bins = len(edges) - 1
    low = np.clip(np.searchsorted(edges, begin, "right") - 1, 0, bins - 1)
    high = np.clip(np.searchsorted(edges, view.time, "left") - 1, low, bins - 1)
    weight = np.minimum(view.time, edges[low + 1]) - begin
    ratio = np.ones(view.nr_snapshots)
    if view.age_unit is not None:
        ratio = view.age_unit / view.interval_ns
    for block in blocks(view):
        units = slice(block.first, block.first + block.nr_units)
        sums.add(block, low[units], weight[units], ratio[units])
    # A snapshot that reaches into further bins counts once more in each, with its part of the time.
    more = high - low
    if more.any():
        snapshot = np.repeat(np.arange(len(more)), more)
        into = (
            low[snapshot] + 1 + np.arange(len(snapshot)) - np.repeat(np.cumsum(more) - more, more)
        )
        weight = np.minimum(view.time[snapshot], edges[into + 1]) - edges[into]
        for block in gather(view, snapshot):
            units = slice(block.first, block.first + block.nr_units)
            sums.add(block, into[units], weight[units], ratio[snapshot[units]])
    return sums.grid(edges)


class _Sums:
    """What the pass adds up."""

    def __init__(
        self, points: Column, column: Column, axis: Axis, bins: int, ages: bool, rows: int
    ) -> None:
        self.points, self.column, self.axis, self.ages = points, column, axis, ages
        self.finder = Finder(points, axis.spans, rows)
        self.accesses = _Steps(points, bins)
        self.monitored = _Steps(points, bins)
        self.age = _Steps(points, 1)
        self.hottest = _Cells(len(axis), bins)
        self.watched = _Cells(len(axis), bins)

    def add(self, block: Block, bins: Column, weight: Column, ratio: Column) -> None:
        """Add a block whose unit u counts weight[u] nanoseconds in time bin bins[u].

        A count of age in it stands for ratio[u] aggregation intervals.
        """
        if len(block.start) == 0:
            return
        weight = weight.astype(np.float64)
        row_bin, row_weight = bins[block.unit], weight[block.unit]
        segment = self.finder.find(block.start)
        firsts, lasts = runs(block)
        end = block.end[lasts]
        end_segment = np.searchsorted(self.points, end, "left") - 1

        heat = block.nr_accesses * row_weight
        step = heat.copy()
        step[1:] -= heat[:-1]
        step[firsts] = heat[firsts]
        room = (self.points[segment + 1] - block.start).astype(np.float64)
        end_room = (self.points[end_segment + 1] - end).astype(np.float64)
        self.accesses.add(row_bin, segment, step, room)
        self.accesses.add(row_bin[lasts], end_segment, -heat[lasts], end_room)
        self.monitored.add(row_bin[firsts], segment[firsts], row_weight[firsts], room[firsts])
        self.monitored.add(row_bin[lasts], end_segment, -row_weight[lasts], end_room)
        if self.ages and block.age is not None:
            old = block.age * (row_weight * ratio[block.unit])
            step = old.copy()
            step[1:] -= old[:-1]
            step[firsts] = old[firsts]
            self.age.add(_ONE_BIN, segment, step, room)
            self.age.add(_ONE_BIN, end_segment, -old[lasts], end_room)
        self._add_watched(block.unit, firsts, lasts, segment, end_segment, bins, weight)
        self._add_hottest(block, segment, lasts, end_segment, bins, weight)

    def _add_watched(
        self,
        unit: Column,
        firsts: Column,
        lasts: Column,
        segment: Column,
        end_segment: Column,
        bins: Column,
        weight: Column,
    ) -> None:
        """Add the time that each column was monitored: once for each unit, whatever the gaps."""
        unit, low = unit[firsts], self.column[segment[firsts]]
        high = self.column[end_segment] + 1
        low[1:] += (unit[1:] == unit[:-1]) & (low[1:] < high[:-1])
        self.watched.add(bins[unit], low, high, weight[unit])

    def _add_hottest(
        self,
        block: Block,
        segment: Column,
        run_lasts: Column,
        end_segment: Column,
        bins: Column,
        weight: Column,
    ) -> None:
        """Add the highest nr_accesses of each (unit, column).

        A group is the accessed rows of one unit that start in the same column. Its last row may
        reach on: over columns where no row starts, and into the next group's column.
        """
        hot = np.flatnonzero(block.nr_accesses)
        if len(hot) == 0:
            return
        column, unit, nr_accesses = (
            self.column[segment[hot]],
            block.unit[hot],
            block.nr_accesses[hot],
        )
        fresh = np.flatnonzero((column[1:] != column[:-1]) | (unit[1:] != unit[:-1])) + 1
        first = np.append(0, fresh)
        last = np.append(fresh, len(hot)) - 1
        unit, low = unit[first], column[first]
        highest = np.maximum.reduceat(nr_accesses, first)
        final, row = nr_accesses[last], hot[last]

        # The column after the last row's last byte: in a run that goes on, the next row tells.
        after = np.minimum(row + 1, len(segment) - 1)
        high = self.column[segment[after]]
        high += block.start[after] != self.axis.start[high]
        at = np.minimum(np.searchsorted(run_lasts, row), len(run_lasts) - 1)
        ends = np.flatnonzero(run_lasts[at] == row)
        high[ends] = self.column[end_segment[at[ends]]] + 1
        # Where it reaches into the column of the next group, that group takes it over.
        into = np.flatnonzero((unit[1:] == unit[:-1]) & (high[:-1] > low[1:]))
        highest[into + 1] = np.maximum(highest[into + 1], final[into])
        high[into] = low[into + 1]
        self.hottest.add_single(bins[unit], low, highest * weight[unit])
        wide = np.flatnonzero(high > low + 1)
        unit = unit[wide]
        self.hottest.add(bins[unit], low[wide] + 1, high[wide], final[wide] * weight[unit])

    def grid(self, edges: Column) -> Grid:
        """All that was added."""
        return Grid(
            edges=edges,
            axis=self.axis,
            breakpoints=self.points,
            column=self.column,
            accesses=self.accesses.integral(),
            monitored=self.monitored.integral(),
            age=self.age.integral()[0] if self.ages else None,
            hottest=self.hottest.total(),
            watched=self.watched.total(),
        )


class _Steps:
    """A sum of step functions over addresses, for each time bin."""

    def __init__(self, points: Column, bins: int) -> None:
        self.length = np.diff(points).astype(np.float64)
        self.height = np.zeros((bins, len(self.length)))
        """What the steps in a segment add to all segments after it."""
        self.part = np.zeros((bins, len(self.length)))
        """What they add to the segment itself: height × bytes up to its end."""

    def add(self, bins: Column, segment: Column, step: Column, room: Column) -> None:
        """Add steps by `step`, `room` bytes before the end of `segment`, in rising time bins.

        Steps are whole numbers, and their sums below 2**53, so that what goes up comes down to
        exactly 0 again: memory that is never accessed has no rounding dust.
        """
        _add_at(self.height, bins, segment, step)
        _add_at(self.part, bins, segment, step * room)

    def integral(self) -> Column:
        """float64 (bins, segments): the function's integral over each segment."""
        before = np.cumsum(self.height, axis=1) - self.height
        return before * self.length + self.part


class _Cells:
    """Sums over columns, for each time bin. Whole numbers stay exact."""

    def __init__(self, columns: int, bins: int) -> None:
        # One more than there are columns: where what covers the last column ends.
        self.single = np.zeros((bins, columns + 1))
        self.steps = np.zeros((bins, columns + 1))

    def add_single(self, bins: Column, column: Column, value: Column) -> None:
        """Add value[i] to column[i] in bins[i]; the bins rise."""
        _add_at(self.single, bins, column, value)

    def add(self, bins: Column, low: Column, high: Column, value: Column) -> None:
        """Add value[i] to each of the columns low[i] … high[i] - 1 in bins[i]; the bins rise."""
        _add_at(self.steps, bins, low, value)
        _add_at(self.steps, bins, high, -value)

    def total(self) -> Column:
        """float64 (bins, columns)."""
        return (self.single + np.cumsum(self.steps, axis=1))[:, :-1]


def _add_at(sums: Column, row: Column, column: Column, value: Column) -> None:
    """Add value[i] at sums[row[i], column[i]]; the rows rise, so that only some are touched."""
    if len(row) == 0:
        return
    wide, first = sums.shape[1], int(row[0])
    rows = slice(first, int(row[-1]) + 1)
    key = column if rows.stop == first + 1 else (row - first) * wide + column
    sums[rows] += np.bincount(key, value, (rows.stop - first) * wide).reshape(-1, wide)
