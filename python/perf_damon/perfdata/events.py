# SPDX-License-Identifier: GPL-2.0
"""From blocks of records to columns of regions: gathers the fields of DAMON's samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perf_damon.errors import DataError
from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.layout import (
    RECORD_SAMPLE,
    SampleLayout,
    raw_end,
    raw_fields,
    sample_dtype,
)
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.perfdata.walk import Block

MAX_TARGETS = 1 << 16
_TYPE = np.uint64(0xFFFFFFFF)
_WORD_SHIFT = np.uint64(51)
_KINDS = {
    "time": np.uint64,
    "start": np.uint64,
    "end": np.uint64,
    "nr_accesses": np.uint32,
    "age": np.uint32,
    "nr_regions": np.uint32,
}
_FEW = 8


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


class EventCollector:
    """Takes blocks, picks one event's samples out of them, and keeps their fields."""

    def __init__(
        self, attr: Attr, event: EventFormat, *, others: bool, data_size: int, path: str
    ) -> None:
        """`others`: there are other events in the file, so ids must be looked at.

        Raises DataError where the event's samples lack what is needed.
        """
        layout = SampleLayout.of(attr)
        fields = raw_fields(event)
        if fields is None:
            raise DataError(
                f"{path}: this kernel's damon:damon_aggregated lacks fields: it has "
                + (", ".join(n for n in event.fields if not n.startswith("common_")) or "none"),
                "perf damon reads target_id, nr_regions, start, end, nr_accesses and age",
            )
        if layout is None:
            raise DataError(
                f"{path}: the samples lack thread, time or raw data",
                "record them: perf record -T -R -e damon:damon_aggregated, or perf damon record",
            )
        self._layout = layout
        self._type = attr.config & 0xFFFF
        self._raw_end = raw_end(fields)
        self._need = layout.raw + 4 + self._raw_end + 7 & ~7
        self._dtype = sample_dtype(layout, fields, self._need)
        self._void = np.dtype(("V", self._need))
        self._others = others
        self._ids = _IdSet(attr.ids) if others and layout.id is not None else None
        # No more events than this can be in the data. Pages that are not filled cost nothing.
        capacity = data_size // self._need
        self._columns = {
            name: np.empty(capacity, dtype=kind)
            for name, kind in _KINDS.items()
            if name in fields or name == "time"
        }
        self._target = np.zeros(capacity, dtype=np.uint16)
        self._keys: dict[tuple[int, int], int] = {}
        self._count = 0
        self._ordered = True
        self._last_time = 0
        self.skipped_records = 0
        """Samples of the event that do not hold what they should."""

    def take(self, block: Block) -> None:
        """Keep the block's samples of the event."""
        layout = self._layout
        if block.at is None and not layout.variable:
            if int(block.headers[0]) & 0xFFFFFFFF != RECORD_SAMPLE:
                return
            count, stride = len(block.headers), block.step * 8
            if stride >= self._need:
                rows = np.ndarray(count, self._dtype, block.words, strides=(stride,))
                if self._ids is None or self._ids.holds(rows["id"]).all():
                    self._keep(rows, rows)
                    return
        samples = block.headers & _TYPE == RECORD_SAMPLE
        at = block.places()[samples]
        sizes = (block.headers[samples] >> _WORD_SHIFT).astype(np.int64) * 8
        if self._ids is not None and len(at):
            ids = block.words[np.minimum(at + layout.id // 8, len(block.words) - 1)]
            ours = self._ids.holds(ids)
            at, sizes = at[ours], sizes[ours]
        self._take_places(block.words, at, sizes)

    def _take_places(self, words: np.ndarray, at: np.ndarray, sizes: np.ndarray) -> None:
        """Keep the samples of `sizes` bytes whose headers are words[at]."""
        shift = self._layout.shifts(words, at) if self._layout.variable else None
        fits = sizes >= self._need if shift is None else sizes >= self._need + shift
        if not fits.all():
            self._skip(~fits)
            at = at[fits]
            shift = None if shift is None else shift[fits]
        if not len(at):
            return
        # Gathered as opaque bytes: fields of a structured type would be copied one by one.
        everywhere = np.ndarray(len(words) - self._need // 8 + 1, self._void, words, strides=(8,))
        head = everywhere[at].view(self._dtype)
        raw = head if shift is None else everywhere[at + shift // 8].view(self._dtype)
        self._keep(head, raw)

    def _keep(self, head: np.ndarray, raw: np.ndarray) -> None:
        """Keep rows: thread and time from `head`, the event's fields from `raw`."""
        kin = raw["common_type"] == self._type
        if not kin.all():
            self._skip(~kin)
            self._keep_some(head, raw, kin)
            return
        first, last = self._count, self._count + len(head)
        new = {name: column[first:last] for name, column in self._columns.items()}
        for name, column in new.items():
            column[:] = (head if name == "time" else raw)[name]
        good = (new["start"] < new["end"]) & (new["nr_regions"] != 0)
        good &= raw["raw_size"] >= self._raw_end
        if not good.all():
            self.skipped_records += int((~good).sum())
            self._keep_some(head, raw, good)
            return
        self._count = last
        self._mark_targets(head["tid"].copy(), raw["target_id"].copy(), first)
        time = new["time"]
        if self._ordered:
            self._ordered = bool(time[0] >= self._last_time and (time[1:] >= time[:-1]).all())
            self._last_time = time[-1]

    def _skip(self, which: np.ndarray) -> None:
        """Count samples that are not like the event's, unless they may be another event's."""
        if self._ids is not None or not self._others:
            self.skipped_records += int(which.sum())

    def _keep_some(self, head: np.ndarray, raw: np.ndarray, which: np.ndarray) -> None:
        at = np.flatnonzero(which)
        if len(at):
            some = _gather(head, at, self._void)
            self._keep(some, some if head is raw else _gather(raw, at, self._void))

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

    def events(self) -> Events:
        """All that was kept."""
        return Events(
            columns={name: column[: self._count] for name, column in self._columns.items()},
            target=self._target[: self._count],
            keys=list(self._keys),
            ordered=self._ordered,
        )


def _gather(rows: np.ndarray, at: np.ndarray, void: np.dtype) -> np.ndarray:
    """Some rows of a strided overlay, as bytes and so in one copy a row."""
    return rows.view(void)[at].view(rows.dtype)


class _IdSet:
    """Membership of an event's ids, which are usually close together."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self._sorted = np.unique(np.array(ids, dtype=np.uint64))
        span = int(self._sorted[-1] - self._sorted[0]) + 1 if ids else 0
        self._dense = span == len(self._sorted) and span > 0
        self._last = np.uint64(max(span - 1, 0))

    def holds(self, ids: np.ndarray) -> np.ndarray:
        """bool (n,): whether each is one of the ids."""
        if not len(self._sorted):
            return np.zeros(len(ids), dtype=bool)
        if self._dense:
            return ids - self._sorted[0] <= self._last  # what is below the first wraps around
        at = np.searchsorted(self._sorted, ids)
        return self._sorted[np.minimum(at, len(self._sorted) - 1)] == ids
