# SPDX-License-Identifier: GPL-2.0
"""What holds for all tests of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faults import KMEMLEAK, damon_leaks, quiet_log


@pytest.fixture(autouse=True, scope="session")
def unharmed() -> Iterator[None]:
    """The kernel has nothing to complain of in its log, and has lost no memory where it can tell.

    From the first test to the last; the error shows at the last one.
    """
    with quiet_log():
        yield
    if KMEMLEAK.exists():
        assert damon_leaks() == []
