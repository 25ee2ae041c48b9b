# SPDX-License-Identifier: GPL-2.0
"""The files of schemes: defaults, modes, what they take, how they fail, and the commands for them.

What is not marked with `ours` passes on upstream's kernel as well, and so says what its ABI is.
What actions do to memory is tested elsewhere: here the one that does nothing is enough.
"""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from errno import EACCES, EBUSY, ECANCELED, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ERANGE
from pathlib import Path
from typing import NamedTuple

import pytest
from faults import FAIL_NTH, GARBAGE, failing
from files import HARMLESS, C, K, all_off, error, get, meddle, ours

from guest import ADMIN, IS_OURS, kdamonds, put, wait_until

SCHEMES = f"{C}/schemes"
S = f"{SCHEMES}/0"
T = f"{C}/targets/0"
STATE = f"{K}/state"
FILTERS = ("filters", "core_filters", "ops_filters") if IS_OURS else ("filters",)
MOST = 2**64 - 1

UPSTREAM = {
    f"{SCHEMES}/nr_schemes": (0o600, "1"),
    f"{S}/action": (0o600, "stat"),
    f"{S}/target_nid": (0o600, "-1"),
    f"{S}/apply_interval_us": (0o600, "0"),
    **{
        f"{S}/access_pattern/{what}/{bound}": (0o600, "0")
        for what in ("sz", "nr_accesses", "age")
        for bound in ("min", "max")
    },
    **{f"{S}/quotas/{name}": (0o600, "0") for name in ("ms", "bytes", "reset_interval_ms")},
    f"{S}/quotas/effective_bytes": (0o400, "0"),
    **{f"{S}/quotas/weights/{name}_permil": (0o600, "0") for name in ("sz", "nr_accesses", "age")},
    f"{S}/quotas/goals/nr_goals": (0o600, "1"),
    f"{S}/quotas/goals/0/target_metric": (0o600, "user_input"),
    f"{S}/quotas/goals/0/target_value": (0o600, "0"),
    f"{S}/quotas/goals/0/current_value": (0o600, "0"),
    f"{S}/watermarks/metric": (0o600, "none"),
    **{f"{S}/watermarks/{name}": (0o600, "0") for name in ("interval_us", "high", "mid", "low")},
    f"{S}/filters/nr_filters": (0o600, "1"),
    f"{S}/filters/0/type": (0o600, "anon"),
    f"{S}/filters/0/matching": (0o600, "N"),
    f"{S}/filters/0/memcg_path": (0o600, ""),
    f"{S}/filters/0/addr_start": (0o600, "0"),
    f"{S}/filters/0/addr_end": (0o600, "0"),
    f"{S}/filters/0/damon_target_idx": (0o600, "0"),
    **{
        f"{S}/stats/{name}": (0o400, "0")
        for name in ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")
    },
    f"{S}/tried_regions/total_bytes": (0o400, "0"),
}
ADDED = {
    f"{S}/quotas/goal_tuner": (0o600, "consist"),
    f"{S}/quotas/goals/0/nid": (0o600, "0"),
    f"{S}/dests/nr_dests": (0o600, "1"),
    f"{S}/dests/0/id": (0o600, "0"),
    f"{S}/dests/0/weight": (0o600, "0"),
    f"{S}/filters/0/allow": (0o600, "N"),
    f"{S}/filters/0/min": (0o600, "0"),
    f"{S}/filters/0/max": (0o600, "0"),
    **{f"{S}/{folder}/nr_filters": (0o600, "1") for folder in FILTERS[1:]},
    **{
        f"{S}/{folder}/0/{name}": (0o600, text)
        for folder, kind in (("core_filters", "addr"), ("ops_filters", "anon"))
        for name, text in {
            "type": kind, "matching": "N", "allow": "N", "memcg_path": "", "addr_start": "0",
            "addr_end": "0", "min": "0", "max": "0", "damon_target_idx": "0",
        }.items()
    },
    f"{S}/stats/sz_ops_filter_passed": (0o400, "0"),
    f"{S}/stats/nr_snapshots": (0o400, "0"),
    f"{S}/stats/max_nr_snapshots": (0o600, "0"),
}  # fmt: skip
FILES = {**UPSTREAM, **(ADDED if IS_OURS else {})}
"""Every file of a scheme with one of everything: mode and text."""

SIGNED = [
    path for path in FILES if path.rsplit("/", 1)[1] in ("target_nid", "damon_target_idx", "nid")
]
SMALL = [path for path in FILES if path.endswith("_permil") or "/dests/0/" in path]
VADDR_ACTIONS = ["willneed", "cold", "pageout", "hugepage", "nohugepage", "stat"]
PADDR_ACTIONS = ["lru_prio", "lru_deprio", "migrate_hot", "migrate_cold"]
CORE_TYPES = ["addr", "target"]
OPS_TYPES = ["anon", "memcg", "young"] + (
    ["active", "hugepage_size", "unmapped"] if IS_OURS else []
)
WORDS = {
    f"{S}/action": VADDR_ACTIONS + PADDR_ACTIONS + (["collapse"] if IS_OURS else []),
    f"{S}/watermarks/metric": ["none", "free_mem_rate"],
    f"{S}/quotas/goals/0/target_metric": ["user_input", "some_mem_psi_us"]
    + (["node_mem_used_bp", "node_mem_free_bp"] if IS_OURS else []),
    f"{S}/filters/0/type": CORE_TYPES + OPS_TYPES,
}
if IS_OURS:
    WORDS |= {
        f"{S}/quotas/goal_tuner": ["consist", "temporal"],
        f"{S}/core_filters/0/type": CORE_TYPES,
        f"{S}/ops_filters/0/type": OPS_TYPES,
    }
