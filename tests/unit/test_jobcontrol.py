# SPDX-License-Identifier: GPL-2.0
"""Ctrl-C, Ctrl-Z, fg, bg and kill, in a terminal, through the perf that is installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from interactive_shell import PROMPT, Shell

PACKAGE = Path(__file__).parents[2] / "python"
CTRL_C, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x1a", "\x1c"

pytestmark = pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def shell(tmp_path: Path, log: Path) -> Iterator[Shell]:
    """A shell whose `perf damon` works until a signal, and takes its time to clean up."""
    program = tmp_path / "perf-damon"
    program.write_text(
        textwrap.dedent(f"""\
        #!{sys.executable}
        import os, select, sys, time
        from contextlib import suppress
        sys.path.insert(0, {str(PACKAGE)!r})
        from perf_damon import jobcontrol, signals

        def work():
            signals.catch_all()
            perf = jobcontrol.perf_pidfd()
            try:
                print(f"working {{os.getpid()}}", flush=True)
                for _ in range(600):
                    if select.select([perf], [], [], 0.1)[0]:
                        raise signals.Signalled(15)
                    with open({str(log)!r}, "a") as file:
                        file.write(".")
            except signals.Signalled as signalled:
                with suppress(signals.Signalled), signals.held():
                    time.sleep(0.5)
                    with open({str(log)!r}, "a") as file:
                        file.write(f"cleaned up after {{signalled.number}}")
                return signalled.exit_code

        sys.exit(jobcontrol.supervise(work))
        """)
    )
    program.chmod(0o755)
    environment = {**os.environ, "PERF_EXEC_PATH": str(tmp_path)}
    shell = Shell(environment)
    yield shell
    shell.close()


def wait_until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"never: {what()}"
        time.sleep(0.02)


def wait_for(log: Path, text: str) -> None:
    def said() -> str:
        return log.read_text() if log.exists() else ""

    wait_until(lambda: text in said(), lambda: f"{log} says {text!r}, but {said()!r}")


def worker(shell: Shell) -> int:
    """The process that works, once it says so; it leads its process group."""
    shell.read_until("working ")
    return int(shell.read_until("\r\n"))


def wait_for_foreground(shell: Shell, group: int) -> None:
    """First the shell hands the terminal over, then the supervisor does."""
    wait_until(
        lambda: os.tcgetpgrp(shell.terminal) == group, lambda: f"the terminal is that of {group}"
    )


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_ctrl_c_returns_to_the_prompt_when_all_is_done(shell: Shell, log: Path) -> None:
    shell.run("perf damon")
    shell.read_until("working")
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert log.read_text().endswith("cleaned up after 2")
    assert shell.status() == 130


def test_ctrl_c_ends_a_loop_around_perf(shell: Shell, log: Path) -> None:
    shell.run("for i in 1 2 3; do perf damon; done")
    shell.read_until("working")
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert log.read_text().count("cleaned up") == 1


def test_ctrl_backslash(shell: Shell, log: Path) -> None:
    shell.run("perf damon")
    shell.read_until("working")
    shell.type(CTRL_BACKSLASH)
    shell.read_until(PROMPT)
    assert log.read_text().endswith("cleaned up after 3")
    assert shell.status() == 131


def test_ctrl_z_stops_and_fg_goes_on(shell: Shell, log: Path) -> None:
    shell.run("perf damon")
    pid = worker(shell)
    shell.type(CTRL_Z)
    shell.read_until(PROMPT)
    assert is_stopped(pid)
    written = log.read_text() if log.exists() else ""
    shell.run("fg")
    wait_for(log, written + "..")
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert log.read_text().endswith("cleaned up after 2")
    assert shell.status() == 130


def test_bg_then_fg_then_ctrl_c(shell: Shell, log: Path) -> None:
    shell.run("perf damon")
    pid = worker(shell)
    shell.type(CTRL_Z)
    shell.read_until(PROMPT)
    written = log.read_text() if log.exists() else ""
    shell.run("bg")
    shell.read_until(PROMPT)
    wait_for(log, written + "..")
    shell.run("fg")
    shell.read_until("perf damon")
    wait_for_foreground(shell, pid)
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert log.read_text().endswith("cleaned up after 2")


def test_a_job_begun_in_the_background(shell: Shell, log: Path) -> None:
    shell.run("perf damon &")
    pid = worker(shell)
    shell.run("echo still here")
    shell.read_until("still here")
    shell.run("fg")
    shell.read_until("perf damon")
    wait_for_foreground(shell, pid)
    shell.type(CTRL_C)
    shell.read_until(PROMPT)
    assert log.read_text().endswith("cleaned up after 2")


@pytest.mark.parametrize("what", ["kill %1", "kill $!"])
def test_kill_of_the_job_ends_the_work(shell: Shell, log: Path, what: str) -> None:
    shell.run("perf damon &")
    shell.read_until("working")
    shell.run(what)
    wait_for(log, "cleaned up after 15")


def test_a_terminal_that_is_closed(tmp_path: Path, shell: Shell, log: Path) -> None:
    shell.run("perf damon")
    worker(shell)  # not in the middle of its write, which would fail
    terminal = shell.terminal
    shell.terminal = os.open(os.devnull, os.O_RDWR)
    os.close(terminal)
    wait_for(log, "cleaned up after 1")  # or 15: perf is ended by it as well, perhaps first


def test_the_terminal_is_given_back(shell: Shell, log: Path) -> None:
    """cat reads from the terminal, which only its owner may, after perf damon and before."""
    shell.run("perf damon; cat")
    shell.read_until("working")
    shell.type(CTRL_BACKSLASH)
    wait_for(log, "cleaned up")
    shell.type("hello\n")
    shell.read_until("hello\r\nhello")
    shell.type(CTRL_C)
    shell.read_until(PROMPT)


def test_from_a_shell_in_the_background() -> None:
    """These tests themselves, where the shell has them ignore what they send."""

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    this = f"{__file__}::{test_the_terminal_is_given_back.__name__}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", this],
        cwd=PACKAGE.parent,
        preexec_fn=ignore,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "1 passed" in result.stdout, result.stdout
