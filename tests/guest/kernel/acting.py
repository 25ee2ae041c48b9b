# SPDX-License-Identifier: GPL-2.0
"""What tests of actions have in common: a kdamond with a scheme, and processes to act on."""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from files import C, K, all_off, get
from obedient import Obedient, maker

import guest
from guest import put, swap_off, swap_on

SCHEMES = f"{C}/schemes"
S = f"{SCHEMES}/0"
STATE = f"{K}/state"
MOST = 2**64 - 1
PAGE = mmap.PAGESIZE
MB = 1 << 20
HUGE = 2 * MB
SIZE = 16 * MB
FEW = MB // 8
"""More than what waits, for a CPU to have several of them, to be put on LRU lists."""
NODES = len(list(Path("/sys/devices/system/node").glob("node[0-9]*")))
nodes = pytest.mark.skipif(NODES < 2, reason="lab/guest --nodes 2")

_generations = Path("/sys/kernel/mm/lru_gen/enabled")
GENERATIONS = _generations.exists() and int(_generations.read_text(), 16) & 1
"""Multi-generational LRU: pages have no active flag."""
flags = pytest.mark.skipif(GENERATIONS, reason="pages have no active flag")

# Bits of /proc/kpageflags
ACTIVE, KSM = 6, 21

# Of the system calls of the program below
MAP_HUGETLB, MBIND, MPOL_BIND = 0x40000, 237, 2
MADV_MERGEABLE, MADV_HUGEPAGE = 12, 14

