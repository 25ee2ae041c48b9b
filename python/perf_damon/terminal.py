# SPDX-License-Identifier: GPL-2.0
"""Where output goes: the terminal, through a pager when it is one, never colour when it is not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from perf_damon.errors import Error

if TYPE_CHECKING:
    import subprocess

LEAST_WIDTH, MOST_WIDTH = 20, 4000
"""Columns that can be drawn on."""
_STYLE = re.compile("(\x1b\\[[0-9;]*m)")
_KEPT = 1 << 17
"""Characters: more than fit into the pipe to a pager that does not read."""
_NOT_RUN = (126, 127)
"""What a shell returns for a command that cannot be run."""


def harmless(text: str, styled: bool = False) -> str:
    """Text without what could steer a terminal: all that is written passes through here.

    Lines and tabs stay; where it is `styled`, so do escapes for colour and weight, which are ours:
    render.text.clean() leaves none in what comes from elsewhere.
    """
    if text.replace("\n", "").isprintable():
        return text
    if styled:
        # Every other part is an escape for style.
        parts = _STYLE.split(text)
        parts[::2] = map(harmless, parts[::2])
        return "".join(parts)
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


class Output:
    """Standard output, or the pager before it. Raises Error where nothing can be written."""

    def __init__(self, styled: bool = False, pager: subprocess.Popen[str] | None = None) -> None:
        self._stream: TextIO = sys.stdout
        self._pager = pager
        self._styled = styled
        self._unicode = _has_unicode(sys.stdout)
        self._kept: list[str] = []
        """What a pager was given so far, as long as that may all be waiting in the pipe."""
        self._room = _KEPT
        if pager is not None:
            assert pager.stdin is not None
            self._stream = pager.stdin

    def write(self, text: str) -> None:
        """Write it, in the characters that the stream has; raises Error, BrokenPipeError."""
        text = harmless(text, self._styled)
        if not self._unicode:
            text = text.encode("ascii", "replace").decode()
        if self._pager is not None and self._room >= 0:
            self._kept.append(text)
            self._room -= len(text)
        try:
            _write(self._stream, text)
        except BrokenPipeError:
            if not self._do_without_pager():
                raise

    def close(self) -> None:
        """All is written: wait until a pager has shown it."""
        if self._pager is None:
            flush()
            return
        # The pager may have been left before all was written; that is not an error.
        with suppress(BrokenPipeError):
            self._stream.close()
        self._do_without_pager()
        self._pager = None

    def _do_without_pager(self) -> bool:
        """Show all without a pager, if there was none to be run: the shell has said so."""
        if self._pager is None:
            return False
        with suppress(BrokenPipeError):
            self._stream.close()
        if self._pager.wait() not in _NOT_RUN or self._room < 0:
            return False
        self._pager, self._stream = None, sys.stdout
        _write(sys.stdout, "".join(self._kept))
        flush()
        return True


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_written(error) from None


def flush() -> None:
    """Write what standard output has kept back; raises Error, BrokenPipeError."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _not_written(error) from None


def _not_written(error: OSError) -> Error:
    return Error(f"cannot write to standard output: {error.strerror}")


def abandon_output() -> None:
    """Lose what standard output has kept back, when it cannot be written.

    The interpreter would try it once more when it ends, and complain.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def complete_streams() -> None:
    """Standard streams for a process that was started without them (`>&-`).

    The next files that are opened would take their numbers, and what is meant for people, or what
    a child says, would be written into them. Reading finds the end, writing an error.
    """
    ways = ((os.O_RDONLY, "stdin", "r"), (os.O_RDONLY, "stdout", "w"), (os.O_WRONLY, "stderr", "w"))
    for number, (way, name, mode) in enumerate(ways):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, way), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


@dataclass(frozen=True, slots=True)
class Screen:
    """What a report is drawn on."""

    stream: Output
    color: bool
    """Escapes may be written."""
    colors: int
    """0, 16, 256, or 2**24 where the terminal says so (COLORTERM)."""
    width: int
    """Columns, of which LEAST_WIDTH to MOST_WIDTH are used; 80 where nobody says."""
    height: int
    """Lines; 24 where nobody says."""
    unicode: bool
    """The stream's encoding has box and block characters."""


