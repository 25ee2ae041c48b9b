# SPDX-License-Identifier: GPL-2.0
"""bash in a pseudo-terminal, as a person uses it."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from contextlib import suppress

PROMPT = "ready> "


class Shell:
    """Type into it, and wait for what it shows."""

    def __init__(self, environment: dict[str, str], patience_s: float = 60) -> None:
        self.patience_s = patience_s
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvpe(
                "bash",
                ["bash", "--norc", "--noprofile", "-i"],
                {**environment, "PS1": PROMPT, "TERM": "dumb"},
            )
        self.shown = ""
        self.read_until(PROMPT)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def run(self, line: str) -> None:
        """Type a line, and skip its echo."""
        self.type(line + "\n")
        self.read_until("\n")

    def read_until(self, text: str) -> str:
        """What is shown up to and including the text."""
        deadline = time.monotonic() + self.patience_s
        while text not in self.shown:
            ready, _, _ = select.select([self.terminal], [], [], deadline - time.monotonic())
            if not ready:
                raise AssertionError(f"no {text!r} in {self.shown!r}")
            try:
                self.shown += os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the shell ended; {text!r} not in {self.shown!r}") from None
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def status(self) -> int:
        """$? at the prompt."""
        self.run("echo status=$?")
        self.read_until("status=")
        return int(self.read_until("\n"))

    def close(self) -> None:
        """Hang up, as closing the terminal's window does."""
        os.close(self.terminal)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGHUP)
        os.waitpid(self.pid, 0)
