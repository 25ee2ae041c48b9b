# SPDX-License-Identifier: GPL-2.0
"""What the lab's commands share: where things lie, how errors are told."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
BUILD = CHECKOUT / "build"
VENV = BUILD / "venv"


class LabError(Exception):
    """Something that the user of the lab should know about: what is wrong, what to do."""


def cache_dir() -> Path:
    """The user's cache folder for downloads and what was unpacked of them, made if missing."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and ignored.
    root = Path(base) if base.startswith("/") else Path.home() / ".cache"
    path = root / "perf-damon"
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file: two commands may want the same download."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def setup(*lists: str) -> None:
    """Install what the lab needs and is missing (quick when nothing is).

    Also that of packages-LIST.txt, where one is named.
    """
    if subprocess.run(
        [str(CHECKOUT / "lab" / "setup"), *lists], stdin=subprocess.DEVNULL
    ).returncode:
        raise LabError("lab/setup failed (see above): the lab cannot run without it")


def compile_python() -> None:
    """Compile this checkout's Python for the system's interpreter, where that is not done yet.

    A guest cannot write to the checkout, and would compile it at every start.
    """
    # Best effort: a source that does not compile is for its own run to tell.
    subprocess.run(
        ["/usr/bin/python3", "-m", "compileall", "-q", str(CHECKOUT / "python")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Handlers of signals that ask to end are called when this block is left.

    In it a program can be started and be known to whoever ends it: a handler that raises in the
    midst of Popen() would leave a program behind that nobody knows.
    """
    came: list[int] = []
    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            handlers[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


def progress(message: str) -> None:
    """Tell on stderr what takes a while."""
    print(f"lab: {message}", file=sys.stderr, flush=True)


def run_command(name: str, main: Callable[[list[str]], int]) -> int:
    """The frame of a lab command: errors become one line on stderr and status 1."""
    try:
        return main(sys.argv[1:])
    except LabError as error:
        print(f"lab/{name}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader left; what Python still holds for it must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
