# SPDX-License-Identifier: GPL-2.0
"""The kernel's own record of its tracepoints, in an instance that is the test's alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guest import run

ROOT = Path("/sys/kernel/tracing")
REGION = re.compile(r"damon_aggregated: target_id=(\d+) nr_regions=(\d+) (\d+)-(\d+): (\d+) \d+$")

Region = tuple[int, int, int]
"""Start, end, nr_accesses."""


class Trace:
    """What has happened since it was cleared."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def clear(self) -> None:
        (self.path / "trace").write_text("")

    def events(self) -> list[str]:
        """From each event's name on, in their order."""
        lines = (self.path / "trace").read_text().splitlines()
        return [line.split(": ", 1)[1] for line in lines if not line.startswith("#")]

    def snapshots(self, target: int) -> list[list[Region]]:
        """Of a target, those that are whole."""
        found: list[list[Region]] = []
        whole = 0
        for event in self.events():
            match = REGION.fullmatch(event)
            if not match or int(match[1]) != target:
                continue
            start, end, nr_accesses = map(int, match.groups()[2:])
            if not found or start < found[-1][-1][1]:
                found.append([])
            found[-1].append((start, end, nr_accesses))
            whole = int(match[2])
        if found and len(found[-1]) < whole:
            found.pop()
        return found


def rate(snapshot: list[Region], memory: range) -> float | None:
    """The mean nr_accesses of a range of addresses; None where nothing of it is monitored."""
    size = total = 0
    for start, end, nr_accesses in snapshot:
        part = max(min(end, memory.stop) - max(start, memory.start), 0)
        size += part
        total += part * nr_accesses
    return total / size if size else None


@contextmanager
def traced(*events: str) -> Iterator[Trace]:
    """Have events recorded, by their order and not by clocks."""
    if not (ROOT / "trace").exists():
        assert run("mount", "-t", "tracefs", "none", ROOT).returncode == 0
    path = ROOT / "instances/perf-damon-test"
    path.mkdir()
    try:
        (path / "trace_clock").write_text("counter")
        for event in events:
            (path / "events" / event / "enable").write_text("1")
        yield Trace(path)
    finally:
        path.rmdir()
