# SPDX-License-Identifier: GPL-2.0
"""The same in a guest of each kernel; two at a time by the instruction clock, one in real time."""

from __future__ import annotations

import multiprocessing
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from lab import kernels, vm
from lab.common import BUILD, LabError

NEVER_S = 10**6
POLL_S = 1


@dataclass(frozen=True)
class Side:
    """A kernel that is measured."""

    name: str
    """Unique: the kernel's, and a number where it is there twice."""
    image: Path
    folder: Path
    """Where its raw results are kept."""


@dataclass(frozen=True)
class Job:
    """What one guest of each side does."""

    command: Callable[[Side, Path], Sequence[object]]
    """The command for a side, with the directory to write to."""
    out: str
    """Name of that directory in a side's folder."""
    exact: bool
    """By the instruction clock; else in real time, with two CPUs."""
    memory: str
    limit_s: int
    nodes: int = 1


def sides(names: Sequence[str], folder: Path) -> tuple[Side, ...]:
    """A side for each kernel; the same kernel twice shows how much chance there is."""
    found = []
    for i, kernel in enumerate(names):
        again = names[:i].count(kernel)
        name = f"{kernel}-{again + 1}" if again else kernel
        home = folder / name
        found.append(Side(name, _kept(kernels.image(kernel), home), home))
    return tuple(found)


def _kept(image: Path, folder: Path) -> Path:
    """The image of a kernel, for as long as this takes: another build may replace it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not image.is_relative_to(BUILD):
        return image
    kept = folder / image.name
    kept.unlink(missing_ok=True)
    kept.hardlink_to(image)
    return kept


def run(job: Job, all_sides: Sequence[Side]) -> None:
    """Do a job on every side; raises LabError."""
    # Which is of one core; in real time a guest wants both that small machines have.
    at_once = 2 if job.exact else 1
    fork = multiprocessing.get_context("fork")
    for i in range(0, len(all_sides), at_once):
        running: dict[Side, BaseProcess] = {}
        try:
            for side in all_sides[i : i + at_once]:
                process = fork.Process(target=_guest, args=(side, job))
                # It takes them once it has a handler of its own. One that is inherited may raise
                # while Python still begins the process, where exceptions are lost.
                before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
                try:
                    process.start()
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                running[side] = process
            _wait(running, job)
        finally:
            for process in running.values():
                process.terminate()
            for process in running.values():
                process.join()


def _guest(side: Side, job: Job) -> None:
    """A process of its own: do a job in a guest, and exit with its status."""
    out = side.folder / job.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    guest = vm.Guest(
        side.image,
        cpus=1 if job.exact else 2,
        memory=job.memory,
        nodes=job.nodes,
        instruction_clock=job.exact,
        # That clock jumps when a guest waits for its disk: none to set a limit by.
        timeout_s=NEVER_S if job.exact else job.limit_s,
        out=out,
    )
    command = [str(word) for word in job.command(side, out)]
    # An exception, so that the guest is ended too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    try:
        sys.exit(vm.run(guest, command, sys.stderr.buffer, sys.stderr.buffer))
    except LabError as error:
        print(f"lab: {side.name}: {error}", file=sys.stderr)
        sys.exit(vm.STATUS_GUEST)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _wait(running: dict[Side, BaseProcess], job: Job) -> None:
    """Until all have ended well; raises LabError when one has not."""
    deadline = time.monotonic() + job.limit_s
    left = dict(running)
    while left:
        if time.monotonic() > deadline:
            raise LabError(f"{job.out} has taken {job.limit_s} s and was ended")
        wait([process.sentinel for process in left.values()], POLL_S)
        for side, process in running.items():
            if process.exitcode:
                raise LabError(f"{job.out} on {side.name} failed: status {process.exitcode}")
            if process.exitcode == 0:
                left.pop(side, None)
