# SPDX-License-Identifier: GPL-2.0
"""Where a picture's columns and rows lie: addresses with the big gaps cut out, and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.view import Block, View
from perf_damon.recording import Column

CUT_SHARE = 0.02
"""A gap is cut out when it is larger than this share of all that is drawn."""
_PAGE = 4096
MIN_COLUMNS = 2
"""What the smallest span gets."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Columns of a picture: C address ranges, ordered, that do not overlap."""

    start: Column
    """uint64 (C,): first address of each column."""
    end: Column
    """uint64 (C,): the address after its last; equal to the next one's start within a span."""
    span: Column
    """int64 (C,): which span a column belongs to; between spans lies a gap that is cut out."""
    hidden: Column
    """bool (C,): the column is a whole span that is monitored and not drawn."""

    def __len__(self) -> int:
        return len(self.start)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First address, and address after the last, of each span."""
        firsts = np.flatnonzero(np.diff(self.span, prepend=-1))
        lasts = np.append(firsts[1:], len(self.span)) - 1
        return [
            (int(start), int(end))
            for start, end in zip(self.start[firsts], self.end[lasts], strict=True)
        ]


def runs(block: Block) -> tuple[Column, Column]:
    """Rows that start and rows that end an unbroken run of regions, int64, as many of each."""
    unit, start, end = block.unit, block.start, block.end
    joined = (start[1:] == end[:-1]) & (unit[1:] == unit[:-1])
    breaks = np.flatnonzero(~joined)
    n = len(start)
    return np.append(0, breaks + 1)[: n or None], np.append(breaks, n - 1)


def union(start: Column, end: Column) -> tuple[Column, Column]:
    """The ordered, disjoint ranges that cover the same addresses; uint64 in and out."""
    if len(start) == 0:
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    fresh = np.flatnonzero(start[1:] > reach[:-1]) + 1
    return start[np.append(0, fresh)], reach[np.append(fresh - 1, len(reach) - 1)]


def fold(start: Column, end: Column, max_spans: int) -> list[tuple[int, int]]:
    """Spans to draw of ordered, disjoint ranges: at most max_spans, small gaps left inside."""
    if len(start) == 0:
        return []
    gaps = (start[1:] - end[:-1]).astype(float)
    cut = gaps > CUT_SHARE * float((end - start).astype(float).sum())
    if cut.sum() >= max_spans:
        widest = np.argsort(-gaps, kind="stable")[: max_spans - 1]
        cut = np.zeros(len(gaps), bool)
        cut[widest] = True
    at = np.flatnonzero(cut)
    firsts, lasts = np.append(0, at + 1), np.append(at, len(start) - 1)
    return [(int(start[a]), int(end[b])) for a, b in zip(firsts, lasts, strict=True)]


def axis(
    spans: list[tuple[int, int]],
    width: int,
    hidden: Sequence[tuple[int, int]] = (),
    quiet: Sequence[tuple[int, int]] = (),
) -> Axis:
    """At most `width` columns, of equal size within a span, shared out by the spans' size.

    `hidden` are further ranges, between the spans: each gets one more column. Spans that are
    `quiet` get few columns, whatever their size, unless all are.
    """
    sizes = [end - start for start, end in spans]
    loud = [0 if span in quiet else size for span, size in zip(spans, sizes, strict=True)]
    counts = dict(zip(spans, _share_out(sizes, loud if any(loud) else sizes, width), strict=True))
    places = sorted([*spans, *hidden])
    starts: list[int] = []
    ends: list[int] = []
    for start, end in places:
        count = counts.get((start, end), 1)
        # Whole pages, where a column has several: round addresses are easier to read and use.
        page = _PAGE if end - start >= 2 * _PAGE * count else 1
        edges = [start + (end - start) * i // count // page * page for i in range(count)] + [end]
        starts += edges[:-1]
        ends += edges[1:]
    columns = [counts.get(place, 1) for place in places]
    return Axis(
        np.array(starts, np.uint64),
        np.array(ends, np.uint64),
        np.repeat(np.arange(len(places)), columns),
        np.repeat(np.array([place not in counts for place in places], bool), columns),
    )


def _share_out(sizes: list[int], weights: list[int], width: int) -> list[int]:
    """Columns for spans: every one some, the weightier the more, `width` in all."""
    least = max(1, min(MIN_COLUMNS, width // max(1, len(sizes))))
    counts = [min(least, size) for size in sizes]
    rest, total = max(0, width - sum(counts)), sum(weights)
    # Largest remainders, so that the sum is exact.
    exact = [rest * weight / total for weight in weights]
    extra = [int(share) for share in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda i: int(exact[i]) - exact[i])
    for i in by_remainder[: rest - sum(extra)]:
        extra[i] += 1
    return [min(size, count + more) for size, count, more in zip(sizes, counts, extra, strict=True)]


def time_edges(view: View, height: int) -> Column:
    """int64 (rows + 1,): nanoseconds where the picture's rows begin and end.

    At most `height` rows, and none shorter than an aggregation interval.
    """
    if view.nr_snapshots == 0:
        return np.zeros(1, np.int64)
    begin, end = int(view.time[0] - view.duration[0]), int(view.time[-1])
    usual = max(1, int(np.median(view.duration)))
    count = max(1, min(height, round((end - begin) / usual)))
    return begin + (end - begin) * np.arange(count + 1, dtype=np.int64) // count
