# SPDX-License-Identifier: GPL-2.0
"""Job control between the shell, perf and perf-damon.

perf runs perf-damon as a child in its own process group and has no handler for SIGINT: Ctrl-C
would end perf at once and leave perf-damon behind the shell's prompt. So the work is done by a
worker in a process group of its own, which has the terminal: Ctrl-C and Ctrl-Z go there alone.
The supervisor stays in perf's group, where the shell's fg, bg and kill %1 arrive, and passes them
on, as a shell does for its own jobs:

    shell ── perf ── supervisor ── worker (and the command that it monitors)
             └──── group 1 ────┘   └──── group 2, has the terminal ────────┘
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from perf_damon import signals

_LOOK_S = 0.1
_INTERRUPTED = 128 + signal.SIGINT
_perf: int | None = None


def perf_pidfd() -> int | None:
    """A pidfd of the perf that runs us, readable once perf has ended; None where there is none.

    kill(1) of the job that the shell knows ends only perf: whoever works for long must look.
    """
    return _perf


def supervise(work: Callable[[], int]) -> int:
    """Return work()'s status; through a worker where a terminal and perf's group ask for one."""
    _find_perf()
    terminal = _terminal()
    if terminal is None:
        return work()
    group = os.getpgrp()
    worker = os.fork()
    if worker == 0:
        os.setpgid(0, 0)
        if os.tcgetpgrp(terminal) == group:
            _give(terminal, os.getpid())
        os.close(terminal)
        return work()
    code = _supervise(terminal, group, worker)
    if code == _INTERRUPTED:
        # Loops and scripts around us end at Ctrl-C, as with every other program.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.kill(0, signal.SIGINT)
    return code


def _find_perf() -> None:
    global _perf
    parent = os.getppid()
    with suppress(OSError):
        if Path(f"/proc/{parent}/comm").read_bytes().startswith(b"perf"):
            _perf = os.pidfd_open(parent)


def _terminal() -> int | None:
    """The controlling terminal, if output goes there and another leads our process group."""
    if os.getpgrp() == os.getpid() or not os.isatty(1):
        return None
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.tcgetpgrp(terminal)
    except OSError:
        os.close(terminal)
        return None
    return terminal


def _supervise(terminal: int, group: int, worker: int) -> int:
    # Both sides do this, so that it has happened whoever runs first.
    with suppress(OSError):
        os.setpgid(worker, worker)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(worker, number)

    def hand_over() -> None:
        with suppress(OSError):
            if os.tcgetpgrp(terminal) == group:
                _give(terminal, worker)

    def go_on(_number: int, _frame: FrameType | None) -> None:
        hand_over()
        with suppress(ProcessLookupError):
            os.killpg(worker, signal.SIGCONT)

    signals.catch_all(pass_on)
    signal.signal(signal.SIGCONT, go_on)
    hand_over()
    while True:
        # The shell says nothing when it brings a job to the foreground that is running already.
        background = _foreground(terminal) != worker
        done, status = os.waitpid(worker, os.WUNTRACED | (os.WNOHANG if background else 0))
        if not done:
            time.sleep(_LOOK_S)
            hand_over()
            continue
        _take_back(terminal, group, worker)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        # perf stops with us, so that the shell sees its job stop. Where no shell looks after
        # the group the kernel ignores this, and the worker must not stay stopped.
        os.kill(0, signal.SIGTSTP)
        go_on(signal.SIGCONT, None)


def _foreground(terminal: int) -> int:
    """The group that has the terminal; 0 when the terminal is gone."""
    try:
        return os.tcgetpgrp(terminal)
    except OSError:
        return 0


def _take_back(terminal: int, group: int, worker: int) -> None:
    with suppress(OSError):
        if os.tcgetpgrp(terminal) == worker:
            _give(terminal, group)


def _give(terminal: int, group: int) -> None:
    with _blocked(signal.SIGTTOU):
        os.tcsetpgrp(terminal, group)


@contextmanager
def _blocked(number: int) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
