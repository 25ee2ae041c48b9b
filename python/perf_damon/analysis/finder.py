# SPDX-License-Identifier: GPL-2.0
"""Finding addresses among breakpoints, for many millions of addresses.

A binary search mispredicts half of its branches. Each span is cut into equal buckets instead,
and a table tells the segment in which a bucket begins; where one breakpoint lies inside of a
bucket, one comparison decides. Only in buckets with more of them is searched.
"""

from __future__ import annotations

import numpy as np

from perf_damon.recording import Column

_BUCKET_BITS = 15
"""log2 of the most buckets a span gets: the table has to stay in the processor's cache."""
_ADDRESSES_PER_BUCKET = 32
"""Fewer addresses are not worth the making of a larger table."""
_CROWDED = -1


class Finder:
    """Finds segments: segment k is points[k] … points[k + 1] - 1."""

    def __init__(self, points: Column, spans: list[tuple[int, int]], count: int) -> None:
        """Prepare for about `count` addresses inside of the spans.

        `points` (uint64, ordered) are the breakpoints, the spans' ends among them.
        """
        bits = min(_BUCKET_BITS, (count // _ADDRESSES_PER_BUCKET).bit_length())
        self.points = points
        self.starts = np.array([start for start, _ in spans], np.uint64)
        shifts = [max(0, (end - 1 - start).bit_length() - bits) for start, end in spans]
        counts = [
            (end - 1 - start >> shift) + 1
            for (start, end), shift in zip(spans, shifts, strict=True)
        ]
        self.shift = np.array(shifts, np.uint64)
        self.offset = np.cumsum([0, *counts[:-1]])
        begins = [
            np.uint64(start) + (np.arange(count, dtype=np.uint64) << np.uint64(shift))
            for (start, _), shift, count in zip(spans, shifts, counts, strict=True)
        ]
        lasts = [
            np.append(begin[1:] - np.uint64(1), np.uint64(end - 1))
            for begin, (_, end) in zip(begins, spans, strict=True)
        ]
        first = np.searchsorted(points, np.concatenate(begins), "right") - 1
        last = np.searchsorted(points, np.concatenate(lasts), "right") - 1
        self.table = np.where(last - first > 1, _CROWDED, first)

    def find(self, address: Column) -> Column:
        """int64 (n,): the segment of each address (uint64 (n,))."""
        if len(self.starts) == 1:
            bucket = (address - self.starts[0]) >> self.shift[0]
            segment = self.table[bucket.view(np.int64)]
        else:
            span = np.searchsorted(self.starts, address, "right") - 1
            bucket = address - self.starts[span]
            bucket >>= self.shift[span]
            segment = self.table[bucket.view(np.int64) + self.offset[span]]
        crowded = np.flatnonzero(segment < 0)
        segment += address >= self.points[segment + 1]
        if len(crowded):
            segment[crowded] = np.searchsorted(self.points, address[crowded], "right") - 1
        return segment