LISTS = {
    f"{SCHEMES}/nr_schemes": 256,
    f"{S}/quotas/goals/nr_goals": 256,
    **{f"{S}/{folder}/nr_filters": 256 for folder in FILTERS},
    **({f"{S}/dests/nr_dests": 1024} if IS_OURS else {}),
}
"""The files that make directories, and how many at most, or a number that is not less."""
NUMBERS = [
    path
    for path, (mode, text) in FILES.items()
    if mode == 0o600 and text.lstrip("-").isdigit() and path not in LISTS
]

UPDATES = (
    "update_schemes_stats",
    "update_schemes_tried_bytes",
    "update_schemes_tried_regions",
    "clear_schemes_tried_regions",
    "update_schemes_effective_quotas",
)


@pytest.fixture(autouse=True)
def slot(nothing_left_behind: None) -> Iterator[None]:
    """A kdamond with a context that has a scheme."""
    put("kdamonds/nr_kdamonds", 1)
    put(f"{K}/contexts/nr_contexts", 1)
    put(f"{SCHEMES}/nr_schemes", 1)
    yield
    all_off()


def one_of_each() -> None:
    put(f"{S}/quotas/goals/nr_goals", 1)
    for folder in FILTERS:
        put(f"{S}/{folder}/nr_filters", 1)
    if IS_OURS:
        put(f"{S}/dests/nr_dests", 1)


def for_all_memory(scheme: str = S) -> None:
    for what in ("sz", "nr_accesses", "age"):
        put(f"{scheme}/access_pattern/{what}/max", MOST)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen]:
    """A process to monitor, set as the target; the scheme is for all of its memory."""
    process = subprocess.Popen(["sleep", "1000"])
    put(f"{C}/targets/nr_targets", 1)
    put(f"{T}/pid_target", process.pid)
    for_all_memory()
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def running(victim: subprocess.Popen) -> subprocess.Popen:
    put(STATE, "on")
    return victim


# The files


def test_all_files_with_mode_and_default() -> None:
    one_of_each()
    found = {
        str(path.relative_to(ADMIN)): (path.stat().st_mode & 0o7777, path.read_text())
        for path in (ADMIN / SCHEMES).rglob("*")
        if path.is_file()
    }
    assert found == {path: (mode, f"{text}\n") for path, (mode, text) in FILES.items()}


@pytest.mark.parametrize("path", NUMBERS)
def test_numbers(path: str) -> None:
    one_of_each()
    largest = 2**31 - 1 if path in SIGNED else 2**32 - 1 if path in SMALL else MOST
    for text, value in {
        "1": 1,
        "12\n": 12,
        "0x1F": 31,
        "010": 8,
        "+7": 7,
        largest: largest,
    }.items():
        assert error(path, text) == 0
        assert get(path) == str(value)
    before = get(path)
    assert error(path, b"") == 0
    for text in GARBAGE:
        assert error(path, text) == EINVAL, text
    for text in (largest + 1, 2**200):
        # Upstream does not tell a quota that is too large from one that is no number.
        assert error(path, text) in ((ERANGE,) if IS_OURS else (ERANGE, EINVAL))
    assert get(path) == before
    if path in SIGNED:
        assert error(path, -(2**31)) == 0 and get(path) == str(-(2**31))
        assert error(path, -(2**31) - 1) == ERANGE
    else:
        assert error(path, -1) == EINVAL
        assert get(path) == before


@pytest.mark.parametrize("path", WORDS)
def test_words(path: str) -> None:
    one_of_each()
    for word in WORDS[path]:
        assert error(path, word) == 0
        assert get(path) == word
        assert error(path, f"{word}\n") == 0
        assert error(path, f" {word}") == EINVAL
        assert error(path, word[:-1]) == EINVAL
        assert error(path, word.upper()) == EINVAL
        assert error(path, f"{word}\n{word}") == EINVAL
        assert error(path, f"{word}x") == EINVAL
    others = {word for words in WORDS.values() for word in words} - set(WORDS[path])
    for word in (*others, *GARBAGE):
        assert error(path, word) == EINVAL, word
    assert error(path, b"") == 0
    assert get(path) == WORDS[path][-1]


