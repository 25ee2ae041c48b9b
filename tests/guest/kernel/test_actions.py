# SPDX-License-Identifier: GPL-2.0
"""What schemes do to memory: each action, and each filter, on memory of a process of ours.

What an action did is looked up where the kernel tells all of its users: in smaps, in the flags and
the node of each page. Two nodes make this whole: lab/guest --nodes 2.
"""

from __future__ import annotations

import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from errno import EINVAL
from pathlib import Path

import numpy as np
import pytest
from files import C, K, all_off, error, get, log, ours

import guest
from guest import put, run

__all__ = ["log"]
pytestmark = [ours, pytest.mark.usefixtures("log")]

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

# Bits of /proc/kpageflags
ACTIVE, ANON, THP = 6, 12, 22

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
def fill(at, size):
    for page in range(at, at + size, {PAGE}):
        # Not worth compressing, and not all alike.
        ctypes.memmove(page, page.to_bytes(8, "little") * 64, 512)
def read(at, size):
    for page in range(at, at + size, {PAGE}):
        if ctypes.string_at(page, 8) != page.to_bytes(8, "little"):
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
MADV_HUGEPAGE = 14


def wait_until(condition: Callable[[], object], what: str) -> None:
    """An action takes a few intervals: what takes longer will never be."""
    guest.wait_until(condition, what, 40)


class Process:
    """A process that does with its memory what it is told."""

    def __init__(self, memcg: Path | None = None) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.popen.pid
        if memcg:
            (memcg / "cgroup.procs").write_text(str(self.pid))

    def begin(self, call: str) -> None:
        """Have it do something that it does not come back from."""
        assert self.popen.stdin
        self.popen.stdin.write(f"{call}\n")
        self.popen.stdin.flush()

    def do(self, call: str) -> int | None:
        self.begin(call)
        assert self.popen.stdout
        return eval(self.popen.stdout.readline())

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

    def is_whole(self, memory: range) -> bool:
        """Read all of it, which has to be what was written there."""
        return self.do(f"read({memory.start}, {len(memory)})") is None

    def smaps(self, memory: range, field: str) -> int:
        """Bytes by a field of smaps, of mappings that lie in a range."""
        total, counts = 0, False
        for line in Path(f"/proc/{self.pid}/smaps").read_text().splitlines():
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                start, end = (int(text, 16) for text in match.groups())
                counts = memory.start <= start and end <= memory.stop
            elif counts and (match := re.match(rf"{field}: +(\d+) kB", line)):
                total += int(match[1]) << 10
        return total

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

    def end(self) -> None:
        self.popen.kill()
        self.popen.wait()


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
    made: list[Process] = []

    def make(*arguments: object) -> Process:
        made.append(Process(*arguments))
        return made[-1]

    yield make
    for process in made:
        process.end()


@pytest.fixture
def process(new: Callable[..., Process]) -> Process:
    return new()