PROGRAM = f"""
import ctypes, mmap, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
HUGE = {HUGE}
def anonymous(size):
    # From a huge page's edge on, with nothing beside it.
    at = libc.mmap(None, size + 2 * HUGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    return libc.mmap((at + 2 * HUGE - 1) & -HUGE, size, 3,
                     mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 16, -1, 0)
def shared(size, path):
    with open(path, "a+b") as file:
        file.truncate(size)
        return libc.mmap(None, size, 3, mmap.MAP_SHARED, file.fileno(), 0)
def huge(size):
    return libc.mmap(None, size, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | {MAP_HUGETLB}, -1, 0)
def bind(at, size, node):
    nodes = ctypes.c_ulong(1 << node)
    if libc.syscall({MBIND}, ctypes.c_void_p(at), ctypes.c_ulong(size), {MPOL_BIND},
                    ctypes.byref(nodes), ctypes.c_ulong(64), 0):
        raise OSError(ctypes.get_errno())
def fill(at, size):
    for page in range(at, at + size, {PAGE}):
        # Not worth compressing, and not all alike.
        ctypes.memmove(page, page.to_bytes(8, "little") * 64, 512)
def read(at, size):
    for page in range(at, at + size, {PAGE}):
        if ctypes.string_at(page, 8) != page.to_bytes(8, "little"):
            return page
def alike(page):
    # Four kinds of pages.
    return bytes([1 + page // {PAGE} % 4]) * {PAGE}
def fill_alike(at, size):
    for page in range(at, at + size, {PAGE}):
        ctypes.memmove(page, alike(page), {PAGE})
def read_alike(at, size):
    for page in range(at, at + size, {PAGE}):
        if ctypes.string_at(page, {PAGE}) != alike(page):
            return page
def madvise(at, size, advice):
    if libc.madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), advice):
        raise OSError(ctypes.get_errno())
def munmap(at, size):
    assert not libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
def mlock(at, size):
    assert not libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(size))
def keep_reading(at, size):
    while True:
        read(at, size)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """An action takes a few intervals: what takes longer will never be."""
    guest.wait_until(condition, what, 40)


class Process(Obedient):
    """A process that does with its memory what it is told."""

    def __init__(self, memcg: Path | None = None) -> None:
        super().__init__(PROGRAM)
        if memcg:
            self.join(memcg)

    def anonymous(self, size: int = SIZE, *, fill: bool = True) -> range:
        """Map anonymous memory; its addresses."""
        at = self.do(f"anonymous({size})")
        assert at
        if fill:
            self.do(f"fill({at}, {size})")
        return range(at, at + size)

    def shared(self, path: Path, size: int = SIZE) -> range:
        """Map a file, of a file system in memory; its addresses."""
        at = self.do(f"shared({size}, {str(path)!r})")
        assert at
        self.do(f"fill({at}, {size})")
        return range(at, at + size)

    def huge(self, size: int = SIZE) -> range:
        """Map huge pages of the pool of hugetlb; their addresses."""
        at = self.do(f"huge({size})")
        assert at
        self.do(f"fill({at}, {size})")
        return range(at, at + size)

    def is_whole(self, memory: range) -> bool:
        """Read all of it, which has to be what was written there."""
        return self.do(f"read({memory.start}, {len(memory)})") is None

    def vm_flags(self, memory: range) -> list[set[str]]:
        """The flags of each mapping that overlaps a range."""
        found, counts = [], False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                start, end = (int(text, 16) for text in match.groups())
                counts = start < memory.stop and memory.start < end
            elif counts and line.startswith("VmFlags:"):
                found.append(set(line.split()[1:]))
        return found

    def entries(self, memory: range) -> np.ndarray:
        """/proc/PID/pagemap, of each page."""
        with Path(f"/proc/{self.pid}/pagemap").open("rb") as file:
            file.seek(memory.start // PAGE * 8)
            return np.frombuffer(file.read(len(memory) // PAGE * 8), np.uint64)

    def pfns(self, memory: range) -> np.ndarray:
        """The page frames of what is present."""
        entries = self.entries(memory)
        present = entries >> np.uint64(63) == 1
        return (entries[present] & np.uint64((1 << 55) - 1)).astype(np.int64)

    def present(self, memory: range) -> int:
        """Bytes that are in memory."""
        return len(self.pfns(memory)) * PAGE

    def swapped(self, memory: range) -> int:
        """Bytes that are in swap."""
        return int((self.entries(memory) >> np.uint64(62) & np.uint64(1)).sum()) * PAGE

    def flagged(self, memory: range, bit: int) -> int:
        """Bytes whose pages have a flag, one of /proc/kpageflags."""
        total = 0
        with Path("/proc/kpageflags").open("rb") as file:
            for pfn in self.pfns(memory):
                file.seek(pfn * 8)
                total += int.from_bytes(file.read(8), "little") >> bit & 1
        return total * PAGE

    def on_node(self, memory: range, nid: int) -> int:
        """Bytes that are on a node, by numa_maps."""
        total = 0
        for line in Path(f"/proc/{self.pid}/numa_maps").read_text().splitlines():
            if int(line.split()[0], 16) in memory:
                total += sum(int(pages) for pages in re.findall(rf" N{nid}=(\d+)", line))
        return total * PAGE


@pytest.fixture(autouse=True)
def slot(nothing_left_behind: None) -> Iterator[None]:
    """A kdamond with a context that has a scheme, for all that is monitored."""
    put("kdamonds/nr_kdamonds", 1)
    put(f"{K}/contexts/nr_contexts", 1)
    put(f"{SCHEMES}/nr_schemes", 1)
    for what in ("sz", "nr_accesses", "age"):
        put(f"{S}/access_pattern/{what}/max", MOST)
    put(f"{C}/monitoring_attrs/intervals/sample_us", 10000)
    put(f"{C}/monitoring_attrs/intervals/aggr_us", 100000)
    yield
    all_off()


@pytest.fixture
def new() -> Iterator[Callable[..., Process]]:
    """Make processes, which end with the test."""
    with maker(Process) as make:
        yield make


@pytest.fixture
def process(new: Callable[..., Process]) -> Process:
    return new()


@pytest.fixture
def swap(new: Callable[..., Process]) -> Iterator[None]:
    swap_on(128 * MB)
    yield
    all_off()
    swap_off()


@pytest.fixture(autouse=True, scope="module")
def only_where_advised() -> None:
    Path("/sys/kernel/mm/transparent_hugepage/enabled").write_text("madvise")
    Path("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs").write_text(
        "1000000"
    )


def ranges(target: int, *memory: range) -> None:
    regions = f"{C}/targets/{target}/regions"
    put(f"{regions}/nr_regions", len(memory))
    for number, each in enumerate(sorted(memory, key=lambda one: one.start)):
        put(f"{regions}/{number}/start", each.start)
        put(f"{regions}/{number}/end", each.stop)


def virtual(process: Process, *memory: range) -> None:
    """Monitor ranges of a process."""
    put(f"{C}/operations", "fvaddr")
    put(f"{C}/targets/nr_targets", 1)
    put(f"{C}/targets/0/pid_target", process.pid)
    ranges(0, *memory)


def physical(process: Process, *memory: range, unit: int = 1) -> None:
    """Monitor physical memory, as much as to have all of a process's ranges in it."""
    pfns = np.concatenate([process.pfns(each) for each in memory])
    start, end = int(pfns.min()) // 512 * 512, int(pfns.max()) // 512 * 512 + 512
    put(f"{C}/operations", "paddr")
    put(f"{C}/addr_unit", unit)
    put(f"{C}/targets/nr_targets", 1)
    ranges(0, range(start * PAGE // unit, end * PAGE // unit))


def filters(folder: str, *each: dict[str, object]) -> None:
    put(f"{S}/{folder}/nr_filters", len(each))
    for number, values in enumerate(each):
        for name, value in values.items():
            put(f"{S}/{folder}/{number}/{name}", value)


def only(**what: object) -> dict[str, object]:
    """A filter that lets through what is of a type, and nothing else."""
    return {**what, "matching": "Y", "allow": "Y"}


def none(**what: object) -> dict[str, object]:
    """A filter that keeps out what is of a type."""
    return {**what, "matching": "Y", "allow": "N"}


def start(action: str) -> None:
    put(f"{S}/action", action)
    put(STATE, "on")


def stats() -> dict[str, int]:
    put(STATE, "update_schemes_stats")
    names = ("nr_snapshots", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed")
    return {name: int(get(f"{S}/stats/{name}")) for name in names}


def further_snapshots(number: int = 3) -> dict[str, int]:
    """The statistics once the scheme has been tried on everything so many times more."""
    before = stats()["nr_snapshots"]
    wait_until(lambda: stats()["nr_snapshots"] >= before + number, "it goes on")
    return stats()


def nearly(value: int, expected: int, slack: int = FEW) -> bool:
    return abs(value - expected) <= slack
