# SPDX-License-Identifier: GPL-2.0
"""What unit tests share. Modules beside this file are imported by name (setup.cfg: pythonpath)."""

from __future__ import annotations

from pathlib import Path

import default_signals
import pytest
from fake_kernel import machine

from perf_damon.control.system import System

default_signals.heed()


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A machine with a fake kernel."""
    return machine(tmp_path)
