# SPDX-License-Identifier: GPL-2.0
"""A child that puts DAMON back as it was should its parent be killed before it can."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import NoReturn

from perf_damon.control import monitor
from perf_damon.control.system import System
from perf_damon.errors import Error

_ALL_IS_WELL = b"."
_PATIENCE_S = 0.01


class Guard:
    """Watches from start() to dismiss(). Start it before anything is changed."""

    def __init__(self, system: System) -> None:
        receive, self._send = os.pipe()
        parent, self._pid = os.getpid(), os.fork()
        if self._pid == 0:
            os.close(self._send)
            _watch(system, receive, parent)
        os.close(receive)

    def dismiss(self) -> None:
        """All has been put back: end the guard."""
        with suppress(BrokenPipeError):
            os.write(self._send, _ALL_IS_WELL)
        os.close(self._send)
        os.waitpid(self._pid, 0)


def _watch(system: System, receive: int, parent: int) -> NoReturn:
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        # Whoever reads our parent's output must not wait for us.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        if os.read(receive, 1) == b"":
            while system.started(parent) is not None:
                time.sleep(_PATIENCE_S)
            with suppress(Error):
                monitor.clean_up(system)
    finally:
        os._exit(0)
