# SPDX-License-Identifier: GPL-2.0
"""DAMON's debugfs interface, for a kernel that has it: what its files take, tell and refuse.

What is not marked with `ours` passes on upstream's kernel as well, and so says what its ABI is.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from errno import (
    E2BIG,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    EIO,
    ENAMETOOLONG,
    ENOENT,
    ENOMEM,
    ENOSPC,
    EPERM,
    ERANGE,
    ESRCH,
)
from pathlib import Path

import pytest
from faults import FAIL_NTH, GARBAGE, failing
from files import C, K, beside, error, get, meddle, ours
from tracing import traced

from guest import IS_OURS, kdamonds, put, wait_until

D = Path("/sys/kernel/debug/damon")
pytestmark = pytest.mark.skipif(not D.is_dir(), reason="a kernel without DAMON in debugfs")

# What is written to is absolute: it does not matter that the helpers begin with sysfs.
ATTRS = f"{D}/attrs"
TARGET_IDS = f"{D}/target_ids"
INIT_REGIONS = f"{D}/init_regions"
SCHEMES = f"{D}/schemes"
KDAMOND_PID = f"{D}/kdamond_pid"
MONITOR_ON = f"{D}/monitor_on_DEPRECATED"
MK_CONTEXTS = f"{D}/mk_contexts"
RM_CONTEXTS = f"{D}/rm_contexts"

NOTICE = (
    "DAMON debugfs interface is deprecated, so users should move to DAMON_SYSFS. If you cannot, "
    "please report your usecase to damon@lists.linux.dev and linux-mm@kvack.org.\n"
)
MOST = 2**64 - 1
DEFAULTS = "5000 100000 60000000 10 1000\n"
OF_A_CONTEXT = {
    "attrs": (0o600, DEFAULTS),
    "target_ids": (0o600, "\n"),
    "init_regions": (0o600, ""),
    "schemes": (0o600, ""),
    "kdamond_pid": (0o400, "none\n"),
}
OF_THE_TOP = {
    **OF_A_CONTEXT,
    "monitor_on_DEPRECATED": (0o600, "off\n"),
    "mk_contexts": (0o200, None),
    "rm_contexts": (0o200, None),
    "DEPRECATED": (0o400, NOTICE),
}
"""The files of a directory: mode, and text, or that it cannot be read."""

QUIET = "5000 100000 1000000 10 1000"
STAT = f"0 {MOST} 0 {2**32 - 1} 0 {2**32 - 1} 5 0 0 0 0 0 0 0 0 0 0 0"
"""A scheme that counts all memory."""
NOTHING = "0 0 0 0 0 0 5 0 0 0 0 0 0 0 0 0 0 0"
PAGEOUT = "4096 8192 0 5 10 20 2 10 1073741824 1000 0 0 100 1 5000000 600 500 300"


def text(path: str | Path) -> str:
    return Path(path).read_text()


def stats(scheme: int = 0) -> list[int]:
    """What a scheme has done: tried and their bytes, applied and theirs, quota exceeded."""
    return [int(word) for word in text(SCHEMES).splitlines()[scheme].split()[-5:]]


def contexts() -> list[str]:
    """The names of the contexts that were made."""
    return sorted(os.fsdecode(entry.name) for entry in os.scandir(D) if entry.is_dir())


def clear() -> None:
    """Everything as it was at boot."""
    error(MONITOR_ON, "off")
    wait_until(lambda: not kdamonds(), "no kdamonds", 20)
    for name in contexts():
        assert error(RM_CONTEXTS, os.fsencode(name)) == 0
    # Upstream takes an empty text for what was written before.
    for path, what in ((ATTRS, DEFAULTS), (TARGET_IDS, "\n"), (SCHEMES, "\n")):
        assert error(path, what) == 0


@pytest.fixture(autouse=True)
def as_it_was(nothing_left_behind: None) -> Iterator[None]:
    yield
    clear()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen]:
    """A process to monitor, set as the target."""
    process = subprocess.Popen(["sleep", "1000"])
    assert error(TARGET_IDS, process.pid) == 0
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def running(victim: subprocess.Popen) -> subprocess.Popen:
    assert error(MONITOR_ON, "on") == 0
    return victim


# The files


def found(folder: Path) -> dict[str, tuple[int, str | None]]:
    files: dict[str, tuple[int, str | None]] = {}
    for path in folder.iterdir():
        content = None
        with suppress(OSError):
            content = path.read_text()
        # Upstream's are all alike, whether they can be read, or written, or not.
        mode = path.stat().st_mode & 0o7777 if IS_OURS else OF_THE_TOP[path.name][0]
        files[path.name] = (mode, content)
    return files


def test_all_files_with_mode_and_default() -> None:
    assert found(D) == OF_THE_TOP
    for name in ("mk_contexts", "rm_contexts"):
        with pytest.raises(OSError) as failed:
            text(D / name)
        assert failed.value.errno == EINVAL
    assert error(f"{D}/DEPRECATED", "x") == EINVAL
    assert error(KDAMOND_PID, "1") == EINVAL


def test_the_files_of_a_context_that_is_made() -> None:
    assert error(MK_CONTEXTS, "some") == 0
    assert contexts() == ["some"]
    assert found(D / "some") == OF_A_CONTEXT
    assert error(f"{D}/some/attrs", "1 2 3 4 5") == 0
    assert text(D / "some/attrs") == "1 2 3 4 5\n" and text(ATTRS) == DEFAULTS
    assert error(RM_CONTEXTS, "some") == 0
    assert contexts() == []


def test_only_root_may_look() -> None:
    result = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", "cat", ATTRS],
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0 and "denied" in result.stderr


# attrs


def test_attrs() -> None:
    for what, told in {
        "1 2 3 4 5": "1 2 3 4 5\n",
        "\t10 20\n30  40 50\n": "10 20 30 40 50\n",
        "0 0 0 3 3": "0 0 0 3 3\n",
        f"{QUIET}\0": f"{QUIET}\n",
        f"{QUIET}{' ' * 5000}": f"{QUIET}\n",
    }.items():
        assert error(ATTRS, what) == 0
        assert text(ATTRS) == told


WRONG_ATTRS = ("", "\n", "1 2 3 4", "x", "1 2 x 4 5", "-1 2 3 4 5", "0x1 2 3 4 5", "1,2,3,4,5",
               "1 2 3 5 4", "1 2 3 2 5", "2 1 3 4 5", b"\xff\xfe\0\1", b"1 2 3\0 4 5", "1" * 5000,
               *GARBAGE)  # fmt: skip
MORE_THAN_ATTRS = ("1 2 3 4 5 6", "1 2 3 4 5x", "1 2 3 4 5 x", "1 2 3 4 5.0", b"1 2 3 4 5\0 x")


@pytest.mark.parametrize("what", WRONG_ATTRS + (MORE_THAN_ATTRS if IS_OURS else ()))
def test_attrs_that_cannot_be(what: object) -> None:
    assert error(ATTRS, what) in (EINVAL, ERANGE)
    assert text(ATTRS) == DEFAULTS


@ours
def test_attrs_that_are_too_large() -> None:
    assert error(ATTRS, f"1 2 {2**64} 3 5") == ERANGE
    assert error(ATTRS, f"1 2 3 4 {2**31}") == EINVAL
    assert error(ATTRS, f"1 {MOST} 3 4 5") == EINVAL
    assert text(ATTRS) == DEFAULTS


# target_ids


def test_target_ids(victim: subprocess.Popen) -> None:
    pid, mine = victim.pid, os.getpid()
    for what, told in {
        f"{pid}": f"{pid}\n",
        f"{pid} {mine}\n": f"{pid} {mine}\n",
        f" {mine}\n{pid}\t": f"{mine} {pid}\n",
        f"{pid} {pid}": f"{pid} {pid}\n",
        "paddr\n": "42\n",
        "\n": "\n",
        "paddr": "42\n",
        f"{pid}\0": f"{pid}\n",
        # The first word that is no number ends the list.
        f"{pid} {mine} abc {pid}": f"{pid} {mine}\n",
        f"abc {pid}": "\n",
        "vaddr": "\n",
        "paddr paddr": "\n",
        b"\xff\xfe": "\n",
    }.items():
        assert error(TARGET_IDS, what) == 0
        assert text(TARGET_IDS) == told


@ours
def test_target_ids_that_cannot_be(victim: subprocess.Popen) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    before = text(TARGET_IDS)
    for what, number in {
        f"{gone.pid}": ESRCH,
        f"{victim.pid} {gone.pid}": ESRCH,
        "0": ESRCH,
        "-1": ESRCH,
        f"{2**31}": ERANGE,
        f"{2**64 + victim.pid}": ERANGE,
        f"{victim.pid}\0{victim.pid}": EINVAL,
        f"{victim.pid} " * 16385: E2BIG,
    }.items():
        assert error(TARGET_IDS, what) == number, what
        assert text(TARGET_IDS) == before
    assert error(TARGET_IDS, f"{victim.pid} " * 16384) == 0
    assert text(TARGET_IDS) == f"{victim.pid} " * 16383 + f"{victim.pid}\n"
    assert error(TARGET_IDS, b"") == 0
    assert text(TARGET_IDS) == "\n"


def test_the_id_of_a_process_that_has_ended(victim: subprocess.Popen) -> None:
    victim.kill()
    victim.wait()
    assert text(TARGET_IDS) == f"{victim.pid}\n"
    assert error(MONITOR_ON, "on") == 0
    wait_until(lambda: text(MONITOR_ON) == "off\n", "it noticed", 20)
    assert text(TARGET_IDS) == "\n"


@ours
def test_ids_are_those_of_who_reads(victim: subprocess.Popen) -> None:
    command = ["unshare", "--pid", "--fork", "cat", TARGET_IDS]
    assert subprocess.check_output(command, text=True) == "0\n", "it has none there"


def pids_in_use() -> int:
    with suppress(OSError):
        # Those that a CPU keeps free for itself do not count as free.
        Path("/sys/kernel/slab/pid/shrink").write_text("1")
    for line in text("/proc/slabinfo").splitlines():
        if line.startswith("pid "):
            return int(line.split()[1])
    pytest.skip("the kernel does not tell how many process ids it keeps")


@pytest.mark.stress
def test_no_process_id_is_kept() -> None:
    """With each way in which targets go."""
    for way in ("replaced", "wrong", "started", "removed"):
        before = pids_in_use()
        for _ in range(60):
            child = os.fork()
            if not child:
                time.sleep(1000)
            if way == "removed":
                assert error(MK_CONTEXTS, "some") == 0
                assert error(f"{D}/some/target_ids", child) == 0
                assert error(f"{D}/some/init_regions", "0 4096 8192") == 0
                assert error(RM_CONTEXTS, "some") == 0
            elif way == "wrong":
                # Upstream has another number for it.
                assert error(TARGET_IDS, f"{child} {child} 0") != 0
            else:
                assert error(TARGET_IDS, child) == 0
            if way == "started":
                assert error(MONITOR_ON, "on") == 0
                assert error(MONITOR_ON, "off") == 0
            os.kill(child, 9)
            os.waitpid(child, 0)
        if way == "replaced":
            assert error(TARGET_IDS, "\n") == 0
        # Ids are freed some time after the last use.
        wait_until(lambda: pids_in_use() - before < 20, f"they are free again: {way}", 20)  # noqa: B023


# init_regions


def test_init_regions(victim: subprocess.Popen) -> None:
    assert error(TARGET_IDS, f"{victim.pid} {os.getpid()}") == 0
    assert text(INIT_REGIONS) == ""
    for what, told in {
        "0   1       100 \\\n": None,
        "0   1       100      0   100     200    1   20      40  \n  1   50      100": (
            "0 1 100\n0 100 200\n1 20 40\n1 50 100\n"
        ),
        "1 1 100 0 1 100": "0 1 100\n1 1 100\n",
        "0 1 100 1 2 3 0 200 300": "0 1 100\n0 200 300\n1 2 3\n",
        f"0 0 {MOST}": f"0 0 {MOST}\n",
        "\n": "",
    }.items():
        if told is not None:
            assert error(INIT_REGIONS, what) == 0
            assert text(INIT_REGIONS) == told
    assert error(INIT_REGIONS, "0 4096 8192") == 0
    assert error(TARGET_IDS, victim.pid) == 0
    assert text(INIT_REGIONS) == "", "they are those of the targets"
    assert error(TARGET_IDS, "paddr\n") == 0
    assert error(INIT_REGIONS, "0 4096 8192") == 0
    assert text(INIT_REGIONS) == "0 4096 8192\n"
    assert text(TARGET_IDS) == "42\n"


def test_init_regions_that_cannot_be(victim: subprocess.Popen) -> None:
    for what in ("1 1 100", "-1 1 100", "0 1 100 0 99 200", "0 100 200 0 1 50", "0 5 5", "0 6 5"):
        # Upstream takes what is before the first that is no number.
        assert error(INIT_REGIONS, what) == EINVAL
        assert text(INIT_REGIONS) == ""


@ours
def test_init_regions_stay_where_others_cannot_be(victim: subprocess.Popen) -> None:
    assert error(INIT_REGIONS, "0 4096 8192") == 0
    for what in ("1 1 100", "0 1", "0 1 2 0", "x", "0 1 x", "0 5 5", "0x0 1 2", b"\xff", "0 1.5 2"):
        assert error(INIT_REGIONS, what) == EINVAL, what
    assert error(INIT_REGIONS, f"0 0 {2**64}") == ERANGE
    most = 65536
    many = "".join(f"0 {at * 8192} {at * 8192 + 4096}\n" for at in range(most + 1))
    assert error(INIT_REGIONS, many) == E2BIG
    assert text(INIT_REGIONS) == "0 4096 8192\n"
    many = many[: many.rindex("\n", 0, -1) + 1]
    assert error(INIT_REGIONS, many) == 0
    assert text(INIT_REGIONS) == many
    assert error(MONITOR_ON, "on") == EINVAL, "there may be a thousand regions"
    assert error(ATTRS, f"5000 100000 1000000 10 {most}") == 0
    assert error(MONITOR_ON, "on") == 0
    time.sleep(0.5)
    assert error(MONITOR_ON, "off") == 0


# schemes


def test_schemes() -> None:
    nothing_yet = " 0 0 0 0 0\n"
    for what, told in {
        PAGEOUT: PAGEOUT + nothing_yet,
        f"{STAT}\n{PAGEOUT}\n\n": STAT + nothing_yet + PAGEOUT + nothing_yet,
        f"{STAT} {NOTHING}": STAT + nothing_yet + NOTHING + nothing_yet,
        "\n": "",
        "1 2 3 4 5 6 4 0 0 0 1 2 3 1 100 3 2 1": "1 2 3 4 5 6 4 0 0 0 1 2 3 1 100 3 2 1"
        + nothing_yet,
        **{
            f"1 2 3 4 5 6 {action} 0 0 0 0 0 0 0 0 0 0 0": f"1 2 3 4 5 6 {action}"
            + " 0" * 11
            + nothing_yet
            for action in range(6)
        },
        b"": "",
    }.items():
        assert error(SCHEMES, what) == 0
        assert text(SCHEMES) == told


WRONG_SCHEMES = (
    "2 1 0 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 1 0 0 0 2 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 1 0 2 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 0 0 6 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 0 0 1000 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 0 0 2 0 0 0 0 0 0 1 0 500 600 300",
    "0 0 0 0 0 0 2 0 0 0 0 0 0 1 0 600 300 500",
)
NO_SCHEMES = (
    f"{PAGEOUT} 1",
    f"{PAGEOUT}\n1 2 3",
    PAGEOUT.rsplit(" ", 1)[0],
    "4096 8192 0 5 10 20 2",
    "0 0 0 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 0 0 pageout 0 0 0 0 0 0 0 0 0 0 0",
    "0 0 0 0 0 0 2 0 0 0 0 0 0 2 0 0 0 0",
    b"\xff\0",
    "x",
)


@pytest.mark.parametrize("what", WRONG_SCHEMES + (NO_SCHEMES if IS_OURS else ()))
def test_schemes_that_cannot_be(what: object) -> None:
    assert error(SCHEMES, NOTHING) == 0
    before = text(SCHEMES)
    assert error(SCHEMES, what) == EINVAL
    assert text(SCHEMES) == before
    if isinstance(what, str):
        assert error(SCHEMES, f"{STAT}\n{what}") == EINVAL, "all of them or none"
        assert text(SCHEMES) == before


@ours
def test_many_schemes(victim: subprocess.Popen) -> None:
    assert error(SCHEMES, f"{STAT}\n" * 257) == E2BIG
    assert text(SCHEMES) == ""
    assert error(SCHEMES, f"{STAT}\n" * 256) == 0
    assert len(text(SCHEMES).splitlines()) == 256
    assert error(MONITOR_ON, "on") == 0
    wait_until(lambda: all(stats(number)[0] for number in (0, 255)), "all of them are tried", 60)
    assert error(MONITOR_ON, "off") == 0


def test_what_schemes_have_done(victim: subprocess.Popen) -> None:
    assert error(SCHEMES, f"{STAT}\n{NOTHING}\n") == 0
    assert error(MONITOR_ON, "on") == 0
    wait_until(lambda: stats()[0], "it is tried", 30)
    first = stats()
    assert first[1] >= 4096 * first[0] and first[2:] == [0, 0, 0]
    wait_until(lambda: stats()[0] > first[0], "and again", 30)
    assert error(MONITOR_ON, "off") == 0
    last = stats()
    assert last[0] > first[0] and stats(1) == [0] * 5
    time.sleep(0.3)
    assert stats() == last, "it is over"
    assert error(TARGET_IDS, victim.pid) == 0
    assert stats() == last
    assert error(MONITOR_ON, "on") == 0
    wait_until(lambda: stats()[0] > last[0], "it goes on from there", 30)


def test_a_scheme_that_acts(victim: subprocess.Popen) -> None:
    """Memory that is cold is given back."""
    size = 16 << 20
    source = f"import time; memory = bytearray(b'x' * {size}); print(flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        assert error(ATTRS, "5000 50000 1000000 10 1000") == 0
        # MADV_COLD needs no swap.
        assert error(SCHEMES, f"4096 {MOST} 0 0 2 {2**32 - 1} 1 0 0 0 0 0 0 0 0 0 0 0") == 0
        assert error(TARGET_IDS, process.pid) == 0
        assert error(MONITOR_ON, "on") == 0
        wait_until(lambda: stats()[3] >= size // 2, "it was applied", 60)
        assert error(MONITOR_ON, "off") == 0
        process.kill()


# on and off


def test_on_and_off(victim: subprocess.Popen) -> None:
    assert error(MONITOR_ON, "off") == EPERM
    for _ in range(5):
        assert error(TARGET_IDS, victim.pid) == 0
        assert error(MONITOR_ON, " on\n") == 0
        assert error(MONITOR_ON, "on") == EBUSY
        assert text(MONITOR_ON) == "on\n"
        assert [get(KDAMOND_PID)] == [str(pid) for pid in kdamonds()]
        assert error(MONITOR_ON, "off\n") == 0
        assert error(MONITOR_ON, "off\n") == EPERM
        assert text(MONITOR_ON) == "off\n" and text(KDAMOND_PID) == "none\n"
        assert kdamonds() == []
        assert text(TARGET_IDS) == "\n" and text(INIT_REGIONS) == ""
        assert error(MONITOR_ON, "on") == EINVAL, "there is nothing to monitor"


@pytest.mark.parametrize("what", ["", "\n", "x", "On", "ON", "1", "on1", "on off", *GARBAGE])
def test_neither_on_nor_off(what: object) -> None:
    assert error(TARGET_IDS, os.getpid()) == 0
    assert error(MONITOR_ON, what) == EINVAL
    assert text(MONITOR_ON) == "off\n" and kdamonds() == []


def test_physical_memory() -> None:
    assert error(TARGET_IDS, "paddr\n") == 0
    assert error(MONITOR_ON, "on") == 0, "without regions"
    assert error(MONITOR_ON, "off") == 0
    assert error(INIT_REGIONS, f"0 {16 << 20} {256 << 20}") == 0
    assert error(SCHEMES, STAT) == 0
    assert error(MONITOR_ON, "on") == 0
    assert text(TARGET_IDS) == "42\n"
    wait_until(lambda: stats()[0], "it is monitored", 30)
    assert error(MONITOR_ON, "off") == 0
    assert text(TARGET_IDS) == "42\n"
    assert error(MONITOR_ON, "on") == 0, "it is still there"


@ours
def test_regions_of_physical_memory_stay() -> None:
    start, end = 16 << 20, 256 << 20
    assert error(TARGET_IDS, "paddr\n") == 0
    assert error(INIT_REGIONS, f"0 {start} {end}") == 0
    for _ in range(2):
        assert error(MONITOR_ON, "on") == 0
        time.sleep(0.5)
        assert error(MONITOR_ON, "off") == 0
        regions = [[int(word) for word in line.split()] for line in text(INIT_REGIONS).splitlines()]
        assert regions[0][1] == start and regions[-1][2] == end and len(regions) <= 1000
        assert all(one[2] == next_[1] for one, next_ in itertools.pairwise(regions))


@ours
def test_an_action_that_physical_memory_has_not(victim: subprocess.Popen) -> None:
    assert error(MK_CONTEXTS, "some") == 0
    assert error(f"{D}/some/schemes", "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0") == 0
    assert error(f"{D}/some/target_ids", "paddr\n") == 0
    assert error(MONITOR_ON, "on") == EINVAL
    assert text(D / "some/target_ids") == "42\n" and text(MONITOR_ON) == "off\n"
    assert text(TARGET_IDS) == f"{victim.pid}\n" and text(INIT_REGIONS) == "", "not even begun"


def test_nothing_changes_while_it_runs(running: subprocess.Popen) -> None:
    before = (text(ATTRS), text(TARGET_IDS), text(SCHEMES))
    for path, what in (
        (ATTRS, QUIET),
        (TARGET_IDS, running.pid),
        (TARGET_IDS, "paddr\n"),
        (TARGET_IDS, "\n"),
        (INIT_REGIONS, "0 4096 8192"),
        (INIT_REGIONS, "\n"),
        (SCHEMES, STAT),
        (SCHEMES, "\n"),
        (MK_CONTEXTS, "some"),
        (RM_CONTEXTS, "some"),
    ):
        assert error(path, what) == EBUSY, path
    with pytest.raises(OSError) as failed:
        text(INIT_REGIONS)
    assert failed.value.errno == EBUSY
    assert (text(ATTRS), text(TARGET_IDS), text(SCHEMES)) == before
    assert contexts() == []


def test_it_ends_with_its_target(running: subprocess.Popen) -> None:
    running.kill()
    time.sleep(0.5)
    assert text(MONITOR_ON) == "on\n", "nobody has waited for it"
    assert text(TARGET_IDS) == f"{running.pid}\n"
    running.wait()
    wait_until(lambda: text(MONITOR_ON) == "off\n", "it noticed", 20)
    assert text(KDAMOND_PID) == "none\n" and text(TARGET_IDS) == "\n"
    assert error(MONITOR_ON, "off") == EPERM
    assert error(ATTRS, QUIET) == 0
    assert error(MONITOR_ON, "on") == EINVAL


def test_regions_are_recorded(running: subprocess.Popen) -> None:
    """The tracepoint tells what is monitored, by whom, and of what the regions are."""
    with traced("damon/damon_aggregated") as trace:
        wait_until(lambda: len(trace.events()) > 20, "events", 30)
        lines = (trace.path / "trace").read_text().splitlines()
    lines = [line for line in lines if "damon_aggregated:" in line]
    assert all("target_id=0 nr_regions=" in line for line in lines)
    assert all(f"kdamond.0-{get(KDAMOND_PID)} " in line for line in lines)
    stack = next(
        line for line in text(f"/proc/{running.pid}/maps").splitlines() if "[stack]" in line
    )
    start = int(stack.split("-")[0], 16)
    ranges = [line.split(":")[-2].split()[-1].split("-") for line in lines]
    assert any(int(low) <= start < int(high) for low, high in ranges)


# Several contexts


def test_contexts_have_a_kdamond_each(victim: subprocess.Popen) -> None:
    for name in ("one", "another"):
        assert error(MK_CONTEXTS, name) == 0
    assert error(f"{D}/one/target_ids", os.getpid()) == 0
    assert error(MONITOR_ON, "on") == EINVAL, "all of them or none"
    assert text(MONITOR_ON) == "off\n" and kdamonds() == []
    assert text(TARGET_IDS) == f"{victim.pid}\n"
    assert error(f"{D}/another/target_ids", "paddr\n") == 0
    assert error(MONITOR_ON, "on") == 0
    pids = [get(f"{D}/{place}kdamond_pid") for place in ("", "one/", "another/")]
    assert sorted(map(int, pids)) == sorted(kdamonds()) and len(set(pids)) == 3
    assert error(RM_CONTEXTS, "one") == EBUSY
    assert error(f"{D}/one/attrs", QUIET) == EBUSY
    victim.kill()
    victim.wait()
    wait_until(lambda: text(KDAMOND_PID) == "none\n", "one of them ended", 20)
    assert text(MONITOR_ON) == "on\n"
    assert error(MONITOR_ON, "on") == EBUSY
    assert error(MK_CONTEXTS, "third") == EBUSY
    assert error(MONITOR_ON, "off") == 0
    assert kdamonds() == []
    assert [text(D / place / "target_ids") for place in ("", "one", "another")] == [
        "\n",
        "\n",
        "42\n",
    ]


def test_names_that_are_taken() -> None:
    assert error(MK_CONTEXTS, "some\n") == 0
    for name in ("some", "some\n", *OF_THE_TOP):
        assert error(MK_CONTEXTS, name) == EEXIST, name
    assert contexts() == ["some"]


def test_names(log: None) -> None:
    names = ["a", "x" * 255, "é", b"\xff", "-", "...", "with.dots", "kdamond"]
    for name in names:
        assert error(MK_CONTEXTS, name) == 0
    assert contexts() == sorted(
        os.fsdecode(name) if isinstance(name, bytes) else name for name in names
    )
    for name in names:
        assert error(RM_CONTEXTS, name) == 0
    assert contexts() == []


@pytest.mark.parametrize("path", [MK_CONTEXTS, RM_CONTEXTS])
def test_names_that_cannot_be(path: str, log: None) -> None:
    assert error(MK_CONTEXTS, "some") == 0
    for name in ("", "\n", " ", ".", "..", "/", "a/b", "/some", "some/", "some/attrs", "../damon",
                 "some/../some", "some other", "x" * 256, "x" * 5000, b"a\0b"):  # fmt: skip
        number = error(path, name)
        if IS_OURS:
            assert number == (ENAMETOOLONG if len(name) > 255 else EINVAL), name
        elif name not in ("some other", b"a\0b"):
            assert number != 0, name
    if IS_OURS:
        assert contexts() == ["some"]


def test_what_is_no_context_is_not_removed(log: None) -> None:
    assert error(RM_CONTEXTS, "nothing") == ENOENT
    for name in OF_THE_TOP:
        assert error(RM_CONTEXTS, name) == EINVAL, name
    assert found(D) == OF_THE_TOP


def test_a_file_that_is_open_when_its_context_goes() -> None:
    assert error(MK_CONTEXTS, "some") == 0
    fds = [os.open(D / "some" / name, os.O_RDWR) for name in OF_A_CONTEXT]
    assert os.read(fds[0], 3) == b"500"
    assert error(RM_CONTEXTS, "some") == 0
    for fd in fds:
        with pytest.raises(OSError) as failed:
            os.read(fd, 100)
        assert failed.value.errno == EIO
        with pytest.raises(OSError) as failed:
            os.write(fd, b"1 2 3 4 5")
        assert failed.value.errno in (EIO, EINVAL)
        os.close(fd)


@ours
def test_many_contexts(log: None) -> None:
    for number in range(1024):
        assert error(MK_CONTEXTS, f"c{number}") == 0
    assert error(MK_CONTEXTS, "more") == ENOSPC
    for place in ["", *(f"c{number}/" for number in range(1024))]:
        assert error(f"{D}/{place}target_ids", "paddr") == 0
        assert error(f"{D}/{place}attrs", "1000000 20000000 1000000 10 1000") == 0
    assert error(MONITOR_ON, "on") == 0
    assert len(kdamonds()) == 1025
    assert error(MONITOR_ON, "off") == 0


# Parts, much, and many at once


def test_reading_in_parts(victim: subprocess.Popen) -> None:
    assert error(SCHEMES, f"{PAGEOUT}\n{STAT}\n") == 0
    for path in (ATTRS, TARGET_IDS, SCHEMES, MONITOR_ON, KDAMOND_PID):
        whole = Path(path).read_bytes()
        fd = os.open(path, os.O_RDONLY)
        parts = list(iter(lambda: os.read(fd, 7), b""))  # noqa: B023
        os.close(fd)
        assert b"".join(parts) == whole and all(len(part) == 7 for part in parts[:-1])


def test_writing_in_parts() -> None:
    """The second part is not taken for a whole."""
    fd = os.open(ATTRS, os.O_RDWR)
    assert os.read(fd, 3) == b"500"
    with pytest.raises(OSError) as failed:
        os.write(fd, b"1 2 3 4 5")
    assert failed.value.errno == EINVAL
    os.close(fd)
    assert text(ATTRS) == DEFAULTS


@ours
def test_writing_twice() -> None:
    fd = os.open(ATTRS, os.O_WRONLY)
    assert os.write(fd, b"1 2 3 4 5") == 9
    with pytest.raises(OSError) as failed:
        os.write(fd, b"5 6 7 8 9")
    assert failed.value.errno == EINVAL
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.write(fd, b"5 6 7 8 9") == 9
    os.close(fd)
    assert text(ATTRS) == "5 6 7 8 9\n"


WRITABLE = (ATTRS, TARGET_IDS, INIT_REGIONS, SCHEMES, MONITOR_ON, MK_CONTEXTS, RM_CONTEXTS)


@pytest.mark.parametrize("path", WRITABLE)
def test_very_much(path: str, log: None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    libc.write.restype = ctypes.c_ssize_t
    little = ctypes.create_string_buffer(b"1 2 3 4 5")
    most = 4 << 20
    for address, count in (
        *((ctypes.addressof(little), count) for count in (2**20, 2**22, 2**31, 2**62, 2**64 - 1)),
        (1, 100),
        (2**63, 100),
        (None, 100),
    ):
        fd = os.open(path, os.O_WRONLY)
        assert libc.write(fd, address, count) == -1
        assert ctypes.get_errno() in (EFAULT, E2BIG, EINVAL, ENOMEM)
        os.close(fd)
    assert error(path, b"x" * (most + 1)) == (E2BIG if IS_OURS else ENOMEM)
    if IS_OURS:
        assert error(path, b" " * most) in (0, EINVAL)
        assert error(path, b"1 " * (most // 2)) in (E2BIG, EINVAL, ENAMETOOLONG)


def test_reading_very_much(log: None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.read.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
    libc.read.restype = ctypes.c_ssize_t
    room = ctypes.create_string_buffer(4096)
    for path in (ATTRS, TARGET_IDS, INIT_REGIONS, SCHEMES, MONITOR_ON, KDAMOND_PID):
        whole = Path(path).read_bytes()
        for count in (0, 2**31, 2**62):
            fd = os.open(path, os.O_RDONLY)
            read = libc.read(fd, room, count)
            # Upstream makes room for all that is asked for.
            assert read == min(len(whole), count) or count == 2**62 or not IS_OURS
            os.close(fd)


def anything(dice: random.Random, pids: list[int]) -> tuple[str, object]:
    """Some file, and what to write into it."""
    place = dice.choice(["", "one/", "two/"])
    return dice.choice(
        [
            *[(MONITOR_ON, dice.choice(["on", "on", "off"]))] * 4,
            (MK_CONTEXTS, dice.choice(["one", "two", "attrs", ".."])),
            (RM_CONTEXTS, dice.choice(["one", "two", "attrs", ".."])),
            *[(f"{D}/{place}target_ids", dice.choice([*pids, "paddr\n", "x", "\n"]))] * 3,
            (f"{D}/{place}attrs", dice.choice([QUIET, "1000 10000 10000 10 100", "x"])),
            (f"{D}/{place}init_regions", dice.choice(["0 4096 8192", "0 0 1000000000", "x"])),
            (f"{D}/{place}schemes", dice.choice([STAT, f"{STAT}\n" * 50, NOTHING, "\n", "x"])),
            (f"{D}/{place}kdamond_pid", ""),
        ]
    )


@pytest.mark.stress
def test_many_writers(victim: subprocess.Popen, log: None) -> None:
    pids = [victim.pid, os.getpid()]
    seen = meddle(lambda dice: anything(dice, pids), seconds=10)
    print("errors seen:", sorted(seen))
    expected = {0, EBUSY, EINVAL, EPERM, EEXIST, ENOENT, EIO, ENOMEM}
    # Upstream's mk_contexts has a number of its own for what cannot be a name.
    assert 0 in seen and seen <= expected | (set() if IS_OURS else {13})


@pytest.mark.stress
def test_readers_beside_who_ends(log: None) -> None:
    """Who reads the targets never sees anything but them, or none, while the kdamond ends."""
    until = time.monotonic() + 8
    seen: set[str] = set()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while time.monotonic() < until:
                seen.add(text(TARGET_IDS))
                text(SCHEMES), text(KDAMOND_PID), text(MONITOR_ON)
        except BaseException as failed:
            failures.append(failed)

    assert error(SCHEMES, STAT) == 0
    said = {"\n"}
    turns = 0
    with beside(read, read, read):
        while time.monotonic() < until:
            process = subprocess.Popen(["sleep", "1000"])
            said.add(f"{process.pid}\n")
            assert error(TARGET_IDS, process.pid) == 0
            assert error(MONITOR_ON, "on") == 0
            time.sleep(0.02)
            process.kill()
            process.wait()
            # Either it ends by itself or it is ended.
            if turns % 2:
                assert error(MONITOR_ON, "off") in (0, EPERM)
            wait_until(lambda: text(MONITOR_ON) == "off\n", "it has ended", 20)
            turns += 1
    assert not failures, failures
    assert turns > 2 and len(seen) > 1 and seen <= said


@pytest.mark.stress
def test_readers_beside_who_removes(log: None) -> None:
    until = time.monotonic() + 5
    seen: set[str | int] = set()

    def read() -> None:
        while time.monotonic() < until:
            for name in OF_A_CONTEXT:
                try:
                    seen.add(text(D / "some" / name))
                except OSError as failed:
                    seen.add(failed.errno or -1)

    with beside(read, read, read):
        while time.monotonic() < until:
            assert error(MK_CONTEXTS, "some") == 0
            assert error(f"{D}/some/attrs", QUIET) == 0
            assert error(RM_CONTEXTS, "some") == 0
    texts = {content for _, content in OF_A_CONTEXT.values()} | {f"{QUIET}\n"}
    assert f"{QUIET}\n" in seen and seen <= {*texts, ENOENT, EIO}


@pytest.mark.stress
def test_beside_sysfs(running: subprocess.Popen) -> None:
    """Each has its own kdamonds."""
    put("kdamonds/nr_kdamonds", 1)
    put(f"{K}/contexts/nr_contexts", 1)
    put(f"{C}/targets/nr_targets", 1)
    put(f"{C}/targets/0/pid_target", running.pid)
    put(f"{K}/state", "on")
    assert len(kdamonds()) == 2
    assert error(MONITOR_ON, "off") == 0
    assert get(f"{K}/state") == "on" and len(kdamonds()) == 1
    assert error(MONITOR_ON, "off") == EPERM
    assert error(ATTRS, QUIET) == 0
    if IS_OURS:
        assert text(MONITOR_ON) == "off\n"
    put(f"{K}/state", "off")
    put("kdamonds/nr_kdamonds", 0)


@pytest.mark.stress
@pytest.mark.skipif(not FAIL_NTH.exists(), reason="a kernel without fault injection")
def test_without_memory(victim: subprocess.Popen, log: None) -> None:
    """Each allocation fails once: nothing changes then."""
    for path, before, after in (
        (TARGET_IDS, f"{victim.pid}", f"{victim.pid} {os.getpid()}"),
        (INIT_REGIONS, "0 4096 8192", "0 0 4096\n1 0 4096"),
        (SCHEMES, NOTHING, f"{STAT}\n{NOTHING}"),
    ):
        assert error(path, before) == 0
        was = text(path)
        failures = 0
        for number in failing(path, after):
            if number:
                assert number == ENOMEM and text(path) == was
                failures += 1
            else:
                # Some allocations can do without.
                assert text(path) != was
                assert error(path, before) == 0
        assert failures > 1
        assert error(path, after) == 0
    for number in failing(MK_CONTEXTS, "some"):
        assert number in (0, ENOMEM)
        assert contexts() == ([] if number else ["some"])
        if not number:
            assert error(RM_CONTEXTS, "some") == 0
    assert error(MK_CONTEXTS, "some") == 0
    assert error(f"{D}/some/target_ids", "paddr") == 0
    for number in failing(MONITOR_ON, "on"):
        assert number in (0, ENOMEM)
        assert len(kdamonds()) == (0 if number else 2)
        if not number:
            assert error(MONITOR_ON, "off") == 0
            assert error(TARGET_IDS, victim.pid) == 0
