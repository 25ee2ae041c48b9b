# SPDX-License-Identifier: GPL-2.0
"""Time stamps that cannot be, told from the other stamps of the same file.

Each processor's buffer is in order of time, so within it a stamp that lies after the next ones, or
before the last ones, is wrong, however many buffers the file has and in whatever order they were
written. The ends of a buffer have no such witness: there a few stamps count as wrong when they lie
further from all others than these lie apart. A pause in a recording has many stamps behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from perf_damon.recording import Column

FAR = 1 << 62
"""Nanoseconds that no clock has reached: CLOCK_REALTIME gets there in the year 2116."""
_SECOND = 1_000_000_000
_BACK = _SECOND
"""So far back or ahead of its neighbours a stamp of one buffer is wrong."""
_LONE = 60 * _SECOND
"""So far from all others a few stamps are wrong …"""
_LONE_SPANS = 10
"""… and so many times as far as the others lie apart."""
_FEW = 8
"""At most so many at each end, and one in so many."""
_SAMPLE = 1 << 14
_ROUNDS = 8
_HALF = 2
"""Stamps on each side that a stamp is compared with."""


def doubtful(columns: Sequence[Column]) -> bool:
    """Whether some of these stamps (uint64) lie so far from the others that one should look."""
    filled = [column for column in columns if len(column)]
    if not filled:
        return False
    least = min(int(column.min()) for column in filled)
    most = max(int(column.max()) for column in filled)
    if least == most:
        return most >= FAR
    if most >= FAR or (least == 0 and most >= _SECOND):
        return True
    some = np.concatenate([column[:: max(1, len(column) // _SAMPLE)] for column in filled])
    low, high = (int(stamp) for stamp in np.quantile(some, (0.02, 0.98), method="nearest"))
    limit = high - low + 10 * _SECOND
    return low - least > limit or most - high > limit


def wrong(columns: Sequence[Column], streams: Sequence[Column] | None = None) -> list[Column]:
    """bool (n,) for each column of stamps (uint64): those that cannot be.

    `streams` tell for each stamp which buffer it was in; None where nothing tells.
    """
    time = np.concatenate([np.empty(0, np.uint64), *columns])
    bad = time >= FAR
    later = time[~bad & (time > 0)]
    if len(later) and int(later.min()) >= _SECOND:
        bad |= time == 0
    if streams is not None:
        _mark_unordered(time, np.concatenate(streams), bad)
    _mark_lone(time, bad)
    return np.split(bad, np.cumsum([len(column) for column in columns])[:-1])


def _mark_unordered(time: Column, stream: Column, bad: Column) -> None:
    """Set `bad` where a stamp is out of order within its stream."""
    order = np.argsort(stream, kind="stable")
    for _ in range(_ROUNDS):
        rows = order[~bad[order]]
        stamps = time[rows].astype(np.int64)
        if len(stamps) <= _HALF:
            return
        same = stream[rows[1:]] == stream[rows[:-1]]
        back = same & (stamps[1:] < stamps[:-1] - _BACK)
        if not back.any():
            return
        begins = np.append(0, np.flatnonzero(~same) + 1)
        ends = np.append(begins[1:], len(rows))
        at = np.flatnonzero(back)
        at = np.unique((at[:, None] + np.arange(1 - _HALF, 1 + _HALF)).ravel())
        at = at[(at >= 0) & (at < len(rows))]
        which = np.searchsorted(begins, at, "right") - 1
        first, last = begins[which], ends[which]
        window = np.maximum(np.minimum(at - _HALF, last - 2 * _HALF - 1), first)
        window = np.minimum(window[:, None] + np.arange(2 * _HALF + 1), last[:, None] - 1)
        away = np.zeros(len(rows), np.int64)
        away[at] = np.abs(stamps[at] - np.median(stamps[window], axis=1).astype(np.int64))
        # Of neighbours that contradict each other, the one further away from the rest is wrong.
        worst = away > _BACK
        worst[1:] &= ~same | (away[1:] >= away[:-1])
        worst[:-1] &= ~same | (away[:-1] > away[1:])
        worst &= np.append(False, back) | np.append(back, False)
        if not worst.any():
            return
        bad[rows[worst]] = True


def _mark_lone(time: Column, bad: Column) -> None:
    """Set `bad` where a few stamps lie far from all others."""
    rows = np.flatnonzero(~bad)
    few = min(_FEW, len(rows) // _FEW)
    if not few:
        return
    stamps = time[rows].astype(np.int64)
    ends = np.partition(stamps, (few, len(stamps) - 1 - few))
    low, high = np.sort(ends[: few + 1]), np.sort(ends[len(ends) - 1 - few :])
    limit = max(_LONE, _LONE_SPANS * int(high[0] - low[-1]))
    for count in range(few, 0, -1):
        if low[count] - low[count - 1] > limit:
            bad[rows[stamps < low[count]]] = True
            break
    for count in range(few, 0, -1):
        if high[-count] - high[-count - 1] > limit:
            bad[rows[stamps > high[-count - 1]]] = True
            break
