# SPDX-License-Identifier: GPL-2.0
"""Which monitored addresses a picture leaves out, because nothing is there.

DAMON monitors three large areas of a process. A position-independent program's heap begins up to
gigabytes after its code, in the same area, and would leave no room for anything else.
"""

from __future__ import annotations

import numpy as np

from perf_damon.analysis.layout import CUT_SHARE, union
from perf_damon.analysis.mappings import Atlas
from perf_damon.analysis.survey import Survey
from perf_damon.analysis.view import View, sample
from perf_damon.recording import Column

MAX_ACCESSED = 0.01
"""What holds a larger share of the accesses is not left out: its mapping is but not recorded."""

Ranges = list[tuple[int, int]]


def cuts(view: View, seen: Survey, atlas: Atlas) -> Ranges:
    """Monitored ranges to leave out, in order: large, and not mapped. None without mappings."""
    if len(atlas) == 0:
        return []
    rows = sample(view)
    start, end = view.regions.start[rows], view.regions.end[rows]
    heat = view.regions.nr_accesses[rows].astype(np.float64)
    empty = subtract(seen.start, seen.end, atlas.start, atlas.end)
    size = (empty[1] - empty[0]).astype(np.float64)
    large = np.flatnonzero(size > CUT_SHARE * float((seen.end - seen.start).sum()))

    def accesses(low: np.uint64, high: np.uint64) -> float:
        inside = np.minimum(end, high).astype(np.float64) - np.maximum(start, low)
        return float((np.maximum(inside, 0) * heat).sum())

    most = MAX_ACCESSED * accesses(np.uint64(0), np.uint64(2**64 - 1))
    return [
        (int(empty[0][i]), int(empty[1][i]))
        for i in large.tolist()
        if accesses(empty[0][i], empty[1][i]) <= most
    ]


def quiet(view: View, spans: Ranges) -> Ranges:
    """The spans in which a sample of the regions has no access."""
    rows = sample(view)
    hot = view.regions.nr_accesses[rows] > 0
    start, end = view.regions.start[rows][hot], view.regions.end[rows][hot]
    return [
        (low, high)
        for low, high in spans
        if not ((end > np.uint64(low)) & (start < np.uint64(high))).any()
    ]


def subtract(
    start: Column, end: Column, less_start: Column, less_end: Column
) -> tuple[Column, Column]:
    """The ranges without what the others cover; all uint64, ordered, disjoint."""
    less_start, less_end = union(less_start, less_end)
    edges = np.unique(np.concatenate((start, end, less_start, less_end)))
    low, high = edges[:-1], edges[1:]
    kept = _covers(start, end, low) & ~_covers(less_start, less_end, low)
    return union(low[kept], high[kept])


def _covers(start: Column, end: Column, address: Column) -> Column:
    """bool (n,): the address lies in one of the ranges."""
    if len(start) == 0:
        return np.zeros(len(address), bool)
    at = np.searchsorted(start, address, "right") - 1
    return (at >= 0) & (address < end[at])
