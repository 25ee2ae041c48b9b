# SPDX-License-Identifier: GPL-2.0
"""Fixtures of the tests on a real kernel; guest.py beside this has the rest."""

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import log

from guest import (
    ADMIN,
    here,
    kdamonds,
    memcg,
    nothing_left_behind,
    somebody_elses,
    target,
    wait_until,
    workload,
)

__all__ = ["here", "log", "memcg", "nothing_left_behind", "somebody_elses", "target", "workload"]

STAT = Path("/sys/module/damon_stat/parameters/enabled")
WITHOUT_DAMON = ("reports", "without DAMON that is said")
"""Features that a kernel need not have DAMON for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Features go into the JUnit XML, of which lab/test-kernels makes its table."""
    for item in items:
        for mark in item.iter_markers("feature"):
            item.user_properties.append(("feature", mark.args[0]))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if not ADMIN.is_dir() and item.get_closest_marker("feature"):
        [name] = item.get_closest_marker("feature").args
        if name not in WITHOUT_DAMON:
            pytest.skip("this kernel has no DAMON")


@pytest.fixture(scope="session", autouse=True)
def what_is_tested(record_testsuite_property: Callable[[str, object], None]) -> None:
    """Also into the JUnit XML."""
    import numpy as np

    from perf_damon import perfs

    record_testsuite_property("kernel", platform.release())
    record_testsuite_property("perf", perfs.version("perf"))
    record_testsuite_property("python", platform.python_version())
    record_testsuite_property("numpy", np.__version__)


@pytest.fixture(scope="session", autouse=True)
def nothing_else_uses_damon() -> Iterator[None]:
    """DAMON_STAT runs from boot on where a kernel has it, and keeps everybody else out."""
    running = STAT.exists() and STAT.read_text().strip() == "Y"
    if running:
        STAT.write_text("N")
        wait_until(lambda: not kdamonds(), "DAMON_STAT has ended")
    yield
