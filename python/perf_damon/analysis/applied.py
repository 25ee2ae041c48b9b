# SPDX-License-Identifier: GPL-2.0
"""What schemes did to one target: totals of each, and how much of the memory when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.layout import Axis, union
from perf_damon.analysis.view import View
from perf_damon.parameters import Scheme
from perf_damon.recording import Applied, Column

Key = tuple[int, int]
"""Index of the context within the kdamond, index of the scheme within the context."""


@dataclass(frozen=True, slots=True)
class Acts:
    """One scheme's."""

    key: Key
    scheme: Scheme | None
    """None where the recording does not tell."""
    rows: Applied
    """By time, cut to the view."""
    bytes: int
    """All sizes together: memory that was acted on n times counts n times."""
    distinct: int
    """Bytes that were acted on at least once."""

    @property
    def action(self) -> str | None:
        """What it does, as far as the recording tells."""
        return self.scheme.action if self.scheme else None

    @property
    def name(self) -> str:
        """`0`, or of a kdamond's further contexts `1:0`."""
        context, scheme = self.key
        return f"{context}:{scheme}" if context else f"{scheme}"


def of_view(view: View, applied: Applied) -> Applied:
    """The rows that concern a view: of its target, in its time, cut to its addresses.

    A snapshot's time is when it ended, and what schemes do at that moment comes before it. So
    what was done between two snapshots belongs to the later one.
    """
    target = view.target
    mine = (applied.kdamond == target.kdamond) & (applied.target == target.id)
    if view.nr_snapshots:
        stamps, time = target.snapshot_time, applied.time
        first, last = view.time[0] - view.duration[0], view.time[-1]
        if view.time[0] > stamps[0]:
            mine &= time > np.uint64(first)
        if last < stamps[-1]:
            mine &= time <= np.uint64(last)
    rows = applied[np.flatnonzero(mine)]
    if view.window is None:
        return rows
    low, high = (np.uint64(address) for address in view.window)
    start, end = np.clip(rows.start, low, high), np.clip(rows.end, low, high)
    columns = {name: getattr(rows, name) for name in Applied.__dataclass_fields__}
    cut = Applied(**{**columns, "start": start, "end": end})
    return cut[np.flatnonzero(end > start)]


def acts(rows: Applied, known: Iterable[Scheme] = ()) -> list[Acts]:
    """The acts of each scheme, in order of context and scheme.

    `known` are the first context's schemes: those that did nothing are there, too.
    """
    schemes = dict(enumerate(known))
    keys, which = np.unique(
        np.column_stack((rows.context, rows.scheme)), axis=0, return_inverse=True
    )
    found: dict[Key, Applied] = {(0, index): rows[:0] for index in schemes}
    which = which.reshape(-1)
    groups = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    for (context, scheme), group in zip(keys.tolist(), groups, strict=bool(len(keys))):
        found[context, scheme] = rows[group]
    return [
        _acts(key, None if key[0] else schemes.get(key[1]), found[key]) for key in sorted(found)
    ]


def _acts(key: Key, scheme: Scheme | None, rows: Applied) -> Acts:
    start, end = union(rows.start, rows.end)
    return Acts(key, scheme, rows, int((rows.end - rows.start).sum()), int((end - start).sum()))


def coverage(rows: Applied, edges: Column, axis: Axis) -> Column:
    """float64 (T, C): the share of each cell's bytes that was acted on at least once, 0 … 1.

    edges (int64 (T + 1,)) are the picture's times; what comes before or after them counts in the
    first or the last row.
    """
    bins = len(edges) - 1
    result = np.zeros((bins, len(axis)))
    size = (axis.end - axis.start).astype(np.float64)
    # A row holds what was done after its begin and up to its end, as it does with snapshots.
    bounds = np.searchsorted(rows.time, edges[1:-1].astype(np.uint64), "right")
    bounds = np.concatenate(([0], bounds, [len(rows)]))
    for t in range(bins):
        part = slice(int(bounds[t]), int(bounds[t + 1]))
        start, end = union(rows.start[part], rows.end[part])
        below = _Below(start, end)
        result[t] = (below(axis.end) - below(axis.start)).astype(np.float64) / size
    return result


class _Below:
    """How many bytes of ordered, disjoint ranges lie below an address."""

    def __init__(self, start: Column, end: Column) -> None:
        self.start, self.end = start, end
        self.before = np.append(np.uint64(0), np.cumsum(end - start, dtype=np.uint64))

    def __call__(self, address: Column) -> Column:
        whole = np.searchsorted(self.end, address, "right")
        if len(self.start) == 0:
            return np.zeros(len(address), np.uint64)
        at = np.minimum(whole, len(self.start) - 1)
        inside = (whole < len(self.start)) & (address > self.start[at])
        return self.before[whole] + np.where(inside, address - self.start[at], np.uint64(0))
