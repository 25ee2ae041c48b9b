# SPDX-License-Identifier: GPL-2.0
"""How long memory stays idle, and what follows: the measure of schemes for cold memory.

Time is cut into steps of whole snapshots, addresses into segments at the edges of regions and
mappings. A segment is idle for as long as no region in it had an access. Whether memory that has
been idle for a time comes back soon is then counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from perf_damon.analysis.areas import breakpoints
from perf_damon.analysis.grid import Grid, grid
from perf_damon.analysis.layout import axis, fold
from perf_damon.analysis.report import MAX_SPANS, process_atlas
from perf_damon.analysis.survey import percentiles, survey
from perf_damon.analysis.view import View
from perf_damon.recording import Column, Mappings

MAX_STEPS = 2048
_MIN_STEPS = 256
_MAX_CELLS = 1 << 22
"""Steps × segments: where there are many segments the steps are fewer."""
SOON_NS = 10_000_000_000
"""Memory that is accessed again so soon should have been left alone."""
_COVERED = 0.5
"""Steps of which less was monitored have a hole: nothing is known of what was idle before."""


@dataclass(frozen=True, slots=True)
class Watch:
    """When which memory of a view was accessed: T steps of time, K segments of addresses."""

    edges: Column
    """int64 (T + 1,): nanoseconds where the steps begin and end."""
    points: Column
    """uint64 (K,): first address of each segment."""
    size: Column
    """float64 (K,): its bytes."""
    monitored: Column
    """bool (T, K): it was monitored."""
    accessed: Column
    """bool (T, K): it was accessed, in part at least."""
    idle: Column
    """float64 (T, K): nanoseconds that it has been idle for at the step's end; 0 where it was
    accessed or not monitored."""

    @property
    def length(self) -> int:
        """Nanoseconds from the first step to the last."""
        return int(self.edges[-1] - self.edges[0])

    @property
    def step(self) -> int:
        """Nanoseconds of a usual step."""
        return int(np.median(np.diff(self.edges)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a scheme would have done that gives memory back once it is idle for so long."""

    least_ns: int
    given: float
    """Bytes that were back, on average: what was idle for that time or longer."""
    monitored: float
    """Bytes that were monitored (and mapped, where that is known), on average."""
    judged: float
    """Bytes given back, each time counted, of which it was seen for 10 s what followed."""
    returned: float
    """Those of them that were accessed within these 10 s."""

    @property
    def share(self) -> float:
        """Of what was monitored, 0 … 1."""
        return self.given / self.monitored if self.monitored else 0.0

    @property
    def risk(self) -> float | None:
        """The share of what was given back that was accessed again soon; None: not seen."""
        return self.returned / self.judged if self.judged else None

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.least_ns,
            self.given + other.given,
            self.monitored + other.monitored,
            self.judged + other.judged,
            self.returned + other.returned,
        )


