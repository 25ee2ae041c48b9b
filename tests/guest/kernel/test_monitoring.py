# SPDX-License-Identifier: GPL-2.0
"""What the kernel sees of memory of every kind: ordinary and huge pages, files, physical memory.

The bounds on accuracy are low: a machine with other work delays aggregations. lab/bench accuracy
measures it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from acting import only_where_advised
from lab.benchmarks.score import score
from lab.workloads import truth as truths

import perf_damon
from guest import damon, kdamonds, put, wait_until
from perf_damon.recording import Target

__all__ = ["only_where_advised"]
MB = 2**20
HUGE = 2 * MB
AGGR_NS = 100_000_000
MAP_HUGETLB = 0x40000
K = "kdamonds/0"
C = f"{K}/contexts/0"

fast = pytest.mark.skipif(
    "debug" in os.uname().release, reason="a kernel that is too slow to see anything in time"
)


def recorded(*words: object) -> Target:
    result = damon("record", *words)
    assert result.returncode == 0, result.stderr
    (target,) = perf_damon.open().targets
    return target


def rate(target: Target, start: int, end: int) -> float:
    """Share of the samples of some addresses that saw an access, after the first second."""
    regions = target.regions
    begin = int(target.snapshot_time[0]) + 1_000_000_000
    later = np.repeat(target.snapshot_time.astype(np.int64) > begin, np.diff(target.offsets))
    low = np.maximum(regions.start.astype(np.int64), start)
    high = np.minimum(regions.end.astype(np.int64), end)
    size = np.where(later, np.maximum(high - low, 0), 0)
    assert size.sum() > 0, "it was monitored"
    return float((size * regions.nr_accesses).sum() / size.sum() / target.max_nr_accesses)


@fast
def test_files_heap_and_huge_pages(here: Path, workload: Callable[..., subprocess.Popen]) -> None:
    process = workload("mixed", "--duration", "60s")
    target = recorded("--timeout", "24s", process.pid)
    process.terminate()
    assert process.wait() == 0
    (truth,) = truths.read(here / "0.truth").values()
    result = score(target, truth)
    print(f"F1 {result.f1:.3f}, precision {result.precision:.3f}, recall {result.recall:.3f}")
    assert result.f1 > 0.7


TOUCH = """
import mmap, sys
size, huge = int(sys.argv[1]), int(sys.argv[2])
memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | huge)
import ctypes
print(ctypes.addressof(ctypes.c_char.from_buffer(memory)), flush=True)
step = 4096
for at in range(0, size, step):
    memory[at] = 1
