# SPDX-License-Identifier: GPL-2.0
"""Whether the files of the package that runs are still there: it may be upgraded meanwhile.

Modules that are imported late would then be missing, or be those of another version.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class Installed:
    """The files as they were when this was made."""

    def __init__(self) -> None:
        self._files = _files()

    def change(self) -> str | None:
        """What has become of them since: removed or upgraded; None where they are the same."""
        files = _files()
        if files == self._files:
            return None
        return "upgraded" if files else "removed"


def _files() -> set[tuple[str, int, int]]:
    """Name, inode and time of each module; who upgrades puts new files into the old ones' place."""
    found = set()
    for path in Path(__file__).parent.rglob("*.py"):
        with suppress(OSError):
            status = path.stat()
            found.add((str(path), status.st_ino, status.st_mtime_ns))
    return found
