# SPDX-License-Identifier: GPL-2.0
"""From the data of perf.data to the places of its records, without a step per record.

Records follow each other without an index: only a record's header says where the next one
begins. Two ways lead through them many at a time:

- A run: as long as each record is as long as the last, the headers lie at equal distances, and
  one comparison of a strided view checks all of them. Runs of the same record that others
  interrupt now and then are moved together into one.
- Lanes, where sizes change all the time: see lanes.py.

What neither way understands is walked record by record, which also finds the way back into
damaged data, and steps over records that are no multiple of 8 bytes long. All of it is
little-endian: other files do not come here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from perf_damon.perfdata import lanes
from perf_damon.perfdata.container import Section
from perf_damon.perfdata.lanes import ODD, SIZE_SHIFT
from perf_damon.perfdata.layout import RECORD_SAMPLE

CHUNK = 1 << 20
"""Bytes that are read at a time: they stay in the processor's cache until they are used up."""

_MIN_RUN = 256
"""Records from which on a run is cheaper than lanes."""
_FREE_PIECES = 8
"""How often runs may be shorter before the rest of a chunk is left to lanes."""
_FEW = 8
"""How many other records may stand between runs."""
_FIRST_LOOK = 512
_KERNEL_TYPES = 64
"""Types of records from here on are perf's own, about the file."""
_TYPES = 128
"""More than there are."""
_MAX_SKIPPED = 256
"""Damaged places after which the rest is given up."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records inside a buffer that is only valid until the next block is asked for."""

    words: np.ndarray
    """uint64: a part of the buffer."""
    at: np.ndarray | None
    """int64 (n,): index of each record's header; None for a run, one each `step` words."""
    headers: np.ndarray
    """uint64 (n,): the records' headers; in a run all are equal."""
    step: int = 0

    def places(self) -> np.ndarray:
        """int64 (n,): index of each record's header."""
        if self.at is not None:
            return self.at
        return np.arange(len(self.headers), dtype=np.int64) * self.step


@dataclass(slots=True)
class _Run:
    """Equal records, words[first:last], while more of them are moved there."""

    header: int
    first: int
    last: int

    def block(self, words: np.ndarray) -> Block:
        part = words[self.first : self.last]
        return Block(part, None, part[:: self.header >> 51], self.header >> 51)