print("populated", flush=True)
part = range(size // 4, size // 2, step)
while True:
    for at in part:
        memory[at] = 1
"""


@contextmanager
def toucher(size: int, huge: int = 0) -> Iterator[tuple[int, int]]:
    """A process that touches the second quarter of a mapping all the time: pid, address."""
    words = [sys.executable, "-c", TOUCH, str(size), str(huge)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            address = int(process.stdout.readline())
            assert process.stdout.readline() == "populated\n"
            yield process.pid, address
        finally:
            process.kill()


@pytest.fixture
def huge_pages() -> Iterator[None]:
    path = Path("/proc/sys/vm/nr_hugepages")
    path.write_text("16")
    if int(path.read_text()) < 16:
        pytest.fail("the kernel has no 16 huge pages")
    yield
    path.write_text("0")


@fast
@pytest.mark.parametrize("operations", ["vaddr", "fvaddr"])
def test_hugetlb(here: Path, huge_pages: None, operations: str) -> None:
    size = 16 * HUGE
    with toucher(size, MAP_HUGETLB) as (pid, at):
        where = ["--regions", f"{at:#x}-{at + size:#x}"] if operations == "fvaddr" else []
        target = recorded("--timeout", "5s", "--ops", operations, *where, pid)
    assert rate(target, at + size // 4, at + size // 2) > 0.5
    assert rate(target, at + size // 2 + 2 * HUGE, at + size) < 0.2
    if operations == "fvaddr":
        assert (target.regions.start.min(), target.regions.end.max()) == (at, at + size)


WARM = """
import ctypes, mmap, sys, time
size, huge = int(sys.argv[1]), 2 << 20
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | int(sys.argv[2])
memory = mmap.mmap(-1, size + huge, flags=flags)
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
first = -at % huge
if not int(sys.argv[2]):
    memory.madvise(mmap.MADV_HUGEPAGE)
places = range(first, first + size, huge)
for place in places:
    memory[place] = 1
print(at + first, flush=True)
while True:
    for place in places:
        time.sleep(1 / len(places))
        print(time.monotonic_ns(), flush=True)
        memory[place] = 1
"""
"""Touches one huge page after the other, a round a second at most, and says when."""


@fast
@pytest.mark.parametrize("flags", [0, MAP_HUGETLB], ids=["thp", "hugetlb"])
def test_warm_huge_pages_are_not_cold(here: Path, flags: int, huge_pages: None) -> None:
    """Samples of a region that look at other places clear the bit that its sentry waits for.

    With sentries no region looks idle for longer than one of its huge pages is.
    """
    nr = 15
    words = [sys.executable, "-c", WARM, str(nr * HUGE), str(flags)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        at = int(process.stdout.readline())
        smaps = Path(f"/proc/{process.pid}/smaps").read_text()
        where = ["--ops", "fvaddr", "--regions", f"{at:#x}-{at + nr * HUGE:#x}"]
        bounds = ["--min-regions", 3, "--max-regions", 3]
        target = recorded("--timeout", "15s", *where, *bounds, process.pid)
        process.kill()
        touches = np.array([int(line) for line in process.stdout])
    name = "Private_Hugetlb" if flags else "AnonHugePages"
    sizes = [int(line.split()[1]) for line in smaps.splitlines() if line.startswith(name)]
    assert nr * HUGE // 1024 <= sum(sizes) <= (nr + 1) * HUGE // 1024

    too_old = total = 0
    for index, when in enumerate(target.snapshot_time.astype(np.int64)):
        number = int(np.searchsorted(touches, when))
        if number < 2 * nr:
            continue
        last = np.empty(nr, dtype=np.int64)
        last[np.arange(number - nr, number) % nr] = touches[number - nr : number]
        for row in range(target.offsets[index], target.offsets[index + 1]):
            begin, end = int(target.regions.start[row]) - at, int(target.regions.end[row]) - at
            idle_ns = when - last[begin // HUGE : -(-end // HUGE)].min()
            total += end - begin
            if int(target.regions.age[row]) * AGGR_NS > idle_ns + 2 * AGGR_NS:
                too_old += end - begin
    print(f"{too_old / total:.3f} of the memory looks older than it is")
    assert too_old / total < 0.15


def frames(pid: int, start: int, end: int) -> np.ndarray:
    """Page frame numbers of a process's memory, those that are there."""
    with Path(f"/proc/{pid}/pagemap").open("rb") as file:
        file.seek(start // mmap.PAGESIZE * 8)
        data = file.read((end - start) // mmap.PAGESIZE * 8)
    entries = np.array(struct.unpack(f"={len(data) // 8}Q", data), dtype=np.uint64)
    return (entries[entries >> np.uint64(63) == 1] & np.uint64(2**55 - 1)).astype(np.int64)


PHYSICAL = """\
# Hot and cold memory of which the physical addresses are looked up
region table 128M thp=off
phase 10m
    touch table 32M 16M
"""


@fast
def test_physical_memory(here: Path, workload: Callable[..., subprocess.Popen]) -> None:
    (here / "physical.pattern").write_text(PHYSICAL)
    process = workload(str(here / "physical.pattern"), "--duration", "10m")
    target = recorded("-a", "--timeout", "10s")
    begun = json.loads((here / "0.truth").read_text().splitlines()[0])
    at = begun["start"]
    hot = frames(process.pid, at + 32 * MB, at + 48 * MB) * mmap.PAGESIZE
    cold = frames(process.pid, at + 48 * MB, at + 128 * MB) * mmap.PAGESIZE

    def mean(addresses: np.ndarray) -> float:
        """Rate at pages in the last third of the recording."""
        regions, offsets = target.regions, target.offsets
        rates = []
        for i in range(target.nr_snapshots * 2 // 3, target.nr_snapshots):
            rows = slice(offsets[i], offsets[i + 1])
            starts = regions.start[rows].astype(np.int64)
            ends = regions.end[rows].astype(np.int64)
            index = np.searchsorted(starts, addresses, side="right") - 1
            inside = (index >= 0) & (addresses < ends[index])
            rates.append(np.where(inside, regions.nr_accesses[rows][index], 0).mean())
        return float(np.mean(rates)) / target.max_nr_accesses

    print(f"hot pages {mean(hot):.2f}, cold pages {mean(cold):.2f}")
    assert mean(hot) > 0.4
    assert mean(cold) < 0.1


def monitor(pid: int, sample_us: int = 5000, aggr_us: int = 100_000) -> None:
    put("kdamonds/nr_kdamonds", 1)
    put(f"{K}/contexts/nr_contexts", 1)
    put(f"{C}/monitoring_attrs/intervals/sample_us", sample_us)
    put(f"{C}/monitoring_attrs/intervals/aggr_us", aggr_us)
    put(f"{C}/targets/nr_targets", 1)
    put(f"{C}/targets/0/pid_target", pid)


@pytest.mark.stress
def test_stopping_does_not_wait_for_a_sample() -> None:
    hour = 3600 * 1_000_000
    monitor(os.getpid(), hour, hour)
    put(f"{K}/state", "on")
    assert len(kdamonds()) == 1
    command = f"echo off > /sys/kernel/mm/damon/admin/{K}/state"
    subprocess.run(["sh", "-c", command], check=True, timeout=60)
    assert kdamonds() == []
    put("kdamonds/nr_kdamonds", 0)


@pytest.mark.stress
def test_started_and_stopped_a_thousand_times() -> None:
    """With a target that is not idle, and with one that is about to die."""
    with toucher(16 * MB) as (pid, _):
        monitor(pid, 1000, 2000)
        for _ in range(900):
            put(f"{K}/state", "on")
            put(f"{K}/state", "off")
    for _ in range(100):
        process = subprocess.Popen(["sleep", "1000"])
        put(f"{C}/targets/0/pid_target", process.pid)
        put(f"{K}/state", "on")
        process.kill()
        process.wait()
        with suppress(PermissionError):  # it had noticed already
            put(f"{K}/state", "off")
        wait_until(lambda: not kdamonds(), "it ended", 20)
    put("kdamonds/nr_kdamonds", 0)


def free_kb() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, value = line.split()[:2]
        if name == "MemFree:":
            return int(value)
    raise AssertionError("no MemFree")


@pytest.mark.stress
def test_a_dead_process_frees_its_memory(here: Path) -> None:
    """The kdamond, which goes on with another target, does not hold on to its address space."""
    with toucher(512 * MB) as (pid, _), toucher(16 * MB) as (other, _):
        monitor(pid)
        put(f"{C}/targets/nr_targets", 2)
        put(f"{C}/targets/0/pid_target", pid)
        put(f"{C}/targets/1/pid_target", other)
        put(f"{K}/state", "on")
        time.sleep(1)
        before = free_kb()
        os.kill(pid, 9)
        wait_until(lambda: free_kb() > before + 400 * 1024, "its memory is free again", 30)
        assert len(kdamonds()) == 1
        put(f"{K}/state", "off")
    put("kdamonds/nr_kdamonds", 0)
