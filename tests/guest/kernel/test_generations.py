# SPDX-License-Identifier: GPL-2.0
"""Multi-generational LRU, which has its own way of seeing accesses: make lru-gen-kernel.

Its aging clears accessed bits, and tells by a folio's generation what it has seen. Here it is told
to age all the time, by its file in debugfs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from acting import (
    GENERATIONS,
    MB,
    SIZE,
    STATE,
    Process,
    filters,
    nearly,
    new,
    none,
    only,
    only_where_advised,
    physical,
    process,
    slot,
    start,
    stats,
    swap,
    virtual,
    wait_until,
)
from files import C, ours

from guest import put, run

__all__ = ["new", "only_where_advised", "process", "slot", "swap"]
pytestmark = [
    ours,
    pytest.mark.usefixtures("log", "debugfs"),
    pytest.mark.skipif(not GENERATIONS, reason="lab/guest --kernel ours-lru-gen"),
]

FILE = Path("/sys/kernel/debug/lru_gen")


@pytest.fixture
def debugfs() -> Iterator[None]:
    if not FILE.exists():
        assert run("mount", "-t", "debugfs", "none", "/sys/kernel/debug").returncode == 0
    yield


def age() -> bool:
    """Have all memory get older that was not accessed since the last time."""
    memcg = node = youngest = ""
    last = {}
    for line in FILE.read_text().splitlines():
        if match := re.match(r"memcg +(\d+)", line):
            memcg = match[1]
        elif match := re.match(r" node +(\d+)", line):
            node = match[1]
        else:
            youngest = line.split()[0]
            last[memcg, node] = youngest
    for (memcg, node), youngest in last.items():
        # It may have got older meanwhile, or be gone.
        with suppress(OSError):
            FILE.write_text(f"+ {memcg} {node} {youngest} 1 1")
    return True


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("rule", [True, False])
@pytest.mark.parametrize("spaces", [virtual, physical])
def test_what_aging_has_seen_is_young(
    process: Process, spaces: Callable[..., None], rule: bool
) -> None:
    if spaces is virtual and not rule:
        pytest.skip("it looks at pages only where a filter says so")
    memory = process.anonymous()
    used = range(memory.start, memory.start + SIZE // 4)
    idle = range(used.stop, memory.stop)
    spaces(process, memory)
    put(f"{C}/monitoring_attrs/intervals/aggr_us", 2_000_000)
    if rule:
        filters("ops_filters", none(type="young"))
    process.begin(f"keep_reading({used.start}, {len(used)})")
    start("pageout")
    wait_until(lambda: age() and process.present(idle) < MB, "what is idle is paged out")
    until = stats()["nr_snapshots"] + 3
    wait_until(lambda: age() and stats()["nr_snapshots"] >= until, "it is tried again")
    assert process.swapped(used) <= len(used) // 8


@pytest.mark.parametrize("rule", [only, none])
def test_young_generations_are_active(
    process: Process, rule: Callable[..., dict[str, object]]
) -> None:
    used, idle = process.anonymous(4 * MB), process.anonymous()
    virtual(process, used, idle)
    filters("ops_filters", rule(type="active"))
    process.begin(f"keep_reading({used.start}, {len(used)})")
    start("stat")
    for _ in range(3):
        age()
    before = stats()
    passed = 0

    def passes(expected: int) -> bool:
        nonlocal before, passed
        now = stats()
        if now["nr_snapshots"] > before["nr_snapshots"]:
            number = now["nr_snapshots"] - before["nr_snapshots"]
            passed = (now["sz_ops_filter_passed"] - before["sz_ops_filter_passed"]) // number
            before = now
            age()
        return nearly(passed, expected)

    expected = len(used) if rule is only else len(idle)
    wait_until(lambda: passes(expected), "what is used is active, and nothing else")
    put(STATE, "off")
