# SPDX-License-Identifier: GPL-2.0
"""The events damon:damon_aggregated as columns of regions, each with its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.errors import DataError
from perf_damon.perfdata.container import DUMMY, TYPE_TRACEPOINT, Attr
from perf_damon.perfdata.layout import FIELDS, raw_fields
from perf_damon.perfdata.samples import SampleCollector
from perf_damon.perfdata.tracing import SYSTEM, EventFormat

MAX_TARGETS = 1 << 16
_KINDS = {
    "time": np.uint64,
    "start": np.uint64,
    "end": np.uint64,
    "nr_accesses": np.uint32,
    "age": np.uint32,
    "nr_regions": np.uint32,
}
_FEW = 8
_HARDWARE = (
    *("cycles", "instructions", "cache-references", "cache-misses", "branches", "branch-misses"),
    *("bus-cycles", "stalled-cycles-frontend", "stalled-cycles-backend", "ref-cycles"),
)
_SOFTWARE = (
    *("cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations"),
    *("minor-faults", "major-faults", "alignment-faults", "emulation-faults", "dummy"),
    *("bpf-output", "cgroup-switches"),
)
"""Names by number: linux/perf_event.h."""


@dataclass
class Events:
    """Columns of damon_aggregated events of equal length, in the order of the file."""

    columns: dict[str, np.ndarray]
    """time, start, end, nr_accesses, nr_regions as in recording.Regions, and age if recorded."""
    target: np.ndarray
    """uint16 (n,): index into keys."""
    keys: list[tuple[int, int]]
    """(thread id of the kdamond, target id)."""
    ordered: bool
    """The rows are in order of time."""


class EventCollector(SampleCollector):
    """Takes blocks, picks damon_aggregated's samples out of them, and keeps their fields."""

    def __init__(
        self,
        attr: Attr,
        event: EventFormat,
        *,
        others: bool,
        data_size: int,
        path: str,
        streams: bool = False,
    ) -> None:
        """`others`: there are other events in the file, so ids must be looked at.

        Raises DataError where the event's samples lack what is needed.
        """
        hint = "perf damon reads target_id, nr_regions, start, end, nr_accesses and age"
        fields = raw_fields(event, path, hint, FIELDS, optional=("age",))
        super().__init__(
            attr, fields, _KINDS, others=others, data_size=data_size, path=path, streams=streams
        )
        self._target = np.zeros(self._capacity, dtype=np.uint16)
        self._keys: dict[tuple[int, int], int] = {}
        self._ordered = True
        self._last_time = 0

    def _kept(self, head: np.ndarray, raw: np.ndarray, first: int) -> None:
        self._mark_targets(head["tid"].copy(), raw["target_id"].copy(), first)
        time = self._columns["time"][first : self._count]
        if self._ordered:
            self._ordered = bool(time[0] >= self._last_time and (time[1:] >= time[:-1]).all())
            self._last_time = time[-1]

    def _mark_targets(self, tids: np.ndarray, ids: np.ndarray, first: int) -> None:
        """Set the index of each new row's target."""
        marks = self._target[first : first + len(tids)]
        rest = np.arange(len(tids))
        for _ in range(_FEW):
            tid, id_ = tids[0], ids[0]
            index = self._index(int(tid), int(id_))
            same = (tids == tid) & (ids == id_)
            if same.all() and len(rest) == len(marks):
                if index:  # zero is there already, in pages that nobody has touched
                    marks[:] = index
                return
            marks[rest[same]] = index
            rest, tids, ids = rest[~same], tids[~same], ids[~same]
            if not len(rest):
                return
        order = np.lexsort((ids, tids))
        tids, ids = tids[order], ids[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (tids[1:] != tids[:-1]) | (ids[1:] != ids[:-1])
        indices = [
            self._index(*key) for key in zip(tids[new].tolist(), ids[new].tolist(), strict=True)
        ]
        marks[rest[order]] = np.array(indices, dtype=np.uint16)[np.cumsum(new) - 1]

    def _index(self, tid: int, id_: int) -> int:
        index = self._keys.setdefault((tid, id_), len(self._keys))
        if index >= MAX_TARGETS:
            raise DataError(
                f"the recording names more than {MAX_TARGETS} targets",
                "the file is damaged; record again",
            )
        return index

    def _drop(self, kept: np.ndarray) -> None:
        self._target[: len(kept)] = self._target[: self._count][kept]
        super()._drop(kept)
        time = self.times()
        self._ordered = bool((time[1:] >= time[:-1]).all())
        used, which = np.unique(self._target[: self._count], return_inverse=True)
        keys = list(self._keys)
        self._keys = {keys[old]: new for new, old in enumerate(used.tolist())}
        self._target[: self._count] = which.reshape(-1)

    def events(self) -> Events:
        """All that was kept."""
        columns = self.columns()
        columns.pop("stream", None)
        return Events(
            columns=columns,
            target=self._target[: self._count],
            keys=list(self._keys),
            ordered=self._ordered,
        )


def names_of(
    attrs: Sequence[Attr], formats: Sequence[EventFormat], told: Sequence[str]
) -> list[str]:
    """The names of a file's events, without those that perf adds to record mappings and names.

    `told` are the names that the file gives, in order; empty where it gives none.
    """
    tracepoints = {event.id: f"{event.system}:{event.name}" for event in formats}
    found = []
    for index, attr in enumerate(attrs):
        if (attr.type, attr.config) == DUMMY:
            continue
        name = told[index] if index < len(told) else ""
        if attr.type == TYPE_TRACEPOINT:
            name = tracepoints.get(attr.config, name) or f"tracepoint {attr.config}"
        known = _SOFTWARE if attr.type == 1 else _HARDWARE if attr.type == 0 else ()
        if not name and attr.config < len(known):
            name = known[attr.config]
        found.append(name or f"event {attr.config:#x} of type {attr.type}")
    return list(dict.fromkeys(found))


def find_event(
    attrs: Sequence[Attr], formats: Sequence[EventFormat], name: str, system: str = SYSTEM
) -> tuple[Attr, EventFormat] | None:
    """The attribute and the format of an event; None where it is not recorded."""
    tracepoints = {attr.config: attr for attr in attrs if attr.type == TYPE_TRACEPOINT}
    for event in formats:
        if (event.system, event.name) == (system, name) and event.id in tracepoints:
            return tracepoints[event.id], event
    return None


def no_events() -> Events:
    """The columns of a recording without damon_aggregated."""
    return Events(
        columns={name: np.empty(0, dtype=kind) for name, kind in _KINDS.items()},
        target=np.empty(0, dtype=np.uint16),
        keys=[],
        ordered=True,
    )
