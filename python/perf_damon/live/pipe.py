# SPDX-License-Identifier: GPL-2.0
"""The live reader on a `perf record` that writes into a pipe, for where there is no module."""

from __future__ import annotations

import os
import select
import struct
import subprocess
import tempfile
from collections.abc import Sequence

import numpy as np

from perf_damon import perfs
from perf_damon.control.system import System, find_perf
from perf_damon.errors import DataError, Error
from perf_damon.live.both import Joiner
from perf_damon.perfdata import container, tracing
from perf_damon.perfdata.container import Attr
from perf_damon.perfdata.events import EventCollector, Events, find_events, no_events
from perf_damon.perfdata.layout import RECORD_LOST, RECORD_LOST_SAMPLES, RECORD_SAMPLE
from perf_damon.perfdata.tracing import EventFormat
from perf_damon.perfdata.walk import Block
from perf_damon.tracepoints import EVENT, REGION_EVENTS, SYSTEM

_PIECE = 1 << 20
_PATIENCE_S = 30


class PipeReader:
    """Reads what perf record writes; see Reader."""

    source = "perf record, through a pipe"

    def __init__(self, tids: Sequence[int] = (), perf: str | None = None) -> None:
        perf = perf or find_perf()
        self.lost = 0
        self.ended = False
        self._perf = perf
        self._stream = Stream(f"{perf} record")
        whom = ["-p", ",".join(map(str, tids))] if tids else ["-a"]
        # The one that comes second first: else the first rows would lack their hits. Where none is
        # to be seen, perf says why.
        names = System().region_events()[::-1] or (EVENT,)
        words = [
            *(perf, "record", "-o", "-", "-e", ",".join(f"{SYSTEM}:{name}" for name in names)),
            *whom,
            # At once: perf else waits until half of a buffer is full.
            *("--no-buffering", "--no-buildid", "--no-buildid-cache"),
        ]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C", "PERF_CONFIG": os.devnull},
            )
        except OSError as error:
            self._errors.close()
            raise Error(f"cannot run {perf}: {error.strerror}") from None
        assert self._process.stdout is not None
        self._fd = self._process.stdout.fileno()
        # It writes a header before anything else, and nothing if it cannot record.
        select.select([self._fd], [], [], _PATIENCE_S)
        os.set_blocking(self._fd, False)
        try:
            self._pull()
            if self.ended and not self._stream.begun:
                raise self._failure()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PipeReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float | None) -> bool:
        """See Reader."""
        if self.ended or self._stream.waiting:
            return self._stream.waiting
        return bool(select.select([self._fd], [], [], seconds)[0])

    def read(self) -> Events:
        """See Reader."""
        if not self.ended:
            self._pull()
        events = self._stream.events(last=self.ended)
        self.lost = self._stream.lost
        return events

    def _pull(self) -> None:
        """Take what is in the pipe."""
        while True:
            try:
                part = os.read(self._fd, _PIECE)
            except BlockingIOError:
                return
            if not part:
                self.ended = True
                return
            self._stream.feed(part)

    def _failure(self) -> Error:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read(1 << 16).decode(errors="replace")
        return perfs.record_failure(self._perf, code, said)

    def close(self) -> None:
        """See Reader."""
        self.ended = True
        if self._process.poll() is None:
            self._process.terminate()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()


class Stream:
    """A piped perf.data that is still being written: bytes in, columns out."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bytes = bytearray()
        self._head = bytearray()
        """What came before the first sample and describes it."""
        self._events: list[tuple[Attr, EventFormat]] = []
        self._joiner = Joiner()
        self.begun = False
        self.waiting = False
        """More has come since events() was called."""
        self.lost = 0

    def feed(self, part: bytes) -> None:
        """Take more of it."""
        self._bytes += part
        self.begun = self.waiting = True

    def events(self, last: bool = False) -> Events:
        """The events of all whole records, in order of time; `last`: no more will come.

        Raises DataError.
        """
        self.waiting = False
        samples = self._samples()
        if not samples:
            return self._joiner.join(no_events(), no_events(), last)
        if not self._events:
            self._events = self._described()
        data = b"".join(samples)
        words = np.frombuffer(data, np.uint64)
        sizes = np.array([len(sample) // 8 for sample in samples], np.int64)
        at = np.append(0, np.cumsum(sizes)[:-1])
        told = dict.fromkeys(REGION_EVENTS, no_events())
        for attr, event in self._events:
            # There may be the other event, and perf's own.
            collector = EventCollector(
                attr, event, others=True, data_size=len(data), path=self._name
            )
            collector.take(Block(words, at, words[at]))
            told[event.name] = collector.events()
        return self._joiner.join(*told.values(), last)

    def _samples(self) -> list[bytes]:
        """Take the whole records out of what has come, and count what was lost."""
        data = self._bytes
        samples: list[bytes] = []
        at = 0
        if not self._head:
            if len(data) < container.PIPE_HEADER_SIZE:
                return []
            if not container.is_pipe(bytes(data[: container.PIPE_HEADER_SIZE])):
                raise DataError(f"{self._name}: what it writes is not perf's", "")
            at = container.PIPE_HEADER_SIZE
            self._head += data[:at]
        while at + 8 <= len(data):
            kind, _, size = struct.unpack_from("<IHH", data, at)
            if size < 8:
                raise DataError(f"{self._name}: a record of {size} bytes", "start it again")
            if kind == container.RECORD_TRACING_DATA:  # what it announces follows it
                if at + 12 > len(data):
                    break
                size += struct.unpack_from("<I", data, at + 8)[0]
            if at + size > len(data):
                break
            if kind == RECORD_SAMPLE and not size % 8:
                samples.append(bytes(data[at : at + size]))
            elif kind == RECORD_LOST and size >= 24:
                self.lost += struct.unpack_from("<Q", data, at + 16)[0]
            elif kind == RECORD_LOST_SAMPLES and size >= 16:
                self.lost += struct.unpack_from("<Q", data, at + 8)[0]
            elif not self._events and kind in container.DESCRIBING:
                self._head += data[at : at + size]
            at += size
        del data[:at]
        return samples

    def _described(self) -> list[tuple[Attr, EventFormat]]:
        with tempfile.TemporaryFile() as file:
            file.write(self._head)
            file.flush()
            parts = container.parse_pipe(file, self._name)
        self._head = bytearray(self._head[: container.PIPE_HEADER_SIZE])
        formats = tracing.parse_tracing_data(parts.contents.get(container.TRACING_DATA, b""))
        if found := find_events(parts.attrs, formats):
            return found
        raise DataError(f"{self._name}: does not tell the format of {SYSTEM}:{EVENT}", "")
