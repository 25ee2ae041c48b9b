# SPDX-License-Identifier: GPL-2.0
"""A stand-in for perf's Python module of perf 7.3, as its perf.pyi describes it.

It replays the samples of a piped file that writer.Writer made, in order of time, and knows nothing
of the reader's code.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

_ATTR, _TRACING, _SAMPLE = 64, 66, 9
_IDENTIFIER, _RAW = 1 << 16, 1 << 10
_WORDS = {1 << 1: "tid", 1 << 2: "time", 1 << 7: "cpu"}
_FORMAT = re.compile(
    rb"name: (?P<name>\w+)\nID: (?P<id>\d+)\nformat:\n(?P<fields>.*?)print fmt", re.S
)
_FIELD = re.compile(rb"(?P<name>\w+);\toffset:(?P<offset>\d+);\tsize:(?P<size>\d+);")


class Evsel(SimpleNamespace):
    """An event of the file."""

    def __str__(self) -> str:
        return f"evsel({self.name})"


class Perf:
    """The module. `change` may return another sample, `breaks` is raised by process_events()."""

    __file__ = "/fake/perf.so"

    def __init__(self) -> None:
        self.change: Callable[[SimpleNamespace], object] = lambda sample: sample
        self.breaks: BaseException | None = None
        self.read: list[str] = []
        """The files that were read."""

    def data(self, path: str) -> str:
        if not isinstance(path, str):
            raise TypeError("path must be str")
        return path

    def session(self, data: str, sample: Callable | None = None, stat: Callable | None = None):
        def process_events() -> None:
            self.read.append(data)
            # What perf says, it says from C.
            os.write(2, b"said by perf\n")
            if self.breaks:
                raise self.breaks
            for one in sorted(samples(Path(data).read_bytes()), key=lambda s: s.sample_time):
                assert sample is not None
                sample(self.change(one))

        return SimpleNamespace(process_events=process_events)


def samples(content: bytes) -> Iterator[SimpleNamespace]:
    """Those of a piped file, as they lie in it."""
    assert content[:8] == b"PERFILE2" and content[8] == 16
    formats = {int(m["id"]): m for m in _FORMAT.finditer(content)}
    events: dict[int, tuple[Evsel, int]] = {}
    at = 16
    while at + 8 <= len(content):
        kind, _, size = struct.unpack_from("<IHH", content, at)
        body = content[at + 8 : at + size]
        if kind == _ATTR:
            type_, length, config, _, sample_type = struct.unpack_from("<IIQQQ", body)
            for (id_,) in struct.iter_unpack("<Q", body[length:]):
                events[id_] = Evsel(type=type_, config=config, name="other"), sample_type
        elif kind == _TRACING:
            size += struct.unpack_from("<I", body)[0]
        elif kind == _SAMPLE:
            (id_,) = struct.unpack_from("<Q", body)
            sample = _sample(body, *events[id_])
            if sample.evsel.type == 2:
                _tell_fields(sample, formats[sample.evsel.config])
            yield sample
        at += size


def _tell_fields(sample: SimpleNamespace, form: re.Match[bytes]) -> None:
    system = "damon" if form["name"].startswith(b"damo") else "other"
    sample.evsel.name = f"{system}:{form['name'].decode()}"
    for field in _FIELD.finditer(form["fields"]):
        at, size = int(field["offset"]), int(field["size"])
        value = int.from_bytes(sample.raw_buf[at : at + size], "little")
        setattr(sample, field["name"].decode(), value)


def _sample(body: bytes, evsel: Evsel, sample_type: int) -> SimpleNamespace:
    assert sample_type & _IDENTIFIER
    told, at = {}, 8
    for bit in (1 << i for i in range(10)):
        if sample_type & bit:
            told[_WORDS.get(bit)] = body[at : at + 8]
            at += 8
    pid, tid = struct.unpack("<ii", told["tid"])
    sample = SimpleNamespace(evsel=evsel, sample_pid=pid, sample_tid=tid)
    (sample.sample_time,) = struct.unpack("<Q", told["time"])
    (sample.sample_cpu,) = struct.unpack("<Ixxxx", told["cpu"])
    if sample_type & _RAW:
        (size,) = struct.unpack_from("<I", body, at)
        sample.raw_buf = body[at + 4 : at + 4 + size]
    return sample
