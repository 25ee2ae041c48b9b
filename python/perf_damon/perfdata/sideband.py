# SPDX-License-Identifier: GPL-2.0
"""The records beside the samples: mappings, names of threads, forks, losses."""

from __future__ import annotations

import struct

import numpy as np

from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.layout import (
    IDENTIFIER,
    RECORD_COMM,
    RECORD_EXIT,
    RECORD_FORK,
    RECORD_LOST,
    RECORD_LOST_SAMPLES,
    RECORD_MMAP,
    RECORD_MMAP2,
    Trailer,
)
from perf_damon.perfdata.walk import Block
from perf_damon.recording import Mappings

_TYPE = np.uint64(0xFFFFFFFF)
_WANTED = np.zeros(16, dtype=bool)
for _kind in (
    RECORD_MMAP,
    RECORD_LOST,
    RECORD_COMM,
    RECORD_EXIT,
    RECORD_FORK,
    RECORD_MMAP2,
    RECORD_LOST_SAMPLES,
):
    _WANTED[_kind] = True
_COMM_EXEC = 1 << 13
_LOST_TO_FILTER = 1 << 15
"""The samples were not lost: a BPF filter did not want them."""
_MAX_INHERITED = 1 << 18
"""Rows that forked processes inherit, all together."""
_NAME_AT = {RECORD_MMAP: 40, RECORD_MMAP2: 72}
_PATH_MAX, COMM_MAX = 4095, 63
"""Characters that names of files and of threads have at most (those of kernel threads are longer
than TASK_COMM_LEN)."""

Row = tuple[int, int, int, int, int, int]


class MappingTable:
    """Rows of Mappings while they come in."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._names: dict[str, int] = {}
        self._living: dict[int, list[Row]] = {}
        self._inherited = 0

    def add(self, time: int, pid: int, start: int, end: int, offset: int, name: str) -> None:
        """Something was mapped."""
        if not 0 <= start < end < 1 << 64 or pid < 0:
            return
        index = self._names.setdefault(name[:_PATH_MAX], len(self._names))
        row = (time, pid, start, end, offset, index)
        self._rows.append(row)
        self._living.setdefault(pid, []).append(row)

    def fork(self, time: int, parent: int, child: int) -> None:
        """A process was forked: it has its parent's mappings."""
        rows = self._living.get(parent)
        if parent == child or not rows or self._inherited + len(rows) > _MAX_INHERITED:
            return
        self._inherited += len(rows)
        copies = [(time, child, *row[2:]) for row in rows]
        self._rows += copies
        self._living[child] = copies

    def forget(self, pid: int) -> None:
        """A process executed another program or is gone: children do not inherit its rows."""
        self._living.pop(pid, None)

    def mappings(self) -> Mappings:
        """All rows as columns."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        kinds = (np.uint64, np.int32, np.uint64, np.uint64, np.uint64, np.int32)
        time, pid, start, end, offset, name = (
            np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)
        )
        return Mappings(time, pid, start, end, offset, name, tuple(self._names))


class SidebandCollector:
    """Takes blocks and keeps what the records beside the samples say."""

    def __init__(self, attr: Attr) -> None:
        self._trailer = Trailer.of(attr)
        # The trailer's last word is the event's id, if it has one.
        identified = attr.sample_id_all and attr.sample_type & IDENTIFIER
        self._ids = frozenset(attr.ids if identified else ())
        self._table = MappingTable()
        self._lost_records = 0
        self._lost_samples = 0
        self.comms: dict[int, str] = {}
        """As in recording.Recording."""

    @property
    def lost_events(self) -> int:
        """Events that the kernel dropped.

        The kernel tells in the stream (LOST), newer perf reads a counter when it ends
        (LOST_SAMPLES): the same events, so they are not added up.
        """
        return max(self._lost_records, self._lost_samples)

    def mappings(self) -> Mappings:
        """All mappings so far."""
        return self._table.mappings()

    def take(self, block: Block) -> None:
        """Keep what the block's records say."""
        if block.at is None:
            kind = int(block.headers[0]) & 0xFFFFFFFF
            if kind >= len(_WANTED) or not _WANTED[kind]:
                return
            places = block.places()
        else:
            kinds = block.headers & _TYPE
            wanted = _WANTED[np.minimum(kinds, np.uint64(15)).astype(np.intp)]
            if not wanted.any():
                return
            places = block.at[wanted]
        content = memoryview(block.words).cast("B")
        for at in places.tolist():
            kind, misc, size = struct.unpack_from("<IHH", content, at * 8)
            self._record(kind, misc, bytes(content[at * 8 : at * 8 + size]))

    def _record(self, kind: int, misc: int, record: bytes) -> None:
        try:
            if kind in _NAME_AT:
                pid, _, start, size, offset = struct.unpack_from("<iI3Q", record, 8)
                name = _text(record, _NAME_AT[kind])
                self._table.add(self._time(record), pid, start, start + size, offset, name)
            elif kind == RECORD_COMM:
                pid, tid = struct.unpack_from("<ii", record, 8)
                if pid == tid:
                    self.comms[pid] = _text(record, 16)[:COMM_MAX]
                    if misc & _COMM_EXEC:
                        self._table.forget(pid)
                else:
                    self.comms.setdefault(pid, _text(record, 16)[:COMM_MAX])
            elif kind in (RECORD_FORK, RECORD_EXIT):
                pid, parent, tid, _, time = struct.unpack_from("<4iQ", record, 8)
                if kind == RECORD_FORK:
                    self._table.fork(time, parent, pid)
                elif pid == tid:
                    self._table.forget(pid)
            elif kind == RECORD_LOST:
                self._lost_records += struct.unpack_from("<2Q", record, 8)[1]
            elif kind == RECORD_LOST_SAMPLES and not misc & _LOST_TO_FILTER:
                (id_,) = struct.unpack_from("<Q", record, len(record) - 8)
                if not self._ids or id_ in self._ids:
                    self._lost_samples += struct.unpack_from("<Q", record, 8)[0]
        except struct.error:
            pass  # too short to say anything

    def _time(self, record: bytes) -> int:
        if self._trailer.time is None or len(record) < self._trailer.size:
            return 0
        return struct.unpack_from("<Q", record, len(record) - self._trailer.time)[0]


def _text(record: bytes, at: int) -> str:
    return record[at:].split(b"\0", 1)[0].decode(errors="replace")
