# SPDX-License-Identifier: GPL-2.0
"""The live reader on perf's Python module: events, mapped per CPU, fields by name."""

from __future__ import annotations

import importlib
import os
import re
import select
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from perf_damon import perfs
from perf_damon.errors import DataError, Error
from perf_damon.live.both import Joiner
from perf_damon.perfdata.events import MAX_TARGETS, Events, no_events
from perf_damon.perfdata.layout import HITS
from perf_damon.perfdata.probes import table as table_of
from perf_damon.tracepoints import EVENT, REGION_EVENT, REGION_EVENTS, SYSTEM

PAGES = 128
"""Pages of each CPU's buffer: 512 KiB hold about 6,000 events."""
_NEEDED = ("cpu_map", "evlist", "evsel", "lost_event", "sample_event", "thread_map", "tracepoint")
_PERF_EVENT = "anon_inode:[perf_event]"
_FOLDERS = ("/usr/lib/python3/dist-packages",)
_INSTALL = "install the distribution's package of it (Debian: linux-perf; others: python3-perf)"
_TAG = re.compile(r"perf\.cpython-(\d)(\d+)[a-z]*-.*\.so")
_FIELDS = ("target_id", "start", "end", "nr_accesses", "nr_regions")
_WIDTH = 2 + len(_FIELDS) + 1  # tid and time, the fields, age


class NoModuleError(Error):
    """perf's Python module cannot be imported."""


def perf_module() -> ModuleType:
    """perf's module. Raises NoModuleError: there is none for this Python, or it is another's."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        module = importlib.import_module("perf")
    except ImportError as error:
        others = _versions() - {running}
        if others:
            raise NoModuleError(
                f"perf's Python module is for Python {', '.join(sorted(others))}, "
                f"and this is Python {running}",
                "run perf damon with the distribution's Python (/usr/bin/python3)",
            ) from None
        reason = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise NoModuleError(f"Python {running} has no module of perf's{reason}", _INSTALL) from None
    missing = [name for name in _NEEDED if not hasattr(module, name)]
    if missing:
        where = getattr(module, "__file__", None) or "built in"
        raise NoModuleError(
            f"the module named perf is not perf's: {where} has no {missing[0]}", _INSTALL
        )
    return module


def tells_fields(module: ModuleType) -> bool:
    """Whether the module tells the fields of an event that was opened by its number.

    That of perf 7.2 does not: it looks for the event's format under a number that it has read no
    format for. It is known by what else came with such modules.
    """
    return not hasattr(module, "pmus")


def _versions() -> set[str]:
    """The versions of Python that modules of perf's lie about for."""
    found = set()
    for folder in (*sys.path, *_FOLDERS):
        for path in Path(folder or ".").glob("perf.cpython-*.so"):
            if match := _TAG.fullmatch(path.name):
                found.add(f"{match[1]}.{match[2]}")
    return found


