# SPDX-License-Identifier: GPL-2.0
"""Access rates over time and addresses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.analysis.grid import Grid
from perf_damon.analysis.layout import Axis
from perf_damon.recording import Column


@dataclass(frozen=True, slots=True)
class Heatmap:
    """T rows of time, C columns of addresses; rates are 0 … 1, NaN where nothing was monitored."""

    edges: Column
    """int64 (T + 1,): nanoseconds where the rows begin and end."""
    axis: Axis
    """The columns."""
    mean: Column
    """float64 (T, C): the mean over all bytes and all the time of a cell, exactly: a small hot
    spot in a wide column counts with its share of the bytes."""
    hottest: Column
    """float64 (T, C): the rate of the hottest region in the column, as a mean over the cell's
    time: a small hot spot stays as bright as it is, whatever the width of the column."""
    left_out: tuple[tuple[int, int], ...] = ()
    """Ranges between the columns that are monitored and not drawn."""


def heatmap(grid: Grid, max_nr_accesses: int) -> Heatmap:
    """The rates of a grid's cells."""
    first = np.searchsorted(grid.column, np.arange(len(grid.axis)))
    accesses = np.add.reduceat(grid.accesses, first, axis=1)
    monitored = np.add.reduceat(grid.monitored, first, axis=1)
    watched = grid.watched > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.clip(accesses / (monitored * max_nr_accesses), 0, 1)
        hottest = np.clip(grid.hottest / (grid.watched * max_nr_accesses), 0, 1)
    mean[~watched] = hottest[~watched] = np.nan
    axis, shown = grid.axis, ~grid.axis.hidden
    span = np.unique(axis.span[shown], return_inverse=True)[1]
    drawn = Axis(axis.start[shown], axis.end[shown], span, axis.hidden[shown])
    left_out = zip(axis.start[~shown].tolist(), axis.end[~shown].tolist(), strict=True)
    return Heatmap(grid.edges, drawn, mean[:, shown], hottest[:, shown], tuple(left_out))
