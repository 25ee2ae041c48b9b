# SPDX-License-Identifier: GPL-2.0
"""Count a thread's tracepoint events while perf records them.

perf writes what it reads only when its buffers have filled up to some mark, which the regions of
a single snapshot do not do. So the file does not tell whether there is a snapshot; this does.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import time
from pathlib import Path

_SYSCALLS = {
    **dict.fromkeys(("aarch64", "riscv64", "loongarch64"), 241),
    **dict.fromkeys(("ppc64", "ppc64le"), 319),
    "x86_64": 298,
    "s390x": 331,
}
"""The number of perf_event_open(2) for 64-bit programs."""
_TRACEPOINT, _CLOSE_ON_EXEC = 2, 8
_ATTR_SIZE = 64
"""Of the first version of struct perf_event_attr, which has all that counting takes."""
_STILL_S = 0.5


class Count:
    """Events so far, of one thread from now on."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._last = 0
        self._since = time.monotonic()

    def read(self) -> int:
        """How many there were."""
        (number,) = struct.unpack("=q", os.read(self._descriptor, 8))
        if number != self._last:
            self._last, self._since = number, time.monotonic()
        return number

    def whole(self) -> bool:
        """Whether a burst of events, as each snapshot is one, has come and is over."""
        return self.read() > 0 and time.monotonic() - self._since >= _STILL_S

    def close(self) -> None:
        """Count no more."""
        os.close(self._descriptor)


def count(event: Path, tid: int) -> Count | None:
    """Count events of a tracepoint, given by its folder in tracefs; None where that cannot be."""
    call = _SYSCALLS.get(platform.machine())
    if call is None:
        return None
    try:
        number = int((event / "id").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    attr = struct.pack("=IIQ", _TRACEPOINT, _ATTR_SIZE, number).ljust(_ATTR_SIZE, b"\0")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    arguments = (ctypes.c_long(value) for value in (tid, -1, -1, _CLOSE_ON_EXEC))
    descriptor = syscall(ctypes.c_long(call), attr, *arguments)
    return None if descriptor < 0 else Count(descriptor)
