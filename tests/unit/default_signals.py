# SPDX-License-Identifier: GPL-2.0
"""What tests expect of signals, whatever the shell has done to them.

A shell ignores SIGINT and SIGQUIT in what it runs in the background, nohup ignores SIGHUP. What is
ignored stays so in every program that is started from there: a Ctrl-C in a test would never come.
"""

from __future__ import annotations

import signal


def heed() -> None:
    """Have programs that are started from here begin with the default action for all signals.

    This process goes on without them: who ignored them for it had a reason.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            # A handler, unlike an ignored signal, does not outlive exec.
            signal.signal(number, _nothing)


def _nothing(_number: int, _frame: object) -> None:
    pass