class ModuleReader:
    """Reads through perf's module; see Reader. One buffer a CPU, kdamond and event.

    Each opening maps all buffers anew: keep a reader open, rather than opening one often.
    """

    source = "perf's Python module"

    def __init__(self, module: ModuleType, tids: Sequence[int] = (), pages: int = PAGES) -> None:
        self._perf = module
        self.lost = 0
        self.ended = False
        self._lists: list[Any] = []
        self._joiner = Joiner()
        self._fds: set[int] = set()
        self._hung_up: set[int] = set()
        self._poll = select.poll()
        numbers = _event_numbers(module)
        try:
            with perfs.silent():
                self._cpus = list(module.cpu_map())
                # The one that comes second first: else the first rows would lack their hits.
                for name in reversed(numbers):
                    for tid in tids or (-1,):
                        self._open(name, numbers[name], tid, pages)
            self._lists.sort(key=lambda one: REGION_EVENTS.index(one[0]))
        except BaseException:
            self.close()
            raise

    def _open(self, name: str, number: int, tid: int, pages: int) -> None:
        perf = self._perf
        cpus, threads = perf.cpu_map(), perf.thread_map(-1, tid)
        event = perf.evsel(
            type=perf.TYPE_TRACEPOINT,
            config=number,
            freq=0,
            sample_period=1,
            wakeup_events=1,
            sample_type=perf.SAMPLE_PERIOD
            | perf.SAMPLE_TID
            | perf.SAMPLE_CPU
            | perf.SAMPLE_TIME
            | perf.SAMPLE_RAW,
        )
        events = perf.evlist(cpus, threads)
        try:
            event.open(cpus=cpus, threads=threads)
            events.add(event)
            events.mmap(pages=pages)
        except OSError as error:
            raise _cannot_listen(error, tid) from None
        self._lists.append((name, events, event, cpus, threads))
        for file in events.get_pollfd():
            fd = file if isinstance(file, int) else file.fileno()
            self._fds.add(fd)
            self._poll.register(fd, select.POLLIN)

    def __enter__(self) -> ModuleReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float | None) -> bool:
        """See Reader."""
        if self.ended:
            return False
        found = self._poll.poll(None if seconds is None else int(seconds * 1000))
        for fd, what in found:
            # The kernel says so for ever once the kdamond has ended.
            if what & (select.POLLHUP | select.POLLERR | select.POLLNVAL):
                self._poll.unregister(fd)
                self._hung_up.add(fd)
        return bool(found)

    def read(self) -> Events:
        """See Reader."""
        told = {name: _Rows() for name in REGION_EVENTS}
        last = self._hung_up == self._fds
        for name, events, *_ in self._lists:
            for cpu in self._cpus:
                while (event := events.read_on_cpu(cpu)) is not None:
                    self._take(event, name, told[name])
        self.ended = self.ended or last
        return self._joiner.join(*(_columns(rows) for rows in told.values()), self.ended)

    def _take(self, event: Any, name: str, rows: _Rows) -> None:
        """Keep an event of this name."""
        if isinstance(event, self._perf.lost_event):
            self.lost += event.lost
            return
        if not isinstance(event, self._perf.sample_event):
            return
        try:
            fields = [getattr(event, field) for field in _FIELDS]
            if name == REGION_EVENT:
                rows.hits.append(_bytes(getattr(event, HITS)))
        except AttributeError as error:
            raise DataError(
                f"perf's Python module does not tell the fields of {SYSTEM}:{name}: {error}",
                f"it may be built without libtraceevent: {_INSTALL}",
            ) from None
        age = getattr(event, "age", None)
        rows.with_age &= age is not None
        rows.numbers.extend((event.sample_tid, event.sample_time, *fields, age or 0))

    def close(self) -> None:
        """See Reader."""
        self.ended = True
        self._lists.clear()
        # Only what is still an event of perf's: a module may have closed it, and numbers are used
        # again.
        for fd in self._fds:
            try:
                if str(Path(f"/proc/self/fd/{fd}").readlink()) == _PERF_EVENT:
                    os.close(fd)
            except OSError:
                continue
        self._fds = set()


@dataclass
class _Rows:
    """What one event has told."""

    numbers: array = field(default_factory=lambda: array("Q"))
    """_WIDTH of them a row."""
    with_age: bool = True
    hits: list[bytes] = field(default_factory=list)
    """Of each row, if the event tells them."""


def _bytes(hits: bytes | bytearray | str) -> bytes:
    """Bytes as they are: what looks like a text to perf, it gives as one, without its last zero."""
    return hits.encode(errors="surrogateescape") + b"\0" if isinstance(hits, str) else bytes(hits)


def _event_numbers(module: ModuleType) -> dict[str, int]:
    """The events that tell of regions, by name, as far as the kernel has them."""
    numbers = {}
    for name in REGION_EVENTS:
        try:
            number = int(module.tracepoint(SYSTEM, name))
        except OSError:
            continue
        if number >= 0:
            numbers[name] = number
    if not numbers:
        raise Error(
            f"the event {SYSTEM}:{EVENT} cannot be found",
            "be root, mount tracefs on /sys/kernel/tracing, and have a kernel with DAMON",
        )
    return numbers


def _cannot_listen(error: OSError, tid: int) -> Error:
    if isinstance(error, ProcessLookupError):
        return Error(f"kdamond {tid} is gone", "see which run: perf damon status")
    if isinstance(error, PermissionError):
        return Error(f"this user may not listen to {SYSTEM}:{EVENT}", "be root: sudo perf damon …")
    return Error(f"cannot listen to {SYSTEM}:{EVENT}: {error.strerror}")


def _columns(rows: _Rows) -> Events:
    if not rows.numbers:
        return no_events()
    table = np.frombuffer(rows.numbers, np.uint64).reshape(-1, _WIDTH)
    order = np.argsort(table[:, 1], kind="stable")
    table = table[order]
    pairs, target = np.unique(table[:, [0, 2]], axis=0, return_inverse=True)
    if len(pairs) > MAX_TARGETS:
        raise DataError(f"more than {MAX_TARGETS} targets are monitored", "")
    columns = {"time": table[:, 1].copy(), "start": table[:, 3].copy(), "end": table[:, 4].copy()}
    narrow = {"nr_accesses": 5, "age": 7, "nr_regions": 6}
    for name, place in narrow.items():
        if rows.with_age or name != "age":
            columns[name] = table[:, place].astype(np.uint32)
    if rows.hits and (hits := table_of(rows.hits)).shape[1]:
        columns[HITS] = hits[order]
    return Events(
        columns=columns,
        target=target.reshape(-1).astype(np.uint16),
        keys=[(int(tid), int(id_)) for tid, id_ in pairs],
        ordered=True,
    )
