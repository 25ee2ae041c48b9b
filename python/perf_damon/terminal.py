# SPDX-License-Identifier: GPL-2.0
"""Where output goes: the terminal, through a pager when it is one, never colour when it is not."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Screen:
    """What a report is drawn on."""

    stream: TextIO
    color: bool
    """Escapes may be written."""
    colors: int
    """0, 16, 256, or 2**24 where the terminal says so (COLORTERM)."""
    width: int
    """Columns; 80 where nobody says."""
    height: int
    """Lines; 24 where nobody says."""
    unicode: bool
    """The stream's encoding has box and block characters."""


@contextmanager
def screen(pager: bool = True) -> Iterator[Screen]:
    """Standard output as a Screen; a pager stands between on a terminal, as with perf's commands.

    The pager is $PERF_PAGER, $PAGER, `pager` or `less`; `cat` or an empty value means none.
    A reader that goes away raises BrokenPipeError for the caller (cli.run ends quietly).
    """
    out = sys.stdout
    tty = out.isatty()
    colors = terminal_colors() if tty else 0
    size = shutil.get_terminal_size((80, 24))
    command = _pager_command() if tty and pager else None
    if command is None:
        yield Screen(out, colors > 0, colors, size.columns, size.lines, _has_unicode(out))
        out.flush()
        return
    # Only here: every command loads this module, and few need a pager.
    import subprocess

    environment = {"LESS": "FRSX", **os.environ}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, text=True, encoding=out.encoding, env=environment
        )
    except OSError:
        yield Screen(out, colors > 0, colors, size.columns, size.lines, _has_unicode(out))
        out.flush()
        return
    assert process.stdin is not None
    try:
        yield Screen(process.stdin, colors > 0, colors, size.columns, size.lines, _has_unicode(out))
    finally:
        # The pager may have been left before all was written; that is not an error.
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes so long, once it has taken over a second."""
    if not sys.stderr.isatty():
        yield
        return
    import threading

    done = threading.Event()

    def tell() -> None:
        seconds = 0
        while not done.wait(1):
            seconds += 1
            say(f"\r\033[K{what}, {seconds} s …", end="")
        if seconds:
            say("\r\033[K", end="")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def terminal_colors() -> int:
    """How many colours the terminal has: 0 (also with NO_COLOR or TERM=dumb), 16, 256, 2**24."""
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR") or term in ("", "dumb", "unknown"):
        return 0
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return 2**24
    if "256" in term or term.startswith(("xterm-kitty", "alacritty", "foot", "tmux-direct")):
        return 256
    return 16


def say(message: str, end: str = "\n") -> None:
    """A line of progress or result on stderr; a terminal that is gone is no reason to fail."""
    with suppress(OSError, ValueError):
        print(message, end=end, file=sys.stderr, flush=True)


def _has_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _pager_command() -> list[str] | None:
    for name in ("PERF_PAGER", "PAGER"):
        if name in os.environ:
            words = shlex.split(os.environ[name])
            return None if not words or words == ["cat"] else words
    for name in ("pager", "less"):
        if path := shutil.which(name):
            return [path]
    return None
