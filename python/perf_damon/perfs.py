# SPDX-License-Identifier: GPL-2.0
"""What the perf that we run is able to do, and which perf-damon it runs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

NO_LIBTRACEEVENT = (
    "it reads and records no tracepoints: install the distribution's perf (Debian: linux-perf), or "
    "build perf where libtraceevent-dev is installed, without NO_LIBTRACEEVENT=1"
)
_PATIENCE_S = 20


def lacks(perf: str, library: str) -> bool:
    """Whether a perf says that it is built without a library, as in libtraceevent."""
    try:
        done = subprocess.run(
            [perf, "version", "--build-options"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(rf"^\s*{library}: \[ OFF", done.stdout, re.MULTILINE) is not None


def others(running: str) -> list[str]:
    """The perf-damon programs on PATH beside the one that runs (its path, sys.argv[0]).

    perf puts its exec path in front of PATH, and so runs the one that is there.
    """
    found = {os.path.realpath(running): running}
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder, "perf-damon")
        if folder and path.is_file() and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), str(path))
    return list(found.values())[1:]
