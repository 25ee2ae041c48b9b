# SPDX-License-Identifier: GPL-2.0
"""Areas: neighbouring memory of one mapping that is accessed alike and at the same times.

A mapping can be 16 GiB with 4 hot MiB in it, so rows by mapping alone would hide what people
look for; and DAMON's regions move at every snapshot, so rows by region would be millions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.grid import Grid
from perf_damon.analysis.mappings import Atlas
from perf_damon.analysis.view import View, sample
from perf_damon.recording import Column

DETAIL = 512
"""About how many places an area can begin at."""
DISTORTION = 0.01
"""Neighbours become one area while that misplaces less than this share of all accesses."""


@dataclass(frozen=True, slots=True)
class Areas:
    """Columns of m areas, in the order of their share."""

    start: Column
    """uint64 (m,)."""
    end: Column
    """uint64 (m,)."""
    mapping: Column
    """int64 (m,): index in the atlas, -1 for none."""
    size: Column
    """float64 (m,): bytes monitored, averaged over the time that any of it was."""
    rate: Column
    """float64 (m,): 0 … 1, mean over bytes and time."""
    peak: Column
    """float64 (m,): 0 … 1, the highest mean over one of the grid's time bins."""
    share: Column
    """float64 (m,): of all accesses that the view saw; 0 when there were none."""
    age: Column | None
    """float64 (m,): mean age in aggregation intervals, by bytes and time."""

    def __len__(self) -> int:
        return len(self.start)


def breakpoints(view: View, atlas: Atlas) -> Column:
    """uint64, ordered: where areas may begin and end.

    The edges of mappings, and a choice of the edges of regions. DAMON has more of those where
    accesses differ, so that the choice is finest where it matters.
    """
    regions, rows = view.regions, sample(view)
    edges = np.sort(np.concatenate((regions.start[rows], regions.end[rows])))
    distinct = np.unique(edges)
    if len(distinct) > DETAIL:
        distinct = np.unique(edges[:: max(1, len(edges) // DETAIL)])
    return np.unique(np.concatenate((distinct, atlas.start, atlas.end)))


def areas(grid: Grid, atlas: Atlas, max_nr_accesses: int) -> Areas:
    """Join a grid's segments to areas, by mapping and by how often they are accessed."""
    time = float(grid.watched.max(axis=1, initial=0).sum())
    # A thousandth of a byte is rounding.
    held = np.flatnonzero(grid.monitored.sum(axis=0) > 1e-3 * time)
    if len(held) == 0:
        none = np.zeros(0)
        return Areas(held, held, held, none, none, none, none, None)
    monitored = np.maximum(grid.monitored[:, held], 0.0)
    accesses = np.maximum(grid.accesses[:, held], 0.0)
    mapping = atlas.find(grid.breakpoints[held])
    group = _alike(held, mapping, accesses, monitored)
    first = np.append(0, np.flatnonzero(np.diff(group)) + 1)
    last = np.append(first[1:], len(held)) - 1
    accesses = np.add.reduceat(accesses, first, axis=1) / max_nr_accesses
    monitored = np.add.reduceat(monitored, first, axis=1)
    heat, seen = accesses.sum(axis=0), monitored.sum(axis=0)
    # A part of a row's time that is next to nothing has no rate.
    rates = np.where(monitored > 1e-6 * seen, accesses / np.maximum(monitored, 1.0), 0.0)
    age = None if grid.age is None else np.maximum(np.add.reduceat(grid.age[held], first), 0) / seen
    result = Areas(
        start=grid.breakpoints[held[first]],
        end=grid.breakpoints[held[last] + 1],
        mapping=mapping[first],
        size=seen / time,
        rate=np.clip(heat / seen, 0, 1),
        peak=np.clip(rates.max(axis=0), 0, 1),
        share=heat / max(float(heat.sum()), 1e-300),
        age=age,
    )
    return _ordered(result)


def _ordered(areas: Areas) -> Areas:
    order = np.lexsort((areas.start, -areas.size, -areas.share))
    return Areas(
        *(
            None if column is None else column[order]
            for column in (getattr(areas, name) for name in Areas.__dataclass_fields__)
        )
    )


def _alike(segment: Column, mapping: Column, accesses: Column, weight: Column) -> Column:
    """int64 (n,): number of the area, rising, that each segment belongs to.

    Neighbours whose rates are most alike, time bin by time bin, join first; accesses and weight
    are (bins, n). The cost is Ward's, on square roots of the rates: 1 % and 4 % differ as 49 %
    and 64 % do.
    """
    group = np.arange(len(segment))
    may_join = (np.diff(segment) == 1) & (mapping[1:] == mapping[:-1])
    # Equal costs are common (memory that is never accessed); a fixed shuffle breaks the ties, so
    # that one round joins many pairs.
    shuffle = np.arange(len(may_join)) * 0.6180339887498949 % 1
    limit = DISTORTION * float(accesses.sum())
    while True:
        some = np.maximum(weight, 1.0)
        root = np.sqrt(accesses / some)
        both = weight[:, 1:] * weight[:, :-1] / (some[:, 1:] + some[:, :-1])
        cost = (both * np.diff(root, axis=1) ** 2).sum(axis=0)
        rank = np.lexsort((shuffle[: len(cost)], np.where(may_join, cost, np.inf)))
        place = np.empty(len(cost), np.int64)
        place[rank] = np.arange(len(cost))
        low = may_join & (cost <= limit)
        low[1:] &= place[1:] < place[:-1]
        low[:-1] &= place[:-1] < place[1:]
        if not low.any():
            return group
        keeps = np.append(True, ~low)
        first = np.flatnonzero(keeps)
        group = (np.cumsum(keeps) - 1)[group]
        accesses = np.add.reduceat(accesses, first, axis=1)
        weight = np.add.reduceat(weight, first, axis=1)
        may_join = may_join[first[1:] - 1]
