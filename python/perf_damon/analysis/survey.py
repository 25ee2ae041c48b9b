# SPDX-License-Identifier: GPL-2.0
"""A first look over a view: which addresses are monitored, and how much is accessed when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.layout import union
from perf_damon.analysis.view import BLOCK_ROWS, View, cut
from perf_damon.recording import Column

PERCENTILES = (0, 25, 50, 75, 100)


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the rows of a view tells."""

    start: Column
    """uint64 (r,): the monitored ranges of all snapshots, united, in order …"""
    end: Column
    """uint64 (r,): … and their ends."""
    monitored: Column
    """uint64 (snapshots,): bytes monitored."""
    working_set: Column
    """uint64 (snapshots,): bytes with at least `threshold` accesses."""
    threshold: int
    """nr_accesses from which memory counts as accessed."""


def survey(view: View, threshold: int = 1) -> Survey:
    """Monitored ranges, monitored size and working set of each snapshot."""
    n = view.nr_snapshots
    monitored, working_set = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
    start = end = np.zeros(0, np.uint64)
    offsets = view.offsets
    first = 0
    while first < n:
        last = int(np.searchsorted(offsets, offsets[first] + BLOCK_ROWS, "right")) - 1
        last = max(last, first + 1)
        low, high, nr_accesses = cut(view, slice(int(offsets[first]), int(offsets[last])))
        size = high - low
        begins = offsets[first:last] - offsets[first]
        monitored[first:last] = np.add.reduceat(size, begins)
        size *= nr_accesses >= threshold
        working_set[first:last] = np.add.reduceat(size, begins)
        # Regions that follow each other unite, be they of one snapshot or not.
        breaks = np.flatnonzero(low[1:] != high[:-1])
        run_start, run_end = low[np.append(0, breaks + 1)], high[np.append(breaks, len(low) - 1)]
        held = run_end > run_start
        start, end = union(np.append(start, run_start[held]), np.append(end, run_end[held]))
        first = last
    return Survey(start, end, monitored, working_set, threshold)


def percentiles(values: Column, weight: Column, percents: Sequence[float]) -> list[float]:
    """The values that lie at these percents of the total weight, smallest value first.

    values and weight are (n,); an empty list comes back as zeros.
    """
    if len(values) == 0:
        return [0.0] * len(percents)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order].astype(np.float64))
    if reached[-1] <= 0:
        reached = np.arange(1.0, len(values) + 1)
    at = np.searchsorted(reached, np.asarray(percents) / 100 * reached[-1], "left")
    return [float(value) for value in values[order][np.minimum(at, len(values) - 1)]]
