# SPDX-License-Identifier: GPL-2.0
"""Memory that is accessed often, and whether it stays so: the measure of schemes for hot memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from perf_damon.analysis.idle import Watch, follow, segments
from perf_damon.analysis.view import View, blocks
from perf_damon.recording import Column, Mappings

_MOST = 0.5
"""A segment is hot in a step when more of it was for that long."""
COLD_NS = 1_000_000_000
"""Memory that is idle for so long is no longer hot."""


@dataclass(frozen=True, slots=True)
class Hot:
    """What a scheme would have done that acts on large regions with a high access rate."""

    rate: float
    """0 … 1: regions with this rate or a higher one …"""
    least_size: int
    """… and so many bytes or more are hot."""
    size: float
    """Bytes that were hot, on average."""
    heat: float
    """Accesses × bytes × nanoseconds there …"""
    all_heat: float
    """… and of all memory."""
    judged: float
    """Bytes that became hot, each time counted, and were seen for 10 s after."""
    cooled: float
    """Those of them that were idle for a second within these 10 s."""

    @property
    def share(self) -> float:
        """Of all accesses, 0 … 1."""
        return self.heat / self.all_heat if self.all_heat else 0.0

    @property
    def risk(self) -> float | None:
        """The share of what became hot that was cold soon; None: not seen."""
        return self.cooled / self.judged if self.judged else None

    def __add__(self, other: Hot) -> Hot:
        return Hot(
            self.rate,
            self.least_size,
            self.size + other.size,
            self.heat + other.heat,
            self.all_heat + other.all_heat,
            self.judged + other.judged,
            self.cooled + other.cooled,
        )


def hot(view: View, mappings: Mappings, watched: Watch, rate: float, least_size: int) -> Hot:
    """What acting on regions of at least that rate and size would have met."""
    threshold = max(1, math.ceil(rate * view.max_nr_accesses - 1e-9))
    regions = view.regions
    chosen = regions.nr_accesses >= threshold
    chosen &= regions.end - regions.start >= np.uint64(least_size)
    size, heat, all_heat = matched(view, chosen)
    marked = replace(view, regions=replace(regions, nr_accesses=chosen.astype(np.uint32)))
    sums = segments(marked, mappings)
    assert sums is not None
    at = np.searchsorted(sums.breakpoints, watched.points)
    is_hot = sums.accesses[:, at] > _MOST * watched.size * np.diff(sums.edges)[:, None]
    fresh = is_hot.copy()
    fresh[1:] &= ~is_hot[:-1]
    cold = watched.idle >= max(COLD_NS, 2 * watched.step)
    judged, cooled = follow(watched.edges, fresh, cold, watched.size)
    return Hot(rate, least_size, size, heat, all_heat, judged, cooled)


def matched(view: View, chosen: Column) -> tuple[float, float, float]:
    """Bytes of the chosen rows (bool (n,)) on average, their heat, and the heat of all rows.

    Heat is accesses × bytes × nanoseconds. The view's window cuts the rows.
    """
    time = float(view.duration.sum())
    size = heat = all_heat = 0.0
    # Which rows a block has left is not told, so that the choice travels in a column of its own.
    marked = replace(view, regions=replace(view.regions, age=chosen.astype(np.uint32)))
    for block in blocks(marked):
        assert block.age is not None
        weight = view.duration[block.first + block.unit] * (block.end - block.start).astype(float)
        warm = weight * block.nr_accesses
        size += float(weight[block.age > 0].sum())
        heat += float(warm[block.age > 0].sum())
        all_heat += float(warm.sum())
    return (size / time if time else 0.0), heat, all_heat
