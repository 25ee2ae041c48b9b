# SPDX-License-Identifier: GPL-2.0
"""What the kernel is to bear, and how its own mistakes show: wrong input, failing allocations, its
log, and memory that it has lost.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from lab.benchmarks.kernel_log import Log, complaints

from guest import ADMIN

GARBAGE = (b"x", b"1x", b"x1", b"1 2", b" ", b"\n", b"\n1", b"1.5", b"0x", b"+", b"\0", b"\xff\xfe")


@contextmanager
def quiet_log() -> Iterator[None]:
    """The kernel must not complain meanwhile."""
    with closing(Log()) as log:
        yield
        said = log.said()
    assert not complaints(said), said


@pytest.fixture
def log() -> Iterator[None]:
    """Know of a complaint in the test that caused it; conftest.py looks after the others."""
    with quiet_log():
        yield


FAIL_NTH = Path("/proc/thread-self/fail-nth")


def failing(path: str, what: object) -> Iterator[int]:
    """Write, each time with a later allocation that fails, until none does; the error numbers."""
    for kind in ("failslab", "fail_page_alloc"):
        for switch, value in (("ignore-gfp-wait", "N"), ("verbose", "0")):
            Path("/sys/kernel/debug", kind, switch).write_text(value)
    for nth in range(1, 1000):
        fd = os.open(ADMIN / path, os.O_WRONLY)
        control = os.open(FAIL_NTH, os.O_RDWR)
        number = 0
        os.write(control, str(nth).encode())
        try:
            os.write(fd, str(what).encode())
        except OSError as failed:
            number = failed.errno or -1
        left = int(os.pread(control, 20, 0))
        os.write(control, b"0")
        os.close(control)
        os.close(fd)
        yield number
        if left:
            return
    raise AssertionError("never enough memory")


KMEMLEAK = Path("/sys/kernel/debug/kmemleak")


def damon_leaks() -> list[str]:
    """What kmemleak knows of that DAMON has allocated and lost."""
    for _ in range(2):
        KMEMLEAK.write_text("scan")
        time.sleep(6)
    leaks = KMEMLEAK.read_text().split("unreferenced object")
    return [leak for leak in leaks if "damon" in leak]
