# SPDX-License-Identifier: GPL-2.0
"""Builds the programs that use memory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.common import BUILD, LabError

FOLDER = Path(__file__).resolve().parent
FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


def build(name: str = "workload") -> Path:
    """The path of the program of that name, compiled when it is older than its source."""
    source, program = FOLDER / f"{name}.c", BUILD / "workloads" / name
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole: another build may run.
    new = program.with_name(f"{name}.{os.getpid()}")
    try:
        done = subprocess.run(
            ["gcc", *FLAGS, f'-DPATTERN_DIR="{FOLDER}"', "-o", new, source, "-lm"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"gcc cannot build {source}:\n{done.stderr}")
        new.replace(program)
    except FileNotFoundError:
        raise LabError("gcc is missing: lab/setup installs it") from None
    finally:
        new.unlink(missing_ok=True)
    return program
