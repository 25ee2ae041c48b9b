# SPDX-License-Identifier: GPL-2.0
"""DARC: each rule of its watermarks, what it reclaims, and what it does with nonsense.

A process takes memory of a zone, and gives it back, with watermarks set around what is free. Two
nodes, so that nobody else does: lab/guest --nodes 2.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from errno import EINVAL, ERANGE
from pathlib import Path

import pytest
from faults import GARBAGE
from zones import (
    DARC,
    MB,
    PAGE,
    VM,
    Marks,
    Zone,
    around,
    biggest_of_last_node,
    eager,
    params,
    put,
    wait_until,
    zones,
)

from guest import kdamonds, ok, run, write_once

pytestmark = pytest.mark.usefixtures("log")
ON, OFF = "Y", "N"
ENABLED = DARC / "enabled"
COUNTERS = ("started", "stopped_above_high", "stopped_below_low")


def counts(zone: Zone) -> list[int]:
    return [zone.number(name) for name in COUNTERS]


def more(zone: Zone, before: list[int]) -> list[int]:
    return [now - then for now, then in zip(counts(zone), before, strict=True)]


def events_of(name: str) -> int:
    """How often that has happened since the system has started."""
    words = Path("/proc/vmstat").read_text().split()
    return int(words[words.index(name) + 1])


def brought_back() -> int:
    """Pages read from swap space, since the system has started."""
    return events_of("pswpin")


def is_served(zone: Zone) -> bool:
    """Whether it is monitored; the threads that there are have to be just DARC's."""
    pid = zone.number("kdamond_pid")
    return pid != -1 and pid in kdamonds()


# What there is


def test_each_zone_with_memory_has_a_directory():
    names = [each.path.name for each in zones()]
    wanted = []
    for block in Path("/proc/zoneinfo").read_text().split("\nNode "):
        node, _, name = block.splitlines()[0].removeprefix("Node ").replace(",", "").split()
        managed = [line for line in block.splitlines() if line.split()[0] == "managed"]
        if managed and int(managed[0].split()[1]):
            wanted.append(f"{node}-{name}")
    assert names == sorted(wanted)
    assert len({each.nid for each in zones()}) == len(
        list(Path("/sys/devices/system/node").glob("node[0-9]*"))
    )


def test_a_zone_at_first():
    for each in zones():
        marks, said = each.marks(), each.proc()
        assert each.number("managed") == said["managed"]
        assert each.number("zone_high") == said["zone_high"]
        assert abs(each.number("free") - said["free"]) < 16 * MB
        assert said["zone_high"] < marks.low < marks.mid < marks.high <= said["managed"]
        assert each.state() == "disabled"
        assert each.number("kdamond_pid") == -1


def test_parameters_at_first():
    values = {str(path.relative_to(DARC)): path.read_text().strip() for path in params()}
    assert values == {
        "enabled": "N",
        "min_age_us": "5000000",
        "quotas/bytes": str(128 * MB),
        "quotas/ms": "30",
        "quotas/reset_interval_ms": "1000",
        "quotas/some_mem_psi_us": "10000",
    }


def test_only_root_can_open_them():
    for path in DARC.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0


# What is refused


@pytest.mark.parametrize("name", ["high", "mid", "low"])
def test_garbage_is_no_watermark(zone: Zone, name: str):
    before = zone.marks()
    for what in (*GARBAGE, b"-1", b"default1", b"defaul"):
        assert write_once(zone.path / name, what) == EINVAL, what
    assert write_once(zone.path / name, 2**64) == ERANGE
    assert zone.marks() == before