@contextmanager
def screen(pager: bool = True, styled: bool = False) -> Iterator[Screen]:
    """Standard output as a Screen; a pager stands between on a terminal, as with perf's commands.

    The pager is $PERF_PAGER, $PAGER, `pager` or `less`, run by the shell; `cat` or an empty value
    means none. `styled` lets colours through even where there is no terminal. A reader that goes
    away raises BrokenPipeError for the caller (cli.run ends quietly).
    """
    tty = sys.stdout.isatty()
    colors = terminal_colors() if tty else 0
    size = shutil.get_terminal_size((80, 24))
    width = min(max(size.columns, LEAST_WIDTH), MOST_WIDTH)
    command = _pager_command() if tty and pager else None
    output = Output(colors > 0 or styled, None if command is None else _run_pager(command))
    try:
        yield Screen(output, colors > 0, colors, width, size.lines, _has_unicode(sys.stdout))
    finally:
        output.close()


def _run_pager(command: str) -> subprocess.Popen[str] | None:
    # Only here: every command loads this module, and few need a pager.
    import subprocess

    try:
        return subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.PIPE,
            text=True,
            encoding=sys.stdout.encoding,
            errors="replace",
            env={"LESS": "FRSX", **os.environ},
        )
    except OSError:
        return None


def show(text: str) -> None:
    """A line, or several, on standard output without a pager; raises Error, BrokenPipeError."""
    Output().write(text + "\n")


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes so long, once it has taken over a second."""
    if not has_ticks():
        yield
        return
    import threading

    done = threading.Event()

    def tell() -> None:
        seconds = 0
        while not done.wait(1):
            seconds += 1
            tick(f"{what}, {seconds} s …")
        if seconds:
            tick("")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def has_ticks() -> bool:
    """Whether there is a terminal for tick()."""
    return sys.stderr.isatty() and not _is_dumb()


def tick(text: str) -> None:
    """A line on stderr that the next tick writes over."""
    with suppress(OSError, ValueError):
        print(f"\r\033[K{harmless(text)}", end="", file=sys.stderr, flush=True)


def _is_dumb() -> bool:
    return os.environ.get("TERM", "") in ("", "dumb", "unknown")


def terminal_colors() -> int:
    """How many colours the terminal has: 0, 16, 256, 2**24.

    0 also with TERM=dumb, and where NO_COLOR is set and not empty (no-color.org).
    """
    term = os.environ.get("TERM", "")
    if os.environ.get("NO_COLOR") or _is_dumb():
        return 0
    if os.environ.get("COLORTERM") in ("truecolor", "24bit"):
        return 2**24
    if "256" in term or term.startswith(("xterm-kitty", "alacritty", "foot", "tmux-direct")):
        return 256
    return 16


def say(message: str) -> None:
    """A line of progress or result on stderr; a terminal that is gone is no reason to fail."""
    with suppress(OSError, ValueError):
        print(harmless(message), file=sys.stderr, flush=True)


def _has_unicode(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _pager_command() -> str | None:
    for name in ("PERF_PAGER", "PAGER"):
        if name in os.environ:
            command = os.environ[name]
            if command.strip() in ("", "cat"):
                return None
            if not _is_shell(command):
                say(f"{name}={command}: the shell cannot read that; shown without")
                return None
            return command
    for name in ("pager", "less"):
        if path := shutil.which(name):
            return shlex.quote(path)
    return None


def _is_shell(command: str) -> bool:
    """Whether a shell can read a line, as far as that is not plain to see."""
    if re.fullmatch(r"[\w./ =+:,%@-]*", command):
        return True
    import subprocess

    with suppress(OSError):
        checked = ["sh", "-n", "-c", command]
        return subprocess.run(checked, stderr=subprocess.DEVNULL).returncode == 0
    return True