class Walk:
    """Iterates over the data as blocks of whole records; then says what was left over.

    Samples come in the order of the file. Other records may come after samples that follow
    them.
    """

    def __init__(self, file: BinaryIO, data: Section, chunk: int = CHUNK) -> None:
        self._fd = file.fileno()
        self._data = data
        self._chunk = max(chunk, 1 << 17) & ~7  # two of the longest records fit
        self._common: np.uint64 | None = None
        self.truncated_bytes = 0
        """Bytes at the end that hold no whole record."""
        self.skipped_records = 0
        """Places where no record was and the next one had to be searched for."""

    def __iter__(self) -> Iterator[Block]:
        """The blocks."""
        buffer = np.zeros(self._chunk // 8, dtype=np.uint64)
        view = memoryview(buffer).cast("B")
        offset, end = self._data.offset, self._data.offset + self._data.size
        lost = False
        while offset < end:
            got = _read(self._fd, view[: min(self._chunk, end - offset)], offset)
            if got < 8 or self.skipped_records > _MAX_SKIPPED:
                break
            last = got < self._chunk or offset + got >= end
            words = buffer[: got // 8]
            if lost:
                found = self._resync(words, view[:got])
                lost = found is None
                if lost:
                    offset += got if last else got - 7
                    continue
                offset += found
                if found:
                    continue
            at = yield from self._blocks(words)
            offset += 8 * at
            if at == len(words):
                continue
            size = int(words[at]) >> 48
            if size & 7:
                rest = view[8 * at : got]
                block, taken = _uneven(rest, offset + len(rest) >= end)
                if block is not None:
                    yield block
                offset += taken
                if taken or (at and not last):
                    continue
            if size < 8 or (size & 7 and size <= end - offset):
                self.skipped_records += 1
                lost = True
                offset += 8
            elif last:
                break
        self.truncated_bytes = end - offset

    def _blocks(self, words: np.ndarray) -> Generator[Block, None, int]:
        """The blocks of `words`, which begin with a record; returns how many words they take."""
        count = len(words)
        run: _Run | None = None
        at = pieces = records = 0
        while at < count:
            pieces += 1
            header = int(words[at])
            length = _run_length(words, at, header)
            usual = run.header if run else self._common
            regular = pieces < _FREE_PIECES + records // _MIN_RUN
            if length >= _MIN_RUN or (regular and length and header == usual):
                size = length * (header >> 51)
                if run and header == run.header:
                    if run.last < at:
                        words[run.last : run.last + size] = words[at : at + size]
                else:
                    if run:
                        yield run.block(words)
                    run = _Run(header, at, at)
                    if header & 0xFFFFFFFF == RECORD_SAMPLE:
                        self._common = words[at]
                run.last += size
                at += size
                records += length
                continue
            rest = words[at:]
            few = lanes.serial(rest, _FEW, None if usual is None else int(usual))
            if not few:
                break
            if len(few) == _FEW or not regular:
                if run:
                    yield run.block(words)
                    run = None
                block = self._irregular(rest)
                yield block
            else:
                block = _few(rest, few)
                kinds = block.headers & lanes.TYPE
                if run and (kinds == RECORD_SAMPLE).any():
                    yield run.block(words)
                    run = None
                if (kinds < _KERNEL_TYPES).any():
                    yield block
            at += int(block.at[-1]) + int(block.headers[-1] >> SIZE_SHIFT)
        if run:
            yield run.block(words)
        return at

    def _irregular(self, words: np.ndarray) -> Block:
        """The block of all whole records in `words`, of which there are some."""
        if self._common is None:
            self._common = lanes.commonest(words)
        at = lanes.find(words, self._common)
        if at is None:
            self._common = lanes.commonest(words, self._common)  # it may be another one by now
            at = np.array(lanes.serial(words), dtype=np.int64)
        return Block(words, at, words[at])

    def _resync(self, words: np.ndarray, view: memoryview) -> int | None:
        """The byte where the next record like the common ones begins, None where none does."""
        if self._common is None:
            self._common = lanes.commonest(words)
        if self._common is None:
            return None
        found = bytes(view).find(self._common.tobytes())
        return None if found < 0 else found


def _uneven(view: memoryview, last: bool) -> tuple[Block | None, int]:
    """The block of the whole records in `view`, of any length, and the bytes that these take.

    The kernel's records are multiples of 8 bytes long, and so are perf's, but for those of build
    ids that perf inject adds. The next record begins where the last one ends all the same. Here
    each is copied to where a multiple of 8 is. `last`: behind `view` there is nothing.
    """
    parts: list[bytes | memoryview] = []
    places: list[int] = []
    at = moved = begin = 0
    while at + 8 <= len(view):
        (size,) = struct.unpack_from("<H", view, at + 6)
        if size < 8 or at + size > len(view):
            break
        odd = size & 7
        if odd and not _follows(view, at + size, last):
            break
        places.append(moved >> 3)
        at += size
        moved += size
        if odd:
            parts += (view[begin:at], bytes(8 - odd))
            moved += 8 - odd
            begin = at
    if not places:
        return None, 0
    words = np.frombuffer(b"".join([*parts, view[begin:at]]), dtype=np.uint64)
    where = np.array(places, dtype=np.int64)
    return Block(words, where, words[where]), at


def _follows(view: memoryview, at: int, last: bool) -> bool:
    """Whether a record may begin there, so that the one before may be as long as it says."""
    if at + 8 > len(view):
        return last and at == len(view)
    kind, _, size = struct.unpack_from("<IHH", view, at)
    return 0 < kind < _TYPES and size >= 8


def _run_length(words: np.ndarray, at: int, header: int) -> int:
    """How many whole records with that header follow each other from `at` on."""
    step = header >> 51
    if not step or header & int(ODD):
        return 0
    limit = (len(words) - at) // step
    # Look at a few first: where runs are short, a look at all is wasted.
    known, look = 0, min(limit, _FIRST_LOOK)
    while known < look:
        same = words[at + known * step : at + look * step : step] == words[at]
        if not same.all():
            return known + int(same.argmin())
        known, look = look, min(limit, look * 8)
    return known


def _few(words: np.ndarray, places: list[int]) -> Block:
    at = np.array(places, dtype=np.int64)
    return Block(words, at, words[at])


def _read(fd: int, view: memoryview, offset: int) -> int:
    """Fill `view` from the file; fewer bytes at its end."""
    got = 0
    while got < len(view):
        more = os.preadv(fd, [view[got:]], offset + got)
        if not more:
            break
        got += more
    return got
