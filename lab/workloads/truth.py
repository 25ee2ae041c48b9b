# SPDX-License-Identifier: GPL-2.0
"""Reads what a workload wrote of what it really did (lab/workloads/README has the format)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PAGE = 4096


@dataclass(frozen=True, slots=True)
class Region:
    """A mapping of the workload."""

    name: str
    start: int
    end: int
    kind: str
    """anonymous, heap or file."""
    path: str
    """Of a file, else empty."""
    thp: str
    """on, off or default."""


@dataclass(frozen=True, slots=True)
class Touch:
    """Memory that was hot during a phase."""

    region: str
    start: int
    end: int
    access: str
    """read or write."""
    every: int
    """Nanoseconds from the begin of a pass to the next; 0 is full speed."""
    passes: int
    """How often all of it was accessed."""
    stride: int = PAGE
    """Bytes from a page that was accessed to the next."""
    fresh: bool = False
    """Each pass began with new memory."""

    @property
    def pages(self) -> int:
        """How many pages a pass accesses."""
        return -(-(self.end - self.start) // self.stride)

    def hot(self) -> Iterator[tuple[int, int]]:
        """The ranges that a pass accesses, in order."""
        if self.stride == PAGE:
            yield self.start, self.end
            return
        for start in range(self.start, self.end, self.stride):
            yield start, start + PAGE


@dataclass(frozen=True, slots=True)
class Phase:
    """What was touched from `begin` to `end` (nanoseconds of CLOCK_MONOTONIC)."""

    begin: int
    end: int
    loop: int
    number: int
    touches: tuple[Touch, ...]

    def hot(self) -> tuple[tuple[int, int], ...]:
        """The touched address ranges, in order, those that meet joined."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(part for touch in self.touches for part in touch.hot()):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return tuple(joined)


@dataclass(slots=True)
class Process:
    """All that one process of the workload did."""

    pid: int
    name: str
    regions: dict[str, Region] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    begin: int | None = None
    """When the first phase began; None if it never came to that."""
    end: int | None = None
    """When the process ended; None if it was killed."""

    def phase_at(self, time: int) -> Phase | None:
        """The phase that ran at a time, None where there was none."""
        for phase in self.phases:
            if phase.begin <= time < phase.end:
                return phase
        return None


def read(path: str | os.PathLike[str]) -> dict[int, Process]:
    """The processes of a truth file by pid, in the order of the file.

    A last line that is not whole, of a workload that was killed, is left out. Raises ValueError
    for anything else that is no truth file.
    """
    processes: dict[int, Process] = {}
    for number, line in enumerate(Path(path).read_text().splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            event = json.loads(line)
            process = processes.setdefault(event["pid"], Process(event["pid"], event["process"]))
            _add(process, event)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}:{number}: not a line of a truth file: {error!r}") from error
    return processes


def _add(process: Process, event: dict) -> None:
    match event["type"]:
        case "region":
            region = Region(
                name=event["region"],
                start=event["start"],
                end=event["end"],
                kind=event["kind"],
                path=event["path"],
                thp=event["thp"],
            )
            process.regions[region.name] = region
        case "start":
            process.begin = event["time"]
        case "phase":
            touches = tuple(Touch(**touch) for touch in event["touches"])
            process.phases.append(
                Phase(event["begin"], event["end"], event["loop"], event["phase"], touches)
            )
        case "end":
            process.end = event["time"]
        case other:
            raise ValueError(f"type {other!r}")
