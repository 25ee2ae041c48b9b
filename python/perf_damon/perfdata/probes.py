# SPDX-License-Identifier: GPL-2.0
"""The hits of probes, and the two events that tell of a region, as one.

Linux 7.2 and newer tell of each region at the end of an aggregation by damon:damon_aggregated,
and right after it, if the context has probes, by damon:damon_region_aggregated. That one has the
same fields, and the hits of each probe as bytes that lie behind them (__data_loc). A recording
may have the one, the other, or both: then a region is still one row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perf_damon.errors import DataError
from perf_damon.recording import UNTOLD, Column

MAX_PROBES = 16
"""Of how many probes hits are kept. Linux 7.3 has 4 at most."""
_ALIKE = ("start", "end", "nr_accesses", "age", "nr_regions")


class Hits:
    """The hits of rows, which come block by block; a column for each probe that is seen."""

    def __init__(self, capacity: int) -> None:
        """For `capacity` rows at most."""
        self._capacity = capacity
        self._columns: list[Column] = []

    def put(self, words: Column, places: Column, lengths: Column, first: int) -> None:
        """Rows from `first` on have these hits: so many bytes (int64) at those of the words.

        The caller has seen that they are within the words.
        """
        data = words.view(np.uint8)
        width = min(int(lengths.max(initial=0)), MAX_PROBES)
        while len(self._columns) < width:
            column = np.empty(self._capacity, np.int16)
            column[:first] = UNTOLD
            self._columns.append(column)
        rows = slice(first, first + len(places))
        for probe, column in enumerate(self._columns):
            told = lengths > probe
            hits = data[np.where(told, places + probe, 0)].astype(np.int16)
            column[rows] = np.where(told, hits, UNTOLD)

    def keep(self, rows: Column, count: int) -> None:
        """Keep these of the first `count` rows."""
        for column in self._columns:
            column[: len(rows)] = column[:count][rows]

    def table(self, count: int) -> Column | None:
        """int16 (count, probes); None without any."""
        if not self._columns:
            return None
        table = np.empty((count, len(self._columns)), np.int16)
        for probe, column in enumerate(self._columns):
            table[:, probe] = column[:count]
        return table


def wider(hits: Column | None, count: int, width: int) -> Column:
    """int16 (count, width): the hits, and UNTOLD where there are none."""
    table = np.full((count, width), UNTOLD, np.int16)
    if hits is not None:
        table[:, : hits.shape[1]] = hits
    return table


def table(hits: Sequence[bytes | bytearray]) -> Column:
    """int16 (n, probes): the hits of rows, a byte for each probe."""
    cut = [one[:MAX_PROBES] for one in hits]
    found = np.full((len(cut), max(map(len, cut), default=0)), UNTOLD, np.int16)
    for width in range(1, found.shape[1] + 1):
        rows = [row for row, one in enumerate(cut) if len(one) == width]
        some = b"".join(cut[row] for row in rows)
        found[rows, :width] = np.frombuffer(some, np.uint8).reshape(-1, width)
    return found


def doubled(
    columns: tuple[dict[str, Column], dict[str, Column]], target: tuple[Column, Column]
) -> tuple[Column, Column]:
    """int64 (n,) each: rows of the first event and of the second one, of the same region.

    Both have columns of time, start, …, and `target`, the index of each row's target. The two
    events of a region come right after each other, with nothing of that target between.
    """
    one, other = columns
    names = [name for name in _ALIKE if name in one and name in other]
    count = len(target[0])
    if count == len(target[1]) and _all_alike(columns, target, names):
        return np.arange(count), np.arange(count)
    which = np.concatenate(target)
    second = np.arange(len(which)) >= count
    start, time = (np.concatenate((one[name], other[name])) for name in ("start", "time"))
    order = np.lexsort((second, start, time, which))
    a, b = order[:-1], order[1:]
    alike = ~second[a] & second[b] & (which[a] == which[b])
    a, b = a[alike], b[alike] - count
    alike = np.ones(len(a), bool)
    for name in names:
        alike &= one[name][a] == other[name][b]
    return a[alike], b[alike]


def _all_alike(
    columns: tuple[dict[str, Column], dict[str, Column]],
    target: tuple[Column, Column],
    names: Sequence[str],
) -> bool:
    """Whether no event was lost, and so the rows are the same ones."""
    one, other = columns
    return (
        bool((one["time"] <= other["time"]).all())
        and bool((one["time"][1:] >= other["time"][:-1]).all())
        and np.array_equal(target[0], target[1])
        and all(np.array_equal(one[name], other[name]) for name in names)
    )


def joined_keys(
    one: list[tuple[int, int]], other: list[tuple[int, int]], most: int
) -> tuple[list[tuple[int, int]], Column]:
    """The targets of both, and uint16: where the other's are among them. Raises DataError."""
    keys = {key: index for index, key in enumerate(one)}
    places = [keys.setdefault(key, len(keys)) for key in other]
    if len(keys) > most:
        raise DataError(
            f"the recording names more than {most} targets", "the file is damaged; record again"
        )
    return list(keys), np.array(places, np.uint16)