def test_an_order_that_is_not_kept_is_refused(zone: Zone):
    marks = zone.marks()
    managed, zone_high = zone.number("managed"), zone.number("zone_high")
    for name, value in (
        ("low", 0),
        ("mid", 0),
        ("high", 0),
        ("low", 1),
        ("low", zone_high),
        ("low", marks.mid),
        ("low", marks.high),
        ("mid", marks.low),
        ("mid", marks.high),
        ("high", marks.mid),
        ("high", managed + PAGE),
        ("high", 2**63),
        ("high", 2**64 - 1),
        ("mid", 2**64 - 1),
        ("low", 2**64 - 1),
    ):
        assert write_once(zone.path / name, value) == EINVAL, (name, value)
        assert zone.marks() == marks
    assert (zone.path / "written").read_text() == "\n"
    for name, value in (("low", zone_high + PAGE), ("high", managed), ("mid", managed - PAGE)):
        assert write_once(zone.path / name, value) == 0, (name, value)
    assert zone.marks() == Marks(zone_high + PAGE, managed - PAGE, managed)
    assert (zone.path / "written").read_text() == "high mid low \n"
    # The default one is in order with the others, or is refused as well.
    assert write_once(zone.path / "high", "default") == EINVAL
    assert write_once(zone.path / "mid", "default\n") == 0
    assert write_once(zone.path / "high", "default") == 0
    assert (zone.path / "written").read_text() == "low \n"
    assert write_once(zone.path / "low", "default") == 0
    assert (zone.path / "written").read_text() == "\n"
    assert zone.marks() == marks


def test_a_watermark_is_whole_pages(zone: Zone):
    marks = zone.marks()
    put(zone.path / "mid", marks.mid - 1)
    assert zone.number("mid") == marks.mid - PAGE
    put(zone.path / "mid", hex(marks.mid))
    assert zone.marks() == marks


def test_parameters_that_make_no_sense():
    for path in params():
        before = path.read_text()
        for what in GARBAGE:
            # Of a boolean the first letter counts.
            if path == ENABLED and what[:1] in b"01":
                continue
            assert write_once(path, what) == EINVAL, (path, what)
        if path != ENABLED:
            assert write_once(path, 2**64) == ERANGE
            assert write_once(path, -1) == EINVAL
        assert path.read_text() == before
    for name, values in (
        ("min_age_us", (0, 99999, 3600000001)),
        ("quotas/reset_interval_ms", (0, 3600001)),
    ):
        for value in values:
            assert write_once(DARC / name, value) == EINVAL


# Watermarks follow the zone


@pytest.fixture
def min_free():
    """Set vm.min_free_kbytes."""
    path = VM / "min_free_kbytes"
    before = path.read_text()
    yield lambda value: put(path, value)
    put(path, before)


def kb_of(zone: Zone, size: int) -> int:
    """vm.min_free_kbytes that gives a zone about such a high watermark."""
    share = zone.number("managed") / sum(each.number("managed") for each in zones())
    return int(size / share / 1.5) >> 10


def test_defaults_follow_min_free_kbytes(zone: Zone, min_free):
    before, zone_high = zone.marks(), zone.number("zone_high")
    min_free(kb_of(zone, zone_high + 24 * MB))
    risen = zone.number("zone_high")
    assert risen > zone_high + 16 * MB
    after = zone.marks()
    assert risen < after.low < after.mid < after.high
    assert after.low > before.low
    assert after.mid - after.low == before.mid - before.low


def test_defaults_follow_the_scale_factor(zone: Zone):
    before, path = zone.marks(), VM / "watermark_scale_factor"
    text = path.read_text()
    try:
        put(path, 1000)
        after = zone.marks()
        assert zone.number("zone_high") < after.low
        assert after.low > before.low
        assert after.mid > before.mid
    finally:
        put(path, text)
    assert zone.marks() == before


