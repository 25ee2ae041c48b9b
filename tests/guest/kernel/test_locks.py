# SPDX-License-Identifier: GPL-2.0
"""Address spaces that are locked for long, as fork() of a large process does: nothing waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from acting import HUGE, STATE, only_where_advised, ranges, slot, start, wait_until
from files import C, ours
from holding import Area, Holder
from obedient import maker
from tracing import Trace, rate, traced

from guest import ADMIN, kdamonds, put, write_once

__all__ = ["only_where_advised", "slot"]
fuse = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="a kernel without FUSE")
pytestmark = [ours, fuse, pytest.mark.usefixtures("log")]

SIZE = 2 * HUGE
HOT = 5
"""Of ten samples."""


@pytest.fixture
def new(tmp_path: Path) -> Iterator[Callable[[], Holder]]:
    """Make processes, which end with the test."""
    with maker(lambda: Holder(tmp_path)) as make:
        yield make


@pytest.fixture
def trace(slot: None) -> Iterator[Trace]:
    with traced("damon/damon_aggregated") as trace:
        yield trace


def targets(operations: str, *areas: Area) -> None:
    """Monitor the processes of areas."""
    pids = list(dict.fromkeys(area.holder.pid for area in areas))
    put(f"{C}/operations", operations)
    put(f"{C}/targets/nr_targets", len(pids))
    for number, pid in enumerate(pids):
        put(f"{C}/targets/{number}/pid_target", pid)
        if operations == "fvaddr":
            ranges(number, *(area.memory for area in areas if area.holder.pid == pid))


def last_rate(trace: Trace, target: int, area: Area) -> float | None:
    snapshots = trace.snapshots(target)
    return rate(snapshots[-1], area.memory) if snapshots else None


def found(trace: Trace, target: int, area: Area, *, hot: bool) -> None:
    """Wait until it is found to be read all the time, or not at all."""
    area.read(hot)
    trace.clear()

    def is_so() -> bool:
        seen = last_rate(trace, target, area)
        return seen is not None and (seen >= HOT if hot else seen < 1)

    wait_until(is_so, f"target {target} is found {'hot' if hot else 'idle'}")


def off() -> None:
    """Turn it off, which must not wait for a process. One that hangs is not waited for."""
    result: list[int] = []
    thread = threading.Thread(
        target=lambda: result.append(write_once(ADMIN / STATE, "off")), daemon=True
    )
    thread.start()
    wait_until(lambda: result, "it is off")
    assert result == [0] and kdamonds() == []


@pytest.mark.parametrize("operations", ["vaddr", "fvaddr"])
def test_a_locked_process_keeps_nobody(
    new: Callable[[], Holder], trace: Trace, operations: str
) -> None:
    """Neither the others from being monitored, nor who stops it, whenever it was locked."""
    busy, other = new(), new()
    its, others = busy.area(SIZE), other.area(SIZE)
    targets(operations, its, others)
    put(f"{C}/monitoring_attrs/intervals/update_us", 200000)
    start("willneed")
    found(trace, 1, others, hot=True)
    with busy.locked():
        found(trace, 1, others, hot=False)
        found(trace, 1, others, hot=True)
        off()
        put(STATE, "on")
        found(trace, 1, others, hot=False)
        found(trace, 1, others, hot=True)
        off()


def test_mappings_that_are_not_locked_are_monitored(
    new: Callable[[], Holder], trace: Trace
) -> None:
    """And of one that is locked, nothing is known: it is as it was."""
    process = new()
    free, taken = process.area(SIZE), process.area(SIZE)
    targets("fvaddr", free, taken)
    start("stat")
    found(trace, 0, free, hot=False)
    found(trace, 0, taken, hot=True)
    with process.locked(taken):
        taken.read(False)
        for _ in range(2):
            found(trace, 0, free, hot=True)
            found(trace, 0, free, hot=False)
            seen = last_rate(trace, 0, taken)
            assert seen is not None and seen >= HOT
        put(STATE, "off")
