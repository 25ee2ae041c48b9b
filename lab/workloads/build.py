# SPDX-License-Identifier: GPL-2.0
"""Builds the workload program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.common import BUILD, LabError

SOURCE = Path(__file__).resolve().with_name("workload.c")
PROGRAM = BUILD / "workloads" / "workload"
FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


def build() -> Path:
    """The path of the workload program, compiled when it is older than its source."""
    if PROGRAM.exists() and PROGRAM.stat().st_mtime >= SOURCE.stat().st_mtime:
        return PROGRAM
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole: another build may run.
    new = PROGRAM.with_name(f"workload.{os.getpid()}")
    try:
        done = subprocess.run(
            ["gcc", *FLAGS, f'-DPATTERN_DIR="{SOURCE.parent}"', "-o", new, SOURCE, "-lm"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"gcc cannot build {SOURCE}:\n{done.stderr}")
        new.replace(PROGRAM)
    except FileNotFoundError:
        raise LabError("gcc is missing: lab/setup installs it") from None
    finally:
        new.unlink(missing_ok=True)
    return PROGRAM