def steps(view: View, most: int = MAX_STEPS) -> Column:
    """int64 (T + 1,): edges of the steps, each of as many whole snapshots; T ≤ most."""
    group = -(-view.nr_snapshots // most)
    ends = np.append(view.time[group - 1 :: group], view.time[-1])
    return np.unique(np.append(view.time[0] - view.duration[0], ends))


def watch(view: View, mappings: Mappings) -> Watch | None:
    """Look at a view; None where nothing was monitored.

    What is monitored and not mapped is left out, if the recording has the process's mappings.
    """
    counted = replace(view.regions, nr_accesses=(view.regions.nr_accesses > 0).astype(np.uint32))
    sums = segments(replace(view, regions=counted), mappings)
    if sums is None:
        return None
    kept = _kept(view, mappings, sums)
    points, ends = sums.breakpoints[:-1][kept], sums.breakpoints[1:][kept]
    # What covers less than a byte of a step is rounding.
    width = np.diff(sums.edges)[:, None].astype(np.float64)
    monitored = sums.monitored[:, kept] > width
    accessed = sums.accesses[:, kept] > width
    monitored[_holes(view, sums.edges)] = False
    return Watch(
        edges=sums.edges,
        points=points,
        size=(ends - points).astype(np.float64),
        monitored=monitored,
        accessed=accessed,
        idle=_idle(sums.edges, accessed, monitored, _idle_before(view, points, ends)),
    )


def segments(view: View, mappings: Mappings) -> Grid | None:
    """The grid of a view by steps and segments; None where nothing was monitored."""
    if view.nr_snapshots == 0:
        return None
    seen = survey(view)
    if len(seen.start) == 0:
        return None
    spans = fold(seen.start, seen.end, MAX_SPANS)
    points = np.union1d(breakpoints(view, process_atlas(view, mappings)), seen.start)
    points = np.union1d(points, seen.end)
    most = min(max(_MAX_CELLS // len(points), _MIN_STEPS), MAX_STEPS)
    return grid(view, axis(spans, len(spans)), steps(view, most), points)


def _kept(view: View, mappings: Mappings, sums: Grid) -> Column:
    """int64: the segments that were monitored at any time, and are mapped if that is known."""
    kept = (sums.monitored > np.diff(sums.edges)[:, None]).any(axis=0)
    atlas = process_atlas(view, mappings)
    if len(atlas):
        kept &= atlas.find(sums.breakpoints[:-1]) >= 0
    return np.flatnonzero(kept)


def _holes(view: View, edges: Column) -> Column:
    """bool (T,): steps of which little was monitored."""
    at = np.clip(np.searchsorted(edges, view.time, "left") - 1, 0, len(edges) - 2)
    covered = np.bincount(at, view.duration, len(edges) - 1)
    return covered < _COVERED * np.diff(edges)


def _idle_before(view: View, start: Column, end: Column) -> Column:
    """float64 (K,): nanoseconds that each segment was idle for when the view begins."""
    rows = slice(int(view.offsets[0]), int(view.offsets[1]))
    regions = view.regions[rows]
    if regions.age is None:
        return np.zeros(len(start))
    order = np.argsort(regions.start, kind="stable")
    low, high = regions.start[order], regions.end[order]
    # The snapshot's own interval is the first step's.
    age = np.maximum(regions.age[order].astype(np.float64) - 1, 0)
    age = view.age_ns(age, np.zeros(len(age), np.int64))
    age[regions.nr_accesses[order] > 0] = 0
    found = []
    for address in (start, end - np.uint64(1)):
        at = np.maximum(np.searchsorted(low, address, "right") - 1, 0)
        found.append(np.where((low[at] <= address) & (address < high[at]), age[at], 0.0))
    return np.minimum(*found)


def _idle(edges: Column, accessed: Column, monitored: Column, before: Column) -> Column:
    count = len(edges) - 1
    step = np.arange(count)[:, None]
    last = np.maximum.accumulate(np.where(accessed | ~monitored, step, -1), axis=0)
    since = edges[last + 1]
    idle = (edges[1:][:, None] - since).astype(np.float64)
    return idle + np.where(last < 0, before, 0.0)


def gaps(watch: Watch, percents: Sequence[float]) -> list[float]:
    """How long (nanoseconds) memory was idle that was accessed again: percentiles by bytes.

    Empty where none was.
    """
    back = watch.accessed[1:] & (watch.idle[:-1] > 0)
    step, segment = np.nonzero(back)
    if len(step) == 0:
        return []
    return percentiles(watch.idle[step, segment], watch.size[segment], percents)


def outcome(watch: Watch, least_ns: int) -> Outcome:
    """What giving back memory that has been idle for `least_ns` would have done."""
    edges, size = watch.edges, watch.size
    idle_enough = watch.idle >= least_ns
    # Before that nothing could be known to be idle for so long.
    width = np.diff(edges) * (edges[1:] - edges[0] >= least_ns).astype(np.float64)
    time = float(width.sum())
    given = float(width @ (idle_enough @ size)) / time if time else 0.0
    monitored = float(width @ (watch.monitored @ size)) / time if time else 0.0
    fresh = idle_enough.copy()
    fresh[1:] &= ~idle_enough[:-1]
    judged, returned = follow(edges, fresh, watch.accessed, size)
    return Outcome(least_ns, given, monitored, judged, returned)


def follow(edges: Column, begun: Column, event: Column, size: Column) -> tuple[float, float]:
    """Bytes with `begun` set, each step counted, and those with `event` set within SOON_NS after.

    begun and event are bool (T, K). Only what is followed by SOON_NS of recording is counted.
    """
    count = len(edges) - 1
    begun = begun & (edges[1:] + SOON_NS <= edges[-1])[:, None]
    step, segment = np.nonzero(begun)
    happens = np.where(event, np.arange(count)[:, None], count)
    first = np.minimum.accumulate(happens[::-1], axis=0)[::-1]
    following = np.full(len(step), count)
    inner = step + 1 < count
    following[inner] = first[step[inner] + 1, segment[inner]]
    # It happens some time within that step: its begin is the soonest.
    soon = (following < count) & (edges[following] - edges[step + 1] < SOON_NS)
    weight = size[segment]
    return float(weight.sum()), float(weight[soon].sum())
