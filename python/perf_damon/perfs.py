# SPDX-License-Identifier: GPL-2.0
"""What the perf that we run is able to do, and which perf-damon it runs."""

from __future__ import annotations

import os
import re
import subprocess
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


def others(running: str) -> list[str]:
    """The perf-damon programs on PATH beside the one that runs (its path, sys.argv[0]).

    perf puts its exec path in front of PATH, and so runs the one that is there. By
    `python -m perf_damon` none of them runs.
    """
    if not running.endswith("perf-damon"):
        return []
    found = {os.path.realpath(running): running}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder, "perf-damon")
        if folder and path.is_file() and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), str(path))
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
