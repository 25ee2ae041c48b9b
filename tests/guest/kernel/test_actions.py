# SPDX-License-Identifier: GPL-2.0
"""What schemes do to memory: each action, and each filter, on memory of a process of ours.

What an action did is looked up where the kernel tells all of its users: in smaps, in the flags and
the node of each page. Two nodes make this whole: lab/guest --nodes 2.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from errno import EINVAL
from pathlib import Path

import numpy as np
import pytest
from acting import (
    ACTIVE,
    FEW,
    HUGE,
    MADV_HUGEPAGE,
    MB,
    MOST,
    PAGE,
    SIZE,
    STATE,
    Process,
    S,
    filters,
    flags,
    further_snapshots,
    nearly,
    new,
    nodes,
    none,
    only,
    only_where_advised,
    physical,
    process,
    ranges,
    slot,
    start,
    stats,
    swap,
    virtual,
    wait_until,
)
from files import C, error, get, ours

from guest import put

__all__ = ["new", "only_where_advised", "process", "slot", "swap"]
pytestmark = [ours, pytest.mark.usefixtures("log")]

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


@flags
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


@flags
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
        # What was not on a list yet may follow later.
        wait_until(lambda: further_snapshots()["sz_applied"] == process.on_node(memory, 1), "once")
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


@flags
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
    filters("ops_filters", only(type="memcg", memcg_path=f"/{memcg.name}"))
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
    for number, each in enumerate((first, second)):
        put(f"{C}/targets/{number}/pid_target", each.pid)
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
