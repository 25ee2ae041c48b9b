# SPDX-License-Identifier: GPL-2.0
"""The events damon:damon_aggregated and damon:damon_region_aggregated as columns of regions.

Each region with its target; the second event also tells what probes have hit: see probes.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perf_damon.errors import DataError
from perf_damon.perfdata.container import DUMMY, TYPE_TRACEPOINT, Attr
from perf_damon.perfdata.layout import FIELDS, HITS, raw_fields
from perf_damon.perfdata.probes import Hits, doubled, joined_keys, wider
from perf_damon.perfdata.samples import SampleCollector
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.perfdata.walk import Block
from perf_damon.recording import Column
from perf_damon.tracepoints import REGION_EVENTS, SYSTEM

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
_LOCATION = 4
"""Bytes of a field that tells where something lies."""
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
    """Columns of one row a region, of equal length, in the order of the file."""

    columns: dict[str, np.ndarray]
    """time, start, end, nr_accesses, nr_regions as in recording.Regions; age and probe_hits if
    recorded."""
    target: np.ndarray
    """uint16 (n,): index into keys."""
    keys: list[tuple[int, int]]
    """(thread id of the kdamond, target id)."""
    ordered: bool
    """The rows are in order of time."""


class EventCollector(SampleCollector):
    """Takes blocks, picks one of these events' samples out of them, and keeps their fields."""

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
        fields = fields_of(event, path)
        super().__init__(
            attr, fields, _KINDS, others=others, data_size=data_size, path=path, streams=streams
        )
        self._target = np.zeros(self._capacity, dtype=np.uint16)
        self._keys: dict[tuple[int, int], int] = {}
        self._ordered = True
        self._last_time = 0
        self._hits = Hits(self._capacity) if HITS in fields else None
        self._located = (np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))
        """Of the rows that are kept next: the words that their hits lie in, the places of these
        in bytes, and how many there are."""

    def take(self, block: Block) -> None:
        """Keep the block's samples of the event."""
        if self._hits is None:
            super().take(block)
        else:
            self._take_located(block.words, *self._samples(block))

    def _take_located(self, words: np.ndarray, at: np.ndarray, sizes: np.ndarray) -> None:
        """Keep the samples of `sizes` bytes whose headers are words[at], and probes' hits."""
        layout = self._layout
        shift = layout.shifts(words, at) if layout.variable else np.zeros(len(at), np.int64)
        fits = sizes >= self._need + shift
        if not fits.all():
            self._skip(~fits)
            at, sizes, shift = at[fits], sizes[fits], shift[fits]
        if not len(at):
            return
        _, raw = self._overlay(words, at, shift)
        location = raw[HITS].astype(np.int64)
        offset, length = location & 0xFFFF, location >> 16
        before = layout.raw + 4 + shift
        kin = raw["common_type"] == self._type
        self._skip(~kin)
        good = kin & self._sensible(raw, raw)
        good &= (length == 0) | (offset >= self._raw_end)
        good &= (offset + length <= raw["raw_size"]) & (before + offset + length <= sizes)
        self.skipped_records += int((kin & ~good).sum())
        rows = np.flatnonzero(good)
        if len(rows):
            at = at[rows]
            self._located = (words, at * 8 + before[rows] + offset[rows], length[rows])
            self._keep(*self._overlay(words, at, shift[rows]))

    def _kept(self, head: np.ndarray, raw: np.ndarray, first: int) -> None:
        if self._hits is not None:
            self._hits.put(*self._located, first)
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
        if self._hits is not None:
            self._hits.keep(kept, self._count)
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
        hits = None if self._hits is None else self._hits.table(self._count)
        if hits is not None:
            columns[HITS] = hits
        return Events(
            columns=columns,
            target=self._target[: self._count],
            keys=list(self._keys),
            ordered=self._ordered,
        )


def fields_of(event: EventFormat, path: str) -> dict[str, tuple[int, str]]:
    """Where the fields of one of these events lie; raises DataError where it lacks some."""
    hint = "perf damon reads target_id, nr_regions, start, end, nr_accesses and age"
    hits = event.fields.get(HITS)
    optional = ["age"]
    if hits is not None and hits.located and hits.size == _LOCATION:
        optional.append(HITS)
    return raw_fields(event, path, hint, [*FIELDS[:-1], *optional], optional=optional)


def join(one: Events, other: Events) -> Events:
    """The events damon_aggregated and damon_region_aggregated as one: each region is one row.

    Of a region that both tell it is the second one's row. Raises DataError for too many targets.
    """
    kept = np.ones(len(one.target), bool)
    kept[pairs(one, other)[0]] = False
    return chained(picked(one, kept), other)


def pairs(one: Events, other: Events) -> tuple[Column, Column]:
    """int64 (n,) each: the rows of the two events of the regions that both tell."""
    _, places = joined_keys(one.keys, other.keys, MAX_TARGETS)
    return doubled((one.columns, other.columns), (one.target, places[other.target]))


def picked(events: Events, rows: Column) -> Events:
    """Some of the rows (bool (n,)), in their order."""
    if rows.all():
        return events
    columns = {name: column[rows] for name, column in events.columns.items()}
    return Events(columns, events.target[rows], events.keys, events.ordered)


def chained(one: Events, other: Events) -> Events:
    """The rows of both, one behind the other. Raises DataError for too many targets."""
    if not len(one.target) or not len(other.target):
        return one if len(one.target) else other
    keys, places = joined_keys(one.keys, other.keys, MAX_TARGETS)
    columns = {
        name: np.concatenate((one.columns[name], other.columns[name]))
        for name in _KINDS
        if name in one.columns and name in other.columns
    }
    hits = [events.columns.get(HITS) for events in (one, other)]
    width = max((table.shape[1] for table in hits if table is not None), default=0)
    if width:
        first = wider(hits[0], len(one.target), width)
        columns[HITS] = np.concatenate((first, wider(hits[1], len(other.target), width)))
    time = columns["time"]
    ordered = bool((time[1:] >= time[:-1]).all())
    return Events(columns, np.concatenate((one.target, places[other.target])), keys, ordered)


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


def find_events(
    attrs: Sequence[Attr], formats: Sequence[EventFormat]
) -> list[tuple[Attr, EventFormat]]:
    """The attributes and formats of those that tell of regions, as far as they are recorded."""
    found = (find_event(attrs, formats, name) for name in REGION_EVENTS)
    return [one for one in found if one is not None]


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
