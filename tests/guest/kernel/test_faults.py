# SPDX-License-Identifier: GPL-2.0
"""Schemes where something is not as it should be: no swap, memory that goes, odd kinds of pages.

Nothing may be lost or wrong, the kernel must not complain, and the kdamond goes on.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from acting import (
    FEW,
    HUGE,
    KSM,
    MADV_MERGEABLE,
    MB,
    MOST,
    PAGE,
    SCHEMES,
    SIZE,
    STATE,
    Process,
    S,
    filters,
    further_snapshots,
    new,
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
from files import C, K, all_off, error, get, ours

from guest import put, swap_off, swap_on

__all__ = ["new", "only_where_advised", "process", "slot", "swap"]
pytestmark = [ours, pytest.mark.usefixtures("log")]


# Quotas


@pytest.mark.usefixtures("swap")
def test_quotas_beyond_all_that_can_be(process: Process) -> None:
    memory = process.anonymous()
    virtual(process, memory)
    for name in ("ms", "bytes", "reset_interval_ms"):
        put(f"{S}/quotas/{name}", MOST)
    for name in ("sz", "nr_accesses", "age"):
        put(f"{S}/quotas/weights/{name}_permil", 2**32 - 1)
    start("pageout")
    wait_until(lambda: process.present(memory) < MB, "it is paged out")


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("quota", [{"bytes": 1}, {"bytes": PAGE - 1, "reset_interval_ms": 1}])
def test_quotas_too_small_for_a_page(process: Process, quota: dict[str, int]) -> None:
    memory = process.anonymous()
    virtual(process, memory)
    for name, value in quota.items():
        put(f"{S}/quotas/{name}", value)
    start("pageout")
    further_snapshots(5)
    assert stats()["sz_tried"] == 0 and process.present(memory) == SIZE


# Swap


@pytest.mark.parametrize("spaces", [virtual, physical])
def test_pageout_without_room(process: Process, spaces: Callable[..., None]) -> None:
    memory = process.anonymous()
    swap_on(4 * MB)
    try:
        spaces(process, memory)
        # Others' pages are in between: files' need no swap.
        filters("ops_filters", only(type="anon"))
        start("pageout")
        wait_until(lambda: swap_left() < MB, "swap is full")
        done = further_snapshots()
        # What others use comes back, and goes again.
        assert done["sz_applied"] <= 4 * MB or spaces is physical
        put(STATE, "off")
        assert process.is_whole(memory)
    finally:
        all_off()
        process.end()
        swap_off()


def swap_left() -> int:
    text = Path("/proc/meminfo").read_text()
    return int(re.findall(r"SwapFree: +(\d+) kB", text)[0]) << 10


def test_pageout_without_swap(process: Process) -> None:
    memory = process.anonymous()
    virtual(process, memory)
    start("pageout")
    done = further_snapshots(5)
    assert done["sz_tried"] >= 5 * SIZE and done["sz_applied"] == 0
    assert process.present(memory) == SIZE


@pytest.mark.usefixtures("new")
def test_swap_goes_meanwhile(process: Process) -> None:
    memory = process.anonymous()
    swap_on(128 * MB)
    try:
        virtual(process, memory)
        start("pageout")
        wait_until(lambda: process.swapped(memory) > 4 * MB, "it is being paged out")
        swap_off()
        further_snapshots()
        assert process.swapped(memory) == 0
        put(STATE, "off")
        assert process.is_whole(memory)
    finally:
        all_off()


# Memory that goes

BLOCKS = Path("/sys/devices/system/memory")
can_go = pytest.mark.skipif(
    not Path("/sys/devices/system/memory/block_size_bytes").exists(),
    reason="a kernel without memory hotplug",
)


def number_of(block: Path) -> int:
    return int(block.name.removeprefix("memory"))


def offline(block: Path) -> bool:
    """Take a block away; false where something in it cannot be moved."""
    try:
        (block / "state").write_text("offline")
    except OSError as failed:
        assert failed.errno in (errno.EBUSY, errno.EAGAIN), failed
        return False
    return True


@pytest.fixture
def blocks() -> Iterator[list[Path]]:
    """Blocks of memory, side by side, that can go at any time, and are there."""
    found: list[Path] = []
    for block in sorted(BLOCKS.glob("memory[0-9]*"), key=number_of, reverse=True):
        if not offline(block):
            if found:
                break
            continue
        if found and number_of(found[-1]) != number_of(block) + 1:
            (block / "state").write_text("online")
            break
        (block / "state").write_text("online_movable")
        found.append(block)
        if len(found) == 3:
            break
    assert len(found) == 3, "there is memory that nothing holds on to"
    yield found
    for block in found:
        if (block / "state").read_text() == "offline\n":
            (block / "state").write_text("online")


def node_of(block: Path) -> int:
    (path,) = block.glob("node[0-9]*")
    return int(path.name.removeprefix("node"))


def addresses(*blocks: Path) -> range:
    """The physical addresses of blocks that are side by side."""
    size = int((BLOCKS / "block_size_bytes").read_text(), 16)
    numbers = sorted(number_of(block) for block in blocks)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return range(numbers[0] * size, (numbers[-1] + 1) * size)


def several(number: int) -> None:
    """Have so many schemes, for all that is monitored."""
    put(f"{SCHEMES}/nr_schemes", number)
    for scheme in range(number):
        for what in ("sz", "nr_accesses", "age"):
            put(f"{SCHEMES}/{scheme}/access_pattern/{what}/max", MOST)


def snapshots(number: int) -> list[int]:
    put(STATE, "update_schemes_stats")
    return [int(get(f"{SCHEMES}/{scheme}/stats/nr_snapshots")) for scheme in range(number)]


@pytest.mark.stress
@can_go
@pytest.mark.usefixtures("swap")
def test_memory_goes_meanwhile(blocks: list[Path], process: Process) -> None:
    """Blocks go and come back, with a process's pages in them, while all actions are at work."""
    memory = process.anonymous(64 * MB, fill=False)
    process.do(f"bind({memory.start}, {len(memory)}, {node_of(blocks[0])})")
    process.do(f"fill({memory.start}, {len(memory)})")
    where = addresses(*blocks)
    pfns = process.pfns(memory)
    inside = ((pfns * PAGE >= where.start) & (pfns * PAGE < where.stop)).sum() * PAGE
    assert inside > SIZE, "much of it is there"

    put(f"{C}/operations", "paddr")
    put(f"{C}/targets/nr_targets", 1)
    ranges(0, where)
    actions = ["stat", "pageout", "lru_prio", "lru_deprio", "migrate_cold"]
    several(len(actions))
    for number, action in enumerate(actions):
        put(f"{SCHEMES}/{number}/action", action)
        put(f"{SCHEMES}/{number}/target_nid", 0)
        if action in ("pageout", "migrate_cold"):
            put(f"{SCHEMES}/{number}/quotas/bytes", 8 * MB)
            put(f"{SCHEMES}/{number}/quotas/reset_interval_ms", 200)
    filters("ops_filters", none(type="young"))
    put(STATE, "on")
    kdamond = get(f"{K}/pid")

    gone = 0
    for _ in range(4):
        for block in blocks:
            gone += offline(block)
        before = snapshots(len(actions))
        wait_until(
            lambda before=before: min(np.subtract(snapshots(len(actions)), before)) >= 2,
            "all go on without it",
        )
        for block in blocks:
            if (block / "state").read_text() == "offline\n":
                (block / "state").write_text("online_movable")
    print(f"{gone} of {4 * len(blocks)} blocks went")
    assert gone > 2 * len(blocks)
    assert (get(STATE), get(f"{K}/pid")) == ("on", kdamond)
    put(STATE, "off")
    assert process.is_whole(memory)


