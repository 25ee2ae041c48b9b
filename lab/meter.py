# SPDX-License-Identifier: GPL-2.0
"""How far a build is: a bar that moves on a terminal, else a plain line now and then."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

from lab.common import progress

REDRAW_S = 0.2
"""A terminal shows no more than five states a second; drawing more of them slows the build."""
TELL_S = 30
"""Without a terminal: seconds from one line to the next."""
BAR_WIDTH, NARROWEST = 24, 6
_FULL, _EMPTY, _EIGHTHS = "█", "░", " ▏▎▍▌▋▊▉"
_NEARLY = 0.99
"""The expected number is an estimate: only the end of the build is the end."""


def expected(usual: int, there: int) -> int | None:
    """How many of the `usual` number of objects are still to be made when `there` are some.

    None where nobody knows: most are there, and make decides which of them to make again.
    """
    left = usual - there
    return left if left > usual // 10 else None


def bar(done: int, of: int, width: int, *, unicode: bool = True) -> str:
    """A bar of `width` cells that shows done of `of`, never full."""
    cells = min(done / of, _NEARLY) * width
    whole = int(cells)
    if not unicode:
        return f"[{'#' * whole:.<{width}}]"
    part = _EIGHTHS[int((cells - whole) * 8)]
    return (_FULL * whole + part.strip()).ljust(width, _EMPTY)


def text(what: str, done: int, of: int | None, seconds: float) -> str:
    """`what` and how far it is, in words."""
    clock = f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
    if of is None:
        return f"{what}: {done:,} object{'' if done == 1 else 's'}, {clock}"
    return f"{what}: {done:,} of about {max(of, done):,} objects, {clock}"


class Meter:
    """Counts what is done, and tells it on stderr."""

    def __init__(
        self,
        what: str,
        of: int | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`of`: about how many there will be; None where that is not known."""
        self.done = 0
        self._what, self._of, self._clock = what, of, clock
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._begin = self._told = clock()
        self._drawn = False

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        now = self._clock()
        if self._terminal:
            if not self._drawn or now >= self._told + REDRAW_S:
                self._told, self._drawn = now, True
                self._draw(now - self._begin)
        elif self.done == 1:
            often = "" if self._of is None else f", about {self._of:,} objects"
            progress(f"{self._what}{often}: minutes, when most of it is new")
        elif now >= self._told + TELL_S:
            self._told = now
            progress(text(self._what, self.done, self._of, now - self._begin))

    def close(self) -> None:
        """Leave the terminal as if nothing had been there."""
        if self._drawn:
            print("\r\033[K", end="", file=self._stream, flush=True)

    def _draw(self, seconds: float) -> None:
        columns = shutil.get_terminal_size().columns if self._stream is sys.stderr else 80
        with_words = f"lab: {text(self._what, self.done, self._of, seconds)}"
        if self._of is not None:
            unicode = "utf" in (self._stream.encoding or "").lower()
            # The bar is worth more than the word.
            with_words = with_words.replace(" objects", "")
            cells = min(BAR_WIDTH, columns - len(with_words) - (3 if unicode else 5))
            if cells >= NARROWEST:
                with_words += f"  {bar(self.done, self._of, cells, unicode=unicode)}"
        # A line that wraps could not be taken away again.
        print(f"\r\033[K{with_words[: columns - 1]}", end="", file=self._stream, flush=True)
