# SPDX-License-Identifier: GPL-2.0
"""Working set: the memory that is accessed, snapshot by snapshot."""

from __future__ import annotations

import math

import numpy as np

from perf_damon.analysis.view import View
from perf_damon.recording import Column


def threshold(view: View, min_rate: float | None) -> int:
    """nr_accesses from which memory counts as used: any access, or a rate (percent) and more."""
    if not min_rate:
        return 1
    return max(1, math.ceil(min_rate / 100 * view.max_nr_accesses - 1e-9))


def over_time(view: View, values: Column, bins: int) -> Column:
    """float64 (bins,): means of a per-snapshot value over even parts of the view's time.

    NaN where the view has no snapshot. values is (snapshots,).
    """
    begin, end = view.time - view.duration, view.time
    edges = np.linspace(float(begin[0]), float(end[-1]), bins + 1)
    # The integral of the value from the view's start to any time, and the time it covers.
    stamps = np.column_stack((begin, end)).ravel().astype(np.float64)
    stamps = np.maximum.accumulate(stamps)
    heights = np.column_stack((np.zeros(len(values)), values * view.duration)).ravel()
    lengths = np.column_stack((np.zeros(len(values)), view.duration)).ravel()
    integral = np.diff(np.interp(edges, stamps, np.cumsum(heights)))
    covered = np.diff(np.interp(edges, stamps, np.cumsum(lengths)))
    some = covered > 1e-6 * (edges[1] - edges[0])
    return np.where(some, integral / np.where(some, covered, 1), np.nan)
