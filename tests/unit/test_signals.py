# SPDX-License-Identifier: GPL-2.0
"""Signals become an exception, where one can be raised."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(__file__).parents[2] / "python"
MODULE = """\
import os, signal, sys
try:
    os.kill(os.getpid(), int(sys.argv[1]))
    for _ in range(1000):
        pass
except BaseException:
    # As modules in C do, which is how numpy begins.
    raise ImportError("multiarray failed to import") from None
"""
PROGRAM = """\
import sys, time
from perf_damon import signals
signals.catch_all()
try:
    import slow
    time.sleep(60)
except signals.Signalled as signalled:
    print(signalled, "slow" in sys.modules)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGALRM"])
def test_a_signal_waits_for_a_module_that_is_imported(tmp_path: Path, name: str) -> None:
    (tmp_path / "slow.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(signal.Signals[name].value)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{PYTHON}:{tmp_path}"},
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{name} True\n", "", 0)
