# SPDX-License-Identifier: GPL-2.0
"""Tests on a real kernel: they run inside a guest of the lab, never on the machine itself.

make test-guest [KERNEL=debian]
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ADMIN = Path("/sys/kernel/mm/damon/admin")
CHECKOUT = Path(__file__).parents[2]
PATIENCE_S = 180
IS_OURS = "ours" in os.uname().release
_PR_SET_CHILD_SUBREAPER = 36

if not Path("/run/lab/share").is_dir():
    pytest.exit("tests/guest runs in a guest only: make test-guest", returncode=2)

# Orphans come to us, as they do to a system's init; that of the guest waits for nobody.
ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def run(*words: object, timeout: float = PATIENCE_S, **how: object) -> subprocess.CompletedProcess:
    """Run to the end, output as text."""
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **how)


def damon(*words: object, **how: object) -> subprocess.CompletedProcess:
    """Run perf damon."""
    return run("perf", "damon", *words, **how)


def ok(*words: object, **how: object) -> str:
    """Run perf damon, which has to succeed; what it wrote on stdout."""
    result = damon(*words, **how)
    assert result.returncode == 0, result.stderr
    return result.stdout


def wait_until(condition: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def kdamonds() -> list[int]:
    """Thread ids of the kdamonds that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().startswith("kdamond."):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for_snapshots() -> None:
    """Until the one kdamond has worked for a few aggregation intervals of perf damon's default.

    That has twenty samples, and a kdamond sleeps before each.
    """
    (kdamond,) = kdamonds()

    def turns() -> int:
        return int(Path(f"/proc/{kdamond}/schedstat").read_text().split()[2])

    begin = turns()
    wait_until(lambda: turns() > begin + 100, "the kdamond has taken a hundred samples")


def put(path: str, text: object) -> None:
    (ADMIN / path).write_text(str(text))


def write_once(path: Path, what: object) -> int:
    """Write with one call; the error number, or 0."""
    data = what if isinstance(what, bytes) else str(what).encode()
    try:
        fd = os.open(path, os.O_WRONLY)
    except OSError as failed:
        return failed.errno or -1
    try:
        assert os.write(fd, data) == len(data)
    except OSError as failed:
        return failed.errno or -1
    finally:
        os.close(fd)
    return 0


def tree() -> dict[str, str]:
    """DAMON's whole tree."""
    return {str(path): path.read_text() for path in ADMIN.rglob("*") if path.is_file()}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """After each test DAMON is as it was before."""
    before = tree()
    assert kdamonds() == []
    yield
    # A kdamond that ends by itself notices within a few of its intervals.
    wait_until(lambda: not kdamonds(), "the kdamonds ended", 20)
    assert tree() == before


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def memcg() -> Iterator[Path]:
    """A memory cgroup of its own."""
    root = Path("/run/lab/cgroup")
    root.mkdir(exist_ok=True)
    if not os.path.ismount(root):
        assert run("mount", "-t", "cgroup2", "none", root).returncode == 0
    (root / "cgroup.subtree_control").write_text("+memory")
    path = root / "test"
    path.mkdir()
    yield path
    # Its processes would end only after this, with the fixture that made them.
    (path / "cgroup.kill").write_text("1")
    wait_until(lambda: "populated 0" in (path / "cgroup.events").read_text(), "they are gone")
    path.rmdir()


@pytest.fixture
def workload(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start workloads that have populated their memory; they end with the test."""
    started: list[subprocess.Popen] = []

    def start(pattern: str, *options: object) -> subprocess.Popen:
        truth = tmp_path / f"{len(started)}.truth"
        # It would take all of the CPU, two thirds of an emulated one from what is tested.
        words = ["nice", "-n", "19", "workload", *map(str, options), "--truth", str(truth), pattern]
        process = subprocess.Popen(words)
        started.append(process)
        begun = '"type": "start"'
        wait_until(lambda: truth.exists() and begun in truth.read_text(), "it is populated")
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


@pytest.fixture
def target(workload: Callable[..., subprocess.Popen]) -> int:
    """The pid of a process with hot and cold memory, for as long as the test."""
    return workload(str(Path(__file__).with_name("small.pattern")), "--duration", "30m").pid


@pytest.fixture
def somebody_elses(target: int) -> Iterator[None]:
    """A kdamond that perf damon has not started, and that has all slots."""
    put("kdamonds/nr_kdamonds", 1)
    put("kdamonds/0/contexts/nr_contexts", 1)
    put("kdamonds/0/contexts/0/operations", "vaddr")
    put("kdamonds/0/contexts/0/targets/nr_targets", 1)
    put("kdamonds/0/contexts/0/targets/0/pid_target", target)
    put("kdamonds/0/state", "on")
    before = tree()
    yield
    assert tree() == before, "left alone"
    put("kdamonds/0/state", "off")
    put("kdamonds/nr_kdamonds", 0)


def swap_on(size: int) -> None:
    """Swap of so many bytes, in compressed memory."""
    zram = Path("/sys/block/zram0")
    if not zram.exists():
        assert run("modprobe", "zram").returncode == 0
    (zram / "disksize").write_text(str(size))
    for words in (("mkswap", "/dev/zram0"), ("swapon", "/dev/zram0")):
        result = run(*words)
        assert result.returncode == 0, result.stderr


def swap_off() -> None:
    assert run("swapoff", "/dev/zram0").returncode == 0
    Path("/sys/block/zram0/reset").write_text("1")


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, **changes}
