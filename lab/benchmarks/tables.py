# SPDX-License-Identifier: GPL-2.0
"""What benchmarks on several kernels share: how they run, and the words of their tables."""

from __future__ import annotations

import argparse
import fcntl
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import FrameType

from lab.benchmarks.guests import Side
from lab.common import LabError, compile_python, setup
from lab.workloads.build import build


def positive(text: str) -> int:
    """A number of the command line that is at least 1; raises ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


class Parser(argparse.ArgumentParser):
    """The command line of a benchmark."""

    def __init__(self, name: str, text: str | None) -> None:
        super().__init__(
            prog=f"lab/bench {name}",
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add_names(
        self,
        option: str,
        choices: Iterable[str],
        usual: Iterable[str],
        words: str = "repeatable",
    ) -> None:
        """An option that can be given several times, each with a name."""
        told = f"{words} (default: {', '.join(usual)})"
        self.add_argument(option, action="append", metavar="NAME", choices=list(choices), help=told)


def verdict(goal: str, met: bool) -> str:
    return f"goal {goal}: {'met' if met else 'missed'}"


def spread(values: Sequence[float], digits: int) -> str:
    """The median (lowest…highest)."""
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{median(values):.{digits}f} ({low}…{high})"


def header(sides: Sequence[Side]) -> str:
    """Which kernels these are, by what their guests have written last."""
    told = []
    for side in sides:
        paths = side.folder.glob("*/release")
        path = max(paths, key=lambda path: path.stat().st_mtime)
        told.append(f"{side.name}: Linux {path.read_text()}")
    return "; ".join(told)


def run(folder: Path, tables: Callable[[], str]) -> int:
    """Print the tables of what is measured in a folder, with all that it needs; raises LabError."""
    # Signals that ask to end raise: so the guests are ended too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    setup()
    build()
    compile_python()
    with _alone_in(folder):
        print(tables(), end="")
    return 0


def written(path: Path, sides: Sequence[Side], parts: Iterable[Callable[[], list[str]]]) -> str:
    """Do the parts in turn, and write their tables; returns these."""
    lines: list[str] = []
    for part in parts:
        lines += ["", *part()]
        # Each part when it is there: the next takes a while, and may fail.
        path.write_text("\n".join([header(sides), *lines]) + "\n")
    return path.read_text()


def _on_signal(number: int, _frame: FrameType | None) -> None:
    raise LabError(f"ended by {signal.Signals(number).name}")


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Nobody else writes to a folder; raises LabError where somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"another one writes to {folder}: let it end first") from None
        yield
