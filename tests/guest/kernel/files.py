# SPDX-License-Identifier: GPL-2.0
"""What the tests of the kernel's files have in common."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EBUSY, ECANCELED, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ERANGE
from pathlib import Path

import pytest

from guest import ADMIN, IS_OURS, wait_until

ours = pytest.mark.skipif(not IS_OURS, reason="not of upstream's 6.12")

K = "kdamonds/0"
C = f"{K}/contexts/0"
GARBAGE = (b"x", b"1x", b"x1", b"1 2", b" ", b"\n", b"\n1", b"1.5", b"0x", b"+", b"\0", b"\xff\xfe")


def error(path: str, what: object) -> int:
    """Write once; the error number, or 0."""
    data = what if isinstance(what, bytes) else str(what).encode()
    try:
        fd = os.open(ADMIN / path, os.O_WRONLY)
    except OSError as failed:
        return failed.errno or -1
    try:
        assert os.write(fd, data) == len(data)
    except OSError as failed:
        return failed.errno or -1
    finally:
        os.close(fd)
    return 0


def get(path: str) -> str:
    text = (ADMIN / path).read_text()
    assert text.endswith("\n")
    return text[:-1]


def all_off() -> None:
    """Stop all kdamonds and remove their directories."""
    for state in (ADMIN / "kdamonds").glob("*/state"):
        error(str(state.relative_to(ADMIN)), "off")
    wait_until(lambda: error("kdamonds/nr_kdamonds", 0) == 0, "no kdamonds", 20)


HARMLESS = {EBUSY, ECANCELED, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ERANGE}
COMPLAINTS = ("BUG:", "WARNING:", "Oops", "KASAN", "Call Trace", "refcount_t", "ODEBUG", "UBSAN")


@contextmanager
def quiet_log() -> Iterator[None]:
    """The kernel must not complain meanwhile."""
    with Path("/dev/kmsg").open("rb", buffering=0) as file:
        os.set_blocking(file.fileno(), False)
        os.lseek(file.fileno(), 0, os.SEEK_END)
        yield
        said = []
        with suppress(BlockingIOError):
            while True:
                # What was overwritten meanwhile is told as an error, once.
                with suppress(BrokenPipeError):
                    said.append(os.read(file.fileno(), 8192).decode(errors="replace"))
    assert not [line for line in said if any(word in line for word in COMPLAINTS)], said


@pytest.fixture
def log() -> Iterator[None]:
    """Know of a complaint in the test that caused it; conftest.py looks after the others."""
    with quiet_log():
        yield


def meddle(
    choose: Callable[[random.Random], tuple[str, object]], *, seconds: float, writers: int = 8
) -> set[int]:
    """Write what is chosen, many at once; the error numbers seen, 0 for none."""
    seen: set[int] = set()
    until = time.monotonic() + seconds

    def write(seed: int) -> None:
        dice = random.Random(seed)
        while time.monotonic() < until:
            path, value = choose(dice)
            try:
                seen.add(error(path, value))
                if dice.random() < 0.3:
                    (ADMIN / path).read_text()
            except OSError as failed:
                seen.add(failed.errno or -1)

    threads = [threading.Thread(target=write, args=(seed,), daemon=True) for seed in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
        assert not thread.is_alive(), "it hangs"
    return seen


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
