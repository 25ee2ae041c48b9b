# SPDX-License-Identifier: GPL-2.0
"""The working set as text: percentiles with bars, and its course."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from perf_damon.analysis.survey import Survey, percentiles
from perf_damon.analysis.view import View
from perf_damon.analysis.wss import over_time
from perf_damon.recording import Column
from perf_damon.render.text import Canvas, pad, percent, wrap
from perf_damon.units import format_size, format_time_us

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_ASCII_HEIGHTS = "_.-=+*#@"
_MARGIN = 9


def wss_lines(
    view: View, survey: Survey, percents: Sequence[float], canvas: Canvas
) -> Iterator[str]:
    """Percentiles of the working set by time, each with a bar, and a line of its course."""
    least = survey.threshold / view.max_nr_accesses
    what = (
        "accessed at all"
        if survey.threshold <= 1
        else f"accessed in {percent(least)} of the samples or more"
    )
    for line in wrap(f"Working set: memory {what} in an aggregation interval", canvas.width):
        yield canvas.bold(line)
    yield canvas.dim(pad("of time", _MARGIN - 2, right=True) + "        size")
    sizes = percentiles(survey.working_set, view.duration, percents)
    most = max([*sizes, float(survey.working_set.max(initial=0)), 1.0])
    room = canvas.width - _MARGIN - 13
    for at, size in zip(percents, sizes, strict=True):
        label = pad(f"{at:g}%", _MARGIN - 2, right=True)
        amount = pad(format_size(size), 12, right=True)
        drawn = bar(size / most, room, canvas) if room > 0 else ""
        yield f"{label}{amount}  {drawn}".rstrip()
    mean = float(np.average(survey.working_set, weights=np.maximum(view.duration, 1)))
    yield f"{pad('mean', _MARGIN - 2, right=True)}{pad(format_size(mean), 12, right=True)}"
    yield ""
    width = min(canvas.width - _MARGIN, max(1, view.nr_snapshots))
    course = over_time(view, survey.working_set.astype(np.float64), width)
    yield pad("course", _MARGIN - 2, right=True) + "  " + sparkline(course, most, canvas)
    length = format_time_us(float(view.time[-1] - view.time[0] + view.duration[0]) / 1e3)
    for line in wrap(
        f"{length} from left to right, up to {format_size(most)}", width=canvas.width - _MARGIN
    ):
        yield " " * _MARGIN + canvas.dim(line)


def bar(share: float, width: int, canvas: Canvas) -> str:
    """A bar of up to `width` characters for a share of 0 … 1."""
    if not canvas.unicode:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(values: Column, most: float, canvas: Canvas) -> str:
    """A character for each value, higher for more; blank for NaN."""
    steps = _HEIGHTS if canvas.unicode else _ASCII_HEIGHTS
    return "".join(
        " " if np.isnan(value) else steps[min(len(steps) - 1, int(value / most * len(steps)))]
        for value in values.tolist()
    )
