# SPDX-License-Identifier: GPL-2.0
"""What holds for all tests of the kernel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from files import quiet_log


@pytest.fixture(autouse=True, scope="session")
def no_complaints() -> Iterator[None]:
    """In the kernel's log, from the first test to the last; the error shows at the last one."""
    with quiet_log():
        yield
