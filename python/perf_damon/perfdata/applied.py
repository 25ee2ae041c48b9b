# SPDX-License-Identifier: GPL-2.0
"""The events damon:damos_before_apply as columns: what schemes acted on, and when."""

from __future__ import annotations

import numpy as np

from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.layout import APPLY_FIELDS, raw_fields
from perf_damon.perfdata.samples import SampleCollector
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.recording import Applied

_KINDS = {
    "time": np.uint64,
    "context_idx": np.uint32,
    "scheme_idx": np.uint32,
    "target_idx": np.uint64,
    "start": np.uint64,
    "end": np.uint64,
    "nr_accesses": np.uint32,
    "age": np.uint32,
    "nr_regions": np.uint32,
}


class AppliedCollector(SampleCollector):
    """Takes blocks, picks damos_before_apply's samples out of them, and keeps their fields."""

    def __init__(
        self,
        attr: Attr,
        event: EventFormat,
        *,
        data_size: int,
        path: str,
        streams: bool = False,
    ) -> None:
        """Raises DataError where the event's samples lack what is needed."""
        hint = "record without --schemes; perf damon reads " + ", ".join(APPLY_FIELDS)
        fields = raw_fields(event, path, hint, APPLY_FIELDS)
        super().__init__(
            attr, fields, _KINDS, others=True, data_size=data_size, path=path, streams=streams
        )
        self._kdamond = np.empty(self._capacity, dtype=np.int32)

    def _kept(self, head: np.ndarray, raw: np.ndarray, first: int) -> None:
        self._kdamond[first : self._count] = head["tid"]

    def _drop(self, kept: np.ndarray) -> None:
        self._kdamond[: len(kept)] = self._kdamond[: self._count][kept]
        super()._drop(kept)

    def applied(self) -> Applied:
        """All that was kept, by time."""
        return in_order(self.columns(), self._kdamond[: self._count])


def in_order(columns: dict[str, np.ndarray], kdamond: np.ndarray) -> Applied:
    """The table of columns named as the event's fields are, its rows brought in order of time."""
    time = columns["time"]
    rows: slice | np.ndarray = slice(None)
    if (time[1:] < time[:-1]).any():
        rows = np.argsort(time, kind="stable")
    return Applied(
        time=time[rows],
        kdamond=kdamond[rows],
        context=columns["context_idx"][rows],
        scheme=columns["scheme_idx"][rows],
        target=columns["target_idx"][rows],
        start=columns["start"][rows],
        end=columns["end"][rows],
        nr_accesses=columns["nr_accesses"][rows],
        age=columns["age"][rows],
    )
