# SPDX-License-Identifier: GPL-2.0
"""What schemes did, for people: totals of each, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from perf_damon.analysis.applied import Acts, coverage
from perf_damon.analysis.report import Findings
from perf_damon.analysis.view import View
from perf_damon.recording import Column
from perf_damon.render.heatmap import Words, heatmap_lines
from perf_damon.render.summary import span_names
from perf_damon.render.text import Canvas, clean, fitted, wrap
from perf_damon.units import format_count, format_size

NOTHING = "No scheme acted on this memory."
_WORDS = Words(levels="of the bytes", never="nothing done")


def act_lines(
    view: View, acts: Sequence[Acts], findings: Findings | None, canvas: Canvas
) -> Iterator[str]:
    """A line a scheme, and a picture of each that did something."""
    if not any(len(act.rows) for act in acts):
        yield from wrap(NOTHING, canvas.width)
        if acts:
            names = ", ".join(clean(act.action or "?") for act in acts)
            yield from wrap(f"Installed: {names}", canvas.width)
        return
    yield from _totals(view, acts, canvas)
    if findings is None:
        return
    atlas = findings.atlas
    for act in acts:
        if len(act.rows) == 0:
            continue
        yield ""
        for line in wrap(f"{_title(act)}: memory acted on, share of each cell", canvas.width):
            yield canvas.bold(line)
        if act.scheme and act.scheme.text:
            for line in wrap(clean(act.scheme.text), canvas.width):
                yield canvas.dim(line)
        yield from heatmap_lines(
            findings.heatmap,
            picture(act, findings),
            canvas,
            view.origin,
            (lambda start, end: span_names(atlas, start, end)) if len(atlas) else None,
            _WORDS,
        )


def _totals(view: View, acts: Sequence[Acts], canvas: Canvas) -> list[str]:
    columns = {
        "Scheme": [act.name for act in acts],
        "Action": [clean(act.action or "(unknown)") for act in acts],
        "Regions": [format_count(len(act.rows)) for act in acts],
        "Bytes": [format_size(act.bytes) for act in acts],
        "Distinct": [format_size(act.distinct) for act in acts],
        "First": [_when(view, act, 0) for act in acts],
        "Last": [_when(view, act, -1) for act in acts],
    }
    return fitted(columns, (("First", "Last"), ("Regions",)), ("Action",), canvas)


def _title(act: Acts) -> str:
    return f"Scheme {act.name}" + (f", {clean(act.action)}" if act.action else "")


def _when(view: View, act: Acts, row: int) -> str:
    if len(act.rows) == 0:
        return "-"
    # What was done in the first interval comes before the recording's first event.
    return f"{max(0, int(act.rows.time[row]) - view.origin) / 1e9:.1f} s"


def picture(act: Acts, findings: Findings) -> Column:
    """float64 (T, C): shares as coverage() has them; NaN where the heatmap has no rate."""
    heatmap = findings.heatmap
    shares = coverage(act.rows, heatmap.edges, heatmap.axis)
    return np.where(np.isnan(heatmap.hottest) & (shares == 0), np.nan, shares)
