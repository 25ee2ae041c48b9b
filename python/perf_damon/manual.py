# SPDX-License-Identifier: GPL-2.0
"""--help: the manual, as with perf's own commands."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from perf_damon import signals

PAGE = "perf-damon"


def open_manual() -> None:
    """Become man(1) with the manual's page; return where there is none."""
    man = shutil.which("man")
    if man is None:
        return
    import subprocess

    environment = {**os.environ}
    # Of a package in PREFIX/lib/perf-damon, in perf's PREFIX/libexec/perf-core/python or in a venv,
    # whose bin need not be on PATH.
    for prefix in (*Path(__file__).resolve().parents[3:5], Path(sys.prefix)):
        pages = prefix / "share/man"
        if (pages / f"man1/{PAGE}.1").exists():
            environment["MANPATH"] = f"{pages}:{environment.get('MANPATH', '')}"
            break
    known = subprocess.run(
        [man, "-w", PAGE],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    if known.returncode == 0:
        signals.restore_defaults()
        os.execve(man, [man, PAGE], environment)