@pytest.mark.parametrize("folder", FILTERS)
@pytest.mark.parametrize("name", ["matching", *(["allow"] if IS_OURS else [])])
def test_yes_and_no(folder: str, name: str) -> None:
    one_of_each()
    path = f"{S}/{folder}/0/{name}"
    for text in ("Y", "N", "y", "n", "1", "0", "Y\n", "N\n", "on", "off"):
        assert error(path, text) == 0
        assert get(path) == ("Y" if text.strip() in ("Y", "y", "1", "on") else "N")
    put(path, "Y")
    for text in (b"x", b"2", b"-1", b" Y", b"\n", b"\0", b"\xff", b"o"):
        assert error(path, text) == EINVAL, text
    assert error(path, b"") == 0
    assert get(path) == "Y"


@ours
@pytest.mark.parametrize("folder", FILTERS)
def test_memcg_path(folder: str) -> None:
    one_of_each()
    path = f"{S}/{folder}/0/memcg_path"
    longest = "/" + "x" * (mmap.PAGESIZE - 3)
    for text in ("/a", "/a b/c\n", "", "\n", "/\u00e4", longest):
        if text:
            assert error(path, text) == 0, text
            assert get(path) == text.removesuffix("\n")
    for text in (b"/a\0b", b"\0", longest.encode() + b"x"):
        assert error(path, text) == EINVAL
    assert get(path) == longest


def test_files_that_are_only_read() -> None:
    one_of_each()
    for path, (mode, text) in FILES.items():
        if mode == 0o400:
            assert error(path, 1) == EACCES, "not even by root"
            assert get(path) == text


# Directories


@pytest.mark.parametrize("path", LISTS)
def test_lists(path: str) -> None:
    folder = (ADMIN / path).parent
    for nr in (3, 1, 0, 3):
        put(path, nr)
        assert get(path) == str(nr)
        found = {entry.name for entry in folder.iterdir() if entry.is_dir()}
        assert found == {str(number) for number in range(nr)}
    for text in (*GARBAGE, -1, -(2**31)):
        assert error(path, text) == EINVAL
    for text in (2**31, -(2**31) - 1, 2**64):
        assert error(path, text) == ERANGE
    assert error(path, b"") == 0
    assert get(path) == "3"


@ours
@pytest.mark.parametrize("path", LISTS)
def test_too_many(path: str) -> None:
    put(path, 2)
    for nr in (LISTS[path] + 1, 1_000_000_000, 2**31 - 1):
        assert error(path, nr) == EINVAL
    assert get(path) == "2"


@ours
def test_very_many() -> None:
    put(f"{S}/filters/nr_filters", 256)
    put(f"{S}/filters/255/addr_end", 1)
    assert get(f"{S}/filters/255/addr_end") == "1"
    put(f"{SCHEMES}/nr_schemes", 256)
    assert get(f"{SCHEMES}/255/action") == "stat"


def test_directories_are_new_ones() -> None:
    put(f"{S}/action", "cold")
    put(f"{SCHEMES}/nr_schemes", 1)
    assert get(f"{S}/action") == "stat"


@pytest.mark.stress
@pytest.mark.parametrize("remover", [f"{SCHEMES}/nr_schemes", f"{K}/contexts/nr_contexts"])
@pytest.mark.parametrize("nr", [0, 1])
def test_removal_while_files_are_open(remover: str, nr: int) -> None:
    one_of_each()
    paths = [path for path in FILES if path != remover]
    fds = [os.open(ADMIN / path, os.O_RDONLY) for path in paths]
    fds += [os.open(ADMIN / path, os.O_WRONLY) for path in paths if FILES[path][0] == 0o600]
    put(remover, nr)
    try:
        for number, fd in enumerate(fds):
            with pytest.raises(OSError) as failed:
                if number < len(paths):
                    os.read(fd, 100)
                else:
                    os.write(fd, b"1")
            assert failed.value.errno == ENODEV
    finally:
        for fd in fds:
            os.close(fd)


# What can be, and what cannot


def puts(scheme: str = S, **values: object) -> None:
    """Write files of a scheme, where __ stands for /."""
    for name, value in values.items():
        put(f"{scheme}/{name.replace('__', '/')}", value)


def a_filter(
    folder: str = "filters", *, action: str = "stat", **values: object
) -> Callable[[], None]:
    def prepare() -> None:
        put(f"{S}/action", action)
        put(f"{S}/{folder}/nr_filters", 1)
        puts(f"{S}/{folder}/0", **values)

    return prepare


def a_goal(**values: object) -> Callable[[], None]:
    def prepare() -> None:
        put(f"{S}/quotas/goals/nr_goals", 1)
        puts(f"{S}/quotas/goals/0", **values)

    return prepare