@pytest.mark.stress
@can_go
def test_memory_that_has_gone(blocks: list[Path]) -> None:
    """What is not there is no memory: nothing is seen in it, or done with it."""
    assert all(offline(block) for block in blocks)
    where = addresses(*blocks)
    put(f"{C}/operations", "paddr")
    put(f"{C}/targets/nr_targets", 1)
    ranges(0, where)
    filters("ops_filters", only(type="hugepage_size", min=0, max=MOST))
    for action in ("stat", "pageout", "lru_prio", "lru_deprio", "migrate_hot"):
        put(f"{S}/target_nid", 0)
        start(action)
        done = further_snapshots()
        assert done["sz_tried"] >= 3 * len(where)
        assert done["sz_applied"] == done["sz_ops_filter_passed"] == 0
        put(STATE, "update_schemes_tried_regions")
        rates = [
            int((region / "nr_accesses").read_text())
            for region in Path(f"/sys/kernel/mm/damon/admin/{S}/tried_regions").glob("[0-9]*")
        ]
        assert rates and not any(rates)
        put(STATE, "off")


# Pages that several mappings share since they are alike


@contextmanager
def ksm() -> Iterator[None]:
    folder = Path("/sys/kernel/mm/ksm")
    before = {name: (folder / name).read_text() for name in ("pages_to_scan", "sleep_millisecs")}
    (folder / "pages_to_scan").write_text("20000")
    (folder / "sleep_millisecs").write_text("10")
    (folder / "run").write_text("1")
    try:
        yield
    finally:
        for name, value in before.items():
            (folder / name).write_text(value)
        (folder / "run").write_text("0")


