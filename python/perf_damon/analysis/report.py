# SPDX-License-Identifier: GPL-2.0
"""Everything that the reports of one target show, in two passes over its rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.analysis import areas as areas_module
from perf_damon.analysis.areas import Areas
from perf_damon.analysis.cuts import Ranges, cuts, quiet, subtract
from perf_damon.analysis.grid import grid
from perf_damon.analysis.heatmap import Heatmap, heatmap
from perf_damon.analysis.layout import axis, fold, time_edges
from perf_damon.analysis.mappings import Atlas, atlas
from perf_damon.analysis.survey import Survey, survey
from perf_damon.analysis.view import View
from perf_damon.recording import Column, Mappings

MAX_SPANS = 8
COLUMNS_PER_SPAN = 4
"""A narrow picture has fewer spans."""


@dataclass(frozen=True, slots=True)
class Findings:
    """One target, looked at."""

    view: View
    survey: Survey
    atlas: Atlas
    heatmap: Heatmap
    areas: Areas


def examine(view: View, mappings: Mappings, width: int, height: int) -> Findings | None:
    """Look at a view; the picture has at most width columns and height rows.

    A cut between two spans takes one of the columns. None when nothing was monitored.
    """
    seen = survey(view)
    if len(seen.start) == 0:
        return None
    known = process_atlas(view, mappings)
    empty = cuts(view, seen, known)
    start, end = _without(seen, empty)
    spans = fold(start, end, max(1, min(MAX_SPANS, width // COLUMNS_PER_SPAN)))
    hidden = [cut for cut in empty if not any(a <= cut[0] and cut[1] <= b for a, b in spans)]
    columns = axis(spans, max(1, width - (len(spans) - 1)), hidden, quiet(view, spans))
    breakpoints = np.union1d(areas_module.breakpoints(view, known), seen.start)
    sums = grid(view, columns, time_edges(view, height), breakpoints, ages=True)
    return Findings(
        view=view,
        survey=seen,
        atlas=known,
        heatmap=heatmap(sums, view.max_nr_accesses),
        areas=areas_module.areas(sums, known, view.max_nr_accesses),
    )


def _without(seen: Survey, empty: Ranges) -> tuple[Column, Column]:
    if not empty:
        return seen.start, seen.end
    low = np.array([start for start, _ in empty], np.uint64)
    high = np.array([end for _, end in empty], np.uint64)
    left = subtract(seen.start, seen.end, low, high)
    return left if len(left[0]) else (seen.start, seen.end)


def process_atlas(view: View, mappings: Mappings) -> Atlas:
    """The mappings of a view's process at its end; empty for physical memory."""
    until = int(view.time[-1]) if view.nr_snapshots else None
    return atlas(mappings, view.target.pid, until)
