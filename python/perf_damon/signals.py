# SPDX-License-Identifier: GPL-2.0
"""Signals become an exception, so that every command undoes what it did before it ends.

perf reports a child that died by a signal as a fatal error of its own, so perf-damon never does:
it ends with 128 + the signal's number.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NOT_OURS = {
    # cannot be caught
    "SIGKILL", "SIGSTOP",
    # the program is broken: let it show
    "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGTRAP", "SIGSYS",
    # harmless by default, or job control
    "SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGTSTP", "SIGTTIN", "SIGTTOU",
    # an error of write() instead
    "SIGPIPE", "SIGXFSZ",
}  # fmt: skip


class Signalled(BaseException):
    """A signal that asks the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell shows for it."""
        return 128 + self.number


INTERRUPTED = 128 + signal.SIGINT
"""The exit code of Ctrl-C."""

_held = 0
_waiting: int | None = None
_raised = False
_postponed: int | None = None
_AGAIN_S = 0.01
"""When a signal that came while a module was imported is looked at again: before people notice."""


def catch_all(handler: Callable[[int, FrameType | None], None] | None = None) -> None:
    """Give every signal that would end the process a handler: one that raises Signalled.

    SIGHUP stays ignored where it is (nohup). Shells ignore SIGINT for what they run in the
    background, but who sends it then means it: perf record takes it as well.
    """
    for number in signal.valid_signals():
        if number >= signal.SIGRTMIN or signal.Signals(number).name in _NOT_OURS:
            continue
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler or _arrived)


def restore_defaults() -> None:
    """What a new program expects: the default action for all that we, or Python, changed."""
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)) or number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back in here: for changes and clean-ups that must be whole.

    One that came meanwhile is raised at the end of the outermost block, unless an exception is
    already on its way.
    """
    global _held, _waiting
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    if _held == 0 and _waiting is not None:
        number, _waiting = _waiting, None
        _raise(number)


def rearm() -> None:
    """All has been undone after a Signalled: the next signal shall raise one as well.

    Until then none does. A closed terminal, for one, sends several, and the second must not come
    between the first one's exception and its handler.
    """
    global _raised
    _raised = False


def _arrived(number: int, frame: FrameType | None) -> None:
    global _waiting, _postponed
    if number == signal.SIGALRM and _postponed is not None:
        number, _postponed = _postponed, None
    if _raised:
        return
    if _held:
        _waiting = number
    elif _importing(frame):
        # Modules in C turn an exception in their midst into an ImportError, or print it.
        _postponed = number
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        _raise(number)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported by what was interrupted."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _raise(number: int) -> None:
    global _raised
    _raised = True
    raise Signalled(number)