@pytest.mark.skipif(not Path("/sys/kernel/mm/ksm").exists(), reason="a kernel without KSM")
@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_pages_that_are_merged(process: Process, spaces: Callable[..., None]) -> None:
    """By physical address they can be paged out; by virtual ones they are others' as well."""
    merged, other = process.anonymous(fill=False), process.anonymous()
    process.do(f"fill_alike({merged.start}, {SIZE})")
    process.do(f"madvise({merged.start}, {SIZE}, {MADV_MERGEABLE})")
    with ksm():
        wait_until(lambda: process.flagged(merged, KSM) > SIZE - FEW, "they are merged")
    # The least there can be of them: one for every 256 mappings.
    assert len(np.unique(process.pfns(merged))) < SIZE // PAGE // 64
    spaces(process, merged, other)

    put(f"{S}/stats/max_nr_snapshots", 5)
    filters("ops_filters", none(type="young"))
    start("stat")
    wait_until(lambda: stats()["nr_snapshots"] == 5, "it is counted")
    put(STATE, "off")

    put(f"{S}/stats/max_nr_snapshots", 0)
    filters("ops_filters", only(type="anon"))
    start("pageout")
    wait_until(lambda: process.present(other) < MB, "what is nobody else's is paged out")
    further_snapshots()
    if spaces is physical:
        assert process.swapped(merged) > SIZE - MB
    else:
        assert process.present(merged) == SIZE
    put(STATE, "off")
    assert process.is_whole(other)
    assert process.do(f"read_alike({merged.start}, {SIZE})") is None


@pytest.mark.usefixtures("swap")
@pytest.mark.skipif(not Path("/sys/kernel/mm/ksm").exists(), reason="a kernel without KSM")
@pytest.mark.parametrize("action", ["cold", "willneed", "hugepage", "nohugepage", "collapse"])
def test_advice_for_merged_pages(process: Process, action: str) -> None:
    merged = process.anonymous(4 * MB, fill=False)
    process.do(f"fill_alike({merged.start}, {4 * MB})")
    process.do(f"madvise({merged.start}, {4 * MB}, {MADV_MERGEABLE})")
    with ksm():
        wait_until(lambda: process.flagged(merged, KSM) > 3 * MB, "they are merged")
        virtual(process, merged)
        start(action)
        further_snapshots()
        put(STATE, "off")
    assert process.do(f"read_alike({merged.start}, {4 * MB})") is None


# Huge pages of the pool


