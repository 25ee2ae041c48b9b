# SPDX-License-Identifier: GPL-2.0
"""Signals and terminals, through the real perf, while the real DAMON works."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from interactive_shell import PROMPT, Shell

from guest import CHECKOUT, kdamonds, ok, wait_for_snapshots, wait_until

CTRL_C, CTRL_Z = "\x03", "\x1a"
RECORDS = "Ctrl-C ends it"
PATIENCE_S = 180


@pytest.fixture
def shell(here: Path) -> Iterator[Shell]:
    shell = Shell(dict(os.environ), PATIENCE_S)
    yield shell
    shell.close()


def test_ctrl_c(shell: Shell, here: Path, target: int) -> None:
    shell.run(f"perf damon record {target}")
    shell.read_until(RECORDS)
    wait_for_snapshots()
    shell.type(CTRL_C)
    shown = shell.read_until(PROMPT)
    # By the time the prompt is back, all is written and put back.
    assert kdamonds() == []
    assert "captured" in shown and "next: perf damon report" in shown
    assert shell.status() == 130
    assert "small.pages" in ok("report")


def test_ctrl_c_ends_the_command_too(shell: Shell, here: Path) -> None:
    shell.run("perf damon record -- sleep 600")
    shell.read_until("monitoring")
    wait_until(lambda: b"sleep\x00600" in b"".join(commands()), "the command runs")
    wait_for_snapshots()
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert not [line for line in commands() if line.startswith(b"sleep\x00600")]
    assert shell.status() == 130


def commands() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return found


def has_terminal(shell: Shell) -> bool:
    """Whether the worker, a perf-damon that leads its process group, is in the foreground."""
    group = os.tcgetpgrp(shell.terminal)
    try:
        return b"perf-damon" in Path(f"/proc/{group}/cmdline").read_bytes()
    except OSError:
        return False


def test_ctrl_z_fg_ctrl_c(shell: Shell, here: Path, target: int) -> None:
    shell.run(f"perf damon record {target}")
    shell.read_until(RECORDS)
    shell.type(CTRL_Z)
    shell.read_until(PROMPT)
    assert len(kdamonds()) == 1, "stopped, not ended"
    shell.run("fg")
    wait_until(lambda: has_terminal(shell), "the shell and the supervisor hand the terminal over")
    wait_for_snapshots()
    shell.type(CTRL_C)
    shown = shell.read_until(PROMPT)
    assert "captured" in shown
    assert kdamonds() == []


def test_a_terminal_that_is_closed(shell: Shell, here: Path, target: int) -> None:
    shell.run(f"perf damon record {target}")
    shell.read_until(RECORDS)
    terminal, shell.terminal = shell.terminal, os.open(os.devnull, os.O_RDWR)
    os.close(terminal)
    wait_until(lambda: not kdamonds(), "the kdamond ends")
    wait_until(lambda: (here / "perf.data").stat().st_size > 1000, "perf writes its file")


def record(target: int, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*words, "perf", "damon", "record", str(target)], stderr=subprocess.PIPE, text=True
    )


def read_until(process: subprocess.Popen, text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"never said: {text}")


@pytest.mark.parametrize("delay", [None, 0.3, 1.5, 3, 5])
def test_terminated(here: Path, target: int, delay: float | None) -> None:
    """perf-damon itself gets SIGTERM: while it records, or at some moment of its start."""
    program = CHECKOUT / "tools/perf/perf-damon"
    with subprocess.Popen(
        [program, "record", str(target)], stderr=subprocess.PIPE, text=True
    ) as process:
        if delay is None:
            read_until(process, RECORDS)
        else:
            # Python itself has to be up: before that a signal is not ours to catch.
            time.sleep(delay)
        process.terminate()
        said = process.stderr.read()
    assert process.returncode in (143, -signal.SIGTERM), said
    if delay is None:
        assert process.returncode == 143
        assert (here / "perf.data").stat().st_size > 1000
    assert kdamonds() == []


@pytest.mark.parametrize("delay", [None, 1, 2, 4])
def test_killed(here: Path, target: int, delay: float | None) -> None:
    """kill -9: the guard puts things back (nothing_left_behind waits for it)."""
    program = CHECKOUT / "tools/perf/perf-damon"
    with subprocess.Popen(
        [program, "record", str(target)], stderr=subprocess.PIPE, text=True
    ) as process:
        if delay is None:
            read_until(process, RECORDS)
        else:
            time.sleep(delay)
        process.kill()
    wait_until(lambda: not kdamonds(), "the guard stops the kdamond")
    wait_until(lambda: not recorders(), "perf record ends")


def recorders() -> list[bytes]:
    return [line for line in commands() if b"record\x00" in line]


def test_kill_of_perf_is_enough(here: Path, target: int) -> None:
    """perf is what a shell knows as $!; it passes nothing on."""
    process = record(target)
    read_until(process, RECORDS)
    process.terminate()
    assert process.wait() == -signal.SIGTERM
    wait_until(lambda: not recorders(), "perf damon ends")
    assert kdamonds() == []
    assert (here / "perf.data").stat().st_size > 1000
