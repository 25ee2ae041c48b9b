# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests of DAMON, tools/testing/selftests/damon of its source, ready to run."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

from lab.common import BUILD, LabError, setup
from lab.sources import Source, kernel_source

FOLDER = BUILD / "selftests" / "damon"
PLACE = "tools/testing/selftests/damon"
HELPERS = (
    "access_memory",
    "access_memory_even",
    "debugfs_target_ids_pid_leak",
    "debugfs_target_ids_read_before_terminate_race",
    "huge_count_read_write",
)
"""Programs that the tests run, each of one C file."""


def prepare(source: Source, folder: Path = FOLDER) -> Path:
    """Copy the tests as they are, and compile their helpers; returns the folder."""
    origin = source.path / PLACE
    if not origin.is_dir():
        raise LabError(f"the kernel source {source.path} has no {PLACE}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole.
    new = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.copytree(origin, new)
        for name in HELPERS:
            _compile(new / f"{name}.c", new / name)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return folder


def _compile(source: Path, program: Path) -> None:
    try:
        done = subprocess.run(["gcc", "-o", program, source], capture_output=True, text=True)
    except FileNotFoundError:
        raise LabError("gcc is missing: lab/setup installs it") from None
    if done.returncode:
        raise LabError(f"gcc cannot build {source.name}:\n{done.stderr}")


def selftests(arguments: list[str]) -> int:
    """lab/selftests: print the folder of the kernel's tests of DAMON."""
    parser = argparse.ArgumentParser(
        prog="lab/selftests",
        description=f"Copy {PLACE} of the kernel's source, unmodified, compile what its tests "
        "need, print the folder. They run as root with that folder as their current directory: in "
        "a guest.",
        epilog="example: lab/guest --kernel ours -- sh -c 'cd build/selftests/damon && ./sysfs.sh'",
    )
    parser.parse_args(arguments)
    setup()
    print(prepare(kernel_source()))
    return 0
