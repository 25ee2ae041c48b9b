# SPDX-License-Identifier: GPL-2.0
"""A process of which three quarters of the memory are cold, and swap for that to go to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest import swap_off, swap_on

PATTERN = str(Path(__file__).with_name("half.pattern"))
HOT, COLD = 16 << 20, 48 << 20


@pytest.fixture(scope="module", autouse=True)
def swap() -> Iterator[None]:
    """For anonymous memory to go to."""
    swap_on(256 << 20)
    yield
    swap_off()


@pytest.fixture
def half(workload: Callable[..., subprocess.Popen]) -> int:
    """The process's pid."""
    return workload(PATTERN, "--duration", "30m").pid


def rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def given_back(pid: int, before: int) -> bool:
    """Whether the cold memory has gone."""
    return rss(pid) < before - 0.9 * COLD
