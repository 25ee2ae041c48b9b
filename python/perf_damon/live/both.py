# SPDX-License-Identifier: GPL-2.0
"""The two events that tell of regions, joined while they happen.

Whoever reads them part by part may see one event of a region in one part and the other one in the
next: a little is remembered from part to part, so that each region is given once.
"""

from __future__ import annotations

import numpy as np

from perf_damon.perfdata.events import Events, chained, no_events, pairs, picked
from perf_damon.recording import Column


class Joiner:
    """Joins what is read of damon_aggregated and damon_region_aggregated, part by part.

    damon_aggregated is to be read first: of what a kdamond has told by it then, all but the last
    event is followed by the other one, if that was not lost.
    """

    def __init__(self) -> None:
        self._one, self._other = no_events(), no_events()
        """Rows of the part before that may be half of a pair."""
        self._given_one = self._given_other = np.zeros(0, bool)
        """Which of these were given out already."""
        self._probed: set[int] = set()
        """kdamonds that have told probes' hits."""

    def join(self, one: Events, other: Events, last: bool = False) -> Events:
        """The rows of a part of both events, in order of time; nothing follows the `last` one.

        Where a kdamond tells probes' hits, a row that still lacks them is given with the next part
        that is not empty.
        """
        if not len(one.target) and not len(other.target) and not last:
            return no_events()
        late, late_other = len(self._one.target), len(self._other.target)
        one, other = chained(self._one, one), chained(self._other, other)
        new = np.arange(len(one.target)) >= late
        new_other = np.arange(len(other.target)) >= late_other
        given = _padded(self._given_one, len(one.target))
        given_other = _padded(self._given_other, len(other.target))
        i, j = pairs(one, other)
        tid, tid_other = _kdamonds(one), _kdamonds(other)
        self._probed.update(tid_other.tolist())

        alone = np.ones(len(one.target), bool)
        alone[i] = False
        newest = _newest(tid, one.columns["time"])
        waits = np.zeros(len(one.target), bool)
        waits[list(newest.values())] = True
        waits &= alone
        held = waits & new & np.isin(tid, list(self._probed)) & (not last)

        twice = np.zeros(len(other.target), bool)
        twice[j] = given[i]
        ahead = np.ones(len(other.target), bool)
        ahead[j] = False
        for kdamond, row in newest.items():
            later = other.columns["time"] > one.columns["time"][row]
            ahead &= (tid_other != kdamond) | later
        ahead &= new_other

        result = chained(picked(one, alone & ~given & ~held), picked(other, ~given_other & ~twice))
        self._one, self._given_one = picked(one, waits), ~held[waits]
        self._other, self._given_other = picked(other, ahead), np.ones(ahead.sum(), bool)
        order = np.argsort(result.columns["time"], kind="stable")
        columns = {name: column[order] for name, column in result.columns.items()}
        return Events(columns, result.target[order], result.keys, True)


def _padded(given: Column, count: int) -> Column:
    """bool (count,): given, and False for the rows that are new."""
    return np.append(given, np.zeros(count - len(given), bool))


def _kdamonds(events: Events) -> Column:
    """int64 (n,): each row's kdamond."""
    return np.array([tid for tid, _ in events.keys], np.int64)[events.target]


def _newest(tid: Column, time: Column) -> dict[int, int]:
    """The last row of each kdamond."""
    order = np.argsort(time, kind="stable")
    return dict(zip(tid[order].tolist(), order.tolist(), strict=True))
