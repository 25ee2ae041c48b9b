# SPDX-License-Identifier: GPL-2.0
"""The live readers with perf's Python module as perf's tree builds it, beside test_tree.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

MODULE = Path(os.environ["PERF_PREFIX"]).parent / "python"
assert "perf" not in sys.modules
sys.path[:0] = [str(MODULE), str(Path(__file__).parents[1] / "commands")]

from test_live import *  # noqa: E402, F403 (the same tests)


def test_it_is_the_module_that_was_built() -> None:
    import perf

    assert Path(perf.__file__).parent == MODULE
