# SPDX-License-Identifier: GPL-2.0
"""From blocks of records to columns: gathers the fields of one event's samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from perf_damon.errors import DataError
from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.layout import RECORD_SAMPLE, SampleLayout, raw_end, sample_dtype
from perf_damon.perfdata.walk import Block
from perf_damon.recording import Column

_TYPE = np.uint64(0xFFFFFFFF)
_WORD_SHIFT = np.uint64(51)


class SampleCollector(ABC):
    """Takes blocks, picks one event's samples out of them, and keeps their fields."""

    def __init__(
        self,
        attr: Attr,
        fields: dict[str, tuple[int, str]],
        kinds: Mapping[str, type],
        *,
        others: bool,
        data_size: int,
        path: str,
        streams: bool = False,
    ) -> None:
        """`fields` tell where what is wanted lies in the raw data, `kinds` which of them (and
        `time`) become columns of which type. `others`: there are other events in the file, so
        ids must be looked at. `streams`: there is a column that tells the buffers apart.

        Raises DataError where the event's samples lack what is needed.
        """
        layout = SampleLayout.of(attr)
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
        self._capacity = data_size // self._need
        """No more events than this can be in the data. Pages that are not filled cost nothing."""
        self._columns = {
            name: np.empty(self._capacity, dtype=kind)
            for name, kind in kinds.items()
            if name in fields or name == "time"
        }
        self._with_streams = streams and layout.stream is not None
        if self._with_streams:
            self._columns["stream"] = np.empty(self._capacity, dtype=np.uint32)
        self._count = 0
        self.skipped_records = 0
        """Samples of the event that do not hold what they should."""

    def columns(self) -> dict[str, np.ndarray]:
        """All that was kept, in the order of the file."""
        return {name: column[: self._count] for name, column in self._columns.items()}

    def times(self) -> Column:
        """uint64 (n,): the stamp of each sample that was kept."""
        return self._columns["time"][: self._count]

    def streams(self) -> Column | None:
        """uint32 (n,): which buffer each was in; None where nothing tells, or nobody asked."""
        return self._columns["stream"][: self._count] if self._with_streams else None

    def drop(self, wrong: Column) -> None:
        """Take out samples whose time stamps are `wrong` (bool (n,)), and count them as skipped."""
        kept = np.flatnonzero(~wrong)
        self._drop(kept)
        self.skipped_records += len(wrong) - len(kept)

    def _drop(self, kept: Column) -> None:
        """Keep these rows of the columns."""
        for column in self._columns.values():
            column[: len(kept)] = column[: self._count][kept]
        self._count = len(kept)

    @abstractmethod
    def _kept(self, head: np.ndarray, raw: np.ndarray, first: int) -> None:
        """Rows `first` … of the columns were filled from these; for what is no plain column."""

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
        self._take_places(block.words, *self._samples(block))

    def _samples(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """int64 (n,) each: index of the header and bytes of those that may be the event's."""
        layout = self._layout
        samples = block.headers & _TYPE == RECORD_SAMPLE
        at = block.places()[samples]
        sizes = (block.headers[samples] >> _WORD_SHIFT).astype(np.int64) * 8
        if self._ids is not None and len(at):
            ids = block.words[np.minimum(at + layout.id // 8, len(block.words) - 1)]
            ours = self._ids.holds(ids)
            at, sizes = at[ours], sizes[ours]
        return at, sizes

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
        self._keep(*self._overlay(words, at, shift))

    def _overlay(
        self, words: np.ndarray, at: np.ndarray, shift: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Samples (n,) of the structured type: with thread and time, and with the fields."""
        # Gathered as opaque bytes: fields of a structured type would be copied one by one.
        everywhere = np.ndarray(len(words) - self._need // 8 + 1, self._void, words, strides=(8,))
        head = everywhere[at].view(self._dtype)
        raw = head if shift is None else everywhere[at + shift // 8].view(self._dtype)
        return head, raw

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
            column[:] = (head if name in ("time", "stream") else raw)[name]
        good = self._sensible(new, raw)
        if not good.all():
            self.skipped_records += int((~good).sum())
            self._keep_some(head, raw, good)
            return
        self._count = last
        self._kept(head, raw, first)

    def _sensible(self, fields: Mapping[str, Column] | Column, raw: Column) -> Column:
        """bool (n,): whether the fields of these samples hold what they should."""
        good = (fields["start"] < fields["end"]) & (fields["nr_regions"] != 0)
        good &= raw["raw_size"] >= self._raw_end
        return good

    def _skip(self, which: np.ndarray) -> None:
        """Count samples that are not like the event's, unless they may be another event's."""
        if self._ids is not None or not self._others:
            self.skipped_records += int(which.sum())

    def _keep_some(self, head: np.ndarray, raw: np.ndarray, which: np.ndarray) -> None:
        at = np.flatnonzero(which)
        if len(at):
            some = _gather(head, at, self._void)
            self._keep(some, some if head is raw else _gather(raw, at, self._void))


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