def physical(prepare: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        put(f"{C}/operations", "paddr")
        prepare()

    return both


def destinations(*pairs: tuple[int, int]) -> Callable[[], None]:
    def prepare() -> None:
        puts(action="migrate_cold", dests__nr_dests=len(pairs))
        for number, (node, weight) in enumerate(pairs):
            puts(f"{S}/dests/{number}", id=node, weight=weight)

    return prepare


UNSOUND: dict[str, tuple[Callable[[], None], int]] = {
    "min above max": (lambda: puts(access_pattern__sz__min=2, access_pattern__sz__max=1), EINVAL),
    "min above max of rates": (
        lambda: puts(access_pattern__nr_accesses__min=2, access_pattern__nr_accesses__max=1),
        EINVAL,
    ),
    "min above max of ages": (
        lambda: puts(access_pattern__age__min=2, access_pattern__age__max=1),
        EINVAL,
    ),
    "physical memory's action": (lambda: puts(action="lru_prio"), EINVAL),
    "a process's action": (physical(lambda: puts(action="willneed")), EINVAL),
    "a goal of nothing": (a_goal(target_value=0), EINVAL),
    "a goal for no node": (
        a_goal(target_metric="node_mem_used_bp", target_value=1, nid=-1),
        EINVAL,
    ),
    "a goal for a node that is not there": (
        a_goal(target_metric="node_mem_free_bp", target_value=1, nid=63),
        EINVAL,
    ),
    "low above mid": (lambda: puts(watermarks__metric="free_mem_rate", watermarks__low=5), EINVAL),
    "mid above high": (lambda: puts(watermarks__metric="free_mem_rate", watermarks__mid=5), EINVAL),
    "no addresses": (a_filter(type="addr", addr_start=4096, addr_end=4096), EINVAL),
    "addresses the wrong way round": (a_filter(type="addr", addr_start=2, addr_end=1), EINVAL),
    "a target below zero": (a_filter(type="target", damon_target_idx=-1), EINVAL),
    "core: a target below zero": (
        a_filter("core_filters", type="target", damon_target_idx=-1),
        EINVAL,
    ),
    "sizes the wrong way round": (
        physical(a_filter("ops_filters", type="hugepage_size", min=2, max=1)),
        EINVAL,
    ),
    "a filter of pages where the action is for mappings": (
        a_filter("ops_filters", action="cold", type="anon"),
        EINVAL,
    ),
    "no such cgroup": (
        physical(a_filter(type="memcg", memcg_path="/there-is-none")),
        ENOENT,
    ),
    "no cgroup": (physical(a_filter("ops_filters", type="memcg")), ENOENT),
    "migration to nowhere": (physical(lambda: puts(action="migrate_hot")), EINVAL),
    "migration to a node that is not there": (
        physical(lambda: puts(action="migrate_hot", target_nid=63)),
        EINVAL,
    ),
    "one of the nodes is not there": (physical(destinations((0, 1), (63, 1))), EINVAL),
    "nodes without weight": (physical(destinations((0, 0), (0, 0))), EINVAL),
}


@ours
@pytest.mark.parametrize("why", UNSOUND)
def test_on_with_what_cannot_be(victim: subprocess.Popen, why: str) -> None:
    prepare, number = UNSOUND[why]
    prepare()
    assert error(STATE, "on") == number
    assert get(STATE) == "off" and kdamonds() == []


@ours
@pytest.mark.parametrize("why", UNSOUND)
def test_a_commit_that_fails(running: subprocess.Popen, why: str) -> None:
    """What runs goes on, with the schemes and the statistics that it has."""
    prepare, number = UNSOUND[why]
    operations = get(f"{C}/operations")
    wait_until(lambda: tried() > 0, "it was tried", 20)
    kdamond, before = get(f"{K}/pid"), tried()
    prepare()
    for _ in range(2):
        assert error(STATE, "commit") == number
    assert get(f"{K}/pid") == kdamond
    wait_until(lambda: tried() > before, "and again", 20)
    put(f"{C}/operations", operations)
    put(f"{SCHEMES}/nr_schemes", 1)
    for_all_memory()
    assert error(STATE, "commit") == 0


SOUND: dict[str, Callable[[], None]] = {
    "nothing matches": lambda: puts(access_pattern__sz__max=0),
    "bounds that are no bounds": lambda: puts(
        quotas__ms=MOST, quotas__bytes=MOST, quotas__reset_interval_ms=MOST
    ),
    "no window": lambda: puts(quotas__bytes=4096, quotas__reset_interval_ms=0),
    "weights": lambda: puts(
        quotas__bytes=4096, quotas__reset_interval_ms=100, quotas__weights__sz_permil=2**32 - 1,
        quotas__weights__nr_accesses_permil=2**32 - 1, quotas__weights__age_permil=2**32 - 1,
    ),
    "an hour": lambda: puts(apply_interval_us=3600_000_000),
    "for ever": lambda: puts(apply_interval_us=MOST),
    "a microsecond": lambda: puts(apply_interval_us=1),
    "watermarks without a metric": lambda: puts(watermarks__low=5),
    "watermarks": lambda: puts(
        watermarks__metric="free_mem_rate", watermarks__interval_us=1, watermarks__high=1000,
        watermarks__mid=1000, watermarks__low=0,
    ),
    "an address": a_filter(type="addr", addr_start=1, addr_end=MOST, matching="Y"),
    "a target": a_filter(type="target", damon_target_idx=7),
    "a goal": a_goal(target_value=1, current_value=MOST),
    "pressure": a_goal(target_metric="some_mem_psi_us", target_value=1),
}  # fmt: skip
if IS_OURS:
    SOUND |= {
        "a goal for a node": a_goal(target_metric="node_mem_used_bp", target_value=1),
        "allowed": a_filter("core_filters", addr_end=MOST, matching="Y", allow="Y"),
        "in a hurry": lambda: puts(quotas__goal_tuner="temporal", quotas__bytes=1),
        "destinations of what does not move": lambda: puts(dests__nr_dests=1),
        "one snapshot": lambda: puts(stats__max_nr_snapshots=1),
    }


@pytest.mark.parametrize("how", SOUND)
def test_on_with_what_can_be(victim: subprocess.Popen, log: None, how: str) -> None:
    SOUND[how]()
    assert error(STATE, "on") == 0
    time.sleep(0.3)
    for command in ("update_schemes_stats", "commit", "update_schemes_effective_quotas"):
        assert error(STATE, command) == 0
    time.sleep(0.2)
    assert get(STATE) == "on"
    assert error(STATE, "off") == 0


@pytest.mark.stress
@ours
def test_memcg_that_comes_and_goes(victim: subprocess.Popen, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "cgroup2", "none", tmp_path], check=True)
    try:
        (tmp_path / "cgroup.subtree_control").write_text("+memory")
        group = tmp_path / "damon-test"
        group.mkdir()
        physical(a_filter("ops_filters", type="memcg", memcg_path="/damon-test\n"))()
        assert error(STATE, "on") == 0
        assert error(STATE, "commit") == 0
        group.rmdir()
        assert error(STATE, "commit") == ENOENT
        assert get(STATE) == "on"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# What schemes have done


