# SPDX-License-Identifier: GPL-2.0
"""Round numbers for axes."""

from __future__ import annotations

_TIME_STEPS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_UNITS = ((50, "P"), (40, "T"), (30, "G"), (20, "M"), (10, "K"))


def time_step(seconds: float) -> float:
    """The least round step that is at least so many seconds."""
    if seconds > 60:
        for step in _TIME_STEPS:
            if step >= seconds:
                return step
        return -(-seconds // 86400) * 86400
    power = 1e-6
    while power < 100:
        for factor in (1, 2, 5):
            if factor * power >= seconds * (1 - 1e-9) and factor * power <= 50:
                return factor * power
        power *= 10
    return 60


def time_label(seconds: float, step: float) -> str:
    """A multiple of a step, as short as it can be: `0 s`, `2.5 s`, `15 min`, `3 h`, `20 ms`."""
    if step % 3600 == 0:
        return f"{seconds / 3600:.0f} h"
    if step % 60 == 0:
        return f"{seconds / 60:.0f} min"
    if step >= 1 or (step >= 0.1 and seconds < 1e4):
        return f"{seconds:.{0 if step >= 1 else 1}f} s"
    if step >= 0.001:
        return f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.0f} us"


def size_step(size: float) -> int:
    """The least power of two that is at least this size."""
    return 1 << max(0, int(-(-size // 1)) - 1).bit_length()


def size_label(size: int) -> str:
    """A size exactly, in the largest unit that divides it: `0`, `16M`, `1536K`, `100`."""
    for shift, unit in _UNITS:
        if size and size % (1 << shift) == 0:
            return f"{size >> shift}{unit}"
    return str(size)
