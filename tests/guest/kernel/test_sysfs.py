# SPDX-License-Identifier: GPL-2.0
"""The kernel's files, one by one: defaults, modes, what they take, how they fail.

What is not marked with `ours` passes on upstream's kernel as well, and so says what its ABI is.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from errno import EACCES, EBUSY, ECANCELED, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ERANGE
from functools import partial

import pytest
from faults import FAIL_NTH, GARBAGE, failing
from files import HARMLESS, C, K, all_off, beside, error, get, meddle, ours

from guest import ADMIN, IS_OURS, kdamonds, put, wait_until

T = f"{C}/targets/0"
R = f"{T}/regions/0"
INTERVALS = f"{C}/monitoring_attrs/intervals"
GOAL = f"{INTERVALS}/intervals_goal"
MAX_NR_CONTEXTS = f"{K}/contexts/max_nr_contexts"
NR_REGIONS = f"{C}/monitoring_attrs/nr_regions"

UPSTREAM = {
    "kdamonds/nr_kdamonds": (0o600, "1"),
    f"{K}/state": (0o600, "off"),
    f"{K}/pid": (0o400, "-1"),
    f"{K}/contexts/nr_contexts": (0o600, "1"),
    f"{C}/avail_operations": (0o400, "vaddr\nfvaddr\npaddr"),
    f"{C}/operations": (0o600, "vaddr"),
    f"{INTERVALS}/sample_us": (0o600, "5000"),
    f"{INTERVALS}/aggr_us": (0o600, "100000"),
    f"{INTERVALS}/update_us": (0o600, "60000000"),
    f"{NR_REGIONS}/min": (0o600, "10"),
    f"{NR_REGIONS}/max": (0o600, "1000"),
    f"{C}/targets/nr_targets": (0o600, "1"),
    f"{T}/pid_target": (0o600, "0"),
    f"{T}/regions/nr_regions": (0o600, "1"),
    f"{R}/start": (0o600, "0"),
    f"{R}/end": (0o600, "0"),
    f"{C}/schemes/nr_schemes": (0o600, "0"),
}
ADDED = {
    f"{K}/refresh_ms": (0o600, "0"),
    MAX_NR_CONTEXTS: (0o600, "1"),
    f"{C}/addr_unit": (0o600, "1"),
    f"{GOAL}/access_bp": (0o600, "0"),
    f"{GOAL}/aggrs": (0o600, "0"),
    f"{GOAL}/min_sample_us": (0o600, "0"),
    f"{GOAL}/max_sample_us": (0o600, "0"),
}
FILES = {**UPSTREAM, **(ADDED if IS_OURS else {})}
"""Every file, with a kdamond, a context, a target and a region: mode and text."""

LARGEST = {
    f"{INTERVALS}/sample_us": 2**64 - 1,
    f"{INTERVALS}/aggr_us": 2**64 - 1,
    f"{INTERVALS}/update_us": 2**64 - 1,
    f"{NR_REGIONS}/min": 2**64 - 1,
    f"{NR_REGIONS}/max": 2**64 - 1,
    f"{T}/pid_target": 2**31 - 1,
    f"{R}/start": 2**64 - 1,
    f"{R}/end": 2**64 - 1,
}
if IS_OURS:
    LARGEST |= dict.fromkeys(ADDED, 2**64 - 1) | {f"{K}/refresh_ms": 2**32 - 1}
    del LARGEST[MAX_NR_CONTEXTS]
LISTS = {
    "kdamonds/nr_kdamonds": 1024,
    f"{K}/contexts/nr_contexts": 64,
    f"{C}/targets/nr_targets": 16384,
    f"{T}/regions/nr_regions": 65536,
}
"""The files that make directories, and how many at most."""

WHILE_IT_RUNS = (
    "commit_schemes_quota_goals",
    "update_schemes_stats",
    "update_schemes_tried_bytes",
    "update_schemes_tried_regions",
    "clear_schemes_tried_regions",
    "update_schemes_effective_quotas",
    "commit",
    *(["update_tuned_intervals"] if IS_OURS else []),
)


@pytest.fixture(autouse=True)
def slot(nothing_left_behind: None) -> Iterator[None]:
    """A kdamond with a context, a target and a region."""
    put("kdamonds/nr_kdamonds", 1)
    put(f"{K}/contexts/nr_contexts", 1)
    put(f"{C}/targets/nr_targets", 1)
    put(f"{T}/regions/nr_regions", 1)
    yield
    all_off()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen]:
    """A process to monitor, set as the target; without ranges of its own."""
    process = subprocess.Popen(["sleep", "1000"])
    put(f"{T}/regions/nr_regions", 0)
    put(f"{T}/pid_target", process.pid)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def running(victim: subprocess.Popen) -> subprocess.Popen:
    if IS_OURS:
        never_tuned()
    put(f"{K}/state", "on")
    return victim


# The files


def test_all_files_with_mode_and_default() -> None:
    found = {
        str(path.relative_to(ADMIN)): (path.stat().st_mode & 0o7777, path.read_text())
        for path in ADMIN.rglob("*")
        if path.is_file()
    }
    assert found == {path: (mode, f"{text}\n") for path, (mode, text) in FILES.items()}
    assert all(path.stat().st_uid == 0 for path in ADMIN.rglob("*"))


@pytest.mark.parametrize("path", LARGEST)
def test_numbers(path: str) -> None:
    texts = {"1": 1, "12\n": 12, "0x1F": 31, "010": 8, "+7": 7, LARGEST[path]: LARGEST[path]}
    for text, value in texts.items():
        assert error(path, text) == 0
        assert get(path) == str(value)
    before = get(path)
    assert error(path, b"") == 0
    too_large = [(LARGEST[path] + 1, ERANGE), (2**200, ERANGE)]
    for text, number in [*((text, EINVAL) for text in GARBAGE), *too_large]:
        # Upstream does not tell a pid that is too large from one that is none.
        expected = (EINVAL, number) if path.endswith("pid_target") else (number,)
        assert error(path, text) in expected, text
        assert get(path) == before


@pytest.mark.parametrize("path", LARGEST)
def test_numbers_below_zero(path: str) -> None:
    put(path, 5)
    if path.endswith("pid_target"):
        put(path, -2)
        assert get(path) == "-2"
        assert error(f"{K}/state", "on") == EINVAL
    else:
        assert error(path, -1) == EINVAL
        assert get(path) == "5"


def test_a_page_full_of_digits() -> None:
    path = f"{INTERVALS}/sample_us"
    with (ADMIN / path).open("wb", buffering=0) as file, pytest.raises(OSError) as failed:
        file.write(b"1" * 100_000)
    assert failed.value.errno == ERANGE and get(path) == "5000"


def test_only_root_may_look() -> None:
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "cat", ADMIN / "kdamonds/nr_kdamonds"],
        capture_output=True,
        text=True,
    )
    assert result.returncode and "Permission denied" in result.stderr


def test_files_that_are_only_read() -> None:
    for path in (f"{K}/pid", f"{C}/avail_operations"):
        assert error(path, 1) == EACCES, "not even by root"


def test_operations() -> None:
    path = f"{C}/operations"
    for text in ("paddr", "vaddr\n", "fvaddr"):
        assert error(path, text) == 0
        assert get(path) == text.strip()
    for text in (b"x", b"vaddr ", b" vaddr", b"VADDR", b"vadd", b"vaddr\nx", b"\n", b"\0", b"\xff"):
        assert error(path, text) == EINVAL
    assert error(path, b"") == 0
    assert get(path) == "fvaddr"


@ours
def test_addr_unit_of_zero() -> None:
    assert error(f"{C}/addr_unit", 0) == EINVAL
    assert get(f"{C}/addr_unit") == "1"


# Directories


@pytest.mark.parametrize("path", LISTS)
def test_lists(path: str) -> None:
    folder = (ADMIN / path).parent
    largest = 1 if path.endswith("nr_contexts") else 3
    for nr in (largest, 1, 0, largest):
        put(path, nr)
        assert get(path) == str(nr)
        assert {entry.name for entry in folder.iterdir() if entry.is_dir()} == {
            str(number) for number in range(nr)
        }
    for text in (*GARBAGE, -1, -(2**31)):
        assert error(path, text) == EINVAL
    for text in (2**31, -(2**31) - 1, 2**64):
        assert error(path, text) == ERANGE
    assert error(path, b"") == 0
    assert get(path) == str(largest)


@ours
def test_more_contexts_than_one() -> None:
    """Clients expect that there is one at most, unless they say otherwise."""
    path = f"{K}/contexts/nr_contexts"
    assert error(path, 2) == EINVAL and get(path) == "1"
    for text in (0, -1, 65, *GARBAGE):
        assert error(MAX_NR_CONTEXTS, text) == EINVAL
    assert error(MAX_NR_CONTEXTS, 2**31) == ERANGE
    assert get(MAX_NR_CONTEXTS) == "1"
    put(MAX_NR_CONTEXTS, 3)
    assert error(path, 4) == EINVAL and get(path) == "1"
    put(path, 3)
    put(MAX_NR_CONTEXTS, 1)
    assert get(path) == "3", "those that there are stay"
    assert error(path, 3) == EINVAL
    put("kdamonds/nr_kdamonds", 1)
    assert get(MAX_NR_CONTEXTS) == "1"
    put(f"{K}/contexts/nr_contexts", 1)


def test_directories_are_new_ones() -> None:
    put(f"{INTERVALS}/sample_us", 77)
    put(f"{K}/contexts/nr_contexts", 1)
    assert get(f"{INTERVALS}/sample_us") == "5000"
    assert get(f"{C}/targets/nr_targets") == "0"


@pytest.mark.parametrize("path", LISTS)
def test_too_many(path: str) -> None:
    begin = time.monotonic()
    for nr in (1_000_000_000, 2**31 - 1, *([LISTS[path] + 1] if IS_OURS else [])):
        assert error(path, nr) in (ENOMEM, EINVAL)
    assert time.monotonic() - begin < 5
    # Upstream has removed what there was before it looks for memory.
    assert get(path) == "1" if IS_OURS else get(path) in "01"


@ours
def test_very_many() -> None:
    put(f"{T}/regions/nr_regions", 65536)
    last = f"{T}/regions/65535/end"
    put(last, 1)
    assert get(last) == "1"
    # Whoever is killed meanwhile does not go on.
    shell = subprocess.Popen(["sh", "-c", f"echo 65536 >{ADMIN}/{T}/regions/nr_regions"])
    time.sleep(0.2)
    shell.kill()
    begin = time.monotonic()
    shell.wait()
    assert time.monotonic() - begin < 20
    put(f"{T}/regions/nr_regions", 1)
    put(MAX_NR_CONTEXTS, 64)
    put(f"{K}/contexts/nr_contexts", 64)
    put("kdamonds/nr_kdamonds", 1024)
    assert get("kdamonds/1023/state") == "off"


OPEN_FILES = (
    *(f"{INTERVALS}/sample_us", f"{NR_REGIONS}/max", f"{C}/operations", f"{C}/targets/nr_targets"),
    *(f"{T}/pid_target", f"{T}/regions/nr_regions", f"{R}/start", f"{C}/schemes/nr_schemes"),
)


@pytest.mark.stress
@pytest.mark.parametrize("remover", [f"{K}/contexts/nr_contexts", "kdamonds/nr_kdamonds"])
@pytest.mark.parametrize("nr", [0, 1])
def test_removal_while_files_are_open(remover: str, nr: int) -> None:
    paths = [*OPEN_FILES, *([f"{GOAL}/aggrs", f"{C}/addr_unit"] if IS_OURS else [])]
    if remover == "kdamonds/nr_kdamonds":
        paths += [f"{K}/state", f"{K}/contexts/nr_contexts"]
        paths += [f"{K}/refresh_ms"] if IS_OURS else []
    fds = [os.open(ADMIN / path, os.O_RDWR) for path in paths]
    put(remover, nr)
    try:
        for fd in fds:
            for use in (lambda fd: os.read(fd, 100), lambda fd: os.write(fd, b"1")):
                with pytest.raises(OSError) as failed:
                    use(fd)
                assert failed.value.errno == ENODEV
    finally:
        for fd in fds:
            os.close(fd)


# Start and stop


def test_states(victim: subprocess.Popen) -> None:
    state = f"{K}/state"
    assert error(state, "off") == EINVAL, "never started"
    for command in WHILE_IT_RUNS:
        assert error(state, command) == EINVAL
    for text in (*GARBAGE, b"ON", b"onn", b"on off", b"on\noff"):
        assert error(state, text) == EINVAL
    assert error(state, b"") == 0
    assert get(state) == "off" and kdamonds() == []

    assert error(state, "on\n") == 0
    assert get(state) == "on"
    assert [int(get(f"{K}/pid"))] == kdamonds()
    assert error(state, "on") == EBUSY
    for nr in (0, 1, 2):
        assert error("kdamonds/nr_kdamonds", nr) == EBUSY
    for command in WHILE_IT_RUNS:
        assert error(state, command) == 0, command
    for text in GARBAGE:
        assert error(state, text) == EINVAL
    assert get(state) == "on" and len(kdamonds()) == 1

    assert error(state, "off") == 0
    assert get(state) == "off" and get(f"{K}/pid") == "-1" and kdamonds() == []
    assert error(state, "off") == EPERM, "has stopped already"
    for command in WHILE_IT_RUNS:
        assert error(state, command) == EINVAL
    assert error(state, "on") == 0
    assert get(state) == "on"


def test_on_without_a_context() -> None:
    put(f"{K}/contexts/nr_contexts", 0)
    assert error(f"{K}/state", "on") == EINVAL
    assert get(f"{K}/state") == "off"


@pytest.mark.stress
def test_directories_may_change_while_it_runs(running: subprocess.Popen) -> None:
    put(f"{K}/contexts/nr_contexts", 0)
    assert error(f"{K}/state", "commit") == EINVAL
    if IS_OURS:
        put(MAX_NR_CONTEXTS, 2)
        put(f"{K}/contexts/nr_contexts", 2)
        assert error(f"{K}/state", "commit") == EINVAL
    put(f"{K}/contexts/nr_contexts", 1)
    assert get(f"{K}/state") == "on"
    assert error(f"{K}/state", "off") == 0


def two_targets() -> None:
    put(f"{C}/operations", "paddr")
    put(f"{C}/targets/nr_targets", 2)


def ranges(*pairs: tuple[int, int]) -> Callable[[], None]:
    def prepare() -> None:
        put(f"{T}/regions/nr_regions", len(pairs))
        for number, (start, end) in enumerate(pairs):
            put(f"{T}/regions/{number}/start", start)
            put(f"{T}/regions/{number}/end", end)

    return prepare


def physical(unit: int) -> Callable[[], None]:
    def prepare() -> None:
        put(f"{C}/operations", "paddr")
        put(f"{C}/addr_unit", unit)

    return prepare


def goal(access_bp: int, aggrs: int, low: int, high: int, folder: str = GOAL) -> Callable[[], None]:
    def prepare() -> None:
        values = {
            "access_bp": access_bp, "aggrs": aggrs, "min_sample_us": low, "max_sample_us": high,
        }  # fmt: skip
        for name, value in values.items():
            put(f"{folder}/{name}", value)

    return prepare


def never_tuned(folder: str = GOAL) -> None:
    """A goal whose time does not come: the files of what is tuned tell what is in use."""
    goal(1, 2**40, 1, 10**8, folder)()


UNSOUND = {
    "no process": lambda: put(f"{T}/pid_target", 0),
    "no such process": lambda: put(f"{T}/pid_target", 2**22 - 1),
    "a second target that is none": lambda: put(f"{C}/targets/nr_targets", 2),
    "sample above aggr": lambda: put(f"{INTERVALS}/sample_us", 100001),
    "fewer than three regions": lambda: put(f"{NR_REGIONS}/min", 2),
    "min above max": lambda: put(f"{NR_REGIONS}/max", 9),
    "two physical memories": two_targets,
    "ranges out of order": ranges((0x20000, 0x30000), (0x10000, 0x20000)),
    "ranges that overlap": ranges((0x10000, 0x30000), (0x20000, 0x40000)),
    "end before start": ranges((0x20000, 0x10000)),
}
if IS_OURS:
    UNSOUND |= {
        "intervals beyond time": lambda: put(f"{INTERVALS}/aggr_us", 2**64 - 1),
        "too many regions": lambda: put(f"{NR_REGIONS}/max", 2**64 - 1),
        "an empty range": ranges((0x10000, 0x10000)),
        "a second range that is empty": ranges((0x10000, 0x20000), (0, 0)),
        "a unit that is no power of 2": physical(3),
        "tuning never": goal(400, 0, 5000, 10000),
        "tuning beyond the goal's bounds": goal(400, 3, 10000, 20000),
        "tuning within no bounds": goal(400, 3, 10000, 1000),
    }


@pytest.mark.parametrize("why", UNSOUND)
def test_on_with_what_cannot_be(victim: subprocess.Popen, why: str) -> None:
    UNSOUND[why]()
    assert error(f"{K}/state", "on") == EINVAL
    assert get(f"{K}/state") == "off" and get(f"{K}/pid") == "-1" and kdamonds() == []
    assert error(f"{K}/state", "off") == EINVAL, "still never started"


SOUND = {
    "an interval as long as the other": lambda: put(f"{INTERVALS}/sample_us", 100000),
    "three regions": ranges((0x10000, 0x20000), (0x20000, 0x30000), (0x50000, 0x60000)),
    "little bounds": lambda: (put(f"{NR_REGIONS}/min", 3), put(f"{NR_REGIONS}/max", 3)),
    "a second target": lambda: (
        put(f"{C}/targets/nr_targets", 2),
        *(put(f"{C}/targets/{number}/pid_target", os.getpid()) for number in range(2)),
    ),
}
if IS_OURS:
    SOUND |= {
        "edges within pages": ranges((0x10001, 0x10002), (0x10002, 0x10003), (0x20FFF, 0x21001)),
        "as far as addresses go": ranges((2**64 - 0x2000, 2**64 - 1)),
        "a large unit": physical(2**20),
        "tuning": goal(400, 3, 5000, 10000),
        "bounds of what is not tuned": goal(0, 0, 10, 5),
    }


@pytest.mark.parametrize("operations", ["vaddr", "fvaddr", "paddr"])
@pytest.mark.parametrize("how", SOUND)
def test_on_with_what_can_be(victim: subprocess.Popen, operations: str, how: str) -> None:
    if operations == "paddr" and how == "a second target":
        pytest.skip("there is one physical memory")
    SOUND[how]()
    put(f"{C}/operations", operations)
    assert error(f"{K}/state", "on") == 0
    assert get(f"{K}/state") == "on"
    time.sleep(0.3)
    assert get(f"{K}/state") == "on"
    assert error(f"{K}/state", "commit") == 0
    assert error(f"{K}/state", "off") == 0


@pytest.mark.stress
def test_it_ends_with_its_target(running: subprocess.Popen) -> None:
    state = f"{K}/state"
    running.kill()
    running.wait()
    wait_until(lambda: get(state) == "off", "it noticed", 20)
    assert get(f"{K}/pid") == "-1" and kdamonds() == []
    assert error(state, "off") == EPERM
    for command in WHILE_IT_RUNS:
        assert error(state, command) == EINVAL
    assert error(state, "on") == EINVAL, "there is no such process any more"
    put(f"{T}/pid_target", os.getpid())
    assert error(state, "on") == 0
    assert error(state, "off") == 0


def test_a_target_that_nobody_has_waited_for(running: subprocess.Popen) -> None:
    """It is still there, and who started it may still want results."""
    running.kill()
    time.sleep(1)
    assert get(f"{K}/state") == "on"
    assert error(f"{K}/state", "update_schemes_stats") == 0
    running.wait()
    wait_until(lambda: get(f"{K}/state") == "off", "it noticed", 20)


def test_several_kdamonds(victim: subprocess.Popen) -> None:
    put("kdamonds/nr_kdamonds", 3)
    for number in range(3):
        context = f"kdamonds/{number}/contexts/0"
        put(f"kdamonds/{number}/contexts/nr_contexts", 1)
        put(f"{context}/targets/nr_targets", 1)
        put(f"{context}/targets/0/pid_target", victim.pid)
    for number in (0, 2):
        put(f"kdamonds/{number}/state", "on")
    assert [get(f"kdamonds/{number}/state") for number in range(3)] == ["on", "off", "on"]
    assert sorted(int(get(f"kdamonds/{number}/pid")) for number in (0, 2)) == sorted(kdamonds())
    put("kdamonds/0/state", "off")
    assert error("kdamonds/nr_kdamonds", 1) == EBUSY
    assert error("kdamonds/1/state", "commit") == EINVAL
    put("kdamonds/2/state", "off")
    assert error("kdamonds/nr_kdamonds", 1) == 0


# What runs, and what the files say


def in_use(context: str = C) -> tuple[str, str]:
    """The intervals by which the kdamond monitors, where there is a goal; the files then say so."""
    put(f"{K}/state", "update_tuned_intervals")
    intervals = f"{context}/monitoring_attrs/intervals"
    return get(f"{intervals}/sample_us"), get(f"{intervals}/aggr_us")


@ours
def test_commit(running: subprocess.Popen) -> None:
    kdamond = get(f"{K}/pid")
    put(f"{INTERVALS}/sample_us", 10000)
    assert in_use() == ("5000", "100000"), "what is written alone has no effect"
    put(f"{INTERVALS}/sample_us", 10000)
    put(f"{K}/state", "commit")
    assert in_use() == ("10000", "100000")
    put(f"{T}/pid_target", os.getpid())
    put(f"{K}/state", "commit")
    running.kill()
    running.wait()
    time.sleep(0.5)
    assert get(f"{K}/state") == "on", "it monitors another one now"
    for operations in ("paddr", "fvaddr", "vaddr"):
        put(f"{C}/operations", operations)
        ranges((0x10000, 0x20000))()
        put(f"{K}/state", "commit")
    assert get(f"{K}/pid") == kdamond


@pytest.mark.stress
@ours
@pytest.mark.parametrize("why", UNSOUND)
def test_a_commit_that_fails(running: subprocess.Popen, why: str) -> None:
    kdamond = get(f"{K}/pid")
    put(f"{INTERVALS}/sample_us", 6000)
    put(f"{INTERVALS}/aggr_us", 60000)
    put(f"{K}/state", "commit")
    put(f"{INTERVALS}/aggr_us", 70000)
    UNSOUND[why]()
    for _ in range(3):
        assert error(f"{K}/state", "commit") == EINVAL
    assert in_use() == ("6000", "60000")
    time.sleep(0.2)
    assert get(f"{K}/state") == "on" and get(f"{K}/pid") == kdamond
    running.kill()
    running.wait()
    wait_until(lambda: get(f"{K}/state") == "off", "it was still the same target", 20)


@pytest.mark.stress
@ours
def test_several_contexts(victim: subprocess.Popen) -> None:
    nr = 64
    put(MAX_NR_CONTEXTS, nr)
    put(f"{K}/contexts/nr_contexts", nr)
    assert error(f"{K}/contexts/nr_contexts", nr + 1) == EINVAL
    contexts = [f"{K}/contexts/{number}" for number in range(nr)]
    for number, context in enumerate(contexts):
        put(f"{context}/targets/nr_targets", 1)
        put(f"{context}/operations", "paddr" if number % 2 else "vaddr")
        put(f"{context}/targets/0/pid_target", victim.pid)
        put(f"{context}/monitoring_attrs/intervals/sample_us", 20000 + number)
        put(f"{context}/monitoring_attrs/intervals/aggr_us", 200000 + number)
        never_tuned(f"{context}/monitoring_attrs/intervals/intervals_goal")
    put(f"{contexts[-1]}/monitoring_attrs/nr_regions/min", 1)
    assert error(f"{K}/state", "on") == EINVAL, "all of them or none"
    put(f"{contexts[-1]}/monitoring_attrs/nr_regions/min", 10)
    put(f"{K}/state", "on")
    assert len(kdamonds()) == 1, "one thread serves all"

    for context in contexts:
        put(f"{context}/monitoring_attrs/intervals/sample_us", 30000)
    put(f"{contexts[-1]}/monitoring_attrs/nr_regions/min", 1)
    assert error(f"{K}/state", "commit") == EINVAL
    for number, context in enumerate(contexts):
        assert in_use(context) == (str(20000 + number), str(200000 + number))
    put(f"{contexts[-1]}/monitoring_attrs/nr_regions/min", 10)
    put(f"{contexts[0]}/monitoring_attrs/intervals/sample_us", 30000)
    put(f"{K}/state", "commit")
    assert in_use(contexts[0]) == ("30000", "200000")
    assert in_use(contexts[1]) == ("20001", "200001")

    put(f"{K}/contexts/nr_contexts", nr - 1)
    assert error(f"{K}/state", "commit") == EINVAL
    assert error(f"{K}/state", "update_tuned_intervals") == 0
    assert get(f"{contexts[0]}/monitoring_attrs/intervals/sample_us") == "30000"
    put(f"{K}/state", "off")


@ours
def test_tuned_intervals(running: subprocess.Popen) -> None:
    goal(400, 3, 5000, 40000)()
    put(f"{INTERVALS}/aggr_us", 50000)
    put(f"{K}/state", "commit")
    # A process that sleeps is not accessed: look at it less often.
    wait_until(lambda: in_use() == ("40000", "400000"), "it was tuned", 20)


@ours
def test_intervals_that_are_not_tuned(victim: subprocess.Popen) -> None:
    """What is written and not committed yet is not lost."""
    put(f"{K}/state", "on")
    put(f"{K}/refresh_ms", 1)
    put(f"{INTERVALS}/sample_us", 6000)
    put(f"{INTERVALS}/aggr_us", 60000)
    # A goal that is not committed yet changes nothing of it.
    never_tuned()
    put(f"{K}/state", "update_tuned_intervals")
    time.sleep(0.3)
    assert (get(f"{INTERVALS}/sample_us"), get(f"{INTERVALS}/aggr_us")) == ("6000", "60000")


@ours
def test_refresh(running: subprocess.Popen) -> None:
    path = f"{INTERVALS}/sample_us"
    put(path, 7000)
    put(f"{K}/refresh_ms", 20)
    wait_until(lambda: get(path) == "5000", "it was refreshed", 10)
    put(path, 8000)
    wait_until(lambda: get(path) == "5000", "and again", 10)
    put(f"{K}/refresh_ms", 0)
    time.sleep(0.1)
    put(path, 9000)
    time.sleep(0.3)
    assert get(path) == "9000"


@pytest.mark.stress
@ours
def test_refresh_of_what_starts_and_stops(victim: subprocess.Popen) -> None:
    never_tuned()
    put(f"{K}/refresh_ms", 1)
    for _ in range(5):
        time.sleep(0.05)
        put(f"{INTERVALS}/sample_us", 5000)
        wait_until(lambda: error(f"{K}/state", "on") == 0, "on", 10)
        put(f"{INTERVALS}/sample_us", 7000)
        wait_until(lambda: get(f"{INTERVALS}/sample_us") == "5000", "it was refreshed", 10)
        wait_until(lambda: error(f"{K}/state", "off") == 0, "off", 10)
        put(f"{INTERVALS}/sample_us", 7000)
        time.sleep(0.05)
        assert get(f"{INTERVALS}/sample_us") == "7000", "nothing runs"
    put(f"{K}/refresh_ms", 2**32 - 1)
    put(f"{K}/state", "on")
    put(f"{K}/state", "off")
    # Nobody is in the way of who removes it at once.
    for _ in range(20):
        put("kdamonds/nr_kdamonds", 1)
        put(f"{K}/refresh_ms", 1)
        put(f"{K}/contexts/nr_contexts", 1)
        put(f"{C}/targets/nr_targets", 1)
        put(f"{T}/pid_target", victim.pid)
        put(f"{K}/state", "on")
        wait_until(lambda: error(f"{K}/state", "off") == 0, "off", 10)
        assert error("kdamonds/nr_kdamonds", 0) == 0
    put("kdamonds/nr_kdamonds", 1)


# Many at once, and without memory


def anything(dice: random.Random, pids: list[int]) -> tuple[str, object]:
    """Some file of two kdamonds, and what to write into it."""
    values = [0, 1, 2, 3, 10, 4096, 100000, 2**64 - 1, -1, "", "x", "vaddr", "paddr", "fvaddr"]
    kdamond = f"kdamonds/{dice.randrange(2)}"
    context = f"{kdamond}/contexts/{dice.randrange(2)}"
    target = f"{context}/targets/{dice.randrange(2)}"
    intervals = f"{context}/monitoring_attrs/intervals"
    return dice.choice(
        [
            ("kdamonds/nr_kdamonds", dice.randrange(3)),
            (f"{kdamond}/contexts/nr_contexts", dice.randrange(3)),
            (f"{kdamond}/contexts/max_nr_contexts", 2),
            (f"{context}/targets/nr_targets", dice.randrange(3)),
            (f"{target}/regions/nr_regions", dice.randrange(3)),
            *[(f"{target}/pid_target", dice.choice(pids))] * 3,
            *[(f"{kdamond}/state", dice.choice(["on", "on", "off", *WHILE_IT_RUNS]))] * 6,
            (f"{context}/operations", dice.choice(["vaddr", "fvaddr", "paddr"])),
            (f"{intervals}/sample_us", dice.choice([1000, 5000])),
            (f"{intervals}/aggr_us", dice.choice([10000, 100000])),
            (f"{context}/monitoring_attrs/nr_regions/max", dice.choice([10, 1000])),
            (f"{target}/regions/{dice.randrange(2)}/end", dice.choice(values)),
            (f"{target}/regions/{dice.randrange(2)}/start", dice.choice(values)),
            (f"{kdamond}/refresh_ms", dice.choice([0, 1, 10])),
            (f"{context}/addr_unit", dice.choice(values)),
        ]
    )


@pytest.mark.stress
def test_many_writers(victim: subprocess.Popen, log: None) -> None:
    pids = [0, victim.pid, os.getpid()]
    seen = meddle(lambda dice: anything(dice, pids), seconds=12)
    print("errors seen:", sorted(seen))
    assert 0 in seen and seen <= {0, *HARMLESS}
    all_off()
    assert kdamonds() == []
    put("kdamonds/nr_kdamonds", 1)


@pytest.mark.stress
def test_readers_beside_a_remover(log: None) -> None:
    """Who reads never sees anything but what is there, or that it is gone."""
    seen: set[str | int] = set()
    until = time.monotonic() + 3

    def read() -> None:
        while time.monotonic() < until:
            for path in (f"{T}/pid_target", f"{INTERVALS}/sample_us", f"{K}/state"):
                try:
                    seen.add((ADMIN / path).read_text())
                except OSError as failed:
                    seen.add(failed.errno or -1)

    lists = ("kdamonds/nr_kdamonds", f"{K}/contexts/nr_contexts", f"{C}/targets/nr_targets")
    with beside(read, read, read):
        while time.monotonic() < until:
            for path in lists:
                assert error(path, 1) in (0, EBUSY, ENOENT)
    assert {"0\n", "5000\n", "off\n"} <= seen
    assert seen <= {"0\n", "5000\n", "off\n", EBUSY, ENODEV, ENOENT}


@pytest.mark.stress
@ours
def test_commands_beside_commands(running: subprocess.Popen, log: None) -> None:
    """Off is never kept waiting, and what waits for a kdamond that ends is told so."""
    seen: set[int] = set()
    until = time.monotonic() + 5

    def call(command: str) -> None:
        while time.monotonic() < until:
            seen.add(error(f"{K}/state", command))

    put(f"{K}/refresh_ms", 1)
    turns = 0
    with beside(*(partial(call, word) for word in WHILE_IT_RUNS)):
        while time.monotonic() < until:
            turns += error(f"{K}/state", "off") == 0
            error(f"{K}/state", "on")
    assert turns and 0 in seen
    assert seen <= {0, EINVAL, EBUSY, ECANCELED}


@pytest.mark.stress
@pytest.mark.skipif(not FAIL_NTH.exists(), reason="a kernel without fault injection")
def test_without_memory(log: None) -> None:
    """Each allocation fails once: there are all directories or none, and it runs or not."""
    if IS_OURS:
        put(MAX_NR_CONTEXTS, 2)
    for path in (f"{T}/regions/nr_regions", f"{C}/targets/nr_targets",
                 f"{K}/contexts/nr_contexts", "kdamonds/nr_kdamonds"):  # fmt: skip
        folder = (ADMIN / path).parent
        failures = 0
        for number in failing(path, 2):
            nr = sum(entry.is_dir() for entry in folder.iterdir())
            assert get(path) == str(nr)
            # The first that fails is kernfs's own: nothing has happened then.
            assert (number, nr) in ((0, 2), (ENOMEM, 0 if failures else 1))
            failures += number != 0
        assert failures > 3
        if path.startswith(K):
            put(path, 1)
    put("kdamonds/nr_kdamonds", 1)
    if IS_OURS:
        put(MAX_NR_CONTEXTS, 2)
    put(f"{K}/contexts/nr_contexts", 2)
    for context in (f"{K}/contexts/0", f"{K}/contexts/1"):
        put(f"{context}/targets/nr_targets", 1)
        put(f"{context}/targets/0/pid_target", os.getpid())
        put(f"{context}/targets/0/regions/nr_regions", 1)
        put(f"{context}/targets/0/regions/0/end", 2**30)
    for number in failing(f"{K}/state", "on"):
        assert number in (0, ENOMEM)
        assert get(f"{K}/state") == ("off" if number else "on")
        if not number:
            put(f"{K}/state", "off")
    put(f"{K}/state", "on")
    for number in failing(f"{K}/state", "commit"):
        assert number in (0, ENOMEM)
        assert get(f"{K}/state") == "on"
    for number in failing(f"{K}/state", "update_tuned_intervals"):
        assert number in (0, ENOMEM)
    put(f"{K}/state", "off")
