# SPDX-License-Identifier: GPL-2.0
"""What the tests of the kernel's files have in common."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import EBUSY, ECANCELED, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM, ERANGE

import pytest

from guest import ADMIN, IS_OURS, wait_until, write_once

ours = pytest.mark.skipif(not IS_OURS, reason="not of upstream's 6.12")

K = "kdamonds/0"
C = f"{K}/contexts/0"


def error(path: str, what: object) -> int:
    """Write once; the error number, or 0."""
    return write_once(ADMIN / path, what)


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


@contextmanager
def beside(*loops: Callable[[], None]) -> Iterator[None]:
    """Have loops run meanwhile, each in a thread of its own; they end by themselves."""
    threads = [threading.Thread(target=loop) for loop in loops]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()


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