def tried(scheme: str = S) -> int:
    put(STATE, "update_schemes_stats")
    return int(get(f"{scheme}/stats/nr_tried"))


class Region(NamedTuple):
    number: int
    start: int
    end: int
    nr_accesses: int
    age: int
    sz_filter_passed: int


def regions(scheme: str = S) -> list[Region]:
    """What the files say that a scheme was tried on, by number."""
    folders = (ADMIN / scheme / "tried_regions").glob("[0-9]*")
    return sorted(
        Region(
            int(folder.name),
            *(
                int((folder / name).read_text()) if (folder / name).exists() else 0
                for name in Region._fields[1:]
            ),
        )
        for folder in folders
    )


def mapped(pid: int) -> tuple[int, int]:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    edges = [int(edge, 16) for line in lines for edge in line.split()[0].split("-")]
    return min(edges), max(edges)


def test_stats(running: subprocess.Popen) -> None:
    wait_until(lambda: tried() > 0, "it was tried", 20)
    first = tried()
    wait_until(lambda: tried() > first, "and again", 20)
    values = {name: int(get(f"{S}/stats/{name}")) for name in
              ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")}  # fmt: skip
    assert values["sz_tried"] >= values["nr_tried"] * mmap.PAGESIZE
    assert values["nr_applied"] <= values["nr_tried"]
    assert values["sz_applied"] <= values["sz_tried"]
    assert values["qt_exceeds"] == 0
    # What is not asked for does not change.
    time.sleep(0.5)
    assert int(get(f"{S}/stats/nr_tried")) == values["nr_tried"]
    put(STATE, "off")
    assert int(get(f"{S}/stats/nr_tried")) == values["nr_tried"]


@ours
def test_bounds_beyond_all_that_can_be(victim: subprocess.Popen) -> None:
    """They do not wrap around, which would leave none."""
    puts(access_pattern__nr_accesses__max=2**32, access_pattern__age__max=2**32)
    puts(access_pattern__age__min=1)
    put(STATE, "on")
    wait_until(lambda: tried() > 0, "it was tried", 20)


def test_tried_regions(running: subprocess.Popen) -> None:
    low, high = mapped(running.pid)
    time.sleep(0.5)
    put(STATE, "update_schemes_tried_regions")
    found = regions()
    assert len(found) >= 3
    assert [region.number for region in found] == list(range(len(found)))
    assert sum(region.end - region.start for region in found) == int(
        get(f"{S}/tried_regions/total_bytes")
    )
    end = 0
    for region in found:
        assert end <= region.start < region.end
        assert region.start % mmap.PAGESIZE == region.end % mmap.PAGESIZE == 0
        assert region.nr_accesses <= 20
        assert 0 <= region.age < 1000
        end = region.end
    # The vsyscall page is in the list of mappings, and is nobody's memory.
    assert low <= found[0].start and found[-1].end <= high

    put(STATE, "clear_schemes_tried_regions")
    assert regions() == [] and get(f"{S}/tried_regions/total_bytes") == "0"
    put(STATE, "update_schemes_tried_bytes")
    assert regions() == [] and int(get(f"{S}/tried_regions/total_bytes")) > 0
    put(STATE, "update_schemes_tried_regions")
    assert len(regions()) >= 3
    put(STATE, "update_schemes_tried_bytes")
    assert regions() == [], "they would be older than the bytes"


def test_tried_regions_of_several_schemes(victim: subprocess.Popen) -> None:
    put(f"{SCHEMES}/nr_schemes", 3)
    for_all_memory(f"{SCHEMES}/0")
    for_all_memory(f"{SCHEMES}/2")
    put(STATE, "on")
    time.sleep(0.5)
    put(STATE, "update_schemes_tried_regions")
    first, none, last = (regions(f"{SCHEMES}/{number}") for number in range(3))
    assert none == [] and get(f"{SCHEMES}/1/tried_regions/total_bytes") == "0"
    assert len(first) >= 3 and len(last) >= 3
    numbers = sorted(region.number for region in (*first, *last))
    assert numbers == list(range(len(numbers))), "no number twice"


@ours
def test_many_tried_regions(victim: subprocess.Popen) -> None:
    program = "import mmap, time; m = mmap.mmap(-1, 2**24); m.write(bytes(2**24)); time.sleep(1000)"
    process = subprocess.Popen([sys.executable, "-c", program])
    try:
        time.sleep(3)
        put(f"{T}/pid_target", process.pid)
        put(f"{C}/monitoring_attrs/nr_regions/max", 6000)
        put(f"{C}/monitoring_attrs/nr_regions/min", 1500)
        put(f"{C}/monitoring_attrs/intervals/sample_us", 50000)
        put(f"{C}/monitoring_attrs/intervals/aggr_us", 500000)
        put(STATE, "on")
        time.sleep(1)
        put(STATE, "update_schemes_tried_regions")
        found = regions()
        assert len(found) > 1000
        assert sum(region.end - region.start for region in found) == int(
            get(f"{S}/tried_regions/total_bytes")
        )
    finally:
        process.kill()
        process.wait()


def test_what_has_no_directory_any_more(running: subprocess.Popen) -> None:
    time.sleep(0.3)
    for nr in (0, 3, 1):
        put(f"{SCHEMES}/nr_schemes", nr)
        for command in UPDATES:
            assert error(STATE, command) == 0, command
    assert int(get(f"{S}/stats/nr_tried")) > 0, "the first is the first again"
    put(f"{K}/contexts/nr_contexts", 0)
    if IS_OURS:
        for command in UPDATES:
            assert error(STATE, command) == 0, command
    assert get(STATE) == "on"


class Command:
    """A write to state that takes long: by a process, which can be killed."""

    def __init__(self, word: str) -> None:
        program = (
            "import os, sys\n"
            f"file = os.open('{ADMIN / STATE}', os.O_WRONLY)\n"
            "os.close(1)\n"
            "try:\n"
            f"    os.write(file, b'{word}')\n"
            "except OSError as failed:\n"
            "    sys.exit(failed.errno)\n"
        )
        self.process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        # Python may take seconds to start.
        assert self.process.stdout is not None and not self.process.stdout.read()

    def waits(self, seconds: float) -> bool:
        """Whether it is still waiting after a while."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False

    def end(self, seconds: float = 20) -> int:
        """Its error number, or the negative number of a signal."""
        return self.process.wait(seconds)


@ours
def test_a_command_that_takes_an_hour(victim: subprocess.Popen) -> None:
    puts(apply_interval_us=3600_000_000)
    put(STATE, "on")
    for signal_number in (15, 9):
        command = Command("update_schemes_tried_regions")
        assert command.waits(2)
        for other in ("commit", *UPDATES):
            if other != "clear_schemes_tried_regions":
                assert error(STATE, other) == EBUSY
        assert get(STATE) == "on"
        assert error(f"{SCHEMES}/nr_schemes", 1) == 0
        command.process.send_signal(signal_number)
        assert command.end() == -signal_number
        assert error(STATE, "update_schemes_stats") == 0
    command = Command("update_schemes_tried_bytes")
    assert command.waits(2)
    begin = time.monotonic()
    assert error(STATE, "off") == 0
    assert command.end() == ECANCELED
    assert time.monotonic() - begin < 10
    assert get(STATE) == "off"


@pytest.mark.stress
@ours
def test_a_command_for_a_kdamond_that_ends(victim: subprocess.Popen) -> None:
    puts(apply_interval_us=3600_000_000)
    put(STATE, "on")
    command = Command("update_schemes_tried_regions")
    assert command.waits(2)
    victim.kill()
    victim.wait()
    assert command.end() == ECANCELED
    wait_until(lambda: get(STATE) == "off", "it ended", 20)


@ours
def test_directories_change_while_a_command_waits(victim: subprocess.Popen) -> None:
    puts(apply_interval_us=6_000_000)
    put(STATE, "on")
    for nr in (0, 3):
        command = Command("update_schemes_tried_regions")
        assert command.waits(2)
        put(f"{SCHEMES}/nr_schemes", nr)
        assert command.end(60) == 0
    assert regions() and not regions(f"{SCHEMES}/1")


@ours
def test_a_scheme_that_is_not_active(victim: subprocess.Popen) -> None:
    """There is always more free memory than none."""
    puts(watermarks__metric="free_mem_rate", watermarks__interval_us=100_000)
    put(STATE, "on")
    time.sleep(0.5)
    for command in UPDATES:
        assert error(STATE, command) == 0, command
    assert get(f"{S}/stats/nr_tried") == "0" and regions() == []
    puts(watermarks__high=1000, watermarks__mid=1000)
    put(STATE, "commit")
    wait_until(lambda: tried() > 0, "it became active", 20)


@ours
def test_a_context_that_has_ended(victim: subprocess.Popen) -> None:
    """The others' schemes go on, and nobody waits for its."""
    put(f"{K}/contexts/max_nr_contexts", 2)
    put(f"{K}/contexts/nr_contexts", 2)
    other = subprocess.Popen(["sleep", "1000"])
    for number, pid in enumerate((other.pid, victim.pid)):
        context = f"{K}/contexts/{number}"
        put(f"{context}/targets/nr_targets", 1)
        put(f"{context}/targets/0/pid_target", pid)
        put(f"{context}/schemes/nr_schemes", 1)
        for_all_memory(f"{context}/schemes/0")
    put(STATE, "on")
    time.sleep(0.5)
    put(STATE, "update_schemes_tried_regions")
    second = f"{K}/contexts/1/schemes/0"
    assert regions() and regions(second)
    other.kill()
    other.wait()
    time.sleep(1)
    command = Command("update_schemes_tried_regions")
    assert command.end(30) == 0
    assert regions() == [] and regions(second)


def test_effective_quota(victim: subprocess.Popen) -> None:
    puts(quotas__bytes=2**20, quotas__reset_interval_ms=200)
    put(STATE, "on")

    def effective() -> int:
        put(STATE, "update_schemes_effective_quotas")
        return int(get(f"{S}/quotas/effective_bytes"))

    wait_until(lambda: effective() == 2**20, "it is that of bytes", 20)


@ours
def test_goals_are_committed_alone(victim: subprocess.Popen) -> None:
    puts(quotas__bytes=2**30, quotas__reset_interval_ms=100)
    a_goal(target_value=1000, current_value=10**6)()
    put(STATE, "on")

    def effective() -> int:
        put(STATE, "update_schemes_effective_quotas")
        return int(get(f"{S}/quotas/effective_bytes"))

    wait_until(lambda: 0 < effective() < 2**20, "it has been too much", 30)
    # What else the files say now has no part in it.
    puts(access_pattern__sz__min=2, access_pattern__sz__max=1, action="lru_prio")
    put(f"{T}/pid_target", 0)
    assert error(STATE, "commit") == EINVAL
    puts(quotas__goals__0__current_value=1)
    assert error(STATE, "commit_schemes_quota_goals") == 0
    wait_until(lambda: effective() > 2**22, "it may do more", 30)
    puts(quotas__goals__0__target_value=0)
    assert error(STATE, "commit_schemes_quota_goals") == EINVAL
    before = effective()
    time.sleep(1)
    assert effective() >= before, "the old goal goes on"
    for nr in (0, 2):
        put(f"{SCHEMES}/nr_schemes", nr)
        assert error(STATE, "commit_schemes_quota_goals") == EINVAL
    put(f"{SCHEMES}/nr_schemes", 1)
    assert error(STATE, "commit_schemes_quota_goals") == 0, "without goals"


@ours
def test_statistics_outlive_a_commit(running: subprocess.Popen) -> None:
    wait_until(lambda: tried() > 0, "it was tried", 20)
    before = tried()
    put(STATE, "commit")
    assert tried() >= before
    put(f"{SCHEMES}/nr_schemes", 2)
    for_all_memory(f"{SCHEMES}/1")
    put(STATE, "commit")
    wait_until(lambda: tried(f"{SCHEMES}/1") > 0, "the second was tried", 20)
    put(f"{SCHEMES}/nr_schemes", 0)
    put(STATE, "commit")
    for command in UPDATES:
        assert error(STATE, command) == 0


@ours
def test_snapshots(victim: subprocess.Popen) -> None:
    puts(stats__max_nr_snapshots=3)
    put(STATE, "on")

    def snapshots() -> int:
        put(STATE, "update_schemes_stats")
        return int(get(f"{S}/stats/nr_snapshots"))

    wait_until(lambda: snapshots() == 3, "three times", 20)
    done = tried()
    time.sleep(0.5)
    assert snapshots() == 3 and tried() == done
    assert int(get(f"{S}/stats/sz_ops_filter_passed")) == int(get(f"{S}/stats/sz_tried"))


@ours
def test_refresh(victim: subprocess.Popen) -> None:
    puts(quotas__bytes=2**24, quotas__reset_interval_ms=100)
    put(f"{K}/refresh_ms", 20)
    put(STATE, "on")
    path = f"{S}/stats/nr_tried"
    wait_until(lambda: int(get(path)) > 0, "it was refreshed", 20)
    first = int(get(path))
    wait_until(lambda: int(get(path)) > first, "and again", 20)
    assert get(f"{S}/quotas/effective_bytes") == str(2**24)
    assert regions() == [], "these take a command"
    put(f"{K}/refresh_ms", 0)
    time.sleep(0.1)
    first = int(get(path))
    time.sleep(0.5)
    assert int(get(path)) == first


# Many at once, and without memory


def anything(dice: random.Random, pids: list[int]) -> tuple[str, object]:
    """Some file of two kdamonds' schemes, and what to write into it."""
    values = [0, 1, 2, 4096, 2**20, MOST, -1, "", "x", "Y", "N", "/", "/none"]
    words = [word for words in WORDS.values() for word in words]
    kdamond = f"kdamonds/{dice.randrange(2)}"
    context = f"{kdamond}/contexts/{dice.randrange(2)}"
    scheme = f"{context}/schemes/{dice.randrange(2)}"
    file = dice.choice(list(FILES)).replace(S, scheme).replace(SCHEMES, f"{context}/schemes")
    bound = f"{scheme}/access_pattern/{dice.choice(['sz', 'nr_accesses', 'age'])}/max"
    commands = ["on", "on", "on", "off", "commit", "commit_schemes_quota_goals", *UPDATES]
    tried_region = f"{scheme}/tried_regions/{dice.randrange(5)}/start"
    return dice.choice(
        [
            ("kdamonds/nr_kdamonds", dice.randrange(1, 3)),
            (f"{kdamond}/contexts/nr_contexts", dice.randrange(3)),
            (f"{kdamond}/contexts/max_nr_contexts", 2),
            *[(f"{context}/schemes/nr_schemes", dice.randrange(3))] * 2,
            (f"{context}/targets/nr_targets", 1),
            *[(f"{context}/targets/0/pid_target", dice.choice(pids))] * 3,
            *[(f"{kdamond}/state", dice.choice(commands))] * 12,
            *[(bound, MOST)] * 3,
            *[(file, dice.choice([*values, *words]))] * 6,
            (f"{scheme}/apply_interval_us", dice.choice([0, 1000, 200_000])),
            (f"{kdamond}/refresh_ms", dice.choice([0, 1, 10])),
            (tried_region, "x"),
        ]
    )


@pytest.mark.stress
@ours  # upstream's 6.12 hangs
def test_many_writers(victim: subprocess.Popen, log: None) -> None:
    pids = [0, victim.pid, os.getpid()]
    seen = meddle(lambda dice: anything(dice, pids), seconds=20)
    print("errors seen:", sorted(seen))
    assert 0 in seen and seen <= {0, *HARMLESS, EACCES}
    all_off()
    assert kdamonds() == []
    put("kdamonds/nr_kdamonds", 1)


@pytest.mark.stress
@ours
def test_readers_beside_updates(running: subprocess.Popen, log: None) -> None:
    """Off, and directories that come and go, beside all of the commands."""
    commands = [*UPDATES, "commit", "commit_schemes_quota_goals"]

    def choose(dice: random.Random) -> tuple[str, object]:
        return dice.choice(
            [
                *[(STATE, dice.choice(commands))] * 6,
                (STATE, "off"),
                *[(STATE, "on")] * 2,
                (f"{SCHEMES}/nr_schemes", 1),
                *[
                    (f"{S}/access_pattern/{what}/max", MOST)
                    for what in ("sz", "nr_accesses", "age")
                ],
            ]
        )

    seen = meddle(choose, seconds=8)
    assert 0 in seen
    assert seen <= {0, EINVAL, EBUSY, ECANCELED, ENOENT, ENODEV, EPERM}


@pytest.mark.stress
@pytest.mark.skipif(not FAIL_NTH.exists(), reason="a kernel without fault injection")
def test_without_memory(victim: subprocess.Popen, log: None) -> None:
    """Each allocation fails once: there are all directories or none, and it runs or not."""
    for path in LISTS:
        folder = (ADMIN / path).parent
        put(path, 1)
        failures = 0
        for number in failing(path, 2):
            nr = sum(entry.is_dir() for entry in folder.iterdir())
            assert get(path) == str(nr)
            assert (number, nr) in ((0, 2), (ENOMEM, 0 if failures else 1))
            failures += number != 0
        assert failures > 2
        if path.endswith("nr_schemes"):
            put(path, 1)
            for_all_memory()
            continue
        put(path, 0)
    for folder in FILTERS:
        a_filter(folder, type="target" if folder == "core_filters" else "anon")()
    for folder in ("filters", "ops_filters"):
        a_filter(folder, memcg_path="/x")()
    put(f"{C}/operations", "paddr")
    put(f"{S}/dests/nr_dests", 2)
    a_goal(target_value=1)()
    for number in failing(STATE, "on"):
        assert number in (0, ENOMEM)
        assert get(STATE) == ("off" if number else "on")
        if not number:
            put(STATE, "off")
    put(f"{C}/operations", "vaddr")
    for folder in FILTERS:
        put(f"{S}/{folder}/nr_filters", 0)
    put(STATE, "on")
    time.sleep(1)
    for command in ("commit", "commit_schemes_quota_goals", *UPDATES):
        for number in failing(STATE, command):
            assert number in (0, ENOMEM), command
            assert get(STATE) == "on"
    put(STATE, "off")
