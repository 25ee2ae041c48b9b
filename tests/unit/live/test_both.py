# SPDX-License-Identifier: GPL-2.0
"""Both events, read part by part: each region is given once, with its hits."""

from __future__ import annotations

import random

import numpy as np
import pytest

from perf_damon.live.both import Joiner
from perf_damon.perfdata.events import Events, no_events
from perf_damon.recording import UNTOLD

Row = tuple[int, int, int, int, int, bytes | None]
"""time, kdamond, target, start, age, hits."""


def events(rows: list[Row]) -> Events:
    if not rows:
        return no_events()
    keys = list(dict.fromkeys((row[1], row[2]) for row in rows))
    start = np.array([row[3] for row in rows], np.uint64)
    columns = {
        "time": np.array([row[0] for row in rows], np.uint64),
        "start": start,
        "end": start + np.uint64(0x1000),
        "nr_accesses": np.ones(len(rows), np.uint32),
        "age": np.array([row[4] for row in rows], np.uint32),
        "nr_regions": np.full(len(rows), 3, np.uint32),
    }
    if rows[0][5] is not None:
        columns["probe_hits"] = np.array([list(row[5] or b"") for row in rows], np.int16)
    target = np.array([keys.index((row[1], row[2])) for row in rows], np.uint16)
    return Events(columns, target, keys, True)


def told(kdamonds: tuple[int, ...], snapshots: int, regions: int = 3) -> list[Row]:
    """What the kernel emits, in order of time: each region twice."""
    rows: list[Row] = []
    for snapshot in range(snapshots):
        for n in range(regions):
            for kdamond in kdamonds:
                at = 10**9 + snapshot * 10**8 + n * 1000 + kdamond
                region = (kdamond, 0, n * 0x1000, snapshot)
                rows.append((at, *region, None))
                rows.append((at + 300, *region, bytes((snapshot, n))))
    return sorted(rows)


def regions(given: list[Events]) -> list[tuple[int, int, int]]:
    """(age, kdamond, start) of all rows."""
    return sorted(
        (age, one.keys[target][0], start)
        for one in given
        for age, target, start in zip(
            *(one.columns["age"].tolist(), one.target.tolist(), one.columns["start"].tolist()),
            strict=True,
        )
    )


def check_order(given: list[Events]) -> None:
    for one in given:
        assert (np.diff(one.columns["time"].astype(np.int64)) >= 0).all() and one.ordered


def hits(given: list[Events]) -> dict[tuple[int, int, int], list[int]]:
    found = {}
    for one in given:
        table = one.columns.get("probe_hits")
        for row in range(len(one.target)):
            key = (one.columns["age"][row], one.keys[one.target[row]][0], one.columns["start"][row])
            found[tuple(map(int, key))] = [UNTOLD] * 2 if table is None else table[row].tolist()
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kdamonds", [(500,), (500, 501)])
def test_wherever_a_part_ends(seed: int, kdamonds: tuple[int, ...]) -> None:
    rng = random.Random(seed)
    rows = told(kdamonds, 6)
    joiner, given = Joiner(), []
    first = second = 0
    while first < len(rows) or second < len(rows):
        # The second event is read a little later than the first one.
        to_first = min(max(first, second) + rng.randrange(4), len(rows))
        to_second = min(to_first + rng.randrange(4), len(rows))
        one = [row for row in rows[first:to_first] if row[5] is None]
        other = [row for row in rows[second:to_second] if row[5] is not None]
        first, second = to_first, to_second
        given.append(joiner.join(events(one), events(other), first == second == len(rows)))
    check_order(given)
    want = sorted({(row[4], row[1], row[3]) for row in rows})
    assert regions(given) == want
    lacking = [key for key, found in hits(given).items() if UNTOLD in found]
    # Only of a kdamond's first rows it is not known that hits follow.
    assert len(lacking) <= 2 * len(kdamonds)
    assert all(
        found in ([key[0], key[2] >> 12], [UNTOLD] * 2) for key, found in hits(given).items()
    )


def test_a_row_waits_for_its_hits_once_there_are_any() -> None:
    rows = told((500,), 2)
    joiner = Joiner()
    assert len(joiner.join(events([rows[0]]), events([rows[1]])).target) == 1
    assert len(joiner.join(events([rows[2]]), no_events()).target) == 0
    (given,) = [joiner.join(no_events(), events([rows[3]]))]
    assert given.columns["probe_hits"].tolist() == [[0, 1]]


def test_hits_that_do_not_come() -> None:
    """The second event was lost, or there are no probes any more: it is given all the same."""
    rows = told((500,), 2)
    joiner = Joiner()
    joiner.join(events([rows[0]]), events([rows[1]]))
    assert len(joiner.join(events([rows[2]]), no_events()).target) == 0
    assert len(joiner.join(no_events(), no_events()).target) == 0
    given = joiner.join(events([rows[4]]), no_events())
    assert given.columns["start"].tolist() == [0x1000]
    given = joiner.join(events([(10**9, 600, 0, 0, 0, None)]), no_events())
    assert sorted(given.columns["start"].tolist()) == [0, 0x2000]


def test_nothing_waits_at_the_end() -> None:
    rows = told((500,), 2)
    joiner = Joiner()
    joiner.join(events([rows[0]]), events([rows[1]]))
    assert len(joiner.join(events([rows[2]]), no_events(), last=True).target) == 1


def test_nothing_waits_without_probes() -> None:
    rows = [row for row in told((500,), 5) if row[5] is None]
    joiner = Joiner()
    assert [len(joiner.join(events([row]), no_events()).target) for row in rows] == [1] * len(rows)


def test_a_kernel_that_has_the_second_event_alone() -> None:
    rows = [row for row in told((500, 501), 5) if row[5] is not None]
    joiner = Joiner()
    given = [joiner.join(no_events(), events([row])) for row in rows]
    assert [len(one.target) for one in given] == [1] * len(rows)
    assert all(UNTOLD not in found for found in hits(given).values())