@pytest.fixture
def pool(new: Callable[..., Process]) -> Iterator[Callable[[], int]]:
    """Huge pages for those who ask for them by MAP_HUGETLB; how many of them are free."""
    path = Path("/proc/sys/vm/nr_hugepages")
    path.write_text("8")
    assert path.read_text() == "8\n"

    def free() -> int:
        return int(re.findall(r"HugePages_Free: +(\d+)", Path("/proc/meminfo").read_text())[0])

    yield free
    all_off()
    # Those in use go when they are not any more.
    path.write_text("0")


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize(
    ("spaces", "action"),
    [
        *[
            (virtual, action)
            for action in (
                "stat", "pageout", "willneed", "cold", "hugepage", "nohugepage", "collapse",
                "migrate_hot",
            )
        ],
        *[(physical, action) for action in
          ("stat", "pageout", "lru_prio", "lru_deprio", "migrate_cold")],
    ],
)  # fmt: skip
def test_huge_pages_of_the_pool(
    process: Process, pool: Callable[[], int], spaces: Callable[..., None], action: str
) -> None:
    """They are nobody's to take: nothing is done with them, or said to be."""
    huge = process.huge(8 * HUGE)
    assert pool() == 0
    pfns = process.pfns(huge)
    if spaces is virtual:
        virtual(process, huge)
    else:
        # Nothing but them: each of them for itself.
        put(f"{C}/operations", "paddr")
        put(f"{C}/targets/nr_targets", 1)
        at = sorted({int(pfn) * PAGE // HUGE * HUGE for pfn in pfns})
        ranges(0, *(range(start, start + HUGE) for start in at))
    put(f"{S}/target_nid", 0)
    if action in ("stat", "pageout", "migrate_hot", "migrate_cold") or spaces is physical:
        filters("ops_filters", only(type="hugepage_size", min=0, max=MOST))
    start(action)
    done = further_snapshots()
    assert done["sz_tried"] >= 3 * len(huge) and done["sz_applied"] == 0
    if action in ("stat", "pageout"):
        assert done["sz_ops_filter_passed"] == 0
    put(STATE, "off")
    assert pool() == 0 and (process.pfns(huge) == pfns).all()
    assert process.is_whole(huge)


# Many schemes


@pytest.mark.usefixtures("swap")
def test_ten_schemes_at_the_bound_of_regions(process: Process) -> None:
    """Nine cut regions, by quotas and by filters, and the tenth sees all that there are then."""
    memory = process.anonymous(32 * MB)
    virtual(process, memory)
    bound = 64
    put(f"{C}/monitoring_attrs/nr_regions/max", bound)
    put(f"{C}/monitoring_attrs/nr_regions/min", bound - 4)
    actions = ["pageout", "cold", "hugepage", "nohugepage", "willneed"] * 2
    actions[-1] = "stat"
    several(len(actions))
    for number, action in enumerate(actions):
        scheme = f"{SCHEMES}/{number}"
        put(f"{scheme}/action", action)
        if action == "stat":
            continue
        if number % 2:
            put(f"{scheme}/quotas/bytes", (5 + number) * PAGE)
            put(f"{scheme}/quotas/reset_interval_ms", 100)
        else:
            at = memory.start + number * MB + 3 * PAGE
            put(f"{scheme}/core_filters/nr_filters", 1)
            for name, value in only(type="addr", addr_start=at, addr_end=at + 9 * PAGE).items():
                put(f"{scheme}/core_filters/0/{name}", value)
    put(STATE, "on")
    folder = Path("/sys/kernel/mm/damon/admin", SCHEMES, "9/tried_regions")
    counts = []
    for _ in range(20):
        put(STATE, "update_schemes_tried_regions")
        counts.append(len(list(folder.glob("[0-9]*"))))
    print(f"{min(counts)} to {max(counts)} regions")
    assert bound - 4 <= max(counts) <= bound
    before = snapshots(len(actions))
    assert min(before) >= 20
    wait_until(lambda: min(np.subtract(snapshots(len(actions)), before)) >= 5, "all go on")
    assert error(STATE, "commit") == 0
    put(STATE, "off")
    assert process.is_whole(memory)
