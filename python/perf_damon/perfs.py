# SPDX-License-Identifier: GPL-2.0
"""What the perf that we run is able to do, and which perf-damon it runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from perf_damon.errors import Error

NO_LIBTRACEEVENT = (
    "it reads and records no tracepoints: install the distribution's perf (Debian: linux-perf), or "
    "build perf where libtraceevent-dev is installed, without NO_LIBTRACEEVENT=1"
)
_PATIENCE_S = 20


def lacks(perf: str, library: str) -> bool:
    """Whether a perf says that it is built without a library, as in libtraceevent."""
    return libraries(perf, (library,))[library] is False


def libraries(perf: str, names: Iterable[str]) -> dict[str, bool | None]:
    """Of which libraries a perf says that it has them; None where it does not say."""
    said = _said(perf, "version", "--build-options")
    found = dict(re.findall(r"^\s*(\w+): \[ *(on|OFF) *\]", said, re.MULTILINE))
    return {name: found[name] == "on" if name in found else None for name in names}


def version(perf: str) -> str | None:
    """The version that a perf says it is of; None where it says none."""
    found = re.match(r"perf version (\S+)", _said(perf, "version"))
    return found and found[1]


def _said(perf: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [perf, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def record_failure(perf: str, code: int, said: str) -> Error:
    """The error of a perf record that has failed, by what it said on stderr."""
    if lacks(perf, "libtraceevent"):
        return Error(f"{perf} is built without libtraceevent", NO_LIBTRACEEVENT)
    words = [line.strip() for line in said.splitlines()]
    words = [line for line in words if line and not line.startswith("[ perf record:")]
    return Error(
        f"perf record failed (exit status {code}): " + "\n  ".join(words or ["no word of why"])
    )


def of_perf() -> str | None:
    """The perf-damon that `perf damon` runs: of perf's exec path, else of PATH."""
    found = _programs()
    return found[0] if found else None


def others(running: str) -> list[str]:
    """The perf-damon programs that perf, or a shell, finds beside the one that runs.

    That is given by its path, sys.argv[0]. By `python -m perf_damon` none of them runs.
    """
    if not running.endswith("perf-damon"):
        return []
    found = {os.path.realpath(running): running}
    for path in _programs():
        found.setdefault(os.path.realpath(path), path)
    return list(found.values())[1:]


def _programs() -> list[str]:
    """Each perf-damon, in the order in which perf looks for them."""
    # Run by perf, we have its exec path in front of PATH already.
    folders = [_said("perf", "--exec-path").strip()]
    folders += os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [Path(folder, "perf-damon") for folder in folders if folder]
    return [str(path) for path in paths if path.is_file() and os.access(path, os.X_OK)]


def other_packages() -> list[str]:
    """The packages of perf damon where this Python looks, beside the one that runs."""
    ours = Path(__file__).parent
    found = {os.path.realpath(ours): str(ours)}
    for folder in sys.path:
        package = Path(folder, ours.name)
        if (package / "version.py").is_file():
            found.setdefault(os.path.realpath(package), str(package))
    return list(found.values())[1:]


@contextmanager
def silent() -> Iterator[None]:
    """Without what perf's Python module says on stderr, from C."""
    kept = os.dup(2)
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