def test_own_values_stay_above_the_zones(zone: Zone, min_free):
    zone_high = zone.number("zone_high")
    own = Marks(low=zone_high + 4 * MB, mid=zone_high + 8 * MB, high=zone_high + 12 * MB)
    zone.set_marks(own)
    assert zone.marks() == own
    # It reaches the low one, but not the high one.
    min_free(kb_of(zone, zone_high + 8 * MB))
    risen = zone.number("zone_high")
    assert own.low <= risen < own.high - 2 * PAGE
    pushed = zone.marks()
    assert pushed.low == risen + PAGE
    assert pushed.low < pushed.mid < pushed.high == own.high
    min_free(kb_of(zone, 100 * MB))
    assert zone.marks().low == zone.number("zone_high") + PAGE
    min_free(kb_of(zone, zone_high) // 2)
    assert zone.marks() == own


# What it does by them


def test_starts_below_mid_and_stops_above_high(zone: Zone, new):
    process = new(zone.nid)
    zone.set_marks(around(zone, below=24 * MB))
    put(ENABLED, ON)
    before = counts(zone)
    wait_until(lambda: zone.state() == "idle", "it is idle")
    assert not is_served(zone)

    process.do(f"hold({32 * MB})")
    assert zone.number("free") < zone.number("mid")
    wait_until(lambda: zone.state() == "reclaiming", "it has started")
    wait_until(lambda: is_served(zone), "it is monitored")
    assert more(zone, before) == [1, 0, 0]
    # Between mid and high it goes on.
    process.do(f"hold({PAGE})")
    assert zone.state() == "reclaiming"

    process.do("release()")
    assert zone.number("free") > zone.number("high")
    wait_until(lambda: zone.state() == "idle", "it has stopped")
    assert more(zone, before) == [1, 1, 0]
    wait_until(lambda: not kdamonds(), "nothing runs any more")
    assert zone.number("kdamond_pid") == -1


def test_goes_on_up_to_high(zone: Zone, new):
    process = new(zone.nid)
    zone.set_marks(around(zone, below=40 * MB, gap=24 * MB))
    put(ENABLED, ON)
    before = counts(zone)
    process.do(f"hold({28 * MB})")
    process.do(f"hold({20 * MB})")
    wait_until(lambda: zone.state() == "reclaiming", "it has started")
    process.do("release(1)")
    assert zone.number("mid") < zone.number("free") < zone.number("high")
    # It has looked again and again when it has monitored for so long.
    spent = zone.number("cpu_us")
    wait_until(lambda: zone.number("cpu_us") > spent + 20000, "it has looked")
    assert zone.state() == "reclaiming"
    assert more(zone, before) == [1, 0, 0]


def test_watches_before_it_reclaims(zone: Zone, new):
    process = new(zone.nid)
    zone.set_marks(around(zone, below=48 * MB, gap=40 * MB))
    put(ENABLED, ON)
    before = counts(zone), zone.number("tried")
    # Less than half of the gap is left.
    process.do(f"hold({36 * MB})")
    wait_until(lambda: zone.state() == "watching", "it watches")
    wait_until(lambda: is_served(zone), "it is monitored")
    spent = zone.number("cpu_us")
    wait_until(lambda: zone.number("cpu_us") > spent + 20000, "it has looked")
    assert (counts(zone), zone.number("tried")) == before
    process.do(f"hold({20 * MB})")
    wait_until(lambda: zone.state() == "reclaiming", "it reclaims")


@pytest.mark.parametrize(("min_age_ms", "state"), [(100, "idle"), (60000, "watching")])
def test_watches_sooner_when_that_is_needed(zone: Zone, new, min_age_ms: int, state: str):
    """At the same free memory, which falls at the same rate."""
    process = new(zone.nid)
    zone.set_marks(around(zone, below=48 * MB, gap=40 * MB))
    put(DARC / "min_age_us", min_age_ms * 1000)
    put(ENABLED, ON)
    wait_until(lambda: zone.state() == "idle", "it is idle")
    for _ in range(16):
        process.do(f"hold({MB})")
        time.sleep(0.3)
    upper_half = zone.number("mid") + 20 * MB
    assert upper_half < zone.number("free") < zone.number("high")
    time.sleep(1)
    assert zone.state() == state
    assert is_served(zone) == (state == "watching")


def test_stops_below_low(zone: Zone, new):
    process = new(zone.nid)
    zone.set_marks(around(zone, below=24 * MB))
    put(ENABLED, ON)
    before = counts(zone)
    process.do(f"hold({32 * MB})")
    wait_until(lambda: zone.state() == "reclaiming", "it has started")
    process.do(f"hold({32 * MB})")
    assert zone.number("free") < zone.number("low")
    wait_until(lambda: zone.state() == "yielding", "it has stopped")
    assert more(zone, before) == [1, 0, 1]
    wait_until(lambda: not kdamonds(), "monitoring has ended as well")
    assert zone.state() == "yielding"
    # And comes back when there is more than low again, without going above high.
    process.do("release(1)")
    wait_until(lambda: zone.state() == "reclaiming", "it has started again")
    wait_until(lambda: is_served(zone), "it is monitored")
    assert more(zone, before) == [2, 0, 1]


def test_a_burst_is_not_its_business(zone: Zone, new):
    """From above high to below low at once."""
    process = new(zone.nid)
    free = zone.number("free")
    process.do(f"hold({96 * MB})")
    marks = around(zone, below=-32 * MB)
    assert marks.low > zone.number("free") and marks.high < free
    zone.set_marks(marks)
    before = counts(zone)
    put(ENABLED, ON)
    wait_until(lambda: zone.state() == "yielding", "it yields")
    assert kdamonds() == []
    process.do("release()")
    wait_until(lambda: zone.state() == "idle", "it is idle")
    assert more(zone, before) == [0, 0, 0]


def test_other_zones_are_left_alone(zone: Zone, new):
    process = new(zone.nid)
    zone.set_marks(around(zone, below=24 * MB))
    others = [each for each in zones() if each.path != zone.path]
    before = [(counts(each), each.number("tried")) for each in others]
    put(ENABLED, ON)
    process.do(f"hold({32 * MB})")
    wait_until(lambda: is_served(zone), "it is monitored")
    assert kdamonds() == [zone.number("kdamond_pid")]
    assert {each.state() for each in others} == {"idle"}
    assert [(counts(each), each.number("tried")) for each in others] == before


@pytest.fixture
def one_cpu_left() -> Iterator[str]:
    """A node that has not all CPUs that there may be, as one of several has: its CPUs.

    In guests all CPUs are of the first node.
    """
    cpus = Path("/sys/devices/system/cpu")
    last = (cpus / "online").read_text().strip().rpartition("-")[2]
    put(cpus / f"cpu{last}/online", 0)
    yield (cpus / "online").read_text().strip()
    put(cpus / f"cpu{last}/online", 1)


def allowed_cpus(pid: int) -> str:
    status = Path(f"/proc/{pid}/status").read_text()
    return status.partition("\nCpus_allowed_list:\t")[2].partition("\n")[0]


def test_its_kdamond_runs_on_the_node_of_the_zone(ballast: None, new, one_cpu_left: str):
    """On any CPU for a node without."""
    any_cpu = allowed_cpus(os.getpid())
    assert any_cpu != one_cpu_left
    for nid in {each.nid for each in zones()}:
        zone = max((z for z in zones() if z.nid == nid), key=lambda z: z.number("managed"))
        new(nid).hold(64 * MB)
        zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
        put(ENABLED, ON)
        wait_until(lambda: is_served(zone), "it is monitored")  # noqa: B023
        cpus = (Path("/sys/devices/system/node") / f"node{nid}/cpulist").read_text().strip()
        assert cpus in ("", one_cpu_left)
        assert allowed_cpus(zone.number("kdamond_pid")) == (cpus or any_cpu)
        put(ENABLED, OFF)
        zone.defaults()


def test_watermarks_take_effect_at_once(zone: Zone):
    put(ENABLED, ON)
    before = counts(zone)
    wait_until(lambda: zone.state() == "idle", "it is idle")
    marks = around(zone, below=-16 * MB, gap=24 * MB)
    put(zone.path / "high", marks.high)
    put(zone.path / "mid", marks.mid)
    # The write itself has seen to it.
    assert zone.state() == "reclaiming"
    put(zone.path / "mid", "default")
    put(zone.path / "high", "default")
    assert zone.state() == "idle"
    assert more(zone, before) == [1, 1, 0]


def test_follows_min_free_kbytes_while_enabled(zone: Zone, new, min_free):
    new(zone.nid).do(f"hold({(zone.number('free') - 300 * MB) // PAGE * PAGE})")
    put(ENABLED, ON)
    wait_until(lambda: zone.state() == "idle", "it is idle")
    before = counts(zone)
    # The default low one is above the zone's own, and above what is free.
    min_free(kb_of(zone, 320 * MB))
    assert zone.number("low") > zone.number("free")
    wait_until(lambda: zone.state() == "yielding", "it has followed")
    min_free(8192)
    wait_until(lambda: zone.state() == "idle", "and back")
    assert more(zone, before) == [0, 0, 0]


# What it reclaims


def test_reclaims_what_is_cold(zone: Zone, new, swap):
    """Up to the high watermark, and not what is in use."""
    eager()
    cold, hot = new(zone.nid), new(zone.nid)
    cold_memory, hot_memory = cold.hold(96 * MB), hot.hold(16 * MB)
    hot.begin(f"keep_reading({hot_memory.start}, {len(hot_memory)})")
    before, started = counts(zone), zone.number("reclaimed")
    marks = around(zone, below=-24 * MB, gap=32 * MB)
    zone.set_marks(marks)
    put(ENABLED, ON)
    wait_until(lambda: more(zone, before) == [1, 1, 0], "it has freed enough")
    wait_until(lambda: zone.state() == "idle", "it has stopped")
    reclaimed = zone.number("reclaimed") - started
    assert zone.number("free") >= marks.high - 2 * MB
    assert reclaimed >= 32 * MB
    assert zone.number("tried") >= reclaimed
    # It has not gone on beyond that.
    assert reclaimed < 80 * MB
    assert cold.swapped(cold_memory) >= 24 * MB
    assert hot.swapped(hot_memory) <= len(hot_memory) // 8
    cold.do(f"read({cold_memory.start}, {len(cold_memory)})")


def test_what_is_in_use_stays(zone: Zone, new, swap):
    """Also what sampling has just had a look at."""
    eager()
    process = new(zone.nid)
    memory = process.hold(32 * MB)
    # In use is what is read several times in the age that is asked for, on any machine.
    slowest = max(process.do(f"us_to_read({memory.start}, {len(memory)})") for _ in range(5))
    put(DARC / "min_age_us", max(500_000, 8 * slowest))
    process.begin(f"keep_reading({memory.start}, {len(memory)})")
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    tried, before = zone.number("tried"), brought_back()
    put(ENABLED, ON)
    # Free memory is tried as well, and more often than what is in use.
    whole = zone.number("managed")
    wait_until(lambda: zone.number("tried") - tried > 4 * whole, "all was tried several times")
    assert brought_back() - before < 20


def test_what_comes_back_is_counted_and_makes_it_careful(zone: Zone, new, swap):
    eager()
    process = new(zone.nid)
    memory = process.hold(96 * MB)
    reclaimed, refaulted = zone.number("reclaimed"), zone.number("refaulted")
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    wait_until(lambda: zone.number("reclaimed") - reclaimed > 48 * MB, "it has reclaimed")
    taken = process.swapped(memory)
    assert taken > 32 * MB
    age = zone.number("effective_min_age_us")
    # With multi-generational LRU, the kernel counts no refault on another node.
    process.do(f"read_where_it_was({memory.start}, {len(memory)})")
    wait_until(lambda: zone.number("refaulted") - refaulted > taken // 2, "it is counted")
    wait_until(lambda: zone.number("effective_min_age_us") > age, "it is more careful")
    assert zone.number("refaulted") - refaulted <= zone.number("reclaimed") - reclaimed
    assert zone.number("effective_min_age_us") <= 16 * 500000


def test_nothing_comes_back_of_what_stays_away(zone: Zone, new, swap):
    eager()
    process = new(zone.nid)
    process.hold(96 * MB)
    reclaimed, refaulted = zone.number("reclaimed"), zone.number("refaulted")
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    wait_until(lambda: zone.number("reclaimed") - reclaimed > 48 * MB, "it has reclaimed")
    assert zone.number("refaulted") - refaulted < 2 * MB
    assert zone.number("effective_min_age_us") == 500000


def test_without_swap_space(zone: Zone, new):
    """Anonymous memory stays, and huge pages of it stay whole."""
    eager()
    process = new(zone.nid)
    memory, split = process.hold(64 * MB, huge=True), events_of("thp_split_page")
    assert process.smaps(memory, "AnonHugePages") > 32 * MB
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    tried = zone.number("tried")
    put(ENABLED, ON)
    whole = zone.number("managed")
    wait_until(lambda: zone.number("tried") - tried > 3 * whole, "all was tried more than once")
    assert events_of("thp_split_page") == split
    assert zone.state() == "reclaiming"
    assert zone.number("kdamond_pid") in kdamonds()
    process.do(f"read({memory.start}, {len(memory)})")


@pytest.mark.parametrize("swap", [8 * MB], indirect=True)
def test_swap_space_that_is_full(zone: Zone, new, swap):
    """All of it is used; then it is as without."""
    eager()
    process = new(zone.nid)
    memory = process.hold(96 * MB)
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    wait_until(lambda: process.swapped(memory) > 6 * MB, "it is used")
    tried, whole = zone.number("tried"), zone.number("managed")
    wait_until(lambda: zone.number("tried") - tried > 2 * whole, "all was tried again")
    assert process.swapped(memory) <= 8 * MB
    put(ENABLED, OFF)
    process.do(f"read({memory.start}, {len(memory)})")


def test_limits_of_a_cgroup_hold(zone: Zone, new, swap, memcg: Path):
    """It may have no more than so much in swap space; others may."""
    eager()
    (memcg / "memory.swap.max").write_text(str(8 * MB))
    inside, outside = new(zone.nid), new(zone.nid)
    inside.join(memcg)
    limited, free = inside.hold(64 * MB), outside.hold(64 * MB)
    zone.set_marks(around(zone, below=-120 * MB, gap=130 * MB))
    put(ENABLED, ON)
    wait_until(lambda: outside.swapped(free) > 48 * MB, "the other one's is reclaimed")
    wait_until(lambda: inside.swapped(limited) > 6 * MB, "and what may be of this one's")
    assert inside.swapped(limited) <= 8 * MB
    inside.do(f"read({limited.start}, {len(limited)})")


def test_a_cgroup_without_swap_space_takes_nothing(zone: Zone, new, swap, memcg: Path):
    """Neither of the quota of bytes, nor are its huge pages split, until it may have some."""
    eager()
    quota = 16 * MB
    put(DARC / "quotas/bytes", quota)
    put(DARC / "quotas/reset_interval_ms", 3600000)
    (memcg / "memory.swap.max").write_text("0")
    inside, outside = new(zone.nid), new(zone.nid)
    inside.join(memcg)
    limited = inside.hold(64 * MB, huge=True)
    free, split = outside.hold(64 * MB), events_of("thp_split_page")
    assert inside.smaps(limited, "AnonHugePages") > 32 * MB
    zone.set_marks(around(zone, below=-120 * MB, gap=130 * MB))
    put(ENABLED, ON)
    enough = quota - quota // 32
    wait_until(lambda: outside.swapped(free) >= enough, "the other one has had all of it")
    assert events_of("thp_split_page") == split
    assert inside.swapped(limited) == 0
    (memcg / "memory.swap.max").write_text("max")
    put(DARC / "quotas/bytes", 0)
    wait_until(lambda: inside.swapped(limited) > 32 * MB, "its memory is reclaimed, too")
    inside.do(f"read({limited.start}, {len(limited)})")


def test_what_comes_back_to_a_cgroup_at_its_limit(zone: Zone, new, swap, memcg: Path):
    """It is not counted as if DARC had reclaimed it, which is what it has done before."""
    eager()
    new(zone.nid).hold(96 * MB)
    reclaimed, refaulted = zone.number("reclaimed"), zone.number("refaulted")
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    wait_until(lambda: zone.number("reclaimed") - reclaimed > 48 * MB, "it has reclaimed")
    (memcg / "memory.max").write_text(str(24 * MB))
    # On another node, so that this zone has nothing to do with it.
    inside = new(zones()[0].nid)
    inside.join(memcg)
    memory, before = inside.hold(48 * MB), brought_back()
    inside.begin(f"keep_reading({memory.start}, {len(memory)})")
    often = 2 * 48 * MB // PAGE
    wait_until(lambda: brought_back() - before > often, "its memory has come back")
    assert zone.number("refaulted") - refaulted < 12 * MB


def test_a_cgroup_that_reclaims_from_itself(zone: Zone, new, swap, memcg: Path):
    """It is at its limit all the time, while what is reclaimed is the same memory."""
    eager()
    (memcg / "memory.max").write_text(str(32 * MB))
    process = new(zone.nid)
    process.join(memcg)
    zone.set_marks(around(zone, below=-24 * MB, gap=100 * MB))
    reclaimed = zone.number("reclaimed")
    put(ENABLED, ON)
    memory = process.hold(64 * MB)
    wait_until(lambda: zone.number("reclaimed") - reclaimed > 8 * MB, "it has reclaimed")
    process.do(f"read({memory.start}, {len(memory)})")
    assert int((memcg / "memory.peak").read_text()) <= 32 * MB
    events = dict(line.split() for line in (memcg / "memory.events").read_text().splitlines())
    assert int(events["max"]) > 0
    assert int(events["oom_kill"]) == 0


def test_locked_memory(zone: Zone, new, swap):
    eager()
    process = new(zone.nid)
    memory = process.hold(64 * MB)
    process.do(f"lock({memory.start}, {len(memory)})")
    tried = zone.number("tried")
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    put(ENABLED, ON)
    whole = zone.number("managed")
    wait_until(lambda: zone.number("tried") - tried > 3 * whole, "all was tried more than once")
    assert process.swapped(memory) == 0


def test_clean_pages_of_files_without_swap_space(zone: Zone, cached: int):
    eager()
    before = zone.number("reclaimed")
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    put(ENABLED, ON)
    wait_until(lambda: zone.number("reclaimed") - before > 40 * MB, "it has reclaimed")


def test_a_quota_bounds_it(zone: Zone, new, swap):
    eager()
    put(DARC / "quotas/bytes", MB)
    put(DARC / "quotas/reset_interval_ms", 3600000)
    process = new(zone.nid)
    process.hold(96 * MB)
    before = zone.number("reclaimed")
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    # A 64th is not worth a try, of which perhaps nothing can be reclaimed.
    enough = MB - MB // 32
    wait_until(lambda: zone.number("reclaimed") - before >= enough, "it has used its quota")
    spent = zone.number("cpu_us")
    wait_until(lambda: zone.number("cpu_us") > spent + 50000, "it has looked")
    assert zone.number("reclaimed") - before <= MB
    # It takes effect at once, not when the hour is over.
    put(DARC / "quotas/bytes", 0)
    wait_until(lambda: zone.number("reclaimed") - before > 32 * MB, "it goes on")


def test_a_higher_age_takes_effect_at_once(zone: Zone, new, swap):
    eager()
    process = new(zone.nid)
    process.hold(64 * MB)
    zone.set_marks(around(zone, below=-40 * MB, gap=48 * MB))
    put(ENABLED, ON)
    wait_until(lambda: is_served(zone), "it is monitored")
    put(DARC / "min_age_us", 3600000000)
    reclaimed, spent = zone.number("reclaimed"), zone.number("cpu_us")
    wait_until(lambda: zone.number("cpu_us") > spent + 50000, "it has looked")
    assert zone.number("reclaimed") == reclaimed
    assert zone.number("effective_min_age_us") % 3600000000 == 0


# Coming and going


def test_enabling_twice_changes_nothing(zone: Zone):
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    before = counts(zone)
    for word in (ON, "1", "on", "y"):
        put(ENABLED, word)
        assert ENABLED.read_text() == "Y\n"
        wait_until(lambda: is_served(zone), "it is monitored")
    pid = zone.number("kdamond_pid")
    put(ENABLED, ON)
    assert zone.number("kdamond_pid") == pid
    assert more(zone, before) == [1, 0, 0]
    for word in (OFF, "0", "off"):
        put(ENABLED, word)
        assert ENABLED.read_text() == "N\n"
    assert kdamonds() == []
    assert zone.state() == "disabled"


def test_disabling_while_it_reclaims(zone: Zone, new, swap):
    eager()
    process = new(zone.nid)
    memory = process.hold(256 * MB)
    zone.set_marks(around(zone, below=-80 * MB, gap=96 * MB))
    for _ in range(3):
        reclaimed = zone.number("reclaimed")
        put(ENABLED, ON)
        wait_until(lambda before=reclaimed: zone.number("reclaimed") > before, "it reclaims")
        put(ENABLED, OFF)
        assert kdamonds() == []
        after = zone.number("reclaimed")
        assert zone.state() == "disabled"
        process.do(f"read({memory.start}, {MB})")
        assert zone.number("reclaimed") == after
    process.do(f"read({memory.start}, {len(memory)})")


def test_comes_and_goes_many_times(zone: Zone):
    zone.set_marks(around(zone, below=-24 * MB, gap=32 * MB))
    for _ in range(50):
        put(ENABLED, ON)
        put(ENABLED, OFF)
        assert kdamonds() == []


def test_it_lives_beside_perf_damon(zone: Zone, new, swap, here: Path, target: int):
    eager()
    process = new(zone.nid)
    process.hold(96 * MB)
    before = zone.number("reclaimed")
    # More than there is to be had.
    zone.set_marks(around(zone, below=-100 * MB, gap=104 * MB))
    put(ENABLED, ON)
    wait_until(lambda: is_served(zone), "it is monitored")
    out = here / "beside.data"
    ok("record", "--timeout", "3s", "-o", out, target)
    assert "regions" in ok("report", "-i", out)
    assert zone.number("kdamond_pid") in kdamonds()
    wait_until(lambda: zone.number("reclaimed") - before > 48 * MB, "it has reclaimed")


def test_events(zone: Zone, new, swap):
    tracing = Path("/sys/kernel/tracing")
    if not (tracing / "trace").exists():
        assert run("mount", "-t", "tracefs", "none", tracing).returncode == 0
    eager()
    process = new(zone.nid)
    process.hold(96 * MB)
    put(tracing / "trace", "")
    put(tracing / "events/darc/enable", 1)
    try:
        before, reclaimed = counts(zone), zone.number("reclaimed")
        marks = around(zone, below=-24 * MB, gap=32 * MB)
        zone.set_marks(marks)
        put(ENABLED, ON)
        wait_until(lambda: more(zone, before)[1] == 1, "it has stopped")
        put(ENABLED, OFF)
        reclaimed = zone.number("reclaimed") - reclaimed
        text = (tracing / "trace").read_text()
    finally:
        put(tracing / "events/darc/enable", 0)
    events = [line.partition("darc_")[2] for line in text.splitlines() if "darc_" in line]
    events = [event for event in events if f"nid={zone.nid} zone={zone.name} " in event]
    where = f"high={marks.high} mid={marks.mid} low={marks.low}"
    assert events[0].startswith("start: ") and where in events[0]
    assert events[-1].startswith("stop: ") and where in events[-1]
    assert f"why=above_high reclaimed={reclaimed} " in events[-1]
    tries = [event for event in events if event.startswith("reclaim: ")]
    assert len(tries) == len(events) - 2
    assert sum(int(event.rpartition("reclaimed=")[2]) for event in tries) == reclaimed


def test_files_in_any_order_by_many(zone: Zone, new, swap):
    """Nonsense from all sides, while it works: nothing hangs, and the order is kept."""
    eager()
    process = new(zone.nid)
    process.hold(128 * MB)
    until = time.monotonic() + 20
    broken: list[Marks] = []

    def write(seed: int) -> None:
        dice = random.Random(seed)
        each = biggest_of_last_node()
        free = each.number("free")
        while time.monotonic() < until:
            match dice.randrange(6):
                case 0:
                    write_once(ENABLED, dice.choice((ON, ON, OFF)))
                case 1:
                    write_once(DARC / "min_age_us", dice.choice((100000, 500000, 5000000)))
                case 2:
                    write_once(DARC / "quotas/bytes", dice.choice((0, PAGE, MB, 64 * MB)))
                case 3:
                    write_once(DARC / "quotas/ms", dice.choice((0, 1, 30)))
                case 4:
                    name = dice.choice(("low", "mid", "high"))
                    write_once(each.path / name, free + dice.randrange(-200, 200) * MB)
                case _:
                    for path in each.path.iterdir():
                        path.read_text()
            # All three at once cannot be read, but this is true of any two.
            if each.number("low") <= each.number("zone_high"):
                broken.append(each.marks())

    threads = [threading.Thread(target=write, args=(seed,), daemon=True) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
        assert not thread.is_alive(), "it hangs"
    assert not broken
    put(ENABLED, OFF)
    assert kdamonds() == []
