# SPDX-License-Identifier: GPL-2.0
"""What the kernel complains of in its log. In a guest, as root."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

COMPLAINTS = ("BUG:", "WARNING:", "Oops", "KASAN", "Call Trace", "refcount_t", "ODEBUG", "UBSAN")


class Log:
    """What is said from now on."""

    def __init__(self, path: Path = Path("/dev/kmsg")) -> None:
        self.file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.file, 0, os.SEEK_END)

    def close(self) -> None:
        os.close(self.file)

    def said(self) -> list[str]:
        """Records since it was opened, or this was called."""
        records = []
        with suppress(BlockingIOError):
            while True:
                # What was overwritten meanwhile is told as an error, once.
                with suppress(BrokenPipeError):
                    record = os.read(self.file, 8192)
                    if not record:
                        break
                    records.append(record.decode(errors="replace"))
        return records


def complaints(records: list[str]) -> list[str]:
    """Those of them that tell of a bug."""
    return [record for record in records if any(word in record for word in COMPLAINTS)]