def swap_on(size: int) -> None:
    zram = Path("/sys/block/zram0")
    (zram / "disksize").write_text(str(size))
    for words in (("mkswap", "/dev/zram0"), ("swapon", "/dev/zram0")):
        done = run(*words, env={**os.environ, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr


def swap_off() -> None:
    run("swapoff", "/dev/zram0", env={**os.environ, "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    Path("/sys/block/zram0/reset").write_text("1")


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


@pytest.fixture
def memcg() -> Iterator[Path]:
    """A memory cgroup of its own."""
    root = Path("/run/lab/cgroup")
    root.mkdir(exist_ok=True)
    if not os.path.ismount(root):
        assert run("mount", "-t", "cgroup2", "none", root).returncode == 0
    (root / "cgroup.subtree_control").write_text("+memory")
    path = root / "acted-on"
    path.mkdir()
    yield path
    # Its processes would end only after this, with the fixture that made them.
    (path / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (path / "cgroup.events").read_text(), "they are gone")
    path.rmdir()


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


# Reclaim


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_pageout(process: Process, spaces: Callable[..., None]) -> None:
    memory, other = process.anonymous(), process.anonymous()
    spaces(process, memory)
    if spaces is physical:
        # Others' pages are in between.
        filters("ops_filters", none(type="unmapped"))
    start("pageout")
    wait_until(lambda: process.present(memory) < MB, "it is paged out")
    assert process.swapped(memory) > SIZE - MB
    if spaces is virtual:
        done = further_snapshots()
        assert done["sz_applied"] == process.swapped(memory)
        assert done["nr_applied"] >= 1
        assert process.present(other) == SIZE
    put(STATE, "off")
    assert process.is_whole(memory) and process.is_whole(other)


@pytest.mark.usefixtures("swap")
def test_pageout_by_units(process: Process) -> None:
    memory = process.anonymous()
    physical(process, memory, unit=1 << 14)
    start("pageout")
    wait_until(lambda: process.present(memory) < MB, "it is paged out")
    done = stats()
    assert done["sz_applied"] >= process.swapped(memory)
    assert done["sz_applied"] <= done["sz_tried"]


@pytest.mark.usefixtures("swap")
def test_pageout_passes_by_what_cannot_be(process: Process) -> None:
    memory = process.anonymous()
    hole = range(memory.start + 4 * MB, memory.start + 8 * MB)
    locked = range(memory.start + 8 * MB, memory.start + 12 * MB)
    process.do(f"munmap({hole.start}, {len(hole)})")
    process.do(f"mlock({locked.start}, {len(locked)})")
    virtual(process, memory)
    start("pageout")
    wait_until(lambda: nearly(process.present(memory), len(locked)), "the rest is paged out")
    done = further_snapshots()
    assert process.present(locked) == len(locked)
    assert done["sz_applied"] == process.swapped(memory)
    assert nearly(done["sz_applied"], 8 * MB)


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
def test_pageout_of_huge_pages(process: Process) -> None:
    memory = process.anonymous(fill=False)
    process.do(f"madvise({memory.start}, {SIZE}, {MADV_HUGEPAGE})")
    process.do(f"fill({memory.start}, {SIZE})")
    assert process.smaps(memory, "AnonHugePages") == SIZE
    # One that is in it by less than a half is left alone, by more than a half not.
    part = range(memory.start + HUGE // 2 + PAGE, memory.stop - HUGE // 2 + PAGE)
    virtual(process, part)
    start("pageout")
    wait_until(lambda: nearly(process.present(memory), HUGE), "it is paged out")
    done = further_snapshots()
    assert process.present(range(memory.start, memory.start + HUGE)) == HUGE
    assert done["sz_applied"] <= done["sz_tried"]
    put(STATE, "off")
    assert process.is_whole(memory)


@pytest.mark.stress
def test_pageout_without_room(process: Process) -> None:
    memory = process.anonymous()
    swap_on(4 * MB)
    try:
        virtual(process, memory)
        start("pageout")
        wait_until(lambda: process.swapped(memory) > 3 * MB, "swap is full")
        done = further_snapshots()
        assert done["sz_applied"] <= 4 * MB
        put(STATE, "off")
        assert process.is_whole(memory)
    finally:
        all_off()
        process.end()
        swap_off()


@pytest.mark.usefixtures("swap")
def test_pages_of_others_stay(process: Process, new: Callable[..., Process]) -> None:
    path = Path("/run/shared")
    memory = process.shared(path)
    try:
        other = new()
        theirs = other.shared(path)
        virtual(process, memory)
        start("pageout")
        further_snapshots()
        assert other.present(theirs) == SIZE and process.present(memory) == SIZE
        other.do(f"munmap({theirs.start}, {SIZE})")
        wait_until(lambda: process.present(memory) < MB, "it is paged out")
    finally:
        path.unlink()


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("action", ["pageout", "willneed", "cold", "hugepage", "collapse"])
def test_the_process_ends_meanwhile(new: Callable[..., Process], action: str) -> None:
    process = new()
    memory = process.anonymous(64 * MB)
    virtual(process, memory)
    start(action)
    time.sleep(0.15)
    process.end()
    wait_until(lambda: get(STATE) == "off", "nothing is left to monitor")


@pytest.mark.usefixtures("swap")
def test_willneed(process: Process) -> None:
    memory = process.anonymous()
    virtual(process, memory)
    start("pageout")
    wait_until(lambda: process.swapped(memory) > SIZE - MB, "it is paged out")
    put(STATE, "off")
    start("willneed")
    # It is in memory then, but mapped only when it is accessed.
    wait_until(lambda: swap_cached() > SIZE - 2 * MB, "it is read")
    assert stats()["sz_applied"] >= SIZE
    put(STATE, "off")
    assert process.is_whole(memory)


def swap_cached() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.findall(r"SwapCached: +(\d+) kB", text)[0]) << 10


# LRU lists


def make_active(process: Process, memory: range) -> None:
    start("lru_prio")
    wait_until(lambda: process.flagged(memory, ACTIVE) > len(memory) - FEW, "it is active")


@pytest.mark.stress
def test_lru_lists(process: Process) -> None:
    memory = process.anonymous()
    assert process.flagged(memory, ACTIVE) == 0
    physical(process, memory)
    make_active(process, memory)
    assert stats()["sz_applied"] > SIZE - FEW
    put(STATE, "off")
    start("lru_deprio")
    wait_until(lambda: process.flagged(memory, ACTIVE) < FEW, "it is inactive")
    assert stats()["sz_applied"] > SIZE - FEW


def test_cold(process: Process) -> None:
    memory = process.anonymous()
    physical(process, memory)
    make_active(process, memory)
    put(STATE, "off")
    virtual(process, memory)
    start("cold")
    wait_until(lambda: process.flagged(memory, ACTIVE) < FEW, "it is inactive")
    assert stats()["sz_applied"] >= SIZE


# Huge pages


def test_hugepage_and_nohugepage(process: Process) -> None:
    memory = process.anonymous(fill=False)
    assert not any({"hg", "nh"} & flags for flags in process.vm_flags(memory))
    virtual(process, memory)
    start("hugepage")
    wait_until(lambda: all("hg" in flags for flags in process.vm_flags(memory)), "advised")
    assert further_snapshots()["sz_applied"] == SIZE, "once"
    process.do(f"fill({memory.start}, {SIZE})")
    assert process.smaps(memory, "AnonHugePages") == SIZE
    put(STATE, "off")
    start("nohugepage")
    wait_until(lambda: all("nh" in flags for flags in process.vm_flags(memory)), "advised")
    assert further_snapshots()["sz_applied"] == SIZE, "once"


@pytest.mark.stress
def test_collapse(process: Process) -> None:
    memory = process.anonymous()
    process.do(f"munmap({memory.start + 4 * MB}, {HUGE + HUGE // 2})")
    process.do(f"madvise({memory.start + 8 * MB}, {HUGE}, 4)")  # not there any more
    left = SIZE - 3 * HUGE
    assert process.smaps(memory, "AnonHugePages") == 0
    virtual(process, memory)
    start("collapse")
    wait_until(lambda: process.smaps(memory, "AnonHugePages") == left, "it is huge")
    assert further_snapshots()["sz_applied"] == left, "once"
    put(STATE, "off")
    assert process.is_whole(range(memory.start, memory.start + 4 * MB))


# Nodes


@pytest.mark.stress
@nodes
@pytest.mark.parametrize("spaces", [virtual, physical])
@pytest.mark.parametrize("action", ["migrate_hot", "migrate_cold"])
@pytest.mark.parametrize("huge", [False, True])
def test_migration(process: Process, spaces: Callable[..., None], action: str, huge: bool) -> None:
    memory = process.anonymous(fill=False)
    if huge:
        process.do(f"madvise({memory.start}, {SIZE}, {MADV_HUGEPAGE})")
    process.do(f"fill({memory.start}, {SIZE})")
    assert process.on_node(memory, 0) == SIZE
    spaces(process, memory)
    put(f"{S}/target_nid", 1)
    start(action)
    wait_until(lambda: process.on_node(memory, 1) > SIZE - FEW, "it is there")
    if huge:
        assert process.smaps(memory, "AnonHugePages") == SIZE
    if spaces is virtual:
        assert further_snapshots()["sz_applied"] == process.on_node(memory, 1), "once"
    put(STATE, "off")
    assert process.is_whole(memory)


@pytest.mark.stress
@nodes
@pytest.mark.parametrize("huge", [False, True])
def test_migration_to_several(process: Process, huge: bool) -> None:
    memory = process.anonymous(fill=False)
    if huge:
        process.do(f"madvise({memory.start}, {SIZE}, {MADV_HUGEPAGE})")
    process.do(f"fill({memory.start}, {SIZE})")
    virtual(process, memory)
    put(f"{S}/dests/nr_dests", 2)
    for number, (node, weight) in enumerate([(0, 1), (1, 3)]):
        put(f"{S}/dests/{number}/id", node)
        put(f"{S}/dests/{number}/weight", weight)
    start("migrate_hot")
    wait_until(lambda: nearly(process.on_node(memory, 1), SIZE * 3 // 4), "shared out")
    assert nearly(process.on_node(memory, 0), SIZE // 4)
    done = further_snapshots()
    assert nearly(done["sz_applied"], SIZE * 3 // 4), "what is there stays"


def test_migration_to_nowhere(process: Process) -> None:
    memory = process.anonymous()
    virtual(process, memory)
    for number, nid in enumerate((-1, 63, 2**31 - 1)):
        put(f"{S}/target_nid", nid)
        put(f"{S}/action", "migrate_cold")
        if error(STATE, "on") == 0:
            wait_until(lambda: stats()["nr_snapshots"] >= 3, f"it is tried, {number}")
            assert stats()["sz_applied"] == 0
            put(STATE, "off")
    assert process.present(memory) == SIZE


# Filters


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize(
    ("rule", "goes"),
    [
        (only(type="anon"), "anonymous"),
        (none(type="anon"), "shared"),
        ({"type": "anon", "matching": "N", "allow": "N"}, "anonymous"),
        ({"type": "anon", "matching": "N", "allow": "Y"}, "shared"),
    ],
)
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_anon(
    process: Process, rule: dict[str, object], goes: str, spaces: Callable[..., None]
) -> None:
    path = Path("/run/shared")
    memory = {"anonymous": process.anonymous(), "shared": process.shared(path)}
    try:
        spaces(process, *memory.values())
        filters("ops_filters", rule)
        start("pageout")
        going, staying = memory.pop(goes), *memory.values()
        wait_until(lambda: process.present(going) < MB, "it is paged out")
        further_snapshots(1)
        assert process.present(staying) == SIZE
    finally:
        path.unlink()


@pytest.mark.usefixtures("swap")
def test_active(process: Process) -> None:
    memory, other = process.anonymous(), process.anonymous()
    physical(process, memory, other)
    make_active(process, memory)
    put(STATE, "off")
    virtual(process, other)
    start("cold")
    wait_until(lambda: process.flagged(other, ACTIVE) < FEW, "the other is inactive")
    put(STATE, "off")
    virtual(process, memory, other)
    filters("ops_filters", none(type="active"))
    start("pageout")
    wait_until(lambda: process.swapped(other) > SIZE - MB, "the other is paged out")
    further_snapshots()
    assert process.swapped(memory) < FEW


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_young(process: Process, spaces: Callable[..., None]) -> None:
    memory = process.anonymous(SIZE)
    used = range(memory.start, memory.start + SIZE // 2)
    idle = range(used.stop, memory.stop)
    spaces(process, memory)
    put(f"{C}/monitoring_attrs/intervals/aggr_us", 2_000_000)
    filters("ops_filters", none(type="young"))
    process.begin(f"keep_reading({used.start}, {len(used)})")
    start("pageout")
    # All of it has been accessed at first: the first look only makes it old.
    wait_until(lambda: process.present(idle) < MB, "what is idle is paged out")
    done = further_snapshots(2)
    assert process.swapped(used) <= len(used) // 8
    if spaces is virtual:
        assert done["sz_ops_filter_passed"] <= done["nr_snapshots"] * len(idle)


def test_hugepage_size(process: Process) -> None:
    memory = process.anonymous(fill=False)
    huge = 3 * HUGE
    process.do(f"madvise({memory.start}, {huge}, {MADV_HUGEPAGE})")
    process.do(f"fill({memory.start}, {SIZE})")
    assert process.smaps(memory, "AnonHugePages") == huge
    virtual(process, memory)
    put(f"{S}/stats/max_nr_snapshots", 1)
    for least, most, passing in (
        (HUGE, HUGE, huge),
        (PAGE, HUGE - 1, SIZE - huge),
        (0, MOST, SIZE),
    ):
        filters("ops_filters", only(type="hugepage_size", min=least, max=most))
        start("stat")
        wait_until(lambda: stats()["nr_snapshots"] >= 1, "it is counted")
        done = stats()
        assert done["sz_ops_filter_passed"] == passing
        assert done["sz_applied"] == 0 and done["sz_tried"] == SIZE
        put(STATE, "off")


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
def test_unmapped(process: Process) -> None:
    path = Path("/run/shared")
    mapped, shared = process.anonymous(), process.shared(path)
    try:
        physical(process, mapped, shared)
        process.do(f"munmap({shared.start}, {SIZE})")
        before = shmem()
        assert before >= SIZE
        filters("ops_filters", only(type="unmapped"))
        start("pageout")
        wait_until(lambda: shmem() < before - SIZE + MB, "it is paged out")
        assert process.present(mapped) == SIZE
    finally:
        path.unlink()


def shmem() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.findall(r"Shmem: +(\d+) kB", text)[0]) << 10


@pytest.mark.stress
@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_memcg(memcg: Path, new: Callable[..., Process], spaces: Callable[..., None]) -> None:
    inside, outside = new(memcg), new()
    memory, other = inside.anonymous(), outside.anonymous()
    if spaces is physical:
        physical(inside, memory)
        pfns = np.concatenate([inside.pfns(memory), outside.pfns(other)])
        ranges(0, range(int(pfns.min()) * PAGE, (int(pfns.max()) + 1) * PAGE))
    else:
        virtual(inside, memory)
        put(f"{C}/targets/nr_targets", 2)
        for number, (each, its) in enumerate([(inside, memory), (outside, other)]):
            put(f"{C}/targets/{number}/pid_target", each.pid)
            ranges(number, its)
    filters("ops_filters", only(type="memcg", memcg_path="/acted-on"))
    start("pageout")
    wait_until(lambda: inside.present(memory) < MB, "it is paged out")
    further_snapshots(1)
    assert outside.present(other) == SIZE


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("rule", [only, none])
def test_addresses(process: Process, rule: Callable[..., dict[str, object]]) -> None:
    memory = process.anonymous()
    inside = range(memory.start + 3 * MB, memory.start + 11 * MB)
    virtual(process, memory)
    filters("core_filters", rule(type="addr", addr_start=inside.start, addr_end=inside.stop))
    # What the core lets through, the operations are not asked about.
    filters("ops_filters", *([none(type="anon")] if rule is only else []))
    start("pageout")
    going = len(inside) if rule is only else SIZE - len(inside)
    wait_until(lambda: process.swapped(memory) > going - MB, "it is paged out")
    done = further_snapshots()
    swapped = process.swapped(inside)
    assert nearly(swapped, len(inside)) if rule is only else swapped == 0
    assert process.swapped(memory) <= going
    assert done["sz_applied"] == process.swapped(memory)


@pytest.mark.usefixtures("swap")
def test_targets(new: Callable[..., Process]) -> None:
    first, second = new(), new()
    memory = [first.anonymous(), second.anonymous()]
    virtual(first, memory[0])
    put(f"{C}/targets/nr_targets", 2)
    for number, process in enumerate((first, second)):
        put(f"{C}/targets/{number}/pid_target", process.pid)
        ranges(number, memory[number])
    filters("core_filters", none(type="target", damon_target_idx=0))
    start("pageout")
    wait_until(lambda: second.present(memory[1]) < MB, "it is paged out")
    further_snapshots(1)
    assert first.present(memory[0]) == SIZE


@pytest.mark.parametrize("action", ["willneed", "cold", "hugepage", "nohugepage", "collapse"])
@pytest.mark.parametrize("kind", ["anon", "active", "young", "unmapped"])
def test_advice_is_not_for_pages(process: Process, action: str, kind: str) -> None:
    virtual(process, process.anonymous(PAGE))
    filters("ops_filters", none(type=kind))
    put(f"{S}/action", action)
    assert error(STATE, "on") == EINVAL
    filters("ops_filters")
    assert error(STATE, "on") == 0
