# SPDX-License-Identifier: GPL-2.0
"""How far apart snapshots are: the aggregation interval as it was, not as it was asked for.

A busy machine stretches all intervals, and DAMON itself changes them where they are tuned. What
counts intervals, as ages do, means the measured ones.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

HOLE = 3
"""Snapshots further apart than so many usual distances have a hole between them."""
_ALIKE = 0.05
"""A mean distance that differs by less from the interval asked for is that interval."""
_CHANGED = 2
"""Where distances differ by more over time, intervals were changed."""
_BLOCK = 9
_BLOCKS = 512


def usual(distances: np.ndarray) -> int:
    """The lower median: of two distances, one may be a hole. 0 for none."""
    middle = (len(distances) - 1) // 2
    return int(np.partition(distances, middle)[middle]) if len(distances) else 0


def local(distances: np.ndarray) -> np.ndarray:
    """int64 (n,): what is usual around each of the distances."""
    return np.repeat(*_blocks(distances))


def changed(distances: np.ndarray) -> bool:
    """Whether what is usual differs much over time."""
    medians = _blocks(distances)[0]
    return len(medians) > 1 and int(medians.max()) > _CHANGED * max(1, int(medians.min()))


def age_units(distances: np.ndarray, asked_ns: int | None, tuned: bool) -> np.ndarray | None:
    """float64 (n + 1,): nanoseconds that a count of age stands for, at each snapshot.

    Where intervals are tuned, DAMON converts ages to the interval of the moment. None: it is the
    interval that was asked for, or nothing is known.
    """
    if not len(distances):
        return None
    if tuned:
        around = local(distances).astype(np.float64)
        return np.append(around[0], around)
    most = HOLE * max(usual(distances), asked_ns or 0)
    held = distances[distances <= most]
    if not len(held):
        return None
    mean = float(held.mean())
    if asked_ns and abs(mean - asked_ns) <= _ALIKE * asked_ns:
        return None
    return np.full(len(distances) + 1, mean)


def _blocks(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 each: the lower median of each stretch of distances, and how long the stretch is."""
    count = max(1, min(_BLOCKS, len(distances) // _BLOCK))
    edges = np.linspace(0, len(distances), count + 1).astype(np.int64)
    medians = [usual(distances[a:b]) for a, b in pairwise(edges.tolist())]
    return np.array(medians, np.int64), np.diff(edges)
