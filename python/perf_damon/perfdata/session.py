# SPDX-License-Identifier: GPL-2.0
"""Reading through perf's Python module, which has a session for files from perf 7.3 on.

perf.session() decompresses, and calls back for each sample in order of time. What a sample holds is
put into a record of one layout, and these records are read as those of a plain file are, by the
same collectors. There is no call for what stands beside the samples (mappings, names of threads,
lost events): perf script tells that.

No perf 7.3 was at hand. This was written after its perf.pyi and tried against a stand-in only
(tests/unit/perfdata/fake_session.py). Whatever is not as described there raises SessionError, and
the caller has perf script.
"""

from __future__ import annotations

import importlib
import struct
from array import array
from collections.abc import Collection, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from perf_damon import perfs
from perf_damon.perfdata.container import TYPE_TRACEPOINT, Attr, Container, Section
from perf_damon.perfdata.layout import IDENTIFIER, RAW, RECORD_SAMPLE, TID, TIME
from perf_damon.perfdata.walk import Block

_SAMPLE_TYPE = IDENTIFIER | TID | TIME | RAW
_HEAD = struct.Struct("<IHHQIIQI")  # type, misc, size; id; pid, tid; time; size of the raw data
_MAX_RECORD = 0xFFF8
_BATCH = 4 << 20
_WORD = 0xFFFFFFFF


class SessionError(Exception):
    """perf's module does not read the file, or not as it is described."""


def session_module() -> ModuleType | None:
    """perf's module where one can be imported that has a session; None elsewhere."""
    try:
        module = importlib.import_module("perf")
    except Exception:  # built for another Python, or against libraries that are not here
        return None
    return module if hasattr(module, "session") and hasattr(module, "data") else None


class SessionWalk:
    """The samples of some tracepoints, as a walk through a file's data gives them.

    It may be gone through more than once. Each event takes as many bytes as in a plain file.
    """

    truncated_bytes = 0

    def __init__(self, module: ModuleType, path: str, events: Collection[int]) -> None:
        """Have perf's module read all of the file at `path`; `events` are tracepoints by number.

        Raises SessionError.
        """
        self._events = frozenset(events)
        self._batches: list[tuple[bytes, array]] = []
        self._bytes = bytearray()
        self._at = array("q")
        self._error: BaseException | None = None
        self.skipped_records = 0
        """Samples that are too long to be any."""
        self.size = 0
        """Bytes of all records."""
        try:
            with perfs.silent():
                module.session(module.data(path), sample=self._sample).process_events()
        except Exception as error:
            raise _failure(error) from None
        if isinstance(self._error, Exception):
            raise _failure(self._error) from None
        if self._error is not None:
            raise self._error
        self._end_batch()

    def __iter__(self) -> Iterator[Block]:
        for batch, at in self._batches:
            words, places = np.frombuffer(batch, np.uint64), np.frombuffer(at, np.int64)
            yield Block(words, places, words[places])

    def of(self, parts: Container) -> Container:
        """The file's parts, with events and data as they are here."""
        kinds = {"sample_type": _SAMPLE_TYPE, "read_format": 0, "sample_id_all": False}
        attrs: list[Attr] = [
            replace(attr, **kinds, ids=(attr.config,))
            for attr in parts.attrs
            if attr.type == TYPE_TRACEPOINT
        ]
        return replace(parts, attrs=tuple(attrs), data=Section(0, self.size), missing=0)

    def _sample(self, sample: Any) -> None:
        # What is raised here goes through perf, which may not mind: it is raised once perf is done.
        if self._error is not None:
            return
        try:
            self._take(sample)
        except BaseException as error:
            self._error = error

    def _take(self, sample: Any) -> None:
        event = sample.evsel
        if event.type != TYPE_TRACEPOINT or event.config not in self._events:
            return
        raw = sample.raw_buf
        pad = -(4 + len(raw)) % 8
        size = _HEAD.size + len(raw) + pad
        if size > _MAX_RECORD:
            self.skipped_records += 1
            return
        self._at.append(len(self._bytes) // 8)
        pid, tid = sample.sample_pid & _WORD, sample.sample_tid & _WORD
        self._bytes += _HEAD.pack(
            RECORD_SAMPLE, 0, size, event.config, pid, tid, sample.sample_time, len(raw)
        )
        self._bytes += raw
        self._bytes += bytes(pad)
        if len(self._bytes) >= _BATCH:
            self._end_batch()

    def _end_batch(self) -> None:
        if self._at:
            self._batches.append((bytes(self._bytes), self._at))
            self.size += len(self._bytes)
        self._bytes, self._at = bytearray(), array("q")


def _failure(error: Exception) -> SessionError:
    return SessionError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
