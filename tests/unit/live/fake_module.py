# SPDX-License-Identifier: GPL-2.0
"""A small stand-in for perf's Python module: what was put into its buffers comes out by CPU."""

from __future__ import annotations

import os
from types import SimpleNamespace


class Sample:
    """A sample with whatever fields it is given."""

    def __init__(self, tid: int, time: int, **fields: int) -> None:
        self.sample_tid, self.sample_time = tid, time
        self.__dict__.update(fields)


class Lost:
    """Events that were lost."""

    def __init__(self, lost: int) -> None:
        self.lost = lost


class Other:
    """An event of another kind."""


def sample(time: int, tid: int = 500, start: int = 0x1000, **fields: int) -> Sample:
    known = {"target_id": 0, "nr_accesses": 3, "nr_regions": 2, "age": 7}
    return Sample(tid, time, start=start, end=start + 0x1000, **{**known, **fields})


class Perf:
    """The module. `gone` are threads that cannot be listened to, `error` what opening raises."""

    __file__ = "/fake/perf.so"
    TYPE_TRACEPOINT = 2
    SAMPLE_PERIOD, SAMPLE_TID, SAMPLE_CPU, SAMPLE_TIME, SAMPLE_RAW = (1 << i for i in range(5))
    sample_event = Sample
    lost_event = Lost

    def __init__(self, cpus: int = 2) -> None:
        self.buffers: dict[int, dict[int, list[object]]] = {}
        """By thread and CPU."""
        self.ends: list[int] = []
        """Closing one hangs up, as a thread's end does."""
        self.number: int | OSError = 372
        self.region_number: int | OSError = -1
        """That of damon_region_aggregated."""
        self.region_buffers: dict[int, dict[int, list[object]]] = {}
        """As buffers, of that event."""
        self.opened: list[int] = []
        """Numbers of events, in the order in which they were opened."""
        self.error: OSError | None = None
        self.cpus = cpus

    def cpu_map(self) -> range:
        return range(self.cpus)

    def thread_map(self, pid: int, tid: int) -> int:
        assert pid == -1
        return tid

    def tracepoint(self, group: str, name: str) -> int:
        assert group == "damon"
        numbers = {"damon_aggregated": self.number, "damon_region_aggregated": self.region_number}
        number = numbers[name]
        if isinstance(number, OSError):
            raise number
        return number

    def evsel(self, **attributes: int) -> SimpleNamespace:
        assert attributes["config"] in (self.number, self.region_number)
        assert attributes["sample_period"] == 1

        def open_(*, cpus: range, threads: int) -> None:
            if self.error:
                raise self.error
            self.opened.append(attributes["config"])

        return SimpleNamespace(open=open_, config=attributes["config"])

    def evlist(self, cpus: range, threads: int) -> SimpleNamespace:
        buffers: dict[int, list[object]] = {}
        fds: list[int] = []
        for _ in cpus:
            read, write = os.pipe()
            fds.append(read)
            self.ends.append(write)

        def add(event: SimpleNamespace) -> None:
            kept = self.buffers if event.config == self.number else self.region_buffers
            buffers.update(kept.setdefault(threads, {cpu: [] for cpu in cpus}))

        def read_on_cpu(cpu: int) -> object:
            return buffers[cpu].pop(0) if buffers[cpu] else None

        return SimpleNamespace(
            add=add,
            mmap=lambda pages: None,
            get_pollfd=lambda: fds,
            read_on_cpu=read_on_cpu,
        )
