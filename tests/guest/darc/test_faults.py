# SPDX-License-Identifier: GPL-2.0
"""DARC when allocations fail, and when memory comes and goes: what takes a kernel for it.

lab/guest --kernel ours-debug --nodes 2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from errno import EBUSY, EINVAL, ENOMEM
from pathlib import Path

import pytest
from faults import FAIL_NTH, damon_leaks, failing
from zones import DARC, MB, Process, Zone, around, eager, params, put, wait_until, zones

from guest import kdamonds, write_once

pytestmark = pytest.mark.usefixtures("log")
ENABLED = DARC / "enabled"
MEMORY = Path("/sys/devices/system/memory")
injected = pytest.mark.skipif(not FAIL_NTH.exists(), reason="a kernel without fault injection")
hotplug = pytest.mark.skipif(not MEMORY.is_dir(), reason="a kernel without memory hotplug")


@injected
def test_without_memory_it_is_not_enabled():
    seen = set()
    for number in failing(str(ENABLED), "Y"):
        seen.add(number)
        assert ENABLED.read_text() == ("N\n" if number else "Y\n")
        put(ENABLED, "N")
        assert kdamonds() == []
    assert ENOMEM in seen
    assert seen <= {0, ENOMEM}
    assert damon_leaks() == []


@injected
def test_other_files_need_no_memory(zone: Zone):
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    put(ENABLED, "Y")
    wait_until(lambda: kdamonds(), "it is monitored")
    for path in [each for each in params() if each != ENABLED] + [zone.path / "mid"]:
        assert set(failing(str(path), path.read_text())) <= {0, ENOMEM}, path


@injected
def test_its_kdamond_needs_no_memory(zone: Zone, cached: int):
    """None of what it allocates while it reclaims is anything that it cannot do without."""
    debug = Path("/sys/kernel/debug")
    eager()
    before = zone.number("reclaimed")
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    for kind in ("failslab", "fail_page_alloc"):
        for name, value in (
            ("task-filter", "Y"), ("ignore-gfp-wait", "N"), ("verbose", 0),
            ("times", -1), ("interval", 1), ("probability", 100),
        ):  # fmt: skip
            put(debug / kind / name, value)
    try:
        put(ENABLED, "Y")
        wait_until(lambda: zone.number("kdamond_pid") != -1, "it is monitored")
        put(Path(f"/proc/{zone.number('kdamond_pid')}/make-it-fail"), 1)
        wait_until(lambda: zone.number("reclaimed") - before > cached // 3, "it has reclaimed")
    finally:
        for kind in ("failslab", "fail_page_alloc"):
            put(debug / kind / "probability", 0)
            put(debug / kind / "task-filter", "N")


@pytest.fixture
def blocks(zone: Zone) -> Iterator[list[Path]]:
    """Blocks of memory of the zone that can be taken offline; online again after the test."""
    found = [
        path
        for path in sorted(MEMORY.glob("memory[0-9]*"))
        if (path / f"node{zone.nid}").exists()
        and (path / "valid_zones").read_text().split()[:1] == [zone.name]
    ]
    assert found
    yield found
    for path in found:
        if (path / "state").read_text() == "offline\n":
            put(path / "state", "online_kernel")


def offline(blocks: list[Path], nr: int) -> list[Path]:
    """Take so many of them offline, from the last one on; those where that was possible."""
    gone: list[Path] = []
    for path in reversed(blocks):
        if len(gone) == nr:
            break
        result = write_once(path / "state", "offline")
        assert result in (0, EBUSY, EINVAL)
        gone += [] if result else [path]
    assert {write_once(path / "state", "offline") for path in gone} <= {0, EBUSY, EINVAL}
    if not gone:
        pytest.skip("none of it can be taken offline")
    return gone


@hotplug
@pytest.mark.parametrize("enabled", ["N", "Y"])
def test_memory_goes_and_comes(
    zone: Zone, blocks: list[Path], new: Callable[[int], Process], swap: None, enabled: str
):
    eager()
    managed, names = zone.number("managed"), [each.path.name for each in zones()]
    new(zone.nid).hold(64 * MB)
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    put(ENABLED, enabled)
    gone = offline(blocks, 2)
    assert zone.number("managed") < managed
    marks = zone.marks()
    assert zone.number("zone_high") < marks.low < marks.mid < marks.high <= zone.number("managed")
    if enabled == "Y":
        zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
        wait_until(lambda: zone.number("kdamond_pid") != -1, "it is monitored")
    for path in gone:
        put(path / "state", "online_kernel")
    assert zone.number("managed") == managed
    assert [each.path.name for each in zones()] == names
    if enabled == "Y":
        zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
        before = zone.number("tried")
        wait_until(lambda: zone.number("tried") > before, "it goes on")


@hotplug
def test_a_zone_comes_and_goes(zone: Zone, blocks: list[Path], new: Callable[[int], Process]):
    """Movable memory is a zone of its own."""
    gone = offline(blocks, 1)
    put(ENABLED, "Y")
    name = f"{zone.nid}-Movable"
    put(gone[0] / "state", "online_movable")
    path = DARC / "zones" / name
    wait_until(path.exists, "there is a directory")
    movable = Zone(path)
    wait_until(lambda: movable.state() == "idle", "it is looked after")
    file = (path / "state").open()
    managed = movable.number("managed")
    put(path / "high", managed)
    put(path / "mid", managed - MB)
    # Such memory is what programs get first.
    new(zone.nid).hold(16 * MB)
    wait_until(lambda: movable.state() == "reclaiming", "it has begun")
    wait_until(lambda: kdamonds(), "it is monitored")
    put(gone[0] / "state", "offline")
    wait_until(lambda: not path.exists(), "it has gone")
    wait_until(lambda: not kdamonds(), "nothing runs any more")
    with pytest.raises(OSError, match="No such device"):
        file.read()
    file.close()
